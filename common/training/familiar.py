"""Says whether an input is unlike what a network has been trained for, where that can be measured.

An evaluation on held-out data leaves in `expected.json` of its output folder how uncertain the
network is there; exported weights take it along. A demo compares.
"""
import os
from typing import Sequence

import numpy as np

from common import cli, errors, files
from common.readers import text

FILE = 'expected.json'
_LEVELS = 3             # folders above a checkpoint in which the record is looked for
_SHARE = 99             # per cent of the held-out data that lie below the limit


def uncertainty(occupancy: np.ndarray) -> float:
    """Measures how undecided a field of occupancies is: 0 where all are 0 or 1.

    Args:
      occupancy: float array of any shape, probabilities; what lies outside [0, 1] is cut.
    Returns:
      float, sum of p (1 - p) over the sum of p; 1 where all are near 0.
    """
    p = np.clip(np.asarray(occupancy, np.float64), 0., 1.)
    return float((p * (1 - p)).sum() / max(p.sum(), 1e-9))


def record(folder: str, name: str, values: Sequence[float]) -> None:
    """Records what a measure is on held-out data, in `expected.json`.

    Args:
      folder: str, output folder; name: str, of the measure; values: one of each sample.
    """
    path = os.path.join(folder, FILE)
    known = _read(path) if os.path.exists(path) else {}
    known[name] = {'median': float(np.median(values)), 'limit': float(np.percentile(
        values, _SHARE)), 'samples': len(values)}
    files.write_json(path, known)


def _read(path):
    known = text.read_json(path, 'record of an evaluation', 'Remove it and evaluate again.')
    if not isinstance(known, dict) or not all(
            isinstance(row, dict) and all(isinstance(row.get(name), (int, float))
                                          for name in ('median', 'limit', 'samples'))
            for row in known.values()):
        raise errors.InputError('{} is no record of an evaluation: remove it and evaluate again.'
                                .format(path))
    return known


def tell(prefix: str, name: str, value: float, what: str) -> bool:
    """Prints how an input compares with held-out data, where a record lies near the weights.

    Args:
      prefix: str, checkpoint; name, value: of the measure; what: str, the input, such as its path.
    Returns:
      bool, whether it is beyond the limit.
    """
    folder = os.path.dirname(os.path.abspath(prefix))
    for _ in range(_LEVELS):
        path = os.path.join(folder, FILE)
        row = _read(path).get(name) if os.path.exists(path) else None
        if row:
            is_strange = not value <= row['limit']
            cli.say('{}: {} {:.3g}; on {} held-out samples {:.3g} in the median, {:.3g} at most in '
                    '{} %{}'.format(
                        what, name, value, row['samples'], row['median'], row['limit'], _SHARE,
                        ': unlike anything that was trained on, so do not expect much of the result'
                        if is_strange else ''))
            return is_strange
        folder = os.path.dirname(folder)
    return False

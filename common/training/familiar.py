"""Says whether an input is unlike what a network has been trained for, where that can be measured.

An evaluation on held-out data leaves in `expected.json` of its output folder how uncertain the
network is there, and in `features.npz` where the encoder's features of the training data lie;
exported weights take both along. A demo compares.
"""
import os
from typing import Iterator, Optional, Sequence

import numpy as np

from common import cli, errors, files
from common.readers import arrays, text

FILE = 'expected.json'
STRANGENESS = 'distance of its features from those of the training pictures'
FEATURES = 'features.npz'
FILES = (FILE, FEATURES)
_LEVELS = 3             # folders above a checkpoint in which the record is looked for
_SHARE = 99             # per cent of the held-out data that lie below the limit
_REMEDY = 'Remove it and evaluate again.'
_SHRINKAGE = 0.01       # share of the mean variance that is added to the covariance's diagonal
_ALL, _FEW = 256, 64    # axes are kept all up to so many features, else those of most variance


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
    known = text.read_json(path, 'record of an evaluation', _REMEDY)
    if not isinstance(known, dict) or not all(
            isinstance(row, dict) and all(isinstance(row.get(name), (int, float))
                                          for name in ('median', 'limit', 'samples'))
            for row in known.values()):
        raise errors.InputError('{} is no record of an evaluation: remove it and evaluate again.'
                                .format(path))
    return known


def record_features(folder: str, features: np.ndarray) -> None:
    """Records where an encoder's features of the training data lie, in `features.npz`.

    Of many features the axes of most variance are kept, and the mean variance of the others.

    Args:
      folder: str, output folder; features: [N, F], N > 1.
    """
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    covariance = np.dot(centred.T, centred) / len(features)
    covariance[np.diag_indices_from(covariance)] += max(
        _SHRINKAGE * np.trace(covariance) / len(mean), 1e-12)
    variances, axes = np.linalg.eigh(covariance)    # rising
    stored = {'axes': axes / np.sqrt(variances)}
    if len(mean) > _ALL:
        rest = 1 / variances[:-_FEW].mean()
        stored = {'axes': axes[:, -_FEW:] * np.sqrt(np.maximum(rest - 1 / variances[-_FEW:], 0)),
                  'rest': rest}
    with files.replacing(os.path.join(folder, FEATURES)) as temporary:
        with open(temporary, 'wb') as stream:
            np.savez(stream, mean=mean.astype(np.float32),
                     **{name: np.asarray(value, np.float32) for name, value in stored.items()})


def distances(folder: str, features: np.ndarray) -> Optional[np.ndarray]:
    """Returns how far features lie from those of the training data (Mahalanobis distance).

    Args:
      folder: str, where `record_features` wrote, or one up to three levels below it.
      features: [N, F].
    Returns:
      float64 [N], the root of the mean square over the axes, about 1 for training data; None:
      nothing is recorded.
    Raises:
      errors.InputError: the record is damaged, or of other features.
    """
    for path in _above(folder, FEATURES):
        known = arrays.read_archive(path, ('mean', 'axes', 'rest'), 'f', 'a record of features',
                                    _REMEDY)
        size, rest = np.shape(features)[1], known.get('rest')
        axes = size if rest is None else min(size, _FEW)
        if [np.shape(known.get(name)) for name in ('mean', 'axes')] != [
                (size,), (size, axes)] or rest is not None and not (rest.shape == () and rest > 0):
            raise errors.InputError('{} is no record of {} features. {}'.format(
                path, size, _REMEDY))
        with np.errstate(invalid='ignore'):     # NaN is no such number either
            if not all((np.abs(known[name]) <= np.finfo(np.float32).max).all() for name in known):
                raise errors.InputError('{} holds numbers beyond those of float32. {}'.format(
                    path, _REMEDY))
        offsets = np.asarray(features, np.float64) - known['mean']
        along = np.sum(np.dot(offsets, known['axes'].astype(np.float64)) ** 2, axis=1)
        if rest is not None:    # as if all axes had the variance of the rest, less the difference
            along = np.maximum(rest.astype(np.float64) * np.sum(offsets ** 2, axis=1) - along, 0.)
        return np.sqrt(along / size)
    return None


def _above(folder: str, name: str) -> Iterator[str]:
    """Yields the paths of a file in a folder and in those above it, where it exists."""
    folder = os.path.abspath(folder)
    for _ in range(_LEVELS):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            yield path
        folder = os.path.dirname(folder)


def tell(prefix: str, name: str, value: float, what: str) -> bool:
    """Prints how an input compares with held-out data, where a record lies near the weights.

    Args:
      prefix: str, checkpoint; name, value: of the measure; what: str, the input, such as its path.
    Returns:
      bool, whether it is beyond the limit.
    """
    for path in _above(os.path.dirname(os.path.abspath(prefix)), FILE):
        row = _read(path).get(name)
        if row:
            is_strange = not value <= row['limit']
            cli.say('{}: {} {:.3g}; on {} held-out samples {:.3g} in the median, {:.3g} at most in '
                    '{} %{}'.format(
                        what, name, value, row['samples'], row['median'], row['limit'], _SHARE,
                        ': unlike anything that was trained on, so do not expect much of the result'
                        if is_strange else ''))
            return is_strange
    return False

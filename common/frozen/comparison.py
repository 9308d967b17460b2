"""Outputs of msame beside those of the frozen graph; needs NumPy only, no TensorFlow."""
import glob
import os
import re
from typing import List, Optional, Tuple

import numpy as np

from common import choices, errors
from common.readers import arrays, text

MANIFEST = 'expected.json'
ROUNDING = 0.01     # of a probability or logit in half precision, in which Atlas inference computes


def compare(folder: str, results: str, cosine: float = 0.999, rounding: float = ROUNDING
            ) -> Tuple[List[Tuple[str, Optional[float], float, bool]], Optional[choices.Moved]]:
    """Compares the outputs of msame with those of the frozen graph.

    Rows of which a choice (a token) differs where its margin lies within rounding are not compared.

    Args:
      folder: str, as `export.write_atc` left it.
      results: str, folder that holds `*_output_<n>.bin` at any depth.
      cosine: float, least similarity of a whole output of floats; others must be equal.
      rounding: float, largest margin at which a choice may differ, see `common.choices`.
    Returns:
      (list of (name, cosine or None, largest difference, bool whether it is accepted), and which
      choices differ, or None where the network makes none).
    Raises:
      errors.InputError: a file is missing, there are several, or its size is another.
    """
    described = _read_expected(folder)
    expected, actual, margins = {}, {}, {}
    for number, output in enumerate(described):
        name = output['name']
        expected[name] = _read_array(folder, output['file'])
        actual[name] = _read_result(results, number, expected[name])
        if 'margins' in output:
            margins[name] = _read_array(folder, output['margins'])
    moved = choices.compare_sequences(actual, expected, margins)
    rows: List[Tuple[str, Optional[float], float, bool]] = []
    for output in described:
        name = output['name']
        one, other = [
            choices.without_moved(values[name], moved, output.get('batch_axis')).astype(np.float64)
            for values in (actual, expected)]
        with np.errstate(invalid='ignore'):     # of infinities
            difference = float(np.max(np.abs(one - other), initial=0))
        if expected[name].dtype.kind != 'f':
            within = name not in margins or moved is None or moved.margin <= rounding
            rows.append((name, None, difference, difference == 0 and within))
            continue
        value = _cosine(one.ravel(), other.ravel())
        rows.append((name, value, difference, value >= cosine))
    return rows, moved


def _read_array(folder, name):
    return arrays.read(os.path.join(folder, name), remedy='{} names it; make the folder again with '
                       'freeze_graph.py --atc.'.format(MANIFEST))


def _read_expected(folder):
    """Reads what the expected outputs are, [{"name", "file", "batch_axis", maybe "margins"}]."""
    path = os.path.join(folder, MANIFEST)
    manifest = text.read_json(path)
    outputs = manifest.get('outputs') if isinstance(manifest, dict) else None
    if not isinstance(outputs, list) or not outputs or not all(
            isinstance(output, dict) and isinstance(output.get('name'), str)
            and all(isinstance(name, str) and re.match(r'[A-Za-z0-9_.]{1,255}$', name)
                    for name in (output.get('file'), output.get('margins', 'none')))
            and output.get('batch_axis') in (None, *range(8)) for output in outputs):
        raise errors.InputError('{} is not what freeze_graph.py --atc writes.'.format(path))
    return outputs


def _read_result(results, number, expected):
    pattern = os.path.join(glob.escape(results), '**', '*_output_{}.bin'.format(number))
    paths = glob.glob(pattern, recursive=True)
    if len(paths) != 1:
        raise errors.InputError('{} holds {} files *_output_{}.bin, one was expected. Run msame '
                                'with --outfmt BIN into an empty folder.'.format(
                                    results, len(paths), number))
    size = os.path.getsize(paths[0])
    dtype = expected.dtype.newbyteorder('<')
    if expected.dtype == np.float32 and size == 2 * expected.size:
        dtype = np.dtype('<f2')     # an om model may give half precision
    if size != dtype.itemsize * expected.size:
        raise errors.InputError('{} has {} bytes, {} values of {} were expected.'.format(
            paths[0], size, expected.size, expected.dtype))
    return np.fromfile(paths[0], dtype).reshape(expected.shape)


def _cosine(result, expected):
    with np.errstate(all='ignore'):     # NaN of what is not finite, which is no likeness
        lengths = np.linalg.norm(result) * np.linalg.norm(expected)
        if not lengths:
            return float(np.array_equal(result, expected))
        return float(result.dot(expected) / lengths)

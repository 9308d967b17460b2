"""Outputs of msame beside those of the frozen graph; needs NumPy only, no TensorFlow."""
import glob
import os
import re
from typing import List, Optional, Tuple

import numpy as np

from common import errors
from common.readers import arrays, text

MANIFEST = 'expected.json'


def compare(folder: str, results: str, cosine: float = 0.999
            ) -> List[Tuple[str, Optional[float], float, bool]]:
    """Compares the outputs of msame with those of the frozen graph.

    Args:
      folder: str, as `export.write_atc` left it.
      results: str, folder that holds `*_output_<n>.bin` at any depth.
      cosine: float, least similarity of a whole output of floats; others must be equal.
    Returns:
      list of (name, cosine or None, largest difference, bool whether it is accepted).
    Raises:
      errors.InputError: a file is missing, there are several, or its size is another.
    """
    rows: List[Tuple[str, Optional[float], float, bool]] = []
    for number, output in enumerate(_read_expected(folder)):
        expected = arrays.read(
            os.path.join(folder, output['file']),
            remedy='Make the folder again with freeze_graph.py --atc.')
        result = _read_result(results, number, expected)
        difference = float(np.max(np.abs(
            result.astype(np.float64) - expected.astype(np.float64)), initial=0))
        if expected.dtype.kind != 'f':
            rows.append((output['name'], None, difference, difference == 0))
            continue
        value = _cosine(result.astype(np.float64).ravel(), expected.astype(np.float64).ravel())
        rows.append((output['name'], value, difference, value >= cosine))
    return rows


def _read_expected(folder):
    """Reads names and files of the expected outputs, [{"name", "file"}]."""
    path = os.path.join(folder, MANIFEST)
    manifest = text.read_json(path)
    outputs = manifest.get('outputs') if isinstance(manifest, dict) else None
    if not isinstance(outputs, list) or not outputs or not all(
            isinstance(output, dict) and isinstance(output.get('name'), str)
            and re.match(r'[A-Za-z0-9_.]+$', str(output.get('file', ''))) for output in outputs):
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
    lengths = np.linalg.norm(result) * np.linalg.norm(expected)
    if not lengths:
        return float(np.array_equal(result, expected))
    return float(result.dot(expected) / lengths)

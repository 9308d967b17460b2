"""Weights alone, in half precision: what ships with the project instead of whole checkpoints.

`model-200.weights` is a .npz archive of the variables of a checkpoint `model-200`, without what the
optimizer keeps; float32 is stored as float16 where that loses no more than its rounding: under
"<variable> float16" its low bytes, then its high ones, uint8 [2, ...], which packs a tenth smaller.
A `manifest.json` in the same folder, or one of the two above it, holds the digest of each file.
"""
import hashlib
import os
import re
from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from common import errors, files
from common.readers import arrays, text

ENDING = '.weights'
MANIFEST = 'manifest.json'
_LEVELS = 3             # folders in which the manifest is looked for
_LARGEST = 65504.       # of float16
_PLANES = ' float16'    # behind the name of a variable, where its bytes are stored apart
BITS = 10               # of the fraction of float16
_COUNTER = re.compile(r'(^|/)(beta[12]_power(_\d+)?|global_step|step)$')
_AGAIN = 'Take the file from the project again.'


def of_model(arrays_by_name: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Leaves out of the variables of a checkpoint those of the optimizer and the counters.

    Args:
      arrays_by_name: {name: array of any shape}.
    Returns:
      dict, without the slots `<variable>/<slot>`, powers of Adam's betas and steps.
    """
    names = set(arrays_by_name)
    return {name: array for name, array in arrays_by_name.items()
            if not _COUNTER.search(name) and not _above(name) & names}


def _above(name):
    """The scopes that a name lies in."""
    parts = name.split('/')
    return {'/'.join(parts[:end]) for end in range(1, len(parts))}


def _stored(name, array, bits):
    """(Name, array) as they are stored: float16 where every value is within its range."""
    if array.dtype != np.float32 or array.size and np.abs(array).max() > _LARGEST:
        return name, array
    planes = rounded(array, bits).view(np.uint8).reshape(array.shape + (2,))
    return name + _PLANES, np.ascontiguousarray(np.moveaxis(planes, -1, 0))


def _restored(name, array):
    """(Name, array) of a variable, float32 for what is stored as float16."""
    if name.endswith(_PLANES) and array.dtype == np.uint8 and array.shape[:1] == (2,):
        values = np.ascontiguousarray(np.moveaxis(array, 0, -1)).view('<f2')
        name, array = name[:-len(_PLANES)], values.reshape(array.shape[1:])
    return name, array.astype(np.float32) if array.dtype == np.float16 else array


def rounded(array: np.ndarray, bits: int = BITS) -> np.ndarray:
    """Rounds to float16 whose fractions have few bits, to the nearest, ties to even.

    Args:
      array: float32 of any shape, within the range of float16.
      bits: int from 1 to 10, that are kept; the others are 0, which packs smaller.
    Returns:
      little-endian float16, contiguous.
    """
    half = np.ascontiguousarray(array, '<f2')
    dropped = BITS - bits
    if not dropped:
        return half
    whole = half.view('<u2').astype(np.uint32)
    whole += (1 << dropped - 1) - 1 + (whole >> dropped & 1)
    few = (whole >> dropped << dropped).astype('<u2').view('<f2')
    return np.where(np.isfinite(few), few, half)


def write(path: str, arrays_by_name: Mapping[str, np.ndarray], bits: int = BITS) -> str:
    """Writes a file of weights in one exchange; the same arrays give the same bytes.

    Args:
      path: str, ends in `.weights`; arrays_by_name: {name: array of any shape}.
      bits: int, of the fractions that are kept, see `rounded`.
    Returns:
      str, its SHA-256 digest.
    Raises:
      errors.InputError: the file cannot be written, or an array is not finite.
    """
    for name, array in arrays_by_name.items():
        if array.dtype.kind == 'f' and not np.isfinite(array).all():
            raise errors.InputError('the variable {} holds NaN or infinity: nothing is written to '
                                    '{}.'.format(errors.quote(name), path))
    with files.replacing(path) as temporary:
        with open(temporary, 'wb') as stream:
            np.savez_compressed(stream, **dict(_stored(name, arrays_by_name[name], bits)
                                               for name in sorted(arrays_by_name)))
    return digest(path)


def digest(path: str) -> str:
    """Returns the SHA-256 digest of a file, in hexadecimal."""
    total = hashlib.sha256()
    try:
        with open(path, 'rb') as stream:
            for part in iter(lambda: stream.read(1 << 20), b''):
                total.update(part)
    except OSError as error:
        raise errors.InputError('cannot read {}: {}.'.format(path, error.strerror)) from error
    return total.hexdigest()


def read_manifest(path: str) -> Dict[str, Any]:
    """Returns the manifest of a folder of weights: "files" {path from there: digest}, and more.

    Raises:
      errors.InputError: it is missing or no such manifest.
    """
    manifest = text.read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get('files'), dict):
        raise errors.InputError('{} is no manifest of weights: it has no "files". {}'.format(
            path, _AGAIN))
    return manifest


def check(path: str) -> None:
    """Compares a file of weights with the digest that its manifest has.

    Raises:
      errors.InputError: there is no manifest, it does not name the file, or the file is another.
    """
    folder = os.path.dirname(os.path.abspath(path))
    for _ in range(_LEVELS):
        manifest = os.path.join(folder, MANIFEST)
        if os.path.exists(manifest):
            name = os.path.relpath(os.path.abspath(path), folder).replace(os.sep, '/')
            if read_manifest(manifest)['files'].get(name) != digest(path):
                raise errors.InputError('{} is not the file that {} names (another digest). {}'
                                        .format(path, manifest, _AGAIN))
            return
        folder = os.path.dirname(folder)
    raise errors.InputError('{} has no {} beside or above it, so nothing tells whether it is '
                            'whole. {}'.format(path, MANIFEST, _AGAIN))


class Reader:
    """A file of weights, read as `tf.train.NewCheckpointReader` reads a checkpoint.

    Args:
      path: str, the `.weights` file; its digest is compared with that of the manifest.
    """

    def __init__(self, path: str):
        check(path)
        self._arrays = dict(_restored(name, array) for name, array in arrays.read_archive(
            path, kinds=arrays.NUMBERS, what='a file of weights', remedy=_AGAIN).items())

    def get_variable_to_shape_map(self) -> Dict[str, List[int]]:
        """Returns {name: list of sizes}."""
        return {name: list(array.shape) for name, array in self._arrays.items()}

    def get_variable_to_dtype_map(self) -> Dict[str, tf.DType]:
        """Returns {name: dtype}, float32 for what is stored as float16."""
        return {name: tf.as_dtype(array.dtype) for name, array in self._arrays.items()}

    def get_tensor(self, name: str) -> np.ndarray:
        """Returns an array of any shape."""
        return self._arrays[name]


def path_of(prefix: str) -> Optional[str]:
    """Returns the file of weights that a prefix `folder/model-200` stands for; None: there is none.

    A whole checkpoint of that name comes first.
    """
    path = prefix + ENDING
    return path if os.path.isfile(path) and not os.path.isfile(prefix + '.index') else None

"""MATLAB's files from outside, versions 4 to 7.3 (the last is HDF5), read in a child process."""
import struct
from typing import Any, Dict, Optional, Sequence

import numpy as np

from common import errors
from common.readers import arrays, child, hdf5, limits

_WHAT = 'a MATLAB file'
_LONGEST_NAME, _MOST_ARRAYS = 1 << 16, 10000    # bytes of an array's name; arrays of a file
_WIDTHS = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}  # bytes of a number of version 4, by its type
_HDF5 = b'\x89HDF\r\n\x1a\n'


def read(path: str, names: Optional[Sequence[str]] = None, what: str = _WHAT,
         remedy: str = limits.ANEW, most: int = limits.MAX_BYTES) -> Dict[str, np.ndarray]:
    """Reads arrays of a .mat file.

    Args:
      path: str; names: str of arrays, those of them that are there; None: all.
      what, remedy: str, for messages; most: int, bytes that the arrays may take together.
    Returns:
      dict {name: array of numbers or text, of any shape} with the axes as in
      MATLAB; cells and structures are left out.
    Raises:
      errors.InputError: the file is missing, damaged, refers to other files, or takes too much.
    """
    if is_hdf5(path, what, remedy):
        return {name: value.T for name, value in
                hdf5.read(path, names, what, remedy, most).items()}
    _check_old(path, what, remedy)
    return child.run(read_all, 'scipy.io', path, {
        'names': None if names is None else list(names), 'most': most}, what, remedy)[1]


def is_hdf5(path: str, what: str = _WHAT, remedy: str = limits.ANEW) -> bool:
    """Returns whether a .mat file is of version 7.3; errors as in `limits.look`."""
    head, _ = limits.look(path, what, remedy)
    return head[:8] == _HDF5 or head[:10] == b'MATLAB 7.3'


def _check_old(path: str, what: str, remedy: str) -> None:
    """Looks through the headers of a file of version 4: in zeros SciPy finds arrays to the end.

    An array is five whole numbers (type, rows, columns, imaginary part, length of the name), its
    name, and its values. Later versions begin with text.
    """
    with limits.opened(path, what, remedy) as (stream, size):
        head, place, count = stream.read(4), 0, 0
        if 0 not in head or len(head) < 4:
            return
        order = '<' if 0 <= struct.unpack('<i', head)[0] <= 5000 else '>'
        while place < size:
            stream.seek(place)
            header = stream.read(20)
            if len(header) < 20:
                raise ValueError('it ends within the header of an array')
            kind, rows, columns, imaginary, name = struct.unpack(order + '5i', header)
            width = _WIDTHS.get(kind // 10 % 10)
            count += 1
            if (width is None or min(rows, columns) < 0 or imaginary not in (0, 1)
                    or not 0 < name < _LONGEST_NAME or count > _MOST_ARRAYS):
                raise ValueError('it has no header of an array at byte {}'.format(place))
            place += 20 + name + rows * columns * width * (1 + imaginary)


def read_all(path: str, request: Dict[str, Any]) -> child.Answer:
    """Reads arrays of any shape with SciPy (in the child)."""
    import scipy.io  # here, since it takes a third of a second
    contents = scipy.io.loadmat(path, variable_names=request['names'], appendmat=False)
    result, size = {}, 0
    for name, value in contents.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in (
                arrays.NUMBERS + arrays.TEXT) or value.dtype.fields:
            continue
        size += value.nbytes
        limits.check_size('"{}"'.format(errors.quote(name)), 'it', size, request['most'], '')
        result[name] = value
    return {}, result

"""NumPy's files (.npy, .npz) from outside: the header is checked here, nothing is unpickled.

numpy.load evaluates the header as Python and believes it: a few bytes ask for all memory.
"""
import re
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from common import errors
from common.readers import archives, limits

NUMBERS, TEXT = 'biufc', 'SU'       # kinds of dtypes
_MAGIC = b'\x93NUMPY'
_LONGEST_HEADER = 1 << 16
_DTYPE = re.compile(r'[<>|=]?([biufcSUO?])(\d{0,6})')
_ENTRY = re.compile(r"""\s*'(descr|fortran_order|shape)'\s*:\s*('([^']{0,12})'|True|False|"""
                    r"""\(([\d,\sL]*)\))\s*(?:,|$)""")
_WHAT = 'an array (.npy)'

Header = NamedTuple('Header', [('shape', Tuple[int, ...]), ('dtype', np.dtype),
                               ('is_fortran', bool)])
Objects = Callable[[bytes, str, Tuple[int, ...]], Any]


def plain_dtype(text: Any, kinds: str = NUMBERS + TEXT) -> np.dtype:
    """Returns the dtype of a text such as '<f4' if it is of plain numbers, text or objects.

    Args:
      text: str; anything else is refused.
      kinds: str, allowed kinds as in `numpy.dtype.kind`.
    Raises:
      ValueError: it is another one (records, dates, objects, raw bytes).
    """
    match = _DTYPE.fullmatch(text) if isinstance(text, str) else None
    dtype = None
    if match:
        try:
            dtype = np.dtype(text)
        except TypeError:
            pass
    if dtype is None or dtype.kind not in kinds or dtype.fields or dtype.subdtype or (
            not dtype.itemsize and dtype.kind not in 'SU'):
        raise ValueError('it holds {}, expected {}'.format(
            errors.quote(dtype if dtype is not None else text, 30),
            'numbers' if kinds == NUMBERS else 'plain values'))
    return dtype


def read_header(stream: Any, kinds: str = NUMBERS + TEXT) -> Header:
    """Reads the header of an array; the stream is at its values then.

    Args:
      stream: binary, at the start of the array, of any shape; kinds: as in `plain_dtype`.
    Raises:
      ValueError: it is no header of a plain array.
    """
    start = stream.read(8)
    if start[:6] != _MAGIC or len(start) < 8:
        raise ValueError('it does not begin as NumPy\'s arrays do')
    if start[6] not in (1, 2, 3):
        raise ValueError('its format {}.{} is not known'.format(start[6], start[7]))
    size = int.from_bytes(stream.read(2 if start[6] == 1 else 4), 'little')
    if size > _LONGEST_HEADER:
        raise ValueError('its header takes {} bytes'.format(size))
    data = stream.read(size)
    text = data.decode('utf-8' if start[6] == 3 else 'latin-1').strip()
    if len(data) < size or not (text.startswith('{') and text.endswith('}')):
        raise ValueError('its header is cut short')
    return _header(text[1:-1].strip(), kinds)


def _header(text: str, kinds: str) -> Header:
    entries, place = {}, 0
    while place < len(text):
        match = _ENTRY.match(text, place)
        if match is None:
            if text[place:].lstrip().startswith("'descr': ["):
                raise ValueError('it holds records, expected plain values')
            raise ValueError('its header makes no sense')
        entries[match.group(1)] = match
        place = match.end()
    try:
        descr, order, shape = (entries[name] for name in ('descr', 'fortran_order', 'shape'))
    except KeyError as error:
        raise ValueError('its header has no {}'.format(error))
    dtype = plain_dtype(descr.group(3), kinds)
    if shape.group(4) is None or order.group(2) not in ('True', 'False'):
        raise ValueError('its header makes no sense')
    sizes = [part.strip().rstrip('L') for part in shape.group(4).split(',')]
    if sizes[-1] == '':
        sizes.pop()
    if len(sizes) > 32 or not all(part.isdecimal() and len(part) < 19 for part in sizes):
        raise ValueError('its shape makes no sense')
    return Header(tuple(map(int, sizes)), dtype, order.group(2) == 'True')


def _values(stream, header: Header, left: int) -> np.ndarray:
    """Reads the values behind a header; `left`: bytes that the stream still has."""
    number = limits.count(header.shape)
    size = number * header.dtype.itemsize
    if size > left:
        raise ValueError('its shape {} takes {}, and there are {}'.format(
            errors.quote(list(header.shape), 40), limits.human(size), limits.human(left)))
    if not size:
        if number:
            raise ValueError('it holds {} texts of no length'.format(number))
        return np.zeros(header.shape, header.dtype)
    flat = np.empty([number], header.dtype)
    stream.readinto(flat.view(np.uint8))
    return checked_values(flat).reshape(header.shape, order='F' if header.is_fortran else 'C')


def checked_values(array: np.ndarray) -> np.ndarray:
    """Returns an array of any shape made of bytes of a file, its booleans 0 or 1.

    Raises:
      ValueError: a text holds a number that is no character.
    """
    if array.dtype.kind == 'b':
        return array.view(np.uint8) != 0
    if array.dtype.kind == 'U' and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(array.dtype.byteorder.replace('|', '=') + 'u4')
        if codes.max() > 0x10ffff:
            raise ValueError('it holds text that is none')
    return array


class _Exact:
    """A file whose `readinto` fills its buffer or raises."""

    def __init__(self, stream):
        self._stream = stream

    def readinto(self, buffer) -> None:
        if self._stream.readinto(buffer) < memoryview(buffer).nbytes:
            raise EOFError('it is cut short')


def read(path: str, kinds: str = NUMBERS, what: str = _WHAT, remedy: str = limits.ANEW,
         objects: Optional[Objects] = None) -> np.ndarray:
    """Reads a .npy file.

    Args:
      path: str; kinds: str, allowed kinds of its dtype, as in `numpy.dtype.kind`.
      what: str, what the file should be; remedy: str, a sentence; both for messages.
      objects: as in `read_archive`.
    Returns:
      np.ndarray of any shape, which may be written to.
    Raises:
      errors.InputError: it is missing, damaged, cut short, or holds other values.
    """
    with limits.opened(path, what, remedy) as (stream, size):
        if stream.read(4) == b'PK\3\4':
            raise ValueError('it is an archive of several arrays (.npz)')
        stream.seek(0)
        header = read_header(stream, kinds + ('O' if objects else ''))
        if objects is not None and header.dtype.kind == 'O':
            limits.check_size(path, 'its pickle', size, limits.MAX_BYTES, remedy)
            return objects(stream.read(), path, header.shape)
        return _values(_Exact(stream), header, size - stream.tell())


def read_archive(path: str, names: Optional[Sequence[str]] = None, kinds: str = NUMBERS + TEXT,
                 what: str = 'an .npz file', remedy: str = limits.ANEW, most: int = 0,
                 objects: Optional[Objects] = None,
                 leave_out: Sequence[str] = ()) -> Dict[str, np.ndarray]:
    """Reads the arrays of a .npz file.

    Args:
      path: str.
      names: which arrays, those of them that are there; None: all.
      kinds: str, allowed kinds of their dtypes.
      what, remedy: str, for messages.
      most: int, bytes that the file may take unpacked; 0: see `limits.unpacked`.
      objects: None (arrays of objects are refused), or function (bytes of a pickle, label for
        messages, shape) -> value, such as `pickles.objects`.
      leave_out: names that are not read.
    Returns:
      dict {name: np.ndarray of any shape}, in the file's order.
    Raises:
      errors.InputError: it is missing, damaged, takes too much, or holds other values.
    """
    arrays = {}
    with archives.opened(path, what, remedy, most) as archive:
        for member in archive.sizes:
            name = member[:-4] if member.endswith('.npy') else None
            if name is None or name in leave_out or names is not None and name not in names:
                continue
            label = '{} of {}'.format(errors.quote(name), path)
            with archive.opened(member) as stream:
                header = read_header(stream, kinds + ('O' if objects else ''))
                if objects is not None and header.dtype.kind == 'O':
                    arrays[name] = objects(stream.read(), label, header.shape)
                else:
                    arrays[name] = _values(stream, header, stream.left)
                    stream.finish()
        if not arrays and not any(member.endswith('.npy') for member in archive.sizes):
            raise ValueError('it is an archive without arrays')
    return arrays

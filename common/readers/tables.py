"""TensorFlow's tables (a checkpoint's .index, checkpoints of one file): are its blocks within it?

TensorFlow allocates what a table says that its blocks take, and dies of what no machine has.
"""
import os
import struct
from typing import BinaryIO, List, Tuple

_FOOTER, _MAGIC = 48, b'\x57\xfb\x80\x8b\x24\x75\x47\xdb'
_TRAILER = 5                # bytes behind a block: how it is packed, and its checksum
_MOST_INDEX = 256 << 20     # bytes of the block that lists the others


def check(path: str) -> None:
    """Looks at the places of all blocks; what is no table is left to TensorFlow, which says so.

    Raises:
      ValueError: a block leads out of the file.
    """
    with open(path, 'rb') as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - _FOOTER))
        footer = stream.read(_FOOTER)
        if len(footer) < _FOOTER or not footer.endswith(_MAGIC):
            return
        _, place = _handle(footer, 0, size)
        (start, length), _ = _handle(footer, place, size)
        if length <= _MOST_INDEX:
            _check_index(stream, start, length, size)


def _check_index(stream: BinaryIO, start: int, length: int, size: int) -> None:
    """Looks at the places of the blocks that an index lists, if it is not packed itself."""
    stream.seek(start)
    data = stream.read(length + 1)
    if len(data) < 5 or data[-1]:
        return
    data = data[:-1]
    end = len(data) - 4 - 4 * struct.unpack('<I', data[-4:])[0]
    place = 0
    while place < end:
        (_, key, value), place = _numbers(data, place, 3)
        _handle(data, place + key, size)
        place += key + value


def _handle(data: bytes, place: int, size: int) -> Tuple[Tuple[int, int], int]:
    """Reads ((first byte, bytes) of a block of a file of `size` bytes, what comes next)."""
    (start, length), place = _numbers(data, place, 2)
    if start + length + _TRAILER > size:
        raise ValueError('a block of {} bytes at byte {} of {}'.format(length, start, size))
    return (start, length), place


def _numbers(data: bytes, place: int, count: int) -> Tuple[List[int], int]:
    """Reads numbers of seven bits a byte, the lowest first; returns them and what comes next."""
    result = []
    for _ in range(count):
        number = shift = 0
        while True:
            if place >= len(data) or shift > 63:
                raise ValueError('its index is cut short')
            byte = data[place]
            number |= (byte & 127) << shift
            place, shift = place + 1, shift + 7
            if byte < 128:
                break
        result.append(number)
    return result, place

"""How much a file may take, and what a file is before anything reads it.

A file of N bytes may become `unpacked(N)` bytes in memory: what is stored as it stands is bounded
by the file, what is packed by a size that real files of the kind fit.
"""
import contextlib
import os
import stat
import struct
import sys
import zipfile
import zlib
from io import BufferedReader
from typing import Iterator, Sequence, Tuple

from common import errors

MAX_BYTES = 512 << 20   # of arrays that a small file may become
_RATIO = 16             # of a large one to its size
ANEW = 'Get it anew.'
# What libraries raise on a file that is damaged or lies about itself.
DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
          OverflowError, MemoryError, RuntimeError, ImportError, ZeroDivisionError,
          struct.error, zlib.error, zipfile.BadZipFile)
# How files of programs that pack begin; none of the formats that are read here begins so.
_PACKED = {b'\x1f\x8b': 'gzip', b'BZh': 'bzip2', b'\xfd7zXZ\0': 'xz', b"7z\xbc\xaf'\x1c": '7-Zip',
           b'Rar!\x1a\x07': 'RAR', b'\x28\xb5\x2f\xfd': 'Zstandard'}


def unpacked(size: int, most: int = 0) -> int:
    """Returns how many bytes a file may become in memory.

    Args:
      size: int, bytes of the file; most: int, a limit of the caller's; 0: `MAX_BYTES`.
    """
    return max(most or MAX_BYTES, _RATIO * size)


def bound(kind: int, most: int) -> None:
    """Bounds what this process may take of something; a lower bound of the machine's stays.

    Args:
      kind: int, such as `resource.RLIMIT_AS`; most: int, in its unit.
    """
    import resource  # here, since Windows has none
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def human(size: int) -> str:
    """Returns a number of bytes with a unit."""
    exponent = min(4, max(0, size.bit_length() - 1) // 10)
    if size >> 60:
        return 'more than a million TiB'
    return '{:.3g} {}'.format(size / 1024 ** exponent,
                              ('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[exponent])


def check_size(path: str, name: str, size: int, most: int, remedy: str = ANEW) -> None:
    """Raises an InputError if `name` of a file takes more than `most` bytes."""
    if size > most:
        raise errors.InputError('{}: {} takes {}, more than the {} that such a file may take. {}'
                                .format(path, errors.quote(name), human(size), human(most), remedy))


@contextlib.contextmanager
def telling(path: str, what: str, remedy: str = ANEW) -> Iterator[None]:
    """Makes one line of whatever a library raises in a damaged file.

    Args:
      path: str; what: str, what it should be, such as 'an .npz file'; remedy: str, a sentence.
    Raises:
      errors.InputError: '<path> cannot be read as <what>: <reason>. <remedy>'
    """
    try:
        yield
    except RecursionError:
        raise errors.InputError('{} cannot be read as {}: it is nested too deeply. {}'.format(
            path, what, remedy))
    except FileNotFoundError:
        raise errors.InputError('cannot read {}: there is no such file. {}'.format(path, remedy))
    except DAMAGE as error:
        raise errors.InputError('{} cannot be read as {}: {}. {}'.format(
            path, what, errors.reason(error), remedy))


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keeps from the terminal what a library in C writes there itself, beside what it raises.

    For short calls: what other threads print meanwhile is lost.
    """
    try:
        kept = os.dup(2)
    except OSError:     # nobody hears it
        yield
        return
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def look(path: str, what: str, remedy: str = ANEW) -> Tuple[bytes, int]:
    """Returns the first bytes of a file and its size.

    Args:
      path: str; what: str, what it should be; remedy: str, a sentence.
    Returns:
      (bytes, up to 512 of them; int).
    Raises:
      errors.InputError: it is missing, a folder or a device, empty, or something that is saved
        under a data file's name by mistake (a pointer of Git LFS, a web page).
    """
    with opened(path, what, remedy) as (stream, size):
        head = stream.read(512)
    return head, size


@contextlib.contextmanager
def opened(path: str, what: str, remedy: str = ANEW) -> Iterator[Tuple[BufferedReader, int]]:
    """Opens a file that was looked at as in `look`; yields (binary stream, size in bytes)."""
    with regular(path, what, remedy) as (stream, size):
        head = stream.read(512)
        stream.seek(0)
        _refuse_impostors(path, head, what, remedy)
        yield stream, size


@contextlib.contextmanager
def regular(path: str, what: str, remedy: str = ANEW) -> Iterator[Tuple[BufferedReader, int]]:
    """Opens a regular file, whatever is in it; yields (binary stream, size in bytes).

    Raises:
      errors.InputError: it is missing, a folder, a pipe or a device, or may not be read.
    """
    check_regular(path, what, remedy)
    with telling(path, what, remedy):
        stream = open(path, 'rb')
    with stream, telling(path, what, remedy):
        yield stream, os.fstat(stream.fileno()).st_size


def check_regular(path: str, what: str, remedy: str = ANEW) -> None:
    """Raises an InputError if a path is no regular file: a pipe would block, a device never end."""
    with telling(path, what, remedy):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise errors.InputError('{} is no regular file; expected {}. {}'.format(
                path, what, remedy))


def _refuse_impostors(path: str, head: bytes, what: str, remedy: str) -> None:
    start = head.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if not head:
        raise errors.InputError('{} is empty; expected {}. {}'.format(path, what, remedy))
    if start.startswith(b'version https://git-lfs'):
        raise errors.InputError('{} is a pointer of Git LFS, not the file itself; expected {}. Get '
                                'the file with: git lfs pull'.format(path, what))
    packed = [name for mark, name in _PACKED.items() if head.startswith(mark)]
    if packed:
        raise errors.InputError('{} is packed ({}); expected {}. Unpack it first.'.format(
            path, packed[0], what))
    if start.startswith((b'<!doctype html', b'<html', b'<head', b'<?xml')):
        raise errors.InputError('{} is a web page that was saved under this name; expected {}. '
                                'Download the file itself (a login or a quota may be in the way).'
                                .format(path, what))


def content(path: str, what: str, remedy: str = ANEW, most: int = MAX_BYTES) -> bytes:
    """Returns all bytes of a file of at most `most` bytes; errors as in `look`."""
    with opened(path, what, remedy) as (stream, size):
        check_size(path, 'the file', size, most, remedy)
        return stream.read()


def count(shape: Sequence[int]) -> int:
    """Returns the number of elements of a shape, which may be absurd, without overflow."""
    result = 1
    for size in shape:
        result *= int(size)
    return result

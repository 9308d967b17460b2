"""Zip archives from outside (.npz, PyTorch's .pt), checked before anything is unpacked."""
import contextlib
import os
import shutil
import zipfile
from typing import Dict, Iterator, List, Sequence

from common import errors, files
from common.readers import folders, limits

_MOST_MEMBERS = 100000
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BLOCK = 1 << 20


class Archive:
    """The members of an opened archive.

    Attributes:
      path: str; sizes: dict {name: int, bytes unpacked}.
    """

    def __init__(self, path: str, archive: zipfile.ZipFile, most: int, what: str, remedy: str):
        self.path = path
        self._archive, self._what, self._remedy = archive, what, remedy
        members = archive.infolist()
        if len(members) > _MOST_MEMBERS:
            raise ValueError('it has {} members'.format(len(members)))
        self._members: Dict[str, zipfile.ZipInfo] = {}
        for member in members:
            self._check(member)
            self._members[member.filename] = member
        self.sizes = {name: member.file_size for name, member in self._members.items()}
        limits.check_size(path, 'its content', sum(self.sizes.values()), most, remedy)

    def _check(self, member: zipfile.ZipInfo) -> None:
        name = member.filename
        parts = name.replace('\\', '/').split('/')
        if name in self._members:
            raise ValueError('two members are named {}'.format(errors.quote(name)))
        if name.startswith('/') or '..' in parts or ':' in parts[0]:
            raise ValueError('the member {} leads out of it'.format(errors.quote(name)))
        if member.flag_bits & 1:
            raise ValueError('{} is encrypted'.format(errors.quote(name)))
        if member.compress_type not in _KINDS:
            raise ValueError('{} is packed by method {}'.format(errors.quote(name),
                                                               member.compress_type))

    def __contains__(self, name: str) -> bool:
        return name in self._members

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator['_Member']:
        """Opens a member as a binary stream that is no longer than the archive's list says."""
        what = '{}: its member {}'.format(self._what, errors.quote(name, 30))
        with limits.telling(self.path, what, self._remedy):
            with self._archive.open(self._members[name]) as stream:
                yield _Member(stream, self.sizes[name])

    def read(self, name: str) -> bytes:
        """Returns the bytes of a member."""
        with self.opened(name) as stream:
            return stream.read()


class _Member:
    """A stream whose reads, in blocks, never ask for more than is left."""

    def __init__(self, stream, size: int):
        self._stream, self.left = stream, size

    def read(self, size: int = -1) -> bytes:
        """Returns up to `size` bytes; all that are left without it."""
        size = self.left if size is None or size < 0 else min(size, self.left)
        self.left -= size
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError('it is cut short')
        return data

    def readinto(self, buffer) -> None:
        """Fills a buffer; an EOFError if there is too little."""
        view = memoryview(buffer).cast('B')
        for start in range(0, len(view), _BLOCK):
            part = view[start:start + _BLOCK]
            data = self.read(len(part))
            if len(data) < len(part):
                raise EOFError('it is cut short')
            part[:] = data

    def finish(self) -> None:
        """Reads what is left, so that its checksum is looked at."""
        while self.left:
            self.read(_BLOCK)


@contextlib.contextmanager
def opened(path: str, what: str = 'an archive', remedy: str = limits.ANEW,
           most: int = 0) -> Iterator[Archive]:
    """Opens a zip archive.

    Args:
      path: str; what: str, what the file should be; remedy: str, a sentence.
      most: int, bytes that its members may take together; 0: see `limits.unpacked`.
    Yields:
      Archive.
    Raises:
      errors.InputError: it is missing, damaged, or takes too much.
    """
    with limits.opened(path, what, remedy) as (stream, size):
        with zipfile.ZipFile(stream) as archive:
            yield Archive(path, archive, limits.unpacked(size, most), what, remedy)


def unpack(path: str, folder: str, extensions: Sequence[str]) -> List[str]:
    """Unpacks the data files of an archive, not what systems leave in it (__MACOSX, hidden files).

    Args:
      path: str; folder: str, where to; a file that is there with its size already stays.
      extensions: in small letters, with the dot.
    Returns:
      list of names, of empty members: they are not unpacked, as a file takes milliseconds to make.
    Raises:
      errors.InputError: see `opened`; or none of its members has such an ending, or all are empty.
    """
    with opened(path, 'an archive of data files') as archive:
        members = {name: name.replace('\\', '/').split('/') for name in archive.sizes
                   if os.path.splitext(name)[1].lower() in extensions}
        members = {name: parts for name, parts in members.items()
                   if all(map(folders.is_data, parts))}
        if not members:
            raise errors.InputError('{} has no {} files.'.format(path, ' '.join(extensions)))
        empty = [name for name in members if not archive.sizes[name]]
        if len(empty) == len(members):
            raise errors.InputError('{}: all of its {} files are empty, such as {}. {}'.format(
                path, len(empty), errors.quote(empty[0]), limits.ANEW))
        for name, parts in members.items():
            target = os.path.join(folder, *parts)
            size = archive.sizes[name]
            if not size or os.path.isfile(target) and os.path.getsize(target) == size:
                continue
            with archive.opened(name) as member, files.replacing(target) as temporary:
                with open(temporary, 'wb') as stream:
                    shutil.copyfileobj(member, stream)
        return empty

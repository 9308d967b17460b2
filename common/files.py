"""Writing files so that a reader never meets half of one."""
import contextlib
import json
import os
import re
import tempfile
from typing import Any, Iterator

from common import errors

LOCK = '.lock'      # one process at a time writes where this is
_MARK = '.tmp-'     # in the names of temporary files
_TEMPORARY = re.escape(_MARK) + r'[a-z0-9_]{8}(\.\w+)?$'


def remove_temporary(folder: str) -> None:
    """Deletes the temporary files that killed processes have left in a folder and below it.

    Args:
      folder: str; nobody else writes there now. Folders below it that have a lock of their own are
        left to those who hold it.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders
                      if not os.path.exists(os.path.join(place, name, LOCK))]
        for name in names:
            if name.startswith('.') and re.search(_TEMPORARY, name):
                os.remove(os.path.join(place, name))


def make_folder(path: str) -> None:
    """Makes a folder, and those above it, where they are not there.

    Raises:
      errors.InputError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise errors.InputError('cannot make the folder {}: {}. Choose another place for the '
                                'output.'.format(path, error.strerror))


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields the name of a temporary file that takes the place of `path` when the block ends well.

    The temporary file lies in the same folder (so that the exchange is one rename) and keeps the
    extension of `path`. When the block raises, `path` stays as it was and the temporary file goes.

    Args:
      path: str, the final name; folders above it are made.
    Yields:
      str, the name to write to.
    Raises:
      errors.InputError: the folder cannot be made or written to, or the disk is full.
    """
    folder, name = os.path.split(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        stem, extension = os.path.splitext(name)
        handle, temporary = tempfile.mkstemp(prefix='.{}{}'.format(stem, _MARK), suffix=extension,
                                             dir=folder)
        os.close(handle)
    except OSError as error:
        raise errors.InputError('cannot write {}: {}. Choose another --output_path or free the '
                                'place.'.format(path, error.strerror))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        raise errors.InputError('cannot write {}: {}. Choose another --output_path or free the '
                                'place.'.format(path, error.strerror or error))
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def write_text(path: str, text: str) -> None:
    """Writes a text file (UTF-8) in one exchange; bytes of names that are none stand escaped."""
    with replacing(path) as temporary:
        with open(temporary, 'w', encoding='utf-8', errors='backslashreplace',
                  newline='\n') as stream:
            stream.write(text)


def write_json(path: str, value: Any, sort_keys: bool = True) -> None:
    """Writes JSON, indented and with sorted keys (or in their own order), in one exchange."""
    write_text(path, json.dumps(value, indent=2, sort_keys=sort_keys) + '\n')

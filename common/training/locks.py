"""One run at a time writes into an output folder: a lock file that ends with its process."""
import contextlib
import errno
import os
import stat
from typing import Any, Iterator

from common import cli, errors, files

try:
    import fcntl
except ImportError:     # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt


class Lock:
    """A lock that this process holds.

    Attributes:
      path: str, of the lock file.
    """

    def __init__(self, path: str, stream: Any):
        self.path = path
        self._stream = stream

    def is_ours(self) -> bool:
        """Returns whether the file of that name is still the one that was locked."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._stream.fileno()))
        except OSError:
            return False


def _take(stream):
    """Locks an open file without waiting; raises BlockingIOError where another process has it."""
    if fcntl is not None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    try:
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EDEADLK):
            raise BlockingIOError(error.errno, error.strerror)
        raise


@contextlib.contextmanager
def hold(output_path: str) -> Iterator[Lock]:
    """Holds the lock of an output folder, which ends with the process, however that ends.

    Raises:
      errors.InputError: another process has it, or the folder cannot be written to.
    """
    path = os.path.join(output_path, files.LOCK)
    try:
        # A link in a folder that came from outside could lead to any file of the user's.
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise errors.InputError('cannot write {}: it is no regular file. Remove it, or choose '
                                    'another --output_path.'.format(path))
        stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND
                                   | getattr(os, 'O_NOFOLLOW', 0), 0o666), 'a+', encoding='utf-8')
    except OSError as error:
        raise errors.InputError('cannot write {}: {}. Choose another --output_path.'.format(
            path, error.strerror)) from error
    with stream:
        try:
            _take(stream)
        except BlockingIOError as error:
            stream.seek(0)
            raise errors.InputError(
                'another run (process {}) is writing into {}. Wait for its end, or choose another '
                '--output_path.'.format(stream.read().strip() or 'unknown', output_path)) from error
        except OSError as error:  # some network file systems have no locks
            cli.say('note: no lock on {} ({}); start no second run there'.format(
                output_path, error.strerror))
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield Lock(path, stream)

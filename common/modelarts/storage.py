"""Object storage, as moxing reaches it. The only file that imports moxing.

moxing runs in a process of its own (`serve`), since it may hang.
"""
import contextlib
import errno
import json
import os
import select
import subprocess
import sys
import time
from concurrent import futures
from typing import Any, Callable, Dict, NamedTuple, Optional

from common import errors, redact
from common.modelarts import places

_PAUSE = 0.5        # seconds before a further attempt; doubled with each failure in a row
_LONGEST_PAUSE = 20.0
_SAID = 5.0         # seconds of a pause from which a line tells it
_HANG = 5           # failures that a call which hangs counts as
_SLOWEST = 1e6      # bytes a second that a single transfer must reach on top of the time-out
_LIFE = 0.5         # seconds between signs of life of a long listing
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Patience(NamedTuple):
    """When to give storage up.

    Attributes:
      attempts: failures in all at which one operation (the way of one file, one listing) is given
        up; a call that hangs counts as five.
      timeout: seconds without any progress after which a call counts as hanging.
    """

    attempts: int = 30
    timeout: float = 300.0


USUAL = Patience()


class Failed(Exception):
    """A call of moxing went wrong; another attempt may help."""

    weight = 1


class _Gone(Failed):
    """The process of moxing has ended."""


class _Hung(_Gone):
    weight = _HANG


class Attempts:
    """Counts the failures of one operation and pauses after each, longer the more follow in a row.

    Args:
      place: str, for messages.
      total: int, failures at which to give up.
    """

    def __init__(self, place: str, total: int):
        self._place, self._total = place, total
        self._failures = self._tries = self._in_a_row = 0

    def succeeded(self) -> None:
        """Notes that a call went well: the next pause is short again."""
        self._in_a_row = 0

    def failed(self, error: Failed) -> None:
        """Notes a failure and pauses.

        Raises:
          errors.InputError: it was one too many.
        """
        self._tries += 1
        self._failures += error.weight
        if self._failures >= self._total:
            raise errors.InputError('{}: {} (gave up after {} attempts; --obs_attempts allows '
                                    'more).'.format(self._place, error, self._tries)) from error
        pause = min(_PAUSE * 2 ** min(self._in_a_row, 10), _LONGEST_PAUSE)
        self._in_a_row += 1
        if pause >= _SAID:
            say('note: {}: {}; trying again in {:.0f} s'.format(self._place, error, pause))
        time.sleep(pause)


class Storage:
    """Calls functions of moxing: exists, size, sizes, copy, copy_parallel, rename, remove.

    Args:
      place: str, for messages, without credentials.
      patience: Patience.
    """

    def __init__(self, place: str, patience: Patience):
        self._place, self._patience = place, patience
        self._worker: Optional[_Worker] = None

    def attempts(self) -> Attempts:
        """Returns the count of failures of a new operation."""
        return Attempts(self._place, self._patience.attempts)

    def once(self, function: str, *arguments: Any, count: int = 0, watch: Optional[str] = None,
             **options: Any) -> Any:
        """Calls moxing once.

        Args:
          function: str; `arguments`, `options`: its own.
          count: int, bytes to be copied, which allow for more time.
          watch: None or a folder; its growth counts as progress.
        Raises:
          Failed: the call failed, hung, or ended the process.
          errors.InputError: moxing is missing, or the local disk is full.
        """
        if self._worker is None:
            self._worker = _Worker(self._patience.timeout)
        try:
            return self._worker.call(
                {'function': function, 'arguments': arguments, 'options': options},
                count / _SLOWEST, watch)
        except _Gone:
            self.close()  # the next attempt starts afresh
            raise

    def call(self, function: str, *arguments: Any, count: int = 0,
             attempts: Optional[Attempts] = None) -> Any:
        """Calls moxing until it works.

        Args:
          function, arguments, count: see `once`.
          attempts: Attempts of the operation that the call is part of; None: it is one by itself.
        Raises:
          errors.InputError: it failed too often, moxing is missing, or the local disk is full.
        """
        attempts = attempts or self.attempts()
        while True:
            try:
                result = self.once(function, *arguments, count=count)
            except Failed as error:
                attempts.failed(error)
            else:
                attempts.succeeded()
                return result

    def close(self) -> None:
        """Ends the process of moxing."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def say(line: str) -> None:
    """Prints a line; a copy goes on when nobody reads this any more."""
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)


class _Worker:
    """The process that imports moxing and does what it is told, one request a line."""

    def __init__(self, timeout):
        self._timeout = timeout
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-c',
                 'from common.modelarts import storage; storage.serve()'], cwd=_ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True)
        except OSError as error:    # out of memory or processes
            raise Failed('no process for moxing can be started: {}'.format(error)) from error
        self._unread = b''

    def call(self, request, seconds, watch):
        """Sends a request (see `serve`) and waits for its result; see `Storage.once`."""
        try:
            self._process.stdin.write(json.dumps(request).encode() + b'\n')
            self._process.stdin.flush()
        except OSError:
            raise _Gone('the process of moxing has ended')
        reply = json.loads(self._line(seconds, watch).decode())
        if reply.get('missing'):
            raise errors.InputError(
                'URLs of object storage need the package moxing, which comes with ModelArts ({}). '
                'Elsewhere copy the data to a folder and name that.'.format(reply['missing']))
        if reply.get('broken'):
            raise errors.InputError('moxing cannot be used: {}.'.format(
                redact.message(reply['broken'])))
        if reply.get('errno') == errno.ENOSPC:
            raise places.disk_full(os.path.dirname(request['arguments'][-1]))
        if 'error' in reply:
            raise Failed('moxing failed at "{}": {}'.format(
                request['function'], redact.message(reply['error'])))
        return reply['result']

    def _line(self, seconds, watch):
        """Waits for a line; a sign of life or growth of the folder `watch` gives it more time."""
        deadline, before = time.monotonic() + self._timeout + seconds, None
        while True:
            line, ended, rest = self._unread.partition(b'\n')
            if ended:
                self._unread = rest
                if line:
                    return line
                deadline = time.monotonic() + self._timeout + seconds   # a sign of life
                continue
            ready = select.select([self._process.stdout], [], [], min(1.0, self._timeout))[0]
            if ready:
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    raise _Gone('the process of moxing has ended')
                self._unread += part
            elif watch is not None:
                now = _growth(watch)
                if now != before:
                    before, deadline = now, time.monotonic() + self._timeout
            if time.monotonic() > deadline:
                raise _Hung('moxing gave no sign of life for {:.0f} s'.format(
                    self._timeout + seconds))

    def close(self):
        """Ends the process, however it hangs."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _growth(folder):
    """Returns a number of bytes that changes while a folder fills."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += 1 + os.path.getsize(os.path.join(root, name))
    return total


def _persistent(function, *arguments, **options):
    """Calls a function of moxing that changes nothing, with several attempts."""
    for attempt in range(12):
        try:
            return function(*arguments, **options)
        except Exception:  # of any kind; the last attempt tells what it is
            time.sleep(min(0.03 * 2 ** attempt, 1.0))
    return function(*arguments, **options)


def _sizes(files, url: str, show_life: Callable[[], None]) -> Dict[str, int]:
    """Lists a folder of object storage at any depth, {name: bytes}; runs beside moxing.

    Args:
      files: moxing.file; url: str; show_life: called again and again.
    """
    names = _persistent(files.list_directory, url, recursive=True)
    folders = {name.rstrip('/') for name in names if name.endswith('/')}
    for name in names:
        parts = name.rstrip('/').split('/')
        folders.update('/'.join(parts[:end]) for end in range(1, len(parts)))
    names = [name for name in names if name.rstrip('/') not in folders]
    with futures.ThreadPoolExecutor(16) as pool:
        sizes = []
        for count in pool.map(lambda name: _persistent(files.get_size, url + '/' + name), names):
            sizes.append(count)
            show_life()
        # Folders without files end up among the names too; their size is zero.
        empty = [name for name, count in zip(names, sizes) if not count]
        are_folders = pool.map(
            lambda name: _persistent(files.is_directory, url + '/' + name), empty)
        folders = {name for name, is_folder in zip(empty, are_folders) if is_folder}
    return {name: count for name, count in zip(names, sizes) if name not in folders}


def serve() -> None:
    """Answers requests on stdin, {"function", "arguments", "options"}, with a line of JSON each."""
    replies = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)   # what moxing prints is no reply
    os.environ['MOX_SILENT_MODE'] = '1'
    last_sign = [time.monotonic()]

    def show_life():
        """Writes an empty line every now and then, between the answers."""
        if time.monotonic() > last_sign[0] + _LIFE:
            last_sign[0] = time.monotonic()
            print(file=replies, flush=True)

    try:
        import moxing  # here: it moves logging and may fail, and only this process has it
        files = moxing.file
        functions = {'exists': files.exists, 'size': files.get_size, 'copy': files.copy,
                     'rename': files.rename, 'remove': files.remove,
                     'copy_parallel': files.copy_parallel,
                     'sizes': lambda url: _sizes(files, url, show_life)}
    except ImportError as error:
        print(json.dumps({'missing': str(error)}), file=replies, flush=True)
        return
    except Exception as error:  # a broken installation: told as it is
        print(json.dumps({'broken': '{}: {}'.format(type(error).__name__, error)}), file=replies,
              flush=True)
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = functions[request['function']](*request['arguments'], **request['options'])
            reply = {'result': result if request['function'] in ('exists', 'size', 'sizes')
                     else None}
        except Exception as error:  # whatever moxing raises: told to the process that asked
            reply = {'error': '{}: {}'.format(type(error).__name__, error),
                     'errno': getattr(error, 'errno', None)}
        print(json.dumps(reply), file=replies, flush=True)

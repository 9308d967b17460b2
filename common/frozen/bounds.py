"""Bounds of memory of what a frozen graph may take, and the ends of processes that run one."""
import os
import signal
import sys
import threading
import time
from typing import Callable, Optional

_MOST_MEMORY = 2 ** 34      # bytes
_PAUSE = 0.05               # seconds between two looks
_GRACE_MEMORY = 2           # seconds that TensorFlow has to stop a graph that grows
GRACE = 30                  # seconds beyond a timeout, to end by itself


def memory_limit() -> int:
    """Returns the bytes that a graph may take: of the machine's memory a quarter stays free."""
    try:
        return min(_MOST_MEMORY,
                   os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') * 3 // 4)
    except (AttributeError, ValueError, OSError):   # Windows has no sysconf
        return _MOST_MEMORY


def resident(process: int) -> Optional[int]:
    """Returns the bytes of memory that a process holds; None where the system does not tell."""
    try:
        with open('/proc/{}/statm'.format(process), encoding='ascii') as stream:
            pages = int(stream.read().split()[1])   # 0 of a process that has ended
    except (OSError, IndexError):
        return None
    return pages * os.sysconf('SC_PAGE_SIZE')


class Watch:
    """Stops what runs inside the `with` block once it takes too much memory or time.

    TensorFlow looks at its timeout, and whether its session was closed, where a loop asks for its
    condition; a loop whose condition it has found to be constant never does, and goes on for ever.
    Such a one ends the process, with a line and exit code 1.

    Args:
      path: str, of the graph, for messages.
      most: bytes by which this process may grow; seconds: float, after which it should have ended.
      stop: function without arguments that stops it, called from another thread.

    Attributes:
      excess: str, a sentence on what it took too much of, once `stop` was called; else ''.
    """

    def __init__(self, path: str, most: float, seconds: float, stop: Callable[[], None]):
        self._path, self._most, self._seconds, self._stop = path, most, seconds, stop
        self._done = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self.excess = ''

    def __enter__(self) -> 'Watch':
        self._thread = threading.Thread(
            target=self._look, args=[resident(os.getpid()) or 0, time.monotonic()], daemon=True)
        self._thread.start()
        return self

    def _look(self, before, began):
        while not self._done.wait(_PAUSE):
            if time.monotonic() - began > self._seconds + GRACE:
                self._end('{} did not end within {:g} s.'.format(self._path, self._seconds))
            if (resident(os.getpid()) or 0) - before > self._most:
                self.excess = '{} took more than {:.3g} GiB of memory and was stopped.'.format(
                    self._path, self._most / 2 ** 30)
                # TensorFlow's `close` waits for what does not end.
                threading.Thread(target=self._stop, daemon=True).start()
                if not self._done.wait(_GRACE_MEMORY):
                    self._end(self.excess)
                return

    def _end(self, sentence):
        sys.stdout.flush()
        print('error: {} TensorFlow cannot stop it, so the process ends. Take a graph that '
              'freeze_graph.py wrote.'.format(sentence), file=sys.stderr, flush=True)
        os._exit(1)

    def __exit__(self, *unused: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()


def end_with_parent(pipe: int) -> None:
    """Ends this process as soon as nobody has the other end of a pipe open any more.

    A child whose parent was killed would go on with a graph that has no end.

    Args:
      pipe: int, file descriptor of the reading end; this process has closed the other one.
    """
    def wait():
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()

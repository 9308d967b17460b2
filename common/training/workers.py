"""Processes that make batches ahead of a training.

A batch is made from its number alone: how many workers there are changes nothing. Worker w makes
the batches w, w + workers, ... and sends them through a pipe of its own; the reader takes turns.
Either side alone holds its end of a pipe, so that the other one notices when it dies, also in the
midst of a batch. The processes are forked before a session exists, since neither TensorFlow nor an
NPU stands a fork after that.
"""
import collections
import concurrent.futures.process
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, Callable, Iterator, Sequence

from common import errors
from common.training import reporting


def fork_context() -> Any:
    """Returns the way to start processes: by a fork, where the system has that."""
    has_fork = 'fork' in multiprocessing.get_all_start_methods()
    return multiprocessing.get_context('fork' if has_fork else 'spawn')


def _clean_context():
    """A way to start processes that also holds where TensorFlow's threads may run already."""
    has_server = 'forkserver' in multiprocessing.get_all_start_methods()
    if 'tensorflow' in sys.modules and has_server:
        return multiprocessing.get_context('forkserver')
    return fork_context()


def num_cpus() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel(function: Callable[[Any], Any], jobs: Sequence[Any], processes: int,
             what: str) -> Iterator[Any]:
    """Yields the results of jobs in their order, made by several processes, and tells how far.

    Args:
      function: of a module, called as `function(job)`; what it gives depends on the job alone.
      jobs: list; processes: int, 1 works in this process; what: str, see `reporting.progress`.
    Raises:
      errors.InputError: what a job met, or that a process has died.
    """
    count = min(processes, len(jobs))
    if count <= 1:
        yield from reporting.progress(map(function, jobs), what, len(jobs))
        return
    with concurrent.futures.ProcessPoolExecutor(count, _clean_context()) as pool:
        # A few jobs ahead, so that results do not pile up in memory.
        waiting = collections.deque(pool.submit(function, job) for job in jobs[:3 * count])
        coming = iter(jobs[3 * count:])

        def results():
            while waiting:
                result = waiting.popleft().result()
                for job in itertools.islice(coming, 1):
                    waiting.append(pool.submit(function, job))
                yield result

        try:
            yield from reporting.progress(results(), what, len(jobs))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise errors.InputError(
                '{}: a process has died (killed, or out of memory?). Give the same command again, '
                'with fewer processes.'.format(what)) from error
        # Of an error the few jobs ahead come to their end: Python 3.7 may wait for ever on a pool
        # with cancelled ones.


class Workers:
    """Processes that make batches ahead; a context manager. `begin` says where they start.

    Args:
      make: function (number) -> batch; it runs in the workers.
      count: int, processes; 0 makes batches when they are asked for, as does a system without
        fork.
      depth: int, batches that wait at most, in all.

    Attributes:
      waited: float, seconds that `get` took, but for the first batch's.
    """

    def __init__(self, make: Callable[[int], Any], count: int, depth: int = 15):
        self._make = make
        self._first = self._next = 0
        self.waited = 0.
        context = fork_context()
        if context.get_start_method() != 'fork':    # Windows
            count = 0
        starts = [context.Pipe(duplex=False) for _ in range(count)]
        batches = [context.Pipe(duplex=False) for _ in range(count)]
        self._starts = [sender for _, sender in starts]
        self._batches = [receiver for receiver, _ in batches]
        theirs = [(start, batch) for (start, _), (_, batch) in zip(starts, batches)]
        everything = [end for pipe in starts + batches for end in pipe]
        self._processes = [
            context.Process(target=_work, daemon=True, args=(
                make, ends, place, count, max(1, depth // count), everything))
            for place, ends in enumerate(theirs)]
        for process in self._processes:
            process.start()
        for end in (end for ends in theirs for end in ends):
            end.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def begin(self, first: int) -> None:
        """Starts the work at batch `first`; call it once, before `get`."""
        self._first = self._next = first
        for start in self._starts:
            start.send(first)

    def get(self) -> Any:
        """Returns the next batch, in order.

        Raises:
          errors.InputError: what a worker met, or that it died.
        """
        began = time.perf_counter()
        batch = self._get()
        if self._next > self._first + 1:
            self.waited += time.perf_counter() - began
        return batch

    def _get(self):
        number, self._next = self._next, self._next + 1
        if not self._processes:
            return self._make(number)
        place = (number - self._first) % len(self._processes)
        try:
            error, batch = self._batches[place].recv()
        except (EOFError, OSError):
            process = self._processes[place]
            process.join()
            raise errors.InputError(
                'the loader process {} ended with exit code {} before batch {} (killed, or '
                'out of memory?). Start again: the run goes on from its last checkpoint.'
                .format(place, process.exitcode, number))
        if error is not None:
            self.close()
            raise error
        return batch

    def close(self) -> None:
        """Ends the processes; nothing waits for them."""
        for process in self._processes:
            process.terminate()
        for end in self._starts + self._batches:
            end.close()
        for process in self._processes:
            process.join(5)
        self._processes = []


def _work(make, ends, place, step, depth, everything):
    """Runs in a worker: sends (error or None, batch) until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # the parent decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for end in everything:
        if end not in ends:
            end.close()
    start, batches = ends
    try:
        number = start.recv() + place
    except EOFError:
        return
    waiting = queue.Queue(depth)
    sender = threading.Thread(target=_send, args=(waiting, batches), daemon=True)
    sender.start()
    error = None
    while error is None:
        batch = None
        try:
            batch = make(number)
        except errors.InputError as caught:
            error = caught
        except Exception as caught:  # whatever it is, the run has to end with it
            last = traceback.extract_tb(caught.__traceback__)[-1]
            error = errors.InputError('a loader process failed at {}:{}: {!r}'.format(
                os.path.basename(last.filename), last.lineno, caught))
        waiting.put((error, batch))
        number += step
    sender.join()


def _send(waiting, batches):
    error = None
    while error is None:
        item = waiting.get()
        try:
            batches.send(item)
        except Exception:   # the reader is gone, or this cannot be sent: either way all is over
            os._exit(1)
        error = item[0]

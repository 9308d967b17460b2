"""Processes that make batches ahead of a training.

A batch is made from its number alone: how many workers there are changes nothing. Worker w makes
the batches w, w + workers, ... into a queue of its own; the reader takes turns. The processes are
forked before a session exists, since neither TensorFlow nor an NPU stands a fork after that.
"""
import multiprocessing
import os
import queue
import signal
import time
import traceback

from common import errors

_PATIENCE = 0.5     # seconds between two looks at whether the other side still lives


class Workers:
    """Processes that make batches ahead; a context manager. `begin` says where they start.

    Args:
      make: function (number) -> batch; it runs in the workers.
      count: int, processes; 0 makes batches when they are asked for.
      depth: int, batches that wait at most, in all.

    Attributes:
      waited: float, seconds that `get` took, but for the first batch's.
    """

    def __init__(self, make, count, depth=15):
        self._make = make
        self._first = self._next = 0
        self.waited = 0.
        context = multiprocessing.get_context('fork')
        self._queues = [context.Queue(max(1, depth // count)) for _ in range(count)]
        pipes = [context.Pipe(duplex=False) for _ in range(count)]
        self._starts = [sender for _, sender in pipes]
        self._processes = [
            context.Process(target=_work, daemon=True, args=(
                make, receiver, place, count, waiting, os.getpid()))
            for place, ((receiver, _), waiting) in enumerate(zip(pipes, self._queues))]
        for process in self._processes:
            process.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def begin(self, first):
        """Starts the work at batch `first`; call it once, before `get`."""
        self._first = self._next = first
        for start in self._starts:
            start.send(first)

    def get(self):
        """The next batch, in order.

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
        while True:
            try:
                error, batch = self._queues[place].get(timeout=_PATIENCE)
                break
            except queue.Empty:
                process = self._processes[place]
                if not process.is_alive():
                    raise errors.InputError(
                        'the loader process {} ended with exit code {} before batch {} (killed, or '
                        'out of memory?). Start again: the run goes on from its last checkpoint.'
                        .format(place, process.exitcode, number))
        if error is not None:
            self.close()
            raise error
        return batch

    def close(self):
        """Ends the processes; nothing waits for them."""
        for process, waiting in zip(self._processes, self._queues):
            process.terminate()
            waiting.cancel_join_thread()
            waiting.close()
        for process in self._processes:
            process.join(5)
        self._processes = []


def _work(make, start, place, step, waiting, parent):
    """Runs in a worker: puts (error or None, batch) until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # the parent decides when to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while not start.poll(_PATIENCE):
        if os.getppid() != parent:
            return
    number = start.recv() + place
    while True:
        try:
            item = None, make(number)
        except errors.InputError as error:
            item = error, None
        except Exception as error:  # whatever it is, the run has to end with it
            found = traceback.extract_tb(error.__traceback__)[-1]
            item = errors.InputError('a loader process failed at {}:{}: {!r}'.format(
                os.path.basename(found.filename), found.lineno, error)), None
        while True:
            try:
                waiting.put(item, timeout=_PATIENCE)
                break
            except queue.Full:
                if os.getppid() != parent:
                    return
        if item[0] is not None:
            return
        number += step

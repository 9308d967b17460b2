"""Processes that train together watch each other, so that none waits for one that is gone.

For `--distribution tf`, where nothing else does: on TensorFlow 1.15 a collective operation waits
for ever for a process that was killed, on 2 it fails without the cause. Each process posts a sign
of life each second (board.py). Who fails says why before it ends; the others end with that line
and its exit code. Who was killed, or is silent for too long, is named.
"""
import contextlib
import json
import os
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

import tensorflow.compat.v1 as tf

from common import errors
from common.device import ranks as ranks_lib
from common.training import board as board_lib

_BEAT = 1.0         # seconds between signs of life
_LATE = 3.0         # seconds of silence after which the port of a process is looked at
_LINGER = 5.0       # seconds that rank 0 waits until the others have read why it ends
# What a collective operation raises, or a session, when another process is gone.
_CUT_OFF = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
            tf.errors.DeadlineExceededError, tf.errors.InternalError, tf.errors.NotFoundError,
            tf.errors.FailedPreconditionError)


class Nobody:
    """What a process has that trains alone, or whose backend watches by itself."""

    def compare(self, facts: Dict[str, Any]) -> None:
        """Makes sure that all processes have the same facts; waits until all have told theirs.

        Args:
          facts: dict of JSON values.
        Raises:
          errors.UsageError: a process has others.
        """

    def meet(self, is_end: bool = False) -> None:
        """Waits until all processes have come here: no operation between them is under way.

        Args:
          is_end: bool, whether this process needs the others no more.
        """


class Peers(Nobody):
    """The other processes of the cluster, watched by a thread.

    Args:
      ranks: place of this process, with its target; patience: float, seconds without a sign.
    Raises:
      errors.InputError: see `board.Board`; errors.UsageError: rank 0 has another number of them.
    """

    def __init__(self, ranks: ranks_lib.Ranks, patience: float):
        assert ranks.cluster is not None
        self._cluster, self._rank, self._patience = ranks.cluster, ranks.rank, float(patience)
        self._board = board_lib.Board(ranks.cluster, ranks.target, self._patience)
        self._own: Dict[str, Any] = {'beat': 0, 'met': 0, 'state': 'on'}
        self._rows: List[Dict[str, Any]] = [{} for _ in ranks.cluster.addresses]
        now = time.monotonic()
        self._seen: List[Optional[float]] = [now] + [None] * (ranks.size - 1)
        self._last_exchange = now
        self._agreements = 0
        self._lock = threading.Lock()       # who holds it may end this process
        self._over = threading.Event()
        self._check_size(ranks.size)
        # Two threads: an exchange may hang as the training does, and is watched too.
        for work in (self._keep_posting, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def _check_size(self, size):
        if self._board.size == size:
            return
        error = errors.UsageError(
            '{} trains with {} processes, but TF_CONFIG of {} names {}: give all the same cluster.'
            .format(self._cluster.named(0), self._board.size, self._cluster.named(self._rank),
                    size))
        if self._rank < self._board.size:   # else rank 0 expects nothing of this process
            self._own.update(self._failure(error))
            self._board.post('life', json.dumps(self._own))
        raise error

    def compare(self, facts: Dict[str, Any]) -> None:
        """See `Nobody.compare`."""
        self._agreements += 1
        text = json.dumps([self._agreements, facts])
        until = time.monotonic() + self._patience
        while True:
            rows = self._exchanged('facts', text) or []
            answers = [json.loads(row or '[0, {}]') for row in rows]
            missing = [rank for rank, row in enumerate(answers) if row[0] < self._agreements]
            if rows and not missing:
                now = time.monotonic()      # from here on the thread watches all of them
                self._seen = [now if seen is None else seen for seen in self._seen]
                return self._check([row[1] for row in answers])
            if time.monotonic() > until and missing and self._seen[missing[0]] is None:
                raise errors.InputError(
                    '{} has not come within {:.0f} s: is it started, with the same TF_CONFIG but '
                    'for its index, and can it reach {}? --peer_timeout waits longer.'.format(
                        self._cluster.named(missing[0]), self._patience, self._cluster.named(0)))
            time.sleep(0.05)

    def _check(self, facts_of_all):
        for rank, facts in enumerate(facts_of_all):
            for name in sorted(set(facts) | set(facts_of_all[0])):
                one, other = facts_of_all[0].get(name), facts.get(name)
                if one != other:
                    raise errors.UsageError(
                        '{} has {} {}, but {} has {}: all processes need the same.'.format(
                            self._cluster.named(rank), name, errors.quote(other),
                            self._cluster.named(0), errors.quote(one)))

    def meet(self, is_end: bool = False) -> None:
        """See `Nobody.meet`."""
        self._own['met'] += 1
        while not self._over.is_set():
            if not self._beat() and is_end and self._rank:
                break       # rank 0 ends when all have come
            if all(row.get('met', 0) >= self._own['met'] or row.get('state') == 'done'
                   for row in self._rows):
                break
            time.sleep(0.05)
        if is_end:
            self._own['state'] = 'done'

    def end(self, error: Optional[BaseException]) -> None:
        """Tells the others that this process ends, and why; an error of them ends it here.

        Args:
          error: what ends it; None: its work is done.
        """
        if isinstance(error, _CUT_OFF):     # the thread finds out who is gone
            self._over.wait(self._patience + 2 * _LATE)
        with self._lock:
            if self._own['state'] == 'on':
                self._own.update({'state': 'done'} if error is None else self._failure(error))
            self._post_end()

    def _failure(self, error):
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, 'exit_code', 1)
        text = errors.one_line(str(error) or type(error).__name__, 180)
        return {'state': 'failed', 'code': code,
                'line': '{} stopped: {}'.format(self._cluster.named(self._rank), text)}

    def _post_end(self):
        """Posts the last words; rank 0, where they stand, waits until they are read."""
        self._over.set()
        until = time.monotonic() + _LINGER
        self._beat()
        # Who has come but has posted no sign of life yet will read them too.
        while not self._rank and time.monotonic() < until and any(
                row.get('state', 'on') == 'on' and time.monotonic() - (self._seen[rank] or 0)
                < _LATE for rank, row in enumerate(self._rows) if rank):
            time.sleep(0.05)
            self._beat()

    def _keep_posting(self):
        while not self._over.wait(_BEAT):
            self._beat()

    def _watch(self):
        while not self._over.wait(_BEAT):
            with self._lock:
                departed = None if self._over.is_set() else self._lost()
                if departed:
                    self._end_here(*departed)

    def _end_here(self, code, line):
        """Ends the process, whose main thread may wait for ever."""
        try:
            self._own.update({'state': 'failed', 'code': code, 'line': line})
            os.write(2, 'error: {}\n'.format(errors.one_line(line)).encode())
            last_words = threading.Thread(target=self._post_end, daemon=True)
            last_words.start()
            last_words.join(2 * _LINGER)    # an exchange that hangs holds nobody up
        finally:        # also where nobody reads any more
            os._exit(code)

    def _beat(self) -> bool:
        """Posts a sign of life and reads those of the others; returns whether that worked."""
        self._own['beat'] += 1
        rows = self._exchanged('life', json.dumps(dict(self._own)))
        if rows is None:
            return False
        self._last_exchange = time.monotonic()
        for rank, row in enumerate(json.loads(row or '{}') for row in rows):
            if row != self._rows[rank]:
                self._seen[rank] = self._last_exchange
                self._rows[rank] = row
        return True

    def _exchanged(self, kind: str, text: str) -> Optional[List[str]]:
        try:
            self._board.post(kind, text)
            return self._board.read(kind)
        except (tf.errors.OpError, RuntimeError):   # the process of rank 0 is silent
            return None

    def _lost(self) -> Optional[Tuple[int, str]]:
        """Returns (exit code, line) where the training cannot go on; None where it can."""
        if self._own['state'] == 'done':
            return None
        for row in self._rows:
            if row.get('state') == 'failed':
                return row['code'], row['line']
        now = time.monotonic()
        hangs = now - self._last_exchange > self._patience
        for rank, row in enumerate(self._rows):
            seen = self._seen[rank]
            if rank == self._rank or seen is None or row.get('state') == 'done':
                continue
            # What others have posted is only known as of the last exchange, unless that hangs.
            silent = (now if hangs or not rank else self._last_exchange) - seen
            name = self._cluster.named(rank)
            if silent > _LATE and board_lib.is_closed(self._cluster.addresses[rank]):
                return 1, ('{} is gone: its process has ended without a word (killed? out of '
                           'memory?). Give all processes the same command again: they go on from '
                           'the last checkpoint.'.format(name))
            if silent > self._patience:
                return 1, ('{} has been silent for {:.0f} s: it was stopped, hangs, or is cut off. '
                           'End it, then give all processes the same command again: they go on '
                           'from the last checkpoint.'.format(name, silent))
        return None


@contextlib.contextmanager
def watched(ranks: ranks_lib.Ranks, patience: float) -> Iterator[Nobody]:
    """Yields what watches the other processes while the block runs.

    Args:
      ranks: place of this process; patience: float, seconds without a sign of another process.
    Raises:
      errors.InputError: the others cannot be reached.
    """
    if ranks.cluster is None:
        yield Nobody()
        return
    peers = Peers(ranks, patience)
    try:
        yield peers
    except BaseException as error:
        peers.end(error)
        raise
    peers.end(None)

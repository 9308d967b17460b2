"""Worker processes: order, ends, deaths."""
import os
import signal
import time

import pytest

from common import errors
from common.training import workers

_LARGE = 1 << 22    # bytes, more than a pipe holds


def test_batches_come_in_order():
    for count in (0, 1, 3):
        with workers.Workers(lambda number: number ** 2, count, depth=4) as batches:
            batches.begin(5)
            assert [batches.get() for _ in range(8)] == [number ** 2 for number in range(5, 13)]


def test_waiting_is_counted_but_for_the_first_batch():
    def make(number):
        time.sleep(0.2)
        return number

    with workers.Workers(make, 0) as batches:
        batches.begin(0)
        batches.get()
        assert batches.waited == 0
        batches.get()
        assert batches.waited >= 0.2


def test_an_unforeseen_error_names_its_place():
    with workers.Workers(lambda number: 1 // (number - 2), 2) as batches:
        batches.begin(0)
        with pytest.raises(errors.InputError, match=r'test_workers.py:\d+: ZeroDivisionError'):
            [batches.get() for _ in range(4)]


def test_a_killed_worker_ends_the_run_with_a_message():
    def make(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with workers.Workers(make, 2, depth=4) as batches:
        batches.begin(0)
        with pytest.raises(errors.InputError, match='exit code -9 before batch [13]'):
            [batches.get() for _ in range(5)]


def test_a_worker_killed_in_the_midst_of_a_batch_ends_the_run_too():
    with workers.Workers(lambda number: b'0' * _LARGE, 2, depth=2) as batches:
        batches.begin(0)
        batches.get()
        time.sleep(0.5)     # both have filled their pipes
        os.kill(batches._processes[1].pid, signal.SIGKILL)
        with pytest.raises(errors.InputError, match='exit code -9 before batch 1'):
            batches.get()


@pytest.mark.parametrize('started', [True, False])
def test_workers_end_with_their_reader(started):
    batches = workers.Workers(lambda number: b'0' * _LARGE, 2, depth=2)
    processes = list(batches._processes)
    if started:
        batches.begin(0)
        batches.get()
    began = time.time()
    batches.close()
    assert time.time() - began < 5 and not any(process.is_alive() for process in processes)


@pytest.mark.parametrize('started', [True, False])
def test_workers_of_a_killed_reader_go(started):
    reading, writing = os.pipe()
    reader = os.fork()
    if not reader:
        batches = workers.Workers(lambda number: b'0' * _LARGE, 2, depth=2)
        if started:
            batches.begin(0)
            batches.get()
        os.write(writing, ' '.join(str(one.pid) for one in batches._processes).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(reader, 0)
    left = [int(word) for word in os.read(reading, 100).split()]
    limit = time.time() + 10
    while left and time.time() < limit:
        time.sleep(0.2)
        left = [pid for pid in left if _alive(pid)]
    assert not left


def _alive(pid):
    try:
        with open('/proc/{}/stat'.format(pid), encoding='ascii') as stream:
            return stream.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False

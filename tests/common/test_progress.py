"""Tests of reporting.progress and workers.parallel: who waits is told, results do not depend."""
import os
import time

import pytest

from common import errors
from common.training import reporting, workers


class Clock:
    """Seconds that pass only where a test says so."""

    def __init__(self):
        self.seconds = 100.

    def __call__(self):
        return self.seconds


def run(count, seconds_each):
    clock = Clock()
    for _ in reporting.progress(range(count), 'making things', now=clock):
        clock.seconds += seconds_each


def test_a_log_gets_a_line_after_ten_seconds_then_one_a_minute(capsys):
    run(40, 4.)     # 160 s: lines at 12, 72 and 132 s, and the end
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        'making things: 3/40  7.5%  4.0000 s each  eta 2m28s',
        'making things: 18/40  45.0%  4.0000 s each  eta 1m28s',
        'making things: 33/40  82.5%  4.0000 s each  eta 28s',
        'making things: 40 in 2m40s']


def test_things_without_a_number_get_no_eta(capsys):
    clock = Clock()
    for _ in reporting.progress(iter(range(20)), 'reading things', now=clock):
        clock.seconds += 4.
    assert capsys.readouterr().out.splitlines() == [
        'reading things: 3 so far  4.0000 s each', 'reading things: 18 so far  4.0000 s each',
        'reading things: 20 in 1m20s']


def test_short_work_says_nothing(capsys):
    run(9, 1.)
    assert capsys.readouterr().out == ''


def square(number):
    time.sleep(0.02 * (number % 3))
    return number ** 2, os.getpid()


@pytest.mark.parametrize('processes', [1, 3])
def test_results_come_in_order_from_any_number_of_processes(processes):
    results = list(workers.parallel(square, list(range(20)), processes, 'squaring'))
    assert [value for value, _ in results] == [number ** 2 for number in range(20)]
    pids = {pid for _, pid in results}
    assert len(pids) > 1 if processes > 1 else pids == {os.getpid()}


def refuse(number):
    if number == 4:
        raise errors.InputError('number {} cannot be used.'.format(number))
    return number


def die(number):
    if number == 4:
        os._exit(9)
    return number


@pytest.mark.parametrize('function, said', [(refuse, 'number 4 cannot'), (die, 'has died')])
def test_what_a_process_meets_comes_out(function, said):
    with pytest.raises(errors.InputError, match=said):
        list(workers.parallel(function, list(range(9)), 2, 'working'))

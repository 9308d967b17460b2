"""The benchmarks run and give the rows that they promise.

PEER_PYTHON names an interpreter that has PyTorch, for the tests of rows beside it.
"""
import os
import sys

import pytest

from common.readers import text
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import (
    growth,
    peer_rows,
    polygen_sampling,
    polygen_step,
    scaling,
    startup,
    timing,
)


@pytest.mark.slow
def test_step_benchmark_compares_two_ways_of_one_step():
    rows = polygen_step.rows(polygen_step.parse_args(['--steps=1', '--repetitions=1']))
    assert [row.other for row in rows] == ['plain graph', 'training step']
    assert all(row.seconds > 0 and row.other_seconds > 0 for row in rows)


def test_sampling_benchmark_compares_equal_tokens(capsys):
    config = polygen_sampling.parse_args(['--tokens=40', '--batch=2', '--models=vertex',
                                          '--repetitions=1', '--loops',
                                          *polygen_sampling.LOOPS[:2]])
    rows = polygen_sampling.rows(config)
    assert rows and all(row.seconds > 0 and row.other_seconds > 0 for row in rows)


def test_table_shows_the_ratio():
    row = timing.Row('a', 'b', 'ours', 0.5, 'other', 1.0)
    assert timing.ratio(row) == 2 and '2.00x' in timing.table([row]).split('\n')[-1]


@pytest.mark.slow
@pytest.mark.parametrize('benchmark', benchmarks.BENCHMARKS, ids=lambda module: module.__name__)
def test_no_ratio_has_fallen_below_half_of_the_recorded_one(benchmark):
    recorded = text.read_json(benchmarks.RECORDED)
    assert benchmarks.fallen(benchmark.short(), recorded) == []


def test_a_ratio_below_half_of_the_recorded_one_or_without_one_is_told():
    row = timing.Row('a', 'b', 'ours', 1., 'other', 3.)
    assert benchmarks.fallen([row], {timing.key(row): 5.9}) == []
    assert benchmarks.fallen([row], {timing.key(row): 6.1}) == ['a: b, against other: 3.00x, '
                                                                'recorded 6.1']
    assert benchmarks.fallen([row], {}) == ['a: b, against other: 3.00x, recorded None']


def test_the_time_of_a_step_in_several_processes_is_reckoned():
    # By hand: 8 MiB are two buffers; 6 passes of 2 ms for their latency and 2.097152 ms for 2 MiB.
    assert scaling.predicted(1., 4, 8 << 20, 1e-3, 1e9) == pytest.approx(1.024582912, rel=1e-12)
    assert scaling.predicted(1., 4, 8 << 20, 1e-3, 1e9, cores=2) == pytest.approx(2.024582912)
    assert scaling.predicted(1., 1, 8 << 20, 1e-3, 1e9, cores=2) == 1


def test_ratios_against_peers_stay_recorded_where_no_peer_ran():
    row = timing.Row('a', 'b', 'ours', 1., 'other', 3.)
    peers = timing.Row('c', 'd', 'ours', 1., 'PyTorch', 2., '9.9')
    before = {timing.key(peers): 7., 'gone: x, against y': 1.}
    assert benchmarks.recorded([row], before, False) == {timing.key(row): 3., timing.key(peers): 7.}
    assert benchmarks.recorded([row, peers], before, True) == {timing.key(row): 3.,
                                                               timing.key(peers): 2.}


@pytest.mark.slow
def test_a_job_runs_in_another_interpreter_in_turns():
    row, = peer_rows.rows(peer_rows.parse_args(
        ['--other_python', sys.executable, '--only', 'VSL inference, batch 1$']))
    assert row.other == 'TensorFlow' and row.seconds > 0 and row.other_seconds > 0


def test_a_start_up_has_one_call_and_counts_the_whole_interpreter():
    calls = []

    class Remote:
        def seconds(self):
            calls.append('call')
            return 2.

        def close(self):
            calls.append('end')
            return 5.

    assert peer_rows.started(Remote) == 5. and calls == ['call', 'end']


@pytest.mark.slow
def test_a_start_up_takes_longer_than_the_import_of_tensorflow():
    row, = peer_rows.rows(peer_rows.parse_args(
        ['--start_up', '--repetitions=1', '--only', '^IM-NET step, 16']))
    assert row.seconds > startup.cpu_seconds(['-c', 'import tensorflow.compat.v1'])
    assert row.other == 'nothing'


@pytest.mark.parametrize('other', ['--other_python=python', '--other_threads=2'])
def test_a_start_up_is_compared_with_peers_alone(other, capsys):
    assert peer_rows.main(['--start_up', other, '--only=none']) == 2
    assert '--peer_python alone' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif('PEER_PYTHON' not in os.environ, reason='PEER_PYTHON is not set')
@pytest.mark.parametrize('job', peer_rows.jobs(), ids=peer_rows.name)
def test_no_ratio_against_a_peer_has_fallen_below_half_of_the_recorded_one(job):
    config = peer_rows.parse_args(['--peer_python', os.environ['PEER_PYTHON']])
    assert benchmarks.fallen([peer_rows.measured(job, config)],
                             text.read_json(benchmarks.RECORDED)) == []


def test_slopes_are_powers_of_the_size():
    assert growth.slope([1, 2, 4, 8], [3, 6, 12, 24]) == pytest.approx(1)
    assert growth.slope([5, 10, 20], [1, 4, 16]) == pytest.approx(2)
    # 100 + n, by hand, with logarithms to base 2.
    logs = [7.643856, 8.228819, 8.965784, 9.813781]
    by_hand = (-1.5 * logs[0] - .5 * logs[1] + .5 * logs[2] + 1.5 * logs[3]) / 5
    assert growth.slope([100, 200, 400, 800], [200, 300, 500, 900]) == pytest.approx(by_hand)


def test_each_series_doubles_three_times():
    for series in growth.SERIES:
        assert [size / series.sizes[0] for size in series.sizes] == [1, 2, 4, 8]

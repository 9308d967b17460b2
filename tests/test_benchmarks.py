"""The benchmarks run and give the rows that they promise."""
from tests.benchmarks import polygen_sampling, polygen_step, timing


def test_step_benchmark_compares_two_ways_of_one_step():
    rows = polygen_step.rows(polygen_step.parse_args(['--steps=1', '--repetitions=1']))
    assert [row.other for row in rows] == ['plain graph', 'training step']
    assert all(row.seconds > 0 and row.other_seconds > 0 for row in rows)


def test_sampling_benchmark_compares_equal_tokens(capsys):
    config = polygen_sampling.parse_args(['--tokens=40', '--batch=2', '--models=vertex',
                                          '--loops', 'static', 'growing', '--repetitions=1'])
    rows = polygen_sampling.rows(config)
    assert rows and all(row.seconds > 0 and row.other_seconds > 0 for row in rows)


def test_table_shows_the_ratio():
    row = timing.Row('a', 'b', 'ours', 0.5, 'other', 1.0)
    assert timing.ratio(row) == 2 and '2.00x' in timing.table([row]).split('\n')[-1]

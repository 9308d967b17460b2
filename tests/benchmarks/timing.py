"""What the benchmarks share: timing in turns, rows of a result, and their Markdown table.

Times on a machine that others use too say little; the ratio of two ways that ran in turns, in one
process, says more. So every row holds a ratio.
"""
import collections
import datetime
import os
import platform
import re
import subprocess
import time

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, files

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'recorded.json')

Row = collections.namedtuple('Row', 'benchmark setting ours seconds other other_seconds note')
Row.__new__.__defaults__ = ('',)
Row.__doc__ = """Two ways of computing the same: the project's (`ours`, `seconds`) and another.

benchmark, setting: str, together the key of a recorded ratio; seconds: float, of the whole job;
note: str, what a reader must know of this row."""


def ratio(row):
    """How many times as fast as the other way ours is."""
    return row.other_seconds / row.seconds


def key(row):
    """str, tells a row's measurement apart from all others."""
    return '{}: {}, against {}'.format(row.benchmark, row.setting, row.other)


def record(ratios):
    """Writes {key: ratio} to recorded.json."""
    files.write_json(RECORDED, ratios)


def least(call, repetitions):
    """Least CPU time of a call, seconds, after one that is not timed."""
    call()
    seconds = []
    for _ in range(repetitions):
        before = time.process_time()
        call()
        seconds.append(time.process_time() - before)
    return min(seconds)


def in_turns(jobs, repetitions):
    """Runs jobs in turns, A B A B, after one run of each that does not count.

    Args:
      jobs: dict {name: function without arguments}.
      repetitions: int.
    Returns:
      dict {name: median of the seconds that a run took}.
    """
    seconds = {name: [] for name in jobs}
    for repetition in range(repetitions + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if repetition:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def machine():
    """str: processor, cores that the process may use, system, versions. No host name."""
    return '{}, {} cores, {} {}, Python {}, TensorFlow {}, NumPy {}'.format(
        _processor(), len(os.sched_getaffinity(0)), platform.system(), platform.machine(),
        platform.python_version(), tf.__version__, np.__version__)


def _processor():
    try:
        with open('/proc/cpuinfo') as stream:
            match = re.search(r'^model name\s*:\s*(.+)$', stream.read(), re.MULTILINE)
    except OSError:
        match = None
    return match.group(1).strip() if match else platform.processor() or 'unknown processor'


def commit():
    """str: the commit that the working tree stands on, with "+ changes" where it has any."""
    try:
        name, status = [subprocess.run(['git', '-C', _ROOT] + arguments, check=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       universal_newlines=True).stdout.strip()
                        for arguments in (['rev-parse', '--short', 'HEAD'],
                                          ['status', '--porcelain', '--untracked-files=no'])]
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return name + (' + changes' if status else '')


def describe(threads):
    """Line above a table: machine, threads, date, commit."""
    used = 'threads as TensorFlow chooses' if not threads else '{} thread{}'.format(
        threads, 's' * (threads > 1))
    return '{}; {}; {}; commit {}.'.format(machine(), used, datetime.date.today(), commit())


def table(rows):
    """Markdown table of rows; times are those of whole jobs."""
    lines = ['| benchmark | setting | ours | time | against | time | ratio |',
             '|---|---|---|---:|---|---:|---:|']
    for row in rows:
        lines.append('| {} | {} | {} | {} | {}{} | {} | {:.2f}x |'.format(
            row.benchmark, row.setting, row.ours, _duration(row.seconds), row.other,
            ' ({})'.format(row.note) if row.note else '', _duration(row.other_seconds),
            ratio(row)))
    return '\n'.join(lines)


def _duration(seconds):
    return '{:.3g} s'.format(seconds) if seconds >= 1 else '{:.3g} ms'.format(seconds * 1e3)


def main(parse_args, rows, argv=None):
    """Runs a benchmark on the CPU and prints its table.

    Args:
      parse_args: function that reads the command line `argv`; `threads` is among the options.
      rows: function of the options that measures; list of Row.
    Returns:
      int, the exit code.
    """
    def show(config):
        print(describe(config.threads) + '\n', flush=True)
        print(table(rows(config)))

    config = parse_args(argv)
    config.device = 'cpu'
    return cli.run(show, config)

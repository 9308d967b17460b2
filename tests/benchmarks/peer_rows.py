"""Times the networks at the papers' sizes beside the same ones in plain PyTorch, in turns.

CPU seconds of a call, the median of the repetitions after a call that does not count. The peers
(tests/benchmarks/peers) run in an interpreter that has PyTorch; without --peer_python the project's
figures stand alone. With --other_python the other way is the project itself in another interpreter,
such as one with TensorFlow 2; with --other_threads it is the project itself with another number of
threads, and seconds are those of a clock on the wall. With --start_up they are the CPU seconds of
an interpreter that makes one call, from its start to its end, the least of the repetitions.

Example: python -m tests.benchmarks.peer_rows --peer_python=$HOME/torch/bin/python --only 'VSL step'
"""
import functools
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.readers import text
from tests.benchmarks import peer_jobs, polygen_large, timing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODULES = (peer_jobs, polygen_large)      # each has JOBS
_PEER = 'PyTorch'


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    add_peer(parser)
    parser.add_argument('--only', default='', help='regular expression of the rows to measure')
    parser.add_argument('--threads', type=cli.positive_int, default=1, help='of each')
    parser.add_argument('--other_python', default='', help="the project's interpreter to compare")
    parser.add_argument('--other_threads', type=cli.positive_int, default=None,
                        help='threads of the project itself to compare with, by wall time')
    cli.add_flag(parser, '--start_up', help='time interpreters that make one call')
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='of which the median counts, with --start_up the least')
    cli.add_flag(parser, '--record', help='write the ratios against the peers to recorded.json, '
                 'beside what it holds')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def add_peer(parser):
    """Adds the option that names the peers' interpreter."""
    parser.add_argument('--peer_python', '--peer-python', default='',
                        help='interpreter that has PyTorch, for the rows beside it')


class Remote:
    """A job in another interpreter, run each time `seconds` is called.

    Args:
      python: str, the interpreter; module: str, that answers; arguments: list of str.
    """

    def __init__(self, python, module, arguments):
        command = [python, '-W', 'ignore', '-m', module] + arguments
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, universal_newlines=True)
        self.version = self._line()

    def _line(self):
        line = self._process.stdout.readline().strip()
        if not line:
            raise errors.InputError('{} failed.'.format(' '.join(self._process.args)))
        return line

    def seconds(self):
        """Runs the job once; returns its CPU seconds."""
        self._process.stdin.write('run\n')
        self._process.stdin.flush()
        return float(self._line())

    def close(self):
        """Ends the interpreter; returns the CPU seconds that it took in all."""
        self._process.stdin.close()
        self._process.stdout.close()
        _, self._process.returncode, usage = os.wait4(self._process.pid, 0)
        return usage.ru_utime + usage.ru_stime


def peer(python, threads, job):
    """Returns the Remote of a job's peer."""
    module, function, arguments = job.peer
    return Remote(python, 'tests.benchmarks.peers.serve',
                  [str(threads), module, function, json.dumps(arguments)])


def in_another(python, threads, job):
    """Returns the Remote of the same job in another interpreter of the project."""
    module, = [module for module in MODULES if job in module.JOBS]
    return Remote(python, 'tests.benchmarks.serve',
                  [str(threads), module.__name__, str(module.JOBS.index(job))])


def _local(call, clock=time.process_time):
    before = clock()
    call()
    return clock() - before


def in_turns(ways, repetitions):
    """Medians {name: seconds} of functions {name: function that returns its seconds}."""
    seconds = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, way in ways.items():
            taken = way()
            if repetition:
                seconds[name].append(taken)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def started(make_remote):
    """Returns the CPU seconds of a Remote that is called once, from its start to its end."""
    remote = make_remote()
    try:
        remote.seconds()
    finally:
        seconds = remote.close()
    return seconds


def measured_start(job, config):
    """Returns the timing.Row of a job's start-up, beside its peer's where there is one."""
    ways = {'ours': lambda: in_another(sys.executable, config.threads, job)}
    if config.peer_python:
        ways['other'] = lambda: peer(config.peer_python, config.threads, job)
    least = {}
    for _ in range(config.repetitions):
        for name, way in ways.items():
            seconds = started(way)
            least[name] = min(seconds, least.get(name, seconds))
    setting = '{}, an interpreter and one call, {} thread(s)'.format(job.setting, config.threads)
    return timing.Row(job.benchmark, setting, 'CPU path', least['ours'],
                      _PEER if config.peer_python else 'nothing', least.get('other', float('nan')))


def measured(job, config):
    """Returns the timing.Row of a job, or of the job alone where there is no peer."""
    with tf.Graph().as_default():
        call = job.ours(config.threads)
        clock = time.perf_counter if config.other_threads else time.process_time
        ways, other = {'ours': lambda: _local(call, clock)}, None
        try:
            if config.other_threads:
                other = in_another(sys.executable, config.other_threads, job)
            elif config.other_python:
                other = in_another(config.other_python, config.threads, job)
            elif config.peer_python:
                other = peer(config.peer_python, config.threads, job)
            if other is not None:
                ways['other'] = (functools.partial(_local, other.seconds, clock)
                                 if config.other_threads else other.seconds)
            seconds = in_turns(ways, config.repetitions)
        finally:
            if other is not None:
                other.close()
    setting = '{}, {} time, {} thread(s)'.format(
        job.setting, 'wall' if config.other_threads else 'CPU', config.threads)
    program, version = other.version.split() if other else ('nothing', '')
    if config.other_threads:
        program = '{} thread(s)'.format(config.other_threads)
    return timing.Row(job.benchmark, setting, 'CPU path', seconds['ours'], program,
                      seconds.get('other', float('nan')), version)


def is_peers(key):
    """Whether a recorded ratio, by timing.key, is against a peer."""
    return key.endswith('against ' + _PEER)


def name(job):
    """str, tells a job apart from all others."""
    return '{}, {}'.format(job.benchmark, job.setting)


def jobs(only=''):
    """Jobs whose names a regular expression is found in."""
    return [job for module in MODULES for job in module.JOBS
            if re.search(only, name(job))]


def rows(config):
    """Measures; yields timing.Row."""
    for job in jobs(config.only):
        yield (measured_start if config.start_up else measured)(job, config)


def _show(config):
    if config.start_up and (config.other_python or config.other_threads):
        raise errors.UsageError('--start_up compares with --peer_python alone, not with '
                                '--other_python or --other_threads.')
    print(timing.describe(config.threads) + '\n\n' + timing.table([]), flush=True)
    for row in rows(config):
        print(timing.table([row]).split('\n')[-1], flush=True)
        if config.record and row.other == _PEER:
            timing.record({**text.read_json(timing.RECORDED),
                           timing.key(row): round(timing.ratio(row), 2)})


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(_show, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

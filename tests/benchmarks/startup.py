"""Times commands from the start of the interpreter to their first result: CPU seconds.

All that stands between a command and its first step or sample: imports, building the graph,
TensorFlow's passes over it. What the commands write goes to a folder that is removed.

Example: python -m tests.benchmarks.startup
"""
import argparse
import os
import subprocess
import sys
import tempfile
from typing import Dict, List, Sequence

from common import cli, errors
from tests.benchmarks import timing

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_TRAINING = ['polygen/train.py', '--device=cpu', '--training_steps=1', '--threads=1', '--nosample',
             '--sample_vertices=60', '--sample_face_tokens=200']
_DRAWING = ['polygen/sample.py', '--device=cpu', '--threads=1', '--num_samples=1']


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='of which the least counts')
    parser.add_argument('--threads', type=cli.positive_int, default=1, help='of each; always 1')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def cpu_seconds(arguments: Sequence[str]) -> float:
    """Returns the CPU seconds of Python with so many arguments, in the project's folder.

    Raises:
      errors.InputError: it failed.
    """
    process = subprocess.Popen([sys.executable, '-W', 'ignore', *arguments], cwd=_ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise errors.InputError('python {} failed.'.format(' '.join(arguments)))
    return usage.ru_utime + usage.ru_stime


def measure(repetitions: int) -> Dict[str, float]:
    """Returns {what is started: CPU seconds}; `import` is that of TensorFlow alone."""
    commands = {'import': ['-c', 'import tensorflow.compat.v1'],
                'training, first step': _TRAINING, 'drawing, 200 face tokens': _DRAWING}
    least: Dict[str, float] = {}
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            for name, command in commands.items():
                output = [] if name == 'import' else ['--output_path=' + folder]
                seconds = cpu_seconds(command + output)
                least[name] = min(seconds, least.get(name, seconds))
    return least


def rows(config: argparse.Namespace) -> List[timing.Row]:
    """Measures; list of timing.Row, with CPU seconds."""
    seconds = measure(config.repetitions)
    bare = seconds.pop('import')
    return [timing.Row('PolyGen start-up', name + ', CPU time, 1 thread(s)', 'whole command', value,
                       'import of TensorFlow', bare) for name, value in seconds.items()]


def short() -> List[timing.Row]:
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--repetitions', '1']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

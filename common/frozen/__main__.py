"""Lists the inputs and outputs of a frozen graph, or runs it on files.

Example: python -m common.frozen list model.pb
         python -m common.frozen run model.pb --input voxels=shapes.npy --output results

With --emulate_precision the outputs are those of an .om file in half precision, as ATC makes it
(--precision_mode, unset: force_fp16), and the differences from the graph as it is are printed.
"""
import argparse
import math
import os
import signal
import sys
import time
from typing import Optional, Sequence, Tuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import files
from common.frozen import bounds

_PAUSE = 0.05               # seconds between two looks at it


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('action', choices=('list', 'run'), help='what to do with the graph')
    parser.add_argument('graph', help='frozen graph (.pb)')
    parser.add_argument('--input', action='append', default=[], metavar='NAME=FILE',
                        help='array (.npy) for an input, with any number of rows; once for each')
    parser.add_argument('--output', default='', metavar='FOLDER',
                        help='where the outputs go, <name>.npy')
    parser.add_argument('--timeout', type=cli.positive_float, default=3600,
                        help='seconds after which a run that does not end is stopped')
    cli.add_flag(parser, '--emulate_precision', help='round as the NPU would')
    parser.add_argument('--precision_mode', default='force_fp16', metavar='MODE',
                        help='of ATC, with --emulate_precision')
    parser.add_argument('--emulate_overflow', default='saturate', choices=('saturate', 'inf'),
                        help='what becomes of values beyond +-65504')
    parser.add_argument('--max_memory', type=cli.positive_float, default=None, metavar='GIB',
                        help='memory after which a run is stopped; unset: 16, and at most three '
                             'quarters of the machine\'s')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    options = parser.parse_args(argv)
    if options.action == 'run' and not (options.input and options.output):
        parser.error('run needs --input NAME=FILE and --output FOLDER')
    for pair in options.input:
        if not pair.partition('=')[0] or not pair.partition('=')[2]:
            parser.error('--input must look like NAME=FILE, not "{}"'.format(pair))
    return options


def run_action(options: argparse.Namespace) -> None:
    """Lists the inputs and outputs of a graph, or runs it on files."""
    import numpy as np  # here, and TensorFlow below, since --help needs neither

    from common.frozen import graph, model
    from common.readers import arrays as array_files
    with model.load(options.graph, options.timeout, None, options.max_memory) as network:
        if options.action == 'list':
            print(network)
            return
        arrays = {}
        for pair in options.input:
            name, _, path = pair.partition('=')
            arrays[name] = array_files.read(path, remedy='Expected an array (.npy).')
        outputs = network.predict_all(**arrays)
        if options.emulate_precision:
            exact, outputs = outputs, _emulated(options, arrays)
            for name, value in outputs.items():
                print('{} in half precision: largest difference {:.3g}, mean {:.3g}'.format(
                    name, *graph.differences(value, exact[name])))
        for name, value in outputs.items():
            path = os.path.join(options.output, name.replace('/', '_') + '.npy')
            if value.dtype == object:   # texts, which NumPy would pickle; NULs at their ends go
                value = value.astype(np.bytes_)
            with files.replacing(path) as temporary:
                np.save(temporary, value)
            print('{} {} {}'.format(path, value.dtype, list(value.shape)))


def _emulated(options, arrays):
    """Outputs {name: array} of the graph in half precision."""
    from common.device import emulation, precision_types
    from common.frozen import model
    rules = precision_types.Rules(precision_types.mode_of(options.precision_mode, None, False))
    settings = emulation.Settings(rules, options.emulate_overflow)
    with model.load(options.graph, options.timeout, settings, options.max_memory) as network:
        return network.predict_all(**arrays)


def _work(options: argparse.Namespace) -> int:
    from common.device import choice  # here, since --help needs no TensorFlow
    return choice.run(run_action, options)


def _ended(child: int, most: int, seconds: float) -> Tuple[int, str]:
    """Waits for a child process; ends it when it takes more memory or time.

    TensorFlow stops some loops without an end at its own timeout, but not all.

    Returns:
      (its status, what it took too much of or '').
    """
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status, ''
        excess = ''
        if time.monotonic() > until:
            excess = 'did not end within {:g} s'.format(seconds)
        elif (bounds.resident(child) or 0) > most:
            excess = 'took more than {:.3g} GiB of memory'.format(most / 2 ** 30)
        if excess:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1], excess
        time.sleep(_PAUSE)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code.

    A graph runs in a child process where there is `fork`: a damaged one may abort TensorFlow.
    """
    options = parse_args(argv)
    if options.action == 'list' or not hasattr(os, 'fork') or not os.path.isfile(options.graph):
        return _work(options)
    sys.stdout.flush()
    watched, held = os.pipe()   # this process alone holds the end that the child waits for
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(held)
            bounds.end_with_parent(watched)
            # Its parent looks at the memory.
            code = _work(argparse.Namespace(**dict(vars(options), max_memory=math.inf)))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(watched)
    most = int(options.max_memory * 2 ** 30) if options.max_memory else bounds.memory_limit()
    try:
        status, excess = _ended(child, most, options.timeout + bounds.GRACE)
    finally:
        os.close(held)
    if excess:
        print('error: {} {} and was stopped. Give --max_memory or --timeout if it needs more.'
              .format(options.graph, excess), file=sys.stderr)
        return 1
    if os.WIFSIGNALED(status):
        print('error: {} cannot be run: TensorFlow died of it (signal {}). Freeze it again.'.format(
            options.graph, os.WTERMSIG(status)), file=sys.stderr)
        return 1
    return os.WEXITSTATUS(status)


if __name__ == '__main__':
    cli.script(main)

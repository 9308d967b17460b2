"""Lists the inputs and outputs of a frozen graph, or runs it on files.

Example: python -m common.frozen list model.pb
         python -m common.frozen run model.pb --input voxels=shapes.npy --output results
"""
import argparse
import os
import sys
from typing import Optional, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common import cli, files


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
    with model.load(options.graph, options.timeout) as network:
        if options.action == 'list':
            print(network)
            return
        arrays = {}
        for pair in options.input:
            name, _, path = pair.partition('=')
            arrays[name] = graph.read_array(path)
        for name, value in network.predict_all(**arrays).items():
            path = os.path.join(options.output, name.replace('/', '_') + '.npy')
            with files.replacing(path) as temporary:
                np.save(temporary, value)
            print('{} {} {}'.format(path, value.dtype, list(value.shape)))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.device import choice  # here, since --help needs no TensorFlow
    if not parsed.debug:
        choice.quieten()
    return cli.run(run_action, parsed)


if __name__ == '__main__':
    cli.script(main)

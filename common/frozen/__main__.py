"""Lists the inputs and outputs of a frozen graph, or runs it on files.

Example: python -m common.frozen list model.pb
         python -m common.frozen run model.pb --input voxels=shapes.npy --output results
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np

from common import cli, files, frozen


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('action', choices=('list', 'run'), help='what to do with the graph')
    parser.add_argument('graph', help='frozen graph (.pb)')
    parser.add_argument('--input', action='append', default=[], metavar='NAME=FILE',
                        help='array (.npy) for an input, with any number of rows; once for each')
    parser.add_argument('--output', default='', metavar='FOLDER',
                        help='where the outputs go, <name>.npy')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    config = parser.parse_args(argv)
    if config.action == 'run' and not (config.input and config.output):
        parser.error('run needs --input NAME=FILE and --output FOLDER')
    for given in config.input:
        if not given.partition('=')[0] or not given.partition('=')[2]:
            parser.error('--input must look like NAME=FILE, not "{}"'.format(given))
    return config


def run_action(config):
    """Lists the ends of a graph, or runs it on files."""
    with frozen.load(config.graph) as model:
        if config.action == 'list':
            print(model)
            return
        arrays = {}
        for given in config.input:
            name, _, path = given.partition('=')
            arrays[name] = frozen.read_array(path)
        for name, value in model.predict_all(**arrays).items():
            path = os.path.join(config.output, name.replace('/', '_') + '.npy')
            with files.replacing(path) as temporary:
                np.save(temporary, value)
            print('{} {} {}'.format(path, value.dtype, list(value.shape)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(run_action, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Freezes a trained model to .pb files with fixed shapes and named ends, for inference.

Beside each .pb stands a .json: names, shapes and dtypes of the ends, and the command for ATC.

Example: python freeze_graph.py --model polygen --output_path=polygen/output --output=pb_model
"""
import argparse
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import cli, frozen, reporting

MODELS = ('polygen', 'vsl', 'imnet', 'r2n2', 'cmr')


def parse_args(argv=None):
    """Reads the command line; the model that --model names adds options of its own."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument('--model')
    model = first.parse_known_args(argv)[0].model
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=MODELS, required=True,
                        help='what to freeze; with --help, the options of this model')
    parser.add_argument('--output', default='pb_model', help='folder for the .pb files')
    parser.add_argument('--batch_size', type=cli.positive_int, default=1,
                        help='rows of every input; fixed in the graph')
    if model in MODELS:
        _module(model).add_options(parser)
    return parser.parse_args(argv)


def _module(model):
    return importlib.import_module(model + '.freeze')


def freeze(config):
    """Freezes and describes what came out."""
    for path in _module(config.model).freeze(config):
        with frozen.load(path) as graph:
            reporting.say(str(graph))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(freeze, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

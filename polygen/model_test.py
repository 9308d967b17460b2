"""Smoke test of PolyGen: forward passes and samples of both models on small random inputs.

Example: python polygen/model_test.py
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of every random draw')
    cli.add_device_options(parser)
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from polygen import smoke_test
    return launch.main(smoke_test.check, parsed, is_training=False)


if __name__ == '__main__':
    cli.script(main)

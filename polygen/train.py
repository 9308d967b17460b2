"""Trains PolyGen's vertex model and face model on a folder of meshes.

Example: python polygen/train.py --data_path=polygen/meshes --training_steps=5000
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from polygen import options


def parse_args(argv=None):
    """Reads the command line."""
    return options.parse_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from polygen import training
    return launch.main(training.train, parsed, options.complete)


if __name__ == '__main__':
    cli.script(main)

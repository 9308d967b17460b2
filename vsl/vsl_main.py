"""Trains VSL on voxel shapes; classifies, reconstructs, generates and interpolates with it.

Stages may be run by themselves on a trained network: --stages classify,tsne. Without --data_path
ten procedural classes of furniture are made.

Example: python vsl/vsl_main.py --preset=modelnet10 --data_path=dataset --output_path=output
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from vsl import options


def parse_args(argv=None):
    """Reads the command line."""
    return options.parse_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from vsl import evaluation, training
    work = training.train if 'train' in parsed.stages else evaluation.evaluate
    return launch.main(work, parsed, options.complete)


if __name__ == '__main__':
    cli.script(main)

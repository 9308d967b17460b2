"""Runs all of IM-NET: three stages of the autoencoder, codes, GAN, pictures, meshes, .pb files.

Without --data_path a small set of procedural furniture is made, and a small network is trained on
it for minutes (--preset=quick); with it, the original's network and epochs (--preset=original).
Every stage is a program of its own too: IMGAN/main.py, IMSVR/main.py, evaluate.py.

Example: python imnet/train.py --output_path=output/quick
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from imnet import options


def parse_args(argv=None):
    """Reads the command line."""
    return options.parse_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from imnet import training
    return launch.main(training.train, parsed, options.complete)


if __name__ == '__main__':
    cli.script(main)

"""Trains CMR: one photo of a person to a body mesh and to the parameters of a body model.

Without --data_path pictures of posed bodies are made first, and a narrow network learns from them.

Example: python cmr/train.py --data_path=datasets --dataset=itw --num_epochs=50
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from cmr import options


def parse_args(argv=None):
    """Reads the command line."""
    return options.parse_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr import training  # here, since --help needs no TensorFlow
    from common.training import launch
    return launch.main(training.train, parsed, options.complete)


if __name__ == '__main__':
    cli.script(main)

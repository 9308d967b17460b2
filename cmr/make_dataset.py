"""Makes a set of pictures of posed bodies in UP-3D's layout, with keypoints, poses and shapes.

The free body that ships stands for SMPL: numbers measured with it cannot be compared with those of
papers.

Example: python cmr/make_dataset.py --output=bodies --num_train=2000 --num_test=200
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
    return options.parse_dataset_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr.src.dataset import posed_bodies  # here, since --help needs no TensorFlow
    from common.device import choice
    return choice.run(posed_bodies.make, parsed)


if __name__ == '__main__':
    cli.script(main)

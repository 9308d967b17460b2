"""Turns pictures of an object into a mesh: one or more views, in any order.

Pictures with transparency are put before grey; others should show one object before a plain
background (--background=keep leaves it as it is).

Example: python r2n2/demo.py chair_front.png chair_side.png --output=prediction.obj
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from r2n2 import options


def parse_args(argv=None):
    """Reads the command line."""
    return options.parse_demo_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from r2n2 import reconstruction
    return launch.main(reconstruction.reconstruct, parsed, is_training=False, has_page=False)


if __name__ == '__main__':
    cli.script(main)

"""Trains 3D-R2N2 (pictures of an object to a voxel grid), or measures a trained network (--test).

Without --data_path procedural furniture is rendered first, and the small network of
experiments/cfgs/quick.yaml is trained unless --cfg says otherwise.

Example: python r2n2/main.py --data_path=ShapeNet --model=ResidualGRUNet --batch_size=24
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
    return options.parse_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    options.hide_other_gpus(parsed.gpu)
    from common.training import launch  # here, since --help needs no TensorFlow
    from r2n2 import training
    return launch.main(training.train, parsed, options.complete)


if __name__ == '__main__':
    cli.script(main)

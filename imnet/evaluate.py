"""Measures reconstructions: Chamfer distance, normal consistency, F-score, IoU, beside a baseline.

--kind=ae encodes the voxels of each shape, --kind=svr its picture (the last view, or --view). The
truth is --truth, a folder of <category>/<shape>.ply (points with normals, or meshes); without it,
the surface of the 64^3 voxels of the set, and then the mesh is brought to 64^3 in the same way. The
baseline is the training shape whose voxels have the largest IoU with those of the shape. Tables go
to <output_path>/eval as .csv and .md.

Example: python imnet/evaluate.py --data_path=data --output_path=output/full --split=test
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
    return options.parse_evaluate(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from imnet import evaluation
    return launch.main(evaluation.evaluate, parsed, options.settled, False)


if __name__ == '__main__':
    cli.script(main)

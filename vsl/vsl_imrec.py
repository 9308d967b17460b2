"""Trains VSL to give the shape in a single image; measures IoU, retrieves the nearest known shapes.

One class is trained for itself (--preset=separately --class=chair) or all of them at once
(--preset=jointly). Images are fed as stored unless --image_scale says otherwise.

Example: python vsl/vsl_imrec.py --data_path=dataset/PASCAL3D.mat --class=chair
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
    return options.parse_image_args(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from vsl import image_evaluation, image_training
    work = image_training.train if 'train' in parsed.stages else image_evaluation.evaluate
    return launch.main(work, parsed, options.complete_images)


if __name__ == '__main__':
    cli.script(main)

"""Draws meshes from trained PolyGen models: vertices first, then faces.

Example: python polygen/sample.py --output_path=polygen/output --num_samples=8 --top_p=0.9
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli
from polygen import options


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    options.add_checkpoint_options(parser)
    parser.add_argument('--num_samples', type=cli.positive_int, default=4, help='meshes to draw')
    parser.add_argument('--batch_size', type=cli.positive_int, default=4, help='meshes at once')
    parser.add_argument('--class_label', type=cli.non_negative_int, nargs='*', default=None,
                        help='classes to draw, in turn; unset: all')
    parser.add_argument('--name', default='drawn', help='of the folder below samples/')
    parser.add_argument('--compare_to', default='', metavar='DATA_PATH',
                        help='meshes to look the samples up in: which is nearest, and how near')
    options.add_sampling_options(parser)
    cli.add_device_options(parser.add_argument_group('device'))
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from polygen import drawing
    return launch.main(drawing.sample, parsed, is_training=False)


if __name__ == '__main__':
    cli.script(main)

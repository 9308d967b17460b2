"""Draws meshes from trained PolyGen models: vertices first, then faces.

Pictures (--image) go to the weights that ship for them, or to a model that was trained with
--condition=image, grids (--voxels) to one with --condition=voxels; --vertices gives the face model
your own vertices to connect.

Examples: python polygen/sample.py --output_path=polygen/output --num_samples=8 --top_p=0.9
  python polygen/sample.py --pretrained --image photo.png --num_samples=3 --valid_only
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
    parser = cli.make_parser(__doc__)
    options.add_checkpoint_options(parser)
    parser.add_argument('--num_samples', type=cli.positive_int, default=4,
                        help='meshes to draw, of each picture or grid')
    parser.add_argument('--image', nargs='+', action='append', default=[], metavar='FILE',
                        help='pictures of any size to draw meshes of')
    cli.add_flag(parser, '--crop', default=True, help='find the object of a picture and centre it '
                 'as in the training views')
    parser.add_argument('--voxels', nargs='+', action='append', default=[], metavar='FILE',
                        help='grids (.binvox, or .npy in the frame of the model) or mesh files')
    parser.add_argument('--vertices', default='', metavar='FILE',
                        help='.obj, .ply or .npy with vertices: the face model alone connects them')
    parser.add_argument('--up', choices=('y', 'z'), default='y',
                        help='vertical axis of --voxels and --vertices')
    cli.add_remove_background(parser)
    cli.add_max_pixels(parser)
    parser.add_argument('--batch_size', type=cli.positive_int, default=4, help='meshes at once')
    options.add_class_label(parser)
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

"""Gathers the rendered views of a category's shapes: <output>/<category>/<id8>_img.hdf5.

The shapes are those of <id8>_vox256.txt in the same folder, in its order. Views are grey, over
white, 137 x 137.

Example: python imnet/point_sampling/gather_img.py --input=ShapeNetRendering/03001627 --output=data
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common import cli


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--input', '--data_path', required=True,
                        help='folder with <shape>/rendering/00.png to 23.png')
    parser.add_argument('--output', required=True, help='folder of the categories\' folders')
    parser.add_argument('--category', default='', help='its name; unset: that of the folder')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from imnet.point_sampling import view_sets  # here, since --help needs no SciPy
    return cli.run(view_sets.gather, cli.settled(parsed))


if __name__ == '__main__':
    cli.script(main)

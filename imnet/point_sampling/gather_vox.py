"""Samples points of the shapes of a category: <output>/<category>/<id8>_vox256.hdf5.

Takes HSP's .mat files, closed meshes, .binvox and .npz grids. A folder whose sub-folders hold the
shapes is taken as several categories. Shapes are done in parallel; the draws depend on the seed and
the shape's name alone. After an interruption the same command goes on.

Example: python imnet/point_sampling/gather_vox.py --input=HSP/03001627 --output=data
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from imnet import options


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--input', '--data_path', required=True, help='folder of the shapes')
    parser.add_argument('--output', required=True, help='folder for the categories\' folders')
    parser.add_argument('--category', default='', help='its name; unset: that of the folder')
    options.add_solid_options(parser)
    parser.add_argument('--workers', type=cli.non_negative_int, default=0,
                        help='processes; 0: one a core')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the draws')
    cli.add_flag(parser, '--strict', help='end at the first shape that cannot be used')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from imnet.point_sampling import voxel_sets  # here, since --help needs no SciPy
    return cli.run(voxel_sets.gather, cli.settled(parsed))


if __name__ == '__main__':
    cli.script(main)

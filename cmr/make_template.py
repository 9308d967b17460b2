"""Makes the levels of a body's mesh (mesh_downsampling.npz): adjacency, down- and upsampling.

Each level has about a quarter of the vertices of the one above, chosen by quadric edge collapse
(Garland, Heckbert 1997); dropped vertices are barycentric in the nearest triangle that is left.

Example: python cmr/make_template.py --body=smpl.pkl --output=mesh_downsampling.npz
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--body', default='', help='body model, or a mesh file (.obj, .ply, ...)')
    parser.add_argument('--output', required=True, help='.npz file')
    parser.add_argument('--factor', type=cli.positive_float, default=4.,
                        help='vertices of a level over those of the next')
    parser.add_argument('--levels', type=cli.positive_int, default=2, help='levels below the body')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr.src.utils import mesh_levels  # here, since --help needs no SciPy
    return cli.run(mesh_levels.make, parsed)


if __name__ == '__main__':
    cli.script(main)

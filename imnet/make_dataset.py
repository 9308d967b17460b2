"""Makes a set in IM-NET's layout from meshes of your own, or from procedural furniture.

--meshes takes closed meshes or .binvox grids in <class>/ (or <class>/train/ and <class>/test/), y
up (--up=z rotates them), and makes solids of 256^3 cells, point sets and 24 grey views of each. A
file that cannot be used is reported and left out; the same command after an interruption goes on.

Examples: python imnet/make_dataset.py --meshes=my_meshes --output=data/mine
  python imnet/make_dataset.py --output=data --shapes=2
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common.geometry import generator
from imnet import options


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--output', '--output_path', required=True, help='folder for the files')
    parser.add_argument('--meshes', default='', metavar='FOLDER',
                        help='of meshes, a sub-folder a class; unset: furniture')
    options.add_solid_options(parser)
    parser.add_argument('--shapes', type=cli.positive_int, default=2,
                        help='shapes of each class for training')
    parser.add_argument('--test_shapes', type=cli.positive_int, default=1,
                        help='likewise, for testing')
    parser.add_argument('--classes', nargs='+', choices=sorted(generator.CLASSES),
                        default=options.FURNITURE,
                        help='kinds of furniture')
    parser.add_argument('--generator', type=int, choices=generator.VERSIONS, default=1,
                        help='version of the procedural shapes')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the shapes')
    parser.add_argument('--workers', type=cli.non_negative_int, default=0,
                        help='processes; 0: one a core')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def make(settled):
    """Writes the two files."""
    from imnet import furniture_set, own_set  # here, since --help needs no SciPy
    if settled.meshes:
        own_set.write(settled)
        return
    furniture_set.write(settled.output, settled.shapes, settled.classes, settled.seed,
                        settled.generator, settled.workers, settled.test_shapes)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(make, cli.settled(parse_args(argv)))


if __name__ == '__main__':
    cli.script(main)

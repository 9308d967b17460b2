"""Joins the categories: <stem>_train.hdf5 and <stem>_test.hdf5, the first 80 % by name train.

Views are taken where every category has them (<id8>_img.hdf5). With --each the files are made for
each category by itself.

Example: python imnet/point_sampling/gather_all.py --data_path=data --output=data
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
    parser.add_argument('--data_path', '--input', required=True,
                        help='folder of the categories\' folders')
    parser.add_argument('--output', default='', help='folder for the files; unset: --data_path')
    parser.add_argument('--dataset', default=options.DATASET, help='stem of the files')
    cli.add_flag(parser, '--each', help='a pair of files for each category, in its folder')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from imnet.point_sampling import joined_sets  # here, since --help needs no SciPy
    return cli.run(joined_sets.gather, cli.settled(parsed))


if __name__ == '__main__':
    cli.script(main)

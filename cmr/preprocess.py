"""Turns raw data sets into the sample files (extras/*.npz) that training and evaluation read.

What is there below --data_path is taken; what is missing is named with the place to get it.

Example: python cmr/preprocess.py --data_path=datasets --train_files --eval_files --check=8
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from cmr.src import config as config_lib

_DATA_PATH = os.path.join(config_lib.MODEL_DIR, 'datasets')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', default=os.environ.get('CMR_DATA', _DATA_PATH),
                        help='folder with the sets; CMR_DATA in the environment names another one')
    cli.add_flag(parser, '--train_files', help='make the training files')
    cli.add_flag(parser, '--eval_files', help='make the evaluation files')
    parser.add_argument('--sets', default='', help='only these, e.g. up-3d,coco')
    parser.add_argument('--check', type=cli.non_negative_int, default=0,
                        help='draw so many samples of each file, with their keypoints')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr.src.dataset.preprocess import raw  # here, since --help needs no OpenCV, SciPy, h5py
    return cli.run(raw.preprocess, parsed)


if __name__ == '__main__':
    cli.script(main)

"""Writes a voxel set as raw batches for offline inference with the frozen encoder.

Writes `<split>_0000.bin`, `<split>_0001.bin`, ... for each split: float32 [B, 30, 30, 30, 1], the
last one padded with its last shape, and `<split>_labels.txt` with the class id of each shape. Rows
keep their order, so that codes, once computed, belong to those labels (vsl/calculate_accuracy.py).

Example: python vsl/mat2bin.py --data_path=dataset/ModelNet10_res30_raw.mat --output=bins
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
import numpy as np

from common import files
from vsl import data_utils

SPLITS = ('train', 'test')
LABELS = '{}_labels.txt'
_PREFERRED = 'ModelNet10_res30_raw.mat'     # where a folder has several, as in vsl_main.py


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', '--data_dir', required=True,
                        help='.mat file, its folder, or the parent of its folder dataset')
    parser.add_argument('--output', required=True, help='folder for the batches')
    parser.add_argument('--batch_size', type=cli.positive_int, default=100,
                        help='shapes in a batch, that of the frozen graph')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def write_batches(options: argparse.Namespace) -> None:
    """Writes the batches and labels of both splits."""
    path = data_utils.find_file(options.data_path, _PREFERRED)
    files.make_folder(options.output)
    for split in SPLITS:
        data = data_utils.read_split(path, split)
        starts = range(0, len(data.labels), options.batch_size)
        for number, start in enumerate(starts):
            rows = np.minimum(np.arange(start, start + options.batch_size), len(data.labels) - 1)
            name = os.path.join(options.output, '{}_{:04d}.bin'.format(split, number))
            with files.replacing(name) as temporary:
                data_utils.grids(data.voxels[rows]).astype(np.float32).tofile(temporary)
        files.write_text(os.path.join(options.output, LABELS.format(split)),
                         '\n'.join(map(str, data.labels)) + '\n')
        print('{}: {} shapes in {} batches of {}'.format(
            split, len(data.labels), len(starts), options.batch_size))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(write_batches, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

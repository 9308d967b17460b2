"""Classifies latent codes that offline inference has written; fitted on the training split.

Reads `<split>_labels.txt` of vsl/mat2bin.py and, in the order of their names, the outputs for its
batches: `<split>_*.txt` (one code in a line) or `<split>_*.bin` (float32, with --latent_size). Rows
that padded the last batch are left out.

Example: python vsl/calculate_accuracy.py --labels=bins --codes=codes
"""
import argparse
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
import numpy as np

from common import errors
from common.readers import limits, text
from vsl import mat2bin


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--labels', required=True, help='folder that vsl/mat2bin.py wrote')
    parser.add_argument('--codes', required=True, help='folder of the outputs of the inference')
    parser.add_argument('--latent_size', type=cli.positive_int, default=35,
                        help='latent dimension, of .bin files')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _labels(folder, split):
    path = os.path.join(folder, mat2bin.LABELS.format(split))
    lines = text.read_lines(path, 'labels', 'Make it with python vsl/mat2bin.py.')
    try:
        return np.array([int(line) for line in lines])
    except ValueError as error:
        raise errors.InputError('{} cannot be read ({}). Make it with python vsl/mat2bin.py.'
                                .format(path, error))


def _rows(path, latent_size):
    """Codes of one output file, [rows, D]."""
    try:
        if path.endswith('.bin'):
            return np.frombuffer(limits.content(path, 'codes'), np.float32).reshape(-1, latent_size)
        return np.array([[float(word) for word in line.replace(',', ' ').split()]
                         for line in text.read_lines(path, 'codes')], np.float32)
    except (OSError, ValueError) as error:
        raise errors.InputError('{} does not hold codes ({}).'.format(path, error))


def read_codes(folder: str, split: str, count: int, latent_size: int) -> np.ndarray:
    """Reads the codes of a split.

    Args:
      folder: str; split: 'train' or 'test'; count: int, shapes; latent_size: int, D of .bin files.
    Returns:
      float32 [count, D].
    Raises:
      errors.InputError: files are missing, hold too few codes, something else, or NaN.
    """
    paths = [path for path in sorted(glob.glob(os.path.join(glob.escape(folder), split + '_*')))
             if path.endswith(('.txt', '.bin')) and not path.endswith(mat2bin.LABELS.format(split))]
    parts = [_rows(path, latent_size) for path in paths]
    if len({part.shape[1:] for part in parts}) != 1 or sum(map(len, parts)) < count:
        raise errors.InputError('{} has {} codes of the {} split in {} files, expected {} of one '
                                'size. Run the inference on all batches of vsl/mat2bin.py.'.format(
                                    folder, sum(map(len, parts)), split, len(paths), count))
    codes = np.concatenate(parts)[:count]
    if not np.isfinite(codes).all():
        raise errors.InputError('{}: codes of the {} split hold NaN or infinity.'.format(
            folder, split))
    return codes


def classify(options: argparse.Namespace) -> None:
    """Prints the accuracies on both splits."""
    from vsl import measures  # here, since --help needs no scikit-learn
    labels = {split: _labels(options.labels, split) for split in mat2bin.SPLITS}
    codes = {split: read_codes(options.codes, split, len(labels[split]), options.latent_size)
             for split in mat2bin.SPLITS}
    classifier = measures.fit_svm(codes['train'], labels['train'])
    print('Shape classification: train: {:.4f}, test: {:.4f}'.format(*(
        measures.accuracy(classifier, codes[split], labels[split]) for split in mat2bin.SPLITS)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(classify, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

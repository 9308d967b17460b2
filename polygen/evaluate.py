"""Measures trained PolyGen models on held-out meshes, beside two baselines.

Prints and writes `<output_path>/eval/evaluation.json`: bits per vertex and next-token accuracy of
both models, and how many of the samples drawn are complete and valid. For a model of pictures or
voxels also chamfer distance and F-score of the meshes drawn, beside the nearest training mesh.

Example: python polygen/evaluate.py --data_path=my_meshes/test --train_path=my_meshes/train
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
    parser.add_argument('--data_path', default=options.SHIPPED_MESHES, help='meshes to measure on')
    options.add_checkpoint_options(parser)
    parser.add_argument('--split', default='test', help='of packed sets: train or test')
    parser.add_argument('--train_path', default='',
                        help='meshes the models were trained on, for the baseline of token '
                             'frequencies; unset: the --data_path of the training run')
    parser.add_argument('--batch_size', type=cli.positive_int, default=4, help='meshes at once')
    parser.add_argument('--num_buckets', type=cli.positive_int, default=4,
                        help='groups of meshes of like length')
    parser.add_argument('--num_samples', type=cli.non_negative_int, default=16,
                        help='samples to draw for the shares of complete and valid ones')
    parser.add_argument('--beside', type=cli.path, default='', metavar='RUN',
                        help='output folder of another run, such as one without a condition, to '
                             'measure on the same meshes')
    parser.add_argument('--reconstructions', type=cli.non_negative_int, default=20,
                        help='test shapes to reconstruct by a model of pictures or voxels')
    parser.add_argument('--candidates', type=cli.positive_int, default=10,
                        help='samples of each of these; the first and the best are measured')
    parser.add_argument('--at_most', type=cli.positive_int, default=None, metavar='VERTICES',
                        help='measure the meshes with at most so many vertices apart, too')
    options.add_class_label(parser)
    cli.add_flag(parser, '--without_class', help='measure the meshes as of class `any`, for models '
                 'trained with --class_dropout')
    cli.add_flag(parser, '--untrained', help='measure fresh models too, for comparison')
    options.add_sampling_options(parser)
    cli.add_device_options(parser.add_argument_group('device'))
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from polygen import evaluation
    return launch.main(evaluation.evaluate, parsed, is_training=False)


if __name__ == '__main__':
    cli.script(main)

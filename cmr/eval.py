"""Measures a trained network: shape errors (UP-3D), joints (Human3.6M), silhouettes (LSP).

Example: python cmr/eval.py --data_path=datasets --dataset=up-3d --checkpoint=cmr/output
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from cmr import options
from cmr.src import config as config_lib


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', default='', help='folder of the sets and of extras/; unset: '
                        'the generated set of the quick start')
    options.add_trained_options(parser)
    parser.add_argument('--dataset', default='up-3d', choices=sorted(config_lib.TEST_FILES),
                        help='set to measure on')
    parser.add_argument('--batch_size', type=cli.positive_int, default=32,
                        help='pictures at a time')
    cli.add_flag(parser, '--baseline', help='also the body of mean pose and shape of the training '
                                            'set, rotated upright; records how its pictures '
                                            'look, so that the demo can tell strange ones')
    parser.add_argument('--pictures', type=cli.non_negative_int, default=4,
                        help='people in the picture of photos and bodies, evenly chosen')
    parser.add_argument('--num_workers', type=cli.non_negative_int, default=2,
                        help='processes that read pictures')
    parser.add_argument('--log_freq', type=cli.positive_int, default=50,
                        help='batches between running figures')
    cli.add_flag(parser, '--shuffle', help='measure in a random order; the figures at the end stay')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of that order')
    cli.add_device_options(parser.add_argument_group('run'))
    group = cli.add_expert_group(parser, options.OTHER_NAMES)
    group.add_argument('--config', default='',
                       help="JSON of the network's sizes, as data/config.json")
    options.add_device_target(group)
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr import evaluation  # here, since --help needs no TensorFlow
    from common.training import launch
    return launch.main(evaluation.evaluate, parsed, options.complete_evaluation, is_training=False)


if __name__ == '__main__':
    cli.script(main)

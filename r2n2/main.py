"""Trains 3D-R2N2 (pictures of an object to a voxel grid), or measures a trained network (--test).

Without --data_path procedural furniture is rendered first, and the small network of
experiments/cfgs/quick.yaml is trained unless --cfg says otherwise.

Example: python r2n2/main.py --data_path=ShapeNet --model=ResidualGRUNet --batch_size=24
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from common import cli, device
from r2n2 import freeze as freeze_script
from r2n2.lib import config as config_lib
from r2n2.lib import data_io, setup, test_net, train_net
from r2n2.tools import make_dataset

_QUICK_MODELS = 12      # procedural models of each class that the quick start renders


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', default='',
                        help='folder with ShapeNetRendering and ShapeNetVox32, or its parent')
    parser.add_argument('--dataset', default='', help='JSON of the categories to use')
    group = parser.add_argument_group('settings')
    group.add_argument('--cfg', action='append', default=None, metavar='FILE',
                       help='YAML file of settings; may be given again')
    group.add_argument('--model', default=None,
                       help='LSTM1Net, GRU1Net, LSTM3Net, GRUNet or ResidualGRUNet; '
                            'CONST.NETWORK_CLASS')
    group.add_argument('--batch_size', '--batch-size', type=cli.positive_int, default=None,
                       help='CONST.BATCH_SIZE, models in a step')
    group.add_argument('--training_steps', '--train_steps', '--training-steps', '--iter',
                       type=cli.positive_int, default=None, help='TRAIN.NUM_ITERATION')
    group.add_argument('--learning_rate', type=cli.positive_float, default=None,
                       help='TRAIN.DEFAULT_LEARNING_RATE')
    group.add_argument('--n_views', type=cli.positive_int, default=None,
                       help='CONST.N_VIEWS, views of a model at most')
    group.add_argument('--workers', type=cli.non_negative_int, default=None,
                       help='TRAIN.NUM_WORKER, processes that make batches')
    group.add_argument('--exp', default=None, help='TEST.EXP_NAME, folder below eval/')
    group.add_argument('--net', default=None, help='label of the run, as in the original; unused')
    cli.add_flag(group, '--mask_views', help='one graph with a mask instead of one for each number '
                 'of views; always on the NPU')
    cli.add_flag(group, '--plain', help='compute as the original does, view by view; always on GPU '
                 'and NPU')
    group = parser.add_argument_group('what to do')
    cli.add_flag(group, '--train', default=True, help='train')
    cli.add_flag(group, '--test', help='measure only; the same as --notrain --evaluate')
    cli.add_flag(group, '--evaluate', help='measure after training')
    cli.add_flag(group, '--freeze', help='write a .pb at the end')
    group.add_argument('--views', type=cli.positive_int, default=None,
                       help='measure with one to so many views; unset: random numbers of views, as '
                            'in the original')
    group.add_argument('--checkpoint', '--ckpt_path', '--weights', default='',
                       help="weights to start from or to measure: checkpoint, folder of one, or "
                            "the original's .npy")
    cli.add_flag(group, '--rand', help='a random seed')
    group.add_argument('--gpu', default=None, help="device of the original, e.g. gpu0: hides the "
                       'other GPUs')
    cli.add_run_options(parser, setup.OUTPUT_PATH)
    parser.add_argument('--out', dest='output_path', default=argparse.SUPPRESS,
                        help='the same as --output_path')
    parser.add_argument('--set', nargs=argparse.REMAINDER, default=None, metavar='KEY VALUE',
                        help='settings, e.g. TRAIN.PAD_X 10; takes the rest of the line')
    parser.add_argument('--init-iter', type=int, default=None, help='of the original; a resumed '
                        'run knows its step, so it has no effect')
    config = parser.parse_args(argv)
    # Once more without the defaults, to see which options a setting may stand for.
    bare = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(setup.OPTIONS)))
    config.not_given = [name for name in setup.OPTIONS if getattr(bare, name) is None]
    return config


def _data(config):
    """The data set; made first where no --data_path is given."""
    if config.data_path:
        return data_io.find(config.data_path, config.dataset)
    folder = os.path.join(config.output_path, setup.GENERATED)
    if not os.path.exists(os.path.join(folder, 'categories.json')):
        cli.say('no --data_path given: rendering procedural furniture into {}'.format(folder))
        make_dataset.make(make_dataset.parse_args(
            ['--furniture', '--models={}'.format(_QUICK_MODELS), '--output', folder]))
    else:
        cli.say('no --data_path given: using the procedural furniture in {}'.format(folder))
    return data_io.find(folder)


def main_program(config):
    """Trains, measures and freezes, as the options say."""
    if config.gpu and config.gpu.startswith('gpu'):
        os.environ['CUDA_VISIBLE_DEVICES'] = config.gpu[3:] or '0'
    if not config.data_path and not config.cfg and not setup.is_npy(config.checkpoint):
        config.cfg = [setup.QUICK_CONFIG]
    if config.test:
        config.train, config.evaluate = False, True
    found = setup.settings(config)
    if config.rand:
        config.seed = int(np.random.SeedSequence().entropy % 2 ** 31)
    if config.init_iter is not None:
        cli.say('note: --init-iter has no effect here')
    config.plain = setup.is_plain(config)
    config.mask_views = train_net.mask_views(config)
    device.check_options(config, device.choose(config.device))
    data = _data(config)
    step = None
    if config.train:
        step = train_net.train(found, data, config)
    if not device.is_chief():
        return
    if config.evaluate:
        _evaluate(config, found, data)
    if config.freeze:
        for path in freeze_script.freeze_run(config, step):
            cli.say('frozen: {}'.format(path))


def _evaluate(config, found, data):
    """Measures the weights that were asked for, or the run's newest ones."""
    import tensorflow.compat.v1 as tf
    recorded, config.weights_path = setup.trained(
        argparse.Namespace(checkpoint='' if config.train else config.checkpoint, cfg=config.cfg,
                           set=config.set, output_path=config.output_path, network=config.model))
    for section in ('CONST', 'NET'):    # the network of the weights, all else as asked for
        kept = {key: found[section][key] for key in ('BATCH_SIZE', 'N_VIEWS')
                if key in found[section]}
        found[section] = config_lib.Config(recorded[section], **kept)
    with tf.Graph().as_default():
        test_net.test(found, data, config)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(main_program, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

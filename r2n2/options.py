"""Options of the scripts of 3D-R2N2 and the settings of the original (YAML) that they stand for."""
import argparse
import os
import random
from typing import Any, Dict, Optional, Sequence, Tuple

from common import cli, errors
from r2n2.lib import config as config_lib

MODEL_DIR = os.path.dirname(os.path.abspath(__file__))
OUTPUT_PATH = os.path.join(MODEL_DIR, 'output')
PRETRAINED = os.path.join(MODEL_DIR, 'pretrained')    # weights that ship
LAUNCHED = os.path.join(MODEL_DIR, 'test', 'output', '0')  # where test/*.sh leave their run
QUICK_CONFIG = os.path.join(MODEL_DIR, 'experiments', 'cfgs', 'quick.yaml')
# Options that a setting of the original stands for where the command line does not have them.
_SET_BY_FILES = {'seed': 'CONST.RNG_SEED', 'save_every': 'TRAIN.SAVE_FREQ',
                 'report_every': 'TRAIN.PRINT_FREQ', 'checkpoint': 'CONST.WEIGHTS',
                 'dataset': 'DATASET'}
# Options that go into a setting.
# The quick start from the weights that ship: a short training of a low rate.
_QUICK_FROM_SHIPPED = {'NUM_ITERATION': 120, 'DEFAULT_LEARNING_RATE': 2e-4, 'VALIDATION_FREQ': 60,
                       'LEARNING_RATES': {'100': 4e-5}}
_SETTING_OF = {'model': 'CONST.NETWORK_CLASS', 'batch_size': 'CONST.BATCH_SIZE',
               'n_views': 'CONST.N_VIEWS', 'training_steps': 'TRAIN.NUM_ITERATION',
               'learning_rate': 'TRAIN.DEFAULT_LEARNING_RATE', 'workers': 'TRAIN.NUM_WORKER',
               'exp': 'TEST.EXP_NAME'}


def parse_args(argv: Optional[Sequence[str]] = None,
               doc: str = __doc__) -> argparse.Namespace:
    """Reads the command line of main.py; `doc` is the script's docstring.

    Returns:
      Namespace for `complete`; `set_by_files` names the options that settings may still set.
    """
    parser = cli.make_parser(doc)
    parser.add_argument('--data_path', type=cli.path, default='',
                        help='folder with ShapeNetRendering and ShapeNetVox32, or its parent')
    work = parser.add_argument_group('what to do')
    group = parser.add_argument_group('settings')
    cli.add_run_options(parser, OUTPUT_PATH)
    cli.add_training_steps(parser, '--iter', help='optimizer steps in all; TRAIN.NUM_ITERATION')
    parser.add_argument('--model', default=None,
                        help='network: LSTM1Net, GRU1Net, LSTM3Net, GRUNet or ResidualGRUNet; '
                             'CONST.NETWORK_CLASS')
    parser.add_argument('--cfg', type=cli.path, action='append', default=None, metavar='FILE',
                        help='YAML file of settings; may be given again')
    work.add_argument('--preset', choices=('own',), default=None,
                      help='own: a set of your own meshes, on a CPU: quick.yaml, batch and length '
                           'by the number of models, from the weights that ship where they are, '
                           'measured at the end')
    cli.add_flag(work, '--train', default=True, help='train')
    cli.add_flag(work, '--test', help='measure only; the same as --notrain --evaluate')
    cli.add_flag(work, '--evaluate', help='measure after training')
    work.add_argument('--views', type=cli.positive_int, default=None,
                      help='measure with one to so many views; unset: random numbers of views, as '
                           'in the original')
    work.add_argument('--pictures', type=cli.non_negative_int, default=4,
                      help='models in the picture of measuring, one of each category in turn')
    cli.add_flag(work, '--freeze', help='write a .pb at the end')
    work.add_argument('--checkpoint', '--ckpt_path', '--weights', type=cli.path, default='',
                      help="weights to start from or to measure: checkpoint, folder of one, or "
                           "the original's .npy")
    cli.add_pretrained(work)
    _add_settings(group)
    _add_original_options(cli.add_expert_group(parser, 'options of the original'))
    parsed = parser.parse_args(argv)
    # Once more without the defaults, to see which options the command line leaves to settings.
    bare = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(_SET_BY_FILES)))
    parsed.set_by_files = [name for name in _SET_BY_FILES if vars(bare)[name] is None]
    return parsed


def _add_settings(group):
    group.add_argument('--batch_size', '--batch-size', type=cli.positive_int, default=None,
                       help='CONST.BATCH_SIZE, models in a step')
    group.add_argument('--learning_rate', type=cli.positive_float, default=None,
                       help='TRAIN.DEFAULT_LEARNING_RATE')
    group.add_argument('--n_views', type=cli.positive_int, default=None,
                       help='CONST.N_VIEWS, views of a model at most')
    group.add_argument('--dataset', type=cli.path, default='',
                       help='JSON of the categories to use')
    group.add_argument('--workers', type=cli.non_negative_int, default=None,
                       help='TRAIN.NUM_WORKER, processes that make batches')
    group.add_argument('--exp', default=None, help='TEST.EXP_NAME, folder below eval/')
    cli.add_flag(group, '--mask_views', help='one graph with a mask instead of one for each number '
                 'of views; always on the NPU')
    cli.add_flag(group, '--plain', help='compute as the original does, view by view; always on GPU '
                 'and NPU')
    group.add_argument('--set', nargs=argparse.REMAINDER, default=None, metavar='KEY VALUE',
                       help='settings, e.g. TRAIN.PAD_X 10; takes the rest of the line')


def _add_original_options(group):
    group.add_argument('--out', dest='output_path', type=cli.path, default=argparse.SUPPRESS,
                       help='the same as --output_path')
    group.add_argument('--net', default=None, help='label of the run, as in the original; unused')
    group.add_argument('--gpu', default=None, help="device of the original, e.g. gpu0: hides the "
                       'other GPUs')
    cli.add_flag(group, '--rand', help='a random seed')
    group.add_argument('--init-iter', type=int, default=None, help='of the original; a resumed '
                       'run knows its step, so it has no effect')


def hide_other_gpus(gpu: Optional[str]) -> None:
    """Leaves TensorFlow the one GPU that --gpu names, such as 'gpu0'; call it before its import."""
    if gpu and gpu.startswith('gpu'):
        os.environ['CUDA_VISIBLE_DEVICES'] = gpu[3:] or '0'


def complete(parsed: argparse.Namespace, device: str) -> cli.Options:
    """Settles the options of main.py.

    The settings are the defaults with the files of --cfg and the pairs of --set over them, and
    options of their own over those. Settings that have an option of another name here become that
    option, unless it was given itself.

    Args:
      parsed: result of `parse_args`; device: 'cpu', 'gpu' or 'npu'.
    Returns:
      cli.Options with `settings` (config.Config).
    Raises:
      errors.UsageError: a setting makes no sense; the message names it.
    """
    from r2n2.lib import settings_checks  # here, since it needs the networks and TensorFlow
    values = dict(vars(parsed))
    if not parsed.data_path and not parsed.cfg and not is_npy(parsed.checkpoint):
        values['cfg'] = [QUICK_CONFIG]
    if parsed.test:
        values['train'], values['evaluate'] = False, True
    if parsed.preset == 'own':
        parsed = _own_set(parsed)
        values.update(cfg=parsed.cfg, pretrained=parsed.pretrained, evaluate=True,
                      views=parsed.views, own=[name for name in ('batch_size', 'training_steps')
                                               if vars(parsed)[name] is None])
    settings, keys = merged_settings(values['cfg'], parsed.set)
    if parsed.pretrained and not parsed.data_path and not parsed.cfg:
        settings['TRAIN'].update(_QUICK_FROM_SHIPPED)
    if parsed.pretrained:
        values['checkpoint'] = _start_from_shipped(parsed, settings)
        values['set_by_files'] = [name for name in values['set_by_files'] if name != 'checkpoint']
    for option in values.pop('set_by_files'):
        if _SET_BY_FILES[option] in keys:
            values[option] = _look_up(settings, _SET_BY_FILES[option])
    for key in sorted(keys & config_lib.NO_EFFECT):
        cli.say('note: {} has no effect here'.format(key))
    for option, key in _SETTING_OF.items():
        if values[option] is not None:
            section, name = key.split('.')
            settings[section][name] = values[option]
    settings_checks.check_network(settings)
    settings_checks.check(settings)
    views = parsed.views or settings.CONST.N_VIEWS
    if values['evaluate'] and views > settings.TRAIN.NUM_RENDERING:
        raise errors.UsageError('--views {}: a model has TRAIN.NUM_RENDERING {} views; measure '
                                'with fewer.'.format(views, settings.TRAIN.NUM_RENDERING))
    if parsed.rand:
        values['seed'] = random.SystemRandom().randrange(2 ** 31)
    if parsed.init_iter is not None:
        cli.say('note: --init-iter has no effect here')
    values.update(settings=settings, batch_size=settings.CONST.BATCH_SIZE,
                  plain=parsed.plain or device != 'cpu',
                  mask_views=parsed.mask_views or device == 'npu')
    return cli.Options(**values)


def _own_set(parsed):
    """Options that --preset=own stands for, where they were not given."""
    if not parsed.data_path:
        raise errors.UsageError('--preset=own is for a set of your own: give --data_path=FOLDER.')
    from common.training import pretrained  # here, since --help needs no TensorFlow
    starts = not (parsed.checkpoint or parsed.model or parsed.set) and (
        pretrained.available(PRETRAINED))
    return cli.settled(parsed, cfg=parsed.cfg or [QUICK_CONFIG], views=parsed.views or 3,
                       pretrained=parsed.pretrained or starts)


def _start_from_shipped(parsed, settings):
    """Gives settings the network of the weights that ship; returns their folder."""
    from common.training import pretrained  # here, since --help needs no TensorFlow
    folder = pretrained.asked_for(parsed, PRETRAINED).checkpoint
    recorded = config_lib.restored(pretrained.sizes(PRETRAINED, ['settings'])['settings'])
    settings['NET'] = recorded.NET
    for name in ('NETWORK_CLASS', 'IMG_H', 'IMG_W', 'N_VOX'):
        settings.CONST[name] = recorded.CONST[name]
    return folder


def merged_settings(files: Optional[Sequence[str]], pairs: Optional[Sequence[str]]
                    ) -> Tuple[config_lib.Config, set]:
    """Returns (the default settings with YAML files and KEY VALUE pairs over them, their keys)."""
    settings, keys = config_lib.defaults(), set()
    for path in files or []:
        keys |= config_lib.merge_file(settings, path)
    keys |= config_lib.merge_pairs(settings, pairs or [])
    return settings, keys


def _look_up(settings: Dict[str, Any], key: str) -> Any:
    for name in key.split('.'):
        settings = settings[name]
    return settings


def is_npy(path: str) -> bool:
    """Returns whether a path is a weight list of the original."""
    return path.lower().endswith(('.npy', '.npz'))


def add_trained_options(parser: argparse.ArgumentParser, device: str = 'auto',
                        device_help: str = 'auto takes an NPU, else a GPU, else the CPU') -> None:
    """Adds the options of scripts that use a trained network, for `networks.trained`."""
    cli.add_trained_options(parser, OUTPUT_PATH, '--weights',
                            checkpoint="checkpoint, folder of one, or the original's .npy")
    parser.add_argument('--network', default=None,
                        help='network of a .npy file; unset: ResidualGRUNet')
    parser.add_argument('--cfg', type=cli.path, action='append', default=None, metavar='FILE',
                        help='YAML file of settings of a .npy file, such as its widths')
    cli.add_device_options(parser.add_argument_group('run'), device, device_help)
    parser.set_defaults(set=None, plain=None)


def add_freeze_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of freezing that are 3D-R2N2's own."""
    parser.add_argument('--views', type=cli.positive_int, default=3, help='V, fixed in the graph')
    add_trained_options(parser, 'cpu', 'where the check runs')
    cli.add_flag(parser, '--plain', help='single operations, for ATC')


def parse_demo_args(argv: Optional[Sequence[str]] = None,
                    doc: str = __doc__) -> argparse.Namespace:
    """Reads the command line of demo.py; `doc` is the script's docstring."""
    parser = cli.make_parser(doc)
    parser.add_argument('pictures', nargs='*', help='files; none: views of the generated furniture')
    parser.add_argument('--output', type=cli.path, default='prediction.obj',
                        help='.obj of cubes as the original writes it; a .glb of the surface and a '
                             '.png go beside it')
    parser.add_argument('--threshold', type=cli.fraction, default=0.4,
                        help='a cell above it is occupied')
    cli.add_max_pixels(parser)
    cli.add_remove_background(parser)
    parser.add_argument('--background', choices=('auto', 'keep'), default='auto',
                        help='auto replaces what looks like the border of a picture')
    cli.add_flag(parser, '--surface_view', default=True, help='leave out cubes that nobody sees')
    add_trained_options(parser)
    return parser.parse_args(argv)

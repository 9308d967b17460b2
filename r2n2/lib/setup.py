"""What main.py, demo.py and freeze.py share: options, settings, networks and their weights."""
import os

import tensorflow.compat.v1 as tf

from common import cli, device, errors
from common.training import checkpoints, runs
from r2n2 import models
from r2n2.lib import config as config_lib
from r2n2.lib import settings_checks, weights

MODEL_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUTPUT_PATH = os.path.join(MODEL_DIR, 'output')
QUICK_CONFIG = os.path.join(MODEL_DIR, 'experiments', 'cfgs', 'quick.yaml')
LAUNCHED = os.path.join(MODEL_DIR, 'test', 'output', '0')  # where test/*.sh leave their run
GENERATED = 'furniture'     # folder of the generated data, in the output folder
# Options of main.py that settings of the original stand for.
OPTIONS = {'seed': 'CONST.RNG_SEED', 'save_every': 'TRAIN.SAVE_FREQ',
           'report_every': 'TRAIN.PRINT_FREQ', 'checkpoint': 'CONST.WEIGHTS', 'dataset': 'DATASET'}


def is_npy(path):
    """Whether a path is a weight list of the original."""
    return path.lower().endswith(('.npy', '.npz'))


def _merged(config):
    """(defaults with --cfg files and --set pairs over them, set of the keys that these give)."""
    found, given = config_lib.defaults(), set()
    for path in config.cfg or []:
        given |= config_lib.merge_file(found, path)
    given |= config_lib.merge_pairs(found, getattr(config, 'set', None) or [])
    return found, given


def settings(config):
    """The settings of a run: defaults, --cfg files, --set pairs, then options of their own.

    Settings that have an option of another name here (`OPTIONS`) become that option, unless it was
    given itself.

    Args:
      config: namespace of main.py's options; `not_given` lists those of `OPTIONS` that were left
        at their defaults, and is taken out.
    Returns:
      config_lib.Config.
    Raises:
      errors.UsageError: a setting makes no sense; the message names it.
    """
    found, given = _merged(config)
    for option in vars(config).pop('not_given', ()):
        key = OPTIONS[option]
        if key in given:
            section, _, name = key.rpartition('.')
            setattr(config, option, (found[section] if section else found)[name])
    for key in sorted(given & config_lib.NO_EFFECT):
        cli.say('note: {} has no effect here'.format(key))
    for section, key, value in [
            ('CONST', 'NETWORK_CLASS', config.model), ('CONST', 'BATCH_SIZE', config.batch_size),
            ('CONST', 'N_VIEWS', config.n_views), ('TRAIN', 'NUM_ITERATION', config.training_steps),
            ('TRAIN', 'DEFAULT_LEARNING_RATE', config.learning_rate),
            ('TRAIN', 'NUM_WORKER', config.workers), ('TEST', 'EXP_NAME', config.exp)]:
        if value is not None:
            found[section][key] = value
    _check_network(found)
    settings_checks.check(found)
    views = config.views or found.CONST.N_VIEWS
    if config.evaluate and views > found.TRAIN.NUM_RENDERING:
        raise errors.UsageError('--views {}: a model has TRAIN.NUM_RENDERING {} views; measure '
                                'with fewer.'.format(views, found.TRAIN.NUM_RENDERING))
    return found


def _check_network(found):
    if models.load_model(found.CONST.NETWORK_CLASS) is None:
        raise errors.UsageError('--model {}: no such network. There are {}.'.format(
            found.CONST.NETWORK_CLASS,
            ', '.join('{} ({})'.format(kind.__name__, kind.paper_name) for kind in models.MODELS)))
    encoder, decoder = found.NET.N_CONVFILTER, found.NET.N_DECONVFILTER
    if (len(encoder), len(decoder), len(found.NET.N_FC_FILTERS)) != (6, 6, 1) or decoder[-1] != 2:
        raise errors.UsageError('NET.N_CONVFILTER and NET.N_DECONVFILTER take 6 numbers (the last '
                                'of the decoder is 2), NET.N_FC_FILTERS takes 1.')
    if models.load_model(found.CONST.NETWORK_CLASS).residual and (
            encoder[4] != encoder[5] or len(set(decoder[:3])) > 1):
        raise errors.UsageError('a residual network adds layers of one width: the last two of '
                                'NET.N_CONVFILTER must be equal, and the first three of '
                                'NET.N_DECONVFILTER.')


def make_net(found, plain, seed=0):
    """The network that settings describe; its graph comes with `build`."""
    return models.load_model(found.CONST.NETWORK_CLASS)(
        n_convfilter=found.NET.N_CONVFILTER, n_fc_filters=found.NET.N_FC_FILTERS,
        n_deconvfilter=found.NET.N_DECONVFILTER, leaky_slope=found.NET.LEAKY_SLOPE,
        batch_norm=found.NET.BATCH_NORM, recurrent_filler=found.NET.RECURRENT_FILLER,
        plain=plain, seed=seed)


def add_trained_options(parser):
    """Adds the options of scripts that use a trained network."""
    parser.add_argument('--output_path', default=OUTPUT_PATH,
                        help='folder of the training run (its config.json tells the network)')
    parser.add_argument('--checkpoint', '--ckpt_path', '--weights', default='',
                        help="checkpoint, folder of one, or the original's .npy; unset: the newest "
                             'of the run')
    parser.add_argument('--network', default=None,
                        help='network of a .npy file; unset: ResidualGRUNet')
    parser.add_argument('--cfg', action='append', default=None, metavar='FILE',
                        help='YAML file of settings of a .npy file, such as its widths')
    cli.add_device(parser)
    parser.add_argument('--precision_mode', default=None, help='see main.py')
    parser.add_argument('--threads', type=cli.non_negative_int, default=0,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')


def trained(config):
    """Finds a trained network.

    Args:
      config: namespace with the options of `add_trained_options`; `output_path` becomes that of the
        launch scripts where it was not given and holds no run.
    Returns:
      (config_lib.Config, str: the weights' path).
    Raises:
      errors.UsageError: `network` is not that of the checkpoint.
    """
    if is_npy(config.checkpoint):
        found, _ = _merged(config)
        if config.network:
            found.CONST.NETWORK_CLASS = config.network
        _check_network(found)
        return found, config.checkpoint
    found = config_lib.defaults()
    if (config.output_path == OUTPUT_PATH and os.path.isdir(LAUNCHED)
            and not os.path.isdir(os.path.join(OUTPUT_PATH, checkpoints.RUN_FOLDER))):
        config.output_path = LAUNCHED
    prefix = checkpoints.latest(config.checkpoint or config.output_path)
    folder = os.path.dirname(os.path.dirname(os.path.abspath(prefix)))
    recorded = runs.read_options(folder).get('settings')
    if not recorded:
        raise errors.InputError('{}/config.json is not of 3D-R2N2.'.format(folder))
    _restore_settings(found, recorded)
    own = models.load_model(found.CONST.NETWORK_CLASS)
    if config.network and models.load_model(config.network) is not own:
        raise errors.UsageError('{} is a {}, not {}: leave the option of the network out.'.format(
            prefix, own.__name__, config.network))
    return found, prefix


def _restore_settings(found, recorded):
    for key, value in recorded.items():
        if isinstance(found.get(key), config_lib.Config):
            _restore_settings(found[key], value)
        else:
            found[key] = value


def load(sess, net, path):
    """Gives a built network its weights, of a checkpoint or a .npy file."""
    if is_npy(path):
        weights.load(sess, net, path)
    else:
        statistics = [variable for pair in net.statistics.values() for variable in pair]
        checkpoints.restore(sess, path, list(net.params.values()) + statistics)
    cli.say('weights of {}'.format(path))


def is_plain(config):
    """Whether single operations are wanted: on GPU and NPU, or because --plain says so."""
    return bool(getattr(config, 'plain', False)) or device.choose(config.device) != 'cpu'


def session(config):
    """A session for inference."""
    return tf.Session(config=device.session_config(config))

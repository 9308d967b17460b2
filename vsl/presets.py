"""Sizes of VSL's networks by data set, the options that change them, and building a network."""
import argparse
import math
import os

import tensorflow.compat.v1 as tf

from common import cli, device
from common.training import checkpoints, runs
from vsl import data_utils, make_dataset, vsl, vsl_rec

OUTPUT_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'output')

# The two sources disagree on ModelNet40: the Ascend port's numbers are modelnet40, those of the
# original, which its published parameters need, modelnet40-paper.
PRESETS = {
    'furniture': {'global_latent_dim': 10, 'local_latent_dim': 5, 'local_latent_num': 5,
                  'batch_size': 10, 'total_epoch': 20, 'learning_rate': 1e-3},
    'modelnet10': {'global_latent_dim': 10, 'local_latent_dim': 5, 'local_latent_num': 5,
                   'batch_size': 100, 'total_epoch': 500, 'learning_rate': 5e-5},
    'modelnet40': {'global_latent_dim': 10, 'local_latent_dim': 5, 'local_latent_num': 5,
                   'batch_size': 100, 'total_epoch': 500, 'learning_rate': 5e-5},
    'modelnet40-paper': {'global_latent_dim': 20, 'local_latent_dim': 10, 'local_latent_num': 5,
                         'batch_size': 200, 'total_epoch': 2620, 'learning_rate': 5e-5}}
IMAGE_PRESETS = {
    'separately': {'global_latent_dim': 5, 'local_latent_dim': 2, 'local_latent_num': 3,
                   'batch_size': 5, 'total_epoch': 10, 'learning_rate': 5e-5},
    'jointly': {'global_latent_dim': 10, 'local_latent_dim': 5, 'local_latent_num': 5,
                'batch_size': 40, 'total_epoch': 10, 'learning_rate': 5e-5}}
_FILES = {'modelnet10': 'ModelNet10_res30_raw.mat', 'modelnet40': 'ModelNet40_res30_raw.mat',
          'modelnet40-paper': 'ModelNet40_res30_raw.mat'}
SIZES = ('global_latent_dim', 'local_latent_dim', 'local_latent_num')
_REPAIRS = ('merge_first_code', 'decode_samples', 'bias_after_product')
_PRESET = ' (of the preset unless given)'


def add_model_options(parser, presets):
    """Adds the options that give a network its shape and its training.

    Args:
      parser: parser of `cli.make_parser`; presets: PRESETS or IMAGE_PRESETS.
    """
    group = parser.add_argument_group('network and training')
    group.add_argument('--preset', choices=sorted(presets), default=None,
                       help='sizes by data set; unset: by the name of the data')
    for name, text in (('global_latent_dim', 'numbers of the global code'),
                       ('local_latent_dim', 'numbers of a local code'),
                       ('local_latent_num', 'local codes'), ('batch_size', 'shapes in a step')):
        group.add_argument('--' + name, type=cli.positive_int, default=None, help=text + _PRESET)
    group.add_argument('--total_epoch', '--train_epochs', '--epoch', type=cli.positive_int,
                       default=None, help='rounds over the training split' + _PRESET)
    group.add_argument('--training_steps', '--train_steps', '--training-steps',
                       type=cli.positive_int, default=None,
                       help='optimizer steps in all, instead of --total_epoch')
    group.add_argument('--learning_rate', type=cli.positive_float, default=None,
                       help='of Adam' + _PRESET)
    group.add_argument('--schedule', choices=('constant', 'cosine'), default='constant',
                       help='of the learning rate: half a cosine falls to 0 at the last step')
    group.add_argument('--kl_weight', type=cli.non_negative_float, default=vsl.KL_WEIGHT,
                       help='of the divergence beside the reconstruction')
    group.add_argument('--kl_warmup_steps', type=cli.non_negative_int, default=0,
                       help='in which that weight rises from 0')
    group.add_argument('--free_nats', type=cli.non_negative_float, default=0.,
                       help='divergence of each code that costs nothing')
    group.add_argument('--augment_shift', type=cli.non_negative_int, default=0,
                       help='cells by which shapes are moved at random in training, at most')
    group.add_argument('--augment_mirror', choices=('none', 'x', 'y', 'xy'), default='none',
                       help='axes along each of which every second shape is mirrored in training')
    add_repair(group, '--merge_first_code', 'let the first local code see the shape, which the '
               'original meant but does not do')
    add_repair(group, '--decode_samples', 'train the decoder on drawn codes, not on means')
    cli.add_flag(group, '--plain', default=None, help='strided convolutions as single operations; '
                 'unset: on GPU and NPU (on a CPU they take minutes a step)')
    group.add_argument('--class_names', default='', metavar='FILE',
                       help='names of the classes, a line each, or .json; unset: those that the '
                            'data bring, else classes.txt beside them')
    group.add_argument('--up', choices=('y', 'z'), default='z',
                       help='vertical axis of the grids in pictures')
    group.add_argument('--renderer', choices=('surface', 'mayavi'), default='surface',
                       help='mayavi adds the original\'s pictures of cubes')


def add_repair(parser, name, text):
    """Adds a flag that `complete` takes from the record of a trained network where it is unset."""
    cli.add_flag(parser, name, default=None, help=text + '; unset: as trained, else not')


def complete(config, presets, default):
    """Fills in what was not given: from a trained network where one is used, else the preset.

    With --preset the sizes are the preset's, so that a checkpoint which does not fit is refused.

    Args:
      config: namespace, changed; presets: PRESETS or IMAGE_PRESETS; default: str, its fallback.
    """
    if 'train' not in config.stages:
        found = recorded(config)
        names = _REPAIRS + ('class_name', 'image_scale')
        if config.preset is None:
            names += SIZES + ('batch_size', 'preset')
        for name in names:
            if name in found and getattr(config, name, 0) is None:
                setattr(config, name, found[name])
    if config.preset is None:
        base = os.path.basename(config.data_path)
        named = [name for name in ('modelnet10', 'modelnet40') if _FILES[name] == base]
        config.preset = (named or [default])[0] if presets is PRESETS else default
    fallbacks = dict(presets[config.preset], **dict.fromkeys(_REPAIRS, False), image_scale=1.)
    for name, value in fallbacks.items():
        if getattr(config, name, 0) is None:
            setattr(config, name, value)
    if config.plain is None:
        config.plain = device.choose(config.device) != 'cpu'


def recorded(config):
    """Options of the run that a checkpoint belongs to; empty where no config.json is near.

    Args:
      config: namespace with `checkpoint` and `output_path`.
    Returns:
      dict {option: value}.
    """
    folder = config.output_path
    if config.checkpoint:
        folder = os.path.dirname(os.path.dirname(os.path.abspath(
            checkpoints.latest(config.checkpoint))))
    return record_of(folder)


def record_of(folder):
    """Options of the VSL run of an output folder, a dict; empty where it has no config.json."""
    if not os.path.exists(os.path.join(folder, 'config.json')):
        return {}
    options = runs.read_options(folder)
    return options if 'global_latent_dim' in options else {}


def trained(config, count):
    """How the order of the shapes came about in the training of the network that is used.

    Args:
      config: completed namespace, which stands in for what the run's record does not tell.
      count: int, shapes for training.
    Returns:
      (seed, epochs begun).
    """
    found = dict(vars(config), **recorded(config))
    steps = checkpoints.step_of(checkpoints.latest(config.checkpoint or config.output_path))
    per_epoch = max(1, count // found['batch_size'])
    return found['seed'], -(-(steps or found['training_steps']) // per_epoch)


def find_data(config):
    """Gives the data file; without --data_path the procedural furniture, made if need be.

    Args:
      config: completed namespace.
    Returns:
      str, the .mat file.
    """
    if config.data_path:
        return data_utils.find_file(config.data_path, _FILES.get(config.preset, 'PASCAL3D.mat'))
    path = os.path.join(config.output_path, 'furniture.mat')
    if not os.path.exists(path):
        splits, names = make_dataset.make_furniture(0)
        data_utils.write(path, splits, names, {'source': 'procedural furniture, seed 0'})
    cli.say('no --data_path given: using the procedural furniture, {}'.format(path))
    return path


def make_model(config, step=None, images=False):
    """Builds the network of a configuration for training.

    Args:
      config: completed namespace.
      step: int32 scalar, the training step; images: bool, with the image branch.
    Returns:
      (model, dict of placeholders to feed: 'x' uint8 [B, 30, 30, 30, 1] and, with images, 'y'); B:
      rows of the batch that this process computes.
    """
    on_npu = device.choose(config.device) == 'npu'
    batch_size = device.per_rank(config.batch_size)
    x = tf.placeholder(tf.uint8, [batch_size] + 3 * [vsl.OBJ_RES] + [1])
    kl_weight = config.kl_weight
    if config.kl_warmup_steps and step is not None:
        kl_weight *= tf.minimum(1., tf.cast(step, tf.float32) / config.kl_warmup_steps)
    rate = config.learning_rate
    if config.schedule == 'cosine' and step is not None:
        rate *= 0.5 * (1. + tf.cos(math.pi / config.training_steps * tf.cast(step, tf.float32)))
    arguments = {name: getattr(config, name) for name in SIZES}
    arguments.update(
        batch_size=batch_size, share=(device.rank() * batch_size, config.batch_size),
        x=tf.cast(x, tf.float32), plain=config.plain,
        optimizer=device.wrap_optimizer(tf.train.AdamOptimizer(rate), config),
        step=None if on_npu else step, seed=config.seed, kl_weight=kl_weight,
        merge_first_code=config.merge_first_code, decode_samples=config.decode_samples,
        free_nats=config.free_nats)
    if not images:
        return vsl.VarShapeLearner(**arguments), {'x': x}
    model = vsl_rec.VarShapeLearner(bias_after_product=config.bias_after_product,
                                    detach_codes=config.detach_codes, **arguments)
    return model, {'x': x, 'y': model.y}


def restore(config, model):
    """Opens a session with a trained network, for stages without training.

    Args:
      config: completed namespace; `checkpoint`, or else the newest one of `output_path`, is used.
      model: VarShapeLearner; its session is set.
    Raises:
      errors.InputError: no checkpoint, a damaged one, or one of other sizes.
    """
    prefix = checkpoints.latest(config.checkpoint or config.output_path)
    model.sess = tf.Session(config=device.session_config(config))
    checkpoints.restore(model.sess, prefix, list(model.params.values()), remedy='Give the '
                        '--preset (or the sizes) that it was trained with.')
    cli.say('weights of {}'.format(prefix))


def stages(text, known):
    """Argparse type: names out of a list, divided by commas, in the list's order."""
    chosen = text.split(',')
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError('must be out of {}, not "{}"'.format(
            ','.join(known), ','.join(unknown)))
    return [name for name in known if name in chosen]


def steps_of(config, count, path):
    """Steps of an epoch, and all steps, of a training split with `count` shapes.

    Raises:
      errors.InputError: fewer shapes than a batch.
    """
    data_utils.require_batch(count, config.batch_size, path, 'shapes for training')
    per_epoch = count // config.batch_size
    if not config.training_steps:
        config.training_steps = config.total_epoch * per_epoch
    return per_epoch

"""Checkpoints under the original's names, and the options that say where things lie.

`<checkpoint_dir>/<stem>_64/IMAE.model-<epoch>`, `<stem>_z_<noise>_<code>/ZGAN.model-<epoch>`,
`<stem>_128/IMSVR.model-<epoch>`: the author's own folders and those that training leaves. What a
resumed run needs beside (moments, step) is in `<output_path>/{ae,gan,svr}/checkpoints`.
"""
import glob
import os

import tensorflow.compat.v1 as tf

from common import cli, device, errors, files
from common.training import checkpoints, runs
from imnet import data_utils

OUTPUT_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'output')
KINDS = {'ae': 'IMAE.model', 'gan': 'ZGAN.model', 'svr': 'IMSVR.model'}
_DEFAULTS = {'z_dim': 256, 'gf_dim': 128}
_GAN_SIZES = (128, 2048)    # numbers of the noise, width of the layers


def add_options(parser, ef_dim):
    """Adds the options that all programs of IM-NET share.

    Args:
      parser: parser of `cli.make_parser`; ef_dim: int, default width of the encoder.
    """
    parser.add_argument('--epoch', '--total_epoch', '--train_epochs', type=cli.positive_int,
                        default=10000, help='epochs in all, earlier runs included')
    parser.add_argument('--training_steps', '--train_steps', '--training-steps',
                        type=cli.positive_int, default=None,
                        help='optimizer steps in all, instead of --epoch')
    parser.add_argument('--learning_rate', type=cli.positive_float, default=5e-5, help='of Adam')
    parser.add_argument('--beta1', type=cli.fraction, default=0.5, help='of Adam')
    parser.add_argument('--dataset', default='',
                        help='stem of the data files; unset: the only one in the folder, else '
                             + data_utils.STEM)
    parser.add_argument('--data_dir', '--data_path', default='./data',
                        help='folder of <dataset>_train.hdf5 and <dataset>_test.hdf5')
    parser.add_argument('--checkpoint_dir', default='',
                        help='folder of the folders of checkpoints under the original\'s names; '
                             'unset: <output_path>/checkpoints')
    parser.add_argument('--sample_dir', default='',
                        help='folder for meshes and pictures; unset: <output_path>/samples')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='weights to start from, or to use without --train')
    cli.add_flag(parser, '--train', help='train; else use a trained network')
    cli.add_flag(parser, '--original_resume', help='go on with fresh moments of Adam, from the '
                 'checkpoint under the original\'s name')
    parser.add_argument('--checkpoint_every', type=cli.positive_int, default=None,
                        help='epochs between checkpoints under the original\'s names')
    group = parser.add_argument_group('network (unset: from the checkpoint, else the default)')
    for name, default, text in (('z_dim', 256, 'numbers of a code'),
                                ('ef_dim', ef_dim, 'width unit of the encoder'),
                                ('gf_dim', 128, 'width unit of the decoder')):
        group.add_argument('--' + name, type=cli.positive_int, default=None,
                           help='{} ({} unless a checkpoint says another)'.format(text, default))
    cli.add_flag(group, '--leaky_clip', default=None, help='let 0.01 of the decoder\'s value '
                 'through outside [0, 1], for runs that do not converge; unset: as the '
                 'autoencoder of this output folder was trained')
    cli.add_flag(group, '--he_init', help='first values of the decoder with the deviation '
                 'sqrt(2 / inputs), not 0.02: narrow decoders and small sets leave the plateau of '
                 'the mean shape much sooner')
    cli.add_flag(group, '--plain', default=None, help='operations as the original has them; unset: '
                 'on GPU and NPU')


def complete(config, split='train'):
    """Fills in folders, the stem and `plain`; gives the path of a split, or None without data.

    Args:
      config: namespace, changed; split: 'train', 'test' or None.
    """
    config.checkpoint_dir = config.checkpoint_dir or os.path.join(config.output_path, 'checkpoints')
    config.sample_dir = config.sample_dir or os.path.join(config.output_path, 'samples')
    if config.plain is None:
        config.plain = device.choose(config.device) != 'cpu'
    path = None
    if split:
        path = data_utils.find(config.data_dir, config.dataset, split)
        config.dataset = data_utils.split_name(path)[0]
    elif not config.dataset:
        config.dataset = only_stem(config.checkpoint_dir)
    return path


def only_stem(folder):
    """The stem that the folders of checkpoints are named by, where there is only one."""
    found = set()
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        stem = name.split('_z_')[0] if '_z_' in name else name.rpartition('_')[0]
        if stem and os.path.isdir(os.path.join(folder, name)):
            found.add(stem)
    return found.pop() if len(found) == 1 else data_utils.STEM


def folder(config, kind):
    """Folder of the checkpoints of 'ae', 'gan' or 'svr' under the original's names."""
    endings = {'ae': '_64', 'svr': '_128'}
    ending = endings.get(kind) or '_z_{}_{}'.format(config.noise_dim, config.z_dim)
    return os.path.join(config.checkpoint_dir, config.dataset + ending)


def newest(config, kind, needed=True):
    """Prefix of the newest checkpoint of a kind, or None where none is needed.

    Raises:
      errors.InputError: there is none, and one is needed.
    """
    place = folder(config, kind)
    if not os.path.isdir(place):
        if needed:
            raise errors.InputError('no trained network: there is no folder {}. Train one first, '
                                    'or give --checkpoint or --checkpoint_dir.'.format(place))
        return None
    return checkpoints.latest(place)


def fit_sizes(config, prefix, ef_dim):
    """Sets z_dim, ef_dim, gf_dim as the checkpoint has them, else as given or by default.

    Args:
      config: namespace, changed; prefix: str or None; ef_dim: int, the default.
    Raises:
      errors.InputError: an option says another size than the checkpoint.
    """
    held = {}
    if prefix:
        shapes = checkpoints.variables_of(prefix)
        held = {name: shape for name, shape in (
            ('z_dim', shapes.get('encoder/conv_5/bias', shapes.get('encoder/conv10/bias'))),
            ('ef_dim', shapes.get('encoder/conv_1/bias',
                                  shapes.get('encoder/BatchNorm/beta'))),
            ('gf_dim', shapes.get('simple_net/h6_lin/bias'))) if shape}
        held = {name: shape[0] for name, shape in held.items()}
        if 'gf_dim' in held and 'z_dim' not in held:
            held['z_dim'] = shapes['simple_net/h1_lin/Matrix'][0] - 3
    for name, default in dict(_DEFAULTS, ef_dim=ef_dim).items():
        asked = getattr(config, name)
        if asked and name in held and asked != held[name]:
            raise errors.InputError('--{} is {}, but checkpoint {} has {}. Leave the option out, '
                                    'or start anew with --noresume in another --output_path.'
                                    .format(name, asked, prefix, held[name]))
        setattr(config, name, asked or held.get(name, default))
    if config.leaky_clip is None:
        config.leaky_clip = _recorded(config).get('leaky_clip') or False


def newest_gan(config):
    """Prefix of the newest checkpoint of the GAN, of whatever sizes are not given.

    Raises:
      errors.InputError: there is none.
    """
    name = '{}_z_{}_{}'.format(glob.escape(config.dataset), config.noise_dim or '*', config.z_dim)
    found = glob.glob(os.path.join(glob.escape(config.checkpoint_dir), name))
    if not found:
        raise errors.InputError('no trained GAN: there is no folder {} in {}. Train one first with '
                                '--train, or give --checkpoint or --checkpoint_dir.'.format(
                                    name, config.checkpoint_dir))
    return checkpoints.latest(max(found, key=os.path.getmtime))


def fit_gan_sizes(config, prefix):
    """Sets noise_dim and gan_dim as a checkpoint of the GAN has them, else as given or by default.

    Raises:
      errors.InputError: it is no checkpoint of the GAN, or an option says another size.
    """
    shape = _GAN_SIZES
    if prefix:
        shape = checkpoints.variables_of(prefix).get('generator/g_1_lin/Matrix')
        if shape is None:
            raise errors.InputError('{} is no checkpoint of the GAN: it has no generator/g_1_lin. '
                                    'Give a ZGAN.model as --checkpoint.'.format(prefix))
    for name, size in zip(('noise_dim', 'gan_dim'), shape):
        asked = getattr(config, name)
        if prefix and asked and asked != size:
            raise errors.InputError('--{} is {}, but checkpoint {} has {}. Leave the option out.'
                                    .format(name, asked, prefix, size))
        setattr(config, name, asked or int(size))


def _recorded(config):
    """Options of the autoencoder's training in this output folder; empty where there was none."""
    place = os.path.join(config.output_path, 'ae')
    if not os.path.exists(os.path.join(place, 'config.json')):
        return {}
    return runs.read_options(place)


def restore(sess, prefix, variables):
    """Gives a network the values of a checkpoint; optimizer slots in the file are not looked at."""
    checkpoints.restore(sess, prefix, variables)
    cli.say('weights of {}'.format(prefix))


def save(sess, variables, config, kind, epoch, keep):
    """Saves variables under the original's name.

    Args:
      sess: tf.Session; variables: list; config: namespace; kind: 'ae', 'gan' or 'svr'.
      epoch: int, in the name; keep: int, newest checkpoints that stay.
    Returns:
      str, the prefix.
    """
    place, stem = folder(config, kind), KINDS[kind]
    if not device.is_chief():
        return os.path.join(place, '{}-{}'.format(stem, epoch))
    os.makedirs(place, exist_ok=True)
    prefix = os.path.join(place, '{}-{}'.format(stem, epoch))
    try:
        tf.train.Saver(variables).save(sess, prefix, write_meta_graph=False, write_state=False)
    except (tf.errors.OpError, ValueError) as error:
        checkpoints.remove(prefix)
        raise errors.InputError('cannot save {} ({}). Earlier checkpoints are whole.'.format(
            prefix, checkpoints.first_words(error)))
    held = [other for other in checkpoints.in_folder(place, stem)
            if checkpoints.step_of(other) <= epoch]
    checkpoints.write_list(place, held[-keep:])
    for other in held[:-keep]:
        checkpoints.remove(other)
    return prefix


def run_config(config, kind, steps_per_epoch, checkpoint_every):
    """The namespace of a kind's training run: a folder of its own below the output path.

    Args:
      config: completed namespace; kind: 'ae', 'gan' or 'svr'; steps_per_epoch: int.
      checkpoint_every: int, default of --checkpoint_every.
    Returns:
      namespace.
    Raises:
      errors.InputError: the run in that folder counted other steps an epoch.
    """
    result = type(config)(**vars(config))
    result.output_path = os.path.join(config.output_path, kind)
    result.steps_per_epoch = steps_per_epoch
    if not result.checkpoint_every:
        result.checkpoint_every = checkpoint_every
    if not result.training_steps:
        # The original's GAN counts from epoch 0 to --epoch, both included.
        result.training_steps = (result.epoch + (kind == 'gan')) * steps_per_epoch
    path = os.path.join(result.output_path, 'config.json')
    if config.resume and os.path.exists(path):
        before = files.read_json(path)['options'].get('steps_per_epoch', steps_per_epoch)
        if before != steps_per_epoch:
            raise errors.InputError(
                'the run in {} has {} steps an epoch, this one {}: other data or other '
                '--shapes_per_step. Choose another --output_path, or --noresume.'.format(
                    result.output_path, before, steps_per_epoch))
    return result


def start_from_original(run, config, kind, variables, optimizer_variables):
    """Goes on from a checkpoint of the original's name where the run has none of its own.

    Args:
      run: runs.Run at its beginning; config: namespace of `run_config`; kind: str.
      variables: of the model; optimizer_variables: moments and powers, set back.
    """
    if run.step and not config.original_resume or not config.resume or config.checkpoint:
        return
    prefix = newest(config, kind, needed=False)
    if prefix is None:
        return
    checkpoints.restore(run.sess, prefix, variables)
    run.sess.run(tf.variables_initializer(optimizer_variables))
    run.step = run.start_step = (checkpoints.step_of(prefix) + 1) * config.steps_per_epoch
    cli.say('goes on from {}, with fresh moments of Adam, at step {}'.format(
        prefix, run.step))


def optimizer_variables(variables):
    """Variables of the graph that are not the model's: moments and powers of Adam."""
    return [item for item in tf.global_variables() if item not in variables]


class EpochMean:
    """Means of the losses of an epoch; lives in `Run.state`, so that a resumed run goes on."""

    def __init__(self, run, steps_per_epoch):
        self._run, self._steps = run, steps_per_epoch

    def add(self, step, **values):
        """Adds the values of a step; gives dict of means at the last step of an epoch, or None."""
        sums = self._run.state.setdefault('epoch_sums', {})
        sums['count'] = sums.get('count', 0) + 1
        for name, value in values.items():
            sums[name] = sums.get(name, 0.) + float(value)
        if step % self._steps:
            return None
        self._run.state['epoch_sums'] = {}
        count = sums.pop('count')
        return {name: value / count for name, value in sums.items()}

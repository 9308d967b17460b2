"""Checkpoints under the original's names, and the sizes of the networks in them.

`<checkpoint_dir>/<stem>_64/IMAE.model-<epoch>`, `<stem>_z_<noise>_<code>/ZGAN.model-<epoch>`,
`<stem>_128/IMSVR.model-<epoch>`: the author's own folders and those that training leaves. What a
resumed run needs besides (moments, step) is in `<output_path>/{ae,gan,svr}/checkpoints`. Kinds of
networks: 'ae', 'gan', 'svr'.
"""
import glob
import os
import re
from typing import List, Optional, Sequence

import tensorflow.compat.v1 as tf

from common import cli, errors, files
from common.training import checkpoints, pretrained, runs
from imnet import options as options_lib

NAMES = {'ae': 'IMAE.model', 'gan': 'ZGAN.model', 'svr': 'IMSVR.model'}
_KEPT = {'ae': 10, 'gan': 20, 'svr': 10}    # newest checkpoints that stay, as in the original
_SIZES = {'z_dim': 256, 'gf_dim': 128}
_EF_DIM = {'ae': 32, 'svr': 64}
_GAN_SIZES = {'noise_dim': 128, 'gan_dim': 2048}


def with_stem(options: cli.Options) -> cli.Options:
    """Settles the stem where no set was opened: --dataset, or that of the checkpoints' folders."""
    return options.replace(dataset=options.dataset or _only_stem(options.checkpoint_dir))


def _only_stem(folder):
    """The stem that the folders of checkpoints are named by, where there is only one."""
    stems = set()
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        stem = name.split('_z_')[0] if '_z_' in name else name.rpartition('_')[0]
        if stem and os.path.isdir(os.path.join(folder, name)):
            stems.add(stem)
    return stems.pop() if len(stems) == 1 else options_lib.DATASET


def folder(options: cli.Options, kind: str) -> str:
    """Returns the folder of the checkpoints of a kind of network under the original's names."""
    return os.path.join(options.checkpoint_dir, options.dataset + _ending(options, kind))


def placed(options: cli.Options, kind: str) -> cli.Options:
    """Turns to the weights that ship where --pretrained or the lack of others asks for them.

    Args:
      options: settled; kind: 'ae', 'gan' or 'svr'.
    Returns:
      options whose `checkpoint_dir`, `dataset` and `leaky_clip` are those of these weights, or as
      they are.
    Raises:
      errors.UsageError, errors.InputError: see `pretrained.chosen`.
    """
    own_folder = options.checkpoint_dir != os.path.join(options.output_path, 'checkpoints')
    has_run = not options.pretrained and (own_folder or newest(options, kind) is not None)
    if not pretrained.chosen(options, options_lib.PRETRAINED, has_run).checkpoint or (
            options.checkpoint):
        return options
    return shipped(options)


def shipped(options: cli.Options) -> cli.Options:
    """Returns options whose checkpoints are those that ship, with no --checkpoint."""
    place = os.path.join(options_lib.PRETRAINED, checkpoints.RUN_FOLDER)
    trained = pretrained.sizes(options_lib.PRETRAINED, ['leaky_clip'], 'ae')
    leaky_clip = (trained.get('leaky_clip', False) if options.leaky_clip is None
                  else options.leaky_clip)
    return options.replace(checkpoint='', checkpoint_dir=place, dataset=_only_stem(place),
                           leaky_clip=leaky_clip)


def _ending(options, kind):
    """What follows the stem; sizes of the GAN that are not known are *."""
    if kind == 'gan':
        return '_z_{}_{}'.format(options.noise_dim or '*', options.z_dim or '*')
    return {'ae': '_64', 'svr': '_128'}[kind]


def codes_path(options: cli.Options, part: str = '') -> str:
    """Returns the file of the codes of the training shapes, or of another part of the set."""
    return os.path.join(options.output_path, '{}{}_z.hdf5'.format(options.dataset, part))


def newest(options: cli.Options, kind: str) -> Optional[str]:
    """Finds the newest checkpoint of a kind of network; None where there is none.

    Sizes of the GAN that are None may be any. A kill may leave a folder without a checkpoint.
    """
    stem = os.path.join(options.checkpoint_dir, options.dataset)
    folders = filter(os.path.isdir, glob.glob(glob.escape(stem) + _ending(options, kind)))
    for path in sorted(sorted(folders), key=os.path.getmtime, reverse=True):
        prefix = checkpoints.newest_in(path)
        if prefix:
            return prefix
    return None


def chosen(options: cli.Options, kind: str) -> str:
    """Finds the checkpoint of the network to use: --checkpoint, or the newest one.

    Raises:
      errors.InputError: there is none.
    """
    if options.checkpoint:
        return checkpoints.latest(options.checkpoint)
    prefix = newest(options, kind)
    if prefix is None:
        raise errors.InputError('no trained {}: no checkpoint lies in {}. Train one first, or give '
                                '--checkpoint or --checkpoint_dir.'.format(
                                    'GAN' if kind == 'gan' else 'network', folder(options, kind)))
    return prefix


def fitted(options: cli.Options, prefix: Optional[str], kind: str) -> cli.Options:
    """Sets z_dim, ef_dim and gf_dim as the checkpoint has them, else as the options or by default.

    Args:
      options: settled, each of the sizes may be None; prefix: of a checkpoint, or None.
      kind: 'ae' or 'svr', whose default width is taken.
    Raises:
      errors.InputError: an option says another size than the checkpoint.
    """
    sizes = _sizes_in(prefix) if prefix else {}
    changes = _agreed(options, prefix, sizes, dict(_SIZES, ef_dim=_EF_DIM[kind]))
    if options.leaky_clip is None:
        changes['leaky_clip'] = bool(prefix) and _trained_with_leaky_clip(options.output_path)
    return options.replace(**changes)


def _agreed(options, prefix, sizes, defaults):
    """{option: size} by the checkpoint, the options, the defaults; the first two must agree."""
    for name in defaults:
        asked = vars(options)[name]
        if asked and asked != sizes.get(name, asked):
            raise errors.InputError('--{} is {}, but checkpoint {} has {}. Leave the option out, '
                                    'or start anew with --noresume in another --output_path.'
                                    .format(name, asked, prefix, sizes[name]))
    return {name: vars(options)[name] or sizes.get(name, default)
            for name, default in defaults.items()}


def _sizes_in(prefix):
    """{option: size} of those that a checkpoint of IM-AE or IM-SVR tells."""
    shapes = checkpoints.variables_of(prefix)
    biases = {
        'z_dim': shapes.get('encoder/conv_5/bias', shapes.get('encoder/conv10/bias')),
        'ef_dim': shapes.get('encoder/conv_1/bias', shapes.get('encoder/BatchNorm/beta')),
        'gf_dim': shapes.get('simple_net/h6_lin/bias')}
    sizes = {name: shape[0] for name, shape in biases.items() if shape}
    if 'gf_dim' in sizes and 'z_dim' not in sizes:
        sizes['z_dim'] = shapes['simple_net/h1_lin/Matrix'][0] - 3
    return sizes


def _trained_with_leaky_clip(output_path):
    """Returns whether the autoencoder of an output folder was; False where there is no record."""
    place = os.path.join(output_path, 'ae')
    if not os.path.exists(os.path.join(place, 'config.json')):
        return False
    return bool(runs.read_options(place).get('leaky_clip'))


def fitted_gan(options: cli.Options, prefix: Optional[str]) -> cli.Options:
    """Sets noise_dim and gan_dim as a checkpoint of the GAN has them, else as the options say.

    Without checkpoint and option they are 128 and 2048; a z_dim of None becomes the checkpoint's.

    Raises:
      errors.InputError: it is no checkpoint of the GAN, or an option says another size.
    """
    if prefix is None:
        return options.replace(**_agreed(options, prefix, {}, _GAN_SIZES))
    shapes = checkpoints.variables_of(prefix)
    if 'generator/g_1_lin/Matrix' not in shapes:
        raise errors.InputError('{} is no checkpoint of the GAN: it has no generator/g_1_lin. '
                                'Give a ZGAN.model as --checkpoint.'.format(prefix))
    sizes = dict(zip(_GAN_SIZES, shapes['generator/g_1_lin/Matrix']))
    return options.replace(z_dim=options.z_dim or shapes['generator/g_3_lin/bias'][0],
                           **_agreed(options, prefix, sizes, _GAN_SIZES))


def restore(sess: tf.Session, prefix: str, variables: Sequence[tf.Variable]) -> None:
    """Assigns the values of a checkpoint to a network; optimizer slots in it are ignored."""
    checkpoints.restore(sess, prefix, variables)
    cli.say('weights of {}'.format(prefix))


def save(sess: tf.Session, variables: Sequence[tf.Variable], options: cli.Options, kind: str,
         epoch: int) -> List[str]:
    """Saves variables under the original's name and drops the oldest checkpoints of that name.

    Returns:
      the files.
    Raises:
      errors.InputError: the disk is full, or the folder cannot be written.
    """
    place, stem = folder(options, kind), NAMES[kind]
    files.make_folder(place)
    checkpoints.remove_temporary(place, re.escape(stem) + r'-\d+')
    prefix = os.path.join(place, '{}-{}'.format(stem, epoch))
    try:
        tf.train.Saver(variables).save(sess, prefix, write_meta_graph=False, write_state=False)
    except (tf.errors.OpError, ValueError) as error:
        checkpoints.remove(prefix)
        raise errors.InputError('cannot save {} ({}). Earlier checkpoints are whole.'.format(
            prefix, checkpoints.first_words(error)))
    saved = [other for other in checkpoints.in_folder(place, stem)
             if (checkpoints.step_of(other) or 0) <= epoch]
    checkpoints.write_list(place, saved[-_KEPT[kind]:])
    for other in saved[:-_KEPT[kind]]:
        checkpoints.remove(other)
    return checkpoints.files_of(prefix)

"""Freezes IM-NET's networks: voxels to a code, a code and points to values, a picture, noise.

The ends are `voxels` [B, 64, 64, 64, 1], `image` [B, 128, 128, 1], `latent` [B, Z] (also `z`),
`points` [1, N, 3], `occupancy` [1, N, 1] (also `values`) and `noise` [B, numbers of the noise].
"""
import argparse
import functools
import glob
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, errors, frozen, npu_survey
from common.training import checkpoints
from imnet import decoder, saved
from imnet.IMGAN import model, modelz, ops
from imnet.IMSVR import model as svr_model

_PARTS = ('encoder', 'decoder', 'image', 'generator')
_ROWS = {'points': 1, 'latent': None, 'occupancy': 1}   # the decoder takes points by the row


def add_options(parser):
    """Adds the options of freezing that are IM-NET's own."""
    parser.add_argument('--output_path', default=saved.OUTPUT_PATH, help='folder of the training')
    parser.add_argument('--checkpoint_dir', default='',
                        help='folder of the folders of checkpoints; unset: that of the '
                             'output folder')
    parser.add_argument('--dataset', default='', help='stem of the checkpoints\' folders')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='an IMAE, IMSVR or ZGAN checkpoint; unset: the newest ones')
    parser.add_argument('--parts', nargs='+', choices=_PARTS, default=None,
                        help='graphs to write; unset: all that the checkpoints have')
    parser.add_argument('--num_points', type=cli.positive_int, default=decoder.POINTS_PER_CALL,
                        help='points in a call of the decoder; fixed in the graph')
    cli.add_flag(parser, '--leaky_clip', default=None, help='as the network was trained; unset: '
                 'as the output folder says')
    cli.add_flag(parser, '--plain', help='operations as the original has them, for ATC; unset: '
                 'forms fast on a CPU')
    cli.add_device(parser, 'cpu', 'where the check runs')
    cli.add_flag(parser, '--debug', help='show tracebacks')


def _sources(config):
    """{part: prefix} of the graphs to write."""
    found = {}
    if config.checkpoint:
        prefixes = [checkpoints.latest(config.checkpoint)]
    else:
        prefixes = [prefix for prefix in [saved.newest(config, kind, needed=False)
                                          for kind in ('ae', 'svr')] + [_newest_gan(config)]
                    if prefix]
    for prefix in prefixes:
        held = checkpoints.variables_of(prefix)
        if 'encoder/conv_1/Matrix' in held:
            found.update(encoder=prefix, decoder=prefix)
        elif 'encoder/conv0/Matrix' in held:
            found['image'] = prefix
            found.setdefault('decoder', prefix)
        elif 'generator/g_1_lin/Matrix' in held:
            found['generator'] = prefix
    if config.parts:
        missing = sorted(set(config.parts) - set(found))
        if missing:
            raise errors.InputError('no trained network for {} in {}.'.format(
                ', '.join(missing), config.checkpoint or config.checkpoint_dir))
        found = {part: found[part] for part in config.parts}
    if not found:
        raise errors.InputError('no IMAE, IMSVR or ZGAN checkpoint in {}. Give --checkpoint, or '
                                'the --output_path of a training.'.format(
                                    config.checkpoint or config.checkpoint_dir))
    return found


def _newest_gan(config):
    """The newest checkpoint of the GAN, of whatever sizes; None where there is none."""
    pattern = os.path.join(glob.escape(config.checkpoint_dir), glob.escape(config.dataset) + '_z_*')
    folders = sorted(glob.glob(pattern), key=os.path.getmtime)
    return checkpoints.latest(folders[-1]) if folders else None


def _gan_sizes(prefix):
    """(numbers of the noise, width, numbers of a code) of a checkpoint of the GAN."""
    held = checkpoints.variables_of(prefix)
    return tuple(held['generator/g_1_lin/Matrix']) + (held['generator/g_3_lin/bias'][0],)


def _generator_graph(batch, noise_dim, width, z_dim):
    """As `_graph`, for the generator of the GAN."""
    gan = modelz.ZGAN(z_dim, noise_dim, width, width, batch)
    noise = tf.placeholder(tf.float32, [batch, noise_dim], name='noise')
    feed = np.random.RandomState(0).normal(0, modelz.NOISE_DEVIATION, [batch, noise_dim])
    return ({'noise': noise}, {'latent': gan.generator(noise)}, {'z': 'latent'}, {'noise': feed},
            gan.g_variables)


def _graph(part, sizes, config):
    """Inputs, outputs, aliases, a feed to check with, and the variables to restore."""
    rng, batch = np.random.RandomState(0), config.batch_size
    if part == 'decoder':
        points = tf.placeholder(tf.float32, [1, config.num_points, 3], name='points')
        latent = tf.placeholder(tf.float32, [1, sizes.z_dim], name='latent')
        values, _ = decoder.simple_net(points, latent, sizes.gf_dim, config.plain,
                                       sizes.leaky_clip)
        feed = {'points': rng.uniform(-0.5, 0.5, points.shape.as_list()),
                'latent': rng.rand(1, sizes.z_dim)}
        return ({'points': points, 'latent': latent}, {'occupancy': values},
                {'values': 'occupancy'}, feed, decoder.variables())
    if part == 'encoder':
        net = model.IMAE(sizes.z_dim, sizes.ef_dim, sizes.gf_dim, config.plain)
        shape = [batch] + 3 * [model.INPUT_SIZE] + [1]
        inputs = tf.placeholder(tf.float32, shape, name='voxels')
        outputs, feed = net.encoder(inputs), (rng.rand(*shape) < 0.2).astype(np.float32)
        return ({'voxels': inputs}, {'latent': outputs}, {'z': 'latent'}, {'voxels': feed},
                net.variables)
    net = svr_model.IMSVR(sizes.z_dim, sizes.ef_dim, sizes.gf_dim, 1)
    shape = [batch, svr_model.CROP_SIZE, svr_model.CROP_SIZE, 1]
    inputs = tf.placeholder(tf.float32, shape, name='image')
    return ({'image': inputs}, {'latent': net.encoder(inputs, training=False)}, {'z': 'latent'},
            {'image': rng.rand(*shape)}, net.variables)


def freeze(config):
    """Freezes the networks.

    Args:
      config: namespace with the options of `add_options`, `output` (folder) and `batch_size`.
    Returns:
      list of str, the .pb files.
    Raises:
      errors.InputError: no checkpoint, or a graph that fails its check.
    """
    config.checkpoint_dir = config.checkpoint_dir or os.path.join(config.output_path, 'checkpoints')
    config.dataset = config.dataset or saved.only_stem(config.checkpoint_dir)
    paths = []
    for part, prefix in sorted(_sources(config).items()):
        sizes = type(config)(**dict(vars(config), z_dim=None, ef_dim=None, gf_dim=None))
        if part != 'generator':
            saved.fit_sizes(sizes, prefix, 0)
        paths.append(os.path.join(config.output, 'imnet_{}.pb'.format(part)))
        with tf.Graph().as_default():
            inputs, outputs, aliases, feed, variables = (
                _generator_graph(config.batch_size, *_gan_sizes(prefix)) if part == 'generator'
                else _graph(part, sizes, config))
            with tf.Session(config=device.session_config(config)) as sess:
                checkpoints.restore(sess, prefix, variables)
                frozen.freeze(sess, inputs, outputs, paths[-1], aliases, check_feed=feed,
                              batch_axes=_ROWS if part == 'decoder' else None, notes=dict(
                                  checkpoints.note(prefix), plain=config.plain,
                                  leaky_clip=sizes.leaky_clip))
    return paths


def networks():
    """The networks in the author's sizes, for `python -m common.npu_lint`."""
    sizes = argparse.Namespace(z_dim=256, ef_dim=32, gf_dim=128, leaky_clip=False, plain=True,
                               num_points=4096, batch_size=1)

    def autoencoder():
        net = model.IMAE(plain=True, num_points=4096)
        return ([net.vox3d, net.point_coord, net.point_value],
                [net.loss, ops.minimize(tf.train.AdamOptimizer(), net.loss)])

    def gan(number):
        net = modelz.ZGAN()
        steps = net.train_steps(tf.train.AdamOptimizer)
        return ([net.noise, net.real, net.epsilon],
                [(net.d_loss, net.g_loss)[number], steps[number]])

    def pictures():
        net = svr_model.IMSVR(batch_size=4, plain=True)
        return [net.view, net.target], [net.loss, net.train_step(tf.train.AdamOptimizer())]

    def inference(part):
        sizes.ef_dim = 64 if part == 'image' else 32
        ends = (_generator_graph(1, 128, 2048, 256) if part == 'generator'
                else _graph(part, sizes, sizes))
        return npu_survey.Graph(*ends, _ROWS if part == 'decoder' else None)

    rows = [npu_survey.Network(*row) for row in (
        ('IM-AE', True, autoencoder), ('IM-SVR', True, pictures),
        ('z-GAN discriminator', True, functools.partial(gan, 0)),
        ('z-GAN generator', True, functools.partial(gan, 1)))]
    return rows + [npu_survey.Network(part, False, functools.partial(inference, part))
                   for part in _PARTS]

"""Freezes IM-NET's networks to .pb files: voxels to a code, a code and points to values, a picture.

The ends are `voxels` [B, 64, 64, 64, 1], `image` [B, 128, 128, 1], `latent` [B, Z] (also `z`),
`points` [1, N, 3] and `occupancy` [1, N, 1] (also `values`).
"""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import checkpoints, cli, device, errors, frozen
from imnet import decoder, saved
from imnet.IMGAN import model
from imnet.IMSVR import model as svr_model

_PARTS = ('encoder', 'decoder', 'image')


def add_options(parser):
    """Adds the options of freezing that are IM-NET's own."""
    parser.add_argument('--output_path', default=saved.OUTPUT_PATH, help='folder of the training')
    parser.add_argument('--checkpoint_dir', default='',
                        help='folder of the folders of checkpoints; unset: that of the '
                             'output folder')
    parser.add_argument('--dataset', default='', help='stem of the checkpoints\' folders')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='an IMAE or IMSVR checkpoint; unset: the newest ones')
    parser.add_argument('--parts', nargs='+', choices=_PARTS, default=None,
                        help='graphs to write; unset: all that the checkpoints have')
    parser.add_argument('--num_points', type=cli.positive_int, default=decoder.POINTS_PER_CALL,
                        help='points in a call of the decoder; fixed in the graph')
    cli.add_flag(parser, '--leaky_clip', default=None, help='as the network was trained; unset: '
                 'as the output folder says')
    cli.add_flag(parser, '--plain', help='operations as the original has them, for ATC; unset: '
                 'forms fast on a CPU')
    parser.add_argument('--device', default='cpu', choices=('auto', 'cpu', 'gpu', 'npu'),
                        help='where the check runs')
    cli.add_flag(parser, '--debug', help='show tracebacks')


def _sources(config):
    """{part: prefix} of the graphs to write."""
    found = {}
    if config.checkpoint:
        prefixes = [checkpoints.latest(config.checkpoint)]
    else:
        prefixes = [prefix for prefix in (saved.newest(config, kind, needed=False)
                                          for kind in ('ae', 'svr')) if prefix]
    for prefix in prefixes:
        held = checkpoints.variables_of(prefix)
        if 'encoder/conv_1/Matrix' in held:
            found.update(encoder=prefix, decoder=prefix)
        elif 'encoder/conv0/Matrix' in held:
            found['image'] = prefix
            found.setdefault('decoder', prefix)
    if config.parts:
        missing = sorted(set(config.parts) - set(found))
        if missing:
            raise errors.InputError('no trained network for {} in {}.'.format(
                ', '.join(missing), config.checkpoint or config.checkpoint_dir))
        found = {part: found[part] for part in config.parts}
    if not found:
        raise errors.InputError('no IMAE or IMSVR checkpoint in {}. Give --checkpoint, or the '
                                '--output_path of a training.'.format(
                                    config.checkpoint or config.checkpoint_dir))
    return found


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
        saved.fit_sizes(sizes, prefix, 0)
        paths.append(os.path.join(config.output, 'imnet_{}.pb'.format(part)))
        with tf.Graph().as_default():
            inputs, outputs, aliases, feed, variables = _graph(part, sizes, config)
            with tf.Session(config=device.session_config(config)) as sess:
                checkpoints.restore(sess, prefix, variables)
                rows = {'points': 1, 'latent': None, 'occupancy': 1} if part == 'decoder' else None
                frozen.freeze(sess, inputs, outputs, paths[-1], aliases, check_feed=feed,
                              batch_axes=rows, notes={
                                  'checkpoint': os.path.basename(prefix), 'plain': config.plain,
                                  'leaky_clip': sizes.leaky_clip})
    return paths

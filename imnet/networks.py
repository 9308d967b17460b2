"""IM-NET's networks, built from settled options: to train, to use, to freeze, to lint.

Inputs and outputs of frozen graphs are `voxels` [B, 64, 64, 64, 1], `image` [B, 128, 128, 1],
`latent` [B, Z] (also `z`), `points` [1, N, 3], `occupancy` [1, N, 1] (also `values`) and `noise`
[B, dimension of the noise].
"""
import functools
from typing import Any, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.frozen.networks import InferenceGraph, Network
from common.training import launch
from imnet import checkpoint_names, decoder
from imnet import options as options_lib
from imnet.IMGAN import model, modelz, ops
from imnet.IMSVR import model as svr_model

_POINT_ROWS = {'points': 1, 'latent': None, 'occupancy': 1}   # the decoder takes points by the row


def autoencoder(options: cli.Options, num_points: Optional[int] = None, num_shapes: int = 1,
                loss: str = 'squared', fused: bool = True) -> model.IMAE:
    """Builds IM-AE with the sizes of the options; points and shapes of a step are its batch."""
    return model.IMAE(options.z_dim, options.ef_dim, options.gf_dim, options.plain,
                      options.leaky_clip, num_points, num_shapes, options.he_init, loss, fused)


def picture_encoder(options: cli.Options, batch_size: Optional[int] = None) -> svr_model.IMSVR:
    """Builds IM-SVR with the sizes of the options."""
    return svr_model.IMSVR(options.z_dim, options.ef_dim, options.gf_dim, batch_size,
                           options.plain, options.leaky_clip)


def gan(options: cli.Options, batch_size: int) -> modelz.ZGAN:
    """Builds the z-GAN with the sizes of the options."""
    return modelz.ZGAN(options.z_dim, options.noise_dim, options.gan_dim, options.gan_dim,
                       batch_size, options.penalty_epsilon, options.epsilon_per_code)


def trained(options: cli.Options, device: str, kind: str = 'ae') -> Tuple[cli.Options, str]:
    """Finds the trained network that the options mean.

    Args:
      options: settled, of any program but freezing; device: 'cpu', 'gpu' or 'npu'.
      kind: 'ae' or 'svr'.
    Returns:
      (options with the sizes that the checkpoint has, its prefix).
    Raises:
      errors.InputError: there is none, or an option says another size.
    """
    if options.plain is None:
        options = options.replace(plain=device != 'cpu')
    options = checkpoint_names.placed(checkpoint_names.with_stem(options), kind)
    prefix = checkpoint_names.chosen(options, kind)
    return checkpoint_names.fitted(options, prefix, kind), prefix


def load(options: cli.Options, context: launch.Context, kind: str = 'ae'
         ) -> Tuple[Any, tf.Session]:
    """Opens a session of the trained network of a kind: (IMAE or IMSVR, tf.Session)."""
    options, prefix = trained(options, context.device, kind)
    with tf.Graph().as_default():
        network: Any = autoencoder(options) if kind == 'ae' else picture_encoder(options)
        sess = context.open_session()
        checkpoint_names.restore(sess, prefix, network.variables)
    return network, sess


def inference_graph(part: str, options: cli.Options) -> InferenceGraph:
    """Builds a graph to freeze.

    Args:
      part: one of options.PARTS.
      options: settled, with `batch_size`, `num_points` (None: by `plain`) and the sizes of the
        network.
    """
    return {'decoder': _decoder_graph, 'encoder': _encoder_graph, 'image': _image_graph,
            'generator': _generator_graph}[part](options)


def _decoder_graph(options):
    rng = np.random.RandomState(0)
    count = options.num_points or (options_lib.POINTS_PER_CALL if options.plain
                                   else options_lib.FROZEN_POINTS)
    points = tf.placeholder(tf.float32, [1, count, 3], name='points')
    latent = tf.placeholder(tf.float32, [1, options.z_dim], name='latent')
    values, _ = decoder.simple_net(points, latent, options.gf_dim, options.plain,
                                   options.leaky_clip)
    feed = {'points': rng.uniform(-0.5, 0.5, points.shape.as_list()),
            'latent': rng.rand(1, options.z_dim)}
    return InferenceGraph({'points': points, 'latent': latent}, {'occupancy': values},
                          {'values': 'occupancy'}, feed, decoder.variables(), _POINT_ROWS)


def _encoder_graph(options):
    network = model.IMAE(options.z_dim, options.ef_dim, options.gf_dim, options.plain)
    shape = [options.batch_size] + 3 * [model.INPUT_SIZE] + [1]
    inputs = tf.placeholder(tf.float32, shape, name='voxels')
    feed = (np.random.RandomState(0).rand(*shape) < 0.2).astype(np.float32)
    return _to_latent('voxels', inputs, network.encoder(inputs), feed, network.variables)


def _image_graph(options):
    network = svr_model.IMSVR(options.z_dim, options.ef_dim, options.gf_dim, 1)
    shape = [options.batch_size, svr_model.CROP_SIZE, svr_model.CROP_SIZE, 1]
    inputs = tf.placeholder(tf.float32, shape, name='image')
    return _to_latent('image', inputs, network.encoder(inputs, training=False),
                      np.random.RandomState(0).rand(*shape), network.variables)


def _generator_graph(options):
    network = modelz.ZGAN(options.z_dim, options.noise_dim, options.gan_dim, options.gan_dim,
                          options.batch_size)
    shape = [options.batch_size, options.noise_dim]
    noise = tf.placeholder(tf.float32, shape, name='noise')
    return _to_latent('noise', noise, network.generator(noise),
                      np.random.RandomState(0).normal(0, modelz.NOISE_STDDEV, shape),
                      network.g_variables)


def _to_latent(name, inputs, codes, feed, variables):
    return InferenceGraph({name: inputs}, {'latent': codes}, {'z': 'latent'}, {name: feed},
                          variables)


def rows() -> List[Network]:
    """Returns the networks in the author's sizes, for `python -m common.npu_lint --all`."""
    sizes = cli.Options(z_dim=256, ef_dim=32, gf_dim=128, noise_dim=128, gan_dim=2048,
                        leaky_clip=False, plain=True, num_points=4096, batch_size=1)

    def train_autoencoder():
        network = model.IMAE(plain=True, num_points=4096)
        return ([network.vox3d, network.point_coord, network.point_value],
                [network.loss, ops.minimize(tf.train.AdamOptimizer(), network.loss)])

    def train_pictures():
        network = svr_model.IMSVR(batch_size=4, plain=True)
        return ([network.view, network.target],
                [network.loss, network.train_step(tf.train.AdamOptimizer())])

    def train_gan(number):
        network = modelz.ZGAN()
        steps = network.train_steps(tf.train.AdamOptimizer)
        return ([network.noise, network.real, network.epsilon],
                [(network.d_loss, network.g_loss)[number], steps[number]])

    def inference(part):
        return inference_graph(part, sizes.replace(ef_dim=64) if part == 'image' else sizes)

    return [Network('IM-AE', True, train_autoencoder), Network('IM-SVR', True, train_pictures),
            Network('z-GAN discriminator', True, functools.partial(train_gan, 0)),
            Network('z-GAN generator', True, functools.partial(train_gan, 1))] + [
                Network(part, False, functools.partial(inference, part))
                for part in options_lib.PARTS]

"""Freezes CMR to a .pb: picture to both bodies, pose, shape and camera.

The ends are `image` float32 [B, S, S, 3] (RGB from 0 to 1, less base_dataset.IMG_MEAN, over
IMG_STD, which the manifest has too), and `vertices`, `vertices_smpl` [B, V, 3], `rotations`
[B, 24, 3, 3], `betas` [B, 10], `camera` [B, 3].
"""
import argparse
import os

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.dataset import base_dataset
from cmr.src.netCell import netWithLoss
from cmr.src.utils import options, pth2ckpt
from common import cli, device, frozen, npu_survey
from common.training import checkpoints


def add_options(parser):
    """Adds the options of freezing that are CMR's own."""
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='checkpoint, its folder, or a file of PyTorch')
    parser.add_argument('--output_path', default=options.OUTPUT_PATH,
                        help='folder of a run, where no --checkpoint is given')
    cli.add_device(parser, 'cpu', 'where the check runs')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    options.add_network_options(parser)


def freeze(config):
    """Freezes the network of a checkpoint.

    Args:
      config: namespace with the options of `add_options`, `output` (folder) and `batch_size`.
    Returns:
      list of one str, the .pb file.
    """
    weights = options.trained(config)
    path = os.path.join(config.output, 'cmr.pb')
    with tf.Graph().as_default():
        network = options.Network(config, False, portable=True)
        inputs, outputs, feed = _graph(network, config.batch_size, pth2ckpt.is_torch(weights))
        sess_config = device.session_config(config)
        # Fused operations round other than the single ones of the written graph.
        sess_config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=sess_config) as sess:
            options.load(sess, network, weights)
            frozen.freeze(sess, inputs, outputs, path, check_feed=feed, notes=dict(
                checkpoints.note(weights), plain=config.plain, stretch=config.stretch,
                image_mean=base_dataset.IMG_MEAN.tolist(),
                image_std=base_dataset.IMG_STD.tolist()))
    return [path]


def _graph(network, batch, has_classifier=False):
    """(inputs, outputs, example of an input) of the graph to freeze."""
    images = network.images(batch)
    found = network.build(images, has_classifier)
    names = ('vertices', 'vertices_smpl', 'rotations', 'betas', 'camera')
    feed = np.random.RandomState(0).normal(size=images.shape.as_list()).astype(np.float32)
    return {'image': images}, {name: getattr(found, name) for name in names}, {'image': feed}


def freeze_run(config, step):
    """Freezes a run at a step into its output folder; list of str, the file."""
    own = os.path.join(config.output_path, checkpoints.RUN_FOLDER, 'model-{}'.format(step))
    return freeze(options.namespace(config, output=config.output_path, batch_size=1,
                                    device='cpu', checkpoint=own))


def networks():
    """The paper's network, for `python -m common.npu_lint`."""
    config = argparse.Namespace(plain=None, **{name: None for name in options.NETWORK})
    options.complete(config)

    def training():
        network = options.Network(config, True, portable=True)
        images, truth = network.images(2), netWithLoss.truth(2)
        losses, *_ = netWithLoss.losses(network.build(images), truth, network.body)
        update = netWithLoss.update(losses['loss'], network.make, netWithLoss.Adam(3e-4))
        return [images, *truth], [*losses.values(), update]

    def inference():
        network = options.Network(config, False, portable=True)
        inputs, outputs, feed = _graph(network, 1)
        return npu_survey.Graph(inputs, outputs, None, feed, list(network.make.variables.values()),
                                None)

    return [npu_survey.Network('CMR', True, training), npu_survey.Network('CMR', False, inference)]

"""Freezes a network of 3D-R2N2 to a .pb for a fixed number of views.

The ends are `views` float32 [V, B, 127, 127, 3], 0 to 1, and `occupancy` [B, 32, 32, 32] (also
`prediction`). V: views, B: batch.
"""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import checkpoints, cli, device, frozen
from r2n2.lib import layers, setup


def add_options(parser):
    """Adds the options of freezing that are 3D-R2N2's own."""
    setup.add_trained_options(parser)
    parser.add_argument('--views', type=cli.positive_int, default=3, help='V, fixed in the graph')
    cli.add_flag(parser, '--plain', help='single operations, for ATC')


def freeze(config):
    """Freezes the network of a checkpoint.

    Args:
      config: namespace with the options of `add_options`, `output` (folder) and `batch_size`.
    Returns:
      list of one str, the .pb file.
    """
    found, weights_path = setup.trained(config)
    size = found.CONST.IMG_H
    path = os.path.join(config.output, 'r2n2_{}_views.pb'.format(config.views))
    with tf.Graph().as_default():
        net = setup.make_net(found, config.plain)
        views = tf.placeholder(tf.float32, [config.views, config.batch_size, size, size, 3],
                               name='views')
        logits = net.build(views).logits
        occupancy, _ = layers.loss(logits, tf.zeros(logits.shape[:-1]))
        options = device.session_config(config)
        # Fused operations round other than the single ones of the written graph.
        options.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=options) as sess:
            setup.load(sess, net, weights_path)
            feed = {'views': np.random.RandomState(0).uniform(
                size=views.shape.as_list()).astype(np.float32)}
            frozen.freeze(sess, {'views': views}, {'occupancy': occupancy}, path,
                          {'prediction': 'occupancy'}, check_feed=feed,
                          batch_axes={'views': 1, 'occupancy': 0}, notes={
                              'checkpoint': os.path.basename(weights_path),
                              'network': type(net).__name__, 'plain': config.plain})
    return [path]


def freeze_run(config, step):
    """Freezes a run at a step (None: its best) into its output folder; list of str, the file."""
    own = os.path.join(config.output_path, checkpoints.RUN_FOLDER, 'model-{}'.format(step))
    options = dict(vars(config), output=config.output_path, batch_size=1, device='cpu',
                   checkpoint=config.checkpoint if step is None else own,
                   views=config.views or 3, plain=False)
    return freeze(type(config)(**options))

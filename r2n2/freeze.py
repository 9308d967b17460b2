"""Freezes a network of 3D-R2N2 to a .pb for a fixed number of views.

The ends are `views` float32 [V, B, 127, 127, 3], 0 to 1, and `occupancy` [B, 32, 32, 32] (also
`prediction`). V: views, B: batch.
"""
import functools
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, frozen, npu_survey
from common.training import checkpoints
from r2n2 import models
from r2n2.lib import layers, setup, solver

_ROWS = {'views': 1, 'occupancy': 0}    # axes of the batch


def add_options(parser):
    """Adds the options of freezing that are 3D-R2N2's own."""
    setup.add_trained_options(parser)
    parser.set_defaults(device='cpu')   # of the check
    parser.add_argument('--views', type=cli.positive_int, default=3, help='V, fixed in the graph')
    cli.add_flag(parser, '--plain', help='single operations, for ATC')


def _graph(net, num_views, batch, size):
    """Inputs, outputs, aliases and a feed to check with."""
    views = tf.placeholder(tf.float32, [num_views, batch, size, size, 3], name='views')
    logits = net.build(views).logits
    occupancy, _ = layers.loss(logits, tf.zeros(logits.shape[:-1]))
    feed = np.random.RandomState(0).uniform(size=views.shape.as_list()).astype(np.float32)
    return ({'views': views}, {'occupancy': occupancy}, {'prediction': 'occupancy'},
            {'views': feed})


def freeze(config):
    """Freezes the network of a checkpoint.

    Args:
      config: namespace with the options of `add_options`, `output` (folder) and `batch_size`.
    Returns:
      list of one str, the .pb file.
    """
    found, weights_path = setup.trained(config)
    path = os.path.join(config.output, 'r2n2_{}_views.pb'.format(config.views))
    with tf.Graph().as_default():
        net = setup.make_net(found, config.plain)
        inputs, outputs, aliases, feed = _graph(net, config.views, config.batch_size,
                                                found.CONST.IMG_H)
        options = device.session_config(config)
        # Fused operations round other than the single ones of the written graph.
        options.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=options) as sess:
            setup.load(sess, net, weights_path)
            frozen.freeze(sess, inputs, outputs, path, aliases, check_feed=feed, batch_axes=_ROWS,
                          notes=dict(checkpoints.note(weights_path),
                                     network=type(net).__name__, plain=config.plain))
    return [path]


def freeze_run(config, step):
    """Freezes a run at a step (None: its newest) into its output folder; list of str, the file."""
    own = os.path.join(config.output_path, checkpoints.RUN_FOLDER, 'model-{}'.format(step))
    options = dict(vars(config), output=config.output_path, batch_size=1, device='cpu',
                   checkpoint=config.checkpoint if step is None else own,
                   views=config.views or 3, plain=False, network=config.model)
    return freeze(type(config)(**options))


def networks():
    """The five networks of the paper in its sizes, for `python -m common.npu_lint`."""
    def training(kind):
        step = solver.Solver(kind(plain=True)).step(5, 2, 127, masked=True)
        rate = tf.get_default_graph().get_tensor_by_name('learning_rate:0')
        return [step.images, step.voxels, step.mask, rate], [step.loss, step.update]

    def inference(kind):
        net = kind(plain=True)
        ends = _graph(net, 3, 1, 127)
        return npu_survey.Graph(*ends, list(net.params.values()), _ROWS)

    rows = []
    for kind in models.MODELS:
        rows += [npu_survey.Network(kind.paper_name, True, functools.partial(training, kind)),
                 npu_survey.Network(kind.paper_name, False, functools.partial(inference, kind))]
    return rows

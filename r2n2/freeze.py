"""Freezes a network of 3D-R2N2 to a .pb for a fixed number of views.

The input is `views` float32 [V, B, 127, 127, 3], 0 to 1, the output `occupancy` [B, 32, 32, 32]
(also `prediction`). V: views, B: batch.
"""
import os
from typing import List, Optional

import tensorflow.compat.v1 as tf

from common import cli
from common.frozen import freezing
from common.training import checkpoints, launch
from r2n2 import networks


def freeze(options: cli.Options, context: launch.Context) -> List[str]:
    """Freezes the network of a checkpoint.

    Args:
      options: those of `options.add_freeze_options`, `output` (folder) and `batch_size`.
      context: launch.Context; its device checks the graph.
    Returns:
      list of one str, the .pb file.
    """
    options, weights_path = networks.trained(options, context.device)
    path = os.path.join(options.output, 'r2n2_{}_views.pb'.format(options.views))
    with tf.Graph().as_default():
        net = networks.build(options.settings, options.plain)
        graph = networks.inference_graph(net, options.views, options.batch_size,
                                         options.settings.CONST.IMG_H)
        session_config = context.session_config()
        # Fused operations round other than the single ones of the written graph.
        session_config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=session_config) as sess:
            networks.restore(sess, net, weights_path)
            freezing.freeze(sess, graph.inputs, graph.outputs, path, graph.aliases,
                            check_feed=graph.feed, batch_axes=graph.batch_axes,
                            notes=dict(checkpoints.note(weights_path),
                                       network=type(net).__name__, plain=options.plain))
    return [path]


def freeze_run(options: cli.Options, context: launch.Context, step: Optional[int]) -> List[str]:
    """Freezes a run of main.py into its output folder, checked on the CPU.

    Args:
      options: those of main.py, settled; context: launch.Context.
      step: int, of the checkpoint; None: the newest one, or that of --checkpoint.
    Returns:
      list of one str, the .pb file.
    """
    weights = (options.checkpoint if step is None else
               checkpoints.of_step(options.output_path, step))
    return freezing.announced(freeze(
        options.replace(output=options.output_path, batch_size=1, plain=False, checkpoint=weights,
                        pretrained=False, views=options.views or 3, network=options.model),
        context.replace(device='cpu')))

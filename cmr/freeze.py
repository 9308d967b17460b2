"""Freezes CMR to a .pb: picture to both bodies, pose, shape and camera.

The input is `image` float32 [B, S, S, 3] (RGB from 0 to 1, less base_dataset.IMG_MEAN, over
IMG_STD, which the manifest has too), the outputs are `vertices`, `vertices_smpl` [B, V, 3],
`rotations` [B, 24, 3, 3], `betas` [B, 10], `camera` [B, 3].
"""
import os
from typing import List

import tensorflow.compat.v1 as tf

from cmr import networks
from cmr.src.dataset import base_dataset
from cmr.src.utils import torch_weights
from common import cli
from common.frozen import freezing
from common.training import checkpoints, launch


def freeze(options: cli.Options, context: launch.Context) -> List[str]:
    """Freezes the network of a checkpoint.

    Args:
      options: those of options.add_freeze_options, `output` (folder) and `batch_size`.
      context: launch.Context, where the check runs.
    Returns:
      list of one str, the .pb file.
    """
    options, weights = networks.trained(options, context.device)
    path = os.path.join(options.output, 'cmr.pb')
    with tf.Graph().as_default():
        network = networks.Network(options, False, on_npu=True)
        graph = networks.inference_graph(network, options.batch_size,
                                         torch_weights.is_torch(weights))
        config = context.session_config()
        # Fused operations round other than the single ones of the written graph.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=config) as sess:
            networks.load(sess, network, weights)
            freezing.freeze(sess, graph.inputs, graph.outputs, path, check_feed=graph.feed,
                            notes=dict(checkpoints.note(weights), plain=options.plain,
                                       stretch=options.stretch,
                                       image_mean=base_dataset.IMG_MEAN.tolist(),
                                       image_std=base_dataset.IMG_STD.tolist()))
    return [path]


def freeze_run(options: cli.Options, context: launch.Context, step: int) -> List[str]:
    """Freezes a run at a step into its output folder, checked on the CPU; see `freeze`."""
    weights = checkpoints.of_step(context.output_path, step)
    return freezing.announced(freeze(
        options.replace(output=context.output_path, batch_size=1, checkpoint=weights,
                        pretrained=False),
        context.replace(device='cpu')))

"""Freezes VSL's networks to .pb files without noise: shapes to codes, codes to shapes, images.

Inputs and outputs are `voxels` [B, 30, 30, 30, 1], `latent` [B, D] (also `latent_feature`),
`occupancy` (also `output`) and `image` [B, 100, 100, 3]. B: batch, D: dimension of all codes.
"""
import os
from typing import List, Optional

import tensorflow.compat.v1 as tf

from common import cli
from common.frozen import freezing
from common.training import checkpoints, launch
from vsl import networks
from vsl import options as options_lib


def freeze(options: cli.Options, context: launch.Context) -> List[str]:
    """Freezes the networks of a checkpoint.

    Args:
      options: those of `options.add_freeze_options`, `output` (folder) and `batch_size`.
      context: launch.Context, where the check runs.
    Returns:
      list of str, the .pb files.
    Raises:
      errors.InputError: no checkpoint, one of other sizes, or a graph that fails its check.
    """
    options, prefix = networks.trained(options, context.device)
    has_images = 'image_fc2' in checkpoints.variables_of(prefix)
    paths = []
    for part in options.parts or [part for part in options_lib.PARTS
                                  if has_images or part != 'image']:
        paths.append(os.path.join(options.output, 'vsl_{}.pb'.format(part)))
        with tf.Graph().as_default():
            graph = networks.for_inference(part, options)
            with tf.Session(config=context.session_config()) as sess:
                checkpoints.restore(sess, prefix, graph.variables)
                notes = dict(checkpoints.note(prefix), noise=0, plain=options.plain)
                if part == 'image':     # what to multiply the values of an image by
                    notes['image_scale'] = options.image_scale
                freezing.freeze(sess, graph.inputs, graph.outputs, paths[-1], graph.aliases,
                                check_feed=graph.feed, notes=notes)
    return paths


def freeze_run(options: cli.Options, context: launch.Context, step: Optional[int]) -> List[str]:
    """Freezes the networks of a run at a step (None: the newest) into its output folder.

    Args:
      options: settled options of a training script; context: launch.Context.
      step: int or None.
    Returns:
      list of str, names of the files.
    """
    own = checkpoints.of_step(options.output_path, step)
    paths = freeze(options.replace(
        output=options.output_path, parts=None, batch_size=1, pretrained=False,
        checkpoint=options.checkpoint if step is None else own), context)
    return [os.path.basename(path) for path in paths]

"""Freezes PolyGen's vertex model and face model to .pb files that draw samples.

The draws are an input (`noise`, uniform in [0, 1)), so a frozen graph is a function of its inputs.
"""
import os
from typing import List

import tensorflow.compat.v1 as tf

from common import cli
from common.frozen import freezing
from common.training import checkpoints, launch
from polygen import networks
from polygen import options as options_lib

_FILES = {'vertex': 'polygen_vertices', 'face': 'polygen_faces'}


def freeze(options: cli.Options, context: launch.Context) -> List[str]:
    """Freezes the models of a checkpoint.

    Args:
      options: those of `options.add_freeze_options`, `output` (folder of the .pb files),
        `batch_size` and `onnx`.
      context: launch.Context, of the check.
    Returns:
      list of str, the .pb files.
    Raises:
      errors.InputError: no checkpoint, or the frozen graph does not do what the model does.
    """
    single_loop = options.single_loop
    if options.onnx and not single_loop:
        single_loop = True
        cli.say('note: --onnx: all tokens are drawn in one loop (--single_loop), since '
                'tf2onnx knows no loop in a loop')
    options, weights = networks.trained(options, context.device)
    notes = dict(weights.note, sampling=networks.filters_of(options)._asdict(),
                 valid_only=options.valid_only, num_classes=options.num_classes,
                 single_loop=single_loop)
    paths = []
    for part, build in networks.GRAPHS.items():
        if part not in options.parts:
            continue
        paths.append(os.path.join(options.output, _FILES[part] + '.pb'))
        with tf.Graph().as_default():
            built = build(options, options.batch_size, single_loop)
            with tf.Session(config=context.session_config()) as sess:
                weights.restore(sess)
                freezing.freeze(sess, built.inputs, built.outputs, paths[-1], built.aliases,
                                check_feed=built.feed, notes=notes, margins=built.margins)
    return paths


def freeze_run(options: cli.Options, context: launch.Context, step: int) -> List[str]:
    """Freezes the models of a training run at a step, into its output folder.

    Args:
      options: settled options of the run.
      context: launch.Context of the run; the check is on the CPU.
      step: int.
    Returns:
      list of str, the .pb files.
    """
    return freezing.announced(freeze(options.replace(
        output=context.output_path, parts=options_lib.PARTS, single_loop=False, onnx=False,
        batch_size=min(options.num_samples, 4), vertex_checkpoint='', face_checkpoint='',
        pretrained=False, checkpoint=checkpoints.of_step(context.output_path, step)),
        context.replace(device='cpu')))

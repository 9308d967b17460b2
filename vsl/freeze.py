"""Freezes VSL's networks to .pb files without noise: shapes to codes, codes to shapes, images.

The ends are `voxels` [B, 30, 30, 30, 1], `latent` [B, D] (also `latent_feature`), `occupancy` (also
`output`) and `image` [B, 100, 100, 3]. B: batch, D: numbers of all codes.
"""
import argparse
import functools
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, errors, frozen, npu_survey
from common.training import checkpoints
from vsl import presets, vsl, vsl_rec

_PARTS = ('encoder', 'decoder', 'image')
_OTHERS = ('merge_first_code', 'bias_after_product', 'image_scale')


def add_options(parser):
    """Adds the options of freezing that are VSL's own."""
    parser.add_argument('--output_path', default=presets.OUTPUT_PATH,
                        help='folder of the training run (its config.json tells the sizes)')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='checkpoint, or folder of one; unset: the newest of the run')
    parser.add_argument('--preset', choices=sorted({**presets.PRESETS, **presets.IMAGE_PRESETS}),
                        default=None, help='sizes of a checkpoint without a config.json')
    parser.add_argument('--parts', nargs='+', choices=_PARTS, default=None,
                        help='graphs to write; unset: all that the checkpoint has')
    for name in ('merge_first_code', 'bias_after_product'):
        cli.add_flag(parser, '--' + name, default=None,
                     help='of a checkpoint without a config.json that was trained so')
    cli.add_flag(parser, '--plain', help='strided convolutions as single operations, for ATC; '
                 'unset: a form that is fast on a CPU')
    cli.add_device(parser, 'cpu', 'where the check runs')
    cli.add_flag(parser, '--debug', help='show tracebacks')


def _trained(config):
    """Sizes and repairs of the network: as given, of the preset, or as its record has them."""
    found = dict(presets.recorded(config))
    if config.preset:
        preset = {**presets.PRESETS, **presets.IMAGE_PRESETS}[config.preset]
        found.update({name: preset[name] for name in presets.SIZES})
    found.update({name: value for name, value in vars(config).items()
                  if name in presets.SIZES + _OTHERS and value is not None})
    if not set(presets.SIZES) <= set(found):
        raise errors.InputError('{} has no config.json of VSL; give the --preset of the '
                                'checkpoint.'.format(config.checkpoint or config.output_path))
    return found


def _graph(part, batch, sizes, bias_after_product, plain):
    """Inputs, outputs, aliases and a feed to check with."""
    shape = [batch] + 3 * [vsl.OBJ_RES] + [1]
    rng = np.random.RandomState(0)
    arguments = dict(sizes, batch_size=batch, training=False, deterministic=True, plain=plain)
    if part == 'encoder':
        voxels = tf.placeholder(tf.float32, shape, name='voxels')
        model = vsl.VarShapeLearner(x=voxels, **arguments)
        return ({'voxels': voxels}, {'latent': model.latent_feature},
                {'latent_feature': 'latent'}, {'voxels': rng.rand(*shape) < 0.2}, model)
    if part == 'decoder':
        model = vsl.VarShapeLearner(x=tf.zeros(shape), **arguments)
        latent = tf.placeholder(tf.float32, [batch, model.latent_size], name='latent')
        return ({'latent': latent}, {'occupancy': model.decode(latent)}, {'output': 'occupancy'},
                {'latent': rng.randn(batch, model.latent_size)}, model)
    image = tf.placeholder(tf.float32, [batch, vsl_rec.IMAGE_SIZE, vsl_rec.IMAGE_SIZE, 3],
                           name='image')
    model = vsl_rec.VarShapeLearner(x=tf.zeros(shape), y=image, keep_units=True,
                                    bias_after_product=bias_after_product, **arguments)
    return ({'image': image}, {'latent': model.learned_feature,
                               'occupancy': model.decode(model.learned_feature)},
            {'latent_feature': 'latent', 'output': 'occupancy'},
            {'image': rng.rand(*image.shape.as_list())}, model)


def freeze(config):
    """Freezes the networks of a checkpoint.

    Args:
      config: namespace with the options of `add_options`, `output` (folder) and `batch_size`.
    Returns:
      list of str, the .pb files.
    Raises:
      errors.InputError: no checkpoint, one of other sizes, or a graph that fails its check.
    """
    trained = _trained(config)
    sizes = {name: trained[name] for name in presets.SIZES}
    sizes['merge_first_code'] = trained.get('merge_first_code', False)
    prefix = checkpoints.latest(config.checkpoint or config.output_path)
    has_images = 'image_fc2' in checkpoints.variables_of(prefix)
    parts = config.parts or [part for part in _PARTS if has_images or part != 'image']
    paths = []
    for part in parts:
        paths.append(os.path.join(config.output, 'vsl_{}.pb'.format(part)))
        with tf.Graph().as_default():
            inputs, outputs, aliases, feed, model = _graph(
                part, config.batch_size, sizes, trained.get('bias_after_product', False),
                config.plain)
            with tf.Session(config=device.session_config(config)) as sess:
                checkpoints.restore(sess, prefix, list(model.params.values()))
                notes = dict(checkpoints.note(prefix), noise=0, plain=config.plain)
                if part == 'image':     # what to multiply the values of an image by
                    notes['image_scale'] = trained.get('image_scale', 'not recorded')
                frozen.freeze(sess, inputs, outputs, paths[-1], aliases, check_feed=feed,
                              notes=notes)
    return paths


def freeze_run(config, step):
    """Freezes the networks of a run at a step (None: the newest) into its output folder.

    Returns:
      list of str, names of the files.
    """
    own = os.path.join(config.output_path, checkpoints.RUN_FOLDER, 'model-{}'.format(step))
    options = dict(vars(config), output=config.output_path, parts=None, batch_size=1, preset=None,
                   checkpoint=config.checkpoint if step is None else own)
    return [os.path.basename(path) for path in freeze(type(config)(**options))]


def networks():
    """The networks in the sizes of ModelNet10 and of PASCAL3D jointly, for common.npu_lint."""
    sizes = {name: presets.PRESETS['modelnet10'][name] for name in presets.SIZES}

    def training(images):
        """Builds a training graph, of shapes or of images: (placeholders, what a step fetches)."""
        config = argparse.Namespace(
            batch_size=5, device='cpu', kl_weight=vsl.KL_WEIGHT, kl_warmup_steps=0, free_nats=0.,
            plain=True, learning_rate=vsl.LEARNING_RATE, schedule='constant', seed=0,
            merge_first_code=False, decode_samples=False, bias_after_product=False,
            detach_codes=False, **sizes)
        model, feeds = presets.make_model(config, None, images)
        ends = list(feeds.values()) + ([model.gamma, model.keep_prob] if images else [])
        return ends, [model.loss, model.optimizer]

    def inference(part):
        """Builds a graph to freeze: npu_survey.Graph."""
        *ends, model = _graph(part, 1, sizes, False, plain=True)
        return npu_survey.Graph(*ends, list(model.params.values()), None)

    rows = [npu_survey.Network('shapes', True, functools.partial(training, False)),
            npu_survey.Network('images', True, functools.partial(training, True))]
    return rows + [npu_survey.Network(part, False, functools.partial(inference, part))
                   for part in _PARTS]

"""VSL's networks as its scripts build them: to train, to freeze, with trained weights."""
import functools
import math
from typing import Dict, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.frozen import networks
from common.training import checkpoints, launch, pretrained
from vsl import options as options_lib
from vsl import vsl, vsl_rec

Feeds = Dict[str, tf.Tensor]


def for_training(options: cli.Options, context: launch.Context, step: Optional[tf.Tensor] = None
                 ) -> Tuple[vsl.VarShapeLearner, Feeds]:
    """Builds a network of shapes with its losses and its optimizer.

    Args:
      options: settled options of vsl_main.py; context: launch.Context.
      step: int32 scalar, the training step, on which schedules and noise depend; or None.
    Returns:
      (model, {'x': placeholder uint8 [B, 30, 30, 30, 1]}); B: rows of the batch that this process
      computes.
    """
    x, arguments = _training_arguments(options, context, step)
    return vsl.VarShapeLearner(**arguments), {'x': x}


def for_image_training(options: cli.Options, context: launch.Context,
                       step: Optional[tf.Tensor] = None) -> Tuple[vsl_rec.VarShapeLearner, Feeds]:
    """Builds a network of images with its losses and its optimizer; see `for_training`.

    Args:
      options: settled options of vsl_imrec.py; context: launch.Context; step: int32 scalar or None.
    Returns:
      (model, {'x': placeholder uint8 [B, 30, 30, 30, 1], 'y': placeholder [B, 100, 100, 3]}).
    """
    x, arguments = _training_arguments(options, context, step)
    model = vsl_rec.VarShapeLearner(bias_after_product=options.bias_after_product,
                                    detach_codes=options.detach_codes, **arguments)
    return model, {'x': x, 'y': model.y}


def _training_arguments(options, context, step):
    """The placeholder of the shapes, and the arguments of both networks."""
    batch_size = context.ranks.per_rank(options.batch_size)
    x = tf.placeholder(tf.uint8, [batch_size] + 3 * [vsl.OBJ_RES] + [1])
    kl_weight = options.kl_weight
    if options.kl_warmup_steps and step is not None:
        kl_weight *= tf.minimum(1., tf.cast(step, tf.float32) / options.kl_warmup_steps)
    rate = options.learning_rate
    if options.warmup_steps and step is not None:
        rate *= tf.minimum(1., tf.cast(step, tf.float32) / options.warmup_steps)
    if options.schedule == 'cosine' and step is not None:
        rate *= 0.5 * (1. + tf.cos(math.pi / options.training_steps * tf.cast(step, tf.float32)))
    return x, dict(
        _sizes(options), batch_size=batch_size,
        share=(context.ranks.rank * batch_size, options.batch_size), x=tf.cast(x, tf.float32),
        plain=options.plain, optimizer=context.wrap_optimizer(tf.train.AdamOptimizer(rate)),
        step=None if context.on_npu else step, seed=context.seed, kl_weight=kl_weight,
        merge_first_code=options.merge_first_code, decode_samples=options.decode_samples,
        free_nats=options.free_nats)


def _sizes(options):
    return {name: vars(options)[name] for name in options_lib.SIZES}


def for_inference(part: str, options: cli.Options) -> networks.InferenceGraph:
    """Builds a network to freeze: fixed batch, no noise, no dropout.

    Args:
      part: 'encoder' (voxels -> latent), 'decoder' (latent -> occupancy) or 'image' (image ->
        latent and occupancy).
      options: settled options of a trained network, see `trained`; `batch_size` is the graph's.
    Returns:
      InferenceGraph.
    """
    batch = options.batch_size
    shape = [batch] + 3 * [vsl.OBJ_RES] + [1]
    rng = np.random.RandomState(0)
    arguments = dict(_sizes(options), batch_size=batch, training=False, deterministic=True,
                     plain=options.plain, merge_first_code=options.merge_first_code)
    if part == 'encoder':
        voxels = tf.placeholder(tf.float32, shape, name='voxels')
        model = vsl.VarShapeLearner(x=voxels, **arguments)
        inputs, outputs = {'voxels': voxels}, {'latent': model.latent_feature}
        feed = {'voxels': rng.rand(*shape) < 0.2}
    elif part == 'decoder':
        model = vsl.VarShapeLearner(x=tf.zeros(shape), **arguments)
        latent = tf.placeholder(tf.float32, [batch, model.latent_size], name='latent')
        inputs, outputs = {'latent': latent}, {'occupancy': model.decode(latent)}
        feed = {'latent': rng.randn(batch, model.latent_size)}
    else:
        image = tf.placeholder(tf.float32, [batch, vsl_rec.IMAGE_SIZE, vsl_rec.IMAGE_SIZE, 3],
                               name='image')
        model = vsl_rec.VarShapeLearner(x=tf.zeros(shape), y=image, keep_units=True,
                                        bias_after_product=options.bias_after_product, **arguments)
        inputs, outputs = {'image': image}, {'latent': model.learned_feature,
                                             'occupancy': model.decode(model.learned_feature)}
        feed = {'image': rng.rand(*image.shape.as_list())}
    aliases = {alias: name for alias, name in (('latent_feature', 'latent'),
                                               ('output', 'occupancy')) if name in outputs}
    return networks.InferenceGraph(inputs, outputs, aliases, feed, list(model.params.values()))


def trained(options: cli.Options, device: str) -> Tuple[cli.Options, str]:
    """Settles the options of a trained network and finds its weights.

    Args:
      options: with `checkpoint` and `output_path`; what else they say of the network (sizes,
        --preset, repairs) goes before what its run recorded.
      device: 'cpu', 'gpu' or 'npu'; decides on `plain` where that is unset.
    Returns:
      (options with all sizes and repairs, and `image_scale`, which may be 'not recorded'; str,
      prefix of the checkpoint).
    Raises:
      errors.InputError: there is no checkpoint, or nothing tells its sizes.
    """
    options = pretrained.chosen(options, options_lib.PRETRAINED,
                                pretrained.has_checkpoint(options.output_path))
    values = {'merge_first_code': False, 'bias_after_product': False,
              'image_scale': 'not recorded'}
    names = options_lib.SIZES + tuple(values)
    for source in (options_lib.recorded_options(options.checkpoint, options.output_path),
                   options_lib.ALL_PRESETS.get(options.preset, {}), vars(options)):
        values.update({name: source[name] for name in names if source.get(name) is not None})
    if not set(options_lib.SIZES) <= set(values):
        raise errors.InputError('{} has no config.json of VSL; give the --preset of the '
                                'checkpoint.'.format(options.checkpoint or options.output_path))
    plain = device != 'cpu' if options.plain is None else options.plain
    return (options.replace(plain=plain, **values),
            checkpoints.latest(options.checkpoint or options.output_path))


def restore(model: vsl.VarShapeLearner, prefix: str, context: launch.Context) -> None:
    """Opens a session, `model.sess`, with the weights of a checkpoint.

    Raises:
      errors.InputError: the checkpoint is damaged, or belongs to a network of other sizes.
    """
    model.sess = context.open_session()
    checkpoints.restore(model.sess, prefix, list(model.params.values()), remedy='Give the '
                        '--preset (or the sizes) that it was trained with.')
    cli.say('weights of {}'.format(prefix))


def rows() -> List[networks.Network]:
    """Returns the networks in the sizes of ModelNet10 and of PASCAL3D jointly, to be linted."""
    shapes = options_lib.complete(options_lib.parse_args(
        ['--preset=modelnet10', '--batch_size=5']), 'npu')
    images = options_lib.complete_images(options_lib.parse_image_args(
        ['--data_path=', '--preset=jointly', '--batch_size=5']), 'npu')

    def shape_training():
        model, feeds = for_training(shapes, launch.Context())
        return list(feeds.values()), [model.loss, model.optimizer]

    def image_training():
        model, feeds = for_image_training(images, launch.Context())
        return [*feeds.values(), model.gamma, model.keep_prob], [model.loss, model.optimizer]

    return [networks.Network('shapes', True, shape_training),
            networks.Network('images', True, image_training)] + [
                networks.Network(part, False, functools.partial(
                    for_inference, part, images.replace(batch_size=1)))
                for part in options_lib.PARTS]

"""Trains a network of images: the shape in a single image."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.geometry import plots
from common.training import checkpoints, launch, runs
from vsl import datasets, draw, image_evaluation, networks, training, vsl_rec
from vsl import options as options_lib

_KEEP_PROB = 0.2        # share of the units that dropout keeps in training


def train(options: cli.Options, context: launch.Context) -> None:
    """Trains a network of images, then runs the other stages of vsl_imrec.py.

    Args:
      options: settled options of vsl_imrec.py; context: launch.Context.
    """
    runs.set_seeds(context.seed)
    data = datasets.ImageSet(options)
    _require_class(options, data)
    options = data.with_steps(options)
    step_tensor = tf.placeholder(tf.int32, [], name='step')
    model, feeds = networks.for_image_training(options, context, step_tensor)
    epochs = training.Epochs(data.train, options, context, permute=True)
    options, init = _shape_part(options, model)
    losses = training.mean_losses(model, context, loss_lat=model.lat_loss)
    with runs.start(options, context, init=init,
                    summary='VSL from images ({}); {}'.format(options.preset, data)) as run:
        model.sess = run.sess
        for step in run.steps(options.training_steps):
            epoch, voxels, images = epochs.at(step)
            gamma = vsl_rec.gamma_at(epoch) if options.gamma is None else options.gamma
            values, _ = run.sess.run((losses, model.optimizer), {
                feeds['x']: voxels, feeds['y']: images * np.float32(options.image_scale),
                model.gamma: gamma, model.keep_prob: _KEEP_PROB, step_tensor: step})
            run.report(step, **values)
            means = epochs.average(run, step, values)
            with run.paused():
                if means is not None and context.ranks.is_chief:
                    _end_epoch(run, model, data, epoch, means, options)
        training.finish(run, model, epochs, lambda epoch: '{}-{:03d}-{}-{}-{}'.format(
            data.title, epoch, options.local_latent_num, options.local_latent_dim,
            options.global_latent_dim))
        if context.ranks.is_chief:
            order = epochs.order.at(max(0, epochs.begun(run.step) - 1))
            image_evaluation.run_image_stages(model, data, order, options, context, run)


def _end_epoch(run, model, data, epoch, means, options):
    """Prints the losses of an epoch; now and then draws shapes of test images."""
    cli.say('Epoch: {:04d} | kl-loss: {:.4f} + rec-loss: {:.4f} + lat_loss: {:.4f} = '
            'total-loss: {:.4f}'.format(epoch, means['loss_kl'], means['loss_rec'],
                                        means['loss_lat'], means['loss']))
    run.state['last_epoch'], run.state['last_total'] = epoch, means['loss']
    if epoch % options.print_step == 0:
        rows = plots.in_turn(data.test.labels.tolist(), 5)
        decoded = image_evaluation.decoded(model, data.test.images[rows], options.image_scale)
        draw.shapes(os.path.join(run.samples, 'rec-{:04d}'.format(epoch)),
                    np.concatenate([data.test.voxels[rows], decoded]),
                    ['shape'] * len(decoded) + ['from image'] * len(decoded), len(decoded),
                    options.renderer, options.up)


def _shape_part(options, model):
    """Initialises the shape part from a --checkpoint that has no image branch.

    Args:
      options: settled options; model: vsl_rec.VarShapeLearner.
    Returns:
      (options; function(sess) for `runs.start`). Where the checkpoint has no image branch
      `checkpoint` is '' in these options; otherwise they are the same and the function is None.
    """
    if not options.checkpoint:
        return options, None
    prefix = checkpoints.latest(options.checkpoint)
    if 'image_fc2' in checkpoints.variables_of(prefix):
        return options, None
    cli.say('weights of the shape part from {}; the image branch starts anew'.format(prefix))
    variables = [model.params[name] for name in model.shape_names]
    return options.replace(checkpoint=''), lambda sess: checkpoints.restore(
        sess, prefix, variables, remedy='Give the sizes that it was trained with.')


def _require_class(options, data):
    """Refuses to go on with the network of another class."""
    recorded = options_lib.recorded_options('', options.output_path) if options.resume else {}
    if 'image_scale' not in recorded:
        return
    label = data.label_of(recorded['class_name'], recorded['preset'])
    if label != data.label:
        raise errors.UsageError('{} holds the network of --class={}, not of {}; give another '
                                '--output_path.'.format(options.output_path, data.title_of(label),
                                                        data.title))

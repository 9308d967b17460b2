"""The training loops of IM-AE and z-GAN."""
import functools
import os
from typing import Any, Dict

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.training import launch, pretrained, reporting, runs, schedules
from imnet import augmentation, checkpoint_names, data_utils, draw, epochs, networks
from imnet import options as options_lib
from imnet.IMGAN import modelz, ops

_PICTURE_EVERY = 1000               # epochs of the GAN between checkpoints and histograms
_HISTOGRAM = 64


def train_ae(options: cli.Options, context: launch.Context) -> Dict[str, Any]:
    """Trains the autoencoder to epoch `options.epoch` on the points of `options.real_size`.

    The three stages (16, 32, 64) are three calls with the same output folder and growing epochs.

    Args:
      options: of IMGAN/main.py; context: of the whole output folder, in which the run has `ae`.
    Returns:
      dict with `loss`, mean of the last epoch, and `seconds_per_step`.
    """
    options, data = data_utils.opened(options, 'train', options.real_size,
                                      options.batch_size_input)
    size = min(options.shapes_per_step, len(data))
    context = context.replace(output_path=os.path.join(options.output_path, 'ae'))
    options = epochs.settled(options, context, len(data) // size, 1)
    start = epochs.starting_weights(options, 'ae')
    if options.pretrained:
        options = options.replace(checkpoint=start, **({} if options.loss else pretrained.sizes(
            options_lib.PRETRAINED, ['loss'], 'ae')))
    options = options.replace(loss=options.loss or 'squared')
    options = checkpoint_names.fitted(options, start, 'ae')
    summary = 'IM-AE; {} shapes, {} points each (points_{}) of {}'.format(
        len(data), data.num_points, options.real_size, data.path)
    with tf.Graph().as_default():
        runs.set_seeds(context.seed)
        network = networks.autoencoder(options, _points_per_step(options, data),
                                       context.ranks.per_rank(size), options.loss,
                                       fused=not context.is_emulated)
        rate = (options.learning_rate if options.schedule == 'constant'
                else tf.placeholder(tf.float32, [], 'learning_rate'))
        optimizer = context.wrap_optimizer(ops.adam(rate, options.beta1))
        step_op = ops.minimize(optimizer, network.loss)
        with runs.start(options, context, summary=summary) as run:
            epochs.start_from_original(run, options, 'ae', network.variables)
            return _ae_loop(run, network, step_op, rate, data, size, options, context)


def _points_per_step(options, data):
    """How many points of a shape are in a step."""
    return min(options.points_per_step, data.num_points) or data.num_points


def points_of(seed: int, epoch: int, row: int, count: int, total: int) -> Any:
    """Returns which of a shape's points an epoch takes: int [count] without repetition, or all."""
    if count == total:
        return slice(None)
    return np.random.RandomState([seed, epoch, row]).permutation(total)[:count]


def cosine_rate(options: cli.Options, step: int) -> float:
    """Returns the learning rate of a step from 1: half a cosine, 0 behind the last step."""
    return options.learning_rate * schedules.half_cosine((step - 1) / options.training_steps)


def _sample(data, row, taken, epoch, options, seed):
    """(voxels, positions, values) of a shape at the points `taken`, augmented where asked for."""
    voxels, positions, values = data.sample(row)
    positions, values = positions[taken], values[taken]
    if options.augment_mirror != 'none' or options.augment_scale:
        voxels, positions = augmentation.augmented(
            voxels, positions, seed, epoch, row, augmentation.AXES[options.augment_mirror],
            options.augment_scale)
    return voxels, positions, values


def _ae_loop(run, network, step_op, rate, data, size, options, context):
    def points(epoch, row):
        return points_of(context.seed, epoch, row, _points_per_step(options, data),
                         data.num_points)

    def batch(step):
        epoch, number = divmod(step - 1, options.steps_per_epoch)
        rows = data_utils.order(context.seed, epoch, len(data))[number * size:(number + 1) * size]
        rows = context.ranks.shard(rows)
        return rows, [np.stack(part) for part in zip(*[
            _sample(data, row, points(epoch, row), epoch, options, context.seed) for row in rows])]

    def is_due(step):
        epoch, rest = divmod(step, options.steps_per_epoch)
        return (not rest and epoch % options.checkpoint_every == 0
                or step == options.training_steps)

    def feed(arrays, step=1):
        fed = dict(zip((network.vox3d, network.point_coord, network.point_value), arrays))
        if options.schedule == 'cosine':
            fed[rate] = cosine_rate(options, step)
        return fed

    def finish(step, rows, arrays):
        epoch = (step - 1) // options.steps_per_epoch
        if not step % options.steps_per_epoch:
            cells, truth = (part[points(epoch, rows[-1])] for part in data.points(rows[-1]))
            values, codes = run.sess.run([network.values, network.z], feed(arrays))
            stem = os.path.join(options.sample_dir, str(epoch))
            draw.write_projections(stem, cells, values[-1], truth)
            epochs.show(run, step, stem, network.field(run.sess, codes[-1]), context)
        return checkpoint_names.save(run.sess, network.variables, options, 'ae', epoch)

    if epochs.goes_on(run) and is_due(run.step):
        epochs.finish(run, run.step, lambda: finish(run.step, *batch(run.step)))
    ahead, means = data_utils.Ahead(batch), epochs.EpochMean(run, options.steps_per_epoch)
    mean_loss, result = context.ranks.mean(network.loss), {}
    for step in run.steps(options.training_steps):
        rows, arrays = ahead.get(step, step + 1 if step < options.training_steps else None)
        loss, _ = run.sess.run([mean_loss, step_op], feed(arrays, step))
        run.report(step, loss_ae=loss)
        mean = means.add(step, loss_ae=loss, inside=arrays[2].mean())
        with run.paused():
            if mean is not None:
                result = {'loss': mean['loss_ae']}
                cli.say('epoch {}/{}  mean loss_ae {}'.format(
                    step // options.steps_per_epoch - 1,
                    -(-options.training_steps // options.steps_per_epoch),
                    reporting.format_value(mean['loss_ae'])))
                if options.loss == 'squared':
                    _warn_if_dead(mean)
            if is_due(step):
                epochs.finish(run, step, functools.partial(finish, step, rows, arrays))
    if run.step and not result:     # ended within an epoch, or nothing was to be done
        result = {'loss': run.state.get('last_mean')}
    run.state['last_mean'] = result.get('loss')
    result['seconds_per_step'] = run.seconds_per_step
    return result


def _warn_if_dead(mean):
    """All outputs 0 give a loss equal to the share of points inside: the clip has no gradient."""
    if abs(mean['loss_ae'] - mean['inside']) < 1e-6:
        cli.say('warning: the loss is that of an output of 0 everywhere ({:.4f}, the share '
                'of points inside). The decoder is dead: start anew with --noresume and '
                '--leaky_clip, or another --seed.'.format(mean['inside']))


def train_gan(options: cli.Options, context: launch.Context) -> Dict[str, float]:
    """Trains the GAN on the codes of `options.z_path`.

    Args:
      options: of IMGAN/main.py; context: of the whole output folder, in which the run has `gan`.
    Returns:
      dict with `d_loss`, `g_loss`, means of the last epoch.
    """
    options = checkpoint_names.with_stem(options)
    path = options.z_path or checkpoint_names.codes_path(options)
    codes = data_utils.read_codes(path)
    size = min(modelz.BATCH_SIZE, len(codes))
    context = context.replace(output_path=os.path.join(options.output_path, 'gan'))
    options = checkpoint_names.fitted_gan(options, None).replace(z_dim=codes.shape[1])
    options = epochs.settled(options, context, len(codes) // size, _PICTURE_EVERY, 1)
    summary = 'z-GAN; {} codes of {}'.format(len(codes), path)
    with tf.Graph().as_default():
        runs.set_seeds(context.seed)
        network = networks.gan(options, context.ranks.per_rank(size))
        steps = network.train_steps(lambda: context.wrap_optimizer(
            ops.adam(options.learning_rate, options.beta1)))
        with runs.start(options, context, summary=summary) as run:
            epochs.start_from_original(run, options, 'gan', network.variables)
            return _gan_loop(run, network, steps, codes, size, options, context)


def _gan_loop(run, network, steps, codes, size, options, context):
    means, result, ranks = epochs.EpochMean(run, options.steps_per_epoch), {}, context.ranks
    d_mean, g_mean = ranks.mean(network.d_loss), ranks.mean(network.g_loss)
    shared = network.epsilon.shape.ndims == 0   # one interpolation weight for all codes

    def batch(step):
        epoch, number = divmod(step - 1, options.steps_per_epoch)
        rng = np.random.RandomState([context.seed, step])
        # The original shuffles a list of numbers and then takes the codes in their own order.
        rows = (data_utils.order(context.seed, epoch, len(codes)) if options.shuffle_codes
                else np.arange(len(codes)))[number * size:(number + 1) * size]
        noise = rng.normal(0, modelz.NOISE_STDDEV, [size, options.noise_dim])
        epsilon = rng.uniform(size=[] if shared else [size, 1])
        return rows, {network.real: codes[ranks.shard(rows)], network.noise: ranks.shard(noise),
                      network.epsilon: epsilon if shared else ranks.shard(epsilon)}

    def is_due(step):
        epoch, rest = divmod(step - 1, options.steps_per_epoch)
        return rest == options.steps_per_epoch - 1 and (
            epoch % options.checkpoint_every == 0 or step == options.training_steps)

    def finish(step, rows, feed):
        files = checkpoint_names.save(run.sess, network.variables, options, 'gan',
                                      (step - 1) // options.steps_per_epoch)
        for name, values in (('train', codes[rows]), ('gen', run.sess.run(network.fake, feed))):
            files.append(os.path.join(run.samples, 'z_{}.png'.format(name)))
            draw.write_image(files[-1], histogram(values))
        return files

    if epochs.goes_on(run) and is_due(run.step):
        epochs.finish(run, run.step, lambda: finish(run.step, *batch(run.step)))
    for step in run.steps(options.training_steps):
        rows, feed = batch(step)
        d_loss, _ = run.sess.run([d_mean, steps[0]], feed)
        g_loss, _ = run.sess.run([g_mean, steps[1]], feed)
        run.report(step, loss_d=d_loss, loss_g=g_loss)
        result = means.add(step, d_loss=d_loss, g_loss=g_loss) or result
        if is_due(step):
            with run.paused():
                epochs.finish(run, step, functools.partial(finish, step, rows, feed))
    return result


def histogram(codes: np.ndarray) -> np.ndarray:
    """Counts how often each latent dimension takes which value.

    Args:
      codes: [B, Z] in [0, 1].
    Returns:
      uint8 [64, Z], a column for each latent dimension.
    """
    slots = (codes * (_HISTOGRAM - 0.0001)).astype(int)
    counts = np.zeros([_HISTOGRAM, codes.shape[1]], int)
    np.add.at(counts, (slots, np.arange(codes.shape[1])[None]), 1)
    return np.minimum(255, counts * 256 // modelz.BATCH_SIZE).astype(np.uint8)

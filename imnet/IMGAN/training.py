"""The training loops of IM-AE and z-GAN."""
import os

import numpy as np

from common import cli, device
from common.training import checkpoints, reporting, runs
from imnet import data_utils, draw, saved
from imnet.IMGAN import model, modelz, ops

AE_EF_DIM = 32
_KEPT = {'ae': 10, 'gan': 20}       # checkpoints under the original's names, as the original keeps
_PICTURE_EVERY = 1000               # epochs of the GAN between checkpoints and histograms
_HISTOGRAM = 64


def train_ae(config):
    """Trains the autoencoder to epoch `config.epoch` on the points of `config.real_size`.

    The three stages (16, 32, 64) are three calls with the same output folder and growing epochs.

    Args:
      config: namespace of IMGAN/main.py.
    Returns:
      dict with `loss`, mean of the last epoch, and `seconds_per_step`.
    """
    path = saved.complete(config)
    runs.set_seeds(config.seed)
    data = data_utils.Set(path, config.real_size, config.batch_size_input,
                          cache=os.path.join(config.output_path, 'cache'))
    size = min(config.shapes_per_step, len(data))
    config = saved.run_config(config, 'ae', len(data) // size, 1)
    prefix = None
    if config.checkpoint:
        prefix = config.checkpoint = checkpoints.latest(config.checkpoint)
    elif config.resume:
        prefix = saved.newest(config, 'ae', False)
    saved.fit_sizes(config, prefix, AE_EF_DIM)
    net = model.IMAE(config.z_dim, config.ef_dim, config.gf_dim, config.plain, config.leaky_clip,
                     data.num_points, device.per_rank(size), config.he_init)
    optimizer = device.wrap_optimizer(ops.adam(config.learning_rate, config.beta1), config)
    step_op = ops.minimize(optimizer, net.loss)
    summary = 'IM-AE; {} shapes, {} points each (points_{}) of {}'.format(
        len(data), data.num_points, config.real_size, path)
    _default_saving(config)
    with runs.start(config, summary=summary) as run:
        saved.start_from_original(run, config, 'ae', net.variables,
                                  saved.optimizer_variables(net.variables))
        return _ae_loop(run, net, step_op, data, size, config)


def _default_saving(config):
    """Without --save_every the run is saved with every checkpoint of the original's kind."""
    if config.save_every is None:
        config.save_every = config.checkpoint_every * config.steps_per_epoch


def _ae_loop(run, net, step_op, data, size, config):
    def batch(step):
        epoch, number = divmod(step - 1, config.steps_per_epoch)
        rows = data_utils.order(config.seed, epoch, len(data))[number * size:(number + 1) * size]
        rows = device.shard(rows)
        return rows, [np.stack(part) for part in zip(*[data.sample(row) for row in rows])]

    ahead, means = data_utils.Ahead(batch), saved.EpochMean(run, config.steps_per_epoch)
    mean_loss, result = device.allreduce_mean(net.loss), {}
    for step in run.steps(config.training_steps):
        rows, arrays = ahead.get(step, step + 1 if step < config.training_steps else None)
        feed = dict(zip((net.vox3d, net.point_coord, net.point_value), arrays))
        loss, _ = run.sess.run([mean_loss, step_op], feed)
        run.report(step, loss_ae=loss)
        mean = means.add(step, loss_ae=loss, inside=arrays[2].mean())
        if mean is None:
            continue
        epoch = step // config.steps_per_epoch - 1
        result = {'loss': mean['loss_ae']}
        with run.paused():
            cli.say('epoch {}/{}  mean loss_ae {}'.format(
                epoch, -(-config.training_steps // config.steps_per_epoch),
                reporting.format_value(mean['loss_ae'])))
            _warn_if_dead(mean)
            if device.is_chief() and ((epoch + 1) % config.checkpoint_every == 0
                                      or step == config.training_steps):
                values = run.sess.run(net.values, feed)[-1]
                cells, truth = data.points(rows[-1])
                draw.write_projections(os.path.join(config.sample_dir, str(epoch)), cells, values,
                                       truth)
                saved.save(run.sess, net.variables, config, 'ae', epoch, _KEPT['ae'])
    if run.step and not result:     # ended within an epoch, or nothing was to be done
        result = {'loss': run.state.get('last_mean')}
    run.state['last_mean'] = result.get('loss')
    result['seconds_per_step'] = run.seconds_per_step
    if run.step % config.steps_per_epoch and run.step > run.start_step:
        saved.save(run.sess, net.variables, config, 'ae', run.step // config.steps_per_epoch,
                   _KEPT['ae'])
    return result


def _warn_if_dead(mean):
    """All outputs 0 give a loss equal to the share of points inside: the clip has no gradient."""
    if abs(mean['loss_ae'] - mean['inside']) < 1e-6:
        cli.say('warning: the loss is that of an output of 0 everywhere ({:.4f}, the share '
                      'of points inside). The decoder is dead: start anew with --noresume and '
                      '--leaky_clip, or another --seed.'.format(mean['inside']))


def train_gan(config):
    """Trains the GAN on the codes of `config.z_path`.

    Args:
      config: namespace of IMGAN/main.py.
    Returns:
      dict with `d_loss`, `g_loss`, means of the last epoch.
    """
    saved.complete(config, split=None)
    runs.set_seeds(config.seed)
    path = config.z_path or codes_path(config)
    codes = data_utils.read_codes(path)
    size = min(modelz.BATCH_SIZE, len(codes))
    saved.fit_gan_sizes(config, None)
    config = saved.run_config(config, 'gan', len(codes) // size, _PICTURE_EVERY)
    config.z_dim = codes.shape[1]
    net = modelz.ZGAN(config.z_dim, config.noise_dim, config.gan_dim, config.gan_dim,
                      device.per_rank(size),
                      config.penalty_epsilon, config.epsilon_per_code)
    d_step, g_step = net.train_steps(
        lambda: device.wrap_optimizer(ops.adam(config.learning_rate, config.beta1), config))
    _default_saving(config)
    with runs.start(config, summary='z-GAN; {} codes of {}'.format(len(codes), path)) as run:
        saved.start_from_original(run, config, 'gan', net.variables,
                                  saved.optimizer_variables(net.variables))
        return _gan_loop(run, net, (d_step, g_step), codes, size, config)


def codes_path(config, part=''):
    """Where the codes of the training shapes are kept, or of another part."""
    return os.path.join(config.output_path, '{}{}_z.hdf5'.format(config.dataset, part))


def _gan_loop(run, net, steps, codes, size, config):
    means, result = saved.EpochMean(run, config.steps_per_epoch), {}
    d_mean, g_mean = device.allreduce_mean(net.d_loss), device.allreduce_mean(net.g_loss)
    shared = net.epsilon.shape.ndims == 0   # one place for all codes
    for step in run.steps(config.training_steps):
        epoch, number = divmod(step - 1, config.steps_per_epoch)
        rng = np.random.RandomState([config.seed, step])
        # The original shuffles a list of numbers and then takes the codes in their own order.
        rows = (data_utils.order(config.seed, epoch, len(codes)) if config.shuffle_codes
                else np.arange(len(codes)))[number * size:(number + 1) * size]
        noise = rng.normal(0, modelz.NOISE_DEVIATION, [size, config.noise_dim])
        epsilon = rng.uniform(size=[] if shared else [size, 1])
        feed = {net.real: codes[device.shard(rows)], net.noise: device.shard(noise),
                net.epsilon: epsilon if shared else device.shard(epsilon)}
        d_loss, _ = run.sess.run([d_mean, steps[0]], feed)
        g_loss, _, fake = run.sess.run([g_mean, steps[1], net.fake], feed)
        run.report(step, loss_d=d_loss, loss_g=g_loss)
        mean = means.add(step, d_loss=d_loss, g_loss=g_loss)
        if mean is None:
            continue
        result = mean
        if device.is_chief() and (epoch % config.checkpoint_every == 0
                                  or step == config.training_steps):
            with run.paused():
                saved.save(run.sess, net.variables, config, 'gan', epoch, _KEPT['gan'])
                for name, shown in (('train', codes[rows]), ('gen', fake)):
                    draw.write_image(os.path.join(run.samples, 'z_{}.png'.format(name)),
                                     histogram(shown))
    return result


def histogram(codes):
    """How often each number of the codes takes which value.

    Args:
      codes: [B, Z] in [0, 1].
    Returns:
      uint8 [64, Z], a column for each number.
    """
    slots = (codes * (_HISTOGRAM - 0.0001)).astype(int)
    counts = np.zeros([_HISTOGRAM, codes.shape[1]], int)
    np.add.at(counts, (slots, np.arange(codes.shape[1])[None]), 1)
    return np.minimum(255, counts * 256 // modelz.BATCH_SIZE).astype(np.uint8)

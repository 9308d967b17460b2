"""The training loop of IM-SVR."""
import os

import numpy as np

from common import cli, device, errors
from common.training import checkpoints, reporting, runs
from imnet import data_utils, draw, saved
from imnet.IMGAN import ops
from imnet.IMSVR import model, views

EF_DIM = 64
_KEPT = 10              # checkpoints under the original's names
_EVERY = 10             # epochs between them, as in the original


def load_codes(config, count):
    """Codes of the training shapes, as many as shapes.

    Args:
      config: completed namespace; count: int.
    Returns:
      float32 [count, Z].
    Raises:
      errors.InputError: there are others than shapes.
    """
    path = config.pretrained_z_dir or os.path.join(config.output_path, config.dataset + '_z.hdf5')
    codes = data_utils.read_codes(path)
    if len(codes) != count:
        raise errors.InputError('{} has {} codes, but the set has {} shapes. Make the codes anew '
                                'with python imnet/IMGAN/main.py --ae.'.format(
                                    path, len(codes), count))
    return codes


def train(config):
    """Trains the picture encoder to the codes of the autoencoder.

    Args:
      config: namespace of IMSVR/main.py.
    Returns:
      dict with `loss`, mean of the last epoch, and `seconds_per_step`.
    """
    path = saved.complete(config)
    runs.set_seeds(config.seed)
    data = data_utils.Set(path, 64, keys=('pixels',),
                          cache=os.path.join(config.output_path, 'cache'))
    codes = load_codes(config, len(data))
    size = min(config.batch_size, len(data))
    config = saved.run_config(config, 'svr', len(data) // size, _EVERY)
    pretrained = config.pretrained_model_dir or saved.folder(config, 'ae')
    decoder_prefix = checkpoints.latest(pretrained)
    wanted = type(config)(**dict(vars(config), z_dim=config.z_dim or codes.shape[1], ef_dim=None))
    saved.fit_sizes(wanted, decoder_prefix, EF_DIM)
    config.z_dim, config.gf_dim, config.leaky_clip = wanted.z_dim, wanted.gf_dim, wanted.leaky_clip
    if config.checkpoint:
        held = config.checkpoint = checkpoints.latest(config.checkpoint)
    else:
        held = saved.newest(config, 'svr', False) if config.resume else None
    saved.fit_sizes(config, held, EF_DIM)
    net = model.IMSVR(config.z_dim, config.ef_dim, config.gf_dim, device.per_rank(size),
                      config.plain, config.leaky_clip)
    optimizer = device.wrap_optimizer(ops.adam(config.learning_rate, config.beta1), config)
    step_op = net.train_step(optimizer)
    if config.save_every is None:
        config.save_every = config.checkpoint_every * config.steps_per_epoch
    summary = 'IM-SVR; {} shapes of {}, decoder of {}'.format(len(data), path, decoder_prefix)

    def take_decoder(sess):
        checkpoints.restore(sess, decoder_prefix, net.decoder_variables)

    with runs.start(config, summary=summary, init=take_decoder) as run:
        saved.start_from_original(run, config, 'svr', net.variables,
                                  saved.optimizer_variables(net.variables))
        return _loop(run, net, step_op, data, codes, size, config)


def _loop(run, net, step_op, data, codes, size, config):
    def batch(step):
        epoch, number = divmod(step - 1, config.steps_per_epoch)
        rows = data_utils.order(config.seed, epoch, len(data))[number * size:(number + 1) * size]
        rng = np.random.RandomState([config.seed, step])
        return device.shard(rows), device.shard(views.batch(data.pixels(), rows, rng))

    ahead, means = data_utils.Ahead(batch), saved.EpochMean(run, config.steps_per_epoch)
    mean_loss, result = device.allreduce_mean(net.loss), {'loss': run.state.get('last_mean')}
    for step in run.steps(config.training_steps):
        rows, pixels = ahead.get(step, step + 1 if step < config.training_steps else None)
        loss, _ = run.sess.run([mean_loss, step_op], {net.view: pixels, net.target: codes[rows]})
        run.report(step, loss_svr=loss)
        mean = means.add(step, loss_svr=loss)
        epoch = (step - 1) // config.steps_per_epoch
        if mean is not None:
            run.state['last_mean'] = result['loss'] = mean['loss_svr']
        if device.is_chief() and (step == config.training_steps or (
                mean is not None and epoch % config.checkpoint_every == 0)):
            with run.paused():
                cli.say('epoch {}  mean loss_svr {}'.format(epoch, reporting.format_value(
                    result['loss'] if result['loss'] is not None else float(loss))))
                _write_pictures(run, net, data, rows[0], pixels[0], epoch, config.sample_dir)
                saved.save(run.sess, net.variables, config, 'svr', epoch, _KEPT)
    return dict(result, seconds_per_step=run.seconds_per_step)


def _write_pictures(run, net, data, row, view, epoch, folder):
    """The picture, and the projections of the field that the moving statistics give for it."""
    code = run.sess.run(net.test_z, {net.test_view: view[None]})[0]
    cells, truth = data.points(row)
    values = net.field(run.sess, code)(data_utils.coordinates(cells))
    stem = os.path.join(folder, str(epoch))
    draw.write_projections(stem, cells, values, truth)
    draw.write_image(stem + '_v.png', np.round(view[..., 0] * 255).astype(np.uint8))

"""The training loop of IM-SVR."""
import functools
import os
from typing import Any, Dict

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.training import checkpoints, launch, reporting, runs
from imnet import checkpoint_names, data_utils, draw, epochs, networks
from imnet.IMGAN import ops
from imnet.IMSVR import views

_EVERY = 10             # epochs between checkpoints under the original's names, as there


def load_codes(options: cli.Options, count: int) -> np.ndarray:
    """Reads the codes of the training shapes: float32 [count, Z].

    Raises:
      errors.InputError: there are more or fewer codes than shapes.
    """
    path = options.pretrained_z_dir or checkpoint_names.codes_path(options)
    codes = data_utils.read_codes(path)
    if len(codes) != count:
        raise errors.InputError('{} has {} codes, but the set has {} shapes. Make the codes anew '
                                'with python imnet/IMGAN/main.py --ae.'.format(
                                    path, len(codes), count))
    return codes


def train(options: cli.Options, context: launch.Context) -> Dict[str, Any]:
    """Trains the picture encoder to the codes of the autoencoder.

    Args:
      options: of IMSVR/main.py; context: of the whole output folder, in which the run has `svr`.
    Returns:
      dict with `loss`, mean of the last epoch, and `seconds_per_step`.
    """
    options, data = data_utils.opened(options, 'train', 64, keys=('pixels',))
    codes = load_codes(options, len(data))
    size = min(options.batch_size, len(data))
    context = context.replace(output_path=os.path.join(options.output_path, 'svr'))
    options = epochs.settled(options, context, len(data) // size, _EVERY)
    decoder_prefix = checkpoints.latest(
        options.pretrained_model_dir or checkpoint_names.folder(options, 'ae'))
    of_decoder = checkpoint_names.fitted(
        options.replace(z_dim=options.z_dim or codes.shape[1], ef_dim=None), decoder_prefix, 'svr')
    start = epochs.starting_weights(options, 'svr')
    options = checkpoint_names.fitted(
        options.replace(z_dim=of_decoder.z_dim, gf_dim=of_decoder.gf_dim,
                        leaky_clip=of_decoder.leaky_clip), start, 'svr')
    summary = 'IM-SVR; {} shapes of {}, decoder of {}'.format(len(data), data.path, decoder_prefix)
    with tf.Graph().as_default():
        runs.set_seeds(context.seed)
        network = networks.picture_encoder(options, context.ranks.per_rank(size))
        step_op = network.train_step(context.wrap_optimizer(
            ops.adam(options.learning_rate, options.beta1)))

        def restore_parts(sess):
            if options.pretrained and start:    # the picture encoder; the decoder is this run's
                checkpoint_names.restore(sess, start, [
                    variable for variable in network.variables
                    if variable not in network.decoder_variables])
            checkpoints.restore(sess, decoder_prefix, network.decoder_variables)

        with runs.start(options, context, init=restore_parts, summary=summary) as run:
            epochs.start_from_original(run, options, 'svr', network.variables)
            return _loop(run, network, step_op, data, codes, size, options, context)


def _loop(run, network, step_op, data, codes, size, options, context):
    ranks = context.ranks

    def batch(step):
        epoch, number = divmod(step - 1, options.steps_per_epoch)
        rows = data_utils.order(context.seed, epoch, len(data))[number * size:(number + 1) * size]
        rng = np.random.RandomState([context.seed, step])
        return ranks.shard(rows), views.batch(data.pixels(), rows, rng,
                                              slots=ranks.shard(range(len(rows))))

    def is_due(step):
        epoch, rest = divmod(step, options.steps_per_epoch)
        return (not rest and (epoch - 1) % options.checkpoint_every == 0
                or step == options.training_steps)

    def finish(step, rows, pixels, mean):
        epoch = (step - 1) // options.steps_per_epoch
        cli.say('epoch {}  mean loss_svr {}'.format(epoch, reporting.format_value(mean)))
        stem = os.path.join(options.sample_dir, str(epoch))
        epochs.show(run, step, stem, _write_pictures(run, network, data, rows[0], pixels[0], stem),
                    context)
        return checkpoint_names.save(run.sess, network.variables, options, 'svr', epoch)

    if epochs.goes_on(run) and is_due(run.step):
        epochs.finish(run, run.step, lambda: finish(
            run.step, *batch(run.step), mean=run.state.get('last_mean', float('nan'))))
    ahead, means = data_utils.Ahead(batch), epochs.EpochMean(run, options.steps_per_epoch)
    mean_loss, result = ranks.mean(network.loss), {'loss': run.state.get('last_mean')}
    for step in run.steps(options.training_steps):
        rows, pixels = ahead.get(step, step + 1 if step < options.training_steps else None)
        loss, _ = run.sess.run([mean_loss, step_op],
                               {network.view: pixels, network.target: codes[rows]})
        run.report(step, loss_svr=loss)
        mean = means.add(step, loss_svr=loss)
        if mean is not None:
            run.state['last_mean'] = result['loss'] = mean['loss_svr']
        if is_due(step):
            with run.paused():
                epochs.finish(run, step, functools.partial(
                    finish, step, rows, pixels,
                    float(loss) if result['loss'] is None else result['loss']))
    return dict(result, seconds_per_step=run.seconds_per_step)


def _write_pictures(run, network, data, row, view, stem):
    """The picture, and the projections of the field that the moving statistics give for it.

    Returns:
      that field.
    """
    (code,) = network.codes_of(run.sess, [view])
    cells, truth = data.points(row)
    field = network.field(run.sess, code)
    draw.write_projections(stem, cells, field(data_utils.coordinates(cells)), truth)
    draw.write_image(stem + '_v.png', np.round(view[..., 0] * 255).astype(np.uint8))
    return field

"""Trains a network; one graph for each number of views, or one with a mask over the views."""
import functools
import os
from typing import Any, Callable, Dict, Iterable, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors, files
from common.geometry import voxel_grids
from common.training import launch, results, runs
from common.training import workers as workers_lib
from r2n2 import evaluation, freeze, networks
from r2n2 import options as options_lib
from r2n2.lib import config as config_lib
from r2n2.lib import data_augmentation, data_io, data_process, layers, solver, weights
from r2n2.models import net as net_lib

_VALIDATION_SEED = 7919     # so that validation draws other views than training
_OWN_STEPS = {False: 1000, True: 300}   # of --preset=own, from nothing and from shipped weights


def train(options: cli.Options, context: launch.Context) -> None:
    """Trains, measures and freezes, as `options.train`, `evaluate` and `freeze` say.

    Args:
      options: those of `options.complete`; context: launch.Context.
    Raises:
      errors.NonFiniteLossError: a loss or a parameter is NaN, or the loss exceeds the limit.
    """
    data = data_io.of_run(options)
    if options.train and options.preset == 'own':
        options = fitted(options, data)
    run = _run_steps(options, context, data) if options.train else None
    if not context.ranks.is_chief:
        return
    record, step = (run.results, run.step) if run else (
        results.of_folder(context.output_path), None)
    if options.evaluate:    # in any case, as its figures are printed
        record.once('evaluation', step, lambda: _measure(options, context, data), again=True)
    if options.freeze:
        record.once('frozen, views: {}'.format(options.views), step,
                    lambda: freeze.freeze_run(options, context, step))


def fitted(options: cli.Options, data: data_io.Set) -> cli.Options:
    """Fits batch and length of --preset=own to the models of a set; prints what was chosen.

    Args:
      options: of `options.complete`; `own` names those that the command line does not give.
      data: data_io.Set.
    Returns:
      Options without `own`.
    """
    own = options.own
    values = {name: value for name, value in vars(options).items() if name != 'own'}
    count = len(data_io.pairs(data, options.settings.TRAIN.DATASET_PORTION))
    train_settings = dict(options.settings.TRAIN)
    if 'batch_size' in own:
        values['batch_size'] = min(options.batch_size, count)
    if 'training_steps' in own:
        steps = _OWN_STEPS[bool(options.pretrained)]
        rate = train_settings['DEFAULT_LEARNING_RATE']
        train_settings.update(NUM_ITERATION=steps, VALIDATION_FREQ=steps // 2,
                              LEARNING_RATES={str(steps * 4 // 5): rate / 5})
    values['settings'] = config_lib.replaced(
        options.settings, CONST={'BATCH_SIZE': values['batch_size']}, TRAIN=train_settings)
    cli.say('own set: {} models for training; --batch_size={} --training_steps={}{}'.format(
        count, values['batch_size'], train_settings['NUM_ITERATION'],
        ', from the weights that ship' if options.pretrained else ''))
    return cli.Options(**values)


def _measure(options, context, data):
    evaluation.measure(options, context, data)
    folder = os.path.join(context.output_path, 'eval', options.settings.TEST.EXP_NAME)
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def rate_at(train_settings: config_lib.Config, step: int) -> float:
    """Returns the learning rate of a step.

    Args:
      train_settings: section TRAIN of the settings.
      step: int, from 1 (the original counts from 0: its rates change after a step's number).
    """
    rates = train_settings.LEARNING_RATES
    passed = [int(key) for key in rates if step - 1 > int(key)]
    return rates[str(max(passed))] if passed else train_settings.DEFAULT_LEARNING_RATE


class Trainer:
    """The graphs of training and validation.

    Args:
      net: models.net.Net.
      settings: config.Config; CONST.BATCH_SIZE is the rows of this process.
      mask_views: bool, one graph with a mask instead of one for each number of views.
      context: launch.Context.

    Attributes:
      is_chief: bool, whether this process writes what the run leaves.
    """

    def __init__(self, net: net_lib.Net, settings: config_lib.Config, mask_views: bool,
                 context: launch.Context):
        self._limit = settings.CONST.N_VIEWS
        self._solver = solver.Solver(net, settings.TRAIN.POLICY, settings.TRAIN.WEIGHT_DECAY,
                                     settings.TRAIN.MOMENTUM, context)
        self._masked, self.is_chief = mask_views, context.ranks.is_chief
        alone = mask_views or not settings.TRAIN.RANDOM_NUM_VIEWS
        counts = [self._limit] if alone else range(1, self._limit + 1)
        sizes = settings.CONST.BATCH_SIZE, settings.CONST.IMG_H, settings.CONST.N_VOX
        self._steps = {views: self._solver.step(views, *sizes, masked=mask_views)
                       for views in counts}
        self._losses, self._occupancies = {}, {}
        for views, step in self._steps.items():
            logits = net.build(step.images, view_mask=step.mask).logits
            self._occupancies[views], loss = layers.loss(logits, step.voxels)
            self._losses[views] = context.ranks.mean(loss)
        self._means = {views: context.ranks.mean(step.loss) for views, step in self._steps.items()}

    def _feed(self, batch):
        images, voxels = batch
        views, limit = len(images), self._limit
        step = self._steps[limit if self._masked else views]
        feed = {step.voxels: voxels}
        if self._masked:
            images = np.concatenate([images, np.zeros_like(images[:1]).repeat(limit - views, 0)])
            feed[step.mask] = np.arange(limit) < views
        feed[step.images] = data_augmentation.scaled(images)
        return step, feed, limit if self._masked else views

    def train(self, sess: tf.Session, batch: Tuple[np.ndarray, np.ndarray], rate: float) -> Any:
        """Makes one update; returns the loss before it.

        Args:
          sess: tf.Session; batch: (uint8 [V, B, S, S, 3], bool [B, N, N, N]); rate: float.
        """
        step, feed, views = self._feed(batch)
        feed[self._solver.rate] = rate
        return sess.run((self._means[views], step.update), feed)[0]

    def validate(self, sess: tf.Session,
                 batches: Iterable[Tuple[np.ndarray, np.ndarray]]) -> float:
        """Returns the mean loss over batches such as `train` takes, without an update."""
        losses = []
        for batch in batches:
            _, feed, views = self._feed(batch)
            losses.append(sess.run(self._losses[views], feed))
        return float(np.mean(losses))


    def reconstruct(self, sess: tf.Session, batch: Tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Returns the occupancies [B, N, N, N] after the last view of a batch."""
        _, feed, views = self._feed(batch)
        return sess.run(self._occupancies[views], feed)


def largest(sess: tf.Session, net: net_lib.Net) -> Dict[str, float]:
    """Returns {name: largest absolute value} of the parameters."""
    values = sess.run({name: tf.reduce_max(tf.abs(variable))
                       for name, variable in net.params.items()})
    return {name: float(value) for name, value in values.items()}


def _loaders(settings, data, options, context):
    """(function that makes training batches, function that makes validation batches, summary).

    Args:
      settings: config.Config; CONST.BATCH_SIZE is the rows of this process.
      options: `batch_size` is the rows of all processes.
    """
    data_io.refuse_held_out(data)
    pairs = data_io.pairs(data, settings.TRAIN.DATASET_PORTION)
    test_pairs = data_io.pairs(data, settings.TEST.DATASET_PORTION)
    batch, seed, ranks = options.batch_size, context.seed, context.ranks
    if len(pairs) < batch:
        raise errors.InputError('{}: {} models for training are fewer than a batch of {}; give a '
                                'smaller --batch_size.'.format(data.query_path, len(pairs), batch))
    backgrounds = None
    if settings.TRAIN.RANDOM_BACKGROUND:
        folder = settings.TRAIN.VOC_PATH
        backgrounds = [os.path.join(folder, 'JPEGImages', name + '.jpg')
                       for name in data_augmentation.voc_backgrounds(folder)]
    loader = data_process.Loader(settings, data, pairs, True, backgrounds)
    tester = data_process.Loader(settings, data, test_pairs, False)
    order = data_process.training_order(len(pairs), batch, seed)
    test_order = data_process.training_order(len(test_pairs), batch, seed + _VALIDATION_SEED)

    training_batch = functools.partial(data_process.training_batch, loader, order, seed,
                                       ranks=ranks)
    validation_batch = functools.partial(data_process.training_batch, tester, test_order,
                                         seed + _VALIDATION_SEED, ranks=ranks)
    summary = '{} and {} models of {} categories'.format(len(pairs), len(test_pairs),
                                                         len(data.names))
    return training_batch, validation_batch, summary


def _run_steps(options, context, data):
    """Trains to step TRAIN.NUM_ITERATION; returns the runs.Run."""
    runs.set_seeds(context.seed)
    settings = config_lib.replaced(
        options.settings, CONST={'BATCH_SIZE': context.ranks.per_rank(options.batch_size)})
    training_batch, validation_batch, summary = _loaders(settings, data, options, context)
    net = networks.build(settings, options.plain, context.seed, not context.is_emulated)
    trainer = Trainer(net, settings, options.mask_views, context)
    total, train_settings = settings.TRAIN.NUM_ITERATION, settings.TRAIN
    options, init = _initial_weights(options, net)
    name = '3D-R2N2 {}; {}'.format(type(net).paper_name, summary)
    with workers_lib.Workers(training_batch, train_settings.NUM_WORKER,
                             train_settings.QUEUE_SIZE) as workers, \
            runs.start(options, context, init=init, summary=name) as run:
        if run.start_step < total:
            workers.begin(run.start_step)
        for step in run.steps(total):
            loss = trainer.train(run.sess, workers.get(), rate_at(train_settings, step))
            run.report(step, loss=loss)
            if loss > train_settings.LOSS_LIMIT:
                raise errors.NonFiniteLossError(
                    'loss {:.3g} at step {} exceeds TRAIN.LOSS_LIMIT {}; what was saved before '
                    'is in {}. Try a lower --learning_rate.'.format(
                        float(loss), step, train_settings.LOSS_LIMIT, run.checkpoints))
            with run.paused():
                _after_step(run, net, trainer, validation_batch, step, settings)
        workers.close()
        run.say_waiting(workers.waited)
        if net.batch_norm:
            cli.say("no weights.npy: the original's list has no place for NET.BATCH_NORM")
        else:
            run.results.once('weights.npy', run.step, lambda: _export(run, net))
        return run


def _initial_weights(options: cli.Options, net: net_lib.Net
                     ) -> Tuple[cli.Options, Optional[Callable[[tf.Session], None]]]:
    """(options without a checkpoint that is a .npy file, function that loads that file, or None).

    `runs.start` restores the other checkpoints itself.
    """
    path = options.checkpoint
    if not options_lib.is_npy(path):
        return options, None
    return options.replace(checkpoint=''), lambda sess: weights.load(sess, net, path)


def _after_step(run, net, trainer, validation_batch, step, settings):
    """Validates, shows a model, and looks for NaN, where the settings say so."""
    train_settings = settings.TRAIN
    count = train_settings.NUM_VALIDATION_ITERATIONS
    if run.due(step, train_settings.VALIDATION_FREQ) and count:
        loss = trainer.validate(run.sess, map(validation_batch, range(count)))
        run.record(step, validation_loss=loss)
        run.save_best(step, loss)
        if trainer.is_chief:
            _show(run, trainer, validation_batch(0), step, max(settings.TEST.VOXEL_THRESH))
    if run.due(step, train_settings.NAN_CHECK_FREQ):
        for name, value in largest(run.sess, net).items():
            if not np.isfinite(value):
                raise errors.NonFiniteLossError(
                    'parameter {} is {} at step {}; what was saved before is in {}.'.format(
                        name, value, step, run.checkpoints))


def _show(run, trainer, batch, step, threshold):
    """Draws the first model of a batch, as it is and as it comes out, for TensorBoard too."""
    images, voxels = batch
    grid = trainer.reconstruct(run.sess, batch)[0]
    path = os.path.join(run.samples, 'validation-{:06d}.png'.format(step))
    evaluation.draw(path, [(images[-1:, 0], voxels[0], [grid])], threshold)
    run.show(step, 'reconstruction', path, voxel_grids.surface(grid, threshold))


def _export(run, net):
    """Leaves the weights in the original's format too, and a line of which step they are."""
    paths = [os.path.join(run.checkpoints, 'weights' + ending) for ending in ('.npy', '.txt')]
    weights.save(run.sess, net, paths[0])
    files.write_text(paths[1], 'weights.npy is of step {}\n'.format(run.step))
    cli.say("weights in the original's format: {}".format(paths[0]))
    return paths

"""Trains a network; one graph for each number of views, or one with a mask over the views."""
import copy
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, errors, files
from common.training import runs
from common.training import workers as workers_lib
from r2n2.lib import data_augmentation, data_io, data_process, layers, setup, solver, weights

_VALIDATION_SEED = 7919     # so that validation draws other views than training


def rate_at(train, step):
    """Learning rate of a step.

    Args:
      train: section TRAIN of the settings.
      step: int, from 1 (the original counts from 0: its rates change after a step's number).
    """
    passed = [int(key) for key in train.LEARNING_RATES if step - 1 > int(key)]
    return train.LEARNING_RATES[str(max(passed))] if passed else train.DEFAULT_LEARNING_RATE


class Trainer:
    """The graphs of training and validation.

    Args:
      net: models.net.Net.
      found: settings.
      config: namespace of options.
    """

    def __init__(self, net, found, config):
        self._found, self._net = found, net
        self._solver = solver.Solver(net, found.TRAIN.POLICY, found.TRAIN.WEIGHT_DECAY,
                                     found.TRAIN.MOMENTUM, config)
        limit = found.CONST.N_VIEWS
        self._masked = config.mask_views
        alone = self._masked or not found.TRAIN.RANDOM_NUM_VIEWS
        counts = [limit] if alone else range(1, limit + 1)
        sizes = found.CONST.BATCH_SIZE, found.CONST.IMG_H, found.CONST.N_VOX
        self._steps = {views: self._solver.step(views, *sizes, masked=self._masked)
                       for views in counts}
        self._losses = {}
        for views, step in self._steps.items():
            logits = net.build(step.images, view_mask=step.mask).logits
            self._losses[views] = device.allreduce_mean(layers.loss(logits, step.voxels)[1])
        self._means = {views: device.allreduce_mean(step.loss)
                       for views, step in self._steps.items()}

    def _feed(self, batch):
        images, voxels = batch
        views, limit = len(images), self._found.CONST.N_VIEWS
        step = self._steps[limit if self._masked else views]
        feed = {step.voxels: voxels}
        if self._masked:
            images = np.concatenate([images, np.zeros_like(images[:1]).repeat(limit - views, 0)])
            feed[step.mask] = np.arange(limit) < views
        feed[step.images] = data_augmentation.scaled(images)
        return step, feed, limit if self._masked else views

    def train(self, sess, batch, rate):
        """One update; returns the loss before it."""
        step, feed, views = self._feed(batch)
        feed[self._solver.rate] = rate
        return sess.run((self._means[views], step.update), feed)[0]

    def validate(self, sess, batches):
        """Mean loss over batches, without an update."""
        losses = []
        for batch in batches:
            _, feed, views = self._feed(batch)
            losses.append(sess.run(self._losses[views], feed))
        return float(np.mean(losses))


def largest(sess, net):
    """{name: largest absolute value} of the parameters."""
    values = sess.run({name: tf.reduce_max(tf.abs(variable))
                       for name, variable in net.params.items()})
    return {name: float(value) for name, value in values.items()}


def _loaders(found, data, config, batch):
    """(function that makes training batches, function that makes validation batches, summary).

    batch: int, rows of a batch of all processes; `found` has those of this one.
    """
    pairs = data_io.pairs(data, found.TRAIN.DATASET_PORTION)
    held_out = data_io.pairs(data, found.TEST.DATASET_PORTION)
    seed = config.seed
    if len(pairs) < batch:
        raise errors.InputError('{}: {} models for training are fewer than a batch of {}; give a '
                                'smaller --batch_size.'.format(data.query_path, len(pairs), batch))
    voc = None
    if found.TRAIN.RANDOM_BACKGROUND:
        names = data_augmentation.voc_backgrounds(found.TRAIN.VOC_PATH)
        voc = [os.path.join(found.TRAIN.VOC_PATH, 'JPEGImages', name + '.jpg') for name in names]
    loader = data_process.Loader(found, data, pairs, True, voc)
    tester = data_process.Loader(found, data, held_out, False)
    order = data_process.training_order(len(pairs), batch, seed)
    test_order = data_process.training_order(len(held_out), batch, seed + _VALIDATION_SEED)

    def make(number):
        return data_process.training_batch(loader, order, seed, number)

    def validation(number):
        return data_process.training_batch(tester, test_order, seed + _VALIDATION_SEED, number)

    summary = '{} and {} models of {} categories'.format(len(pairs), len(held_out),
                                                         len(data.names))
    return make, validation, summary


def train(found, data, config):
    """Trains to step TRAIN.NUM_ITERATION.

    Args:
      found: settings; data: data_io.Set; config: namespace of options.
    Returns:
      int, the last step.
    Raises:
      errors.NonFiniteLossError: a loss or a parameter is NaN, or the loss exceeds the limit.
    """
    runs.set_seeds(config.seed)
    config.settings, config.batch_size = copy.deepcopy(found), found.CONST.BATCH_SIZE
    found.CONST.BATCH_SIZE = device.per_rank(config.batch_size)
    make, validation, summary = _loaders(found, data, config, config.batch_size)
    net = setup.make_net(found, config.plain, config.seed)
    trainer = Trainer(net, found, config)
    total, options = found.TRAIN.NUM_ITERATION, found.TRAIN
    init = None
    if config.checkpoint and setup.is_npy(config.checkpoint):
        path, config.checkpoint = config.checkpoint, ''
        init = lambda sess: weights.load(sess, net, path)  # noqa: E731
    name = '3D-R2N2 {}; {}'.format(type(net).paper_name, summary)
    with workers_lib.Workers(make, options.NUM_WORKER, options.QUEUE_SIZE) as workers, \
            runs.start(config, init=init, summary=name) as run:
        if run.start_step < total:
            workers.begin(run.start_step)
        for step in run.steps(total):
            loss = trainer.train(run.sess, workers.get(), rate_at(options, step))
            run.report(step, loss=loss)
            if loss > options.LOSS_LIMIT:
                raise errors.NonFiniteLossError(
                    'loss {:.3g} at step {} exceeds TRAIN.LOSS_LIMIT {}; what was saved before '
                    'is in {}. Try a lower --learning_rate.'.format(
                        float(loss), step, options.LOSS_LIMIT, run.checkpoints))
            with run.paused():
                _after_step(run, net, trainer, validation, step, options)
        workers.close()
        run.say_waiting(workers.waited)
        _export(run, net)
        return run.step


def _after_step(run, net, trainer, validation, step, options):
    if run.due(step, options.VALIDATION_FREQ) and options.NUM_VALIDATION_ITERATIONS:
        loss = trainer.validate(run.sess, map(validation, range(options.NUM_VALIDATION_ITERATIONS)))
        run.record(step, validation_loss=loss)
        run.save_best(step, loss)
    if run.due(step, options.NAN_CHECK_FREQ):
        for name, value in largest(run.sess, net).items():
            if not np.isfinite(value):
                raise errors.NonFiniteLossError(
                    'parameter {} is {} at step {}; what was saved before is in {}.'.format(
                        name, value, step, run.checkpoints))


def _export(run, net):
    """Leaves the weights in the original's format too, where it has a place for them."""
    path = os.path.join(run.checkpoints, 'weights.npy')
    if not device.is_chief():
        return
    if net.batch_norm:
        cli.say("no weights.npy: the original's list has no place for NET.BATCH_NORM")
        return
    if run.step > run.start_step or not os.path.exists(path):
        weights.save(run.sess, net, path)
        files.write_text(os.path.join(run.checkpoints, 'weights.txt'),
                         'weights.npy is of step {}\n'.format(run.step))
        cli.say("weights in the original's format: {}".format(path))


def mask_views(config):
    """Whether a single graph with a mask is used: on the NPU, or because it is asked for."""
    return bool(config.mask_views) or device.choose(config.device) == 'npu'

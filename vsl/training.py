"""Trains a network of shapes; what the training of a network of images shares with it."""
import os
import time
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.geometry import plots
from common.training import checkpoints, launch, records, runs
from vsl import data_utils, draw, evaluation, inference, measures, networks, vsl

_AXES = {'none': (), 'x': (0,), 'y': (1,), 'xy': (0, 1)}


def train(options: cli.Options, context: launch.Context) -> None:
    """Trains a network of shapes, then runs the other stages of vsl_main.py.

    Args:
      options: settled options of vsl_main.py; context: launch.Context.
    """
    runs.set_seeds(context.seed)
    data, options = evaluation.open_set(options)
    step_tensor = tf.placeholder(tf.int32, [], name='step')
    model, feeds = networks.for_training(options, context, step_tensor)
    epochs = Epochs(data.train, options, context)
    losses = mean_losses(model, context)
    with runs.start(options, context,
                    summary='VSL ({}); {}'.format(options.preset, data)) as run:
        model.sess = run.sess
        for step in run.steps(options.training_steps):
            epoch, voxels, _ = epochs.at(step)
            values, _ = run.sess.run((losses, model.optimizer),
                                     {feeds['x']: voxels, step_tensor: step})
            run.report(step, **values)
            means = epochs.average(run, step, values)
            with run.paused():
                if means is not None and context.ranks.is_chief:
                    _end_epoch(run, model, data, step, epoch, means, voxels, options)
        finish(run, model, epochs, lambda epoch: '{}-{:04d}'.format(options.preset, epoch))
        if context.ranks.is_chief:
            orders = epochs.order.to_classify(epochs.begun(run.step), len(data.test.labels))
            evaluation.run_shape_stages(model, data, orders, options, context, run)


def _end_epoch(run, model, data, step, epoch, means, voxels, options):
    """Prints the losses of an epoch; now and then draws reconstructions and measures accuracy."""
    cli.say('Epoch: {:04d} | kl-loss: {:.4f} + rec-loss: {:.4f} = total-loss: {:.4f}'.format(
        epoch, means['loss_kl'], means['loss_rec'], means['loss']))
    run.state['last_epoch'], run.state['last_total'] = epoch, means['loss']
    if options.print_step and (epoch + 1) % options.print_step == 0:
        flat = voxels.reshape(len(voxels), -1)[:5]
        decoded = inference.decode(model, inference.codes(model, flat))
        draw.shapes(os.path.join(run.samples, 'rec-{:04d}'.format(epoch)),
                    np.concatenate([flat, decoded]),
                    ['input'] * len(flat) + ['decoded'] * len(flat), len(flat), options.renderer,
                    options.up)
        run.show(step, 'reconstructions', os.path.join(run.samples, 'rec-{:04d}.png'.format(epoch)),
                 draw.drawable(decoded[0].reshape(3 * [data_utils.GRID])))
    if options.eval_every and (epoch + 1) % options.eval_every == 0:
        splits = {'train': data.train, 'test': data.test}
        codes = {name: inference.codes(model, split.voxels) for name, split in splits.items()}
        scores = {'test_iou': inference.iou(model, codes['test'], data.test.voxels).mean()}
        if not evaluation.has_one_class(data.train.labels):
            classifier = measures.fit_svm(codes['train'], data.train.labels)
            for name, split in splits.items():
                scores[name + '_accuracy'] = measures.accuracy(classifier, codes[name],
                                                               split.labels)
        run.record(step, **scores)


class Epochs:
    """Batches by step (this process's part of them), and the mean losses of each epoch.

    Args:
      split: data_utils.Split to train on.
      options: settled options; context: launch.Context.
      permute: bool, see data_utils.Order.

    Attributes:
      order: data_utils.Order.
      seconds: float, spent on making batches.
    """

    def __init__(self, split: data_utils.Split, options: cli.Options, context: launch.Context,
                 permute: bool = False):
        self._split, self._options, self._context = split, options, context
        self._steps_per_epoch = len(split.labels) // options.batch_size
        self.order = data_utils.Order(len(split.labels), context.seed, permute)
        self.seconds = 0.

    def at(self, step: int) -> Tuple[int, np.ndarray, Optional[np.ndarray]]:
        """Returns the batch of a step.

        Args:
          step: int, from 1.
        Returns:
          (epoch from 0, voxels uint8 [B, 30, 30, 30, 1], images [B, 100, 100, 3] or None).
        """
        began = time.perf_counter()
        options, size = self._options, self._options.batch_size
        epoch, number = divmod(step - 1, self._steps_per_epoch)
        rows = self._context.ranks.shard(
            self.order.at(epoch)[number * size:(number + 1) * size])
        voxels = self._split.voxels[rows]
        if options.augment_shift or options.augment_mirror != 'none':
            voxels = data_utils.augmented(voxels, self._context.seed, epoch, rows,
                                          options.augment_shift, _AXES[options.augment_mirror])
        images = None if self._split.images is None else self._split.images[rows]
        self.seconds += time.perf_counter() - began
        return epoch, data_utils.grids(voxels), images

    def begun(self, steps: int) -> int:
        """Returns how many epochs a training of so many steps has begun."""
        return -(-steps // self._steps_per_epoch)

    def average(self, run: runs.Run, step: int, losses: Dict[str, float]
                ) -> Optional[Dict[str, float]]:
        """Adds the losses of a step to those of its epoch, which are part of `run.state`.

        Args:
          run: runs.Run; step: int; losses: dict {name: float}.
        Returns:
          dict {name: float32 mean} at the last step of an epoch, else None.
        """
        sums = run.state.setdefault('epoch_sums', {})
        for name, value in losses.items():
            # As the original: a float32 sum of value / number of batches.
            sums[name] = float(np.float32(sums.get(name, 0.)
                                          + np.float32(value) / self._steps_per_epoch))
        if step % self._steps_per_epoch:
            return None
        run.state['epoch_sums'] = {}
        return sums


def mean_losses(model: vsl.VarShapeLearner, context: launch.Context, **more: tf.Tensor
                ) -> Dict[str, tf.Tensor]:
    """Returns the loss and its terms (`more`: further ones), scalars, averaged over the processes.

    Args:
      model: VarShapeLearner; context: launch.Context.
    """
    losses = {'loss': model.loss, 'loss_kl': tf.reduce_mean(model.kl_loss_all),
              'loss_rec': tf.reduce_mean(model.rec_loss), **more}
    return {name: context.ranks.mean(value) for name, value in losses.items()}


def finish(run: runs.Run, model: vsl.VarShapeLearner, epochs: Epochs,
           stem: Callable[[int], str]) -> None:
    """Ends a training: draws its curves, saves it, and saves it under the original's name.

    Args:
      run: runs.Run; model: VarShapeLearner; epochs: Epochs.
      stem: function (last epoch) -> the original's name up to the cost.
    """
    run.say_waiting(epochs.seconds)
    run.results.once('curves', run.step, lambda: draw_curves(run))
    run.save(run.step)
    if 'last_total' in run.state:
        name = '{}-cost-{:.4f}.ckpt'.format(stem(run.state['last_epoch']),
                                            run.state['last_total'])
        run.results.once('original checkpoint', run.step,
                         lambda: save_as_original(run, model, name))


def save_as_original(run: runs.Run, model: vsl.VarShapeLearner, name: str) -> List[str]:
    """Saves variables and moments under a name of the original's kind, beside the run's own.

    Args:
      run: runs.Run; model: VarShapeLearner.
      name: str, such as modelnet40-0499-cost-0.0076.ckpt; an earlier one of this kind is removed.
    Returns:
      its files.
    """
    prefix = os.path.join(run.checkpoints, name)
    checkpoints.remove_temporary(run.checkpoints, r'.+-cost-.+\.ckpt')
    names = set(model.params) | {'beta1_power', 'beta2_power'}
    variables = [variable for variable in tf.global_variables()
                 if variable.op.name.split('/')[0] in names]
    tf.train.Saver(variables).save(run.sess, prefix, write_meta_graph=False, write_state=False)
    for other in os.listdir(run.checkpoints):
        if '-cost-' in other and other.endswith('.ckpt.index') and other != name + '.index':
            checkpoints.remove(os.path.join(run.checkpoints, other[:-len('.index')]))
    return checkpoints.files_of(prefix)


def draw_curves(run: runs.Run) -> List[str]:
    """Draws the rows of metrics.jsonl over the steps, those of earlier runs too, into eval/.

    Args:
      run: runs.Run; `eval/losses.png` is written and, where there are measurements,
        `eval/measures.png`.
    Returns:
      the pictures.
    """
    paths = []
    rows = records.read_metrics(os.path.join(run.output_path, 'metrics.jsonl'))
    for name, is_chosen in (('losses', lambda key: key in ('loss', 'loss_rec')),
                            ('measures', lambda key: key.endswith(('_iou', '_accuracy')))):
        series: Dict[str, Tuple[List[int], List[float]]] = {}
        for row in rows:
            for key in filter(is_chosen, sorted(row)):
                steps, values = series.setdefault(key, ([], []))
                steps.append(row['step'])
                values.append(row[key])
        if series:
            paths.append(os.path.join(run.eval_dir, name + '.png'))
            plots.curves(paths[-1], series)
    return paths

"""What the training loops of vsl_main.py and vsl_imrec.py share: epochs, batches, averages."""
import os
import time

import numpy as np
import tensorflow.compat.v1 as tf

from common import device
from common.geometry import plots
from common.training import checkpoints, reporting
from vsl import data_utils

_AXES = {'none': (), 'x': (0,), 'y': (1,), 'xy': (0, 1)}


class Epochs:
    """Batches by step (this process's part of them), and the averages of each epoch.

    Args:
      split: data_utils.Split to train on.
      config: completed namespace.
      steps_per_epoch: int.
      permute: bool, see data_utils.Order.
      seed: int, of the order; None: that of `config`.
    """

    def __init__(self, split, config, steps_per_epoch, permute=False, seed=None):
        self._split, self._config = split, config
        self.steps_per_epoch = steps_per_epoch
        self._order = data_utils.Order(
            len(split.labels), config.seed if seed is None else seed, permute)
        self.seconds = 0.   # spent on making batches

    def at(self, step):
        """The batch of a step.

        Args:
          step: int, from 1.
        Returns:
          (epoch from 0, voxels uint8 [B, 30, 30, 30, 1], images [B, 100, 100, 3] or None).
        """
        began = time.perf_counter()
        config, size = self._config, self._config.batch_size
        epoch, number = divmod(step - 1, self.steps_per_epoch)
        rows = device.shard(self._order.at(epoch)[number * size:(number + 1) * size])
        voxels = self._split.voxels[rows]
        if config.augment_shift or config.augment_mirror != 'none':
            voxels = data_utils.augmented(voxels, config.seed, epoch, rows, config.augment_shift,
                                          _AXES[config.augment_mirror])
        images = None if self._split.images is None else self._split.images[rows]
        self.seconds += time.perf_counter() - began
        return epoch, data_utils.grids(voxels), images

    def begun(self, steps):
        """Epochs that a training of so many steps has begun."""
        return -(-steps // self.steps_per_epoch)

    def last_order(self, epochs):
        """Rows of the training split in the order of the last of `epochs` epochs, int [N]."""
        return self._order.at(max(0, epochs - 1))

    def orders_to_classify(self, epochs, num_test):
        """Rows in the order in which the original classifies after training.

        Args:
          epochs: int, begun in the training; num_test: int, test shapes.
        Returns:
          dict {'train', 'test': int [N]}: one more shuffle of the training split, then one of the
          test split, by the same generator.
        """
        return {'train': self._order.at(epochs),
                'test': self._order.shuffled(np.arange(num_test))}

    def average(self, run, step, values):
        """Adds the losses of a step to those of its epoch, kept in `run.state`.

        Args:
          run: runs.Run; step: int; values: dict {name: float}.
        Returns:
          dict of float32 averages at the last step of an epoch, else None.
        """
        sums = run.state.setdefault('epoch_sums', {})
        for name, value in values.items():
            # As the original: a float32 sum of value / number of batches.
            sums[name] = float(np.float32(sums.get(name, 0.)
                                          + np.float32(value) / self.steps_per_epoch))
        if step % self.steps_per_epoch:
            return None
        run.state['epoch_sums'] = {}
        return sums


def save_as_original(run, model, name):
    """Saves variables and moments under a name of the original's kind, beside the run's own.

    Args:
      run: runs.Run; model: VarShapeLearner.
      name: str, such as modelnet40-0499-cost-0.0076.ckpt; an earlier one of this kind goes.
    Returns:
      str, the prefix.
    """
    prefix = os.path.join(run.checkpoints, name)
    if not device.is_chief():
        return prefix
    for other in os.listdir(run.checkpoints):
        if '-cost-' in other and other.endswith('.ckpt.index') and other != name + '.index':
            checkpoints.remove(os.path.join(run.checkpoints, other[:-len('.index')]))
    variables = [variable for variable in tf.global_variables()
                 if variable.op.name.split('/')[0] in set(model.params) | {'beta1_power',
                                                                           'beta2_power'}]
    tf.train.Saver(variables).save(run.sess, prefix, write_meta_graph=False, write_state=False)
    return prefix


def draw_curves(run):
    """Draws what metrics.jsonl holds over the steps, those of earlier runs too, into eval/.

    Args:
      run: runs.Run; `eval/losses.png` is written and, where there are measurements,
        `eval/measures.png`. Only the process of rank 0 has the figures.
    """
    if not device.is_chief():
        return
    rows = reporting.read_metrics(os.path.join(run.output_path, 'metrics.jsonl'))
    for name, is_chosen in (('losses', lambda key: key in ('loss', 'loss_rec')),
                            ('measures', lambda key: key.endswith(('_iou', '_accuracy')))):
        series = {}
        for row in rows:
            for key in filter(is_chosen, sorted(row)):
                steps, values = series.setdefault(key, ([], []))
                steps.append(row['step'])
                values.append(row[key])
        if series:
            plots.curves(os.path.join(run.eval_dir, name + '.png'), series)

"""Parameters, normalisation and dense layers that the networks of CMR are made of.

Names are those of the original's state dicts. Matrices keep its layout [out, in]; kernels of
convolutions are [h, w, in, out] here and [out, in, h, w] there.
"""
import collections
import math

import tensorflow.compat.v1 as tf

from common import device

BATCH_NORM_EPSILON = 1e-5
_MOMENTUM = 0.9         # of the running statistics; 1 - 0.1, PyTorch's momentum


class Parameters:
    """Makes variables by name once and keeps them in the order in which they were first made.

    Args:
      is_training: bool or None, batch statistics in normalisation; `updates` collects what moves
        the running ones.
      prefix: str, before every name.
      sync: bool, statistics of all processes together, not of each.
      plain: bool, layers compute as the original does; else what is the same for all nodes or all
        pictures once, and in other orders that are faster.
    """

    def __init__(self, is_training=False, prefix='', store=None, sync=False, plain=False):
        self.is_training, self.plain, self._sync = is_training, plain, sync
        self.variables = collections.OrderedDict() if store is None else store.variables
        self.updates = [] if store is None else store.updates
        self._prefix = prefix

    def scope(self, name):
        """The same store, with `name` and a dot before every name."""
        return Parameters(self.is_training, self._prefix + name + '.', self, self._sync,
                          self.plain)

    def get(self, name, shape, initializer, trainable=True):
        """A variable; an existing one is found again by its name."""
        name = self._prefix + name
        if name not in self.variables:
            self.variables[name] = tf.get_variable(name, shape, tf.float32, initializer,
                                                   trainable=trainable)
        return self.variables[name]

    def batch_norm(self, x, name):
        """Batch normalisation over all axes but the last; the running variance is the unbiased one.

        Args:
          x: [B, H, W, C] or [B, C].
        """
        make, channels = self.scope(name), x.shape[-1].value
        scale = make.get('weight', [channels], tf.ones_initializer())
        shift = make.get('bias', [channels], tf.zeros_initializer())
        mean = make.get('running_mean', [channels], tf.zeros_initializer(), False)
        variance = make.get('running_var', [channels], tf.ones_initializer(), False)
        flat = x.shape.ndims == 2
        if flat:
            x = tf.reshape(x, [x.shape[0].value, 1, 1, channels])
        if self.is_training:
            norm = _over_processes if self._sync and device.size() > 1 else tf.nn.fused_batch_norm
            x, batch_mean, batch_variance = norm(x, scale, shift, epsilon=BATCH_NORM_EPSILON,
                                                 is_training=True)
            for old, new in ((mean, batch_mean), (variance, batch_variance)):
                self.updates.append(tf.assign_sub(old, (1 - _MOMENTUM) * (old - new)))
        else:
            # The kernel of tf.nn.fused_batch_norm; all outputs of this version have known sizes.
            x = tf.raw_ops.FusedBatchNormV2(x=x, scale=scale, offset=shift, mean=mean,
                                            variance=variance, epsilon=BATCH_NORM_EPSILON,
                                            is_training=False).y
        return tf.reshape(x, [x.shape[0].value, channels]) if flat else x

    def linear(self, x, name, outputs):
        """PyTorch's Linear layer of [B, n]."""
        weight, bias = self.linear_parameters(name, x.shape[-1].value, outputs)
        return tf.matmul(x, weight, transpose_b=True) + bias

    def linear_parameters(self, name, inputs, outputs):
        """Its weight [out, in] and bias."""
        make, limit = self.scope(name), 1 / math.sqrt(inputs)
        draw = tf.random_uniform_initializer(-limit, limit)
        return make.get('weight', [outputs, inputs], draw), make.get('bias', [outputs], draw)


def _over_processes(x, scale, shift, epsilon, is_training):
    """As tf.nn.fused_batch_norm, with the statistics of all processes."""
    del is_training
    count = x.shape.num_elements() // x.shape[-1].value * device.size()
    axes = list(range(x.shape.ndims - 1))
    both = device.allreduce_mean(tf.stack([tf.reduce_mean(x, axes),
                                           tf.reduce_mean(tf.square(x), axes)]))
    mean, variance = both[0], tf.maximum(both[1] - tf.square(both[0]), 0.)
    y = tf.nn.batch_normalization(x, mean, variance, shift, scale, epsilon)
    return y, mean, variance * (count / max(1, count - 1))


def fc_block(x, make, outputs):
    """Linear, batch normalisation, rectifier."""
    make = make.scope('fc_block')
    return tf.nn.relu(make.batch_norm(make.linear(x, '0', outputs), '1'))


def fc_res_block(x, make):
    """Two of them with a shortcut; the second rectifier comes behind the sum."""
    inner, size = make.scope('fc_block'), x.shape[-1].value
    y = tf.nn.relu(inner.batch_norm(inner.linear(x, '0', size), '1'))
    return tf.nn.relu(x + inner.batch_norm(inner.linear(y, '3', size), '4'))

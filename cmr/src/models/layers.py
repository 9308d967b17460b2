"""Parameters, normalisation and dense layers that the networks of CMR are made of.

Names are those of the original's state dicts. Matrices keep its layout [out, in]; kernels of
convolutions are [h, w, in, out] here and [out, in, h, w] there.
"""
import math
from typing import Optional, Tuple

import tensorflow.compat.v1 as tf

from common.device import ranks as ranks_lib
from common.ops import products, variable_store

BATCH_NORM_EPSILON = 1e-5
_MOMENTUM = 0.9         # of the running statistics; 1 - 0.1, PyTorch's momentum


class Parameters(variable_store.VariableStore):
    """The variables of CMR's layers, and the layers that keep some.

    Args:
      is_training: bool, batch statistics in normalisation; `updates` collects what moves the
        running ones.
      shared: None, or Parameters whose variables and updates these share.
      ranks: ranks.Ranks whose statistics are normalised by together; each alone by default.
      plain: bool, layers compute as the original does; else what is the same for all nodes or all
        pictures once, and in other orders that are faster.
      fast_gradients: bool, training in forms of convolutions and products that are fast on a CPU.
      pads_apart: bool, images are padded by an operation of its own with these too.
    """

    def __init__(self, is_training: bool = False, shared: Optional['Parameters'] = None,
                 ranks: ranks_lib.Ranks = ranks_lib.ALONE, plain: bool = False,
                 fast_gradients: bool = False, pads_apart: bool = False):
        super().__init__(shared)
        self.is_training, self.plain, self._ranks = is_training, plain, ranks
        self.fast_gradients, self.pads_apart = fast_gradients, pads_apart

    def batch_norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Normalises over all axes but the last (Ioffe, Szegedy 2015), as PyTorch does.

        The running variance is the unbiased one.

        Args:
          x: [B, H, W, C] or [B, C]; name: str.
        Returns:
          the same shape.
        """
        variables, channels = self.scope(name), x.shape[-1].value
        scale = variables.get('weight', [channels], tf.ones_initializer())
        shift = variables.get('bias', [channels], tf.zeros_initializer())
        mean = variables.get('running_mean', [channels], tf.zeros_initializer(), False)
        variance = variables.get('running_var', [channels], tf.ones_initializer(), False)
        flat = x.shape.ndims == 2
        if flat:
            x = tf.reshape(x, [x.shape[0].value, 1, 1, channels])
        if self.is_training:
            x, batch_mean, batch_variance = self._normalised(x, scale, shift)
            self.move(mean, batch_mean, _MOMENTUM)
            self.move(variance, batch_variance, _MOMENTUM)
        else:
            # The kernel of tf.nn.fused_batch_norm; all outputs of this version have known sizes.
            x = tf.raw_ops.FusedBatchNormV2(x=x, scale=scale, offset=shift, mean=mean,
                                            variance=variance, epsilon=BATCH_NORM_EPSILON,
                                            is_training=False).y
        return tf.reshape(x, [x.shape[0].value, channels]) if flat else x

    def _normalised(self, x, scale, shift):
        """(normalised x, mean, unbiased variance) by the statistics of a batch [B, H, W, C]."""
        if self._ranks.size == 1:
            return tf.nn.fused_batch_norm(x, scale, shift, epsilon=BATCH_NORM_EPSILON,
                                          is_training=True)
        count = x.shape.num_elements() // x.shape[-1].value * self._ranks.size
        axes = list(range(x.shape.ndims - 1))
        both = self._ranks.mean(tf.stack([tf.reduce_mean(x, axes),
                                          tf.reduce_mean(tf.square(x), axes)]))
        mean, variance = both[0], tf.maximum(both[1] - tf.square(both[0]), 0.)
        y = tf.nn.batch_normalization(x, mean, variance, shift, scale, BATCH_NORM_EPSILON)
        return y, mean, variance * (count / max(1, count - 1))

    def linear(self, x: tf.Tensor, name: str, outputs: int) -> tf.Tensor:
        """Applies PyTorch's Linear layer: [B, n] to [B, outputs]."""
        weight, bias = self.linear_parameters(name, x.shape[-1].value, outputs)
        if self.fast_gradients:
            return products.matmul(x, weight, transpose=True) + bias
        return tf.matmul(x, weight, transpose_b=True) + bias

    def linear_parameters(self, name: str, inputs: int,
                          outputs: int) -> Tuple[tf.Variable, tf.Variable]:
        """Returns weight [outputs, inputs] and bias [outputs] with PyTorch's initial values."""
        variables, limit = self.scope(name), 1 / math.sqrt(inputs)
        draw = tf.random_uniform_initializer(-limit, limit)
        return (variables.get('weight', [outputs, inputs], draw),
                variables.get('bias', [outputs], draw))


def fc_block(x: tf.Tensor, variables: Parameters, outputs: int) -> tf.Tensor:
    """Applies linear layer, batch normalisation, ReLU: [B, n] to [B, outputs]."""
    variables = variables.scope('fc_block')
    return tf.nn.relu(variables.batch_norm(variables.linear(x, '0', outputs), '1'))


def fc_res_block(x: tf.Tensor, variables: Parameters) -> tf.Tensor:
    """Applies a residual block of two linear layers [B, n] with batch normalisation and ReLU.

    The second ReLU comes after the sum with the shortcut.
    """
    inner, size = variables.scope('fc_block'), x.shape[-1].value
    y = tf.nn.relu(inner.batch_norm(inner.linear(x, '0', size), '1'))
    return tf.nn.relu(x + inner.batch_norm(inner.linear(y, '3', size), '4'))

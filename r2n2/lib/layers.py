"""Layers of 3D-R2N2 with the numbers of the Theano original, in TensorFlow's layouts.

Images are [B, H, W, C], volumes [B, D, H, W, C]. Theano flips kernels and TensorFlow does not, so
the kernels here are the original's flipped ones; `lib/weights.py` converts both ways.
"""
import math
from typing import Any, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from common.device import npu
from common.ops import image_conv, products, variable_store
from r2n2.lib import fast_conv

BIAS = 0.1              # initial value of every bias, in the original too
_LOWEST = -65504.       # of float16; no activation is below it

FILLERS = ('msra', 'gaussian', 'xavier', 'orth')


class Layers(variable_store.VariableStore):
    """The layers of a network over its parameters, which keep the original's order.

    Args:
      plain: bool, single operations as the NPU and the GPU want them; else forms that compute the
        same faster on a CPU.
      fused: bool, leaky ReLUs are one operation and unpooled zeros are skipped, unless plain; else
        only convolutions and products are in fast forms, and all is rounded in half precision that
        the original's operators round.
      slope: float, of the leaky ReLU below zero.
      seed: int, of the initial values of the parameters.
      recurrent_filler: str, out of FILLERS, for the kernels of the recurrence.
    """

    def __init__(self, plain: bool = False, slope: float = 0.01, seed: int = 0,
                 recurrent_filler: str = 'msra', fused: bool = True):
        super().__init__()
        self.plain = plain
        self.fused = fused and not plain
        self.slope = slope
        self.recurrent_filler = recurrent_filler
        self._seed = seed

    def parameter(self, name: str, shape: Sequence[int],
                  fans: Optional[Tuple[int, int]] = None, filler: str = 'msra') -> tf.Variable:
        """Returns a trained variable; see `variable_store.VariableStore.get`.

        Args:
          name: str, e.g. 'conv1a/W'; shape: ints.
          fans: (fan in, fan out) of a kernel; None for a bias.
          filler: str, out of FILLERS.
        """
        if fans is None:
            return self.get(name, shape, tf.constant_initializer(BIAS))
        seed = self._seed * 1009 + len(self.trainable)
        return self.get(name, shape, initializer(filler, fans, seed))

    def leaky(self, x: tf.Tensor) -> tf.Tensor:
        """Applies the leaky ReLU to a tensor of any shape, as the original computes it."""
        if self.fused:
            return tf.nn.leaky_relu(x, self.slope)
        return 0.5 * (1 + self.slope) * x + 0.5 * (1 - self.slope) * tf.abs(x)

    def conv(self, name: str, x: tf.Tensor, filters: int, size: int) -> tf.Tensor:
        """Convolves images or volumes, padded with zeros so that the size stays.

        Args:
          name: str.
          x: [B, H, W, C] or [B, D, H, W, C].
          filters: int, N.
          size: int, side of the kernel.
        Returns:
          [B, H, W, N] or [B, D, H, W, N].
        """
        kernel = self._kernel(name, x, filters, size)
        if self.plain:
            plain_conv = tf.nn.conv2d if x.shape.ndims == 4 else tf.nn.conv3d
            y = plain_conv(x, kernel, [1] * x.shape.ndims, 'SAME')
        elif x.shape.ndims == 4:
            y = image_conv.conv2d(x, kernel)
        else:
            y = fast_conv.conv3d_same(x, kernel)
        return y + self._bias(name, filters)

    def unpooled_conv(self, name: str, x: tf.Tensor, filters: int, size: int = 3) -> tf.Tensor:
        """Applies `conv` to `unpool` of a volume, without the multiplications by zeros on a CPU.

        Args:
          x: [B, D, D, D, C]; filters: int, N; size: int, side of the kernel.
        Returns:
          [B, 2 D, 2 D, 2 D, N].
        """
        if self.plain or size == 1 and not self.fused:
            return self.conv(name, unpool(x), filters, size)
        kernel = self._kernel(name, x, filters, size)
        if not self.fused:
            y = fast_conv.conv3d_unpooled(unpool(x), kernel)
        elif size == 1:
            y = unpool(fast_conv.conv3d_same(x, kernel))
        else:
            y = fast_conv.conv3d_spread(x, kernel)
        return y + self._bias(name, filters)

    def dense(self, name: str, x: tf.Tensor, outputs: int) -> tf.Tensor:
        """Maps [B, n] to [B, outputs] by a matrix and a bias."""
        inputs = x.shape[1].value
        kernel = self.parameter(name + '/W', [inputs, outputs], (inputs, outputs))
        return self.product(x, kernel) + self._bias(name, outputs)

    def product(self, x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
        """Multiplies rows [B, n] by a matrix [n, m]; gives [B, m]."""
        return (tf.matmul if self.plain else products.matmul)(x, matrix)

    def _kernel(self, name, x, filters, size):
        channels, axes = x.shape[-1].value, x.shape.ndims - 2
        return self.parameter(name + '/W', [size] * axes + [channels, filters],
                              (size ** axes * channels, size ** axes * filters))

    def _bias(self, name, filters):
        return self.parameter(name + '/b', [filters])


def initializer(filler: str, fans: Tuple[int, int], seed: int) -> Any:
    """Returns what draws a kernel's initial values.

    Args:
      filler: 'msra' (normal; everything in the released code), 'gaussian' (standard deviation
        0.01), 'xavier' (uniform) or 'orth' (orthogonal, which the paper names for the recurrence).
      fans: (fan in, fan out).
      seed: int.
    Returns:
      TensorFlow initializer.
    """
    mean_fan = sum(fans) / 2
    if filler == 'gaussian':
        return tf.random_normal_initializer(stddev=0.01, seed=seed)
    if filler == 'xavier':
        limit = math.sqrt(3 / mean_fan)
        return tf.random_uniform_initializer(-limit, limit, seed=seed)
    if filler == 'orth':
        return tf.orthogonal_initializer(seed=seed)
    return tf.random_normal_initializer(stddev=math.sqrt(2 / mean_fan), seed=seed)


def pool(x: tf.Tensor) -> tf.Tensor:
    """Pools maxima of 2 x 2 at stride 2, padded with the lowest value: n becomes n // 2 + 1.

    Args:
      x: [B, H, W, C].
    Returns:
      [B, H // 2 + 1, W // 2 + 1, C].
    """
    borders = [[1, 1 - side % 2] for side in x.shape.as_list()[1:3]]
    padded = tf.pad(x, [[0, 0]] + borders + [[0, 0]], constant_values=_LOWEST)
    return tf.nn.max_pool2d(padded, 2, 2, 'VALID')


def unpool(x: tf.Tensor) -> tf.Tensor:
    """Doubles the sides of a volume: values at even places, zeros between.

    Args:
      x: [B, D, H, W, C].
    Returns:
      [B, 2 D, 2 H, 2 W, C].
    """
    batch, *sides, channels = x.shape.as_list()
    for axis in (1, 2, 3):
        x = tf.stack([x, tf.zeros_like(x)], axis=axis + 1)
        sides[axis - 1] *= 2
        x = tf.reshape(x, [-1 if batch is None else batch] + sides + [channels])
    return x


def margin(logits: tf.Tensor) -> tf.Tensor:
    """Returns the logit of "occupied" less that of "empty".

    Args:
      logits: [B, D, H, W, 2]; channel 1 is "occupied".
    Returns:
      [B, D, H, W].
    """
    return logits[..., 1] - logits[..., 0]


def cross_entropy(margins: tf.Tensor, voxels: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of each cell, in nats.

    Args:
      margins: [B, D, H, W], of `margin`; voxels: [B, D, H, W], 0 or 1.
    Returns:
      [B, D, H, W].
    """
    # log(1 + exp(margin)) - y margin, without overflow
    return tf.maximum(margins, 0.) - margins * voxels + tf.log1p(tf.exp(-tf.abs(margins)))


@npu.float32_scope()
def loss(logits: tf.Tensor, voxels: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the softmax over the two channels and its mean cross-entropy a cell.

    Args:
      logits: [B, D, H, W, 2]; channel 1 is "occupied".
      voxels: [B, D, H, W], 0 or 1.
    Returns:
      (occupancy [B, D, H, W], probability; loss, scalar, in nats).
    """
    margins = margin(logits)
    cells = cross_entropy(margins, voxels)
    return tf.sigmoid(margins), tf.reduce_mean(cells)

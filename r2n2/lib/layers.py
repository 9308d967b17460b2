"""Layers of 3D-R2N2 with the numbers of the Theano original, in TensorFlow's layouts.

Images are [B, H, W, C], volumes [B, D, H, W, C]. Theano flips kernels and TensorFlow does not, so
the kernels here are the original's flipped ones; `lib/weights.py` converts both ways.
"""
import collections
import math

import tensorflow.compat.v1 as tf

from common import device
from common.ops import volume_conv
from r2n2.lib import fast_conv

BIAS = 0.1              # first value of every bias, in the original too
_NEVER = -65504.        # less than any activation, and still a number of 16 bits

FILLERS = ('msra', 'gaussian', 'xavier', 'orth')


class Layers:
    """Makes layers and keeps their parameters in the order in which they are first made.

    Args:
      plain: bool, single operations as the NPU and the GPU want them; else forms that compute the
        same faster on a CPU.
      slope: float, of the leaky rectifier below zero.
      seed: int, of the first values of the parameters.
      recurrent_filler: str, out of FILLERS, for the kernels of the recurrence.
    """

    def __init__(self, plain=False, slope=0.01, seed=0, recurrent_filler='msra'):
        self.plain = plain
        self.slope = slope
        self.recurrent_filler = recurrent_filler
        self.params = collections.OrderedDict()
        self._seed = seed

    def parameter(self, name, shape, fans=None, filler='msra'):
        """A variable; made once, found again by its name.

        Args:
          name: str, e.g. 'conv1a/W'.
          shape: list of int.
          fans: (fan in, fan out) of a kernel; None for a bias.
          filler: str, out of FILLERS.
        """
        if name not in self.params:
            if fans is None:
                first = tf.constant_initializer(BIAS)
            else:
                first = initializer(filler, fans, self._seed * 1009 + len(self.params))
            self.params[name] = tf.get_variable(name, shape, tf.float32, first)
        return self.params[name]

    def leaky(self, x):
        """Leaky rectifier, as the original computes it."""
        if not self.plain:
            return tf.nn.leaky_relu(x, self.slope)
        return 0.5 * (1 + self.slope) * x + 0.5 * (1 - self.slope) * tf.abs(x)

    def conv(self, name, x, filters, size):
        """Convolution of images or volumes; zeros around, so that the size stays.

        Args:
          name: str.
          x: [B, H, W, C] or [B, D, H, W, C].
          filters: int.
          size: int, side of the kernel.
        """
        kernel = self._kernel(name, x, filters, size)
        if self.plain:
            plain_conv = tf.nn.conv2d if x.shape.ndims == 4 else tf.nn.conv3d
            y = plain_conv(x, kernel, [1] * x.shape.ndims, 'SAME')
        elif x.shape.ndims == 4:
            y = fast_conv.conv2d_same(x, kernel)
        else:
            y = fast_conv.conv3d_same(x, kernel)
        return y + self._bias(name, filters)

    def unpooled_conv(self, name, x, filters, size=3):
        """`conv` of `unpool` of a volume, without the multiplications by zeros on a CPU."""
        if self.plain:
            return self.conv(name, unpool(x), filters, size)
        kernel = self._kernel(name, x, filters, size)
        if size == 1:
            return unpool(fast_conv.conv3d_same(x, kernel)) + self._bias(name, filters)
        flipped = tf.transpose(kernel[::-1, ::-1, ::-1], [0, 1, 2, 4, 3])
        side = 2 * x.shape[1].value
        y = volume_conv.conv3d_transpose(x, flipped, 2)[:, 1:1 + side, 1:1 + side, 1:1 + side]
        return y + self._bias(name, filters)

    def dense(self, name, x, outputs):
        """Matrix product of [B, n] and a bias."""
        inputs = x.shape[1].value
        kernel = self.parameter(name + '/W', [inputs, outputs], (inputs, outputs))
        return tf.matmul(x, kernel) + self._bias(name, outputs)

    def _kernel(self, name, x, filters, size):
        channels, axes = x.shape[-1].value, x.shape.ndims - 2
        return self.parameter(name + '/W', [size] * axes + [channels, filters],
                              (size ** axes * channels, size ** axes * filters))

    def _bias(self, name, filters):
        return self.parameter(name + '/b', [filters])


def initializer(filler, fans, seed):
    """What draws a kernel's first values.

    Args:
      filler: 'msra' (normal; everything in the released code), 'gaussian' (deviation 0.01),
        'xavier' (uniform) or 'orth' (orthogonal, which the paper names for the recurrence).
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


def pool(x):
    """Largest of 2 x 2 at stride 2, with a border of one that never wins: n becomes n // 2 + 1."""
    borders = [[1, 1 - side % 2] for side in x.shape.as_list()[1:3]]
    padded = tf.pad(x, [[0, 0]] + borders + [[0, 0]], constant_values=_NEVER)
    return tf.nn.max_pool2d(padded, 2, 2, 'VALID')


def unpool(x):
    """Doubles the sides of a volume: values at even places, zeros between."""
    batch, *sides, channels = x.shape.as_list()
    for axis in (1, 2, 3):
        x = tf.stack([x, tf.zeros_like(x)], axis=axis + 1)
        sides[axis - 1] *= 2
        x = tf.reshape(x, [-1 if batch is None else batch] + sides + [channels])
    return x


@device.float32_scope()
def loss(logits, voxels):
    """Softmax over the two channels and its mean cross-entropy a cell.

    Args:
      logits: [B, D, H, W, 2]; channel 1 is "occupied".
      voxels: [B, D, H, W], 0 or 1.
    Returns:
      (occupancy [B, D, H, W], probability; loss, scalar).
    """
    margin = logits[..., 1] - logits[..., 0]
    # log(1 + exp(margin)) - y margin, without overflow
    each = tf.maximum(margin, 0.) - margin * voxels + tf.log1p(tf.exp(-tf.abs(margin)))
    return tf.sigmoid(margin), tf.reduce_mean(each)

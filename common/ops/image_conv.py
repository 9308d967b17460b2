"""Convolutions of images whose gradients are fast on CPUs.

TensorFlow 1.15 convolves images at the speed of matrix products, but takes up to six times as long
for either gradient. Both are convolutions or products as well, so that most of them can go the fast
way: the same sums in another order. Which form is the fastest depends on the sizes; the choice
follows measurements (docs/benchmarks.md). The operation itself and its result stay what they are.

B: batch, H, W: height, width, k: side of the kernel (odd), C, N: channels before and after.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from common.ops import (
    regions,
    runtime,  # noqa: F401  # TensorFlow 2 in graph mode
)

_NARROW = 128   # channels below which a kernel's gradient is faster as a convolution
_SMALL = 8      # sides of outputs below which TensorFlow's gradient of strided inputs is slow


def conv2d(inputs: tf.Tensor, kernel: tf.Tensor, stride: int = 1,
           pads_apart: bool = False) -> tf.Tensor:
    """Convolves images with (k - 1) / 2 zeros on each side.

    Args:
      inputs: [B, H, W, C]; all known when the graph is built.
      kernel: [k, k, C, N].
      stride: int.
      pads_apart: bool, the zeros are an operation of their own at stride 1 too; in half precision
        the gradient is then rounded in their places as well.
    Returns:
      [B, ceil(H / stride), ceil(W / stride), N].
    """
    side = kernel.shape[0].value
    is_padded = side > 1 and (stride > 1 or pads_apart)
    if is_padded:
        border = [side // 2] * 2
        inputs = tf.pad(inputs, [[0, 0], border, border, [0, 0]])
    elif stride > 1:
        inputs, stride = _every(inputs, stride), 1
    with tf.get_default_graph().gradient_override_map({'Conv2D': 'FastConv2D'}):
        return tf.nn.conv2d(inputs, kernel, [1, stride, stride, 1],
                            'VALID' if is_padded else 'SAME')


@tf.RegisterGradient('FastConv2D')
def _gradients(op, upstream):
    inputs, kernel = op.inputs
    stride = op.get_attr('strides')[1]
    with regions.one_operator('Conv2DBackpropInput'):
        to_inputs = _input_gradient(inputs, kernel, upstream, stride)
    with regions.one_operator('Conv2DBackpropFilter'):
        return to_inputs, kernel_gradient(inputs, kernel, upstream, stride)


def _every(images, stride):
    """Every stride-th pixel of both axes; slices of whole rows, which are fast, where they fit."""
    batch, height, width, channels = images.shape.as_list()
    if height % stride or width % stride:
        return images[:, ::stride, ::stride]
    blocks = tf.reshape(images, [batch, height // stride, stride, width // stride,
                                 stride * channels])
    return blocks[:, :, 0, :, :channels]


def _input_gradient(inputs, kernel, upstream, stride):
    side, sides = kernel.shape[0].value, upstream.shape.as_list()[1:3]
    if side == 1:
        flat = tf.matmul(tf.reshape(upstream, [-1, kernel.shape[3].value]), kernel[0, 0],
                         transpose_b=True)
        return tf.reshape(flat, inputs.shape)
    if stride == 1:
        border = [side - 1] * 2
        padding = [[0, 0], border, border, [0, 0]] if _is_padded(inputs, upstream) else 'SAME'
        return tf.nn.conv2d(upstream, flipped(kernel), [1] * 4, padding)
    if stride == 2 and side == 3 and max(sides) < _SMALL:
        return _spread_by_two(inputs, kernel, upstream)
    return tf.nn.conv2d_backprop_input(inputs.shape, kernel, upstream, [1, stride, stride, 1],
                                       'VALID')


def _is_padded(inputs, upstream):
    """Whether the inputs of a convolution have its border of zeros."""
    return inputs.shape[1:3] != upstream.shape[1:3]


def flipped(kernel: tf.Tensor) -> tf.Tensor:
    """Mirrors a kernel's places and transposes its channels: [..., C, N] to [..., N, C]."""
    sides, channels = kernel.shape.as_list()[:-2], kernel.shape.as_list()[-2:]
    taps = tf.reshape(kernel, [-1] + channels)
    # Whole taps are copied: slices with a negative step go element by element.
    taps = tf.gather(taps, np.arange(np.prod(sides, dtype=int))[::-1].astype(np.int32))
    return tf.reshape(tf.transpose(taps, [0, 2, 1]), sides + channels[::-1])


def _spread_by_two(inputs, kernel, upstream):
    """Gradient by inputs of a kernel of 3 x 3 at stride 2: one product, whose taps are added up."""
    batch, height, width, outputs = upstream.shape.as_list()
    channels = kernel.shape[2].value
    flat = tf.matmul(tf.reshape(upstream, [-1, outputs]), tf.reshape(kernel, [-1, outputs]),
                     transpose_b=True)
    rows = _interleaved(tf.reshape(flat, [batch, height, width, 3, 3 * channels]), 1)
    rows = tf.reshape(rows, [batch, 2 * height + 2, width, 3, channels])
    spread = _interleaved(rows, 2)
    _, size, other, _ = inputs.shape.as_list()
    missing = [max(0, size - 2 * height - 2), max(0, other - 2 * width - 2)]
    return tf.pad(spread, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])[:, :size, :other]


def _interleaved(taps, axis):
    """[B, h, w, 3, C], taps of cells, to [B, h, w, C] with 2 h + 2 or 2 w + 2 for `axis`."""
    def padded(tap, before):
        return tf.pad(taps[:, :, :, tap], [[before, 1 - before] if number == axis else [0, 0]
                                           for number in range(4)])

    batch, *sides, _, channels = taps.shape.as_list()
    sides[axis - 1] = 2 * sides[axis - 1] + 2
    even, odd = padded(0, 0) + padded(2, 1), padded(1, 0)
    return tf.reshape(tf.stack([even, odd], axis=axis + 1), [batch] + sides + [channels])


def kernel_gradient(inputs: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor,
                    stride: int = 1) -> tf.Tensor:
    """Returns the gradient of a kernel.

    Args:
      inputs: [B, H, W, C]; kernel: [k, k, C, N].
      upstream: gradient of the result of `conv2d` on them.
      stride: int; above 1 the inputs have their border of zeros, else they may have it.
    Returns:
      [k, k, C, N].
    """
    side, channels, outputs = kernel.shape.as_list()[1:]
    if side == 1:
        return product_over_cells(inputs, upstream)[None, None]
    if stride > 1 or min(channels, outputs) >= _NARROW:
        return tf.nn.conv2d_backprop_filter(inputs, kernel.shape, upstream,
                                            [1, stride, stride, 1],
                                            'VALID' if _is_padded(inputs, upstream) else 'SAME')
    if channels > outputs:      # each channel of an image is copied for every tap: the fewer images
        return flipped(_as_convolution(upstream, inputs, side))
    return _as_convolution(inputs, upstream, side)


def product_over_cells(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Returns the sum over cells of the products of all pairs of channels.

    Args:
      inputs: [..., C]; upstream: [..., N], with as many cells.
    Returns:
      [C, N].
    """
    channels, outputs = inputs.shape[-1].value, upstream.shape[-1].value
    inputs, upstream = tf.reshape(inputs, [-1, channels]), tf.reshape(upstream, [-1, outputs])
    if channels > outputs:      # faster with the fewer channels first
        return tf.transpose(tf.matmul(upstream, inputs, transpose_a=True))
    return tf.matmul(inputs, upstream, transpose_a=True)


def _as_convolution(images, upstream, side):
    """The gradient as a convolution: channels are the images, samples their channels."""
    border = [(side - 1 + upstream.shape[1].value - images.shape[1].value) // 2] * 2
    taps = tf.nn.conv2d(tf.transpose(images, [3, 1, 2, 0]), tf.transpose(upstream, [1, 2, 0, 3]),
                        [1] * 4, [[0, 0], border, border, [0, 0]])
    return tf.transpose(taps, [1, 2, 0, 3])

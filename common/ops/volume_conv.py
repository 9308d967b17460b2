"""Convolutions of volumes, as TensorFlow has them and in forms that are fast on CPUs.

The kernels of TensorFlow 1.15 for the gradients of a strided Conv3D need seconds a sample on a CPU,
and one of them is the forward pass of a transposed convolution. Folding each block of stride^3
cells into the channels (space to depth) turns a strided convolution into one of stride 1, whose
kernels are fast: the same sums in another order, and the same variables. The gradient of the folded
kernel is one matrix product a tap, which takes a third to two thirds of the time of TensorFlow's;
the transposed convolution goes sample by sample, for which TensorFlow has a kernel that takes a
third of the time of the one for batches.

B: batch, D: side of the larger volume, d: side of the smaller one, k: side of the kernel,
s: stride, C: channels of the larger volume, N: channels of the smaller one; d = (D - k) // s + 1.
"""
import itertools

import tensorflow.compat.v1 as tf

from common.ops import (
    regions,
    runtime,  # noqa: F401  # TensorFlow 2 in graph mode
)


def conv3d(inputs: tf.Tensor, kernel: tf.Tensor, stride: int, plain: bool = False) -> tf.Tensor:
    """Convolves a volume (a correlation, as everywhere in deep learning), without padding.

    Args:
      inputs: [B, D, D, D, C]; D and C are known when the graph is built.
      kernel: [k, k, k, C, N].
      stride: int, s.
      plain: bool, use the strided operation; for GPU and NPU.
    Returns:
      [B, d, d, d, N].
    """
    if plain or stride == 1:
        return tf.nn.conv3d(inputs, kernel, [1, stride, stride, stride, 1], 'VALID')
    size, side = inputs.shape[1].value, kernel.shape[0].value
    outputs = (size - side) // stride + 1
    blocks = outputs - 1 + -(-side // stride)
    # Cells at the end that no kernel reaches go; those that only its zeros reach are added.
    used = min(size, blocks * stride)
    inputs = _pad_end(inputs[:, :used, :used, :used], blocks * stride, (1, 2, 3))
    with tf.get_default_graph().gradient_override_map({'Conv3D': 'FoldedConv3D'}):
        return tf.nn.conv3d(_fold_cells(inputs, stride), _fold_kernel(kernel, stride), [1] * 5,
                            'VALID')


def conv3d_transpose(inputs: tf.Tensor, kernel: tf.Tensor, stride: int, plain: bool = False
                     ) -> tf.Tensor:
    """Applies a transposed convolution, the gradient of `conv3d` by its inputs.

    Args:
      inputs: [B, d, d, d, N]; sizes and B are known when the graph is built.
      kernel: [k, k, k, C, N].
      stride: int, s.
      plain: bool, use the strided operation; for GPU and NPU.
    Returns:
      [B, D, D, D, C] with D = s (d - 1) + k.
    """
    batch, size = inputs.shape[0].value, inputs.shape[1].value
    side, channels = kernel.shape[0].value, kernel.shape[3].value
    result = stride * (size - 1) + side
    if plain or stride == 1:
        return tf.nn.conv3d_transpose(inputs, kernel, [batch] + 3 * [result] + [channels],
                                      [1, stride, stride, stride, 1], 'VALID')
    volume = _unfold_cells(_spread(inputs, _fold_kernel(kernel, stride)), stride)
    return volume[:, :result, :result, :result]


@tf.RegisterGradient('FoldedConv3D')
def _conv3d_gradients(op, gradient):
    volume, kernel = op.inputs
    with regions.one_operator('Conv3DBackpropInput'):
        to_volume = _by_sample(gradient, kernel)
    with regions.one_operator('Conv3DBackpropFilter'):
        return to_volume, _kernel_gradient(volume, gradient, kernel)


@tf.custom_gradient
def _spread(inputs, kernel):
    """Transposed convolution of stride 1: [B, d, d, d, N] to [B, D, D, D, C]."""
    def gradients(gradient):
        to_inputs = tf.nn.conv3d(gradient, kernel, [1] * 5, 'VALID')
        with regions.one_operator('Conv3DBackpropFilter'):
            return to_inputs, _kernel_gradient(gradient, inputs, kernel)

    with regions.one_operator('Conv3DBackpropInput'):
        return _by_sample(inputs, kernel), gradients


def _by_sample(inputs, kernel):
    """Transposed convolution of stride 1, a sample at a time where their number is known."""
    batch, size = inputs.shape[0].value, inputs.shape[1].value
    taps, channels = kernel.shape[0].value, kernel.shape[3].value
    sizes = 3 * [size + taps - 1] + [channels]
    if batch is None:
        return tf.nn.conv3d_transpose(inputs, kernel, [tf.shape(inputs)[0]] + sizes, [1] * 5,
                                      'VALID')
    return tf.concat([tf.nn.conv3d_transpose(sample, kernel, [1] + sizes, [1] * 5, 'VALID')
                      for sample in tf.split(inputs, batch)], axis=0)


def _kernel_gradient(larger, smaller, kernel):
    """Gradient of a kernel of stride 1, from the arrays on its two sides: a product a tap."""
    taps, channels, outputs = [kernel.shape[axis].value for axis in (0, 3, 4)]
    size = smaller.shape[1].value
    smaller = tf.reshape(smaller, [-1, outputs])
    products = []
    for i, j, k in itertools.product(range(taps), repeat=3):
        reached = larger[:, i:i + size, j:j + size, k:k + size]
        products.append(tf.matmul(tf.reshape(reached, [-1, channels]), smaller, transpose_a=True))
    return tf.reshape(tf.stack(products), kernel.shape)


def _pad_end(tensor, size, axes):
    """Adds zeros behind the given axes, which all have one size, up to `size`."""
    missing = size - tensor.shape[axes[0]].value
    if not missing:
        return tensor
    return tf.pad(tensor, [[0, missing if axis in axes else 0] for axis in range(5)])


def _fold_cells(volume, stride):
    """[B, D, D, D, C] to [B, D/s, D/s, D/s, s^3 C]; the place in the block comes before C."""
    _, size, _, _, channels = volume.shape.as_list()
    blocks = size // stride
    volume = tf.reshape(volume, [-1] + 3 * [blocks, stride] + [channels])
    volume = tf.transpose(volume, [0, 1, 3, 5, 2, 4, 6, 7])
    return tf.reshape(volume, [-1] + 3 * [blocks] + [stride ** 3 * channels])


def _unfold_cells(folded, stride):
    """Undoes `_fold_cells`."""
    _, blocks, _, _, channels = folded.shape.as_list()
    channels //= stride ** 3
    folded = tf.reshape(folded, [-1] + 3 * [blocks] + 3 * [stride] + [channels])
    folded = tf.transpose(folded, [0, 1, 4, 2, 5, 3, 6, 7])
    return tf.reshape(folded, [-1] + 3 * [blocks * stride] + [channels])


def _fold_kernel(kernel, stride):
    """[k, k, k, C, N] to [K, K, K, s^3 C, N] with K = ceil(k / s); what is missing is zero."""
    side, _, _, channels, outputs = kernel.shape.as_list()
    taps = -(-side // stride)
    kernel = _pad_end(kernel, taps * stride, (0, 1, 2))
    kernel = tf.reshape(kernel, 3 * [taps, stride] + [channels, outputs])
    kernel = tf.transpose(kernel, [0, 2, 4, 1, 3, 5, 6, 7])
    return tf.reshape(kernel, 3 * [taps] + [stride ** 3 * channels, outputs])

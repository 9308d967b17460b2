"""Convolutions of stride 1 that keep the size, in forms that are fast on CPUs.

Those of images are in common/ops/image_conv.py. TensorFlow 1.15 computes the gradient of a kernel
at half to a fifth of the speed of the forward pass. It is a convolution as well: of images that are
the channels, whose channels are the samples, with the gradient of the outputs as kernel. A volume
with few outputs goes through one convolution of images that gives the outputs of all the kernel's
layers, which are shifted and added. All are the same sums in another order, chosen by measurement.

B: batch, D, H, W: depth, height, width, k: side of the kernel (odd), C, N: channels before and
after.
"""
import tensorflow.compat.v1 as tf

from common.ops import image_conv, regions, volume_conv

_FEW = 32       # outputs up to which a volume goes through a convolution of images


def conv3d_same(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves volumes padded with zeros.

    Args:
      inputs: [B, D, H, W, C]; all known when the graph is built.
      kernel: [k, k, k, C, N].
    Returns:
      [B, D, H, W, N].
    """
    @tf.custom_gradient
    def convolve(volume, weights):
        def gradients(upstream):
            flipped = image_conv.flipped(weights)
            side = weights.shape[0].value
            with regions.one_operator('Conv3DBackpropInput'):
                to_volume = _convolve_volume(upstream, flipped)
            with regions.one_operator('Conv3DBackpropFilter'):
                return to_volume, _kernel_gradient(volume, upstream, side)
        with regions.one_operator('Conv3D'):
            return _convolve_volume(volume, weights), gradients

    return convolve(inputs, kernel)


def conv3d_unpooled(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves unpooled volumes, see `layers.unpool`, without multiplications by their zeros.

    The gradient has values in the zeros' places too, as the plain operation's: in half precision
    they may overflow as well.

    Args:
      inputs: [B, D, H, W, C], zero but at even places; all known when the graph is built.
      kernel: [3, 3, 3, C, N].
    Returns:
      [B, D, H, W, N].
    """
    @tf.custom_gradient
    def convolve(volume, weights):
        def gradients(upstream):
            with regions.one_operator('Conv3DBackpropInput'):
                to_volume = _convolve_volume(upstream, image_conv.flipped(weights))
            with regions.one_operator('Conv3DBackpropFilter'):
                return to_volume, tf.gradients(result, weights, upstream)[0]

        values = volume[:, ::2, ::2, ::2]
        with regions.one_operator('Conv3D'):
            result = conv3d_spread(values, weights)
        return result, gradients

    return convolve(inputs, kernel)


def conv3d_spread(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolves what a volume becomes by unpooling, see `layers.unpool`.

    Args:
      inputs: [B, d, d, d, C]; all known when the graph is built.
      kernel: [3, 3, 3, C, N].
    Returns:
      [B, 2 d, 2 d, 2 d, N].
    """
    side = 2 * inputs.shape[1].value
    result = volume_conv.conv3d_transpose(inputs, image_conv.flipped(kernel), 2)
    return result[:, 1:1 + side, 1:1 + side, 1:1 + side]


def _convolve_volume(volume, kernel):
    side, outputs = kernel.shape[0].value, kernel.shape[4].value
    if outputs > _FEW or side == 1:
        return tf.nn.conv3d(volume, kernel, [1] * 5, 'SAME')
    batch, depth, height, width, channels = volume.shape.as_list()
    weights = tf.reshape(tf.transpose(kernel, [1, 2, 3, 0, 4]),
                         [side, side, channels, side * outputs])
    images = tf.reshape(volume, [batch * depth, height, width, channels])
    layers = tf.reshape(tf.nn.conv2d(images, weights, [1] * 4, 'SAME'), [-1, side, outputs])
    layers = [tf.reshape(layer, [batch, depth, height * width * outputs])
              for layer in tf.unstack(layers, axis=1)]
    added = tf.add_n([_shifted(layer, side // 2 - i) for i, layer in enumerate(layers)])
    return tf.reshape(added, [batch, depth, height, width, outputs])


def _shifted(volume, steps):
    """[B, D, n] shifted along the depth, filled up with zeros."""
    depth = volume.shape[1].value
    if not steps:
        return volume
    zeros = tf.zeros_like(volume[:, :abs(steps)])
    if steps > 0:
        return tf.concat([zeros, volume[:, :depth - steps]], axis=1)
    return tf.concat([volume[:, -steps:], zeros], axis=1)


def _kernel_gradient(volume, upstream, side):
    """Gradient [side, side, side, C, N] of a kernel.

    volume: [B, D, H, W, C], input of the convolution; upstream: [B, D, H, W, N], gradient of its
    output.
    """
    batch, depth, height, width, channels = volume.shape.as_list()
    outputs = upstream.shape[4].value
    if side == 1:
        return image_conv.product_over_cells(volume, upstream)[None, None, None]
    if channels > outputs:      # each channel of an image is copied for every tap: the fewer images
        return image_conv.flipped(_kernel_gradient(upstream, volume, side))
    images = tf.reshape(tf.transpose(volume, [4, 2, 3, 1, 0]), [-1, depth * batch])
    zeros = tf.zeros([images.shape[0].value, side // 2 * batch])
    images = tf.concat([zeros, images, zeros], axis=1)
    weights = tf.reshape(tf.transpose(upstream, [2, 3, 1, 0, 4]),
                         [height, width, depth * batch, outputs])
    border = [side // 2] * 2
    layers = [tf.nn.conv2d(tf.reshape(images[:, i * batch:(i + depth) * batch],
                                      [channels, height, width, depth * batch]),
                           weights, [1] * 4, [[0, 0], border, border, [0, 0]])
              for i in range(side)]
    return tf.transpose(tf.stack(layers), [0, 2, 3, 1, 4])

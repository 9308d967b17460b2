"""ResNet-50 without its classifier (He et al. 2016), with PyTorch's strides and padding.

The 3 x 3 convolution of a block has its stride. Padding is explicit: SAME of TensorFlow pads even
sizes on one side only. B: batch, H, W: pixels, C: channels (last; first in the original).
"""
import math
from typing import List, Optional

import tensorflow.compat.v1 as tf

from cmr.src.models import layers
from common.ops import image_conv

LAYERS = (3, 4, 6, 3)       # bottleneck blocks of the four stages
_EXPANSION = 4


def conv(x: tf.Tensor, variables: layers.Parameters, name: str, outputs: int, size: int,
         stride: int = 1) -> tf.Tensor:
    """Convolves [B, H, W, C] without bias, zero-padded; He-normal initial values."""
    inputs = x.shape[-1].value
    draw = tf.random_normal_initializer(stddev=math.sqrt(2 / (size * size * outputs)))
    kernel = variables.get(name + '.weight', [size, size, inputs, outputs], draw)
    if variables.fast_gradients:
        return image_conv.conv2d(x, kernel, stride, variables.pads_apart)
    return padded_conv(x, kernel, stride)


def padded_conv(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Convolves [B, H, W, C] with [size, size, C, out], (size - 1) / 2 zeros on each side."""
    padding = (kernel.shape[0].value - 1) // 2
    if padding:
        x = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    return tf.nn.conv2d(x, kernel, [1, stride, stride, 1], 'VALID')


def max_pool(x: tf.Tensor) -> tf.Tensor:
    """Pools the maxima of [B, H, W, C], 3 x 3 at stride 2.

    Padded by one cell with the lowest value of float16, -65504, which every device can hold.
    """
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-65504.)
    return tf.nn.max_pool2d(x, 3, 2, 'VALID')


def _bottleneck(x, variables, planes, stride, has_downsample):
    y = tf.nn.relu(variables.batch_norm(conv(x, variables, 'conv1', planes, 1), 'bn1'))
    y = tf.nn.relu(variables.batch_norm(conv(y, variables, 'conv2', planes, 3, stride), 'bn2'))
    y = variables.batch_norm(conv(y, variables, 'conv3', planes * _EXPANSION, 1), 'bn3')
    if has_downsample:
        x = conv(x, variables, 'downsample.0', planes * _EXPANSION, 1, stride)
        x = variables.batch_norm(x, 'downsample.1')
    return tf.nn.relu(y + x)


def resnet50(images: tf.Tensor, variables: layers.Parameters, width: int = 64,
             stages: Optional[List[tf.Tensor]] = None, has_classifier: bool = True) -> tf.Tensor:
    """Encodes pictures as features.

    Args:
      images: [B, 224, 224, 3], normalised (193 to 224 pixels give the last stage 7 x 7).
      variables: layers.Parameters.
      width: int, channels of the first stage's bottleneck blocks; 64 is ResNet-50.
      stages: None, or a list to which the outputs of stem and stages are added.
      has_classifier: bool, whether the original's unused last layer has variables too.
    Returns:
      [B, 32 width].
    """
    x = tf.nn.relu(variables.batch_norm(conv(images, variables, 'conv1', width, 7, 2), 'bn1'))
    x = max_pool(x)
    outputs = [x]
    for number, blocks in enumerate(LAYERS):
        for block in range(blocks):
            inner = variables.scope('layer{}.{}'.format(number + 1, block))
            stride = 2 if number and not block else 1
            x = _bottleneck(x, inner, width * 2 ** number, stride, not block)
        outputs.append(x)
    if stages is not None:
        stages.extend(outputs)
    if has_classifier:
        inputs = x.shape[-1].value
        limit = 1 / math.sqrt(inputs)
        variables.get('fc.weight', [1000, inputs], tf.random_uniform_initializer(-limit, limit))
        variables.get('fc.bias', [1000], tf.random_uniform_initializer(-limit, limit))
    return tf.reduce_mean(x, axis=[1, 2])

"""ResNet-50 without its classifier (He et al. 2016), in PyTorch's layout of strides and borders.

A block's stride stands at its 3 x 3 convolution. Borders are explicit: SAME of TensorFlow pads even
sizes on one side only.
"""
import math

import tensorflow.compat.v1 as tf

LAYERS = (3, 4, 6, 3)       # bottlenecks of the four stages
_EXPANSION = 4


def conv(x, make, name, outputs, size, stride=1):
    """Convolution without bias, zeros of (size - 1) / 2 around."""
    inputs = x.shape[-1].value
    draw = tf.random_normal_initializer(stddev=math.sqrt(2 / (size * size * outputs)))
    kernel = make.get(name + '.weight', [size, size, inputs, outputs], draw)
    return padded_conv(x, kernel, stride)


def padded_conv(x, kernel, stride):
    """Convolution with (size - 1) / 2 zeros on each side."""
    border = (kernel.shape[0].value - 1) // 2
    if border:
        x = tf.pad(x, [[0, 0], [border, border], [border, border], [0, 0]])
    return tf.nn.conv2d(x, kernel, [1, stride, stride, 1], 'VALID')


def max_pool(x):
    """3 x 3 at stride 2, a border of one that never wins."""
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-65504.)
    return tf.nn.max_pool2d(x, 3, 2, 'VALID')


def _bottleneck(x, make, planes, stride, has_downsample):
    y = tf.nn.relu(make.batch_norm(conv(x, make, 'conv1', planes, 1), 'bn1'))
    y = tf.nn.relu(make.batch_norm(conv(y, make, 'conv2', planes, 3, stride), 'bn2'))
    y = make.batch_norm(conv(y, make, 'conv3', planes * _EXPANSION, 1), 'bn3')
    if has_downsample:
        x = make.batch_norm(conv(x, make, 'downsample.0', planes * _EXPANSION, 1, stride),
                            'downsample.1')
    return tf.nn.relu(y + x)


def resnet50(images, make, width=64, stages=None, has_classifier=True):
    """Features of pictures.

    Args:
      images: [B, 224, 224, 3], normalised (193 to 224 pixels give the last stage 7 x 7).
      make: layers.Parameters.
      width: int, channels of the first stage's bottlenecks; 64 is the ResNet-50.
      stages: None or list that gets the outputs of stem and stages.
      has_classifier: bool, make the original's unused last layer too.
    Returns:
      [B, 32 width].
    """
    x = tf.nn.relu(make.batch_norm(conv(images, make, 'conv1', width, 7, 2), 'bn1'))
    x = max_pool(x)
    found = [x]
    for number, blocks in enumerate(LAYERS):
        for block in range(blocks):
            inner = make.scope('layer{}.{}'.format(number + 1, block))
            stride = 2 if number and not block else 1
            x = _bottleneck(x, inner, width * 2 ** number, stride, not block)
        found.append(x)
    if stages is not None:
        stages.extend(found)
    if has_classifier:
        inputs = x.shape[-1].value
        limit = 1 / math.sqrt(inputs)
        make.get('fc.weight', [1000, inputs], tf.random_uniform_initializer(-limit, limit))
        make.get('fc.bias', [1000], tf.random_uniform_initializer(-limit, limit))
    return tf.reduce_mean(x, axis=[1, 2])

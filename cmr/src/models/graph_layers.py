"""Layers on the nodes of a mesh. Paper: section 3.2, "Graph CNN".

Features are [B, N, C] (channels last; the original has [B, C, N]).
"""
import math
from typing import Callable, Optional, Tuple

import tensorflow.compat.v1 as tf

from cmr.src import config as config_lib
from cmr.src.models import layers
from cmr.src.utils import mesh

_EPSILON = 1e-5


def linear(x: tf.Tensor, variables: layers.Parameters, name: str, outputs: int) -> tf.Tensor:
    """Applies the same linear layer at every node: [B, N, C] to [B, N, outputs]."""
    return _mapped(x, *linear_parameters(variables, name, x.shape[-1].value, outputs))


def linear_parameters(variables: layers.Parameters, name: str, inputs: int,
                      outputs: int) -> Tuple[tf.Variable, tf.Variable]:
    """Returns weight [outputs, inputs] and bias [outputs] of `linear`.

    The tiny initial values, uniform up to 1 / (inputs outputs), are the original's.
    """
    limit = 1 / (inputs * outputs)
    draw = tf.random_uniform_initializer(-limit, limit)
    return (variables.get(name + '.W', [outputs, inputs], draw),
            variables.get(name + '.b', [outputs], draw))


def convolution(x: tf.Tensor, variables: layers.Parameters, name: str, outputs: int,
                adjacency: mesh.Adjacency) -> tf.Tensor:
    """Applies a graph convolution A X W + b (eq. 1), A the row-normalised adjacency.

    Args:
      x: [B, N, C]; adjacency: mesh.Adjacency.
    Returns:
      [B, N, outputs].
    """
    batch, nodes, inputs = x.shape.as_list()
    limit = 6 / math.sqrt(inputs + outputs)     # not the root of the fraction, in the original too
    draw = tf.random_uniform_initializer(-limit, limit)
    weight = variables.get(name + '.weight', [inputs, outputs], draw)
    bias = variables.get(name + '.bias', [outputs], draw)
    y = tf.reshape(tf.matmul(tf.reshape(x, [batch * nodes, inputs]), weight),
                   [batch, nodes, outputs])
    return adjacency.multiply(y) + bias


def group_norm(x: tf.Tensor, variables: layers.Parameters, name: str,
               groups: Optional[int] = None) -> tf.Tensor:
    """Normalises [B, N, C] by groups (Wu, He 2018): statistics of a group over all nodes.

    Args:
      groups: int; None makes groups of 8 channels.
    Returns:
      [B, N, C].
    """
    batch, nodes, channels = x.shape.as_list()
    groups = groups or channels // config_lib.GROUP
    scale = variables.get(name + '.weight', [channels], tf.ones_initializer())
    shift = variables.get(name + '.bias', [channels], tf.zeros_initializer())
    if not variables.plain:
        return _group_norm(groups)(x, scale, shift)
    grouped = tf.reshape(x, [batch, nodes, groups, channels // groups])
    mean = tf.reduce_mean(grouped, axis=[1, 3], keepdims=True)
    centred = grouped - mean
    variance = tf.reduce_mean(tf.square(centred), axis=[1, 3], keepdims=True)
    normal = centred * tf.rsqrt(variance + _EPSILON)
    return tf.reshape(normal, [batch, nodes, channels]) * scale + shift


def _group_norm(groups):
    """Returns group normalisation as a function of (x, scale, shift), with its gradient.

    It sums over the nodes first, then over the channels of a group: sums over two axes at once take
    most of the network's time on a CPU, and so do their gradients.
    """
    def mean(x):
        batch, nodes, channels = x.shape.as_list()
        sums = tf.reshape(tf.reduce_sum(x, axis=1), [batch, groups, channels // groups])
        means = tf.reduce_sum(sums, axis=2, keepdims=True) / (nodes * channels // groups)
        return tf.reshape(tf.tile(means, [1, 1, channels // groups]), [batch, 1, channels])

    @tf.custom_gradient
    def norm(x, scale, shift):
        centred = x - mean(x)
        factor = tf.rsqrt(mean(tf.square(centred)) + _EPSILON)

        def gradient(upstream):
            product = upstream * centred
            shared = mean(product * scale) * tf.square(factor)
            to_x = (upstream * scale - mean(upstream * scale) - centred * shared) * factor
            return (to_x, tf.reduce_sum(tf.reduce_sum(product, axis=1) * factor[:, 0], axis=0),
                    tf.reduce_sum(upstream, axis=[0, 1]))

        return centred * (factor * scale) + shift, gradient
    return norm


def res_block(x: tf.Tensor, variables: layers.Parameters, outputs: int, adjacency: mesh.Adjacency,
              shortcut: Optional[Callable] = None) -> tf.Tensor:
    """Applies a residual block of linear layer, graph convolution, linear layer.

    Each is preceded by group normalisation and ReLU; the convolution has half the channels
    (section 3.2: the bottleneck of ResNet on a graph).

    Args:
      x: [B, N, C]; adjacency: mesh.Adjacency.
      shortcut: function (weight, bias) that computes the linear layer of the shortcut; None: it
        is applied to x.
    Returns:
      [B, N, outputs].
    """
    inputs, inner = x.shape[-1].value, outputs // 2
    y = tf.nn.relu(group_norm(x, variables, 'pre_norm'))
    y = tf.nn.relu(group_norm(linear(y, variables, 'lin1', inner), variables, 'norm1'))
    y = convolution(y, variables, 'conv', inner, adjacency)
    y = tf.nn.relu(group_norm(y, variables, 'norm2'))
    y = linear(y, variables, 'lin2', outputs)
    # With equal widths the shortcut's layer is in the original's checkpoints but never used.
    skip = linear_parameters(variables, 'skip_conv', inputs, outputs)
    if shortcut is not None:
        return y + shortcut(*skip)
    return y + (x if inputs == outputs else _mapped(x, *skip))


def _mapped(x, weight, bias):
    batch, nodes, inputs = x.shape.as_list()
    y = tf.matmul(tf.reshape(x, [batch * nodes, inputs]), weight, transpose_b=True) + bias
    return tf.reshape(y, [batch, nodes, bias.shape[0].value])

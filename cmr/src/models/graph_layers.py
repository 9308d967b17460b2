"""Layers on the nodes of a mesh. Paper: section 3.2, "Graph CNN".

Features are [B, N, C] (channels last; the original has [B, C, N]).
"""
import math

import tensorflow.compat.v1 as tf

_GROUP = 8      # channels that are normalised together
_EPSILON = 1e-5


def linear(x, make, name, outputs):
    """The same affine map at every node."""
    return _mapped(x, *linear_parameters(make, name, x.shape[-1].value, outputs))


def linear_parameters(make, name, inputs, outputs):
    """Its weight [out, in] and bias; the tiny first values are the original's."""
    limit = 1 / (inputs * outputs)
    draw = tf.random_uniform_initializer(-limit, limit)
    return (make.get(name + '.W', [outputs, inputs], draw),
            make.get(name + '.b', [outputs], draw))


def convolution(x, make, name, outputs, adjacency):
    """Mean over a node and its neighbours of a linear map (Kipf, Welling 2017).

    Args:
      adjacency: mesh.Adjacency.
    """
    batch, nodes, inputs = x.shape.as_list()
    limit = 6 / math.sqrt(inputs + outputs)     # not the root of the fraction, in the original too
    draw = tf.random_uniform_initializer(-limit, limit)
    weight = make.get(name + '.weight', [inputs, outputs], draw)
    bias = make.get(name + '.bias', [outputs], draw)
    y = tf.reshape(tf.matmul(tf.reshape(x, [batch * nodes, inputs]), weight),
                   [batch, nodes, outputs])
    return adjacency.multiply(y) + bias


def can_group(channels):
    """Whether so many channels fall into groups."""
    return channels >= _GROUP and channels % (channels // _GROUP) == 0


def group_norm(x, make, name, groups=None):
    """Normalises groups of 8 channels over all nodes (Wu, He 2018)."""
    batch, nodes, channels = x.shape.as_list()
    groups = groups or channels // _GROUP
    scale = make.get(name + '.weight', [channels], tf.ones_initializer())
    shift = make.get(name + '.bias', [channels], tf.zeros_initializer())
    if not make.plain:
        return _group_norm(groups)(x, scale, shift)
    grouped = tf.reshape(x, [batch, nodes, groups, channels // groups])
    mean = tf.reduce_mean(grouped, axis=[1, 3], keepdims=True)
    centred = grouped - mean
    variance = tf.reduce_mean(tf.square(centred), axis=[1, 3], keepdims=True)
    normal = centred * tf.rsqrt(variance + _EPSILON)
    return tf.reshape(normal, [batch, nodes, channels]) * scale + shift


def _group_norm(groups):
    """The same function of (x, scale, shift) in sums over the nodes first, then over the group.

    Sums over two axes at once take most of the network's time on a CPU, and so do their gradients.
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


def res_block(x, make, outputs, adjacency, shortcut=None):
    """Bottleneck of linear map, convolution, linear map, each behind norm and rectifier.

    Args:
      shortcut: None, or a function of weight and bias that gives their linear map of x.
    """
    inputs = x.shape[-1].value
    middle = outputs // 2
    y = tf.nn.relu(group_norm(x, make, 'pre_norm'))
    y = tf.nn.relu(group_norm(linear(y, make, 'lin1', middle), make, 'norm1'))
    y = tf.nn.relu(group_norm(convolution(y, make, 'conv', middle, adjacency), make, 'norm2'))
    y = linear(y, make, 'lin2', outputs)
    # With equal widths the shortcut's map is in the original's checkpoints but never used.
    skip = linear_parameters(make, 'skip_conv', inputs, outputs)
    if shortcut is not None:
        return y + shortcut(*skip)
    return y + (x if inputs == outputs else _mapped(x, *skip))


def _mapped(x, weight, bias):
    batch, nodes, inputs = x.shape.as_list()
    y = tf.matmul(tf.reshape(x, [batch * nodes, inputs]), weight, transpose_b=True) + bias
    return tf.reshape(y, [batch, nodes, bias.shape[0].value])

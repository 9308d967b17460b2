"""The graph CNN (sections 3.1 and 3.2): image features at every node of a template to 3D positions.

B: batch, N: nodes, F: features of a picture.
"""
import math
from typing import Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.models import graph_layers, layers
from cmr.src.utils import mesh


def graph_cnn(features: tf.Tensor, template: np.ndarray, variables: layers.Parameters,
              adjacency: mesh.Adjacency, num_layers: int = 5,
              num_channels: int = 256) -> Tuple[tf.Tensor, tf.Tensor]:
    """Regresses the positions of the nodes, and a camera.

    Args:
      features: [B, F], of the encoder.
      template: float [N, 3] array, the normalised template of this level.
      variables: layers.Parameters; where it is not plain, the shares of template and picture in
        what is linear in them are computed apart and added, not on a copy of the features for
        every node.
      adjacency: mesh.Adjacency of the level.
      num_layers, num_channels: int.
    Returns:
      (positions [B, N, 3], camera [B, 3]: scale and shift).
    """
    batch, size = features.shape.as_list()
    nodes = len(template)
    points = tf.constant(template, tf.float32)
    inner, width = variables.scope('gc'), 2 * num_channels
    shortcut = None
    if variables.plain:
        x = tf.concat([tf.tile(points[None], [batch, 1, 1]),
                       tf.tile(features[:, None], [1, nodes, 1])], axis=2)
        x = graph_layers.linear(x, inner, '0', width)
    else:
        weight, bias = graph_layers.linear_parameters(inner, '0', 3 + size, width)
        of_point = tf.transpose(weight[:, :3])
        of_picture = tf.matmul(features, weight[:, 3:], transpose_b=True) + bias
        x = tf.matmul(points, of_point)[None] + of_picture[:, None]

        def shortcut(weight, bias):
            of_point_2 = tf.matmul(of_point, weight, transpose_b=True)
            of_picture_2 = tf.matmul(of_picture, weight, transpose_b=True) + bias
            return tf.matmul(points, of_point_2)[None] + of_picture_2[:, None]
    for number in range(num_layers + 1):
        x = graph_layers.res_block(x, inner.scope(str(number + 1)), num_channels, adjacency,
                                   None if number else shortcut)
    return (_shape_head(x, variables.scope('shape'), adjacency),
            _camera_head(x, variables.scope('camera_fc')))


def _shape_head(x, variables, adjacency):
    x = graph_layers.res_block(x, variables.scope('0'), 64, adjacency)
    x = graph_layers.res_block(x, variables.scope('1'), 32, adjacency)
    x = tf.nn.relu(graph_layers.group_norm(x, variables, '2', 4))
    return graph_layers.linear(x, variables, '4', 3)


def _camera_head(x, variables):
    x = tf.nn.relu(graph_layers.group_norm(x, variables, '0'))
    x = tf.nn.relu(graph_layers.linear(x, variables, '2', 1))
    nodes = x.shape[1].value
    limit = 1 / math.sqrt(nodes)
    draw = tf.random_uniform_initializer(-limit, limit)
    weight = variables.get('4.weight', [3, nodes], draw)
    return tf.matmul(x[:, :, 0], weight, transpose_b=True) + variables.get('4.bias', [3], draw)

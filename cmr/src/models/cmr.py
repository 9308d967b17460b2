"""The whole network: picture to two bodies, the graph network's and SMPL's.

B: batch, N: nodes of the graph, V: vertices of the body. Lengths are in metres.
"""
from typing import List, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from cmr.src.models import graph_cnn, layers, resnet, smpl, smpl_param_regressor
from cmr.src.utils import mesh as mesh_lib

_LOOKS = 2              # place of the second stage behind the stem


class Outputs(NamedTuple):
    """What the network predicts.

    Attributes:
      nodes: [B, N, 3], vertices: [B, V, 3] of the graph network.
      camera: [B, 3], scale and shift of the weak perspective.
      rotations: [B, 24, 3, 3], betas: [B, 10] of the regressor; vertices_smpl: [B, V, 3] of both.
      looks: [B, F], means over the pixels of the encoder's second stage, which tell what a picture
        looks like; the features where there is no picture.
    """

    nodes: tf.Tensor
    vertices: tf.Tensor
    camera: tf.Tensor
    rotations: tf.Tensor
    betas: tf.Tensor
    vertices_smpl: tf.Tensor
    looks: Optional[tf.Tensor] = None


def network(variables: layers.Parameters, mesh: mesh_lib.Mesh, body: smpl.Smpl,
            images: Optional[tf.Tensor] = None, features: Optional[tf.Tensor] = None,
            num_layers: int = 5, num_channels: int = 256, resnet_width: int = 64,
            nearest: bool = False, has_classifier: bool = True,
            regressor_width: int = smpl_param_regressor.WIDTH) -> Outputs:
    """Builds the network.

    Args:
      variables: layers.Parameters; mesh: mesh.Mesh; body: smpl.Smpl.
      images: [B, 224, 224, 3], normalised; or
      features: [B, 2048] in their place.
      num_layers, num_channels, resnet_width, regressor_width: int, sizes.
      nearest: see smpl_param_regressor.orthogonal; has_classifier: see resnet.resnet50.
    Returns:
      Outputs.
    """
    graph = variables.scope('graph_cnn')
    looks = features
    if features is None:
        stages: List[tf.Tensor] = []
        features = resnet.resnet50(images, graph.scope('resnet'), resnet_width, stages,
                                   has_classifier)
        looks = tf.reduce_mean(stages[_LOOKS], axis=[1, 2])
    nodes, camera = graph_cnn.graph_cnn(features, mesh.ref_vertices, graph, mesh.adjacency,
                                        num_layers, num_channels)
    template = tf.tile(tf.constant(mesh.ref_vertices)[None], [features.shape[0].value, 1, 1])
    rotations, betas, _ = smpl_param_regressor.regressor(
        tf.concat([tf.stop_gradient(nodes), template], axis=2),
        variables.scope('smpl_param_regressor'), nearest, regressor_width)
    return Outputs(nodes, mesh.upsample(nodes), camera, rotations, betas,
                   body.vertices(rotations, betas), looks)

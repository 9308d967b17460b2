"""The whole network: picture to two bodies, the graph network's and SMPL's."""
import collections

import tensorflow.compat.v1 as tf

from cmr.src.models import graph_cnn, resnet, smpl_param_regressor

Outputs = collections.namedtuple('Outputs', 'nodes vertices camera rotations betas vertices_smpl')
Outputs.__doc__ = """nodes: [B, N, 3]; vertices: [B, V, 3] of the graph network; camera: [B, 3];
rotations: [B, 24, 3, 3] and betas: [B, 10] of the regressor; vertices_smpl: [B, V, 3]."""


def network(make, mesh, body, images=None, features=None, num_layers=5, num_channels=256,
            resnet_width=64, nearest=False, has_classifier=True):
    """Builds the network.

    Args:
      make: layers.Parameters.
      mesh: mesh.Mesh; body: smpl.Smpl.
      images: [B, 224, 224, 3], normalised; or
      features: [B, 2048] in their place.
      num_layers, num_channels, resnet_width: int, sizes.
      nearest: see smpl_param_regressor.orthogonal; has_classifier: see resnet.resnet50.
    Returns:
      Outputs.
    """
    graph = make.scope('graph_cnn')
    if features is None:
        features = resnet.resnet50(images, graph.scope('resnet'), resnet_width,
                                   has_classifier=has_classifier)
    nodes, camera = graph_cnn.graph_cnn(features, mesh.ref_vertices, graph, mesh.adjacency,
                                        num_layers, num_channels)
    template = tf.tile(tf.constant(mesh.ref_vertices)[None], [features.shape[0].value, 1, 1])
    rotations, betas, _ = smpl_param_regressor.regressor(
        tf.concat([tf.stop_gradient(nodes), template], axis=2), make.scope('smpl_param_regressor'),
        nearest)
    return Outputs(nodes, mesh.upsample(nodes), camera, rotations, betas,
                   body.vertices(rotations, betas))

"""The whole network: picture to two bodies, the graph network's and SMPL's, and its training."""
import collections

import tensorflow.compat.v1 as tf

from cmr.src.loss import loss
from cmr.src.models import geometric_layers, graph_cnn, resnet, smpl_param_regressor

Outputs = collections.namedtuple('Outputs', 'nodes vertices camera rotations betas vertices_smpl')
Outputs.__doc__ = """nodes: [B, N, 3]; vertices: [B, V, 3] of the graph network; camera: [B, 3];
rotations: [B, 24, 3, 3] and betas: [B, 10] of the regressor; vertices_smpl: [B, V, 3]."""

Truth = collections.namedtuple('Truth', 'keypoints pose_3d pose betas has_smpl has_pose_3d')
Truth.__doc__ = """What a batch is compared with: keypoints [B, 24, 3], pose_3d [B, 24, 4], pose
[B, 72], betas [B, 10], has_smpl and has_pose_3d float [B]."""


def network(make, mesh, body, images=None, features=None, num_layers=5, num_channels=256,
            resnet_width=64, plain=False):
    """Builds the network.

    Args:
      make: layers.Parameters.
      mesh: mesh.Mesh; body: smpl.Smpl.
      images: [B, 224, 224, 3], normalised; or
      features: [B, 2048] in their place.
      num_layers, num_channels, resnet_width: int, sizes.
      plain: see `graph_cnn`.
    Returns:
      Outputs.
    """
    graph = make.scope('graph_cnn')
    if features is None:
        features = resnet.resnet50(images, graph.scope('resnet'), resnet_width)
    nodes, camera = graph_cnn.graph_cnn(features, mesh.ref_vertices, graph, mesh.adjacency,
                                        num_layers, num_channels, plain)
    batch = features.shape[0].value
    template = tf.tile(tf.constant(mesh.ref_vertices)[None], [batch, 1, 1])
    both = tf.concat([tf.stop_gradient(nodes), template], axis=2)
    rotations, betas, _ = smpl_param_regressor.regressor(both, make.scope('smpl_param_regressor'))
    return Outputs(nodes, mesh.upsample(nodes), camera, rotations, betas,
                   body.vertices(rotations, betas))


def losses(outputs, truth, body):
    """The terms of the loss.

    Returns:
      (OrderedDict {name: scalar} in the order of loss.NAMES, keypoints [B, 24, 2] of the graph's
      mesh, the same of SMPL's).
    """
    real = body.vertices(truth.pose, truth.betas)
    terms, projected = {}, []
    for suffix, vertices, camera in (
            ('', outputs.vertices, outputs.camera),
            ('_smpl', outputs.vertices_smpl, tf.stop_gradient(outputs.camera))):
        joints = body.joints(vertices)
        projected.append(geometric_layers.orthographic_projection(joints, camera))
        terms['loss_shape' + suffix] = loss.shape(vertices, real, truth.has_smpl)
        terms['loss_keypoints' + suffix] = loss.keypoints_2d(projected[-1], truth.keypoints)
        terms['loss_keypoints_3d' + suffix] = loss.keypoints_3d(joints, truth.pose_3d,
                                                                truth.has_pose_3d)
    terms['loss_regr_pose'], terms['loss_regr_betas'] = loss.regressed(
        outputs.rotations, outputs.betas, truth.pose, truth.betas, truth.has_smpl)
    terms['loss'] = loss.total(terms)
    ordered = collections.OrderedDict((name, terms[name]) for name in loss.NAMES)
    return (ordered, *projected)


class Adam(tf.train.AdamOptimizer):
    """Adam with PyTorch's epsilon, which is added to the corrected root."""

    def _prepare(self):
        super()._prepare()
        _, beta2_power = self._get_beta_accumulators()
        self._epsilon_t = self._epsilon_t * tf.sqrt(1. - beta2_power)


def update(total, make, optimizer, weight_decay=0.):
    """One step of all trainable parameters that the loss depends on.

    Args:
      total: scalar; make: layers.Parameters; optimizer: tf.train.Optimizer.
      weight_decay: float, times the parameter, added to its gradient.
    Returns:
      tf.Operation; it moves the running statistics too.
    """
    variables = [variable for variable in make.variables.values() if variable.trainable]
    pairs = [(gradient, variable) for gradient, variable in
             zip(tf.gradients(total, variables), variables) if gradient is not None]
    if weight_decay:
        pairs = [(gradient + weight_decay * variable, variable) for gradient, variable in pairs]
    # Variables of TensorFlow 1 change in place: no update before every gradient is there.
    with tf.control_dependencies(make.updates + [gradient for gradient, _ in pairs]):
        return optimizer.apply_gradients(pairs)

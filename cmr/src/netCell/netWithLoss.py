"""The network with its losses, and a step of its training."""
import collections
import re
from typing import Dict, List, NamedTuple, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.loss import loss
from cmr.src.models import cmr, geometric_layers, layers, smpl

_BEFORE_NORM = re.compile(r'smpl_param_regressor\.layers\.\d\.fc_block\.[03]\.bias$')
_FIRST_WEIGHT = 'smpl_param_regressor.layers.0.fc_block.0.weight'

class Truth(NamedTuple):
    """What a batch is compared with.

    Attributes:
      keypoints: [B, 24, 3], x and y from -1 to 1 and confidence.
      pose_3d: [B, 24, 4], joints in metres and confidence.
      pose: [B, 72], axis-angle; betas: [B, 10].
      has_smpl, has_pose_3d: [B], 1 where a sample has pose and betas, or pose_3d.
    """

    keypoints: tf.Tensor
    pose_3d: tf.Tensor
    pose: tf.Tensor
    betas: tf.Tensor
    has_smpl: tf.Tensor
    has_pose_3d: tf.Tensor


def truth(batch: int) -> Truth:
    """Returns placeholders for a batch."""
    shapes: Dict[str, List[int]] = {
        'keypoints': [24, 3], 'pose_3d': [24, 4], 'pose': [72], 'betas': [10],
        'has_smpl': [], 'has_pose_3d': []}
    return Truth(**{name: tf.placeholder(tf.float32, [batch] + shape, name=name)
                    for name, shape in shapes.items()})


def losses(outputs: cmr.Outputs, truth: Truth,
           body: smpl.Smpl) -> Tuple[Dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Returns the terms of the loss (section 3.4), and the projected joints.

    Args:
      outputs: cmr.Outputs of a batch; truth: Truth; body: smpl.Smpl.
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
    return ordered, projected[0], projected[1]


class Adam(tf.train.AdamOptimizer):
    """Adam with PyTorch's epsilon, which is added to the corrected root."""

    def _prepare(self):
        super()._prepare()
        _, beta2_power = self._get_beta_accumulators()
        self._epsilon_t = self._epsilon_t * tf.sqrt(1. - beta2_power)


def update(total: tf.Tensor, variables: layers.Parameters, optimizer: tf.train.Optimizer,
           weight_decay: float = 0., drop_noise: bool = False) -> tf.Operation:
    """Returns one step of all trainable parameters that the loss depends on.

    Args:
      total: scalar, the loss; variables: layers.Parameters; optimizer: tf.train.Optimizer.
      weight_decay: float, times the parameter, added to its gradient.
      drop_noise: bool, leave out parameters whose true gradient is zero (biases before a batch
        normalisation, the template's share of the regressor); Adam moves them by rounding noise.
    Returns:
      tf.Operation; it moves the running statistics too.
    """
    trainable = list(variables.trainable.values())
    pairs = []
    for gradient, variable in optimizer.compute_gradients(total, var_list=trainable):
        name = variable.op.name
        if gradient is None or drop_noise and _BEFORE_NORM.search(name):
            continue
        if weight_decay:
            gradient += weight_decay * variable
        if drop_noise and name == _FIRST_WEIGHT:
            mask = np.tile(np.float32([1, 1, 1, 0, 0, 0]), variable.shape[1].value // 6)
            gradient *= mask
        pairs.append((gradient, variable))
    # Variables of TensorFlow 1 change in place: no update before every gradient is there.
    with tf.control_dependencies(variables.updates + [gradient for gradient, _ in pairs]):
        return optimizer.apply_gradients(pairs)

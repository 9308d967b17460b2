"""Losses of CMR, masked to samples that have what a term compares with. Paper: section 3.4.

B: batch, V: vertices. Shapes are static: a masked mean is the sum over the samples that count,
divided by their number (at least 1). Every loss is a scalar.
"""
from typing import Dict, Tuple

import tensorflow.compat.v1 as tf

from cmr.src.models import geometric_layers
from common.device import npu

NAMES = ('loss_shape', 'loss_shape_smpl', 'loss_keypoints', 'loss_keypoints_smpl',
         'loss_keypoints_3d', 'loss_keypoints_3d_smpl', 'loss_regr_pose', 'loss_regr_betas', 'loss')
_BETAS_WEIGHT = 0.1


@npu.float32_scope()
def _masked_mean(values, mask):
    """Mean of [B, ...] over the samples whose mask [B] is 1; 0 if there is none."""
    count = tf.maximum(tf.reduce_sum(mask), 1.)
    each = tf.reduce_mean(tf.reshape(values, [values.shape[0].value, -1]), axis=1)
    return tf.reduce_sum(each * mask) / count


@npu.float32_scope()
def keypoints_2d(predicted: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """Returns the mean squared error of projected joints, weighted by confidence.

    Args:
      predicted: [B, 24, 2], from -1 to 1 in the picture; truth: [B, 24, 3], with confidence last.
    """
    return tf.reduce_mean(truth[..., 2:] * tf.square(predicted - truth[..., :2]))


def keypoints_3d(predicted: tf.Tensor, truth: tf.Tensor, has_pose_3d: tf.Tensor) -> tf.Tensor:
    """Returns the mean squared error of 3D joints relative to the mid-hip, weighted by confidence.

    Args:
      predicted: [B, 24, 3], metres; truth: [B, 24, 4], with confidence last; has_pose_3d: [B].
    """
    confidence, truth = truth[..., 3:], truth[..., :3]
    predicted -= tf.reduce_mean(predicted[:, 2:4], axis=1, keepdims=True)
    truth -= tf.reduce_mean(truth[:, 2:4], axis=1, keepdims=True)
    return _masked_mean(confidence * tf.square(predicted - truth), has_pose_3d)


def shape(predicted: tf.Tensor, truth: tf.Tensor, has_smpl: tf.Tensor) -> tf.Tensor:
    """Returns the mean absolute error (L1) of vertices [B, V, 3] in metres; has_smpl: [B]."""
    return _masked_mean(tf.abs(predicted - truth), has_smpl)


def regressed(rotations: tf.Tensor, betas: tf.Tensor, pose: tf.Tensor, true_betas: tf.Tensor,
              has_smpl: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the mean squared errors of the regressed rotation matrices and shape coefficients.

    Args:
      rotations: [B, 24, 3, 3]; betas, true_betas: [B, 10]; has_smpl: [B].
      pose: [B, 72], axis-angle in radians, the truth of `rotations`.
    Returns:
      (loss of the rotations, loss of the betas).
    """
    batch = pose.shape[0].value
    truth = geometric_layers.rodrigues(tf.reshape(pose, [batch * 24, 3]))
    truth = tf.reshape(truth, [batch, 24, 3, 3])
    return (_masked_mean(tf.square(rotations - truth), has_smpl),
            _masked_mean(tf.square(betas - true_betas), has_smpl))


@npu.float32_scope()
def total(terms: Dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the weighted sum of the terms {name of NAMES: scalar}."""
    return (sum(terms[name] for name in NAMES[:7]) + _BETAS_WEIGHT * terms['loss_regr_betas'])

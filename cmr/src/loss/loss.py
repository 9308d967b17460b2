"""Losses of CMR, masked to samples that have what a term compares with. Paper: section 3.4.

B: batch, V: vertices. Shapes are static: a masked mean is the sum over the samples that count,
divided by their number (at least 1).
"""
import tensorflow.compat.v1 as tf

from cmr.src.models import geometric_layers
from common import device

NAMES = ('loss_shape', 'loss_shape_smpl', 'loss_keypoints', 'loss_keypoints_smpl',
         'loss_keypoints_3d', 'loss_keypoints_3d_smpl', 'loss_regr_pose', 'loss_regr_betas', 'loss')
_BETAS_WEIGHT = 0.1


@device.float32_scope()
def _masked_mean(values, mask):
    """Mean of [B, ...] over the samples whose mask [B] is 1; 0 where there are none."""
    count = tf.maximum(tf.reduce_sum(mask), 1.)
    each = tf.reduce_mean(tf.reshape(values, [values.shape[0].value, -1]), axis=1)
    return tf.reduce_sum(each * mask) / count


@device.float32_scope()
def keypoints_2d(predicted, truth):
    """Squared distance of [B, 24, 2], times the confidence in truth [B, 24, 3]."""
    return tf.reduce_mean(truth[..., 2:] * tf.square(predicted - truth[..., :2]))


def keypoints_3d(predicted, truth, has_pose_3d):
    """The same of [B, 24, 3], both from the middle of the hips; truth [B, 24, 4]."""
    confidence, truth = truth[..., 3:], truth[..., :3]
    predicted -= tf.reduce_mean(predicted[:, 2:4], axis=1, keepdims=True)
    truth -= tf.reduce_mean(truth[:, 2:4], axis=1, keepdims=True)
    return _masked_mean(confidence * tf.square(predicted - truth), has_pose_3d)


def shape(predicted, truth, has_smpl):
    """Mean absolute difference of vertices [B, V, 3]."""
    return _masked_mean(tf.abs(predicted - truth), has_smpl)


def regressed(rotations, betas, pose, true_betas, has_smpl):
    """Squared differences of rotation matrices [B, 24, 3, 3] and of betas [B, 10]; pose [B, 72]."""
    batch = pose.shape[0].value
    truth = geometric_layers.rodrigues(tf.reshape(pose, [batch * 24, 3]))
    truth = tf.reshape(truth, [batch, 24, 3, 3])
    return (_masked_mean(tf.square(rotations - truth), has_smpl),
            _masked_mean(tf.square(betas - true_betas), has_smpl))


@device.float32_scope()
def total(terms):
    """The weighted sum of the terms."""
    return (sum(terms[name] for name in NAMES[:7]) + _BETAS_WEIGHT * terms['loss_regr_betas'])

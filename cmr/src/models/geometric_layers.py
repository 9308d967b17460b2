"""Rotations and the camera."""
import tensorflow.compat.v1 as tf


def rodrigues(theta: tf.Tensor) -> tf.Tensor:
    """Returns rotation matrices of axis-angle vectors, by quaternions as the original has it.

    Args:
      theta: [n, 3], radians; zero gives the identity.
    Returns:
      [n, 3, 3].
    """
    # The axis is theta itself over the length of theta + 1e-8.
    length = tf.sqrt(tf.reduce_sum(tf.square(theta + 1e-8), axis=1, keepdims=True))
    half = 0.5 * length
    return quat2mat(tf.concat([tf.cos(half), tf.sin(half) * theta / length], axis=1))


def quat2mat(quaternions: tf.Tensor) -> tf.Tensor:
    """Returns rotation matrices [n, 3, 3] of quaternions [n, 4] (w, x, y, z) of any length."""
    quaternions /= tf.sqrt(tf.reduce_sum(tf.square(quaternions), axis=1, keepdims=True))
    w, x, y, z = tf.unstack(quaternions, axis=1)
    rows = [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (w * y + x * z),
            2 * (w * z + x * y), w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (w * x + y * z), w * w - x * x - y * y + z * z]
    return tf.reshape(tf.stack(rows, axis=1), [-1, 3, 3])


def orthographic_projection(points: tf.Tensor, camera: tf.Tensor) -> tf.Tensor:
    """Projects by a weak-perspective camera: scale times (x, y shifted).

    Args:
      points: [B, n, 3]; camera: [B, 3], scale and shift.
    Returns:
      [B, n, 2], from -1 to 1 in the picture.
    """
    return camera[:, None, :1] * (points[:, :, :2] + camera[:, None, 1:])

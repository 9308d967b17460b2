"""Pose and shape of the body from the nodes' places. Paper: section 3.3.

B: batch, N: nodes.
"""
import tensorflow.compat.v1 as tf

from cmr.src.models import layers

NUM_JOINTS, NUM_BETAS = 24, 10
_ITERATIONS = 12
_FLOOR = 1e-6


def regressor(x, make):
    """Rotations and shape numbers.

    Args:
      x: [B, N, 6], predicted and template coordinates of each node.
      make: layers.Parameters.
    Returns:
      (rotation matrices [B, 24, 3, 3], betas [B, 10], the raw outputs [B, 226]).
    """
    batch, nodes, channels = x.shape.as_list()
    make = make.scope('layers')
    x = layers.fc_block(tf.reshape(x, [batch, nodes * channels]), make.scope('0'), 1024)
    for name in ('1', '2'):
        x = layers.fc_res_block(x, make.scope(name))
    raw = make.linear(x, '3', 9 * NUM_JOINTS + NUM_BETAS)
    matrices = tf.reshape(raw[:, :9 * NUM_JOINTS], [batch * NUM_JOINTS, 3, 3])
    rotations = tf.reshape(orthogonal(matrices), [batch, NUM_JOINTS, 3, 3])
    return rotations, raw[:, 9 * NUM_JOINTS:], raw


def _rows(matrix):
    return tf.unstack(matrix, axis=1)


def cofactors(matrix):
    """Cofactor matrices of [n, 3, 3]; over the determinant they are the inverse's transpose."""
    first, second, third = _rows(matrix)
    return tf.stack([tf.linalg.cross(second, third), tf.linalg.cross(third, first),
                     tf.linalg.cross(first, second)], axis=1)


def determinant(matrix):
    """Determinants [n] of [n, 3, 3]."""
    first, second, third = _rows(matrix)
    return tf.reduce_sum(first * tf.linalg.cross(second, third), axis=1)


def polar(matrix):
    """The orthogonal factor U V^T of [n, 3, 3] = U S V^T, by Newton's iteration.

    X becomes the mean of c X and its inverse transpose over c, c = |det X|^(-1/3) (Higham 1986): a
    fixed number of steps of elementary operations, no decomposition on the device.
    """
    x = matrix / tf.maximum(tf.sqrt(tf.reduce_mean(tf.square(matrix), axis=[1, 2], keepdims=True)),
                            1e-20)
    for _ in range(_ITERATIONS):
        det = determinant(x)[:, None, None]
        det = tf.where(tf.abs(det) < 1e-12, tf.fill(tf.shape(det), 1e-12), det)
        scale = tf.exp(tf.log(tf.abs(det)) / -3.)
        x = 0.5 * (scale * x + cofactors(x) / (det * scale))
    return x


@tf.custom_gradient
def orthogonal(matrix):
    """Orthogonal factors times their determinants, as the original has it.

    With a negative determinant this is minus the factor, not the nearest rotation; kept, since the
    trained weights count on it. The gradient is in closed form, finite for equal singular values.

    Args:
      matrix: [n, 3, 3].
    Returns:
      [n, 3, 3], determinant 1.
    """
    factor = polar(matrix)
    sign = tf.sign(determinant(factor))[:, None, None]

    def gradient(upstream):
        # For the symmetric P = R^T A and the skew K = R^T G - G^T R, dA = R Y where P Y + Y P = K;
        # as vectors of the skew matrices that is (tr(P) I - P) y = k.
        inner = tf.matmul(factor, upstream * sign, transpose_a=True)
        skew = inner - tf.transpose(inner, [0, 2, 1])
        k = tf.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
        stretch = tf.matmul(factor, matrix, transpose_a=True)
        stretch = 0.5 * (stretch + tf.transpose(stretch, [0, 2, 1]))
        sums = tf.linalg.trace(stretch)[:, None, None] * tf.eye(3) - stretch
        det = tf.maximum(determinant(sums), _FLOOR ** 3)[:, None]
        y = tf.reduce_sum(cofactors(sums) * k[:, None, :], axis=2) / det
        zero = tf.zeros_like(y[:, 0])
        rows = [zero, -y[:, 2], y[:, 1], y[:, 2], zero, -y[:, 0], -y[:, 1], y[:, 0], zero]
        return tf.matmul(factor, tf.reshape(tf.stack(rows, axis=1), [-1, 3, 3]))

    return factor * sign, gradient

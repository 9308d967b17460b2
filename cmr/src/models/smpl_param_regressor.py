"""SMPL pose and shape from the positions of the mesh (section 3.3). B: batch, N: nodes."""
from typing import Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.models import layers

NUM_JOINTS, NUM_BETAS = 24, 10
WIDTH = 1024            # of the hidden layers, as published
_ITERATIONS = 12
_SQUARINGS = 10
_FLOOR = 1e-6           # of sums of two singular values, in the gradient
_SINGULAR = 1e-8        # determinant of a matrix whose entries are about 1
# Not tf.eye: TensorFlow 2 makes it by an operation that 1.15 does not know in a frozen graph.
_IDENTITY = np.eye(3, dtype=np.float32)


def regressor(x: tf.Tensor, variables: layers.Parameters,
              nearest: bool = False, width: int = WIDTH) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Regresses the rotations of the joints and the shape coefficients.

    Args:
      x: [B, N, 6], predicted and template coordinates of each node.
      variables: layers.Parameters.
      nearest: see `orthogonal`; width: of the hidden layers.
    Returns:
      (rotation matrices [B, 24, 3, 3], betas [B, 10], the raw outputs [B, 226]).
    """
    batch, nodes, channels = x.shape.as_list()
    variables, flat = variables.scope('layers'), tf.reshape(x, [batch, nodes * channels])
    x = layers.fc_block(flat, variables.scope('0'), width)
    for name in ('1', '2'):
        x = layers.fc_res_block(x, variables.scope(name))
    raw = variables.linear(x, '3', 9 * NUM_JOINTS + NUM_BETAS)
    matrices = tf.reshape(raw[:, :9 * NUM_JOINTS], [batch * NUM_JOINTS, 3, 3])
    rotations = tf.reshape(orthogonal(matrices, nearest), [batch, NUM_JOINTS, 3, 3])
    return rotations, raw[:, 9 * NUM_JOINTS:], raw


def cofactors(matrix: tf.Tensor) -> tf.Tensor:
    """Returns the cofactor matrices of [n, 3, 3]: the inverse's transpose times the determinant."""
    # Behind the last row and column come the first two again.
    rows = tf.concat([matrix, matrix[:, :2]], axis=1)
    both = tf.concat([rows, rows[:, :, :2]], axis=2)

    def moved(down, right):
        return both[:, down:down + 3, right:right + 3]

    return moved(1, 1) * moved(2, 2) - moved(1, 2) * moved(2, 1)


def determinant(matrix: tf.Tensor) -> tf.Tensor:
    """Returns determinants [n] of [n, 3, 3]."""
    return _expanded(matrix, cofactors(matrix))


def _expanded(matrix, minors):
    """Determinants by the first row and its cofactors."""
    return tf.reduce_sum(matrix[:, 0] * minors[:, 0], axis=1)


def polar(matrix: tf.Tensor) -> tf.Tensor:
    """Returns the orthogonal factor U V^T of [n, 3, 3] = U S V^T, by Newton's iteration.

    X becomes the mean of c X and its inverse transpose over c, c = |det X|^(-1/3) (Higham 1986): a
    fixed number of steps of elementary operations, no decomposition on the device.
    """
    x = matrix / tf.maximum(tf.sqrt(tf.reduce_mean(tf.square(matrix), axis=[1, 2], keepdims=True)),
                            1e-20)
    # Where two singular values are zero the iteration has nothing to hold on to.
    is_singular = tf.cast(tf.abs(determinant(x)) < _SINGULAR, tf.float32)[:, None, None]
    x += 1e-3 * is_singular * _IDENTITY
    for _ in range(_ITERATIONS):
        minors = cofactors(x)
        det = _expanded(x, minors)[:, None, None]
        det = tf.where(tf.abs(det) < 1e-12, tf.fill(tf.shape(det), 1e-12), det)
        scale = tf.exp(tf.log(tf.abs(det)) / -3.)
        x = 0.5 * (scale * x + minors / (det * scale))
    return x


def orthogonal(matrix: tf.Tensor, nearest: bool = False) -> tf.Tensor:
    """Orthogonalises matrices to rotations (section 3.3; differentiable SVD in the original).

    A matrix of positive determinant becomes its polar factor U V^T, the nearest rotation. Of a
    negative determinant the original takes -U V^T, which is not the nearest one, and the trained
    weights count on it. The gradient is in closed form, finite for equal singular values.

    Args:
      matrix: [n, 3, 3].
      nearest: bool, the nearest rotation there instead: the axis of the smallest singular value
        is mirrored.
    Returns:
      [n, 3, 3].
    """
    return (_nearest if nearest else _signed)(matrix)


@tf.custom_gradient
def _signed(matrix):
    factor = polar(matrix)
    sign = tf.sign(determinant(factor))[:, None, None]
    return factor * sign, lambda upstream: _gradient(matrix, factor, upstream * sign)


@tf.custom_gradient
def _nearest(matrix):
    factor = polar(matrix)
    stretch = _symmetric(tf.matmul(factor, matrix, transpose_a=True))
    # Powers of tr(P) I - P tend to v v^T, v the direction of the least stretch.
    power = _trace(stretch)[:, None, None] * _IDENTITY - stretch
    for _ in range(_SQUARINGS):
        power /= tf.maximum(_trace(power), 1e-20)[:, None, None]
        power = tf.matmul(power, power)
    power /= tf.maximum(_trace(power), 1e-20)[:, None, None]
    mirrored = factor - 2 * tf.matmul(factor, power)
    negative = tf.tile((determinant(factor) < 0)[:, None, None], [1, 3, 3])
    rotation = tf.where(negative, mirrored, factor)
    return rotation, lambda upstream: _gradient(matrix, rotation, upstream)


def _trace(matrix):
    """Returns the traces [n] of [n, 3, 3]."""
    return tf.reduce_sum(matrix * _IDENTITY, axis=[1, 2])


def _symmetric(matrix):
    return 0.5 * (matrix + tf.transpose(matrix, [0, 2, 1]))


def _gradient(matrix, factor, upstream):
    """Returns the gradient of the orthogonal factor R of A, where G comes from above.

    For the symmetric P = R^T A and the skew K = R^T G - G^T R it is R Y where P Y + Y P = K; as
    vectors of the skew matrices that is (tr(P) I - P) y = k.
    """
    inner = tf.matmul(factor, upstream, transpose_a=True)
    skew = inner - tf.transpose(inner, [0, 2, 1])
    k = tf.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
    stretch = _symmetric(tf.matmul(factor, matrix, transpose_a=True))
    sums = _trace(stretch)[:, None, None] * _IDENTITY - stretch
    is_low = determinant(sums) <= _FLOOR * tf.square(_trace(sums))
    sums += _FLOOR * tf.cast(is_low, tf.float32)[:, None, None] * _IDENTITY
    minors = cofactors(sums)
    det = tf.maximum(_expanded(sums, minors), _FLOOR ** 3)[:, None]
    y = tf.reduce_sum(minors * k[:, None, :], axis=2) / det
    zero = tf.zeros_like(y[:, 0])
    rows = [zero, -y[:, 2], y[:, 1], y[:, 2], zero, -y[:, 0], -y[:, 1], y[:, 0], zero]
    return tf.matmul(factor, tf.reshape(tf.stack(rows, axis=1), [-1, 3, 3]))

"""Products with a large or a sparse matrix, and their gradients, in an order fast on CPUs.

TensorFlow 1.15 multiplies two to some dozen rows by a transposed matrix at a hundredth of the speed
of other products, as the gradient by the rows does too; the product of the matrix with the rows as
columns is the same.
"""
import tensorflow.compat.v1 as tf

from common.ops import runtime

_FEW_ROWS = 16


def matmul(rows: tf.Tensor, matrix: tf.Tensor, transpose: bool = False) -> tf.Tensor:
    """Multiplies rows by a matrix or its transpose.

    Args:
      rows: [B, n]; B known when the graph is built.
      matrix: [n, m], or [m, n] with `transpose`.
      transpose: bool.
    Returns:
      [B, m].
    """
    if not 1 < (rows.shape[0].value or 0) <= _FEW_ROWS:
        return tf.matmul(rows, matrix, transpose_b=transpose)

    @tf.custom_gradient
    def multiply(inputs, weights):
        def gradients(upstream):
            to_inputs = _product(upstream, weights, not transpose)
            one, other = (upstream, inputs) if transpose else (inputs, upstream)
            return to_inputs, tf.matmul(one, other, transpose_a=True)
        return _product(inputs, weights, transpose), gradients

    return multiply(rows, matrix)


def sparse_matmul(matrix: tf.SparseTensor, columns: tf.Tensor) -> tf.Tensor:
    """Multiplies a sparse matrix by a dense one, so many columns at a time as are fast.

    Args:
      matrix: [n, m].
      columns: [m, k]; k known when the graph is built.
    Returns:
      [n, k].
    """
    count, most = columns.shape[1].value, runtime.SPARSE_COLUMNS
    if most is None or count <= most:
        return tf.sparse.sparse_dense_matmul(matrix, columns)
    sizes = [most] * (count // most) + [count % most] * (count % most > 0)
    return tf.concat([tf.sparse.sparse_dense_matmul(matrix, part)
                      for part in tf.split(columns, sizes, axis=1)], axis=1)


def _product(rows, matrix, transpose):
    if transpose:
        return tf.transpose(tf.matmul(matrix, rows, transpose_b=True))
    return tf.matmul(rows, matrix)

"""The mesh that the graph network works on: adjacency, levels, normalised template.

V: vertices of the body, N: nodes of the level that the network uses.
"""
from typing import Sequence

import numpy as np
import scipy.sparse
import tensorflow.compat.v1 as tf

from common.ops import products


def adjacency_matrix(connections: scipy.sparse.spmatrix,
                     power: int = 1) -> scipy.sparse.csr_matrix:
    """Returns the row-normalised adjacency with self-connections, D^-1 (A + I).

    Args:
      connections: scipy sparse [N, N], any value at pairs of neighbours.
      power: int, neighbours of up to so many edges.
    Returns:
      scipy csr matrix float32.
    """
    matrix = scipy.sparse.csr_matrix(connections) ** power
    matrix = scipy.sparse.csr_matrix((np.ones(len(matrix.data)), matrix.indices, matrix.indptr),
                                     shape=matrix.shape).tolil()
    matrix.setdiag(1)
    matrix = matrix.tocsr()
    rows = np.asarray(matrix.sum(axis=1)).ravel()
    return scipy.sparse.diags(1 / rows).dot(matrix).tocsr().astype(np.float32)


class Adjacency:
    """A sparse matrix with few entries a row that multiplies features of nodes.

    Args:
      matrix: scipy sparse [M, N].
      form: str, how: 'sparse' is by far the fastest on CPU and GPU, but no operation of an NPU;
        'gather' takes a fixed number of rows, forward and backward; 'dense'.
    """

    def __init__(self, matrix: scipy.sparse.spmatrix, form: str = 'gather'):
        self._matrix = scipy.sparse.csr_matrix(matrix, dtype=np.float32)
        self._matrix.sort_indices()
        self._product = {'sparse': self._by_sparse, 'gather': self._by_gather,
                         'dense': self._by_dense}[form]

    def multiply(self, x: tf.Tensor) -> tf.Tensor:
        """Multiplies features of the nodes by the matrix.

        Args:
          x: [B, N, C].
        Returns:
          [B, M, C].
        """
        return self._product(x)

    def _by_sparse(self, x):
        # One product for the batch: its matrix has a copy of this one for each sample.
        batch, nodes, channels = x.shape.as_list()
        rows = self._matrix.shape[0]
        entries = self._matrix.tocoo()
        places = np.stack([entries.row, entries.col], axis=1).astype(np.int64)
        shifts = np.arange(batch)[:, None, None] * np.array([rows, nodes])
        matrix = tf.SparseTensor((places + shifts).reshape(-1, 2), np.tile(entries.data, batch),
                                 [batch * rows, batch * nodes])
        y = products.sparse_matmul(matrix, tf.reshape(x, [batch * nodes, channels]))
        return tf.reshape(y, [batch, rows, channels])

    def _by_gather(self, x):
        @tf.custom_gradient
        def product(x):     # the gradient of a gather would scatter
            return _gathered(self._matrix, x), lambda upstream: _gathered(
                self._matrix.T.tocsr(), upstream)
        return product(x)

    def _by_dense(self, x):
        # One product: the batch goes beside the channels.
        batch, nodes, channels = x.shape.as_list()
        columns = tf.reshape(tf.transpose(x, [1, 0, 2]), [nodes, batch * channels])
        y = tf.matmul(tf.constant(self._matrix.toarray()), columns)
        return tf.transpose(tf.reshape(y, [self._matrix.shape[0], batch, channels]), [1, 0, 2])


def _gathered(matrix, x):
    """Product of a csr matrix with [B, N, C], as a sum of gathered rows."""
    counts = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), counts)
    places = np.arange(len(matrix.data)) - np.repeat(matrix.indptr[:-1], counts)
    index = np.zeros([matrix.shape[0], max(1, counts.max())], np.int32)
    weight = np.zeros(index.shape, np.float32)
    index[rows, places], weight[rows, places] = matrix.indices, matrix.data
    total = None
    for column, factor in zip(index.T, weight.T):
        part = tf.gather(x, column, axis=1) * factor[None, :, None]
        total = part if total is None else total + part
    return total


class Mesh:
    """Levels of a body's mesh.

    Args:
      template: float [V, 3], vertices at rest.
      connections, downs, ups: lists of scipy sparse matrices, as mesh_downsampling.npz has them.
      level: int, the one that the network works on.
      form: see `Adjacency`.

    Attributes:
      adjacency: Adjacency of the level; ref_vertices: float32 [N, 3], normalised template there.
    """

    def __init__(self, template: np.ndarray, connections: Sequence[scipy.sparse.spmatrix],
                 downs: Sequence[scipy.sparse.spmatrix], ups: Sequence[scipy.sparse.spmatrix],
                 level: int = 1, form: str = 'gather'):
        self.adjacency = Adjacency(adjacency_matrix(connections[level]), form)
        points = normalised(template)
        for matrix in downs[:level]:
            points = matrix.dot(points)
        self.ref_vertices = points.astype(np.float32)
        self._ups = [Adjacency(matrix, form) for matrix in ups[:level]]
        self._downs = [Adjacency(matrix, form) for matrix in downs[:level]]

    def upsample(self, x: tf.Tensor) -> tf.Tensor:
        """Upsamples positions [B, N, 3] of the nodes to [B, V, 3] of the vertices."""
        for matrix in reversed(self._ups):
            x = matrix.multiply(x)
        return x

    def downsample(self, x: tf.Tensor) -> tf.Tensor:
        """Downsamples positions [B, V, 3] of the vertices to [B, N, 3] of the nodes."""
        for matrix in self._downs:
            x = matrix.multiply(x)
        return x


def normalised(template: np.ndarray) -> np.ndarray:
    """Centres the bounding box of points [V, 3] at the origin, largest coordinate 1; float32."""
    points = np.asarray(template, np.float32)
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return points / np.abs(points).max()

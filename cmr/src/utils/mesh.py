"""The mesh that the graph network works on: adjacency, levels, normalised template.

V: vertices of the body, N: nodes of the level that the network uses.
"""
import numpy as np
import scipy.sparse
import tensorflow.compat.v1 as tf


def adjacency_matrix(connections, power=1):
    """Row-normalised adjacency with self-connections, D^-1 (A + I).

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
      plain: bool, as a dense product; else as a gather of fixed width. Neither is sparse on the
        device.
    """

    def __init__(self, matrix, plain=False):
        matrix = scipy.sparse.csr_matrix(matrix)
        matrix.sort_indices()
        self._dense = matrix.toarray().astype(np.float32) if plain else None
        counts = np.diff(matrix.indptr)
        width = max(1, counts.max())
        self._index = np.zeros([matrix.shape[0], width], np.int32)
        self._weight = np.zeros([matrix.shape[0], width], np.float32)
        places = np.arange(len(matrix.data)) - np.repeat(matrix.indptr[:-1], counts)
        rows = np.repeat(np.arange(matrix.shape[0]), counts)
        self._index[rows, places] = matrix.indices
        self._weight[rows, places] = matrix.data

    def multiply(self, x):
        """Product with features.

        Args:
          x: [B, N, C].
        Returns:
          [B, M, C].
        """
        batch, nodes, channels = x.shape.as_list()
        if self._dense is not None:
            # One product: the batch goes beside the channels.
            columns = tf.reshape(tf.transpose(x, [1, 0, 2]), [nodes, batch * channels])
            y = tf.matmul(tf.constant(self._dense), columns)
            return tf.transpose(tf.reshape(y, [len(self._index), batch, channels]), [1, 0, 2])
        total = None
        for index, weight in zip(self._index.T, self._weight.T):
            part = tf.gather(x, index, axis=1) * weight[None, :, None]
            total = part if total is None else total + part
        return total


class Mesh:
    """Levels of a body's mesh.

    Args:
      template: float [V, 3], vertices at rest.
      connections, downs, ups: lists of scipy sparse matrices, as mesh_downsampling.npz has them.
      level: int, the one that the network works on.
      plain: see `Adjacency`.

    Attributes:
      adjacency: Adjacency of the level; ref_vertices: float32 [N, 3], normalised template there.
    """

    def __init__(self, template, connections, downs, ups, level=1, plain=False):
        self.adjacency = Adjacency(adjacency_matrix(connections[level]), plain)
        points = normalised(template)
        for matrix in downs[:level]:
            points = matrix.dot(points)
        self.ref_vertices = points.astype(np.float32)
        self._ups = [Adjacency(matrix, plain) for matrix in ups[:level]]
        self._downs = [Adjacency(matrix, plain) for matrix in downs[:level]]

    def upsample(self, x):
        """[B, N, 3] at the level to [B, V, 3]."""
        for matrix in reversed(self._ups):
            x = matrix.multiply(x)
        return x

    def downsample(self, x):
        """[B, V, 3] to [B, N, 3] at the level."""
        for matrix in self._downs:
            x = matrix.multiply(x)
        return x


def normalised(template):
    """Middle of the bounding box to the origin, largest absolute coordinate 1."""
    points = np.asarray(template, np.float32)
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    return points / np.abs(points).max()

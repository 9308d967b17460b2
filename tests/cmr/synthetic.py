"""A body drawn by fixed rules in SMPL's format, and its mesh's levels; nothing of SMPL is in it.

The rules are those by which the golden cases were made, so that both meet in every bit that counts.
"""
import numpy as np
import scipy.sparse

from tests import golden

_PARENTS = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


def _draw(seed, name, shape, dist, a, b):
    return golden.draw_weight(seed, name, list(shape), dist, a, b)


def _sphere(rings, segments):
    """(unit vertices [2 + rings segments, 3], triangles); the poles come first and last."""
    tilt = np.pi * np.arange(1, rings + 1) / (rings + 1.)
    turn = 2. * np.pi * np.arange(segments) / segments
    circle = np.empty([rings, segments, 3])
    circle[..., 0] = np.outer(np.sin(tilt), np.cos(turn))
    circle[..., 1] = np.outer(np.cos(tilt), np.ones(segments))
    circle[..., 2] = np.outer(np.sin(tilt), np.sin(turn))
    points = np.concatenate([[[0., 1, 0]], circle.reshape(-1, 3), [[0., -1, 0]]])
    number = 1 + np.arange(rings * segments).reshape(rings, segments)
    after = np.roll(number, -1, axis=1)
    top = np.stack([np.zeros(segments, int), after[0], number[0]], axis=1)
    upper = np.stack([number[:-1], after[:-1], number[1:]], axis=2)
    lower = np.stack([after[:-1], after[1:], number[1:]], axis=2)
    between = np.stack([upper, lower], axis=2).reshape(-1, 3)
    bottom = np.stack([np.full(segments, len(points) - 1), number[-1], after[-1]], axis=1)
    return points, np.concatenate([top, between, bottom])


def _distances(first, second):
    """Squared distances [n, m], summed axis by axis."""
    total = (first[:, None, 0] - second[None, :, 0]) ** 2
    for axis in (1, 2):
        total = total + (first[:, None, axis] - second[None, :, axis]) ** 2
    return total


def _nearest(first, second, count):
    distances = _distances(first, second)
    order = np.argsort(distances, axis=1, kind='stable')[:, :count]
    return order, np.take_along_axis(distances, order, axis=1)


def _regressor(seed, name, points, rows, support):
    """[rows, V]: each row a weighted mean of the vertices nearest to a drawn one."""
    count = len(points)
    drawn = _draw(seed, name + '/centre', [rows], 'uniform', 0, 1)
    centre = np.minimum((drawn * count).astype(np.int64), count - 1)
    weight = _draw(seed, name + '/weight', [rows, support], 'uniform', 0.2, 1.).astype(np.float64)
    order, _ = _nearest(points[centre], points, support)
    matrix = np.zeros([rows, count])
    np.put_along_axis(matrix, order, weight / weight.sum(axis=1, keepdims=True), axis=1)
    return matrix


def body(seed, rings=82, segments=84):
    """dict with the keys of SMPL's file that CMR reads, and the two regressors of other files."""
    unit, triangles = _sphere(rings, segments)
    count = len(unit)
    bumps = 1. + 0.25 * np.cos(9. * unit[:, 1:2])
    points = unit * np.array([0.35, 0.9, 0.2]) * bumps + np.array([0., -0.2, 0.02])
    points = np.round(points + _draw(seed, 'v_noise', [count, 3], 'normal', 0, 0.004), 6)
    joints = _regressor(seed, 'J_regressor', points, 24, min(12, count // 4))
    order, squares = _nearest(points, joints.dot(points), 4)
    shares = np.exp(-(squares - squares[:, :1]) / (2 * 0.15 ** 2))
    weights = np.zeros([count, 24])
    np.put_along_axis(weights, order, shares / shares.sum(axis=1, keepdims=True), axis=1)
    tree = np.array([[2 ** 32 - 1] + _PARENTS, np.arange(24)], np.int64).astype(np.uint32)
    return {'v_template': points, 'f': triangles.astype(np.uint32), 'weights': weights,
            'shapedirs': _draw(seed, 'shapedirs', [count, 3, 10], 'normal', 0, 0.01),
            'posedirs': _draw(seed, 'posedirs', [count, 3, 207], 'normal', 0, 0.003),
            'J_regressor': scipy.sparse.csc_matrix(joints), 'kintree_table': tree,
            'J_regressor_extra': _regressor(seed, 'J_regressor_extra', points, 14,
                                            min(6, count // 4)),
            'J_regressor_h36m': _regressor(seed, 'J_regressor_h36m', points, 17,
                                           min(7, count // 4))}


def hierarchy(seed, points, triangles, sizes):
    """(A, D, U): lists of sparse matrices, neighbours, downsampling and upsampling by level."""
    triangles = np.asarray(triangles, np.int64)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    neighbours, downs, ups = [_neighbours(edges, len(points))], [], []
    for level, size in enumerate(sizes):
        count = len(points)
        drawn = _draw(seed, 'keep/{}'.format(level), [count], 'uniform', 0, 1)
        chosen = np.sort(np.argsort(drawn, kind='stable')[:size])
        order, squares = _nearest(points, points[chosen], 3)
        weights = 1. / (np.sqrt(squares) + 1e-3)
        weights /= weights.sum(axis=1, keepdims=True)
        weights[chosen] = 1., 0., 0.
        rows = np.repeat(np.arange(count), 3)
        ups.append(scipy.sparse.csc_matrix((weights.ravel(), (rows, order.ravel())),
                                           shape=(count, size)))
        downs.append(scipy.sparse.csc_matrix((np.ones(size), (np.arange(size), chosen)),
                                             shape=(size, count)))
        edges = order[:, 0][edges]
        edges = edges[edges[:, 0] != edges[:, 1]]
        neighbours.append(_neighbours(edges, size))
        points = points[chosen]
    return neighbours, downs, ups


def _neighbours(edges, count):
    both = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    return scipy.sparse.csc_matrix((np.full(len(both), 2.), both.T), shape=(count, count))

"""Levels of a body's mesh (mesh_downsampling.npz): adjacency, down- and upsampling.

Each level has about a quarter of the vertices of the one above, chosen by quadric edge collapse
(Garland, Heckbert 1997); dropped vertices are barycentric in the nearest triangle that is left.
V: vertices of a level.
"""
import argparse
import heapq
import os
from typing import List, Set, Tuple

import numpy as np
import scipy.sparse
import scipy.spatial

from cmr.src import config as config_lib
from cmr.src.utils import body as body_lib
from common import cli, errors
from common.geometry import meshes

_NEAREST = 24       # triangles with the nearest centres that a vertex is projected to


def adjacency(triangles: np.ndarray, count: int) -> scipy.sparse.csr_matrix:
    """Returns which of `count` vertices share an edge.

    Args:
      triangles: int [F, 3]; count: int, V.
    Returns:
      csr matrix [V, V]; entries count the triangles of the edge.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    return scipy.sparse.coo_matrix((np.ones(len(both), np.float32), both.T),
                                   shape=(count, count)).tocsr()


def collapse(vertices: np.ndarray, triangles: np.ndarray,
             target: int) -> Tuple[np.ndarray, np.ndarray]:
    """Collapses edges onto one of their vertices until `target` vertices are left.

    Args:
      vertices: float [V, 3]; triangles: int [F, 3]; target: int.
    Returns:
      (vertices that stay: sorted int [target]; their triangles, by the old numbers).
    Raises:
      errors.InputError: the mesh cannot be brought down that far.
    """
    vertices = np.asarray(vertices, np.float64)
    quadrics = _quadrics(vertices, triangles)
    faces = {number: tuple(row) for number, row in enumerate(triangles.tolist())}
    around: List[Set[int]] = [set() for _ in vertices]
    for number, row in faces.items():
        for vertex in row:
            around[vertex].add(number)
    alive, stamp = set(range(len(vertices))), [0] * len(vertices)
    alive -= {vertex for vertex in alive if not around[vertex]}

    def cost(drop, keep):
        point = np.append(vertices[keep], 1.)
        return float(point.dot(quadrics[drop] + quadrics[keep]).dot(point))

    def neighbours(vertex):
        return {other for number in around[vertex] for other in faces[number]} - {vertex}

    heap: List[Tuple] = []

    def push(vertex):
        for other in neighbours(vertex):
            for drop, keep in ((vertex, other), (other, vertex)):
                heapq.heappush(heap, (cost(drop, keep), drop, keep, stamp[drop], stamp[keep]))

    for vertex in sorted(alive):
        for other in sorted(neighbours(vertex)):
            heapq.heappush(heap, (cost(vertex, other), vertex, other, 0, 0))
    while len(alive) > target and heap:
        _, drop, keep, first, second = heapq.heappop(heap)
        if drop not in alive or keep not in alive or (first, second) != (stamp[drop], stamp[keep]):
            continue
        if not _allowed(vertices, faces, around, neighbours, drop, keep):
            continue
        _move_faces(faces, around, drop, keep)
        alive.discard(drop)
        quadrics[keep] += quadrics[drop]
        stamp[keep] += 1
        push(keep)
    if len(alive) > target:
        raise errors.InputError('the mesh cannot be brought below {} vertices ({} wanted); choose '
                                'a smaller --factor.'.format(len(alive), target))
    return np.array(sorted(alive)), np.array(sorted(faces.values()), np.int64)


def _move_faces(faces, around, drop, keep):
    """Moves the triangles of a vertex to another one; those that had both go."""
    for number in list(around[drop]):
        row = faces[number]
        if keep in row:
            del faces[number]
            for vertex in row:
                around[vertex].discard(number)
        else:
            faces[number] = tuple(keep if vertex == drop else vertex for vertex in row)
            around[keep].add(number)
    around[drop] = set()


def _quadrics(vertices, triangles):
    """Quadrics [V, 4, 4]: sums of the squared distances to the planes of a vertex's triangles."""
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1, keepdims=True)
    normals /= np.maximum(area, 1e-20)
    planes = np.concatenate([normals, -(normals * corners[:, 0]).sum(axis=1, keepdims=True)],
                            axis=1)
    each = area[:, :, None] * planes[:, :, None] * planes[:, None, :]
    quadrics = np.zeros([len(vertices), 4, 4])
    for corner in range(3):
        np.add.at(quadrics, triangles[:, corner], each)
    return quadrics


def _allowed(vertices, faces, around, neighbours, drop, keep):
    """Returns whether a collapse leaves a manifold mesh without flipped triangles."""
    shared = neighbours(drop) & neighbours(keep)
    edge = sum(keep in faces[number] for number in around[drop])
    if len(shared) != edge or len(neighbours(keep)) + len(neighbours(drop)) < 7:
        return False
    for number in around[drop]:
        row = faces[number]
        if keep in row:
            continue
        before = vertices[list(row)]
        after = vertices[[keep if vertex == drop else vertex for vertex in row]]
        first, second = [np.cross(one[1] - one[0], one[2] - one[0]) for one in (before, after)]
        if first.dot(second) <= 0.1 * np.linalg.norm(first) * np.linalg.norm(second):
            return False
    return True


def upsampling(vertices: np.ndarray, coarse: np.ndarray,
               triangles: np.ndarray) -> scipy.sparse.csr_matrix:
    """Returns the matrix [V, K] of each vertex in barycentric coordinates of the coarse ones.

    Args:
      vertices: [V, 3]; coarse: int [K], which of them stay; triangles: int [T, 3] of these.
    """
    place = np.full(len(vertices), -1)
    place[coarse] = np.arange(len(coarse))
    corners = vertices[triangles]
    tree = scipy.spatial.cKDTree(corners.mean(axis=1))
    _, nearest = tree.query(vertices, k=min(_NEAREST, len(triangles)))
    weights = _barycentric(vertices[:, None], corners[nearest])
    projected = (weights[..., None] * corners[nearest]).sum(axis=2)
    best = np.linalg.norm(projected - vertices[:, None], axis=2).argmin(axis=1)
    rows = np.arange(len(vertices))
    weights, columns = weights[rows, best], place[triangles[nearest[rows, best]]]
    # A vertex that stays is itself; each row has three entries.
    for row, column in enumerate(place):
        if column >= 0:
            first = np.flatnonzero((triangles == row).any(axis=1))[0]
            columns[row] = place[triangles[first]]
            weights[row] = columns[row] == column
    return scipy.sparse.coo_matrix(
        (weights.ravel(), (np.repeat(rows, 3), columns.ravel())),
        shape=(len(vertices), len(coarse))).tocsr()


def _barycentric(points, corners):
    """Weights [..., 3] of the points of triangles [..., 3, 3] nearest to points [..., 3]."""
    a, b, c = [corners[..., number, :] for number in range(3)]
    first, second, offset = b - a, c - a, points - a
    d00, d01, d11 = [(one * two).sum(axis=-1) for one, two in
                     ((first, first), (first, second), (second, second))]
    d20, d21 = [(offset * one).sum(axis=-1) for one in (first, second)]
    det = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / det, (d00 * d21 - d01 * d20) / det
    weights = np.stack([1 - v - w, v, w], axis=-1)
    weights = np.maximum(weights, 0)
    return weights / weights.sum(axis=-1, keepdims=True)


def make(options: argparse.Namespace) -> None:
    """Makes and writes the levels.

    Args:
      options: those of make_template.py.
    Raises:
      errors.InputError: the mesh cannot be read, or some vertex has no triangle.
      errors.UsageError: an option makes no sense.
    """
    if os.path.splitext(options.output)[1] != '.npz':
        raise errors.UsageError('--output must end in .npz, unlike {}.'.format(options.output))
    if options.factor <= 1:
        raise errors.UsageError('--factor must be above 1, not {:g}.'.format(options.factor))
    if os.path.splitext(options.body)[1].lower() in meshes.READABLE:
        mesh = meshes.read(options.body)
        vertices = np.asarray(mesh.vertices, np.float64)
        triangles = np.asarray(meshes.triangulate(mesh.faces, mesh.vertices), np.int64)
    else:
        arrays = body_lib.load(options.body or config_lib.SHIPPED_BODY, need_joints=False)
        vertices = np.asarray(arrays['v_template'], np.float64)
        triangles = np.asarray(arrays['f'], np.int64)
    # A triangle of one vertex twice would make that vertex its own neighbour.
    triangles = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    alone = np.setdiff1d(np.arange(len(vertices)), triangles)
    if len(alone):
        raise errors.InputError('{}: {} vertices, such as number {}, are in no face; the graph '
                                'network would not reach them. Remove them.'.format(
                                    options.body, len(alone), alone[0]))
    connections, downs, ups = [adjacency(triangles, len(vertices))], [], []
    for _ in range(options.levels):
        target = int(np.ceil(len(vertices) / options.factor))
        coarse, left = collapse(vertices, triangles, target)
        ups.append(upsampling(vertices, coarse, left))
        downs.append(scipy.sparse.coo_matrix(
            (np.ones(len(coarse)), (np.arange(len(coarse)), coarse)),
            shape=(len(coarse), len(vertices))).tocsr())
        error = np.linalg.norm(ups[-1].dot(vertices[coarse]) - vertices, axis=1).mean()
        place = np.full(len(vertices), -1)
        place[coarse] = np.arange(len(coarse))
        cli.say('{} -> {} vertices; down and up again moves them by {:.5f} on average'.format(
            len(vertices), len(coarse), error))
        vertices, triangles = vertices[coarse], place[left]
        connections.append(adjacency(triangles, len(vertices)))
    body_lib.save_levels(options.output, connections, downs, ups)
    cli.say('levels in {}'.format(options.output))

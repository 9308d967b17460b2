"""Heavy meshes brought down to few polygons: welding, quadric decimation, merging of plane faces.

Decimation: Garland and Heckbert 1997, by the library fast-simplification (optional). Merging: faces
that lie within an angle of a first one become one polygon each. The loss is the symmetric chamfer
distance of points on both surfaces, in percent of the diagonal of the box.
"""
import collections
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from scipy import spatial

from common import errors
from common.geometry import meshes
from polygen import surfaces

_SMALL = 1e-9
_TRIALS = 8             # of decimation, each to fewer triangles
_DENSE = 100000         # points of a surface in which those of the other one are looked up

Faces = List[List[int]]


class Reduced(NamedTuple):
    """A reduced mesh.

    Attributes:
      vertices: float64 [V, 3]; faces: list of lists of int.
      loss: float, chamfer distance in percent of the diagonal.
      closed: bool, every edge has its two faces; was_closed: bool, so had the original's.
    """

    vertices: np.ndarray
    faces: Faces
    loss: float
    closed: bool
    was_closed: bool


def weld(vertices: np.ndarray, faces: Sequence[Sequence[int]], decimals: int = 6
         ) -> Tuple[np.ndarray, Faces]:
    """Merges vertices that coincide, and drops faces that collapse or occur twice.

    Args:
      vertices: float [V, 3]; faces: list of sequences of int.
      decimals: int, digits of coordinates in units of the box's diagonal that tell vertices apart.
    Returns:
      (vertices [V', 3] that are used, faces).
    """
    vertices = np.asarray(vertices, np.float64)
    size = max(np.linalg.norm(vertices.max(axis=0) - vertices.min(axis=0)), 1e-30)
    keys = np.round((vertices - vertices.min(axis=0)) / size, decimals)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    numbers = inverse.reshape(-1).tolist()
    kept, seen = [], set()
    for face in faces:
        face = [numbers[index] for index in face]
        face = [index for place, index in enumerate(face) if index != face[place - 1]]
        key = frozenset(face)
        if len(face) > 2 and len(key) == len(face) and key not in seen:
            seen.add(key)
            kept.append(face)
    return _compact(vertices[first], kept)


def _compact(vertices, faces):
    used = sorted({index for face in faces for index in face})
    numbers = {index: number for number, index in enumerate(used)}
    return vertices[used], [[numbers[index] for index in face] for face in faces]


def is_closed(faces: Sequence[Sequence[int]]) -> bool:
    """Returns whether every edge belongs to two faces, which run along it in opposite ways."""
    edges = collections.Counter(edge for face in faces for edge in zip(
        face, list(face[1:]) + [face[0]]))
    return bool(edges) and all(count == 1 and edges.get((end, start)) == 1
                               for (start, end), count in edges.items())


def library() -> Any:
    """Returns the module fast_simplification.

    Raises:
      errors.InputError: it is not installed.
    """
    try:
        import fast_simplification
    except ImportError:
        raise errors.InputError(
            'reducing meshes needs fast-simplification: pip install --no-deps fast-simplification '
            '(0.1.3 for Python 3.7).') from None
    return fast_simplification


def decimate(vertices: np.ndarray, triangles: np.ndarray, target: int
             ) -> Tuple[np.ndarray, np.ndarray]:
    """Reduces a triangle mesh to about `target` triangles.

    Raises:
      errors.InputError: the library is not installed.
    """
    fast_simplification = library()
    if len(triangles) <= target:
        return vertices, triangles
    points, faces = fast_simplification.simplify(
        np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.int32),
        target_reduction=float(np.clip(1 - target / len(triangles), 0, 0.9999)))
    return np.asarray(points, np.float64), np.asarray(faces)


def merge_plane(vertices: np.ndarray, triangles: np.ndarray, degrees: float) -> Faces:
    """Merges triangles to polygons whose normals lie within an angle of their first one's.

    A plane region with holes becomes several polygons. A vertex in the midst of a straight edge
    goes when both faces at it agree (`_drop_straight`).

    Args:
      vertices: float [V, 3]; triangles: int [T, 3]; degrees: float.
    Returns:
      list of faces.
    """
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(areas, _SMALL)[:, None]
    neighbours = _neighbours(triangles)
    limit, group, faces = np.cos(np.radians(degrees)), np.full(len(triangles), -1), []
    for start in np.argsort(-areas, kind='stable').tolist():
        if group[start] < 0:
            members = _grown(start, triangles, neighbours, lambda other, first=start: bool(
                group[other] < 0 and normals[other] @ normals[first] >= limit))
            group[members] = start
            faces.append(_outline(triangles[members]))
    return _drop_straight(vertices, faces, degrees)


def _grown(start, triangles, neighbours, fits):
    """Adds neighbours to a triangle while the whole has one outline without a touch.

    A plane region without holes is taken whole, whatever the order; one with holes becomes several
    polygons.
    """
    members, corners = [start], set(triangles[start].tolist())
    taken, waiting = {start}, collections.deque(neighbours[start])
    refused: List[int] = []
    while waiting:
        triangle = waiting.popleft()
        if triangle in taken or not fits(triangle):
            continue
        shared = sum(other in taken for other in neighbours[triangle])
        fresh = [index for index in triangles[triangle].tolist() if index not in corners]
        if shared == 1 and not fresh:       # it would close a ring around a hole
            refused.append(triangle)
            continue
        taken.add(triangle)
        members.append(triangle)
        corners.update(fresh)
        waiting.extend(neighbours[triangle])
        waiting.extend(refused)
        refused = []
    return members


def _neighbours(triangles):
    """For each triangle those across an edge that exactly two triangles share, run both ways."""
    owners: Dict[Tuple[int, int], List[int]] = collections.defaultdict(list)
    for number, (a, b, c) in enumerate(triangles.tolist()):
        for edge in ((a, b), (b, c), (c, a)):
            owners[edge].append(number)
    result: List[List[int]] = [[] for _ in triangles]
    for (start, end), first in owners.items():
        second = owners.get((end, start), [])
        if len(first) == len(second) == 1:
            result[first[0]].append(second[0])
    return result


def _outline(triangles):
    """The outline of adjacent triangles, which is a single one."""
    edges = {(a, b) for triangle in triangles.tolist()
             for a, b in zip(triangle, triangle[1:] + triangle[:1])}
    after = {a: b for a, b in edges if (b, a) not in edges}
    outline = [min(after)]
    while after[outline[-1]] != outline[0]:
        outline.append(after[outline[-1]])
    return outline


def _drop_straight(vertices, faces, degrees):
    """Drops vertices of two faces where both outlines run straight on within the angle."""
    limit = -np.cos(np.radians(degrees))
    uses: Dict[int, List[int]] = collections.defaultdict(list)
    for number, face in enumerate(faces):
        for index in face:
            uses[index].append(number)
    faces = [list(face) for face in faces]
    for index, owners in sorted(uses.items()):
        if len(owners) != 2 or any(len(faces[owner]) < 4 for owner in owners):
            continue
        ends = []
        for owner in owners:
            place = faces[owner].index(index)
            ends.append({faces[owner][place - 1], faces[owner][(place + 1) % len(faces[owner])]})
        if ends[0] != ends[1] or len(ends[0]) != 2:
            continue
        before, after = [vertices[end] - vertices[index] for end in sorted(ends[0])]
        cosine = before @ after / max(np.linalg.norm(before) * np.linalg.norm(after), _SMALL)
        if cosine <= limit:
            for owner in owners:
                faces[owner].remove(index)
    return faces


def loss(first: Tuple[np.ndarray, Any], second: Tuple[np.ndarray, Any], seed: int = 0) -> float:
    """Returns the chamfer distance of two meshes in percent of the first one's diagonal.

    Points of each are looked up among many more of the other: equal meshes have about 0.15.
    """
    rng = np.random.RandomState(seed)
    size = np.linalg.norm(first[0].max(axis=0) - first[0].min(axis=0))
    dense = [surfaces.sample_surface(*mesh, rng, _DENSE) for mesh in (first, second)]
    if not len(dense[0]) or not len(dense[1]) or not size > 0:
        return np.inf
    there, back = [spatial.cKDTree(one).query(other[::_DENSE // surfaces.POINTS])[0].mean()
                   for one, other in (dense, dense[::-1])]
    return float(100 * (there + back) / 2 / size)


def reduce(vertices: np.ndarray, faces: Sequence[Sequence[int]], max_vertices: int,
           degrees: float) -> Reduced:
    """Brings a mesh down to `max_vertices`.

    A mesh that is small enough is welded and merged only. Otherwise the number of triangles goes
    down until the vertices that remain after merging are few enough.

    Args:
      vertices: float [V, 3]; faces: list of sequences of int.
      max_vertices: int; degrees: float, angle within which faces are merged; 0 merges none.
    Raises:
      errors.InputError: the library is missing, or so few vertices are not reached.
    """
    welded = weld(vertices, faces)
    if not welded[1]:
        raise errors.InputError('no face is left after welding')
    was_closed = is_closed(welded[1])
    triangles = meshes.triangulate(welded[1], welded[0]).astype(np.int64)
    target, points = 2 * max_vertices, welded[0]
    merged = welded if len(points) <= max_vertices and not degrees else None
    for trial in range(_TRIALS + 1):
        if merged is None:
            if trial or len(points) > 4 * max_vertices:
                points, triangles = decimate(welded[0], meshes.triangulate(
                    welded[1], welded[0]).astype(np.int64), target)
                points, rest = weld(points, triangles.tolist())
                triangles = np.array(rest, np.int64).reshape(-1, 3)
                target = int(target * 0.75)
            merged = _compact(points, merge_plane(points, triangles, degrees)
                              if degrees else triangles.tolist())
        if 3 < len(merged[0]) <= max_vertices:
            return Reduced(merged[0], merged[1], loss((vertices, faces), merged),
                           is_closed(merged[1]), was_closed)
        merged = None
    raise errors.InputError('it cannot be reduced to {} vertices'.format(max_vertices))

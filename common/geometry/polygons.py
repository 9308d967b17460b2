"""Triangulation of planar polygons, concave ones and those with bridges to holes included.

The fan around the first corner is kept wherever it is right. Other polygons lose their ears one
after the other (Meisters 1975, "Polygons have ears"). Own code, not mapbox_earcut: that drops
collinear corners, which tears the surface open at the edges of neighbouring faces.
"""
import collections
from typing import Deque, List, Sequence

import numpy as np

from common import errors

MAX_CORNERS = 10000     # of a concave polygon: a few seconds


def misfit_fans(vertices: np.ndarray, triangles: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Returns the polygons that their fan does not triangulate: a triangle of it is flipped.

    Args:
      vertices: float [V, 3].
      triangles: int [T, 3], the fans of all polygons around their first corners.
      owners: int [T], the polygon that each triangle belongs to, in any numbering.
    Returns:
      int [N], numbers of polygons, ascending.
    """
    corners = np.asarray(vertices, np.float64)[triangles]
    sides = corners[:, 1:] - corners[:, :1]
    normals = np.cross(sides[:, 0], sides[:, 1])
    # The sum over a fan is the normal of the polygon by Newell's method, twice the area long.
    totals = np.stack([np.bincount(owners, normals[:, axis]) for axis in range(3)], axis=1)[owners]
    areas = (normals * totals).sum(axis=1)
    # What coordinates rounded to float32 may turn over: the width of a sliver times its length.
    rounding = 2. ** -23 * np.abs(corners).max(axis=(1, 2)) * np.abs(sides).max(axis=(1, 2))
    return np.unique(owners[areas < -2 * rounding * np.linalg.norm(totals, axis=1)])


def clip_ears(corners: np.ndarray) -> np.ndarray:
    """Triangulates a polygon by ear clipping; every corner stays a corner of some triangle.

    A hole is a part of the outline that a bridge (the same two corners, there and back) joins to
    the rest. Where the outline crosses itself there is no right answer; one of the wrong is given.

    Args:
      corners: float [N, 3] in order, in one plane or nearly.
    Returns:
      int [N - 2, 3], numbers of corners, in the direction of the polygon.
    Raises:
      errors.InputError: more than MAX_CORNERS corners.
    """
    if len(corners) > MAX_CORNERS:
        raise errors.InputError('a concave face has {} corners; {} are the most. Cut it into '
                                'smaller ones.'.format(len(corners), MAX_CORNERS))
    points, triangles = _in_plane(np.asarray(corners, np.float64)), []
    places = points.tolist()
    before = [len(points) - 1] + list(range(len(points) - 1))
    after = list(range(1, len(points))) + [0]
    left = np.ones(len(points), bool)
    turns = np.empty(len(points))
    # What may lie in an ear: corners that turn right or not at all; inf for the others.
    blockers = np.full([2, len(points)], np.inf)
    ears: Deque[int] = collections.deque()

    def measure(corner):
        turns[corner] = _turn(places[before[corner]], places[corner], places[after[corner]])
        blockers[:, corner] = points[corner] if turns[corner] <= 0 else np.inf

    def is_ear(corner):
        """Returns whether the diagonal that cuts off a corner lies inside the polygon."""
        return left[corner] and (is_spike(corner) or turns[corner] > 0 and not _contains(
            [places[before[corner]], places[corner], places[after[corner]]], blockers))

    def is_spike(corner):
        """Returns whether the outline goes back on itself at a corner, or stays where it is."""
        (x, y), first, last = places[corner], places[before[corner]], places[after[corner]]
        return turns[corner] == 0 and (
            (first[0] - x) * (last[0] - x) + (first[1] - y) * (last[1] - y) >= 0)

    def queue(corner):
        (ears.appendleft if is_spike(corner) else ears.append)(corner)

    for corner in range(len(points)):
        measure(corner)
        queue(corner)
    for _ in range(len(points) - 3):
        corner = next((ear for ear in _popped(ears) if is_ear(ear)), -1)
        if corner < 0:  # flat corners alone, or an outline that touches or crosses itself
            rest = np.flatnonzero(left)
            flat = rest[turns[rest] == 0]
            corner = int(flat[0] if len(flat) else rest[np.argmax(turns[rest])])
        first, last = before[corner], after[corner]
        triangles.append((first, corner, last))
        after[first], before[last] = last, first
        left[corner] = False
        blockers[:, corner] = np.inf
        for neighbour in (first, last):     # No others become ears, or cease to be.
            measure(neighbour)
            queue(neighbour)
    corner = int(np.flatnonzero(left)[0])
    triangles.append((before[corner], corner, after[corner]))
    return np.array(triangles)


def _popped(queue):
    """Yields the items of a deque from the left while it has any, taking them out."""
    while queue:
        yield queue.popleft()


def _in_plane(corners: np.ndarray) -> np.ndarray:
    """Projects corners [N, 3] along the axis closest to their normal: [N, 2], counter-clockwise."""
    normal = np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)
    axis = int(np.argmax(np.abs(normal)))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    return corners[:, [first, second] if normal[axis] > 0 else [second, first]]


def _turn(first: Sequence[float], corner: Sequence[float], last: Sequence[float]) -> float:
    """Twice the signed area of a triangle of points [2]: positive at a left turn."""
    return ((corner[0] - first[0]) * (last[1] - first[1])
            - (corner[1] - first[1]) * (last[0] - first[0]))


def _contains(triangle: List[List[float]], points: np.ndarray) -> bool:
    """Returns whether a triangle holds one of the points [2, N], border included, corners not."""
    low, high = zip(*((min(axis), max(axis)) for axis in zip(*triangle)))
    x, y = points
    near = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))
    if not len(near):
        return False
    points = points[:, near]
    inside = np.ones(len(near), bool)
    for first, second in zip(triangle, triangle[1:] + triangle[:1]):
        inside &= (_turn(first, second, points) >= 0) & (points.T != second).any(axis=1)
    return bool(inside.any())

"""Triangulation of planar polygons, concave ones and those with bridges to holes included.

The fan around the first corner is kept wherever it is right. Other polygons lose their ears one
after the other (Meisters 1975, "Polygons have ears"). Own code, not mapbox_earcut: that drops
collinear corners, which tears the surface open at the edges of neighbouring faces.
"""
import collections
from typing import Deque, List, Sequence, Tuple

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
    outline, triangles = _Outline(_in_plane(np.asarray(corners, np.float64))), []
    for _ in range(len(corners) - 3):
        triangles.append(outline.cut(outline.next_ear()))
    triangles.append(outline.triangle_at(int(outline.remaining()[0])))
    return np.array(triangles)


class _Outline:
    """What is left of a polygon while ears are cut off it.

    Args:
      points: float [N, 2], the corners in their plane, counter-clockwise.
    """

    def __init__(self, points: np.ndarray):
        count = len(points)
        self._points, self._places = points, points.tolist()
        self._before = [count - 1] + list(range(count - 1))
        self._after = list(range(1, count)) + [0]
        self._is_left = np.ones(count, bool)
        self._turns = np.empty(count)
        # What may lie in an ear: corners that turn right or not at all; inf for the others.
        self._blockers = np.full([2, count], np.inf)
        self._candidates: Deque[int] = collections.deque()
        for corner in range(count):
            self._measure(corner)

    def remaining(self) -> np.ndarray:
        """Returns the numbers of the corners that are left, int [.]."""
        return np.flatnonzero(self._is_left)

    def triangle_at(self, corner: int) -> Tuple[int, int, int]:
        """Returns a corner between its two neighbours."""
        return self._before[corner], corner, self._after[corner]

    def next_ear(self) -> int:
        """Finds a corner to cut off; where there is no ear, the flat or most convex one."""
        while self._candidates:
            corner = self._candidates.popleft()
            if self._is_ear(corner):
                return corner
        # Flat corners alone, or an outline that touches or crosses itself.
        rest = self.remaining()
        flat = rest[self._turns[rest] == 0]
        return int(flat[0] if len(flat) else rest[np.argmax(self._turns[rest])])

    def cut(self, corner: int) -> Tuple[int, int, int]:
        """Cuts a corner off; returns its triangle."""
        first, _, last = triangle = self.triangle_at(corner)
        self._after[first], self._before[last] = last, first
        self._is_left[corner] = False
        self._blockers[:, corner] = np.inf
        for neighbour in (first, last):     # No others become ears, or cease to be.
            self._measure(neighbour)
        return triangle

    def _measure(self, corner):
        """Computes the turn at a corner and notes it as a candidate, spikes first."""
        turn = _turn(*(self._places[number] for number in self.triangle_at(corner)))
        self._turns[corner] = turn
        self._blockers[:, corner] = self._points[corner] if turn <= 0 else np.inf
        if self._is_spike(corner):
            self._candidates.appendleft(corner)
        else:
            self._candidates.append(corner)

    def _is_ear(self, corner):
        """Returns whether the diagonal that cuts off a corner lies inside the polygon."""
        return self._is_left[corner] and (self._is_spike(corner) or (
            self._turns[corner] > 0 and not _contains(
                [self._places[number] for number in self.triangle_at(corner)], self._blockers)))

    def _is_spike(self, corner):
        """Returns whether the outline goes back on itself at a corner, or stays where it is."""
        first, (x, y), last = (self._places[number] for number in self.triangle_at(corner))
        return self._turns[corner] == 0 and (
            (first[0] - x) * (last[0] - x) + (first[1] - y) * (last[1] - y) >= 0)


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

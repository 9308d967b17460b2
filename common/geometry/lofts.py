"""Closed solids with polygon meshes: chains of loops, joined by quadrilaterals.

A part is a polygon (`loops[0]`) at a height along an axis, the next one above it, and so on; the
quadrilaterals between corresponding edges and the two end polygons bound it. From the loop number
`opening` on the chain goes down again, inside: a cavity, or a hole right through (`ring`). Of the
same loops come the mesh and the test whether a point lies inside, so the two are one shape.
N: corners of a loop, K: loops. Quadrilaterals are plane where the builder keeps corresponding
edges parallel.
"""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np


class Part(NamedTuple):
    """A solid without self-intersections.

    Attributes:
      axis: int, direction of the heights: 0, 1, 2 for +x, +y, +z, or 3, 4, 5 for -x, -y, -z.
      loops: float [K, N, 2], counter-clockwise seen against the direction, in the plane of
        `plane_axes`.
      heights: float [K], along the direction: increasing up to `opening`, which is as high as the
        loop before it, then decreasing.
      opening: int, first loop of the cavity; K where there is none.
      ring: bool, the cavity is a hole right through: the last height is the first.
    """

    axis: int
    loops: np.ndarray
    heights: np.ndarray
    opening: int
    ring: bool


def part(axis: int, loops: Sequence[np.ndarray], heights: Sequence[float],
         cavity: Optional[Sequence[Tuple[np.ndarray, float]]] = None, ring: bool = False) -> Part:
    """Returns a part.

    Args:
      axis: see Part.
      loops: list of float [N, 2]; heights: list of float, increasing.
      cavity: list of (loop [N, 2], height), the first one as high as the last of `loops`.
      ring: see Part.
    """
    cavity = cavity or []
    return Part(axis, np.array(list(loops) + [loop for loop, _ in cavity], float),
                np.array(list(heights) + [height for _, height in cavity], float), len(loops), ring)


def plane_axes(axis: int) -> Tuple[int, int]:
    """Returns the axes of the two coordinates of a loop; with the direction they are
    right-handed."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    return (first, second) if axis < 3 else (second, first)


def _sign(axis):
    return 1 if axis < 3 else -1


def mesh(parts: Sequence[Part]) -> Tuple[np.ndarray, List[List[int]]]:
    """Returns the surfaces of parts.

    Args:
      parts: list of Part.
    Returns:
      (vertices float64 [V, 3], list of faces: lists of vertex numbers, counter-clockwise seen from
      outside). Each part is a closed surface of its own.
    """
    vertices: List[np.ndarray] = []
    faces: List[List[int]] = []
    first = 0
    for item in parts:
        vertices.append(_vertices(item))
        faces += [[first + index for index in face] for face in _faces(item)]
        first += len(vertices[-1])
    return np.concatenate(vertices), faces


def _vertices(item):
    count, corners = item.loops.shape[:2]
    result = np.empty([count, corners, 3])
    result[:, :, item.axis % 3] = _sign(item.axis) * item.heights[:, None]
    result[:, :, list(plane_axes(item.axis))] = item.loops
    return result.reshape(-1, 3)


def _faces(item):
    count, corners = item.loops.shape[:2]
    pairs, ends = [(loop, loop + 1) for loop in range(count - 1)], [
        list(range(corners))[::-1], list(range((count - 1) * corners, count * corners))]
    faces = [] if item.ring else ends
    pairs += [(count - 1, 0)] if item.ring else []
    for below, above in pairs:
        for corner in range(corners):
            after = (corner + 1) % corners
            faces.append([below * corners + corner, below * corners + after,
                          above * corners + after, above * corners + corner])
    return faces


def inside(parts: Sequence[Part], points: np.ndarray) -> np.ndarray:
    """Returns how many parts each point lies in; where parts do not overlap, 0 or 1.

    Args:
      parts: list of Part; points: float [P, 3].
    Returns:
      int [P].
    """
    points = np.asarray(points, float)
    result = np.zeros(len(points), int)
    for item in parts:
        heights = _sign(item.axis) * points[:, item.axis % 3]
        places = points[:, list(plane_axes(item.axis))]
        filled = np.zeros(len(points), bool)
        for loops, levels in _stretches(item):
            chosen = np.flatnonzero((heights > levels[0]) & (heights < levels[-1]))
            sections = _sections(loops, levels, heights[chosen])
            filled[chosen] ^= _within(sections, places[chosen])
        result += filled
    return result


def _stretches(item):
    """(loops, increasing heights) of the outside and of the cavity, which takes away."""
    cut = item.opening
    yield item.loops[:cut], item.heights[:cut]
    if cut < len(item.loops):
        yield item.loops[cut:][::-1], item.heights[cut:][::-1]


def _sections(loops, levels, heights):
    """Loops [P, N, 2] at heights [P] within the levels."""
    below = np.clip(np.searchsorted(levels, heights, side='right') - 1, 0, len(levels) - 2)
    share = ((heights - levels[below]) / (levels[below + 1] - levels[below]))[:, None, None]
    return loops[below] * (1 - share) + loops[below + 1] * share


def _within(sections, places):
    """Whether places [P, 2] lie in polygons [P, N, 2]: crossings of a ray, odd or even."""
    x, y = places[:, :1], places[:, 1:]
    after = np.roll(sections, -1, axis=1)
    crosses = (sections[:, :, 1] > y) != (after[:, :, 1] > y)
    with np.errstate(divide='ignore', invalid='ignore'):
        at = sections[:, :, 0] + (y - sections[:, :, 1]) / (
            after[:, :, 1] - sections[:, :, 1]) * (after[:, :, 0] - sections[:, :, 0])
    return (crosses & (at > x)).sum(axis=1) % 2 == 1


def occupancy(parts: Sequence[Part], axes: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the occupancy of a grid of points, `inside` for many points at once.

    Args:
      parts: list of Part.
      axes: three float arrays [X], [Y], [Z]: ascending coordinates.
    Returns:
      bool [X, Y, Z].
    """
    result = np.zeros([len(axis) for axis in axes], bool)
    for item in parts:
        first, second = plane_axes(item.axis)
        order = (item.axis % 3, first, second)
        view = result.transpose(order)      # [height, first, second]
        heights = _sign(item.axis) * axes[order[0]]
        filled = np.zeros(view.shape, bool)
        for loops, levels in _stretches(item):
            chosen = np.flatnonzero((heights > levels[0]) & (heights < levels[-1]))
            last, section = None, None
            for index, loop in zip(chosen, _sections(loops, levels, heights[chosen])):
                if last is None or not np.array_equal(loop, last):
                    last, section = loop, _section(loop, axes[first], axes[second])
                filled[index] ^= section
        view |= filled
    return result


def _section(loop, first, second):
    """Which points of a plane grid lie in a polygon [N, 2]: bool [first, second]."""
    result = np.zeros([len(first), len(second)], bool)
    for start, end in zip(loop, np.roll(loop, -1, axis=0)):
        rows = np.flatnonzero((start[1] > second) != (end[1] > second))
        at = start[0] + (second[rows] - start[1]) / (end[1] - start[1]) * (end[0] - start[0])
        result[:, rows] ^= at > first[:, None]
    return result

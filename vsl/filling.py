"""Solids of meshes, and how far they can be trusted: the same inside by a second method.

A grid is filled from the outside: what the outside cannot reach is occupied, whatever way faces
point and however surfaces cross. It fails silently where a surface is open, since the outside then
comes in. Rays tell: a cell lies inside when, along two axes at least, the surface is crossed an odd
number of times on either side of it. A face that is there twice counts once. R: cells of a grid's
side.
"""
from typing import NamedTuple, Tuple

import numpy as np

from common.geometry import voxel_grids

SOLID, EMPTY, HOLLOW, STREAKED, THIN = 'solid', 'empty', 'hollow', 'streaked', 'thin'
STATES = (SOLID, EMPTY, HOLLOW, STREAKED, THIN)
MEANINGS = {
    EMPTY: 'no cell is occupied',
    HOLLOW: 'more than half of what rays find inside is not filled: the surface is open',
    STREAKED: 'more than 5 % of what rays find inside, and at least 8 cells, is not filled',
    THIN: 'no cell behind the surface, filled or found by rays'}
_HOLLOW, _STREAKED, _FEW = 0.5, 0.05, 8
_OFFSETS = (0.00137, 0.00211)   # rays beside the cells' centres, where edges of boxes lie
_STEPS = 1 << 20        # along a side of the grid; vertices of one step are the same
_PAIRS = 1 << 21        # triangles times rays at once


class Solid(NamedTuple):
    """A mesh in a grid.

    Attributes:
      grid: bool [R, R, R], what is occupied; surface: bool [R, R, R], cells of the surface.
      inside: bool [R, R, R], cells whose centres lie inside by rays.
    """

    grid: np.ndarray
    surface: np.ndarray
    inside: np.ndarray

    def state(self) -> str:
        """Returns one of STATES; see MEANINGS."""
        if not self.grid.any():
            return EMPTY
        found = self.inside & ~self.surface
        missing, total = (found & ~self.grid).sum(), found.sum()
        if missing > _HOLLOW * total:
            return HOLLOW
        if missing > _STREAKED * total and missing >= _FEW:
            return STREAKED
        return SOLID if total or (self.grid & ~self.surface).any() else THIN


def solid(vertices: np.ndarray, triangles: np.ndarray, resolution: int, extent: float,
          fill_open: bool = False) -> Solid:
    """Voxelises a mesh as voxel_grids.solid does, and looks for its inside by rays.

    Args:
      vertices: [V, 3], of any scale; triangles: int [T, 3].
      resolution: int, R; extent: cells that the longest side of the box fills, at most R.
      fill_open: bool, what rays find inside is occupied too.
    Returns:
      Solid.
    Raises:
      errors.InputError: the mesh has no faces or no extent.
    """
    cells, triangles = voxel_grids.in_cells(vertices, triangles, resolution, extent)
    surface = voxel_grids.surface_cells(cells, triangles, resolution)
    inside = inside_by_rays(cells, triangles, resolution)
    return Solid(voxel_grids.filled(surface | inside if fill_open else surface), surface, inside)


def state_of_grid(grid: np.ndarray) -> str:
    """Returns EMPTY, THIN or SOLID of a grid without its mesh.

    Args:
      grid: bool [R, R, R]; THIN where no cell has six occupied neighbours.
    """
    if not grid.any():
        return EMPTY
    inside = grid[1:-1, 1:-1, 1:-1].copy()
    for axis in range(3):
        for shift in (-1, 1):
            inside &= np.roll(grid, shift, axis)[1:-1, 1:-1, 1:-1]
    return SOLID if inside.any() else THIN


def inside_by_rays(cells: np.ndarray, triangles: np.ndarray, resolution: int) -> np.ndarray:
    """Finds the cells whose centres lie inside a surface, which may be open.

    Args:
      cells: float64 [V, 3], vertices in cells; triangles: int [T, 3].
      resolution: int, R.
    Returns:
      bool [R, R, R]: on two axes at least an odd number of crossings before the cell and behind it.
    """
    votes, triangles = np.zeros(3 * [resolution], np.int8), _once(cells, triangles, resolution)
    for axis in range(3):
        rays, depths = _crossings(cells[triangles], axis, resolution)
        changes = np.zeros([resolution ** 2, resolution + 1], np.int32)
        first = np.clip(np.floor(depths + 0.5), 0, resolution).astype(int)   # cell behind it
        np.add.at(changes, (rays, first), 1)
        before = changes.cumsum(axis=1)
        odd = (before % 2 == 1) & ((before[:, -1:] - before) % 2 == 1)
        votes += np.moveaxis(odd[:, :-1].reshape(3 * [resolution]), 2, axis)
    return votes >= 2


def _crossings(corners: np.ndarray, axis: int, resolution: int) -> Tuple[np.ndarray, np.ndarray]:
    """Where rays along an axis cross triangles.

    Args:
      corners: [T, 3, 3], in cells.
    Returns:
      (number of the ray int [K], R times its cell of the first other axis plus that of the second;
      place along the axis float [K]).
    """
    plane = corners[:, :, [other for other in range(3) if other != axis]] - 0.5 - _OFFSETS
    low = np.clip(np.ceil(plane.min(axis=1)), 0, resolution).astype(int)
    high = np.clip(np.floor(plane.max(axis=1)), -1, resolution - 1).astype(int)
    sizes = np.maximum(0, high - low + 1)
    counts = sizes.prod(axis=1)
    chosen = np.flatnonzero(counts)
    ends = counts[chosen].cumsum()
    found = []
    start = 0
    while start < len(chosen):
        base = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, base + _PAIRS, 'right')))
        found.append(_hits(chosen[start:stop], plane, corners[:, :, axis], low, sizes, resolution))
        start = stop
    if not found:
        return np.zeros(0, int), np.zeros(0)
    rays, depths = zip(*found)
    return np.concatenate(rays), np.concatenate(depths)


def _once(cells, triangles, resolution):
    """Triangles [U, 3] without those on which another one lies: sheets drawn from either side."""
    places = np.rint(cells * (_STEPS / resolution)).astype(np.int64)
    _, vertex = np.unique((places[:, 0] * 2 * _STEPS + places[:, 1]) * 2 * _STEPS + places[:, 2],
                          return_inverse=True)
    _, first = np.unique(np.sort(vertex[triangles], axis=1), axis=0, return_index=True)
    return triangles[first]


def _hits(chosen, plane, heights, low, sizes, resolution):
    """(rays, depths) of some triangles, of all rays in their boxes."""
    counts = sizes[chosen].prod(axis=1)
    triangle = np.repeat(chosen, counts)
    place = np.arange(len(triangle)) - np.repeat(counts.cumsum() - counts, counts)
    first, second = np.divmod(place, sizes[triangle, 1])
    points = np.stack([first, second], axis=1) + low[triangle]
    corners = plane[triangle]
    sides = [_cross(corners[:, (k + 1) % 3] - points, corners[:, (k + 2) % 3] - points)
             for k in range(3)]
    area = sides[0] + sides[1] + sides[2]
    hit = ((np.minimum(np.minimum(sides[0], sides[1]), sides[2]) >= 0)
           | (np.maximum(np.maximum(sides[0], sides[1]), sides[2]) <= 0)) & (area != 0)
    triangle, points = triangle[hit], points[hit]
    depths = sum(side[hit] * heights[triangle, k] for k, side in enumerate(sides)) / area[hit]
    return points[:, 0] * resolution + points[:, 1], depths


def _cross(first, second):
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]

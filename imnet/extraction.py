"""From a field to a closed mesh: the original's coarse-to-fine search, and an octree.

A field is a function of points float32 [N, 3] in [-0.5, 0.5]^3 that gives values float32 [N];
above 0.5 is inside. R: resolution, cells of a side; cell i has its middle at (i + 0.5) / R - 0.5.
Grids of values have one more cell of zeros on each side, which closes shapes that touch the box.
"""
import collections

import mcubes
import numpy as np
from scipy import ndimage

from common import errors

FRAME = 64              # cells of a side in the coarse pass
THRESHOLD = 0.5
CELLS_PER_CALL = 1024   # of 64 points each at the original's resolution of 256
RESOLUTIONS = (64, 128, 256, 512)
_CUBE = np.ones([3, 3, 3], bool)
_AROUND = np.stack(np.meshgrid(*3 * [[-1, 0, 1]], indexing='ij'), axis=-1).reshape(-1, 3)
_SIDES = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))

Extraction = collections.namedtuple('Extraction', 'grid coarse queue evaluated distinct calls')
Extraction.__doc__ = """What a search found.

grid: float32 [R + 2, R + 2, R + 2]; coarse: bool [64, 64, 64] (octree: None); queue: int32 [Q, 3],
the first queue, counted from 1 (octree: None); evaluated: int, fine cells evaluated (octree: points
in all); distinct: int, different ones among them; calls: list of int, points of each call."""


def middles(cells, resolution):
    """Positions of the middles of cells.

    Args:
      cells: int [N, 3], from 0; resolution: int, R.
    Returns:
      float32 [N, 3]; exact, as the numbers have few digits in base 2.
    """
    return ((cells + 0.5) / resolution - 0.5).astype(np.float32)


def _all_cells(size):
    return np.indices(3 * [size], dtype=np.int32).reshape(3, -1).T


def exact(field, resolution=256, doubled=False):
    """The original's search: 64^3 coarse cells, then each cell near the surface in full.

    Args:
      field: function.
      resolution: int, R, a multiple of 64.
      doubled: bool, evaluate some cells twice, as the original does; the grid is the same.
    Returns:
      Extraction.
    """
    fine = resolution // FRAME
    calls = []
    cells = _all_cells(FRAME)
    values = []
    for start in range(0, len(cells), CELLS_PER_CALL * 64):
        part = cells[start:start + CELLS_PER_CALL * 64]
        values.append(field(middles(part, FRAME)))
        calls.append(len(part))
    coarse = (np.concatenate(values) > THRESHOLD).reshape(3 * [FRAME])
    frame = np.pad(coarse, 1, mode='constant')
    lowest = ndimage.minimum_filter(frame, footprint=_CUBE)[1:-1, 1:-1, 1:-1]
    highest = ndimage.maximum_filter(frame, footprint=_CUBE)[1:-1, 1:-1, 1:-1]
    grid = np.zeros(3 * [resolution + 2], np.float32)
    filled = np.repeat(np.repeat(np.repeat(lowest, fine, 0), fine, 1), fine, 2)
    inner = grid[1:-1, 1:-1, 1:-1]
    inner[filled] = 1.
    queue = first = (np.argwhere(highest & ~lowest) + 1).astype(np.int32)
    known = frame.copy()
    if not doubled:
        known[tuple(queue.T)] = True
    seen = np.zeros_like(known)
    offsets = _all_cells(fine)
    evaluated = 0
    while len(queue):
        wave, queue = queue[:CELLS_PER_CALL], queue[CELLS_PER_CALL:]
        points = ((wave - 1) * fine)[:, None] + offsets
        values = field(middles(points.reshape(-1, 3), resolution)).reshape(len(wave), -1)
        calls.append(values.size)
        evaluated += len(wave)
        seen[tuple(wave.T)] = True
        inner[tuple(points.reshape(-1, 3).T)] = values.ravel()
        queue = np.concatenate([queue, _appended(wave[values.max(axis=1) > THRESHOLD], known)])
    return Extraction(grid, coarse, first, evaluated, int(seen.sum()), calls)


def _appended(active, known):
    """Neighbours of occupied cells that are new, in the original's order; marks them as known."""
    around = (active[:, None] + _AROUND).reshape(-1, 3)
    around = around[((around >= 1) & (around <= FRAME)).all(axis=1)]
    around = around[~known[tuple(around.T)]]
    flat = np.ravel_multi_index(tuple(around.T), known.shape)
    around = around[np.sort(np.unique(flat, return_index=True)[1])]
    known[tuple(around.T)] = True
    return around.astype(np.int32)


def octree(field, resolution=256, start=32):
    """A search that evaluates near the surface only, level by level, each level twice as fine.

    On the first level all cells are evaluated. On each further level the values between those of
    the level before are interpolated; cells next to a change of side are evaluated, then the
    neighbours across every change of side that this shows, until both ends of each edge that the
    surface cuts are the field's own values. Parts that no evaluated cell touches are lost, as in
    the original, but from `start`^3 cells on, not from 64^3; so the step to 64^3 evaluates all
    cells around which not all values are within 0.01 of 0, or of 1.

    Args:
      field: function.
      resolution: int, R, a power of two times `start`.
      start: int, cells of a side of the first level.
    Returns:
      Extraction; unevaluated cells of the grid have interpolated values.
    """
    size, calls = min(start, resolution), []
    grid = _evaluate(field, _all_cells(size), size, calls).reshape(3 * [size])
    while size < resolution:
        size *= 2
        near = _uneven(grid) if size <= FRAME else None
        known = np.zeros(3 * [size], bool)
        grid = _doubled(grid)
        if near is not None:
            wanted = np.argwhere(np.repeat(np.repeat(np.repeat(near, 2, 0), 2, 1), 2, 2))
        else:
            wanted = _crossed(grid > THRESHOLD)
        while len(wanted):
            places = tuple(wanted.T)
            grid[places] = _evaluate(field, wanted, size, calls)
            known[places] = True
            wanted = _across(grid, known, wanted)
    points = sum(calls)
    return Extraction(np.pad(grid, 1, mode='constant'), None, None, points, points, calls)


def _evaluate(field, cells, size, calls):
    calls.append(len(cells))
    return field(middles(cells, size))


def _uneven(grid):
    """Cells around which the values are not all next to 0 or all next to 1."""
    highest = ndimage.maximum_filter(grid, size=3)
    lowest = ndimage.minimum_filter(grid, size=3, mode='constant', cval=0.)
    return (highest > 0.01) & (lowest < 0.99)


def _doubled(grid):
    """Values at twice the resolution, linear between the middles of cells."""
    for axis in range(3):
        grid = np.moveaxis(grid, axis, 0)
        before = np.concatenate([grid[:1], grid[:-1]])
        after = np.concatenate([grid[1:], grid[-1:]])
        result = np.stack([0.75 * grid + 0.25 * before, 0.75 * grid + 0.25 * after], axis=1)
        grid = np.moveaxis(result.reshape((-1,) + grid.shape[1:]), 0, axis)
    return np.ascontiguousarray(grid, np.float32)


def _crossed(inside):
    """Cells with a neighbour (of six, outside the grid is outside) on the other side: [N, 3]."""
    found = np.zeros_like(inside)
    for axis in range(3):
        view, marks = np.moveaxis(inside, axis, 0), np.moveaxis(found, axis, 0)
        changes = view[1:] != view[:-1]
        marks[1:] |= changes
        marks[:-1] |= changes
        marks[0] |= view[0]
        marks[-1] |= view[-1]
    return np.argwhere(found)


def _across(grid, known, cells):
    """Unknown cells that a change of side parts from the given known ones, each once: [N, 3]."""
    size = len(grid)
    inside = grid[tuple(cells.T)] > THRESHOLD
    found = []
    for side in _SIDES:
        others = cells + side
        valid = ((others >= 0) & (others < size)).all(axis=1)
        others, own = others[valid], inside[valid]
        places = tuple(others.T)
        found.append(others[~known[places] & ((grid[places] > THRESHOLD) != own)])
    found = np.concatenate(found)
    flat = np.unique(np.ravel_multi_index(tuple(found.T), grid.shape))
    return np.stack(np.unravel_index(flat, grid.shape), axis=1)


MODES = {'exact': exact, 'octree': octree}


def surface(grid):
    """Marching cubes at 0.5.

    Args:
      grid: float32 [R + 2] * 3, of an Extraction.
    Returns:
      (vertices float64 [V, 3] in [-0.5, 0.5], triangles int [T, 3]).
    Raises:
      errors.InputError: no cell is inside.
    """
    if not (grid > THRESHOLD).any():
        raise errors.InputError(
            'the field is empty: no value above 0.5 (the largest is {:.3g}), so there is no '
            'surface. Train longer; if the loss stays at the share of points inside, the decoder '
            'is dead: start anew with --leaky_clip or another --seed.'.format(float(grid.max())))
    resolution = len(grid) - 2
    vertices, triangles = mcubes.marching_cubes(grid, THRESHOLD)
    return (vertices - 0.5) / resolution - 0.5, triangles.astype(np.int64)


def refine(field, vertices, resolution=256):
    """Moves vertices to nearby places where the field is closer to 0.5; faces may fold over.

    Three rounds of the 26 steps to neighbours, with half the step each: those of a round start from
    where the vertices were at its beginning.

    Args:
      field: function; vertices: float [V, 3]; resolution: int.
    Returns:
      float64 [V, 3].
    """
    best = np.array(vertices, np.float64)
    best_error = np.abs(field(best.astype(np.float32)) - THRESHOLD)
    for number in range(3):
        start = best.copy()
        for offset in _AROUND[np.any(_AROUND != 0, axis=1)]:
            moved = start + offset / (resolution * 6. * 2 ** number)
            error = np.abs(field(moved.astype(np.float32)) - THRESHOLD)
            better = error < best_error
            best[better], best_error[better] = moved[better], error[better]
    return best


def normals(field, vertices):
    """Unit normals that point out of the shape, from the gradient of the field.

    Args:
      field: decoder.Field; vertices: [V, 3].
    Returns:
      float32 [V, 3]; zero where the gradient is.
    """
    gradient = -field.gradient(vertices)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    return gradient / np.maximum(length, 1e-20)


def interpolate(first, second, steps=8):
    """Codes on the way from one to another, both included: float32 [steps, Z]."""
    shares = np.arange(steps)[:, None] / max(1, steps - 1)
    return (second * shares + first * (1 - shares)).astype(np.float32)


def mesh(field, resolution=256, mode='octree', refined=False):
    """The mesh of a field.

    Args:
      field: function; resolution: int; mode: 'exact' or 'octree'; refined: bool, see `refine`.
    Returns:
      (vertices float64 [V, 3], triangles int [T, 3], Extraction).
    """
    found = MODES[mode](field, resolution)
    vertices, triangles = surface(found.grid)
    if refined:
        vertices = refine(field, vertices, resolution)
    return vertices, triangles, found

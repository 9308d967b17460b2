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
from imnet import options

FRAME = 64              # cells of a side in the coarse pass
THRESHOLD = 0.5
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


def exact(field, resolution=256, doubled=False, frame=FRAME,
          points_per_call=options.POINTS_PER_CALL, threshold=THRESHOLD):
    """The original's search: 64^3 coarse cells, then each cell near the surface in full.

    Args:
      field: function.
      resolution: int, R, a multiple of `frame`.
      doubled: bool, evaluate some cells twice, as the original does; the grid is the same.
      frame: int, coarse cells of a side; points_per_call: int, the most at once.
      threshold: float, above it is inside.
    Returns:
      Extraction.
    """
    fine = resolution // frame
    calls = []
    cells = _all_cells(frame)
    values = []
    for start in range(0, len(cells), points_per_call):
        values.append(_evaluate(field, cells[start:start + points_per_call], frame, calls))
    coarse_values = np.concatenate(values).reshape(3 * [frame])
    coarse = coarse_values > threshold
    known = np.pad(coarse, 1, mode='constant')
    lowest = ndimage.minimum_filter(known, footprint=_CUBE)[1:-1, 1:-1, 1:-1]
    highest = ndimage.maximum_filter(known, footprint=_CUBE)[1:-1, 1:-1, 1:-1]
    grid = np.zeros(3 * [resolution + 2], np.float32)
    inner = grid[1:-1, 1:-1, 1:-1]
    inner[_repeated(lowest, fine)] = 1.
    queue = first = (np.argwhere(highest & ~lowest) + 1).astype(np.int32)
    if not doubled:
        known[tuple(queue.T)] = True
    seen = np.zeros_like(known)
    offsets = _all_cells(fine)
    evaluated, wave_size = 0, max(1, points_per_call // fine ** 3)
    while len(queue):
        wave, queue = queue[:wave_size], queue[wave_size:]
        points = (((wave - 1) * fine)[:, None] + offsets).reshape(-1, 3)
        if fine == 1 and not doubled:   # these middles were evaluated in the coarse pass
            values = coarse_values[tuple(points.T)]
        else:
            values = _evaluate(field, points, resolution, calls)
        evaluated += len(wave)
        seen[tuple(wave.T)] = True
        inner[tuple(points.T)] = values
        active = wave[values.reshape(len(wave), -1).max(axis=1) > threshold]
        queue = np.concatenate([queue, _appended(active, known)])
    return Extraction(grid, coarse, first, evaluated, int(seen.sum()), calls)


def _appended(active, known):
    """Neighbours of occupied cells that are new, in the original's order; marks them as known."""
    around = (active[:, None] + _AROUND).reshape(-1, 3)
    around = around[((around >= 1) & (around <= len(known) - 2)).all(axis=1)]
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
    surface cuts are the field's own values. At the end a cell of 64^3 of whose side no fine cell is
    (a thin part, which interpolation wiped out) is evaluated in full, and its surface followed.
    Parts that no evaluated cell touches are lost, as in the original, whose first level has 64^3.

    Args:
      field: function.
      resolution: int, R, a power of two times 64.
      start: int, cells of a side on the first level, at most 64; with 64 thin parts are lost only
        where `exact` loses them, for twice the points.
    Returns:
      Extraction; unevaluated cells of the grid have interpolated values.
    """
    size, calls = start, []
    grid = _evaluate(field, _all_cells(size), size, calls).reshape(3 * [size])
    coarse = grid > THRESHOLD
    while size < resolution:
        size *= 2
        known = np.zeros(3 * [size], bool)
        grid = _doubled(grid)
        _follow(field, grid, known, _crossed(grid > THRESHOLD), calls)
        if size == FRAME:
            coarse = grid > THRESHOLD
        if size == resolution:
            _follow(field, grid, known, _lost(grid > THRESHOLD, coarse, known), calls)
    points = sum(calls)
    return Extraction(np.pad(grid, 1, mode='constant'), None, None, points, points, calls)


def _follow(field, grid, known, wanted, calls):
    """Evaluates cells, then those across each change of side; changes `grid` and `known`."""
    while len(wanted):
        places = tuple(wanted.T)
        grid[places] = _evaluate(field, wanted, len(grid), calls)
        known[places] = True
        wanted = _across(grid, known, wanted)


def _lost(inside, coarse, known):
    """Unknown fine cells of the coarse cells of whose side there is none among them: [N, 3]."""
    fine = len(inside) // len(coarse)
    blocks = inside.reshape(3 * [len(coarse), fine])
    some, every = blocks.any(axis=(1, 3, 5)), blocks.all(axis=(1, 3, 5))
    return np.argwhere(_repeated(np.where(coarse, ~some, every), fine) & ~known)


def _repeated(grid, times):
    """Each cell as a block of `times`^3 cells."""
    for axis in range(3):
        grid = np.repeat(grid, times, axis)
    return grid


def _evaluate(field, cells, size, calls):
    calls.append(len(cells))
    return field(middles(cells, size))


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


def surface(grid, threshold=THRESHOLD):
    """Marching cubes.

    Args:
      grid: float32 [R + 2] * 3, of an Extraction; threshold: float, of inside.
    Returns:
      (vertices float64 [V, 3] in [-0.5, 0.5], triangles int [T, 3]).
    Raises:
      errors.InputError: no cell is inside.
    """
    if not (grid > threshold).any():
        raise errors.InputError(
            'the field is empty: no value above {:g} (the largest is {:.3g}), so there is no '
            'surface. Train longer; if the loss stays at the share of points inside, the decoder '
            'is dead: start anew with --leaky_clip or another --seed.'.format(threshold,
                                                                 float(grid.max())))
    resolution = len(grid) - 2
    vertices, triangles = mcubes.marching_cubes(grid, threshold)
    return (vertices - 0.5) / resolution - 0.5, triangles.astype(np.int64)


def refine(field, vertices, resolution=256, threshold=THRESHOLD):
    """Moves vertices to nearby places where the field is closer to 0.5; faces may fold over.

    Three rounds of the 26 steps to neighbours, with half the step each: those of a round start from
    where the vertices were at its beginning.

    Args:
      field: function; vertices: float [V, 3]; resolution: int; threshold: float, of inside.
    Returns:
      float64 [V, 3].
    """
    best = np.array(vertices, np.float64)
    best_error = np.abs(field(best.astype(np.float32)) - threshold)
    for number in range(3):
        start = best.copy()
        for offset in _AROUND[np.any(_AROUND != 0, axis=1)]:
            moved = start + offset / (resolution * 6. * 2 ** number)
            error = np.abs(field(moved.astype(np.float32)) - threshold)
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

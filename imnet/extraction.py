"""From a field to a closed mesh: the original's coarse-to-fine search, and an octree.

A field is a function of points float32 [N, 3] in [-0.5, 0.5]^3 that returns occupancies float32
[N]; above 0.5 is inside. R: resolution, cells of a side; cell i has its centre at (i + 0.5) / R -
0.5. Grids of occupancies are padded with a cell of zeros on each side, which closes shapes that
touch the box.
"""
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from scipy import ndimage

from common import errors
from imnet import options

try:
    import mcubes
except ImportError:     # it has wheels for few machines; scikit-image takes its place
    mcubes = None

FRAME = 64              # cells of a side in the coarse pass
THRESHOLD = 0.5
_CUBE = np.ones([3, 3, 3], bool)
_AROUND = np.stack(np.meshgrid(*3 * [[-1, 0, 1]], indexing='ij'), axis=-1).reshape(-1, 3)
_SIDES = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))

Field = Callable[[np.ndarray], np.ndarray]


class Extraction(NamedTuple):
    """The occupancies of a shape, and what they cost.

    Attributes:
      grid: float32 [R + 2, R + 2, R + 2], padded.
      coarse: bool [64, 64, 64], occupied coarse cells (octree: None).
      queue: int32 [Q, 3], the first queue, counted from 1 (octree: None).
      evaluated: coarse cells evaluated on their fine cells (octree: points in all).
      distinct: different ones among them.
      calls: points of each call of the field.
    """

    grid: np.ndarray
    coarse: Optional[np.ndarray]
    queue: Optional[np.ndarray]
    evaluated: int
    distinct: int
    calls: List[int]


def centres(cells: np.ndarray, resolution: int) -> np.ndarray:
    """Computes the positions of the centres of cells.

    Args:
      cells: int [N, 3], from 0; resolution: R.
    Returns:
      float32 [N, 3] in [-0.5, 0.5]; exact, as the numbers have few binary digits.
    """
    return ((cells + 0.5) / resolution - 0.5).astype(np.float32)


def _all_cells(size):
    return np.indices(3 * [size], dtype=np.int32).reshape(3, -1).T


def exact(field: Field, resolution: int = 256, doubled: bool = False, frame: int = FRAME,
          points_per_call: int = options.POINTS_PER_CALL, threshold: float = THRESHOLD
          ) -> Extraction:
    """Evaluates 64^3 coarse cells, then all fine cells of each near the surface (z2voxel).

    The original's search: coarse cells whose 27 neighbours are not uniform are evaluated on their
    fine cells; where one of these is occupied, the neighbours follow.

    Args:
      field: function, see above.
      resolution: R, a multiple of `frame`.
      doubled: evaluate some cells twice, as the original does; the grid is the same.
      frame: coarse cells of a side; points_per_call: the most at once.
      threshold: above it is inside.
    """
    fine = resolution // frame
    calls: List[int] = []
    cells = _all_cells(frame)
    coarse_values = np.concatenate([
        _evaluate(field, cells[start:start + points_per_call], frame, calls)
        for start in range(0, len(cells), points_per_call)]).reshape(3 * [frame])
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
        if fine == 1 and not doubled:   # these centres were evaluated in the coarse pass
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
    """Returns neighbours of occupied cells that were not queued yet, and marks them as `known`."""
    around = (active[:, None] + _AROUND).reshape(-1, 3)
    around = around[((around >= 1) & (around <= len(known) - 2)).all(axis=1)]
    around = around[~known[tuple(around.T)]]
    flat = np.ravel_multi_index(tuple(around.T), known.shape)
    around = around[np.sort(np.unique(flat, return_index=True)[1])]
    known[tuple(around.T)] = True
    return around.astype(np.int32)


def octree(field: Field, resolution: int = 256, start: int = 32) -> Extraction:
    """Evaluates near the surface only, level by level, each level twice as fine.

    On the first level all cells are evaluated. On each further level the occupancies are
    interpolated from the level before; cells with a sign change (of occupancy - 0.5) to a
    neighbour are evaluated, then the neighbours across every sign change that this reveals, until
    both cells at each edge that the surface cuts have the field's own values. At the end, where no
    fine cell of a cell of 64^3 has its sign (a thin part, which interpolation wiped out), all its
    fine cells are evaluated and the surface is followed from there. Parts that no evaluated cell
    touches are lost, as in the original, whose first level has 64^3.

    Args:
      field: function, see above.
      resolution: R, a power of two times 64.
      start: cells of a side on the first level, at most 64; with 64 thin parts are lost only
        where `exact` loses them, for twice the points.
    Returns:
      Extraction; unevaluated cells of the grid have interpolated values.
    """
    size = start
    calls: List[int] = []
    grid = _evaluate(field, _all_cells(size), size, calls).reshape(3 * [size])
    coarse = grid > THRESHOLD
    while size < resolution:
        size *= 2
        known = np.zeros(3 * [size], bool)
        grid = _doubled(grid)
        _follow(field, grid, known, _sign_changes(grid > THRESHOLD), calls)
        if size == FRAME:
            coarse = grid > THRESHOLD
        if size == resolution:
            _follow(field, grid, known, _thin_parts(grid > THRESHOLD, coarse, known), calls)
    points = sum(calls)
    return Extraction(np.pad(grid, 1, mode='constant'), None, None, points, points, calls)


def _follow(field, grid, known, cells, calls):
    """Evaluates cells, then those across each sign change; changes `grid` and `known`."""
    while len(cells):
        index = tuple(cells.T)
        grid[index] = _evaluate(field, cells, len(grid), calls)
        known[index] = True
        cells = _neighbours_across(grid, known, cells)


def _thin_parts(inside, coarse, known):
    """Finds coarse cells whose sign none of their fine cells has, as interpolation wiped it out.

    Args:
      inside: bool [R, R, R], fine cells; coarse: bool [64, 64, 64]; known: bool [R, R, R],
        evaluated fine cells.
    Returns:
      int [N, 3], the fine cells of those coarse cells that were not evaluated yet.
    """
    fine = len(inside) // len(coarse)
    blocks = inside.reshape(3 * [len(coarse), fine])
    some, every = blocks.any(axis=(1, 3, 5)), blocks.all(axis=(1, 3, 5))
    return np.argwhere(_repeated(np.where(coarse, ~some, every), fine) & ~known)


def _repeated(grid, times):
    """Replaces each cell by a block of `times`^3 cells of its value."""
    for axis in range(3):
        grid = np.repeat(grid, times, axis)
    return grid


def _evaluate(field, cells, size, calls):
    calls.append(len(cells))
    return field(centres(cells, size))


def _doubled(grid):
    """Interpolates to twice the resolution, linearly between the centres of cells."""
    for axis in range(3):
        grid = np.moveaxis(grid, axis, 0)
        before = np.concatenate([grid[:1], grid[:-1]])
        after = np.concatenate([grid[1:], grid[-1:]])
        result = np.stack([0.75 * grid + 0.25 * before, 0.75 * grid + 0.25 * after], axis=1)
        grid = np.moveaxis(result.reshape((-1,) + grid.shape[1:]), 0, axis)
    return np.ascontiguousarray(grid, np.float32)


def _sign_changes(inside):
    """Finds cells with a sign change to a neighbour, outside beyond the grid: int [N, 3]."""
    changed = np.zeros_like(inside)
    for axis in range(3):
        view, marks = np.moveaxis(inside, axis, 0), np.moveaxis(changed, axis, 0)
        changes = view[1:] != view[:-1]
        marks[1:] |= changes
        marks[:-1] |= changes
        marks[0] |= view[0]
        marks[-1] |= view[-1]
    return np.argwhere(changed)


def _neighbours_across(grid, known, cells):
    """Finds neighbours not evaluated yet, across a sign change from evaluated cells.

    Args:
      grid: float32 [R, R, R], occupancies; known: bool [R, R, R], evaluated cells.
      cells: int [N, 3], evaluated ones.
    Returns:
      int [M, 3], each neighbour once.
    """
    size = len(grid)
    inside = grid[tuple(cells.T)] > THRESHOLD
    across = []
    for side in _SIDES:
        others = cells + side
        valid = ((others >= 0) & (others < size)).all(axis=1)
        others, own = others[valid], inside[valid]
        index = tuple(others.T)
        across.append(others[~known[index] & ((grid[index] > THRESHOLD) != own)])
    flat = np.unique(np.ravel_multi_index(tuple(np.concatenate(across).T), grid.shape))
    return np.stack(np.unravel_index(flat, grid.shape), axis=1)


MODES: Dict[str, Callable[..., Extraction]] = {'exact': exact, 'octree': octree}


def surface(grid: np.ndarray, threshold: float = THRESHOLD) -> Tuple[np.ndarray, np.ndarray]:
    """Extracts the surface by marching cubes, of PyMCubes or else of scikit-image.

    Both give the same vertices up to float32 rounding; the triangles of a cell differ.

    Args:
      grid: float32 [R + 2, R + 2, R + 2], of an Extraction; threshold: above it is inside.
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
    if mcubes is None:
        from skimage import measure  # here, since its import takes a while
        vertices, triangles = measure.marching_cubes(grid, threshold,
                                                     gradient_direction='ascent')[:2]
    else:
        vertices, triangles = mcubes.marching_cubes(grid, threshold)
    return (vertices.astype(np.float64) - 0.5) / resolution - 0.5, triangles.astype(np.int64)


def refine(field: Field, vertices: np.ndarray, resolution: int = 256,
           threshold: float = THRESHOLD) -> np.ndarray:
    """Moves vertices to nearby positions where the field is closer to 0.5; faces may fold over.

    The original's optimize_mesh: three rounds of the 26 steps to neighbours, the step half as long
    each round; those of a round start from where the vertices were at its beginning.

    Args:
      field: function, see above; vertices: float [V, 3]; resolution: R; threshold: of inside.
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


def normals(field: Any, vertices: np.ndarray) -> np.ndarray:
    """Computes unit normals that point out of the shape, from the gradient of the field.

    Args:
      field: decoder.Field; vertices: float [V, 3].
    Returns:
      float32 [V, 3]; zero where the gradient is.
    """
    gradient = -field.gradient(vertices)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    return gradient / np.maximum(length, 1e-20)


def interpolate(first: np.ndarray, second: np.ndarray, steps: int = 8) -> np.ndarray:
    """Interpolates linearly between two codes [Z], both included: float32 [steps, Z]."""
    shares = np.arange(steps)[:, None] / max(1, steps - 1)
    return (second * shares + first * (1 - shares)).astype(np.float32)


def mesh(field: Field, resolution: int = 256, mode: str = 'octree', refined: bool = False
         ) -> Tuple[np.ndarray, np.ndarray, Extraction]:
    """Extracts the mesh of a field.

    Args:
      field: function, see above; resolution: R; mode: 'exact' or 'octree'; refined: see `refine`.
    Returns:
      (vertices float64 [V, 3], triangles int [T, 3], Extraction).
    """
    extracted = MODES[mode](field, resolution)
    vertices, triangles = surface(extracted.grid)
    if refined:
        vertices = refine(field, vertices, resolution)
    return vertices, triangles, extracted

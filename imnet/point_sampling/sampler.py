"""Point-value pairs from a solid grid of 256^3 cells, draw for draw as the author's script.

Grids are indexed [i, j, k]; j is up. The surface cells of a pooled grid come first, then random
ones. Draws come from two generators: numpy's for the place in a cell, Python's for random cells.
"""
import random
import zlib
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np
from scipy import ndimage

from common import errors
from imnet import options

SIZE = 256
_TRIALS = 100
_BUFFER = 1 << 15       # raw draws at once


class Sets(NamedTuple):
    """What is stored of a shape.

    Attributes:
      voxels: uint8 [64, 64, 64, 1].
      points: {16, 32, 64: uint8 [P, 3]}, cells of 256^3.
      values: {16, 32, 64: uint8 [P, 1]}, 1 inside.
      exceeded: of 32 and 64, 1 where the set is full before all surface cells had a point.
      surface_cells: of 32 and 64, points in the set that come from surface cells.
    """

    voxels: np.ndarray
    points: Dict[int, np.ndarray]
    values: Dict[int, np.ndarray]
    exceeded: Tuple[int, int]
    surface_cells: Tuple[int, int]


class Draws:
    """The two generators; numpy's is read in blocks, which its scalar calls would equal.

    Args:
      numpy_rng: numpy.random.RandomState; python_rng: random.Random.
    """

    def __init__(self, numpy_rng: np.random.RandomState, python_rng: Any = None):
        self._rng, self.python = numpy_rng, python_rng
        self._state, self._used = numpy_rng.get_state(), 0
        self._raw: List[int] = []

    @classmethod
    def of_shape(cls, seed: int, name: str) -> 'Draws':
        """Creates generators that depend on the seed and the shape's name alone."""
        number = zlib.crc32('{}:{}'.format(seed, name).encode())
        return cls(np.random.RandomState(number), random.Random(number))

    def next_raw(self) -> int:
        """Returns the next 32 bits; `& (n - 1)` gives what randint(n) does for a power of two."""
        if self._used == len(self._raw):
            self._raw += self._rng.randint(0, 1 << 32, size=_BUFFER, dtype=np.uint32).tolist()
        self._used += 1
        return self._raw[self._used - 1]

    def below(self, count: int) -> int:
        """Returns what randint(count) does: the lowest bits, drawn anew while too large."""
        mask = (1 << (count - 1).bit_length()) - 1
        number = self.next_raw() & mask if mask else 0
        while number >= count:
            number = self.next_raw() & mask
        return number

    def rng(self) -> np.random.RandomState:
        """Returns numpy's generator, just after the draws that were used."""
        self._rng.set_state(self._state)
        if self._used:
            self._rng.randint(0, 1 << 32, size=self._used, dtype=np.uint32)
        self._state, self._used, self._raw = self._rng.get_state(), 0, []
        return self._rng


def assemble(blocks: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Assembles the grid of an HSP file, rotated from the axes of ShapeNet v1 to those of v2.

    Args:
      blocks: uint8 [N, 16, 16, 16]; numbers: int [16, 16, 16], from 1.
    Returns:
      uint8 [256, 256, 256].
    Raises:
      errors.InputError: sizes or numbers are wrong.
    """
    if (blocks.shape[1:] != (16, 16, 16) or numbers.shape != (16, 16, 16)
            or not set(blocks.dtype.kind + numbers.dtype.kind) <= set('biuf')):
        raise errors.InputError('the blocks are {} {} and the numbers {} {}; expected numbers '
                                '[N, 16, 16, 16] and [16, 16, 16].'.format(
                                    blocks.dtype, list(blocks.shape), numbers.dtype,
                                    list(numbers.shape)))
    numbers = numbers.astype(np.int64) - 1
    if numbers.min() < 0 or numbers.max() >= len(blocks):
        raise errors.InputError('the numbers of blocks are from {} to {}; expected 1 to {}.'.format(
            numbers.min() + 1, numbers.max() + 1, len(blocks)))
    # The few blocks are rotated instead of the grid, and their numbers alike.
    blocks, numbers = (np.flip(array.swapaxes(-1, -3), -1) for array in (blocks, numbers))
    grid = np.take(blocks.astype(np.uint8), numbers, axis=0)
    return grid.transpose(0, 3, 1, 4, 2, 5).reshape(3 * [SIZE])


def carved(grid: np.ndarray) -> np.ndarray:
    """Fills what lies below a roof and is closed in from left, right, front and back.

    Args:
      grid: uint8 [256, 256, 256], 0 or 1.
    Returns:
      uint8 [256, 256, 256], a copy.
    """
    result = (grid > 0).astype(np.uint8)
    box = _bounds(result)
    if box is None:
        return result
    # What is filled lies between occupied cells.
    occupied, filled = result[box] > 0, result[box]
    rows, columns = np.arange(occupied.shape[0])[:, None], np.arange(occupied.shape[2])
    # Spans of the occupied i in each (j, k), and of the occupied k in each (i, j).
    left, right = _span(occupied, 0)
    front, back = _span(occupied, 2)
    covered = occupied.any(axis=1)
    fill = np.zeros_like(covered)
    for j in range(occupied.shape[1] - 1, -1, -1):
        enclosed = ((left[j] < rows) & (rows < right[j])
                    & (front[:, j, None] < columns) & (columns < back[:, j, None]))
        layer = occupied[:, j]
        filled[:, j] |= covered & ~layer & enclosed & fill
        fill = layer | (fill & enclosed)
    return result


def _bounds(grid):
    """Slices of the box of what is not 0; None if there is nothing."""
    box = []
    for axis in range(3):
        places = np.flatnonzero(grid.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(places):
            return None
        box.append(slice(places[0], places[-1] + 1))
    return tuple(box)


def _span(occupied, axis):
    """Least and greatest occupied index along an axis; (size, -1) where there is none."""
    size = occupied.shape[axis]
    some = occupied.any(axis=axis)
    low = np.where(some, occupied.argmax(axis=axis), size)
    high = np.where(some, size - 1 - np.flip(occupied, axis).argmax(axis=axis), -1)
    return low, high


def pooled(grid: np.ndarray, size: int) -> np.ndarray:
    """Pools a grid [R, R, R] by the maximum of blocks: [size, size, size] of the same dtype."""
    step = len(grid) // size
    return grid.reshape(3 * [size, step]).max(axis=(1, 3, 5))


def sample_point_in_cube(block: np.ndarray, target: int, draws: Draws) -> Tuple[int, int, int]:
    """Draws a cell of a value; after 100 misses it is the nearest one to the centre.

    Args:
      block: uint8 [2h, 2h, 2h]; target: 0 or 1; draws: of the cell.
    Returns:
      (x, y, z), indices in the block.
    """
    for _ in range(_TRIALS):
        x, y, z = (draws.below(len(block)) for _ in range(3))
        if block[x, y, z] == target:
            return x, y, z
    return _nearest_to_centre(block, target)


def _nearest_to_centre(block, target):
    """Finds a cell of a value in growing cubes around the centre, without randomness."""
    half = len(block) // 2
    if block[half, half, half] == target:
        return half, half, half
    for radius in range(1, half + 1):
        low, high = half - radius, half + radius - 1
        if radius > 1:
            for cell in ((low, half, half), (high, half, half), (half, half, low),
                         (half, half, high), (half, low, half), (half, high, half)):
                if block[cell] == target:
                    return cell
        part = block[low:high + 1, low:high + 1, low:high + 1]
        cell = np.unravel_index(part.argmax(), part.shape)
        if part[cell] == target:
            return tuple(int(place) + low for place in cell)
    raise ValueError('the block has no cell of value {}.'.format(target))


def point_sets(grid: np.ndarray, draws: Draws) -> Sets:
    """Computes the encoder's grid and draws the three sets of points of a solid.

    Args:
      grid: uint8 [256, 256, 256], 0 or 1, solid; draws: of the points.
    Raises:
      errors.InputError: the grid is empty.
    """
    if not grid.any():
        raise errors.InputError('the grid is empty: no cell of 256^3 is occupied.')
    picker = Picker(grid, draws)
    points, values, surface = {}, {}, {}
    for size in (64, 32):
        points[size], values[size], surface[size] = _one_set(grid, size, picker, draws.python)
    cells = np.indices([16] * 3).reshape(3, -1).T
    values[16] = pooled(grid, 16).reshape(-1, 1)
    points[16] = picker.pick(cells, values[16][:, 0], 16)
    full_32, full_64 = (int(surface[size] == options.POINTS[size]) for size in (32, 64))
    return Sets(pooled(grid, 64)[..., None], points, values, (full_32, full_64),
                (surface[32], surface[64]))


def _one_set(grid, size, picker, python_rng):
    """Points, values and number of surface cells of the set of a pooled size."""
    count = options.POINTS[size]
    values = pooled(grid, size)
    order = np.concatenate([np.arange(first, size - 1, 4) for first in (1, 2, 3, 4)])
    mixed = (ndimage.maximum_filter(values, size=3) != ndimage.minimum_filter(values, size=3))
    # j is the outermost of the author's loops, then i, then k.
    j, i, k = (axis.ravel() for axis in np.meshgrid(order, order, order, indexing='ij'))
    chosen = np.flatnonzero(mixed[i, j, k])[:count]
    cells = np.stack([i[chosen], j[chosen], k[chosen]], axis=1)
    surface = len(cells)
    if surface < count:
        cells = np.concatenate([cells, _free_cells(cells, size, count - surface, python_rng)])
    targets = values[tuple(cells.T)]
    return picker.pick(cells, targets, SIZE // size), targets[:, None], surface


def _free_cells(cells, size, count, python_rng):
    """Draws cells that are not among `cells`, each once: int [count, 3]."""
    used = {(i, j, k) for i, j, k in cells.tolist()}
    free, last, draw = [], size - 1, python_rng.randint
    while len(free) < count:
        cell = (draw(0, last), draw(0, last), draw(0, last))
        if cell not in used:
            used.add(cell)
            free.append(cell)
    return np.array(free)


class Picker:
    """Picks points in cells; one cell after the other, as each takes as many draws as it needs."""

    def __init__(self, grid: np.ndarray, draws: Draws):
        self._grid, self._draws = grid, draws
        self._flat = np.ascontiguousarray(grid).tobytes()

    def pick(self, cells: np.ndarray, targets: np.ndarray, step: int) -> np.ndarray:
        """Picks in each cell a point of its target value.

        Args:
          cells: int [P, 3], of a grid pooled by `step`; targets: [P], their values.
          step: cells of 256^3 on a side of a cell.
        Returns:
          uint8 [P, 3].
        """
        flat, mask, draw = self._flat, step - 1, self._draws.next_raw
        result = []
        for (i, j, k), target in zip((cells * step).tolist(), targets.tolist()):
            for _ in range(_TRIALS):
                x, y, z = i + (draw() & mask), j + (draw() & mask), k + (draw() & mask)
                if flat[(x * SIZE + y) * SIZE + z] == target:
                    break
            else:
                block = self._grid[i:i + step, j:j + step, k:k + step]
                offset = _nearest_to_centre(block, target)
                x, y, z = i + offset[0], j + offset[1], k + offset[2]
            result.append((x, y, z))
        return np.array(result, np.uint8)

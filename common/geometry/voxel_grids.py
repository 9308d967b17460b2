"""Voxel grids: binvox files, solid voxelisation of meshes, resizing, surfaces.

A grid is indexed [x, y, z] by the axes of the mesh that it was made from; `up` says which of them
points upwards there. Cell i of R covers [i, i + 1] on an axis of R cells.
"""
import re
from typing import Optional, Tuple

import numpy as np

from common import errors, files
from common.geometry import meshes
from common.readers import limits

_MOST_CELLS = 1 << 30     # of a file, 1024 a side
_SAMPLES = 1 << 20      # points on triangles in one batch
_ROUNDING = 1e-11       # cells; a face on a border of cells lies in those behind it, not in either


def read_binvox(path: str) -> np.ndarray:
    """Reads a .binvox file (Min, "binvox"), also one whose header has comments or CRLF.

    Args:
      path: str.
    Returns:
      bool [X, Y, Z]; the file keeps y fastest, then z, then x, and y is up in most sets.
    Raises:
      errors.InputError: the file is missing, no binvox, or cut short.
    """
    data = limits.content(path, 'a binvox file', 'Give a .binvox file.')
    sizes, body = _binvox_header(data)
    if not sizes:
        raise errors.InputError('{} is no binvox file: it has no header from "#binvox" through '
                                '"dim" with three sizes to "data".'.format(path))
    if limits.count(sizes) > _MOST_CELLS:
        raise errors.InputError('{} has {} cells, more than the {} that are read. Voxelise it in '
                                'fewer.'.format(path, ' x '.join(map(str, sizes)), _MOST_CELLS))
    runs = np.frombuffer(body[:len(body) // 2 * 2], np.uint8).reshape(-1, 2)
    total = int(runs[:, 1].sum(dtype=np.int64))
    if total != sizes[0] * sizes[1] * sizes[2]:
        raise errors.InputError('{}: the header says {} cells, the runs give {}; it is damaged or '
                                'cut short.'.format(path, ' x '.join(map(str, sizes)), total))
    cells = np.repeat(runs[:, 0] > 0, runs[:, 1])
    x_size, z_size, y_size = sizes
    return cells.reshape(x_size, z_size, y_size).transpose(0, 2, 1)


def _binvox_header(data: bytes) -> Tuple[Optional[Tuple[int, ...]], bytes]:
    """Returns (the three sizes in the file's order x, z, y, or None without them, the runs)."""
    sizes, place = None, 0
    while data.startswith(b'#binvox') and b'\n' in data[place:place + 1000]:
        end = data.index(b'\n', place) + 1
        words, place = data[place:end].split(), end
        if words == [b'data']:
            return sizes, data[place:]
        if words[:1] == [b'dim']:
            if len(words) != 4 or not all(re.fullmatch(rb'0*[1-9]\d{0,8}', word)
                                          for word in words[1:]):
                break
            sizes = tuple(int(word) for word in words[1:])
    return None, b''


def write_binvox(path: str, grid: np.ndarray) -> None:
    """Writes a .binvox file, in one exchange.

    Args:
      path: str.
      grid: bool [X, Y, Z].
    """
    cells = np.ascontiguousarray(np.asarray(grid, bool).transpose(0, 2, 1)).ravel()
    ends = np.append(np.flatnonzero(cells[1:] != cells[:-1]), len(cells) - 1)
    pairs = []
    for value, length in zip(cells[ends], np.diff(ends, prepend=-1)):
        whole, rest = divmod(int(length), 255)
        pairs += [(int(value), 255)] * whole + ([(int(value), rest)] if rest else [])
    sizes = [grid.shape[axis] for axis in (0, 2, 1)]
    with files.replacing(path) as temporary:
        with open(temporary, 'wb') as stream:
            stream.write('#binvox 1\ndim {} {} {}\ntranslate 0 0 0\nscale 1\ndata\n'.format(
                *sizes).encode())
            stream.write(np.array(pairs, np.uint8).tobytes())


def turn_up(points: np.ndarray, up: str) -> np.ndarray:
    """Rotates points or vertices so that z is up; right-handed.

    Args:
      points: [N, 3].
      up: 'z' (nothing is done) or 'y': the new axes are x, -z, y of the old.
    Returns:
      [N, 3].
    """
    return points if up == 'z' else np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def fitted(vertices: np.ndarray, resolution: int, extent: float) -> np.ndarray:
    """Returns a mesh scaled and centred in a grid: the longest side of its box is `extent` cells.

    Args:
      vertices: [V, 3].
      resolution: int, cells of the grid's side; extent: number of cells.
    Returns:
      float64 [V, 3], in cells.
    Raises:
      errors.InputError: the mesh is empty, has no extent, or a coordinate too large to compute
        with.
    """
    vertices = np.asarray(vertices, np.float64)
    if not len(vertices):
        raise errors.InputError('the mesh has no faces.')
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    length = (high - low).max()
    if not 0 < length < np.inf:
        raise errors.InputError('the mesh has the extent {:g}.'.format(length))
    return (vertices - (low + high) / 2) * (extent / length) + resolution / 2


def in_cells(vertices: np.ndarray, triangles: np.ndarray, resolution: int, extent: float
             ) -> Tuple[np.ndarray, np.ndarray]:
    """Places a mesh in a grid for `surface_cells`: scaled, centred, no side on a border of cells.

    Args, Raises: see `solid`.
    Returns:
      (vertices float64 [U, 3] that triangles use, in cells; triangles int [T, 3] of them).
    """
    vertices, triangles = meshes.without_unused(vertices, triangles)
    cells = fitted(vertices, resolution, extent)
    # The last point of a box that ends on a border of cells belongs to the cell before it.
    return (cells - resolution / 2) * (1 - 1e-9) + resolution / 2, triangles


def surface_cells(vertices: np.ndarray, triangles: np.ndarray, resolution: int) -> np.ndarray:
    """Returns the cells that a surface passes through.

    Each triangle is sampled so densely (every point of it within half a cell of a sample) that the
    cells separate its two sides for neighbours that share a face.

    Args:
      vertices: [V, 3] in cells; triangles: int [T, 3].
      resolution: int, R.
    Returns:
      bool [R, R, R].
    """
    grid = np.zeros([resolution] * 3, bool)
    corners = vertices[triangles]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    steps = np.maximum(1, np.ceil(edges / 0.5)).astype(int)
    for count in np.unique(steps):
        first, second = np.meshgrid(*2 * [np.arange(count + 1)], indexing='ij')
        inside = first + second <= count
        weights = np.stack([first[inside], second[inside],
                            count - first[inside] - second[inside]], axis=1) / count
        group = corners[steps == count]
        at_once = max(1, _SAMPLES // len(weights))
        for start in range(0, len(group), at_once):
            points = np.einsum('sk,tkd->tsd', weights, group[start:start + at_once])
            cells = np.floor(points + _ROUNDING).astype(int).reshape(-1, 3)
            grid[tuple(np.clip(cells, 0, resolution - 1).T)] = True
    return grid


def solid(vertices: np.ndarray, triangles: np.ndarray, resolution: int, extent: float
          ) -> np.ndarray:
    """Voxelises a mesh as a solid: its surface and all that the outside cannot reach.

    Cavities open to the outside stay empty; a mesh that is not closed may stay a shell. Vertices
    that no triangle uses do not count.

    Args:
      vertices: [V, 3], of any scale; triangles: int [T, 3].
      resolution: int, R; extent: cells that the longest side of the box fills, at most R.
    Returns:
      bool [R, R, R], indexed by the axes of the vertices.
    Raises:
      errors.InputError: the mesh has no faces or no extent.
    """
    cells, triangles = in_cells(vertices, triangles, resolution, extent)
    return filled(surface_cells(cells, triangles, resolution))


def filled(grid: np.ndarray) -> np.ndarray:
    """Fills the cavities of a grid: what 6-connectivity does not join to the outside.

    Args:
      grid: bool [X, Y, Z].
    Returns:
      bool [X, Y, Z].
    """
    from scipy import ndimage  # late: --help needs neither SciPy nor scikit-image

    occupied = np.argwhere(grid)
    if not len(occupied):
        return np.array(grid, bool)
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    result = np.array(grid, bool)
    box = tuple(slice(*ends) for ends in zip(low, high))
    labels, _ = ndimage.label(np.pad(~result[box], 1, mode='constant', constant_values=True),
                              ndimage.generate_binary_structure(3, 1))  # sides, not corners
    result[box] = labels[1:-1, 1:-1, 1:-1] != labels[0, 0, 0]
    return result


def resized(grid: np.ndarray, resolution: int, extent: float) -> np.ndarray:
    """Resamples the bounding box of what is occupied: longest side `extent` cells, centred.

    Args:
      grid: bool [X, Y, Z]; resolution: int, R; extent: cells, at most R.
    Returns:
      bool [R, R, R]; each cell takes the value at its centre (nearest neighbour).
    Raises:
      errors.InputError: the grid is empty.
    """
    occupied = np.argwhere(grid)
    if not len(occupied):
        raise errors.InputError('the grid is empty.')
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    scale = (high - low).max() / extent
    centres = np.arange(resolution) + 0.5 - resolution / 2
    places = [np.floor(centres * scale + (low[axis] + high[axis]) / 2).astype(int)
              for axis in range(3)]
    valid = [(place >= 0) & (place < size) for place, size in zip(places, grid.shape)]
    values = grid[np.ix_(*[np.clip(place, 0, size - 1)
                           for place, size in zip(places, grid.shape)])]
    return values & valid[0][:, None, None] & valid[1][:, None] & valid[2]


def surface(grid: np.ndarray, level: float = 0.5, step: int = 1
            ) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the isosurface of a grid by marching cubes (Lewiner et al. 2003).

    Args:
      grid: float or bool [X, Y, Z], occupancies in [0, 1].
      level: float, occupancy at the surface.
      step: int, stride of the samples in cells; more is coarser.
    Returns:
      (vertices float32 [V, 3] in cells, triangles int [T, 3]); both are empty where nothing is
      occupied. Vertices lie between the centres of cells.
    """
    from skimage import measure  # late: see filled

    padded = np.pad(np.asarray(grid, np.float32), 1, mode='constant')
    if not (padded[::step, ::step, ::step] > level).any():
        return np.zeros([0, 3], np.float32), np.zeros([0, 3], int)
    vertices, triangles = measure.marching_cubes(padded, level, step_size=step)[:2]
    return (vertices - 0.5).astype(np.float32), triangles

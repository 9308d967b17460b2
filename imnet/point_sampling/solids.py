"""Solid grids of 256^3 cells from HSP files, meshes, .binvox and .npz files.

Grids are indexed [i, j, k] along x, y, z with y up; a unit is the side of the box [-0.5, 0.5]^3.
"""
import os
from typing import Callable, NamedTuple

import numpy as np

from common import cli, errors
from common.geometry import meshes, voxel_grids
from common.readers import arrays, matlab
from imnet.point_sampling import sampler

SIZE = sampler.SIZE
READABLE = ('.mat', '.binvox', '.npz') + meshes.READABLE


class Solid(NamedTuple):
    """A solid.

    Attributes:
      grid: uint8 [256, 256, 256].
      to_mesh: function that takes points [N, 3] of the box [-0.5, 0.5]^3 to the frame of the
        file's own vertices.
    """

    grid: np.ndarray
    to_mesh: Callable[[np.ndarray], np.ndarray]


def read(path: str, up: str = 'y', allow_open: bool = False) -> np.ndarray:
    """Reads a file of any kind that is known, by its extension: uint8 [256, 256, 256].

    Args:
      path: of the file; up: 'y' or 'z', which axis of meshes and binvox grids points upwards.
      allow_open: see `from_mesh`.
    Raises:
      errors.InputError: it cannot be read, is empty, or is not closed.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending == '.mat':
        return from_hsp(path)
    if ending == '.binvox':
        return _fitted_grid(_y_up(voxel_grids.read_binvox(path), up), path)
    if ending == '.npz':
        return _from_npz(path)
    return from_mesh(path, up, allow_open).grid


def from_hsp(path: str) -> np.ndarray:
    """Reads an HSP file and carves it: uint8 [256, 256, 256]."""
    content = matlab.read(path, ('b', 'bi'), 'a solid of HSP',
                          'Some files of HSP are broken: leave them out.')
    missing = [name for name in ('b', 'bi') if name not in content]
    if missing:
        raise errors.InputError('{} has no {}; an HSP file has the blocks "b" and their numbers '
                                '"bi".'.format(path, ' and no '.join(missing)))
    try:
        return sampler.carved(sampler.assemble(content['b'], content['bi']))
    except errors.InputError as error:
        raise errors.InputError('{}: {}'.format(path, error))


def from_mesh(path: str, up: str = 'y', allow_open: bool = False) -> Solid:
    """Voxelises a closed mesh: centred, bounding-box diagonal 1 (the author's normalisation).

    Args:
      path: of the mesh; up: 'y' or 'z'.
      allow_open: take a mesh that encloses nothing as the shell that it is.
    Raises:
      errors.InputError: the mesh cannot be read, has no extent, or is not closed.
    """
    vertices, triangles = meshes.read_triangles(path)
    vertices = vertices.astype(np.float64)
    if not len(triangles):
        raise errors.InputError('{} has no faces.'.format(path))
    if up == 'z':
        vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=1)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    diagonal = np.linalg.norm(high - low)
    if not 0 < diagonal < np.inf:
        raise errors.InputError('{}: the mesh has the extent {:g}.'.format(path, diagonal))
    centre = (low + high) / 2
    # A hair less than the whole, so that the last point belongs to the cell before the border.
    cells = ((vertices - centre) / diagonal * (1 - 1e-9) + 0.5) * SIZE
    shell = voxel_grids.surface_cells(cells, triangles, SIZE)
    grid = voxel_grids.filled(shell)
    if _has_border(vertices, triangles):
        if grid.sum() > shell.sum():
            cli.say('note: {} has an open border; what its surface does not enclose is '
                          'outside. Fill its holes if that is not meant.'.format(path))
        elif not allow_open:
            raise errors.InputError('{} is not closed: its surface encloses nothing, so there is '
                                    'no inside to learn. Close it (fill its holes), or give '
                                    '--allow_open to take the surface itself as the solid.'.format(
                                        path))

    def to_mesh(points):
        placed = np.asarray(points) * diagonal + centre
        if up == 'z':
            placed = np.stack([placed[:, 0], -placed[:, 2], placed[:, 1]], axis=1)
        return placed

    return Solid(grid.astype(np.uint8), to_mesh)


def _has_border(vertices, triangles):
    """Returns whether an edge belongs to an odd number of triangles; equal corners count as one."""
    _, same = np.unique(vertices, axis=0, return_inverse=True)
    corners = same[triangles]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]),
                    axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    return (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 1).any()


def _from_npz(path):
    """The grid of a .npz file, under the key `voxels` or the only one there."""
    remedy = 'Write it with numpy.savez(path, voxels=grid).'
    content = arrays.read_archive(path, what='a solid (.npz)', remedy=remedy)
    grid = content.get('voxels', next(iter(content.values())) if len(content) == 1 else None)
    if grid is None or grid.ndim != 3 or grid.dtype.kind not in 'biuf':
        raise errors.InputError('{} needs an array "voxels" [X, Y, Z] of numbers (found: {}). {}'
                                .format(path, errors.listed(
                                    '{} {} {}'.format(name, array.dtype, list(array.shape))
                                    for name, array in content.items()), remedy))
    if grid.dtype.kind == 'f' and grid.size and not 0 <= grid.min() <= grid.max() <= 1:
        raise errors.InputError('{}: the grid holds {}, which is no occupancy; give bits, or '
                                'probabilities from 0 to 1.'.format(
                                    path, 'values outside [0, 1]' if np.isfinite(grid).all()
                                    else 'what is no number'))
    if grid.dtype.kind == 'i' and (grid < 0).any():
        raise errors.InputError('{}: the grid holds values below 0, which are no occupancy.'
                                .format(path))
    grid = grid > (0.5 if grid.dtype.kind == 'f' else 0)
    if grid.shape == (SIZE, SIZE, SIZE) and grid.any():
        return grid.astype(np.uint8)
    return _fitted_grid(grid, path)


def _y_up(grid, up):
    return grid if up == 'y' else grid.transpose(0, 2, 1)[:, :, ::-1]


def _fitted_grid(grid, path):
    """Brings a grid of any size to 256^3 cells, the diagonal of its occupied box 256 cells long."""
    occupied = np.argwhere(grid)
    if not len(occupied):
        raise errors.InputError('{}: the grid is empty.'.format(path))
    sizes = occupied.max(axis=0) - occupied.min(axis=0) + 1
    extent = SIZE * sizes.max() / np.linalg.norm(sizes)
    return voxel_grids.resized(voxel_grids.filled(grid), SIZE, extent).astype(np.uint8)


def encoder_grid(grid: np.ndarray) -> np.ndarray:
    """Pools a solid uint8 [256, 256, 256] to the encoder's input: uint8 [64, 64, 64, 1]."""
    return sampler.pooled(grid, 64)[..., None]

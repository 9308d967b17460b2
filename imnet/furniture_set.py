"""A small set in IM-NET's layout from procedural furniture: solids, point sets, rendered views."""
import os
from typing import Dict, Sequence, Tuple

import numpy as np

from common import cli
from common.geometry import furniture, generator, voxel_grids
from common.training import workers
from imnet import draw, options
from imnet.point_sampling import sampler, tables

STEM = 'furniture_vox256_img'
_VIEWS, _SIDE = 24, 137


def solid(name: str, seed: Sequence[int], version: int = 1) -> np.ndarray:
    """Builds a solid of a class: uint8 [256, 256, 256], y up, bounding-box diagonal 256 cells.

    Args:
      name: str, one of generator.CLASSES.
      seed: [seed, number]; version: int, of the generator.
    """
    if version == 1:
        parts = furniture.furniture(name, seed)
        low = np.min([part.low for part in parts if not part.cut], axis=0)
        high = np.max([part.high for part in parts if not part.cut], axis=0)
    else:
        low, high = generator.shape(name, seed[-1], seed[0]).box()
    extent = sampler.SIZE * (high - low).max() / np.linalg.norm(high - low)
    grid = generator.voxels(name, seed, sampler.SIZE, extent, version)
    return np.ascontiguousarray(grid.transpose(0, 2, 1)[:, :, ::-1]).astype(np.uint8)


def render_views(grid: np.ndarray) -> np.ndarray:
    """Renders grey views of a solid uint8 [256] * 3 from 24 sides: uint8 [24, 137, 137]."""
    coarse = sampler.pooled(grid, 64)
    vertices, triangles = voxel_grids.surface(coarse)
    vertices = vertices / 64 - 0.5
    result = np.zeros([_VIEWS, _SIDE, _SIDE], np.uint8)
    for number in range(_VIEWS):
        image = draw.render(vertices, triangles, number * 360. / _VIEWS - 180.,
                            15. + 10. * (number % 3), _SIDE)
        result[number] = np.round(image @ np.array([0.299, 0.587, 0.114]))
    return result


def _row(job: Tuple[int, str, str, int, int]) -> Dict[str, np.ndarray]:
    """Arrays of the shape (seed, name, class, number, version of the generator)."""
    seed, name, kind, number, version = job
    grid = solid(kind, [seed, number], version)
    sets = sampler.point_sets(grid, sampler.Draws.of_shape(seed, name))
    return dict(tables.arrays_of(sets), pixels=render_views(grid))


def write(folder: str, shapes: int = 2, classes: Sequence[str] = options.FURNITURE,
          seed: int = 0, version: int = 1, processes: int = 0, test_shapes: int = 1) -> None:
    """Writes the files of both splits.

    Args:
      folder: str; shapes: of each class for training; test_shapes: likewise, for testing.
      classes: of generator.CLASSES; seed: of the shapes.
      version: int, of the generator; from 2 on the shapes for testing are held out by their seed.
      processes: int, that make shapes; 0: one a processor. The files do not depend on it.
    """
    test_seed = seed if version == 1 else generator.held_out_seed(seed)
    write_split(folder, 'train', classes, range(shapes), seed, version, processes)
    write_split(folder, 'test', classes, range(shapes, shapes + test_shapes), test_seed, version,
                processes)


def write_split(folder: str, split: str, classes: Sequence[str], numbers: Sequence[int], seed: int,
                version: int, processes: int = 0) -> None:
    """Writes the file of one split, the shapes of some numbers of each class.

    Args:
      folder: str; split: 'train' or 'test'; numbers: list of int; the others: see `write`, but that
        `seed` is taken as it is.
    """
    path = os.path.join(folder, '{}_{}.hdf5'.format(STEM, split))
    items = [(kind, number) for kind in classes for number in numbers]
    names = ['{}/{:04d}'.format(*item) for item in items]
    rows = workers.parallel(_row, [(seed, name, *item, version)
                                   for name, item in zip(names, items)],
                            processes or workers.num_cpus(), 'making shapes')
    tables.write_rows(path, rows, len(names), 'gzip')
    tables.write_names(path, names)
    cli.say('{} shapes in {}'.format(len(names), path))

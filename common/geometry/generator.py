"""Procedural shapes by version, class, seed and number; what trainings and measurements draw from.

Version 1 is `furniture`: blocks and cylinders, solids alone. Version 2 is `furniture_v2`: closed
polygon meshes of at most 200 vertices as well, the same shape. A shape of version 2 follows from
(seed, class, number) alone, on any machine. Seeds from HELD_OUT on are for measuring: no training
uses them (`training_seed` refuses them). The shapes are free of rights (CC0).
"""
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from common import errors
from common.geometry import furniture, furniture_v2, lofts

VERSIONS = (1, 2)
CLASSES = tuple(furniture.FURNITURE)
HELD_OUT = 900000       # first seed of the shapes that no training sees
MAX_VERTICES = 200
_LEVELS = 255           # of 8 bits along the diagonal, as PolyGen quantises
_DECIMALS = 5           # of coordinates: hides what sines differ by between machines
_TRIALS = 1000


class Shape(NamedTuple):
    """A shape of version 2. Axes: x across, y depth (the front is at -y), z up; metres.

    Attributes:
      name: str, its class.
      parts: list of lofts.Part, which touch and do not overlap.
    """

    name: str
    parts: List[lofts.Part]

    def mesh(self) -> Tuple[np.ndarray, List[List[int]]]:
        """Returns (vertices float64 [V, 3], faces: lists of vertex numbers); see `lofts.mesh`."""
        return lofts.mesh(self.parts)

    def part_of_face(self) -> np.ndarray:
        """Returns the number of the part of each face of `mesh`: int [F]."""
        return np.repeat(np.arange(len(self.parts)), [
            len(lofts.mesh([part])[1]) for part in self.parts])

    def box(self) -> Tuple[np.ndarray, np.ndarray]:
        """Returns the lowest and the highest corner of its bounding box, [3] each."""
        vertices = self.mesh()[0]
        return vertices.min(axis=0), vertices.max(axis=0)

    def voxels(self, resolution: int, extent: float) -> np.ndarray:
        """Returns the occupancy, centred, as `furniture.voxels` does for version 1.

        Args:
          resolution: int, R; extent: cells of the longest side of the box, at most R.
        Returns:
          bool [R, R, R], axes x, y, z; a cell takes the value at its centre.
        """
        low, high = self.box()
        scale = (high - low).max() / extent
        cells = (np.arange(resolution) + 0.5 - resolution / 2) * scale
        return lofts.occupancy(self.parts, [cells + centre for centre in (low + high) / 2])


def shape(name: str, number: int, seed: int = 0) -> Shape:
    """Returns a shape of version 2.

    Args:
      name: str, one of CLASSES.
      number: int from 0, of the shape within its class.
      seed: int from 0; from HELD_OUT on the shapes are those for measuring.
    Returns:
      Shape; its mesh has at most MAX_VERTICES vertices, of which no two fall together when they
      are quantised to 8 bits.
    """
    rng = np.random.RandomState([2, seed, CLASSES.index(name), number])
    for _ in range(_TRIALS):
        parts = _finished(furniture_v2.FURNITURE[name](rng), rng.uniform(0.88, 1.14, 3))
        if _is_usable(lofts.mesh(parts)[0]):
            return Shape(name, parts)
    raise AssertionError('{} {} of seed {}: no usable shape.'.format(name, number, seed))


def _finished(parts, scale):
    """Parts stretched along the axes, to whole multiples of 1e-5 m."""
    result = []
    for part in parts:
        axes = list(lofts.plane_axes(part.axis))
        result.append(part._replace(
            loops=np.round(part.loops * scale[axes], _DECIMALS),
            heights=np.round(part.heights * scale[part.axis % 3], _DECIMALS)))
    return result


def _is_usable(vertices):
    if len(vertices) > MAX_VERTICES:
        return False
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    places = (vertices - (low + high) / 2) / np.linalg.norm(high - low) + 0.5
    return len(np.unique(np.floor(places * _LEVELS), axis=0)) == len(vertices) == len(
        np.unique(np.rint(places * _LEVELS), axis=0))


def training_seed(seed: int) -> int:
    """Returns the seed if trainings may use it.

    Raises:
      errors.UsageError: its shapes are held out for measuring.
    """
    if not 0 <= seed < HELD_OUT:
        raise errors.UsageError('--seed {}: the shapes of seeds from {} on are for measuring, not '
                                'for training; give a smaller one.'.format(seed, HELD_OUT))
    return seed


def held_out_seed(seed: int) -> int:
    """Returns the seed of held-out shapes that goes with a seed of training shapes."""
    return HELD_OUT + training_seed(seed)


def voxels(name: str, seed: Sequence[int], resolution: int, extent: float, version: int
           ) -> np.ndarray:
    """Returns the occupancy of a shape of either version.

    Args:
      name: str, one of CLASSES.
      seed: list of int: version 1 takes it whole, of version 2 the first is the seed and the last
        the number.
      resolution, extent: see Shape.voxels.
      version: int, one of VERSIONS.
    Returns:
      bool [R, R, R], axes x, y, z.
    """
    if version == 1:
        return furniture.voxels(furniture.furniture(name, seed), resolution, extent)
    return shape(name, seed[-1], seed[0]).voxels(resolution, extent)

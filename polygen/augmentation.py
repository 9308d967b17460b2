"""Meshes stretched and warped along their axes before they are quantised.

Nash et al. 2020, appendix on data, as far as it is known here: factors of 0.75 to 1.25 an axis
(public reimplementations have the same), and piecewise linear warps of five even intervals with
log-normal slopes, mirrored on the two level axes (told from memory of the paper, not checked).
Axes are those of quantised meshes: front, across, up.
"""
from typing import Any, Dict, NamedTuple

import numpy as np

from common import errors
from polygen import data_utils

SCALES = (0.75, 1.25)
INTERVALS = 5
VARIANCE = 0.5          # of the logarithm of a slope


class Maps(NamedTuple):
    """A monotone map of each axis, from [0, 1] (the box before) to [0, 1].

    Attributes:
      places: float [3, INTERVALS + 1], where the even knots go.
      scales: float [3], factors of the three sides of the box.
    """

    places: np.ndarray
    scales: np.ndarray

    def move(self, vertices: np.ndarray) -> np.ndarray:
        """Moves vertices, float [V, 3]."""
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        sides = np.maximum(high - low, 1e-12)
        knots = np.linspace(0, 1, self.places.shape[1])
        moved = [np.interp((vertices[:, axis] - low[axis]) / sides[axis], knots, self.places[axis])
                 for axis in range(3)]
        return np.stack(moved, axis=1) * sides * self.scales

    def move_voxels(self, grid: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """Moves voxels in the frame of a mesh into the frame of the moved mesh.

        Args:
          grid: bool [R, R, R]; vertices: float [V, 3] of the mesh before.
        Returns:
          bool [R, R, R]: each cell takes the value at its centre (nearest neighbour).
        """
        before = vertices.max(axis=0) - vertices.min(axis=0)
        before = before / np.linalg.norm(before)
        after = before * self.scales / np.linalg.norm(before * self.scales)
        side, knots = grid.shape[0], np.linspace(0, 1, self.places.shape[1])
        centres = (np.arange(side) + 0.5) / side - 0.5
        index, inside = [], []
        for axis in range(3):
            share = centres / max(after[axis], 1e-12) + 0.5
            # Beyond the box nothing moves: what the surface occupied there stays at its place.
            source = np.where((share < 0) | (share > 1), share,
                              np.interp(share, self.places[axis], knots))
            cells = np.floor(((source - 0.5) * before[axis] + 0.5) * side).astype(int)
            index.append(np.clip(cells, 0, side - 1))
            inside.append((cells >= 0) & (cells < side))
        return grid[np.ix_(*index)] & np.logical_and.outer(
            np.logical_and.outer(inside[0], inside[1]), inside[2])


def draw(rng: np.random.RandomState, scaling: bool, warping: bool) -> Maps:
    """Draws maps.

    Args:
      rng: np.random.RandomState; the same draws whatever the two flags are.
      scaling, warping: bool.
    """
    scales = rng.uniform(*SCALES, size=3)
    slopes = np.exp(rng.normal(0, VARIANCE ** 0.5, [3, INTERVALS]))
    slopes[:2, INTERVALS // 2 + 1:] = slopes[:2, :INTERVALS // 2][:, ::-1]      # mirrored
    if not warping:
        slopes[:] = 1
    places = np.concatenate([np.zeros([3, 1]), np.cumsum(slopes, axis=1)], axis=1)
    return Maps(places / places[:, -1:], scales if scaling else np.ones(3))


def augmented(example: Dict[str, Any], maps: Maps, settings: Dict[str, Any]) -> Dict[str, Any]:
    """Returns an example of the mesh after the maps; the example itself where it grew.

    Args:
      example: with 'mesh', (vertices float [V, 3] y up, faces), see `mesh_sets.load_meshes`.
      maps: Maps; settings: further arguments of `data_utils.process_mesh`.
    """
    vertices, faces = example['mesh']
    moved = maps.move(np.asarray(vertices, np.float64)[:, [2, 0, 1]])[:, [1, 2, 0]]
    try:
        other = data_utils.process_mesh(moved.astype(np.float32), faces, **settings)
    except errors.InputError:
        return example
    # The tables and static shapes hold what the mesh had; more vertices may now be apart.
    if len(other['vertices']) > len(example['vertices']) or len(other['faces']) > len(
            example['faces']):
        return example
    return dict(example, vertices=other['vertices'], faces=other['faces'].astype(np.int32),
                maps=maps)

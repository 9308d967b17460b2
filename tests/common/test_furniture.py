"""Tests of common/geometry/furniture.py."""
import numpy as np
import pytest

from common.geometry import furniture


def inside(parts, points):
    """Which points [N, 3] lie in a solid, point by point: bool [N]."""
    result = np.zeros(len(points), bool)
    for part in parts:
        centre, half = (part.low + part.high) / 2, (part.high - part.low) / 2
        places = np.abs(points - centre) / half
        filled = (places <= 1).all(axis=1)
        if part.kind != 'block':
            round_axes = [axis for axis in range(3) if axis != 'xyz'.index(part.kind)]
            filled &= (places[:, round_axes] ** 2).sum(axis=1) <= 1
        result = result & ~filled if part.cut else result | filled
    return result


@pytest.mark.parametrize('name', furniture.FURNITURE)
def test_furniture_is_the_same_for_a_seed_and_fills_its_box(name):
    grids = [furniture.voxels(furniture.furniture(name, [seed, 3]), 30, 24) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(grids[0], grids[1])
    assert (grids[0] != grids[2]).any()
    occupied = np.argwhere(grids[0])
    assert (occupied.max(axis=0) - occupied.min(axis=0) + 1).max() >= 23


def test_a_grid_takes_the_value_at_the_centre_of_each_cell():
    parts = [furniture.block([0, 0, 0], [4, 2, 1]), furniture.cylinder('y', [0, 0, 0], [1, 2, 1],
                                                                       True)]
    grid = furniture.voxels(parts, 40, 32)  # eight cells a unit
    centres = np.stack(np.meshgrid(*3 * [np.arange(40)], indexing='ij'), -1).reshape(-1, 3) + 0.5
    np.testing.assert_array_equal(grid.ravel(),
                                  inside(parts, (centres - 20) / 8 + [2, 1, 0.5]))
    # Of 8 x 8 cells a circle of diameter 8 takes in the centres of 52.
    assert grid.sum() == 32 * 16 * 8 - 52 * 16
    assert grid[4:36, 12:28, 16:24].sum() == grid.sum()

"""Tests of common/geometry/voxel_grids.py."""
import os

import numpy as np
import pytest

from common import errors
from common.geometry import meshes, voxel_grids

FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases',
                     'meshes')
BOX = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def box(low, high):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    return np.array(low) + corners * (np.array(high) - low)


def solid_of(vertices, resolution=10, extent=8):
    return voxel_grids.solid(vertices, meshes.triangulate(BOX), resolution, extent)


def test_a_box_becomes_solid_and_keeps_its_axes():
    grid = solid_of(box([5, 5, 5], [13, 9, 7]))     # 8 x 4 x 2, anywhere
    expected = np.zeros([10, 10, 10], bool)
    expected[1:9, 3:7, 4:6] = True
    np.testing.assert_array_equal(grid, expected)


def test_the_inside_of_a_closed_mesh_is_filled_and_an_open_box_is_not():
    closed = solid_of(box([0, 0, 0], [1, 1, 1]))
    assert closed.sum() == 8 ** 3
    open_box = voxel_grids.solid(box([0, 0, 0], [1, 1, 1]), meshes.triangulate(BOX[:5]), 10, 8)
    assert open_box.sum() < 8 ** 3 / 1.5


def test_no_thin_slanted_sheet_lets_the_outside_in():
    rng = np.random.RandomState(0)
    for _ in range(5):
        turn = np.linalg.qr(rng.normal(size=[3, 3]))[0]
        vertices = box([-1, -1, -1], [1, 1, 1]).dot(turn.T)
        grid = voxel_grids.solid(vertices, meshes.triangulate(BOX), 30, 24)
        surface = voxel_grids.surface_cells(
            voxel_grids.fitted(vertices, 30, 24), meshes.triangulate(BOX), 30)
        assert grid.sum() > 2 * surface.sum() and grid[15, 15, 15]


def test_a_mesh_without_extent_is_refused():
    with pytest.raises(errors.InputError, match='extent 0'):
        voxel_grids.solid(np.ones([3, 3]), np.array([[0, 1, 2]]), 30, 24)
    with pytest.raises(errors.InputError, match='no faces'):
        voxel_grids.solid(np.eye(3), np.zeros([0, 3], int), 30, 24)


def test_vertices_that_no_triangle_uses_do_not_shrink_the_solid():
    vertices = box([5, 5, 5], [13, 9, 7])
    expected = solid_of(vertices)
    mixed = np.concatenate([[[-900, 3, 0]], vertices, [[0, 0, 1e30]]])
    grid = voxel_grids.solid(mixed, meshes.triangulate(BOX) + 1, 10, 8)
    np.testing.assert_array_equal(grid, expected)


def test_the_hole_of_a_washer_drawn_as_two_polygons_stays_open():
    grids = [voxel_grids.solid(*meshes.read_triangles(os.path.join(FIELD, name)), 32, 28)
             for name in ('washer_ngon.obj', 'washer_ref.obj')]
    np.testing.assert_array_equal(*grids)
    # 4 x 1 x 4 with a hole of 2 x 1 x 2: 28 x 7 x 28 cells without the 14 x 7 x 14 or fewer in it
    # (a wall takes the cells on both of its sides, and the height is 7 or, rounded outwards, 8).
    assert not grids[0][16, :, 16].any() and grids[0][4, 16, 16]
    assert 28 * 7 * 28 - 14 * 7 * 14 <= grids[0].sum() <= 28 * 8 * 28 - 12 * 8 * 12


def test_y_up_turns_to_z_up_without_mirroring():
    turned = voxel_grids.turn_up(np.eye(3), 'y')
    np.testing.assert_array_equal(turned[1], [0, 0, 1])
    assert np.linalg.det(turned) == 1


def test_binvox_comes_back_as_it_was_written(tmp_path):
    grid = np.random.RandomState(0).rand(5, 6, 7) < 0.3
    grid[:, :, 3:] = True   # runs of more than a few cells
    path = str(tmp_path / 'a.binvox')
    voxel_grids.write_binvox(path, grid)
    np.testing.assert_array_equal(voxel_grids.read_binvox(path), grid)
    long = np.ones([10, 10, 10], bool)
    voxel_grids.write_binvox(path, long)    # more than 255 in a run
    np.testing.assert_array_equal(voxel_grids.read_binvox(path), long)


def test_binvox_keeps_y_fastest_then_z_then_x(tmp_path):
    path = tmp_path / 'a.binvox'
    path.write_bytes(b'#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n'
                     + bytes([0, 1, 1, 1, 0, 6]))
    assert np.argwhere(voxel_grids.read_binvox(str(path))).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize('head', [
    b'#binvox 1\r\ndim 2 1 3\r\ntranslate 0 0 0\r\nscale 1\r\ndata\r\n',
    b'#binvox 1\n# dim 9 9 9, data\n#data\ndim 2 1 3\ndata\n',
    b'#binvox 1\ntranslate -0.5 0 0.25\nscale 7\n  dim   2 1   3  \n\ndata \n'])
def test_a_binvox_header_is_read_however_it_is_written(tmp_path, head):
    path = tmp_path / 'a.binvox'    # 2 of x, 1 of z, 3 of y; the second byte pairs look like lines
    path.write_bytes(head + bytes([1, 1, 0, 4, 1, 1]))
    expected = np.zeros([2, 3, 1], bool)
    expected[0, 0, 0] = expected[1, 2, 0] = True
    np.testing.assert_array_equal(voxel_grids.read_binvox(str(path)), expected)


def test_a_binvox_with_crlf_is_the_one_without():
    grids = [voxel_grids.read_binvox(os.path.join(FIELD, name))
             for name in ('b1_base.binvox', 'b3_newline_crlf.binvox')]
    np.testing.assert_array_equal(*grids)
    assert grids[0].sum() == 4176


@pytest.mark.parametrize('data', [b'#binvox 1\ndim 2 2\ndata\n\x01\x08',
                                  b'#binvox 1\ndim 2 -2 -2\ndata\n\x01\x08',
                                  b'#binvox 1\ndim 9999999999999999999 1 1\ndata\n\x01\x08',
                                  b'#binvox 1\ndim 2 2 2\n', b'#binvox 1\ndata\n\x01\x08',
                                  b'', b'#binvox 1\ndim 2 2 2\ndata\n\x01\x07',
                                  b'#binvox 1\ndim 2 x 2\ndata\n\x01\x08', b'no binvox'])
def test_a_damaged_binvox_is_refused_with_its_name(tmp_path, data):
    path = tmp_path / 'bad.binvox'
    path.write_bytes(data)
    with pytest.raises(errors.InputError, match='bad.binvox'):
        voxel_grids.read_binvox(str(path))


def test_resizing_keeps_axes_and_fills_the_extent():
    grid = np.zeros([32, 32, 32], bool)
    grid[0:32, 8:24, 10:18] = True
    small = voxel_grids.resized(grid, 30, 24)
    occupied = np.argwhere(small)
    np.testing.assert_array_equal(occupied.min(axis=0), [3, 9, 12])
    np.testing.assert_array_equal(occupied.max(axis=0), [26, 20, 17])
    with pytest.raises(errors.InputError, match='empty'):
        voxel_grids.resized(np.zeros([4, 4, 4], bool), 30, 24)


def test_the_surface_of_a_box_of_cells_has_its_size_and_place():
    grid = np.zeros([10, 10, 10])
    grid[2:5, 3:5, 4:8] = 1
    vertices, triangles = voxel_grids.surface(grid)
    np.testing.assert_allclose(vertices.min(axis=0), [2, 3, 4], atol=1e-6)
    np.testing.assert_allclose(vertices.max(axis=0), [5, 5, 8], atol=1e-6)
    assert triangles.max() < len(vertices)
    assert len(voxel_grids.surface(np.zeros([4, 4, 4]))[1]) == 0

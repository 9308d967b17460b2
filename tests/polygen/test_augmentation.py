"""Meshes stretched and warped before quantising: by hand, mirrored, the same for a seed."""
import numpy as np
import pytest

from common import errors
from polygen import augmentation, conditions, data_utils, mesh_sets
from polygen import options as options_lib
from tests.polygen import tiny

VERTICES, FACES = tiny.SOLIDS['c_box']


def test_a_warp_moves_coordinates_between_its_knots():
    places = np.array([[0, .2, .4, .6, .8, 1], [0, .1, .2, .8, .9, 1], [0, .2, .4, .6, .8, 1]])
    maps = augmentation.Maps(places, np.array([1., 1, 0.5]))
    moved = maps.move(np.array([[0., 0, 0], [10, 10, 4], [5, 3, 1], [5, 5, 4]]))
    # 0.3 lies half-way between the knots 0.2 and 0.4, which go to 0.1 and 0.2.
    np.testing.assert_allclose(moved, [[0, 0, 0], [10, 10, 2], [5, 1.5, 0.5], [5, 5, 2]])


def test_draws_are_monotone_mirrored_and_in_their_range():
    scales, slopes = [], []
    for seed in range(200):
        maps = augmentation.draw(np.random.RandomState(seed), True, True)
        steps = np.diff(maps.places, axis=1)
        assert (steps > 0).all() and np.allclose(maps.places[:, -1], 1)
        np.testing.assert_allclose(steps[:2], steps[:2, ::-1])
        scales.append(maps.scales)
        slopes.append(np.log(steps[2]) - np.log(steps[2]).mean())
    assert not np.allclose(steps[2], steps[2, ::-1])
    assert 0.75 <= np.min(scales) < 0.77 and 1.23 < np.max(scales) <= 1.25
    assert np.var(slopes) == pytest.approx(0.5 * 4 / 5, rel=0.1)    # less that of the mean of five
    plain = augmentation.draw(np.random.RandomState(0), False, False)
    np.testing.assert_allclose(np.diff(plain.places), 0.2)
    assert (plain.scales == 1).all()


def test_voxels_move_with_their_mesh():
    vertices = np.array([[0., 0, 0], [4, 2, 4]])    # front, across, up: the diagonal is 6
    grid = np.zeros([12, 12, 12], bool)
    grid[2:10, 4:8, 2:10] = True                    # the box, two cells a unit
    grid[2:6, :, :] = False                         # the front half is empty
    maps = augmentation.Maps(np.tile([0, .2, .4, .6, .8, 1], [3, 1]), np.array([1., 2, 1]))
    moved = maps.move_voxels(grid, vertices)
    # 4 x 4 x 4 has the diagonal 6.93: 6.93 cells a side; the half front to back stays half.
    occupied = np.argwhere(moved)
    assert (occupied.max(axis=0) - occupied.min(axis=0) + 1).tolist() == [3, 6, 6]
    assert occupied[:, 0].min() == 6
    same = augmentation.draw(np.random.RandomState(0), False, False)
    np.testing.assert_array_equal(same.move_voxels(grid, vertices), grid)


def test_batches_are_augmented_by_seed_epoch_and_example_alone(tmp_path):
    folder = tiny.write_solids(tmp_path)
    options = options_lib.settle_networks(dict(vars(options_lib.parse_args(
        ['--axis_scaling', '--axis_warping'] + list(tiny.OPTIONS)))), 'cpu')
    examples = mesh_sets.load_for(options, folder, keep_mesh=True)[0]

    def batches(size):
        return mesh_sets.Batches(examples, size, seed=2, shuffle=False, shuffle_vertices=False,
                                 quantization_bits=4, augment=mesh_sets.augmentation_of(options))

    whole = batches(3).at(1)[1]['vertices_flat']
    parts = batches(1)
    single = [parts.at(step)[1]['vertices_flat'][0] for step in (1, 2, 3)]
    for row in range(3):
        length = min(len(whole[row]), len(single[row]))
        np.testing.assert_array_equal(whole[row, :length], single[row][:length])
    other = batches(3).at(2)[1]['vertices_flat']
    plain = mesh_sets.Batches(examples, 3, seed=2, shuffle=False).at(1)[1]['vertices_flat']
    assert not np.array_equal(whole, other) and not np.array_equal(whole, plain)
    maps = augmentation.draw(np.random.RandomState([2, 0, 2, 1]), True, True)
    expected = data_utils.process_mesh(maps.move(np.array(VERTICES, float)[:, [2, 0, 1]])[
        :, [1, 2, 0]].astype(np.float32), FACES, 4)['vertices']
    np.testing.assert_array_equal(whole[2, :24].reshape(8, 3)[:, ::-1] - 1, expected)


def test_pictures_are_not_augmented_so(tmp_path):
    with pytest.raises(errors.UsageError, match='pictures show the mesh as it is'):
        options_lib.settle_networks(dict(vars(options_lib.parse_args(
            ['--axis_scaling', '--condition=image']))), 'cpu')
    assert conditions.Condition('voxels', 12).spec() == {'voxels': (np.int32, [12, 12, 12])}

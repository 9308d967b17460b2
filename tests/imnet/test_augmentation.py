"""Augmented shapes of IM-AE: the points keep their truth, the grid follows the shape."""
import numpy as np
import pytest

from imnet import augmentation

SIZE = 16


def box_grid(low, high):
    """Cells whose centres lie in a box: uint8 [16, 16, 16, 1]."""
    centres = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    sides = [(centres > a) & (centres < b) for a, b in zip(low, high)]
    return np.einsum('i,j,k->ijk', *sides).astype(np.uint8)[..., None]


def in_box(points, low, high):
    return np.all((points > low) & (points < high), axis=1)


LOW, HIGH = np.array([-0.4, -0.1, -0.3]), np.array([0.1, 0.3, 0.2])     # no axis is symmetric


def test_points_move_with_the_shape_and_keep_their_truth():
    points = np.random.RandomState(0).uniform(-0.5, 0.5, [4000, 3]).astype(np.float32)
    truth, seen = in_box(points, LOW, HIGH), set()
    for row in range(24):
        voxels, moved = augmentation.augmented(box_grid(LOW, HIGH), points, 5, 2, row, (0, 2), 0.3)
        rng = np.random.RandomState([5, 2, row, 1])
        signs = np.array([1 - 2 * rng.randint(2), 1, 1 - 2 * rng.randint(2)])
        factors = np.minimum(1.3 ** rng.uniform(-1, 1, 3), [8 / 6, 8 / 5, 8 / 5])
        low, high = np.sort([LOW * signs * factors, HIGH * signs * factors], axis=0)
        # float32 may put a point on the face to the other side; there is none within 1e-6.
        np.testing.assert_array_equal(in_box(moved, low, high), truth)
        full = np.argwhere(voxels[..., 0])
        np.testing.assert_allclose(full.min(0), (low + 0.5) * SIZE, atol=1.01)
        np.testing.assert_allclose(full.max(0) + 1, (high + 0.5) * SIZE, atol=1.01)
        assert voxels.sum() == np.prod(full.max(0) - full.min(0) + 1)     # one whole box
        seen.add(tuple(signs))
    assert seen == {(x, 1, z) for x in (-1, 1) for z in (-1, 1)}


def test_the_room_of_a_shape_by_hand():
    # Full cells 2 to 9, 6 to 12 and 3 to 10 of 16: the farther face is 6, 5 and 5 cells off.
    np.testing.assert_allclose(augmentation.room(box_grid(LOW, HIGH)), [8 / 6, 8 / 5, 8 / 5])


@pytest.mark.parametrize('factor', [0.6, 0.75, 0.9])
def test_walls_of_one_cell_stay_when_a_shape_gets_shorter(factor):
    for wall in range(SIZE):
        voxels = np.zeros([SIZE, SIZE, SIZE, 1], np.uint8)
        voxels[wall] = 1
        got = augmentation.stretched(voxels, np.array([factor, 1, 1]))
        place = int(np.floor(((wall + 0.5) / SIZE - 0.5) * factor * SIZE + SIZE / 2))
        assert got[place].all() and 1 <= got.any(axis=(1, 2, 3)).sum() <= 2


def test_a_box_of_six_cells_becomes_one_of_nine():
    voxels = np.zeros([SIZE, SIZE, SIZE, 1], np.uint8)
    voxels[4:8, 8:10, 5:11] = 1       # six cells along the last axis, about its middle
    expected = np.zeros_like(voxels)
    expected[4:8, 8:10, 4:13] = 1      # 1.5 times: 8 -+ 4.5, so cells 3.5 to 12.5
    got = augmentation.stretched(voxels, np.array([1, 1, 1.5]))
    assert got[4:8, 8:10].any(axis=(0, 1)).sum() in (8, 9, 10)
    assert (got[:, :, :, 0].any(axis=2) == voxels[:, :, :, 0].any(axis=2)).all()
    assert got[..., 4:12, :].sum() == expected[..., 4:12, :].sum()


def test_draws_depend_on_seed_epoch_and_shape_alone_and_none_changes_nothing():
    points = np.random.RandomState(1).uniform(-0.5, 0.5, [50, 3]).astype(np.float32)
    grid = box_grid(LOW, HIGH)

    def drawn(*key):
        return augmentation.augmented(grid, points, *key, (0,), 0.2)[1].tolist()
    assert drawn(1, 2, 3) == drawn(1, 2, 3)
    assert len({str(drawn(*key)) for key in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4))}) == 4
    voxels, same = augmentation.augmented(grid, points, 1, 2, 3, (), 0.)
    np.testing.assert_array_equal(voxels, grid)
    np.testing.assert_array_equal(same, points)

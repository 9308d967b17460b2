"""The z-buffer shows the nearest triangle, whole and once."""
import numpy as np

from common.geometry import rasterizer

SQUARE = np.array([[1., 1, 5], [7, 1, 5], [7, 5, 5], [1, 5, 5]])
TWO = np.array([[0, 1, 2], [0, 2, 3]])


def test_a_square_of_two_triangles_covers_its_pixels_without_gap():
    index, weights, depth = rasterizer.rasterize(SQUARE, TWO, 6, 8)
    expected = np.zeros([6, 8], bool)
    expected[1:5, 1:7] = True
    np.testing.assert_array_equal(index >= 0, expected)
    np.testing.assert_array_equal(np.isfinite(depth), expected)
    assert (depth[expected] == 5).all()
    np.testing.assert_allclose(weights[expected].sum(axis=1), 1, rtol=1e-6)
    assert set(index[expected]) == {0, 1}


def test_the_nearer_triangle_hides_the_other_whatever_their_order_and_winding():
    far = SQUARE + [0, 0, 3]
    points = np.concatenate([far, SQUARE[:3]])
    for triangles in ([[0, 1, 2], [0, 2, 3], [4, 5, 6]], [[6, 5, 4], [0, 2, 3], [2, 1, 0]]):
        index, _, depth = rasterizer.rasterize(points, np.array(triangles), 6, 8)
        near = [number for number, one in enumerate(triangles) if 4 in one][0]
        assert index[1, 6] == near and depth[1, 6] == 5
        assert depth[4, 1] == 8


def test_weights_give_back_the_place_of_a_pixel():
    points = np.array([[1.3, 2.2, 4], [17.4, 5.9, 8], [6.1, 18.7, 1]])
    index, weights, depth = rasterizer.rasterize(points, np.array([[0, 1, 2]]), 20, 20)
    rows, columns = np.nonzero(index == 0)
    assert len(rows) > 5
    actual = weights[rows, columns] @ points
    np.testing.assert_allclose(actual[:, 0], columns + 0.5, atol=1e-4)
    np.testing.assert_allclose(actual[:, 1], rows + 0.5, atol=1e-4)
    np.testing.assert_allclose(actual[:, 2], depth[rows, columns], rtol=1e-5)


def test_what_lies_off_the_picture_or_has_no_area_draws_nothing():
    points = np.array([[-9., 1, 1], [-5, 1, 1], [-5, 4, 1], [1, 1, 1], [3, 3, 1], [5, 5, 1]])
    index, _, depth = rasterizer.rasterize(points, np.array([[0, 1, 2], [3, 4, 5]]), 6, 8)
    assert (index == -1).all() and np.isinf(depth).all()
    assert rasterizer.rasterize(points, np.zeros([0, 3], int), 2, 3)[0].shape == (2, 3)


def test_many_triangles_are_drawn_as_one_by_one(monkeypatch):
    rng = np.random.RandomState(1)
    points = np.concatenate([rng.uniform(-3, 23, [90, 2]), rng.uniform(1, 9, [90, 1])], axis=1)
    triangles = np.arange(90).reshape(30, 3)
    whole = rasterizer.rasterize(points, triangles, 20, 20)
    monkeypatch.setattr(rasterizer, '_AT_ONCE', 50)
    for one, other in zip(whole, rasterizer.rasterize(points, triangles, 20, 20)):
        np.testing.assert_array_equal(one, other)


def test_a_triangle_between_the_middles_of_pixels_draws_nothing():
    thin = np.array([[1., 1., 5.], [7., 5., 5.], [7., 4.9, 5.]])
    lower = np.array([[1., 3.6, 5.], [3.4, 1.6, 5.], [3.4, 1.59, 5.]])
    for points in (thin, lower):
        index, _, depth = rasterizer.rasterize(points, np.array([[0, 1, 2]]), 6, 8)
        assert (index == -1).all() and np.isinf(depth).all()

"""Tests of common/geometry/polygons.py and of `meshes.triangulate` with vertices."""
import numpy as np
import pytest

from common import errors
from common.geometry import meshes, polygons


def signed_areas(points, triangles):
    """Signed areas [T] of triangles of points [N, 2]."""
    first, second, third = points[triangles].transpose(1, 0, 2)
    return np.cross(second - first, third - first) / 2


def outline_area(points):
    return np.cross(points, np.roll(points, -1, axis=0)).sum() / 2


def assert_triangulates(points):
    """Triangles of a polygon in any plane have its direction and area, and use all its corners."""
    rng = np.random.RandomState(len(points))
    rotation = np.linalg.qr(rng.normal(size=[3, 3]))[0]
    corners = np.pad(points, [(0, 0), (0, 1)], mode='constant').dot(rotation) + [9, -3, 5]
    triangles = meshes.triangulate([range(len(points))], corners)
    areas = signed_areas(points, triangles) * np.sign(outline_area(points))
    assert areas.min() > -1e-9
    np.testing.assert_allclose(areas.sum(), abs(outline_area(points)), rtol=1e-9)
    assert set(triangles.ravel()) == set(range(len(points)))


def test_convex_polygons_stay_fans_also_where_they_are_bent_or_have_flat_corners():
    vertices = np.array([[0, 0, 0], [2, 0, 0.3], [2, 1, 0], [1, 1, 0.1], [0, 1, 0.3], [0, 0.5, 0]])
    faces = [(0, 1, 2, 3, 4, 5), (5, 4, 3), (4, 3, 2, 1, 0), (1, 0)]
    np.testing.assert_array_equal(meshes.triangulate(faces, vertices), meshes.triangulate(faces))


@pytest.mark.parametrize('scale', [1e-4, 1, 1e4])
def test_what_rounding_turns_over_is_no_concave_corner_at_any_scale(scale):
    # A square whose sides have corners on them, rotated: float32 moves them by the last bit.
    side = np.linspace(0, 1, 8, endpoint=False)
    square = np.concatenate([np.stack([x + 0 * side, y + 0 * side], axis=1) for x, y in (
        (side, 0), (1, side), (1 - side, 1), (0, 1 - side))])
    rotation = np.linalg.qr(np.random.RandomState(1).normal(size=[3, 3]))[0]
    corners = (scale * np.pad(square, [(0, 0), (0, 1)], mode='constant').dot(rotation)).astype(
        np.float32)
    fans = meshes.triangulate([range(len(corners))])
    assert not len(polygons.misfit_fans(corners, fans, np.zeros(len(fans), int)))
    notched = corners.copy()
    notched[4] += np.float32(0.01) * (corners[20] - corners[4])
    assert polygons.misfit_fans(notched, fans, np.zeros(len(fans), int)).tolist() == [0]


def test_a_concave_quad_is_cut_through_its_reflex_corner():
    vertices = np.array([[0, 0, 0], [2, -1, 0], [1, 0, 0], [2, 1, 0.]])    # reflex: 2
    for shift in range(4):
        face = np.roll([0, 1, 2, 3], shift).tolist()
        triangles = meshes.triangulate([(0, 1, 2), face, (2, 1, 0)], vertices)
        assert triangles[0].tolist() == [0, 1, 2] and triangles[3].tolist() == [2, 1, 0]
        assert {frozenset(row) for row in triangles[1:3].tolist()} == {
            frozenset([0, 1, 2]), frozenset([0, 2, 3])}
        assert (signed_areas(vertices[:, :2], triangles[1:3]) > 0).all()


@pytest.mark.parametrize('points', [
    [[0, 0], [3, 0], [3, 1], [1, 1], [1, 3], [0, 3]],                       # an L
    [[0, 0], [2, 0], [4, 0], [4, 1], [2, 1], [2, 2], [2, 3], [0, 3], [0, 1]],   # with flat corners
    [[0, 0], [5, 0], [5, 2], [4, 2], [4, 1], [3, 1], [3, 2], [2, 2], [2, 1], [1, 1], [1, 2],
     [0, 2]],
    [[0, 0], [6, 0], [6, 5], [1, 5], [1, 2], [4, 2], [4, 3], [2, 3], [2, 4], [5, 4], [5, 1],
     [0, 1]],
    [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [1, 1], [1, 3], [3, 3], [3, 1], [1, 1]],   # a ring
    [[0, 0], [2, 1], [4, 0], [4, 4], [2, 1], [0, 4]],                       # touches itself
    [[0, 0], [2, 0], [5, 0], [2, 0], [2, 1], [2, 1], [1, 1], [1, 2], [0, 2]],   # spike, twice
], ids=['L', 'flat', 'comb', 'spiral', 'ring', 'touching', 'spike'])
def test_concave_polygons_are_covered_once_from_every_first_corner(points):
    points = np.array(points, float)
    for shift in range(len(points)):
        assert_triangulates(np.roll(points, shift, axis=0))
        assert_triangulates(np.roll(points, shift, axis=0)[::-1])


@pytest.mark.parametrize('seed', range(20))
def test_random_stars_and_rings_are_covered_once(seed):
    rng = np.random.RandomState(seed)
    count, inner = rng.randint(5, 40), rng.randint(3, 20)
    angles = 2 * np.pi * (np.arange(count) + rng.uniform(0, 0.9, count)) / count
    star = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.3, 1, [count, 1])
    assert_triangulates(star)
    angles = 2 * np.pi * np.arange(inner) / inner
    hole = np.stack([np.cos(angles), -np.sin(angles)], 1) * 0.2
    tip = np.argmax(star.dot([1, 0]))
    hole = np.roll(hole, -np.argmax(hole.dot(star[tip])), axis=0)   # seen from the tip
    ring = np.concatenate([star[tip:], star[:tip], star[tip:tip + 1], hole, hole[:1]])
    if (star[tip, 0] > np.abs(star[:, 1]).min()):
        assert_triangulates(np.roll(ring, rng.randint(len(ring)), axis=0))


def test_no_point_of_a_spiral_is_covered_twice():
    turns = np.linspace(0, 6 * np.pi, 200)
    outer = np.stack([np.cos(turns), np.sin(turns)], 1) * (turns + 8)[:, None]
    inner = np.stack([np.cos(turns), np.sin(turns)], 1) * (turns + 5)[:, None]
    points = np.concatenate([outer, inner[::-1]])
    triangles = meshes.triangulate([range(400)], np.pad(points, [(0, 0), (0, 1)], mode='constant'))
    places = np.random.RandomState(0).uniform(-28, 28, [2000, 2])
    covered = np.zeros(len(places), int)
    for triangle in points[triangles]:
        sides = np.roll(triangle, -1, axis=0) - triangle
        away = places[:, None] - triangle
        covered += (np.cross(sides, away) > 0).all(axis=1)
    radius, angle = np.linalg.norm(places, axis=1), np.arctan2(places[:, 1], places[:, 0])
    for turn in range(4):   # away from the chords of the curve
        along = angle % (2 * np.pi) + 2 * np.pi * turn
        within = (radius > along + 5.2) & (radius < along + 7.8) & (along < 6 * np.pi)
        assert (covered[within] == 1).all() and within.any() == (turn < 3)
    assert covered.max() == 1


@pytest.mark.parametrize('points', [
    np.zeros([5, 3]), np.arange(5.)[:, None] * [1, 2, 3],           # a point, a line
    np.array([[0, 0, 0], [2, 2, 0], [2, 0, 0], [0, 2, 0.]]),        # an hourglass
    np.random.RandomState(3).normal(size=[200, 3])])
def test_what_is_no_polygon_gives_triangles_all_the_same(points):
    triangles = meshes.triangulate([range(len(points))], points)
    assert triangles.shape == (len(points) - 2, 3)
    assert triangles.min() >= 0 and triangles.max() < len(points)
    assert polygons.clip_ears(points).shape == (len(points) - 2, 3)


def test_too_many_corners_are_refused_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(polygons, 'MAX_CORNERS', 5)
    points = np.array([[0, 0, 0], [3, 0, 0], [3, 1, 0], [1, 1, 0], [1, 3, 0], [0, 3, 0.]])
    with pytest.raises(errors.InputError, match='6 corners; 5 are the most'):
        meshes.triangulate([(1, 2, 3, 4, 5, 0)], points)
    meshes.triangulate([(0, 1, 2, 4, 5), (3, 4, 5, 0, 1, 2)], points)   # fans do
    meshes.write(str(tmp_path / 'a.obj'), points, [(1, 2, 3, 4, 5, 0)])
    with pytest.raises(errors.InputError, match='a.obj: a concave face has 6 corners'):
        meshes.read_triangles(str(tmp_path / 'a.obj'))


@pytest.mark.parametrize('points, expected', [
    ([(9., 9.)], False), ([(3.5, 3.5)], False), ([(1., 1.)], True), ([(2., 2.)], True),
    ([(0., 0.), (4., 0.), (0., 4.)], False), ([(9., 9.), (-1., 1.), (0.5, 3.)], True)],
    ids=['far', 'in its box', 'inside', 'on its border', 'its corners', 'one of three'])
def test_what_a_triangle_holds(points, expected):
    triangle = [[0., 0.], [4., 0.], [0., 4.]]
    assert polygons._contains(triangle, np.array(points).T) is expected

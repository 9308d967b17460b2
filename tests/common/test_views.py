"""Rendered views: where a pinhole camera sees points, coverage, light, backgrounds."""
import numpy as np

from common.geometry import generator, views

# A box with the sides 0.6, 0.48, 0.64: its diagonal is 1.
CORNERS = np.array([[x, y, z] for x in (-.3, .3) for y in (-.24, .24) for z in (-.32, .32)])
SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
WHITE = views.Look(np.ones([6, 3]), np.array([0., 0, 1]), 1, 0, 0, 1)


def box():
    return views.model(CORNERS, SIDES, range(6))


def test_the_front_of_a_box_is_as_large_as_a_pinhole_shows_it():
    image = views.render(box(), views.Camera(0, 0, 2, 1.2), WHITE, 100)
    # The front, 1.76 away: 0.6 * 1.2 / 1.76 * 100 = 40.9 pixels across, 43.6 upright.
    rows, columns = np.nonzero(image[:, :, 3] == 255)
    assert (columns.min(), columns.max()) == (30, 69)       # from 29.55 to 70.45
    assert (rows.min(), rows.max()) == (28, 71)             # from 28.18 to 71.82; samples at 1/4
    covered = image[:, :, 3].astype(float).sum() / 255
    np.testing.assert_allclose(covered, 40.909 * 43.636, rtol=0.02)


def test_azimuth_turns_to_the_right_side_and_elevation_to_the_top():
    red_right = WHITE._replace(colors=np.array([1., 0, 0]) * (np.arange(6) == 1)[:, None])
    image = views.render(box(), views.Camera(90, 0, 2, 1.2), red_right, 40)
    assert image[20, 20].tolist() == [191, 0, 0, 255]       # face 1 is at +x; 3/4 of the sky
    top = WHITE._replace(colors=np.array([0, 0, 1.]) * (np.arange(6) == 5)[:, None])
    image = views.render(box(), views.Camera(0, 89, 2, 1.2), top, 40)
    assert image[20, 20, 2] == 255 and image[20, 20, 0] == 0


def test_light_from_above_leaves_the_front_dark():
    look = WHITE._replace(ambient=0.2, diffuse=0.8)
    front = views.render(box(), views.Camera(0, 0, 2, 1.2), look, 40)[20, 20]
    top = views.render(box(), views.Camera(0, 89, 2, 1.2), look, 40)[20, 20]
    assert top.tolist() == [255, 255, 255, 255]             # 0.2 + 0.8
    assert front[0] == np.rint(0.2 * 0.75 * 255)


def test_views_stay_in_the_picture_and_follow_from_the_seed():
    item = generator.shape('table', 4)
    vertices, faces = item.mesh()
    model = views.model(vertices, faces, item.part_of_face())
    images, cameras = views.render_views(model, 6, 48, np.random.RandomState(3))
    assert images.shape == (6, 48, 48, 4) and images.dtype == np.uint8 and cameras.shape == (6, 4)
    assert not images[:, [0, -1]].any() and not images[:, :, [0, -1]].any()
    assert (images[:, :, :, 3].max(axis=(1, 2)) == 255).all()
    again, _ = views.render_views(model, 2, 48, np.random.RandomState(3))
    np.testing.assert_array_equal(again, images[:2])


def test_a_view_covers_its_background_where_it_is_opaque():
    view = np.array([[[10, 20, 30, 255], [0, 0, 0, 0], [100, 100, 100, 51]]], np.uint8)
    result = views.composed(view, [200, 100, 0])
    assert result.tolist() == [[[10, 20, 30], [200, 100, 0], [180, 100, 20]]]


def test_backgrounds_vary_and_follow_from_the_seed():
    rng, same = np.random.RandomState(0), np.random.RandomState(0)
    drawn = [views.draw_background(rng, 16) for _ in range(20)]
    assert all(one.shape == (16, 16, 3) and one.dtype == np.uint8 for one in drawn)
    assert len({one.tobytes() for one in drawn}) > 10
    np.testing.assert_array_equal(views.draw_background(same, 16), drawn[0])

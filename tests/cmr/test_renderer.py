"""Pictures of bodies before, around and behind the eye."""
import time

import numpy as np
import pytest

from cmr.src.utils import body as body_lib
from cmr.src.utils import renderer
from common.geometry import rasterizer

SIZE = 64


@pytest.fixture(scope='module')
def body():
    actual = body_lib.load()
    return np.asarray(actual['v_template'], np.float64) * [1, -1, -1], actual['f'].astype(np.int64)


def test_a_body_before_the_eye_shows_all_its_faces(body):
    vertices, faces = body
    camera = (0.9, 0., -vertices[:, 1].mean())
    actual = renderer.silhouette(vertices, faces, camera, SIZE)
    expected = rasterizer.rasterize(renderer.project(vertices, camera, SIZE), faces, SIZE, SIZE)[0]
    assert actual.dtype == expected.dtype and 100 < (actual >= 0).sum() < SIZE * SIZE / 2
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize('scale', [-0.8, -1e-3, 0., 1e9])
def test_a_body_behind_the_eye_is_not_seen(body, scale):
    vertices, faces = body
    camera, photo = (scale, 0., 0.), np.full([SIZE, SIZE, 3], 7, np.uint8)
    if scale == 1e9:
        vertices = vertices - [0, 0, 5]
    assert (renderer.silhouette(vertices, faces, camera, SIZE) >= 0).sum() <= 1    # 0: far away
    assert (renderer.render(vertices, faces, camera, SIZE, background=photo) != 7).sum() <= 3


def test_a_body_around_the_eye_is_drawn_soon_and_by_its_own_faces(body):
    vertices, faces = body
    camera = (2 * 5000 / (SIZE * 0.02), 0., 0.)     # 2 cm before the body's origin
    began = time.process_time()
    actual = renderer.silhouette(vertices, faces, camera, SIZE)
    assert time.process_time() - began < 20
    depth = renderer.project(vertices, camera, SIZE)[:, 2]
    assert (depth < 0).any() and (actual >= 0).any()
    assert (depth[faces[np.unique(actual[actual >= 0])]] > 0).all()

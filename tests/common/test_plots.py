"""Tests of common/geometry/plots.py."""
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from common import errors
from common.geometry import plots

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERTICES = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
CUBE = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def pixels(path):
    with Image.open(str(path)) as image:
        assert image.format == 'PNG'
        return np.asarray(image.convert('RGB')).astype(int)


def ink(picture):
    """Box (top, bottom, left, right) of the pixels that are not white."""
    rows, columns = np.nonzero((picture < 250).any(axis=2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_a_mesh_is_shaded_by_face_and_stays_inside_its_field(tmp_path):
    plots.mesh_grid(str(tmp_path / 'a.png'), [(VERTICES, CUBE)], edges=False)
    picture = pixels(tmp_path / 'a.png')
    top, bottom, left, right = ink(picture)
    height, width = picture.shape[:2]
    assert top > 2 and left > 2 and bottom < height - 3 and right < width - 3
    assert bottom - top > height / 2
    colors, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    assert (counts > 500).sum() == 4  # the ground and three faces


def test_edges_are_drawn_unless_told_not_to(tmp_path):
    plots.mesh_grid(str(tmp_path / 'a.png'), [(VERTICES, CUBE)])
    plots.mesh_grid(str(tmp_path / 'b.png'), [(VERTICES, CUBE)], edges=False)
    assert pixels(tmp_path / 'a.png').min() < pixels(tmp_path / 'b.png').min() - 20


def test_the_vertical_axis_is_the_one_asked_for(tmp_path):
    tall = VERTICES * [0.2, 0.2, 1]
    boxes = {}
    for up, vertices in (('z', tall), ('y', tall[:, [0, 2, 1]]), ('z', tall[:, [0, 2, 1]])):
        plots.mesh_grid(str(tmp_path / 'a.png'), [(vertices, CUBE)], up=up)
        top, bottom, left, right = ink(pixels(tmp_path / 'a.png'))
        boxes[up, vertices is tall] = (bottom - top) / (right - left)
    assert boxes['z', True] > 1.5 and boxes['y', False] > 1.5
    assert boxes['z', False] < 1


def test_fields_are_laid_out_in_rows_with_captions_above(tmp_path):
    plots.mesh_grid(str(tmp_path / 'a.png'), [(VERTICES, CUBE)] * 3, captions=['a', 'b\nc', 'd'],
                       columns=2, size=1.5)
    picture = pixels(tmp_path / 'a.png')
    assert picture.shape[1] == 300 and picture.shape[0] > 300
    half = picture.shape[0] // 2
    assert (picture[half:, 150:] > 250).all()  # the fourth field is empty
    assert (picture[:34, :150] < 128).any() and (picture[half:half + 34, :150] < 128).any()


def test_points_and_empty_meshes_are_drawn_too(tmp_path):
    plots.mesh_grid(str(tmp_path / 'a.png'), [(VERTICES, None), (VERTICES, []), ([], [])])
    picture = pixels(tmp_path / 'a.png')
    assert (picture[:, :250] < 250).any() and (picture[:, 250:500] < 250).any()
    assert (picture[:, 500:] > 250).all()


def test_a_vertex_that_no_face_uses_does_not_shrink_the_mesh(tmp_path):
    plots.mesh_grid(str(tmp_path / 'a.png'), [(VERTICES, CUBE)])
    plots.mesh_grid(str(tmp_path / 'b.png'), [(np.append(VERTICES, [[40, 50, 60]], 0), CUBE)])
    assert (tmp_path / 'a.png').read_bytes() == (tmp_path / 'b.png').read_bytes()


def test_eight_meshes_of_three_hundred_faces_take_seconds(tmp_path):
    rng = np.random.RandomState(0)
    mesh = (rng.normal(size=[200, 3]), rng.randint(0, 200, [300, 4]).tolist())
    start = time.process_time()
    plots.mesh_grid(str(tmp_path / 'a.png'), [mesh] * 8)
    assert time.process_time() - start < 4


def test_wrong_arguments_are_refused(tmp_path):
    path = str(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='empty'):
        plots.mesh_grid(path, [])
    with pytest.raises(ValueError, match='2 captions for 1'):
        plots.mesh_grid(path, [(VERTICES, CUBE)], captions=['a', 'b'])
    with pytest.raises(ValueError, match="got 'x'"):
        plots.mesh_grid(path, [(VERTICES, CUBE)], up='x')
    with pytest.raises(ValueError, match=r'got \[2, 2, 4\]'):
        plots.image_grid(path, [np.zeros([2, 2, 4])])
    with pytest.raises(ValueError, match='2 steps but 1 values'):
        plots.curves(path, {'a': ([1, 2], [1])})
    with pytest.raises(ValueError, match='no line'):
        plots.curves(path, {})
    assert not os.path.exists(path)


def test_a_place_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / 'file').write_text('x')
    with pytest.raises(errors.InputError, match='cannot write'):
        plots.curves(str(tmp_path / 'file' / 'a.png'), {'a': ([1], [1])})


def test_images_keep_their_values_whatever_their_type(tmp_path):
    values = np.array([[0, 255], [51, 204]], np.uint8)
    colors = np.stack([values, values[::-1], values.T], axis=2)
    plots.image_grid(str(tmp_path / 'a.png'), [
        values, values / 255., (values / 255.).astype(np.float32)[:, :, None], colors,
        values * 2. - 100], size=1)
    picture = pixels(tmp_path / 'a.png')
    for field in range(3):
        actual = picture[[25, 25, 75, 75], [100 * field + 25, 100 * field + 75] * 2]
        assert actual.tolist() == [[value] * 3 for value in values.ravel().tolist()]
    actual = picture[[25, 25, 75, 75], [325, 375] * 2]
    assert actual.tolist() == colors.reshape(-1, 3).tolist()
    assert picture[125, 25].tolist() == [0] * 3 and picture[125, 75].tolist() == [255] * 3


def test_curves_are_lines_on_linear_and_logarithmic_axes(tmp_path):
    steps, values = [1, 2, 3, 4], [1., 1e-2, np.nan, 1e-6]
    for log in (False, True):
        plots.curves(str(tmp_path / 'a.png'), {'loss': (steps, values), 'one': ([2], [.5])},
                        log=log, ylabel='nats')
        picture = pixels(tmp_path / 'a.png')
        blue = (np.abs(picture - [31, 119, 180]) < 40).all(axis=2)
        assert picture.shape == (400, 700, 3) and blue.sum() > 100


def test_threads_draw_the_same_bytes_as_one_alone(tmp_path):
    def draw(name):
        plots.mesh_grid(str(tmp_path / name), [(VERTICES, CUBE)] * 2, captions=['a', 'b'])

    draw('alone.png')
    threads = [threading.Thread(target=draw, args=('{}.png'.format(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = (tmp_path / 'alone.png').read_bytes()
    assert all((tmp_path / '{}.png'.format(i)).read_bytes() == alone for i in range(4))


def test_neither_pyplot_nor_a_display_is_needed(tmp_path):
    code = ('import sys\nfrom common.geometry import plots\n'
            'plots.curves({!r}, {{"a": ([1, 2], [3, 4])}})\n'
            'assert "matplotlib.pyplot" not in sys.modules').format(str(tmp_path / 'a.png'))
    environment = {key: value for key, value in os.environ.items()
                   if key not in ('DISPLAY', 'MPLBACKEND')}
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                   env=dict(environment, MPLBACKEND='TkAgg'))
    assert (tmp_path / 'a.png').exists()


def test_importing_the_room_imports_no_large_library():
    code = ('import sys\n'
            'from common.geometry import furniture, meshes, plots, rasterizer, voxel_grids\n'
            'large = {"scipy", "skimage", "matplotlib", "trimesh", "tensorflow", "DracoPy"}\n'
            'assert not large & set(sys.modules), large & set(sys.modules)\n')
    subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True)


def test_a_gallery_takes_one_of_each_class_in_turn():
    classes = ['bath', 'bath', 'bath', 'bed', 'sofa', 'bed']
    assert plots.in_turn(classes, 4) == [0, 3, 4, 1]
    assert plots.in_turn(classes, 9) == [0, 3, 4, 1, 5, 2]
    assert plots.in_turn([], 4) == []


def test_very_many_images_become_a_coarser_picture(tmp_path):
    """100 fields of 700 pixels would be 70,000 wide; matplotlib draws less than 2^16 = 65,536."""
    path = str(tmp_path / 'a.png')
    plots.image_grid(path, [np.zeros([3, 3])] * 100, columns=100, size=7.)
    with Image.open(path) as image:
        assert image.size == (20000, 200)

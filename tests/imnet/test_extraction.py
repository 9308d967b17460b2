"""Tests of imnet/extraction.py, measures.py and IMSVR/photos.py."""
import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import spatial

from common import errors
from imnet import extraction, measures
from imnet.IMSVR import photos
from tests.imnet import formula

# Like the field of the golden cases: the plate lies between the centres of 64^3 cells.
FORMULA = ('f = clip(0.5+40*d, 0, 1), d = max of three parts: torus 0.07-sqrt((sqrt((x-0.01)^2+'
           '(y+0.02)^2)-0.23)^2+(z-0.01)^2); plate min(0.0037-|0.28x+0.96z-0.19|, 0.22-|x-0.01|, '
           '0.18-|y|); box min(0.03-|x+0.35|, 0.04-|y-0.31|, 0.09-|z-0.45|), cut by a side.')


class Ball:
    """A soft ball, and how often it was asked where."""

    def __init__(self, radius=0.3, centre=(0.01, -0.02, 0.03)):
        self.radius, self.centre, self.asked = radius, np.array(centre), []

    def __call__(self, points):
        self.asked.append(np.array(points))
        distance = np.linalg.norm(points - self.centre, axis=1)
        return np.clip(0.5 + 20 * (self.radius - distance), 0, 1).astype(np.float32)


@pytest.mark.parametrize('resolution', [64, 128, 256])
def test_both_searches_give_the_same_closed_mesh(resolution):
    surfaces = []
    for search in (extraction.exact, extraction.octree):
        field = Ball()
        vertices, triangles = extraction.surface(search(field, resolution).grid)
        surfaces.append(vertices)
        # Coarse and fine centres are different places, so equal points were asked for twice.
        assert len(np.unique(np.concatenate(field.asked), axis=0)) == sum(
            map(len, field.asked))
        edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]],
                                        triangles[:, [2, 0]]]), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
        np.testing.assert_allclose(np.linalg.norm(vertices - field.centre, axis=1), 0.3,
                                   atol=0.3 / resolution)
    distance = spatial.cKDTree(surfaces[0]).query(surfaces[1])[0]
    assert len(surfaces[0]) == len(surfaces[1]) and distance.max() == 0


def test_a_search_that_starts_as_fine_finds_the_same_thin_parts():
    field = formula.field(FORMULA)
    expected, fine, coarse = [extraction.surface(extracted.grid)[0] for extracted in (
        extraction.exact(field), extraction.octree(field, start=64), extraction.octree(field))]
    assert len(expected) > 50000
    np.testing.assert_array_equal(fine, expected)
    # From 32^3 a plate between the centres is not seen; what is found is the same.
    assert len(coarse) < len(expected)
    assert spatial.cKDTree(expected).query(coarse)[0].max() < 1e-6


def test_the_search_takes_other_frames_calls_and_thresholds():
    field = Ball()
    extracted = extraction.exact(field, 96, doubled=True, frame=32, points_per_call=4096,
                                 threshold=0.4)
    assert extracted.coarse.shape == (32, 32, 32) and extracted.calls[:8] == 8 * [4096]
    assert max(extracted.calls[8:]) == 4096 // 27 * 27
    vertices, _ = extraction.surface(extracted.grid, 0.4)
    np.testing.assert_allclose(np.linalg.norm(vertices - field.centre, axis=1), 0.305, atol=1e-3)


def test_a_formula_is_read_and_another_text_refused():
    points = np.array([[0.1, 0.2, -0.3], [0.4, 0, 0.1]])
    inside = np.maximum(0.05 - np.abs(2 * points[:, 0] - 0.1), 0.1 - np.linalg.norm(
        points - [0.1, 0.2, -0.25], axis=1))
    text = ('f = clip(0.5+4*d, 0, 1), d = max of two parts: a 0.05-|2x-0.1|; '
            'b 0.1-|p-(0.1,0.2,-0.25)|.')
    np.testing.assert_allclose(formula.field(text)(points), np.clip(0.5 + 4 * inside, 0, 1))
    for bad in ('f = 1', text.replace('|2x', '|open(2x)')):
        with pytest.raises(ValueError, match='unknown formula'):
            formula.field(bad)


def test_a_shape_that_touches_the_box_is_closed_there():
    for search in (extraction.exact, extraction.octree):
        vertices, _ = extraction.surface(search(Ball(0.3, (0.4, 0, 0)), 64).grid)
        assert abs(vertices[:, 0].max() - 0.5) <= 1 / 64


def test_doubled_cells_change_the_work_only():
    field = Ball()
    single, double = extraction.exact(field), extraction.exact(field, doubled=True)
    np.testing.assert_array_equal(single.grid, double.grid)
    assert single.evaluated == single.distinct == double.distinct < double.evaluated


@pytest.mark.parametrize('shape', ['ball', 'formula'])
def test_scikit_image_gives_the_same_vertices_and_volume(shape, monkeypatch):
    pytest.importorskip('mcubes')
    field = Ball() if shape == 'ball' else formula.field(FORMULA)
    grid = extraction.octree(field, 64).grid
    expected, expected_triangles = extraction.surface(grid)
    monkeypatch.setattr(extraction, 'mcubes', None)
    vertices, triangles = extraction.surface(grid)
    assert vertices.dtype == expected.dtype and triangles.dtype == expected_triangles.dtype
    for some, others in ((vertices, expected), (expected, vertices)):
        assert spatial.cKDTree(some).query(others)[0].max() < 1e-5 / 64
    volumes = [np.einsum('ij,ij->', corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
               for corners in (expected[expected_triangles], vertices[triangles])]
    np.testing.assert_allclose(volumes[1], volumes[0], rtol=1e-4)


def test_refinement_brings_the_field_closer_to_one_half():
    field = Ball()
    vertices, _ = extraction.surface(extraction.octree(field, 64).grid)
    rough = vertices + 0.002
    errors_ = [np.abs(field(points) - 0.5).mean()
               for points in (rough, extraction.refine(field, rough))]
    assert errors_[1] < errors_[0] / 3


def test_points_are_spread_by_area_with_the_normals_of_their_faces():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    points, normals = measures.sample_surface(vertices, [[0, 1, 2], [3, 4, 5]], 4000,
                                              np.random.RandomState(0))
    assert len(points) == 4000
    first = np.abs(normals[:, 2]) > 0.5
    assert abs(first.mean() - 0.75) < 0.01
    np.testing.assert_allclose(points[first].mean(axis=0), [1, 1 / 3, 0], atol=0.05)
    np.testing.assert_allclose(normals[~first], [[1, 0, 0]] * (~first).sum())


def test_measures_of_two_parallel_squares():
    axis = np.linspace(0, 1, 50)
    flat = np.stack(np.meshgrid(axis, axis, [0.]), axis=-1).reshape(-1, 3)
    normals = np.tile([0., 0, 1], [len(flat), 1])
    figures = measures.compare((flat + [0, 0, 0.1], -normals), (flat, normals))
    assert figures['chamfer'] == pytest.approx(1000 * 2 * 0.01) and figures['normals'] == 1
    assert figures['f_score'] == 0
    assert measures.compare((flat, normals), (flat, normals))['f_score'] == pytest.approx(1)
    assert measures.compare((flat[:0], normals[:0]), (flat, normals))['chamfer'] == np.inf
    assert measures.iou([1, 1, 0], [0, 1, 1]) == pytest.approx(1 / 3)


def test_means_are_over_shapes_and_over_categories():
    rows = [{'category': name, 'shape': '', 'iou': value}
            for name, value in (('a', 1.), ('a', 0.), ('b', 0.))]
    ious = {row['category']: row['iou'] for row in measures.averages(rows)}
    assert ious == {'a': 0.5, 'b': 0, 'category mean': 0.25, 'shape mean': pytest.approx(1 / 3)}


def test_one_empty_reconstruction_does_not_hide_the_mean_of_the_others():
    rows = [{'category': 'a', 'shape': '', 'chamfer': value, 'iou': 1.}
            for value in (1., 3., np.inf)]
    means = measures.averages(rows)
    assert [row['chamfer'] for row in means] == [2, 2, 2]
    assert [row['empty'] for row in means] == [1, 1, 1]


def draw(tmp_path, background, mode='RGB'):
    image = np.zeros([60, 90, len(mode)], np.uint8)
    image[..., :3] = background
    image[20:40, 5:45, :3] = 40
    if mode == 'RGBA':
        image[20:40, 5:45, 3] = 255
    Image.fromarray(image, mode).save(str(tmp_path / 'a.png'))
    return str(tmp_path / 'a.png')


@pytest.mark.parametrize('background, mode', [(255, 'RGB'), (150, 'RGB'), (0, 'RGBA')])
def test_the_object_is_centred_on_white_whatever_was_behind_it(tmp_path, background, mode):
    view = photos.read(draw(tmp_path, background, mode))[..., 0]
    dark = np.argwhere(view < 0.5)
    low, high = dark.min(axis=0), dark.max(axis=0) + 1
    assert view[0, 0] == 1 and abs((low + high).mean() - 128) <= 2
    assert abs((high - low)[1] - 0.8 * 128) <= 3 and abs((high - low)[0] - 0.4 * 128) <= 3


def test_a_view_of_137_pixels_is_scaled_whole_with_its_background_as_the_original_does(tmp_path):
    pixels = np.random.RandomState(0).randint(90, 160, [137, 137]).astype(np.uint8)
    Image.fromarray(pixels).save(str(tmp_path / 'view.png'))
    expected = (cv2.resize(pixels, (128, 128)) / 255.)[..., None]
    np.testing.assert_allclose(photos.read(str(tmp_path / 'view.png')), expected, atol=1e-6)
    Image.fromarray(pixels[:100]).save(str(tmp_path / 'photo.png'))
    expected = (cv2.resize(pixels[:100], (128, 128)) / 255.)[..., None]
    np.testing.assert_allclose(photos.read(str(tmp_path / 'photo.png'), crop='none'), expected,
                               atol=1e-6)
    cropped = photos.read(str(tmp_path / 'view.png'), crop='middle')
    np.testing.assert_allclose(cropped[..., 0], pixels[4:132, 4:132] / 255., atol=1e-6)


def test_pictures_stand_upright_and_16_bits_are_brought_to_8(tmp_path):
    levels = np.full([60, 40], 65535, np.uint16)
    levels[5:20, 10:20] = 20000
    Image.fromarray(levels).save(str(tmp_path / 'deep.png'))
    plain = Image.fromarray((levels >> 8).astype(np.uint8))
    plain.save(str(tmp_path / 'plain.png'))
    exif = plain.getexif()
    exif[0x0112] = 6        # to be rotated by 90 degrees clockwise
    plain.transpose(Image.ROTATE_90).save(str(tmp_path / 'rotated.png'), exif=exif)
    read = [photos.read(str(tmp_path / name), crop='none')
            for name in ('plain.png', 'deep.png', 'rotated.png')]
    assert read[0].min() < 0.35 and read[0].max() == 1
    np.testing.assert_array_equal(read[0], read[1])
    np.testing.assert_array_equal(read[0], read[2])


def test_an_object_that_fills_the_picture_has_a_message_of_its_own(tmp_path):
    Image.fromarray(np.full([50, 50], 40, np.uint8)).save(str(tmp_path / 'a.png'))
    with pytest.raises(errors.InputError, match='fills all of .*--crop=none'):
        photos.read(str(tmp_path / 'a.png'), background='white')


def test_a_picture_without_an_object_is_refused(tmp_path):
    for level in (255, 90):
        Image.fromarray(np.full([50, 50, 3], level, np.uint8)).save(str(tmp_path / 'a.png'))
        with pytest.raises(errors.InputError, match='shows no object'):
            photos.read(str(tmp_path / 'a.png'))
    (tmp_path / 'b.png').write_bytes(b'no picture')
    with pytest.raises(errors.InputError, match='b.png'):
        photos.read(str(tmp_path / 'b.png'))

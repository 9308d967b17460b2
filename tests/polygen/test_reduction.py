"""Reduction of heavy meshes: welding, merging of plane faces, decimation, what is lost."""
import os

import numpy as np
import pytest
import trimesh

from common import errors
from common.geometry import generator, lofts, meshes
from polygen import make_dataset, mesh_sets, reduction, surfaces
from tests.polygen import tiny

SQUARE = np.array([[-1., -1], [1, -1], [1, 1], [-1, 1]])
BOX = np.array([[x, y, z] for x in (0., 3) for y in (0., 2) for z in (0., 5)])
SIDES = tiny.SOLIDS['c_box'][1]


def test_welding_merges_corners_and_drops_faces_that_occur_twice():
    corners = BOX[np.array(SIDES).ravel()]                      # each face has corners of its own
    faces = np.arange(24).reshape(6, 4).tolist()
    vertices, welded = reduction.weld(np.concatenate([corners, corners + 1e-9]),
                                      faces + [[24, 25, 26, 27], [0, 1, 1]])
    assert len(vertices) == 8 and len(welded) == 6
    assert reduction.is_closed(welded) and not reduction.is_closed(faces)
    assert not reduction.is_closed(welded[:5])


def test_plane_triangles_become_the_polygons_that_they_were_cut_from():
    for name, number in (('chair', 3), ('sofa', 1), ('table', 2)):
        vertices, faces = generator.shape(name, number).mesh()
        surface = trimesh.Trimesh(vertices, meshes.triangulate(faces, vertices), process=False)
        surface = surface.subdivide().subdivide()
        merged = reduction.merge_plane(surface.vertices, np.asarray(surface.faces), 1)
        kept = {index for face in merged for index in face}
        assert len(merged) == len(faces) and len(kept) == len(vertices)
        assert sorted(map(len, merged)) == sorted(map(len, faces))
        assert reduction.is_closed(merged)
        np.testing.assert_allclose(sorted(map(tuple, surface.vertices[sorted(kept)])),
                                   sorted(map(tuple, vertices)), atol=1e-9)


def test_a_plane_ring_becomes_polygons_without_holes():
    vertices, faces = lofts.mesh([lofts.part(2, [4 * SQUARE, 4 * SQUARE], [0, 1], [
        (SQUARE, 1), (SQUARE, 0)], ring=True)])
    surface = trimesh.Trimesh(vertices, meshes.triangulate(faces, vertices), process=False)
    surface = surface.subdivide()
    merged = reduction.merge_plane(surface.vertices, np.asarray(surface.faces), 1)
    assert reduction.is_closed(merged) and 10 < len(merged) <= 16
    again = trimesh.Trimesh(surface.vertices, meshes.triangulate(merged, surface.vertices),
                            process=False)
    assert again.volume == pytest.approx(64 - 4)    # (8 x 8 less 2 x 2) x 1
    assert again.area == pytest.approx(surface.area)


def test_the_angle_decides_what_is_one_face():
    # A roof whose two halves meet at 10 degrees.
    height = np.tan(np.radians(5))
    vertices = np.array([[-1, 0, 0], [0, 0, height], [1, 0, 0], [-1, 1, 0], [0, 1, height],
                         [1, 1, 0]])
    triangles = np.array([[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]])
    assert len(reduction.merge_plane(vertices, triangles, 9)) == 2
    assert len(reduction.merge_plane(vertices, triangles, 11)) == 1


def test_the_loss_is_the_distance_in_percent_of_the_diagonal():
    square = np.array([[0., 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    sheets = [(square + [0, 0, height], [[0, 1, 2, 3]]) for height in (0, 0.1)]
    diagonal = np.sqrt(2)
    assert reduction.loss(*sheets) == pytest.approx(100 * 0.1 / diagonal, rel=0.01)
    assert reduction.loss(sheets[0], sheets[0]) < 0.2
    assert reduction.loss(sheets[0], (square, [])) == np.inf


def test_points_lie_evenly_on_a_surface_and_distances_go_both_ways():
    vertices = np.array([[0., 0, 0], [3, 0, 0], [3, 1, 0], [0, 1, 0], [5, 5, 5]])
    points = surfaces.sample_surface(vertices, [[0, 1, 2, 3]], np.random.RandomState(0), 20000)
    np.testing.assert_allclose(points.mean(axis=0), [1.5, 0.5, 0], atol=0.02)
    np.testing.assert_allclose(points.var(axis=0), [9 / 12, 1 / 12, 0], atol=0.01)
    # One point at 0 against two at 1 and 3: mean distances 1 and 2; within 1.5: all and half.
    one, two = np.zeros([1, 3]), np.array([[1., 0, 0], [3, 0, 0]])
    assert surfaces.compare(one, two)[0] == pytest.approx((1 + 2) / 2)
    close = surfaces.compare(one, np.array([[0.01, 0, 0], [3, 0, 0]]))[1]
    assert close == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert surfaces.compare(np.zeros([0, 3]), two) == (np.inf, 0.)


def test_heavy_meshes_become_a_set_of_small_closed_ones(tmp_path):
    pytest.importorskip('fast_simplification')
    ball = trimesh.creation.icosphere(subdivisions=4)           # 2562 vertices
    meshes.write(str(tmp_path / 'in' / 'balls' / 'ball.obj'), ball.vertices, ball.faces)
    meshes.write(str(tmp_path / 'in' / 'boxes' / 'box.obj'), BOX, SIDES)
    code, out, err = tiny.main(
        make_dataset, '--meshes={}'.format(tmp_path / 'in'), '--output={}'.format(tmp_path / 'out'),
        '--max_vertices=100', '--angles', '1', '15', '--views=1', '--image_size=16', '--voxels=8',
        '--test_fraction=0', '--workers=1')
    assert code == 0 and '4 meshes (train 4)' in out, err
    assert os.path.exists(str(tmp_path / 'out' / 'reduction.png'))
    examples, _ = mesh_sets.load_meshes(str(tmp_path / 'out'), max_vertices=100)
    names = [example['name'] for example in examples]
    assert names == ['balls/ball@1', 'balls/ball@15', 'boxes/box@1', 'boxes/box@15']
    assert len(examples[2]['vertices']) == 8
    code, out, err = tiny.main(
        make_dataset, '--meshes={}'.format(tmp_path / 'in'), '--output={}'.format(tmp_path / 'x'),
        '--max_vertices=12', '--max_loss=0.5', '--views=1', '--image_size=16', '--voxels=8',
        '--test_fraction=0', '--workers=1')
    assert code == 0 and 'left out balls/ball: ' in out and '% (--max_loss)' in out, err


def test_the_missing_library_is_named_with_its_line(monkeypatch, tmp_path):
    import sys
    monkeypatch.setitem(sys.modules, 'fast_simplification', None)
    with pytest.raises(errors.InputError, match='pip install --no-deps fast-simplification'):
        reduction.decimate(BOX, np.zeros([99, 3], int), 10)
    meshes.write(str(tmp_path / 'in' / 'box.obj'), BOX, SIDES)
    code, _, err = tiny.main(make_dataset, '--meshes={}'.format(tmp_path / 'in'),
                             '--output={}'.format(tmp_path / 'out'), '--max_vertices=100')
    assert code == 1 and 'pip install' in err
    assert not os.path.exists(str(tmp_path / 'out'))    # nothing says that a mesh is of no use

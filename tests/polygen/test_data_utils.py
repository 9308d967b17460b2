"""Tests of polygen/data_utils.py."""
import io
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from common import errors
from polygen import data_utils

MESHES = os.path.join(os.path.dirname(os.path.abspath(data_utils.__file__)), 'meshes')
VERTICES = np.array([[0, 0, 0], [4, 0, 0], [4, 2, 0], [0, 2, 0], [2, 1, 4]], np.float32)
FACES = [[0, 3, 2, 1], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]


@pytest.mark.parametrize('bits, dropped', [(4, 3), (6, 15), (8, 63), (10, 84)])
def test_quantising_truncates_so_that_some_values_come_back_one_lower(bits, dropped):
    grid = np.arange(2 ** bits)
    back = data_utils.quantize_verts(data_utils.dequantize_verts(grid, bits), bits)
    assert back.dtype == np.int32 and (grid - back).sum() == dropped and set(grid - back) == {0, 1}
    exact = data_utils.quantize_verts(data_utils.dequantize_verts(grid, bits), bits, exact=True)
    np.testing.assert_array_equal(exact, grid)


def test_quantised_coordinates_span_the_unit_cube():
    np.testing.assert_array_equal(
        data_utils.quantize_verts(np.array([-0.5, -0.4981, 0., 0.4999, 0.5]), 8),
        [0, 0, 127, 254, 255])
    coordinates = data_utils.dequantize_verts([0, 51, 255], 8)
    assert coordinates.dtype == np.float32
    np.testing.assert_allclose(coordinates, [-0.5, -0.3, 0.5], atol=1e-7)


def test_noise_moves_a_coordinate_by_up_to_one_level():
    noisy = data_utils.dequantize_verts([0, 0, 10], 4, add_noise=True, noise=np.array([0, 0.5, 1]))
    np.testing.assert_allclose(noisy, [-0.5, -0.5 + 0.5 / 15, 11 / 15 - 0.5], atol=1e-7)
    drawn = data_utils.dequantize_verts(np.zeros(500, int), 4, add_noise=True)
    assert -0.5 <= drawn.min() < drawn.max() <= -0.5 + 1 / 15


@pytest.mark.parametrize('face, cycles', [
    ([0, 1, 2, 3], [[1, 2, 3, 0]]),        # root 0 comes first in the face: its direction is kept
    ([3, 2, 1, 0], [[1, 2, 3, 0]]),        # root 0 comes later: reversed
    ([2, 5, 2, 7], []),                    # there and back encloses nothing
    ([4, 4, 4], [[4]]),
])
def test_small_faces_have_the_cycles_worked_out_by_hand(face, cycles):
    assert data_utils.face_to_cycles(face) == cycles


def test_a_face_that_touches_itself_is_split_there():
    cycles = data_utils.face_to_cycles([2, 3, 5, 2, 4, 6])
    assert sorted(sorted(cycle) for cycle in cycles) == [[2, 3, 5], [2, 4, 6]]


def test_the_short_cut_for_simple_faces_is_the_walk():
    rng = np.random.RandomState(0)
    for _ in range(2000):
        face = rng.permutation(rng.choice([8, 40, 1000]))[:rng.randint(3, 9)].tolist()
        assert data_utils.face_to_cycles(face) == data_utils._walk(face, set(face).pop())


def test_cycles_are_those_of_networkx():
    networkx = pytest.importorskip('networkx', reason='only to compare with')
    if networkx.__version__ != '2.6.3':
        pytest.skip('the original order is that of networkx 2.6.3')
    rng = np.random.RandomState(1)
    for _ in range(3000):
        face = rng.randint(0, rng.choice([4, 8, 20, 500]), rng.randint(1, 14)).tolist()
        graph = networkx.Graph()
        for pair in zip(face, face[1:] + face[:1]):
            graph.add_edge(*pair)
        assert data_utils.face_to_cycles(face) == networkx.cycle_basis(graph), face


def test_faces_become_tokens_and_tokens_faces():
    tokens = data_utils.flatten_faces([[0, 1, 2], [2, 1, 3, 4]])
    assert tokens.tolist() == [2, 3, 4, 1, 4, 3, 5, 6, 0]
    assert data_utils.unflatten_faces(tokens) == [[0, 1, 2], [2, 1, 3, 4]]
    assert data_utils.flatten_faces([]).tolist() == [0]


@pytest.mark.parametrize('tokens, faces', [
    ([0], []), ([], []), ([2, 3, 4], []), ([2, 3, 4, 1, 5, 6], [[0, 1, 2]]),
    ([2, 3, 1, 1, 5, 6, 7, 0, 4, 5, 6, 0], [[3, 4, 5], [2, 3, 4]]),
])
def test_what_is_no_face_in_a_token_sequence_is_left_out(tokens, faces):
    assert data_utils.unflatten_faces(np.array(tokens)) == faces


def test_normalising_centres_the_box_and_gives_it_a_unit_diagonal():
    normal = data_utils.normalize_vertices_scale(data_utils.center_vertices(VERTICES))
    np.testing.assert_allclose(normal.max(axis=0), np.array([4, 2, 4]) / 12, rtol=1e-6)
    np.testing.assert_allclose(normal.min(axis=0), -normal.max(axis=0), rtol=1e-6)
    assert normal.dtype == np.float32
    with pytest.raises(errors.InputError, match='cannot be scaled'):
        data_utils.normalize_vertices_scale(np.ones([5, 3]))


@pytest.mark.parametrize('name, vertices, tokens, faces', [
    ('cube', 8, 30, 6), ('cylinder', 64, 226, 34), ('cone', 33, 161, 33),
    ('icosphere', 42, 320, 80)])
def test_toy_meshes_have_the_sizes_of_the_original(name, vertices, tokens, faces):
    mesh = data_utils.load_process_mesh(os.path.join(MESHES, name + '.obj'))
    assert mesh['vertices'].shape == (vertices, 3) and mesh['vertices'].dtype == np.int32
    assert mesh['faces'].shape == (tokens,)
    assert len(data_utils.unflatten_faces(mesh['faces'])) == faces


def test_processing_puts_the_vertical_axis_last():
    tall = VERTICES * [1, 10, 1]
    vertices = data_utils.process_mesh(tall.astype(np.float32), FACES)['vertices']
    assert np.ptp(vertices, axis=0).argmax() == 2


def test_processed_vertices_are_sorted_and_faces_start_with_their_smallest():
    vertices, faces, _ = data_utils.quantize_process_mesh(VERTICES / 10 - 0.2, FACES)
    order = vertices[:, ::-1].tolist()
    assert order == sorted(order) and len(set(map(tuple, order))) == 5
    assert all(face[0] == min(face) for face in faces)
    assert [sorted(face) for face in faces] == sorted(sorted(face) for face in faces)


def test_vertices_that_coincide_are_merged_and_degenerate_faces_dropped():
    near = np.concatenate([VERTICES, VERTICES[:1] + 1e-4, [[9, 9, 9]]]) / 20 - 0.3
    faces = FACES + [[0, 5, 1], [5, 1, 4]]
    vertices, remaining, tris = data_utils.quantize_process_mesh(
        near, faces, tris=np.array([[0, 5, 1], [1, 2, 4]]))
    assert len(vertices) == 5  # the ninth corner is used by no face
    assert len(remaining) == 6 and len(tris) == 1
    assert sorted(vertices[tris[0]].tolist()) == sorted(
        data_utils.quantize_verts(near[[1, 2, 4]]).tolist())


def test_winding_of_simple_faces_can_be_kept():
    def normals(vertices, faces):
        return np.array([np.cross(vertices[f[1]] - vertices[f[0]], vertices[f[2]] - vertices[f[0]])
                         for f in faces])
    for keep in (True, False):
        vertices, faces, _ = data_utils.quantize_process_mesh(
            VERTICES / 10 - 0.2, FACES, keep_winding=keep)  # FACES look outward
        centers = np.array([vertices[face].mean(axis=0) for face in faces]) - vertices.mean(axis=0)
        outside = (normals(vertices, faces) * centers).sum(axis=1) > 0
        assert outside.all() == keep


def test_a_mesh_without_faces_after_quantising_is_refused_by_name(tmp_path):
    path = tmp_path / 'flat.obj'
    path.write_text('v 0 0 0\nv 0 0 0.001\nv 9 9 9\nf 1 2 3\n')
    with pytest.raises(errors.InputError, match='flat.obj: no face is left after quantising to 2'):
        data_utils.load_process_mesh(str(path), quantization_bits=2)


def test_reading_numbers_vertices_by_first_use_and_drops_the_unused():
    text = 'v 1 2 3\nv 4 5 6\nv 7 8 9\nv 0 0 0\nf 4/1 1/2 3\nf -2 1//7 4/3\n'
    for stream in (io.StringIO(text), io.BytesIO(text.encode())):
        vertices, faces = data_utils.read_obj_file(stream)
        assert vertices.tolist() == [[0, 0, 0], [1, 2, 3], [7, 8, 9]]
        assert faces == [[0, 1, 2], [2, 1, 0]] and vertices.dtype == np.float32


def test_the_original_reading_of_slashes_is_there_to_compare():
    text = 'v 1 2 3\nv 4 5 6\nv 7 8 9\nf 1/2 2/3 3/1\n'
    vertices, faces = data_utils.read_obj_file(io.StringIO(text), original_slashes=True)
    assert vertices.tolist() == [[1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9], [7, 8, 9, 1, 2, 3]]
    assert faces == [[0, 1, 2]]


@pytest.mark.parametrize('transpose', [True, False])
def test_writing_and_reading_obj_gives_the_mesh_back(tmp_path, transpose):
    path = str(tmp_path / 'a.obj')
    before = VERTICES.copy()
    data_utils.write_obj(VERTICES, FACES, path, transpose=transpose, scale=3.)
    np.testing.assert_array_equal(VERTICES, before)
    vertices, faces = data_utils.read_obj(path)
    expected, same = data_utils.in_order_of_use(VERTICES * 3, FACES)
    columns = [2, 0, 1] if transpose else [0, 1, 2]
    np.testing.assert_array_equal(vertices[:, columns], expected)
    assert faces == same


def test_obj_numbering_looks_at_all_faces_and_can_be_told(tmp_path):
    path = str(tmp_path / 'a.obj')

    def written(faces, **options):
        data_utils.write_obj(VERTICES, faces, path, **options)
        with open(path) as stream:
            return [line.split()[1:] for line in stream if line.startswith('f')]
    assert written([[1, 2, 3], [4, 0, 3]]) == [['2', '3', '4'], ['5', '1', '4']]
    assert written([[1, 2, 3], [4, 5, 3]]) == [['1', '2', '3'], ['4', '5', '3']]
    assert written([[1, 2, 3]], one_based=False) == [['2', '3', '4']]
    assert written([[1, 2, 3], [4, 0, 3]], original=True) == [['1', '2', '3'], ['4', '0', '3']]
    assert written(None) == []


def example_dataset(vertices, faces, label=2):
    return tf.data.Dataset.from_tensors({
        'vertices': tf.constant(vertices, tf.int32), 'faces': tf.constant(faces, tf.int32),
        'class_label': label})


def first(run, ds):
    return run(tf.data.make_one_shot_iterator(ds).get_next())


def test_the_vertex_map_writes_z_y_x_and_a_stop(run):
    example = first(run, data_utils.make_vertex_model_dataset(
        example_dataset([[1, 2, 3], [4, 5, 6]], [2, 3, 0])))
    assert example['vertices_flat'].tolist() == [4, 3, 2, 7, 6, 5, 0]
    assert example['vertices_flat_mask'].tolist() == [1] * 7
    assert example['class_label'] == 2


def test_shifted_vertices_stay_in_the_cube_and_vary(run):
    vertices = np.array([[0, 100, 200], [255, 120, 250]], np.int32)
    draws = tf.stack([data_utils.random_shift(tf.constant(vertices)) for _ in range(200)])
    shifts = run(draws) - vertices
    assert (shifts == shifts[:, :1]).all()  # all vertices move alike
    shifts = shifts[:, 0]
    assert (shifts[:, 0] == 0).all()  # no room along x
    assert shifts[:, 1].min() >= -100 and shifts[:, 1].max() <= 135 and shifts[:, 1].std() > 20
    assert shifts[:, 2].min() >= -200 and shifts[:, 2].max() <= 5 and shifts[:, 2].min() < -50


def test_a_shift_knows_the_number_of_bits(run):
    draws = tf.stack([data_utils.random_shift(tf.constant([[0, 30, 63]]), quantization_bits=6)
                      for _ in range(100)])
    values = run(draws)
    assert values.min() >= 0 and values.max() <= 63 and len(set(values[:, 0, 0].tolist())) > 10


def test_the_face_map_shuffles_vertices_and_faces_alike(run):
    vertices = np.arange(21).reshape(7, 3) * 10
    faces = data_utils.flatten_faces([[0, 1, 2], [3, 4, 5, 6]])
    example = first(run, data_utils.make_face_model_dataset(example_dataset(vertices, faces)))
    points = np.round((example['vertices'] + 0.5) * 255)
    assert sorted(map(tuple, points.tolist())) == sorted(map(tuple, vertices.tolist()))
    for before, after in zip(data_utils.unflatten_faces(faces),
                             data_utils.unflatten_faces(example['faces'])):
        np.testing.assert_array_equal(points[after], vertices[before])
    assert example['num_vertices'] == 7
    assert example['vertices_mask'].shape == (7,) and example['faces_mask'].shape == faces.shape


def test_plots_are_saved_without_touching_the_callers_meshes(tmp_path):
    path = str(tmp_path / 'a.png')
    mesh_list = [{'vertices': VERTICES / 10 - 0.2, 'faces': FACES, 'class_name': 'pyramid'},
                 {'vertices': VERTICES / 10 - 0.2}, {'pointcloud': VERTICES / 10, 'faces': None}]
    keys = [set(mesh) for mesh in mesh_list]
    data_utils.plot_meshes(mesh_list, fig_size=2, n_cols=2, save_path=path)
    with Image.open(path) as image:
        assert image.size == (400, 400)
    assert [set(mesh) for mesh in mesh_list] == keys

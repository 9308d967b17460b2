"""Tests of polygen/mesh_sets.py."""
import os
import shutil
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from common.device import ranks
from common.geometry import meshes
from polygen import data_utils, mesh_sets

TOY = os.path.join(os.path.dirname(os.path.abspath(data_utils.__file__)), 'meshes')
VERTICES = np.array([[0, 0, 0], [4, 0, 0], [4, 2, 0], [0, 2, 0], [2, 1, 4]], np.float32)
FACES = [(0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]


@pytest.fixture(scope='module')
def toy():
    return mesh_sets.load_meshes(TOY)[0]


def prism(corners, seed=0):
    """A mesh of 2 * corners vertices, of other proportions for each seed."""
    angle = 2 * np.pi * np.arange(corners) / corners
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    sides = 1 + np.random.RandomState(seed).rand(3)
    vertices = np.concatenate([np.insert(ring, 1, -1, axis=1), np.insert(ring, 1, 1, axis=1)])
    faces = [tuple(range(corners)), tuple(range(corners, 2 * corners))] + [
        (i, (i + 1) % corners, corners + (i + 1) % corners, corners + i) for i in range(corners)]
    return (vertices * sides).astype(np.float32), faces


def prisms(number):
    """`number` examples of rising size; the label is the place."""
    return [dict(data_utils.process_mesh(*prism(3 + i, i)), class_label=i, name=str(i))
            for i in range(number)]


def pack(path, parts, **changes):
    """Writes a packed file of (vertices, faces) pairs; `changes` replace arrays, None drops one."""
    faces = [face for _, part in parts for face in part]
    arrays = {
        'vertices': np.concatenate([vertices for vertices, _ in parts]),
        'vertex_counts': np.array([len(vertices) for vertices, _ in parts], np.int32),
        'face_vertices': np.array([i for face in faces for i in face], np.uint16),
        'face_sizes': np.array([len(face) for face in faces], np.uint8),
        'face_counts': np.array([len(part) for _, part in parts], np.int32),
        'labels': np.arange(len(parts), dtype=np.uint8) + 7,
        'ids': np.array(['part{}'.format(i) for i in range(len(parts))])}
    arrays.update(changes)
    np.savez(str(path), **{key: value for key, value in arrays.items() if value is not None})
    return str(path)


def refusal(*args, **options):
    with pytest.raises(errors.InputError) as caught:
        mesh_sets.load_meshes(*args, **options)
    assert caught.value.exit_code == 1 and '\n' not in str(caught.value)
    return str(caught.value)


def test_toy_meshes_have_the_order_labels_and_sizes_of_the_original(tmp_path, toy):
    assert [example['name'] for example in toy] == [
        'cube.obj', 'cylinder.obj', 'cone.obj', 'icosphere.obj']
    assert [example['class_label'] for example in toy] == [0, 1, 2, 3]
    assert [len(example['vertices']) for example in toy] == [8, 64, 33, 42]
    assert [len(example['faces']) for example in toy] == [30, 226, 161, 320]
    assert all(example[key].dtype == np.int32 for example in toy for key in ('vertices', 'faces'))
    shutil.copytree(TOY, str(tmp_path / 'data' / 'meshes'))
    for path in (tmp_path / 'data').glob('meshes/*.obj'):
        path.write_bytes(path.read_bytes().replace(b'\n', b'\r\n'))
    (tmp_path / 'data' / 'README.md').write_text('x')
    again, summary = mesh_sets.load_meshes(str(tmp_path / 'data'))  # a parent that holds meshes/
    for one, other in zip(toy, again):
        np.testing.assert_array_equal(one['vertices'], other['vertices'])
        np.testing.assert_array_equal(one['faces'], other['faces'])
    assert str(summary) == '4 of 4 meshes in {}'.format(tmp_path / 'data' / 'meshes')


def test_other_files_are_sorted_by_path_and_of_one_class(tmp_path):
    for name in ('b.OBJ', 'a.ply', 'c.glb'):
        meshes.write(str(tmp_path / name), VERTICES, FACES)
    (tmp_path / '._b.obj').write_text('hidden')
    (tmp_path / 'notes.txt').write_text('x')
    examples, summary = mesh_sets.load_meshes(str(tmp_path))
    assert [(e['name'], e['class_label']) for e in examples] == [
        ('a.ply', 0), ('b.OBJ', 0), ('c.glb', 0)]
    assert summary.num_meshes == 3 and summary.class_names is None
    assert 'no known class' in refusal(str(tmp_path), class_names=['chair', 'table'])


def test_a_part_of_the_toy_meshes_keeps_their_labels(tmp_path):
    for name in ('icosphere', 'cylinder'):
        shutil.copy(os.path.join(TOY, name + '.obj'), str(tmp_path))
    examples, summary = mesh_sets.load_meshes(str(tmp_path))
    assert [(e['name'], e['class_label']) for e in examples] == [
        ('cylinder.obj', 1), ('icosphere.obj', 3)]
    assert summary.class_names == ['cube', 'cylinder', 'cone', 'icosphere']


def test_sub_folders_are_classes_and_can_be_given_from_another_set(tmp_path):
    for name in ('table/x/2.obj', 'chair/1.obj', 'chair/0.obj', 'lamp/3.obj'):
        meshes.write(str(tmp_path / name), VERTICES, FACES)
    os.symlink(str(tmp_path), str(tmp_path / 'table' / 'loop'))
    examples, summary = mesh_sets.load_meshes(str(tmp_path))
    assert [(e['name'], e['class_label']) for e in examples] == [
        ('chair/0.obj', 0), ('chair/1.obj', 0), ('lamp/3.obj', 1), ('table/x/2.obj', 2)]
    assert summary.class_names == ['chair', 'lamp', 'table']
    examples, summary = mesh_sets.load_meshes(str(tmp_path), class_names=['table', 'sofa', 'chair'])
    assert [e['class_label'] for e in examples] == [2, 2, 0]
    assert summary.skipped == {'its folder is no known class': ['lamp/3.obj']}


def test_files_are_turned_from_y_up_to_z_up(tmp_path):
    meshes.write(str(tmp_path / 'a.obj'), VERTICES * [1, 9, 1], FACES)
    examples, _ = mesh_sets.load_meshes(str(tmp_path))
    assert np.ptp(examples[0]['vertices'], axis=0).argmax() == 2


BAD = {'noise.obj': 'v 0 0 zero\n', 'nan.obj': 'v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n',
       'range.obj': 'v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n', 'faceless.obj': 'v 0 0 0\n',
       'point.obj': 'v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n'}


def test_broken_and_large_meshes_are_skipped_with_reason_count_and_name(tmp_path):
    for name, text in BAD.items():
        (tmp_path / name).write_text(text)
    for corners in (4, 10, 20):
        meshes.write(str(tmp_path / 'prism{:02}.obj'.format(corners)), *prism(corners))
    examples, summary = mesh_sets.load_meshes(str(tmp_path), max_vertices=20, max_face_tokens=60)
    assert [example['name'] for example in examples] == ['prism04.obj']
    assert {reason: len(names) for reason, names in summary.skipped.items()} == {
        'cannot be used': 5, 'more than 20 vertices (--max_vertices)': 1,
        'more than 60 face tokens (--max_face_tokens)': 1}
    text = str(summary)
    assert text.startswith('1 of 8 meshes in ')
    assert 'skipped 1: more than 20 vertices (--max_vertices) (prism20.obj)' in text
    assert 'skipped 5: cannot be used (' in text and text.count('.obj') < 8


def test_a_mesh_at_the_limits_is_kept(tmp_path):
    meshes.write(str(tmp_path / 'a.obj'), *prism(10))
    tokens = 2 * 11 + 10 * 5
    assert len(mesh_sets.load_meshes(str(tmp_path), 8, 20, tokens)[0]) == 1
    refusal(str(tmp_path), 8, 19, tokens)
    refusal(str(tmp_path), 8, 20, tokens - 1)


@pytest.mark.parametrize('name, words', [
    ('noise.obj', 'noise.obj, line 1: expected "v x y z"'), ('nan.obj', 'nan.obj, line 1: a coord'),
    ('range.obj', 'range.obj, line 4: a face names vertex 4'), ('faceless.obj', 'has no faces'),
    ('point.obj', 'point.obj: a mesh with a bounding box of 0.0 by 0.0 by 0.0')])
def test_strict_refuses_the_first_broken_mesh_and_says_where(tmp_path, name, words):
    shutil.copy(os.path.join(TOY, 'cube.obj'), str(tmp_path / 'a.obj'))
    (tmp_path / name).write_text(BAD[name])
    message = refusal(str(tmp_path), strict=True)
    assert words in message and 'Without --strict it is left out' in message
    assert len(mesh_sets.load_meshes(str(tmp_path))[0]) == 1


def test_strict_refuses_a_mesh_above_the_limits():
    message = refusal(TOY, max_vertices=50, strict=True)
    assert 'cylinder.obj in' in message and 'more than 50 vertices (--max_vertices)' in message


def test_nothing_to_train_on_is_refused(tmp_path):
    assert 'is no folder of meshes' in refusal(str(tmp_path / 'none'))
    assert 'holds no mesh files (.obj' in refusal(str(tmp_path))
    (tmp_path / 'meshes').mkdir()
    assert 'holds no mesh files' in refusal(str(tmp_path))
    (tmp_path / 'meshes' / 'a.obj').write_text(BAD['noise.obj'])
    message = refusal(str(tmp_path))
    assert 'no mesh is left to use' in message and 'a.obj, line 1' in message
    assert '--max_vertices' in refusal(TOY, max_vertices=3)


def test_a_packed_file_gives_the_meshes_that_files_give(tmp_path):
    parts = [prism(5), (VERTICES, FACES), prism(9)]
    pack(tmp_path / 'meshes_train.npz', parts)
    pack(tmp_path / 'meshes_test.npz', parts[:1])
    examples, summary = mesh_sets.load_meshes(str(tmp_path))
    assert [(e['name'], e['class_label']) for e in examples] == [
        ('part0', 7), ('part1', 8), ('part2', 9)]
    for example, part in zip(examples, parts):
        meshes.write(str(tmp_path / 'one.obj'), *part)
        expected = data_utils.load_process_mesh(str(tmp_path / 'one.obj'))
        np.testing.assert_array_equal(example['vertices'], expected['vertices'])
        np.testing.assert_array_equal(example['faces'], expected['faces'])
    assert len(mesh_sets.load_meshes(str(tmp_path), split='test')[0]) == 1
    assert len(mesh_sets.load_meshes(str(tmp_path / 'meshes_test.npz'))[0]) == 1
    assert 'has no meshes_valid.npz (found: meshes_test.npz, meshes_train.npz)' in refusal(
        str(tmp_path), split='valid')


@pytest.mark.parametrize('changes, words', [
    ({'face_sizes': None, 'ids': None}, 'lacks face_sizes, ids (found: vertices'),
    ({'labels': np.zeros(2)}, '"labels" must be numbers from 0 of rank 1, found float64 [2]'),
    ({'vertices': np.zeros(30, np.float32)}, '"vertices" must be floats of rank 2'),
    ({'vertices': np.zeros([15, 2], np.float32)}, 'do not fit together'),
    ({'vertex_counts': np.array([10, 6])}, 'do not fit together'),
    ({'face_counts': np.array([7, -1])}, 'with negative numbers'),
    ({'labels': np.zeros(3, int)}, 'do not fit together'),
    ({'ids': np.array([{}, {}], object)}, 'expected plain values'),
])
def test_a_packed_file_that_does_not_fit_together_is_refused(tmp_path, changes, words):
    path = pack(tmp_path / 'a.npz', [prism(5), (VERTICES, FACES)], **changes)
    message = refusal(path)
    assert words in message and path in message


def test_broken_meshes_of_a_packed_file_are_skipped_alone(tmp_path):
    holes = VERTICES.copy()
    holes[1] = np.nan
    path = pack(tmp_path / 'a.npz', [prism(5), (holes, FACES), (VERTICES, [(0, 1, 9)]),
                                     (VERTICES, [])])
    examples, summary = mesh_sets.load_meshes(path)
    assert [example['name'] for example in examples] == ['part0']
    assert len(summary.skipped['cannot be used']) == 3
    assert 'mesh 2 (part2): a face names vertex 9 of 5' in str(summary)


def test_a_damaged_packed_file_is_refused(tmp_path):
    path = pack(tmp_path / 'a.npz', [prism(5)])
    with open(path, 'rb') as stream:
        content = stream.read()
    for damaged in (content[:len(content) // 2], b'', b'PK not a zip',
                    content[:300] + bytes(300) + content[600:]):
        with open(path, 'wb') as stream:
            stream.write(damaged)
        assert 'a.npz' in refusal(path)


def assert_as_the_graph(value, expected, name=''):
    """To the bit on TensorFlow 1.15; on 2 coordinates in [-0.5, 0.5] to the last one of 0.5."""
    exact = tf.__version__.startswith('1.') or value.dtype != np.float32
    np.testing.assert_allclose(value, expected, rtol=0, atol=0 if exact else 2. ** -24,
                               err_msg=name)


def test_the_batch_of_the_toy_set_is_the_batch_of_the_originals_datasets(run, toy):
    batches = mesh_sets.Batches(toy, 4, shuffle=False, shuffle_vertices=False)
    assert batches.buckets == [{'vertex_tokens': 193, 'vertices': 64, 'face_tokens': 320,
                                'count': 4}]
    types = {'vertices': tf.int32, 'faces': tf.int32, 'class_label': tf.int32}
    shapes = {'vertices': [None, 3], 'faces': [None], 'class_label': []}
    ds = tf.data.Dataset.from_generator(
        lambda: ({key: example[key] for key in types} for example in toy), types, shapes)
    datasets = [data_utils.make_vertex_model_dataset(ds),
                data_utils.make_face_model_dataset(ds, shuffle_vertices=False)]
    for step in (1, 2, 5):
        bucket, *ours = batches.at(step)
        assert bucket == 0
        for mine, other in zip(ours, datasets):
            expected = run(tf.data.make_one_shot_iterator(other.padded_batch(
                4, tf.data.get_output_shapes(other))).get_next())
            for key, value in mine.items():
                assert_as_the_graph(value, expected[key], key)
                assert value.dtype == expected[key].dtype


def test_the_batch_of_a_step_depends_on_seed_and_step_alone():
    examples = prisms(11)
    options = dict(num_buckets=2, random_shift=True)
    steps = range(1, 13)
    first, again = (mesh_sets.Batches(examples, 3, seed=5, **options) for _ in range(2))
    forward = {step: first.at(step) for step in steps}
    for step in reversed(steps):  # as after a resume, or by another worker
        for mine, other in zip(again.at(step)[1:], forward[step][1:]):
            assert all((mine[key] == other[key]).all() for key in mine)
    other = mesh_sets.Batches(examples, 3, seed=6, **options)
    assert any(forward[step][1]['vertices_flat'].tolist() !=
               other.at(step)[1]['vertices_flat'].tolist() for step in steps)


def test_what_three_processes_make_of_a_batch_is_the_batch():
    examples = prisms(11)
    options = dict(num_buckets=2, seed=5, random_shift=True)
    whole, parts = mesh_sets.Batches(examples, 6, **options), []
    for rank in range(3):
        parts.append(mesh_sets.Batches(examples, 6, **options))
        parts[-1].share(ranks.Ranks('tf', rank, 3, rank))
    for step in (1, 2, 4):
        bucket, *expected = whole.at(step)
        shares = [part.at(step) for part in parts]
        assert {share[0] for share in shares} == {bucket}
        for model, batch in enumerate(expected, 1):
            for key, value in batch.items():
                np.testing.assert_array_equal(
                    np.concatenate([share[model][key] for share in shares]), value, key)


@pytest.mark.parametrize('num_buckets', [1, 3])
def test_an_epoch_shows_every_example_in_static_shapes(num_buckets):
    examples = prisms(13)
    batches = mesh_sets.Batches(examples, 4, num_buckets=num_buckets, seed=1)
    orders = []
    for epoch in range(3):
        labels = []
        for step in range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch):
            bucket, vertex, face = batches.at(step + 1)
            size = batches.buckets[bucket]
            assert vertex['vertices_flat'].shape == (4, size['vertex_tokens'])
            assert face['vertices'].shape == (4, size['vertices'], 3)
            assert face['faces'].shape == face['faces_mask'].shape == (4, size['face_tokens'])
            assert (vertex['class_label'] == face['class_label']).all()
            labels.extend(vertex['class_label'].tolist())
        assert set(labels) == set(range(13))
        fillers = len(labels) - 13
        assert sum(labels.count(label) - 1 for label in range(13)) == fillers < 4 * num_buckets
        orders.append(labels)
    assert orders[0] != orders[1] != orders[2]


def test_a_batch_larger_than_the_set_repeats_it(toy):
    batch = mesh_sets.Batches(toy, 6, shuffle=False).at(1)[1]
    assert batch['class_label'].tolist() == [0, 1, 2, 3, 0, 1]


def test_class_dropout_hides_the_class_of_a_share_of_the_meshes():
    plain, hidden = (mesh_sets.Batches(prisms(10), 5, class_dropout=share, any_label=10)
                     for share in (0., 0.3))
    count = 0
    for step in range(1, 401):
        before, after = plain.at(step)[1], hidden.at(step)[1]
        np.testing.assert_array_equal(before['vertices_flat'], after['vertices_flat'])
        changed = before['class_label'] != after['class_label']
        assert (after['class_label'][changed] == 10).all()
        count += changed.sum()
    # 2000 draws with probability 0.3: the standard deviation of their sum is 20.5.
    assert abs(count - 600) < 4 * 20.5
    again = mesh_sets.Batches(prisms(10), 5, class_dropout=0.3, any_label=10).at(7)[1]
    np.testing.assert_array_equal(again['class_label'], hidden.at(7)[1]['class_label'])


def test_buckets_hold_alike_lengths_and_fit_their_members():
    examples = prisms(20)[::-1]
    sizes, members = mesh_sets.make_buckets(examples, 4, multiple_of=8)
    assert sorted(np.concatenate(members).tolist()) == list(range(20))
    assert [size['count'] for size in sizes] == [5] * 4
    for size, group in zip(sizes, members):
        assert size['vertices'] % 8 == size['face_tokens'] % 8 == 0
        assert size['vertex_tokens'] == 3 * size['vertices'] + 1
        longest = max(len(examples[i]['vertices']) for i in group)
        assert longest <= size['vertices'] < longest + 8
        assert max(len(examples[i]['faces']) for i in group) <= size['face_tokens']
    assert [size['vertices'] for size in sizes] == sorted(size['vertices'] for size in sizes)
    assert len(mesh_sets.make_buckets(examples[:2], 4)[0]) == 2


def test_shifts_move_a_sample_inside_the_cube_apart_for_both_models(toy):
    batches = mesh_sets.Batches(toy, 4, shuffle=False, random_shift=True, shuffle_vertices=False)
    seen = set()
    for step in range(1, 30):
        _, vertex, face = batches.at(step)
        for row, example in enumerate(toy):
            count = len(example['vertices'])
            flat = vertex['vertices_flat'][row, :3 * count].reshape(-1, 3)[:, ::-1] - 1
            points = np.round((face['vertices'][row, :count] + 0.5) * 255).astype(int)
            moved, turned = flat - example['vertices'], points - example['vertices']
            assert (moved == moved[0]).all() and (turned == turned[0]).all()
            assert 0 <= flat.min() <= flat.max() <= 255
            assert 0 <= points.min() <= points.max() <= 255
            assert vertex['vertices_flat'][row, 3 * count:].sum() == 0
            seen.add((tuple(moved[0]), tuple(turned[0])))
    assert len(seen) == 29 * 4 and all(one != other for one, other in seen)


def test_drawn_shifts_follow_the_truncated_normal():
    vertices = np.array([[100, 0, 0], [155, 255, 10]])
    rng = np.random.RandomState(0)
    draws = np.array([mesh_sets.draw_shift(vertices, rng) for _ in range(4000)])
    assert draws.dtype == np.int32 and (draws[:, 1] == 0).all()
    assert draws[:, 0].min() >= -100 and draws[:, 0].max() <= 100
    assert abs(draws[:, 0].mean()) < 3
    # Truncated at 100 = 1.569 standard deviations of 63.75, a normal has 0.779 of that left.
    assert abs(draws[:, 0].std() / 63.75 - 0.779) < 0.03
    assert draws[:, 2].min() >= 0 and draws[:, 2].max() > 150


def test_permuted_vertices_keep_the_geometry_of_faces(toy):
    _, _, face = mesh_sets.Batches(toy, 4, shuffle=False, seed=3).at(1)
    for row, example in enumerate(toy):
        count, length = len(example['vertices']), len(example['faces'])
        points = np.round((face['vertices'][row, :count] + 0.5) * 255).astype(int)
        assert (points != example['vertices']).any()
        tokens = face['faces'][row]
        assert (tokens[length:] == 0).all() and face['faces_mask'][row].sum() == length
        for before, after in zip(data_utils.unflatten_faces(example['faces']),
                                 data_utils.unflatten_faces(tokens[:length])):
            np.testing.assert_array_equal(points[after], example['vertices'][before])


def test_evaluation_counts_every_example_once():
    examples = prisms(10)
    labels, masks = [], 0.
    for bucket, vertex, face, count in mesh_sets.evaluation_batches(examples, 4, num_buckets=2):
        assert bucket in (0, 1) and vertex['vertices_flat'].shape[0] == 4
        labels.extend(vertex['class_label'][:count].tolist())
        for batch, names in ((vertex, ['vertices_flat_mask']), (face, ['vertices_mask',
                                                                        'faces_mask'])):
            assert all(batch[name][count:].sum() == 0 for name in names)
        masks += vertex['vertices_flat_mask'].sum() + face['faces_mask'].sum()
    assert sorted(labels) == list(range(10))
    assert masks == sum(3 * len(e['vertices']) + 1 + len(e['faces']) for e in examples)


def test_a_hundred_meshes_of_a_packed_file_are_processed_in_a_second_or_so(tmp_path):
    path = pack(tmp_path / 'a.npz', [prism(100, seed) for seed in range(100)])
    start = time.time()
    assert len(mesh_sets.load_meshes(path)[0]) == 100
    assert time.time() - start < 4


@pytest.mark.parametrize('bits', [4, 6, 8, 10])
def test_vertices_reach_the_face_model_as_through_the_originals_dataset(run, bits):
    grid = np.arange(3 * (2 ** bits // 3)).reshape(-1, 3)
    ds = data_utils.make_face_model_dataset(tf.data.Dataset.from_tensors(
        {'vertices': tf.constant(grid, tf.int32), 'faces': tf.constant([2, 3, 4, 0])}),
        shuffle_vertices=False, quantization_bits=bits)
    dequantized = run(tf.data.make_one_shot_iterator(ds).get_next())['vertices']
    assert_as_the_graph(mesh_sets.graph_dequantized(grid, bits), dequantized)

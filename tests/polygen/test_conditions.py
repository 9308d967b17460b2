"""Sets with views and voxels, and vertex models that are told pictures or voxels."""
import json
import os
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndimage
import tensorflow.compat.v1 as tf

import freeze_graph
from common import choices, cli, errors, frozen
from common.frozen import lint
from common.geometry import generator, lofts, meshes
from common.training import checkpoints, launch, pretrained
from polygen import (
    blocks,
    conditions,
    make_dataset,
    mesh_sets,
    networks,
    shards,
    training,
    training_graph,
    user_inputs,
)
from polygen import evaluate as evaluate_script
from polygen import options as options_lib
from polygen import sample as sample_script
from tests.polygen import tiny

SET = '--views=2 --image_size=32 --voxels=12 --test_fraction=0 --shard_size=2 --workers=1'.split()
NETWORK = ('--image_size=16 --voxel_size=12 --encoder_channels 4 --encoder_blocks 1 1 '
           '--pre_embed_dim=3').split()


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp('set')
    solids = tiny.write_solids(folder / 'solids')
    output = str(folder / 'set')
    code, out, err = tiny.main(make_dataset, '--meshes=' + solids, '--output=' + output, *SET)
    assert code == 0, err
    assert '3 meshes (train 3), 2 views each, 0 left out' in out
    return output


def rows(dataset):
    return mesh_sets.load_meshes(dataset)[0]


def test_a_set_holds_meshes_classes_views_and_voxels(dataset):
    examples, summary = mesh_sets.load_meshes(dataset)
    assert summary.class_names == ['a', 'b', 'c']
    assert [example['class_label'] for example in examples] == [0, 1, 2]
    direct = mesh_sets.load_meshes(os.path.join(os.path.dirname(dataset), 'solids'))[0]
    for example, other in zip(examples, direct):
        np.testing.assert_array_equal(example['vertices'], other['vertices'])
        np.testing.assert_array_equal(example['faces'], other['faces'])
        assert example['inputs'].num_views == 2
        view = example['inputs'].view(1)
        assert view.shape == (32, 32, 4) and view[:, :, 3].max() == 255 and not view[0].any()


def test_voxels_lie_in_the_frame_of_the_quantised_mesh(dataset):
    example = rows(dataset)[2]      # the box: 3 across, 2 high, 5 deep; its diagonal is 6.164
    occupied = np.argwhere(example['inputs'].voxels())
    sides = occupied.max(axis=0) - occupied.min(axis=0) + 1
    # 12 cells a diagonal: 9.7 deep, 5.8 across, 3.9 high; cells that the surface cuts count.
    assert np.abs(sides - [9.73, 5.84, 3.89]).max() < 1.2
    low, high = example['vertices'].min(axis=0), example['vertices'].max(axis=0)
    np.testing.assert_allclose(sides / 12, (high - low) / 255, atol=0.1)


@pytest.mark.parametrize('shape', [('chair', 3, 0), ('desk', 902, 0)])
def test_furniture_voxels_are_the_cells_that_its_solid_touches(shape):
    options = make_dataset.parse_args(['--furniture', '--output=x', '--views=1', '--image_size=32',
                                       '--voxels=24'])
    row = make_dataset.make_row(make_dataset.Source('one', 2, '', shape), options)
    # The solid itself at 6^3 points a cell, by its equations; the desk's boards are thinner than a
    # cell, none of them holds the centre of one.
    item = generator.shape(*shape)
    low, high = item.box()
    points = ((np.arange(144) + 0.5) / 144 - 0.5) * np.linalg.norm(high - low)
    grid = lofts.occupancy(item.parts, [points + centre for centre in (low + high) / 2])
    grid = grid[:, ::-1].transpose(1, 0, 2)
    touched = grid.reshape(24, 6, 24, 6, 24, 6).any(axis=(1, 3, 5))
    assert touched.sum() > 100
    assert (touched & ~row.voxels).sum() == 0
    # A cell that is cut by less than the distance of two points is not touched.
    assert (row.voxels & ~ndimage.binary_dilation(touched, np.ones([3, 3, 3]))).sum() == 0


def test_shards_are_made_again_where_they_are_missing_equal_to_the_bit(dataset, tmp_path):
    arguments = ['--meshes=' + os.path.join(os.path.dirname(dataset), 'solids'),
                 '--output=' + dataset] + SET
    before = tiny.digests(dataset)
    os.remove(shards.stem(dataset, 'train', 1) + '.npz')
    code, out, _ = tiny.main(make_dataset, *arguments)
    assert code == 0 and 'going on: 1 of 2 files are there already' in out
    assert tiny.digests(dataset) == before
    code, _, err = tiny.main(make_dataset, *(arguments + ['--views=3']))
    assert code == 2 and '--views 3' in err and 'was made with 2' in err


def test_a_set_whose_meshes_changed_is_not_gone_on_with(tmp_path):
    solids = tiny.write_solids(tmp_path / 'solids', ['a_tetrahedron', 'b_pyramid'])
    arguments = ['--meshes=' + solids, '--output={}'.format(tmp_path / 'set')] + SET
    assert tiny.main(make_dataset, *arguments)[0] == 0
    before = tiny.digests(tmp_path / 'set')
    assert tiny.main(make_dataset, *arguments)[0] == 0      # nothing has changed
    source = os.path.join(solids, 'a', sorted(os.listdir(os.path.join(solids, 'a')))[0])
    shutil.copy(source, os.path.join(solids, 'a', 'another.obj'))
    code, _, err = tiny.main(make_dataset, *arguments)
    assert code == 1 and 'files came, went or changed since' in err and '--output' in err
    os.remove(os.path.join(solids, 'a', 'another.obj'))
    assert tiny.main(make_dataset, *arguments)[0] == 0
    os.utime(source, (0, 0))
    assert tiny.main(make_dataset, *arguments)[0] == 1
    assert tiny.digests(tmp_path / 'set') == before


@pytest.mark.parametrize('options, words', [
    (['--furniture', '--max_vertices=20'], '--max_vertices goes with --meshes'),
    (['--meshes=.', '--angles', '1', '20'], '--angles goes with --max_vertices'),
    (['--meshes=.', '--max_vertices=9', '--angles', '5', '5'], 'each once'),
    (['--meshes=.', '--max_vertices=9', '--angles', '400'], 'degrees from 0 to 90')])
def test_options_of_a_set_that_do_not_fit(tmp_path, options, words):
    code, _, err = tiny.main(make_dataset, *options, '--output={}'.format(tmp_path / 'set'))
    assert code == 2 and words in err
    assert not os.path.exists(str(tmp_path / 'set'))


def test_a_damaged_set_says_which_file(dataset, tmp_path):
    inputs = rows(dataset)[0]['inputs']
    path = str(tmp_path / 'cut.bin')
    with open(inputs.path, 'rb') as stream:
        data = stream.read()
    with open(path, 'wb') as stream:
        stream.write(data[:300])
    with pytest.raises(errors.InputError, match='cut short'):
        inputs._replace(path=path).view(1)
    with pytest.raises(errors.InputError, match='cannot read'):
        inputs._replace(path=str(tmp_path / 'none.bin')).voxels()
    copy = tmp_path / 'set'
    copy.mkdir()
    (copy / 'set.json').write_text('{"classes": 3}')
    with pytest.raises(errors.InputError, match='no index of a set'):
        mesh_sets.load_meshes(str(copy))


@pytest.mark.parametrize('change', [lambda rows: rows[:1], lambda rows: rows[:, :-1],
                                    lambda rows: rows[:0], lambda rows: rows - 1])
def test_a_shard_whose_offsets_are_not_those_of_its_meshes_loses_none_of_them(
        dataset, tmp_path, change):
    copy = str(tmp_path / 'set')
    shutil.copytree(dataset, copy)
    path = shards.stem(copy, 'train', 0) + '.npz'
    with np.load(path) as archive:
        arrays = dict(archive)
    assert len(arrays['ids']) > 1
    np.savez(path, **dict(arrays, offsets=change(arrays['offsets'])))
    with pytest.raises(errors.InputError, match='views of {} meshes'.format(len(arrays['ids']))):
        mesh_sets.load_meshes(copy, split='train')


def test_views_of_others_are_taken_beside_meshes_of_the_same_names(tmp_path):
    for model in ('one', 'two'):
        meshes.write(str(tmp_path / 'in' / 'box' / model / 'model.obj'), *tiny.SOLIDS['c_box'])
    folder = tmp_path / 'ShapeNetRendering' / 'box' / 'one' / 'rendering'
    folder.mkdir(parents=True)
    for number in range(3):
        picture = np.full([20, 20, 4], 40 * number, np.uint8)
        (folder / '0{}.png'.format(number)).write_bytes(make_dataset.encode_png(picture))
    (folder / 'rendering_metadata.txt').write_text('10 20 0 0.7 25\n30 25 0 0.8 25\n')
    code, out, err = tiny.main(
        make_dataset, '--meshes={}'.format(tmp_path / 'in'), '--output={}'.format(tmp_path / 'out'),
        '--renderings={}'.format(tmp_path / 'ShapeNetRendering'), '--views=2', '--image_size=10',
        '--voxels=8', '--test_fraction=0', '--workers=1')
    assert code == 0 and '1 left out' in out and 'box/two/model' in out, err
    assert 'has 0 pictures, --views=2 are wanted' in out
    example, = rows(str(tmp_path / 'out'))
    assert example['inputs'].view(1).shape == (10, 10, 4)
    assert (example['inputs'].view(1)[:, :, 3] == 40).all()
    with np.load(shards.stem(str(tmp_path / 'out'), 'train', 0) + '.npz') as arrays:
        np.testing.assert_allclose(arrays['cameras'][0], [[10, 20, .7, 0], [30, 25, .8, 0]])


def test_furniture_tests_on_held_out_seeds():
    sources = make_dataset.furniture_sources(make_dataset.parse_args(
        ['--furniture', '--output=x', '--models=2', '--test_models=1', '--seed=5']))
    assert {source.shape[2] for source in sources['train']} == {5}
    assert {source.shape[2] for source in sources['test']} == {900005}
    assert len(sources['train']) == 20 and len(sources['test']) == 10


def test_a_draw_depends_on_seed_epoch_and_example_alone(dataset):
    condition = conditions.Condition('image', 16, True)
    make = [mesh_sets.Batches(rows(dataset), size, seed=3, condition=condition)
            for size in (1, 3)]
    one = {int(batch['class_label'][0]): batch['image'][0]
           for batch in (make[0].at(step)[1] for step in (1, 2, 3))}
    many = make[1].at(1)[1]
    for row in range(3):
        np.testing.assert_array_equal(many['image'][row], one[int(many['class_label'][row])])
    assert many['image'].dtype == np.float32
    assert 0 <= many['image'].min() < many['image'].max() <= 1
    other = make[1].at(2)[1]
    assert not np.array_equal(np.sort(other['image'].ravel()), np.sort(many['image'].ravel()))


def test_the_fast_form_of_volumes_equals_the_plain_one():
    rng = np.random.RandomState(0)
    values = rng.uniform(-1, 1, [2, 13, 13, 13, 3]).astype(np.float32)
    outputs = []
    for plain in (True, False):
        with tf.Graph().as_default(), tf.Session() as sess:
            inputs = tf.constant(values)
            net = blocks.ResNet(3, (4, 8), (1, 2), 0., re_zero=False, plain=plain)
            result = net(inputs)
            gradients = tf.gradients(tf.reduce_sum(result ** 2), list(net.variables) + [inputs])
            for number, variable in enumerate(net.variables):
                shape = variable.shape.as_list()
                sess.run(tf.assign(variable, np.random.RandomState(number).uniform(
                    -0.2, 0.2, shape).astype(np.float32)))
            outputs.append(sess.run([result] + gradients))
    for one, other in zip(*outputs):
        # Sums in another order: float32 rounding of the largest terms.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(one).max())
    assert outputs[0][0].shape == (2, 4, 4, 4, 8)


def test_an_object_is_found_and_centred_as_in_the_training_views():
    picture = np.zeros([90, 120, 3], np.uint8)
    picture[:] = np.linspace(120, 200, 90)[:, None, None]       # a gradient from top to bottom
    picture[20:51, 70:90] = [250, 20, 20]                       # 31 high, 20 wide
    image, note = conditions.prepared_picture(picture, 50, 'x.png')
    assert '20 x 31 pixels, a square of 50' in note and 'border' in note
    red = (image[:, :, 0] > 0.9) & (image[:, :, 1] < 0.2)
    found = np.argwhere(red)
    # 31 of 50 rows leave 9 and 10, 20 of 50 columns 15 on either side.
    assert found.min(axis=0).tolist() == [10, 15] and found.max(axis=0).tolist() == [40, 34]
    rgba = np.zeros([40, 40, 4], np.uint8)
    rgba[5:15, 5:15] = [0, 0, 255, 255]
    image, note = conditions.prepared_picture(rgba, 16, 'x.png')
    assert 'transparency' in note and (image[0] == 1).all()     # on white
    whole, note = conditions.prepared_picture(picture, 90, 'x.png', crop=False)
    np.testing.assert_array_equal(whole, picture[:, 15:105] / np.float32(255))
    with pytest.raises(errors.InputError, match='no object was found; give another picture'):
        conditions.prepared_picture(np.full([30, 30, 3], 7, np.uint8), 16, 'x.png')
    for height, refused in ((7, True), (8, False)):
        small = np.full([30, 40, 3], 255, np.uint8)
        small[10:10 + height, 20:22] = 0
        if refused:
            with pytest.raises(errors.InputError, match='stands out is 2 x 7 pixels, too few'):
                conditions.prepared_picture(small, 16, 'x.png')
        else:
            assert '2 x 8 pixels' in conditions.prepared_picture(small, 16, 'x.png')[1]


@pytest.mark.parametrize('grid, words', [
    (np.zeros([4, 4, 3]), '4 x 4 x 3 cells; the model takes 4 x 4 x 4'),
    (np.full([4, 4, 4], np.nan), 'no numbers'), (np.full([4, 4, 4], 2.), 'occupancies are 0 to 1'),
    (np.zeros([4, 4, 4]), 'no cell of the grid is occupied')])
def test_grids_that_do_not_fit_get_one_line(grid, words):
    with pytest.raises(errors.InputError, match=words):
        conditions.check_voxels(grid, 4, 'grid.npy')


def test_vertices_alone_are_read_quantised_and_sorted(tmp_path):
    path = str(tmp_path / 'points.obj')
    with open(path, 'w') as stream:
        stream.write('v 0 0 0\nv 3 0 0\nv 3 0 4\nv 0 0 4\nv 3.000001 0 4\nv 1 1 1\n')
    options = networks.cli.Options(up='y', quantization_bits=8, exact_quantization=False,
                                   sample_vertices=5)
    points, quantized, z_up = user_inputs.read_vertices(path, options)
    assert len(points) == 5 and quantized[:, 2].tolist() == sorted(quantized[:, 2])
    rows_of = [tuple(row[::-1]) for row in quantized.tolist()]
    assert rows_of == sorted(set(rows_of))
    assert points[-1].tolist() == [1, 1, 1] and z_up[-1].tolist() == [1, 1, 1]
    # Front, across, up of (0, 0, 4) and (3, 0, 0): across counts before front.
    assert z_up[1:3].tolist() == [[4, 0, 0], [0, 3, 0]]
    with pytest.raises(errors.InputError, match='5 vertices after quantising .* takes 3 to 4'):
        user_inputs.read_vertices(path, options.replace(sample_vertices=4))


@pytest.mark.parametrize('points, words', [
    (np.zeros([0, 3]), r'below 1e\+18, found \[0, 3\]'), (np.zeros([4, 2]), r'\[4, 2\]'),
    (np.full([4, 3], 1e300), 'finite numbers'), (np.full([4, 3], 3e38, np.float32), 'finite'),
    (np.array([[0, 0, 0], [1, 0, np.nan], [0, 1, 0]]), 'finite'),
    (np.ones([4, 3]), 'all 4 vertices lie at one place'), (np.zeros([4, 3], complex), 'complex')])
def test_vertices_that_cannot_be_connected_get_one_line(tmp_path, points, words):
    path = str(tmp_path / 'points.npy')
    np.save(path, points)
    options = networks.cli.Options(up='y', quantization_bits=8, exact_quantization=False,
                                   sample_vertices=9)
    with pytest.raises(errors.InputError, match=words) as error:
        user_inputs.read_vertices(path, options)
    assert str(error.value).count(path) == 1


def test_vertices_go_without_pictures():
    code, _, err = tiny.main(sample_script, '--vertices=a.ply', '--image', 'b.png')
    assert code == 2 and '--vertices goes without --image' in err


def run_arguments(kind, dataset):
    return ['--condition=' + kind] + NETWORK


@pytest.fixture(scope='module', params=['image', 'voxels'])
def finished(request, tmp_path_factory, dataset):
    folder = str(tmp_path_factory.mktemp(request.param) / 'output')
    out = tiny.train(folder, dataset, 4, *run_arguments(request.param, dataset), '--save_every=2')
    return request.param, folder, out


def test_a_resumed_run_equals_the_unbroken_one(finished, dataset, tmp_path):
    kind, folder, _ = finished
    resumed = str(tmp_path / 'resumed')
    for steps in (2, 4):
        tiny.train(resumed, dataset, steps, *run_arguments(kind, dataset))
    assert tiny.losses(resumed) == tiny.losses(folder)


def test_a_training_tells_that_its_pictures_are_resized(finished):
    kind, _, out = finished
    assert ('set have 32 pixels a side, the network takes 16' in out) == (kind == 'image')


def test_a_training_on_pictures_of_its_size_tells_nothing(dataset, tmp_path):
    out = tiny.train(str(tmp_path), dataset, 1, *run_arguments('image', dataset), '--image_size=32')
    assert 'pixels a side' not in out


def test_meshes_are_drawn_of_a_file_and_figures_measured(finished, dataset, tmp_path):
    kind, folder, _ = finished
    example = rows(dataset)[1]['inputs']
    if kind == 'image':
        path = str(tmp_path / 'photo.png')
        with open(path, 'wb') as stream:
            stream.write(make_dataset.encode_png(example.view(0)))
    else:
        path = os.path.join(os.path.dirname(dataset), 'solids', 'b', 'b_pyramid.obj')
    device = ['--output_path=' + folder, '--device=cpu', '--threads=1']
    code, out, err = tiny.main(sample_script, *device, '--' + kind, path, '--num_samples=2',
                               '--valid_only')
    assert code == 0, err
    assert ('object found by its transparency' if kind == 'image' else 'voxelised to 12^3') in out
    assert '2 samples of' in out
    assert os.path.exists(os.path.join(folder, 'samples', 'drawn.png'))
    other = 'voxels' if kind == 'image' else 'image'
    code, _, err = tiny.main(sample_script, *device, '--' + other, path)
    assert code == 2 and 'trained with --condition=' + kind in err
    code, _, err = tiny.main(sample_script, *device)
    assert code == 2 and 'give --' + kind in err
    code, out, err = tiny.main(
        evaluate_script, *device, '--data_path=' + dataset, '--split=train', '--reconstructions=2',
        '--candidates=2', '--num_buckets=1')
    assert code == 0, err
    assert 'nearest training mesh' in out and '| best of 2 |' in out
    with open(os.path.join(folder, 'eval', 'evaluation.json')) as stream:
        figures = json.load(stream)
    # The shapes are the training meshes themselves.
    assert figures['reconstructions']['nearest training mesh']['chamfer'] < 0.03
    folder_of_meshes = os.path.join(os.path.dirname(dataset), 'solids')     # without pictures
    code, out, err = tiny.main(
        evaluate_script, *device, '--data_path=' + dataset, '--split=train',
        '--train_path=' + folder_of_meshes)
    assert code == 1 and 'measuring' not in out
    assert '--train_path {}: '.format(folder_of_meshes) in err and 'make_dataset.py' in err


@pytest.mark.slow
def test_frozen_graphs_give_the_tokens_of_the_checkpoint(finished, dataset, tmp_path):
    kind, folder, _ = finished
    code, _, err = tiny.main(freeze_graph, '--model=polygen', '--output_path=' + folder,
                             '--output={}'.format(tmp_path), '--batch_size=2', '--parts=vertex')
    assert code == 0, err
    parsed = sample_script.parse_args(['--output_path=' + folder, '--device=cpu'])
    options, weights = networks.trained(parsed, 'cpu')
    condition, rng = conditions.of_options(options), np.random.RandomState(0)
    told = np.stack([condition.arrays(row, rng)[kind] for row in rows(dataset)[:2]])
    noise = rng.rand(2, 19).astype(np.float32)
    with frozen.load(str(tmp_path / 'polygen_vertices.pb')) as graph:
        assert set(graph.inputs) == {'noise', kind}
        actual = graph.predict(**{'noise': noise, kind: told})['vertex_tokens']
    with tf.Graph().as_default(), tf.Session() as sess:
        models = networks.build_models(options)
        drawn = models.vertex.draw_tokens(2, {kind: tf.constant(told)}, 6, tf.constant(noise),
                                          networks.filters_of(options))
        weights.restore(sess)
        expected, margins = sess.run(drawn)
    moved = choices.compare_sequences(
        {'vertex_tokens': actual}, {'vertex_tokens': expected}, {'vertex_tokens': margins})
    assert moved.margin <= choices.ROUNDING and expected[0].any(), moved


@pytest.mark.slow
def test_the_graphs_become_onnx(finished, tmp_path):
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
    _, folder, _ = finished
    code, out, err = tiny.main(
        freeze_graph, '--model=polygen', '--output_path=' + folder, '--device=cpu', '--onnx',
        '--output={}'.format(tmp_path), '--batch_size=1', '--parts=vertex')
    assert code == 0 and out.count('  ONNX: ') == 1, err


def test_without_data_furniture_is_made_at_the_sizes_of_the_network(monkeypatch, tmp_path):
    monkeypatch.setattr(training, '_FURNITURE', 1)
    code, out, err = tiny.main(
        tiny.train_script, *tiny.OPTIONS, '--max_vertices=200', '--max_face_tokens=800',
        '--condition=image', '--output_path={}'.format(tmp_path), '--training_steps=1',
        '--nosample', *NETWORK)
    assert code == 0 and 'using the procedural furniture in' in out, err
    assert 'pixels a side' not in out
    inputs = rows(str(tmp_path / 'generated'))[0]['inputs']
    assert inputs.num_views == 4 and inputs.view(0).shape == (16, 16, 4)
    assert inputs.voxels().shape == (12, 12, 12)


def test_a_set_without_pictures_is_refused_with_the_remedy(tmp_path):
    solids = tiny.write_solids(tmp_path / 'solids')
    code, _, err = tiny.main(
        tiny.train_script, *tiny.OPTIONS, '--data_path=' + solids, '--condition=image',
        '--output_path={}'.format(tmp_path / 'out'), '--training_steps=1', '--sample=False',
        *NETWORK)
    assert code == 1 and 'polygen/make_dataset.py' in err


@pytest.mark.slow
def test_a_face_model_is_taken_as_it_is_and_connects_given_vertices(finished, dataset, tmp_path):
    kind, folder, _ = finished
    second = str(tmp_path / 'second')
    out = tiny.train(second, dataset, 2, *run_arguments(kind, dataset),
                     '--face_checkpoint=' + folder)
    assert 'loss_faces' not in out
    values = []
    for run in (folder, second):
        reader = tf.train.load_checkpoint(os.path.join(run, 'checkpoints'))
        values.append({name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
                       if name.startswith('face_model/') and 'Adam' not in name})
    assert values[0] and values[0].keys() == values[1].keys()
    for name, value in values[0].items():
        np.testing.assert_array_equal(value, values[1][name])
    path = os.path.join(os.path.dirname(dataset), 'solids', 'a', 'a_tetrahedron.obj')
    code, out, err = tiny.main(sample_script, '--output_path=' + second, '--device=cpu',
                               '--vertices=' + path, '--num_samples=1', '--valid_only')
    assert code == 0 and '4 vertices, 4 after quantising' in out, err


@pytest.mark.parametrize('kind', ['image', 'voxels'])
def test_a_decoder_starts_where_that_of_a_class_model_stands(dataset, tmp_path, kind):
    classes, told = str(tmp_path / 'classes'), str(tmp_path / 'told')
    tiny.train(classes, dataset, 6, '--class_dropout=0.5', '--batch_size=3')
    code, _, err = tiny.main(
        evaluate_script, '--output_path=' + classes, '--device=cpu', '--data_path=' + dataset,
        '--split=train', '--num_samples=0', '--without_class')
    assert code == 0, err
    with open(os.path.join(classes, 'eval', 'evaluation.json')) as stream:
        bits = json.load(stream)['figures']['model-6']['bits_vertices']
    arguments = run_arguments(kind, dataset) + ['--batch_size=3', '--face_checkpoint=' + classes]
    out = tiny.train(told, dataset, 1, *arguments, '--decoder_checkpoint=' + classes)
    assert 'of the vertex model from {}'.format(classes) in out
    with open(os.path.join(told, 'metrics.jsonl')) as stream:
        first = json.loads(stream.readline())
    # Cross-attention counts for nothing at first: the model is as good as without a class.
    assert first['step'] == 1
    np.testing.assert_allclose(first['bits_vertices'], bits, rtol=1e-5)
    out = tiny.train(tmp_path / 'longer', dataset, 1, *arguments, '--max_vertices=20',
                     '--decoder_checkpoint=' + classes)
    assert 'coord_embeddings_1/embeddings keeps 12 of 20 rows' in out
    np.testing.assert_allclose(bits_of(str(tmp_path / 'longer'), 1), [bits], rtol=1e-5)
    other = ['--output_path={}'.format(tmp_path / 'other'), '--data_path=' + dataset,
             '--training_steps=1', '--sample=False', '--decoder_checkpoint=' + classes]
    code, _, err = tiny.main(tiny.train_script, *tiny.OPTIONS, *arguments, *other, '--fc_size=8')
    assert code == 1 and 'has other sizes' in err and 'config.json' in err


def test_pretrained_with_pictures_takes_the_face_model_and_the_decoder(dataset, tmp_path,
                                                                       monkeypatch):
    shipped = str(tmp_path / 'pretrained')
    tiny.train(tmp_path / 'run', dataset, 1, '--class_dropout=0.5')
    pretrained.export(str(tmp_path / 'run'), shipped, 'PolyGen')
    monkeypatch.setattr(options_lib, 'PRETRAINED', shipped)
    out = tiny.train(tmp_path / 'told', dataset, 1, '--pretrained',
                     *run_arguments('image', dataset))
    assert 'of the vertex model from {}'.format(shipped) in out and 'loss_faces' not in out
    told = os.path.join(shipped, 'image')   # with the face model of the others
    pretrained.export(str(tmp_path / 'told'), told, 'PolyGen', leave_out=['face_model'])
    assert pretrained.folders(shipped) == [shipped, told]
    pretrained.export(str(tmp_path / 'run'), shipped, 'PolyGen')
    monkeypatch.setattr(options_lib, 'PRETRAINED_IMAGE', told)
    out = tiny.train(tmp_path / 'tuned', dataset, 1, '--checkpoint=' + told,
                     '--face_checkpoint=' + shipped, *run_arguments('image', dataset))
    assert 'weights of {}'.format(told) in out and 'face_model' not in out
    faces = [name for name in checkpoints.variables_of(checkpoints.latest(str(tmp_path / 'tuned')))
             if name.startswith('face_model/') and 'Adam' not in name]
    assert len(faces) > 10
    tuned, before = [checkpoints.read(checkpoints.latest(folder), faces)
                     for folder in (str(tmp_path / 'tuned'), shipped)]
    for name in faces:
        np.testing.assert_array_equal(tuned[name], before[name])
    photo = str(tmp_path / 'photo.png')
    cv2.imwrite(photo, np.pad(np.full([20, 30, 3], 90, np.uint8), [[9, 9], [9, 9], [0, 0]],
                              mode='constant', constant_values=255))
    code, out, err = tiny.main(sample_script, '--image', photo, '--num_samples=2',
                               '--output_path={}'.format(tmp_path / 'drawn'))
    assert code == 0, err
    assert 'taking the weights that ship ({};'.format(told) in out
    assert 'model-1 has no face model: taking the one of {}'.format(shipped) in out
    assert '2 samples of model-1' in out
    code, out, err = tiny.main(sample_script, '--image', photo, '--num_samples=1', '--pretrained',
                               '--remove_background', '--output_path={}'.format(tmp_path / 'run'))
    assert code == 0 and 'object found by its transparency' in out, err
    code, _, err = tiny.main(sample_script, '--image', photo, '--output_path={}'.format(
        tmp_path / 'run'))
    assert code == 2 and 'trained with --condition=class' in err and 'or --pretrained' in err


@pytest.mark.parametrize('kind', ['image', 'voxels'])
def test_one_picture_of_all_samples_gives_what_a_row_for_each_gives(kind, run):
    options = options_lib.complete(options_lib.parse_args(
        tiny.OPTIONS + run_arguments(kind, '') + ['--num_classes=1']), 'cpu')
    model = networks.build_models(options).vertex
    rng = np.random.RandomState(0)
    (name, (dtype, shape)), = conditions.of_options(options).spec().items()
    one = rng.uniform(size=[1] + shape)
    one = (one < 0.3 if kind == 'voxels' else one).astype(dtype)
    noise = tf.constant(rng.uniform(size=[3, 19]), tf.float32)
    shared, _ = model.draw_tokens(3, {name: tf.constant(one)}, 6, noise, shared_context=True)
    rows_of = np.repeat(one, 3, axis=0)
    each, margins = model.draw_tokens(3, {name: tf.constant(rows_of)}, 6, noise)
    other, _ = model.draw_tokens(3, {name: tf.constant(1 - rows_of)}, 6, noise)
    moved = [tf.assign(variable, rng.normal(scale=0.5, size=variable.shape.as_list()))
             for variable in tf.global_variables()]     # zeros would hide the condition
    run(moved)
    shared, each, margins, other = run([shared, each, margins, other])
    np.testing.assert_array_equal(shared[margins > 1e-5], each[margins > 1e-5])
    assert (margins[each > 0] > 1e-5).all()     # with these draws none lies within rounding
    assert len({tuple(row) for row in shared}) == 3 and (other != each).any()


@pytest.mark.parametrize('kind', ['image', 'voxels'])
def test_a_summary_is_the_mean_of_the_class_embeddings_and_a_free_part(kind):
    options = options_lib.complete(options_lib.parse_args(
        tiny.OPTIONS + run_arguments(kind, '') + ['--num_classes=3', '--summary_classes']), 'cpu')
    model = networks.build_models(options).vertex
    (name, (dtype, shape)), = conditions.of_options(options).spec().items()
    rng = np.random.RandomState(0)
    told = {name: tf.constant((rng.uniform(size=[2] + shape) < 0.4).astype(dtype))}
    summary, cells = model._prepare_context(told)
    drawn = {variable.op.name.split('/', 1)[1]: (variable, rng.normal(
        scale=0.5, size=variable.shape.as_list()).astype(np.float32))
             for variable in tf.global_variables() if 'layer_norm' not in variable.op.name}
    names = ['summary_features/kernel', 'summary_features/bias', 'class_label/embeddings',
             'class_of_context/kernel', 'class_of_context/bias', 'summary/kernel', 'summary/bias']
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        at_first = sess.run([summary, cells] + [drawn[name][0] for name in names[:4]])
        checkpoints.assign(sess, *zip(*drawn.values()))
        result = sess.run((summary, cells))

    def normal(values):
        return (values - values.mean(axis=-1, keepdims=True)) / np.sqrt(
            values.var(axis=-1, keepdims=True) + 1e-6)

    def expected(cells, features, shift, table, kernel, bias=0., free=0., free_bias=0.):
        cells = np.maximum(normal(cells) @ features + shift, 0)
        mean = normal(np.concatenate([cells.mean(axis=1), cells.max(axis=1)], axis=1))
        # Three classes and any, which has 0.95 before anything is told: 57 / (57 + 3).
        logits = mean @ kernel + bias + [0, 0, 0, np.log(57)]
        weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return weights @ table + mean @ free + free_bias

    zero = np.zeros([32, 16])
    np.testing.assert_allclose(at_first[0], expected(*at_first[1:], free=zero), rtol=1e-4,
                               atol=1e-5)
    np.testing.assert_allclose(result[0], expected(result[1], *[drawn[name][1] for name in names]),
                               rtol=1e-4, atol=1e-5)


def test_a_model_with_a_summary_is_trained_from_classes_resumed_drawn_and_measured(dataset,
                                                                                   tmp_path):
    classes, folder = str(tmp_path / 'classes'), str(tmp_path / 'told')
    tiny.train(classes, dataset, 2, '--class_dropout=0.5')
    arguments = run_arguments('voxels', dataset) + [
        '--summary_classes', '--face_checkpoint=' + classes, '--decoder_checkpoint=' + classes,
        '--learning_rate=0.02']
    tiny.train(folder, dataset, 300, *arguments, '--save_every=150')
    with open(os.path.join(folder, 'metrics.jsonl')) as stream:
        shares = [row['accuracy_classes'] for row in map(json.loads, stream)
                  if 'accuracy_classes' in row]
    # Three meshes in batches of two: the classes are learned, whatever the decoder learns.
    assert shares[0] <= 0.5 and np.mean(shares[-30:]) > 0.9
    resumed = str(tmp_path / 'resumed')
    for steps in (150, 300):
        tiny.train(resumed, dataset, steps, *arguments)
    for step in (1, 151, 300):
        assert bits_of(resumed, step) == bits_of(folder, step)
    path = os.path.join(os.path.dirname(dataset), 'solids', 'b', 'b_pyramid.obj')
    device = ['--output_path=' + folder, '--device=cpu', '--threads=1']
    code, out, err = tiny.main(sample_script, *device, '--voxels=' + path, '--num_samples=2')
    assert code == 0 and '2 samples of' in out, err
    code, out, err = tiny.main(
        evaluate_script, *device, '--data_path=' + dataset, '--split=train', '--reconstructions=2',
        '--candidates=2', '--num_buckets=1')
    assert code == 0 and 'nearest training mesh' in out, err
    code, _, err = tiny.main(tiny.train_script, *tiny.OPTIONS, '--summary_classes',
                             '--training_steps=1', '--output_path={}'.format(tmp_path / 'no'))
    assert code == 2 and '--condition=image or voxels' in err


TABLE = 'class_label/embeddings'


@pytest.fixture(scope='module')
def of_classes(dataset, tmp_path_factory):
    """A run told the classes a, b, c and any."""
    folder = str(tmp_path_factory.mktemp('classes') / 'run')
    tiny.train(folder, dataset, 2, '--class_dropout=0.5')
    return folder, checkpoints.read(checkpoints.latest(folder), [
        'vertex_model/' + TABLE])['vertex_model/' + TABLE]


@pytest.mark.parametrize('names, rows', [('abc', [0, 1, 2, 3]), ('xyz', [3]), ('ab', [3])])
def test_a_summary_starts_with_the_classes_that_both_know(of_classes, tmp_path, names, rows):
    solids = tiny.write_solids(tmp_path / 'solids', sorted(tiny.SOLIDS)[:len(names)])
    for name, solid in zip(names, sorted(os.listdir(solids))):
        os.rename(os.path.join(solids, solid), os.path.join(solids, name))
    code, _, err = tiny.main(make_dataset, '--meshes=' + solids, '--output={}'.format(
        tmp_path / 'set'), *SET)
    assert code == 0, err
    folder, before = of_classes
    tiny.train(tmp_path / 'run', tmp_path / 'set', 1, *run_arguments('voxels', ''),
               '--summary_classes', '--decoder_checkpoint=' + folder, '--learning_rate=1e-9')
    name = 'voxel_to_vertex_model/' + TABLE
    table = checkpoints.read(checkpoints.latest(str(tmp_path / 'run')), [name])[name]
    assert len(table) == len(names) + 1
    same = [np.flatnonzero(np.abs(row - before).max(axis=1) < 1e-6).tolist() for row in table]
    assert [row for equal in same for row in equal] == rows and same[-1] == [3]


def test_what_belongs_to_other_classes_of_a_summary_begins_anew(dataset, tmp_path):
    arguments = run_arguments('voxels', dataset) + ['--summary_classes']
    tiny.train(tmp_path / 'three', dataset, 1, *arguments)
    solids = tiny.write_solids(tmp_path / 'solids', ('a_tetrahedron', 'b_pyramid'))
    code, _, err = tiny.main(make_dataset, '--meshes=' + solids, '--output={}'.format(
        tmp_path / 'set'), *SET)
    assert code == 0, err
    out = tiny.train(tmp_path / 'two', tmp_path / 'set', 1, *arguments,
                     '--checkpoint={}'.format(tmp_path / 'three'))
    for name in (TABLE, 'class_of_context/kernel', 'class_of_context/bias'):
        assert 'voxel_to_vertex_model/{} begins anew, since the data has other classes'.format(
            name) in out


def test_the_plain_graph_with_a_summary_trains_alike(dataset, tmp_path):
    arguments = run_arguments('image', dataset) + ['--summary_classes']
    for name, more in (('packed', []), ('plain', ['--plain']), ('one', ['--shared_optimizer'])):
        tiny.train(tmp_path / name, dataset, 2, *arguments, *more)
    for name in ('plain', 'one'):
        for step in (1, 2) if name == 'plain' else (1,):
            np.testing.assert_allclose(bits_of(str(tmp_path / name), step),
                                       bits_of(str(tmp_path / 'packed'), step), rtol=1e-4)
    options = sample_script.parse_args([
        '--vertex_checkpoint={}'.format(tmp_path / 'plain'),
        '--face_checkpoint={}'.format(tmp_path / 'plain'), '--preset=seed'])
    settled, _ = networks.trained(cli.Options(**vars(options)), 'cpu')
    assert settled.summary_classes and settled.num_classes == 3
    assert settled.condition == 'image'


@pytest.mark.parametrize('kind', ['image', 'voxels'])
def test_an_npu_can_run_the_training_graph_with_a_summary(kind):
    options = options_lib.complete(options_lib.parse_args(
        tiny.OPTIONS + run_arguments(kind, '') + ['--plain', '--num_classes=3', '--summary_classes']
    ), 'cpu')
    step = tf.placeholder(tf.int32, [], name='step')
    size = {'vertex_tokens': 37, 'vertices': 12, 'face_tokens': 40}
    bucket = training_graph.TrainingGraph(networks.build_models(options, step), [size], options,
                                          launch.Context(), step).buckets[0]
    fed = [tensor.op.name for feeds in bucket.placeholders for tensor in feeds.values()]
    fetched = [bucket.losses[0], bucket.classes[0]]
    findings = [lint.Finding(*row) for row in lint.lint_graph(
        tf.get_default_graph().as_graph_def(), fed + ['step', 'learning_rate'],
        [one.op.name for one in fetched] + [bucket.updates[0].name], 'train', False, kind)]
    assert lint.count(lint.waive(findings, lint.read_waivers()))['error'] == 0


def test_an_encoder_is_trained_alone_and_is_a_start(of_classes, dataset, tmp_path):
    classes, table = of_classes
    start = run_arguments('voxels', dataset) + [
        '--summary_classes', '--face_checkpoint=' + classes]
    alone = str(tmp_path / 'alone')
    out = tiny.train(alone, dataset, 60, *start, '--decoder_checkpoint=' + classes,
                     '--encoder_only')
    with open(os.path.join(alone, 'metrics.jsonl')) as stream:
        rows_of = [row for row in map(json.loads, stream) if 'loss_classes' in row]
    # The cross-entropy of three equally likely classes for two grids, then less.
    assert abs(rows_of[0]['loss_classes'] - 2 * np.log(3)) < 1e-4 and 'loss_vertices' not in out
    assert np.mean([row['loss_classes'] for row in rows_of[-10:]]) < np.log(3)
    prefix = checkpoints.latest(alone)
    moved = checkpoints.read(prefix)
    before = checkpoints.read(checkpoints.latest(classes))
    for name in (TABLE, 'transformer_decoder/layer_0/fc_1/kernel'):
        np.testing.assert_array_equal(moved['voxel_to_vertex_model/' + name],
                                      before['vertex_model/' + name])
    joint = str(tmp_path / 'joint')
    tiny.train(joint, dataset, 1, *start, '--checkpoint=' + alone, '--learning_rate=1e-9')
    name = 'voxel_to_vertex_model/class_of_context/kernel'
    assert np.abs(moved[name]).max() > 0
    np.testing.assert_allclose(checkpoints.read(checkpoints.latest(joint), [name])[name],
                               moved[name], atol=1e-6)
    code, _, err = tiny.main(tiny.train_script, *tiny.OPTIONS, '--condition=image',
                             '--encoder_only', '--output_path={}'.format(tmp_path / 'no'))
    assert code == 2 and '--summary_classes' in err


def test_a_face_model_of_other_limits_is_refused_with_its_own(of_classes, dataset, tmp_path):
    folder, _ = of_classes
    code, _, err = tiny.main(
        tiny.train_script, *tiny.OPTIONS, *run_arguments('image', dataset), '--training_steps=1',
        '--data_path=' + dataset, '--output_path={}'.format(tmp_path / 'out'), '--sample=False',
        '--face_checkpoint=' + folder, '--max_face_tokens=90')
    assert code == 1 and '--max_face_tokens=40 instead of 90' in err
    options = options_lib.complete(options_lib.parse_args(
        '--pretrained --condition=image --max_vertices=300 --max_face_tokens=2800'.split()), 'cpu')
    assert (options.max_vertices, options.max_face_tokens) == (300, 800)


def bits_of(folder, step):
    """What the vertex model needs for the meshes of a step."""
    with open(os.path.join(folder, 'metrics.jsonl')) as stream:
        return [row['bits_vertices'] for row in map(json.loads, stream)
                if row['step'] == step and 'bits_vertices' in row]


@pytest.mark.slow
def test_a_maker_that_is_killed_goes_on_and_leaves_what_an_unbroken_one_does(tmp_path):
    """Killed at random moments (seeded; the machine's pace decides where), by SIGKILL."""
    rng = np.random.RandomState(0)

    def start(name):
        return subprocess.Popen(
            [sys.executable, make_dataset.__file__, '--furniture', '--models=3', '--test_models=1',
             '--views=2', '--image_size=32', '--voxels=12', '--shard_size=4', '--workers=2',
             '--output={}'.format(tmp_path / name)], stdout=subprocess.DEVNULL)

    began = time.time()
    assert start('whole').wait() == 0
    seconds = time.time() - began
    kills = 0
    for _ in range(20):
        process = start('killed')
        try:
            code = process.wait(timeout=rng.uniform(0.3, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            kills += 1
        if code == 0:
            assert tiny.digests(tmp_path / 'killed') == tiny.digests(tmp_path / 'whole')
            if kills >= 5:
                break
            shutil.rmtree(str(tmp_path / 'killed'))
    assert start('killed').wait() == 0
    assert kills >= 5
    assert tiny.digests(tmp_path / 'killed') == tiny.digests(tmp_path / 'whole')

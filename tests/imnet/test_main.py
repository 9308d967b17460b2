"""Tests of IMGAN/main.py, IMSVR/main.py, evaluate.py and freezing on a tiny set."""
import csv
import os
import shutil

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import trimesh
from PIL import Image

import freeze_graph
from common import choices, errors, frozen
from common.geometry import meshes
from common.training import checkpoints, launch
from imnet import (
    checkpoint_names,
    data_utils,
    decoder,
    evaluate,
    extraction,
    networks,
    options,
)
from imnet.IMGAN import main as gan_main
from imnet.IMGAN import model
from imnet.IMSVR import main as svr_main
from tests.imnet import tiny

MESHES = ['--resolution=64', '--extraction=octree']


def ae(data, out, *more, size=16):
    return tiny.call(gan_main, '--ae', '--train', '--data_dir', data, '--output_path', out,
                     '--real_size', size, '--batch_size_input', tiny.POINTS[size],
                     '--checkpoint_every=2', *tiny.SIZES, *more)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tiny.write(str(tmp_path_factory.mktemp('data')))


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """An output folder with all three networks, and a decoder that makes every field a ball."""
    out = str(tmp_path_factory.mktemp('out'))
    assert ae(data, out, '--epoch=1') == 0
    make_ball(out)
    assert tiny.call(gan_main, '--ae', '--data_dir', data, '--output_path', out) == 0
    assert tiny.call(gan_main, '--train', '--dataset', tiny.STEM, '--epoch=1', '--gan_dim=8',
                     '--output_path', out) == 0
    assert tiny.call(svr_main, '--train', '--data_dir', data, '--output_path', out, '--epoch=1',
                     '--batch_size=2', '--ef_dim=1') == 0
    return out


def make_ball(out):
    """Rewrites the newest autoencoder's checkpoint: 1 - 4 times the largest coordinate's size."""
    prefix = checkpoints.latest(os.path.join(out, 'checkpoints', tiny.STEM + '_64'))
    values = checkpoints.read(prefix)
    for name, value in values.items():
        if name.startswith(decoder.SCOPE):
            value[...] = 0
    for axis in range(3):
        values['simple_net/h1_lin/Matrix'][axis, 2 * axis:2 * axis + 2] = 1, -1
    for layer in (2, 3, 4):
        matrix = values['simple_net/h{}_lin/Matrix'.format(layer)]
        matrix[np.arange(min(matrix.shape)), np.arange(min(matrix.shape))] = 1
    values['simple_net/h5_lin/Matrix'][:6, 0] = 1
    values['simple_net/h6_lin/Matrix'][0, 0] = 1
    values['simple_net/h7_lin/Matrix'][0, 0] = -2
    values['simple_net/h7_lin/bias'][:] = 1
    tf.reset_default_graph()
    variables = [tf.Variable(value, name=name) for name, value in sorted(values.items())]
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        tf.train.Saver({item.op.name: item for item in variables}).save(
            sess, prefix, write_meta_graph=False, write_state=False)


def values_of(out, kind='ae'):
    return checkpoints.read(checkpoints.latest(os.path.join(out, kind)))


@pytest.mark.slow
def test_a_resumed_run_equals_the_unbroken_one(data, tmp_path):
    assert ae(data, tmp_path / 'whole', '--training_steps=7') == 0
    assert ae(data, tmp_path / 'parts', '--training_steps=3') == 0
    assert ae(data, tmp_path / 'parts', '--training_steps=7') == 0
    whole, parts = values_of(str(tmp_path / 'whole')), values_of(str(tmp_path / 'parts'))
    assert any('Adam' in name for name in whole)
    for name, value in whole.items():
        np.testing.assert_array_equal(value, parts[name], err_msg=name)


@pytest.mark.parametrize('kind', ['ae', 'svr'])
def test_epochs_are_shown_in_tensorboard(trained, kind):
    from tests.r2n2 import test_scripts
    tags = test_scripts.shown(os.path.join(trained, kind))
    assert {'field', 'truth'} <= set(tags) <= {'field', 'field_mesh', 'truth'}


def test_the_stages_share_a_folder_and_checkpoints_have_the_original_names(data, tmp_path, capsys):
    assert ae(data, tmp_path, '--epoch=2') == 0
    assert ae(data, tmp_path, '--epoch=4', size=64) == 0
    said = capsys.readouterr().out
    assert 'goes on from step 10' in said and 'points_64' in said
    folder = str(tmp_path / 'checkpoints' / (tiny.STEM + '_64'))
    assert checkpoints.latest(folder).endswith('IMAE.model-3')
    shapes = checkpoints.variables_of(checkpoints.latest(folder))
    assert len(shapes) == 32 and shapes['encoder/InstanceNorm_3/gamma'] == [16]
    assert (tmp_path / 'samples' / '3_1t.png').exists()


@pytest.mark.slow
def test_an_original_checkpoint_alone_is_gone_on_from_at_the_next_epoch(data, tmp_path, capsys):
    assert ae(data, tmp_path / 'a', '--epoch=2') == 0
    os.rename(str(tmp_path / 'a' / 'checkpoints'), str(tmp_path / 'theirs'))
    capsys.readouterr()
    assert ae(data, tmp_path / 'b', '--epoch=3', '--checkpoint_dir', tmp_path / 'theirs') == 0
    assert 'with fresh moments of Adam, at step 10' in capsys.readouterr().out
    assert checkpoints.latest(str(tmp_path / 'theirs' / (tiny.STEM + '_64'))).endswith('-2')


def test_several_shapes_a_step_give_the_mean_of_their_losses(data):
    split = data_utils.Set(os.path.join(data, tiny.STEM + '_train.hdf5'), 16)
    parts = [np.stack(part) for part in zip(*[split.sample(row) for row in (0, 3)])]
    losses = []
    net = model.IMAE(4, 2, 2, num_shapes=2)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        drawn = sess.run(net.variables)
        losses.append(sess.run(net.loss, dict(zip(
            (net.vox3d, net.point_coord, net.point_value), parts))))
    tf.reset_default_graph()
    net = model.IMAE(4, 2, 2)
    with tf.Session() as sess:
        for variable, value in zip(net.variables, drawn):
            variable.load(value, sess)
        losses += [sess.run(net.loss, dict(zip(
            (net.vox3d, net.point_coord, net.point_value), [part[row:row + 1] for part in parts])))
                   for row in (0, 1)]
    np.testing.assert_allclose(losses[0], np.mean(losses[1:]), rtol=1e-5)


def test_meshes_of_shapes_samples_and_interpolations_are_written(data, trained, tmp_path, capsys):
    def run(script, name, *more):
        assert tiny.call(script, '--data_dir', data, '--dataset', tiny.STEM, '--output_path',
                         trained, '--sample_dir', tmp_path / name, *MESHES, *more) == 0
        return sorted(os.listdir(str(tmp_path / name)))

    assert run(gan_main, 'a', '--ae', '--mode=test', '--start=1', '--end=3', '--normals',
               '--formats', 'ply', 'obj', 'glb') == [
        'meshes.png', 'out1.glb', 'out1.obj', 'out1.ply', 'out2.glb', 'out2.obj', 'out2.ply']
    assert run(gan_main, 'b', '--ae', '--mode=interp', '--steps=3') == [
        'interpolation.png', 'out0.ply', 'out1.ply', 'out2.ply']
    assert len(run(gan_main, 'c', '--num_samples=2', '--gan_dim=8')) == 3
    assert run(svr_main, 'd') == ['0.ply', '1.ply', 'meshes.png', 'views.png']
    assert run(svr_main, 'e', '--mode=interp', '--steps=2', '--refine') == [
        '0.ply', '1.ply', 'interpolation.png']
    vertices = meshes.read(str(tmp_path / 'a' / 'out1.ply')).vertices
    # The decoder adds up the sizes of the coordinates (0.98 of each, for the leak).
    np.testing.assert_allclose(np.abs(vertices).sum(axis=1), 0.25, atol=0.03)


def test_a_picture_gives_a_mesh_with_one_command(trained, tmp_path):
    rgba = np.zeros([50, 80, 4], np.uint8)
    rgba[10:40, 20:60] = 90, 90, 90, 255
    Image.fromarray(rgba).save(str(tmp_path / 'photo.png'))
    assert tiny.call(svr_main, '--image', tmp_path / 'photo.png', '--output_path', trained,
                     '--sample_dir', tmp_path, *MESHES) == 0
    assert {'photo.ply', 'photo_meshes.png', 'photo_input.png'} <= set(os.listdir(str(tmp_path)))


def test_a_mesh_of_ones_own_comes_out_where_it_was(trained, tmp_path):
    cube = np.array([[x, y, z] for x in (5, 6) for y in (-1, 0) for z in (2, 3)], float)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    meshes.write(str(tmp_path / 'cube.obj'), cube, quads)
    assert tiny.call(gan_main, '--mesh', tmp_path / 'cube.obj', '--output_path', trained,
                     '--sample_dir', tmp_path, *MESHES) == 0
    vertices = meshes.read(str(tmp_path / 'cube.ply')).vertices
    np.testing.assert_allclose(vertices.mean(axis=0), [5.5, -0.5, 2.5], atol=0.02)


def test_a_mesh_of_ones_own_is_never_overwritten(trained, tmp_path, capsys):
    (tmp_path / 'my.ply').write_bytes(b'mine')
    assert tiny.call(gan_main, '--mesh', tmp_path / 'my.ply', '--output_path', trained,
                     '--sample_dir', tmp_path / '.', *MESHES) == 2
    said = capsys.readouterr().err
    assert 'would overwrite' in said and said.count('\n') == 1
    assert (tmp_path / 'my.ply').read_bytes() == b'mine'


def test_codes_of_a_part_have_a_file_of_their_own(data, trained):
    whole = data_utils.read_codes(os.path.join(trained, tiny.STEM + '_z.hdf5'))
    assert len(whole) == 5
    for more, name in ((['--split=test'], '_test'), (['--start=1', '--end=3'], '_1_3')):
        assert tiny.call(gan_main, '--ae', '--data_dir', data, '--output_path', trained, *more) == 0
        path = os.path.join(trained, '{}{}_z.hdf5'.format(tiny.STEM, name))
        assert len(data_utils.read_codes(path)) == 2
        os.remove(path)


def test_the_epochs_of_the_gan_are_counted_from_nought_to_the_last(trained):
    folders = [name for name in os.listdir(os.path.join(trained, 'checkpoints')) if '_z_' in name]
    prefix = checkpoints.latest(os.path.join(trained, 'checkpoints', folders[0]))
    assert checkpoints.step_of(prefix) == 1     # of --epoch=1


def test_samples_take_the_gan_s_sizes_from_its_checkpoint(trained, tmp_path, capsys):
    arguments = ['--dataset', tiny.STEM, '--output_path', trained, '--sample_dir', tmp_path,
                 '--num_samples=1', *MESHES]
    assert tiny.call(gan_main, *arguments) == 0 and (tmp_path / 'out0.ply').exists()
    assert tiny.call(gan_main, *arguments, '--gan_dim=9') == 1
    assert '--gan_dim is 9' in capsys.readouterr().err


def test_training_starts_from_the_newest_checkpoint_of_a_folder(data, trained, tmp_path, capsys):
    folder = os.path.join(trained, 'checkpoints', tiny.STEM + '_64')
    assert ae(data, tmp_path, '--training_steps=1', '--checkpoint', folder) == 0
    assert ae(data, tmp_path / 'b', '--training_steps=1', '--checkpoint', tmp_path / 'no') == 1
    assert 'no checkpoint' in capsys.readouterr().err


def test_a_view_beyond_the_last_is_refused(data, trained, capsys):
    assert tiny.call(svr_main, '--data_dir', data, '--output_path', trained, '--view=24') == 2
    assert 'have 24 views, 0 to 23' in capsys.readouterr().err


def test_evaluation_writes_tables_beside_the_baseline(data, trained):
    assert tiny.call(evaluate, '--data_path', data, '--output_path', trained,
                     '--resolution=64', '--lfd') == 0
    with open(os.path.join(trained, 'eval', 'ae_test.md')) as stream:
        table = stream.read()
    assert '## ae (2 shapes)' in table and '## nearest training shape (2 shapes)' in table
    with open(os.path.join(trained, 'eval', 'ae_test.csv')) as stream:
        rows = [line.split(',') for line in stream.read().split('\n')]
    # The test shapes are the first two of the training set.
    assert [(row[3], row[-1]) for row in rows if row[0] == 'nearest training shape'] == 2 * [
        ('1', '0')]
    assert all(float(row[-1]) > 0 for row in rows if row[0] == 'ae')


def test_the_baseline_of_a_training_shape_is_another_one(data, trained):
    assert tiny.call(evaluate, '--data_path', data, '--output_path', trained, '--split=train',
                     *MESHES) == 0
    with open(os.path.join(trained, 'eval', 'ae_train.csv'), encoding='utf-8') as stream:
        ious = [float(row['iou']) for row in csv.DictReader(stream)
                 if row['method'] == 'nearest training shape']
    assert len(ious) == 5 and 0.3 < min(ious) and max(ious) < 1


def test_the_baseline_is_never_the_measured_set_itself(data, trained, tmp_path, capsys):
    plain = tmp_path / (tiny.STEM + '.hdf5')
    shutil.copy(os.path.join(data, tiny.STEM + '_test.hdf5'), str(plain))
    arguments = ['--data_path', plain, '--output_path', trained, '--pictures=0', *MESHES]
    assert tiny.call(evaluate, *arguments) == 1
    said = capsys.readouterr().err
    assert '--nobaseline' in said and said.count('\n') == 1
    assert tiny.call(evaluate, *arguments, '--nobaseline') == 0
    alone = tmp_path / (tiny.STEM + '_test.hdf5')
    os.rename(str(plain), str(alone))
    assert tiny.call(evaluate, '--data_path', alone, *arguments[2:]) == 1
    assert '--nobaseline' in capsys.readouterr().err


def test_true_surfaces_come_as_points_with_normals_or_as_meshes(data, trained, tmp_path, capsys):
    folder = tmp_path / 'truth' / 'ball'
    folder.mkdir(parents=True)
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.25)
    meshes.write(str(folder / '0.obj'), ball.vertices, ball.faces.tolist())
    rows = np.hstack([ball.vertices, ball.vertex_normals])
    _write_points(folder / '1.ply', rows)

    def measure():
        return tiny.call(evaluate, '--data_path', data, '--output_path', trained, '--split=test',
                         '--truth', folder.parent, '--nobaseline', *MESHES)

    def figures():
        assert measure() == 0
        with open(os.path.join(trained, 'eval', 'ae_test.csv'), encoding='utf-8') as stream:
            return {row['shape']: row for row in csv.DictReader(stream) if row['method'] == 'ae'}

    expected = figures()
    # The decoder makes the same ball for all: where it is nearly the truth, so are its normals.
    for name in ('ball/0', 'ball/1'):
        assert float(expected[name]['normals']) > 0.7 and 0 < float(expected[name]['chamfer']) < 20
    _write_points(folder / '1.ply', rows, binary=True)
    assert figures() == expected
    _write_points(folder / '1.ply', rows[:, :3])
    assert measure() == 1 and '1.ply has points without normals' in capsys.readouterr().err
    (folder / '1.ply').unlink()
    assert measure() == 1 and 'has no ball/1.ply or .obj' in capsys.readouterr().err


def _write_points(path, rows, binary=False):
    names = ('x', 'y', 'z', 'nx', 'ny', 'nz')[:rows.shape[1]]
    header = ['ply', 'format {} 1.0'.format('binary_little_endian' if binary else 'ascii'),
              'element vertex {}'.format(len(rows))]
    header += ['property double ' + name for name in names] + ['end_header', '']
    body = rows.astype('<f8').tobytes() if binary else '\n'.join(
        ' '.join(map(repr, row)) for row in rows.tolist()).encode() + b'\n'
    path.write_bytes('\n'.join(header).encode() + body)


def test_frozen_graphs_give_what_the_checkpoint_gives(data, trained, tmp_path):
    assert tiny.call(freeze_graph, '--model=imnet', '--output_path', trained, '--output', tmp_path,
                     '--num_points=500') == 0
    assert sorted(name for name in os.listdir(str(tmp_path)) if name.endswith('.pb')) == [
        'imnet_decoder.pb', 'imnet_encoder.pb', 'imnet_generator.pb', 'imnet_image.pb']
    parsed = gan_main.parse_args(['--ae', '--output_path', trained, '--dataset', tiny.STEM])
    net, sess = networks.load(options.complete_imgan(parsed, 'cpu'), launch.Context())
    grid = next(tiny.rows(1))['voxels']
    code = net.codes_of(sess, [grid])[0]
    with frozen.load(str(tmp_path / 'imnet_encoder.pb')) as graph:
        latent = graph.predict(voxels=grid[None].astype(np.float32))['latent'][0]
    np.testing.assert_allclose(latent, code, atol=1e-5)
    # The made decoder has values at the threshold, which each graph may round to either side.
    points = extraction.centres(np.indices([64] * 3).reshape(3, -1).T, 64)
    live = net.field(sess, code)
    expected = live(points)
    with frozen.load(str(tmp_path / 'imnet_decoder.pb')) as graph:
        field = decoder.FrozenField(graph, code)
        np.testing.assert_allclose(field(points), expected, atol=1e-5)
        grids = [extraction.octree(part, 64).grid[1:-1, 1:-1, 1:-1] for part in (field, live)]
    margins = np.abs(expected - extraction.THRESHOLD).reshape(grids[0].shape)
    moved = choices.compare(*[grid > extraction.THRESHOLD for grid in grids], margins)
    assert moved.margin <= choices.ROUNDING
    print('{} of {} cells came out otherwise'.format(moved.places, margins.size))
    sess.close()


@pytest.mark.parametrize('arguments, code, message', [
    (['--ae', '--train', '--real_size=32', '--batch_size_input=99'], 1, '--batch_size_input=60'),
    (['--ae', '--train', '--dataset=other'], 1, 'tiny_vox256_img_train.hdf5'),
    (['--ae', '--mode=mesh'], 2, '--mesh=FILE'),
    (['--ae', '--mode=interp', '--second=5'], 2, '--second=5'),
    (['--train', '--z_path=no/codes.hdf5'], 1, 'no/codes.hdf5'),
    (['--ae', '--mode=test', '--checkpoint_dir=no/such'], 1, 'no trained network')])
def test_bad_options_end_with_one_line(data, tmp_path, capsys, arguments, code, message):
    assert tiny.call(gan_main, '--data_dir', data, '--output_path', tmp_path, *arguments) == code
    said = capsys.readouterr().err
    assert message in said and said.count('\n') == 1


def test_a_checkpoint_of_another_size_is_refused_with_both_sizes(data, trained, tmp_path, capsys):
    assert tiny.call(gan_main, '--ae', '--mode=test', '--data_dir', data, '--output_path', trained,
                     '--z_dim=7') == 1
    said = capsys.readouterr().err
    assert '--z_dim is 7' in said and 'has 4' in said


def test_a_field_without_a_surface_says_so_and_what_to_do():
    with pytest.raises(errors.InputError, match='--leaky_clip'):
        extraction.surface(extraction.octree(lambda points: np.zeros(len(points)), 64).grid)


def test_a_dead_decoder_is_warned_of(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tf, 'minimum', lambda x, y: 0. * x)
    assert ae(data, tmp_path, '--epoch=1') == 0
    assert 'The decoder is dead' in capsys.readouterr().out


def test_codes_of_another_set_are_refused(data, trained, tmp_path, capsys):
    with h5py.File(str(tmp_path / 'z.hdf5'), 'w') as stream:
        stream['zs'] = np.zeros([3, 4], np.float32)
    assert tiny.call(svr_main, '--train', '--data_dir', data, '--output_path', trained,
                     '--pretrained_z_dir', tmp_path / 'z.hdf5') == 1
    assert '3 codes, but the set has 5 shapes' in capsys.readouterr().err


@pytest.mark.parametrize('left', [None, [], ['IMAE.model-0.data-00000-of-00001']])
def test_a_copy_that_a_kill_left_out_is_written_by_the_next_run(data, tmp_path, monkeypatch, left):
    """The run's own checkpoint comes first: from a copy alone it would start with new moments."""
    def killed(sess, variables, options, kind, *unused):
        if left is not None:    # the kill came when the folder was just made
            os.makedirs(checkpoint_names.folder(options, kind))
            for name in left:
                open(os.path.join(checkpoint_names.folder(options, kind), name), 'w').close()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_names, 'save', killed)
        assert ae(data, str(tmp_path / 'parts'), '--epoch=2', '--threads=1') == 130
    assert (tmp_path / 'parts' / 'ae' / 'checkpoints' / 'checkpoint').exists()
    assert (tmp_path / 'parts' / 'checkpoints').exists() == (left is not None)
    for name in ('parts', 'whole'):
        assert ae(data, str(tmp_path / name), '--epoch=2', '--threads=1') == 0
    parts, whole = [checkpoints.read(checkpoints.latest(str(
        tmp_path / name / 'checkpoints' / (tiny.STEM + '_64')))) for name in ('parts', 'whole')]
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)

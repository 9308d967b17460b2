"""The scripts of examples/, each on the frozen graphs of a tiny network and a file."""
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from common import frozen
from common.geometry import meshes, voxel_grids
from examples import (
    cmr_body,
    imnet_reconstruct,
    polygen_sample,
    r2n2_reconstruct,
    vsl_reconstruct,
)

pytestmark = pytest.mark.slow


def call(script, *arguments):
    tf.reset_default_graph()
    return script.main([str(argument) for argument in arguments])


def freeze(model, folder, *more):
    assert call(freeze_graph, '--model', model, '--output', folder / 'pb', '--device=cpu',
                *more) == 0
    return folder / 'pb'


def box(path, low=(0, 0, 0), high=(2, 1, 3)):
    """Writes a box; returns its path."""
    corners = np.array(list(np.ndindex(2, 2, 2)))
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    meshes.write(str(path), np.where(corners, high, low), faces)
    return path


@pytest.fixture(scope='module')
def polygen(tmp_path_factory):
    from tests.polygen import tiny
    folder = tmp_path_factory.mktemp('polygen')
    tiny.train(folder / 'run', tiny.write_solids(folder / 'data'), 60,
               '--report_every=60')
    freeze('polygen', folder, '--output_path', folder / 'run', '--batch_size=2', '--threads=1')
    return folder


@pytest.mark.parametrize('label', [0, 2])
def test_polygen_draws_what_sample_py_draws(polygen, tmp_path, label):
    from polygen import sample
    assert call(polygen_sample, label, '--graphs', polygen / 'pb', '--seed=5',
                '--output', tmp_path / 'mesh.obj') == 0
    assert call(sample, '--output_path', polygen / 'run', '--num_samples=1', '--device=cpu',
                '--class_label', label, '--seed=5', '--name=one') == 0
    ours = (tmp_path / 'mesh.obj').read_text().split()
    theirs = (polygen / 'run' / 'samples' / 'one' / 'sample_00.obj').read_text().split()
    assert len(ours) == len(theirs) and ours.count('v') > 1
    for mine, other in zip(ours, theirs):
        assert mine == other or abs(float(mine) - float(other)) < 1e-5


def test_polygen_refuses_a_class_that_is_not_there(polygen, capsys):
    assert call(polygen_sample, 3, '--graphs', polygen / 'pb') == 1
    assert 'there is no class 3' in capsys.readouterr().err


@pytest.fixture(scope='module')
def vsl(tmp_path_factory):
    from vsl import vsl_main
    folder = tmp_path_factory.mktemp('vsl')
    assert call(vsl_main, '--batch_size=2', '--stages=train', '--training_steps=1', '--device=cpu',
                '--threads=1', '--output_path', folder / 'run', '--global_latent_dim=3',
                '--local_latent_dim=2', '--local_latent_num=2') == 0
    return freeze('vsl', folder, '--output_path', folder / 'run')


@pytest.mark.parametrize('kind', ['.obj', '.binvox', '.npy'])
def test_vsl_decodes_a_shape(vsl, tmp_path, kind):
    shape, output = tmp_path / ('shape' + kind), tmp_path / 'decoded.obj'
    grid = np.zeros([30, 30, 30], bool)
    grid[7:23, 11:19, 3:27] = True
    if kind == '.obj':
        box(shape)
    elif kind == '.binvox':
        voxel_grids.write_binvox(str(shape), grid)
    else:
        np.save(str(shape), grid.astype(np.float32))
    with frozen.load(str(vsl / 'vsl_encoder.pb')) as encoder, \
            frozen.load(str(vsl / 'vsl_decoder.pb')) as decoder:
        latent = encoder.predict(voxels=grid[None, ..., None])['latent']
        occupancy = decoder.predict(latent=latent)['occupancy'].reshape(grid.shape)
    level = float(occupancy.min() + occupancy.max()) / 2
    assert call(vsl_reconstruct, shape, '--graphs', vsl, '--output', output,
                '--threshold', level) == 0
    mesh, (vertices, triangles) = meshes.read(str(output)), voxel_grids.surface(occupancy, level)
    assert np.array_equal(np.array(mesh.faces), triangles) and len(triangles)
    np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-4)
    assert (tmp_path / 'decoded.png').stat().st_size > 1000


def test_vsl_refuses_a_grid_of_another_size(vsl, tmp_path, capsys):
    np.save(str(tmp_path / 'x.npy'), np.zeros([32, 32, 32]))
    assert call(vsl_reconstruct, tmp_path / 'x.npy', '--graphs', vsl) == 1
    assert 'has the shape [32, 32, 32], not [30, 30, 30]' in capsys.readouterr().err


def test_the_weights_that_ship_are_frozen_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    shape = box(tmp_path / 'box.obj')
    for times in (1, 0):
        assert call(vsl_reconstruct, shape, '--output', tmp_path / 'decoded.obj') == 0
        printed = capfd.readouterr().out
        assert 'note: no --graphs, and none of vsl in pb_model' in printed and 'card.md' in printed
        assert printed.count('freezing and checking vsl') == times
    low, high = [meshes.read(str(tmp_path / 'decoded.obj')).vertices.min(axis=0),
                 meshes.read(str(tmp_path / 'decoded.obj')).vertices.max(axis=0)]
    assert np.all(high - low > 5), 'cells of the decoded shape'
    # Graphs of one's own are not mixed with them.
    (tmp_path / 'pb_model' / 'vsl_encoder.pb').write_bytes(b'')
    assert call(vsl_reconstruct, shape) == 1
    assert 'pb_model/vsl_encoder.pb' in capfd.readouterr().err


@pytest.fixture(scope='module')
def r2n2(tmp_path_factory):
    from tests.r2n2 import tiny
    folder = tmp_path_factory.mktemp('r2n2')
    data = tiny.make_data(folder / 'data')
    assert tiny.train(folder / 'run', data, 1)[0] == 0
    freeze('r2n2', folder, '--output_path', folder / 'run', '--views=2')
    return folder


def test_r2n2_makes_a_mesh_of_pictures(r2n2, tmp_path, capsys):
    from r2n2 import reconstruction
    from r2n2.lib import data_augmentation
    views = sorted(str(path) for path in (r2n2 / 'data').rglob('chair/*/rendering/*.png'))
    graph, output = r2n2 / 'pb' / 'r2n2_2_views.pb', tmp_path / 'object.obj'
    for pictures in (views[:1], views[:2]):
        images = np.stack([reconstruction.prepared(path, 127)
                           for path in (pictures * 2)[:2]])[:, None]
        with frozen.load(str(graph)) as model:
            grid = model.predict(views=data_augmentation.scaled(images))['occupancy'][0]
        level = float(grid.min() + grid.max()) / 2
        assert call(r2n2_reconstruct, *pictures, '--graph', graph, '--output', output,
                    '--threshold', level) == 0
        mesh = meshes.read(str(output))
        vertices, triangles = voxel_grids.surface(grid, level)
        assert len(mesh.faces) == len(triangles) > 0
        np.testing.assert_allclose(mesh.vertices, vertices / 32 - 0.5, atol=1e-4)
    assert call(r2n2_reconstruct, *views[:3], '--graph', graph) == 2
    assert 'takes 2 pictures, not 3. Freeze one with --views=3' in capsys.readouterr().err


@pytest.fixture(scope='module')
def imnet(tmp_path_factory):
    from imnet.IMGAN import main as gan_main
    from imnet.IMSVR import main as svr_main
    from tests.imnet import test_main, tiny
    folder = tmp_path_factory.mktemp('imnet')
    data, out = tiny.write(str(folder)), str(folder / 'run')
    assert test_main.ae(data, out, '--epoch=1') == 0
    test_main.make_ball(out)    # every field is a ball of radius 1/4, by the sum of coordinates
    assert call(gan_main, '--ae', '--data_dir', data, '--output_path', out) == 0
    assert call(svr_main, '--train', '--data_dir', data, '--output_path', out, '--epoch=1',
                '--batch_size=2', '--ef_dim=1') == 0
    return freeze('imnet', folder, '--output_path', out)


def test_imnet_makes_a_mesh_of_a_mesh_where_it_was(imnet, tmp_path):
    shape, output = box(tmp_path / 'box.obj', (4, 0, 1), (6, 1, 3)), tmp_path / 'shape.ply'
    assert call(imnet_reconstruct, shape, '--graphs', imnet, '--output', output,
                '--resolution=64') == 0
    mesh = meshes.read(str(output)).vertices   # the box has the diagonal 3
    np.testing.assert_allclose(mesh.min(axis=0), [5 - 3 / 4, 0.5 - 3 / 4, 2 - 3 / 4], atol=0.06)
    np.testing.assert_allclose(mesh.max(axis=0), [5 + 3 / 4, 0.5 + 3 / 4, 2 + 3 / 4], atol=0.06)


def test_imnet_makes_a_mesh_of_a_picture(imnet, tmp_path, capsys):
    from PIL import Image
    pixels = np.full([60, 80], 255, np.uint8)
    pixels[20:40, 30:60] = 90
    Image.fromarray(pixels).save(str(tmp_path / 'photo.png'))
    output = tmp_path / 'shape.obj'
    assert call(imnet_reconstruct, tmp_path / 'photo.png', '--graphs', imnet, '--output', output,
                '--resolution=64') == 0
    np.testing.assert_allclose(np.abs(meshes.read(str(output)).vertices).max(axis=0), 1 / 4,
                               atol=0.02)
    Image.fromarray(np.full([60, 80], 255, np.uint8)).save(str(tmp_path / 'photo.png'))
    capsys.readouterr()
    assert call(imnet_reconstruct, tmp_path / 'photo.png', '--graphs', imnet) == 1
    assert 'shows no object' in capsys.readouterr().err


def test_cmr_makes_a_body_of_a_photo(tmp_path, capsys):
    from cmr import train
    from cmr.src import config
    from tests.cmr import tiny
    body = tiny.make_body(tmp_path / 'body')
    data = tiny.make_set(tmp_path / 'data', body, num_train=4, num_test=1)
    assert call(train, '--data_path', data, '--dataset=up-3d', '--body', body, '--batch_size=4',
                '--threads=1', '--num_workers=1', '--device=cpu', '--training_steps=1',
                '--output_path', tmp_path / 'run', *tiny.NETWORK) == 0
    graphs = freeze('cmr', tmp_path, '--output_path', tmp_path / 'run')
    photo = os.path.join(config.MODEL_DIR, 'data', 'examples', 'im1010.jpg')
    arguments = [photo, '--graphs', graphs, '--output', tmp_path / 'body.obj']
    bodies = []
    for bbox in ([10, 10, 50, 60], [40, 30, 90, 90]):
        (tmp_path / 'box.json').write_text(json.dumps({'bbox': bbox}))
        assert call(cmr_body, *arguments, '--body', body, '--bbox', tmp_path / 'box.json') == 0
        bodies.append(meshes.read(str(tmp_path / 'body.obj')))
    assert np.array_equal(np.array(bodies[0].faces), tiny.arrays()['f'])
    assert bodies[0].vertices.shape == (162, 3)
    assert np.abs(bodies[0].vertices - bodies[1].vertices).max() > 1e-5   # the box counts
    assert call(cmr_body, *arguments) == 1
    assert 'give the --body that it was trained with' in capsys.readouterr().err

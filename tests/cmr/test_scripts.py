"""CMR's scripts end to end on a small body: train, go on, measure, draw, freeze, convert."""
import json
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from cmr import demo, evaluation, train
from cmr import eval as eval_script
from cmr.src import config as config_lib
from cmr.src.utils import pth2ckpt, torch_weights, torch_writer
from common.frozen import model
from common.readers import torch_file
from common.training import checkpoints, familiar
from tests.cmr import tiny

PHOTO = os.path.join(config_lib.MODEL_DIR, 'data', 'examples', 'im1010.jpg')

pytestmark = pytest.mark.slow    # every network here has all layers of ResNet-50


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a body, a set, and a run of three steps."""
    folder = tmp_path_factory.mktemp('cmr')
    body = tiny.make_body(folder / 'body')
    tiny.make_set(folder / 'data', body)
    assert run(folder, 'out', 3, '--evaluate') == 0
    return folder


def run(folder, name, steps, *others):
    tf.reset_default_graph()
    return train.main(['--data_path={}'.format(folder / 'data'), '--dataset=up-3d',
                       '--body={}'.format(folder / 'body'), '--batch_size=4', '--threads=1',
                       '--num_workers=1', '--report_every=1', '--device=cpu',
                       '--training_steps={}'.format(steps),
                       '--output_path={}'.format(folder / name)] + tiny.NETWORK + list(others))


def losses(folder, name):
    with open(str(folder / name / 'metrics.jsonl'), encoding='utf-8') as stream:
        rows = [json.loads(line) for line in stream]
    return {row['step']: row['loss'] for row in rows if 'loss' in row}


def measure(folder, *others):
    return eval_script.main(['--data_path={}'.format(folder / 'data'), '--device=cpu',
                             '--batch_size=2', '--num_workers=1'] + list(others))


def test_a_run_leaves_figures_pictures_and_losses(place):
    with open(str(place / 'out' / 'eval' / 'up-3d.json'), encoding='utf-8') as stream:
        actual = json.load(stream)
    assert actual['step'] == 3
    assert {'Shape Error (NonParam)', 'MPJPE (Param)',
            'Reconstruction Error (Param)'} <= set(actual['figures'])
    assert all(np.isfinite(value) and value > 0 for value in actual['figures'].values())
    assert os.path.exists(str(place / 'out' / 'samples' / 'step_000003.png'))
    assert os.path.exists(str(place / 'out' / 'eval' / 'errors.png'))
    assert sorted(losses(place, 'out')) == [1, 2, 3]


def test_a_resumed_run_equals_the_unbroken_one(place):
    assert run(place, 'parts', 1) == 0 and run(place, 'parts', 3) == 0
    assert losses(place, 'parts') == losses(place, 'out')


def test_time_to_run_saves_and_ends_well(place, capsys):
    assert run(place, 'timed', 50, '--time_to_run=0.001') == 0
    assert '--time_to_run is over at step 1' in capsys.readouterr().out
    assert checkpoints.latest(str(place / 'timed')).endswith('model-1')


def test_evaluation_measures_every_sample_in_any_batch(place, capsys):
    args = ['--output_path={}'.format(place / 'out'), '--baseline']
    assert measure(place, *args) == 0
    first = capsys.readouterr().out
    assert '*** Final Results ***' in first and 'Shape Error (mean pose)' in first
    assert '3 samples' in first
    tf.reset_default_graph()
    assert measure(place, *args, '--batch_size=3', '--shuffle', '--num_workers=0') == 0
    figures = [dict(re.findall(r'^(.*): ([\d.]+)$', text.split('Final Results')[1], re.MULTILINE))
               for text in (first, capsys.readouterr().out)]
    assert len(figures[0]) == 9 and set(figures[0]) == set(figures[1])
    for name, value in figures[0].items():
        np.testing.assert_allclose(float(value), float(figures[1][name]), rtol=1e-4)


def test_a_demo_says_how_a_picture_compares_with_held_out_ones(place, tmp_path, monkeypatch,
                                                                capsys):
    monkeypatch.setattr(evaluation, '_LEAST', 8)
    assert measure(place, '--output_path={}'.format(place / 'out'), '--baseline') == 0
    for _ in range(2):
        assert demo.main(['--img', PHOTO, '--outfile', str(tmp_path / 'x'), '--device=cpu',
                          '--output_path={}'.format(place / 'out')]) == 0
        assert 'on 6 held-out samples' in capsys.readouterr().out
    for name in familiar.FILES:
        os.remove(str(place / 'out' / name))


def test_human36m_needs_its_regressor_and_lsp_its_parts(place, capsys):
    assert measure(place, '--output_path={}'.format(place / 'out'), '--dataset=lsp') == 1
    assert 'lsp_dataset_test.npz' in capsys.readouterr().err


@pytest.mark.parametrize('box', [
    pytest.param('', marks=pytest.mark.slow), 'bbox',
    pytest.param('openpose', marks=pytest.mark.slow)])
def test_demo_writes_meshes_and_pictures(place, box):
    out = str(place / ('demo_' + box))
    arguments = ['--img', PHOTO, '--outfile', out, '--device=cpu',
                 '--output_path={}'.format(place / 'out')]
    if box:
        arguments += ['--' + box, '{}_{}.json'.format(os.path.splitext(PHOTO)[0], box)]
    assert demo.main(arguments) == 0
    for kind in ('gcnn', 'smpl'):
        for suffix in ('.obj', '.glb', '.png', '_side.png'):
            assert os.path.getsize('{}_{}{}'.format(out, kind, suffix)) > 200


def test_demo_writes_each_person_that_is_asked_for(place, tmp_path, capsys):
    field = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases')
    arguments = ['--img', os.path.join(field, 'two.png'), '--openpose',
                 os.path.join(field, 'two.json'), '--output_path={}'.format(place / 'out')]
    for person, stems in (('', ['x']), ('0', ['x']), ('all', ['x_person0', 'x_person1'])):
        folder = tmp_path / ('of_' + person)
        folder.mkdir()
        assert demo.main(arguments + ['--outfile', str(folder / 'x')]
                         + ['--person=' + person] * bool(person)) == 0
        out = capsys.readouterr().out
        assert ('person 1 is taken' in out) == (not person) and 'body: ' in out
        assert {name.rsplit('_gcnn', 1)[0] for name in os.listdir(str(folder))
                if name.endswith('_gcnn.obj')} == set(stems)
    assert demo.main(arguments + ['--person=2']) == 1
    assert 'has the people 0, 1' in capsys.readouterr().err


def test_demo_refuses_what_is_no_photo(place, tmp_path, capsys):
    bad = tmp_path / 'x.jpg'
    bad.write_bytes(b'\xff\xd8 no picture')
    box = tmp_path / 'box.json'
    box.write_text('{"bbox": [900, 900, 10, 10]}')
    points = tmp_path / 'points.json'
    points.write_text(json.dumps({'people': [{'pose_keypoints_2d': [1., 2., 0.1] * 25}]}))
    for arguments, message in (
            (['--img', str(bad)], 'x.jpg cannot be read as a picture'),
            (['--img', str(tmp_path / 'none.jpg')], 'none.jpg: there is no such file'),
            (['--img', PHOTO, '--bbox', str(box)], 'lies outside of'),
            (['--img', PHOTO, '--openpose', str(points)], 'no keypoint of the person')):
        assert demo.main(arguments + ['--output_path={}'.format(place / 'out')]) == 1
        assert message in capsys.readouterr().err


def test_the_frozen_graph_gives_what_the_checkpoint_gives(place, tmp_path):
    tf.reset_default_graph()
    assert freeze_graph.main(['--model=cmr', '--batch_size=2', '--output', str(tmp_path),
                              '--output_path={}'.format(place / 'out')]) == 0
    with model.load(str(tmp_path / 'cmr.pb')) as graph:
        actual = graph.predict(image=np.zeros([2, 64, 64, 3], np.float32))
    assert {name: value.shape for name, value in actual.items()} == {
        'vertices': (2, 162, 3), 'vertices_smpl': (2, 162, 3), 'rotations': (2, 24, 3, 3),
        'betas': (2, 10), 'camera': (2, 3)}
    np.testing.assert_array_equal(actual['vertices'][0], actual['vertices'][1])


def test_weights_go_to_pytorch_and_back(place, tmp_path):
    prefix = checkpoints.latest(str(place / 'out'))
    path = str(tmp_path / 'graphcmr.pt')
    assert pth2ckpt.main(['--reverse', '--ckpt-path', prefix, '--pth-path', path]) == 0
    content = torch_file.read(path)
    assert content['graph_cnn']['resnet.conv1.weight'].shape == (4, 3, 7, 7)   # as PyTorch has it
    assert 'resnet.bn1.num_batches_tracked' in content['graph_cnn']
    ours = checkpoints.read(prefix)
    for name, value in torch_weights.read(path).items():
        np.testing.assert_array_equal(value, ours[name])
    tf.reset_default_graph()
    body = ['--body={}'.format(place / 'body')] + tiny.NETWORK
    assert measure(place, '--checkpoint', path, '--output_path', str(tmp_path), *body) == 0
    with open(str(tmp_path / 'eval' / 'up-3d.json'), encoding='utf-8') as stream:
        figures = json.load(stream)['figures']
    assert os.path.exists(str(tmp_path / 'eval' / 'up-3d.png'))
    with open(str(place / 'out' / 'eval' / 'up-3d.json'), encoding='utf-8') as stream:
        for name, value in json.load(stream)['figures'].items():
            if 'mean pose' not in name:
                np.testing.assert_allclose(figures[name], value, rtol=1e-4)


def test_an_encoder_of_imagenet_starts_a_run(place, tmp_path, capsys):
    weights = checkpoints.read(checkpoints.latest(str(place / 'out')))
    content = {name[len(torch_weights.ENCODER):]: torch_weights.to_original(value)
               for name, value in weights.items()
               if name.startswith(torch_weights.ENCODER) and '/' not in name}
    path = str(tmp_path / 'resnet50.pth')
    torch_writer.write(path, content)
    assert run(place, 'from_encoder', 1, '--pretrained_checkpoint', path) == 0
    assert 'resnet50.pth for the encoder' in capsys.readouterr().out
    ckpt = str(tmp_path / 'encoder.ckpt')
    assert pth2ckpt.main(['--pth-path', path, '--ckpt-path', ckpt]) == 0
    assert run(place, 'from_converted', 1, '--pretrained_checkpoint', ckpt) == 0
    assert losses(place, 'from_converted') == losses(place, 'from_encoder')


def test_checkpoints_that_do_not_fit_are_refused(place, capsys):
    capsys.readouterr()
    for sizes in (['--resnet_width=8'], ['--num_channels=32'], ['--regressor_width=64']):
        tf.reset_default_graph()
        assert measure(place, '--output_path={}'.format(place / 'out'), *sizes) == 1
        assert 'belongs to another network' in capsys.readouterr().err
    assert run(place, 'out', 4, '--resnet_width=8') == 1
    assert run(place, 'none', 1, '--batch_size=9') == 1
    assert 'fewer than a batch of 9' in capsys.readouterr().err


def test_options_of_a_json_file(place, tmp_path, capsys):
    path = tmp_path / 'options.json'
    path.write_text(json.dumps({'num_layers': 2, 'learning_rate': 0.5}))
    assert run(place, 'json', 1, '--from_json', str(path), '--learning_rate=1e-4') == 0
    with open(str(place / 'json' / 'config.json'), encoding='utf-8') as stream:
        actual = json.load(stream)['options']
    assert actual['learning_rate'] == 1e-4
    path.write_text(json.dumps({'num_layerz': 2}))
    with pytest.raises(SystemExit) as stop:
        run(place, 'json2', 1, '--from_json', str(path))
    assert stop.value.code == 2
    assert 'no option num_layerz' in capsys.readouterr().err

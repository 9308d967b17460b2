"""Tests of imnet/train.py (all stages in one), of make_dataset.py and of the launch scripts."""
import os
import subprocess

import h5py
import numpy as np
import pytest

from imnet import furniture_set, make_dataset, options, train
from tests.imnet import tiny

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.slow
def test_all_stages_run_and_leave_meshes_pictures_and_frozen_graphs(tmp_path, capsys, monkeypatch):
    """A network of a few minutes is needed for meshes, so fields are made to be full here."""
    from imnet import decoder
    call = decoder.Field.__call__
    monkeypatch.setattr(decoder.Field, '__call__', lambda self, points: np.where(
        np.linalg.norm(points, axis=1) < 0.3, 1, 0 * call(self, points)).astype(np.float32))
    data = tiny.write(str(tmp_path), 4, 2)
    monkeypatch.setattr(options, 'POINTS', tiny.POINTS)
    assert tiny.call(train, '--data_path', data, '--output_path', tmp_path / 'out', '--epochs', 1,
                     2, 3, '--gan_epochs=1', '--svr_epochs=1', '--svr_ef_dim=1',
                     '--svr_batch_size=2', '--gan_dim=4', '--num_meshes=2',
                     '--resolution=64', *tiny.SIZES) == 0
    said = capsys.readouterr().out
    assert 'StepTime: ' in said and 'Accuracy: ' in said and 'points_64, to epoch 3' in said
    out = tmp_path / 'out'
    for name in ('ae_train', 'ae_test', 'gan', 'svr_test'):
        picture = 'samples.png' if name == 'gan' else 'meshes.png'
        assert (out / 'samples' / name / picture).exists()
    assert {'imnet_decoder.pb', 'imnet_encoder.pb', 'imnet_image.pb'} <= set(os.listdir(str(out)))
    assert (out / 'eval' / 'ae_test.md').exists()


@pytest.mark.parametrize('epochs, ends', [
    (400, [100, 200, 400]), (100, [25, 50, 100]), (4, [1, 2, 4]), (3, [1, 2, 3]), (2, [0, 1, 2]),
    (1, [0, 0, 1])])
def test_train_epochs_leave_steps_for_every_stage(tmp_path, epochs, ends):
    parsed = train.parse_args(['--data_path', str(tmp_path), '--train_epochs', str(epochs)])
    assert options.complete(parsed, 'cpu').epochs == ends


def test_the_furniture_is_a_set_like_any_other(tmp_path):
    assert make_dataset.main(['--output', str(tmp_path), '--shapes=1', '--classes', 'bed']) == 0
    with h5py.File(str(tmp_path / (furniture_set.STEM + '_train.hdf5')), 'r') as stream:
        assert {name: stream[name].shape[1:] for name in stream} == {
            'voxels': (64, 64, 64, 1), 'pixels': (24, 137, 137), 'points_16': (4096, 3),
            'values_16': (4096, 1), 'points_32': (4096, 3), 'values_32': (4096, 1),
            'points_64': (16384, 3), 'values_64': (16384, 1)}
        assert 0.02 < stream['voxels'][:].mean() < 0.6
        assert (stream['pixels'][:] < 200).any(axis=(2, 3)).all()


@pytest.mark.parametrize('name', ['train_full_1p.sh', 'train_performance_1p.sh'])
def test_launch_scripts_help_and_refuse_unknown_options(name):
    script = os.path.join(ROOT, 'imnet', 'test', name)
    done = subprocess.run(['bash', script, '--help'], stdout=subprocess.PIPE)
    assert done.returncode == 0 and b'svr_epochs' in done.stdout
    done = subprocess.run(['bash', script, '--svr_epoch=3'], stderr=subprocess.PIPE)
    assert done.returncode == 2 and b'--svr_epoch' in done.stderr

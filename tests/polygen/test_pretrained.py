"""Tests of PolyGen's --pretrained: weights of a toy run in the place of those that ship."""
import os

import pytest

from common.geometry import meshes
from common.training import pretrained
from polygen import options
from polygen import sample as sample_script
from polygen import train as train_script
from tests.polygen import tiny


@pytest.mark.slow
def test_weights_that_ship_are_sampled_and_started_from(tmp_path, monkeypatch):
    data = tiny.write_solids(tmp_path / 'meshes')
    tiny.train(tmp_path / 'run', data, 2)
    folder = str(tmp_path / 'pretrained')
    pretrained.export(str(tmp_path / 'run'), folder, 'PolyGen')
    monkeypatch.setattr(options, 'PRETRAINED', folder)
    code, out, err = tiny.main(sample_script, '--output_path={}'.format(tmp_path / 'drawn'),
                               '--num_samples=1')
    assert code == 0, err
    assert 'taking the weights that ship' in out and '1 samples of model-2' in out
    code, out, err = tiny.main(
        train_script, '--data_path={}'.format(data), '--training_steps=1', '--nosample',
        '--batch_size=2', '--output_path={}'.format(tmp_path / 'tuned'), '--pretrained',
        '--freeze')
    assert code == 0, err
    assert 'weights of {}'.format(folder) in out
    assert 'starts anew' not in out     # the same classes
    assert os.path.exists(str(tmp_path / 'tuned' / 'checkpoints' / 'model-1.index'))
    assert os.path.exists(str(tmp_path / 'tuned' / 'polygen_faces.pb'))
    for name in ('x', 'y'):
        meshes.write(str(tmp_path / 'others' / name / 'one.obj'), *tiny.SOLIDS['c_box'])
    code, out, err = tiny.main(
        train_script, '--data_path={}'.format(tmp_path / 'others'), '--training_steps=1',
        '--nosample', '--batch_size=2', '--output_path={}'.format(tmp_path / 'other_classes'),
        '--checkpoint={}'.format(folder), '--freeze_layers=face_model', *tiny.OPTIONS)
    assert code == 0, err
    assert 'vertex_model/class_label/embeddings starts anew' in out
    assert '--freeze_layers: ' in out

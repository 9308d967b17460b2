"""Tests of VSL's --pretrained: weights of a toy run in the place of those that ship."""
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from common import frozen
from common.training import pretrained
from vsl import data_utils, make_dataset, options, vsl_main

SIZES = ['--batch_size=5', '--global_latent_dim=3', '--local_latent_dim=2', '--local_latent_num=2']


def call(script, *arguments):
    tf.reset_default_graph()
    return script.main([str(argument) for argument in arguments])


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A toy run exported to where the weights that ship are looked for; its set beside it."""
    splits, names = make_dataset.make_furniture(0, 2, 1)
    data_utils.write(str(tmp_path / 'shapes.mat'), splits, names)
    assert call(vsl_main, '--data_path', tmp_path / 'shapes.mat', '--output_path',
                tmp_path / 'run', '--stages=train', '--training_steps=2', *SIZES) == 0
    folder = str(tmp_path / 'pretrained')
    pretrained.export(str(tmp_path / 'run'), folder, 'VSL')
    monkeypatch.setattr(options, 'PRETRAINED', folder)
    return tmp_path


@pytest.mark.slow
def test_weights_that_ship_are_used_started_from_and_frozen(shipped, capsys):
    data = shipped / 'shapes.mat'
    assert call(vsl_main, '--data_path', data, '--output_path', shipped / 'used',
                '--stages=reconstruct') == 0       # neither run nor --checkpoint: told
    said = capsys.readouterr().out
    assert 'taking the weights that ship' in said and 'pretrained' in said
    with open(str(shipped / 'used' / 'eval' / 'reconstruct.json')) as stream:
        assert 0 <= json.load(stream)['test_iou'] <= 1
    assert call(vsl_main, '--data_path', data, '--output_path', shipped / 'tuned',
                '--stages=train,freeze', '--training_steps=1', '--pretrained') == 0   # its sizes
    assert 'weights of {}'.format(options.PRETRAINED) in capsys.readouterr().out
    assert (shipped / 'tuned' / 'vsl_decoder.pb').exists()
    assert call(freeze_graph, '--model=vsl', '--pretrained', '--output', shipped / 'pb',
                '--parts', 'encoder', '--output_path', shipped / 'none') == 0
    with frozen.load(os.path.join(str(shipped), 'pb', 'vsl_encoder.pb')) as model:
        grid = data_utils.grids(data_utils.read_split(str(data), 'test').voxels[:1])
        assert np.isfinite(model.predict_all(voxels=grid)['latent']).all()


def test_asking_for_weights_that_do_not_ship_ends_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(options, 'PRETRAINED', str(tmp_path / 'none'))
    assert call(vsl_main, '--output_path', tmp_path / 'run', '--pretrained',
                '--stages=reconstruct') == 1
    assert '--pretrained: no weights ship in' in capsys.readouterr().err

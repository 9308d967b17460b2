"""Tests of IM-NET's --pretrained: weights of toy runs in the place of those that ship."""
import os

import cv2
import numpy as np
import pytest

import freeze_graph
from common.training import pretrained, runs
from imnet import evaluate as evaluate_script
from imnet import options
from imnet import train as train_script
from imnet.IMGAN import main as imgan
from imnet.IMSVR import main as imsvr
from tests.imnet import tiny


@pytest.mark.slow
def test_weights_that_ship_are_used_and_started_from(tmp_path, monkeypatch, capsys):
    data, run = tiny.write(str(tmp_path)), tmp_path / 'run'
    sizes = ['--z_dim=4', '--ef_dim=2', '--svr_ef_dim=2', '--gf_dim=2', '--gan_dim=4']
    arguments = ['--data_path', data, '--preset=quick', '--svr_batch_size=2', '--epochs', 1, 2, 3,
                 '--gan_epochs=1', '--svr_epochs=1', '--resolution=64', '--num_meshes=1']
    monkeypatch.setattr(options, 'POINTS', tiny.POINTS)
    assert tiny.call(train_script, *arguments, *sizes, '--output_path', run, '--stages', 'ae16',
                     'ae32', 'ae64', 'codes', 'gan', 'svr', '--loss=cross_entropy') == 0
    folder = str(tmp_path / 'pretrained')
    pretrained.export(str(run), folder, 'IM-NET')
    monkeypatch.setattr(options, 'PRETRAINED', folder)
    none = ['--data_path', data, '--output_path', tmp_path / 'used', '--end=1', '--resolution=64']
    for script, more in ((imgan, ['--ae', '--mode=codes']), (imsvr, ['--mode=all'])):
        capsys.readouterr()
        tiny.call(script, *none, *more)
        said = capsys.readouterr().out
        assert 'taking the weights that ship' in said
        assert 'weights of {}'.format(folder) in said
    assert tiny.call(freeze_graph, '--model=imnet', '--pretrained', '--output', tmp_path / 'pb',
                     '--output_path', tmp_path / 'none') == 0
    assert {'imnet_decoder.pb', 'imnet_image.pb', 'imnet_generator.pb'} <= set(
        os.listdir(str(tmp_path / 'pb')))
    capsys.readouterr()
    assert tiny.call(train_script, *arguments, '--output_path', tmp_path / 'tuned', '--pretrained',
                     '--stages', 'ae64', 'codes', 'svr') == 0
    said = capsys.readouterr().out
    assert said.count('weights of {}'.format(folder)) == 2     # autoencoder, picture encoder
    tuned = ['--output_path', tmp_path / 'tuned']
    assert tiny.call(evaluate_script, '--data_path', data, '--kind=svr', '--split=test',
                     '--resolution=64', *tuned) == 0
    picture = str(tmp_path / 'photo.png')
    assert cv2.imwrite(picture, np.random.RandomState(0).randint(
        0, 255, (64, 64, 3)).astype(np.uint8))
    capsys.readouterr()
    tiny.call(imsvr, '--image', picture, '--background=white', '--resolution=64', *tuned)
    assert 'photo.png: distance of its code from those of the training pictures' in (
        capsys.readouterr().out)
    # The loss goes on as that of the weights; a run from nothing has the paper's.
    assert runs.read_options(str(tmp_path / 'tuned' / 'ae'))['loss'] == 'cross_entropy'
    assert tiny.call(train_script, *arguments, *sizes, '--output_path', tmp_path / 'new',
                     '--stages', 'ae16') == 0
    assert runs.read_options(str(tmp_path / 'new' / 'ae'))['loss'] == 'squared'

"""Tests of CMR's --pretrained: weights of a toy run in the place of those that ship."""
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from cmr import demo as demo_script
from cmr import options
from cmr import train as train_script
from common.training import pretrained
from tests.cmr import tiny


def call(script, *arguments):
    tf.reset_default_graph()
    return script.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_weights_that_ship_are_used_and_started_from(tmp_path, monkeypatch, capsys):
    body = tiny.make_body(tmp_path / 'body')
    data = tiny.make_set(tmp_path / 'data', body)
    common = ['--data_path', data, '--dataset=up-3d', '--body', body, '--batch_size=2',
              '--training_steps=1', '--num_workers=0']
    assert call(train_script, *common, '--output_path', tmp_path / 'run', *tiny.NETWORK) == 0
    folder = str(tmp_path / 'pretrained')
    pretrained.export(str(tmp_path / 'run'), folder, 'CMR')
    monkeypatch.setattr(options, 'PRETRAINED', folder)
    capsys.readouterr()
    assert call(train_script, *common, '--output_path', tmp_path / 'tuned', '--pretrained',
                '--freeze') == 0
    assert (tmp_path / 'tuned' / 'cmr.pb').exists()
    assert 'weights of {}'.format(folder) in capsys.readouterr().out
    photo = sorted(path for path in (tmp_path / 'data').rglob('*.*') if path.suffix in (
        '.png', '.jpg'))[0]
    assert call(demo_script, '--img', photo, '--output_path', tmp_path / 'none', '--body', body,
                '--outfile', tmp_path / 'out') == 0
    assert 'taking the weights that ship' in capsys.readouterr().out
    with np.load(str(tmp_path / 'out_smpl.npz')) as params:
        assert [params[name].shape for name in ('pose', 'betas', 'camera')] == [(72,), (10,), (3,)]
    page = (tmp_path / 'out_body.html').read_text()
    assert page.count('<div class="mesh">') == 2 and 'out_smpl.stl' in page
    photos = tmp_path / 'photos'
    photos.mkdir()
    for name in ('a.png', 'b.png'):
        shutil.copy(str(photo), str(photos / name))
    (photos / 'broken.png').write_bytes(b'no picture')
    (photos / 'b_bbox.json').write_text('{"bbox": [20, 10, 50, 60]}')
    assert call(demo_script, '--img', photos, '--output_path', tmp_path / 'none', '--body', body,
                '--outfile', tmp_path / 'bodies', '--remove_background') == 0
    assert 'left out: ' in capsys.readouterr().out
    assert {'a_smpl.npz', 'b_smpl.npz', 'b_gcnn.stl', 'bodies.html'} <= set(
        os.listdir(str(tmp_path / 'bodies')))

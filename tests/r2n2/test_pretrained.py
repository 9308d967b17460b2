"""Tests of 3D-R2N2's --pretrained: weights of a toy run in the place of those that ship."""
import glob
import os

import pytest

from common.training import pretrained
from r2n2 import demo as demo_script
from r2n2 import main as main_script
from r2n2 import options
from tests.r2n2 import tiny


@pytest.mark.slow
def test_weights_that_ship_are_used_and_started_from(tmp_path, monkeypatch):
    data = tiny.make_data(tmp_path / 'data')
    assert tiny.train(tmp_path / 'run', data, 1)[0] == 0
    folder = str(tmp_path / 'pretrained')
    pretrained.export(str(tmp_path / 'run'), folder, '3D-R2N2')
    monkeypatch.setattr(options, 'PRETRAINED', folder)
    picture = sorted(glob.glob(os.path.join(data, 'ShapeNetRendering', '*', '*', '*', '*.png')))[0]
    code, out, err = tiny.call(demo_script, picture, '--output_path={}'.format(tmp_path / 'none'),
                               '--threshold=0.01', '--output={}'.format(tmp_path / 'out.obj'))
    assert code == 0, err
    assert 'taking the weights that ship' in out and (tmp_path / 'out.obj').exists()
    code, out, err = tiny.call(demo_script, '--output_path={}'.format(tmp_path / 'none'),
                               '--threshold=0.01', '--output={}'.format(tmp_path / 'own.obj'))
    assert code == 0, err
    assert 'three views of a generated sofa' in out and (tmp_path / 'own.obj').exists()
    code, out, err = tiny.call(demo_script, '--checkpoint={}'.format(tmp_path / 'run'),
                               '--output={}'.format(tmp_path / 'other.obj'))
    assert code == 2 and 'give pictures of an object' in err
    code, out, err = tiny.call(
        main_script, '--data_path={}'.format(data), '--output_path={}'.format(tmp_path / 'tuned'),
        '--training_steps=1', '--batch_size=2', '--workers=1', '--pretrained', '--evaluate',
        '--views=2', '--freeze', '--set',
        'CONST.N_VIEWS', '2', 'TRAIN.LOSS_LIMIT', '99', 'TRAIN.NUM_VALIDATION_ITERATIONS', '1',
        'TRAIN.NUM_RENDERING', '3')
    assert code == 0, err
    assert 'weights of {}'.format(folder) in out
    # What was measured and frozen is what was trained.
    used = [line for line in out.splitlines() if line.startswith('weights of ')]
    own = 'weights of {}'.format(tmp_path / 'tuned' / 'checkpoints' / 'model-1')
    assert [line.split(' (')[0] for line in used[1:]] == [own, own]
    assert (tmp_path / 'tuned' / 'r2n2_2_views.pb').exists()
    # The evaluation left what tells strange pictures; it goes with the weights.
    pretrained.export(str(tmp_path / 'tuned'), folder, '3D-R2N2')
    code, out, err = tiny.call(demo_script, picture, '--output_path={}'.format(tmp_path / 'none'),
                               '--threshold=0.01', '--output={}'.format(tmp_path / 'told.obj'))
    assert code == 0, err
    assert '00.png: distance of its features from those of the training pictures' in out
    assert ' held-out samples ' in out

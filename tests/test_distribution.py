"""Two processes train each model as one does: by TensorFlow's own collectives, by Horovod's double,
and by Horovod where it is there.

CMR's statistics belong to a process, so tests/cmr has its own tests.
"""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from common.training import checkpoints
from tests.common import test_distribution

STEPS = 3


def polygen(folder):
    from tests.polygen import tiny
    return ['polygen/train.py', '--data_path=' + tiny.write_solids(folder), *tiny.OPTIONS]


def polygen_image(folder):
    from polygen import make_dataset
    from tests.polygen import tiny
    output = os.path.join(folder, 'set')
    code, _, err = tiny.main(
        make_dataset, '--meshes=' + tiny.write_solids(os.path.join(folder, 'solids')),
        '--output=' + output, '--views=2', '--image_size=16', '--voxels=8', '--test_fraction=0',
        '--workers=1')
    assert code == 0, err
    return ['polygen/train.py', '--data_path=' + output, '--condition=image', '--image_size=16',
            '--encoder_channels', '4', '--encoder_blocks', '1', '1', '--pre_embed_dim=3',
            *tiny.OPTIONS]


def vsl(folder):
    from vsl import data_utils, make_dataset
    splits, names = make_dataset.make_furniture(0, 1, 1)
    path = os.path.join(folder, 'shapes.mat')
    data_utils.write(path, splits, names)
    return ['vsl/vsl_main.py', '--data_path=' + path, '--stages=train', '--batch_size=4',
            '--global_latent_dim=3', '--local_latent_dim=2', '--local_latent_num=2',
            '--kl_weight=0.01']


def vsl_imrec(folder):
    from vsl import data_utils, make_dataset
    splits, names = make_dataset.make_furniture(0, 1, 1)
    images = np.random.RandomState(0).rand(10, 100, 100, 3).astype(np.float32)
    path = os.path.join(folder, 'images.mat')
    data_utils.write(path, {name: split._replace(images=images) for name, split in splits.items()},
                     names)
    return ['vsl/vsl_imrec.py', '--data_path=' + path, '--class=all', '--stages=train',
            '--batch_size=4', '--global_latent_dim=3', '--local_latent_dim=2',
            '--local_latent_num=2', '--gamma=1']


def imnet(folder):
    from tests.imnet import tiny
    return ['imnet/IMGAN/main.py', '--ae', '--train', '--data_dir=' + tiny.write(folder, train=4),
            '--real_size=16', '--batch_size_input={}'.format(tiny.POINTS[16]),
            '--shapes_per_step=2', *tiny.SIZES]


def r2n2(folder):
    from tests.r2n2 import tiny
    return ['r2n2/main.py', '--data_path=' + tiny.make_data(folder), '--batch_size=2',
            '--workers=0', '--cfg=' + tiny.write_settings(folder)]


def losses(output):
    """[{name: loss}] by step."""
    paths = [os.path.join(place, 'metrics.jsonl') for place, _, names in os.walk(output)
             if 'metrics.jsonl' in names]
    assert len(paths) == 1
    with open(paths[0], encoding='utf-8') as stream:
        return [{name: value for name, value in json.loads(line).items() if 'loss' in name}
                for line in stream]


def newest(output):
    for place, _, names in os.walk(str(output)):
        if 'checkpoint' in names:
            return checkpoints.latest(place)
    raise AssertionError('no checkpoint in {}'.format(output))


@pytest.mark.parametrize('backend', ['tf', pytest.param('horovod', marks=pytest.mark.slow),
                                     test_distribution.REAL])
@pytest.mark.parametrize('model', [polygen, pytest.param(
    polygen_image, marks=pytest.mark.slow), vsl, vsl_imrec, imnet, r2n2])
def test_two_processes_train_as_one(model, backend, tmp_path):
    (tmp_path / 'in').mkdir()
    # Each exchange of a double holds a thread while it waits.
    command = model(str(tmp_path / 'in')) + [
        '--device=cpu', '--report_every=1', '--peer_timeout=200',
        '--threads={}'.format(1 if backend == 'tf' else 16)]

    def arguments(name, steps):
        return command + ['--training_steps={}'.format(steps),
                          '--output_path={}'.format(tmp_path / name)]

    subprocess.run([sys.executable] + arguments('one', STEPS), cwd=test_distribution.ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    test_distribution.together(arguments('two', STEPS), backend, tmp_path / 'exchange')
    actual, expected = losses(str(tmp_path / 'two')), losses(str(tmp_path / 'one'))
    assert len(actual) == len(expected) >= STEPS
    for one, other in zip(actual, expected):
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-4)
    values, others = checkpoints.read(newest(tmp_path / 'two')), checkpoints.read(
        newest(tmp_path / 'one'))
    assert values.keys() == others.keys()
    for name, value in others.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-3, atol=1e-5, err_msg=name)

"""CMR in two processes: by TensorFlow's own collectives, by Horovod's double (through files), and
by Horovod where it is there.
"""
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from cmr import networks, options, train
from cmr.src.dataset import datasets
from cmr.src.netCell import netWithLoss
from common.training import checkpoints, runs
from tests import nudge
from tests.cmr import tiny
from tests.common import test_distribution

_STEPS, _HALF = 2, 8
_NAMES = ('loss_shape', 'loss_keypoints', 'loss_regr_betas', 'loss')


def _arguments(folder, name, *others):
    return ['--data_path={}'.format(folder / 'data'), '--dataset=up-3d', '--threads=16',
            '--body={}'.format(folder / 'body'), '--batch_size={}'.format(2 * _HALF),
            '--num_workers=0', '--report_every=1', '--peer_timeout=200', '--device=cpu',
            '--drop_noise', '--training_steps={}'.format(_STEPS),
            '--output_path={}'.format(folder / name)] + tiny.NETWORK + list(others)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with a set and initial values, since graphs of other forms draw others."""
    folder = tmp_path_factory.mktemp('cmr')
    tiny.make_set(folder / 'data', tiny.make_body(folder / 'body'), 2 * _HALF)
    assert train.main(_arguments(folder, 'start', '--training_steps=1')) == 0
    return folder


def _two(place, backend, name, *others):
    """Losses of two processes."""
    name += '_' + backend
    test_distribution.together([os.path.join(test_distribution.ROOT, 'cmr', 'train.py')]
                               + _arguments(place, name, *others), backend,
                               place / (name + '_exchange'))
    return _losses(place / name)


def _losses(folder):
    """[step, name] of a run."""
    with open(str(folder / 'metrics.jsonl'), encoding='utf-8') as stream:
        rows = [json.loads(line) for line in stream]
    return np.array([[row[name] for name in _NAMES] for row in rows])


def _assert_equal(actual, expected, moved=None):
    """Compares losses [step, name]: the graph network's to rounding, all of them at the first step.

    The regressor normalises over few samples, which enlarges rounding a thousand times, and turns
    with the sign of a determinant: after an update two faithful runs differ by some percent. Where
    the first step's differ by more than half a percent, `moved` (function without arguments) gives
    the losses of a run whose weights are moved by one part in 10^7: three times as far is allowed.
    """
    actual, expected = np.array(actual), np.array(expected)
    np.testing.assert_allclose(actual[:, :2], expected[:, :2], rtol=2e-5)
    allowed = 5e-3 * np.abs(expected[0])
    if moved and (np.abs(actual[0] - expected[0]) > allowed).any():
        allowed = allowed + 3 * np.abs(np.array(moved())[0] - expected[0])
    assert (np.abs(actual[0] - expected[0]) <= allowed).all(), (actual[0], expected[0], allowed)


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['tf', 'horovod', test_distribution.REAL])
def test_two_processes_equal_one_that_computes_the_halves_apart(place, backend):
    """Statistics are those of each process; losses and gradients are averaged."""
    start = checkpoints.latest(str(place / 'start'))
    actual = _two(place, backend, 'two', '--checkpoint', start)
    settled = options.complete(train.parse_args(_arguments(place, 'apart')), 'cpu')
    tf.reset_default_graph()
    runs.set_seeds(settled.seed)
    network = networks.Network(settled, True)
    halves = [network.images(_HALF) for _ in range(2)]
    truths = [netWithLoss.truth(_HALF) for _ in range(2)]
    losses = [netWithLoss.losses(network.build(images), truth, network.body)[0]
              for images, truth in zip(halves, truths)]
    means = [(losses[0][name] + losses[1][name]) / 2 for name in _NAMES]
    optimizer = netWithLoss.Adam(settled.learning_rate)
    update = netWithLoss.update(means[-1], network.variables, optimizer, drop_noise=True)
    batches = datasets.Batches(datasets.Mixture(str(place / 'data'), 'up-3d'), settled)
    expected = []
    with tf.Session() as sess:
        networks.load(sess, network, start)
        for step in range(_STEPS):
            batch, feed = batches.at(step), {}
            for part, (images, truth) in enumerate(zip(halves, truths)):
                rows = slice(_HALF * part, _HALF * (part + 1))
                feed[images] = batch['img'][rows]
                feed.update({getattr(truth, name): batch[name][rows] for name in truth._fields})
            expected.append(sess.run((means, update), feed)[0])
    _assert_equal(actual, expected)


@pytest.mark.parametrize('backend', ['tf', pytest.param('horovod', marks=pytest.mark.slow),
                                     test_distribution.REAL])
def test_synchronised_statistics_make_two_processes_one(place, backend):
    start = ['--checkpoint', checkpoints.latest(str(place / 'start'))]
    actual = _two(place, backend, 'synchronised', '--sync_batch_norm', *start)
    tf.reset_default_graph()
    assert train.main(_arguments(place, 'one', *start)) == 0
    expected = _losses(place / 'one')

    def moved():
        shutil.copytree(str(place / 'start'), str(place / backend / 'moved'))
        prefix = checkpoints.latest(str(place / backend / 'moved'))
        nudge.move_checkpoint(prefix, 7)
        tf.reset_default_graph()
        name = backend + '_one_moved'
        assert train.main(_arguments(place, name, '--checkpoint', prefix)) == 0
        return _losses(place / name)

    _assert_equal(actual, expected, moved)

"""Tests of what IM-SVR records of strange pictures."""
import json
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from common.training import familiar
from imnet import data_utils, evaluation
from imnet.IMSVR import model


class Network:
    """Its features of a picture are (mean, standard deviation)."""

    def features_of(self, sess, images):
        return np.array([[image.mean(), image.std()] for image in images])


class Set:
    """Three shapes with two views each."""

    def __init__(self, path, keys, cache):
        assert path == 'set_train.hdf5' and 'pixels' in keys
        self._pixels = np.random.RandomState(0).randint(0, 256, [3, 2, 137, 137]).astype(np.uint8)

    def __len__(self):
        return 3

    def pixels(self):
        return self._pixels


@pytest.fixture
def options(tmp_path):
    return types.SimpleNamespace(data_dir='data', dataset='set', output_path=str(tmp_path))


def test_features_of_training_pictures_are_recorded(options, monkeypatch, tmp_path):
    monkeypatch.setattr(data_utils, 'find', lambda *arguments: 'set_{}.hdf5'.format(arguments[2]))
    monkeypatch.setattr(data_utils, 'Set', Set)
    held_out = Set('set_train.hdf5', ['pixels'], '')
    evaluation._record_features(options, Network(), None, held_out)
    known = json.loads((tmp_path / familiar.FILE).read_text())[familiar.STRANGENESS]
    assert known['samples'] == 6       # each view of each shape
    with np.load(str(tmp_path / familiar.FEATURES)) as arrays:
        assert arrays['mean'] == pytest.approx([0.5, 1 / np.sqrt(12)], abs=0.01)


def leaky(values):
    return np.where(values > 0, values, 0.02 * values)


def test_features_are_those_of_every_second_block():
    """Of kernels of zeros only the batch norms' offsets are left, to be added up by hand."""
    rng, offsets = np.random.RandomState(0), {}
    with tf.Graph().as_default(), tf.Session() as sess:
        network = model.IMSVR(z_dim=2, ef_dim=1, gf_dim=1, batch_size=1)
        sess.run(tf.global_variables_initializer())
        for variable in network.encoder_variables:
            if variable.op.name.endswith('/Matrix'):
                variable.load(np.zeros(variable.shape.as_list(), np.float32), sess)
            elif variable.op.name.endswith('/beta'):
                number = variable.op.name.split('/')[1].replace('BatchNorm', '').strip('_')
                offsets[int(number or 0)] = rng.randn(*variable.shape.as_list())
                variable.load(offsets[int(number or 0)], sess)
        found = network.features_of(sess, iter(rng.rand(3, 128, 128, 1)))
    assert sorted(offsets) == list(range(21))
    first = leaky(leaky(leaky(offsets[0]) + offsets[2]) + offsets[4])
    wider = [leaky(leaky(offsets[number] + offsets[number + 1]) + offsets[number + 3])
             for number in (6, 11, 16)]
    assert found == pytest.approx(np.tile(np.concatenate([first] + wider), [3, 1]), abs=1e-5)


def test_a_set_without_training_pictures_records_nothing(options, monkeypatch, tmp_path):
    def find(folder, dataset, split):
        raise errors.InputError('there is no {}.'.format(split))

    monkeypatch.setattr(data_utils, 'find', find)
    evaluation._record_features(options, Network(), None, None)
    assert not list(tmp_path.iterdir())

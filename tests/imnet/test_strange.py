"""Tests of what IM-SVR records of strange pictures, without a network."""
import json
import types

import numpy as np
import pytest

from common import errors
from common.training import familiar
from imnet import data_utils, evaluation, inference


class Network:
    """Its code of a picture is (mean, standard deviation)."""

    def codes_of(self, sess, images):
        return [np.array([image.mean(), image.std()]) for image in images]


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


def test_codes_of_training_pictures_are_recorded(options, monkeypatch, tmp_path):
    monkeypatch.setattr(data_utils, 'find', lambda *arguments: 'set_{}.hdf5'.format(arguments[2]))
    monkeypatch.setattr(data_utils, 'Set', Set)
    held_out = Set('set_train.hdf5', ['pixels'], '')
    evaluation._record_codes(options, Network(), None, held_out)
    known = json.loads((tmp_path / familiar.FILE).read_text())[inference.STRANGENESS]
    assert known['samples'] == 6       # each view of each shape
    with np.load(str(tmp_path / familiar.FEATURES)) as arrays:
        assert arrays['mean'] == pytest.approx([0.5, 1 / np.sqrt(12)], abs=0.01)


def test_a_set_without_training_pictures_records_nothing(options, monkeypatch, tmp_path):
    def find(folder, dataset, split):
        raise errors.InputError('there is no {}.'.format(split))

    monkeypatch.setattr(data_utils, 'find', find)
    evaluation._record_codes(options, Network(), None, None)
    assert not list(tmp_path.iterdir())

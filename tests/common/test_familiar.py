"""Tests of common/training/familiar.py: inputs unlike what a network was trained for."""
import json
import os

import numpy as np
import pytest

from common import errors
from common.training import familiar


def test_a_field_that_is_decided_has_no_uncertainty():
    assert familiar.uncertainty(np.array([0., 1., 1., 0.])) == 0
    assert familiar.uncertainty(np.array([0.5, 0.5])) == pytest.approx(0.5)
    # 0.2 * 0.8 + 0.9 * 0.1 = 0.25 over 1.1; -3 and 7 count as 0 and 1
    assert familiar.uncertainty(np.array([0.2, 0.9])) == pytest.approx(0.25 / 1.1)
    assert familiar.uncertainty(np.array([-3., 7.])) == 0
    assert familiar.uncertainty(np.full(1000, 1e-4)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize('place', ['checkpoints', os.path.join('checkpoints', 'chairs_128')])
def test_an_input_beyond_nearly_all_held_out_ones_is_told(tmp_path, capsys, place):
    familiar.record(str(tmp_path), 'doubt', np.arange(101) / 100.)
    familiar.record(str(tmp_path), 'distance', [1., 2., 3.])
    prefix = str(tmp_path / place / 'model-3')
    assert not familiar.tell(prefix, 'doubt', 0.98, 'a.png')
    assert 'a.png: doubt 0.98; on 101 held-out samples 0.5 in the median, 0.99 at most' in (
        capsys.readouterr().out)
    assert familiar.tell(prefix, 'doubt', 0.995, 'b.png')
    assert 'b.png: doubt 0.995' in capsys.readouterr().out
    assert familiar.tell(prefix, 'doubt', float('nan'), 'c.png')
    assert 'unlike anything that was trained on' in capsys.readouterr().out
    assert not familiar.tell(prefix, 'distance', 2., 'd.png')


def test_without_a_record_nothing_is_told(tmp_path, capsys):
    assert not familiar.tell(str(tmp_path / 'checkpoints' / 'model-3'), 'doubt', 5., 'a.png')
    assert capsys.readouterr().out == ''


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / familiar.FILE).write_text(json.dumps({'doubt': 3}))
    with pytest.raises(errors.InputError, match='evaluate again'):
        familiar.record(str(tmp_path), 'doubt', [1.])


def test_features_far_from_those_of_training_are_far_by_hand(tmp_path):
    familiar.record_features(str(tmp_path), np.array([[2., 5.], [0., 5.], [1., 7.], [1., 3.]]))
    found = familiar.distances(str(tmp_path / 'checkpoints' / 'stem'),
                               np.array([[1., 5.], [4., 9.]]))
    # Mean (1, 5), variances 0.5 and 2, to each a hundredth of their mean 1.25 more.
    assert found == pytest.approx([0., np.sqrt((9 / 0.5125 + 16 / 2.0125) / 2)], rel=1e-5)


def test_of_many_features_the_axes_of_most_variance_are_kept(tmp_path):
    variances = np.array([4.] * 64 + [1.] * 236)
    spread = np.diag(np.sqrt(300 * variances))
    familiar.record_features(str(tmp_path), np.concatenate([spread, -spread]))
    assert os.path.getsize(str(tmp_path / familiar.FEATURES)) < 300 * 70 * 4
    picked = np.zeros([3, 300])
    picked[0, 5], picked[1, 200], picked[2, [5, 200]] = 3., 2., (3., 2.)
    # To each variance a hundredth of their mean, (64 x 4 + 236) / 300 = 1.64, is added.
    one, other = 9 / 4.0164, 4 / 1.0164
    np.testing.assert_allclose(familiar.distances(str(tmp_path), picked),
                               np.sqrt(np.array([one, other, one + other]) / 300), rtol=1e-4)


def test_features_without_a_record_or_with_another_one(tmp_path):
    assert familiar.distances(str(tmp_path / 'checkpoints'), np.zeros([2, 3])) is None
    familiar.record_features(str(tmp_path), np.ones([4, 2]))    # all the same: no division by zero
    assert np.isfinite(familiar.distances(str(tmp_path), np.zeros([1, 2]))).all()
    with pytest.raises(errors.InputError, match='no record of 3 features'):
        familiar.distances(str(tmp_path), np.zeros([2, 3]))
    (tmp_path / familiar.FEATURES).write_bytes(b'nothing')
    with pytest.raises(errors.InputError, match='evaluate again'):
        familiar.distances(str(tmp_path), np.zeros([2, 2]))


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e200, 1j])
def test_features_of_a_record_with_numbers_that_are_none_are_refused(tmp_path, recwarn, value):
    axes = np.eye(2, dtype=type(value) if value == 1j else np.float64)
    axes[0, 1] = value
    np.savez(str(tmp_path / 'features.npz'), mean=np.zeros(2), axes=axes)
    with pytest.raises(errors.InputError, match='features.npz'):
        familiar.distances(str(tmp_path), np.ones([1, 2]))
    assert not recwarn.list

"""Tests of imnet/data_utils.py: reading sets a shape at a time, and what is wrong with them."""
import os
import resource
import shutil

import h5py
import numpy as np
import pytest

from common import errors
from imnet import data_utils
from tests.imnet import tiny


@pytest.fixture
def path(tmp_path):
    return os.path.join(tiny.write(str(tmp_path), 3, 1), tiny.STEM + '_train.hdf5')


def test_small_sets_and_copied_chunks_give_the_same_samples(path, tmp_path, monkeypatch):
    whole = data_utils.Set(path, 32)
    monkeypatch.setattr(data_utils, 'MEMORY_LIMIT', 0)
    by_row = data_utils.Set(path, 32)
    chunked = str(tmp_path / 'chunked_train.hdf5')
    with h5py.File(path, 'r') as source, h5py.File(chunked, 'w') as target:
        for name in source:
            data = source[name][:]
            target.create_dataset(name, data=data, chunks=(2,) + data.shape[1:])
    copied = data_utils.Set(chunked, 32, cache=str(tmp_path / 'cache'))
    assert len(os.listdir(str(tmp_path / 'cache'))) == 3
    for row in range(3):
        for other in (by_row, copied):
            for first, second in zip(whole.sample(row), other.sample(row)):
                np.testing.assert_array_equal(first, second)
    assert whole.sample(0)[1].dtype == np.float32
    assert whole.names() == ['ball/0', 'ball/1', 'ball/2']


@pytest.mark.slow
def test_a_set_of_many_gigabytes_is_read_in_little_memory(tmp_path):
    path = str(tmp_path / 'huge_train.hdf5')
    count = 60000
    with h5py.File(path, 'w') as stream:        # sparse: nothing but two rows is on the disk
        shapes = {'voxels': (64, 64, 64, 1), 'points_64': (16384, 3), 'values_64': (16384, 1)}
        for name, shape in shapes.items():
            data = stream.create_dataset(name, (count,) + shape, np.uint8)
            data[0], data[count - 1] = 1, 1
    if os.path.getsize(path) < 8 << 30:
        pytest.skip('the file system has no sparse files')
    found = data_utils.Set(path, 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for row in [0, count - 1] * 5:
        assert found.sample(row)[0].all()
    for row in range(1000, 1200):
        found.points(row)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_orders_depend_on_seed_and_epoch_alone():
    first = data_utils.order(1, 2, 50)
    np.testing.assert_array_equal(first, data_utils.order(1, 2, 50))
    assert sorted(first) == list(range(50))
    assert (first != data_utils.order(1, 3, 50)).any()
    assert (first != data_utils.order(2, 2, 50)).any()


def test_results_come_in_the_order_asked_for_from_ahead():
    ahead = data_utils.Ahead(lambda number: number ** 2)
    assert [ahead.get(number, number + 1) for number in range(5)] == [0, 1, 4, 9, 16]
    assert ahead.get(9) == 81


def _change(path, name, function):
    with h5py.File(path, 'r+') as stream:
        data = stream[name][:]
        del stream[name]
        result = function(data)
        if result is not None:
            stream[name] = result


@pytest.mark.parametrize('name, function, message', [
    ('points_16', lambda data: None, 'no dataset "points_16" .found: .*points_32'),
    ('values_16', lambda data: data[:, :-1], 'points and values of different length'),
    ('values_16', lambda data: data[:-1], 'differ in length'),
    ('voxels', lambda data: data[:, :32], r'expected uint8 \(64, 64, 64, 1\)'),
    ('voxels', lambda data: data * 0, 'are empty. Leave it out')])
def test_bad_sets_are_told_by_what_is_wrong(path, name, function, message):
    _change(path, name, function)
    with pytest.raises(errors.InputError, match=message):
        data_utils.Set(path, 16).sample(0)


def test_a_truncated_file_is_told(path, tmp_path):
    cut = str(tmp_path / 'cut_train.hdf5')
    shutil.copy(path, cut)
    os.truncate(cut, os.path.getsize(path) // 2)
    with pytest.raises(errors.InputError, match='cut short'):
        data_utils.Set(cut, 16)
    with pytest.raises(errors.InputError, match='zs'):
        data_utils.read_codes(path)

"""Tests of imnet/data_utils.py: reading sets a shape at a time, and what is wrong with them."""
import os
import resource
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from common import errors
from imnet import data_utils
from imnet.IMSVR import views
from tests.imnet import tiny


@pytest.fixture
def path(tmp_path):
    return os.path.join(tiny.write(str(tmp_path), 3, 1), tiny.STEM + '_train.hdf5')


def test_small_sets_and_copied_chunks_give_the_same_samples(path, tmp_path, monkeypatch):
    whole = data_utils.Set(path, 32)
    monkeypatch.setattr(data_utils, 'MEMORY_LIMIT', 0)
    by_row = data_utils.Set(path, 32)
    chunked = str(tmp_path / 'chunked_train.hdf5')
    _chunked(path, chunked)
    copied = data_utils.Set(chunked, 32, cache=str(tmp_path / 'cache'))
    assert len(os.listdir(str(tmp_path / 'cache'))) == 3
    for row in range(3):
        for other in (by_row, copied):
            for first, second in zip(whole.sample(row), other.sample(row)):
                np.testing.assert_array_equal(first, second)
    assert whole.sample(0)[1].dtype == np.float32
    assert whole.names() == ['ball/0', 'ball/1', 'ball/2']


def _chunked(source, target):
    """A copy whose chunks hold two shapes each."""
    with h5py.File(source, 'r') as stream, h5py.File(target, 'w') as copy:
        for name in stream:
            data = stream[name][:]
            copy.create_dataset(name, data=data, chunks=(2,) + data.shape[1:])


def test_the_copies_of_both_splits_and_of_a_changed_file_are_kept_apart(tmp_path, monkeypatch):
    tiny.write(str(tmp_path), 3, 2)
    monkeypatch.setattr(data_utils, 'MEMORY_LIMIT', 0)
    (tmp_path / 'other').mkdir()
    for half in ('train', 'test'):
        _chunked(str(tmp_path / '{}_{}.hdf5'.format(tiny.STEM, half)),
                 str(tmp_path / 'other' / 'a_{}.hdf5'.format(half)))

    def opened(half):
        return data_utils.Set(str(tmp_path / 'other' / 'a_{}.hdf5'.format(half)), 16,
                              cache=str(tmp_path / 'cache'))

    assert [len(opened(half)) for half in ('train', 'test')] == [3, 2]
    for half in ('train', 'test'):
        with h5py.File(str(tmp_path / 'other' / 'a_{}.hdf5'.format(half)), 'r') as stream:
            for row in range(2):
                np.testing.assert_array_equal(opened(half).points(row)[0], stream['points_16'][row])
    with h5py.File(str(tmp_path / 'other' / 'a_train.hdf5'), 'r+') as stream:
        stream['points_16'][0] = 7
    os.utime(str(tmp_path / 'other' / 'a_train.hdf5'), ns=(1, 1))   # older than the copy
    assert (opened('train').points(0)[0] == 7).all()


def test_a_given_file_serves_the_split_of_its_name(tmp_path):
    tiny.write(str(tmp_path), 3, 1)
    train, test = (str(tmp_path / '{}_{}.hdf5'.format(tiny.STEM, half))
                   for half in ('train', 'test'))
    assert data_utils.find(test, '', 'test') == test and data_utils.find(test, '', 'train') == train
    os.remove(train)
    with pytest.raises(errors.InputError, match='is the test split, and there is no tiny_'):
        data_utils.find(test, '', 'train')
    plain = str(tmp_path / '03001627_vox256.hdf5')
    shutil.copy(test, plain)
    assert data_utils.find(plain, '', 'train') == plain == data_utils.find(plain, '', 'test')


def test_of_several_sets_the_original_s_stem_is_taken(tmp_path):
    (tmp_path / 'data').mkdir()
    for name in ('a', 'b'):
        (tmp_path / 'data' / (name + '_test.hdf5')).write_bytes(b'')
    with pytest.raises(errors.InputError, match='several sets: a_test.hdf5, b_test.hdf5.*--datas'):
        data_utils.find(str(tmp_path), '', 'test')
    assert data_utils.find(str(tmp_path), 'b', 'test').endswith('b_test.hdf5')
    (tmp_path / 'data' / 'all_vox256_img_test.hdf5').write_bytes(b'')
    assert data_utils.find(str(tmp_path), '', 'test').endswith('all_vox256_img_test.hdf5')


def test_a_full_disk_while_copying_is_told_and_leaves_nothing(tmp_path):
    tiny.write(str(tmp_path), 8, 1)
    _chunked(str(tmp_path / (tiny.STEM + '_train.hdf5')), str(tmp_path / 'a_train.hdf5'))
    done = _in_a_process(
        'import resource, signal\n'
        'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n'
        'try:\n    data_utils.Set({!r}, 16, cache={!r})\n'
        'except data_utils.errors.InputError as error:\n    print(error)\n',
        str(tmp_path / 'a_train.hdf5'), str(tmp_path / 'cache'))
    assert 'cannot write' in done and not os.listdir(str(tmp_path / 'cache'))


def test_reading_copied_rows_takes_no_memory_of_their_size(tmp_path):
    with h5py.File(str(tmp_path / 'a_train.hdf5'), 'w') as stream:
        stream.create_dataset('voxels', (400, 64, 64, 64, 1), np.uint8, chunks=(40, 64, 64, 64, 1),
                              fillvalue=1)      # 100 MB
    done = _in_a_process(
        'split = data_utils.Set({!r}, cache={!r})\n'
        'def resident():\n'
        '    with open("/proc/self/status") as stream:\n'
        '        return int(stream.read().split("VmRSS:")[1].split()[0])\n'
        'split.voxels(0)\nbefore = resident()\n'
        'assert all(split.voxels(row).all() for row in range(400))\n'
        'print(resident() - before)\n', str(tmp_path / 'a_train.hdf5'), str(tmp_path / 'cache'))
    assert int(done.split()[-1]) < 20 << 10


def _in_a_process(code, *paths):
    """Output of a program of its own in which the limit of memory is 0."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    start = ('import sys; sys.path.insert(0, {!r})\nfrom imnet import data_utils\n'
             'data_utils.MEMORY_LIMIT = 0\n'.format(root))
    return subprocess.run([sys.executable, '-c', start + code.format(*paths)], check=True,
                          stdout=subprocess.PIPE).stdout.decode()


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
    split = data_utils.Set(path, 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for row in [0, count - 1] * 5:
        assert split.sample(row)[0].all()
    for row in range(1000, 1200):
        split.points(row)
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
    ('voxels', lambda data: data[:, :32], r'expected uint8 .shapes, 64, 64, 64, 1.'),
    ('points_16', lambda data: data[..., 0], r'"points_16" is .*expected uint8 .shapes, points, 3'),
    ('values_16', lambda data: data * 255, 'has the value 255; expected 0 and 1'),
    ('voxels', lambda data: data * 255, 'has the value 255; expected 0 and 1'),
    ('voxels', lambda data: data * 0, 'are empty. Leave it out')])
def test_bad_sets_are_told_by_what_is_wrong(path, name, function, message):
    _change(path, name, function)
    with pytest.raises(errors.InputError, match=message):
        data_utils.Set(path, 16).sample(0)


def test_pictures_of_another_size_are_refused(path):
    _change(path, 'pixels', lambda data: data[:, :, :128, :128])
    with pytest.raises(errors.InputError, match='"pixels" is .*shapes, views, 137, 137'):
        data_utils.Set(path, keys=('pixels',))


def test_names_may_have_blanks(path):
    with open(path[:-len('hdf5')] + 'txt', 'w') as stream:
        stream.write('ball/a b\nball/c\nball/d\n')
    assert data_utils.Set(path).names()[0] == 'ball/a b'


def test_a_truncated_file_is_told(path, tmp_path):
    cut = str(tmp_path / 'cut_train.hdf5')
    shutil.copy(path, cut)
    os.truncate(cut, os.path.getsize(path) // 2)
    with pytest.raises(errors.InputError, match='truncated'):
        data_utils.Set(cut, 16)
    with pytest.raises(errors.InputError, match='zs'):
        data_utils.read_codes(path)


def test_a_share_of_the_views_of_a_batch_is_read_alone_and_is_that_of_the_batch():
    class Pixels:
        """Views [7, 3, 137, 137] that note which shapes are read."""

        shape, read = (7, 3, 137, 137), []

        def __getitem__(self, place):
            self.read.append(place[0])
            return np.random.RandomState(place).randint(256, size=[137, 137]).astype(np.uint8)

    pixels, rows = Pixels(), [5, 0, 3, 6]
    whole = views.batch(pixels, rows, np.random.RandomState(1))
    assert pixels.read == rows
    for slots in ([0, 1], [2, 3]):
        del pixels.read[:]
        share = views.batch(pixels, rows, np.random.RandomState(1), slots=slots)
        assert pixels.read == [rows[slot] for slot in slots]
        np.testing.assert_array_equal(share, whole[slots])

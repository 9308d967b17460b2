"""Tests of vsl/data_utils.py: what it reads, and what it says about bad files."""
from unittest import mock

import h5py
import numpy as np
import pytest
import scipy.io

from common import errors
from vsl import data_utils


def write(path, key='train', count=4, change=None, images=None, dtype=np.float64, **options):
    """A set of `count` shapes; `change(array [27001, N])` spoils it."""
    rng = np.random.RandomState(0)
    rows = (rng.rand(data_utils.ROW, count) < 0.1).astype(dtype)
    rows[0] = 1 + np.arange(count) % 3
    if change:
        rows = change(rows)
    with h5py.File(str(path), 'a') as stream:
        stream.create_dataset(key, data=rows, **options)
        if images is not None:
            stream.create_dataset(key.replace('model', 'image'), data=images)
    return rows


@pytest.mark.parametrize('options', [{}, {'chunks': (27001, 1)}, {'chunks': (100, 7)},
                                     {'compression': 'gzip'}])
def test_rows_come_back_as_uint8_whatever_the_chunks(tmp_path, options, monkeypatch):
    monkeypatch.setattr(data_utils, '_BLOCK_BYTES', 50000)     # many blocks
    path = str(tmp_path / 'a.mat')
    rows = write(path, count=23, **options)
    split = data_utils.read_split(path, 'train')
    assert split.voxels.dtype == np.uint8
    np.testing.assert_array_equal(split.voxels, rows[1:].T)
    np.testing.assert_array_equal(split.labels, rows[0])


def spoiled(row, column, value):
    def change(rows):
        rows[row, column] = value
        return rows
    return change


@pytest.mark.parametrize('key, change, message', [
    ('other', None, r'no dataset "train" \(found: other\)'),
    ('train', lambda rows: rows[:-1], r'shape \(27000, 4\)'),
    ('train', lambda rows: rows.T, 'looks transposed'),
    ('train', lambda rows: rows[:, :0], 'no shapes'),
    ('train', spoiled(0, 2, 0), 'class id 0 in shape 2'),
    ('train', spoiled(0, 1, 1.5), r'class id 1.5 in shape 1'),
    ('train', spoiled(0, 1, np.nan), 'class id nan in shape 1'),
    ('train', lambda rows: spoiled(0, 1, 65536)(rows.astype(int)), 'from 1 to 65535'),
    ('train', spoiled(8, 3, 0.5), 'occupancy 0.5 in shape 3, cell 7'),
    ('train', spoiled(8, 3, np.nan), 'occupancy nan')])
def test_a_bad_set_is_refused_in_one_line_that_names_the_place(tmp_path, key, change, message):
    write(tmp_path / 'bad.mat', key, change=change)
    with pytest.raises(errors.InputError, match=message) as caught:
        data_utils.read_split(str(tmp_path / 'bad.mat'), 'train')
    assert 'bad.mat' in str(caught.value) and '\n' not in str(caught.value)


def test_a_truncated_file_and_one_of_another_kind_are_refused(tmp_path):
    whole = tmp_path / 'whole.mat'
    write(whole, compression='gzip')
    data = whole.read_bytes()
    for content in (data[:len(data) // 2], b'MATLAB 5.0 MAT-file' + bytes(500), b''):
        (tmp_path / 'cut.mat').write_bytes(content)
        with pytest.raises(errors.InputError, match='cut.mat'):
            data_utils.read_split(str(tmp_path / 'cut.mat'), 'train')


def test_a_set_that_says_to_hold_more_than_its_file_can_is_refused_before_it_is_read(tmp_path):
    path = str(tmp_path / 'a.mat')
    with h5py.File(path, 'w') as stream:
        stream.create_dataset('train', (data_utils.ROW, 1 << 34), np.uint8)     # none is there
    with pytest.raises(errors.InputError, match=r'a\.mat: "train" takes 422 TiB, more than the'):
        data_utils.read_split(path, 'train')


def test_damage_inside_a_dataset_is_told(tmp_path):
    path = tmp_path / 'a.mat'
    write(path, compression='gzip', chunks=(27001, 4))
    data = bytearray(path.read_bytes())
    data[len(data) // 2:len(data) // 2 + 200] = bytes(200)
    path.write_bytes(bytes(data))
    with pytest.raises(errors.InputError, match='a.mat'):
        data_utils.read_split(str(path), 'train')


@pytest.mark.parametrize('kind', [KeyError, RuntimeError, OSError])
def test_a_damaged_header_is_told_with_the_name_of_the_file(tmp_path, kind):
    write(tmp_path / 'a.mat')
    failure = mock.Mock(side_effect=kind('bad\nheader'))
    with mock.patch.object(h5py.File, '__getitem__', failure):
        with pytest.raises(errors.InputError, match='a.mat.* "train"'):
            data_utils.read_split(str(tmp_path / 'a.mat'), 'train')
    with mock.patch.object(h5py.AttributeManager, 'get', failure):
        with pytest.raises(errors.InputError, match='a.mat: "class_names" cannot be read'):
            data_utils.class_names(str(tmp_path / 'a.mat'), 3)


def test_images_keep_their_type_and_order(tmp_path):
    images = np.random.RandomState(0).randint(0, 256, [3, 100, 100, 4]).astype(np.uint8)
    write(tmp_path / 'a.mat', 'model_train', images=images)
    split = data_utils.read_split(str(tmp_path / 'a.mat'), 'train', images=True)
    assert split.images.dtype == np.uint8
    np.testing.assert_array_equal(split.images[2, 10, 20], images[:, 20, 10, 2])


@pytest.mark.parametrize('images, message', [
    (np.full([3, 100, 100, 4], np.nan), 'NaN'), (np.zeros([3, 100, 100, 3]), r'\(3, 100, 100, 4\)'),
    (None, 'no dataset "image_train"')])
def test_bad_images_are_refused(tmp_path, images, message):
    write(tmp_path / 'a.mat', 'model_train', images=images)
    with pytest.raises(errors.InputError, match=message):
        data_utils.read_split(str(tmp_path / 'a.mat'), 'train', images=True)


def test_what_is_written_is_read_again(tmp_path):
    rng = np.random.RandomState(0)
    split = data_utils.Split(rng.randint(0, 2, [3, 27000]).astype(np.uint8),
                             np.array([1, 300, 2], np.int32),
                             rng.randint(0, 255, [3, 100, 100, 3]).astype(np.uint8))
    path = str(tmp_path / 'a.mat')
    data_utils.write(path, {'train': split}, ['first', 'second'])
    for ours, theirs in zip(split, data_utils.read_split(path, 'train', images=True)):
        np.testing.assert_array_equal(ours, theirs)
    assert data_utils.class_names(path, 3) == ['first', 'second', 'class3']


def test_class_names_come_from_the_file_beside_or_from_the_known_sets(tmp_path):
    write(tmp_path / 'a.mat')
    write(tmp_path / 'PASCAL3D.mat')
    (tmp_path / 'classes.txt').write_text('brick\nplate\n')
    assert data_utils.class_names(str(tmp_path / 'a.mat'), 3) == ['brick', 'plate', 'class3']
    assert data_utils.class_names(str(tmp_path / 'PASCAL3D.mat'), 10)[1] == 'bike'
    write(tmp_path / 'ModelNet40_res30_raw.mat')
    names = data_utils.class_names(str(tmp_path / 'ModelNet40_res30_raw.mat'), 40)
    assert len(names) == 40 and names == sorted(names) and names[0] == 'airplane'


@pytest.mark.parametrize('attribute', [
    'chair\nsofa', np.array([b'chair', b'sofa']),
    np.array(['chair', 'sofa'], h5py.special_dtype(vlen=str))])
def test_class_names_of_the_file_may_be_lines_or_an_array(tmp_path, attribute):
    write(tmp_path / 'a.mat')
    with h5py.File(str(tmp_path / 'a.mat'), 'r+') as stream:
        stream.attrs['class_names'] = attribute
    assert data_utils.class_names(str(tmp_path / 'a.mat'), 3) == ['chair', 'sofa', 'class3']


@pytest.mark.parametrize('name, text', [
    ('n.txt', 'door frame\nwheel\n'), ('n.json', '["door frame", "wheel"]'),
    ('n.json', '{"02": {"id": "02", "name": "wheel"}, "01": {"id": "01", "name": "door frame"}}'),
    ('n.json', '{"10": "wheel", "2": "door frame"}')])
def test_class_names_may_be_given_in_a_file(tmp_path, name, text):
    write(tmp_path / 'PASCAL3D.mat')
    (tmp_path / name).write_text(text)
    assert data_utils.class_names(str(tmp_path / 'PASCAL3D.mat'), 3, str(tmp_path / name)) == [
        'door frame', 'wheel', 'class3']


@pytest.mark.parametrize('name, text', [
    ('n.json', '{'), ('n.json', '[{"id": 1}]'), ('n.txt', None), ('n.txt', 'chair\0\n'),
    ('n.txt', '\x1b[31mred\n'), ('n.txt', 'x' * 5000), ('n.json', '["a\\nb"]')])
def test_a_file_without_class_names_is_refused(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(errors.InputError, match='n.(json|txt).* a name a line'):
        data_utils.class_names('never.mat', 3, str(tmp_path / name))


def test_a_class_is_found_by_name_or_id_and_others_are_refused():
    names = ['chair', 'sofa']
    assert data_utils.class_id('sofa', names) == data_utils.class_id('2', names) == 2
    for wrong in ('bed', '0', '3'):
        with pytest.raises(errors.UsageError, match='chair, sofa'):
            data_utils.class_id(wrong, names)


def test_the_data_path_may_be_the_file_its_folder_or_the_parent(tmp_path):
    (tmp_path / 'dataset').mkdir()
    write(tmp_path / 'dataset' / 'b.mat')
    expected = str(tmp_path / 'dataset' / 'b.mat')
    for path in (tmp_path, tmp_path / 'dataset', expected):
        assert data_utils.find_file(str(path)) == expected
    write(tmp_path / 'dataset' / 'a.mat')
    assert data_utils.find_file(str(tmp_path), 'b.mat') == expected
    with pytest.raises(errors.InputError, match='a.mat, b.mat'):
        data_utils.find_file(str(tmp_path))
    with pytest.raises(errors.InputError, match='does not exist'):
        data_utils.find_file(str(tmp_path / 'no'))


def test_the_order_is_a_row_shuffle_by_the_same_generator_and_is_replayed_on_resume():
    rng = np.random.RandomState(5)
    rows = np.arange(20).reshape(10, 2)
    order, resumed = data_utils.Order(10, 5), data_utils.Order(10, 5)
    for epoch in range(3):
        rng.shuffle(rows)
        np.testing.assert_array_equal(order.at(epoch), rows[:, 0] // 2)
    np.testing.assert_array_equal(resumed.at(2), order.at(2))
    with pytest.raises(ValueError):
        order.at(1)


def test_augmentation_moves_and_mirrors_by_seed_epoch_and_row_alone():
    grid = np.zeros([30, 30, 30], np.uint8)
    grid[10:15, 12:14, 20:28] = 1
    voxels = np.repeat(grid.reshape(1, -1), 8, axis=0)
    rows = np.arange(8)
    first = data_utils.augmented(voxels, 0, 3, rows, shift=2, mirror_axes=(0,))
    np.testing.assert_array_equal(
        first[5:6], data_utils.augmented(voxels[:1], 0, 3, [5], shift=2, mirror_axes=(0,)))
    assert (first.sum(axis=1) == grid.sum()).all()
    corners = {tuple(np.argwhere(row.reshape(30, 30, 30)).min(axis=0)) for row in first}
    assert len(corners) > 4
    assert all(10 <= y <= 14 and 18 <= z <= 22 for _, y, z in corners)
    np.testing.assert_array_equal(data_utils.augmented(voxels, 0, 3, rows), voxels)
    both = data_utils.augmented(voxels, 0, 0, rows, mirror_axes=(0, 1)).reshape(-1, 30, 30, 30)
    wanted = [np.flip(grid, axes) for axes in ((), (0,), (1,), (0, 1))]
    assert {row.tobytes() for row in both} == {row.tobytes() for row in wanted}


def test_too_few_shapes_for_a_batch_are_told():
    with pytest.raises(errors.InputError, match='smaller --batch_size'):
        data_utils.require_batch(3, 4, 'a.mat', 'shapes')


def test_two_sets_of_matlab_5_are_open_at_once(tmp_path):
    rows = np.zeros([3, data_utils.ROW], np.uint8)
    rows[:, 0] = 1, 2, 2
    scipy.io.savemat(str(tmp_path / 'old.mat'), {'train': rows})
    streams = [data_utils._open(str(tmp_path / 'old.mat')) for _ in range(2)]
    for stream in streams:
        np.testing.assert_array_equal(stream['train'][:], rows.T)

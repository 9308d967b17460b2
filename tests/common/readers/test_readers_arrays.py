"""NumPy's files and archives from outside."""
import glob
import io
import os
import zipfile

import numpy as np
import pytest

from common import errors
from common.readers import archives, arrays, limits

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'field_cases')
ALL = arrays.NUMBERS + arrays.TEXT


def _refused(function, path, match=None):
    with pytest.raises(errors.InputError, match=match) as caught:
        function(path)
    assert len(str(caught.value)) <= 290 and os.path.basename(path) in str(caught.value)


@pytest.mark.parametrize('array', [
    np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.array(2.5), np.zeros([0, 3]),
    np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(3, dtype='>i2'), np.array([True]),
    np.array(['a', 'bcé']), np.array([b'x', b'yz']), np.array([1 + 2j]),
    np.array([], 'U5')], ids=str)
def test_arrays_are_what_was_saved(tmp_path, array):
    path, packed = str(tmp_path / 'a.npy'), str(tmp_path / 'a.npz')
    np.save(path, array)
    np.savez_compressed(packed, a=array, b=array)
    for actual in (arrays.read(path, ALL), arrays.read_archive(packed)['b']):
        assert actual.dtype == array.dtype and actual.shape == array.shape
        np.testing.assert_array_equal(actual, array)
        assert actual.flags.writeable


def test_every_version_of_the_header_and_python_2s_is_read(tmp_path):
    path = str(tmp_path / 'a.npy')
    for version in ((1, 0), (2, 0), (3, 0)):
        stream = io.BytesIO()
        write = (np.lib.format.write_array_header_1_0 if version == (1, 0)
                 else np.lib.format.write_array_header_2_0)
        write(stream, {'descr': '<f4', 'fortran_order': False, 'shape': (2,)})
        header = bytearray(stream.getvalue())
        header[6] = version[0]
        with open(path, 'wb') as out:
            out.write(bytes(header) + np.ones(2, '<f4').tobytes())
        assert arrays.read(path).tolist() == [1, 1]
    header = b"{'shape': (2L,), 'fortran_order': False, 'descr': '<f4', }\n"
    with open(path, 'wb') as out:
        out.write(b'\x93NUMPY\1\0' + len(header).to_bytes(2, 'little') + header + bytes(8))
    assert arrays.read(path).shape == (2,)


@pytest.mark.parametrize('old, new', [
    (b'(2, 3), ', b'(9, 9), '), (b'(2, 3), ', b'(99999999999, 9), '), (b'(2, 3), ', b'((((((, '),
    (b'(2, 3), ', b'(-2, 3), '), (b'(2, 3), ', b'(2.0, 3), '), (b'<f4', b'|O4'), (b'<f4', b'<V4'),
    (b'<f4', b'<M8'), (b'<f4', b'<x4'), (b'<f4', b'<f3'), (b'<f4', b'U0'), (b'False', b'F+/e'),
    (b"'descr'", b"'descx'"), (b"{'", b'((('), (b'}', b' '), (b'\x93NUMPY', b'\x93NUMPX'),
    (b'\1\0', b'\7\0'), (b"'<f4'", b"b'<f4'"), (b"'<f4'", b"[('a', '<f4')]"),
    (b'(2, 3), ', b'(2, ' + b'1, ' * 40 + b'3), '), (b'(2, 3), ', b'(0, 99999999999999999999), ')])
def test_damaged_headers_are_refused(tmp_path, old, new):
    path = tmp_path / 'a.npy'
    np.save(str(path), np.zeros([2, 3], np.float32))
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    _refused(arrays.read, str(path))
    (tmp_path / 'a.npz').write_bytes(_archive({'a.npy': path.read_bytes()}))
    _refused(arrays.read_archive, str(tmp_path / 'a.npz'))


def _archive(members, kind=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_archives_that_lead_out_or_grow_are_refused_before_they_are_unpacked(tmp_path):
    path = tmp_path / 'a.npz'
    for name in ('../a.npy', '/a.npy', 'x/../../a.npy', 'C:/a.npy', '..\\a.npy'):
        path.write_bytes(_archive({name: _saved(np.zeros(2))}))
        _refused(arrays.read_archive, str(path), 'leads out of it')
    data = bytearray(_archive({'a.npy': _saved(np.zeros(2))}))
    entry = data.index(b'PK\1\2')
    data[entry + 24:entry + 28] = b'\xff\xff\xff\x7f'     # its size in the list
    path.write_bytes(bytes(data))
    _refused(arrays.read_archive, str(path), 'takes 2 GiB, more than the 512 MiB')
    path.write_bytes(_archive({'a.npy': _saved(np.zeros(2))}, zipfile.ZIP_BZIP2))
    _refused(arrays.read_archive, str(path), 'packed by method')
    path.write_bytes(_archive({'a.txt': b'x'}))
    _refused(arrays.read_archive, str(path), 'without arrays')
    path.write_bytes(b'PK\3\4' + bytes(50))
    _refused(arrays.read_archive, str(path), 'as an .npz file')


def test_a_limit_may_be_given_and_grows_with_the_file(tmp_path):
    path = str(tmp_path / 'a.npz')
    np.savez_compressed(path, a=np.zeros(10000))
    with pytest.raises(errors.InputError, match='takes 78.2 KiB, more than the 9.77 KiB'):
        arrays.read_archive(path, most=10000)
    np.savez(path, a=np.zeros(10000))
    assert arrays.read_archive(path, most=10000)['a'].shape == (10000,)
    assert limits.unpacked(1 << 30) == 16 << 30 and limits.unpacked(5) == 512 << 20


def test_only_what_is_wanted_is_read(tmp_path):
    path = str(tmp_path / 'a.npz')
    np.savez(path, a=np.zeros(2), b=np.array(['x']), c=np.array([None]))
    assert list(arrays.read_archive(path, names=['a', 'z'])) == ['a']
    assert sorted(arrays.read_archive(path, leave_out=['c'])) == ['a', 'b']
    with pytest.raises(errors.InputError, match='member b.npy: it holds .*U1'):
        arrays.read_archive(path, names=['b'], kinds=arrays.NUMBERS)
    with pytest.raises(errors.InputError, match='several arrays'):
        arrays.read(path)


def test_text_and_flags_that_are_none_do_not_come_through(tmp_path):
    path = tmp_path / 'a.npy'
    np.save(str(path), np.array(['ab']))
    path.write_bytes(path.read_bytes()[:-4] + b'\xff\xff\xff\x7f')
    _refused(lambda one: arrays.read(one, ALL), str(path), 'text that is none')
    np.save(str(path), np.array([True, False]))
    path.write_bytes(path.read_bytes()[:-2] + b'\7\0')
    actual = arrays.read(str(path))
    assert actual.view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize('path', sorted(glob.glob(os.path.join(CASES, 'damaged', '*.np?'))),
                         ids=os.path.basename)
def test_damaged_files_of_the_field_are_refused(path):
    _refused(arrays.read if path.endswith('.npy') else arrays.read_archive, path)


def test_members_are_read_whole_and_checked(tmp_path):
    path = tmp_path / 'a.zip'
    path.write_bytes(_archive({'x/data.bin': b'abc' * 1000}, zipfile.ZIP_STORED))
    with archives.opened(str(path)) as archive:
        assert archive.sizes == {'x/data.bin': 3000} and archive.read('x/data.bin')[:3] == b'abc'
    path.write_bytes(path.read_bytes().replace(b'abcabc', b'abcabd', 1))
    with pytest.raises(errors.InputError, match='its member x/data.bin: Bad CRC-32'):
        with archives.opened(str(path)) as archive:
            archive.read('x/data.bin')

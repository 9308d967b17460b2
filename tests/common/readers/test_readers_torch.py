"""Files of torch.save from outside."""
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from cmr.src.utils import torch_writer
from common import errors
from common.readers import pickled, torch_file

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'field_cases')


@pytest.mark.parametrize('name', ['numpy2_scalar', 'namespace', 'module_prefix'])
def test_weights_beside_other_objects_are_read(name):
    value = torch_file.read(os.path.join(CASES, 'torch', name + '.pt'))
    weights, notes = torch_file.weights(value)
    with np.load(os.path.join(CASES, 'torch', 'expected.npz')) as expected:
        assert list(weights['graph_cnn']) == expected.files
        for key in expected.files:
            np.testing.assert_array_equal(weights['graph_cnn'][key], expected[key])
            assert weights['graph_cnn'][key].dtype == expected[key].dtype
    assert notes == (['prefix "module." taken off'] if name == 'module_prefix' else [])
    if name == 'numpy2_scalar':
        assert weights['epoch'] == 3 and round(float(weights['best']), 1) == 50.1
    if name == 'namespace':
        assert isinstance(weights['options'], pickled.Stub)


def test_wrappers_are_taken_off():
    array = np.zeros(2)
    for value, expected, count in (
            ({'a': array}, {'a': array}, 0),
            ({'state_dict': {'a': array}, 'epoch': 3}, {'a': array}, 1),
            ({'model': {'state_dict': {'module.a': array}}}, {'a': array}, 3),
            ({'model._orig_mod.a': array}, {'a': array}, 2),
            ({'backbone.a': array}, {'a': array}, 1),
            ({'layers.a': array}, {'layers.a': array}, 0),
            ({'module.a': array, 'b': array}, {'module.a': array, 'b': array}, 0),
            ({'net': {'a': array}, 'b': array}, {'net': {'a': array}, 'b': array}, 0)):
        result, notes = torch_file.weights(value)
        assert result == expected and len(notes) == count
    for value in ([1], 3, pickled.Stub('net.Net')):
        with pytest.raises(ValueError, match='expected named weights; save them by torch.save'):
            torch_file.weights(value)


def test_views_that_pytorch_computes_late_have_the_values_that_it_shows():
    weights = torch_file.read(os.path.join(CASES, 'torch', 'late_views.pt'))
    # torch.load(...) prints these; the file holds 1, 2, 5 and the numbers before conjugation.
    np.testing.assert_array_equal(weights['negative'], [-1, -2, -5])
    np.testing.assert_array_equal(weights['conjugate'], [1 - 2j, 3 + 4j])
    np.testing.assert_array_equal(weights['imaginary'], [-2, 4])


def test_files_that_are_whole_but_of_another_kind_are_not_to_be_got_anew(tmp_path):
    head = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    for data, match in ((len(head).to_bytes(8, 'little') + head + bytes(4), 'file of safetensors'),
                        (_archive(_tensor(b'QInt8Storage', 2, (2,), (1,)), s0=b'\1\2'),
                         'QInt8Storage, which is not read; save the weights as float32')):
        path = tmp_path / 'a.pt'
        path.write_bytes(data)
        with pytest.raises(errors.InputError, match=match) as caught:
            torch_file.read(str(path))
        assert 'anew' not in str(caught.value)


def _archive(data, **storages):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('archive/data.pkl', data)
        for key, content in storages.items():
            archive.writestr('archive/data/' + key.lstrip('s'), content)
    return stream.getvalue()


def _tensor(kind, count, size, stride, offset=0):
    """The pickle of a tensor, as PyTorch writes it."""
    def tuple_of(values):
        return b'(' + b''.join(b'J' + value.to_bytes(4, 'little', signed=True)
                               for value in values) + b't'

    return (b'\x80\2ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n' + kind
            + b'\nX\1\0\0\0' + b'0X\3\0\0\0cpuJ' + count.to_bytes(4, 'little') + b'tQJ'
            + offset.to_bytes(4, 'little') + tuple_of(size) + tuple_of(stride)
            + b'\x89ccollections\nOrderedDict\n)RtR.')


@pytest.mark.parametrize('kind, raw, expected', [
    (b'BFloat16Storage', b'\x80\x3f\x20\xc0', [1., -2.5]),
    (b'HalfStorage', np.array([1, -2.5], '<f2').tobytes(), [1, -2.5]),
    (b'BoolStorage', b'\1\0', [True, False]), (b'LongStorage', np.arange(2).tobytes(), [0, 1]),
    (b'ComplexFloatStorage', np.array([1j, 2], '<c8').tobytes(), [1j, 2])])
def test_kinds_of_storages(tmp_path, kind, raw, expected):
    path = tmp_path / 'a.bin'     # told by content, not by name
    path.write_bytes(_archive(_tensor(kind, 2, [2], [1]), s0=raw))
    result = torch_file.read(str(path))
    assert result.tolist() == expected
    if kind == b'BFloat16Storage':
        assert result.dtype == np.float32


@pytest.mark.parametrize('size, stride, offset', [
    ([3], [1], 0), ([2], [2], 0), ([2], [1], 1), ([1 << 30], [0], 0), ([-1], [1], 0),
    ([2], [-1], 0), ([2, 2], [1], 0), ([1 << 30, 1 << 30], [0, 0], 0)])
def test_tensors_that_leave_their_storage_are_refused(tmp_path, size, stride, offset):
    path = tmp_path / 'a.pt'
    path.write_bytes(_archive(_tensor(b'FloatStorage', 2, size, stride, offset), s0=bytes(8)))
    with pytest.raises(errors.InputError, match='a.pt cannot be read as a file of torch.save'):
        torch_file.read(str(path))


def test_archives_without_their_parts_are_refused(tmp_path):
    path = tmp_path / 'a.pt'
    for data, match in (
            (_archive(_tensor(b'FloatStorage', 2, [2], [1])), 'storage 0 is missing'),
            (_archive(_tensor(b'FloatStorage', 2, [2], [1]), s0=bytes(4)), 'cut short in stor'),
            (_archive(_tensor(b'QInt8Storage', 2, [2], [1]), s0=bytes(4)), 'a storage of'),
            (_archive(b'\x80\2X\1\0\0\0aQ.'), 'save the weights alone'),
            (b'hello world', 'begins as none does'), (pickle.dumps({'a': 1}), 'something else'),
            (b'\x80\2' + b'\x85' * 9, 'torch.save'),
            (b'version https://git-lfs.github.com/spec/v1', 'git lfs pull')):
        path.write_bytes(data)
        with pytest.raises(errors.InputError, match=match) as caught:
            torch_file.read(str(path))
        assert len(str(caught.value)) <= 290


def test_what_is_written_is_read(tmp_path):
    path = str(tmp_path / 'a.pt')
    shared = np.arange(6, dtype=np.float32).reshape(2, 3).T
    torch_writer.write(path, {'a': shared, 'n': np.array(4),
                              'deep': {'b': [np.zeros([0, 2]), 1.5]}})
    result = torch_file.read(path)
    np.testing.assert_array_equal(result['a'], shared)
    empty, number = result['deep']['b']
    assert result['n'] == 4 and empty.shape == (0, 2) and number == 1.5
    assert result['a'].flags.writeable


def test_tensors_that_share_a_storage_are_bounded(tmp_path):
    one = _tensor(b'FloatStorage', 2, [2], [1])[2:-1]
    path = tmp_path / 'a.pt'
    path.write_bytes(_archive(b'\x80\2(' + one * 2 + b't.', s0=bytes(8)))
    assert len(torch_file.read(str(path))) == 2
    path.write_bytes(_archive(b'\x80\2(' + one * 30 + b't.', s0=bytes(8)))
    with pytest.raises(errors.InputError, match='its tensors take more than their storages'):
        torch_file.read(str(path))

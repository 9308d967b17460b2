"""Pickles from outside: what comes out is what was saved, and nothing is ever run."""
import argparse
import collections
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse

from common import errors
from common.readers import arrays, pickled, pickles, unpickler

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'field_cases')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(CASES)))
MATRIX = np.array([[1., 0, 2, 0], [0, 0, 3.5, 0], [0, -4, 0, 0], [0, 0, 0, 0], [5, 0, 0, 6],
                   [0, 7, 0, 0]])


def loaded(data, **options):
    return pickles.load(data, 'x.pkl', **options)


def refused(data, match=None, **options):
    with pytest.raises(errors.InputError, match=match) as caught:
        loaded(data, **options)
    message = str(caught.value)
    assert len(message) <= 290 and 'x.pkl' in message and message.isprintable()


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_numbers_are_what_was_pickled(protocol):
    value = {'list': [1, -2.5, None, True, False, 1 << 70, 'text', b'\x00\xff', b''],
             'tuples': ((), (1,), (1, 2), (1, 2, 3), (1, (2, (3, 4, 5)))), 3: {1, 'a'},
             'frozen': frozenset([1]), 'complex': 1 + 2j, 'empty': [[], {}, set()]}
    result = loaded(pickle.dumps(value, protocol))
    assert result == value and [type(one) for one in result['list']] == [
        type(one) for one in value['list']]


@pytest.mark.parametrize('kind', ['csc', 'csr', 'coo', 'bsr', 'dia', 'lil', 'dok'])
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_sparse_matrices_of_every_format_are_read(kind, protocol):
    matrix = getattr(scipy.sparse, kind + '_matrix')(MATRIX)
    result = loaded(pickle.dumps({'m': matrix}, protocol))['m']
    assert scipy.sparse.issparse(result) and result.shape == (6, 4)
    np.testing.assert_array_equal(result.toarray(), MATRIX)


@pytest.mark.parametrize('change', [
    {'indices': np.array([9, 0, 0])}, {'indices': np.array([-1, 0, 0])},
    {'indptr': np.array([0, 2, 1, 3])}, {'indptr': np.array([0, 1])}, {'shape': (1 << 40, 3)},
    {'shape': (3,)}, {'data': np.array(['a', 'b', 'c'])}, {'indices': None}, {'indptr': 'x'}])
def test_sparse_matrices_that_make_no_sense_are_refused(change):
    matrix = scipy.sparse.csr_matrix(np.eye(3))
    state = dict(data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, shape=(3, 3))
    state.update(change)
    stream = io.BytesIO()
    stream.write(b'\x80\2cscipy.sparse.csr\ncsr_matrix\n)\x81')
    stream.write(pickle.dumps(state, 2)[2:-1] + b'b.')
    refused(stream.getvalue(), 'a sparse matrix')


@pytest.mark.parametrize('name', ['plain', 'select', 'expression'])
def test_bodies_saved_by_chumpy_are_read(name):
    fields = pickles.read(os.path.join(CASES, 'smpl', 'chumpy_{}.pkl'.format(name)))
    with np.load(os.path.join(CASES, 'smpl', 'expected.npz')) as expected:
        for key in expected.files:
            result = pickles.plain(fields[key], 'x', key)
            result = result.toarray() if scipy.sparse.issparse(result) else result
            np.testing.assert_array_equal(result, expected[key])
    if name == 'expression':
        with pytest.raises(errors.InputError, match='J is chumpy.ch_ops.dot, expected an array'):
            pickles.plain(fields['J'], 'x', 'J')


def _chumpy(kind, **state):
    stub = pickled.Stub('chumpy.' + kind)
    stub.state = state
    return stub


def test_reshapes_and_transpositions_of_arrays_are_arrays():
    inner = _chumpy('ch.Ch', x=np.arange(6).reshape(2, 3))
    for stub, expected in (
            (_chumpy('reordering.reshape', a=inner, newshape=(3, 2)), [[0, 1], [2, 3], [4, 5]]),
            (_chumpy('reordering.transpose', a=inner, axes=None), [[0, 3], [1, 4], [2, 5]]),
            (_chumpy('reordering.ravel', a=inner), [0, 1, 2, 3, 4, 5]),
            (_chumpy('reordering.Select', a=inner, idxs=np.array([5, 0]), preferred_shape=(2, 1)),
             [[5], [0]])):
        assert pickles.plain(stub, 'x', 'a').tolist() == expected
    for state in ({'idxs': np.array([6])}, {'idxs': np.array([0]), 'preferred_shape': (2,)}, {}):
        with pytest.raises(errors.InputError, match='x: a cannot be read as an array'):
            pickles.plain(_chumpy('reordering.Select', a=inner, **state), 'x', 'a')


def test_pickles_of_numpy_2_and_of_protocol_5_are_read():
    result = pickles.read(os.path.join(CASES, '00001_body.pkl'))
    assert result['pose'].shape == (72,) and result['betas'].shape == (10,)
    # pickle.dumps(np.arange(3.), 5) of NumPy 2 on Python 3.8 and later
    data = (b'\x80\x05\x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94'
            b'\x93\x94(\x96\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xf0?\0\0\0\0\0\0\0@\x94'
            b'\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02f8\x94\x89\x88\x87\x94R\x94(K\x03'
            b'\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t\x94bK\x03\x85\x94\x8c\x01C'
            b'\x94t\x94R\x94.')
    result = loaded(data)
    assert result.dtype == np.float64 and result.tolist() == [0, 1, 2]
    refused(data.replace(b'\x8c\x02f8', b'\x8c\x02O8'))
    refused(b'\x80\5\x97.', 'lie outside of it')
    refused(b'\x80\6N.', 'protocol 6 is not known')


def test_records_dates_and_raw_bytes_are_refused():
    for array in (np.zeros(2, [('a', 'f4')]), np.zeros(2, 'M8[s]'), np.zeros(2, 'V8')):
        refused(pickle.dumps(array, 2))


def test_what_is_read_may_be_written_to():
    result = loaded(pickle.dumps(np.zeros(3)))
    result += 1
    assert type(result) is np.ndarray and result.tolist() == [1, 1, 1]


class Call:
    """Pickles into a call."""

    def __init__(self, *call):
        self._call = call

    def __reduce__(self):
        return self._call[0], self._call[1:]


def _name(module, name):
    return 'c{}\n{}\n'.format(module, name).encode()


HOSTILE = {
    'system': _name('posix', 'system') + b'(X\6\0\0\0exit 9tR.',
    'eval': _name('__builtin__', 'eval') + b'(X\3\0\0\0a+btR.',
    'inst': b'(X\4\0\0\0trueiposix\nsystem\n.',
    'obj': b'(' + _name('os', 'system') + b'X\4\0\0\0trueo.',
    'getattr': _name('builtins', 'getattr') + b'(' + _name('os', 'path') + b'X\4\0\0\0jointR.',
    'pickle': _name('pickle', 'loads') + b'(C\2N.tR.',
    'import': _name('importlib', 'import_module') + b'(X\2\0\0\0ostR.',
    'build on a function': _name('numpy.core.multiarray', '_reconstruct')
        + b'N}X\x0c\0\0\0__defaults__(K\1ts\x86b.',
    'build on a class': _name('numpy', 'dtype') + b'}X\1\0\0\0aK\1sb.',
    'build on a list': b']}X\1\0\0\0aK\1sb.',
    'call of an object': b']N\x85R.', 'call of a call': _name('a', 'b') + b')R)R.',
    'extension': b'\x82\1.', 'persistent': b'Pid\n.',
    'next buffer': b'\x97.',
    'array of addresses': pickle.dumps(np.array([1, None], object), 2).replace(
        b']q\x11(K\1Ne', b'X\x10\0\0\0' + b'A' * 16),
    'ndarray called': _name('numpy', 'ndarray') + b'(K\1\x85tR.',
    'raw dtype': _name('numpy', 'dtype') + b'(X\2\0\0\0V8K\0K\1tR.',
    'subarray of objects': _name('numpy', 'dtype') + b'(X\2\0\0\0V8K\0K\1tR(K\3X\1\0\0\0|'
        + _name('numpy', 'dtype') + b'(X\2\0\0\0O8K\0K\1tRK\1\x85\x86NNK\x08K\1K?tb.',
    'huge shape': pickle.dumps(np.zeros(3), 2).replace(b'K\3\x85', b'\x8a\x08' + b'\xff' * 7
                                                       + b'\x7f\x85'),
    'number of a million digits': b'I' + b'9' * 1000000 + b'\n.',
    'long of a million digits': b'L' + b'9' * 1000000 + b'L\n.',
    'long of many bytes': b'\x8b\x00\x10\x00\x00' + b'\x7f' * 4096 + b'.',
    'place of a million digits': b'Np' + b'1' * 1000000 + b'\n.',
    'set of equal hashes': b'(' + b''.join(b'\x8a\x10' + (number * ((1 << 61) - 1)).to_bytes(
        16, 'little') for number in range(50000)) + b'l' + b'0c__builtin__\nset\n(('
        + b'K\1' * 50000 + b'ltR.',
    'frozen set of many values': b'(' + b'K\1' * 50000 + b'\x91.',
    'tuples that double': b')' + b'2\x86' * 59 + b'}' + b'X\1\0\0\0a0.',
    'key of tuples that double': b'}K\1\x85' + b'2\x86' * 50 + b'Ns.',
    'text that is longer than the file': b'X\xff\xff\xff\x7fabc.',
    'bytes that are longer than the file': b'\x8e' + b'\xff' * 7 + b'\x7fabc.',
    'frame that is longer than the file': b'\x80\4\x95' + b'\xff' * 7 + b'\x7fN.',
    'bytearray of a size': _name('builtins', 'bytearray') + b'J\xff\xff\xff\x7f\x85R.',
    'bytes of a size': _name('builtins', 'bytes') + b'J\xff\xff\xff\x7f\x85R.',
    'list of text': _name('builtins', 'list') + b'X\3\0\0\0abc\x85R.',
    'nothing': b'', 'no pickle': b'hello world', 'no end': b'N', 'empty stack': b'.',
    'mark alone': b'(.', 'no mark': b't.', 'bad memo': b'g7\n.', 'odd items': b'}(K\1u.',
    'unhashable': b'}]K\1s.', 'puts into a tuple': b')K\1K\2s.', 'adds to text': b'X\1\0\0\0aK\1a.'}


@pytest.mark.parametrize('name', sorted(HOSTILE))
def test_hostile_pickles_are_refused(name):
    refused(b'\x80\3' + HOSTILE[name] if HOSTILE[name][:1] != b'\x80' else HOSTILE[name])


def test_calls_run_nothing(tmp_path):
    trap = tmp_path / 'trap'
    for call in (Call(os.mkdir, str(trap)), Call(open, str(trap), 'w'),
                 Call(subprocess.call, ['touch', str(trap)]), Call(eval, '1'),
                 Call(exec, 'open({!r}, "w")'.format(str(trap)))):
        refused(pickle.dumps({'a': call}, 2), 'is not allowed')
    assert not trap.exists()


def test_objects_of_other_packages_are_left_aside(tmp_path):
    value = {'options': argparse.Namespace(lr=0.1, when=np.zeros(3)), 'weights': np.ones(2),
             'log': [collections.Counter('aab'), Call(os.path.join, 'a')]}
    data = pickle.dumps(value, 2).replace(b'posixpath', b'otherpath')
    result = loaded(data)
    assert isinstance(result['options'], pickled.Stub) and result['weights'].tolist() == [1, 1]
    assert result['log'][0] == {'a': 2, 'b': 1} and isinstance(result['log'][1], pickled.Stub)
    assert repr(result['options']) == 'argparse.Namespace'


@pytest.mark.parametrize('one, most', [(b'\x85', 200000), (b'\x85', 70), (b'l', 70), (b'd', 3)])
def test_deep_containers_are_refused(one, most):
    if one == b'\x85':
        data = b')' + one * most + b'.'
    elif one == b'l':
        data = b'(' * most + b'l' * most + b'.'
    else:   # a list that gets deeper although each one is shallow when it is put in
        data = b']q\0' + b''.join(b'h' + bytes([number]) + b']q' + bytes([number + 1]) + b'a0'
                                  for number in range(100)) + b'h\0.'
    refused(b'\x80\2' + data, 'deep|damaged|nested')


def test_keys_that_are_deep_tuples_do_not_end_the_process():
    refused(b'\x80\2})' + b'\x85' * 300000 + b'Ns.', 'nested more than 60 deep')


def test_lists_that_double_by_reference_are_refused():
    data = b'\x80\2]q\0' + b''.join(b'](h' + bytes([number]) + b'h' + bytes([number]) + b'eq'
                                    + bytes([number + 1]) for number in range(40)) + b'.'
    refused(data, 'stands for more than 1000000 values')


def test_what_holds_itself_is_refused():
    cyclic = []
    cyclic.append(cyclic)
    refused(pickle.dumps(cyclic), 'holds itself')
    refused(b'\x80\2}q\0X\1\0\0\0ah\0s.', 'holds itself')


def test_arrays_that_share_their_bytes_are_bounded():
    array = np.zeros(1 << 20, np.uint8)
    one = pickle.dumps(array, 3)[2:-1]
    first = one.index(b'B\0\0\x10\0')
    data = b'\x80\3](' + one[:first] + one[first:first + 5 + (1 << 20)] + b'r\0\1\0\0' + (
        one[first + 5 + (1 << 20) + 2:]) + (one[:first] + b'j\0\1\0\0'
                                            + one[first + 5 + (1 << 20) + 2:]) * 40 + b'e.'
    assert len(loaded(data)) == 41
    reader = unpickler.Unpickler(unpickler.Bounded(io.BytesIO(data), len(data)),
                                 unpickler.KNOWN, None, 8 << 20)
    with pytest.raises(pickle.UnpicklingError, match='more memory than such a file may'):
        reader.load()


def test_bytes_made_of_the_same_text_are_bounded():
    text = b'X' + (1 << 20).to_bytes(4, 'little') + b'a' * (1 << 20) + b'q\0'
    data = b'\x80\2(c_codecs\nencode\nq\1(' + text + b'tR' + b'h\1(h\0tR' * 900 + b'l.'
    refused(data, 'more than|more memory')


def test_very_many_values_are_refused():
    refused(b'\x80\2](' + b'N' * 1100000 + b'e.', 'more than 1000000 values')


def test_a_stream_is_left_behind_the_pickle():
    stream = io.BytesIO(pickle.dumps(1) + pickle.dumps([2]) + b'rest')
    assert loaded(stream) == 1 and loaded(stream) == [2] and stream.read() == b'rest'


def test_arrays_of_objects_of_numpys_files_are_read(tmp_path):
    listed = np.empty([2], object)
    listed[:] = [np.arange(3.), np.zeros([2, 2], np.float32)]
    np.save(str(tmp_path / 'a.npy'), listed, allow_pickle=True)
    np.savez(str(tmp_path / 'a.npz'), w=listed, n=np.arange(2))
    result = arrays.read(str(tmp_path / 'a.npy'), objects=pickles.objects)
    assert [one.shape for one in result] == [(3,), (2, 2)]
    result = arrays.read_archive(str(tmp_path / 'a.npz'), objects=pickles.objects)
    assert result['w'][0].tolist() == [0, 1, 2] and result['n'].tolist() == [0, 1]
    for read in (lambda: arrays.read(str(tmp_path / 'a.npy')),
                 lambda: arrays.read_archive(str(tmp_path / 'a.npz'))):
        with pytest.raises(errors.InputError, match='it holds dtype'):
            read()


def test_no_input_ends_the_process():
    """The forms that ended it with signal 11 in other readers, in a process of their own."""
    program = ('from tests.common.readers import test_readers_pickles as t\n'
               'for name in sorted(t.HOSTILE):\n'
               '    try:\n        t.loaded(t.HOSTILE[name])\n'
               '    except t.errors.InputError:\n        pass\n'
               'import gc; gc.collect(); print("alive")')
    assert subprocess.check_output([sys.executable, '-c', program], cwd=ROOT) == b'alive\n'

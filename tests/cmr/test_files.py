"""Files from elsewhere: PyTorch's, SMPL's, mesh levels; nothing in them is ever run."""
import collections
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import scipy.sparse
import tensorflow.compat.v1 as tf

from cmr import make_template
from cmr.src.utils import body as body_lib
from cmr.src.utils import pth2ckpt, torch_weights, torch_writer
from common import errors
from common.readers import pickles, torch_file
from common.training import checkpoints
from tests.cmr import synthetic, tiny

# Written by PyTorch 1.7.1 in both formats from the same tensors; expected.npz by NumPy.
FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases')
FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'torch_files')


class Evil:
    """Pickles into a call that makes a file."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.mark.parametrize('name', ['row.pth', 'archive.pth'])
def test_files_of_pytorch_are_read(name):
    actual = torch_file.read(os.path.join(FILES, name))
    expected = np.load(os.path.join(FILES, 'expected.npz'))
    assert actual['epoch'] == 3 and actual['list'] == [1, 2.5, 'x', None, (1, 2)]
    assert list(actual['model']) == expected.files
    for key in expected.files:
        assert actual['model'][key].dtype == expected[key].dtype
        np.testing.assert_array_equal(actual['model'][key], expected[key])


def test_what_is_written_is_read_again(tmp_path):
    contents = {'a': np.arange(6, dtype=np.float32).reshape(2, 3).T, 'n': np.array(4),
                'deep': collections.OrderedDict([('b', [np.zeros((0, 2)), 'text', 1.5])])}
    path = str(tmp_path / 'x.pt')
    torch_writer.write(path, contents)
    actual = torch_file.read(path)
    np.testing.assert_array_equal(actual['a'], contents['a'])
    assert actual['n'].shape == () and actual['n'] == 4
    assert actual['deep']['b'][0].shape == (0, 2) and actual['deep']['b'][1:] == ['text', 1.5]


def test_what_belongs_to_the_optimizer_stays_out_of_a_file_for_pytorch(tmp_path):
    kernel = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    values = {'graph_cnn.resnet.bn1.running_var': np.ones(3, np.float32),
              'graph_cnn.resnet.conv1.weight': kernel,
              'graph_cnn.resnet.conv1.weight/Adam': kernel, 'beta1_power': np.float32(0.9)}
    path = str(tmp_path / 'x.pt')
    with pytest.raises(errors.InputError, match='no weights of smpl_param_regressor'):
        torch_weights.export(values, path)
    values['smpl_param_regressor.layers.3.bias'] = np.zeros(2, np.float32)
    torch_weights.export(values, path)
    actual = torch_file.read(path)
    assert set(actual['graph_cnn']) == {'resnet.bn1.running_var', 'resnet.bn1.num_batches_tracked',
                                        'resnet.conv1.weight'}
    assert actual['graph_cnn']['resnet.conv1.weight'].shape == (4, 3, 1, 2)
    assert list(actual['smpl_param_regressor']) == ['layers.3.bias']
    back = torch_weights.read(path)
    np.testing.assert_array_equal(back['graph_cnn.resnet.conv1.weight'], kernel)


def _encoder():
    """A small array under each name of a ResNet-50 of PyTorch."""
    return {name[len(torch_weights.ENCODER):]: np.full(
        [4, 3, 2, 1] if 'conv' in name or 'downsample.0' in name else [4], number, np.float32)
            for number, name in enumerate(torch_weights.encoder_names())}


def _renamed_encoder():
    return {'stem.' + name: value for name, value in _encoder().items()}


def test_files_of_pytorch_are_known_by_what_is_in_them(tmp_path, capsys):
    for file_name in ('x.pth', 'x.pth.tar', 'pytorch_model.bin', 'last.ckpt'):
        path, ckpt = str(tmp_path / file_name), str(tmp_path / 'ours' / 'encoder')
        torch_writer.write(path, {'state_dict': {}})
        assert torch_weights.is_torch(path)
    weights = {'module.' + name: value for name, value in _encoder().items()
               if not name.startswith('fc.')}
    torch_writer.write(path, {'state_dict': weights, 'epoch': 3})
    assert pth2ckpt.main(['--pth-path', path, '--ckpt-path', ckpt]) == 0
    out = capsys.readouterr().out
    assert 'taken out of "state_dict"' in out and 'prefix "module." taken off' in out
    names = set(torch_weights.encoder_names())
    assert set(checkpoints.read(ckpt)) == {name for name in names if '.fc.' not in name}
    assert not torch_weights.is_torch(ckpt)
    del weights['module.bn1.bias']
    weights['module.bn1.offset'] = np.zeros(4, np.float32)
    torch_writer.write(path, weights)
    assert pth2ckpt.main(['--pth-path', path, '--ckpt-path', str(tmp_path / 'other')]) == 1
    err = capsys.readouterr().err
    assert 'missing: graph_cnn.resnet.bn1.bias; unexpected: graph_cnn.resnet.bn1.offset' in err
    assert not [name for name in os.listdir(str(tmp_path)) if name.startswith('other')]


def test_weights_under_other_names_are_converted_by_a_table(tmp_path, capsys):
    path, table, ckpt = [str(tmp_path / name) for name in ('x.pth', 'names.json', 'out/x.ckpt')]
    theirs = _renamed_encoder()
    torch_writer.write(path, dict(theirs, inner={'a': np.zeros(1)}))
    table_of = {name: torch_weights.ENCODER + name[len('stem.'):] for name in theirs}
    arguments = ['--pth-path', path, '--ckpt-path', ckpt, '--dict-file', table]
    for names, message in ((table_of, ''),
                           (dict(table_of, **{'stem.conv1.weight': 'x'}), 'conv1.weight; unexp'),
                           (dict(list(table_of.items())[1:]), 'missing: graph_cnn.resnet.conv1'),
                           (['stem.weight'], 'no table'), ({'stem.weight': 3}, 'no table'),
                           ({'stem.bias': 'x'}, 'has no stem.bias'),
                           ({'inner': 'x'}, 'inner are no arrays')):
        with open(table, 'w', encoding='utf-8') as stream:
            json.dump(names, stream)
        assert pth2ckpt.main(arguments) == bool(message)
        assert message in capsys.readouterr().err
    contents = checkpoints.read(ckpt)
    assert set(contents) == set(torch_weights.encoder_names())
    assert contents['graph_cnn.resnet.conv1.weight'].shape == (2, 1, 3, 4)
    (tmp_path / 'file').write_text('')
    with open(table, 'w', encoding='utf-8') as stream:
        json.dump(table_of, stream)
    arguments[3] = str(tmp_path / 'file' / 'x.ckpt')
    assert pth2ckpt.main(arguments) == 1
    assert capsys.readouterr().err.startswith('error: cannot write ')


def test_a_conversion_leaves_the_memory_of_a_gpu_alone(tmp_path, monkeypatch):
    path = str(tmp_path / 'x.pth')
    torch_writer.write(path, _encoder())
    settings, session = [], tf.Session
    monkeypatch.setattr(tf, 'Session', lambda config=None: settings.append(config) or session())
    assert pth2ckpt.main(['--pth-path', path, '--ckpt-path', str(tmp_path / 'x.ckpt')]) == 0
    assert [one.device_count['GPU'] for one in settings] == [0]


def _row_with(value):
    stream = io.BytesIO()
    for part in (0x1950a86a20f9469cfc6c, 1001, {}, value, []):
        pickle.dump(part, stream, protocol=2)
    return stream.getvalue()


def _zip_with(value):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps(value, protocol=2))
    return stream.getvalue()


@pytest.mark.parametrize('make', [_row_with, _zip_with])
def test_a_malicious_file_of_pytorch_runs_nothing(make, tmp_path):
    trap, path = str(tmp_path / 'trap'), str(tmp_path / 'x.pth')
    with open(path, 'wb') as stream:
        stream.write(make({'state': Evil(trap)}))
    with pytest.raises(errors.InputError, match='mkdir, which is not allowed'):
        torch_file.read(path)
    assert not os.path.exists(trap)


def _forged(call):
    """A pickle of NumPy's that would take eight bytes for the address of an object."""
    def name(module, attribute):
        return 'c{}\n{}\n'.format(module, attribute).encode()

    dtype = (name('numpy', 'dtype') + b'(X\2\0\0\0O8K\0K\1tR(K\3X\1\0\0\0|NNNJ\xff\xff\xff\xff'
             b'J\xff\xff\xff\xffK\0tb')      # the last number: flags without "holds objects"
    address = b'C\10AAAAAAAA'
    core = 'numpy.core.multiarray'
    return b'\x80\3' + {
        'array': name(core, '_reconstruct') + b'(' + name('numpy', 'ndarray') + b'K\0\x85C\1btR'
        b'(K\1K\1\x85' + dtype + b'\x89' + address + b'tb.',
        'scalar': name(core, 'scalar') + b'(' + dtype + address + b'tR.',
        'ndarray': name('numpy', 'ndarray') + b'(K\1\x85' + dtype + address + b'tR.'}[call]


@pytest.mark.parametrize('call', ['array', 'scalar', 'ndarray'])
def test_bytes_do_not_become_addresses(call):
    with pytest.raises(errors.InputError, match='x.pkl cannot be read as a pickle of arrays'):
        pickles.load(_forged(call), 'x.pkl')


@pytest.mark.parametrize('value', [
    np.arange(6.).reshape(2, 3).T, np.array(['a', 'bcd']), np.array([b'x', b'yz']),
    np.array([[True], [False]]), np.arange(3, dtype='>i4'), np.array([1 + 2j]), np.float32(2.5),
    np.int64(-3), np.zeros([0, 3])], ids=str)
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_arrays_and_numbers_are_what_was_pickled(value, protocol):
    actual = pickles.load(pickle.dumps(value, protocol), 'x.pkl')
    assert actual.dtype == value.dtype.newbyteorder('=') and actual.shape == value.shape
    np.testing.assert_array_equal(actual, value)


def test_arrays_of_objects_have_all_their_objects():
    contents = np.empty([2, 1], object)
    contents[:, 0] = [[1, 2]], 'text'
    actual = pickles.load(pickle.dumps(contents), 'x.pkl')
    assert actual.shape == (2, 1) and actual.tolist() == contents.tolist()
    with pytest.raises(errors.InputError, match='array of objects without its objects'):
        pickles.load(pickle.dumps(contents).replace(b'K\x02K\x01\x86', b'K\x02K\x09\x86'), 'x.pkl')


def test_tensors_that_make_no_sense_are_refused(tmp_path):
    path = str(tmp_path / 'x.pth')
    torch_writer.write(path, {'a': np.zeros(4, np.float32)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    data = members['archive/data.pkl']
    shape = b'K\x04\x85'      # of the size, then K\1 of the stride
    assert data.count(shape) == 1
    for changed, message in (
            (data.replace(shape, b'J\0\0\0\x7f\x85'), 'leaves its storage'),
            (data.replace(shape, b'J\0\0\0\x7f\x85').replace(b'K\x01\x85', b'K\0\x85'),
             'leaves its storage'),
            (data.replace(shape, b'K\xff\x85'), 'leaves its storage'),
            (data.replace(b'FloatStorage', b'Size'), 'a storage of')):
        with zipfile.ZipFile(path, 'w') as archive:
            for name, content in dict(members, **{'archive/data.pkl': changed}).items():
                archive.writestr(name, content)
        with pytest.raises(errors.InputError, match=message):
            torch_file.read(path)
    cyclic = []
    cyclic.append(cyclic)
    for content, message in ((_row_with(cyclic), 'holds itself'),):
        with open(path, 'wb') as stream:
            stream.write(content)
        with pytest.raises(errors.InputError, match=message):
            torch_file.read(path)


@pytest.mark.parametrize('name', ['row.pth', 'archive.pth'])
def test_a_file_of_pytorch_that_is_cut_short_is_refused_at_any_length(name, tmp_path):
    with open(os.path.join(FILES, name), 'rb') as stream:
        data = stream.read()
    path = str(tmp_path / name)
    for length in range(0, len(data) - 1, 37):
        with open(path, 'wb') as stream:
            stream.write(data[:length])
        with pytest.raises(errors.InputError, match=name):
            torch_file.read(path)


def _smpl_pickle(path, **changes):
    """SMPL's layout: a pickle of protocol 2 with a sparse regressor."""
    contents = dict(tiny.arrays(), **changes)
    for name in ('J_regressor_extra', 'J_regressor_h36m'):
        extra = contents.pop(name, None)
        if extra is not None:
            np.save(os.path.join(os.path.dirname(path), name + '.npy'), extra)
    contents['J_regressor'] = scipy.sparse.csc_matrix(contents['J_regressor'])
    with open(path, 'wb') as stream:
        pickle.dump(contents, stream, protocol=2)


def test_a_body_in_smpls_layout_is_the_body_in_plain_arrays(tmp_path):
    path = str(tmp_path / 'smpl.pkl')
    _smpl_pickle(path)
    actual, expected = body_lib.load(path), tiny.arrays()
    for name, value in actual.items():
        value = value.toarray() if scipy.sparse.issparse(value) else value
        np.testing.assert_array_equal(value, expected[name])


def test_a_body_that_python_3_saved_again_with_names_in_bytes_is_the_same_body(tmp_path):
    expected = tiny.arrays()
    (tmp_path / 'smpl.pkl').write_bytes(pickle.dumps(
        {name.encode(): value for name, value in expected.items()}))
    actual = body_lib.load(str(tmp_path))
    np.testing.assert_array_equal(actual['v_template'], expected['v_template'])
    np.testing.assert_array_equal(actual['posedirs'], expected['posedirs'])


def test_arrays_of_chumpy_are_read_without_chumpy(tmp_path):
    code = '''
import pickle, sys, types
import numpy as np
for name in ('chumpy', 'chumpy.ch', 'chumpy.reordering'):
    sys.modules[name] = types.ModuleType(name)
class Ch: pass
class Select: pass
Ch.__module__, Select.__module__ = 'chumpy.ch', 'chumpy.reordering'
sys.modules['chumpy.ch'].Ch, sys.modules['chumpy.reordering'].Select = Ch, Select
plain, chosen = Ch(), Select()
plain.__dict__['x'] = np.arange(6.).reshape(2, 3)
chosen.__dict__.update(a=plain, idxs=np.array([5, 0, 2, 1]), preferred_shape=(2, 2))
pickle.dump({'plain': plain, 'chosen': chosen, 'other': {}}, open(sys.argv[1], 'wb'), 2)
'''
    path = str(tmp_path / 'x.pkl')
    subprocess.run([sys.executable, '-c', code, path], check=True)
    with open(path, 'rb') as stream:
        actual = pickles.load(stream, path)
    np.testing.assert_array_equal(pickles.plain(actual['plain'], path, 'plain'),
                                  [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(pickles.plain(actual['chosen'], path, 'chosen'), [[5, 0], [2, 1]])
    with pytest.raises(errors.InputError, match='other is dict, expected an array'):
        pickles.plain(actual['other'], path, 'other')


@pytest.mark.parametrize('name', ['chumpy_plain', 'chumpy_select', 'chumpy_expression'])
def test_bodies_that_chumpy_saved_are_read(tmp_path, name):
    shutil.copy(os.path.join(FIELD, 'smpl', name + '.pkl'), str(tmp_path))
    np.save(str(tmp_path / 'J_regressor_extra.npy'), np.ones([14, 60]))
    actual = body_lib.load(str(tmp_path))
    with np.load(os.path.join(FIELD, 'smpl', 'expected.npz')) as expected:
        for key in set(expected.files) & set(actual):
            value = actual[key].toarray() if scipy.sparse.issparse(actual[key]) else actual[key]
            np.testing.assert_array_equal(value, expected[key])
    assert 'shapedirs' in actual and 'J_regressor' in actual


def test_of_several_bodies_the_neutral_one_is_taken(tmp_path, capsys):
    levels = tiny.make_body(tmp_path)
    os.remove(os.path.join(levels, 'body_model.npz'))
    (tmp_path / 'gmm_08.pkl').write_bytes(pickle.dumps({'means': np.zeros(3)}))
    taken = []
    for file_name in ('basicModel_f_lbs_10_207_0_v1.0.0.pkl', 'basicmodel_m_lbs_10.pkl', 'body.pkl',
                      'basicModel_neutral_lbs_10_207_0_v1.0.0.pkl'):
        _smpl_pickle(str(tmp_path / file_name))
        taken.append(os.path.basename(body_lib.find(str(tmp_path))))
    assert taken == ['basicModel_f_lbs_10_207_0_v1.0.0.pkl', 'basicModel_f_lbs_10_207_0_v1.0.0.pkl',
                     'body.pkl', 'basicModel_neutral_lbs_10_207_0_v1.0.0.pkl']
    body_lib.load_all(str(tmp_path))
    assert 'has 4 body models: basicModel_neutral_lbs_10_207_0_v1.0.0.pkl is taken' in (
        capsys.readouterr().out)
    for name in os.listdir(str(tmp_path)):
        if name.endswith('.pkl') and name != 'gmm_08.pkl':
            os.remove(str(tmp_path / name))
    with pytest.raises(errors.InputError, match='no body model'):
        body_lib.find(str(tmp_path))
    np.savez(str(tmp_path / 'SMPL_NEUTRAL.npz'), **tiny.arrays())
    assert os.path.basename(body_lib.find(str(tmp_path))) == 'SMPL_NEUTRAL.npz'
    body_lib.load_all(str(tmp_path))


@pytest.mark.parametrize('kind', ['csc', 'csr', 'coo', 'lil', 'dok', 'bsr', 'dia'])
def test_regressors_of_every_sparse_format_are_read(tmp_path, kind):
    dense = tiny.arrays()['J_regressor']
    sparse = getattr(scipy.sparse, kind + '_matrix')(dense)
    _smpl_pickle(str(tmp_path / 'smpl.pkl'))
    contents = dict(tiny.arrays(), J_regressor=sparse)
    (tmp_path / 'smpl.pkl').write_bytes(pickle.dumps(contents, 2))
    np.testing.assert_array_equal(body_lib.load(str(tmp_path))['J_regressor'].toarray(), dense)
    contents['J_regressor'] = np.array(sparse, object)
    np.savez(str(tmp_path / 'other.npz'), **contents)
    actual = body_lib.load(str(tmp_path / 'other.npz'))['J_regressor']
    np.testing.assert_array_equal(actual.toarray(), dense)


def test_a_malicious_body_runs_nothing(tmp_path):
    trap, path = str(tmp_path / 'trap'), str(tmp_path / 'smpl.pkl')
    _smpl_pickle(path, v_template=Evil(trap))
    with pytest.raises(errors.InputError, match='smpl.pkl.*not allowed'):
        body_lib.load(path)
    assert not os.path.exists(trap)


@pytest.mark.parametrize('changes, message', [
    ({'weights': np.zeros([162, 23])}, r'weights is \[162, 23\], expected \[162, 24\]'),
    ({'f': np.full([3, 3], 162)}, 'f names vertices beyond its 162'),
    ({'f': np.zeros([0, 3], int)}, 'f names vertices beyond its 162'),
    ({'posedirs': np.full([162, 3, 207], np.nan)}, 'posedirs holds what is no finite number'),
    ({'shapedirs': np.zeros([162, 3, 8])}, 'shapedirs has 8 directions'),
    ({'weights': np.full([162, 24], None)}, 'weights holds what is no finite number'),
    ({'kintree_table': np.zeros([2, 24], int)}, 'kintree_table is no tree'),
    ({'kintree_table': np.stack([np.arange(1, 25), np.arange(24)])}, 'kintree_table is no tree'),
    ({'J_regressor_24': np.zeros([24, 9])}, r'J_regressor_24 is \[24, 9\]'),
    ({'v_template': None}, 'v_template is NoneType'),
    ({'v_template': np.array(3.5)}, r'v_template is \[\], expected')])
def test_a_body_with_wrong_arrays_is_refused(changes, message, tmp_path):
    path = str(tmp_path / 'smpl.pkl')
    _smpl_pickle(path, **changes)
    with pytest.raises(errors.InputError, match=message):
        body_lib.load(path)


def test_missing_pieces_of_a_body_are_named(tmp_path):
    with pytest.raises(errors.InputError, match='no body model'):
        body_lib.load(str(tmp_path))
    path = str(tmp_path / 'smpl.pkl')
    _smpl_pickle(path)
    os.remove(str(tmp_path / 'J_regressor_extra.npy'))
    with pytest.raises(errors.InputError, match='J_regressor_extra.npy.*missing'):
        body_lib.load(path)
    with pytest.raises(errors.InputError, match='make_template'):
        body_lib.load_levels(str(tmp_path), 162)
    with open(path, 'r+b') as stream:
        stream.truncate(5000)
    with pytest.raises(errors.InputError, match='smpl.pkl cannot be read'):
        body_lib.load(path)


def test_levels_are_read_from_pickled_matrices_without_the_meshes_beside(tmp_path):
    body = tiny.arrays()
    levels = synthetic.hierarchy(4, body['v_template'], body['f'], tiny.SIZES)
    path = str(tmp_path / 'mesh_downsampling.npz')
    contents = {}
    for kind, matrices in zip('ADU', levels):
        contents[kind] = np.empty(len(matrices), object)
        contents[kind][:] = matrices
    trap = str(tmp_path / 'trap')
    contents['M'] = np.array([Evil(trap)], object)
    np.savez(path, **contents)
    actual = body_lib.load_levels(path, 162)
    for ours, theirs in zip(actual, levels):
        for one, other in zip(ours, theirs):
            assert (one != other).nnz == 0
    assert not os.path.exists(trap)
    with pytest.raises(errors.InputError, match='a body of 162 vertices, not 163'):
        body_lib.load_levels(path, 163)


def test_levels_of_a_template(tmp_path):
    body = tiny.arrays()
    folder = tiny.make_body(tmp_path / 'body')
    path = str(tmp_path / 'levels.npz')
    assert make_template.main(['--body', folder, '--output', path]) == 0
    connections, downs, ups = body_lib.load_levels(path, 162)
    assert [matrix.shape[0] for matrix in connections] == [162, 41, 11]
    points = body['v_template']
    for matrix, down, up in zip(connections, downs, ups):
        assert (matrix != matrix.T).nnz == 0 and not matrix.diagonal().any()
        assert set(down.data) == {1.} and (np.diff(down.indptr) == 1).all()
        np.testing.assert_allclose(up.sum(axis=1), 1, atol=1e-5)
        chosen = down.dot(points)
        np.testing.assert_allclose(down.dot(up.dot(chosen)), chosen, atol=1e-5)
        moved = np.linalg.norm(up.dot(chosen) - points, axis=1).mean()
        edges = matrix.tocoo()
        assert moved < np.linalg.norm(points[edges.row] - points[edges.col], axis=1).mean()
        points = chosen


def test_levels_of_a_body_need_nothing_beside_it(tmp_path):
    body, path = str(tmp_path / 'smpl.pkl'), str(tmp_path / 'levels.npz')
    shutil.copy(os.path.join(FIELD, 'smpl', 'chumpy_plain.pkl'), body)
    with pytest.raises(errors.InputError, match='J_regressor_extra.npy'):
        body_lib.load(body)
    assert make_template.main(['--body', body, '--output', path, '--factor=1.5', '--levels=1']) == 0
    connections, _, _ = body_lib.load_levels(path, 60)
    assert [matrix.shape for matrix in connections] == [(60, 60), (40, 40)]
    with np.load(os.path.join(FIELD, 'smpl', 'expected.npz')) as expected:
        edges = {(one, other) for row in expected['f'] if len(set(row)) == 3     # drawn faces
                 for one in row for other in row if one != other}
    assert set(zip(*connections[0].nonzero())) == edges


def test_files_of_a_body_that_are_altered_are_refused(tmp_path):
    folder = tiny.make_body(tmp_path / 'body')
    for name, load in (('body_model.npz', lambda: body_lib.load(folder)),
                       ('mesh_downsampling.npz', lambda: body_lib.load_levels(folder, 162))):
        path = os.path.join(folder, name)
        contents = dict(np.load(path))
        np.savez_compressed(path, **contents)
        with open(path, 'rb') as stream:
            data = bytearray(stream.read())
        data[len(data) // 2:len(data) // 2 + 50] = b'x' * 50
        for content in (bytes(data), bytes(data[:len(data) // 2]), b'PK\3\4'):
            with open(path, 'wb') as stream:
                stream.write(content)
            with pytest.raises(errors.InputError, match=name):
                load()
        contents = {key: value + 400 if key == 'A0_row' else value
                    for key, value in contents.items()}
        np.savez(path, **contents)
    with pytest.raises(errors.InputError, match='holds no levels of a mesh: (row|axis 0) index'):
        body_lib.load_levels(folder, 162)
    np.savez(path, **dict(contents, A0_shape=np.array([2 ** 50, 2 ** 50])))     # 8 PiB of rows
    with pytest.raises(errors.InputError, match=r'A0 is \[1125899906842624, .*at most 100000 vert'):
        body_lib.load_levels(folder, 162)


def test_templates_of_what_makes_no_sense_are_refused(tmp_path, capsys):
    body, path = tiny.make_body(tmp_path / 'body'), str(tmp_path / 'levels.npz')
    loose = tmp_path / 'loose.obj'
    loose.write_text('v 0 0 0\nv 1 0 0\nv 0 1 0\nv 5 5 5\nf 1 2 3\n')
    for arguments, code, message in (
            (['--body', body, '--output', path[:-len('.npz')]], 2, 'must end in .npz'),
            (['--body', body, '--output', path, '--factor=1'], 2, 'must be above 1'),
            (['--body', str(loose), '--output', path], 1, 'such as number 3, are in no face')):
        assert make_template.main(arguments) == code
        assert message in capsys.readouterr().err
    assert sorted(os.listdir(str(tmp_path))) == ['body', 'loose.obj']

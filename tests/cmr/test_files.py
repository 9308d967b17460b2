"""Files from elsewhere: PyTorch's, SMPL's, mesh levels; nothing in them is ever run."""
import collections
import io
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import scipy.sparse

from cmr import make_template
from cmr.src.utils import body as body_lib
from cmr.src.utils import pickles, pth2ckpt, torch_file
from common import errors
from tests.cmr import synthetic, tiny

# Written by PyTorch 1.7.1 in both formats from the same tensors; expected.npz by NumPy.
FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'torch_files')


class Evil:
    """Pickles into a call that makes a file."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.mark.parametrize('name', ['row.pth', 'archive.pth'])
def test_files_of_pytorch_are_read(name):
    found = torch_file.read(os.path.join(FILES, name))
    expected = np.load(os.path.join(FILES, 'expected.npz'))
    assert found['epoch'] == 3 and found['list'] == [1, 2.5, 'x', None, (1, 2)]
    assert list(found['model']) == expected.files
    for key in expected.files:
        assert found['model'][key].dtype == expected[key].dtype
        np.testing.assert_array_equal(found['model'][key], expected[key])


def test_what_is_written_is_read_again(tmp_path):
    held = {'a': np.arange(6, dtype=np.float32).reshape(2, 3).T, 'n': np.array(4),
            'deep': collections.OrderedDict([('b', [np.zeros((0, 2)), 'text', 1.5])])}
    path = str(tmp_path / 'x.pt')
    torch_file.write(path, held)
    found = torch_file.read(path)
    np.testing.assert_array_equal(found['a'], held['a'])
    assert found['n'].shape == () and found['n'] == 4
    assert found['deep']['b'][0].shape == (0, 2) and found['deep']['b'][1:] == ['text', 1.5]


def test_what_belongs_to_the_optimizer_stays_out_of_a_file_for_pytorch(tmp_path):
    kernel = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    values = {'graph_cnn.resnet.bn1.running_var': np.ones(3, np.float32),
              'graph_cnn.resnet.conv1.weight': kernel,
              'graph_cnn.resnet.conv1.weight/Adam': kernel, 'beta1_power': np.float32(0.9)}
    path = str(tmp_path / 'x.pt')
    with pytest.raises(errors.InputError, match='no weights of smpl_param_regressor'):
        pth2ckpt.export(values, path)
    values['smpl_param_regressor.layers.3.bias'] = np.zeros(2, np.float32)
    pth2ckpt.export(values, path)
    found = torch_file.read(path)
    assert set(found['graph_cnn']) == {'resnet.bn1.running_var', 'resnet.bn1.num_batches_tracked',
                                       'resnet.conv1.weight'}
    assert found['graph_cnn']['resnet.conv1.weight'].shape == (4, 3, 1, 2)
    assert list(found['smpl_param_regressor']) == ['layers.3.bias']
    back = pth2ckpt.read(path)
    np.testing.assert_array_equal(back['graph_cnn.resnet.conv1.weight'], kernel)


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
    held = dict(tiny.arrays(), **changes)
    for name in ('J_regressor_extra', 'J_regressor_h36m'):
        extra = held.pop(name, None)
        if extra is not None:
            np.save(os.path.join(os.path.dirname(path), name + '.npy'), extra)
    held['J_regressor'] = scipy.sparse.csc_matrix(held['J_regressor'])
    with open(path, 'wb') as stream:
        pickle.dump(held, stream, protocol=2)


def test_a_body_in_smpls_layout_is_the_body_in_plain_arrays(tmp_path):
    path = str(tmp_path / 'smpl.pkl')
    _smpl_pickle(path)
    found, expected = body_lib.load(path), tiny.arrays()
    for name, value in found.items():
        value = value.toarray() if scipy.sparse.issparse(value) else value
        np.testing.assert_array_equal(value, expected[name])


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
        found = pickles.load(stream, path)
    np.testing.assert_array_equal(pickles.plain(found['plain'], path, 'plain'),
                                  [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(pickles.plain(found['chosen'], path, 'chosen'), [[5, 0], [2, 1]])
    with pytest.raises(errors.InputError, match='other is dict, expected an array'):
        pickles.plain(found['other'], path, 'other')


def test_a_malicious_body_runs_nothing(tmp_path):
    trap, path = str(tmp_path / 'trap'), str(tmp_path / 'smpl.pkl')
    _smpl_pickle(path, v_template=Evil(trap))
    with pytest.raises(errors.InputError, match='smpl.pkl.*not allowed'):
        body_lib.load(path)
    assert not os.path.exists(trap)


@pytest.mark.parametrize('changes, message', [
    ({'weights': np.zeros([162, 23])}, r'weights is \[162, 23\], expected \[162, 24\]'),
    ({'f': np.full([3, 3], 162)}, 'f names vertices beyond its 162'),
    ({'v_template': None}, 'v_template is NoneType')])
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
    held = {}
    for kind, matrices in zip('ADU', levels):
        held[kind] = np.empty(len(matrices), object)
        held[kind][:] = matrices
    trap = str(tmp_path / 'trap')
    held['M'] = np.array([Evil(trap)], object)
    np.savez(path, **held)
    found = body_lib.load_levels(path, 162)
    for ours, theirs in zip(found, levels):
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
        kept = down.dot(points)
        np.testing.assert_allclose(down.dot(up.dot(kept)), kept, atol=1e-5)
        moved = np.linalg.norm(up.dot(kept) - points, axis=1).mean()
        edges = matrix.tocoo()
        assert moved < np.linalg.norm(points[edges.row] - points[edges.col], axis=1).mean()
        points = kept

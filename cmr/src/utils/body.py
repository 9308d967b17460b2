"""Body models and mesh levels from files: SMPL's own layouts, or plain arrays.

A body's folder holds a model file (.npz of plain arrays, or SMPL's .pkl) and mesh_downsampling.npz
(of plain arrays, or the original's with pickled matrices); for SMPL also J_regressor_extra.npy, for
Human3.6M J_regressor_h36m.npy.
"""
import mmap
import os
import re
from typing import Any, Dict, List, Tuple

import numpy as np
import scipy.sparse

from cmr.src import config as config_lib
from cmr.src.models import smpl
from cmr.src.utils import mesh as mesh_lib
from common import cli, errors, files
from common.readers import arrays as arrays_lib
from common.readers import folders, limits, pickles

_SHAPES = {'v_template': ('V', 3), 'weights': ('V', 24), 'shapedirs': ('V', 3, None),
           'posedirs': ('V', 3, 207), 'J_regressor': (24, 'V'), 'kintree_table': (2, 24),
           'f': (None, 3)}
_EXTRA = {'J_regressor_extra': 14, 'J_regressor_h36m': 17, 'J_regressor_24': 24}
_EXAMPLES = 'body_model.npz, SMPL_NEUTRAL.pkl'
_NEUTRAL = re.compile('neutral|body_model', re.IGNORECASE)
_SEX = re.compile(r'(^|[_.-])(f|m|female|male)([_.-]|$)', re.IGNORECASE)
_MOST_BYTES = 1 << 30       # of a body model; SMPL's largest files take a quarter
_MOST_VERTICES, _MOST_LEVELS = 100000, 50   # of a file of levels; a larger body counts for itself
_LEVELS_NAME = 'mesh_downsampling.npz'


def find(path: str) -> str:
    """Returns the path of the model file in a folder, or of the file itself.

    Of several the neutral one is taken, then one whose name tells no sex.

    Raises:
      errors.InputError: the folder has none.
    """
    if not os.path.isdir(path):
        return path
    names = _bodies(path)
    if not names:
        raise errors.InputError('{} has no body model (such as {}). Get SMPL from its makers, or '
                                'leave --body out: the free body that ships is used then.'.format(
                                    path, _EXAMPLES))
    return os.path.join(path, names[0])


def _bodies(folder):
    """Names of the body models in a folder, the one that is taken first."""
    return sorted((name for name in folders.names(folder)
                   if name.lower().endswith(('.pkl', '.npz'))
                   and _is_body(os.path.join(folder, name))),
                  key=lambda name: (not _NEUTRAL.search(name), bool(_SEX.search(name)), name))


def _is_body(path):
    """Whether a file names the arrays of a body, unlike the priors and levels that lie beside."""
    if not os.path.isfile(path) or not 0 < os.path.getsize(path) <= _MOST_BYTES:
        return False
    with limits.regular(path, 'a body model', 'Make it readable.') as (stream, _):
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(b'v_template') >= 0


def load(path: str = config_lib.SHIPPED_BODY, need_joints: bool = True) -> Dict[str, Any]:
    """Reads a body model and what lies beside it.

    Args:
      path: str, model file or its folder.
      need_joints: bool, whether one without a regressor of the 24 joints is refused.
    Returns:
      dict of arrays for `smpl.Smpl`; J_regressor_h36m too where it is known.
    Raises:
      errors.InputError: a file is missing, damaged or has other arrays.
    """
    path = find(path)
    head, _ = limits.look(path, 'a body model', 'Get SMPL from its makers.')
    values = _archive(path) if head[:4] == b'PK\3\4' else pickles.read(path, 'a body model')
    if not isinstance(values, dict):
        raise errors.InputError('{} is no body model: it holds no names.'.format(path))
    missing = sorted(set(_SHAPES) - set(values))
    if missing:
        raise errors.InputError('the body model {} has no {} (found: {}).'.format(
            path, ', '.join(missing), errors.listed(sorted(map(str, values)))))
    body = {name: pickles.plain(values[name], path, name) for name in _SHAPES}
    _check(path, 'v_template', body['v_template'], [None, 3])
    count = body['v_template'].shape[0]
    for name, shape in _SHAPES.items():
        _check(path, name, body[name], [count if size == 'V' else size for size in shape])
    for name, rows in _EXTRA.items():
        source = os.path.join(os.path.dirname(path), name + '.npy')
        if name in values:
            body[name], source = pickles.plain(values[name], path, name), path
        elif os.path.exists(source):
            body[name] = read_array(source)
        else:
            continue
        _check(source, name, body[name], [rows, count])
    if need_joints and 'J_regressor_extra' not in body and 'J_regressor_24' not in body:
        raise errors.InputError('{}: J_regressor_extra.npy (float [14, {}]) of the original is '
                                'missing beside it.'.format(path, count))
    if body['shapedirs'].shape[2] < smpl.NUM_BETAS:
        raise errors.InputError('{}: shapedirs has {} directions, expected {} at least.'.format(
            path, body['shapedirs'].shape[2], smpl.NUM_BETAS))
    faces = np.asarray(body['f'])
    if not len(faces) or faces.min() < 0 or faces.max() >= count:
        raise errors.InputError('{}: f names vertices beyond its {}.'.format(path, count))
    _check_tree(path, np.asarray(body['kintree_table']).astype(np.int64))
    return body


def _check_tree(path, table):
    """A joint's parent comes before it; row 0 has parents by name, row 1 names."""
    columns = {name: column for column, name in enumerate(table[1].tolist())}
    parents = [columns.get(name, len(columns)) for name in table[0, 1:].tolist()]
    if len(columns) < table.shape[1] or any(parent >= joint
                                            for joint, parent in enumerate(parents, 1)):
        raise errors.InputError('{}: kintree_table is no tree: each joint but the first needs a '
                                'parent before it.'.format(path))


def read_array(path: str) -> np.ndarray:
    """Reads an .npy file.

    Raises:
      errors.InputError: it is missing, damaged, or holds no numbers.
    """
    return arrays_lib.read(path, 'fiub', 'an array of numbers (.npy)')


def _check(path, name, value, shape):
    """Checks the shape of an array or sparse matrix, and that it holds finite numbers."""
    sizes = list(value.shape)
    if len(sizes) != len(shape) or any(want not in (None, size)
                                       for size, want in zip(sizes, shape)):
        raise errors.InputError('{}: {} is {}, expected {}.'.format(
            path, name, sizes, ['any' if size is None else size for size in shape]))
    values = value.data if scipy.sparse.issparse(value) else value
    if values.dtype.kind not in 'fiub' or not np.isfinite(values).all():
        raise errors.InputError('{}: {} holds what is no finite number.'.format(path, name))


def _archive(path):
    """Arrays of an .npz; object arrays by `pickles`, the one named M left out (it holds meshes)."""
    values = arrays_lib.read_archive(path, objects=pickles.objects, leave_out=('M',))
    return {name: value.item() if value.dtype.kind == 'O' and not value.ndim else value
            for name, value in values.items()}


def load_levels(path: str, num_vertices: int) -> Tuple[List, List, List]:
    """Reads the levels of a mesh.

    Args:
      path: str, mesh_downsampling.npz or its folder.
      num_vertices: int, of the body.
    Returns:
      (A, D, U): lists of scipy sparse matrices, finest first.
    Raises:
      errors.InputError: the file is missing, damaged, or belongs to another body.
    """
    if os.path.isdir(path):
        path = os.path.join(path, _LEVELS_NAME)
    if not os.path.exists(path):
        raise errors.InputError('{} is missing; python cmr/make_template.py makes it for a body '
                                'model.'.format(path))
    arrays = _archive(path)
    try:
        return _levels(arrays, path, num_vertices)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise errors.InputError('{} holds no levels of a mesh: {}.'.format(path, error))


def _levels(arrays, path, num_vertices):
    plain = 'A0_row' in arrays
    levels = []
    for kind in 'ADU':
        if plain:
            names = sorted(name[1:-4] for name in arrays
                           if name.startswith(kind) and name.endswith('_row'))
            if len(names) > _MOST_LEVELS:
                raise errors.InputError('{} has {} levels, expected at most {}.'.format(
                    path, len(names), _MOST_LEVELS))
            levels.append([_coordinates(arrays, kind + number, path, max(
                num_vertices, _MOST_VERTICES)) for number in names])
        elif kind not in arrays:
            raise errors.InputError('{} has no {} (found: {}).'.format(
                path, kind, errors.listed(sorted(arrays))))
        else:
            levels.append([pickles.plain(matrix, path, kind) for matrix in arrays[kind]])
    (connections, downs, ups), sizes = levels, [matrix.shape[0] for matrix in levels[0]]
    expected = ([(size, size) for size in sizes], list(zip(sizes[1:], sizes)),
                list(zip(sizes, sizes[1:])))
    for kind, matrices, shapes in zip('ADU', levels, expected):
        if [matrix.shape for matrix in matrices] != shapes:
            raise errors.InputError('{}: the sizes of {} are {}, expected {}.'.format(
                path, kind, [matrix.shape for matrix in matrices], shapes))
    if sizes[0] != num_vertices:
        raise errors.InputError('{} belongs to a body of {} vertices, not {}.'.format(
            path, sizes[0], num_vertices))
    return connections, downs, ups


def _coordinates(arrays, name, path, most):
    try:
        parts = [arrays['{}_{}'.format(name, part)] for part in ('val', 'row', 'col', 'shape')]
    except KeyError as error:
        raise errors.InputError('{} has no {}.'.format(path, error.args[0]))
    values, rows, columns = parts[:3]
    shape = tuple(map(int, parts[3]))
    if not all(0 <= size <= most for size in shape):    # SciPy takes memory for all rows
        raise errors.InputError('{}: {} is {}, expected at most {} vertices.'.format(
            path, name, errors.quote(list(shape)), most))
    return scipy.sparse.coo_matrix((values, (rows, columns)), shape=shape).tocsr()


def save_levels(path: str, connections: List, downs: List, ups: List) -> None:
    """Writes the levels of a mesh, lists of scipy sparse matrices, as plain arrays."""
    arrays = {}
    for kind, matrices in zip('ADU', (connections, downs, ups)):
        for number, matrix in enumerate(matrices):
            matrix = scipy.sparse.coo_matrix(matrix)
            for part, value in (('val', matrix.data.astype(np.float32)),
                                ('row', matrix.row.astype(np.int32)),
                                ('col', matrix.col.astype(np.int32)),
                                ('shape', np.array(matrix.shape))):
                arrays['{}{}_{}'.format(kind, number, part)] = value
    with files.replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_all(path: str, levels_path: str = '',
             form: str = 'gather') -> Tuple[smpl.Smpl, mesh_lib.Mesh, Dict[str, Any]]:
    """Loads a body and its mesh.

    Args:
      path: str, see `load`, or '' for the body that ships; levels_path: str, see `load_levels`, or
        '' for beside the body; form: str, see mesh.Adjacency.
    Returns:
      (smpl.Smpl, mesh.Mesh, dict of the body's arrays).
    """
    bodies = _bodies(path) if os.path.isdir(path) else []
    if len(bodies) > 1:
        cli.say('{} has {} body models: {} is taken; --body=FILE takes another'.format(
            path, len(bodies), bodies[0]))
    arrays = load(path or config_lib.SHIPPED_BODY)
    folder = os.path.dirname(find(path or config_lib.SHIPPED_BODY))
    levels = load_levels(levels_path or folder, len(arrays['v_template']))
    if len(levels[1]) < 1:
        raise errors.InputError('{} has no level below the body.'.format(levels_path or folder))
    return (smpl.Smpl(arrays), mesh_lib.Mesh(arrays['v_template'], *levels, form=form), arrays)

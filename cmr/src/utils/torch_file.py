"""Reads and writes the files of torch.save without PyTorch; tensors become arrays.

Two formats: a row of pickles with the data behind them (before 1.6), and a zip archive of a pickle
and a file for each storage. Only tensors and containers are ever built.
"""
import collections
import io
import os
import pickle
import zipfile

import numpy as np

from cmr.src.utils import pickles
from common import errors, files

_MAGIC = 0x1950a86a20f9469cfc6c
_PROTOCOL = 1001
_STORAGES = {'FloatStorage': '<f4', 'DoubleStorage': '<f8', 'HalfStorage': '<f2',
             'LongStorage': '<i8', 'IntStorage': '<i4', 'ShortStorage': '<i2', 'CharStorage': 'i1',
             'ByteStorage': 'u1', 'BoolStorage': '?'}
_NAMES = {np.dtype(kind): name for name, kind in _STORAGES.items()}


_Stored = collections.namedtuple('_Stored', 'key kind count')     # a storage, read later


class _Tensor:
    """A tensor whose storage may be read later."""

    def __init__(self, storage, offset, size, stride):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride


def _tensor(storage, offset, size, stride, *unused):
    if not isinstance(storage, _Stored) or len(size) != len(stride) or min(
            (offset,) + tuple(size) + tuple(stride)) < 0:
        raise pickle.UnpicklingError('a tensor that makes no sense')
    return _Tensor(storage, int(offset), tuple(map(int, size)), tuple(map(int, stride)))


def _parameter(data, *unused):
    return data


_KNOWN = {('torch._utils', '_rebuild_tensor'): _tensor,
          ('torch._utils', '_rebuild_tensor_v2'): _tensor,
          ('torch._utils', '_rebuild_parameter'): _parameter,
          ('torch', 'Size'): tuple}
_KNOWN.update({('torch', name): kind for name, kind in _STORAGES.items()})


def _storage(pid):
    """_Stored of a persistent id ('storage', type, key, device, count[, view])."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != 'storage':
        raise pickle.UnpicklingError('it refers to {!r}'.format(pid))
    if len(pid) > 5 and pid[5] is not None:
        raise pickle.UnpicklingError('a view of a storage, which only very old files have')
    if pid[1] not in _STORAGES.values():
        raise pickle.UnpicklingError('a storage of {!r}'.format(pid[1]))
    return _Stored(str(pid[2]), np.dtype(pid[1]), int(pid[4]))


def read(path):
    """Reads a .pth or .pt file.

    Returns:
      What was saved: dicts, lists, numbers, and arrays in place of tensors.
    Raises:
      errors.InputError: the file is missing, cut short, of another kind, or wants to run something.
    """
    try:
        with open(path, 'rb') as stream:
            if stream.read(4) == b'PK\3\4':
                found, data = _read_zip(path)
            else:
                stream.seek(0)
                found, data = _read_row(stream, path)
        return _filled(found, data, path)
    except OSError as error:
        raise errors.InputError('cannot read {}: {}.'.format(path, error.strerror or error))
    except RecursionError:
        raise errors.InputError('{} is damaged: something in it holds itself.'.format(path))


def _read_row(stream, path):
    parts = [pickles.load(stream, path) for _ in range(2)]
    if parts != [_MAGIC, _PROTOCOL]:
        raise errors.InputError('{} is no file of torch.save.'.format(path))
    pickles.load(stream, path)      # what machine wrote it
    kinds = {}

    def persistent(pid):
        stored = _storage(pid)
        kinds[stored.key] = stored.kind, stored.count
        return stored

    found = pickles.load(stream, path, _KNOWN, persistent)
    data = {}
    for key in pickles.load(stream, path):
        if key not in kinds:
            raise errors.InputError('{} is damaged: nothing uses its storage {}.'.format(path, key))
        kind, expected = kinds[key]
        count = int.from_bytes(stream.read(8), 'little')
        size = expected * kind.itemsize
        if count != expected or size > os.fstat(stream.fileno()).st_size - stream.tell():
            raise _cut_short(path, key)
        raw = stream.read(size)
        data[key] = np.frombuffer(raw, kind)
    return found, data


def _read_zip(path):
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith('/data.pkl')]
            if len(names) != 1:
                raise errors.InputError('{} is no file of torch.save: an archive without '
                                        'data.pkl.'.format(path))
            folder, kinds = names[0][:-len('data.pkl')], {}

            def persistent(pid):
                stored = _storage(pid)
                kinds[stored.key] = stored.kind, stored.count
                return stored

            found = pickles.load(archive.read(names[0]), path, _KNOWN, persistent)
            data = {}
            for key, (kind, count) in kinds.items():
                raw = archive.read('{}data/{}'.format(folder, key))
                if len(raw) < count * kind.itemsize:
                    raise _cut_short(path, key)
                data[key] = np.frombuffer(raw, kind, count)
            return found, data
    except pickles.ARCHIVE_ERRORS as error:
        raise errors.InputError('{} is damaged: {}. Get it anew.'.format(path, error))


def _cut_short(path, key):
    return errors.InputError('{} is cut short in storage {}. Get it anew.'.format(path, key))


def _filled(value, data, path):
    """The same containers with arrays in place of tensors."""
    if isinstance(value, _Tensor):
        flat = data.get(value.storage.key, np.zeros(0, value.storage.kind))
        last = value.offset + sum((size - 1) * stride
                                  for size, stride in zip(value.size, value.stride))
        if 0 in value.size:
            return np.zeros(value.size, flat.dtype)
        if last >= len(flat) or np.prod(np.array(value.size, object)) > len(flat):
            raise errors.InputError('{} is damaged: a tensor leaves its storage {}.'.format(
                path, value.storage.key))
        steps = [stride * flat.itemsize for stride in value.stride]
        return np.array(np.lib.stride_tricks.as_strided(flat[value.offset:], value.size, steps))
    if isinstance(value, dict):
        return type(value)((key, _filled(one, data, path)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(one, data, path) for one in value)
    return value


class _Global:
    """A name that is written as it stands, since its package is not here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Writer(pickle._Pickler):
    """Writes arrays as PyTorch's tensors; `arrays` holds what lies outside of the pickle."""

    def __init__(self, stream):
        super().__init__(stream, 2)
        self.arrays = []

    def persistent_id(self, obj):
        """Storages lie outside."""
        if isinstance(obj, _Storage):
            self.arrays.append(obj.array)
            return ('storage', _Global('torch', _NAMES[obj.array.dtype]),
                    str(len(self.arrays) - 1), 'cpu', obj.array.size)
        return None

    def save(self, obj, save_persistent_id=True):
        """Arrays become calls that rebuild a tensor."""
        if isinstance(obj, np.ndarray):
            obj = _Call(obj)
        if isinstance(obj, _Global):
            self.write(pickle.GLOBAL + '{}\n{}\n'.format(obj.module, obj.name).encode())
        elif isinstance(obj, _Call):
            array = np.ascontiguousarray(obj.array)
            self.save(_Global('torch._utils', '_rebuild_tensor_v2'))
            strides = tuple(stride // array.itemsize for stride in array.strides)
            self.save((_Storage(array), 0, obj.array.shape, strides if obj.array.ndim else (),
                       False, collections.OrderedDict()))
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


class _Storage:
    def __init__(self, array):
        self.array = array


class _Call:
    def __init__(self, array):
        self.array = array


def write(path, value):
    """Writes containers of arrays, numbers and strings as torch.save does since 1.6.

    Args:
      path: str; value: dicts and lists; arrays become tensors.
    Raises:
      errors.InputError: the file cannot be written.
    """
    stream = io.BytesIO()
    writer = _Writer(stream)
    writer.dump(value)
    with files.replacing(path) as temporary:
        with zipfile.ZipFile(temporary, 'w', zipfile.ZIP_STORED) as archive:
            archive.writestr('archive/data.pkl', stream.getvalue())
            for number, array in enumerate(writer.arrays):
                archive.writestr('archive/data/{}'.format(number), array.tobytes())
            archive.writestr('archive/version', '3\n')

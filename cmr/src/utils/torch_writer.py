"""Writes the files of torch.save without PyTorch, from arrays."""
import collections
import io
import pickle
import zipfile

import numpy as np

from common import files

_NAMES = {np.dtype(kind): name + 'Storage' for kind, name in (
    ('<f4', 'Float'), ('<f8', 'Double'), ('<f2', 'Half'), ('<i8', 'Long'), ('<i4', 'Int'),
    ('<i2', 'Short'), ('i1', 'Char'), ('u1', 'Byte'), ('?', 'Bool'))}


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

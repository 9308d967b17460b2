"""Reads the files of torch.save without PyTorch; tensors become arrays.

Two formats: a row of pickles with the data behind them (before 1.6), and a zip archive of a pickle
and a file for each storage, told apart by content. Only tensors and containers are ever built;
settings, devices and other objects beside them become stubs.
"""
import pickle
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from common import errors
from common.readers import archives, limits, pickled, pickles, unpickler

_MAGIC = 0x1950a86a20f9469cfc6c
_PROTOCOL = 1001
_WHAT = 'a file of torch.save'
_HALF = 'bfloat16'      # the upper half of a float32; NumPy has none
_STORAGES = {'FloatStorage': '<f4', 'DoubleStorage': '<f8', 'HalfStorage': '<f2',
             'BFloat16Storage': _HALF, 'LongStorage': '<i8', 'IntStorage': '<i4',
             'ShortStorage': '<i2', 'CharStorage': '|i1', 'ByteStorage': '|u1',
             'BoolStorage': '|b1', 'ComplexFloatStorage': '<c8', 'ComplexDoubleStorage': '<c16',
             'UntypedStorage': '|u1'}
_WRAPPERS = ('state_dict', 'model_state_dict', 'model', 'net', 'network', 'weights', 'params')
# Of DataParallel, torch.compile, Lightning, and of networks around an encoder.
_PREFIXES = ('module.', '_orig_mod.', 'model.', 'backbone.')

_Stored = NamedTuple('_Stored', [('key', str), ('kind', str), ('count', int)])


def _dtype(kind: str) -> np.dtype:
    return np.dtype('<u2' if kind == _HALF else kind)


class _Tensor:
    """A tensor whose storage may be read later."""

    def __init__(self, storage: '_Storage', offset: int, size: Tuple, stride: Tuple,
                 is_negative: bool, is_conjugate: bool):
        self.stored, self.offset, self.size, self.stride = storage.stored, offset, size, stride
        self.is_negative, self.is_conjugate = is_negative, is_conjugate


class _Storage:
    """Stands for a storage in the pickle."""

    def __init__(self, stored: _Stored):
        self.stored = stored


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False,
            hooks: Any = None, metadata: Any = None) -> _Tensor:
    del requires_grad, hooks
    bits = metadata if isinstance(metadata, dict) else {}   # of views that PyTorch computes late
    numbers = [offset] + list(size) + list(stride)
    if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 32 or not all(
            isinstance(one, int) and 0 <= one < 1 << 62 for one in numbers):
        raise pickle.UnpicklingError('a tensor that makes no sense')
    return _Tensor(storage, offset, tuple(size), tuple(stride), bool(bits.get('neg')),
                   bool(bits.get('conj')))


def _parameter(data: Any, *unused) -> Any:
    return data


_KNOWN: unpickler.Known = {
    ('torch._utils', '_rebuild_tensor'): _tensor, ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    ('torch._utils', '_rebuild_parameter_with_state'): _parameter,
    ('torch', 'Size'): lambda sizes=(): tuple(sizes) if isinstance(sizes, (list, tuple)) else ()}


def _storage(pid: Any) -> _Storage:
    """A storage of a persistent id ('storage', type, key, device, count[, view])."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != 'storage':
        raise pickled.Unsupported('it refers to {}; save the weights alone, by torch.save(model.'
                                  'state_dict(), path)'.format(errors.quote(pid, 30)))
    if len(pid) > 5 and pid[5] is not None:
        raise pickled.Unsupported('a view of a storage, which only very old files have; save it '
                                  'again with PyTorch')
    kind = _STORAGES.get(pid[1].name.rsplit('.', 1)[1] if isinstance(pid[1], pickled.Name) else '')
    if kind is None:
        raise pickled.Unsupported('a storage of {}, which is not read; save the weights as '
                                  'float32'.format(errors.quote(pid[1])))
    if not isinstance(pid[4], int) or not 0 <= pid[4] < 1 << 62:
        raise pickle.UnpicklingError('a storage that makes no sense')
    return _Storage(_Stored(errors.quote(pid[2]), kind, pid[4]))


class _Stores:
    """The storages that a pickle refers to, and their values."""

    def __init__(self):
        self.stored: Dict[str, _Stored] = {}
        self._values: Dict[str, np.ndarray] = {}
        self._left = 0

    def persistent(self, pid: Any) -> _Storage:
        """A storage by its persistent id; noted."""
        storage = _storage(pid)
        before = self.stored.setdefault(storage.stored.key, storage.stored)
        if before != storage.stored:
            raise pickle.UnpicklingError('two storages of one name')
        return storage

    def read(self, key: str, stream, left: int) -> None:
        """Reads a storage from a stream that has `left` bytes."""
        _, kind, number = self.stored[key]
        size = number * _dtype(kind).itemsize
        if size > left:
            raise EOFError('it is cut short in storage {}'.format(key))
        self._values[key] = np.frombuffer(stream.read(size), _dtype(kind))
        self._left += 2 * size     # of all tensors; several may share a storage

    def filled(self, value: Any) -> Any:
        """A tensor's array; other values as they are."""
        if not isinstance(value, _Tensor):
            return value
        flat = self._values.get(value.stored.key, np.zeros(0, _dtype(value.stored.kind)))
        number = limits.count(value.size)
        last = value.offset + sum((size - 1) * stride
                                  for size, stride in zip(value.size, value.stride))
        if number and (last >= len(flat) or number > len(flat)):
            raise ValueError('a tensor leaves its storage {}'.format(value.stored.key))
        self._left -= number * flat.itemsize
        if self._left < 0:
            raise ValueError('its tensors take more than their storages')
        if not number:
            return np.zeros(value.size, _numbers(flat, value.stored.kind).dtype)
        steps = [stride * flat.itemsize for stride in value.stride]
        view = np.lib.stride_tricks.as_strided(flat[value.offset:], value.size, steps,
                                               writeable=False)
        array = _numbers(np.array(view), value.stored.kind)
        array = -array if value.is_negative else array
        return array.conj() if value.is_conjugate else array


def _numbers(array: np.ndarray, kind: str) -> np.ndarray:
    if kind == _HALF:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.view(np.uint8) != 0 if array.dtype.kind == 'b' else array


def read(path: str, remedy: str = '', most: int = 0) -> Any:
    """Reads a file of torch.save.

    Args:
      path: str; remedy: str, a sentence for messages.
      most: int, bytes that an archive may take unpacked; 0: see `limits.unpacked`.
    Returns:
      What was saved: dict, list, numbers, text, arrays of any shape in place of tensors
      (bfloat16 as float32), and `pickled.Stub` for all other objects.
    Raises:
      errors.InputError: the file is missing, cut short, of another kind, or wants to run something.
    """
    with limits.opened(path, _WHAT, remedy or limits.ANEW) as (stream, size):
        is_archive = stream.read(4) == b'PK\3\4'
        stream.seek(0)
        if is_archive:
            value, stores = _read_archive(path, remedy, most)
        else:
            value, stores = _read_row(stream, size, path, remedy)
        return pickles.replaced(value, stores.filled)


def _read_row(stream: Any, size: int, path: str, remedy: str) -> Tuple[Any, _Stores]:
    """The format before 1.6: four pickles, the names of the storages, their values."""
    def load(known: Optional[unpickler.Known] = None, persistent=None) -> Any:
        return pickles.load(stream, path, remedy, known, persistent, what=_WHAT)

    start = stream.peek(9)[:9]
    if len(start) == 9 and int.from_bytes(start[:8], 'little') < size and start[8:] == b'{':
        raise errors.InputError('{} is a file of safetensors; expected {}. Load it in PyTorch, and '
                                'save it by torch.save(weights, path).'.format(path, _WHAT))
    if start[:1] not in (b'\x80', b'\x8a'):
        raise ValueError('it begins as none does')
    if load() != _MAGIC or load() != _PROTOCOL:
        raise ValueError('it is a pickle of something else')
    load()      # what machine wrote it
    stores = _Stores()
    value, keys = load(_KNOWN, stores.persistent), load()
    for key in keys if isinstance(keys, list) else ():
        key = errors.quote(key)
        if key not in stores.stored:
            raise ValueError('nothing uses its storage {}'.format(key))
        number = int.from_bytes(stream.read(8), 'little')
        if number != stores.stored[key].count:
            raise ValueError('it is cut short in storage {}'.format(key))
        stores.read(key, stream, size - stream.tell())
    return value, stores


def _read_archive(path: str, remedy: str, most: int) -> Tuple[Any, _Stores]:
    with archives.opened(path, _WHAT, remedy or limits.ANEW, most) as archive:
        names = [name for name in archive.sizes if name.endswith('/data.pkl')]
        if len(names) != 1:
            raise ValueError('it is an archive without data.pkl')
        folder, stores = names[0][:-len('data.pkl')], _Stores()
        if folder + 'byteorder' in archive and archive.read(folder + 'byteorder') == b'big':
            raise ValueError('it was written by a big-endian machine')
        value = pickles.load(archive.read(names[0]), path, remedy, _KNOWN, stores.persistent,
                             what=_WHAT)
        for key in stores.stored:
            name = '{}data/{}'.format(folder, key)
            if name not in archive:
                raise ValueError('its storage {} is missing'.format(key))
            with archive.opened(name) as stream:
                stores.read(key, stream, stream.left)
                stream.finish()
        return value, stores


def weights(value: Any) -> Tuple[Dict[str, Any], List[str]]:
    """Returns the named values of what `read` returned, out of the wrappers around them.

    Args:
      value: what was saved; wrappers such as {'state_dict': ...} and DataParallel's prefix
        'module.' are taken off, also from dicts of dicts of weights.
    Returns:
      (dict {name: array of any shape, dict of them, or another value}; list of str, what was
      taken off).
    Raises:
      ValueError: it holds no named values.
    """
    notes = []
    for _ in range(3):
        if not isinstance(value, dict):
            break
        inside = [name for name in _WRAPPERS if isinstance(value.get(name), dict)]
        if not inside or any(isinstance(one, np.ndarray) for one in value.values()):
            break
        notes.append('taken out of "{}"'.format(inside[0]))
        value = value[inside[0]]
    if not isinstance(value, dict):
        raise ValueError('it holds {}, expected named weights; save them by torch.save(model.'
                         'state_dict(), path)'.format(errors.quote(
                             value if isinstance(value, pickled.Stub) else type(value).__name__)))
    return _unprefixed(value, notes), notes


def _unprefixed(value: Dict, notes: List[str]) -> Dict:
    names = [name for name, one in value.items() if isinstance(one, np.ndarray)]
    prefix = next((one for one in _PREFIXES if names and all(
        isinstance(name, str) and name.startswith(one) for name in names)), '')
    if prefix:
        note = 'prefix "{}" taken off'.format(prefix)
        if note not in notes:
            notes.append(note)
        return _unprefixed({name[len(prefix):] if str(name).startswith(prefix) else name: one
                            for name, one in value.items()}, notes)
    return {name: _unprefixed(one, notes) if isinstance(one, dict) and not names else one
            for name, one in value.items()}

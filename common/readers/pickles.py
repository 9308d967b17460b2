"""Pickles from outside: arrays, sparse matrices and containers come out, and nothing is ever run.

SMPL's file is a pickle of Python 2 with objects of chumpy and SciPy in it; checkpoints of PyTorch
and weights of 3D-R2N2 are made of pickles too. See `unpickler` for what keeps them harmless.
"""
import io
import pickle
from typing import Any, BinaryIO, Callable, Dict, Optional, Set, Tuple, Union

import numpy as np

from common import errors
from common.readers import limits, pickled, unpickler

_WHAT = 'a pickle of arrays'


def load(stream: Union[bytes, BinaryIO], path: str, remedy: str = '',
         known: Optional[unpickler.Known] = None, persistent: Optional[Callable[[Any], Any]] = None,
         most: int = 0, what: str = _WHAT) -> Any:
    """Reads one pickle.

    Args:
      stream: binary file, which is then behind the pickle, or bytes.
      path: str; remedy: str, a sentence; what: str, what it should be; all for messages.
      known: dict {(module, name): function of a call's arguments, or None for a stub}, besides
        those of NumPy, SciPy and Python's containers.
      persistent: None or function (id) -> value.
      most: int, bytes of all arrays; 0: see `limits.unpacked`.
    Returns:
      What was pickled: dict, list, tuple, set, numbers, text, bytes, np.ndarray of any shape,
      sparse matrices, values of `known`, and `Stub` for everything else.
    Raises:
      errors.InputError: it is no pickle, cut short, too large, or wants what is not allowed.
    """
    if isinstance(stream, bytes):
        stream = io.BytesIO(stream)
    start = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(start)
    with limits.telling(path, what, remedy or limits.ANEW):
        try:
            reader = unpickler.Unpickler(unpickler.Bounded(stream, size),
                                         {**unpickler.KNOWN, **(known or {})}, persistent,
                                         limits.unpacked(size, most))
            return replaced(reader.load())
        except pickled.Forbidden as error:
            raise errors.InputError('{} cannot be read as {}: {}. Nothing of it was run; take such '
                                    'files from their makers alone.'.format(path, what, error))
        except pickled.Unsupported as error:
            raise errors.InputError('{} cannot be read as {}: {}.'.format(path, what, error))
        except pickle.UnpicklingError as error:
            raise ValueError(error)


def read(path: str, what: str = _WHAT, remedy: str = '') -> Any:
    """Reads a file of one pickle; see `load`.

    Names in bytes, as Python 3 keeps those of Python 2 that it read as bytes, become text.
    """
    with limits.opened(path, what, remedy) as (stream, _):
        value = load(stream, path, remedy, what=what)
    if isinstance(value, dict) and all(isinstance(name, bytes) for name in value):
        return {name.decode('latin-1'): one for name, one in value.items()}
    return value


def objects(data: bytes, label: str, shape: Tuple[int, ...]) -> np.ndarray:
    """Returns an array of objects, of any shape, of a .npy or .npz file; see `arrays.read`.

    Args:
      data: bytes of the pickle; label: str, for messages; shape: that of the array's header.
    Raises:
      errors.InputError: it is no array of this shape.
    """
    value = load(data, label)
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise errors.InputError('{}: its objects are no array of the shape {}.'.format(
            label, errors.quote(list(shape), 40)))
    return value


def replaced(value: Any, function: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """Returns containers with what is in them replaced by what a function makes of it.

    What stands for an array or a sparse matrix becomes one before; a value that several containers
    hold stays one value; an array of objects keeps its shape.

    Args:
      value: what `load` returns; function: (anything but a container) -> its replacement.
    Raises:
      ValueError: the containers are too deep, hold themselves, or stand for too many values.
    """
    return _Settler(function).settled(value, 0)[0]


class _Settler:
    def __init__(self, function: Callable[[Any], Any]):
        self._function = function
        # {id: (value, its result, number of values in it)}
        self._done: Dict[int, Tuple[Any, Any, int]] = {}
        self._open: Set[int] = set()

    def settled(self, value: Any, depth: int) -> Tuple[Any, int]:
        """(the value with what is in it replaced, number of values as if written out)."""
        if isinstance(value, pickled.Array):
            value = value.array
            if value is None:
                raise ValueError('an array without values')
        if not isinstance(value, (list, tuple, dict, set, frozenset, pickled.Stub)) and not (
                isinstance(value, np.ndarray) and value.dtype.kind == 'O'):
            return self._function(value.dtype if isinstance(value, pickled.Dtype) else value), 1
        if id(value) in self._done:
            return self._done[id(value)][1:]
        if id(value) in self._open:
            raise ValueError('something in it holds itself')
        if depth > unpickler.DEPTH:
            raise ValueError('it is nested more than {} deep'.format(unpickler.DEPTH))
        self._open.add(id(value))
        result, number = self._inner(value, depth + 1)
        self._open.remove(id(value))
        if number > unpickler.MOST_VALUES:
            raise ValueError('it stands for more than {} values'.format(unpickler.MOST_VALUES))
        self._done[id(value)] = value, result, number
        return result, number

    def _inner(self, value: Any, depth: int) -> Tuple[Any, int]:
        if isinstance(value, pickled.Stub):
            return self._stub(value, depth)
        result: Any
        if isinstance(value, dict):
            values = [self.settled(one, depth) for one in value.values()]
            result = dict(zip(value, [one for one, _ in values]))
        elif isinstance(value, np.ndarray):
            values = [self.settled(one, depth) for one in value.ravel()]
            result = np.empty([value.size], object)
            for place, (one, _) in enumerate(values):
                result[place] = one
            result = result.reshape(value.shape)
        elif isinstance(value, (set, frozenset)):
            return value, 1 + len(value)
        else:
            values = [self.settled(one, depth) for one in value]
            result = type(value)([one for one, _ in values])
        return result, 1 + sum(number for _, number in values)

    def _stub(self, stub: pickled.Stub, depth: int) -> Tuple[Any, int]:
        """A sparse matrix, or a stub; the state of others than chumpy's is left aside."""
        number = 1
        if isinstance(stub, pickled.Sparse) or stub.name.startswith('chumpy.'):
            stub.state, number = self.settled(stub.state, depth)
        else:
            stub.state, stub.items, stub.entries, stub.arguments = {}, {}, [], ()
        if isinstance(stub, pickled.Sparse):
            try:
                return stub.matrix(), 1
            except limits.DAMAGE as error:
                raise ValueError('a sparse matrix: {}'.format(errors.reason(error)))
        return stub, 1 + number


def plain(value: Any, path: str, name: str, remedy: str = '') -> Any:
    """Returns the array, or sparse matrix, of a value of a pickle.

    Args:
      value: array of any shape or sparse matrix, or pickled.Stub of chumpy: its arrays, selections,
        reshapes and transpositions of them.
      path, name: str, and remedy: str, a sentence, for messages.
    Raises:
      errors.InputError: it is none of these.
    """
    with limits.telling('{}: {}'.format(path, errors.quote(name)), 'an array', remedy):
        array = _resolved(value, 0)
        if array is None:
            raise errors.InputError(
                '{}: {} is {}, expected an array. {}'.format(
                    path, errors.quote(name), errors.quote(value if isinstance(value, pickled.Stub)
                                                           else type(value).__name__),
                    remedy or 'If it is an expression of chumpy, save its value: numpy.array(it).'))
        return array


def _resolved(value: Any, depth: int) -> Any:
    """The array of a value; None if it is an expression."""
    if isinstance(value, np.ndarray) or hasattr(value, 'tocsr'):
        return value
    if not isinstance(value, pickled.Stub) or depth > unpickler.DEPTH or not isinstance(
            value.state, dict):
        return None
    module, _, kind = value.name.rpartition('.')
    state = value.state
    if module.split('.')[0] != 'chumpy':
        return None
    if kind == 'Ch':
        array = _resolved(state.get('x'), depth + 1)
        return None if array is None else np.asarray(array, np.float64)
    inner = _resolved(state.get('a'), depth + 1)
    if not isinstance(inner, np.ndarray):
        return None
    if kind == 'Select':
        shape = state.get('preferred_shape')
        array = inner.ravel()[np.asarray(state['idxs'])]
        return array if shape is None else array.reshape(_integers(shape))
    if kind == 'reshape':
        return inner.reshape(_integers(state.get('newshape', state.get('shape'))))
    if kind == 'transpose':
        axes = state.get('axes')
        return inner.transpose(None if axes is None else _integers(axes))
    if kind == 'ravel':
        return inner.ravel()
    return None


def _integers(shape: Any) -> Tuple[int, ...]:
    return tuple(int(size) for size in np.ravel(shape))

"""What a pickle's values are made of here: dtypes, arrays, sparse matrices, checked, and stubs."""
import pickle
import re
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from common import errors
from common.readers import arrays, limits

_MOST_SIDE, _MOST_ENTRIES = 10000000, 50000000  # of a sparse matrix


class Forbidden(pickle.UnpicklingError):
    """A pickle wants something to be run."""


class Unsupported(pickle.UnpicklingError):
    """A pickle is whole, but of a kind that is not read; the text says what to do instead."""


class Stub:
    """Stands for an object of a package that is not needed, or cannot be had without running it.

    Attributes:
      name: str, such as 'chumpy.ch.Ch'; arguments: tuple, what it was made of; state: what it was
        saved with, a dict as a rule; items: dict and entries: list, for what was put into it.
    """

    __slots__ = ('name', 'arguments', 'state', 'items', 'entries')

    def __init__(self, name: str, arguments: Tuple = ()):
        self.name, self.arguments = name, arguments
        self.state: Any = {}
        self.items: Dict[Any, Any] = {}
        self.entries: List[Any] = []

    def set_state(self, state: Any) -> None:
        """Keeps the state as it is."""
        self.state = state

    def __repr__(self):
        return self.name


class Name:
    """A name of a module that a pickle mentions: called, it gives a value of ours or a stub."""

    __slots__ = ('name', '_function')

    def __init__(self, name: str, function: Optional[Callable] = None):
        self.name, self._function = name, function

    def called(self, arguments: Tuple) -> Any:
        """What a call of the name gives."""
        if self._function is None:
            return Stub(self.name, arguments)
        return self._function(*arguments)

    def __repr__(self):
        return self.name


class Dtype:
    """Stands for a dtype of plain numbers, text or objects.

    NumPy's own takes any flags that a pickle gives it, and then takes bytes for addresses.
    """

    def __init__(self, text: Any, *unused):
        if isinstance(text, Name):      # a type, such as numpy.float64
            text = np.dtype(text.name.rsplit('.', 1)[1].rstrip('_')).str
        self.dtype = arrays.plain_dtype(text, arrays.NUMBERS + arrays.TEXT + 'O')

    def set_state(self, state: Any) -> None:
        """Takes the byte order; records are refused."""
        if not isinstance(state, tuple) or len(state) < 5 or any(
                one is not None for one in state[2:5]):
            raise pickle.UnpicklingError('it holds records, expected plain values')
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """An array that is still to get its values."""

    def __init__(self, *unused):
        self.array = None

    def set_state(self, state: Any) -> None:
        """Takes shape, dtype and values as NumPy pickles them."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise pickle.UnpicklingError('an array that makes no sense')
        shape, dtype, is_fortran, data = state[-4:]
        if isinstance(dtype, Dtype) and dtype.dtype.kind == 'O':
            self.array = _objects(data, shape)
        else:
            self.array = _values(data, dtype, shape, 'F' if is_fortran else 'C')


def _sizes(shape: Any) -> Tuple[int, ...]:
    """The sizes of a shape, checked."""
    sizes = (shape,) if isinstance(shape, int) else shape
    if not isinstance(sizes, tuple) or len(sizes) > 32 or not all(
            isinstance(size, int) and 0 <= size < 1 << 62 for size in sizes):
        raise pickle.UnpicklingError('an array that makes no sense')
    return sizes


def _objects(data: Any, shape: Any) -> np.ndarray:
    if not isinstance(data, list) or len(data) != limits.count(_sizes(shape)):
        raise pickle.UnpicklingError('an array of objects without its objects')
    result = np.empty([len(data)], object)
    for number, value in enumerate(data):
        result[number] = value
    return result.reshape(_sizes(shape))


def _values(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if isinstance(data, str):           # of Python 2
        data = data.encode('latin1')
    if not isinstance(dtype, Dtype) or dtype.dtype.kind == 'O' or not isinstance(
            data, (bytes, bytearray)) or not dtype.dtype.itemsize or (
                len(data) % dtype.dtype.itemsize):
        raise pickle.UnpicklingError('an array that makes no sense')
    flat = np.frombuffer(data, dtype.dtype)
    if limits.count(_sizes(shape)) != len(flat):
        raise pickle.UnpicklingError('an array of shape {} with {} values'.format(
            errors.quote(shape, 40), len(flat)))
    flat = flat.astype(flat.dtype.newbyteorder('='))    # a copy, which may be written to
    return arrays.checked_values(flat).reshape(_sizes(shape), order=order)


def frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """`numpy.core.numeric._frombuffer`, by which protocol 5 writes arrays of any shape."""
    result = Array()
    result.array = _values(data, dtype, shape, 'F' if order == 'F' else 'C')
    return result


def scalar(dtype: Any, data: Any = b'') -> Any:
    """`numpy.core.multiarray.scalar`: a number of an array of any shape."""
    if isinstance(dtype, Dtype) and dtype.dtype.kind == 'O':
        raise pickle.UnpicklingError('a number that makes no sense')
    return _values(data, dtype, (1,), 'C')[0]


class Sparse(Stub):
    """A matrix or array of scipy.sparse of any format."""

    __slots__ = ()

    def matrix(self) -> Any:
        """Returns scipy.sparse.csc_matrix or csr_matrix (where it was neither) of its numbers.

        Raises:
          ValueError: its state makes no sense.
        """
        import scipy.sparse  # here, since few pickles need it
        kind = re.sub(r'_(matrix|array)$', '', self.name.rsplit('.', 1)[1])
        state = {str(name).lstrip('_'): value for name, value in dict(self.state).items()}
        if not isinstance(state.get('shape'), tuple) or len(state['shape']) != 2 or not all(
                isinstance(size, (int, np.integer)) and 0 < size <= _MOST_SIDE
                for size in state['shape']):
            raise ValueError('its shape is {}'.format(errors.quote(state.get('shape'))))
        entries = {'csr': _compressed, 'csc': _compressed, 'bsr': _blocks, 'coo': _coordinates,
                   'dia': _diagonals, 'lil': _lists, 'dok': _keys}[kind]
        rows, columns, values = entries(self, state)
        if kind == 'csc':
            rows, columns = columns, rows
        values = np.asarray(values)
        if values.dtype.kind not in 'biuf' or not len(rows) == len(columns) == len(values):
            raise ValueError('its entries make no sense')
        for places, size in zip((rows, columns), state['shape']):
            if len(places) and (places.dtype.kind not in 'iu' or places.min() < 0
                                or places.max() >= size):
                raise ValueError('an entry lies outside of it')
        make = scipy.sparse.csc_matrix if kind == 'csc' else scipy.sparse.csr_matrix
        return make((values.astype(np.float64), (rows, columns)), shape=state['shape'])


def _vector(state: Dict, name: str) -> np.ndarray:
    value = state[name]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in 'biuf':
        raise ValueError('its {} are no numbers'.format(name))
    return value


def _counted(pointers: np.ndarray, rows: int) -> np.ndarray:
    """The row of each entry from where the rows begin."""
    pointers = pointers.ravel().astype(np.int64)
    steps = np.diff(pointers)
    if len(steps) != rows or pointers[0] != 0 or (steps < 0).any() or pointers[-1] > _MOST_ENTRIES:
        raise ValueError('its rows make no sense')
    return np.repeat(np.arange(rows), steps)


def _compressed(stub, state):
    outer = _counted(_vector(state, 'indptr'), state['shape']['csc' in stub.name])
    inner, values = (_vector(state, name).ravel()[:len(outer)]      # SciPy leaves room behind
                     for name in ('indices', 'data'))
    return outer, inner, values


def _blocks(unused, state):
    values, inner = _vector(state, 'data'), _vector(state, 'indices').ravel()
    if values.ndim != 3 or len(values) != len(inner):
        raise ValueError('its blocks make no sense')
    height, width = values.shape[1:]
    outer = _counted(_vector(state, 'indptr'), state['shape'][0] // height)
    rows = outer[:, None, None] * height + np.arange(height)[:, None] + np.zeros(width, np.int64)
    columns = inner.astype(np.int64)[:, None, None] * width + np.arange(width) + np.zeros(
        [height, 1], np.int64)
    return rows.ravel(), columns.ravel(), values.ravel()


def _coordinates(unused, state):
    rows, columns = state['coords'] if 'coords' in state else (state['row'], state['col'])
    state = {'row': rows, 'col': columns, 'data': state['data']}
    return tuple(_vector(state, name).ravel() for name in ('row', 'col', 'data'))


def _diagonals(unused, state):
    values, offsets = _vector(state, 'data'), _vector(state, 'offsets').ravel().astype(np.int64)
    if values.ndim != 2 or len(values) != len(offsets):
        raise ValueError('its diagonals make no sense')
    columns = np.arange(values.shape[1]) + np.zeros([len(offsets), 1], np.int64)
    rows = columns - offsets[:, None]
    inside = ((rows >= 0) & (rows < state['shape'][0]) & (columns < state['shape'][1]))
    return rows[inside], columns[inside], values[inside]


def _lists(unused, state):
    places, values = list(state['rows'].ravel()), list(state['data'].ravel())
    rows = [row for row, line in enumerate(places) for _ in line]
    return (np.array(rows, np.int64), np.array([one for line in places for one in line], np.int64),
            np.array([one for line in values for one in line], np.float64))


def _keys(stub, state):
    entries = state.get('dict', stub.items)
    places = np.array(list(entries), np.int64).reshape(-1, 2)
    return places[:, 0], places[:, 1], np.array(list(entries.values()), np.float64)


def refused(*unused) -> None:
    """`numpy.ndarray`, which a pickle names but never calls."""
    raise pickle.UnpicklingError('an array that makes no sense')

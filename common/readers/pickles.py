"""Pickles from outside: arrays, sparse matrices and containers come out, and nothing is ever run.

SMPL's file is a pickle of Python 2 with objects of chumpy and SciPy in it; checkpoints of PyTorch
and weights of 3D-R2N2 are made of pickles too. A pickle is a program: Python's own unpickler (the
slow one) runs it here with every instruction replaced that could do harm. A name leads to a value
of ours or to an inert `Stub`, only those take a state; depth, number and bytes are bounded.
"""
import io
import pickle
import re
import time
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Set, Tuple, Union

import numpy as np

from common import errors
from common.readers import arrays, limits

_MOST_STEPS = 1000000       # instructions and items; a checkpoint of PyTorch has tens of thousands
_MOST_SECONDS = 8.          # of computing
_DEPTH = 60                 # of containers in containers
_MOST_KEYS = 20000          # of a set or dict that is made at once; equal hashes take n * n steps
_MOST_VALUES = 1000000      # as if what is referred to were written out
_LONGEST_NUMBER = 1000      # characters or bytes of a number
_MOST_SIDE, _MOST_ENTRIES = 10000000, 50000000  # of a sparse matrix
_WHAT = 'a pickle of arrays'
# Modules whose names have no place in a file of values; the others' are left aside as stubs.
_ACTING = re.compile(r'(posix|nt|os|sys|io|_io|subprocess|importlib|imp|runpy|shutil|socket|ctypes'
                     r'|pty|code|commands|popen2|webbrowser|pickle|_pickle|cPickle|marshal|operator'
                     r'|_operator|timeit|pdb|bdb|profile|cProfile|builtins|__builtin__)(\..*)?')


class Forbidden(pickle.UnpicklingError):
    """A pickle wants something to be run."""


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

    def made(self, arguments: Tuple) -> Any:
        """What a call of the name gives."""
        if self._function is None:
            return Stub(self.name, arguments)
        return self._function(*arguments)

    def __repr__(self):
        return self.name


class _Dtype:
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


class _Array:
    """An array that is still to get its values."""

    def __init__(self, *unused):
        self.array = None

    def set_state(self, state: Any) -> None:
        """Takes shape, dtype and values as NumPy pickles them."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise pickle.UnpicklingError('an array that makes no sense')
        shape, dtype, is_fortran, data = state[-4:]
        if isinstance(dtype, _Dtype) and dtype.dtype.kind == 'O':
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
    if not isinstance(dtype, _Dtype) or dtype.dtype.kind == 'O' or not isinstance(
            data, (bytes, bytearray)) or not dtype.dtype.itemsize or (
                len(data) % dtype.dtype.itemsize):
        raise pickle.UnpicklingError('an array that makes no sense')
    flat = np.frombuffer(data, dtype.dtype)
    if limits.count(_sizes(shape)) != len(flat):
        raise pickle.UnpicklingError('an array of shape {} with {} values'.format(
            errors.quote(shape, 40), len(flat)))
    flat = flat.astype(flat.dtype.newbyteorder('='))    # a copy, which may be written to
    return arrays.checked_values(flat).reshape(_sizes(shape), order=order)


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """`numpy.core.numeric._frombuffer`, by which protocol 5 writes arrays."""
    result = _Array()
    result.array = _values(data, dtype, shape, 'F' if order == 'F' else 'C')
    return result


def _scalar(dtype: Any, data: Any = b'') -> Any:
    """`numpy.core.multiarray.scalar`: a number of an array."""
    if isinstance(dtype, _Dtype) and dtype.dtype.kind == 'O':
        raise pickle.UnpicklingError('a number that makes no sense')
    return _values(data, dtype, (1,), 'C')[0]


class _Sparse(Stub):
    """A matrix or array of scipy.sparse of any format."""

    __slots__ = ()

    def matrix(self):
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


def _refused(*unused) -> None:
    """`numpy.ndarray`, which a pickle names but never calls."""
    raise pickle.UnpicklingError('an array that makes no sense')


def _encoded(text: Any, encoding: str = 'latin1') -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes in old protocols."""
    if encoding not in ('latin1', 'latin-1') or not isinstance(text, str):
        raise pickle.UnpicklingError('bytes in {}'.format(errors.quote(encoding)))
    return text.encode('latin1')


def _bytes(data: Any = b'', encoding: str = 'latin1') -> bytes:
    if isinstance(data, str):
        return _encoded(data, encoding)
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    raise pickle.UnpicklingError('bytes of {}'.format(errors.quote(data)))


def _row(kind: Callable) -> Callable:
    """list, tuple, set or frozenset, of a list or tuple only."""
    def function(values=()):
        if not isinstance(values, (list, tuple)):
            raise pickle.UnpicklingError('a {} of {}'.format(kind.__name__, errors.quote(values)))
        if kind in (set, frozenset):
            _check_keys(values)
        return kind(values)
    return function


def _check_keys(values: Any) -> None:
    if len(values) > _MOST_KEYS:
        raise pickle.UnpicklingError('a set or table of {} values'.format(len(values)))


def _dictionary(pairs=(), *unused) -> Dict:
    """An OrderedDict, defaultdict or Counter as a dict."""
    if not isinstance(pairs, (list, tuple, dict)):
        return {}
    _check_keys(pairs)
    return dict(pairs)


def _complex(real, imaginary=0.) -> complex:
    if not all(isinstance(part, (int, float)) for part in (real, imaginary)):
        raise pickle.UnpicklingError('a number that makes no sense')
    return complex(real, imaginary)


def _slice(*bounds) -> slice:
    if not 1 <= len(bounds) <= 3 or not all(one is None or isinstance(one, int) for one in bounds):
        raise pickle.UnpicklingError('a slice that makes no sense')
    return slice(*bounds)


def _made(kind: Any, *arguments) -> Any:
    """`copyreg.__newobj__`."""
    if not isinstance(kind, Name):
        raise pickle.UnpicklingError('an object of {}'.format(errors.quote(kind)))
    return kind.made(arguments)


def _rebuilt(kind: Any, base: Any = None, content: Any = None) -> Any:
    """`copyreg._reconstructor`; `content`: what an object that is a dict or a list holds."""
    value = _made(kind)
    if isinstance(value, Stub):
        value.items = content if isinstance(content, dict) else {}
        value.entries = content if isinstance(content, list) else []
    return value


_BUILTINS: Dict[str, Optional[Callable]] = {
    'bytes': _bytes, 'bytearray': _bytes, 'list': _row(list), 'tuple': _row(tuple),
    'set': _row(set), 'frozenset': _row(frozenset), 'dict': _dictionary, 'complex': _complex,
    'slice': _slice, 'object': None, 'float': None, 'int': None, 'long': None, 'bool': None,
    'str': None, 'unicode': None, 'type': None, 'range': None, 'xrange': None}
Known = Dict[Tuple[str, str], Optional[Callable]]
_KNOWN: Known = {
    ('_codecs', 'encode'): _encoded,
    ('collections', 'OrderedDict'): _dictionary, ('collections', 'Counter'): _dictionary,
    ('collections', 'defaultdict'): lambda factory=None, pairs=(): _dictionary(pairs),
    **{(module, 'OrderedDict'): _dictionary for module in ('odict', 'ordereddict')},
    ('numpy', 'dtype'): _Dtype, ('numpy', 'ndarray'): _refused}
for _module in ('builtins', '__builtin__'):
    _KNOWN.update({(_module, name): function for name, function in _BUILTINS.items()})
for _module in ('copyreg', 'copy_reg'):
    _KNOWN[_module, '_reconstructor'], _KNOWN[_module, '__newobj__'] = _rebuilt, _made
for _module in ('numpy.core', 'numpy._core'):
    _KNOWN[_module + '.multiarray', '_reconstruct'] = _Array
    _KNOWN[_module + '.multiarray', 'scalar'] = _scalar
    _KNOWN[_module + '.numeric', '_frombuffer'] = _frombuffer
_SPARSE = re.compile(r'scipy\.sparse\._?(\w+)\.?(\w*)')


_Python: Any = pickle      # whose unpickler in Python is not among its typed names


class _Reader(_Python._Unpickler):
    """Runs the program of a pickle; see the file's docstring.

    Args:
      stream: binary; known: dict {(module, name): function or None (a stub)}.
      persistent: None or function (id) -> value; most: int, bytes of arrays.
    """

    dispatch = dict(_Python._Unpickler.dispatch)

    def __init__(self, stream, known: Known, persistent, most: int):
        super().__init__(stream, encoding='latin1', fix_imports=False)
        self._known, self._persistent = known, persistent
        self._left, self._bytes_left = _MOST_STEPS, most
        self._end = time.thread_time() + _MOST_SECONDS
        self._nested: Dict[int, Tuple[int, int]] = {}   # {id: (depth, values as if written out)}
        self._tuples: List[Tuple] = []      # keeps them, so that no id is used twice

    def load(self) -> Any:
        """Returns what was pickled, with stubs."""
        self._unframer = _Python._Unframer(self._file_read, self._file_readline)
        self.read, self.readline = self._unframer.read, self._unframer.readline
        self.metastack: List[List[Any]] = []
        self.stack: List[Any] = []
        self.proto = 0
        self.append = self.stack.append
        dispatch = self.dispatch
        try:
            while True:
                self._count(1)
                key = self.read(1)
                if not key:
                    raise EOFError('it is cut short')
                if key[0] not in dispatch:
                    raise pickle.UnpicklingError('it is no pickle, or damaged')
                dispatch[key[0]](self)
        except _Python._Stop as stop:
            return stop.value

    def _count(self, number: int) -> None:
        before, self._left = self._left, self._left - number
        if self._left < 0:
            raise pickle.UnpicklingError('it has more than {} values'.format(_MOST_STEPS))
        if before >> 10 != self._left >> 10 and time.thread_time() > self._end:
            raise pickle.UnpicklingError('reading it takes more than {:g} seconds'.format(
                _MOST_SECONDS))

    def find_class(self, module: str, name: str) -> Name:
        """What a name stands for."""
        full = '{}.{}'.format(module, name)
        if (module, name) in self._known:
            return Name(full, self._known[module, name])
        if _SPARSE.fullmatch(module) and name.endswith(('_matrix', '_array')):
            return Name(full, lambda *arguments: _Sparse(full, arguments))
        if _ACTING.fullmatch(module):
            raise Forbidden('it wants {}, which is not allowed'.format(
                errors.quote(full)))
        return Name(full)

    def persistent_load(self, pid: Any) -> Any:
        """A value that lies outside of the pickle."""
        if self._persistent is None:
            raise pickle.UnpicklingError('it refers to something outside of it')
        return self._persistent(pid)

    def get_extension(self, code: int) -> None:
        """Registered extensions: none."""
        raise Forbidden('it wants the extension {}, which is not allowed'.format(code))

    def _made(self, kind: Any, arguments: Any) -> None:
        if not isinstance(kind, Name) or not isinstance(arguments, tuple):
            raise Forbidden('it calls {}, which is not allowed'.format(
                errors.quote(kind)))
        for one in arguments:
            if isinstance(one, (list, tuple, dict, bytes, str)):
                self._count(len(one) >> (0 if isinstance(one, (list, tuple, dict)) else 10))
        try:
            value = kind.made(arguments)
        except (TypeError, ValueError, IndexError) as error:
            raise pickle.UnpicklingError('{}: {}'.format(errors.quote(kind.name),
                                                         errors.reason(error)))
        if isinstance(value, _Array) and value.array is not None:
            self._add_bytes(value.array.nbytes)
        if isinstance(value, bytes):
            self._add_bytes(len(value))
        if isinstance(value, tuple):
            self._note(value)
        self.append(value)

    def _add_bytes(self, number: int) -> None:
        self._bytes_left -= number
        if self._bytes_left < 0:
            raise pickle.UnpicklingError('its arrays take more memory than such a file may')

    def _note(self, value: Tuple) -> None:
        """Notes a tuple's size: hashing a deep one ends the process, a huge one has no end."""
        inside = [self._nested.get(id(one), (0, 1)) for one in value if isinstance(one, tuple)]
        depth = 1 + max([depth for depth, _ in inside], default=0)
        number = len(value) + sum(number for _, number in inside)
        if depth > _DEPTH:
            raise pickle.UnpicklingError('it is nested more than {} deep'.format(_DEPTH))
        if number > _MOST_VALUES:
            raise pickle.UnpicklingError('it stands for more than {} values'.format(_MOST_VALUES))
        self._nested[id(value)] = depth, number
        self._tuples.append(value)

    def _load_tuple(self, values) -> None:
        values = tuple(values)
        self._note(values)
        self.append(values)

    def _load_last(self, number: int) -> None:
        values = self.stack[-number:]
        if len(values) < number:
            raise pickle.UnpicklingError('it is damaged')
        del self.stack[-number:]
        self._load_tuple(values)

    def load_tuple(self):
        values = self.pop_mark()
        self._count(len(values))
        self._load_tuple(values)

    def load_proto(self):
        self.proto = self.read(1)[0]
        if self.proto > 5:
            raise pickle.UnpicklingError('its protocol {} is not known'.format(self.proto))

    def load_reduce(self):
        arguments, kind = self.stack.pop(), self.stack.pop()
        self._made(kind, arguments)

    def load_newobj_ex(self):
        _, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._made(kind, arguments)

    def load_inst(self):
        module, name = (self.readline()[:-1].decode('latin1') for _ in range(2))
        self._made(self.find_class(module, name), tuple(self.pop_mark()))

    def load_obj(self):
        values = self.pop_mark()
        self._made(values[0], tuple(values[1:]))

    def load_build(self):
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, (_Array, _Dtype, Stub)):
            value.set_state(state)
            if isinstance(value, _Array):
                self._add_bytes(value.array.nbytes)
        elif not isinstance(value, dict):       # what an OrderedDict carries besides
            raise Forbidden('it sets the state of {}, which is not allowed'.format(
                errors.quote(value)))

    def load_appends(self):
        values, target = self.pop_mark(), self.stack[-1]
        self._count(len(values))
        target = target.entries if isinstance(target, Stub) else target
        if type(target) is not list:
            raise pickle.UnpicklingError('it adds to {}'.format(errors.quote(target)))
        target.extend(values)

    def load_append(self):
        value = self.stack.pop()
        self.metastack.append(self.stack)
        self.stack = [value]
        self.load_appends()

    def load_setitems(self):
        values, target = self.pop_mark(), self.stack[-1]
        target = target.items if isinstance(target, Stub) else target
        if type(target) is not dict or len(values) % 2:
            raise pickle.UnpicklingError('it puts items into {}'.format(errors.quote(target)))
        for key, value in zip(values[::2], values[1::2]):
            self._count(1)
            target[key] = value

    def load_setitem(self):
        pair = self.stack[-2:]
        del self.stack[-2:]
        self.metastack.append(self.stack)
        self.stack = pair
        self.load_setitems()

    def load_dict(self):
        values = self.pop_mark()
        self.append({})
        self.metastack.append(self.stack)
        self.stack = values
        self.load_setitems()

    def load_additems(self):
        values, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise pickle.UnpicklingError('it adds to {}'.format(errors.quote(target)))
        for value in values:
            self._count(1)
            target.add(value)

    def load_number(self):
        line = self.readline()
        if len(line) > _LONGEST_NUMBER:
            raise pickle.UnpicklingError('a number of {} characters'.format(len(line)))
        text = line.strip().rstrip(b'L').decode('latin1')
        self.append({'00': False, '01': True}[text] if text in ('00', '01') else int(text, 0 if (
            text[:1].isdecimal() and text[:2].lower() == '0x') else 10))

    def load_float(self):
        self.append(float(self.readline()[:_LONGEST_NUMBER]))

    def load_long4(self):
        size = int.from_bytes(self.read(4), 'little')
        if size > _LONGEST_NUMBER:
            raise pickle.UnpicklingError('a number of {} bytes'.format(size))
        self.append(int.from_bytes(self.read(size), 'little', signed=True))

    def _place(self) -> int:
        line = self.readline()
        if len(line) > 20 or not line.strip().isdigit():
            raise pickle.UnpicklingError('it is damaged')
        return int(line)

    def load_get(self):
        self.append(self.memo[self._place()])

    def load_put(self):
        self.memo[self._place()] = self.stack[-1]

    def load_frozenset(self):
        values = self.pop_mark()
        _check_keys(values)
        self.append(frozenset(values))

    def load_bytearray8(self):
        self.append(self.read(int.from_bytes(self.read(8), 'little')))

    def load_buffer(self):
        raise pickle.UnpicklingError('its arrays lie outside of it')

    def load_nothing(self):
        """READONLY_BUFFER: what is read stays as it is."""

    for _code, _function in (
            (pickle.TUPLE, load_tuple), (pickle.TUPLE1, lambda self: self._load_last(1)),
            (pickle.TUPLE2, lambda self: self._load_last(2)),
            (pickle.TUPLE3, lambda self: self._load_last(3)), (pickle.PROTO, load_proto),
            (pickle.REDUCE, load_reduce), (pickle.NEWOBJ, load_reduce),
            (pickle.NEWOBJ_EX, load_newobj_ex), (pickle.INST, load_inst), (pickle.OBJ, load_obj),
            (pickle.BUILD, load_build), (pickle.APPENDS, load_appends),
            (pickle.APPEND, load_append), (pickle.SETITEMS, load_setitems),
            (pickle.SETITEM, load_setitem), (pickle.DICT, load_dict),
            (pickle.ADDITEMS, load_additems), (pickle.INT, load_number),
            (pickle.LONG, load_number), (pickle.FLOAT, load_float), (pickle.LONG4, load_long4),
            (pickle.GET, load_get), (pickle.PUT, load_put),
            (pickle.FROZENSET, load_frozenset), (b'\x96', load_bytearray8),
            (b'\x97', load_buffer), (b'\x98', load_nothing)):
        dispatch[_code[0]] = _function


class _Stream:
    """A stream whose reads never ask for more than there is."""

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._size = stream, size

    def read(self, number: int) -> bytes:
        left = self._size - self._stream.tell()
        data = self._stream.read(max(0, min(number, left)))
        if len(data) < number:
            raise EOFError('it is cut short')
        return data

    def readline(self) -> bytes:
        return self._stream.readline()


def load(stream: Union[bytes, BinaryIO], path: str, remedy: str = '',
         known: Optional[Known] = None, persistent: Optional[Callable[[Any], Any]] = None,
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
            reader = _Reader(_Stream(stream, size), {**_KNOWN, **(known or {})}, persistent,
                             limits.unpacked(size, most))
            return replaced(reader.load())
        except Forbidden as error:
            raise errors.InputError('{} cannot be read as {}: {}. Nothing of it was run; take such '
                                    'files from their makers alone.'.format(path, what, error))
        except pickle.UnpicklingError as error:
            raise ValueError(error)


def read(path: str, what: str = _WHAT, remedy: str = '') -> Any:
    """Reads a file of one pickle; see `load`."""
    with limits.opened(path, what, remedy) as (stream, _):
        return load(stream, path, remedy, what=what)


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
        if isinstance(value, _Array):
            value = value.array
            if value is None:
                raise ValueError('an array without values')
        if not isinstance(value, (list, tuple, dict, set, frozenset, Stub)) and not (
                isinstance(value, np.ndarray) and value.dtype.kind == 'O'):
            return self._function(value.dtype if isinstance(value, _Dtype) else value), 1
        if id(value) in self._done:
            return self._done[id(value)][1:]
        if id(value) in self._open:
            raise ValueError('something in it holds itself')
        if depth > _DEPTH:
            raise ValueError('it is nested more than {} deep'.format(_DEPTH))
        self._open.add(id(value))
        result, number = self._inner(value, depth + 1)
        self._open.remove(id(value))
        if number > _MOST_VALUES:
            raise ValueError('it stands for more than {} values'.format(_MOST_VALUES))
        self._done[id(value)] = value, result, number
        return result, number

    def _inner(self, value: Any, depth: int) -> Tuple[Any, int]:
        if isinstance(value, Stub):
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

    def _stub(self, stub: Stub, depth: int) -> Tuple[Any, int]:
        """A sparse matrix, or a stub; the state of others than chumpy's is left aside."""
        number = 1
        if isinstance(stub, _Sparse) or stub.name.startswith('chumpy.'):
            stub.state, number = self.settled(stub.state, depth)
        else:
            stub.state, stub.items, stub.entries, stub.arguments = {}, {}, [], ()
        if isinstance(stub, _Sparse):
            try:
                return stub.matrix(), 1
            except limits.DAMAGE as error:
                raise ValueError('a sparse matrix: {}'.format(errors.reason(error)))
        return stub, 1 + number


def plain(value: Any, path: str, name: str, remedy: str = '') -> Any:
    """Returns the array, or sparse matrix, of a value of a pickle.

    Args:
      value: array of any shape or sparse matrix, or Stub of chumpy: its arrays, selections,
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
                    path, errors.quote(name), errors.quote(value if isinstance(value, Stub)
                                                           else type(value).__name__),
                    remedy or 'If it is an expression of chumpy, save its value: numpy.array(it).'))
        return array


def _resolved(value: Any, depth: int) -> Any:
    """The array of a value; None if it is an expression."""
    if isinstance(value, np.ndarray) or hasattr(value, 'tocsr'):
        return value
    if not isinstance(value, Stub) or not isinstance(value.state, dict) or depth > _DEPTH:
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

"""Runs the program that a pickle is, without what could do harm.

Python's own unpickler, the slow one in Python, with every instruction replaced that calls, sets,
hashes or counts. A name leads to a value of ours or to an inert stub, only those take a state;
depth, number and bytes of values are bounded.
"""
import pickle
import re
import time
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

from common import errors
from common.readers import pickled

DEPTH = 60                  # of containers in containers
MOST_VALUES = 1000000       # as if what is referred to were written out
_MOST_STEPS = 1000000       # instructions and items; a checkpoint of PyTorch has tens of thousands
_MOST_SECONDS = 4.          # of computing; what is read is then gone through once more
_MOST_KEYS = 20000          # of a set or dict that is made at once; equal hashes take n * n steps
_LONGEST_NUMBER = 1000      # characters or bytes of a number
# Modules whose names have no place in a file of values; the others' are left aside as stubs.
_ACTING = re.compile(r'(posix|nt|os|sys|io|_io|subprocess|importlib|imp|runpy|shutil|socket|ctypes'
                     r'|pty|code|commands|popen2|webbrowser|pickle|_pickle|cPickle|marshal|operator'
                     r'|_operator|timeit|pdb|bdb|profile|cProfile|builtins|__builtin__)(\..*)?')


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


def _new_object(kind: Any, *arguments) -> Any:
    """`copyreg.__newobj__`."""
    if not isinstance(kind, pickled.Name):
        raise pickle.UnpicklingError('an object of {}'.format(errors.quote(kind)))
    return kind.called(arguments)


def _rebuilt(kind: Any, base: Any = None, content: Any = None) -> Any:
    """`copyreg._reconstructor`; `content`: what an object that is a dict or a list holds."""
    value = _new_object(kind)
    if isinstance(value, pickled.Stub):
        value.items = content if isinstance(content, dict) else {}
        value.entries = content if isinstance(content, list) else []
    return value


_BUILTINS: Dict[str, Optional[Callable]] = {
    'bytes': _bytes, 'bytearray': _bytes, 'list': _row(list), 'tuple': _row(tuple),
    'set': _row(set), 'frozenset': _row(frozenset), 'dict': _dictionary, 'complex': _complex,
    'slice': _slice, 'object': None, 'float': None, 'int': None, 'long': None, 'bool': None,
    'str': None, 'unicode': None, 'type': None, 'range': None, 'xrange': None}
Known = Dict[Tuple[str, str], Optional[Callable]]
KNOWN: Known = {
    ('_codecs', 'encode'): _encoded,
    ('collections', 'OrderedDict'): _dictionary, ('collections', 'Counter'): _dictionary,
    ('collections', 'defaultdict'): lambda factory=None, pairs=(): _dictionary(pairs),
    **{(module, 'OrderedDict'): _dictionary for module in ('odict', 'ordereddict')},
    ('numpy', 'dtype'): pickled.Dtype, ('numpy', 'ndarray'): pickled.refused}
for _module in ('builtins', '__builtin__'):
    KNOWN.update({(_module, name): function for name, function in _BUILTINS.items()})
for _module in ('copyreg', 'copy_reg'):
    KNOWN[_module, '_reconstructor'], KNOWN[_module, '__newobj__'] = _rebuilt, _new_object
for _module in ('numpy.core', 'numpy._core'):
    KNOWN[_module + '.multiarray', '_reconstruct'] = pickled.Array
    KNOWN[_module + '.multiarray', 'scalar'] = pickled.scalar
    KNOWN[_module + '.numeric', '_frombuffer'] = pickled.frombuffer
_SPARSE = re.compile(r'scipy\.sparse\._?(\w+)\.?(\w*)')


_Python: Any = pickle      # whose unpickler in Python is not among its typed names


class Unpickler(_Python._Unpickler):
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

    def find_class(self, module: str, name: str) -> pickled.Name:
        """What a name stands for."""
        full = '{}.{}'.format(module, name)
        if (module, name) in self._known:
            return pickled.Name(full, self._known[module, name])
        if _SPARSE.fullmatch(module) and name.endswith(('_matrix', '_array')):
            return pickled.Name(full, lambda *arguments: pickled.Sparse(full, arguments))
        if _ACTING.fullmatch(module):
            raise pickled.Forbidden('it wants {}, which is not allowed'.format(
                errors.quote(full)))
        return pickled.Name(full)

    def persistent_load(self, pid: Any) -> Any:
        """A value that lies outside of the pickle."""
        if self._persistent is None:
            raise pickle.UnpicklingError('it refers to something outside of it')
        return self._persistent(pid)

    def get_extension(self, code: int) -> None:
        """Registered extensions: none."""
        raise pickled.Forbidden('it wants the extension {}, which is not allowed'.format(code))

    def _call(self, kind: Any, arguments: Any) -> None:
        if not isinstance(kind, pickled.Name) or not isinstance(arguments, tuple):
            raise pickled.Forbidden('it calls {}, which is not allowed'.format(
                errors.quote(kind)))
        for one in arguments:
            if isinstance(one, (list, tuple, dict, bytes, str)):
                self._count(len(one) >> (0 if isinstance(one, (list, tuple, dict)) else 10))
        try:
            value = kind.called(arguments)
        except (TypeError, ValueError, IndexError) as error:
            raise pickle.UnpicklingError('{}: {}'.format(errors.quote(kind.name),
                                                         errors.reason(error)))
        if isinstance(value, pickled.Array) and value.array is not None:
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
        if depth > DEPTH:
            raise pickle.UnpicklingError('it is nested more than {} deep'.format(DEPTH))
        if number > MOST_VALUES:
            raise pickle.UnpicklingError('it stands for more than {} values'.format(MOST_VALUES))
        self._nested[id(value)] = depth, number
        self._tuples.append(value)

    def _push_tuple(self, values) -> None:
        values = tuple(values)
        self._note(values)
        self.append(values)

    def _load_last(self, number: int) -> None:
        values = self.stack[-number:]
        if len(values) < number:
            raise pickle.UnpicklingError('it is damaged')
        del self.stack[-number:]
        self._push_tuple(values)

    def _load_tuple(self):
        values = self.pop_mark()
        self._count(len(values))
        self._push_tuple(values)

    def _load_proto(self):
        self.proto = self.read(1)[0]
        if self.proto > 5:
            raise pickle.UnpicklingError('its protocol {} is not known'.format(self.proto))

    def _load_reduce(self):
        arguments, kind = self.stack.pop(), self.stack.pop()
        self._call(kind, arguments)

    def _load_newobj_ex(self):
        _, arguments, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._call(kind, arguments)

    def _load_inst(self):
        module, name = (self.readline()[:-1].decode('latin1') for _ in range(2))
        self._call(self.find_class(module, name), tuple(self.pop_mark()))

    def _load_obj(self):
        values = self.pop_mark()
        self._call(values[0], tuple(values[1:]))

    def _load_build(self):
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, (pickled.Array, pickled.Dtype, pickled.Stub)):
            value.set_state(state)
            if isinstance(value, pickled.Array):
                self._add_bytes(value.array.nbytes)
        elif not isinstance(value, dict):       # what an OrderedDict carries besides
            raise pickled.Forbidden('it sets the state of {}, which is not allowed'.format(
                errors.quote(value)))

    def _load_appends(self):
        values, target = self.pop_mark(), self.stack[-1]
        self._count(len(values))
        target = target.entries if isinstance(target, pickled.Stub) else target
        if type(target) is not list:
            raise pickle.UnpicklingError('it adds to {}'.format(errors.quote(target)))
        target.extend(values)

    def _load_append(self):
        value = self.stack.pop()
        self.metastack.append(self.stack)
        self.stack = [value]
        self._load_appends()

    def _load_setitems(self):
        values, target = self.pop_mark(), self.stack[-1]
        target = target.items if isinstance(target, pickled.Stub) else target
        if type(target) is not dict or len(values) % 2:
            raise pickle.UnpicklingError('it puts items into {}'.format(errors.quote(target)))
        for key, value in zip(values[::2], values[1::2]):
            self._count(1)
            target[key] = value

    def _load_setitem(self):
        pair = self.stack[-2:]
        del self.stack[-2:]
        self.metastack.append(self.stack)
        self.stack = pair
        self._load_setitems()

    def _load_dict(self):
        values = self.pop_mark()
        self.append({})
        self.metastack.append(self.stack)
        self.stack = values
        self._load_setitems()

    def _load_additems(self):
        values, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise pickle.UnpicklingError('it adds to {}'.format(errors.quote(target)))
        for value in values:
            self._count(1)
            target.add(value)

    def _load_number(self):
        line = self.readline()
        if len(line) > _LONGEST_NUMBER:
            raise pickle.UnpicklingError('a number of {} characters'.format(len(line)))
        text = line.strip().rstrip(b'L').decode('latin1')
        self.append({'00': False, '01': True}[text] if text in ('00', '01') else int(text, 0 if (
            text[:1].isdecimal() and text[:2].lower() == '0x') else 10))

    def _load_float(self):
        self.append(float(self.readline()[:_LONGEST_NUMBER]))

    def _load_long4(self):
        size = int.from_bytes(self.read(4), 'little')
        if size > _LONGEST_NUMBER:
            raise pickle.UnpicklingError('a number of {} bytes'.format(size))
        self.append(int.from_bytes(self.read(size), 'little', signed=True))

    def _place(self) -> int:
        line = self.readline()
        if len(line) > 20 or not line.strip().isdigit():
            raise pickle.UnpicklingError('it is damaged')
        return int(line)

    def _load_get(self):
        self.append(self.memo[self._place()])

    def _load_put(self):
        self.memo[self._place()] = self.stack[-1]

    def _load_frozenset(self):
        values = self.pop_mark()
        _check_keys(values)
        self.append(frozenset(values))

    def _load_bytearray8(self):
        self.append(self.read(int.from_bytes(self.read(8), 'little')))

    def _load_buffer(self):
        raise pickle.UnpicklingError('its arrays lie outside of it')

    def _load_nothing(self):
        """READONLY_BUFFER: what is read stays as it is."""

    for _code, _function in (
            (pickle.TUPLE, _load_tuple), (pickle.TUPLE1, lambda self: self._load_last(1)),
            (pickle.TUPLE2, lambda self: self._load_last(2)),
            (pickle.TUPLE3, lambda self: self._load_last(3)), (pickle.PROTO, _load_proto),
            (pickle.REDUCE, _load_reduce), (pickle.NEWOBJ, _load_reduce),
            (pickle.NEWOBJ_EX, _load_newobj_ex), (pickle.INST, _load_inst), (pickle.OBJ, _load_obj),
            (pickle.BUILD, _load_build), (pickle.APPENDS, _load_appends),
            (pickle.APPEND, _load_append), (pickle.SETITEMS, _load_setitems),
            (pickle.SETITEM, _load_setitem), (pickle.DICT, _load_dict),
            (pickle.ADDITEMS, _load_additems), (pickle.INT, _load_number),
            (pickle.LONG, _load_number), (pickle.FLOAT, _load_float), (pickle.LONG4, _load_long4),
            (pickle.GET, _load_get), (pickle.PUT, _load_put),
            (pickle.FROZENSET, _load_frozenset), (b'\x96', _load_bytearray8),
            (b'\x97', _load_buffer), (b'\x98', _load_nothing)):
        dispatch[_code[0]] = _function


class Bounded:
    """A stream whose reads never ask for more than there is."""

    def __init__(self, stream: BinaryIO, size: int):
        self._stream, self._size = stream, size

    def read(self, number: int) -> bytes:
        """Returns so many bytes; an EOFError if there are fewer."""
        left = self._size - self._stream.tell()
        data = self._stream.read(max(0, min(number, left)))
        if len(data) < number:
            raise EOFError('it is cut short')
        return data

    def readline(self) -> bytes:
        """Returns the bytes up to the next line break."""
        return self._stream.readline()

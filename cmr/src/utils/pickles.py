"""Reads pickles of strangers: arrays, sparse matrices and containers are built, nothing else.

SMPL's file is a pickle of Python 2 with objects of chumpy and SciPy in it, and a checkpoint of
PyTorch is made of pickles. A pickle may name any function to be called; here only the names of a
short list are found, and classes of other packages become `Stub`s that hold their state.
"""
import collections
import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import scipy.sparse

from common import errors


class Stub:
    """Stands for an object of a package that is not needed; `state` is what it was saved with."""

    def __init__(self, *unused):
        self.state = {}

    def __setstate__(self, state):
        self.state = state


def _no_bytes():
    """`bytes()`, by which Python 3 writes empty ones."""
    return b''


class _Dtype:
    """Stands for a dtype of plain numbers, text or objects.

    NumPy's own takes any flags that a pickle gives it, and then takes bytes for addresses of
    objects: that would run whatever the bytes lead to.
    """

    def __init__(self, text, *unused):
        found = np.dtype(text) if isinstance(text, str) else None
        if found is None or found.fields or found.subdtype or found.kind not in 'biufcSUO':
            raise pickle.UnpicklingError('arrays of {!r}'.format(text))
        self.dtype = found

    def __setstate__(self, state):
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose state is checked before NumPy takes it."""

    def __setstate__(self, state):
        shape, dtype, is_fortran, data = state[-4:]
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or not all(
                isinstance(size, int) and size >= 0 for size in shape):
            raise pickle.UnpicklingError('an array that makes no sense')
        if dtype.dtype.kind == 'O' and (not isinstance(data, list)
                                        or len(data) != np.prod(np.array(shape, object))):
            raise pickle.UnpicklingError('an array of objects without its objects')
        super().__setstate__((1, shape, dtype.dtype, bool(is_fortran), data))


def _array(*unused):
    """`numpy.core.multiarray._reconstruct`: an empty array, to be filled by its state."""
    return _Array([0])


def _scalar(dtype, data=b''):
    """`numpy.core.multiarray.scalar`: a number of an array."""
    data = data.encode('latin1') if isinstance(data, str) else data
    if not isinstance(dtype, _Dtype) or dtype.dtype.kind == 'O' or (
            len(data) != dtype.dtype.itemsize):
        raise pickle.UnpicklingError('a number that makes no sense')
    return np.frombuffer(data, dtype.dtype)[0]


class _Sparse(Stub):
    """A SciPy matrix of compressed rows or columns."""

    make = None

    def matrix(self):
        """The SciPy matrix, its indices checked."""
        state = {name.lstrip('_'): value for name, value in self.state.items()}
        found = self.make((np.asarray(state['data'], np.float64), state['indices'],
                           state['indptr']), shape=tuple(state['shape']))
        found.check_format(full_check=True)
        return found


class _Columns(_Sparse):
    make = scipy.sparse.csc_matrix


class _Rows(_Sparse):
    make = scipy.sparse.csr_matrix


def _rebuilt(kind, base, state):
    """`copyreg._reconstructor` for stubs."""
    del base, state
    if not (isinstance(kind, type) and issubclass(kind, Stub)):
        raise pickle.UnpicklingError('an object of {}'.format(kind))
    return kind()


def _encoded(text, encoding='latin1'):
    """`_codecs.encode`, by which Python 3 writes bytes in old protocols."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError('bytes in {}'.format(encoding))
    return text.encode('latin1')


_KNOWN = {
    ('numpy.core.multiarray', '_reconstruct'): _array,
    ('numpy.core.multiarray', 'scalar'): _scalar,
    ('numpy', 'ndarray'): 'ndarray',        # named as what to reconstruct, never called
    ('numpy', 'dtype'): _Dtype,
    ('_codecs', 'encode'): _encoded, ('collections', 'OrderedDict'): collections.OrderedDict,
    ('copy_reg', '_reconstructor'): _rebuilt, ('copyreg', '_reconstructor'): _rebuilt,
    ('__builtin__', 'bytes'): _no_bytes,
    ('__builtin__', 'object'): object, ('builtins', 'object'): object,
    ('scipy.sparse.csc', 'csc_matrix'): _Columns, ('scipy.sparse._csc', 'csc_matrix'): _Columns,
    ('scipy.sparse.csr', 'csr_matrix'): _Rows, ('scipy.sparse._csr', 'csr_matrix'): _Rows,
    ('chumpy.ch', 'Ch'): type('Ch', (Stub,), {}),
    ('chumpy.reordering', 'Select'): type('Select', (Stub,), {})}
_ERRORS = (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError,
           AttributeError, OverflowError, MemoryError, ImportError, UnicodeError)
# What reading an archive that is cut short or altered raises, besides OSError.
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, EOFError,
                  NotImplementedError, RuntimeError, MemoryError, OverflowError)


class Reader(pickle.Unpickler):
    """An unpickler that finds the names of a list only.

    Args:
      stream: binary file.
      known: dict {(module, name): what it stands for}, besides those of NumPy and SciPy.
      persistent: None or function (id) -> object.
    """

    def __init__(self, stream, known=None, persistent=None):
        super().__init__(stream, encoding='latin1')
        self._known = {**_KNOWN, **(known or {})}
        self._persistent = persistent

    def find_class(self, module, name):
        """What a name of the list stands for."""
        if (module, name) not in self._known:
            raise pickle.UnpicklingError('it wants {}.{}, which is not allowed'.format(
                module, name))
        return self._known[module, name]

    def persistent_load(self, pid):
        """An object that lies outside of the pickle."""
        if self._persistent is None:
            raise pickle.UnpicklingError('it refers to something outside of it')
        return self._persistent(pid)


def load(stream, path, known=None, persistent=None):
    """Reads one pickle.

    Args:
      stream: binary file or bytes; path: str, for messages; the rest as in `Reader`.
    Returns:
      What was pickled; objects of SciPy and chumpy as `Stub`s (see `plain`).
    Raises:
      errors.InputError: it is no pickle, is cut short, or wants what is not allowed.
    """
    if isinstance(stream, bytes):
        stream = io.BytesIO(stream)
    try:
        return Reader(stream, known, persistent).load()
    except _ERRORS as error:
        raise errors.InputError('{} cannot be read as a pickle of arrays: {}. Nothing of it was '
                                'run; get the file anew from its makers.'.format(
                                    path, str(error).rstrip('.') or type(error).__name__))


def plain(value, path, name):
    """An array, or sparse matrix, of what was pickled.

    Args:
      value: array, SciPy matrix, or Stub of one or of chumpy's.
      path, name: str, for messages.
    Raises:
      errors.InputError: it is none of these.
    """
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if scipy.sparse.issparse(value):
        return value
    try:
        if isinstance(value, _Sparse):
            return value.matrix()
        if type(value).__name__ == 'Ch':
            return np.asarray(value.state['x'], np.float64)
        if type(value).__name__ == 'Select':
            inner = plain(value.state['a'], path, name)
            return inner.ravel()[value.state['idxs']].reshape(value.state['preferred_shape'])
    except _ERRORS as error:
        raise errors.InputError('{}: {} cannot be read: {}.'.format(path, name, error))
    raise errors.InputError('{}: {} is {}, expected an array. If the file is one of chumpy, save '
                            'it with plain arrays.'.format(path, name, type(value).__name__))

"""Weights in the original's layout and order: the released .npy lists, both ways.

The original keeps a list of arrays without names: kernels [out, in, kh, kw] and
[out, kd, in, kh, kw], flipped by its convolutions, matrices whose rows and columns run through the
channels first.
"""
import io
import pickle
import tokenize
import zipfile
import zlib
from typing import List

import numpy as np
import tensorflow.compat.v1 as tf

from common import errors, files
from r2n2.models import net as net_lib

# What a pickled list of arrays is made of; nothing else is ever built.
_ALLOWED = {('numpy.core.multiarray', '_reconstruct'), ('numpy', 'ndarray'), ('numpy', 'dtype'),
            ('numpy._core.multiarray', '_reconstruct'), ('_codecs', 'encode')}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError('it holds {}.{}'.format(module, name))
        return super().find_class(module.replace('numpy._core', 'numpy.core'), name)


def original_name(name: str) -> str:
    """Turns 'conv1a/W' into 'conv1a.W', as the golden cases call it."""
    return name.replace('/', '.')


def is_kernel(name: str) -> bool:
    """Whether a parameter is a kernel or a matrix, to which weight decay applies."""
    return name.rsplit('/', 1)[-1] in ('W', 'Wh', 'Wx')


def from_original(net: net_lib.Net, name: str, array: np.ndarray) -> np.ndarray:
    """Converts one of the original's arrays to the layout of TensorFlow.

    Args:
      net: models.net.Net.
      name: str, of our variable.
      array: float [..], in the original's layout.
    Returns:
      float32 array in the layout of `net`'s variable.
    """
    kind = name.rsplit('/', 1)[-1]
    if name == 'fc7/W':
        channels = net.n_convfilter[-1]
        side = int(round((array.shape[0] / channels) ** 0.5))
        array = array.reshape(channels, side, side, -1).transpose(1, 2, 0, 3)
        array = array.reshape(side * side * channels, -1)
    elif kind == 'Wx':
        grid, channels = net.n_gru_vox, net.n_deconvfilter[0]
        array = array.reshape(-1, grid, channels, grid, grid).transpose(0, 1, 3, 4, 2)
        array = array.reshape(array.shape[0], -1)
    elif array.ndim == 4:
        array = array[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    elif array.ndim == 5:
        array = array[:, ::-1, :, ::-1, ::-1].transpose(1, 3, 4, 2, 0)
    return np.ascontiguousarray(array, np.float32)


def to_original(net: net_lib.Net, name: str, array: np.ndarray) -> np.ndarray:
    """Undoes `from_original`: float [..] to the original's layout."""
    kind = name.rsplit('/', 1)[-1]
    if name == 'fc7/W':
        channels = net.n_convfilter[-1]
        side = int(round((array.shape[0] / channels) ** 0.5))
        array = array.reshape(side, side, channels, -1).transpose(2, 0, 1, 3)
        array = array.reshape(channels * side * side, -1)
    elif kind == 'Wx':
        grid, channels = net.n_gru_vox, net.n_deconvfilter[0]
        array = array.reshape(-1, grid, grid, grid, channels).transpose(0, 1, 4, 2, 3)
        array = array.reshape(array.shape[0], -1)
    elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]
    elif array.ndim == 5:
        array = array.transpose(4, 0, 3, 1, 2)[:, ::-1, :, ::-1, ::-1]
    return np.ascontiguousarray(array, np.float32)


def read_list(path: str) -> List[np.ndarray]:
    """Reads the list of arrays of a .npy file of the original (or the first entry of an .npz).

    Raises:
      errors.InputError: the file is missing, damaged, or holds anything but arrays of numbers.
    """
    try:
        with open(path, 'rb') as stream:
            data = stream.read()
        if data[:2] == b'PK':
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                raw = archive.zip.read(archive.zip.namelist()[0])
        else:
            raw = data
        array_file = io.BytesIO(raw)
        version = np.lib.format.read_magic(array_file)
        read = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                else np.lib.format.read_array_header_2_0)
        shape, _, dtype = read(array_file)
        if not dtype.hasobject:
            raise ValueError('it holds one array of {}, no list of arrays'.format(dtype))
        loaded = _Unpickler(array_file, encoding='latin1').load()
        arrays = [np.asarray(array) for array in np.asarray(loaded).reshape(shape).ravel()]
        if any(array.dtype.kind != 'f' for array in arrays):
            raise ValueError('it holds something that is no array of floats')
    except OSError as error:
        raise errors.InputError('cannot read the weights {}: {}.'.format(path, error.strerror))
    except (ValueError, EOFError, KeyError, IndexError, AttributeError, TypeError, ImportError,
            pickle.UnpicklingError, UnicodeDecodeError, MemoryError, RuntimeError, SyntaxError,
            tokenize.TokenError, zipfile.BadZipFile, zlib.error) as error:
        reason = ' '.join(str(error).split()).rstrip('.')
        raise errors.InputError('{} is no list of weights of 3D-R2N2: {}. Expected a .npy file as '
                                'the original saves it.'.format(path, reason))
    return [array.astype(np.float32) for array in arrays]


def load(sess: tf.Session, net: net_lib.Net, path: str) -> None:
    """Gives a network the weights of a .npy file of the original.

    Args:
      sess: tf.Session.
      net: models.net.Net, built.
      path: str.
    Raises:
      errors.InputError: the weights are of another network; names the first that differs.
    """
    arrays = read_list(path)
    if len(arrays) != len(net.params):
        raise errors.InputError('{} holds {} arrays, {} has {}: weights of another network; choose '
                                'it by --model (demo.py, freeze_graph.py: --network).'.format(
                                    path, len(arrays), type(net).__name__, len(net.params)))
    converted = []
    for number, ((name, variable), array) in enumerate(zip(net.params.items(), arrays)):
        expected = to_original(net, name, np.zeros(variable.shape.as_list(), np.float32)).shape
        if array.shape != expected:
            raise errors.InputError(
                '{}: array {} should be {} {}, found {}: give its widths (NET.*) by --cfg.'
                .format(path, number, name, list(expected), list(array.shape)))
        converted.append(from_original(net, name, array))
    for variable, array in zip(net.params.values(), converted):
        variable.load(array, sess)


def save(sess: tf.Session, net: net_lib.Net, path: str) -> None:
    """Writes a network's weights as the original does (a pickled list in a .npy file)."""
    values = sess.run(list(net.params.values()))
    listed = np.empty(len(values), object)
    for number, (name, value) in enumerate(zip(net.params, values)):
        listed[number] = to_original(net, name, value)
    with files.replacing(path) as temporary:
        with open(temporary, 'wb') as stream:
            np.save(stream, listed, allow_pickle=True)

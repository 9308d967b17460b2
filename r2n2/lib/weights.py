"""Weights in the original's layout and order: the released .npy lists, both ways.

The original keeps a list of arrays without names: kernels [out, in, kh, kw] and
[out, kd, in, kh, kw], flipped by its convolutions, matrices whose rows and columns run through the
channels first.
"""
from typing import List

import numpy as np
import tensorflow.compat.v1 as tf

from common import errors, files
from common.readers import arrays, limits, pickles
from common.training import checkpoints
from r2n2.models import net as net_lib

_WHAT = 'a list of weights of 3D-R2N2'
_REMEDY = 'Expected a .npy file as the original saves it.'


def is_kernel(name: str) -> bool:
    """Returns whether a parameter is a kernel or a matrix, to which weight decay applies."""
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
    split, order, flipped = _layout(net, name, array)
    result = np.flip(array.reshape(split or array.shape), flipped).transpose(order)
    return np.ascontiguousarray(result.reshape(array.shape if split else result.shape), np.float32)


def to_original(net: net_lib.Net, name: str, array: np.ndarray) -> np.ndarray:
    """Undoes `from_original`: float [..] to the original's layout."""
    split, order, flipped = _layout(net, name, array)
    grid = array.reshape([split[axis] for axis in order]) if split else array
    result = np.flip(grid.transpose(np.argsort(order)), flipped)
    return np.ascontiguousarray(result.reshape(array.shape if split else result.shape), np.float32)


def _layout(net, name, array):
    """What tells the original's layout of an array from ours.

    Returns:
      (sizes that the rows or columns of a matrix are split into, or None; order in which ours has
      the axes; axes of the original that are flipped).
    """
    if name == 'fc7/W':     # rows: channels first
        channels = net.n_convfilter[-1]
        side = int(round((len(array) / channels) ** 0.5))
        return (channels, side, side, -1), (1, 2, 0, 3), ()
    if name.rsplit('/', 1)[-1] == 'Wx':     # columns: depth, channels, height, width
        grid, channels = net.n_gru_vox, net.n_deconvfilter[0]
        return (-1, grid, channels, grid, grid), (0, 1, 3, 4, 2), ()
    if array.ndim == 4:
        return None, (2, 3, 1, 0), (2, 3)
    if array.ndim == 5:
        return None, (1, 3, 4, 2, 0), (1, 3, 4)
    return None, tuple(range(array.ndim)), ()


def read_list(path: str) -> List[np.ndarray]:
    """Reads the list of arrays of a .npy file of the original (or the first entry of an .npz).

    Returns:
      list of float32 arrays of any shape.
    Raises:
      errors.InputError: the file is missing, damaged, or holds anything but arrays of numbers.
    """
    head, _ = limits.look(path, _WHAT, _REMEDY)
    if head[:2] == b'PK':
        read = arrays.read_archive(path, what=_WHAT, remedy=_REMEDY, objects=pickles.objects)
        listed = next(iter(read.values()))
    else:
        listed = arrays.read(path, what=_WHAT, remedy=_REMEDY, objects=pickles.objects)
    if listed.dtype.kind != 'O' or not all(
            isinstance(array, np.ndarray) and array.dtype.kind == 'f' for array in listed.ravel()):
        raise errors.InputError('{} is no list of weights of 3D-R2N2: it holds something else than '
                                'arrays of floats. {}'.format(path, _REMEDY))
    return [array.astype(np.float32) for array in listed.ravel()]


def load(sess: tf.Session, net: net_lib.Net, path: str) -> None:
    """Assigns a network the weights of a .npy file of the original.

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
    checkpoints.assign(sess, list(net.params.values()), converted)


def save(sess: tf.Session, net: net_lib.Net, path: str) -> None:
    """Writes a network's weights as the original does (a pickled list in a .npy file)."""
    values = sess.run(list(net.params.values()))
    listed = np.empty(len(values), object)
    for number, (name, value) in enumerate(zip(net.params, values)):
        listed[number] = to_original(net, name, value)
    with files.replacing(path) as temporary:
        with open(temporary, 'wb') as stream:
            np.save(stream, listed, allow_pickle=True)

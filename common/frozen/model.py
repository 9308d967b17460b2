"""Running a frozen graph.

    with model.load('model.pb') as network:
        occupancy = network.predict(points=array)['occupancy']
"""
from typing import Any, Dict, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from common import errors
from common.device import emulation
from common.frozen import graph as graph_lib
from common.frozen import guard

TIMEOUT = 3600      # seconds that one `predict` may take; a loop without an end is stopped then


def load(path: str, timeout: float = TIMEOUT,
         precision: Optional[emulation.Settings] = None) -> 'FrozenModel':
    """Opens a frozen graph. It is a program: only operations that compute are taken, see guard.py.

    Args:
      path: str, a .pb file.
      timeout: seconds that one `predict` may take.
      precision: of half precision that is emulated; None: the graph is run as it is.
    Returns:
      FrozenModel.
    Raises:
      errors.InputError: the file is missing, cut short, no graph, not the one of its manifest, or
        has operations that do more than compute.
    """
    graph_def = graph_lib.read_graph(path)
    guard.check(path, graph_def)    # before TensorFlow sees it: it reads files while it imports
    names_in, names_out = graph_lib.inputs_and_outputs(path, graph_def)
    manifest = graph_lib.read_manifest(path)
    if manifest is None:
        graph_lib.check_import(path, graph_def)
    graph = open_graph(path, graph_def)
    try:
        tensors = {name: graph.get_tensor_by_name(name + ':0') for name in names_in + names_out}
    except (KeyError, ValueError) as error:
        raise errors.InputError('{} has no such input or output: {}. Freeze it again.'.format(
            path, error.args[0])) from error
    signature = {name: (tuple(tensor.shape.as_list()) if tensor.shape.ndims is not None else None,
                        tensor.dtype.base_dtype.name) for name, tensor in tensors.items()}
    inputs, outputs = [{name: {'shape': list(signature[name][0] or ())} for name in names}
                       for names in (names_in, names_out)]
    if manifest is None:
        graph_lib.add_batch_axes(inputs, outputs, {})
    else:
        inputs, outputs = manifest['inputs'], manifest['outputs']
    axes = {name: description.get('batch_axis') for part in (inputs, outputs)
            for name, description in part.items()}
    return FrozenModel(
        path, graph, {name: signature[name] for name in names_in},
        {name: signature[name] for name in names_out}, batch_axes=axes, timeout=timeout,
        precision=precision)


def open_graph(path: str, graph_def: tf.GraphDef) -> tf.Graph:
    """Imports a graph that is to run, once it has passed the checks of guard.py.

    Raises:
      errors.InputError: it does more than compute, is too large, or TensorFlow cannot import it.
    """
    guard.check(path, graph_def)
    graph = graph_lib.imported(graph_def, path)
    guard.check_sizes(path, graph)
    return graph


class FrozenModel:
    """A frozen graph that is ready to run; close it, or use it in a `with` block.

    Attributes:
      inputs, outputs: dict {name: (shape, dtype)}; the shape is a tuple, the dtype a str.
      batch_axes: dict {name: axis along which its rows lie, or None}.
    """

    def __init__(self, path: str, graph: tf.Graph, inputs: Dict[str, Any],
                 outputs: Dict[str, Any], session_config: Optional[tf.ConfigProto] = None,
                 batch_axes: Optional[Dict[str, Any]] = None, timeout: float = TIMEOUT,
                 precision: Optional[emulation.Settings] = None):
        self.path = path
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self.batch_axes = dict(batch_axes or {})
        if session_config is None:
            session_config = tf.ConfigProto(allow_soft_placement=True)
            session_config.gpu_options.allow_growth = True
        self._sess = (tf.Session(graph=graph, config=session_config) if precision is None
                      else emulation.Session(precision, graph, session_config))
        self._timeout = timeout

    def predict(self, **arrays: Any) -> Dict[str, np.ndarray]:
        """Runs the network.

        Args:
          **arrays: an array for each input, of its shape and a dtype that its own can hold (a float
            for an integer input is refused).
        Returns:
          dict {output name: array}.
        Raises:
          errors.InputError: a name, shape or dtype is wrong; the message lists what is expected.
        """
        wrong = sorted(set(arrays) ^ set(self.inputs))
        if wrong:
            raise self._refused('{} {}'.format(
                'unknown or missing input' + ('s' if len(wrong) > 1 else ''), ', '.join(wrong)))
        feed = {name + ':0': self._fitting(name, value) for name, value in arrays.items()}
        try:
            return self._sess.run({name: name + ':0' for name in self.outputs}, feed,
                                  tf.RunOptions(timeout_in_ms=int(1000 * self._timeout)))
        except tf.errors.DeadlineExceededError as error:
            raise errors.InputError('{} did not end within {:g} s and was stopped.'.format(
                self.path, self._timeout)) from error
        except tf.errors.OpError as error:
            raise errors.InputError('{} cannot be run on these inputs: {}.'.format(
                self.path, ' '.join(str(error.message).split())[:150])) from error

    def predict_all(self, **arrays: Any) -> Dict[str, np.ndarray]:
        """Runs the network on any number of rows: in portions of the frozen size.

        The last portion is filled up with its last row, and its outputs are cut again.

        Args:
          **arrays: an array [rows, ...] for each input; with a batch axis all of as many rows.
        Returns:
          dict {output name: array}; of an output without a batch axis, the first portion's.
        Raises:
          errors.InputError: as in `predict`, or the numbers of rows differ or are 0.
        """
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        axes = {name: self.batch_axes.get(name) for name in arrays}
        counts = {name: array.shape[axes[name]] for name, array in arrays.items()
                  if axes[name] is not None and axes[name] < array.ndim}
        if not counts:
            return self.predict(**arrays)
        total = max(counts.values())
        if len(set(counts.values())) > 1 or not total:
            raise self._refused('the inputs have different numbers of rows, or none: {}'.format(
                ', '.join('{} {}'.format(*item) for item in sorted(counts.items()))))
        first = min(counts)
        portion = self.inputs[first][0][axes[first]]
        if portion is None:     # a graph of others, for any number of rows
            return self.predict(**arrays)
        portions = []
        for start in range(0, total, portion):
            rows = np.minimum(np.arange(start, start + portion), total - 1)
            portions.append(self.predict(**{
                name: np.take(array, rows, axes[name]) if name in counts else array
                for name, array in arrays.items()}))
        return {name: self._joined([values[name] for values in portions], total,
                                   self.batch_axes.get(name)) for name in self.outputs}

    def _joined(self, parts, total, axis):
        if axis is None:
            return parts[0]
        whole = np.concatenate(parts, axis)
        return np.take(whole, np.arange(total), axis)

    def _fitting(self, name, value):
        """Converts a value to the dtype of an input, or says why it does not fit."""
        shape, dtype = self.inputs[name]
        array = np.asarray(value)
        sizes_fit = shape is None or (len(shape) == array.ndim and all(
            size in (None, actual) for size, actual in zip(shape, array.shape)))
        if not sizes_fit or not np.can_cast(array.dtype, dtype, 'same_kind'):
            raise self._refused('"{}" came as {} {}'.format(name, array.dtype, list(array.shape)))
        converted = array.astype(dtype)
        if array.dtype.kind in 'iu' and (converted.astype(array.dtype) != array).any():
            raise self._refused('"{}" holds numbers beyond {}'.format(name, dtype))
        return converted

    def _refused(self, what):
        return errors.InputError('{}: {}. Expected: {}.'.format(
            self.path, what, '; '.join(_lines(self.inputs))))

    def __str__(self):
        return '\n'.join([self.path] + ['  input  ' + line for line in _lines(self.inputs)]
                         + ['  output ' + line for line in _lines(self.outputs)])

    def close(self) -> None:
        """Frees the session."""
        self._sess.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def _lines(signature):
    return ['{} {} {}'.format(name, dtype, 'of any rank' if shape is None else list(shape))
            for name, (shape, dtype) in signature.items()]

"""What runs a network on arrays, whatever the network is a file of; needs NumPy only."""
from typing import Any, Dict, Optional

import numpy as np

from common import errors


class Predictor:
    """Checks what goes into a network and cuts it into portions; a subclass has `_run`.

    Args:
      path: str, for messages.
      inputs, outputs: dict {name: (shape, dtype)}; the shape is a tuple, the dtype a str.
      batch_axes: dict {name: axis along which its rows lie, or None}.
    """

    def __init__(self, path: str, inputs: Dict[str, Any], outputs: Dict[str, Any],
                 batch_axes: Optional[Dict[str, Any]] = None):
        self.path = path
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self.batch_axes = dict(batch_axes or {})

    def _run(self, arrays: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Runs the network on one portion, {input: array of its shape and dtype}."""
        raise NotImplementedError

    def close(self) -> None:
        """Frees what the network holds."""

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
        self._check_names(arrays)
        return self._run({name: self._fitting(name, value) for name, value in arrays.items()})

    def _check_names(self, arrays):
        wrong = sorted(set(arrays) ^ set(self.inputs))
        if wrong:
            raise self._refused('{} {}'.format(
                'unknown or missing input' + ('s' if len(wrong) > 1 else ''), errors.listed(wrong)))

    def predict_all(self, **arrays: Any) -> Dict[str, np.ndarray]:
        """Runs the network on any number of rows: in portions of the frozen size.

        The last portion is filled up with its last row, and its outputs are cut again.

        Args:
          **arrays: an array [rows, ...] for each input; with a batch axis all of as many rows.
        Returns:
          dict {output name: array}; of an output without a batch axis, the first portion's.
        Raises:
          errors.InputError: as in `predict`, the numbers of rows differ or are 0, or the graph's
            is.
        """
        self._check_names(arrays)   # an output's name has a batch axis too
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        axes = {name: self.batch_axes.get(name) for name in arrays}
        counts = {name: array.shape[axes[name]] for name, array in arrays.items()
                  if axes[name] is not None and axes[name] < array.ndim}
        if not counts:
            return self.predict(**arrays)
        total = max(counts.values())
        if len(set(counts.values())) > 1 or not total:
            raise self._refused('the inputs have different numbers of rows, or none: {}'.format(
                errors.listed('{} {}'.format(*item) for item in sorted(counts.items()))))
        first = min(counts)
        portion = self.inputs[first][0][axes[first]]
        if portion is None:     # a graph of others, for any number of rows
            return self.predict(**arrays)
        if not portion:
            raise self._refused('its input {} takes 0 rows at a time'.format(first))
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
            self.path, what, errors.listed(_lines(self.inputs), most=60)))

    def __str__(self):
        return '\n'.join([self.path] + ['  input  ' + line for line in _lines(self.inputs)]
                         + ['  output ' + line for line in _lines(self.outputs)])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def _lines(signature):
    return ['{} {} {}'.format(name, dtype, 'of any rank' if shape is None else list(shape))
            for name, (shape, dtype) in signature.items()]

"""Running a frozen graph.

    with model.load('model.pb') as network:
        occupancy = network.predict(points=array)['occupancy']
"""
from typing import Any, Dict, Optional

import tensorflow.compat.v1 as tf

from common import errors
from common.device import emulation
from common.frozen import bounds, guard, predictor
from common.frozen import graph as graph_lib

TIMEOUT = 3600      # seconds that one `predict` may take; a loop without an end is stopped then


def load(path: str, timeout: float = TIMEOUT, precision: Optional[emulation.Settings] = None,
         max_memory: Optional[float] = None) -> 'FrozenModel':
    """Opens a frozen graph. It is a program: only operations that compute are taken, see guard.py.

    Args:
      path: str, a .pb file.
      timeout: seconds that one `predict` may take.
      precision: of half precision that is emulated; None: the graph is run as it is.
      max_memory: GiB by which one `predict` may let this process grow; None: as much as
        `python -m common.frozen run` allows. TensorFlow gives up a graph that takes more, or more
        time; one that it cannot stop ends the process, with a line and exit code 1.
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
        precision=precision, max_memory=max_memory)


def open_graph(path: str, graph_def: tf.GraphDef) -> tf.Graph:
    """Imports a graph that is to run, once it has passed the checks of guard.py.

    Raises:
      errors.InputError: it does more than compute, is too large, or TensorFlow cannot import it.
    """
    guard.check(path, graph_def)
    graph = graph_lib.imported(graph_def, path)
    guard.check_sizes(path, graph)
    return graph


class FrozenModel(predictor.Predictor):
    """A frozen graph that is ready to run; close it, or use it in a `with` block.

    Attributes:
      inputs, outputs: dict {name: (shape, dtype)}; the shape is a tuple, the dtype a str.
      batch_axes: dict {name: axis along which its rows lie, or None}.
    """

    def __init__(self, path: str, graph: tf.Graph, inputs: Dict[str, Any],
                 outputs: Dict[str, Any], session_config: Optional[tf.ConfigProto] = None,
                 batch_axes: Optional[Dict[str, Any]] = None, timeout: float = TIMEOUT,
                 precision: Optional[emulation.Settings] = None,
                 max_memory: Optional[float] = None):
        super().__init__(path, inputs, outputs, batch_axes)
        if session_config is None:
            session_config = tf.ConfigProto(allow_soft_placement=True)
            session_config.gpu_options.allow_growth = True
        self._sess = (tf.Session(graph=graph, config=session_config) if precision is None
                      else emulation.Session(precision, graph, session_config))
        self._timeout = timeout
        self._most = max_memory * 2 ** 30 if max_memory else bounds.memory_limit()

    def _run(self, arrays):
        feed = {name + ':0': value for name, value in arrays.items()}
        # TensorFlow gives up what it computes when its session is closed.
        watch = bounds.Watch(self.path, self._most, self._timeout, self._sess.close)
        try:
            with watch:
                return self._sess.run({name: name + ':0' for name in self.outputs}, feed,
                                      tf.RunOptions(timeout_in_ms=int(1000 * self._timeout)))
        except tf.errors.DeadlineExceededError as error:
            raise errors.InputError('{} did not end within {:g} s and was stopped.'.format(
                self.path, self._timeout)) from error
        except (tf.errors.OpError, RuntimeError) as error:
            if watch.excess:
                raise errors.InputError('{} Open it again, with a larger max_memory if it needs '
                                        'more.'.format(watch.excess)) from error
            if isinstance(error, RuntimeError):
                raise
            raise errors.InputError('{} cannot be run on these inputs: {}. Give others, or freeze '
                                    'it again.'.format(
                                        self.path, ' '.join(str(error.message).split())[:150])
                                    ) from error

    def close(self) -> None:
        """Frees the session."""
        self._sess.close()

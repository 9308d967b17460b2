"""Files of frozen graphs: the .pb, its manifest, its sample, its inputs and outputs."""
import contextlib
import hashlib
import json
import os
import signal
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf import message, text_format

from common import choices, errors
from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode
from common.readers import arrays, limits, text

_MOST_BYTES = 2 ** 31    # what protobuf takes
_SECONDS = 60           # of computing that the look at a graph may take
_MEMORY = 2 ** 33       # bytes that it may take


def manifest_path(path: str) -> str:
    """Returns the name of the manifest that belongs to a .pb file."""
    return os.path.splitext(path)[0] + '.json'


def sample_path(path: str) -> str:
    """Returns the name of the file with the inputs that a .pb file was checked with."""
    return os.path.splitext(path)[0] + '_sample.npz'


def margins_path(path: str) -> str:
    """Returns the name of the file with the margins of the choices for that sample, if any."""
    return os.path.splitext(path)[0] + '_margins.npz'


def read_graph(path: str) -> tf.GraphDef:
    """Reads a .pb file, or by its ending a .pbtxt or the .meta of a checkpoint.

    Args:
      path: str.
    Returns:
      tf.GraphDef.
    Raises:
      errors.InputError: the file is missing or holds no graph.
    """
    graph_def, meta = tf.GraphDef(), tf.MetaGraphDef()
    content = limits.content(path, 'a graph', 'python freeze_graph.py makes a frozen one of a '
                             'checkpoint.', _MOST_BYTES)
    try:
        with limits.silenced(), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter('always')
            if path.endswith('.meta'):
                meta.ParseFromString(content)
                graph_def = meta.graph_def
            elif path.endswith('.pbtxt'):
                text_format.Merge(content.decode('utf-8-sig'), graph_def)
            else:
                graph_def.ParseFromString(content)
        if any(issubclass(one.category, RuntimeWarning) for one in said):
            raise ValueError('not all of it was read')
    except (message.DecodeError, text_format.ParseError, RecursionError, ValueError) as error:
        raise errors.InputError('{} is no graph, or is cut short.'.format(path)) from error
    if not graph_def.node:
        raise errors.InputError('{} holds an empty graph.'.format(path))
    return graph_def


def _describes(tensor: Any) -> bool:
    """Whether a value of a manifest describes a tensor: {"shape": sizes, "batch_axis": axis}."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get('shape'), list):
        return False
    shape, axis = tensor['shape'], tensor.get('batch_axis')
    # bool is an int in Python: `type`, not isinstance
    return (all(type(size) is int and size >= 0 for size in shape)
            and (axis is None or type(axis) is int and 0 <= axis < len(shape)))


def read_manifest(path: str) -> Optional[Dict[str, Any]]:
    """Returns the manifest of a .pb file, or None; one of another file is an error."""
    name = manifest_path(path)
    if not os.path.exists(name):
        return None
    manifest = text.read_json(name)
    if not isinstance(manifest, dict) or not {'inputs', 'outputs', 'sha256'} <= set(manifest):
        return None  # a .json of something else
    for part in ('inputs', 'outputs'):
        descriptions = manifest[part]
        if not isinstance(descriptions, dict) or not all(map(_describes, descriptions.values())):
            raise errors.InputError('{}: "{}" must name tensors with their shapes and batch axes. '
                                    'Freeze {} again.'.format(name, part, path))
    with open(path, 'rb') as stream:
        if hashlib.sha256(stream.read()).hexdigest() != manifest['sha256']:
            raise errors.InputError('{} is not the file that {} describes: it was cut short or '
                                    'changed. Freeze it again.'.format(path, name))
    return manifest


def inputs_and_outputs(path: str, graph_def: tf.GraphDef) -> Tuple[List[str], List[str]]:
    """Returns the names of the inputs and outputs of a frozen graph.

    Args:
      path: str, the .pb file; its manifest decides where there is one.
      graph_def: tf.GraphDef, its graph.
    Returns:
      (inputs, outputs): lists of names; without a manifest all placeholders, and all nodes that no
      other one uses.
    """
    manifest = read_manifest(path)
    if manifest is not None:
        return list(manifest['inputs']), list(manifest['outputs'])
    used = {name.lstrip('^').split(':')[0] for node in graph_def.node for name in node.input}
    inputs = [node.name for node in graph_def.node if node.op == 'Placeholder']
    outputs = [node.name for node in graph_def.node
               if node.name not in used and node.op not in ('Const', 'NoOp', 'Placeholder')]
    return inputs, outputs


def read_sample(path: str) -> Dict[str, np.ndarray]:
    """Reads the inputs that a .pb file was checked with, {name: array [batch, ...]}.

    Raises:
      errors.InputError: they are not there, or damaged.
    """
    return arrays.read_archive(sample_path(path), remedy='Freeze {} again.'.format(path))


def read_margins(path: str) -> Dict[str, np.ndarray]:
    """Reads the margins of a .pb file's choices, {output: array [batch, ...]}; often none.

    Raises:
      errors.InputError: they are damaged.
    """
    name = margins_path(path)
    if not os.path.exists(name):
        return {}
    return arrays.read_archive(name, remedy='Freeze {} again.'.format(path))


def add_batch_axes(inputs: Dict[str, Dict], outputs: Dict[str, Dict],
                   axes: Dict[str, Optional[int]]) -> None:
    """Adds "batch_axis" to the description of each input and output; see `freeze`."""
    unknown = sorted(set(axes) - set(inputs) - set(outputs))
    if unknown:
        raise errors.InputError('batch_axes names what is neither input nor output: {}.'.format(
            ', '.join(unknown)))
    sizes = {description['shape'][0] for name, description in inputs.items()
             if description['shape'] and name not in axes}
    for descriptions in (inputs, outputs):
        for name, description in descriptions.items():
            along_first = len(sizes) == 1 and description['shape'][:1] == list(sizes)
            description['batch_axis'] = axes.get(name, 0 if along_first else None)


def imported(graph_def: tf.GraphDef, path: str = 'the graph') -> tf.Graph:
    """Puts a GraphDef into a graph of its own; InputError (of `path`) when it is no whole graph."""
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(graph_def, name='')
    except (ValueError, TypeError, LookupError, AttributeError, tf.errors.OpError) as error:
        raise errors.InputError('{}: TensorFlow cannot import this graph ({}). Freeze it again.'
                                .format(path, errors.reason(error))) from error
    return graph


def largest_difference(array: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference of two arrays [...]; infinities and NaN equal themselves."""
    array, expected = array.astype(np.float64), expected.astype(np.float64)
    equal = (array == expected) | (np.isnan(array) & np.isnan(expected))
    if equal.all():
        return 0.0
    return float(np.abs(array - expected)[~equal].max())


def differences(array: np.ndarray, expected: np.ndarray) -> Tuple[float, float]:
    """Returns the largest and the mean absolute difference of two arrays [...]."""
    if not array.size:
        return 0., 0.
    return (largest_difference(array, expected),
            float(np.abs(array.astype(np.float64) - expected.astype(np.float64)).mean()))


def check_outputs(outputs: Dict[str, np.ndarray], expected: Dict[str, np.ndarray],
                  moved: Optional[choices.Moved], axes: Dict[str, Optional[int]],
                  tolerance: float, what: str) -> float:
    """Returns the largest difference of a value in rows whose choices are equal, or refuses it.

    Args:
      outputs, expected: {name: array}.
      moved: the choices that differ, or None; axes: {name: axis of its rows, None: it has none}.
      tolerance: of floats, times the largest expected one where that is above 1; others are equal.
      what: beginning of the message of an error.
    Raises:
      errors.InputError: an output differs by more.
    """
    largest = 0.0
    for name, value in expected.items():
        actual, value = [choices.without_moved(array, moved, axes.get(name))
                         for array in (outputs[name], value)]
        difference = largest_difference(actual, value)
        is_float = value.dtype.kind == 'f'
        scale = max(1.0, float(np.max(np.abs(value), initial=0))) if is_float else 0.0
        if not difference <= tolerance * scale:
            raise errors.InputError('{}: the output "{}" differs by {:g}.'.format(
                what, name, difference))
        largest = max(largest, difference)
    return largest


def check_import(path: str, graph_def: tf.GraphDef) -> None:
    """Makes sure that TensorFlow survives the import of a graph from outside.

    Some damaged graphs abort the process; a file with a manifest of ours was checked by its digest
    and needs no such look.

    Args:
      path: str, for the message; graph_def: tf.GraphDef.
    Raises:
      errors.InputError: the child process died, or takes too long.
    """
    def tried():
        with contextlib.suppress(Exception):    # what raises is told by the import itself
            imported(graph_def)

    apart(path, tried)


def apart(path: str, function: Callable[[], Any]) -> Any:
    """Calls a function that looks at a graph from outside in a child process that opens no file.

    TensorFlow computes constants while it imports a graph, and would read files for that; and it
    dies of some damaged graphs. Without `fork` the function is called here.

    Args:
      path: str, for messages; function: () -> value of JSON.
    Returns:
      what the function returned.
    Raises:
      errors.InputError: of the function, or the child process died or took too long.
    """
    if not hasattr(os, 'fork'):
        return function()
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(receiving)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            _confine()
            try:
                reply = {'value': function()}
            except errors.InputError as error:
                reply = {'error': str(error)}
            with os.fdopen(sending, 'wb') as stream:
                stream.write(json.dumps(reply).encode())
        finally:
            os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, 'rb') as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        raise errors.InputError('{} is damaged: TensorFlow {}. Freeze it again.'.format(
            path, 'takes more than {} s for it'.format(_SECONDS) if number in (
                signal.SIGPROF, signal.SIGALRM) else 'dies of it (signal {})'.format(number)))
    value = json.loads(answer.decode()) if answer else {'error': '{} is damaged: TensorFlow cannot '
                                                      'look at it. Freeze it again.'.format(path)}
    if 'error' in value:
        raise errors.InputError(value['error'])
    return value['value']


def _confine():
    """Limits this process: no new files or connections, memory, time."""
    import resource  # here, since Windows has none
    with tf.Graph().as_default():       # TensorFlow opens /dev/urandom at its first constant
        tf.fill(tf.add([1], [1]), 0.)
    for number, timer in ((signal.SIGPROF, signal.ITIMER_PROF), (signal.SIGALRM,
                                                                 signal.ITIMER_REAL)):
        signal.signal(number, signal.SIG_DFL)
        signal.setitimer(timer, _SECONDS * (1 if number == signal.SIGPROF else 4))
    # Not addresses: allocators reserve many for each thread of a large machine.
    limits.bound(resource.RLIMIT_DATA, _MEMORY)
    limits.bound(resource.RLIMIT_CORE, 0)
    limits.bound(resource.RLIMIT_NOFILE, 0)

"""What a frozen graph may be made of before it runs: computation alone, of a bounded size.

A .pb file is a program: an operation such as WriteFile runs with all powers of the process. Only
the operations of allowed_operations.txt are taken, in the graph and in its functions.
"""
import functools
import math
import os
from typing import Dict, FrozenSet, Iterator, List, Optional, Set

import tensorflow.compat.v1 as tf
from tensorflow.core.framework import types_pb2

from common import errors

MAX_BYTES = 2 ** 33     # of a single tensor whose size the graph tells
MAX_CALLS = 1000        # of functions; our graphs have none
_MOST_NESTED = 100      # functions in functions
_OBJECTS = frozenset(kind + reference for kind in (types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT)
                     for reference in (0, 100))     # 100: DT_..._REF
_LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'allowed_operations.txt')


@functools.lru_cache(None)
def allowed() -> FrozenSet[str]:
    """Returns the names of the operations that may run."""
    with open(_LIST, encoding='utf-8') as stream:
        return frozenset(name for line in stream if not line.startswith('#')
                         for name in line.partition(':')[2].split())


def _called(attributes) -> Iterator[str]:
    """Yields the names of functions in the attributes of a node, at any depth."""
    for value in attributes.values():
        functions = list(value.list.func)
        if value.WhichOneof('value') == 'func':
            functions.append(value.func)
        for function in functions:
            yield function.name
            yield from _called(function.attr)


def forbidden(graph_def: tf.GraphDef) -> Set[str]:
    """Returns the names of operations that may not run, of the graph and of its functions."""
    functions = {function.signature.name for function in graph_def.library.function}
    nodes = list(graph_def.node)
    for function in graph_def.library.function:
        nodes.extend(function.node_def)
    names = {node.op for node in nodes}
    for node in nodes:
        names.update(_called(node.attr))
    for function in graph_def.library.function:
        names.update(_called(function.attr))
    names.update(gradient.gradient_func for gradient in graph_def.library.gradient)
    # A function that bears the name of an operation would hide it.
    return (names - functions - allowed()) | {name for name in functions if name in allowed()}


def _check_values(path: str, graph_def: tf.GraphDef) -> None:
    """Makes sure that no node holds an object in the place of numbers or text.

    TensorFlow takes such an object's bytes for what their sender says they are.

    Raises:
      errors.InputError: one does; it is named.
    """
    nodes = list(graph_def.node)
    for function in graph_def.library.function:
        nodes.extend(function.node_def)
    for node in nodes:
        if any(_holds_object(value) for value in node.attr.values()):
            raise errors.InputError('{}: the node {} holds an object, not numbers. Take a graph '
                                    'that freeze_graph.py wrote.'.format(
                                        path, errors.quote(node.name)))


def _holds_object(value) -> bool:
    """Returns whether a value of an attribute has an object, in its functions too."""
    return any(one.dtype in _OBJECTS or one.variant_val or one.resource_handle_val
               for one in [value.tensor, *value.list.tensor]) or any(
                   _holds_object(inner) for one in [value.func, *value.list.func]
                   for inner in one.attr.values())


def calls(graph_def: tf.GraphDef) -> float:
    """Counts the calls of functions as if each were written out where it is called.

    TensorFlow writes them out when a graph first runs: a function that calls itself crashes it, and
    forty that call the next one twice never come to an end.

    Returns:
      int; infinity where a function calls itself, perhaps by others, or they are nested too deeply.
    """
    called: Dict[Optional[str], List[str]] = {None: []}
    for name, nodes in [(None, graph_def.node)] + [
            (function.signature.name, function.node_def)
            for function in graph_def.library.function]:
        called[name] = [one for node in nodes for one in (node.op, *_called(node.attr))]
    for gradient in graph_def.library.gradient:
        called.setdefault(gradient.function_name, []).append(gradient.gradient_func)
    known: Dict[Optional[str], float] = {}

    def written_out(name, depth):
        if name not in known:
            known[name] = math.inf      # for one that calls itself
            known[name] = math.inf if depth > _MOST_NESTED else sum(
                1 + written_out(one, depth + 1) for one in called[name] if one in called)
        return known[name]

    return written_out(None, 0)


def check(path: str, graph_def: tf.GraphDef) -> None:
    """Makes sure that a graph does nothing but compute, and that its functions come to an end.

    Args:
      path: str, for the message.
      graph_def: tf.GraphDef.
    Raises:
      errors.InputError: an operation that is not on the list, named; or functions that call
        themselves, or each other too often.
    """
    names = sorted(forbidden(graph_def))
    if names:
        raise errors.InputError(
            '{}: the graph has {} operation{} beyond computation ({}), which {} not run. Take a '
            'graph that freeze_graph.py wrote.'.format(
                path, len(names), 's' if len(names) > 1 else '', errors.listed(names),
                'are' if len(names) > 1 else 'is'))
    check_calls(path, graph_def)
    _check_values(path, graph_def)


def check_calls(path: str, graph_def: tf.GraphDef) -> None:
    """Makes sure that the functions of a graph come to an end.

    Raises:
      errors.InputError: they call themselves, or each other too often.
    """
    if calls(graph_def) > MAX_CALLS:
        raise errors.InputError('{}: its functions call themselves, or each other more than {} '
                                'times. Take a graph that freeze_graph.py wrote.'.format(
                                    path, MAX_CALLS))


def check_sizes(path: str, graph: tf.Graph) -> None:
    """Makes sure that no tensor of a graph is larger than `MAX_BYTES`, as far as shapes tell.

    Raises:
      errors.InputError: one is; it is named.
    """
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            count = tensor.shape.num_elements() if tensor.shape.ndims is not None else None
            if count and count * max(1, tensor.dtype.base_dtype.size) > MAX_BYTES:
                raise errors.InputError(
                    '{}: the tensor {} would take {:.1f} GiB, more than {} are not computed. '
                    'Freeze with a smaller --batch_size.'.format(
                        path, tensor.name[:80], count * tensor.dtype.base_dtype.size / 2 ** 30,
                        MAX_BYTES // 2 ** 30))

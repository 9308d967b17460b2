"""Marks on parts of a graph that the emulation of half precision asks for; no operation is added.

A part is what was built inside a block: the operations from one number to another. The marks lie in
a collection of the graph, so that they cost nothing and change nothing where nobody asks.
"""
import contextlib
from typing import Iterable, Iterator, List, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode

_KEY = 'precision_regions'


class Region(NamedTuple):
    """The operations from number `first` to below `last` of a graph, counted from 0.

    Attributes:
      first, last: int.
      ge_op: str, the one operator of CANN that they stand for; None: they are kept in float32.
    """

    first: int
    last: int
    ge_op: Optional[str]


@contextlib.contextmanager
def one_operator(ge_op: str) -> Iterator[None]:
    """Marks what is built inside as a fast form of one operator: it rounds at its ends only.

    Args:
      ge_op: str, type of CANN's graph engine, such as 'Conv3D'.
    """
    with _marked(ge_op):
        yield


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Marks what is built inside as kept in float32."""
    with _marked(None):
        yield


@contextlib.contextmanager
def _marked(ge_op):
    graph = tf.get_default_graph()
    first = graph.version
    yield
    graph.add_to_collection(_KEY, Region(first, graph.version, ge_op))


def of(graph: tf.Graph) -> List[Region]:
    """Returns the marks of a graph; those within others come first."""
    return graph.get_collection(_KEY)


def is_in(name: str, scopes: Iterable[str]) -> bool:
    """Returns whether a node lies in one of some scopes, in the forward or a backward pass."""
    return any('/{}/'.format(scope) in '/{}/'.format(name) for scope in scopes)

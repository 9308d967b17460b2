"""Initial values of variables: each depends on the seed of the run and the variable's name alone.

TensorFlow seeds a random operation by its number in the graph, so that a further layer, or another
version of TensorFlow, changes the values of all that come after it.
"""
import hashlib
from typing import Iterator, Sequence

import tensorflow.compat.v1 as tf

from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode

_RANDOM = frozenset((
    'RandomUniform', 'RandomUniformInt', 'RandomStandardNormal', 'TruncatedNormal', 'RandomShuffle',
    'Multinomial'))


def seed_by_names(variables: Sequence[tf.Variable], seed: int) -> None:
    """Seeds the random operations of initial values; call it before a session is opened.

    Args:
      variables: list; those of a graph whose initial values are not yet computed.
      seed: int, of the run.
    """
    done = set()
    for variable in variables:
        for number, operation in enumerate(_random_ancestors(variable.initializer)):
            if operation.name in done:
                raise ValueError('{} and another variable share a random operation.'.format(
                    variable.op.name))
            done.add(operation.name)
            first, second = _numbers('{} {} {}'.format(seed, variable.op.name, number))
            operation._set_attr('seed', tf.AttrValue(i=first))
            operation._set_attr('seed2', tf.AttrValue(i=second))


def _random_ancestors(operation: tf.Operation) -> Iterator[tf.Operation]:
    """Yields the random operations that an operation depends on, in the order of its inputs."""
    waiting, seen = [operation], set()
    while waiting:
        current = waiting.pop()
        if current.name in seen:
            continue
        seen.add(current.name)
        if current.type in _RANDOM:
            yield current
        if current.type not in ('VariableV2', 'VarHandleOp'):
            waiting.extend(tensor.op for tensor in reversed(list(current.inputs)))


def _numbers(text: str) -> Sequence[int]:
    """Gives two numbers of 31 bits, the first one above 0, that follow from a text."""
    digest = hashlib.sha256(text.encode('utf-8')).digest()
    return (int.from_bytes(digest[:4], 'little') >> 1 or 1,
            int.from_bytes(digest[4:8], 'little') >> 1)

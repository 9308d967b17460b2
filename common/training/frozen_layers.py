"""Layers that a training leaves as they are, for fine-tuning with --freeze_layers."""
from typing import Any, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from common import errors


def is_frozen(name: str, prefixes: Sequence[str]) -> bool:
    """Returns whether a variable lies in one of the scopes, or is named so itself."""
    return any(name == prefix or name.startswith(prefix.rstrip('/') + '/') for prefix in prefixes)


class Optimizer(tf.train.Optimizer):
    """Updates all variables but those of some scopes; it has no variables of its own.

    Args:
      optimizer: tf.train.Optimizer that does the work; prefixes: names of scopes or variables.
    """

    def __init__(self, optimizer: tf.train.Optimizer, prefixes: Sequence[str]):
        super().__init__(False, 'FrozenLayers')
        self._optimizer = optimizer
        self._prefixes = prefixes

    def compute_gradients(self, *args: Any, **kwargs: Any) -> Any:
        """Returns (gradient, variable) pairs, those of frozen layers too."""
        return self._optimizer.compute_gradients(*args, **kwargs)

    def apply_gradients(self, grads_and_vars: Any, global_step: Any = None,
                        name: Optional[str] = None) -> tf.Operation:
        """Returns the operation that updates what is not frozen."""
        pairs = [(gradient, variable) for gradient, variable in grads_and_vars
                 if not is_frozen(variable.op.name, self._prefixes)]
        if not any(gradient is not None for gradient, _ in pairs):
            return tf.no_op(name)
        return self._optimizer.apply_gradients(pairs, global_step, name)


def describe(variables: Sequence[tf.Variable], prefixes: Sequence[str]) -> List[str]:
    """Returns a line that says what is frozen; none where nothing is.

    Args:
      variables: trainable ones of the graph; prefixes: of --freeze_layers.
    Raises:
      errors.UsageError: a prefix fits no variable, or nothing is left to train.
    """
    if not prefixes:
        return []
    names = [variable.op.name for variable in variables]
    for prefix in prefixes:
        if not any(is_frozen(name, [prefix]) for name in names):
            raise errors.UsageError('--freeze_layers: no trained variable lies in {}; scopes of '
                                    'this network: {}.'.format(errors.quote(prefix), errors.listed(
                                        sorted({name.rsplit('/', 1)[0] for name in names}))))
    count = sum(is_frozen(name, prefixes) for name in names)
    if count == len(names):
        raise errors.UsageError('--freeze_layers leaves nothing to train.')
    return ['--freeze_layers: {} of {} variables stay as they are'.format(count, len(names))]

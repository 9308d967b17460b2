"""Layers that fine-tuning leaves as they are (--freeze_layers) or lets begin anew.

The latter are those of --restart_layers. Names of scopes end at a slash, in GraphCMR at a dot.
"""
import re
from typing import Any, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from common import errors


def lies_in(name: str, prefixes: Sequence[str]) -> bool:
    """Returns whether a variable lies in one of the scopes, or is named so itself."""
    return any(name == prefix or name.startswith((prefix.rstrip('/.') + '/',
                                                  prefix.rstrip('/.') + '.'))
               for prefix in prefixes)


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
                 if not lies_in(variable.op.name, self._prefixes)]
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
    check('--freeze_layers', names, prefixes)
    count = sum(lies_in(name, prefixes) for name in names)
    if count == len(names):
        raise errors.UsageError('--freeze_layers leaves nothing to train.')
    return ['--freeze_layers: {} of {} variables stay as they are'.format(count, len(names))]


def check(option: str, names: Sequence[str], prefixes: Sequence[str]) -> None:
    """Checks that each scope holds a variable.

    Args:
      option: str, that names the scopes; names: of the variables.
    Raises:
      errors.UsageError: one holds none.
    """
    for prefix in prefixes:
        if not any(lies_in(name, [prefix]) for name in names):
            raise errors.UsageError('{}: no variable to train lies in {}; scopes of this network: '
                                    '{}.'.format(option, errors.quote(prefix), errors.listed(
                                        sorted({re.split(r'[/.][^/.]*$', name)[0]
                                                for name in names}))))

"""Variables by name, made once: what the layers of a network that is built several times share."""
import collections
import copy
from typing import Any, Dict, List, Optional, Sequence, TypeVar

import tensorflow.compat.v1 as tf

from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode

_Store = TypeVar('_Store', bound='VariableStore')


class VariableStore:
    """Makes variables when they are first asked for and finds them again by their names.

    A model's layers are a subclass: its methods take their variables from `get`, so that a second
    call with the same name shares them.

    Args:
      shared: another store whose variables and updates this one uses too; None: a new, empty one.

    Attributes:
      variables: {name: variable}, in the order in which they were first made.
      updates: operations that move the running statistics, to be run with each training step.
    """

    def __init__(self, shared: Optional['VariableStore'] = None):
        self.variables: Dict[str, tf.Variable] = (
            collections.OrderedDict() if shared is None else shared.variables)
        self.updates: List[tf.Operation] = [] if shared is None else shared.updates
        self._prefix = ''

    @property
    def trainable(self) -> Dict[str, tf.Variable]:
        """Those of `variables` that the optimizer moves, in the same order."""
        return collections.OrderedDict(
            (name, variable) for name, variable in self.variables.items() if variable.trainable)

    def scope(self: _Store, name: str) -> _Store:
        """Returns the same store with `name` and a dot before every name."""
        inner = copy.copy(self)     # shallow: the same variables and updates
        inner._prefix = '{}{}.'.format(self._prefix, name)
        return inner

    def get(self, name: str, shape: Sequence[int], initializer: Any,
            trainable: bool = True) -> tf.Variable:
        """Returns the variable of a name, float32 [*shape], created by the first call.

        Args:
          name: str, below the scopes; shape: ints.
          initializer: TensorFlow initializer, of the first call.
          trainable: whether the optimizer moves it; False for running statistics.
        Raises:
          ValueError: the variable is there with another shape.
        """
        name = self._prefix + name
        if name not in self.variables:
            self.variables[name] = tf.get_variable(name, shape, tf.float32, initializer,
                                                   trainable=trainable)
        elif self.variables[name].shape.as_list() != list(shape):
            raise ValueError('the variable {} has the shape {}, asked for {}.'.format(
                name, self.variables[name].shape.as_list(), list(shape)))
        return self.variables[name]

    def move(self, statistic: tf.Variable, batch_value: tf.Tensor, momentum: float) -> None:
        """Adds to `updates` a step of an exponential moving average.

        Args:
          statistic: running mean or variance [C]; batch_value: that of the batch [C].
          momentum: share of the old value that stays.
        """
        self.updates.append(tf.assign_sub(statistic, (1 - momentum) * (statistic - batch_value)))

"""How a model describes its networks to what freezes, lints and measures them."""
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import tensorflow.compat.v1 as tf


class InferenceGraph(NamedTuple):
    """A graph to freeze, as `freezing.freeze` takes it.

    Attributes:
      inputs: {name: placeholder}; outputs: {name: tensor}; aliases: {further name: output}.
      feed: {input: array} to check with.
      variables: what a checkpoint holds of the network.
      batch_axes: {input or output: axis of its rows}, or None.
      margins: {output of sequences of choices: their margins}, see `freezing.freeze`, or None.
    """

    inputs: Dict[str, tf.Tensor]
    outputs: Dict[str, tf.Tensor]
    aliases: Dict[str, str]
    feed: Dict[str, Any]
    variables: List[tf.Variable]
    batch_axes: Optional[Dict[str, Optional[int]]] = None
    margins: Optional[Dict[str, tf.Tensor]] = None


class Network(NamedTuple):
    """One row of `python -m common.npu_lint --all`.

    Attributes:
      name: str, in the table.
      is_training: bool, a training graph, else one to freeze.
      build: function () that builds it, as for an NPU, in the default graph. Of a training graph
        it returns (placeholders, fetched tensors and operations), else an `InferenceGraph`.
    """

    name: str
    is_training: bool
    build: Callable[[], Any]

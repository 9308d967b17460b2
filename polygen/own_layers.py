"""The layers that PolyGen's networks use, in plain operations: variable names, initial values and
results are those of Sonnet's and tensor2tensor's layers of the same names.

Written from the formulas: Vaswani et al. 2017, "Attention Is All You Need"; Ba et al. 2016, "Layer
Normalization"; Glorot and Bengio 2010. `polygen/layers.py` says when they stand in.

B: batch, T: positions, C: positions of the memory, h: hidden size, H: heads, s: size of a head.
"""
import functools
from typing import Any, Callable, ContextManager, List, Optional, Tuple

import tensorflow.compat.v1 as tf

from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode

_MASKED = -1e9      # added to the logits of positions that are not attended to
_GLOROT = tf.glorot_uniform_initializer


class AbstractModule:
    """A part of a network with a variable scope of its own, which all its calls share.

    Subclasses define `_build`; calling the module calls it inside the scope.

    Args:
      name: str, variable scope; with a number appended where the name is taken.
    """

    def __init__(self, name: str):
        with tf.variable_scope(None, default_name=name) as scope:
            self._scope = scope

    def _enter_variable_scope(self, reuse: Any = tf.AUTO_REUSE) -> ContextManager:
        return tf.variable_scope(self._scope, reuse=reuse)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._enter_variable_scope():
            return self._build(*args, **kwargs)

    def _build(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    @property
    def scope_name(self) -> str:
        """Full name of the module's variable scope."""
        return self._scope.name

    def _collected(self, collection):
        variables = tf.get_collection(collection, self.scope_name + '/')
        return tuple(sorted(variables, key=lambda variable: variable.name))

    @property
    def trainable_variables(self) -> Tuple[tf.Variable, ...]:
        """Trainable variables of the module's scope, sorted by name."""
        return self._collected(tf.GraphKeys.TRAINABLE_VARIABLES)

    @property
    def variables(self) -> Tuple[tf.Variable, ...]:
        """All variables of the module's scope, sorted by name."""
        return self._collected(tf.GraphKeys.GLOBAL_VARIABLES)


def reuse_variables(method: Callable) -> Callable:
    """Decorates a method of a module: it runs inside the module's variable scope."""
    @functools.wraps(method)
    def inside(self, *args, **kwargs):
        with self._enter_variable_scope():
            return method(self, *args, **kwargs)

    return inside


class Embed(AbstractModule):
    """Embedding table with the variable `embeddings` [vocab_size, embed_dim].

    Args:
      vocab_size: int, rows.
      embed_dim: int, columns.
      initializers: dict, the initializer of `embeddings`.
      densify_gradients: bool, the table's gradient is a tensor instead of IndexedSlices.
      name: str, variable scope.
    """

    def __init__(self, vocab_size: int, embed_dim: int, initializers: Any,
                 densify_gradients: bool = False, name: str = 'embed'):
        super().__init__(name)
        self._shape = [vocab_size, embed_dim]
        self._initializer = initializers['embeddings']
        self._densify_gradients = densify_gradients

    def _build(self, ids: tf.Tensor) -> tf.Tensor:
        """Maps int32 [...] to rows [..., embed_dim]."""
        table = tf.get_variable('embeddings', self._shape, initializer=self._initializer)
        if self._densify_gradients:
            table = tf.reshape(table, self._shape)      # its gradient is always a tensor
        return tf.gather(table, ids)


class Categorical:
    """Categorical distribution.

    Args:
      logits: [..., K], logarithms of the probabilities up to a constant.

    Attributes:
      logits: see the argument.
    """

    def __init__(self, logits: tf.Tensor):
        self.logits = logits

    def log_prob(self, value: tf.Tensor) -> tf.Tensor:
        """Returns the log-probabilities, in nats, of symbols int [...]."""
        return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=value, logits=self.logits)


def shape_list(x: tf.Tensor) -> List[Any]:
    """Returns the sizes of a tensor: ints where they are static, else int32 scalar tensors."""
    sizes = tf.shape(x)
    return [sizes[axis] if size is None else size for axis, size in enumerate(x.shape.as_list())]


def layer_norm_vars(filters: int) -> Tuple[tf.Variable, tf.Variable]:
    """Returns the variables `layer_norm_scale` (ones) and `layer_norm_bias` (zeros), [filters]."""
    return (tf.get_variable('layer_norm_scale', [filters], initializer=tf.ones_initializer()),
            tf.get_variable('layer_norm_bias', [filters], initializer=tf.zeros_initializer()))


def layer_norm_compute(x: tf.Tensor, epsilon: float, scale: tf.Tensor,
                       bias: tf.Tensor) -> tf.Tensor:
    """Normalises the last axis of [..., h]: (x - mean) / sqrt(variance + epsilon) scale + bias."""
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.squared_difference(x, mean), axis=-1, keepdims=True)
    return (x - mean) * tf.rsqrt(variance + epsilon) * scale + bias


def layer_norm(x: tf.Tensor, name: str, epsilon: float = 1e-6) -> tf.Tensor:
    """Layer normalisation of [..., h] with variables in the scope `name`."""
    with tf.variable_scope(name):
        return layer_norm_compute(x, epsilon, *layer_norm_vars(x.shape.as_list()[-1]))


def embedding_to_padding(emb: tf.Tensor) -> tf.Tensor:
    """Returns float32 [B, C]: 1 where a vector of [B, C, h] is exactly zero."""
    return tf.cast(tf.equal(tf.reduce_sum(tf.abs(emb), axis=-1), 0.), tf.float32)


def attention_bias_ignore_padding(memory_padding: tf.Tensor) -> tf.Tensor:
    """Returns the bias [B, 1, 1, C]: -1e9 where the padding [B, C] is 1."""
    return (memory_padding * _MASKED)[:, None, None]


def attention_bias_lower_triangle(length: Any) -> tf.Tensor:
    """Returns the bias [1, 1, T, T] of causal attention: -1e9 for later positions."""
    positions = tf.range(length)
    return (tf.cast(positions > positions[:, None], tf.float32) * _MASKED)[None, None]


def combine_heads(x: tf.Tensor) -> tf.Tensor:
    """Concatenates heads [B, H, T, s] to [B, T, H s]."""
    batch, heads, length, size = shape_list(x)
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, length, heads * size])


def _split_heads(x, num_heads):
    batch, length, width = shape_list(x)
    heads = tf.reshape(x, [batch, length, num_heads, width // num_heads])
    return tf.transpose(heads, [0, 2, 1, 3])


def _product(x, kernel):
    """Multiplies [B, T, rows] by a kernel [rows, columns]."""
    batch, length, rows = shape_list(x)
    columns = kernel.shape.as_list()[1]
    return tf.reshape(tf.matmul(tf.reshape(x, [-1, rows]), kernel), [batch, length, columns])


def _linear(x, units, name):
    with tf.variable_scope(name):
        return _product(x, tf.get_variable('kernel', [x.shape.as_list()[-1], units],
                                           initializer=_GLOROT()))


def _attend(query, key, value, bias):
    """Returns softmax(query key^T s^-0.5 + bias) value for [..., T, s] and [..., C, s]."""
    query *= query.shape.as_list()[-1] ** -0.5
    return tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + bias), value)


def multihead_attention(query_antecedent: tf.Tensor, memory_antecedent: Optional[tf.Tensor],
                        bias: tf.Tensor, total_key_depth: int, total_value_depth: int,
                        output_depth: int, num_heads: int, dropout_rate: float,
                        make_image_summary: bool = False,
                        name: str = 'multihead_attention') -> tf.Tensor:
    """Multi-head attention without biases of the layers. Vaswani et al. 2017, section 3.2.2.

    Variables: `q/kernel`, `k/kernel`, `v/kernel`, `output_transform/kernel`.

    Args:
      query_antecedent: [B, T, h].
      memory_antecedent: [B, C, h] or None: the queries' own positions.
      bias: broadcastable to [B, H, T, C].
      total_key_depth, total_value_depth: int, widths of all heads together.
      output_depth: int.
      num_heads: int, H.
      dropout_rate: float, must be 0.
      make_image_summary: bool, must be False.
      name: str, variable scope.
    Returns:
      [B, T, output_depth].
    """
    if dropout_rate or make_image_summary:
        raise ValueError('Attention has neither dropout nor pictures here.')
    memory = query_antecedent if memory_antecedent is None else memory_antecedent
    with tf.variable_scope(name):
        query = _split_heads(_linear(query_antecedent, total_key_depth, 'q'), num_heads)
        key = _split_heads(_linear(memory, total_key_depth, 'k'), num_heads)
        value = _split_heads(_linear(memory, total_value_depth, 'v'), num_heads)
        heads = combine_heads(_attend(query, key, value, bias))
        return _linear(heads, output_depth, 'output_transform')


def multihead_self_attention_memory_efficient(
        x: tf.Tensor, bias: tf.Tensor, num_heads: int, head_size: int, forget: bool = True,
        name: str = 'multihead_attention') -> tf.Tensor:
    """Layer norm and self-attention, head by head.

    Variables: `wqkv` [H, 1, h, 3s], `wo` [H, 1, s, h], `layer_norm_scale`, `layer_norm_bias`.

    Args:
      x: [B, T, h].
      bias: [1 or B, 1, 1 or T, T]; it has no gradient.
      num_heads, head_size: int, H and s.
      forget: bool, compute each head again for its gradient instead of storing its attention.
      name: str, variable scope.
    Returns:
      [B, T, h].
    """
    size = x.shape.as_list()[-1]
    initializer = tf.random_normal_initializer(stddev=size ** -0.5)
    with tf.variable_scope(name):
        wqkv = tf.get_variable('wqkv', [num_heads, 1, size, 3 * head_size],
                               initializer=initializer)
        wo = tf.get_variable('wo', [num_heads, 1, head_size, size], initializer=initializer)
        hidden = layer_norm_compute(x, 1e-6, *layer_norm_vars(size))
        attend_head = _recomputed_head if forget else _head
        outputs = []
        for head in range(num_heads):
            output, hidden = attend_head(hidden, wqkv[head, 0], wo[head, 0],
                                         tf.stop_gradient(bias[:, 0]))
            outputs.append(output)
        return tf.add_n(outputs)


def _head(hidden, wqkv, wo, bias):
    """Returns one head's share [B, T, h] of the attention's output, and `hidden` itself."""
    query, key, value = tf.split(_product(hidden, wqkv), 3, axis=-1)
    return _product(_attend(query, key, value, bias), wo), hidden


@tf.custom_gradient
def _recomputed_head(hidden, wqkv, wo, bias):
    """`_head`, computed again for its gradient.

    `hidden` passes through, so that the gradient of a head waits for that of the head after it:
    the attention weights of one head at a time lie in memory.
    """
    def gradient(d_output, d_hidden):
        with tf.control_dependencies([d_output, d_hidden]):     # not before they are needed
            inputs = [tf.identity(value) for value in (hidden, wqkv, wo)]
        again, _ = _head(*inputs, bias=bias)
        d_inputs = tf.gradients(again, inputs, d_output)
        return [d_inputs[0] + d_hidden] + d_inputs[1:] + [tf.zeros_like(bias)]

    return _head(hidden, wqkv, wo, bias), gradient

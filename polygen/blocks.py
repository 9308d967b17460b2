"""The building blocks of PolyGen's networks: Transformer stacks and a residual encoder.

Variable names and numerics are those of the original's `modules.py`.
B: batch, T: tokens of a sequence, C: context vectors, h: hidden size, H: heads, s: size of a head.
"""
from typing import Any, Callable, List, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from common.ops import volume_conv
from polygen import layers, ragged

Dropout = Callable[[tf.Tensor, float], tf.Tensor]   # (values, rate) -> values
_GLOROT = tf.glorot_uniform_initializer
_EPSILON = 1e-6         # of layer norm, beside the variance


def dense(inputs: tf.Tensor, units: int, name: str, use_bias: bool = True,
          activation: Optional[Callable[[tf.Tensor], tf.Tensor]] = None,
          kernel_initializer: Any = None, scale: Any = None) -> tf.Tensor:
    """Applies an affine layer over the last axis with variables `<name>/kernel` and `<name>/bias`.

    Args:
      inputs: [..., channels].
      units: int.
      name: str, variable scope.
      use_bias: bool.
      activation: function (tensor) -> tensor, or None.
      kernel_initializer: initializer; None: Glorot-uniform.
      scale: scalar that multiplies kernel and bias, which costs less than scaling the outputs.
    Returns:
      [..., units].
    """
    with tf.variable_scope(name):
        size = inputs.shape.as_list()[-1]
        kernel = tf.get_variable('kernel', [size, units],
                                 initializer=kernel_initializer or _GLOROT())
        bias = None
        if use_bias:
            bias = tf.get_variable('bias', [units], initializer=tf.zeros_initializer())
        with tf.control_dependencies(None):     # before a loop, not in each of its steps
            if scale is not None:
                kernel = kernel * scale
                bias = bias * scale if use_bias else None
        # One matrix product over all positions; batched ones are slower on every device.
        outputs = tf.matmul(tf.reshape(inputs, [-1, size]), kernel)
        if use_bias:
            outputs += bias
        if activation is not None:
            outputs = activation(outputs)
        return tf.reshape(outputs, layers.shape_list(inputs)[:-1] + [units])


def embed(rows: int, size: int, name: str) -> layers.Embed:
    """Returns an embedding table [rows, size], Glorot-uniform, with a dense gradient.

    It maps int32 [...] to [..., size]; there are no IndexedSlices.
    """
    return layers.Embed(vocab_size=rows, embed_dim=size, densify_gradients=True,
                     initializers={'embeddings': _GLOROT()}, name=name)


def _plain_dropout(inputs, rate):
    return tf.nn.dropout(inputs, rate=rate)


def _lean_layer_norm(inputs, name):
    """`layers.layer_norm` whose gradient stores means and deviations alone beside the inputs."""
    with tf.variable_scope(name):
        scale, bias = layers.layer_norm_vars(inputs.shape.as_list()[-1])

    @tf.custom_gradient
    def normalize(inputs, scale, bias):
        mean = tf.reduce_mean(inputs, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.squared_difference(inputs, mean), axis=-1, keepdims=True)
        factor = tf.rsqrt(variance + _EPSILON)

        def gradient(d_outputs):
            with tf.control_dependencies([d_outputs]):  # or `normal` would be the forward one, kept
                normal = (tf.identity(inputs) - mean) * factor
            d_normal = d_outputs * scale
            product = d_outputs * normal
            d_inputs = d_normal - tf.reduce_mean(d_normal, axis=-1, keepdims=True)
            d_inputs -= normal * tf.reduce_mean(normal * d_normal, axis=-1, keepdims=True)
            axes = list(range(inputs.shape.ndims - 1))
            return (factor * d_inputs, tf.reduce_sum(product, axes),
                    tf.reduce_sum(d_outputs, axes))

        return (inputs - mean) * factor * scale + bias, gradient

    return normalize(inputs, scale, bias)


class _TransformerStack(layers.AbstractModule):
    """The residual branches of a Transformer layer, shared by encoder and decoder.

    Args:
      hidden_size: int, h.
      fc_size: int, width of the hidden layer of the MLP.
      num_heads: int, H; divides h.
      layer_norm: bool, normalise the input of each branch.
      num_layers: int.
      dropout_rate: float, of each branch's output, when training.
      re_zero: bool, scale each branch by a scalar that starts at 0 (Bachlechner et al. 2020).
      memory_efficient: bool, self-attention head by head, computed again in the backward pass.
        Its variables are `wqkv [H, 1, h, 3s]` and `wo [H, 1, s, h]`; it always layer-norms.
      plain: bool, every operation as the original has it; else fewer operations that compute
        the same (one product for query, key and value; scalars multiplied into kernels).
      fused: bool, scalars are multiplied into kernels, and layer norms of concatenated sequences
        have a gradient of their own; else both are the original's operators, each of which half
        precision rounds.
      dropout_fn: function (tensor, rate) -> tensor that drops units; None: tf.nn.dropout. Tests and
        reproducible runs pass their own.
      name: str, variable scope.
    """

    def __init__(self, hidden_size: int = 256, fc_size: int = 1024, num_heads: int = 4,
                 layer_norm: bool = True, num_layers: int = 8, dropout_rate: float = 0.2,
                 re_zero: bool = True, memory_efficient: bool = False, plain: bool = False,
                 fused: bool = True, dropout_fn: Optional[Dropout] = None,
                 name: str = 'transformer'):
        super().__init__(name=name)
        if hidden_size % num_heads:
            raise ValueError('hidden_size {} is not a multiple of num_heads {}.'.format(
                hidden_size, num_heads))
        self.hidden_size = hidden_size
        self.fc_size = fc_size
        self.num_heads = num_heads
        self.layer_norm = layer_norm
        self.num_layers = num_layers
        self.dropout_rate = dropout_rate
        self.re_zero = re_zero
        self.memory_efficient = memory_efficient
        self.plain = plain
        self.fused = fused
        self.dropout_fn = dropout_fn or _plain_dropout
        self._packed = False    # whether the sequences of a batch are concatenated, for training

    @property
    def head_size(self) -> int:
        """Size of a head, s."""
        return self.hidden_size // self.num_heads

    def _normalize(self, inputs, name):
        if not self.layer_norm:
            return inputs
        is_lean = self._packed and self.fused
        return (_lean_layer_norm if is_lean else layers.layer_norm)(inputs, name=name)

    def _alpha(self, name):
        """Returns the ReZero scalar of a branch; 1 without ReZero."""
        if not self.re_zero:
            return 1.
        return tf.get_variable(name + '/alpha', [], initializer=tf.zeros_initializer())

    def _add_branch(self, inputs, branch, is_training):
        """Returns inputs + dropout(branch); the branch is scaled by its alpha already."""
        if is_training and self.dropout_rate:
            branch = self.dropout_fn(branch, self.dropout_rate)
        return inputs + branch

    def _attention(self, query, memory, bias, name):
        """Scaled attention branch [B, T, h] of normalised queries to a memory, or to themselves.

        `bias` is a tensor to add to the logits, or `ragged.Rows` where the sequences of a batch are
        concatenated (B = 1).
        """
        if self.plain:
            branch = layers.multihead_attention(
                query, memory, bias, total_key_depth=self.hidden_size,
                total_value_depth=self.hidden_size, output_depth=self.hidden_size,
                num_heads=self.num_heads, dropout_rate=0., make_image_summary=False, name=name)
            return branch * self._alpha(name)
        with tf.variable_scope(name):
            if memory is None:
                q, k, v = self._heads(query, 'qkv')
            else:
                (q,), (k, v) = self._heads(query, 'q'), self._heads(memory, 'kv')
            packed = isinstance(bias, ragged.Rows)
            heads = bias.attend(q, k, v) if packed else attend(q, k, v, bias)
        return (self._output_transform if packed else self._join_heads)(heads, name)

    def _heads(self, inputs, names):
        """Projects [B, T, h] to heads [B, H, T, s], one tensor for each letter of `names`.

        The kernels are concatenated, so that one matrix product serves queries ('q'), keys ('k')
        and values ('v'); that of the queries carries the factor s^-0.5.
        """
        size, factor = self.hidden_size, self.head_size ** -0.5
        is_scaled = names[0] == 'q'
        kernels = []
        for name in names:
            with tf.variable_scope(name):
                kernels.append(tf.get_variable('kernel', [inputs.shape.as_list()[-1], size],
                                               initializer=_GLOROT()))
        with tf.control_dependencies(None):     # before a loop, not in each of its steps
            if is_scaled and self.fused:
                kernels[0] = kernels[0] * factor
            kernel = tf.concat(kernels, axis=1)
        batch, length, depth = layers.shape_list(inputs)
        joined = tf.matmul(tf.reshape(inputs, [-1, depth]), kernel)
        if length == 1:     # nothing to transpose
            split = [batch, len(names), self.num_heads, 1, self.head_size]
            heads = tf.unstack(tf.reshape(joined, split), axis=1)
        else:
            split = [batch, length, len(names), self.num_heads, self.head_size]
            heads = tf.unstack(tf.transpose(tf.reshape(joined, split), [2, 0, 3, 1, 4]))
        if is_scaled and not self.fused:
            heads[0] *= factor
        return heads

    def _join_heads(self, heads, name):
        """Maps heads [B, H, T, s] to [B, T, h] and scales by the branch's alpha."""
        batch, _, length, _ = layers.shape_list(heads)
        if length == 1:
            joined = tf.reshape(heads, [batch, 1, self.hidden_size])
        else:
            joined = layers.combine_heads(heads)
        return self._output_transform(joined, name)

    def _output_transform(self, joined, name):
        return self._scaled_dense(joined, name + '/output_transform', name, use_bias=False)

    def _scaled_dense(self, inputs, layer, branch, use_bias=True):
        """Affine layer to [..., h] whose outputs are scaled by the alpha of a branch."""
        if self.fused and not self.plain:
            return dense(inputs, self.hidden_size, layer, use_bias=use_bias,
                         scale=self._alpha(branch))
        return dense(inputs, self.hidden_size, layer, use_bias=use_bias) * self._alpha(branch)

    def _self_attention(self, inputs, bias, is_training):
        """Self-attention branch [B, T, h] with its layer norm."""
        if self.memory_efficient:
            branch = layers.multihead_self_attention_memory_efficient(
                inputs, bias, self.num_heads, head_size=self.head_size, forget=is_training,
                name='self_attention')
            return branch * self._alpha('self_attention')
        return self._attention(self._normalize(inputs, 'self_attention'), None, bias,
                               'self_attention')

    def _mlp(self, inputs):
        hidden = self._normalize(inputs, 'fc')
        hidden = dense(hidden, self.fc_size, 'fc_1', activation=tf.nn.relu)
        return self._scaled_dense(hidden, 'fc_2', 'fc')


class TransformerEncoder(_TransformerStack):
    """Bidirectional Transformer; positions whose embedding is exactly zero are not attended to.

    Arguments: see `_TransformerStack`. Paper: section 3.2, "Vertex encoder" of the face model.
    """

    def __init__(self, name: str = 'transformer_encoder', **config: Any):
        super().__init__(name=name, **config)

    def _build(self, inputs: tf.Tensor, is_training: bool = False,
               rows: Optional[ragged.Rows] = None) -> tf.Tensor:
        """Maps embeddings to encodings.

        Args:
          inputs: [B, T, h]; with `rows` [1, n, h], the sequences concatenated without padding.
          is_training: bool.
          rows: None or `ragged.Rows`.
        Returns:
          Tensor like `inputs`.
        """
        bias = rows or _context_bias(inputs)
        self._packed = rows is not None
        x = inputs
        for layer in range(self.num_layers):
            with tf.variable_scope('layer_{}'.format(layer)):
                x = self._add_branch(x, self._self_attention(x, bias, is_training), is_training)
                x = self._add_branch(x, self._mlp(x), is_training)
        return self._normalize(x, 'output')


class TransformerDecoder(_TransformerStack):
    """Causal Transformer, optionally with cross-attention to a sequence of context vectors.

    Arguments: see `_TransformerStack`. Paper: section 3.1, "Transformer decoder".
    """

    def __init__(self, name: str = 'transformer_decoder', **config: Any):
        super().__init__(name=name, **config)

    def _build(self, inputs: tf.Tensor, sequential_context_embeddings: Optional[tf.Tensor] = None,
               is_training: bool = False, cache: Any = None, rows: Optional[ragged.Rows] = None,
               context_rows: Optional[ragged.Rows] = None) -> tf.Tensor:
        """Maps embeddings to the hidden states that the next tokens are predicted from.

        Args:
          inputs: [B, T, h]; with a cache [B, 1, h], the embedding of the position to decode; with
            `rows` [1, n, h], the sequences concatenated without padding.
          sequential_context_embeddings: None or [B, C, h]; vectors that are all zero are ignored.
          is_training: bool.
          cache: None or `sampling.DecoderCache`, keys and values of earlier positions; it is
            updated.
          rows: None or a causal `ragged.Rows`.
          context_rows: None or the `ragged.Rows` of queries and context, which is [1, m, h] then.
        Returns:
          Tensor like `inputs`.
        """
        x = inputs
        self._packed = rows is not None
        context = sequential_context_embeddings
        if cache is None:
            self_bias = rows or layers.attention_bias_lower_triangle(
                layers.shape_list(inputs)[1])
            if context is not None:
                context_bias = context_rows or _context_bias(context)
        for layer in range(self.num_layers):
            with tf.variable_scope('layer_{}'.format(layer)):
                if cache is None:
                    branch = self._self_attention(x, self_bias, is_training)
                else:
                    branch = self._cached_self_attention(x, cache, layer)
                x = self._add_branch(x, branch, is_training)
                if context is not None:
                    query = self._normalize(x, 'cross_attention')
                    if cache is None:
                        branch = self._attention(query, context, context_bias, 'cross_attention')
                    else:
                        branch = self._cached_cross_attention(query, cache.cross[layer])
                    x = self._add_branch(x, branch, is_training)
                x = self._add_branch(x, self._mlp(x), is_training)
        return self._normalize(x, 'output')

    def cross_memory(self, context: tf.Tensor) -> List[Tuple[tf.Tensor, ...]]:
        """Returns the context's keys and values in every layer, shared by all decoding steps.

        Args:
          context: [B, C, h], or [1, C, h] for all rows.
        Returns:
          list of `(keys, values, bias)`, one per layer: [B, H, C, s] twice and [B, 1, 1, C], with
          1 for B where the context is that of all rows.
        """
        bias = _context_bias(context)
        memory = []
        with self._enter_variable_scope(reuse=tf.AUTO_REUSE):
            for layer in range(self.num_layers):
                with tf.variable_scope('layer_{}/cross_attention'.format(layer)):
                    memory.append(tuple(self._heads(context, 'kv')) + (bias,))
        return memory

    def _cached_self_attention(self, inputs, cache, layer):
        """Self-attention branch of one new position [B, 1, h] over the cache and itself."""
        if self.memory_efficient:
            with tf.variable_scope('self_attention'):
                query, key, value, join = self._memory_efficient_heads(inputs)
                branch = join(cache.attend(layer, query, key, value))
            return branch * self._alpha('self_attention')
        hidden = self._normalize(inputs, 'self_attention')
        with tf.variable_scope('self_attention'):
            query, key, value = self._heads(hidden, 'qkv')
        return self._join_heads(cache.attend(layer, query, key, value), 'self_attention')

    def _memory_efficient_heads(self, inputs):
        """Returns query, key and value [B, H, 1, s] by `wqkv`, and what joins the heads by `wo`."""
        heads, size, hidden_size = self.num_heads, self.head_size, self.hidden_size
        initializer = tf.random_normal_initializer(stddev=hidden_size ** -0.5)
        wqkv = tf.get_variable('wqkv', [heads, 1, hidden_size, 3 * size], initializer=initializer)
        wo = tf.get_variable('wo', [heads, 1, size, hidden_size], initializer=initializer)
        scale, bias = layers.layer_norm_vars(hidden_size)
        hidden = layers.layer_norm_compute(inputs, 1e-6, scale, bias)
        kernel = tf.reshape(tf.transpose(wqkv, [2, 1, 0, 3]), [hidden_size, heads * 3 * size])
        parts = tf.reshape(tf.matmul(hidden[:, 0], kernel), [-1, heads, 3, size])
        query, key, value = tf.split(parts, 3, axis=2)

        def join(outputs):
            flat = tf.reshape(outputs, [-1, heads * size])
            return tf.matmul(flat, tf.reshape(wo, [heads * size, hidden_size]))[:, None]

        return query * size ** -0.5, key, value, join

    def _cached_cross_attention(self, inputs, memory):
        keys, values, bias = memory
        with tf.variable_scope('cross_attention'):
            query, = self._heads(inputs, 'q')
        if keys.shape.as_list()[0] == query.shape.as_list()[0]:
            attended = attend(query, keys, values, bias)
        else:   # one context of all rows: their queries [B, H, 1, s] become those of one row
            rows = [2, 1, 0, 3]
            attended = tf.transpose(attend(tf.transpose(query, rows), keys, values, bias), rows)
        return self._join_heads(attended, 'cross_attention')


def attend(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, bias: Any) -> tf.Tensor:
    """Returns softmax(query key^T + bias) value.

    Args:
      query: [B, H, T, s], scaled by s^-0.5 already.
      key, value: [B, H, C, s].
      bias: broadcastable to [B, H, T, C].
    Returns:
      [B, H, T, s].
    """
    return tf.matmul(tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + bias), value)


def _context_bias(context):
    """Returns the bias [B, 1, 1, C]: 0, or -1e9 for context vectors that are exactly zero."""
    padding = layers.embedding_to_padding(context)
    return layers.attention_bias_ignore_padding(padding)


def _conv(inputs, channels, kernel_size, stride, name, plain=True):
    """Convolution with bias and SAME padding over 2 (NHWC) or 3 (NDHWC) dimensions.

    `plain` uses the strided operation for volumes too, see `volume_conv.conv3d`.
    """
    num_dims = inputs.shape.ndims - 2
    op = {2: tf.nn.conv2d, 3: tf.nn.conv3d}[num_dims]
    with tf.variable_scope(name):
        shape = [kernel_size] * num_dims + [inputs.shape.as_list()[-1], channels]
        kernel = tf.get_variable('kernel', shape, initializer=_GLOROT())
        bias = tf.get_variable('bias', [channels], initializer=tf.zeros_initializer())
        if num_dims == 3 and stride > 1 and not plain:
            size = inputs.shape[1].value
            missing = max(0, (-(-size // stride) - 1) * stride + kernel_size - size)
            pad = [missing // 2, missing - missing // 2]    # as SAME does
            inputs = tf.pad(inputs, [[0, 0], pad, pad, pad, [0, 0]])
            return volume_conv.conv3d(inputs, kernel, stride) + bias
        return op(inputs, kernel, strides=[1] + [stride] * num_dims + [1], padding='SAME') + bias


def conv_residual_block(
        inputs: tf.Tensor, output_channels: int, downsample: bool = False,
        dropout_rate: float = 0., re_zero: bool = True, is_training: bool = False,
        dropout_fn: Optional[Dropout] = None, plain: bool = True) -> tf.Tensor:
    """Applies a residual block, ReLU before each convolution, none after the sum (He et al. 2016).

    Args:
      inputs: [B, height, width, channels] or [B, depth, height, width, channels].
      output_channels: int; without `downsample` it equals the inputs' channels.
      downsample: bool, halve every dimension (stride 2, SAME) and change the channels.
      dropout_rate: float, after the second ReLU when training.
      re_zero: bool, scale the residual by a scalar that starts at 0.
      is_training: bool.
      dropout_fn: function (tensor, rate) -> tensor.
      plain: bool, volumes by the strided operations; else in a form that is fast on CPUs.
    Returns:
      Tensor like the inputs, with `output_channels` channels.
    """
    stride = 2 if downsample else 1
    shortcut = _conv(inputs, output_channels, 3, 2, 'conv_shortcut',
                     plain) if downsample else inputs
    residual = _conv(tf.nn.relu(inputs), inputs.shape.as_list()[-1], 3, 1, 'conv_1')
    residual = tf.nn.relu(residual)
    if is_training and dropout_rate:
        residual = (dropout_fn or _plain_dropout)(residual, dropout_rate)
    residual = _conv(residual, output_channels, 3, stride, 'conv_2', plain)
    if re_zero:
        residual *= tf.get_variable('alpha', [], initializer=tf.zeros_initializer())
    return shortcut + residual


class ResNet(layers.AbstractModule):
    """Encoder of images or voxels. Paper: section 3.1, "Conditional mesh generation".

    Args:
      num_dims: int, 2 or 3.
      hidden_sizes: channels of each resolution; the last equals the decoder's hidden size.
      num_blocks: residual blocks of each resolution.
      dropout_rate, re_zero, dropout_fn, plain: see `conv_residual_block`.
      name: str, variable scope.
    """

    def __init__(self, num_dims: int, hidden_sizes: Sequence[int] = (64, 256),
                 num_blocks: Sequence[int] = (2, 2), dropout_rate: float = 0.1,
                 re_zero: bool = True,
                 dropout_fn: Optional[Dropout] = None, plain: bool = True,
                 name: str = 'res_net'):
        super().__init__(name=name)
        self.num_dims = num_dims
        self.hidden_sizes = hidden_sizes
        self.num_blocks = num_blocks
        self.dropout_rate = dropout_rate
        self.re_zero = re_zero
        self.dropout_fn = dropout_fn
        self.plain = plain

    def _build(self, inputs: tf.Tensor, is_training: bool = False) -> tf.Tensor:
        """Maps [B, side, ..., channels] to [B, side / stride, ..., hidden_sizes[-1]].

        The stride is 4 * 2^(resolutions - 1) for images, 2 * 2^(resolutions - 1) for voxels.
        """
        x = _conv(inputs, self.hidden_sizes[0], 7, 2, 'conv_input', self.plain)
        if self.num_dims == 2:
            x = tf.nn.max_pool2d(x, ksize=3, strides=2, padding='SAME')
        for resolution, (size, blocks) in enumerate(zip(self.hidden_sizes, self.num_blocks)):
            with tf.variable_scope('resolution_{}'.format(resolution)):
                for block in range(1, blocks + 1):
                    # The first block has this name in every resolution, though the first
                    # resolution is already reduced by the convolution before it.
                    name = 'block_1_downsample' if block == 1 else 'block_{}'.format(block)
                    with tf.variable_scope(name):
                        x = conv_residual_block(
                            x, size, downsample=block == 1 and resolution > 0,
                            dropout_rate=self.dropout_rate, re_zero=self.re_zero,
                            is_training=is_training, dropout_fn=self.dropout_fn, plain=self.plain)
        return x

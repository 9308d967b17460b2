"""PolyGen's networks: p(vertices), also conditioned on images or voxels, and p(faces | vertices).

Paper: Nash, Ganin, Eslami, Battaglia, "PolyGen: An Autoregressive Generative Model of 3D Meshes",
ICML 2020. Variable names, creation order and numerics are those of the original's `modules.py`.

B: batch, T: tokens of a sequence, V: vertices, h: hidden size, K: symbols (vocabulary size).
"""
import math
from typing import Any, Dict, Optional, Tuple

import tensorflow.compat.v1 as tf

from common.device import npu
from polygen import blocks, layers, ragged, sampling, sequences

TransformerEncoder = blocks.TransformerEncoder
TransformerDecoder = blocks.TransformerDecoder
ResNet = blocks.ResNet
conv_residual_block = blocks.conv_residual_block
top_k_logits = sampling.top_k_logits
top_p_logits = sampling.top_p_logits
dequantize_verts = sequences.dequantize_verts
quantize_verts = sequences.quantize_verts

_COORDINATE_ROWS = 256  # of the face model's vertex tables, whatever its quantization_bits
_SHARE_OF_ANY = 0.95    # of the last class before a picture or a grid has told anything
_NO_FILTERS = sampling.Filters()


class _SequenceModel(layers.AbstractModule):
    """What both models embed alike: the class, and what precedes the first token."""

    @layers.reuse_variables
    def _embed_class_label(self, labels):
        return blocks.embed(self.num_classes, self.embedding_size, 'class_label')(labels)

    @layers.reuse_variables
    def _first_embedding(self, batch, global_context):
        """Returns the embedding [B, 1, h] that precedes the first token."""
        if global_context is not None:
            return global_context[:, None]
        zero = tf.get_variable('embed_zero', [1, 1, self.embedding_size])
        return tf.tile(zero, [batch, 1, 1])


class VertexModel(_SequenceModel):
    """Autoregressive model of quantised vertex coordinates. Paper: section 3.1.

    A sequence holds (z, y, x) of each vertex in sorted order, each coordinate + 1, then 0 = stop.

    Args:
      decoder_config: dict, arguments of `TransformerDecoder`.
      quantization_bits: int; K = 2^bits + 1.
      class_conditional: bool, the sequence starts with an embedding of the class.
      num_classes: int.
      max_num_input_verts: int, rows of the table of vertex positions.
      use_discrete_embeddings: bool, a table of coordinate values; else an affine map of the value.
      name: str, variable scope.
    """

    def __init__(self, decoder_config: Dict[str, Any], quantization_bits: int,
                 class_conditional: bool = False, num_classes: int = 55,
                 max_num_input_verts: int = 2500, use_discrete_embeddings: bool = True,
                 name: str = 'vertex_model'):
        super().__init__(name=name)
        self.quantization_bits = quantization_bits
        self.class_conditional = class_conditional
        self.num_classes = num_classes
        self.max_num_input_verts = max_num_input_verts
        self.use_discrete_embeddings = use_discrete_embeddings
        self.num_symbols = 2 ** quantization_bits + 1
        with self._enter_variable_scope():
            self.decoder = blocks.TransformerDecoder(**decoder_config)
        self.embedding_size = self.decoder.hidden_size

    @layers.reuse_variables
    def _prepare_context(self, context, is_training=False):
        """Returns the class embedding [B, h] or None, and the sequential context or None."""
        del is_training
        if self.class_conditional:
            return self._embed_class_label(context['class_label']), None
        return None, None

    @layers.reuse_variables
    def _embed_tokens(self, tokens, positions):
        """Embeds tokens int32 [B, T] at positions int32 [T] of the sequence: [B, T, h]."""
        size = self.embedding_size
        coordinate = blocks.embed(3, size, 'coord_embeddings')(positions % 3)
        vertex = blocks.embed(self.max_num_input_verts, size, 'coord_embeddings')(positions // 3)
        if self.use_discrete_embeddings:
            value = blocks.embed(self.num_symbols, size, 'value_embeddings')(tokens)
        else:
            # As in the original the tokens count from 1 here, so values are one level too high.
            values = dequantize_verts(tokens, self.quantization_bits)[..., None]
            value = blocks.dense(values, size, 'value_embeddings')
        return value + (coordinate + vertex)[None]

    def _embed_inputs(self, vertices, global_context=None):
        """Returns the decoder inputs [B, T + 1, h] of a sequence int32 [B, T]."""
        batch, length = layers.shape_list(vertices)
        # The original creates the tables before the first element's embedding.
        embedded = self._embed_tokens(vertices, tf.range(length))
        return tf.concat([self._first_embedding(batch, global_context), embedded], axis=1)

    @layers.reuse_variables
    def _project_to_logits(self, inputs):
        return blocks.dense(inputs, self.num_symbols, 'project_to_logits',
                            kernel_initializer=tf.zeros_initializer())

    def _create_logits(self, vertices_flat, global_context, sequential_context,
                       is_training=False):
        """Returns the logits [B, T + 1, K] of the token after every prefix of int32 [B, T]."""
        inputs = self._embed_inputs(vertices_flat, global_context)
        outputs = self.decoder(inputs, sequential_context, is_training=is_training)
        return self._project_to_logits(outputs)

    def _build(self, batch: Dict[str, tf.Tensor],
               is_training: bool = False) -> layers.Categorical:
        """Returns the distribution of every token of a sequence, given the earlier ones.

        Args:
          batch: dict with `vertices_flat` int32 [B, T], and the context: `class_label` int32 [B],
            `image` or `voxels`.
          is_training: bool, dropout.
        Returns:
          Categorical over K symbols with batch shape [B, T].
        """
        global_context, sequential_context = self._prepare_context(batch, is_training)
        logits = self._create_logits(batch['vertices_flat'][:, :-1], global_context,
                                     sequential_context, is_training)
        return layers.Categorical(logits=logits)

    @layers.reuse_variables
    def packed_loss(self, batch: Dict[str, tf.Tensor], is_training: bool = False) -> tf.Tensor:
        """Returns the negative log-likelihood of a batch, computed without padding.

        It equals the masked sum over `_build`'s log-probabilities; for CPU and GPU.

        Args:
          batch: see `_build`, with `vertices_flat_mask` [B, T]: 1 for the tokens at the beginning
            of each row, at least one, 0 for padding.
          is_training: bool, dropout.
        Returns:
          Scalar, nats.
        """
        tokens = batch['vertices_flat']
        longest = tokens.shape.as_list()[1]
        lengths, valid = _packing(batch['vertices_flat_mask'])
        global_context, sequential_context = self._prepare_context(batch, is_training)
        inputs = _pack(self._embed_inputs(tokens[:, :-1], global_context), valid)
        context_rows = None
        if sequential_context is not None:
            cells = sequential_context.shape.as_list()[1]
            sequential_context = tf.reshape(sequential_context, [1, -1, self.embedding_size])
            context_rows = ragged.Rows(lengths, tf.fill(tf.shape(lengths), cells), longest)
        outputs = self.decoder(
            inputs, sequential_context, is_training=is_training, context_rows=context_rows,
            rows=ragged.Rows(lengths, lengths, longest, causal=True))
        labels, logits = _pack(tokens, valid)[0], self._project_to_logits(outputs)[0]
        with npu.float32_scope():
            return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=labels, logits=logits))

    def decode_step(self, last: tf.Tensor, index: tf.Tensor, cache: sampling.DecoderCache,
                    global_context: Optional[tf.Tensor] = None,
                    sequential_context: Optional[tf.Tensor] = None) -> tf.Tensor:
        """Returns the logits [B, K] of token `index`, from token `index - 1` and the cache.

        Args:
          last: int32 [B], the previous token (ignored at index 0).
          index: int32 scalar tensor.
          cache: sampling.DecoderCache; it is updated.
          global_context, sequential_context: see `_prepare_context`.
        """
        batch = last.shape.as_list()[0]
        before = tf.maximum(index - 1, 0)
        embedded = self._embed_tokens(last[:, None], before[None])
        first = self._first_embedding(batch, global_context)
        is_first = tf.cast(tf.equal(index, 0), tf.float32)
        inputs = first * is_first + embedded * (1. - is_first)
        outputs = self.decoder(inputs, sequential_context, cache=cache)
        return self._project_to_logits(outputs)[:, 0]

    def sample_tokens(self, num_samples: int, context: Optional[Dict[str, tf.Tensor]] = None,
                      max_sample_length: Optional[int] = None, noise: Optional[tf.Tensor] = None,
                      filters: sampling.Filters = _NO_FILTERS, valid_only: bool = False,
                      keep_drawing: bool = False, single_loop: bool = False,
                      growing: bool = False) -> tf.Tensor:
        """Draws vertex sequences int32 [B, 3 * max_sample_length + 1], see `draw_tokens`."""
        return self.draw_tokens(num_samples, context, max_sample_length, noise, filters,
                                valid_only, keep_drawing, single_loop, growing)[0]

    def draw_tokens(self, num_samples: int, context: Optional[Dict[str, tf.Tensor]] = None,
                    max_sample_length: Optional[int] = None, noise: Optional[tf.Tensor] = None,
                    filters: sampling.Filters = _NO_FILTERS, valid_only: bool = False,
                    keep_drawing: bool = False, single_loop: bool = False,
                    growing: bool = False, shared_context: bool = False
                    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Draws vertex sequences; all shapes are static, but with `growing`.

        Args:
          num_samples: int, B.
          context: dict of tensors with B rows or more; the first B are used.
          shared_context: bool, its first row is that of all samples: a picture or a grid goes
            through the encoder once.
          max_sample_length: int, vertices at most; default `max_num_input_verts`.
          noise: None (drawn in the graph) or [B, 3 * max_sample_length + 1], uniform in [0, 1).
          filters: sampling.Filters.
          valid_only: bool, mask invalid tokens (paper, section 3.1; not in the original).
          keep_drawing, single_loop, growing: see `sampling.draw_tokens`.
        Returns:
          (int32, float32), both [B, 3 * max_sample_length + 1]: tokens and their margins.
        Raises:
          ValueError: more vertices than the table of positions has rows.
        """
        max_sample_length = max_sample_length or self.max_num_input_verts
        _check_length(max_sample_length, self.max_num_input_verts, 'max_num_input_verts')
        max_tokens = 3 * max_sample_length + 1
        rows = 1 if shared_context else num_samples
        context = {key: value[:rows] for key, value in (context or {}).items()}
        global_context, sequential_context = self._prepare_context(context)
        if noise is None:
            noise = tf.random_uniform([num_samples, max_tokens])

        def step(last, index, cache):
            return self.decode_step(last, index, cache, global_context, sequential_context)

        return sampling.draw_tokens(
            step, self.decoder, num_samples, max_tokens, noise, filters,
            cross=_cross_memory(self.decoder, sequential_context),
            rules=sampling.VertexRules(self.quantization_bits) if valid_only else None,
            keep_drawing=keep_drawing, single_loop=single_loop, growing=growing)

    def sample(self, num_samples: int, context: Optional[Dict[str, tf.Tensor]] = None,
               max_sample_length: Optional[int] = None, temperature: float = 1., top_k: int = 0,
               top_p: float = 1., recenter_verts: bool = True, only_return_complete: bool = True,
               top_k_per_row: bool = False, noise: Optional[tf.Tensor] = None,
               valid_only: bool = False, growing: bool = False, shared_context: bool = False
               ) -> Dict[str, tf.Tensor]:
        """Draws vertices.

        Args:
          num_samples: int; with a context at most as many as it has rows.
          context: None or dict, see `_build`.
          max_sample_length: int, vertices at most.
          temperature, top_k, top_p, top_k_per_row: see `sampling.filter_logits`.
          recenter_verts: bool, move the centre of the bounding box to 0 (for models trained with
            random shifts).
          only_return_complete: bool, drop rows without a stop token (a dynamic shape; not for the
            NPU).
          noise, valid_only, growing, shared_context: see `draw_tokens`.
        Returns:
          Dict: `completed` bool [B], `vertices` [B, max_sample_length, 3] as (x, y, z) in
          [-0.5, 0.5] (beyond it when recentred), zero from `num_vertices` int32 [B] on, and
          `vertices_mask` [B, max_sample_length].
        """
        max_sample_length = max_sample_length or self.max_num_input_verts
        if context and not shared_context:
            rows = [value.shape.as_list()[0] for value in context.values()]
            num_samples = min([num_samples] + rows)
        tokens, _ = self.draw_tokens(
            num_samples, context, max_sample_length, noise,
            sampling.Filters(temperature, top_k, top_p, top_k_per_row), valid_only,
            growing=growing, shared_context=shared_context)
        return sequences.vertices_from_tokens(tokens, self.quantization_bits, recenter_verts,
                                              only_return_complete)


def _packing(mask):
    """Returns the lengths int32 [B] of a mask [B, T] and the flat indices int [n] of its ones."""
    lengths = tf.cast(tf.reduce_sum(mask, axis=1), tf.int32)
    return lengths, tf.where(tf.reshape(mask, [-1]) > 0.5)[:, 0]


def _pack(values, valid):
    """Concatenates the valid positions of [B, T, ...] to [1, n, ...]."""
    shape = values.shape.as_list()
    return tf.gather(tf.reshape(values, [-1] + shape[2:]), valid)[None]


def _check_length(length, rows, name):
    if length > rows:
        raise ValueError('max_sample_length {} is larger than {} {}: there is no embedding of the '
                         'positions beyond.'.format(length, name, rows))


def _cross_memory(decoder, context):
    return None if context is None else decoder.cross_memory(context)


class _SpatialVertexModel(VertexModel):
    """Vertex model told cells of a picture or a grid, by a ResNet of so many dimensions."""

    def __init__(self, num_dims: int, res_net_config: Dict[str, Any],
                 decoder_config: Dict[str, Any], quantization_bits: int,
                 use_discrete_embeddings: bool, max_num_input_verts: int, summary_classes: int,
                 name: str):
        super().__init__(decoder_config, quantization_bits, num_classes=summary_classes, name=name,
                         max_num_input_verts=max_num_input_verts,
                         use_discrete_embeddings=use_discrete_embeddings)
        self.class_logits: Optional[tf.Tensor] = None
        with self._enter_variable_scope():
            self.res_net = blocks.ResNet(num_dims=num_dims, **res_net_config)

    @layers.reuse_variables
    def _summarise(self, cells):
        """Returns what cells [B, m, h] tell as one element [B, h], or None without classes."""
        if not self.num_classes:
            return None
        # With largest values and layer norms: the mean alone is nearly that of the background's
        # colour, and no class is learned by it.
        features = blocks.dense(layers.layer_norm(cells, name='summary_cells'),
                                self.embedding_size, 'summary_features', activation=tf.nn.relu)
        summary = layers.layer_norm(tf.concat(
            [tf.reduce_mean(features, axis=1), tf.reduce_max(features, axis=1)], axis=1),
                                    name='summary_of_cells')
        others = self.num_classes - 1
        prior = math.log(_SHARE_OF_ANY / (1 - _SHARE_OF_ANY) * others)
        zeros = tf.zeros_initializer()
        self.class_logits = blocks.dense(
            summary, self.num_classes, 'class_of_context', kernel_initializer=zeros) + tf.constant(
                [0.] * others + [prior])
        embeddings = self._embed_class_label(tf.range(self.num_classes))
        of_classes = tf.matmul(tf.nn.softmax(self.class_logits), embeddings)
        return of_classes + blocks.dense(summary, self.embedding_size, 'summary',
                                         kernel_initializer=zeros)


class ImageToVertexModel(_SpatialVertexModel):
    """Vertex model conditioned on an image. Paper: section 3.1, "Conditional mesh generation".

    Args:
      res_net_config: dict, arguments of `ResNet` but the number of dimensions.
      summary_classes: int, 0 as in the paper. Else the sequence starts, as in a model told classes,
        with an embedding: those of so many classes, weighted by how likely a layer on mean and
        largest value of the cells' features holds them (the last one, any class, by 0.95 at first),
        and an affine map of these, 0 at first. `class_logits` [B, classes] are of the last call.
      The others: see `VertexModel`.
    """

    def __init__(self, res_net_config: Dict[str, Any], decoder_config: Dict[str, Any],
                 quantization_bits: int, use_discrete_embeddings: bool = True,
                 max_num_input_verts: int = 2500, summary_classes: int = 0,
                 name: str = 'image_to_vertex_model'):
        super().__init__(2, res_net_config, decoder_config, quantization_bits,
                         use_discrete_embeddings, max_num_input_verts, summary_classes, name)

    @layers.reuse_variables
    def _prepare_context(self, context, is_training=False):
        """`context['image']` [B, S, S, channels] in [0, 1] -> [B, h] or None, [B, cells, h]."""
        embedded = self.res_net(context['image'] - 0.5, is_training)
        side = embedded.shape.as_list()[1]
        cells = _with_coordinates(embedded, [side] * 2, 'image_coord_embeddings')
        return self._summarise(cells), cells


class VoxelToVertexModel(_SpatialVertexModel):
    """Vertex model conditioned on voxels. Paper: section 3.1, "Conditional mesh generation".

    Args:
      pre_embed_dim: int, size of the embedding of a full or an empty voxel. The original uses it
        but never sets it, so no published value exists.
      The others: see `ImageToVertexModel`.
    """

    def __init__(self, res_net_config: Dict[str, Any], decoder_config: Dict[str, Any],
                 quantization_bits: int, use_discrete_embeddings: bool = True,
                 max_num_input_verts: int = 2500, pre_embed_dim: int = 8,
                 summary_classes: int = 0, name: str = 'voxel_to_vertex_model'):
        super().__init__(3, res_net_config, decoder_config, quantization_bits,
                         use_discrete_embeddings, max_num_input_verts, summary_classes, name)
        self.pre_embed_dim = pre_embed_dim

    @layers.reuse_variables
    def _prepare_context(self, context, is_training=False):
        """`context['voxels']` int [B, S, S, S] of 0 and 1 -> [B, h] or None, [B, cells, h]."""
        voxels = tf.cast(context['voxels'], tf.int32)
        embedded = self.res_net(blocks.embed(2, self.pre_embed_dim, 'voxel_embeddings')(voxels),
                                is_training)
        side = embedded.shape.as_list()[1]
        cells = _with_coordinates(embedded, [side] * 3, 'voxel_coord_embeddings')
        return self._summarise(cells), cells


def _with_coordinates(embedded, sides, name):
    """Adds an affine map of each cell's coordinates in [-1, 1] and flattens the cells.

    Maps [B, side, ..., h] to [B, cells, h]. The coordinates are those of NumPy's meshgrid in its
    'xy' order: channel 0 runs along the second axis, channel 1 along the first, channel 2 along the
    third.
    """
    size = embedded.shape.as_list()[-1]
    grids = tf.meshgrid(*[tf.linspace(-1., 1., side) for side in sides])
    positions = blocks.dense(tf.stack(grids, axis=-1), size, name)
    cells = 1
    for side in sides:
        cells *= side
    return tf.reshape(embedded + positions[None], [-1, cells, size])


class FaceModel(_SequenceModel):
    """Autoregressive model of faces as pointers to vertices. Paper: section 3.2.

    A sequence holds vertex index + 2 for each corner, 1 between faces, 0 = stop at the end.

    Args:
      encoder_config: dict, arguments of `TransformerEncoder`, for the vertices.
      decoder_config: dict, arguments of `TransformerDecoder`.
      class_conditional: bool, the sequence starts with an embedding of the class.
      num_classes: int.
      decoder_cross_attention: bool, the decoder attends to the encoded vertices.
      use_discrete_vertex_embeddings: bool, tables of coordinates; else an affine map.
      quantization_bits: int.
      max_seq_length: int, rows of the table of positions.
      exact_quantization: bool, round coordinates instead of truncating them.
      name: str, variable scope.
    """

    def __init__(self, encoder_config: Dict[str, Any], decoder_config: Dict[str, Any],
                 class_conditional: bool = True, num_classes: int = 55,
                 decoder_cross_attention: bool = True, use_discrete_vertex_embeddings: bool = True,
                 quantization_bits: int = 8, max_seq_length: int = 5000,
                 exact_quantization: bool = False, name: str = 'face_model'):
        super().__init__(name=name)
        self.class_conditional = class_conditional
        self.num_classes = num_classes
        self.decoder_cross_attention = decoder_cross_attention
        self.use_discrete_vertex_embeddings = use_discrete_vertex_embeddings
        self.quantization_bits = quantization_bits
        self.max_seq_length = max_seq_length
        self.exact_quantization = exact_quantization
        with self._enter_variable_scope():
            self.decoder = blocks.TransformerDecoder(**decoder_config)
            self.encoder = blocks.TransformerEncoder(**encoder_config)
        self.embedding_size = self.decoder.hidden_size

    @layers.reuse_variables
    def _embed_vertices(self, vertices, mask):
        """Embeds stop, new face and vertices [B, V, 3] (zero where masked) as [B, V + 2, h]."""
        size = self.embedding_size
        if self.use_discrete_vertex_embeddings:
            quantized = quantize_verts(vertices, self.quantization_bits, self.exact_quantization)
            embedded = 0.
            for axis in range(3):
                table = blocks.embed(_COORDINATE_ROWS, size, 'coord_{}'.format(axis))
                embedded += table(quantized[..., axis])
        else:
            embedded = blocks.dense(vertices, size, 'vertex_embeddings')
        embedded *= mask[..., None]
        stopping = tf.get_variable('stopping_embeddings', [1, 2, size])
        stopping = tf.tile(stopping, [layers.shape_list(vertices)[0], 1, 1])
        return tf.concat([stopping, embedded], axis=1)

    def _prepare_context(self, context, is_training=False):
        """Returns class embedding [B, h] or None, targets E [B, V + 2, h], sequential context."""
        global_context = None
        if self.class_conditional:
            global_context = self._embed_class_label(context['class_label'])
        embedded = self._embed_vertices(context['vertices'], context['vertices_mask'])
        targets = self.encoder(embedded, is_training=is_training)
        sequential_context = None
        if self.decoder_cross_attention:
            # Vectors that are exactly zero are not attended to.
            sequential_context = targets * _pad_mask(context['vertices_mask'])[..., None]
        return global_context, targets, sequential_context

    @layers.reuse_variables
    def _embed_positions(self, positions):
        table = blocks.embed(self.max_seq_length, self.embedding_size, 'coord_embeddings')
        return table(positions)

    def _embed_inputs(self, faces, targets, global_context=None):
        """Returns the decoder inputs [B, T + 1, h] of a sequence int32 [B, T]."""
        batch, length = layers.shape_list(faces)
        embedded = tf.gather(targets, faces, batch_dims=1)
        embedded += self._embed_positions(tf.range(length))[None]
        return tf.concat([self._first_embedding(batch, global_context), embedded], axis=1)

    @layers.reuse_variables
    def _project_to_pointers(self, inputs):
        return blocks.dense(inputs, self.embedding_size, 'project_to_pointers',
                            kernel_initializer=tf.zeros_initializer())

    def _pointer_logits(self, outputs, targets, mask):
        """Returns the pointer logits [B, T, V + 2]: products of decoder outputs and targets.

        Paper: section 3.2, "Mesh pointer networks".

        Args:
          outputs: [B, T, h], of the decoder.
          targets: [B, V + 2, h], encodings of stop, new face and the vertices.
          mask: [B, V], 1 for the vertices that exist.
        """
        pointers = self._project_to_pointers(outputs)
        logits = tf.matmul(pointers, targets, transpose_b=True) / self.embedding_size ** 0.5
        mask = _pad_mask(mask)[:, None]
        return logits * mask - (1. - mask) * 1e9

    def _build(self, batch: Dict[str, tf.Tensor],
               is_training: bool = False) -> layers.Categorical:
        """Returns the distribution of every token, given the earlier ones and the vertices.

        Args:
          batch: dict with `vertices` [B, V, 3] in [-0.5, 0.5] as (x, y, z), `vertices_mask`
            [B, V], `faces` int [B, T] and, if conditional, `class_label` int32 [B].
          is_training: bool, dropout.
        Returns:
          Categorical over V + 2 symbols with batch shape [B, T].
        """
        global_context, targets, sequential_context = self._prepare_context(batch, is_training)
        inputs = self._embed_inputs(tf.cast(batch['faces'], tf.int32)[:, :-1], targets,
                                    global_context)
        outputs = self.decoder(inputs, sequential_context, is_training=is_training)
        logits = self._pointer_logits(outputs, targets, batch['vertices_mask'])
        return layers.Categorical(logits=logits)

    @layers.reuse_variables
    def packed_loss(self, batch: Dict[str, tf.Tensor], is_training: bool = False) -> tf.Tensor:
        """Returns the negative log-likelihood of a batch, computed without padding.

        It equals the masked sum over `_build`'s log-probabilities; for CPU and GPU.

        Args:
          batch: see `_build`, with `faces_mask` [B, T]; both masks are 1 at the beginning of each
            row, at least once, and 0 for padding.
          is_training: bool, dropout.
        Returns:
          Scalar, nats.
        """
        tokens = tf.cast(batch['faces'], tf.int32)
        lengths, valid = _packing(batch['faces_mask'])
        counts, is_target = _packing(_pad_mask(batch['vertices_mask']))
        embedded = self._embed_vertices(batch['vertices'], batch['vertices_mask'])
        targets = self.encoder(_pack(embedded, is_target), is_training=is_training,
                               rows=ragged.Rows(counts, counts, embedded.shape.as_list()[1]))
        # The targets of row r follow those of the rows before it.
        indices = tokens[:, :-1] + tf.cumsum(counts, exclusive=True)[:, None]
        length = tokens.shape.as_list()[1]
        global_context = None
        if self.class_conditional:
            global_context = self._embed_class_label(batch['class_label'])
        inputs = tf.gather(targets[0], indices) + self._embed_positions(tf.range(length - 1))[None]
        first = self._first_embedding(tokens.shape.as_list()[0], global_context)
        rows = ragged.Rows(lengths, counts, length)
        outputs = self.decoder(
            _pack(tf.concat([first, inputs], axis=1), valid),
            targets if self.decoder_cross_attention else None, is_training=is_training,
            rows=ragged.Rows(lengths, lengths, length, causal=True), context_rows=rows)
        pointers = self._project_to_pointers(outputs)[0] / self.embedding_size ** 0.5
        return rows.pointer_losses(pointers, targets[0], _pack(tokens, valid)[0])

    def decode_step(self, last: tf.Tensor, index: tf.Tensor, cache: sampling.DecoderCache,
                    mask: tf.Tensor, prepared: Tuple) -> tf.Tensor:
        """Returns the logits [B, V + 2] of token `index`, from token `index - 1` and the cache.

        Args:
          last: int32 [B], the previous token (ignored at index 0).
          index: int32 scalar tensor.
          cache: sampling.DecoderCache; it is updated.
          mask: vertices_mask [B, V].
          prepared: see `_prepare_context`.
        """
        global_context, targets, sequential_context = prepared
        batch = last.shape.as_list()[0]
        embedded = tf.gather(targets, last[:, None], batch_dims=1)
        embedded += self._embed_positions(tf.maximum(index - 1, 0)[None])[None]
        is_first = tf.cast(tf.equal(index, 0), tf.float32)
        inputs = (self._first_embedding(batch, global_context) * is_first
                  + embedded * (1. - is_first))
        outputs = self.decoder(inputs, sequential_context, cache=cache)
        return self._pointer_logits(outputs, targets, mask)[:, 0]

    def sample_tokens(self, context: Dict[str, tf.Tensor], max_sample_length: Optional[int] = None,
                      noise: Optional[tf.Tensor] = None, filters: sampling.Filters = _NO_FILTERS,
                      valid_only: bool = False, keep_drawing: bool = False,
                      single_loop: bool = False, growing: bool = False) -> tf.Tensor:
        """Draws face sequences int32 [B, L], see `draw_tokens`."""
        return self.draw_tokens(context, max_sample_length, noise, filters, valid_only,
                                keep_drawing, single_loop, growing)[0]

    def draw_tokens(self, context: Dict[str, tf.Tensor], max_sample_length: Optional[int] = None,
                    noise: Optional[tf.Tensor] = None, filters: sampling.Filters = _NO_FILTERS,
                    valid_only: bool = False, keep_drawing: bool = False,
                    single_loop: bool = False, growing: bool = False
                    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Draws face sequences; all shapes are static, but with `growing`.

        Args:
          context: dict with `vertices` [B, V, 3], `vertices_mask` [B, V] and, if conditional,
            `class_label` int32 [B]; all sizes are static.
          max_sample_length: int, L; default `max_seq_length`.
          noise: None (drawn in the graph) or [B, L], uniform in [0, 1).
          filters: sampling.Filters.
          valid_only: bool, mask invalid tokens (paper, section 3.2; not in the original).
          keep_drawing, single_loop, growing: see `sampling.draw_tokens`.
        Returns:
          (int32 [B, L], float32 [B, L]): tokens and their margins.
        Raises:
          ValueError: more tokens than the table of positions has rows.
        """
        max_sample_length = max_sample_length or self.max_seq_length
        _check_length(max_sample_length, self.max_seq_length, 'max_seq_length')
        mask = context['vertices_mask']
        batch = mask.shape.as_list()[0]
        prepared = self._prepare_context(context)
        if noise is None:
            noise = tf.random_uniform([batch, max_sample_length])
        return sampling.draw_tokens(
            lambda last, index, cache: self.decode_step(last, index, cache, mask, prepared),
            self.decoder, batch, max_sample_length, noise, filters,
            cross=_cross_memory(self.decoder, prepared[2]),
            rules=sampling.FaceRules(mask) if valid_only else None, keep_drawing=keep_drawing,
            single_loop=single_loop, growing=growing)

    def sample(self, context: Dict[str, tf.Tensor], max_sample_length: Optional[int] = None,
               temperature: float = 1., top_k: int = 0, top_p: float = 1.,
               only_return_complete: bool = True, top_k_per_row: bool = False,
               noise: Optional[tf.Tensor] = None, valid_only: bool = False,
               growing: bool = False) -> Dict[str, Any]:
        """Draws faces for vertices.

        Args:
          context: see `sample_tokens`; may be the outputs of `VertexModel.sample`.
          max_sample_length: int, tokens at most.
          temperature, top_k, top_p, top_k_per_row: see `sampling.filter_logits`.
          only_return_complete: bool, drop rows without a stop token, in every entry of the context
            too (a dynamic shape; not for the NPU).
          noise, valid_only, growing: see `draw_tokens`.
        Returns:
          Dict: `context`, `completed` bool [B], `faces` int32 [B, max_sample_length], zero from the
          stop token on, `num_face_indices` int32 [B], tokens with the stop token.
        """
        tokens = self.sample_tokens(
            context, max_sample_length, noise,
            sampling.Filters(temperature, top_k, top_p, top_k_per_row), valid_only,
            growing=growing)
        return sequences.faces_from_tokens(tokens, context, only_return_complete)


def _pad_mask(vertices_mask):
    """Returns the mask [B, V + 2] of all symbols: stop and new face are always valid."""
    return tf.pad(vertices_mask, [[0, 0], [2, 0]], constant_values=1.)

"""Autoregressive sampling of token sequences, with static shapes or in one loop.

Keys and values of earlier positions are cached in two buffers: a recent block of `BLOCK_SIZE`
positions, which each step shifts by one position, and an archive, which is shifted by a whole block
when the recent one is full. The cost of writing a step is therefore independent of the length of
the sequence. Both buffers are filled from the end; unused positions at the front are masked. The
capacity of the archive grows by half from one while loop to the next (a few loops, each with static
shapes), so that early tokens do not pay for the attention of the longest sequence. Where shapes may
change (`growing`), it is one loop, a graph of a fraction of the size, whose archive gets longer by
each block.

B: batch, L: tokens at most, H: heads, s: size of a head, K: symbols (vocabulary size), V: vertices.
"""
import collections
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

BLOCK_SIZE = 32         # positions of the recent block
FIRST_CAPACITY = 4      # blocks in the archive of the first loop
_REMOVED = -1e9         # logit of a symbol that cannot be drawn; finite, as the NPU wants it

Pair = Tuple[tf.Tensor, tf.Tensor]      # keys and values of a layer


class Filters(NamedTuple):
    """How logits are filtered before a token is drawn, see `filter_logits`.

    Attributes:
      temperature: float, divides the logits.
      top_k: int, symbols that remain; 0 keeps all.
      top_p: float, probability that the remaining symbols reach; 1 keeps all.
      top_k_per_row: bool, see `top_k_logits`.
    """

    temperature: float = 1.
    top_k: int = 0
    top_p: float = 1.
    top_k_per_row: bool = False


def top_k_logits(logits: tf.Tensor, k: int, per_row: bool = False) -> tf.Tensor:
    """Sets all but the largest logits to -1e9.

    The original takes one threshold for the whole tensor, the smallest of all rows' k-th largest
    logits, and removes the threshold itself: k - 1 symbols survive in a single row, and with k = 1
    a row can lose all of them. That is the default; `per_row` keeps the k best of each row.

    Args:
      logits: [..., K].
      k: int, 0 keeps all.
      per_row: bool.
    Returns:
      Tensor like `logits`.
    """
    if k == 0:
        return logits
    symbols = logits.shape.as_list()[-1]
    kth = tf.nn.top_k(logits, k=min(k, symbols or k)).values[..., -1:]
    removed = logits < kth if per_row else logits <= tf.reduce_min(kth)
    return tf.where(removed, tf.fill(tf.shape(logits), _REMOVED), logits)


def top_p_logits(logits: tf.Tensor, p: float) -> tf.Tensor:
    """Keeps the nucleus: the most likely symbols that reach probability p (Holtzman et al. 2020).

    A symbol is removed (1e9 is subtracted from its logit) when the more likely ones add up to more
    than p, so the most likely one always remains and p = 0 is greedy.

    Args:
      logits: [..., K].
      p: float, 1 keeps all.
    Returns:
      Tensor like `logits`.
    """
    if p == 1.:
        return logits
    order = tf.argsort(logits, direction='DESCENDING', stable=True)
    ranked = tf.gather(logits, order, batch_dims=logits.shape.ndims - 1)
    before = tf.cumsum(tf.nn.softmax(ranked), axis=-1, exclusive=True)
    removed = tf.cast(before > p, logits.dtype) * _REMOVED
    rank_of_symbol = tf.argsort(order)
    return logits + tf.gather(removed, rank_of_symbol, batch_dims=logits.shape.ndims - 1)


def filter_logits(logits: tf.Tensor, filters: Filters) -> tf.Tensor:
    """Divides logits [..., K] by the temperature, then applies top-k, then top-p."""
    if filters.temperature != 1.:
        logits = logits / filters.temperature
    logits = top_k_logits(logits, filters.top_k, filters.top_k_per_row)
    return top_p_logits(logits, filters.top_p)


def draw(logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Draws one symbol per row by inverting the cumulative distribution.

    Args:
      logits: [B, K].
      noise: [B], uniform in [0, 1).
    Returns:
      int32 [B]; a symbol whose probability is 0 is never drawn.
    """
    mass = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    total = mass[:, -1:]
    # Rounding can raise noise * total to the total; then the last symbol with any mass is drawn.
    below = tf.logical_and(mass <= noise[:, None] * total, mass < total)
    return tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)


def margin(logits: tf.Tensor, filtered: tf.Tensor, noise: tf.Tensor, filters: Filters) -> tf.Tensor:
    """Returns how far each choice of `draw` is from another one, see `common.choices`.

    The least of three distances: of the noise from the borders of the symbols, in probability; of
    the symbols that the filters keep from those that they remove, in logits; and with `top_p` of
    the probability before a symbol from p.

    Args:
      logits: [B, K], divided by the temperature, filtered no further; filtered: [B, K], what is
        drawn from.
      noise: [B], uniform in [0, 1).
      filters: Filters.
    Returns:
      [B].
    """
    mass = tf.cumsum(tf.nn.softmax(filtered), axis=-1)
    least = tf.reduce_min(tf.abs(mass - noise[:, None] * mass[:, -1:]), axis=-1)
    if filters.top_k or filters.top_p != 1.:
        is_kept = filtered > _REMOVED / 2
        lowest = tf.where(is_kept, logits, tf.fill(tf.shape(logits), -_REMOVED))
        highest = tf.where(is_kept, tf.fill(tf.shape(logits), _REMOVED), logits)
        least = tf.minimum(least, tf.reduce_min(lowest, axis=-1) - tf.reduce_max(highest, axis=-1))
    if 0. < filters.top_p < 1.:
        logits = top_k_logits(logits, filters.top_k, filters.top_k_per_row)
        ranked = tf.nn.top_k(logits, k=logits.shape.as_list()[-1]).values
        before = tf.cumsum(tf.nn.softmax(ranked), axis=-1)
        least = tf.minimum(least, tf.reduce_min(tf.abs(before - filters.top_p), axis=-1))
    return least


class DecoderCache:
    """Keys and values of the positions decoded so far, for the layers of one decoding step.

    Args:
      recent: list of pairs [B, H, block, s], one per layer, filled from the end.
      position: int scalar tensor, number of filled positions of the recent block.
      archive: None or list of pairs [B, H, capacity, s], filled from the end.
      archived: int scalar tensor, number of filled positions of the archive; all of them where its
        capacity is not static.
      cross: list of `TransformerDecoder.cross_memory`, or None.

    Attributes:
      recent, cross: see the arguments; `attend` replaces the pairs of `recent`.
    """

    def __init__(self, recent: Sequence[Pair], position: tf.Tensor,
                 archive: Optional[Sequence[Pair]] = None, archived: Any = None,
                 cross: Optional[Sequence[Tuple[tf.Tensor, ...]]] = None):
        self.recent = list(recent)
        self.cross = cross
        self._archive = archive
        masked = _unused(recent, position + 1)
        if archive is not None:
            masked = tf.concat([_unused(archive, archived), masked], axis=0)
        self._bias = tf.cast(masked, tf.float32) * _REMOVED
        if archive is not None:
            self._split = _length(archive[0][0])

    def attend(self, layer: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Appends one position to the cache of a layer and attends to it and all earlier ones.

        Args:
          layer: int.
          query, key, value: [B, H, 1, s], the query already scaled by s^-0.5.
        Returns:
          [B, H, 1, s].
        """
        keys, values = self.recent[layer]
        keys, values = _shifted(keys, key), _shifted(values, value)
        self.recent[layer] = (keys, values)
        logits = tf.matmul(query, keys, transpose_b=True)
        if self._archive is None:
            return tf.matmul(tf.nn.softmax(logits + self._bias), values)
        old_keys, old_values = self._archive[layer]
        old_logits = tf.matmul(query, old_keys, transpose_b=True)
        weights = tf.nn.softmax(tf.concat([old_logits, logits], axis=-1) + self._bias)
        return (tf.matmul(weights[..., :self._split], old_values)
                + tf.matmul(weights[..., self._split:], values))


def _unused(pairs, filled):
    """Returns bool [length]: positions of [B, H, length, s] before the last `filled` ones."""
    length = _length(pairs[0][0])
    return tf.range(length) < length - filled


def _length(keys):
    """Positions of [B, H, length, s]: an int where it is static, else a scalar tensor."""
    length = keys.shape.as_list()[2]
    return tf.shape(keys)[2] if length is None else length


def _appended(old, new):
    return tf.concat([old, new], axis=2)


def _shifted(old, new):
    """Appends new positions to [B, H, length, s] and drops as many of the oldest.

    All copies are contiguous, which costs less than writing at an index that depends on the step.
    """
    return tf.concat([old[:, :, new.shape.as_list()[2]:], new], axis=2)


def empty_blocks(num_layers: int, batch: int, num_heads: int, length: int,
                 head_size: int) -> List[Pair]:
    """Returns (keys, values) pairs of zeros [B, H, length, s], one per layer."""
    zeros = tf.zeros([batch, num_heads, length, head_size])
    return [(zeros, zeros) for _ in range(num_layers)]


def archive_capacities(max_tokens: int) -> List[int]:
    """Returns the capacity of the archive in each of the successive while loops, in blocks.

    A loop decodes as many blocks as its archive has room for, the last loop one more.
    """
    needed = -(-max_tokens // BLOCK_SIZE) - 1
    capacities = [min(FIRST_CAPACITY, needed)]
    while capacities[-1] < needed:
        capacities.append(min(max(capacities[-1] + 1, capacities[-1] * 3 // 2), needed))
    return capacities


class Loop(collections.namedtuple(
        'Loop', 'index tokens margins last done rules archive recent')):
    """The loop variables of sampling.

    index: int32 scalar, tokens drawn so far; tokens: int32 [B, whole blocks], zero from `index` on,
    in the loop over a block [B, block]; margins: float32, of the same shape; last: int32 [B], the
    newest token; done: bool [B], rows that have a stop token; rules: state of the validity rules;
    archive, recent: lists of (keys, values) pairs.
    """


def draw_tokens(step: Callable[[tf.Tensor, tf.Tensor, DecoderCache], tf.Tensor], decoder: Any,
                batch: int, max_tokens: int, noise: tf.Tensor, filters: Filters,
                cross: Optional[Sequence[Tuple[tf.Tensor, ...]]] = None, rules: Any = None,
                keep_drawing: bool = False, single_loop: bool = False, growing: bool = False
                ) -> Tuple[tf.Tensor, tf.Tensor]:
    """Draws token after token until every row has stopped or has `max_tokens`.

    Args:
      step: function (last token int32 [B], index int32 scalar, DecoderCache) -> logits [B, K] of
        token `index`. At index 0 the last token is ignored.
      decoder: TransformerDecoder, for the number of layers, heads and their size.
      batch: int, B.
      max_tokens: int, L.
      noise: [B, L], uniform in [0, 1): a token is a function of its logits and its noise.
      filters: Filters.
      cross: see `DecoderCache`.
      rules: None, `VertexRules` or `FaceRules`: only sequences that they allow are drawn.
      keep_drawing: bool, rows that have stopped go on drawing while others have not, as in the
        original (which discards these tokens later); otherwise such tokens are 0.
      single_loop: bool, one loop whose recent block has room for all tokens, for converters that
        support no nested loops; each step then shifts the whole block, which costs more.
      growing: bool, one loop over blocks, whose archive grows: shapes change, for CPU and GPU.
    Returns:
      (int32 [B, L], float32 [B, L]): tokens, and the `margin` of each (1 after the stop token).
      Margins that nobody fetches are not computed, nor are they in a frozen graph.
    """
    def body(loop, archived):
        position = loop.index - archived
        cache = DecoderCache(loop.recent, position, loop.archive or None, archived, cross)
        logits = step(loop.last, loop.index, cache)
        if rules is not None:
            logits = rules.remove_invalid(logits, loop.rules, loop.index)
        filtered, draws = filter_logits(logits, filters), tf.gather(noise, loop.index, axis=1)
        token = draw(filtered, draws)
        least = margin(logits / filters.temperature, filtered, draws, filters)
        if not keep_drawing:
            token = tf.where(loop.done, tf.zeros_like(token), token)
            least = tf.where(loop.done, tf.ones_like(least), least)
        slot = _one_hot(position, loop.tokens.shape.as_list()[1])
        tokens = loop.tokens + token[:, None] * slot
        margins = loop.margins + least[:, None] * tf.cast(slot, tf.float32)
        state = rules.advance(loop.rules, token, loop.index) if rules is not None else ()
        done = tf.logical_or(loop.done, tf.equal(token, 0))
        return loop._replace(index=loop.index + 1, tokens=tokens, margins=margins, last=token,
                             done=done, rules=state, recent=cache.recent)

    sizes = (decoder.num_layers, batch, decoder.num_heads)
    length = -(-max_tokens // BLOCK_SIZE) * BLOCK_SIZE
    loop = _first_state(batch, length, rules)
    capacities = [0] if single_loop else archive_capacities(max_tokens)
    if capacities == [0]:   # a single block: no archive
        recent = empty_blocks(*sizes, length=length, head_size=decoder.head_size)
        loop = _while(loop._replace(recent=recent), max_tokens, lambda now: body(now, 0))
        return loop.tokens[:, :max_tokens], loop.margins[:, :max_tokens]
    capacities = [0] if growing else capacities
    for capacity in capacities:
        end = max_tokens if capacity == capacities[-1] else capacity * BLOCK_SIZE
        loop = loop._replace(archive=_enlarged(loop.archive, capacity, sizes, decoder.head_size))
        loop = _while_blocks(loop, end, sizes, decoder.head_size, body, growing)
    return loop.tokens[:, :max_tokens], loop.margins[:, :max_tokens]


def _first_state(batch, length, rules):
    """Returns the Loop before the first token, with room for `length` of them."""
    return Loop(index=tf.constant(0), tokens=tf.zeros([batch, length], tf.int32),
                margins=tf.zeros([batch, length]), last=tf.zeros([batch], tf.int32),
                done=tf.zeros([batch], tf.bool),
                rules=rules.initial(batch) if rules is not None else (), archive=(), recent=())


def _while(loop, end, body, growing=False):
    """Runs `body` (Loop -> Loop) until every row has stopped or `end` tokens are drawn.

    With `growing` the archive becomes longer from step to step.
    """
    shapes = None
    if growing:
        batch, heads, _, size = loop.archive[0][0].shape.as_list()
        shapes = tf.nest.map_structure(lambda tensor: tensor.shape, loop._replace(archive=()))
        shapes = [shapes._replace(archive=[
            (tf.TensorShape([batch, heads, None, size]),) * 2 for _ in loop.archive])]
    return tf.while_loop(
        lambda now: tf.logical_and(now.index < end, tf.logical_not(tf.reduce_all(now.done))),
        lambda now: [body(now)], [loop], shape_invariants=shapes, parallel_iterations=1,
        back_prop=False)[0]


def _while_blocks(loop, end, sizes, head_size, body, growing=False):
    """Runs block after block; each fills an empty recent block and appends it to the archive."""
    def one_block(now):
        archived = now.index
        recent = empty_blocks(*sizes, length=BLOCK_SIZE, head_size=head_size)
        block_end = tf.minimum(archived + BLOCK_SIZE, end)
        # The archive is constant within a block, so it is no loop variable of the inner loop.
        blank = {name: tf.zeros_like(getattr(now, name)[:, :BLOCK_SIZE])
                 for name in ('tokens', 'margins')}
        inner = _while(now._replace(recent=recent, archive=(), **blank), block_end,
                       lambda step: body(step._replace(archive=now.archive), archived)._replace(
                           archive=()))
        append = _appended if growing else _shifted
        archive = [tuple(append(old, new) for old, new in zip(*pairs))
                   for pairs in zip(now.archive, inner.recent)]
        return inner._replace(archive=archive, recent=(), **{
            name: _with_block(getattr(now, name), getattr(inner, name), archived // BLOCK_SIZE)
            for name in blank})

    return _while(loop._replace(recent=()), end, one_block, growing)


def _one_hot(index, length, dtype=tf.int32):
    """Returns the one-hot vectors [..., length] of indices [...]; all zero for negative ones.

    tf2onnx converts tf.one_hot for floats only, and counts negative indices from the end.
    """
    return tf.cast(tf.equal(tf.range(length), tf.expand_dims(index, -1)), dtype)


def _with_block(tokens, block, number):
    """Writes [B, block] as block `number` of tokens (or margins) [B, blocks * block]."""
    batch, length = tokens.shape.as_list()
    slot = tf.one_hot(number, length // BLOCK_SIZE, dtype=tokens.dtype)[:, None]
    return tokens + tf.reshape(slot * block[:, None], [batch, length])


def _enlarged(archive, capacity, sizes, head_size):
    """Returns the archive, padded at the front to a capacity of `capacity` blocks."""
    length = capacity * BLOCK_SIZE
    if not archive:
        return empty_blocks(*sizes, length=length, head_size=head_size)
    more = length - archive[0][0].shape.as_list()[2]
    return [tuple(tf.pad(part, [[0, 0], [0, 0], [more, 0], [0, 0]]) for part in pair)
            for pair in archive]


State = Tuple[tf.Tensor, ...]


class VertexRules:
    """Validity of vertex sequences: sorted by z, then y, then x, and no vertex occurs twice.

    Paper: section 3.1, masking of invalid predictions. The stop token follows a whole vertex only,
    and every allowed prefix can be completed. The state is the previous vertex and the current,
    incomplete vertex, int32 [B, 3] each as (z, y, x); -1 before the first.

    Args:
      quantization_bits: int.
    """

    def __init__(self, quantization_bits: int):
        self._largest = 2 ** quantization_bits - 1

    def initial(self, batch: int) -> State:
        """Returns the state before the first token: two int32 tensors [B, 3]."""
        return (tf.fill([batch, 3], -1), tf.fill([batch, 3], -1))

    def remove_invalid(self, logits: tf.Tensor, state: State, index: tf.Tensor) -> tf.Tensor:
        """Sets the logits [B, K] of the symbols that token `index` must not be to -1e9."""
        (last_z, last_y, last_x), (z, y, _) = [tf.unstack(part, axis=1) for part in state]
        full = self._largest
        x_is_full = tf.cast(tf.equal(last_x, full), tf.int32)
        yx_is_full = x_is_full * tf.cast(tf.equal(last_y, full), tf.int32)
        same_z, same_y = tf.equal(z, last_z), tf.equal(y, last_y)
        zeros = tf.zeros_like(last_z)
        bounds = [last_z + yx_is_full,
                  tf.where(same_z, last_y + x_is_full, zeros),
                  tf.where(tf.logical_and(same_z, same_y), last_x + 1, zeros)]
        lowest = tf.gather(tf.stack(bounds), index % 3)
        allowed = tf.range(full + 1)[None] >= lowest[:, None]
        may_stop = tf.logical_and(tf.equal(index % 3, 0), index > 0)
        stop = tf.fill([tf.shape(logits)[0], 1], may_stop)
        return _keep(logits, tf.concat([stop, allowed], axis=1))

    def advance(self, state: State, token: tf.Tensor, index: tf.Tensor) -> State:
        """Returns the state after consuming token `index`, int32 [B]."""
        previous, current = state
        axis = _one_hot(index % 3, 3)[None]
        current = current * (1 - axis) + (token[:, None] - 1) * axis
        is_complete = tf.cast(tf.equal(index % 3, 2), tf.int32)
        return (current * is_complete + previous * (1 - is_complete), current)


class FaceRules:
    """Validity of face sequences, in the canonical form of the training data.

    Paper: section 3.2, masking of invalid predictions. A face has three or more distinct vertices,
    the smallest index first; first indices never decrease from face to face and never skip an
    unused vertex; the sequence may stop after a face once every vertex is used. The state is the
    first vertex of the previous and of the current face, the number of vertices in the current face
    (int32 [B] each), and which vertices are in the current face and in any face (float32 [B, V]
    each).

    Args:
      vertices_mask: float32 [B, V], 1 for the vertices that a row has.
    """

    def __init__(self, vertices_mask: tf.Tensor):
        self._mask = vertices_mask
        self._counts = tf.cast(tf.reduce_sum(vertices_mask, axis=1), tf.int32)
        self._size = vertices_mask.shape.as_list()[1]

    def initial(self, batch: int) -> State:
        """Returns the state before the first token: int32 [B] thrice, float32 [B, V] twice."""
        zeros = tf.zeros([batch], tf.int32)
        return (zeros, zeros, zeros, tf.zeros([batch, self._size]), tf.zeros([batch, self._size]))

    def remove_invalid(self, logits: tf.Tensor, state: State, index: tf.Tensor) -> tf.Tensor:
        """Sets the logits [B, K] of the symbols that must not come next to -1e9."""
        del index
        before, first, count, in_face, used = state
        vertex = tf.range(self._size)[None]
        unused = self._mask * (1. - used)
        all_used = tf.less(tf.reduce_sum(unused, axis=1), .5)
        first_unused = tf.where(all_used, self._counts, tf.argmax(unused, 1, output_type=tf.int32))
        highest = tf.minimum(first_unused, self._counts - 3)
        opening = tf.logical_and(vertex >= before[:, None], vertex <= highest[:, None])
        following = tf.logical_and(vertex > first[:, None], in_face < .5)
        following = tf.logical_and(following, self._mask > .5)
        starts = tf.equal(count, 0)
        allowed = tf.where(tf.tile(starts[:, None], [1, self._size]), opening, following)
        complete = count >= 3
        too_few_vertices = tf.logical_and(starts, self._counts < 3)
        stop = tf.logical_or(tf.logical_and(complete, all_used), too_few_vertices)
        return _keep(logits, tf.concat([stop[:, None], complete[:, None], allowed], axis=1))

    def advance(self, state: State, token: tf.Tensor, index: tf.Tensor) -> State:
        """Returns the state after consuming a token, int32 [B]."""
        del index
        before, first, count, in_face, used = state
        is_vertex = token >= 2
        vertex = _one_hot(token - 2, self._size, tf.float32)  # all zero for stop and new face
        opens = tf.logical_and(is_vertex, tf.equal(count, 0))
        before = tf.where(is_vertex, before, first)
        first = tf.where(opens, token - 2, first)
        count = tf.where(is_vertex, count + 1, tf.zeros_like(count))
        in_face = (in_face + vertex) * tf.cast(is_vertex, tf.float32)[:, None]
        return (before, first, count, in_face, tf.maximum(used, vertex))


def _keep(logits, allowed):
    return tf.where(allowed, logits, tf.fill(tf.shape(logits), _REMOVED))


def uniform_noise(seed: Any, batch: int, max_tokens: int) -> np.ndarray:
    """Returns float32 [B, L] in [0, 1) for `draw_tokens`, the same on every machine.

    Args:
      seed: int or list of int; batch, max_tokens: int, B and L.
    """
    return np.random.RandomState(seed).random_sample((batch, max_tokens)).astype(np.float32).clip(
        max=np.nextafter(np.float32(1), np.float32(0)))

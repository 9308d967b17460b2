"""Attention and pointers over sequences of different lengths that are concatenated, not padded.

Loops over blocks of queries, but in small batches: the number of operations does not grow with the
batch, of a causal sequence little is computed behind each position, and no attention weight is
stored: the gradient computes those of a block again from the logarithms of their normalisers (Rabe
and Staats 2021, "Self-attention Does Not Need O(n^2) Memory"; Dao et al. 2022, "FlashAttention",
section 3.1).
Shapes depend on the lengths of a step: for CPU and GPU, not for the NPU.

n: all queries, m: all positions of the memories, H: heads, s: size of a head, G: heads at a time,
b: queries of a block, c: positions of the memory that a block attends to, N: blocks of all heads.
"""
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common.device import npu
from polygen import layers

_BLOCK = 256            # queries of a block at most
_LOGITS = 1 << 18       # of a block at most, where it has several heads
_SMALL = 2048           # positions of a batch, padded, up to which a loop costs more than it saves

Range = Tuple[tf.Tensor, tf.Tensor]     # begin and size of tf.slice, int32 [3] each


class _Block(NamedTuple):
    """Ranges of a block, the first four in [H, n or m, s], the last two in [G, s, c].

    Attributes:
      queries: its b queries.
      memory: the c positions that they attend to.
      past, own: the first c - b and the last b of these; of the latter each query attends to those
        up to its own. Where the rows are causal.
      waiting, done: positions whose gradient gets more from blocks before this one, and the others.
    """

    queries: Range
    memory: Range
    past: Range
    own: Range
    waiting: Range
    done: Range


class Rows:
    """Lengths of the sequences of a batch that are concatenated, and of what they attend to.

    Args:
      lengths: int32 [B], of the sequences of queries, 1 or more; B is static.
      memory_lengths: int32 [B], of the sequences that they attend to, 1 or more.
      longest: int, upper bound of the lengths.
      causal: bool, each position attends to itself and those before it; the memory is the queries.
    """

    def __init__(self, lengths: tf.Tensor, memory_lengths: tf.Tensor, longest: int,
                 causal: bool = False):
        self._block = min(_BLOCK, longest)
        self._longest = longest
        self._lengths = lengths
        self._memory_lengths = memory_lengths
        self._causal = causal
        self._mask = None
        if causal:
            self._mask = layers.attention_bias_lower_triangle(self._block)[0]
        self._num_rows = lengths.shape.as_list()[0]
        self._tables: Dict[Tuple[int, int], tf.Tensor] = {}

    def attend(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Returns the attention of each sequence of queries to its memory.

        Args:
          query: [1, H, n, s], scaled by s^-0.5 already.
          key, value: [1, H, m, s].
        Returns:
          [1, n, H s], the heads concatenated.
        """
        if self._num_rows * self._longest <= _SMALL:
            return self._attend_by_row(query, key, value)
        _, heads, _, size = query.shape.as_list()
        most = max(1, _LOGITS // (self._block * self._longest))
        together = max(number for number in range(1, heads + 1)
                       if heads % number == 0 and number <= most)
        table = self._table(heads, together)

        @tf.custom_gradient
        def attention(query, key, value):
            output, normaliser = self._forward(table, together, query, key, value)
            output = tf.reshape(tf.transpose(output, [1, 0, 2]), [-1, heads * size])

            def gradient(d_output):
                inner = tf.reshape(output * d_output, [-1, heads, size])
                inner = tf.transpose(tf.reduce_sum(inner, axis=2, keepdims=True), [1, 0, 2])
                d_heads = tf.transpose(tf.reshape(d_output, [-1, heads, size]), [1, 0, 2])
                return self._backward(table, together, (query, key, value),
                                      (normaliser, d_heads, inner))

            return output, gradient

        flat = [tf.reshape(tensor, [heads, -1, size]) for tensor in (query, key, value)]
        return attention(*flat)[None]

    def _attend_by_row(self, query, key, value):
        """`attend`, each sequence apart, in operations of its own."""
        rows = [tf.split(tensor, sizes, axis=2, num=self._num_rows) for tensor, sizes in (
            (query, self._lengths), (key, self._memory_lengths), (value, self._memory_lengths))]
        mask = None
        if self._causal:
            mask = layers.attention_bias_lower_triangle(self._longest)[0, 0]
        outputs = []
        for number, (one_query, one_key, one_value) in enumerate(zip(*rows)):
            logits = tf.matmul(one_query, one_key, transpose_b=True)
            if self._causal:
                logits += tf.slice(mask, [0, 0], tf.fill([2], self._lengths[number]))
            outputs.append(tf.matmul(tf.nn.softmax(logits), one_value))
        return layers.combine_heads(tf.concat(outputs, axis=2))

    def pointer_losses(self, pointers: tf.Tensor, targets: tf.Tensor,
                       labels: tf.Tensor) -> tf.Tensor:
        """Returns the negative log-likelihood of pointing at one of a sequence's targets.

        Args:
          pointers: [n, h].
          targets: [m, h].
          labels: int32 [n], the target in the sequence of targets.
        Returns:
          Scalar, the sum in nats.
        """
        table = self._table(1, 1)
        width = targets.shape.as_list()[1]
        labels = labels[None, :, None]

        @tf.custom_gradient
        def losses(pointers, targets):
            def body(block):
                places = tf.slice(pointers, *block.queries)
                options = tf.slice(targets, *block.memory)
                logits = tf.matmul(places, options, transpose_b=True)
                with npu.float32_scope():
                    loss, d_logits = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(
                        features=logits[0], labels=tf.slice(labels, *block.queries)[0, :, 0])
                return [loss[None, :, None], tf.matmul(d_logits[None], options)], [
                    tf.matmul(places, d_logits[None], transpose_a=True)]

            (loss, d_pointers), (d_targets,) = _loop(table, body, 1, 1, [1, width], [width])
            return tf.reduce_sum(loss), lambda factor: [factor * d_pointers, factor * d_targets]

        return losses(pointers[None], targets[None])

    def _table(self, heads, together):
        """Numbers of every `_Block`, int32 [N, 12, 3], by head, then by sequence."""
        if (heads, together) not in self._tables:
            self._tables[heads, together] = self._make_table(heads, together)
        return self._tables[heads, together]

    def _make_table(self, heads, together):
        starts = tf.range(0, self._longest, self._block)
        counts = tf.clip_by_value(self._lengths[:, None] - starts, 0, self._block)
        places = tf.cast(tf.where(counts > 0), tf.int32)
        row, start = places[:, 0], places[:, 1] * self._block
        count = tf.gather_nd(counts, places)
        query = tf.gather(tf.cumsum(self._lengths, exclusive=True), row) + start
        memory = tf.gather(tf.cumsum(self._memory_lengths, exclusive=True), row)
        zero = tf.zeros_like(start)
        if self._causal:    # later blocks attend to all positions before this one
            seen, past, waiting = start + count, start, start
        else:
            seen = past = tf.gather(self._memory_lengths, row)
            waiting = tf.where(start > 0, seen, zero)
        ranges = [(query, count), (memory, seen), (memory, past), (memory + past, count),
                  (zero, waiting), (waiting, seen - waiting)]
        group, rest = zero + together, zero - 1
        vectors = [vector for begin, size in ranges[:4]
                   for vector in ((zero, begin, zero), (group, size, rest))]
        vectors += [vector for begin, size in ranges[4:]
                    for vector in ((zero, zero, begin), (group, rest, size))]
        one_group = tf.stack([tf.stack(vector, axis=1) for vector in vectors], axis=1)
        first_head = np.zeros([12, 3], np.int32)
        first_head[0:8:2, 0] = 1
        groups = tf.range(0, heads, together)[:, None, None, None] * first_head
        return tf.reshape(one_group + groups, [-1, 12, 3])

    def _forward(self, table, together, query, key, value):
        """Outputs [H, n, s], and logarithms of the sums of exponentials [H, n, 1]."""
        def body(block):
            part = tf.slice(query, *block.queries)
            places = [block.past, block.own] if self._causal else [block.memory]
            logits = [tf.matmul(part, tf.slice(key, *place), transpose_b=True)
                      for place in places]
            if self._causal:
                length = tf.shape(part)[1]
                logits[1] += self._mask[:, :length, :length]
            top = tf.reduce_max(logits[-1], axis=2, keepdims=True)
            if self._causal:
                top = tf.maximum(top, tf.reduce_max(logits[0], axis=2, keepdims=True))
            weights = [tf.exp(part - top) for part in logits]
            total = tf.add_n([tf.reduce_sum(part, axis=2, keepdims=True) for part in weights])
            output = tf.add_n([tf.matmul(part, tf.slice(value, *place))
                               for part, place in zip(weights, places)])
            return [output / total, top + tf.log(total)], []

        heads, _, size = query.shape.as_list()
        return _loop(table, body, heads, together, [size, 1])[0]

    def _backward(self, table, together, inputs, of_outputs):
        """Gradients of query [H, n, s], key and value [H, m, s]."""
        query, key, value = inputs

        def body(block):
            q, normaliser, d, inner = [tf.slice(tensor, *block.queries)
                                       for tensor in (query,) + of_outputs]
            k, v = [tf.slice(tensor, *block.memory) for tensor in (key, value)]
            weights = tf.exp(tf.matmul(q, k, transpose_b=True) - normaliser)
            if self._causal:    # query t of the block attends to c - b + t + 1 positions
                weights = tf.matrix_band_part(weights, tf.constant(-1), block.past[1][1])
            d_logits = weights * (tf.matmul(d, v, transpose_b=True) - inner)
            # Few columns first: the other order takes more than twice the time.
            return [tf.matmul(d_logits, k)], [tf.matmul(q, d_logits, transpose_a=True),
                                              tf.matmul(d, weights, transpose_a=True)]

        heads, _, size = query.shape.as_list()
        (d_query,), d_memory = _loop(table, body, heads, together, [size], [size, size])
        return [d_query] + d_memory


def _loop(table: tf.Tensor, body: Callable, heads: int, together: int, widths: Sequence[int],
          memory_widths: Sequence[int] = ()) -> Tuple[List[tf.Tensor], List[tf.Tensor]]:
    """Runs a body for each block, from the last to the first.

    Args:
      table: int32 [N, 12, 3].
      body: function (_Block) -> (tensors [G, b, width], tensors [G, width, c]).
      heads, together: int, H and G.
      widths, memory_widths: of the tensors that the body returns.
    Returns:
      (tensors [H, n, width] of all queries, tensors [H, m, width]: sums over the queries).
    """
    count = tf.shape(table)[0]
    arrays = [tf.TensorArray(tf.float32, count, infer_shape=False)
              for _ in (*widths, *memory_widths)]
    sums = [tf.zeros([together, width, 0]) for width in memory_widths]

    def step(index, sums, arrays):
        numbers = tf.unstack(tf.gather(table, index))
        block = _Block(*zip(numbers[::2], numbers[1::2]))
        outputs, parts = body(block)
        outputs, sums = [tf.transpose(output, [1, 0, 2]) for output in outputs], list(sums)
        for place, (total, part) in enumerate(zip(sums, parts)):
            missing = tf.shape(part)[2] - tf.shape(total)[2]    # all, at a sequence's last block
            total = tf.pad(total, [[0, 0], [0, 0], [0, missing]]) + part
            outputs.append(tf.transpose(tf.slice(total, *block.done), [2, 0, 1]))
            sums[place] = tf.slice(total, *block.waiting)
            sums[place].set_shape([together, memory_widths[place], None])
        arrays = [array.write(index, output) for array, output in zip(arrays, outputs)]
        return index - 1, sums, arrays

    shapes = [tf.TensorShape([together, width, None]) for width in memory_widths]
    _, _, arrays = tf.while_loop(
        lambda index, *_: index >= 0, step, (count - 1, sums, arrays), parallel_iterations=1,
        back_prop=False, shape_invariants=(tf.TensorShape([]), shapes,
                                           [tf.TensorShape(None)] * len(arrays)))
    tensors = []
    for array, width in zip(arrays, (*widths, *memory_widths)):
        parts = tf.reshape(array.concat(), [heads // together, -1, together, width])
        tensors.append(tf.reshape(tf.transpose(parts, [0, 2, 1, 3]), [heads, -1, width]))
    return tensors[:len(widths)], tensors[len(widths):]

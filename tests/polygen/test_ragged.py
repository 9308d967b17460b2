"""Attention over concatenated sequences, in blocks, against the formula in NumPy's float64."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from polygen import ragged

HEADS, SIZE = 4, 3
LENGTHS, MEMORY_LENGTHS = [5, 1, 8, 4], [3, 7, 1, 6]
# Sizes of `ragged`: block, logits, small; by row, then in loops with 4, 4, 1 and 2 heads at once.
BLOCKS = [(256, 1 << 18, 2048), (256, 1 << 18, 0), (4, 1 << 18, 0), (3, 1, 0), (4, 64, 0)]


@pytest.fixture(params=BLOCKS, ids=str)
def block(request, monkeypatch):
    """Sets the sizes of the blocks."""
    monkeypatch.setattr(ragged, '_BLOCK', request.param[0])
    monkeypatch.setattr(ragged, '_LOGITS', request.param[1])
    monkeypatch.setattr(ragged, '_SMALL', request.param[2])


def attention(queries, keys, values, upstream, causal):
    """Output of one head, and the gradients of queries, keys and values; all [T or C, s]."""
    logits = queries @ keys.T
    if causal:
        logits = np.where(np.tril(np.ones_like(logits)) > 0, logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    d_weights = upstream @ values.T
    d_logits = weights * (d_weights - (weights * d_weights).sum(axis=1, keepdims=True))
    return weights @ values, d_logits @ keys, d_logits.T @ queries, weights.T @ upstream


def by_row(arrays, upstream, lengths, memory_lengths, causal):
    """What `attention` gives of every head of every sequence, each [1, H, n or m, s]."""
    outputs = [np.zeros(array.shape) for array in (upstream,) + arrays]
    ends, memory_ends = np.cumsum(lengths), np.cumsum(memory_lengths)
    for end, length, memory_end, memory in zip(ends, lengths, memory_ends, memory_lengths):
        places = slice(end - length, end), slice(memory_end - memory, memory_end)
        for head in range(upstream.shape[1]):
            of_row = [array[0, head, place].astype(np.float64) for array, place in zip(
                arrays, (places[0], places[1], places[1]))]
            results = attention(*of_row, upstream[0, head, places[0]], causal)
            for output, result, place in zip(outputs, results,
                                             (places[0], places[0], places[1], places[1])):
                output[0, head, place] = result
    return outputs


def draw(rng, lengths):
    return rng.normal(size=[1, HEADS, sum(lengths), SIZE]).astype(np.float32)


def computed(run, arrays, upstream, lengths, memory_lengths, causal):
    rows = ragged.Rows(tf.constant(lengths), tf.constant(memory_lengths), max(lengths) + 2, causal)
    tensors = [tf.constant(array) for array in arrays]
    joined = rows.attend(*tensors)
    output = tf.transpose(tf.reshape(joined, [1, -1, HEADS, SIZE]), [0, 2, 1, 3])
    return run([output] + tf.gradients(output, tensors, tf.constant(upstream)))


@pytest.mark.parametrize('causal', [False, True])
def test_attention_in_blocks_is_that_of_each_sequence_with_its_gradients(run, block, causal):
    rng = np.random.RandomState(0)
    memory_lengths = LENGTHS if causal else MEMORY_LENGTHS
    arrays = draw(rng, LENGTHS), draw(rng, memory_lengths), draw(rng, memory_lengths)
    upstream = draw(rng, LENGTHS)
    expected = by_row(arrays, upstream, LENGTHS, memory_lengths, causal)
    actual = computed(run, arrays, upstream, LENGTHS, memory_lengths, causal)
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def test_later_positions_with_far_larger_logits_change_nothing(run, block):
    # Later in a block they are computed and masked: exp(400) is no float32.
    rng = np.random.RandomState(1)
    arrays = tuple(draw(rng, LENGTHS) for _ in range(3))
    arrays[0][...] = np.abs(arrays[0]) + 1
    arrays[1][0, :, :] = np.array([-90., 0., 90., 180., 270.] + [0.] + [
        -90., 0., 90., 180., 270., 360., 450., 540.] + [0.] * 4)[:, None]
    upstream = draw(rng, LENGTHS)
    expected = by_row(arrays, upstream, LENGTHS, LENGTHS, True)
    actual = computed(run, arrays, upstream, LENGTHS, LENGTHS, True)
    for one, other in zip(actual, expected):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def test_pointers_in_blocks_are_those_of_each_sequence_with_their_gradients(run, block):
    rng = np.random.RandomState(2)
    pointers, targets = (rng.normal(size=[sum(lengths), 6]).astype(np.float32)
                         for lengths in (LENGTHS, MEMORY_LENGTHS))
    labels = np.concatenate([rng.randint(most, size=length) for length, most in zip(
        LENGTHS, MEMORY_LENGTHS)]).astype(np.int32)
    loss, d_pointers, d_targets = 0., np.zeros(pointers.shape), np.zeros(targets.shape)
    start = memory_start = 0
    for length, memory in zip(LENGTHS, MEMORY_LENGTHS):
        queries, options = slice(start, start + length), slice(memory_start, memory_start + memory)
        logits = pointers[queries].astype(np.float64) @ targets[options].T
        probs = np.exp(logits)
        probs /= probs.sum(axis=1, keepdims=True)
        right = labels[queries][:, None] == np.arange(memory)
        loss -= np.log(probs[right]).sum()
        d_pointers[queries] = 2 * (probs - right) @ targets[options]
        d_targets[options] = 2 * (probs - right).T @ pointers[queries]
        start, memory_start = start + length, memory_start + memory
    rows = ragged.Rows(tf.constant(LENGTHS), tf.constant(MEMORY_LENGTHS), max(LENGTHS))
    tensors = [tf.constant(pointers), tf.constant(targets)]
    actual = rows.pointer_losses(*tensors, tf.constant(labels))
    values = run([actual] + tf.gradients(2 * actual, tensors))
    for one, other in zip(values, (loss, d_pointers, d_targets)):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def nodes(lengths):
    """Operations of attention and its gradients over so many sequences."""
    with tf.Graph().as_default() as graph:
        tensors = [tf.placeholder(tf.float32, [1, HEADS, None, SIZE]) for _ in range(3)]
        rows = ragged.Rows(tf.constant(lengths), tf.constant(lengths), 5000, causal=True)
        tf.gradients(rows.attend(*tensors), tensors)
        return len(graph.as_graph_def().node)


def test_the_graph_does_not_grow_with_the_batch():
    assert nodes([4] * 64) == nodes([4]) < 450

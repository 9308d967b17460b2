"""Tests of polygen/own_layers.py: on TensorFlow 1 they are held to the libraries' layers."""
import importlib
import sys

import numpy as np
import pytest
import scipy.special
import tensorflow.compat.v1 as tf

from polygen import blocks, layers, modules, own_layers

BATCH, LENGTH, CONTEXT, SIZE, HEADS = 2, 5, 4, 12, 3
with_libraries = pytest.mark.skipif(layers.Embed is own_layers.Embed,
                                    reason='Sonnet and tensor2tensor need TensorFlow 1')


def inputs():
    rng = np.random.RandomState(0)
    arrays = {'x': rng.randn(BATCH, LENGTH, SIZE), 'memory': rng.randn(BATCH, CONTEXT, SIZE)}
    arrays['memory'][1, 2:] = 0.
    return {name: tf.constant(value, tf.float32) for name, value in arrays.items()}


def causal(kind):
    return kind.attention_bias_lower_triangle(LENGTH)


def padding(kind, memory):
    return kind.attention_bias_ignore_padding(kind.embedding_to_padding(memory))


def attention(kind, query, memory, bias):
    return kind.multihead_attention(query, memory, bias, SIZE, SIZE, SIZE, HEADS, 0.,
                                    make_image_summary=False, name='attention')


def head_by_head(kind, x, bias, forget):
    return kind.multihead_self_attention_memory_efficient(
        x, bias, HEADS, head_size=SIZE // HEADS, forget=forget, name='efficient')


def embed(kind, ids):
    table = kind.Embed(vocab_size=7, embed_dim=SIZE, densify_gradients=True, name='table',
                       initializers={'embeddings': tf.glorot_uniform_initializer()})
    return table(ids) * table(ids[:, ::-1])


def log_prob(kind, x):
    distribution = kind.Categorical(logits=x)
    return distribution.log_prob(tf.constant([[1, 0, 2, 11, 4]] * BATCH)) + tf.reduce_sum(
        distribution.logits, axis=-1)


def module(kind, x):
    """A module in a module, two tables of one name, and calls that share the variables."""
    class Inner(kind.AbstractModule):
        def _build(self, values):
            return values * tf.get_variable('scale', [SIZE])

    class Outer(kind.AbstractModule):
        def __init__(self):
            super().__init__(name='outer')
            with self._enter_variable_scope():
                self.inner = Inner(name='inner')

        @kind.reuse_variables
        def embed(self, ids):
            return embed(kind, ids) + embed(kind, ids)

        def _build(self, values, factor=1.):
            scaled = self.inner(values) * tf.get_variable('factor', []) * factor
            tf.get_variable('count', [], trainable=False)
            return scaled + self.embed(tf.constant([[0, 3, 3, 6, 1]]))

    first, second = Outer(), Outer()
    outputs = first(x) + first(x, factor=2.) + first.embed(tf.constant([[0, 1, 2, 3, 4]]))
    outputs += second(x)
    for part in (first, first.inner, second):
        for ours, created in ((part.trainable_variables, tf.trainable_variables()),
                              (part.variables, tf.global_variables())):
            assert [variable.op.name for variable in ours] == sorted(
                variable.op.name for variable in created
                if variable.op.name.startswith(part.scope_name + '/'))
    return outputs


LAYERS = {
    'layer_norm': lambda kind, x, memory: kind.layer_norm(x, name='norm'),
    'layer_norm_parts': lambda kind, x, memory: kind.layer_norm_compute(
        x, 1e-3, *kind.layer_norm_vars(SIZE)),
    'causal_attention': lambda kind, x, memory: attention(kind, x, None, causal(kind)),
    'cross_attention': lambda kind, x, memory: attention(kind, x, memory, padding(kind, memory)),
    'head_by_head': lambda kind, x, memory: head_by_head(kind, x, causal(kind), False),
    'head_by_head_recomputed': lambda kind, x, memory: head_by_head(kind, x, causal(kind), True),
    'head_by_head_padded': lambda kind, x, memory: head_by_head(
        kind, memory, padding(kind, memory), True),
    'masks': lambda kind, x, memory: padding(kind, memory) + causal(kind)[..., :CONTEXT],
    'heads': lambda kind, x, memory: kind.combine_heads(tf.stack([x, 2. * x, 3. * x], axis=1)),
    'embed': lambda kind, x, memory: embed(kind, tf.constant([[0, 3, 3, 6]])),
    'log_prob': lambda kind, x, memory: log_prob(kind, x),
    'module': lambda kind, x, memory: module(kind, x)}


def randomize(sess):
    """Gives each variable values that depend on its name alone."""
    for variable in tf.global_variables():
        rng = np.random.RandomState(sum(map(ord, variable.op.name)))
        variable.load(rng.normal(size=variable.shape.as_list()), sess)


def evaluate(outputs, targets):
    """Outputs, and gradients of an uneven sum of them; gradients that are absent are zero."""
    weights = np.cos(np.arange(outputs.shape.num_elements())).reshape(outputs.shape.as_list())
    gradients = tf.gradients(outputs * weights, targets)
    assert not any(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)
    gradients = [tf.zeros_like(target) if gradient is None else gradient
                 for target, gradient in zip(targets, gradients)]
    with tf.Session() as sess:
        randomize(sess)
        return sess.run([outputs] + gradients)


def assert_close(actual, expected, names, share=2e-6):
    """Equal up to rounding: a share of an array's largest value."""
    for name, ours, theirs in zip(['outputs'] + names, actual, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=share * np.abs(theirs).max(),
                                   err_msg=name)


@with_libraries
@pytest.mark.parametrize('name', sorted(LAYERS))
def test_values_gradients_and_variables_are_those_of_the_libraries(name):
    results = []
    for kind in (layers, own_layers):
        with tf.Graph().as_default():
            arrays = inputs()
            outputs = LAYERS[name](kind, **arrays)
            variables = [(variable.op.name, variable.shape.as_list())
                         for variable in tf.global_variables()]
            targets = tf.trainable_variables() + list(arrays.values())
            results.append((evaluate(outputs, targets), variables, outputs.shape.as_list(),
                            [target.op.name for target in targets]))
    theirs, ours = results
    assert ours[1:] == theirs[1:]
    assert_close(ours[0], theirs[0], ours[3])


@with_libraries
@pytest.mark.parametrize('name', ['causal_attention', 'head_by_head', 'layer_norm'])
def test_initial_values_have_the_distribution_of_the_libraries(monkeypatch, name):
    monkeypatch.setattr(sys.modules[__name__], 'SIZE', 96)
    spreads = []
    for kind in (layers, own_layers):
        with tf.Graph().as_default(), tf.Session() as sess:
            tf.set_random_seed(1)
            LAYERS[name](kind, **inputs())
            sess.run(tf.global_variables_initializer())
            values = [value.ravel() for value in sess.run(tf.global_variables())]
            spreads.append([(value.mean(), value.std(), np.mean(value ** 4) ** 0.25)
                            for value in values])
    np.testing.assert_allclose(spreads[1], spreads[0], rtol=0.05, atol=0.005)


def test_recomputing_a_head_changes_no_gradient():
    results = []
    for forget in (False, True):
        with tf.Graph().as_default():
            x = inputs()['x']
            outputs = head_by_head(own_layers, x, causal(own_layers), forget)
            results.append(evaluate(outputs, tf.trainable_variables() + [x]))
    assert_close(*results, names=['wqkv', 'wo', 'scale', 'bias', 'x'])


def test_sizes_are_static_where_they_are_known():
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.placeholder(tf.float32, [3, None, 5])
        first, second, third = own_layers.shape_list(x)
        assert (first, third) == (3, 5)
        assert sess.run(second, {x: np.zeros([3, 4, 5])}) == 4


def test_attention_is_the_papers_with_heads_side_by_side():
    rng, heads = np.random.RandomState(0), 3
    queries, memory = rng.normal(size=[2, 4, 5]), rng.normal(size=[2, 7, 6])
    bias = np.where(rng.rand(2, 1, 4, 7) < 0.3, -1e9, 0.)
    kernels = {name: rng.normal(size=shape) for name, shape in (
        ('q', [5, 6]), ('k', [6, 6]), ('v', [6, 9]), ('output_transform', [9, 8]))}
    with tf.Graph().as_default(), tf.Session() as sess:
        outputs = own_layers.multihead_attention(*[
            tf.constant(array, tf.float32) for array in (queries, memory, bias)], 6, 9, 8, heads, 0)
        for variable in tf.global_variables():
            sess.run(variable.assign(kernels[variable.op.name.split('/')[-2]]))
        actual = sess.run(outputs)
    query, key, value = queries @ kernels['q'], memory @ kernels['k'], memory @ kernels['v']
    parts = []
    for head in range(heads):       # Vaswani et al. 2017, section 3.2.2
        columns = slice(2 * head, 2 * head + 2)
        scores = (query[..., columns] @ key[..., columns].transpose(0, 2, 1) / np.sqrt(2)
                  + bias[:, 0])
        parts.append(scipy.special.softmax(scores, axis=-1) @ value[..., 3 * head:3 * head + 3])
    np.testing.assert_allclose(actual, np.concatenate(parts, -1) @ kernels['output_transform'],
                               rtol=1e-4, atol=1e-5)


def test_attention_without_what_it_does_not_do():
    with pytest.raises(ValueError, match='neither dropout'):
        own_layers.multihead_attention(None, None, None, 1, 1, 1, 1, dropout_rate=0.1)


@with_libraries
@pytest.mark.parametrize('options', [{'plain': True}, {'plain': False}, {'memory_efficient': True}],
                         ids=['plain', 'fast', 'memory_efficient'])
def test_whole_networks_on_our_layers(monkeypatch, options):
    """Losses, gradients and samples of both models, and what the variables are called."""
    theirs = losses_and_samples(modules, options)
    for name in ('blocks', 'modules'):
        monkeypatch.delitem(sys.modules, 'polygen.' + name)
        monkeypatch.delattr('polygen.' + name)
    monkeypatch.setitem(sys.modules, 'polygen.layers', own_layers)
    monkeypatch.setattr(sys.modules['polygen'], 'layers', own_layers)
    own_modules = importlib.import_module('polygen.modules')
    assert own_modules.blocks is not blocks
    assert issubclass(own_modules.VertexModel, own_layers.AbstractModule)
    ours = losses_and_samples(own_modules, options)
    assert ours[0] == theirs[0]
    assert_close(ours[1], theirs[1], ours[0], share=3e-5)   # through some twenty layers
    for name, tokens in ours[2].items():
        np.testing.assert_array_equal(tokens, theirs[2][name], err_msg=name)


def losses_and_samples(kind, options):
    """Names of the variables; logits and gradients; greedy samples, of both models."""
    stack = dict(options, hidden_size=SIZE, fc_size=8, num_heads=HEADS, num_layers=2)
    rng = np.random.RandomState(2)
    with tf.Graph().as_default():
        vertex = kind.VertexModel(stack, quantization_bits=3, class_conditional=True,
                                  num_classes=2, max_num_input_verts=6)
        face = kind.FaceModel(stack, stack, class_conditional=False, quantization_bits=3,
                              max_seq_length=12)
        labels = {'class_label': tf.constant([0, 1])}
        batch = {'vertices': tf.constant(rng.uniform(-.4, .4, [2, 4, 3]), tf.float32),
                 'vertices_mask': tf.constant([[1., 1., 1., 0.], [1., 1., 1., 1.]])}
        sequences = [tf.constant(rng.randint(0, 6, [2, 10])) for _ in range(2)]
        logits = [vertex(dict(labels, vertices_flat=sequences[0]), is_training=False).logits,
                  face(dict(batch, faces=sequences[1]), is_training=False).logits]
        noise = [tf.constant(rng.uniform(size=[2, steps]), tf.float32) for steps in (7, 8)]
        samples = {'vertices': vertex.sample_tokens(2, labels, 2, noise[0]),
                   'faces': face.sample_tokens(batch, 8, noise[1])}
        outputs = tf.concat([tf.reshape(part[..., :5], [-1]) for part in logits], axis=0)
        variables = list(vertex.trainable_variables + face.trainable_variables)
        assert set(variables) == set(tf.trainable_variables())
        values = evaluate(outputs, variables)
        with tf.Session() as sess:
            randomize(sess)
            return [variable.op.name for variable in variables], values, sess.run(samples)

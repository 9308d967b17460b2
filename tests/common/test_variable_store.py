"""Tests of common/ops/variable_store.py."""
import pytest
import tensorflow.compat.v1 as tf

from common.ops import variable_store


class Layers(variable_store.VariableStore):
    """A model's layers: a store with options of its own."""

    def __init__(self, rate, shared=None):
        super().__init__(shared)
        self.rate = rate


@pytest.fixture
def store():
    return variable_store.VariableStore()


def test_a_variable_is_made_once_and_found_again(store):
    kernel = store.get('conv/W', [2, 3], tf.ones_initializer())
    operations = len(tf.get_default_graph().get_operations())
    assert store.get('conv/W', [2, 3], tf.zeros_initializer()) is kernel
    assert len(tf.get_default_graph().get_operations()) == operations
    assert kernel.op.name == 'conv/W' and kernel.dtype.base_dtype == tf.float32
    with pytest.raises(ValueError, match=r'conv/W has the shape \[2, 3\], asked for \[3, 2\]'):
        store.get('conv/W', [3, 2], tf.ones_initializer())


def test_variables_keep_their_order_and_those_of_statistics_are_not_trained(store):
    for name in ('b', 'c', 'a'):
        store.get(name, [1], tf.ones_initializer(), trainable=name != 'c')
    assert list(store.by_name) == ['b', 'c', 'a'] and list(store.trainable) == ['b', 'a']
    assert [variable.op.name for variable in tf.trainable_variables()] == ['b', 'a']


def test_scopes_name_and_share_the_variables_and_keep_the_layers_options():
    layers = Layers(0.5)
    inner = layers.scope('layer1').scope('0')
    weight = inner.get('weight', [1], tf.ones_initializer())
    assert weight.op.name == 'layer1.0.weight' and layers.by_name == {'layer1.0.weight': weight}
    assert layers.scope('layer1').get('0.weight', [1], tf.ones_initializer()) is weight
    assert type(inner) is Layers and inner.rate == 0.5
    inner.move(weight, tf.zeros([1]), 0.9)
    assert len(layers.updates) == 1


def test_layers_with_other_options_share_what_is_there():
    training = Layers(0.5)
    bias = training.get('bias', [1], tf.ones_initializer())
    inference = Layers(0., shared=training)
    assert inference.get('bias', [1], tf.ones_initializer()) is bias and inference.rate == 0.
    inference.get('scale', [1], tf.ones_initializer())
    assert list(training.by_name) == ['bias', 'scale']


def test_running_statistics_move_by_what_momentum_leaves(store, run):
    mean = store.get('mean', [2], tf.zeros_initializer(), trainable=False)
    store.move(mean, tf.constant([1., -2.]), 0.9)
    run(mean)
    for expected in ([0.1, -0.2], [0.19, -0.38]):
        run(store.updates)
        assert run(mean) == pytest.approx(expected)

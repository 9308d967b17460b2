"""Tests of CMR's mesh products and graph layers beyond the golden cases."""
import numpy as np
import pytest
import scipy.sparse
import tensorflow.compat.v1 as tf

from cmr.src.models import graph_layers, layers
from cmr.src.utils import mesh


def products(form, matrix, x, probe):
    """Product of a batch and the gradient of its sum with the probe, in one form."""
    tf.reset_default_graph()
    inputs = tf.constant(x)
    y = mesh.Adjacency(matrix, form).multiply(inputs)
    with tf.Session() as sess:
        return sess.run([y, tf.gradients(y * probe, inputs)[0]])


@pytest.mark.parametrize('form', ['sparse', 'gather', 'dense'])
def test_each_form_multiplies_by_the_matrix_and_its_transpose(form):
    rng = np.random.RandomState(0)
    matrix = scipy.sparse.random(9, 7, 0.3, 'csr', np.float32, rng)
    assert np.diff(matrix.indptr).min() == 0    # an empty row is among them
    x, probe = rng.normal(size=[2, 7, 5]), rng.normal(size=[2, 9, 5])
    y, gradient = products(form, matrix, x.astype(np.float32), probe.astype(np.float32))
    full = matrix.toarray()
    np.testing.assert_allclose(y, full @ x, atol=1e-5)
    np.testing.assert_allclose(gradient, full.T @ probe, atol=1e-5)


def test_what_an_npu_runs_has_no_sparse_product():
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [2, 7, 5])
        tf.gradients(mesh.Adjacency(scipy.sparse.eye(7), 'gather').multiply(x), x)
    kinds = {op.type for op in graph.get_operations()}
    assert not [kind for kind in kinds if 'Sparse' in kind or 'Scatter' in kind]


def test_the_fast_group_norm_has_the_values_and_gradients_of_the_plain_one():
    rng = np.random.RandomState(1)
    x = (rng.normal(size=[3, 11, 24]) * 2 + 5).astype(np.float32)
    probe = rng.normal(size=x.shape).astype(np.float32)
    values = {name: rng.normal(size=24) for name in ('gn.weight', 'gn.bias')}
    actual = []
    for plain in (False, True):
        tf.reset_default_graph()
        variables, inputs = layers.Parameters(plain=plain), tf.constant(x)
        y = graph_layers.group_norm(inputs, variables, 'gn')
        ends = [inputs] + [variables.by_name[name] for name in sorted(values)]
        with tf.Session() as sess:
            for name, value in values.items():
                variables.by_name[name].load(value, sess)
            actual.append(sess.run([y] + tf.gradients(y * probe, ends)))
    for fast, plain in zip(*actual):
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-4)
    assert np.abs(actual[0][1]).max() > 0.1

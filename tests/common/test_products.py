"""Tests of common/ops/products.py: another order of the same sums."""
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
import tensorflow.compat.v1 as tf

from common import collection
from common.ops import products, runtime
from tests.gradients import assert_same, draw


@pytest.mark.parametrize('rows', [1, 2, 16, 17])
@pytest.mark.parametrize('transpose', [False, True])
def test_products_and_both_gradients_equal_the_plain_operation(run, rows, transpose):
    inputs = [draw(rows, 40), draw(30, 40) if transpose else draw(40, 30)]
    assert_same(run, products.matmul(*inputs, transpose=transpose),
                tf.matmul(*inputs, transpose_b=transpose), inputs)


def test_few_rows_never_meet_a_transposed_matrix_on_the_right():
    inputs = [draw(3, 40), draw(40, 30)]
    tf.gradients(products.matmul(*inputs), inputs)
    products.matmul(draw(3, 40), draw(30, 40), transpose=True)
    for op in tf.get_default_graph().get_operations():
        if op.type == 'MatMul' and op.get_attr('transpose_b'):
            assert op.inputs[1].shape[0].value == 3


@pytest.mark.parametrize('columns', [3, 28, 29, 60])
@pytest.mark.parametrize('most', [None, 28])
def test_a_sparse_product_and_its_gradient_equal_those_of_scipy(run, monkeypatch, columns, most):
    monkeypatch.setattr(runtime, 'SPARSE_COLUMNS', most)
    matrix = scipy.sparse.random(40, 30, 0.2, 'csr', np.float32, np.random.RandomState(0)).tocoo()
    places = np.stack([matrix.row, matrix.col], axis=1).astype(np.int64)
    features, upstream = draw(30, columns), draw(40, columns)
    product = products.sparse_matmul(tf.SparseTensor(places, matrix.data, [40, 30]), features)
    gradient, = tf.gradients(product, features, upstream)
    product, gradient, features, upstream = run((product, gradient, features, upstream))
    np.testing.assert_allclose(product, matrix @ features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, matrix.T @ upstream, rtol=1e-5, atol=1e-6)


def test_tensorflow_is_imported_without_keras_which_is_found_later():
    code = ('import os, sys, common, tensorflow.compat.v1 as tf; '
            'assert tf.__version__[0] == "1" or "keras" not in sys.modules, "keras"; '
            'from common.ops import runtime; assert "TF_USE_LEGACY_KERAS" not in os.environ; '
            'tf.keras.layers.Dense')
    environment = {name: value for name, value in os.environ.items()
                   if name != 'TF_USE_LEGACY_KERAS'}
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=collection.ROOT,
                   env=environment, check=True)

"""Tests of common/ops/products.py: another order of the same sums."""
import pytest
import tensorflow.compat.v1 as tf

from common.ops import products
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

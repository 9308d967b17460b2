"""Rotations out of any matrices, and their gradients, beyond the golden cases."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from cmr.src.models import smpl_param_regressor


def _matrices(count=40):
    """Half of them with a negative determinant."""
    actual = np.random.RandomState(0).normal(size=[count, 3, 3]).astype(np.float32)
    sign = np.sign(np.linalg.det(actual)) * np.where(np.arange(count) % 2, 1, -1)
    return actual * sign[:, None, None].astype(np.float32)


def _expected(matrix, nearest):
    u, _, vt = np.linalg.svd(matrix.astype(np.float64))
    sign = np.linalg.det(u.dot(vt))
    return u.dot(np.diag([1, 1, sign])).dot(vt) if nearest else sign * u.dot(vt)


@pytest.mark.parametrize('nearest', [False, True])
def test_rotations_are_those_of_a_decomposition(nearest, run):
    inputs = _matrices()
    actual = run(smpl_param_regressor.orthogonal(tf.constant(inputs), nearest))
    np.testing.assert_allclose(np.linalg.det(actual), 1, atol=1e-4)
    np.testing.assert_allclose(actual, [_expected(one, nearest) for one in inputs], atol=2e-3)


@pytest.mark.parametrize('nearest', [False, True])
def test_gradients_are_those_of_small_steps(nearest, run):
    inputs, step = _matrices(6), 1e-6
    probe = np.random.RandomState(1).normal(size=inputs.shape)
    x = tf.constant(inputs)
    y = smpl_param_regressor.orthogonal(x, nearest)
    actual = run(tf.gradients(tf.reduce_sum(y * probe.astype(np.float32)), x)[0])
    for number, matrix in enumerate(inputs.astype(np.float64)):
        for place in np.ndindex(3, 3):
            ends = []
            for way in (step, -step):
                moved = matrix.copy()
                moved[place] += way
                ends.append(np.sum(_expected(moved, nearest) * probe[number]))
            slope = (ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(actual[number][place], slope, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize('nearest', [False, True])
def test_gradients_at_equal_and_at_no_singular_values_are_finite(nearest, run):
    inputs = np.stack([np.eye(3), -np.eye(3), np.zeros([3, 3]), np.diag([1., 0, 0])])
    x = tf.constant(inputs.astype(np.float32))
    y = smpl_param_regressor.orthogonal(x, nearest)
    rotations, gradient = run([y, tf.gradients(y[:, 0, 1] - y[:, 1, 0], x)[0]])
    assert np.isfinite(rotations).all() and np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 1e8
    for number in (0, 2, 3):
        np.testing.assert_allclose(rotations[number], np.eye(3), atol=1e-4)

"""Tests of common/ops/initial_values.py."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common.ops import initial_values

pytestmark = pytest.mark.unmoved


def values(names, seed=0, before=0, initializer=None):
    """{name: initial value [40, 30]} of variables of a fresh graph, behind `before` others."""
    with tf.Graph().as_default():
        for number in range(before):
            tf.get_variable('other{}'.format(number), [3])
        variables = [tf.get_variable(name, [40, 30], initializer=initializer) for name in names]
        initial_values.seed_by_names(tf.global_variables(), seed)
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            return {variable.op.name: sess.run(variable) for variable in variables}


@pytest.mark.parametrize('initializer', [
    None, tf.random_uniform_initializer(-1., 2.), tf.random_normal_initializer(0., 0.02),
    tf.truncated_normal_initializer(0., 0.02), tf.orthogonal_initializer(),
    tf.variance_scaling_initializer()])
def test_a_value_depends_on_seed_and_name_alone(initializer):
    first = values(['a', 'b'], initializer=initializer)
    again = values(['c', 'b', 'a'], before=3, initializer=initializer)
    for name in ('a', 'b'):
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first['a'], first['b'])
    assert not np.array_equal(first['a'], values(['a'], seed=1, initializer=initializer)['a'])


def test_the_distribution_stays():
    array = values(['a'], initializer=tf.random_uniform_initializer(-1., 2.))['a']
    assert -1. <= array.min() < -0.95 and 1.95 < array.max() <= 2.
    assert abs(array.mean() - 0.5) < 0.1    # 4 standard errors: 0.866 / sqrt(1200) * 4
    array = values(['a'], initializer=tf.truncated_normal_initializer(0., 0.02))['a']
    assert np.abs(array).max() < 0.04 and abs(array.std() / 0.02 - 0.88) < 0.08


def test_values_are_those_of_every_version_of_tensorflow():
    """Recorded on TensorFlow 1.15.0 and equal on 2.21.0, to the bit."""
    array = values(['layer/weights'], seed=3, initializer=tf.random_uniform_initializer(0., 1.))
    np.testing.assert_array_equal(array['layer/weights'][0, :3], np.float32(
        [0.659386157989502, 0.2343682050704956, 0.8861757516860962]))


def test_constants_and_counters_are_left_alone():
    step = tf.train.get_or_create_global_step()
    ones = tf.get_variable('ones', [2], initializer=tf.ones_initializer())
    initial_values.seed_by_names([step, ones], 0)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        assert sess.run(step) == 0 and sess.run(ones).tolist() == [1, 1]


def test_variables_that_share_a_draw_are_refused():
    shared = tf.random_uniform([2])
    variables = [tf.get_variable(name, initializer=shared) for name in ('a', 'b')]
    with pytest.raises(ValueError, match='share'):
        initial_values.seed_by_names(variables, 0)

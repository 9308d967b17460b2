"""The stand-in for another CPU reaches the processes that tests start, and moves what it shall."""
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import collection
from tests import nudge

DRAWN = '''
import sys
import tensorflow.compat.v1 as tf
from common.ops import runtime
variable = tf.get_variable('weights', initializer=tf.constant([1., 2., 3., 4.]))
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    sys.stdout.write(repr(sess.run(variable).tolist()))
'''


@pytest.mark.parametrize('seed', [None, 1, 2])
def test_a_process_moves_initial_values_where_the_stand_in_is_asked_for(seed):
    environment = dict(os.environ, PYTHONPATH=collection.ROOT, TF_CPP_MIN_LOG_LEVEL='3')
    environment.pop('NUDGE_WEIGHTS', None)
    if seed is not None:
        environment.update(NUDGE_WEIGHTS=str(seed), PYTHONPATH=os.pathsep.join(
            [os.path.join(collection.ROOT, 'tests', 'standin'), collection.ROOT]))
    said = subprocess.run([sys.executable, '-W', 'ignore', '-c', DRAWN], env=environment,
                          stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    values, plain = np.array(eval(said)), np.array([1., 2, 3, 4])
    if seed is None:
        np.testing.assert_array_equal(values, plain)
    else:
        assert (values != plain).all()
        np.testing.assert_allclose(values, plain, rtol=2.5e-7)      # 1e-7, rounded to float32


def test_what_is_constant_stays():
    ones = np.ones([3], np.float32)
    assert nudge.moved(ones, 'gain', 1) is ones
    assert nudge.moved(np.array([1, 2]), 'whole numbers', 1).dtype.kind == 'i'


def test_weights_of_a_checkpoint_move_and_slots_stay(tmp_path):
    values = {'weights': [1., 2., 3.], 'weights/Adam_1': [4., 5., 6.], 'global_step': [2, 3]}
    for name, value in values.items():
        tf.get_variable(name, initializer=tf.constant(value))
    prefix = str(tmp_path / 'model')
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        tf.train.Saver().save(sess, prefix, write_meta_graph=False)
    before, after = [], []
    for found in (before, after):
        reader = tf.train.load_checkpoint(prefix)
        found.extend(reader.get_tensor(name) for name in values)
        nudge.move_checkpoint(prefix, 1)
    assert (before[0] != after[0]).all()
    np.testing.assert_allclose(after[0], before[0], rtol=2.5e-7)
    for index in (1, 2):
        np.testing.assert_array_equal(after[index], before[index])

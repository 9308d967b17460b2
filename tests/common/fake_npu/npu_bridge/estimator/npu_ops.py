"""Double of npu_bridge.estimator.npu_ops."""
import tensorflow.compat.v1 as tf

import npu_bridge


def dropout(x, keep_prob, noise_shape=None, seed=None, name=None):
    """Takes the probability to keep, not the one to drop."""
    npu_bridge.record('dropout', keep_prob=keep_prob, seed=seed)
    if not 0 < keep_prob <= 1:
        raise ValueError('keep_prob must be in (0, 1], got {}'.format(keep_prob))
    if keep_prob == 1:
        return x
    return tf.nn.dropout(x, keep_prob, noise_shape, seed, name)

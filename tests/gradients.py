"""What tests of convolutions share: drawn tensors, and a comparison with plain operations."""
import numpy as np
import tensorflow.compat.v1 as tf


def draw(*shape):
    """A constant of normal numbers that depend on the shape alone."""
    return tf.constant(np.random.RandomState(sum(shape)).normal(size=shape).astype(np.float32))


def assert_same(run, fast, plain, inputs):
    """Fails unless two outputs, and their gradients by the inputs, are the same numbers."""
    assert fast.shape == plain.shape
    upstream = draw(*plain.shape.as_list())
    actual, wanted = run([[out] + tf.gradients(out, inputs, upstream) for out in (fast, plain)])
    for one, other in zip(actual, wanted):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())

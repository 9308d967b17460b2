"""Tests of r2n2/lib/fast_conv.py: the forms fast on CPUs give the plain operations' numbers."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from r2n2.lib import fast_conv


def draw(*shape):
    return tf.constant(np.random.RandomState(sum(shape)).normal(size=shape).astype(np.float32))


def compare(run, outputs, inputs):
    gradient = draw(*outputs[0].shape.as_list())
    values = run([[out] + tf.gradients(out, inputs, gradient) for out in outputs])
    for fast, plain in zip(*values):
        np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())


# Few and many outputs, fewer and more of them than inputs, kernels of one, three and five cells.
@pytest.mark.parametrize('channels, filters, side', [(5, 2, 3), (3, 1, 1), (4, 6, 3), (17, 16, 5),
                                                     (16, 18, 1), (3, 20, 3), (20, 17, 3)])
def test_volumes_and_their_gradients_equal_the_plain_operation(run, channels, filters, side):
    inputs = [draw(2, 5, 4, 6, channels), draw(side, side, side, channels, filters)]
    compare(run, [fast_conv.conv3d_same(*inputs), tf.nn.conv3d(*inputs, [1] * 5, 'SAME')], inputs)


@pytest.mark.parametrize('channels, filters, side', [(5, 2, 3), (3, 8, 7), (4, 4, 1)])
def test_images_and_their_gradients_equal_the_plain_operation(run, channels, filters, side):
    inputs = [draw(3, 9, 8, channels), draw(side, side, channels, filters)]
    compare(run, [fast_conv.conv2d_same(*inputs), tf.nn.conv2d(*inputs, [1] * 4, 'SAME')], inputs)


def test_no_slow_gradient_of_a_kernel_is_left():
    inputs = [draw(2, 5, 5, 5, 3), draw(3, 3, 3, 3, 4)]
    tf.gradients(fast_conv.conv3d_same(*inputs), inputs)
    images = [draw(2, 5, 5, 3), draw(3, 3, 3, 4)]
    tf.gradients(fast_conv.conv2d_same(*images), images)
    kinds = {op.type for op in tf.get_default_graph().get_operations()}
    assert 'Conv2D' in kinds and not [kind for kind in kinds if 'BackpropFilter' in kind]

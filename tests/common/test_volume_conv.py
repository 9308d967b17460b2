"""Tests of common/volume_conv.py: the form that is fast on CPUs gives the plain one's numbers."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import volume_conv

# Side of the volume, its channels, side of the kernel, stride, output channels. At batch 1
# TensorFlow's own kernels are fast. The first two are the strided layers of VSL, the sixth is one
# of IM-NET.
LAYERS = [(30, 1, 6, 2, 4), (13, 4, 5, 2, 3), (5, 3, 4, 1, 2), (12, 2, 5, 3, 2), (10, 1, 3, 2, 2),
          (10, 2, 4, 2, 3)]


def draw(*shape):
    return tf.constant(np.random.RandomState(sum(shape)).normal(size=shape).astype(np.float32))


def compare(run, outputs, inputs):
    gradient = draw(*outputs[0].shape.as_list())
    values = run([[out] + tf.gradients(out, inputs, gradient) for out in outputs])
    for fast, plain in zip(*values):
        np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize('layer', LAYERS)
def test_convolution_and_both_gradients_equal_the_plain_operation(run, layer):
    size, channels, side, stride, filters = layer
    inputs = [draw(1, size, size, size, channels), draw(side, side, side, channels, filters)]
    compare(run, [volume_conv.conv3d(*inputs, stride, plain) for plain in (False, True)], inputs)


@pytest.mark.parametrize('layer', LAYERS)
def test_transposed_convolution_and_both_gradients_equal_the_plain_operation(run, layer):
    size, channels, side, stride, filters = layer
    small = (size - side) // stride + 1
    inputs = [draw(1, small, small, small, filters), draw(side, side, side, channels, filters)]
    outputs = [volume_conv.conv3d_transpose(*inputs, stride, plain) for plain in (False, True)]
    assert outputs[0].shape == outputs[1].shape
    compare(run, outputs, inputs)


def test_the_fast_form_has_no_strided_operation():
    volume_conv.conv3d_transpose(
        volume_conv.conv3d(draw(1, 13, 13, 13, 2), draw(5, 5, 5, 2, 3), 2),
        draw(5, 5, 5, 2, 3), 2)
    strides = [list(op.get_attr('strides')) for op in tf.get_default_graph().get_operations()
               if op.type.startswith('Conv3D')]
    assert len(strides) == 2 and all(stride == [1] * 5 for stride in strides)

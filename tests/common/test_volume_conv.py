"""Tests of common/ops/volume_conv.py: the form fast on CPUs gives the plain one's numbers."""
import pytest
import tensorflow.compat.v1 as tf

from common.ops import volume_conv
from tests.gradients import assert_same, draw

# Side of the volume, its channels, side of the kernel, stride, output channels. At batch 1
# TensorFlow's own kernels are fast. The first two are the strided layers of VSL, the last is one of
# IM-NET.
LAYERS = [(30, 1, 6, 2, 4), (13, 4, 5, 2, 3), (5, 3, 4, 1, 2), (12, 2, 5, 3, 2), (10, 1, 3, 2, 2),
          (10, 2, 4, 2, 3), (10, 3, 4, 2, 3)]


@pytest.mark.parametrize('layer', LAYERS)
def test_convolution_and_both_gradients_equal_the_plain_operation(run, layer):
    size, channels, side, stride, filters = layer
    inputs = [draw(1, size, size, size, channels), draw(side, side, side, channels, filters)]
    outputs = [volume_conv.conv3d(*inputs, stride, plain) for plain in (False, True)]
    assert_same(run, *outputs, inputs)


@pytest.mark.parametrize('layer', LAYERS)
def test_transposed_convolution_and_both_gradients_equal_the_plain_operation(run, layer):
    size, channels, side, stride, filters = layer
    small = (size - side) // stride + 1
    inputs = [draw(1, small, small, small, filters), draw(side, side, side, channels, filters)]
    outputs = [volume_conv.conv3d_transpose(*inputs, stride, plain) for plain in (False, True)]
    assert_same(run, *outputs, inputs)


# Blocks of one sample, of two with one left over, and all samples at once.
@pytest.mark.parametrize('kilobytes', [1, 100, 1000])
@pytest.mark.parametrize('layer', [(9, 4, 5, 2, 3), (10, 1, 4, 2, 3)])
def test_blocks_of_samples_give_what_all_at_once_give(run, monkeypatch, kilobytes, layer):
    monkeypatch.setattr(volume_conv, '_BLOCK_BYTES', kilobytes << 10)
    size, channels, side, stride, filters = layer
    kernel, small = draw(side, side, side, channels, filters), (size - side) // stride + 1
    for convolve, inputs in (
            (volume_conv.conv3d, draw(5, size, size, size, channels)),
            (volume_conv.conv3d_transpose, draw(5, small, small, small, filters))):
        assert_same(run, *[convolve(inputs, kernel, stride, plain) for plain in (False, True)],
                    [inputs, kernel])


def test_a_strided_operation_of_the_fast_form_takes_one_sample():
    for side in (4, 5):
        volume = draw(2, 13, 13, 13, 3)
        smaller = volume_conv.conv3d(volume, draw(side, side, side, 3, 3), 2)
        larger = volume_conv.conv3d_transpose(smaller, draw(side, side, side, 3, 3), 2)
        tf.gradients(larger, volume)
    found = [(op.type, op.outputs[0].shape[0].value)
             for op in tf.get_default_graph().get_operations()
             if op.type.startswith('Conv3D') and list(op.get_attr('strides')) != [1] * 5]
    # Folded where the side is 4; where it is 5 forward and for the gradient, two samples each.
    assert found == 4 * [('Conv3DBackpropInputV2', 1)]

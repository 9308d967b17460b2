"""Tests of common/ops/image_conv.py: gradients fast on CPUs are the plain operation's."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common.ops import image_conv
from tests.gradients import assert_same, draw


def _plain(inputs, kernel, stride):
    border = [kernel.shape[0].value // 2] * 2
    padded = tf.pad(inputs, [[0, 0], border, border, [0, 0]])
    return tf.nn.conv2d(padded, kernel, [1, stride, stride, 1], 'VALID')


# Fewer and more outputs than inputs, few and many of both, kernels of one to seven pixels, strides;
# even and odd sides, small ones too.
@pytest.mark.parametrize('height, width, channels, filters, side, stride', [
    (9, 8, 5, 2, 3, 1), (9, 8, 3, 8, 7, 1), (9, 8, 4, 4, 1, 1), (6, 7, 2, 9, 1, 1),
    (4, 5, 128, 130, 3, 1), (8, 6, 3, 5, 1, 2), (7, 9, 5, 3, 1, 2), (14, 12, 4, 6, 3, 2),
    (13, 11, 4, 6, 3, 2), (13, 12, 6, 4, 3, 2), (40, 18, 3, 5, 3, 2), (19, 20, 3, 4, 7, 2),
    (9, 10, 3, 4, 3, 3)])
def test_gradients_equal_the_plain_operations(run, height, width, channels, filters, side, stride):
    inputs = [draw(3, height, width, channels), draw(side, side, channels, filters)]
    assert_same(run, image_conv.conv2d(*inputs, stride=stride), _plain(*inputs, stride=stride),
                inputs)


# The gradient of a kernel as a convolution of the inputs and of the outputs, and the operation's.
@pytest.mark.parametrize('channels, filters, side', [(3, 8, 7), (5, 2, 3), (4, 3, 1),
                                                     (128, 130, 3)])
def test_zeros_padded_apart_have_gradients_too(run, channels, filters, side):
    border = [side // 2] * 2
    inputs = [draw(3, 6, 5, channels), draw(side, side, channels, filters)]
    output = image_conv.conv2d(*inputs, pads_apart=True)
    assert_same(run, output, _plain(*inputs, stride=1), inputs)
    if side == 1:
        return
    padded = output.op.inputs[0]
    padding = tf.pad(inputs[0], [[0, 0], border, border, [0, 0]])
    fast, plain = [tf.gradients(end, place, draw(*end.shape.as_list()))[0] for end, place in (
        (output, padded), (tf.nn.conv2d(padding, inputs[1], [1] * 4, 'VALID'), padding))]
    one, other = run([fast, plain])
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_a_flipped_kernel_is_mirrored_and_its_channels_change_places(run):
    kernel = draw(3, 5, 2, 4)
    flipped = run(image_conv.flipped(kernel))
    assert flipped.shape == (3, 5, 4, 2)
    assert (flipped == run(kernel)[::-1, ::-1].transpose(0, 1, 3, 2)).all()

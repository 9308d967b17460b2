"""Tests of common/ops/image_conv.py: gradients fast on CPUs are the plain operation's."""
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


def test_a_flipped_kernel_is_mirrored_and_its_channels_change_places(run):
    kernel = draw(3, 5, 2, 4)
    flipped = run(image_conv.flipped(kernel))
    assert flipped.shape == (3, 5, 4, 2)
    assert (flipped == run(kernel)[::-1, ::-1].transpose(0, 1, 3, 2)).all()

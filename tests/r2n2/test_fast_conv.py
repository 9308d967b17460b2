"""Tests of r2n2/lib/fast_conv.py: the forms fast on CPUs give the plain operations' numbers."""
import pytest
import tensorflow.compat.v1 as tf

from r2n2 import models
from r2n2.lib import fast_conv, layers, solver
from tests.gradients import assert_same, draw


# Few and many outputs, fewer and more of them than inputs, kernels of one, three and five cells.
@pytest.mark.parametrize('channels, filters, side', [(5, 2, 3), (3, 1, 1), (4, 6, 3), (17, 16, 5),
                                                     (16, 18, 1), (3, 20, 3), (20, 17, 3)])
def test_volumes_and_their_gradients_equal_the_plain_operation(run, channels, filters, side):
    inputs = [draw(2, 5, 4, 6, channels), draw(side, side, side, channels, filters)]
    assert_same(run, fast_conv.conv3d_same(*inputs), tf.nn.conv3d(*inputs, [1] * 5, 'SAME'),
                inputs)


@pytest.mark.parametrize('channels, filters', [(5, 2), (3, 6), (20, 17)])
def test_unpooled_volumes_have_gradients_in_their_zeros_too(run, channels, filters):
    inputs = [layers.unpool(draw(2, 3, 3, 3, channels)), draw(3, 3, 3, channels, filters)]
    assert_same(run, fast_conv.conv3d_unpooled(*inputs), tf.nn.conv3d(*inputs, [1] * 5, 'SAME'),
                inputs)


@pytest.mark.parametrize('name', ['GRUNet', 'ResidualGRUNet'])
def test_only_the_plain_network_has_the_slow_gradients_of_kernels(name):
    slow = {}
    for plain in (False, True):
        with tf.Graph().as_default() as graph:
            net = models.load_model(name)([4] * 6, [8], [4] * 5 + [2], plain=plain)
            solver.Solver(net).step(2, 1, 127)
            slow[plain] = {op.name for op in graph.get_operations() if 'BackpropFilter' in op.type}
    # What is left are the recurrence's own convolutions of 4^3 cells, three a view but the first.
    assert len(slow[True]) > 20 > len(slow[False])
    assert not [name for name in slow[False] if 'Conv2DBackpropFilter' in name]

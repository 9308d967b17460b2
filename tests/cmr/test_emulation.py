"""Test of GraphCMR's training with half precision emulated."""
from unittest import mock

import pytest
import tensorflow.compat.v1 as tf

from cmr import networks
from cmr import train as train_script
from tests import emulated
from tests.cmr import tiny

_PLAIN = '--as_npu'


class _AsNpu(networks.Network):
    """The network in the graph that an NPU gets: convolutions have TensorFlow's gradients."""

    def __init__(self, *args, on_cpu=False, **more):
        del on_cpu
        super().__init__(*args, **more)


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_npus(tmp_path):
    """The network has no scopes of names, so that the whole of each pass is one.

    An NPU does not get the graph of --plain, whose first layer multiplies the picture's features
    once for each node and whose group normalisation has TensorFlow's gradient: other operators,
    which count otherwise. Steps are small, and parameters without a true gradient stay: else the
    last places of the sums decide on the losses after a few steps.
    """
    body = tiny.make_body(tmp_path / 'body')
    data = tiny.make_set(tmp_path / 'data', body)

    def train(output, *options):
        tf.reset_default_graph()
        kind = _AsNpu if _PLAIN in options else networks.Network
        with mock.patch.object(networks, 'Network', kind):
            assert train_script.main([
                '--data_path', data, '--dataset=up-3d', '--body', body, '--output_path', output,
                *tiny.NETWORK, '--batch_size=4', '--drop_noise', '--learning_rate=3e-5',
                '--training_steps={}'.format(emulated.STEPS), '--report_every=1',
                '--num_workers=0', '--device=cpu', '--threads=1',
                *[option for option in options if option != _PLAIN]]) == 0

    emulated.compare(train, tmp_path, depth=0, plain=_PLAIN)

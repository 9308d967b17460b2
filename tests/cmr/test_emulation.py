"""Test of GraphCMR's training with half precision emulated."""
import pytest
import tensorflow.compat.v1 as tf

from cmr import train as train_script
from tests import emulated
from tests.cmr import tiny


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    body = tiny.make_body(tmp_path / 'body')
    data = tiny.make_set(tmp_path / 'data', body)

    def train(output, *options):
        tf.reset_default_graph()
        assert train_script.main([
            '--data_path', data, '--body', body, '--output_path', output, *tiny.NETWORK,
            '--batch_size=4', '--training_steps={}'.format(emulated.STEPS), '--report_every=1',
            '--device=cpu', '--threads=1', *options]) == 0

    emulated.compare(train, tmp_path, plain='--plain')

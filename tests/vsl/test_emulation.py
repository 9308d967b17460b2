"""Test of VSL's training with half precision emulated."""
import pytest
import tensorflow.compat.v1 as tf

from tests import emulated
from vsl import data_utils, make_dataset, vsl_main


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    splits, names = make_dataset.make_furniture(0, 2, 1)
    data_utils.write(str(tmp_path / 'shapes.mat'), splits, names)

    def train(output, *options):
        tf.reset_default_graph()
        assert vsl_main.main([
            '--data_path', str(tmp_path / 'shapes.mat'), '--output_path', output, '--stages=train',
            '--report_every=1', '--batch_size=5', '--global_latent_dim=3', '--local_latent_dim=2',
            '--local_latent_num=2', '--training_steps={}'.format(emulated.STEPS), '--device=cpu',
            '--threads=1', *options]) == 0

    emulated.compare(train, tmp_path, plain='--plain')

"""Test of VSL's training with half precision emulated."""
import pytest
import tensorflow.compat.v1 as tf

from tests import emulated
from vsl import data_utils, make_dataset, vsl_main


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    """The network has no scopes of names, so that the whole of each pass is one.

    One shape a step, as a plain step takes some 12 s a shape.
    """
    splits, names = make_dataset.make_furniture(0, 2, 1)
    data_utils.write(str(tmp_path / 'shapes.mat'), splits, names)

    def train(output, *options):
        tf.reset_default_graph()
        assert vsl_main.main([
            '--data_path', str(tmp_path / 'shapes.mat'), '--output_path', output, '--stages=train',
            '--report_every=1', '--batch_size=1', '--global_latent_dim=3', '--local_latent_dim=2',
            '--local_latent_num=2', '--training_steps={}'.format(emulated.STEPS), '--device=cpu',
            '--threads=1', *options]) == 0

    emulated.compare(train, tmp_path, depth=0, plain='--plain')

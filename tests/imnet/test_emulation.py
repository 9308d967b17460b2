"""Test of IM-NET's training with half precision emulated."""
import pytest

from imnet.IMGAN import main as gan_main
from tests import emulated
from tests.imnet import tiny


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    (tmp_path / 'data').mkdir()
    data = tiny.write(str(tmp_path / 'data'))

    def train(output, *options):
        assert tiny.call(
            gan_main, '--ae', '--train', '--data_dir', data, '--output_path', output,
            '--real_size=16', '--batch_size_input', tiny.POINTS[16], '--checkpoint_every=2',
            '--report_every=1', *tiny.SIZES, '--device=cpu', '--threads=1',
            '--training_steps={}'.format(emulated.STEPS), *options) == 0

    emulated.compare(train, tmp_path, 'ae', plain='--plain')

"""Test of IM-NET's training with half precision emulated."""
import pytest

from imnet.IMGAN import main as gan_main
from tests import emulated
from tests.imnet import tiny


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    (tmp_path / 'data').mkdir()
    data = tiny.write(tmp_path / 'data')

    def train(output, *options):
        assert tiny.call(
            gan_main, '--ae', '--train', '--data_dir', data, '--dataset', tiny.STEM,
            '--output_path', output, '--report_every=1', *tiny.SIZES, '--device=cpu',
            '--threads=1', '--training_steps={}'.format(emulated.STEPS), *options) == 0

    emulated.compare(train, tmp_path, plain='--plain')

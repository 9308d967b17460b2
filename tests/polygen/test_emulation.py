"""Test of PolyGen's training with half precision emulated."""
import pytest

from tests import emulated
from tests.polygen import tiny


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    # One mesh, so that the plain graph has no padding.
    data = tiny.write_solids(tmp_path / 'data', ['c_box'])

    def train(output, *options):
        tiny.train(output, data, emulated.STEPS, '--batch_size=1', '--nofreeze', *options)

    emulated.compare(train, tmp_path, depth=3, apart=('bucket_0', 'packed_loss'), plain='--plain')

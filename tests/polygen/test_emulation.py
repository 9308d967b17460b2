"""Test of PolyGen's training with half precision emulated."""
import pytest

from tests import emulated
from tests.polygen import tiny


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    tiny.write_solids(data)

    def train(output, *options):
        tiny.train(output, data, emulated.STEPS, '--nofreeze', *options)

    emulated.compare(train, tmp_path, plain='--plain')

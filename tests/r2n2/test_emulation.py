"""Test of 3D-R2N2's training with half precision emulated."""
import pytest

from tests import emulated
from tests.r2n2 import tiny


@pytest.mark.slow
@pytest.mark.parametrize('network', ['GRUNet', 'ResidualGRUNet'])
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path, network):
    """The network has no scopes of names, so that the whole of each pass is one."""
    data = tiny.make_data(tmp_path / 'data')

    def train(output, *options):
        code, _, err = tiny.train(output, data, emulated.STEPS, '--model=' + network, *options)
        assert code == 0, err

    emulated.compare(train, tmp_path, depth=0, plain='--plain')

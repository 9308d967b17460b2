"""Tests of PolyGen's training with half precision emulated."""
import os

import pytest

from common import collection
from common.device import mixlist
from tests import emulated
from tests.polygen import tiny


@pytest.mark.slow
def test_the_fast_graph_is_emulated_as_the_plain_one(tmp_path):
    # One mesh, so that the plain graph has no padding.
    data = tiny.write_solids(tmp_path / 'data', ['c_box'])

    def train(output, *options):
        tiny.train(output, data, emulated.STEPS, '--batch_size=1', '--nofreeze', *options)

    emulated.compare(train, tmp_path, depth=3, apart=('bucket_0', 'packed_loss'), plain='--plain')


def test_the_mixlist_that_ships_keeps_sums_in_float32_and_changes_nothing_else():
    lists = mixlist.read_mixlist(os.path.join(collection.ROOT, 'polygen', 'mixlist.json'))
    assert lists.list_of('Add', 'grey') == 'black'
    assert [lists.list_of(name, 'grey') for name in ('Mul', 'SoftmaxV2', 'RealDiv')] == ['grey'] * 3
    assert lists.list_of('MatMul', 'white') == 'white'

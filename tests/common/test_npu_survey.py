"""The table of all networks."""
import functools
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import collection, errors, npu_survey
from common.frozen import networks as networks_lib


def _layer():
    rows = tf.placeholder(tf.float32, [2, 3], name='rows')
    weights = tf.get_variable('w', [3, 4])
    return rows, tf.matmul(rows, weights), weights


def _training(wrong):
    rows, out, _ = _layer()
    loss = tf.reduce_mean(tf.square(out))
    if wrong:
        loss = tf.cast(tf.cast(loss, tf.float64, name='part/double'), tf.float32)
    return [rows], [loss, tf.train.AdamOptimizer().minimize(loss)]


def _inference():
    rows, out, weights = _layer()
    return networks_lib.InferenceGraph({'rows': rows}, {'scores': out}, {},
                                       {'rows': np.ones([2, 3])}, [weights])


def networks(wrong):
    return [networks_lib.Network('net', True, functools.partial(_training, wrong)),
            networks_lib.Network('net', False, _inference)]


@pytest.mark.parametrize('wrong', [False, True])
def test_each_graph_has_its_row(wrong, monkeypatch, capsys):
    monkeypatch.setattr(npu_survey.collection, 'rows_of', lambda model: networks(wrong))
    monkeypatch.setitem(sys.modules, 'tf2onnx', None)
    assert npu_survey.print_table(['toy']) == int(wrong)
    lines = [line for line in capsys.readouterr().out.splitlines()
             if not line.startswith('freezing and checking')]
    cells = [[cell for cell in line.split('  ') if cell] for line in lines[:3]]
    assert [cell.strip() for cell in cells[0]] == list(npu_survey._COLUMNS)
    training, frozen = [[cell.strip() for cell in row] for row in cells[1:]]
    assert training[:6] == ['toy net', 'training', '2' if wrong else '0', '0', '0', 'yes']
    assert training[7:] == ['12', '-', '-', '-', '-']
    assert frozen[:8] == ['toy net', 'frozen', '0', '0', '0', 'yes', 'float32', '12']
    assert 0 <= float(frozen[8]) < 1e-6 and frozen[9] == 'not installed'
    largest, mean = map(float, frozen[-2:])     # three weights below 1 are rounded, and their sum
    assert 0 < mean <= largest < 4 * 2 ** -11
    if wrong:
        assert lines[3].startswith('toy net (training): error dtype-unsupported: part/double')
        assert 'instead (dtype-unsupported): float32 or int32' in lines[-1]


def test_a_waived_error_is_told_with_its_reason_and_counts_no_more(monkeypatch, capsys):
    monkeypatch.setattr(npu_survey.collection, 'rows_of', lambda name: networks(True)[:1])
    monkeypatch.setattr(npu_survey.rules, 'read_waivers', lambda: [
        {'rule': 'dtype-unsupported', 'node': 'double|Cast_grad', 'reason': 'a test'}])
    assert npu_survey.print_table(['toy']) == 0
    out = capsys.readouterr().out
    assert 'waived dtype-unsupported: 2 x float64: a test (first: ' in out


@pytest.mark.parametrize('name', collection.NAMES)
def test_every_model_has_training_graphs_and_graphs_to_freeze(name):
    assert {network.is_training for network in collection.rows_of(name)} == {True, False}


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(errors.UsageError, match='--model toy: there are polygen, vsl'):
        collection.rows_of('toy')


@pytest.mark.tf1
@pytest.mark.slow
@pytest.mark.parametrize('name', collection.NAMES)
def test_no_graph_of_a_model_has_an_error(name, capsys):
    assert npu_survey.print_table([name]) == 0, capsys.readouterr().out

"""Tests of common/frozen/om.py with a double of pyACL that runs the frozen graph itself."""
import json
import os
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors, frozen

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'fake_acl')


@pytest.fixture
def acl(monkeypatch):
    monkeypatch.syspath_prepend(FAKE)
    monkeypatch.delitem(sys.modules, 'acl', raising=False)
    module = pytest.importorskip('acl')
    yield module
    sys.modules.pop('acl', None)


@pytest.fixture
def graph(tmp_path):
    """A frozen graph of batch 2 that triples numbers, counts to 10 and adds up."""
    x = tf.placeholder(tf.float32, [2, 3], name='x')
    n = tf.placeholder(tf.int32, [2], name='n')
    path = str(tmp_path / 'network.pb')
    with tf.Session() as sess:
        frozen.freeze(sess, {'x': x, 'n': n}, {'y': 3. * x, 'm': 10 - n}, path)
    return path


def convert(graph, **content):
    path = os.path.splitext(graph)[0] + '.om'
    with open(path, 'w') as stream:
        json.dump(dict(content, graph=graph), stream)
    return path


@pytest.mark.parametrize('types', [{}, {'x': 1, 'y': 1}])
def test_a_converted_network_gives_what_the_graph_gives(acl, graph, types):
    om = convert(graph, types=types)
    arrays = {'x': np.arange(15.).reshape(5, 3), 'n': np.arange(5)}     # a last portion of one row
    for place in (om, os.path.dirname(om)):
        with frozen.load_for(graph, place) as network:
            values = network.predict_all(**arrays)
        np.testing.assert_array_equal(values['y'], 3 * arrays['x'])
        np.testing.assert_array_equal(values['m'], 10 - arrays['n'])
        assert values['y'].dtype == np.float32 and values['m'].dtype == np.int32
    assert acl.calls[:4] == ['init', 'execute', 'execute', 'execute']
    assert acl.calls[4:6] == ['unload', 'finalize']
    left = [kind for kind, _ in acl.blocks.values()]
    assert 'device' not in left and 'host' not in left


def test_what_does_not_fit_is_refused_as_by_the_graph(acl, graph):
    with frozen.load_for(graph, convert(graph)) as network:
        with pytest.raises(errors.InputError, match='"x" came as float64 .2, 4.'):
            network.predict(x=np.zeros([2, 4]), n=np.zeros([2], np.int32))


def test_files_and_packages_that_are_missing_are_named(graph, tmp_path, monkeypatch):
    with pytest.raises(errors.InputError, match='network.om: no such file'):
        frozen.load_for(graph, str(tmp_path))
    om = convert(graph)
    monkeypatch.setitem(sys.modules, 'acl', None)
    with pytest.raises(errors.InputError, match='--om needs the package acl'):
        frozen.load_for(graph, om)


def test_a_refusal_of_the_device_is_told(acl, graph):
    with pytest.raises(errors.InputError, match='acl.mdl.load_from_file failed with 545002'):
        frozen.load_for(graph, convert(graph, code=545002))


def test_without_om_the_graph_itself_runs(graph):
    with frozen.load_for(graph) as network:
        assert network.predict(x=np.ones([2, 3]), n=np.ones([2], np.int32))['y'].sum() == 18

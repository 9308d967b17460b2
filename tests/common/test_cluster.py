"""TF_CONFIG as the platforms set it."""
import json

import numpy as np
import pytest

from common import errors
from common.device import cluster, collectives


def config(jobs, kind, index):
    return {'TF_CONFIG': json.dumps({'cluster': jobs, 'task': {'type': kind, 'index': index}})}


@pytest.mark.parametrize('jobs, kind, index, addresses, rank', [
    # Kubeflow's TFJob counts in numbers, older platforms in text; Vertex and TFJob have a chief.
    ({'worker': ['a:1', 'b:2']}, 'worker', 1, ('a:1', 'b:2'), 1),
    ({'worker': ['a:1', 'b:2'], 'chief': ['c:3']}, 'worker', '0', ('c:3', 'a:1', 'b:2'), 1),
    ({'worker': ['a:1'], 'master': ['c:3']}, 'master', 0, ('c:3', 'a:1'), 0),
    ({'worker': ['a:1'], 'evaluator': ['e:9']}, 'worker', 0, ('a:1',), 0)])
def test_places_are_read(jobs, kind, index, addresses, rank):
    assert cluster.of(config(jobs, kind, index)) == (addresses, rank)


@pytest.mark.parametrize('environment', [{}, {'TF_CONFIG': ''}, {'TF_CONFIG': '{}'},
                                         config({}, 'worker', 0)])
def test_nobody_is_named(environment):
    assert cluster.of(environment) is None


@pytest.mark.parametrize('environment, message', [
    ({'TF_CONFIG': '{"cluster'}, 'no JSON object'), ({'TF_CONFIG': '[1]'}, 'no JSON object'),
    (config({'worker': ['a:1'], 'ps': ['p:1']}, 'worker', 0), 'parameter servers'),
    (config({'worker': ['a:1']}, 'worker', 1), 'has not among'),
    (config({'worker': ['a:1'], 'evaluator': ['e:9']}, 'evaluator', 0), 'has not among'),
    (config({'worker': ['a']}, 'worker', 0), 'no list of "host:port" as "worker"'),
    (config({'worker': 'a:1'}, 'worker', 0), 'no list of "host:port" as "worker"')])
def test_what_is_wrong_is_said_in_one_line(environment, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        cluster.of(environment)
    assert str(caught.value).startswith('TF_CONFIG ') and '--distribution none' in str(caught.value)


def test_processes_of_a_host_are_counted():
    assert [cluster.Cluster(('a:1', 'b:1', 'a:2', 'a:3', 'b:2'), rank).local_rank
            for rank in range(5)] == [0, 0, 1, 2, 1]


def test_gradients_are_packed_from_the_last_to_the_first():
    sizes = [('f', 3), ('f', 4), ('h', 2), ('f', 9), ('f', 2), ('f', 5)]
    assert collectives.buckets(sizes, most=8) == [[5, 4], [3], [2], [1, 0]]
    places = [place for bucket in collectives.buckets(sizes, most=1) for place in bucket]
    np.testing.assert_array_equal(sorted(places), range(6))

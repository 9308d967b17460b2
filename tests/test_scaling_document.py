"""docs/scaling.md: the manifest, held against the operator's schema, and the reckoning."""
import json
import os
import re

import pytest
import yaml

from common.device import ranks

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Names and types of kubeflow.org/v1 TFJob (CRD tfjobs.kubeflow.org) and of a pod, as far as used.
POD = {'containers': [{'name': str, 'image': str, 'command': [str], 'args': [str],
                       'env': [{'name': str, 'value': str}],
                       'ports': [{'name': str, 'containerPort': int}],
                       'volumeMounts': [{'name': str, 'mountPath': str, 'readOnly': bool}]}],
       'volumes': [{'name': str, 'persistentVolumeClaim': {'claimName': str, 'readOnly': bool}}]}
REPLICA = {'replicas': int, 'restartPolicy': ('Always', 'OnFailure', 'Never', 'ExitCode'),
           'template': {'metadata': {'annotations': dict, 'labels': dict}, 'spec': POD}}
TFJOB = {'apiVersion': ('kubeflow.org/v1',), 'kind': ('TFJob',),
         'metadata': {'name': str, 'namespace': str},
         'spec': {'runPolicy': {'cleanPodPolicy': ('None', 'Running', 'All'), 'backoffLimit': int,
                                'activeDeadlineSeconds': int, 'ttlSecondsAfterFinished': int},
                  'tfReplicaSpecs': {'Chief': REPLICA, 'Worker': REPLICA}}}


def document():
    with open(os.path.join(ROOT, 'docs', 'scaling.md'), encoding='utf-8') as stream:
        return stream.read()


def manifest():
    blocks = re.findall(r'^```yaml\n(.*?)^```', document(), re.M | re.S)
    assert len(blocks) == 1
    return yaml.safe_load(blocks[0])


def check(value, schema, place=''):
    if isinstance(schema, dict):
        assert isinstance(value, dict) and set(value) <= set(schema), place
        for name, part in value.items():
            check(part, schema[name], '{}.{}'.format(place, name))
    elif isinstance(schema, list):
        assert isinstance(value, list) and value, place
        for part in value:
            check(part, schema[0], place + '[]')
    elif isinstance(schema, tuple):
        assert value in schema, place
    else:
        assert isinstance(value, schema), place


def test_the_manifest_has_the_names_and_types_of_a_tfjob():
    job = manifest()
    check(job, TFJOB)
    worker = job['spec']['tfReplicaSpecs']['Worker']
    container, = worker['template']['spec']['containers']
    # What the operator asks for by name.
    assert container['name'] == 'tensorflow' and worker['replicas'] > 1
    assert {'name': 'tfjob-port', 'containerPort': 2222} in container['ports']
    mounted = {mount['name'] for mount in container['volumeMounts']}
    assert mounted == {volume['name'] for volume in worker['template']['spec']['volumes']}


def test_the_manifests_command_is_one_of_this_project():
    from vsl import options
    container, = manifest()['spec']['tfReplicaSpecs']['Worker']['template']['spec']['containers']
    program, script, *arguments = container['command']
    assert program == 'python' and os.path.exists(os.path.join(ROOT, script))
    parsed = options.parse_args(arguments)
    assert parsed.distribution == 'auto' and parsed.peer_timeout == 600
    # What the operator sets in the second pod.
    config = {'cluster': {'worker': ['vsl-worker-{}.n.svc:2222'.format(rank) for rank in (0, 1)]},
              'task': {'type': 'worker', 'index': 1}, 'environment': 'cloud'}
    assert ranks.find('auto', 'cpu', {'TF_CONFIG': json.dumps(config)}).rank == 1


@pytest.mark.parametrize('wrong', [
    {'kind': 'TFjob'}, {'spec': {'tfReplicaSpecs': {'worker': {}}}},
    {'spec': {'tfReplicaSpecs': {'Worker': {'replicas': '2'}}}}])
def test_the_check_finds_what_is_wrong(wrong):
    with pytest.raises(AssertionError):
        check(wrong, TFJOB)

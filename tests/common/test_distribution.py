"""Several processes that train together; HCCL and Horovod are doubles that talk through files.

Where Horovod itself is installed the slow tests run it too ("horovodrun").
"""
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors, files
from common import rank_table as rank_table_command
from common.device import rank_table, ranks
from common.training import launch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, 'tests', 'common')


HOROVODRUN = os.path.join(os.path.dirname(sys.executable), 'horovodrun')
real_horovod = pytest.mark.skipif(importlib.util.find_spec('horovod') is None,
                                  reason='Horovod is not installed (requirements-extra.txt)')
REAL = pytest.param('horovodrun', marks=[pytest.mark.slow, real_horovod])


def environment(backend, folder, rank, size):
    """Variables of the process of a rank, as the launcher of its platform sets them."""
    names = {'hccl': {'RANK_ID': rank, 'RANK_SIZE': size, 'ASCEND_DEVICE_ID': rank},
             'horovod': {'HOROVOD_RANK': rank, 'HOROVOD_SIZE': size, 'HOROVOD_LOCAL_RANK': rank}}
    package = {'hccl': 'fake_npu', 'horovod': 'fake_horovod'}[backend]
    found = {name: str(value) for name, value in names[backend].items()}
    if backend == 'hccl':
        found['RANK_TABLE_FILE'] = os.path.join(str(folder), 'table.json')
        files.write_json(found['RANK_TABLE_FILE'], rank_table.make([('host', {
            number: '10.0.0.{}'.format(number + 1) for number in range(size)})]))
    return dict(os.environ, PYTHONPATH=os.path.join(HERE, package) + os.pathsep + ROOT,
                PYTHONWARNINGS='ignore', FAKE_EXCHANGE=str(folder), **found)


def _horovodrun(command, size=2):
    return [HOROVODRUN, '-np', str(size), '--gloo', sys.executable] + command


def together(command, backend, folder, size=2):
    """Runs a command in as many processes; returns what each printed."""
    if backend == 'horovodrun':
        done = subprocess.run(_horovodrun(command, size), cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 0, done.stderr
        return [''.join(re.findall(r'^\[{}\]<stdout>:(.*\n)'.format(rank), done.stdout, re.M))
                for rank in range(size)]
    folder.mkdir()
    processes = [subprocess.Popen(
        [sys.executable] + command, cwd=ROOT, env=environment(backend, folder, rank, size),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        for rank in range(size)]
    texts = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * size, texts
    return [text[0] for text in texts]


def variables(folder):
    """{name: array} of the newest checkpoint."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(
        os.path.join(str(folder), 'checkpoints')))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def toy(output, steps, *more):
    return ['-m', 'tests.common.toy_training', '--output_path={}'.format(output), '--threads=16',
            '--training_steps={}'.format(steps), '--report_every=1'] + list(more)


@pytest.mark.parametrize('backend', [
    'hccl', pytest.param('horovod', marks=pytest.mark.slow), REAL])
def test_two_processes_train_as_one_and_only_the_first_writes(backend, tmp_path):
    first, second = together(toy(tmp_path / 'two', 3), backend, tmp_path / 'exchange')
    assert 'done: step 3' in first and second == ''
    again, second = together(toy(tmp_path / 'two', 5), backend, tmp_path / 'exchange again')
    assert 'goes on from step 3' in again and second == ''
    done = subprocess.run([sys.executable] + toy(tmp_path / 'one', 5, '--device=cpu'), cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    found, expected = variables(tmp_path / 'two'), variables(tmp_path / 'one')
    assert found.keys() == expected.keys() and 'mean' in found
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    rows = [[json.loads(line)['loss_toy'] for line in (tmp_path / name / 'metrics.jsonl').open()]
            for name in ('two', 'one')]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5)


@pytest.mark.slow
def test_processes_that_go_on_from_different_steps_are_stopped(tmp_path):
    together(toy(tmp_path / 'same', 2), 'hccl', tmp_path / 'exchange')
    (tmp_path / 'again').mkdir()
    processes = [subprocess.Popen(
        [sys.executable] + toy(tmp_path / name, 4), cwd=ROOT, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, env=environment('hccl', tmp_path / 'again', rank, 2))
        for rank, name in enumerate(['same', 'other'])]
    for process in processes:
        assert b'all need the same --output_path' in process.communicate()[1]
        assert process.returncode == 1


@real_horovod
@pytest.mark.slow
def test_a_dead_rank_ends_the_job_with_an_error(tmp_path):
    job = subprocess.Popen(_horovodrun(toy(tmp_path / 'out', 10 ** 6)), cwd=ROOT,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           universal_newlines=True)
    for line in job.stdout:
        if 'step 3/' in line:
            break
    ranks = {_variable(number, b'HOROVOD_RANK'): number
             for number in map(int, filter(str.isdigit, os.listdir('/proc')))
             if str(tmp_path).encode() in _proc(number, 'cmdline')}
    os.kill(ranks[b'1'], signal.SIGKILL)
    text = job.communicate(timeout=120)[0]
    assert job.returncode not in (0, None), text


def _proc(number, name):
    try:
        with open('/proc/{}/{}'.format(number, name), 'rb') as stream:
            return stream.read()
    except OSError:     # it has ended
        return b''


def _variable(number, name):
    return dict(item.split(b'=', 1) for item in _proc(number, 'environ').split(b'\0')
                if b'=' in item).get(name)


@pytest.mark.parametrize('count, size', [(4, 1), (4, 2), (8, 4), (6, 3)])
def test_the_parts_of_a_batch_are_the_batch(count, size):
    rows, parts = np.arange(count), []
    for rank in range(size):
        place = ranks.Ranks('hccl', rank, size, rank)
        parts.append(place.shard(rows))
        assert len(parts[-1]) == place.per_rank(count)
    np.testing.assert_array_equal(np.concatenate(parts), rows)


def test_a_batch_that_cannot_be_shared_out_equally_is_refused():
    with pytest.raises(errors.UsageError, match='batch of 4 .* 3 processes'):
        ranks.Ranks('horovod', 0, 3, 0).per_rank(4)


def test_a_single_process_adds_nothing_to_the_graph():
    tensor = tf.get_variable('v', [2])
    optimizer = tf.train.AdamOptimizer()
    before = len(tf.get_default_graph().get_operations())
    assert ranks.ALONE.mean(tensor) is tensor and ranks.ALONE.sum(tensor) is tensor
    assert ranks.ALONE.broadcast() is None and ranks.ALONE.barrier() is None
    assert launch.Context().wrap_optimizer(optimizer) is optimizer
    assert len(tf.get_default_graph().get_operations()) == before


@pytest.mark.parametrize('asked, variables, expected', [
    ('auto', {}, 'none'), ('auto', {'HOROVOD_SIZE': '2'}, 'horovod'),
    ('auto', {'RANK_SIZE': '2'}, 'none'), ('none', {'HOROVOD_SIZE': '2'}, 'none')])
def test_the_environment_tells_the_way_to_work_together(asked, variables, expected, monkeypatch):
    monkeypatch.syspath_prepend(os.path.join(HERE, 'fake_horovod'))
    variables = dict({'HOROVOD_RANK': '1', 'HOROVOD_LOCAL_RANK': '1'}, **variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    place = ranks.find(asked, 'cpu')
    assert place.backend == expected and place.is_chief == (expected == 'none')
    for name in [name for name in sys.modules if name.startswith('horovod')]:
        del sys.modules[name]


def test_hccl_without_an_npu_and_horovod_without_its_package_are_refused(monkeypatch):
    with pytest.raises(errors.UsageError, match='on an NPU only'):
        ranks.find('hccl', 'cpu')
    monkeypatch.setitem(sys.modules, 'horovod.tensorflow', None)
    with pytest.raises(errors.InputError, match='requirements-extra.txt'):
        ranks.find('horovod', 'cpu')


def table(**changes):
    found = rank_table.make([('host', {0: '10.0.0.1', 1: '10.0.0.2'})])
    found.update(changes)
    return found


def test_a_rank_table_is_what_hccl_reads(tmp_path):
    config = rank_table_command.parse_args(['--server=host', '--device_ips=10.0.0.1,10.0.0.2',
                                    '--first_device=4', '--output={}'.format(tmp_path / 't.json')])
    rank_table_command.write(config)
    found = json.loads((tmp_path / 't.json').read_text())
    assert found == {'status': 'completed', 'version': '1.0', 'server_count': '1', 'server_list': [
        {'server_id': 'host', 'device': [
            {'device_id': '4', 'device_ip': '10.0.0.1', 'rank_id': '0'},
            {'device_id': '5', 'device_ip': '10.0.0.2', 'rank_id': '1'}]}]}
    variables = {'RANK_ID': '1', 'RANK_SIZE': '2', 'ASCEND_DEVICE_ID': '5',
                 'RANK_TABLE_FILE': str(tmp_path / 't.json')}
    assert rank_table.place(variables) == (1, 2, 5)
    with pytest.raises(errors.InputError, match='gives rank 1 the device 5'):
        rank_table.place(dict(variables, ASCEND_DEVICE_ID='1'))
    with pytest.raises(errors.InputError, match='has 2 ranks, but RANK_SIZE is 4'):
        rank_table.place(dict(variables, RANK_SIZE='4'))


@pytest.mark.parametrize('servers, message', [
    ([('a', {0: 'x', 1: 'y', 2: 'z'})], '1, 2, 4 or 8'), ([('a', {3: 'x', 4: 'y'})], 'both rings'),
    ([('a', {0: 'x', 1: 'x'})], 'same "device_ip"'), ([('a', {0: ''})], 'no "device_ip"')])
def test_tables_that_hccl_would_hang_on_are_refused(servers, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.make(servers)


@pytest.mark.parametrize('changes, message', [
    ({'status': 'initializing'}, 'not completed'), ({'server_count': '2'}, 'lists 1 machines'),
    ({'server_list': None}, 'no rank table'), ({'server_list': ['host']}, 'a list "device"'),
    ({'server_list': [{'device': 3}]}, 'a list "device"')])
def test_tables_that_are_not_ready_are_refused(changes, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.validate(table(**changes), 'table.json')


def test_ranks_must_be_strings_and_count_from_zero():
    broken = table()
    broken['server_list'][0]['device'][0]['rank_id'] = 0
    with pytest.raises(errors.InputError, match='number in quotes'):
        rank_table.validate(broken, 'table.json')
    broken['server_list'][0]['device'][0]['rank_id'] = '2'
    with pytest.raises(errors.InputError, match='must be 0 to 1'):
        rank_table.validate(broken, 'table.json')


@pytest.mark.parametrize('variables, message', [
    ({}, 'RANK_ID must be a number'), ({'RANK_ID': '2', 'RANK_SIZE': '2'}, 'below RANK_SIZE'),
    ({'RANK_ID': '0', 'RANK_SIZE': '2', 'CM_WORKER_SIZE': '2'}, 'exclude each other'),
    ({'CM_WORKER_SIZE': '2'}, 'without a rank table is not supported'),
    ({'RANK_ID': '0', 'RANK_SIZE': '2'}, 'RANK_TABLE_FILE is not set'),
    ({'RANK_ID': '0', 'RANK_SIZE': '1', 'ASCEND_DEVICE_ID': 'a'}, 'ASCEND_DEVICE_ID must be')])
def test_an_environment_that_contradicts_itself_is_refused(variables, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.place(variables)


@pytest.mark.parametrize('variables, several', [
    ({}, False), ({'RANK_SIZE': ''}, False), ({'RANK_SIZE': '0'}, False),
    ({'RANK_SIZE': '1', 'CM_WORKER_SIZE': ''}, False), ({'RANK_SIZE': '8'}, True),
    ({'CM_WORKER_SIZE': '2'}, True)])
def test_the_variables_of_a_single_card_ask_for_no_exchange(variables, several):
    assert rank_table.is_one_of_several(variables) == several


def test_a_table_that_the_platform_is_still_writing_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / 'table.json'
    path.write_text(json.dumps({'status': 'initializing'}))
    variables = {'RANK_ID': '1', 'RANK_SIZE': '2', 'ASCEND_DEVICE_ID': '1',
                 'RANK_TABLE_FILE': str(path)}
    monkeypatch.setattr(rank_table.time, 'sleep', lambda _: path.write_text(json.dumps(table())))
    assert rank_table.place(variables) == (1, 2, 1)
    path.write_text(json.dumps({'status': 'initializing'}))
    monkeypatch.setattr(rank_table, '_PATIENCE', -1)
    with pytest.raises(errors.InputError, match='has not completed it'):
        rank_table.place(variables)


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match='10.0.0.300'):
        rank_table_command.write(rank_table_command.parse_args(
            ['--server=host', '--device_ips=10.0.0.1,10.0.0.300', '--output=x.json']))

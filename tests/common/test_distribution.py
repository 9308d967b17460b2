"""Several processes that train together; HCCL and Horovod are doubles that talk through files.

TensorFlow's own collectives ("tf") are real. Where Horovod itself is installed the slow tests run
it too ("horovodrun").
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
from common import processes as launcher
from common.device import cluster, rank_table, ranks
from common.training import launch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, 'tests', 'common')


HOROVODRUN = os.path.join(os.path.dirname(sys.executable), 'horovodrun')
real_horovod = pytest.mark.skipif(importlib.util.find_spec('horovod') is None,
                                  reason='Horovod is not installed (requirements-extra.txt)')
REAL = pytest.param('horovodrun', marks=[pytest.mark.slow, real_horovod])


def environment(backend, folder, rank, size):
    """Variables of the process of a rank, as the launcher of its platform sets them."""
    if backend == 'tf':
        addresses = tuple((folder / 'addresses').read_text().split())
        return dict(os.environ, TF_CONFIG=cluster.make(addresses, rank))
    names = {'hccl': {'RANK_ID': rank, 'RANK_SIZE': size, 'ASCEND_DEVICE_ID': rank},
             'horovod': {'HOROVOD_RANK': rank, 'HOROVOD_SIZE': size, 'HOROVOD_LOCAL_RANK': rank}}
    package = {'hccl': 'fake_npu', 'horovod': 'fake_horovod'}[backend]
    actual = {name: str(value) for name, value in names[backend].items()}
    if backend == 'hccl':
        actual['RANK_TABLE_FILE'] = os.path.join(str(folder), 'table.json')
        files.write_json(actual['RANK_TABLE_FILE'], rank_table.make([('host', {
            number: '10.0.0.{}'.format(number + 1) for number in range(size)})]))
    paths = [os.path.join(HERE, package), ROOT, os.environ.get('PYTHONPATH')]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in paths if path),
                PYTHONWARNINGS='ignore', FAKE_EXCHANGE=str(folder), **actual)


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
    (folder / 'addresses').write_text(' '.join(map('127.0.0.1:{}'.format,
                                                   launcher.free_ports(size))))
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
            '--peer_timeout=200', '--training_steps={}'.format(steps),
            '--report_every=1'] + list(more)


@pytest.mark.parametrize('backend', [
    'tf', 'hccl', pytest.param('horovod', marks=pytest.mark.slow), REAL])
def test_two_processes_train_as_one_and_only_the_first_writes(backend, tmp_path):
    first, second = together(toy(tmp_path / 'two', 3), backend, tmp_path / 'exchange')
    assert 'done: step 3' in first and second == ''
    again, second = together(toy(tmp_path / 'two', 5), backend, tmp_path / 'exchange again')
    assert 'goes on from step 3' in again and second == ''
    done = subprocess.run([sys.executable] + toy(tmp_path / 'one', 5, '--device=cpu'), cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    actual, expected = variables(tmp_path / 'two'), variables(tmp_path / 'one')
    assert actual.keys() == expected.keys() and 'mean' in actual
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
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
    assert ranks.ALONE.broadcast() is None
    assert launch.Context().wrap_optimizer(optimizer) is optimizer
    assert len(tf.get_default_graph().get_operations()) == before


@pytest.mark.parametrize('asked, variables, expected', [
    ('auto', {}, 'none'), ('auto', {'HOROVOD_SIZE': '2'}, 'horovod'),
    ('auto', {'TF_CONFIG': cluster.make(('a:1', 'b:1'), 1)}, 'tf'),
    ('auto', {'TF_CONFIG': cluster.make(('a:1',), 0)}, 'none'),
    ('auto', {'TF_CONFIG': cluster.make(('a:1', 'b:1'), 1), 'HOROVOD_SIZE': '2'}, 'horovod'),
    ('none', {'TF_CONFIG': cluster.make(('a:1', 'b:1'), 1)}, 'none'),
    ('tf', {'TF_CONFIG': cluster.make(('a:1', 'b:1'), 1), 'HOROVOD_SIZE': '2'}, 'tf'),
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


def test_what_a_device_or_the_environment_lacks_is_refused(monkeypatch):
    with pytest.raises(errors.UsageError, match='on an NPU only'):
        ranks.find('hccl', 'cpu')
    with pytest.raises(errors.UsageError, match='on an NPU it is hccl'):
        ranks.find('tf', 'npu')
    with pytest.raises(errors.InputError, match='python -m common.processes'):
        ranks.find('tf', 'cpu', {})
    monkeypatch.setitem(sys.modules, 'horovod.tensorflow', None)
    remedy = ('requirements-extra.txt' if tf.version.VERSION.startswith('1.')
              else 'does not build for TensorFlow 2.* take --distribution tf')
    with pytest.raises(errors.InputError, match=remedy):
        ranks.find('horovod', 'cpu')


def test_on_an_npu_the_rank_table_wins_over_tf_config_and_that_is_said(tmp_path, capsys):
    table = environment('hccl', tmp_path, 1, 2)
    place = ranks.find('auto', 'npu', dict(table, TF_CONFIG=cluster.make(('a:1', 'b:1', 'c:1'), 0)))
    assert (place.backend, place.rank, place.size) == ('hccl', 1, 2)
    said = capsys.readouterr().out
    assert said.count('\n') == 1 and 'TF_CONFIG' in said and 'left aside' in said

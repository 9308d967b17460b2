"""The launcher of several processes, and what becomes of them when one of them fails.

All processes are real and train the toy by TensorFlow's own collectives.
"""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from common import processes
from common.device import cluster
from tests.common import test_distribution

ROOT = test_distribution.ROOT
TOY = os.path.join('tests', 'common', 'toy_training.py')
LIMIT = 60.         # seconds within which every process has to end once one has failed
PATIENCE = 300.     # seconds for all of it, on a busy machine too


def options(output, steps, *more):
    return [TOY, '--output_path={}'.format(output), '--device=cpu', '--threads=1',
            '--report_every=1', '--save_every=5', '--peer_timeout=100',
            '--training_steps={}'.format(steps), *more]


def start(command, addresses, rank, **more):
    """A process of a rank; its stdout and stderr are one pipe."""
    environment = dict(os.environ, TF_CONFIG=cluster.make(tuple(addresses), rank),
                       PYTHONUNBUFFERED='1', PYTHONWARNINGS='ignore', TF_CPP_MIN_LOG_LEVEL='3')
    return subprocess.Popen([sys.executable] + command, cwd=ROOT, env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            universal_newlines=True, **more)


def local(count):
    return ['127.0.0.1:{}'.format(port) for port in processes.free_ports(count)]


def wait_for(process, text):
    """Reads lines until one has the text; returns those before."""
    lines = []
    for line in process.stdout:
        if text in line:
            return lines
        lines.append(line)
    raise AssertionError('ended without "{}": {}'.format(text, lines))


def ended(running, since):
    """(seconds until all had ended, exit codes, last lines that tell of an error)."""
    texts = [process.communicate(timeout=PATIENCE)[0] for process in running]
    seconds = time.monotonic() - since
    errors = [(re.findall(r'^(?:error: |stopped).*', text, re.M) or [''])[-1] for text in texts]
    return seconds, [process.returncode for process in running], errors


def losses(output):
    """{step: loss}; a step that was done again counts once."""
    with open(os.path.join(str(output), 'metrics.jsonl'), encoding='utf-8') as stream:
        return {row['step']: row['loss_toy'] for row in map(json.loads, stream)}


def full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def pair(tmp_path, commands=None, first=None, more=()):
    """Two processes in the midst of their training, slow enough to be hit there."""
    addresses = local(2)
    commands = commands or [options(tmp_path / 'out', 10 ** 6, '--step_seconds=0.02', *more)] * 2
    return [start(commands[0], addresses, 0, **(first or {})),
            start(commands[1], addresses, 1)]


def strike(tmp_path, rank, number, *more):
    """Sends a signal to one of two processes; gives what `ended` does of the other one."""
    running = pair(tmp_path, more=more)
    wait_for(running[0], 'step 12/')
    since = time.monotonic()
    running[rank].send_signal(number)
    result = ended([running[1 - rank]], since)
    running[rank].kill()
    running[rank].communicate()
    return result


@pytest.mark.parametrize('rank', [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_process_ends_the_other_which_names_it(rank, tmp_path):
    seconds, codes, (line,) = strike(tmp_path, rank, signal.SIGKILL)
    assert codes == [1] and seconds < LIMIT
    assert 'error: rank {} (127.0.0.1:'.format(rank) in line and 'is gone' in line
    check_going_on(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('rank', [1, 0])
def test_a_stopped_process_ends_the_other_which_names_it(rank, tmp_path):
    seconds, codes, (line,) = strike(tmp_path, rank, signal.SIGSTOP, '--peer_timeout=15')
    assert codes == [1] and seconds < LIMIT
    assert 'error: rank {} (127.0.0.1:'.format(rank) in line and 'has been silent' in line
    check_going_on(tmp_path)


def check_going_on(tmp_path):
    """The same command in one process goes on, and learns what an unbroken run does."""
    for name in ('out', 'unbroken'):
        done = subprocess.run([sys.executable] + options(tmp_path / name, 20), cwd=ROOT,
                              stdout=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 0
    resumed, unbroken = losses(tmp_path / 'out'), losses(tmp_path / 'unbroken')
    assert set(unbroken) <= set(resumed)
    np.testing.assert_allclose([resumed[step] for step in unbroken], list(unbroken.values()),
                               rtol=1e-5)


def different(tmp_path, one, other):
    """What becomes of two processes with different options."""
    since = time.monotonic()
    return ended(pair(tmp_path, [options(tmp_path / 'out', 10, *one),
                                 options(tmp_path / 'out', 10, *other)]), since)


def test_processes_with_different_options_end_and_say_which(tmp_path):
    _, codes, lines = different(tmp_path, ['--learning_rate=0.1'], ['--learning_rate=0.2'])
    assert codes == [2, 2]
    for line in lines:
        assert re.search(r'rank 1 \(\S+\) has --learning_rate 0\.2, but rank 0 \(\S+\) has 0\.1',
                         line)
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_processes_with_different_data_end_and_say_so(tmp_path):
    for name in ('one', 'other'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'scale.txt').write_text('2.0' if name == 'one' else '2.5')
    _, codes, lines = different(tmp_path, *[['--data_path={}'.format(tmp_path / name)]
                                            for name in ('one', 'other')])
    assert codes == [2, 2] and all('has --data_path with the digest' in line for line in lines)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_with_its_exit_code(tmp_path):
    since = time.monotonic()
    _, codes, lines = ended(pair(tmp_path, [options(tmp_path / 'out', 20, '--nan_at=7')] * 2),
                            since)
    assert codes == [3, 3] and all('loss_toy is nan at step 7' in line for line in lines)


@pytest.mark.slow
def test_a_full_disk_of_the_first_ends_the_second(tmp_path):
    since = time.monotonic()
    _, codes, lines = ended(pair(tmp_path, first={'preexec_fn': full_disk}), since)
    assert codes == [1, 1] and 'File too large' in lines[0]
    assert 'rank 0' in lines[1] and 'stopped: ' in lines[1]


@pytest.mark.slow
def test_a_process_that_nobody_started_and_a_port_in_use_are_named(tmp_path):
    for rank in (0, 1):
        addresses, since = local(2), time.monotonic()
        command = options(tmp_path / 'out', 3, '--peer_timeout=8')
        _, codes, (line,) = ended([start(command, addresses, rank)], since)
        assert codes == [1]
        assert re.search(r'rank {} \(\S+\)'.format(1 - rank), line) and '--peer_timeout' in line
    with processes.socket.socket() as taken:
        taken.bind(('0.0.0.0', int(addresses[1].split(':')[1])))
        taken.listen(1)
        _, codes, (line,) = ended([start(command, addresses, 1)], since)
    assert codes == [1] and 'cannot listen on its port' in line and addresses[1] in line


@pytest.mark.slow
def test_a_step_longer_than_the_patience_is_no_silence(tmp_path):
    addresses, since = local(2), time.monotonic()
    command = options(tmp_path / 'out', 1, '--op_seconds=20', '--peer_timeout=8')
    seconds, codes, _ = ended([start(command, addresses, rank) for rank in range(2)], since)
    assert codes == [0, 0] and seconds > 20


@pytest.mark.slow
def test_other_numbers_of_processes_are_refused(tmp_path):
    addresses, since = local(3), time.monotonic()
    command = options(tmp_path / 'out', 3, '--batch_size=6')
    running = [start(command, addresses[:2], 0), start(command, addresses, 1)]
    _, codes, lines = ended(running, since)
    assert codes == [2, 2] and all('trains with 2 processes' in line for line in lines)


@pytest.mark.slow
def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path):
    since = time.monotonic()
    for count, steps in ((2, 6), (1, 12), (3, 20)):
        addresses = local(count)
        command = options(tmp_path / 'out', steps, '--batch_size=6')
        assert ended([start(command, addresses, rank) for rank in range(count)],
                     since)[1] == [0] * count
    subprocess.run([sys.executable] + options(tmp_path / 'one', 20, '--batch_size=6'), cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    actual, expected = losses(tmp_path / 'out'), losses(tmp_path / 'one')
    assert actual.keys() == expected.keys()
    np.testing.assert_allclose(list(actual.values()), list(expected.values()), rtol=1e-5)


def launched(*arguments):
    return subprocess.Popen([sys.executable, '-m', 'common.processes', *arguments], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            universal_newlines=True)


def test_ctrl_c_in_the_launcher_saves_and_leaves_no_process(tmp_path):
    job = launched('--count=2', '--', *options(tmp_path / 'out', 10 ** 6, '--save_every=1000000',
                                               '--step_seconds=0.01'))
    wait_for(job, '[0] step 12/')
    job.send_signal(signal.SIGINT)
    text = job.communicate(timeout=PATIENCE)[0]
    assert job.returncode == 130, text
    saved = re.search(r'\[0\] stopped by SIGINT at step (\d+), saved in', text)
    assert saved and '[1] stopped by SIGINT at step ' + saved.group(1) in text, text
    assert (tmp_path / 'out' / 'checkpoints' / 'model-{}.index'.format(saved.group(1))).exists()
    assert not [number for number in os.listdir('/proc') if number.isdigit()
                and str(tmp_path).encode() in test_distribution._proc(number, 'cmdline')]


SCRIPT = '''
import os, signal, sys, time
rank = int(__import__('json').loads(os.environ['TF_CONFIG'])['task']['index'])
print('here', rank, sys.argv[1])
print('there', rank, file=sys.stderr)
action = sys.argv[2 + rank]
if action == 'killed':
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(action))
'''


@pytest.mark.parametrize('actions, code', [(['0', '0'], 0), (['0', '3'], 3), (['1', '2'], 2),
                                           (['1', 'killed'], 137)])
def test_the_launcher_passes_the_worst_exit_code_and_marks_lines(actions, code, tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    job = launched('--', str(tmp_path / 'script.py'), 'a word', *actions)
    text = job.communicate(timeout=PATIENCE)[0]
    assert job.returncode == code
    assert {line for line in text.splitlines()} == {
        '[0] here 0 a word', '[0] there 0', '[1] here 1 a word', '[1] there 1'}


def test_the_launcher_prints_what_to_start_on_each_machine(tmp_path):
    job = launched('--hosts=a,b', '--count=2', '--port=40', '--', 'vsl/vsl_main.py', '--class=a b')
    lines = job.communicate()[0].splitlines()
    assert [line.split(':')[0] for line in lines] == ['on a', 'on a', 'on b', 'on b']
    for rank, line in enumerate(lines):
        printed = subprocess.run(
            ['bash', '-c', line.split(': ', 1)[1].replace(
                'python', '{} -c "import os,sys; print(os.environ[\'TF_CONFIG\']); '
                'print(sys.argv[1:])"'.format(sys.executable))],
            stdout=subprocess.PIPE, universal_newlines=True).stdout.splitlines()
        found = cluster.of({'TF_CONFIG': printed[0]})
        assert found == (('a:40', 'a:41', 'b:40', 'b:41'), rank)
        assert found.local_rank == rank % 2
        assert printed[1] == "['vsl/vsl_main.py', '--class=a b']"

"""The MindSpore port's launch scripts: what they start, with which options, into which log."""
import os
import shutil
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOROVOD = os.path.join(ROOT, 'tests', 'common', 'fake_horovod')


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with the scripts, and an interpreter that prints what it is to run."""
    folder = tmp_path_factory.mktemp('project')
    shutil.copytree(os.path.join(ROOT, 'cmr', 'scripts'), str(folder / 'cmr' / 'scripts'))
    shutil.copy(os.path.join(ROOT, 'setup.sh'), str(folder))
    python = folder / 'python'
    python.write_text('#!/usr/bin/env bash\ncase "$1 $*" in\n'
                      '  *.py\\ * | -m\\ *) printf "%s\\n" "$@" ;;\n'
                      '  *tensorflow*) ;;\n'      # setup.sh wants to know whether it has that
                      '  *) exec {} "$@" ;;\nesac\n'.format(sys.executable))
    python.chmod(0o755)
    return folder


def _run(project, name, *arguments, **environment):
    inherited = {key: value for key, value in os.environ.items() if not key.startswith('CMR_')}
    done = subprocess.run(
        ['bash', str(project / 'cmr' / 'scripts' / (name + '.sh'))] + list(arguments),
        env=dict(inherited, PYTHON=str(project / 'python'), **environment), cwd=str(project),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _started(project, log):
    """The words of the command that went to a log, once it has ended."""
    path = project / 'cmr' / 'logs' / log
    for _ in range(200):
        if path.exists() and path.read_text():
            return path.read_text().split('\n')[:-1]
        time.sleep(0.05)
    raise AssertionError('{} stays empty'.format(path))


@pytest.mark.parametrize('words, kind, options', [
    (['train'], 'train', ['--train_files']), (['test'], 'eval', ['--eval_files']),
    (['train', 'test'], 'train_eval', ['--train_files', '--eval_files']),
    (['test', 'train'], 'train_eval', ['--train_files', '--eval_files'])])
def test_sample_files_are_made_as_asked(project, words, kind, options):
    shutil.rmtree(str(project / 'cmr' / 'logs'), ignore_errors=True)
    code, out, _ = _run(project, 'generate_dataset', *words, CMR_DATA='/sets')
    assert code == 0 and 'generate_{}_files.log'.format(kind) in out
    assert _started(project, 'generate_{}_files.log'.format(kind)) == [
        str(project / 'cmr' / 'preprocess.py'), '--data_path=/sets'] + options


@pytest.mark.parametrize('words', [[], ['trian'], ['train', 'train'], ['train', 'test', 'x']])
def test_other_words_are_refused(project, words):
    code, out, err = _run(project, 'generate_dataset', *words)
    assert (code, out) == (2, '') and err.startswith('usage: bash generate_dataset.sh')


@pytest.mark.parametrize('shell', ['sh', 'bash'])
def test_scripts_run_through_a_link_and_by_sh(project, shell, tmp_path):
    scripts = project / 'cmr' / 'scripts'
    for path in sorted(scripts.glob('*.sh')):
        if path.name == 'common.sh':
            continue
        link = tmp_path / path.name
        link.symlink_to(path)
        for place in (path, link):
            done = subprocess.run([shell, str(place), '--help'], cwd=str(tmp_path),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert done.returncode == 0, done.stderr
            assert done.stdout.decode().startswith('usage: bash ' + path.name)


def test_one_and_several_processes_train_as_the_mindspore_port_does(project):
    code, _, _ = _run(project, 'run_standalone_train_gpu', '0', 'start.ckpt')
    words = _started(project, 'training_gpu.log')
    assert code == 0 and words[0] == str(project / 'cmr' / 'train.py')
    assert {'--data_path={}'.format(project / 'cmr' / 'datasets'), '--device=gpu',
            '--batch_size=16', '--num_epochs=80', '--checkpoint_steps=1771',
            '--pretrained_checkpoint=start.ckpt'} <= set(words)
    code, _, _ = _run(project, 'run_distributed_train_gpu', '8', PYTHONPATH=HOROVOD,
                      CMR_DEVICE='cpu')
    words = _started(project, 'distribute_training_gpu.log')
    assert code == 0 and words[:5] == ['-m', 'horovod.runner.launch', '--gloo', '-np', '8']
    assert {'--device=cpu', '--batch_size=128', '--checkpoint_steps=221', '--distribute',
            '--pretrained_checkpoint=None'} <= set(words)


def test_several_processes_without_horovod_take_the_projects_launcher(project, tmp_path):
    shutil.rmtree(str(project / 'cmr' / 'logs'), ignore_errors=True)
    (tmp_path / 'horovod.py').write_text('raise ImportError\n')
    code, _, _ = _run(project, 'run_distributed_train_gpu', '2', PYTHONPATH=str(tmp_path))
    words = _started(project, 'distribute_training_gpu.log')
    assert code == 0 and words[:4] == [str(project / 'common' / 'processes.py'), '--count=2', '--',
                                       str(project / 'cmr' / 'train.py')]
    assert {'--batch_size=32', '--distribute'} <= set(words)


def test_a_checkpoint_is_measured(project):
    code, _, _ = _run(project, 'run_eval_gpu', '0', 'up-3d', 'some/ckpt')
    words = _started(project, 'eval_gpu.log')
    assert code == 0 and words[0] == str(project / 'cmr' / 'eval.py')
    assert {'--dataset=up-3d', '--log_freq=10',
            '--checkpoint={}'.format(project / 'some' / 'ckpt')} <= set(words)

"""The launch scripts of common/modelarts/train_1p.sh, run with a stub in place of the training."""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from common import cli, collection, launch_tables

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = ('setup.sh', 'requirements.txt', 'common/modelarts/train_1p.sh', 'polygen/test/options.sh',
         'polygen/test/train_full_1p.sh', 'polygen/test/train_performance_1p.sh',
         'polygen/test/model_test.sh', 'polygen/meshes/cube.obj', 'polygen/test/tables.sh',
         'common/modelarts/tables.sh')

# Stands for Python: writes down its arguments and surroundings, then does what STUB_MODE says.
STUB = '''
import json, os, signal, sys, time
if sys.argv[1] in ('-c', '-I'):
    sys.exit(0)
signals = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: signals.append(number))
names = [name for name in os.environ if name.startswith(('RANK_', 'JOB_', 'ASCEND_', 'CANN_'))]
record = {'argv': sys.argv[1:], 'cores': len(os.sched_getaffinity(0)),
          'env': {name: os.environ[name] for name in names}}
with open(os.environ['STUB_RECORD'], 'w') as stream:
    json.dump(record, stream)
mode = os.environ.get('STUB_MODE', '')
print('to stderr', file=sys.stderr)
if mode == 'wait':
    print('ready', flush=True)
    while not signals:
        time.sleep(0.02)
    time.sleep(0.3)
    print('saved after', [int(number) for number in signals], flush=True)
    sys.exit(128 + signals[0])
if mode == 'kill':
    os.kill(os.getpid(), signal.SIGKILL)
if mode == 'done':
    print('done already')
    sys.exit(0)
print('The model has been compiled on the Ascend AI processor' if mode == 'npu' else 'on the CPU')
for loss in (3, 2, 1.5, 1.5):
    print('Loss (vertices): {}'.format(loss))
    print('Loss (faces): 7.5')
if mode == 'both accuracies':
    print('Accuracy (train): 0.875')
print('Accuracy: 0.75')
print('StepTime: 0.250000')
print('Loss (vertices): 1.5')
print('Loss (faces): 7.5')
sys.exit(3 if mode == 'fail' else 0)
'''


class Project:
    """A copy of the scripts in a folder with a space in its name, and the stub."""

    def __init__(self, tmp_path):
        self.root = tmp_path / 'a project'
        for name in FILES:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.join(ROOT, name), str(self.root / name))
        self.model = self.root / 'polygen'
        self.output = self.model / 'test' / 'output'
        self.results = self.output / '0'
        self.record = tmp_path / 'record.json'
        (tmp_path / 'stub.py').write_text(STUB)
        python = tmp_path / 'bin' / 'python'
        python.parent.mkdir()
        python.write_text('#!/bin/bash\nexec "{}" "{}" "$@"\n'.format(
            sys.executable, tmp_path / 'stub.py'))
        python.chmod(0o755)
        self.env = {'PATH': os.environ['PATH'], 'HOME': str(tmp_path), 'PYTHON': str(python),
                    'STUB_RECORD': str(self.record)}

    def start(self, *arguments, script='train_full_1p.sh', cwd=None, **env):
        """Starts a launch script in a session of its own."""
        return subprocess.Popen(
            ['bash', str(self.model / 'test' / script)] + list(arguments),
            cwd=str(cwd or self.root), env=dict(self.env, **env), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, universal_newlines=True, start_new_session=True)

    def launch(self, *arguments, **kwargs):
        """Runs a launch script; returns its exit code and what it printed."""
        process = self.start(*arguments, **kwargs)
        text = process.communicate()[0]
        return process.returncode, text

    @property
    def recorded(self):
        """What the stub wrote down; None when the training was not started."""
        return json.loads(self.record.read_text()) if self.record.exists() else None

    @property
    def options(self):
        """Options that reached the training, {name: value}; each may come once only."""
        pairs = [argument[2:].split('=', 1) for argument in self.recorded['argv'][1:]]
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def result(self, case):
        """Lines of a result file as a list of pairs."""
        lines = (self.results / (case + '.log')).read_text().splitlines()
        return [tuple(line.split(' = ')) for line in lines]


@pytest.fixture
def project(tmp_path):
    """A fresh `Project`."""
    return Project(tmp_path)


@pytest.mark.parametrize('arguments, name, value', [
    ('--training_steps=7', 'training_steps', '7'),
    ('--training-steps=7', 'training_steps', '7'),
    ('--train_steps 7', 'training_steps', '7'),
    ('--train_epochs=2', 'train_epochs', '2'),
    ('--batch_size=2', 'batch_size', '2'),
    ('--learning_rate=1e-3', 'learning_rate', '1e-3'),
    ('--precision_mode=mix', 'precision_mode', 'mix'),
    ('--ckpt_path=/x/model-1', 'checkpoint', '/x/model-1'),
    ('--over_dump=True', 'over_dump', 'True'),
    ('--over_dump False', 'over_dump', 'False'),
    ('--data_dump_flag --data_dump_step=5', 'data_dump_flag', 'True'),
    ('--data_dump_step 5', 'data_dump_step', '5'),
    ('--profiling=True', 'profiling', 'True'),
    ('--autotune=True', 'autotune', 'True'),
    ('--loss_scale=128', 'loss_scale', '128'),
    ('--noresume', 'resume', 'False'),
    ('--nofreeze', 'freeze', 'False'),
    ('--preset=large', 'preset', 'large'),
    ('--seed=1 --seed=2', 'seed', '2'),
])
def test_options_reach_the_training_under_one_name(project, arguments, name, value):
    code, text = project.launch(*arguments.split())
    assert code == 0, text
    assert project.options[name] == value


@pytest.mark.parametrize('arguments, message', [
    ('--trainingsteps=7', 'unknown option --trainingsteps'),
    ('--nosuch', 'unknown option --nosuch'),
    ('7', 'unexpected "7"'),
    ('--learning_rate', '--learning_rate needs a value'),
    ('--learning_rate --debug', '--learning_rate needs a value'),
    ('--data_path=', '--data_path needs a value'),
    ('--profiling=maybe', '--profiling must be True or False, not "maybe"'),
])
def test_wrong_usage_exits_2_before_anything_is_made(project, arguments, message):
    code, text = project.launch(*arguments.split())
    assert code == 2
    assert text.startswith('error: ' + message) and text.count('\n') == 1
    assert project.recorded is None and not project.output.exists()


@pytest.mark.parametrize('script', ['train_full_1p.sh', 'train_performance_1p.sh'])
def test_help_names_every_option_and_exits_0(project, script):
    code, text = project.launch('--help', script=script)
    assert code == 0
    for name in ('data_path precision_mode over_dump data_dump_flag data_dump_step profiling '
                 'ckpt_path batch_size autotune train_epochs train_steps output_path '
                 'learning_rate loss_scale conda_name bind_core').split():
        assert '--' + name in text
    assert project.recorded is None


def test_full_run_writes_log_results_and_losses(project):
    code, text = project.launch()
    assert code == 0
    machine = os.uname().machine
    result = project.result('polygen_bs4_1p_acc')
    assert result[:-1] == [
        ('Network', 'polygen'), ('RankSize', '1'), ('BatchSize', '4'), ('DeviceType', machine),
        ('CaseName', 'polygen_bs4_1p_acc'), ('ActualFPS', '16.0000'),
        ('TrainingTime', '0.250000'), ('TrainAccuracy', '0.75'), ('ActualLoss', '1.5')]
    assert result[-1][0] == 'E2ETrainingTime' and float(result[-1][1]) < 60
    for name in ('polygen_bs4_1p_acc_loss.txt', 'train_polygen_bs4_1p_acc_loss.txt'):
        assert (project.results / name).read_text().split() == ['3', '2', '1.5', '1.5']
    log = (project.results / 'train_0.log').read_text()
    assert 'to stderr' in log and log in text
    for line in ('INFO NOTICE START', 'Final Performance images/sec : 16.0000',
                 'Final Performance sec/step : 0.250000', 'Final Train Accuracy : 0.75',
                 'E2E Training Duration sec : '):
        assert line in text
    assert project.options['output_path'] == str(project.results)
    # The length is the preset's, which the training itself knows.
    assert 'training_steps' not in project.options and project.options['freeze'] == 'True'


def test_accuracies_of_training_and_test_data_are_told_apart(project):
    code, text = project.launch(STUB_MODE='both accuracies')
    result = dict(project.result('polygen_bs4_1p_acc'))
    assert code == 0 and (result['TrainAccuracy'], result['TestAccuracy']) == ('0.875', '0.75')
    assert 'Final Train Accuracy : 0.875' in text and 'Final Test Accuracy : 0.75' in text


def test_performance_run_is_short_and_leaves_the_full_run_alone(project):
    code, text = project.launch('--batch_size=8', script='train_performance_1p.sh')
    assert code == 0 and 'Accuracy :' not in text
    options = project.options
    assert options['output_path'] == str(project.results / 'performance')
    assert (options['training_steps'], options['sample'], options['resume']) == (
        '100', 'False', 'False')
    assert 'freeze' not in options
    result = dict(project.result('polygen_bs8_1p_perf'))
    assert (result['BatchSize'], result['ActualFPS']) == ('8', '32.0000')
    assert 'TrainAccuracy' not in result


@pytest.mark.parametrize('mode, expected', [('fail', 3), ('kill', 137)])
def test_failure_passes_its_exit_code_on_and_leaves_no_result(project, mode, expected):
    assert project.launch()[0] == 0
    (project.results / 'checkpoints').mkdir()
    code, text = project.launch(STUB_MODE=mode)
    assert code == expected
    assert 'ERROR NOTICE START' in text and 'ERROR : exit code {}'.format(expected) in text
    assert sorted(os.listdir(str(project.results))) == ['checkpoints', 'train_0.log']


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('whole_group', [False, True])
def test_signal_reaches_the_training_once_and_its_end_is_awaited(project, number, whole_group):
    process = project.start(STUB_MODE='wait')
    log = project.results / 'train_0.log'
    deadline = time.time() + 20
    while not (log.exists() and 'ready' in log.read_text()) and time.time() < deadline:
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number
    assert 'saved after [{}]\n'.format(int(number)) in text
    assert 'interrupted' in text and not list(project.results.glob('polygen_*'))


def test_run_that_was_done_already_keeps_the_earlier_result(project):
    assert project.launch()[0] == 0
    before = project.result('polygen_bs4_1p_acc')
    code, text = project.launch(STUB_MODE='done')
    assert code == 0 and 'no step was measured' in text
    assert project.result('polygen_bs4_1p_acc') == before


@pytest.mark.parametrize('folder, arguments, expected', [
    ('.', '--data_path=polygen/meshes', 'polygen/meshes'),
    ('polygen', '--data_path meshes', 'polygen/meshes'),
    ('polygen/test', '--data_path=../meshes', 'polygen/meshes'),
    ('polygen/test', '--data_path=../../polygen/meshes/', 'polygen/meshes'),
    ('.', '--data_path=polygen', 'polygen/meshes'),
    ('polygen/test', '--datapath=..', 'polygen/meshes'),
    ('polygen', '--data_path=meshes/cube.obj', 'polygen/meshes/cube.obj'),
])
def test_data_is_found_from_any_folder(project, folder, arguments, expected):
    assert project.launch(*arguments.split(), cwd=project.root / folder)[0] == 0
    assert project.options['data_path'] == str(project.root / expected)


def test_without_data_path_the_choice_is_left_to_the_training(project):
    assert project.launch()[0] == 0
    assert 'data_path' not in project.options


def test_missing_data_is_said_before_anything_is_made(project):
    code, text = project.launch('--data_path=nowhere')
    assert code == 1
    assert text.startswith('error: --data_path=') and 'nowhere does not exist' in text
    assert not project.output.exists()


def test_paths_of_the_user_count_from_where_the_user_is(project, tmp_path):
    assert project.launch('--output_path=my output', '--ckpt_path=old', cwd=tmp_path)[0] == 0
    assert project.options['output_path'] == str(tmp_path / 'my output')
    assert project.options['checkpoint'] == str(tmp_path / 'old')


@pytest.mark.parametrize('arguments, mode, expected, word', [
    (['--device=npu'], '', 1, 'ERROR'), (['--device=npu'], 'npu', 0, 'INFO'),
    (['--device=cpu'], '', 0, 'INFO')])
def test_npu_that_was_asked_for_must_have_been_used(project, arguments, mode, expected, word):
    code, text = project.launch(*arguments, STUB_MODE=mode)
    assert code == expected
    assert '{} NOTICE START'.format(word) in text
    assert bool(list(project.results.glob('polygen_*.log'))) == (expected == 0)


def test_device_number_names_folder_and_log(project):
    assert project.launch(ASCEND_DEVICE_ID='3')[0] == 0
    assert (project.output / '3' / 'train_3.log').exists()
    env = project.recorded['env']
    assert (env['RANK_SIZE'], env['RANK_ID'], env['JOB_ID']) == ('1', '0', '10087')
    assert (env['ASCEND_DEVICE_ID'], env['ASCEND_GLOBAL_LOG_LEVEL']) == ('3', '3')
    code, text = project.launch(ASCEND_DEVICE_ID='../x')
    assert code == 2 and 'ASCEND_DEVICE_ID must be a number' in text


def test_ranks_of_a_table_are_kept_and_share_an_output_folder(project):
    ranks = {'RANK_TABLE_FILE': '/a/table.json', 'RANK_SIZE': '2'}
    code, text = project.launch(RANK_ID='1', ASCEND_DEVICE_ID='1', **ranks)
    assert code == 0 and 'rank 1 of 2 has ended' in text, text
    env = project.recorded['env']
    assert (env['RANK_SIZE'], env['RANK_ID'], env['ASCEND_DEVICE_ID']) == ('2', '1', '1')
    assert project.options['output_path'] == str(project.output / '0')
    assert [path.name for path in (project.output / '1').iterdir()] == ['train_1.log']
    code, text = project.launch(RANK_ID='0', **ranks)
    assert code == 0 and project.options['output_path'] == str(project.output / '0')
    result = dict(project.result('polygen_bs4_2p_acc'))
    assert (result['RankSize'], result['ActualFPS']) == ('2', '16.0000')


@pytest.mark.parametrize('env, code, message, size', [
    ({'RANK_SIZE': '8', 'RANK_ID': '5'}, 0, 'note: RANK_SIZE=8 is left aside', '1'),
    ({'RANK_SIZE': '0', 'RANK_TABLE_FILE': '/t'}, 0, '', '1'),
    ({'RANK_SIZE': '2', 'RANK_TABLE_FILE': '/t'}, 2, 'must be numbers, not "" and "2"', None),
    ({'RANK_SIZE': '2', 'RANK_ID': '2', 'RANK_TABLE_FILE': '/t'}, 2, 'below RANK_SIZE 2', None),
    ({'RANK_SIZE': 'x[$(id)]', 'RANK_ID': '0', 'RANK_TABLE_FILE': '/t'}, 2, 'be numbers', None)])
def test_several_ranks_need_a_table_and_numbers(project, env, code, message, size):
    actual, text = project.launch(**env)
    assert actual == code and message in text, text
    assert (project.recorded and project.recorded['env']['RANK_SIZE']) == size


def test_arrays_that_may_be_empty_are_expanded_as_old_shells_need_it():
    with open(os.path.join(ROOT, FILES[2]), encoding='utf-8') as stream:
        text = re.sub(r'#.*', '', stream.read())
    for name in ('defaults', 'prefix', 'model_paths', 'model_values', 'model_flags'):
        guarded = '${{{0}[@]+"${{{0}[@]}}"}}'.format(name)
        assert guarded in text and name + '[@]}' not in text.replace(guarded, '')


@pytest.mark.parametrize('shell', [['sh'], ['bash', '--posix'], ['bash'], []])
def test_scripts_run_through_a_link_and_by_any_shell(shell, project, tmp_path):
    if shell and not shutil.which(shell[0]):
        pytest.skip('this machine has no {}.'.format(shell[0]))
    link = tmp_path / 'my launch'
    link.symlink_to(project.model / 'test' / 'train_performance_1p.sh')
    link.resolve().chmod(0o755)
    subprocess.run(shell + [str(link), '--batch_size=8'], cwd=str(tmp_path), check=True,
                   env=dict(project.env, POSIXLY_CORRECT='1'), stdout=subprocess.DEVNULL)
    assert dict(project.result('polygen_bs8_1p_perf'))['ActualLoss'] == '1.5'


@pytest.mark.parametrize('command', ['source "$1" --help', 'bash -s -- --help <"$1"'])
def test_a_script_that_is_no_file_of_its_own_says_so_and_leaves_the_shell_alone(command, project):
    script = str(project.model / 'test' / 'train_full_1p.sh')
    done = subprocess.run(['bash', '-c', command + '; echo "$? $- alive"', 'bash', script],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert done.stdout.startswith('error: start this script as a file: bash FILE')
    assert re.search(r'\n2 [a-zA-Z]+ alive\n$', done.stdout) and 'options.sh' not in done.stdout
    assert 'e' not in done.stdout.split()[-2]       # `set -e` would end the user's own shell


def test_code_that_cannot_be_written_to_leaves_the_log_to_the_output_folder(project, tmp_path):
    (project.model / 'test' / 'output').write_text('stands for a folder without permission')
    code, text = project.launch()
    assert code == 1 and 'give a folder for all: --output_path=' in text
    code, text = project.launch('--output_path=my output', cwd=tmp_path)
    assert code == 0 and 'log and results: {}'.format(tmp_path / 'my output') in text, text
    names = {path.name for path in (tmp_path / 'my output').iterdir()}
    assert {'train_0.log', 'polygen_bs4_1p_acc.log', 'polygen_bs4_1p_acc_loss.txt'} <= names


def test_what_shells_read_is_checked_out_with_their_end_of_line():
    names = [name for name in FILES if name.endswith(('.sh', '.txt'))]
    text = subprocess.run(['git', 'check-attr', 'eol', '--'] + names, cwd=ROOT, check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout
    assert text.splitlines() == [name + ': eol: lf' for name in names]


def test_cann_is_set_up_only_where_that_is_not_done_yet(project, tmp_path):
    script = tmp_path / 'Ascend' / 'ascend-toolkit' / 'set_env.sh'
    script.parent.mkdir(parents=True)
    script.write_text('echo "$UNSET_VARIABLE"; false; export CANN_TEST=1\n')
    assert project.launch()[0] == 0
    assert project.recorded['env']['CANN_TEST'] == '1'
    assert project.launch(ASCEND_OPP_PATH='/opp')[0] == 0
    assert 'CANN_TEST' not in project.recorded['env']


def test_conda_environment_brings_its_own_python(project, tmp_path):
    base = tmp_path / 'conda'
    (base / 'bin').mkdir(parents=True)
    (base / 'etc' / 'profile.d').mkdir(parents=True)
    shutil.copytree(str(tmp_path / 'bin'), str(base / 'envs' / 'tf' / 'bin'))
    (base / 'bin' / 'conda').write_text('#!/bin/bash\necho "{}"\n'.format(base))
    (base / 'bin' / 'conda').chmod(0o755)
    (base / 'etc' / 'profile.d' / 'conda.sh').write_text(
        'conda() {{ [[ $2 == tf ]] && '
        'export RANK_CONDA=$2 PATH="{}/envs/tf/bin:$PATH"; }}\n'.format(base))
    path = '{}:{}'.format(base / 'bin', os.environ['PATH'])
    code, text = project.launch('--conda_name=tf', PATH=path, PYTHON='')
    assert code == 0, text
    assert project.recorded['env']['RANK_CONDA'] == 'tf' and 'conda_name' not in project.options
    code, text = project.launch('--conda_name=other', PATH=path)
    assert code == 1 and 'conda cannot activate it' in text
    code, text = project.launch('--conda_name=tf', PATH='/usr/bin:/bin')
    assert code == 1 and 'there is no conda on PATH' in text


@pytest.mark.skipif(not shutil.which('taskset'), reason='taskset is not installed')
def test_bind_core_keeps_to_an_eighth_of_the_cores(project):
    code, text = project.launch('--bind_core=1')
    assert code == 0, text
    assert project.recorded['cores'] == max(1, len(os.sched_getaffinity(0)) // 8)
    assert 'bind_core' not in project.options


def test_model_test_passes_arguments_and_exit_code_on(project):
    assert project.launch('--seed=1', script='model_test.sh')[0] == 0
    script, *arguments = project.recorded['argv']
    assert os.path.samefile(os.path.dirname(script), str(project.model))
    assert (os.path.basename(script), arguments) == ('model_test.py', ['--seed=1'])
    assert project.launch(script='model_test.sh', STUB_MODE='fail')[0] == 3


def test_launch_scripts_know_exactly_the_options_of_the_training(project):
    parser = launch_tables.parser_of(collection.find('polygen'))
    actions = {action.dest: action for action in parser._actions if action.nargs != 0}
    text = project.launch('--help')[1].split('\n\n')[1]
    known = re.findall(r'^  --([a-z_0-9]+)', text, re.MULTILINE)
    assert set(actions) == set(known) - {'bind_core', 'conda_name'}
    values = {name: 'True' if action.nargs == '?' else '1' for name, action in actions.items()}
    values['data_path'] = str(project.root)
    code, text = project.launch(*['--{}={}'.format(*pair) for pair in values.items()])
    assert code == 0, text
    assert set(project.options) == set(actions)


def test_the_tables_of_options_are_those_of_the_parsers():
    assert launch_tables.stale() == [], 'stale: give python -m common.launch_tables'


@pytest.mark.parametrize('model', collection.MODELS, ids=lambda model: model.name)
def test_every_model_has_what_the_launch_scripts_of_all_models_take(model):
    names = {name[2:] for action in launch_tables.parser_of(model)._actions
             for name in action.option_strings}
    common = {option.name for option in launch_tables.common_options()}
    own = {'bind_core', 'conda_name'} | ({'train_epochs'} if model.name == 'r2n2' else set())
    assert common - own <= names


def test_files_and_folders_of_the_models_count_from_where_the_user_is():
    paths = {option.name for model in collection.MODELS for option in launch_tables.model_options(
        launch_tables.parser_of(model)) if option.kind == 'paths'}
    assert paths >= {'validation_path', 'class_names', 'cfg', 'dataset', 'body', 'mesh_levels'}


def test_the_rows_of_a_parser_tell_kinds_names_and_further_names():
    parser = cli.make_parser('toy')
    parser.add_argument('--rate', '--lr', '--learning_rate', type=float, help='of Adam')
    parser.add_argument('--file', '-f', type=cli.path, help="100 %% of\n  the user's")
    parser.add_argument('--kind', choices=('a', 'b'), help='which')
    parser.add_argument('--out', dest='output_path', default=argparse.SUPPRESS)
    parser.add_argument('--target', dest='device', choices=('Ascend', 'CPU'))
    parser.add_argument('--three', nargs=3)
    parser.add_argument('--set', nargs=argparse.REMAINDER)
    cli.add_flag(parser, '--notes', '--remarks', help='keep them')
    cli.add_run_options(parser, 'output')
    assert launch_tables.model_options(parser) == [
        ('values', 'learning_rate', ['rate', 'lr'], 'of Adam'),
        ('paths', 'file', ['f'], "100 % of the user's"), ('values', 'kind', [], 'a, b: which'),
        ('values', 'output_path', ['out'], ''), ('values', 'target', [], 'Ascend, CPU'),
        ('flags', 'notes', ['remarks'], 'keep them')]


def test_batch_size_of_the_result_is_the_one_that_the_run_settled_on(project):
    project.results.mkdir(parents=True)
    (project.results / 'config.json').write_text('{\n  "a": 1,\n    "batch_size": 16,\n  "c": 2}')
    assert project.launch('--preset=large')[0] == 0
    result = dict(project.result('polygen_bs16_1p_acc'))
    assert (result['BatchSize'], result['ActualFPS']) == ('16', '64.0000')


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
def test_shell_scripts_pass_shellcheck():
    names = ['setup.sh', 'tests/run.sh', '.ci/run', 'common/modelarts/train_1p.sh'] + sorted(
        glob.glob(os.path.join(glob.escape(ROOT), '*', 'test', '*.sh')))
    assert len(names) >= 4 + 3 * 5
    done = subprocess.run(['shellcheck', '-x'] + names, cwd=ROOT, stdout=subprocess.PIPE,
                          universal_newlines=True)
    assert done.returncode == 0, done.stdout

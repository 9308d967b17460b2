"""ModelArts jobs, rehearsed with folders for buckets and a toy in place of the training."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import boot_modelarts
import help_modelarts
from common import errors, files
from common.device import rank_table

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAKE = os.path.join(ROOT, 'tests', 'common', 'fake_obs')
ECHO = '''
import json, os, sys
print('arguments ' + json.dumps(sys.argv[1:]))
output = [a.split('=', 1)[1] for a in sys.argv if a.startswith('--output_path=')][0]
os.makedirs(os.path.join(output, 'checkpoints'), exist_ok=True)
open(os.path.join(output, 'checkpoints', 'model-1.index'), 'w').close()
open(os.path.join(output, '.lock'), 'w').close()
print('to stderr', file=sys.stderr)
sys.exit(int(os.environ.get('ECHO_CODE', '0')))
'''


class Job:
    """A project with two scripts in the place of VSL's, buckets, and the machine's own folders."""

    def __init__(self, tmp_path):
        self.root = tmp_path / 'the project'
        (self.root / 'vsl' / 'toy').mkdir(parents=True)
        for name in ('boot_modelarts.py', 'help_modelarts.py'):
            shutil.copy(os.path.join(ROOT, name), str(self.root / name))
        os.symlink(os.path.join(ROOT, 'common'), str(self.root / 'common'))
        shutil.copy(os.path.join(ROOT, 'tests', 'common', 'toy_training.py'),
                    str(self.root / 'vsl' / 'toy' / 'train.py'))
        (self.root / 'vsl' / 'vsl_main.py').write_text(ECHO)
        (self.root / 'vsl' / 'vsl_imrec.py').write_text(ECHO)
        self.buckets = tmp_path / 'buckets'
        self.data = self.buckets / 'b' / 'data set'
        self.data.mkdir(parents=True)
        (self.data / 'scale.txt').write_text('2.0')
        self.out = self.buckets / 'b' / 'out'
        self.cache = tmp_path / 'cache'
        self.elsewhere = tmp_path / 'elsewhere'
        self.elsewhere.mkdir()
        self.env = dict(os.environ, PORT_OBS_ROOT=str(self.buckets), TMPDIR=str(tmp_path),
                        MY_SECRET_TOKEN='hunter2hunter2', PYTHONWARNINGS='ignore')

    def start(self, *arguments, **env):
        """Starts the boot script as ModelArts does, from another folder."""
        command = [sys.executable, str(self.root / 'boot_modelarts.py'), '--model=vsl',
                   '--data_url=obs://b/data set', '--train_url=obs://b/out',
                   '--modelarts_data_dir=' + str(self.cache / 'data'),
                   '--modelarts_result_dir=' + str(self.cache / 'result')] + list(arguments)
        return subprocess.Popen(command, cwd=str(self.elsewhere), env=dict(self.env, **env),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                universal_newlines=True)

    def run(self, *arguments, **env):
        """Runs it to its end; returns exit code and output."""
        process = self.start(*arguments, **env)
        text = process.communicate()[0]
        assert 'hunter2' not in text
        return process.returncode, text

    def wait_for(self, pattern):
        """Waits until a file of train_url matches."""
        for _ in range(600):
            if list(self.out.glob(pattern)):
                return
            time.sleep(0.1)
        raise AssertionError('no {} in {}'.format(pattern, list(self.out.rglob('*'))))


@pytest.fixture
def job(tmp_path):
    """A fresh `Job`."""
    return Job(tmp_path)


def arguments_of(text):
    return json.loads(re.search('arguments (.*)', text).group(1))


@pytest.mark.parametrize('arguments, script', [
    ((), 'vsl_main.py'), (('--script=vsl_imrec.py',), 'vsl_imrec.py'),
    (('--entry', 'vsl_imrec.py', '--num_gpus=1'), 'vsl_imrec.py')])
def test_the_readme_of_the_seed_chooses_the_script_by_an_option(arguments, script, job):
    odd = "--class=a b'c;d$(e)"
    code, text = job.run('--batch_size=40', odd, '--local_latent_num', '3', *arguments)
    assert code == 0, text
    assert '{} ended with exit code 0'.format(script) in text
    assert arguments_of(text) == [
        '--batch_size=40', odd, '--local_latent_num', '3',
        '--output_path=' + str(job.cache / 'result'), '--data_path=' + str(job.cache / 'data')]
    assert sorted(path.name for path in job.out.rglob('*')) == [
        'checkpoints', 'model-1.index', 'train_0.log']
    assert (job.cache / 'data' / 'scale.txt').read_text() == '2.0'


def test_debug_is_for_the_script_too(job):
    code, text = job.run('--debug', '--data_url=file://' + str(job.data).replace(' ', '%20'))
    assert code == 0 and arguments_of(text)[-1] == '--debug'


def test_a_failing_script_gives_its_status_and_its_log(job):
    code, text = job.run(ECHO_CODE='3')
    assert code == 3 and 'to stderr' in text and 'ended with exit code 3' in text
    assert 'to stderr' in (job.out / 'train_0.log').read_text()
    assert (job.out / 'checkpoints' / 'model-1.index').exists()


@pytest.mark.parametrize('option, message', [
    ('--trainin_steps=5', 'unknown option --trainin_steps; did you mean --training_steps?'),
    ('--learning_rate=-1', 'argument --learning_rate: must be a number above 0')])
def test_a_wrong_option_of_the_script_is_refused_before_anything_is_copied(option, message, job):
    code, text = job.run('--script=toy/train.py', option)
    assert code == 2 and message in text
    assert not job.cache.exists() and not job.out.exists()


def test_missing_data_is_told_before_anything_runs(job):
    shutil.rmtree(str(job.data))
    code, text = job.run()
    assert code == 1 and 'data set does not exist' in text and 'arguments' not in text


def test_secrets_among_the_options_are_not_printed(job):
    code, text = job.run('--access_key=hunter2hunter2', '--script=toy/train.py')
    assert code == 2 and 'unknown option --access_key' in text
    (job.root / 'vsl' / 'vsl_main.py').write_text('print("done")')
    code, text = job.run('--access_key=hunter2hunter2')
    assert code == 0 and '--access_key=***' in text


@pytest.mark.parametrize('arguments, code, message', [
    (['--data_path=x'], 2, '--data_path is set from --data_url'),
    (['--script=../secret.py'], 2, '--script must be a Python file in the folder vsl'),
    (['--script=none.py'], 1, 'has no script none.py'),
    (['--data_url=http://host/x'], 1, 'scheme obs, s3 or file')])
def test_wrong_options_of_its_own_are_refused(arguments, code, message, tmp_path, monkeypatch,
                                              capsys):
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        exit_code = boot_modelarts.main(['--model=vsl'] + arguments)
    except SystemExit as error:
        exit_code = error.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert exit_code == code and message in capsys.readouterr().err


def test_plain_folders_are_used_as_they_lie_and_urls_get_a_folder_each(tmp_path):
    folder = boot_modelarts._working_folder
    assert folder(str(tmp_path), '', 'result') == str(tmp_path)
    assert folder('obs://b/x', 'mine', 'result') == os.path.abspath('mine')
    first, second = folder('obs://b/x', '', 'result'), folder('obs://b/y', '', 'result')
    assert first != second and re.match('result-[0-9a-f]{8}$', os.path.basename(first))


def test_other_processes_of_a_machine_wait_for_the_first(job):
    second = job.start(ASCEND_DEVICE_ID='1', RANK_ID='1', RANK_SIZE='2')
    time.sleep(1.5)
    assert second.poll() is None and not (job.cache / 'data').exists()
    code, _ = job.run(RANK_SIZE='2')
    text = second.communicate()[0]
    assert code == 0 and second.returncode == 0 and 'copied 1 file' in text
    assert 'to stderr' in (job.out / 'train_1.log').read_text()     # each brings its own log


@pytest.mark.parametrize('device', ['0', '4'])     # the logical number, or the physical one
def test_the_lowest_rank_of_a_machine_brings_the_data(device, job):
    path = job.elsewhere / 'table.json'
    files.write_json(str(path), rank_table.make([('a', {0: '10.0.0.1', 1: '10.0.0.2'}),
                                                 ('b', {4: '10.0.0.3', 5: '10.0.0.4'})]))
    code, text = job.run(RANK_TABLE_FILE=str(path), RANK_SIZE='4', RANK_ID='2',
                         ASCEND_DEVICE_ID=device)
    assert code == 0 and (job.cache / 'data' / 'scale.txt').exists(), text
    # That of rank 0 is on another machine and brings the results.
    assert [path.name for path in job.out.iterdir()] == ['train_2.log']


def test_both_ranks_of_a_table_of_physical_devices_run(job):
    table = os.path.join(ROOT, 'tests', 'field_cases', 'rank', 'mindx_physical.json')
    second = job.start(RANK_TABLE_FILE=table, RANK_SIZE='2', RANK_ID='1', ASCEND_DEVICE_ID='1')
    code, text = job.run(RANK_TABLE_FILE=table, RANK_SIZE='2', RANK_ID='0', ASCEND_DEVICE_ID='0')
    assert code == 0, text
    text = second.communicate(timeout=30)[0]
    assert second.returncode == 0, text


def test_who_is_waited_for_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(boot_modelarts, '_PATIENCE', 60)
    now = [0.0]
    monkeypatch.setattr(boot_modelarts.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(boot_modelarts.time, 'sleep', lambda seconds: now.append(
        now.pop() + 10 * seconds))
    with pytest.raises(errors.InputError, match='has not brought the data within 60 s'):
        boot_modelarts._wait_for(str(tmp_path / 'marker'))
    assert capsys.readouterr().out.count('waiting for the first process of this machine') == 2


def test_other_processes_end_when_the_first_could_not_bring_the_data(job):
    shutil.rmtree(str(job.data))
    second = job.start(ASCEND_DEVICE_ID='1', RANK_ID='1', RANK_SIZE='2')
    time.sleep(1.5)
    assert job.run(RANK_SIZE='2')[0] == 1
    text = second.communicate(timeout=30)[0]
    assert second.returncode == 1 and 'could not bring the data' in text


@pytest.mark.parametrize('size', ['', '0', '1'])
def test_a_process_alone_waits_for_nobody_whatever_its_device(size, job):
    code, text = job.run(ASCEND_DEVICE_ID='3', RANK_ID='', RANK_SIZE=size)
    assert code == 0 and (job.out / 'train_0.log').exists(), text


def test_a_script_whose_log_cannot_be_written_still_comes_to_its_end(job):
    (job.cache / 'result').mkdir(parents=True)
    os.symlink('/dev/full', str(job.cache / 'result' / 'train_0.log'))
    (job.root / 'vsl' / 'vsl_main.py').write_text('print("a line of output\\n" * 20000)')
    process = job.start()
    text = process.communicate(timeout=60)[0]
    assert 'note: the log has gaps' in text and 'vsl_main.py ended with exit code 0' in text
    text = re.sub('note: the log has gaps.*\n', '', text)     # it may stand within a line
    assert text.count('a line of output') == 20000


def test_what_the_script_leaves_behind_does_not_hold_the_job_up(job):
    (job.root / 'vsl' / 'vsl_main.py').write_text(
        'import subprocess, sys\n'
        'left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])\n'
        'print("left", left.pid)\n')
    text = job.start().communicate(timeout=90)[0]
    assert 'ended with exit code 0' in text and 'copied' in text
    stat = '/proc/{}/stat'.format(re.search('left (.*)', text).group(1))
    for _ in range(100):
        if not os.path.exists(stat):
            return
        with open(stat) as stream:
            if stream.read().split()[2] in 'ZX':    # ended; nobody has asked for its exit code
                return
        time.sleep(0.1)
    raise AssertionError('it runs on')


def job_of(tmp_path):
    return boot_modelarts._Job(boot_modelarts.parse_args([
        '--model=vsl', '--upload_every=0.1', '--modelarts_result_dir=' + str(tmp_path)]))


def test_no_failure_of_a_copy_ends_the_training(tmp_path, monkeypatch, capsys):
    calls = []

    def fail(options, known, skip, patience):
        calls.append(known)
        raise MemoryError('cannot fork')

    monkeypatch.setattr(help_modelarts, 'modelarts2obs', fail)
    code = job_of(tmp_path).run([sys.executable, '-c', 'import time; time.sleep(2.5)'])
    assert code == 1 and len(calls) >= 2
    assert 'MemoryError: cannot fork. The results stay in' in capsys.readouterr().err


def test_a_stop_signal_ends_a_copy_that_hangs(tmp_path, monkeypatch):
    job, calls = job_of(tmp_path), []
    handler = signal.signal(signal.SIGTERM, job.on_signal)

    def hang(options, known, skip, patience):
        calls.append(time.monotonic())
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)

    monkeypatch.setattr(help_modelarts, 'modelarts2obs', hang)
    try:
        code = job.run([sys.executable, '-c', 'import time; time.sleep(60)'])
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert code == 143 and len(calls) == 2 and calls[1] - calls[0] < 10


def test_results_that_could_not_be_brought_out_are_not_lost_at_the_next_start(job):
    older = {'checkpoints/checkpoint': 'older', 'checkpoints/model-5.index': '5', 'new.txt': 'new'}
    newer = {'checkpoints/checkpoint': 'newer', 'checkpoints/model-5.index': '5',
             'checkpoints/model-9.index': '9'}
    for folder, names in ((job.out, older), (job.cache / 'result', newer)):
        (folder / 'checkpoints').mkdir(parents=True)
        for name, text in names.items():
            (folder / name).write_text(text)
    code, text = job.run()
    assert code == 0 and 'is ahead of obs://b/out' in text, text
    for folder in (job.out, job.cache / 'result'):
        assert (folder / 'checkpoints' / 'checkpoint').read_text() == 'newer'
        assert (folder / 'checkpoints' / 'model-9.index').read_text() == '9'
        assert (folder / 'new.txt').read_text() == 'new'


def test_what_came_from_the_storage_is_not_copied_back(job):
    assert job.run()[0] == 0
    (job.out / 'old.txt').write_text('old')
    shutil.rmtree(str(job.cache))
    os.utime(str(job.out / 'old.txt'), (1, 1))
    code, text = job.run('--train_url=obs://b/out/')
    assert code == 0 and (job.cache / 'result' / 'old.txt').read_text() == 'old', text
    assert (job.out / 'old.txt').stat().st_mtime == 1
    assert (job.out / 'train_0.log').read_text().count('to stderr') == 2


def test_a_closed_terminal_counts_as_a_stop(job):
    process = job.start('--step_seconds=0.1', *TOY)
    job.wait_for('checkpoints/model-*.index')
    process.send_signal(signal.SIGHUP)
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 143 and 'stopped by SIGTERM at step' in text


@pytest.mark.parametrize('here, there, ahead', [
    (['c/model-9.index'], ['c/model-5.index'], True), (['c/model-9.index'], [], True),
    (['c/model-5.index'], ['c/model-9.index'], False), (['c/model-5.index'], ['log'], True),
    (['c/model-5.index'], ['c/best-5.index'], False), ([], ['c/model-5.index'], False),
    (['a/m-9.index', 'b/m-1.index'], ['a/m-5.index', 'b/m-2.index'], False),
    (['a/m-9.index', 'b/m-1.index'], ['a/m-5.index'], True)])
def test_the_place_of_later_steps_is_ahead(here, there, ahead):
    assert boot_modelarts._is_ahead(here, there) == ahead


def test_results_of_another_job_are_not_gone_on_from(job):
    assert job.run()[0] == 0
    code, text = job.run('--train_url=obs://b/other')
    assert code == 1 and 'holds the results of another --train_url' in text
    assert not (job.buckets / 'b' / 'other').exists()
    assert job.run()[0] == 0


def test_results_that_cannot_be_brought_out_are_an_error_of_their_own(job):
    (job.buckets / 'b' / 'out').write_text('a file where the folder should be')
    code, text = job.run('--train_url=file://' + str(job.out) + '/below')
    assert code == 1 and 'The results stay in ' + str(job.cache / 'result') in text
    assert (job.cache / 'result' / 'checkpoints' / 'model-1.index').exists()


TOY = ['--script=toy/train.py', '--training_steps=60', '--device=cpu', '--threads=1',
       '--save_every=5', '--report_every=5', '--upload_every=0.2']


def variables(folder):
    """Gives step and {name: array} of the newest checkpoint of a results folder."""
    prefix = tf.train.latest_checkpoint(str(folder / 'checkpoints'))
    reader = tf.train.load_checkpoint(prefix)
    return os.path.basename(prefix), {name: reader.get_tensor(name)
                                      for name in reader.get_variable_to_shape_map()}


def check_variables(place, other, checkpoint, **tolerance):
    """The newest checkpoints of two folders have this name and the same values."""
    name, values = variables(place)
    expected_name, expected = variables(other)
    assert name == expected_name == checkpoint and values.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(values[key], value, err_msg=key, **tolerance)


@pytest.mark.parametrize('number', [
    signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_job_that_was_stopped_goes_on_and_ends_as_one_that_was_not(number, job):
    first = job.start('--step_seconds=0.1', *TOY)
    job.wait_for('checkpoints/model-1*.index')
    if number == signal.SIGKILL:  # a machine that is gone: every process, and its disk
        training = int((job.cache / 'result' / '.lock').read_text())
        first.kill()
        os.kill(training, number)
        first.communicate()
    else:
        first.send_signal(number)
        text = first.communicate()[0]
        assert first.returncode == 143, text
        assert 'stopped by SIGTERM at step' in text
    shutil.rmtree(str(job.cache))
    code, text = job.run(*TOY)
    assert code == 0 and 'goes on from step' in text, text

    assert job.run('--train_url=obs://b/whole',
                   '--modelarts_result_dir=' + str(job.cache / 'whole'), *TOY)[0] == 0
    check_variables(job.out, job.buckets / 'b' / 'whole', 'model-60', rtol=0)
    for folder in (job.out, job.buckets / 'b' / 'whole'):
        rows = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
        assert [row['step'] for row in rows] == list(range(5, 65, 5))
        assert not [path for path in folder.rglob('*') if path.name.startswith('.lock')]


@pytest.mark.parametrize('table', [
    'mindx_physical', pytest.param('template2', marks=pytest.mark.slow),
    pytest.param('good_bom', marks=pytest.mark.slow)])
def test_two_ranks_of_a_table_of_the_field_train_as_one_process(table, job):
    exchange = job.elsewhere / 'exchange'
    exchange.mkdir()
    # Each exchange of the double holds a thread while it waits.
    options = ['--script=toy/train.py', '--training_steps=4', '--device=npu', '--threads=16',
               '--peer_timeout=200']
    shared = dict(
        RANK_SIZE='2', RANK_TABLE_FILE=os.path.join(ROOT, 'tests', 'field_cases', 'rank',
                                                    table + '.json'),
        PYTHONPATH=os.pathsep.join([os.path.join(ROOT, 'tests', 'common', 'fake_npu'), ROOT]),
        FAKE_EXCHANGE=str(exchange))
    second = job.start(*options, RANK_ID='1', ASCEND_DEVICE_ID='1', **shared)
    code, text = job.run(*options, RANK_ID='0', ASCEND_DEVICE_ID='0', **shared)
    other = second.communicate(timeout=200)[0]
    assert code == 0 and second.returncode == 0, text + other
    assert 'done: step 4' in text and 'done: step' not in other
    if table == 'mindx_physical':
        assert 'rank 1 is the physical device 5 in ' in other
    alone = [one for one in options if one != '--device=npu'] + ['--device=cpu']
    assert job.run('--train_url=obs://b/alone',
                   '--modelarts_result_dir=' + str(job.cache / 'alone'), *alone)[0] == 0
    check_variables(job.out, job.buckets / 'b' / 'alone', 'model-4', rtol=1e-4, atol=1e-6)


def test_help_modelarts_brings_data_and_results_as_functions_and_as_a_command(
        job, monkeypatch, capsys):
    monkeypatch.setenv('PORT_OBS_ROOT', str(job.buckets))
    config = boot_modelarts.parse_args([
        '--model=vsl', '--data_url=obs://b/data set', '--train_url=obs://b/out',
        '--modelarts_data_dir=' + str(job.cache / 'data'),
        '--modelarts_result_dir=' + str(job.cache / 'data')])
    assert help_modelarts.obs_data2modelarts(config).files == 1
    assert help_modelarts.modelarts2obs(config).files == 1
    assert (job.out / 'scale.txt').read_text() == '2.0'
    assert help_modelarts.main(['data', '--data_url=obs://b/out', '--modelarts_data_dir',
                                str(job.elsewhere)]) == 0
    assert (job.elsewhere / 'scale.txt').exists()
    assert help_modelarts.main(['results', '--train_url=obs://b/c', '--modelarts_result_dir',
                                str(job.elsewhere / 'none')]) == 1
    assert 'does not exist' in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        help_modelarts.main(['results', '--train_url=obs://b/c'])
    assert caught.value.code == 2


@pytest.mark.parametrize('name, unfinished', [
    ('checkpoints/model-1.index', False), ('.lock', True), ('checkpoints/.model-1.x.json', True),
    ('checkpoints/model-1.data-00000-of-00001.tempstate123', True),
    ('checkpoints/model-1_temp_0a/part-00000-of-00001.index', True),
    ('samples/room_temp_3.obj', False), ('eval/notes.tempstates.txt', False)])
def test_what_a_run_has_not_finished_stays_behind(name, unfinished):
    assert help_modelarts.is_unfinished(name) == unfinished


@pytest.mark.parametrize('fault', ['every_other', 'half'])
@pytest.mark.slow
def test_a_job_with_storage_that_fails_half_its_calls_succeeds(fault, job):
    log = job.elsewhere / 'calls'
    log.write_text('')
    job.env.pop('PORT_OBS_ROOT')
    code, text = job.run(PYTHONPATH=FAKE, FAKE_OBS_ROOT=str(job.buckets), FAKE_OBS_LOG=str(log),
                         FAKE_OBS_FAULT=fault)
    assert code == 0, text
    assert (job.out / 'checkpoints' / 'model-1.index').exists()


def test_storage_that_hangs_ends_the_job_with_a_message(job):
    log = job.elsewhere / 'calls'
    log.write_text('')
    job.env.pop('PORT_OBS_ROOT')
    code, text = job.run('--obs_timeout=1', '--obs_attempts=1', PYTHONPATH=FAKE,
                         FAKE_OBS_ROOT=str(job.buckets), FAKE_OBS_LOG=str(log),
                         FAKE_OBS_FAULT='hang')
    assert code == 1 and 'no sign of life' in text


def test_a_link_out_of_the_results_does_not_keep_the_others_back(job):
    config = boot_modelarts.parse_args(['--model=vsl', '--train_url=' + str(job.out),
                                        '--modelarts_result_dir=' + str(job.data)])
    os.symlink('/etc/hostname', str(job.data / 'link'))
    with pytest.raises(errors.InputError, match="lead out of the folder: link"):
        help_modelarts.modelarts2obs(config)
    assert (job.out / 'scale.txt').exists() and not (job.out / 'link').exists()

"""Tests of common/training/runs.py."""
import errno
import json
import multiprocessing.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import common
from common import cli, errors
from common.readers import text
from common.training import checkpoints, launch, records, reporting, runs
from tests.common import toy_training

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def train_with(parsed):
    """Trains the toy in this process; returns {step: loss}."""
    settled = cli.settled(parsed)
    return toy_training.train(settled, launch.settle(settled, 'cpu'))


def options(folder, **changes):
    """Gives the options of the toy for a folder; single-threaded, on the CPU."""
    values = dict({'device': 'cpu', 'threads': 1, 'save_every': 3, 'report_every': 1}, **changes)
    return toy_training.parse_args(['--output_path={}'.format(folder)] + [
        '--{}={}'.format(name, value) for name, value in values.items()])


def train(folder, steps, **changes):
    """Trains the toy in a fresh graph; returns {step: loss} of this process."""
    tf.reset_default_graph()
    return train_with(options(folder, training_steps=steps, **changes))


def start(parsed, **arguments):
    """Opens a run with options of the toy."""
    settled = cli.settled(parsed)
    return runs.start(settled, launch.settle(settled, 'cpu'), **arguments)


def start_process(folder, steps, *arguments):
    return subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-m', 'tests.common.toy_training', '--device=cpu',
         '--threads=1', '--report_every=1', '--output_path={}'.format(folder),
         '--training_steps={}'.format(steps)] + list(arguments),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)


def wait_for(process, text):
    """Reads the lines of a process up to the one that has a text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError('ended without "{}": {} {}'.format(text, lines, process.stderr.read()))


def saved(folder, stem='model'):
    return [checkpoints.step_of(prefix)
            for prefix in checkpoints.in_folder(str(folder / 'checkpoints'), stem)]


def arrays(folder, step):
    return checkpoints.read(str(folder / 'checkpoints' / 'model-{}'.format(step)))


def assert_same_arrays(left, right):
    assert sorted(left) == sorted(right) and len(left) > 10
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_resumed_run_equals_the_unbroken_one_to_the_last_bit(tmp_path):
    whole = train(tmp_path / 'whole', 12)
    first = train(tmp_path / 'parts', 5)
    second = train(tmp_path / 'parts', 12)
    assert sorted(first) == [1, 2, 3, 4, 5] and sorted(second) == list(range(6, 13))
    assert {**first, **second} == whole
    assert_same_arrays(arrays(tmp_path / 'whole', 12), arrays(tmp_path / 'parts', 12))
    assert arrays(tmp_path / 'parts', 12)['global_step'] == 12


def test_the_same_seed_gives_the_same_losses_and_another_one_others(tmp_path):
    losses = [train(tmp_path / str(number), 3, seed=seed)
              for number, seed in enumerate((0, 0, 1))]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_metrics_of_a_run_that_was_cut_off_equal_those_of_the_unbroken_one(tmp_path):
    train(tmp_path / 'whole', 9)
    train(tmp_path / 'parts', 5)
    checkpoints.remove(str(tmp_path / 'parts' / 'checkpoints' / 'model-5'))
    (tmp_path / 'parts' / 'checkpoints' / 'checkpoint').write_text(
        'model_checkpoint_path: "model-3"\n')  # as if killed between steps 3 and 6
    train(tmp_path / 'parts', 9)
    rows = [[(row['step'], row['loss_toy']) for row in records.read_metrics(
        str(tmp_path / name / 'metrics.jsonl'))] for name in ('whole', 'parts')]
    assert rows[0] == rows[1] and [step for step, _ in rows[0]] == list(range(1, 10))


def first_steps(folder):
    return {row['step']: row['loss_toy']
            for row in records.read_metrics(str(folder / records.FIRST))}


def test_losses_of_the_first_ten_steps_are_kept_whatever_is_reported(tmp_path):
    losses = train(tmp_path / 'whole', 12, report_every=5)
    assert first_steps(tmp_path / 'whole') == {step: losses[step] for step in range(1, 11)}
    train(tmp_path / 'parts', 5)
    checkpoints.remove(str(tmp_path / 'parts' / 'checkpoints' / 'model-5'))
    (tmp_path / 'parts' / 'checkpoints' / 'checkpoint').write_text(
        'model_checkpoint_path: "model-3"\n')  # as if killed between steps 5 and 6
    train(tmp_path / 'parts', 12)
    paths = [tmp_path / name / records.FIRST for name in ('whole', 'parts')]
    assert paths[0].read_text() == paths[1].read_text()


def test_the_folder_holds_what_was_promised(tmp_path, capsys):
    train(tmp_path / 'out', 7)
    assert {'checkpoints', 'samples', 'eval', 'config.json', 'metrics.jsonl'} <= set(
        os.listdir(str(tmp_path / 'out')))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ('toy; 41 parameters; cpu (float32); output in {}; starts at step 0'
                        .format(tmp_path / 'out'))
    assert re.match(r'step 7/7  100\.0%  loss_toy \d\.\d{4}  \d+\.\d{3} s/step  eta 0s$', lines[7])
    assert lines[8].startswith('StepTime: ') and lines[9].startswith('Loss (toy): ')
    assert lines[-1] == 'done: step 7, results in {}'.format(tmp_path / 'out')


def test_a_run_that_is_done_says_so_and_changes_nothing(tmp_path, capsys):
    train(tmp_path, 4)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / 'checkpoints').iterdir()}
    capsys.readouterr()
    assert train(tmp_path, 4) == {} and train(tmp_path, 2) == {}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('goes on from step 4')
    assert lines[1] == 'nothing to do: step 4 of 4 is done already; results in {}'.format(tmp_path)
    assert before == {path.name: path.stat().st_mtime_ns
                      for path in (tmp_path / 'checkpoints').iterdir()}


def test_the_newest_checkpoints_are_kept_with_their_state(tmp_path):
    train(tmp_path, 10, save_every=2, keep_checkpoints=2)
    assert saved(tmp_path) == [8, 10]
    train(tmp_path, 13, save_every=2, keep_checkpoints=3)
    assert saved(tmp_path) == [10, 12, 13]
    states = sorted(path.name for path in (tmp_path / 'checkpoints').glob('*.state.json'))
    assert states == ['model-{}.state.json'.format(step) for step in (10, 12, 13)]


def test_a_moved_folder_goes_on_also_under_an_odd_name(tmp_path):
    train(tmp_path / 'a', 4)
    odd = tmp_path / 'it\'s "b"; \u00e9 {1}'
    shutil.move(str(tmp_path / 'a'), str(odd))
    assert sorted(train(odd, 6)) == [5, 6]


@pytest.mark.parametrize('name', ['b [1]', 'what?', 'all*'])
def test_a_name_that_tensorflow_would_take_for_a_pattern_is_refused(tmp_path, name):
    with pytest.raises(errors.InputError, match='--output_path'):
        train(tmp_path / name, 1)
    assert not (tmp_path / name).exists()


def test_state_comes_back_with_the_checkpoint(tmp_path):
    def steps(total):
        tf.reset_default_graph()
        tf.get_variable('v', [])
        with start(options(tmp_path), state={'seen': [], 'epoch': 1}) as run:
            before = dict(run.state)
            for step in run.steps(total):
                run.state['seen'] = run.state['seen'] + [step]
                run.report(step, loss=0.0)
        return before

    assert steps(2) == {'seen': [], 'epoch': 1}
    assert steps(4) == {'seen': [1, 2], 'epoch': 1}
    assert text.read_json(str(tmp_path / 'checkpoints' / 'model-4.state.json')) == {
        'seen': [1, 2, 3, 4], 'epoch': 1, 'step': 4}


def test_the_best_checkpoint_is_the_lowest_of_all_parts_of_a_run(tmp_path):
    def steps(values):
        tf.reset_default_graph()
        variable = tf.get_variable('v', [], initializer=tf.zeros_initializer())
        add = variable.assign_add(1.0)
        done = []
        with start(options(tmp_path)) as run:
            for step in run.steps(run.start_step + len(values)):
                run.sess.run(add)
                run.report(step, loss=0.0)
                done.append(run.save_best(step, values[step - run.start_step - 1]))
        return done

    assert steps([float('nan'), 3.0, 5.0, 2.0]) == [False, True, False, True]
    assert saved(tmp_path, 'best') == [4]
    assert steps([2.5, 2.0, 1.0]) == [False, False, True]
    assert saved(tmp_path, 'best') == [7]
    assert checkpoints.read(str(tmp_path / 'checkpoints' / 'best-7'))['v'] == 7.0
    assert checkpoints.latest(str(tmp_path)).endswith('model-7')


def test_a_loss_that_is_not_finite_ends_the_run_and_spoils_no_checkpoint(tmp_path):
    with pytest.raises(errors.NonFiniteLossError, match='loss_toy is nan at step 8.*model-6'):
        train(tmp_path, 12, nan_at=8)
    assert saved(tmp_path) == [3, 6]
    assert sorted(train(tmp_path, 7)) == [7]
    assert all(np.isfinite(values).all() for values in arrays(tmp_path, 7).values())


def test_variables_that_are_not_finite_are_never_saved(tmp_path):
    variable = tf.get_variable('v', [2], initializer=tf.zeros_initializer())
    with pytest.raises(errors.NonFiniteLossError, match='variable v holds.*step 4.*model-3'):
        with start(options(tmp_path, save_every=1)) as run:
            for step in run.steps(9):
                run.sess.run(variable.assign([1.0, np.inf if step == 4 else step]))
                run.report(step, loss=1.0)
    assert saved(tmp_path) == [1, 2, 3]


def test_an_error_in_a_step_saves_nothing_more(tmp_path):
    tf.get_variable('v', [])
    with pytest.raises(ZeroDivisionError):
        with start(options(tmp_path, save_every=2)) as run:
            for step in run.steps(9):
                run.report(step, loss=1.0)
                assert step < 4 or 1 / 0
    assert saved(tmp_path) == [2]


def test_leaving_the_loop_early_saves_the_last_step(tmp_path):
    tf.get_variable('v', [])
    with start(options(tmp_path, save_every=100)) as run:
        for step in run.steps(9):
            run.report(step, loss=1.0)
            if step == 4:
                break
    assert saved(tmp_path) == [4]


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_after_a_checkpoint_and_the_run_goes_on_from_there(
        tmp_path, number, code):
    process = start_process(tmp_path, 500, '--step_seconds=0.05')
    wait_for(process, 'step 3/500')
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    step = saved(tmp_path)[-1]
    assert 3 <= step < 100
    assert 'stopped by {} at step {}'.format(number.name, step) in err
    assert 'Traceback' not in err and 'done' not in out
    whole = train(tmp_path / 'whole', step + 2)
    assert train(tmp_path, step + 2) == {step + 1: whole[step + 1], step + 2: whole[step + 2]}


def test_a_signal_during_a_save_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    write = tf.train.Saver.save

    def interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return write(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(runs.Interrupted) as caught:
        patch.setattr(tf.train.Saver, 'save', interrupted)
        train(tmp_path, 9, save_every=3)
    assert caught.value.exit_code == 143 and saved(tmp_path) == [3, 4]
    whole = train(tmp_path / 'whole', 5, save_every=3)
    assert train(tmp_path, 5) == {5: whole[5]}
    assert_same_arrays(arrays(tmp_path, 3), arrays(tmp_path / 'whole', 3))


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    process = start_process(tmp_path, 5, '--step_seconds=30')
    wait_for(process, 'starts at step 0')
    wait = 'import time; time.sleep(1)'  # the step sleeps by now
    subprocess.check_call([sys.executable, '-c', wait])
    process.send_signal(signal.SIGINT)
    assert 'stopping after this step' in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert saved(tmp_path) == []


def test_a_signal_behind_the_loop_stops_at_once_and_handlers_come_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    tf.get_variable('v', [])
    with pytest.raises(runs.Interrupted) as caught:
        with start(options(tmp_path)) as run:
            for step in run.steps(2):
                run.report(step, loss=1.0)
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError('went on after the signal')
    assert caught.value.exit_code == 143
    assert saved(tmp_path) == [2]
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


@pytest.mark.parametrize('place', ['__del__', 'Finalize'])
def test_a_signal_within_a_finalizer_is_not_lost(tmp_path, place):
    """Python prints and drops an exception there; a finalizer of worker processes showed it."""
    class Value:
        def __del__(self):
            if place == '__del__':
                end()

    def end():
        os.kill(os.getpid(), signal.SIGTERM)
        return len(str(place))      # the handler runs between two lines of Python

    tf.get_variable('v', [])
    with pytest.raises(runs.Interrupted) as caught:
        with start(options(tmp_path)) as run:
            for step in run.steps(2):
                run.report(step, loss=1.0)
            value = Value()
            if place == 'Finalize':
                multiprocessing.util.Finalize(value, end)
            del value
            time.sleep(5)
            raise AssertionError('went on after the signal')
    assert caught.value.exit_code == 143 and saved(tmp_path) == [2]


def test_a_signal_whose_exception_is_held_up_ends_a_run(tmp_path, monkeypatch):
    """TensorFlow's lock of a graph waits for itself where a signal comes while it is taken."""
    def stop(owner, number, frame):
        raise SystemExit(128 + number)

    monkeypatch.setattr(cli, '_AT_LAST', 0.2)
    monkeypatch.setattr(cli, '_stop', stop)
    tf.get_variable('v', [])
    lock = threading.Lock()
    lock.acquire()
    with pytest.raises(SystemExit) as caught:
        with start(options(tmp_path)):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                assert lock.acquire(timeout=10), 'nothing ended it'
    assert caught.value.code == 143
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    process = start_process(tmp_path, 500, '--step_seconds=0.02', '--save_every=4')
    wait_for(process, 'step 10/500')
    process.kill()
    process.communicate()
    step = saved(tmp_path)[-1]
    assert step >= 8 and step % 4 == 0
    whole = train(tmp_path / 'whole', step + 1)
    assert train(tmp_path, step + 1) == {step + 1: whole[step + 1]}


def test_the_exit_code_of_a_loss_that_is_not_finite_is_3(tmp_path):
    process = start_process(tmp_path, 9, '--nan_at=5', '--save_every=2')
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert err.count('\n') == 1 and 'loss_toy is nan at step 5' in err and 'model-4' in err


@pytest.mark.parametrize('ending', ['.index', '.data-00000-of-00001'])
def test_a_damaged_newest_checkpoint_is_named_beside_those_to_choose(tmp_path, ending):
    train(tmp_path, 6)
    path = str(tmp_path / 'checkpoints' / 'model-6') + ending
    with open(path, 'r+b') as stream:
        stream.truncate(os.path.getsize(path) // 2)
    older = str(tmp_path / 'checkpoints' / 'model-3')
    with pytest.raises(errors.InputError, match='model-6.*--checkpoint: .*model-3'):
        train(tmp_path, 9)
    assert sorted(train(tmp_path, 5, checkpoint=older)) == [4, 5]
    assert sorted(train(tmp_path, 9)) == [6, 7, 8, 9]


@pytest.mark.parametrize('ending', ['.index', '.data-00000-of-00001'])
def test_a_run_whose_newest_checkpoint_lost_a_file_goes_on_from_the_one_before(
        tmp_path, ending, capsys):
    whole = train(tmp_path, 6)
    os.remove(str(tmp_path / 'checkpoints' / 'model-6') + ending)
    capsys.readouterr()
    again = train(tmp_path, 7)
    out = capsys.readouterr().out
    assert 'note: model-6 has lost a file; going on from {}'.format(
        tmp_path / 'checkpoints' / 'model-3') in out
    assert sorted(again) == [4, 5, 6, 7] and again[6] == whole[6]


@pytest.mark.parametrize('content', [b'', b'\xff\xfe\x00', b'model_checkpoint_path: 3'])
def test_a_damaged_list_of_checkpoints_does_not_stop_a_run(tmp_path, content):
    train(tmp_path, 6)
    (tmp_path / 'checkpoints' / 'checkpoint').write_bytes(content)
    assert sorted(train(tmp_path, 7)) == [7]


def test_another_network_in_the_folder_is_refused_with_one_difference_and_their_number(tmp_path):
    train(tmp_path, 3)
    recorded = (tmp_path / 'config.json').read_text()
    with pytest.raises(errors.InputError) as caught:
        train(tmp_path, 6, hidden_size=9)
    for part in ('of another shape: hidden/b [8] in the file, [9] here, ... 9 in all',
                 '--output_path', '--noresume'):
        assert part in caught.value.args[0]     # the line itself may be cut
    assert (tmp_path / 'config.json').read_text() == recorded


def test_variables_that_the_network_has_no_more_are_told_too(tmp_path):
    for names in (['kept', 'gone'], ['kept']):
        tf.reset_default_graph()
        for name in names:
            tf.get_variable(name, [])
        if len(names) == 1:
            with pytest.raises(errors.InputError, match='unexpected: gone'):
                with start(options(tmp_path)):
                    raise AssertionError('restored in spite of the difference')
            return
        with start(options(tmp_path)) as run:
            for step in run.steps(1):
                run.report(step, loss=0.0)


def test_noresume_sets_what_was_made_aside(tmp_path, capsys):
    first = train(tmp_path, 4)
    for name in ('samples/a.png', 'eval/b.json', 'net.pb', 'net.json', 'notes.txt'):
        (tmp_path / name).write_text(name)
    assert train(tmp_path, 3, resume=False) == {step: first[step] for step in (1, 2, 3)}
    assert saved(tmp_path) == [3]
    assert checkpoints.latest(str(tmp_path / 'checkpoints-1')).endswith('model-4')
    assert 'checkpoints-1' in capsys.readouterr().out
    rows = records.read_metrics(str(tmp_path / 'metrics.jsonl'))
    assert [row['step'] for row in rows] == [1, 2, 3]
    rows = records.read_metrics(str(tmp_path / 'checkpoints-1' / 'metrics.jsonl'))
    assert [row['step'] for row in rows] == [1, 2, 3, 4]
    assert sorted(first_steps(tmp_path)) == [1, 2, 3]
    for name in ('config.json', 'first_steps.jsonl', 'samples/a.png', 'eval/b.json', 'net.pb',
                 'net.json'):
        assert (tmp_path / 'checkpoints-1' / name).exists()
    assert (tmp_path / 'notes.txt').exists() and not (tmp_path / 'net.pb').exists()
    assert os.listdir(str(tmp_path / 'samples')) == []


@pytest.mark.parametrize('resume', [True, False])
def test_a_kill_while_results_are_set_aside_leaves_no_old_ones(tmp_path, resume, monkeypatch):
    moved, number, rename = [], 0, os.rename

    def killed(source, target):
        if len(moved) == number:
            raise KeyboardInterrupt
        moved.append(source)
        rename(source, target)

    for number in range(7):
        folder = tmp_path / str(number)
        train(folder, 4)
        for name in ('samples/a.png', 'net.pb', 'net.json'):
            (folder / name).write_text('old')
        moved[:] = []
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, 'rename', killed)
            train(folder, 3, resume=False)
        train(folder, 5, resume=resume)
        aside = [place for place in sorted(os.listdir(str(folder))) if '-' in place]
        left = [place for place, _, names in os.walk(str(folder)) if '.moving' in names]
        assert left == []
        if number or not resume:
            assert aside == ['checkpoints-1'] and not os.listdir(str(folder / 'samples'))
            assert (folder / 'checkpoints-1' / 'samples' / 'a.png').read_text() == 'old'
            assert not (folder / 'net.pb').exists()
            rows = records.read_metrics(str(folder / 'metrics.jsonl'))
            assert [row['step'] for row in rows] == [1, 2, 3, 4, 5]
        else:       # nothing had been moved, and the run goes on
            assert aside == [] and (folder / 'samples' / 'a.png').exists()


def test_weights_of_another_run_start_a_new_one_at_step_0(tmp_path, capsys):
    train(tmp_path / 'a', 6)
    weights = arrays(tmp_path / 'a', 6)
    losses = train(tmp_path / 'b', 1, checkpoint=tmp_path / 'a', learning_rate=1e-30)
    assert sorted(losses) == [1]
    actual = arrays(tmp_path / 'b', 1)
    for name in ('hidden/w', 'hidden/b', 'out/w', 'out/b'):
        np.testing.assert_array_equal(actual[name], weights[name])
    assert actual['global_step'] == 1 and actual['beta1_power'] == np.float32(0.9) * np.float32(0.9)
    assert 'weights of {}'.format(tmp_path / 'a') in capsys.readouterr().out


@pytest.mark.unmoved
def test_bare_published_weights_are_enough_but_a_part_of_the_network_is_not(tmp_path):
    train(tmp_path / 'a', 3)
    weights = arrays(tmp_path / 'a', 3)

    def publish(names):
        tf.reset_default_graph()
        with tf.Session() as sess:
            variables = [tf.Variable(weights[name], name=name) for name in names]
            sess.run(tf.global_variables_initializer())
            return tf.train.Saver(variables).save(sess, str(tmp_path / 'published'))

    network = ['hidden/w', 'hidden/b', 'out/w', 'out/b', 'mean']
    train(tmp_path / 'b', 1, checkpoint=publish(network), learning_rate=1e-30)
    np.testing.assert_array_equal(arrays(tmp_path / 'b', 1)['out/w'], weights['out/w'])
    with pytest.raises(errors.InputError, match=r'missing: mean \[1\], out/b \[1\]'):
        train(tmp_path / 'c', 1, checkpoint=publish(network[:3]))


def test_own_checkpoints_win_over_the_weights_to_start_from(tmp_path, capsys):
    train(tmp_path / 'a', 6)
    train(tmp_path / 'b', 2, checkpoint=tmp_path / 'a')
    assert sorted(train(tmp_path / 'b', 4, checkpoint=tmp_path / 'a')) == [3, 4]
    assert 'left aside' in capsys.readouterr().out


def test_init_runs_in_new_and_resumed_runs_before_the_checkpoint_comes_back(tmp_path):
    for total, expected in ((1, 7.0), (2, 8.0)):
        tf.reset_default_graph()
        variable = tf.get_variable('v', [], initializer=tf.zeros_initializer())
        add = variable.assign_add(1.0)
        with start(options(tmp_path), init=lambda sess, v=variable: v.load(7.0, sess)) as run:
            assert run.sess.run(variable) == expected
            for step in run.steps(total):
                run.sess.run(add)
                run.report(step, loss=0.0)


def test_only_the_variables_asked_for_are_saved(tmp_path):
    variable = tf.get_variable('kept', [])
    tf.get_variable('other', [])
    with start(options(tmp_path), variables=[variable]) as run:
        for step in run.steps(1):
            run.report(step, loss=0.0)
    assert list(arrays(tmp_path, 1)) == ['kept']


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    process = start_process(tmp_path, 500, '--step_seconds=0.05')
    wait_for(process, 'step 1/500')
    with pytest.raises(errors.InputError, match='process {}.*--output_path'.format(process.pid)):
        train(tmp_path, 1)
    process.kill()
    process.communicate()
    train(tmp_path, 1)  # the lock ended with the process


@pytest.mark.parametrize('below', ['file', 'file/out'])
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path, below):
    (tmp_path / 'file').write_text('x')
    process = start_process(tmp_path / below, 5)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out == ''
    assert err.count('\n') == 1 and 'not a folder' in err and '--output_path' in err


def test_a_write_protected_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(errors.InputError, match='write-protected'):
        launch.check_output(str(tmp_path / 'out'))


@pytest.mark.parametrize('error', [
    tf.errors.ResourceExhaustedError(None, None, 'model-6; No space left on device'),
    OSError(errno.ENOSPC, 'No space left on device')])
def test_a_full_disk_is_told_in_one_message_and_earlier_checkpoints_stay(
        tmp_path, monkeypatch, error):
    save = tf.train.Saver.save

    def full(saver, sess, prefix, **kwargs):
        if prefix.endswith('model-6'):
            for ending in ('.data-00000-of-00001', '.data-00000-of-00001.tempstate12'):
                with open(prefix + ending, 'w') as stream:
                    stream.write('half')
            raise error
        return save(saver, sess, prefix, **kwargs)

    monkeypatch.setattr(tf.train.Saver, 'save', full)
    with pytest.raises(errors.InputError, match='cannot save .*model-6.*No space left.*model-3'):
        train(tmp_path, 9)
    assert not [path for path in os.listdir(str(tmp_path / 'checkpoints')) if 'model-6' in path]
    monkeypatch.undo()
    assert sorted(train(tmp_path, 5)) == [4, 5]


def test_leftovers_of_a_killed_process_are_cleared_away(tmp_path):
    train(tmp_path, 3)
    names = ['checkpoints/model-6.data-00000-of-00001.tempstate99',
             'checkpoints/model-9.state.json', 'checkpoints/model-9.data-00000-of-00001',
             'checkpoints/.checkpoint.tmp-a1b2c3d4',
             'samples/.step_3.tmp-abcd_123.png', '.config.tmp-0123abcd.json']
    others = ['checkpoints/mine.data-00000-of-00001', '.hidden', 'samples/model-9.state.json']
    for name in names + others:
        (tmp_path / name).write_text('half')
    train(tmp_path, 4)
    assert [name for name in names if (tmp_path / name).exists()] == []
    assert all((tmp_path / name).exists() for name in others)


def test_a_part_of_a_folder_has_no_page_of_its_own_that_could_stay_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, '_PAGE_EVERY', 0.)    # seconds; a page while the run goes on
    part = tmp_path / 'svr'
    part.mkdir()
    (part / 'report.html').write_text('as an earlier version, killed on its way, left it')
    (tmp_path / '.report.tmp-0123abcd.html').write_text('half')
    (tmp_path / 'other.html').write_text('not ours')
    settled = cli.settled(options(tmp_path, training_steps=2))
    context = launch.settle(settled, 'cpu').replace(output_path=str(part))
    tf.get_variable('v', [], initializer=tf.zeros_initializer())
    with runs.start(settled, context) as run:
        for step in run.steps(2):
            run.report(step, loss=1.)
    pages = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*.html'))
    assert pages == ['other.html', 'report.html']


@pytest.mark.parametrize('place, text', [
    ('.lock', 'the lock .*was removed'), ('checkpoints', 'the folder .*is gone'),
    ('', 'the folder .*is gone')])
def test_what_was_removed_under_a_run_is_told_as_that(tmp_path, place, text):
    tmp_path = tmp_path / 'run'
    tf.get_variable('v', [], initializer=tf.zeros_initializer())
    with pytest.raises(errors.InputError, match=text) as caught:
        with start(options(tmp_path, save_every=1)) as run:
            for step in run.steps(3):
                run.report(step, loss=1.)
                if step == 2:
                    if place == '.lock':
                        os.remove(str(tmp_path / place))
                    else:
                        os.rename(str(tmp_path / place), str(tmp_path.parent / 'elsewhere'))
    assert 'Free some space' not in str(caught.value)


def test_foreign_rows_of_metrics_are_left_out(tmp_path):
    train(tmp_path, 3)
    with (tmp_path / 'metrics.jsonl').open('ab') as stream:
        stream.write(b'[1, 2]\n"text"\n{"step": "x"}\n{"loss": 2}\n' + b'[' * 100000 + b'\n')
    train(tmp_path, 4)
    assert [row['step'] for row in records.read_metrics(str(tmp_path / 'metrics.jsonl'))] == [
        1, 2, 3, 4]


def test_the_options_are_recorded_for_later_scripts_without_secrets(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [
        'train.py', '--access_key=abc', '--secret', 'def', '--training_steps=1',
        '--data_url=s3://user:pw@host/x?signature=ghi', '--max_face_tokens=500'])
    parsed = options(tmp_path, training_steps=1, precision_mode='mix')
    parsed.access_key = 'abc'
    parsed.data_url = 's3://user:pw@host/x?signature=ghi'
    tf.reset_default_graph()
    train_with(parsed)
    text = (tmp_path / 'config.json').read_text()
    record = json.loads(text)
    assert not [secret for secret in ('abc', 'def', 'pw', 'ghi') if secret in text]
    assert record['options']['data_url'] == 's3://***@host/x'
    assert record['command'][-1] == '--max_face_tokens=500'
    assert record['precision'] == {'asked': 'mix', 'effective': 'float32'}
    assert record['seed'] == 0 and record['versions']['tensorflow'] == tf.__version__
    assert record['versions']['project'] == common.__version__
    assert runs.read_options(str(tmp_path))['hidden_size'] == 8


def test_options_that_changed_since_the_checkpoint_are_told(tmp_path, capsys):
    train(tmp_path, 2)
    capsys.readouterr()
    train(tmp_path, 3, learning_rate=0.5, report_every=2)
    out = capsys.readouterr().out
    assert 'note: --learning_rate was 0.01 before and is 0.5 now' in out
    assert 'report_every' not in out


def test_ignored_options_and_the_precision_are_told(tmp_path, capsys):
    train(tmp_path, 1, over_dump=True, precision_mode='mix')
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ['precision: mix was asked for; the cpu computes in float32',
                          '--over_dump has no effect on the cpu']


def test_time_in_a_pause_does_not_count(tmp_path, monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(reporting.StepClock.__init__, '__defaults__', (lambda: seconds[0],))
    tf.get_variable('v', [])
    with start(options(tmp_path)) as run:
        for step in run.steps(3):
            seconds[0] += 2.0
            with run.paused():
                seconds[0] += 50.0
            run.report(step, loss=0.0)
            seconds[0] += 9.0
        assert run.seconds_per_step == 2.0


def test_due_is_true_at_the_last_step_too(tmp_path):
    tf.get_variable('v', [])
    with start(options(tmp_path)) as run:
        due = []
        for step in run.steps(5):
            run.report(step, loss=0.0)
            due.append((run.due(step, 2), run.due(step, 0)))
    assert due == [(False, False), (True, False), (False, False), (True, False), (True, True)]


def test_other_numbers_are_recorded_and_printed_at_once(tmp_path, capsys):
    tf.get_variable('v', [])
    with start(options(tmp_path, report_every=100)) as run:
        for step in run.steps(2):
            run.report(step, loss=1.0)
            if step == 1:
                run.record(step, validation=np.float32(0.25))
    assert 'step 1/2  50.0%  validation 0.2500\n' in capsys.readouterr().out
    assert records.read_metrics(str(tmp_path / 'metrics.jsonl'))[0] == {
        'step': 1, 'validation': 0.25}


def test_lists_among_the_options_come_back_as_lists(tmp_path):
    parsed = options(tmp_path, training_steps=1)
    parsed.sizes, parsed.where = (1, 2), tmp_path
    train_with(parsed)
    recorded = runs.read_options(str(tmp_path))
    assert recorded['sizes'] == [1, 2] and recorded['where'] == str(tmp_path)


def test_a_loss_line_for_modelzoo_follows_each_report_when_asked_for(tmp_path, capsys):
    train(tmp_path, 2, modelzoo_log=True)
    out = capsys.readouterr().out
    assert out.count('Loss (toy): ') == 3  # two reports and the end


def test_the_config_of_something_else_is_refused(tmp_path):
    (tmp_path / 'config.json').write_text('[1]')
    with pytest.raises(errors.InputError, match='config.json'):
        runs.read_options(str(tmp_path))

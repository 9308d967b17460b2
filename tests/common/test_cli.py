"""Tests of common/cli.py."""
import argparse
import dataclasses
import errno
import os
import signal
import subprocess
import sys
import types

import pytest

from common import cli, errors
from common.device import npu
from common.training import launch, runs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOC = """Trains a thing
over two lines.

Example: python thing.py \\
             --data_path=x
"""


def a_parser():
    parser = cli.make_parser(DOC)
    parser.add_argument('--data_path', required=True, help='folder')
    parser.add_argument('--training_steps', type=cli.positive_int, default=70, help='steps')
    cli.add_flag(parser, '--strict', '--hard', default=True, help='refuse bad ones')
    return parser


def refusal(capsys, parser, arguments):
    """Parses arguments that are wrong and gives what stderr says."""
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.count('\n') == 1
    return text


def test_help_has_the_description_the_example_as_written_and_the_real_defaults(capsys):
    parser = a_parser()
    parser.set_defaults(training_steps=71)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(['--help'])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert 'Trains a thing\nover two lines.\n' in text
    assert 'Example: python thing.py \\\n             --data_path=x\n' in text
    assert '(default: 71)' in text and '(default: 70)' not in text
    assert '(default: None)' not in text


def test_a_misspelt_option_names_the_nearest_one_also_when_a_required_one_is_missing(capsys):
    assert 'did you mean --data_path?' in refusal(capsys, a_parser(), ['--data_pth=x'])
    text = refusal(capsys, a_parser(), ['--data_path=x', '--trainingsteps=3'])
    assert '--trainingsteps' in text and 'did you mean --training_steps?' in text


@pytest.mark.parametrize('arguments, word', [
    (['--data_path=x', '--train=3'], '--train'),
    (['--data_path=x', 'stray'], 'stray'),
    (['--data_path=x', '-q'], '-q'),
    (['--training_steps=3'], '--data_path')])
def test_shortened_stray_and_missing_arguments_are_refused(capsys, arguments, word):
    assert word in refusal(capsys, a_parser(), arguments)


@pytest.mark.parametrize('arguments, expected', [
    ([], True), (['--strict'], True), (['--nostrict'], False), (['--nohard'], False),
    (['--strict=False'], False), (['--strict=TRUE'], True), (['--hard=0'], False),
    (['--strict=1'], True), (['--strict=No'], False), (['--strict=yes'], True),
    (['--nostrict', '--strict'], True)])
def test_a_flag_takes_each_of_its_forms(arguments, expected):
    assert a_parser().parse_args(['--data_path=x'] + arguments).strict is expected


@pytest.mark.parametrize('argument', ['--strict=maybe', '--nostrict=True', '--strict='])
def test_a_flag_refuses_other_values(capsys, argument):
    assert 'strict' in refusal(capsys, a_parser(), ['--data_path=x', argument])


@pytest.mark.parametrize('argument, shown', [
    ('--name=bad\udcff', r'--name=bad\udcff has bytes that are no UTF-8'),
    ('--nome=\x1b[31m' + 'x' * 5000, 'unknown option --nome; did you mean --name?'),
    ('stray\x1b[31m\n' + 'x' * 5000, r'unexpected argument stray\x1b[31m')])
def test_what_a_command_line_says_steers_no_terminal(capsys, argument, shown):
    parser = cli.make_parser('Does it.')
    parser.add_argument('--name')
    with pytest.raises(SystemExit) as caught:
        parser.parse_args([argument])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and shown in said
    assert said.endswith('\n') and said[:-1].isprintable() and len(said) < 400


@pytest.mark.parametrize('kind, good, bad', [
    (cli.positive_int, {'1': 1, '70': 70}, ['0', '-1', '1.5', 'x', '']),
    (cli.non_negative_int, {'0': 0}, ['-1', '0.5']),
    (cli.positive_float, {'1e-3': 1e-3}, ['0', '-1', 'nan', 'inf', 'x']),
    (cli.non_negative_float, {'0': 0.0}, ['-0.1', 'nan']),
    (cli.fraction, {'0': 0.0, '1': 1.0, '.25': 0.25}, ['1.01', '-0.1', 'nan'])])
def test_number_types_take_what_is_in_range_and_name_what_is_not(kind, good, bad):
    for text, value in good.items():
        assert kind(text) == value
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match='must be .*"{}"'.format(text)):
            kind(text)


def test_a_path_of_very_many_folders_is_refused():
    assert cli.path('/'.join('a' * 300)) == '/'.join('a' * 300)
    with pytest.raises(argparse.ArgumentTypeError, match='a path of 2999 folders, more than 300'):
        cli.path('/'.join('a' * 3000))


def test_every_option_of_the_npu_reaches_the_options_of_the_device():
    parser = cli.make_parser('x')
    cli.add_run_options(parser, 'there')
    group = [group for group in parser._action_groups if 'NPU' in group.title][0]
    fields = {field.name: field for field in dataclasses.fields(npu.NpuOptions)}
    assert len(group._group_actions) >= 14
    for action in group._group_actions:
        assert fields[action.dest].default == action.default


def test_run_options_have_the_defaults_of_the_contract():
    parser = cli.make_parser('x')
    cli.add_run_options(parser, 'there')
    options = parser.parse_args([])
    assert (options.output_path, options.seed, options.device, options.resume,
            options.keep_checkpoints, options.precision_mode) == ('there', 0, 'auto', True, 5, None)


def raising(error):
    def work(config):
        raise error
    return work


@pytest.mark.parametrize('error, code, text', [
    (errors.InputError('data/x has\nno y'), 1, 'error: data/x has no y'),
    (errors.UsageError('a and b'), 2, 'error: a and b'),
    (errors.NonFiniteLossError('loss is nan'), 3, 'error: loss is nan'),
    (runs.Interrupted('stopped by SIGTERM', 143), 143, 'stopped by SIGTERM'),
    (runs.Interrupted('stopped by SIGINT', 130), 130, 'stopped by SIGINT'),
    (KeyboardInterrupt(), 130, 'stopped'),
    (OSError(errno.ENOSPC, 'No space left', 'out/metrics.jsonl'), 1, 'disk is full'),
    (MemoryError(), 1, 'out of memory'),
    (ZeroDivisionError('division by zero'), 1, 'ZeroDivisionError: division by zero')])
def test_what_goes_wrong_becomes_one_line_and_an_exit_code(capsys, error, code, text):
    assert cli.run(raising(error), types.SimpleNamespace(debug=False)) == code
    message = capsys.readouterr().err
    assert text in message and message.count('\n') == 1


@pytest.mark.parametrize('cause, code', [
    (KeyboardInterrupt(), 130), (runs.Interrupted('stopped by SIGTERM', 143), 143)])
def test_a_signal_within_a_call_of_c_code_is_told_as_a_signal(capsys, cause, code):
    def work(options):
        raise SystemError('TF_NewBuffer returned a result with an error set') from cause
    assert cli.run(work, types.SimpleNamespace(debug=False)) == code
    message = capsys.readouterr().err
    assert 'stopped' in message and 'TF_NewBuffer' not in message


def test_debug_adds_the_traceback(capsys):
    assert cli.run(raising(errors.InputError('bad')), types.SimpleNamespace(debug=True)) == 1
    message = capsys.readouterr().err
    assert 'Traceback' in message and message.endswith('error: bad\n')


@pytest.mark.parametrize('result, code', [(None, 0), (0, 0), (1, 1), (True, 0), ({}, 0)])
def test_an_int_that_the_function_returns_is_the_exit_code(result, code):
    assert cli.run(lambda config: result, types.SimpleNamespace(debug=False)) == code


def test_a_function_gets_all_arguments():
    calls, options = [], types.SimpleNamespace(debug=False)
    cli.run(lambda *arguments: calls.append(arguments), options, 5)
    assert calls == [(options, 5)]


def test_settled_options_are_read_only_and_copies_may_differ():
    options = cli.settled(argparse.Namespace(batch_size=4, seed=0), seed=3)
    with pytest.raises(AttributeError, match='batch_size.*replace'):
        options.batch_size = 5
    with pytest.raises(AttributeError, match='settled'):
        del options.batch_size
    changed = options.replace(batch_size=5, classes=2)
    assert vars(options) == {'batch_size': 4, 'seed': 3}
    assert vars(changed) == {'batch_size': 5, 'seed': 3, 'classes': 2}
    assert not hasattr(options, 'classes')


def test_help_leaves_out_experts_options_and_further_names_and_help_all_shows_them(capsys):
    parser = a_parser()
    cli.add_run_options(parser, 'there')
    texts = []
    for name in ('--help', '--help_all'):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args([name])
        assert caught.value.code == 0
        texts.append(capsys.readouterr().out)
    for word, in_help in (('--strict', True), ('--hard', False), ('--over_dump', False),
                          ('--seed', True)):
        assert (word in texts[0], word in texts[1]) == (in_help, True), word
    assert parser.parse_args(['--data_path=x', '--over_dump']).over_dump


def training_options(**changes):
    parser = cli.make_parser('x')
    cli.add_run_options(parser, 'there')
    return argparse.Namespace(**dict(vars(parser.parse_args(['--device=cpu'])), **changes))


def test_a_device_or_folder_that_cannot_be_used_is_told_before_the_work(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    called = []
    for changes, text in [
            ({'device': 'npu'}, 'npu_bridge'), ({'precision_mode': 'fast'}, '--precision_mode'),
            ({'loss_scale': '0.5'}, '--loss_scale'),
            ({'output_path': str(tmp_path / 'file' / 'out')}, 'not a folder')]:
        assert launch.main(lambda *arguments: called.append(arguments),
                           training_options(**changes)) in (1, 2)
        message = capsys.readouterr().err
        assert text in message and message.count('\n') == 1
    assert not called


def test_launch_completes_the_options_for_the_device_and_settles_the_context(tmp_path):
    def complete(parsed, device):
        return cli.settled(parsed, plain=device != 'cpu', seed=7)

    def work(options, context):
        assert (options.plain, context.device, context.seed) == (False, 'cpu', 7)
        assert context.output_path == options.output_path == str(tmp_path / 'out')
        assert context.ranks.is_chief and not context.on_npu
        with pytest.raises(AttributeError):
            context.seed = 1
        return 5

    assert launch.main(work, training_options(output_path=str(tmp_path / 'out')), complete) == 5


def test_a_pipe_whose_reader_has_gone_ends_the_script_quietly():
    script = ('import types; from common import cli\n'
              'def work(config):\n'
              '    for number in range(200000): print(number)\n'
              'raise SystemExit(cli.run(work, types.SimpleNamespace(debug=False)))')
    process = subprocess.Popen([sys.executable, '-c', script], cwd=ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout.readline() == b'0\n'
    process.stdout.close()
    assert process.stderr.read() == b''
    assert process.wait() == 1


@pytest.mark.parametrize('number, code', [('SIGINT', 130), ('SIGTERM', 143)])
@pytest.mark.parametrize('work', [
    'cli.script(stop)',                             # among the imports of a script
    'cli.script(lambda: cli.run(stop, options))',   # while it works, before its first step
    'cli.script(lambda: cli.run(masked, options))'])
def test_a_signal_at_the_start_ends_a_script_in_one_line(work, number, code):
    program = '\n'.join([
        'import argparse, os, signal, time', 'from common import cli',
        'options = argparse.Namespace(debug=False)',
        'def stop(*unused):',
        '    os.kill(os.getpid(), signal.{})'.format(number),
        '    time.sleep(9)',
        'def masked(options):',     # C code replaces the exception of a signal
        '    try:', '        stop()',
        '    except KeyboardInterrupt:', '        raise ImportError("no module")', work])
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, stderr=subprocess.PIPE,
                          universal_newlines=True)
    assert done.returncode == code
    assert done.stderr == 'stopped at once; what was saved before is whole\n'


@pytest.mark.parametrize('number, code', [('SIGINT', 130), ('SIGTERM', 143)])
@pytest.mark.parametrize('work', ['Value(); time.sleep(9)', 'import late'])
def test_a_signal_within_a_finalizer_or_a_late_import_ends_a_script_in_one_line(
        tmp_path, work, number, code):
    """Python prints what comes out of a finalizer, C code of packages what comes into an import."""
    (tmp_path / 'late.py').write_text('\n'.join([
        'import os, signal, traceback', 'try:',
        '    os.kill(os.getpid(), signal.{})'.format(number), '    len(str(os))',
        'except BaseException:', '    traceback.print_exc()',
        '    raise ImportError("failed to import")']))
    program = '\n'.join([
        'import argparse, os, signal, time', 'from common import cli',
        'class Value:',
        '    def __del__(self):',
        '        os.kill(os.getpid(), signal.{})'.format(number), '        len(str(os))',
        'def work(options):', '    ' + work,
        'cli.script(lambda: cli.run(work, argparse.Namespace(debug=False)))'])
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, stderr=subprocess.PIPE,
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)), universal_newlines=True)
    assert done.returncode == code
    assert done.stderr == 'stopped at once; what was saved before is whole\n'


@pytest.mark.parametrize('number, code', [('SIGINT', 130), ('SIGTERM', 143)])
@pytest.mark.parametrize('catches', [False, True])
def test_a_signal_whose_exception_is_held_up_ends_a_script_in_one_line(number, code, catches):
    """TensorFlow's lock of a graph waits for itself where a signal comes while it is taken."""
    program = '\n'.join([
        'import argparse, os, signal, threading, time', 'from common import cli',
        'cli._AT_LAST = 0.2',
        'lock = threading.Lock()',
        'def work(options):',
        '    lock.acquire()',
        '    try:',
        '        os.kill(os.getpid(), signal.{})'.format(number), '        time.sleep(9)',
        '    except KeyboardInterrupt:', '        pass' if catches else '        lock.acquire()',
        '    time.sleep(60)',
        'cli.script(lambda: cli.run(work, argparse.Namespace(debug=False)))'])
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=30)
    assert done.returncode == code
    assert done.stderr == 'stopped at once; what was saved before is whole\n'


def test_a_signal_that_is_caught_ends_nothing_later():
    program = '\n'.join([
        'import argparse, os, signal, time', 'from common import cli',
        'cli._AT_LAST = 0.2',
        'def work(options):',
        '    os.kill(os.getpid(), signal.SIGTERM)', '    time.sleep(9)',
        'print(cli.run(work, argparse.Namespace(debug=False)))', 'time.sleep(0.5)',
        'print("still there")'])
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, stdout=subprocess.PIPE,
                          universal_newlines=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, '143\nstill there\n')


@pytest.mark.parametrize('question', [1, 2, 3])
@pytest.mark.parametrize('number, code', [('SIGINT', 130), ('SIGTERM', 143)])
def test_a_signal_while_tensorflow_flattens_a_structure_ends_a_script_in_one_line(
        number, code, question):
    """Its C code asks Python what a value is; an exception there crashed it, or was lost."""
    program = '\n'.join([
        'import argparse, os, signal, sys', 'import tensorflow.compat.v1 as tf',
        'from common import cli',
        'questions = []',
        'class Value:',
        '    @property',
        '    def __class__(self):',
        '        questions.append(self)',
        '        if len(questions) == {}:'.format(question),
        '            os.kill(os.getpid(), signal.{})'.format(number),
        '        return int',
        'def work(options):',
        '    tf.nest.flatten([Value(), (Value(), {"a": Value()})])',
        'cli.script(lambda: cli.run(work, argparse.Namespace(debug=False)))'])
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', program], cwd=ROOT,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == 'stopped at once; what was saved before is whole'


def test_signals_are_handled_as_before_when_the_work_is_done():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert cli.run(lambda options: 5, argparse.Namespace(debug=False)) == 5
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))

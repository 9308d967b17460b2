"""Tests of common/device/ranges.py and of common/precision.py."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from common import collection, errors, precision
from common.device import mixlist, ranges


def test_values_are_counted_by_what_half_does_to_them():
    # 2^-24 is the smallest half, its half goes to 0; 2^-14 the smallest with all places.
    values = np.array([0, 1, -65519.9, 65520, -1e30, 2. ** -25, 1.1 * 2. ** -25, -2. ** -30,
                       1.37 * 2. ** -20, 2. ** -20], np.float32)
    one = ranges.measure(values, 'Mul', 'a/b')
    assert (one.values, one.nonzero, one.saturated, one.vanished) == (10, 9, 2, 2)
    assert one.reduced == 2     # 1.1 * 2^-25 becomes 2^-24, 1.37 * 2^-20 loses places
    assert sum(one.histogram) == 9 and one.largest_exponent == 40   # the last one there is
    exact = [1, 65504, 2. ** -24, 2. ** -20 * np.float32(1.375), 2. ** -20]
    before = [1, np.float32(65519.9), 1.1 * 2. ** -25, np.float32(1.37 * 2. ** -20), 2. ** -20]
    error = sum(abs(a - b) for a, b in zip(exact, before)) + 2. ** -25 + 2. ** -30
    assert one.error == pytest.approx(error, rel=1e-5)


def test_ranges_of_one_operator_and_scope_add_up():
    first, second = [ranges.measure(np.full([size], 1e-9), 'Mul', 'a') for size in (3, 4)]
    other = ranges.measure(np.ones([2]), 'Mul', 'a', is_gradient=True)
    one, two = ranges.joined([first, other, second])
    assert (one.values, one.vanished, two.values) == (7, 7, 2)
    assert one.histogram[-29 + 60] == 7     # 1e-9 lies in [2^-30, 2^-29)


def test_the_loss_scale_brings_the_largest_gradient_to_a_quarter_of_the_range():
    gradients = ranges.measure(np.array([2. ** -20, 3e-9]), 'MatMul', 'a', True)
    forward = ranges.measure(np.array([1e4]), 'MatMul', 'a')
    scale = ranges.loss_scale([gradients, forward])
    assert 2. ** 13 <= scale * 2. ** -20 < 2. ** 15
    assert gradients.vanished == 1
    assert ranges.vanished_with(gradients, 1.) == 1
    assert ranges.vanished_with(gradients, scale) == 0
    assert ranges.loss_scale([forward]) == 1.


def test_ranges_come_back_from_their_file(tmp_path):
    rows = [ranges.measure(np.ones([2]), 'Mul', 'a')]
    path = str(tmp_path / 'ranges.json')
    ranges.write(path, rows, {'mode': 'force_fp16'})
    assert ranges.read(path) == (rows, {'mode': 'force_fp16'})
    (tmp_path / 'other.json').write_text('{"ranges": [{"scope": "a"}]}')
    with pytest.raises(errors.InputError, match='other.json is no record of ranges'):
        ranges.read(str(tmp_path / 'other.json'))


@pytest.mark.parametrize('needed', [{'c'}, {'a', 'g'}, {'b', 'c', 'd'}, set('abcdefg')])
def test_the_search_finds_the_smallest_part_in_few_trials(needed):
    asked = []

    def is_good(part):
        asked.append(part)
        return needed <= set(part)

    assert set(precision.smallest('abcdefg', is_good)) == needed
    assert len(asked) <= 18


def test_the_command_of_a_run_is_taken_without_what_a_trial_sets(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps({'command': [
        'polygen/train.py', '--hidden_size=8', '--output_path', 'x', '--seed=3', '--nosample',
        '--emulate_precision', '--preset', 'seed']}))
    assert precision.recorded_command(str(tmp_path)) == [
        os.path.join(collection.ROOT, 'polygen', 'train.py'), '--hidden_size=8', '--nosample',
        '--preset', 'seed']
    (tmp_path / 'config.json').write_text('{"command": ["train.py"]}')
    with pytest.raises(errors.InputError, match='Give --script'):
        precision.recorded_command(str(tmp_path))


def test_a_written_mixlist_is_one_that_is_read(tmp_path):
    lists = mixlist.read_mixlist(precision.write_mixlist(str(tmp_path), ['Exp', 'Add']))
    assert lists.list_of('Add', 'grey') == 'black' and lists.list_of('Mul', 'grey') == 'grey'


TRAINING = '''
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
for name in 'seed output_path modify_mixlist keep_float32_scopes emulate_report'.split():
    parser.add_argument('--' + name, default='')
options, _ = parser.parse_known_args()
os.makedirs(options.output_path)
black = ''
if options.modify_mixlist:
    black = json.load(open(options.modify_mixlist))['black-list']['to-add']
emulated = '--emulate_precision' in sys.argv
bad = emulated and not {'Exp', 'Sub'} <= set(black)
with open(os.path.join(options.output_path, 'metrics.jsonl'), 'w') as stream:
    for step in range(1, 11):
        stream.write(json.dumps({'step': step, 'loss_a': 4. if bad else 1.}) + '\\n')
'''


def test_a_search_writes_the_types_that_keep_the_loss_and_resumes(tmp_path, capsys):
    script = tmp_path / 'train.py'
    script.write_text(TRAINING)
    rows = [ranges.measure(np.full([count], 1e9), name, 'a')
            for count, name in enumerate(('Add', 'Exp', 'Mul', 'Sub', 'MatMul'), 1)]
    options = precision.parse_args(['search', 'x', '--steps=10', '--seeds=5'])
    precision.search(options, [str(script)], str(tmp_path), rows)
    with open(str(tmp_path / 'mixlist.json')) as stream:
        assert json.load(stream) == {'black-list': {'to-add': ['Exp', 'Sub']}}
    said = capsys.readouterr().out
    assert 'trial 2 (seed 5, in float32: nothing): loss 4' in said and 'mixlist.json' in said
    precision.search(options, [str(script)], str(tmp_path), rows)
    assert 'trial' not in capsys.readouterr().out


SLOW_TRAINING = '''
import json, os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
folder = [one for one in sys.argv if one.startswith('--output_path=')][0].partition('=')[2]
os.makedirs(folder)
worth = 0.15 if '--emulate_precision' in sys.argv else 0.05      # CPU seconds of a step
for step in range(1, 61):
    until = time.process_time() + worth
    while time.process_time() < until:
        pass
    with open(os.path.join(folder, 'metrics.jsonl'), 'a') as stream:
        stream.write(json.dumps({'step': step, 'loss_a': 1.}) + '\\n')
'''


def test_the_cost_of_a_step_is_that_of_its_cpu_time(tmp_path, capsys):
    script = tmp_path / 'train.py'
    script.write_text(SLOW_TRAINING)
    options = precision.parse_args(['cost', 'x', '--steps=20'])
    precision.print_cost([str(script)], options, str(tmp_path))
    ratio = float(capsys.readouterr().out.split('ratio ')[1])
    assert 2.4 < ratio < 3.6        # 3, but for the steps that a look misses at both ends


def test_records_of_a_stage_lie_below_the_output_folder(tmp_path):
    (tmp_path / 'ae').mkdir()
    output, stage = str(tmp_path), str(tmp_path / 'ae')
    assert precision.stage_folder(output, 'imnet/output/ae/') == output     # nothing there yet
    (tmp_path / 'ae' / 'metrics.jsonl').write_text('')
    assert precision.stage_folder(output, 'imnet/output/ae/') == stage
    assert precision.stage_folder(output, 'vsl/output') == output


def test_skipped_steps_count_as_a_delay_and_not_as_a_loss():
    falling = precision.Trial([10., 8., 6., 4., 2., 1.], 0)
    late = precision.Trial([10., 10., 8., 6., 4., 2.], 1)
    assert falling.tail(6) == 1 and falling.tail(6, shift=1) == 2
    assert precision.excess(late, [falling], 6) == 1            # 2 beside 2, not beside 1
    assert precision.excess(late._replace(skipped=0), [falling], 6) == 2
    assert precision.excess(late._replace(skipped=3), [falling], 6) == float('inf')
    # A loss that was not finite ends a trial before its last step.
    assert precision.excess(precision.Trial([10., 8.], 0), [falling], 6) == float('inf')


@pytest.mark.slow
def test_a_report_on_a_training(tmp_path):
    run = str(tmp_path / 'run')
    command = [sys.executable, 'polygen/train.py', '--hidden_size=16', '--fc_size=16',
               '--num_heads=2', '--vertex_layers=1', '--encoder_layers=1', '--face_layers=1',
               '--training_steps=40', '--nosample', '--nofreeze', '--output_path=' + run]
    subprocess.run(command, cwd=collection.ROOT, check=True)
    done = subprocess.run([sys.executable, '-m', 'common.precision', 'report', run],
                          cwd=collection.ROOT, check=True, stdout=subprocess.PIPE,
                          universal_newlines=True)
    assert 'allow_mix_precision: ' in done.stdout and 'gradients that vanish: ' in done.stdout
    assert {'ranges.json', 'ranges.png'} <= set(os.listdir(os.path.join(run, 'precision')))

"""Tests of tests/results.py: the commands parse, a tiny table is made and goes on, barred rows."""
import importlib
import json
import os
import re

import numpy as np
import pytest

from common import collection, errors
from tests import results, results_recipes
from vsl import data_utils, make_dataset

PARSERS = {'imnet/IMGAN/main.py': ('imnet.options', 'parse_imgan'),
           'imnet/IMSVR/main.py': ('imnet.options', 'parse_imsvr'),
           'imnet/evaluate.py': ('imnet.options', 'parse_evaluate')}
STAGES = [(model, stage) for model, recipe in results_recipes.RECIPES.items()
          for stage in recipe.stages]
IDS = ['{}-{}'.format(model, stage.name) for model, stage in STAGES]


def parsed(stage, steps=None, quick=False):
    arguments = results.filled(stage, {'data': 'D', 'run': 'R', 'seed': 7, 'work': 'W'}, None,
                               steps, quick)
    module, name = PARSERS.get(stage.script, (stage.script[:-3].replace('/', '.'), 'parse_args'))
    return getattr(importlib.import_module(module), name)(arguments)


def test_every_model_has_a_table():
    assert sorted(results_recipes.RECIPES) == sorted(collection.NAMES)
    for recipe in results_recipes.RECIPES.values():
        assert recipe.stages[-1].kind == results_recipes.MEASURE and recipe.hours > 0


@pytest.mark.parametrize('model, stage', STAGES, ids=IDS)
def test_commands_are_understood_by_their_scripts(model, stage):
    options = parsed(stage)
    if stage.kind == results_recipes.TRAIN:
        assert options.seed == 7 and options.output_path.startswith('R')
        assert parsed(stage, steps=2).training_steps == 2
    if stage.quick:
        assert vars(parsed(stage, quick=True)) != vars(options)


@pytest.mark.parametrize('model, stage', STAGES, ids=IDS)
def test_trainings_see_the_set_that_is_measured_or_rows_that_are_not_barred(model, stage):
    """Paths are places alone, so that no other set of the shared data slips in."""
    for name, value in re.findall(r'--(\w*(?:path|checkpoint|data|dir))=(\S+)', stage.arguments):
        if name != 'output_path':
            assert re.match(r'\{(data|work|run|clean:\w+)\}', value), stage
    assert '--pretrained' not in stage.arguments or stage.kind != results_recipes.DATA
    assert not stage.arguments.count('..')


def bricks(folder):
    """A set of the name and form of the real one: ten classes, two shapes each."""
    splits, names = make_dataset.make_furniture(0, 2, 1)
    (folder / 'bricks').mkdir()
    data_utils.write(str(folder / 'bricks' / 'tiny.mat'), splits, names, {})
    rows = ['train,{0},part{0},f,1,c,d,a'.format(row) for row in range(20)]
    (folder / 'bricks' / 'parts.csv').write_text(
        'split,row,part,family,class_id,class,description,author\n' + '\n'.join(rows[::-1]))
    (folder / 'splits.csv').write_text(
        'set,split,name,family,barred_elsewhere\nbricks,train,part3,f,1\nbricks,train,part4,f,0\n'
        'bricks,test,part5,f,1\nimplicit,train,part6,f,1\nbricks,train,part19,f,1\n')
    return splits


def test_barred_rows_are_left_out_of_pre_training(tmp_path):
    splits = bricks(tmp_path)
    assert results_recipes.barred(str(tmp_path / 'splits.csv'), 'bricks') == ['part19', 'part3']
    path = results.clean_set(str(tmp_path), 'bricks', str(tmp_path))
    train = data_utils.read_split(path, 'train')
    kept = [row for row in range(20) if row not in (3, 19)]
    np.testing.assert_array_equal(train.voxels, splits['train'].voxels[kept])
    with pytest.raises(errors.InputError, match='only bricks'):
        results.clean_set(str(tmp_path), 'implicit', str(tmp_path))
    stage = results_recipes.Stage('a', 'train', 'x.py', '--data_path={clean:bricks} --seed={seed}')
    assert results.filled(stage, {'seed': 1}, lambda name: 'C/' + name) == [
        '--data_path=C/bricks', '--seed=1']


SCRIPT = '''"""Stands for a training that fails once, and for its figures."""
import json
import os
import sys
options = dict(word.lstrip('-').split('=') for word in sys.argv[1:])
folder = os.path.join(options['output_path'], 'eval')
os.makedirs(folder, exist_ok=True)
begun = os.path.join(folder, 'begun')
if 'seed' in options and options['seed'] == '1' and not os.path.exists(begun):
    open(begun, 'w').close()
    sys.exit('error: the disk is full')
if 'seed' in options:
    open(os.path.join(folder, 'steps'), 'a').write(options['training_steps'])
else:
    for name, key in (('classify', 'test_accuracy'), ('reconstruct', 'test_iou')):
        with open(os.path.join(folder, name + '.json'), 'w') as stream:
            json.dump({key: 0.25 if 'seed-1' in folder else 0.75, 'classes': [1, 2]}, stream)
'''


def test_a_table_is_made_and_after_a_failure_the_same_command_goes_on(tmp_path, monkeypatch,
                                                                      capsys):
    (tmp_path / 'bricks').mkdir()
    (tmp_path / 'script.py').write_text(SCRIPT)
    script = str(tmp_path / 'script.py')
    monkeypatch.setitem(results_recipes.RECIPES, 'vsl', results_recipes.Recipe('bricks', 1., 'x', (
        results_recipes.Stage('train', 'train', script, '--output_path={run} --seed={seed}',
                              '--total_epoch=3'),
        results_recipes.Stage('figures', 'measure', script, '--output_path={run}'))))
    arguments = ['--model=vsl', '--data', str(tmp_path), '--work', str(tmp_path / 'w'), '--steps=7']
    assert results.main(arguments) == 1
    assert 'stage train ended with 1' in capsys.readouterr().err
    work = tmp_path / 'w' / 'vsl-tried-7'
    assert not (work / 'results.json').exists()
    assert 'the disk is full' in (work / 'seed-1' / 'stage-train.log').read_text()
    assert results.main(arguments) == 0
    said = capsys.readouterr().out
    assert said.count('done before') == 2       # both stages of seed 0
    assert '| test iou | 0.75 | 0.25 | 0.5 | 0.5 |' in said and '| test accuracy |' in said
    assert '**Tried at 7 steps, not the table.**' in said and 'classes' not in said
    assert '--training_steps=7 --output_path=RUN --seed=0' in said
    for seed in (0, 1):     # trained once, and as long as was said
        assert (work / 'seed-{}'.format(seed) / 'eval' / 'steps').read_text() == '7'
    stored = json.loads((work / 'results.json').read_text())
    assert stored['runs']['0']['seconds']['train'] > 0 and stored['runs']['1']['memory_gib'] > 0


def test_a_training_behind_another_command_is_not_gone_on_with(tmp_path, monkeypatch, capsys):
    (tmp_path / 'bricks').mkdir()
    (tmp_path / 'script.py').write_text(SCRIPT)
    seed = tmp_path / 'w' / 'vsl' / 'seed-0'

    def made(first, last=''):
        script = str(tmp_path / 'script.py')
        monkeypatch.setitem(results_recipes.RECIPES, 'vsl', results_recipes.Recipe(
            'bricks', 1., 'x', (
                results_recipes.Stage('one', 'measure', script, '--output_path={run}/' + first),
                results_recipes.Stage('two', 'train', script, '--output_path={run} --seed=0',
                                      '--training_steps=3'),
                results_recipes.Stage('figures', 'measure', script, '--output_path={run}' + last))))
        return results.main(['--model=vsl', '--data', str(tmp_path), '--work',
                             str(tmp_path / 'w'), '--seeds=0'])

    assert made('a') == 0 and made('a') == 0
    assert capsys.readouterr().out.count('done before') == 3
    assert made('a', ' --tried=1') == 0     # a measurement is made anew, nothing else
    assert capsys.readouterr().out.count('done before') == 2
    assert made('b') == 1
    said = capsys.readouterr().err
    assert 'stage two or one before it had another command' in said and str(seed) in said
    for name in ('one', 'two', 'figures'):      # as older versions left them
        record = seed / 'stage-{}.json'.format(name)
        stored = json.loads(record.read_text())
        del stored['before']
        record.write_text(json.dumps(stored))
    assert made('b') == 0


@pytest.mark.slow
def test_a_tiny_table_of_vsl_is_made_by_its_own_scripts(tmp_path, monkeypatch, capsys):
    bricks(tmp_path)
    monkeypatch.setitem(results_recipes.RECIPES, 'vsl', results_recipes.Recipe('bricks', 1., 'x', (
        results_recipes.Stage('train', 'train', 'vsl/vsl_main.py', '--data_path={data} '
                              '--output_path={run} --seed={seed} --batch_size=5 --device=cpu '
                              '--stages=train', '--total_epoch=3'),
        results_recipes.Stage('figures', 'measure', 'vsl/vsl_main.py', '--data_path={data} '
                              '--output_path={run} --stages=classify,reconstruct --device=cpu'))))
    assert results.main(['--model=vsl', '--data', str(tmp_path), '--work', str(tmp_path / 'w'),
                         '--steps=2']) == 0
    stored = json.loads((tmp_path / 'w' / 'vsl-tried-2' / 'results.json').read_text())
    for seed in ('0', '1'):
        assert {'test iou', 'nearest training shape iou', 'test accuracy'} <= set(
            stored['runs'][seed]['figures'])
    assert 'test iou' in capsys.readouterr().out


def test_the_table_has_seeds_mean_command_and_time():
    runs = {seed: {'figures': {'IoU': value}, 'seconds': {'a': 10., 'b': 5.}, 'memory_gib': 1.25,
                   'commands': ['x.py --seed=' + seed]} for seed, value in (('0', .5), ('1', .25))}
    lines = results.table({'runs': runs, 'command': '`c`', 'device': 'CPU', 'date': '2026-11-30',
                           'tried': ''})
    assert lines == ['| | seed 0 | seed 1 | mean | spread |', '|---|---:|---:|---:|---:|',
                     '| IoU | 0.5 | 0.25 | 0.375 | 0.25 |', '',
                     '`c`; CPU, 2026-11-30; seconds of a seed: 15, 15; peak memory 1.2 GiB.', '',
                     '    python x.py --seed=0']


def test_a_set_that_is_not_there_is_told(tmp_path, capsys):
    assert results.main(['--model=r2n2', '--data', str(tmp_path), '--work',
                         str(tmp_path / 'w')]) == 1
    assert 'give --data, the folder of the sets' in capsys.readouterr().err
    assert not os.path.exists(str(tmp_path / 'w' / 'r2n2' / 'results.json'))

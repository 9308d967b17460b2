"""Tests of common/training/{weight_files,pretrained}.py: weights that ship."""
import hashlib
import json
import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import cli, errors
from common import pretrained as command
from common.training import checkpoints, pretrained, recipes, weight_files
from tests.common.test_checkpoints import save

W = np.array([[1.5, -2.25, 1 / 3.], [65504., 6e-5, 0.]], np.float32)
LARGE = np.array([1e5, 2.], np.float32)     # beyond float16
STEPS = np.array([7], np.int32)


def make_run(tmp_path, **config):
    """A run's output folder with a checkpoint of step 30; its variables w, large, mean, Adam's."""
    run = tmp_path / 'run'
    save(run / 'checkpoints', 20, **{'net/w': 0 * W})
    save(run / 'checkpoints', 30, **{
        'net/w': W, 'net/w/Adam': W, 'net/w/Adam_1': W, 'net/large': LARGE, 'net/count': STEPS,
        'beta1_power': np.float32(0.9), 'net/beta2_power_1': np.float32(0.9),
        'global_step': np.int64(30)})
    (run / 'config.json').write_text(json.dumps(dict({
        'options': {'size': 4, 'data_path': '/home/somebody/data/set.mat', 'unset': None},
        'seed': 3, 'device': 'cpu', 'parameters': 1234,
        'command': '/home/somebody/vsl/vsl_main.py --data_path=/home/somebody/data --size=4',
        'versions': {'python': '3.7'}}, **config)))
    return run


def export(tmp_path, **config):
    folder = tmp_path / 'pretrained'
    pretrained.export(str(make_run(tmp_path, **config)), str(folder), 'Toy')
    return folder


@pytest.mark.unmoved
def test_the_newest_weights_are_stored_without_what_the_optimizer_keeps(tmp_path):
    folder = export(tmp_path)
    prefix = checkpoints.latest(str(folder))
    assert prefix == str(folder / 'checkpoints' / 'model-30')
    assert checkpoints.latest(prefix + '.weights') == prefix
    assert checkpoints.variables_of(prefix) == {
        'net/w': [2, 3], 'net/large': [2], 'net/count': [1]}
    read = checkpoints.read(prefix)
    np.testing.assert_array_equal(read['net/w'], W.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(read['net/large'], LARGE)     # stays float32
    np.testing.assert_array_equal(read['net/count'], STEPS)
    assert {array.dtype.name for array in read.values()} == {'float32', 'int32'}


@pytest.mark.unmoved
def test_weights_restore_like_a_checkpoint(tmp_path):
    prefix = checkpoints.latest(str(export(tmp_path)))
    other = tf.Variable(np.ones([2, 3], np.float32), name='net/w')
    with tf.Session() as sess:
        checkpoints.restore(sess, prefix, [other])
        np.testing.assert_array_equal(sess.run(other), W.astype(np.float16))
        wrong = tf.Variable(np.zeros([5], np.float32), name='net/large')
        with pytest.raises(errors.InputError) as caught:
            checkpoints.restore(sess, prefix, [other, wrong])
        assert re.search(r'another shape.*\[2\] in .*, \[5\] here', caught.value.args[0])
        missing = tf.Variable(np.zeros([5], np.float32), name='net/none')
        with pytest.raises(errors.InputError, match='missing: net'):
            checkpoints.restore(sess, prefix, [missing])


def test_the_note_of_a_frozen_graph_has_the_digest_that_sha256sum_says(tmp_path):
    folder = export(tmp_path)
    path = folder / 'checkpoints' / 'model-30.weights'
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoints.note(str(folder / 'checkpoints' / 'model-30')) == {
        'checkpoint': 'model-30', 'checkpoint_sha256': digest}
    manifest = json.loads((folder / 'manifest.json').read_text())
    assert manifest['files'] == {'checkpoints/model-30.weights': digest}
    assert digest in (folder / 'card.md').read_text()


@pytest.mark.parametrize('place', [40, -30])
def test_a_file_that_was_changed_is_refused(tmp_path, place):
    folder = export(tmp_path)
    path = folder / 'checkpoints' / 'model-30.weights'
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(errors.InputError, match='another digest'):
        checkpoints.read(checkpoints.latest(str(folder)))


def test_weights_without_a_manifest_are_refused(tmp_path):
    folder = export(tmp_path)
    os.remove(str(folder / 'manifest.json'))
    with pytest.raises(errors.InputError, match='has no manifest.json'):
        checkpoints.variables_of(checkpoints.latest(str(folder)))


def test_no_place_of_the_machine_is_written(tmp_path):
    folder = export(tmp_path)
    texts = [(folder / name).read_text() for name in ('config.json', 'manifest.json', 'card.md')]
    assert not any('/home' in text or str(tmp_path) in text for text in texts)
    assert json.loads(texts[0])['command'] == 'vsl_main.py --data_path=data --size=4'
    assert json.loads(texts[0])['options']['data_path'] == 'set.mat'
    assert pretrained.sizes(str(folder), ['size', 'unset', 'other']) == {'size': 4}


def test_a_card_keeps_what_was_written_and_gets_new_facts(tmp_path):
    folder = export(tmp_path)
    card = folder / 'card.md'
    card.write_text(card.read_text().replace('To be written: what', 'Furniture, CC0. What'))
    save(tmp_path / 'run' / 'checkpoints', 40, **{'net/w': W})
    pretrained.export(str(tmp_path / 'run'), str(folder), 'Toy')
    text = card.read_text()
    assert 'Furniture, CC0.' in text and 'model-40' in text and 'model-30' not in text
    assert sorted(os.listdir(str(folder / 'checkpoints'))) == ['model-40.weights']


def test_the_same_weights_give_the_same_bytes(tmp_path):
    digests = [weight_files.write(str(tmp_path / name), {'b': W, 'a/c': LARGE})
               for name in ('x.weights', 'y.weights')]
    assert digests[0] == digests[1]
    with pytest.raises(errors.InputError, match='NaN'):
        weight_files.write(str(tmp_path / 'z.weights'), {'b': W / 0})
    assert sorted(os.listdir(str(tmp_path))) == ['x.weights', 'y.weights']


def test_fractions_of_few_bits_are_rounded_to_the_nearest_even():
    # By hand: 2.25 = 2 x 1.001 (binary) lies between 1.00 and 1.01; a third is 1.0101010101 / 4;
    # 65504 would go to infinity; 6e-5 is 1007 of 2^-24, the next of two bits is 1024.
    np.testing.assert_array_equal(weight_files.rounded(W, 2), np.float32(
        [[1.5, -2., 0.3125], [65504., 2. ** -14, 0.]]))
    np.testing.assert_array_equal(weight_files.rounded(W), W.astype(np.float16))
    np.testing.assert_array_equal(weight_files.rounded(np.float32([2.75, 3.25]), 2), [3., 3.])


def test_records_of_other_weights_go_and_a_scope_without_variables_is_refused(tmp_path):
    folder = export(tmp_path)
    (folder / 'features.npz').write_bytes(b'of the weights before')
    (tmp_path / 'run' / 'expected.json').write_text('{}')
    pretrained.export(str(tmp_path / 'run'), str(folder), 'Toy')
    assert not (folder / 'features.npz').exists() and (folder / 'expected.json').exists()
    with pytest.raises(errors.InputError, match='no variable in nets'):
        pretrained.export(str(tmp_path / 'run'), str(folder), 'Toy', leave_out=['nets'])
    with pytest.raises(errors.InputError, match='--leave_out net leaves no variable of'):
        pretrained.export(str(tmp_path / 'run'), str(folder), 'Toy', leave_out=['net'])


def test_few_bits_pack_smaller_and_scopes_may_be_left_out(tmp_path):
    values = np.random.RandomState(0).randn(3, 50000).astype(np.float32)
    scalar, run = np.float32(0.1), str(tmp_path / 'run')
    save(tmp_path / 'run' / 'checkpoints', 5, **{'a/w': values, 'a/b': scalar, 'ab/w': W})
    make_config = {'options': {}, 'seed': 0, 'device': 'cpu', 'parameters': 1, 'command': 'x.py'}
    (tmp_path / 'run' / 'config.json').write_text(json.dumps(make_config))
    sizes = []
    for bits in (10, 6):
        folder = str(tmp_path / str(bits))
        pretrained.export(run, folder, 'Toy', bits=bits, leave_out=['ab'])
        read = checkpoints.read(checkpoints.latest(folder))
        assert sorted(read) == ['a/b', 'a/w']
        np.testing.assert_allclose(read['a/w'], values, rtol=2. ** -bits * 0.54, atol=1e-6)
        np.testing.assert_allclose(read['a/b'], scalar, rtol=2. ** -bits * 0.54)
        assert read['a/b'].shape == ()
        sizes.append(os.path.getsize(os.path.join(folder, 'checkpoints', 'model-5.weights')))
    assert sizes[1] < 0.8 * sizes[0] < 0.8 * 0.95 * values.nbytes / 2
    card = (tmp_path / '6' / 'card.md').read_text()
    assert ', fractions of 6 bits' in card and 'without ab, which others hold' in card
    assert json.loads((tmp_path / '6' / 'manifest.json').read_text())['left_out'] == ['ab']


def test_weights_are_those_asked_for_those_of_the_run_or_those_that_ship(tmp_path, capsys):
    folder = str(export(tmp_path))

    def chosen(has_run, **values):
        options = cli.Options(output_path='out', **dict(
            {'checkpoint': '', 'pretrained': False}, **values))
        return pretrained.chosen(options, folder, has_run).checkpoint

    assert chosen(True) == '' and chosen(False, checkpoint='a') == 'a'
    assert capsys.readouterr().out == ''
    assert chosen(False) == folder
    assert 'taking the weights that ship' in capsys.readouterr().out
    assert chosen(True, pretrained=True) == folder
    with pytest.raises(errors.UsageError, match='two choices'):
        chosen(False, pretrained=True, checkpoint='a')
    with pytest.raises(errors.InputError, match='no weights ship'):
        pretrained.chosen(cli.Options(output_path='out', checkpoint='', pretrained=True),
                          str(tmp_path / 'none'), False)


def write_rows(path, rows):
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_commands_and_losses_are_told_stage_by_stage(tmp_path):
    run, folder = make_run(tmp_path), tmp_path / 'pretrained'
    write_rows(run / 'first_steps.jsonl', [{'step': 1, 'loss': 0.1}, {'step': 2, 'loss': 1 / 3.}])
    write_rows(run / 'metrics.jsonl', [{'step': 2, 'loss': 1 / 3., 'seconds_per_step': 0.5},
                                       {'step': 30, 'loss': 0.25}, {'step': 30, 'test_iou': 0.75}])
    pretrained.export(str(run), str(folder), 'Toy',
                      data_command='/home/somebody/vsl/make_dataset.py --output=/home/x/set.mat')
    assert (folder / 'curve.csv').read_text().splitlines() == [
        'stage,part,step,loss,test_iou', '1,,1,0.1,', '1,,2,0.333333333,', '1,,30,0.25,0.75']
    command = 'vsl_main.py --data_path=data --size=4'
    assert recipes.read(str(folder)) == {'data': 'make_dataset.py --output=set.mat',
                                         'stages': {'1': {'': command}}}
    write_rows(run / 'metrics.jsonl', [{'step': 2, 'loss': 0.125}])
    pretrained.export(str(run), str(folder), 'Toy', stage=2)
    assert recipes.read(str(folder)) == {'data': 'make_dataset.py --output=set.mat', 'stages': {
        '1': {'': command}, '2': {'': command}}}
    assert recipes.read_curve(str(folder)) == {
        ('1', ''): {1: {'loss': 0.1}, 2: {'loss': 0.333333333},
                    30: {'loss': 0.25, 'test_iou': 0.75}},
        ('2', ''): {1: {'loss': 0.1}, 2: {'loss': 0.125}}}
    for _ in range(2):      # told twice, told once
        pretrained.export(str(run), str(folder), 'Toy', stage=3,
                          data_command='vsl/make_dataset.py --models=9 --output=set.mat')
    recipe = recipes.read(str(folder))
    assert recipe['data'] == 'vsl/make_dataset.py --models=9 --output=set.mat'
    assert recipe['sets'] == {number: 'make_dataset.py --output=set.mat' for number in '12'}
    assert [recipes.set_of(recipe, number) for number in '13'] == [
        'make_dataset.py --output=set.mat', recipe['data']]


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path):
    run, folder = make_run(tmp_path), tmp_path / 'pretrained'
    write_rows(run / 'first_steps.jsonl', [{'step': step, 'loss': 1.} for step in range(1, 11)])
    write_rows(run / 'metrics.jsonl', [{'step': step, 'loss': 2.} for step in range(1, 4001)])
    pretrained.export(str(run), str(folder), 'Toy')
    steps = sorted(recipes.read_curve(str(folder))['1', ''])
    assert steps[:11] == list(range(1, 12)) and steps[-1] == 4000 and len(steps) < 420


@pytest.mark.parametrize('name, content', [
    ('curve.csv', 'stage,part,step,loss\n1,,x,0.5\n'), ('recipe.json', '{"data": ""}'),
    ('recipe.json', '{"data": "", "stages": {}, "sets": {"1": 2}}')])
def test_a_damaged_record_is_refused(tmp_path, name, content):
    folder = export(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(errors.InputError, match=name):
        pretrained.export(str(tmp_path / 'run'), str(folder), 'Toy')


def test_the_command_writes_networks_in_folders_of_their_own(tmp_path, capsys):
    run = tmp_path / 'run'
    for part, name in (('furniture_64', 'IMAE.model'), ('furniture_128', 'IMSVR.model')):
        save(run / 'checkpoints' / part, 5, name, **{'net/w': W})
    os.makedirs(str(run / 'ae'))
    (run / 'ae' / 'config.json').write_text('{"options": {"z_dim": 8, "leaky_clip": true}}')
    assert command.main(['--model=imnet', '--output_path={}'.format(run),
                         '--output={}'.format(tmp_path / 'out')]) == 0
    assert sorted(json.loads((tmp_path / 'out' / 'manifest.json').read_text())['files']) == [
        'checkpoints/furniture_128/IMSVR.model-5.weights',
        'checkpoints/furniture_64/IMAE.model-5.weights']
    assert pretrained.sizes(str(tmp_path / 'out'), ['z_dim'], 'ae') == {'z_dim': 8}
    assert 'card.md' in capsys.readouterr().out
    read = checkpoints.read(checkpoints.latest(str(tmp_path / 'out/checkpoints/furniture_64')))
    assert read['net/w'].shape == (2, 3)

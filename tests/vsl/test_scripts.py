"""Tests of vsl_main.py, vsl_imrec.py, freeze.py: two steps on tiny sets, resume, bad input."""
import argparse
import json
import os
import re
import shutil
import sys

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from common import cli, errors, frozen
from common.training import checkpoints
from vsl import (
    data_utils,
    draw,
    evaluation,
    inference,
    make_dataset,
    measures,
    networks,
    options,
    vsl,
    vsl_imrec,
    vsl_main,
    vsl_rec,
)

SIZES = ['--batch_size=5', '--global_latent_dim=3', '--local_latent_dim=2', '--local_latent_num=2']
STAGES = 'classify,reconstruct,generate,interpolate,tsne,metrics'


def call(script, *arguments):
    tf.reset_default_graph()
    return script.main([str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
    monkeypatch.setattr(draw, '_MOST_TRIANGLES', 500)


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    """A set without images and one with them."""
    folder = tmp_path_factory.mktemp('sets')
    splits, names = make_dataset.make_furniture(0, 2, 1)
    data_utils.write(str(folder / 'shapes.mat'), splits, names)
    rng = np.random.RandomState(0)
    splits = {name: split._replace(
        labels=(split.labels % 2 + 1).astype(np.int32),
        images=rng.randint(0, 255, [len(split.labels), 100, 100, 3]).astype(np.uint8))
        for name, split in splits.items()}
    data_utils.write(str(folder / 'images.mat'), splits, ['odd', 'even'])
    return folder


def train(sets, output, *more):
    return call(vsl_main, '--data_path', sets / 'shapes.mat', '--output_path', output,
                '--stages=train', '--report_every=1', *SIZES, *more)


def values(output):
    prefix = checkpoints.latest(str(output))
    return {name: array for name, array in checkpoints.read(prefix).items()}


@pytest.mark.slow
def test_all_stages_run_and_leave_figures_pictures_and_checkpoints(sets, tmp_path, capsys):
    out = tmp_path / 'run'
    assert call(vsl_main, '--data_path', sets / 'shapes.mat', '--output_path', out,
                '--training_steps=4', '--num_samples=2', '--stages=train,freeze,' + STAGES,
                '--search_mirrored', '--baselines', '--print_step=1', '--eval_every=1', *SIZES) == 0
    said = capsys.readouterr().out
    assert re.search(r'Epoch: 0000 \| kl-loss: [\d.]+ \+ rec-loss: [\d.]+ = total-loss: ', said)
    assert 'Shape classification (all shapes): train: ' in said and 'active units' in said
    assert re.search(r'^Accuracy: [\d.]+$', said, re.M) and 'Loss: ' in said
    for stage in STAGES.split(','):
        assert json.loads((out / 'eval' / (stage + '.json')).read_text())
    assert (out / 'eval' / 'tsne.png').stat().st_size > 1000
    for name in ('generated-bathtub', 'losses', 'measures'):
        assert (out / 'eval' / (name + '.png')).exists()
    assert [name for name in os.listdir(str(out / 'checkpoints'))
            if re.match(r'modelnet10-0000-cost-\d\.\d{4}\.ckpt\.index', name)]
    assert sorted(name for name in os.listdir(str(out)) if name.endswith('.pb')) == [
        'vsl_decoder.pb', 'vsl_encoder.pb']


@pytest.mark.slow
def test_a_resumed_run_equals_the_unbroken_one(sets, tmp_path):
    assert train(sets, tmp_path / 'whole', '--training_steps=5') == 0
    assert train(sets, tmp_path / 'parts', '--training_steps=1') == 0
    assert train(sets, tmp_path / 'parts', '--training_steps=5') == 0
    whole, parts = values(tmp_path / 'whole'), values(tmp_path / 'parts')
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name], err_msg=name)


@pytest.mark.slow
def test_image_training_measures_retrieves_and_draws(sets, tmp_path, capsys):
    out = tmp_path / 'run'
    assert call(vsl_imrec, '--data_path', sets / 'images.mat', '--output_path', out, '--class=all',
                '--training_steps=4', '--stages=train,iou,retrieve,pictures', *SIZES) == 0
    said = capsys.readouterr().out
    assert 'IOU - all - Train: ' in said and 'IoU odd: ' in said and 'Retrieval' in said
    scores = json.loads((out / 'eval' / 'iou.json').read_text())
    assert set(scores['classes']) == {'odd', 'even'} and 0 <= scores['mean_shape'] <= 1
    assert (out / 'eval' / 'all-beside.png').exists() and (out / 'eval' / 'all-found.png').exists()


@pytest.mark.slow
@pytest.mark.parametrize('plain', ['--plain', '--noplain'])
def test_frozen_graphs_give_what_the_checkpoint_gives(sets, tmp_path, plain):
    assert train(sets, tmp_path / 'run', '--training_steps=1') == 0
    assert call(freeze_graph, '--model=vsl', '--output_path', tmp_path / 'run', '--output',
                tmp_path / 'pb', '--batch_size=1', plain) == 0
    voxels = data_utils.read_split(str(sets / 'shapes.mat'), 'test').voxels[:1]
    tf.reset_default_graph()
    model = vsl.VarShapeLearner(30, 1, 3, 2, 2, training=False)
    checkpoints.restore(model.sess, checkpoints.latest(str(tmp_path / 'run')),
                        list(model.params.values()))
    codes = inference.codes(model, voxels)
    with frozen.load(str(tmp_path / 'pb' / 'vsl_encoder.pb')) as graph:
        outputs = graph.predict(voxels=data_utils.grids(voxels).astype(np.float32))
    np.testing.assert_allclose(outputs['latent'], codes, atol=1e-5)
    with frozen.load(str(tmp_path / 'pb' / 'vsl_decoder.pb')) as graph:
        outputs = graph.predict(latent=codes)
    np.testing.assert_allclose(outputs['occupancy'].reshape(1, -1), inference.decode(model, codes),
                               atol=1e-5)
    manifest = json.loads((tmp_path / 'pb' / 'vsl_encoder.json').read_text())
    assert manifest['aliases'] == {'latent_feature': 'latent'}


RECORD = {'global_latent_dim': 3, 'local_latent_dim': 2, 'local_latent_num': 2, 'batch_size': 7,
          'preset': 'separately', 'class_name': 'odd', 'image_scale': 0.5,
          'merge_first_code': True, 'decode_samples': False, 'bias_after_product': True}


def record(folder, **more):
    (folder / 'config.json').write_text(json.dumps({'options': dict(RECORD, **more)}))


@pytest.mark.parametrize('arguments, expected', [
    ([], RECORD),
    (['--nomerge_first_code', '--image_scale=2', '--batch_size=4'],
     dict(RECORD, merge_first_code=False, image_scale=2., batch_size=4)),
    (['--preset=jointly'], dict(RECORD, preset='jointly', global_latent_dim=10, local_latent_dim=5,
                                local_latent_num=5, batch_size=40))])
def test_stages_alone_take_from_the_record_what_is_not_given(tmp_path, arguments, expected):
    record(tmp_path)
    settled = options.complete_images(vsl_imrec.parse_args(
        ['--data_path=x', '--stages=iou', '--output_path', str(tmp_path)] + arguments), 'cpu')
    assert {name: getattr(settled, name) for name in expected} == expected


def test_without_a_record_nothing_is_mended_and_images_stay_as_stored(tmp_path):
    settled = options.complete_images(vsl_imrec.parse_args(
        ['--data_path=x', '--stages=iou', '--output_path', str(tmp_path)]), 'cpu')
    assert [settled.merge_first_code, settled.decode_samples, settled.bias_after_product,
            settled.image_scale] == [False, False, False, 1.]


@pytest.mark.parametrize('name, epochs', [('model-12', 6), ('odd-000-cost-0.1.ckpt', 50)])
def test_the_last_shuffle_is_that_of_the_training_not_of_the_options(tmp_path, name, epochs):
    record(tmp_path, seed=3, training_steps=99)     # batches of 7
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / (name + '.index')).write_text('')
    settled = cli.Options(checkpoint=str(tmp_path / 'checkpoints' / name), batch_size=2,
                          output_path='elsewhere', seed=0, training_steps=1)
    assert evaluation.order_of_training(settled, 20) == (3, epochs)
    settled = settled.replace(checkpoint='', output_path=str(tmp_path))
    assert evaluation.order_of_training(settled, 20) == (3, epochs)


@pytest.mark.slow
def test_a_stage_alone_measures_the_batches_that_the_training_run_measured(sets, tmp_path,
                                                                           monkeypatch):
    seen = []
    monkeypatch.setattr(evaluation, 'classify', lambda *arguments: seen.append(arguments[3]) or {})
    arguments = ['--data_path', sets / 'shapes.mat', '--output_path', tmp_path, *SIZES]
    assert call(vsl_main, *arguments, '--stages=train,classify', '--training_steps=5',
                '--seed=4') == 0
    assert call(vsl_main, *arguments, '--stages=classify') == 0
    for split in ('train', 'test'):
        np.testing.assert_array_equal(seen[0][split], seen[1][split])


def test_a_set_of_one_class_is_not_classified_and_does_not_fail(capsys):
    split = data_utils.Split(None, np.ones(4, np.int32), None)
    data = argparse.Namespace(train=split, test=split)
    assert evaluation.classify(None, {}, data, {}, None) == {}
    assert 'of one class' in capsys.readouterr().out


@pytest.mark.parametrize('class_name, id1, message', [
    ('empty', None, 'set.mat has no shapes of it'), ('chair', 3, 'has the shapes 0 to 2')])
def test_a_class_without_shapes_and_a_number_beyond_it_are_refused(class_name, id1, message):
    split = data_utils.Split(np.zeros([3, 27000], np.uint8), np.full(3, 2), None)
    data = argparse.Namespace(train=split, test=split, names=['empty', 'chair'], path='set.mat')
    settled = cli.Options(class_name='chair', id1=2, id2=0)
    assert len(evaluation.class_shapes(data, settled)[0]) == 3
    with pytest.raises(errors.UsageError, match=message):
        evaluation.class_shapes(data, settled.replace(class_name=class_name, id1=id1))


def test_iou_of_a_split_decodes_a_batch_at_a_time(monkeypatch):
    rng = np.random.RandomState(0)
    voxels, decoded = rng.randint(0, 2, [7, 50]), rng.rand(7, 50)
    monkeypatch.setattr(inference, 'decode', lambda model, latent: decoded[latent[:, 0]])
    ious = inference.iou(argparse.Namespace(batch_size=3), np.arange(7)[:, None], voxels)
    np.testing.assert_array_equal(ious, measures.iou(decoded, voxels))


def test_another_class_is_not_trained_into_the_folder_of_the_first(sets, tmp_path, capsys):
    record(tmp_path)
    arguments = ['--data_path', sets / 'images.mat', '--output_path', tmp_path, '--stages=train',
                 '--class=even', *SIZES]
    assert call(vsl_imrec, *arguments) == 2
    said = capsys.readouterr().err
    assert '--class=odd, not of even' in said and 'another --output_path' in said


@pytest.mark.parametrize('arguments, expected', [
    (['--preset=jointly'], {'global_latent_dim': 10, 'merge_first_code': True}),
    (['--nomerge_first_code'], {'global_latent_dim': 3, 'merge_first_code': False})])
def test_freezing_takes_sizes_from_the_preset_and_the_rest_from_the_record(tmp_path, arguments,
                                                                           expected):
    record(tmp_path)
    (tmp_path / 'model-1.index').write_text('')
    trained = vars(networks.trained(cli.settled(freeze_graph.parse_args(
        ['--model=vsl', '--output_path', str(tmp_path)] + arguments)), 'cpu')[0])
    assert dict(trained, **expected) == trained and trained['bias_after_product']


@pytest.mark.slow
def test_a_checkpoint_without_a_record_is_frozen_in_the_sizes_given(sets, tmp_path):
    model = vsl_rec.VarShapeLearner(batch_size=1, global_latent_dim=3, local_latent_dim=2,
                                    local_latent_num=2, training=False)
    tf.train.Saver().save(model.sess, str(tmp_path / 'aero-008-cost-0.1.ckpt'))
    assert call(vsl_imrec, '--data_path', sets / 'images.mat', '--output_path', tmp_path / 'out',
                '--checkpoint', tmp_path / 'aero-008-cost-0.1.ckpt', '--stages=freeze',
                '--image_scale=0.5', *SIZES) == 0
    manifest = json.loads((tmp_path / 'out' / 'vsl_image.json').read_text())
    assert manifest['notes']['image_scale'] == 0.5


def test_stages_alone_need_a_checkpoint_and_one_of_the_right_sizes(sets, tmp_path, capsys,
                                                                   monkeypatch):
    monkeypatch.setattr(options, 'PRETRAINED', str(tmp_path / 'none ship'))
    arguments = ['--data_path', sets / 'shapes.mat', '--output_path', tmp_path, '--stages=classify']
    assert call(vsl_main, *arguments, *SIZES) == 1
    assert 'no checkpoint' in capsys.readouterr().err
    tf.reset_default_graph()
    model = vsl.VarShapeLearner(batch_size=1, global_latent_dim=3, local_latent_dim=2,
                                local_latent_num=2, training=False)
    tf.train.Saver().save(model.sess, str(tmp_path / 'aero-008-cost-0.1.ckpt'))
    assert call(vsl_main, *arguments, *SIZES) == 0
    capsys.readouterr()
    assert call(vsl_main, *arguments, '--preset=modelnet10', '--batch_size=5') == 1
    said = capsys.readouterr().err
    assert 'belongs to another network' in said and 'dec_fc1 [300] in the file, [600] here' in said
    assert said.count('\n') == 1
    index = tmp_path / 'aero-008-cost-0.1.ckpt.index'
    index.write_bytes(index.read_bytes()[:50])
    assert call(vsl_main, *arguments, *SIZES) == 1
    assert 'damaged' in capsys.readouterr().err


@pytest.mark.parametrize('script, arguments, code, message', [
    (vsl_main, ['--batch_size=21'], 1, 'fewer than a batch of 21'),
    (vsl_main, ['--class=spoon'], 2, 'bathtub, bed'),
    (vsl_main, ['--class=spoon', '--stages=train'], 2, 'bathtub, bed'),
    (vsl_main, ['--id1=1'], 2, 'has the shapes 0 to 0'),
    (vsl_main, ['--data_path=missing.mat'], 1, 'does not exist'),
    (vsl_imrec, [], 1, 'no dataset "model_train"')])
def test_bad_input_ends_with_one_line(sets, tmp_path, capsys, script, arguments, code, message):
    assert call(script, '--data_path', sets / 'shapes.mat', '--output_path', tmp_path,
                *arguments) == code
    said = capsys.readouterr().err
    assert message in said and said.count('\n') == 1


def spoil(source, target, change):
    """Copies a set and changes the copy; `change` takes the open file."""
    shutil.copy(str(source), str(target))
    with h5py.File(str(target), 'r+') as stream:
        change(stream)


def without_first_row(stream):
    rows = stream['train'][1:]
    del stream['train']
    stream['train'] = rows


def in_train(key, index, value):
    """A change of one element; rows are copied as floats, so that any value fits."""
    def change(stream):
        rows = stream[key][()].astype(np.float32)
        rows[index] = value
        del stream[key]
        stream[key] = rows
    return change


@pytest.mark.parametrize('change, message', [
    (lambda stream: stream.move('train', 'training'), 'no dataset "train" (found: test, training)'),
    (without_first_row, 'has the shape (27000, 20) in HDF5, expected (27001, N)'),
    (in_train('train', (0, 3), 0), 'class id 0 in shape 3'),
    (in_train('train', (5, 2), 2), 'occupancy 2.0 in shape 2, cell 4; only 0 and 1')])
def test_a_bad_set_ends_training_with_one_line_before_it_starts(sets, tmp_path, capsys, change,
                                                                message):
    spoil(sets / 'shapes.mat', tmp_path / 'bad.mat', change)
    assert call(vsl_main, '--data_path', tmp_path / 'bad.mat', '--output_path', tmp_path / 'run',
                *SIZES) == 1
    out, said = capsys.readouterr()
    assert message in said and 'bad.mat' in said and said.count('\n') == 1 and 'step' not in out


def test_a_truncated_set_and_images_with_nan_end_with_one_line(sets, tmp_path, capsys):
    data = (sets / 'images.mat').read_bytes()
    (tmp_path / 'cut.mat').write_bytes(data[:len(data) // 2])
    spoil(sets / 'images.mat', tmp_path / 'nan.mat',
          in_train('image_train', (0, 1, 2, 3), np.nan))
    for name, message in (('cut.mat', 'vsl/make_dataset.py'),
                          ('nan.mat', '"image_train" holds NaN')):
        assert call(vsl_imrec, '--data_path', tmp_path / name, '--output_path', tmp_path / 'run',
                    '--class=all', *SIZES) == 1
        said = capsys.readouterr().err
        assert message in said and name in said and said.count('\n') == 1


def test_images_may_start_from_a_network_of_shapes(sets, tmp_path, capsys):
    model = vsl.VarShapeLearner(batch_size=1, global_latent_dim=3, local_latent_dim=2,
                                local_latent_num=2, training=False)
    model.params['dec_fc2_1'].load(np.full([1024], 7.), model.sess)
    model.saver.save(model.sess, str(tmp_path / 'shapes-0-cost-0.1.ckpt'))
    arguments = ['--data_path', sets / 'images.mat', '--output_path', tmp_path / 'run',
                 '--checkpoint', tmp_path / 'shapes-0-cost-0.1.ckpt', '--class=all',
                 '--stages=train', '--training_steps=1']
    assert call(vsl_imrec, *arguments, *SIZES) == 0
    assert 'the image branch starts anew' in capsys.readouterr().out
    weights = values(tmp_path / 'run')
    assert np.abs(weights['dec_fc2_1'] - 7).max() < 0.01 and np.abs(weights['image_fc1']).max() > 0
    assert call(vsl_imrec, *arguments, '--preset=separately', '--batch_size=5', '--noresume') == 1
    assert 'belongs to another network' in capsys.readouterr().err


@pytest.mark.parametrize('script', [vsl_main, vsl_imrec, make_dataset])
def test_help_is_given_and_a_misspelt_option_refused(script, capsys):
    for argument, code in (('--help', 0), ('--data_psth=x', 2), ('--stages=trian', 2)):
        with pytest.raises(SystemExit) as caught:
            script.parse_args([argument])
        assert caught.value.code == code
        assert argument.split('=')[0] in ''.join(capsys.readouterr())


def test_mayavi_is_asked_for_by_its_pip_line_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mayavi', None)
    with pytest.raises(errors.InputError, match='pip install'):
        draw.draw_sample(np.zeros(27000), 'never.png')

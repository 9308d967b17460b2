"""Data of 3D-R2N2: batches that depend on the seed alone, workers that fail loudly, bad files."""
import json
import os
import shutil

import numpy as np
import pytest

from common import errors
from common.training import workers as workers_lib
from r2n2.lib import config as config_lib
from r2n2.lib import data_augmentation, data_io, data_process, settings_checks
from tests.r2n2 import tiny


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tiny.make_data(tmp_path_factory.mktemp('set'))


@pytest.fixture
def loader(folder):
    return make_loader(folder)


def make_loader(folder, train=True, **options):
    config = config_lib.defaults()
    config.CONST.update(N_VIEWS=3, BATCH_SIZE=2)
    config.TRAIN.update(NUM_RENDERING=3, **options)
    data = data_io.find(folder)
    return data_process.Loader(config, data, data_io.pairs(data, [0, 1]), train)


def batches(loader, workers, count=7, seed=5, first=0):
    order = data_process.training_order(len(loader.pairs), 2, seed)

    def make(number):
        return data_process.training_batch(loader, order, seed, number)

    with workers_lib.Workers(make, workers, depth=3) as ahead:
        ahead.begin(first)
        return [ahead.get() for _ in range(count)]


def test_batches_are_the_same_with_any_number_of_workers(loader):
    alone = batches(loader, 0)
    for workers in (1, 2, 3):
        for one, other in zip(alone, batches(loader, workers)):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
    for one, other in zip(alone[4:], batches(loader, 2, 3, first=4)):
        np.testing.assert_array_equal(one[0], other[0])
    assert len({len(images) for images, _ in alone}) > 1    # numbers of views
    other_seed = batches(loader, 0, seed=6)
    assert any(one[0].shape != two[0].shape or (one[0] != two[0]).any()
               for one, two in zip(alone, other_seed))


def test_an_epoch_has_every_sample_once_but_the_last_batch():
    order = data_process.Order(7, 2, lambda epoch: np.random.RandomState(epoch).permutation(7))
    for epoch in range(3):
        seen = [index for number in range(3) for index in order.at(3 * epoch + number)[1]]
        assert len(set(seen)) == 6 and order.at(3 * epoch)[0] == epoch
    assert data_process.Order(8, 2, lambda epoch: np.arange(8)).per_epoch == 3    # as the original
    assert [data_process.Order(5, 2).at(number)[1] for number in range(3)] == [[0, 1], [2, 3], [4]]


def test_an_error_of_a_worker_is_the_error_of_the_run(folder, tmp_path):
    broken = str(tmp_path / 'set')
    shutil.copytree(folder, broken)
    for name in os.listdir(os.path.join(broken, 'ShapeNetVox32', 'chair')):
        os.remove(os.path.join(broken, 'ShapeNetVox32', 'chair', name, 'model.binvox'))
    with pytest.raises(errors.InputError, match='chair.*model.binvox'):
        batches(make_loader(broken), 2, 20)


def test_mirrored_together_keeps_views_and_grid_in_step(folder):
    loader = make_loader(folder, FLIP_TOGETHER=True, RANDOM_CROP=True)
    plain = make_loader(folder, FLIP=False)
    flipped = 0
    for seed in range(8):
        images, voxels = loader.sample(0, [0, 1], np.random.RandomState(seed))
        before, grid = plain.sample(0, [0, 1], np.random.RandomState(seed))
        if (images == before).all():
            np.testing.assert_array_equal(voxels, grid)
        else:
            np.testing.assert_array_equal(images, before[:, :, ::-1])
            np.testing.assert_array_equal(voxels, grid[:, :, ::-1])
            flipped += 1
    assert 0 < flipped < 8


def test_hue_turns_colours_and_leaves_grey():
    image = np.zeros([2, 2, 3], np.uint8)
    image[0] = 200, 40, 40
    image[1] = 90
    turned = data_augmentation.shift_hue(image, 0.9, np.random.RandomState(3))
    assert (turned[1] == 90).all() and np.abs(turned[0].astype(int) - image[0]).max() > 40


@pytest.mark.parametrize('damage, words', [
    ('missing', ['00.png', 'cannot read']), ('truncated', ['00.png', 'as a picture']),
    ('small', ['00.png', '100 x 100', '137 x 137']),
    ('text', ['00.png', 'as a picture'])])
@pytest.mark.parametrize('train', [True, False])
def test_a_bad_view_is_named(folder, tmp_path, damage, words, train):
    broken = str(tmp_path / 'set')
    shutil.copytree(folder, broken)
    path = os.path.join(broken, 'ShapeNetRendering', 'chair', '0000', 'rendering', '00.png')
    data = open(path, 'rb').read()
    if damage == 'missing':
        os.remove(path)
    elif damage == 'truncated':
        open(path, 'wb').write(data[:len(data) // 2])
    elif damage == 'text':
        open(path, 'w').write('no picture')
    else:
        import cv2
        cv2.imwrite(path, np.zeros([100, 100, 4], np.uint8))
    with pytest.raises(errors.InputError) as caught:
        make_loader(broken, train=train).sample(0, [0], np.random.RandomState(0))
    assert all(word in str(caught.value) for word in words) and '\n' not in str(caught.value)


@pytest.mark.parametrize('there, remedy', [
    (['00', '01'], 'has 2 views, and TRAIN.NUM_RENDERING is 3. Give .*NUM_RENDERING 2$'),
    (['01', '02', '03'], 'has 0 views, and .* Views are named 00.png, 01.png'),
    (['000', '001', '002'], 'Views are named 00.png')])
def test_a_number_of_renderings_that_does_not_fit_has_its_remedy(folder, tmp_path, there, remedy):
    broken = str(tmp_path / 'set')
    shutil.copytree(folder, broken)
    place = os.path.join(broken, 'ShapeNetRendering', 'chair', '0000', 'rendering')
    views = sorted(os.listdir(place))
    with open(os.path.join(place, views[0]), 'rb') as stream:
        data = stream.read()
    for name in views:
        os.remove(os.path.join(place, name))
    for name in there:
        with open(os.path.join(place, name + '.png'), 'wb') as stream:
            stream.write(data)
    with pytest.raises(errors.InputError, match=remedy):
        make_loader(broken).sample(0, [0, 1, 2], np.random.RandomState(0))


def test_a_grid_of_another_size_or_cut_short_is_named(folder, tmp_path):
    broken = str(tmp_path / 'set')
    shutil.copytree(folder, broken)
    path = os.path.join(broken, 'ShapeNetVox32', 'chair', '0000', 'model.binvox')
    data = open(path, 'rb').read()
    open(path, 'wb').write(data[:-4])
    with pytest.raises(errors.InputError, match='model.binvox'):
        make_loader(broken).voxels(0)
    open(path, 'wb').write(b'#binvox 1\ndim 4 4 4\ntranslate 0 0 0\nscale 1\ndata\n\x01\x40')
    with pytest.raises(errors.InputError, match='4 x 4 x 4, expected 32'):
        make_loader(broken).voxels(0)


def test_a_category_without_folder_or_models_is_named(folder, tmp_path):
    data = data_io.find(folder)
    with pytest.raises(errors.InputError, match='category sofa'):
        data_io.pairs(data._replace(names={'sofa': 'sofa'}), [0, 1])
    empty = tmp_path / 'set'
    (empty / 'sofa').mkdir(parents=True)
    with pytest.raises(errors.InputError, match='category sofa.*holds no models'):
        data_io.pairs(data._replace(query_path=str(empty), names={'sofa': 'sofa'}), [0, 1])
    with pytest.raises(errors.InputError, match='no model in the portion'):
        data_io.pairs(data, [0.5, 0.5])
    with pytest.raises(errors.InputError, match='ShapeNetRendering'):
        data_io.find(str(tmp_path))


@pytest.mark.parametrize('text', ['[]', '{}', '["a"]', '{"a": "b"}', '{"a": {}}', '3', '{'])
def test_a_json_without_categories_is_refused(tmp_path, text):
    path = tmp_path / 'set.json'
    path.write_text(text)
    with pytest.raises(errors.InputError, match='set.json .*JSON of categories'):
        data_io.read_names(str(path))


@pytest.mark.parametrize('name', ['../chair', 'a/b', '/etc', '..', '', 'a\\b', 'a\x1b[31m'])
def test_categories_that_lead_out_of_the_set_are_refused(tmp_path, name):
    path = tmp_path / 'set.json'
    path.write_text(json.dumps({'chair': {'name': 'chair'}, name: {'name': 'x'}}))
    with pytest.raises(errors.InputError, match='set.json.* no name of a folder'):
        data_io.read_names(str(path))


def test_lists_of_voc_are_refused_at_the_first_line_that_is_none(tmp_path):
    folder = tmp_path / 'ImageSets' / 'Main'
    folder.mkdir(parents=True)
    for name in data_augmentation._VOC_CLASSES:
        for part in ('val', 'train', 'trainval'):
            (folder / '{}_{}.txt'.format(name, part)).write_text(
                '2008_1 -1\n2008_2  1\n2008_3 -1\n')
    assert data_augmentation.voc_backgrounds(str(tmp_path)) == ['2008_1', '2008_3']
    (folder / '{}_train.txt'.format(name)).write_text('2008_1 -1\n2008_9\n2008_3 -1\n')
    with pytest.raises(errors.InputError, match='{}_train.txt: a line is not'.format(name)):
        data_augmentation.voc_backgrounds(str(tmp_path))


def test_a_short_test_portion_fills_its_batches():
    order = data_process.training_order(3, 8, seed=0)
    for number in range(2):
        epoch, indices = order.at(number)
        assert epoch == number and len(indices) == 8 and set(indices) == {0, 1, 2}


@pytest.mark.parametrize('key, value', [
    ('CONST.N_VOX', 64), ('CONST.N_VIEWS', 0), ('TRAIN.DATASET_PORTION', [0.8]),
    ('TEST.DATASET_PORTION', [0.8, 'a']), ('TEST.DATASET_PORTION', [0.9, 0.2]),
    ('TEST.VOXEL_THRESH', []), ('NET.RECURRENT_FILLER', 'none'), ('TRAIN.PAD_X', 127),
    ('TRAIN.PAD_Y', -1), ('TRAIN.LEARNING_RATES', {'a': 1.}), ('TRAIN.LEARNING_RATES', {3: [1]})])
def test_settings_that_make_no_sense_are_named(key, value):
    config = config_lib.defaults()
    section, name = key.split('.')
    config[section][name] = value
    with pytest.raises(errors.UsageError, match=key):
        settings_checks.check(config)


def test_rates_may_have_whole_numbers_for_steps():
    config = config_lib.defaults()
    config.TRAIN.LEARNING_RATES = {2000: '1e-5', '6000': 1e-6}
    settings_checks.check(config)
    assert config.TRAIN.LEARNING_RATES == {'2000': 1e-5, '6000': 1e-6}


@pytest.mark.parametrize('words, message', [
    (['TRAIN.PAD_Z', '1'], 'unknown key TRAIN.PAD_Z'), (['TRAIN', '1'], 'is a section'),
    (['TRAIN.PAD_X', '0.5'], 'must be int'), (['TRAIN.WEIGHT_DECAY', '0'], 'must be float'),
    (['TRAIN.PAD_X'], 'has no value')])
def test_settings_that_do_not_fit_are_refused(words, message):
    with pytest.raises(errors.UsageError, match=message):
        config_lib.merge_pairs(config_lib.defaults(), words)


def test_settings_come_from_files_and_pairs(tmp_path):
    path = tmp_path / 'a.yaml'
    path.write_text('TRAIN:\n  PAD_X: 3\n  LEARNING_RATES: {"5": 1.0e-5}\nCONST: {N_VIEWS: 2}\n')
    config = config_lib.defaults()
    config_lib.merge_file(config, str(path))
    config_lib.merge_pairs(config, ['TRAIN.PAD_Y', '4', 'CONST.NETWORK_CLASS', 'GRUNet'])
    assert (config.TRAIN.PAD_X, config.TRAIN.PAD_Y, config.CONST.N_VIEWS) == (3, 4, 2)
    assert config.TRAIN.LEARNING_RATES == {'5': 1e-5} and config.CONST.NETWORK_CLASS == 'GRUNet'
    path.write_text('TRAIN: [1\n')
    with pytest.raises(errors.InputError, match='a.yaml'):
        config_lib.merge_file(config, str(path))

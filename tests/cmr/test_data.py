"""Samples of CMR: mixtures, workers, bad files, raw sets."""
import argparse
import io
import json
import os
import pickle
import re
import shutil
import sys
import types

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from cmr import preprocess
from cmr.src import config as config_lib
from cmr.src.dataset import base_dataset, datasets
from cmr.src.dataset.preprocess import h36m
from cmr.src.utils import imutils
from common import errors
from common.readers import pictures
from common.training import workers
from tests.cmr import tiny

FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases')

OPTIONS = dict(batch_size=4, seed=1, img_res=64, shuffle=True, augmentation=True,
               augmentation_rgb=True, noise_factor=0.4, rot_factor=30., scale_factor=0.25,
               stretch=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp('set')
    return tiny.make_set(place / 'data', tiny.make_body(place / 'body'))


def batches(folder, rank=0, ranks=1, **changes):
    config = argparse.Namespace(**dict(OPTIONS, **changes))
    return datasets.Batches(datasets.Mixture(folder, 'up-3d'), config, rank, ranks)


def test_batches_do_not_depend_on_workers_or_ranks(folder):
    built = batches(folder)
    alone = [built.at(number) for number in range(5)]
    with workers.Workers(batches(folder).at, 2) as actual:
        actual.begin(0)
        for batch in alone:
            other = actual.get()
            for name, value in batch.items():
                np.testing.assert_array_equal(value, other[name])
    halves = [batches(folder, rank, 2) for rank in range(2)]
    for number, batch in enumerate(alone):
        both = [half.at(number)['img'] for half in halves]
        np.testing.assert_array_equal(np.concatenate(both), batch['img'])


def test_every_epoch_has_every_sample_and_draws_of_its_own(folder):
    built = batches(folder)
    assert built.per_epoch == 2
    seen = [np.concatenate([built.indices(2 * epoch + place)[1] for place in range(2)])
            for epoch in range(3)]
    for order in seen:
        assert sorted(order) == list(range(8))
    assert any((one != seen[0]).any() for one in seen[1:])
    still = batches(folder, shuffle=False)
    np.testing.assert_array_equal(still.indices(1)[1], [4, 5, 6, 7])
    assert (still.at(0)['img'] != still.at(2)['img']).any()     # another augmentation
    fixed = batches(folder, shuffle=False, augmentation=False)
    np.testing.assert_array_equal(fixed.at(0)['img'], fixed.at(2)['img'])


def test_keypoints_fall_on_the_body(folder):
    actual = datasets.open_set(folder, 'up-3d', True)
    for index in range(4):
        image, part = actual.image(index), actual.rows['part'][index]
        low, high = part[:, :2].min(axis=0), part[:, :2].max(axis=0)
        center, reach = actual.rows['center'][index], 100 * actual.rows['scale'][index]
        assert (part[:, 2] == 1).all() and image.shape == (96, 96, 3)
        assert (low > center - reach).all() and (high < center + reach).all()


def test_a_mixture_takes_from_all_and_names_the_missing(folder, tmp_path):
    place = str(tmp_path / 'all')
    shutil.copytree(folder, place)
    with pytest.raises(errors.InputError, match='lsp_dataset_original_train.npz'):
        datasets.Mixture(place, 'itw')
    archive = dict(np.load(os.path.join(place, 'extras', 'up_3d_trainval.npz')))
    for name in ('lsp-orig', 'mpii', 'coco'):
        rows = {key: archive[key][:3] for key in ('imgname', 'center', 'scale', 'part')}
        np.savez(os.path.join(place, 'extras', config_lib.TRAIN_FILES[name]), **rows)
        shutil.copytree(os.path.join(place, 'up-3d'), config_lib.root(place, name))
    mixture = datasets.Mixture(place, 'itw')
    assert len(mixture) == 8
    names = {mixture.choose(5, np.random.RandomState(seed))[0].name for seed in range(60)}
    assert names == {'lsp-orig', 'mpii', 'coco', 'up-3d'}
    assert all(mixture.choose(7, np.random.RandomState(seed))[1] in (1, 7) for seed in range(20))
    with pytest.raises(errors.InputError, match='h36m_train.npz'):
        datasets.Mixture(place, 'all')


def _changed(folder, tmp_path, **rows):
    place = str(tmp_path / 'changed')
    shutil.copytree(folder, place)
    path = os.path.join(place, 'extras', 'up_3d_trainval.npz')
    archive = dict(np.load(path))
    for name, value in rows.items():
        if value is None:
            del archive[name]
        else:
            archive[name] = value(archive[name].copy())
    np.savez(path, **archive)
    return place


def _nan(array):
    array[2, 1] = np.nan
    return array


@pytest.mark.parametrize('rows, message', [
    ({'center': None}, r'up_3d_trainval.npz has no center \(found: imgname'),
    ({'pose': lambda array: array[:, :71]}, r'pose is \(8, 71\), expected \(8, 72\)'),
    ({'part': lambda array: array[:5]}, r'part is \(5, 24, 3\), expected \(8, 24, 3\)'),
    ({'center': _nan}, r'center of sample 2 \(00002_image.png\) is not finite'),
    ({'scale': np.zeros_like}, r'scale of sample 0 \(00000.*\) is not positive'),
    ({'scale': lambda array: array.astype(str)}, 'scale is <U.*, expected numbers'),
    ({'shape': None}, 'one of pose and shape without the other'),
    ({'imgname': lambda array: np.arange(8)}, '"imgname" is .*, expected names'),
    ({'pose': None, 'shape': None, 'part': np.zeros_like}, 'nothing to learn from'),
    ({'imgname': lambda array: np.array(['../../x.png'] * 8)}, 'leads out of the set')])
def test_bad_sample_files(folder, tmp_path, rows, message):
    with pytest.raises(errors.InputError, match=message):
        batches(_changed(folder, tmp_path, **rows))


def test_files_that_are_cut_short_or_hold_one_array_are_named(folder, tmp_path):
    place = _changed(folder, tmp_path)
    path = os.path.join(place, 'extras', 'up_3d_trainval.npz')
    with np.load(path) as archive:
        rows = dict(archive)
    np.savez_compressed(path, **rows)
    with open(path, 'rb') as stream:
        data = stream.read()
    altered = bytearray(data)
    altered[len(data) // 3:len(data) // 3 + 40] = b'x' * 40
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for content in (b'', data[:50], data[:len(data) // 2], data[:-30], bytes(altered),
                    array.getvalue()):
        with open(path, 'wb') as stream:
            stream.write(content)
        with pytest.raises(errors.InputError, match='up_3d_trainval.npz .*preprocess.py makes it'):
            batches(place)


def test_names_that_python_2_wrote_are_read(folder, tmp_path):
    place = _changed(folder, tmp_path, imgname=lambda array: array.astype('S'))
    actual, expected = batches(place).at(0), batches(folder).at(0)
    np.testing.assert_array_equal(actual['img'], expected['img'])


@pytest.mark.parametrize('name, fields', [
    ('up-3d', ['pose', 'shape']), ('lsp', ['maskname', 'partname']), ('h36m-p1', ['S'])])
def test_a_set_without_what_it_is_measured_by_is_refused(folder, tmp_path, name, fields):
    place = str(tmp_path / 'set')
    shutil.copytree(folder, place)
    with np.load(os.path.join(place, 'extras', config_lib.TEST_FILES['up-3d'])) as archive:
        rows = {key: archive[key] for key in ('imgname', 'center', 'scale')}
    np.savez(os.path.join(place, 'extras', config_lib.TEST_FILES[name]), **rows)
    with pytest.raises(errors.InputError, match='has no {} '.format(', '.join(fields))):
        datasets.open_set(place, name, False)


def test_pictures_of_cameras_with_more_behind_their_end_are_whole(tmp_path):
    path = str(tmp_path / 'x.jpg')
    jpeg = cv2.imencode('.jpg', np.random.RandomState(0).randint(
        0, 255, [64, 64, 3]).astype(np.uint8))[1].tobytes()
    small = cv2.imencode('.jpg', np.zeros([8, 8, 3], np.uint8))[1].tobytes()
    header = b'\xff\xe1' + (len(small) + 2).to_bytes(2, 'big') + small    # as EXIF has one
    for data, is_whole in ((jpeg + b'more' * 100, True), (jpeg[:2] + header + jpeg[2:], True),
                           (jpeg[:2] + b'\xff' + jpeg[2:], True),
                           (jpeg[:2] + header + jpeg[2:-40], False), (jpeg[:-2], False)):
        with open(path, 'wb') as stream:
            stream.write(data)
        if is_whole:
            assert pictures.read(path).shape == (64, 64, 3)
        else:
            with pytest.raises(errors.InputError, match='x.jpg cannot be read'):
                pictures.read(path)


@pytest.mark.parametrize('center, scale, problem', [
    ((48, 48), 1e-4, 'too small'), ((48, 48), 9., 'more than 5 times'),
    ((np.nan, 48), 1., 'not finite'), ((48, 48), np.inf, 'not finite'),
    ((-60, 48), 0.5, 'lies outside'), ((48, 48), 0.02, None), ((48, 48), 2., None)])
def test_boxes_that_cannot_be_cut_out_are_told(center, scale, problem):
    actual = imutils.box_problem(center, scale, (96, 96, 3))
    assert actual is None if problem is None else problem in actual
    if problem is None:
        for rot in (0., 20., -50.):     # a small box has no border to turn in
            image = np.random.RandomState(0).randint(0, 255, [96, 96, 3]).astype(np.float32)
            assert imutils.crop(image, center, scale, (32, 32), rot).std() > 0


def test_without_stretching_nothing_is_cut_to_whole_numbers():
    rng = np.random.RandomState(0)
    image = cv2.GaussianBlur(rng.randint(90, 160, [96, 96, 3]).astype(np.uint8), (9, 9), 3)
    row = {'center': np.array([48.3, 47.6]), 'scale': 0.4,
           'part': np.concatenate([rng.uniform(20, 70, [24, 2]), np.ones([24, 1])], axis=1)}
    inputs = base_dataset.Augmentation(False, np.array([0.9, 1.1, 1.05]), 20., 1.)
    cut, smooth = [base_dataset.make_sample(image.astype(np.float32), row, inputs, 64, stretch)
                   for stretch in (True, False)]
    for sample, is_whole in ((cut, True), (smooth, False)):
        levels, places = 255 * sample['img_orig'], (sample['keypoints'][:, :2] + 1) * 32
        for values in (levels, places):
            assert (np.abs(values - np.round(values)).max() < 1e-3) == is_whole
    # Cutting off towards zero takes half a pixel on average, which the smooth ones have too.
    moved = 32 * (cut['keypoints'] - smooth['keypoints'])[:, :2]
    assert np.abs(moved).max() < 0.51 and abs(moved.mean()) < 0.1
    # The levels are the picture's own, noise aside.
    assert 85 * 0.9 < 255 * smooth['img_orig'][20:40, 20:40].min()
    assert 255 * smooth['img_orig'].max() < 165 * 1.1


def test_bad_pictures(folder, tmp_path):
    place = _changed(folder, tmp_path, center=lambda array: array + 5000)
    with pytest.raises(errors.InputError, match='box of sample .* lies outside of .*_image.png'):
        batches(place).at(0)
    shutil.rmtree(place)
    shutil.copytree(folder, place)
    path = os.path.join(place, 'up-3d', '00003_image.png')
    for data, message in ((b'', '00003_image.png is empty'),
                          (b'\xff\xd8\xff\xe0 no', 'cannot be read'),
                          (None, 'cannot read .*00003_image.png')):
        os.remove(path)
        if data is not None:
            with open(path, 'wb') as stream:
                stream.write(data)
        with pytest.raises(errors.InputError, match=message):
            [batches(place, shuffle=False).at(number) for number in range(2)]
    jpeg = cv2.imencode('.jpg', np.zeros([96, 96, 3], np.uint8))[1].tobytes()
    with open(path, 'wb') as stream:
        stream.write(jpeg[:len(jpeg) * 2 // 3])
    with pytest.raises(errors.InputError, match='00003_image.png cannot be read'):
        batches(place, shuffle=False).at(0)


def test_bad_batches_and_names(folder):
    with pytest.raises(errors.InputError, match='8 samples .* fewer than a batch of 9'):
        batches(folder, batch_size=9)
    with pytest.raises(errors.UsageError, match='shared out among 3'):
        batches(folder, ranks=3)
    with pytest.raises(errors.UsageError, match='no data set lsp for training'):
        datasets.open_set(folder, 'lsp', True)


def test_a_sample_without_keypoints_has_no_confidence(folder):
    row = {'center': np.array([48., 48.]), 'scale': 0.5}
    sample = base_dataset.make_sample(np.ones([96, 96, 3], np.float32), row, base_dataset.NONE, 64)
    assert not sample['keypoints'][:, 2].any() and sample['has_smpl'] == 0


def _raw(place):
    """Two pictures of each raw set, in the layouts as published."""
    rng = np.random.RandomState(0)
    up3d = os.path.join(place, 'UP_3D', 'up-3d')
    os.makedirs(up3d)
    picture = np.full([60, 80, 3], 255, np.uint8)
    picture[10:50, 20:45] = 100
    for number in ('00000', '00007'):
        stem = os.path.join(up3d, number)
        for name in ('_image.png', '_render_light.png'):
            cv2.imwrite(stem + name, picture)
        np.save(stem + '_joints.npy', rng.uniform(20, 45, [3, 14]))
        with open(stem + '_body.pkl', 'wb') as stream:
            pickle.dump({'pose': rng.randn(72), 'betas': rng.randn(10)}, stream, protocol=2)
    with open(os.path.join(up3d, 'trainval.txt'), 'w', encoding='ascii') as stream:
        stream.write('/00000_image.png\n\n/00007_image.png\n')
    lsp = os.path.join(place, 'LSP', 'lsp_dataset_original')
    os.makedirs(lsp)
    scipy.io.savemat(os.path.join(lsp, 'joints.mat'), {'joints': rng.uniform(5, 90, [14, 3, 4])})
    mpii = os.path.join(place, 'MPII')
    os.makedirs(mpii)
    with h5py.File(os.path.join(mpii, 'train.h5'), 'w') as stream:
        stream['center'], stream['scale'] = rng.uniform(0, 9, [3, 2]), np.ones(3)
        stream['part'] = rng.uniform(1, 50, [3, 16, 2]) * np.array([1, 1, -1])[:, None, None]
        stream['imgname'] = np.array([b'a.jpg', b'b.jpg', b'c.jpg'])
    for path in [os.path.join(lsp, 'images', 'im0001.jpg'), os.path.join(mpii, 'images', 'a.jpg')]:
        os.makedirs(os.path.dirname(path))
        cv2.imwrite(path, picture)


def test_raw_sets_become_sample_files_and_missing_ones_are_named(tmp_path, capsys):
    place = str(tmp_path / 'raw')
    _raw(place)
    assert preprocess.main(['--data_path', place, '--train_files']) == 0
    out = capsys.readouterr().out
    assert 'coco_2014_train.npz: left out' in out and 'train2014.zip' in out
    actual = datasets.open_set(place, 'up-3d', True)
    assert list(actual.rows['imgname']) == ['00000_image.png', '00007_image.png']
    np.testing.assert_allclose(actual.rows['center'][0], [32.5, 30])
    np.testing.assert_allclose(actual.rows['scale'], 1.2 * 40 / 200)
    extras = os.path.join(place, 'extras')
    lsp, mpii = [np.load(os.path.join(extras, config_lib.TRAIN_FILES[name]))
                 for name in ('lsp-orig', 'mpii')]
    assert len(lsp['imgname']) == 4 and lsp['part'].shape == (4, 24, 3)
    assert list(mpii['imgname']) == ['images/a.jpg', 'images/b.jpg']
    assert preprocess.main(['--data_path', place, '--train_files', '--sets=up-3d',
                            '--check=2']) == 0
    assert os.path.getsize(os.path.join(extras, 'up_3d_trainval_check.png')) > 2000


def _up3d(place, name):
    return os.path.join(place, 'UP_3D', 'up-3d', name)


def _white(place):
    cv2.imwrite(_up3d(place, '00007_render_light.png'), np.full([60, 80, 3], 255, np.uint8))


def _few_betas(place):
    with open(_up3d(place, '00007_body.pkl'), 'wb') as stream:
        pickle.dump({'pose': np.zeros(72), 'betas': np.zeros(9)}, stream, protocol=2)


def _cut(place, *names):
    path = os.path.join(place, *names)
    with open(path, 'r+b') as stream:
        stream.truncate(os.path.getsize(path) // 2)


def _few_parts(place):
    with h5py.File(os.path.join(place, 'MPII', 'train.h5'), 'r+') as stream:
        del stream['part']
        stream['part'] = np.ones([3, 15, 2])


@pytest.mark.parametrize('damage, name, message', [
    (_white, 'up_3d_trainval.npz', '00007_.*: the render shows no body'),
    (_few_betas, 'up_3d_trainval.npz', r'00007_.*: betas are \(9,\), expected \(10,\)'),
    (lambda place: open(_up3d(place, 'trainval.txt'), 'w').close(), 'up_3d_trainval.npz',
     'trainval.txt is empty'),
    (lambda place: _cut(place, 'UP_3D', 'up-3d', '00007_joints.npy'), 'up_3d_trainval.npz',
     '00007_joints.npy cannot be read as an array'),
    (lambda place: _cut(place, 'UP_3D', 'up-3d', '00007_body.pkl'), 'up_3d_trainval.npz',
     '00007_body.pkl cannot be read'),
    (lambda place: _cut(place, 'LSP', 'lsp_dataset_original', 'joints.mat'),
     'lsp_dataset_original_train.npz', 'joints.mat cannot be read as the annotations of LSP'),
    (lambda place: _cut(place, 'MPII', 'train.h5'), 'mpii_train.npz', 'train.h5'),
    (_few_parts, 'mpii_train.npz', 'train.h5 is no annotation of MPII')])
def test_a_damaged_set_is_named_and_the_others_are_made(tmp_path, capsys, damage, name, message):
    place = str(tmp_path / 'raw')
    _raw(place)
    damage(place)
    assert preprocess.main(['--data_path', place, '--train_files']) == 1
    seen = capsys.readouterr()
    assert re.search('^{}: left out, .*{}'.format(name, message), seen.out, re.MULTILINE)
    assert seen.err.startswith('error: {} could not be made'.format(name))
    built = {'up_3d_trainval.npz', 'lsp_dataset_original_train.npz', 'mpii_train.npz'} - {name}
    assert set(os.listdir(os.path.join(place, 'extras'))) == built


def test_a_test_set_with_too_few_pictures_is_refused(tmp_path, capsys):
    place = str(tmp_path / 'raw')
    _raw(place)
    os.rename(os.path.join(place, 'LSP', 'lsp_dataset_original'),
              os.path.join(place, 'LSP', 'lsp_dataset'))
    assert preprocess.main(['--data_path', place, '--eval_files', '--sets=lsp']) == 1
    assert 'with pictures 1001 to 2000' in capsys.readouterr().out


def test_preprocessing_without_any_set_fails_with_the_places(tmp_path, capsys):
    assert preprocess.main(['--data_path', str(tmp_path), '--eval_files']) == 1
    seen = capsys.readouterr()
    assert 'up-3d.zip' in seen.out and 'nothing of' in seen.err
    assert preprocess.main(['--data_path', str(tmp_path)]) == 2
    assert preprocess.main(['--data_path', str(tmp_path), '--train_files', '--sets=lps']) == 2


def _coco(place, people):
    folder = place / 'coco2014' / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    points = np.stack([np.arange(17.), np.arange(17.), np.full(17, 2)], axis=1).ravel().tolist()
    (folder / 'person_keypoints_train2014.json').write_text(json.dumps({
        'images': [{'id': 1, 'file_name': 'a.jpg'}], 'annotations': [
            dict({'id': 40 + number, 'image_id': 1, 'keypoints': points, 'bbox': [1, 2, 30, 40]},
                 **changes) for number, changes in enumerate(people)]}))
    return preprocess.main(['--data_path', str(place), '--train_files', '--sets=coco'])


def test_bad_annotations_of_coco_are_named_by_their_id(tmp_path, capsys):
    assert _coco(tmp_path, [{}, {'bbox': [1, 2, 0, 40]}, {}]) == 1
    out, err = capsys.readouterr()
    assert 'annotation 41 is left out, since its box has no extent' in out
    assert '2 samples' in out and '2 of the 2 pictures of coco are missing, such as ' in out
    assert 'error: all 2 pictures of coco_2014_train.npz are missing, such as ' in err
    picture = tmp_path / 'coco2014' / 'train2014' / 'a.jpg'
    picture.parent.mkdir()
    picture.write_bytes(b'')
    assert _coco(tmp_path, [{}]) == 0 and 'missing' not in capsys.readouterr().out
    for changes, message in (({'bbox': [1, 2]}, 'no box of four numbers'),
                             ({'keypoints': [1, 2, 2]}, 'no 17 keypoints'),
                             ({'image_id': 9}, 'a picture that is not listed')):
        assert _coco(tmp_path, [{}, {}, changes]) == 1
        assert re.search('annotation 42 .*{}'.format(message), capsys.readouterr().out)


def test_names_of_mpii_as_character_codes_are_names(tmp_path, capsys):
    (tmp_path / 'MPII').mkdir()
    shutil.copy(os.path.join(FIELD, 'mpii_codes_train.h5'), str(tmp_path / 'MPII' / 'train.h5'))
    (tmp_path / 'MPII' / 'images').mkdir()
    (tmp_path / 'MPII' / 'images' / '000000001.jpg').write_bytes(b'')
    assert preprocess.main(['--data_path', str(tmp_path), '--train_files', '--sets=mpii']) == 0
    with np.load(str(tmp_path / 'extras' / config_lib.TRAIN_FILES['mpii'])) as rows:
        for name in rows['imgname'].tolist():
            assert re.fullmatch(r'images/\w+\.jpg', name)
    with h5py.File(str(tmp_path / 'MPII' / 'train.h5'), 'r+') as stream:
        codes = stream['imgname'][...]
        codes[:, 0] = 7
        stream['imgname'][...] = codes
    assert preprocess.main(['--data_path', str(tmp_path), '--train_files', '--sets=mpii']) == 1
    assert 'no name of a file' in capsys.readouterr().out


def test_coco_annotations_that_are_none(tmp_path):
    place = tmp_path / 'coco2014' / 'annotations'
    place.mkdir(parents=True)
    (place / 'person_keypoints_train2014.json').write_text(json.dumps({'images': []}))
    assert preprocess.main(['--data_path', str(tmp_path), '--train_files', '--sets=coco']) == 1


def test_joints_of_human36m_have_their_places():
    position = np.zeros([32, 3])
    position[:, 0] = np.arange(32)
    actual = h36m.joints(position)
    assert actual[14, 3] == 1 and actual[14, 0] == 0          # the root
    assert actual[0, 0] == 3 - 11 and actual[6, 0] == 27 - 11  # ankle and wrist on the right
    assert actual[:, 3].sum() == 17
    mask = np.zeros([50, 60])
    mask[10:30, 20:25] = 1
    center, scale = h36m.box(mask)
    assert list(center) == [22.5, 20] and scale == 0.1


class _Cdf:
    """Stands for cdflib's reader: the positions of ten pictures, in millimetres."""

    def __init__(self, path):
        self._path = path

    def __getitem__(self, name):
        assert name == 'Pose' and os.path.exists(self._path)
        return np.arange(10 * 96, dtype=np.float64).reshape(1, 10, 96)


def _human36m(place, count=12):
    """One sequence of each subject, by one camera; pictures of growing brightness."""
    for subject in ('S9', 'S11'):
        base = os.path.join(place, 'h36m', subject)
        stem = 'Walking 1.60457274'
        for folder in ('MyPoseFeatures/D3_Positions_mono', 'MySegmentsMat/ground_truth_bb',
                       'Videos'):
            os.makedirs(os.path.join(base, folder))
        open(os.path.join(base, 'MyPoseFeatures', 'D3_Positions_mono', stem + '.cdf'), 'w').close()
        video = cv2.VideoWriter(os.path.join(base, 'Videos', stem + '.mp4'),
                                cv2.VideoWriter_fourcc(*'mp4v'), 25, (64, 48))
        if not video.isOpened():
            pytest.skip('this OpenCV writes no video')
        for number in range(count):
            video.write(np.full([48, 64, 3], 20 * number, np.uint8))
        video.release()
        path = os.path.join(base, 'MySegmentsMat', 'ground_truth_bb', stem + '.mat')
        with h5py.File(path, 'w') as stream:
            masks = stream.create_dataset('Masks', (10, 1), h5py.special_dtype(ref=h5py.Reference))
            for number in range(10):
                mask = np.zeros([64, 48])       # transposed, as MATLAB writes it
                mask[10:30, 5:15 + number] = 1
                masks[number, 0] = stream.create_dataset('m{}'.format(number), data=mask).ref


def test_every_fifth_picture_of_human36m_becomes_a_sample(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'cdflib', types.SimpleNamespace(CDF=_Cdf))
    place = str(tmp_path)
    _human36m(place)
    assert preprocess.main(['--data_path', place, '--eval_files', '--sets=h36m']) == 0
    actual = datasets.open_set(place, 'h36m-p2', False)
    assert list(actual.rows['imgname']) == [
        'images/{}_Walking_1.60457274_{:06d}.jpg'.format(subject, number)
        for subject in ('S9', 'S11') for number in (1, 6)]
    np.testing.assert_allclose(actual.rows['center'][:2], [[20, 10], [20, 12.5]])
    np.testing.assert_allclose(actual.rows['scale'][:2], 0.1)
    root = _Cdf.__getitem__(_Cdf(place), 'Pose')[0, 5].reshape(32, 3)[11] / 1000
    knee = _Cdf.__getitem__(_Cdf(place), 'Pose')[0, 5].reshape(32, 3)[2] / 1000
    np.testing.assert_allclose(actual.rows['S'][1, 1, :3], knee - root)
    for index, brightness in ((0, 20), (1, 120)):       # the first picture is thrown away
        assert abs(actual.image(index).mean() - brightness) < 5
    capsys.readouterr()


def test_bad_files_of_human36m_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'cdflib', types.SimpleNamespace(CDF=_Cdf))
    place = str(tmp_path)
    _human36m(place, 8)
    base = os.path.join(place, 'h36m', 'S9')
    arguments = ['--data_path', place, '--eval_files', '--sets=h36m']
    assert preprocess.main(arguments) == 0
    assert 'ends at picture 8 of 10' in capsys.readouterr().out
    for folder, name in (('MySegmentsMat/ground_truth_bb', 'Walking 1.60457274.mat'),
                         ('Videos', 'Walking 1.60457274.mp4')):
        path = os.path.join(base, folder, name)
        with open(path, 'r+b') as stream:
            stream.truncate(30)
        assert preprocess.main(arguments) == 1
        assert name in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, 'cdflib', None)
    assert preprocess.main(arguments) == 1
    assert 'pip install cdflib' in capsys.readouterr().out

"""The person in a photo: boxes from files, and the crop."""
import json
import os
import types

import cv2
import numpy as np
import pytest

from cmr import prediction
from cmr.src import config as config_lib
from cmr.src.utils import photo
from common import errors

FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases')
PHOTO = os.path.join(config_lib.MODEL_DIR, 'data', 'examples', 'im1010.jpg')


def _file(tmp_path, content):
    path = tmp_path / 'box.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize('content, message', [
    ({'bbox': [10, 10, 0, 0]}, 'too small'), ({'bbox': [10, 10, -50, -50]}, 'too small'),
    ({'bbox': [10, 10, 5e5, 60]}, 'more than 5 times'),
    ({'bbox': [900, 900, 10, 10]}, 'lies outside of'),
    ('{"bbox": [NaN, 10, 50, 60]}', 'not finite'), ('{"bbox": [1, 1, Infinity, 6]}', 'not finite'),
    ({'bbox': [10, 10, 50]}, 'four numbers'), ({'bbox': None}, 'cannot be taken'),
    ({'bbox': 'abcd'}, 'cannot be taken'), ({'box': [1, 2, 3, 4]}, 'cannot be taken'),
    ([1, 2, 3, 4], 'cannot be taken'), ('[', 'cannot be read as JSON')])
def test_boxes_that_are_none_are_told(tmp_path, content, message):
    with pytest.raises(errors.InputError, match=message):
        prediction.people(PHOTO, 64, _file(tmp_path, content))


@pytest.mark.parametrize('people, message', [
    ([], 'has found nobody'), ([{'pose_keypoints_2d': []}], 'no keypoint'),
    ([{'pose_keypoints_2d': [20., 30., 0.9] + [0.] * 72}], 'too small'),
    ([{'pose_keypoints_2d': [1., 2.]}], 'cannot be taken'), ([{}], 'cannot be taken')])
def test_keypoints_that_show_nobody_are_told(tmp_path, people, message):
    with pytest.raises(errors.InputError, match=message):
        prediction.people(PHOTO, 64, openpose=_file(tmp_path, {'people': people}))


def test_the_crop_is_stretched_as_in_training(tmp_path):
    box = _file(tmp_path, {'bbox': [40, 30, 30, 30]})
    stretched, unstretched = [prediction.people(PHOTO, 64, box, stretch=stretch)[0][1]
                              for stretch in (True, False)]
    assert stretched.max() > 0.97 and np.abs(stretched - unstretched).max() > 0.02


def _pose(left, top, side, confidence=0.9):
    """25 keypoints on the diagonal of a box."""
    return [value for share in np.linspace(0, 1, 25)
            for value in (left + share * side, top + share * side, confidence)]


def _keypoints(tmp_path, people):
    return _file(tmp_path, {'people': [{'pose_keypoints_2d': row} for row in people]})


def test_the_largest_confident_person_is_taken_and_named(tmp_path, capsys):
    path = _keypoints(tmp_path, [_pose(10, 10, 30), _pose(0, 0, 90, 0.1), _pose(40, 30, 60),
                                 [5., 5., 0.9] + [99., 99., 0.9] + [0.] * 69])
    people = photo.read_people(path, 'openpose', PHOTO)
    assert [one.number for one in photo.chosen(people, '', path)] == [2]
    said = capsys.readouterr().out
    assert 'has 4 people; person 2 is taken' in said and '--person=N' in said
    np.testing.assert_allclose(people[2].center, [70, 60])
    assert [one.number for one in photo.chosen(people, '0', path)] == [0]
    assert [one.number for one in photo.chosen(people, 'all', path)] == [0, 2, 3]
    for wanted, message in (('4', 'people 0, 1, 2, 3'), ('1', 'more certain than')):
        with pytest.raises(errors.InputError, match=message):
            photo.chosen(people, wanted, path)
    assert not capsys.readouterr().out


def test_people_of_the_field_cases_are_told_apart(capsys):
    numbers = [number for number, *_ in prediction.people(
        os.path.join(FIELD, 'two.png'), 64, openpose=os.path.join(FIELD, 'two.json'))]
    assert numbers == [1] and 'person 1 is taken' in capsys.readouterr().out
    assert len(prediction.people(os.path.join(FIELD, 'two.png'), 64, wanted='all',
                                 openpose=os.path.join(FIELD, 'two.json'))) == 2
    with pytest.raises(errors.InputError, match='"pose_keypoints", as OpenPose wrote before'):
        prediction.people(PHOTO, 64, openpose=os.path.join(FIELD, 'old.json'))


def test_animals_of_a_detector_are_not_taken_for_people(tmp_path):
    rows = [{'image_id': 1, 'category_id': 18, 'bbox': [1, 2, 90, 90]},     # COCO's number of dogs
            {'image_id': 1, 'category_id': 1, 'bbox': [9, 2, 30, 40]}]
    names = {'images': [{'id': 1, 'file_name': 'im1010.jpg'}], 'annotations': rows}
    for content in (rows, names, dict(names, categories=[{'id': 1, 'name': 'person'},
                                                         {'id': 18, 'name': 'dog'}])):
        assert [one.number for one in photo.read_people(_file(tmp_path, content), 'bbox', PHOTO)
                ] == [1]
    other = dict(names, categories=[{'id': 1, 'name': 'dog'}, {'id': 18, 'name': 'person'}])
    assert [one.number for one in photo.read_people(_file(tmp_path, other), 'bbox', PHOTO)] == [0]
    with pytest.raises(errors.InputError, match='"people" is .*, expected a list of people'):
        photo.read_people(_file(tmp_path, {'people': {'0': rows[0]}}), 'openpose', PHOTO)


def test_pairs_of_coordinates_are_not_taken_for_triples(tmp_path):
    pairs = [[10. + number, 20. + 2 * number] for number in range(18)]      # 36 = 12 * 3 numbers
    with pytest.raises(errors.InputError, match=r'keypoints are \[18, 2\], expected x, y and conf'):
        photo.read_people(_file(tmp_path, [{'keypoints': pairs}]), 'openpose', PHOTO)
    scores = [0.9] * 17 + [0.1]     # as MMPose writes them
    person, = photo.read_people(_file(tmp_path, [{'keypoints': pairs, 'keypoint_scores': scores}]),
                                'openpose', PHOTO)
    np.testing.assert_allclose(person.center, [10 + 8, 20 + 16])    # the mean of 0 to 16
    assert person.scale == pytest.approx(1.2 * 32 / 200)


def test_lists_of_alphapose_and_coco_are_read(tmp_path):
    rows = [dict(keypoints=_pose(10, 10, 30)[:51], score=2.5, image_id=name, category_id=1,
                 box=[10, 10, 30, 40]) for name in ('a.jpg', 'im1010.jpg', 'b.jpg')]
    for content in (rows, {'images': [{'id': 7, 'file_name': 'im1010.jpg'}, {
            'id': 8, 'file_name': 'a.jpg'}], 'annotations': [
                dict(row, image_id=7 if number == 1 else 8) for number, row in enumerate(rows)]}):
        for kind in ('openpose', 'bbox'):
            people = photo.read_people(_file(tmp_path, content), kind, PHOTO)
            assert [one.number for one in people] == [1]
    assert people[0].scale == 0.2 and list(people[0].center) == [25, 30]
    with pytest.raises(errors.InputError, match='nobody in .*im1010'):
        photo.read_people(_file(tmp_path, rows[:1]), 'openpose', PHOTO)


def test_boxes_of_five_numbers_are_told_how_to_become_four(tmp_path):
    with pytest.raises(errors.InputError, match='x2 - x1, y2 - y1'):
        photo.read_people(_file(tmp_path, {'bbox': [1, 2, 30, 40, 0.9]}), 'bbox', PHOTO)


def test_parameters_of_a_body_are_the_rotations_that_the_network_gave():
    rng = np.random.RandomState(0)
    pose = rng.uniform(-1, 1, [24, 3])      # angles below pi: axis-angle is unique
    rotations = np.stack([cv2.Rodrigues(joint)[0] for joint in pose]).astype(np.float32)
    outputs = types.SimpleNamespace(rotations=rotations[None], betas=np.arange(10.)[None],
                                    camera=np.array([[0.9, 0.1, -0.2]]))
    values = prediction.parameters(outputs)
    np.testing.assert_allclose(values['pose'], pose.ravel(), atol=1e-5)
    assert values['betas'].tolist() == list(range(10)) and values['camera'].shape == (3,)


def test_a_folder_of_photos_brings_its_boxes(tmp_path):
    for name in ('b.jpg', 'a.PNG', 'a_gcnn.png', 'note.txt', 'b_openpose.json'):
        (tmp_path / name).write_text('')
    options = types.SimpleNamespace(img=str(tmp_path), outfile='', bbox='', openpose='')
    found = prediction._photos(options)
    assert [os.path.basename(one.path) for one in found] == ['a.PNG', 'b.jpg']
    assert [os.path.basename(one.openpose) for one in found] == ['', 'b_openpose.json']
    options.bbox = 'box.json'
    with pytest.raises(errors.UsageError, match='is a folder'):
        prediction._photos(options)

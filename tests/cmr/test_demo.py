"""The person in a photo: boxes from files, and the crop."""
import json
import os

import numpy as np
import pytest

from cmr import prediction
from cmr.src import config as config_lib
from common import errors

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
    ({'bbox': [10, 10, 50]}, 'four numbers'), ({'bbox': None}, 'no such file'),
    ({'bbox': 'abcd'}, 'no such file'), ({'box': [1, 2, 3, 4]}, 'no such file'),
    ([1, 2, 3, 4], 'no such file'), ('[', 'no such file')])
def test_boxes_that_are_none_are_told(tmp_path, content, message):
    with pytest.raises(errors.InputError, match=message):
        prediction.person(PHOTO, 64, _file(tmp_path, content))


@pytest.mark.parametrize('people, message', [
    ([], 'has found nobody'), ([{'pose_keypoints_2d': []}], 'no keypoint'),
    ([{'pose_keypoints_2d': [20., 30., 0.9] + [0.] * 72}], 'too small'),
    ([{'pose_keypoints_2d': [1., 2.]}], 'no such file'), ([{}], 'no such file')])
def test_keypoints_that_show_nobody_are_told(tmp_path, people, message):
    with pytest.raises(errors.InputError, match=message):
        prediction.person(PHOTO, 64, openpose=_file(tmp_path, {'people': people}))


def test_the_crop_is_stretched_as_in_training(tmp_path):
    box = _file(tmp_path, {'bbox': [40, 30, 30, 30]})
    stretched, unstretched = [prediction.person(PHOTO, 64, box, stretch=stretch)[0]
                              for stretch in (True, False)]
    assert stretched.max() > 0.97 and np.abs(stretched - unstretched).max() > 0.02

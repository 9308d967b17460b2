"""A photo's person: where the box is, and the crop that the network takes.

A centre is x, y in pixels, a scale the side of a square box over 200.
"""
import os
import re
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from cmr.src.dataset import base_dataset
from cmr.src.utils import imutils
from common import cli, errors
from common.readers import text

_EXPANSION = 1.2
_CONFIDENT = 0.2    # of a keypoint
_MOSTLY = 0.25      # share of confident keypoints of a person that is no chance find

Box = Tuple[np.ndarray, float]


def whole(shape: Sequence[int]) -> Box:
    """Returns (centre, scale) of a whole picture of shape [H, W, ...]."""
    height, width = shape[:2]
    return np.array([width // 2, height // 2]), max(height, width) / 200


def from_bbox(bbox: Sequence[float]) -> Box:
    """Returns (centre, scale) of a box (left, top, width, height), which is not expanded.

    Raises:
      ValueError: these are not four numbers.
    """
    box = np.asarray(bbox, np.float32)
    if box.shape == (5,):
        raise ValueError('a box is four numbers: left, top, width, height; of a detector\'s five '
                         '(x1, y1, x2, y2, score) give [x1, y1, x2 - x1, y2 - y1]')
    if box.shape != (4,):
        raise ValueError('a box is four numbers: left, top, width, height')
    return box[:2] + 0.5 * box[2:], float(max(box[2:])) / 200


def from_openpose(keypoints: np.ndarray) -> Box:
    """Returns (centre, scale) of a person with keypoints [25, 3]: x, y in pixels, confidence.

    The centre is the mean of the confident ones, the scale that of their box, expanded.

    Raises:
      errors.InputError: none is confident.
    """
    keypoints = np.asarray(keypoints, float)
    points = keypoints[keypoints[:, 2] > _CONFIDENT, :2]
    if not len(points):
        raise errors.InputError('no keypoint of the person is more certain than {:g}; give a box '
                                'by --bbox.'.format(_CONFIDENT))
    side = (points.max(axis=0) - points.min(axis=0)).max()
    return points.mean(axis=0), _EXPANSION * side / 200


class Person(NamedTuple):
    """A person of a file.

    Attributes:
      number: int, from 0 as in the file; center: float [2]; scale: float, 0 where nothing is known.
      confidence: float, the share of keypoints that are confident; 1 for a box.
    """

    number: int
    center: np.ndarray
    scale: float
    confidence: float


def read_people(path: str, kind: str, picture: str) -> List[Person]:
    """Reads the people of a JSON file.

    Args:
      path: str; kind: 'bbox' ({"bbox": [left, top, width, height]}) or 'openpose'; either may be
        COCO's annotations or results, or AlphaPose's list.
      picture: str, whose people are meant where a file has several pictures'.
    Raises:
      errors.InputError: the file is missing, is not of that kind, or shows nobody.
    """
    content = text.read_json(path, 'JSON for --' + kind)
    try:
        people = [_person(number, row, kind) for number, row in enumerate(_rows(content))
                  if _is_of(row, content, picture) and _is_person(row, content)]
    except KeyError as error:
        raise errors.InputError('--{} {} cannot be taken: it has no "{}".'.format(
            kind, path, errors.quote(error.args[0], 40)))
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise errors.InputError('--{} {} cannot be taken: {}.'.format(
            kind, path, error if isinstance(error, ValueError) else errors.reason(error)))
    if not people:
        raise errors.InputError('--{} {} has found nobody{}; give a box by --bbox.'.format(
            kind, path, ' in ' + picture if _rows(content) else ''))
    return people


def _rows(content):
    key = next((key for key in ('people', 'annotations') if isinstance(content, dict)
                and key in content), '')
    rows = content[key] if key else content if isinstance(content, list) else [content]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('{} is {}, expected a list of people'.format(
            '"{}"'.format(key) if key else 'it', errors.quote(rows, 40)))
    return rows


def _is_person(row, content):
    """Whether a row of COCO's is a person, as far as the file says; its number of them is 1."""
    listed = content.get('categories') if isinstance(content, dict) else None
    people = {one['id'] for one in listed or () if one['name'] == 'person'} or {1}
    return row.get('category_id') in people | {None}


def _is_of(row, content, picture):
    """Whether a row belongs to a picture, as far as the file says."""
    listed = isinstance(content, list)
    if 'image_id' not in row or not listed and 'images' not in content:
        return True
    image, name = row['image_id'], os.path.basename(picture)
    if not listed:      # COCO's annotations
        names = {one['id']: one['file_name'] for one in content['images']}
        return os.path.basename(str(names.get(image))) == name
    if isinstance(image, str):      # AlphaPose's
        return os.path.basename(image) in (name, os.path.splitext(name)[0])
    # COCO's results: its pictures are named after their numbers.
    numbers = re.findall(r'\d+', os.path.splitext(name)[0])
    return bool(numbers) and int(numbers[-1]) == image or len(
        {one.get('image_id') for one in content}) == 1


def _person(number, row, kind):
    if kind == 'bbox':
        key = 'box' if 'keypoints' in row and 'box' in row else 'bbox'     # AlphaPose's, COCO's
        return Person(number, *from_bbox(row[key]), 1.)
    if 'pose_keypoints' in row and 'pose_keypoints_2d' not in row:
        raise ValueError('it has "pose_keypoints", as OpenPose wrote before 1.2, expected '
                         '"pose_keypoints_2d"; run a newer OpenPose, or give --bbox')
    key = 'keypoints' if 'keypoints' in row else 'pose_keypoints_2d'
    points = _keypoints(np.asarray(row[key], float), row.get('keypoint_scores'))
    share = float(np.mean(points[:, 2] > _CONFIDENT)) if len(points) else 0.
    if not share:
        return Person(number, np.zeros(2), 0., 0.)
    return Person(number, *from_openpose(points), share)


def _keypoints(points, scores):
    """Keypoints [K, 3], of a flat list, of rows, or of pairs with scores beside as MMPose's."""
    if points.ndim == 2 and points.shape[1] == 2 and scores is not None:
        points = np.concatenate([points, np.reshape(np.asarray(scores, float), [-1, 1])], axis=1)
    if points.ndim > 2 or points.ndim == 2 and points.shape[1] != 3:
        raise ValueError('its keypoints are {}, expected x, y and confidence of each'.format(
            list(points.shape)))
    return points.reshape(-1, 3)


def chosen(people: Sequence[Person], wanted: str, path: str) -> List[Person]:
    """Picks the people that --person names: a number, 'all', or '' for the largest confident one.

    Args:
      people: of `read_people`; wanted: str; path: str, for messages.
    Raises:
      errors.InputError: there is no such person, or none is confident.
    """
    sure = [one for one in people if one.scale > 0 or one.confidence > 0]
    if wanted.isdecimal():
        sure = [one for one in people if one.number == int(wanted)]
        if not sure:
            raise errors.InputError('--person={}: {} has the people {}.'.format(
                wanted, path, errors.listed(one.number for one in people)))
    if not any(one.confidence for one in sure):
        raise errors.InputError('no keypoint of the person in {} is more certain than {:g}; give a '
                                'box by --bbox.'.format(path, _CONFIDENT))
    if wanted or len(people) == 1:
        return sure
    best = max(sure, key=lambda one: (one.confidence >= _MOSTLY, one.scale))
    cli.say('{} has {} people; person {} is taken, the largest (centre {:.0f}, {:.0f}, side {:.0f} '
            'pixels). --person=N takes another, --person=all each.'.format(
                path, len(people), best.number, *best.center, 200 * best.scale))
    return [best]


def cropped(image: np.ndarray, center: np.ndarray, scale: float, size: int = 224,
            stretch: bool = True) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the network's input.

    Args:
      image: [H, W, 3], RGB; center, scale: the box; size: int, pixels a side.
      stretch: see imutils.crop.
    Returns:
      (float32 [size, size, 3] from 0 to 1; the same normalised).
    """
    picture = imutils.crop(image, center, scale, (size, size), stretch=stretch)
    picture = picture.astype(np.float32) / 255.
    return picture, (picture - base_dataset.IMG_MEAN) / base_dataset.IMG_STD

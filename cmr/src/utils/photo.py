"""A photo's person: where the box is, and the crop that the network takes."""
import json

import numpy as np

from cmr.src.dataset import base_dataset
from cmr.src.utils import imutils
from common import errors

_EXPANSION = 1.2
_CONFIDENT = 0.2


def whole(shape):
    """(centre, scale) of the whole picture [H, W, ...]."""
    height, width = shape[:2]
    return np.array([width // 2, height // 2]), max(height, width) / 200


def from_bbox(bbox):
    """(centre, scale) of a box (left, top, width, height), which is not expanded.

    Raises:
      ValueError: these are not four numbers.
    """
    bbox = np.asarray(bbox, np.float32)
    if bbox.shape != (4,):
        raise ValueError('a box is four numbers: left, top, width, height')
    return bbox[:2] + 0.5 * bbox[2:], float(max(bbox[2:])) / 200


def from_openpose(keypoints):
    """(centre, scale) of the confident ones of keypoints [25, 3]: their mean, their box expanded.

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


def read_box(path, kind):
    """(centre, scale) of a JSON file.

    Args:
      path: str; kind: 'bbox' ({"bbox": [left, top, width, height]}) or 'openpose'.
    Raises:
      errors.InputError: the file is missing or is not of that kind.
    """
    try:
        with open(path, encoding='utf-8') as stream:
            found = json.load(stream)
        if kind == 'bbox':
            return from_bbox(found['bbox'])
        if not found['people']:
            raise errors.InputError('--openpose {} has found nobody; give a box by --bbox.'.format(
                path))
        return from_openpose(np.reshape(found['people'][0]['pose_keypoints_2d'], [-1, 3]))
    except OSError as error:
        raise errors.InputError('cannot read --{} {}: {}.'.format(kind, path, error.strerror))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise errors.InputError('--{} {} is no such file: {!r}.'.format(kind, path, error))


def cropped(image, center, scale, size=224, stretch=True):
    """The network's input.

    Args:
      image: [H, W, 3], RGB; stretch: see imutils.crop.
    Returns:
      (float32 [size, size, 3] from 0 to 1; the same normalised).
    """
    picture = imutils.crop(image, center, scale, (size, size), stretch=stretch)
    picture = picture.astype(np.float32) / 255.
    return picture, (picture - base_dataset.IMG_MEAN) / base_dataset.IMG_STD

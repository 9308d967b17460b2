"""A photo's person: where the box is, and the crop that the network takes.

A centre is x, y in pixels, a scale the side of a square box over 200.
"""
import json
from typing import Sequence, Tuple

import numpy as np

from cmr.src.dataset import base_dataset
from cmr.src.utils import imutils
from common import errors

_EXPANSION = 1.2
_CONFIDENT = 0.2

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


def read_box(path: str, kind: str) -> Box:
    """Reads (centre, scale) from a JSON file.

    Args:
      path: str; kind: 'bbox' ({"bbox": [left, top, width, height]}) or 'openpose'.
    Raises:
      errors.InputError: the file is missing or is not of that kind.
    """
    try:
        with open(path, encoding='utf-8') as stream:
            content = json.load(stream)
        if kind == 'bbox':
            return from_bbox(content['bbox'])
        if not content['people']:
            raise errors.InputError('--openpose {} has found nobody; give a box by --bbox.'.format(
                path))
        return from_openpose(np.reshape(content['people'][0]['pose_keypoints_2d'], [-1, 3]))
    except OSError as error:
        raise errors.InputError('cannot read --{} {}: {}.'.format(kind, path, error.strerror))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise errors.InputError('--{} {} is no such file: {!r}.'.format(kind, path, error))


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

"""Annotations of the raw sets as rows of sample files. Box sides are in units of 200 pixels.

Every function returns a dict of arrays with imgname, center [n, 2], scale [n], part [n, 24, 3] and
what else the set has.
"""
from typing import Any, Dict, List, Sequence

import numpy as np

from common import cli, errors

_EXPANSION = 1.2
_MPII_JOINTS = (0, 1, 2, 3, 4, 5, 14, 15, 12, 13, 6, 7, 8, 9, 10, 11)
_COCO_JOINTS = (19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0)
_COCO_BODY = slice(5, 17)   # all of these must be labelled


def _box(low, high):
    """Centre and scale of boxes between corners [..., 2]."""
    return (low + high) / 2, _EXPANSION * np.max(high - low, axis=-1) / 200


def lsp(joints: np.ndarray, first: int, last: int, with_masks: bool) -> Dict[str, np.ndarray]:
    """Returns the rows of Leeds Sports Pose, pictures first to last of joints.mat.

    Args:
      joints: [3, 14, 2000], x, y, flag (not looked at).
      first, last: int, numbers of pictures from 1.
      with_masks: bool, names of masks and parts too (the test set).
    """
    numbers = np.arange(first, last + 1)
    points = np.asarray(joints, np.float64)[:2, :, numbers - 1].transpose(2, 1, 0)
    center, scale = _box(points.min(axis=1), points.max(axis=1))
    part = np.zeros([len(numbers), 24, 3])
    part[:, :14] = np.concatenate([points, np.ones(points.shape[:2] + (1,))], axis=2)
    rows = {'imgname': np.array(['images/im{:04d}.jpg'.format(n) for n in numbers]),
            'center': center, 'scale': scale, 'part': part}
    if with_masks:
        for name, kind in (('maskname', ''), ('partname', 'part_')):
            rows[name] = np.array(['data/lsp/im{:04d}_{}segmentation.png'.format(n, kind)
                                   for n in numbers])
    return rows


def mpii(center: np.ndarray, scale: np.ndarray, part: np.ndarray,
         imgname: Sequence) -> Dict[str, np.ndarray]:
    """Returns the rows of MPII; people with a coordinate that is not positive are left out.

    Args:
      center: [n, 2]; scale: [n]; part: [n, 16, 2]; imgname: str or bytes [n]; of train.h5.
    """
    part = np.asarray(part, np.float64)
    valid = (part > 0).all(axis=(1, 2))
    joints = np.zeros([valid.sum(), 24, 3])
    joints[:, _MPII_JOINTS, :2], joints[:, _MPII_JOINTS, 2] = part[valid], 1
    names = [name.decode() if isinstance(name, bytes) else str(name)
             for name in np.asarray(imgname)[valid]]
    return {'imgname': np.array(['images/' + name for name in names]),
            'center': np.asarray(center, np.float64)[valid],
            'scale': np.asarray(scale, np.float64)[valid], 'part': joints}


def coco(annotations: Dict[str, Any]) -> Dict[str, np.ndarray]:
    """Returns the rows of COCO 2014: people whose twelve body keypoints are all labelled.

    Args:
      annotations: dict of person_keypoints_train2014.json.
    Raises:
      ValueError: an annotation has no 17 keypoints, or no box of four finite numbers; its id is
        named. A box without extent is left out and its id told.
    """
    names = {image['id']: image['file_name'] for image in annotations['images']}
    rows: Dict[str, List] = {'imgname': [], 'center': [], 'scale': [], 'part': []}
    for person in annotations['annotations']:
        points = np.asarray(person['keypoints'], np.float64)
        box = np.asarray(person.get('bbox', ()), np.float64)
        if points.size != 51 or not np.isfinite(points).all():
            raise ValueError('annotation {} has no 17 keypoints'.format(_id(person)))
        points = points.reshape(17, 3)
        points[:, 2] = points[:, 2] > 0
        if not points[_COCO_BODY, 2].all():
            continue
        if box.shape != (4,) or not np.isfinite(box).all():
            raise ValueError('annotation {} has no box of four numbers'.format(_id(person)))
        if (box[2:] <= 0).any():
            cli.say('note: annotation {} is left out, since its box has no extent'.format(
                _id(person)))
            continue
        if person['image_id'] not in names:
            raise ValueError('annotation {} is of a picture that is not listed'.format(_id(person)))
        center, scale = _box(box[:2], box[:2] + box[2:])
        part = np.zeros([24, 3])
        part[list(_COCO_JOINTS)] = points
        for name, value in zip(rows, ('train2014/' + names[person['image_id']], center, scale,
                                      part)):
            rows[name].append(value)
    return {name: np.array(value) for name, value in rows.items()}


def _id(person):
    return errors.quote(person.get('id', 'without an id'))


def up3d(number: str, joints: np.ndarray, render: np.ndarray, pose: np.ndarray,
         betas: np.ndarray) -> Dict[str, Any]:
    """Returns the row of one picture of UP-3D.

    Args:
      number: str, such as 00017; joints: [3, 14] (x, y, visible); render: uint8 [H, W, 3], the body
        before white; pose: [72]; betas: [10].
    Raises:
      ValueError: one of them has another size, or the render shows no body.
    """
    for name, value, shape in (('joints', joints, (3, 14)), ('pose', np.ravel(pose), (72,)),
                               ('betas', np.ravel(betas), (10,))):
        if value.shape != shape:
            raise ValueError('{} are {}, expected {}'.format(name, value.shape, shape))
    if render.min() == 255:
        raise ValueError('the render shows no body')
    rows, columns = np.nonzero(render.min(axis=2) < 255)
    low = np.array([columns.min(), rows.min()], float)
    high = np.array([columns.max() + 1, rows.max() + 1], float)
    center, scale = _box(low, high)
    part = np.zeros([24, 3])
    part[:14] = joints.T
    return {'imgname': '{}_image.png'.format(number), 'center': center, 'scale': scale,
            'part': part, 'pose': np.ravel(pose), 'shape': np.ravel(betas)}

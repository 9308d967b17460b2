"""Human3.6M: every fifth frame of the test subjects, with joints in metres from the root.

Positions are CDF files, for which the package cdflib is needed.
"""
import glob
import os
from typing import Dict, List, Tuple

import cv2
import numpy as np

from common import cli, errors, files
from common.readers import hdf5, limits

_SUBJECTS = ('S9', 'S11')
_STEP = 5                   # frames between samples
_MASKS = 'masks of a body for each picture'
_CAMERA = '60457274'        # the only one of protocol 2
# 17 of the 32 stored joints, from 0, and their places among the 24.
_STORED = (11, 6, 7, 8, 1, 2, 3, 12, 24, 14, 15, 17, 18, 19, 25, 26, 27)
_PLACES = (14, 3, 4, 5, 2, 1, 0, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6)


def rows(folder: str, protocol: int) -> Dict[str, np.ndarray]:
    """Reads the samples of a protocol; pictures are written to images/ below the folder.

    Args:
      folder: str, with S9/ and S11/ as published; protocol: 1 or 2.
    Raises:
      errors.InputError: a file is missing or cdflib is.
    """
    samples: Dict[str, List] = {'imgname': [], 'center': [], 'scale': [], 'S': []}
    for subject in _SUBJECTS:
        pattern = os.path.join(glob.escape(os.path.join(folder, subject)), 'MyPoseFeatures',
                               'D3_Positions_mono', '*.cdf')
        paths = sorted(glob.glob(pattern))
        if not paths:
            raise errors.InputError('no positions of {}: nothing matches {}.'.format(
                subject, pattern))
        for path in paths:
            action, dot, camera = os.path.basename(path)[:-len('.cdf')].rpartition('.')
            if not dot:
                raise errors.InputError('{}: the name is not action.camera.cdf.'.format(path))
            if '_ALL' in action or (protocol == 2 and camera != _CAMERA):
                continue
            _sequence(folder, subject, action, camera, _positions(path), samples)
    return {name: np.array(values) for name, values in samples.items()}


def _positions(path):
    try:
        import cdflib
    except ImportError:
        raise errors.InputError('{} is a CDF file; reading it needs the package cdflib: pip '
                                'install cdflib==0.4.9.'.format(path))
    try:
        return np.asarray(cdflib.CDF(path)['Pose'][0], np.float64).reshape(-1, 32, 3) / 1000.
    except limits.DAMAGE as error:
        raise errors.InputError('{} has no positions of 32 joints: {!r}.'.format(path, error))


def _sequence(folder, subject, action, camera, positions, samples):
    """Adds every fifth frame of a sequence."""
    base = os.path.join(folder, subject)
    box_path = os.path.join(base, 'MySegmentsMat', 'ground_truth_bb',
                            '{}.{}.mat'.format(action, camera))
    video_path = os.path.join(base, 'Videos', '{}.{}.mp4'.format(action, camera))
    for path in (box_path, video_path):
        if not os.path.exists(path):
            raise errors.InputError('{} is missing.'.format(path))
    video = cv2.VideoCapture(video_path)
    try:
        # The original throws the first picture away, and so is one off.
        if not video.read()[0]:
            raise errors.InputError('{} shows no picture: it is damaged, or this OpenCV cannot '
                                    'decode it.'.format(video_path))
        with hdf5.open_file(box_path, _MASKS) as boxes:
            for frame in range(len(positions)):
                has_picture, image = video.read()
                if not has_picture:
                    cli.say('note: {} ends at picture {} of {}'.format(
                        video_path, frame + 1, len(positions)))
                    break
                if frame % _STEP:
                    continue
                center, scale = _box_of(boxes, frame, box_path)
                name = '{}_{}.{}_{:06d}.jpg'.format(subject, action.replace(' ', '_'), camera,
                                                    frame + 1)
                _write(os.path.join(folder, 'images', name), image)
                for key, value in zip(samples, ('images/' + name, center, scale,
                                                joints(positions[frame]))):
                    samples[key].append(value)
    finally:
        video.release()


def _box_of(stream, frame, path):
    """The box of the mask of a frame (a reference to a dataset), of an opened file."""
    with limits.telling(path, _MASKS):
        mask = stream[hdf5.dataset(stream, path, 'Masks', kinds='O')[frame, 0]]
        return box(hdf5.values(mask, slice(None), path).T)


def _write(path, image):
    """Writes a picture that is not there yet."""
    if os.path.exists(path):
        return
    with files.replacing(path) as temporary:
        if not cv2.imwrite(temporary, image):
            raise errors.InputError('cannot write {}.'.format(path))


def box(mask: np.ndarray) -> Tuple[np.ndarray, float]:
    """Returns (centre, scale) of a mask [H, W], not expanded.

    Raises:
      ValueError: the mask is empty.
    """
    lines, columns = np.nonzero(mask)
    if not len(lines):
        raise ValueError('a mask is empty')
    low = np.array([columns.min(), lines.min()], float)
    high = np.array([columns.max() + 1, lines.max() + 1], float)
    return (low + high) / 2, (high - low).max() / 200


def joints(position: np.ndarray) -> np.ndarray:
    """Returns joints [24, 4] relative to the root, with confidence, of [32, 3]; metres."""
    chosen = position[list(_STORED)]
    chosen = chosen - chosen[0]
    result = np.zeros([24, 4])
    result[list(_PLACES), :3], result[list(_PLACES), 3] = chosen, 1
    return result

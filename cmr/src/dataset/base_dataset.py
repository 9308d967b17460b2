"""Samples: what a sample file says of a picture, augmented.

A file is an .npz of imgname, center, scale and, as it has them, part, pose, shape and S.
"""
import collections
from typing import Any, Dict, Sequence

import numpy as np

from cmr.src.utils import imutils

IMG_MEAN, IMG_STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

Augmentation = collections.namedtuple('Augmentation', 'flip noise rot scale')
Augmentation.__doc__ = """flip: bool; noise: factors of the channels [3]; rot: degrees;
scale: factor of the box."""
NONE = Augmentation(False, np.ones(3), 0., 1.)


def draw_augmentation(rng: np.random.RandomState, noise_factor: float = 0.4,
                      rot_factor: float = 30., scale_factor: float = 0.25) -> Augmentation:
    """Draws in the original's order: flip, noise, rotation, scale, and whether it rotates at all.

    Args:
      rng: numpy.random.RandomState.
    Returns:
      Augmentation.
    """
    flip = rng.uniform() <= 0.5
    noise = rng.uniform(1 - noise_factor, 1 + noise_factor, 3)
    rot = np.clip(rng.randn() * rot_factor, -2 * rot_factor, 2 * rot_factor)
    scale = np.clip(rng.randn() * scale_factor + 1, 1 - scale_factor, 1 + scale_factor)
    if rng.uniform() <= 0.6:
        rot = 0.
    return Augmentation(bool(flip), noise, float(rot), float(scale))


def make_sample(image: np.ndarray, row: Dict[str, Any], augmentation: Augmentation, size: int,
                stretch: bool = True) -> Dict[str, np.ndarray]:
    """Makes a sample of a picture and its row of a sample file.

    Args:
      image: [H, W, 3], RGB.
      row: dict of a file's row: center, scale and, where known, part [24, 3], pose [72], shape
        [10], S [24, 4].
      augmentation: Augmentation; size: int, pixels a side.
      stretch: bool, as the original: see imutils.crop; pixels and keypoints cut to whole numbers.
    Returns:
      dict of arrays: img and img_orig [size, size, 3], pose, betas, pose_3d, keypoints, has_smpl,
      has_pose_3d, scale, center, orig_shape.
    """
    flip, noise, rot, factor = augmentation
    scale = row['scale'] * factor
    picture = imutils.rgb_processing(image, row['center'], scale, rot, flip, noise, size, stretch)
    part = row.get('part')
    keypoints = np.zeros([24, 3]) if part is None else part
    pose_3d = np.zeros([24, 4], np.float32)
    if 'S' in row:
        pose_3d[:, :3] = imutils.j3d_processing(row['S'][:, :3], rot, flip)
        pose_3d[:, 3] = row['S'][:, 3]      # not mirrored with the joints, in the original too
    # A pose that is not known is rotated like any other; losses leave it out.
    pose = imutils.pose_processing(row.get('pose', np.zeros(72)), rot, flip)
    betas = np.asarray(row.get('shape', np.zeros(10)), np.float32)
    return {'img': (picture - IMG_MEAN) / IMG_STD, 'img_orig': picture, 'pose': pose,
            'betas': betas, 'pose_3d': pose_3d,
            'keypoints': imutils.j2d_processing(keypoints, row['center'], scale, rot, flip, size,
                                                whole=stretch),
            'has_smpl': np.int64('pose' in row), 'has_pose_3d': np.int64('S' in row),
            'scale': np.float64(scale), 'center': np.asarray(row['center'], np.float32),
            'orig_shape': np.array(image.shape[:2])}


def choose_part(draw: float, partition: Sequence[float]) -> int:
    """Returns the set of a mixture for a uniform draw: the first whose running share reaches it."""
    return min(int(np.searchsorted(np.cumsum(partition), draw)), len(partition) - 1)

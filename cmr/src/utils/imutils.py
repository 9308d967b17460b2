"""Crops of pictures and what goes with them: points, poses and joints, rotated and mirrored.

The original crops through two functions of scipy 1.2 that are gone; Pillow, which they called,
gives their results bit for bit. They stretch a picture of floats to 0..255 first, and the buffer of
the original is one of floats: trained weights have only seen stretched crops.
"""
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

KEYPOINT_FLIP = (5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20, 23,
                 22)
_SMALLEST_SIDE, _LARGEST_SIDE = 2., 5      # of a box: pixels; sides of its picture
_POSE_FLIP = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22)


def get_transform(center: Sequence[float], scale: float, size: Tuple[int, int],
                  rot: float = 0.) -> np.ndarray:
    """Returns the matrix [3, 3] from pixels of a picture to those of its crop.

    Args:
      center: x, y in pixels; scale: side of the box / 200; size: (height, width) of the crop.
      rot: float, degrees.
    """
    center, side = np.asarray(center, np.float64), 200. * float(scale)    # NumPy 2 keeps float32
    matrix = np.eye(3)
    matrix[0, 0], matrix[1, 1] = size[1] / side, size[0] / side
    matrix[0, 2] = size[1] * (-center[0] / side + 0.5)
    matrix[1, 2] = size[0] * (-center[1] / side + 0.5)
    if rot:
        angle = -rot * np.pi / 180.
        rotation, move, back = np.eye(3), np.eye(3), np.eye(3)
        rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        move[:2, 2] = -size[1] / 2., -size[0] / 2.
        back[:2, 2] = -move[:2, 2]
        matrix = back.dot(rotation).dot(move).dot(matrix)
    return matrix


def transform(point: Sequence[float], center: Sequence[float], scale: float, size: Tuple[int, int],
              invert: bool = False, rot: float = 0., whole: bool = True) -> np.ndarray:
    """Maps a point of a picture to its crop (or back), cut off to whole pixels towards zero.

    Args:
      point: x, y in pixels, counted from 1; center, scale, size, rot: see `get_transform`.
      invert: bool, from the crop to the picture.
      whole: bool; False keeps fractions and moves by the half pixel that cutting off takes.
    Returns:
      int64 (else float) [2], counted from 1.
    """
    matrix = get_transform(center, scale, size, rot)
    if invert:
        matrix = np.linalg.inv(matrix)
    mapped = matrix.dot([point[0] - 1, point[1] - 1, 1.])[:2]
    return mapped.astype(np.int64) + 1 if whole else mapped + 0.5


def stretched(image: np.ndarray) -> np.ndarray:
    """Stretches floats of any shape to uint8, the smallest to 0 and the largest to 255.

    Bytes stay as they are.
    """
    if image.dtype == np.uint8:
        return image
    low, high = image.min(), image.max()
    scale = 255. / ((high - low) or 1.)
    return (np.clip((image - low) * scale, 0, 255) + 0.5).astype(np.uint8)


def imresize(image: np.ndarray, size: Sequence[int], nearest: bool = False) -> np.ndarray:
    """Resizes [H, W, ...] to size (height, width) as scipy 1.2 did; uint8.

    Bilinear with antialiasing, or nearest neighbours.
    """
    interpolation = Image.NEAREST if nearest else Image.BILINEAR
    return np.array(Image.fromarray(stretched(image)).resize((int(size[1]), int(size[0])),
                                                             interpolation))


def imrotate(image: np.ndarray, angle: float) -> np.ndarray:
    """Rotates [H, W, ...] by degrees, counter-clockwise about the centre, as scipy 1.2 did; uint8.

    Bilinear.
    """
    return np.array(Image.fromarray(stretched(image)).rotate(angle, Image.BILINEAR))


def box_problem(center: Sequence[float], scale: float, shape: Sequence[int]) -> Optional[str]:
    """Returns what is wrong with the box of a person, as part of a sentence; None if nothing is.

    Args:
      center: x, y in pixels; scale: side of the box / 200; shape: (H, W, ...) of the picture.
    Returns:
      str that wants the picture's name behind it, or None.
    """
    centre, side = np.asarray(center, np.float64), 200. * float(scale)
    limit = np.array(shape[1::-1])
    if not np.isfinite(centre).all() or not np.isfinite(side):
        problem = 'is not finite, in'
    elif side < _SMALLEST_SIDE:
        problem = 'is too small ({:g} pixels at least), in'.format(_SMALLEST_SIDE)
    elif side > _LARGEST_SIDE * limit.max():
        problem = 'is more than {} times as large as'.format(_LARGEST_SIDE)
    elif (centre + side / 2 < 1).any() or (centre - side / 2 > limit - 1).any():
        problem = 'lies outside of'
    else:
        return None
    return '(centre {:.0f}, {:.0f}, side {:.3g}) {} the {} x {} pixels of'.format(
        centre[0], centre[1], side, problem, *limit)


def _box(center, scale, size):
    """Upper left and lower right corner of the crop in the picture, from 0."""
    low = transform((1, 1), center, scale, size, invert=True) - 1
    high = transform((size[0] + 1, size[1] + 1), center, scale, size, invert=True) - 1
    return low, high


def _overlap(low, high, limit):
    """Slices of the crop and of the picture that lie on each other, along an axis."""
    inside = slice(max(0, -low), max(0, min(high, limit) - low))
    return inside, slice(max(0, low), max(0, min(limit, high)))


def crop(image: np.ndarray, center: Sequence[float], scale: float, size: Tuple[int, int],
         rot: float = 0., stretch: bool = True) -> np.ndarray:
    """Cuts a box out of a picture and resizes it; zeros where the box leaves the picture.

    Args:
      image: [H, W, 3] or [H, W].
      center, scale, size: see `get_transform`; rot: float, degrees.
      stretch: bool, as the original; False keeps the levels (the MindSpore port).
    Returns:
      uint8 [height, width, ...].
    """
    low, high = _box(center, scale, size)
    pad = int(np.linalg.norm(high - low) / 2 - float(high[1] - low[1]) / 2)
    if rot:
        low, high = low - pad, high + pad
    buffer = np.zeros([high[1] - low[1], high[0] - low[0]] + list(image.shape[2:]),
                      np.float64 if stretch else np.uint8)
    to_row, from_row = _overlap(low[1], high[1], image.shape[0])
    to_column, from_column = _overlap(low[0], high[0], image.shape[1])
    buffer[to_row, to_column] = image[from_row, from_column]
    if rot:
        rotated = imrotate(buffer, rot)
        buffer = rotated[pad:len(rotated) - pad, pad:rotated.shape[1] - pad]   # pad may be 0
    return imresize(buffer, size)


def uncrop(image: np.ndarray, center: Sequence[float], scale: float,
           shape: Tuple[int, int]) -> np.ndarray:
    """Puts a crop back into a picture of zeros, by nearest neighbours.

    Args:
      image: [h, w]; shape: (H, W) of the picture.
    Returns:
      uint8 [H, W].
    """
    low, high = _box(center, scale, image.shape[:2])
    resized = imresize(image, (high[1] - low[1], high[0] - low[0]), nearest=True)
    result = np.zeros(shape, np.uint8)
    from_row, to_row = _overlap(low[1], high[1], shape[0])
    from_column, to_column = _overlap(low[0], high[0], shape[1])
    result[to_row, to_column] = resized[from_row, from_column]
    return result


def rgb_processing(image: np.ndarray, center: Sequence[float], scale: float, rot: float, flip: bool,
                   noise: Sequence[float], size: int, stretch: bool = True) -> np.ndarray:
    """Crops, mirrors, and scales each channel.

    Args:
      image: [H, W, 3], RGB 0..255; noise: three factors; size: int, pixels a side.
      stretch: see `crop`; False also keeps the fractions of what the noise makes.
    Returns:
      float32 [size, size, 3], 0 to 1.
    """
    result = crop(image, center, scale, (size, size), rot, stretch)
    if flip:
        result = result[:, ::-1]
    result = np.clip(result * np.asarray(noise), 0, 255)
    return (result.astype(np.uint8) if stretch else result).astype(np.float32) / 255.


def j2d_processing(keypoints: np.ndarray, center: Sequence[float], scale: float, rot: float,
                   flip: bool, size: int, whole: bool = True) -> np.ndarray:
    """Maps keypoints from pixels of a picture to -1..1 in its crop, mirrored if flip.

    Args:
      keypoints: [24, 3], x, y, confidence; the others: see `rgb_processing`.
      whole: bool, see `transform`.
    Returns:
      float32 [24, 3].
    """
    result = np.array(keypoints, np.float64)
    for row in result:
        row[:2] = transform(row[:2] + 1, center, scale, (size, size), rot=rot, whole=whole)
    result[:, :2] = 2. * result[:, :2] / size - 1.
    if flip:
        result = result[list(KEYPOINT_FLIP)]
        result[:, 0] = -result[:, 0]
    return result.astype(np.float32)


def j3d_processing(joints: np.ndarray, rot: float, flip: bool) -> np.ndarray:
    """Rotates joints [24, 3] in the image plane by degrees, mirrored if flip; float32."""
    result = np.asarray(joints, np.float64)
    if rot:
        result = np.einsum('ij,kj->ki', _in_plane(rot), result)
    if flip:
        result = result[list(KEYPOINT_FLIP)]
        result[:, 0] = -result[:, 0]
    return result.astype(np.float32)


def pose_processing(pose: np.ndarray, rot: float, flip: bool) -> np.ndarray:
    """Rotates the root of a pose in the image plane by degrees, mirrored if flip.

    Args:
      pose: axis-angle [72], radians.
    Returns:
      float32 [72].
    """
    pose = np.array(pose, np.float64)
    root = _in_plane(rot).dot(cv2.Rodrigues(pose[:3])[0])
    pose[:3] = cv2.Rodrigues(root)[0].ravel()
    if flip:
        pose = pose.reshape(24, 3)[list(_POSE_FLIP)] * [1, -1, -1]
    return pose.ravel().astype(np.float32)


def _in_plane(rot):
    angle = -rot * np.pi / 180.
    return np.array([[np.cos(angle), -np.sin(angle), 0.], [np.sin(angle), np.cos(angle), 0.],
                     [0., 0., 1.]])

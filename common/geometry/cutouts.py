"""Objects in photographs before a plain background, cut out and put at the centre of a square."""
from typing import Optional, Tuple

import cv2
import numpy as np

DIFFERENT = 24      # levels by which a pixel of the object differs from the background
_MARGIN = 0.03      # share of a picture at its border that is background for GrabCut
_SIDE, _ROUNDS = 480, 5     # pixels of the longer side at which GrabCut works, and its iterations


def border(image: np.ndarray) -> np.ndarray:
    """Returns the pixels on the border of a picture [H, W, ...]: [2 H + 2 W, ...]."""
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def unlike_border(image: np.ndarray) -> np.ndarray:
    """Finds the largest connected piece that differs from the usual colour of the border.

    Args:
      image: uint8 [H, W, 3].
    Returns:
      bool [H, W]; all False where nothing differs.
    """
    usual = np.median(border(image).astype(float), axis=0)
    differs = (np.abs(image - usual).max(axis=2) > DIFFERENT).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(differs, connectivity=8)
    if count < 2:
        return np.zeros(differs.shape, bool)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def foreground(image: np.ndarray, box: Optional[Tuple[int, int, int, int]] = None) -> np.ndarray:
    """Finds the object of a photo before any background by GrabCut (Rother et al. 2004).

    Args:
      image: uint8 [H, W, 3], RGB.
      box: (left, top, right, bottom) in pixels, in which all of it lies; None: the whole picture
        but its border.
    Returns:
      bool [H, W], the largest connected piece; all False where nothing is found.
    """
    height, width = image.shape[:2]
    scale = min(1., _SIDE / max(height, width))
    small = cv2.resize(np.ascontiguousarray(image), (max(8, int(width * scale)),
                                                     max(8, int(height * scale))),
                       interpolation=cv2.INTER_AREA)
    rows, columns = small.shape[:2]
    margin = max(1, int(_MARGIN * min(rows, columns)))
    left, top, right, bottom = (0, 0, width, height) if box is None else box
    left, top = max(margin, int(left * scale)), max(margin, int(top * scale))
    right = min(columns - margin, int(right * scale))
    bottom = min(rows - margin, int(bottom * scale))
    if right - left < 2 or bottom - top < 2:
        return np.zeros([height, width], bool)
    labels = np.zeros([rows, columns], np.uint8)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(small, labels, (left, top, right - left, bottom - top), np.zeros([1, 65]),
                    np.zeros([1, 65]), _ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:       # one colour alone
        return np.zeros([height, width], bool)
    mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros([height, width], bool)
    largest = (pieces == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    return cv2.resize(largest, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def part_of(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Cuts the smallest box out of a picture [H, W, ...] that holds a mask bool [H, W]."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]


def on_square(part: np.ndarray, size: int, fill: float, background: int) -> np.ndarray:
    """Puts a picture at the centre of a square of one grey level, and scales that.

    Args:
      part: uint8 [H, W] or [H, W, 3]; size: pixels a side of the result.
      fill: share of the side that the longer side of the picture gets; background: level, 0 to 255.
    Returns:
      uint8 [size, size] or [size, size, 3].
    """
    height, width = part.shape[:2]
    side = int(np.ceil(max(height, width) / fill))
    square = np.full((side, side) + part.shape[2:], background, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top:top + height, left:left + width] = part
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=interpolation)

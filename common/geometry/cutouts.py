"""Objects in photographs before a plain background, cut out and put at the centre of a square."""
import cv2
import numpy as np

DIFFERENT = 24      # levels by which a pixel of the object differs from the background


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

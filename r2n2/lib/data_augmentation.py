"""What happens to a picture before the network sees it.

All draws come from the generator that is passed, in the order of the original: red, green, blue of
the background, row and column of the crop, mirror.
"""
import os
from typing import Any, Callable, List, Optional, Sequence, Set, Tuple, Union

import cv2
import numpy as np

from common import errors
from common.geometry import cutouts
from common.readers import text
from r2n2.lib import config as config_lib

GREY = 240          # background of the original's test pictures
_FILL = 0.72        # share of the picture that the object's longer side gets
_VOC_CLASSES = ('aeroplane', 'boat', 'bus', 'car', 'chair', 'diningtable', 'sofa', 'tvmonitor')


def add_background(image: np.ndarray, color_range: Sequence[Sequence[int]],
                   rng: np.random.RandomState) -> np.ndarray:
    """Fills transparent pixels with a plain random colour; half transparent ones stay as stored.

    Args:
      image: uint8 [H, W, 3 or 4].
      color_range: three pairs [lowest, highest].
      rng: numpy.random.RandomState; draws three numbers even where nothing is transparent.
    Returns:
      uint8 [H, W, 3].
    """
    color = [rng.randint(low, high + 1) for low, high in color_range]
    if image.shape[2] == 4:
        empty = image[..., 3:] == 0
        image = np.where(empty, np.uint8(color), image[..., :3])
    return image


def blend(image: np.ndarray, backgrounds: Sequence[Union[np.ndarray, Callable[[], np.ndarray]]],
          rng: np.random.RandomState) -> np.ndarray:
    """Composes a transparent picture over a random part of a random background picture.

    Args:
      image: uint8 [H, W, 4].
      backgrounds: list of functions or arrays uint8 [h, w, 3]; too small ones are drawn again.
      rng: numpy.random.RandomState.
    Returns:
      uint8 [H, W, 3].
    """
    height, width = image.shape[:2]
    for _ in range(1000):
        background = backgrounds[rng.choice(len(backgrounds))]
        background = background() if callable(background) else background
        if background.shape[0] >= height and background.shape[1] >= width:
            break
    else:
        raise errors.InputError('no background picture is as large as {} x {}.'.format(
            width, height))
    x = rng.randint(background.shape[1] - width) if background.shape[1] > width else 0
    y = rng.randint(background.shape[0] - height) if background.shape[0] > height else 0
    share = image[..., 3:].astype(np.float32) / 255
    behind = background[y:y + height, x:x + width, :3]
    return np.round(image[..., :3] * share + behind * (1 - share)).astype(np.uint8)


def voc_backgrounds(path: str) -> List[str]:
    """Lists the pictures of PASCAL VOC 2012 without any object of the trained categories.

    Args:
      path: str, the folder VOC2012 with ImageSets and JPEGImages.
    Returns:
      sorted list of names without extension.
    Raises:
      errors.InputError: a list is missing.
    """
    positive: Set[str] = set()
    known: Set[str] = set()
    for name in _VOC_CLASSES:
        for part in ('val', 'train', 'trainval'):
            source = os.path.join(path, 'ImageSets', 'Main', '{}_{}.txt'.format(name, part))
            rows = [line.split() for line in text.read_lines(
                source, 'a list of pictures', 'TRAIN.VOC_PATH must be the folder VOC2012.')]
            if any(len(row) < 2 for row in rows):
                raise errors.InputError('{}: a line is not "<picture> <-1, 0 or 1>". TRAIN.'
                                        'VOC_PATH must be the folder VOC2012.'.format(source))
            known.update(row[0] for row in rows)
            positive.update(row[0] for row in rows if row[1] != '-1')
    return sorted(known - positive)


def shift_hue(image: np.ndarray, hue_range: float, rng: np.random.RandomState) -> np.ndarray:
    """Shifts the hue of all pixels by one random angle.

    Args:
      image: uint8 [H, W, 3], RGB; hue_range: share of the colour circle that the shift covers.
      rng: numpy.random.RandomState.
    Returns:
      uint8 [H, W, 3].
    """
    shift = (rng.rand() - 0.5) * hue_range
    hls = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hls[..., 0] = (hls[..., 0].astype(np.int32) + int(round(shift * 256))) % 256
    return cv2.cvtColor(hls, cv2.COLOR_HSV2RGB_FULL)


def for_training(image: np.ndarray, settings: config_lib.Config, rng: np.random.RandomState,
                 backgrounds: Optional[Sequence[Any]] = None) -> np.ndarray:
    """Augments a rendering: random background, crop, hue and mirroring.

    Args:
      image: uint8 [H, W, 3 or 4].
      settings: section TRAIN of the settings.
      rng: numpy.random.RandomState.
      backgrounds: see `blend`; None draws plain colours only.
    Returns:
      uint8 [H - PAD_Y, W - PAD_X, 3].
    """
    if backgrounds and image.shape[2] == 4 and rng.rand() > settings.SIMPLE_BACKGROUND_RATIO:
        image = blend(image, backgrounds, rng)
    else:
        image = add_background(image, settings.NO_BG_COLOR_RANGE, rng)
    if settings.RANDOM_CROP:
        row = rng.randint(0, settings.PAD_Y) if settings.PAD_Y else 0
        column = rng.randint(0, settings.PAD_X) if settings.PAD_X else 0
        image = image[row:row + image.shape[0] - settings.PAD_Y,
                      column:column + image.shape[1] - settings.PAD_X]
    if settings.HUE_RANGE:
        image = shift_hue(np.ascontiguousarray(image), settings.HUE_RANGE, rng)
    if settings.FLIP and not settings.FLIP_TOGETHER and rng.rand() > 0.5:
        image = image[:, ::-1]
    return image


def for_test(image: np.ndarray, color_range: Sequence[Sequence[int]], size: Tuple[int, int],
             rng: np.random.RandomState) -> np.ndarray:
    """Returns the centre of a rendering before a plain background.

    Args:
      image: uint8 [H, W, 3 or 4].
      color_range: see `add_background`.
      size: (height, width) of the result.
      rng: numpy.random.RandomState.
    Returns:
      uint8 [height, width, 3].
    """
    image = add_background(image, color_range, rng)
    (top, bottom), (left, right) = [((side - part) // 2, (side + part) // 2)
                                    for side, part in zip(image.shape, size)]
    return image[top:bottom, left:right]


def centred(image: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """Puts the object of a picture at the centre of a square of light grey, as the demo does.

    Args:
      image: uint8 [H, W, 3]; mask: bool [H, W], the object, not empty; size: int, pixels a side.
    Returns:
      uint8 [size, size, 3].
    """
    return cutouts.on_square(cutouts.part_of(image, mask), size, _FILL, GREY)


def scaled(images: np.ndarray) -> np.ndarray:
    """Scales uint8 images of any shape to float32 from 0 to 1."""
    return images.astype(np.float32) / np.float32(255)

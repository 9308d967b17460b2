"""What happens to a picture before the network sees it.

All draws come from the generator that is passed, in the order of the original: red, green, blue of
the background, row and column of the crop, mirror.
"""
import os

import cv2
import numpy as np

from common import errors

_VOC_CLASSES = ('aeroplane', 'boat', 'bus', 'car', 'chair', 'diningtable', 'sofa', 'tvmonitor')


def add_background(image, color_range, rng):
    """Puts a plain colour where a picture is transparent; half transparent pixels stay as stored.

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


def blend(image, backgrounds, rng):
    """Puts a piece of a random picture behind a transparent one.

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


def voc_backgrounds(path):
    """Pictures of PASCAL VOC 2012 that show nothing like the objects.

    Args:
      path: str, the folder VOC2012 with ImageSets and JPEGImages.
    Returns:
      sorted list of names without extension.
    Raises:
      errors.InputError: a list is missing.
    """
    shown, known = set(), set()
    for name in _VOC_CLASSES:
        for part in ('val', 'train', 'trainval'):
            source = os.path.join(path, 'ImageSets', 'Main', '{}_{}.txt'.format(name, part))
            try:
                with open(source, encoding='utf-8') as stream:
                    rows = [line.split() for line in stream if line.strip()]
            except OSError as error:
                raise errors.InputError('cannot read {}: {}. TRAIN.VOC_PATH must be the folder '
                                        'VOC2012.'.format(source, error.strerror))
            known.update(row[0] for row in rows)
            shown.update(row[0] for row in rows if row[1] != '-1')
    return sorted(known - shown)


def shift_hue(image, hue_range, rng):
    """Turns the hue of all pixels by up to half of `hue_range` of the circle."""
    shift = (rng.rand() - 0.5) * hue_range
    hls = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hls[..., 0] = (hls[..., 0].astype(np.int32) + int(round(shift * 256))) % 256
    return cv2.cvtColor(hls, cv2.COLOR_HSV2RGB_FULL)


def for_training(image, options, rng, backgrounds=None):
    """Background, crop, hue and mirror at random.

    Args:
      image: uint8 [H, W, 3 or 4].
      options: the section TRAIN of `config`.
      rng: numpy.random.RandomState.
      backgrounds: see `blend`; None draws plain colours only.
    Returns:
      uint8 [H - PAD_Y, W - PAD_X, 3].
    """
    if backgrounds and image.shape[2] == 4 and rng.rand() > options.SIMPLE_BACKGROUND_RATIO:
        image = blend(image, backgrounds, rng)
    else:
        image = add_background(image, options.NO_BG_COLOR_RANGE, rng)
    if options.RANDOM_CROP:
        row = rng.randint(0, options.PAD_Y) if options.PAD_Y else 0
        column = rng.randint(0, options.PAD_X) if options.PAD_X else 0
        image = image[row:row + image.shape[0] - options.PAD_Y,
                      column:column + image.shape[1] - options.PAD_X]
    if options.HUE_RANGE:
        image = shift_hue(np.ascontiguousarray(image), options.HUE_RANGE, rng)
    if options.FLIP and not options.FLIP_TOGETHER and rng.rand() > 0.5:
        image = image[:, ::-1]
    return image


def for_test(image, color_range, size, rng):
    """Plain background and the middle of the picture.

    Args:
      image: uint8 [H, W, 3 or 4].
      color_range: see `add_background`.
      size: (height, width) of the result.
      rng: numpy.random.RandomState.
    Returns:
      uint8 [height, width, 3].
    """
    image = add_background(image, color_range, rng)
    (top, bottom), (left, right) = [((have - want) // 2, (have + want) // 2)
                                    for have, want in zip(image.shape, size)]
    return image[top:bottom, left:right]


def scaled(images):
    """uint8 to float32 from 0 to 1."""
    return images.astype(np.float32) / np.float32(255)

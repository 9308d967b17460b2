"""Pictures as IM-SVR wants them: grey, white background, 128 x 128, values in [0, 1]."""
from typing import Any, Optional, Sequence, Tuple

import cv2
import numpy as np

from common import errors
from imnet.IMSVR import model

_OFFSET = (model.VIEW_SIZE - model.CROP_SIZE) // 2


def cropped(view: np.ndarray, mirrored: bool = False) -> np.ndarray:
    """Cuts out the centre of a rendered view.

    Args:
      view: uint8 [137, 137]; mirrored: left and right exchanged.
    Returns:
      float32 [128, 128, 1] in [0, 1].
    """
    crop = view[_OFFSET:_OFFSET + model.CROP_SIZE, _OFFSET:_OFFSET + model.CROP_SIZE]
    if mirrored:
        crop = crop[:, ::-1]
    return (crop.astype(np.float32) / 255.)[..., None]


def checked(data: Any, view: Optional[int]) -> int:
    """Returns the number of a view of a data_utils.Set, None meaning the last.

    Raises:
      errors.UsageError: its shapes have fewer views.
    """
    count = data.pixels().shape[1]
    if view is None:
        return count - 1
    if view >= count:
        raise errors.UsageError('--view={}: the shapes of {} have {} views, 0 to {}.'.format(
            view, data.path, count, count - 1))
    return view


def draw_choice(rng: Any, view_num: int = model.VIEW_NUM) -> Tuple[int, bool]:
    """Draws the view of a slot of a batch and whether it is mirrored, in this order."""
    view = rng.randint(view_num)
    return int(view), bool(rng.randint(2))


def batch(pixels: Any, rows: Sequence[int], rng: Any, view_num: Optional[int] = None,
          slots: Optional[Sequence[int]] = None) -> np.ndarray:
    """Draws the views of a batch, one a shape, and reads those of some slots.

    Args:
      pixels: uint8 [M, views, 137, 137], array or HDF5 dataset; rows: shapes of the batch.
      rng: numpy.random.RandomState (or numpy.random).
      view_num: views to draw from; None: all.
      slots: places in `rows` that are read; None: all. The draws do not depend on them.
    Returns:
      float32 [slots, 128, 128, 1].
    """
    draws = [draw_choice(rng, view_num or pixels.shape[1]) for _ in rows]
    slots = range(len(rows)) if slots is None else slots
    result = np.zeros([len(slots), model.CROP_SIZE, model.CROP_SIZE, 1], np.float32)
    for place, slot in enumerate(slots):
        view, mirrored = draws[slot]
        result[place] = cropped(pixels[int(rows[slot]), view], mirrored)
    return result


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Composes a picture uint8 [H, W, 4] over white: grey values uint8 [H, W]."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2GRAY)
    alpha = rgba[..., 3].astype(np.float32) / 255.
    return np.clip(np.round(grey * alpha + 255. * (1. - alpha)), 0, 255).astype(np.uint8)


def resized(grey: np.ndarray) -> np.ndarray:
    """Scales a grey picture of any size, as the original's test_image reads it (no crop).

    Args:
      grey: uint8 [H, W].
    Returns:
      float32 [128, 128, 1] in [0, 1].
    """
    small = cv2.resize(grey, (model.CROP_SIZE, model.CROP_SIZE))
    return (small.astype(np.float32) / 255.)[..., None]

"""Photographs as IM-SVR wants it: one object, grey, on white, as large as in the rendered views."""
import numpy as np

from common import errors
from common.geometry import cutouts
from common.readers import pictures
from imnet.IMSVR import model, views

_FILL = 0.8         # share of the network's input that the object's longer side gets


def read(path: str, background: str = 'auto', crop: str = 'auto',
         max_pixels: int = pictures.MAX_PIXELS) -> np.ndarray:
    """Reads one picture.

    Alpha is composed over white. `crop`: 'none' scales the whole picture to 128 x 128, as the
    original does; 'middle' cuts the central 128 x 128 of a view of 137 x 137, as in training;
    'object' centres the object, its longer side 80 % of the result; 'auto' is 'none' for views of
    137 x 137, as in the original, and 'object' for all others. Without alpha, `background`: 'white'
    takes the picture as it is; 'border' makes white what looks like the picture's border; 'auto'
    does that to centre the object, unless the border is white already; 'remove' makes white what
    GrabCut takes for background.

    Args:
      path: of the picture; background, crop: as above; max_pixels: the most that is read.
    Returns:
      float32 [128, 128, 1] in [0, 1].
    Raises:
      errors.InputError: the file cannot be read, or shows no object.
    """
    rgba = pictures.read(path, 4, max_pixels)
    grey = views.over_white(rgba)
    is_view = grey.shape == (model.VIEW_SIZE, model.VIEW_SIZE)
    if crop == 'auto':
        crop = 'none' if is_view else 'object'
    if crop == 'middle' and not is_view:
        raise errors.InputError('{} has {} x {} pixels; --crop=middle is for views of 137 x '
                                '137.'.format(path, *grey.shape[::-1]))
    mask = rgba[..., 3] > 127
    if mask.all():      # no alpha
        is_white = cutouts.border(grey).min() >= 255 - cutouts.DIFFERENT
        if background == 'remove':
            mask = cutouts.foreground(rgba[..., :3])
            grey = np.where(mask, grey, 255).astype(np.uint8)
        elif background == 'border' or (background == 'auto' and crop == 'object' and not is_white):
            mask = cutouts.unlike_border(rgba[..., :3])
            grey = np.where(mask, grey, 255).astype(np.uint8)
        else:
            mask = grey < 255 - cutouts.DIFFERENT
    if not mask.any():
        raise errors.InputError('{} shows no object: every pixel looks like the background. Give a '
                                'picture with alpha, or with one object before a plain '
                                'background.'.format(path))
    if crop == 'none':
        return views.resized(grey)
    if crop == 'middle':
        return views.cropped(grey)
    if mask.all():
        raise errors.InputError('the object fills all of {}, so there is no background to tell it '
                                'from: leave a margin, or give --crop=none.'.format(path))
    small = cutouts.on_square(cutouts.part_of(grey, mask), model.CROP_SIZE, _FILL, 255)
    return (small.astype(np.float32) / 255.)[..., None]

"""Gathers the rendered views of the shapes of a category."""
import os

import numpy as np

from common import cli, errors
from common.readers import pictures
from imnet.IMSVR import views
from imnet.point_sampling import tables

VIEWS, SIDE = 24, 137


def read_views(folder: str) -> np.ndarray:
    """Reads the views of a shape, grey over white.

    Args:
      folder: of 00.png to 23.png.
    Returns:
      uint8 [24, 137, 137].
    Raises:
      errors.InputError: a picture is missing, damaged or of another size.
    """
    result = np.zeros([VIEWS, SIDE, SIDE], np.uint8)
    for number in range(VIEWS):
        path = os.path.join(folder, '{:02d}.png'.format(number))
        rgba = pictures.read(path, 4)
        if rgba.shape != (SIDE, SIDE, 4):
            raise errors.InputError('{} has {} x {} pixels; views are {} x {}.'.format(
                path, rgba.shape[1], rgba.shape[0], SIDE, SIDE))
        result[number] = views.over_white(rgba)
    return result


def gather(options: cli.Options) -> None:
    """Gathers the views of one category."""
    if not os.path.isdir(options.input):
        raise errors.InputError('--input {} is no folder. Give one with '
                                '<shape>/rendering/00.png to 23.png.'.format(options.input))
    category = options.category or os.path.basename(os.path.abspath(options.input))
    folder = os.path.join(options.output, category)
    listed = os.path.join(folder, '{}_vox256.txt'.format(category[:8]))
    if not os.path.exists(listed):
        raise errors.InputError('there is no {}: sample the points first, with python '
                                'imnet/point_sampling/gather_vox.py.'.format(listed))
    names = tables.read_names(listed)
    target = os.path.join(folder, '{}_img.hdf5'.format(category[:8]))
    rows = ({'pixels': read_views(os.path.join(options.input, name, 'rendering'))}
            for name in names)
    tables.write_rows(target, rows, len(names), 'gzip')
    tables.write_names(target, names)
    cli.say('{} views of {} shapes in {}'.format(VIEWS, len(names), target))

"""Which shapes are meant, and writing the meshes of their codes."""
import os

import numpy as np

from common import cli, errors
from common.geometry import meshes
from imnet import draw, extraction

_DRAWN = 64     # meshes in a picture


def rows_of(data, options, everything=False):
    """Numbers of the shapes from --start to --end.

    Args:
      data: data_utils.Set; options: namespace; everything: bool, what an unset --end means: all, or
        16 as in the original.
    Returns:
      range, not empty.
    """
    end = options.end or (len(data) if everything else 16)
    rows = range(min(options.start, len(data)), min(end, len(data)))
    if not rows:
        raise errors.InputError('--start={} --end={} name no shape of {}, which has {}.'.format(
            options.start, end, data.path, len(data)))
    return rows


def ends_of(data, options, second):
    """Numbers of the shapes at both ends of an interpolation; `second` where --second is unset."""
    if options.second is not None:
        second = options.second
    else:
        second = min(second, len(data) - 1)
    for name, row in (('first', options.first), ('second', second)):
        if row >= len(data):
            raise errors.UsageError('--{}={}: {} has {} shapes, 0 to {}.'.format(
                name, row, data.path, len(data), len(data) - 1))
    return options.first, second


def refuse_same(source, folder, name, formats):
    """Refuses to write a mesh over the file that it is made of.

    Raises:
      errors.UsageError: `<folder>/<name>.<format>` is `source` for one of the formats.
    """
    for ending in formats:
        target = os.path.join(folder, '{}.{}'.format(name, ending))
        if os.path.realpath(target) == os.path.realpath(source):
            raise errors.UsageError('the result would overwrite {} itself: give another '
                                    '--sample_dir, --formats or --output.'.format(source))


def write_all(named_fields, folder, options, picture='meshes.png', place=None):
    """Extracts and writes a mesh for each field, and one picture of the first 64.

    Args:
      named_fields: list of (name, field).
      folder: str; options: namespace with the options of `add_options`.
      picture: str, name of the .png.
      place: function of vertices that moves them, or None.
    Raises:
      errors.InputError: a field is empty, and it is the only one.
    """
    drawn = []
    for name, field in named_fields:
        try:
            vertices, triangles, found = extraction.mesh(field, options.resolution,
                                                         options.extraction, options.refine)
        except errors.InputError as error:
            if len(named_fields) == 1:
                raise
            cli.say('note: {} has no mesh: {}'.format(name, error))
            if len(drawn) < _DRAWN:
                drawn.append((np.zeros([0, 3]), np.zeros([0, 3], int)))
            continue
        directions = extraction.normals(field, vertices) if options.normals else None
        placed = vertices if place is None else place(vertices)
        for ending in options.formats:
            meshes.write(os.path.join(folder, '{}.{}'.format(name, ending)), placed, triangles,
                         directions)
        cli.say('{}: {} vertices, {} triangles, {} points evaluated'.format(
            name, len(vertices), len(triangles), sum(found.calls)))
        if len(drawn) < _DRAWN:
            drawn.append((vertices, triangles))
    names = [name for name, _ in named_fields[:len(drawn)]]
    draw.gallery(os.path.join(folder, picture), drawn, names)

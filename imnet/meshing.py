"""Options of extraction, and writing the meshes of codes."""
import os

import numpy as np

from common import cli, errors
from common.geometry import meshes
from imnet import draw, extraction

_DRAWN = 64     # meshes in a picture


def add_options(parser):
    """Adds the options of extraction."""
    group = parser.add_argument_group('meshes')
    group.add_argument('--resolution', type=int, choices=extraction.RESOLUTIONS, default=256,
                       help='cells of a side')
    group.add_argument('--extraction', choices=('exact', 'octree'), default='exact',
                       help='exact: the cells of the original; octree: only points beside the '
                            'surface, several times as fast')
    cli.add_flag(group, '--refine', help='move vertices to where the field is closer to 0.5 (the '
                 'original\'s optimize_mesh)')
    cli.add_flag(group, '--normals', help='write normals, from the gradient of the field')
    group.add_argument('--formats', nargs='+', choices=('ply', 'obj', 'glb'), default=['ply'],
                       help='kinds of mesh files')
    group.add_argument('--split', choices=('train', 'test'), default='train',
                       help='which shapes')
    group.add_argument('--start', type=cli.non_negative_int, default=0, help='first shape')
    group.add_argument('--end', type=cli.positive_int, default=None,
                       help='shape after the last one; unset: 16, or all for codes')
    group.add_argument('--view', type=cli.non_negative_int, default=0,
                       help='which of a shape\'s views')
    group.add_argument('--steps', type=cli.positive_int, default=8,
                       help='shapes of an interpolation, both ends included')
    group.add_argument('--first', type=cli.non_negative_int, default=0,
                       help='shape where an interpolation starts')
    group.add_argument('--second', type=cli.non_negative_int, default=None,
                       help='shape where it ends; unset: 2, of pictures 1, or the last')


def rows_of(data, config, everything=False):
    """Numbers of the shapes from --start to --end.

    Args:
      data: data_utils.Set; config: namespace; everything: bool, what an unset --end means: all, or
        16 as in the original.
    Returns:
      range, not empty.
    """
    end = config.end or (len(data) if everything else 16)
    rows = range(min(config.start, len(data)), min(end, len(data)))
    if not rows:
        raise errors.InputError('--start={} --end={} name no shape of {}, which has {}.'.format(
            config.start, end, data.path, len(data)))
    return rows


def ends_of(data, config, second):
    """Numbers of the shapes at both ends of an interpolation; `second` where --second is unset."""
    if config.second is None:
        config.second = min(second, len(data) - 1)
    for name in ('first', 'second'):
        if getattr(config, name) >= len(data):
            raise errors.UsageError('--{}={}: {} has {} shapes, 0 to {}.'.format(
                name, getattr(config, name), data.path, len(data), len(data) - 1))
    return config.first, config.second


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


def write_all(named_fields, folder, config, picture='meshes.png', place=None):
    """Extracts and writes a mesh for each field, and one picture of the first 64.

    Args:
      named_fields: list of (name, field).
      folder: str; config: namespace with the options of `add_options`.
      picture: str, name of the .png.
      place: function of vertices that moves them, or None.
    Raises:
      errors.InputError: a field is empty, and it is the only one.
    """
    drawn = []
    for name, field in named_fields:
        try:
            vertices, triangles, found = extraction.mesh(field, config.resolution,
                                                         config.extraction, config.refine)
        except errors.InputError as error:
            if len(named_fields) == 1:
                raise
            cli.say('note: {} has no mesh: {}'.format(name, error))
            if len(drawn) < _DRAWN:
                drawn.append((np.zeros([0, 3]), np.zeros([0, 3], int)))
            continue
        directions = extraction.normals(field, vertices) if config.normals else None
        placed = vertices if place is None else place(vertices)
        for ending in config.formats:
            meshes.write(os.path.join(folder, '{}.{}'.format(name, ending)), placed, triangles,
                         directions)
        cli.say('{}: {} vertices, {} triangles, {} points evaluated'.format(
            name, len(vertices), len(triangles), sum(found.calls)))
        if len(drawn) < _DRAWN:
            drawn.append((vertices, triangles))
    names = [name for name, _ in named_fields[:len(drawn)]]
    draw.gallery(os.path.join(folder, picture), drawn, names)

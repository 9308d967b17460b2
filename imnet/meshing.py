"""Which shapes are meant, and writing the meshes of their codes."""
import os
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from common import cli, errors
from common.geometry import meshes, plots
from imnet import data_utils, decoder, draw, extraction

_DRAWN = 64     # meshes in a picture


def rows_of(data: data_utils.Set, options: cli.Options, everything: bool = False
            ) -> Sequence[int]:
    """Returns the numbers of the shapes from --start to --end, at least one.

    With `options.in_turn` they are so many of the split, one of each class in turn.

    Args:
      data, options: the set and the program's options.
      everything: what an unset --end means: all, or 16 as in the original.
    Raises:
      errors.InputError: there is none.
    """
    if options.in_turn:
        return plots.in_turn([name.split('/')[0] for name in data.names()], options.in_turn)
    end = options.end or (len(data) if everything else 16)
    rows = range(min(options.start, len(data)), min(end, len(data)))
    if not rows:
        raise errors.InputError('--start={} --end={} name no shape of {}, which has {}.'.format(
            options.start, end, data.path, len(data)))
    return rows


def interpolated(data: data_utils.Set, options: cli.Options, second: int) -> Tuple[int, int]:
    """Returns the numbers of the shapes between which is interpolated.

    Args:
      data, options: the set and the program's options; second: the other one if --second is unset.
    Raises:
      errors.UsageError: there is no shape of that number.
    """
    second = min(second, len(data) - 1) if options.second is None else options.second
    for name, row in (('first', options.first), ('second', second)):
        if row >= len(data):
            raise errors.UsageError('--{}={}: {} has {} shapes, 0 to {}.'.format(
                name, row, data.path, len(data), len(data) - 1))
    return options.first, second


def refuse_same(source: str, folder: str, name: str, formats: Sequence[str]) -> None:
    """Refuses to write a mesh over the file that it is made of.

    Raises:
      errors.UsageError: `<folder>/<name>.<format>` is `source` for one of the formats.
    """
    for ending in formats:
        target = os.path.join(folder, '{}.{}'.format(name, ending))
        if os.path.realpath(target) == os.path.realpath(source):
            raise errors.UsageError('the result would overwrite {} itself: give another '
                                    '--sample_dir, --formats or --output.'.format(source))


def write_all(named_fields: Sequence[Tuple[str, decoder.Field]], folder: str,
              options: cli.Options, picture: str = 'meshes.png',
              to_mesh: Optional[Callable[[np.ndarray], np.ndarray]] = None) -> None:
    """Extracts and writes a mesh for each field, and one picture of the first 64.

    Args:
      named_fields: pairs of (name, field).
      folder: of the files; options: with those of the group "meshes".
      picture: name of the .png.
      to_mesh: function that moves vertices [V, 3], or None.
    Raises:
      errors.InputError: a field is empty, and it is the only one that was asked for.
    """
    drawn: List[Tuple[np.ndarray, np.ndarray]] = []
    for name, field in named_fields:
        try:
            vertices, triangles, extracted = extraction.mesh(
                field, options.resolution, options.extraction, options.refine)
        except errors.InputError as error:
            if len(named_fields) == 1 and not getattr(options, 'in_turn', 0):
                raise
            cli.say('note: {} has no mesh: {}'.format(name, error))
            if len(drawn) < _DRAWN:
                drawn.append((np.zeros([0, 3]), np.zeros([0, 3], int)))
            continue
        directions = extraction.normals(field, vertices) if options.normals else None
        placed = vertices if to_mesh is None else to_mesh(vertices)
        for ending in options.formats:
            meshes.write(os.path.join(folder, '{}.{}'.format(name, ending)), placed, triangles,
                         directions)
        cli.say('{}: {} vertices, {} triangles, {} points evaluated'.format(
            name, len(vertices), len(triangles), sum(extracted.calls)))
        if len(drawn) < _DRAWN:
            drawn.append((vertices, triangles))
    names = [name for name, _ in named_fields[:len(drawn)]]
    draw.gallery(os.path.join(folder, picture), drawn, names)

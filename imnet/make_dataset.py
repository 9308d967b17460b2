"""Makes a small set in IM-NET's layout from procedural furniture: nothing is downloaded.

Example: python imnet/make_dataset.py --output=data --shapes=2
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from common import cli
from common.geometry import furniture, voxel_grids
from imnet import draw
from imnet.point_sampling import sampler, tables

STEM = 'furniture_vox256_img'
_VIEWS, _SIDE = 24, 137
_CLASSES = ('bathtub', 'bed', 'dresser', 'sofa')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--output', '--output_path', required=True, help='folder for the files')
    parser.add_argument('--shapes', type=cli.positive_int, default=2,
                        help='shapes of each class for training; one more is for testing')
    parser.add_argument('--classes', nargs='+', choices=sorted(furniture.FURNITURE),
                        default=_CLASSES,
                        help='kinds of furniture')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the shapes')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def solid(name, seed):
    """A solid of a class: uint8 [256, 256, 256], y up, bounding-box diagonal of 256 cells."""
    parts = furniture.furniture(name, seed)
    low = np.min([part.low for part in parts if not part.cut], axis=0)
    high = np.max([part.high for part in parts if not part.cut], axis=0)
    extent = sampler.SIZE * (high - low).max() / np.linalg.norm(high - low)
    grid = furniture.voxels(parts, sampler.SIZE, extent)
    return np.ascontiguousarray(grid.transpose(0, 2, 1)[:, :, ::-1]).astype(np.uint8)


def render_views(grid):
    """Grey views of a solid from 24 sides: uint8 [24, 137, 137], on white."""
    coarse = sampler.pooled(grid, 64)
    vertices, triangles = voxel_grids.surface(coarse)
    vertices = vertices / 64 - 0.5
    result = np.zeros([_VIEWS, _SIDE, _SIDE], np.uint8)
    for number in range(_VIEWS):
        image = draw.render(vertices, triangles, number * 360. / _VIEWS - 180.,
                            15. + 10. * (number % 3), _SIDE)
        result[number] = np.round(image @ np.array([0.299, 0.587, 0.114]))
    return result


def make(config):
    """Writes the two files."""
    for half, numbers in (('train', range(config.shapes)),
                          ('test', range(config.shapes, config.shapes + 1))):
        path = os.path.join(config.output, '{}_{}.hdf5'.format(STEM, half))
        names = ['{}/{:04d}'.format(kind, number) for kind in config.classes for number in numbers]

        def rows(names=names, numbers=numbers):
            for name, (kind, number) in zip(names, [(kind, number) for kind in config.classes
                                                    for number in numbers]):
                grid = solid(kind, [config.seed, number])
                sets = sampler.point_sets(grid, sampler.Draws.of_shape(config.seed, name))
                yield dict(tables.arrays_of(sets), pixels=render_views(grid))

        tables.write_rows(path, rows(), len(names), 'gzip')
        tables.write_names(path, names)
        cli.say('{} shapes in {}'.format(len(names), path))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(make, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

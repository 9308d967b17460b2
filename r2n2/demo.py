"""Turns pictures of an object into a mesh: one or more views, in any order.

Pictures with transparency are put before grey; others should show one object before a plain
background (--background=keep leaves it as it is).

Example: python r2n2/demo.py chair_front.png chair_side.png --output=prediction.obj
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import cv2
import numpy as np

from common import cli, errors, files
from common.geometry import meshes, voxel_grids
from r2n2.lib import data_augmentation, setup, test_net, voxel
from r2n2.lib.data_process import read_image

_GREY = 240         # background of the original's test pictures
_FILL = 0.72        # share of the picture that the object's longer side gets
_DIFFERENT = 24     # levels by which an object's pixel differs from the border


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('pictures', nargs='*', help='files; none: views of the generated furniture')
    setup.add_trained_options(parser)
    parser.add_argument('--output', default='prediction.obj',
                        help='.obj of cubes as the original writes it; a .glb of the surface and a '
                             '.png go beside it')
    parser.add_argument('--threshold', type=cli.fraction, default=0.4,
                        help='a cell above it is occupied')
    parser.add_argument('--background', choices=('auto', 'keep'), default='auto',
                        help='auto replaces what looks like the border of a picture')
    cli.add_flag(parser, '--surface_view', default=True, help='leave out cubes that nobody sees')
    return parser.parse_args(argv)


def prepared(path, size, background='auto'):
    """A picture as the network wants it: the object in the middle, before light grey.

    Args:
      path: str; size: int, pixels a side; background: 'auto' or 'keep'.
    Returns:
      uint8 [size, size, 3].
    Raises:
      errors.InputError: the file is no picture, or shows no object.
    """
    image = read_image(path, photo=True)
    if background == 'keep':
        return _square(image[..., :3], size)
    if image.shape[2] == 4 and (image[..., 3] < 128).any():
        mask = image[..., 3] >= 128
        share = image[..., 3:].astype(np.float32) / 255
        image = np.round(image[..., :3] * share + _GREY * (1 - share)).astype(np.uint8)
    else:
        image = image[..., :3]
        mask = _unlike_border(image)
        image = np.where(mask[..., None], image, np.uint8(_GREY))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows) or mask.all():
        raise errors.InputError('{} shows no object: everything looks like the border. Give a '
                                'picture with transparency or a plain background, or '
                                '--background=keep.'.format(path))
    part = image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    return _square(part, size, _FILL)


def _unlike_border(image):
    """Largest connected piece that differs from the usual colour of the border."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(float)
    differs = np.abs(image - np.median(border, axis=0)).max(axis=2) > _DIFFERENT
    count, labels, stats, _ = cv2.connectedComponentsWithStats(differs.astype(np.uint8))
    if count < 2:
        return np.zeros(differs.shape, bool)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def _square(part, size, fill=1.):
    """A picture in the middle of a grey square, its longer side `fill` of it."""
    side = int(np.ceil(max(part.shape[:2]) / fill))
    square = np.full([side, side, 3], _GREY, np.uint8)
    top, left = (side - part.shape[0]) // 2, (side - part.shape[1]) // 2
    square[top:top + part.shape[0], left:left + part.shape[1]] = part
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=way)


def _generated(config, found):
    """Views of the last model of the generated furniture, for a demo without pictures."""
    folder = os.path.join(config.output_path, setup.GENERATED, 'ShapeNetRendering', 'chair')
    models = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    if not models:
        raise errors.UsageError('give pictures of an object: python r2n2/demo.py front.png ...')
    place = os.path.join(folder, models[-1], 'rendering')
    rng, size = np.random.RandomState(0), found.CONST.IMG_H
    return np.stack([data_augmentation.for_test(
        read_image(os.path.join(place, '{:02d}.png'.format(number))), [[_GREY, _GREY]] * 3,
        (size, size), rng) for number in range(3)])


def demo(config):
    """Predicts and writes the meshes and the picture."""
    if os.path.splitext(config.output)[1].lower() != '.obj':
        raise errors.UsageError('--output must end in .obj, not {}.'.format(config.output))
    found, weights_path = setup.trained(config)
    size = found.CONST.IMG_H
    if config.pictures:
        images = np.stack([prepared(path, size, config.background) for path in config.pictures])
    else:
        images = _generated(config, found)
    net = setup.make_net(found, setup.is_plain(config))
    predictor = test_net.Predictor(net, found, len(images), 1)
    with setup.session(config) as sess:
        setup.load(sess, net, weights_path)
        results = predictor.run(sess, images[:, None], np.zeros([1] + [found.CONST.N_VOX] * 3))
    grids = [occupancy[0] for occupancy, _ in results]
    grid = grids[-1] > config.threshold
    if not grid.any():
        raise errors.InputError('no cell is above --threshold {:g} (the highest is {:.2f}): the '
                                'network sees no object here. Try a lower one, or train longer.'
                                .format(config.threshold, grids[-1].max()))
    stem = os.path.splitext(config.output)[0]
    files.write_text(config.output, voxel.obj_text(*voxel.voxel2mesh(grid, config.surface_view)))
    vertices, triangles = voxel_grids.surface(grids[-1], config.threshold)
    meshes.write(stem + '.glb', vertices / found.CONST.N_VOX - 0.5, triangles.tolist())
    test_net.draw(stem + '.png', [(images, None, grids)], config.threshold)
    cli.say('{} cells occupied; {}, {}.glb and {}.png'.format(
        int(grid.sum()), config.output, stem, stem))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(demo, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

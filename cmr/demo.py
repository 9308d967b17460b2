"""Turns a photo of a person into body meshes: .obj, .glb and pictures.

The box of the person is given by --bbox ({"bbox": [left, top, width, height]}) or by --openpose
(keypoints of OpenPose), else the whole picture is taken.

Example: python cmr/demo.py --img=photo.jpg --bbox=photo_bbox.json
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import cv2
import numpy as np

from cmr.src.dataset import datasets
from cmr.src.netCell import evalNet
from cmr.src.utils import imutils, options, photo, renderer
from common import cli, errors, files
from common.geometry import meshes

_BODIES = (('gcnn', 'vertices', renderer.LIGHT_BLUE), ('smpl', 'vertices_smpl', renderer.PINK))


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--img', required=True, help='photo of one person')
    parser.add_argument('--bbox', default='', help='JSON of a box; comes before --openpose')
    parser.add_argument('--openpose', default='', help='JSON of OpenPose, first person')
    parser.add_argument('--outfile', default='', help='start of the names of what is written; '
                        'unset: the photo\'s without extension')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='checkpoint, its folder, or a file of PyTorch; unset: the run in '
                             '--output_path')
    parser.add_argument('--output_path', default=options.OUTPUT_PATH, help='folder of a run')
    cli.add_device(parser)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    options.add_network_options(parser)
    return parser.parse_args(argv)


def upright(vertices):
    """Vertices in axes of a viewer of meshes: y up, facing the viewer."""
    return vertices * [1, -1, -1]


def person(path, size, bbox='', openpose='', stretch=True):
    """The person of a photo as the network takes it.

    Args:
      path: str; size: int, pixels a side.
      bbox, openpose: str, JSON file of a box or of keypoints; both empty: the whole photo.
      stretch: bool, as the network was trained, see imutils.crop.
    Returns:
      (float32 [size, size, 3] from 0 to 1; the same normalised).
    Raises:
      errors.InputError: a file cannot be read, or the box lies outside of the photo.
    """
    image = datasets.read_image(path)
    if bbox:
        center, scale = photo.read_box(bbox, 'bbox')
    elif openpose:
        center, scale = photo.read_box(openpose, 'openpose')
    else:
        center, scale = photo.whole(image.shape)
    problem = imutils.box_problem(center, scale, image.shape)
    if problem:
        raise errors.InputError('{}: the box {} {}.'.format(bbox or openpose or 'no box given',
                                                            problem, path))
    return photo.cropped(image, center, scale, size, stretch)


def demo(config):
    """Predicts and writes."""
    weights = options.trained(config)
    size = config.img_res
    picture, normal = person(config.img, size, config.bbox, config.openpose, config.stretch)
    with evalNet.opened(config, weights, 1) as predictor:
        found = predictor.predict(normal[None])
        faces = predictor.network.body.faces
    stem = config.outfile or os.path.splitext(config.img)[0]
    background, camera = np.round(255 * picture).astype(np.uint8), found.camera[0]
    for name, field, color in _BODIES:
        vertices = getattr(found, field)[0]
        for suffix, shown, behind in (('', vertices, background),
                                      ('_side', renderer.from_side(vertices), None)):
            path = '{}_{}{}.png'.format(stem, name, suffix)
            drawn = renderer.render(shown, faces, camera, size, color, behind)
            with files.replacing(path) as temporary:
                if not cv2.imwrite(temporary, drawn[..., ::-1]):
                    raise errors.InputError('cannot write {}.'.format(path))
        for extension in ('.obj', '.glb'):
            meshes.write('{}_{}{}'.format(stem, name, extension), upright(vertices),
                         faces.tolist())
    cli.say('camera: scale {:.3f}, shift {:.3f} {:.3f}; {}_{{gcnn,smpl}}{{.obj,.glb,.png,'
                  '_side.png}}'.format(*camera, stem))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(demo, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""A photo of a person to body meshes: .obj, .glb and pictures."""
import os
from typing import Tuple

import cv2
import numpy as np

from cmr import networks
from cmr.src.dataset import datasets
from cmr.src.netCell import evalNet
from cmr.src.utils import imutils, photo, renderer
from common import cli, errors, files
from common.geometry import meshes
from common.training import launch

_BODIES = (('gcnn', 'vertices', renderer.LIGHT_BLUE), ('smpl', 'vertices_smpl', renderer.PINK))


def upright(vertices: np.ndarray) -> np.ndarray:
    """Returns vertices [V, 3] in the axes of a mesh viewer: y up, facing the viewer."""
    return vertices * [1, -1, -1]


def person(path: str, size: int, bbox: str = '', openpose: str = '',
           stretch: bool = True) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the person of a photo as the network takes it.

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


def predict(options: cli.Options, context: launch.Context) -> None:
    """Predicts the bodies of a photo and writes them as meshes and pictures.

    Args:
      options: those of demo.py; context: launch.Context.
    Raises:
      errors.InputError: weights or photo cannot be read, or a file not be written.
    """
    options, weights = networks.trained(options, context.device)
    size = options.img_res
    picture, normal = person(options.img, size, options.bbox, options.openpose, options.stretch)
    with evalNet.opened(options, context, weights, 1) as predictor:
        outputs = predictor.predict(normal[None])
        faces = predictor.network.body.faces
    stem = options.outfile or os.path.splitext(options.img)[0]
    background, camera = np.round(255 * picture).astype(np.uint8), outputs.camera[0]
    for name, field, color in _BODIES:
        vertices = getattr(outputs, field)[0]
        for suffix, view, behind in (('', vertices, background),
                                     ('_side', renderer.from_side(vertices), None)):
            path = '{}_{}{}.png'.format(stem, name, suffix)
            drawing = renderer.render(view, faces, camera, size, color, behind)
            with files.replacing(path) as temporary:
                if not cv2.imwrite(temporary, drawing[..., ::-1]):
                    raise errors.InputError('cannot write {}.'.format(path))
        for extension in ('.obj', '.glb'):
            meshes.write('{}_{}{}'.format(stem, name, extension), upright(vertices),
                         faces.tolist())
    cli.say('camera: scale {:.3f}, shift {:.3f} {:.3f}; {}_{{gcnn,smpl}}{{.obj,.glb,.png,'
            '_side.png}}'.format(*camera, stem))

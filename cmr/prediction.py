"""A photo of a person to body meshes: .obj, .glb and pictures."""
import os
from typing import List, Tuple

import cv2
import numpy as np

from cmr import networks
from cmr.src import config as config_lib
from cmr.src.netCell import evalNet
from cmr.src.utils import body as body_lib
from cmr.src.utils import imutils, photo, renderer
from common import cli, errors, files
from common.geometry import meshes
from common.pages import report
from common.readers import pictures
from common.training import launch

_BODIES = (('gcnn', 'vertices', renderer.LIGHT_BLUE), ('smpl', 'vertices_smpl', renderer.PINK))


def upright(vertices: np.ndarray) -> np.ndarray:
    """Returns vertices [V, 3] in the axes of a mesh viewer: y up, facing the viewer."""
    return vertices * [1, -1, -1]


def people(path: str, size: int, bbox: str = '', openpose: str = '', stretch: bool = True,
           wanted: str = '', max_pixels: int = pictures.MAX_PIXELS
           ) -> List[Tuple[int, np.ndarray, np.ndarray]]:
    """Returns people of a photo as the network takes them.

    Args:
      path: str; size: int, pixels a side.
      bbox, openpose: str, JSON file of boxes or of keypoints; both empty: the whole photo.
      stretch: bool, as the network was trained, see imutils.crop.
      wanted: str, see photo.chosen; max_pixels: int, the largest photo.
    Returns:
      list of (number in the file; float32 [size, size, 3] from 0 to 1; the same normalised).
    Raises:
      errors.InputError: a file cannot be read, or the box lies outside of the photo.
    """
    image = pictures.read(path, max_pixels=max_pixels)
    if bbox or openpose:
        source = bbox or openpose
        chosen = photo.chosen(photo.read_people(source, 'bbox' if bbox else 'openpose', path),
                              wanted, source)
    else:
        source = 'no box given'
        chosen = [photo.Person(0, *photo.whole(image.shape), 1.)]
    result = []
    for one in chosen:
        problem = imutils.box_problem(one.center, one.scale, image.shape)
        if problem and wanted == 'all' and len(chosen) > 1:
            cli.say('person {} is left out: the box {} {}'.format(one.number, problem, path))
        elif problem:
            raise errors.InputError('{}: the box {} {}.'.format(source, problem, path))
        else:
            result.append((one.number, *photo.cropped(image, one.center, one.scale, size, stretch)))
    if not result:
        raise errors.InputError('{}: no person lies in {}.'.format(source, path))
    return result


def predict(options: cli.Options, context: launch.Context) -> None:
    """Predicts the bodies of the people in a photo and writes them as meshes and pictures.

    Args:
      options: those of demo.py; context: launch.Context.
    Raises:
      errors.InputError: weights or photo cannot be read, or a file not be written.
    """
    options, weights = networks.trained(options, context.device)
    size = options.img_res
    crops = people(options.img, size, options.bbox, options.openpose, options.stretch,
                   options.person, options.max_pixels)
    cli.say('body: {}{}'.format(body_lib.find(options.body or config_lib.SHIPPED_BODY),
                                '' if options.body else ' (--body names another)'))
    with evalNet.opened(options, context, weights, 1) as predictor:
        outputs = [predictor.predict(normal[None]) for _, _, normal in crops]
        faces = predictor.network.body.faces
    stem = options.outfile or os.path.splitext(options.img)[0]
    written: List[str] = []
    for (number, picture, _), output in zip(crops, outputs):
        written += _write('{}_person{}'.format(stem, number) if options.person == 'all' else stem,
                          picture, output, faces)
    cli.say('page: {}'.format(report.write_files(
        stem + '_body.html', 'demo.py: {}'.format(os.path.basename(stem)), written,
        dict(launch.facts(context), weights=weights))))


def _write(stem, picture, outputs, faces):
    """Writes the bodies of a person as meshes and pictures; returns the files."""
    written = []
    background, camera = np.round(255 * picture).astype(np.uint8), outputs.camera[0]
    for name, field, color in _BODIES:
        vertices = getattr(outputs, field)[0]
        for suffix, view, behind in (('', vertices, background),
                                     ('_side', renderer.from_side(vertices), None)):
            path = '{}_{}{}.png'.format(stem, name, suffix)
            drawing = renderer.render(view, faces, camera, len(picture), color, behind)
            with files.replacing(path) as temporary:
                if not cv2.imwrite(temporary, drawing[..., ::-1]):
                    raise errors.InputError('cannot write {}.'.format(path))
            written.append(path)
        for extension in ('.obj', '.glb'):
            written.append('{}_{}{}'.format(stem, name, extension))
            meshes.write(written[-1], upright(vertices), faces.tolist())
    cli.say('camera: scale {:.3f}, shift {:.3f} {:.3f}; {}_{{gcnn,smpl}}{{.obj,.glb,.png,'
            '_side.png}}'.format(*camera, stem))
    return written

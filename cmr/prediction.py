"""A photo of a person to body meshes: .obj, .glb, .stl, pictures, and parameters (.npz)."""
import os
from typing import Any, Dict, List, NamedTuple, Tuple

import cv2
import numpy as np

from cmr import networks
from cmr.src import config as config_lib
from cmr.src.dataset import base_dataset
from cmr.src.netCell import evalNet
from cmr.src.utils import body as body_lib
from cmr.src.utils import imutils, photo, renderer
from common import cli, errors, files
from common.geometry import cutouts, meshes
from common.pages import report
from common.readers import folders, pictures
from common.training import familiar, launch, reporting

_ENDINGS = ('_gcnn', '_smpl', '_gcnn_side', '_smpl_side')   # of pictures that were written here
_BODIES = (('gcnn', 'vertices', renderer.LIGHT_BLUE), ('smpl', 'vertices_smpl', renderer.PINK))


def upright(vertices: np.ndarray) -> np.ndarray:
    """Returns vertices [V, 3] in the axes of a mesh viewer: y up, facing the viewer."""
    return vertices * [1, -1, -1]


def people(path: str, size: int, bbox: str = '', openpose: str = '', stretch: bool = True,
           wanted: str = '', max_pixels: int = pictures.MAX_PIXELS,
           remove_background: bool = False) -> List[Tuple[int, np.ndarray, np.ndarray]]:
    """Returns people of a photo as the network takes them.

    Args:
      path: str; size: int, pixels a side.
      bbox, openpose: str, JSON file of boxes or of keypoints; both empty: the whole photo.
      stretch: bool, as the network was trained, see imutils.crop.
      wanted: str, see photo.chosen; max_pixels: int, the largest photo.
      remove_background: bool, whether what is not the person gets the mean colour.
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
            shown = _alone(image, one, path) if remove_background else image
            result.append((one.number, *photo.cropped(shown, one.center, one.scale, size, stretch)))
    if not result:
        raise errors.InputError('{}: no person lies in {}.'.format(source, path))
    return result


def _alone(image, person, path):
    """A photo in which all but a person has the mean colour that pictures are normalised by."""
    half = 100 * person.scale
    low, high = person.center - half, person.center + half
    mask = cutouts.foreground(image, (*map(int, low), *map(int, high)))
    if not mask.any():
        cli.say('note: GrabCut finds no person in {}; it is taken as it is'.format(path))
        return image
    return np.where(mask[..., None], image, np.round(255 * base_dataset.IMG_MEAN).astype(np.uint8))


class _Photo(NamedTuple):
    """A photo to take people from, and the start of the names of what is written."""

    path: str
    stem: str
    bbox: str
    openpose: str


def _photos(options: cli.Options) -> List[_Photo]:
    """The photos that --img names."""
    if not os.path.isdir(options.img):
        return [_Photo(options.img, options.outfile or os.path.splitext(options.img)[0],
                       options.bbox, options.openpose)]
    if options.bbox or options.openpose:
        raise errors.UsageError('--img={} is a folder: its boxes and keypoints lie beside the '
                                'photos (name_bbox.json, name_openpose.json), so leave --bbox and '
                                '--openpose out.'.format(options.img))
    found = []
    for name in folders.names(options.img):
        stem, ending = os.path.splitext(name)
        if ending.lower() not in pictures.EXTENSIONS or stem.endswith(_ENDINGS):
            continue
        beside = [os.path.join(options.img, '{}_{}.json'.format(stem, kind))
                  for kind in ('bbox', 'openpose')]
        found.append(_Photo(os.path.join(options.img, name),
                            os.path.join(options.outfile or options.img, stem),
                            *[path if os.path.exists(path) else '' for path in beside]))
    if not found:
        raise errors.InputError('{} has no photos ({}).'.format(
            options.img, ' '.join(pictures.EXTENSIONS)))
    return found


def _crops(photos, options):
    """[(stem, number of the person or None, picture, normalised)] of all people of photos."""
    crops: List[Any] = []
    for one in photos:
        try:
            found = people(one.path, options.img_res, one.bbox, one.openpose, options.stretch,
                           options.person, options.max_pixels, options.remove_background)
        except errors.InputError as error:
            if len(photos) == 1:
                raise
            cli.say('left out: {}'.format(error))
            continue
        crops += [('{}_person{}'.format(one.stem, number) if options.person == 'all' else one.stem,
                   picture, normal) for number, picture, normal in found]
    if not crops:
        raise errors.InputError('{}: no photo can be used.'.format(options.img))
    return crops


def predict(options: cli.Options, context: launch.Context) -> None:
    """Predicts the bodies of the people in a photo and writes them as meshes and pictures.

    Args:
      options: those of demo.py; context: launch.Context.
    Raises:
      errors.InputError: weights or photo cannot be read, or a file not be written.
    """
    options, weights = networks.trained(options, context.device)
    photos = _photos(options)
    crops = _crops(photos, options)
    cli.say('body: {}{}'.format(body_lib.find(options.body or config_lib.SHIPPED_BODY),
                                '' if options.body else ' (--body names another)'))
    with evalNet.opened(options, context, weights, 1) as predictor:
        faces, written = predictor.network.body.faces, []
        for stem, picture, normal in reporting.progress(crops, 'fitting bodies'):
            outputs = predictor.predict(normal[None])
            distances = familiar.distances(os.path.dirname(os.path.abspath(weights)),
                                           outputs.looks)
            if distances is not None:
                familiar.tell(weights, familiar.STRANGENESS, float(distances[0]), stem)
            written += _write(stem, picture, outputs, faces)
    page = (os.path.join(options.outfile or options.img, 'bodies') if os.path.isdir(options.img)
            else photos[0].stem + '_body') + '.html'
    cli.say('page: {}'.format(report.write_files(
        page, 'demo.py: {}'.format(options.img), written,
        dict(launch.facts(context), weights=weights))))


def parameters(outputs: Any) -> Dict[str, np.ndarray]:
    """Returns what the body of a prediction is posed by, for a body model elsewhere.

    Args:
      outputs: cmr.Outputs of one picture.
    Returns:
      dict of float32: pose [72], axis-angle in radians, the root first; betas [10]; camera [3],
      scale and shift of the weak perspective.
    """
    pose = [cv2.Rodrigues(matrix.astype(np.float64))[0].ravel() for matrix in outputs.rotations[0]]
    return {'pose': np.concatenate(pose).astype(np.float32),
            'betas': np.asarray(outputs.betas[0], np.float32),
            'camera': np.asarray(outputs.camera[0], np.float32)}


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
        for extension in ('.obj', '.glb', '.stl'):
            written.append('{}_{}{}'.format(stem, name, extension))
            meshes.write(written[-1], upright(vertices), faces.tolist())
    written.append(stem + '_smpl.npz')
    with files.replacing(written[-1]) as temporary:
        np.savez(temporary, **parameters(outputs))
    cli.say('camera: scale {:.3f}, shift {:.3f} {:.3f}; {}_{{gcnn,smpl}}{{.obj,.glb,.stl,.png,'
            '_side.png}}, pose and shape in {}_smpl.npz'.format(*camera, stem, stem))
    return written

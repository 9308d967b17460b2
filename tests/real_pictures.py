"""Draws what 3D-R2N2 and IM-NET make of ten pictures that do not come from the generator.

Two photographs and a silhouette of scikit-image's data, a photograph of COCO, renderings of
LDraw parts and of KayKit's game art (the set `multiview`), and two drawings made here. Each goes
through the demo of a model with the weights that ship, photographs with --remove_background.

Example: python -m tests.real_pictures --multiview=../shared/data/multiview \\
    --people=../shared/data/people/coco --output=docs/real_pictures.png
"""
import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from common import cli, collection, errors
from common.geometry import meshes, plots
from common.readers import pictures
from common.training import pretrained

_SIDE = 137
_SHOWN = 200            # pixels of a side in the picture row
_PHOTOS = ('coffee.png', 'rocket.jpg')
_SILHOUETTE = 'horse.png'
_PERSON = '000000000785.jpg'
_RENDERED = ('building', 'food', 'boat', 'brick')   # categories; the first model's first view
_WHITE = (255, 255, 255)


class Picture(NamedTuple):
    """A picture: what it is called, its file, and whether its background is to be cut away."""

    name: str
    path: str
    is_photo: bool


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--multiview', required=True, help='folder with multiview_dev.tar')
    parser.add_argument('--people', required=True, help='folder with ' + _PERSON)
    parser.add_argument('--output', required=True, help='.png to write')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _faces_of(kind: str) -> List[Tuple[int, List[Tuple[int, int]]]]:
    """(grey level, corners in pixels of 137) of the faces of a drawing, the far ones first."""
    legs = [(x, y, x + 5, y + depth) for x, y, depth in ((32, 76, 28), (98, 76, 28), (24, 88, 36),
                                                         (104, 88, 36))]
    faces = [(70, [(left, top), (right, top), (right, bottom), (left, bottom)])
             for left, top, right, bottom in legs]
    if kind == 'table':
        return faces + [(170, [(34, 62), (102, 62), (116, 84), (18, 84)]),
                        (110, [(18, 84), (116, 84), (116, 90), (18, 90)])]
    return faces + [(140, [(38, 18), (98, 18), (102, 70), (34, 70)]),
                    (180, [(34, 70), (102, 70), (110, 86), (24, 86)]),
                    (100, [(24, 86), (110, 86), (110, 92), (24, 92)])]


def drawing(kind: str) -> np.ndarray:
    """Returns a drawing of a 'chair' or a 'table', uint8 [137, 137, 3]."""
    image = np.full([_SIDE, _SIDE, 3], 255, np.uint8)
    for level, corners in _faces_of(kind):
        polygon = [np.array(corners, np.int32)]
        cv2.fillPoly(image, polygon, (level, level, min(255, level + 20)), cv2.LINE_AA)
        cv2.polylines(image, polygon, True, (40, 40, 40), 1, cv2.LINE_AA)
    return image


def _rendered(tar: str, category: str, folder: str) -> str:
    """Unpacks a view of the first model of a category; returns its path."""
    with tarfile.open(tar) as archive:
        names = sorted(archive.getnames())
        table = archive.extractfile([name for name in names if name.endswith('.json')][0])
        assert table is not None
        number = re.search(r'"(\d+)",\s*"name": "{}"'.format(category), table.read().decode())
        if number is None:
            raise errors.InputError('{} has no category {}.'.format(tar, category))
        (name,) = [name for name in names if re.search('ShapeNetRendering/{}/'.format(
            number.group(1)), name) and name.endswith('/00.png')][:1]
        view = archive.extractfile(name)
        assert view is not None
        path = os.path.join(folder, category + '.png')
        with open(path, 'wb') as stream:
            stream.write(view.read())
    return path


def collect(options: argparse.Namespace, folder: str) -> List[Picture]:
    """Returns the ten pictures; those that are drawn or unpacked go to a folder."""
    import skimage  # here, since --help needs none of it
    samples = os.path.join(os.path.dirname(skimage.__file__), 'data')
    found = [Picture(os.path.splitext(name)[0], os.path.join(samples, name), True)
             for name in _PHOTOS]
    found += [Picture('horse', os.path.join(samples, _SILHOUETTE), False),
              Picture('person', os.path.join(options.people, _PERSON), True)]
    tar = os.path.join(options.multiview, 'multiview_dev.tar')
    found += [Picture(name, _rendered(tar, name, folder), False) for name in _RENDERED]
    for kind in ('chair', 'table'):
        path = os.path.join(folder, 'drawn_{}.png'.format(kind))
        cv2.imwrite(path, cv2.cvtColor(drawing(kind), cv2.COLOR_RGB2BGR))
        found.append(Picture('drawn ' + kind, path, False))
    return found


def _demo(model: str, picture: Picture, stem: str) -> List[str]:
    """The command of a model's demo; the mesh becomes `<stem>.glb`."""
    common = ['--pretrained', '--device=cpu', '--output_path=' + stem + '_run']
    if model == 'r2n2':
        command = ['r2n2/demo.py', picture.path, '--output=' + stem + '.obj'] + common
    else:
        command = ['imnet/IMSVR/main.py', '--image=' + picture.path, '--formats', 'glb',
                   '--extraction=octree', '--resolution=64',
                   '--sample_dir=' + os.path.dirname(stem)] + common
    return command + ['--remove_background'] * picture.is_photo


def reconstructed(model: str, picture: Picture, folder: str) -> Tuple[Any, str]:
    """Runs a demo; returns (vertices, faces) and what it said of the picture.

    A demo that refuses the picture gives an empty mesh and the reason.
    """
    stem = os.path.join(folder, os.path.splitext(os.path.basename(picture.path))[0])
    command = _demo(model, picture, stem)
    done = subprocess.run([sys.executable, os.path.join(collection.ROOT, command[0])]
                          + command[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, check=False)
    if done.returncode:
        return (np.zeros([0, 3]), []), done.stderr.strip().splitlines()[-1]
    said = [line for line in done.stdout.splitlines() if ' held-out samples ' in line]
    mesh = meshes.read(stem + '.glb')
    return (mesh.vertices, mesh.faces), said[0] if said else 'nothing is measured'


def _shown(path: str) -> np.ndarray:
    """A picture as it is given, as large as the others, uint8 [200, 200, 3]."""
    image = pictures.read(path, None)
    if image.shape[2] == 4:
        share = image[..., 3:].astype(np.float32) / 255
        image = np.round(image[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    scale = _SHOWN / max(image.shape[:2])
    small = cv2.resize(image[..., :3], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, columns = [_SHOWN - side for side in small.shape[:2]]
    return cv2.copyMakeBorder(small, rows // 2, rows - rows // 2, columns // 2,
                              columns - columns // 2, cv2.BORDER_CONSTANT, value=_WHITE)


def work(options: argparse.Namespace) -> None:
    """Draws the row of inputs and a row for each of the two models that has weights."""
    models = [name for name in ('r2n2', 'imnet') if pretrained.available(
        os.path.join(collection.ROOT, name, pretrained.FOLDER))]
    with tempfile.TemporaryDirectory() as folder:
        found = collect(options, folder)
        fields, captions = [_shown(picture.path) for picture in found], [
            picture.name for picture in found]
        for model in models:
            for picture in found:
                mesh, said = reconstructed(model, picture, folder)
                cli.say('{}: {}'.format(model, said))
                fields.append(mesh)
                captions.append('told: strange' if 'unlike anything' in said else ' ')
        plots.mesh_grid(options.output, fields, captions, len(found), up='y', edges=False,
                        size=1.25)
    cli.say(options.output)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

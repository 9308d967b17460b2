"""Draws the row of pictures of the README: what the demos make of unseen inputs.

Runs the cells of examples/tour.ipynb, and takes what they leave. The column of a model whose
weights do not ship stays as it is in the present picture.

Example: python -m tests.picture_row --output=docs/models.png
"""
import argparse
import glob
import json
import os
import shutil
import sys
import tempfile
from typing import Any, Dict, List, Optional, Sequence

import cv2
import numpy as np

from common import cli, collection
from common.geometry import meshes, plots
from common.readers import pictures
from common.training import pretrained

_WIDTH, _HEIGHT, _TITLE = 250, 230, 26      # pixels of a column, and of its title
_COLUMNS = {'polygen': 'PolyGen: class to mesh', 'vsl': 'VSL: voxels to code to voxels',
            'imnet': 'IM-NET: picture to field', 'r2n2': '3D-R2N2: pictures to voxels',
            'cmr': 'CMR: photo to body'}


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--output', required=True, help='.png to write; columns are kept from it')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def run_tour() -> Dict[str, Any]:
    """Runs the cells of the notebook without showing anything; returns their names."""
    path = os.path.join(collection.ROOT, 'examples', 'tour.ipynb')
    with open(path, encoding='utf-8') as stream:
        cells = json.load(stream)['cells']
    names: Dict[str, Any] = {'__name__': '__main__'}
    os.chdir(collection.ROOT)
    for cell in cells:
        if cell['cell_type'] == 'code':
            exec(compile(''.join(cell['source']), path, 'exec'), names)
            if 'show' in names:
                names['display'] = str
    return names


def _mesh(path: str) -> Any:
    mesh = meshes.read(path)
    return mesh.vertices, mesh.faces


def _fields(model: str, tour: Dict[str, Any]) -> List[Any]:
    """What stands in the column of a model, from above: images and meshes, y up."""
    work, picture = tour['WORK'], pictures.read(tour['PICTURES'][0], None)
    share = picture[..., 3:].astype(np.float32) / 255
    view = np.round(picture[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    if model == 'polygen':
        drawn = os.path.join(work, 'polygen', 'samples', 'drawn', '*.obj')
        return [_mesh(sorted(glob.glob(drawn))[0])]
    if model == 'vsl':      # z is up there
        found = [_mesh(os.path.join(work, 'vsl', 'eval', 'encoded-sofa', name))
                 for name in ('00.obj', '01.obj')]
        return [(vertices[:, [1, 2, 0]], faces) for vertices, faces in found]
    if model == 'imnet':
        return [view, _mesh(os.path.join(work, 'imnet', 'samples', 'view0.glb'))]
    if model == 'r2n2':
        return [view, _mesh(os.path.join(work, 'r2n2', 'sofa.glb'))]
    photo = os.path.join(collection.ROOT, 'cmr', 'data', 'examples', 'im1010.jpg')
    return [pictures.read(path)[..., :3] for path in (
        photo, os.path.join(work, 'cmr', 'im1010_gcnn.png'))]


def column(title: str, fields: Sequence[Any]) -> np.ndarray:
    """Draws fields below each other, and a title above; uint8 [230, 250, 3]."""
    from matplotlib.figure import Figure  # here, since its import takes a while
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'column.png')
        plots.mesh_grid(path, list(fields), None, 1, up='y', size=2. / len(fields), edges=len(
            fields) == 1)
        body = pictures.read(path)[..., :3]
        figure = Figure(figsize=(_WIDTH / 100., _TITLE / 100.), dpi=100)
        figure.text(0.03, 0.25, title, fontsize=9)
        plots.save_figure(figure, path)
        head = pictures.read(path)[..., :3]
    scale = (_HEIGHT - _TITLE) / body.shape[0]
    body = cv2.resize(body, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left = max(0, (_WIDTH - body.shape[1]) // 2)
    whole = np.full([_HEIGHT, _WIDTH, 3], 255, np.uint8)
    whole[:_TITLE] = head[:_TITLE, :_WIDTH]
    body = body[:_HEIGHT - _TITLE, :_WIDTH]
    whole[_TITLE:_TITLE + body.shape[0], left:left + body.shape[1]] = body
    return whole


def work(options: argparse.Namespace) -> None:
    """Draws the row."""
    before = pictures.read(options.output)[..., :3] if os.path.exists(options.output) else None
    output, tour, columns = os.path.abspath(options.output), run_tour(), []
    try:
        for number, (model, title) in enumerate(_COLUMNS.items()):
            if pretrained.available(os.path.join(collection.ROOT, model, pretrained.FOLDER)):
                columns.append(column(title, _fields(model, tour)))
            elif before is not None:
                width = before.shape[1] // len(_COLUMNS)
                old = before[:_HEIGHT, number * width:(number + 1) * width]
                columns.append(cv2.copyMakeBorder(
                    old, 0, _HEIGHT - old.shape[0], 0, _WIDTH - old.shape[1],
                    cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    finally:
        shutil.rmtree(tour['WORK'])
    cv2.imwrite(output, cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR))
    cli.say(output)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

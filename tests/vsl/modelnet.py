"""Writes an archive in the layout of ModelNet10; holds fillings against the volume by trimesh.

It is of procedural shapes, and has the folders, names, counts (or every k-th of 4899) and faults of
the real one, which cannot be had here: headers glued to the counts, open surfaces, faces of both
orientations and twice each, boxes through each other, __MACOSX and a README beside. Faces of a
shape are drawn (lognormal, median --faces, sigma 1.2, at most 300,000); the sizes of the real ones
are not known here.
--compare prints a table: the volume by the divergence theorem (trimesh) and the cells.

Examples: python -m tests.vsl.modelnet --every=50 --output=ModelNet10.zip
  python -m tests.vsl.modelnet --compare --ngon=../shared/data/ngon-meshes/meshes_test.npz
"""
import glob
import os
import zipfile
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from common import cli, collection, files
from common.geometry import generator, meshes
from vsl import data_utils, filling, make_dataset

COUNTS = {'bathtub': (106, 50), 'bed': (515, 100), 'chair': (889, 100), 'desk': (200, 86),
          'dresser': (200, 86), 'monitor': (465, 100), 'night_stand': (200, 86),
          'sofa': (680, 100), 'table': (392, 100), 'toilet': (344, 100)}
_MOST = 300000


def parse_args(argv: Optional[Sequence[str]] = None) -> Any:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--output', default='ModelNet10.zip', help='the .zip to write')
    parser.add_argument('--every', type=cli.positive_int, default=1,
                        help='take one shape of so many')
    parser.add_argument('--faces', type=cli.positive_int, default=4000,
                        help='median of the faces of a shape')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the shapes')
    cli.add_flag(parser, '--compare', help='print the table instead')
    parser.add_argument('--ngon', default='', help='--compare: meshes_test.npz of ngon-meshes too')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def subdivided(vertices: np.ndarray, triangles: np.ndarray, count: int
               ) -> Tuple[np.ndarray, np.ndarray]:
    """Cuts each triangle into four until there are `count`, the last time only as many as needed.

    Vertices are not shared, as in many files of ModelNet.
    """
    corners = vertices[triangles]
    while len(corners) < count:
        chosen = min(len(corners), -(-(count - len(corners)) // 3))
        first, second, third = np.moveaxis(corners[:chosen], 1, 0)
        middles = (first + second) / 2, (second + third) / 2, (third + first) / 2
        corners = np.concatenate([corners[chosen:]] + [np.stack(three, axis=1) for three in (
            (first, middles[0], middles[2]), (middles[0], second, middles[1]),
            (middles[2], middles[1], third), middles)])
    return corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3)


def shape(name: str, number: int, seed: int, faces: int) -> Tuple[np.ndarray, np.ndarray]:
    """Returns (vertices [V, 3], triangles [T, 3]) of a shape with the faults of its number."""
    vertices, polygons = generator.shape(name, number, seed).mesh()
    triangles = meshes.triangulate(polygons, vertices)
    rng = np.random.RandomState([seed, number, len(name)])
    if number % 9 == 4:         # open: some faces are missing
        triangles = triangles[rng.permutation(len(triangles))[len(triangles) // 10:]]
    if number % 7 == 3:         # a second shape through the first
        other, more = generator.shape(name, number, seed + 1).mesh()
        triangles = np.concatenate([triangles, meshes.triangulate(more, other) + len(vertices)])
        vertices = np.concatenate([vertices, other])
    if number % 3 == 1:         # orientation at random
        flip = rng.uniform(size=len(triangles)) < 0.5
        triangles = np.where(flip[:, None], triangles[:, ::-1], triangles)
    count = int(min(_MOST, faces * np.exp(1.2 * rng.randn())))
    vertices, triangles = subdivided(vertices, triangles, count)
    if number % 5 == 2:         # each face from either side
        triangles = np.concatenate([triangles, triangles[:, ::-1]])
    return vertices, triangles


def off(vertices: np.ndarray, triangles: np.ndarray, glued: bool) -> str:
    """Returns the text of an .off file, perhaps without the line break after its first word."""
    lines = ['OFF{}{} {} 0'.format('' if glued else '\n', len(vertices), len(triangles))]
    lines += ['{:.6f} {:.6f} {:.6f}'.format(*vertex) for vertex in vertices]
    lines += ['3 {} {} {}'.format(*triangle) for triangle in triangles]
    return '\n'.join(lines) + '\n'


def write(path: str, every: int = 1, faces: int = 4000, seed: int = 0) -> int:
    """Writes the archive; returns how many shapes it has."""
    total = written = 0
    with files.replacing(path) as temporary:
        with zipfile.ZipFile(temporary, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('ModelNet10/README.txt', 'read me')
            archive.writestr('__MACOSX/ModelNet10/bed/train/._bed_0001.off', b'\0\5')
            archive.writestr('ModelNet10/.DS_Store', b'\0')
            for name, counts in COUNTS.items():
                for number in range(sum(counts)):
                    total += 1
                    if total % every:
                        continue
                    split = 'train' if number < counts[0] else 'test'
                    archive.writestr('ModelNet10/{0}/{1}/{0}_{2:04d}.off'.format(
                        name, split, number + 1), off(*shape(name, number, seed, faces),
                                                      glued=number % 2 == 1))
                    written += 1
    return written


def _row(title: str, results: List[Tuple[float, filling.Solid]]) -> str:
    """A line of the table: mean cells of some shapes."""
    volume, rays, filled, half = (np.array(values, float) for values in zip(*[
        (volume, solid.inside.sum(), solid.grid.sum(), solid.grid.sum() - solid.surface.sum() / 2)
        for volume, solid in results]))
    states = [solid.state() for _, solid in results]
    return '| {} | {} | {:.0f} | {:.0f} | {:.0f} | {:.0f} | {:.3f} | {} |'.format(
        title, len(results), volume.mean(), rays.mean(), half.mean(), filled.mean(),
        np.median(rays / volume),
        ', '.join('{} {}'.format(states.count(state), state) for state in filling.STATES
                  if state in states))


def _measured(vertices, faces):
    """(volume in cells, filling.Solid) of a mesh that trimesh calls closed, else None."""
    import trimesh  # here, since --help needs it not
    triangles = meshes.triangulate(faces, vertices)
    mesh = trimesh.Trimesh(vertices, triangles)
    side = (mesh.bounds[1] - mesh.bounds[0]).max() / make_dataset.EXTENT
    if not (mesh.is_watertight and mesh.is_winding_consistent):
        return None
    return abs(mesh.volume) / side ** 3, filling.solid(
        vertices, triangles, data_utils.GRID, make_dataset.EXTENT)


def compare(options: Any) -> None:
    """Prints the table of the meshes that come with the project, and of ngon-meshes."""
    print('| meshes | count | volume by trimesh | centres inside by rays | filled less half of the '
          'surface | filled | rays / trimesh, median | filling |\n|---|' + 6 * '---:|' + '---|')
    for path in sorted(glob.glob(os.path.join(collection.ROOT, 'polygen', 'meshes', '*.obj'))):
        mesh = meshes.read(path)
        result = _measured(mesh.vertices, mesh.faces)
        print(_row(os.path.basename(path), [result]) if result else
              '| {} | not closed |'.format(os.path.basename(path)))
    for name in generator.CLASSES:
        found = [_measured(*generator.shape(name, number, options.seed).mesh())
                 for number in range(10)]
        print(_row(name, [result for result in found if result]))
    if options.ngon:
        with np.load(options.ngon) as stored:
            arrays = {key: stored[key] for key in stored.files}
        found = [_measured(*mesh) for mesh in _meshes(arrays)]
        print(_row('ngon-meshes, test, closed ones of {}'.format(len(found)),
                   [result for result in found if result]))


def _meshes(arrays):
    """Yields (vertices, faces) of a ragged file."""
    vertex = face = corner = 0
    for vertices, faces in zip(arrays['vertex_counts'], arrays['face_counts']):
        sizes = arrays['face_sizes'][face:face + faces].astype(int)
        numbers = arrays['face_vertices'][corner:corner + sizes.sum()].astype(int)
        yield (arrays['vertices'][vertex:vertex + vertices].astype(float),
               [part.tolist() for part in np.split(numbers, sizes.cumsum()[:-1])])
        vertex, face, corner = vertex + vertices, face + faces, corner + sizes.sum()


def run(options: Any) -> None:
    """Does what the options ask for."""
    if options.compare:
        compare(options)
    else:
        print('{}: {} shapes'.format(options.output, write(
            options.output, options.every, options.faces, options.seed)))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(run, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

"""Makes a data set of meshes: 24 rendered views and a grid of 32^3 cells of each.

--meshes takes <category>/<any folders>/<model>.obj|off|ply|stl|glb, y up (--up=z rotates them), or
ShapeNet's <category>/<model>/model.obj or <category>/<model>/models/model_normalized.obj.
--furniture makes ten procedural classes instead. What is there already is kept, so the same command
goes on after an interruption.

Example: python r2n2/tools/make_dataset.py --meshes=my_meshes --output=data/mine
"""
import argparse
import hashlib
import os
import sys
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
import numpy as np

from common import errors, files
from common.geometry import furniture, generator, meshes, voxel_grids
from common.readers import folders, text
from common.training import workers
from r2n2.lib import rendering

VIEWS, GRID = 24, 32
RECORD = 'made_with.txt'    # beside the only .json, the categories
_FINE = 40      # cells a side of the grids that the surfaces of procedural solids come from


class Job(NamedTuple):
    """One model to make.

    Attributes:
      category, model: names; source: mesh file, None for procedural furniture.
      seed: of the cameras, and of the furniture's first version.
      shape_seed: of the furniture's second version, None for the first.
      output: folder of the data set; views: number of views; up: 'y' or 'z', of the mesh.
    """

    category: str
    model: str
    source: Optional[str]
    seed: int
    shape_seed: Optional[int]
    output: str
    views: int
    up: str


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--meshes', default='', help='folder of meshes, a sub-folder a category')
    cli.add_flag(parser, '--furniture', help='procedural furniture instead of meshes')
    parser.add_argument('--generator', type=int, choices=generator.VERSIONS, default=1,
                        help='version of the procedural furniture')
    cli.add_flag(parser, '--held_out', help='furniture for measuring, which no training may see '
                 '(of the second version)')
    parser.add_argument('--models', type=cli.positive_int, default=10,
                        help='procedural models of each class')
    parser.add_argument('--output', required=True, help='folder for the two trees')
    parser.add_argument('--views', type=cli.positive_int, default=VIEWS, help='views of a model')
    parser.add_argument('--up', choices=('y', 'z'), default='y', help='axis that points upwards')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0,
                        help='of the cameras; of the furniture from its second version on')
    parser.add_argument('--workers', type=cli.positive_int, default=os.cpu_count() or 1,
                        help='processes')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def find_meshes(folder: str) -> Tuple[Dict[Tuple[str, str], str], List[str]]:
    """Finds the meshes below the categories of a folder.

    Returns:
      ({(category, model): path}, list of lines about meshes whose name another one has).
    Raises:
      errors.InputError: no such folder, or no mesh in it.
    """
    if not os.path.isdir(folder):
        raise errors.InputError('--meshes {}: no such folder. Give one with meshes.'.format(folder))
    paths: Dict[Tuple[str, str], str] = {}
    twice, splits = [], set()
    for item in folders.items(folder, meshes.READABLE):
        *parts, file_name = item.path.split(os.sep)
        if not parts:
            continue
        if item.is_split_first:
            raise errors.InputError('--meshes {}: {}/ is the folder of a split, not of a category, '
                                    'and a data set here is divided by TRAIN.DATASET_PORTION. Give '
                                    'one of them: --meshes={}'.format(
                                        folder, parts[0], os.path.join(folder, parts[0])))
        splits.add(item.split)
        stem = os.path.splitext(file_name)[0]
        model = folders.shape_name('/'.join(parts[1:] + [stem])).replace('/', '-')
        path = os.path.join(folder, item.path)
        if paths.setdefault((parts[0], model), path) != path:
            twice.append('{}: another mesh is {}/{} already; rename one of them'.format(
                path, parts[0], model))
    if splits - {''}:
        cli.say('note: {} has folders of splits ({}); a data set here is divided by '
                'TRAIN.DATASET_PORTION, in the order of the names, not by them'.format(
                    folder, ', '.join(sorted(splits - {''}))))
    if not paths:
        raise errors.InputError('--meshes {}: no {} below a folder of a category.'.format(
            folder, ', '.join(meshes.READABLE)))
    return paths, twice


def _solid(job):
    """(vertices [V, 3] with y up, triangles int [T, 3], grid bool [32, 32, 32] with y up)."""
    if job.shape_seed is not None:
        item = generator.shape(job.category, job.seed, job.shape_seed)
        vertices, faces = item.mesh()
        grid = item.voxels(GRID, GRID).transpose(0, 2, 1)[:, :, ::-1]
        return (np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=1),
                meshes.triangulate(faces, vertices), grid)
    if job.source is None:
        parts = furniture.furniture(job.category, job.seed)
        vertices, triangles = voxel_grids.surface(furniture.voxels(parts, _FINE, _FINE - 4))[:2]
        vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=1)
        grid = furniture.voxels(parts, GRID, GRID).transpose(0, 2, 1)[:, :, ::-1]
        return vertices, triangles, grid
    vertices, triangles = meshes.read_triangles(job.source)
    vertices = vertices.astype(np.float64)
    if not len(triangles):
        raise errors.InputError('{} has no faces.'.format(job.source))
    if job.up == 'z':
        vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=1)
    return vertices, triangles, voxel_grids.solid(vertices, triangles, GRID, GRID)


def make_model(job: Job) -> Optional[str]:
    """Renders and voxelises one model.

    Returns:
      None, or why it was left out.
    """
    folder = os.path.join(job.output, 'ShapeNetRendering', job.category, job.model, 'rendering')
    binvox = os.path.join(job.output, 'ShapeNetVox32', job.category, job.model, 'model.binvox')
    listed = os.path.join(folder, 'renderings.txt')
    if os.path.exists(listed) and os.path.exists(binvox):
        return None
    try:
        vertices, triangles, grid = _solid(job)
    except errors.InputError as error:
        return str(error)
    digest = hashlib.sha256('{}/{}'.format(job.category, job.model).encode()).digest()
    rng = np.random.RandomState([job.seed % 2 ** 31] + list(digest[:8]))
    cameras = rendering.draw_cameras(job.views, rng)
    color = rng.uniform(0.25, 0.95, 3)
    z_up = rendering.scaled(voxel_grids.turn_up(vertices, 'y'))
    names = ['{:02d}.png'.format(number) for number in range(job.views)]
    for name, camera in zip(names, cameras):
        image = rendering.render(z_up, triangles, camera, color)
        _write_png(os.path.join(folder, name), image)
    files.write_text(os.path.join(folder, 'rendering_metadata.txt'), ''.join(
        '{:.6f} {:.6f} {:g} {:.6f} {:g}\n'.format(*camera) for camera in cameras))
    voxel_grids.write_binvox(binvox, grid)
    files.write_text(listed, '\n'.join(names) + '\n')    # last: it says that the model is whole
    return None


def _write_png(path, image):
    import cv2  # here, since --help needs none of it
    with files.replacing(path) as temporary:
        done, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
        assert done
        data.tofile(temporary)


def recorded(folder: str) -> Dict[str, Any]:
    """Returns the options that the record of a set tells, {} where it has none.

    Raises:
      errors.InputError: the record is damaged.
    """
    path = os.path.join(folder, RECORD)
    values = text.read_json(path, 'record of make_dataset.py') if os.path.exists(path) else {}
    if not isinstance(values, dict):
        raise errors.InputError('{} holds no options: make the set again.'.format(path))
    return values


def _check_options(options):
    """Records the options that the renders depend on; refuses others than those of before."""
    path = os.path.join(options.output, RECORD)
    names = ('views', 'up', 'seed')
    if options.furniture:
        names = ('views', 'generator', 'held_out') + (('seed',) if options.generator > 1 else ())
    before = recorded(options.output)
    if before and options.furniture:    # made before there were versions
        before = dict({'generator': 1, 'held_out': False}, **before)
    for name in names:
        if before.get(name, vars(options)[name]) != vars(options)[name]:
            raise errors.UsageError(
                '--{} {}: {} says that the set was made with {}; give that, or another --output.'
                .format(name, vars(options)[name], path, errors.quote(before[name])))
    files.write_json(path, dict(before, **{name: vars(options)[name] for name in names}))


def make(options: argparse.Namespace) -> None:
    """Makes the data set; prints progress and what was left out."""
    if bool(options.meshes) == options.furniture:
        raise errors.UsageError('give --meshes DIR or --furniture.')
    left_out: List[str] = []
    if options.held_out and options.generator == 1:
        raise errors.UsageError('--held_out: needs --generator=2, whose shapes are held out by '
                                'their seed.')
    shape_seed = None
    if options.furniture and options.generator > 1:
        shape_seed = (generator.held_out_seed if options.held_out else generator.training_seed)(
            options.seed)
    if options.furniture:
        sources: Mapping[Tuple[str, str], Optional[str]] = {
            (name, '{:04d}'.format(number)): None
            for name in generator.CLASSES for number in range(options.models)}
    else:
        sources, left_out = find_meshes(options.meshes)
    failed = 0
    _check_options(options)
    jobs = [Job(category, model, source, int(model) if source is None else options.seed,
                shape_seed, options.output, options.views, options.up)
            for (category, model), source in sources.items()]
    for job, reason in zip(jobs, workers.parallel(make_model, jobs, options.workers,
                                                  'rendering models')):
        if reason:
            failed += 1
            left_out.append('{}/{}: {}'.format(job.category, job.model, reason))
    for line in left_out:
        cli.say('left out {}'.format(line))
    if failed == len(jobs):
        raise errors.InputError('--meshes {}: none of the {} meshes can be used. The first: {}'
                                .format(options.meshes, len(jobs),
                                        errors.quote(left_out[-failed], 150)))
    there = folders.subfolders(os.path.join(options.output, 'ShapeNetVox32'))
    files.write_json(os.path.join(options.output, 'categories.json'),
                     {name: {'id': name, 'name': name} for name in there})
    cli.say('{} models of {} categories in {}'.format(
        len(jobs) - failed, len(there), options.output))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(make, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

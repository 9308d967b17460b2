"""Makes a set of meshes with rendered views and voxels, in files that training streams.

--meshes takes a folder of .obj, .off, .ply, .stl or .glb files; sub-folders are classes; train/ and
test/, above or below them, are the splits (else --test_fraction of the meshes are for testing).
--furniture makes ten procedural classes; its shapes for testing come from seeds that no training
uses. --max_vertices=N reduces larger meshes (needs fast-simplification) and merges plane faces.
Files that are there already are kept, so the same command goes on after an interruption.

Examples: python polygen/make_dataset.py --furniture --image_size=64 --output=data/furniture
  python polygen/make_dataset.py --meshes=my_meshes --output=data/mine
"""
import functools
import hashlib
import os
import sys
import zlib
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
import numpy as np

from common import errors, files
from common.geometry import generator, meshes, views, voxel_grids
from common.readers import folders, pictures, text
from common.training import workers
from polygen import conditions, shards

_RECORD = 'made_with.json'
_ANGLE = 5.
# What the files depend on; the other options only say how they are made.
_MATTERS = ('meshes', 'furniture', 'models', 'test_models', 'test_fraction', 'seed', 'views',
            'image_size', 'voxels', 'shard_size', 'up', 'max_vertices', 'angles', 'max_loss',
            'renderings')


class Source(NamedTuple):
    """A mesh to make.

    Attributes:
      name: str; label: int, its class.
      path: str, its file; '' for furniture.
      shape: (class name, number, seed) of furniture; () for a file.
      angle: degrees within which faces of a reduced mesh are merged.
    """

    name: str
    label: int
    path: str
    shape: Tuple
    angle: float = 0.


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--meshes', default='', help='folder of meshes')
    cli.add_flag(parser, '--furniture', help='ten procedural classes instead')
    parser.add_argument('--output', '--output_path', required=True, help='folder for the set')
    parser.add_argument('--models', type=cli.positive_int, default=20,
                        help='pieces of furniture a class for training')
    parser.add_argument('--test_models', type=cli.positive_int, default=4,
                        help='likewise, for testing')
    parser.add_argument('--test_fraction', type=cli.fraction_below_one, default=0.1,
                        help='share of the meshes that are for testing where no folder says so')
    parser.add_argument('--views', type=cli.positive_int, default=8, help='views of a mesh')
    parser.add_argument('--image_size', type=cli.positive_int, default=256,
                        help='pixels a side of a view; 64 or 128 for a CPU')
    parser.add_argument('--renderings', default='', metavar='FOLDER',
                        help='take the views from <class>/<model>/rendering/*.png of such a folder '
                             '(ShapeNetRendering) beside --meshes, instead of rendering them')
    parser.add_argument('--voxels', type=cli.positive_int, default=28, help='cells a side')
    parser.add_argument('--up', choices=('y', 'z'), default='y', help='vertical axis of the meshes')
    parser.add_argument('--max_vertices', type=cli.non_negative_int, default=0,
                        help='vertices that meshes are reduced to; 0: meshes stay as they are')
    parser.add_argument('--angles', type=cli.non_negative_float, nargs='+', default=[_ANGLE],
                        help='degrees within which plane faces of a reduced mesh are merged; '
                             'several give as many variants of each mesh (the paper: 1 to 20)')
    parser.add_argument('--max_loss', type=cli.positive_float, default=2.,
                        help='chamfer distance to the mesh of before, in percent of the diagonal, '
                             'beyond which a reduced mesh is left out')
    parser.add_argument('--shard_size', type=cli.positive_int, default=64, help='meshes in a file')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0,
                        help='of furniture, views and split')
    parser.add_argument('--workers', type=cli.positive_int, default=workers.num_cpus(),
                        help='processes')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def furniture_sources(options: Any) -> Dict[str, List[Source]]:
    """Lists the procedural shapes, the classes in turn: {split: list of Source}."""
    seeds = {'train': generator.training_seed(options.seed),
             'test': generator.held_out_seed(options.seed)}
    counts = {'train': options.models, 'test': options.test_models}
    return {split: [Source('{}/{}_{:05d}'.format(name, seed, number), label, '',
                           (name, number, seed))
                    for number in range(counts[split])
                    for label, name in enumerate(generator.CLASSES)]
            for split, seed in seeds.items()}


def mesh_sources(options: Any) -> Tuple[Dict[str, List[Source]], List[str]]:
    """Lists the files of a folder.

    Returns:
      ({split: list of Source}, class names).
    Raises:
      errors.InputError: no such folder, or no mesh in it.
    """
    items = folders.items(options.meshes, meshes.READABLE) if os.path.isdir(
        options.meshes) else []
    if not items:
        raise errors.InputError('--meshes {}: no folder with {} files.'.format(
            options.meshes, ' '.join(meshes.READABLE)))
    kinds = [item.folders[0] if item.folders else '' for item in items]
    classes = sorted(set(kinds))
    sources: Dict[str, List[Source]] = {'train': [], 'test': []}
    for item, kind in zip(items, kinds):
        name = os.path.splitext(item.path)[0].replace(os.sep, '/')
        draw = zlib.crc32('{}:{}'.format(options.seed, name).encode()) / 2 ** 32
        split = item.split or ('test' if draw < options.test_fraction else 'train')
        path = os.path.join(options.meshes, item.path)
        variants = options.angles if options.max_vertices else [0.]
        sources.setdefault(split, []).extend(Source(
            name + ('@{:g}'.format(angle) if len(variants) > 1 else ''), classes.index(kind), path,
            (), angle) for angle in variants)
    return {split: rows for split, rows in sources.items() if rows}, classes


def make_row(source: Source, options: Any) -> shards.Row:
    """Makes a mesh, its voxels and its views.

    Raises:
      errors.InputError: the mesh cannot be used.
    """
    if source.shape:
        item = generator.shape(*source.shape)
        vertices, faces = item.mesh()
        model = views.model(vertices, faces, item.part_of_face())
    else:
        vertices, faces = read_mesh(source.path, options.up)
        if options.max_vertices:
            vertices, faces = _reduced(vertices, faces, source, options)
        model = views.model(vertices, faces, closed=False)
    voxels = conditions.mesh_voxels(vertices, meshes.triangulate(faces, vertices), options.voxels)
    if options.renderings:
        images, cameras = read_renderings(source, options)
    else:   # a stream of its own for each mesh, whatever its place in the set
        rng = np.random.RandomState([options.seed % 2 ** 31, zlib.crc32(source.name.encode())])
        images, cameras = views.render_views(model, options.views, options.image_size, rng)
    y_up = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], axis=1)
    return shards.Row(source.name, source.label, y_up.astype(np.float32), faces, voxels,
                      [encode_png(image) for image in images], cameras)


def read_renderings(source: Source, options: Any) -> Tuple[List[np.ndarray], np.ndarray]:
    """Reads the first views of a model that others have rendered.

    Returns:
      (list of uint8 [S, S, 4], cameras float32 [views, 4] as far as rendering_metadata.txt tells
      them: azimuth, elevation, distance ratio; the focal length is 0, unknown).
    Raises:
      errors.InputError: there are too few, or they are no squares.
    """
    name = folders.shape_name(source.name.split('@')[0])
    folder = os.path.join(options.renderings, name.replace('/', os.sep), 'rendering')
    names = sorted(name for name in folders.names(folder) if name.endswith('.png')) if (
        os.path.isdir(folder)) else []
    if len(names) < options.views:
        raise errors.InputError('{} has {} pictures, --views={} are wanted'.format(
            folder, len(names), options.views))
    images = []
    for name in names[:options.views]:
        image = pictures.read(os.path.join(folder, name), channels=4)
        if image.shape[0] != image.shape[1]:
            raise errors.InputError('{}: {} x {} pixels, no square'.format(
                os.path.join(folder, name), image.shape[1], image.shape[0]))
        images.append(conditions.resized(image, options.image_size))
    cameras = np.zeros([options.views, 4], np.float32)
    record = os.path.join(folder, 'rendering_metadata.txt')
    if os.path.exists(record):
        for row, line in zip(cameras, text.read_lines(record, 'cameras of renderings')):
            numbers = line.split()
            try:
                row[:3] = [float(numbers[place]) for place in (0, 1, 3)]
            except (ValueError, IndexError):
                raise errors.InputError('{}: "{}" are not azimuth, elevation, rotation, distance, '
                                        'field of view'.format(record, line[:80])) from None
    return images, cameras


def _reduced(vertices, faces, source, options):
    from polygen import reduction  # late: SciPy
    result = reduction.reduce(vertices, faces, options.max_vertices, source.angle)
    if result.loss > options.max_loss:
        raise errors.InputError('reduced to {} vertices it has lost {:.2f} % (--max_loss)'.format(
            len(result.vertices), result.loss))
    if result.was_closed and not result.closed:
        raise errors.InputError('it was closed and is open when reduced to {} vertices'.format(
            len(result.vertices)))
    return result.vertices, result.faces


def read_mesh(path: str, up: str) -> Tuple[np.ndarray, List[List[int]]]:
    """Reads a mesh file: (vertices float64 [V, 3] that are used, with z up, faces)."""
    mesh = meshes.read(path)
    faces = [list(map(int, face)) for face in mesh.faces if len(set(face)) > 2]
    if not faces:
        raise errors.InputError('{}: no face has three corners.'.format(path))
    used, numbers = np.unique([index for face in faces for index in face], return_inverse=True)
    numbers, place, renumbered = numbers.tolist(), 0, []
    for face in faces:
        renumbered.append(numbers[place:place + len(face)])
        place += len(face)
    return voxel_grids.turn_up(np.asarray(mesh.vertices, np.float64)[used], up), renumbered


def encode_png(image: np.ndarray) -> bytes:
    """Returns a picture uint8 [H, W, 4] as the bytes of a PNG file."""
    import cv2  # here, since --help needs none of it
    done, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))
    assert done
    return data.tobytes()


def _make_shard(job, options):
    """Makes a shard unless it is there; returns its lines about meshes left out."""
    path, sources = job
    if not os.path.exists(path + '.npz'):
        rows, left_out = [], []
        for source in sources:
            try:
                rows.append(make_row(source, options))
            except errors.InputError as error:
                left_out.append('{}: {}'.format(source.name, error))
        shards.write(path, rows, left_out)
    return shards.left_out(path + '.npz')


def _check_options(options):
    if bool(options.meshes) == options.furniture:
        raise errors.UsageError('give --meshes DIR or --furniture.')
    for name in ('renderings', 'max_vertices'):
        if vars(options)[name] and not options.meshes:
            raise errors.UsageError('--{} goes with --meshes.'.format(name))
    if not options.max_vertices and options.angles != [_ANGLE]:
        raise errors.UsageError('--angles goes with --max_vertices.')
    if max(options.angles) > 90 or len(set(options.angles)) < len(options.angles):
        raise errors.UsageError('--angles {}: degrees from 0 to 90, each once.'.format(
            ' '.join(map('{:g}'.format, options.angles))))
    if options.max_vertices:
        from polygen import reduction  # late: SciPy
        reduction.library()     # before any file says that a mesh cannot be used without it


def _digest(sources):
    """Tells lists of files apart by names, sizes and times of change."""
    digest = hashlib.sha256()
    for split, items in sorted(sources.items()):
        for source in items:
            state = os.stat(source.path)
            digest.update('{}\0{}\0{}\0{}\n'.format(
                split, source.name, state.st_size, state.st_mtime_ns).encode())
    return digest.hexdigest()


def _check_record(options, sources):
    """Records what the files depend on; refuses other options and meshes than those of before."""
    path = os.path.join(options.output, _RECORD)
    record = {name: vars(options)[name] for name in _MATTERS}
    record['generator'] = generator.VERSIONS[-1] if options.furniture else None
    record['sources'] = None if options.furniture else _digest(sources)
    before = text.read_json(path) if os.path.exists(path) else record
    if not isinstance(before, dict):
        raise errors.InputError('{} holds no options: remove it, or give another --output.'.format(
            path))
    if before.get('sources', record['sources']) != record['sources']:
        raise errors.InputError('--meshes {}: files came, went or changed since {} was begun: '
                                'remove that, or give another --output.'.format(
                                    options.meshes, options.output))
    before['sources'] = record['sources']       # of a set that was made before this was recorded
    for name in record:
        if before.get(name) != record[name]:
            raise errors.UsageError('--{} {}: {} was made with {}; give that, or another --output.'
                                    .format(name, record[name], options.output, before.get(name)))
    files.write_json(path, record)
    return record


def make(options: Any) -> None:
    """Makes the set; prints progress and what was left out."""
    _check_options(options)
    sources, classes = (furniture_sources(options), list(generator.CLASSES)
                        ) if options.furniture else mesh_sources(options)
    record = _check_record(options, sources)
    files.remove_temporary(options.output)
    jobs, counts = [], {}
    for split, items in sources.items():
        parts = [items[start:start + options.shard_size]
                 for start in range(0, len(items), options.shard_size)]
        counts[split] = len(parts)
        jobs += [(shards.stem(options.output, split, number), part)
                 for number, part in enumerate(parts)]
    left_out = _make_all(jobs, options)
    total = sum(map(len, sources.values()))
    if options.max_vertices:
        _draw_reduction(sources['train'] if 'train' in sources else [], options)
    for line in left_out:
        cli.say('left out {}'.format(line))
    if len(left_out) == total:
        raise errors.InputError('--meshes {}: none of the {} meshes can be used. The first: {}'
                                .format(options.meshes, total, errors.quote(left_out[0], 150)))
    files.write_json(os.path.join(options.output, shards.INDEX), {
        'classes': classes, 'voxels': options.voxels, 'views': options.views,
        'image_size': options.image_size, 'splits': counts, 'made_with': record})
    cli.say('{}: {} meshes ({}), {} views each, {} left out'.format(
        options.output, total - len(left_out), ', '.join(
            '{} {}'.format(split, len(items)) for split, items in sources.items()),
        options.views, len(left_out)))


def _draw_reduction(sources, options):
    """Draws the first meshes before and after, with what was lost."""
    from common.geometry import plots
    from polygen import reduction
    before, after, captions = [], [], []
    for source in sources[:20]:
        try:
            mesh = read_mesh(source.path, options.up)
            result = reduction.reduce(*mesh, options.max_vertices, source.angle)
        except errors.InputError:
            continue
        before.append(mesh)
        after.append((result.vertices, result.faces))
        captions.append('{} vertices, {:.2f} % lost'.format(len(result.vertices), result.loss))
        if len(before) == 4:
            break
    if before:
        path = os.path.join(options.output, 'reduction.png')
        plots.mesh_grid(path, before + after, ['{} vertices'.format(len(mesh[0]))
                                               for mesh in before] + captions, columns=len(before))
        cli.say('before and after: {}'.format(path))


def _make_all(jobs: Sequence[Tuple[str, Sequence[Source]]], options: Any) -> List[str]:
    """Makes all shards in parallel; returns the lines about meshes left out."""
    missing = [job for job in jobs if not os.path.exists(job[0] + '.npz')]
    if len(missing) < len(jobs):
        cli.say('going on: {} of {} files are there already'.format(
            len(jobs) - len(missing), len(jobs)))
    left_out: List[str] = []
    with workers.fork_context().Pool(min(options.workers, len(jobs))) as pool:
        todo = functools.partial(_make_shard, options=options)
        for number, lines in enumerate(pool.imap(todo, jobs), 1):
            left_out += lines
            cli.say('{} of {} files'.format(number, len(jobs)))
    return left_out


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(make, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

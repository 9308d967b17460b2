"""Makes a voxel set (.mat) from meshes, binvox files or procedural furniture, perhaps with images.

Shapes lie in `<class>/train/`, `<class>/test/` or anywhere below `<class>/` (then --test_fraction
of them are for testing). Classes get ids from 1 in alphabetical order. Grids are [x, y, z] with z
up; the longest side fills 24 of 30 cells, centred; the inside is filled. Images of a shape `name`
are `name.png`, `name_*.png` or in a folder `name/`, in the same tree; .jpg likewise; ShapeNet's
`name/model.obj` is the shape `name`. --meshes takes a .zip of such a folder too, as ModelNet10 is
downloaded. A file that cannot be used is reported and left out; shapes that came out hollow,
streaked, empty or thin are counted and named; the same command after an interruption goes on.

Examples: python vsl/make_dataset.py --furniture --output=data/furniture.mat
  python vsl/make_dataset.py --meshes=ModelNet10 --output=data/ModelNet10_res30_raw.mat
  python vsl/make_dataset.py --binvox=ShapeNetVox32 --up=y --images=Rendering --output=data/set.mat
"""
import argparse
import collections
import hashlib
import os
import shutil
import sys
import time
import zlib
from typing import Dict, List, NamedTuple, Sequence, Tuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
import numpy as np

from common import errors, files
from common.geometry import generator, meshes, voxel_grids
from common.readers import archives, arrays, folders, pictures
from common.training import reporting
from common.training import workers as workers_lib
from vsl import data_utils, filling

EXTENT = 24             # cells that the longest side fills
_AXES = 'C order x, y, z; z up; longest side {} of 30 cells, centred'.format(EXTENT)
_IMAGES = pictures.EXTENSIONS
_MOST_TOLD = 100        # files that were left out


class Source(NamedTuple):
    """A shape to convert.

    Attributes:
      path: str, the file.
      name: str, its path from the folder of all shapes, without the ending.
      label: int, class id from 1.
      split: 'train' or 'test'.
    """

    path: str
    name: str
    label: int
    split: str


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--meshes', default='', help='folder of {} files, or a .zip of it'.format(
        ' '.join(meshes.READABLE)))
    source.add_argument('--binvox', default='', help='folder of .binvox files')
    cli.add_flag(source, '--furniture', help='ten procedural classes')
    parser.add_argument('--generator', type=int, choices=generator.VERSIONS, default=1,
                        help='version of the procedural shapes')
    parser.add_argument('--images', default='', help='folder of the images of the shapes')
    cli.add_max_pixels(parser)
    parser.add_argument('--output', required=True, help='the .mat file to write')
    parser.add_argument('--up', choices=('y', 'z'), default='z', help='vertical axis of the shapes')
    cli.add_flag(parser, '--fill_open', help='meshes: what rays along two axes find inside is '
                 'occupied too, though an open surface lets the outside in')
    parser.add_argument('--test_fraction', type=cli.fraction, default=0.2,
                        help='share of the shapes outside train/ and test/ that are for testing')
    parser.add_argument('--num_train', type=cli.positive_int, default=40,
                        help='pieces of furniture a class')
    parser.add_argument('--num_test', type=cli.positive_int, default=10,
                        help='likewise, for testing')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0,
                        help='of furniture and split')
    parser.add_argument('--workers', type=cli.positive_int, default=workers_lib.num_cpus(),
                        help='processes')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _piece(job):
    """Cells [27000] of a piece of furniture (class, seed, version of the generator)."""
    name, seed, version = job
    return generator.voxels(name, seed, data_utils.GRID, EXTENT, version).ravel()


def make_furniture(seed: int = 0, num_train: int = 40, num_test: int = 10, version: int = 1,
                   workers: int = 1
                   ) -> Tuple[Dict[str, data_utils.Split], List[str]]:
    """Makes the procedural set of furniture.

    Args:
      seed: int; num_train, num_test: int, shapes of each class.
      version: int, of the generator; from 2 on the shapes for testing are held out by their seed.
      workers: int, processes.
    Returns:
      (dict {'train', 'test': data_utils.Split}, list of class names).
    """
    splits, test_seed = {}, seed if version == 1 else generator.held_out_seed(seed)
    for split, own_seed, count, first in (('train', seed, num_train, 0),
                                          ('test', test_seed, num_test, num_train)):
        labels = np.repeat(np.arange(len(generator.CLASSES), dtype=np.int32) + 1, count)
        jobs = [(name, [own_seed, label, first + number], version)
                for label, name in enumerate(generator.CLASSES) for number in range(count)]
        voxels = list(workers_lib.parallel(_piece, jobs, workers, 'making furniture'))
        splits[split] = data_utils.Split(np.array(voxels, np.uint8), labels, None)
    return splits, list(generator.CLASSES)


def find_sources(folder: str, extensions: Sequence[str], test_fraction: float = 0.2,
                 seed: int = 0) -> Tuple[List[Source], List[str]]:
    """Lists the shapes of a folder.

    Args:
      folder: str; extensions: tuple of str, in small letters.
      test_fraction: float, share of the shapes outside train/ and test/ that are for testing.
      seed: int, of that split.
    Returns:
      (list of Source, sorted by class and name; list of class names).
    Raises:
      errors.InputError: there is no such folder, or nothing in it.
    """
    if not os.path.isdir(folder):
        raise errors.InputError('{} is no folder. Give one with shapes.'.format(folder))
    items = [item for item in folders.items(folder, extensions) if os.sep in item.path]
    if not items:
        raise errors.InputError('{} has no {} files in folders named after their classes '
                                '(<class>/train/..., <class>/test/... or <class>/...).'.format(
                                    folder, ' '.join(extensions)))
    if any(item.is_split_first for item in items):
        raise errors.InputError('{} has the layout train/<class>/, test/<class>/; arrange it as '
                                '<class>/train/, <class>/test/.'.format(folder))
    other = next((item for item in items if item.split == 'val'), None)
    if other:
        raise errors.InputError('{}: {} is for validation, and a set has train and test alone; '
                                'move such files into one of these, or away.'.format(
                                    folder, other.path))
    classes = data_utils.check_class_names(sorted({item.folders[0] for item in items}), folder)
    sources = []
    for item in items:
        name = os.path.splitext(item.path)[0].replace(os.sep, '/')
        draw = zlib.crc32('{}:{}'.format(seed, name).encode()) / 2 ** 32
        split = item.split or ('test' if draw < test_fraction else 'train')
        sources.append(Source(os.path.join(folder, item.path), name,
                              classes.index(item.folders[0]) + 1, split))
    return sources, classes


def voxelize(path: str, up: str) -> np.ndarray:
    """Voxelises one mesh, or resizes one binvox grid; a .npy [30, 30, 30] is taken as it is.

    Args, Raises: see `voxelize_and_judge`.
    Returns:
      bool [30, 30, 30], z up.
    """
    return voxelize_and_judge(path, up)[0]


def voxelize_and_judge(path: str, up: str, fill_open: bool = False) -> Tuple[np.ndarray, str]:
    """Voxelises one shape and says how its filling came out.

    Args:
      path: str; up: 'y' or 'z', vertical axis of the file.
      fill_open: bool, see `filling.solid`.
    Returns:
      (bool [30, 30, 30], z up; one of filling.STATES).
    Raises:
      errors.InputError: the file cannot be read, or is empty.
    """
    if path.lower().endswith('.npy'):
        grid = arrays.read(path)
        if grid.shape != 3 * (data_utils.GRID,):
            raise errors.InputError('{} has the shape {}, not [30, 30, 30].'.format(
                path, list(grid.shape)))
        return grid > 0.5, filling.state_of_grid(grid > 0.5)
    if path.lower().endswith('.binvox'):
        grid = voxel_grids.read_binvox(path)
        if up == 'y':
            grid = np.flip(grid, 2).transpose(0, 2, 1)
        grid = voxel_grids.resized(grid, data_utils.GRID, EXTENT)
        return grid, filling.state_of_grid(grid)
    vertices, triangles = meshes.read_triangles(path)
    solid = filling.solid(voxel_grids.turn_up(vertices, up), triangles, data_utils.GRID, EXTENT,
                          fill_open)
    return solid.grid, solid.state()


def _work(job):
    """Voxelises one file into its part; returns None or what was wrong.

    A part (.npy, uint8 [3376]) is the bits of a grid and the number of its state.
    """
    path, part, up, fill_open = job
    try:
        grid, state = voxelize_and_judge(path, up, fill_open)
    except errors.InputError as error:
        text = str(error)
        return text if path in text else '{}: {}'.format(path, text)
    except (ValueError, MemoryError) as error:
        return '{}: {}'.format(path, error)
    with files.replacing(part) as temporary:    # a full disk is no fault of the shape
        np.save(temporary, np.append(np.packbits(grid.ravel()),
                                     np.uint8(filling.STATES.index(state))))
    return None


def voxelize_all(sources: Sequence[Source], parts: str, up: str, workers: int,
                 fill_open: bool = False
                 ) -> Tuple[Dict[str, np.ndarray], Dict[str, str], List[str]]:
    """Voxelises files in parallel; those that have their part already are not done again.

    Args:
      sources: list of Source; parts: str, folder for the results; up: 'y' or 'z'.
      workers: int, processes; fill_open: bool, see `filling.solid`.
    Returns:
      (dict {path: uint8 [27000]}, dict {path: one of filling.STATES}, list of lines about files
      that cannot be used).
    """
    files.make_folder(parts)
    jobs = []
    for source in sources:
        stat = os.stat(source.path)
        key = 'judged:{}:{}:{}:{}:{}'.format(source.name, up, fill_open, stat.st_size,
                                             stat.st_mtime_ns)
        jobs.append((source.path, os.path.join(
            parts, hashlib.sha1(key.encode()).hexdigest() + '.npy'), up, fill_open))
    todo = [job for job in jobs if not os.path.exists(job[1])]
    if len(todo) < len(jobs):
        cli.say('going on: {} of {} shapes are done already'.format(
            len(jobs) - len(todo), len(jobs)))
    began = time.monotonic()
    problems = [problem for problem in workers_lib.parallel(_work, todo, workers,
                                                            'voxelising shapes') if problem]
    if todo:
        seconds = time.monotonic() - began
        cli.say('{} shapes voxelised in {:.1f} s, {:.4f} s a shape with {} process{}'.format(
            len(todo), seconds, seconds / len(todo), workers, 'es' * (workers > 1)))
    stored = {path: arrays.read(part, 'u', remedy='Remove it, then give the same command again.')
              for path, part, _, _ in jobs if os.path.exists(part)}
    return ({path: np.unpackbits(part[:-1]) for path, part in stored.items()},
            {path: filling.STATES[part[-1]] for path, part in stored.items()}, problems)


def find_images(folder: str, sources: Sequence[Source]) -> Dict[str, List[str]]:
    """Finds the images of shapes.

    Args:
      folder: str; sources: list of Source.
    Returns:
      dict {path of a shape: list of paths of its images}.
    """
    names = {folders.shape_name(source.name): source.path for source in sources}
    names.update((source.name, source.path) for source in sources)
    images: Dict[str, List[str]] = collections.defaultdict(list)
    for path in folders.below(folder, _IMAGES):
        name = os.path.splitext(path)[0].replace(os.sep, '/')
        for end in range(len(name), 0, -1):
            if (end == len(name) or name[end] in '/_') and name[:end] in names:
                images[names[name[:end]]].append(os.path.join(folder, path))
                break
    return images


def read_image(path: str, max_pixels: int = pictures.MAX_PIXELS) -> np.ndarray:
    """Reads an image as RGB uint8 [100, 100, 3]; what is transparent becomes white.

    Raises:
      errors.InputError: the file is no image, or has more than `max_pixels` pixels.
    """
    from PIL import Image  # here, since --help needs none of it
    image = Image.fromarray(pictures.read(path, max_pixels=max_pixels))
    return np.asarray(image.resize((data_utils.IMAGE, data_utils.IMAGE), Image.BICUBIC))


def _with_images(usable, images, problems, max_pixels):
    """Rows (source, image) of shapes that have images."""
    rows = []
    for source in reporting.progress(usable, 'reading images'):
        if source.path not in images:
            problems.append('{} has no image'.format(source.path))
        for path in images.get(source.path, ()):
            try:
                rows.append((source, read_image(path, max_pixels)))
            except errors.InputError as error:
                problems.append(str(error))
    return rows


def _unpacked(path, folder, extensions):
    """The folder of the classes in an archive, which may lie in one folder of the archive's name.

    That one holds no shapes itself, and its folders are no splits.

    Returns:
      (folder, list of lines about files that cannot be used).
    """
    cli.say('unpacking {}'.format(path))
    problems = ['{} of {} is empty'.format(errors.quote(name, 100), path)
                for name in archives.unpack(path, folder, extensions)]
    inner = folders.subfolders(folder)
    if len(inner) == 1:
        below = folders.items(os.path.join(folder, inner[0]), extensions)
        if all(len(item.folders) and not item.is_split_first for item in below):
            folder = os.path.join(folder, inner[0])
    return folder, problems


def _tell_states(usable, states):
    """Counts how the shapes came out, and names those that are not solid."""
    names = {state: [source.name for source in usable if states[source.path] == state]
             for state in filling.STATES}
    for state, meaning in filling.MEANINGS.items():
        if names[state]:
            cli.say('{}: {} of {} shapes ({}): {}'.format(
                state, len(names[state]), len(usable), meaning, errors.listed(names[state])))
    if names[filling.HOLLOW] or names[filling.STREAKED]:
        cli.say('note: --fill_open fills what rays find inside of these')
    cli.say('filling of {} shapes: {}'.format(len(usable), ', '.join(
        '{} {}'.format(len(names[state]), state) for state in filling.STATES)))


def _convert(options):
    """Splits, class names, problems of a folder of shapes, and (usable sources, their states)."""
    folder = options.meshes or options.binvox
    extensions = meshes.READABLE if options.meshes else ('.binvox',)
    empty = []
    if options.meshes.lower().endswith('.zip') and os.path.isfile(options.meshes):
        folder, empty = _unpacked(
            options.meshes, os.path.join(options.output + '.parts', 'unpacked'), extensions)
    sources, names = find_sources(folder, extensions, options.test_fraction, options.seed)
    images = find_images(options.images, sources) if options.images else None
    cli.say('{} shapes of {} classes in {}'.format(len(sources), len(names), folder))
    grids, states, problems = voxelize_all(sources, options.output + '.parts', options.up,
                                           options.workers, options.fill_open)
    problems = empty + problems
    usable = [source for source in sources if source.path in grids]
    rows = ([(source, None) for source in usable] if images is None
            else _with_images(usable, images, problems, options.max_pixels))
    splits = {}
    for split in ('train', 'test'):
        chosen = [row for row in rows if row[0].split == split]
        if not chosen:
            raise errors.InputError('{}: no shape that can be used is for {}. {}'.format(
                folder, split, problems[0] if problems else 'Change --test_fraction.'))
        splits[split] = data_utils.Split(
            np.array([grids[source.path] for source, _ in chosen], np.uint8),
            np.array([source.label for source, _ in chosen], np.int32),
            None if images is None else np.array([image for _, image in chosen]))
    return splits, names, problems, (usable, states)


def make(options: argparse.Namespace) -> None:
    """Makes the set and says what is in it."""
    if not options.output.endswith('.mat'):
        raise errors.UsageError('--output must end in .mat, not {}.'.format(options.output))
    if options.furniture and options.images:
        raise errors.UsageError('--furniture has no images; leave --images out.')
    if options.fill_open and not options.meshes:
        raise errors.UsageError('--fill_open is for --meshes: only a mesh has a surface that rays '
                                'cross.')
    problems, judged = [], None
    if options.furniture:
        splits, names = make_furniture(options.seed, options.num_train, options.num_test,
                                       options.generator, options.workers)
        source = 'procedural furniture, version {}, seed {}'.format(options.generator, options.seed)
    else:
        splits, names, problems, judged = _convert(options)
        source = os.path.basename(os.path.abspath(options.meshes or options.binvox))
    data_utils.write(options.output, splits, names, {'axes': _AXES, 'source': source})
    shutil.rmtree(options.output + '.parts', ignore_errors=True)
    for problem in problems[:_MOST_TOLD]:
        cli.say('left out: {}'.format(problem))
    if len(problems) > _MOST_TOLD:
        cli.say('left out: {} more'.format(len(problems) - _MOST_TOLD))
    if judged:
        _tell_states(*judged)
    cli.say('{}: {} shapes for training, {} for testing, {} classes; {} left out'.format(
        options.output, len(splits['train'].labels), len(splits['test'].labels), len(names),
        len(problems)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(make, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

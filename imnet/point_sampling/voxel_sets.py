"""Samples points of all shapes of categories, in parallel; what is done already is kept."""
import os
import shutil
from typing import Dict, List, Optional, Tuple

import numpy as np

from common import cli, errors, files
from common.readers import arrays, folders, text
from common.training import workers as workers_lib
from imnet.point_sampling import sampler, solids, tables

_BROKEN = ('4a32519f44dc84aabafe26e2eb69ebf4',)     # of HSP's rifles, as the author notes


# Of several files of a shape of ShapeNet: the solid grid, the mesh, the grid of its surface.
_PREFERRED = ('.solid.binvox', '.obj', '.ply', '.off', '.stl', '.glb', '.gltf', '.mat', '.npz',
              '.surface.binvox', '.binvox')


def categories(options: cli.Options) -> List[Tuple[str, str, Dict[str, str]]]:
    """Finds the categories below --input: (name, folder, {shape: path of its file}) each.

    A category is the folder itself or one in it. Its shapes are files, or as in ShapeNet folders:
    <shape>/model.obj (v1), <shape>/models/model_normalized.obj or .solid.binvox (v2).
    """
    if not os.path.isdir(options.input):
        raise errors.InputError('{} is no folder. Give --input=FOLDER with .mat, .obj, .off, .ply, '
                                '.stl, .glb, .binvox or .npz files.'.format(options.input))
    root = os.path.normpath(options.input)
    splits = {folders.split_of(name): name for name in folders.subfolders(root)}
    if {'train', 'test'} <= set(splits):
        raise errors.InputError('{} holds {}/ and {}/, and gather_all.py splits the shapes of '
                                'a category by itself. Give one of them: --input={}'.format(
                                    root, splits['train'], splits['test'],
                                    os.path.join(root, splits['train'])))
    result = [(options.category or os.path.basename(os.path.abspath(place)), place, shapes)
              for place, shapes in _shapes_by_folder(root)]
    if not result:
        raise errors.InputError('{} and its folders hold no .mat, .obj, .off, .ply, .stl, .glb, '
                                '.binvox or .npz file.'.format(options.input))
    if options.category and len(result) > 1:
        raise errors.UsageError('--category={} names one category, but {} holds {}: {}. Leave it '
                                'out, or give --input of one folder.'.format(
                                    options.category, options.input, len(result),
                                    errors.listed(place for _, place, _ in result)))
    return result


def _shapes_by_folder(root):
    """Lists (folder of a category, {shape: path}) for a folder and those in it."""
    paths = [path.replace(os.sep, '/') for path in folders.below(root, solids.READABLE)]
    stems = {path: os.path.splitext(path)[0] for path in paths}
    # A folder of a shape holds nothing but the shape; in another, a file may be called model.obj.
    mixed = {os.path.dirname(path) for path, stem in stems.items()
             if folders.shape_name(stem) == stem}
    shapes_of: Dict[str, Dict[str, List[str]]] = {}
    deeper = []
    for path, stem in stems.items():
        name = stem if os.path.dirname(path) in mixed else folders.shape_name(stem)
        category, shape = os.path.split(name)
        if '/' in category:
            deeper.append(path)
        elif shape not in _BROKEN:
            shapes_of.setdefault(category, {}).setdefault(shape, []).append(path)
    if deeper:
        cli.say('left out: {} files more than one folder deep, such as {}'.format(
            len(deeper), deeper[0]))
    return [(os.path.join(root, category) if category else root,
             {shape: os.path.join(root, _only(root, shape, files_, category))
              for shape, files_ in sorted(shapes.items())})
            for category, shapes in sorted(shapes_of.items())]


def _only(root, shape, paths, category):
    """The file of a shape; of ShapeNet's several the preferred one, others are refused."""
    if len(paths) > 1 and category in map(os.path.dirname, paths):
        raise errors.InputError('{} has several files of one shape: {}. Keep one of each, or give '
                                'them different names.'.format(
                                    os.path.join(root, category),
                                    errors.listed(map(os.path.basename, paths))))
    best = min(paths, key=lambda path: next(place for place, ending in enumerate(_PREFERRED)
                                            if path.lower().endswith(ending)))
    if len(paths) > 1:
        cli.say('{}: {} is taken, of {}'.format(shape, os.path.basename(best), ', '.join(
            map(os.path.basename, paths))))
    return best


def sample_file(path: str, part: str, seed: int, up: str, allow_open: bool,
                name: str = '') -> Optional[str]:
    """Samples one shape and writes the result to a file of its own.

    Args:
      path: of the shape; part: the .npz file to write; seed: of the draws.
      up, allow_open: see solids.read; name: of the shape, '' is that of the file.
    Returns:
      None, or why the shape cannot be used.
    """
    name = name or os.path.splitext(os.path.basename(path))[0]
    try:
        sets = sampler.point_sets(solids.read(path, up, allow_open),
                                  sampler.Draws.of_shape(seed, name))
    except errors.InputError as error:
        return '{}: {}'.format(name, error)
    with files.replacing(part) as temporary:
        np.savez_compressed(temporary, exceeded=np.array(sets.exceeded), **tables.arrays_of(sets))
    return None


def gather(options: cli.Options) -> None:
    """Samples all categories."""
    for name, folder, paths in categories(options):
        _category(name, folder, paths, options)


def _category(name, folder, paths, options):
    target = os.path.join(options.output, name, '{}_vox256.hdf5'.format(name[:8]))
    record_path = os.path.join(options.output, name, 'sampling.json')
    record = {'seed': options.seed, 'up': options.up, 'allow_open': options.allow_open}
    if os.path.exists(target):
        before = _recorded(record_path, record)
        if before != record:
            raise errors.InputError('{} was sampled with {}, not {}. Remove it, or give another '
                                    '--output.'.format(target, *(' '.join(
                                        '--{}={}'.format(*item) for item in sorted(values.items()))
                                        for values in (before, record))))
        cli.say('{}: done already, {}'.format(name, target))
        return
    # Parts of other seeds or axes are not these.
    parts = os.path.join(options.output, name, 'parts_{}_{}{}'.format(
        options.seed, options.up, '_open' if options.allow_open else ''))
    files.make_folder(parts)
    todo = [shape for shape in paths if not os.path.exists(_part(parts, shape))]
    cli.say('{}: {} shapes in {}, {} sampled already'.format(
        name, len(paths), folder, len(paths) - len(todo)))
    refused = _sample_all(todo, paths, parts, options)
    for line in refused:
        cli.say('left out: {}'.format(line))
    names = [shape for shape in sorted(paths) if os.path.exists(_part(parts, shape))]
    if not names:
        raise errors.InputError('{}: no shape can be used. The first: {}'.format(name, refused[0]))
    files.write_json(record_path, record)
    _join(target, names, parts)
    shutil.rmtree(parts)
    cli.say('{}: {} shapes in {}'.format(name, len(names), target))


def _recorded(path, default):
    """Options that a category was sampled with; those of today where there is no record."""
    if not os.path.exists(path):
        return default
    record = text.read_json(path)
    if not isinstance(record, dict):
        raise errors.InputError('{} holds no options. Remove it, or give another --output.'.format(
            path))
    return record


def _part(parts, shape):
    return os.path.join(parts, shape + '.npz')


def _sample_job(job):
    return sample_file(*job)


def _sample_all(todo, paths, parts, options):
    """Samples shapes in parallel; returns why some cannot be used."""
    refused = []
    jobs = [(paths[shape], _part(parts, shape), options.seed, options.up, options.allow_open,
             shape) for shape in todo]
    for problem in workers_lib.parallel(_sample_job, jobs, options.workers
                                        or workers_lib.num_cpus(), 'sampling shapes'):
        if problem and options.strict:
            raise errors.InputError(problem)
        refused += [problem] * bool(problem)
    return sorted(refused)


def _join(target, names, parts):
    """Writes the parts into one file, the names and the statistics beside it."""
    exceeded = []

    def rows():
        for shape in names:
            content = arrays.read_archive(_part(parts, shape), remedy='Remove it, then give the '
                                          'same command again.')
            exceeded.append(content['exceeded'])
            yield {key: content[key] for key in tables.VOXEL_KEYS}

    tables.write_rows(target, rows(), len(names))
    tables.write_names(target, names)
    total, (full_32, full_64) = len(names), np.sum(exceeded, axis=0)
    files.write_text(os.path.join(os.path.dirname(target), 'statistics.txt'),
                     'total: {}\nexceed_32: {}\nratio_32: {:.6f}\nexceed_64: {}\nratio_64: {:.6f}\n'
                     .format(total, full_32, full_32 / total, full_64, full_64 / total))

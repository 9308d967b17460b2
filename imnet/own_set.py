"""Meshes of one's own: a set of them with rendered views, and a training fitted to their number."""
import math
import os
import shutil
import zlib
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from common import cli, errors, files
from common.readers import arrays, folders
from common.training import workers
from imnet import data_utils, furniture_set
from imnet.point_sampling import sampler, solids, tables

STEM = 'own_vox256_img'
_ENDINGS = tuple(ending for ending in solids.READABLE if ending not in ('.mat', '.npz'))
# Steps of the autoencoder at 16^3, 32^3 and 64^3 and of IM-SVR, from nothing and from the weights
# that ship; each is rounded up to whole epochs.
_STEPS = {False: (2400, 800, 100, 1200), True: (800, 400, 100, 600)}
_LEAST_EPOCHS = 2


def write(options: cli.Options) -> None:
    """Writes the files of both splits from a folder of meshes; prints what was left out.

    Args:
      options: of make_dataset.py; meshes in <class>/, <class>/train/ or <class>/test/.
    Raises:
      errors.InputError: no mesh can be used, or none is left for a split.
    """
    parts = os.path.join(options.output, 'parts_{}{}'.format(
        options.up, '_open' if options.allow_open else ''))
    sources = _sources(options)
    jobs = [(path, os.path.join(parts, '{}.npz'.format(number)), name, options.seed, options.up,
             options.allow_open) for number, (_, name, path) in enumerate(sources)]
    count = options.workers or workers.num_cpus()
    problems = list(workers.parallel(_sample, jobs, count, 'sampling shapes'))
    for (_, name, _), problem in zip(sources, problems):
        if problem:
            cli.say('left out {}: {}'.format(name, problem))
    usable = [(split, name, job[1]) for (split, name, _), job, problem in zip(
        sources, jobs, problems) if not problem]
    if len(usable) < 2:
        raise errors.InputError('--meshes {}: {} of {} shapes can be used, two are needed.'.format(
            options.meshes, len(usable), len(sources)))
    for split, rows in _parted(usable).items():
        path = os.path.join(options.output, '{}_{}.hdf5'.format(STEM, split))
        tables.write_rows(path, map(_read, (part for _, part in rows)), len(rows), 'gzip')
        tables.write_names(path, [name for name, _ in rows])
        cli.say('{} shapes in {}'.format(len(rows), path))
    shutil.rmtree(parts)


def _sources(options) -> List[Tuple[str, str, str]]:
    """(split or '', <class>/<name>, path) of the meshes and grids of a folder."""
    found = folders.items(options.meshes, _ENDINGS) if os.path.isdir(options.meshes) else []
    if not found:
        raise errors.InputError('--meshes {}: no folder with {} files.'.format(
            options.meshes, ' '.join(_ENDINGS)))
    rows = []
    for item in found:
        stem = os.path.splitext(os.path.basename(item.path))[0]
        name = folders.shape_name('/'.join([*item.folders, stem]))
        rows.append((item.split, name if '/' in name else 'all/' + name,
                     os.path.join(options.meshes, item.path)))
    return rows


def _sample(job: Tuple) -> Optional[str]:
    """Writes points and views of one shape into its part; returns None or why it is left out."""
    path, part, name, seed, up, allow_open = job
    if os.path.exists(part):
        return None
    try:
        grid = solids.read(path, up, allow_open)
        sets = sampler.point_sets(grid, sampler.Draws.of_shape(seed, name))
        views = furniture_set.render_views(grid)
    except (errors.InputError, ValueError, MemoryError) as error:
        return str(error)
    with files.replacing(part) as temporary:
        np.savez_compressed(temporary, pixels=views, **tables.arrays_of(sets))
    return None


def _read(part: str) -> Dict[str, np.ndarray]:
    return arrays.read_archive(part, remedy='Remove it, then give the same command again.')


def _parted(usable):
    """{split: [(name, part)]}: as the folders say, else about a fifth for testing, one at least."""
    told: Dict[str, List[Any]] = {'train': [], 'test': []}
    for split, name, part in usable:
        told['test' if split in ('test', 'val') else 'train'].append((name, part))
    if not told['test']:
        order = sorted(told['train'], key=lambda row: zlib.crc32(row[0].encode()))
        count = max(1, len(order) // 5)
        told = {'train': sorted(order[count:]), 'test': sorted(order[:count])}
    if not told['train']:
        raise errors.InputError('all shapes that can be used are in folders for testing.')
    return told


def fitted(options: cli.Options) -> cli.Options:
    """Chooses the epochs of --preset=own by the number of shapes; what was chosen is printed.

    Args:
      options: of `options.complete`, with the data; epochs that are None are chosen.
    """
    data = data_utils.Set(data_utils.find(options.data_path, options.dataset, 'train'))
    count, steps = len(data), _STEPS[bool(options.pretrained)]
    per_epoch = max(1, count // min(options.shapes_per_step, count))
    ends = np.cumsum([max(_LEAST_EPOCHS, math.ceil(number / per_epoch)) for number in steps[:3]])
    batch = min(options.svr_batch_size, count)
    values = {'epochs': ends.tolist(), 'svr_batch_size': batch,
              'svr_epochs': max(_LEAST_EPOCHS, math.ceil(steps[3] / max(1, count // batch)))}
    values = {name: value for name, value in values.items()
              if vars(options)[name] is None or name == 'svr_batch_size'}
    cli.say('own set: {} shapes for training; {}{}'.format(count, ' '.join(
        '--{} {}'.format(name, ' '.join(map(str, np.atleast_1d(value))))
        for name, value in values.items()),
        ', from the weights that ship' if options.pretrained else ''))
    return options.replace(**values)

"""Sets of held-out shapes and what a network with weights that ship makes of them, model by model.

Each `measure_<model>` makes two sets, of the seeds 900000 and 900001, runs the model's own scripts
on them and returns {seed: {figure: value}} with the answers that need no network beside.
"""
import argparse
import csv
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from common import cli, collection, errors
from common.geometry import generator
from common.training import pretrained, recipes, workers

SEEDS = (0, 1)          # the sets are of generator.HELD_OUT and the number behind it
SHAPES = 10             # of each class in a set
IMNET_SHAPES = 2        # likewise, of IM-NET
SAMPLES = 64            # meshes that PolyGen draws for a set
BODIES = 200            # pictures of a set of CMR
_LEVELS = (0.2, 0.3, 0.4, 0.5)
_COPIES = re.compile(r'exact copies of (\d+) of')

Figures = Dict[str, Dict[str, float]]


class Job(NamedTuple):
    """What is measured.

    Attributes:
      weights: str, folder that common.pretrained wrote; work: str, folder for sets and results.
      quick: bool, one set with a shape of each class and few samples, to try the command.
    """

    weights: str
    work: str
    quick: bool = False

    def count(self, full: int) -> int:
        """Returns how many of a set of `full` are taken."""
        return 1 if self.quick else full

    def seeds(self) -> Sequence[int]:
        """Returns the seeds of the sets."""
        return SEEDS[:1] if self.quick else SEEDS

    def path(self, *names: str) -> str:
        """Returns a path in the working folder."""
        return os.path.join(self.work, *names)


def words_of(command: str) -> Tuple[str, List[str]]:
    """Parts a command of a recipe into (script, arguments); an interpreter before it goes."""
    words = shlex.split(command)
    for place, word in enumerate(words):
        if word.endswith('.py'):
            return word, words[place + 1:]
    raise errors.InputError('the recipe has no script in its command "{}".'.format(command))


def run(script: str, *arguments: Any, log: str) -> str:
    """Runs a script of the project; returns what it printed.

    Raises:
      errors.InputError: it failed.
    """
    command = [sys.executable, os.path.join(collection.ROOT, script), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'), universal_newlines=True)
    with open(log, 'a', encoding='utf-8') as stream:
        stream.write('{}\n{}{}\n'.format(' '.join(command), done.stdout, done.stderr))
    if done.returncode:
        raise errors.InputError('{} failed with {}: {} ({})'.format(
            script, done.returncode, (done.stderr.strip().splitlines() or ['no message'])[-1], log))
    return done.stdout


def data_options(job: Job) -> argparse.Namespace:
    """Returns the options of the command that made the training set."""
    script, arguments = words_of(recipes.read(job.weights)['data'])
    module = os.path.splitext(script)[0].replace('/', '.')
    try:
        return importlib.import_module(module).parse_args(arguments)
    except ImportError as error:
        raise errors.InputError('{}: the recipe names no script of the project: {}.'.format(
            script, error)) from None


def _seed_name(seed):
    return str(generator.held_out_seed(seed))


def _json(*path):
    with open(os.path.join(*path), encoding='utf-8') as stream:
        return json.load(stream)


def _grid(task: Tuple) -> np.ndarray:
    name, seed, number, side, extent = task
    return np.packbits(generator.voxels(name, [seed, number], side, extent, 2))


def _packed(seed: int, numbers: Sequence[int], make: Callable, *rest: Any,
            classes: Sequence[str] = generator.CLASSES) -> np.ndarray:
    """Grids of the shapes of classes, as bits: uint8 [N, cells / 8]."""
    tasks = [(name, seed, number) + rest for name in classes for number in numbers]
    return np.stack(list(workers.parallel(make, tasks, workers.num_cpus(), 'making shapes')))


def _overlap(grids, other):
    """IoU of each grid [N, bytes] with another one [bytes]."""
    bits = np.array([bin(number).count('1') for number in range(256)], np.int64)
    return bits[grids & other].sum(axis=1) / np.maximum(1, bits[grids | other].sum(axis=1))


def baselines(train: np.ndarray, test: np.ndarray) -> Dict[str, float]:
    """Measures the mean training shape (cut where it does best on them) and the nearest one.

    Args:
      train, test: uint8 [N, cells / 8] and [M, cells / 8], bits of grids.
    Returns:
      dict of mean IoUs over the test shapes.
    """
    mean = sum(np.unpackbits(grid).astype(np.float64) for grid in train) / len(train)
    shapes = [np.packbits(mean >= level) for level in _LEVELS]
    best = max(shapes, key=lambda shape: _overlap(train, shape).mean())
    return {'IoU of the mean training shape': float(_overlap(test, best).mean()),
            'IoU of the nearest training shape': float(
                np.mean([_overlap(train, grid).max() for grid in test]))}


def measure_vsl(job: Job) -> Figures:
    """Measures VSL: IoU of reconstructions, accuracy of a classifier of the codes."""
    from vsl import data_utils, make_dataset  # here, as the others: each model alone
    made, figures = data_options(job), {}
    splits, names = make_dataset.make_furniture(made.seed, made.num_train, 1, made.generator,
                                                workers.num_cpus())
    for seed in job.seeds():
        held_out, _ = make_dataset.make_furniture(seed, 1, job.count(SHAPES), made.generator,
                                                  workers.num_cpus())
        path, output = job.path('set-{}.mat'.format(seed)), job.path('eval-{}'.format(seed))
        data_utils.write(path, dict(splits, test=held_out['test']), names, {
            'axes': make_dataset._AXES, 'source': 'held-out furniture'})
        run('vsl/vsl_main.py', '--data_path=' + path, '--checkpoint=' + job.weights,
            '--stages=classify,reconstruct', '--output_path=' + output, log=job.path('log.txt'))
        scores = _json(output, 'eval', 'reconstruct.json')
        classes = _json(output, 'eval', 'classify.json')
        figures[_seed_name(seed)] = dict(
            {'IoU': scores['test_iou'], 'accuracy': classes['test_accuracy'],
             'accuracy of a linear classifier': classes['linear_test_accuracy']},
            **baselines(np.packbits(splits['train'].voxels, axis=1),
                        np.packbits(held_out['test'].voxels, axis=1)))
    return figures


def measure_r2n2(job: Job) -> Figures:
    """Measures 3D-R2N2: IoU with one to five views."""
    from r2n2.tools import make_dataset
    made, figures = data_options(job), {}
    side = make_dataset.GRID
    train = _packed(made.seed, range(made.models), _grid, side, side)
    for seed in job.seeds():
        data, output = job.path('set-{}'.format(seed)), job.path('eval-{}'.format(seed))
        count = job.count(SHAPES)
        run('r2n2/tools/make_dataset.py', '--furniture', '--generator=2', '--models', count,
            '--views=5', '--held_out', '--seed', seed, '--output', data, log=job.path('log.txt'))
        run('r2n2/main.py', '--test', '--views=5', '--data_path', data, '--checkpoint', job.weights,
            '--output_path', output, '--set', 'TEST.DATASET_PORTION', '[0, 1]',
            'TRAIN.NUM_RENDERING', 5, log=job.path('log.txt'))
        (folder,) = os.listdir(os.path.join(output, 'eval'))
        scores = _json(output, 'eval', folder, 'result.json')['iou_by_views']
        test = _packed(generator.held_out_seed(seed), range(count), _grid, side, side)
        figures[_seed_name(seed)] = dict(
            {'IoU with {} view{}'.format(views, 's' * (views != '1')): value
             for views, value in scores.items()}, **baselines(train, test))
    return figures


def _imnet_grid(task: Tuple) -> np.ndarray:
    from imnet import furniture_set
    from imnet.point_sampling import sampler
    name, seed, number = task
    return np.packbits(sampler.pooled(furniture_set.solid(name, [seed, number], 2), 64) > 0)


def measure_imnet(job: Job) -> Figures:
    """Measures IM-NET: IoU, Chamfer distance and normals, from voxels and from one picture."""
    from imnet import furniture_set
    made, figures = data_options(job), {}
    stored = job.path('training_grids.npz')
    if not os.path.exists(stored):
        np.savez_compressed(stored, grids=_packed(made.seed, range(made.shapes), _imnet_grid,
                                                    classes=made.classes))
    with np.load(stored) as arrays:
        train = arrays['grids']
    trained = pretrained.sizes(job.weights, ['leaky_clip'], 'ae')
    for seed in job.seeds():
        data, output = job.path('set-{}'.format(seed)), job.path('eval-{}'.format(seed))
        own, numbers = generator.held_out_seed(seed), range(job.count(IMNET_SHAPES))
        if not os.path.exists(os.path.join(data, furniture_set.STEM + '_test.txt')):
            furniture_set.write_split(data, 'test', made.classes, numbers, own, 2)
        figures[_seed_name(seed)] = {}
        for kind, title in (('ae', ''), ('svr', ' from one picture')):
            run('imnet/evaluate.py', '--data_path', data, '--kind', kind, '--split=test',
                '--nobaseline', '--pictures=0', '--extraction=octree',
                '--checkpoint_dir', os.path.join(job.weights, 'checkpoints'),
                '--output_path', output, *['--leaky_clip'] * bool(trained.get('leaky_clip')),
                log=job.path('log.txt'))
            with open(os.path.join(output, 'eval', kind + '_test.csv'), encoding='utf-8') as table:
                rows = list(csv.DictReader(table))
            figures[_seed_name(seed)]['share of fields without a surface' + title] = float(
                np.mean([not np.isfinite(float(row['chamfer'])) for row in rows]))
            for name, column in (('IoU', 'iou'), ('Chamfer distance x 1000', 'chamfer'),
                                 ('normal consistency', 'normals')):
                values = np.array([float(row[column]) for row in rows])
                values = values[np.isfinite(values)]    # a field without a surface has no distance
                if len(values):
                    figures[_seed_name(seed)][name + title] = float(values.mean())
        figures[_seed_name(seed)].update(baselines(train, _packed(
            own, numbers, _imnet_grid, classes=made.classes)))
    return figures


def measure_polygen(job: Job) -> Figures:
    """Measures PolyGen: bits per vertex, shares of complete and valid samples, copies."""
    made, figures, log = data_options(job), {}, job.path('log.txt')
    if pretrained.sizes(job.weights, ['condition'])['condition'] == 'image':
        return _measure_pictures(job, made)
    small = ['--furniture', '--views=1', '--image_size=8', '--voxels=8']
    train, count = job.path('train'), job.count(SHAPES)
    run('polygen/make_dataset.py', *small, '--models', made.models, '--test_models=1',
        '--seed', made.seed, '--output', train, log=log)
    for seed in job.seeds():
        data = job.path('set-{}'.format(seed))
        run('polygen/make_dataset.py', *small, '--models=1', '--test_models', count,
            '--seed', seed, '--output', data, log=log)
        row = figures[_seed_name(seed)] = {}
        for kind, own in (('', []), (' with --valid_only', ['--valid_only'])):
            output = job.path('eval-{}{}'.format(seed, '-valid' if own else ''))
            run('polygen/evaluate.py', '--checkpoint', job.weights, '--data_path', data,
                '--train_path', train, '--num_samples', 4 if job.quick else SAMPLES,
                '--seed', seed, '--output_path', output, *own, log=log)
            results = _json(output, 'eval', 'evaluation.json')
            row['share of complete and valid samples' + kind] = results['samples']['valid']
        row.update(_bits(results['figures'], results['checkpoint']))
        told = run('polygen/sample.py', '--checkpoint', job.weights, '--num_samples',
                   4 if job.quick else 24, '--seed', seed, '--compare_to', train,
                   '--output_path', job.path('samples-{}'.format(seed)), log=log)
        row['training meshes copied by 24 samples'] = int(_COPIES.findall(told)[-1])
    return figures


def _measure_pictures(job, made):
    """Measures a PolyGen that is told a picture: bits, how near the samples come, their share."""
    figures, log = {}, job.path('log.txt')
    pictures = ['--furniture', '--views', made.views, '--image_size', made.image_size]
    train = job.path('train')
    run('polygen/make_dataset.py', *pictures, '--models', job.count(made.models),
        '--test_models=1', '--seed', made.seed, '--output', train, log=log)
    for seed in job.seeds():
        data, output = job.path('set-{}'.format(seed)), job.path('eval-{}'.format(seed))
        run('polygen/make_dataset.py', *pictures, '--models=1', '--test_models', job.count(SHAPES),
            '--seed', seed, '--output', data, log=log)
        run('polygen/evaluate.py', '--checkpoint', job.weights, '--data_path', data,
            '--train_path', train, '--top_p=0.9', '--valid_only', '--output_path', output,
            *['--reconstructions=2', '--candidates=2'] * job.quick, log=log)
        results = _json(output, 'eval', 'evaluation.json')
        shares = results['reconstructions'].pop('samples')
        figures[_seed_name(seed)] = dict(
            {'chamfer distance in diagonals, ' + name: row['chamfer']
             for name, row in results['reconstructions'].items()},
            **_bits(results['figures'], results['checkpoint']),
            **{'share of complete and valid samples with --valid_only': shares['valid']})
    return figures


def _bits(rows, checkpoint):
    titles = {checkpoint: '', 'uniform': ', uniform distribution',
              'token frequencies': ', token frequencies'}
    return {'bits per vertex, {}{}'.format(part, title): rows[name]['bits_' + part]
            for name, title in titles.items() for part in ('vertices', 'faces')}


def measure_cmr(job: Job) -> Figures:
    """Measures CMR: shape error and errors of the joints in millimetres."""
    made, figures, log = data_options(job), {}, job.path('log.txt')
    for seed in job.seeds():
        data, output = job.path('set-{}'.format(seed)), job.path('eval-{}'.format(seed))
        run('cmr/make_dataset.py', '--num_train=1', '--num_test',
            4 if job.quick else BODIES, '--size', made.size, '--seed',
            generator.held_out_seed(seed), '--output', data, log=log)
        _write_training_poses(data, made)
        run('cmr/eval.py', '--data_path', data, '--dataset=up-3d', '--checkpoint', job.weights,
            '--baseline', '--output_path', output, log=log)
        figures[_seed_name(seed)] = {
            name.replace('NonParam', 'graph network').replace('Param', 'SMPL parameters')
            + ', mm': value
            for name, value in _json(output, 'eval', 'up-3d.json')['figures'].items()}
    return figures


def _write_training_poses(folder, made):
    """Puts poses and shapes of a training set, whose pictures the mean needs not, into a set."""
    from cmr.src import config as config_lib
    from cmr.src.dataset import posed_bodies
    from cmr.src.models import smpl
    count, rng = made.num_train + made.num_test, np.random.RandomState([made.seed, 0])
    poses = np.stack([posed_bodies.draw_pose(rng) for _ in range(count)]).astype(np.float32)
    betas = np.clip(rng.randn(count, smpl.NUM_BETAS), -2, 2).astype(np.float32)
    path = os.path.join(folder, config_lib.EXTRAS, config_lib.TRAIN_FILES['up-3d'])
    with np.load(path) as stored:
        arrays = {name: stored[name].repeat(made.num_train, axis=0) for name in stored.files}
    np.savez_compressed(path, **dict(arrays, pose=poses[:made.num_train],
                                     shape=betas[:made.num_train]))


def measure(model: str, job: Job) -> Figures:
    """Measures a model; see `measure_<model>`."""
    os.makedirs(job.work, exist_ok=True)
    cli.say('{}: making two sets of held-out shapes and measuring in {}'.format(model, job.work))
    return globals()['measure_' + model](job)

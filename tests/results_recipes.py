"""How each model's table of real shapes comes about: stages of commands, and where figures lie.

In arguments {data} is the folder of the set that is measured, {run} the output folder of the seed,
{seed} the seed, {work} a folder that the seeds share, and {clean:SET} a training set of another
folder of the shared data, without the rows that splits.csv bars.
"""
import csv
import json
import os
from typing import Any, Dict, NamedTuple, Sequence, Tuple

import numpy as np

from common import errors

DATA, TRAIN, MEASURE = 'data', 'train', 'measure'
_KINDS = {'ae': 'autoencoder', 'svr': 'one picture'}


class Stage(NamedTuple):
    """A command.

    Attributes:
      name: str; kind: DATA (once for all seeds), TRAIN or MEASURE.
      script: str, from the root of the project.
      arguments: str, with places in braces; length: str, how long it trains, what --steps replaces.
      quick: str, arguments that --quick adds.
    """

    name: str
    kind: str
    script: str
    arguments: str
    length: str = ''
    quick: str = ''


class Recipe(NamedTuple):
    """A table.

    Attributes:
      measured_on: str, folder of the shared data; '': made by the first stage in {work}.
      hours: float, of a seed, one thread; told: str, where that is from.
      stages: the commands, in their order.
    """

    measured_on: str
    hours: float
    told: str
    stages: Tuple[Stage, ...]


_VSL = ('--data_path={data} --preset=modelnet40-paper --batch_size=50 --learning_rate=5e-4 '
        '--seed={seed} --device=cpu --threads=1 --save_every=100 --print_step=0 --stages=train ')
_VSL_FIXED = '--schedule=cosine --augment_mirror=xy --merge_first_code '
_IMNET = ('--data_path={data} --output_path={run} --seed={seed} --device=cpu --threads=1 ')
_IMNET_AE = ('--ae --train --pretrained --leaky_clip --loss=cross_entropy --beta1=0.9 '
             '--shapes_per_step=8 --points_per_step=512 --augment_scale=0.2 --augment_mirror=x '
             '--schedule=cosine --learning_rate=1e-3 --checkpoint_every=50 ')
_R2N2_SIZES = ('--set NET.N_CONVFILTER "[16,24,32,48,64,64]" NET.N_FC_FILTERS "[256]" '
               'NET.N_DECONVFILTER "[48,48,32,16,8,2]" TRAIN.DEFAULT_LEARNING_RATE 5.0e-4 '
               'TRAIN.LEARNING_RATES "{{\'500\': 1.0e-4}}"')
_CMR = ('--data_path={work}/bodies --dataset=up-3d --pretrained --img_res=112 --augmentation '
        '--rot_factor=8 --scale_factor=0.1 --noise_factor=0.2 --schedule=cosine '
        '--learning_rate=3e-4 --num_workers=1 --seed={seed} --device=cpu --threads=1 '
        '--save_every=500 --report_every=100 --evaluate --eval_every=1000 --output_path={run} ')
_POLYGEN = ('--data_path={data} --seed={seed} --preset=small --condition=class '
            '--class_dropout=0.25 --axis_scaling --schedule=cosine --warmup_steps=100 --nosample '
            '--save_every=100 --report_every=50 --device=cpu --threads=1 ')
_POLYGEN_FIGURES = ('--data_path={data} --train_path={data} --seed={seed} --top_p=0.9 '
                    '--device=cpu --threads=1 ')
RECIPES: Dict[str, Recipe] = {
    'vsl': Recipe('bricks', 1.1, 'reckoned from steps of 2026-11-30', (
        Stage('one', TRAIN, 'vsl/vsl_main.py', _VSL + '--output_path={run}/one',
              '--total_epoch=100'),
        Stage('two', TRAIN, 'vsl/vsl_main.py', _VSL + _VSL_FIXED
              + '--checkpoint={run}/one --output_path={run}/two', '--total_epoch=75'),
        Stage('three', TRAIN, 'vsl/vsl_main.py', _VSL + _VSL_FIXED + '--decode_samples '
              '--kl_weight=3e-4 --checkpoint={run}/two --output_path={run}', '--total_epoch=50'),
        Stage('figures', MEASURE, 'vsl/vsl_main.py', '--data_path={data} --output_path={run} '
              '--stages=classify,reconstruct --search_svm --baselines --device=cpu',
              quick='--nosearch_svm --nobaselines'))),
    'imnet': Recipe('implicit', 0.65, 'measured on 2026-11-30 beside other work', (
        Stage('64', TRAIN, 'imnet/IMGAN/main.py', _IMNET + _IMNET_AE
              + '--real_size=64 --batch_size_input=16384', '--epoch=250'),
        Stage('codes', MEASURE, 'imnet/IMGAN/main.py', _IMNET + '--ae'),
        Stage('pictures', TRAIN, 'imnet/IMSVR/main.py', _IMNET + '--train --pretrained '
              '--batch_size=16 --learning_rate=1e-3 --beta1=0.9 --checkpoint_every=50',
              '--epoch=200'),
        Stage('figures', MEASURE, 'imnet/evaluate.py', _IMNET + '--split=test --kind=ae '
              '--extraction=octree --resolution=128 --pictures=10', quick='--resolution=64'),
        Stage('figures of pictures', MEASURE, 'imnet/evaluate.py', _IMNET + '--split=test '
              '--kind=svr --extraction=octree --resolution=128 --pictures=10',
              quick='--resolution=64'))),
    'r2n2': Recipe('multiview', 0.2, 'measured on 2026-11-30 beside other work', (
        Stage('train', TRAIN, 'r2n2/main.py', '--data_path={data} --output_path={run} '
              '--seed={seed} --pretrained --cfg=r2n2/experiments/cfgs/quick.yaml --n_views=5 '
              '--batch_size=8 --device=cpu --threads=1 --save_every=100 ' + _R2N2_SIZES,
              '--training_steps=700'),
        Stage('figures', MEASURE, 'r2n2/main.py', '--data_path={data} --output_path={run} --test '
              '--views=5 --pictures=10 --device=cpu'))),
    'polygen': Recipe('ngon-meshes', 1.2, 'measured on 2026-11-30 beside other work', (
        Stage('few', TRAIN, 'polygen/train.py', _POLYGEN + '--output_path={run}/few --pretrained '
              '--batch_size=8 --learning_rate=7e-4', '--training_steps=800'),
        Stage('all', TRAIN, 'polygen/train.py', _POLYGEN + '--output_path={run} '
              '--checkpoint={run}/few --max_vertices=800 --max_face_tokens=2800 '
              '--sample_vertices=800 --sample_face_tokens=2800 --batch_size=4 '
              '--learning_rate=5e-4', '--training_steps=500'),
        Stage('masked', MEASURE, 'polygen/evaluate.py', _POLYGEN_FIGURES
              + '--output_path={run}/masked --checkpoint={run} --num_samples=32 --valid_only',
              quick='--num_samples=1'),
        Stage('figures', MEASURE, 'polygen/evaluate.py', _POLYGEN_FIGURES
              + '--output_path={run} --at_most=200 --num_samples=64', quick='--num_samples=1'),
        Stage('ten classes', MEASURE, 'polygen/sample.py', '--output_path={run} --seed={seed} '
              '--class_label 0 1 2 3 4 5 6 7 8 9 --num_samples=10 --top_p=0.9 --valid_only '
              '--compare_to={data} --name=ten_classes --device=cpu --threads=1',
              quick='--num_samples=1'))),
    'cmr': Recipe('', 1.2, 'measured on 2026-12-01 beside other work', (
        Stage('bodies', DATA, 'cmr/make_dataset.py', '--num_train=16000 --num_test=400 --size=112 '
              '--output={work}/bodies', quick='--num_train=8 --num_test=4'),
        Stage('train', TRAIN, 'cmr/train.py', _CMR, '--training_steps=2500'),
        Stage('figures', MEASURE, 'cmr/eval.py', '--data_path={work}/bodies --dataset=up-3d '
              '--output_path={run} --baseline --pictures=10 --device=cpu')))}


def _json(*path: str) -> Any:
    with open(os.path.join(*path), encoding='utf-8') as stream:
        return json.load(stream)


def numbers(values: Dict[str, Any]) -> Dict[str, float]:
    """Returns the numbers of a dict, underscores of their names as spaces."""
    return {name.replace('_', ' '): float(value) for name, value in values.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)}


def _vsl(run):
    return dict(numbers(_json(run, 'eval', 'classify.json')),
                **numbers(_json(run, 'eval', 'reconstruct.json')))


def _r2n2(run):
    (folder,) = os.listdir(os.path.join(run, 'eval'))
    result = _json(run, 'eval', folder, 'result.json')
    return dict({'IoU with {} view{}'.format(views, 's' * (views != '1')): float(value)
                 for views, value in result['iou_by_views'].items()},
                **{'IoU of the mean training shape': float(result['mean_shape_iou'])})


def _imnet(run):
    figures = {}
    for kind in _KINDS:
        with open(os.path.join(run, 'eval', kind + '_test.csv'), encoding='utf-8') as table:
            rows = list(csv.DictReader(table))
        for method in sorted({row['method'] for row in rows}):
            title = method if 'nearest' in method else _KINDS[kind]
            for name, column in (('IoU', 'iou'), ('CD x1000', 'chamfer'), ('NC', 'normals')):
                values = np.array([float(row[column]) for row in rows if row['method'] == method])
                figures['{}, {}'.format(title, name)] = float(np.mean(values[np.isfinite(values)]
                                                                      if np.isfinite(values).any()
                                                                      else [np.nan]))
    return figures


def _polygen(run):
    results = _json(run, 'eval', 'evaluation.json')
    figures = {'{}, {}'.format(method, name.replace('_', ' ')): float(value)
               for method, row in results['figures'].items() for name, value in row.items()
               if name.startswith('bits_')}
    figures['share of complete and valid samples'] = results['samples']['valid']
    figures['share of complete and valid samples with --valid_only'] = _json(
        run, 'masked', 'eval', 'evaluation.json')['samples']['valid']
    return figures


def _cmr(run):
    return numbers(_json(run, 'eval', 'up-3d.json')['figures'])


_FIGURES = {'vsl': _vsl, 'imnet': _imnet, 'r2n2': _r2n2, 'polygen': _polygen, 'cmr': _cmr}


def figures(model: str, run: str) -> Dict[str, float]:
    """Returns the figures that a run's own scripts have written, baselines beside.

    Raises:
      errors.InputError: a file is missing.
    """
    try:
        return _FIGURES[model](run)
    except (OSError, KeyError, ValueError) as error:
        raise errors.InputError('{} has no figures of {}: {}. Remove the file of the stage '
                                '"figures" beside it and give the same command again.'.format(
                                    run, model, error)) from None


def barred(path: str, name: str) -> Sequence[str]:
    """Returns the names of the training rows of a set that nothing measured elsewhere may see.

    Args:
      path: str, splits.csv; name: str, folder of the set.
    """
    with open(path, encoding='utf-8') as stream:
        return sorted(row['name'] for row in csv.DictReader(stream) if row['set'] == name
                      and row['split'] == 'train' and row['barred_elsewhere'] == '1')

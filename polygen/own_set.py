"""--preset=own: limits, batch and length of a training chosen from a folder of one's own meshes."""
import math
import os
import zlib
from typing import Any, Dict, List, Tuple

from common import cli
from common.readers import folders
from common.training import reporting
from polygen import measures, mesh_sets, shards

_LARGEST = {'max_vertices': 800, 'max_face_tokens': 2800}   # limits of the paper's data
_STEPS = {False: 1500, True: 600}       # from nothing; from the weights that ship
_HELD_OUT = 0.1         # share of the meshes, where no folder says
_ADVICE = ('More steps (--training_steps), more meshes or simpler ones (polygen/make_dataset.py '
           '--max_vertices=200) may help.')


def fitted(options: cli.Options) -> cli.Options:
    """Chooses what --preset=own leaves open; what was chosen is printed.

    Args:
      options: of `options.complete`; `own` names the options that the command line does not give.
    Returns:
      Options without `own`.
    Raises:
      errors.InputError: no mesh can be used.
    """
    own = set(options.own)
    values = {name: value for name, value in vars(options).items() if name != 'own'}
    examples, summary = mesh_sets.load_for(options.replace(**_LARGEST), options.data_path)
    sizes = {'max_vertices': [len(example['vertices']) for example in examples],
             'max_face_tokens': [len(example['faces']) for example in examples]}
    for name, counts in sizes.items():
        # Tables of weights that ship keep their rows; a face model that is not trained, its size.
        if name in own and not (options.face_checkpoint and name == 'max_face_tokens'):
            values[name] = max(10 * math.ceil(max(counts) / 10),
                               values[name] if options.pretrained else 0)
        if name.replace('max_', 'sample_') in own:
            values[name.replace('max_', 'sample_')] = values[name]
    if 'batch_size' in own:
        values['batch_size'] = max(1, min(options.batch_size, len(examples) // 4))
    if 'training_steps' in own:
        values['training_steps'] = _STEPS[values['pretrained']]
    values['warmup_steps'] = min(values['warmup_steps'], values['training_steps'] // 10)
    used = sum(vertices <= values['max_vertices'] and tokens <= values['max_face_tokens']
               for vertices, tokens in zip(sizes['max_vertices'], sizes['max_face_tokens']))
    cli.say('own meshes: {} of {} can be used; --max_vertices={max_vertices} --max_face_tokens='
            '{max_face_tokens} --batch_size={batch_size} --training_steps={training_steps}{}{}'
            .format(used, summary.num_meshes,
                    ' --axis_scaling' if values['axis_scaling'] else '',
                    ', from the weights that ship' if values['pretrained'] else
                    '' if values['checkpoint'] else ', from nothing', **values))
    if used < summary.num_meshes:
        cli.say('note: heavier meshes can be reduced first: python polygen/make_dataset.py '
                '--meshes={} --max_vertices={} --output=FOLDER'.format(
                    options.data_path, min(200, values['max_vertices'])))
    return cli.Options(**values)


def parted(options: cli.Options, examples: List[Dict[str, Any]]
           ) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    """Parts meshes into those to train on and those to measure on.

    Those of the test split where the data has one, else about a tenth, by their names.

    Args:
      options: of `fitted`; examples: for training, of `mesh_sets.load_meshes`.
    Returns:
      (examples for training, examples held out, none of a single mesh).
    """
    if _has_test_split(options.data_path):
        return examples, mesh_sets.load_for(options, options.data_path, 'test',
                                            options.class_names)[0]
    count = min(len(examples) - 1, max(2, round(_HELD_OUT * len(examples))))
    order = sorted(range(len(examples)),
                   key=lambda row: zlib.crc32(examples[row]['name'].encode()))
    held_out = set(order[:count])
    cli.say('{} of the {} meshes are held out to measure on'.format(count, len(examples)))
    return ([example for row, example in enumerate(examples) if row not in held_out],
            [examples[row] for row in sorted(held_out)])


def _has_test_split(path):
    if shards.is_set(path):
        return 'test' in shards.read_index(path)['splits']
    return os.path.exists(os.path.join(path, 'meshes_test.npz')) or any(
        item.split == 'test' for item in folders.items(path, ('.obj', '.off', '.ply', '.stl',
                                                              '.glb', '.gltf')))


def say_verdict(figures: Dict[str, float], examples: List[Dict[str, Any]],
                held_out: List[Dict[str, Any]], bits: int) -> None:
    """Prints what the bits per vertex on the meshes held out mean beside answers without a network.

    Args:
      figures: of `measures.Evaluator.run`; examples, held_out: of `parted`; bits: of quantisation.
    """
    rows = {'token frequencies': measures.frequency_baseline(examples, held_out, bits),
            'uniform distribution': measures.uniform_baseline(held_out, bits)}
    cli.say(reporting.verdict(
        'bits per vertex', _bits(figures), {name: _bits(row) for name, row in rows.items()},
        _ADVICE, higher=False))


def _bits(figures):
    return figures['bits_vertices'] + figures['bits_faces']


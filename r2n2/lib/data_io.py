"""Where renderings and voxels of a data set lie: categories, models, portions.

<folder>/ShapeNetRendering/<category>/<model>/rendering/00.png .. 23.png
<folder>/ShapeNetVox32/<category>/<model>/model.binvox
"""
import os
import re
from typing import Dict, List, NamedTuple, Sequence, Tuple

from common import cli, errors
from common.readers import folders, text
from r2n2.tools import make_dataset

GENERATED = 'furniture'     # folder of the generated data, in the output folder
_QUICK_MODELS = 12          # procedural models of each class that the quick start renders

NAMES = {
    '02691156': 'airplane', '02828884': 'bench', '02933112': 'cabinet', '02958343': 'car',
    '03001627': 'chair', '03211117': 'display', '03636649': 'lamp', '03691459': 'loudspeaker',
    '04090263': 'rifle', '04256520': 'sofa', '04379243': 'table', '04401088': 'telephone',
    '04530566': 'vessel'}
_BAD = {    # meshes of ShapeNet that are known to be damaged
    ('03624134', '67ada28ebc79cc75a056f196c127ed77'),
    ('04090263', '4a32519f44dc84aabafe26e2eb69ebf4'),
    ('04074963', 'b65b590a565fa2547e1c85c5c15da7fb')}


class Set(NamedTuple):
    """A data set.

    Attributes:
      voxel_path, rendering_path: str with two %s, category and model.
      query_path: folder with a folder for each category.
      names: {category id: name}.
    """

    voxel_path: str
    rendering_path: str
    query_path: str
    names: Dict[str, str]


def find(data_path: str, dataset: str = '') -> Set:
    """Finds the two trees of a data set.

    Args:
      data_path: str, the folder that holds ShapeNetRendering and ShapeNetVox32, or a parent that
        holds it as `ShapeNet`, `dataset` or `data`.
      dataset: str, JSON file of categories; '' takes the only JSON file beside the trees, or all
        categories that are there.
    Returns:
      Set.
    Raises:
      errors.InputError: no such folder, or a damaged JSON file.
    """
    for folder in [data_path] + [os.path.join(data_path, name)
                                 for name in ('ShapeNet', 'dataset', 'data')]:
        query = os.path.join(folder, 'ShapeNetVox32')
        if os.path.isdir(query) and os.path.isdir(os.path.join(folder, 'ShapeNetRendering')):
            break
    else:
        raise errors.InputError(
            '{} holds no folders ShapeNetRendering and ShapeNetVox32. Give --data_path the folder '
            'that holds both; tools/make_dataset.py makes them of meshes.'.format(data_path))
    beside = [name for name in folders.names(folder) if name.endswith('.json')]
    if not dataset and len(beside) == 1:
        dataset = os.path.join(folder, beside[0])
    names = read_names(dataset) if dataset else {
        name: NAMES.get(name, name) for name in folders.subfolders(query)}
    pattern = folder.replace('%', '%%')
    return Set(os.path.join(pattern, 'ShapeNetVox32', '%s', '%s', 'model.binvox'),
               os.path.join(pattern, 'ShapeNetRendering', '%s', '%s', 'rendering'), query, names)


def of_run(options: cli.Options) -> Set:
    """Finds the data set of a run; without --data_path procedural furniture, rendered if missing.

    Args:
      options: cli.Options with `data_path`, `dataset` and `output_path`.
    Returns:
      Set.
    """
    if options.data_path:
        return find(options.data_path, options.dataset)
    folder = os.path.join(options.output_path, GENERATED)
    if os.path.exists(os.path.join(folder, 'categories.json')):
        cli.say('no --data_path given: using the procedural furniture in {}'.format(folder))
    else:
        cli.say('no --data_path given: rendering procedural furniture into {}'.format(folder))
        make_dataset.make(make_dataset.parse_args(
            ['--furniture', '--models={}'.format(_QUICK_MODELS), '--output', folder]
            + ['--generator=2'] * options.pretrained))  # of the kind that those weights know
    return find(folder)


def refuse_held_out(data: Set) -> None:
    """Raises errors.InputError where a set was made for measuring, not for training."""
    folder = os.path.dirname(data.query_path)
    if make_dataset.recorded(folder).get('held_out'):
        raise errors.InputError('{}: made with --held_out, for measuring; train on a set made '
                                'without it.'.format(os.path.join(folder, make_dataset.RECORD)))


def read_names(path: str) -> Dict[str, str]:
    """Reads a category JSON, {id: {"id": ..., "name": ...}}; returns {id: name} in id order."""
    categories = text.read_json(path, 'JSON of categories', 'Give another --dataset.')
    try:
        if not categories or not isinstance(categories, dict):
            raise ValueError('no categories')
        for key in categories:      # the folder of its models
            if key in ('', '.', '..') or re.search(r'[/\\]', key) or not key.isprintable():
                raise errors.InputError(
                    '--dataset {}: the category {} is no name of a folder. Give each category the '
                    'name of its folder.'.format(path, errors.quote(key, 40)))
        return {key: str(categories[key]['name']) for key in sorted(categories)}
    except (ValueError, TypeError, KeyError) as error:
        raise errors.InputError('--dataset {} is no JSON of categories {{"id": {{"name": ...}}}}: '
                                '{!r}.'.format(path, error))


def pairs(data: Set, portion: Sequence[float]) -> List[Tuple[str, str]]:
    """Lists the models of a portion of each category.

    Args:
      data: Set.
      portion: [from, to], shares of each category's models, which are sorted by name.
    Returns:
      list of (category id, model).
    Raises:
      errors.InputError: a category's folder is missing or empty, or no model is in the portion.
    """
    models_of_portion = []
    for category in sorted(data.names):
        folder = os.path.join(data.query_path, category)
        if not os.path.isdir(folder):
            raise errors.InputError('category {} ({}): there is no folder {}.'.format(
                category, data.names[category], folder))
        models = folders.subfolders(folder)
        if not models:
            raise errors.InputError('category {} ({}): {} holds no models; add some, or take the '
                                    'category out of --dataset.'.format(
                                        category, data.names[category], folder))
        first, last = [int(len(models) * share) for share in portion]
        models_of_portion += [(category, model) for model in models[first:last]
                              if (category, model) not in _BAD]
    if not models_of_portion:
        raise errors.InputError('{}: no model in the portion {} of the categories {}.'.format(
            data.query_path, list(portion), errors.listed(data.names, '(none)')))
    return models_of_portion

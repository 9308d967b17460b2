"""How weights that ship came about: the commands, and the curve of the losses as text.

Beside the weights lie `recipe.json`, {"data": command that makes the set, "stages": {"1": {part:
command}}}, with "sets": {"1": command} for stages whose set is another one, and `curve.csv` with a
row for each report and for each of the first ten steps. A part is a network of the run (IM-NET: ae,
gan, svr), '' where there is one alone; a stage is a training of its own that may start from the
weights of the one before. Paths are bare names.
"""
import csv
import io
import os
from typing import Any, Dict, List, Mapping, Tuple

from common import errors, files
from common.readers import text
from common.training import records

RECIPE, CURVE = 'recipe.json', 'curve.csv'
_KEYS = ('stage', 'part', 'step')
_LEFT_OUT = ('seconds_per_step',)
_MOST_ROWS = 400        # of a part in a stage, the first steps besides

Curve = Dict[Tuple[str, str], Dict[int, Dict[str, float]]]     # (stage, part): step: losses


def write(folder: str, run: str, commands: Mapping[str, str], stage: str = '1', data: str = ''
          ) -> List[str]:
    """Writes recipe and curve of a run beside its weights; other stages stay as they are.

    Args:
      folder: str, of the weights; run: str, output folder of the run.
      commands: {part: command of its training}, without places of files.
      stage: str, number of the training; data: command that made its set, '': as before; another
        one than before belongs to this stage and later ones.
    Returns:
      list of str, names of the files.
    """
    path = os.path.join(folder, RECIPE)
    recipe = read(folder) if os.path.exists(path) else {'data': '', 'stages': {}}
    if data and recipe['data'] and data != recipe['data']:
        others = {name: set_of(recipe, name) for name in recipe['stages'] if name != stage}
        recipe['sets'] = {name: command for name, command in others.items() if command != data}
    recipe['stages'][stage] = dict(commands)
    files.write_json(path, dict(recipe, data=data or recipe['data']))
    rows = {key: steps for key, steps in read_curve(folder).items() if key[0] != stage}
    for part in commands:
        rows[stage, part] = _thinned(
            records.read_metrics(os.path.join(run, part, 'metrics.jsonl')),
            records.read_metrics(os.path.join(run, part, records.FIRST)))
    write_curve(folder, rows)
    return [RECIPE, CURVE]


def _thinned(reported, first):
    """{step: losses} of reports, at most _MOST_ROWS of them, and of the first steps."""
    every = -(-len(reported) // _MOST_ROWS) or 1
    steps: Dict[int, Dict[str, float]] = {}
    for row in first + reported[:-1][::every] + reported[-1:]:
        steps.setdefault(row['step'], {}).update(
            (name, value) for name, value in row.items()
            if name != 'step' and name not in _LEFT_OUT and isinstance(value, (int, float)))
    return steps


def write_curve(folder: str, rows: Curve) -> None:
    """Writes curve.csv."""
    names = list(dict.fromkeys(name for steps in rows.values() for losses in steps.values()
                               for name in losses))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(list(_KEYS) + names)
    for key in sorted(rows):
        for step in sorted(rows[key]):
            losses = rows[key][step]
            writer.writerow([*key, step] + ['{:.9g}'.format(losses[name]) if name in losses else ''
                                            for name in names])
    files.write_text(os.path.join(folder, CURVE), stream.getvalue())


def set_of(recipe: Mapping[str, Any], stage: str) -> str:
    """Returns the command that made the training set of a stage."""
    return recipe.get('sets', {}).get(stage, recipe['data'])


def read(folder: str) -> Dict[str, Any]:
    """Returns the recipe of a folder of weights.

    Raises:
      errors.InputError: it has none, or a damaged one.
    """
    path = os.path.join(folder, RECIPE)
    recipe = text.read_json(path, 'recipe of trained weights')
    if not isinstance(recipe, dict) or not isinstance(recipe.get('stages'), dict) or (
            not isinstance(recipe.get('data'), str)) or (
                not isinstance(recipe.get('sets', {}), dict)) or (
                    not all(isinstance(made, str) for made in recipe.get('sets', {}).values())):
        raise errors.InputError('{} has no "data" and "stages": write it again by python -m '
                                'common.pretrained.'.format(path))
    return recipe


def read_curve(folder: str) -> Curve:
    """Returns the losses of a folder of weights, {} where it has none.

    Raises:
      errors.InputError: the table is damaged.
    """
    path = os.path.join(folder, CURVE)
    if not os.path.exists(path):
        return {}
    lines = text.read_lines(path, 'curve of losses')
    curve: Curve = {}
    try:
        rows = list(csv.reader(lines))
        names = rows[0][len(_KEYS):]
        for stage, part, step, *values in rows[1:]:
            curve.setdefault((stage, part), {})[int(step)] = {
                name: float(value) for name, value in zip(names, values) if value}
    except (IndexError, ValueError, csv.Error):
        raise errors.InputError('{} is no table of {} and losses.'.format(
            path, ', '.join(_KEYS))) from None
    return curve

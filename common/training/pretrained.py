"""Trained networks that ship: `<model>/pretrained/`, laid out like the output folder of a run.

It holds `config.json` (the options that tell the network's sizes), `checkpoints/` with files
`model-<step>.weights` (IM-NET: folders of the original's names), `manifest.json` (digests, and what
the weights are of), `recipe.json` and `curve.csv` (see `recipes`), and `card.md`, which a person
writes around the facts that `export` puts in.
"""
import os
import re
import shlex
import shutil
from typing import Any, Dict, List, Optional, Sequence

from common import cli, errors, files
from common.readers import text
from common.training import checkpoints, familiar, frozen_layers, recipes, weight_files

FOLDER = 'pretrained'
CARD = 'card.md'
_CONFIG = 'config.json'
_FACTS = '<!-- facts: written by python -m common.pretrained -->'
_END = '<!-- end of facts -->'
_FIGURES = '<!-- figures: written by python -m tests.pretrained --record -->'
_FIGURES_END = '<!-- end of figures -->'
_TEMPLATE = '''# {title}: trained weights

{facts}

## Data and licence

To be written: what the network was trained on (generator and version, seeds), under which licence.

## Figures on unseen shapes

{figures}

## What it is good for, and what not

To be written.
'''


def available(folder: str) -> bool:
    """Returns whether trained weights lie in a folder."""
    return os.path.isfile(os.path.join(folder, weight_files.MANIFEST))


def folders(folder: str) -> List[str]:
    """Returns the folders of weights in a model's `pretrained`: itself, then those below it."""
    below = [os.path.join(folder, name) for name in sorted(os.listdir(folder))] if os.path.isdir(
        folder) else []
    return [place for place in [folder] + below if available(place)]


def chosen(options: cli.Options, folder: str, has_run: bool) -> cli.Options:
    """Settles which weights a script uses: --checkpoint, those of its run, or those that ship.

    Args:
      options: with `pretrained` and `checkpoint`; folder: of the model's shipped weights.
      has_run: bool, whether the output folder has a checkpoint.
    Returns:
      Options; `checkpoint` is the folder where --pretrained asks for it, or where there is nothing
      else (said in one line).
    Raises:
      errors.UsageError: --pretrained and --checkpoint name two.
      errors.InputError: --pretrained, and no weights ship.
    """
    if vars(options).get('pretrained', False):
        return asked_for(options, folder)
    if options.checkpoint or has_run or not available(folder):
        return options
    cli.say('note: no --checkpoint, and no run in {}: taking the weights that ship ({}; {} says '
            'what to expect)'.format(options.output_path, folder, CARD))
    return options.replace(checkpoint=folder)


def asked_for(options: Any, folder: str) -> Any:
    """Turns --pretrained into --checkpoint; options without it are returned as they are.

    Raises:
      errors.UsageError, errors.InputError: see `chosen`.
    """
    if not vars(options).get('pretrained', False):
        return options
    if options.checkpoint:
        same = os.path.abspath(options.checkpoint) == os.path.abspath(folder)
        if not same:
            raise errors.UsageError('--pretrained and --checkpoint {} are two choices of weights: '
                                    'give one.'.format(options.checkpoint))
    if not available(folder):
        raise errors.InputError('--pretrained: no weights ship in {}. Train (see the README), or '
                                'give --checkpoint.'.format(folder))
    return cli.settled(options, checkpoint=folder)


def has_checkpoint(folder: str) -> bool:
    """Returns whether an output folder (or a folder of checkpoints) has a checkpoint."""
    try:
        checkpoints.latest(folder)
    except errors.InputError:
        return False
    return True


def export(run: str, folder: str, title: str, checkpoint: str = '', stage: int = 1,
           data_command: str = '', bits: int = weight_files.BITS, leave_out: Sequence[str] = ()
           ) -> List[str]:
    """Writes the weights of a run in half precision, their manifest, and the facts of their card.

    Args:
      run: str, output folder of a run; its newest checkpoint is taken, of each folder below
        `checkpoints/` where those hold the networks.
      folder: str, where to; what is there of other weights goes.
      title: str, of the model, for the card.
      checkpoint: str, prefix of another checkpoint of that run.
      stage: int, number of the training, where one goes on from the weights of another.
      data_command: str, that made the set; '': as it was told before.
      bits: int, of the fractions that are kept, see `weight_files.rounded`.
      leave_out: scopes whose variables other weights that ship hold.
    Returns:
      list of str, the files that were written.
    Raises:
      errors.InputError: there is no checkpoint, or a file cannot be written.
    """
    prefixes = [checkpoints.latest(checkpoint)] if checkpoint else _newest(run)
    digests = {}
    for prefix in prefixes:
        place = os.path.relpath(os.path.abspath(prefix), os.path.abspath(run)).replace(os.sep, '/')
        if place.startswith('..'):
            place = '{}/{}'.format(checkpoints.RUN_FOLDER, os.path.basename(prefix))
        place += weight_files.ENDING
        arrays = weight_files.of_model(checkpoints.read(prefix))
        for scope in leave_out:
            if not any(frozen_layers.lies_in(name, [scope]) for name in arrays):
                raise errors.InputError('--leave_out: {} has no variable in {}.'.format(
                    prefix, errors.quote(scope)))
        arrays = {name: array for name, array in arrays.items()
                  if not frozen_layers.lies_in(name, leave_out)}
        if not arrays:
            raise errors.InputError('--leave_out {} leaves no variable of {}. Name fewer '
                                    'scopes.'.format(' '.join(leave_out), prefix))
        digests[place] = weight_files.write(os.path.join(folder, place), arrays, bits)
    configs = _write_configs(run, folder)
    trained = {name: _facts_of(config) for name, config in configs.items()}
    manifest = {'title': title, 'bits': bits, 'left_out': list(leave_out), 'files': digests,
                'trained': trained}
    _remove_others(folder, digests)
    for name in familiar.FILES:     # those of other weights go
        if os.path.exists(os.path.join(run, name)):
            shutil.copyfile(os.path.join(run, name), os.path.join(folder, name))
        elif os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    files.write_json(os.path.join(folder, weight_files.MANIFEST), manifest)
    told = recipes.write(folder, run, {os.path.dirname(name): facts['command']
                                       for name, facts in trained.items()}, str(stage),
                         _without_places(data_command))
    _write_card(os.path.join(folder, CARD), title, digests, trained, folder, bits, leave_out)
    return [os.path.join(folder, name)
            for name in [*digests, *configs, *told, weight_files.MANIFEST, CARD]]


def _newest(run):
    """The newest prefix of `checkpoints/`, or of each folder below it."""
    place = os.path.join(run, checkpoints.RUN_FOLDER)
    below = [os.path.join(place, name) for name in sorted(os.listdir(place))
             if os.path.isdir(os.path.join(place, name))] if os.path.isdir(place) else []
    if below and not checkpoints.in_folder(place):
        return [checkpoints.latest(name) for name in below]
    return [checkpoints.latest(run)]


def _write_configs(run, folder):
    """Copies config.json of the run and of its parts, without places of files."""
    names = [_CONFIG] + ['{}/{}'.format(name, _CONFIG) for name in sorted(os.listdir(run))
                         if name != checkpoints.RUN_FOLDER]
    configs = {name: _without_places(text.read_json(os.path.join(run, name)))
               for name in names if os.path.isfile(os.path.join(run, name))}
    for name, config in configs.items():
        files.write_json(os.path.join(folder, name), config)
    return configs


def _without_places(value):
    """A JSON value in which absolute paths, alone or behind a `=`, are bare names."""
    if isinstance(value, dict):
        return {name: _without_places(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_places(part) for part in value]
    if not isinstance(value, str):
        return value
    return re.sub(r'(^|[=\s])/[^\s=]*?([^/\s]*)/?(?=\s|$)', r'\1\2', value)


def _facts_of(config):
    """What a card tells of a training, out of its config.json."""
    command = config.get('command', '')
    return {'command': command if isinstance(command, str) else ' '.join(
        shlex.quote(str(word)) for word in command),
            'seed': config.get('seed'), 'device': config.get('device'),
            'parameters': config.get('parameters'), 'versions': config.get('versions')}


def _remove_others(folder, digests):
    """Deletes files of weights that the new manifest does not name; parts have their own."""
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if not available(os.path.join(place, name))]
        for name in names:
            path = os.path.join(place, name)
            inside = os.path.relpath(path, folder).replace(os.sep, '/')
            if name.endswith(weight_files.ENDING) and inside not in digests:
                os.remove(path)


def _write_card(path, title, digests: Dict[str, str], trained, folder, bits,
                leave_out):
    """Writes the card, or the facts in the one that is there."""
    lines = [_FACTS, '', '| file | step | MiB | SHA-256 |', '| --- | --- | --- | --- |']
    for name, digest in digests.items():
        size = os.path.getsize(os.path.join(folder, name)) / 2. ** 20
        lines.append('| `{}` | {} | {:.2f} | `{}` |'.format(
            name, _step(name), size, digest))
    lines += ['', 'Half precision{}; without what the optimizer keeps{}.'.format(
        '' if bits == weight_files.BITS else ', fractions of {} bits'.format(bits),
        ' and without {}, which others hold'.format(', '.join(leave_out)) if leave_out else ''), '']
    for name, facts in trained.items():
        lines += ['`{}`: `{}`; seed {}, {} parameters, {}.'.format(
            name, facts['command'], facts['seed'],
            _thousands(facts['parameters']), facts['device']), '']
    facts_text = '\n'.join(lines + [_END])
    card = _TEMPLATE.format(title=title, facts=facts_text, figures='\n\n'.join(
        [_FIGURES, 'Not measured yet.', _FIGURES_END]))
    if os.path.exists(path):
        card = _with_block(path, _FACTS, _END, facts_text)
    files.write_text(path, card)


def quote(folder: str, figures: str) -> None:
    """Writes figures (Markdown) into the card of a folder of weights.

    Raises:
      errors.InputError: there is no card, or it has no place for them.
    """
    path = os.path.join(folder, CARD)
    files.write_text(path, _with_block(path, _FIGURES, _FIGURES_END, '\n\n'.join(
        [_FIGURES, figures, _FIGURES_END])))


def _with_block(path, first, last, block):
    """The text of a card with another block between two lines, both included."""
    before = text.read(path, 'card')
    start, end = before.find(first), before.find(last)
    if start < 0 or end < start:
        raise errors.InputError('{} has no lines "{}" and "{}" for what is written between them; '
                                'put them in, or move the card away.'.format(path, first, last))
    return before[:start] + block + before[end + len(last):]


def _step(name: str) -> Optional[int]:
    return checkpoints.step_of(name[:-len(weight_files.ENDING)])


def _thousands(number: Any) -> str:
    return '{:,}'.format(number) if isinstance(number, int) else str(number)


def sizes(folder: str, names: Sequence[str], part: str = '') -> Dict[str, Any]:
    """Returns options of the network that ships, so that a training starts with its sizes.

    Args:
      folder: str; names: of options; part: folder of the part's config.json, such as 'ae'.
    Returns:
      dict {option: value}, of those that are recorded.
    """
    recorded = text.read_json(os.path.join(folder, part, _CONFIG))
    options = recorded.get('options', {}) if isinstance(recorded, dict) else {}
    return {name: options[name] for name in names if options.get(name) is not None}

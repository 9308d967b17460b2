"""Recomputes the figures of the weights that ship, and trains their first steps again.

Two sets of shapes that no training has seen (seeds 900000 and 900001) are made anew and measured by
the model's own scripts; the figures must equal those of <model>/pretrained/figures.json, which
card.md quotes, within what the rounding of another CPU moves. --record writes both files.
--rebuild makes the training set again, starts each command of recipe.json from nothing, and
compares the losses of the first ten steps with those in curve.csv.

Examples: python -m tests.pretrained --model vsl
  python -m tests.pretrained --model vsl --rebuild
"""
import datetime
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from common import cli, collection, errors, files
from common.readers import text
from common.training import familiar, pretrained, recipes, records, weight_files
from tests import held_out

FIGURES = 'figures.json'
# How far a figure may move by rounding alone: a cell at its threshold, a shape at the border of two
# classes, a token whose draw falls on the border of two (then the rest of its mesh is another one).
TOLERANCES = (('accuracy', 0.0101), ('in diagonals', 3e-3), ('share of', 0.0626),
              ('training meshes copied', 0.), ('IoU', 2e-3), ('bits per vertex', 2e-3),
              ('Chamfer', 0.05), ('normal', 5e-3), (', mm', 0.05))
# Relative, of a loss in the first ten steps. TensorFlow 2.21 was 2e-7 from 1.15 in VSL, 1.6e-4 in
# 3D-R2N2, whose batch normalisation amplifies rounding.
LOSS_TOLERANCE = 1e-3
_PATHS = ('data_path', 'data_dir', 'output_path', 'validation_path')
_SECONDS = 3600         # for the first ten steps


def parse_args(argv: Optional[Sequence[str]] = None) -> Any:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', nargs='+', choices=collection.NAMES, default=None,
                        help='models; unset: those whose weights are there')
    parser.add_argument('--weights', default='', help='folder that common.pretrained wrote, of one '
                        '--model; unset: <model>/pretrained')
    parser.add_argument('--work', default='', help='folder for sets and results, which stay; '
                        'unset: a temporary one')
    cli.add_flag(parser, '--record', help='write figures.json and quote it in card.md; with '
                 '--rebuild the first steps into curve.csv')
    cli.add_flag(parser, '--rebuild', help='train the first steps again instead')
    cli.add_flag(parser, '--quick', help='one set, a shape of each class, to try the command; '
                 'compares and records nothing')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def tolerance_of(name: str) -> float:
    """Returns how far a figure may be from the recorded one."""
    return next(value for part, value in TOLERANCES if part in name)


def differences(recorded: held_out.Figures, figures: held_out.Figures) -> List[str]:
    """Returns a line for each figure that is not as recorded.

    Args:
      recorded, figures: {seed: {name: value}}.
    """
    lines = []
    for seed in sorted(set(recorded) | set(figures)):
        before, now = recorded.get(seed, {}), figures.get(seed, {})
        lines += ['set {}: no figure "{}" {}'.format(seed, name, 'recorded' if name in now else
                                                     'any more')
                  for name in sorted(set(before) ^ set(now))]
        lines += ['set {}: {} is {:.6g}, recorded {:.6g} (tolerance {:g})'.format(
            seed, name, now[name], before[name], tolerance_of(name))
            for name in before if name in now
            and not abs(now[name] - before[name]) <= tolerance_of(name)]
    return lines


def table(figures: held_out.Figures) -> List[str]:
    """Returns lines of Markdown, a column for each set."""
    seeds = sorted(figures)
    lines = ['| | {} |'.format(' | '.join('set ' + seed for seed in seeds)),
             '|---' + '|---:' * len(seeds) + '|']
    return lines + ['| {} | {} |'.format(name, ' | '.join(
        '{:.4g}'.format(figures[seed][name]) for seed in seeds))
        for name in sorted(figures[seeds[0]])]


def shipped(model: str) -> List[str]:
    """Returns the folders of a model's weights that ship."""
    return pretrained.folders(os.path.join(collection.ROOT, model, pretrained.FOLDER))


def _check_figures(model, weights, work, options):
    """Measures; returns lines on what is wrong."""
    began = time.monotonic()
    figures = held_out.measure(model, held_out.Job(weights, work, options.quick))
    seconds = time.monotonic() - began
    for line in table(figures):
        cli.say(line)
    cli.say('{}: {:.0f} s'.format(model, seconds))
    if options.quick:
        return []
    digests = weight_files.read_manifest(os.path.join(weights, weight_files.MANIFEST))['files']
    path = os.path.join(weights, FIGURES)
    if options.record:
        from common.training import launch  # here, since --help needs no TensorFlow
        files.write_json(path, {'weights': digests, 'sets': figures, 'seconds': round(seconds),
                                'date': datetime.date.today().isoformat(),
                                'versions': launch.versions()})
        pretrained.quote(weights, _quoted(model, figures, seconds))
        expected = os.path.join(work, 'eval-{}'.format(held_out.SEEDS[0]), familiar.FILE)
        if os.path.exists(expected):    # what demos compare a picture with
            shutil.copyfile(expected, os.path.join(weights, familiar.FILE))
        cli.say('{} and {} written'.format(path, pretrained.CARD))
        return []
    recorded = text.read_json(path, 'record of figures', 'Give --record first.')
    if recorded['weights'] != digests:
        return ['{} is of other weights: measure again with --record.'.format(path)]
    return differences(recorded['sets'], figures) + _not_quoted(model, weights, recorded)


def _quoted(model, figures, seconds):
    """Text of the card on figures."""
    return '\n'.join([
        '`python -m tests.pretrained --model {}` ({:.0f} s, {}), on two sets of shapes from seeds '
        'that no training uses:'.format(model, seconds, datetime.date.today().isoformat()), '',
        *table(figures)])


def _not_quoted(model, weights, recorded):
    """A line where the card quotes other figures than were recorded."""
    with open(os.path.join(weights, pretrained.CARD), encoding='utf-8') as stream:
        card = stream.read()
    return [] if '\n'.join(table(recorded['sets'])) in card else [
        '{}: card.md quotes other figures than {} has: measure again with --record.'.format(
            model, FIGURES)]


def own_command(command: str, data: str, output: str) -> Tuple[str, List[str]]:
    """Returns (script, arguments) of a recorded training on a set and into a folder of our own."""
    script, arguments = held_out.words_of(command)
    kept, skip = [], False
    for word in arguments:
        name = word.lstrip('-').split('=')[0]
        if word.startswith('--') and name in _PATHS:
            skip = '=' not in word
        elif skip:
            skip = False
        else:
            kept.append(word)
    return script, ['--data_path=' + data, '--output_path=' + output] + kept


def _first_steps(script, arguments, folder):
    """Starts a training, ends it after ten steps; returns {step: losses}."""
    path = os.path.join(folder, records.FIRST)
    command = [sys.executable, os.path.join(collection.ROOT, script)] + arguments
    os.makedirs(folder, exist_ok=True)
    with open(folder + '.log', 'w', encoding='utf-8') as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(_SECONDS):
                if len(records.read_metrics(path)) >= records.FIRST_STEPS:
                    break
                if process.poll() is not None:
                    break
                time.sleep(1.)
            process.send_signal(signal.SIGTERM)
            process.wait(_SECONDS)
        finally:
            process.kill()
    return {row.pop('step'): row for row in records.read_metrics(path)}


def _rebuild(model, weights, work, options):
    """Trains the first steps again; returns lines on what is wrong."""
    recipe, curve = recipes.read(weights), recipes.read_curve(weights)
    data = os.path.join(work, 'training_set' + ('.mat' if model == 'vsl' else ''))
    lines, made = [], False
    for stage, commands in sorted(recipe['stages'].items()):
        for part, command in sorted(commands.items()):
            title = '{}, stage {}{}'.format(model, stage, ', ' + part if part else '')
            if part not in ('', 'ae') or stage != min(recipe['stages']) or any(
                    word in command for word in ('--checkpoint=', '--checkpoint ',
                                                 '--pretrained')):
                cli.say('{}: starts from other weights, so it is not built from nothing'.format(
                    title))
                continue
            if not made and not os.path.exists(data):
                script, arguments = held_out.words_of(recipes.set_of(recipe, stage))
                held_out.run(script, *arguments, '--output=' + data,
                             log=os.path.join(work, 'log.txt'))
            made = True
            folder = os.path.join(work, 'stage-{}-{}'.format(stage, part or 'all'))
            place = os.path.join(folder, part)
            shutil.rmtree(folder, ignore_errors=True)
            script, arguments = own_command(command, data, folder)
            steps = _first_steps(script, arguments, place)
            if options.record:
                curve.setdefault((stage, part), {}).update(steps)
                recipes.write_curve(weights, curve)
                continue
            lines += _compare_losses(title, curve.get((stage, part), {}), steps)
    return lines


def _compare_losses(title: str, recorded: Dict[int, Dict[str, float]],
                    steps: Dict[int, Dict[str, float]]) -> List[str]:
    lines, largest = [], 0.
    for step in range(1, records.FIRST_STEPS + 1):
        before, now = recorded.get(step), steps.get(step)
        if not before or not now:
            lines.append('{}: step {} is not {}'.format(title, step, 'recorded' if now else
                                                        'reached'))
            continue
        for name in now:
            apart = abs(now[name] - before.get(name, float('nan'))) / max(1e-6, abs(now[name]))
            largest = max(largest, apart)
            if not apart <= LOSS_TOLERANCE:
                lines.append('{}: {} of step {} is {:.7g}, recorded {}'.format(
                    title, name, step, now[name], before.get(name)))
    cli.say('{}: losses of the first steps differ by {:.2g} at most, relatively'.format(
        title, largest))
    return lines


def check(options: Any) -> None:
    """Does what the options ask for.

    Raises:
      errors.InputError: a figure or loss is not as recorded, or a script failed.
    """
    names = options.model or [name for name in collection.NAMES if shipped(name)]
    if options.weights and len(names) != 1:
        raise errors.UsageError('--weights is of one model: name it by --model.')
    lines: List[str] = []
    for name in names:
        places = [options.weights] if options.weights else shipped(name)
        if not places or not all(map(pretrained.available, places)):
            raise errors.InputError('no weights in {}.'.format(
                options.weights or os.path.join(collection.ROOT, name, pretrained.FOLDER)))
        for place in map(os.path.abspath, places):
            with tempfile.TemporaryDirectory() as temporary:
                work = os.path.abspath(os.path.join(
                    options.work or temporary, name, os.path.basename(place)))
                os.makedirs(work, exist_ok=True)
                lines += (_rebuild if options.rebuild else _check_figures)(
                    name, place, work, options)
    for line in lines:
        cli.say(line)
    if lines:
        raise errors.InputError('{} of the figures of {} are not as recorded.'.format(
            len(lines), ', '.join(names)))
    cli.say('{}: {}'.format(', '.join(names) or 'no weights ship yet', 'done'))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(check, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

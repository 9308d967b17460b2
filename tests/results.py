"""Makes a model's table of real shapes again: trains two seeds, measures them, baselines beside.

The commands are those of tests/results_recipes.py, on the sets of --data. Each stage leaves a
record beside its run; the same command goes on from there, within a stage from the last checkpoint.
At the end lines of Markdown for docs/<model>/results.md are printed, and results.json is written.

Examples: python -m tests.results --model r2n2 --background
  python -m tests.results --model vsl --quick
"""
import datetime
import hashlib
import os
import resource
import shlex
import subprocess
import sys
import tarfile
import time
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from common import cli, collection, errors, files
from common.readers import text
from tests import results_recipes as recipes

_SHARED = os.path.join(os.path.dirname(collection.ROOT), 'shared', 'data')
_WAIT = 600             # seconds that a training has to save


def parse_args(argv: Optional[Sequence[str]] = None) -> Any:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', required=True, choices=collection.NAMES, help='whose table')
    parser.add_argument('--data', type=cli.path, default=_SHARED, help='folder of the sets')
    parser.add_argument('--work', type=cli.path, default='results', help='folder for runs and '
                        'records')
    parser.add_argument('--seeds', type=cli.non_negative_int, nargs='+', default=[0, 1],
                        help='of the trainings')
    parser.add_argument('--steps', type=cli.positive_int, default=None,
                        help='steps of each training, to try the command; the figures are not the '
                        'table\'s')
    cli.add_flag(parser, '--quick', help='one seed, two steps, small sets where they are made')
    cli.add_flag(parser, '--background', help='go on in the background, with a log in --work')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def filled(stage: recipes.Stage, places: Dict[str, Any], clean: Any, steps: Optional[int] = None,
           quick: bool = False) -> List[str]:
    """Returns the arguments of a stage.

    Args:
      stage: recipes.Stage; places: dict {name: what stands for it}.
      clean: function of the name of another set, gives the path of its rows that are not barred.
      steps: int, length of a training instead of the stage's; quick: bool, with `stage.quick`.
    """
    arguments = stage.arguments
    while '{clean:' in arguments:
        before, after = arguments.split('{clean:', 1)
        name, after = after.split('}', 1)
        arguments = before + clean(name) + after
    length = '--training_steps={}'.format(steps) if steps and stage.length else stage.length
    # In front, since 3D-R2N2's --set takes the rest of the line; what --quick adds overrides.
    return shlex.split(length) + [word.format(**places) for word in shlex.split(arguments)
                                  + shlex.split(stage.quick if quick else '')]


def measured_set(options: Any, recipe: recipes.Recipe, work: str) -> str:
    """Returns the folder of the set that is measured; unpacks a .tar that it holds into `work`.

    Raises:
      errors.InputError: there is none.
    """
    if not recipe.measured_on:
        return work
    folder = os.path.join(options.data, recipe.measured_on)
    if not os.path.isdir(folder):
        raise errors.InputError('{} is no folder: give --data, the folder of the sets (one of them '
                                'is {}).'.format(folder, recipe.measured_on))
    packed = [name for name in sorted(os.listdir(folder)) if name.endswith('.tar')]
    if not packed:
        return folder
    unpacked = os.path.join(work, recipe.measured_on)
    if not os.path.isdir(unpacked):
        with tarfile.open(os.path.join(folder, packed[0])) as archive:
            archive.extractall(unpacked + '.part')
        os.rename(unpacked + '.part', unpacked)
    return unpacked


def clean_set(data: str, name: str, work: str) -> str:
    """Writes the training rows of another set that splits.csv does not bar; returns the file.

    Raises:
      errors.InputError: rows of that set cannot be taken out yet.
    """
    from vsl import data_utils  # here: a set of VSL's form is the only one so far
    if name != 'bricks':
        raise errors.InputError('pre-training on {}: taking its barred rows out is not written; '
                                'only bricks.'.format(name))
    left_out = set(recipes.barred(os.path.join(data, 'splits.csv'), name))
    source = os.path.join(data, name)
    (path,) = [os.path.join(source, file) for file in os.listdir(source) if file.endswith('.mat')]
    with open(os.path.join(source, 'parts.csv'), encoding='utf-8') as stream:
        parts = [row for row in recipes.csv.DictReader(stream) if row['split'] == 'train']
    kept = np.array([row['part'] not in left_out
                     for row in sorted(parts, key=lambda row: int(row['row']))])
    train = data_utils.read_split(path, 'train')
    if len(kept) != len(train.labels):
        raise errors.InputError('{} has {} training rows, parts.csv {}.'.format(
            path, len(train.labels), len(kept)))
    train = data_utils.Split(train.voxels[kept], train.labels[kept], None)
    output = os.path.join(work, 'clean-{}.mat'.format(name))
    # For testing a few of its own: nothing is measured on them.
    data_utils.write(output, {'train': train, 'test': data_utils.Split(
        train.voxels[:10], train.labels[:10], None)}, data_utils.class_names(
            path, int(train.labels.max())), {'source': name + ' without barred rows'})
    cli.say('{}: {} of {} training rows, the others are barred by splits.csv'.format(
        output, kept.sum(), len(kept)))
    return output


def _run_stage(stage, arguments, folder, before):
    """Runs a stage unless its record says that it is done; returns the record.

    Args:
      before: str, digest of the commands of the stages before it.
    Raises:
      errors.InputError: it failed, or it is a training that was begun by another command or behind
        others, and would go on from there.
    """
    place = os.path.join(folder, 'stage-{}.json'.format(stage.name.replace(' ', '-')))
    command = ' '.join([stage.script] + [shlex.quote(word) for word in arguments])
    record = text.read_json(place) if os.path.exists(place) else {}
    # A record of an older version has no digest and counts as it is.
    if record.get('command') != command or record.setdefault('before', before) != before:
        if record and stage.kind == recipes.TRAIN:
            raise errors.InputError('{}: stage {} or one before it had another command and would '
                                    'be gone on with. Give another --work, or remove {}.'.format(
                                        place, stage.name, folder))
        record = {'command': command, 'before': before, 'seconds': 0., 'done': False}
    if record['done']:
        cli.say('{}: done before'.format(stage.name))
        return record
    cli.say('{}: python {}'.format(stage.name, command))
    log, began = place[:-len('.json')] + '.log', time.monotonic()
    with open(log, 'a', encoding='utf-8') as stream:
        process = subprocess.Popen(
            [sys.executable, os.path.join(collection.ROOT, stage.script)] + arguments,
            stdout=stream, stderr=stream, cwd=collection.ROOT,
            env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'))
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(_WAIT)
            record['seconds'] += time.monotonic() - began
            record['memory_gib'] = max(record.get('memory_gib', 0.), resource.getrusage(
                resource.RUSAGE_CHILDREN).ru_maxrss / 2 ** 20)     # of the largest one so far
            record['done'] = process.returncode == 0
            files.write_json(place, record)
    if code:
        raise errors.InputError('stage {} ended with {}; what it printed is in {}. The same '
                                'command goes on.'.format(stage.name, code, log))
    return record


def table(results: Dict[str, Any]) -> List[str]:
    """Returns the lines of Markdown of results.json; the spread is largest less smallest."""
    seeds = sorted(results['runs'], key=int)
    rows = [results['runs'][seed]['figures'] for seed in seeds]
    heads = ['seed ' + seed for seed in seeds] + ['mean'] + ['spread'] * (len(seeds) > 1)
    lines = ['| | {} |'.format(' | '.join(heads)), '|---' + '|---:' * len(heads) + '|']
    for name in rows[0]:
        values = [row.get(name, float('nan')) for row in rows]
        columns = values + [np.mean(values)] + [np.ptp(values)] * (len(values) > 1)
        lines.append('| {} | {} |'.format(name, ' | '.join(map('{:.4g}'.format, columns))))
    runs = [results['runs'][seed] for seed in seeds]
    lines += ['', '{}; {}, {}; seconds of a seed: {}; peak memory {:.1f} GiB.{}'.format(
        results['command'], results['device'], results['date'], ', '.join(
            '{:.0f}'.format(sum(run['seconds'].values())) for run in runs),
        max(run['memory_gib'] for run in runs), ' **Tried at {}, not the table.**'.format(
            results['tried']) if results['tried'] else ''), '']
    return lines + ['    python ' + command for command in runs[0]['commands']]


def _one_seed(options, recipe, seed, steps, work, data):
    """Runs the stages of a seed; returns its entry of results.json."""
    run = os.path.join(work, 'seed-{}'.format(seed))
    os.makedirs(run, exist_ok=True)
    done: List[str] = []
    entry: Dict[str, Any] = {'commands': [], 'seconds': {}, 'memory_gib': 0.}
    for stage in recipe.stages:
        arguments = filled(
            stage, {'data': data, 'run': run, 'seed': seed, 'work': work},
            lambda name: clean_set(options.data, name, work),
            steps, options.quick)
        record = _run_stage(stage, arguments, work if stage.kind == recipes.DATA else run,
                            hashlib.sha256('\n'.join(done).encode()).hexdigest())
        done.append(record['command'])
        told = [stage.script] + [shlex.quote(word) for word in arguments]
        entry['commands'].append(' '.join(told).replace(run, 'RUN').replace(data, 'DATA').replace(
            work, 'WORK'))
        entry['seconds'][stage.name] = record['seconds']
        entry['memory_gib'] = max(entry['memory_gib'], record['memory_gib'])
    return dict(entry, figures=recipes.figures(options.model, run))


def make(options: Any) -> None:
    """Makes the table.

    Raises:
      errors.InputError: there is no such set, or a stage failed.
    """
    recipe, steps = recipes.RECIPES[options.model], options.steps or (2 if options.quick else None)
    work = os.path.abspath(os.path.join(options.work, options.model + (
        '-tried-{}'.format(steps) if steps else '')))
    os.makedirs(work, exist_ok=True)
    if options.background:
        _go_on_behind(work)
        return
    seeds = options.seeds[:1] if options.quick else options.seeds
    cli.say('{} on {}: seeds {}, about {} hours each with one thread of an idle core ({})'.format(
        options.model, recipe.measured_on or 'a set of its own', ' '.join(map(str, seeds)),
        recipe.hours, recipe.told))
    data = measured_set(options, recipe, work)
    runs = {}
    for seed in seeds:
        runs[str(seed)] = _one_seed(options, recipe, seed, steps, work, data)
    results = {
        'model': options.model, 'command': '`python -m tests.results --model {}`'.format(
            options.model), 'device': 'CPU', 'date': datetime.date.today().isoformat(),
        'tried': '{} steps'.format(steps) if steps else '', 'runs': runs}
    path = os.path.join(work, 'results.json')
    files.write_json(path, results)
    for line in table(results):
        print(line)
    cli.say('{} written'.format(path))


def _go_on_behind(work):
    """Starts the same command in a session of its own."""
    path = os.path.join(work, 'log.txt')
    words = [word for word in sys.argv[1:] if word.split('=')[0] != '--background']
    with open(path, 'a', encoding='utf-8') as log:
        process = subprocess.Popen([sys.executable, '-m', 'tests.results'] + words, stdout=log,
                                   stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                   cwd=os.getcwd(), env=dict(os.environ, PYTHONPATH=os.pathsep.join(
                                       [collection.ROOT, os.environ.get('PYTHONPATH', '')])))
    cli.say('process {} goes on; it tells in {}. kill {} stops it behind a step, the same command '
            'goes on'.format(process.pid, path, process.pid))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(make, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

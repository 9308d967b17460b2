"""Tells what mixed precision does to a training or a frozen graph, and what keeps its loss.

Example: python -m common.precision report polygen/output      # a run: its command is started again
         python -m common.precision report pb_model/vsl_encoder.pb
         python -m common.precision search polygen/output --steps=300
         python -m common.precision cost polygen/output --steps=20

`report` measures on real batches which values overflow, vanish or lose places in half precision,
by operator and scope. `search` runs the training for some steps in float32 and emulated, and looks
for the fewest operator types, or where these are too coarse scopes, that have to stay in float32.
It goes on where it was stopped. `cost` tells how much longer an emulated step takes.
"""
import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import collection, errors, files
from common.readers import text

_OURS = ('--output_path', '--emulate_', '--report_every', '--save_every', '--seed', '--threads',
         '--resume', '--noresume', '--modify_mixlist', '--keep_float32_scopes', '--device',
         '--precision_mode', '--noemulate_')
_WAIT = 0.3                 # seconds between two looks at a trial
_ROWS = 20                  # operators and scopes that are printed
_TAIL = 5                   # the last fifth of the steps says which loss a trial has
_WARM = 5                   # steps before those whose time counts
_TOLD = 6                   # types or scopes of a trial that are named


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('action', choices=('report', 'search', 'cost'), help='what to do')
    parser.add_argument('run', help='output folder of a training, or a frozen graph (.pb)')
    parser.add_argument('--output', type=cli.path, default='',
                        help='where the results go; unset: <run>/precision, <graph>_precision')
    parser.add_argument('--script', type=cli.path, default='',
                        help='training script; unset: that of the run')
    parser.add_argument('--precision_mode', default='', metavar='MODE',
                        help='unset: allow_mix_precision for a training, force_fp16 for a graph')
    parser.add_argument('--emulate_chip', default='910', choices=('910', '910B'),
                        help='whose kernels are emulated; products of the 910 take float16 only')
    parser.add_argument('--loss_scale', default='False', metavar='SCALE',
                        help='of the emulated runs: False, dynamic, or a number from 1 up')
    parser.add_argument('--steps', type=cli.positive_int, default=300,
                        help='of each trial of a search; that are timed')
    parser.add_argument('--seeds', default='0,1', help='of the trials, with commas between them')
    parser.add_argument('--tolerance', type=cli.non_negative_float, default=0.05,
                        help='how far above the highest loss of float32 a loss may lie, as a share')
    parser.add_argument('--threads', type=cli.non_negative_int, default=0, help='of each trial')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def recorded_command(run: str, script: str = '') -> List[str]:
    """Returns the script of a run and its arguments, without those that a trial sets itself.

    Raises:
      errors.InputError: the folder records no command, or none of a training script of ours.
    """
    path = os.path.join(run, 'config.json')
    recorded = text.read_json(path)
    command = recorded.get('command') if isinstance(recorded, dict) else None
    if not isinstance(command, list) or not command or not all(
            isinstance(one, str) for one in command):
        raise errors.InputError('{} records no command. Give the folder of a training.'.format(
            path))
    scripts = [os.path.join(collection.ROOT, model.name, name) for model in collection.MODELS
               for name in (model.entry,) + model.scripts]
    tail = os.sep + command[0].lstrip('./')
    fitting = [script] if script else [one for one in scripts if one.endswith(tail)
                                       or os.path.abspath(command[0]) == one]
    if len(fitting) != 1:
        raise errors.InputError('{}: "{}" is no script, or one of several. Give --script.'.format(
            path, command[0]))
    arguments, skip = [], False
    for argument in command[1:]:
        if skip and not argument.startswith('--'):
            continue
        skip = argument.startswith(_OURS) and '=' not in argument
        if not argument.startswith(_OURS):
            arguments.append(argument)
    return fitting + arguments


def run_until(command: Sequence[str], log: str, is_over: Callable[[int], bool]) -> None:
    """Runs a training until a condition holds, then stops it as Ctrl-C does.

    Args:
      command: script and arguments; log: file for what it prints; is_over: asked now and then,
        with the number of the process.
    Raises:
      errors.InputError: it ended with an error; NonFiniteLossError: its loss was not finite.
    """
    with open(log, 'w', encoding='utf-8') as stream:
        process = subprocess.Popen([sys.executable, *command], stdout=stream,
                                   stderr=subprocess.STDOUT)
        try:
            while process.poll() is None and not is_over(process.pid):
                time.sleep(_WAIT)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            code = process.wait()
    if code == 3:
        raise errors.NonFiniteLossError('the loss was not finite, see {}'.format(log))
    if code not in (0, 130, -signal.SIGINT):    # the last: it was about to end by itself
        raise errors.InputError('the training ended with exit code {}; see {}.'.format(code, log))


def stage_folder(output: str, run: str) -> str:
    """Returns the folder in which a training keeps its records.

    Args:
      output: str, its output folder.
      run: str, the run that it repeats, which may be that of a stage below its output folder.
    """
    stage = os.path.join(output, os.path.basename(os.path.normpath(run)))
    return stage if os.path.exists(os.path.join(stage, 'metrics.jsonl')) else output


def losses_of(folder: str) -> Dict[int, float]:
    """Returns {step: loss, or sum of the losses} of a run's metrics.jsonl."""
    from common.training import records  # here, since --help needs no TensorFlow
    path = os.path.join(folder, 'metrics.jsonl')
    losses = {}
    for row in records.read_metrics(path) if os.path.exists(path) else []:
        parts = [value for name, value in row.items() if name.startswith('loss_')]
        if 'loss' in row or parts:
            losses[row['step']] = row.get('loss', sum(parts))
    return losses


def skipped_of(folder: str) -> int:
    """Returns the steps that the loss scale skipped in a run, by the last row that tells."""
    from common.training import records  # here, since --help needs no TensorFlow
    path = os.path.join(folder, 'metrics.jsonl')
    skipped = [int(value) for row in (records.read_metrics(path) if os.path.exists(path) else [])
               for name, value in row.items() if name.startswith('skipped_steps')]
    return max(skipped, default=0)


def _steps_of(output, run):
    return max(losses_of(stage_folder(output, run)), default=0)


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time of a process and of all its threads so far, on Linux."""
    with open('/proc/{}/stat'.format(pid), encoding='utf-8') as stream:
        fields = stream.read().rpartition(')')[2].split()   # behind its name, which may hold spaces
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Trial(NamedTuple):
    """A short training.

    Attributes:
      losses: of the steps 1, 2, ...; cut short where one was not finite.
      skipped: int, steps that the loss scale skipped.
    """

    losses: List[float]
    skipped: int

    def tail(self, steps: int, shift: int = 0) -> float:
        """Returns the mean loss of the last fifth of some steps, infinity where they are missing.

        Args:
          steps: int, of the whole trial; shift: int, how many steps earlier the part lies.
        """
        end = steps - shift
        part = self.losses[max(0, end - max(1, steps // _TAIL)):max(0, end)]
        return sum(part) / len(part) if part and len(self.losses) >= end else float('inf')


class Trials:
    """Short trainings, each made once; what came of them is kept in <folder>/trials.json.

    Args:
      command: of `recorded_command`; options: those of the command line; folder: str.
    """

    def __init__(self, command: Sequence[str], options: argparse.Namespace, folder: str):
        self._command, self._options, self._folder = list(command), options, folder
        self._path = os.path.join(folder, 'trials.json')
        self._done: Dict[str, Dict[str, Any]] = (
            text.read_json(self._path) if os.path.exists(self._path) else {})

    def trial(self, seed: int, types: Optional[Sequence[str]] = None,
              scopes: Sequence[str] = ()) -> Trial:
        """Trains for some steps, or returns what came of it before.

        Args:
          seed: int; types: operators on the black list, None: float32 without emulation;
          scopes: kept in float32.
        """
        kept = [*sorted(types or ()), *sorted(scopes)]
        name = 'seed {}, {}'.format(seed, 'float32' if types is None else 'in float32: {}'.format(
            ', '.join(kept) or 'nothing'))
        key = '{} steps, {} {} {}: {}'.format(
            self._options.steps, self._options.emulate_chip, self._options.precision_mode,
            self._options.loss_scale, name)
        if key not in self._done:
            began = time.perf_counter()
            trial = self._run(seed, types, scopes)
            self._done[key] = trial._asdict()
            files.write_json(self._path, self._done)
            if len(kept) > _TOLD:
                name = 'seed {}, in float32: {} and {} more'.format(
                    seed, ', '.join(kept[:_TOLD]), len(kept) - _TOLD)
            cli.say('trial {} ({}): loss {:.6g}{}, {:.0f} s'.format(
                len(self._done), name, trial.tail(self._options.steps),
                ', {} steps skipped'.format(trial.skipped) if trial.skipped else '',
                time.perf_counter() - began))
        return Trial(**self._done[key])

    def _run(self, seed, types, scopes):
        steps = self._options.steps
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            command = self._command + ['--seed={}'.format(seed), '--report_every=1',
                                       '--save_every={}'.format(10 ** 9), '--device=cpu',
                                       '--threads={}'.format(self._options.threads),
                                       '--output_path=' + os.path.join(folder, 'run')]
            if types is not None:
                command += emulation_arguments(self._options, types, scopes, folder)
            output = os.path.join(folder, 'run')
            try:
                run_until(command, os.path.join(self._folder, 'trial.log'),
                          lambda pid: _steps_of(output, self._options.run) >= steps)
            except errors.NonFiniteLossError:
                pass    # what there is ends before the last step
            run = stage_folder(output, self._options.run)
            losses = losses_of(run)
            trial = Trial([losses[step] for step in range(1, steps + 1) if step in losses],
                          skipped_of(run))
            if not trial.losses:
                raise errors.InputError('the training reported no step; see {}.'.format(
                    os.path.join(self._folder, 'trial.log')))
            return trial


def excess(trial: Trial, references: Sequence[Trial], steps: int) -> float:
    """Returns by what factor a trial's loss lies above the highest of float32's.

    Steps that the loss scale skipped are no loss of precision: the end of the trial is compared
    with float32 as many steps earlier, unless every second step or more was skipped (infinity).
    """
    if trial.skipped >= steps // 2:
        return float('inf')
    return trial.tail(steps) / max(one.tail(steps, trial.skipped) for one in references)


def emulation_arguments(options: argparse.Namespace, types: Sequence[str],
                        scopes: Sequence[str], folder: str) -> List[str]:
    """Returns options of a training script; a mixlist and a list of scopes go into the folder."""
    arguments = ['--emulate_precision', '--emulate_chip=' + options.emulate_chip,
                 '--precision_mode=' + (options.precision_mode or 'mix'),
                 '--loss_scale=' + options.loss_scale]
    if types:
        arguments.append('--modify_mixlist=' + write_mixlist(folder, types))
    if scopes:
        arguments.append('--keep_float32_scopes=@' + write_scopes(folder, scopes))
    return arguments


def write_mixlist(folder: str, types: Sequence[str]) -> str:
    """Writes mixlist.json, which puts operators on the black list; returns its path."""
    path = os.path.join(folder, 'mixlist.json')
    files.write_json(path, {'black-list': {'to-add': sorted(types)}})
    return path


def write_scopes(folder: str, scopes: Sequence[str]) -> str:
    """Writes scopes.txt, for --keep_float32_scopes=@FILE; returns its path."""
    path = os.path.join(folder, 'scopes.txt')
    with files.replacing(path) as temporary, open(temporary, 'w', encoding='utf-8') as stream:
        stream.write('\n'.join(scopes) + '\n')
    return path


def smallest(candidates: Sequence[str], is_good: Callable[[List[str]], bool]) -> List[str]:
    """Returns a part of some candidates that is still good, and of which none can be left out.

    Args:
      candidates: all of them together are good; is_good: called with parts of them.
    """
    chosen, size = list(candidates), max(1, len(candidates) // 2)
    while True:
        start = 0
        while start < len(chosen):
            rest = chosen[:start] + chosen[start + size:]
            if is_good(rest):
                chosen = rest
            else:
                start += size
        if size == 1:
            return chosen
        size //= 2


def measured(command: Sequence[str], options: argparse.Namespace, folder: str
             ) -> Tuple[List[Any], Dict[str, Any]]:
    """Measures the ranges of a training, once: (list of ranges.Range, what else is known)."""
    from common.device import ranges
    path = os.path.join(folder, 'ranges.json')
    if not os.path.exists(path):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            run_until(list(command) + emulation_arguments(options, (), (), scratch) + [
                '--device=cpu', '--emulate_report=' + path, '--report_every=1',
                '--threads={}'.format(options.threads),
                '--output_path=' + os.path.join(scratch, 'run')],
                os.path.join(folder, 'report.log'), lambda pid: os.path.exists(path))
    if not os.path.exists(path):
        raise errors.InputError('the training ended before all was measured; see {}.'.format(
            os.path.join(folder, 'report.log')))
    return ranges.read(path)


def measured_graph(options: argparse.Namespace, folder: str) -> Tuple[List[Any], Dict[str, Any]]:
    """Measures the ranges of a frozen graph on its sample, and prints what its outputs lose."""
    from common.device import emulation, precision_types, ranges
    from common.frozen import graph, model
    path = os.path.join(folder, 'ranges.json')
    sample = graph.read_sample(options.run)
    mode = precision_types.mode_of(options.precision_mode or 'force_fp16', None, False)
    settings = emulation.Settings(precision_types.Rules(mode, chip=options.emulate_chip),
                                  report=path)
    with model.load(options.run) as exact, model.load(options.run, precision=settings) as network:
        expected = exact.predict(**sample)
        outputs = network.predict(**sample)
        while not os.path.exists(path):
            network.predict(**sample)
    for name, value in outputs.items():
        cli.say('{}: largest difference {:.3g}, mean {:.3g}'.format(
            name, *graph.differences(value, expected[name])))
    return ranges.read(path)


def print_ranges(rows: Sequence[Any], about: Dict[str, Any]) -> None:
    """Prints the table of operators and scopes, and what it says of the loss scale."""
    from common.device import ranges
    counts = about['operators'].values()
    cli.say('{}: {} of {} operators with floats in half precision'.format(
        about['mode'], sum(half for half, _ in counts), sum(all_ for _, all_ in counts)))
    if about['unknown']:
        cli.say('not in the table, left in float32: {}'.format(', '.join(about['unknown'])))
    cli.say('{:>10} {:>9} {:>9} {:>9} {:>9}  operator, pass, scope'.format(
        'values', 'saturated', 'vanished', 'reduced', 'lost'))

    def weight(one):
        return -(one.saturated + one.vanished), -one.lost_share

    for one in sorted(rows, key=weight)[:_ROWS]:
        cli.say('{:>10} {:>9} {:>9} {:>9} {:>9.1e}  {} {}in {}'.format(
            one.values, one.saturated, one.vanished, one.reduced, one.lost_share, one.ge_op,
            'backward ' if one.is_gradient else '', one.scope))
    first = [one for one in rows if one.saturated] or [
        one for one in rows if one.vanished > one.nonzero / 100]
    if first:
        cli.say('first place where values overflow (or else more than 1 % vanish): {} in {}'.format(
            first[0].ge_op, first[0].scope))
    gradients = [one for one in rows if one.is_gradient]
    if gradients:
        scale = ranges.loss_scale(rows)
        nonzero = max(1, sum(one.nonzero for one in gradients))
        cli.say('gradients that vanish: {:.2%}; with --loss_scale={:g}: {:.2%}'.format(
            sum(one.vanished for one in gradients) / nonzero, scale,
            sum(ranges.vanished_with(one, scale) for one in gradients) / nonzero))


def draw(rows: Sequence[Any], path: str) -> None:
    """Draws the range of each scope over the range of half precision."""
    from common.device import ranges
    from common.geometry import plots
    rows = ranges.joined([one._replace(ge_op='') for one in rows])
    plots.ranges(path, [(one.scope + (' (backward)' if one.is_gradient else ''), one.histogram)
                        for one in rows])


def suspects(rows: Sequence[Any], part: str, keep_cubes: bool) -> List[str]:
    """Lists operators ('ge_op') or scopes ('scope') that are in half, the worst first.

    Args:
      rows: list of ranges.Range; part: str; keep_cubes: whether products are left out, which a
        chip may not have in float32.
    """
    from common.device import ge_operators
    sums: Dict[str, float] = {}
    for one in rows:
        if part == 'scope' or not (keep_cubes and one.ge_op in ge_operators.CUBE):
            name = getattr(one, part)
            sums[name] = sums.get(name, 0.) + one.saturated + one.vanished + one.lost_share
    return sorted(sums, key=lambda name: -sums[name])


def search(options: argparse.Namespace, command: Sequence[str], folder: str,
           rows: Sequence[Any]) -> None:
    """Finds the types, else the scopes, to keep in float32; prints and writes them."""
    trials = Trials(command, options, folder)
    seeds = [int(seed) for seed in options.seeds.split(',')]
    references = [trials.trial(seed) for seed in seeds]
    cli.say('float32: loss {}; {:.0%} more is accepted'.format(', '.join(
        '{:.6g}'.format(one.tail(options.steps)) for one in references), options.tolerance))

    def is_good(types, scopes):
        return all(excess(trials.trial(seed, types, scopes), references, options.steps)
                   <= 1 + options.tolerance for seed in seeds)

    def good_types(types):
        return is_good(types, ())

    def good_scopes(scopes):
        return is_good((), scopes)

    if good_types([]):
        cli.say('mixed precision keeps the loss as it is: nothing has to stay in float32')
        return
    types = suspects(rows, 'ge_op', options.emulate_chip == '910')
    if types and good_types(types):
        chosen = smallest(types, good_types)
        cli.say('--modify_mixlist={}: {}'.format(write_mixlist(folder, chosen), ', '.join(chosen)))
        return
    cli.say('operator types alone do not keep the loss')
    scopes = suspects(rows, 'scope', False)
    if good_scopes(scopes):
        chosen = smallest(scopes, good_scopes)
        cli.say('--keep_float32_scopes=@{}: {}'.format(
            write_scopes(folder, chosen), ', '.join(chosen)))
        return
    cli.say('nor does float32 in every scope: try --loss_scale, or --emulate_chip=910B, whose '
            'products can stay in float32')


def print_cost(command: Sequence[str], options: argparse.Namespace, folder: str) -> None:
    """Prints the CPU time of a step in float32 and emulated, without the first _WARM ones."""
    seconds = {}
    for name in ('float32', 'emulated'):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            extra = [] if name == 'float32' else emulation_arguments(options, (), (), scratch)
            run = os.path.join(scratch, 'run')
            seconds[name] = _seconds_per_step(
                [*command, *extra, '--device=cpu', '--report_every=1', '--seed=0',
                 '--threads={}'.format(options.threads), '--output_path=' + run],
                run, options, os.path.join(folder, 'cost.log'))
        cli.say('{}: {:.4f} CPU seconds a step'.format(name, seconds[name]))
    cli.say('ratio {:.2f}'.format(seconds['emulated'] / seconds['float32']))


def _seconds_per_step(command, run, options, log):
    looks: List[Tuple[float, int]] = []     # CPU seconds and steps so far

    def is_over(pid):
        steps = _steps_of(run, options.run)
        if steps >= _WARM:
            looks.append((cpu_seconds(pid), steps))
        return steps >= _WARM + options.steps

    run_until(command, log, is_over)
    (first, before), (last, after) = looks[0], looks[-1]
    if after == before:
        raise errors.InputError('the steps are over too soon to time them: give more --steps.')
    return (last - first) / (after - before)


def work(options: argparse.Namespace) -> int:
    """Does what the command line asks."""
    is_graph = os.path.isfile(options.run)
    if is_graph and options.action != 'report':
        raise errors.UsageError('{} needs the folder of a training, not a graph.'.format(
            options.action))
    folder = options.output or (os.path.splitext(options.run)[0] + '_precision' if is_graph
                                else os.path.join(options.run, 'precision'))
    command = [] if is_graph else recorded_command(options.run, options.script)
    files.make_folder(folder)
    if options.action == 'cost':
        print_cost(command, options, folder)
        return 0
    if is_graph:
        rows, about = measured_graph(options, folder)
    else:
        rows, about = measured(command, options, folder)
    print_ranges(rows, about)
    draw(rows, os.path.join(folder, 'ranges.png'))
    if options.action == 'search':
        search(options, command, folder, rows)
    cli.say('results in {}'.format(folder))
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.device import choice  # here and above, since --help needs no TensorFlow
    return choice.run(work, parsed)


if __name__ == '__main__':
    cli.script(main)

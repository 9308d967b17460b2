"""Kills trainings, resumes them, and compares what they leave with an unbroken run.

A kill (SIGKILL, SIGTERM, SIGINT) comes at a random moment, at a chosen call that changes files, or
while TensorFlow saves. Each run is a process forked after the imports, and its pictures are a line
each. A killed run is given the same command until it is done; then the last checkpoint has to equal
the unbroken run's to the bit, all results have to be there and of the last step, and nothing else
may be left. A checkpoint that is lost, a traceback, or another exit code is a finding: it is
printed, its folder is kept, and the exit code is 1. The same command again goes on with the count.

Example: python -m tests.kill --model toy --kills 1000
"""
import builtins
import collections
import contextlib
import faulthandler
import functools
import hashlib
import io
import json
import os
import random
import re
import select
import shutil
import signal
import sys
import threading
import time

import numpy as np
import tensorflow.compat.v1 as tf
from PIL import Image

from common import cli, files
from common.geometry import plots
from common.readers import text as text_lib
from common.training import checkpoints, runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MOST_KILLS = 8     # of one run
_CLOCK = 900        # seconds after which a run counts as hanging
_CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
_CHANGING = 'replace', 'rename', 'remove', 'open', 'mkdir', 'makedirs', 'chmod', 'close'
_UNLIKE = re.compile(r'(^|/)(config\.json|metrics\.jsonl|\.lock|checkpoint|report\.html)$')
_OWN = re.compile(r'(^|.*/)checkpoints/(model-\d+)\.(index|data-00000-of-00001|state\.json)$')
_TEMPORARY = re.compile(r'\.tmp-|tempstate')

Case = collections.namedtuple('Case', 'main arguments runs')
Case.__doc__ = """A training at a tiny size.

main: function (list of str) -> exit code; arguments: list of str; runs: names of folders below the
output folder that hold runs."""
Plan = collections.namedtuple('Plan', 'kind signal place seconds')
Plan.__doc__ = """When to kill.

kind: 'clock', 'call', 'save' or 'none'; signal: int; place: int, number of the call or save, from
1; seconds: float, after the start or after the beginning of the save."""
_NONE = Plan('none', 0, 0, 0.)


def _toy(folder):
    from tests.common import toy_training
    del folder
    return Case(toy_training.main, ['--training_steps=12', '--save_every=3', '--report_every=1',
                                    '--keep_checkpoints=2'], [''])


def _vsl(folder):
    from vsl import data_utils, evaluation, make_dataset, training, vsl_main
    del evaluation, training    # imported here, as a script imports them late
    path = os.path.join(folder, 'shapes.mat')
    if not os.path.exists(path):
        data_utils.write(path, *make_dataset.make_furniture(0, 2, 1))
    return Case(vsl_main.main, [
        '--data_path=' + path, '--stages=train,classify,freeze', '--report_every=1',
        '--training_steps=4', '--save_every=2', '--batch_size=5', '--global_latent_dim=3',
        '--local_latent_dim=2', '--local_latent_num=1'], [''])


def _polygen(folder):
    from polygen import train, training
    from tests.polygen import tiny
    del training
    data = tiny.write_solids(os.path.join(folder, 'meshes'))
    return Case(train.main, tiny.OPTIONS + [
        '--data_path=' + data, '--training_steps=4', '--save_every=2', '--num_buckets=1',
        '--sample', '--valid_only'], [''])


def _polygen_image(folder):
    from polygen import make_dataset, train, training
    from tests.polygen import tiny
    del training
    data = os.path.join(folder, 'set')
    if not os.path.exists(data):
        code, _, err = tiny.main(
            make_dataset, '--meshes=' + tiny.write_solids(os.path.join(folder, 'meshes')),
            '--output=' + data, '--views=2', '--image_size=16', '--voxels=8', '--test_fraction=0',
            '--workers=1')
        if code:
            raise ValueError(err)
    return Case(train.main, tiny.OPTIONS + [
        '--data_path=' + data, '--condition=image', '--image_size=16', '--encoder_channels', '4',
        '--encoder_blocks', '1', '1', '--pre_embed_dim=3', '--training_steps=4', '--save_every=2',
        '--num_buckets=1', '--nosample'], [''])


def _imnet(folder):
    from imnet import options, train, training
    from tests.imnet import tiny
    del training
    options.POINTS = tiny.POINTS
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, tiny.STEM + '_test.hdf5')):
        tiny.write(folder, 4, 2)
    return Case(train.main, [
        '--data_path=' + folder, '--epochs', '1', '2', '3', '--gan_epochs=2', '--svr_epochs=2',
        '--svr_ef_dim=1', '--svr_batch_size=2', '--gan_dim=4', '--checkpoint_every=1', '--stages',
        'ae16', 'ae32', 'codes', 'gan', 'svr'] + tiny.SIZES, ['ae', 'gan', 'svr'])


def _r2n2(folder):
    from r2n2 import main, training
    from tests.r2n2 import tiny
    del training
    data = os.path.join(folder, 'data')
    if not os.path.exists(data):
        tiny.make_data(data)
    return Case(main.main, [
        '--data_path=' + data, '--training_steps=4', '--batch_size=2', '--report_every=1',
        '--save_every=2', '--workers=1', '--mask_views', '--evaluate', '--plain', '--model=GRUNet',
        '--set'] + tiny.SET, [''])


def _cmr(folder):
    from cmr import train, training
    from cmr.src.models import resnet
    from tests.cmr import tiny
    del training
    resnet.LAYERS = 1, 1, 1, 1
    body, data = os.path.join(folder, 'body'), os.path.join(folder, 'data')
    if not os.path.exists(data):
        tiny.make_body(body)
        tiny.make_set(data, body)
    return Case(train.main, [
        '--data_path=' + data, '--body=' + body, '--dataset=up-3d', '--training_steps=4',
        '--batch_size=2', '--report_every=1', '--save_every=2', '--num_workers=1', '--evaluate']
        + tiny.NETWORK, [''])


def _quick_pictures():
    """Writes one pixel for each picture, which would take most of the time of a tiny run."""
    stream = io.BytesIO()
    Image.new('RGBA', (1, 1)).save(stream, 'PNG')

    def write(path):
        with files.replacing(path) as temporary:
            with open(temporary, 'wb') as target:
                target.write(stream.getvalue())

    for name, place in (('mesh_grid', 0), ('image_grid', 0), ('curves', 0), ('save_figure', 1)):
        setattr(plots, name, lambda *arguments, place=place, **options: write(arguments[place]))


def _quick_graphs():
    """Leaves graphs as they are built: optimizing one takes longer than the steps of a tiny run."""
    init = tf.Session.__init__

    def call(self, target='', graph=None, config=None):
        config = config or tf.ConfigProto()
        config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        init(self, target, graph, config)

    tf.Session.__init__ = call


CASES = {'toy': _toy, 'vsl': _vsl, 'polygen': _polygen, 'polygen-image': _polygen_image,
         'imnet': _imnet, 'r2n2': _r2n2, 'cmr': _cmr}


class _Calls:
    """Counts calls that change files, and saves of checkpoints; kills at the planned one."""

    def __init__(self, plan):
        self._plan, self._owner = plan, os.getpid()
        self.calls = self.saves = 0
        for name in _CHANGING:
            setattr(os, name, self._wrapped(getattr(os, name)))
        builtins.open = self._wrapped(builtins.open)
        save = tf.train.Saver.save

        def timed(*arguments, **options):
            self.saves += 1
            if plan.kind == 'save' and self.saves == plan.place:
                threading.Timer(plan.seconds, os.kill, [self._owner, plan.signal]).start()
            return save(*arguments, **options)

        tf.train.Saver.save = timed

    def _wrapped(self, function):
        @functools.wraps(function)
        def call(*arguments, **options):
            self.calls += 1
            is_here = (self._plan.kind == 'call' and self.calls == self._plan.place
                       and os.getpid() == self._owner)
            before = is_here and self._plan.seconds < 0.5   # else behind it
            if before:
                os.kill(self._owner, self._plan.signal)
            result = function(*arguments, **options)
            if is_here and not before:
                os.kill(self._owner, self._plan.signal)
            return result
        return call


def _child(case, output, plan, sending):
    """Runs a training in a forked process; sends a byte at its start, and counts at its end."""
    def main():
        os.write(sending, b'!')
        calls = _Calls(plan)
        arguments = case.arguments
        place = arguments.index('--set') if '--set' in arguments else len(arguments)
        code = case.main(arguments[:place] + ['--output_path=' + output, '--device=cpu',
                                              '--threads=1'] + arguments[place:])
        os.write(sending, json.dumps([calls.calls, calls.saves]).encode())
        return code

    log = os.open(output + '.log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable()   # a crash says where
    code = 99
    try:
        cli.script(main)
    except SystemExit as stop:
        sys.stdout.flush()
        code = stop.code
    finally:
        os._exit(code)


def _wait(process, seconds):
    """Waits so long for a process; returns (whether it has ended, its exit code or -signal)."""
    until = time.time() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return True, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        if time.time() > until:
            return False, None
        time.sleep(0.002)


def attempt(case, output, plan=_NONE):
    """Runs a training once, perhaps to its kill.

    Returns:
      (exit code, or minus the signal that ended it; list of calls and saves, or None; seconds).
    """
    receiving, sending = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if not process:
        os.close(receiving)
        _child(case, output, plan, sending)
    os.close(sending)
    with os.fdopen(receiving, 'rb', 0) as stream:
        stream.read(1)
        began = time.time()
        ended = False
        if plan.kind == 'clock':
            ended, code = _wait(process, plan.seconds)
            if not ended:
                os.kill(process, plan.signal)
        if not ended:
            ended, code = _wait(process, _CLOCK)
        if not ended:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return 'hangs', None, _CLOCK
        seconds = time.time() - began
        # A worker that has not noticed yet may hold the other end of the pipe.
        counts = stream.read() if select.select([stream], [], [], 0)[0] else b''
    return code, json.loads(counts.decode()) if counts else None, seconds


def _digest(path):
    with open(path, 'rb') as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _state_of_the_project():
    """A digest of the project's code: another one may leave other files."""
    digest = hashlib.sha256()
    for place, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if not name.startswith('.')
                            and name not in ('output', 'docs', 'field_cases', 'golden_cases'))
        for name in sorted(names):
            if name.endswith('.py'):
                digest.update(_digest(os.path.join(place, name)).encode())
    return digest.hexdigest()


def _files(output):
    """{relative path: digest} of all files, but for the names of event files."""
    paths = [os.path.join(place, name) for place, _, names in os.walk(output) for name in names]
    names = {os.path.relpath(path, output): path for path in paths}
    return {name: _digest(path) for name, path in names.items() if 'events.' not in name}


def _rows(path):
    with open(path, encoding='utf-8') as stream:
        rows = [json.loads(line) for line in stream]
    return [{key: value for key, value in row.items() if key != 'seconds_per_step'}
            for row in rows]


def _steps(case, output):
    """Newest step of each run that has all its files."""
    prefixes = [checkpoints.resumable(os.path.join(output, run, checkpoints.RUN_FOLDER))[0]
                for run in case.runs]
    return [checkpoints.step_of(prefix) if prefix else 0 for prefix in prefixes]


def differences(case, output, reference, unstable):
    """Says in lines how a finished output folder differs from the unbroken run's.

    Args:
      case: Case; output, reference: str, folders.
      unstable: set of relative paths that differ between unbroken runs, too (times in them).
    """
    lines, actual, expected = [], _files(output), _files(reference)
    # A signal saves the step that it came in, too.
    own = collections.Counter(_OWN.sub(r'\1\2', name) for name in actual if _OWN.match(name))
    lines += ['incomplete: ' + name for name, count in own.items() if count != 3]
    actual, expected = [{name: digest for name, digest in table.items() if not _OWN.match(name)}
                       for table in (actual, expected)]
    lines += ['left over: ' + name for name in sorted(set(actual) - set(expected))]
    lines += ['missing: ' + name for name in sorted(set(expected) - set(actual))]
    lines += ['temporary: ' + name for name in actual if _TEMPORARY.search(name)]
    lines += ['differs: ' + name for name in sorted(set(actual) & set(expected) - unstable)
              if actual[name] != expected[name] and not _UNLIKE.search(name)]
    for run in case.runs:
        folders = [os.path.join(place, run) for place in (output, reference)]
        if _steps(case, output) != _steps(case, reference):
            lines.append('another last step')
            continue
        arrays, truth = [checkpoints.read(checkpoints.latest(folder)) for folder in folders]
        lines += ['{} is not equal'.format(name) for name in truth
                  if name not in arrays or not np.array_equal(arrays[name], truth[name])]
        if len(set(map(str, map(_rows, [os.path.join(folder, 'metrics.jsonl')
                                        for folder in folders])))) > 1:
            lines.append('other rows in metrics.jsonl of "{}"'.format(run))
    return lines


def _draw(rng, calls, saves, seconds):
    """Draws a plan."""
    number = rng.choices(sorted(_CODES), [2, 1, 3])[0]      # SIGINT 2, SIGKILL 9, SIGTERM 15
    kind = rng.choice(['clock', 'call', 'call', 'save'] if saves else ['clock', 'call'])
    if kind == 'clock':
        return Plan(kind, int(number), 0, rng.uniform(0, seconds))
    if kind == 'call':
        return Plan(kind, int(number), rng.randint(1, calls), rng.random())
    return Plan(kind, int(number), rng.randint(1, saves), rng.uniform(0, 0.03))


class Killer:
    """Kills runs of one case; what it did stands in `<folder>/kills.jsonl`.

    Args:
      name: str, of CASES; folder: str; seed: int.
    """

    def __init__(self, name, folder, seed=0):
        self._folder, self._seed = folder, seed
        self.findings = []
        data = os.path.abspath(os.path.join(folder, 'data'))
        os.makedirs(data, exist_ok=True)
        _in_child(functools.partial(CASES[name], data))     # with sessions of TensorFlow
        self.case = CASES[name](data)
        _quick_pictures()
        _quick_graphs()
        runs._PAGE_EVERY = 86400.   # a run that is slow for once would write one more page
        self._log = os.path.join(folder, 'kills.jsonl')
        self.rows = _rows(self._log) if os.path.exists(self._log) else []
        self._measure()

    def _measure(self):
        """Two unbroken runs: how long they are, and which files differ from run to run."""
        self.reference, other = [os.path.join(self._folder, name) for name in ('unbroken', 'other')]
        path, state = os.path.join(self._folder, 'measured.json'), _state_of_the_project()
        if os.path.exists(path):
            *measured, unstable, before = text_lib.read_json(path)
            self._calls, self._saves, self._seconds = measured
            self.unstable = set(unstable)
            if before == state:
                return
            print('the project has changed: the unbroken runs are made again', flush=True)
        for output in (self.reference, other):
            shutil.rmtree(output, ignore_errors=True)
            code, counts, self._seconds = attempt(self.case, output)
            if code:
                with open(output + '.log', errors='replace') as stream:
                    raise RuntimeError('{}: {}'.format(code, stream.read()[-2000:]))
        self._calls, self._saves = counts
        first, second = _files(self.reference), _files(other)
        self.unstable = {name for name in first if first[name] != second.get(name)}
        lines = differences(self.case, other, self.reference, self.unstable)
        if lines:
            raise RuntimeError('two unbroken runs differ: {}'.format(lines))
        files.write_json(path, [self._calls, self._saves, self._seconds, sorted(self.unstable),
                                state])

    def one_run(self, most):
        """Kills one run up to `most` times, resumes it to its end, and compares."""
        number = len(self.rows)
        rng = random.Random('{}:{}'.format(self._seed, number))
        output = os.path.join(self._folder, 'run')
        shutil.rmtree(output, ignore_errors=True)
        before, killed = [0] * len(self.case.runs), 0
        plans = []
        while True:
            plan = _NONE
            if killed < min(most, _MOST_KILLS):
                plan = _draw(rng, self._calls, self._saves, self._seconds)
            plans.append(list(plan))
            code, _, _ = attempt(self.case, output, plan)
            lines = self._amiss(output, plan, code, before)
            if code == 0 or lines:
                break
            before = _steps(self.case, output)
            killed += 1
            self._note({'run': number, 'plan': list(plan), 'code': code})
        if not lines:
            lines = differences(self.case, output, self.reference, self.unstable)
        if not killed:
            self._note({'run': number, 'plan': list(plan), 'code': code})
        if lines:
            kept = os.path.join(self._folder, 'finding-{}'.format(number))
            shutil.rmtree(kept, ignore_errors=True)
            if os.path.isdir(output):       # else it was killed before it began
                os.rename(output, kept)
            shutil.copy(output + '.log', kept + '.log')
            self.findings.append('{}: {} {}'.format(kept, '; '.join(lines[:5]), plans))
        return killed

    def _amiss(self, output, plan, code, before):
        """What is wrong with one attempt, in lines."""
        with open(output + '.log', errors='replace') as stream:
            text = stream.read()
        lines = []
        if 'Traceback' in text or 'Exception ignored' in text:
            lines.append('a traceback: ' + text.strip().split('\n')[-1][:200])
        if code not in (0, _CODES.get(plan.signal)):
            lines.append('exit code {}: {}'.format(code, text.strip()[-300:]))
        if os.path.isdir(output):
            for step, earlier in zip(_steps(self.case, output), before):
                if step < earlier:
                    lines.append('lost the checkpoint of step {}'.format(earlier))
        return lines

    def _note(self, row):
        self.rows.append(row)
        with open(self._log, 'a', encoding='utf-8') as stream:
            stream.write(json.dumps(row) + '\n')

    def kills(self):
        """How many kills there were, those of earlier calls too."""
        return sum(row['code'] != 0 for row in self.rows)


def _in_child(function):
    process = os.fork()
    if not process:
        code = 1
        try:
            with contextlib.redirect_stdout(sys.stderr):
                function()
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError('cannot make the data')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', required=True, choices=sorted(CASES), help='what is trained')
    parser.add_argument('--kills', type=cli.non_negative_int, default=20,
                        help='in all, with those of earlier calls')
    parser.add_argument('--seconds', type=cli.positive_float, default=86400.,
                        help='after which no new run is started; the same command goes on')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the moments')
    parser.add_argument('--folder', default=os.path.join(
        os.path.dirname(os.path.abspath(__file__)), 'output', 'kill'), help='of what it leaves')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def try_out(options):
    """Kills and resumes trainings and prints the findings; returns 1 if there are any, else 0."""
    folder = os.path.join(options.folder, options.model)
    killer, began, runs = Killer(options.model, folder, options.seed), time.time(), 0
    while killer.kills() < options.kills and time.time() < began + options.seconds:
        killer.one_run(options.kills - killer.kills())
        runs += 1
        if runs % 20 == 0:
            print('{} kills, {} findings'.format(killer.kills(), len(killer.findings)), flush=True)
    for finding in killer.findings:
        print(finding)
    kinds = collections.Counter('{} by {}'.format(row['plan'][0], signal.Signals(
        row['plan'][1]).name) for row in killer.rows if row['code'])
    print('{}: {} kills ({}), {} runs to their end now, {} findings, {:.0f} s'.format(
        options.model, killer.kills(), ', '.join('{} {}'.format(count, kind)
                                                 for kind, count in sorted(kinds.items())),
        runs, len(killer.findings), time.time() - began))
    return 1 if killer.findings else 0


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(try_out, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

"""Runs a training script as a ModelArts job: data in, results out, its exit code passed on.

What --train_url holds already is brought here first, so that a job that was stopped goes on when it
is started again. Options that are not listed below go to the script.

Example: python boot_modelarts.py --model=vsl --script=vsl_imrec.py --data_url=obs://bucket/dataset
         --train_url=obs://bucket/output --batch_size=40
"""
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, Iterable, List, Optional

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
import help_modelarts
from common import collection, errors, files, redact
from common.device import rank_table
from common.modelarts import copies, places

_ROOT = os.path.dirname(os.path.abspath(__file__))
_GRACE = 300        # seconds that a script has to save and end after a stop signal
_PATIENCE = 7200    # seconds that the other processes of a machine wait for the data
_SLACK = 60         # seconds between the starts of the processes of a machine
_LEFTOVERS = 10     # seconds that processes the script has left behind may go on printing
# Reads the options as a script does, without doing its work.
_READ_OPTIONS = ('import runpy, sys; sys.argv = sys.argv[1:]; '
                 'names = runpy.run_path(sys.argv[0]); '
                 'names.get("parse_args", list)(sys.argv[1:])')
_OWN_OPTIONS = {'--data_path': '--data_url', '--data_dir': '--data_url', '--datapath': '--data_url',
                '--output_path': '--train_url'}


class _Stopped(Exception):
    """A stop signal came before the script was started."""

    def __init__(self, number):
        super().__init__('stopped by {} before the training'.format(signal.Signals(number).name))
        self.exit_code = 128 + number


class _CutShort(BaseException):
    """A stop signal ended a copy of results; the last copy makes that good."""


def parse_args(argv=None):
    """Reads the command line; options for the script end up in `forwarded`."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=sorted(collection.NAMES), required=True,
                        help='what to train')
    parser.add_argument('--script', '--entry', default='',
                        help='script in the folder of the model; unset: the one that trains it')
    parser.add_argument('--data_url', default='', metavar='PLACE',
                        help='data: a folder, file://, obs:// or s3://; unset: ./dataset where it '
                             'exists, else what the script falls back on')
    parser.add_argument('--train_url', default='./output', metavar='PLACE',
                        help='results: a folder, file://, obs:// or s3://')
    parser.add_argument('--modelarts_data_dir', default='', metavar='FOLDER',
                        help='where the data is copied to; unset: a folder is used as it lies, '
                             'a URL gets one below /cache (or the temporary folder)')
    parser.add_argument('--modelarts_result_dir', default='', metavar='FOLDER',
                        help='where the script writes; unset: as above')
    parser.add_argument('--upload_every', type=cli.positive_float, default=600.0,
                        help='seconds between copies of the results while the script runs')
    parser.add_argument('--num_gpus', default=None, help='of the platform; ignored')
    help_modelarts.add_patience_options(parser)
    parsed, forwarded = parser.parse_known_args(argv)
    for argument in forwarded:
        name = argument.split('=')[0]
        if name in _OWN_OPTIONS:
            parser.error('{} is set from {}; give that'.format(name, _OWN_OPTIONS[name]))
    return cli.settled(parsed, forwarded=forwarded)


def complete(options: cli.Options) -> cli.Options:
    """Settles where data and results lie on this machine."""
    data_url = options.data_url or ('./dataset' if os.path.isdir('dataset') else '')
    return options.replace(
        data_url=data_url,
        modelarts_data_dir=data_url and _working_folder(
            data_url, options.modelarts_data_dir, 'dataset'),
        modelarts_result_dir=_working_folder(
            options.train_url, options.modelarts_result_dir, 'result'))


def _script(options: cli.Options) -> str:
    """Returns the path of the script, which lies in the folder of its model."""
    folder = os.path.join(_ROOT, options.model)
    name = options.script or collection.find(options.model).entry
    path = os.path.normpath(os.path.join(folder, name))
    if not path.startswith(folder + os.sep) or not path.endswith('.py'):
        raise errors.UsageError('--script must be a Python file in the folder {}, not "{}".'.format(
            options.model, name))
    if not os.path.isfile(path):
        raise errors.InputError('{} has no script {}.'.format(folder, name))
    return path


def _command(path: str, options: cli.Options) -> List[str]:
    """Returns the command line of the script."""
    command = [sys.executable, path] + options.forwarded
    command.append('--output_path=' + options.modelarts_result_dir)
    if options.data_url:
        command.append('--data_path=' + options.modelarts_data_dir)
    if options.debug:
        command.append('--debug')
    return command


def _check_options(command: List[str]) -> int:
    """Lets the script read its options, so that a wrong one is told before anything is copied.

    A script that does its work when it is imported is left alone.

    Returns:
      0, or 2 after the script has said what is wrong.
    """
    with open(command[1], encoding='utf-8', errors='replace') as stream:
        if not re.search(r'^if __name__ == .__main__.:', stream.read(), re.MULTILINE):
            return 0
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', _READ_OPTIONS] + command[1:],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, universal_newlines=True)
    if done.returncode != 2:    # what else is wrong may come right with the data
        return 0
    print(done.stderr, end='', file=sys.stderr, flush=True)
    return 2


def _working_folder(url, asked, name):
    """Returns the folder to work in: as asked, or the place itself where it is a plain folder, or
    one on the machine's fast disk that belongs to this URL alone."""
    if asked or '://' not in url:
        return os.path.abspath(asked or url)
    root = '/cache' if os.access('/cache', os.W_OK) else tempfile.gettempdir()
    return os.path.join(root, '{}-{}'.format(name, _digest(url)[:8]))


def _digest(url):
    return hashlib.sha256(url.rstrip('/').encode()).hexdigest()


def _is_alone():
    """Returns whether this is the only process of the training (the platform's 0 means 1)."""
    return (os.environ.get('RANK_SIZE') or '1') in ('0', '1')


def _brings_data():
    """Returns whether this process brings data and earlier results to its machine."""
    return _is_alone() or rank_table.is_first_of_machine(os.environ)


def _fetch(options: cli.Options) -> Dict[str, Any]:
    """Brings data and earlier results here; a machine with several processes does it once.

    A marker beside the result folder says whose results lie there, and tells the other processes
    that they can begin, or that nothing came.

    Returns:
      for `help_modelarts.modelarts2obs`: what came from there and need not be copied back.
    """
    marker = '{}.ready'.format(options.modelarts_result_dir.rstrip('/'))
    whose = _digest(options.train_url)
    if not _brings_data():
        _wait_for(marker)
        return {}
    apart = not places.is_same(options.train_url, options.modelarts_result_dir)
    needs_marker = apart or not _is_alone()
    owner = (_read_marker(marker).split() or [whose])[-1]
    with contextlib.suppress(FileNotFoundError):
        os.remove(marker)
    try:
        if apart:
            _refuse_results_of_another(options.modelarts_result_dir, owner != whose)
        owner = whose
        if options.data_url:
            help_modelarts.obs_data2modelarts(
                options, help_modelarts.patience_of(options))
        known = _fetch_results(options) if apart else {}
        _make_result_folder(options.modelarts_result_dir, needs_marker and marker, whose)
        return known
    except BaseException:
        if needs_marker:
            with contextlib.suppress(errors.InputError):
                files.write_text(marker, 'failed ' + owner)
        raise


def _make_result_folder(folder, marker, whose):
    try:
        os.makedirs(folder, exist_ok=True)
        if marker:
            files.write_text(marker, whose)
    except (OSError, errors.InputError) as error:
        raise errors.InputError('cannot write to {} ({}). Give another --modelarts_result_dir.'
                                .format(folder, getattr(error, 'strerror', None) or error)
                                ) from error


def _refuse_results_of_another(folder, are_of_another):
    if are_of_another and os.path.isdir(folder) and copies.list_files(folder):
        raise errors.InputError('{} holds the results of another --train_url. Give another '
                                '--modelarts_result_dir, or move them away.'.format(folder))


def _read_marker(marker):
    """Returns what the marker says, or an empty text."""
    try:
        with open(marker, encoding='utf-8', errors='replace') as stream:
            return stream.read().strip()
    except OSError:
        return ''


def _fetch_results(options: cli.Options) -> Dict[str, Any]:
    """Brings what --train_url holds, unless the folder here holds more of the same job.

    That is so where an earlier start could not bring its last results out.

    Returns:
      dict, see `_fetch`.
    """
    patience = help_modelarts.patience_of(options)
    folder = options.modelarts_result_dir
    here = copies.list_files(folder) if os.path.isdir(folder) else {}
    there = copies.list_files(options.train_url, patience) if copies.exists(
        options.train_url, patience) else {}
    own = set(here) if _is_ahead(here, there) else set()
    if own and there:
        print('note: {} is ahead of {}, so what both hold is kept as it is here'.format(
            folder, redact.url(options.train_url)), flush=True)
    if not set(there) - own:
        return {}
    copies.copy_tree(options.train_url, folder, own.__contains__, None, patience)
    return {name: stamp for name, stamp in copies.stamps(folder).items()
            if name in there and name not in own}


def _is_ahead(here, there):
    """Returns whether names of files show checkpoints of later steps, and none of earlier ones.

    Args:
      here, there: names below two places.
    """
    ours, theirs = _newest_steps(here), _newest_steps(there)
    return ours != theirs and all(ours.get(folder, -1) >= step for folder, step in theirs.items())


def _newest_steps(names: Iterable[str]) -> Dict[str, int]:
    """Returns {folder: step of its newest checkpoint} of the names of files."""
    steps: Dict[str, int] = {}
    for name in names:
        match = re.search(r'-(\d+)\.index$', name)
        if match:
            folder = os.path.dirname(name)
            steps[folder] = max(steps.get(folder, -1), int(match.group(1)))
    return steps


def _wait_for(marker):
    """Waits until the first process of the machine has brought the data (a marker of this start).
    """
    started = time.time()  # the platform starts the processes of a machine together
    waiting = rank_table.Waiting('the first process of this machine to bring the data and to write '
                                 + marker, _PATIENCE)
    while True:
        text = _read_marker(marker)
        age = os.path.getmtime(marker) - started if text and os.path.exists(marker) else -_SLACK
        if text and age > -_SLACK and not text.startswith('failed'):
            return
        # An earlier start may have failed a moment ago; the first process takes its marker away.
        if text.startswith('failed') and (age >= 0 or time.time() > started + _SLACK):
            raise errors.InputError('the first process of this machine could not bring the data; '
                                    'its log says why.')
        if waiting.is_over():
            raise errors.InputError('the first process of this machine has not brought the data '
                                    'within {} s ({} is missing).'.format(_PATIENCE, marker))
        time.sleep(1.0)


class _Job:
    """The script as a process of its own, whose output is copied to the log."""

    def __init__(self, options: cli.Options):
        self._options = options
        self.known: Dict[str, Any] = {}     # of what was copied out already
        self._stop: Optional[int] = None
        self._stopped_at = None
        self._begun = False
        self._process = None
        self._copying = False   # between two looks at the script
        rank = os.environ.get('RANK_ID') or '0'
        self._log = 'train_{}.log'.format(rank)
        self._uploads_all = rank == '0' or _is_alone()

    def on_signal(self, number, frame):
        """Passes a stop signal on once; the script saves and ends."""
        del frame
        if number == signal.SIGHUP:     # a terminal that was closed
            number = signal.SIGTERM
        if not self._begun:
            raise _Stopped(number)
        if self._stop is None:
            self._stop, self._stopped_at = number, time.monotonic()
            self._pass_stop_on()
            if self._copying:   # it may hang, and is done again at the end
                raise _CutShort

    def _pass_stop_on(self):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._stop)

    def run(self, command):
        """Runs the script to its end and brings the results out; returns the exit code."""
        print('running: {}'.format(' '.join(redact.command(command))), flush=True)
        log = os.path.join(self._options.modelarts_result_dir, self._log)
        with open(log, 'ab', buffering=0) as stream:
            self._begun = True  # from here on a stop signal is the script's
            # A session of its own: a stop signal reaches the script once, through `on_signal`.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
                env=dict(os.environ, PYTHONUNBUFFERED='1'))
            if self._stop is not None:
                self._pass_stop_on()
            viewer = threading.Thread(target=_pass_on, args=(self._process.stdout, stream),
                                      daemon=True)
            viewer.start()
            try:
                self._wait()
            finally:
                self._end(viewer)
        code = self._process.returncode
        code = 128 + self._stop if self._stop else code if code >= 0 else 128 - code
        with contextlib.suppress(OSError):  # nobody may read this any more
            print('{} ended with exit code {}'.format(os.path.basename(command[1]), code),
                  flush=True)
        failed = self._bring_out()
        return code or failed

    def _wait(self):
        uploaded = time.monotonic()
        while True:
            try:
                self._process.wait(timeout=1.0)
                return
            except subprocess.TimeoutExpired:
                pass
            now = time.monotonic()
            if self._stop and now > self._stopped_at + _GRACE:
                self._process.kill()
            elif not self._stop and now > uploaded + self._options.upload_every:
                self._bring_out_between()
                uploaded = time.monotonic()

    def _end(self, viewer):
        """Waits for the last lines; ends what the script has left behind (compilers, loaders)."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        viewer.join(_LEFTOVERS)
        if viewer.is_alive():
            print('note: ending processes that the script has left behind', flush=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            viewer.join(_LEFTOVERS)

    def _bring_out_between(self):
        try:
            self._copying = True
            self._bring_out()
            self._copying = False
        except _CutShort:
            self._copying = False

    def _bring_out(self):
        """Copies the results out; returns 0, or 1 after saying why it did not work.

        The process of rank 0 brings all but the logs of the others, which each bring their own.
        """
        try:
            help_modelarts.modelarts2obs(self._options, self.known, self._is_of_another,
                                         help_modelarts.patience_of(self._options))
        except Exception as error:  # of any kind: the training goes on, and the end tries again
            text = '{}'.format(error) if isinstance(error, errors.InputError) else '{}: {}.'.format(
                type(error).__name__, error)
            print('error: {} The results stay in {}.'.format(
                text, self._options.modelarts_result_dir), file=sys.stderr, flush=True)
            return 1
        return 0

    def _is_of_another(self, name):
        if name == self._log:
            return False
        return not self._uploads_all or bool(re.match(r'train_\d+\.log$', name))


def _pass_on(source, log):
    """Copies what the script prints to standard output and to its log, at once.

    It reads on whatever happens to these two: a script whose output nobody takes stands still.
    """
    has_gaps = False
    while True:
        part = os.read(source.fileno(), 1 << 16)
        if not part:
            return
        for stream in (sys.stdout.buffer, log):
            try:
                stream.write(part)
                stream.flush()
            except (OSError, ValueError) as error:
                if not has_gaps:
                    has_gaps = True
                    print('note: the log has gaps ({})'.format(error), file=sys.stderr, flush=True)


def train(options: cli.Options) -> int:
    """Does the whole job.

    Args:
      options: of `parse_args`.
    Returns:
      the exit code of the script; 1 when only its results could not be brought out; 130 or 143
      after a stop signal.
    Raises:
      errors.InputError: the data or the script is missing.
    """
    options = complete(options)
    command = _command(_script(options), options)
    job = _Job(options)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, job.on_signal)
    wrong = _check_options(command)
    if wrong:
        return wrong
    job.known = _fetch(options)
    return job.run(command)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(train, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

"""Runs a training script as a ModelArts job: data in, results out, its exit code passed on.

What --train_url holds already is brought here first, so that a job that was stopped goes on when it
is started again. Options that are not listed below go to the script.

Example: python boot_modelarts.py --model=vsl --script=vsl_imrec.py --data_url=obs://bucket/dataset
         --train_url=obs://bucket/output --batch_size=40
"""
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import help_modelarts
from common import cli, errors, obs, redact

# The script of each model that trains it.
SCRIPTS = {'polygen': 'train.py', 'vsl': 'vsl_main.py', 'imnet': 'train.py', 'r2n2': 'main.py',
           'cmr': 'train.py'}
_ROOT = os.path.dirname(os.path.abspath(__file__))
_GRACE = 300        # seconds that a script has to save and end after a stop signal
_PATIENCE = 7200    # seconds that the other processes of a machine wait for the data
_OWN_OPTIONS = {'--data_path': '--data_url', '--data_dir': '--data_url', '--datapath': '--data_url',
                '--output_path': '--train_url'}


class _Stopped(Exception):
    """A stop signal came before the script was started."""

    def __init__(self, number):
        super().__init__('stopped by {} before the training'.format(signal.Signals(number).name))
        self.exit_code = 128 + number


def parse_args(argv=None):
    """Reads the command line; options for the script end up in `forwarded`."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=sorted(SCRIPTS), required=True, help='what to train')
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
    help_modelarts.add_limits(parser)
    config, config.forwarded = parser.parse_known_args(argv)
    for argument in config.forwarded:
        name = argument.split('=')[0]
        if name in _OWN_OPTIONS:
            parser.error('{} is set from {}; give that'.format(name, _OWN_OPTIONS[name]))
    return config


def _script(config):
    """Gives the path of the script, which lies in the folder of its model."""
    folder = os.path.join(_ROOT, config.model)
    name = config.script or SCRIPTS[config.model]
    path = os.path.normpath(os.path.join(folder, name))
    if not path.startswith(folder + os.sep) or not path.endswith('.py'):
        raise errors.UsageError('--script must be a Python file in the folder {}, not "{}".'.format(
            config.model, name))
    if not os.path.isfile(path):
        raise errors.InputError('{} has no script {}.'.format(folder, name))
    return path


def _working_folder(url, asked, name):
    """Gives the folder to work in: as asked, or the place itself where it is a plain folder, or one
    on the machine's fast disk that belongs to this URL alone."""
    if asked or '://' not in url:
        return os.path.abspath(asked or url)
    root = '/cache' if os.access('/cache', os.W_OK) else tempfile.gettempdir()
    return os.path.join(root, '{}-{}'.format(name, hashlib.sha256(url.encode()).hexdigest()[:8]))


def _fetch(config):
    """Brings data and earlier results here; a machine with several processes does it once."""
    marker = '{}.ready'.format(config.modelarts_result_dir.rstrip('/'))
    if os.environ.get('ASCEND_DEVICE_ID', '0') != '0':
        _wait_for(marker)
        return
    if os.path.exists(marker):
        os.remove(marker)
    if config.data_url:
        help_modelarts.obs_data2modelarts(config)
    limits = config.obs_attempts, config.obs_timeout
    if obs.exists(config.train_url, *limits):
        if obs.list_files(config.train_url, *limits):
            obs.copy_tree(config.train_url, config.modelarts_result_dir, None, None, *limits)
    try:
        os.makedirs(config.modelarts_result_dir, exist_ok=True)
        open(marker, 'w').close()
    except OSError as error:
        raise errors.InputError('cannot write to {}: {}. Give another --modelarts_result_dir.'
                                .format(config.modelarts_result_dir, error.strerror)) from error


def _wait_for(marker):
    """Waits until the process of device 0 has brought the data (a marker of this start)."""
    started = time.time() - 60  # the platform starts the processes of a machine together
    while not os.path.exists(marker) or os.path.getmtime(marker) < started:
        if time.time() > started + _PATIENCE:
            raise errors.InputError('device 0 has not brought the data within {} s ({} is '
                                    'missing).'.format(_PATIENCE, marker))
        time.sleep(1.0)


class _Job:
    """The script as a process of its own, whose output is passed on and kept."""

    def __init__(self, config):
        self._config = config
        self._known = {}
        self._stop = None
        self._stopped_at = None
        self._process = None
        self._uploads = os.environ.get('RANK_ID', '0') == '0'

    def on_signal(self, number, frame):
        """Passes a stop signal on once; the script saves and ends."""
        del frame
        if self._process is None:
            raise _Stopped(number)
        if self._stop is None:
            self._stop, self._stopped_at = number, time.monotonic()
            if self._process.poll() is None:
                self._process.send_signal(number)

    def run(self, command):
        """Runs the script to its end and brings the results out; returns the exit code."""
        print('running: {}'.format(' '.join(redact.command(command))), flush=True)
        log = os.path.join(self._config.modelarts_result_dir,
                           'train_{}.log'.format(os.environ.get('RANK_ID', '0')))
        with open(log, 'ab') as stream:
            # A session of its own: a stop signal reaches the script once, through `on_signal`.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True,
                env=dict(os.environ, PYTHONUNBUFFERED='1'))
            viewer = threading.Thread(target=_pass_on, args=(self._process.stdout, stream))
            viewer.start()
            self._wait()
            viewer.join()
        code = self._process.returncode
        code = 128 + self._stop if self._stop else code if code >= 0 else 128 - code
        print('{} ended with exit code {}'.format(os.path.basename(command[1]), code), flush=True)
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
            elif now > uploaded + self._config.upload_every:
                self._bring_out()
                uploaded = time.monotonic()

    def _bring_out(self):
        """Copies the results out; returns 0, or 1 after saying why it did not work."""
        if not self._uploads:
            return 0
        try:
            help_modelarts.modelarts2obs(self._config, self._known)
        except errors.InputError as error:
            print('error: {} The results stay in {}.'.format(
                error, self._config.modelarts_result_dir), file=sys.stderr, flush=True)
            return 1
        return 0


def _pass_on(source, log):
    """Copies what the script prints to standard output and to its log, at once."""
    while True:
        part = os.read(source.fileno(), 1 << 16)
        if not part:
            return
        for stream in (sys.stdout.buffer, log):
            stream.write(part)
            stream.flush()


def train(config):
    """Does the whole job.

    Args:
      config: namespace of `parse_args`.
    Returns:
      int, the exit code of the script; 1 when only its results could not be brought out; 130 or 143
      after a stop signal.
    Raises:
      errors.InputError: the data or the script is missing.
    """
    path = _script(config)
    if not config.data_url and os.path.isdir('dataset'):
        config.data_url = './dataset'
    config.modelarts_data_dir = config.data_url and _working_folder(
        config.data_url, config.modelarts_data_dir, 'dataset')
    config.modelarts_result_dir = _working_folder(
        config.train_url, config.modelarts_result_dir, 'result')
    job = _Job(config)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, job.on_signal)
    _fetch(config)
    command = [sys.executable, path] + config.forwarded
    command.append('--output_path=' + config.modelarts_result_dir)
    if config.data_url:
        command.append('--data_path=' + config.modelarts_data_dir)
    return job.run(command)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(train, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

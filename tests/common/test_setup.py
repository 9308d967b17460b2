"""setup.sh with stubs in place of Python, pip, uv and uname: no test downloads anything."""
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

try:
    import importlib.metadata as importlib_metadata
except ImportError:     # Python 3.7
    import importlib_metadata

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOCKS = ('requirements.txt', 'requirements-dev.txt')
LOCKS_2 = ('requirements-tf2.txt', 'requirements-tf2-dev.txt', 'requirements-tf2-gpu.txt')
TOOLS_OF_PIP = {'setuptools', 'wheel', 'pip'}
TOOLS = ('bash cat cksum cp dirname find flock grep mkdir rm sed sleep sort tail uname').split()

# A Python 3.MINOR without TensorFlow; writes down how it is called. Its venvs hold copies of it.
STUB = '''#!/bin/bash
printf '%s %s\\n' "${0##*/}" "${*//$'\\n'/ }" >>"$STUB_LOG"
case "$*" in
  *"print(sys.version_info[1])"*) echo MINOR ;;
  *"sys.version_info[:2] not in"*) [[ "$*" == *"(3, MINOR)"* ]] ;;
  *"-m venv "*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
  *"-m pip install"*) sleep "${STUB_SLEEP:-0}"; [[ ! -e $STUB_LOG.pip_fails ]] ;;
  *find_spec*) exit 1 ;;
  *import_module*)
    if [[ -e $STUB_LOG.import_fails ]]; then echo "cannot import cv2: gone"; exit 1; fi
    ;;
esac
'''
PYTHON_3_7 = STUB.replace('MINOR', '7')
PYTHON_3_12 = STUB.replace('MINOR', '12')
NO_PYTHON_3_7 = '#!/bin/bash\nexit 1\n'
WITH_TENSORFLOW = '''#!/bin/bash
case "$*" in *"for pair"*) printf 'dm-sonnet\\ntqdm\\n' ;; esac
'''


def write_program(path, text):
    """Writes an executable file and returns its name as str."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


class Project:
    """A copy of setup.sh in a folder with a space in its name, on a machine with bare tools."""

    def __init__(self, tmp_path):
        self.root = tmp_path / 'a project'
        self.home = tmp_path / 'home'
        self.bin = tmp_path / 'bin'
        self.log = tmp_path / 'calls'
        for folder in (self.root, self.home, self.bin):
            folder.mkdir()
        for name in ('setup.sh',) + LOCKS + LOCKS_2:
            shutil.copy(os.path.join(ROOT, name), str(self.root))
        for name in TOOLS:
            if shutil.which(name):
                (self.bin / name).symlink_to(shutil.which(name))
        self.env = {'PATH': str(self.bin), 'HOME': str(self.home), 'STUB_LOG': str(self.log)}

    def command(self, *arguments):
        """Gives the command line of setup.sh."""
        return [str(self.bin / 'bash'), str(self.root / 'setup.sh')] + list(arguments)

    def setup(self, *arguments, **env):
        """Runs setup.sh and returns the finished process with text output."""
        return subprocess.run(
            self.command(*arguments), env=dict(self.env, **env), cwd=str(self.home),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)

    def calls(self, word=''):
        """Gives the calls of the stub so far, one str each, that hold the word."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if word in line]

    @property
    def python(self):
        """Name of the interpreter of .venv."""
        return str(self.root / '.venv' / 'bin' / 'python')


@pytest.fixture
def project(tmp_path):
    """A fresh `Project`."""
    return Project(tmp_path)


@pytest.fixture
def installed(project):
    """A project whose environment was made with a stub of python3.7."""
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    assert project.setup().returncode == 0
    return project


def test_makes_the_environment_and_prints_its_interpreter(project):
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    done = project.setup('--print-python')
    assert (done.returncode, done.stdout) == (0, project.python + '\n')
    installs = project.calls('pip install')
    assert all('--no-deps' in call for call in installs)
    assert 'pip==24.0 setuptools==68.0.0 wheel==0.42.0' in installs[0]
    assert [re.findall(r'requirements[-a-z]*\.txt', call) for call in installs] == [
        [], ['requirements.txt']]
    assert 'TensorFlow 1.15, the reference, since there is a Python 3.7' in done.stderr


def test_second_run_starts_no_python_and_is_quick(installed):
    before = installed.calls()
    start = time.time()
    done = installed.setup('--print-python')
    assert (done.returncode, done.stdout) == (0, installed.python + '\n')
    assert installed.calls() == before
    assert time.time() - start < 1


def test_changed_lock_is_installed_again(installed):
    with (installed.root / 'requirements.txt').open('a') as stream:
        stream.write('# one more\n')
    count = len(installed.calls('pip install'))
    assert installed.setup().returncode == 0
    assert len(installed.calls('pip install')) == count + 2
    assert len(installed.calls('-m venv')) == 1


def test_dev_adds_its_lock_and_holds_for_both(installed):
    assert installed.setup('--dev').returncode == 0
    assert installed.calls('requirements-dev.txt')
    before = installed.calls()
    assert installed.setup().returncode == installed.setup('--dev').returncode == 0
    assert installed.calls() == before


def test_failed_installation_is_taken_up_again(project):
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    failing = project.log.with_name('calls.pip_fails')
    failing.write_text('')
    done = project.setup('--print-python')
    assert (done.returncode, done.stdout) == (1, '')
    assert 'error: pip could not install everything' in done.stderr
    failing.unlink()
    assert project.setup().returncode == 0
    assert len(project.calls('-m venv')) == 1


def test_packages_that_were_left_half_written_are_installed_anew(project):
    name = 'python{}.{}'.format(*sys.version_info)
    folder = project.root / '.venv' / 'lib' / name / 'site-packages'
    base = os.path.join(sys.base_prefix, 'bin', name)
    subprocess.check_call([base, '-m', 'venv', '--without-pip', str(project.root / '.venv')])
    runtime = '1' if sys.version_info < (3, 8) else '2'
    (project.root / '.venv' / '.runtime').write_text(runtime + '\n')
    for name, size in (('whole', 4), ('short', 5), ('absent', 4), ('started', None)):
        info = folder / '{}-1.0.dist-info'.format(name)
        info.mkdir()
        if name != 'absent':
            (folder / (name + '.py')).write_text('a=1\n')
        if size:
            (info / 'RECORD').write_text('{}.py,sha256=x,{}\n'.format(name, size))
    done = project.setup(PIP_NO_INDEX='1', PIP_CONFIG_FILE=os.devnull,
                         TENSORFLOW=runtime)
    assert done.returncode == 1 and 'pip could not install everything' in done.stderr
    left = {path.name for path in folder.glob('*-1.0.dist-info')}
    assert left == {'whole-1.0.dist-info'}


def test_environment_that_does_not_import_is_not_called_complete(project):
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    project.log.with_name('calls.import_fails').write_text('')
    for _ in range(2):
        done = project.setup()
        assert done.returncode == 1
        assert 'cannot import cv2: gone' in done.stderr


def _without_flock(project):
    path = project.bin / 'flock'
    if path.exists():
        path.unlink()


@pytest.mark.parametrize('has_flock', [True, False])
def test_two_runs_at_once_install_once(project, has_flock):
    if not has_flock:
        _without_flock(project)
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    env = dict(project.env, STUB_SLEEP='0.4')
    runs = [subprocess.Popen(project.command('--print-python'), env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, universal_newlines=True)
            for _ in range(2)]
    assert [run.communicate()[0] for run in runs] == [project.python + '\n'] * 2
    assert [run.returncode for run in runs] == [0, 0]
    assert len(project.calls('pip install')) == 2
    assert len(project.calls('-m venv')) == 1


def test_a_lock_that_a_killed_run_left_holds_nobody_up(project):
    _without_flock(project)
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    ended = subprocess.Popen(['true'])
    ended.wait()
    (project.root / '.venv').mkdir()
    lock = project.root / '.venv' / '.lock.process'
    lock.write_text('{}\n'.format(ended.pid))
    done = project.setup('--print-python')
    assert (done.returncode, done.stdout) == (0, project.python + '\n')
    assert 'waiting' not in done.stderr and not lock.exists()


@pytest.mark.parametrize('has_flock', [True, False])
def test_of_two_runs_at_once_for_different_tensorflows_each_gets_its_own(project, has_flock):
    if not has_flock:
        _without_flock(project)
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    write_program(project.bin / 'python3.12', PYTHON_3_12)
    runs = {}
    for number in '12':
        runs[number] = subprocess.Popen(
            project.command('--print-python', '--tensorflow=' + number), stdout=subprocess.PIPE,
            env=dict(project.env, STUB_SLEEP='0.4'), stderr=subprocess.DEVNULL,
            universal_newlines=True)
    pythons = {number: run.communicate()[0].strip() for number, run in runs.items()}
    assert [run.returncode for run in runs.values()] == [0, 0]
    assert project.python in pythons.values() and pythons['1'] != pythons['2']
    for number, python in pythons.items():
        runtime = os.path.join(os.path.dirname(os.path.dirname(python)), '.runtime')
        with open(runtime) as stream:
            assert stream.read().strip() == number
        if python != project.python:
            assert python == project.python.replace('.venv', '.venv-tf' + number)
    assert len(project.calls('-m venv')) == 2


@pytest.mark.parametrize('place', [
    'home/.pyenv/versions/3.7.9/bin/python', 'home/miniconda3/envs/py37/bin/python',
    'elsewhere/bin/python'])
def test_finds_a_python_behind_one_that_does_not_run(project, tmp_path, place):
    write_program(project.bin / 'python3.7', NO_PYTHON_3_7)
    write_program(tmp_path / place, PYTHON_3_7)
    (project.home / '.conda').mkdir()
    (project.home / '.conda' / 'environments.txt').write_text(str(tmp_path / 'elsewhere') + '\n')
    done = project.setup()
    assert done.returncode == 0
    assert 'making .venv with {}'.format(tmp_path / place) in done.stderr


def test_uv_is_asked_last(project, tmp_path):
    pythons = tmp_path / 'pythons'
    write_program(project.bin / 'uv',
                  '#!/bin/bash\n[[ $2 == install ]] || echo "{}"\n'.format(pythons))
    python = write_program(pythons / 'cpython-3.7.9-linux' / 'bin' / 'python3.7', PYTHON_3_7)
    done = project.setup()
    assert done.returncode == 0
    assert 'making .venv with ' + python in done.stderr


def test_without_python_3_7_there_is_one_message_with_the_remedies(project):
    write_program(project.bin / 'python3', NO_PYTHON_3_7)
    done = project.setup('--print-python')
    assert (done.returncode, done.stdout) == (1, '')
    messages = [line for line in done.stderr.splitlines() if not line.startswith('setup: ')]
    assert len(messages) == 1
    assert messages[0].startswith('error: no Python 3.7')
    for remedy in ('pyenv install', 'conda create', 'PYTHON=/path/to/python3.7'):
        assert remedy in messages[0]


def test_says_that_aarch64_has_only_the_wheel_of_huawei(project):
    (project.bin / 'uname').unlink()
    write_program(project.bin / 'uname', '#!/bin/bash\necho aarch64\n')
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    done = project.setup('--tensorflow=1')
    assert done.returncode == 1
    assert 'no TensorFlow 1.15 wheel for aarch64 but Huawei\'s' in done.stderr
    assert not project.calls('pip install')
    write_program(project.bin / 'python3.12', PYTHON_3_12)
    done = project.setup()
    assert done.returncode == 0
    assert 'TensorFlow 2, since there is no wheel of 1.15 for aarch64' in done.stderr


@pytest.mark.parametrize('where', ['variable', 'path'])
def test_interpreter_with_tensorflow_is_used_and_nothing_is_installed(project, where):
    python = write_program(project.bin / 'python3', WITH_TENSORFLOW)
    env = {'PYTHON': python} if where == 'variable' else {}
    done = project.setup('--print-python', **env)
    assert (done.returncode, done.stdout) == (0, python + '\n')
    assert not (project.root / '.venv').exists()
    assert 'pip install --no-deps dm-sonnet==1.36 tqdm==' in done.stderr


@pytest.mark.parametrize('name', ['CONDA_PREFIX', 'ASCEND_HOME_PATH'])
def test_activated_environment_with_tensorflow_comes_before_venv(installed, name):
    python = write_program(installed.bin / 'python', WITH_TENSORFLOW)
    assert installed.setup('--print-python').stdout == installed.python + '\n'
    assert installed.setup('--print-python', **{name: '/opt'}).stdout == python + '\n'


def test_without_python_3_7_the_newest_python_gets_tensorflow_2(project):
    for minor in (10, 12, 9):
        write_program(project.bin / 'python3.{}'.format(minor), STUB.replace('MINOR', str(minor)))
    write_program(project.bin / 'python3', STUB.replace('MINOR', '9'))
    done = project.setup('--print-python')
    assert (done.returncode, done.stdout) == (0, project.python + '\n')
    assert 'TensorFlow 2, since there is no Python 3.7' in done.stderr
    assert 'making .venv with {}'.format(project.bin / 'python3.12') in done.stderr
    assert project.calls('pip install')[1].endswith('requirements-tf2.txt')
    before = project.calls()
    assert project.setup(TENSORFLOW='2').stdout == 'Python: {}\n'.format(project.python)
    assert project.calls() == before


@pytest.mark.parametrize('first', ['1', '2'])
def test_the_second_tensorflow_lies_beside_the_first(project, first):
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    write_program(project.bin / 'python3.12', PYTHON_3_12)
    second = {'1': '2', '2': '1'}[first]
    beside = project.python.replace('.venv', '.venv-tf' + second)
    assert project.setup('--print-python', TENSORFLOW=first).stdout == project.python + '\n'
    done = project.setup('--print-python', '--tensorflow=' + second)
    assert done.stdout == beside + '\n' and 'as --tensorflow says' in done.stderr
    before = project.calls()
    assert project.setup('--print-python').stdout == project.python + '\n'
    assert project.setup('--print-python', TENSORFLOW=second).stdout == beside + '\n'
    assert project.calls() == before


def test_a_python_variable_decides_which_tensorflow(project):
    write_program(project.bin / 'python3.7', PYTHON_3_7)
    python = write_program(project.bin / 'python3.12', PYTHON_3_12)
    done = project.setup(PYTHON=python)
    assert done.returncode == 0 and 'making .venv with ' + python in done.stderr
    assert 'TensorFlow 2, since PYTHON names a Python for it' in done.stderr


def test_the_pins_for_nvidia_take_the_place_of_tensorflow_for_cpus(project):
    write_program(project.bin / 'python3.12', PYTHON_3_12)
    assert project.setup().returncode == 0
    assert project.setup('--gpu').returncode == 0
    lock = (project.root / '.venv' / '.gpu').read_text()
    names = re.findall(r'^([\w-]+)==', lock, re.M)
    assert {'tensorflow', 'nvidia-cudnn-cu12', 'numpy'} <= set(names)
    assert 'tensorflow-cpu' not in names and len(set(names)) == len(names)
    assert project.calls('pip uninstall --yes tensorflow-cpu')
    before = project.calls()
    for arguments in ([], ['--gpu']):
        assert project.setup(*arguments).returncode == 0
    assert project.calls() == before


@pytest.mark.parametrize('arguments,message', [
    (['--tensorflow=3'], '--tensorflow is 1 or 2'), (['--tensorflow=1', '--gpu'], '--gpu is for')])
def test_refuses_a_tensorflow_that_there_is_not(project, arguments, message):
    done = project.setup(*arguments)
    assert done.returncode == 2 and message in done.stderr


def test_refuses_a_python_variable_that_is_no_program(installed):
    done = installed.setup(PYTHON='pyton3.7')
    assert done.returncode == 1
    assert 'error: PYTHON=pyton3.7 is no program' in done.stderr


def test_help_and_misspelt_options(project):
    done = project.setup('--help')
    assert done.returncode == 0 and '--print-python' in done.stdout
    done = project.setup('--devel')
    assert done.returncode == 2 and '"--devel"' in done.stderr


def _pins(names):
    pins = {}
    for name in names:
        with open(os.path.join(ROOT, name), encoding='utf-8') as stream:
            lines = [line.strip() for line in stream if line.strip() and line[0] != '#']
        for line in lines:
            match = re.match(r'([A-Za-z0-9_.-]+)==([0-9a-z.]+)(?:; (.+))?$', line)
            assert match, '{}: "{}" is no pin'.format(name, line)
            key = re.sub('[-_.]+', '-', match.group(1)).lower()
            assert key not in pins, line
            pins[key] = match.group(3)
    return pins


@pytest.mark.parametrize('names', [LOCKS, LOCKS_2[:2]])
def test_locks_hold_everything_that_their_packages_need(names):
    requirements = pytest.importorskip('packaging.requirements')
    pins = _pins(names)
    if (names == LOCKS) != (sys.version_info < (3, 8)):
        pytest.skip('this lock is for another Python.')
    missing = set()
    for distribution in importlib_metadata.distributions():
        key = re.sub('[-_.]+', '-', distribution.metadata['Name']).lower()
        if key not in pins or key == 'tensor2tensor':  # which is installed without what it names
            continue
        for line in distribution.requires or ():
            need = requirements.Requirement(line)
            name = re.sub('[-_.]+', '-', need.name).lower()
            if need.marker is None or need.marker.evaluate({'extra': ''}):
                missing |= {(key, name)} - {(key, there) for there in set(pins) | TOOLS_OF_PIP}
    assert not missing

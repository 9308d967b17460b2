"""Nothing that Windows lacks is needed at import, nor for a training without loader processes."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HIDDEN = '''
import multiprocessing, os, select, signal, sys, types
import numpy, tensorflow.compat.v1, cv2, h5py, trimesh, scipy.io, skimage.measure, matplotlib.pyplot
for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'):
    sys.modules[name] = None
for module, names in ((os, 'fork sched_getaffinity getuid killpg setsid O_NONBLOCK'),
                      (signal, 'SIGALRM SIGKILL SIGHUP SIGCHLD SIGPROF setitimer ITIMER_REAL'),
                      (select, 'poll')):
    for name in names.split():
        delattr(module, name)
multiprocessing.get_all_start_methods = lambda: ['spawn']
sys.modules['msvcrt'] = types.SimpleNamespace(locking=lambda *unused: None, LK_NBLCK=2)
'''
MODULES = '''
import importlib, pkgutil
import cmr, common, imnet, polygen, r2n2, vsl
for package in (common, vsl, polygen, r2n2, imnet, cmr):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
        if not module.name.endswith('__main__'):
            importlib.import_module(module.name)
'''
TRAINING = '''
from tests.common import toy_training
from common.training import workers
made = workers.Workers(lambda number: number, 2)
made.begin(3)
assert [made.get(), made.get()] == [3, 4] and workers.num_cpus() > 0
sys.exit(toy_training.main(['--training_steps=2', '--device=cpu', '--output_path=' + sys.argv[1]]))
'''


@pytest.mark.parametrize('program', [MODULES, TRAINING], ids=['modules', 'training'])
def test_what_windows_lacks_is_not_needed(tmp_path, program):
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', HIDDEN + program, str(tmp_path)],
                          cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert done.returncode == 0, done.stdout[-2000:]

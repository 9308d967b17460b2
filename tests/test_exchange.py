"""What one TensorFlow leaves, the other takes up: runs with optimizer slots, and frozen graphs.

Needs both interpreters: PYTHON_TF1 and PYTHON_TF2, or .venv, .venv-tf1, .venv-tf2 (setup.sh).
"""
import functools
import glob
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common.training import checkpoints
from tests.test_scripts import TRAININGS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREDICT = '''
import sys
import numpy as np
from common.frozen import model
with model.load(sys.argv[1]) as network, np.load(sys.argv[2]) as feed:
    np.savez(sys.argv[3], **network.predict(**feed))
'''
pytestmark = pytest.mark.slow


@functools.lru_cache(maxsize=None)
def _pythons():
    """Returns the interpreters by the first digit of their TensorFlow: {'1': path, '2': path}."""
    pythons = {tf.__version__[0]: sys.executable}
    places = [os.environ.get('PYTHON_TF1'), os.environ.get('PYTHON_TF2')]
    places += [os.path.join(ROOT, name, 'bin', 'python')
               for name in ('.venv', '.venv-tf1', '.venv-tf2')]
    for python in places:
        if len(pythons) < 2 and python and os.path.exists(python):
            done = subprocess.run([python, '-c', 'import tensorflow as tf; print(tf.__version__)'],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  universal_newlines=True)
            if done.returncode == 0:
                pythons.setdefault(done.stdout.split()[-1][0], python)
    return pythons


@pytest.fixture
def call(tmp_path):
    """Gives `call(runtime, *arguments)`: what the interpreter of '1' or '2' prints."""
    for runtime in '12':
        if runtime not in _pythons():
            pytest.skip('no interpreter with TensorFlow {0}: bash setup.sh --tensorflow={0}, or '
                        'PYTHON_TF{0}.'.format(runtime))

    def run(runtime, *arguments):
        env = dict(os.environ, PYTHONPATH=ROOT, PYTHON=_pythons()[runtime])
        done = subprocess.run([_pythons()[runtime], '-W', 'ignore'] + list(arguments), env=env,
                              cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def _arrays(folder):
    prefix = checkpoints.latest(folder)
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _folder(tmp_path, name):
    """Output folder of the run; IM-NET's first stage has one of its own within it."""
    folder = str(tmp_path / name)
    return os.path.join(folder, 'ae') if os.path.isdir(os.path.join(folder, 'ae')) else folder


@pytest.mark.parametrize('script, options', TRAININGS,
                         ids=lambda value: value if isinstance(value, str) else '')
def test_a_run_goes_on_with_the_other_tensorflow_and_back(script, options, call, tmp_path):
    (tmp_path / 'data').mkdir()
    arguments = ['--device=cpu', '--threads=1'] + options(tmp_path / 'data')

    def train(runtime, steps, output):
        return call(runtime, os.path.join(ROOT, script), '--output_path=' + output,
                    '--training_steps={}'.format(steps), *arguments)

    for first, second in ('12', '21'):
        one, other = 'run' + first, 'run' + first + second
        train(first, 2, one)
        shutil.copytree(str(tmp_path / one), str(tmp_path / other))
        train(first, 4, one)
        assert 'goes on from step 2' in train(second, 4, other)
        expected, arrays = _arrays(_folder(tmp_path, one)), _arrays(_folder(tmp_path, other))
        assert set(arrays) == set(expected)     # slots of the optimizer among them
        for name, values in expected.items():
            if values.dtype.kind == 'f':
                scale = max(1e-3, float(np.abs(values).max(initial=0)))
                np.testing.assert_allclose(arrays[name], values, rtol=0, atol=0.02 * scale,
                                           err_msg=name)
            else:
                np.testing.assert_array_equal(arrays[name], values, err_msg=name)
        assert 'goes on from step 4' in train(first, 5, other)
    start1, start2 = [_losses(_folder(tmp_path, 'run' + first)) for first in '12']
    np.testing.assert_allclose(start2, start1, rtol=1e-3)


def _losses(folder):
    with open(os.path.join(folder, 'metrics.jsonl'), encoding='utf-8') as stream:
        rows = [json.loads(line) for line in stream]
    return [row[name] for row in rows[:2] for name in sorted(row) if name.startswith('loss')]


@pytest.mark.parametrize('model', ['cmr', 'imnet', 'polygen', 'r2n2', 'vsl'])
def test_frozen_graphs_give_the_same_on_both(model, call, tmp_path):
    script, options = [row for row in TRAININGS if row[0].startswith(model + '/')][0]
    (tmp_path / 'data').mkdir()
    call('1', os.path.join(ROOT, script), '--output_path=out', '--training_steps=1',
         '--device=cpu', '--threads=1', *options(tmp_path / 'data'))
    for first, second in ('12', '21'):
        call(first, os.path.join(ROOT, 'freeze_graph.py'), '--model=' + model,
             '--output_path=out', '--output=pb' + first)
        paths = sorted(glob.glob(str(tmp_path / ('pb' + first) / '*.pb')))
        assert paths
        for path in paths:
            outputs = []
            for runtime in (first, second):
                result = '{}.{}.npz'.format(path, runtime)
                call(runtime, '-c', PREDICT, path, path[:-3] + '_sample.npz', result)
                with np.load(result) as arrays:
                    outputs.append(dict(arrays))
            for name, expected in outputs[0].items():
                values = outputs[1][name]
                if expected.dtype.kind == 'f':
                    scale = max(1., float(np.abs(expected).max(initial=0)))
                    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-4 * scale,
                                               err_msg=name)
                else:   # a choice may lie within rounding of its threshold
                    assert np.mean(values != expected) <= 0.01, name

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

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import choices, collection
from common.training import checkpoints
from imnet.IMGAN import main as imgan
from tests import nudge
from tests.imnet import tiny
from tests.test_scripts import TRAININGS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREDICT = '''
import sys
import numpy as np
from common.frozen import model
for path in sys.argv[1:]:
    with model.load(path) as network, np.load(path[:-3] + '_sample.npz') as feed:
        np.savez(path + '.npz', **network.predict(**feed))
'''
# PolyGen, whose layers are the libraries' on 1.15 and ours on 2.
QUICK = (('polygen/train.py', '1'), ('polygen', '2'))


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

    def run(runtime, *arguments, **environment):
        env = dict(os.environ, PYTHON=_pythons()[runtime], PYTHONPATH=os.pathsep.join(
            [nudge.STAND_IN, ROOT] + [path for path in [os.environ.get('PYTHONPATH')] if path]),
                   **environment)
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
    """Output folder of the run; IM-NET's networks have one each within it."""
    folder = str(tmp_path / name)
    parts = [os.path.join(folder, part) for part in ('ae', 'svr')]
    return ([part for part in parts if os.path.isdir(part)] or [folder])[0]


def _cases(rows):
    """Rows (name, ...) with the TensorFlow that begins; most of them slow."""
    for row in rows:
        for first in '12':
            marks = () if (row[0], first) in QUICK else pytest.mark.slow
            yield pytest.param(*row, first, marks=marks, id='{}-{}'.format(row[0], first))


def _imsvr(folder):
    """IM-SVR's options: a set, codes, and the checkpoint of an autoencoder after one step."""
    tiny.write(str(folder))
    with h5py.File(str(folder / 'z.hdf5'), 'w') as stream:
        stream['zs'] = np.random.RandomState(0).uniform(size=[5, 4]).astype(np.float32)
    data = ['--data_path={}'.format(folder), '--report_every=1', '--device=cpu']
    assert tiny.call(imgan, '--ae', '--train', '--real_size=64', '--batch_size_input=80',
                     '--training_steps=1', '--output_path={}'.format(folder / 'out'),
                     *tiny.SIZES, *data) == 0
    return data + ['--train', '--batch_size=2', '--ef_dim=1',
                   '--pretrained_z_dir={}'.format(folder / 'z.hdf5'), '--pretrained_model_dir='
                   + str(folder / 'out' / 'checkpoints' / (tiny.STEM + '_64'))]


@pytest.mark.parametrize('script, options, first', _cases(
    TRAININGS + [('imnet/IMSVR/main.py', _imsvr)]))
def test_a_run_goes_on_with_the_other_tensorflow_and_back(script, options, first, call, tmp_path):
    (tmp_path / 'data').mkdir()
    arguments = ['--device=cpu', '--threads=1'] + options(tmp_path / 'data')

    def train(runtime, steps, output, **environment):
        return call(runtime, os.path.join(ROOT, script), '--output_path=' + output,
                    '--training_steps={}'.format(steps), *arguments, **environment)

    second = {'1': '2', '2': '1'}[first]
    # Batch norm of two pictures in one grey: IM-SVR's activations differ by 3e-4, and in its second
    # step a leaky ReLU comes out on the other side, which moves a gradient by 5 %.
    last = 3 if 'IMSVR' in script else 4
    train(first, 2, 'one')
    for copied in ('other', 'moved1', 'moved2'):
        shutil.copytree(str(tmp_path / 'one'), str(tmp_path / copied))
    train(first, last, 'one')
    assert 'goes on from step 2' in train(second, last, 'other')
    expected, arrays = [_arrays(_folder(tmp_path, name)) for name in ('one', 'other')]
    assert set(arrays) == set(expected)     # slots of the optimizer among them

    def moved(seed):
        folder = 'moved{}'.format(seed)
        nudge.move_checkpoint(checkpoints.latest(_folder(tmp_path, folder)), seed)
        assert 'goes on from step 2' in train(first, last, folder)
        return _arrays(_folder(tmp_path, folder))

    beyond = _hold(arrays, expected, 0.02, moved)
    print('{}: {} of {} arrays as far as rounding takes them {}'.format(
        script, len(beyond), len(expected), beyond))
    assert len(beyond) < 0.1 * len(expected)
    assert 'goes on from step {}'.format(last) in train(first, last + 1, 'other')
    if first == '1':
        train(second, 2, 'second')
        start, same_start = [_losses(_folder(tmp_path, name)) for name in ('one', 'second')]

        def moved_start(seed):
            train(first, 2, 'start{}'.format(seed), NUDGE_WEIGHTS=str(seed))
            return _losses(_folder(tmp_path, 'start{}'.format(seed)))

        beyond = _hold(same_start, start, 1e-3, moved_start)
        print('{}: {} of {} losses as far as rounding takes them {}'.format(
            script, len(beyond), len(start), beyond))
        assert not [name for name in beyond if name.startswith('1 ')]


def _hold(actual, expected, share, moved):
    """Asserts that two runs that round differently are near: {name: array [...]}.

    That is within a share of an array's largest value, whole numbers equal; or, as some networks'
    first steps amplify rounding, at most three times as far (in the mean of squares) as the same
    run goes astray on one TensorFlow with its weights moved by 1e-7. `moved(seed)` makes that run
    and gives its arrays. In CMR the first bodies hardly depend on the pictures: a batch's inputs to
    the regressor differ by 1e-5 of themselves, which its batch normalisation makes 300 times as
    much, twice.

    Returns the names of these.
    """
    beyond = [name for name in sorted(expected)
              if not _is_near(actual[name], expected[name], share)]
    runs = [moved(seed) for seed in (1, 2)] if beyond else []
    for name in beyond:
        bound = 3 * max(_distance(run[name], expected[name]) for run in runs)
        distance = _distance(actual[name], expected[name])
        assert expected[name].dtype.kind == 'f' and distance <= bound, (name, distance, bound)
    return beyond


def _distance(actual, expected):
    """Root of the mean of squares; not finite where a value is not."""
    return float(np.sqrt(np.mean(np.square(actual.astype(np.float64) - expected))))


def _is_near(actual, expected, share):
    if expected.dtype.kind != 'f':
        return np.array_equal(actual, expected)
    far = np.abs(actual.astype(np.float64) - expected).max(initial=0)
    return far <= share * max(1e-3, np.abs(expected).max(initial=0))


def _losses(folder):
    with open(os.path.join(folder, 'metrics.jsonl'), encoding='utf-8') as stream:
        rows = [json.loads(line) for line in stream]
    return {'{} {}'.format(step, name): np.float64(value)
            for step, row in enumerate(rows[:2], start=1) for name, value in row.items()
            if name.startswith('loss')}


MODELS = [(model, [row for row in TRAININGS if row[0].startswith(model + '/')][0])
          for model in collection.NAMES]


@pytest.mark.parametrize('model, training, first', _cases(MODELS))
def test_frozen_graphs_give_the_same_on_both(model, training, first, call, tmp_path):
    (script, options), second = training, {'1': '2', '2': '1'}[first]
    (tmp_path / 'data').mkdir()
    call('1', os.path.join(ROOT, script), '--output_path=out', '--training_steps=1',
         '--device=cpu', '--threads=1', *options(tmp_path / 'data'))
    call(first, os.path.join(ROOT, 'freeze_graph.py'), '--model=' + model, '--output_path=out',
         '--output=pb')
    paths = sorted(glob.glob(str(tmp_path / 'pb' / '*.pb')))
    assert paths
    outputs = {}
    for runtime in (first, second):
        call(runtime, '-c', PREDICT, *paths)
        for path in paths:
            with np.load(path + '.npz') as arrays:
                outputs[path, runtime] = dict(arrays)
    moved = [_assert_same(outputs[path, second], outputs[path, first], path) for path in paths]
    print('{}: {} choices came out otherwise'.format(model, sum(moved)))


def _assert_same(actual, expected, path):
    """Compares the outputs of a frozen graph; returns the number of choices that moved."""
    margins = path[:-3] + '_margins.npz'
    moved = None
    if os.path.exists(margins):
        with np.load(margins) as arrays:
            moved = choices.compare_sequences(actual, expected, dict(arrays))
        assert moved.margin <= choices.ROUNDING, moved
    for name, value in expected.items():
        values, value = [choices.without_moved(array, moved, 0) for array in (actual[name], value)]
        scale = max(1., float(np.abs(value).max(initial=0))) if value.dtype.kind == 'f' else 0.
        np.testing.assert_allclose(values, value, rtol=0, atol=1e-4 * scale, err_msg=name)
    return 0 if moved is None else moved.places

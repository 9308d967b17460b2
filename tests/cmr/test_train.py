"""Parts of the training: options, initial values, a step, collapse; without the encoder."""
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from cmr import options, train, training
from cmr.src.dataset import posed_bodies
from cmr.src.models import cmr, layers
from cmr.src.utils import body as body_lib
from cmr.src.utils import pth2ckpt, torch_weights, torch_writer
from common import errors
from common.training import launch
from tests.cmr import tiny

BATCH = 4


class Network:
    """A network whose features are the mean colours of a picture."""

    def __init__(self, folder):
        self.body, self.mesh, _ = body_lib.load_all(tiny.make_body(folder), form='dense')
        self.variables = layers.Parameters(True)

    def images(self, batch):
        """A placeholder of small pictures."""
        return tf.placeholder(tf.float32, [batch, 4, 4, 3])

    def build(self, images):
        """Outputs of the graph network and the regressor."""
        return cmr.network(self.variables, self.mesh, self.body, num_layers=1, num_channels=16,
                           features=tf.reduce_mean(images, [1, 2]))


class Still(Network):
    """A network that predicts the same for all pictures."""

    def build(self, images):
        """Outputs of one variable."""
        size = self.variables.get('graph_cnn.size', [], tf.ones_initializer())
        vertices = size * self.body.v_template[None].repeat(BATCH, axis=0)
        return cmr.Outputs(None, vertices, size * tf.ones([BATCH, 3]),
                           size * tf.eye(3, batch_shape=[BATCH, 24]), size * tf.ones([BATCH, 10]),
                           vertices)


def _options(*others):
    return options.complete(train.parse_args(
        ['--data_path=x', '--learning_rate=0.01', '--batch_size={}'.format(BATCH)] + list(others)),
                            'cpu')


def _batch(seed):
    rng = np.random.RandomState(seed)
    shapes = {'img': [4, 4, 3], 'keypoints': [24, 3], 'pose_3d': [24, 4], 'pose': [72],
              'betas': [10], 'has_smpl': [], 'has_pose_3d': []}
    return {name: rng.uniform(0.1, 1, [BATCH] + shape) for name, shape in shapes.items()}


def _moved(folder, settled, steps=2):
    """{name: change of a variable} by some steps."""
    tf.reset_default_graph()
    tf.set_random_seed(0)
    network = Network(folder)
    trained = training.Steps(network, settled, launch.Context())
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        before = sess.run(dict(network.variables.by_name))
        for step in range(steps):
            trained.run(sess, _batch(step))
        after = sess.run(dict(network.variables.by_name))
    return {name: after[name] - before[name] for name in after}


@pytest.mark.slow
def test_drop_noise_leaves_out_what_only_rounding_moves(tmp_path):
    first = 'smpl_param_regressor.layers.0.fc_block.0'
    for decay in ('--wd=0', '--wd=0.1'):
        moved = _moved(tmp_path, _options(decay, '--drop_noise'))
        share = moved[first + '.weight'].reshape(1024, -1, 6)
        assert not share[..., 3:].any() and share[..., :3].any()
        for name in (first + '.bias', first.replace('0.fc_block.0', '1.fc_block.3') + '.bias'):
            assert not moved[name].any()
        assert moved['smpl_param_regressor.layers.3.bias'].any()
    assert _moved(tmp_path, _options())[first + '.weight'].reshape(1024, -1, 6)[..., 3:].any()


@pytest.mark.parametrize('schedule, moved', [
    ('constant', [0.01, 0.01, 0.01]), ('cosine', [0.01, 0.005, 0.])])
def test_the_rate_falls_by_half_a_cosine_where_asked_for(tmp_path, schedule, moved):
    steps = training.Steps(Still(tmp_path), _options('--schedule=' + schedule), launch.Context())
    (size,) = tf.trainable_variables()
    with tf.Session() as sess:
        for done, expected in zip((0., 0.5, 1.), moved):
            # Adam's first step is as long as the rate, whatever the gradient.
            sess.run(tf.global_variables_initializer())
            steps.run(sess, _batch(0), done=done)
            np.testing.assert_allclose(abs(sess.run(size) - 1), expected, atol=1e-6)


def test_processes_stop_when_the_time_of_any_is_over(tmp_path):
    other = tf.Variable(0.)     # what the other process adds
    ranks = types.SimpleNamespace(mean=lambda own: (own + other) / 2, averaging=lambda one: one,
                                  per_rank=lambda batch: batch)
    steps = training.Steps(Still(tmp_path), _options(), launch.Context(ranks=ranks))
    actual = []
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for value in (0., 1.):
            other.load(value, sess)
            actual += [steps.run(sess, _batch(0), is_over)[2] for is_over in (False, True)]
    assert actual == [False, True, True, True]


def _collapse(camera, steps=200):
    """Steps at which the warning would come."""
    actual = training.Steps.__new__(training.Steps)
    actual._still = 0
    return [step for step in range(1, steps + 1) if actual.has_collapsed(step, camera)]


def test_a_camera_that_is_the_same_for_all_pictures_is_told_once():
    rng = np.random.RandomState(0)
    camera = np.float32([0.9, 0.01, 0.2]) + np.zeros([BATCH, 3], np.float32)
    assert _collapse(camera) == [120]
    # In the original's collapse the bodies still move sideways.
    aside = camera + rng.uniform(-0.2, 0.2, [BATCH, 1]) * np.float32([0, 1, 0])
    assert _collapse(aside) == [120]
    for axis in (0, 2):
        other = camera.copy()
        other[:, axis] += rng.uniform(-0.1, 0.1, BATCH)
        assert _collapse(other) == []
    assert _collapse(camera[:1]) == []      # one picture is always like itself


def _read(tmp_path, content, *argv):
    path = tmp_path / 'options.json'
    path.write_text(json.dumps(content))
    return train.parse_args(['--from_json={}'.format(path)] + list(argv))


def test_options_of_a_file_go_by_any_name_and_the_command_line_wins(tmp_path):
    content = {'learning_rate': 0.5, 'num_layers': 2, 'shuffle': True, 'no_augmentation': True}
    config = _read(tmp_path, content, '--lr=1e-4', '--noshuffle')
    assert (config.learning_rate, config.num_layers) == (1e-4, 2)
    assert config.shuffle is False and config.augmentation is False
    assert _read(tmp_path, {'lr': 0.5}, '--learning_rate=1e-4').learning_rate == 1e-4
    assert _read(tmp_path, {'options': {'wd': 0.5, 'first_weights': 'x'}}).wd == 0.5


def test_a_config_json_of_the_original_is_read(tmp_path):
    config = _read(tmp_path, {
        'name': 'first', 'time_to_run': float('inf'), 'resume': True, 'num_workers': 8,
        'pin_memory': True, 'log_dir': 'logs', 'checkpoint': None, 'from_json': None,
        'pretrained_checkpoint': None, 'model': 'graphcnn', 'num_channels': 256, 'num_layers': 5,
        'img_res': 224, 'dataset': 'itw', 'num_epochs': 50, 'batch_size': 16, 'summary_steps': 100,
        'checkpoint_steps': 10000, 'test_steps': 10000, 'rot_factor': 30, 'noise_factor': 0.4,
        'scale_factor': 0.25, 'use_augmentation': True, 'use_augmentation_rgb': False,
        'shuffle_train': False, 'adam_beta1': 0.9, 'lr': 0.0003, 'wd': 0,
        'checkpoint_dir': 'logs/first/checkpoints', 'summary_dir': 'logs/first/tensorboard'})
    assert (config.name, config.output_path, config.save_every) == ('first', 'logs', 10000)
    assert (config.shuffle, config.augmentation, config.augmentation_rgb) == (False, True, False)
    assert config.time_to_run is None and config.checkpoint == ''


@pytest.mark.parametrize('content, code, message', [
    ({'num_layerz': 2}, 2, 'there is no option num_layerz'), ([1], 1, 'holds no options'),
    ({'batch_size': 'many'}, 2, ': error: argument --'),
    ({'model': 'other'}, 2, ': error: argument --')])
def test_a_file_with_wrong_options_is_refused(tmp_path, content, code, message, capsys):
    with pytest.raises(SystemExit) as stop:
        _read(tmp_path, content)
    assert stop.value.code == code and message in capsys.readouterr().err


def _encoder(path):
    names = torch_weights.encoder_names()
    torch_writer.write(path, {name[len(torch_weights.ENCODER):]: np.full(
        [2, 2, 1, 1], number, np.float32) for number, name in enumerate(names, 1)})
    return names


def test_an_encoder_starts_a_run_as_it_is_and_converted(tmp_path):
    path, ckpt = str(tmp_path / 'resnet50.pth'), str(tmp_path / 'resnet50.ckpt')
    names = _encoder(path)
    assert pth2ckpt.main(['--pth-path', path, '--ckpt-path', ckpt]) == 0
    for inputs in (path, ckpt):
        tf.reset_default_graph()
        variables = {name: tf.get_variable(name, [1, 1, 2, 2]) for name in names}
        variables['graph_cnn.gc.0.b'] = tf.get_variable('graph_cnn.gc.0.b', [3],
                                                        initializer=tf.zeros_initializer())
        network = types.SimpleNamespace(variables=types.SimpleNamespace(by_name=variables))
        settled, load = training._initial_weights(
            _options('--pretrained_checkpoint', inputs, '--output_path', str(tmp_path)), network)
        assert settled.checkpoint == '' and settled.first_weights == inputs
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            load(sess)
            actual = [sess.run(variables[name]).ravel() for name in names]
        np.testing.assert_array_equal(actual, [[number] * 4
                                               for number in range(1, len(names) + 1)])


def test_a_run_that_goes_on_does_not_read_its_first_weights_again(tmp_path):
    folder = tmp_path / 'checkpoints'
    folder.mkdir()
    (folder / 'model-3.index').write_bytes(b'')
    arguments = ['--pretrained_checkpoint=nowhere.pth', '--output_path', str(tmp_path)]
    settled, load = training._initial_weights(_options(*arguments), None)
    assert load is None and settled.checkpoint == 'nowhere.pth'
    with pytest.raises(errors.InputError, match='nowhere.pth'):
        training._initial_weights(_options('--noresume', *arguments), None)


def test_pictures_are_drawn_once_for_each_body(tmp_path, monkeypatch):
    drawn = []

    def make(config):
        drawn.append(config.body)
        os.makedirs(os.path.join(config.output, 'extras'), exist_ok=True)
        open(os.path.join(config.output, 'extras', 'up_3d_lsp_test.npz'), 'w').close()

    monkeypatch.setattr(posed_bodies, 'make', make)
    for body in ('', '', 'smpl', 'smpl', ''):
        config = train.parse_args(['--output_path', str(tmp_path), '--body', body])
        assert training._data_path(options.complete(config, 'cpu')) == str(tmp_path / 'generated')
    assert drawn == ['', os.path.abspath('smpl'), '']


def test_measuring_names_the_way_to_do_without(tmp_path):
    with pytest.raises(errors.InputError, match='up_3d_lsp_test.npz.*--noevaluate'):
        training._Test(None, str(tmp_path), _options())


def test_a_drawing_process_that_dies_ends_the_making_of_a_set(tmp_path):
    code = '''
import os, signal, sys
from cmr import make_dataset
from cmr.src.dataset import posed_bodies
def die(task):
    os.kill(os.getpid(), signal.SIGKILL)
posed_bodies._picture = die
die.__module__, die.__qualname__ = 'cmr.src.dataset.posed_bodies', '_picture'
sys.exit(make_dataset.main(sys.argv[1:]))
'''
    done = subprocess.run(
        [sys.executable, '-c', code, '--output', str(tmp_path / 'set'), '--num_train=2',
         '--num_test=1', '--processes=2', '--body', tiny.make_body(tmp_path / 'body')],
        timeout=100, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b'a process that draws pictures has died' in done.stderr


@pytest.mark.parametrize('inputs, augments, rate', [
    ([], False, options.QUICK['learning_rate']), (['--data_path=x'], True, 3e-4),
    (['--data_path=x', '--noaugmentation'], False, 3e-4),
    (['--augmentation', '--lr=0.5'], True, 0.5)])
def test_only_the_quick_start_leaves_augmentation_out(inputs, augments, rate):
    settled = options.complete(train.parse_args(inputs), 'cpu')
    assert (settled.augmentation, settled.learning_rate) == (augments, rate)
    assert (settled.rot_factor, settled.noise_factor, settled.scale_factor) == (30., 0.4, 0.25)


def test_the_curve_of_errors_goes_over_all_measurements(tmp_path, monkeypatch):
    rows = [{'step': 0, 'shape_error_nonparam': 3., 'shape_error_param': 4.,
             'shape_error_mean_pose': 2.}, {'step': 1, 'loss': 1.},
            {'step': 2, 'shape_error_nonparam': 1., 'shape_error_param': 2.}]
    (tmp_path / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    drawn = []
    monkeypatch.setattr(training.plots, 'curves', lambda path, series, **_: drawn.append(series))
    training._draw_errors(types.SimpleNamespace(output_path=str(tmp_path), eval_dir=str(tmp_path)))
    assert drawn == [{'graph network': ([0, 2], [3., 1.]), 'SMPL parameters': ([0, 2], [4., 2.]),
                      'mean training pose': ([0, 2], [2., 2.])}]

"""Runs 3D-R2N2 on golden cases; `tests/golden.py` compares."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from r2n2 import models
from r2n2.lib import layers, solver, weights
from tests.r2n2 import golden_data_adapters

_WIDTHS = ('n_convfilter', 'n_fc_filters', 'n_deconvfilter', 'n_gru_vox', 'leaky_slope')
_THINNED = {'state', 'update_gate', 'reset_gate', 'input_gate', 'forget_gate', 'cell'}


def _net(case, path):
    """The network of a case, in a fresh graph."""
    tf.reset_default_graph()
    for kind in models.MODELS:
        if (kind.recurrence, kind.recurrent_kernel, kind.residual) == (
                case.config['recurrence'], case.config['recurrent_kernel'],
                case.config['residual']):
            return kind(plain=path == 'plain', **{name: case.config[name] for name in _WIDTHS})
    raise KeyError(case.config['variant'])


def _load(sess, net, case):
    """Gives the network the case's weights, which are in the original's layout and order."""
    sess.run(tf.global_variables_initializer())
    assert list(case.weights) == [name.replace('/', '.') for name in net.params]
    for (name, variable), array in zip(net.params.items(), case.weights.values()):
        variable.load(weights.from_original(net, name, array), sess)


def _images(array):
    """[V, B, 3, H, W] uint8 to [V, B, H, W, 3] float32."""
    return array.transpose(0, 1, 3, 4, 2).astype(np.float32) / np.float32(255)


def _channels_third(array):
    """[..., D, H, W, C] to [..., D, C, H, W]."""
    return np.moveaxis(array, -1, -3)


def forward(case, path):
    """Everything between pictures and voxels."""
    net = _net(case, path)
    images = _images(case.inputs['images_u8'])
    outputs = net.build(tf.constant(images))
    voxels = case.inputs['voxels_u8'].astype(np.float32)
    occupancy, loss = layers.loss(outputs.logits, tf.constant(voxels))
    with tf.Session() as sess:
        _load(sess, net, case)
        logits, states, fc7, gates, pools, occupied, loss = sess.run(
            [outputs.logits, outputs.states, outputs.features, outputs.gates, outputs.pools,
             occupancy, loss])
    views, batch = images.shape[:2]
    results = {'prediction': occupied, 'loss': loss, 'fc7': fc7,
             'logits': _channels_third(logits),
             'state': _channels_third(np.stack(states)),
             'error': np.mean((occupied >= 0.5) == (voxels > 0)),
             'conv1_pool': pools[0][:1, ::3, ::3, :4].transpose(0, 3, 1, 2),
             'pool3': pools[2][:1, :, :, :8].transpose(0, 3, 1, 2),
             'pool6': pools[5].transpose(0, 3, 1, 2).reshape(
                 (views, batch, -1) + pools[5].shape[1:3])}
    results.update({name: _channels_third(np.stack(value)) for name, value in gates.items()})
    for name in case.expected:      # a case keeps every so many channels of states and gates
        if name in _THINNED:
            results[name] = _thinned(results[name], 3, case.expected[name].shape[3], (1, 2, 4, 8))
    if 'logits' in case.expected:
        results['logits'] = _thinned(results['logits'], 1, case.expected['logits'].shape[1],
                                     (5, 10))
    return {name: results[name] for name in case.expected}


def _thinned(array, axis, count, usual):
    """Every so many entries, so that `count` stay: the first usual spacing, else the widest."""
    size = array.shape[axis]
    for spacing in usual + tuple(range(size, 0, -1)):
        if len(range(0, size, spacing)) == count:
            return np.take(array, range(0, size, spacing), axis)
    return array


def train(case, path):
    """Losses, first gradients and parameters over a few steps, and a last prediction."""
    net, options = _net(case, path), dict(case.config['optimizer'])
    trainer = solver.Solver(net, options['policy'], options['weight_decay'],
                            options.get('momentum', 0.))
    batch, size = case.config['batch_size'], case.config['img_h']
    steps = {views: trainer.step(views, batch, size) for views in sorted(set(case.config['views']))}
    with tf.Session() as sess:
        _load(sess, net, case)
        results = _run_steps(sess, net, case, trainer, steps)
        shapes = case.inputs['images_u8_0'].shape[0]
        outputs = net.build(steps[shapes].images)
        occupancy, loss = layers.loss(outputs.logits, steps[shapes].voxels)
        feed = _feed(case, steps[shapes], 0)
        results['final_prediction'], results['final_loss'] = sess.run([occupancy, loss], feed)
    results['final_prediction'] = results['final_prediction'][:, ::4]
    return {name: results[name] for name in case.expected}


def _feed(case, step, number):
    return {step.images: _images(case.inputs['images_u8_{}'.format(number)]),
            step.voxels: case.inputs['voxels_u8_{}'.format(number)].astype(np.float32)}


def _run_steps(sess, net, case, trainer, steps):
    names = list(net.params)
    outputs = {'loss': [], 'param_slices': [], 'delta_norm': []}
    start = _originals(net, names, sess.run(list(net.params.values())))
    for number, views in enumerate(case.config['views']):
        step = steps[views]
        feed = _feed(case, step, number)
        feed[trainer.rate] = case.config['optimizer']['lr']
        # Fetched before the update: variables of TensorFlow 1 change while they are read.
        loss, gradients = sess.run([step.loss, step.gradients], feed)
        sess.run(step.update, feed)
        if not number:
            originals = _originals(net, names, [gradients[name] for name in names])
            outputs['grad_norm'] = np.float32([np.linalg.norm(array) for array in originals])
            outputs['grad_slices'] = np.stack([_slice(array) for array in originals])
        now = _originals(net, names, sess.run(list(net.params.values())))
        outputs['loss'].append(loss)
        outputs['param_slices'].append(np.stack([_slice(array) for array in now]))
        outputs['delta_norm'].append([np.linalg.norm(new - old) for new, old in zip(now, start)])
    return {name: np.float32(value) for name, value in outputs.items()}


def _originals(net, names, arrays):
    return [weights.to_original(net, name, array) for name, array in zip(names, arrays)]


def _slice(array):
    """The first 8 values, filled up with zeros."""
    values = np.zeros(8, np.float32)
    first = array.ravel()[:8]
    values[:len(first)] = first
    return values


def npy_checkpoint(case, path):
    """The original's weight file, read and used."""
    net = _net(case, path)
    outputs = net.build(tf.constant(_images(case.inputs['images_u8'])))
    occupancy = tf.nn.softmax(outputs.logits)[..., 1]
    source = os.path.join(case.directory, 'weights.npy')
    with tf.Session() as sess:
        weights.load(sess, net, source)
        arrays = _originals(net, list(net.params), sess.run(list(net.params.values())))
        prediction = sess.run(occupancy)
    return {'prediction': prediction,
            'param_sum': np.float32([array.sum(dtype=np.float64) for array in arrays])}


ADAPTERS = {}
for _folder in ('r2n2_gru', 'r2n2_resgru', 'r2n2_lstm'):
    ADAPTERS.update({(_folder, 'forward'): forward, (_folder, 'train'): train,
                     (_folder, 'npy_checkpoint'): npy_checkpoint})
ADAPTERS.update(golden_data_adapters.ADAPTERS)

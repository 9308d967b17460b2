"""Runs IM-NET's networks and tools on golden cases; `tests/golden.py` compares."""
import os
import random

import numpy as np
import tensorflow.compat.v1 as tf
from scipy import spatial

from common.training import checkpoints
from imnet import data_utils, extraction
from imnet.IMGAN import model, modelz, ops
from imnet.IMSVR import model as svr_model
from imnet.IMSVR import views
from imnet.point_sampling import sampler
from tests.imnet import formula


def _load(sess, variables, weights):
    """Gives the variables a case's weights; names and order must agree."""
    names = [variable.op.name for variable in variables]
    np.testing.assert_equal(names, list(weights))
    sess.run(tf.global_variables_initializer())
    for variable in variables:
        variable.load(weights[variable.op.name], sess)


def _adam(config):
    return ops.adam(config['learning_rate'], config['beta1'],
                    **_configured(config, beta2='beta2', epsilon='epsilon'))


def _configured(config, **names):
    """Arguments {name: value of the config} for those values that the config has."""
    return {name: config[key] for name, key in names.items() if key in config}


def _bits(bits, shape):
    return np.unpackbits(bits)[:np.prod(shape)].reshape(shape)


def _autoencoder(case, path, optimizer=False):
    tf.reset_default_graph()
    config = case.config
    net = model.IMAE(config['z_dim'], config['ef_dim'], config['gf_dim'], plain=path == 'plain')
    step = ops.minimize(_adam(config), net.loss) if optimizer else None
    sess = tf.Session()
    _load(sess, net.variables, case.weights)
    count = len(case.inputs['points'])
    voxels = _bits(case.inputs['voxels_bits'], [count, 64, 64, 64, 1])
    feeds = [{net.vox3d: voxels[row:row + 1],
              net.point_coord: data_utils.coordinates(case.inputs['points'][row:row + 1]),
              net.point_value: case.inputs['values'][row:row + 1]} for row in range(count)]
    return net, sess, feeds, step


def _heads(arrays):
    """First 16 elements of each array (zeros behind short ones)."""
    result = np.zeros([len(arrays), 16], np.float32)
    for row, array in enumerate(arrays):
        part = np.ravel(array)[:16]
        result[row, :len(part)] = part
    return result


def ae_forward(case, path):
    """Codes, values, loss and gradients."""
    net, sess, feeds, _ = _autoencoder(case, path)
    rows = [sess.run([net.z, net.values, net.loss], feed) for feed in feeds]
    gradients = sess.run(tf.gradients(net.loss, net.variables), feeds[0])
    points = feeds[0][net.point_coord]
    decoded = [sess.run(net.test_values, {net.z_vector: code[None], net.test_points: points})
               for code in case.inputs['z']]
    return {'z': np.concatenate([row[0] for row in rows]),
            'out': np.stack([row[1].ravel() for row in rows]),
            'loss': np.array([row[2] for row in rows]),
            'out_from_z': np.stack([values.ravel() for values in decoded]),
            'grad_head': _heads(gradients),
            'grad_norm': np.array([np.linalg.norm(item.astype(float)) for item in gradients])}


def _changes(sess, variables, weights):
    moved = [value.astype(float) - weights[variable.op.name]
             for variable, value in zip(variables, sess.run(variables))]
    return _heads(moved), [np.sqrt(np.mean(item ** 2)) for item in moved]


def ae_train(case, path):
    """Losses and changes of the variables over optimizer steps."""
    net, sess, feeds, step = _autoencoder(case, path, optimizer=True)
    losses, heads, sizes = [], [], []
    for row in case.inputs['order']:
        losses.append(sess.run([net.loss, step], feeds[row])[0])
        head, size = _changes(sess, net.variables, case.weights)
        heads.append(head)
        sizes.append(size)
    return {'loss': np.array(losses), 'delta_head': np.array(heads), 'delta_rms': np.array(sizes),
            'out_after': sess.run(net.values, feeds[0]).ravel()}


def ae_checkpoint(case, path):
    """A checkpoint of the original in a folder that was moved."""
    tf.reset_default_graph()
    config = case.config
    net = model.IMAE(config['z_dim'], config['ef_dim'], config['gf_dim'], plain=path == 'plain')
    (folder,) = [place for place, _, names in os.walk(case.directory) if 'checkpoint' in names]
    prefix = checkpoints.latest(folder)
    with tf.Session() as sess:
        checkpoints.restore(sess, prefix, net.variables, strict=True)
        for variable, value in zip(net.variables, sess.run(net.variables)):
            np.testing.assert_array_equal(value, case.weights[variable.op.name])
    return {'n_variables': np.array([len(checkpoints.variables_of(prefix))]),
            'resume_epoch': np.array([checkpoints.step_of(prefix) + 1])}


def gan(case, path):
    """Scores, losses and steps of the GAN."""
    del path    # the same operations on both
    tf.reset_default_graph()
    config = case.config
    net = modelz.ZGAN(config['z_vector_dim'], config['z_dim'], config['df_dim'], config['gf_dim'],
                      config['batch_size'], **_configured(config, penalty_weight='gp_weight'))
    d_step, g_step = net.train_steps(lambda: _adam(config))
    with tf.Session() as sess:
        _load(sess, net.variables, case.weights)
        feeds = [{net.real: real, net.noise: noise, net.epsilon: epsilon} for real, noise, epsilon
                 in zip(case.inputs['real'], case.inputs['noise'], case.inputs['epsilon'])]
        arrays = sess.run({'G': net.fake, 'D_real': net.real_score[:, 0],
                          'D_fake': net.fake_score[:, 0], 'd_loss0': net.d_loss,
                          'g_loss0': net.g_loss, 'gp0': net.penalty}, feeds[0])
        rows = {name: [] for name in ('d_loss', 'g_loss', 'delta_head', 'delta_rms')}
        for feed in feeds:
            rows['d_loss'].append(sess.run([net.d_loss, d_step], feed)[0])
            rows['g_loss'].append(sess.run([net.g_loss, g_step], feed)[0])
            head, size = _changes(sess, net.variables, case.weights)
            rows['delta_head'].append(head)
            rows['delta_rms'].append(size)
        arrays['G_after'] = sess.run(net.fake, feeds[0])
    return dict(arrays, **{name: np.array(value) for name, value in rows.items()})


def _pictures(case, path, optimizer=False):
    tf.reset_default_graph()
    config = case.config
    net = svr_model.IMSVR(config['z_dim'], config['ef_dim'], config['gf_dim'],
                          plain=path == 'plain', **_configured(config, norm_decay='bn_decay',
                                                          norm_epsilon='bn_epsilon'))
    step = net.train_step(_adam(config)) if optimizer else None
    sess = tf.Session()
    _load(sess, net.variables, case.weights)
    pictures = case.inputs['views'][..., None].astype(np.float32) / 255.
    feeds = [{net.view: view, net.target: target}
             for view, target in zip(pictures, case.inputs['z'])]
    return net, sess, pictures, feeds, step


def _tested(net, sess, pictures):
    return np.concatenate([sess.run(net.test_z, {net.test_view: view[None]}) for view in pictures])


def svr_forward(case, path):
    """Codes in both modes, moving statistics, the decoder."""
    net, sess, pictures, feeds, _ = _pictures(case, path)
    codes = _tested(net, sess, pictures[0])
    field = net.field(sess, codes[0])(case.inputs['points'])
    trained, loss = sess.run([net.z, net.loss], feeds[0])
    head, size = _changes(sess, net.variables, case.weights)
    return {'z_test': codes, 'field': field, 'z_train': trained, 'loss': loss,
            'delta_head': head[None], 'delta_rms': np.array([size])}


def svr_train(case, path):
    """Steps of the encoder; the decoder stays."""
    net, sess, pictures, feeds, step = _pictures(case, path, optimizer=True)
    codes = _tested(net, sess, pictures[0])
    arrays = {'z_test': codes, 'field': net.field(sess, codes[0])(case.inputs['points'])}
    rows = {name: [] for name in ('loss', 'delta_head', 'delta_rms')}
    for feed in feeds:
        rows['loss'].append(sess.run([net.loss, step], feed)[0])
        head, size = _changes(sess, net.variables, case.weights)
        rows['delta_head'].append(head)
        rows['delta_rms'].append(size)
    count = len(case.expected['z_test_after'])
    arrays['z_test_after'] = _tested(net, sess, pictures[0][:count])
    return dict(arrays, **{name: np.array(value) for name, value in rows.items()})


def svr_views(case, path):
    """Batches of views, pictures over white, pictures of other sizes."""
    del path
    pixels = case.inputs['pixels']
    rng = np.random.RandomState(case.config['numpy_seed'])
    return {'batch_view': views.batch(pixels, case.inputs['order'], rng,
                                     case.config.get('view_num')),
            'test_view': views.cropped(pixels[1, 0])[None],
            'composited': views.over_white(case.inputs['rgba']),
            'external_view': views.resized(case.inputs['grey'])[None]}


def cell_sampler(case, path):
    """Picks of the cell sampler, and the state of the generator afterwards."""
    del path
    picks = []
    names = sorted((name for name in case.inputs if name.startswith('block_')),
                   key=lambda name: int(name[len('block_'):]))
    blocks = [case.inputs[name] for name in names]
    for block, target, seed in zip(blocks, case.inputs['target'], case.inputs['seeds']):
        draws = sampler.Draws(np.random.RandomState(seed))
        pick = sampler.sample_point_in_cube(block, target, draws)
        picks.append(list(pick) + [draws.rng().randint(2 ** 30)])
    return {'picks': np.array(picks)}


def point_sampling(case, path):
    """Carved grids and point sets of an HSP file."""
    del path
    raw = sampler.assemble(case.inputs['b'], case.inputs['bi'])
    carved = sampler.carved(raw)
    draws = sampler.Draws(np.random.RandomState(case.config['numpy_seed']),
                          random.Random(case.config['python_random_seed']))
    sets = sampler.point_sets(carved, draws)
    arrays = {'raw_256_bits': np.packbits(raw), 'carved_256_bits': np.packbits(carved),
             'voxels_bits': np.packbits(sets.voxels), 'exceed': np.array(sets.exceeded),
             'surface_cells': np.array(sets.surface_cells)}
    for size in (16, 32, 64):
        arrays['points_{}'.format(size)] = sets.points[size]
        arrays['values_{}'.format(size)] = sets.values[size]
    return arrays


def _mesh_numbers(case, field):
    """What both kinds of field cases expect, with doubled cells as in the original."""
    config = case.config
    options = {'frame': config['frame_grid_size'], 'threshold': config['threshold'],
               'points_per_call': config['batch_size']}
    extracted = extraction.exact(field, config['real_size'], doubled=True, **options)
    single = extraction.exact(field, config['real_size'], **options)
    # Calls of other sizes round differently.
    np.testing.assert_allclose(extracted.grid, single.grid, atol=1e-6)
    assert single.evaluated == single.distinct == extracted.distinct
    inside = extracted.grid > config['threshold']
    bits, expected = np.packbits(inside), case.expected['occupancy_bits']
    if np.unpackbits(bits ^ expected).sum() <= config['bit_slack']:
        bits = expected
    vertices, triangles = extraction.surface(extracted.grid, config['threshold'])
    corners = vertices[triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1).sum() / 2
    volume = abs(np.einsum('td,td->t', corners[:, 0], cross).sum() / 6)
    nearest = spatial.cKDTree(vertices).query(case.expected['vertex_subset'])[1]
    grid = extracted.grid.astype(np.float64)
    return vertices, {
        'coarse_bits': np.packbits(extracted.coarse),
        'queue_initial': np.array([len(extracted.queue)]),
        'queue_head': extracted.queue[:64], 'occupancy_bits': bits,
        'cells_evaluated': np.array([extracted.evaluated, extracted.distinct]),
        'call_sizes': np.array(extracted.calls),
        'probe_index': case.expected['probe_index'],
        'probe_value': extracted.grid.ravel()[case.expected['probe_index']],
        'field_sum': np.array([grid.sum(), (grid ** 2).sum(), (grid == 1).sum(),
                               (grid == 0).sum()]),
        'counts': np.array([len(vertices), len(triangles)]),
        'vertex_box': np.array([vertices.min(axis=0), vertices.max(axis=0)]),
        'vertex_sums': np.array([vertices.sum(axis=0), (vertices ** 2).sum(axis=0)]),
        'area_volume': np.array([area, volume]), 'vertex_subset': vertices[nearest]}


def field_analytic(case, path):
    """Extraction from a formula."""
    del path
    return _mesh_numbers(case, formula.field(case.config['formula']))[1]


def field_decoder(case, path):
    """Extraction, refinement and interpolation with a small decoder."""
    tf.reset_default_graph()
    net = svr_model.IMSVR(case.config['z_dim'], 1, case.config['gf_dim'], plain=path == 'plain')
    with tf.Session() as sess:
        _load(sess, net.decoder_variables, case.weights)
        codes = case.inputs['z']
        field = net.field(sess, codes[0])
        _, arrays = _mesh_numbers(case, field)
        moved = extraction.refine(field, case.inputs['vertices'], case.config['real_size'],
                                  case.config['threshold'])
        arrays['values'] = field(case.inputs['points'])
        arrays['residual_before_after'] = np.array([
            np.abs(field(points.astype(np.float32)) - case.config['threshold']).mean()
            for points in (case.inputs['vertices'], moved)])
        expected, limit = case.expected['optimized'], case.tolerance['optimized']['atol']
        matching = (np.abs(moved - expected) <= limit).all(axis=1)
        if matching.mean() >= case.config['optimize_match_fraction']:
            moved = np.where(matching[:, None], moved, expected)
        arrays['optimized'] = moved
        arrays['interp_z'] = extraction.interpolate(codes[0], codes[1], 8)[3:4]
    return arrays


ADAPTERS = {('imnet_ae', 'forward'): ae_forward, ('imnet_ae', 'train'): ae_train,
            ('imnet_ae', 'checkpoint'): ae_checkpoint, ('imnet_zgan', 'gan'): gan,
            ('imnet_svr', 'forward'): svr_forward, ('imnet_svr', 'train'): svr_train,
            ('imnet_svr', 'views'): svr_views, ('imnet_mesh', 'cell-sampler'): cell_sampler,
            ('imnet_mesh', 'point-sampling'): point_sampling,
            ('imnet_mesh', 'field-analytic'): field_analytic,
            ('imnet_mesh', 'field-decoder'): field_decoder}

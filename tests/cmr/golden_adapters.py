"""Runs CMR's networks on golden cases; `tests/golden.py` compares."""
import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.loss import loss
from cmr.src.models import (
    cmr,
    geometric_layers,
    graph_cnn,
    graph_layers,
    layers,
    resnet,
    smpl,
    smpl_param_regressor,
)
from cmr.src.netCell import netWithLoss
from cmr.src.utils import mesh as mesh_lib
from cmr.src.utils import torch_weights
from tests.cmr import golden_data_adapters, synthetic

_MEAN, _STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


_FORMS = {'plain': 'dense', 'cpu': 'sparse'}


def _body(case):
    config = case.config
    return synthetic.body(config['body_seed'], config['rings'], config['segments'])


def _levels(case, body):
    return synthetic.hierarchy(case.config['hierarchy_seed'], body['v_template'], body['f'],
                               case.config['sizes'])


def _mesh(case, body, path):
    return mesh_lib.Mesh(body['v_template'], *_levels(case, body), form=_FORMS[path])


def _session(variables, case):
    """A session whose variables have the case's weights; those must be exactly ours."""
    arrays = {name: value for name, value in case.weights.items()
              if not name.endswith('num_batches_tracked')}
    assert set(variables.by_name) == set(arrays), sorted(set(variables.by_name) ^ set(arrays))[:5]
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    for name, variable in variables.by_name.items():
        variable.load(torch_weights.to_ours(arrays[name]), sess)
    return sess


def _images(array):
    return (array.astype(np.float32) / np.float32(255) - _MEAN) / _STD


def resnet_forward(case, path):
    """Features and, in training, running statistics and gradients."""
    tf.reset_default_graph()
    training = 'probe' in case.inputs
    variables, stages = layers.Parameters(training, fast_gradients=path == 'cpu'), []
    features = resnet.resnet50(tf.constant(_images(case.inputs['image_u8'])), variables,
                               stages=stages)
    names = ['stem', 'layer1', 'layer2', 'layer3', 'layer4']
    fetches = {'features': features, 'stages': stages}
    if training:
        total = tf.reduce_sum(features * case.inputs['probe'])
        wanted = {_gradient_name(case, name): variable
                  for name, variable in variables.by_name.items()
                  if _gradient_name(case, name)}
        fetches.update(zip(wanted, tf.gradients(total, list(wanted.values()))))
    with _session(variables, case) as sess:
        results = sess.run(fetches)
        if training:
            sess.run(variables.updates)
            statistics = sess.run(dict(variables.by_name))
    for name, stage in zip(names, results['stages']):
        results[name + '_mean'] = stage.mean(axis=(1, 2))
        results[name + '_slice'] = stage[0].transpose(2, 0, 1)[:8, :4, :4]
    for name in case.expected:
        if 'running' in name:
            key = [other for other in case.weights
                   if other.replace('downsample.1', 'downsample').replace('.', '_') == name][0]
            results[name] = statistics[key]
        elif name.startswith('grad_'):
            shape = case.expected[name].shape
            array = torch_weights.to_original(results[name])
            array = array.reshape(array.shape[:len(shape)]) if array.ndim > len(shape) else array
            results[name] = array[tuple(slice(size) for size in shape)]
    return {name: results[name] for name in case.expected}


def _gradient_name(case, name):
    flat = 'grad_' + name.replace('.', '_')
    for wanted in case.expected:
        if wanted in (flat, flat[:-len('_weight')] if flat.endswith('_weight') else flat):
            return wanted
    return None


def padding(case, path):
    """Strided operations on even and odd sizes."""
    del path
    arrays, results = case.inputs, {}
    tf.reset_default_graph()
    with tf.Session() as sess:
        for name in case.expected:
            kind, size = name.split('_')
            x = tf.constant(arrays['x_' + size].transpose(0, 2, 3, 1))
            if kind == 'maxpool':
                y = resnet.max_pool(x)
            else:
                kernel = tf.constant(torch_weights.to_ours(arrays['w' + kind[4]]))
                y = resnet.padded_conv(x, kernel, 2)
            results[name] = sess.run(y).transpose(0, 3, 1, 2)
    return results


def graphcnn(case, path):
    """The graph network behind the encoder."""
    tf.reset_default_graph()
    body = _body(case)
    mesh, variables = _mesh(case, body, path), layers.Parameters(plain=path == 'plain')
    nodes, camera = graph_cnn.graph_cnn(
        tf.constant(case.inputs['features']), mesh.ref_vertices, variables, mesh.adjacency,
        case.config['num_layers'], case.config['num_channels'])
    with _session(variables, case) as sess:
        nodes, camera = sess.run([nodes, camera])
    return {'shape': nodes.transpose(0, 2, 1), 'camera': camera}


def graph_layers_alone(case, path):
    """Every layer of the graph network by itself."""
    tf.reset_default_graph()
    arrays = case.inputs
    adjacency = _mesh(case, _body(case), path).adjacency
    variables = layers.Parameters(plain=path == 'plain')
    x, x32 = [tf.constant(arrays[name].transpose(0, 2, 1)) for name in ('x', 'x32')]
    fetches = {'lin': graph_layers.linear(x, variables, 'lin', 16),
               'gn': graph_layers.group_norm(x, variables, 'gn', 3)}
    for name, source, outputs in (('block_same', x, 24), ('block_diff', x32, 16)):
        fetches[name] = graph_layers.res_block(source, variables.scope(name), outputs, adjacency)
    conv = graph_layers.convolution(tf.constant(arrays['xc']), variables, 'conv', 16, adjacency)
    total = tf.reduce_sum(fetches['block_diff'] * arrays['probe'].transpose(0, 2, 1))
    names = {'grad_conv_weight': 'conv.weight', 'grad_conv_bias': 'conv.bias',
             'grad_lin1_W': 'lin1.W', 'grad_lin2_b': 'lin2.b', 'grad_skip_W': 'skip_conv.W',
             'grad_pre_norm_weight': 'pre_norm.weight', 'grad_norm2_bias': 'norm2.bias'}
    wanted = [variables.by_name['block_diff.' + name] for name in names.values()]
    gradients = tf.gradients(total, [x32] + wanted)
    with _session(variables, case) as sess:
        results, conv, gradients = sess.run([fetches, conv, gradients])
    results = {name: value.transpose(0, 2, 1) for name, value in results.items()}
    results.update(zip(names, gradients[1:]), conv=conv, grad_x32=gradients[0].transpose(0, 2, 1))
    return {name: results[name] for name in case.expected}


def mesh(case, path):
    """Adjacency, template and sampling between levels."""
    tf.reset_default_graph()
    body = _body(case)
    connections, downs, ups = _levels(case, body)
    built = mesh_lib.Mesh(body['v_template'], connections, downs, ups,
                          case.config['num_downsampling'], _FORMS[path])
    results = {'ref_vertices': built.ref_vertices}
    for level, matrix in enumerate(connections):
        entries = mesh_lib.adjacency_matrix(matrix, case.config['nsize']).tocoo()
        order = np.lexsort((entries.col, entries.row))
        for name in ('row', 'col', 'data'):
            label = 'adj{}_{}'.format(level, name)
            if label in case.expected:
                values = getattr(entries, name)[order]
                results[label] = values[:len(case.expected[label])]
    with tf.Session() as sess:
        results['up'], results['down'] = sess.run([
            built.upsample(tf.constant(case.inputs['x_up'])),
            built.downsample(tf.constant(case.inputs['x_down']))])
    return {name: results[name] for name in case.expected}


def regressor(case, path):
    """Rotations and shape numbers; in training the running statistics too."""
    del path
    tf.reset_default_graph()
    variables = layers.Parameters(case.config['train'])
    rotations, betas, raw = smpl_param_regressor.regressor(tf.constant(case.inputs['x']), variables)
    with _session(variables, case) as sess:
        results = dict(zip(('rotmat', 'betas', 'raw'), sess.run([rotations, betas, raw])))
        if variables.updates:
            sess.run(variables.updates)
        values = sess.run(dict(variables.by_name))
    results.update(running_mean=values['layers.0.fc_block.1.running_mean'],
                   running_var=values['layers.0.fc_block.1.running_var'],
                   running_var_2=values['layers.2.fc_block.4.running_var'])
    return {name: results[name] for name in case.expected}


def svd(case, path):
    """The orthogonal factor and its gradient."""
    del path
    tf.reset_default_graph()
    matrix = tf.constant(case.inputs['A'])
    rotation = smpl_param_regressor.orthogonal(matrix)
    gradient = tf.gradients(tf.reduce_sum(rotation * case.inputs['probe']), matrix)[0]
    det = smpl_param_regressor.determinant(smpl_param_regressor.polar(matrix))
    with tf.Session() as sess:
        return dict(zip(('rotmat', 'grad', 'det'), sess.run([rotation, gradient, det])))


def body_full(case, path):
    """Posed bodies and their joints."""
    del path
    tf.reset_default_graph()
    body, arrays = _body(case), case.inputs
    model = smpl.Smpl(body)
    vertices = model.vertices(tf.constant(arrays['pose']), tf.constant(arrays['betas']))
    others = model.vertices(tf.constant(arrays['rotmat']), tf.constant(arrays['betas2']))
    with tf.Session() as sess:
        results = dict(zip(('vertices', 'vertices_rotmat', 'joints', 'joints_rotmat'), sess.run(
            [vertices, others, model.joints(vertices), model.joints(others)])))
    results['h36m'] = np.einsum('jv,bvc->bjc', body['J_regressor_h36m'], results['vertices'])
    return {name: results[name] for name in case.expected}


def body_grad(case, path):
    """Gradients through the body model."""
    del path
    tf.reset_default_graph()
    model = smpl.Smpl(_body(case))
    pose, betas, rotmat = [tf.constant(case.inputs[name]) for name in ('pose', 'betas', 'rotmat')]
    vertices, others = model.vertices(pose, betas), model.vertices(rotmat, betas)
    probe = case.inputs['probe']
    gradients = tf.gradients(tf.reduce_sum(vertices * probe), [pose, betas])
    gradients += tf.gradients(tf.reduce_sum(others * probe), [rotmat])
    names = ('vertices', 'vertices_rotmat', 'grad_pose', 'grad_betas', 'grad_rotmat')
    with tf.Session() as sess:
        return dict(zip(names, sess.run([vertices, others] + gradients)))


def rodrigues(case, path):
    """Axis-angle vectors, quaternions and projection."""
    del path
    tf.reset_default_graph()
    arrays = {name: tf.constant(value) for name, value in case.inputs.items()}
    rotmat = geometric_layers.rodrigues(arrays['theta'])
    gradient = tf.gradients(tf.reduce_sum(rotmat * arrays['probe']), arrays['theta'])[0]
    with tf.Session() as sess:
        return dict(zip(('rotmat', 'grad', 'quat_rotmat', 'projected'), sess.run([
            rotmat, gradient[-case.expected['grad'].shape[0]:],
            geometric_layers.quat2mat(arrays['quat']),
            geometric_layers.orthographic_projection(arrays['points'], arrays['camera'])])))


def losses(case, path):
    """Each term and its gradient."""
    del path
    tf.reset_default_graph()
    arrays = {name: tf.constant(value.astype(np.float32)) for name, value in case.inputs.items()}
    pose, betas = loss.regressed(arrays['pred_rotmat'], arrays['pred_betas'], arrays['gt_pose'],
                                 arrays['gt_betas'], arrays['has_smpl'])
    terms = {
        'keypoints_2d': (loss.keypoints_2d(arrays['pred_keypoints_2d'], arrays['gt_keypoints_2d']),
                         'pred_keypoints_2d'),
        'keypoints_3d': (loss.keypoints_3d(arrays['pred_keypoints_3d'], arrays['gt_keypoints_3d'],
                                           arrays['has_pose_3d']), 'pred_keypoints_3d'),
        'shape': (loss.shape(arrays['pred_vertices'], arrays['gt_vertices'], arrays['has_smpl']),
                  'pred_vertices'),
        'regr_pose': (pose, 'pred_rotmat'), 'regr_betas': (betas, 'pred_betas')}
    fetches = {}
    for name, (value, source) in terms.items():
        fetches[name] = value
        fetches['grad_' + name] = tf.gradients(value, arrays[source])[0]
    with tf.Session() as sess:
        return sess.run(fetches)


def _whole(case, path, training):
    """(parameters, body, outputs) of the whole network of a case, in a fresh graph."""
    tf.reset_default_graph()
    template = _body(case)
    body, mesh_of_case = smpl.Smpl(template), _mesh(case, template, path)
    variables = layers.Parameters(training, plain=path == 'plain',
                                  fast_gradients=path == 'cpu')
    arrays = case.inputs
    source = ({'features': tf.constant(arrays['features'])} if 'features' in arrays
              else {'images': tf.constant(_images(arrays['image_u8']))})
    outputs = cmr.network(variables, mesh_of_case, body, num_layers=case.config['num_layers'],
                          num_channels=case.config['num_channels'], **source)
    return variables, body, outputs


def fused_inference(case, path):
    """Picture to both bodies."""
    variables, _, outputs = _whole(case, path, False)
    with _session(variables, case) as sess:
        results = sess.run(outputs)
    return {'vertices': results.vertices, 'vertices_smpl': results.vertices_smpl,
            'camera': results.camera, 'rotmat': results.rotations, 'betas': results.betas}


def trajectory(case, path):
    """Losses and variables over a few steps."""
    variables, body, outputs = _whole(case, path, True)
    arrays, config = case.inputs, case.config
    truth = netWithLoss.Truth(*[tf.constant(arrays[name].astype(np.float32))
                                for name in netWithLoss.Truth._fields])
    terms, projected, projected_smpl = netWithLoss.losses(outputs, truth, body)
    optimizer = netWithLoss.Adam(config['lr'], config['adam_beta1'], config['adam_beta2'],
                                 config['adam_eps'])
    step = netWithLoss.update(terms['loss'], variables, optimizer, config['wd'])
    results = {'losses': []}
    with _session(variables, case) as sess:
        for number in range(config['steps']):
            values, camera, first, second = sess.run(
                [list(terms.values()), outputs.camera, projected, projected_smpl])
            results['losses'].append(values)
            sess.run(step)
            if not number:
                results.update(step1_pred_camera=camera, step1_keypoints_2d=first,
                               step1_keypoints_2d_smpl=second)
                results['step1_regressor_running_mean'] = sess.run(variables.by_name[
                    'smpl_param_regressor.layers.0.fc_block.1.running_mean'])
            values = sess.run(dict(variables.by_name))
            for name in case.expected:
                if name.startswith('vars_'):
                    value = torch_weights.to_original(values[name[5:]])
                    results.setdefault(name, []).append(_corner(name, value,
                                                                case.expected[name].shape[1:]))
    results = {name: np.float32(value) for name, value in results.items()}
    results.update(losses_step1=results['losses'][0], losses_step2=results['losses'][1])
    return {name: results[name] for name in case.expected}


def _corner(name, array, shape):
    if name.endswith('layers.0.fc_block.0.weight'):     # columns of predicted coordinates alone
        columns = [column for column in range(array.shape[1]) if column % 6 < 3][:shape[1]]
        return array[:shape[0], columns]
    return array[tuple(slice(size) for size in shape)]


ADAPTERS = {
    ('cmr_resnet', 'forward'): resnet_forward, ('cmr_resnet', 'padding'): padding,
    ('cmr_graph', 'graphcnn'): graphcnn, ('cmr_graph', 'layers'): graph_layers_alone,
    ('cmr_graph', 'mesh'): mesh, ('cmr_regressor', 'regressor'): regressor,
    ('cmr_regressor', 'svd'): svd, ('cmr_smpl', 'body-full'): body_full,
    ('cmr_smpl', 'body-small-grad'): body_grad, ('cmr_smpl', 'rodrigues'): rodrigues,
    ('cmr_loss', 'loss'): losses, ('cmr_train', 'fused-inference'): fused_inference,
    ('cmr_train', 'head-trajectory'): trajectory, ('cmr_train', 'resnet-trajectory'): trajectory}
ADAPTERS.update(golden_data_adapters.ADAPTERS)

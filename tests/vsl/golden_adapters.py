"""Runs VSL's networks on golden cases; `tests/golden.py` compares."""
import io
import itertools
from unittest import mock

import h5py
import numpy as np
import tensorflow.compat.v1 as tf

from vsl import data_utils, inference, measures, vsl, vsl_rec

_SIZES = ('obj_res', 'batch_size', 'global_latent_dim', 'local_latent_dim', 'local_latent_num')
_LETTERS = ('grad_l2', 'grad_clipped_count', 'delta_l1', 'adam_m_l2', 'adam_v_l2', 'has_gradient')


def _build(case, path, **kwargs):
    """The network of a case in a fresh graph, with the case's weights in its session."""
    tf.reset_default_graph()
    kind = vsl_rec if case.model == 'vsl_rec' else vsl
    model = kind.VarShapeLearner(plain=path == 'plain',
                                 **{name: case.config[name] for name in _SIZES}, **kwargs)
    np.testing.assert_equal(list(model.params), list(case.weights) or list(model.params))
    for name, value in case.weights.items():
        model.params[name].load(value, model.sess)
    return model


def _feed(model, inputs, suffix=''):
    """Feed of the arrays that a case has for a step."""
    tensors = {'x': model.x}
    tensors.update(('eps_{}'.format(number), tensor) for number, tensor in enumerate(model.noise))
    if isinstance(model, vsl_rec.VarShapeLearner):
        tensors.update(y=model.y, dropout_uniform=model.dropout_uniform)
    feed = {tensor: inputs[name + suffix] for name, tensor in tensors.items()}
    if isinstance(model, vsl_rec.VarShapeLearner):
        feed.update({model.gamma: inputs['gamma'], model.keep_prob: inputs['keep_prob']})
    return feed


def forward(case, path):
    """Codes, losses, reconstructions and what lies between."""
    model = _build(case, path)
    named = {name: getattr(model, name) for name in case.expected if hasattr(model, name)}
    for number in range(len(model.sizes)):
        named.update({'z_mean_{}'.format(number): model.z_mean[number],
                      'z_logstd_{}'.format(number): model.z_logstd[number],
                      'z_{}'.format(number): model.z_all[number],
                      'kl_{}'.format(number): model.kl_loss[number]})
    outputs = model.sess.run(named, _feed(model, case.inputs))
    if 'x_rec_from_image' in case.expected:
        outputs['x_rec_from_image'] = model.sess.run(
            model.x_rec, {model.decoder_input: outputs['learned_feature']})
    return outputs


def loss_terms(case, path):
    """Losses of the codes and reconstructions of a case."""
    del path
    tf.reset_default_graph()
    inputs = case.inputs
    kl = [vsl.kl_divergence(tf.constant(inputs['z_mean_{}'.format(number)]),
                            tf.constant(inputs['z_logstd_{}'.format(number)]))
          for number in range(case.config['local_latent_num'] + 1)]
    rec = vsl.reconstruction_loss(tf.constant(inputs['x']), tf.constant(inputs['x_rec']))
    kl_all = tf.add_n(kl) / len(kl)
    loss = tf.reduce_mean(rec) + vsl.KL_WEIGHT * tf.reduce_mean(kl_all)
    wanted = {'rec_loss': rec, 'kl_loss_all': kl_all, 'loss': loss}
    wanted.update(('kl_{}'.format(number), value) for number, value in enumerate(kl))
    with tf.Session() as sess:
        return sess.run(wanted)


def decode(case, path):
    """Generation and interpolation by feeding codes."""
    model = _build(case, path, training=False)
    codes = case.inputs['z']
    new = (codes + case.inputs['noise']).astype(np.float32)
    route = measures.interpolate(codes[case.config['id2']], codes[case.config['id1']])
    batch = codes.copy()
    decoded = []
    for step in (0, 3, 6):
        batch[case.config['id2']] = route[step]
        decoded.append(inference.decode(model, batch)[case.config['id2']])
    shape = [-1] + 3 * [data_utils.GRID] + [1]
    return {'z_new': new, 'x_rec_new': inference.decode(model, new).reshape(shape), 'path': route,
            'path_x_rec': np.reshape(decoded, shape)}


def train(case, path):
    """Losses, gradients and optimizer steps."""
    model = _build(case, path, learning_rate=case.config['learning_rate'])
    sess, names = model.sess, list(model.params)
    gradients = {variable.op.name: gradient for gradient, variable in model.gradients
                 if gradient is not None}
    scalars = {'loss': model.loss, 'kl_mean': tf.reduce_mean(model.kl_loss_all),
               'rec_mean': tf.reduce_mean(model.rec_loss)}
    if case.model == 'vsl_rec':
        scalars['lat_loss'] = model.lat_loss
    picks = {name[len('pick_'):]: index for name, index in case.inputs.items()
             if name.startswith('pick_')}
    outputs = {name: [] for name in list(scalars) + ['after_' + name for name in picks]}
    for step in range(case.config['steps']):
        feed = _feed(model, case.inputs, '_step{}'.format(step))
        if step == 0:
            values, first, _ = sess.run((scalars, gradients, model.optimizer), feed)
        else:
            values, _ = sess.run((scalars, model.optimizer), feed)
        for name, value in values.items():
            outputs[name].append(value)
        now = sess.run({name: model.params[name] for name in picks})
        for name, index in picks.items():
            outputs['after_' + name].append(now[name].ravel()[index])
    for name, index in picks.items():
        outputs['grad_' + name] = first[name].ravel()[index] if name in first else index * 0.
    slots = {variable.op.name: variable for variable in tf.global_variables()}
    rows = []
    for name in names:
        if name not in first:
            assert name + '/Adam' not in slots
            rows.append([0.] * len(_LETTERS))
            continue
        final, m, v = sess.run((model.params[name], slots[name + '/Adam'], slots[name + '/Adam_1']))
        rows.append([np.linalg.norm(first[name].astype(float)), (np.abs(first[name]) > 1).sum(),
                     np.abs(final.astype(float) - case.weights[name]).sum(),
                     np.linalg.norm(m.astype(float)), np.linalg.norm(v.astype(float)), 1])
    outputs.update(zip(_LETTERS, np.transpose(rows)))
    return {name: np.asarray(value) for name, value in outputs.items()}


def variables(case, path):
    """Names, shapes and initial ranges of the variables; contents of a checkpoint."""
    model = _build(case, path)
    limits, shapes = [], []
    for variable in tf.trainable_variables():
        shape = variable.shape.as_list()
        shapes.append(shape + [0] * (5 - len(shape)))
        bounds = [op.node_def.attr['value'].tensor for op in tf.get_default_graph().get_operations()
                  if op.name == variable.op.name + '/Initializer/random_uniform/max']
        limits.append(tf.make_ndarray(bounds[0]).item() if bounds else 0.)
    everything = [variable.op.name for variable in tf.global_variables()]
    names = [variable.op.name for variable in tf.trainable_variables()]
    assert names == list(model.params)
    return {'names': np.array(names), 'shapes': np.array(shapes), 'xavier_limit': np.array(limits),
            'has_adam_slots': np.array([name + '/Adam' in everything for name in names]),
            'all_names': np.array(sorted(everything))}


def _h5(case):
    """The case's datasets as the .mat file that the port reads."""
    stream = h5py.File(io.BytesIO(), 'w')
    for name, array in case.inputs.items():
        stream.create_dataset(name[len('h5_'):], data=array)
    return stream


def _read(case, split, images):
    """A split through the port's own reader."""
    with mock.patch.object(data_utils, '_open', lambda path: _h5(case)):
        return data_utils.read_split('case.mat', split, images)


def dataset(case, path):
    """Order of the batches in training and classification."""
    del path
    train_split, test_split = _read(case, 'train', False), _read(case, 'test', False)
    batch = case.config['batch_size']
    order = data_utils.Order(len(train_split.labels), case.config['numpy_seed'])
    whole, outputs = len(train_split.labels) // batch * batch, {}
    outputs['train_rows_ids'] = train_split.labels
    for epoch in range(case.config['epochs']):
        rows = order.at(epoch)
        outputs['epoch{}_ids'.format(epoch)] = train_split.labels[rows]
        outputs['epoch{}_batches'.format(epoch)] = data_utils.grids(
            train_split.voxels[rows[:whole]]).reshape(-1, batch, 30, 30, 30, 1)
    rows = order.at(case.config['epochs'])
    outputs['classify_train_ids'] = train_split.labels[rows[:whole]]
    test_rows = order.shuffled(np.arange(len(test_split.labels)))
    test_whole = len(test_rows) // batch * batch
    outputs['classify_test_ids'] = test_split.labels[test_rows[:test_whole]]
    outputs['classify_test_first_batch'] = data_utils.grids(test_split.voxels[test_rows[:batch]])
    return outputs


def dataset_rec(case, path):
    """Selection of a class and order of images and shapes."""
    del path
    splits = {name: data_utils.select(_read(case, name, True), case.config['class_id'])
              for name in ('train', 'test')}
    test_split, train_split = splits['test'], splits['train']
    outputs = {'n_train': np.array(len(train_split.labels)), 'n_test': len(test_split.labels),
               'test_models': test_split.voxels,
               'test_image_sums': test_split.images.reshape(len(test_split.labels), -1).sum(axis=1),
               'test_image0_row10': test_split.images[0, 10]}
    order = data_utils.Order(len(train_split.labels), case.config['numpy_seed'], permute=True)
    for epoch in range(case.config['epochs']):
        rows = order.at(epoch)
        images, voxels = train_split.images[rows], train_split.voxels[rows]
        name = 'epoch{}_'.format(epoch)
        outputs[name + 'voxel_sums'] = voxels.sum(axis=1, dtype=np.int64)
        outputs[name + 'image_sums'] = images.reshape(len(rows), -1).sum(axis=1)
        outputs[name + 'first_voxels'] = data_utils.grids(voxels[:case.config['batch_size']])
        outputs[name + 'image0_col20'] = images[0][:, 20]
    return outputs


def _decision_values(classifier, codes):
    """One-vs-rest values as scikit-learn 0.20 scaled them: votes, ties broken by the margins.

    The library's later versions scale the margins row by row; votes and predictions are the same.
    Of two classes there is one margin a row.
    """
    if len(classifier.classes_) == 2:
        return classifier.decision_function(codes)
    classifier.decision_function_shape = 'ovo'
    pairs = classifier.decision_function(codes)
    count = len(classifier.classes_)
    votes, margins = np.zeros([2, len(codes), count])
    for values, (first, second) in zip(pairs.T, itertools.combinations(range(count), 2)):
        margins[:, first] += values
        margins[:, second] -= values
        votes[:, first] += values > 0
        votes[:, second] += values <= 0
    return votes + margins * (0.5 / np.abs(margins).max())


def classify(case, path):
    """The support vector machine on the codes of a case, whole batches only."""
    del path
    inputs, batch = case.inputs, case.config['batch_size']
    features, labels = {}, {}
    for name in ('train', 'test'):
        codes, ids = inputs[name + '_feature'], inputs[name + '_id']
        whole = min(len(codes), len(ids)) // batch * batch
        features[name], labels[name] = codes[:whole], ids[:whole]
    classifier = measures.fit_svm(features['train'], labels['train'], gamma=case.config['gamma'])
    outputs = {'decision_first': _decision_values(classifier, features['test'][:5])}
    for name, codes in features.items():
        outputs['pred_' + name] = classifier.predict(codes)
        outputs[name + '_accuracy'] = measures.accuracy(classifier, codes, labels[name])
    return outputs


def iou(case, path):
    """Rounding and intersection over union."""
    del path
    ious = measures.iou(case.inputs['rec'], case.inputs['gt'])
    return {'binary': measures.binarize(case.inputs['rec']), 'iou': ious,
            'mean_iou': ious.mean()}


def gamma_schedule(case, path):
    """Weight of the latent loss by epoch."""
    del path
    return {'gamma': np.array([vsl_rec.gamma_at(int(index)) for index in case.inputs['index']])}


def eval_loop(case, path):
    """Images to shapes to IoU, of the whole test batches and as many training rows."""
    model = _build(case, path, training=False)
    count = len(case.inputs['model_test']) // model.batch_size * model.batch_size
    outputs = {}
    for name in ('train', 'test'):
        decoded = inference.decode(
            model, inference.image_codes(model, case.inputs['image_' + name][:count]))
        ious = measures.iou(decoded, case.inputs['model_' + name][:count])
        outputs.update({'iou_' + name: ious, 'mean_iou_' + name: ious.mean(),
                        'occupied_' + name: measures.binarize(decoded).sum(axis=1)})
    return outputs


ADAPTERS = {('vsl', 'forward'): forward, ('vsl_rec', 'forward'): forward,
            ('vsl', 'loss-terms'): loss_terms, ('vsl', 'decode'): decode,
            ('vsl', 'train'): train, ('vsl_rec', 'train'): train,
            ('vsl', 'variables'): variables, ('vsl_rec', 'variables'): variables,
            ('vsl', 'dataset'): dataset, ('vsl_rec', 'dataset'): dataset_rec,
            ('vsl', 'svm'): classify, ('vsl_rec', 'iou'): iou,
            ('vsl_rec', 'gamma-schedule'): gamma_schedule, ('vsl_rec', 'eval-loop'): eval_loop}

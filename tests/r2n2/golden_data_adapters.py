"""Runs 3D-R2N2's layers, data and measures on golden cases; `tests/golden.py` compares."""
import os
import tempfile

import cv2
import numpy as np
import tensorflow.compat.v1 as tf

from common.geometry import voxel_grids
from r2n2.lib import config as config_lib
from r2n2.lib import data_augmentation, data_io, data_process, layers, voxel
from r2n2.lib.weights import from_original


class _Sizes:
    """What `from_original` asks of a network."""

    def __init__(self, channels, grid=0):
        self.n_convfilter = [channels]
        self.n_gru_vox, self.n_deconvfilter = grid, [channels]


def _last(array):
    """Channels behind the other axes: [B, C, H, W] or [B, D, C, H, W]."""
    return np.moveaxis(array, -3, -1)


def run_layers(case, path):
    """Every layer by itself."""
    inputs = case.inputs
    tf.reset_default_graph()
    make = layers.Layers(path == 'plain', case.config['leaky_slope'])
    values, fetches = {}, {}

    def set_later(name, array):
        values[name] = array

    for name in _layers_with(inputs, '_W'):
        kernel = inputs[name + '_W']
        if name.startswith('dense'):
            fetches[name] = _dense(name, make, inputs, set_later)
            continue
        fetches[name] = make.conv(name, tf.constant(_last(inputs[name + '_x'])), kernel.shape[0],
                                  kernel.shape[-1])
        set_later(name + '/W', from_original(_Sizes(0), name + '/W', kernel))
        set_later(name + '/b', inputs[name + '_b'])
    for name in _layers_with(inputs, '_Wh'):
        fetches[name] = _gate(name, make, inputs, set_later)
    for name in _layers_with(inputs, '_x'):
        x = inputs[name + '_x']
        for start, function in (('pool', layers.pool), ('unpool', layers.unpool)):
            if name.startswith(start):
                fetches[name] = function(tf.constant(_last(x)))
        if name.startswith('leaky'):
            fetches[name] = make.leaky(tf.constant(x))
    occupancy, loss = layers.loss(tf.constant(_last(inputs['softmax_logits'])),
                                  tf.constant(inputs['softmax_voxels_u8'].astype(np.float32)))
    fetches.update(softmax_prediction=occupancy, softmax_loss=loss)
    with tf.Session() as sess:
        for name, value in values.items():
            make.by_name[name].load(value, sess)
        outputs = sess.run(fetches)
    occupied = outputs['softmax_prediction']
    outputs['softmax_error'] = np.mean((occupied >= 0.5) == (inputs['softmax_voxels_u8'] > 0))
    outputs['softmax_prediction'] = np.stack([1 - occupied, occupied], axis=2)
    return {name: outputs[name] if name.startswith(('leaky', 'dense', 'softmax'))
            else np.moveaxis(outputs[name], -1, -3) for name in case.expected}


def _layers_with(inputs, ending):
    """Names of the layers that have an input with this ending."""
    return [name[:-len(ending)] for name in inputs if name.endswith(ending)]


def _dense(name, make, inputs, set_later):
    x, kernel = inputs[name + '_x'], inputs[name + '_W']
    order = [0, 1]
    if x.ndim == 4:     # rows run through the channels first
        order = [1, 2, 0, 3]
        x = _last(x)
    set_later(name + '/W', kernel.reshape(inputs[name + '_x'].shape[1:] + (-1,)).transpose(
        order).reshape(kernel.shape))
    set_later(name + '/b', inputs[name + '_b'])
    return make.dense(name, tf.constant(x.reshape(len(x), -1)), kernel.shape[1])


def _gate(name, make, inputs, set_later):
    from r2n2.models import net
    state = _last(inputs[name + '_h'])
    block = net._Block(make, name, list(state.shape), inputs[name + '_fc'].shape[1],
                       inputs[name + '_Wh'].shape[1])
    sizes = _Sizes(state.shape[-1], state.shape[1])
    for kind in ('Wh', 'Wx', 'b'):
        label = '{}/{}'.format(name, kind)
        set_later(label, from_original(sizes, label, inputs['{}_{}'.format(name, kind)]))
    return (block.from_state(tf.constant(state))
            + block.from_features(tf.constant(inputs[name + '_fc'])))


def binvox(case, path):
    """Voxel files."""
    del path
    outputs = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in case.inputs.items():
            source = os.path.join(folder, name + '.binvox')
            data.tofile(source)
            grid = voxel_grids.read_binvox(source)
            words = data.tobytes().split(b'data\n')[0].split()
            outputs[name + '_xyz'] = grid.astype(np.uint8)
            outputs[name + '_raw'] = grid.transpose(0, 2, 1).astype(np.uint8)
            outputs[name + '_dims'] = np.array([int(word) for word in words[3:6]])
            place = words.index(b'translate')
            outputs[name + '_translate'] = np.float32(
                [float(word) for word in words[place + 1:place + 4]])
            outputs[name + '_scale'] = np.float32(words[words.index(b'scale') + 1])
            outputs[name + '_label_sum'] = np.float32([(~grid).sum(), grid.sum()])
    return {name: outputs[name] for name in case.expected}


def preprocess(case, path):
    """Pictures with the draws of the original's generator."""
    del path
    options = config_lib.defaults()
    options.TRAIN.update(FLIP=case.config['flip'], RANDOM_CROP=case.config['random_crop'],
                         NO_BG_COLOR_RANGE=case.config['no_bg_color_range_train'])
    outputs, number = {}, 0
    while 'case{}_image'.format(number) in case.inputs:
        name = 'case{}'.format(number)
        image, pad = case.inputs[name + '_image'], case.inputs[name + '_pad_xy']
        rng = np.random.RandomState(int(case.inputs[name + '_seed']))
        options.TRAIN.update(PAD_X=int(pad[0]), PAD_Y=int(pad[1]))
        if case.inputs[name + '_train']:
            image = data_augmentation.for_training(image, options.TRAIN, rng)
        else:
            image = data_augmentation.for_test(image, case.config['no_bg_color_range_test'],
                                               case.inputs[name + '_out_hw'], rng)
        image = data_augmentation.scaled(image)
        outputs[name + '_shape'] = np.array(image.shape)
        outputs[name + '_sum'] = image.sum(dtype=np.float64)
        large = case.expected[name].shape[:2] != image.shape[:2]
        outputs[name] = image[::4, ::4] if large else image
        number += 1
    return outputs


def random_background(case, path):
    """Pictures behind pictures, and the list of usable ones."""
    del path
    inputs, outputs = case.inputs, {}
    backgrounds = [inputs[name] for name in sorted(
        (name for name in inputs if name.startswith('background_')),
        key=lambda name: int(name.split('_')[1]))]
    for name in inputs:
        if name.startswith('image_'):
            number = name.split('_')[1]
            rng = np.random.RandomState(int(inputs['seed_' + number]))
            outputs['blended_' + number] = data_augmentation.blend(inputs[name], backgrounds, rng)
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, 'ImageSets', 'Main'))
        for name in inputs:
            if name.startswith('voc/'):
                inputs[name].tofile(os.path.join(folder, 'ImageSets', 'Main', name[4:]))
        outputs['voc_whitelist'] = np.array(data_augmentation.voc_backgrounds(folder))
    return outputs


def loader(case, path):
    """Lists, batches and the pictures that they are made of, with the original's generator."""
    del path
    outputs = {}
    with tempfile.TemporaryDirectory() as folder:
        _write_set(case.inputs, folder)
        names = dict.fromkeys(case.config['categories_in_json_order'], '')
        data = data_io.find(folder)._replace(names=names)
        for run in case.config['runs']:
            outputs.update(_run_loader(case, run, data))
    return {name: outputs[name] for name in case.expected}


def _write_set(inputs, folder):
    for name, array in inputs.items():
        kind, category, model, *view = name.split('/')
        if kind == 'img':
            place = os.path.join(folder, 'ShapeNetRendering', category, model, 'rendering')
            os.makedirs(place, exist_ok=True)
            cv2.imwrite(os.path.join(place, view[0] + '.png'),
                        cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA))
        else:
            place = os.path.join(folder, 'ShapeNetVox32', category, model)
            os.makedirs(place)
            array.tofile(os.path.join(place, 'model.binvox'))


def _run_loader(case, run, data):
    config = config_lib.defaults()
    config.CONST.update(IMG_H=case.config['img_h'], IMG_W=case.config['img_w'],
                        N_VOX=case.config['n_vox'], N_VIEWS=case.config['n_views'],
                        BATCH_SIZE=run['batch_size'])
    config.TRAIN.update(NUM_RENDERING=case.config['num_rendering'], PAD_X=case.config['pad_x'],
                        PAD_Y=case.config['pad_y'], RANDOM_NUM_VIEWS=run['random_num_views'])
    pairs = data_io.pairs(data, run['portion'])
    outputs = {run['name'] + '_pairs': np.array(['/'.join(pair) for pair in pairs])}
    rng = np.random.RandomState(run['seed'])
    make = data_process.Loader(config, data, pairs, run['train'])
    read = []

    def reading(index, ids, generator, plain=make.sample):
        read.extend('{}/{:02d}'.format('/'.join(pairs[index]), number) for number in ids)
        return plain(index, ids, generator)

    make.sample = reading
    if run['repeat']:
        # The original ends where it has taken more samples than there are.
        count = min(run['max_batches'], 1 if run['batch_size'] > len(pairs) else np.inf)
        if len(pairs) <= run['batch_size']:
            rng.permutation(len(pairs))     # of its constructor; the first batch draws another
        order = data_process.Order(len(pairs), run['batch_size'],
                                   lambda epoch: rng.permutation(len(pairs)))
        order.at(0)     # the original draws its first permutation before anything else
    else:
        # The original adds a batch of zeros where the samples fill their batches.
        count = min(len(pairs) // run['batch_size'] + 1, run['max_batches'])
        order = data_process.Order(len(pairs), run['batch_size'])
    for number in range(count):
        indices = order.at(number)[1]
        images, grids = make.batch(indices, make.views(rng), lambda index: rng)
        images = data_augmentation.scaled(images).transpose(0, 1, 4, 2, 3)
        labels = np.zeros(grids.shape[:2] + (2,) + grids.shape[2:], np.float32)
        rows = len(indices)
        labels[:rows, :, 0], labels[:rows, :, 1] = ~grids[:rows], grids[:rows]
        label = '{}_{{}}_{}'.format(run['name'], number)
        outputs[label.format('views')] = np.array(len(images))
        outputs[label.format('img')] = images
        outputs[label.format('img_sum')] = images.sum(axis=(2, 3, 4))
        outputs[label.format('vox')] = labels
    outputs[run['name'] + '_n_batches'] = np.array(count)
    outputs[run['name'] + '_loaded'] = np.array(read)
    return outputs


def metrics(case, path):
    """Counts at thresholds, IoU and average precision."""
    del path
    prediction, truth = case.inputs['prediction'], case.inputs['voxels_u8']
    counts = np.array([[voxel.evaluate(one, other, threshold)
                        for threshold in case.config['thresholds']]
                       for one, other in zip(prediction, truth)])
    return {'counts': counts, 'iou': voxel.intersection_over_union(counts),
            'average_precision': np.array([voxel.average_precision(one, other)
                                           for one, other in zip(prediction, truth)])}


def voxel2obj(case, path):
    """Meshes of cubes and their text."""
    del path
    outputs = {}
    for name, surface_view in case.config['surface_view'].items():
        vertices, triangles = voxel.voxel2mesh(case.inputs[name], surface_view)
        text = voxel.obj_text(vertices, triangles)
        head = case.expected[name + '_obj_head']
        outputs.update({name + '_verts': vertices, name + '_faces': triangles,
                      name + '_obj_head': np.frombuffer(text.encode()[:len(head)], np.uint8),
                      name + '_obj_lines': np.array(text.count('\n'))})
    return outputs


ADAPTERS = {('r2n2_data', kind): function for kind, function in [
    ('layers', run_layers), ('binvox', binvox), ('preprocess', preprocess), ('loader', loader),
    ('random_background', random_background), ('metrics', metrics), ('voxel2obj', voxel2obj)]}

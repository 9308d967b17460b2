"""Runs CMR's data functions on golden cases; `tests/golden.py` compares."""
import json
import os
import sys
import tempfile
import types
from unittest import mock

import h5py
import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.dataset import base_dataset
from cmr.src.dataset.preprocess import h36m, sets
from cmr.src.models import smpl
from cmr.src.utils import imutils, metrics, photo, pose_utils
from tests.cmr import synthetic


def _channels_first(images):
    return np.moveaxis(np.asarray(images), -1, -3)


def augment_draws(case, path):
    """Draws of the augmentation."""
    del path
    rng = np.random.RandomState(case.config['seed'])
    drawn = [base_dataset.draw_augmentation(rng, case.config['noise_factor'],
                                            case.config['rot_factor'],
                                            case.config['scale_factor'])
             for _ in range(case.config['count'])]
    return {'flip': np.array([int(one.flip) for one in drawn]),
            'pn': np.array([one.noise for one in drawn]),
            'rot': np.array([one.rot for one in drawn]),
            'sc': np.array([one.scale for one in drawn])}


def crops(case, path):
    """Boxes inside, across and beyond a picture."""
    del path
    size, image = case.config['res'], case.inputs['image'].astype(np.float32)
    return {'crops': np.stack([imutils.crop(image, row[:2], row[2], (size, size), row[3])
                               for row in case.config['cases']])}


def crop_uint8(case, path):
    """A crop of an integer picture."""
    del path
    size = case.config['res']
    return {'crop': imutils.crop(case.inputs['image'], case.config['center'],
                                 case.config['scale'], (size, size))}


def rgb(case, path):
    """Crop, mirror, channel noise."""
    del path
    image, size = case.inputs['image'].astype(np.float32), case.config['img_res']
    results = [imutils.rgb_processing(image, row[:2], row[2], row[3], row[4], noise, size)
               for row, noise in zip(case.config['cases'], case.inputs['pn'])]
    return {'rgb': _channels_first(results)}


def transforms(case, path):
    """Matrices and points there and back."""
    del path
    arrays, size = case.inputs, case.config['res']
    rows = list(zip(arrays['center'], arrays['scale'], arrays['rot'], arrays['points']))
    return {'matrix': np.stack([imutils.get_transform(c, s, size, r) for c, s, r, _ in rows]),
            'forward': np.array([[imutils.transform(p, c, s, size, False, r) for p in points]
                                 for c, s, r, points in rows]),
            'inverse': np.array([[imutils.transform(p, c, s, size, True, r) for p in points]
                                 for c, s, r, points in rows])}


def uncrop(case, path):
    """Crops put back."""
    del path
    return {name: imutils.uncrop(case.inputs[name], case.config['center'], case.config['scale'],
                                 case.config['orig_shape']) for name in case.expected}


def keypoints_pose(case, path):
    """Keypoints, joints and poses, turned and mirrored."""
    del path
    arrays, size = case.inputs, case.config['img_res']
    rows = range(len(arrays['rot']))
    return {
        'j2d': np.stack([imutils.j2d_processing(
            arrays['keypoints'][i], arrays['center'][i], arrays['scale'][i], arrays['rot'][i],
            arrays['flip'][i], size) for i in rows]),
        'j3d': np.stack([imutils.j3d_processing(arrays['joints3d'][i], arrays['rot'][i],
                                                arrays['flip'][i]) for i in rows]),
        'pose': np.stack([imutils.pose_processing(arrays['pose'][i], arrays['rot'][i],
                                                  arrays['flip'][i]) for i in rows])}


def item(case, path):
    """Whole samples."""
    del path
    rng, config = np.random.RandomState(case.config['seed']), case.config
    samples = []
    for number in range(len(case.inputs['scale'])):
        row = {name: value[number] for name, value in case.inputs.items()
               if not name.startswith('image')}
        augmentation = base_dataset.NONE
        if config['is_train']:
            augmentation = base_dataset.draw_augmentation(
                rng, config['noise_factor'], config['rot_factor'], config['scale_factor'])
        samples.append(base_dataset.make_sample(
            case.inputs['image{}'.format(number)].astype(np.float32), row, augmentation,
            config['img_res']))
    results = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    for name in ('img', 'img_orig'):
        results[name] = _channels_first(results[name])
    return {name: results[name] for name in case.expected}


def mixture(case, path):
    """Which part answers which item."""
    del path
    rng, lengths = np.random.RandomState(case.config['seed']), case.config['lengths']
    length = max(lengths.values())
    sources = [base_dataset.choose_part(rng.rand(), case.config['partition'])
               for _ in range(length)]
    sizes = list(lengths.values())
    return {'length': np.array(length), 'source': np.array(sources),
            'local': np.array([number % sizes[source] for number, source in enumerate(sources)])}


def procrustes(case, path):
    """Alignment and the error after it."""
    del path
    pred, truth = case.inputs['pred'], case.inputs['gt']
    error = pose_utils.reconstruction_error(pred, truth)
    return {'aligned': np.stack([pose_utils.similarity_transform(one, other)
                                 for one, other in zip(pred, truth)]),
            'error': error, 'mean': error.mean()}


def demo(case, path):
    """Boxes of a photo and its crops."""
    del path
    arrays, image = case.inputs, case.inputs['image']
    results = {}
    for name in ('bbox', 'openpose'):
        box = getattr(photo, 'from_' + name)(arrays[name])
        results.update({name + '_center': box[0], name + '_scale': box[1]})
    picture, _ = photo.cropped(image, *photo.whole(image.shape))
    results['crop_whole'] = _channels_first(picture)[:, ::2, ::2]
    picture, normal = photo.cropped(image, results['bbox_center'], results['bbox_scale'])
    results['crop_bbox'] = _channels_first(picture)[:, ::2, ::2]
    results['norm_bbox'] = _channels_first(normal)[None, :, ::4, ::4]
    return results


def evaluate(case, path):
    """The printed figures of a set: at the end, and on the way as the original prints them."""
    del path
    arrays, batch, every = case.inputs, case.config['batch'], case.config['log_freq']
    count = len(arrays['pred_vertices'])
    if case.config['dataset'] == 'lsp':
        return _evaluate_lsp(arrays, batch, every, count)
    body = synthetic.body(case.config['body_seed'], case.config['rings'], case.config['segments'])
    columns = []
    for name in ('pred_vertices', 'pred_vertices_smpl'):
        if case.config['dataset'] == 'up-3d':
            columns.append(metrics.shape_error(arrays[name], _posed(body, arrays)))
            continue
        joints = metrics.h36m_joints(arrays[name], body['J_regressor_h36m'])
        truth = arrays['pose_3d'][:, list(pose_utils.J24_TO_J14), :3]
        columns += [metrics.joint_error(joints, truth),
                    pose_utils.reconstruction_error(joints, truth)]
    # On the way the original leaves out the batch that it has just measured.
    running = [1000 * column[:step * batch].mean() for step in range(-(-count // batch))
               if step % every == every - 1 for column in columns]
    return {'final': np.array([1000 * column.mean() for column in columns]),
            'running': np.array(running)}


def _posed(body, arrays):
    tf.reset_default_graph()
    vertices = smpl.Smpl(body).vertices(tf.constant(arrays['pose']), tf.constant(arrays['betas']))
    with tf.Session() as sess:
        return sess.run(vertices)


def _evaluate_lsp(arrays, batch, every, count):
    masks, parts = metrics.Segmentation(2), metrics.Segmentation(metrics.PART_CLASSES)
    running = []
    for number in range(count):
        box = arrays['center'][number], arrays['scale'][number], arrays['gt_mask'][number].shape
        mask = imutils.uncrop(arrays['mask'][number], *box) > 0
        masks.add(mask.astype(int), (arrays['gt_mask'][number] > 0).astype(int))
        labels = imutils.uncrop(arrays['parts'][number].astype(np.uint8), *box)
        parts.add(labels, arrays['gt_parts'][number])
        step = number // batch
        if (number + 1) % batch == 0 and step % every == every - 1:
            running += [masks.accuracy, masks.f1, parts.accuracy, parts.f1]
    return {'final': np.array([masks.accuracy, masks.f1, parts.accuracy, parts.f1]),
            'running': np.array(running)}


def preprocess_lsp(case, path):
    """Leeds Sports Pose, test and training set."""
    del path
    joints = case.inputs['joints']
    results = sets.lsp(joints, 1001, 2000, True)
    results.update(('orig_' + name, value) for name, value in sets.lsp(joints, 1, 1000,
                                                                       False).items())
    return {name: results[name][:len(array)] for name, array in case.expected.items()}


def preprocess_mpii(case, path):
    """MPII."""
    del path
    return sets.mpii(**case.inputs)


def preprocess_coco(case, path):
    """COCO."""
    del path
    return sets.coco(json.loads(str(case.inputs['json'])))


def preprocess_up3d(case, path):
    """UP-3D."""
    del path
    rows = [sets.up3d(name, *[case.inputs[key][number]
                              for key in ('joints', 'render', 'pose', 'betas')])
            for number, name in enumerate(case.config['names'])]
    return {name: np.array([row[name] for row in rows]) for name in case.expected}


class _Video:
    """Stands for OpenCV's reader of videos: pictures without end."""

    def __init__(self, path):
        assert os.path.exists(path)

    def read(self):
        """A picture."""
        return True, np.zeros([6, 8, 3], np.uint8)

    def release(self):
        """Nothing."""


class _Cdf(dict):
    """Stands for cdflib's reader: the file is NumPy's."""

    def __init__(self, path):
        super().__init__(Pose=np.load(path, allow_pickle=False)[None])


def preprocess_h36m(case, path):
    """Human3.6M, from files in its published layout; no CDF library and no video are needed."""
    del path
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(case.inputs['sequences']):
            subject, stem = str(name).split('/')
            masks = case.inputs['masks_{}'.format(number)]
            paths = [os.path.join(folder, subject, *parts) for parts in (
                ('MyPoseFeatures', 'D3_Positions_mono', stem + '.cdf'),
                ('MySegmentsMat', 'ground_truth_bb', stem + '.mat'), ('Videos', stem + '.mp4'))]
            for place in paths:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                open(place, 'w').close()
            with open(paths[0], 'wb') as stream:
                np.save(stream, case.inputs['pose_{}'.format(number)])
            with h5py.File(paths[1], 'w') as stream:
                references = stream.create_dataset(
                    'Masks', (len(masks), 1), h5py.special_dtype(ref=h5py.Reference))
                for frame, mask in enumerate(masks):
                    references[frame, 0] = stream.create_dataset(str(frame), data=mask.T).ref
        with mock.patch.dict(sys.modules, cdflib=types.SimpleNamespace(CDF=_Cdf)), \
                mock.patch.object(h36m.cv2, 'VideoCapture', _Video):
            return h36m.rows(folder, case.config['protocol'])


ADAPTERS = {('cmr_data', kind): function for kind, function in [
    ('augment-draws', augment_draws), ('crop', crops), ('crop-uint8', crop_uint8), ('rgb', rgb),
    ('transform', transforms), ('uncrop', uncrop), ('keypoints-pose', keypoints_pose),
    ('item', item), ('demo', demo), ('eval', evaluate), ('mixture', mixture),
    ('procrustes', procrustes),
    ('preprocess-lsp', preprocess_lsp), ('preprocess-mpii', preprocess_mpii),
    ('preprocess-coco', preprocess_coco), ('preprocess-up3d', preprocess_up3d),
    ('preprocess-h36m', preprocess_h36m)]}

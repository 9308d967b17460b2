"""Raw data sets on the disk to sample files (extras/*.npz). n: pictures of a set."""
import argparse
import os
import re
from typing import Dict, List, Tuple

import cv2
import numpy as np

from cmr.src import config as config_lib
from cmr.src.dataset import base_dataset, datasets
from cmr.src.dataset.preprocess import h36m, sets
from cmr.src.utils import body as body_lib
from common import cli, errors, files
from common.geometry import plots
from common.readers import hdf5, matlab, pickles, pictures, text

_SOURCES = {
    'up-3d': 'up-3d.zip of Unite the People (files.is.tuebingen.mpg.de/classner/up)',
    'lsp': 'lsp_dataset.zip of the Leeds Sports Pose set',
    'lsp-orig': 'lsp_dataset_original.zip of the Leeds Sports Pose set',
    'mpii': 'mpii_human_pose_v1.tar.gz (human-pose.mpi-inf.mpg.de), and train.h5 of '
            'princeton-vl/pose-hg-train',
    'coco': 'train2014.zip and annotations_trainval2014.zip (cocodataset.org)',
    'h36m': 'Human3.6M (vision.imar.ro/human3.6m), after registration'}
_NAMES = os.path.join(config_lib.MODEL_DIR, 'data', 'namesUPlsp.txt')
_LSP_TEST, _LSP_TRAIN = (1001, 2000), (1, 1000)

Rows = Dict[str, np.ndarray]     # see sets.py


class Missing(Exception):
    """A piece of a set is not there."""


def _need(path):
    if not os.path.exists(path):
        raise Missing(path)
    return path


def up3d(folder: str, list_path: str) -> Rows:
    """Reads the pictures of UP-3D that a list names."""
    rows = []
    for line in text.read_lines(_need(list_path), 'a list of pictures'):
        match = re.fullmatch(r'/?([\w-]+)_image\.png', line)
        if match is None:
            raise errors.InputError('{}: {} is no line such as /00001_image.png.'.format(
                list_path, errors.quote(line)))
        number = match.group(1)
        stem = os.path.join(folder, number)
        body = _pickled(_need(stem + '_body.pkl'))
        joints = body_lib.read_array(_need(stem + '_joints.npy'))
        render = pictures.read(_need(stem + '_render_light.png'))
        try:
            rows.append(sets.up3d(number, joints, render, body['pose'], body['betas']))
        except ValueError as error:
            raise errors.InputError('{}_joints.npy and what lies beside it: {}.'.format(
                stem, error))
    if not rows:
        raise errors.InputError('{} names no picture.'.format(list_path))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _pickled(path):
    body = pickles.read(path)
    missing = [name for name in ('pose', 'betas') if not isinstance(body, dict) or name not in body]
    if missing:
        raise errors.InputError('{} has no {}.'.format(path, ', '.join(missing)))
    return {name: pickles.plain(body[name], path, name) for name in ('pose', 'betas')}


def lsp(folder: str, numbers: Tuple[int, int], with_masks: bool) -> Rows:
    """Reads the pictures of the Leeds Sports Pose set from the first to the last number."""
    path = _need(os.path.join(folder, 'joints.mat'))
    content = matlab.read(path, ['joints'], 'the annotations of LSP')
    if 'joints' not in content or content['joints'].ndim != 3:
        raise errors.InputError('{} has no joints.'.format(path))
    joints = np.asarray(content['joints'], np.float64)
    if joints.shape[:2] == (14, 3):     # the high-resolution set's layout
        joints = joints.transpose(1, 0, 2)
    if joints.shape[:2] != (3, 14) or joints.shape[2] < numbers[0]:
        raise errors.InputError('{}: joints are {}, expected (3, 14, pictures) with pictures {} to '
                                '{}.'.format(path, joints.shape, *numbers))
    return sets.lsp(joints, numbers[0], min(numbers[1], joints.shape[2]), with_masks)


def mpii(folder: str) -> Rows:
    """Reads the annotations of MPII."""
    places = [os.path.join(place, 'train.h5')
              for place in (folder, os.path.join(config_lib.MODEL_DIR, 'data'))]
    path = next((place for place in places if os.path.exists(place)), places[0])
    names = ('center', 'scale', 'part', 'imgname')
    content = hdf5.read(_need(path), names, 'the annotations of MPII')
    try:
        content['imgname'] = np.array(text.names(content['imgname'], path, 'imgname'))
        return sets.mpii(*[content[name] for name in names])
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise errors.InputError('{} is no annotation of MPII: {}.'.format(path, error))


def coco(folder: str) -> Rows:
    """Reads the annotations of COCO."""
    path = _need(os.path.join(folder, 'annotations', 'person_keypoints_train2014.json'))
    annotations = text.read_json(path, 'the annotations of COCO')
    try:
        return sets.coco(annotations)
    except ValueError as error:
        raise errors.InputError('{}: {}.'.format(path, error))
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.InputError('{} has no annotations of people: {!r}.'.format(path, error))


def _tasks(options):
    """(set, sample file, function) of what is asked for."""
    def root(name):
        return config_lib.root(options.data_path, name)

    tasks = []
    if options.train_files:
        tasks += [('lsp-orig', config_lib.TRAIN_FILES['lsp-orig'],
                   lambda: lsp(root('lsp-orig'), _LSP_TRAIN, False)),
                  ('mpii', config_lib.TRAIN_FILES['mpii'], lambda: mpii(root('mpii'))),
                  ('coco', config_lib.TRAIN_FILES['coco'], lambda: coco(root('coco'))),
                  ('up-3d', config_lib.TRAIN_FILES['up-3d'], lambda: up3d(
                      root('up-3d'), os.path.join(root('up-3d'), 'trainval.txt')))]
    if options.eval_files:
        tasks += [('up-3d', config_lib.TEST_FILES['up-3d'],
                   lambda: up3d(root('up-3d'), _NAMES)),
                  ('lsp', config_lib.TEST_FILES['lsp'],
                   lambda: lsp(root('lsp'), _LSP_TEST, True))]
        tasks += [('h36m', config_lib.TEST_FILES['h36m-p{}'.format(protocol)],
                   lambda protocol=protocol: h36m.rows(_need(root('h36m')), protocol))
                  for protocol in (1, 2)]
    return tasks


def preprocess(options: argparse.Namespace) -> None:
    """Makes what can be made, and names what is missing or damaged.

    Args:
      options: those of preprocess.py.
    Raises:
      errors.InputError: nothing could be made, a set is damaged, or none of its pictures is there;
        the sample files of all others are made before.
    """
    if not options.train_files and not options.eval_files:
        raise errors.UsageError('say what to make: --train_files, --eval_files or both.')
    if not os.path.isdir(options.data_path):
        raise errors.InputError('--data_path {} is no folder. Give one with the sets.'.format(
            options.data_path))
    wanted = [name for name in options.sets.split(',') if name]
    unknown = sorted(set(wanted) - set(_SOURCES))
    if unknown:
        raise errors.UsageError('unknown sets {} (there are: {}).'.format(
            ', '.join(unknown), ', '.join(sorted(_SOURCES))))
    damaged: List[str] = []
    written: List[datasets.Set] = []
    without: List[datasets.Set] = []     # any picture
    for name, file_name, function in _tasks(options):
        if wanted and name not in wanted:
            continue
        path = os.path.join(config_lib.extras(options.data_path), file_name)
        try:
            rows = datasets.checked(path, function())
        except Missing as error:
            cli.say('{}: left out, {} is missing; it is in {}'.format(
                file_name, error.args[0], _SOURCES[name]))
            continue
        except errors.InputError as error:
            cli.say('{}: left out, {}'.format(file_name, error))
            damaged.append(file_name)
            continue
        with files.replacing(path) as temporary:
            np.savez(temporary, **rows)
        cli.say('{}: {} samples in {}'.format(file_name, len(rows['imgname']), path))
        samples = datasets.Set(name, path, config_lib.root(options.data_path, name))
        missing = samples.missing_pictures()
        if missing:
            cli.say('note: {} of the {} pictures of {} are missing, such as {}; they are in {}'
                    .format(len(missing), len(samples), name, missing[0], _SOURCES[name]))
        (written if len(missing) < len(samples) else without).append(samples)
    if not written and not without:
        raise errors.InputError('nothing of {} could be made; the lines above name what is '
                                'missing.'.format(', '.join(wanted) or 'the sets'))
    for samples in written if options.check else ():
        check(samples, options.check, os.path.splitext(samples.path)[0] + '_check.png')
    problems = ['{} could not be made; the lines above say why'.format(', '.join(damaged))
                ] * bool(damaged)
    problems += ['all {} pictures of {} are missing, such as {}'.format(
        len(samples), os.path.basename(samples.path), samples.missing_pictures()[0])
        for samples in without]
    if problems:
        raise errors.InputError('. '.join(problems) + '.')


def check(samples: datasets.Set, count: int, path: str) -> None:
    """Draws samples as the network sees them, with their keypoints.

    Args:
      samples: datasets.Set; count: int, how many of them; path: str, PNG file.
    """
    size, images, names = 224, [], []
    for index in np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int):
        sample = samples.sample(index, base_dataset.NONE, size)
        image = np.ascontiguousarray(np.round(255 * sample['img_orig']).astype(np.uint8))
        for x, y, confidence in sample['keypoints']:
            place = int((x + 1) / 2 * size), int((y + 1) / 2 * size)
            if confidence > 0:
                cv2.circle(image, place, 3, (255, 40, 40), -1)
        images.append(image)
        names.append(os.path.basename(str(samples.rows['imgname'][index])))
    plots.image_grid(path, images, names)
    cli.say('{} samples drawn in {}'.format(len(images), path))

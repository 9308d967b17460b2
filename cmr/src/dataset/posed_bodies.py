"""Pictures of posed bodies in UP-3D's layout, with keypoints, poses and shapes."""
import argparse
import concurrent.futures.process
import os
from typing import Any, Dict, List

import cv2
import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src import config as config_lib
from cmr.src.dataset.preprocess import sets
from cmr.src.models import smpl
from cmr.src.utils import body as body_lib
from cmr.src.utils import renderer
from common import cli, errors, files
from common.geometry import generator
from common.training import reporting, workers

# Usual range of the joints about x, y, z in degrees (24 joints of SMPL; the root is apart).
_SPREAD = {1: (35, 12, 18), 2: (35, 12, 18), 3: (12, 10, 8), 4: (35, 0, 0), 5: (35, 0, 0),
           6: (8, 8, 6), 7: (12, 5, 5), 8: (12, 5, 5), 9: (8, 8, 6), 12: (15, 20, 10),
           13: (5, 5, 8), 14: (5, 5, 8), 15: (10, 15, 8), 16: (20, 20, 35), 17: (20, 20, 35),
           18: (10, 35, 25), 19: (10, 35, 25), 20: (12, 12, 12), 21: (12, 12, 12)}
_KNEES = (4, 5)             # these bend one way only
_YAW, _TILT = 45, 8         # degrees by which a body is rotated about the vertical, and tilted
_AT_ONCE = 16
_SMALLEST = 32          # pixels a side in which a body is to be seen


def draw_pose(rng: np.random.RandomState) -> np.ndarray:
    """Draws a pose, axis-angle [72] in radians, upright in a picture whose y points down."""
    pose = np.zeros([24, 3])
    for joint, spread in _SPREAD.items():
        pose[joint] = np.clip(rng.randn(3) * 0.6, -1.2, 1.2) * np.radians(spread)
    for joint in _KNEES:
        pose[joint, 0] = abs(pose[joint, 0])
    yaw, pitch, roll = np.radians(rng.uniform(-1, 1, 3) * [_YAW, _TILT, _TILT])
    root = np.eye(3)
    for axis, angle in (((1., 0, 0), np.pi), ((0., 0, 1), roll), ((1., 0, 0), pitch),
                        ((0., 1, 0), yaw)):
        root = root.dot(cv2.Rodrigues(np.array(axis) * angle)[0])
    pose[0] = cv2.Rodrigues(root)[0].ravel()
    return pose.ravel()


def draw_background(size: int, rng: np.random.RandomState) -> np.ndarray:
    """Draws a blurred patchwork with noise, uint8 [size, size, 3]."""
    cells = rng.randint(2, 9)
    patches = (rng.uniform(30, 225) + rng.normal(0, 20, 3) + rng.normal(0, 30, [cells, cells, 1])
               + rng.normal(0, 12, [cells, cells, 3]))
    interpolation = cv2.INTER_CUBIC if rng.rand() < 0.7 else cv2.INTER_NEAREST
    picture = cv2.resize(patches.astype(np.float32), (size, size), interpolation=interpolation)
    picture += rng.normal(0, rng.uniform(2, 15), picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def draw_colors(body: Dict[str, np.ndarray], rng: np.random.RandomState) -> np.ndarray:
    """Draws colours [V, 3] (RGB, 0 to 1) of skin, hair, jacket, shirt, trousers and shoes.

    The joint that moves a vertex and its position in the template, which faces along z, tell what
    it wears: hair behind and above, the shirt where the jacket is open in front, so that a picture
    shows which way a body faces.

    Args:
      body: dict with weights [V, 24] and v_template [V, 3]; rng: draws the colours.
    """
    joint, position = np.argmax(body['weights'], axis=1), np.asarray(body['v_template'])
    skin = np.array([0.55, 0.42, 0.35]) * rng.uniform(0.5, 1.6)
    jacket, shirt, trousers = rng.uniform(0.1, 0.9, [3, 3])
    hair, shoes = rng.uniform(0.05, 0.5, [2, 1]) * rng.uniform(0.6, 1., [2, 3])
    colors = np.tile(skin, [len(joint), 1])
    head, torso = joint == 15, np.isin(joint, (3, 6, 9, 13, 14))
    colors[torso | np.isin(joint, (16, 17))] = jacket
    front = position[:, 2] > np.median(position[torso, 2])
    colors[torso & front & (np.abs(position[:, 0]) < 0.04)] = shirt
    colors[np.isin(joint, (0, 1, 2, 4, 5))] = trousers
    colors[np.isin(joint, (7, 8, 10, 11))] = shoes
    low, high = position[head].min(axis=0), position[head].max(axis=0)
    share = (position - low) / (high - low)
    colors[head & ((share[:, 2] < 0.45) | (share[:, 1] > 0.85))] = hair
    return np.clip(colors, 0, 1)


def _picture(task):
    """Draws one body; returns the row of its sample and writes its picture."""
    folder, number, vertices, joints, pose, betas, arrays, size, seed = task
    rng = np.random.RandomState([seed, 1, number])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    reach = rng.uniform(0.55, 0.75)         # share of the picture that the body is high
    scale = 2 * reach / max(high[:2] - low[:2])
    shift = -(low + high)[:2] / 2 + rng.uniform(-0.12, 0.12, 2)
    camera = np.array([scale, *shift])
    background = draw_background(size, rng)
    image = renderer.render(vertices, arrays['f'], camera, size, draw_colors(arrays, rng),
                            background)
    if rng.rand() < 0.5:
        image = cv2.GaussianBlur(image, (3, 3), 0)
    on_white = renderer.silhouette(vertices, np.asarray(arrays['f'], np.int64), camera, size)
    mask = np.where(on_white[..., None] >= 0, np.uint8(0), np.uint8(255)).repeat(3, axis=2)
    points = renderer.project(joints, camera, size)[:, :2]
    inside = ((points >= 0) & (points < size)).all(axis=1)
    name = '{:05d}'.format(number)
    path = os.path.join(folder, name + '_image.png')
    with files.replacing(path) as temporary:
        if not cv2.imwrite(temporary, image[..., ::-1]):
            raise errors.InputError('cannot write {}.'.format(path))
    row = sets.up3d(name, np.zeros([3, 14]), mask, pose, betas)
    row['part'] = np.concatenate([points, inside[:, None]], axis=1)
    return row


def make(options: argparse.Namespace) -> None:
    """Makes a set; pictures do not depend on the number of processes.

    Args:
      options: those of options.parse_dataset_args.
    Raises:
      errors.UsageError: the pictures would be too small, or bodies held out for measuring would be
        for training.
      errors.InputError: the body cannot be read, a picture not be written, or a process has died.
    """
    if options.size < _SMALLEST:
        raise errors.UsageError('--size must be {} at least.'.format(_SMALLEST))
    if options.num_train > 1:   # one is what a set for measuring needs
        generator.training_seed(options.seed)
    folder = os.path.join(options.output, config_lib.ROOTS['up-3d'][-1])
    arrays = body_lib.load(options.body or config_lib.SHIPPED_BODY)
    model = smpl.Smpl(arrays)
    count = options.num_train + options.num_test
    rng = np.random.RandomState([options.seed, 0])
    poses = np.stack([draw_pose(rng) for _ in range(count)]).astype(np.float32)
    betas = np.clip(rng.randn(count, smpl.NUM_BETAS), -2, 2).astype(np.float32)
    rows: List[Dict[str, Any]] = []
    with concurrent.futures.ProcessPoolExecutor(
            options.processes, workers.fork_context()) as pool:
        pool.submit(os.getpid).result()     # forks now: TensorFlow's session stands none after it
        with tf.Graph().as_default():
            pose = tf.placeholder(tf.float32, [_AT_ONCE, 72])
            shape = tf.placeholder(tf.float32, [_AT_ONCE, smpl.NUM_BETAS])
            vertices = model.vertices(pose, shape)
            joints = model.joints(vertices)
            slim = {name: arrays[name] for name in ('f', 'weights', 'v_template')}
            # A GPU's memory is the training's, which may follow in this process.
            with tf.Session(config=tf.ConfigProto(device_count={'GPU': 0})) as sess:
                for first in reporting.progress(range(0, count, _AT_ONCE),
                                                'drawing {} at a time'.format(_AT_ONCE)):
                    chosen = np.minimum(np.arange(first, first + _AT_ONCE), count - 1)
                    placed = sess.run((vertices, joints), {pose: poses[chosen],
                                                           shape: betas[chosen]})
                    tasks = [(folder, number, *[one[number - first] for one in placed],
                              poses[number], betas[number], slim, options.size, options.seed)
                             for number in range(first, min(first + _AT_ONCE, count))]
                    try:
                        rows += pool.map(_picture, tasks)
                    except concurrent.futures.process.BrokenProcessPool:
                        raise errors.InputError(
                            'a process that draws pictures has died (killed, or out of memory?). '
                            'Give the same command again, with fewer --processes.')
    for name, chosen in ((config_lib.TRAIN_FILES['up-3d'], rows[:options.num_train]),
                         (config_lib.TEST_FILES['up-3d'], rows[options.num_train:])):
        with files.replacing(os.path.join(options.output, config_lib.EXTRAS, name)) as temporary:
            np.savez_compressed(temporary, **{key: np.array([row[key] for row in chosen])
                                              for key in chosen[0]})
    cli.say('{} pictures for training and {} for tests in {}'.format(
        options.num_train, options.num_test, options.output))

"""Measures of CMR: shape errors (UP-3D), joints (Human3.6M), silhouettes and parts (LSP)."""
import argparse
import collections
import os
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

import cv2
import numpy as np

from cmr import networks
from cmr import options as options_lib
from cmr.src import config as config_lib
from cmr.src.dataset import base_dataset, datasets
from cmr.src.netCell import evalNet
from cmr.src.utils import body as body_lib
from cmr.src.utils import imutils, metrics, photo, pose_utils, renderer
from common import cli, errors, files
from common.geometry import plots
from common.readers import pictures
from common.training import familiar, launch, pretrained, reporting, weight_files
from common.training import workers as workers_lib

MILLIMETRES = 1000.
_PELVIS = 14
CAPTIONS = ('photo', 'graph network', 'SMPL parameters', 'from the side')   # of `draw`
_LEAST_SIZE = 224           # pixels a side of what is drawn
_LEAST, _MOST = 100, 600    # pictures of a training set whose features are recorded
_KINDS = (('NonParam', 'vertices'), ('Param', 'vertices_smpl'))


class Figures:
    """What is measured of a set, batch by batch.

    Args:
      dataset: str, of config.TEST_FILES; predictor: evalNet.Predictor; samples: datasets.Set.
      annotations: str, folder of UPi-S1h, where the masks of LSP are.
    """

    def __init__(self, dataset: str, predictor: evalNet.Predictor, samples: datasets.Set,
                 annotations: str = ''):
        self._annotations = annotations
        self._predictor, self._set = predictor, samples
        self._columns: Dict[str, List[float]] = collections.OrderedDict()
        self._measure = {'up-3d': self._up3d, 'lsp': self._lsp}.get(dataset, self._h36m)
        if dataset.startswith('h36m'):
            self._regressor = predictor.network.arrays.get('J_regressor_h36m')
            if self._regressor is None:
                raise errors.InputError('Human3.6M is measured by J_regressor_h36m.npy (float '
                                        '[17, V]) of the original; put it beside the body model.')
        if dataset == 'lsp':
            self._open_parts()

    def add(self, indices: Sequence[int], batch: Dict[str, np.ndarray]) -> None:
        """Predicts and measures a batch.

        Args:
          indices: int [n], of the samples in the set; batch: dict of `datasets.stacked`.
        """
        self._measure(indices, batch, self._predictor.predict(batch['img']))

    def _append(self, name, values):
        self._columns.setdefault(name, []).extend(np.asarray(values, np.float64).tolist())

    def _up3d(self, indices, batch, outputs):
        del indices
        self.add_shapes({kind: getattr(outputs, field) for kind, field in _KINDS}, batch)

    def add_shapes(self, predicted: Dict[str, np.ndarray], batch: Dict[str, np.ndarray]) -> None:
        """Compares vertices with the bodies of the samples.

        Args:
          predicted: dict {kind: [n, V, 3]}; batch: dict with pose [n, 72] and betas [n, 10].
        """
        truth = self._predictor.posed(batch['pose'], batch['betas'])
        joints = self._rooted(truth)
        for kind, vertices in predicted.items():
            self._append('Shape Error ({})'.format(kind), metrics.shape_error(vertices, truth))
        for kind, vertices in predicted.items():
            self._append_joints(kind, self._rooted(vertices), joints)

    def _rooted(self, vertices):
        joints = self._predictor.joints(vertices)
        return (joints - joints[:, _PELVIS:_PELVIS + 1])[:, list(pose_utils.J24_TO_J14)]

    def _append_joints(self, kind, joints, truth):
        self._append('MPJPE ({})'.format(kind), metrics.joint_error(joints, truth))
        self._append('Reconstruction Error ({})'.format(kind),
                     pose_utils.reconstruction_error(joints, truth))

    def _h36m(self, indices, batch, outputs):
        del indices
        truth = batch['pose_3d'][:, list(pose_utils.J24_TO_J14), :3]
        for kind, field in _KINDS:
            joints = metrics.h36m_joints(getattr(outputs, field), self._regressor)
            self._append_joints(kind, joints, truth)

    def _open_parts(self):
        folder = os.path.dirname(self._set.path)
        tables = []
        for name in ('vertex_texture', 'cube_parts'):
            path = os.path.join(folder, name + '.npy')
            if not os.path.exists(path):
                raise errors.InputError('LSP is measured by parts of the body, for which {} of the '
                                        'original is missing.'.format(path))
            tables.append(body_lib.read_array(path))
        faces = len(self._predictor.network.body.faces)
        self._face_parts = renderer.face_parts(*tables, faces, folder)
        self._masks = metrics.Segmentation(2)
        self._parts = metrics.Segmentation(metrics.PART_CLASSES)

    def _lsp(self, indices, batch, outputs):
        del batch
        faces = self._predictor.network.body.faces
        size = self._predictor.network.options.img_res
        for index, vertices, camera in zip(indices, outputs.vertices, outputs.camera):
            row, visible = self._set.row(index), renderer.silhouette(vertices, faces, camera, size)
            labels = np.where(visible >= 0, self._face_parts[visible], 0).astype(np.uint8)
            mask = (visible >= 0).astype(np.uint8)
            truth, parts = [self._annotation(self._set.rows[name][index])
                            for name in ('maskname', 'partname')]
            box = row['center'], row['scale'], truth.shape
            self._masks.add((imutils.uncrop(mask * 255, *box) > 0).astype(int),
                            (truth > 0).astype(int))
            self._parts.add(imutils.uncrop(labels, *box), parts)
        for name, figure in (('Accuracy', 'accuracy'), ('F1', 'f1')):
            for kind, one in (('mask', self._masks), ('parts', self._parts)):
                self._columns['{} ({})'.format(name, kind)] = [getattr(one, figure)]

    def _annotation(self, name):
        image = pictures.read(os.path.join(self._annotations, name),
                              remedy='The annotations of LSP are in UPi-S1h.')
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)

    def means(self) -> Dict[str, float]:
        """Returns the figures so far, {name: value} in order; lengths in millimetres."""
        scale = 1. if any(name.startswith('F1') for name in self._columns) else MILLIMETRES
        return collections.OrderedDict((name, scale * float(np.mean(values)))
                                       for name, values in self._columns.items())


def batches(samples: datasets.Set, batch: int,
            options: argparse.Namespace) -> Tuple[Callable[[int], Any], int]:
    """Returns how a set is read in batches.

    Args:
      samples: datasets.Set; batch: int.
      options: with shuffle, seed, img_res and stretch.
    Returns:
      (function that makes batch n: indices and arrays; number of batches).
    """
    order = np.arange(len(samples))
    if options.shuffle:
        order = np.random.RandomState(options.seed).permutation(len(samples))

    def make(number):
        indices = order[number * batch:(number + 1) * batch]
        return indices, datasets.stacked([
            samples.sample(index, base_dataset.NONE, options.img_res, options.stretch)
            for index in indices])

    return make, -(-len(samples) // batch)


def measure(predictor: evalNet.Predictor, samples: datasets.Set, dataset: str, loaded: Iterable,
            log_freq: int = 0, annotations: str = '') -> Dict[str, float]:
    """Measures a set.

    Args:
      predictor: evalNet.Predictor; samples: datasets.Set; dataset: str, see Figures.
      loaded: its batches, see `batches`; log_freq: int, batches between running figures, 0: none.
      annotations: str, see Figures.
    Returns:
      OrderedDict of figures.
    """
    figures = Figures(dataset, predictor, samples, annotations)
    total = -(-len(samples) // predictor.batch)
    for number, batch in enumerate(reporting.progress(loaded, 'measuring batches', total), 1):
        figures.add(*batch)
        if log_freq and number % log_freq == 0 and number * predictor.batch < len(samples):
            for name, value in figures.means().items():
                cli.say('{}: {}'.format(name, value))
    return figures.means()


def baseline(predictor: evalNet.Predictor, samples: datasets.Set,
             training_set: datasets.Set) -> Dict[str, float]:
    """Measures the training set's mean pose and shape as the answer to every picture.

    Args:
      predictor: evalNet.Predictor; samples: datasets.Set of UP-3D; training_set: the same.
    Returns:
      OrderedDict of figures.
    Raises:
      errors.InputError: the training set has no poses.
    """
    training_set.need('pose', 'shape')
    means = np.stack([[cv2.Rodrigues(joint)[0] for joint in pose.reshape(24, 3)]
                      for pose in training_set.rows['pose'].astype(np.float64)]).mean(axis=0)
    joints = []
    for matrix in means:
        u, _, vt = np.linalg.svd(matrix)
        joints.append(cv2.Rodrigues(u.dot(np.diag([1, 1, np.linalg.det(u.dot(vt))])).dot(vt))[0])
    pose, betas = np.ravel(joints), training_set.rows['shape'].mean(axis=0)
    answer = predictor.posed(pose[None], betas[None])
    figures = Figures('up-3d', predictor, samples)
    for start in range(0, len(samples), predictor.batch):
        rows = slice(start, start + predictor.batch)
        truth = {'pose': samples.rows['pose'][rows], 'betas': samples.rows['shape'][rows]}
        figures.add_shapes({'mean pose': answer.repeat(len(truth['pose']), axis=0)}, truth)
    return figures.means()


def record_features(predictor: evalNet.Predictor, samples: datasets.Set,
                    training_set: datasets.Set, options: argparse.Namespace, folder: str,
                    weights: str = '') -> List[str]:
    """Records how far from training pictures those of a test set lie; see `familiar`.

    The test set's are taken by their boxes and whole, as the demo takes a picture without a box.

    Args:
      predictor: evalNet.Predictor; samples, training_set: datasets.Set; options: see `batches`.
      folder: str, output folder; weights: str, whose record of the training pictures counts where
        they ship with one.
    Returns:
      the files; none, and a note, where the training set has too few pictures.
    """
    written = [familiar.FILE]
    held_out = np.concatenate([_looks(predictor, samples, options, make)
                               for make in (_boxed, _whole)])
    distances: Any = (familiar.distances(os.path.dirname(weights), held_out)
                      if weight_files.path_of(weights) else None)
    if distances is None:
        pictures_there = len(set(training_set.rows['imgname'].tolist()))
        if pictures_there < _LEAST:
            cli.say('note: {} training pictures are too few to tell strange ones by'.format(
                pictures_there))
            return []
        familiar.record_features(folder, _looks(predictor, training_set, options, _boxed))
        distances = familiar.distances(folder, held_out)
        written.append(familiar.FEATURES)
    familiar.record(folder, familiar.STRANGENESS, distances)
    return [os.path.join(folder, name) for name in written]


def _is_of(weights, folder):
    """Returns whether weights are those of a run in an output folder, or it holds no run."""
    return (os.path.abspath(weights).startswith(os.path.abspath(folder) + os.sep)
            or not pretrained.has_checkpoint(folder))


def _boxed(samples, index, options):
    """A picture of a set by its box, normalised [S, S, 3]."""
    return samples.sample(index, base_dataset.NONE, options.img_res, options.stretch)['img']


def _whole(samples, index, options):
    """A picture of a set as it is, normalised [S, S, 3]."""
    image = samples.image(index)
    return photo.cropped(image, *photo.whole(image.shape), options.img_res, options.stretch)[1]


def _looks(predictor, samples, options, make):
    """`cmr.Outputs.looks` [N, F] of pictures of a set, evenly chosen, that `make` makes."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(_MOST, len(samples))).astype(int))
    parts = [chosen[start:start + predictor.batch]
             for start in range(0, len(chosen), predictor.batch)]
    return np.concatenate([
        predictor.predict(np.stack([make(samples, index, options) for index in part])).looks
        for part in reporting.progress(parts, 'encoding pictures')])


def draw(predictor: evalNet.Predictor, samples: datasets.Set, indices: Sequence[int],
         options: argparse.Namespace, path: str) -> np.ndarray:
    """Draws a row for each of some people: photo, both bodies over it, one from the side.

    Args:
      predictor: evalNet.Predictor; samples: datasets.Set; indices: of the people.
      options: see `batches`; path: str, the .png to write.
    Returns:
      float32 [V, 3], vertices of the first by the graph network, y up.
    """
    faces, size = predictor.network.body.faces, max(options.img_res, _LEAST_SIZE)
    images: List[np.ndarray] = []
    bodies: List[np.ndarray] = []
    for start in range(0, len(indices), predictor.batch):
        part = indices[start:start + predictor.batch]
        outputs = predictor.predict(np.stack([_boxed(samples, index, options) for index in part]))
        bodies += list(outputs.vertices)
        for index, vertices, other, camera in zip(part, outputs.vertices, outputs.vertices_smpl,
                                                  outputs.camera):
            image = np.round(255 * samples.sample(index, base_dataset.NONE, size, options.stretch)
                             ['img_orig']).astype(np.uint8)
            images += [image,
                       renderer.render(vertices, faces, camera, size, renderer.LIGHT_BLUE, image),
                       renderer.render(other, faces, camera, size, renderer.PINK, image),
                       renderer.render(renderer.from_side(vertices), faces, camera, size,
                                       renderer.LIGHT_BLUE)]
    plots.image_grid(path, images, CAPTIONS * len(indices), columns=len(CAPTIONS))
    cli.say('pictures in {}'.format(path))
    return bodies[0] * [1, -1, -1]


def say_verdict(figures: Dict[str, float]) -> None:
    """Prints what the shape errors mean beside those of `baseline`, where both were measured."""
    names = ['Shape Error ({})'.format(kind) for kind in ('NonParam', 'mean pose')]
    if set(names) <= set(figures):
        cli.say(reporting.verdict(
            names[0] + ', mm,', figures[names[0]], {'mean pose': figures[names[1]]}, 'More steps '
            '(--training_steps), more pictures or weights that ship (--pretrained) may help.',
            higher=False))


def write(folder: str, dataset: str, step: Any, figures: Dict[str, float]) -> str:
    """Writes figures as eval/<dataset>.json; returns the path."""
    path = os.path.join(folder, 'eval', '{}.json'.format(dataset))
    files.write_json(path, {'step': step, 'figures': figures})
    return path


def evaluate(options: cli.Options, context: launch.Context) -> None:
    """Measures the run or checkpoint that the options name, and prints and writes the figures.

    Args:
      options: those of eval.py; context: launch.Context.
    Raises:
      errors.InputError: weights or set are missing, or the output folder cannot be written.
      errors.UsageError: --baseline for a set without poses.
    """
    launch.check_output(context.output_path)    # now, not when all is measured
    options, weights = networks.trained(options, context.device)
    data_path = options.data_path or os.path.join(context.output_path, options_lib.GENERATED)
    test_set = datasets.open_set(data_path, options.dataset, False)
    training_set = None
    if options.baseline:
        if options.dataset != 'up-3d':
            raise errors.UsageError('--baseline is for --dataset=up-3d.')
        training_set = datasets.open_set(data_path, options.dataset, True)
    make, total = batches(test_set, options.batch_size, options)
    with workers_lib.Workers(make, options.num_workers) as workers, \
            evalNet.opened(options, context, weights, options.batch_size) as predictor:
        workers.begin(0)
        cli.say('Start eval')
        figures = measure(predictor, test_set, options.dataset,
                          (workers.get() for _ in range(total)), options.log_freq,
                          config_lib.root(data_path, 'upi-s1h'))
        if training_set:
            figures.update(baseline(predictor, test_set, training_set))
        cli.say('\n*** Final Results ***\n')
        for name, value in figures.items():
            cli.say('{}: {}'.format(name, value))
        say_verdict(figures)
        path = write(context.output_path, options.dataset, os.path.basename(weights), figures)
        cli.say('{} samples, weights {}; figures in {}'.format(len(test_set), weights, path))
        if options.pictures:
            draw(predictor, test_set, np.unique(np.linspace(0, len(test_set) - 1, min(
                options.pictures, len(test_set))).astype(int)), options, os.path.join(
                    context.output_path, 'eval', options.dataset + '.png'))
        if training_set and _is_of(weights, context.output_path):
            record_features(predictor, test_set, training_set, options, context.output_path,
                            weights)

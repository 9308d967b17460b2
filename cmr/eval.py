"""Measures a trained network: shape errors (UP-3D), joints (Human3.6M), silhouettes (LSP).

Example: python cmr/eval.py --data_path=datasets --dataset=up-3d --checkpoint=cmr/output
"""
import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import cv2
import numpy as np

from cmr.src import config as config_lib
from cmr.src.dataset import base_dataset, datasets
from cmr.src.netCell import evalNet
from cmr.src.utils import body as body_lib
from cmr.src.utils import imutils, metrics, options, pose_utils, renderer
from common import cli, errors, files
from common.training import runs
from common.training import workers as workers_lib

MILLIMETRES = 1000.
_PELVIS = 14
_KINDS = (('NonParam', 'vertices'), ('Param', 'vertices_smpl'))


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', default='', help='folder of the sets and of extras/; unset: '
                        'the generated set of the quick start')
    parser.add_argument('--dataset', default='up-3d', choices=sorted(config_lib.TEST_FILES))
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='checkpoint, its folder, or a file of PyTorch; unset: the run in '
                             '--output_path')
    parser.add_argument('--output_path', default=options.OUTPUT_PATH,
                        help='folder of the run; figures go to eval/ below it')
    parser.add_argument('--batch_size', type=cli.positive_int, default=32)
    parser.add_argument('--num_workers', type=cli.non_negative_int, default=2,
                        help='processes that read pictures')
    parser.add_argument('--log_freq', type=cli.positive_int, default=50,
                        help='batches between running figures')
    cli.add_flag(parser, '--shuffle', help='measure in a random order; the figures at the end stay')
    cli.add_flag(parser, '--baseline', help='also the body of mean pose and shape of the training '
                                            'set, turned upright')
    parser.add_argument('--config', default='', help="JSON of the network's options, as data/"
                                                     'config.json')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0)
    cli.add_device(parser)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    options.add_device_target(parser)
    options.add_network_options(parser)
    return parser.parse_args(argv)


class Figures:
    """What is measured of a set, batch by batch.

    Args:
      dataset: str, of config.TEST_FILES; predictor: evalNet.Predictor; found: datasets.Set.
      annotations: str, folder of UPi-S1h, where the masks of LSP are.
    """

    def __init__(self, dataset, predictor, found, annotations=''):
        self._annotations = annotations
        self._predictor, self._set, self._columns = predictor, found, collections.OrderedDict()
        self._measure = {'up-3d': self._up3d, 'lsp': self._lsp}.get(dataset, self._h36m)
        if dataset.startswith('h36m'):
            self._regressor = predictor.network.arrays.get('J_regressor_h36m')
            if self._regressor is None:
                raise errors.InputError('Human3.6M is measured by J_regressor_h36m.npy (float '
                                        '[17, V]) of the original; put it beside the body model.')
        if dataset == 'lsp':
            self._open_parts()

    def add(self, indices, batch):
        """Measures a batch of samples (list of ints, dict of arrays of `datasets.stacked`)."""
        self._measure(indices, batch, self._predictor.predict(batch['img']))

    def _append(self, name, values):
        self._columns.setdefault(name, []).extend(np.asarray(values, np.float64).tolist())

    def _up3d(self, indices, batch, found):
        del indices
        self.add_shapes({kind: getattr(found, field) for kind, field in _KINDS}, batch)

    def add_shapes(self, predicted, batch):
        """Compares vertices {kind: [n, V, 3]} with the samples' bodies."""
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

    def _h36m(self, indices, batch, found):
        del indices
        truth = batch['pose_3d'][:, list(pose_utils.J24_TO_J14), :3]
        for kind, field in _KINDS:
            joints = metrics.h36m_joints(getattr(found, field), self._regressor)
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

    def _lsp(self, indices, batch, found):
        del batch
        faces = self._predictor.network.body.faces
        size = self._predictor.network.config.img_res
        for index, vertices, camera in zip(indices, found.vertices, found.camera):
            row, shown = self._set.row(index), renderer.silhouette(vertices, faces, camera, size)
            labels = np.where(shown >= 0, self._face_parts[shown], 0).astype(np.uint8)
            mask = (shown >= 0).astype(np.uint8)
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
        path = os.path.join(self._annotations, name)
        image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise errors.InputError('cannot read the annotation {} (of UPi-S1h).'.format(path))
        return image

    def means(self):
        """OrderedDict of the figures so far; lengths in millimetres."""
        scale = 1. if any(name.startswith('F1') for name in self._columns) else MILLIMETRES
        return collections.OrderedDict((name, scale * float(np.mean(values)))
                                       for name, values in self._columns.items())


def batches(found, batch, config):
    """(function that makes batch n: indices and arrays; number of batches) of a set.

    Args:
      found: datasets.Set; batch: int; config: namespace: shuffle, seed, img_res, stretch.
    """
    order = np.arange(len(found))
    if config.shuffle:
        order = np.random.RandomState(config.seed).permutation(len(found))

    def make(number):
        chosen = order[number * batch:(number + 1) * batch]
        return chosen, datasets.stacked([
            found.sample(index, base_dataset.NONE, config.img_res, config.stretch)
            for index in chosen])

    return make, -(-len(found) // batch)


def measure(predictor, found, dataset, made, log_freq=0, annotations=''):
    """Measures a set.

    Args:
      predictor: evalNet.Predictor; found: datasets.Set; dataset: str.
      made: iterable of batches; log_freq: int, batches between running figures, 0: none.
      annotations: str, see Figures.
    Returns:
      OrderedDict of figures.
    """
    figures = Figures(dataset, predictor, found, annotations)
    for number, batch in enumerate(made, 1):
        figures.add(*batch)
        if log_freq and number % log_freq == 0 and number * predictor.batch < len(found):
            for name, value in figures.means().items():
                cli.say('{}: {}'.format(name, value))
    return figures.means()


def baseline(predictor, found, trained):
    """Figures of the training set's mean pose and shape as the answer to every picture.

    Args:
      predictor: evalNet.Predictor; found: datasets.Set of UP-3D; trained: the same for training.
    Raises:
      errors.InputError: the training set has no poses.
    """
    trained.need('pose', 'shape')
    turns = np.stack([[cv2.Rodrigues(joint)[0] for joint in pose.reshape(24, 3)]
                      for pose in trained.rows['pose'].astype(np.float64)]).mean(axis=0)
    pose = []
    for turn in turns:
        u, _, vt = np.linalg.svd(turn)
        pose.append(cv2.Rodrigues(u.dot(np.diag([1, 1, np.linalg.det(u.dot(vt))])).dot(vt))[0])
    pose, betas = np.ravel(pose), trained.rows['shape'].mean(axis=0)
    answer = predictor.posed(pose[None], betas[None])
    figures = Figures('up-3d', predictor, found)
    for start in range(0, len(found), predictor.batch):
        rows = slice(start, start + predictor.batch)
        truth = {'pose': found.rows['pose'][rows], 'betas': found.rows['shape'][rows]}
        figures.add_shapes({'mean pose': answer.repeat(len(truth['pose']), axis=0)}, truth)
    return figures.means()


def write(folder, dataset, step, figures):
    """Writes figures as eval/<dataset>.json; returns the path."""
    path = os.path.join(folder, 'eval', '{}.json'.format(dataset))
    files.write_json(path, {'step': step, 'figures': figures})
    return path


def evaluate(config):
    """Measures and prints."""
    runs.check_output(config.output_path)       # now, not when all is measured
    options.settle_device(config)
    options.read_config(config)
    weights = options.trained(config)
    data_path = config.data_path or os.path.join(config.output_path, options.GENERATED)
    found = datasets.open_set(data_path, config.dataset, False)
    trained = None
    if config.baseline:
        if config.dataset != 'up-3d':
            raise errors.UsageError('--baseline is for --dataset=up-3d.')
        trained = datasets.open_set(data_path, config.dataset, True)
    make, total = batches(found, config.batch_size, config)
    with workers_lib.Workers(make, config.num_workers) as workers, \
            evalNet.opened(config, weights, config.batch_size) as predictor:
        workers.begin(0)
        cli.say('Start eval')
        figures = measure(predictor, found, config.dataset, (workers.get() for _ in range(total)),
                          config.log_freq, config_lib.root(data_path, 'upi-s1h'))
        if trained:
            figures.update(baseline(predictor, found, trained))
    cli.say('\n*** Final Results ***\n')
    for name, value in figures.items():
        cli.say('{}: {}'.format(name, value))
    path = write(config.output_path, config.dataset, os.path.basename(weights), figures)
    cli.say('{} samples, weights {}; figures in {}'.format(len(found), weights, path))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(evaluate, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

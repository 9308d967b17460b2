"""Sets of samples, their mixture, and batches; each a function of seed, epoch and index alone."""
import argparse
import os
from typing import Dict, List, Sequence, Tuple

import numpy as np

from cmr.src import config as config_lib
from cmr.src.dataset import base_dataset
from cmr.src.utils import imutils
from common import errors
from common.readers import arrays, pictures, text

_SHAPES = {'center': (2,), 'scale': (), 'part': (24, 3), 'pose': (72,), 'shape': (10,),
           'S': (24, 4)}
_REQUIRED = ('imgname', 'center', 'scale')
_NAMES = ('imgname', 'maskname', 'partname')
NUM_JOINTS, NUM_POSE, NUM_BETAS = 24, 72, 10


class Set:
    """The samples of a file.

    Args:
      name: str, of config.ROOTS.
      path: str, sample file (.npz).
      folder: str, root of its pictures.

    Attributes:
      rows: dict of arrays.
    """

    def __init__(self, name: str, path: str, folder: str):
        self.name, self.path, self.folder = name, path, folder
        self.rows = _read_rows(path)

    def need(self, *names: str) -> None:
        """Makes sure that the file has these fields.

        Raises:
          errors.InputError: one is missing.
        """
        missing = [name for name in names if name not in self.rows]
        if missing:
            raise errors.InputError('{} has no {} (found: {}), which this needs. python '
                                    'cmr/preprocess.py makes it.'.format(
                                        self.path, ', '.join(missing),
                                        errors.listed(sorted(self.rows))))

    def __len__(self) -> int:
        return len(self.rows['imgname'])

    @property
    def teaches(self) -> bool:
        """Returns whether samples are annotated: with SMPL, 3D joints, or visible keypoints."""
        part = self.rows.get('part')
        return ('pose' in self.rows or 'S' in self.rows
                or part is not None and bool((part[..., 2] > 0).any()))

    def missing_pictures(self) -> List[str]:
        """Returns the paths of the pictures that are not there."""
        paths = [self.image_path(index) for index in range(len(self))]
        return [path for path in paths if not os.path.exists(path)]

    def row(self, index: int) -> Dict[str, np.ndarray]:
        """Returns the numbers of a sample by name: center, scale, and what else the file has."""
        return {name: self.rows[name][index] for name in _SHAPES if name in self.rows}

    def image(self, index: int) -> np.ndarray:
        """Reads the picture of a sample, uint8 [H, W, 3] RGB."""
        return pictures.read(self.image_path(index))

    def image_path(self, index: int) -> str:
        """Returns the path of the picture of a sample."""
        return os.path.join(self.folder, str(self.rows['imgname'][index]))

    def sample(self, index: int, augmentation: base_dataset.Augmentation, size: int,
               stretch: bool = True) -> Dict[str, np.ndarray]:
        """Makes a sample; see base_dataset.make_sample.

        Raises:
          errors.InputError: the picture cannot be read, or the box holds none of it.
        """
        row, image = self.row(index), self.image(index)
        scale = row['scale'] * augmentation.scale
        problem = imutils.box_problem(row['center'], scale, image.shape)
        if problem:
            raise errors.InputError('{}: the box of sample {} {} {}.'.format(
                self.path, index, problem, self.image_path(index)))
        return base_dataset.make_sample(image.astype(np.float32), row, augmentation, size, stretch)


def _read_rows(path):
    return checked(path, arrays.read_archive(path, what='a sample file (.npz)', remedy=(
        'python cmr/preprocess.py makes it.')))


def checked(path: str, rows: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Checks the arrays of a sample file and decodes its names.

    Args:
      path: str, for messages; rows: dict of arrays, n rows each.
    Returns:
      dict of the same arrays; names are str.
    Raises:
      errors.InputError: one is missing, of another shape, or not finite; a name leads elsewhere.
    """
    missing = [name for name in _REQUIRED if name not in rows]
    if missing:
        raise errors.InputError('{} has no {} (found: {}).'.format(
            path, ', '.join(missing), errors.listed(sorted(rows))))
    count = len(rows['imgname']) if rows['imgname'].ndim else 0
    if not count:
        raise errors.InputError('{} holds no sample.'.format(path))
    for name in _NAMES:
        if name in rows:
            rows[name] = _texts(path, name, rows[name], count)
    for name, shape in _SHAPES.items():
        if name in rows:
            _check_numbers(path, name, rows[name], (count,) + shape, rows['imgname'])
    if (rows['scale'] <= 0).any():
        first = np.flatnonzero(rows['scale'] <= 0)[0]
        raise errors.InputError('{}: scale of sample {} ({}) is not positive.'.format(
            path, first, rows['imgname'][first]))
    if ('pose' in rows) != ('shape' in rows):
        raise errors.InputError('{} has one of pose and shape without the other.'.format(path))
    return rows


def _texts(path, name, array, count):
    """Names as str; files written by Python 2 have bytes, those of MATLAB and Torch codes."""
    texts = np.array(text.names(array, path, name))
    if texts.shape != (count,):
        raise errors.InputError('{}: {} has {} names, expected {}.'.format(
            path, name, len(texts), count))
    for one in texts:
        if os.path.isabs(one) or '..' in one.replace('\\', '/').split('/'):
            raise errors.InputError('{}: {} {} leads out of the set.'.format(
                path, name, errors.quote(one)))
        if not one.isprintable() or not one.strip():
            raise errors.InputError('{}: {} has {!r}, which is no name of a file.'.format(
                path, name, errors.quote(one)))
    return texts


def _check_numbers(path, name, array, shape, pictures):
    if array.shape != shape:
        raise errors.InputError('{}: {} is {}, expected {}.'.format(path, name, array.shape, shape))
    if array.dtype.kind not in arrays.NUMBERS:
        raise errors.InputError('{}: {} is {}, expected numbers.'.format(path, name, array.dtype))
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise errors.InputError('{}: {} of sample {} ({}) is not finite.'.format(
            path, name, bad[0, 0], pictures[bad[0, 0]]))


def open_set(data_path: str, name: str, is_train: bool) -> Set:
    """Opens a set.

    Args:
      data_path: str; name: str, of config.TRAIN_FILES or config.TEST_FILES; is_train: bool.
    Raises:
      errors.InputError: its sample file or pictures are missing.
    """
    table = config_lib.TRAIN_FILES if is_train else config_lib.TEST_FILES
    if name not in table:
        raise errors.UsageError('no data set {} for {} (there are: {}).'.format(
            name, 'training' if is_train else 'evaluation', ', '.join(sorted(table))))
    path = os.path.join(config_lib.extras(data_path), table[name])
    folder = config_lib.root(data_path, name)
    samples = Set(name, path, folder)
    if not is_train:
        samples.need(*config_lib.TEST_FIELDS[name])
    if not os.path.isdir(folder):
        raise errors.InputError('{} belongs to pictures in {}, which does not exist.'.format(
            path, folder))
    return samples


class Mixture:
    """Several sets that answer by shares, or one alone.

    Args:
      data_path: str; name: str, of config.MIXTURES or config.TRAIN_FILES.
    """

    def __init__(self, data_path: str, name: str):
        names, self._shares = config_lib.MIXTURES.get(name, ((name,), (1.,)))
        self.sets = [open_set(data_path, one, True) for one in names]
        if not any(one.teaches for one in self.sets):
            raise errors.InputError('there is nothing to learn from: {} have no keypoint that is '
                                    'visible, no pose and no joints (part, pose, S).'.format(
                                        ', '.join(one.path for one in self.sets)))

    def __len__(self) -> int:
        return max(map(len, self.sets))

    def choose(self, index: int, rng: np.random.RandomState) -> Tuple[Set, int]:
        """Draws the set that answers for an index of the mixture; a set alone draws nothing.

        Returns:
          (Set, index in it).
        """
        if len(self.sets) == 1:
            return self.sets[0], index
        chosen = self.sets[base_dataset.choose_part(rng.uniform(), self._shares)]
        return chosen, index % len(chosen)

    def __str__(self) -> str:
        return ', '.join('{} {}'.format(len(one), one.name) for one in self.sets)


class Batches:
    """Batches of a training; batch n is a function of (seed, n) alone, whatever the ranks are.

    Args:
      mixture: Mixture.
      options: batch_size (of all ranks together), seed, img_res, shuffle, augmentation,
        augmentation_rgb, noise_factor, rot_factor, scale_factor, stretch.
      rank, ranks: int, which share of each batch.
    Raises:
      errors.InputError: a batch is larger than the set, or not to be shared out evenly.
    """

    def __init__(self, mixture: Mixture, options: argparse.Namespace, rank: int = 0,
                 ranks: int = 1):
        self._mixture, self._options = mixture, options
        if len(mixture) < options.batch_size:
            raise errors.InputError('{} samples ({}) are fewer than a batch of {}; give a smaller '
                                    '--batch_size.'.format(len(mixture), mixture,
                                                           options.batch_size))
        if options.batch_size % ranks:
            raise errors.UsageError('--batch_size {} cannot be shared out among {} processes.'
                                    .format(options.batch_size, ranks))
        size = options.batch_size // ranks
        self._mine = slice(rank * size, (rank + 1) * size)
        self.per_epoch = len(mixture) // options.batch_size
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def indices(self, number: int) -> Tuple[int, np.ndarray]:
        """Returns (epoch, this rank's indices in the mixture) of batch `number`, from 0."""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.arange(len(self._mixture))
            if self._options.shuffle:
                rng = np.random.RandomState([self._options.seed, 0, epoch])
                self._order = rng.permutation(len(self._mixture))
        start = place * self._options.batch_size
        return epoch, self._order[start:start + self._options.batch_size][self._mine]

    def at(self, number: int) -> Dict[str, np.ndarray]:
        """Makes this rank's share of batch `number`, from 0; see `stacked`."""
        epoch, indices = self.indices(number)
        return stacked([self._sample(index, epoch) for index in indices])

    def _sample(self, index, epoch):
        options = self._options
        rng = np.random.RandomState([options.seed, 1, epoch, index])
        chosen, place = self._mixture.choose(index, rng)
        augmentation = base_dataset.draw_augmentation(rng, options.noise_factor, options.rot_factor,
                                                      options.scale_factor)
        if not options.augmentation_rgb:
            augmentation = augmentation._replace(noise=np.ones(3))
        if not options.augmentation:
            augmentation = base_dataset.NONE
        return chosen.sample(place, augmentation, options.img_res, options.stretch)


def stacked(samples: Sequence[Dict[str, np.ndarray]]) -> Dict[str, np.ndarray]:
    """Stacks samples to float32 arrays [B, ...]: img and the fields of netWithLoss.Truth."""
    names = ('img', 'keypoints', 'pose_3d', 'pose', 'betas', 'has_smpl', 'has_pose_3d')
    return {name: np.stack([np.float32(sample[name]) for sample in samples]) for name in names}

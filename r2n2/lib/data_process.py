"""Batches of views and voxels, each a function of the seed and its number.

V: views, B: batch, S: side of an image in pixels, N: side of a grid in cells.
"""
import os
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np

from common import errors
from common.device import ranks as ranks_lib
from common.geometry import voxel_grids
from common.readers import folders, pictures
from r2n2.lib import config as config_lib
from r2n2.lib import data_augmentation, data_io


class Order:
    """Which samples make up which batch.

    With `permute` (training) an epoch is a permutation without its last batch, also where that
    would be whole, as in the original; else the samples come in their own order.

    Args:
      count, batch: int.
      permute: None or function (epoch) -> permutation of range(count).
    """

    def __init__(self, count: int, batch: int,
                 permute: Optional[Callable[[int], np.ndarray]] = None):
        self._batch, self._permute = batch, permute
        self._epoch, self._order = -1, np.arange(count)
        self.per_epoch = max(1, (count - 1) // batch) if permute else -(-count // batch)

    def at(self, number: int) -> Tuple[int, List[int]]:
        """Returns (epoch, indices) of batch `number`, from 0."""
        epoch, place = divmod(number, self.per_epoch)
        if self._permute is None:
            epoch, place = 0, number
        elif epoch != self._epoch:
            self._epoch, self._order = epoch, self._permute(epoch)
        return epoch, list(self._order[place * self._batch:(place + 1) * self._batch])


class Loader:
    """Makes samples and batches.

    Args:
      settings: config.Config; CONST.BATCH_SIZE is B.
      data: data_io.Set.
      pairs: list of (category, model).
      train: bool, random transform; else the test transform.
      backgrounds: paths of background pictures, or None.
    """

    def __init__(self, settings: config_lib.Config, data: data_io.Set, pairs: List[Tuple[str, str]],
                 train: bool, backgrounds: Optional[List[str]] = None):
        self.settings, self.data, self.pairs, self._train = settings, data, pairs, train
        self._backgrounds = [lambda path=path: pictures.read(path) for path in backgrounds or ()]

    def views(self, rng: np.random.RandomState) -> int:
        """Returns how many views a batch has."""
        limit = self.settings.CONST.N_VIEWS
        return rng.randint(limit) + 1 if self.settings.TRAIN.RANDOM_NUM_VIEWS else limit

    def sample(self, index: int, ids: Sequence[int],
               rng: np.random.RandomState) -> Tuple[np.ndarray, np.ndarray]:
        """Returns the views and the grid of one model, transformed.

        Args:
          index: int, of the model; ids: list of V ints, the renderings.
          rng: numpy.random.RandomState.
        Returns:
          (uint8 [V, S, S, 3], bool [N, N, N]).
        """
        category, model = self.pairs[index]
        size = self.settings.CONST.IMG_H, self.settings.CONST.IMG_W
        folder = self.data.rendering_path % (category, model)
        augmentation = self.settings.TRAIN
        pads = ((augmentation.PAD_Y, augmentation.PAD_X) if augmentation.RANDOM_CROP
                else (0, 0))
        stored = size[0] + pads[0], size[1] + pads[1]
        images = []
        for number in ids:
            path = os.path.join(folder, '{:02d}.png'.format(number))
            if not os.path.exists(path) and os.path.isdir(folder):
                raise errors.InputError(_missing_view(path, augmentation.NUM_RENDERING))
            image = pictures.read(path, None)
            if image.shape[:2] != stored:
                raise errors.InputError(
                    '{}: a picture of {} x {}, expected {} x {} (CONST.IMG_W and IMG_H with '
                    'TRAIN.PAD_X and PAD_Y).'.format(path, *image.shape[1::-1], *stored[::-1]))
            if self._train:
                image = data_augmentation.for_training(image, augmentation, rng,
                                                       self._backgrounds)
            else:
                image = data_augmentation.for_test(image, self.settings.TEST.NO_BG_COLOR_RANGE,
                                                   size, rng)
            images.append(image)
        voxels = self.voxels(index)
        if self._train and augmentation.FLIP_TOGETHER and rng.rand() > 0.5:
            images, voxels = [image[:, ::-1] for image in images], voxels[:, :, ::-1]
        return np.stack(images), voxels

    def voxels(self, index: int) -> np.ndarray:
        """Reads the true grid of a model, bool [N, N, N]."""
        path = self.data.voxel_path % self.pairs[index]
        voxels = voxel_grids.read_binvox(path)
        side = self.settings.CONST.N_VOX
        if voxels.shape != (side,) * 3:
            raise errors.InputError('{}: a grid of {}, expected {} cells a side.'.format(
                path, ' x '.join(map(str, voxels.shape)), side))
        return voxels

    def batch(self, indices: Sequence[int], views: int,
              rng_of: Callable[[int], np.random.RandomState],
              ids_of: Optional[Callable[[int], Sequence[int]]] = None
              ) -> Tuple[np.ndarray, np.ndarray]:
        """Returns a batch; rows beyond the indices are zero.

        Args:
          indices: list of at most B ints.
          views: int, V.
          rng_of: function (index) -> numpy.random.RandomState.
          ids_of: function (index) -> list of V renderings; None draws them with replacement.
        Returns:
          (uint8 [V, B, S, S, 3], bool [B, N, N, N]).
        """
        settings = self.settings
        batch = settings.CONST.BATCH_SIZE
        images = np.zeros([views, batch, settings.CONST.IMG_H, settings.CONST.IMG_W, 3], np.uint8)
        voxels = np.zeros([batch] + [settings.CONST.N_VOX] * 3, bool)
        for row, index in enumerate(indices):
            rng = rng_of(index)
            ids = (rng.choice(settings.TRAIN.NUM_RENDERING, views) if ids_of is None
                   else ids_of(index))
            images[:, row], voxels[row] = self.sample(index, ids, rng)
        return images, voxels


def training_batch(loader: Loader, order: Order, seed: int, number: int,
                   ranks: ranks_lib.Ranks = ranks_lib.ALONE) -> Tuple[np.ndarray, np.ndarray]:
    """Returns this process's part of batch `number`, a function of its arguments alone.

    Args:
      loader: of B / ranks.size rows; order: of batches of B; seed, number: int.
      ranks: place of this process.
    Returns:
      (uint8 [V, B / ranks.size, S, S, 3], bool [B / ranks.size, N, N, N]).
    """
    epoch, indices = order.at(number)
    indices = ranks.shard(indices)
    views = loader.views(np.random.RandomState([seed, 1, number]))
    return loader.batch(indices, views,
                        lambda index: np.random.RandomState([seed, 2, epoch, index]))


def training_order(count: int, batch: int, seed: int) -> Order:
    """Returns the order of a training: a permutation an epoch, repeated to a batch if shorter."""
    length = max(count, batch)
    return Order(length, batch, lambda epoch: np.resize(
        np.random.RandomState([seed, 0, epoch]).permutation(count), length))


def _missing_view(path, num_rendering):
    """What to do about a view that is not there, though its folder is."""
    there = set(folders.names(os.path.dirname(path)))
    count = 0
    while '{:02d}.png'.format(count) in there:
        count += 1
    remedy = ('Give --set TRAIN.NUM_RENDERING {}'.format(count) if count else
              'Views are named 00.png, 01.png and so on')
    return 'cannot read {}: {} has {} views, and TRAIN.NUM_RENDERING is {}. {}'.format(
        path, os.path.dirname(path), count, num_rendering, remedy)

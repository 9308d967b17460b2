"""Voxel sets in .mat files (MATLAB 7.3, which is HDF5): reading, checking, batches, writing.

A set has the datasets `train` and `test`, or `model_train`, `model_test`, `image_train` and
`image_test` where images belong to the shapes. HDF5 shows MATLAB's arrays with their axes reversed:
models are [27001, N] there, one shape in each column, the class id (from 1) before 30^3 occupancies
in C order; images are [3, 100, 100, N], RGB. Occupancies stay uint8: 27 kB for each shape.

N: shapes of a split, B: of a batch.
"""
import itertools
import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import h5py
import numpy as np

from common import errors
from common.readers import folders, hdf5, limits, matlab, text

GRID = 30
CELLS = GRID ** 3
ROW = CELLS + 1         # class id and cells
IMAGE = 100
MOST_CLASSES = 65535    # each id up to the largest has a name
_WHAT = 'a set of voxels (.mat)'
_NUMBERS = itertools.count()    # of files in memory
_REMEDY = 'Make the file with python vsl/make_dataset.py.'
_PACKED = 1040          # times larger than its file is a set at most: the limit of gzip is 1032
_BLOCK_BYTES = 32 << 20  # of a dataset that are in memory at once
_LONGEST_NAME = 100     # characters of the name of a class
PASCAL_NAMES = ('aero', 'bike', 'boat', 'bus', 'car', 'chair', 'mbike', 'sofa', 'train', 'tv')
MODELNET10_NAMES = ('bathtub', 'bed', 'chair', 'desk', 'dresser', 'monitor', 'night_stand', 'sofa',
                    'table', 'toilet')
MODELNET40_NAMES = (
    'airplane', 'bathtub', 'bed', 'bench', 'bookshelf', 'bottle', 'bowl', 'car', 'chair', 'cone',
    'cup', 'curtain', 'desk', 'door', 'dresser', 'flower_pot', 'glass_box', 'guitar', 'keyboard',
    'lamp', 'laptop', 'mantel', 'monitor', 'night_stand', 'person', 'piano', 'plant', 'radio',
    'range_hood', 'sink', 'sofa', 'stairs', 'stool', 'table', 'tent', 'toilet', 'tv_stand', 'vase',
    'wardrobe', 'xbox')
_KNOWN_NAMES = {'PASCAL3D.mat': PASCAL_NAMES, 'ModelNet10_res30_raw.mat': MODELNET10_NAMES,
                'ModelNet40_res30_raw.mat': MODELNET40_NAMES}


class Split(NamedTuple):
    """The shapes of a split.

    Attributes:
      voxels: uint8 [N, 27000] of 0 and 1.
      labels: int32 [N], class ids from 1.
      images: [N, 100, 100, 3] uint8 or float32, or None.
    """

    voxels: np.ndarray
    labels: np.ndarray
    images: Any


def find_file(path: str, preferred: str = '') -> str:
    """Finds the .mat file that a --data_path means.

    Args:
      path: str, the file, its folder, or the parent of a folder `dataset`.
      preferred: str, the name to take where a folder has several.
    Returns:
      str, the file.
    Raises:
      errors.InputError: there is none, or several of which none is the preferred one.
    """
    if os.path.isfile(path):
        return path
    if not os.path.isdir(path):
        raise errors.InputError('--data_path {} does not exist. Give a .mat file or its folder; '
                                'python vsl/make_dataset.py makes one.'.format(path))
    for folder in (path, os.path.join(path, 'dataset')):
        names = [name for name in folders.names(folder) if name.endswith('.mat')]
        if preferred in names or len(names) == 1:
            return os.path.join(folder, preferred if preferred in names else names[0])
        if names:
            raise errors.InputError('{} has several .mat files ({}); give one of them as '
                                    '--data_path.'.format(folder, errors.listed(names)))
    raise errors.InputError('{} has no .mat file, and neither has its folder dataset/. Make one '
                            'with python vsl/make_dataset.py.'.format(path))


def _open(path):
    if matlab.is_hdf5(path, _WHAT, _REMEDY):
        return hdf5.open_file(path, _WHAT, _REMEDY)
    # In memory; HDF5 of h5py 3 takes no name twice while a file of it is open.
    stream = h5py.File('of MATLAB 5, {}'.format(next(_NUMBERS)), 'w', driver='core',
                       backing_store=False)
    for name, value in matlab.read(path, None, _WHAT, _REMEDY).items():
        if value.dtype.kind in 'biuf':
            stream[name] = value.T
    return stream


def _dataset(stream, path, key):
    """A dataset that is read as a whole, no larger than a file of that size can be when packed."""
    dataset = hdf5.dataset(stream, path, key, remedy=_REMEDY)
    limits.check_size(path, '"{}"'.format(key),
                      limits.count(dataset.shape) * dataset.dtype.itemsize,
                      max(limits.MAX_BYTES, _PACKED * stream.file.id.get_filesize()), _REMEDY)
    return dataset


def _blocks(dataset, path, key):
    """Yields (index, array) of slices of a dataset that are small, in the order of its chunks."""
    chunks = dataset.chunks or (1,) + dataset.shape[1:]
    spans = [size / part for size, part in zip(dataset.shape, chunks)]
    axis = int(np.argmax(spans)) if dataset.chunks else 0
    others = dataset.dtype.itemsize * dataset.size // max(1, dataset.shape[axis])
    step = max(1, _BLOCK_BYTES // max(1, others) // chunks[axis]) * chunks[axis]
    for start in range(0, dataset.shape[axis], step):
        index = [slice(None)] * dataset.ndim
        index[axis] = slice(start, start + step)
        yield tuple(index), hdf5.values(dataset, tuple(index), path, _REMEDY)


def _read_models(stream, path, key):
    """Class ids and occupancies of a dataset, checked; memory: the uint8 result and a block."""
    dataset = _dataset(stream, path, key)
    if dataset.ndim != 2 or dataset.shape[0] != ROW:
        hint = ' It looks transposed.' if dataset.shape[-1:] == (ROW,) else ''
        raise errors.InputError('{}: "{}" has the shape {} in HDF5, expected ({}, N): a class id '
                                'and 30^3 cells for each shape.{}'.format(
                                    path, key, dataset.shape, ROW, hint))
    count = dataset.shape[1]
    if not count:
        raise errors.InputError('{}: "{}" holds no shapes.'.format(path, key))
    voxels, labels = np.empty([count, CELLS], np.uint8), np.empty([count], np.float64)
    for (rows, columns), block in _blocks(dataset, path, key):
        first = rows.start or 0
        if first == 0:
            labels[columns] = block[0]
            block, first = block[1:], 1
        wrong = np.argwhere((block != 0) & (block != 1))
        if len(wrong):
            row, column = wrong[0]
            raise errors.InputError(
                '{}: "{}" has the occupancy {} in shape {}, cell {}; only 0 and 1 are allowed. '
                'Threshold the grid when you make it.'.format(
                    path, key, block[row, column], column + (columns.start or 0), row + first - 1))
        voxels[columns, first - 1:first - 1 + len(block)] = block.T
    with np.errstate(invalid='ignore'):     # NaN is no id either
        right = (labels >= 1) & (labels == np.floor(labels)) & (labels <= MOST_CLASSES)
    wrong = np.flatnonzero(~right)
    if len(wrong):
        raise errors.InputError('{}: "{}" has the class id {:g} in shape {}; ids are whole numbers '
                                'from 1 to {}.'.format(path, key, labels[wrong[0]], wrong[0],
                                                       MOST_CLASSES))
    return voxels, labels.astype(np.int32)


def _read_images(stream, path, key, count):
    """Images [N, 100, 100, 3] as stored: uint8 stays uint8, everything else becomes float32."""
    dataset = _dataset(stream, path, key)
    if dataset.shape != (3, IMAGE, IMAGE, count):
        raise errors.InputError('{}: "{}" has the shape {} in HDF5, expected (3, {}, {}, {}): one '
                                'RGB image for each shape.'.format(
                                    path, key, dataset.shape, IMAGE, IMAGE, count))
    images = np.empty([count, IMAGE, IMAGE, 3],
                      np.uint8 if dataset.dtype == np.uint8 else np.float32)
    for index, block in _blocks(dataset, path, key):
        if not np.isfinite(block).all():
            raise errors.InputError('{}: "{}" holds NaN or infinity. Look at the images that it '
                                    'was made from.'.format(path, key))
        images[tuple(reversed(index))] = block.T
    return images


def read_split(path: str, split: str, images: bool = False) -> Split:
    """Reads one split of a set.

    Args:
      path: str, a .mat file.
      split: 'train' or 'test'.
      images: bool, a set with images.
    Returns:
      Split.
    Raises:
      errors.InputError: the file is damaged, or a dataset is missing, misshapen or holds something
        else than it should; the message names file and dataset.
    """
    with _open(path) as stream:
        key = split
        if images or (split not in stream and 'model_' + split in stream):
            key = 'model_' + split
        voxels, labels = _read_models(stream, path, key)
        pictures = _read_images(stream, path, 'image_' + split, len(labels)) if images else None
    return Split(voxels, labels, pictures)


def _id_order(key):
    """Sorts ids of digits by their value, others behind them as text."""
    return (0, int(key), key) if key.isdecimal() else (1, 0, key)


def _names_of_file(path):
    """Class names of a text file, a name a line, or of a JSON list or table {id: name or {"name"}}.

    Raises:
      errors.InputError: it cannot be read, or is neither.
    """
    remedy = 'Give a text file with a name a line, or a .json list or table of names.'
    if not path.endswith('.json'):
        return text.read_lines(path, '--class_names', remedy)
    table = text.read_json(path, '--class_names', remedy)
    try:
        rows = [table[key] for key in sorted(table, key=_id_order)] if isinstance(
            table, dict) else list(table)
        return [str(row['name'] if isinstance(row, dict) else row) for row in rows]
    except (KeyError, TypeError) as error:
        raise errors.InputError('--class_names {} holds no names ({}). {}'.format(
            path, errors.reason(error), remedy))


def class_names(path: str, num_classes: int, names_path: str = '') -> List[str]:
    """Returns the names of the classes of a set.

    They come from a file that is named, from the set's attribute `class_names`, from the well-known
    sets by their file name, from `classes.txt` beside the set, or are numbers.

    Args:
      path: str, the .mat file.
      num_classes: int, the largest class id.
      names_path: str, a file of names, a line each, or .json; or empty.
    Returns:
      list of str; the name of class id i is at i - 1.
    Raises:
      errors.InputError: a file cannot be read, or has what is no name.
    """
    if names_path:
        names = check_class_names(_names_of_file(names_path), names_path)
        return names + _numbered(names, num_classes)
    with _open(path) as stream:
        with hdf5.telling(path, 'class_names', _REMEDY):
            attribute = stream.attrs.get('class_names')
    beside = os.path.join(os.path.dirname(path), 'classes.txt')
    names, source = [], path
    if attribute is not None:
        rows = [row.decode('utf-8', 'replace') if isinstance(row, bytes) else str(row)
                for row in np.ravel(attribute).tolist()]
        names = '\n'.join(rows).split('\n')
    elif os.path.basename(path) in _KNOWN_NAMES:
        names = list(_KNOWN_NAMES[os.path.basename(path)])
    elif os.path.isfile(beside):
        names, source = _names_of_file(beside), beside
    return check_class_names(names, source) + _numbered(names, num_classes)


def check_class_names(names: List[str], path: str) -> List[str]:
    """Returns names of classes that fit a table and a picture.

    Args:
      names: list of str; path: str, of the file or folder that they are of, for the message.
    Raises:
      errors.InputError: a name is another.
    """
    for number, name in enumerate(names, 1):
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise errors.InputError('{}: the name of class {} is "{}", expected at most {} '
                                    'characters that can be printed. Give a name a line.'
                                    .format(path, number, errors.quote(name), _LONGEST_NAME))
    return names


def _numbered(names, num_classes):
    return ['class{}'.format(number + 1) for number in range(len(names), num_classes)]


def class_id(text: str, names: Sequence[str]) -> int:
    """Returns the id of a class by its name or number.

    Args:
      text: str.
      names: list of str, see `class_names`.
    Returns:
      int from 1.
    Raises:
      errors.UsageError: no such class; the message lists those that are.
    """
    if text in names:
        return names.index(text) + 1
    if text.isdigit() and 1 <= int(text) <= len(names):
        return int(text)
    raise errors.UsageError('--class {}: the data has the classes {} (ids 1 to {}).'.format(
        text, errors.listed(names), len(names)))


def select(split: Split, label: int) -> Split:
    """Returns the shapes of one class, in their order."""
    rows = np.flatnonzero(split.labels == label)
    return Split(split.voxels[rows], split.labels[rows],
                 None if split.images is None else split.images[rows])


def require_batch(count: int, batch_size: int, path: str, what: str) -> None:
    """Makes sure that there is a whole batch, since smaller ones are left out of training.

    Args:
      count: int, shapes; batch_size: int.
      path: str, the .mat file, and what: str, such as 'shapes for training'; for the message.

    Raises:
      errors.InputError: there are fewer shapes than a batch holds.
    """
    if count < batch_size:
        raise errors.InputError('{} has {} {}, fewer than a batch of {}. Give a smaller '
                                '--batch_size.'.format(path, count, what, batch_size))


class Order:
    """The order of the shapes in each epoch, as NumPy's legacy generator gives it.

    Shuffling numbers gives the order that shuffling the rows themselves would give, so the original
    seeded alike has the same batches. Epochs build on each other; a resumed run replays them.

    Args:
      count: int, shapes.
      seed: int.
      permute: bool, apply a permutation to the order so far (image reconstruction) instead of
        shuffling it (classification).
    """

    def __init__(self, count: int, seed: int, permute: bool = False):
        self._rng = np.random.RandomState(seed)
        self._order = np.arange(count)
        self._permute = permute
        self._epoch = -1

    def at(self, epoch: int) -> np.ndarray:
        """Returns the order of an epoch, int [count]; ask for epochs in rising order, from 0."""
        if epoch < self._epoch:
            raise ValueError('epoch {} was asked for after {}.'.format(epoch, self._epoch))
        while self._epoch < epoch:
            self._order = self.shuffled(self._order)
            self._epoch += 1
        return self._order

    def shuffled(self, order: np.ndarray) -> np.ndarray:
        """Returns the rows of `order`, int [any], in the order that the generator gives next."""
        if self._permute:
            return order[self._rng.permutation(len(order))]
        order = order.copy()
        self._rng.shuffle(order)
        return order

    def to_classify(self, epochs: int, num_test: int) -> Dict[str, np.ndarray]:
        """Returns the rows in the order in which the original classifies after training.

        Args:
          epochs: int, begun in the training; num_test: int, test shapes.
        Returns:
          dict {'train', 'test': int [N]}: one more shuffle of the training split, then one of the
          test split, by the same generator.
        """
        return {'train': self.at(epochs), 'test': self.shuffled(np.arange(num_test))}


def grids(voxels: np.ndarray) -> np.ndarray:
    """Reshapes flat occupancies [B, 27000] to [B, 30, 30, 30, 1], of the same dtype."""
    return voxels.reshape(-1, GRID, GRID, GRID, 1)


def augmented(voxels: np.ndarray, seed: int, epoch: int, rows: Sequence[int], shift: int = 0,
              mirror_axes: Sequence[int] = ()) -> np.ndarray:
    """Moves and mirrors shapes at random, depending on (seed, epoch, row) alone.

    Args:
      voxels: uint8 [B, 27000].
      seed, epoch: int.
      rows: int [B], rows of the split that the shapes are from.
      shift: int, cells of the largest move along each axis; what leaves the grid is lost.
      mirror_axes: axes out of 0, 1, 2 along each of which every second shape is mirrored.
    Returns:
      uint8 [B, 27000], a copy.
    """
    volumes = voxels.reshape(-1, GRID, GRID, GRID)
    result = np.zeros_like(volumes)
    for number, row in enumerate(rows):
        rng = np.random.RandomState([seed, epoch, row])
        moves = rng.randint(-shift, shift + 1, 3)
        volume = np.flip(volumes[number], [axis for axis in mirror_axes if rng.randint(2)])
        target = tuple(slice(max(0, move), GRID + min(0, move)) for move in moves)
        source = tuple(slice(max(0, -move), GRID - max(0, move)) for move in moves)
        result[number][target] = volume[source]
    return result.reshape(voxels.shape)


def mirrored(voxels: np.ndarray, axis: int) -> np.ndarray:
    """Mirrors shapes, uint8 [N, 27000], along axis 0, 1 or 2 of their grids."""
    return np.flip(voxels.reshape(-1, GRID, GRID, GRID), axis + 1).reshape(voxels.shape)


def write(path: str, splits: Mapping[str, Split], names: Sequence[str],
          notes: Optional[Mapping[str, str]] = None) -> None:
    """Writes a set in the layout that `read_split` reads, compressed; all of the file or nothing.

    Args:
      path: str, the .mat file.
      splits: dict {'train' or 'test': Split}; with images the datasets get the names of PASCAL3D.
      names: list of str, classes.
      notes: dict {attribute: str} about the whole file, such as axis order and source.
    """
    with hdf5.writing(path) as writer:
        stream = writer.file
        stream.attrs['class_names'] = '\n'.join(names)
        for key, value in (notes or {}).items():
            stream.attrs[key] = value
        for name, split in splits.items():
            prefix = '' if split.images is None else 'model_'
            kind = np.uint8 if split.labels.max() < 256 else np.int32
            columns = np.empty([ROW, len(split.labels)], kind)
            columns[0], columns[1:] = split.labels, split.voxels.T
            stream.create_dataset(prefix + name, data=columns, compression='gzip', chunks=True)
            if split.images is not None:
                stream.create_dataset('image_' + name, data=split.images.T, compression='gzip',
                                      chunks=True)

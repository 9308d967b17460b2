"""HDF5 sets of IM-NET: opening, checking, reading a shape at a time, the files of codes.

A set has `voxels` [M, 64, 64, 64, 1], `points_R` [M, P, 3], `values_R` [M, P, 1] for R = 16, 32, 64
and, for pictures, `pixels` [M, views, 137, 137], all uint8. M: shapes, P: points of a shape.
"""
import concurrent.futures
import os
import zlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from common import cli, errors, files
from common.readers import folders, hdf5, limits, text
from imnet import options as options_lib

MEMORY_LIMIT = 512 << 20    # bytes of a set that may stay in memory
_BLOCK = 64 << 20           # bytes that are read at once when a file is rewritten
_CHECKED = 8                # shapes whose points are compared with their voxels
_AGREE = 0.9                # share of the points that do, at least
_MAKE = ('Make it with python imnet/point_sampling/gather_vox.py and gather_all.py, or try '
         'python imnet/make_dataset.py.')


def coordinates(points: np.ndarray) -> np.ndarray:
    """Computes the centres float32 [..., 3] in [-0.5, 0.5] of cells of 256^3, numbers [..., 3]."""
    return (points.astype(np.float32) + 0.5) / 256 - 0.5


def find(folder: str, dataset: str, split: str) -> str:
    """Finds the file of a split of a set.

    Args:
      folder: the folder of the files or their parent with a folder `data`, or a file itself:
        that of the split it is named by, or of any where its name says none.
      dataset: the stem of the files, or '' for the only one there, or the original's.
      split: 'train' or 'test'.
    Raises:
      errors.InputError: it is missing; the message names what is there.
    """
    if os.path.isfile(folder):
        return _beside(folder, split)
    ending, others = '_{}.hdf5'.format(split), []
    for place in (folder, os.path.join(folder, 'data')):
        names = [name for name in folders.names(place) if name.endswith(ending)]
        name = (dataset or options_lib.DATASET) + ending
        if name not in names and not dataset and len(names) == 1:
            name = names[0]
        if name in names:
            return os.path.join(place, name)
        others += names
    if others and not dataset:
        raise errors.InputError('{} has several sets: {}. Give --dataset, the name before {}.'
                                .format(folder, errors.listed(others), ending))
    raise errors.InputError('there is no {} in {} (found: {}). Give --data_dir and --dataset. {}'
                            .format((dataset or '*') + ending, folder, errors.listed(
                                others, 'no file of this kind'), _MAKE))


def _beside(path, split):
    """A file serves the split that it is named by, or any; the other split lies beside it."""
    stem, own = split_name(path)
    if own in ('', split):
        return path
    other = os.path.join(os.path.dirname(path), '{}_{}.hdf5'.format(stem, split))
    if os.path.isfile(other):
        return other
    raise errors.InputError('{} is the {} split, and there is no {} beside it for the {} split. '
                            'Put it there, or give --data_dir and --dataset.'.format(
                                path, own, os.path.basename(other), split))


def split_name(path: str) -> Tuple[str, str]:
    """Splits the name of a set's file into its stem and 'train', 'test' or ''."""
    name = os.path.splitext(os.path.basename(path))[0]
    for split in ('train', 'test'):
        if name.endswith('_' + split):
            return name[:-len(split) - 1], split
    return name, ''


class Set:
    """A split of a set, read a shape at a time.

    Args:
      path: an HDF5 file.
      real_size: 16, 32 or 64, which set of points; None: no points are needed.
      num_points: points of a shape that the user expects, or None.
      keys: names of the other datasets that are needed.
      cache: folder for copies of files whose chunks hold many shapes, or None.
    Raises:
      errors.InputError: a dataset is missing, has another size, or the file is damaged.
    """

    def __init__(self, path: str, real_size: Optional[int] = None,
                 num_points: Optional[int] = None, keys: Sequence[str] = ('voxels',),
                 cache: Optional[str] = None):
        self.path = path
        self.real_size = real_size
        names = list(keys)
        if real_size:
            self._points, self._values = ('{}_{}'.format(kind, real_size)
                                          for kind in ('points', 'values'))
            names += [self._points, self._values]
        self._file = hdf5.open_file(path, 'a set of IM-NET (.hdf5)', _MAKE)
        self._data: Dict[str, Any] = {name: self._dataset(name) for name in names}
        self._check(num_points)
        self._arrange(cache)
        self._scale = 256 // self._cells()
        self._names = self._read_names()

    def _dataset(self, name):
        return _Pieces(hdf5.dataset(self._file, self.path, name, remedy=_MAKE), self.path)

    def _check(self, num_points):
        lengths = {name: len(data) for name, data in self._data.items()}
        self.count = min(lengths.values())
        if len(set(lengths.values())) > 1 or not self.count:
            raise errors.InputError('the datasets of {} differ in length or are empty: {}.'.format(
                self.path, ', '.join('{} {}'.format(*item) for item in sorted(lengths.items()))))
        expected = {'voxels': (64, 64, 64, 1), 'pixels': ('views', 137, 137)}
        if self.real_size:
            expected.update({self._points: ('points', 3), self._values: ('points', 1)})
        for name, data in self._data.items():
            shape = expected.get(name, data.shape[1:])
            if data.dtype != np.uint8 or len(shape) != data.ndim - 1 or any(
                    not size or isinstance(needed, int) and needed != size
                    for needed, size in zip(shape, data.shape[1:])):
                raise errors.InputError('{}: "{}" is {} {}; expected uint8 [shapes, {}]. {}'.format(
                    self.path, name, data.dtype, list(data.shape), ', '.join(map(str, shape)),
                    _MAKE))
        if not self.real_size:
            return
        points, values = self._data[self._points].shape, self._data[self._values].shape
        if points[1] != values[1]:
            raise errors.InputError('{}: points and values of different length: {} {} '
                                    'and {} {}.'.format(self.path, self._points, list(points),
                                                        self._values, list(values)))
        self.num_points = points[1]
        if num_points and num_points != points[1]:
            raise errors.InputError('--batch_size_input is {}, but {} of {} has {} points a shape. '
                                    'Give --batch_size_input={}.'.format(
                                        num_points, self._points, self.path, points[1], points[1]))

    def _arrange(self, cache):
        """Keeps small sets in memory; copies datasets whose chunks hold many shapes."""
        total = sum(limits.count(data.shape) for data in self._data.values())
        for name, data in self._data.items():
            if total <= MEMORY_LIMIT:
                self._data[name] = data[:]
            elif data.chunks and data.chunks[0] > 1 and cache:
                self._data[name] = _by_shape(data, os.path.join(
                    cache, '{}_{}.npy'.format(_digest(self.path), name)))

    def _cells(self):
        """Cells a side that points count in: 256, or `real_size` as in the author's older sets.

        Both have the same keys and sizes: where all points fit the fewer cells, the values tell.
        """
        size, rows = self.real_size, range(min(self.count, _CHECKED))
        if not size or any(self._row(self._points, row).max() >= size for row in rows):
            return 256
        if 'voxels' not in self._data:
            self._data['voxels'] = self._dataset('voxels')
        shares = {cells: np.mean([_agreement(self._row('voxels', row), self._row(self._points, row),
                                             self._row(self._values, row), cells) for row in rows])
                  for cells in (256, size)}
        cells = max(shares, key=shares.__getitem__)
        if shares[cells] < _AGREE:
            raise errors.InputError('{}: all {} lie below cell {}, and their values agree with the '
                                    'voxels neither in cells of 256 nor of {} a side. {}'.format(
                                        self.path, self._points, size, size, _MAKE))
        if cells != 256:
            cli.say('note: {} of {} count in {} cells a side, as in the author\'s older sets, not '
                    'in 256; they are scaled'.format(self._points, self.path, cells))
        return cells

    def __len__(self):
        return self.count

    def voxels(self, row: int) -> np.ndarray:
        """Reads the voxels of a shape: uint8 [64, 64, 64, 1]; an empty grid is an error."""
        grid = self._bits('voxels', row)
        if not grid.any():
            raise errors.InputError('{}: the voxels of shape {} ({}) are empty. Leave it out of '
                                    'the set.'.format(self.path, row, self.names()[row]))
        return grid

    def points(self, row: int) -> Tuple[np.ndarray, np.ndarray]:
        """Reads the points of a shape: (cells of 256^3 [P, 3], values uint8 [P, 1]).

        The cells are uint8; those of an older set are centres of larger ones, float32.
        """
        cells = self._row(self._points, row)
        if self._scale > 1:
            cells = (cells.astype(np.float32) + 0.5) * self._scale - 0.5
        return cells, self._bits(self._values, row)

    def sample(self, row: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads what a step needs: (voxels, positions float32 [P, 3], values uint8 [P, 1])."""
        cells, values = self.points(row)
        return self.voxels(row), coordinates(cells), values

    def pixels(self) -> Any:
        """Returns the pictures, uint8 [M, views, 137, 137], as an array is read: `[row, view]`."""
        return self._data['pixels']

    def _bits(self, name, row):
        bits = self._row(name, row)
        if bits.max() > 1:
            raise errors.InputError('{}: "{}" of shape {} has the value {}; expected 0 and 1. {}'
                                    .format(self.path, name, row, bits.max(), _MAKE))
        return bits

    def _row(self, name, row):
        return np.asarray(self._data[name][int(row)])

    def names(self) -> List[str]:
        """Returns the names of the shapes: the lines of the .txt file beside, or their numbers."""
        return self._names

    def _read_names(self):
        path = os.path.splitext(self.path)[0] + '.txt'
        numbers = [str(row) for row in range(self.count)]
        if not os.path.exists(path):
            return numbers
        lines = text.read_lines(path)
        if len(lines) != self.count:
            cli.say('note: {} has {} names for {} shapes; they are called by their numbers'.format(
                path, len(lines), self.count))
        return lines if len(lines) == self.count else numbers


def _agreement(grid, cells, values, size):
    """Share of the points, in cells of `size` a side, whose value is that of the voxels there."""
    factor, side = max(1, 64 // size), min(64, size)
    pooled = grid.reshape(side, factor, side, factor, side, factor).max(axis=(1, 3, 5))
    places = tuple(cells.astype(int).T // max(1, size // 64))
    return np.mean(pooled[places] == values[:, 0])


def opened(options: cli.Options, split: str, real_size: Optional[int] = None,
           num_points: Optional[int] = None, keys: Sequence[str] = ('voxels',)
           ) -> Tuple[cli.Options, Set]:
    """Opens a split of the set that --data_dir and --dataset name.

    Args:
      options: of a program; split: 'train' or 'test'; the others: see `Set`.
    Returns:
      (options with the set's stem as `dataset`, Set).
    """
    path = find(options.data_dir, options.dataset, split)
    return options.replace(dataset=split_name(path)[0]), Set(
        path, real_size, num_points, keys, os.path.join(options.output_path, 'cache'))


def _digest(path):
    """A name that tells a file from all others and from its own earlier content."""
    status = os.stat(path)
    text = '{}:{}:{}'.format(os.path.realpath(path), status.st_size, status.st_mtime_ns)
    return '{}_{:08x}'.format(os.path.splitext(os.path.basename(path))[0],
                              zlib.crc32(text.encode()))


def _by_shape(data, path):
    """Copies a dataset so that the bytes of a shape are in one piece, once; memory stays small.

    The author's files have chunks of thousands of shapes: a random shape would take the
    decompression of the whole file.
    """
    if not os.path.exists(path):
        cli.say('copying {} of {} to {}, since its chunks hold {} shapes each'.format(
            data.name, data.path, path, data.chunks[0]))
        with files.replacing(path) as temporary, open(temporary, 'wb') as copy:
            np.lib.format.write_array_header_1_0(copy, {
                'descr': '|u1', 'fortran_order': False, 'shape': data.shape})
            size = limits.count(data.shape[1:]) * data.chunks[0]
            rows = data.chunks[0] * max(1, _BLOCK // size)
            for start in range(0, len(data), rows):
                copy.write(data[start:start + rows].tobytes())
    return _Rows(path)


class _Pieces:
    """A dataset that is read piece by piece; a damaged piece is an `InputError`."""

    def __init__(self, data, path):
        self._data, self.path = data, path
        self.name, self.shape, self.ndim = data.name, data.shape, data.ndim
        self.dtype, self.chunks = data.dtype, data.chunks

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, place):
        return hdf5.values(self._data, place, self.path, _MAKE)


class _Rows:
    """Rows of a .npy file of uint8, read from the disk each time.

    The pages of a memory map would count as the process's own, and grow to the size of the file.
    """

    def __init__(self, path):
        self._file = open(path, 'rb', buffering=0)
        np.lib.format.read_magic(self._file)
        self.shape = np.lib.format.read_array_header_1_0(self._file)[0]
        self._start = self._file.tell()

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, place):
        place = place if isinstance(place, tuple) else (place,)
        shape = self.shape[len(place):]
        size = int(np.prod(shape, dtype=np.int64))
        number = int(np.ravel_multi_index(place, self.shape[:len(place)]))
        content = os.pread(self._file.fileno(), size, self._start + number * size)
        if len(content) < size:
            raise errors.InputError('the copy {} is cut short. Remove it.'.format(self._file.name))
        return np.frombuffer(content, np.uint8).reshape(shape)


class Ahead:
    """Calls a function for the next number in a thread, while the result of this one is used."""

    def __init__(self, function: Callable[[int], Any]):
        self._function = function
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._next: Dict[int, Any] = {}

    def get(self, number: int, following: Optional[int] = None) -> Any:
        """Returns the result for a number and begins that for `following` in the background."""
        future = self._next.pop(number, None)
        result = future.result() if future is not None else self._function(number)
        self._next.clear()
        if following is not None:
            self._next[following] = self._pool.submit(self._function, following)
        return result


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Draws the order of the shapes in an epoch: int [count], by seed and epoch alone."""
    return np.random.RandomState([seed, epoch]).permutation(count)


def write_codes(path: str, codes: Sequence[np.ndarray]) -> None:
    """Writes the codes of the training shapes: key `zs`, float32 [M, Z]."""
    with hdf5.writing(path) as writer:
        writer.file.create_dataset('zs', data=np.asarray(codes, np.float32))


def read_codes(path: str) -> np.ndarray:
    """Reads codes: float32 [M, Z].

    Raises:
      errors.InputError: the file is missing, damaged, or has no `zs`.
    """
    remedy = 'Make it with python imnet/IMGAN/main.py --ae on the trained autoencoder.'
    content = hdf5.read(path, None, 'codes of shapes', remedy)
    codes = content.get('zs')
    if codes is None or codes.ndim != 2 or codes.dtype.kind not in 'fiu' or not (
            np.isfinite(codes).all()):
        raise errors.InputError('{} has no codes, finite numbers "zs" [shapes, dimension] (found: '
                                '{}). {}'.format(path, errors.listed(sorted(content)), remedy))
    return codes.astype(np.float32)

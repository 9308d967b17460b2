"""Writing the HDF5 files of IM-NET: a shape at a time, in one exchange."""
import os
from typing import Any, Dict, Iterable, List, Optional, Sequence

import h5py
import numpy as np

from common import errors, files
from common.readers import hdf5, text
from imnet import options

VOXEL_KEYS = ('voxels', 'points_16', 'values_16', 'points_32', 'values_32', 'points_64',
              'values_64')


def create(stream: h5py.File, name: str, count: int, shape: Sequence[int],
           compression: Optional[str] = None) -> h5py.Dataset:
    """Creates a uint8 dataset [count] + shape whose chunks hold one shape each.

    Args:
      stream, name: of the dataset; count: of shapes; shape: sizes of the array of one.
      compression: 'gzip' or None.
    """
    shape = list(shape)
    chunk = [1, 1] + shape[1:] if name == 'pixels' else [1] + shape
    options = {'compression': 'gzip', 'compression_opts': 9} if compression else {}
    return stream.create_dataset(name, [count] + shape, np.uint8, chunks=tuple(chunk), **options)


def arrays_of(sets: Any) -> Dict[str, np.ndarray]:
    """Returns the arrays of sampler.Sets under their names in a file."""
    arrays = {'voxels': sets.voxels}
    for size in options.POINTS:
        arrays['points_{}'.format(size)] = sets.points[size]
        arrays['values_{}'.format(size)] = sets.values[size]
    return arrays


def write_rows(path: str, rows: Iterable[Dict[str, np.ndarray]], count: int,
               compression: Optional[str] = None) -> None:
    """Writes a file from arrays of one shape after the other.

    Args:
      path: of the file; rows: {name: uint8 array} of each shape; count: of rows.
      compression: 'gzip' or None.
    Raises:
      errors.InputError: the disk is full or the folder cannot be written to; nothing half-written
        is left.
    """
    datasets: Dict[str, h5py.Dataset] = {}
    with hdf5.writing(path, 'Free some space, then give the same command again; what was sampled '
                      'is kept.') as writer:
        for number, row in enumerate(_read(rows)):
            for name, array in row.items():
                if not number:
                    datasets[name] = create(writer.file, name, count, array.shape, compression)
                datasets[name][number] = array
            writer.check()


def _read(rows):
    """The rows; a failure to read one is not taken for a failure to write."""
    try:
        yield from rows
    except (OSError, RuntimeError) as error:
        raise errors.InputError('cannot read what is to be gathered: {}; a source is damaged or '
                                'cut short. Make it again.'.format(
                                    ' '.join(str(error).split())[:200]))


def write_names(path: str, names: Sequence[str]) -> None:
    """Writes the names of the shapes beside their file, one a line."""
    files.write_text(os.path.splitext(path)[0] + '.txt', ''.join(name + '\n' for name in names))


def read_names(path: str) -> List[str]:
    """Reads the names of the shapes, one a line; they may have blanks."""
    return text.read_lines(path)


def split(names: Sequence[str], share: float = 0.8) -> Dict[str, List[int]]:
    """Splits shapes: the first int(0.8 n) of the sorted names train, the rest test.

    Returns:
      {'train', 'test': row numbers, by sorted name}.
    """
    rows = sorted(range(len(names)), key=names.__getitem__)
    count = int(share * len(rows))
    return {'train': rows[:count], 'test': rows[count:]}

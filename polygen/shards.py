"""Sets of meshes with voxels and pictures, in files that a run streams.

A folder holds `set.json` and, for each split, `<split>_<number>.npz` and `.bin`. The .npz is a
packed set of meshes (see `mesh_sets.py`) with three more arrays: `cameras` float32 [n, views, 4]
(fields of views.Camera), `offsets` int64 [n, views + 2] into the .bin, and `left_out`, lines about
meshes that could not be used. The .bin has of each mesh its voxels (bits of [R, R, R], axes of the
quantised mesh) and its views (RGBA PNG). Only what a batch needs is read from it.
"""
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from common import errors, files
from common.readers import arrays as arrays_lib
from common.readers import folders, limits, pictures, text

INDEX = 'set.json'
_REMEDY = 'Make it again with polygen/make_dataset.py.'


class Row(NamedTuple):
    """A mesh of a set as it is written.

    Attributes:
      name: str; label: int, its class.
      vertices: float32 [V, 3], y up; faces: list of lists of int.
      voxels: bool [R, R, R], axes and frame of the quantised mesh.
      views: list of bytes, PNG files; cameras: float32 [views, 4].
    """

    name: str
    label: int
    vertices: np.ndarray
    faces: List[List[int]]
    voxels: np.ndarray
    views: List[bytes]
    cameras: np.ndarray


class Inputs(NamedTuple):
    """Where the voxels and views of a mesh lie.

    Attributes:
      path: str, a .bin file; offsets: int64 [views + 2]; side: int, cells of the voxels, R.
    """

    path: str
    offsets: np.ndarray
    side: int

    @property
    def num_views(self) -> int:
        """Returns how many views there are."""
        return len(self.offsets) - 2

    def voxels(self) -> np.ndarray:
        """Reads the voxels, bool [R, R, R].

        Raises:
          errors.InputError: the file is missing, cut short or damaged, as in `view`.
        """
        data = np.frombuffer(self._read(0), np.uint8)
        if len(data) != -(-self.side ** 3 // 8):
            raise errors.InputError('{}: voxels of a wrong length. {}'.format(self.path, _REMEDY))
        return np.unpackbits(data)[:self.side ** 3].reshape(3 * [self.side]).astype(bool)

    def view(self, number: int) -> np.ndarray:
        """Reads a view, uint8 [S, S, 4]."""
        return pictures.decoded(self._read(number + 1), '{}, at byte {}'.format(
            self.path, self.offsets[number + 1]), channels=4)

    def _read(self, item):
        start, end = int(self.offsets[item]), int(self.offsets[item + 1])
        with limits.regular(self.path, 'the inputs of meshes', _REMEDY) as (stream, size):
            stream.seek(start)
            # No more than there is, whatever the offsets say.
            data = stream.read(max(0, min(end, size) - start))
        if len(data) != end - start:
            raise errors.InputError('{} is cut short. {}'.format(self.path, _REMEDY))
        return data


def stem(folder: str, split: str, number: int) -> str:
    """Returns the path of a shard without its ending."""
    return os.path.join(folder, '{}_{:05d}'.format(split, number))


def write(path: str, rows: Sequence[Row], left_out: Sequence[str]) -> None:
    """Writes a shard; its .npz comes last and says that it is whole.

    Args:
      path: str, see `stem`.
      rows: list of Row with equally many views.
      left_out: list of str.
    """
    offsets, parts, place = [], [], 0
    for row in rows:
        items = [np.packbits(row.voxels.ravel()).tobytes()] + list(row.views)
        ends = place + np.cumsum([0] + [len(item) for item in items])
        offsets.append(ends)
        parts += items
        place = int(ends[-1])
    with files.replacing(path + '.bin') as temporary:
        with open(temporary, 'wb') as stream:
            stream.writelines(parts)
    faces = [face for row in rows for face in row.faces]
    arrays = {
        'vertices': np.concatenate([np.zeros([0, 3], np.float32)] + [row.vertices for row in rows]),
        'vertex_counts': np.array([len(row.vertices) for row in rows], np.int32),
        'face_vertices': np.array([index for face in faces for index in face], np.int32),
        'face_sizes': np.array([len(face) for face in faces], np.int32),
        'face_counts': np.array([len(row.faces) for row in rows], np.int32),
        'labels': np.array([row.label for row in rows], np.int32),
        'ids': np.array([row.name for row in rows], 'U'),
        'cameras': np.array([row.cameras for row in rows], np.float32),
        'offsets': np.array(offsets, np.int64), 'left_out': np.array(left_out, 'U')}
    with files.replacing(path + '.npz') as temporary:
        np.savez(temporary, **arrays)


def is_set(path: str) -> bool:
    """Returns whether a folder is such a set."""
    return os.path.isfile(os.path.join(path, INDEX))


def read_index(folder: str) -> Dict[str, Any]:
    """Reads `set.json`: `classes`, `voxels` (side), `views`, `image_size`, `splits`, `made_with`.

    Raises:
      errors.InputError: it is missing or not what make_dataset.py writes.
    """
    path = os.path.join(folder, INDEX)
    index = text.read_json(path, 'the index of a set of meshes', _REMEDY)
    if not isinstance(index, dict) or not isinstance(index.get('classes'), list) or not all(
            isinstance(index.get(name), kind) for name, kind in (
                ('voxels', int), ('views', int), ('image_size', int), ('splits', dict),
                ('made_with', dict))):
        raise errors.InputError('{} is no index of a set of meshes. {}'.format(path, _REMEDY))
    return index


def paths(folder: str, split: str) -> List[str]:
    """Lists the .npz files of a split; raises errors.InputError where some are missing."""
    count = read_index(folder)['splits'].get(split, 0)
    names = sorted(name for name in folders.names(folder)
                   if re.match(re.escape(split) + r'_\d{5}\.npz$', name))
    expected = [os.path.basename(stem(folder, split, number)) + '.npz'
                for number in range(len(names))]
    if not names or count != len(names) or names != expected:
        raise errors.InputError('{}: {} files of the split "{}", {} expected. {}'.format(
            folder, len(names), split, count, _REMEDY))
    return [os.path.join(folder, name) for name in names]


def inputs(path: str, side: int, num_views: int) -> List[Inputs]:
    """Returns where the voxels and views of the meshes of a shard lie.

    Args:
      path: str, the .npz; side: int, cells of the voxels; num_views: int, of each mesh.
    Raises:
      errors.InputError: the offsets do not fit, or are not those of as many meshes as there are.
    """
    read = arrays_lib.read_archive(path, ['ids', 'offsets'], remedy=_REMEDY)
    offsets, count = read.get('offsets'), np.size(read.get('ids', ()))
    binary = path[:-len('.npz')] + '.bin'
    if offsets is None or offsets.dtype.kind != 'i' or (offsets.size or count) and (
            offsets.shape != (count, num_views + 2) or offsets.min() < 0
            or (np.diff(offsets) < 0).any()):
        raise errors.InputError('{}: no offsets of the voxels and {} views of {} meshes. {}'.format(
            path, num_views, count, _REMEDY))
    return [Inputs(binary, row, side) for row in offsets] if count else []


def left_out(path: str) -> List[str]:
    """Returns the lines about meshes that a shard (.npz) could not take."""
    lines: Optional[np.ndarray] = arrays_lib.read_archive(
        path, ['left_out'], remedy=_REMEDY).get('left_out')
    return [] if lines is None else [str(line) for line in lines.ravel()]

"""What the vertex model may be conditioned on besides a class: a picture or voxels.

A picture is RGB from 0 to 1, the object in the centre as `make_dataset.py` renders it, before a
background; voxels are in the frame of the quantised mesh (axes front, across, up; the diagonal of
the mesh's box is as long as the grid).
"""
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from common import cli, errors
from common.geometry import views, voxel_grids

KINDS = ('none', 'class', 'image', 'voxels')
SCOPES = {'image': 'image_to_vertex_model', 'voxels': 'voxel_to_vertex_model'}
_SMALLEST = 8           # pixels a side of a picture, and of the longer side of its object
OBJECT_SHARE = 0.62     # of the side of a training view that the object's longer side fills, mean


class Condition(NamedTuple):
    """What a network is told.

    Attributes:
      kind: str, one of KINDS.
      side: int, pixels or cells a side; 0 for 'none' and 'class'.
      augment: bool, training pictures are moved, scaled and recoloured a little.
    """

    kind: str = 'class'
    side: int = 0
    augment: bool = False

    @property
    def scope(self) -> str:
        """Returns the scope of the variables of the vertex model."""
        return SCOPES.get(self.kind, 'vertex_model')

    @property
    def is_spatial(self) -> bool:
        """Returns whether the condition is a picture or voxels."""
        return self.kind in SCOPES

    def spec(self) -> Dict[str, Tuple[type, List[int]]]:
        """Returns {name: (NumPy type, shape of one example)} of the further inputs."""
        if self.kind == 'image':
            return {'image': (np.float32, [self.side, self.side, 3])}
        return {'voxels': (np.int32, 3 * [self.side])} if self.kind == 'voxels' else {}

    def arrays(self, example: Dict[str, Any], rng: np.random.RandomState,
               training: bool = False) -> Dict[str, np.ndarray]:
        """Makes the further inputs of an example.

        Args:
          example: of `mesh_sets.load_meshes`, with 'inputs' of a set that has them.
          rng: draws view, background and, when training with `augment`, small changes.
          training: bool.
        Returns:
          dict as `spec` says.
        Raises:
          errors.InputError: the set has no such inputs, or others.
        """
        if not self.is_spatial:
            return {}
        inputs = example.get('inputs')
        if inputs is None:
            raise errors.InputError(
                '{}: --condition={} needs a set with pictures and voxels; make it with '
                'polygen/make_dataset.py.'.format(example['name'], self.kind))
        if self.kind == 'voxels':
            grid = inputs.voxels()
            if 'maps' in example:       # the mesh is augmented
                grid = example['maps'].move_voxels(grid, example['mesh'][0][:, [2, 0, 1]])
            return {'voxels': check_voxels(grid, self.side, example['name'])}
        view = inputs.view(int(rng.randint(inputs.num_views)))
        background = views.draw_background(rng, self.side)
        if training and self.augment:
            return {'image': _recoloured(views.composed(
                _moved(view, self.side, rng), background), rng)}
        return {'image': as_image(views.composed(resized(view, self.side), background))}


BY_CLASS = Condition()


def of_options(options: cli.Options) -> Condition:
    """Returns the condition that settled options name."""
    side = {'image': options.image_size, 'voxels': options.voxel_size}.get(options.condition, 0)
    return Condition(options.condition, side, options.image_augmentation)


def as_image(picture: np.ndarray) -> np.ndarray:
    """Returns a picture uint8 [S, S, 3] as float32 from 0 to 1."""
    return picture.astype(np.float32) / np.float32(255)


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Returns a square picture uint8 [S, S, C] with another side; RGBA is weighted by alpha."""
    import cv2  # late: only pictures need it
    if picture.shape[0] == side:
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_LINEAR
    if picture.shape[2] == 3:
        return cv2.resize(picture, (side, side), interpolation=how)
    values = picture.astype(np.float32)
    values[:, :, :3] *= values[:, :, 3:] / 255
    values = cv2.resize(values, (side, side), interpolation=how)
    values[:, :, :3] *= 255 / np.maximum(values[:, :, 3:], 1e-3)
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def _moved(view, side, rng):
    """A view, moved by up to 4 % and scaled by up to 10 %."""
    import cv2
    scale = rng.uniform(0.9, 1.1)
    shift = rng.uniform(-0.04, 0.04, 2) * view.shape[0]
    middle = view.shape[0] / 2
    matrix = np.array([[scale, 0, middle * (1 - scale) + shift[0]],
                       [0, scale, middle * (1 - scale) + shift[1]]])
    return resized(cv2.warpAffine(view, matrix, view.shape[:2], flags=cv2.INTER_LINEAR), side)


def _recoloured(picture, rng):
    """float32 [S, S, 3] of a picture with other brightness, contrast and tint."""
    values = as_image(picture)
    gains = rng.uniform(0.8, 1.25) * rng.uniform(0.92, 1.08, 3)
    values = (values - 0.5) * rng.uniform(0.8, 1.2) + 0.5
    return np.clip(values * gains, 0, 1).astype(np.float32)


def check_voxels(grid: np.ndarray, side: int, name: str) -> np.ndarray:
    """Returns voxels as int32 of 0 and 1.

    Args:
      grid: array; side: int, cells that the network takes a side; name: str, for messages.
    Raises:
      errors.InputError: another size, values that are no occupancies, or nothing occupied.
    """
    grid = np.asarray(grid)
    if grid.shape != (side, side, side):
        raise errors.InputError('{}: a grid of {} cells; the model takes {} (--voxel_size).'.format(
            name, ' x '.join(map(str, grid.shape)), ' x '.join(3 * [str(side)])))
    if grid.dtype.kind not in 'biuf' or not np.isfinite(grid).all():
        raise errors.InputError('{}: the grid has values that are no numbers.'.format(name))
    if grid.min() < 0 or grid.max() > 1:
        raise errors.InputError('{}: values from {:g} to {:g}; occupancies are 0 to 1.'.format(
            name, grid.min(), grid.max()))
    occupied = grid > 0.5
    if not occupied.any():
        raise errors.InputError('{}: no cell of the grid is occupied.'.format(name))
    return occupied.astype(np.int32)


def mesh_voxels(vertices: np.ndarray, triangles: np.ndarray, side: int) -> np.ndarray:
    """Voxelises a mesh in the frame of PolyGen's quantised meshes.

    Args:
      vertices: [V, 3], z up; triangles: int [T, 3]; side: int, R.
    Returns:
      bool [R, R, R], axes front (-y), across (x), up; the diagonal of the box is R cells long.
    """
    vertices = np.stack([-vertices[:, 1], vertices[:, 0], vertices[:, 2]], axis=1)
    sides = vertices.max(axis=0) - vertices.min(axis=0)
    extent = side * sides.max() / max(np.linalg.norm(sides), 1e-30)
    return voxel_grids.solid(vertices, triangles, side, extent)


def prepared_picture(picture: np.ndarray, side: int, name: str, crop: bool = True
                     ) -> Tuple[np.ndarray, str]:
    """Brings any picture into the form of the training views.

    Args:
      picture: uint8 [H, W, 3 or 4]; a transparent background is made white.
      side: int, S; name: str, for messages.
      crop: bool, find the object and centre it as in the training views; else the largest square
        in the middle is taken.
    Returns:
      (float32 [S, S, 3] from 0 to 1, a sentence on what was done).
    Raises:
      errors.InputError: there is nothing in the picture, or next to nothing.
    """
    height, width = picture.shape[:2]
    if min(height, width) < _SMALLEST:
        raise errors.InputError('{}: {} x {} pixels are too few.'.format(name, width, height))
    if not crop:
        length = min(height, width)
        box = ((width - length) // 2, (height - length) // 2, length)
        note = 'the square of {} pixels in the middle is taken'.format(length)
    else:
        mask, how = object_mask(picture)
        if not mask.any():
            raise errors.InputError('{}: no object was found; give another picture or --nocrop.'
                                    .format(name))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
        if longer < _SMALLEST:
            raise errors.InputError(
                '{}: what stands out is {} x {} pixels, too few for an object; give a picture in '
                'which it is larger, or --nocrop.'.format(
                    name, columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1))
        length = int(round(longer / OBJECT_SHARE))
        box = (int(columns[0] + columns[-1] + 1 - length) // 2,
               int(rows[0] + rows[-1] + 1 - length) // 2, length)
        note = 'object found by {}: {} x {} pixels, a square of {} around it is taken'.format(
            how, columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1, length)
    square = _cut(picture, *box)
    if square.shape[2] == 4:
        square = views.composed(square, [255, 255, 255])
    return as_image(resized(square, side)), note


def object_mask(picture: np.ndarray) -> Tuple[np.ndarray, str]:
    """Finds the object of a picture: by alpha, else by the distance to the colour of the border.

    Args:
      picture: uint8 [H, W, 3 or 4].
    Returns:
      (bool [H, W], by what).
    """
    if picture.shape[2] == 4 and (picture[:, :, 3] < 255).any():
        return picture[:, :, 3] > 127, 'its transparency'
    rgb = picture[:, :, :3].astype(np.float32)
    # A row of the background has the colour of its two ends: walls, floors and gradients.
    left, right = rgb[:, :2].mean(axis=1), rgb[:, -2:].mean(axis=1)
    share = np.linspace(0, 1, rgb.shape[1], dtype=np.float32)[None, :, None]
    background = left[:, None] * (1 - share) + right[:, None] * share
    return np.abs(rgb - background).max(axis=2) > 24, 'the colours of the border'


def _cut(picture, left, top, length):
    """A square of a picture; beyond the border its colours go on."""
    rows = np.clip(np.arange(top, top + length), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(left, left + length), 0, picture.shape[1] - 1)
    return picture[np.ix_(rows, columns)]


def stacked(rows: List[Dict[str, np.ndarray]], batch_size: Optional[int] = None
            ) -> Dict[str, np.ndarray]:
    """Stacks the inputs of examples to [B, ...]; rows beyond them are zero."""
    result = {}
    for name in rows[0] if rows else ():
        values = np.stack([row[name] for row in rows])
        more = (batch_size or len(rows)) - len(rows)
        result[name] = np.pad(values, [(0, more)] + [(0, 0)] * (values.ndim - 1), 'constant')
    return result

"""What users bring for sampling: pictures, grids, meshes to be voxelised, and vertices."""
import os
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from common import cli, errors
from common.geometry import cutouts, meshes, voxel_grids
from common.readers import arrays as arrays_lib
from common.readers import pictures
from polygen import conditions, data_utils

_LARGEST = 1e18     # coordinates of vertices


class ConditioningInput(NamedTuple):
    """One input of a user.

    Attributes:
      name: str, its file without folder and ending.
      arrays: dict, as conditions.Condition.spec says.
      picture: what to draw beside the samples, as `plots.mesh_grid` takes it.
    """

    name: str
    arrays: Dict[str, np.ndarray]
    picture: Any


def read(options: cli.Options) -> List[ConditioningInput]:
    """Reads the pictures or grids that the options name; says what was done with each.

    Args:
      options: settled options of sample.py: `image`, `voxels`, `crop`, `up`, `max_pixels`.
    Raises:
      errors.UsageError: the model is conditioned on something else.
      errors.InputError: a file does not fit.
    """
    images: List[str] = sum(options.image, [])
    grids: List[str] = sum(options.voxels, [])
    for kind, paths in (('image', images), ('voxels', grids)):
        if paths and options.condition != kind:
            raise errors.UsageError(
                '--{0}: the model was trained with --condition={1}; give --output_path or '
                '--checkpoint of one that was trained with --condition={0}{2}.'.format(
                    kind, options.condition,
                    ', or --pretrained instead' if kind == 'image' else ''))
    if options.condition == 'image':
        return [_image(path, options) for path in images]
    return [_grid(path, options) for path in grids]


def _name(path):
    return os.path.splitext(os.path.basename(path))[0]


def _image(path, options):
    picture = pictures.read(path, channels=None, max_pixels=options.max_pixels)
    if options.remove_background:
        picture = _cut_out(picture, path)
    image, note = conditions.prepared_picture(picture, options.image_size, path, options.crop)
    cli.say('{}: {}'.format(path, note))
    return ConditioningInput(_name(path), {'image': image}, image)


def _cut_out(picture, path):
    """Makes what is not the object of a photo transparent, by GrabCut; [H, W, 4]."""
    if picture.shape[2] == 4 and (picture[..., 3] < 128).any():
        return picture
    mask = cutouts.foreground(picture[..., :3])
    if not mask.any():
        raise errors.InputError('{}: GrabCut finds no object; leave --remove_background out, or '
                                'give another picture.'.format(path))
    return np.concatenate([picture[..., :3], np.where(mask, np.uint8(255), np.uint8(0))[..., None]],
                          axis=2)


def _grid(path, options):
    """A grid in the model's own frame (.npy), a .binvox file, or a mesh, voxelised."""
    side, extension = options.voxel_size, os.path.splitext(path)[1].lower()
    if extension == '.npy':
        grid = conditions.check_voxels(arrays_lib.read(path), side, path)
        note = 'taken as it is (axes front, across, up)'
    elif extension == '.binvox':
        z_up = voxel_grids.read_binvox(path)
        if options.up == 'y':
            z_up = np.flip(z_up, 2).transpose(0, 2, 1)
        own = z_up[:, ::-1].transpose(1, 0, 2)
        occupied = np.argwhere(own)
        if not len(occupied):
            raise errors.InputError('{}: no cell of the grid is occupied.'.format(path))
        sides = occupied.max(axis=0) - occupied.min(axis=0) + 1
        grid = voxel_grids.resized(own, side, side * sides.max() / np.linalg.norm(sides))
        grid = conditions.check_voxels(grid, side, path)
        note = '{} cells resampled to {}^3'.format(' x '.join(map(str, own.shape)), side)
    else:
        vertices, triangles = meshes.read_triangles(path)
        grid = conditions.check_voxels(conditions.mesh_voxels(voxel_grids.turn_up(
            vertices, options.up), triangles, side), side, path)
        note = 'voxelised to {}^3'.format(side)
    cli.say('{}: {}, {} cells occupied'.format(path, note, int(grid.sum())))
    return ConditioningInput(_name(path), {'voxels': grid}, voxel_grids.surface(grid))


def read_vertices(path: str, options: cli.Options) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads vertices that the face model is to connect.

    Args:
      path: str, .obj, .ply (faces may be missing or are ignored), another mesh file, or .npy
        [V, 3]; y up unless `options.up` is 'z'.
      options: settled options.
    Returns:
      (vertices float32 [V, 3] as in the file, those that coincide after quantising once, in the
      order of the quantised ones; these, int32 [V, 3] (front, across, up), sorted; vertices as the
      first, z up as PolyGen has them).
    Raises:
      errors.InputError: too few or too many, or not finite.
    """
    if path.lower().endswith('.npy'):
        points = arrays_lib.read(path, 'biuf')
    else:
        points = meshes.read_points(path)
    # Squares of the largest distance must be numbers too.
    if points.ndim != 2 or points.shape[1] != 3 or not points.size or not np.isfinite(
            points).all() or np.abs(points.astype(np.float64)).max() >= _LARGEST:
        raise errors.InputError('{}: vertices must be finite numbers [V, 3] below {:g}, found {}.'
                                .format(path, _LARGEST, list(points.shape)))
    points = np.asarray(points, np.float32)
    if (points == points[0]).all():
        raise errors.InputError('{}: all {} vertices lie at one place.'.format(path, len(points)))
    y_up = points if options.up == 'y' else np.stack(
        [points[:, 0], points[:, 2], -points[:, 1]], axis=1)
    own = y_up[:, [2, 0, 1]]
    scaled = data_utils.normalize_vertices_scale(data_utils.center_vertices(own))
    quantized = data_utils.quantize_verts(scaled, options.quantization_bits,
                                          options.exact_quantization)
    unique, first = np.unique(quantized[:, ::-1], axis=0, return_index=True)    # by z, y, x
    most = options.sample_vertices
    if not 3 <= len(unique) <= most:
        raise errors.InputError('{}: {} vertices after quantising to {} bits; the model takes 3 to '
                                '{} (--sample_vertices, --max_vertices).'.format(
                                    path, len(unique), options.quantization_bits, most))
    cli.say('{}: {} vertices, {} after quantising to {} bits'.format(
        path, len(points), len(unique), options.quantization_bits))
    return points[first], unique[:, ::-1].astype(np.int32), own[first]

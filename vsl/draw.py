"""Pictures of voxel grids: surfaces by marching cubes without a display, or cubes by mayavi."""
import os
from typing import Optional, Sequence, Tuple

import numpy as np

from common import errors, files
from common.geometry import meshes, plots, voxel_grids
from vsl import data_utils

_MAYAVI = ('--renderer mayavi needs the package mayavi, which this Python does not have: pip '
           'install vtk==9.2.6 and then pip install --no-build-isolation mayavi==4.8.1; or leave '
           'the option out.')

# A network that has learned little gives noise, whose surface would take minutes to draw.
_MOST_TRIANGLES = 10000


def drawable(grid: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the surface of a grid [X, Y, Z], coarser where it would have too many triangles.

    Returns:
      (vertices [V, 3] in cells, triangles int [F, 3]).
    """
    for step in (1, 2, 3, 5, 8):
        vertices, triangles = voxel_grids.surface(grid, step=step)
        if len(triangles) <= _MOST_TRIANGLES:
            break
    return vertices, triangles


def shapes(path: str, grids: np.ndarray, captions: Optional[Sequence[str]] = None,
           columns: int = 5, renderer: str = 'surface', up: str = 'z') -> None:
    """Draws shapes side by side and writes their surfaces.

    Args:
      path: str without an ending; `<path>.png` and `<path>/<number>.{obj,stl,glb}` are written (the
        last y-up, as glTF says), with mayavi `<path>/<number>.png` too.
      grids: [N, 27000], occupancies in [0, 1]; axes x, y, z.
      captions: list of str, or None.
      columns: int, shapes in a row.
      renderer: 'surface' or 'mayavi'.
      up: 'y' or 'z', vertical axis of the grids.
    Raises:
      errors.InputError: mayavi is asked for and missing, or a file cannot be written.
    """
    volumes = np.reshape(grids, [-1] + 3 * [data_utils.GRID])
    plots.mesh_grid(path + '.png', [drawable(grid) for grid in volumes], captions, columns, up,
                    edges=False, size=1.8)
    for number, grid in enumerate(volumes):
        vertices, triangles = voxel_grids.surface(grid)
        if len(triangles):
            upright = vertices if up == 'y' else vertices[:, [0, 2, 1]] * [1, 1, -1]
            for ending, points in (('obj', vertices), ('stl', vertices), ('glb', upright)):
                meshes.write(os.path.join(path, '{:02d}.{}'.format(number, ending)), points,
                             triangles)
    if renderer == 'mayavi':
        for number, grid in enumerate(grids):
            draw_sample(grid, os.path.join(path, '{:02d}.png'.format(number)))


def beside(path: str, images: np.ndarray, true: np.ndarray, reconstructed: np.ndarray,
           captions: Sequence[str], up: str = 'z') -> None:
    """Draws images, their shapes and the reconstructed shapes side by side, three in a row.

    Args:
      path: str, the .png.
      images: uint8 [N, H, W, 3], or float in [0, 1].
      true, reconstructed: [N, 27000], occupancies in [0, 1].
      captions: list of str, one for each image.
      up: 'y' or 'z', vertical axis of the grids.
    Raises:
      errors.InputError: the file cannot be written.
    """
    fields, titles = [], []
    for image, *grids, caption in zip(images, true, reconstructed, captions):
        fields.append(image)
        fields += [drawable(np.reshape(grid, 3 * [data_utils.GRID])) for grid in grids]
        titles += [caption, 'shape', 'reconstruction']
    plots.mesh_grid(path, fields, titles, 9, up, edges=False, size=1.4)


def draw_sample(voxel: np.ndarray, savepath: str) -> None:
    """Draws a grid with mayavi as the original did: in each cell a cube as large as its occupancy.

    Args:
      voxel: [27000] or [30, 30, 30, ...], occupancies.
      savepath: str, the .png; its folder exists.
    Raises:
      errors.InputError: mayavi is missing.
    """
    try:
        from mayavi import mlab
    except ImportError as error:
        raise errors.InputError(_MAYAVI) from error
    grid = np.reshape(voxel, 3 * [data_utils.GRID])
    files.make_folder(os.path.dirname(os.path.abspath(savepath)))
    mlab.options.offscreen = True
    figure = mlab.figure(bgcolor=(1, 1, 1), size=(400, 400))
    x, y, z = np.where(grid >= 0)
    mlab.points3d(x, y, z, grid[x, y, z], mode='cube', colormap='bone', scale_factor=2)
    mlab.view(azimuth=120, elevation=290, distance=85)
    mlab.savefig(savepath)
    mlab.close(figure)

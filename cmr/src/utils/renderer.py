"""Pictures of bodies: shaded over a photo, from the side, as silhouettes and as parts."""
from typing import Optional, Sequence, Union

import numpy as np

from cmr.src import config as config_lib
from common import errors
from common.geometry import rasterizer

PINK = (0.9, 0.7, 0.7)
LIGHT_BLUE = (0.65098039, 0.74117647, 0.85882353)
# Positions of the lamps before they are rotated about y, and their strengths.
_LAMPS = np.array([[-200., -100, -100], [800, 10, 300], [-500, 500, 1000]])
_STRENGTHS = (1., 1., 0.7)
_NEAREST = 1e-2         # metres in front of the camera from which on a body is seen
_LAMP_TURN = np.radians(120)


def _about_y(angle):
    return np.array([[np.cos(angle), 0., np.sin(angle)], [0., 1., 0.],
                     [-np.sin(angle), 0., np.cos(angle)]])


def translation(camera: Sequence[float], size: int) -> np.ndarray:
    """Returns the position [3] of the body in front of a perspective camera, in metres.

    Args:
      camera: (scale, x, y) of the weak perspective; size: int, pixels a side.
    """
    return np.array([camera[1], camera[2],
                     2 * config_lib.FOCAL_LENGTH / (size * camera[0] + 1e-9)])


def project(vertices: np.ndarray, camera: Sequence[float], size: int) -> np.ndarray:
    """Returns x, y in pixels and depth in metres [V, 3] of vertices [V, 3]; see `translation`."""
    placed = vertices + translation(camera, size)
    pixels = config_lib.FOCAL_LENGTH * placed[:, :2] / placed[:, 2:] + size / 2
    return np.concatenate([pixels, placed[:, 2:]], axis=1)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns unit normals [V, 3] of vertices [V, 3]: means over faces [F, 3] by area."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices, dtype=np.float64)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], across[:, axis], len(vertices))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def render(vertices: np.ndarray, faces: np.ndarray, camera: Sequence[float], size: int,
           color: Union[Sequence[float], np.ndarray] = PINK,
           background: Optional[np.ndarray] = None) -> np.ndarray:
    """Draws a body with three lamps.

    Args:
      vertices: [V, 3]; faces: int [F, 3]; camera: (scale, x, y); size: int, pixels a side.
      color: RGB 0..1, or an array [V, 3].
      background: uint8 [size, size, 3], or None for white.
    Returns:
      uint8 [size, size, 3].
    """
    faces = np.asarray(faces, np.int64)
    placed = np.asarray(vertices, np.float64) + translation(camera, size)
    normals, light = vertex_normals(placed, faces), np.zeros(len(placed))
    for lamp, strength in zip(_LAMPS.dot(_about_y(_LAMP_TURN).T), _STRENGTHS):
        toward = lamp - placed
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        light += strength * np.maximum((normals * toward).sum(axis=1), 0)
    shades = np.clip(light[:, None] * np.asarray(color, np.float64), 0, 1)
    index, weights = _rasterized(vertices, faces, camera, size)
    picture = np.full([size, size, 3], 255, np.uint8) if background is None else background.copy()
    covered = index >= 0
    mixed = np.einsum('pk,pkc->pc', weights[covered], shades[faces[index[covered]]])
    picture[covered] = np.round(255 * mixed).astype(np.uint8)
    return picture


def from_side(vertices: np.ndarray) -> np.ndarray:
    """Returns vertices [V, 3] rotated by 90 degrees about the vertical axis through their mean."""
    centre = vertices.mean(axis=0)
    return (vertices - centre).dot(_about_y(np.radians(90)).T) + centre


def silhouette(vertices: np.ndarray, faces: np.ndarray, camera: Sequence[float],
               size: int) -> np.ndarray:
    """Returns the index of the face at each pixel, int32 [size, size]; -1 where no body is."""
    return _rasterized(vertices, faces, camera, size)[0]


def _rasterized(vertices, faces, camera, size):
    """(face at each pixel or -1, barycentric weights); what is behind the camera is not seen."""
    with np.errstate(divide='ignore', invalid='ignore'):
        points = project(vertices, camera, size)
    visible = np.flatnonzero((points[faces, 2] > _NEAREST).all(axis=1))
    if not len(visible):
        return np.full([size, size], -1, np.int32), np.zeros([size, size, 3], np.float32)
    index, weights, _ = rasterizer.rasterize(points, faces[visible], size, size)
    return np.where(index >= 0, visible[index].astype(np.int32), np.int32(-1)), weights


def face_parts(texture: np.ndarray, cube: np.ndarray, faces: int, folder: str) -> np.ndarray:
    """Returns the body part of each face, int [F], by its colour.

    Args:
      texture: vertex_texture.npy, float [1, F, 2, 2, 2, 3]; cube: cube_parts.npy [r, g, b], looked
        up by hundredths of red, green and blue.
      faces: int, F of the body; folder: str, where the arrays come from, for messages.
    Raises:
      errors.InputError: they have other shapes.
    """
    shape = (1, faces, 2, 2, 2, 3)
    if texture.shape != shape or cube.ndim != 3:
        raise errors.InputError('{}: vertex_texture.npy is {}, expected {} for this body, and '
                                'cube_parts.npy has {} axes, expected 3.'.format(
                                    folder, texture.shape, shape, cube.ndim))
    color = np.asarray(texture, np.float64)[0, :, 0, 0, 0]
    place = np.clip(np.floor(100 * color).astype(np.int64), 0, np.array(cube.shape) - 1)
    return cube[tuple(place.T)].astype(np.int64)

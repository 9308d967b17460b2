"""Pictures of meshes and of point values; no display, no graphics library."""
from typing import List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from common import files
from common.geometry import plots

_SIZE = 224         # pixels of a side
_COLOR = np.array([0.45, 0.62, 0.80])


def render(vertices: np.ndarray, triangles: np.ndarray, azimuth: float = -35.,
           elevation: float = 25., size: int = _SIZE) -> np.ndarray:
    """Renders a shaded picture of a mesh: in each pixel the nearest of dense points on it.

    Args:
      vertices: float [V, 3] in [-0.5, 0.5], y up; triangles: int [T, 3].
      azimuth, elevation: degrees, of the camera.
      size: pixels of a side.
    Returns:
      uint8 [size, size, 3]; white where there is nothing.
    """
    image = np.full([size, size, 3], 255, np.uint8)
    if not len(triangles):
        return image
    a, e = np.radians(azimuth), np.radians(elevation)
    rotation = np.array([[np.cos(a), 0, np.sin(a)],
                         [np.sin(e) * np.sin(a), np.cos(e), -np.sin(e) * np.cos(a)],
                         [-np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)]])
    corners = (np.asarray(vertices) @ rotation.T)[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    light = np.abs(normals @ np.array([0.3, 0.5, 0.81]))
    points, shades = _samples(corners, 0.35 + 0.65 * light, size)
    pixels = np.floor((points[:, :2] * [1, -1] / 1.25 + 0.5) * size).astype(int)
    visible = ((pixels >= 0) & (pixels < size)).all(axis=1)
    order = np.argsort(points[visible, 2], kind='stable')   # the nearest come last and stay
    x, y = pixels[visible][order].T
    image[y, x] = (255 * shades[visible][order, None] * _COLOR).astype(np.uint8)
    return image


def _samples(corners, shades, size):
    """Places points on every triangle, less than a pixel apart, each with its triangle's shade."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    steps = np.minimum(64, np.maximum(1, np.ceil(edges * size / 1.25 / 0.7))).astype(int)
    points, point_shades = [], []
    for count in np.unique(steps):
        first, second = np.meshgrid(*2 * [np.arange(count + 1)], indexing='ij')
        inside = first + second <= count
        weights = np.stack([first[inside], second[inside],
                            count - first[inside] - second[inside]], axis=1) / count
        chosen = steps == count
        points.append(np.einsum('sk,tkd->tsd', weights, corners[chosen]).reshape(-1, 3))
        point_shades.append(np.repeat(shades[chosen], len(weights)))
    return np.concatenate(points), np.concatenate(point_shades)


def gallery(path: str, meshes: Sequence[Tuple[np.ndarray, np.ndarray]],
            captions: Optional[Sequence[str]] = None, columns: int = 4) -> None:
    """Writes a picture of several meshes.

    Args:
      path: .png; meshes: of (vertices [V, 3], triangles [T, 3]); captions: one a mesh.
    """
    plots.image_grid(path, [render(*mesh) for mesh in meshes], captions, columns)


def write_image(path: str, image: np.ndarray) -> None:
    """Writes a picture uint8 [H, W] or [H, W, 3] to a .png file, pixel by pixel."""
    with files.replacing(path) as temporary:
        Image.fromarray(image).save(temporary)


def write_projections(stem: str, cells: np.ndarray, values: np.ndarray, truth: np.ndarray) -> None:
    """Writes the original's six pictures of an epoch.

    Args:
      stem: path of the pictures without `_1t.png`.
      cells: uint8 [P, 3]; values, truth: float [P, 1], of the network and of the set.
    """
    for kind, column in (('t', values), ('i', truth)):
        for number, image in enumerate(projections(cells, column), 1):
            write_image('{}_{}{}.png'.format(stem, number, kind), image)


def projections(cells: np.ndarray, values: np.ndarray, size: int = 256) -> List[np.ndarray]:
    """Projects the largest values along the three axes, as the original draws after an epoch.

    Args:
      cells: uint8 [P, 3]; values: float [P] or [P, 1].
    Returns:
      list of three uint8 [256, 256].
    """
    grid = np.zeros(3 * [size], np.float32)
    grid[tuple(cells.astype(int).T)] = np.ravel(values)
    return [np.clip(grid.max(axis=axis) * 256, 0, 255).astype(np.uint8) for axis in range(3)]

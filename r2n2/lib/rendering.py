"""Views of meshes as ShapeNetRendering has them: camera, two lamps, transparent background."""
from typing import Any

import numpy as np

from common.geometry import rasterizer

SIZE = 137              # pixels a side
FAR = 1.75              # distance of the camera at ratio 1; the object's box has the diagonal 1
FIELD_OF_VIEW = 25      # as the metadata say; the original ignores it, like Blender's 35 mm here
_FOCAL = 35. / 32.      # focal length in widths of the sensor
_LAMPS = np.array([[0., -1, 1], [0, 1, 1]]) / 2 ** 0.5
_ENERGY = 0.7


def draw_cameras(count: int, rng: np.random.RandomState) -> np.ndarray:
    """Draws cameras as the original does.

    Returns:
      float [count, 5]: azimuth 0..360, elevation 25..30, rotation 0 (degrees), distance ratio
      0.65..0.95, field of view.
    """
    u = rng.uniform(size=[count, 3])
    return np.stack([360 * u[:, 0], 25 + 5 * u[:, 1], np.zeros(count), 0.65 + 0.3 * u[:, 2],
                     np.full(count, FIELD_OF_VIEW)], axis=1)


def scaled(vertices: np.ndarray) -> np.ndarray:
    """Moves the centre of a mesh's bounding box to the origin and makes its diagonal 1.

    Args:
      vertices: [V, 3].
    Returns:
      [V, 3].
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return (vertices - (low + high) / 2) / np.linalg.norm(high - low)


def render(vertices: np.ndarray, triangles: np.ndarray, camera: np.ndarray,
           color: Any = (0.75, 0.75, 0.75)) -> np.ndarray:
    """Renders a view, flat-shaded, without smoothing of edges.

    Args:
      vertices: [V, 3], z up, see `scaled`.
      triangles: int [T, 3].
      camera: row of `draw_cameras`.
      color: RGB from 0 to 1, or an array [T, 3].
    Returns:
      uint8 [137, 137, 4]; alpha is 0 or 255.
    """
    azimuth, elevation = np.radians(camera[0]), np.radians(camera[1])
    toward = np.array([np.cos(elevation) * np.cos(azimuth), -np.cos(elevation) * np.sin(azimuth),
                       np.sin(elevation)])
    right = np.cross([0., 0, 1], toward)
    right /= np.linalg.norm(right)
    up = np.cross(toward, right)
    depth = camera[3] * FAR - vertices @ toward
    zoom = _FOCAL * SIZE / depth
    points = np.stack([SIZE / 2 + zoom * (vertices @ right), SIZE / 2 - zoom * (vertices @ up),
                       depth], axis=1)
    visible = triangles[(depth[triangles] > 1e-3).all(axis=1)]
    index, _, _ = rasterizer.rasterize(points, visible, SIZE, SIZE)
    corners = vertices[visible]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    away = np.einsum('td,td->t', normals, corners[:, 0] - camera[3] * FAR * toward) > 0
    normals[away] *= -1     # both sides of a face are lit as the one that is seen
    light = np.clip(_ENERGY * (0.5 + 0.5 * normals @ _LAMPS.T).sum(axis=1), 0, 1)
    shades = np.clip(np.asarray(color) * light[:, None] * 255, 0, 255).astype(np.uint8)
    image = np.zeros([SIZE, SIZE, 4], np.uint8)
    seen = index >= 0
    image[seen, :3], image[seen, 3] = shades[index[seen]], 255
    return image

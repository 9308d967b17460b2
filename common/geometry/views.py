"""Rendered views of polygon meshes: camera, materials, light and background drawn from a seed.

A view is RGBA: the colour of the object, and how much of each pixel it covers; `composed` puts it
on a background. The object's box has its centre at the origin and the diagonal 1; z is up, the
front is at -y. Flat shading; edges are smoothed by `_FINE` samples a side of each pixel.
"""
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from common.geometry import meshes, rasterizer

_FINE = 2
_NEAR = 1e-2


class Camera(NamedTuple):
    """A pinhole camera that looks at the origin.

    Attributes:
      azimuth: degrees, 0 in front (at -y), 90 at +x; elevation: degrees above the floor.
      distance: from the origin, in diagonals of the object's box.
      focal: focal length in widths of the picture.
    """

    azimuth: float
    elevation: float
    distance: float
    focal: float


class Look(NamedTuple):
    """Materials and light.

    Attributes:
      colors: float [P, 3], RGB in [0, 1] of each part.
      light: float [3], direction towards the lamp, length 1.
      ambient, diffuse, specular: shares of the light; gloss: exponent of the highlight.
    """

    colors: np.ndarray
    light: np.ndarray
    ambient: float
    diffuse: float
    specular: float
    gloss: float


class Model(NamedTuple):
    """A mesh made ready for many views.

    Attributes:
      vertices: float [V, 3], scaled; triangles: int [T, 3]; normals: float [T, 3], length 1.
      parts: int [T], the part of each triangle.
      closed: bool, its far sides are hidden; else both sides of a triangle are drawn.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    parts: np.ndarray
    closed: bool = True


def model(vertices: np.ndarray, faces: Sequence[Sequence[int]],
          part_of_face: Optional[Sequence[int]] = None, closed: bool = True) -> Model:
    """Returns a mesh triangulated, centred and scaled to the diagonal 1.

    Args:
      vertices: float [V, 3], z up.
      faces: list of F sequences of vertex numbers.
      part_of_face: int [F], None for one part.
      closed: bool, closed surfaces, counter-clockwise seen from outside.
    """
    vertices = np.asarray(vertices, np.float64)
    triangles = meshes.triangulate(faces, vertices)
    owners = np.repeat(np.arange(len(faces)), [max(len(face) - 2, 0) for face in faces])
    parts = np.zeros(len(faces), int) if part_of_face is None else np.asarray(part_of_face)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices = (vertices - (low + high) / 2) / np.linalg.norm(high - low)
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    return Model(vertices, triangles, normals, parts[owners], closed)


def draw_camera(rng: np.random.RandomState) -> Camera:
    """Draws a camera from all around, from a little to far above the floor."""
    azimuth, elevation, distance, share = rng.uniform([0, 5, 1.4, 0.68], [360, 45, 2.2, 0.86])
    return Camera(azimuth, elevation, distance, share * distance)   # the sphere of the box fits


def draw_look(num_parts: int, rng: np.random.RandomState) -> Look:
    """Draws colours (of two materials or one), their gloss, and a lamp above."""
    materials = _material(rng, 3)
    used = rng.choice([1, 2, 2, 3])
    colors = materials[rng.randint(used, size=num_parts)]
    colors = np.clip(colors + rng.uniform(-0.03, 0.03, [num_parts, 1]), 0.02, 1)
    angle, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.95)
    flat = np.sqrt(1 - height ** 2)
    ambient = rng.uniform(0.35, 0.6)
    return Look(colors, np.array([flat * np.cos(angle), flat * np.sin(angle), height]), ambient,
                rng.uniform(1.05, 1.3) - ambient, rng.choice([0., 0.1, 0.4]), rng.uniform(4, 30))


def _material(rng, count):
    """Colours [count, 3]: wood, grey or any."""
    result = np.empty([count, 3])
    for index in range(count):
        kind = rng.randint(3)
        if kind == 0:
            result[index] = rng.uniform(0.55, 1.25) * np.array([0.75, 0.53, 0.34])
        elif kind == 1:
            result[index] = rng.uniform(0.15, 0.95)
        else:
            result[index] = rng.uniform(0.15, 0.95, 3)
    return np.clip(result, 0, 1)


def render(item: Model, camera: Camera, look: Look, size: int) -> np.ndarray:
    """Renders a view.

    Args:
      item: Model; camera: Camera; look: Look, colours of its parts.
      size: int, pixels a side.
    Returns:
      uint8 [size, size, 4], RGBA; alpha tells how much of a pixel the object covers, colours where
      it covers nothing are 0.
    """
    azimuth, elevation = np.radians(camera.azimuth), np.radians(camera.elevation)
    toward = np.array([np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth),
                       np.sin(elevation)])
    right = np.array([np.cos(azimuth), np.sin(azimuth), 0.])
    up = np.cross(toward, right)
    eye = camera.distance * toward
    facing = ((eye - item.vertices[item.triangles[:, 0]]) * item.normals).sum(axis=1)
    seen = np.flatnonzero(facing > 0) if item.closed else np.arange(len(facing))
    normals = item.normals[seen] * np.where(facing[seen] < 0, -1, 1)[:, None]
    fine = size * _FINE
    depth = camera.distance - item.vertices @ toward
    zoom = camera.focal * fine / np.maximum(depth, _NEAR)
    # 1 / depth, not depth, is linear in the picture.
    points = np.stack([fine / 2 + zoom * (item.vertices @ right),
                       fine / 2 - zoom * (item.vertices @ up), -1 / np.maximum(depth, _NEAR)],
                      axis=1)
    index = rasterizer.rasterize(points, item.triangles[seen], fine, fine)[0]
    shades = np.append(_shades(normals, item.parts[seen], toward, look), [[0., 0, 0, 0]], axis=0)
    image = shades.astype(np.float32)[index].reshape(size, _FINE, size, _FINE, 4).mean(axis=(1, 3))
    image[:, :, :3] /= np.maximum(image[:, :, 3:], 1e-6)
    return np.rint(image * 255).astype(np.uint8)


def _shades(normals, parts, toward, look):
    """RGBA [S, 4] of triangles by their normals towards the eye; alpha 1."""
    diffuse = np.maximum(normals @ look.light, 0)
    sky = 0.75 + 0.25 * normals[:, 2]
    half = look.light + toward
    half /= np.maximum(np.linalg.norm(half), 1e-9)
    shine = look.specular * np.maximum(normals @ half, 0) ** look.gloss
    colors = look.colors[parts] * (
        look.ambient * sky + look.diffuse * diffuse)[:, None] + shine[:, None]
    return np.append(np.clip(colors, 0, 1), np.ones([len(parts), 1]), axis=1)


def draw_background(rng: np.random.RandomState, size: int) -> np.ndarray:
    """Draws a background: one colour, a gradient, or a wall above a floor; uint8
    [size, size, 3]."""
    rows = np.linspace(0, 1, size)[:, None]
    first, second = np.clip(rng.uniform(0.1, 1, [2, 1]) + rng.choice([0., 0.1, 0.4]) * rng.uniform(
        -1, 1, [2, 3]), 0, 1)
    kind = rng.randint(4)
    if kind == 0:
        second = first
    if kind == 1:
        first = second = np.full(3, rng.choice([1., 0.94]))
    share = rows if kind == 2 else (rows > rng.uniform(0.35, 0.75)).astype(float)
    colors = first * (1 - share) + second * share
    return np.broadcast_to(np.rint(colors * 255).astype(np.uint8)[:, None], [size, size, 3]).copy()


def composed(view: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Puts a view on a background.

    Args:
      view: uint8 [H, W, 4]; background: uint8 [H, W, 3] or a colour [3].
    Returns:
      uint8 [H, W, 3].
    """
    alpha = view[:, :, 3:].astype(np.float32) / 255
    return np.rint(view[:, :, :3] * alpha + np.asarray(background) * (1 - alpha)).astype(np.uint8)


def render_views(item: Model, count: int, size: int, rng: np.random.RandomState
                 ) -> List[np.ndarray]:
    """Renders views with cameras and looks of their own.

    Args:
      item: Model; count: int, views; size: int, pixels a side.
      rng: a fresh one of the shape's seed, so that the first views do not depend on `count`.
    Returns:
      [images uint8 [count, size, size, 4], cameras float32 [count, 4] (the fields of Camera)].
    """
    images, cameras = [], []
    for _ in range(count):
        camera = draw_camera(rng)
        look = draw_look(int(item.parts.max()) + 1, rng)
        images.append(render(item, camera, look, size))
        cameras.append(camera)
    return [np.array(images, np.uint8).reshape(count, size, size, 4),
            np.array(cameras, np.float32).reshape(count, 4)]

"""Light Field Distance of two meshes by their silhouettes.

Chen, Tian, Shen, Ouhyoung: "On Visual Similarity Based 3D Model Retrieval", Eurographics 2003,
sections 2 and 3. Silhouettes are seen from the corners of ten dodecahedra; opposite corners show
mirrored ones, so a dodecahedron gives ten. A silhouette has 35 magnitudes of Zernike moments and 10
of the Fourier series of its outline. The distance of two light fields is the least sum of absolute
differences over the 60 rotations of a dodecahedron; that of two meshes the least over both sets.

The author's figures come from a closed C program of later date, which adds circularity and
eccentricity and quantises by tables of its own; these distances are no numbers to set beside his.
"""
import math

import numpy as np
from scipy import ndimage
from skimage import measure

from imnet import measures

NUM_FIELDS = 10
_SIDE = 96              # pixels of a silhouette
_POINTS = 40000         # on the surface; several a pixel
_ORDER = 10             # of the Zernike moments
_HARMONICS = 10
_SCALE = 255.           # features in [0, 1] become bytes, as in the paper


def _corners():
    """The 20 corners of a dodecahedron, unit length."""
    golden = (1 + 5 ** 0.5) / 2
    corners = [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    for a in (-1 / golden, 1 / golden):
        for b in (-golden, golden):
            corners += [[0, a, b], [a, b, 0], [b, 0, a]]
    return np.array(corners) / 3 ** 0.5


def _rotations(corners):
    """The 60 rotations that take a dodecahedron to itself: [60, 3, 3]."""
    products = corners @ corners.T
    nearest = np.sort(products, axis=1)[:, -2].max()

    def frame(first, second):
        across = np.cross(first, second)
        across /= np.linalg.norm(across)
        return np.stack([first, across, np.cross(first, across)], axis=1)

    pairs = np.argwhere(np.abs(products - nearest) < 1e-6)
    start = frame(*corners[pairs[0]])
    return np.stack([frame(*corners[pair]) @ start.T for pair in pairs])


def _view_tables():
    """Directions [10, 3], and which view a rotation brings to the place of each: int [60, 10]."""
    corners = _corners()
    directions = np.array([corner for corner in corners if tuple(np.sign(np.round(corner, 9)))
                           > tuple(-np.sign(np.round(corner, 9)))])
    rotated = np.einsum('rij,vj->rvi', _rotations(corners), directions)
    return directions, np.abs(np.einsum('rvi,wi->rvw', rotated, directions)).argmax(axis=2)


_DIRECTIONS, _ORDERS = _view_tables()


def _zernike_basis():
    """Complex basis functions of the orders 1 to 10 on the disc: [35, pixels]."""
    axis = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    x, y = np.meshgrid(axis, axis)
    radius, angle = np.hypot(x, y).ravel(), np.arctan2(y, x).ravel()
    rows = []
    for n in range(1, _ORDER + 1):
        for m in range(n % 2, n + 1, 2):
            polynomial = sum(
                (-1) ** s * math.factorial(n - s) / (
                    math.factorial(s) * math.factorial((n + m) // 2 - s)
                    * math.factorial((n - m) // 2 - s)) * radius ** (n - 2 * s)
                for s in range((n - m) // 2 + 1))
            rows.append(polynomial * np.exp(-1j * m * angle) * (radius <= 1))
    return np.array(rows)


_BASIS = _zernike_basis()


def _silhouettes(points, rotation):
    """Silhouettes of points in the unit ball from ten sides: bool [10, side, side]."""
    result = np.zeros([len(_DIRECTIONS), _SIDE, _SIDE], bool)
    for number, direction in enumerate(_DIRECTIONS @ rotation.T):
        across = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
        across /= np.linalg.norm(across)
        flat = points @ np.stack([across, np.cross(direction, across)], axis=1)
        places = np.clip(((flat + 1) / 2 * _SIDE).astype(int), 0, _SIDE - 1)
        result[number][places[:, 1], places[:, 0]] = True
        result[number] = ndimage.binary_closing(np.pad(result[number], 2, mode='constant'),
                                                iterations=1)[2:-2, 2:-2]
    return result


def _features(silhouette):
    """45 numbers in [0, 1] that do not change when a silhouette is rotated or mirrored."""
    area = max(1, silhouette.sum())
    zernike = np.abs(_BASIS[:, silhouette.ravel()].sum(axis=1)) / area
    outlines = measure.find_contours(np.pad(silhouette, 1, mode='constant').astype(float), 0.5)
    outline = max(outlines, key=len)
    lengths = np.append(0, np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1)))
    even = np.linspace(0, lengths[-1], 128, endpoint=False)
    centroid = np.argwhere(silhouette).mean(axis=0) + 1
    distance = np.hypot(*(np.interp(even, lengths, outline[:, axis]) - centroid[axis]
                          for axis in range(2)))
    series = np.abs(np.fft.rfft(distance))
    return np.minimum(1, np.concatenate([zernike, series[1:_HARMONICS + 1] / series[0]]))


def describe(vertices: np.ndarray, triangles: np.ndarray, seed: int = 0) -> np.ndarray:
    """Computes the features of a mesh: uint8 [10 light fields, 10 views, 45].

    Args:
      vertices: float [V, 3]; triangles: int [T, 3]; seed: of the points on the surface.
    """
    rng = np.random.RandomState(seed)
    points, _ = measures.sample_surface(vertices, triangles, _POINTS, rng)
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    points = points / np.linalg.norm(points, axis=1).max()
    fields = []
    rotations = np.random.RandomState(0)    # the same for every mesh
    for number in range(NUM_FIELDS):
        rotation = np.linalg.qr(rotations.normal(size=[3, 3]))[0] if number else np.eye(3)
        fields.append([_features(part) for part in _silhouettes(points, rotation)])
    return np.round(np.array(fields) * _SCALE).astype(np.uint8)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Computes the Light Field Distance of two descriptions uint8 [10, 10, 45] of `describe`."""
    best = np.inf
    for field in first.astype(int):
        for other in second.astype(int):
            between = np.abs(field[:, None] - other[None]).sum(axis=2)      # view by view
            best = min(best, between[np.arange(len(field)), _ORDERS].sum(axis=1).min())
    return float(best)

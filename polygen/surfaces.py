"""Points on surfaces, and how far two surfaces are from each other."""
from typing import Sequence, Tuple

import numpy as np
from scipy import spatial

from common.geometry import meshes

POINTS = 2500           # sampled on each surface, as in the paper
THRESHOLD = 0.02        # of the F-score


def sample_surface(vertices: np.ndarray, faces: Sequence[Sequence[int]],
                   rng: np.random.RandomState, count: int = POINTS) -> np.ndarray:
    """Draws points evenly on a surface.

    Args:
      vertices: float [V, 3]; faces: list of lists of int.
      rng: np.random.RandomState; count: int.
    Returns:
      float [count, 3]; none where the surface has no area.
    """
    triangles = meshes.triangulate(faces, vertices)
    corners = np.asarray(vertices, np.float64)[triangles]
    if not len(corners):
        return np.zeros([0, 3])
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0],
                                    corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.sum() > 0:
        return np.zeros([0, 3])
    chosen = corners[rng.choice(len(areas), count, p=areas / areas.sum())]
    first, second = rng.uniform(size=[2, count, 1])
    root = np.sqrt(first)       # Osada et al. 2002, eq. 1
    return (1 - root) * chosen[:, 0] + root * (1 - second) * chosen[:, 1] + (
        root * second * chosen[:, 2])


def compare(points: np.ndarray, truth: np.ndarray) -> Tuple[float, float]:
    """Compares points of two surfaces.

    Args:
      points: float [N, 3]; truth: float [M, 3].
    Returns:
      (symmetric chamfer distance: the mean of both mean distances to the nearest point; F-score:
      harmonic mean of the shares within THRESHOLD). No points: infinite and 0.
    """
    if not len(points):
        return np.inf, 0.
    there = spatial.cKDTree(truth).query(points)[0]
    back = spatial.cKDTree(points).query(truth)[0]
    precision, recall = (there < THRESHOLD).mean(), (back < THRESHOLD).mean()
    return float(there.mean() + back.mean()) / 2, float(
        2 * precision * recall / max(precision + recall, 1e-12))

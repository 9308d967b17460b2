"""Errors of predicted joints and vertices."""
import numpy as np

H36M_TO_J14 = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
J24_TO_J14 = tuple(range(13)) + (18,)


def similarity_transform(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Aligns points to others by the best translation, rotation and scale (Procrustes).

    Least squares, without mirroring.

    Args:
      points, target: float [n, 3].
    Returns:
      float [n, 3].
    """
    centre, goal = points.mean(axis=0), target.mean(axis=0)
    first, second = points - centre, target - goal
    u, _, vt = np.linalg.svd(first.T.dot(second))
    z = np.diag([1., 1., np.sign(np.linalg.det(u.dot(vt)))])
    rotation = vt.T.dot(z).dot(u.T)
    scale = np.trace(rotation.dot(first.T.dot(second))) / np.sum(first ** 2)
    return scale * first.dot(rotation.T) + goal


def reconstruction_error(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns mean distances [B] of joints [B, n, 3] after `similarity_transform`."""
    aligned = np.stack([similarity_transform(one, other) for one, other in zip(points, target)])
    return np.linalg.norm(aligned - target, axis=-1).mean(axis=-1)

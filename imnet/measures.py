"""How far a mesh is from the true shape: Chamfer distance, normals, F-score, volumetric IoU.

As the author's later work defines them: 4096 points with normals on each surface, squared
distances to the nearest point both ways.
"""
from typing import Any, Dict, List, Tuple

import numpy as np
from scipy import spatial

POINTS = 4096
_LEAST_AREA = 1e-6      # doubled areas below this are skipped, as in the author's sampler
THRESHOLD = 0.01        # of the F-score: 1 % of the box's side


Surface = Tuple[np.ndarray, np.ndarray]


def sample_surface(vertices: np.ndarray, triangles: np.ndarray, count: int,
                   rng: np.random.RandomState) -> Surface:
    """Draws points on a surface, by area, with the normals of their faces.

    Each triangle gets its share of the points: the whole part for certain, the rest by a coin;
    triangles are taken in random order until there are enough points.

    Args:
      vertices: float [V, 3]; triangles: int [T, 3]; count: of points; rng: of the draws.
    Returns:
      (points float64 [count, 3], normals float64 [count, 3]); empty where the surface is.
    """
    corners = np.asarray(vertices, np.float64)[np.asarray(triangles)]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(cross, axis=1)
    # Meshes at 256^3 have smaller triangles throughout: the limit is for degenerate ones.
    limit = _LEAST_AREA if np.median(doubled) > 1e-4 else 0.
    usable = np.flatnonzero(doubled > limit)
    if not len(usable):
        return np.zeros([0, 3]), np.zeros([0, 3])
    parts: List[np.ndarray] = []
    while sum(len(part) for part in parts) < count:
        order = rng.permutation(usable)
        share = count * doubled[order] / doubled[usable].sum()
        number = share.astype(int) + (rng.uniform(size=len(order)) < share % 1)
        parts.append(np.repeat(order, number))
    chosen = np.concatenate(parts)[:count]
    u, v = rng.uniform(size=[2, count, 1])
    over = u + v >= 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    first, second, third = (corners[chosen, corner] for corner in range(3))
    return first + u * (second - first) + v * (third - first), (
        cross[chosen] / doubled[chosen, None])


def compare(predicted: Surface, truth: Surface) -> Dict[str, float]:
    """Computes the distances between two sampled surfaces.

    Args:
      predicted, truth: (points [N, 3], normals [N, 3]) each.
    Returns:
      dict: `chamfer`: sum of the two means of squared distances, times 1000; `normals`: mean of
      the two means of |n . n'|; `f_score`: harmonic mean of the shares within 0.01. An empty
      surface gives an infinite distance and zeros.
    """
    if not len(predicted[0]) or not len(truth[0]):
        return {'chamfer': np.inf, 'normals': 0., 'f_score': 0.}
    there, to_truth = spatial.cKDTree(truth[0]).query(predicted[0])
    back, to_predicted = spatial.cKDTree(predicted[0]).query(truth[0])
    agreement = [np.abs((predicted[1] * truth[1][to_truth]).sum(axis=1)).mean(),
                 np.abs((truth[1] * predicted[1][to_predicted]).sum(axis=1)).mean()]
    precision, recall = (there < THRESHOLD).mean(), (back < THRESHOLD).mean()
    return {'chamfer': 1000 * ((there ** 2).mean() + (back ** 2).mean()),
            'normals': sum(agreement) / 2,
            'f_score': 2 * precision * recall / max(precision + recall, 1e-12)}


def iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Computes the intersection over union of two grids of one shape; two empty ones have 1."""
    predicted, truth = np.asarray(predicted) > 0, np.asarray(truth) > 0
    union = (predicted | truth).sum()
    return float((predicted & truth).sum() / union) if union else 1.


def averages(rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Averages rows, by category, over categories and over shapes.

    A shape without a reconstruction has an infinite distance, which would hide all others: means of
    a figure are over the shapes where it is finite (NaN if there is none), and `empty` counts the
    shapes whose distance is not.

    Args:
      rows: list of dict with 'category', 'shape' and numbers.
    Returns:
      list of dict, one for each category, then 'category mean' and 'shape mean'.
    """
    names = [name for name in rows[0] if name not in ('category', 'shape')]
    groups: Dict[str, List[Dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row['category'], []).append(row)
    result = [_mean(group, names, category) for category, group in groups.items()]
    return result + [dict(_mean(result, names, 'category mean'), empty=_empty(rows)),
                     _mean(rows, names, 'shape mean')]


def _mean(rows, names, category):
    means = {}
    for name in names:
        finite = [row[name] for row in rows if np.isfinite(row[name])]
        means[name] = float(np.mean(finite)) if finite else float('nan')
    return dict(means, category=category, empty=_empty(rows))


def _empty(rows):
    return sum(np.isinf(row.get('chamfer', 0.)) for row in rows)

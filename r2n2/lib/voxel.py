"""Voxel grids: measures of a prediction against the truth, and meshes of cubes as .obj text."""
from typing import Any, List, Tuple

import numpy as np

_CORNERS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1],
                     [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]])
_TRIANGLES = np.array([[1, 2, 3], [2, 4, 3], [3, 4, 7], [4, 8, 7], [1, 3, 7], [1, 7, 5],
                       [1, 6, 2], [1, 5, 6], [7, 8, 6], [7, 6, 5], [2, 8, 4], [2, 6, 8]])
_SIDE, _GAP = 0.01, 1.1     # of a cube, and from one to the next in sides


def evaluate(occupancy: np.ndarray, voxels: np.ndarray, threshold: float) -> List[int]:
    """Counts the cells in which a prediction and the truth agree or differ.

    Args:
      occupancy: float [N, N, N], probability.
      voxels: [N, N, N], 0 or 1.
      threshold: float; a cell at or above it counts as occupied.
    Returns:
      list of int: different cells, intersection, union, false positives, false negatives.
    """
    occupied, truth = occupancy >= threshold, np.asarray(voxels) > 0
    return [int(np.sum(cells)) for cells in (occupied != truth, occupied & truth, occupied | truth,
                                             occupied & ~truth, ~occupied & truth)]


def intersection_over_union(counts: Any) -> np.ndarray:
    """Returns the IoU [...] of counts [..., 5] of `evaluate`; 1 where both grids are empty."""
    counts = np.asarray(counts, float)
    return np.where(counts[..., 2] > 0, counts[..., 1] / np.maximum(counts[..., 2], 1), 1.)


def average_precision(occupancy: np.ndarray, voxels: np.ndarray) -> float:
    """Returns the area below precision over recall, by steps (as scikit-learn since 0.19).

    Args:
      occupancy: float array; voxels: array of the same size, 0 or 1.
    Returns:
      float; nan where no cell is occupied.
    """
    scores, truth = np.ravel(occupancy), np.ravel(voxels) > 0
    if not truth.any():
        return float('nan')
    order = np.argsort(-scores, kind='stable')
    scores, hits = scores[order], np.cumsum(truth[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = hits[last_of_tie]
    recall = hits / truth.sum()
    return float(np.sum(np.diff(recall, prepend=0.) * hits / (last_of_tie + 1)))


def voxel2mesh(grid: np.ndarray, surface_view: bool = True) -> Tuple[np.ndarray, np.ndarray]:
    """Makes a cube for each occupied cell (above 0.3), with gaps, as the original draws them.

    Args:
      grid: bool or float [N, N, N].
      surface_view: bool, leave out cells whose 26 neighbours are all occupied.
    Returns:
      (vertices float32 [8 n, 3], triangles int32 [12 n, 3], counted from 1).
    """
    grid = np.array(grid, np.float32)
    grid[grid > 0.3] = 1
    occupied = grid > 0.3
    if surface_view:
        total = np.zeros_like(grid)
        padded = np.pad(grid, 1)
        size = grid.shape
        for x, y, z in np.ndindex(3, 3, 3):
            total += padded[x:x + size[0], y:y + size[1], z:z + size[2]]
        inside = total >= 27
        # Slices that begin at -1 are empty in the original: cells on the border are kept.
        inside[0], inside[:, 0], inside[:, :, 0] = False, False, False
        occupied = occupied & ~inside
    cells = np.argwhere(occupied)
    vertices = _SIDE * (_CORNERS[None] + _GAP * cells[:, None])
    triangles = _TRIANGLES[None] + 8 * np.arange(len(cells))[:, None, None]
    return vertices.reshape(-1, 3).astype(np.float32), triangles.reshape(-1, 3).astype(np.int32)


def obj_text(vertices: np.ndarray, triangles: np.ndarray) -> str:
    """Returns the text of the original's .obj files.

    Args:
      vertices: float [V, 3]; triangles: int [T, 3], counted from 1.
    """
    lines = ['g', '# {} vertex'.format(len(vertices))]
    lines += ['v {:f} {:f} {:f}'.format(*vertex) for vertex in vertices.tolist()]
    lines.append('# {} faces'.format(len(triangles)))
    lines += ['f {} {} {}'.format(*triangle) for triangle in triangles.tolist()]
    return '\n'.join(lines) + '\n'

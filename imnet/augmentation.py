"""Augmentation of IM-AE's shapes: mirrored, and longer or shorter along each axis.

The truth at the points is never resampled: the points move with the shape and keep their values.
Only the encoder's grid is drawn anew. Not in the paper.
"""
from typing import Sequence, Tuple

import numpy as np

AXES = {'none': (), 'x': (0,), 'y': (1,), 'z': (2,), 'xz': (0, 2), 'xyz': (0, 1, 2)}
_STREAM = 1     # apart from the draws of points


def augmented(voxels: np.ndarray, positions: np.ndarray, seed: int, epoch: int, row: int,
              mirror_axes: Sequence[int], scale: float) -> Tuple[np.ndarray, np.ndarray]:
    """Mirrors and rescales a shape at random, depending on (seed, epoch, row) alone.

    Args:
      voxels: uint8 [D, D, D, 1]; positions: float32 [P, 3] in [-0.5, 0.5].
      mirror_axes: axes along each of which every second shape is mirrored.
      scale: S of the factors, between 1 / (1 + S) and 1 + S, log-uniform, one for each axis; a
        factor is no larger than the cube has room for.
    Returns:
      (voxels, positions), both new; a point that would leave the cube lies on its face.
    """
    rng = np.random.RandomState([seed, epoch, row, _STREAM])
    flips = [axis for axis in mirror_axes if rng.randint(2)]
    logs = rng.uniform(-1, 1, 3) * np.log1p(scale)
    signs = np.ones(3, np.float32)
    signs[flips] = -1
    voxels, positions = np.flip(voxels, flips), positions * signs
    factors = np.minimum(np.exp(logs), np.maximum(room(voxels), 1)) if scale else np.ones(3)
    return (stretched(voxels, factors),
            np.clip(positions * factors.astype(np.float32), -0.5, 0.5))


def room(voxels: np.ndarray) -> np.ndarray:
    """Computes by which factors the cube bears a shape: float64 [3], 1 where it fills the cube.

    Args:
      voxels: [D, D, D, 1], not empty.
    """
    size, extents = len(voxels), []
    for axis in range(3):
        others = tuple(other for other in range(4) if other != axis)
        cells = np.flatnonzero(voxels.any(axis=others))
        extents.append(max(0.5 - cells[0] / size, (cells[-1] + 1) / size - 0.5))
    return 0.5 / np.array(extents)


def stretched(voxels: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Draws a grid anew, longer by a factor along each axis about the middle of the cube.

    A cell is full if its centre falls into a full cell of the old grid, or the centre of a full
    cell into it: so walls of one cell stay when a shape gets shorter.

    Args:
      voxels: uint8 [D, D, D, 1]; factors: [3], positive.
    """
    size = len(voxels)
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        centres = (np.arange(size) + 0.5) / size - 0.5
        source = np.floor((centres / factor + 0.5) * size).astype(int)
        inside = (source >= 0) & (source < size)
        shape = [-1 if other == axis else 1 for other in range(4)]
        drawn = (np.take(voxels, np.clip(source, 0, size - 1), axis=axis)
                 * inside.reshape(shape).astype(voxels.dtype))
        target = np.floor((centres * factor + 0.5) * size).astype(int)
        drawn, rows = np.moveaxis(drawn, axis, 0).copy(), np.moveaxis(voxels, axis, 0)
        for cell, place in enumerate(target):
            if 0 <= place < size:
                np.maximum(drawn[place], rows[cell], out=drawn[place])
        voxels = np.moveaxis(drawn, 0, axis)
    return np.ascontiguousarray(voxels)

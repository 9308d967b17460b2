"""A z-buffer in NumPy: which triangle each pixel of an image shows, and where on it."""
from typing import Tuple

import numpy as np

_AT_ONCE = 1 << 21      # pairs of triangle and pixel in one batch


def rasterize(points: np.ndarray, triangles: np.ndarray, height: int, width: int
              ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the nearest triangle of each pixel (z-buffer), the place on it and the depth.

    Args:
      points: float [V, 3]: column and row in pixels (the centre of the first pixel is 0.5, 0.5) and
        depth, which grows away from the camera. Interpolation is linear in the image.
      triangles: int [T, 3].
      height, width: int, of the image.
    Returns:
      (index int32 [height, width], -1 where nothing is; barycentric coordinates float32
      [height, width, 3]; depth float32 [height, width], inf where nothing is).
    """
    corners = np.asarray(points, np.float64)[np.asarray(triangles, np.int64)]
    index = np.full(height * width, -1, np.int32)
    weights = np.zeros([height * width, 3], np.float32)
    depth = np.full(height * width, np.inf)
    size = np.array([width, height])
    # Pixels whose centres may lie in the box of a triangle; none where it is off the image.
    low = np.clip(np.ceil(corners[:, :, :2].min(axis=1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners[:, :, :2].max(axis=1) - 0.5) + 1, 0, size).astype(np.int64)
    sides = np.maximum(high - low, 0)
    counts = sides[:, 0] * sides[:, 1]
    counts[_doubled_area(corners) == 0] = 0
    ends = np.cumsum(counts)
    first = 0
    while first < len(counts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _AT_ONCE, side='right')))
        chosen = np.arange(first, last)
        _draw(chosen, corners, low, sides, counts, width, index, weights, depth)
        first = last
    shape = height, width
    return (index.reshape(shape), weights.reshape(shape + (3,)),
            depth.reshape(shape).astype(np.float32))


def _doubled_area(corners):
    first, second, third = corners[:, 0], corners[:, 1], corners[:, 2]
    return ((second[:, 0] - first[:, 0]) * (third[:, 1] - first[:, 1])
            - (second[:, 1] - first[:, 1]) * (third[:, 0] - first[:, 0]))


def _draw(chosen, corners, low, sides, counts, width, index, weights, depth):
    """Draws the triangles numbered `chosen` into the flat images."""
    owner = np.repeat(chosen, counts[chosen])
    if not len(owner):
        return
    starts = np.cumsum(counts[chosen]) - counts[chosen]
    place = np.arange(len(owner)) - np.repeat(starts, counts[chosen])
    row, column = np.divmod(place, sides[owner, 0])
    row, column = row + low[owner, 1], column + low[owner, 0]
    corner = corners[owner]
    x, y = column + 0.5, row + 0.5
    area = _doubled_area(corner)
    shares = np.empty([len(owner), 3])
    for number in range(3):
        begin, end = corner[:, (number + 1) % 3], corner[:, (number + 2) % 3]
        shares[:, number] = ((end[:, 0] - begin[:, 0]) * (y - begin[:, 1])
                             - (end[:, 1] - begin[:, 1]) * (x - begin[:, 0])) / area
    inside = (shares >= 0).all(axis=1)
    if not inside.any():        # thin triangles between the centres of pixels
        return
    owner, shares = owner[inside], shares[inside]
    pixel = (row * width + column)[inside]
    z = (shares * corner[inside, :, 2]).sum(axis=1)
    # The nearest of each pixel; of equally near ones that of the lowest number.
    order = np.lexsort((owner, z, pixel))
    order = order[np.append(True, np.diff(pixel[order]) > 0)]
    nearer = z[order] < depth[pixel[order]]
    order = order[nearer]
    index[pixel[order]], depth[pixel[order]] = owner[order], z[order]
    weights[pixel[order]] = shares[order]

"""Procedural solids: ten classes of furniture, for quick starts with nothing downloaded.

A solid is a list of parts: blocks and upright or lying cylinders, added or cut away one after the
other. Lengths are arbitrary; x is across, y is depth (the front is at -y), z is up.
"""
import collections
from typing import List, Sequence, Union

import numpy as np

Part = collections.namedtuple('Part', 'kind low high cut')
Part.__doc__ = """A block ("block") or a cylinder along an axis ("x", "y", "z") that fills the box
from `low` to `high` (float [3] each); `cut` takes it away instead of adding it."""


def block(low: Sequence[float], high: Sequence[float], cut: bool = False) -> Part:
    """Returns a block from one corner [3] to the opposite one."""
    return Part('block', np.array(low, float), np.array(high, float), cut)


def cylinder(axis: str, low: Sequence[float], high: Sequence[float], cut: bool = False) -> Part:
    """Returns a cylinder along 'x', 'y' or 'z' that fills a box (elliptical where its base is
    no square)."""
    return Part(axis, np.array(low, float), np.array(high, float), cut)


def voxels(parts: Sequence[Part], resolution: int, extent: float) -> np.ndarray:
    """Returns the occupancy of a solid, centred; the longest side of its box is `extent` cells.

    Args:
      parts: list of Part.
      resolution: int, R; extent: cells, at most R.
    Returns:
      bool [R, R, R], axes x, y, z; a cell takes the value at its centre.
    """
    low = np.min([part.low for part in parts if not part.cut], axis=0)
    high = np.max([part.high for part in parts if not part.cut], axis=0)
    scale = (high - low).max() / extent
    centres = (np.arange(resolution) + 0.5 - resolution / 2) * scale
    axes = [(centres + centre).reshape([-1 if axis == other else 1 for other in range(3)])
            for axis, centre in enumerate((low + high) / 2)]
    result = np.zeros(3 * [resolution], bool)
    for part in parts:
        # An axis at a time: a 256^3 grid of points would take gigabytes.
        centre, half = (part.low + part.high) / 2, (part.high - part.low) / 2
        places = [np.abs(axes[axis] - centre[axis]) / half[axis] for axis in range(3)]
        filled = (places[0] <= 1) & (places[1] <= 1) & (places[2] <= 1)
        if part.kind != 'block':
            first, second = [places[axis] for axis in range(3) if axis != 'xyz'.index(part.kind)]
            filled &= first ** 2 + second ** 2 <= 1
        result = result & ~filled if part.cut else result | filled
    return result


def _legs(width, depth, height, thick):
    """Four legs below a plate of the given size, which is centred."""
    legs = []
    for x in (-width / 2, width / 2 - thick):
        for y in (-depth / 2, depth / 2 - thick):
            legs.append(block([x, y, 0], [x + thick, y + thick, height]))
    return legs


def bathtub(rng: np.random.RandomState) -> List[Part]:
    """Returns a tub with thick walls, with or without a step at the back."""
    width, depth, height = rng.uniform(1.4, 2), rng.uniform(0.7, 1), rng.uniform(0.45, 0.65)
    wall = rng.uniform(0.09, 0.14)
    kind = cylinder if rng.rand() < 0.4 else (lambda axis, *box: block(*box))
    low, high = np.array([-width / 2, -depth / 2, 0]), np.array([width / 2, depth / 2, height])
    parts = [kind('z', low, high)]
    parts.append(kind('z', low + wall, high + [-wall, -wall, 1], True))
    if rng.rand() < 0.4:
        parts.append(block([-width / 2, depth / 2, 0], [width / 2, depth / 2 + 0.2, height]))
    return parts


def bed(rng: np.random.RandomState) -> List[Part]:
    """Returns a mattress with a head end, legs, and perhaps a foot end and pillows."""
    width, depth, height = rng.uniform(0.9, 1.8), rng.uniform(1.8, 2.1), rng.uniform(0.35, 0.6)
    leg = rng.uniform(0.1, 0.25)
    parts = _legs(width, depth, leg + 0.02, 0.14)
    parts.append(block([-width / 2, -depth / 2, leg], [width / 2, depth / 2, height]))
    parts.append(block([-width / 2, depth / 2 - 0.12, leg],
                       [width / 2, depth / 2, height + rng.uniform(0.3, 0.7)]))
    if rng.rand() < 0.5:
        parts.append(block([-width / 2, -depth / 2, leg],
                           [width / 2, -depth / 2 + 0.12, height + rng.uniform(0.1, 0.3)]))
    if rng.rand() < 0.5:
        parts.append(block([-width * 0.4, depth / 2 - 0.5, height],
                           [width * 0.4, depth / 2 - 0.15, height + 0.12]))
    return parts


def chair(rng: np.random.RandomState) -> List[Part]:
    """Returns four legs, a seat, a back, and perhaps arms."""
    width, depth, seat = rng.uniform(0.45, 0.6), rng.uniform(0.45, 0.6), rng.uniform(0.4, 0.5)
    top, thick = seat + rng.uniform(0.4, 0.65), rng.uniform(0.05, 0.08)
    parts = _legs(width, depth, seat, thick)
    parts.append(block([-width / 2, -depth / 2, seat - 0.06], [width / 2, depth / 2, seat]))
    parts.append(block([-width / 2, depth / 2 - thick, seat], [width / 2, depth / 2, top]))
    if rng.rand() < 0.4:
        for x in (-width / 2, width / 2 - thick):
            parts.append(block([x, -depth / 2, seat + 0.15], [x + thick, depth / 2, seat + 0.22]))
            parts.append(block([x, -depth / 2, seat], [x + thick, -depth / 2 + thick, seat + 0.2]))
    return parts


def desk(rng: np.random.RandomState) -> List[Part]:
    """Returns a wide top on a drawer block and a side panel, with a back panel."""
    width, depth, height = rng.uniform(1.2, 1.7), rng.uniform(0.6, 0.85), rng.uniform(0.7, 0.8)
    drawers = rng.uniform(0.3, 0.45)
    parts = [block([-width / 2, -depth / 2, height - 0.07], [width / 2, depth / 2, height]),
             block([-width / 2, -depth / 2, 0], [-width / 2 + drawers, depth / 2, height]),
             block([-width / 2, depth / 2 - 0.07, height * rng.uniform(0.2, 0.5)],
                   [width / 2, depth / 2, height])]
    right = drawers if rng.rand() < 0.4 else 0.08
    parts.append(block([width / 2 - right, -depth / 2, 0], [width / 2, depth / 2, height]))
    return parts


def dresser(rng: np.random.RandomState) -> List[Part]:
    """Returns a wide solid cupboard on short feet, with grooves between its drawers."""
    width, depth, height = rng.uniform(1, 1.5), rng.uniform(0.4, 0.55), rng.uniform(0.75, 1.1)
    parts = _legs(width, depth, 0.1, 0.09)
    parts.append(block([-width / 2, -depth / 2, 0.08], [width / 2, depth / 2, height]))
    rows = rng.randint(2, 5)
    for row in range(1, rows):
        z = 0.08 + (height - 0.08) * row / rows
        parts.append(block([-width / 2 + 0.06, -depth / 2, z - 0.025],
                           [width / 2 - 0.06, -depth / 2 + 0.06, z + 0.025], True))
    return parts


def monitor(rng: np.random.RandomState) -> List[Part]:
    """Returns a thin screen on a neck and a foot."""
    width, height, neck = rng.uniform(0.5, 0.7), rng.uniform(0.3, 0.42), rng.uniform(0.1, 0.2)
    thick, foot = rng.uniform(0.04, 0.08), rng.uniform(0.2, 0.3)
    return [block([-width / 2, -thick / 2, neck], [width / 2, thick / 2, neck + height]),
            block([-0.04, -0.03, 0], [0.04, 0.05, neck + 0.1]),
            (cylinder('z', [-foot / 2, -foot / 2, 0], [foot / 2, foot / 2, 0.04])
             if rng.rand() < 0.5 else block([-foot / 2, -foot / 2, 0], [foot / 2, foot / 2, 0.04]))]


def night_stand(rng: np.random.RandomState) -> List[Part]:
    """Returns a small cupboard, about as high as wide, on legs, with an open or closed front."""
    width, depth, height = rng.uniform(0.4, 0.55), rng.uniform(0.38, 0.5), rng.uniform(0.5, 0.65)
    leg = rng.uniform(0.06, 0.22)
    parts = _legs(width, depth, leg + 0.02, 0.06)
    parts.append(block([-width / 2, -depth / 2, leg], [width / 2, depth / 2, height]))
    if rng.rand() < 0.6:
        parts.append(block([-width / 2 + 0.05, -depth / 2, leg + 0.05],
                           [width / 2 - 0.05, depth / 2 - 0.1, leg + (height - leg) * 0.55], True))
    return parts


def sofa(rng: np.random.RandomState) -> List[Part]:
    """Returns a deep seat with a back and two arms; some have a corner part."""
    width, depth, seat = rng.uniform(1.5, 2.2), rng.uniform(0.8, 1), rng.uniform(0.38, 0.46)
    arm, back = rng.uniform(0.15, 0.25), rng.uniform(0.7, 0.9)
    parts = [block([-width / 2, -depth / 2, 0], [width / 2, depth / 2, seat]),
             block([-width / 2, depth / 2 - 0.25, 0], [width / 2, depth / 2, back])]
    for x in (-width / 2, width / 2 - arm):
        parts.append(block([x, -depth / 2, 0], [x + arm, depth / 2, seat + rng.uniform(0.1, 0.2)]))
    if rng.rand() < 0.3:
        parts.append(block([width / 2 - 0.7, -depth / 2 - 0.6, 0], [width / 2, -depth / 2, seat]))
    return parts


def table(rng: np.random.RandomState) -> List[Part]:
    """Returns a round or rectangular top on four legs or on one foot."""
    width, depth, height = rng.uniform(1, 1.7), rng.uniform(0.8, 1), rng.uniform(0.7, 0.78)
    if rng.rand() < 0.35:
        depth = width = rng.uniform(0.8, 1.1)
        foot = rng.uniform(0.3, 0.5)
        return [cylinder('z', [-width / 2, -depth / 2, height - 0.06],
                         [width / 2, depth / 2, height]),
                cylinder('z', [-0.07, -0.07, 0], [0.07, 0.07, height]),
                cylinder('z', [-foot / 2, -foot / 2, 0], [foot / 2, foot / 2, 0.06])]
    return _legs(width, depth, height, rng.uniform(0.07, 0.12)) + [
        block([-width / 2, -depth / 2, height - 0.07], [width / 2, depth / 2, height])]


def toilet(rng: np.random.RandomState) -> List[Part]:
    """Returns a bowl with a hollow, a foot and a cistern."""
    width, depth, seat = rng.uniform(0.36, 0.44), rng.uniform(0.45, 0.55), rng.uniform(0.38, 0.44)
    tank, wall = rng.uniform(0.15, 0.22), 0.06
    top = seat + rng.uniform(0.3, 0.45)
    return [cylinder('z', [-width / 2, -depth, seat * 0.45], [width / 2, 0.05, seat]),
            cylinder('z', [-width / 2 + wall, -depth + wall, seat * 0.6],
                     [width / 2 - wall, 0.05 - wall, seat + 0.1], True),
            block([-width * 0.3, -depth * 0.7, 0], [width * 0.3, 0.05, seat * 0.5]),
            block([-width / 2 - 0.02, 0, seat * rng.uniform(0, 0.9)],
                  [width / 2 + 0.02, tank, top])]


FURNITURE = collections.OrderedDict(
    (build.__name__, build) for build in (bathtub, bed, chair, desk, dresser, monitor, night_stand,
                                         sofa, table, toilet))


def furniture(name: str, seed: Union[int, Sequence[int]]) -> List[Part]:
    """Returns a random solid of a class.

    Args:
      name: str, one of FURNITURE.
      seed: int or list of int; the same seed gives the same solid.
    Returns:
      list of Part.
    """
    return FURNITURE[name](np.random.RandomState(seed))

"""Ten classes of furniture as closed parts with polygon meshes: the generator's second version.

Each class draws its proportions, its parts and its style. The parts of a shape touch at faces and
never overlap, so that volumes add up. Lengths are metres; x is across, y is depth (the front is at
-y), z is up. The order of the draws is part of the version: a change here makes another one.
"""
import collections
from typing import Callable, Dict, List, Sequence

import numpy as np

from common.geometry import lofts

_X, _Z, _FRONT = 0, 2, 4       # directions of parts: +x, +z, and -y
Parts = List[lofts.Part]


def _rectangle(x0, x1, y0, y1):
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _chamfered(x0, x1, y0, y1, cut):
    """A rectangle without its corners."""
    return np.array([[x0 + cut, y0], [x1 - cut, y0], [x1, y0 + cut], [x1, y1 - cut],
                     [x1 - cut, y1], [x0 + cut, y1], [x0, y1 - cut], [x0, y0 + cut]])


def _ellipse(x, y, radius_x, radius_y, corners):
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    return np.stack([x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)], axis=1)


def _arch(x0, x1, z0, z1, rise, corners):
    """An upright rectangle with a round top."""
    angles = np.pi * np.arange(1, corners + 1) / (corners + 1)
    top = np.stack([(x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(angles), z1 + rise * np.sin(angles)],
                   axis=1)
    return np.concatenate([[[x0, z0], [x1, z0], [x1, z1]], top, [[x0, z1]]])


def _star(x, y, inner, outer, arms, turn):
    """A foot with arms: corners in turn near and far."""
    loops = []
    for arm in range(arms):
        for shift, radius in ((-0.5, inner), (-0.11, outer), (0.11, outer)):
            angle = turn + 2 * np.pi * (arm + shift) / arms
            loops.append([x + radius * np.cos(angle), y + radius * np.sin(angle)])
    return np.array(loops)


def _scaled(loop, scale):
    centre = (loop.min(axis=0) + loop.max(axis=0)) / 2
    return centre + (loop - centre) * scale


def _inset(loop, margin):
    """The loop, its box smaller by a margin on each side."""
    low, high = loop.min(axis=0), loop.max(axis=0)
    return _scaled(loop, (high - low - 2 * margin) / (high - low))


def _prism(axis, loop, low, high):
    return lofts.part(axis, [loop, loop], [low, high])


def _box(x0, x1, y0, y1, z0, z1):
    return _prism(_Z, _rectangle(x0, x1, y0, y1), z0, z1)


def _upright(loop, y0, y1):
    """A plate that stands across: a loop in x and z, from front y0 to back y1."""
    return _prism(_FRONT, loop, -y1, -y0)


def _frame(loop, border, y0, y1):
    """As `_upright`, with a hole that leaves a border."""
    inner = _inset(loop, border)
    return lofts.part(_FRONT, [loop, loop], [-y1, -y0], [(inner, -y0), (inner, -y1)], ring=True)


def _niche(x0, x1, y0, y1, z0, z1, wall, depth):
    """A box that is open to the front."""
    loop = _rectangle(x0, x1, z0, z1)
    inner = _inset(loop, wall)
    return lofts.part(_FRONT, [loop, loop], [-y1, -y0], [(inner, -y0), (inner, -y0 - depth)])


def _leaning(loop, low, high, shift, scale=1.):
    """A loop in x and y that rises and moves by `shift` [2]."""
    return lofts.part(_Z, [loop, _scaled(loop, scale) + shift], [low, high])


class _Draw:
    """Random choices, in words."""

    def __init__(self, rng: np.random.RandomState):
        self._rng = rng

    def __call__(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def chance(self, share: float) -> bool:
        return bool(self._rng.rand() < share)

    def of(self, *items):
        return items[self._rng.randint(len(items))]


def _legs(draw: _Draw, places: Sequence[Sequence[float]], low: float, high: float,
          thick: float, upright: bool = False) -> Parts:
    """Legs of one style at places [x, y], which are the centres of their tops."""
    style = draw.of('square', 'square', 'tapered', 'round', 'square' if upright else 'splayed')
    taper, splay = draw(0.45, 0.8), draw(0.1, 0.3) * (high - low)
    corners = draw.of(6, 8) if len(places) <= 4 else 6
    half = thick / 2
    parts = []
    for x, y in places:
        if style == 'round':
            top = _ellipse(x, y, half, half, corners)
        else:
            top = _rectangle(x - half, x + half, y - half, y + half)
        scale = 1. if style == 'square' else taper
        shift = splay * np.sign([x, y]) if style == 'splayed' else np.zeros(2)
        parts.append(lofts.part(_Z, [_scaled(top, scale) + shift, top], [low, high]))
    return parts


def _corners(x, y):
    return [[-x, -y], [x, -y], [x, y], [-x, y]]


def _fronts(draw: _Draw, x0, x1, y, z0, z1, rows, columns, knobs) -> Parts:
    """Drawers or doors on a front at y, perhaps with knobs."""
    gap, thick = draw(0.03, 0.045), draw(0.018, 0.035)
    knob = draw(0.014, 0.022)
    parts = []
    for row in range(rows):
        low = z0 + (z1 - z0) * row / rows + gap / 2
        high = z0 + (z1 - z0) * (row + 1) / rows - gap / 2
        for column in range(columns):
            left = x0 + (x1 - x0) * column / columns + gap / 2
            right = x0 + (x1 - x0) * (column + 1) / columns - gap / 2
            parts.append(_upright(_rectangle(left, right, low, high), y - thick, y))
            if knobs:
                x, z = (left + right) / 2, low + (high - low) * 0.6
                parts.append(_upright(_rectangle(x - 2 * knob, x + 2 * knob, z - knob, z + knob),
                                      y - thick - 2 * knob, y - thick))
    return parts


def _top_loop(draw: _Draw, width, depth):
    """The outline of a top or a seat, centred."""
    x, y = width / 2, depth / 2
    style = draw.of('rectangle', 'rectangle', 'chamfered', 'ellipse', 'trapezium')
    if style == 'rectangle':
        return _rectangle(-x, x, -y, y)
    if style == 'chamfered':
        return _chamfered(-x, x, -y, y, draw(0.1, 0.35) * min(x, y))
    if style == 'ellipse':
        return _ellipse(0, 0, x, y, draw.of(8, 10, 12))
    narrow = draw(0.75, 0.92)
    return np.array([[-x, -y], [x, -y], [x * narrow, y], [-x * narrow, y]])


def _pedestal(draw: _Draw, low, high, reach) -> Parts:
    """A column on a foot."""
    column, foot = draw(0.07, 0.16) * reach, draw(0.025, 0.05)
    corners = draw.of(4, 6, 8)
    if draw.chance(0.5):
        base = _star(0, 0, column * 1.6, reach * draw(0.75, 1), draw.of(3, 4, 5), np.pi / 2)
        parts = [_prism(_Z, base, low, low + foot)]
    else:
        base = _ellipse(0, 0, reach * 0.8, reach * 0.8, draw.of(4, 6, 8))
        parts = [lofts.part(_Z, [base, _scaled(base, draw(0.5, 0.95))], [low, low + foot])]
    loop = _ellipse(0, 0, column, column, corners)
    return parts + [lofts.part(_Z, [loop, _scaled(loop, draw(0.6, 1))], [low + foot, high])]


def bathtub(rng: np.random.RandomState) -> Parts:
    """Returns a tub, straight, oval or with a lip; perhaps with feet, a deck or a step."""
    draw = _Draw(rng)
    width, depth, height = draw(1.3, 1.9), draw(0.65, 0.95), draw(0.42, 0.62)
    wall, floor = draw(0.06, 0.11), draw(0.08, 0.15)
    x, y = width / 2, depth / 2
    style = draw.of('rectangle', 'chamfered', 'oval', 'oval')
    loop = {'rectangle': _rectangle(-x, x, -y, y),
            'chamfered': _chamfered(-x, x, -y, y, draw(0.25, 0.7) * y),
            'oval': _ellipse(0, 0, x, y, draw.of(8, 10, 12))}[style]
    built_in = style == 'rectangle' and draw.chance(0.6)
    narrow = 1. if built_in else draw(0.72, 0.95)
    lift = draw(0.06, 0.15) if not built_in and draw.chance(0.5) else 0.
    loops, heights = [_scaled(loop, narrow), loop], [lift, height + lift]
    if draw.chance(0.4) and not built_in:
        loops.insert(1, _scaled(loop, (1 + narrow) / 2))
        heights.insert(1, height + lift - draw(0.03, 0.07))
        loops[0] = _scaled(loop, narrow * 0.95)
    inner = _inset(loop, wall + (0.03 if len(loops) > 2 else 0))
    bottom = _scaled(inner, min(draw(0.7, 0.95), narrow * 0.95))
    parts = [lofts.part(_Z, loops, heights, [(inner, height + lift), (bottom, lift + floor)])]
    if lift:
        parts += _legs(draw, _corners(x * narrow * 0.5, y * narrow * 0.5), 0, lift, draw(0.07, 0.1))
    if built_in:
        deck, top = draw(0.12, 0.3), height * draw(0.65, 0.95)
        if draw.chance(0.6):
            parts.append(_box(-x + 0.03, x - 0.05, y, y + deck, 0, top))
            side = draw(-0.5, 0.5) * x
            parts.append(_box(side - 0.03, side + 0.03, y + deck * 0.3, y + deck * 0.7, top,
                              top + draw(0.1, 0.25)))
        if draw.chance(0.5):
            step = draw(0.3, 0.9) * x
            parts.append(_box(-step, step, -y - draw(0.18, 0.3), -y, 0, height * draw(0.3, 0.5)))
    return parts


def _bed_end(draw: _Draw, half, y0, y1, low, high) -> Parts:
    """A head or foot end."""
    style = draw.of('panel', 'arch', 'rails', 'frame')
    if style == 'panel':
        return [_upright(_rectangle(-half, half, low, high), y0, y1)]
    if style == 'arch':
        return [_upright(_arch(-half, half, low, high - 0.1, draw(0.08, 0.25), draw.of(3, 5)), y0,
                         y1)]
    if style == 'frame':
        return [_frame(_rectangle(-half, half, low, high), draw(0.05, 0.09), y0, y1)]
    post = draw(0.05, 0.08)
    parts = [_box(x, x + post, y0, y1, low, high) for x in (-half, half - post)]
    count = draw.of(2, 3)
    for number in range(count):
        z = low + (high - low) * (number + 0.6) / (count + 0.2)
        parts.append(_box(-half + post, half - post, y0 + 0.015, y1 - 0.015, z,
                          z + draw(0.06, 0.1)))
    return parts


def bed(rng: np.random.RandomState) -> Parts:
    """Returns a frame with a mattress and a head end; perhaps a foot end, pillows, a blanket."""
    draw = _Draw(rng)
    width, length = draw(0.9, 1.9), draw(1.8, 2.15)
    lift, frame, mattress = draw(0.08, 0.3), draw(0.08, 0.2), draw(0.14, 0.28)
    x, y = width / 2, length / 2
    parts = [_box(-x, x, -y, y, lift, lift + frame)]
    if draw.chance(0.3):
        margin = draw(0.06, 0.2)
        parts.append(_box(-x + margin, x - margin, -y + margin, y - margin, 0, lift))
    else:
        thick = draw(0.06, 0.11)
        parts += _legs(draw, _corners(x - 0.02 - thick, y - 0.02 - thick), 0, lift, thick)
    low, high = lift + frame, lift + frame + mattress
    loop = _chamfered(-x + 0.03, x - 0.03, -y + 0.04, y - 0.03, draw(0.05, 0.12))
    parts.append(_leaning(loop, low, high, np.zeros(2), draw(0.94, 0.98)))
    half, thick = x + draw(0.03, 0.1), draw(0.06, 0.12)
    parts += _bed_end(draw, half, y, y + thick, draw.of(0., lift + 0.03),
                      high + draw(0.25, 0.65))
    if draw.chance(0.4):
        parts += _bed_end(draw, half - 0.015, -y - thick, -y, 0., high + draw(0.05, 0.3))
    pillows = draw.of(0, 1, 2) if width > 1.3 else draw.of(0, 1)
    reach, deep = (x * 0.85) / max(pillows, 1), draw(0.28, 0.4)
    for number in range(pillows):
        centre = (2 * number + 1 - pillows) * reach
        pillow = _rectangle(centre - reach * 0.85, centre + reach * 0.85, y * 0.9 - deep, y * 0.9)
        parts.append(_leaning(pillow, high, high + draw(0.08, 0.14), np.zeros(2), draw(0.6, 0.85)))
    if draw.chance(0.4):
        parts.append(_box(-x * 0.88, x * 0.88, -y * 0.88, draw(-0.5, 0.3) * y, high,
                          high + draw(0.03, 0.06)))
    return parts


def _chair_back(draw: _Draw, half, y, thick, low, high) -> Parts:
    """A back on a seat; its rear is at y + thick at the bottom."""
    style = draw.of('lean', 'lean', 'arch', 'rails', 'frame', 'spindles')
    lean = np.array([0, draw(0, 0.2) * (high - low)])
    if style == 'lean':
        return [_leaning(_rectangle(-half, half, y, y + thick), low, high, lean, draw(0.85, 1))]
    if style == 'arch':
        return [_upright(_arch(-half, half, low, high - half * 0.5, half * draw(0.3, 0.8),
                               draw.of(3, 5)), y, y + thick)]
    if style == 'frame':
        return [_frame(_rectangle(-half, half, low, high), draw(0.035, 0.06), y, y + thick)]
    post = draw(0.035, 0.05)
    if style == 'rails':
        parts = [_box(x, x + post, y, y + thick, low, high) for x in (-half, half - post)]
        count = draw.of(2, 3, 4)
        tall = (high - low) * draw(0.3, 0.55) / count
        for number in range(count):
            z = low + (high - low) * (number + 0.4) / count
            parts.append(_box(-half + post, half - post, y + 0.01, y + thick - 0.01, z, z + tall))
        return parts
    count = draw.of(2, 3, 4)
    rail = high - draw(0.07, 0.14)
    parts = [_upright(_rectangle(-half, half, rail, high), y, y + thick)]
    for x in np.linspace(-half + post, half - post, count):
        parts.append(_box(x - post / 2, x + post / 2, y + 0.01, y + thick - 0.01, low, rail))
    return parts


def chair(rng: np.random.RandomState) -> Parts:
    """Returns a seat on legs, panels or a foot, with a back of one of five kinds, perhaps arms."""
    draw = _Draw(rng)
    width, depth, seat = draw(0.4, 0.58), draw(0.4, 0.56), draw(0.4, 0.5)
    plate, thick = draw(0.03, 0.09), draw(0.035, 0.055)
    x, y = width / 2, depth / 2
    loop = _top_loop(draw, width, depth)
    parts = [_prism(_Z, loop, seat - plate, seat)]
    low = seat - plate
    support = draw.of('legs', 'legs', 'legs', 'foot', 'panels', 'block')
    reach = 0.62 if len(loop) > 4 else 0.72
    if support == 'legs':
        parts += _legs(draw, _corners(x * reach, y * reach), 0, low, thick)
    elif support == 'foot':
        parts += _pedestal(draw, 0, low, max(x, y) * 1.1)
    elif support == 'panels':
        for side in (-1, 1):
            parts.append(_box(side * x * reach - thick / 2, side * x * reach + thick / 2,
                              -y * reach, y * reach, 0, low))
        parts.append(_box(-x * reach + thick / 2, x * reach - thick / 2, -thick / 2, thick / 2,
                          low * 0.3, low * draw(0.5, 0.8)))
    else:
        block = _scaled(loop, draw(0.6, 0.85))
        parts.append(lofts.part(_Z, [_scaled(block, draw(0.8, 1)), block], [0, low]))
    half = x * (0.5 if len(loop) > 4 else 0.68)
    rear = draw(0.03, 0.05)
    back = y * (0.84 if len(loop) > 4 else 0.94) - rear
    parts += _chair_back(draw, half, back, rear, seat, seat + draw(0.35, 0.65))
    if draw.chance(0.35):
        arm, tall, wide = y * draw(0.35, 0.55), draw(0.14, 0.24), draw(0.03, 0.045)
        for side in (-1, 1):
            centre = side * x * reach
            parts.append(_box(centre - wide / 2, centre + wide / 2, -arm, -arm + wide, seat,
                              seat + tall))
            parts.append(_box(centre - wide * 0.8, centre + wide * 0.8, -arm - 0.03, back - 0.03,
                              seat + tall, seat + tall + 0.03))
    return parts


def desk(rng: np.random.RandomState) -> Parts:
    """Returns a top on drawers, panels or legs; perhaps a back panel, a hutch or a side wing."""
    draw = _Draw(rng)
    width, depth, height = draw(1.1, 1.8), draw(0.55, 0.85), draw(0.68, 0.8)
    plate = draw(0.03, 0.07)
    x, y, low = width / 2, depth / 2, height - plate
    parts = [_box(-x, x, -y, y, low, height)]
    ends, has_legs = [], False      # where the inner sides of the two supports are
    for side in (-1, 1):
        support = draw.of('drawers', 'panel', 'legs', 'panel') if side < 0 else draw.of(
            'drawers', 'panel', 'legs')
        outer = x - draw(0.03, 0.06)
        wide = {'drawers': draw(0.3, 0.42), 'panel': draw(0.03, 0.07), 'legs': 0.06}[support]
        x0, x1 = sorted([side * outer, side * (outer - wide)])
        if support == 'legs':
            for place in (-y + 0.08, y - 0.08):
                parts += [_box(x0, x1, place - 0.03, place + 0.03, 0, low)]
        else:
            parts.append(_box(x0, x1, -y + 0.05, y - 0.05, 0, low))
        if support == 'drawers':
            parts += _fronts(draw, x0, x1, -y + 0.05, 0.04, low - 0.02, draw.of(2, 3, 4), 1,
                             draw.chance(0.4))
        ends.append(x1 if side < 0 else x0)
        has_legs |= support == 'legs'
    if draw.chance(0.6) and not has_legs:
        rear = y - 0.12
        parts.append(_box(ends[0], ends[1], rear - 0.03, rear, low * draw(0.2, 0.6), low))
    extra = draw.of('none', 'none', 'hutch', 'wing', 'riser')
    if extra == 'hutch':
        tall, deep, wall = draw(0.25, 0.5), draw(0.2, 0.3), draw(0.025, 0.05)
        parts.append(_niche(-x + 0.05, x - 0.05, y - 0.03 - deep, y - 0.03, height, height + tall,
                            wall, deep - 0.03))
    elif extra == 'wing':
        long, wide, side = draw(0.4, 0.8), draw(0.4, 0.55), draw.of(-1, 1)
        x0, x1 = sorted([side * (x - 0.04), side * (x - wide)])
        parts.append(_box(x0, x1, -y - long, -y, low + 0.012, height - 0.012))
        parts.append(_box(x0 + 0.04, x1 - 0.04, -y - long + 0.04, -y - long + 0.09, 0,
                          low + 0.012))
    elif extra == 'riser':
        wide, centre = draw(0.25, 0.4), draw(-0.3, 0.3) * x
        parts.append(_box(centre - wide * 0.8, centre + wide * 0.8, y - 0.3, y - 0.1, height,
                          height + draw(0.08, 0.14)))
    return parts


def dresser(rng: np.random.RandomState) -> Parts:
    """Returns a wide cupboard with drawers, doors or a niche; perhaps a top and a mirror."""
    draw = _Draw(rng)
    width, depth, height = draw(0.9, 1.6), draw(0.38, 0.55), draw(0.7, 1.15)
    lift = draw(0.05, 0.2)
    x, y = width / 2, depth / 2
    if draw.chance(0.35):
        margin = draw(0.03, 0.07)
        parts = [_box(-x + margin, x - margin, -y + margin, y - margin, 0, lift)]
    else:
        thick = draw(0.05, 0.08)
        parts = _legs(draw, _corners(x - 0.02 - thick, y - 0.02 - thick), 0, lift, thick)
    style = draw.of('drawers', 'drawers', 'doors', 'niche')
    middle = height if style != 'niche' else lift + (height - lift) * draw(0.5, 0.7)
    parts.append(_box(-x, x, -y, y, lift, middle))
    if style == 'doors':
        parts += _fronts(draw, -x + 0.02, x - 0.02, -y, lift + 0.02, middle - 0.02, 1,
                         draw.of(2, 3), draw.chance(0.7))
    else:
        rows, columns = (draw.of(2, 3, 4), draw.of(1, 2)) if style == 'drawers' else (1, 2)
        parts += _fronts(draw, -x + 0.02, x - 0.02, -y, lift + 0.02, middle - 0.02, rows, columns,
                         draw.chance(0.5))
    if style == 'niche':
        parts.append(_niche(-x + 0.02, x - 0.02, -y + 0.02, y - 0.02, middle, height,
                            draw(0.025, 0.04), depth * draw(0.5, 0.85)))
    top = height
    if draw.chance(0.5):
        top = height + draw(0.025, 0.05)
        margin = draw(0.02, 0.05)
        parts.append(_box(-x - margin, x + margin, -y - margin, y + margin, height, top))
    if draw.chance(0.35):
        half, tall, rear = x * draw(0.35, 0.8), draw(0.4, 0.8), y - draw(0.06, 0.1)
        thick = draw(0.025, 0.04)
        if draw.chance(0.5):
            parts.append(_upright(_arch(-half, half, top, top + tall * 0.7, tall * 0.3,
                                        draw.of(3, 5)), rear, rear + thick))
        else:
            parts.append(_leaning(_rectangle(-half, half, rear - 0.05, rear - 0.05 + thick), top,
                                  top + tall, np.array([0, draw(0, 0.06)])))
    return parts


def _screen(draw: _Draw, x, half, y, low, high) -> lofts.Part:
    """A screen with a sunken face, or a deep one that narrows to the back."""
    thick, rim = draw(0.04, 0.07), draw(0.015, 0.03)
    loop = _rectangle(x - half, x + half, low, high)
    inner = _inset(loop, rim)
    face = [(inner, thick / 2 - y), (inner, thick / 2 - y - draw(0.012, 0.02))]
    if draw.chance(0.2):
        deep = draw(0.15, 0.35)
        return lofts.part(_FRONT, [_scaled(loop, draw(0.45, 0.7)), loop, loop],
                          [-thick / 2 - deep - y, -thick / 2 - y, thick / 2 - y], face)
    back = _scaled(loop, draw(0.8, 0.95))
    return lofts.part(_FRONT, [back, loop, loop], [-thick / 2 - 0.03 - y, -thick / 2 - y,
                                                   thick / 2 - y], face)


def monitor(rng: np.random.RandomState) -> Parts:
    """Returns one or two screens (flat, deep or curved) on a neck and a foot."""
    draw = _Draw(rng)
    half, tall, neck = draw(0.24, 0.42), draw(0.26, 0.46), draw(0.07, 0.2)
    style = draw.of('one', 'one', 'one', 'two', 'curved')
    foot, plate = draw(0.1, 0.2), draw(0.02, 0.035)
    base = draw.of(_rectangle(-foot, foot, -foot * 0.7, foot * 0.7),
                   _chamfered(-foot, foot, -foot * 0.7, foot * 0.7, foot * 0.3),
                   _ellipse(0, 0, foot, foot * 0.8, 8),
                   _star(0, 0, foot * 0.35, foot, 3, -np.pi / 2))
    parts = [lofts.part(_Z, [base, _scaled(base, draw(0.85, 1))], [0, plate])]
    wide = foot * draw(0.12, 0.25)
    column = draw.of(_rectangle(-wide, wide, -0.015, 0.015), _ellipse(0, 0, wide, wide, 6))
    parts.append(lofts.part(_Z, [column, _scaled(column, draw(0.7, 1))], [plate, plate + neck]))
    low = plate + neck
    if style == 'curved':
        bend, thick = draw(0.04, 0.1), draw(0.03, 0.05)
        places = np.array([[-1, -bend], [-0.45, 0], [0.45, 0], [1, -bend]]) * [half, 1]
        front = places - [0, thick / 2]
        rear = places[::-1] + [0, thick / 2]
        parts.append(_prism(_Z, np.concatenate([front, rear]), low, low + tall))
    elif style == 'two':
        bar = draw(0.02, 0.03)
        parts.append(_box(-half * 0.9, half * 0.9, -0.02, 0.02, low, low + bar))
        gap = draw(0.015, 0.04)
        for side in (-1, 1):
            parts.append(_screen(draw, side * (half * 0.8 + gap), half * 0.8, 0, low + bar,
                                 low + bar + tall * 0.8))
    else:
        parts.append(_screen(draw, 0, half, 0, low, low + tall))
    if draw.chance(0.25):
        wide = half * draw(0.5, 0.9)
        parts.append(_leaning(_rectangle(-wide, wide, -foot - 0.3, -foot - 0.15), 0,
                              draw(0.02, 0.035), np.zeros(2), 0.94))
    return parts


def night_stand(rng: np.random.RandomState) -> Parts:
    """Returns a small cupboard with drawers, a door or a niche, or a small table with a shelf."""
    draw = _Draw(rng)
    width, depth, height = draw(0.38, 0.58), draw(0.34, 0.5), draw(0.45, 0.7)
    x, y = width / 2, depth / 2
    lift, thick = draw(0.05, 0.24), draw(0.035, 0.05)
    style = draw.of('drawers', 'niche', 'both', 'shelf')
    if style == 'shelf':
        loop = _top_loop(draw, width, depth)
        reach = 0.6 if len(loop) > 4 else 0.75
        low, high = height * draw(0.2, 0.4), height - draw(0.02, 0.04)
        # Legs in two storeys, with the shelf between.
        shelf = _scaled(loop, draw(0.92, 1.05))
        parts = _legs(draw, _corners(x * reach, y * reach), 0, low, thick)
        parts.append(_prism(_Z, shelf, low, low + 0.025))
        parts += [_box(place[0] - thick / 2, place[0] + thick / 2, place[1] - thick / 2,
                       place[1] + thick / 2, low + 0.025, high)
                  for place in _corners(x * reach * 0.97, y * reach * 0.97)]
        return parts + [_prism(_Z, loop, high, height)]
    if draw.chance(0.3):
        margin = draw(0.02, 0.05)
        parts = [_box(-x + margin, x - margin, -y + margin, y - margin, 0, lift)]
    else:
        parts = _legs(draw, _corners(x - 0.015 - thick, y - 0.015 - thick), 0, lift, thick)
    middle = {'drawers': height, 'niche': lift, 'both': lift + (height - lift) * draw(0.4, 0.6)}
    if style != 'niche':
        parts.append(_box(-x, x, -y, y, lift, middle[style]))
        parts += _fronts(draw, -x + 0.01, x - 0.01, -y, lift + 0.01, middle[style] - 0.01,
                         draw.of(1, 2, 3) if style == 'drawers' else 1, 1, draw.chance(0.7))
    if style != 'drawers':
        margin = 0.012 if style == 'both' else 0.
        parts.append(_niche(-x + margin, x - margin, -y + margin, y - margin, middle[style], height,
                            draw(0.025, 0.045), depth * draw(0.5, 0.85)))
    if draw.chance(0.5):
        margin = draw(0.015, 0.04)
        parts.append(_box(-x - margin, x + margin, -y - margin, y + margin, height,
                          height + draw(0.02, 0.04)))
    return parts


def sofa(rng: np.random.RandomState) -> Parts:
    """Returns a base with cushions, a back and arms; some have a corner part, legs, pillows."""
    draw = _Draw(rng)
    width, depth = draw(1.3, 2.3), draw(0.75, 1)
    lift, base, cushion = draw(0.05, 0.16), draw(0.15, 0.25), draw(0.09, 0.17)
    x, y = width / 2, depth / 2
    arm, thick = draw(0.12, 0.25), draw(0.15, 0.26)
    parts = [_box(-x, x, -y, y, lift, lift + base)]
    if draw.chance(0.3):
        parts.append(_box(-x + 0.06, x - 0.06, -y + 0.06, y - 0.06, 0, lift))
    else:
        leg = draw(0.05, 0.08)
        parts += _legs(draw, _corners(x - 0.04 - leg, y - 0.04 - leg), 0, lift, leg)
    low = lift + base
    seat, top = low + cushion, low + cushion + draw(0.3, 0.5)
    has_arms = draw.chance(0.85)
    inner = x - arm - 0.015 if has_arms else x - 0.03
    # The back stands on the base, between the arms.
    lean = draw(0, 0.12)
    style = draw.of('lean', 'plates', 'arch')
    rear = y - 0.03
    if style == 'arch':
        parts.append(_upright(_arch(-inner, inner, low, top - 0.12, draw(0.06, 0.2), draw.of(3, 5)),
                              rear - thick, rear))
    else:
        count = 1 if style == 'lean' else 2
        for number in range(count):
            left = -inner + 2 * inner * number / count + 0.015
            right = -inner + 2 * inner * (number + 1) / count - 0.015
            parts.append(_leaning(_rectangle(left, right, rear - thick, rear), low, top,
                                  np.array([0, lean]), draw(0.9, 1)))
    count = draw.of(1, 2, 3) if width > 1.7 else draw.of(1, 2)
    for number in range(count):
        left = -inner + 2 * inner * number / count + 0.012
        right = -inner + 2 * inner * (number + 1) / count - 0.012
        loop = _rectangle(left, right, -y + 0.03, rear - thick - 0.01)
        parts.append(lofts.part(_Z, [loop, _scaled(loop, 0.97)], [low, seat]))
    if has_arms:
        tall = seat + draw(0.08, 0.24)
        kind = draw.of('box', 'round', 'taper')
        for side in (-1, 1):
            x0, x1 = sorted([side * (x - 0.02), side * (x - arm)])
            if kind == 'round':
                loop = _arch(x0, x1, low, tall - 0.06, 0.06, 3)
                parts.append(_upright(loop, -y + 0.02, y - 0.02))
            else:
                loop = _rectangle(x0, x1, -y + 0.02, y - 0.02)
                parts.append(_leaning(loop, low, tall, np.zeros(2), 0.85 if kind == 'taper' else 1))
    if draw.chance(0.3):
        side, long, wide = draw.of(-1, 1), draw(0.45, 0.8), draw(0.55, 0.75)
        x0, x1 = sorted([side * (x - 0.03), side * (x - wide)])
        parts.append(_box(x0, x1, -y - long, -y, lift + 0.03, low - 0.015))
        parts.append(_leaning(_rectangle(x0 + 0.02, x1 - 0.02, -y - long + 0.02, -y - 0.02),
                              low - 0.015, seat - 0.015, np.zeros(2), 0.97))
    return parts


def table(rng: np.random.RandomState) -> Parts:
    """Returns a top of one of five outlines on legs, trestles, a drum or a foot."""
    draw = _Draw(rng)
    low_one = draw.chance(0.3)
    width, depth = draw(0.8, 1.8), draw(0.6, 1.05)
    height = draw(0.32, 0.5) if low_one else draw(0.68, 0.8)
    if draw.chance(0.3):
        depth = width = draw(0.7, 1.2)
    plate = draw(0.03, 0.08)
    x, y, low = width / 2, depth / 2, height - plate
    loop = _top_loop(draw, width, depth)
    parts = [lofts.part(_Z, [_scaled(loop, draw(0.92, 1)), loop], [low, height])
             if draw.chance(0.4) else _prism(_Z, loop, low, height)]
    reach = 0.6 if len(loop) > 4 else 0.78
    support = draw.of('legs', 'legs', 'legs', 'foot', 'trestles', 'drum', 'storeys')
    thick = draw(0.05, 0.1)
    if support == 'foot':
        parts += _pedestal(draw, 0, low, min(x, y) * 0.9)
    elif support == 'trestles':
        tall, half = low * draw(0.2, 0.6), thick / 2
        wide = y * reach
        for side in (-1, 1):
            panel = np.array([[-wide, 0], [wide, 0], [wide * draw(0.6, 0.95), low],
                              [-wide * 0.8, low]])
            place = side * x * reach
            parts.append(_prism(_X, panel, place - half, place + half))
        parts.append(_box(-x * reach + half, x * reach - half, -0.03, 0.03, tall, tall + 0.08))
    elif support == 'drum':
        drum = _scaled(loop, draw(0.35, 0.75))
        parts.append(lofts.part(_Z, [_scaled(drum, draw(0.7, 1.3)), drum], [0, low]))
    elif support == 'storeys':
        shelf = low * draw(0.2, 0.5)
        parts += _legs(draw, _corners(x * reach, y * reach), 0, shelf, thick)
        parts.append(_prism(_Z, _scaled(loop, draw(0.88, 0.95)), shelf, shelf + 0.03))
        parts += [_box(place[0] - thick / 2, place[0] + thick / 2, place[1] - thick / 2,
                       place[1] + thick / 2, shelf + 0.03, low)
                  for place in _corners(x * reach * 0.96, y * reach * 0.96)]
    else:
        if draw.chance(0.4):        # a frame below the top
            rim = _rectangle(-x * reach - thick, x * reach + thick, -y * reach - thick,
                             y * reach + thick) * 0.93
            inner, deep = _inset(rim, draw(0.03, 0.05)), draw(0.05, 0.1)
            parts.append(lofts.part(_Z, [rim, rim], [low - deep, low],
                                    [(inner, low), (inner, low - deep)], ring=True))
            parts += _legs(draw, _corners(*(inner.max(axis=0) - thick / 2 - 0.012)), 0, low, thick,
                           upright=True)
        else:
            parts += _legs(draw, _corners(x * reach, y * reach), 0, low, thick)
    return parts


def toilet(rng: np.random.RandomState) -> Parts:
    """Returns a bowl on a foot or on the wall, with a seat ring, a lid and a cistern."""
    draw = _Draw(rng)
    half, long, seat = draw(0.17, 0.22), draw(0.24, 0.3), draw(0.36, 0.45)
    corners = draw.of(8, 10, 12)
    rim = _ellipse(0, 0, half, long, corners)
    if draw.chance(0.4):            # squarish
        rim = _chamfered(-half, half, -long, long, draw(0.3, 0.6) * half)
    hang = draw.chance(0.3)
    bottom = draw(0.12, 0.2) if hang else 0.
    waist = draw(0.5, 0.75)
    loops = [_scaled(rim, waist), rim]
    heights = [bottom, seat]
    if not hang:
        loops = [_scaled(rim, draw(0.6, 0.8)), _scaled(rim, waist * 0.9), rim]
        heights = [0., seat * draw(0.35, 0.55), seat]
    inner = _inset(rim, draw(0.03, 0.05))
    depth = (seat - heights[-2]) * draw(0.5, 0.85)
    parts = [lofts.part(_Z, loops, heights, [(inner, seat), (_scaled(inner, waist * 0.8),
                                                             seat - depth)])]
    top = seat
    if draw.chance(0.6):
        top = seat + draw(0.02, 0.035)
        outer = _scaled(rim, draw(1.03, 1.08))
        hole = _inset(outer, draw(0.055, 0.08))
        parts.append(lofts.part(_Z, [outer, outer], [seat, top], [(hole, top), (hole, seat)],
                                ring=True))
    rear = long * 1.09
    tank, wide = draw(0.14, 0.22), half * draw(0.95, 1.3)
    low = draw(0., 0.3) * seat if hang else draw.of(0., seat * 0.8, seat + 0.02)
    high = seat + draw(0.3, 0.5)
    if not hang or draw.chance(0.5):
        loop = _rectangle(-wide, wide, rear, rear + tank)
        parts.append(_leaning(loop, low, high, np.zeros(2), draw(0.85, 1)))
        if draw.chance(0.7):
            cover = _rectangle(-wide * 1.06, wide * 1.06, rear - 0.015, rear + tank + 0.015)
            parts.append(_prism(_Z, cover, high, high + draw(0.025, 0.045)))
    else:
        parts.append(_upright(_rectangle(-wide, wide, 0, high * draw(0.9, 1.3)), rear,
                              rear + tank * 0.6))
    bridge = half * draw(0.4, 0.6)  # joins the bowl to what is behind it
    if low < seat * 0.3:
        parts.append(_box(-bridge, bridge, long * 1.0 + 0.004, rear, seat * 0.55, seat * 0.9))
    if draw.chance(0.5):            # the open lid
        tilt = draw(0.01, 0.05)
        parts.append(_upright(_arch(-half * 0.9, half * 0.9, top + 0.01, top + long * 0.9,
                                    half * draw(0.4, 0.8), draw.of(3, 5)), rear - 0.045 - tilt,
                              rear - 0.02 - tilt))
    return parts


FURNITURE: Dict[str, Callable[[np.random.RandomState], Parts]] = collections.OrderedDict(
    (build.__name__, build) for build in (bathtub, bed, chair, desk, dresser, monitor, night_stand,
                                         sofa, table, toilet))

"""Curves as inline SVG: no library, no script."""
import html
import math
from typing import List, Sequence, Tuple

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 22
_POINTS = 400           # of a curve that are drawn
_RANGE = 30.            # from smallest to largest value, above which the axis is logarithmic


def curve(steps: Sequence[float], values: Sequence[float], name: str) -> str:
    """Draws a curve.

    Args:
      steps, values: [N] numbers; those that are not finite are left out.
      name: str, for readers that see no pictures.
    Returns:
      str, an <svg> element; '' where there is nothing to draw.
    """
    points = [(float(step), float(value)) for step, value in zip(steps, values)
              if math.isfinite(step) and math.isfinite(value)]
    if not points:
        return ''
    points = _thinned(points)
    is_log = (min(value for _, value in points) > 0
              and max(value for _, value in points) > _RANGE * min(value for _, value in points))
    heights = [math.log10(value) if is_log else value for _, value in points]
    x_of = _scale([step for step, _ in points], _LEFT, _WIDTH - _RIGHT)
    y_of = _scale(heights, _HEIGHT - _BOTTOM, _TOP)
    drawn = ' '.join('{:.1f},{:.1f}'.format(x_of(step), y_of(height))
                     for (step, _), height in zip(points, heights))
    low, high = min(heights), max(heights)
    labels = [_text(_LEFT - 4, y_of(height) + (9 if height == high else 0),
                    _number(10 ** height if is_log else height), 'end')
              for height in sorted({low, high})]
    labels += [_text(x_of(step), _HEIGHT - 6, _number(step), anchor) for step, anchor in (
        (points[0][0], 'start'), (points[-1][0], 'end'))]
    frame = '<path d="M{0} {1}V{2}H{3}" fill="none" stroke="#9aa7b6"/>'.format(
        _LEFT, _TOP, _HEIGHT - _BOTTOM, _WIDTH - _RIGHT)
    line = ('<polyline points="{}" fill="none" stroke="#2f6db0" stroke-width="1.5"/>'.format(drawn)
            if len(points) > 1 else
            '<circle cx="{}" cy="{}" r="3" fill="#2f6db0"/>'.format(*drawn.split(',')))
    return '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>'.format(
        _WIDTH, _HEIGHT, html.escape(name), frame, line, ''.join(labels))


def _thinned(points: List[Tuple[float, float]]) -> List[Tuple[float, float]]:
    """At most about `_POINTS` of them; the first and the last stay."""
    every = -(-len(points) // _POINTS)
    return points if every == 1 else points[:-1:every] + points[-1:]


def _scale(values, start, end):
    """Function from values to pixels; a single value lies in the middle."""
    low, high = min(values), max(values)
    if high == low:
        return lambda value: (start + end) / 2.
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _number(value):
    return '{:.0f}'.format(value) if value == int(value) and abs(value) < 1e7 else (
        '{:.3g}'.format(value))


def _text(x, y, text, anchor):
    return '<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'.format(
        x, y, anchor, html.escape(text))

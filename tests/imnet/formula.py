"""The analytic fields of the golden cases, from the text of their formula."""
import re

import numpy as np

_WHOLE = re.compile(r'f = clip\(([\d.]+)\+([\d.]+)\*d, 0, 1\), d = max of \w+ parts: (.*)')
_NAMES = {'sqrt': np.sqrt, 'abs': np.abs, 'norm': np.linalg.norm,
          'min': lambda *parts: np.minimum.reduce(np.broadcast_arrays(*parts)),
          'max': lambda *parts: np.maximum.reduce(np.broadcast_arrays(*parts))}
_SAFE = re.compile(r'(?:sqrt|abs|min|max|distance|[xyz]|[\d.]+|[-+*/(), ])*')


def field(text):
    """The field of a formula, computed in float64: a function of points [N, 3] to float32 [N].

    The text is `f = clip(A+B*d, 0, 1), d = max of N parts: name expression, remark; name ...`; |..|
    is a size, of p - (a, b, c) a distance, 2x a product, ^ a power.

    Raises:
      ValueError: the text is of another form.
    """
    match = _WHOLE.fullmatch(text.strip())
    if not match:
        raise ValueError('unknown formula: {}'.format(text))
    level, slope = float(match.group(1)), float(match.group(2))
    parts = [_compiled(part.strip().partition(' ')[2], text) for part in match.group(3).split(';')]

    def call(points):
        points = np.asarray(points, np.float64)
        x, y, z = points.T
        names = dict(_NAMES, x=x, y=y, z=z, distance=lambda *middle: np.linalg.norm(
            points - middle, axis=1), __builtins__={})
        inside = np.maximum.reduce([eval(part, names) for part in parts])
        return np.clip(level + slope * inside, 0, 1).astype(np.float32)

    return call


def _compiled(part, text):
    """Python's form of a part, without the remark behind its first comma outside brackets."""
    part = re.sub(r'\|p-\(([^)]*)\)\|', r'distance(\1)', part)
    part = re.sub(r'\|([^|]*)\|', r'abs(\1)', part)
    part = re.sub(r'([\d.])([xyz])', r'\1*\2', part).replace('^', '**')
    depth = 0
    for number, letter in enumerate(part):
        depth += (letter == '(') - (letter == ')')
        if letter == ',' and not depth:
            part = part[:number]
            break
    part = part.rstrip('. ')
    if not part or not _SAFE.fullmatch(part):
        raise ValueError('unknown formula: {}'.format(text))
    try:
        return compile(part, 'formula', 'eval')
    except SyntaxError:
        raise ValueError('unknown formula: {}'.format(text))

"""What half precision does to the values of a graph, by operator and scope: counted with NumPy."""
import math
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from common import errors, files
from common.readers import text

# Exponents e of values in [2^(e-1), 2^e); what lies beyond counts with the last one.
_LOWEST, _HIGHEST = -60, 41
_OVERFLOW, _HALF_LARGEST = 65520., np.float32(65504)
_REDUCED = 2. ** -11        # relative error beyond which a value lost places: it is subnormal
_TARGET = 2. ** 14          # where a loss scale puts the largest gradient
_SUMMED = ('values', 'nonzero', 'saturated', 'vanished', 'reduced', 'error', 'total')


class Range(NamedTuple):
    """The values that one operator gives or takes in half precision within a scope.

    Attributes:
      ge_op, scope: str; is_gradient: bool, the values grow with the loss.
      values: int, how many were seen; nonzero: int.
      saturated: beyond +-65504; vanished: not 0, but 0 in half; reduced: below the smallest normal
        half, with fewer places left.
      error, total: sums of |rounded - value| and of |value|, of what did not saturate.
      histogram: counts by exponent of 2, from 2^-60 on.
    """

    ge_op: str
    scope: str
    is_gradient: bool
    values: int
    nonzero: int
    saturated: int
    vanished: int
    reduced: int
    error: float
    total: float
    histogram: Tuple[int, ...]

    @property
    def lost_share(self) -> float:
        """Returns the share of the sum of absolute values that rounding changes."""
        return self.error / self.total if self.total else 0.

    @property
    def largest_exponent(self) -> int:
        """Returns e where the largest value lies in [2^(e-1), 2^e); the lowest one if all are 0."""
        places = [place for place, count in enumerate(self.histogram) if count]
        return _LOWEST + (places[-1] if places else 0)


def measure(values: np.ndarray, ge_op: str = '', scope: str = '', is_gradient: bool = False
            ) -> Range:
    """Counts what rounding to half does to an array of float32 of any shape."""
    flat = np.asarray(values, np.float32).ravel()
    sizes = np.abs(flat)
    rounded = np.minimum(sizes, _HALF_LARGEST).astype(np.float16).astype(np.float32)
    overflows = ~(sizes < _OVERFLOW)
    nonzero = sizes > 0
    fine = nonzero & ~overflows
    difference = np.abs(rounded - sizes)
    vanished = fine & (rounded == 0)
    reduced = fine & ~vanished & (difference > _REDUCED * sizes)
    exponents = np.frexp(sizes[nonzero & np.isfinite(sizes)])[1]
    histogram = np.bincount(np.clip(exponents, _LOWEST, _HIGHEST - 1) - _LOWEST,
                            minlength=_HIGHEST - _LOWEST)
    return Range(ge_op, scope, is_gradient, flat.size, int(nonzero.sum()), int(overflows.sum()),
                 int(vanished.sum()), int(reduced.sum()),
                 float(difference[fine].sum(dtype=np.float64)),
                 float(sizes[fine].sum(dtype=np.float64)), tuple(histogram.tolist()))


def joined(ranges: Sequence[Range]) -> List[Range]:
    """Adds up the ranges of the same operator, scope and pass, in the order of their first."""
    sums: Dict[Tuple[str, str, bool], Range] = {}
    for one in ranges:
        key = one[:3]
        before = sums.get(key)
        sums[key] = one if before is None else one._replace(
            histogram=tuple(a + b for a, b in zip(before.histogram, one.histogram)),
            **{name: getattr(before, name) + getattr(one, name) for name in _SUMMED})
    return list(sums.values())


def write(path: str, ranges: Sequence[Range], about: Dict[str, Any]) -> None:
    """Writes ranges as JSON, with what else is to be told of the graph."""
    files.write_json(path, dict(about, ranges=[one._asdict() for one in ranges]),
                     sort_keys=False)


def read(path: str) -> Tuple[List[Range], Dict[str, Any]]:
    """Reads what `write` wrote: (ranges, what else is told).

    Raises:
      errors.InputError: the file is missing, or no such file.
    """
    content = text.read_json(path)
    try:
        return ([Range(**dict(one, histogram=tuple(one['histogram'])))
                 for one in content['ranges']],
                {name: value for name, value in content.items() if name != 'ranges'})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.InputError('{} is no record of ranges ({!r}). Make it again with python -m '
                                'common.precision report.'.format(path, error))


def loss_scale(ranges: Sequence[Range]) -> float:
    """Returns the power of 2 that brings the largest gradient to about 2^14; at least 1.

    What is left above is for batches whose gradients are larger.
    """
    gradients = [one for one in ranges if one.is_gradient and one.nonzero]
    if not gradients:
        return 1.
    largest = max(one.largest_exponent for one in gradients)
    return max(1., 2. ** (int(math.log2(_TARGET)) - largest))


def vanished_with(one: Range, scale: float) -> int:
    """Returns how many values of a range would still vanish times a power of 2 (a scaled loss)."""
    lowest = -25 - int(math.log2(scale))    # below 2^-25 nothing is left
    return sum(one.histogram[:max(0, lowest - _LOWEST + 1)])

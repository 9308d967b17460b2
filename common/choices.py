"""Discrete choices (tokens, classes, occupied or not) of two computations that round differently.

They may differ only where the margin of a choice lies within rounding: its distance, in probability
or logits, from the value at which it would come out otherwise. Such places are counted and told.
"""
from typing import Dict, NamedTuple, Optional

import numpy as np

ROUNDING = 1e-5     # of a probability or logit in float32, behind some dozen layers


class Moved(NamedTuple):
    """Where choices differ.

    Attributes:
      rows: bool [B], rows with a choice that differs.
      places: int, choices that differ.
      margin: float, the largest one of their margins; 0 where none differs.
    """

    rows: np.ndarray
    places: int
    margin: float


def compare(actual: np.ndarray, expected: np.ndarray, margins: np.ndarray,
            in_sequence: bool = False) -> Moved:
    """Finds the choices that differ; it is for the caller to refuse a margin beyond rounding.

    Args:
      actual, expected: [B, ...], of one shape.
      margins: float [B, ...] of the expected choices, of the same shape.
      in_sequence: bool, each row is a sequence in which a choice depends on those before it: only
        the first one that differs counts, the others follow from it.
    Returns:
      Moved.
    """
    rows = len(expected)
    differs = np.reshape(np.not_equal(actual, expected), [rows, -1])
    if in_sequence:
        differs = differs & (np.cumsum(differs, axis=1) == 1)
    places = np.reshape(margins, [rows, -1])[differs]
    return Moved(differs.any(axis=1), places.size, float(np.max(places, initial=0.0)))


def compare_sequences(actual: Dict[str, np.ndarray], expected: Dict[str, np.ndarray],
                      margins: Dict[str, np.ndarray]) -> Optional[Moved]:
    """Compares the outputs of a network whose rows are sequences of choices, see `compare`.

    Args:
      actual, expected: {output: array [B, ...]}.
      margins: {output: array [B, ...]}, for those outputs that are choices; all of the same B.
    Returns:
      Moved, of all these outputs together, or None without any.
    """
    parts = [compare(actual[name], expected[name], margins[name], in_sequence=True)
             for name in sorted(margins)]
    if not parts:
        return None
    return Moved(np.any([part.rows for part in parts], axis=0),
                 sum(part.places for part in parts), max(part.margin for part in parts))


def without_moved(array: np.ndarray, moved: Optional[Moved], axis: Optional[int]) -> np.ndarray:
    """Drops the rows of an output that follow from choices that differ.

    Args:
      array: the output; moved: Moved or None; axis: that of its rows, None where it has none.
    """
    if moved is None or axis is None:
        return array
    return np.compress(~moved.rows, array, axis)

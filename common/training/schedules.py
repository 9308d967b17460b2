"""How a learning rate changes over the steps of a training."""
import math


def half_cosine(done: float) -> float:
    """Returns the share of the learning rate, 1 to 0, that half a cosine leaves.

    Args:
      done: float, share of the training that is behind; from 1 on nothing is left.
    """
    return 0.5 * (1 + math.cos(math.pi * min(1., done)))

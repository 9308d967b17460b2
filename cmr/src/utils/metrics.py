"""What CMR is measured by. Errors are in metres, as the vertices; the scripts print millimetres."""
import numpy as np

from cmr.src.utils import pose_utils

PART_CLASSES = 7        # background and six parts
_IGNORED = 255


def shape_error(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns mean distances [B] of vertices [B, V, 3], without any alignment."""
    return np.linalg.norm(predicted - truth, axis=-1).mean(axis=-1)


def h36m_joints(vertices: np.ndarray, regressor: np.ndarray) -> np.ndarray:
    """Regresses the 14 joints that Human3.6M is measured by, relative to the root.

    Args:
      vertices: [B, V, 3]; regressor: [17, V], J_regressor_h36m.
    Returns:
      [B, 14, 3].
    """
    joints = np.einsum('jv,bvc->bjc', regressor, vertices)
    return (joints - joints[:, :1])[:, list(pose_utils.H36M_TO_J14)]


def joint_error(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns mean distances [B] of joints [B, n, 3] (MPJPE)."""
    return np.linalg.norm(predicted - truth, axis=-1).mean(axis=-1)


class Segmentation:
    """Accuracy and F1 of labelled pictures, over a whole set.

    Args:
      classes: int.
    """

    def __init__(self, classes: int):
        self._counts = np.zeros([3, classes])       # true positive, false positive, false negative
        self._right = self._pixels = 0

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Counts a picture; pixels of the truth that are 255 count for no class.

        Args:
          predicted, truth: int [H, W].
        """
        ignored = truth == _IGNORED
        for number in range(self._counts.shape[1]):
            actual, claimed = truth == number, (predicted == number) & ~ignored
            self._counts[:, number] += [np.sum(actual & claimed), np.sum(~actual & claimed),
                                        np.sum(actual & ~claimed)]
        self._right += np.sum(np.where(ignored, 0, truth) == predicted)
        self._pixels += truth.size

    @property
    def accuracy(self) -> float:
        """Share of pixels that are right; ignored ones count as background."""
        return self._right / self._pixels

    @property
    def f1(self) -> float:
        """Mean of the classes' F1."""
        hits, wrong, missed = self._counts
        return np.mean(2 * hits / (2 * hits + wrong + missed))

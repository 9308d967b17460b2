"""Measures of reconstructions and codes: IoU, classification, active units, neighbours."""
import numpy as np
from sklearn import model_selection, svm

from common import errors

ACTIVE_VARIANCE = 0.01  # of a mean over the data, above which a unit counts as active


def binarize(x_rec):
    """Occupied or not: floor(v + 0.5) in float32, as the original rounds.

    Args:
      x_rec: float32 array of any shape.
    Returns:
      bool array.
    """
    return np.floor(np.asarray(x_rec, np.float32) + np.float32(0.5)) > 0


def iou(x_rec, x):
    """Intersection over union of the occupied cells, shape by shape; 1 where both are empty.

    Args:
      x_rec, x: [N, ...], decoded and true occupancies.
    Returns:
      float64 [N].
    """
    ours, theirs = (binarize(array).reshape(len(array), -1) for array in (x_rec, x))
    union = (ours | theirs).sum(axis=1)
    return np.where(union == 0, 1., (ours & theirs).sum(axis=1) / np.maximum(union, 1))


def fit_svm(codes, labels, c=1., gamma='auto'):
    """The paper's classifier: a support vector machine with radial basis functions.

    Args:
      codes: [N, D], used as they are; labels: [N].
      c: float; gamma: float, or 'auto' = 1 / D.
    Returns:
      sklearn.svm.SVC.
    Raises:
      errors.InputError: the labels are of one class only.
    """
    if len(np.unique(labels)) < 2:
        raise errors.InputError('classification needs shapes of two classes or more in the '
                                'training split, found {}.'.format(len(np.unique(labels))))
    return svm.SVC(kernel='rbf', C=c, gamma=gamma).fit(codes, labels)


def search_svm(codes, labels, seed=0):
    """The same classifier with C and gamma by cross-validation on the training split.

    Args:
      codes, labels: of the training split, as in `fit_svm`.
      seed: int, of the folds.
    Returns:
      (sklearn.svm.SVC fitted on everything, dict of the chosen C and gamma).
    """
    scale = 1. / (codes.shape[1] * max(codes.var(), 1e-12))
    grid = {'C': [1., 3., 10., 30., 100.], 'gamma': [scale * factor for factor in
                                                    (0.03, 0.1, 0.3, 1., 3., 10.)]}
    folds = int(np.clip(np.bincount(labels)[np.unique(labels)].min(), 2, 5))
    search = model_selection.GridSearchCV(
        svm.SVC(kernel='rbf'), grid, cv=model_selection.StratifiedKFold(
            folds, shuffle=True, random_state=seed))
    search.fit(codes, labels)
    return search.best_estimator_, search.best_params_


def accuracy(classifier, codes, labels):
    """Share of the codes that get their own label."""
    return float(np.mean(classifier.predict(codes) == labels))


def active_units(codes, sizes):
    """Counts the numbers of each code that tell shapes apart.

    Args:
      codes: [N, D], means of the codes of many shapes.
      sizes: list of int, numbers of each code.
    Returns:
      list of int, for each code the numbers whose variance over the shapes is above 0.01.
    """
    active = codes.var(axis=0) > ACTIVE_VARIANCE
    return [int(part.sum()) for part in np.split(active, np.cumsum(sizes)[:-1])]


def nearest(queries, codes, count):
    """Nearest codes by Euclidean distance.

    Args:
      queries: [M, D]; codes: [N, D].
      count: int, at most N.
    Returns:
      int [M, count], numbers of the codes, the nearest first.
    """
    distances = ((queries ** 2).sum(axis=1)[:, None] + (codes ** 2).sum(axis=1)
                 - 2 * queries.dot(codes.T))
    return np.argsort(distances, axis=1, kind='stable')[:, :count]


def interpolate(start, end, steps=7):
    """Codes on the straight line between two, both included.

    Args:
      start, end: [D].
      steps: int >= 2.
    Returns:
      [steps, D] of the dtype of `start`.
    """
    parts = np.arange(steps, dtype=start.dtype)[:, None]
    return start + parts * (end - start) / (steps - 1)

"""Measures of reconstructions and codes: IoU, classification, active units, neighbours.

N, M: numbers of shapes, D: dimension of a code.
"""
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from sklearn import decomposition, model_selection, pipeline, preprocessing, svm

from common import errors

_MOST_PAIRS, _ROWS = 5000000, 500   # of shapes compared in all, and at a time
ACTIVE_VARIANCE = 0.01  # of a unit's mean over the data, above which it counts as active


def binarize(x_rec: np.ndarray) -> np.ndarray:
    """Binarises occupancies by floor(v + 0.5) in float32, as the original rounds.

    Args:
      x_rec: float32 array of any shape.
    Returns:
      bool array.
    """
    return np.floor(np.asarray(x_rec, np.float32) + np.float32(0.5)) > 0


def iou(x_rec: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of the occupied cells; 1 where both grids are empty.

    Args:
      x_rec, x: [N, ...], decoded and true occupancies.
    Returns:
      float64 [N].
    """
    decoded, true = (binarize(array).reshape(len(array), -1) for array in (x_rec, x))
    union = (decoded | true).sum(axis=1)
    return np.where(union == 0, 1., (decoded & true).sum(axis=1) / np.maximum(union, 1))


def shape_baselines(train: np.ndarray, test: np.ndarray) -> Dict[str, float]:
    """Measures answers that need no network: the mean training shape and the nearest one.

    Args:
      train, test: uint8 [N, 27000] and [M, 27000], occupancies.
    Returns:
      dict {'mean shape', 'nearest training shape': mean IoU over the test shapes}; the latter is
      left out where there are more than five million pairs.
    """
    mean = train.mean(axis=0, dtype=np.float32)
    best = max((0.2, 0.3, 0.4, 0.5), key=lambda level: iou(
        np.broadcast_to(mean >= level, train.shape), train).mean())
    scores = {'mean shape': float(iou(np.broadcast_to(mean >= best, test.shape), test).mean())}
    if len(train) * len(test) > _MOST_PAIRS:
        return scores
    nearest = np.zeros(len(test))
    wanted, sizes = test.astype(np.float32), test.sum(axis=1, dtype=np.int64)
    for start in range(0, len(train), _ROWS):
        part = train[start:start + _ROWS].astype(np.float32)
        both = wanted @ part.T
        either = sizes[:, None] + part.sum(axis=1) - both
        nearest = np.maximum(nearest, (both / np.maximum(either, 1)).max(axis=1))
    scores['nearest training shape'] = float(nearest.mean())
    return scores


def fit_svm(codes: np.ndarray, labels: np.ndarray, c: float = 1., gamma: Any = 'auto') -> svm.SVC:
    """Fits the paper's classifier: a support vector machine with radial basis functions.

    Args:
      codes: [N, D], used as they are; labels: int [N].
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


def fit_linear(codes: np.ndarray, labels: np.ndarray) -> pipeline.Pipeline:
    """Fits a linear probe: a linear support vector machine on standardised codes.

    Args:
      codes: [N, D]; labels: int [N], of two classes or more.
    Returns:
      sklearn.pipeline.Pipeline.
    """
    return pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC(kernel='linear')).fit(
        codes, labels)


def search_svm(codes: np.ndarray, labels: np.ndarray, test_codes: np.ndarray,
               test_labels: np.ndarray, seed: int = 0, copies: Sequence[np.ndarray] = ()
               ) -> Tuple[float, Dict[str, float]]:
    """Tests the support vector machine whose C and gamma do best in cross-validation.

    All kernels come from one matrix of distances, so that D may be in the thousands.

    Args:
      codes: [N, D]; labels: int [N]; test_codes: [M, D]; test_labels: int [M].
      seed: int, of the folds.
      copies: list of [N, D], codes of the same shapes augmented (mirrored): further examples to fit
        on; they are left out together with the shape that they are copies of.
    Returns:
      (float, accuracy on the test split; dict: `C` and `gamma`, which did best, and `score`, their
      accuracy on the held-out folds).
    """
    views = 1 + len(copies)
    codes, count = np.concatenate([codes] + list(copies)), len(codes)
    distances = _squared_distances(codes, codes)
    scale = 1. / max(float(distances.mean()), 1e-12)
    counts = np.unique(labels, return_counts=True)[1]
    if counts.max() < 2 or len(counts) < 2:
        raise errors.InputError('cross-validation needs two classes, and two shapes of a class, in '
                                'the training split.')
    folds = int(np.clip(counts.min(), 2, 5))
    parts = list(model_selection.StratifiedKFold(folds, shuffle=True, random_state=seed).split(
        labels, labels))
    parts = [(np.concatenate([fit + count * view for view in range(views)]), test)
             for fit, test in parts]
    labels = np.tile(labels, views)
    best: Tuple[float, Tuple[float, float]] = (-1., (0., 0.))
    for gamma in [scale * factor for factor in (0.1, 0.3, 1., 3., 10., 30.)]:
        kernel = np.exp(-gamma * distances)
        for c in (1., 3., 10., 30., 100.):
            scores = [np.mean(svm.SVC(kernel='precomputed', C=c).fit(
                kernel[np.ix_(fit, fit)], labels[fit]).predict(
                    kernel[np.ix_(test, fit)]) == labels[test]) for fit, test in parts]
            best = max(best, (float(np.mean(scores)), (c, gamma)))
    c, gamma = best[1]
    classifier = svm.SVC(kernel='precomputed', C=c).fit(np.exp(-gamma * distances), labels)
    predicted = classifier.predict(np.exp(-gamma * _squared_distances(test_codes, codes)))
    return float(np.mean(predicted == test_labels)), {'C': c, 'gamma': gamma, 'score': best[0]}


def _squared_distances(a, b):
    """Squared Euclidean distance of every pair, [N, M], of [N, D] and [M, D]."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return np.maximum(0, (a ** 2).sum(axis=1)[:, None] + (b ** 2).sum(axis=1) - 2 * a.dot(b.T))


def accuracy(classifier: Any, codes: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of the codes [N, D] whose label [N] a classifier predicts."""
    return float(np.mean(classifier.predict(codes) == labels))


def active_units(codes: np.ndarray, sizes: Sequence[int]) -> List[int]:
    """Counts the active units of each code (Burda et al. 2016): those that vary over the data.

    Args:
      codes: [N, D], means of the codes of many shapes.
      sizes: list of int, dimensions of the codes; their sum is D.
    Returns:
      list of int, for each code the units whose mean has a variance above 0.01.
    """
    active = codes.var(axis=0) > ACTIVE_VARIANCE
    return [int(part.sum()) for part in np.split(active, np.cumsum(sizes)[:-1])]


def nearest(queries: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Finds the nearest codes by Euclidean distance.

    Args:
      queries: [M, D]; codes: [N, D].
      count: int, at most N.
    Returns:
      int [M, count], rows of `codes`, the nearest first.
    """
    return np.argsort(_squared_distances(queries, codes), axis=1, kind='stable')[:, :count]


def interpolate(start: np.ndarray, end: np.ndarray, steps: int = 7) -> np.ndarray:
    """Interpolates linearly between two codes, both included.

    Args:
      start, end: [D].
      steps: int >= 2.
    Returns:
      [steps, D] of the dtype of `start`.
    """
    parts = np.arange(steps, dtype=start.dtype)[:, None]
    return start + parts * (end - start) / (steps - 1)


def _iou_distances(a, b):
    """1 - IoU of every pair of shapes, float64 [N, M], of occupancies [N, ...] and [M, ...]."""
    a, b = (binarize(array).reshape(len(array), -1).astype(np.float32) for array in (a, b))
    common = a.dot(b.T).astype(np.float64)
    union = a.sum(axis=1)[:, None] + b.sum(axis=1) - common
    return 1. - np.where(union == 0, 1., common / np.maximum(union, 1))


def generation(generated: np.ndarray, real: np.ndarray) -> Dict[str, float]:
    """Measures how well generated shapes match real ones (Achlioptas et al. 2018, section 3).

    The distance of two shapes is 1 - IoU.

    Args:
      generated: [N, 27000]; real: [M, 27000], shapes that were not trained on.
    Returns:
      dict: `coverage`, share of the real shapes that are the nearest of a generated one (more is
      better); `minimum_matching_distance`, mean distance of a real shape to the nearest generated
      one (less is better); `nearest_neighbor_accuracy`, how often the nearest neighbour tells
      generated from real (0.5 is best).
    """
    across = _iou_distances(generated, real)
    distances = np.block([[_iou_distances(generated, generated), across],
                          [across.T, _iou_distances(real, real)]])
    np.fill_diagonal(distances, np.inf)
    is_real = np.arange(len(distances)) >= len(generated)
    return {'coverage': len(np.unique(across.argmin(axis=1))) / len(real),
            'minimum_matching_distance': float(across.min(axis=0).mean()),
            'nearest_neighbor_accuracy': float(
                np.mean(is_real[distances.argmin(axis=1)] == is_real))}


def pca_iou(train: np.ndarray, test: np.ndarray, size: int) -> float:
    """Returns the IoU of reconstructions by a principal component analysis, as a baseline.

    Args:
      train: uint8 [N, 27000]; test: uint8 [M, 27000]; size: int, components.
    Returns:
      float, mean over the test shapes.
    """
    pca = _fit_pca(train, size)
    return float(iou(pca.inverse_transform(pca.transform(test)), test).mean())


def _fit_pca(train, size):
    size = min(size, len(train) - 1)
    return decomposition.PCA(size, svd_solver='randomized', random_state=0).fit(
        train.astype(np.float32))


def baselines(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray,
              test_labels: np.ndarray, size: int, copies: Sequence[np.ndarray] = ()
              ) -> Dict[str, float]:
    """Returns the test accuracies of simple classifiers, fitted on the training split.

    Args:
      train: uint8 [N, 27000]; train_labels: int [N].
      test: uint8 [M, 27000]; test_labels: int [M].
      size: int, components of the principal component analysis.
      copies: list of uint8 [N, 27000], see `search_svm`; then the support vector machines only.
    Returns:
      dict {name: float}.
    """
    pca = _fit_pca(train, size)
    codes, test_codes = pca.transform(train), pca.transform(test)
    accuracies = {
        'SVM on PCA codes': search_svm(codes, train_labels, test_codes, test_labels,
                                       copies=[pca.transform(copy) for copy in copies])[0],
        'SVM on voxels': search_svm(train, train_labels, test, test_labels, copies=copies)[0]}
    if copies:
        return {name + ', mirrored too': value for name, value in accuracies.items()}
    neighbor = train_labels[nearest(test_codes, codes, 1)[:, 0]]
    return {'1-NN on PCA codes': float(np.mean(neighbor == test_labels)), **accuracies}

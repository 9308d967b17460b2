"""Measures of reconstructions and codes: IoU, classification, active units, neighbours."""
import numpy as np
from sklearn import decomposition, model_selection, pipeline, preprocessing, svm

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


def fit_linear(codes, labels):
    """A linear support vector machine on codes of unit deviation: what a linear probe can read.

    Args:
      codes: [N, D]; labels: [N], of two classes or more.
    Returns:
      sklearn.pipeline.Pipeline.
    """
    return pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC(kernel='linear')).fit(
        codes, labels)


def search_svm(codes, labels, test_codes, test_labels, seed=0, copies=()):
    """Test accuracy of that classifier with C and gamma by cross-validation on the training split.

    The kernels come from one matrix of distances, so that codes of thousands of numbers do too.

    Args:
      codes: [N, D]; labels: int [N]; test_codes: [M, D]; test_labels: int [M].
      seed: int, of the folds.
      copies: list of [N, D], the same shapes seen otherwise (mirrored): further examples to fit
        on, never held out, and left out with the shape itself.
    Returns:
      (accuracy float, dict of the chosen C and gamma, and `score`, its accuracy on held-out folds).
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
    parts = [(np.concatenate([fit + count * view for view in range(views)]), held)
             for fit, held in parts]
    labels = np.tile(labels, views)
    best = (-1., None)
    for gamma in [scale * factor for factor in (0.1, 0.3, 1., 3., 10., 30.)]:
        kernel = np.exp(-gamma * distances)
        for c in (1., 3., 10., 30., 100.):
            scores = [np.mean(svm.SVC(kernel='precomputed', C=c).fit(
                kernel[np.ix_(fit, fit)], labels[fit]).predict(
                    kernel[np.ix_(held, fit)]) == labels[held]) for fit, held in parts]
            best = max(best, (float(np.mean(scores)), (c, gamma)))
    c, gamma = best[1]
    classifier = svm.SVC(kernel='precomputed', C=c).fit(np.exp(-gamma * distances), labels)
    predicted = classifier.predict(np.exp(-gamma * _squared_distances(test_codes, codes)))
    return float(np.mean(predicted == test_labels)), {'C': c, 'gamma': gamma, 'score': best[0]}


def _squared_distances(ours, theirs):
    """Squared Euclidean distance of every pair, [N, M], of [N, D] and [M, D]."""
    ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
    return np.maximum(0, (ours ** 2).sum(axis=1)[:, None] + (theirs ** 2).sum(axis=1)
                      - 2 * ours.dot(theirs.T))


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
    return np.argsort(_squared_distances(queries, codes), axis=1, kind='stable')[:, :count]


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


def _unlikeness(ours, theirs):
    """1 - IoU of every pair of shapes, float64 [N, M], of occupancies [N, ...] and [M, ...]."""
    ours, theirs = (binarize(array).reshape(len(array), -1).astype(np.float32)
                    for array in (ours, theirs))
    common = ours.dot(theirs.T).astype(np.float64)
    union = ours.sum(axis=1)[:, None] + theirs.sum(axis=1) - common
    return 1. - np.where(union == 0, 1., common / np.maximum(union, 1))


def generation(generated, real):
    """How well generated shapes match real ones (Achlioptas et al. 2018, section 3), by 1 - IoU.

    Args:
      generated: [N, 27000]; real: [M, 27000], shapes that were not trained on.
    Returns:
      dict: `coverage`, share of the real shapes that are nearest to a generated one (more is
      better); `minimum_matching_distance`, mean distance of a real shape to the nearest generated
      one (less is better); `nearest_neighbor_accuracy`, how often the nearest neighbour tells
      generated from real (0.5 is best).
    """
    across = _unlikeness(generated, real)
    inside = [_unlikeness(part, part) for part in (generated, real)]
    everything = np.block([[inside[0], across], [across.T, inside[1]]])
    np.fill_diagonal(everything, np.inf)
    is_real = np.arange(len(everything)) >= len(generated)
    return {'coverage': len(np.unique(across.argmin(axis=1))) / len(real),
            'minimum_matching_distance': float(across.min(axis=0).mean()),
            'nearest_neighbor_accuracy': float(
                np.mean(is_real[everything.argmin(axis=1)] == is_real))}


def pca_iou(train, test, size):
    """IoU of a principal component analysis with as many numbers as the codes have.

    Args:
      train, test: uint8 [N, 27000]; size: int.
    Returns:
      float, mean over the test shapes.
    """
    fitted = _pca(train, size)
    return float(iou(fitted.inverse_transform(fitted.transform(test)), test).mean())


def _pca(train, size):
    size = min(size, len(train) - 1)
    return decomposition.PCA(size, svd_solver='randomized', random_state=0).fit(
        train.astype(np.float32))


def baselines(train, train_labels, test, test_labels, size, copies=()):
    """Test accuracies of simple classifiers, fitted on the training split.

    Args:
      train, test: uint8 [N, 27000]; train_labels, test_labels: [N].
      size: int, numbers of the PCA's codes.
      copies: list of uint8 [N, 27000], see `search_svm`; then the support vector machines only.
    Returns:
      dict {name: float}.
    """
    fitted = _pca(train, size)
    codes, test_codes = fitted.transform(train), fitted.transform(test)
    machines = {
        'SVM on PCA codes': search_svm(codes, train_labels, test_codes, test_labels,
                                       copies=[fitted.transform(copy) for copy in copies])[0],
        'SVM on voxels': search_svm(train, train_labels, test, test_labels, copies=copies)[0]}
    if copies:
        return {name + ', mirrored too': value for name, value in machines.items()}
    neighbor = train_labels[nearest(test_codes, codes, 1)[:, 0]]
    return {'1-NN on PCA codes': float(np.mean(neighbor == test_labels)), **machines}

"""Tests of vsl/measures.py on cases computed by hand."""
import numpy as np
import pytest

from common import errors
from vsl import measures


def test_iou_counts_cells_and_is_one_for_two_empty_grids():
    ours = np.array([[0.6, 0.5, 0.1, 0.2], [0, 0, 0, 0]])
    theirs = np.array([[1, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(measures.iou(ours, theirs), [1 / 3, 1])


def test_rounding_is_that_of_float32():
    assert measures.binarize([0.49999997, 0.4999999, 0.5]).tolist() == [True, False, True]


def test_active_units_are_counted_code_by_code():
    codes = np.random.RandomState(0).normal(size=[50, 5]) * [1, 0, 0.5, 0.01, 0]
    assert measures.active_units(codes, [3, 2]) == [2, 0]


def test_interpolation_includes_both_ends():
    path = measures.interpolate(np.zeros(2), np.array([6., 12.]))
    np.testing.assert_allclose(path[:, 0], np.arange(7))
    np.testing.assert_allclose(path[-1], [6, 12])


def test_nearest_orders_by_distance():
    codes = np.array([[0., 0], [3, 0], [1, 0]])
    assert measures.nearest(np.array([[0.9, 0]]), codes, 3).tolist() == [[2, 0, 1]]


def separable(seed, count=40):
    rng = np.random.RandomState(seed)
    labels = np.repeat([1, 2], count // 2)
    return rng.normal(size=[count, 3]) * 0.1 + labels[:, None], labels


def test_the_searched_classifier_separates_what_can_be_separated():
    train, labels = separable(0)
    test, test_labels = separable(1)
    score, best = measures.search_svm(train, labels, test, test_labels)
    assert score == 1 and set(best) == {'C', 'gamma', 'score'} and best['score'] == 1
    assert measures.accuracy(measures.fit_svm(train, labels), test, test_labels) == 1


def test_a_linear_probe_reads_what_a_plane_divides():
    train, labels = separable(0)
    test, test_labels = separable(1)
    scale = [1., 1000., 1e-3]   # units of any size do
    probe = measures.fit_linear(train * scale, labels)
    assert measures.accuracy(probe, test * scale, test_labels) == 1


def test_the_search_agrees_with_the_library_about_its_own_choice():
    rng = np.random.RandomState(2)
    train, test = rng.normal(size=[60, 4]), rng.normal(size=[30, 4])
    labels, test_labels = (1 + (part[:, 0] * part[:, 1] > 0) for part in (train, test))
    score, best = measures.search_svm(train, labels, test, test_labels)
    fitted = measures.fit_svm(train, labels, best['C'], best['gamma'])
    assert abs(measures.accuracy(fitted, test, test_labels) - score) < 0.05


def test_copies_of_a_held_out_shape_are_held_out_too():
    rng = np.random.RandomState(0)
    codes, labels = rng.normal(size=[60, 5]), rng.randint(1, 3, 60)     # nothing to be learnt
    _, best = measures.search_svm(codes, labels, codes, labels, copies=[codes])
    assert best['score'] < 0.75
    score, _ = measures.search_svm(codes[:, :1] * 0, labels, labels[:, None], labels,
                                   copies=[labels[:, None]])
    assert score == 1   # what only the copies tell is learnt


def test_one_class_cannot_be_classified():
    with pytest.raises(errors.InputError, match='two classes'):
        measures.fit_svm(np.zeros([3, 2]), np.ones(3))


def test_generation_measures_are_perfect_for_copies_and_poor_for_one_shape():
    real = np.eye(6)
    copies = measures.generation(real, real)
    assert copies['coverage'] == 1 and copies['minimum_matching_distance'] == 0
    same = measures.generation(np.repeat(real[:1], 6, axis=0), real)
    assert same['coverage'] == pytest.approx(1 / 6)
    assert same['minimum_matching_distance'] == pytest.approx(5 / 6)
    apart = measures.generation(np.tile([[0, 0, 1., 1]], [4, 1]), np.tile([[1., 1, 0, 0]], [4, 1]))
    assert apart['nearest_neighbor_accuracy'] == 1


def test_a_pca_of_enough_numbers_reconstructs_its_own_data():
    shapes = (np.random.RandomState(0).rand(6, 50) < 0.3).astype(np.uint8)
    assert measures.pca_iou(shapes, shapes, 5) == 1

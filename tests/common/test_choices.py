"""Tests of common/choices.py, on arrays small enough to count by hand."""
import numpy as np

from common import choices

EXPECTED = np.int32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
MARGINS = np.float32([[.1, .2, .3], [.4, .5, .6], [.7, .8, .9]])


def test_every_place_that_differs_counts_with_the_largest_margin():
    actual = np.int32([[1, 2, 3], [4, 0, 0], [7, 8, 0]])
    moved = choices.compare(actual, EXPECTED, MARGINS)
    assert moved.rows.tolist() == [False, True, True] and moved.places == 3
    assert moved.margin == np.float32(.9)


def test_what_follows_the_first_difference_in_a_sequence_does_not_count():
    actual = np.int32([[1, 2, 3], [4, 0, 0], [0, 8, 0]])
    moved = choices.compare(actual, EXPECTED, MARGINS, in_sequence=True)
    assert moved.rows.tolist() == [False, True, True] and moved.places == 2
    assert moved.margin == np.float32(.7)      # of .5 and .7; the .6 and .9 behind them follow


def test_equal_choices_have_no_margin_and_one_choice_a_row_is_enough():
    moved = choices.compare(EXPECTED, EXPECTED, MARGINS)
    assert not moved.rows.any() and moved.places == 0 and moved.margin == 0
    moved = choices.compare(np.array([True, False]), np.array([True, True]), np.array([.5, .25]))
    assert moved.rows.tolist() == [False, True] and moved.margin == .25


def test_rows_that_moved_are_dropped_from_the_other_outputs_along_their_axis():
    actual = {'tokens': np.int32([[1, 2, 3], [4, 0, 0], [7, 8, 9]]), 'more': EXPECTED}
    moved = choices.compare_sequences(actual, {'tokens': EXPECTED, 'more': EXPECTED},
                                      {'tokens': MARGINS})
    array = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(choices.without_moved(array, moved, 0), array[[0, 2]])
    np.testing.assert_array_equal(choices.without_moved(array.T, moved, 1), array[[0, 2]].T)
    assert choices.without_moved(array, moved, None) is array
    assert choices.without_moved(array, None, 0) is array
    assert choices.compare_sequences(actual, actual, {}) is None

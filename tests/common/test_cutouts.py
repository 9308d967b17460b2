"""Tests of common/geometry/cutouts.py: objects of photos."""
import numpy as np

from common.geometry import cutouts


def photo(height=120, width=160):
    """A red ellipse before a background of two colours with noise; its mask."""
    rng = np.random.RandomState(0)
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows - 65) / 35.) ** 2 + ((columns - 90) / 30.) ** 2 < 1
    image = np.where(columns[..., None] < 70, [60, 120, 70], [90, 100, 160]).astype(float)
    image[mask] = [200, 40, 30]
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8), mask


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


def test_grabcut_finds_an_object_before_a_background_that_is_not_plain():
    image, mask = photo()
    assert overlap(cutouts.foreground(image), mask) > 0.95
    assert overlap(cutouts.unlike_border(image), mask) < 0.9    # the reason for it
    large = np.repeat(np.repeat(image, 8, axis=0), 8, axis=1)   # is made smaller for the search
    found = cutouts.foreground(large)
    assert found.shape == (960, 1280)
    assert overlap(found, np.repeat(np.repeat(mask, 8, axis=0), 8, axis=1)) > 0.93


def test_a_box_bounds_the_object():
    image, mask = photo()
    assert not cutouts.foreground(image, (50, 20, 130, 110))[:, :50].any()
    assert overlap(cutouts.foreground(image, (50, 20, 130, 110)), mask) > 0.95
    assert not cutouts.foreground(image, (400, 400, 500, 500)).any()


def test_a_picture_of_one_colour_has_no_object_and_the_result_is_the_same_each_time():
    cutouts.foreground(np.full([40, 50, 3], 99, np.uint8))      # ends, whatever it finds
    image, _ = photo()
    np.testing.assert_array_equal(cutouts.foreground(image), cutouts.foreground(image))

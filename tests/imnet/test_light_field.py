"""Tests of imnet/light_field.py."""
import numpy as np
import pytest

from imnet import light_field

QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4],
                  [1, 5, 7, 3]])
TRIANGLES = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]])


def box(*sizes):
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    return corners * sizes


@pytest.fixture(scope='module')
def plate():
    return light_field.describe(box(1, 0.6, 0.2), TRIANGLES)


def test_sixty_rotations_permute_ten_views():
    assert len({tuple(row) for row in light_field._ORDERS}) == 60
    assert all(sorted(row) == list(range(10)) for row in light_field._ORDERS)


def test_scale_place_and_the_dodecahedrons_rotations_do_not_matter(plate):
    assert light_field.distance(plate, plate) == 0
    rotation = light_field._rotations(light_field._corners())[17]
    moved = light_field.describe(box(1, 0.6, 0.2) @ rotation.T * 7 + 3, TRIANGLES)
    other = light_field.describe(box(1, 0.9, 0.7), TRIANGLES)
    assert light_field.distance(plate, moved) < 0.15 * light_field.distance(plate, other)


def test_the_distance_grows_with_the_difference(plate):
    distances = [light_field.distance(plate, light_field.describe(box(1, 0.6, height), TRIANGLES))
             for height in (0.25, 0.4, 0.6)]
    assert 0 < distances[0] < distances[1] < distances[2]

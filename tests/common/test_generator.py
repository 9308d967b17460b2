"""The generator's second version: meshes and solids of one shape, the same on any machine."""
import hashlib

import numpy as np
import pytest
import trimesh

from common import errors
from common.geometry import furniture, generator, lofts, meshes

NUMBERS = range(6)


def trimesh_of(vertices, faces):
    return trimesh.Trimesh(vertices, meshes.triangulate(faces, vertices), process=False)


@pytest.mark.parametrize('name', generator.CLASSES)
def test_meshes_are_closed_oriented_small_and_survive_eight_bits(name):
    for number in NUMBERS:
        vertices, faces = generator.shape(name, number).mesh()
        surface = trimesh_of(vertices, faces)
        assert surface.is_watertight and surface.is_winding_consistent and surface.volume > 0
        assert len(vertices) <= 200
        sides = vertices.max(axis=0) - vertices.min(axis=0)
        levels = np.rint((vertices - vertices.min(axis=0)) / np.linalg.norm(sides) * 255)
        assert len(np.unique(levels, axis=0)) == len(vertices)
        for face in faces:      # plane to 0.2 mm
            corners = vertices[face] - vertices[face].mean(axis=0)
            assert np.linalg.svd(corners)[1][-1] < 2e-4


@pytest.mark.parametrize('name', generator.CLASSES)
def test_parts_do_not_overlap_and_points_inside_are_those_of_the_mesh(name):
    rng = np.random.RandomState(5)
    for number in NUMBERS:
        item = generator.shape(name, number)
        low, high = item.box()
        points = rng.uniform(low, high, [300, 3])
        counts = lofts.inside(item.parts, points)
        assert counts.max() <= 1
        # Winding number by solid angles (van Oosterom and Strackee 1983).
        corners = trimesh_of(*item.mesh()).triangles[None] - points[:, None, None]
        lengths = np.linalg.norm(corners, axis=3)
        a, b, c = (corners[:, :, index] for index in range(3))
        below = (lengths.prod(axis=2) + (a * b).sum(2) * lengths[:, :, 2]
                 + (a * c).sum(2) * lengths[:, :, 1] + (b * c).sum(2) * lengths[:, :, 0])
        angles = 2 * np.arctan2((a * np.cross(b, c)).sum(2), below)
        np.testing.assert_array_equal(counts, np.rint(angles.sum(axis=1) / (4 * np.pi)))


@pytest.mark.parametrize('name', generator.CLASSES)
def test_volumes_of_voxels_come_close_to_those_of_the_mesh(name):
    for number in NUMBERS:
        item = generator.shape(name, number)
        low, high = item.box()
        # Sheets thinner than a cell count as a cell or as none: the offset of the grid decides.
        errors_of_grids = []
        for resolution in (96, 128):
            cell = (high - low).max() / resolution
            errors_of_grids.append(item.voxels(resolution, resolution).sum() * cell ** 3
                                   / trimesh_of(*item.mesh()).volume - 1)
        assert np.abs(errors_of_grids).min() < 0.1


def test_voxels_are_the_points_inside_at_the_centres_of_cells():
    item = generator.shape('toilet', 3)
    low, high = item.box()
    centres = np.stack(np.meshgrid(*3 * [np.arange(20) + 0.5], indexing='ij'), -1).reshape(-1, 3)
    points = (centres - 10) * (high - low).max() / 18 + (low + high) / 2
    np.testing.assert_array_equal(item.voxels(20, 18).ravel(), lofts.inside(item.parts, points) > 0)


def test_a_vessel_has_the_volume_of_its_outside_less_that_of_its_hollow():
    square = np.array([[0., 0], [4, 0], [4, 2], [0, 2]])
    inner = np.array([[1., 0.5], [3, 0.5], [3, 1.5], [1, 1.5]])
    for axis in range(6):
        vessel = lofts.part(axis, [square, square], [0, 3], [(inner, 3), (inner, 1)])
        ring = lofts.part(axis, [square, square], [0, 3], [(inner, 3), (inner, 0)], ring=True)
        assert trimesh_of(*lofts.mesh([vessel])).volume == pytest.approx(4 * 2 * 3 - 2 * 1 * 2)
        assert trimesh_of(*lofts.mesh([ring])).volume == pytest.approx(4 * 2 * 3 - 2 * 1 * 3)
        assert trimesh_of(*lofts.mesh([ring])).euler_number == 0    # a torus
        assert not lofts.inside([ring], trimesh_of(*lofts.mesh([ring])).bounds.mean(0)[None])[0]


def digest(arrays):
    return hashlib.sha256(b''.join(np.ascontiguousarray(array).tobytes() for array in arrays)
                          ).hexdigest()[:16]


def test_a_shape_is_the_same_on_any_machine():
    vertices = [np.rint(generator.shape(name, number, seed).mesh()[0] * 1e5).astype('<i4')
                for name in generator.CLASSES for number, seed in ((0, 0), (7, 3), (1, 900000))]
    assert digest(vertices) == 'b3e8185e68490926'


def test_the_first_version_stays_as_it_was():
    grids = [generator.voxels(name, [0, 1, 2], 16, 14, 1) for name in generator.CLASSES]
    assert digest(grids) == '980d8b720cbfbc26'
    np.testing.assert_array_equal(grids[2], furniture.voxels(
        furniture.furniture('chair', [0, 1, 2]), 16, 14))


def test_seed_and_number_tell_shapes_apart():
    first = generator.shape('chair', 0, 0).mesh()[0]
    for number, seed in ((1, 0), (0, 1)):
        other = generator.shape('chair', number, seed).mesh()[0]
        assert first.shape != other.shape or not np.allclose(first, other)


def test_held_out_seeds_are_no_training_seeds():
    assert generator.held_out_seed(3) == generator.HELD_OUT + 3
    for seed in (-1, generator.HELD_OUT, generator.held_out_seed(0)):
        with pytest.raises(errors.UsageError, match='for measuring'):
            generator.training_seed(seed)
    assert generator.training_seed(generator.HELD_OUT - 1) == generator.HELD_OUT - 1

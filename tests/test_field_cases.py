"""Files as programs and people write them, through the models that read them."""
import os

import numpy as np
import pytest

FIELD = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'field_cases')


def _grid_of_vsl(path):
    from vsl import make_dataset
    return make_dataset.voxelize(path, 'y')


def _grid_of_imnet(path):
    from imnet.point_sampling import sampler, solids
    return sampler.pooled(solids.read(path), 64)


def _grid_of_r2n2(path):
    from r2n2.tools import make_dataset
    return make_dataset._solid(make_dataset.Job('a', 'b', path, 0, '', 1, 'y'))[2]


@pytest.mark.parametrize('name, reference', [
    ('washer_ngon.obj', 'washer_ref.obj'), ('house_far_vertex.obj', 'house_ref.obj'),
    ('g18_sparse_all.glb', 'a00_base.obj'), ('o17_group_backslash_end.obj', 'a00_base.obj')])
@pytest.mark.parametrize('voxelized', [_grid_of_vsl, _grid_of_imnet, _grid_of_r2n2])
def test_meshes_of_other_programs_become_the_solid_that_they_are(voxelized, name, reference):
    grid, expected = [voxelized(os.path.join(FIELD, 'meshes', one)) for one in (name, reference)]
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(grid, expected)

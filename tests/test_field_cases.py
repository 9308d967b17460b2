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


def test_older_sets_of_imnet_are_scaled_to_256_cells(capsys, tmp_path):
    import shutil

    import h5py

    from common import errors
    from imnet import data_utils
    path = os.path.join(FIELD, 'imnet', 'cells64_vox256_img_train.hdf5')
    for size in (16, 32, 64):
        data = data_utils.Set(path, size, keys=('pixels',))
        assert 'count in {} cells a side'.format(size) in capsys.readouterr().out
        voxels = data_utils.Set(path).voxels(1)[..., 0]
        cells, values = data.points(1)
        positions = data_utils.coordinates(cells)
        assert positions.min() == 0.5 / size - 0.5 and positions.max() == 0.5 - 0.5 / size
        if size == 64:
            np.testing.assert_array_equal(
                voxels[tuple(np.floor((positions + 0.5) * 64).astype(int).T)], values[:, 0])
    copy = str(tmp_path / 'mixed.hdf5')
    shutil.copy(path, copy)
    with h5py.File(copy, 'r+') as stream:
        stream['values_32'][...] = 1 - stream['values_32'][...]
    with pytest.raises(errors.InputError, match='neither in cells of 256 nor of 32'):
        data_utils.Set(copy, 32)


def test_solids_and_views_of_imnet_have_the_levels_that_the_files_have():
    from imnet.IMSVR import photos
    from imnet.point_sampling import solids
    share = solids.read(os.path.join(FIELD, 'imnet', 'probabilities.npz')).mean()
    assert 0.01 < share < 0.5
    view = photos.read(os.path.join(FIELD, 'imnet', 'grey16.png'), crop='none')
    assert abs(view.min() * 255 - (2000 >> 8)) < 8 and abs(view.max() * 255 - (60000 >> 8)) < 3


def test_views_in_16_bit_grey_are_gathered_with_their_upper_8_bits(tmp_path):
    import shutil

    from imnet.point_sampling import view_sets
    for number in range(24):
        shutil.copy(os.path.join(FIELD, 'imnet', 'grey16.png'),
                    str(tmp_path / '{:02d}.png'.format(number)))
    views = view_sets.read_views(str(tmp_path))
    assert (views.min(), views.max()) == (2000 >> 8, 60000 >> 8)


def _meshes(root, *paths):
    import shutil
    for path in paths:
        place = os.path.join(str(root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy(os.path.join(FIELD, 'meshes', 'a00_base.obj'), place)


def test_what_is_no_data_becomes_no_class_and_test_meshes_are_not_trained_on(tmp_path):
    from common import errors
    from imnet.point_sampling import gather_vox, voxel_sets
    from polygen import mesh_sets
    from r2n2.tools import make_dataset as views
    from vsl import make_dataset as voxels
    litter = ['__MACOSX/car/._1.obj', '.ipynb_checkpoints/1.obj', 'car/._a.obj']
    _meshes(tmp_path, 'car/a.obj', 'tv/b.obj', *litter)
    folder = str(tmp_path)
    assert voxels.find_sources(folder, ('.obj',))[1] == ['car', 'tv']
    assert sorted(views.find_meshes(folder)[0]) == [('car', 'a'), ('tv', 'b')]
    assert mesh_sets.load_meshes(folder)[1].class_names == ['car', 'tv']
    assert [name for name, *_ in voxel_sets.categories(gather_vox.parse_args([
        '--input', folder, '--output', folder]))] == ['car', 'tv']
    for layout in (('train/car/a.obj', 'test/car/b.obj'), ('car/train/a.obj', 'car/test/b.obj')):
        place = tmp_path / layout[0].replace('/', '_')
        _meshes(place, *layout)
        for split, name in zip(('train', 'test'), layout):
            examples, summary = mesh_sets.load_meshes(str(place), split=split)
            assert [one['name'] for one in examples] == [name] and summary.num_meshes == 1
            assert summary.class_names == ['car']
    with pytest.raises(errors.InputError, match='none for test'):
        only = tmp_path / 'only'
        _meshes(only, 'train/car/a.obj')
        mesh_sets.load_meshes(str(only), split='test')
    upper = str(tmp_path / 'train_car_a.obj')
    for refuses in (lambda: voxels.find_sources(upper, ('.obj',)), lambda: views.find_meshes(upper),
                    lambda: voxel_sets.categories(gather_vox.parse_args([
                        '--input', upper, '--output', upper]))):
        with pytest.raises(errors.InputError, match='train'):
            refuses()


def test_the_two_versions_of_shapenet_are_paired_with_their_views(tmp_path):
    from r2n2.tools import make_dataset as views
    from vsl import make_dataset as voxels
    _meshes(tmp_path / 'in', '03001627/a1/model.obj', '03001627/b2/models/model_normalized.obj')
    for name in ('a1', 'b2'):
        place = tmp_path / 'views' / '03001627' / name / 'rendering'
        place.mkdir(parents=True)
        (place / '00.png').write_bytes(b'')
    assert sorted(views.find_meshes(str(tmp_path / 'in'))[0]) == [
        ('03001627', 'a1'), ('03001627', 'b2')]
    sources, _ = voxels.find_sources(str(tmp_path / 'in'), ('.obj',))
    images = voxels.find_images(str(tmp_path / 'views'), sources)
    assert [len(images[source.path]) for source in sources] == [1, 1]

"""Files as programs and people write them, through the models that read them."""
import os
import sys

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
    return make_dataset._solid(make_dataset.Job('a', 'b', path, 0, None, '', 1, 'y'))[2]


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
    with pytest.raises(errors.InputError, match='all points_32 lie below cell 32'):
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
    upper = str(tmp_path / 'upper')
    _meshes(upper, 'training/car/a.obj', 'test_set/car/b.obj')
    for refuses in (lambda: voxels.find_sources(upper, ('.obj',)), lambda: views.find_meshes(upper),
                    lambda: voxel_sets.categories(gather_vox.parse_args([
                        '--input', upper, '--output', upper]))):
        with pytest.raises(errors.InputError, match='train(ing)?/|the folder of a split'):
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


def test_pictures_are_read_by_all_models_alike(tmp_path, monkeypatch):
    from cmr import prediction
    from common import errors
    from imnet.IMSVR import photos
    from r2n2 import reconstruction
    from vsl import make_dataset
    hidden = os.path.join(FIELD, 'rgba_hidden.png')
    for picture in (make_dataset.read_image(hidden), reconstruction.prepared(hidden, 64, 'keep'),
                    np.round(255 * prediction.people(hidden, 64, stretch=False)[0][1])):
        magenta = (picture[..., 0] > 200) & (picture[..., 1] < 60) & (picture[..., 2] > 200)
        assert not magenta.any() and (picture > 240).all(axis=-1).any()
    trailing = os.path.join(FIELD, 'png_trailing.png')
    assert reconstruction.prepared(trailing, 64, 'keep').shape == (64, 64, 3)
    assert photos.read(trailing, crop='none').shape == (128, 128, 1)
    heic = os.path.join(FIELD, 'exif6.heic')
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    for refuses in (lambda: make_dataset.read_image(heic),
                    lambda: reconstruction.prepared(heic, 64), lambda: photos.read(heic),
                    lambda: prediction.people(heic, 64)):
        with pytest.raises(errors.InputError, match='HEIC .*install pillow-heif.* save it as JPEG'):
            refuses()
    for refuses in (lambda: make_dataset.read_image(hidden, 100),
                    lambda: reconstruction.prepared(hidden, 64, max_pixels=100),
                    lambda: photos.read(hidden, max_pixels=100),
                    lambda: prediction.people(hidden, 64, max_pixels=100)):
        with pytest.raises(errors.InputError, match='more than the 100'):
            refuses()


def test_photos_of_phones_are_read_upright_where_the_extra_is_installed():
    from common.readers import pictures
    pytest.importorskip('pillow_heif')
    picture = pictures.read(os.path.join(FIELD, 'exif6.heic'))
    assert picture.shape == (64, 40, 3)         # stored as 40 rows, turned by a quarter
    rows, columns = np.nonzero(picture[..., 1] < 120)    # a red box, rows 10-29, columns 20-49
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 49, 10, 29)


def test_a_rendering_with_alpha_is_turned_as_its_camera_says():
    from r2n2 import reconstruction
    picture = reconstruction.prepared(os.path.join(FIELD, 'alpha_exif6.png'), 127)
    differs = np.abs(picture.astype(int) - 240).max(axis=2)
    rows, columns = np.nonzero(differs > differs.max() / 2)     # the border is smooth
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 108, 41, 85)


def test_text_may_have_a_byte_order_mark_and_other_text_is_named(tmp_path):
    from common import errors
    from imnet.point_sampling import tables
    from r2n2.lib import config, data_io
    from vsl import data_utils
    mark = b'\xef\xbb\xbf'
    (tmp_path / 'classes.txt').write_bytes(mark + b'chair\r\ntable\r\n')
    assert data_utils.class_names('never.mat', 2, str(tmp_path / 'classes.txt')) == [
        'chair', 'table']
    (tmp_path / 'a.json').write_bytes(mark + b'{"01": {"name": "chair"}}')
    assert data_io.read_names(str(tmp_path / 'a.json')) == {'01': 'chair'}
    (tmp_path / 'a.yaml').write_bytes(mark + b'TRAIN:\n  PAD_X: 3\n')
    settings = config.defaults()
    assert config.merge_file(settings, str(tmp_path / 'a.yaml')) == {'TRAIN', 'TRAIN.PAD_X'}
    assert settings.TRAIN.PAD_X == 3
    (tmp_path / 'a.txt').write_bytes(mark + b'a b\nc\n\n')
    assert tables.read_names(str(tmp_path / 'a.txt')) == ['a b', 'c']
    (tmp_path / 'a.txt').write_bytes('a\nSt\xfchle\n'.encode('latin-1'))
    for read in (tables.read_names, lambda path: data_utils.class_names('never.mat', 2, path)):
        with pytest.raises(errors.InputError, match='a.txt: line 2 is no UTF-8 text'):
            read(str(tmp_path / 'a.txt'))


def test_sets_of_voxels_that_matlab_5_wrote_are_read(tmp_path):
    from scipy import io

    from vsl import data_utils
    rows = (np.random.RandomState(0).rand(3, 27001) < 0.3).astype(np.uint8)
    rows[:, 0] = 1, 2, 1
    io.savemat(str(tmp_path / 'a.mat'), {'train': rows, 'test': rows[:1]})
    split = data_utils.read_split(str(tmp_path / 'a.mat'), 'train')
    np.testing.assert_array_equal(split.voxels, rows[:, 1:])
    assert split.labels.tolist() == [1, 2, 1]
    assert data_utils.class_names(str(tmp_path / 'a.mat'), 2) == ['class1', 'class2']


def test_sets_of_views_lie_in_folders_of_any_name_and_say_how_many_views_there_are(tmp_path):
    from common import errors
    from r2n2.lib import config, data_io, data_process
    from r2n2.tools import make_dataset
    folder = str(tmp_path / 'my 100% [set]')
    assert make_dataset.main(['--furniture', '--models=1', '--views=2', '--workers=1',
                              '--output', folder]) == 0
    for litter in ('ShapeNetVox32/__MACOSX/x', 'ShapeNetVox32/.ipynb_checkpoints/x',
                   'ShapeNetVox32/chair/.ipynb_checkpoints'):
        os.makedirs(os.path.join(folder, litter))
    data = data_io.find(folder)
    pairs = data_io.pairs(data, [0, 1])
    assert len(pairs) == len(data.names) == 10
    settings = config.defaults()
    loader = data_process.Loader(settings, data, pairs, True)
    rng = np.random.RandomState(0)
    assert loader.sample(0, [0, 1], rng)[0].shape == (2, 127, 127, 3)
    with pytest.raises(errors.InputError, match='has 2 views, and TRAIN.NUM_RENDERING is 24. '
                                                'Give --set TRAIN.NUM_RENDERING 2'):
        loader.sample(0, [5], rng)

"""Tests of imnet/point_sampling: grids from all kinds of files, tables, the programs."""
import os
import resource
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import io as scipy_io

from common import errors
from common.geometry import meshes, voxel_grids
from imnet import furniture_set
from imnet.point_sampling import (
    gather_all,
    gather_img,
    gather_vox,
    sampler,
    solids,
    tables,
    voxel_sets,
)
from tests.imnet import tiny

CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]


def write_box(path, scale=(1, 1, 1), shift=(0, 0, 0), faces=QUADS):
    meshes.write(str(path), CUBE * scale + shift, faces)
    return str(path)


def test_the_random_draws_equal_scalar_calls_of_numpy():
    draws, rng = sampler.Draws(np.random.RandomState(3)), np.random.RandomState(3)
    assert [draws.next_raw() & 7 for _ in range(40)] == [rng.randint(8) for _ in range(40)]
    assert draws.rng().randint(1000) == rng.randint(1000)
    assert draws.next_raw() & 15 == rng.randint(16)


@pytest.mark.parametrize('side', [4, 6, 10, 12, 16])
def test_cells_of_any_side_are_drawn_as_scalar_calls_of_numpy(side):
    block = (np.random.RandomState(side).uniform(size=3 * [side]) < 0.4).astype(np.uint8)
    draws, rng = sampler.Draws(np.random.RandomState(5)), np.random.RandomState(5)
    for _ in range(20):
        expected = (rng.randint(side), rng.randint(side), rng.randint(side))
        while not block[expected]:
            expected = (rng.randint(side), rng.randint(side), rng.randint(side))
        assert sampler.sample_point_in_cube(block, 1, draws) == expected
    assert draws.rng().randint(2 ** 30) == rng.randint(2 ** 30)


def test_a_mesh_becomes_a_solid_of_diagonal_one_wherever_it_was(tmp_path):
    first = solids.from_mesh(write_box(tmp_path / 'a.obj', (2, 1, 1)))
    second = solids.from_mesh(write_box(tmp_path / 'b.obj', (200, 100, 100), (7, -300, 4)))
    np.testing.assert_array_equal(first.grid, second.grid)
    sizes = np.ptp(np.argwhere(first.grid), axis=0) + 1
    # Sides 2 : 1 : 1 with a diagonal of 256 cells; a side that ends within a cell takes it whole.
    assert abs(sizes[0] - 256 * 2 / 6 ** 0.5) <= 2 and abs(sizes[1] - 256 / 6 ** 0.5) <= 2
    assert first.grid.sum() == np.prod(sizes)
    corners = second.to_mesh([[1 / 6 ** 0.5, 0.5 / 6 ** 0.5, 0.5 / 6 ** 0.5]])
    np.testing.assert_allclose(corners, [[207, -200, 104]], atol=1e-6)


def test_z_up_is_turned_and_turned_back(tmp_path):
    solid = solids.from_mesh(write_box(tmp_path / 'a.obj', (1, 1, 3)), up='z')
    assert np.ptp(np.argwhere(solid.grid), axis=0).argmax() == 1
    np.testing.assert_allclose(solid.to_mesh([[0, 1.5 / 11 ** 0.5, 0]]), [[0.5, 0.5, 3]])


def test_folders_that_would_hide_shapes_are_refused(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'x.obj').write_text('')
    arguments = ['--input', str(tmp_path), '--output', str(tmp_path / 'out')]
    with pytest.raises(errors.UsageError, match='--category=c names one category'):
        voxel_sets.categories(gather_vox.parse_args(arguments + ['--category=c']))
    (tmp_path / 'a' / 'x.ply').write_text('')
    with pytest.raises(errors.InputError, match='several files of one shape: x.obj, x.ply'):
        voxel_sets.categories(gather_vox.parse_args(arguments))


@pytest.mark.parametrize('below, category', [('02691156', '02691156'), ('', 'set')])
def test_shapes_of_both_versions_of_shapenet_lie_in_folders_of_their_own(tmp_path, capsys, below,
                                                                         category):
    root = tmp_path / 'set'
    paths = ['a1/models/model_normalized.obj', 'a1/models/model_normalized.solid.binvox',
             'a1/models/model_normalized.surface.binvox', 'b2/model.obj', 'c3.ply',
             'd4/models/model_normalized.surface.binvox', 'd4/models/model_normalized.obj',
             'a1/images/texture0.jpg']
    for path in paths:
        place = root / below / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text('')
    (name, _, shapes), = voxel_sets.categories(gather_vox.parse_args(
        ['--input', str(root), '--output', str(tmp_path / 'out')]))
    assert name == category
    assert {shape: os.path.relpath(path, str(root / below)) for shape, path in shapes.items()} == {
        'a1': paths[1], 'b2': paths[3], 'c3': paths[4], 'd4': paths[6]}
    said = capsys.readouterr().out
    assert 'a1: model_normalized.solid.binvox is taken, of ' in said
    assert 'd4: model_normalized.obj is taken' in said and 'b2' not in said


def test_a_file_called_model_beside_others_is_a_shape_of_its_folder(tmp_path, capsys):
    for path in ('chair/model.obj', 'chair/stool.obj', 'chair/more/x/deep.obj'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('')
    found = voxel_sets.categories(gather_vox.parse_args(
        ['--input', str(tmp_path), '--output', str(tmp_path / 'out')]))
    assert [(name, sorted(shapes)) for name, _, shapes in found] == [('chair', ['model', 'stool'])]
    assert '1 files more than one folder deep, such as chair/more/x/deep.obj' in (
        capsys.readouterr().out)


def test_views_of_other_shapes_and_damaged_sources_are_told(tmp_path, capsys):
    folder = tmp_path / 'box'
    folder.mkdir()
    rows = [dict(row) for row in tiny.rows(2)]
    points = [{key: row[key] for key in tables.VOXEL_KEYS} for row in rows]
    tables.write_rows(str(folder / 'box_vox256.hdf5'), points, 2)
    tables.write_names(str(folder / 'box_vox256.hdf5'), ['a b', 'c'])
    tables.write_rows(str(folder / 'box_img.hdf5'), [{'pixels': row['pixels']} for row in rows], 2)
    tables.write_names(str(folder / 'box_img.hdf5'), ['c', 'a b'])
    assert gather_all.main(['--data_path', str(tmp_path)]) == 1
    assert 'run gather_img.py again' in capsys.readouterr().err
    tables.write_names(str(folder / 'box_img.hdf5'), ['a b', 'c'])
    assert gather_all.main(['--data_path', str(tmp_path)]) == 0
    assert (tmp_path / 'all_vox256_img_train.txt').read_text() == 'box/a b\n'
    for names in (['a b'], ['a b', 'c', 'd']):
        for kind in ('vox256', 'img'):
            tables.write_names(str(folder / 'box_{}.hdf5'.format(kind)), names)
        capsys.readouterr()
        assert gather_all.main(['--data_path', str(tmp_path)]) == 1
        assert 'has 2 shapes, and the .txt file beside {} names'.format(
            len(names)) in capsys.readouterr().err
    for kind in ('vox256', 'img'):
        tables.write_names(str(folder / 'box_{}.hdf5'.format(kind)), ['a b', 'c'])
    os.truncate(str(folder / 'box_img.hdf5'), 3000)
    capsys.readouterr()
    assert gather_all.main(['--data_path', str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert 'box_img.hdf5' in said and 'Make it again' in said and 'space' not in said


@pytest.mark.parametrize('damage', [
    lambda path: os.truncate(path, os.path.getsize(path) // 2),
    lambda path: os.rename(path[:-4] + '.npy', path)])
def test_a_damaged_or_renamed_grid_file_is_told(tmp_path, damage):
    path = str(tmp_path / 'a.npz')
    np.savez(path, voxels=np.ones([8, 8, 8]))
    np.save(str(tmp_path / 'a.npy'), np.ones([8, 8, 8]))
    damage(path)
    with pytest.raises(errors.InputError, match='a.npz.*numpy.savez'):
        solids.read(path)


def test_an_open_mesh_that_encloses_something_is_noted(tmp_path, capsys):
    ball = np.concatenate([CUBE, CUBE + [3, 0, 0]])
    faces = QUADS + [[8 + corner for corner in quad] for quad in QUADS[:-1]]
    meshes.write(str(tmp_path / 'a.obj'), ball, faces)
    assert solids.from_mesh(str(tmp_path / 'a.obj')).grid.any()
    assert 'open border' in capsys.readouterr().out


def test_an_open_mesh_is_refused_unless_it_is_asked_for(tmp_path):
    path = write_box(tmp_path / 'open.obj', faces=QUADS[:-1])
    with pytest.raises(errors.InputError, match='not closed.*--allow_open'):
        solids.from_mesh(path)
    assert solids.read(path, allow_open=True).any()


def test_grids_of_all_files_agree(tmp_path):
    grid = np.zeros([40, 40, 40], bool)
    grid[5:25, 10:20, 12:32] = True
    voxel_grids.write_binvox(str(tmp_path / 'a.binvox'), grid)
    np.savez(str(tmp_path / 'a.npz'), voxels=grid)
    first, second = (solids.read(str(tmp_path / name)) for name in ('a.binvox', 'a.npz'))
    np.testing.assert_array_equal(first, second)
    sizes = np.ptp(np.argwhere(first), axis=0) + 1
    np.testing.assert_allclose(np.linalg.norm(sizes), 256, atol=3)


def test_probabilities_are_cut_at_a_half_and_distances_are_refused(tmp_path):
    grid = np.full([64, 64, 64], 0.03)
    grid[20:40, 10:30, 15:25] = 0.97
    path = str(tmp_path / 'a.npz')
    np.savez(path, voxels=grid)
    soft = solids.read(path)
    np.savez(path, voxels=grid > 0.5)
    np.testing.assert_array_equal(soft, solids.read(path))
    for wrong in (0.5 - grid, np.where(grid > 0.5, np.nan, 0.), 1 - 2 * (grid > 0.5)):
        np.savez(path, voxels=wrong)
        with pytest.raises(errors.InputError, match='a.npz: the grid holds'):
            solids.read(path)
    np.savez(path, voxels=np.zeros([64, 64, 64, 1]))
    with pytest.raises(errors.InputError, match=r'found: voxels float64 \[64, 64, 64, 1\]'):
        solids.read(path)


def test_the_encoder_sees_points_as_the_grid_has_them():
    grid = furniture_set.solid('chair', [0, 0])
    sets = sampler.point_sets(grid, sampler.Draws.of_shape(0, 'x'))
    for size, points in sets.points.items():
        inside = grid[tuple(points.astype(int).T)]
        np.testing.assert_array_equal(inside, sets.values[size][:, 0])
    cells = sets.points[64] // 4
    assert len(np.unique(cells, axis=0)) == len(cells)
    again = sampler.point_sets(grid, sampler.Draws.of_shape(0, 'x'))
    other = sampler.point_sets(grid, sampler.Draws.of_shape(1, 'x'))
    np.testing.assert_array_equal(again.points[64], sets.points[64])
    assert (other.points[64] != sets.points[64]).any()


def test_an_empty_grid_and_a_broken_file_are_told(tmp_path):
    with pytest.raises(errors.InputError, match='empty'):
        sampler.point_sets(np.zeros([256] * 3, np.uint8), sampler.Draws.of_shape(0, 'x'))
    (tmp_path / 'a.mat').write_bytes(b'MATLAB 5.0 MAT-file, cut')
    with pytest.raises(errors.InputError, match='a.mat'):
        solids.read(str(tmp_path / 'a.mat'))
    with pytest.raises(errors.InputError, match='from 3 to 3; expected 1 to 2'):
        sampler.assemble(np.zeros([2, 16, 16, 16]), np.full([16] * 3, 3))
    for numbers in (np.zeros([0, 16, 16]), np.full([16] * 3, 'a'), np.array(3)):
        with pytest.raises(errors.InputError, match='expected numbers'):
            sampler.assemble(np.zeros([2, 16, 16, 16]), numbers)


@pytest.mark.slow
def test_programs_make_a_set_of_a_folder_and_go_on_after_an_interruption(tmp_path, capsys):
    source, out = tmp_path / 'box', tmp_path / 'out'
    source.mkdir()
    for number in range(4):
        write_box(source / 'b{}.obj'.format(number), (1 + number, 1, 1))
    write_box(source / 'open.obj', faces=QUADS[:3])
    blocks = np.zeros([2, 16, 16, 16], np.uint8)
    blocks[1] = 1
    numbers = np.ones([16] * 3, np.uint16)
    numbers[4:9, 4:9, 4:9] = 2
    scipy_io.savemat(str(source / 'a.mat'), {'b': blocks, 'bi': numbers})
    arguments = ['--input', str(source), '--output', str(out), '--workers=1']
    options = gather_vox.parse_args(arguments)
    parts = str(out / 'box' / 'parts_0_y')
    os.makedirs(parts)
    assert voxel_sets.sample_file(str(source / 'b0.obj'), os.path.join(parts, 'b0.npz'), 0, 'y',
                                  False) is None
    voxel_sets.gather(options)
    said = capsys.readouterr().out
    assert '6 shapes' in said and '1 sampled already' in said
    assert 'left out: open' in said and 'not closed' in said
    assert sorted(os.listdir(str(out / 'box'))) == ['box_vox256.hdf5', 'box_vox256.txt',
                                                    'sampling.json', 'statistics.txt']
    with h5py.File(str(out / 'box' / 'box_vox256.hdf5'), 'r') as stream:
        assert {name: stream[name].shape for name in stream}['points_64'] == (5, 16384, 3)
        assert stream['voxels'].chunks == (1, 64, 64, 64, 1)
    for name in ('a', 'b0', 'b1', 'b2', 'b3'):
        folder = tmp_path / 'views' / name / 'rendering'
        folder.mkdir(parents=True)
        for number in range(24):
            Image.fromarray(np.full([137, 137, 4], number, np.uint8)).save(
                str(folder / '{:02d}.png'.format(number)))
    assert gather_img.main(['--input', str(tmp_path / 'views'), '--output', str(out),
                            '--category=box']) == 0
    assert gather_all.main(['--data_path', str(out)]) == 0
    with open(str(out / 'all_vox256_img_test.txt')) as stream:
        assert stream.read() == 'box/b3\n'
    with h5py.File(str(out / 'all_vox256_img_train.hdf5'), 'r') as stream:
        assert stream['pixels'].shape == (4, 24, 137, 137) and len(stream['voxels']) == 4
    voxel_sets.gather(options)
    assert 'done already' in capsys.readouterr().out
    with pytest.raises(errors.InputError, match='sampled with .*--seed=0 .* not .*--seed=5'):
        voxel_sets.gather(gather_vox.parse_args(arguments + ['--seed=5']))
    (out / 'box' / 'box_img.txt').write_text('b3\n')
    assert gather_all.main(['--data_path', str(out)]) == 1
    assert 'box_img.txt' in capsys.readouterr().err


def test_the_split_takes_the_first_four_fifths_by_name():
    names = ['e', 'b', 'd', 'a', 'c', 'f']
    assert tables.split(names) == {'train': [3, 1, 4, 2], 'test': [0, 5]}


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    code = ('import sys; sys.path.insert(0, {!r})\n'
            'import numpy as np\nfrom imnet.point_sampling import tables\n'
            'rows = ({{"voxels": np.random.randint(0, 255, (64, 64, 64, 1)).astype(np.uint8)}}\n'
            '        for _ in range(20))\n'
            'try:\n    tables.write_rows({!r}, rows, 20)\n'
            'except tables.errors.InputError as error:\n    print(error)\n').format(
                os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                str(tmp_path / 'set.hdf5'))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = subprocess.run([sys.executable, '-c', code], preexec_fn=limit, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert 'cannot write' in done.stdout.decode() and 'Free some space' in done.stdout.decode()
    assert done.returncode == 0     # HDF5 itself would end the process with signal 11
    assert os.listdir(str(tmp_path)) == []

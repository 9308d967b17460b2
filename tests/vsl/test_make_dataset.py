"""Tests of vsl/make_dataset.py: meshes, binvox files and images to a set."""
import errno
import os
import zipfile
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from common import errors, files
from common.geometry import meshes, voxel_grids
from vsl import data_utils, make_dataset

FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def box(low, high):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    return np.array(low) + corners * (np.array(high, float) - low)


def asymmetric(path, up='z'):
    """24 x 12 x 6 with a knob at the end of x, at low y, on top: no two axes or ends alike."""
    vertices = np.concatenate([box([0, 0, 0], [24, 12, 4.6]), box([18.3, 0, 4], [24, 3.7, 6])])
    if up == 'y':
        vertices = vertices[:, [0, 2, 1]] * [1, 1, -1]
    faces = FACES + [tuple(index + 8 for index in face) for face in FACES]
    path.parent.mkdir(parents=True, exist_ok=True)
    meshes.write(str(path), vertices, faces)


def expected():
    grid = np.zeros([30, 30, 30], bool)
    grid[3:27, 9:21, 12:17] = True
    grid[21:27, 9:13, 16:18] = True
    return grid


@pytest.mark.parametrize('up', ['z', 'y'])
@pytest.mark.parametrize('extension', ['.obj', '.ply', '.glb'])
def test_an_asymmetric_solid_keeps_its_axes(tmp_path, up, extension):
    asymmetric(tmp_path / ('a' + extension), up)
    np.testing.assert_array_equal(
        make_dataset.voxelize(str(tmp_path / ('a' + extension)), up), expected())


def test_a_binvox_of_another_size_keeps_its_axes(tmp_path):
    grid = np.zeros([48, 48, 48], bool)
    grid[:48, 10:22, 4:28] = True       # x 48, y (up) 12, z 24
    grid[36:48, 10:22, 4:8] = False
    voxel_grids.write_binvox(str(tmp_path / 'a.binvox'), grid)
    grid = make_dataset.voxelize(str(tmp_path / 'a.binvox'), 'y')
    occupied = np.argwhere(grid)
    np.testing.assert_array_equal(occupied.min(axis=0), [3, 9, 12])
    np.testing.assert_array_equal(occupied.max(axis=0), [26, 20, 17])
    assert not grid[21:27, 19:21, 12:18].any() and grid[21:27, 9:19, 12:18].all()


def run(*arguments):
    return make_dataset.main(list(arguments) + ['--workers=2'])


def test_a_folder_of_meshes_becomes_a_set_and_broken_files_are_left_out(tmp_path, capsys):
    for label, name in enumerate(('chair', 'bed')):
        for split in ('train', 'test'):
            for number in range(2 + label):
                asymmetric(tmp_path / 'in' / name / split / '{}.obj'.format(number))
    (tmp_path / 'in' / 'bed' / 'train' / 'bad.off').write_text('OFF\n9 9 9\n1 2')
    (tmp_path / 'in' / 'bed' / 'train' / 'point.obj').write_text('v 1 1 1\nf 1 1 1\n')
    output = str(tmp_path / 'out.mat')
    assert run('--meshes', str(tmp_path / 'in'), '--output', output) == 0
    said = capsys.readouterr().out
    assert 'left out: ' in said and 'bad.off' in said and '2 left out' in said
    train, test = (data_utils.read_split(output, split) for split in ('train', 'test'))
    assert train.labels.tolist() == test.labels.tolist() == [1, 1, 1, 2, 2]
    np.testing.assert_array_equal(train.voxels[0].reshape(30, 30, 30), expected())
    assert data_utils.class_names(output, 2) == ['bed', 'chair']
    assert not (tmp_path / 'out.mat.parts').exists()




def off(sides, header='OFF\n'):
    """A box of 2 x 3 x 4, or some of its sides, as .off text."""
    lines = ['{}8 {} 0'.format(header, len(sides))]
    lines += [' '.join(map(str, point)) for point in box([0, 0, 0], [2, 3, 4])]
    lines += ['4 ' + ' '.join(map(str, side)) for side in sides]
    return '\n'.join(lines) + '\n'


def test_modelnet_as_it_is_downloaded(tmp_path, capsys):
    """One archive, its classes in a folder, litter beside; headers that run into the counts."""
    path = str(tmp_path / 'ModelNet10.zip')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('ModelNet10/README.txt', 'read me')
        archive.writestr('__MACOSX/ModelNet10/desk/train/._desk_0001.off', b'\0\5')
        archive.writestr('ModelNet10/.DS_Store', b'\0')
        for split in ('train', 'test'):
            archive.writestr('ModelNet10/desk/{}/desk_0001.off'.format(split), off(FACES, 'OFF'))
            archive.writestr('ModelNet10/sofa/{}/sofa_0001.off'.format(split), off(FACES[:-1]))
    output = str(tmp_path / 'out.mat')
    assert run('--meshes', path, '--output', output) == 0
    said = capsys.readouterr().out
    assert 'hollow: 2 of 4 shapes' in said and 'sofa/test/sofa_0001' in said
    assert 'desk/test' not in said and '0 left out' in said
    assert 'filling of 4 shapes: 2 solid, 0 empty, 2 hollow, 0 streaked, 0 thin' in said
    train, test = (data_utils.read_split(output, split) for split in ('train', 'test'))
    assert data_utils.class_names(output, 2) == ['desk', 'sofa']
    for split in (train, test):
        assert split.labels.tolist() == [1, 2]
        # The longest side has 24 cells, the others 24 * 2 / 4 and 24 * 3 / 4.
        assert split.voxels[0].sum() == 12 * 18 * 24
        # Five sides of that box: a box of cells less what is inside and less the last side's.
        assert split.voxels[1].sum() == 12 * 18 * 24 - 10 * 16 * 23
    assert not (tmp_path / 'out.mat.parts').exists()


def test_empty_members_of_an_archive_are_told_and_not_unpacked(tmp_path, capsys):
    path, output = str(tmp_path / 'sets.zip'), str(tmp_path / 'out.mat')
    empty = ['sets/desk/train/\x1b[31m{}.off'.format(number) for number in range(300)]
    with zipfile.ZipFile(path, 'w') as archive:
        for name in empty:
            archive.writestr(name, b'')
    with mock.patch.object(files, 'replacing') as made:     # a file takes milliseconds
        assert run('--meshes', path, '--output', output) == 1
    assert not made.called
    error = capsys.readouterr().err
    assert 'all of its 300 files are empty' in error
    assert error.startswith('error: {}: '.format(path)) and error[:-1].isprintable()
    with zipfile.ZipFile(path, 'a') as archive:
        for split in ('train', 'test'):
            archive.writestr('sets/desk/{}/good.off'.format(split), off(FACES))
    with mock.patch.object(files, 'replacing', wraps=files.replacing) as made:
        assert run('--meshes', path, '--output', output) == 0
    assert sum(call[0][0].endswith('.off') for call in made.call_args_list) == 2
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines) and len(lines) < 120
    left_out = [line for line in lines if line.startswith('left out')]
    assert len(left_out) == 101 and left_out[-1] == 'left out: 200 more'
    assert left_out[0].startswith(r'left out: sets/desk/train/\x1b[31m0.off of')
    assert any(line.endswith('; 300 left out') for line in lines)


@pytest.mark.parametrize('name', ['\x1b[31mdesk', '\u202eksed', 101 * 'x', 'a\tb'])
def test_classes_that_no_set_can_name_are_told_before_the_work(tmp_path, capsys, name):
    for split in ('train', 'test'):
        (tmp_path / 'in' / name / split).mkdir(parents=True)
        (tmp_path / 'in' / name / split / '1.off').write_text(off(FACES))
    with mock.patch.object(make_dataset, '_work') as work:
        assert run('--meshes', str(tmp_path / 'in'), '--output', str(tmp_path / 'o.mat')) == 1
    assert not work.called
    error = capsys.readouterr().err
    assert error.startswith('error: {}: the name of class 1 is'.format(tmp_path / 'in'))
    assert error[:-1].isprintable() and len(error) < 300 and not (tmp_path / 'o.mat').exists()


def test_a_full_disk_leaves_no_shape_out(tmp_path, capsys):
    for split in ('train', 'test'):
        for number in range(3):
            path = tmp_path / 'in' / 'sofa' / split / '{}.off'.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(off(FACES))
    save, count = np.save, []

    def full(path, array):
        count.append(path)
        if len(count) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(path, array)

    arguments = ['--meshes', str(tmp_path / 'in'), '--output', str(tmp_path / 'out.mat'),
                 '--workers=1']
    with mock.patch.object(np, 'save', full):
        assert make_dataset.main(arguments) == 1
    assert 'No space left on device' in capsys.readouterr().err
    assert not (tmp_path / 'out.mat').exists()
    assert make_dataset.main(arguments) == 0
    assert '3 shapes for training, 3 for testing' in capsys.readouterr().out


def test_open_surfaces_are_filled_where_that_is_asked_for(tmp_path, capsys):
    for split in ('train', 'test'):
        folder = tmp_path / 'in' / 'sofa' / split
        folder.mkdir(parents=True)
        (folder / '1.off').write_text(off(FACES[:-1]))
    arguments = ['--meshes', str(tmp_path / 'in'), '--output', str(tmp_path / 'out.mat')]
    assert run(*arguments, '--fill_open') == 0
    assert 'filling of 2 shapes: 2 solid, 0 empty, 0 hollow' in capsys.readouterr().out
    split = data_utils.read_split(str(tmp_path / 'out.mat'), 'train')
    # Inside, not the side that is missing: its cells' centres lie within the box as well.
    assert split.voxels[0].sum() == 12 * 18 * 24
    assert run('--furniture', '--fill_open', '--output', str(tmp_path / 'f.mat')) == 2
    assert '--fill_open is for --meshes' in capsys.readouterr().err


def test_grids_that_come_without_a_mesh_are_judged_by_their_cells(tmp_path, capsys):
    for split in ('train', 'test'):
        (tmp_path / 'in' / 'a' / split).mkdir(parents=True)
        grid = np.zeros([24, 24, 24], bool)     # as many cells as the longest side has
        grid[:, :, 3:4 if split == 'test' else 6] = True
        voxel_grids.write_binvox(str(tmp_path / 'in' / 'a' / split / 'g.binvox'), grid)
    assert run('--binvox', str(tmp_path / 'in'), '--output', str(tmp_path / 'out.mat')) == 0
    said = capsys.readouterr().out
    assert 'filling of 2 shapes: 1 solid, 0 empty, 0 hollow, 0 streaked, 1 thin' in said
    assert 'thin: 1 of 2 shapes' in said and 'a/test/g' in said


@pytest.mark.slow
def test_two_hundred_meshes_in_one_call_that_goes_on_after_an_interruption(tmp_path, monkeypatch,
                                                                           capfd):
    broken = ['OFF\n9 9 9\n1 2', '', 'OFF\n3 1 0\n0 0 0\n1 nan 0\n0 1 0\n3 0 1 2\n', 'solid']
    for number in range(200):
        folder = tmp_path / 'in' / 'abc'[number % 3] / ('test' if number % 5 == 0 else 'train')
        if number % 25 == 7:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / '{:03d}.off'.format(number)).write_text(broken[number // 25 % 4])
        else:
            asymmetric(folder / '{:03d}{}'.format(number, ('.obj', '.ply', '.glb')[number % 3]))
    arguments = ['--meshes', str(tmp_path / 'in'), '--output', str(tmp_path / 'out.mat')]
    with monkeypatch.context() as patch:
        patch.setattr(data_utils, 'write', mock.Mock(side_effect=KeyboardInterrupt))
        assert run(*arguments) == 130
    assert not (tmp_path / 'out.mat').exists()
    capfd.readouterr()
    assert run(*arguments) == 0
    said = capfd.readouterr().out
    assert 'going on: 192 of 200 shapes are done already' in said
    assert said.count('left out: ') == 8
    assert '152 shapes for training, 40 for testing, 3 classes; 8 left out' in said
    train = data_utils.read_split(str(tmp_path / 'out.mat'), 'train')
    assert (train.voxels == expected().ravel()).all()


def test_work_that_was_done_before_an_interruption_is_not_done_again(tmp_path, monkeypatch):
    for split in ('train', 'test'):
        asymmetric(tmp_path / 'in' / 'a' / split / '0.obj')
    sources, _ = make_dataset.find_sources(str(tmp_path / 'in'), ('.obj',))
    parts = str(tmp_path / 'parts')
    first, _, _ = make_dataset.voxelize_all(sources, parts, 'z', 1)
    monkeypatch.setattr(make_dataset, 'voxelize', None)     # calling it would fail
    again, _, problems = make_dataset.voxelize_all(sources, parts, 'z', 1)
    assert not problems
    for path in first:
        np.testing.assert_array_equal(first[path], again[path])


def test_images_join_their_shapes_in_the_layout_of_pascal3d(tmp_path):
    for split in ('train', 'test'):
        asymmetric(tmp_path / 'in' / 'a' / split / 'm1.obj')
        folder = tmp_path / 'images' / 'a' / split / 'm1'
        folder.mkdir(parents=True)
        for view, color in enumerate([(255, 0, 0, 255), (0, 0, 255, 0)]):
            Image.new('RGBA', (40, 40), color).save(str(folder / '0{}.png'.format(view)))
    Image.new('RGB', (9, 9), (0, 9, 0)).save(str(tmp_path / 'images/a/train/m1_x.png'))
    output = str(tmp_path / 'out.mat')
    assert run('--meshes', str(tmp_path / 'in'), '--images', str(tmp_path / 'images'), '--output',
               output) == 0
    split = data_utils.read_split(output, 'train', images=True)
    assert split.labels.tolist() == [1, 1, 1]
    colors = {tuple(image[50, 50]) for image in split.images}
    assert colors == {(255, 0, 0), (255, 255, 255), (0, 9, 0)}  # what is transparent is white


def test_shapes_without_a_split_are_divided_by_their_names(tmp_path):
    for number in range(40):
        asymmetric(tmp_path / 'a' / '{}.obj'.format(number))
    sources = [make_dataset.find_sources(str(tmp_path), ('.obj',), 0.25, 0)[0] for _ in range(2)]
    assert sources[0] == sources[1]
    assert 3 <= sum(source.split == 'test' for source in sources[0]) <= 18


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match='named after their classes'):
        make_dataset.find_sources(str(tmp_path), ('.obj',))


def test_splits_above_the_classes_are_refused(tmp_path):
    for split in ('train', 'test'):
        (tmp_path / split / 'chair').mkdir(parents=True)
        (tmp_path / split / 'chair' / 'a.obj').write_text('')
    with pytest.raises(errors.InputError, match='layout train/<class>/.* as <class>/train/'):
        make_dataset.find_sources(str(tmp_path), ('.obj',))
    (tmp_path / 'car').mkdir()      # `train` may be a class beside others
    (tmp_path / 'car' / 'a.obj').write_text('')
    assert make_dataset.find_sources(str(tmp_path), ('.obj',))[1] == ['car', 'test', 'train']


def test_furniture_is_made_by_one_command(tmp_path, capsys):
    output = str(tmp_path / 'f.mat')
    assert run('--furniture', '--num_train=2', '--num_test=1', '--output', output) == 0
    split = data_utils.read_split(output, 'train')
    assert split.labels.tolist() == sorted(2 * list(range(1, 11)))
    assert data_utils.class_names(output, 10)[0] == 'bathtub'
    assert 'error' in (run('--furniture', '--output', str(tmp_path / 'x.h5')) and
                       capsys.readouterr().err)


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path, capsys):
    source = tmp_path / 'in' / 'chair'
    source.mkdir(parents=True)
    (source / 'a.obj').write_text('v 0 0 0\n')
    (tmp_path / 'file').write_text('')
    output = tmp_path / 'file' / 'o.mat'
    capsys.readouterr()
    assert run('--meshes', str(tmp_path / 'in'), '--output', str(output)) == 1
    assert capsys.readouterr().err == (
        'error: cannot make the folder {}.parts: Not a directory. Choose another place for the '
        'output.\n'.format(output))

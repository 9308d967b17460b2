"""Tests of imnet/own_set.py: a set of meshes of one's own, and a training fitted to it."""
import os

import h5py
import numpy as np
import pytest
import trimesh

from common import cli, errors
from imnet import make_dataset, options, own_set


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """(folder of a set of four shapes, what was printed) out of three boxes, a ball, a scrap."""
    place = tmp_path_factory.mktemp('own')
    for name, mesh in (('box/a b', trimesh.creation.box([1, 2, 3])),
                       ('box/c', trimesh.creation.box([2, 2, 3])),
                       ('box/d', trimesh.creation.box([1, 1, 3])),
                       ('ball/e', trimesh.creation.icosphere(2))):
        os.makedirs(os.path.dirname(str(place / 'meshes' / name)), exist_ok=True)
        mesh.export(str(place / 'meshes' / (name + '.ply')))
    (place / 'meshes' / 'ball' / 'scrap.obj').write_text('v 0 0 0\n')
    parsed = make_dataset.parse_args(['--meshes={}'.format(place / 'meshes'),
                                      '--output={}'.format(place / 'data'), '--workers=1'])
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_set.cli, 'say', said.append)
        make_dataset.make(cli.settled(parsed))
    return str(place / 'data'), '\n'.join(said)


def test_meshes_become_a_set_with_views_and_scraps_are_told(made):
    folder, said = made
    assert 'left out ball/scrap' in said
    names = []
    for split, count in (('train', 3), ('test', 1)):
        stem = os.path.join(folder, own_set.STEM + '_' + split)
        with h5py.File(stem + '.hdf5', 'r') as stream:
            assert stream['pixels'].shape == (count, 24, 137, 137)
            assert stream['voxels'].shape == (count, 64, 64, 64, 1)
            assert stream['points_64'].shape[0] == count and stream['voxels'][0].any()
        with open(stem + '.txt', encoding='utf-8') as stream:
            names += stream.read().splitlines()
    assert sorted(names) == ['ball/e', 'box/a b', 'box/c', 'box/d']
    assert sorted(os.listdir(folder)) == sorted(
        own_set.STEM + ending for ending in ('_test.hdf5', '_test.txt', '_train.hdf5',
                                             '_train.txt'))


def test_a_box_is_solid_and_keeps_its_proportions(made):
    folder, _ = made
    for split in ('train', 'test'):
        stem = os.path.join(folder, own_set.STEM + '_' + split)
        with open(stem + '.txt', encoding='utf-8') as stream:
            names = stream.read().splitlines()
        if 'box/a b' not in names:
            continue
        with h5py.File(stem + '.hdf5', 'r') as stream:
            grid = stream['voxels'][names.index('box/a b'), ..., 0] > 0
        sides = [np.ptp(places) + 1 for places in np.nonzero(grid)]
        assert grid.sum() == np.prod(sides)
        # A box of 1 x 2 x 3 whose diagonal is 64 cells, and a cell at each border.
        assert np.abs(np.array(sides) - np.array([17.1, 34.2, 51.3])).max() < 2


def test_epochs_are_fitted_to_the_number_of_shapes(made, capsys, monkeypatch, tmp_path):
    folder, _ = made
    monkeypatch.setattr(options, 'PRETRAINED', str(tmp_path / 'none'))

    def fitted(*arguments):
        return own_set.fitted(options.complete(options.parse_args(
            ['--data_path=' + folder, '--preset=own', *arguments]), 'cpu').replace(dataset=''))

    settled = fitted()
    assert settled.epochs == [800, 1067, 1101]      # 2400, 800 and 100 steps of three shapes
    assert settled.svr_batch_size == 3 and settled.svr_epochs == 1200
    assert '3 shapes for training' in capsys.readouterr().out
    assert fitted('--epochs', '3', '4', '5', '--svr_epochs=7').epochs == [3, 4, 5]
    with pytest.raises(errors.UsageError, match='set of your own'):
        options.complete(options.parse_args(['--preset=own']), 'cpu')


def test_folders_for_testing_are_heeded():
    rows = [('train', 'a/b', '0'), ('test', 'a/c', '1'), ('', 'a/d', '2')]
    assert own_set._parted(rows) == {'train': [('a/b', '0'), ('a/d', '2')], 'test': [('a/c', '1')]}
    with pytest.raises(errors.InputError, match='for testing'):
        own_set._parted([('test', 'a/c', '1')])

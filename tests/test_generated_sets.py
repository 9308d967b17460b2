"""No training draws the shapes that are held out for measuring, whatever the model."""
import os

import pytest

from cmr import options as cmr_options
from cmr.src.dataset import posed_bodies
from common import errors
from common.geometry import generator
from imnet import furniture_set
from polygen import make_dataset as polygen_sets
from r2n2.lib import data_io
from r2n2.tools import make_dataset as r2n2_sets
from vsl import make_dataset as vsl_sets


@pytest.fixture
def seeds(monkeypatch):
    """The seeds of the shapes drawn, in order."""
    drawn, shape = [], generator.shape
    monkeypatch.setattr(generator, 'shape', lambda name, number, seed=0: (
        drawn.append(seed), shape(name, number, seed))[1])
    return drawn


def test_vsl_trains_on_one_seed_and_tests_on_held_out_shapes(seeds):
    splits, names = vsl_sets.make_furniture(4, 2, 1, version=2)
    assert seeds == 20 * [4] + 10 * [900004] and names == list(generator.CLASSES)
    assert splits['train'].voxels.shape == (20, 27000)
    assert 0.02 < splits['train'].voxels.mean() < 0.5


def test_imnet_trains_on_one_seed_and_tests_on_held_out_shapes(seeds, monkeypatch, tmp_path):
    monkeypatch.setattr(furniture_set.sampler, 'SIZE', 32)
    monkeypatch.setattr(furniture_set.sampler, 'point_sets', lambda grid, draws: grid.sum() > 0)
    monkeypatch.setattr(furniture_set.tables, 'arrays_of', lambda filled: {'filled': filled})
    monkeypatch.setattr(furniture_set, 'render_views', lambda grid: None)
    monkeypatch.setattr(furniture_set.workers, 'parallel',      # here, where `seeds` sees it
                        lambda make, jobs, processes, what: map(make, jobs))
    written = []
    monkeypatch.setattr(furniture_set.tables, 'write_rows',
                        lambda path, rows, count, how: written.extend(rows))
    furniture_set.write(str(tmp_path), 2, ['sofa'], 4, version=2)
    assert sorted(set(seeds[:4])) == [4] and sorted(set(seeds[4:])) == [900004]
    assert [row['filled'] for row in written] == 3 * [True]


def test_r2n2_refuses_to_train_on_a_set_made_for_measuring(tmp_path):
    for flags, count in (([], 4), (['--held_out'], 900004)):
        folder = str(tmp_path / str(count))
        r2n2_sets.make(r2n2_sets.parse_args(
            ['--furniture', '--generator=2', '--models=1', '--views=1', '--seed=4', '--workers=1',
             '--output', folder] + flags))
        assert len(os.listdir(os.path.join(folder, 'ShapeNetVox32'))) == 10
        if flags:
            with pytest.raises(errors.InputError, match='made with --held_out, for measuring'):
                data_io.refuse_held_out(data_io.find(folder))
        else:
            data_io.refuse_held_out(data_io.find(folder))
    with pytest.raises(errors.UsageError, match='was made with'):
        r2n2_sets.make(r2n2_sets.parse_args(
            ['--furniture', '--generator=1', '--views=1', '--output', str(tmp_path / '4')]))
    with pytest.raises(errors.UsageError, match='needs --generator=2'):
        r2n2_sets.make(r2n2_sets.parse_args(['--furniture', '--held_out', '--output', 'x']))


def test_cmr_refuses_to_make_a_training_set_of_bodies_for_measuring(monkeypatch):
    made = []
    monkeypatch.setattr(posed_bodies.body_lib, 'load', lambda path: made.append(path) or 1 / 0)
    for seed, train, allowed in ((899999, 2, True), (900000, 1, True), (900000, 2, False)):
        parsed = cmr_options.parse_dataset_args(
            ['--seed={}'.format(seed), '--num_train={}'.format(train), '--output=x'], '')
        expected = ZeroDivisionError if allowed else errors.UsageError
        with pytest.raises(expected):
            posed_bodies.make(parsed)
    assert len(made) == 2


def test_polygen_refuses_to_train_on_held_out_shapes(tmp_path):
    """Which ones it tests on: tests/polygen/test_conditions.py."""
    with pytest.raises(errors.UsageError, match='--seed 900004: the shapes of seeds from 900000'):
        polygen_sets.make(polygen_sets.parse_args(
            ['--furniture', '--seed=900004', '--output', str(tmp_path)]))

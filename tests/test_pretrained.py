"""Tests of tests/pretrained.py and of the figures that the cards of weights quote."""
import os

import numpy as np
import pytest

from common import collection, errors
from common.readers import text
from common.training import pretrained as weights_lib
from common.training import recipes, weight_files
from tests import held_out, pretrained

SHIPPED = [(name, place) for name in collection.NAMES for place in pretrained.shipped(name)]
MOST = 30 << 20         # bytes of all weights
FIGURES = {'900000': {'IoU': 0.5, 'accuracy': 0.75}, '900001': {'IoU': 0.25, 'accuracy': 1.}}


def changed(seed, name, value):
    return dict(FIGURES, **{seed: dict(FIGURES[seed], **{name: value})})


def test_figures_may_differ_by_rounding_alone():
    assert pretrained.differences(FIGURES, FIGURES) == []
    assert pretrained.differences(FIGURES, changed('900001', 'IoU', 0.2515)) == []
    assert pretrained.differences(FIGURES, changed('900001', 'IoU', 0.247)) == [
        'set 900001: IoU is 0.247, recorded 0.25 (tolerance 0.002)']
    assert len(pretrained.differences(FIGURES, changed('900000', 'accuracy', 0.7))) == 1
    assert len(pretrained.differences(FIGURES, changed('900000', 'IoU', float('nan')))) == 1


def test_figures_that_are_missing_or_new_are_told():
    assert pretrained.differences(FIGURES, {'900000': FIGURES['900000']}) == [
        'set 900001: no figure "{}" any more'.format(name) for name in ('IoU', 'accuracy')]
    assert pretrained.differences(FIGURES, changed('900000', 'F-score', 1.)) == [
        'set 900000: no figure "F-score" recorded']


def test_every_figure_has_a_tolerance():
    for name in ('IoU with 3 views', 'IoU of the nearest training shape', 'accuracy',
                 'share of complete and valid samples with --valid_only', 'normal consistency',
                 'bits per vertex, faces, uniform distribution', 'Chamfer distance x 1000',
                 'Shape Error (graph network), mm', 'training meshes copied by 24 samples'):
        assert 0 <= pretrained.tolerance_of(name) < 0.07


def test_a_command_runs_on_a_set_and_into_a_folder_of_our_own():
    script, arguments = pretrained.own_command(
        "python polygen/train.py --data_path=set --preset=small --validation_path set "
        "--output_path runs/a --seed=3 --set KEY '[0, 1]'", 'data', 'out')
    assert script == 'polygen/train.py'
    assert arguments == ['--data_path=data', '--output_path=out', '--preset=small', '--seed=3',
                         '--set', 'KEY', '[0, 1]']
    with pytest.raises(errors.InputError, match='no script'):
        held_out.words_of('python -m something')


def test_baselines_are_those_of_the_mean_and_the_nearest_shape():
    train = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0],
                      [0, 0, 0, 0, 1, 1, 1, 1]], bool)
    test = np.array([[1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0]], bool)
    found = held_out.baselines(np.packbits(train, axis=1), np.packbits(test, axis=1))
    # Cut at 0.5 the mean is 11000000: IoU 1, 2/3 and 0 with the three; at 0.3 it has 7 cells.
    assert found == {'IoU of the mean training shape': pytest.approx((1 + 0) / 2),
                     'IoU of the nearest training shape': pytest.approx((1 + 0.5) / 2)}


def test_grids_of_the_generator_are_those_of_the_training_sets():
    from r2n2.tools import make_dataset
    task = ('chair', 3, 2, 32, 32)
    job = make_dataset.Job('chair', '0002', None, 2, 3, '', 1, 'y')
    grid = np.unpackbits(held_out._grid(task)).reshape(32, 32, 32).astype(bool)
    np.testing.assert_array_equal(grid.transpose(0, 2, 1)[:, :, ::-1], make_dataset._solid(job)[2])


def test_losses_are_compared_step_by_step(capsys):
    recorded = {step: {'loss': 1. / step} for step in range(1, 11)}
    assert pretrained._compare_losses('VSL', recorded, recorded) == []
    assert 'differ by 0 at most' in capsys.readouterr().out
    other = {**recorded, 3: {'loss': 0.3343}}
    assert pretrained._compare_losses('VSL', recorded, other) == [
        'VSL: loss of step 3 is 0.3343, recorded 0.3333333333333333']
    assert pretrained._compare_losses('VSL', recorded, {1: {'loss': 1.}})[0] == (
        'VSL: step 2 is not reached')
    assert pretrained._compare_losses('VSL', {}, recorded)[0] == 'VSL: step 1 is not recorded'


def test_cards_quote_what_was_measured(tmp_path):
    from tests.common import test_pretrained
    folder = str(test_pretrained.export(tmp_path))
    assert 'Not measured yet.' in text.read(os.path.join(folder, 'card.md'))
    weights_lib.quote(folder, pretrained._quoted('vsl', FIGURES, 61.))
    recorded = {'sets': FIGURES}
    assert pretrained._not_quoted('vsl', folder, recorded) == []
    assert pretrained._not_quoted('vsl', folder, {'sets': changed('900000', 'IoU', 0.6)})
    card = text.read(os.path.join(folder, 'card.md'))
    assert '| IoU | 0.5 | 0.25 |' in card and card.count('end of figures') == 1


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match='no weights in'):
        pretrained.check(pretrained.parse_args(['--model', 'vsl', '--weights', str(tmp_path)]))
    with pytest.raises(errors.UsageError, match='of one model'):
        pretrained.check(pretrained.parse_args(['--weights', str(tmp_path)]))


@pytest.mark.parametrize('model, folder', SHIPPED)
def test_what_ships_is_complete_and_its_card_quotes_the_record(model, folder):
    manifest = weight_files.read_manifest(os.path.join(folder, weight_files.MANIFEST))
    recorded = text.read_json(os.path.join(folder, pretrained.FIGURES))
    assert recorded['weights'] == manifest['files']
    assert pretrained._not_quoted(model, folder, recorded) == []
    assert recipes.read(folder)['data'] and recipes.read_curve(folder)
    assert 'To be written' not in text.read(os.path.join(folder, weights_lib.CARD))


def test_all_that_ships_is_small_enough():
    folders = {os.path.join(collection.ROOT, name, weights_lib.FOLDER)
               for name in collection.NAMES}
    sizes = [os.path.getsize(os.path.join(place, name)) for folder in folders
             for place, _, names in os.walk(folder) for name in names]
    assert 20 << 20 < sum(sizes) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize('model, folder', SHIPPED)
def test_figures_of_the_weights_that_ship(model, folder, tmp_path):
    assert pretrained.main(['--model', model, '--weights', folder, '--work', str(tmp_path),
                            '--debug']) == 0


@pytest.mark.slow
@pytest.mark.parametrize('model, folder', [
    one for one in SHIPPED if os.path.basename(one[1]) == weights_lib.FOLDER])    # from nothing
def test_the_first_steps_are_built_from_nothing(model, folder, tmp_path):
    assert pretrained.main(['--model', model, '--weights', folder, '--rebuild', '--work',
                            str(tmp_path), '--debug']) == 0

"""Tests of --preset=own of r2n2/main.py: a training fitted to a set of one's own."""
import pytest

from common import errors
from r2n2 import options as options_lib
from r2n2 import training
from r2n2.lib import data_io


def settled(*arguments):
    return options_lib.complete(options_lib.parse_args(
        ['--data_path=somewhere', '--preset=own', *arguments]), 'cpu')


@pytest.fixture
def four_models(monkeypatch):
    monkeypatch.setattr(data_io, 'pairs', lambda data, portion: [('chair', str(number))
                                                                 for number in range(4)])


def test_batch_and_length_come_from_the_set(four_models, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(options_lib, 'PRETRAINED', str(tmp_path / 'none'))
    options = training.fitted(settled(), None)
    assert options.batch_size == options.settings.CONST.BATCH_SIZE == 4
    assert options.settings.TRAIN.NUM_ITERATION == 1000
    assert options.settings.TRAIN.LEARNING_RATES == {'800': pytest.approx(2e-4)}
    assert options.evaluate and options.views == 3
    assert options.settings.NET.BATCH_NORM      # of quick.yaml
    assert '4 models for training; --batch_size=4 --training_steps=1000' in (
        capsys.readouterr().out)
    assert not hasattr(options, 'own')


def test_what_the_command_line_says_stays(four_models):
    options = training.fitted(settled('--batch_size=2', '--training_steps=70', '--views=1'), None)
    assert (options.batch_size, options.settings.TRAIN.NUM_ITERATION, options.views) == (2, 70, 1)
    with pytest.raises(errors.UsageError, match='set of your own'):
        options_lib.complete(options_lib.parse_args(['--preset=own']), 'cpu')

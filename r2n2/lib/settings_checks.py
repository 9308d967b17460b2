"""Checks that the settings of a run make sense; each message names the setting."""
from common import errors
from r2n2 import models
from r2n2.lib import config as config_lib
from r2n2.lib import layers

_FROM_1 = ('CONST.BATCH_SIZE', 'CONST.N_VIEWS', 'TRAIN.NUM_ITERATION', 'TRAIN.NUM_RENDERING')


def check(settings: config_lib.Config) -> None:
    """Refuses settings that no run can have, and puts LEARNING_RATES into one form.

    Args:
      settings: config.Config; keys of LEARNING_RATES become str and values float.
    Raises:
      errors.UsageError: a setting makes no sense.
    """
    if settings.CONST.IMG_W != settings.CONST.IMG_H:
        raise errors.UsageError('CONST.IMG_W and CONST.IMG_H must be equal, not {} and {}.'.format(
            settings.CONST.IMG_W, settings.CONST.IMG_H))
    _refuse(settings.CONST.N_VOX != 32, 'CONST.N_VOX', '32, which every network here gives',
            settings.CONST.N_VOX)
    _refuse(settings.CONST.RNG_SEED < 0, 'CONST.RNG_SEED', '0 or more', settings.CONST.RNG_SEED)
    for key in _FROM_1:
        section, name = key.split('.')
        _refuse(settings[section][name] < 1, key, '1 or more', settings[section][name])
    for section in ('TRAIN', 'TEST'):
        portion = settings[section].DATASET_PORTION
        fits = (len(portion) == 2 and all(map(_is_number, portion))
                and 0 <= portion[0] <= portion[1] <= 1)
        _refuse(not fits, section + '.DATASET_PORTION', '[from, to] between 0 and 1', portion)
    thresholds = settings.TEST.VOXEL_THRESH
    _refuse(not thresholds or not all(map(_is_number, thresholds)), 'TEST.VOXEL_THRESH',
            'a list of numbers such as [0.4]', thresholds)
    _refuse(settings.NET.RECURRENT_FILLER not in layers.FILLERS, 'NET.RECURRENT_FILLER',
            'one of ' + ', '.join(layers.FILLERS), settings.NET.RECURRENT_FILLER)
    for key in ('PAD_X', 'PAD_Y'):
        _refuse(not 0 <= settings.TRAIN[key] < settings.CONST.IMG_W, 'TRAIN.' + key,
                'from 0 to less than CONST.IMG_W {}'.format(settings.CONST.IMG_W),
                settings.TRAIN[key])
    _refuse(settings.TRAIN.POLICY not in ('adam', 'sgd'), 'TRAIN.POLICY', 'adam or sgd',
            settings.TRAIN.POLICY)
    rates = settings.TRAIN.LEARNING_RATES
    try:
        settings.TRAIN.LEARNING_RATES = {str(int(key)): float(rate) for key, rate in rates.items()}
    except (TypeError, ValueError):
        _refuse(True, 'TRAIN.LEARNING_RATES', 'steps and rates such as {20000: 1.0e-5}', rates)


def check_network(settings: config_lib.Config) -> None:
    """Refuses a network that is not there, and widths that it cannot have.

    Args:
      settings: config.Config.
    Raises:
      errors.UsageError: names what there is, or the setting.
    """
    model = models.load_model(settings.CONST.NETWORK_CLASS)
    if model is None:
        raise errors.UsageError('--model {}: no such network. There are {}.'.format(
            settings.CONST.NETWORK_CLASS,
            ', '.join('{} ({})'.format(kind.__name__, kind.paper_name) for kind in models.MODELS)))
    encoder, decoder = settings.NET.N_CONVFILTER, settings.NET.N_DECONVFILTER
    lengths = len(encoder), len(decoder), len(settings.NET.N_FC_FILTERS)
    if lengths != (6, 6, 1) or decoder[-1] != 2:
        raise errors.UsageError('NET.N_CONVFILTER and NET.N_DECONVFILTER take 6 numbers (the last '
                                'of the decoder is 2), NET.N_FC_FILTERS takes 1.')
    if model.residual and (encoder[4] != encoder[5] or len(set(decoder[:3])) > 1):
        raise errors.UsageError('a residual network adds layers of one width: the last two of '
                                'NET.N_CONVFILTER must be equal, and the first three of '
                                'NET.N_DECONVFILTER.')


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse(wrong, key, expected, value):
    if wrong:
        raise errors.UsageError('{} must be {}, not {!r}.'.format(key, expected, value))

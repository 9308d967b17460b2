"""Checks that the settings of a run make sense; each message names the setting."""
from common import errors
from r2n2.lib import layers

_FROM_1 = ('CONST.BATCH_SIZE', 'CONST.N_VIEWS', 'TRAIN.NUM_ITERATION', 'TRAIN.NUM_RENDERING')


def check(found):
    """Refuses settings that no run can have, and puts LEARNING_RATES into one form.

    Args:
      found: config_lib.Config; keys of LEARNING_RATES become str and values float.
    Raises:
      errors.UsageError: a setting makes no sense.
    """
    if found.CONST.IMG_W != found.CONST.IMG_H:
        raise errors.UsageError('CONST.IMG_W and CONST.IMG_H must be equal, not {} and {}.'.format(
            found.CONST.IMG_W, found.CONST.IMG_H))
    _refuse(found.CONST.N_VOX != 32, 'CONST.N_VOX', '32, which every network here gives',
            found.CONST.N_VOX)
    _refuse(found.CONST.RNG_SEED < 0, 'CONST.RNG_SEED', '0 or more', found.CONST.RNG_SEED)
    for key in _FROM_1:
        section, name = key.split('.')
        _refuse(found[section][name] < 1, key, '1 or more', found[section][name])
    for section in ('TRAIN', 'TEST'):
        portion = found[section].DATASET_PORTION
        fits = (len(portion) == 2 and all(map(_is_number, portion))
                and 0 <= portion[0] <= portion[1] <= 1)
        _refuse(not fits, section + '.DATASET_PORTION', '[from, to] between 0 and 1', portion)
    thresholds = found.TEST.VOXEL_THRESH
    _refuse(not thresholds or not all(map(_is_number, thresholds)), 'TEST.VOXEL_THRESH',
            'a list of numbers such as [0.4]', thresholds)
    _refuse(found.NET.RECURRENT_FILLER not in layers.FILLERS, 'NET.RECURRENT_FILLER',
            'one of ' + ', '.join(layers.FILLERS), found.NET.RECURRENT_FILLER)
    for key in ('PAD_X', 'PAD_Y'):
        _refuse(not 0 <= found.TRAIN[key] < found.CONST.IMG_W, 'TRAIN.' + key,
                'from 0 to less than CONST.IMG_W {}'.format(found.CONST.IMG_W), found.TRAIN[key])
    _refuse(found.TRAIN.POLICY not in ('adam', 'sgd'), 'TRAIN.POLICY', 'adam or sgd',
            found.TRAIN.POLICY)
    rates = found.TRAIN.LEARNING_RATES
    try:
        found.TRAIN.LEARNING_RATES = {str(int(key)): float(rate) for key, rate in rates.items()}
    except (TypeError, ValueError):
        _refuse(True, 'TRAIN.LEARNING_RATES', 'steps and rates such as {20000: 1.0e-5}', rates)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse(wrong, key, expected, value):
    if wrong:
        raise errors.UsageError('{} must be {}, not {!r}.'.format(key, expected, value))

"""Settings of a run: the original's defaults, YAML files and KEY VALUE pairs merged over them."""
import ast
import copy
from typing import Any, Dict, Sequence, Set

from common import errors
from common.readers import text

_DEFAULTS = {
    'DATASET': '',
    'CONST': {
        'RNG_SEED': 0, 'IMG_W': 127, 'IMG_H': 127, 'N_VOX': 32, 'N_VIEWS': 5, 'BATCH_SIZE': 36,
        'NETWORK_CLASS': 'ResidualGRUNet', 'WEIGHTS': ''},
    'DIR': {},
    # Widths, slope and the seed's batch normalisation: constants of the original's classes.
    'NET': {
        'N_CONVFILTER': [96, 128, 256, 256, 256, 256], 'N_FC_FILTERS': [1024],
        'N_DECONVFILTER': [128, 128, 128, 64, 32, 2], 'LEAKY_SLOPE': 0.01, 'BATCH_NORM': False,
        'RECURRENT_FILLER': 'msra'},
    'TRAIN': {
        'DATASET_PORTION': [0, 0.8], 'NUM_WORKER': 1,
        'NUM_ITERATION': 60000, 'NUM_RENDERING': 24, 'NUM_VALIDATION_ITERATIONS': 24,
        'VALIDATION_FREQ': 2000, 'NAN_CHECK_FREQ': 2000, 'RANDOM_NUM_VIEWS': True,
        'QUEUE_SIZE': 15, 'RANDOM_CROP': True, 'PAD_X': 10, 'PAD_Y': 10, 'FLIP': True,
        'FLIP_TOGETHER': False, 'NO_BG_COLOR_RANGE': [[225, 255], [225, 255], [225, 255]],
        'RANDOM_BACKGROUND': False, 'SIMPLE_BACKGROUND_RATIO': 0.5, 'VOC_PATH': '',
        'HUE_RANGE': 0.0, 'DEFAULT_LEARNING_RATE': 1e-4, 'POLICY': 'adam',
        'LEARNING_RATES': {'20000': 1e-5, '60000': 1e-6}, 'MOMENTUM': 0.9, 'WEIGHT_DECAY': 5e-5,
        'LOSS_LIMIT': 2, 'SAVE_FREQ': 10000, 'PRINT_FREQ': 40},
    'TEST': {
        'EXP_NAME': 'test', 'DATASET_PORTION': [0.8, 1],
        'NO_BG_COLOR_RANGE': [[240, 240], [240, 240], [240, 240]], 'VOXEL_THRESH': [0.4]}}

_FREE = {'TRAIN.LEARNING_RATES'}    # dicts that are values, not sections
# Keys of the original that change nothing here; accepted, so that its files can be used.
NO_EFFECT = frozenset(
    'SUB_CONFIG_FILE NET_NAME PROFILE CONST.DEVICE DIR.SHAPENET_QUERY_PATH DIR.MODEL_PATH '
    'DIR.VOXEL_PATH DIR.RENDERING_PATH DIR.OUT_PATH TRAIN.RESUME_TRAIN TRAIN.INITIAL_ITERATION '
    'TRAIN.USE_REAL_IMG TRAIN.WORKER_LIFESPAN TRAIN.WORKER_CAPACITY TEST.USE_IMG TEST.MODEL_ID '
    'TEST.SAMPLE_SIZE TEST.IMG_PATH TEST.AZIMUTH TEST.VISUALIZE'.split())


class Config(dict):
    """A dict whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def defaults() -> Config:
    """Returns a fresh Config of the original's defaults."""
    return _wrapped(copy.deepcopy(_DEFAULTS), '')


def _wrapped(values, place):
    return Config((key, _wrapped(value, place + key + '.')
                   if isinstance(value, dict) and place + key not in _FREE else value)
                  for key, value in values.items())


def replaced(config: Config, **sections: Dict[str, Any]) -> Config:
    """Returns a copy of settings in which some keys have other values.

    Args:
      config: Config.
      **sections: {key: value} by section, e.g. CONST={'BATCH_SIZE': 4}.
    """
    changed = copy.deepcopy(config)
    for section, values in sections.items():
        changed[section].update(values)
    return changed


def restored(recorded: Dict[str, Any]) -> Config:
    """Returns the Config that the config.json of a run recorded; keys it lacks have defaults."""
    if not isinstance(recorded, dict):
        raise errors.InputError('the settings that config.json recorded are {}, no sections such '
                                'as TRAIN.'.format(errors.quote(recorded)))
    return _overlaid(defaults(), recorded)


def _overlaid(config, recorded):
    for key, value in recorded.items():
        config[key] = (_overlaid(config[key], value) if isinstance(config.get(key), Config)
                       and isinstance(value, dict) else value)
    return config


def merge_file(config: Config, path: str) -> Set[str]:
    """Merges a YAML file into `config`; unknown keys and values of another type are refused.

    Returns:
      set of str, the keys that the file gives, such as 'TRAIN.PAD_X'.
    Raises:
      errors.InputError: the file is missing, no YAML, or does not fit.
    """
    values = text.read_yaml(path)
    if values is None:
        return set()
    if not isinstance(values, dict):
        raise errors.InputError('{} holds no sections such as TRAIN: it is no config.'.format(path))
    return _merge(config, values, '', path)


def _merge(config, values, place, source):
    keys = set()
    for key, value in values.items():
        name = '{}{}'.format(place, key)
        keys.add(name)
        if name in NO_EFFECT:
            continue
        if key not in config:
            raise errors.UsageError('{}: unknown key {}; known here: {}.'.format(
                source, name, ', '.join(sorted(map(str, config)))))
        if isinstance(config[key], Config):
            if not isinstance(value, dict):
                raise errors.UsageError('{}: {} is a section, not {!r}.'.format(
                    source, name, value))
            keys |= _merge(config[key], value, name + '.', source)
        elif type(value) is not type(config[key]):
            raise errors.UsageError('{}: {} must be {}, like {!r}, not {!r}.'.format(
                source, name, type(config[key]).__name__, config[key], value))
        else:
            config[key] = value
    return keys


def merge_pairs(config: Config, words: Sequence[str]) -> Set[str]:
    """Merges KEY VALUE KEY VALUE ..., keys like TRAIN.PAD_X.

    Returns:
      set of str, the keys.
    Raises:
      errors.UsageError: an odd number of words, an unknown key, a value of another type.
    """
    if len(words) % 2:
        raise errors.UsageError('--set takes pairs KEY VALUE; "{}" has no value.'.format(words[-1]))
    keys = set()
    for key, word in zip(words[::2], words[1::2]):
        try:
            value = ast.literal_eval(word)
        except (ValueError, SyntaxError):
            value = word
        *sections, last = key.split('.')
        for section in reversed([*sections, last]):
            value = {section: value}
        keys |= _merge(config, value, '', '--set')
    return keys

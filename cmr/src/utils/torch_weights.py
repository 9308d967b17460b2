"""Weights between PyTorch's files and checkpoints of TensorFlow, in both directions.

An ImageNet ResNet-50 (resnet50-19c8e357.pth) becomes the encoder; a checkpoint of GraphCMR becomes
the whole network.
"""
import argparse
import os
import re
from typing import Dict, Iterable, List

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.utils import torch_writer
from common import cli, errors
from common.device import session
from common.readers import limits, text, torch_file
from common.training import checkpoints

PARTS = ('graph_cnn', 'smpl_param_regressor')
ENCODER = 'graph_cnn.resnet.'
_COUNTER = 'num_batches_tracked'
_UNUSED = {ENCODER + 'fc.weight', ENCODER + 'fc.bias'}     # ImageNet's classes; nothing reads them
_OTHERS = re.compile(r'graph_cnn\.(gc|shape|camera_fc)\.|smpl_param_regressor\.')


def is_torch(path: str) -> bool:
    """Returns whether a path is a file of PyTorch, by its content; by its name if it is missing."""
    if os.path.isfile(path):
        with limits.regular(path, 'weights') as (stream, _):
            if stream.read(4)[:2] in (b'PK', b'\x80\2', b'\x80\4', b'\x80\5', b'\x8a\n'):
                return True
    return os.path.splitext(path)[1].lower() in ('.pth', '.pt')


def encoder_names() -> List[str]:
    """Returns the names of the encoder's weights, of ResNet-50 below `ENCODER`."""
    names = ['conv1.weight', 'fc.weight', 'fc.bias'] + _norm('bn1')
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            prefix = 'layer{}.{}.'.format(stage, block)
            for number in '123':
                names += [prefix + 'conv{}.weight'.format(number)] + _norm(prefix + 'bn' + number)
            if not block:
                names += [prefix + 'downsample.0.weight'] + _norm(prefix + 'downsample.1')
    return [ENCODER + name for name in names]


def _norm(name):
    return ['{}.{}'.format(name, part)
            for part in ('weight', 'bias', 'running_mean', 'running_var')]


def check_names(names: Iterable[str], path: str) -> None:
    """Compares names of weights with those of the network.

    Raises:
      errors.InputError: a weight is none of the network's, or one of the encoder's is missing.
    """
    names, encoder = set(names), set(encoder_names())
    unexpected = sorted(name for name in names - encoder if not _OTHERS.match(name))
    missing = sorted(encoder - names - _UNUSED)
    problems = ['{}: {}'.format(kind, errors.listed(some))
                for kind, some in (('missing', missing), ('unexpected', unexpected)) if some]
    if problems:
        raise errors.InputError('{} does not fit the network, so nothing is written ({}). For a '
                                'ResNet-50 under other names give --dict-file.'.format(
                                    path, '; '.join(problems)))


def to_ours(array: np.ndarray) -> np.ndarray:
    """Transposes kernels [out, in, h, w] to [h, w, in, out]; all else stays."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def to_original(array: np.ndarray) -> np.ndarray:
    """Transposes kernels back, [h, w, in, out] to [out, in, h, w]; undoes `to_ours`."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def read(path: str) -> Dict[str, np.ndarray]:
    """Reads the weights of a PyTorch file under our names.

    Args:
      path: str, an ImageNet ResNet-50, or a checkpoint of GraphCMR.
    Returns:
      dict {name: float32 array}; the encoder's alone from a ResNet-50.
    Raises:
      errors.InputError: the file is neither.
    """
    content = _content(path)
    if all(isinstance(content.get(part), dict) for part in PARTS):
        named = {'{}.{}'.format(part, name): value
                 for part in PARTS for name, value in content[part].items()}
    elif 'conv1.weight' in content and 'layer4.2.conv3.weight' in content:
        named = {ENCODER + name: value for name, value in content.items()}
    else:
        raise errors.InputError('{} is neither a ResNet-50 nor a checkpoint of GraphCMR (found: '
                                '{}).'.format(path, errors.listed(sorted(map(str, content)))))
    weights = {}
    for name, value in named.items():
        if name.endswith(_COUNTER):
            continue
        if not isinstance(value, np.ndarray) or value.dtype.kind not in 'biuf' or not np.isfinite(
                value).all():
            raise errors.InputError('{}: {} is no array of finite real numbers.'.format(path, name))
        weights[name] = to_ours(value.astype(np.float32))
    return weights


def _content(path):
    """Named weights of a file; says which wrappers were taken off."""
    try:
        content, notes = torch_file.weights(torch_file.read(path))
    except ValueError as error:
        raise errors.InputError('{}: {}.'.format(path, error))
    for note in notes:
        cli.say('{}: {}'.format(path, note))
    return content


def is_encoder(names: Iterable[str]) -> bool:
    """Returns whether names of weights are those of an encoder alone."""
    return all(name.startswith(ENCODER) for name in names)


def assign(sess: tf.Session, variables: Dict[str, tf.Variable], weights: Dict[str, np.ndarray],
           path: str, prefix: str = '') -> None:
    """Assigns the values of a file to variables.

    Args:
      sess: tf.Session; variables: dict {our name: variable}.
      weights: dict {our name: array}, see `read`; path: str, where they come from.
      prefix: str, only variables with it are wanted.
    Raises:
      errors.InputError: some are missing, have another shape, or are not known; all are listed.
    """
    wanted = {name: one for name, one in variables.items() if name.startswith(prefix)}
    problems = [('missing', sorted(set(wanted) - set(weights) - _UNUSED)),
                ('unexpected', sorted(set(weights) - set(variables))),
                ('of another shape', sorted(
                    '{} {} in the file, {} here'.format(name, list(weights[name].shape),
                                                        one.shape.as_list())
                    for name, one in wanted.items()
                    if name in weights and list(weights[name].shape) != one.shape.as_list()))]
    listed = ['{}: {}'.format(kind, errors.listed(names)) for kind, names in problems if names]
    if listed:
        raise errors.InputError('{} belongs to another network ({}). Give its --body and the sizes '
                                'of its network (--num_layers, --num_channels, --resnet_width, '
                                '--regressor_width).'
                                .format(path, '; '.join(listed)))
    names = [name for name in wanted if name in weights]
    checkpoints.assign(sess, [wanted[name] for name in names], [weights[name] for name in names])


def export(values: Dict[str, np.ndarray], path: str) -> None:
    """Writes weights as a checkpoint that GraphCMR loads.

    Args:
      values: dict {our name: array}; path: str, .pt or .pth.
    Raises:
      errors.InputError: a part of the network is not among them, or the file cannot be written.
    """
    parts: Dict[str, Dict[str, np.ndarray]] = {part: {} for part in PARTS}
    for name, value in values.items():
        part, _, inner = name.partition('.')
        if part not in parts or '/' in name:
            continue        # slots and counters of the optimizer
        parts[part][inner] = np.ascontiguousarray(to_original(value))
        if inner.endswith('running_var'):
            parts[part][inner[:-len('running_var')] + _COUNTER] = np.array(0, np.int64)
    for part in PARTS:
        if not parts[part]:
            raise errors.InputError('the checkpoint has no weights of {}, which GraphCMR needs in '
                                    '{}.'.format(part, path))
    torch_writer.write(path, parts)


def _renamed(path, table):
    """Weights of a file under the names of a table."""
    names, content = text.read_json(table), _content(path)
    if not isinstance(names, dict) or not all(isinstance(one, str) for one in names.values()):
        raise errors.InputError('{} is no table {{name in the file: our name}}.'.format(table))
    missing = sorted(set(names) - set(content))
    if missing:
        raise errors.InputError('{} has no {}, which {} names.'.format(
            path, errors.listed(missing), table))
    wrong = sorted(name for name in names if not isinstance(content[name], np.ndarray))
    if wrong:
        raise errors.InputError('{}: {} are no arrays.'.format(path, errors.listed(wrong)))
    return {ours: to_ours(content[theirs].astype(np.float32)) for theirs, ours in names.items()}


def convert(options: argparse.Namespace) -> None:
    """Converts a file, in the direction that the options of pth2ckpt.py say."""
    if options.reverse:
        prefix = checkpoints.latest(options.ckpt_path)
        export(checkpoints.read(prefix), options.pth_path)
        cli.say('{} from {}'.format(options.pth_path, prefix))
        return
    values = (_renamed(options.pth_path, options.dict_file) if options.dict_file
              else read(options.pth_path))
    check_names(values, options.pth_path)
    with tf.Graph().as_default(), tf.Session(config=session.session_config()) as sess:
        variables = [tf.get_variable(name, value.shape) for name, value in values.items()]
        sess.run([variable.initializer for variable in variables], {
            variable.initializer.inputs[1]: value
            for variable, value in zip(variables, values.values())})
        try:
            os.makedirs(os.path.dirname(os.path.abspath(options.ckpt_path)), exist_ok=True)
            tf.train.Saver(variables).save(sess, options.ckpt_path, write_meta_graph=False,
                                           write_state=False)
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise errors.InputError('cannot write {}: {}.'.format(
                options.ckpt_path, checkpoints.first_words(error)))
    cli.say('{} weights of {} in {}'.format(len(values), options.pth_path, options.ckpt_path))

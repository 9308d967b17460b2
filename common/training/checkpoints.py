"""TensorFlow checkpoints: finding, listing, reading and restoring them.

A checkpoint is named by its prefix, `folder/model-200`, which stands for `model-200.index` and
`model-200.data-00000-of-00001`; a run also keeps its state in `model-200.state.json`. Where weights
ship, it stands for `model-200.weights` (see `weight_files`).
"""
import hashlib
import os
import re
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf import text_encoding

from common import errors, files
from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode
from common.readers import limits, tables
from common.training import weight_files

STATE_FILE = 'checkpoint'   # TensorFlow's list of checkpoints in a folder
RUN_FOLDER = 'checkpoints'  # where an output folder keeps them
_MOST_LIST = 1 << 20        # bytes of STATE_FILE; of a larger one TensorFlow dies
_LISTED = re.compile(r'^[ \t]*(?:model_checkpoint_path|(?P<all>all_model_checkpoint_paths))[ \t]*:'
                     r'[ \t]*(?P<mark>["\'])(?P<name>(?:\\.|(?!(?P=mark))[^\\\n])*)(?P=mark)', re.M)
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)


def exists(prefix: str) -> bool:
    """Returns whether the index (or the one file of other formats) of a checkpoint is there."""
    return '\0' not in prefix and any(os.path.isfile(prefix + ending)
                                      for ending in ('.index', weight_files.ENDING, ''))


def step_of(prefix: str) -> Optional[int]:
    """Returns the step at the end of a checkpoint's name, `model-200` -> 200, or None."""
    match = re.search(r'-(\d+)$', prefix)
    return int(match.group(1)) if match else None


def of_step(output_path: str, step: Optional[int]) -> str:
    """Returns the prefix of the checkpoint that a run in an output folder saves at a step."""
    return os.path.join(output_path, RUN_FOLDER, 'model-{}'.format(step))


def note(*prefixes: str) -> Dict[str, str]:
    """Returns the note of a manifest: the checkpoint (or file of weights) that a graph is of.

    Args:
      prefixes: str, one or several.
    Returns:
      dict: "checkpoint", the bare names; "checkpoint_sha256", the digest of all files of values one
      after the other, for a single file what sha256sum says.
    """
    digest, names = hashlib.sha256(), []
    for prefix in sorted(set(prefixes)):
        names.append(os.path.basename(prefix))
        for path in files_of(prefix) or [prefix]:
            try:
                with open(path, 'rb') as stream:
                    for part in iter(lambda: stream.read(1 << 20), b''):
                        digest.update(part)
            except OSError as error:
                raise errors.InputError('cannot read {}: {}.'.format(
                    path, error.strerror)) from error
    return {'checkpoint': ' and '.join(sorted(set(names))), 'checkpoint_sha256': digest.hexdigest()}


def files_of(prefix: str) -> List[str]:
    """Lists the files of a checkpoint that are there: of values and the index, in that order."""
    folder, stem = os.path.split(prefix)
    pattern = re.compile(re.escape(stem) + r'\.(index|weights|data-\d{5}-of-\d{5})$')
    return [os.path.join(folder, name) for name in sorted(_listed(folder or '.'))
            if pattern.match(name)]


def in_folder(folder: str, stem: str = 'model') -> List[str]:
    """Lists the checkpoints of a folder by their index files, or files of weights.

    Args:
      folder: str.
      stem: str, the name before the step.
    Returns:
      list of prefixes, by rising step.
    """
    pattern = re.compile(re.escape(stem) + r'-(\d+)\.(?:index|weights)$')
    matches = [pattern.match(name) for name in _listed(folder)]
    steps = sorted({int(match.group(1)) for match in matches if match})
    return [os.path.join(folder, '{}-{}'.format(stem, step)) for step in steps]


def latest(path: str) -> str:
    """Finds the newest checkpoint.

    Args:
      path: str, a prefix (or one of its files), a folder with checkpoints, or an output folder that
        holds `checkpoints/`.
    Returns:
      str, the prefix.
    Raises:
      errors.InputError: there is none, or the one that the folder calls its newest is incomplete.
    """
    prefix = re.sub(r'\.(index|meta|weights|data-\d{5}-of-\d{5})$', '', path)
    if not os.path.isdir(prefix):
        if exists(prefix):
            return prefix
        raise errors.InputError(
            'no checkpoint {}: neither {}.index nor a folder of that name exists. Give the prefix '
            '(such as model-200) or the folder of a checkpoint.'.format(path, prefix))
    for folder in (prefix, os.path.join(prefix, RUN_FOLDER)):
        newest = newest_in(folder)
        if newest:
            return newest
    raise errors.InputError(
        'no checkpoint in {}: it holds neither the file "checkpoint" nor a *.index file, and nor '
        'does its folder {}/.'.format(path, RUN_FOLDER))


def newest_in(folder: str) -> Optional[str]:
    """Returns the newest prefix of one folder, or None. Never passes over a damaged newest one.

    Raises:
      errors.InputError: the one that the folder calls its newest is incomplete.
    """
    if not os.path.isdir(folder):
        return None
    newest, _ = _read_list(folder)
    if newest:
        named = os.path.join(folder, newest)
        # A folder that was moved may name the place where it lay before.
        for prefix in (os.path.join(folder, os.path.basename(named)), named):
            if exists(prefix):
                return prefix
        raise errors.InputError(
            'the newest checkpoint that {} names is {}, of which the .index file is missing. {}'
            .format(os.path.join(folder, STATE_FILE), named, others(folder, named)))
    numbered = in_folder(folder)
    if numbered:
        return numbered[-1]
    prefixes = [os.path.join(folder, os.path.splitext(name)[0]) for name in os.listdir(folder)
                if name.endswith(('.index', weight_files.ENDING))]
    return max(prefixes, key=lambda prefix: (step_of(prefix) or 0, prefix)) if prefixes else None


def resumable(folder: str) -> Tuple[Optional[str], List[str]]:
    """Finds what a run in this folder goes on from.

    Args:
      folder: str, `checkpoints/` of a run.
    Returns:
      (prefix, lost): the newest `model-<step>` of which all files are there, or None; the newer
      ones that have lost a file.
    """
    listed = {os.path.join(folder, name) for name in _named_in_list(folder)
              if re.match(r'model-\d+$', name)}
    prefixes = sorted(listed or in_folder(folder), key=lambda prefix: step_of(prefix) or 0)
    lost: List[str] = []
    for prefix in reversed(prefixes):
        if _is_whole(prefix):
            return prefix, lost
        lost.append(prefix)
    return None, lost


def _named_in_list(folder):
    """Bare names in TensorFlow's `checkpoint` file; none where that is damaged."""
    newest, names = _read_list(folder)
    return [os.path.basename(name) for name in [newest] + names if name]


def _read_list(folder):
    """Reads TensorFlow's `checkpoint` file; lines that make no sense are passed over.

    TensorFlow itself warns of them, and of what it finds there in full.

    Returns:
      (the newest prefix or '', list of all), as they stand there.
    """
    path = os.path.join(folder, STATE_FILE)
    if not os.path.isfile(path) or os.path.getsize(path) > _MOST_LIST:
        return '', []
    with limits.regular(path, 'the list of checkpoints', 'Make it readable.') as (stream, _):
        content = stream.read().decode('utf-8', 'replace')
    newest, names = '', []
    for match in _LISTED.finditer(content):
        try:
            name = text_encoding.CUnescape(match.group('name')).decode('utf-8', 'replace')
        except ValueError:      # an escape that is none
            continue
        if match.group('all'):
            names.append(name)
        else:
            newest = name
    return newest, names


def _is_whole(prefix):
    """Returns whether the index and all files of values of a checkpoint are there."""
    folder, stem = os.path.split(prefix)
    counts = [re.match(re.escape(stem) + r'\.data-\d{5}-of-(\d{5})$', name)
              for name in _listed(folder)]
    shards = [int(match.group(1)) for match in counts if match]
    return os.path.isfile(prefix + '.index') and bool(shards) and len(shards) == max(shards)


def others(folder: str, prefix: str) -> str:
    """Returns a sentence: which other checkpoints of a folder `--checkpoint` could name."""
    names = [other for other in in_folder(folder)
             if os.path.basename(other) != os.path.basename(prefix)]
    if not names:
        return 'There is no other checkpoint in {}.'.format(folder)
    return 'Choose another one of its folder with --checkpoint: {}.'.format(
        errors.listed([os.path.basename(name) for name in reversed(names)]))


def remove(prefix: str) -> None:
    """Deletes the files of a checkpoint and the run's state beside them; the index goes first."""
    folder, stem = os.path.split(prefix)
    names = [name for name in _listed(folder or '.') if name.startswith(stem + '.')]
    for name in sorted(names, key=lambda name: not name.endswith('.index')):
        os.remove(os.path.join(folder, name))


def remove_temporary(folder: str, names: str = r'(?:model|best)-\d+') -> None:
    """Deletes what saves that were cut off (killed process, full disk) have left in a folder.

    These are temporary files, and files of a checkpoint that has no index yet and that the list of
    checkpoints does not name.

    Args:
      folder: str.
      names: str, regular expression of the names of checkpoints that are ours.
    """
    listed = _listed(folder)
    finished = {name[:-len('.index')] for name in listed if name.endswith('.index')}
    finished.update(_named_in_list(folder))
    for name in listed:
        stem = re.match('({})'.format(names) + r'\.(data-\d{5}-of-\d{5}|state\.json)$', name)
        if '.tempstate' in name or stem and stem.group(1) not in finished:
            os.remove(os.path.join(folder, name))


def _listed(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []


def write_list(folder: str, prefixes: Sequence[str]) -> None:
    """Writes TensorFlow's `checkpoint` file with bare names, so that the folder can be moved.

    Args:
      folder: str.
      prefixes: list of str, oldest first; the last one is the newest.
    """
    quoted = ['"{}"'.format(os.path.basename(prefix)) for prefix in prefixes]
    lines = ['model_checkpoint_path: ' + quoted[-1]]
    lines += ['all_model_checkpoint_paths: ' + name for name in quoted]
    files.write_text(os.path.join(folder, STATE_FILE), '\n'.join(lines) + '\n')


def _reader(prefix):
    weights = weight_files.path_of(prefix)
    if weights:
        return weight_files.Reader(weights)
    for path in files_of(prefix):   # TensorFlow would wait for a pipe
        limits.check_regular(path, 'a file of a checkpoint',
                             others(os.path.dirname(prefix), prefix))
    try:
        for path in (prefix + '.index', prefix):
            if os.path.isfile(path):
                tables.check(path)
        return tf.train.NewCheckpointReader(prefix)
    except (OSError,) + _READ_ERRORS as error:
        raise _damaged(prefix, error) from error


def _damaged(prefix, error):
    return errors.InputError('checkpoint {} is damaged or incomplete ({}). {}'.format(
        prefix, first_words(error), others(os.path.dirname(prefix), prefix)))


def first_words(error: Exception) -> str:
    """Returns what an error says in one line, without TensorFlow's list of graph nodes."""
    text = ' '.join((getattr(error, 'message', None) or str(error)).split())
    return text.split(' [[')[0][:300]


def variables_of(prefix: str) -> Dict[str, List[int]]:
    """Lists what a checkpoint holds.

    Args:
      prefix: str.
    Returns:
      dict {name: list of sizes}.
    Raises:
      errors.InputError: a file of the checkpoint is damaged; the message names it.
    """
    return _reader(prefix).get_variable_to_shape_map()


def read(prefix: str, names: Optional[Sequence[str]] = None) -> Dict[str, np.ndarray]:
    """Reads arrays of a checkpoint.

    Args:
      prefix: str.
      names: list of names in the file, or None for all.
    Returns:
      dict {name: array of any shape}.
    Raises:
      errors.InputError: a name is not in the file (the message lists those that are), or the file
        is damaged.
    """
    reader = _reader(prefix)
    shapes = reader.get_variable_to_shape_map()
    missing = sorted(set(names or ()) - set(shapes))
    if missing:
        raise errors.InputError('checkpoint {} has no {} (found: {}).'.format(
            prefix, errors.listed(missing), errors.listed(sorted(shapes))))
    try:
        return {name: reader.get_tensor(name) for name in (shapes if names is None else names)}
    except _READ_ERRORS as error:
        raise _damaged(prefix, error) from error


def _differences(prefix: str, variables: Sequence[tf.Variable]
                 ) -> Tuple[List[str], List[str], List[str]]:
    """Compares the variables of a graph with those of a checkpoint, by their names.

    Args:
      prefix: str; variables: list of variables.
    Returns:
      (missing, misshapen, unexpected): three lists of str, each sorted; names with what is amiss.
    """
    reader = _reader(prefix)
    shapes = reader.get_variable_to_shape_map()
    dtypes = reader.get_variable_to_dtype_map()
    wanted = {variable.op.name: variable for variable in variables}
    missing, misshapen = [], []
    for name, variable in sorted(wanted.items()):
        shape = variable.shape.as_list()
        if name not in shapes:
            missing.append('{} {}'.format(name, shape))
        elif shapes[name] != shape:
            misshapen.append('{} {} in the file, {} here'.format(name, shapes[name], shape))
        elif dtypes[name] != variable.dtype.base_dtype:
            misshapen.append('{} {} in the file, {} here'.format(
                name, dtypes[name].name, variable.dtype.base_dtype.name))
    return missing, misshapen, sorted(set(shapes) - set(wanted))


def _first(names):
    """A list of misfits; of a long one the first, and how many there are."""
    text = ', '.join(names)
    return text if len(text) < 80 else '{}, ... {} in all'.format(names[0], len(names))


def assign(sess: tf.Session, variables: Sequence[tf.Variable], values: Sequence[np.ndarray]
           ) -> None:
    """Gives variables values, all in one call of the session.

    Each call with other operations costs TensorFlow a look at the whole graph, so that one a
    variable (`Variable.load`) takes a minute for GraphCMR's 381.

    Args:
      values: of each variable, in its shape.
    """
    fed = {}
    for variable, value in zip(variables, values):
        initial = variable.initializer.inputs[1]
        if initial.name in fed:
            raise ValueError('{} shares its initial value with another variable'.format(
                variable.op.name))
        fed[initial.name] = value
    sess.run([variable.initializer for variable in variables], fed)


def restore(sess: tf.Session, prefix: str, variables: Sequence[tf.Variable],
            strict: bool = False, remedy: Optional[str] = None) -> None:
    """Assigns the values of a checkpoint to variables; all of them, or none and one error.

    Args:
      sess: tf.Session.
      prefix: str; variables: list of variables.
      strict: bool, whether names in the file that nothing asks for are an error too.
      remedy: str, sentence that ends the message; by default it speaks of the network's options.
    Raises:
      errors.InputError: the checkpoint is damaged, or variables are missing, have another shape or
        dtype, or (strict) are unexpected; of many of a kind one is named and all are counted.
    """
    missing, misshapen, unexpected = _differences(prefix, variables)
    problems = [('missing', missing), ('of another shape', misshapen)]
    if strict:
        problems.append(('unexpected', unexpected))
    misfits = ['{}: {}'.format(kind, _first(names)) for kind, names in problems if names]
    if misfits:
        raise errors.InputError('checkpoint {} belongs to another network ({}). {}'.format(
            prefix, '; '.join(misfits), remedy or 'Give the options that it was trained with '
            '(config.json of its run holds them), or another checkpoint.'))
    if weight_files.path_of(prefix):
        values = read(prefix, [variable.op.name for variable in variables])
        assign(sess, variables, [values[variable.op.name] for variable in variables])
        return
    with sess.graph.as_default():
        saver = tf.train.Saver(variables)
    try:
        saver.restore(sess, prefix)
    except _READ_ERRORS as error:
        raise _damaged(prefix, error) from error

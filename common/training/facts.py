"""What has to be the same in all processes that train together: code, options, data."""
import hashlib
import os
from typing import Any, Callable, Dict, Iterable, Optional

import tensorflow.compat.v1 as tf

import common
from common import cli, redact
from common.training import records

# Options that may differ from machine to machine, as may what names a file.
_OWN = {'debug', 'device', 'distribution', 'modelzoo_log', 'num_workers', 'peer_timeout', 'threads',
        'workers'}
_DATA = ('data_path', 'data_dir', 'validation_path')
_CONTENT_BYTES = 64 << 20       # of the files of a folder that are read
_MOST_FILES = 20000             # of a folder whose names and sizes are looked at


def of_script(work: Callable[..., Any], options: cli.Options) -> Dict[str, str]:
    """Returns what `peers.Peers.compare` compares before a training begins.

    Args:
      work: what the script does, a function of its model; options: the settled options.
    Returns:
      dict of texts: versions, a digest of the code, each option, digests of the data.
    """
    facts = {'TensorFlow': tf.version.VERSION, 'code version': '{} {}'.format(
        common.__version__, _digest_of_code({'common', work.__module__.split('.')[0]}))}
    values = records.options_of(options)
    for name in sorted(set(values) - _OWN - set(_DATA)):
        value = vars(options)[name]
        if isinstance(value, (set, frozenset)):     # the order of which is each process's own
            value = sorted(value, key=str)
        if os.sep not in str(value):
            facts['--' + name] = redact.url(str(value))
    for name in _DATA:
        if isinstance(values.get(name), str):
            facts['--{} with the digest'.format(name)] = digest(values[name])
    return facts


def _digest_of_code(packages: Iterable[str]) -> str:
    root = os.path.dirname(os.path.dirname(os.path.abspath(common.__file__)))
    hasher = hashlib.sha256()
    for package in sorted(packages):
        for path in _files(os.path.join(root, package)):
            if path.endswith('.py'):
                _add(hasher, path, root, None)
    return hasher.hexdigest()[:12]


def digest(path: str) -> str:
    """Returns a digest of a file or folder: names, sizes and the first 64 MiB of the contents.

    Args:
      path: str; nothing there gives the digest of nothing.
    """
    hasher, left = hashlib.sha256(), _CONTENT_BYTES
    top = path if os.path.isdir(path) else os.path.dirname(path)
    for number, name in enumerate(_files(path)):
        if number == _MOST_FILES:
            break
        left -= _add(hasher, name, top, left)
    return hasher.hexdigest()[:12]


def _files(path):
    """Paths of the files at and below a path, in order; no hidden ones, no compiled ones."""
    if os.path.isfile(path):
        yield path
    for place, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders
                            if not name.startswith('.') and name not in ('__pycache__', 'output'))
        for name in sorted(names):
            if not name.startswith('.'):
                yield os.path.join(place, name)


def _add(hasher: Any, path: str, top: str, most: Optional[int]) -> int:
    """Adds name, size and up to `most` bytes of a file; returns how many bytes were read."""
    try:
        size = os.path.getsize(path)
        hasher.update('{} {}\n'.format(os.path.relpath(path, top), size).encode())
        if most is not None and most <= 0:
            return 0
        with open(path, 'rb') as stream:
            content = stream.read(-1 if most is None else most)
    except OSError:     # the training says what is wrong with it
        return 0
    hasher.update(content)
    return len(content)

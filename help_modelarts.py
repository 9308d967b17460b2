"""Copies data from object storage to this machine, or results back to it, as on ModelArts.

Example: python help_modelarts.py data --data_url=obs://bucket/dataset --modelarts_data_dir=dataset
         python help_modelarts.py results --train_url=obs://bucket/out --modelarts_result_dir=output
"""
import argparse
import os
import re
import sys
from typing import Any, Callable, Dict, Optional

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common.modelarts import copies, storage

# What TensorFlow writes before it renames or joins it.
_UNFINISHED = re.compile(r'\.tempstate\d+$|_temp_[0-9a-f]+/part-')


def obs_data2modelarts(config: Any,
                       patience: storage.Patience = storage.USUAL) -> copies.Copied:
    """Copies `config.data_url` into the folder `config.modelarts_data_dir`.

    Args:
      config: any object with these attributes.
      patience: with object storage.
    Returns:
      copies.Copied: files, bytes, seconds.
    Raises:
      errors.InputError: nothing to copy, or not all of it arrived.
    """
    return copies.copy_tree(config.data_url, config.modelarts_data_dir, patience=patience)


def modelarts2obs(config: Any, known: Optional[Dict[str, Any]] = None,
                  skip: Optional[Callable[[str], bool]] = None,
                  patience: storage.Patience = storage.USUAL) -> copies.Copied:
    """Copies the folder `config.modelarts_result_dir` to `config.train_url`.

    Hidden files and those that TensorFlow has not finished are left out.

    Args:
      config, patience: as above.
      known: remembers what earlier calls have copied.
      skip: says for a name whether to leave the file out too.
    Returns:
      copies.Copied.
    Raises:
      errors.InputError: nothing to copy, or not all of it arrived.
    """
    return copies.copy_tree(
        config.modelarts_result_dir, config.train_url,
        lambda name: is_unfinished(name) or bool(skip and skip(name)), known, patience)


def is_unfinished(name: str) -> bool:
    """Returns whether a file is none of a run's results."""
    return bool(_UNFINISHED.search(name)) or any(
        part.startswith('.') for part in name.split('/'))


def add_patience_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say when to give object storage up, and --debug."""
    parser.add_argument('--obs_attempts', type=cli.positive_int, default=storage.USUAL.attempts,
                        help='failures of object storage in all at which the copy of one file is '
                             'given up; the pauses between them grow, and a call that hangs counts '
                             'as five')
    parser.add_argument('--obs_timeout', type=cli.positive_float, default=storage.USUAL.timeout,
                        help='seconds without progress after which moxing counts as hanging')
    cli.add_flag(parser, '--debug', help='show tracebacks')


def patience_of(options: argparse.Namespace) -> storage.Patience:
    """Returns what the options of `add_patience_options` say."""
    return storage.Patience(options.obs_attempts, options.obs_timeout)


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('what', choices=('data', 'results'),
                        help='data comes here, results go to the storage')
    for name, meaning in [('data_url', 'where the data is'), ('train_url', 'where results go')]:
        parser.add_argument('--' + name, default='', metavar='PLACE',
                            help=meaning + ': a folder, file://, obs:// or s3://')
    for name in ('modelarts_data_dir', 'modelarts_result_dir'):
        parser.add_argument('--' + name, default='', metavar='FOLDER', help='on this machine')
    add_patience_options(parser)
    options = parser.parse_args(argv)
    needed = {'data': ('data_url', 'modelarts_data_dir'),
              'results': ('modelarts_result_dir', 'train_url')}[options.what]
    missing = ['--' + name for name in needed if not vars(options)[name]]
    if missing:
        parser.error('{} needs {}'.format(options.what, ' and '.join(missing)))
    return options


def copy(options):
    """Copies as the command line asks."""
    if options.what == 'data':
        obs_data2modelarts(options, patience_of(options))
    else:
        modelarts2obs(options, patience=patience_of(options))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(copy, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

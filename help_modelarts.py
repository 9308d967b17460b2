"""Copies data from object storage to this machine, or results back to it, as on ModelArts.

Example: python help_modelarts.py data --data_url=obs://bucket/dataset --modelarts_data_dir=dataset
         python help_modelarts.py results --train_url=obs://bucket/out --modelarts_result_dir=output
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import cli
from common.modelarts import obs

# What TensorFlow writes before it renames or joins it.
_UNFINISHED = re.compile(r'\.tempstate\d+$|_temp_[0-9a-f]+/part-')


def obs_data2modelarts(config):
    """Copies `config.data_url` into the folder `config.modelarts_data_dir`.

    Args:
      config: namespace; also `obs_attempts` and `obs_timeout` (seconds) where present.
    Returns:
      obs.Copied.
    Raises:
      errors.InputError: nothing to copy, or not all of it arrived.
    """
    return obs.copy_tree(config.data_url, config.modelarts_data_dir, **_limits(config))


def modelarts2obs(config, known=None, skip=None):
    """Copies the folder `config.modelarts_result_dir` to `config.train_url`.

    Hidden files and those that TensorFlow has not finished are left out.

    Args:
      config: namespace, as above.
      known: None or dict that remembers what earlier calls have copied.
      skip: None or function (name) -> bool, further files to leave out.
    Returns:
      obs.Copied.
    Raises:
      errors.InputError: nothing to copy, or not all of it arrived.
    """
    return obs.copy_tree(
        config.modelarts_result_dir, config.train_url,
        lambda name: is_unfinished(name) or bool(skip and skip(name)), known, **_limits(config))


def is_unfinished(name):
    """Says whether a file is none of a run's results."""
    return bool(_UNFINISHED.search(name)) or any(
        part.startswith('.') for part in name.split('/'))


def _limits(config):
    return {'attempts': getattr(config, 'obs_attempts', obs.ATTEMPTS),
            'timeout': getattr(config, 'obs_timeout', obs.TIMEOUT)}


def add_limits(parser):
    """Adds the options that say how patient a copy is."""
    parser.add_argument('--obs_attempts', type=cli.positive_int, default=obs.ATTEMPTS,
                        help='of each call of moxing, with growing pauses between them')
    parser.add_argument('--obs_timeout', type=cli.positive_float, default=obs.TIMEOUT,
                        help='seconds without progress after which moxing counts as hanging')
    cli.add_flag(parser, '--debug', help='show tracebacks')


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
    add_limits(parser)
    config = parser.parse_args(argv)
    needed = {'data': ('data_url', 'modelarts_data_dir'),
              'results': ('modelarts_result_dir', 'train_url')}[config.what]
    missing = ['--' + name for name in needed if not getattr(config, name)]
    if missing:
        parser.error('{} needs {}'.format(config.what, ' and '.join(missing)))
    return config


def copy(config):
    """Copies as the command line asks."""
    (obs_data2modelarts if config.what == 'data' else modelarts2obs)(config)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(copy, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

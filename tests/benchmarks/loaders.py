"""Times the loaders of pictures, 3D-R2N2's and CMR's: two worker processes against one.

Data are generated: furniture of 137 pixels cut to 127, and people of 224 pixels kept at 224.

Example: python -m tests.benchmarks.loaders --batches 40
"""
import argparse
import contextlib
import os
import sys
import tempfile
import time

import numpy as np

from cmr import make_dataset as make_people
from cmr.src.dataset import datasets, posed_bodies
from common import cli
from common.training import workers as workers_lib
from r2n2.lib import config as r2n2_config
from r2n2.lib import data_io, data_process
from r2n2.tools import make_dataset as make_furniture
from tests.benchmarks import timing

_SEED, _BATCH, _VIEWS = 0, 8, 3
_DEPTH = 4          # batches that may wait


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--batches', type=cli.positive_int, default=40, help='in a timed run')
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='of which the median counts')
    parser.set_defaults(threads=1)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _views(folder):
    """Function (number) -> batch of 3D-R2N2, with the training's augmentation."""
    make_furniture.make(make_furniture.parse_args(
        ['--furniture', '--models=2', '--views=4', '--output=' + folder]))
    settings = r2n2_config.defaults()
    settings.CONST.update(N_VIEWS=_VIEWS, BATCH_SIZE=_BATCH)
    settings.TRAIN.update(NUM_RENDERING=4, RANDOM_NUM_VIEWS=False)
    data = data_io.find(folder)
    pairs = data_io.pairs(data, [0, 1])
    loader = data_process.Loader(settings, data, pairs, True)
    order = data_process.training_order(len(pairs), _BATCH, _SEED)
    return lambda number: data_process.training_batch(loader, order, _SEED, number)


def _people(folder):
    """Function (number) -> batch of CMR, with the training's augmentation."""
    posed_bodies.make(make_people.parse_args(
        ['--num_train=16', '--num_test=2', '--size=224', '--output=' + folder]))
    config = argparse.Namespace(
        batch_size=_BATCH, seed=_SEED, img_res=224, shuffle=True, augmentation=True,
        augmentation_rgb=True, noise_factor=0.4, rot_factor=30., scale_factor=0.25, stretch=True)
    return datasets.Batches(datasets.Mixture(folder, 'up-3d'), config).at


def _seconds(make, config):
    """{number of workers: seconds for config.batches}; the first batches do not count."""
    seconds = {1: [], 2: []}
    for _ in range(config.repetitions):
        for count, times in seconds.items():
            with workers_lib.Workers(make, count, _DEPTH) as workers:
                workers.begin(0)
                for _ in range(_DEPTH):
                    workers.get()
                began = time.perf_counter()
                for _ in range(config.batches):
                    workers.get()
                times.append(time.perf_counter() - began)
    return {count: float(np.median(times)) for count, times in seconds.items()}


def rows(config):
    """Measures; list of timing.Row."""
    times = []
    for name, prepare, pictures in (('3D-R2N2 loader', _views, _BATCH * _VIEWS),
                                    ('CMR loader', _people, _BATCH)):
        with tempfile.TemporaryDirectory() as folder:
            with contextlib.redirect_stdout(sys.stderr):
                make = prepare(os.path.join(folder, 'set'))
            seconds = _seconds(make, config)
        rates = {workers: config.batches * pictures / value for workers, value in seconds.items()}
        times.append(timing.Row(
            name, '{} batches of {} pictures'.format(config.batches, pictures), '2 workers',
            seconds[2], '1 worker', seconds[1],
            '{:.0f} pictures a second with 2, {:.0f} with 1'.format(rates[2], rates[1])))
    return times


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--batches', '20', '--repetitions', '1']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

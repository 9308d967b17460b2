"""Times how the cost of each model grows where one size doubles three times.

CPU seconds of a call, the least of the repetitions after one that does not count. The slope is that
of the line through the logarithms of size and time: 1 where the time doubles with the size, 2 where
it is four times as long. Networks have the papers' sizes, PolyGen the seed's unless a row says
otherwise.

Example: python -m tests.benchmarks.growth --only 'VSL|views'
"""
import functools
import re
import sys
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.device import session
from tests.benchmarks import peer_jobs, polygen_large, polygen_sampling, timing

_LAYERS = 2     # of each stack in PolyGen's training step; their number only multiplies


class Series(NamedTuple):
    """A job at four sizes.

    Attributes:
      name: str; size: str, what doubles; sizes: numbers, each twice the one before.
      job: function (threads, size) that builds and returns the job.
    """

    name: str
    size: str
    sizes: Sequence[int]
    job: Callable[[int, int], Callable[[], Any]]


def drawing_job(threads: int, tokens: int, kind: str) -> Callable[[], Any]:
    """Returns a function that draws a sequence of so many tokens of a PolyGen model."""
    network = polygen_sampling.Network(kind, 1, tokens)
    drawn = network.static()
    sess = tf.Session(config=session.session_config('cpu', threads))
    sess.run(tf.global_variables_initializer())
    feed = {network.noise: np.random.RandomState(0).uniform(size=[1, tokens])}
    return lambda: sess.run(drawn, feed)


SERIES = (
    Series('VSL step', 'batch', (5, 10, 20, 40),
           functools.partial(peer_jobs.vsl_job, is_training=True)),
    Series('IM-NET step', 'points', (4096, 8192, 16384, 32768), peer_jobs.imnet_job),
    Series('IM-NET field', 'points', (8192, 16384, 32768, 65536), peer_jobs.imnet_field),
    Series('3D-GRU-3 step, batch 1', 'views', (1, 2, 4, 8), lambda threads, views:
           peer_jobs.r2n2_step(threads, 'GRUNet', 1, views)),
    Series('3D-GRU-3 step, 1 view', 'batch', (1, 2, 4, 8), lambda threads, batch:
           peer_jobs.r2n2_step(threads, 'GRUNet', batch, 1)),
    Series('CMR step', 'batch', (1, 2, 4, 8),
           functools.partial(peer_jobs.cmr_job, is_training=True)),
    Series('CMR encoder step, batch 1', 'pixels a side', (56, 112, 224, 448), lambda threads, side:
           peer_jobs.cmr_encoder_step(threads, 1, side)),
    Series('PolyGen step, `large`, {} layers a stack'.format(_LAYERS), 'meshes', (1, 2, 4, 8),
           functools.partial(polygen_large.job, layers=_LAYERS)),
    Series('PolyGen drawing, vertices', 'tokens', (200, 400, 800, 1600),
           functools.partial(drawing_job, kind='vertex')),
    Series('PolyGen drawing, faces', 'tokens', (200, 400, 800, 1600),
           functools.partial(drawing_job, kind='face')))


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--only', default='', help='regular expression of the rows to measure')
    parser.add_argument('--repetitions', type=cli.positive_int, default=2,
                        help='of which the least counts')
    parser.add_argument('--threads', type=cli.positive_int, default=1, help='of the CPU')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Returns the exponent of the power of the size that the time grows with, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measure(series: Series, threads: int, repetitions: int) -> Sequence[float]:
    """Returns the CPU seconds of a series, one for each size, each in a graph of its own."""
    seconds = []
    for size in series.sizes:
        with tf.Graph().as_default():
            seconds.append(timing.least(series.job(threads, size), repetitions))
    return seconds


def _print(config):
    print(timing.describe(config.threads) + '\n')
    print('| job | doubled | sizes | CPU seconds | slope | of the last doubling |\n'
          '|---|---|---|---|---:|---:|')
    for series in SERIES:
        if re.search(config.only, '{}, {}'.format(series.name, series.size)):
            seconds = measure(series, config.threads, config.repetitions)
            print('| {} | {} | {} | {} | {:.2f} | {:.2f} |'.format(
                series.name, series.size, ', '.join(map(str, series.sizes)),
                ', '.join('{:.3g}'.format(one) for one in seconds), slope(series.sizes, seconds),
                slope(series.sizes[-2:], seconds[-2:])), flush=True)


def main(argv=None):
    """Runs the script; returns its exit code."""
    config = parse_args(argv)
    config.device = 'cpu'
    return cli.run(_print, config)


if __name__ == '__main__':
    sys.exit(main())

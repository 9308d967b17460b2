"""Times VSL's step: the graph as the original builds it, the CPU path, and bare matrix products.

The original's graph has strided convolutions and an encoder for each code; it takes seconds to
minutes a step on a CPU, so only small batches are tried. The matrix products are those that the
convolutions amount to (forward, gradient of the weights, gradient of the input where there is one):
what no formulation can be faster than. Seconds are of CPU time, of which other work on the machine
changes less than of wall time; the least of the repetitions counts.

Example: python -m tests.benchmarks.vsl_step --plain_batches 1 2 --batches 1 2 20 100
"""
import sys

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.training import launch
from tests.benchmarks import timing
from vsl import vsl

# Side of the larger volume, its channels, side of the kernel, stride, channels of the smaller one.
_LAYERS = ((30, 1, 6, 2, 32), (13, 32, 5, 2, 64), (5, 64, 4, 1, 128))


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--plain_batches', nargs='*', type=cli.positive_int, default=[1, 2],
                        help='batch sizes of the original\'s graph')
    parser.add_argument('--batches', nargs='*', type=cli.positive_int, default=[1, 2, 20, 100],
                        help='batch sizes of the CPU path and the matrix products')
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='timed calls, after one that is not; the original\'s graph has one')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def time_network(batch, plain, config):
    """Times a network of the preset 10/5/5.

    Args:
      batch: int; plain: bool, the original's graph; config: namespace.
    Returns:
      dict {'forward', 'step': CPU seconds}.
    """
    with tf.Graph().as_default():
        model = vsl.VarShapeLearner(batch_size=batch, plain=plain, repeat_encoder=plain)
        voxels = np.random.RandomState(0).rand(*model.x.shape.as_list()) < 0.1
        with tf.Session(config=launch.Context(threads=config.threads).session_config()) as sess:
            sess.run(tf.global_variables_initializer())
            feed, repetitions = {model.x: voxels}, 1 if plain else config.repetitions
            return {'forward': timing.least(lambda: sess.run(model.loss, feed), repetitions),
                    'step': timing.least(lambda: sess.run((model.loss, model.optimizer), feed),
                                   repetitions)}


def time_products(batch, config):
    """Times the matrix products of the convolutions of encoder and decoder.

    Returns:
      as `time_network`.
    """
    with tf.Graph().as_default():
        rng = np.random.RandomState(0)
        forward, backward = [], []
        for number, (size, channels, side, stride, filters) in enumerate(_LAYERS):
            cells = batch * ((size - side) // stride + 1) ** 3
            taps = side ** 3 * channels
            # Encoder and decoder have arrays of their own, or equal products would be made once.
            for is_decoder in (False, True):
                patches, kernel, outputs = (
                    tf.Variable(rng.normal(size=shape).astype(np.float32))
                    for shape in ([cells, taps], [taps, filters], [cells, filters]))
                products = [tf.matmul(patches, kernel),
                            tf.matmul(outputs, kernel, transpose_b=True),
                            tf.matmul(patches, outputs, transpose_a=True)]
                # A transposed layer goes forward as the other kind goes back to its input; the
                # first layer of the encoder need not go back to its input.
                forward.append(products.pop(1 if is_decoder else 0))
                backward += products if is_decoder or number else products[1:]
        with tf.Session(config=launch.Context(threads=config.threads).session_config()) as sess:
            sess.run(tf.global_variables_initializer())
            ends = [[tensor.op for tensor in part] for part in (forward, forward + backward)]
            return {name: timing.least(lambda part=part: sess.run(part), config.repetitions)
                    for name, part in zip(('forward', 'step'), ends)}


def rows(config):
    """Measures; list of timing.Row, with CPU seconds."""
    table = []
    for batch in sorted(set(config.plain_batches) | set(config.batches)):
        ours = time_network(batch, False, config)
        others = {'matrix products alone': time_products(batch, config)}
        if batch in config.plain_batches:
            others['plain graph'] = time_network(batch, True, config)
        table += [timing.Row('VSL, {}'.format({'forward': 'losses', 'step': 'training step'}[part]),
                             'batch {}, CPU time, {} thread(s)'.format(batch, config.threads),
                             'CPU path', ours[part], name, other[part])
                  for name, other in others.items() for part in ('forward', 'step')]
    return table


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--plain_batches', '1', '--batches', '1', '20']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

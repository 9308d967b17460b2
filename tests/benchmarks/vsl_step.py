"""Times VSL's step: the graph as the original builds it, the CPU path, and bare matrix products.

The original's graph has strided convolutions and an encoder for each code; it takes seconds to
minutes a step on a CPU, so only small batches are tried. The matrix products are those that the
convolutions amount to (forward, gradient of the weights, gradient of the input where there is one):
what no formulation can be faster than. Seconds are of wall time and, in brackets, of CPU time,
which other work on the machine changes less.

Example: python tests/benchmarks/vsl_step.py --plain_batches 1 2 --batches 1 2 20 100
"""
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, files, reporting
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
    parser.add_argument('--repeats', type=cli.positive_int, default=3,
                        help='timed calls, after one that is not; the original\'s graph has one')
    parser.add_argument('--output', default='', help='.json file for the figures')
    parser.add_argument('--device', default='cpu', choices=('cpu',), help='what is measured')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _timed(call, repeats):
    """Least wall time and least CPU time of a call, seconds."""
    call()
    rows = []
    for _ in range(repeats):
        cpu, wall = _cpu_seconds(), time.perf_counter()
        call()
        rows.append((time.perf_counter() - wall, _cpu_seconds() - cpu))
    return [min(column) for column in zip(*rows)]


def time_network(batch, plain, repeats):
    """Times a network of the preset 10/5/5.

    Args:
      batch: int; plain: bool, the original's graph; repeats: int.
    Returns:
      dict {'forward', 'step': [wall seconds, CPU seconds]}.
    """
    tf.reset_default_graph()
    model = vsl.VarShapeLearner(batch_size=batch, plain=plain, repeat_encoder=plain)
    voxels = (np.random.RandomState(0).rand(batch, 30, 30, 30, 1) < 0.1).astype(np.float32)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        feed = {model.x: voxels}
        return {'forward': _timed(lambda: sess.run(model.loss, feed), repeats),
                'step': _timed(lambda: sess.run((model.loss, model.optimizer), feed), repeats)}


def time_products(batch, repeats):
    """Times the matrix products of the convolutions of encoder and decoder.

    Returns:
      as `time_network`.
    """
    tf.reset_default_graph()
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
            # A transposed layer goes forward as the other kind goes back to its input; the first
            # layer of the encoder need not go back to its input.
            forward.append(products.pop(1 if is_decoder else 0))
            backward += products if is_decoder or number else products[1:]
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        ends = [[tensor.op for tensor in part] for part in (forward, forward + backward)]
        return {name: _timed(lambda part=part: sess.run(part), repeats)
                for name, part in zip(('forward', 'step'), ends)}


def measure(config):
    """Measures and prints a table; ratios at the end."""
    kinds = (('plain', config.plain_batches, lambda batch: time_network(batch, True, 1)),
             ('fast', config.batches, lambda batch: time_network(batch, False, config.repeats)),
             ('products', config.batches, lambda batch: time_products(batch, config.repeats)))
    found = {}
    for kind, batches, work in kinds:
        for batch in batches:
            found[kind, batch] = row = work(batch)
            reporting.say('{:9s} batch {:3d}  {}'.format(kind, batch, '  '.join(
                '{} {:.3f} s ({:.3f} s CPU)'.format(name, *row[name]) for name in row)))
    for batch in sorted(set(config.plain_batches) & set(config.batches)):
        _say_ratio('plain / fast', found['plain', batch], found['fast', batch], batch)
    for batch in config.batches:
        _say_ratio('fast / products', found['fast', batch], found['products', batch], batch)
    if config.output:
        files.write_json(config.output, {'{} {}'.format(*key): row for key, row in found.items()})


def _say_ratio(name, ours, theirs, batch):
    reporting.say('{:15s} batch {:3d}  {}'.format(name, batch, '  '.join(
        '{} {:.1f} ({:.1f} CPU)'.format(part, *(a / b for a, b in zip(ours[part], theirs[part])))
        for part in ours)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(measure, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

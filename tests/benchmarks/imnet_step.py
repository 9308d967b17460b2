"""Times IM-NET's training step: the original's graph, and the form that is fast on a CPU.

Full width, one shape a step; seconds are of wall time and, in brackets, of CPU time, which other
work on the machine changes less. The bare products are those of the decoder (forward and both
gradients), which no formulation can do without. --shapes adds steps with several shapes.

Example: python tests/benchmarks/imnet_step.py --sizes 16 64
"""
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, files
from imnet import options
from imnet.IMGAN import model, ops
from tests.benchmarks import timing


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--sizes', nargs='+', type=int, choices=sorted(options.POINTS),
                        default=[16, 64], help='sets of points')
    parser.add_argument('--shapes', nargs='*', type=cli.positive_int, default=[1],
                        help='shapes in a step of the fast form (--shapes_per_step of training)')
    parser.add_argument('--repeats', type=cli.positive_int, default=3,
                        help='timed steps of the fast form; the plain one has one')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1, help='of TensorFlow')
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


def _session(threads):
    return tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=threads,
                                            inter_op_parallelism_threads=threads))


def time_step(points, shapes, plain, repeats, threads):
    """Seconds (wall, CPU) of an optimizer step."""
    tf.reset_default_graph()
    net = model.IMAE(plain=plain, num_points=points, num_shapes=shapes)
    step = ops.minimize(ops.adam(5e-5, 0.5), net.loss)
    rng = np.random.RandomState(0)
    feed = {net.vox3d: rng.rand(shapes, 64, 64, 64, 1) < 0.1,
            net.point_coord: rng.uniform(-0.5, 0.5, [shapes, points, 3]),
            net.point_value: rng.rand(shapes, points, 1) < 0.3}
    with _session(threads) as sess:
        sess.run(tf.global_variables_initializer())
        return _timed(lambda: sess.run([net.loss, step], feed), repeats)


def time_products(points, repeats, threads):
    """Seconds (wall, CPU) of the decoder's matrix products alone."""
    tf.reset_default_graph()
    rng, ends, before = np.random.RandomState(0), [], 3
    for number, width in enumerate((1024, 1024, 1024, 512, 256, 128, 1)):
        inputs, matrix, outputs = (
            tf.Variable(rng.normal(size=shape).astype(np.float32))
            for shape in ([points, before], [before, width], [points, width]))
        ends += [tf.matmul(inputs, matrix).op, tf.matmul(inputs, outputs, transpose_a=True).op]
        ends += [tf.matmul(outputs, matrix, transpose_b=True).op] * bool(number)
        before = width
    with _session(threads) as sess:
        sess.run(tf.global_variables_initializer())
        return _timed(lambda: sess.run(ends), repeats)


def measure(args):
    """Measures and prints; ratios at the end of a size."""
    results = {}
    for size in args.sizes:
        points = options.POINTS[size]
        rows = {'plain': time_step(points, 1, True, 1, args.threads),
                'products': time_products(points, args.repeats, args.threads)}
        rows.update(('fast x{}'.format(count), time_step(points, count, False, args.repeats,
                                                         args.threads))
                    for count in args.shapes)
        for name, (wall, cpu) in rows.items():
            shapes = int(name[6:]) if name.startswith('fast') else 1
            cli.say('{}^3, {} points: {:9s} {:.3f} s ({:.3f} s CPU), {:.3f} s a shape'.format(
                size, points, name, wall, cpu, wall / shapes))
            if name.startswith('fast'):
                cli.say('    plain / fast {:.1f} ({:.1f} CPU)'.format(
                    rows['plain'][0] * shapes / wall, rows['plain'][1] * shapes / cpu))
        results[str(size)] = rows
    if args.output:
        files.write_json(args.output, results)
    return results


def short():
    """Rows of a short run, for `python -m tests.benchmarks`: CPU seconds."""
    args = parse_args(['--sizes', '16', '--repeats', '2', '--shapes', '1', '2', '4'])
    rows = measure(args)['16']
    setting = '16^3, {} points, CPU time, {} thread(s)'.format(options.POINTS[16], args.threads)
    result = [timing.Row('IM-NET training step', setting, 'CPU path', rows['fast x1'][1], other,
                        rows[kind][1])
             for kind, other in (('plain', 'plain graph'), ('products', 'matrix products alone'))]
    return result + [
        timing.Row('IM-NET training step', '{}, {} shapes a step'.format(setting, count),
                   'each shape', rows['fast x{}'.format(count)][1] / count, '1 shape a step',
                   rows['fast x1'][1]) for count in (2, 4)]


def _main_work(args):
    measure(args)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(_main_work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

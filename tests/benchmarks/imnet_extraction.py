"""Times IM-NET's extraction at 256^3: the original's procedure, `exact` and `octree`.

The original's procedure is rebuilt here: a queue of single cells from whose head is popped, cells
evaluated twice, Python loops over 64^3, and a decoder with the code repeated beside every point.
Bare products are the decoder's matrix products on as many points as `exact` evaluates. Seconds are
of CPU time with one thread. --checkpoint takes a trained autoencoder; without it a full-width
decoder that makes a box is used.

Example: python tests/benchmarks/imnet_extraction.py --checkpoint=output/full --rows 0 1 2
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np
import tensorflow.compat.v1 as tf
from scipy import spatial

from common import cli, files
from common.training import checkpoints
from imnet import checkpoint_names, data_utils, decoder, extraction, options
from imnet.IMGAN import model
from tests.benchmarks import timing

_CONFIG = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--checkpoint', default='', help='of a trained autoencoder')
    parser.add_argument('--data_path', default='', help='set whose shapes are encoded (.hdf5)')
    parser.add_argument('--rows', nargs='+', type=cli.non_negative_int, default=[0],
                        help='shapes of the set')
    parser.add_argument('--gf_dim', type=cli.positive_int, default=128,
                        help='width unit of the random decoder')
    cli.add_flag(parser, '--original', default=True, help='time the original\'s procedure too')
    parser.add_argument('--output', default='', help='.json file for the figures')
    parser.add_argument('--device', default='cpu', choices=('cpu',), help='what is measured')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def original(field):
    """The original's z2voxel, loop for loop: (grid, points evaluated)."""
    frame, grid = np.zeros([66] * 3, np.uint8), np.zeros([258] * 3, np.float32)
    cells = np.indices([64] * 3).reshape(3, -1).T
    coarse = np.concatenate([field(extraction.centres(cells[start:start + 65536], 64))
                             for start in range(0, 64 ** 3, 65536)])
    frame[1:-1, 1:-1, 1:-1] = (coarse > 0.5).reshape([64] * 3)
    queue = []
    for i in range(1, 65):
        for j in range(1, 65):
            for k in range(1, 65):
                around = frame[i - 1:i + 2, j - 1:j + 2, k - 1:k + 2]
                if around.max() != around.min():
                    queue.append((i, j, k))
                elif around.max() == 1:
                    grid[4 * i - 3:4 * i + 1, 4 * j - 3:4 * j + 1, 4 * k - 3:4 * k + 1] = 1.
    offsets, count = np.indices([4] * 3).reshape(3, -1).T, 64 ** 3
    while queue:
        wave = [queue.pop(0) for _ in range(min(len(queue), 1024))]
        points = (np.array(wave)[:, None] - 1) * 4 + offsets
        values = field(extraction.centres(points.reshape(-1, 3), 256)).reshape(len(wave), 4, 4, 4)
        count += values.size
        for (i, j, k), block in zip(wave, values):
            grid[4 * i - 3:4 * i + 1, 4 * j - 3:4 * j + 1, 4 * k - 3:4 * k + 1] = block
            if block.max() <= 0.5:
                continue
            for a in range(max(i - 1, 1), min(i + 1, 64) + 1):
                for b in range(max(j - 1, 1), min(j + 1, 64) + 1):
                    for c in range(max(k - 1, 1), min(k + 1, 64) + 1):
                        if not frame[a, b, c]:
                            frame[a, b, c] = 1
                            queue.append((a, b, c))
    return grid, count


def _fields(args):
    """[(name, plain field, fast field)], one session each."""
    variables, codes = {}, [np.full(256, 0.5, np.float32)]
    sizes, clip = {'z_dim': 256, 'ef_dim': 1, 'gf_dim': args.gf_dim}, False
    if args.checkpoint:
        prefix = checkpoints.latest(args.checkpoint)
        run = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(prefix))))
        trained = checkpoint_names.fitted(cli.Options(
            z_dim=None, ef_dim=None, gf_dim=None, leaky_clip=None, output_path=run), prefix, 'ae')
        sizes = {name: vars(trained)[name] for name in sizes}
        clip = trained.leaky_clip
        variables = checkpoints.read(prefix)
        net, sess = _network(False, sizes, clip, variables)
        data = data_utils.Set(args.data_path)
        codes = net.codes_of(sess, (data.voxels(row) for row in args.rows))
    (plain, plain_sess), (fast, sess) = [_network(kind, sizes, clip, variables)
                                         for kind in (True, False)]
    return [('shape {}'.format(row),
             decoder.Field(plain_sess, plain.z_vector, plain.test_points, plain.test_values,
                           plain.test_raw, code, options.POINTS_PER_CALL),
             fast.field(sess, code)) for row, code in zip(args.rows, codes)], sizes


def _network(plain, sizes, clip, values):
    with tf.Graph().as_default() as graph:
        net = model.IMAE(plain=plain, leaky_clip=clip, **sizes)
        sess = tf.Session(graph=graph, config=_CONFIG)
        sess.run(tf.global_variables_initializer())
        for variable in net.variables:
            if values:
                variable.load(values[variable.op.name], sess)
        if not values:
            _make_blob(sess, sizes['gf_dim'])
    return net, sess


def _make_blob(sess, gf_dim):
    """Weights of a rounded, tilted box beside random ones that change nothing."""
    rng = np.random.RandomState(0)
    for variable in decoder.variables():
        value = rng.normal(0, 1e-9, variable.shape.as_list()).astype(np.float32)
        name = variable.op.name.split('/')[1:]
        if name == ['h1_lin', 'Matrix']:
            rotation = np.linalg.qr(rng.normal(size=[3, 3]))[0] * [1., 1.6, 2.4]
            value[:3, :6] = np.stack([rotation, -rotation], axis=2).reshape(3, 6)
        elif name[1] == 'Matrix' and name[0] in ('h2_lin', 'h3_lin', 'h4_lin'):
            value[np.arange(6), np.arange(6)] = 1
        elif name == ['h5_lin', 'Matrix']:
            value[:6, 0] = 1
        elif name == ['h6_lin', 'Matrix']:
            value[0, 0] = 1
        elif name == ['h7_lin', 'Matrix']:
            value[0, 0] = -3
        elif name == ['h7_lin', 'bias']:
            value[:] = 2
        variable.load(value, sess)


def time_products(points, gf_dim):
    """CPU seconds of the decoder's products on so many points, as many at once as a field takes."""
    at_once = decoder.POINTS_PER_RUN
    with tf.Graph().as_default():
        hidden = tf.Variable(np.random.RandomState(0).normal(size=[at_once, 3]).astype(np.float32))
        ends = []
        for width in (8, 8, 8, 4, 2, 1, 0):
            size = width * gf_dim or 1
            matrix = tf.Variable(tf.random_normal([hidden.shape[1].value, size]))
            hidden = tf.matmul(hidden, matrix)
            ends.append(hidden.op)
        with tf.Session(config=_CONFIG) as sess:
            sess.run(tf.global_variables_initializer())
            sess.run(ends)
            start = time.process_time()
            for _ in range(32):
                sess.run(ends)
            return (time.process_time() - start) / 32 * points / at_once


def measure(args):
    """Measures and prints."""
    fields, sizes = _fields(args)
    results = {}
    for name, plain, fast in fields:
        fast(np.zeros([65536, 3], np.float32))
        plain(np.zeros([65536, 3], np.float32))
        row = {}
        if args.original:
            start = time.process_time()
            grid, count = original(plain)
            row['original'] = {'seconds': time.process_time() - start, 'points': count}
        vertices = {}
        for mode, search in extraction.MODES.items():
            start = time.process_time()
            extracted = search(fast)
            row[mode] = {'seconds': time.process_time() - start, 'points': sum(extracted.calls)}
            if mode == 'exact':
                row['products'] = {'seconds': time_products(sum(extracted.calls), sizes['gf_dim']),
                                   'points': sum(extracted.calls)}
                if args.original:
                    row['exact']['other_cells'] = int(
                        ((grid > 0.5) != (extracted.grid > 0.5)).sum())
            vertices[mode] = extraction.surface(extracted.grid)[0]
        distances = [spatial.cKDTree(vertices[first]).query(vertices[second])[0]
                     for first, second in (('exact', 'octree'), ('octree', 'exact'))]
        row['octree'].update(
            vertices=len(vertices['octree']), exact_vertices=len(vertices['exact']),
            moved=int((distances[0] > 1e-6).sum() + (distances[1] > 1e-6).sum()),
            farthest=float(max(part.max() for part in distances)))
        results[name] = row
        cli.say('{}: {}'.format(name, '; '.join('{} {:.2f} s, {} points'.format(
            kind, part['seconds'], part['points']) for kind, part in row.items())))
        if args.original:
            cli.say('    original / exact {:.2f} (cells that differ: {}), original / octree '
                          '{:.2f}'.format(row['original']['seconds'] / row['exact']['seconds'],
                                          row['exact']['other_cells'],
                                          row['original']['seconds'] / row['octree']['seconds']))
        cli.say('    exact / products {:.2f}; octree: {vertices} vertices (exact: '
                      '{exact_vertices}), {moved} differ, by at most {farthest:.2g}'.format(
                          row['exact']['seconds'] / row['products']['seconds'], **row['octree']))
    if args.output:
        files.write_json(args.output, results)
    return results


def short():
    """Rows of a short run with a narrow decoder, for `python -m tests.benchmarks`: CPU seconds."""
    (figures,) = measure(parse_args(['--gf_dim', '16'])).values()
    return [timing.Row('IM-NET extraction at 256^3',
                       '{}, decoder of width 16, CPU time, 1 thread(s)'.format(mode), mode,
                       figures[mode]['seconds'], 'original procedure',
                       figures['original']['seconds'])
            for mode in extraction.MODES]


def _main_work(args):
    measure(args)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(_main_work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Times PolyGen's training step of the preset `large` on ragged n-gon meshes, beside its products.

The meshes are stacked rings, eight of very different sizes, from a seed. The matrix products are
those of a step without padding: of every layer forward, for the gradient of its input and for that
of its kernel; of attention, those of whole squares of queries and memory (the step itself leaves
out most of what is masked, and computes some again). Seconds are of CPU time.

Example: python -m tests.benchmarks.polygen_large --repetitions 2
"""
import argparse
import sys
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.device import session
from common.training import launch
from polygen import data_utils, mesh_sets, networks, training_graph
from polygen import options as options_lib
from tests.benchmarks import peer_jobs, timing

BATCH = 8
_VERTICES = (60, 560)       # of the meshes, log-uniform between them
_SIDES = (8, 25)            # corners of a ring
_BITS = 8
_STACKS = {'vertex_layers': 'vertex_tokens', 'encoder_layers': 'targets',
           'face_layers': 'face_tokens'}


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--batch_size', type=cli.positive_int, default=BATCH, help='meshes')
    parser.add_argument('--layers', type=cli.positive_int, default=8, help='of each stack')
    parser.add_argument('--repetitions', type=cli.positive_int, default=2,
                        help='timed steps, after one that is not; the least counts')
    parser.add_argument('--threads', type=cli.positive_int, default=1, help='of the CPU')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _rings(count, sides, rng):
    """Vertices and faces of a closed mesh: rings of corners, quads between, n-gons at the ends."""
    angles = 2 * np.pi * np.arange(sides) / sides
    vertices = np.concatenate([np.stack([
        radius * np.cos(angles), radius * np.sin(angles), np.full(sides, height)], axis=1)
        for radius, height in zip(rng.uniform(0.3, 0.5, count), np.linspace(-0.5, 0.5, count))])
    faces = [list(range(sides))[::-1], list(range((count - 1) * sides, count * sides))]
    for start in range(0, (count - 1) * sides, sides):
        for side in range(sides):
            after = (side + 1) % sides
            faces.append([start + side, start + after, start + sides + after,
                          start + sides + side])
    return vertices, faces


def examples(count: int, seed: int = 0) -> List[Dict[str, Any]]:
    """Returns examples as `mesh_sets.load_meshes` gives them, of 60 to 560 vertices."""
    rng = np.random.RandomState(seed)
    made = []
    for number in range(count):
        vertices = np.exp(rng.uniform(*np.log(_VERTICES)))
        sides = int(rng.randint(*_SIDES))
        example = data_utils.process_mesh(*_rings(max(2, int(vertices // sides)), sides, rng),
                                          _BITS)
        made.append({'vertices': example['vertices'], 'class_label': 0, 'name': str(number),
                     'faces': example['faces'].astype(np.int32)})
    return made


def lengths(count: int) -> Dict[str, List[int]]:
    """Returns the sequences of the batch: `vertex_tokens`, `targets`, `face_tokens`."""
    meshes = examples(count)
    vertices = [len(mesh['vertices']) for mesh in meshes]
    return {'vertex_tokens': [3 * number + 1 for number in vertices],
            'targets': [number + 2 for number in vertices],
            'face_tokens': [len(mesh['faces']) for mesh in meshes]}


def job(threads: int, batch: int, layers: int = 8) -> Callable[[], Any]:
    """Returns a function that makes a training step of both models."""
    stacks = ['--{}={}'.format(name, layers) for name in _STACKS]
    options = options_lib.complete(options_lib.parse_args(
        ['--preset=large', '--batch_size={}'.format(batch)] + stacks), 'cpu')
    context = launch.Context(threads=threads)
    meshes = examples(batch)
    options = options_lib.with_classes(options, meshes, None)
    batches = mesh_sets.Batches(meshes, batch, shuffle=False)
    step = tf.placeholder(tf.int32, [], name='step')
    graph = training_graph.TrainingGraph(networks.build_models(options, step), batches.buckets,
                                         options, context, step)
    sess = tf.Session(config=context.session_config())
    sess.run(tf.global_variables_initializer())
    return lambda: graph.run(sess, 1, batches.at(1))


def products(batch: int, layers: int = 8) -> List[Tuple[Sequence[int], int]]:
    """Returns [(shape, times)] of the forward products of a step, of the preset `large`.

    A shape is (rows, inner, columns) or (heads, rows, inner, columns).
    """
    sizes = options_lib.PRESETS['large']
    width, hidden, heads = sizes['hidden_size'], sizes['fc_size'], sizes['num_heads']
    of_batch = lengths(batch)
    total = {name: sum(values) for name, values in of_batch.items()}
    shapes = [((total['vertex_tokens'], width, 2 ** _BITS + 1), 1),
              ((total['face_tokens'], width, width), 1)]
    for stack, name in _STACKS.items():
        rows = total[name]
        shapes += [((rows, width, 3 * width), layers), ((rows, width, width), layers),
                   ((rows, width, hidden), layers), ((rows, hidden, width), layers)]
        pairs = list(zip(of_batch[name], of_batch[name]))
        if stack == 'face_layers':
            shapes += [((rows, width, width), 2 * layers),      # queries of the cross-attention
                       ((total['targets'], width, 2 * width), layers)]
            across = list(zip(of_batch[name], of_batch['targets']))
            shapes += [((count, width, memory), 1) for count, memory in across]
            pairs += across
        shapes += [shape for count, memory in pairs for shape in (
            ((heads, count, width // heads, memory), layers),
            ((heads, count, memory, width // heads), layers))]
    return shapes


def operations(batch: int, layers: int = 8) -> float:
    """Returns the multiplications and additions of `products` and of their gradients."""
    return sum(6. * times * np.prod(shape, dtype=np.float64)
               for shape, times in products(batch, layers))


def time_products(batch: int, layers: int, threads: int, repetitions: int) -> float:
    """Returns the CPU seconds of `products` and of their gradients, each shape timed once."""
    return sum(times * _time_product(shape, threads, repetitions)
               for shape, times in products(batch, layers))


def _time_product(shape, threads, repetitions):
    *heads, rows, inner, columns = shape
    with tf.Graph().as_default():
        left, right, upstream = [tf.Variable(tf.random_normal(heads + list(ends))) for ends in (
            (rows, inner), (inner, columns), (rows, columns))]
        three = [tf.matmul(left, right).op, tf.matmul(upstream, right, transpose_b=True).op,
                 tf.matmul(left, upstream, transpose_a=True).op]
        with tf.Session(config=session.session_config('cpu', threads)) as sess:
            sess.run(tf.global_variables_initializer())
            return timing.least(lambda: sess.run(three), repetitions)


def _peer_job(batch, layers):
    sizes = options_lib.PRESETS['large']
    setting = 'large, {} layer(s), n-gon meshes, batch {}'.format(layers, batch)
    return peer_jobs.Job('PolyGen step', setting, lambda threads: job(threads, batch, layers), (
        'polygen', 'step', {'batch': lengths(batch), 'layers': [layers] * 3,
                            'width': sizes['hidden_size'], 'hidden': sizes['fc_size'],
                            'heads': sizes['num_heads'], 'dropout': sizes['dropout_rate']}))


JOBS = (_peer_job(2, 1), _peer_job(BATCH, 8))


def rows(config: argparse.Namespace) -> List[timing.Row]:
    """Measures; list of timing.Row, with CPU seconds."""
    bare = time_products(config.batch_size, config.layers, config.threads, config.repetitions)
    with tf.Graph().as_default():
        before = time.process_time()
        step = job(config.threads, config.batch_size, config.layers)
        step()
        first = time.process_time() - before
        seconds = timing.least(step, config.repetitions)
    setting = 'large, {} layers, n-gon meshes, batch {}, CPU time, {} thread(s)'.format(
        config.layers, config.batch_size, config.threads)
    return [timing.Row('PolyGen training step', setting, 'no padding', seconds,
                       'matrix products alone', bare,
                       '{:.0f} GFLOP'.format(operations(config.batch_size, config.layers) / 1e9)),
            timing.Row('PolyGen graph and first step', setting, 'no padding', first,
                       'a later step', seconds)]


def short() -> List[timing.Row]:
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--repetitions', '1']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

"""Trains a toy network; the tests start it as a process of its own, to interrupt and to resume it.

Example: python tests/common/toy_training.py --output_path=/tmp/toy --training_steps=20
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, files
from common.training import launch, runs


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--training_steps', type=cli.positive_int, default=10, help='in all')
    parser.add_argument('--learning_rate', type=cli.positive_float, default=1e-2, help='of Adam')
    parser.add_argument('--hidden_size', type=cli.positive_int, default=8, help='of the network')
    parser.add_argument('--batch_size', type=cli.positive_int, default=4, help='rows of a step')
    parser.add_argument('--step_seconds', type=float, default=0.0, help='pause inside each step')
    parser.add_argument('--op_seconds', type=float, default=0.0,
                        help='for which an operation of each step keeps its thread')
    parser.add_argument('--nan_at', type=int, default=0, help='step whose data are not finite')
    parser.add_argument('--data_path', default=None, help='folder with scale.txt, of the data')
    parser.add_argument('--checkpoint', default='', help='weights to start from')
    cli.add_run_options(parser, 'output')
    return parser.parse_args(argv)


def build(options, context):
    """Builds the network.

    Returns:
      (points [batch / processes, 3], loss, train_op).
    """
    ranks = context.ranks
    points = tf.placeholder(tf.float32, [ranks.per_rank(options.batch_size), 3], name='points')
    hidden = points
    for name, size in (('hidden', options.hidden_size), ('out', 1)):
        with tf.variable_scope(name):
            weights = tf.get_variable('w', [hidden.shape[-1].value, size])
            bias = tf.get_variable('b', [size], initializer=tf.zeros_initializer())
            hidden = tf.tanh(tf.matmul(hidden, weights) + bias)
    mean = tf.get_variable('mean', [1], initializer=tf.zeros_initializer(), trainable=False)
    loss = tf.reduce_mean(tf.square(hidden - 0.5))
    optimizer = context.wrap_optimizer(tf.train.AdamOptimizer(options.learning_rate))
    train_op = optimizer.minimize(loss, global_step=tf.train.get_or_create_global_step())
    with tf.control_dependencies([train_op]):
        train_op = mean.assign(0.9 * mean + 0.1 * ranks.mean(tf.reduce_mean(hidden)))
    return points, ranks.mean(loss), train_op


def batch(options, context, step):
    """Draws the data of a step from (seed, step)."""
    values = np.random.RandomState([context.seed, step]).normal(size=[options.batch_size, 3])
    if options.data_path:
        values = values * np.loadtxt(os.path.join(options.data_path, 'scale.txt'))
    return context.ranks.shard(values * np.nan if step == options.nan_at else values)


def train(options, context):
    """Trains to step `options.training_steps`; returns {step: loss} of this process."""
    runs.set_seeds(context.seed)
    points, loss, train_op = build(options, context)
    pause = tf.py_func(lambda: time.sleep(options.op_seconds), [], []) if options.op_seconds else []
    losses = {}
    with runs.start(options, context, summary='toy') as run:
        for step in run.steps(options.training_steps):
            value, *_ = run.sess.run((loss, train_op, pause),
                                     {points: batch(options, context, step)})
            time.sleep(options.step_seconds)
            run.report(step, loss_toy=value)
            losses[step] = float(value)
        run.results.once('mean', run.step, lambda: write_mean(run))
    return losses


def write_mean(run):
    """Writes what is left behind the last step; returns its path."""
    path = os.path.join(run.eval_dir, 'mean.json')
    mean = run.sess.run(next(v for v in tf.global_variables() if v.op.name == 'mean'))
    files.write_json(path, {'step': run.step, 'mean': mean.tolist()})
    return [path]


def main(argv=None):
    """Runs the script; returns its exit code."""
    return launch.main(train, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

"""Trains a toy network; the tests start it as a process of its own, to interrupt and to resume it.

Example: python tests/common/toy_training.py --output_path=/tmp/toy --training_steps=20
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device
from common.training import runs


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--training_steps', type=cli.positive_int, default=10, help='in all')
    parser.add_argument('--learning_rate', type=cli.positive_float, default=1e-2, help='of Adam')
    parser.add_argument('--hidden_size', type=cli.positive_int, default=8, help='of the network')
    parser.add_argument('--step_seconds', type=float, default=0.0, help='pause inside each step')
    parser.add_argument('--nan_at', type=int, default=0, help='step whose data are not finite')
    parser.add_argument('--data_path', default=None, help='folder with scale.txt, of the data')
    parser.add_argument('--checkpoint', default=None, help='weights to start from')
    cli.add_run_options(parser, 'output')
    return parser.parse_args(argv)


def build(config):
    """Builds the network.

    Returns:
      (points [4 / processes, 3], loss, train_op).
    """
    points = tf.placeholder(tf.float32, [device.per_rank(4), 3], name='points')
    hidden = points
    for name, size in (('hidden', config.hidden_size), ('out', 1)):
        with tf.variable_scope(name):
            weights = tf.get_variable('w', [hidden.shape[-1].value, size])
            bias = tf.get_variable('b', [size], initializer=tf.zeros_initializer())
            hidden = device.dropout(tf.tanh(tf.matmul(hidden, weights) + bias), 0.0)
    mean = tf.get_variable('mean', [1], initializer=tf.zeros_initializer(), trainable=False)
    loss = tf.reduce_mean(tf.square(hidden - 0.5))
    optimizer = device.wrap_optimizer(tf.train.AdamOptimizer(config.learning_rate), config)
    train_op = optimizer.minimize(loss, global_step=tf.train.get_or_create_global_step())
    with tf.control_dependencies([train_op]):
        train_op = mean.assign(0.9 * mean + 0.1 * device.allreduce_mean(tf.reduce_mean(hidden)))
    return points, device.allreduce_mean(loss), train_op


def batch(config, step):
    """Draws the data of a step from (seed, step)."""
    values = np.random.RandomState([config.seed, step]).normal(size=[4, 3])
    if config.data_path:
        values = values * np.loadtxt(os.path.join(config.data_path, 'scale.txt'))
    return device.shard(values * np.nan if step == config.nan_at else values)


def train(config):
    """Trains to step `config.training_steps`; returns {step: loss} of this process."""
    runs.set_seeds(config.seed)
    points, loss, train_op = build(config)
    losses = {}
    with runs.start(config, summary='toy') as run:
        for step in run.steps(config.training_steps):
            value, _ = run.sess.run((loss, train_op), {points: batch(config, step)})
            time.sleep(config.step_seconds)
            run.report(step, loss_toy=value)
            losses[step] = float(value)
    return losses


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(train, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Times PolyGen's training step: without work on padding against the plain graph, and the loader.

Example: python -m tests.benchmarks.polygen_step --threads 1
"""
import sys

import tensorflow.compat.v1 as tf

from common import cli
from common.training import launch
from polygen import mesh_sets, networks, training_graph
from polygen import options as options_lib
from tests.benchmarks import timing


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--steps', type=cli.positive_int, default=5, help='in a timed run')
    parser.add_argument('--repetitions', type=cli.positive_int, default=5,
                        help='of which the median counts')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _stepper(config, arguments):
    """Function that makes `config.steps` training steps on the toy set, and the batches."""
    with tf.Graph().as_default():
        options = options_lib.complete(options_lib.parse_args(arguments), 'cpu')
        context = launch.Context(threads=config.threads)
        examples, summary = mesh_sets.load_for(options, options.data_path)
        options = options_lib.with_classes(options, examples, summary.class_names)
        batches = mesh_sets.Batches(examples, options.batch_size, shuffle=False)
        step = tf.placeholder(tf.int32, [], name='step')
        graph = training_graph.TrainingGraph(networks.build_models(options, step),
                                             batches.buckets, options, context, step)
        sess = tf.Session(config=context.session_config())
        sess.run(tf.global_variables_initializer())

    def run():
        for number in range(1, config.steps + 1):
            graph.run(sess, number, batches.at(number))

    return run, batches


def rows(config):
    """Measures; list of timing.Row."""
    (ours, batches), (plain, _) = _stepper(config, []), _stepper(config, ['--plain'])

    def load():
        for number in range(1, config.steps + 1):
            batches.at(number)

    seconds = timing.in_turns({'ours': ours, 'plain': plain, 'loader': load}, config.repetitions)
    setting = 'seed configuration, {} thread(s), {} steps'.format(config.threads, config.steps)
    return [timing.Row('PolyGen training step', setting, 'no padding', seconds['ours'],
                       'plain graph', seconds['plain']),
            timing.Row('PolyGen loader', setting, 'loader', seconds['loader'], 'training step',
                       seconds['ours'])]


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--repetitions', '3']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

"""Times drawing from PolyGen's vertex model that is told a class, a picture or voxels.

A picture or a grid goes through its encoder once, and the keys and values of the cross-attention
are computed once, for all samples and steps; what a token costs more than with a class is the
attention to them. Networks of a preset, weights at random, no stop symbol.

Example: python -m tests.benchmarks.polygen_conditions --tokens 199 --threads 1
"""
import sys

import tensorflow.compat.v1 as tf

from common import cli
from common.device import session as session_lib
from polygen import networks, sampling
from polygen import options as options_lib
from tests.benchmarks import polygen_sampling, timing

CONDITIONS = ('class', 'image', 'voxels')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--tokens', type=cli.positive_int, default=199,
                        help='tokens to draw, one more than a multiple of 3')
    parser.add_argument('--batch', type=cli.positive_int, nargs='+', default=[1, 8],
                        help='sequences drawn at a time')
    parser.add_argument('--preset', choices=('seed', 'small', 'large'), default='small',
                        help='sizes of the networks')
    parser.add_argument('--conditions', choices=CONDITIONS[1:], nargs='+',
                        default=list(CONDITIONS[1:]), help='to measure beside the class')
    parser.add_argument('--image_size', type=cli.positive_int, default=None,
                        help='pixels a side of the picture (default: of the preset)')
    parser.add_argument('--repetitions', type=cli.positive_int, default=5,
                        help='of which the median counts')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _options(condition, config):
    given = ['--preset=' + config.preset, '--condition=' + condition, '--num_classes=4',
             '--device=cpu']
    if config.image_size:
        given.append('--image_size={}'.format(config.image_size))
    return options_lib.complete(options_lib.parse_args(given), 'cpu')


def _drawing(condition, batch, config):
    """Builds a model's drawing in the default graph: (tokens, placeholders' values)."""
    options = _options(condition, config)
    model = networks.build_models(options).vertex
    project = model._project_to_logits
    model._project_to_logits = lambda inputs: project(inputs) - 1e9 * tf.one_hot(
        0, model.num_symbols)
    shared = condition != 'class'   # all samples of one picture or grid
    context = networks.condition_placeholders(options, 1 if shared else batch)
    noise = tf.constant(sampling.uniform_noise(1, batch, config.tokens))
    tokens = model.draw_tokens(batch, context, (config.tokens - 1) // 3, noise,
                               sampling.Filters(), shared_context=shared)[0]
    return tokens, {tensor: _values(name, tensor.shape.as_list())
                    for name, tensor in context.items()}


def _values(name, shape):
    if name == 'class_label':
        return [1] * shape[0]
    draw = sampling.uniform_noise(2, shape[0], tf.TensorShape(shape[1:]).num_elements())
    return draw.reshape(shape) if name == 'image' else (draw.reshape(shape) < 0.2)


def measure(batch, config):
    """Draws in turns, a graph and a session for each condition; list of timing.Row."""
    jobs, sessions = {}, []
    for condition in ['class'] + [name for name in CONDITIONS if name in config.conditions]:
        with tf.Graph().as_default():
            tokens, feed = _drawing(condition, batch, config)
            session = tf.Session(config=session_lib.session_config('cpu', config.threads))
            session.run(tf.global_variables_initializer())
            polygen_sampling.load_weights(session)
        sessions.append(session)
        jobs[condition] = lambda run=session.run, fetch=tokens, feed=feed: run(fetch, feed)
    assert all(job().shape[1] == config.tokens and job().all() for job in jobs.values())
    seconds = timing.in_turns(jobs, config.repetitions)
    for session in sessions:
        session.close()
    setting = '{} tokens, batch {}, preset {}{}'.format(
        config.tokens, batch, config.preset,
        ', {0} x {0} pixels'.format(config.image_size) if config.image_size else '')
    return [timing.Row('sampling, ' + name, setting, name, seconds[name], 'class',
                       seconds['class']) for name in jobs if name != 'class']


def rows(config):
    """Measures all settings of the options; list of timing.Row."""
    return [row for batch in config.batch for row in measure(batch, config)]


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--repetitions=3']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

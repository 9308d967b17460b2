"""Times 3D-R2N2's training step against the plain graph, at the full networks' shape but narrower.

Example: python -m tests.benchmarks.r2n2_step --model ResidualGRUNet --batch 4 8 --width 1
"""
import sys

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.device import session
from r2n2 import models
from r2n2.lib import solver
from tests.benchmarks import timing

_CONV, _FC, _DECONV = (96, 128, 256, 256, 256, 256), (1024,), (128, 128, 128, 64, 32)


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', nargs='+', default=['GRUNet', 'ResidualGRUNet'],
                        choices=[kind.__name__ for kind in models.MODELS], help='networks')
    parser.add_argument('--batch', type=cli.positive_int, nargs='+', default=[4, 8],
                        help='models in a step')
    parser.add_argument('--views', type=cli.positive_int, default=3, help='views of a model')
    parser.add_argument('--width', type=cli.positive_float, default=0.25,
                        help='share of the full numbers of channels')
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='of which the median counts')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _stepper(options, name, batch, plain):
    """Function that makes one step."""
    def narrowed(widths):
        return [max(2, int(width * options.width)) for width in widths]

    with tf.Graph().as_default():
        net = models.load_model(name)(narrowed(_CONV), narrowed(_FC), narrowed(_DECONV) + [2],
                                      plain=plain)
        trainer = solver.Solver(net)
        step = trainer.step(options.views, batch, 127)
        sess = tf.Session(config=session.session_config('cpu', options.threads))
        sess.run(tf.global_variables_initializer())
    rng = np.random.RandomState(0)
    feed = {step.images: rng.uniform(size=step.images.shape.as_list()),
            step.voxels: rng.uniform(size=step.voxels.shape.as_list()) < 0.1, trainer.rate: 1e-5}
    return lambda: sess.run((step.loss, step.update), feed)


def rows(options):
    """Measures; returns a list of timing.Row."""
    measured = []
    for name in options.model:
        for batch in options.batch:
            seconds = timing.in_turns(
                {way: _stepper(options, name, batch, way == 'plain') for way in ('ours', 'plain')},
                options.repetitions)
            measured.append(timing.Row(
                '3D-R2N2 training step', '{}, width x {:g}, {} views, batch {}, {} thread(s)'
                .format(models.load_model(name).paper_name, options.width, options.views, batch,
                        options.threads),
                'shared work', seconds['ours'], 'plain graph', seconds['plain']))
    return measured


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--batch', '4', '--repetitions', '1']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

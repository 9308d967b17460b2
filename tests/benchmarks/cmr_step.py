"""Times CMR's graph part and training step against the plain graph, and against ResNet-50 alone.

The plain graph copies the picture's features to every node, multiplies by the dense adjacency, and
gives the regressor the template with every picture.

Example: python -m tests.benchmarks.cmr_step --graph_batch 1 8 --step_batch 4 16
"""
import sys

import numpy as np
import tensorflow.compat.v1 as tf

from cmr import networks
from cmr import options as options_lib
from cmr.src.models import cmr, layers, resnet
from cmr.src.netCell import netWithLoss
from common import cli
from common.device import session
from tests.benchmarks import timing

_RATE = 1e-5


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--graph_batch', type=cli.positive_int, nargs='+', default=[1, 8],
                        help='pictures at a time, graph part and bodies')
    parser.add_argument('--step_batch', type=cli.positive_int, nargs='+', default=[4, 16],
                        help='pictures in a training step')
    parser.add_argument('--resnet_width', type=cli.positive_int, default=64)
    parser.add_argument('--regressor_width', type=cli.positive_int, default=1024)
    parser.add_argument('--num_channels', type=cli.positive_int, default=256)
    parser.add_argument('--num_layers', type=cli.positive_int, default=5)
    parser.add_argument('--img_res', type=cli.positive_int, default=224)
    parser.add_argument('--repetitions', type=cli.positive_int, default=3,
                        help='of which the median counts')
    parser.add_argument('--threads', type=cli.non_negative_int, default=1,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _network(options, plain, is_training):
    sizes = ['--{}={}'.format(name, vars(options)[name]) for name in options_lib.NETWORK]
    return networks.Network(options_lib.network_options('--plain={}'.format(plain), *sizes),
                            is_training, on_cpu=True)


def _session(options):
    sess = tf.Session(config=session.session_config(threads=options.threads))
    sess.run(tf.global_variables_initializer())
    return sess


def _graph_job(options, batch, plain):
    """Returns a function that computes both bodies from features."""
    with tf.Graph().as_default():
        network = _network(options, plain, False)
        features = tf.placeholder(tf.float32, [batch, 32 * options.resnet_width])
        outputs = cmr.network(network.variables, network.mesh, network.body, features=features,
                              num_layers=options.num_layers, num_channels=options.num_channels)
        sess = _session(options)
    feed = {features: np.random.RandomState(0).uniform(size=features.shape.as_list())}
    return lambda: sess.run((outputs.vertices, outputs.vertices_smpl, outputs.camera), feed)


def truth(batch):
    """Random netWithLoss.Truth of a batch."""
    rng = np.random.RandomState(1)
    shapes = {'keypoints': [24, 3], 'pose_3d': [24, 4], 'pose': [72], 'betas': [10],
              'has_smpl': [], 'has_pose_3d': []}
    return netWithLoss.Truth(**{
        name: tf.constant(rng.uniform(0.1, 1, [batch] + shape).astype(np.float32))
        for name, shape in shapes.items()})


def _images(options, batch):
    size = [batch, options.img_res, options.img_res, 3]
    return tf.constant(np.random.RandomState(0).normal(size=size).astype(np.float32))


def _step_job(options, batch, plain):
    """Returns a function that makes one training step."""
    with tf.Graph().as_default():
        network = _network(options, plain, True)
        outputs = network.build(_images(options, batch))
        losses, *_ = netWithLoss.losses(outputs, truth(batch), network.body)
        update = netWithLoss.update(losses['loss'], network.variables, netWithLoss.Adam(_RATE))
        sess = _session(options)
    return lambda: sess.run(update)


def _encoder_job(options, batch):
    """Returns a function that makes a step of the encoder alone, on the mean of its features."""
    with tf.Graph().as_default():
        variables = layers.Parameters(True, fast_gradients=True)
        features = resnet.resnet50(_images(options, batch), variables, options.resnet_width)
        update = netWithLoss.update(tf.reduce_mean(features), variables, netWithLoss.Adam(_RATE))
        sess = _session(options)
    return lambda: sess.run(update)


def rows(options):
    """Measures; list of timing.Row."""
    sizes = 'ResNet width {}, {} x {} channels'.format(options.resnet_width, options.num_layers,
                                                       options.num_channels)
    results = []
    for batch in options.graph_batch:
        seconds = timing.in_turns({way: _graph_job(options, batch, way == 'plain')
                                   for way in ('ours', 'plain')}, options.repetitions)
        results.append(timing.Row('CMR graph part and bodies', '{}, batch {}, {} thread(s)'.format(
            sizes, batch, options.threads), 'shared work', seconds['ours'], 'plain graph',
            seconds['plain']))
    for batch in options.step_batch:
        setting = '{}, {} pixels, batch {}, {} thread(s)'.format(sizes, options.img_res, batch,
                                                                 options.threads)
        jobs = {way: _step_job(options, batch, way == 'plain') for way in ('ours', 'plain')}
        jobs['encoder'] = _encoder_job(options, batch)
        seconds = timing.in_turns(jobs, options.repetitions)
        for other, name in (('plain', 'plain graph'), ('encoder', 'ResNet-50 alone')):
            results.append(timing.Row('CMR training step', setting, 'shared work', seconds['ours'],
                                      name, seconds[other]))
    return results


def short():
    """Rows of a short run, for `python -m tests.benchmarks`."""
    return rows(parse_args(['--graph_batch', '1', '--step_batch', '4', '--resnet_width', '16',
                            '--repetitions', '1']))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return timing.main(parse_args, rows, argv)


if __name__ == '__main__':
    sys.exit(main())

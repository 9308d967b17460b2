"""Freezes CMR to a .pb: picture to both bodies, pose, shape and camera.

The ends are `image` float32 [B, S, S, 3] (normalised, see `options.normalised`), and `vertices`,
`vertices_smpl` [B, V, 3], `rotations` [B, 24, 3, 3], `betas` [B, 10], `camera` [B, 3].
"""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from cmr.src.utils import options
from common import checkpoints, device, frozen, npu_survey


def add_options(parser):
    """Adds the options of freezing that are CMR's own."""
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='checkpoint, its folder, or a file of PyTorch')
    parser.add_argument('--output_path', default=options.OUTPUT_PATH,
                        help='folder of a run, where no --checkpoint is given')
    parser.add_argument('--device', default='cpu', choices=('cpu', 'gpu'))
    options.add_network_options(parser)


def freeze(config):
    """Freezes the network of a checkpoint.

    Args:
      config: namespace with the options of `add_options`, `output` (folder) and `batch_size`.
    Returns:
      list of one str, the .pb file.
    """
    weights = options.trained(config)
    path = os.path.join(config.output, 'cmr.pb')
    with tf.Graph().as_default():
        network = options.Network(config, False)
        images = network.images(config.batch_size)
        found = network.build(images, has_classifier=options.pth2ckpt.is_torch(weights))
        sess_config = device.session_config(config)
        # Fused operations round other than the single ones of the written graph.
        sess_config.graph_options.rewrite_options.disable_meta_optimizer = True
        with tf.Session(config=sess_config) as sess:
            options.load(sess, network, weights)
            feed = {'image': np.random.RandomState(0).normal(
                size=images.shape.as_list()).astype(np.float32)}
            frozen.freeze(sess, {'image': images}, {
                'vertices': found.vertices, 'vertices_smpl': found.vertices_smpl,
                'rotations': found.rotations, 'betas': found.betas, 'camera': found.camera},
                path, check_feed=feed, notes={'checkpoint': os.path.basename(weights),
                                              'plain': config.plain})
    return [path]


def freeze_run(config, step):
    """Freezes a run at a step into its output folder; list of str, the file."""
    own = os.path.join(config.output_path, checkpoints.RUN_FOLDER, 'model-{}'.format(step))
    return freeze(options.namespace(config, output=config.output_path, batch_size=1,
                                    device='cpu', checkpoint=own))


def networks():
    """The network in the paper's sizes, for `python -m common.npu_lint`."""
    def configuration():
        from cmr import train  # here, since it uses this file
        config = train.parse_args(['--plain', '--device=cpu'])
        options.complete(config)
        return config, train.Steps

    def training():
        config, make_steps = configuration()
        steps = make_steps(options.Network(config, True), config, 2)
        feeds = [op.outputs[0] for op in tf.get_default_graph().get_operations()
                 if op.type == 'Placeholder']
        return feeds, [steps.losses['loss'], steps.update]

    def inference():
        network = options.Network(configuration()[0], False)
        images = network.images(1)
        found = network.build(images, has_classifier=False)
        feed = np.random.RandomState(0).normal(size=images.shape.as_list())
        return npu_survey.Graph({'image': images}, {
            name: getattr(found, name) for name in ('vertices', 'vertices_smpl', 'rotations',
                                                    'betas', 'camera')},
            {}, {'image': feed}, list(network.make.variables.values()), None)

    return [npu_survey.Network('body', True, training),
            npu_survey.Network('body', False, inference)]

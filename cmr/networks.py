"""The networks of CMR: built from settled options, given trained weights, listed for the NPU."""
import argparse
import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from cmr import options as options_lib
from cmr.src.models import cmr, layers
from cmr.src.netCell import netWithLoss
from cmr.src.utils import body as body_lib
from cmr.src.utils import torch_weights
from common import cli
from common.device import ranks as ranks_lib
from common.frozen import networks as frozen_networks
from common.training import checkpoints, pretrained, runs

_OUTPUTS = ('vertices', 'vertices_smpl', 'rotations', 'betas', 'camera')


class Network:
    """A network with its body, as options describe it.

    Args:
      options: settled options, those of options.add_network_options.
      is_training: bool, see layers.Parameters.
      on_npu: bool, only operations that an NPU has; where half precision is emulated too.
      shared: None, or a Network whose body and variables this one has too.
      ranks: ranks.Ranks whose statistics are normalised by together; each alone by default.
      on_cpu: bool, gradients in forms that are fast there, unless the options say plain.

    Attributes:
      options: as given; body: smpl.Smpl; mesh: mesh.Mesh; arrays: dict of the body's file;
      variables: layers.Parameters.
    """

    def __init__(self, options: cli.Options, is_training: bool, on_npu: bool = False,
                 shared: Optional['Network'] = None, ranks: ranks_lib.Ranks = ranks_lib.ALONE,
                 on_cpu: bool = False):
        self.options = options
        if shared is None:
            form = 'dense' if options.plain else 'gather' if on_npu else 'sparse'
            self.body, self.mesh, self.arrays = body_lib.load_all(
                options.body, options.mesh_levels, form)
        else:
            self.body, self.mesh, self.arrays = shared.body, shared.mesh, shared.arrays
        self.variables: layers.Parameters = layers.Parameters(
            is_training, None if shared is None else shared.variables, ranks, options.plain,
            is_training and on_cpu and not options.plain, on_npu)

    def build(self, images: tf.Tensor, has_classifier: bool = True) -> cmr.Outputs:
        """Builds the network on normalised pictures [B, S, S, 3]."""
        options = self.options
        return cmr.network(self.variables, self.mesh, self.body, images,
                           num_layers=options.num_layers, num_channels=options.num_channels,
                           resnet_width=options.resnet_width, nearest=options.nearest_rotation,
                           has_classifier=has_classifier,
                           regressor_width=options.regressor_width)

    def images(self, batch: int) -> tf.Tensor:
        """Returns a placeholder [batch, S, S, 3] of normalised pictures."""
        size = self.options.img_res
        return tf.placeholder(tf.float32, [batch, size, size, 3], name='image')


def trained(options: argparse.Namespace, device: str) -> Tuple[cli.Options, str]:
    """Finds the weights that --checkpoint or the output folder names, and settles the options.

    Args:
      options: those of options.add_network_options, checkpoint and output_path.
      device: str, the same network on all.
    Returns:
      (settled options; str, prefix of a checkpoint, or a .pt or .pth file).
    Raises:
      errors.InputError: there are none.
    """
    del device
    options = pretrained.chosen(cli.settled(options), options_lib.PRETRAINED,
                                torch_weights.is_torch(options.output_path)
                                or pretrained.has_checkpoint(options.output_path))
    path = options.checkpoint or options.output_path
    if torch_weights.is_torch(path):
        return options_lib.complete_network(options), path
    prefix = checkpoints.latest(path)
    return options_lib.complete_network(options, _recorded(prefix)), prefix


def _recorded(prefix: str) -> Optional[Dict[str, Any]]:
    """Options of the run whose checkpoint it is, or None; --noresume sets both into one folder."""
    folder = os.path.dirname(os.path.abspath(prefix))
    if not os.path.basename(folder).startswith(checkpoints.RUN_FOLDER):
        return None
    for place in (folder, os.path.dirname(folder)):
        if os.path.exists(os.path.join(place, 'config.json')):
            return runs.read_options(place)
    return None


def load(sess: tf.Session, network: Network, weights: str) -> None:
    """Loads into a network the weights that `trained` found, ours or the original's."""
    sess.run(tf.global_variables_initializer())
    variables = network.variables.by_name
    if torch_weights.is_torch(weights):
        torch_weights.assign(sess, variables, torch_weights.read(weights), weights)
    else:
        checkpoints.restore(sess, weights, list(variables.values()), remedy=(
            'Give the options of the network that it was trained with (config.json of its run), or '
            'another --checkpoint.'))


def inference_graph(network: Network, batch: int,
                    has_classifier: bool = False) -> frozen_networks.InferenceGraph:
    """Builds the graph to freeze.

    Args:
      network: Network, not training; batch: int, pictures at a time.
      has_classifier: bool, see resnet.resnet50.
    """
    images = network.images(batch)
    outputs = network.build(images, has_classifier)
    feed = np.random.RandomState(0).normal(size=images.shape.as_list()).astype(np.float32)
    return frozen_networks.InferenceGraph(
        {'image': images}, {name: getattr(outputs, name) for name in _OUTPUTS}, {},
        {'image': feed}, list(network.variables.by_name.values()))


def rows() -> List[frozen_networks.Network]:
    """Lists the paper's network, for `python -m common.npu_lint`."""
    options = options_lib.network_options()

    def training():
        network = Network(options, True, on_npu=True)
        images, truth = network.images(2), netWithLoss.truth(2)
        losses, *_ = netWithLoss.losses(network.build(images), truth, network.body)
        update = netWithLoss.update(losses['loss'], network.variables, netWithLoss.Adam(3e-4))
        return [images, *truth], [*losses.values(), update]

    def inference():
        return inference_graph(Network(options, False, on_npu=True), 1)

    return [frozen_networks.Network('CMR', True, training),
            frozen_networks.Network('CMR', False, inference)]

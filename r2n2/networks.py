"""The networks of 3D-R2N2 as settings describe them: to build, restore, freeze and lint."""
import functools
import os
from typing import Dict, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.frozen import networks as frozen_networks
from common.training import checkpoints, pretrained, runs
from r2n2 import models
from r2n2 import options as options_lib
from r2n2.lib import config as config_lib
from r2n2.lib import layers, settings_checks, solver, weights
from r2n2.models import net as net_lib

_BATCH_AXES: Dict[str, Optional[int]] = {'views': 1, 'occupancy': 0}


def build(settings: config_lib.Config, plain: bool, seed: int = 0,
          fused: bool = True) -> net_lib.Net:
    """Returns the network that settings describe; its graph comes with `build`.

    Args:
      settings: config.Config; plain: bool, single operations; seed: int, of the initial values.
      fused: bool, see layers.Layers; not where half precision is emulated.
    """
    return _class_of(settings)(
        n_convfilter=settings.NET.N_CONVFILTER, n_fc_filters=settings.NET.N_FC_FILTERS,
        n_deconvfilter=settings.NET.N_DECONVFILTER, leaky_slope=settings.NET.LEAKY_SLOPE,
        batch_norm=settings.NET.BATCH_NORM, recurrent_filler=settings.NET.RECURRENT_FILLER,
        plain=plain, seed=seed, fused=fused)


def _class_of(settings):
    """The class of the network of settings that `settings_checks` has passed."""
    return models.load_model(settings.CONST.NETWORK_CLASS)


def trained(options: cli.Options, device: str) -> Tuple[cli.Options, str]:
    """Finds a trained network.

    Args:
      options: those of `options.add_trained_options`.
      device: 'cpu', 'gpu' or 'npu'; decides `plain` where that is None.
    Returns:
      (options, path of the weights): with the `settings` of the network; `output_path` is that of
      the launch scripts where it was not given and holds no run.
    Raises:
      errors.UsageError: `network` is not that of the checkpoint.
    """
    plain = device != 'cpu' if options.plain is None else options.plain
    if options_lib.is_npy(options.checkpoint):
        settings, _ = options_lib.merged_settings(options.cfg, options.set)
        if options.network:
            settings.CONST.NETWORK_CLASS = options.network
        settings_checks.check_network(settings)
        return options.replace(settings=settings, plain=plain), options.checkpoint
    output_path = options.output_path
    if (output_path == options_lib.OUTPUT_PATH and os.path.isdir(options_lib.LAUNCHED)
            and not os.path.isdir(os.path.join(output_path, checkpoints.RUN_FOLDER))):
        output_path = options_lib.LAUNCHED
    options = pretrained.chosen(options, options_lib.PRETRAINED,
                                pretrained.has_checkpoint(output_path))
    prefix = checkpoints.latest(options.checkpoint or output_path)
    folder = os.path.dirname(os.path.dirname(os.path.abspath(prefix)))
    recorded = runs.read_options(folder).get('settings')
    if not recorded:
        raise errors.InputError('{}/config.json is not of 3D-R2N2.'.format(folder))
    settings = config_lib.restored(recorded)
    own = _class_of(settings)
    if options.network and models.load_model(options.network) is not own:
        raise errors.UsageError('{} is a {}, not {}: leave the option of the network out.'.format(
            prefix, own.__name__, options.network))
    return options.replace(settings=settings, plain=plain, output_path=output_path), prefix


def restore(sess: tf.Session, net: net_lib.Net, path: str) -> None:
    """Assigns a built network its weights, of a checkpoint or a .npy file of the original."""
    if options_lib.is_npy(path):
        weights.load(sess, net, path)
    else:
        checkpoints.restore(sess, path, list(net.layers.by_name.values()))
    cli.say('weights of {}'.format(path))


def inference_graph(net: net_lib.Net, num_views: int, batch: int,
                    size: int) -> frozen_networks.InferenceGraph:
    """Builds what is frozen: `views` [V, B, S, S, 3], 0 to 1, to `occupancy` [B, 32, 32, 32].

    Args:
      net: models.net.Net; num_views, batch, size: int, V, B and S.
    """
    views = tf.placeholder(tf.float32, [num_views, batch, size, size, 3], name='views')
    logits = net.build(views).logits
    occupancy, _ = layers.loss(logits, tf.zeros(logits.shape[:-1]))
    feed = np.random.RandomState(0).uniform(size=views.shape.as_list()).astype(np.float32)
    return frozen_networks.InferenceGraph(
        {'views': views}, {'occupancy': occupancy}, {'prediction': 'occupancy'}, {'views': feed},
        list(net.layers.by_name.values()), _BATCH_AXES)


def rows() -> List[frozen_networks.Network]:
    """Returns the five networks of the paper in its sizes, for `python -m common.npu_lint`."""
    def training(kind):
        step = solver.Solver(kind(plain=True)).step(5, 2, 127, masked=True)
        rate = tf.get_default_graph().get_tensor_by_name('learning_rate:0')
        return [step.images, step.voxels, step.mask, rate], [step.loss, step.update]

    def inference(kind):
        return inference_graph(kind(plain=True), 3, 1, 127)

    return [frozen_networks.Network(kind.paper_name, is_training, functools.partial(function, kind))
            for kind in models.MODELS
            for is_training, function in ((True, training), (False, inference))]

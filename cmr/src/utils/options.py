"""Options that CMR's scripts share, and the network that they describe."""
import argparse
import collections
import os

import tensorflow.compat.v1 as tf

from cmr.src.models import cmr, graph_layers, layers
from cmr.src.utils import body as body_lib
from cmr.src.utils import pth2ckpt
from common import cli, device, errors, files
from common.training import checkpoints, runs

MODEL_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTPUT_PATH = os.path.join(MODEL_DIR, 'output')
GENERATED = 'generated'     # folder of the quick start's set below the output folder
NETWORK = collections.OrderedDict([('num_channels', 256), ('num_layers', 5), ('img_res', 224),
                                   ('resnet_width', 64)])
_RECORDED = tuple(NETWORK) + ('nearest_rotation', 'body', 'mesh_levels', 'stretch')
_TARGETS = {'GPU': 'gpu', 'Ascend': 'npu', 'CPU': 'cpu'}
_SMALLEST = 32          # pixels a side


def add_network_options(parser):
    """Adds sizes of the network and the body's files."""
    group = parser.add_argument_group('network')
    for name, text in (('num_channels', 'width of the graph network'),
                       ('num_layers', 'residual layers of the graph network'),
                       ('img_res', 'pixels a side'),
                       ('resnet_width', 'channels of the encoder\'s first stage; 64 is ResNet-50')):
        group.add_argument('--' + name, type=cli.positive_int, default=None, help=(
            '{} (of the run or checkpoint, else {})'.format(text, NETWORK[name])))
    cli.add_flag(group, '--nearest_rotation', default=None,
                 help='turn matrices of negative determinant to the nearest rotation; the '
                      "original, and its weights, take minus the polar factor")
    group.add_argument('--body', default=None, help='body model (.npz, or SMPL\'s .pkl) or its '
                                                    'folder; unset: the free body that ships')
    group.add_argument('--mesh_levels', default=None,
                       help='mesh_downsampling.npz; unset: beside the body')
    cli.add_flag(group, '--plain', default=None, help='compute as the original does, nothing '
                                                      'shared; slower')
    cli.add_flag(group, '--stretch', default=None,
                 help='stretch the contrast of crops as the original (scipy) did; --nostretch as '
                      'the MindSpore port, and nothing is cut to bytes or whole pixels behind it')


def add_device_target(parser):
    """Adds the MindSpore port's name of --device."""
    parser.add_argument('--device_target', choices=sorted(_TARGETS), default=None,
                        help='the same as --device, in the MindSpore port\'s words')


def settle_device(config):
    """Lets --device_target speak where --device was not given."""
    if config.device_target and config.device == 'auto':
        config.device = _TARGETS[config.device_target]


def read_config(config):
    """Takes the network's sizes from the JSON file --config, as data/config.json of the original.

    Options of the command line come before it; what it holds besides sizes is of no meaning here.

    Raises:
      errors.InputError: the file cannot be read, or a size is none.
    """
    held = files.read_json(config.config) if config.config else {}
    if not isinstance(held, dict):
        raise errors.InputError('{} holds no options.'.format(config.config))
    for name in NETWORK:
        value = held.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise errors.InputError('{}: {} is {!r}, expected a whole number of at least 1.'.format(
                config.config, name, value))
        if getattr(config, name) is None:
            setattr(config, name, value)


def complete(config, recorded=None):
    """Fills in options that were not given, from a run's record or the defaults.

    Args:
      config: namespace; recorded: dict of a run's options, or None.
    """
    defaults = dict(NETWORK, nearest_rotation=False, body='', mesh_levels='', stretch=True)
    for name in _RECORDED:
        if getattr(config, name, None) is None:
            value = (recorded or {}).get(name)
            setattr(config, name, defaults[name] if value is None else value)
    if config.plain is None:
        config.plain = False
    if config.img_res < _SMALLEST:
        raise errors.UsageError('--img_res must be {} at least.'.format(_SMALLEST))
    if not all(graph_layers.can_group(config.num_channels * factor) for factor in (0.5, 1, 2)):
        raise errors.UsageError('--num_channels {}: groups of 8 channels are normalised together; '
                                'give a multiple of 16.'.format(config.num_channels))


class Network:
    """A network with its body, as options describe it.

    Args:
      config: completed options.
      is_training, sync: bool, see layers.Parameters.
      shared: None, or a Network whose body and variables this one has too.
      portable: bool, only operations that an NPU has too, whatever the device.

    Attributes:
      body: smpl.Smpl; mesh: mesh.Mesh; arrays: dict of the body's file; make: layers.Parameters.
    """

    def __init__(self, config, is_training, shared=None, sync=False, portable=False):
        self.config = config
        if shared is None:
            sparse = not portable and device.choose(config.device) != 'npu'
            self.body, self.mesh, self.arrays = body_lib.load_all(
                config.body, config.mesh_levels,
                'dense' if config.plain else 'sparse' if sparse else 'gather')
        else:
            self.body, self.mesh, self.arrays = shared.body, shared.mesh, shared.arrays
        self.make = layers.Parameters(is_training, store=shared and shared.make, sync=sync,
                                      plain=config.plain)

    def build(self, images, has_classifier=True):
        """models.cmr.Outputs of pictures [B, S, S, 3], normalised."""
        config = self.config
        return cmr.network(self.make, self.mesh, self.body, images, num_layers=config.num_layers,
                           num_channels=config.num_channels, resnet_width=config.resnet_width,
                           nearest=config.nearest_rotation, has_classifier=has_classifier)

    def images(self, batch):
        """A placeholder of normalised pictures."""
        size = self.config.img_res
        return tf.placeholder(tf.float32, [batch, size, size, 3], name='image')


def trained(config):
    """Finds the weights that --checkpoint or the output folder names, and completes the options.

    Args:
      config: namespace with checkpoint and output_path.
    Returns:
      str, prefix of a checkpoint, or a .pt or .pth file.
    Raises:
      errors.InputError: there are none.
    """
    given = config.checkpoint or config.output_path
    if pth2ckpt.is_torch(given):
        complete(config)
        return given
    prefix = checkpoints.latest(given)
    complete(config, _recorded(prefix))
    return prefix


def _recorded(prefix):
    """Options of the run whose checkpoint it is, or None; --noresume sets both into one folder."""
    folder = os.path.dirname(os.path.abspath(prefix))
    if not os.path.basename(folder).startswith(checkpoints.RUN_FOLDER):
        return None
    for place in (folder, os.path.dirname(folder)):
        if os.path.exists(os.path.join(place, 'config.json')):
            return runs.read_options(place)
    return None


def load(sess, network, path):
    """Gives a network the weights of a checkpoint of ours or of the original."""
    sess.run(tf.global_variables_initializer())
    variables = network.make.variables
    if pth2ckpt.is_torch(path):
        pth2ckpt.assign(sess, variables, pth2ckpt.read(path), path)
    else:
        checkpoints.restore(sess, path, variables, remedy='Give the options of the network that it '
                            'was trained with (config.json of its run), or another --checkpoint.')


def namespace(config, **changes):
    """A copy of a namespace with changes."""
    return argparse.Namespace(**dict(vars(config), **changes))

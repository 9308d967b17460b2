"""Options of CMR's scripts: parsers, presets, and how options are settled. Needs no TensorFlow."""
import argparse
import os
import sys

from cmr.src import config as config_lib
from common import cli, errors
from common.readers import text as text_lib
from common.training import workers

OUTPUT_PATH = os.path.join(config_lib.MODEL_DIR, 'output')
PRETRAINED = os.path.join(config_lib.MODEL_DIR, 'pretrained')    # weights that ship
GENERATED = 'generated'     # folder of the quick start's set below the output folder
OTHER_NAMES = 'names of the original and of the MindSpore port'
NETWORK = {'num_channels': 256, 'num_layers': 5, 'img_res': 224, 'resnet_width': 64,
           'regressor_width': 1024}
_RECORDED = dict(NETWORK, nearest_rotation=False, body='', mesh_levels='', stretch=True)
_SMALLEST = 32          # pixels a side
# The quick start's options, set and length, where no --data_path is given.
QUICK = {'resnet_width': 16, 'num_channels': 64, 'num_layers': 2, 'img_res': 64,
         'learning_rate': 7e-4, 'augmentation': False}
QUICK_STEPS = 900
# The quick start from the weights that ship: a short training of a low rate.
_FROM_SHIPPED_STEPS, _FROM_SHIPPED_RATE = 200, 1e-4
_TRAINING = {'learning_rate': 3e-4, 'augmentation': True}
EPOCHS, _BATCH = 50, 16
# What a config.json holds that is no option, and what the original calls otherwise.
_NO_OPTIONS = ('from_json', 'checkpoint_dir', 'summary_dir', 'first_weights')
_ORIGINAL_NAMES = {'use_augmentation': 'augmentation', 'use_augmentation_rgb': 'augmentation_rgb'}
_UNSET = (None, '', float('inf'))
_TARGETS = {'GPU': 'gpu', 'Ascend': 'npu', 'CPU': 'cpu'}


def parse_args(argv=None, doc='Trains CMR.'):
    """Reads the command line of a training; what it leaves out may come from --from_json.

    Args:
      argv: list of str, or None for the process's own; doc: str, docstring of the script.
    Returns:
      argparse.Namespace.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _training_parser(doc)
    parsed = parser.parse_args(argv)
    if not parsed.from_json:
        return parsed
    try:
        arguments = _read_json(parsed.from_json, parser)
    except errors.InputError as error:
        parser.exit(error.exit_code, 'error: {}\n'.format(error))
    return parser.parse_args(arguments + argv)


def _training_parser(doc):
    parser = cli.make_parser(doc)
    parser.add_argument('--data_path', default='', help='folder of the sets and of extras/')
    parser.add_argument('--dataset', default=None,
                        choices=sorted(config_lib.MIXTURES) + sorted(config_lib.TRAIN_FILES),
                        help='mixture or set (itw; up-3d without --data_path)')
    cli.add_run_options(parser, OUTPUT_PATH)
    parser.add_argument('--num_epochs', '--train_epochs', '--total_epoch', '--epoch',
                        type=cli.positive_int, default=None,
                        help='rounds over the longest set (default: {})'.format(EPOCHS))
    cli.add_training_steps(parser, help='optimizer steps in all, instead of --num_epochs')
    parser.add_argument('--batch_size', type=cli.positive_int, default=_BATCH,
                        help='pictures in a step, of all processes together')
    parser.add_argument('--learning_rate', '--lr', type=cli.positive_float, default=None,
                        help='of Adam (default: {learning_rate:g}; {:g} without --data_path)'
                        .format(QUICK['learning_rate'], **_TRAINING))
    parser.add_argument('--checkpoint', '--pretrained_checkpoint', '--ckpt_path', default='',
                        help='weights to start from: a checkpoint, its folder, a checkpoint of '
                             'GraphCMR (.pt), or an ImageNet ResNet-50 (.pth, or converted) for '
                             'the encoder')
    cli.add_pretrained(parser)
    cli.add_flag(parser, '--evaluate', help='measure on the test set of UP-3D before and after')
    cli.add_flag(parser, '--freeze', help='write a .pb at the end')
    _add_training_options(parser.add_argument_group('training'))
    add_network_options(parser)
    _add_other_names(cli.add_expert_group(parser, OTHER_NAMES))
    return parser


def _add_training_options(group):
    group.add_argument('--adam_beta1', type=cli.fraction_below_one, default=0.9,
                       help='decay of the mean gradient in Adam')
    group.add_argument('--schedule', choices=('constant', 'cosine'), default='constant',
                       help='of the learning rate: half a cosine, 0 behind the last step (another '
                       '--training_steps, another curve)')
    group.add_argument('--wd', type=cli.non_negative_float, default=0., help='weight decay')
    for name, value, text in (('rot_factor', 30., 'standard deviation of rotations, degrees'),
                              ('noise_factor', 0.4, 'largest noise of a channel'),
                              ('scale_factor', 0.25, 'standard deviation of scales')):
        group.add_argument('--' + name, type=cli.non_negative_float, default=value, help=text)
    cli.add_flag(group, '--augmentation', default=None,
                 help='augment at all (default: with --data_path)')
    cli.add_flag(group, '--augmentation_rgb', default=True, help='noise of the channels')
    cli.add_flag(group, '--shuffle', '--do_shuffle', '--shuffle_train', default=True,
                 help="another order in each epoch; --noshuffle is the original's default")
    group.add_argument('--num_workers', type=cli.non_negative_int, default=2,
                       help='processes that make batches')
    cli.add_flag(group, '--sync_batch_norm', help='statistics of all processes together; the '
                 'original takes those of each')
    cli.add_flag(group, '--drop_noise', help='leave out of training what only rounding noise '
                 'moves: biases before a normalisation, the template\'s share of the regressor')
    group.add_argument('--eval_every', type=cli.non_negative_int, default=0,
                       help='steps between measurements on the test set, with --evaluate; 0: '
                            'before and after')
    group.add_argument('--time_to_run', type=cli.positive_float, default=None,
                       help='seconds after which to save and stop; the same command goes on')


def _add_other_names(group):
    add_device_target(group)
    group.add_argument('--save_checkpoint_dir', '--log_dir', dest='output_path',
                       default=argparse.SUPPRESS, help='the same as --output_path')
    cli.add_flag(group, '--distribute', help='several processes, as --distribution=auto finds them '
                 'anyway')
    group.add_argument('--name', default=None, help='folder below --output_path')
    group.add_argument('--keep_checkpoint_max', type=cli.positive_int, dest='keep_checkpoints',
                       default=argparse.SUPPRESS, help='the same as --keep_checkpoints')
    group.add_argument('--checkpoint_steps', type=cli.positive_int, dest='save_every',
                       default=argparse.SUPPRESS, help='the same as --save_every')
    group.add_argument('--summary_steps', type=cli.positive_int, dest='report_every',
                       default=argparse.SUPPRESS, help='the same as --report_every')
    for name in ('augmentation', 'augmentation_rgb', 'shuffle_train'):
        dest = 'shuffle' if name == 'shuffle_train' else name
        group.add_argument('--no_' + name, dest=dest, action='store_const', const=False,
                           default=argparse.SUPPRESS, help='the same as --no' + dest)
    group.add_argument('--from_json', '--config', type=cli.path, default='', metavar='FILE',
                       help='JSON of options; those of the command line are not replaced')
    for name, choices in (('model', ('graphcnn', 'baseline')), ('test_steps', None)):
        group.add_argument('--' + name, choices=choices, default=None,
                           help='without effect, as in the original')
    for name in ('pin_memory', 'no_pin_memory'):
        group.add_argument('--' + name, action='store_true', help='without effect here')


class _Target(argparse.Action):
    """--device_target counts where --device was not given."""

    def __call__(self, parser, namespace, values, option_string=None):
        if namespace.device == 'auto':
            namespace.device = _TARGETS[values]


def add_device_target(group):
    """Adds the MindSpore port's name of --device."""
    group.add_argument('--device_target', action=_Target, dest='device', choices=sorted(_TARGETS),
                       default=argparse.SUPPRESS,
                       help='the same as --device, in the MindSpore port\'s words')


def _read_json(path, parser):
    """Arguments that a JSON of options stands for, under any names of the options.

    The file may be a config.json of a run, ours or the original's.

    Raises:
      errors.UsageError: there is no such option.
      errors.InputError: the file cannot be read or holds no options.
    """
    values = text_lib.read_json(path, 'JSON of options')
    if not isinstance(values, dict):
        raise errors.InputError('{} holds no options.'.format(path))
    if isinstance(values.get('options'), dict):
        values = values['options']
    arguments = []
    for name, value in values.items():
        name = _ORIGINAL_NAMES.get(name, name)
        action = parser._option_string_actions.get('--' + name)
        if name in _NO_OPTIONS:
            continue
        if action is None:
            raise errors.UsageError('{}: there is no option {}.'.format(path, name))
        if value in _UNSET or action.nargs == 0 and not value:
            continue
        arguments.append('--' + name if action.nargs == 0 else '--{}={}'.format(name, value))
    return arguments


def complete(parsed, device):
    """Settles the options of a training.

    Args:
      parsed: argparse.Namespace of `parse_args`; device: str, the same network on all.
    Returns:
      cli.Options.
    Raises:
      errors.UsageError: sizes that make no network.
    """
    del device
    preset = _TRAINING if parsed.data_path else QUICK
    changes = {name: value for name, value in preset.items() if vars(parsed)[name] is None
               and not (parsed.pretrained and name in NETWORK)}
    if parsed.checkpoint in ('None', 'none'):       # as the MindSpore port's scripts write it
        changes['checkpoint'] = ''
    if parsed.name:
        changes.update(output_path=os.path.join(parsed.output_path, parsed.name), name=None)
    if parsed.dataset is None:
        changes['dataset'] = 'itw' if parsed.data_path else 'up-3d'
    if not parsed.data_path and parsed.training_steps is None and parsed.num_epochs is None:
        changes['training_steps'] = _FROM_SHIPPED_STEPS if parsed.pretrained else QUICK_STEPS
    if not parsed.data_path and parsed.pretrained and parsed.learning_rate is None:
        changes['learning_rate'] = _FROM_SHIPPED_RATE
    options, recorded = cli.settled(parsed, **changes), None
    if parsed.pretrained:
        from common.training import pretrained  # here, since --help needs no TensorFlow
        options = pretrained.asked_for(options, PRETRAINED)
        recorded = pretrained.sizes(PRETRAINED, [*NETWORK, 'nearest_rotation', 'stretch'])
    options = complete_network(options, recorded)
    # Recorded for scripts that start elsewhere.
    return options.replace(**{name: os.path.abspath(value) for name, value in
                              (('body', options.body), ('mesh_levels', options.mesh_levels))
                              if value})


def add_network_options(parser):
    """Adds sizes of the network and the body's files."""
    group = parser.add_argument_group('network')
    group.add_argument('--body', type=cli.path, default=None,
                       help='body model (.npz, or SMPL\'s .pkl) or its folder; unset: the free '
                            'body that ships')
    group.add_argument('--mesh_levels', type=cli.path, default=None,
                       help='mesh_downsampling.npz; unset: beside the body')
    for name, text in (('num_channels', 'width of the graph network'),
                       ('num_layers', 'residual layers of the graph network'),
                       ('img_res', 'pixels a side'),
                       ('resnet_width', 'channels of the encoder\'s first stage; 64 is ResNet-50'),
                       ('regressor_width', 'width of the regressor of SMPL\'s parameters')):
        group.add_argument('--' + name, type=cli.positive_int, default=None, help=(
            '{} (of the run or checkpoint, else {})'.format(text, NETWORK[name])))
    cli.add_flag(group, '--nearest_rotation', default=None,
                 help='map matrices of negative determinant to the nearest rotation; the '
                      "original, and its weights, take minus the polar factor")
    cli.add_flag(group, '--stretch', default=None,
                 help='stretch the contrast of crops as the original (scipy) did; --nostretch as '
                      'the MindSpore port, and nothing is cut to bytes or whole pixels behind it')
    cli.add_flag(group, '--plain', help='compute as the original does, nothing shared; slower')


def add_trained_options(parser):
    """Adds the options of scripts that use a trained network."""
    cli.add_trained_options(parser, OUTPUT_PATH,
                            checkpoint='checkpoint, its folder, or a file of PyTorch')
    add_network_options(parser)


def add_freeze_options(parser):
    """Adds the options of freezing that are CMR's own."""
    add_trained_options(parser)
    cli.add_device_options(parser, 'cpu', 'where the check runs')


def complete_network(parsed, recorded=None):
    """Settles the options of a network: those not given are a run's, or the defaults.

    Args:
      parsed: argparse.Namespace with those of `add_network_options`.
      recorded: dict of a run's options, or None.
    Returns:
      cli.Options.
    Raises:
      errors.UsageError: sizes that make no network.
    """
    recorded = {name: value for name, value in (recorded or {}).items() if value is not None}
    options = cli.settled(parsed, **{
        name: recorded.get(name, value) for name, value in _RECORDED.items()
        if vars(parsed)[name] is None})
    if options.img_res < _SMALLEST:
        raise errors.UsageError('--img_res must be {} at least.'.format(_SMALLEST))
    if not all(config_lib.can_group(options.num_channels * factor) for factor in (0.5, 1, 2)):
        raise errors.UsageError('--num_channels {}: groups of 8 channels are normalised together; '
                                'give a multiple of 16.'.format(options.num_channels))
    return options


def network_options(*arguments):
    """Returns the options of the paper's network, or of one that differs from it.

    Args:
      *arguments: str, such as '--num_layers=2'.
    Returns:
      cli.Options of `add_network_options`.
    """
    parser = cli.make_parser(network_options.__doc__)
    add_network_options(parser)
    return complete_network(parser.parse_args(arguments))


def complete_evaluation(parsed, device):
    """Takes the network's sizes from the JSON file --config, as data/config.json of the original.

    Options of the command line come before it; what it holds besides sizes is of no meaning here.
    `networks.trained` settles what is still open.

    Args:
      parsed: argparse.Namespace; device: str, the same network on all.
    Returns:
      cli.Options.
    Raises:
      errors.InputError: the file cannot be read, or a size is none.
    """
    del device
    sizes = text_lib.read_json(parsed.config, 'JSON of sizes') if parsed.config else {}
    if not isinstance(sizes, dict):
        raise errors.InputError('{} holds no options.'.format(parsed.config))
    sizes = {name: sizes[name] for name in NETWORK if sizes.get(name) is not None}
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise errors.InputError('{}: {} is {!r}, expected a whole number of at least 1.'.format(
                parsed.config, name, value))
    return cli.settled(parsed, **{name: value for name, value in sizes.items()
                                  if vars(parsed)[name] is None})


def parse_dataset_args(argv=None, doc='Draws pictures of posed bodies.'):
    """Reads the command line of make_dataset.py; see `parse_args`."""
    parser = cli.make_parser(doc)
    parser.add_argument('--output', required=True, help='folder for the set')
    parser.add_argument('--num_train', type=cli.positive_int, default=2000, help='pictures')
    parser.add_argument('--num_test', type=cli.positive_int, default=200, help='pictures')
    parser.add_argument('--size', type=cli.positive_int, default=160, help='pixels a side')
    parser.add_argument('--body', default='', help='body model; unset: the one that ships')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of every random draw')
    parser.add_argument('--processes', type=cli.positive_int,
                        default=workers.num_cpus(), help='that draw')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)

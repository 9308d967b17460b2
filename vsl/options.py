"""VSL's options: presets by data set, the parsers of its scripts, and how options are settled."""
import argparse
import functools
import os
from typing import Any, Dict, List, Optional, Sequence

from common import cli, errors

_FOLDER = os.path.dirname(os.path.abspath(__file__))
OUTPUT_PATH = os.path.join(_FOLDER, 'output')
PRETRAINED = os.path.join(_FOLDER, 'pretrained')    # weights that ship
SHAPE_STAGES = ('train', 'classify', 'reconstruct', 'generate', 'interpolate', 'tsne', 'metrics',
                'encode', 'freeze')
IMAGE_STAGES = ('train', 'iou', 'retrieve', 'pictures', 'freeze')
PARTS = ('encoder', 'decoder', 'image')     # graphs that can be frozen

SIZES = ('global_latent_dim', 'local_latent_dim', 'local_latent_num')
_COLUMNS = SIZES + ('batch_size', 'total_epoch', 'learning_rate')
# The two sources disagree on ModelNet40: the Ascend port's numbers are modelnet40, those of the
# original, which its published parameters need, modelnet40-paper.
PRESETS = {name: dict(zip(_COLUMNS, row)) for name, row in {
    'furniture': (10, 5, 5, 10, 20, 1e-3),
    'modelnet10': (10, 5, 5, 100, 500, 5e-5),
    'modelnet40': (10, 5, 5, 100, 500, 5e-5),
    'modelnet40-paper': (20, 10, 5, 200, 2620, 5e-5)}.items()}
IMAGE_PRESETS = {name: dict(zip(_COLUMNS, row)) for name, row in {
    'separately': (5, 2, 3, 5, 10, 5e-5),
    'jointly': (10, 5, 5, 40, 10, 5e-5)}.items()}
ALL_PRESETS = {**PRESETS, **IMAGE_PRESETS}
FILES = {'modelnet10': 'ModelNet10_res30_raw.mat', 'modelnet40': 'ModelNet40_res30_raw.mat',
         'modelnet40-paper': 'ModelNet40_res30_raw.mat'}
_REPAIRS = ('merge_first_code', 'decode_samples', 'bias_after_product')
_FITTED = ('batch_size', 'total_epoch', 'learning_rate', 'warmup_steps')
# The quick start from the weights that ship: a short training of a low rate.
_QUICK_FROM_SHIPPED = {'total_epoch': 6, 'learning_rate': 2e-4}
# Shapes up to which a set is small; steps, learning rate and steps of its warm-up for one. Without
# the warm-up Adam's first steps all point to larger codes: see docs/vsl/results.md, "Small sets".
_FEW, _OWN_STEPS, _OWN_RATE, _OWN_WARMUP = 1000, 800, 5e-4, 100
_PRESET = ' (of the preset unless given)'


def parse_args(argv: Optional[Sequence[str]] = None, doc: str = __doc__) -> argparse.Namespace:
    """Reads the command line of vsl_main.py, which is described by `doc`."""
    parser = cli.make_parser(doc)
    parser.add_argument('--data_path', '--data_dir', default='',
                        help='.mat file, its folder, or the parent of its folder dataset')
    cli.add_run_options(parser, OUTPUT_PATH)
    _add_training_options(parser, PRESETS, SHAPE_STAGES, SHAPE_STAGES[:6],
                          'weights to start from, or to use where train is no stage')
    group = parser.add_argument_group('stages')
    group.add_argument('--print_step', type=cli.non_negative_int, default=10,
                       help='epochs between pictures of reconstructions; 0: none')
    group.add_argument('--eval_every', type=cli.non_negative_int, default=0,
                       help='epochs between measurements of accuracy and IoU; 0: at the end only')
    cli.add_flag(group, '--search_svm', help='also C and gamma by cross-validation on the training '
                 'split')
    cli.add_flag(group, '--search_mirrored', help='the same once more, with the training shapes '
                 'mirrored along x and along y as further examples (minutes with --baselines)')
    cli.add_flag(group, '--baselines', help='also simple classifiers, and the IoU of a PCA')
    group.add_argument('--class', dest='class_name', default='1',
                       help='name or id of the class to generate and interpolate')
    group.add_argument('--id1', type=cli.non_negative_int, default=None,
                       help='test shape of that class, from 0, where the interpolation ends; '
                       'unset: 8, or the last one')
    group.add_argument('--id2', type=cli.non_negative_int, default=0, help='where it starts')
    group.add_argument('--num_samples', type=cli.positive_int, default=20,
                       help='shapes to generate')
    group.add_argument('--shape', type=cli.path, default='', metavar='FILE',
                       help='mesh, .binvox or occupancies (.npy [30, 30, 30]) of your own: its '
                       'code, class and reconstruction (stage encode)')
    group.add_argument('--shape_up', choices=('y', 'z'), default='z',
                       help='vertical axis of that file')
    return parser.parse_args(argv)


def parse_image_args(argv: Optional[Sequence[str]] = None, doc: str = __doc__
                     ) -> argparse.Namespace:
    """Reads the command line of vsl_imrec.py, which is described by `doc`."""
    parser = cli.make_parser(doc)
    parser.add_argument('--data_path', '--data_dir', required=True,
                        help='.mat file with images, its folder, or the parent of its folder '
                        'dataset')
    parser.add_argument('--class', dest='class_name', default=None,
                        help='name or id of the class, or all; unset: all with --preset=jointly, '
                        'else the first')
    cli.add_run_options(parser, OUTPUT_PATH + '_imrec')
    _add_training_options(parser, IMAGE_PRESETS, IMAGE_STAGES, IMAGE_STAGES[:4],
                          'weights to start from (of vsl_main.py: the shape part), or to use '
                          'where train is no stage')
    group = parser.add_argument_group('images')
    group.add_argument('--image_scale', type=cli.positive_float, default=None,
                       help='factor on the values of the images, such as 0.00392157 for 1/255; '
                       'unset: as trained, else 1, which is what the original does')
    group.add_argument('--gamma', type=cli.non_negative_float, default=None,
                       help='weight of the latent loss; unset: by the original\'s schedule over '
                       'epochs, which is 1e-8 for the first ten')
    _add_repair(group, '--bias_after_product', 'add the last bias of the image branch where it '
                'belongs, which the original does not do')
    cli.add_flag(group, '--detach_codes', help='let the latent loss train the image branch only, '
                 'so that a large --gamma cannot shrink the codes of the shapes')
    group.add_argument('--print_step', type=cli.positive_int, default=2,
                       help='epochs between pictures')
    return parser.parse_args(argv)


def _add_training_options(parser, presets, stages, default_stages, checkpoint_help):
    """Adds the options that the two training scripts share."""
    parser.add_argument('--total_epoch', '--train_epochs', '--epoch', type=cli.positive_int,
                        default=None, help='rounds over the training split' + _PRESET)
    cli.add_training_steps(parser, help='optimizer steps in all, instead of --total_epoch')
    parser.add_argument('--preset', choices=sorted(presets), default=None,
                        help='sizes by data set; unset: by the name of the data')
    parser.add_argument('--stages', type=functools.partial(stages_of, known=stages),
                        default=list(default_stages), help='out of {}'.format(','.join(stages)))
    parser.add_argument('--checkpoint', '--ckpt_path', default='', help=checkpoint_help)
    cli.add_pretrained(parser)
    parser.add_argument('--class_names', type=cli.path, default='', metavar='FILE',
                        help='names of the classes, a line each, or .json; unset: those that the '
                             'data bring, else classes.txt beside them')
    parser.add_argument('--up', choices=('y', 'z'), default='z',
                        help='vertical axis of the grids in pictures')
    parser.add_argument('--renderer', choices=('surface', 'mayavi'), default='surface',
                        help='mayavi adds the original\'s pictures of cubes')
    group = parser.add_argument_group('network and training')
    for name, text in (('batch_size', 'shapes in a step'),
                       ('global_latent_dim', 'dimension of the global latent code'),
                       ('local_latent_dim', 'dimension of a local latent code'),
                       ('local_latent_num', 'local latent codes')):
        group.add_argument('--' + name, type=cli.positive_int, default=None, help=text + _PRESET)
    group.add_argument('--learning_rate', type=cli.positive_float, default=None,
                       help='of Adam' + _PRESET)
    group.add_argument('--schedule', choices=('constant', 'cosine'), default='constant',
                       help='of the learning rate: half a cosine falls to 0 at the last step')
    group.add_argument('--warmup_steps', type=cli.non_negative_int, default=None,
                       help='in which the learning rate rises from 0; unset: 0, or {} for a small '
                       'set of your own'.format(_OWN_WARMUP))
    group.add_argument('--kl_weight', type=cli.non_negative_float, default=0.001,
                       help='of the KL divergence beside the reconstruction')
    group.add_argument('--kl_warmup_steps', type=cli.non_negative_int, default=0,
                       help='in which that weight rises from 0')
    group.add_argument('--free_nats', type=cli.non_negative_float, default=0.,
                       help='KL divergence of each code that costs nothing')
    group.add_argument('--augment_shift', type=cli.non_negative_int, default=0,
                       help='cells by which shapes are moved at random in training, at most')
    group.add_argument('--augment_mirror', choices=('none', 'x', 'y', 'xy'), default='none',
                       help='axes along each of which every second shape is mirrored in training')
    _add_repair(group, '--merge_first_code', 'let the first local code see the shape, which the '
                'original meant but does not do')
    _add_repair(group, '--decode_samples', 'train the decoder on sampled codes, not on means')
    cli.add_flag(group, '--plain', default=None, help='strided convolutions as single operations; '
                 'unset: on GPU and NPU (on a CPU they take minutes a step)')


def _add_repair(parser, name, text):
    """Adds a flag that, where it is unset, is taken from the record of a trained network."""
    cli.add_flag(parser, name, default=None, help=text + '; unset: as trained, else not')


def add_freeze_options(parser: Any) -> None:
    """Adds VSL's own options of freeze_graph.py."""
    cli.add_trained_options(parser, OUTPUT_PATH)
    parser.add_argument('--preset', choices=sorted(ALL_PRESETS), default=None,
                        help='sizes of a checkpoint without a config.json')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=None,
                        help='graphs to write; unset: all that the checkpoint has')
    for name in ('merge_first_code', 'bias_after_product'):
        cli.add_flag(parser, '--' + name, default=None,
                     help='of a checkpoint without a config.json that was trained so')
    cli.add_flag(parser, '--plain', help='strided convolutions as single operations, for ATC; '
                 'unset: a form that is fast on a CPU')
    cli.add_device_options(parser, 'cpu', 'where the check runs')


def stages_of(text: str, known: Sequence[str]) -> List[str]:
    """Argparse type: names out of a list, divided by commas, in the list's order."""
    names = text.split(',')
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError('must be out of {}, not "{}"'.format(
            ','.join(known), ','.join(unknown)))
    return [name for name in known if name in names]


def complete(parsed: argparse.Namespace, device: str) -> cli.Options:
    """Settles the options of vsl_main.py: as given, as trained, or as the preset has them.

    With --preset the sizes are the preset's, so that a checkpoint which does not fit is refused.

    Args:
      parsed: options of `parse_args`; device: 'cpu', 'gpu' or 'npu'.
    Returns:
      Options.
    """
    by_file = {FILES[name]: name for name in ('modelnet10', 'modelnet40')}
    default = by_file.get(os.path.basename(parsed.data_path),
                          'modelnet10' if parsed.data_path else 'furniture')
    if parsed.shape and 'encode' not in parsed.stages:
        parsed = cli.settled(parsed, stages=stages_of(
            ','.join(parsed.stages + ['encode']), SHAPE_STAGES))
    if 'encode' in parsed.stages and not parsed.shape:
        raise errors.UsageError('the stage encode needs --shape=FILE.')
    own = (parsed.data_path and parsed.preset is None and not parsed.pretrained
           and os.path.basename(parsed.data_path) not in by_file)
    return _complete(parsed, device, PRESETS, default).replace(
        own={name for name in _FITTED if own and vars(parsed)[name] is None})


def fitted(options: cli.Options, count: int) -> cli.Options:
    """Fits batch, length and learning rate to a small set of one's own, where nothing sets them.

    Args:
      options: of `complete`, whose `own` names what neither the command line nor a preset for the
        data says; count: int, shapes for training.
    Returns:
      Options without `own`; what was chosen is printed.
    """
    own = vars(options).get('own', ()) if count < _FEW and 'train' in options.stages else ()
    values = {name: value for name, value in vars(options).items() if name != 'own'}
    if own:
        batch = min(PRESETS['furniture']['batch_size'], max(1, count // 2))
        batch = batch if 'batch_size' in own else options.batch_size
        chosen = {'batch_size': batch, 'learning_rate': _OWN_RATE, 'warmup_steps': _OWN_WARMUP,
                  'total_epoch': -(-_OWN_STEPS // max(1, count // batch))}
        chosen = {name: chosen[name] for name in _FITTED if name in own
                  and not (name == 'total_epoch' and options.training_steps)}
        values.update(chosen)
        cli.say('note: {} shapes for training and no --preset: {}'.format(count, ' '.join(
            '--{}={:g}'.format(name, value) for name, value in chosen.items())))
    return cli.Options(**values)


def complete_images(parsed: argparse.Namespace, device: str) -> cli.Options:
    """Settles the options of vsl_imrec.py; see `complete`."""
    if parsed.pretrained and 'train' not in parsed.stages:
        raise errors.UsageError('--pretrained: the weights that ship have no image branch; train '
                                'it first (--stages=train).')
    return _complete(parsed, device, IMAGE_PRESETS, 'separately')


def _complete(parsed, device, presets, default):
    parsed, recorded = _weights(parsed, presets is PRESETS)
    names = [*_REPAIRS, 'class_name', 'image_scale']
    if parsed.preset is None:
        names += [*SIZES, 'batch_size', 'preset']
    as_trained = {name: recorded[name] for name in names if recorded.get(name) is not None}
    if as_trained.get('preset') not in presets:     # of the other script
        as_trained.pop('preset', None)
    preset = parsed.preset or as_trained.get('preset', default)
    values = {'preset': preset, 'plain': device != 'cpu', 'image_scale': 1., 'warmup_steps': 0,
              **dict.fromkeys(_REPAIRS, False), **presets[preset], **as_trained}
    if parsed.pretrained and not parsed.data_path:
        values.update(_QUICK_FROM_SHIPPED)
    return cli.settled(parsed, **{name: values[name] for name, value in vars(parsed).items()
                                  if value is None and name in values})


def _weights(parsed, of_shapes):
    """Settles which weights to start from or to use; gives what their run recorded too.

    Those that ship are of shapes alone: stages of pictures cannot fall back on them.
    """
    if 'train' in parsed.stages and not parsed.pretrained:
        return parsed, {}
    from common.training import pretrained  # here, since --help needs no TensorFlow
    if 'train' in parsed.stages:
        options = pretrained.asked_for(parsed, PRETRAINED)
    else:
        options = pretrained.chosen(cli.settled(parsed), PRETRAINED, not of_shapes
                                    or pretrained.has_checkpoint(parsed.output_path))
    return options, recorded_options(options.checkpoint, options.output_path)


def recorded_options(checkpoint: str, output_path: str) -> Dict[str, Any]:
    """Returns the options that the run of a checkpoint recorded.

    Args:
      checkpoint: str, prefix or folder; '': the newest of the run in `output_path`.
      output_path: str, output folder of a run.
    Returns:
      dict {option: value}; empty where there is no config.json of VSL.
    """
    if checkpoint:
        from common.training import checkpoints  # here, since --help needs no TensorFlow
        output_path = os.path.dirname(os.path.dirname(os.path.abspath(
            checkpoints.latest(checkpoint))))
    if not os.path.exists(os.path.join(output_path, 'config.json')):
        return {}
    from common.training import runs  # likewise
    recorded = runs.read_options(output_path)
    return recorded if 'global_latent_dim' in recorded else {}

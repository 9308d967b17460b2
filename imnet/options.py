"""Options of IM-NET's programs: parsers, presets, and what an unset option stands for.

`complete*` settle what a parser gives; sizes that only a checkpoint or a set knows stay None until
`checkpoint_names.fitted` or the training reads them. Imports no TensorFlow, SciPy or h5py.
"""
import argparse
import os
import sys
from typing import Any, List, Optional, Sequence

from common import cli, errors

OUTPUT_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'output')
PRETRAINED = os.path.join(os.path.dirname(OUTPUT_PATH), 'pretrained')    # weights that ship
DATASET = 'all_vox256_img'              # the author's stem of the data files
RESOLUTIONS = (64, 128, 256, 512)       # of extraction
POINTS = {16: 4096, 32: 4096, 64: 16384}    # points of a shape in each set
POINTS_PER_CALL = 65536     # of the original's extraction; 64^3 centres are four calls
FROZEN_POINTS = 8192        # of a frozen decoder on a CPU, which computes all of them in each call
FURNITURE = ('bathtub', 'bed', 'dresser', 'sofa')    # classes of the procedural set
PARTS = ('encoder', 'decoder', 'image', 'generator')    # graphs to freeze
STAGES = ('ae16', 'ae32', 'ae64', 'codes', 'gan', 'svr', 'meshes', 'freeze', 'evaluate')
# Epochs are those of the end of each stage, as the original counts them.
PRESETS = {
    'original': {'epochs': [100, 200, 400], 'gan_epochs': 10000, 'svr_epochs': 2000, 'z_dim': 256,
                 'ef_dim': 32, 'svr_ef_dim': 64, 'gf_dim': 128, 'gan_dim': 2048,
                 'learning_rate': 5e-5, 'svr_learning_rate': 5e-5, 'svr_batch_size': 64,
                 'checkpoint_every': None, 'extraction': 'exact', 'resolution': 256,
                 'he_init': False, 'leaky_clip': False},
    'quick': {'epochs': [140, 180, 186], 'gan_epochs': 300, 'svr_epochs': 150, 'z_dim': 32,
              'ef_dim': 8, 'svr_ef_dim': 8, 'gf_dim': 64, 'gan_dim': 128,
              'learning_rate': 5e-4, 'svr_learning_rate': 1e-3, 'svr_batch_size': 8,
              'checkpoint_every': 25, 'extraction': 'octree', 'resolution': 128,
              'he_init': True, 'leaky_clip': True}}
# The quick start from the weights that ship: a short training of a low rate.
_QUICK_FROM_SHIPPED = {'epochs': [10, 20, 26], 'svr_epochs': 40, 'learning_rate': 1e-4,
                       'svr_learning_rate': 2e-4}
# For a set of one's own; own_set.py fits the epochs to the number of its shapes.
PRESETS['own'] = dict(PRESETS['quick'], epochs=None, svr_epochs=None)


def parse_args(argv: Optional[Sequence[str]] = None, doc: str = 'Runs all stages of IM-NET.'
               ) -> argparse.Namespace:
    """Reads the command line of train.py; `doc` is the script's docstring."""
    parser = cli.make_parser(doc)
    parser.add_argument('--data_path', '--data_dir', default='',
                        help='folder of <dataset>_train.hdf5 and <dataset>_test.hdf5')
    parser.add_argument('--dataset', default='', help='stem of the files; unset: the only one')
    cli.add_run_options(parser, OUTPUT_PATH)
    parser.add_argument('--preset', choices=sorted(PRESETS), default=None,
                        help='sizes and epochs; own: fitted to a small set of your own; unset: '
                             'original with --data_path, else quick')
    parser.add_argument('--train_epochs', '--epoch', '--total_epoch', type=cli.positive_int,
                        default=None, help='epochs of the autoencoder in all, instead of --epochs: '
                        'the stages get the preset\'s shares, each at least one if there are three')
    cli.add_training_steps(parser, help='steps of each stage of the autoencoder and of IM-SVR, '
                           'counted from the beginning, instead of epochs')
    parser.add_argument('--stages', nargs='+', choices=STAGES, default=list(STAGES),
                        help='what to do')
    _add_step_options(parser)
    parser.add_argument('--num_meshes', type=cli.positive_int, default=4,
                        help='shapes in each gallery')
    parser.add_argument('--checkpoint', '--ckpt_path', default='', help='weights to start from')
    cli.add_pretrained(parser)
    group = parser.add_argument_group('instead of the preset\'s')
    group.add_argument('--epochs', nargs=3, type=cli.positive_int, default=None,
                       metavar=('E16', 'E32', 'E64'), help='last epochs of the three stages')
    for name, kind, text in (
            ('gan_epochs', cli.positive_int, 'of the GAN'),
            ('svr_epochs', cli.positive_int, 'of IM-SVR'),
            ('z_dim', cli.positive_int, 'latent dimension'),
            ('ef_dim', cli.positive_int, 'width unit of the voxel encoder'),
            ('svr_ef_dim', cli.positive_int, 'width unit of the picture encoder'),
            ('gf_dim', cli.positive_int, 'width unit of the decoder'),
            ('gan_dim', cli.positive_int, 'width of the GAN'),
            ('learning_rate', cli.positive_float, 'of the autoencoder and the GAN'),
            ('svr_learning_rate', cli.positive_float, 'of IM-SVR'),
            ('svr_batch_size', cli.positive_int, 'shapes in a step of IM-SVR'),
            ('checkpoint_every', cli.positive_int, 'epochs between checkpoints')):
        group.add_argument('--' + name, type=kind, default=None, help=text)
    group.add_argument('--resolution', type=int, choices=RESOLUTIONS, default=None,
                       help='of the meshes')
    group.add_argument('--extraction', choices=('exact', 'octree'), default=None,
                       help='how surfaces are extracted')
    for name in ('he_init', 'leaky_clip'):
        cli.add_flag(group, '--' + name, default=None, help='see IMGAN/main.py')
    parser.set_defaults(save_every=None, keep_checkpoints=2)
    return parser.parse_args(argv)


def parse_imgan(argv: Optional[Sequence[str]] = None, doc: str = 'Autoencoder and GAN.'
                ) -> argparse.Namespace:
    """Reads the command line of IMGAN/main.py."""
    parser = cli.make_parser(doc)
    cli.add_flag(parser, '--ae', help='the autoencoder; else the GAN of its codes')
    _add_shared_options(parser, 32)
    parser.add_argument('--mode', choices=('codes', 'test', 'interp', 'mesh', 'samples'),
                        default=None,
                        help='without --train: codes of the shapes of a split; test: meshes of '
                             'shapes; interp: between two; mesh: of --mesh; samples: of the GAN. '
                             'Unset: codes with --ae, samples without')
    parser.add_argument('--mesh', default='', help='a closed mesh to encode and decode')
    add_solid_options(parser)
    parser.add_argument('--real_size', type=int, choices=sorted(POINTS), default=64,
                        help='which set of points')
    parser.add_argument('--batch_size_input', type=cli.positive_int, default=16384,
                        help='points of a shape in that set')
    _add_step_options(parser)
    group = parser.add_argument_group('GAN')
    group.add_argument('--z_path', default='',
                       help='file of codes; unset: <output_path>/<dataset>_z.hdf5')
    for name, value, text in (('noise_dim', 128, 'dimension of the noise'),
                              ('gan_dim', 2048, 'width of the layers')):
        group.add_argument('--' + name, type=cli.positive_int, default=None,
                           help='{} ({} unless a checkpoint says another)'.format(text, value))
    group.add_argument('--num_samples', type=cli.positive_int, default=16, help='shapes to sample')
    group.add_argument('--penalty_epsilon', type=cli.non_negative_float, default=0.,
                       help='under the root of the gradient\'s norm, such as 1e-12')
    cli.add_flag(group, '--epsilon_per_code', help='draw the penalty\'s interpolation weight for '
                 'each code, not once a batch')
    cli.add_flag(group, '--shuffle_codes', help='take the codes in a new order each epoch; the '
                 'original shuffles a list that it does not use')
    return parser.parse_args(argv)


def parse_imsvr(argv: Optional[Sequence[str]] = None, doc: str = 'Single-view reconstruction.'
                ) -> argparse.Namespace:
    """Reads the command line of IMSVR/main.py."""
    parser = cli.make_parser(doc)
    _add_shared_options(parser, 64)
    parser.add_argument('--mode', choices=('test', 'interp', 'all', 'image'), default=None,
                        help='without --train: test: meshes of shapes --start to --end; interp: '
                             'between two; all: every shape, view 23; image: of --image. Unset: '
                             'test')
    parser.add_argument('--image', nargs='+', default=[], help='pictures to make meshes of')
    cli.add_remove_background(parser)
    parser.add_argument('--background', choices=('auto', 'white', 'border'), default='auto',
                        help='of a picture without alpha: white, or what its border looks like; '
                             'auto finds out where the object is centred')
    parser.add_argument('--crop', choices=('auto', 'none', 'middle', 'object'), default='auto',
                        help='none: scale the whole picture, as the original; middle: cut the '
                             'centre as in training (views of 137 x 137); object: centre the '
                             'object; auto: none for such views, else object')
    cli.add_max_pixels(parser)
    parser.add_argument('--batch_size', type=cli.positive_int, default=64, help='shapes in a step')
    parser.add_argument('--pretrained_model_dir', default='',
                        help='folder of the autoencoder\'s checkpoints; unset: that below '
                             '--checkpoint_dir')
    parser.add_argument('--pretrained_z_dir', default='',
                        help='file of codes; unset: <output_path>/<dataset>_z.hdf5')
    parser.set_defaults(split='test')
    return parser.parse_args(argv)


def parse_evaluate(argv: Optional[Sequence[str]] = None, doc: str = 'Measures reconstructions.'
                   ) -> argparse.Namespace:
    """Reads the command line of evaluate.py."""
    parser = cli.make_parser(doc)
    _add_shared_options(parser, 32, cli.add_expert_group(parser, 'of training; no effect here'))
    parser.add_argument('--kind', choices=('ae', 'svr'), default='ae',
                        help='from voxels, or from pictures')
    parser.add_argument('--truth', default='',
                        help='folder of <category>/<shape>.ply (or .obj): true surfaces in '
                             '[-0.5, 0.5]^3')
    cli.add_flag(parser, '--baseline', default=True, help='the nearest training shape too')
    cli.add_flag(parser, '--lfd', help='Light Field Distance too (seconds a shape), against the '
                 'surface of the 64^3 voxels')
    parser.add_argument('--pictures', type=cli.non_negative_int, default=8,
                        help='shapes in the picture of truth and reconstruction')
    parser.set_defaults(split='test', view=None)
    return parser.parse_args(argv)


def _add_shared_options(parser: Any, ef_dim: int, training: Any = None) -> None:
    """Adds the options of IMGAN/main.py, IMSVR/main.py and evaluate.py.

    Args:
      parser: of `cli.make_parser`; ef_dim: default width of the encoder.
      training: group for the options of training, or None.
    """
    training = training or parser
    cli.add_flag(training, '--train', help='train; else use a trained network')
    parser.add_argument('--data_path', '--data_dir', dest='data_dir', default='./data',
                        help='folder of <dataset>_train.hdf5 and <dataset>_test.hdf5')
    parser.add_argument('--dataset', default='',
                        help='stem of the data files; unset: the only one in the folder, else '
                             + DATASET)
    cli.add_run_options(parser, OUTPUT_PATH)
    parser.set_defaults(save_every=None, keep_checkpoints=2)
    training.add_argument('--epoch', '--total_epoch', '--train_epochs', type=cli.positive_int,
                          default=10000, help='epochs in all, earlier runs included')
    cli.add_training_steps(training, help='optimizer steps in all, instead of --epoch')
    training.add_argument('--learning_rate', type=cli.positive_float, default=5e-5, help='of Adam')
    training.add_argument('--beta1', type=cli.fraction, default=0.5, help='of Adam')
    training.add_argument('--checkpoint_every', type=cli.positive_int, default=None,
                          help='epochs between checkpoints under the original\'s names')
    cli.add_flag(training, '--original_resume', help='go on with fresh moments of Adam, from the '
                 'checkpoint under the original\'s name')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='weights to start from, or to use without --train')
    cli.add_pretrained(parser)
    parser.add_argument('--checkpoint_dir', default='',
                        help='folder of the folders of checkpoints under the original\'s names; '
                             'unset: <output_path>/checkpoints')
    parser.add_argument('--sample_dir', default='',
                        help='folder for meshes and pictures; unset: <output_path>/samples')
    group = parser.add_argument_group('network (unset: from the checkpoint, else the default)')
    for name, default, text in (('z_dim', 256, 'latent dimension'),
                                ('ef_dim', ef_dim, 'width unit of the encoder'),
                                ('gf_dim', 128, 'width unit of the decoder')):
        group.add_argument('--' + name, type=cli.positive_int, default=None,
                           help='{} ({} unless a checkpoint says another)'.format(text, default))
    cli.add_flag(group, '--leaky_clip', default=None, help='let 0.01 of the decoder\'s value '
                 'through outside [0, 1], for runs that do not converge; unset: as the '
                 'autoencoder of this output folder was trained')
    cli.add_flag(group, '--he_init', help='initial values of the decoder with the standard '
                 'deviation sqrt(2 / inputs), not 0.02: narrow decoders and small sets leave the '
                 'plateau of the mean shape much sooner')
    cli.add_flag(group, '--plain', default=None, help='operations as the original has them; unset: '
                 'on GPU and NPU')
    _add_mesh_options(parser)


def _add_step_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a training step of the autoencoder."""
    parser.add_argument('--shapes_per_step', '--batch_size', type=cli.positive_int, default=1,
                        help='shapes in a step of the autoencoder; the original has 1')
    parser.add_argument('--points_per_step', type=cli.non_negative_int, default=0,
                        help='points of a shape in a step, drawn anew each time; 0: all, as in '
                             'the original')
    parser.add_argument('--schedule', choices=('constant', 'cosine'), default='constant',
                        help='of the autoencoder\'s learning rate: half a cosine falls to 0 at '
                             'the last step')
    parser.add_argument('--augment_mirror', choices=('none', 'x', 'y', 'z', 'xz', 'xyz'),
                        default='none', help='axes along each of which every second shape is '
                        'mirrored in the training of the autoencoder')
    parser.add_argument('--augment_scale', type=cli.non_negative_float, default=0.,
                        help='each axis of a shape longer by up to this share, or as much shorter, '
                             'in the training of the autoencoder, as far as the cube has room')
    parser.add_argument('--loss', choices=('squared', 'cross_entropy'), default=None,
                        help='of the autoencoder; squared: as in the paper; cross_entropy: of the '
                             'value before the clip, so that points far on the wrong side keep '
                             'their gradient; unset: that of the weights that ship with '
                             '--pretrained, else squared')


def _add_mesh_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of extraction, and which shapes are extracted."""
    group = parser.add_argument_group('meshes')
    group.add_argument('--resolution', type=int, choices=RESOLUTIONS, default=256,
                       help='cells of a side')
    group.add_argument('--extraction', choices=('exact', 'octree'), default='exact',
                       help='exact: the cells of the original; octree: only points beside the '
                            'surface, several times as fast')
    cli.add_flag(group, '--refine', help='move vertices to where the field is closer to 0.5 (the '
                 'original\'s optimize_mesh)')
    cli.add_flag(group, '--normals', help='write normals, from the gradient of the field')
    group.add_argument('--formats', nargs='+', choices=('ply', 'obj', 'glb', 'stl'),
                       default=['ply'], help='kinds of mesh files')
    group.add_argument('--split', choices=('train', 'test'), default='train',
                       help='which shapes')
    parser.set_defaults(in_turn=0)      # train.py's: so many shapes, one of each class in turn
    group.add_argument('--start', type=cli.non_negative_int, default=0, help='first shape')
    group.add_argument('--end', type=cli.positive_int, default=None,
                       help='shape after the last one; unset: 16, or all for codes')
    group.add_argument('--view', type=cli.non_negative_int, default=0,
                       help='which of a shape\'s views')
    group.add_argument('--steps', type=cli.positive_int, default=8,
                       help='shapes of an interpolation, both ends included')
    group.add_argument('--first', type=cli.non_negative_int, default=0,
                       help='shape where an interpolation starts')
    group.add_argument('--second', type=cli.non_negative_int, default=None,
                       help='shape where it ends; unset: 2, of pictures 1, or the last')


def add_solid_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of reading meshes and voxel grids."""
    parser.add_argument('--up', choices=('y', 'z'), default='y',
                        help='axis of meshes and .binvox grids that points upwards')
    cli.add_flag(parser, '--allow_open', help='take meshes that are not closed as shells')


def add_freeze_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of freezing that are IM-NET's own."""
    parser.add_argument('--checkpoint_dir', default='',
                        help='folder of the folders of checkpoints; unset: that of the '
                             'output folder')
    parser.add_argument('--dataset', default='', help='stem of the checkpoints\' folders')
    cli.add_trained_options(parser, OUTPUT_PATH, checkpoint='an IMAE, IMSVR or ZGAN checkpoint')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=None,
                        help='graphs to write; unset: all that the checkpoints have')
    parser.add_argument('--num_points', type=cli.positive_int, default=None,
                        help='points in a call of the decoder; fixed in the graph. Unset: {} with '
                             '--plain, as the original has them, else {}, since an octree asks for '
                             'few at once'.format(POINTS_PER_CALL, FROZEN_POINTS))
    cli.add_flag(parser, '--leaky_clip', default=None, help='as the network was trained; unset: '
                 'as the output folder says')
    cli.add_flag(parser, '--plain', help='operations as the original has them, for ATC; unset: '
                 'forms fast on a CPU')
    cli.add_device_options(parser, 'cpu', 'where the check runs')


def complete(parsed: argparse.Namespace, device: str) -> cli.Options:
    """Settles the options of train.py: the preset, and epochs of the three stages.

    Args:
      parsed: of `parse_args`; device: 'cpu', 'gpu' or 'npu'.
    Raises:
      errors.UsageError: a stage ends before the one that comes before it.
    """
    options = settled(parsed, device, checkpoint_dir='', sample_dir='', plain=None)
    if options.preset == 'own':
        options = _of_own_set(options)
    preset = options.preset or ('original' if options.data_path else 'quick')
    values = {name: value for name, value in PRESETS[preset].items()
              if vars(options)[name] is None}
    if options.train_epochs:
        shares = PRESETS[preset]['epochs'] or PRESETS['quick']['epochs']
        values['epochs'] = _shared(options.train_epochs, shares)
    if options.pretrained and not options.data_path:
        values.update((name, value) for name, value in _QUICK_FROM_SHIPPED.items()
                      if vars(options)[name] is None)
    if options.pretrained:
        values.update(_of_shipped(options))
    options = options.replace(preset=preset, **values)
    if options.epochs and sorted(options.epochs) != options.epochs:
        raise errors.UsageError('--epochs must not fall: {}.'.format(options.epochs))
    return options


def _of_own_set(options):
    """Options that start from the weights that ship, where nothing speaks against that."""
    if not options.data_path:
        raise errors.UsageError('--preset=own is for a set of your own: give --data_path=FOLDER.')
    from common.training import pretrained  # here, since --help needs no TensorFlow
    sized = [name for name in ('z_dim', 'ef_dim', 'gf_dim', 'svr_ef_dim')
             if vars(options)[name] is not None]
    starts = pretrained.available(PRETRAINED) and not options.checkpoint and not sized
    return options.replace(pretrained=options.pretrained or starts)


def _of_shipped(options):
    """Sizes of the networks that ship, for a training that starts from them."""
    from common.training import pretrained  # here, since --help needs no TensorFlow
    pretrained.asked_for(options, PRETRAINED)
    values = pretrained.sizes(PRETRAINED, ['z_dim', 'ef_dim', 'gf_dim', 'leaky_clip'], 'ae')
    if os.path.isdir(os.path.join(PRETRAINED, 'svr')):
        values['svr_ef_dim'] = pretrained.sizes(PRETRAINED, ['ef_dim'], 'svr')['ef_dim']
    return values


def _shared(epochs: int, preset: Any) -> List[int]:
    """Last epochs of the three stages: the preset's shares of so many, each at least one of three.

    Fewer than three are for the last stages, which meshes need most.
    """
    ends = [round(epochs * end / preset[-1]) for end in preset]
    for number in (0, 1):
        ends[number] = min(max(ends[number], number + 1), max(0, epochs - 2 + number))
    return ends[:2] + [epochs]


def complete_imgan(parsed: argparse.Namespace, device: str) -> cli.Options:
    """Settles the options of IMGAN/main.py; `mode` becomes what is done without --train."""
    if parsed.mode == 'mesh' and not parsed.mesh:
        raise errors.UsageError('--mode=mesh needs --mesh=FILE.')
    encodes = bool(parsed.mesh) and parsed.mode is None
    mode = 'mesh' if encodes else parsed.mode or ('codes' if parsed.ae else 'samples')
    return settled(parsed, device, ae=parsed.ae or encodes,
                    mode=parsed.mode if parsed.train else mode)


def complete_imsvr(parsed: argparse.Namespace, device: str) -> cli.Options:
    """Settles the options of IMSVR/main.py; `mode` becomes what is done without --train."""
    if parsed.mode == 'image' and not parsed.image:
        raise errors.UsageError('--mode=image needs --image FILE.')
    mode = 'image' if parsed.image else parsed.mode or 'test'
    every = {'start': 0, 'end': sys.maxsize, 'view': None} if mode == 'all' else {}
    return settled(parsed, device, mode=parsed.mode if parsed.train else mode, **every)


def settled(parsed: argparse.Namespace, device: str, **changes: Any) -> cli.Options:
    """Settles the options of any program: `changes`, folders, and `plain` by the device."""
    options = cli.settled(parsed, **changes)
    return options.replace(
        checkpoint_dir=options.checkpoint_dir or os.path.join(options.output_path, 'checkpoints'),
        sample_dir=options.sample_dir or os.path.join(options.output_path, 'samples'),
        plain=device != 'cpu' if options.plain is None else options.plain)

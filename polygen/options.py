"""Command lines of PolyGen's scripts, presets of the networks' sizes, and settling of options."""
import os

from common import cli, errors

_FOLDER = os.path.dirname(os.path.abspath(__file__))
SHIPPED_MESHES = os.path.join(_FOLDER, 'meshes')
OUTPUT_PATH = os.path.join(_FOLDER, 'output')
PRETRAINED = os.path.join(_FOLDER, 'pretrained')    # weights that ship
PRETRAINED_IMAGE = os.path.join(PRETRAINED, 'image')    # told a picture, without a face model
_FUSION_SWITCH = os.path.join(_FOLDER, 'fusion_switch.cfg')
PARTS = ('face', 'vertex')
CONDITIONS = ('none', 'class', 'image', 'voxels')
ANY = 'any'     # class of shapes of any class, see --class_dropout

# seed: the original's notebook and the seed document. small: sets of meshes of at most 200 vertices
# on a CPU. large: the defaults of the original's classes
# and the limits of the paper's data (800 vertices, 2800 face indices). published: the checkpoints
# that the authors released, trained on ShapeNet. own: a folder of one's own meshes, which limits,
# batch and length are fitted to (own_set.py).
PRESETS = {
    'seed': {
        'hidden_size': 128, 'fc_size': 512, 'num_heads': 4, 'vertex_layers': 3,
        'encoder_layers': 3, 'face_layers': 3, 'dropout_rate': 0., 'max_vertices': 250,
        'max_face_tokens': 500, 'sample_vertices': 200, 'sample_face_tokens': 500,
        'batch_size': 4, 'num_buckets': 1, 'shuffle': False, 'random_shift': False,
        'is_training': False, 'schedule': 'constant', 'warmup_steps': 0, 'gradient_clip': 0.,
        'memory_efficient': False, 'num_classes': 0},
    'small': {
        'hidden_size': 128, 'fc_size': 512, 'num_heads': 4, 'vertex_layers': 6,
        'encoder_layers': 3, 'face_layers': 4, 'dropout_rate': 0., 'max_vertices': 200,
        'max_face_tokens': 800, 'sample_vertices': 200, 'sample_face_tokens': 800,
        'batch_size': 8, 'num_buckets': 4, 'shuffle': True, 'random_shift': False,
        'is_training': True, 'schedule': 'cosine', 'warmup_steps': 200, 'gradient_clip': 1.,
        'memory_efficient': False, 'num_classes': 0},
    'large': {
        'hidden_size': 256, 'fc_size': 1024, 'num_heads': 4, 'vertex_layers': 8,
        'encoder_layers': 8, 'face_layers': 8, 'dropout_rate': 0.2, 'max_vertices': 800,
        'max_face_tokens': 2800, 'sample_vertices': 400, 'sample_face_tokens': 2000,
        'batch_size': 16, 'num_buckets': 4, 'shuffle': True, 'random_shift': True,
        'is_training': True, 'schedule': 'cosine', 'warmup_steps': 1000, 'gradient_clip': 1.,
        'memory_efficient': False, 'num_classes': 0},
    'published': {
        'hidden_size': 512, 'fc_size': 2048, 'num_heads': 8, 'vertex_layers': 24,
        'encoder_layers': 10, 'face_layers': 14, 'dropout_rate': 0.2, 'max_vertices': 5000,
        'max_face_tokens': 8000, 'sample_vertices': 400, 'sample_face_tokens': 2000,
        'batch_size': 16, 'num_buckets': 4, 'shuffle': True, 'random_shift': True,
        'vertex_dropout_rate': 0.4,
        'is_training': True, 'schedule': 'cosine', 'warmup_steps': 5000, 'gradient_clip': 1.,
        'memory_efficient': True, 'num_classes': 55}}
PRESETS['own'] = dict(PRESETS['small'], warmup_steps=100)
_OWN = ('max_vertices', 'max_face_tokens', 'sample_vertices', 'sample_face_tokens', 'batch_size',
        'training_steps')   # by the data there
_STEPS = 5000

# The encoder of pictures and voxels: channels of each resolution but the last, which has the
# decoder's width, and blocks of each. The default of the original's classes is (64, 256), (2, 2);
# the paper has pictures of 256 x 256 pixels and 28^3 voxels.
_CPU_ENCODER = {'image_size': 64, 'voxel_size': 28, 'encoder_channels': [32],
                'encoder_blocks': [2, 2], 'encoder_dropout_rate': 0.}
_PAPER_ENCODER = {'image_size': 256, 'voxel_size': 28, 'encoder_channels': [64],
                  'encoder_blocks': [2, 2], 'encoder_dropout_rate': 0.1}
ENCODERS = {'seed': _CPU_ENCODER, 'small': _CPU_ENCODER, 'own': _CPU_ENCODER,
            'large': _PAPER_ENCODER, 'published': _PAPER_ENCODER}

_PRESET = ' (of the preset unless given)'
_SIZES = [
    ('hidden_size', 'width of both models'), ('fc_size', 'width of the hidden layer of the MLPs'),
    ('num_heads', 'attention heads'), ('vertex_layers', 'layers of the vertex decoder'),
    ('encoder_layers', 'layers of the vertex encoder of the face model'),
    ('face_layers', 'layers of the face decoder'),
    ('max_vertices', 'rows of the table of vertex positions; meshes with more are left out'),
    ('max_face_tokens', 'rows of the table of face positions; meshes with more are left out'),
    ('sample_vertices', 'vertices of a sample at most'),
    ('sample_face_tokens', 'face tokens of a sample at most')]


# Sizes that another run's weights do not settle: their tables get more or fewer rows.
_LIMITS = ('max_vertices', 'max_face_tokens', 'sample_vertices', 'sample_face_tokens')

# What a trained network has been made with, so that a training starts from it.
_OF_NETWORKS = [name for name, _ in _SIZES] + [
    'quantization_bits', 'class_conditional', 'face_class_conditional',
    'memory_efficient', 'exact_quantization', 'class_dropout']


def parse_args(argv=None, doc=__doc__):
    """Reads the command line of train.py.

    Args:
      argv: list of str; None: those of the process.
      doc: str, docstring of the script.
    Returns:
      argparse.Namespace; options of the preset that were not given are None.
    """
    parser = cli.make_parser(doc)
    parser.add_argument('--data_path', '--datapath', default=SHIPPED_MESHES,
                        help='folder of .obj, .off, .ply, .stl or .glb meshes, packed .npz, or '
                             'set of make_dataset.py')
    _add_training_options(parser.add_argument_group('training'))
    _add_network_options(parser.add_argument_group('networks'))
    add_sampling_options(parser)
    cli.add_run_options(parser, OUTPUT_PATH)
    cli.add_training_steps(parser, help='optimizer steps in all (default: {}; with --preset=own by '
                           'the data)'.format(_STEPS))
    parser.add_argument('--train_epochs', '--total_epoch', '--epoch', type=cli.positive_int,
                        default=None, help='rounds over the data, instead of --training_steps')
    parser.add_argument('--preset', choices=sorted(PRESETS), default='seed',
                        help='seed: the toy experiment; own: a folder of your own meshes, fitted '
                             'to it; small: sets of small meshes on a CPU; '
                             'large: sets of real meshes; published: the networks of the '
                             'released checkpoints')
    parser.add_argument('--batch_size', type=cli.positive_int, default=None,
                        help='meshes in a step' + _PRESET)
    parser.add_argument('--learning_rate', type=cli.positive_float, default=5e-4, help='of Adam')
    parser.add_argument('--validation_path', type=cli.path, default='',
                        help='held-out meshes; the best checkpoint is the best on them')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='weights to start from where the output folder has none')
    parser.add_argument('--face_checkpoint', default='',
                        help='a trained face model (checkpoint or folder of a run), which is taken '
                             'as it is: only the vertex model is trained')
    parser.add_argument('--decoder_checkpoint', default='',
                        help='a trained vertex model (checkpoint or folder of a run), told a class '
                             'say, whose decoder this one starts from; the rest begins '
                             'anew. With --condition=image or voxels --pretrained sets both')
    cli.add_pretrained(parser)
    _add_original_options(cli.add_expert_group(parser, 'parity with the original'))
    return parser.parse_args(argv)


def _add_training_options(group):
    group.add_argument('--schedule', choices=('constant', 'cosine'), default=None,
                       help='of the learning rate' + _PRESET)
    group.add_argument('--warmup_steps', type=cli.non_negative_int, default=None,
                       help='in which the learning rate rises' + _PRESET)
    group.add_argument('--gradient_clip', type=cli.non_negative_float, default=None,
                       help='largest norm of the gradient of the loss per token, 0: any' + _PRESET)
    group.add_argument('--num_buckets', type=cli.positive_int, default=None,
                       help='groups of meshes of like length, each with its own static shapes, '
                            'with --plain or on the NPU' + _PRESET)
    for name, text in [('shuffle', 'another order of the meshes in each round'),
                       ('random_shift', 'shift each mesh inside the cube'),
                       ('is_training', 'dropout (the original\'s notebook never turns it on)')]:
        cli.add_flag(group, '--' + name, default=None, help=text + _PRESET)
    cli.add_flag(group, '--axis_scaling', default=None, help='stretch each axis of a mesh by 0.75 '
                 'to 1.25 (on with --preset=own, but for pictures and voxels)')
    cli.add_flag(group, '--axis_warping', help='warp each axis, piecewise linear, mirrored on the '
                 'level ones')
    cli.add_flag(group, '--image_augmentation', default=True, help='training pictures are moved, '
                 'scaled and recoloured a little')
    cli.add_flag(group, '--shuffle_vertices', default=True,
                 help='random order of the vertices that the face model sees')
    cli.add_flag(group, '--strict', help='refuse meshes that cannot be used instead of leaving '
                 'them out')
    group.add_argument('--eval_every', type=cli.non_negative_int, default=0,
                       help='steps between evaluations on --validation_path; 0: at the end')
    group.add_argument('--sample_every', type=cli.non_negative_int, default=0,
                       help='steps between samples; 0: at the end')
    group.add_argument('--num_samples', type=cli.positive_int, default=4,
                       help='meshes to draw each time')
    cli.add_flag(group, '--sample', default=True, help='draw samples')
    cli.add_flag(group, '--freeze', help='write both models as .pb at the end')


def _add_network_options(group):
    for name, text in _SIZES:
        group.add_argument('--' + name, type=cli.positive_int, default=None, help=text + _PRESET)
    group.add_argument('--quantization_bits', type=cli.positive_int, default=8,
                       help='bits of a coordinate, 8 at most')
    group.add_argument('--dropout_rate', type=cli.fraction_below_one, default=None,
                       help='of the Transformers, where --is_training' + _PRESET)
    group.add_argument('--vertex_dropout_rate', type=cli.fraction_below_one, default=None,
                       help='of the vertex model; unset: --dropout_rate, and 0.4 in the preset '
                            'published')
    group.add_argument('--num_classes', type=cli.non_negative_int, default=None,
                       help='classes; 0: as many as the data has' + _PRESET)
    group.add_argument('--condition', choices=CONDITIONS, default=None,
                       help='what the vertex model is told: nothing, the class, a picture or '
                            'voxels; unset: the class, or nothing with --noclass_conditional')
    cli.add_flag(group, '--class_conditional', default=True,
                 help='the vertex model is told the class; see --condition')
    cli.add_flag(group, '--face_class_conditional', help='the face model is told the class')
    group.add_argument('--class_dropout', type=cli.fraction_below_one, default=0.,
                       help='share of the meshes that are trained as class `any` instead of their '
                            'own, so that the model draws without a class too')
    group.add_argument('--image_size', type=cli.positive_int, default=None,
                       help='pixels a side of pictures, --condition=image' + _PRESET)
    group.add_argument('--voxel_size', type=cli.positive_int, default=None,
                       help='cells a side of grids, --condition=voxels' + _PRESET)
    group.add_argument('--encoder_channels', type=cli.positive_int, nargs='+', default=None,
                       help='channels of the resolutions of the encoder of pictures or voxels, but '
                            'the last, whose are --hidden_size' + _PRESET)
    group.add_argument('--encoder_blocks', type=cli.positive_int, nargs='+', default=None,
                       help='residual blocks of each resolution' + _PRESET)
    group.add_argument('--encoder_dropout_rate', type=cli.fraction_below_one, default=None,
                       help='of that encoder, where --is_training' + _PRESET)
    group.add_argument('--pre_embed_dim', type=cli.positive_int, default=8,
                       help='width of the embedding of a full or an empty voxel')
    cli.add_flag(group, '--summary_classes', help='the picture or grid is also summed up in an '
                 'element before the sequence: the embeddings of the classes of the data and of '
                 'one more for any class, weighted by how likely it shows them, which is trained '
                 'besides, and a free part (not in the paper)')
    cli.add_flag(group, '--encoder_only', help='train nothing but the encoder of pictures or grids '
                 'and their summary, by the classes; many pictures in little time, as a start for '
                 '--checkpoint')


def _add_original_options(group):
    """Adds the choices between what the original does and what this port does."""
    cli.add_flag(group, '--shared_optimizer', help='one Adam for both models, as in the original, '
                 'where each update advances the bias correction of both')
    cli.add_flag(group, '--memory_efficient', default=None,
                 help='attention head by head, computed again in the backward pass; other '
                      'variables' + _PRESET)
    cli.add_flag(group, '--plain', help='compute every step as the original does, padding too; the '
                 'NPU always does')
    cli.add_flag(group, '--exact_quantization', help='round coordinates instead of cutting them '
                 'off')
    cli.add_flag(group, '--keep_winding', help='keep the direction of simple faces')


def add_sampling_options(parser):
    """Adds the options that steer how tokens are drawn."""
    group = parser.add_argument_group('sampling')
    group.add_argument('--temperature', type=cli.positive_float, default=1.,
                       help='divides the logits')
    group.add_argument('--top_k', type=cli.non_negative_int, default=0,
                       help='keep the k best tokens; 0 keeps all')
    group.add_argument('--top_p', type=cli.fraction, default=0.95,
                       help='keep the best tokens that reach this probability; 0 is greedy, '
                            '1 keeps all')
    cli.add_flag(group, '--top_k_per_row', help='top_k row by row, as one would expect; the '
                 'original has one threshold for all rows')
    cli.add_flag(group, '--valid_only', help='draw only tokens that a mesh can go on with (paper, '
                 'sections 3.1 and 3.2; not in the original)')


def add_class_label(parser):
    """Adds the option that tells which classes are drawn."""
    parser.add_argument('--class_label', nargs='*', default=None, metavar='CLASS',
                        help='classes to draw, in turn, by name or number; unset: `any` where the '
                             'model has it (--class_dropout), else all')


def add_checkpoint_options(parser):
    """Adds the options of scripts that use trained models: where they are."""
    cli.add_trained_options(parser, OUTPUT_PATH)
    for part in ('vertex', 'face'):
        parser.add_argument('--{}_checkpoint'.format(part), default='',
                            help='checkpoint of the {} model alone, such as the authors released; '
                                 'no training run is needed then'.format(part))
    parser.add_argument('--preset', choices=sorted(PRESETS), default='published',
                        help='sizes of the networks in the two checkpoints')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of every random draw')


def add_freeze_options(parser):
    """Adds the options of freeze_graph.py that are PolyGen's own."""
    add_checkpoint_options(parser)
    add_sampling_options(parser)
    cli.add_device_options(parser, 'cpu', 'where the check runs')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS),
                        help='models to freeze')
    cli.add_flag(parser, '--single_loop', help='draw all tokens in one loop, for converters that '
                 'know no loop in a loop (--onnx sets it); drawing costs more then')


def complete(parsed, device):
    """Settles the options of a training run.

    Args:
      parsed: argparse.Namespace of `parse_args`.
      device: 'cpu', 'gpu' or 'npu'.
    Returns:
      cli.Options.
    Raises:
      errors.UsageError: see `settle_networks`.
    """
    values = dict(vars(parsed))
    if parsed.preset == 'own':
        values.update(_of_own_set(parsed))
    if values['pretrained']:
        from common.training import pretrained  # here, since --help needs no TensorFlow
        values.update(vars(pretrained.asked_for(cli.Options(**values), PRETRAINED)))
        is_spatial = values['condition'] in ('image', 'voxels')
        values.update((name, value) for name, value in
                      pretrained.sizes(PRETRAINED, _OF_NETWORKS).items()
                      if name not in _LIMITS or values[name] is None
                      or is_spatial and name == 'max_face_tokens')  # its face model stays as it is
        if is_spatial:      # the weights that ship know classes
            values.update(checkpoint='', class_dropout=0., **{
                name: values[name] or PRETRAINED
                for name in ('face_checkpoint', 'decoder_checkpoint')})
    if values['training_steps'] is None:
        values['training_steps'] = _STEPS
    options = settle_networks(values, device)
    if device == 'npu' and not options.fusion_switch_file:
        return options.replace(fusion_switch_file=_FUSION_SWITCH)   # as in the Ascend port
    return options


def _of_own_set(parsed):
    """Which options the data will settle, and whether to start from the weights that ship."""
    if parsed.data_path == SHIPPED_MESHES:
        raise errors.UsageError('--preset=own is for meshes of your own: give --data_path=FOLDER.')
    from common.training import pretrained  # here, since --help needs no TensorFlow
    starts = not (parsed.checkpoint or parsed.face_checkpoint) and (
        parsed.condition in (None, 'class') and pretrained.available(PRETRAINED))
    sized = any(vars(parsed)[name] is not None for name, _ in _SIZES if name not in _LIMITS)
    return {'own': [name for name in _OWN if vars(parsed)[name] is None],
            'pretrained': parsed.pretrained or (starts and not sized)}


def settle_networks(values, device):
    """Takes from the preset what was not given, and checks that options fit together.

    Args:
      values: dict {option: value}, None for what was not given.
      device: 'cpu', 'gpu' or 'npu'; the NPU wants the plain graph, whose shapes are static.
    Returns:
      cli.Options.
    Raises:
      errors.UsageError: options do not fit together.
    """
    values = dict({'class_names': None}, **values)
    _settle_condition(values)
    values.update((name, value) for name, value in dict(
        PRESETS[values['preset']], **ENCODERS[values['preset']]).items() if values[name] is None)
    if values['axis_scaling'] is None:
        values['axis_scaling'] = (values['preset'] == 'own'
                                  and values['condition'] not in ('image', 'voxels'))
    if len(values['encoder_blocks']) != len(values['encoder_channels']) + 1:
        raise errors.UsageError('--encoder_blocks names {} resolutions, --encoder_channels {}: one '
                                'less, as the last has --hidden_size.'.format(
                                    len(values['encoder_blocks']), len(values['encoder_channels'])))
    if values['condition'] == 'image' and (values['axis_scaling'] or values['axis_warping']):
        raise errors.UsageError('--axis_scaling, --axis_warping: pictures show the mesh as it is; '
                                'they go with the other conditions.')
    if values['summary_classes'] and values['condition'] not in ('image', 'voxels'):
        raise errors.UsageError('--summary_classes: goes with --condition=image or voxels.')
    if values['encoder_only']:
        if not values['summary_classes']:
            raise errors.UsageError('--encoder_only: goes with --summary_classes.')
        values.update(sample=False, freeze=False)
    if values.get('class_dropout') and values['condition'] != 'class':
        raise errors.UsageError('--class_dropout: goes with --condition=class.')
    for kind in ('vertices', 'face_tokens'):
        values['sample_' + kind] = min(values['sample_' + kind], values['max_' + kind])
    if values['hidden_size'] % values['num_heads']:
        raise errors.UsageError('--hidden_size {hidden_size} is not a multiple of --num_heads '
                                '{num_heads}.'.format(**values))
    if values['quantization_bits'] > 8:
        raise errors.UsageError('--quantization_bits {quantization_bits}: the tables of the face '
                                'model have rows for 8 bits at most.'.format(**values))
    # The recomputing attention knows no rows without padding either.
    values['plain'] = values['plain'] or values['memory_efficient'] or device == 'npu'
    return cli.Options(**values)


def _settle_condition(values):
    """Settles `condition` and what follows from it: `class_conditional`, `random_shift`."""
    if values['condition'] is None:
        values['condition'] = 'class' if values['class_conditional'] else 'none'
    values['class_conditional'] = values['condition'] == 'class'
    if values['condition'] in ('image', 'voxels') and values['random_shift'] is None:
        values['random_shift'] = False      # nothing in a picture or a grid tells of a shift


def with_classes(options, examples, class_names):
    """Returns options with the classes of a training set.

    Args:
      options: cli.Options.
      examples: list of examples of `mesh_sets.load_meshes`.
      class_names: list of str by label, or None; recorded, so that other sets get these labels.
    Returns:
      cli.Options; with `class_dropout` the last class is ANY.
    Raises:
      errors.UsageError: see `check_labels`.
    """
    labels = options.num_classes or _num_labels(examples)
    if options.class_dropout:
        class_names = (class_names or [str(label) for label in range(labels)]) + [ANY]
        labels = len(class_names)
    options = options.replace(num_classes=labels, class_names=class_names)
    check_labels(options, examples)
    return options


def has_any(options):
    """Returns whether the model's last class stands for shapes of any class (ANY)."""
    return bool(options.class_names) and options.class_names[-1] == ANY


def check_labels(options, examples):
    """Makes sure that conditional models have every class of the data.

    Raises:
      errors.UsageError: a label is beyond the model's classes.
    """
    needed = _num_labels(examples)
    if needed > options.num_classes and (options.class_conditional
                                         or options.face_class_conditional
                                         or options.summary_classes):
        raise errors.UsageError(
            'the data has {} classes, the model --num_classes {}: train with more classes, or put '
            'the meshes into sub-folders named as those of the training set.'.format(
                needed, options.num_classes))


def _num_labels(examples):
    return max(example['class_label'] for example in examples) + 1

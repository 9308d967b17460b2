"""Sizes of PolyGen's networks: presets, the options that change them, and building both models."""
import argparse
import collections
import os

import tensorflow.compat.v1 as tf

from common import cli, device, errors
from common.training import checkpoints, runs
from polygen import modules

SHIPPED_MESHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'meshes')
OUTPUT_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'output')

# seed: the original's notebook and the seed document. large: the defaults of the original's classes
# and the limits of the paper's data (800 vertices, 2800 face indices). published: the checkpoints
# that the authors released, trained on ShapeNet.
PRESETS = {
    'seed': {
        'hidden_size': 128, 'fc_size': 512, 'num_heads': 4, 'vertex_layers': 3,
        'encoder_layers': 3, 'face_layers': 3, 'dropout_rate': 0., 'max_vertices': 250,
        'max_face_tokens': 500, 'sample_vertices': 200, 'sample_face_tokens': 500,
        'batch_size': 4, 'num_buckets': 1, 'shuffle': False, 'random_shift': False,
        'is_training': False, 'schedule': 'constant', 'warmup_steps': 0, 'gradient_clip': 0.,
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

Models = collections.namedtuple('Models', 'vertex face')


def add_model_options(parser):
    """Adds the options that give the networks their shape; `complete` fills in the preset."""
    group = parser.add_argument_group('networks')
    group.add_argument('--preset', choices=sorted(PRESETS), default='seed',
                       help='seed: the toy experiment; large: sets of real meshes; published: '
                            'the networks of the released checkpoints')
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
    cli.add_flag(group, '--class_conditional', default=True,
                 help='the vertex model is told the class')
    cli.add_flag(group, '--face_class_conditional', help='the face model is told the class')
    cli.add_flag(group, '--memory_efficient', default=None,
                 help='attention head by head, computed again in the backward pass; other '
                      'variables' + _PRESET)
    cli.add_flag(group, '--plain', help='compute every step as the original does, padding too; the '
                 'NPU always does')
    cli.add_flag(group, '--exact_quantization', help='round coordinates instead of cutting them '
                 'off')
    cli.add_flag(group, '--keep_winding', help='keep the direction of simple faces')


def complete(config, examples=None):
    """Fills options that were not given from the preset, and the number of classes from the data.

    Args:
      config: namespace; it is changed.
      examples: list of examples of `mesh_sets.load_meshes`, or None.
    Raises:
      errors.UsageError: options do not fit together.
    """
    for name, value in PRESETS[config.preset].items():
        if getattr(config, name, None) is None:
            setattr(config, name, value)
    config.sample_vertices = min(config.sample_vertices, config.max_vertices)
    config.sample_face_tokens = min(config.sample_face_tokens, config.max_face_tokens)
    if config.hidden_size % config.num_heads:
        raise errors.UsageError('--hidden_size {} is not a multiple of --num_heads {}.'.format(
            config.hidden_size, config.num_heads))
    if config.quantization_bits > 8:
        raise errors.UsageError('--quantization_bits {}: the tables of the face model have rows '
                                'for 8 bits at most.'.format(config.quantization_bits))
    # The NPU wants static shapes; the recomputing attention knows no rows.
    config.plain = (getattr(config, 'plain', False) or config.memory_efficient
                    or device.choose(config.device) == 'npu')
    if examples is not None:
        needed = max(example['class_label'] for example in examples) + 1
        config.num_classes = config.num_classes or needed
        check_labels(config, examples)


def check_labels(config, examples):
    """Makes sure that conditional models have every class of the data.

    Raises:
      errors.UsageError: a label is beyond the model's classes.
    """
    needed = max(example['class_label'] for example in examples) + 1
    if needed > config.num_classes and (config.class_conditional or config.face_class_conditional):
        raise errors.UsageError(
            'the data has {} classes, the model --num_classes {}: train with more classes, or put '
            'the meshes into sub-folders named as those of the training set.'.format(
                needed, config.num_classes))


def _dropout(config, step):
    """Dropout that draws from (seed, layer, step), so that a resumed run draws the same."""
    if step is None or device.choose(config.device) == 'npu':
        return device.dropout
    calls = []

    def drop(inputs, rate):
        calls.append(rate)
        uniform = tf.random.stateless_uniform(
            tf.shape(inputs), seed=tf.stack([
                config.seed * 9973 + device.rank() * 7919 + len(calls), step]))
        return inputs * tf.cast(uniform >= rate, inputs.dtype) / (1. - rate)

    return drop


def make_models(config, step=None):
    """Builds both models.

    Args:
      config: completed namespace, see `complete`.
      step: int32 scalar tensor, the training step, for dropout; None outside training.
    Returns:
      Models; variables come into being with the first call of each.
    """
    stack = {'hidden_size': config.hidden_size, 'fc_size': config.fc_size,
             'num_heads': config.num_heads, 'dropout_rate': config.dropout_rate,
             'memory_efficient': config.memory_efficient,
             'plain': config.plain, 'dropout_fn': _dropout(config, step)}
    vertex_dropout = getattr(config, 'vertex_dropout_rate', None)
    if vertex_dropout is None:
        vertex_dropout = config.dropout_rate
    vertex_model = modules.VertexModel(
        decoder_config=dict(stack, num_layers=config.vertex_layers,
                            dropout_rate=vertex_dropout),
        quantization_bits=config.quantization_bits, class_conditional=config.class_conditional,
        num_classes=config.num_classes, max_num_input_verts=config.max_vertices)
    face_model = modules.FaceModel(
        encoder_config=dict(stack, num_layers=config.encoder_layers),
        decoder_config=dict(stack, num_layers=config.face_layers),
        class_conditional=config.face_class_conditional, num_classes=config.num_classes,
        quantization_bits=config.quantization_bits, max_seq_length=config.max_face_tokens,
        exact_quantization=config.exact_quantization)
    return Models(vertex_model, face_model)


def add_checkpoint_options(parser):
    """Adds the options of scripts that use trained models: where they are."""
    parser.add_argument('--output_path', default=OUTPUT_PATH,
                        help='folder of the training run (its config.json tells the sizes)')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='checkpoint, or folder of one; unset: the newest of the run')
    for model in ('vertex', 'face'):
        parser.add_argument('--{}_checkpoint'.format(model), default='',
                            help='checkpoint of the {} model alone, such as the authors released; '
                                 'no training run is needed then'.format(model))
    parser.add_argument('--preset', choices=sorted(PRESETS), default='published',
                        help='sizes of the networks in the two checkpoints')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of every random draw')
    cli.add_device(parser)
    parser.add_argument('--precision_mode', default=None, help='see train.py')
    parser.add_argument('--threads', type=cli.non_negative_int, default=0,
                        help='CPU threads of an operation; 0 leaves the choice to TensorFlow')
    cli.add_flag(parser, '--debug', help='show tracebacks')


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


def recorded(config):
    """Options of the training run that a checkpoint belongs to.

    Args:
      config: namespace with `checkpoint` and `output_path`.
    Returns:
      dict {option: value}.
    Raises:
      errors.InputError: no config.json of PolyGen is near.
    """
    folder = config.output_path
    if config.checkpoint:   # its run's folder, two levels up, tells more than --output_path
        prefix = os.path.abspath(checkpoints.latest(config.checkpoint))
        run_folder = os.path.dirname(os.path.dirname(prefix))
        if os.path.exists(os.path.join(run_folder, 'config.json')):
            folder = run_folder
    options = runs.read_options(folder)
    missing = [name for name in PRESETS['seed'] if name not in options]
    if missing:
        raise errors.InputError('{}/config.json is not of PolyGen: it lacks {}.'.format(
            folder, ', '.join(missing)))
    return options


class Weights:
    """Where the values of the variables come from.

    Attributes:
      name: str, for messages and manifests.
    """

    def __init__(self, **prefixes):
        """Args: prefix of a checkpoint for each model, `vertex_model` and `face_model`, or the same
        for both."""
        self._prefixes = prefixes
        self.name = ' and '.join(sorted({os.path.basename(prefix)
                                         for prefix in prefixes.values()}))

    @property
    def note(self):
        """What a manifest says of them, see `checkpoints.note`."""
        return checkpoints.note(*self._prefixes.values())

    def restore(self, sess):
        """Restores those variables of the default graph that it has; lists all that do not fit."""
        for scope, prefix in self._prefixes.items():
            variables = tf.global_variables(scope + '/')
            if variables:
                checkpoints.restore(sess, prefix, variables)


def trained(config):
    """Finds a trained model: its sizes and its weights.

    Args:
      config: namespace with the options of `add_checkpoint_options`; what it has wins over the
        config.json of the run.
    Returns:
      (namespace of all options, Weights).
    Raises:
      errors.InputError: no run or no checkpoint there.
    """
    alone = {'vertex_model': config.vertex_checkpoint, 'face_model': config.face_checkpoint}
    if any(alone.values()):
        if not all(alone.values()):
            raise errors.UsageError('--vertex_checkpoint and --face_checkpoint go together.')
        parser = cli.make_parser('')
        add_model_options(parser)
        options = vars(parser.parse_args(['--preset', config.preset]))
        prefixes = {scope: checkpoints.latest(path) for scope, path in alone.items()}
        labels = checkpoints.variables_of(prefixes['vertex_model']).get(
            'vertex_model/class_label/embeddings')
        options.update(class_conditional=labels is not None,
                       num_classes=labels[0] if labels else 1)
        weights = Weights(**prefixes)
    else:
        prefix = checkpoints.latest(config.checkpoint or config.output_path)
        options = device.for_inference(recorded(config))
        weights = Weights(vertex_model=prefix, face_model=prefix)
    merged = argparse.Namespace(**dict(options, **dict(vars(config), preset=options['preset'])))
    complete(merged)
    return merged, weights

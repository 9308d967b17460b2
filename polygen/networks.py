"""What there is to build of PolyGen: both models, their graphs to freeze, and where weights are.

B: batch, n: vertices at most, L: face tokens at most.
"""
import functools
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.device import npu
from common.frozen import networks
from common.training import checkpoints, launch, pretrained, runs, weight_files
from polygen import blocks, conditions, modules, sampling, sequences, training_graph
from polygen import options as options_lib


class Models(NamedTuple):
    """The two models of a mesh: p(vertices) and p(faces | vertices)."""

    vertex: modules.VertexModel
    face: modules.FaceModel


def _dropout(options: cli.Options, step: Optional[tf.Tensor], on_npu: bool,
             rank: int) -> Optional[blocks.Dropout]:
    """Returns dropout that draws from (seed, layer, step), so that a resumed run draws the same."""
    if on_npu:
        return npu.dropout
    if step is None:
        return None
    calls = []

    def drop(inputs, rate):
        calls.append(rate)
        uniform = tf.random.stateless_uniform(
            tf.shape(inputs), seed=tf.stack([
                options.seed * 9973 + rank * 7919 + len(calls), step]))
        is_kept = uniform >= rate

        @tf.custom_gradient     # which keeps a mask of truth values and nothing else
        def masked(values):
            return _masked(values, is_kept, rate), lambda upstream: _masked(upstream, is_kept, rate)

        return masked(inputs)

    return drop


def _masked(values, is_kept, rate):
    return tf.where(is_kept, values / (1. - rate), tf.zeros_like(values))


def build_models(options: cli.Options, step: Optional[tf.Tensor] = None, on_npu: bool = False,
                 rank: int = 0) -> Models:
    """Builds both models.

    Args:
      options: settled options, see `options.settle_networks`.
      step: int32 scalar, the training step, for dropout; None outside training.
      on_npu: bool, dropout is the NPU's fused operation.
      rank: int, number of this process among those that train together.
    Returns:
      Models; variables come into being with the first call of each.
    """
    stack = {'hidden_size': options.hidden_size, 'fc_size': options.fc_size,
             'num_heads': options.num_heads, 'dropout_rate': options.dropout_rate,
             'memory_efficient': options.memory_efficient,
             'plain': options.plain, 'fused': not options.emulate_precision,
             'dropout_fn': _dropout(options, step, on_npu, rank)}
    vertex_dropout = options.vertex_dropout_rate
    if vertex_dropout is None:
        vertex_dropout = options.dropout_rate
    vertex_model = _vertex_model(options, dict(
        stack, num_layers=options.vertex_layers, dropout_rate=vertex_dropout))
    face_model = modules.FaceModel(
        encoder_config=dict(stack, num_layers=options.encoder_layers),
        decoder_config=dict(stack, num_layers=options.face_layers),
        class_conditional=options.face_class_conditional, num_classes=options.num_classes,
        quantization_bits=options.quantization_bits, max_seq_length=options.max_face_tokens,
        exact_quantization=options.exact_quantization)
    return Models(vertex_model, face_model)


def _vertex_model(options, decoder_config):
    shared: Dict[str, Any] = {
        'decoder_config': decoder_config, 'quantization_bits': options.quantization_bits,
        'max_num_input_verts': options.max_vertices}
    if options.condition not in conditions.SCOPES:
        return modules.VertexModel(class_conditional=options.class_conditional,
                                   num_classes=options.num_classes, **shared)
    encoder = {'hidden_sizes': list(options.encoder_channels) + [options.hidden_size],
               'num_blocks': options.encoder_blocks, 'dropout_rate': options.encoder_dropout_rate,
               'dropout_fn': decoder_config['dropout_fn'], 'plain': options.plain}
    shared.update(res_net_config=encoder,
                  summary_classes=options.num_classes + 1 if options.summary_classes else 0)
    if options.condition == 'image':
        return modules.ImageToVertexModel(**shared)
    return modules.VoxelToVertexModel(pre_embed_dim=options.pre_embed_dim, **shared)


def condition_placeholders(options: cli.Options, batch: int) -> Dict[str, tf.Tensor]:
    """Returns placeholders of what the vertex model is told, see `conditions.Condition.spec`."""
    spec = conditions.of_options(options).spec()
    if options.class_conditional:
        spec = {'class_label': (np.int32, [])}
    return {name: tf.placeholder(dtype, [batch] + shape, name=name)
            for name, (dtype, shape) in spec.items()}


def filters_of(options: cli.Options) -> sampling.Filters:
    """Returns how logits are narrowed down, as the options of sampling say."""
    return sampling.Filters(options.temperature, options.top_k, options.top_p,
                            options.top_k_per_row)


def vertex_graph(options: cli.Options, batch: int, single_loop: bool) -> networks.InferenceGraph:
    """Builds the graph of the vertex model that is frozen.

    Args:
      options: settled options.
      batch: int, B.
      single_loop: bool, see `sampling.draw_tokens`.
    Returns:
      InferenceGraph: `noise` [B, 3n + 1] and, if conditional, `class_label` int32 [B], `image`
      [B, S, S, 3] from 0 to 1 or `voxels` int32 [B, R, R, R] of 0 and 1 to what
      `sequences.vertices_from_tokens` gives, `vertex_tokens` int32 [B, 3n + 1] and `v_output`
      [B, n, 4].
    """
    model = build_models(options).vertex
    steps = 3 * options.sample_vertices + 1
    noise = tf.placeholder(tf.float32, [batch, steps], name='noise')
    context = condition_placeholders(options, batch)
    inputs = dict(context, noise=noise)
    feed = {'noise': sampling.uniform_noise(0, batch, steps)}
    for name, tensor in context.items():
        if name != 'class_label':       # any picture or grid will do for the check
            shape = tensor.shape.as_list()
            draw = sampling.uniform_noise(1, batch, int(np.prod(shape[1:]))).reshape(shape)
            feed[name] = draw if name == 'image' else (draw < 0.2).astype(np.int32)
    tokens, margins = model.draw_tokens(
        batch, context, options.sample_vertices, noise, filters_of(options), options.valid_only,
        single_loop=single_loop)
    outputs = sequences.vertices_from_tokens(
        tokens, options.quantization_bits, recenter_verts=options.random_shift,
        only_return_complete=False)
    # What the Ascend port's frozen graph gave: coordinates and the mask as a fourth channel.
    both = tf.concat([outputs['vertices'], outputs['vertices_mask'][..., None]], axis=-1)
    return networks.InferenceGraph(inputs, dict(outputs, vertex_tokens=tokens, v_output=both), {},
                                   feed, tf.global_variables(),
                                   margins={'vertex_tokens': margins})


def face_graph(options: cli.Options, batch: int, single_loop: bool) -> networks.InferenceGraph:
    """Builds the graph of the face model that is frozen.

    Args:
      options: settled options.
      batch: int, B.
      single_loop: bool, see `sampling.draw_tokens`.
    Returns:
      InferenceGraph: `vertices` [B, n, 3], `vertices_mask` [B, n], `noise` [B, L] and, if
      conditional, `class_label` int32 [B] to what `sequences.faces_from_tokens` gives and
      `face_tokens` int32 [B, L].
    """
    model = build_models(options).face
    steps, vertices = options.sample_face_tokens, options.sample_vertices
    inputs = {'vertices': tf.placeholder(tf.float32, [batch, vertices, 3], name='vertices'),
              'vertices_mask': tf.placeholder(tf.float32, [batch, vertices],
                                              name='vertices_mask'),
              'noise': tf.placeholder(tf.float32, [batch, steps], name='noise')}
    context = {name: inputs[name] for name in ('vertices', 'vertices_mask')}
    if options.face_class_conditional:
        context['class_label'] = inputs['class_label'] = tf.placeholder(
            tf.int32, [batch], name='class_label')
    tokens, margins = model.draw_tokens(context, steps, inputs['noise'], filters_of(options),
                                        options.valid_only, single_loop=single_loop)
    outputs = sequences.faces_from_tokens(tokens, context, only_return_complete=False)
    del outputs['context']
    noise = sampling.uniform_noise(0, batch, steps + 4 * vertices)
    points = noise[:, steps:steps + 3 * vertices].reshape(batch, vertices, 3) - 0.5
    feed = {'noise': noise[:, :steps], 'vertices': points,
            'vertices_mask': (noise[:, -vertices:] >= 0).astype('float32')}
    return networks.InferenceGraph(inputs, dict(outputs, face_tokens=tokens),
                                   {'f_output': 'faces'}, feed, tf.global_variables(),
                                   margins={'face_tokens': margins})


GRAPHS = {'vertex': vertex_graph, 'face': face_graph}


def recorded(options: cli.Options) -> Dict[str, Any]:
    """Returns the options of the training run that a checkpoint belongs to.

    Args:
      options: options with `checkpoint` and `output_path`.
    Returns:
      dict {option: value}.
    Raises:
      errors.InputError: no config.json of PolyGen is near.
    """
    folder = options.output_path
    if options.checkpoint:   # its run's folder, two levels up, tells more than --output_path
        prefix = os.path.abspath(checkpoints.latest(options.checkpoint))
        run_folder = os.path.dirname(os.path.dirname(prefix))
        if os.path.exists(os.path.join(run_folder, 'config.json')):
            folder = run_folder
    values = runs.read_options(folder)
    missing = [name for name in options_lib.PRESETS['seed'] if name not in values]
    if missing:
        raise errors.InputError('{}/config.json is not of PolyGen: it lacks {}.'.format(
            folder, ', '.join(missing)))
    return values


class Weights:
    """Where the values of the variables come from.

    Attributes:
      name: str, for messages and manifests.
    """

    def __init__(self, **prefixes: str):
        """Args: prefix of a checkpoint for each model, `vertex_model` and `face_model`, or the same
        for both."""
        self._prefixes = prefixes
        self.name = ' and '.join(sorted({os.path.basename(prefix)
                                         for prefix in prefixes.values()}))

    @property
    def note(self) -> Dict[str, Any]:
        """What a manifest says of them, see `checkpoints.note`."""
        return checkpoints.note(*self._prefixes.values())

    def restore(self, sess: tf.Session) -> None:
        """Restores those variables of the default graph that it has; lists all that do not fit."""
        for scope, prefix in self._prefixes.items():
            variables = tf.global_variables(scope + '/')
            if variables:
                checkpoints.restore(sess, prefix, variables)


def trained(options: cli.Options, device: str) -> Tuple[cli.Options, Weights]:
    """Finds a trained model: its sizes and its weights.

    Args:
      options: those of `options.add_checkpoint_options`; they win over the config.json of the run.
      device: 'cpu', 'gpu' or 'npu'.
    Returns:
      (settled options of training and script together, Weights).
    Raises:
      errors.InputError: no run or no checkpoint there.
      errors.UsageError: one of the two separate checkpoints is missing.
    """
    alone = (options.vertex_checkpoint, options.face_checkpoint)
    if any(alone):
        if not all(alone):
            raise errors.UsageError('--vertex_checkpoint and --face_checkpoint go together.')
        vertex, face = map(checkpoints.latest, alone)
        variables = checkpoints.variables_of(vertex)
        labels = variables.get('vertex_model/class_label/embeddings')
        kinds = [kind for kind, scope in conditions.SCOPES.items()
                 if any(name.startswith(scope + '/') for name in variables)]
        values = {'preset': options.preset, 'num_classes': labels[0] if labels else 1,
                  'condition': kinds[0] if kinds else 'class' if labels else 'none'}
        for kind in kinds:
            summary = variables.get(conditions.SCOPES[kind] + '/class_of_context/bias')
            if summary:
                values.update(summary_classes=True, num_classes=summary[0] - 1)
    else:
        shipped = (options_lib.PRETRAINED_IMAGE if vars(options).get('image')
                   else options_lib.PRETRAINED)
        options = pretrained.chosen(options, shipped,
                                    pretrained.has_checkpoint(options.output_path))
        vertex = checkpoints.latest(options.checkpoint or options.output_path)
        face = _face_model_of(vertex)
        values = recorded(options)
    defaults = vars(options_lib.parse_args([]))
    merged = dict(defaults, **dict(values, **dict(vars(options), preset=values['preset'])))
    settled = options_lib.settle_networks(merged, device)
    return settled, Weights(**{conditions.of_options(settled).scope: vertex, 'face_model': face})


def _face_model_of(prefix):
    """Prefix of the face model that goes with a vertex model, of which one alone ships."""
    if not weight_files.path_of(prefix) or any(
            name.startswith('face_model/') for name in checkpoints.variables_of(prefix)):
        return prefix
    cli.say('note: {} has no face model: taking the one of {}'.format(prefix,
                                                                      options_lib.PRETRAINED))
    return checkpoints.latest(options_lib.PRETRAINED)


def rows() -> List[networks.Network]:
    """Returns the networks of the default preset, for `python -m common.npu_lint`."""
    def default_options(condition):
        return options_lib.complete(options_lib.parse_args(
            ['--plain', '--device=cpu', '--num_classes=4', '--condition=' + condition]), 'cpu')

    def training(number, condition='class'):
        options = default_options(condition)
        size = {'vertex_tokens': 3 * options.max_vertices + 1, 'vertices': options.max_vertices,
                'face_tokens': options.max_face_tokens}
        step = tf.placeholder(tf.int32, [], name='step')
        graph = training_graph.TrainingGraph(build_models(options), [size], options,
                                             launch.Context(), step)
        bucket = graph.buckets[0]
        return (list(bucket.placeholders[number].values()) + [graph.learning_rate],
                [bucket.losses[number], bucket.updates[number]])

    def inference(build, single_loop, condition='class'):
        return build(default_options(condition), 1, single_loop)

    table = []
    for number, part in enumerate(('vertex', 'face')):
        name = part + ' model'
        build = GRAPHS[part]
        table += [networks.Network(name, True, functools.partial(training, number)),
                  networks.Network(name, False, functools.partial(inference, build, False)),
                  networks.Network(name + ', one loop', False,
                                   functools.partial(inference, build, True))]
    for condition in conditions.SCOPES:
        name = 'vertex model, ' + condition
        table += [networks.Network(name, True, functools.partial(training, 0, condition)),
                  networks.Network(name, False, functools.partial(
                      inference, vertex_graph, False, condition))]
    return table

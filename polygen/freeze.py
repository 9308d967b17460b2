"""Freezes PolyGen's vertex model and face model to .pb files that draw samples.

The draws are an input (`noise`, uniform in [0, 1)), so a frozen graph is a function of its inputs.
B: batch, n: vertices at most, L: face tokens at most.
"""
import argparse
import functools
import os

import tensorflow.compat.v1 as tf

from common import cli, device, files, frozen, npu_survey
from common.training import checkpoints
from polygen import presets, sampling, sequences

_PARTS = {'vertex': 'polygen_vertices', 'face': 'polygen_faces'}     # names of the files


def add_options(parser):
    """Adds the options of freezing that are PolyGen's own."""
    presets.add_checkpoint_options(parser)
    presets.add_sampling_options(parser)
    parser.add_argument('--parts', nargs='+', choices=sorted(_PARTS),
                        default=sorted(_PARTS), help='models to freeze')
    cli.add_flag(parser, '--single_loop', help='draw all tokens in one loop, for converters that '
                 'know no loop in a loop (--onnx sets it); drawing costs more then')


def _vertex_graph(config, batch, filters, single_loop):
    """Inputs, outputs, aliases and sample feed of the vertex model's graph."""
    model = presets.make_models(config).vertex
    steps = 3 * config.sample_vertices + 1
    noise = tf.placeholder(tf.float32, [batch, steps], name='noise')
    inputs, context = {'noise': noise}, {}
    feed = {'noise': sampling.uniform_noise(0, batch, steps)}
    if config.class_conditional:
        context['class_label'] = inputs['class_label'] = tf.placeholder(
            tf.int32, [batch], name='class_label')
    tokens = model.sample_tokens(batch, context, config.sample_vertices, noise, filters,
                                 config.valid_only, single_loop=single_loop)
    outputs = sequences.vertices_from_tokens(
        tokens, config.quantization_bits, recenter_verts=config.random_shift,
        only_return_complete=False)
    # What the Ascend port's frozen graph gave: coordinates and the mask as a fourth channel.
    both = tf.concat([outputs['vertices'], outputs['vertices_mask'][..., None]], axis=-1)
    return inputs, dict(outputs, vertex_tokens=tokens, v_output=both), {}, feed


def _face_graph(config, batch, filters, single_loop):
    """Inputs, outputs, aliases and sample feed of the face model's graph."""
    model = presets.make_models(config).face
    steps, vertices = config.sample_face_tokens, config.sample_vertices
    inputs = {'vertices': tf.placeholder(tf.float32, [batch, vertices, 3], name='vertices'),
              'vertices_mask': tf.placeholder(tf.float32, [batch, vertices],
                                              name='vertices_mask'),
              'noise': tf.placeholder(tf.float32, [batch, steps], name='noise')}
    context = {name: inputs[name] for name in ('vertices', 'vertices_mask')}
    if config.face_class_conditional:
        context['class_label'] = inputs['class_label'] = tf.placeholder(
            tf.int32, [batch], name='class_label')
    tokens = model.sample_tokens(context, steps, inputs['noise'], filters, config.valid_only,
                                 single_loop=single_loop)
    outputs = sequences.faces_from_tokens(tokens, context, only_return_complete=False)
    del outputs['context']
    noise = sampling.uniform_noise(0, batch, steps + 4 * vertices)
    points = noise[:, steps:steps + 3 * vertices].reshape(batch, vertices, 3) - 0.5
    feed = {'noise': noise[:, :steps], 'vertices': points,
            'vertices_mask': (noise[:, -vertices:] >= 0).astype('float32')}
    return inputs, dict(outputs, face_tokens=tokens), {'f_output': 'faces'}, feed


def freeze(config):
    """Freezes the models of a checkpoint.

    Args:
      config: namespace with the options of `presets.add_checkpoint_options` and `add_options`,
        `output` (folder of the .pb files) and `batch_size`.
    Returns:
      list of str, the .pb files.
    Raises:
      errors.InputError: no checkpoint, or the frozen graph does not do what the model does.
    """
    batch, output, parts = config.batch_size, config.output, config.parts
    single_loop = config.single_loop
    if getattr(config, 'onnx', False) and not single_loop:
        single_loop = True
        cli.say('note: --onnx: all tokens are drawn in one loop (--single_loop), since '
                      'tf2onnx knows no loop in a loop')
    config, weights = presets.trained(config)
    config.device = 'cpu'   # importing npu_bridge would move the self-check to the NPU
    filters = sampling.Filters(config.temperature, config.top_k, config.top_p,
                               config.top_k_per_row)
    paths = []
    for part, build in [('vertex', _vertex_graph), ('face', _face_graph)]:
        if part not in parts:
            continue
        paths.append(os.path.join(output, _PARTS[part] + '.pb'))
        with tf.Graph().as_default():
            inputs, outputs, aliases, feed = build(config, batch, filters, single_loop)
            with tf.Session(config=device.session_config(config)) as sess:
                weights.restore(sess)
                notes = dict(weights.note, sampling=filters._asdict(),
                             valid_only=config.valid_only, num_classes=config.num_classes,
                             single_loop=single_loop)
                frozen.freeze(sess, inputs, outputs, paths[-1], aliases, check_feed=feed,
                              notes=notes)
    return paths


def freeze_run(config, step):
    """Freezes the models of a training run at a step, into its output folder."""
    options = dict(vars(config), output=config.output_path, parts=sorted(_PARTS),
                   batch_size=min(config.num_samples, 4), vertex_checkpoint='', face_checkpoint='',
                   single_loop=False,
                   checkpoint=os.path.join(config.output_path, checkpoints.RUN_FOLDER,
                                           'model-{}'.format(step)))
    return freeze(type(config)(**options))


def is_up_to_date(output_path, step):
    """Whether both .pb files of a run are there and of this step."""
    for name in _PARTS.values():
        path = os.path.join(output_path, name + '.pb')
        if not os.path.exists(path) or not os.path.exists(frozen.manifest_path(path)):
            return False
        notes = files.read_json(frozen.manifest_path(path)).get('notes') or {}
        if notes.get('checkpoint') != 'model-{}'.format(step):
            return False
    return True


def networks():
    """The networks of the default preset, for `python -m common.npu_lint`."""
    def configuration():
        from polygen import train  # here, since it uses this file
        config = train.parse_args(['--plain', '--device=cpu', '--num_classes=4'])
        presets.complete(config)
        return config, train.Steps

    def training(part):
        config, make_steps = configuration()
        size = {'vertex_tokens': 3 * config.max_vertices + 1, 'vertices': config.max_vertices,
                'face_tokens': config.max_face_tokens}
        step = tf.placeholder(tf.int32, [], name='step')
        steps = make_steps(presets.make_models(config), argparse.Namespace(buckets=[size]), config,
                           step)
        feeds, losses, updates = steps.ends(0)
        rate = tf.get_default_graph().get_tensor_by_name('learning_rate:0')
        return list(feeds[part].values()) + [rate], [losses[part], updates[part]]

    def inference(build, single_loop):
        config, _ = configuration()
        filters = sampling.Filters(config.temperature, config.top_k, config.top_p,
                                   config.top_k_per_row)
        ends = build(config, 1, filters, single_loop)
        return npu_survey.Graph(*ends, tf.global_variables(), None)

    rows = []
    for part, (name, build) in enumerate((('vertex model', _vertex_graph),
                                          ('face model', _face_graph))):
        rows += [npu_survey.Network(name, True, functools.partial(training, part)),
                 npu_survey.Network(name, False, functools.partial(inference, build, False)),
                 npu_survey.Network(name + ', one loop', False,
                                    functools.partial(inference, build, True))]
    return rows

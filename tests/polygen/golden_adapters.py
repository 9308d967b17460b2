"""Runs PolyGen's networks on golden cases; `tests/golden.py` compares."""
import itertools

import numpy as np
import tensorflow.compat.v1 as tf

from common import choices
from polygen import modules, sampling, sequences
from tests.polygen import golden_data_adapters

_TARGETS = {'VertexModel': 'vertices_flat', 'ImageToVertexModel': 'vertices_flat',
            'VoxelToVertexModel': 'vertices_flat', 'FaceModel': 'faces'}
# The notes of the sampling cases speak of config.processed, which no case has. These are the values
# that its numbers were made with: kept logits are the cached ones / 0.7, and the share at which
# symbols go lies between 0.79892 and 0.80001.
_PROCESSED = {'temperature': 0.7, 'top_p': 0.8}


def _build_model(case, path, dropout_fn=None):
    arguments = dict(case.config['args'])
    for name in ('encoder_config', 'decoder_config', 'res_net_config'):
        if name in arguments:
            arguments[name] = dict(arguments[name], dropout_fn=dropout_fn)
        if name in arguments and name != 'res_net_config':
            arguments[name]['plain'] = path == 'plain'
    if 'pre_embed_dim' in case.config:
        arguments['pre_embed_dim'] = case.config['pre_embed_dim']
    return getattr(modules, case.config['class'])(**arguments)


def _injected_dropout(case, masks):
    """Dropout that multiplies by the case's masks, in the order of the calls."""
    rates = case.config['dropout_mask_rate']
    pairs = zip(masks, itertools.repeat(rates) if np.isscalar(rates) else rates)

    def drop(inputs, rate):
        mask, mask_rate = next(pairs)
        np.testing.assert_allclose(rate, mask_rate)
        return inputs * mask / (1. - rate)

    return drop


def _constants(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()
            if not name.startswith('dropout_mask')}


def _loss(distribution, batch, target):
    log_prob = distribution.log_prob(tf.cast(batch[target], tf.int32))
    return log_prob, -tf.reduce_sum(log_prob * batch[target + '_mask'])


def _training_loss(model, batch, target, path):
    """The loss as training computes it: without padding, unless the attention is the plain one."""
    if path == 'plain' or model.decoder.memory_efficient:
        return _loss(model(batch), batch, target)[1]
    return model.packed_loss(batch)


def _session(weights):
    """Session with the case's weights: each trainable variable has one, and each is used."""
    variables = {variable.op.name: variable for variable in tf.trainable_variables()}
    np.testing.assert_equal(sorted(variables), sorted(weights))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    for name, value in weights.items():
        variables[name].load(value, session)
    return session, [variables[name] for name in weights]


def forward(case, path):
    """Logits, log-probabilities, loss, embeddings and gradient norms."""
    tf.reset_default_graph()
    masks = [tf.constant(case.inputs[name]) for name in sorted(case.inputs)
             if name.startswith('dropout_mask')]
    model = _build_model(case, path, _injected_dropout(case, masks) if masks else None)
    batch = _constants(case.inputs)
    target = _TARGETS[case.config['class']]
    is_training = case.config.get('is_training', False)
    distribution = model(batch, is_training=is_training)
    log_prob, loss = _loss(distribution, batch, target)
    outputs = {'logits': distribution.logits, 'log_prob': log_prob, 'loss': loss}
    if not masks:
        outputs.update(_embeddings(model, batch, target))
    session, variables = _session(case.weights)
    gradients = tf.gradients(loss, variables)
    outputs['grad_norms'] = tf.stack([tf.norm(gradient) for gradient in gradients])
    with session:
        return session.run(outputs)


def _embeddings(model, batch, target):
    prefix = tf.cast(batch[target], tf.int32)[:, :-1]
    prepared = model._prepare_context(batch)
    if target == 'faces':
        global_context, targets, _ = prepared
        return {'vertex_embeddings': targets,
                'decoder_inputs': model._embed_inputs(prefix, targets, global_context)}
    outputs = {'decoder_inputs': model._embed_inputs(prefix, prepared[0])}
    if prepared[1] is not None:
        outputs['context_embeddings'] = prepared[1]
    return outputs


def train(case, path):
    """Losses, watched variables and norms of all parameters over some steps of Adam."""
    tf.reset_default_graph()
    model = _build_model(case, path)
    batch = _constants(case.inputs)
    loss = _training_loss(model, batch, _TARGETS[case.config['class']], path)
    step = tf.train.AdamOptimizer(case.config['learning_rate']).minimize(loss)
    session, variables = _session(case.weights)
    watched = [variable for variable, name in zip(variables, case.weights)
               if name in case.config['watch']]     # rows stand in the order of the weights
    firsts = tf.stack([tf.gather(tf.reshape(variable, [-1]), tf.range(8) % tf.size(variable))
                       for variable in watched])
    norms = tf.stack([tf.norm(variable) for variable in variables])
    losses, watch, param_norms = [session.run(loss)], [], []
    with session:
        for _ in range(case.config['steps']):
            session.run(step)
            values = session.run((loss, firsts, norms))
            for rows, value in zip((losses, watch, param_norms), values):
                rows.append(value)
    return {'losses': np.float32(losses), 'watch_first8': watch, 'param_norms': param_norms}


def joint_train(case, path):
    """Both models under one Adam object, the vertex update first (the notebook's quirk)."""
    initial = _joint_losses(case, path, weights=None)
    vertex_losses, face_losses = _joint_losses(case, path, case.weights)
    return {'vertex_losses': vertex_losses, 'face_losses': face_losses,
            'initial_vertex_loss': initial[0][0], 'initial_face_loss': initial[1][0]}


def _joint_losses(case, path, weights):
    tf.reset_default_graph()
    arguments = [{key: dict(value, plain=path == 'plain') if key.endswith('_config') else value
                  for key, value in case.config[part + '_args'].items()}
                 for part in ('vertex', 'face')]
    models = modules.VertexModel(**arguments[0]), modules.FaceModel(**arguments[1])
    batches = [_constants({name[2:]: array for name, array in case.inputs.items()
                           if name.startswith(prefix)}) for prefix in ('v_', 'f_')]
    losses = [_training_loss(model, batch, target, path)
              for model, batch, target in zip(models, batches, ('vertices_flat', 'faces'))]
    optimizer = tf.train.AdamOptimizer(case.config['learning_rate'])
    steps = [optimizer.minimize(loss, var_list=model.trainable_variables)
             for loss, model in zip(losses, models)]
    if weights is None:
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            return [np.float32([session.run(loss)]) for loss in losses]
    session, _ = _session(weights)
    rows = [session.run(losses)]
    with session:
        for _ in range(case.config['steps']):
            for step in steps:
                session.run(step)
            rows.append(session.run(losses))
    return np.float32(rows).T


def sample(case, path):
    """Greedy sampling: uncached, through the cache with forced tokens, and `sample` itself."""
    tf.reset_default_graph()
    model = _build_model(case, path)
    context = _constants(case.inputs)
    is_face = case.config['class'] == 'FaceModel'
    length = case.config['max_sample_length']
    outputs, rows = {}, case.config['num_samples']
    for number, variant in enumerate(case.config['variants']):
        arguments = dict({'num_samples': rows}, **variant)
        if is_face:
            del arguments['num_samples']
            result = model.sample(context, max_sample_length=length, **arguments)
            for name, value in result.pop('context').items():
                outputs['v{}_context_{}'.format(number, name)] = value
        else:
            result = model.sample(context=context, max_sample_length=length, **arguments)
        outputs.update({'v{}_{}'.format(number, key): value for key, value in result.items()})
    greedy = sampling.Filters(top_p=0.)
    loop = dict(max_sample_length=length, filters=greedy, keep_drawing=True)
    looped = model.draw_tokens(context, **loop) if is_face else model.draw_tokens(
        rows, context, **loop)
    outputs.update(_forced(model, case, context, is_face))
    session, _ = _session(case.weights)
    with session:
        values = session.run(outputs)
        looped, margins = [array[:, :case.expected['tokens'].shape[1]]
                           for array in session.run(looped)]
    # The loop with its cache draws what the uncached network draws, finished rows included.
    moved = choices.compare(looped, values['step_logits'].argmax(-1), margins, in_sequence=True)
    assert moved.margin <= choices.ROUNDING, moved
    values['tokens'] = looped
    return values


def _forced(model, case, context, is_face):
    """Logits of every step for the expected tokens, without and with the cache."""
    tokens = tf.constant(case.expected['tokens'])
    if is_face:
        prepared = model._prepare_context(context)
        step_logits = model(dict(context, faces=tokens)).logits
        extra = (context['vertices_mask'], prepared)
    else:
        rows = case.config['num_samples']
        context = {key: value[:rows] for key, value in context.items()}
        prepared = model._prepare_context(context)
        step_logits = model(dict(context, vertices_flat=tokens)).logits
        extra = prepared
    steps = case.config['cached_steps']
    decoder = model.decoder
    memory = None if prepared[-1] is None else decoder.cross_memory(prepared[-1])
    recent = sampling.empty_blocks(decoder.num_layers, tokens.shape.as_list()[0],
                                   decoder.num_heads, steps, decoder.head_size)
    logits = []
    for index in range(steps):
        cache = sampling.DecoderCache(recent, tf.constant(index), cross=memory)
        logits.append(model.decode_step(tokens[:, max(index - 1, 0)], tf.constant(index), cache,
                                        *extra))
        recent = cache.recent
    cached = tf.stack(logits, axis=1)
    filters = sampling.Filters(**case.config.get('processed', _PROCESSED))
    processed_logits = [sampling.filter_logits(part, filters) for part in logits]
    return {'step_logits': step_logits, 'cached_logits': cached,
            'processed_logits': tf.stack(processed_logits, axis=1), 'cache_k_last': recent[-1][0]}


def logits_processing(case, path):
    """The filters one by one and together, as the names of the expected arrays ask."""
    del path
    tf.reset_default_graph()
    outputs = {}
    for name in case.expected:
        source, *parts = name.split('_')
        logits = tf.constant(case.inputs[source])
        if len(parts) == 1 and parts[0].startswith('topk'):
            outputs[name] = modules.top_k_logits(logits, int(parts[0][4:]))
        elif len(parts) == 1:
            outputs[name] = modules.top_p_logits(logits, float(parts[0][4:]))
        else:
            temperature, top_k, top_p = parts[0][1:], parts[1][1:], parts[2][1:]
            outputs[name] = sampling.filter_logits(
                logits, sampling.Filters(float(temperature), int(top_k), float(top_p)))
    with tf.Session() as session:
        return session.run(outputs)


def vertex_postprocess(case, path):
    """What `sample` makes of given token sequences."""
    del path
    tf.reset_default_graph()
    outputs = {}
    for recenter in (0, 1):
        for complete in (0, 1):
            result = sequences.vertices_from_tokens(
                tf.constant(case.inputs['tokens']), case.config['quantization_bits'],
                recenter_verts=bool(recenter), only_return_complete=bool(complete))
            outputs.update({'recenter{}_complete{}_{}'.format(recenter, complete, key): value
                            for key, value in result.items()})
    with tf.Session() as session:
        return session.run(outputs)


def face_postprocess(case, path):
    """What `sample` makes of given token sequences and their context."""
    del path
    tf.reset_default_graph()
    outputs = {}
    context = {name: tf.constant(array) for name, array in case.inputs.items() if name != 'tokens'}
    for complete in (0, 1):
        result = sequences.faces_from_tokens(tf.constant(case.inputs['tokens']), context,
                                           only_return_complete=bool(complete))
        for name, value in result.pop('context').items():
            outputs['complete{}_context_{}'.format(complete, name)] = value
        outputs.update({'complete{}_{}'.format(complete, key): value
                        for key, value in result.items()})
    with tf.Session() as session:
        return session.run(outputs)


ADAPTERS = dict(golden_data_adapters.ADAPTERS)
for _model in ('polygen_vertex', 'polygen_face', 'polygen_cond'):
    ADAPTERS.update({(_model, 'forward'): forward, (_model, 'train'): train,
                     (_model, 'joint-train'): joint_train, (_model, 'sample'): sample,
                     (_model, 'logits-processing'): logits_processing})
ADAPTERS['polygen_vertex', 'sample-postprocess'] = vertex_postprocess
ADAPTERS['polygen_face', 'sample-postprocess'] = face_postprocess

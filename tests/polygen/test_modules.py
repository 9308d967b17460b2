"""Tests of polygen/modules.py and polygen/blocks.py; tests/test_golden.py has the original's
numbers."""
import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common.training import checkpoints
from polygen import measures, modules, sampling
from tests import golden

STACK = {'hidden_size': 16, 'fc_size': 12, 'num_heads': 2, 'num_layers': 1, 'dropout_rate': 0.}
RES_NET = {'hidden_sizes': (6, 16), 'num_blocks': (1, 2), 'dropout_rate': 0.}
SEED_STACK = {'hidden_size': 128, 'fc_size': 512, 'num_layers': 3, 'dropout_rate': 0.}
BITS, BATCH, VERTICES = 3, 3, 6
TOKENS, FACE_TOKENS = 3 * VERTICES + 1, 17
TARGETS = {'faces': 'faces'}


# The variables as section 4 and 6 of the specification list them.

def norm(prefix, size):
    return [(prefix + '/layer_norm_scale', [size]), (prefix + '/layer_norm_bias', [size])]


def affine(prefix, rows, columns):
    return [(prefix + '/kernel', [rows, columns]), (prefix + '/bias', [columns])]


def attention(prefix, size):
    return norm(prefix, size) + [
        ('{}/{}/kernel'.format(prefix, name), [size, size])
        for name in ('q', 'k', 'v', 'output_transform')] + [(prefix + '/alpha', [])]


def stack(prefix, hidden_size, fc_size, num_layers, cross=False, heads=None, **unused):
    """Names and shapes of a Transformer; `heads` asks for the memory-efficient layout."""
    variables = []
    for layer in range(num_layers):
        place = '{}/layer_{}/'.format(prefix, layer)
        if heads:
            size = hidden_size // heads
            variables += [(place + 'self_attention/wqkv', [heads, 1, hidden_size, 3 * size]),
                          (place + 'self_attention/wo', [heads, 1, size, hidden_size])]
            variables += norm(place + 'self_attention', hidden_size)
            variables += [(place + 'self_attention/alpha', [])]
        else:
            variables += attention(place + 'self_attention', hidden_size)
        if cross:
            variables += attention(place + 'cross_attention', hidden_size)
        variables += norm(place + 'fc', hidden_size) + affine(place + 'fc_1', hidden_size, fc_size)
        variables += affine(place + 'fc_2', fc_size, hidden_size) + [(place + 'fc/alpha', [])]
    return variables + norm(prefix + '/output', hidden_size)


def vertex_variables(size, classes, most, symbols, layers, name='vertex_model', discrete=True):
    head = [(name + '/class_label/embeddings', [classes, size])] if classes else []
    tables = [(name + '/coord_embeddings/embeddings', [3, size]),
              (name + '/coord_embeddings_1/embeddings', [most, size])]
    tables += ([(name + '/value_embeddings/embeddings', [symbols, size])] if discrete else
               affine(name + '/value_embeddings', 1, size))
    first = [] if classes else [(name + '/embed_zero', [1, 1, size])]
    return head + tables + first + layers + affine(name + '/project_to_logits', size, symbols)


def face_variables(size, classes, most, encoder, decoder, discrete=True):
    head = [('face_model/class_label/embeddings', [classes, size])] if classes else []
    tables = ([('face_model/coord_{}/embeddings'.format(axis), [256, size]) for axis in range(3)]
              if discrete else affine('face_model/vertex_embeddings', 3, size))
    first = [] if classes else [('face_model/embed_zero', [1, 1, size])]
    return (head + tables + [('face_model/stopping_embeddings', [1, 2, size])] + encoder
            + [('face_model/coord_embeddings/embeddings', [most, size])] + first + decoder
            + affine('face_model/project_to_pointers', size, size))


def created():
    return [(variable.op.name, variable.shape.as_list()) for variable in tf.trainable_variables()]


def num_parameters(variables):
    return sum(int(np.prod(shape)) for _, shape in variables)


def vertex_model(plain=False, memory_efficient=False, **options):
    decoder = dict(STACK, plain=plain, memory_efficient=memory_efficient)
    return modules.VertexModel(**dict({
        'decoder_config': decoder, 'quantization_bits': BITS, 'num_classes': 4,
        'max_num_input_verts': VERTICES + 2}, **options))


def conditional_model(kind, plain=False):
    return kind(RES_NET, dict(STACK, plain=plain), BITS, max_num_input_verts=VERTICES + 2)


def face_model(plain=False, memory_efficient=False, **options):
    config = dict(STACK, plain=plain, memory_efficient=memory_efficient)
    return modules.FaceModel(**dict({
        'encoder_config': config, 'decoder_config': config, 'class_conditional': False,
        'num_classes': 4, 'quantization_bits': BITS, 'max_seq_length': FACE_TOKENS + 3},
        **options))


MODELS = {
    'vertex': vertex_model,
    'vertex-class': lambda **kw: vertex_model(class_conditional=True, **kw),
    'vertex-continuous': lambda **kw: vertex_model(use_discrete_embeddings=False, **kw),
    'image': lambda **kw: conditional_model(modules.ImageToVertexModel, **kw),
    'voxel': lambda **kw: conditional_model(modules.VoxelToVertexModel, **kw),
    'face': face_model,
    'face-class': lambda **kw: face_model(class_conditional=True, **kw),
    'face-no-cross': lambda **kw: face_model(decoder_cross_attention=False, **kw),
    'face-continuous': lambda **kw: face_model(use_discrete_vertex_embeddings=False, **kw)}


def target_of(name):
    return 'faces' if name.startswith('face') else 'vertices_flat'


def batch_for(name, rng, full=False):
    """A batch of rows of various lengths, the shortest of one token; behind them stands junk."""
    counts = np.array([VERTICES, 3, 4])
    arrays = {'class_label': np.array([2, 0, 3], np.int32)}
    if target_of(name) == 'faces':
        lengths = [FACE_TOKENS] * 3 if full else [FACE_TOKENS, 1, 9]
        mask = np.arange(VERTICES) < counts[:, None]
        arrays.update({
            'vertices': rng.uniform(-.5, .5, [BATCH, VERTICES, 3]).astype(np.float32),
            'vertices_mask': mask.astype(np.float32),
            'faces': rng.randint(0, counts[:, None] + 2, [BATCH, FACE_TOKENS]).astype(np.int32),
            'faces_mask': (np.arange(FACE_TOKENS) < np.array(lengths)[:, None]).astype(np.float32)})
        return arrays
    lengths = [TOKENS] * 3 if full else [1, TOKENS, 10]
    arrays.update({
        'vertices_flat': rng.randint(0, 2 ** BITS + 1, [BATCH, TOKENS]).astype(np.int32),
        'vertices_flat_mask': (np.arange(TOKENS) < np.array(lengths)[:, None]).astype(np.float32)})
    if name == 'image':
        arrays['image'] = rng.uniform(size=[BATCH, 32, 32, 3]).astype(np.float32)
    if name == 'voxel':
        arrays['voxels'] = rng.randint(0, 2, [BATCH, 8, 8, 8]).astype(np.int32)
    return arrays


def constants(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def weight(variable, seed=3):
    """A value for a variable that depends on its name alone; activations stay near 1."""
    name, shape = variable.op.name, variable.shape.as_list()
    if name.endswith(('alpha', 'layer_norm_scale')):
        return golden.draw_weight(seed, name, shape, 'uniform', 0.5, 1.5)
    is_product = name.endswith(('kernel', 'wqkv', 'wo'))
    spread = np.prod(shape[-4:-1]) ** -0.5 if is_product else 0.3
    return golden.draw_weight(seed, name, shape, 'normal', 0., spread)


def randomize(run, seed=3):
    run([variable.assign(weight(variable, seed)) for variable in tf.trainable_variables()])


def loss_of(model, batch, name, **options):
    return measures.sequence_loss(model(batch, **options), batch, target_of(name))[0]


def assert_same_gradients(ours, theirs, names):
    # Single entries may be sums that nearly cancel, whose rounding is that of their terms.
    largest = max(np.abs(other).max() for other in theirs)
    for name, one, other in zip(names, ours, theirs):
        size = np.abs(other).max()
        assert np.abs(one - other).max() <= 1e-5 * size + 1e-6 * largest, name
        assert size > 1e-4 * largest, name     # every variable of the network matters


def test_the_seed_vertex_model_has_the_original_variables_in_the_original_order():
    model = modules.VertexModel(dict(SEED_STACK, plain=True), 8, class_conditional=True,
                                num_classes=4, max_num_input_verts=250)
    model({'vertices_flat': tf.zeros([4, 193], tf.int32), 'class_label': tf.zeros([4], tf.int32)})
    expected = vertex_variables(128, 4, 250, 257,
                                stack('vertex_model/transformer_decoder', **SEED_STACK))
    assert created() == expected
    assert len(expected) == 50 and num_parameters(created()) == 692487


def test_the_seed_face_model_has_the_original_variables_in_the_original_order():
    model = modules.FaceModel(dict(SEED_STACK, plain=True), dict(SEED_STACK, plain=True),
                              class_conditional=False, max_seq_length=500)
    model({'vertices': tf.zeros([4, 64, 3]), 'vertices_mask': tf.ones([4, 64]),
           'faces': tf.zeros([4, 320], tf.int32)})
    expected = face_variables(
        128, None, 500, stack('face_model/transformer_encoder', **SEED_STACK),
        stack('face_model/transformer_decoder', cross=True, **SEED_STACK))
    assert created() == expected
    assert len(expected) == 117 and num_parameters(created()) == 1563663


@pytest.mark.slow
def test_the_published_vertex_model_has_its_296_variables():
    config = {'hidden_size': 512, 'fc_size': 2048, 'num_layers': 24}
    model = modules.VertexModel(dict(config, num_heads=8, dropout_rate=0.4, memory_efficient=True),
                                8, class_conditional=True, max_num_input_verts=5000)
    model({'vertices_flat': tf.zeros([1, 4], tf.int32), 'class_label': tf.zeros([1], tf.int32)})
    expected = vertex_variables(512, 55, 5000, 257, stack(
        'vertex_model/transformer_decoder', heads=8, **config))
    assert sorted(created()) == sorted(expected)
    assert len(created()) == 296 and num_parameters(created()) == 78462257


def expected_variables(name):
    """Names and shapes of the model of `MODELS`, but for the encoders of images and voxels."""
    size, layers = STACK['hidden_size'], dict(STACK)
    if name.startswith('face'):
        return face_variables(
            size, 4 if name == 'face-class' else None, FACE_TOKENS + 3,
            stack('face_model/transformer_encoder', **layers),
            stack('face_model/transformer_decoder', cross=name != 'face-no-cross', **layers),
            discrete=name != 'face-continuous')
    scope = {'image': 'image_to_vertex_model', 'voxel': 'voxel_to_vertex_model'}.get(
        name, 'vertex_model')
    return vertex_variables(
        size, 4 if name == 'vertex-class' else None, VERTICES + 2, 2 ** BITS + 1,
        stack(scope + '/transformer_decoder', cross=name in ('image', 'voxel'), **layers),
        scope, discrete=name != 'vertex-continuous')


def encoder_variables(name):
    """Those of the residual encoder and the coordinates, in the order of the original."""
    scope, dims = {'image': ('image_to_vertex_model/', 2),
                   'voxel': ('voxel_to_vertex_model/', 3)}[name]

    def conv(place, inputs, outputs, side=3):
        return [(scope + 'res_net/' + place + '/kernel', [side] * dims + [inputs, outputs]),
                (scope + 'res_net/' + place + '/bias', [outputs])]

    def alpha(place):
        return [(scope + 'res_net/' + place + '/alpha', [])]

    variables = [(scope + 'voxel_embeddings/embeddings', [2, 8])] if name == 'voxel' else []
    variables += conv('conv_input', 3 if name == 'image' else 8, 6, side=7)
    place = 'resolution_0/block_1_downsample'
    variables += conv(place + '/conv_1', 6, 6) + conv(place + '/conv_2', 6, 6) + alpha(place)
    variables += conv('resolution_0/block_2/conv_1', 6, 6) if RES_NET['num_blocks'][0] > 1 else []
    place = 'resolution_1/block_1_downsample'
    variables += conv(place + '/conv_shortcut', 6, 16) + conv(place + '/conv_1', 6, 6)
    variables += conv(place + '/conv_2', 6, 16) + alpha(place)
    place = 'resolution_1/block_2'
    variables += conv(place + '/conv_1', 16, 16) + conv(place + '/conv_2', 16, 16) + alpha(place)
    return variables + affine('{}{}_coord_embeddings'.format(scope, name), dims, 16)


@pytest.mark.parametrize('name', sorted(MODELS))
def test_every_way_to_build_a_model_makes_the_same_variables(name):
    expected = expected_variables(name)
    if name in ('image', 'voxel'):
        expected = encoder_variables(name) + expected
    batch = batch_for(name, np.random.RandomState(0))
    builds = {'plain': lambda model, feed: MODELS[name](plain=True)(feed),
              'default': lambda model, feed: model(feed),
              'packed': lambda model, feed: model.packed_loss(feed),
              'sampling': lambda model, feed: draw(model, name, feed)}
    for way, build in builds.items():
        with tf.Graph().as_default():
            model = MODELS[name]() if way != 'plain' else None
            build(model, constants(batch))
            if way == 'plain':
                assert created() == expected
            else:
                assert sorted(created()) == sorted(expected), way


def draw(model, name, batch):
    if target_of(name) == 'faces':
        return model.sample_tokens(batch, 4)
    context = {key: batch[key] for key in ('class_label', 'image', 'voxels') if key in batch}
    return model.sample_tokens(BATCH, context, 2)


@pytest.mark.parametrize('plain', [True, False])
def test_a_fresh_vertex_model_takes_every_symbol_for_equally_likely(run, plain):
    batch = batch_for('vertex', np.random.RandomState(1))
    model = vertex_model(plain, quantization_bits=8, class_conditional=True)
    feed = constants(batch)
    tokens = batch['vertices_flat_mask'].sum()
    np.testing.assert_allclose(run(loss_of(model, feed, 'vertex')), tokens * math.log(257),
                               rtol=1e-6)
    if not plain:
        np.testing.assert_allclose(run(model.packed_loss(feed)), tokens * math.log(257), rtol=1e-6)


@pytest.mark.parametrize('plain', [True, False])
def test_a_fresh_face_model_takes_every_vertex_of_a_row_for_equally_likely(run, plain):
    batch = batch_for('face', np.random.RandomState(1))
    model = face_model(plain)
    feed = constants(batch)
    symbols = batch['vertices_mask'].sum(axis=1) + 2
    expected = (batch['faces_mask'].sum(axis=1) * np.log(symbols)).sum()
    np.testing.assert_allclose(run(loss_of(model, feed, 'face')), expected, rtol=1e-6)
    if not plain:
        np.testing.assert_allclose(run(model.packed_loss(feed)), expected, rtol=1e-6)
    logits = run(model(feed).logits)
    assert (logits[1, :, 2 + 3:] == -1e9).all() and (logits[0] == 0).all()


@pytest.mark.parametrize('options', [{}, {'plain': True}, {'memory_efficient': True}],
                         ids=['default', 'plain', 'memory-efficient'])
@pytest.mark.parametrize('name', ['vertex-class', 'face'])
def test_a_token_changes_no_logit_at_or_before_it(run, name, options):
    batch = batch_for(name, np.random.RandomState(2), full=True)
    target = target_of(name)
    feed = constants(batch)
    feed[target] = tf.placeholder(tf.int32, batch[target].shape)
    logits = MODELS[name](**options)(feed).logits
    randomize(run)
    before = run(logits, {feed[target]: batch[target]})
    length = batch[target].shape[1]
    for place in (0, 1, 5, length - 2, length - 1):
        tokens = batch[target].copy()
        tokens[:, place] = (tokens[:, place] + 1) % 5
        after = run(logits, {feed[target]: tokens})
        np.testing.assert_array_equal(after[:, :place + 1], before[:, :place + 1])
        if place + 1 < length:  # and it does change the one behind
            assert (np.abs(after[:, place + 1] - before[:, place + 1]).max(axis=-1) > 1e-4).all()


@pytest.mark.parametrize('name', ['vertex', 'face'])
def test_what_stands_in_the_padding_does_not_matter(run, name):
    rng = np.random.RandomState(4)
    batch = batch_for(name, rng)
    target = target_of(name)
    other = dict(batch)
    junk = rng.randint(0, 5, batch[target].shape)
    other[target] = np.where(batch[target + '_mask'] > 0, batch[target], junk).astype(np.int32)
    assert (other[target] != batch[target]).any()
    if name == 'face':  # padded vertices anywhere in the cube
        mask = batch['vertices_mask'][..., None]
        other['vertices'] = np.where(mask > 0, batch['vertices'], 0.25).astype(np.float32)
    model = MODELS[name]()
    feeds = [constants(batch), constants(other)]
    losses = [loss_of(model, feed, name) for feed in feeds]
    packed = [model.packed_loss(feed) for feed in feeds]
    randomize(run)
    for pair in (losses, packed):
        one, two = run(pair)
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_more_room_for_vertices_and_tokens_changes_no_loss(run):
    batch = batch_for('face', np.random.RandomState(5))
    wide = {key: np.pad(value, [(0, 0)] + [(0, 2)] * (value.ndim > 1) + [(0, 0)] * (
        value.ndim > 2), 'constant') for key, value in batch.items()}
    assert wide['vertices'].shape == (BATCH, VERTICES + 2, 3)
    model = face_model()
    losses = [loss_of(model, constants(arrays), 'face') for arrays in (batch, wide)]
    losses.append(model.packed_loss(constants(wide)))
    randomize(run)
    values = run(losses)
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


@pytest.mark.parametrize('name', sorted(MODELS))
def test_the_packed_loss_is_the_masked_sum_with_all_its_gradients(run, name):
    batch = batch_for(name, np.random.RandomState(6))
    feed = constants(batch)
    model = MODELS[name]()
    losses = [model.packed_loss(feed), loss_of(model, feed, name)]
    variables = tf.trainable_variables()
    gradients = [[tf.convert_to_tensor(part) for part in tf.gradients(loss, variables)]
                 for loss in losses]
    randomize(run)
    (packed, summed), (ours, theirs) = run((losses, gradients))
    np.testing.assert_allclose(packed, summed, rtol=1e-5)
    assert_same_gradients(ours, theirs, [variable.op.name for variable in variables])


@pytest.mark.parametrize('name', [
    'vertex-class', pytest.param('image', marks=pytest.mark.slow),
    pytest.param('face-class', marks=pytest.mark.slow)])
def test_the_default_computation_is_the_plain_one(run, name):
    batch = batch_for(name, np.random.RandomState(7))
    results = []
    for plain in (True, False):
        with tf.Graph().as_default(), tf.Session() as sess:
            loss = loss_of(MODELS[name](plain=plain), constants(batch), name)
            variables = sorted(tf.trainable_variables(), key=lambda variable: variable.op.name)
            gradients = [tf.convert_to_tensor(part) for part in tf.gradients(loss, variables)]
            for variable in variables:
                sess.run(variable.assign(weight(variable)))
            results.append(sess.run((loss, gradients)))
            names = [variable.op.name for variable in variables]
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5)
    assert_same_gradients(results[1][1], results[0][1], names)


def plain_weights(memory_efficient):
    """Spec 3.2: the plain layout of memory-efficient weights {name: array}."""
    plain = {}
    for name, value in memory_efficient.items():
        place = name.rsplit('/', 1)[0]
        if name.endswith('/wqkv'):
            for part, letter in enumerate('qkv'):
                size = value.shape[3] // 3
                plain['{}/{}/kernel'.format(place, letter)] = np.concatenate(
                    [head[0, :, part * size:(part + 1) * size] for head in value], axis=1)
        elif name.endswith('/wo'):
            plain[place + '/output_transform/kernel'] = np.concatenate(
                [head[0] for head in value], axis=0)
        else:
            plain[name] = value
    return plain


@pytest.mark.parametrize('plain', [True, False])
@pytest.mark.parametrize('name', ['vertex', 'face'])
def test_memory_efficient_attention_is_the_plain_one_with_other_variables(name, plain):
    batch = batch_for(name, np.random.RandomState(8))
    with tf.Graph().as_default(), tf.Session() as sess:
        logits = MODELS[name](memory_efficient=True)(constants(batch)).logits
        values = {variable.op.name: weight(variable) for variable in tf.trainable_variables()}
        for variable in tf.trainable_variables():
            variable.load(values[variable.op.name], sess)
        expected = sess.run(logits)
    with tf.Graph().as_default(), tf.Session() as sess:
        logits = MODELS[name](plain=plain)(constants(batch)).logits
        converted = plain_weights(values)
        assert sorted(converted) == sorted(v.op.name for v in tf.trainable_variables())
        for variable in tf.trainable_variables():
            variable.load(converted[variable.op.name], sess)
        np.testing.assert_allclose(sess.run(logits), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize('heads', [2, 4])   # of other sizes in the same process
def test_gradients_with_and_without_recomputing_are_the_same(run, heads):
    batch = constants(batch_for('vertex', np.random.RandomState(9)))
    model = vertex_model(decoder_config=dict(STACK, num_heads=heads, memory_efficient=True))
    losses = [loss_of(model, batch, 'vertex', is_training=training) for training in (False, True)]
    variables = tf.trainable_variables()
    gradients = [tf.gradients(loss, variables) for loss in losses]
    randomize(run)
    (stored_loss, new_loss), (stored, new) = run((losses, gradients))
    np.testing.assert_allclose(new_loss, stored_loss, rtol=1e-6)
    assert_same_gradients(new, stored, [variable.op.name for variable in variables])


def test_dropout_acts_in_training_alone_and_once_a_branch(run):
    calls = []

    def drop(inputs, rate):
        calls.append(rate)
        return inputs * 0.5

    config = dict(STACK, dropout_rate=0.3, dropout_fn=drop)
    model = face_model(encoder_config=config, decoder_config=config)
    batch = constants(batch_for('face', np.random.RandomState(10)))
    model(batch)
    model.packed_loss(batch)
    assert not calls
    dropped = [loss_of(model, batch, 'face', is_training=True), model.packed_loss(batch, True)]
    assert calls == 2 * STACK['num_layers'] * (2 + 3) * [0.3]
    undropped = loss_of(model, batch, 'face')
    randomize(run)
    (plain, packed), without = run((dropped, undropped))
    np.testing.assert_allclose(packed, plain, rtol=1e-5)
    assert abs(plain - without) > 0.01 * without


def test_a_checkpoint_under_the_original_names_restores_by_name(tmp_path):
    batch = batch_for('vertex', np.random.RandomState(11))
    prefix = str(tmp_path / 'model')
    with tf.Graph().as_default(), tf.Session() as sess:
        model = vertex_model(plain=True, class_conditional=True)
        logits = model(constants(batch)).logits
        for variable in tf.trainable_variables():
            variable.load(weight(variable), sess)
        expected = sess.run(logits)
        tf.train.Saver(var_list=model.variables).save(sess, prefix, write_state=False)
    assert sorted(checkpoints.variables_of(prefix)) == sorted(
        name for name, _ in expected_variables('vertex-class'))
    with tf.Graph().as_default(), tf.Session() as sess:
        model = vertex_model(class_conditional=True)
        logits = model(constants(batch)).logits
        checkpoints.restore(sess, prefix, model.variables, strict=True)
        np.testing.assert_allclose(sess.run(logits), expected, rtol=2e-5, atol=2e-5)


def test_top_k_per_row_keeps_the_k_best_of_each_row(run):
    logits = np.array([[5., 1., 3., 2.], [0., -1., -3., -2.]], np.float32)
    remaining = run(modules.top_k_logits(tf.constant(logits), 2, per_row=True)) > -1e8
    np.testing.assert_array_equal(remaining, [[1, 0, 1, 0], [1, 1, 0, 0]])
    best = run(modules.top_k_logits(tf.constant(logits), 1, per_row=True)) > -1e8
    np.testing.assert_array_equal(best, [[1, 0, 0, 0], [1, 0, 0, 0]])


def test_top_k_of_the_original_has_one_threshold_and_drops_it(run):
    logits = np.array([[5., 1., 3., 2.], [0., -1., -3., -2.]], np.float32)
    # The smallest of the second best (3 and -1) goes, and what is below it, in both rows.
    remaining = run(modules.top_k_logits(tf.constant(logits), 2)) > -1e8
    np.testing.assert_array_equal(remaining, [[1, 1, 1, 1], [1, 0, 0, 0]])
    # k = 1 leaves nothing of the row with the smallest maximum: it is drawn from uniformly.
    nothing = run(modules.top_k_logits(tf.constant(logits), 1))
    np.testing.assert_array_equal(nothing[1], np.full(4, -1e9, np.float32))
    unchanged = run(modules.top_k_logits(tf.constant(logits), 0))
    np.testing.assert_array_equal(unchanged, logits)


def test_top_p_keeps_the_best_symbols_up_to_the_asked_mass(run):
    logits = np.log(np.array([[.1, .5, .15, .25]], np.float32))
    for p, expected in [(0., [0, 1, 0, 0]), (.4, [0, 1, 0, 0]), (.6, [0, 1, 0, 1]),
                        (.8, [0, 1, 1, 1]), (.95, [1, 1, 1, 1]), (1., [1, 1, 1, 1])]:
        remaining = run(modules.top_p_logits(tf.constant(logits), p)) > -1e8
        np.testing.assert_array_equal(remaining[0], expected, err_msg=str(p))


@pytest.mark.parametrize('bits', [1, 4, 8])
def test_exact_quantisation_undoes_dequantisation(run, bits):
    values = np.arange(2 ** bits, dtype=np.int32)
    restored = modules.quantize_verts(modules.dequantize_verts(tf.constant(values), bits), bits,
                                      exact=True)
    np.testing.assert_array_equal(run(restored), values)
    noisy = run(modules.dequantize_verts(tf.constant(values), bits, add_noise=True))
    step = 1 / (2 ** bits - 1)
    steps = (noisy + 0.5) / step - values
    assert (steps > -1e-4).all() and (steps < 1 + 1e-4).all() and steps.any()


def test_exact_quantisation_reaches_the_face_model(run):
    vertices = np.full([1, 1, 3], 33 / 255 - 0.5, np.float32)   # truncated to 32
    assert (((vertices + np.float32(0.5)) * np.float32(255)).astype(np.int32) == 32).all()
    tables = {}
    for exact in (False, True):
        model = face_model(quantization_bits=8, exact_quantization=exact)
        tables[exact] = model._embed_vertices(tf.constant(vertices), tf.ones([1, 1]))
    randomize(run)
    rows = {variable.op.name: variable for variable in tf.trainable_variables()}
    for exact, row, scope in ((False, 32, 'face_model'), (True, 33, 'face_model_1')):
        expected = sum(rows['{}/coord_{}/embeddings'.format(scope, axis)][row]
                       for axis in range(3))
        actual, wanted = run((tables[exact][0, 2], expected))
        np.testing.assert_allclose(actual, wanted, rtol=1e-6)


def test_samples_beyond_the_table_of_positions_are_refused():
    with pytest.raises(ValueError, match='max_sample_length 9 .* max_num_input_verts 8'):
        vertex_model().sample(2, max_sample_length=9)
    batch = constants(batch_for('face', np.random.RandomState(0)))
    with pytest.raises(ValueError, match='max_sample_length 21 .* max_seq_length 20'):
        face_model().sample(batch, max_sample_length=21)


def test_vertices_are_drawn_by_the_filters_that_are_given_and_else_by_the_originals(
        run, monkeypatch):
    asked = []

    def tokens(model, num_samples, context, length, noise, filters, valid_only, growing,
               shared_context):
        assert not growing and not shared_context
        asked.append((num_samples, context, length, noise, filters, valid_only))
        return tf.constant([[1, 5, 8, 3, 4, 2, 0], [8, 8, 8, 0, 1, 1, 1]]), None

    monkeypatch.setattr(modules.VertexModel, 'draw_tokens', tokens)
    model, noise = vertex_model(), tf.zeros([2, 7])
    vertices = run(model.sample(2, max_sample_length=2, temperature=0.25, top_k=7, top_p=0.5,
                                noise=noise, recenter_verts=False)['vertices'])
    # The original has one threshold for all rows, and masks nothing.
    assert asked.pop() == (2, None, 2, noise, (0.25, 7, 0.5, False), False)
    # Tokens are z, y, x, from 1, of 3 bits.
    np.testing.assert_allclose(7 * (vertices + 0.5), [
        [[7, 4, 0], [1, 3, 2]], [[7, 7, 7], [3.5, 3.5, 3.5]]], atol=1e-5)
    model.sample(2, max_sample_length=2, top_k_per_row=True, valid_only=True)
    assert asked.pop()[4:] == ((1., 0, 1., True), True)


def test_heads_must_divide_the_hidden_size():
    for kind in (modules.TransformerEncoder, modules.TransformerDecoder):
        with pytest.raises(ValueError, match='hidden_size 16 is not a multiple of num_heads 3'):
            kind(hidden_size=16, num_heads=3)


def test_a_context_bounds_the_number_of_samples(run):
    model = vertex_model(class_conditional=True)
    labels = {'class_label': tf.constant([0, 1, 2])}
    options = dict(max_sample_length=1, only_return_complete=False)
    assert model.sample(5, labels, **options)['vertices'].shape.as_list() == [3, 1, 3]
    assert model.sample(2, labels, **options)['vertices'].shape.as_list() == [2, 1, 3]
    assert vertex_model().sample(5, **options)['vertices'].shape.as_list() == [5, 1, 3]


def test_noise_is_drawn_in_the_graph_when_none_is_given(run):
    model = vertex_model()
    tokens = model.sample_tokens(8, max_sample_length=2, filters=sampling.Filters())
    first, second = run(tokens), run(tokens)
    assert first.shape == (8, 7) and (first != second).any()

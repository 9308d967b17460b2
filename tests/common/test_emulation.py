"""Tests of common/device/emulation.py; NumPy's float16 says what is right."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import cli, errors, frozen
from common.device import emulation, npu
from common.device.precision_types import Rules
from common.frozen import __main__ as command
from common.ops import regions
from common.training import launch

HALF_MAX = np.float32(65504)


def session(mode='force_fp16', overflow='saturate', scopes=()):
    return emulation.Session(emulation.Settings(Rules(mode), overflow, scopes))


def half(values, overflow='saturate'):
    """Values rounded to float16 by NumPy, as float32."""
    values = np.asarray(values, np.float32)
    if overflow == 'saturate':
        values = np.clip(values, -HALF_MAX, HALF_MAX)
    with np.errstate(over='ignore'):
        return values.astype(np.float16).astype(np.float32)


def inputs(kind, shape=(40, 50), seed=0):
    """Random values, or values at the edges of the range."""
    rng = np.random.RandomState(seed)
    if kind == 'random':
        return rng.randn(*shape).astype(np.float32)
    edges = np.array([0, 2.9e-8, 3e-8, 6e-8, 9e-8, 6.1e-5, 6.09e-5, 1.0004883, 2049, 2051, 32768,
                      65503, 65504, 65519, 65520, 1e5, 1e-3], np.float32)
    return rng.choice(np.concatenate([edges, -edges]), shape).astype(np.float32)


EXACT = {
    'add': (tf.add, np.add), 'sub': (tf.subtract, np.subtract), 'mul': (tf.multiply, np.multiply),
    'div': (tf.divide, np.divide), 'maximum': (tf.maximum, np.maximum),
    'sqrt': (lambda x, y: tf.sqrt(tf.abs(x)), lambda x, y: np.sqrt(np.abs(x))),
    'square': (lambda x, y: tf.square(x), lambda x, y: np.square(x)),
    'neg': (lambda x, y: -x, lambda x, y: -x),
    'relu': (lambda x, y: tf.nn.relu(x), lambda x, y: np.maximum(x, 0)),
    'transpose': (lambda x, y: tf.transpose(x), lambda x, y: x.T)}


@pytest.mark.parametrize('overflow', ['saturate', 'inf'])
@pytest.mark.parametrize('kind', ['random', 'edges'])
@pytest.mark.parametrize('name', sorted(EXACT))
def test_operators_that_round_exactly_equal_numpy(name, kind, overflow):
    operator, reference = EXACT[name]
    x, y = inputs(kind), inputs(kind, seed=1)
    if name == 'div':
        y = np.where(y == 0, np.float32(1.5), y)
        y = np.where(half(y) == 0, np.float32(1.5), y)
    first, second = [tf.placeholder(tf.float32, x.shape) for _ in range(2)]
    end = tf.identity(operator(first, second))
    with session(overflow=overflow) as sess, np.errstate(all='ignore'):
        value = sess.run(end, {first: x, second: y})
        # float32 holds the sum, product, quotient or root of two halves with a second rounding
        # that changes nothing (more than twice the bits), so that NumPy's own float16 agrees.
        a, b = half(x, overflow), half(y, overflow)
        expected = half(reference(a, b), overflow)
        np.testing.assert_array_equal(value, expected)
        if overflow == 'inf':
            own = reference(a.astype(np.float16), b.astype(np.float16))
            np.testing.assert_array_equal(value, own.astype(np.float32))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


CLOSE = {
    'exp': (lambda x: tf.exp(x), np.exp), 'log': (lambda x: tf.log(tf.abs(x) + 1.), None),
    'tanh': (tf.tanh, np.tanh), 'sigmoid': (tf.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    'rsqrt': (lambda x: tf.rsqrt(tf.abs(x) + 1.), None),
    'mean': (lambda x: tf.reduce_mean(x, 1), lambda x: x.mean(1)),
    'sum': (lambda x: tf.reduce_sum(x, 1), lambda x: x.sum(1)),
    'softmax': (tf.nn.softmax, softmax)}


def within_one_place(value, exact, saturates=True):
    """Values are float16 and at most one unit of the last place off; 64-bit results compared."""
    exact = np.clip(exact, -65504., 65504.) if saturates else exact
    np.testing.assert_array_equal(value, half(value))
    unit = np.spacing(np.abs(exact).astype(np.float16)).astype(np.float64)
    unit = np.where(np.isfinite(unit), unit, 32.)
    assert (np.abs(value.astype(np.float64) - exact) <= unit).all()


@pytest.mark.parametrize('kind', ['random', 'edges'])
@pytest.mark.parametrize('name', sorted(CLOSE))
def test_other_operators_are_within_one_place(name, kind):
    operator, reference = CLOSE[name]
    x = inputs(kind)
    feed = tf.placeholder(tf.float32, x.shape)
    end = tf.identity(operator(feed))
    with session() as sess, np.errstate(over='ignore'):
        value = sess.run(end, {feed: x})
        exact = half(x).astype(np.float64)
        if reference is None:       # the inner sum is a float16 of its own
            inner = half(half(np.abs(exact)) + np.float32(1)).astype(np.float64)
            expected = np.log(inner) if name == 'log' else 1 / np.sqrt(inner)
        else:
            expected = reference(exact)
    within_one_place(value, expected)


@pytest.mark.parametrize('kind', ['random', 'edges'])
def test_products_accumulate_in_float32(kind):
    x, y = inputs(kind, (8, 300)), inputs('random', (300, 5), 2)
    first, second = tf.placeholder(tf.float32, x.shape), tf.placeholder(tf.float32, y.shape)
    end = tf.matmul(first, second)
    tops = tf.gradients(end, [first, second], tf.fill([8, 5], 0.3))
    ends = [tf.identity(one) for one in [end] + tops]
    with session() as sess:
        values = sess.run(ends, {first: x, second: y})
    a, b, g = half(x).astype(np.float64), half(y).astype(np.float64), np.full(
        [8, 5], half(0.3), np.float64)
    for value, exact, scale in zip(values, (a @ b, g @ b.T, a.T @ g), (
            np.abs(a) @ np.abs(b), g @ np.abs(b).T, np.abs(a).T @ g)):
        exact = np.clip(exact, -65504, 65504)
        unit = np.spacing(np.abs(exact).astype(np.float16)).astype(np.float64)
        # One place of the result, and float32's rounding of what cancels in the sum.
        assert (np.abs(value - exact) <= unit + 3e-5 * scale).all()
        np.testing.assert_array_equal(value, half(value))


@pytest.mark.parametrize('stride', [1, 2])
def test_a_convolution_and_its_gradients(stride):
    rng = np.random.RandomState(3)
    x, w = rng.randn(1, 6, 7, 3), rng.randn(3, 3, 3, 4)
    images, kernel = [tf.constant(value.astype(np.float32)) for value in (x, w)]
    end = tf.nn.conv2d(images, kernel, [1, stride, stride, 1], 'VALID')
    ends = [end] + tf.gradients(end, [images, kernel])
    ends = [tf.identity(one) for one in ends]
    exact_images, exact_kernel = [tf.constant(half(value).astype(np.float64)) for value in (x, w)]
    exact = tf.nn.conv2d(exact_images, exact_kernel, [1, stride, stride, 1], 'VALID')
    exacts = [exact] + tf.gradients(exact, [exact_images, exact_kernel])
    with session() as sess:
        values, expected = sess.run((ends, exacts))
    for value, one in zip(values, expected):
        within_one_place(value, one)


def test_layer_norm_is_within_a_few_places():
    x = inputs('random', (20, 64))
    feed = tf.placeholder(tf.float32, x.shape)
    centred = feed - tf.reduce_mean(feed, 1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), 1, keepdims=True)
    end = tf.identity(centred * tf.rsqrt(variance + 1e-5))
    with session() as sess:
        value = sess.run(end, {feed: x})
    h, f16 = half(x).astype(np.float16), np.float16
    centre = (h - h.astype(np.float64).mean(1, keepdims=True).astype(f16))
    square = (centre * centre).astype(np.float64).mean(1, keepdims=True).astype(f16)
    root = (1 / np.sqrt((square + f16(1e-5)).astype(np.float64))).astype(f16)
    expected = (centre * root).astype(np.float64)
    unit = np.spacing(np.abs(expected).astype(f16)).astype(np.float64)
    assert (np.abs(value - expected) <= 2 * unit).all()


@pytest.mark.parametrize('has_size', [False, True])     # numbers one by one, in pairs
def test_every_float16_and_what_lies_between_two_is_rounded_as_numpy_does(has_size):
    finite = np.arange(0x7c00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (finite[1:] + finite[:-1]) / 2        # ties, to the even one of both
    near = [np.nextafter(middles, np.float32(limit)) for limit in (0, np.inf)]
    values = np.concatenate([finite, middles, *near, [65519.9, 65520, 1e9, np.inf]])
    values = np.concatenate([values, -values]).astype(np.float32)
    for graph in (emulation.rounded_to, lambda tensor, kind: emulation._rounded_by_a_sum(tensor)):
        feed = tf.placeholder(tf.float32, [len(values) if has_size else None])
        with tf.Session() as sess:
            rounded, lost = sess.run([graph(feed, 'float16'), graph(feed * np.nan, 'float16')],
                                     {feed: values})
        np.testing.assert_array_equal(rounded, half(values))
        assert np.isnan(lost).all()


@pytest.mark.parametrize('value, expected', [
    # 8 bits of precision: 1 + 2^-8 lies halfway and goes to the even 1, 1 + 3 * 2^-8 to 1 + 2^-6.
    (1 + 2. ** -8, 1.), (1 + 3 * 2. ** -8, 1 + 2. ** -6), (1e5, 99840.), (3e38, 3.0042e38)])
def test_bfloat16(value, expected):
    feed = tf.placeholder(tf.float32, [])
    with tf.Session() as sess:
        rounded = sess.run(emulation.rounded_to(feed, 'bfloat16'), {feed: value})
    assert rounded == pytest.approx(expected, rel=1e-4 if expected > 1e30 else 0)


def build():
    """A layer with loss and optimizer; returns (placeholder, loss, update)."""
    x = tf.placeholder(tf.float32, [2, 3], name='x')
    w = tf.get_variable('w', initializer=tf.constant(np.arange(12, dtype=np.float32)
                                                     .reshape(3, 4) / 10))
    with npu.float32_scope():
        loss = tf.reduce_sum(tf.square(tf.matmul(x, w)))
    return x, loss, w


def test_without_emulation_the_graph_stays_as_it_is():
    build()
    initializer = tf.global_variables_initializer()
    before = tf.get_default_graph().as_graph_def()
    with launch.Context().open_session() as sess:
        sess.run(initializer)
    assert tf.get_default_graph().as_graph_def() == before
    assert '_keep_dtype' not in str(before)
    with session() as sess:
        sess.run(initializer)
    assert tf.get_default_graph().as_graph_def() != before


def test_a_variable_that_is_read_behind_an_assignment_has_its_new_value():
    values = np.array([1.5, -3 - 2 ** -12], np.float32)
    variable = tf.get_variable('v', [2], initializer=tf.zeros_initializer())
    with tf.control_dependencies([tf.assign(variable, values)]):
        read = 2 * variable.read_value()
    with session() as sess:     # without a value before: it must not be read early
        np.testing.assert_array_equal(sess.run(read), 2 * half(values))


def test_what_is_fed_need_not_be_computed():
    step = tf.placeholder(tf.float32, [], name='step')
    noise = step * 2.
    result = tf.identity(noise * 3.)
    with session() as sess:
        for _ in range(3):      # saturated values are counted in the second run
            assert sess.run(result, {noise: 1.001}) == half(half(1.001) * 3)     # without `step`
    assert sess.num_counted == 1


@pytest.mark.parametrize('scale', ['dynamic', 64.])
def test_a_step_with_an_overflow_is_skipped(scale):
    x, loss, w = build()
    step = tf.train.get_or_create_global_step()
    optimizer = emulation.scale_loss(tf.train.GradientDescentOptimizer(1e-3), scale)
    update = optimizer.minimize(loss, step)
    with session('allow_mix_precision') as sess:
        sess.run(tf.global_variables_initializer())
        before = sess.run(w)
        for _ in range(2):     # 40000 * 1.2 fits, but not its gradient times the scale
            sess.run(update, {x: np.full([2, 3], 40000.)})
            np.testing.assert_array_equal(sess.run(w), before)
        assert sess.run(step) == 0
        expected = 2. ** 15 if scale == 'dynamic' else 64.
        assert emulation.loss_scales(sess) == [(expected, 2)]
        sess.run(update, {x: np.full([2, 3], 1e-3)})
        assert sess.run(step) == 1 and (sess.run(w) != before).any()


def test_a_dynamic_scale_grows_after_a_thousand_good_steps():
    x, loss, _ = build()
    update = emulation.scale_loss(tf.train.GradientDescentOptimizer(0.), 'dynamic').minimize(loss)
    optimizer = tf.get_collection('loss_scales')[0]
    with session('allow_mix_precision') as sess:
        sess.run(tf.global_variables_initializer())
        sess.run(optimizer.good_steps.assign(998))
        scales = []
        for _ in range(3):
            sess.run(update, {x: np.full([2, 3], 1e-3)})
            scales += emulation.loss_scales(sess)
    assert scales == [(65536., 0), (131072., 0), (131072., 0)]


def test_small_gradients_survive_by_the_scale():
    """The gradient 2 * 1e-5 * 1e-5 * 1.1 lies below the smallest half, times 2^16 far above."""
    x = tf.placeholder(tf.float32, [1, 1])
    w = tf.get_variable('w', initializer=tf.constant([[1.1]]))
    v = tf.get_variable('v', initializer=tf.constant([[1e-5]]))
    y = tf.matmul(tf.matmul(x, w), v)
    loss = tf.reduce_sum(y)
    bare = tf.gradients(loss, [w])[0]
    scaled = tf.gradients(loss * 65536., [w])[0]
    with session('allow_mix_precision') as sess:
        sess.run(tf.global_variables_initializer())
        lost, kept = sess.run([tf.identity(bare), tf.identity(scaled)], {x: [[1e-3]]})
    assert lost == 0. and kept == pytest.approx(65536e-8, rel=2e-3)


def test_a_fast_form_is_rounded_at_its_ends_only():
    """(x + 1) - 1 loses the small x in half, but not where both stand for one operator."""
    x = tf.placeholder(tf.float32, [])
    with regions.one_operator('Tanh'):
        joined = (x + 1.) - 1.
    apart = (x + 1.) - 1.
    with session() as sess:
        values = sess.run([tf.identity(joined), tf.identity(apart)], {x: 1e-4})
    assert values[0] == pytest.approx(1e-4, rel=2e-3) and values[1] == 0.


def test_a_fast_form_within_another_is_a_part_of_it():
    x = tf.placeholder(tf.float32, [])
    with regions.one_operator('Tanh'):
        with regions.one_operator('Sigmoid'):
            more = x + 1.
        joined = more - 1.
    with session() as sess:
        assert sess.run(tf.identity(joined), {x: 1e-4}) == pytest.approx(1e-4, rel=2e-3)


def test_saturated_values_are_counted_in_every_tenth_run():
    x = tf.placeholder(tf.float32, [4])
    with tf.name_scope('wide'):
        end = tf.square(x) + 1.
    with session() as sess:
        for _ in range(12):
            sess.run(end, {x: [1., 300., -300., 255.]})
        lines = sess.describe()
    assert lines == ['emulation: 4 values beyond +-65504 in 2 counted steps',
                     '  4 from Square in wide']


@pytest.mark.parametrize('number', [30, 1001])
def test_counts_of_saturated_values_leave_nan_out(number):
    """By hand: of each ten values three are at least 65520, the least that rounds beyond 65504."""
    values = np.resize(np.array([65519.996, np.nan, 65520, -65519, 1e30, -3, -np.inf, 0, 6e4,
                                 65504], np.float32), number)
    x = tf.placeholder(tf.float32, [number])
    end = tf.negative(x)
    with session(overflow='inf') as sess:
        for _ in range(2):
            sess.run(end, {x: values})
    assert sum(sess.saturated.values()) == number // 10 * 3


def test_loops_and_branches_are_emulated():
    x = tf.placeholder(tf.float32, [])
    _, total = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 1.001), [0, x])
    branch = tf.cond(x > 0., lambda: x * 1.001, lambda: x)
    with session() as sess:
        values = sess.run([tf.identity(total), tf.identity(branch)], {x: 1.})
    one = half(half(1.) * half(1.001))
    assert values[1] == one
    assert values[0] == half(half(one * half(1.001)) * half(1.001))


def test_what_is_added_after_the_first_run_is_emulated_too():
    x = tf.placeholder(tf.float32, [])
    first = x * 3.
    with session() as sess:
        sess.run(first, {x: 1.})
        second = tf.identity(first * 1.0001)
        assert sess.run(second, {x: 1.}) == half(3 * half(1.0001))


def test_two_sessions_of_one_graph_round_once():
    x = tf.placeholder(tf.float32, [3])
    result = tf.identity(x * 1.001 * 3.)
    with session() as first:
        expected = first.run(result, {x: [1e-6, 1., 7e4]})
    number = len(tf.get_default_graph().get_operations())
    with session() as second:
        np.testing.assert_array_equal(second.run(result, {x: [1e-6, 1., 7e4]}), expected)
    assert len(tf.get_default_graph().get_operations()) == number


@pytest.mark.parametrize('name, expected', [
    ('a/b/MatMul', 'a/b'), ('MatMul', 'MatMul'), ('gradients/a/b/MatMul_grad/MatMul', 'a/b'),
    ('bucket_0/gradients_1/a/Exp_grad/mul', 'a'), ('gradients/MatMul_1_grad/MatMul', 'MatMul_1')])
def test_scopes_of_both_passes_are_one(name, expected):
    assert emulation.scope_of(name) == expected


def test_only_what_grows_with_the_loss_is_a_gradient():
    x = tf.placeholder(tf.float32, [4, 3])
    with tf.variable_scope('dense'):
        w = tf.get_variable('w', [3, 2])
        loss = tf.reduce_mean(tf.square(tf.matmul(x, w)))
    gradient, = tf.gradients(loss, [w])
    emulator = emulation.Emulator(tf.get_default_graph(), emulation.Settings(
        Rules('allow_mix_precision')))
    emulator.extend()
    kinds = {one.source.op.type: one.is_gradient for one in emulator.roundings_for([gradient])
             if one.scope == 'dense'}
    # The kernel's gradient is a product of the inputs, which are none, and of that of the square.
    assert kinds['Mul'] and not kinds['Placeholder'] and not kinds['MatMul'] and not kinds['Const']


def test_a_frozen_graph_tells_what_half_precision_loses(tmp_path):
    x = tf.placeholder(tf.float32, [2], name='x')
    path = str(tmp_path / 'network.pb')
    with tf.Session() as sess:
        frozen.freeze(sess, {'x': x}, {'y': tf.square(x)}, path)
    np.save(str(tmp_path / 'x.npy'), np.array([300., 1.], np.float32))
    arguments = ['run', path, '--input=x={}/x.npy'.format(tmp_path), '--output', str(tmp_path),
                 '--emulate_precision']
    command.run_action(command.parse_args(arguments))
    value = np.load(str(tmp_path / 'y.npy'))
    np.testing.assert_array_equal(value, [65504, 1])
    command.run_action(command.parse_args(arguments + ['--emulate_overflow=inf']))
    assert np.load(str(tmp_path / 'y.npy'))[0] == np.inf


@pytest.mark.parametrize('options, message', [
    ({'emulate_precision': True}, 'emulated allow_mix_precision'), ({}, 'float32')])
def test_a_run_records_whether_its_precision_is_emulated(options, message):
    context = launch.settle(cli.Options(threads=1, loss_scale='8', **options), 'cpu')
    assert context.precision.effective == message
    assert isinstance(context.open_session(), emulation.Session) == bool(options)
    optimizer = tf.train.GradientDescentOptimizer(1.)
    assert (context.wrap_optimizer(optimizer) is optimizer) == (not options)
    assert npu.explain_ignored(context.npu_options, 'cpu') == (
        [] if options else ['--loss_scale has no effect on the cpu'])


def test_a_mode_without_rules_is_refused_before_any_work():
    options = cli.Options(threads=1, emulate_precision=True, precision_mode_v2='mixed_hif8')
    with pytest.raises(errors.UsageError, match='mixed_hif8'):
        launch.settle(options, 'cpu')


def test_kept_scopes_are_stamped_for_the_npu():
    with tf.name_scope('loss'):
        y = tf.square(tf.placeholder(tf.float32, [], name='x'), name='y')
    (gradient,) = tf.gradients(y, [y.op.inputs[0]])
    z = tf.identity(gradient, name='z')
    npu.keep_scopes(tf.get_default_graph(), ['loss'])
    assert y.op.get_attr('_keep_dtype') == 1
    names = {op.name for op in tf.get_default_graph().get_operations()
             if '_keep_dtype' in op.node_def.attr}
    assert {'loss/x', 'loss/y', 'gradients/loss/y_grad/Mul'} <= names and z.op.name not in names

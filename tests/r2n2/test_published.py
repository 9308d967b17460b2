"""What the paper and published measures fix, by hand or by another library, on uneven input."""
import numpy as np
import pytest
import scipy.special
import tensorflow.compat.v1 as tf
from sklearn import metrics as library

from r2n2 import evaluation, models
from r2n2.lib import config, data_augmentation, layers, solver, voxel, weights
from r2n2.models import lstm_net
from tests.r2n2 import test_models


def test_the_constants_of_the_original():
    settings = config.defaults()
    train, const = settings.TRAIN, settings.CONST
    assert (const.IMG_W, const.IMG_H, const.N_VOX, const.N_VIEWS, const.BATCH_SIZE) == (
        127, 127, 32, 5, 36)
    assert (train.NUM_ITERATION, train.DEFAULT_LEARNING_RATE, train.WEIGHT_DECAY, train.MOMENTUM
            ) == (60000, 1e-4, 5e-5, 0.9)
    assert train.LEARNING_RATES == {'20000': 1e-5, '60000': 1e-6} and train.POLICY == 'adam'
    assert (train.PAD_X, train.PAD_Y, train.LOSS_LIMIT, train.NUM_RENDERING) == (10, 10, 2, 24)
    assert train.NO_BG_COLOR_RANGE == 3 * [[225, 255]] and train.DATASET_PORTION == [0, 0.8]
    assert settings.TEST.NO_BG_COLOR_RANGE == 3 * [[240, 240]]
    assert settings.TEST.VOXEL_THRESH == [0.4] and settings.TEST.DATASET_PORTION == [0.8, 1]
    assert settings.NET.LEAKY_SLOPE == 0.01
    assert settings.NET.N_CONVFILTER == [96, 128, 256, 256, 256, 256]
    assert settings.NET.N_DECONVFILTER == [128, 128, 128, 64, 32, 2]
    assert settings.NET.N_FC_FILTERS == [1024] and layers.BIAS == 0.1


def test_cells_are_counted_by_kind_and_at_the_threshold_itself():
    occupancy = np.array([0.4, 0.39, 0.9, 0.41, 0.1, 0.7, 0.2])
    truth = np.array([1, 1, 1, 0, 0, 0, 1])
    # differ, intersection, union, invented, missed
    assert voxel.evaluate(occupancy, truth, 0.4) == [4, 2, 6, 2, 2]
    assert voxel.evaluate(occupancy, truth, 0.71) == [3, 1, 4, 0, 3]
    np.testing.assert_allclose(voxel.intersection_over_union([[4, 2, 6, 2, 2], [0, 0, 0, 0, 0],
                                                              [3, 1, 4, 0, 3]]), [1 / 3, 1, 1 / 4])


def test_average_precision_is_the_librarys():
    rng = np.random.RandomState(0)
    truth = rng.uniform(size=300) < 0.2
    scores = np.round(rng.uniform(size=300) + 0.3 * truth, 1)        # with ties
    assert voxel.average_precision(scores, truth) == pytest.approx(
        library.average_precision_score(truth, scores))
    assert np.isnan(voxel.average_precision(scores, truth & False))


def test_the_loss_is_the_cross_entropy_of_a_softmax(run):
    rng = np.random.RandomState(0)
    logits = rng.normal(size=[2, 1, 2, 3, 2]) * 4
    logits[0, 0, 0, 0] = [80, -90]      # no overflow
    voxels = rng.randint(0, 2, [2, 1, 2, 3])
    log_probabilities = scipy.special.log_softmax(logits, axis=-1)
    cells = -np.take_along_axis(log_probabilities, voxels[..., None], axis=-1)[..., 0]
    probability, loss = run(layers.loss(tf.constant(logits, tf.float32),
                                        tf.constant(voxels, tf.float32)))
    np.testing.assert_allclose(loss, cells.mean(), rtol=1e-5)
    np.testing.assert_allclose(probability, np.exp(log_probabilities[..., 1]), rtol=1e-4,
                               atol=1e-6)


@pytest.mark.parametrize('plain', [True, False])
def test_the_leaky_relu_has_a_slope_of_a_hundredth(run, plain):
    net = layers.Layers(plain)
    np.testing.assert_allclose(run(net.leaky(tf.constant([-5., 0., 2.]))), [-0.05, 0, 2],
                               rtol=1e-5)


def test_batch_normalisation_moves_a_tenth_of_the_way(run):
    x = np.random.RandomState(0).normal(size=[2, 3, 2, 2]) * [1, 0.01] + [5, 1]
    net = models.GRUNet(batch_norm=True, **test_models.WIDTHS)
    y = net._normalised('conv1', tf.constant(x, tf.float32), True)
    flat = x.reshape(-1, 2)
    # gamma is stored as a tenth, beta moved by 0.1: a scale of one and no shift at the start.
    np.testing.assert_allclose(run(y).reshape(-1, 2), (flat - flat.mean(axis=0)) / np.sqrt(
        flat.var(axis=0) + 1e-5), rtol=1e-3, atol=1e-3)
    run(net.layers.updates)
    mean, variance = (run(net.statistics['conv1/moving_' + name]) for name in ('mean', 'variance'))
    np.testing.assert_allclose(mean, 0.1 * flat.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * flat.var(axis=0, ddof=1), rtol=1e-4)
    test = net._normalised('conv1', tf.constant(x, tf.float32), False)
    np.testing.assert_allclose(run(test).reshape(-1, 2), (flat - mean) / np.sqrt(variance + 1e-5),
                               rtol=1e-3)


def test_pooling_and_unpooling_by_hand(run):
    x = tf.constant(np.float32([[-5, 2, 3], [4, -1, 6], [7, 8, -9]]).reshape(1, 3, 3, 1))
    # Theano pads by one: windows of row and column pairs (-1, 0), (1, 2).
    np.testing.assert_array_equal(run(layers.pool(x))[0, ..., 0], [[-5, 3], [7, 8]])
    up = run(layers.unpool(tf.constant(np.arange(1., 5).reshape(1, 1, 2, 2, 1))))[0, ..., 0]
    assert up.shape == (2, 4, 4) and up.sum() == 10
    np.testing.assert_array_equal(up[0, ::2, ::2], [[1, 2], [3, 4]])


def test_weight_decay_is_for_kernels_alone(run):
    net = models.GRUNet()
    kernel = net.layers.parameter('conv1/W', [2], (1, 1))
    bias = net.layers.parameter('conv1/b', [2])
    loss = 3. * tf.reduce_sum(kernel) + tf.reduce_sum(bias)
    gradients = solver.Solver(net)._gradients(loss)
    kernel_value, of_kernel, of_bias = run([kernel, gradients['conv1/W'], gradients['conv1/b']])
    np.testing.assert_allclose(of_kernel, 3 + 5e-5 * kernel_value, rtol=1e-7)
    np.testing.assert_allclose(of_kernel - 3, 5e-5 * kernel_value, rtol=0.01)
    np.testing.assert_array_equal(of_bias, [1, 1])
    assert weights.is_kernel('t_x_s_update/Wh') and weights.is_kernel('fc7/W')
    assert not weights.is_kernel('conv1/gamma')


@pytest.mark.parametrize('policy, moved', [('sgd', [0.1, 0.1 * 1.9]), ('adam', [0.1, 0.1])])
def test_the_optimisers_are_momentum_and_adam(run, policy, moved):
    net = models.GRUNet(**test_models.WIDTHS)
    optimiser = solver.Solver(net, policy, momentum=0.9)
    weight = tf.get_variable('w', [], initializer=tf.zeros_initializer())
    step = optimiser._optimizer.apply_gradients([(tf.constant(1.), weight)])
    before = run(weight)
    for length in moved:
        run(step, {optimiser.rate: 0.1})
        after = run(weight)
        np.testing.assert_allclose(before - after, length, rtol=1e-5)
        before = after


def test_the_epsilon_of_adam_is_a_hundred_millionth(run):
    optimiser = solver.Solver(models.GRUNet(**test_models.WIDTHS))
    weight = tf.get_variable('w', [], initializer=tf.zeros_initializer())
    step = optimiser._optimizer.apply_gradients([(tf.constant(1e-7), weight)])
    run(weight)
    run(step, {optimiser.rate: 0.1})
    root = np.sqrt(0.001) * 1e-7
    np.testing.assert_allclose(run(weight), -0.1 * np.sqrt(0.001) / 0.1 * 0.1e-7 / (root + 1e-8),
                               rtol=1e-5)


def test_the_gates_by_numpy(run):
    """A state of one cell: the convolution is its kernel's centre."""
    net = models.GRUNet(**dict(test_models.WIDTHS, n_gru_vox=1))
    channels = net.n_deconvfilter[0]
    rng = np.random.RandomState(0)
    features = rng.normal(size=[2, 1, 3])
    states, gates = net._recur(tf.constant(features, tf.float32), None)
    values = run(net.params)
    gate = {name: values[name + '/Wx'].reshape(3, channels) for name in (
        't_x_s_update', 't_x_s_reset', 't_x_rs')}

    def part(name, view, state):
        return (features[view] @ gate[name] + values[name + '/b']
                + state @ values[name + '/Wh'][1, 1, 1])

    state = np.zeros([1, channels])
    for view in range(2):
        update, reset = (scipy.special.expit(part(name, view, state))
                         for name in ('t_x_s_update', 't_x_s_reset'))
        new = np.tanh(part('t_x_rs', view, reset * state))
        state = update * state + (1 - update) * new
        np.testing.assert_allclose(run(states[view])[:, 0, 0, 0], state, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(run(gates['update_gate'][view])[:, 0, 0, 0], update, rtol=1e-4)


def test_the_lstms_gates_by_numpy(run):
    net = lstm_net.LSTM3Net(**dict(test_models.WIDTHS, n_gru_vox=1))
    channels = net.n_deconvfilter[0]
    features = np.random.RandomState(0).normal(size=[2, 1, 3])
    states, _ = net._recur(tf.constant(features, tf.float32), None)
    values = run(net.params)
    state = memory = np.zeros([1, channels])
    for view in range(2):
        take, keep, new = [
            features[view] @ values[name + '/Wx'].reshape(3, channels) + values[name + '/b']
            + state @ values[name + '/Wh'][1, 1, 1]
            for name in ('in_gate_b', 'forget_gate_b', 'in_transform_b')]
        memory = scipy.special.expit(keep) * memory + scipy.special.expit(take) * np.tanh(new)
        state = np.tanh(memory)
        np.testing.assert_allclose(run(states[view])[:, 0, 0, 0], state, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('filler, deviation', [
    ('msra', np.sqrt(2 / 30)), ('gaussian', 0.01), ('xavier', 1 / np.sqrt(30))])
def test_first_values_have_the_spread_of_their_filler(run, filler, deviation):
    values = run(layers.initializer(filler, (20, 40), 3)([20000]))
    assert values.std() == pytest.approx(deviation, rel=0.03)
    assert abs(values.mean()) < 0.05 * deviation


def test_first_values_of_a_volumes_kernel_count_all_its_cells(run):
    net = layers.Layers(plain=True, seed=2)
    net.conv('conv7', tf.zeros([1, 2, 2, 2, 20]), 40, 3)
    kernel = run(net.by_name['conv7/W'])
    assert kernel.std() == pytest.approx(np.sqrt(2 / (27 * (20 + 40) / 2)), rel=0.03)
    assert (run(net.by_name['conv7/b']) == 0.1).all()


@pytest.mark.parametrize('plain', [True, False])
def test_the_plain_leaky_relu_is_made_of_what_an_npu_has(plain):
    leaky = layers.Layers(plain).leaky(tf.zeros([2]))
    kinds = {operation.type for operation in leaky.graph.get_operations()}
    assert ('LeakyRelu' in kinds) != plain and ('Abs' in kinds) == plain


def test_pictures_are_scaled_to_one_and_the_test_crop_is_the_centre():
    np.testing.assert_allclose(data_augmentation.scaled(np.uint8([0, 51, 255])), [0, 0.2, 1])
    image = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9, 1).repeat(3, axis=2)
    crop = data_augmentation.for_test(image, 3 * [[240, 240]], (3, 5), np.random.RandomState(0))
    np.testing.assert_array_equal(crop, image[2:5, 2:7])


class _Grids:
    """A loader of three grids."""

    pairs = [0, 1, 2]
    grids = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]], bool)

    def voxels(self, index):
        """Grid of a model."""
        return self.grids[index]


def test_the_mean_shape_is_cut_where_it_overlaps_most():
    # Means 1, 2/3, 1/3, 1/3: cut at 0.2 or 0.3 all four cells (IoU 3/4, 2/4, 2/4), at 0.4 and 0.5
    # the first two (2/3, 1, 1/3).
    np.testing.assert_array_equal(evaluation.mean_shape(_Grids()), [1, 1, 0, 0])


def test_views_of_the_test_are_an_order_of_each_model():
    views = [evaluation.fixed_views(24, 0, index, 5) for index in range(3)]
    assert all(len(set(one)) == 5 and max(one) < 24 for one in views)
    assert tuple(views[0]) != tuple(views[1])
    np.testing.assert_array_equal(evaluation.fixed_views(24, 0, 1, 3), views[1][:3])


@pytest.mark.parametrize('size', [1, 3])
def test_a_convolution_of_an_unpooled_volume_is_the_plain_one(run, size):
    x = np.random.RandomState(0).normal(size=[1, 2, 2, 2, 3]).astype(np.float32)
    fast, plain = layers.Layers(False), layers.Layers(True)
    with tf.variable_scope('fast'):
        one = fast.unpooled_conv('conv7', tf.constant(x), 4, size)
    with tf.variable_scope('plain'):
        other = plain.unpooled_conv('conv7', tf.constant(x), 4, size)
    kernel = np.random.RandomState(1).normal(size=[size] * 3 + [3, 4])
    run(one)
    for store in (fast, plain):
        run(store.by_name['conv7/W'].assign(kernel))
    values = run(one), run(other)
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)
    # By hand: cell (2, 0, 3) sees the value at (1, 0, 1), which lies at (2, 0, 2), through the
    # kernel's cell before its centre in the last axis; and (1, 0, 2) at (2, 0, 4), which is none.
    weights = kernel[tuple(np.array([size // 2] * 2 + [0]))] if size == 3 else 0 * kernel[0, 0, 0]
    np.testing.assert_allclose(values[0][0, 2, 0, 3], x[0, 1, 0, 1] @ weights + 0.1, rtol=1e-4,
                               atol=1e-5)


def test_the_hue_is_shifted_in_training_where_it_is_asked_for():
    settings = config.defaults().TRAIN
    settings.update(HUE_RANGE=0.5, FLIP=False, RANDOM_CROP=False)
    image = np.zeros([6, 7, 3], np.uint8)
    image[..., 0] = 200
    turned = data_augmentation.for_training(image, settings, np.random.RandomState(1))
    assert turned.shape == (6, 7, 3) and turned.max() > 190
    assert (turned == turned[0, 0]).all() and tuple(turned[0, 0]) != (200, 0, 0)

"""What papers and published measures fix, by hand or by another library, on uneven input."""
import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from sklearn import neighbors

from imnet import decoder, evaluation, extraction, measures, options
from imnet.IMGAN import model, modelz, ops


def test_the_constants_of_the_original():
    assert (ops.LEAK, ops.NORM_EPSILON) == (0.02, 1e-6)
    assert (modelz.NOISE_STDDEV, modelz.BATCH_SIZE, modelz.PENALTY) == (0.2, 50, 10.)
    assert (measures.POINTS, measures.THRESHOLD, extraction.THRESHOLD) == (4096, 0.01, 0.5)
    original = options.PRESETS['original']
    assert original['epochs'] == [100, 200, 400] and original['svr_epochs'] == 2000
    assert (original['z_dim'], original['ef_dim'], original['svr_ef_dim'], original['gf_dim'],
            original['gan_dim']) == (256, 32, 64, 128, 2048)
    assert original['learning_rate'] == original['svr_learning_rate'] == 5e-5
    assert options.POINTS == {16: 4096, 32: 4096, 64: 16384}


POINTS = np.array([[0, 0, 0], [0.3, 0, 0]])
OTHERS = np.array([[0.005, 0, 0], [0.3, 0.4, 0], [0, 0, 2.]])
NORMALS = np.array([[1, 0, 0], [0, 1, 0.]])
OTHER_NORMALS = np.array([[0.6, 0.8, 0], [0, -1, 0], [0, 0, 1.]])


def test_chamfer_f_score_and_normals_by_hand_both_ways():
    figures = measures.compare((POINTS, NORMALS), (OTHERS, OTHER_NORMALS))
    # There: 0.005 and 0.295, both to the first; back: 0.005, 0.4 (to the second) and 2.
    there = (0.005 ** 2 + 0.295 ** 2) / 2
    back = (0.005 ** 2 + 0.4 ** 2 + 2 ** 2) / 3
    assert figures['chamfer'] == pytest.approx(1000 * (there + back))
    assert figures['f_score'] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert figures['normals'] == pytest.approx(((0.6 + 0.8) / 2 + (0.6 + 1 + 0) / 3) / 2)
    turned = measures.compare((OTHERS, OTHER_NORMALS), (POINTS, NORMALS))
    assert turned == pytest.approx(figures)


def test_a_point_counts_for_the_f_score_below_a_hundredth_of_the_box():
    normal = np.array([[0, 0, 1.]])
    for distance, score in ((0.0099, 1), (0.0101, 0)):
        figures = measures.compare((np.zeros([1, 3]), normal), ([[distance, 0, 0]], normal))
        assert figures['f_score'] == pytest.approx(score)


def test_distances_of_many_points_are_the_librarys():
    rng = np.random.RandomState(0)
    ours, theirs = rng.normal(size=[50, 3]) * [1, 2, 0.5], rng.normal(size=[80, 3])
    normals = [np.tile([0, 0, 1.], [count, 1]) for count in (50, 80)]
    tree = neighbors.NearestNeighbors(n_neighbors=1)
    expected = 1000 * sum((tree.fit(one).kneighbors(other)[0] ** 2).mean()
                          for one, other in ((ours, theirs), (theirs, ours)))
    figures = measures.compare((ours, normals[0]), (theirs, normals[1]))
    assert figures['chamfer'] == pytest.approx(expected)


def test_iou_of_grids_by_hand():
    ours, truth = np.zeros([4, 4, 4], bool), np.zeros([4, 4, 4], bool)
    ours[:3, 0, 0] = truth[1:4, 0, 0] = truth[:, 2, 1] = True
    assert measures.iou(ours, truth) == pytest.approx(2 / 8)
    assert measures.iou(truth, ours) == pytest.approx(2 / 8)
    assert measures.iou(truth & False, truth & False) == 1
    packed = [np.packbits(grid) for grid in (ours, truth, truth & False)]
    np.testing.assert_allclose(evaluation._overlaps(packed, truth), [2 / 8, 1, 0])


@pytest.mark.parametrize('leaky, expected', [
    (False, [0, 0, 0.25, 1, 1]), (True, [-0.02, -0.005, 0.25, 1, 1.02])])
def test_the_clip_is_at_nought_and_one_and_lets_a_hundredth_through_where_asked(run, leaky,
                                                                                expected):
    values, raw = decoder.simple_net(tf.zeros([1, 5, 3]), tf.zeros([1, 2]), 1, leaky_clip=leaky)
    actual = run(values, {raw: np.reshape([-2., -0.5, 0.25, 1., 3.], [1, 5, 1])})
    np.testing.assert_allclose(actual[0, :, 0], expected, rtol=1e-6)


def test_the_leaky_relu_has_a_slope_of_two_hundredths(run):
    np.testing.assert_allclose(run(ops.lrelu(tf.constant([-3., 0., 2.]))), [-0.06, 0, 2])


def test_instance_norm_is_over_the_cells_of_each_shape_and_channel(run):
    x = np.random.RandomState(0).normal(size=[2, 2, 3, 2, 2]) * [1, 3] + [5, 0]
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    expected = (x - mean) / np.sqrt(x.var(axis=(1, 2, 3), keepdims=True) + 1e-6)
    np.testing.assert_allclose(run(ops.instance_norm(tf.constant(x, tf.float32), 'n')), expected,
                               rtol=1e-4, atol=1e-5)
    tiny = 1e-3 * x      # where the epsilon matters
    expected = (tiny - tiny.mean(axis=(1, 2, 3), keepdims=True)) / np.sqrt(
        tiny.var(axis=(1, 2, 3), keepdims=True) + 1e-6)
    np.testing.assert_allclose(run(ops.instance_norm(tf.constant(tiny, tf.float32), 'n')),
                               expected, rtol=1e-3, atol=1e-5)


def test_the_loss_is_the_mean_squared_error(run):
    loss = ops.squared_error(tf.constant([[1., 0.], [0., 1.]]), tf.constant([[0.5, 0.], [2., 1.]]))
    assert run(loss) == pytest.approx((0.25 + 4) / 4)


def test_two_steps_are_those_of_adam_with_a_first_decay_of_a_half(run):
    weight = tf.get_variable('w', [], initializer=tf.constant_initializer(1.))
    loss = 3. * weight ** 2
    step = ops.minimize(ops.adam(0.1, 0.5), loss)
    value, first, second = 1., 0., 0.
    run(weight)
    for number in (1, 2):
        g = 6 * value
        first, second = 0.5 * first + 0.5 * g, 0.999 * second + 0.001 * g * g
        rate = 0.1 * math.sqrt(1 - 0.999 ** number) / (1 - 0.5 ** number)
        seen, _ = run([loss, step])
        assert seen == pytest.approx(3 * value ** 2, rel=1e-5)      # before the update
        value -= rate * first / (math.sqrt(second) + 1e-8)
        assert run(weight) == pytest.approx(value, rel=1e-5)


def test_the_gans_losses_by_numpy(run):
    gan = modelz.ZGAN(z_vector_dim=3, z_dim=2, df_dim=4, gf_dim=4, batch_size=2)
    rng = np.random.RandomState(1)
    weights = {}
    run(gan.fake, {gan.noise: np.zeros([2, 2])})
    for variable in gan.variables:
        weights[variable.op.name] = rng.normal(size=variable.shape.as_list())
        run(variable.assign(weights[variable.op.name]))

    def leaky(x):
        return np.where(x > 0, x, 0.02 * x)

    def layer(x, name):
        return x @ weights[name + '/Matrix'] + weights[name + '/bias']

    def score(codes):
        first = layer(codes, 'discriminator/d_1_lin')
        second = layer(leaky(first), 'discriminator/d_2_lin')
        return layer(leaky(second), 'discriminator/d_3_lin')

    noise, real, epsilon = rng.normal(size=[2, 2]), rng.uniform(size=[2, 3]), 0.3
    hidden = leaky(layer(leaky(layer(noise, 'generator/g_1_lin')), 'generator/g_2_lin'))
    fake = 1 / (1 + np.exp(-layer(hidden, 'generator/g_3_lin')))
    between, step = epsilon * real + (1 - epsilon) * fake, 1e-6
    slopes = np.stack([(score(between + step * axis) - score(between - step * axis))[:, 0]
                       / (2 * step) for axis in np.eye(3)], axis=1)
    penalty = 10 * ((np.linalg.norm(slopes, axis=1) - 1) ** 2).mean()
    feed = {gan.noise: noise, gan.real: real, gan.epsilon: epsilon}
    d_loss, g_loss, actual = run([gan.d_loss, gan.g_loss, gan.penalty], feed)
    np.testing.assert_allclose(actual, penalty, rtol=1e-4)
    np.testing.assert_allclose(g_loss, score(fake).mean(), rtol=1e-4)
    np.testing.assert_allclose(d_loss, score(real).mean() - score(fake).mean() + penalty,
                               rtol=1e-4)


def test_the_autoencoder_has_the_widths_of_the_original():
    net = model.IMAE(num_points=1)
    shapes = {variable.op.name: variable.shape.as_list() for variable in net.variables}
    assert [shapes['encoder/conv_{}/Matrix'.format(number)] for number in range(1, 6)] == [
        [4, 4, 4, 1, 32], [4, 4, 4, 32, 64], [4, 4, 4, 64, 128], [4, 4, 4, 128, 256],
        [4, 4, 4, 256, 256]]
    assert [shapes['simple_net/h{}_lin/Matrix'.format(number)] for number in range(1, 8)] == [
        [259, 1024], [1024, 1024], [1024, 1024], [1024, 512], [512, 256], [256, 128], [128, 1]]

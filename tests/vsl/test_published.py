"""What the paper and published measures fix, by hand or by another library, on uneven input."""
import math
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from scipy import integrate, spatial, stats
from sklearn import neighbors, svm

from tests.vsl import test_vsl
from vsl import VarShapeLearner, data_utils, datasets, measures, options, vsl, vsl_rec


def test_the_constants_of_the_original():
    assert (vsl.KL_WEIGHT, vsl.LEARNING_RATE, vsl.OBJ_RES) == (0.001, 5e-5, 30)
    assert measures.ACTIVE_VARIANCE == 0.01
    # Of the released scripts: epochs 0, 10, ... 100 of training with images.
    np.testing.assert_allclose(
        [vsl_rec.gamma_at(epoch) for epoch in (0, 9, 10, 49, 50, 51, 60, 79, 89, 90, 100, 500)],
        [1e-8, 1e-8, 1e-7, 1e-4, 1e-3, 1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 5e-3, 5e-3])


@pytest.mark.parametrize('preset, row', [
    # G, L, n, batch, epochs, rate: README of the Ascend port, and of the original.
    ('modelnet10', (10, 5, 5, 100, 500, 5e-5)), ('modelnet40', (10, 5, 5, 100, 500, 5e-5)),
    ('modelnet40-paper', (20, 10, 5, 200, 2620, 5e-5)), ('separately', (5, 2, 3, 5, 10, 5e-5)),
    ('jointly', (10, 5, 5, 40, 10, 5e-5))])
def test_the_sizes_of_the_original(preset, row):
    assert tuple(options.ALL_PRESETS[preset][name] for name in (
        'global_latent_dim', 'local_latent_dim', 'local_latent_num', 'batch_size', 'total_epoch',
        'learning_rate')) == row


def test_reconstruction_loss_is_the_cross_entropy_of_each_cell(run):
    x = np.float32([[[1, 0.25, 0], [1, 1, 0]]]).reshape([1, 2, 3, 1, 1])
    x_rec = np.float32([[[0.8, 0.3, 0.1], [0, 0.5, 1]]]).reshape([1, 2, 3, 1, 1])
    eps = 1e-5
    by_hand = -(math.log(eps + .8) + .25 * math.log(eps + .3) + .75 * math.log(eps + .7)
                + math.log(eps + .9) + math.log(eps) + math.log(eps + .5) + math.log(eps)) / 6
    loss = run(vsl.reconstruction_loss(tf.constant(x), tf.constant(x_rec)))
    assert loss.shape == (1, 1, 1)
    np.testing.assert_allclose(loss, [[[by_hand]]], rtol=1e-4)


def test_kl_divergence_is_the_integral_that_defines_it(run):
    mean, logstd = [0.5, -1.0], [0.2, -0.7]

    def of_one(m, s):
        ours = stats.norm(m, math.exp(s))
        return integrate.quad(lambda x: ours.pdf(x) * (ours.logpdf(x) - stats.norm.logpdf(x)),
                              -12, 12)[0]

    expected = sum(of_one(*pair) for pair in zip(mean, logstd))
    actual = run(vsl.kl_divergence(tf.constant([mean, [0., 0.]]), tf.constant([logstd, [0., 0.]])))
    np.testing.assert_allclose(actual, [expected, 0], rtol=1e-5, atol=1e-7)


def test_the_loss_is_its_mean_and_a_thousandth_of_the_mean_divergence_of_the_codes():
    model = VarShapeLearner(**test_vsl.SMALL)
    feed = dict(model.without_noise())
    feed[model.x] = test_vsl.voxels()
    for name in ('z_logstd_1', 'zi_logstd_1'):      # so that both terms are of one size
        model.params[name].load(np.full(model.params[name].shape.as_list(), 2.), model.sess)
    loss, rec, *codes = model.sess.run([model.loss, model.rec_loss] + model.kl_loss, feed)
    assert len(codes) == 3 and all(code.shape == (2,) for code in codes)
    np.testing.assert_allclose(loss, rec.mean() + 0.001 * np.mean(codes), rtol=1e-6)
    assert 0.001 * np.mean(codes) > 0.01


def test_the_latent_loss_is_half_the_squared_distance_summed():
    model = vsl_rec.VarShapeLearner(**test_vsl.SMALL)
    ours = np.arange(14.).reshape(2, 7) / 10
    feed = {model.x: test_vsl.voxels(), model.y: np.zeros([2, 100, 100, 3]), model.gamma: 3.,
            model.latent_feature: ours, model.learned_feature: np.zeros([2, 7])}
    feed.update(model.without_noise())
    lat, loss, rec, kl = model.sess.run(
        [model.lat_loss, model.loss, tf.reduce_mean(model.rec_loss), model.kl_loss_all], feed)
    np.testing.assert_allclose(lat, 0.5 * (ours ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(loss, rec + 0.001 * kl.mean() + 3 * lat, rtol=1e-5)


def test_two_steps_are_those_of_adam_with_its_usual_constants():
    model = VarShapeLearner(**test_vsl.SMALL, learning_rate=0.01, deterministic=True)
    bias = model.params['dec_conv3_1']
    gradient = dict((variable, value) for value, variable in model.gradients)[bias]
    value, first, second = model.sess.run(bias).astype(float), 0., 0.
    for step in (1, 2):
        g = np.clip(model.sess.run(gradient, {model.x: test_vsl.voxels()}), -1, 1)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g ** 2
        rate = 0.01 * math.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
        value -= rate * first / (np.sqrt(second) + 1e-8)
        model.model_fit(test_vsl.voxels())
        np.testing.assert_allclose(model.sess.run(bias), value, rtol=1e-4)


def test_a_unit_is_active_above_a_variance_of_a_hundredth():
    codes = np.array([[1.], [-1.]]) * np.sqrt([0.0099, 0.0101, 0.02])
    assert measures.active_units(codes, [1, 2]) == [0, 2]


def test_the_papers_classifier_is_a_radial_one_with_a_width_of_the_dimension():
    rng = np.random.RandomState(3)
    codes, labels = rng.normal(size=[40, 5]), rng.randint(0, 3, 40)
    others, truth = rng.normal(size=[30, 5]), rng.randint(0, 3, 30)
    kernel = np.exp(-spatial.distance.cdist(codes, codes, 'sqeuclidean') / 5)
    theirs = svm.SVC(kernel='precomputed', C=1.).fit(kernel, labels).predict(
        np.exp(-spatial.distance.cdist(others, codes, 'sqeuclidean') / 5))
    fitted = measures.fit_svm(codes, labels)
    np.testing.assert_array_equal(fitted.predict(others), theirs)
    assert measures.accuracy(fitted, others, truth) == pytest.approx((theirs == truth).mean())


def test_nearest_neighbours_are_the_librarys():
    rng = np.random.RandomState(0)
    queries, codes = rng.normal(size=[7, 3]), rng.normal(size=[20, 3]) * [1, 5, 0.2]
    theirs = neighbors.NearestNeighbors(n_neighbors=4).fit(codes).kneighbors(
        queries, return_distance=False)
    np.testing.assert_array_equal(measures.nearest(queries, codes, 4), theirs)


def test_generation_measures_by_hand():
    # Distances 1 - IoU:      real 0 (1100)   real 1 (0111)   real 2 (0001)
    #   generated 0 (1110)        1/3             1/2               1
    #   generated 1 (1100)         0             3/4                1
    generated, real = np.array([[1, 1, 1, 0], [1, 1, 0, 0]]), np.array(
        [[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]])
    figures = measures.generation(generated, real)
    assert figures['coverage'] == pytest.approx(1 / 3)      # real 0 alone is a nearest one
    assert figures['minimum_matching_distance'] == pytest.approx((0 + 1 / 2 + 1) / 3)
    # Nearest of g0: g1 or r0 (1/3 each, the first counts); g1: r0; r0: g1; r1: g0; r2: r1 (2/3).
    assert figures['nearest_neighbor_accuracy'] == pytest.approx(2 / 5)


def test_one_cell_is_as_good_as_many_for_generation():
    figures = measures.generation(np.array([[1, 0, 0]]), np.array([[1, 0, 0], [0, 0, 1]]))
    assert figures['minimum_matching_distance'] == pytest.approx((0 + 1) / 2)
    assert measures.iou(np.array([[0, 1, 0]]), np.array([[0, 1, 0]])) == [1]


def test_names_of_a_set_count_the_classes_of_both_splits(monkeypatch):
    splits = {'train': [1, 3, 2], 'test': [4, 1]}
    monkeypatch.setattr(data_utils, 'read_split', lambda path, split, images: types.SimpleNamespace(
        labels=np.array(splits[split])))
    monkeypatch.setattr(data_utils, 'class_names', lambda *arguments: arguments)
    assert datasets.ShapeSet('a.mat', 'names.txt').names == ('a.mat', 4, 'names.txt')


def test_dropout_keeps_where_the_draw_says_so_and_scales():
    model = vsl_rec.VarShapeLearner(**test_vsl.SMALL, training=False)
    hidden = tf.ones([2, 200])
    with tf.name_scope('check'):
        dropped = model._dropout(hidden)
    uniform = np.tile(np.linspace(0, 0.999, 200), [2, 1])
    values = model.sess.run(dropped, {model.dropout_uniform: uniform, model.keep_prob: 0.2})
    mask = uniform.astype(np.float32) >= np.float32(0.8)
    np.testing.assert_allclose(values, np.where(mask, 5., 0.), rtol=1e-6)

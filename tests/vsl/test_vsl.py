"""Tests of vsl/vsl.py and vsl/vsl_rec.py beyond the golden cases."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common.training import launch
from vsl import VarShapeLearner, networks, options, vsl, vsl_main, vsl_rec

SMALL = {'batch_size': 2, 'global_latent_dim': 3, 'local_latent_dim': 2, 'local_latent_num': 2}


def voxels(seed=0, count=2):
    return (np.random.RandomState(seed).rand(count, 30, 30, 30, 1) < 0.2).astype(np.float32)


@pytest.mark.parametrize('sizes, plain, with_images', [
    ((10, 5, 5), 2584975, 2984130), ((20, 10, 5), 2610505, None), ((5, 2, 3), None, 2755290)])
def test_parameters_are_as_many_as_in_the_original(sizes, plain, with_images):
    for kind, expected in ((vsl, plain), (vsl_rec, with_images)):
        tf.reset_default_graph()
        if expected is not None:
            kind.VarShapeLearner(**dict(zip(list(SMALL)[1:], sizes)), batch_size=1, training=False)
            assert expected == sum(np.prod(variable.shape.as_list())
                                   for variable in tf.trainable_variables())


def test_the_class_is_there_under_the_package_name():
    assert VarShapeLearner is vsl.VarShapeLearner


def test_another_resolution_is_refused():
    with pytest.raises(ValueError, match='obj_res must be 30'):
        vsl.VarShapeLearner(obj_res=32)


def test_encoding_once_gives_loss_and_gradients_of_encoding_for_each_code():
    results = []
    for repeat in (False, True):
        tf.reset_default_graph()
        tf.set_random_seed(1)
        model = vsl.VarShapeLearner(**SMALL, repeat_encoder=repeat)
        feed = model.without_noise()
        feed[model.x] = voxels()
        random = np.random.RandomState(3)
        for tensor in model.noise:
            feed[tensor] = random.normal(size=tensor.shape.as_list())
        for number, name in enumerate(sorted(model.params)):
            shape = model.params[name].shape.as_list()
            model.params[name].load(
                np.random.RandomState(number).normal(0, 0.05, shape), model.sess)
        gradients = {variable.op.name: gradient for gradient, variable in model.gradients
                     if gradient is not None}
        results.append(model.sess.run(dict(gradients, loss=model.loss), feed))
    assert set(results[0]) == set(results[1])
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], rtol=1e-4, err_msg=name,
                                   atol=1e-5 * np.abs(value).max())


@pytest.mark.parametrize('merge', [False, True])
def test_the_first_local_code_sees_the_shape_only_when_mended(merge):
    model = vsl.VarShapeLearner(**SMALL, merge_first_code=merge, training=False)
    feed = model.without_noise()
    feed[model.z_all[0]] = np.ones([2, 3])      # the same global code for both shapes
    feed[model.x] = np.stack([np.zeros([30, 30, 30, 1]), np.ones([30, 30, 30, 1])])
    first, second = model.sess.run(model.z_mean[1], feed)
    assert (first != second).any() == merge


def test_adam_makes_the_first_step_as_long_as_the_learning_rate():
    model = vsl.VarShapeLearner(**SMALL, learning_rate=1e-3)
    before = model.sess.run(model.params['dec_conv3_1'])
    model.model_fit(voxels())
    moved = model.sess.run(model.params['dec_conv3_1']) - before
    np.testing.assert_allclose(np.abs(moved), 1e-3, rtol=1e-3)


def test_adam_gets_each_element_of_a_gradient_clipped_to_one():
    model = vsl.VarShapeLearner(**SMALL, kl_weight=1e6)
    bias = model.params['z_mean_1']
    gradient = dict((variable, gradient) for gradient, variable in model.gradients)[bias]
    slot = [variable for variable in tf.global_variables()
            if variable.op.name == 'z_mean_1/Adam'][0]
    feed = dict(model.without_noise())
    feed[model.x] = voxels()
    before = model.sess.run(gradient, feed)
    model.sess.run(model.optimizer, feed)
    assert (np.abs(before) > 1).any()
    np.testing.assert_allclose(model.sess.run(slot), 0.1 * np.clip(before, -1, 1), rtol=1e-4)


def test_the_cosine_schedule_ends_with_the_learning_rate_at_zero():
    settled = options.complete(vsl_main.parse_args(
        ['--schedule=cosine', '--training_steps=8', '--batch_size=2', '--preset=modelnet10',
         '--learning_rate=1e-3']), 'cpu')
    step = tf.placeholder(tf.int32, [])
    model, feeds = networks.for_training(settled, launch.Context(), step)
    for number, expected in ((0, 1e-3), (4, 5e-4), (8, 0)):
        model.sess.run(tf.global_variables_initializer())   # a first update is as long as the rate
        before = model.sess.run(model.params['dec_conv3_1'])
        model.sess.run(model.optimizer, {feeds['x']: voxels(), step: number})
        moved = np.abs(model.sess.run(model.params['dec_conv3_1']) - before)
        np.testing.assert_allclose(moved, expected, rtol=2e-3, atol=1e-9)


def test_a_shape_is_learned_by_heart():
    tf.set_random_seed(0)
    model = vsl.VarShapeLearner(**SMALL, learning_rate=1e-3, deterministic=True)
    shape = np.zeros([2, 30, 30, 30, 1], np.float32)
    shape[:, 8:22, 10:20, 5:12] = 1
    losses = [model.model_fit(shape) for _ in range(60)]
    assert losses[-1] < 0.1 * losses[0]


def test_noise_depends_on_seed_and_step_alone():
    draws = []
    for seed, step in ((0, 1), (0, 1), (0, 2), (1, 1)):
        tf.reset_default_graph()
        model = vsl.VarShapeLearner(**SMALL, step=tf.constant(step), seed=seed, training=False)
        draws.append(np.concatenate(model.sess.run(model.noise), axis=1))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all() and (draws[0] != draws[3]).all()


def test_decoding_samples_becomes_decoding_means_without_noise():
    model = vsl.VarShapeLearner(**SMALL, decode_samples=True, training=False)
    feed = model.without_noise()
    feed[model.x] = voxels()
    means, decoded = model.sess.run((model.latent_feature, model.decoder_input), feed)
    np.testing.assert_array_equal(means, decoded)
    assert (model.sess.run(model.decoder_input, {model.x: voxels()}) != means).any()


def test_free_nats_cost_nothing_below_and_the_divergence_above():
    losses = []
    for free in (0., 1e3):
        tf.reset_default_graph()
        tf.set_random_seed(0)
        model = vsl.VarShapeLearner(**SMALL, free_nats=free, kl_weight=1.)
        feed = model.without_noise()
        feed[model.x] = voxels()
        losses.append(model.sess.run(
            model.loss - tf.reduce_mean(model.rec_loss), feed))
        if not free:
            kl = model.sess.run(tf.reduce_mean(model.kl_loss_all), feed)
    np.testing.assert_allclose(losses, [kl, 1e3], rtol=1e-4)


def test_the_last_bias_of_the_image_branch_is_added_once_when_mended():
    codes = []
    for mended in (False, True):
        tf.reset_default_graph()
        tf.set_random_seed(0)
        model = vsl_rec.VarShapeLearner(**SMALL, training=False, bias_after_product=mended)
        model.params['image_fc2'].load(np.zeros([200, 7]), model.sess)
        model.params['image_fc2_1'].load(np.ones([7]), model.sess)
        codes.append(model.sess.run(model.learned_feature,
                                    {model.y: np.ones([2, 100, 100, 3])}))
    np.testing.assert_array_equal(codes[1], np.ones([2, 7]))
    assert (codes[0] != 1).all()    # the sum of the hidden units


@pytest.mark.parametrize('detached', [False, True])
def test_the_latent_loss_reaches_the_shape_encoder_unless_detached(detached):
    model = vsl_rec.VarShapeLearner(**SMALL, detach_codes=detached)
    ends = [model.params[name] for name in ('enc_fc1', 'image_fc1')]
    reached = tf.gradients(model.lat_loss, ends)
    assert [gradient is not None for gradient in reached] == [not detached, True]


def test_variables_of_two_networks_live_in_two_scopes():
    for scope in ('one', 'two'):
        with tf.variable_scope(scope):
            model = vsl.VarShapeLearner(**SMALL, training=False)
    assert model.params['enc_conv1'].op.name == 'two/enc_conv1'


def test_the_networks_to_be_linted_are_those_of_both_data_sets(monkeypatch):
    asked = []

    def built(settled, context):
        assert isinstance(context, launch.Context)
        asked.append((settled.batch_size, settled.global_latent_dim))
        parts = {name: object() for name in ('loss', 'optimizer', 'gamma', 'keep_prob')}
        return type('Model', (), parts), {'fed': 'placeholder'}

    monkeypatch.setattr(networks, 'for_training', built)
    monkeypatch.setattr(networks, 'for_image_training', built)
    first, second = networks.rows()[:2]
    assert (first.name, second.name) == ('shapes', 'images')
    assert len(first.build()[0]) == 1 and len(second.build()[0]) == 3
    # Sizes of the paper: ModelNet10, and PASCAL3D jointly over all classes.
    assert asked == [(5, 10), (5, 10)]

"""The networks of 3D-R2N2 beyond the golden cases: masks, variants, weights."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from common.frozen import lint
from r2n2 import models
from r2n2.lib import solver, weights
from tests.r2n2 import golden_adapters

WIDTHS = {'n_convfilter': [4, 4, 4, 4, 6, 6], 'n_fc_filters': [8],
          'n_deconvfilter': [4, 4, 4, 4, 4, 2]}


@pytest.fixture
def graph():
    with tf.Graph().as_default():
        tf.set_random_seed(0)
        yield


def images(views, batch=2, seed=0):
    return np.random.RandomState(seed).uniform(size=[views, batch, 127, 127, 3]).astype(np.float32)


@pytest.mark.parametrize('kind', models.MODELS, ids=lambda kind: kind.paper_name)
def test_masked_views_leave_the_state_as_it_is(graph, kind):
    net = kind(**WIDTHS)
    views = images(3)
    short = net.build(tf.constant(views[:2]))
    number = len(net.params)
    masked = net.build(tf.constant(views), view_mask=tf.constant([1., 1., 0.]))
    assert len(net.params) == number == (63 if kind.residual else 33)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        one, other = sess.run([short.logits, masked.logits])
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        assert np.abs(one).max() > 0.01


@pytest.mark.parametrize('kind', [models.GRUNet, models.ResidualGRUNet])
@pytest.mark.parametrize('plain', [False, True])
def test_batch_normalisation_sees_all_views_but_no_masked_ones(graph, kind, plain):
    views = images(3)
    actual = []
    for number, masked in enumerate([False, plain, True]):
        with tf.Graph().as_default(), tf.Session() as sess:
            net = kind(batch_norm=True, plain=number > 0 and plain, **WIDTHS)
            blank = np.concatenate([views[:2], np.zeros_like(views[:1])])
            outputs = net.build(tf.constant(blank if masked else views[:2]), is_training=True,
                                view_mask=tf.constant([1., 1., 0.]) if masked else None)
            updates = net.layers.updates
            assert len(updates) == len(net.statistics)  # one of each mean and variance a step
            sess.run(tf.global_variables_initializer())
            logits = sess.run([outputs.logits, updates])[0]
            actual.append((logits, sess.run(list(net.statistics.values()))))
    for logits, statistics in actual[1:]:
        np.testing.assert_allclose(logits, actual[0][0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(np.concatenate(statistics), np.concatenate(actual[0][1]),
                                   rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('size, axis_count, usual, spacing', [
    (128, 16, (1, 2, 4, 8), 8), (128, 32, (1, 2, 4, 8), 4), (12, 6, (1, 2, 4, 8), 2),
    (3, 1, (1, 2, 4, 8), 4), (32, 7, (5, 10), 5), (32, 4, (5, 10), 10), (32, 2, (5, 10), 31)])
def test_golden_arrays_are_thinned_by_the_usual_spacing_first(size, axis_count, usual, spacing):
    thinned = golden_adapters._thinned(np.arange(size), 0, axis_count, usual)
    np.testing.assert_array_equal(thinned, np.arange(0, size, spacing))


def test_names_of_the_paper_and_of_the_code_find_a_network():
    assert models.load_model('res3d-gru-3') is models.load_model('ResidualGRUNet')
    assert {kind.paper_name for kind in models.MODELS} == {
        '3D-LSTM-1', '3D-GRU-1', '3D-LSTM-3', '3D-GRU-3', 'Res3D-GRU-3'}
    assert models.load_model('VGG') is None


def test_full_networks_have_the_published_numbers_of_parameters(graph):
    for kind, expected in [(models.GRUNet, 32207266), (models.ResidualGRUNet, 35968706),
                           (models.LSTM1Net, 30929314)]:
        with tf.Graph().as_default():
            net = kind()
            net.build(tf.placeholder(tf.float32, [1, 1, 127, 127, 3]))
            assert sum(np.prod(v.shape.as_list()) for v in net.params.values()) == expected


@pytest.mark.slow
def test_batch_normalisation_learns_statistics_and_uses_them_at_test_time(graph):
    net = models.ResidualGRUNet(batch_norm=True, **WIDTHS)
    trainer = solver.Solver(net)
    step = trainer.step(2, 2, 127)
    views = images(2, seed=1)
    test = net.build(step.images).logits
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        feed = {step.images: views, step.voxels: np.zeros([2, 32, 32, 32]), trainer.rate: 0.}
        before = sess.run(test, feed)
        for _ in range(5):
            sess.run(step.update, feed)
        assert np.abs(sess.run(test, feed) - before).max() > 1e-3
        assert np.abs(sess.run(net.statistics['conv1a/moving_mean'])).max() > 1e-3


def test_orthogonal_recurrent_kernels_are_orthogonal(graph):
    net = models.GRUNet(recurrent_filler='orth', **WIDTHS)
    net.build(tf.constant(images(1)))
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        kernel = sess.run(net.params['t_x_rs/Wh']).reshape(-1, 4)
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(4), atol=1e-5)


def test_weights_go_to_the_original_and_back(graph, tmp_path):
    net = models.ResidualGRUNet(**WIDTHS)
    net.build(tf.constant(images(1)))
    path = str(tmp_path / 'weights.npy')
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        weights.save(sess, net, path)
        before = sess.run(list(net.params.values()))
        sess.run([tf.assign(v, tf.zeros_like(v)) for v in net.params.values()])
        weights.load(sess, net, path)
        for one, other in zip(before, sess.run(list(net.params.values()))):
            np.testing.assert_array_equal(one, other)


def test_weights_of_another_network_are_refused(graph, tmp_path):
    path = str(tmp_path / 'weights.npy')
    with tf.Session() as sess:
        small = models.GRUNet(**WIDTHS)
        small.build(tf.constant(images(1)))
        sess.run(tf.global_variables_initializer())
        weights.save(sess, small, path)
    with tf.Graph().as_default(), tf.Session() as sess:
        other = models.ResidualGRUNet(**WIDTHS)
        other.build(tf.constant(images(1)))
        with pytest.raises(errors.InputError, match='33 arrays, ResidualGRUNet has 63'):
            weights.load(sess, other, path)
    with tf.Graph().as_default(), tf.Session() as sess:
        wide = models.GRUNet(**dict(WIDTHS, n_fc_filters=[9]))
        wide.build(tf.constant(images(1)))
        with pytest.raises(errors.InputError, match='fc7/W'):
            weights.load(sess, wide, path)


def test_a_pickle_that_builds_anything_else_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / 'made'), 'w')

    path = str(tmp_path / 'weights.npy')
    listed = np.empty(1, object)
    listed[0] = Evil()
    np.save(path, listed, allow_pickle=True)
    with pytest.raises(errors.InputError, match='io.open, which is not allowed'):
        weights.read_list(path)
    assert not (tmp_path / 'made').exists()


def test_a_truncated_weight_file_is_refused(tmp_path):
    path = str(tmp_path / 'weights.npy')
    listed = np.empty(2, object)
    listed[0], listed[1] = np.zeros(3, np.float32), np.zeros([2, 2], np.float32)
    np.save(path, listed, allow_pickle=True)
    assert [array.shape for array in weights.read_list(path)] == [(3,), (2, 2)]
    data = open(path, 'rb').read()
    open(path, 'wb').write(data[:-20])
    with pytest.raises(errors.InputError, match='weights.npy'):
        weights.read_list(path)


def test_damaged_headers_and_archives_are_refused(tmp_path):
    path, packed = str(tmp_path / 'weights.npy'), str(tmp_path / 'weights.npz')
    listed = np.empty(1, object)
    listed[0] = np.random.RandomState(0).uniform(size=999).astype(np.float32)
    np.save(path, listed, allow_pickle=True)
    np.savez_compressed(packed, listed)
    assert weights.read_list(packed)[0].shape == (999,)
    data, archive = open(path, 'rb').read(), bytearray(open(packed, 'rb').read())
    archive[500:900] = b'x' * 400
    for name, damaged in [(packed, open(packed, 'rb').read()[:-30]), (packed, archive),
                          (path, data.replace(b'(1,)', b'(1, ')),
                          (path, data.replace(b"{'", b'(((')),
                          (path, data.replace(b'False', b'F +/e')), (path, data[:9])]:
        open(name, 'wb').write(damaged)
        with pytest.raises(errors.InputError, match='weights.np. cannot be read as a') as caught:
            weights.read_list(name)
        assert '\n' not in str(caught.value)


@pytest.mark.tf1
@pytest.mark.parametrize('kind, batch_norm', [
    (models.LSTM3Net, False), (models.ResidualGRUNet, False), (models.GRUNet, True)])
def test_the_plain_training_graph_has_nothing_that_an_npu_cannot_run(graph, kind, batch_norm):
    net = kind(plain=True, batch_norm=batch_norm, **WIDTHS)
    trainer = solver.Solver(net)
    step = trainer.step(3, 2, 127, masked=True)
    findings = lint.lint_graph(
        tf.get_default_graph().as_graph_def(),
        [step.images.op.name, step.voxels.op.name, step.mask.op.name, trainer.rate.op.name],
        [step.loss.op.name, step.update.name], mode='train')
    assert [finding for finding in findings if finding.severity == 'error'] == []

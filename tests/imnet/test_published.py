"""What papers and published measures fix, by hand or by another library, on uneven input."""
import math
import types

import h5py
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from sklearn import neighbors

from common import errors
from common.geometry import voxel_grids
from imnet import data_utils, decoder, evaluation, extraction, light_field, measures, options
from imnet.IMGAN import model, modelz, ops
from imnet.IMSVR import model as svr_model
from imnet.IMSVR import ops as svr_ops
from imnet.point_sampling import solids


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


@pytest.mark.parametrize('size, factor', [(16, 16), (32, 8), (64, 4)])
def test_points_of_older_sets_are_the_centres_of_their_cells(tmp_path, size, factor):
    """A cell k of `size` a side has its centre at (k + 1/2) / size - 1/2."""
    rng = np.random.RandomState(0)
    grid = np.zeros([1, 64, 64, 64, 1], np.uint8)
    grid[0, 40:, 8:, :50] = 1       # uneven: no other scale agrees
    side = 64 // size
    pooled = grid[0, ..., 0].reshape(size, side, size, side, size, side).max(axis=(1, 3, 5))
    cells = rng.randint(0, size, [1, 500, 3]).astype(np.uint8)
    values = pooled[tuple(cells[0].T)][None, :, None]
    path = str(tmp_path / 'a_train.hdf5')
    with h5py.File(path, 'w') as stream:
        stream['voxels'] = grid
        stream['points_{}'.format(size)], stream['values_{}'.format(size)] = cells, values
    _, points, inside = data_utils.Set(path, size).sample(0)
    np.testing.assert_allclose(points, (cells[0] + 0.5) / size - 0.5, atol=1e-6)
    np.testing.assert_array_equal(inside, values[0])
    with h5py.File(path, 'r+') as stream:       # the newer sets' cells, whatever the resolution
        stream['points_{}'.format(size)][0] = cells[0] * factor + factor // 2
    _, points, _ = data_utils.Set(path, size).sample(0)
    np.testing.assert_allclose(points, (cells[0] * factor + factor // 2 + 0.5) / 256 - 0.5,
                               atol=1e-6)


@pytest.mark.parametrize('he_init, deviation', [(False, 0.02), (True, math.sqrt(2 / 300))])
def test_first_values_of_dense_layers(run, he_init, deviation):
    outputs = ops.linear(tf.zeros([1, 300]), 200, 'layer', he_init)
    assert outputs.shape == (1, 200)
    matrix, bias = [run(variable) for variable in tf.global_variables()]
    assert matrix.std() == pytest.approx(deviation, rel=0.02) and not bias.any()


def test_the_picture_encoder_has_the_widths_of_the_original():
    net = svr_model.IMSVR(batch_size=1)
    shapes = {variable.op.name[len('encoder/'):]: tuple(variable.shape.as_list())
              for variable in net.encoder_variables if variable.op.name.endswith('/Matrix')}
    assert shapes['conv0/Matrix'] == (7, 7, 1, 64)
    widths, before = (64, 64, 128, 128, 256, 256, 512, 512), 64
    for number, width in enumerate(widths, 1):
        assert shapes['conv{}_1/Matrix'.format(number)] == (3, 3, before, width)
        assert shapes['conv{}_2/Matrix'.format(number)] == (3, 3, width, width)
        widens = 'conv{}_3/Matrix'.format(number)
        assert shapes.get(widens) == ((1, 1, before, width) if width > before else None)
        before = width
    assert shapes['conv9/Matrix'] == (4, 4, 512, 512) and shapes['conv10/Matrix'] == (
        4, 4, 512, 256)


def test_the_picture_encoder_learns_and_the_decoder_does_not(run):
    net = svr_model.IMSVR(z_dim=3, ef_dim=1, gf_dim=1, batch_size=2)
    step = net.train_step(ops.adam(1e-3, 0.5))
    rng = np.random.RandomState(0)
    view, target = rng.uniform(size=[2, 128, 128, 1]), rng.uniform(size=[2, 3])
    feed = {net.view: view, net.target: target}
    before = run(net.variables)
    loss, codes = run([net.loss, net.z], feed)
    assert loss == pytest.approx(((codes - target) ** 2).mean(), rel=1e-5)
    run(step, feed)
    moved = [(one != other).any() for one, other in zip(before, run(net.variables))]
    assert all(moved[:len(net.encoder_variables)])
    assert not any(moved[len(net.encoder_variables):])


def test_batch_norm_of_the_picture_encoder(run):
    x = np.random.RandomState(0).normal(size=[2, 3, 2, 2]) * [1, 0.01] + [5, 1]
    flat = x.reshape(-1, 2)
    y = svr_ops.batch_norm(tf.constant(x, tf.float32), True, 'n')
    np.testing.assert_allclose(run(y).reshape(-1, 2), (flat - flat.mean(axis=0)) / np.sqrt(
        flat.var(axis=0) + 1e-5), rtol=1e-3, atol=1e-3)
    moving = {variable.op.name: run(variable) for variable in tf.global_variables()}
    np.testing.assert_allclose(moving['n/moving_mean'], 0.01 * flat.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(moving['n/moving_variance'],
                               0.99 + 0.01 * flat.var(axis=0, ddof=1), rtol=1e-5)
    test = svr_ops.batch_norm(tf.constant(x, tf.float32), False, 'n')
    np.testing.assert_allclose(run(test).reshape(-1, 2), (flat - moving['n/moving_mean']) / np.sqrt(
        moving['n/moving_variance'] + 1e-5), rtol=1e-4)


def test_grids_with_z_up_are_rotated_not_mirrored(tmp_path):
    grid = np.zeros([16, 16, 16], bool)
    grid[2:6, 3:5, 1:15] = True         # tall along z
    grid[6:12, 3:5, 12:15] = True       # an arm towards +x at the top
    grid[2:6, 5:10, 1:3] = True         # a foot towards +y at the bottom
    voxel_grids.write_binvox(str(tmp_path / 'a.binvox'), grid)
    turned = solids.read(str(tmp_path / 'a.binvox'), up='z')
    place = np.argwhere(turned)
    assert np.ptp(place, axis=0).argmax() == 1      # tall along y
    middle = (place.min(axis=0) + place.max(axis=0)) / 2
    top, foot = place[place[:, 1] > middle[1] + 60], place[place[:, 1] < middle[1] - 75]
    assert top[:, 0].max() > foot[:, 0].max() + 50      # the arm still towards +x
    # Towards +y becomes towards -z: a rotation about x.
    assert foot[:, 2].min() < top[:, 2].min() - 50


def test_codes_are_read_as_they_were_written(tmp_path):
    codes = np.random.RandomState(0).uniform(size=[3, 5]).astype(np.float32)
    with h5py.File(str(tmp_path / 'a_z.hdf5'), 'w') as stream:
        stream['zs'] = codes
    np.testing.assert_array_equal(data_utils.read_codes(str(tmp_path / 'a_z.hdf5')), codes)


def test_a_silhouette_has_the_papers_features():
    disc = np.hypot(*(np.mgrid[:96, :96] - 47.5)) < 40
    features = light_field._features(disc)
    assert features.shape == (35 + 10,)         # Zernike moments, Fourier coefficients
    # A disc looks the same from all sides: moments with m > 0 vanish, and so does its outline's
    # Fourier series; the orders 2, 4, ... have one moment with m = 0 each.
    assert features[35:].max() < 0.01
    orders = [(n, m) for n in range(1, 11) for m in range(n % 2, n + 1, 2)]
    assert len(orders) == 35
    radius = 40 / 48
    for value, (n, m) in zip(features, orders):
        if m % 4:       # pixels have the symmetry of a square
            assert value < 1e-3
        if (n, m) == (2, 0):    # mean of 2 r^2 - 1 over the disc
            assert value == pytest.approx(abs(radius ** 2 - 1), abs=0.01)


def test_rows_of_an_npy_file_are_read_one_by_one(tmp_path):
    array = np.random.RandomState(0).randint(0, 255, [3, 4, 5]).astype(np.uint8)
    np.save(str(tmp_path / 'a.npy'), array)
    rows = data_utils._Rows(str(tmp_path / 'a.npy'))
    assert len(rows) == 3 and rows.shape == (3, 4, 5)
    np.testing.assert_array_equal(rows[2], array[2])
    np.testing.assert_array_equal(rows[1, 3], array[1, 3])


def test_the_last_view_is_taken_and_one_beyond_refused(tmp_path):
    from imnet.IMSVR import views
    data = types.SimpleNamespace(pixels=lambda: np.zeros([2, 24, 1, 1]), path='a.hdf5')
    assert [views.checked(data, view) for view in (None, 23, 0)] == [23, 23, 0]
    with pytest.raises(errors.UsageError, match='have 24 views, 0 to 23'):
        views.checked(data, 24)


@pytest.mark.parametrize('fixed', [None, 4])
def test_a_field_is_evaluated_in_parts_of_any_size(fixed):
    points = tf.placeholder(tf.float32, [1, fixed, 3])
    code = tf.placeholder(tf.float32, [1, 2])
    raw = tf.reduce_sum(points ** 2 * code[:, :1, None], axis=2, keepdims=True)
    places = np.random.RandomState(0).normal(size=[10, 3]).astype(np.float32)
    with tf.Session() as sess:
        field = decoder.Field(sess, code, points, raw + 1, raw, np.float32([2, 0]), 3)
        np.testing.assert_allclose(field(places), 2 * (places ** 2).sum(axis=1) + 1, rtol=1e-5)
        np.testing.assert_allclose(field.gradient(places), 4 * places, rtol=1e-5)
        assert field.evaluated == 10 and len(field(places[:0])) == 0


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, bool, np.float32])
def test_a_grid_of_any_size_fills_the_diagonal(tmp_path, dtype):
    grid = np.zeros([40, 40, 40], dtype)
    grid[5:17, 20:23, 8:12] = 1         # 12 x 3 x 4 cells: a diagonal of 13
    np.savez(str(tmp_path / 'a.npz'), voxels=grid)
    solid = np.argwhere(solids.read(str(tmp_path / 'a.npz')))
    sizes = np.ptp(solid, axis=0) + 1
    np.testing.assert_allclose(sizes, 256 / 13 * np.array([12, 3, 4]), atol=1.01)
    np.testing.assert_allclose(solid.min(axis=0) + solid.max(axis=0) + 1, 256, atol=1.01)


def test_points_of_a_corner_are_not_taken_for_those_of_an_older_set(tmp_path):
    cells = np.random.RandomState(0).randint(0, 64, [1, 500, 3]).astype(np.uint8)
    grid = np.zeros([1, 64, 64, 64, 1], np.uint8)
    grid[0, :8] = 1         # cells below 32 of 256
    path = str(tmp_path / 'a_train.hdf5')
    with h5py.File(path, 'w') as stream:
        stream['voxels'], stream['points_64'] = grid, cells
        stream['values_64'] = (cells[..., :1] < 32).astype(np.uint8)
    np.testing.assert_allclose(data_utils.Set(path, 64).sample(0)[1],
                               (cells[0] + 0.5) / 256 - 0.5, atol=1e-6)


@pytest.mark.parametrize('size', [16, 32, 64, 128, 256])
def test_the_share_of_points_that_agree_with_the_voxels_is_counted_cell_by_cell(size):
    rng = np.random.RandomState(size)
    grid = (rng.rand(64, 64, 64) < 0.02).astype(np.uint8)
    cells = np.concatenate([rng.randint(0, size, [38, 3]), [[size - 1] * 3, [0, 0, size - 1]]])
    values = np.empty([40, 1], np.uint8)
    for row, (x, y, z) in enumerate(cells):     # a coarser cell is full where any inside it is
        spans = [slice(int(64 * place / size), int(64 * place / size) + max(1, 64 // size))
                 for place in (x, y, z)]
        values[row] = grid[tuple(spans)].any()
    assert data_utils._agreement(grid, cells, values, size) == 1
    values[3:13] ^= 1
    assert data_utils._agreement(grid, cells, values, size) == 0.75

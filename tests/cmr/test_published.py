"""What papers and published measures fix, by hand or by another library, on uneven input."""
import argparse
import math
import types

import numpy as np
import pytest
import scipy.sparse
import scipy.spatial
import tensorflow.compat.v1 as tf
from sklearn import metrics as library

from cmr import evaluation
from cmr.src import config
from cmr.src.dataset import base_dataset
from cmr.src.loss import loss
from cmr.src.models import (
    cmr,
    geometric_layers,
    graph_cnn,
    graph_layers,
    layers,
    resnet,
    smpl_param_regressor,
)
from cmr.src.netCell import netWithLoss
from cmr.src.utils import imutils, mesh, metrics, photo, pose_utils


def test_the_constants_of_the_original():
    np.testing.assert_allclose(base_dataset.IMG_MEAN, [0.485, 0.456, 0.406])     # red first
    np.testing.assert_allclose(base_dataset.IMG_STD, [0.229, 0.224, 0.225])
    assert config.FOCAL_LENGTH == 5000 and config.GROUP == 8
    assert layers.BATCH_NORM_EPSILON == graph_layers._EPSILON == 1e-5
    assert dict(zip(*config.MIXTURES['itw'])) == {
        'lsp-orig': 0.1, 'coco': 0.3, 'mpii': 0.3, 'up-3d': 0.3}
    assert dict(zip(*config.MIXTURES['all'])) == {
        'h36m': 0.3, 'lsp-orig': 0.1, 'coco': 0.2, 'mpii': 0.2, 'up-3d': 0.2}
    assert tuple(resnet.LAYERS) == (3, 4, 6, 3)


def test_a_red_picture_is_normalised_by_the_numbers_of_red():
    image = np.zeros([40, 40, 3], np.float32)
    image[..., 0], image[..., 1] = 255, 102
    row = {'center': np.array([20., 20]), 'scale': 0.1}
    sample = base_dataset.make_sample(image, row, base_dataset.NONE, 8, stretch=False)
    np.testing.assert_allclose(sample['img_orig'][4, 4], [1, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose(sample['img'][4, 4], [
        (1 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, -0.406 / 0.225], rtol=1e-4)


def test_channel_noise_is_a_factor_cut_at_white():
    image = np.zeros([40, 40, 3], np.float32)
    image[:] = 100, 200, 50
    noise = base_dataset.NONE._replace(noise=np.array([0.5, 1.4, 1.2]))
    row = {'center': np.array([20., 20]), 'scale': 0.1}
    sample = base_dataset.make_sample(image, row, noise, 8, stretch=False)
    np.testing.assert_allclose(sample['img_orig'][4, 4], [50 / 255, 1, 60 / 255], atol=1e-6)


def test_augmentation_is_drawn_as_the_original_draws():
    draws = [base_dataset.draw_augmentation(np.random.RandomState(seed)) for seed in range(4000)]
    flips, noises, rots, scales = (np.array([getattr(one, name) for one in draws])
                                   for name in ('flip', 'noise', 'rot', 'scale'))
    assert abs(flips.mean() - 0.5) < 0.03 and abs((rots == 0).mean() - 0.6) < 0.03
    assert 0.6 <= noises.min() < 0.61 and 1.39 < noises.max() <= 1.4
    turned = rots[rots != 0]
    # A normal deviate of 30 degrees, cut at two of them (a share of 4.6 %).
    assert np.abs(turned).max() == 60 and abs((np.abs(turned) == 60).mean() - 0.0455) < 0.02
    assert abs(np.std(turned) - 30 * 0.94) < 1.5
    assert scales.min() == 0.75 and scales.max() == 1.25
    assert abs((scales == 1.25).mean() - 0.1587) < 0.02     # one deviation, above


def test_shape_error_and_joint_error_are_mean_distances_of_each_sample():
    truth = np.zeros([2, 3, 3])
    predicted = np.array([[[3., 4, 0], [0, 0, 1], [0, 0, 0]], [[0, 2, 0], [2, 0, 0], [1, 2, 2]]])
    expected = [(5 + 1 + 0) / 3, (2 + 2 + 3) / 3]
    np.testing.assert_allclose(metrics.shape_error(predicted, truth), expected)
    np.testing.assert_allclose(metrics.joint_error(predicted, truth), expected)


def test_joints_of_human36m_are_taken_from_the_hip_in_the_published_order():
    rng = np.random.RandomState(0)
    joints = rng.normal(size=[17, 3]) + [1, 2, 3]
    regressor = np.eye(17)
    # Right ankle, knee, hip, left hip, knee, ankle, right wrist, elbow, shoulder, left shoulder,
    # elbow, wrist, neck, head: Human3.6M has hip, right leg, left leg, spine, left arm, right arm.
    order = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]
    np.testing.assert_allclose(metrics.h36m_joints(joints[None], regressor),
                               (joints[order] - joints[0])[None])
    assert pose_utils.J24_TO_J14 == tuple(range(13)) + (18,)


class _Bodies:
    """A predictor whose bodies are 24 points, and those its joints."""

    def __init__(self, truth):
        self.network = types.SimpleNamespace(arrays={}, options=argparse.Namespace(img_res=8))
        self._truth = truth

    def posed(self, pose, betas):
        """The same body for every pose."""
        return self._truth[:len(pose)]

    def joints(self, vertices):
        """The points themselves."""
        return vertices


def test_mpjpe_of_up3d_is_from_the_pelvis_and_in_millimetres():
    rng = np.random.RandomState(0)
    truth = rng.normal(size=[2, 24, 3])
    predicted = truth.copy()
    predicted[:, 14] += [0, 0, 0.1]         # the pelvis alone: all others are wrong by that
    predicted[1, 3] += [0.3, 0, 0]
    figures = evaluation.Figures('up-3d', _Bodies(truth), None)
    figures.add_shapes({'NonParam': predicted}, {'pose': np.zeros([2, 72]), 'betas': None})
    means = figures.means()
    by_hand = 1000 * np.mean([0.1, (13 * 0.1 + math.hypot(0.3, 0.1)) / 14])
    assert means['MPJPE (NonParam)'] == pytest.approx(by_hand)
    assert means['Shape Error (NonParam)'] == pytest.approx(1000 * (0.1 + (0.1 + 0.3)) / 48)
    errors = [1000 * pose_utils.reconstruction_error(
        predicted[:, list(range(13)) + [18]], truth[:, list(range(13)) + [18]]).mean()]
    assert means['Reconstruction Error (NonParam)'] == pytest.approx(errors[0])


def test_the_alignment_is_the_librarys_and_never_mirrors():
    rng = np.random.RandomState(1)
    target = rng.normal(size=[14, 3]) * [1, 2, 0.5] + [3, 0, 1]
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.]])
    points = 0.3 * (target @ turn) + [1, -2, 5] + 0.05 * rng.normal(size=[14, 3])
    aligned = pose_utils.similarity_transform(points, target)
    _, _, disparity = scipy.spatial.procrustes(target, points)
    scale = ((target - target.mean(axis=0)) ** 2).sum()
    assert ((aligned - target) ** 2).sum() == pytest.approx(disparity * scale)
    np.testing.assert_allclose(pose_utils.reconstruction_error(points[None], target[None]),
                               [np.linalg.norm(aligned - target, axis=1).mean()])
    mirrored = target * [1, 1, -1]
    assert scipy.spatial.procrustes(target, mirrored)[2] < 1e-12
    assert pose_utils.reconstruction_error(mirrored[None], target[None])[0] > 0.2


def test_accuracy_and_f1_of_parts_are_the_librarys():
    rng = np.random.RandomState(0)
    truths = rng.choice([0, 1, 2, 255], size=[3, 8, 9], p=[0.5, 0.2, 0.25, 0.05])
    claims = np.where(rng.uniform(size=truths.shape) < 0.7, truths, rng.randint(0, 3, truths.shape))
    claims[claims == 255] = 1
    measure = metrics.Segmentation(3)
    for claim, truth in zip(claims, truths):
        measure.add(claim, truth)
    counted = truths != 255
    assert measure.f1 == pytest.approx(library.f1_score(truths[counted], claims[counted],
                                                        average='macro'))
    assert measure.accuracy == pytest.approx(library.accuracy_score(
        np.where(counted, truths, 0).ravel(), claims.ravel()))
    assert metrics.PART_CLASSES == 7


def test_f1_counts_missed_and_invented_pixels():
    measure = metrics.Segmentation(2)
    measure.add(np.array([[1, 1, 0, 0, 0]]), np.array([[1, 0, 1, 1, 0]]))
    # Class 1: 1 hit, 1 invented, 2 missed; class 0: 1 hit, 2 invented, 1 missed.
    assert measure.f1 == pytest.approx((2 / 5 + 2 / 5) / 2) and measure.accuracy == 2 / 5
    measure.add(np.array([[1, 1]]), np.array([[1, 1]]))
    assert measure.f1 == pytest.approx((6 / 9 + 2 / 5) / 2)


def test_the_losses_by_hand(run):
    ones = tf.ones([2])
    predicted = np.zeros([2, 24, 2], np.float32)
    truth = np.zeros([2, 24, 3], np.float32)
    truth[0, 5], truth[1, 7] = [0.5, -1, 0.8], [2, 0, 0]        # the second has no confidence
    assert run(loss.keypoints_2d(tf.constant(predicted), tf.constant(truth))) == pytest.approx(
        0.8 * (0.25 + 1) / 96)
    joints, goal = np.zeros([2, 24, 3], np.float32), np.zeros([2, 24, 4], np.float32)
    goal[..., 3] = 1
    joints[0, 2], goal[1, 3, :3] = [2, 0, 0], [0, 0, 4]
    goal[1, 9, 3] = 0.5
    # The middle of joints 2 and 3 is taken off: 1 in x, of 23 joints and of the one at 2; 2 in z.
    each = [(23 * 1 + 1) / 72, (22 * 4 + 0.5 * 4 + 4) / 72]
    for mask, expected in (([1, 1], sum(each) / 2), ([0, 1], each[1]), ([0, 0], 0)):
        actual = run(loss.keypoints_3d(tf.constant(joints), tf.constant(goal),
                                       tf.constant(mask, tf.float32)))
        assert actual == pytest.approx(expected, rel=1e-6)
    vertices = np.float32([[[1, -2, 0], [0, 0, 3]], [[0, 0, 0], [0.6, 0, 0]]])
    zero = tf.zeros([2, 2, 3])
    assert run(loss.shape(tf.constant(vertices), zero, ones)) == pytest.approx((1 + 0.1) / 2)
    assert run(loss.shape(tf.constant(vertices), zero, tf.constant([1., 0]))) == pytest.approx(1)
    terms = {name: tf.constant(10. ** number) for number, name in enumerate(loss.NAMES[:8])}
    assert run(loss.total(terms)) == pytest.approx(1111111 + 0.1 * 10 ** 7)
    assert loss.NAMES[7] == 'loss_regr_betas'


def test_the_losses_of_the_regressor_compare_rotations_and_betas(run):
    pose = np.zeros([2, 72], np.float32)
    pose[0, 3:6] = [0, 0, math.pi / 2]       # the second joint, a quarter about z
    rotations = np.tile(np.eye(3, dtype=np.float32), [2, 24, 1, 1])
    betas = np.zeros([2, 10], np.float32)
    betas[1, 4] = 3
    of_pose, of_betas = run(loss.regressed(
        tf.constant(rotations), tf.constant(betas), tf.constant(pose), tf.zeros([2, 10]),
        tf.ones([2])))
    assert of_pose == pytest.approx(4 / (2 * 24 * 9), rel=1e-5)      # four entries differ by 1
    assert of_betas == pytest.approx(9 / 20)


def test_rotations_are_the_librarys(run):
    from scipy.spatial import transform
    vectors = np.random.RandomState(0).normal(size=[6, 3])
    rotation = transform.Rotation.from_rotvec(vectors)
    np.testing.assert_allclose(run(geometric_layers.rodrigues(tf.constant(vectors, tf.float32))),
                               rotation.as_matrix(), atol=1e-6)
    w_last = rotation.as_quat()
    np.testing.assert_allclose(run(geometric_layers.quat2mat(tf.constant(
        3 * w_last[:, [3, 0, 1, 2]], tf.float32))), rotation.as_matrix(), atol=1e-6)


def test_the_camera_scales_after_it_shifts(run):
    points, camera = tf.constant([[[1., 2., 9.], [0, 0, 0]]]), tf.constant([[2., 0.5, -1]])
    np.testing.assert_allclose(run(geometric_layers.orthographic_projection(points, camera)),
                               [[[3, 2], [1, -2]]])


def test_batch_norm_is_that_of_pytorch(run):
    x = np.random.RandomState(0).normal(size=[5, 3]) * [1, 3, 0.01] + [0, 4, 1]
    variables = layers.Parameters(is_training=True)
    y = variables.batch_norm(tf.constant(x, tf.float32), 'norm')
    # PyTorch: the biased variance normalises, the unbiased one moves the running one by a tenth.
    np.testing.assert_allclose(run(y), (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5),
                               rtol=1e-3, atol=1e-4)
    run(variables.updates)
    np.testing.assert_allclose(run(variables.by_name['norm.running_mean']), 0.1 * x.mean(axis=0),
                               rtol=1e-4)
    np.testing.assert_allclose(run(variables.by_name['norm.running_var']),
                               0.9 + 0.1 * x.var(axis=0, ddof=1), rtol=1e-4)


def test_batch_norm_at_test_time_uses_what_was_learnt(run):
    variables = layers.Parameters()
    y = variables.batch_norm(tf.constant([[1., 2.]]), 'norm')
    values = {'weight': [2., 1], 'bias': [0.5, 0], 'running_mean': [3., 0],
              'running_var': [0.25, 4]}
    run(y)
    for name, value in values.items():
        run(variables.by_name['norm.' + name].assign(value))
    np.testing.assert_allclose(run(y), [[2 * -2 / math.sqrt(0.25001) + 0.5,
                                         2 / math.sqrt(4.00001)]], rtol=1e-4)


@pytest.mark.parametrize('plain', [True, False])
def test_group_norm_has_statistics_of_eight_channels_over_all_nodes(run, plain):
    x = 0.1 * np.random.RandomState(0).normal(size=[2, 5, 16]) * np.arange(1, 17)
    grouped = x.reshape(2, 5, 2, 8)
    mean, variance = grouped.mean(axis=(1, 3), keepdims=True), grouped.var(axis=(1, 3),
                                                                          keepdims=True)
    expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    y = graph_layers.group_norm(tf.constant(x, tf.float32), layers.Parameters(plain=plain), 'n')
    np.testing.assert_allclose(run(y), expected, rtol=1e-4, atol=1e-5)


def test_the_adjacency_has_itself_and_rows_of_one():
    path = scipy.sparse.csr_matrix(np.array([[0, 3, 0, 0], [3, 0, 7, 0], [0, 7, 0, 0],
                                             [0, 0, 0, 0]]))
    np.testing.assert_allclose(mesh.adjacency_matrix(path).toarray(), [
        [1 / 2, 1 / 2, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0], [0, 1 / 2, 1 / 2, 0], [0, 0, 0, 1]])


def test_the_template_is_centred_by_its_box_and_its_largest_coordinate_is_one():
    points = np.array([[0, 0, 0], [4, 1, 0], [1, 1, 1.]])
    np.testing.assert_allclose(mesh.normalised(points), [
        [-1, -0.25, -0.25], [1, 0.25, -0.25], [-0.5, 0.25, 0.25]])


def test_adam_adds_its_epsilon_as_pytorch_does(run):
    weight = tf.get_variable('w', [], initializer=tf.constant_initializer(1.))
    gradient = 1e-8         # so that the epsilon matters
    optimizer = netWithLoss.Adam(0.1, 0.9)
    step = optimizer.apply_gradients([(tf.constant(gradient), weight)])
    run(weight)
    value, first, second = 1., 0., 0.
    for number in (1, 2):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient ** 2
        root = math.sqrt(second / (1 - 0.999 ** number))
        value -= 0.1 * first / (1 - 0.9 ** number) / (root + 1e-8)
        run(step)
        assert run(weight) == pytest.approx(value, rel=1e-5)


def test_weight_decay_is_added_to_the_gradient(run):
    variables = layers.Parameters()
    weight = variables.get('w', [2], tf.constant_initializer([1., -2.]))
    step = netWithLoss.update(tf.reduce_sum(3. * weight), variables,
                              tf.train.GradientDescentOptimizer(0.1), weight_decay=0.5)
    run(weight)
    run(step)
    np.testing.assert_allclose(run(weight), [1 - 0.1 * 3.5, -2 - 0.1 * 2], rtol=1e-6)


def test_a_photos_box_maps_its_corners_to_those_of_the_crop():
    matrix = imutils.get_transform([50, 80], 0.2, (224, 112))     # a box of 40 pixels
    np.testing.assert_allclose(matrix @ [30, 60, 1], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(matrix @ [70, 100, 1], [112, 224, 1], atol=1e-12)
    turned = imutils.get_transform([50, 80], 0.2, (224, 224), rot=90)
    np.testing.assert_allclose(turned @ [70, 80, 1], [112, 0, 1], atol=1e-9)


def test_outputs_have_the_names_of_the_figure():
    assert cmr.Outputs._fields[:6] == ('nodes', 'vertices', 'camera', 'rotations', 'betas',
                                       'vertices_smpl')


class _Points:
    """A body whose vertices are its pose and betas, written in 24 points that are its joints."""

    def vertices(self, pose, betas):
        """[B, 24, 3]: the pose, and the first coefficient added to each x."""
        shift = tf.concat([betas[:, :1], tf.zeros([betas.shape[0].value, 2])], axis=1)
        return tf.reshape(pose, [-1, 24, 3]) + shift[:, None]

    def joints(self, vertices):
        """The points themselves."""
        return vertices


def test_the_losses_compare_both_bodies_with_the_truth(run):
    rng = np.random.RandomState(0)
    batch = 2
    pose, betas = rng.normal(size=[batch, 72]), rng.normal(size=[batch, 10])
    real = pose.reshape(batch, 24, 3) + betas[:, :1, None] * [1, 0, 0]
    graph, posed = rng.normal(size=[2, batch, 24, 3])
    camera = rng.uniform(0.5, 1, [batch, 3])
    truth = netWithLoss.truth(batch)
    keypoints, pose_3d = rng.normal(size=[batch, 24, 3]), rng.normal(size=[batch, 24, 4])
    rotations = np.tile(np.eye(3), [batch, 24, 1, 1])
    outputs = cmr.Outputs(None, *[tf.constant(one, tf.float32) for one in (
        graph, camera, rotations, np.zeros([batch, 10]), posed)])
    terms, projected, projected_smpl = netWithLoss.losses(outputs, truth, _Points())
    feed = dict(zip(truth, (keypoints, pose_3d, pose, betas, [1, 0], [1, 1])))
    terms, projected, projected_smpl = run((terms, projected, projected_smpl), feed)
    assert tuple(terms) == loss.NAMES
    for suffix, body, flat in (('', graph, projected), ('_smpl', posed, projected_smpl)):
        expected = camera[:, None, :1] * (body[..., :2] + camera[:, None, 1:])
        np.testing.assert_allclose(flat, expected, rtol=1e-4, atol=1e-5)
        assert terms['loss_shape' + suffix] == pytest.approx(np.abs(body - real)[0].mean(),
                                                             rel=1e-5)
        difference = keypoints[..., 2:] * (expected - keypoints[..., :2]) ** 2
        assert terms['loss_keypoints' + suffix] == pytest.approx(difference.mean(), rel=1e-4)
        about = [one - one[:, 2:4].mean(axis=1, keepdims=True) for one in (body, pose_3d[..., :3])]
        difference = pose_3d[..., 3:] * (about[0] - about[1]) ** 2
        assert terms['loss_keypoints_3d' + suffix] == pytest.approx(difference.mean(), rel=1e-4)
    assert terms['loss_regr_betas'] == pytest.approx((betas[0] ** 2).mean(), rel=1e-5)


def test_the_camera_learns_from_the_graphs_mesh_alone(run):
    camera, truth = tf.get_variable('c', [1, 3], initializer=tf.ones_initializer()), (
        netWithLoss.truth(1))
    points = tf.ones([1, 24, 3])
    outputs = cmr.Outputs(None, points, camera, tf.zeros([1, 24, 3, 3]), tf.zeros([1, 10]), points)
    terms, _, _ = netWithLoss.losses(outputs, truth, _Points())
    graph, smpl = (tf.gradients(terms['loss_keypoints' + suffix], camera)[0]
                   for suffix in ('', '_smpl'))
    assert graph is not None and smpl is None


def test_without_weight_decay_the_gradient_is_the_losss(run):
    variables = layers.Parameters()
    weight = variables.get('w', [1], tf.constant_initializer([5.]))
    step = netWithLoss.update(tf.reduce_sum(3. * weight), variables,
                              tf.train.GradientDescentOptimizer(0.1))
    run(weight)
    run(step)
    np.testing.assert_allclose(run(weight), [5 - 0.3], rtol=1e-6)


def test_the_regressor_has_the_sizes_of_the_paper():
    variables = layers.Parameters(plain=True)
    rotations, betas, raw = smpl_param_regressor.regressor(tf.zeros([2, 7, 6]), variables)
    assert (rotations.shape, betas.shape, raw.shape) == ((2, 24, 3, 3), (2, 10), (2, 226))
    assert variables.by_name['layers.0.fc_block.0.weight'].shape == (1024, 42)


def test_a_narrower_regressor():
    variables = layers.Parameters(plain=True)
    outputs = smpl_param_regressor.regressor(tf.zeros([2, 7, 6]), variables, width=24)
    assert [output.shape for output in outputs] == [(2, 24, 3, 3), (2, 10), (2, 226)]
    shapes = {name: variable.shape.as_list() for name, variable in variables.by_name.items()
              if name.endswith('.weight') and len(variable.shape) == 2}
    assert sorted(shapes.values()) == sorted([[24, 42]] + 4 * [[24, 24]] + [[226, 24]])


def test_resnet_has_the_layers_of_the_paper():
    variables, stages = layers.Parameters(), []
    features = resnet.resnet50(tf.zeros([1, 224, 224, 3]), variables, 64, stages)
    assert features.shape == (1, 2048)
    assert [tuple(stage.shape[1:].as_list()) for stage in stages] == [
        (56, 56, 64), (56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)]
    # As torchvision counts ResNet-50, its 1000 classes included.
    assert sum(variable.shape.num_elements() for variable in variables.trainable.values()) == (
        25557032)


def test_the_graph_network_has_the_widths_of_the_original(run):
    variables = layers.Parameters(plain=True)
    points, camera = graph_cnn.graph_cnn(
        tf.zeros([2, 2048]), np.zeros([6, 3]), variables, mesh.Adjacency(scipy.sparse.eye(6)))
    assert points.shape == (2, 6, 3) and camera.shape == (2, 3)
    shapes = {name: variable.shape.as_list() for name, variable in variables.by_name.items()}
    assert shapes['gc.0.W'] == [512, 2051] and shapes['gc.1.lin1.W'] == [128, 512]
    assert shapes['gc.5.lin2.W'] == shapes['gc.6.lin2.W'] == [256, 128] and 'gc.7.lin2.W' not in (
        shapes)
    assert shapes['shape.0.lin2.W'] == [64, 32] and shapes['shape.1.lin2.W'] == [32, 16]
    assert shapes['shape.4.W'] == [3, 32] and shapes['camera_fc.2.W'] == [1, 256]
    first = run([variables.by_name['camera_fc.4.' + name] for name in ('weight', 'bias')])
    assert min(map(np.min, first)) < 0 < max(map(np.max, first)) < 1 / math.sqrt(6)


def test_a_picture_turned_by_a_quarter_is_cropped_as_the_turned_picture():
    image = np.zeros([60, 60, 3], np.float32)
    image[15:25, 20:45] = 200       # a bar in the upper half
    whole = imutils.crop(image, [30, 30], 0.2, (40, 40))
    turned = imutils.crop(image, [30, 30], 0.2, (40, 40), rot=90)
    bar = np.argwhere(turned[..., 0] > 100)
    np.testing.assert_allclose(bar.min(axis=0), np.argwhere(
        np.rot90(whole)[..., 0] > 100).min(axis=0), atol=1.1)
    np.testing.assert_allclose(bar.max(axis=0), np.argwhere(
        np.rot90(whole)[..., 0] > 100).max(axis=0), atol=1.1)


def test_batch_norm_of_pictures_is_over_all_but_the_channels(run):
    x = np.random.RandomState(0).normal(size=[2, 3, 5, 4]) * [1, 3, 0.1, 2] + [0, 4, 1, -2]
    y = layers.Parameters(is_training=True).batch_norm(tf.constant(x, tf.float32), 'norm')
    flat = x.reshape(-1, 4)
    np.testing.assert_allclose(run(y).reshape(-1, 4), (flat - flat.mean(axis=0)) / np.sqrt(
        flat.var(axis=0) + 1e-5), rtol=1e-3, atol=1e-3)


def test_first_values_are_pytorchs(run):
    variables = layers.Parameters()
    resnet.conv(tf.zeros([1, 8, 8, 30]), variables, 'conv', 40, 3)
    variables.linear(tf.zeros([1, 50]), 'linear', 400)
    graph_layers.linear_parameters(variables, 'nodes', 2, 1000)
    graph_layers.convolution(tf.zeros([1, 6, 50]), variables, 'graph', 550, mesh.Adjacency(
        scipy.sparse.eye(6)))
    values = run(variables.by_name)
    # He et al. by the outputs: normal, the root of 2 / (k k out); Linear: uniform to 1 / root(in).
    assert values['conv.weight'].std() == pytest.approx(math.sqrt(2 / (9 * 40)), rel=0.03)
    for name in ('linear.weight', 'linear.bias'):
        assert np.abs(values[name]).max() <= 1 / math.sqrt(50)
        assert values[name].std() == pytest.approx(1 / math.sqrt(3 * 50), rel=0.08)
    # The original's own: up to 1 / (in out), and to 6 / root(in + out); on both sides of nought.
    for name, limit in (('nodes.W', 1 / 2000), ('nodes.b', 1 / 2000),
                        ('graph.weight', 6 / math.sqrt(600)), ('graph.bias', 6 / math.sqrt(600))):
        assert 0.9 * limit < values[name].max() <= limit and -limit <= values[name].min() < (
            -0.9 * limit)


def test_pictures_are_stretched_from_their_darkest_to_their_brightest_level():
    np.testing.assert_array_equal(imutils.stretched(np.array([10., 20, 35])), [0, 102, 255])
    np.testing.assert_array_equal(imutils.stretched(np.array([-2., 0, 2])), [0, 128, 255])
    np.testing.assert_array_equal(imutils.stretched(np.uint8([10, 35])), [10, 35])


def test_a_box_is_a_centre_and_the_longer_side_over_200():
    centre, scale = photo.whole((100, 60, 3))
    assert centre.tolist() == [30, 50] and scale == 0.5
    centre, scale = photo.from_bbox([10, 20, 40, 80])
    assert centre.tolist() == [30, 60] and scale == pytest.approx(0.4)
    keypoints = np.zeros([25, 3])
    keypoints[3], keypoints[7], keypoints[9] = [10, 20, 0.9], [50, 140, 0.3], [900, 900, 0.2]
    centre, scale = photo.from_openpose(keypoints)      # 0.2 is not enough
    assert centre.tolist() == [30, 80] and scale == pytest.approx(1.2 * 120 / 200)

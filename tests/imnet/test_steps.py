"""What a step of the autoencoder takes: a part of the points, a falling rate, another loss."""
import json
import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import cli
from imnet.IMGAN import main, ops, training
from tests.imnet import tiny


def test_each_epoch_takes_other_points_and_none_twice():
    drawn = [training.points_of(3, epoch, row, 12, 60) for epoch in (0, 1) for row in (0, 1)]
    for points in drawn:
        assert len(set(points.tolist())) == 12 and 0 <= points.min() and points.max() < 60
    assert len({tuple(points) for points in drawn}) == 4
    np.testing.assert_array_equal(training.points_of(3, 1, 0, 12, 60), drawn[2])
    np.testing.assert_array_equal(np.arange(60)[training.points_of(3, 1, 0, 60, 60)],
                                  np.arange(60))


def test_half_a_cosine():
    options = cli.Options(learning_rate=0.4, training_steps=4)
    # 0.2 (1 + cos 0), cos 45 degrees, cos 90 degrees, cos 135 degrees
    np.testing.assert_allclose([training.cosine_rate(options, step) for step in (1, 2, 3, 4)],
                               [0.4, 0.2 + 0.1 * np.sqrt(2), 0.2, 0.2 - 0.1 * np.sqrt(2)])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return tiny.write(str(tmp_path_factory.mktemp('steps')))


def losses(data, folder, *steps, extra=()):
    """Losses by step of a run in as many parts as `steps` has ends."""
    for count in steps:
        assert tiny.call(main, '--ae', '--train', '--data_dir', data, '--real_size=16',
                         '--batch_size_input=60', '--device=cpu', '--report_every=1',
                         '--save_every=1', '--training_steps={}'.format(count), *tiny.SIZES,
                         '--output_path={}'.format(folder), *extra) == 0
    with open(str(folder / 'ae' / 'metrics.jsonl'), encoding='utf-8') as stream:
        return {row['step']: row['loss_ae'] for row in map(json.loads, stream)
                if 'loss_ae' in row}


def test_a_run_on_a_part_of_the_points_goes_on_with_the_same_losses(data, tmp_path):
    extra = ['--points_per_step=20']
    whole = losses(data, tmp_path / 'whole', 7, extra=extra)
    assert len(whole) == 7 and losses(data, tmp_path / 'parts', 3, 7, extra=extra) == whole
    assert whole != losses(data, tmp_path / 'all', 7)


def test_the_rate_falls_from_the_second_step_on(data, tmp_path):
    constant = losses(data, tmp_path / 'constant', 6, extra=['--learning_rate=0.01'])
    falling = losses(data, tmp_path / 'cosine', 6,
                     extra=['--learning_rate=0.01', '--schedule=cosine'])
    # The first step has the full rate; it shows in the loss of the second.
    assert constant[1] == falling[1] and constant[2] == falling[2]
    assert constant[6] != falling[6]


def test_the_cross_entropy_is_that_of_ten_times_the_distance_from_the_threshold():
    # By hand: logits 10 (0.8 - 0.5) = 3, -10, 0 and 17, of which the first two are right.
    expected = (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(-10)) + math.log(2)
                + 17 + math.log(1 + math.exp(-17))) / 4
    raw = tf.constant([[[0.8], [-0.5]], [[0.5], [2.2]]])
    loss = ops.occupancy_cross_entropy(tf.constant([[[1.], [0.]], [[1.], [0.]]]), raw)
    slope = tf.gradients(loss, raw)[0]
    with tf.Session() as sess:
        value, gradient = sess.run([loss, slope])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    # The point that is wrong by far keeps the whole gradient, which the clip takes from it.
    np.testing.assert_allclose(gradient[1, 1, 0], 10 / 4, rtol=1e-6)


def test_the_loss_chosen_is_the_one_that_falls(data, tmp_path):
    rate = ['--learning_rate=0.001', '--he_init', '--leaky_clip']
    of = {name: losses(data, tmp_path / name, 30, extra=rate + ['--loss=' + name])
          for name in ('squared', 'cross_entropy')}
    unset = losses(data, tmp_path / 'unset', 30, extra=rate)
    assert of['squared'] == unset and of['cross_entropy'] != unset
    for values in of.values():
        assert np.mean([values[step] for step in range(26, 31)]) < np.mean(
            [values[step] for step in range(1, 6)])


def test_augmented_runs_go_on_with_the_same_losses(data, tmp_path):
    same = ['--he_init', '--leaky_clip']
    extra = same + ['--augment_mirror=xz', '--augment_scale=0.2']
    whole = losses(data, tmp_path / 'whole', 7, extra=extra)
    assert losses(data, tmp_path / 'parts', 3, 7, extra=extra) == whole
    for name, other in (('none', same), ('mirrored', extra[:3]), ('scaled', same + extra[3:])):
        assert losses(data, tmp_path / name, 7, extra=other) != whole

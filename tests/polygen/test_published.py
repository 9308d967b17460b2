"""What the paper and published measures fix, by hand or by another library, on uneven input."""
import math
import types

import numpy as np
import pytest
import scipy.special
import tensorflow.compat.v1 as tf

from common.training import launch
from polygen import (
    blocks,
    data_utils,
    layers,
    measures,
    options,
    sampling,
    sequences,
    training_graph,
)


def example(name, vertices, faces):
    """An example of a set: vertices int [V, 3], faces as tokens."""
    return {'name': name, 'vertices': np.array(vertices), 'faces': data_utils.flatten_faces(faces),
            'class_label': 0}


# 2 bits: coordinates 0 to 3, five symbols with the stop token.
ONE = example('one', [(0, 0, 0), (2, 0, 0), (0, 1, 3)], [(0, 1, 2)])
TWO = example('two', [(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)], [(0, 1, 2), (0, 1, 3)])


def test_the_constants_of_the_original():
    seed, large = options.PRESETS['seed'], options.PRESETS['large']
    assert (seed['hidden_size'], seed['fc_size'], seed['vertex_layers'], seed['face_layers']) == (
        128, 512, 3, 3)
    assert large['dropout_rate'] == 0.2 and large['max_vertices'] == 800
    assert large['max_face_tokens'] == 2800
    assert options.PRESETS['published']['vertex_dropout_rate'] == 0.4


def test_bits_per_vertex_by_hand():
    assert measures.bits_per_vertex(10 * math.log(2), 4) == pytest.approx(2.5)
    assert measures.bits_per_vertex(12., 8) == pytest.approx(12 / 0.6931471805599453 / 8)


def test_the_uniform_baseline_by_hand():
    figures = measures.uniform_baseline([ONE, TWO], 2)
    # 10 and 13 vertex tokens of 5 symbols; 4 face tokens of 5 symbols and 8 of 6.
    assert figures['bits_vertices'] == pytest.approx(23 * math.log2(5) / 7)
    assert figures['bits_faces'] == pytest.approx((4 * math.log2(5) + 8 * math.log2(6)) / 7)
    assert figures['accuracy_vertices'] == pytest.approx(1 / 5)
    assert figures['accuracy_faces'] == pytest.approx((4 / 5 + 8 / 6) / 12)


def test_the_frequency_baseline_by_hand():
    figures = measures.frequency_baseline([ONE], [TWO], 2)
    # Training: coordinates 0 six times, 1, 2 and 3 once each, one stop; all counted once more.
    # Symbols (stop, 0, 1, 2, 3): 2, 7, 2, 2, 2 of 15. Test: stop once, 0 nine times, 1, 2, 3 once.
    bits = -(9 * math.log2(7 / 15) + 4 * math.log2(2 / 15))
    assert figures['bits_vertices'] == pytest.approx(bits / 4)
    assert figures['accuracy_vertices'] == pytest.approx(9 / 13)
    # Faces: tokens 2, 3, 4, 0 of training: counts stop 2, new face 1, vertices 2, 2, 2, 1 of 10.
    # Test: 2 3 4 1 2 3 5 0: five tokens of 2/10, new face and vertex 3 of 1/10, stop 2/10.
    bits = -(6 * math.log2(2 / 10) + 2 * math.log2(1 / 10))
    assert figures['bits_faces'] == pytest.approx(bits / 4)
    assert figures['accuracy_faces'] == pytest.approx(1 / 8)     # the stop token is the first most
    turned = measures.frequency_baseline([TWO], [ONE], 2)
    # Counts of TWO: stop 2, new 2, vertices 3, 3, 2, (2 of a vertex that ONE has not) of 12.
    bits = -(2 * math.log2(3 / 12) + math.log2(2 / 12) + math.log2(2 / 12))
    assert turned['bits_faces'] == pytest.approx(bits / 3)


def test_loss_and_accuracy_of_tokens_are_the_librarys(run):
    rng = np.random.RandomState(0)
    logits, tokens = rng.normal(size=[2, 4, 5]), rng.randint(0, 5, [2, 4])
    tokens[0] = logits[0].argmax(axis=-1)
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0.]])
    batch = {'faces': tf.constant(tokens), 'faces_mask': tf.constant(mask, tf.float32)}
    distribution = layers.Categorical(logits=tf.constant(logits, tf.float32))
    loss, right = run(measures.sequence_loss(distribution, batch, 'faces'))
    log_probabilities = np.take_along_axis(scipy.special.log_softmax(logits, axis=-1),
                                           tokens[..., None], axis=-1)[..., 0]
    assert loss == pytest.approx(-(log_probabilities * mask).sum(), rel=1e-5)
    assert right == ((logits.argmax(axis=-1) == tokens) * mask).sum() >= 3


def test_the_next_vertex_token_order_is_z_y_x_with_a_stop():
    np.testing.assert_array_equal(measures._tokens(ONE, 'vertices'),
                                  [1, 1, 1, 1, 1, 3, 4, 2, 1, 0])


@pytest.mark.parametrize('vertices, faces, complete, valid', [
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], [(0, 1, 2), (0, 1, 3)], True, True),
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], False, False),
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], True, False),
    ([(0, 0, 0), (0, 0, 0), (0, 1, 0)], [(0, 1, 2)], True, False),      # twice the same
    ([(0, 1, 0), (1, 0, 0), (0, 0, 1)], [(0, 1, 2)], True, False),      # y before x
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1)], True, False),
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2, 1)], True, False),
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], [(0, 1, 2)], True, False),   # one unused
    ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2), (0, 1, 3)], True, False)])
def test_a_valid_sample_is_as_the_training_data(vertices, faces, complete, valid):
    sample = types.SimpleNamespace(vertices=np.array(vertices, float), faces=faces,
                                   complete=complete)
    assert measures.is_valid(sample) == valid


def test_the_nearest_mesh_shares_most_vertices_and_faces():
    vertices = np.array([(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 1)]) / 3 - 0.5
    sample = types.SimpleNamespace(vertices=vertices, faces=[(0, 1, 2), (1, 2, 3)])
    match = measures.nearest(sample, [ONE, TWO], 2)
    # With TWO: three of five vertices; one of three faces.
    assert match == ('two', pytest.approx(3 / 5), pytest.approx(1 / 3))
    moved = types.SimpleNamespace(vertices=vertices + 0.25, faces=sample.faces)
    assert measures.nearest(moved, [TWO], 2, aligned=True) == match
    assert measures.nearest(moved, [TWO], 2).vertices < 3 / 5


def test_a_sample_that_shares_no_vertex_is_said_to_be_near_none():
    corner = types.SimpleNamespace(vertices=np.array([(3, 3, 3)]) / 3 - 0.5, faces=[])
    assert measures.describe_matches([corner], [ONE, TWO], 2) == [
        'sample 0: not one vertex of any of the 2 meshes', 'exact copies of 0 of 2 meshes: none']


def test_the_mesh_nearest_in_shape_by_hand():
    def example(*vertices):
        return {'name': str(len(vertices)), 'vertices': np.array(vertices)}

    # With 2 bits steps are of 1/3. A segment of 3 steps; one of 2; three points, two of them as
    # the sample's, the third (1, 1, 0) steps from the middle.
    long, short = example((0, 0, 0), (3, 0, 0)), example((1, 0, 0), (3, 0, 0))
    third = example((0, 0, 0), (2, 0, 0), (1, 2, 0))
    sample = types.SimpleNamespace(vertices=np.array([(5., 0, 0), (5 + 2 / 3., 0, 0)]))
    match, distance = measures.nearest_in_shape([sample], [long, short], 2)[0]
    assert match is short and distance == pytest.approx(0, abs=1e-7)
    match, distance = measures.nearest_in_shape([sample], [long, third], 2)[0]
    # long: half a step at each end in both directions, 1/6. third, whose box is two steps high:
    # both ends are (0, 1) steps from the sample's, the third point sqrt(1 + 1) steps; back 1 each.
    assert match is long and distance == pytest.approx(1 / 6.)
    distance = measures.nearest_in_shape([sample], [third], 2)[0][1]
    assert distance == pytest.approx(((1 + 1 + 2 ** 0.5) / 3 + 1) / 2 / 3)


def test_quantising_in_the_graph_by_hand(run):
    values = run(sequences.dequantize_verts(tf.constant([0, 1, 2, 3]), 2))
    np.testing.assert_allclose(values, [-0.5, 1 / 3 - 0.5, 2 / 3 - 0.5, 0.5], rtol=1e-6)
    points = tf.constant([-0.5, -0.2, 0.2, 0.33, 0.5])      # 0, 0.9, 2.1, 2.49, 3
    np.testing.assert_array_equal(run(sequences.quantize_verts(points, 2)), [0, 0, 2, 2, 3])
    np.testing.assert_array_equal(run(sequences.quantize_verts(points, 2, exact=True)),
                                  [0, 1, 2, 2, 3])
    np.testing.assert_array_equal(data_utils.quantize_verts(
        np.array([-0.5, -0.2, 0.2, 0.5]), 2), [0, 0, 2, 3])


def test_tokens_become_recentred_vertices(run):
    # z y x of two vertices, a stop, and something behind it; 2 bits.
    tokens = tf.constant([[1, 2, 3, 4, 4, 3, 0, 2, 2, 2], [4, 3, 2, 1, 1, 1, 2, 2, 2, 1]])
    parts = run(sequences.vertices_from_tokens(tokens, 2, recenter_verts=False,
                                               only_return_complete=False))
    np.testing.assert_array_equal(parts['completed'], [True, False])
    np.testing.assert_array_equal(parts['num_vertices'], [2, 3])
    np.testing.assert_allclose(parts['vertices'][0], [
        [2 / 3 - 0.5, 1 / 3 - 0.5, -0.5], [2 / 3 - 0.5, 0.5, 0.5], [0, 0, 0]], rtol=1e-5)
    parts = run(sequences.vertices_from_tokens(tokens, 2))
    assert len(parts['vertices']) == 1
    np.testing.assert_allclose(parts['vertices'][0], [[0, -1 / 3, -0.5], [0, 1 / 3, 0.5],
                                                      [0, 0, 0]], rtol=1e-5)


def test_faces_end_with_the_last_complete_one(run):
    tokens = tf.constant([[2, 3, 4, 1, 2, 3, 5, 0, 6], [2, 3, 4, 1, 2, 4, 5, 1, 3]])
    parts = run(sequences.faces_from_tokens(tokens, {'row': tf.constant([7, 8])}, False))
    np.testing.assert_array_equal(parts['faces'], [[2, 3, 4, 1, 2, 3, 5, 0, 0],
                                                   [2, 3, 4, 1, 2, 4, 5, 0, 0]])
    np.testing.assert_array_equal(parts['num_face_indices'], [8, 8])
    parts = run(sequences.faces_from_tokens(tokens, {'row': tf.constant([7, 8])}))
    assert len(parts['faces']) == 1 and parts['context']['row'] == [7]


def test_attention_is_a_softmax_of_products_over_the_root_of_the_size(run):
    rng = np.random.RandomState(0)
    query, key, value = (rng.normal(size=[1, 1, count, 4]) for count in (3, 3, 3))
    bias = np.triu(np.full([3, 3], -1e9), 1)[None, None]
    weights = scipy.special.softmax(query[0, 0] @ key[0, 0].T + bias[0, 0], axis=-1)
    heads = run(blocks.attend(*[tf.constant(one, tf.float32) for one in (query, key, value, bias)]))
    np.testing.assert_allclose(heads[0, 0], weights @ value[0, 0], rtol=1e-4)


def test_layer_norm_has_its_epsilon_under_the_root(run):
    x = np.array([[1e-3, -2e-3, 4e-3, 0]])
    expected = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    np.testing.assert_allclose(run(layers.layer_norm(tf.constant(x, tf.float32), name='n')),
                               expected, rtol=1e-4)


def test_dropout_scales_what_it_keeps(run):
    dropped = run(blocks._plain_dropout(tf.ones([4000]), 0.2))
    assert set(np.round(dropped, 5)) == {0, 1.25} and abs((dropped == 0).mean() - 0.2) < 0.03


def test_the_gradient_is_that_of_the_mean_of_a_token_cut_in_norm(run):
    settled = types.SimpleNamespace(gradient_clip=0.5, learning_rate=1., warmup_steps=0,
                                    schedule='constant', shared_optimizer=False, batch_size=2)
    graph = training_graph.TrainingGraph((), [], settled, launch.Context(), tf.constant(1))
    weights = tf.get_variable('w', [2], initializer=tf.zeros_initializer())
    model = types.SimpleNamespace(trainable_variables=[weights])
    loss = tf.reduce_sum(weights * [30., 40.])
    for tokens, moved in ((10., [-0.3, -0.4]), (1000., [-0.03, -0.04])):
        update = graph._update(tf.train.GradientDescentOptimizer(1.), loss,
                               tf.constant([tokens / 2, tokens / 2]), model)
        run(weights)
        run(weights.assign([0., 0.]))
        run(update)
        np.testing.assert_allclose(run(weights), moved, rtol=1e-5)


def test_the_optimiser_is_adam_with_its_usual_constants(run):
    settled = types.SimpleNamespace(shared_optimizer=True)
    made = []
    context = types.SimpleNamespace(ranks=None, wrap_optimizer=lambda one: made.append(one) or one)
    graph = training_graph.TrainingGraph((), [], settled, context, tf.constant(1))
    weight = tf.get_variable('w', [], initializer=tf.zeros_initializer())
    step = made[0].apply_gradients([(tf.constant(1e-7), weight)])
    assert len(made) == 1
    value, first, second = 0., 0., 0.
    run(weight)
    for number in (1, 2):
        first, second = 0.9 * first + 0.1 * 1e-7, 0.999 * second + 0.001 * 1e-14
        value -= 0.5 * math.sqrt(1 - 0.999 ** number) / (1 - 0.9 ** number) * first / (
            math.sqrt(second) + 1e-8)
        run(step, {graph.learning_rate: 0.5})
        assert run(weight) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize('scale', [1e-3, 0.3, 1e3])
def test_a_mesh_of_any_size_gets_a_unit_diagonal(scale):
    vertices = scale * np.array([[0, 0, 0], [1, 2, 2.]])
    np.testing.assert_allclose(data_utils.normalize_vertices_scale(vertices),
                               np.array([[0, 0, 0], [1, 2, 2]]) / 3)


def test_nothing_is_filtered_unless_it_is_asked_for(run):
    logits = np.array([[3., -2, 0, 1]])
    kept = run(sampling.filter_logits(tf.constant(logits, tf.float32), sampling.Filters()))
    np.testing.assert_allclose(kept, logits)
    halved = run(sampling.filter_logits(tf.constant(logits, tf.float32),
                                        sampling.Filters(temperature=2.)))
    np.testing.assert_allclose(halved, logits / 2)


def test_nuclear_sampling_by_hand(run):
    probabilities = np.array([[0.15, 0.5, 0.05, 0.3]])
    for top_p, kept in ((0.45, [1]), (0.75, [1, 3]), (0.9, [0, 1, 3])):
        filtered = run(sampling.filter_logits(tf.constant(np.log(probabilities), tf.float32),
                                              sampling.Filters(top_p=top_p)))
        assert np.flatnonzero(filtered[0] > -1e8).tolist() == kept

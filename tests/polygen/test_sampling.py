"""Tests of polygen/sampling.py, and of the draws that polygen/modules.py makes with it."""
import collections
import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common.device import session
from polygen import data_utils, drawing, measures, mesh_sets, modules, sampling, sequences
from polygen import options as options_lib
from tests import golden

STACK = {'hidden_size': 8, 'fc_size': 8, 'num_heads': 2, 'num_layers': 1, 'dropout_rate': 0.}
Stub = collections.namedtuple('Stub', 'num_layers num_heads head_size')
STUB = Stub(1, 1, 2)


def randomize(run):
    """Values by name, large enough that each token depends on those before it."""
    run([variable.assign(golden.draw_weight(5, variable.op.name, variable.shape.as_list(),
                                            'normal', 0., 0.5))
         for variable in tf.trainable_variables()])


def small_blocks(monkeypatch, block=4, capacity=1):
    monkeypatch.setattr(sampling, 'BLOCK_SIZE', block)
    monkeypatch.setattr(sampling, 'FIRST_CAPACITY', capacity)


def never_stop(monkeypatch, greedy=False):
    """Draws without the stop token, so that sequences get long; returns the function."""
    original = sampling.draw

    def draw(logits, noise):
        if greedy:
            return 1 + tf.argmax(logits[:, 1:], axis=1, output_type=tf.int32)
        return 1 + original(logits[:, 1:], noise)

    monkeypatch.setattr(sampling, 'draw', draw)


def assert_drawn_from(run, tokens, logits, sequence, noise, greedy=False):
    """Asserts that the uncached network would have drawn the tokens that the loop has drawn.

    Args:
      tokens: [B, L], of the loop.
      logits: [B, L, K], of the whole sequence `sequence` [B, L].
      noise: [B, L].
      greedy: bool, one symbol over and over will do.
    """
    rows, length = noise.shape
    again = sampling.draw(tf.reshape(logits, [rows * length, -1]), tf.constant(noise.ravel()))
    drawn = run(tokens)
    assert greedy or len(np.unique(drawn)) > 3
    expected = run(again, {sequence: drawn}).reshape(rows, length)
    np.testing.assert_array_equal(drawn, expected)
    return drawn


def vertex_model(memory_efficient=False, **options):
    return modules.VertexModel(dict(STACK, memory_efficient=memory_efficient), **dict(
        {'quantization_bits': 4, 'max_num_input_verts': 70}, **options))


def assert_vertex_cache_is_exact(run, num_vertices, memory_efficient=False, greedy=False,
                                 growing=False):
    model = vertex_model(memory_efficient, class_conditional=True, num_classes=3)
    labels = {'class_label': tf.constant([2, 0, 1])}
    noise = sampling.uniform_noise(0, 3, 3 * num_vertices + 1)
    tokens = model.sample_tokens(3, labels, num_vertices, tf.constant(noise), growing=growing)
    sequence = tf.placeholder(tf.int32, noise.shape)
    logits = model(dict(labels, vertices_flat=sequence)).logits
    randomize(run)
    assert_drawn_from(run, tokens, logits, sequence, noise, greedy)


@pytest.mark.parametrize('memory_efficient, greedy', [(False, False), (False, True),
                                                      (True, False)])
def test_cached_vertices_are_the_uncached_ones_across_archives(run, monkeypatch, memory_efficient,
                                                               greedy):
    small_blocks(monkeypatch)
    never_stop(monkeypatch, greedy)
    assert len(sampling.archive_capacities(46)) >= 4
    assert_vertex_cache_is_exact(run, 15, memory_efficient, greedy)


@pytest.mark.parametrize('memory_efficient', [False, True])
@pytest.mark.parametrize('num_vertices', [1, 5, 15])   # one block, four, and not a whole number
def test_cached_vertices_are_the_uncached_ones_while_the_archive_grows(
        run, monkeypatch, num_vertices, memory_efficient):
    small_blocks(monkeypatch)
    never_stop(monkeypatch, num_vertices == 1)
    assert_vertex_cache_is_exact(run, num_vertices, memory_efficient, num_vertices == 1,
                                 growing=True)


def test_a_growing_archive_makes_a_graph_that_no_length_makes_larger(monkeypatch):
    small_blocks(monkeypatch)
    sizes = []
    for num_vertices in (15, 60):
        with tf.Graph().as_default() as graph:
            vertex_model().sample_tokens(1, {}, num_vertices, growing=True)
            sizes.append(len(graph.as_graph_def().node))
    assert sizes[0] == sizes[1]


def test_cached_vertices_are_the_uncached_ones_with_the_real_block_size(run, monkeypatch):
    never_stop(monkeypatch)
    assert len(sampling.archive_capacities(193)) == 2   # two loops, the second with an archive
    assert_vertex_cache_is_exact(run, 64)               # that the first has begun to fill


@pytest.mark.parametrize('options', [{}, {'decoder_cross_attention': False}],
                         ids=['cross', 'no-cross'])
@pytest.mark.parametrize('growing', [False, True])
def test_cached_faces_are_the_uncached_ones_across_archives(run, monkeypatch, options, growing):
    small_blocks(monkeypatch)
    never_stop(monkeypatch)
    rng = np.random.RandomState(0)
    context = {'vertices': tf.constant(rng.uniform(-.5, .5, [2, 7, 3]).astype(np.float32)),
               'vertices_mask': tf.constant([[1.] * 7, [1.] * 5 + [0.] * 2])}
    model = modules.FaceModel(STACK, STACK, class_conditional=False, max_seq_length=40, **options)
    noise = sampling.uniform_noise(1, 2, 30)
    tokens = model.sample_tokens(context, 30, tf.constant(noise), growing=growing)
    sequence = tf.placeholder(tf.int32, noise.shape)
    logits = model(dict(context, faces=sequence)).logits
    randomize(run)
    drawn = assert_drawn_from(run, tokens, logits, sequence, noise)
    assert drawn[1].max() < 5 + 2


@pytest.mark.parametrize('kind, name, shape', [
    (modules.ImageToVertexModel, 'image', [2, 16, 16, 1]),
    (modules.VoxelToVertexModel, 'voxels', [2, 4, 4, 4])])
def test_a_sequential_context_is_projected_once_for_all_steps(run, monkeypatch, kind, name, shape):
    small_blocks(monkeypatch)
    never_stop(monkeypatch)
    values = np.random.RandomState(1).randint(0, 2, shape)
    context = {name: tf.constant(values, tf.float32 if name == 'image' else tf.int32)}
    model = kind({'hidden_sizes': (4, 8), 'num_blocks': (1, 1)}, STACK, 4, max_num_input_verts=9)
    noise = sampling.uniform_noise(2, 2, 16)
    tokens = model.sample_tokens(2, context, 5, tf.constant(noise))
    sequence = tf.placeholder(tf.int32, noise.shape)
    logits = model(dict(context, vertices_flat=sequence)).logits
    randomize(run)
    assert_drawn_from(run, tokens, logits, sequence, noise)


@pytest.mark.parametrize('block, first', [(32, 4), (4, 1), (7, 3)])
def test_archives_hold_all_blocks_but_the_last_and_at_most_double(monkeypatch, block, first):
    small_blocks(monkeypatch, block, first)
    for tokens in itertools.chain(range(1, 400), (2401, 2800, 5000)):
        blocks = -(-tokens // block)
        capacities = sampling.archive_capacities(tokens)
        assert capacities[-1] == blocks - 1
        assert capacities[0] == min(first, blocks - 1)
        for small, large in zip(capacities, capacities[1:]):
            assert small < large <= 2 * small


def test_archives_are_enlarged_in_front_and_keep_what_they_hold(run, monkeypatch):
    small_blocks(monkeypatch, 2)
    keys, values = np.random.RandomState(0).rand(2, 2, 3, 4, 5)    # [B, H, two blocks of 2, s]
    (first, second), = run(sampling._enlarged([(tf.constant(keys), tf.constant(values))], 4,
                                              (1, 2, 3), 5))
    for enlarged, before in ((first, keys), (second, values)):
        assert enlarged.shape == (2, 3, 8, 5) and not enlarged[:, :, :4].any()
        np.testing.assert_array_equal(enlarged[:, :, 4:], before)


def test_draws_invert_the_distribution(run):
    # Evenly spread noise finds each symbol as often as its probability says, to one draw.
    logits = np.random.RandomState(0).normal(0, 2, 11).astype(np.float32)
    share = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    count = 5000
    noise = ((np.arange(count) + .5) / count).astype(np.float32)
    drawn = run(sampling.draw(tf.constant(np.tile(logits, [count, 1])), tf.constant(noise)))
    frequencies = np.bincount(drawn, minlength=11)
    assert drawn.dtype == np.int32 and np.abs(frequencies - share * count).max() <= 1.01
    assert (np.diff(drawn) >= 0).all()      # the inverse of a cumulative distribution rises


@pytest.mark.parametrize('noise', [0., 1e-8, 0.5, np.nextafter(np.float32(1), np.float32(0))])
def test_a_symbol_without_probability_is_never_drawn(run, noise):
    rng = np.random.RandomState(1)
    logits = rng.normal(0, 4, [3000, 257]).astype(np.float32)
    removed = rng.uniform(size=logits.shape) < rng.uniform(size=[3000, 1])
    removed[np.arange(3000), rng.randint(0, 257, 3000)] = False     # one stays at least
    logits[removed] = -1e9
    drawn = run(sampling.draw(tf.constant(logits), tf.fill([3000], np.float32(noise))))
    assert drawn.min() >= 0 and drawn.max() <= 256
    assert not removed[np.arange(3000), drawn].any()


def test_extreme_noise_draws_the_first_and_the_last_symbol(run):
    logits = tf.constant([[-1e9, 0., 1., -1e9, 2., -1e9]] * 2)
    last = np.nextafter(np.float32(1), np.float32(0))
    np.testing.assert_array_equal(run(sampling.draw(logits, tf.constant([0., last]))), [1, 4])


def test_the_uniform_noise_of_a_seed_lies_below_one():
    noise = sampling.uniform_noise([3, 1], 4, 5000)
    assert noise.dtype == np.float32 and noise.shape == (4, 5000)
    assert noise.min() >= 0 and noise.max() < 1 and abs(noise.mean() - 0.5) < 0.01
    np.testing.assert_array_equal(noise, sampling.uniform_noise([3, 1], 4, 5000))
    assert (noise != sampling.uniform_noise([3, 2], 4, 5000)).mean() > 0.99


def scripted(script, calls=None, **options):
    """Tokens of a step that always draws script[row][index], whatever the noise."""
    script = np.array(script, np.int32)
    symbols = script.max() + 1

    def note(index):
        calls.append(int(index))
        return np.float32(0)

    def step(last, index, cache):
        del last, cache
        wanted = tf.gather(tf.constant(script), index, axis=1)
        logits = tf.one_hot(wanted, int(symbols), on_value=50., off_value=0.)
        if calls is None:
            return logits
        seen = tf.py_func(note, [index], tf.float32)
        return logits + tf.reshape(seen, [1, 1])

    rows, length = script.shape
    return sampling.draw_tokens(step, STUB, rows, length, tf.fill([rows, length], 0.5),
                                sampling.Filters(), **options)[0]


SCRIPT = [[3, 0, 2, 1, 2, 3, 1, 2, 1, 1], [1, 2, 3, 1, 0, 3, 0, 2, 1, 2]]


@pytest.mark.parametrize('block', [2, 32])
def test_rows_that_have_stopped_get_zeros_and_the_loop_ends_with_the_last(run, monkeypatch, block):
    small_blocks(monkeypatch, block)
    calls = []
    tokens = run(scripted(SCRIPT, calls))
    np.testing.assert_array_equal(tokens, [[3] + [0] * 9, [1, 2, 3, 1] + [0] * 6])
    assert calls == [0, 1, 2, 3, 4]     # five steps of ten: the second row stops in the fifth


def test_rows_keep_drawing_until_the_last_stops_where_the_original_is_asked_for(run, monkeypatch):
    small_blocks(monkeypatch, 2)
    tokens = run(scripted(SCRIPT, keep_drawing=True))
    np.testing.assert_array_equal(tokens, [[3, 0, 2, 1, 2] + [0] * 5, [1, 2, 3, 1] + [0] * 6])


def test_a_row_without_a_stop_token_fills_its_length(run, monkeypatch):
    small_blocks(monkeypatch, 4)
    script = [[1, 2, 3, 1, 2, 3, 1, 2, 1, 1]]
    np.testing.assert_array_equal(run(scripted(script)), script)


def test_the_same_noise_gives_the_same_tokens(run):
    model = vertex_model()
    noise = tf.placeholder(tf.float32, [4, 16])
    tokens = model.sample_tokens(4, None, 5, noise)
    randomize(run)
    seeds = [run(tokens, {noise: sampling.uniform_noise(seed, 4, 16)}) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(seeds[0], seeds[2])
    assert (seeds[0] != seeds[1]).any(axis=1).all()


def test_a_draw_follows_the_filtered_distribution_of_its_prefix(run):
    model = vertex_model()
    filters = sampling.Filters(temperature=0.8, top_k=5, top_p=0.9, top_k_per_row=True)
    noise = sampling.uniform_noise(2, 3, 16)
    tokens = model.sample_tokens(3, None, 5, tf.constant(noise), filters)
    sequence = tf.placeholder(tf.int32, [3, 16])
    logits = sampling.filter_logits(model({'vertices_flat': sequence}).logits, filters)
    again = tf.stack([sampling.draw(logits[:, place], tf.constant(noise[:, place]))
                      for place in range(16)], axis=1)
    randomize(run)
    drawn = run(tokens)
    stopped = np.cumsum(drawn == 0, axis=1) - (drawn == 0) > 0
    np.testing.assert_array_equal(drawn, np.where(stopped, 0, run(again, {sequence: drawn})))


class Steps:
    """Runs rules step by step outside the graph.

    Args:
      run: the fixture.
      rules: VertexRules or FaceRules.
      batch, symbols: int.
    """

    def __init__(self, run, rules, batch, symbols):
        self._run = run
        initial = rules.initial(batch)
        self._state = [tf.placeholder(part.dtype, part.shape) for part in initial]
        self._token = tf.placeholder(tf.int32, [batch])
        self._index = tf.placeholder(tf.int32, [])
        zeros = tf.zeros([batch, symbols])
        self._allowed = rules.remove_invalid(zeros, tuple(self._state), self._index) > -1e8
        self._next = rules.advance(tuple(self._state), self._token, self._index)
        self._initial = run(initial)

    def start(self):
        self._values, self._place = list(self._initial), 0
        return self

    def _feed(self):
        feed = dict(zip(self._state, self._values))
        feed[self._index] = self._place
        return feed

    def allowed(self):
        """bool [B, K]: what may come next."""
        return self._run(self._allowed, self._feed())

    def advance(self, tokens):
        feed = self._feed()
        feed[self._token] = tokens
        self._values = self._run(self._next, feed)
        self._place += 1


def test_vertex_rules_allow_exactly_the_prefixes_of_sorted_sequences(run):
    # All 255 sets of vertices of a cube of 1 bit: what may follow is known by listing them.
    corners = sorted(itertools.product(range(2), repeat=3))     # (z, y, x)
    following = collections.defaultdict(set)
    for chosen in itertools.product((False, True), repeat=8):
        flat = [value + 1 for corner, use in zip(corners, chosen) if use for value in corner]
        if flat:
            for place, token in enumerate(flat + [0]):
                following[tuple(flat[:place])].add(token)
    by_length = collections.defaultdict(list)
    for prefix in following:
        by_length[len(prefix)].append(prefix)
    steps = Steps(run, sampling.VertexRules(1), 128, 3)
    checked = 0
    for length, prefixes in sorted(by_length.items()):
        for begin in range(0, len(prefixes), 128):
            part = prefixes[begin:begin + 128]
            rows = np.resize(np.array(part, np.int32).reshape(len(part), length), [128, length])
            steps.start()
            for token in rows.T:
                steps.advance(token)
            allowed = steps.allowed()
            for row, prefix in zip(allowed, part):
                assert set(np.flatnonzero(row)) == following[prefix], prefix
                checked += 1
    assert checked == len(following) > 500


def rows_of(tokens):
    """Vertices (z, y, x) of a sequence, which must stop behind a whole vertex."""
    stop = list(tokens).index(0)
    assert stop % 3 == 0
    return [tuple(row) for row in np.reshape(tokens[:stop], [-1, 3]) - 1]


@pytest.mark.parametrize('filters, noise, margin', [
    ({}, 0.45, 0.05),                                   # of the border at 0.5
    ({'top_p': 0.75}, 0.45, 0.05),                      # 0.5 + 0.3 lies 0.05 above p
    ({'top_p': 0.}, 0.3, np.log(0.5 / 0.3)),            # greedy: from the second best
    ({'top_k': 2, 'top_k_per_row': True}, 0.2, np.log(0.3 / 0.2)),
    ({'top_k': 2, 'top_k_per_row': True}, 0.6, 0.025)])     # borders at 0.625 and 1
def test_the_margin_of_a_draw_is_its_distance_from_another_one(run, filters, noise, margin):
    logits = tf.log(tf.constant([[0.5, 0.3, 0.2]]))
    filters = sampling.Filters(**filters)
    filtered = sampling.filter_logits(logits, filters)
    actual = run(sampling.margin(logits, filtered, tf.constant([noise]), filters))
    np.testing.assert_allclose(actual, [margin], rtol=1e-5)


def test_margins_come_in_the_places_of_their_tokens(run, monkeypatch):
    small_blocks(monkeypatch, 2)    # several blocks, and an archive
    rng = np.random.RandomState(0)
    table = rng.dirichlet([1, 1, 1], [7, 2]).astype(np.float32)     # [token, row, symbol]
    table[:, :, 0] = 0
    table[4, 1] = [1, 0, 0]     # the second row stops at its fifth token
    noise = sampling.uniform_noise(0, 2, 7)
    _, margins = run(sampling.draw_tokens(
        lambda last, index, cache: tf.log(tf.gather(tf.constant(table), index) + 1e-30), STUB, 2, 7,
        tf.constant(noise), sampling.Filters()))
    borders = np.cumsum(table / table.sum(-1, keepdims=True), axis=-1)
    expected = np.abs(borders - noise.T[..., None]).min(axis=-1).T
    np.testing.assert_allclose(margins[0], expected[0], rtol=1e-4)
    np.testing.assert_allclose(margins[1], list(expected[1][:5]) + [1, 1], rtol=1e-4)


def random_steps(seed, rows, length, symbols):
    """A step function of random, far-apart logits that now and then wants to stop."""
    rng = np.random.RandomState(seed)
    logits = rng.normal(0, 8, [length, rows, symbols]).astype(np.float32)
    logits[..., :2] += 6
    table = tf.constant(logits)
    return lambda last, index, cache: tf.gather(table, index)


def draw_by_rules(rules, seed, rows, length, symbols):
    return sampling.draw_tokens(
        random_steps(seed, rows, length, symbols), STUB, rows, length,
        tf.constant(sampling.uniform_noise(seed, rows, length)), sampling.Filters(),
        rules=rules)[0]


@pytest.mark.parametrize('bits, seed', [(1, 0), (2, 1), (3, 2)])
def test_vertices_drawn_by_the_rules_are_sorted_and_different(run, bits, seed):
    most = 8 ** bits    # as many as there are: no row can fail to stop
    length = 3 * min(most, 40) + 1
    tokens = run(draw_by_rules(sampling.VertexRules(bits), seed, 200, length, 2 ** bits + 1))
    complete = [row for row in tokens if (row == 0).any()]
    assert len(complete) == 200 or most > 40
    assert len(complete) > 100
    for row in complete:
        rows = rows_of(row)
        assert rows and all(one < two for one, two in zip(rows, rows[1:]))
        assert 0 <= np.min(rows) and np.max(rows) < 2 ** bits


@pytest.mark.parametrize('bits', [1, 2, 3])
def test_vertex_rules_never_lead_into_a_dead_end(run, bits):
    steps = Steps(run, sampling.VertexRules(bits), 500, 2 ** bits + 1).start()
    rng = np.random.RandomState(bits)
    done = np.zeros(500, bool)
    # Now the highest allowed value, now any: the ends of the ranges are where rules go wrong.
    greedy = rng.uniform(size=500) < 0.5
    for _ in range(3 * 8 ** bits + 1):
        allowed = steps.allowed()
        assert allowed[~done].any(axis=1).all()
        score = allowed * (1 + np.where(greedy[:, None], np.arange(2 ** bits + 1),
                                        rng.uniform(size=allowed.shape)))
        tokens = np.where(done, 0, score.argmax(axis=1)).astype(np.int32)
        steps.advance(tokens)
        done |= tokens == 0
        if done.all():
            break
    assert done.all()


def check_faces(tokens, count):
    """An independent reading of a complete face sequence of a mesh of `count` vertices."""
    tokens = list(tokens)
    stop = tokens.index(0)
    assert not any(tokens[stop:])
    faces = [[]]
    for token in tokens[:stop]:
        if token == 1:
            faces.append([])
        else:
            faces[-1].append(token - 2)
    for face in faces:
        assert len(face) >= 3 and len(set(face)) == len(face)
        assert face[0] == min(face) and max(face) < count
    firsts = [face[0] for face in faces]
    assert firsts == sorted(firsts)
    assert {corner for face in faces for corner in face} == set(range(count))
    assert data_utils.unflatten_faces(tokens[:stop + 1]) == faces
    return faces


def masks(counts, size):
    return (np.arange(size) < np.array(counts)[:, None]).astype(np.float32)


@pytest.mark.parametrize('size, seed', [(3, 0), (4, 1), (5, 2), (9, 3)])
def test_faces_drawn_by_the_rules_are_those_of_meshes(run, size, seed):
    counts = np.random.RandomState(seed).randint(3, size + 1, 200)
    rules = sampling.FaceRules(tf.constant(masks(counts, size)))
    tokens = run(draw_by_rules(rules, seed, 200, 120, size + 2))
    complete = [(row, count) for row, count in zip(tokens, counts) if (row == 0).any()]
    assert len(complete) > 150
    sizes = set()
    for row, count in complete:
        faces = check_faces(row, count)
        sizes.update(map(len, faces))
        rising = np.stack([np.zeros(count), np.zeros(count), np.arange(count)], axis=1)
        assert measures.is_valid(drawing.Sample(0, rising, faces, True))
    assert len(sizes) > 1 or size == 3


@pytest.mark.parametrize('size', [3, 4, 6])
def test_face_rules_never_lead_into_a_dead_end(run, size):
    counts = np.random.RandomState(size).randint(3, size + 1, 400)
    steps = Steps(run, sampling.FaceRules(tf.constant(masks(counts, size))), 400,
                  size + 2).start()
    rng = np.random.RandomState(size)
    done = np.zeros(400, bool)
    longest = rng.uniform(size=400) < 0.3   # rows that close a face only when they must
    for _ in range(400):
        allowed = steps.allowed()
        assert allowed[~done].any(axis=1).all()
        bonus = np.where(longest[:, None], np.arange(size + 2) > 1, np.arange(size + 2) == 0)
        score = allowed * (1 + rng.uniform(size=allowed.shape) + 0.7 * bonus)
        tokens = np.where(done, 0, score.argmax(axis=1)).astype(np.int32)
        steps.advance(tokens)
        done |= tokens == 0
    assert done.mean() > 0.95


def test_face_rules_stop_at_once_where_no_face_can_be(run):
    rules = sampling.FaceRules(tf.constant(masks([0, 1, 2, 3], 4)))
    allowed = Steps(run, rules, 4, 6).start().allowed()
    np.testing.assert_array_equal(allowed, [[1, 0, 0, 0, 0, 0]] * 3 + [[0, 0, 1, 0, 0, 0]])


@pytest.fixture(scope='module')
def toy():
    return mesh_sets.load_meshes(options_lib.SHIPPED_MESHES)[0]


def test_rules_allow_every_token_of_the_shipped_meshes(run, toy):
    size = max(len(example['vertices']) for example in toy)
    counts = [len(example['vertices']) for example in toy]
    batch = mesh_sets.vertex_batch(toy, 3 * size + 1)['vertices_flat']
    faces = mesh_sets.face_batch(toy, size, max(len(example['faces']) for example in toy))
    for tokens, rules, symbols in [
            (batch, sampling.VertexRules(8), 257),
            (faces['faces'], sampling.FaceRules(tf.constant(masks(counts, size))), size + 2)]:
        steps = Steps(run, rules, 4, symbols).start()
        stopped = np.zeros(4, bool)
        for column in tokens.T:
            allowed = steps.allowed()[np.arange(4), column]
            assert (allowed | stopped).all(), (type(rules).__name__, steps._place)
            steps.advance(column)
            stopped |= column == 0
        assert stopped.all()


@pytest.mark.parametrize('seed', [0, 1])
def test_models_draw_only_valid_meshes_when_asked_to(run, seed):
    vertex = modules.VertexModel(STACK, 2, max_num_input_verts=64)
    face = modules.FaceModel(STACK, STACK, class_conditional=False, max_seq_length=400)
    noise = [tf.constant(sampling.uniform_noise([seed, part], 6, length))
             for part, length in enumerate((193, 400))]
    vertices = vertex.sample(6, noise=noise[0], valid_only=True, recenter_verts=False,
                             only_return_complete=False)
    faces = face.sample(vertices, noise=noise[1], valid_only=True, only_return_complete=False)
    randomize(run)
    points, polygons = run((vertices, {key: faces[key] for key in (
        'completed', 'faces', 'num_face_indices')}))
    assert points['completed'].all()    # 64 vertices of 2 bits are all there are
    complete = 0
    for row in range(6):
        count = points['num_vertices'][row]
        num_tokens = polygons['num_face_indices'][row]
        drawn = drawing.Sample(
            0, points['vertices'][row, :count],
            data_utils.unflatten_faces(polygons['faces'][row, :num_tokens]),
            polygons['completed'][row])
        if drawn.complete and count >= 3:
            complete += 1
            check_faces(polygons['faces'][row], count)
            assert measures.is_valid(drawn)
    assert complete


def vertices_of(run, tokens, **options):
    return run(sequences.vertices_from_tokens(tf.constant(tokens, tf.int32), 8, **options))


def test_a_vertex_that_the_stop_token_cuts_is_dropped(run):
    outputs = vertices_of(run, [[1, 2, 256, 5, 6, 0, 9], [1, 2, 3, 4, 5, 6, 7],
                              [0, 2, 3, 4, 5, 6, 7]],
                        recenter_verts=False, only_return_complete=False)
    np.testing.assert_array_equal(outputs['completed'], [True, False, True])
    np.testing.assert_array_equal(outputs['num_vertices'], [1, 2, 0])
    np.testing.assert_array_equal(outputs['vertices_mask'], [[1, 0], [1, 1], [0, 0]])
    expected = np.array([255, 1, 0]) / 255 - 0.5       # (x, y, z) of tokens (z, y, x) + 1
    np.testing.assert_allclose(outputs['vertices'][0, 0], expected, atol=1e-6)
    assert not outputs['vertices'][0, 1].any() and not outputs['vertices'][2].any()


@pytest.mark.parametrize('rewrites_graph', [True, False])
@pytest.mark.parametrize('bits', [4, 6, 8])
def test_drawn_vertices_reach_the_face_model_as_in_training(bits, rewrites_graph):
    levels = np.repeat(np.arange(2 ** bits, dtype=np.int32), 3)
    tokens = tf.placeholder(tf.int32, [1, len(levels) + 1])
    vertices = sequences.vertices_from_tokens(tokens, bits, recenter_verts=False)['vertices']
    config = session.session_config('cpu', rewrites_graph=rewrites_graph)
    with tf.Session(config=config) as sess:
        drawn, found = sess.run((vertices, sequences.quantize_verts(vertices, bits)),
                                {tokens: np.append(levels + 1, 0)[None]})
    trained = mesh_sets.graph_dequantized(levels.reshape(-1, 3), bits)
    np.testing.assert_array_equal(drawn[0], trained)
    # By NumPy in float32; a division instead of the product lowers 3, 15 and 63 of the levels.
    assert (found[0, :, 0] == levels[::3]).sum() == 2 ** bits - {4: 2, 6: 11, 8: 47}[bits]


def test_recentring_moves_the_middle_of_the_box_to_zero(run):
    outputs = vertices_of(run, [[1, 1, 1, 101, 51, 201, 0], [0] * 7, [11, 11, 11, 0, 1, 1, 1]])
    vertices = outputs['vertices']
    np.testing.assert_allclose(vertices[0, 0], -vertices[0, 1], atol=1e-6)
    np.testing.assert_allclose(vertices[0, 1] - vertices[0, 0], np.array([200, 50, 100]) / 255,
                               atol=1e-6)
    assert not vertices[1].any() and not vertices[2].any()      # nothing, and one vertex
    assert np.isfinite(vertices).all()


def test_faces_behind_the_last_whole_one_are_cut(run):
    tokens = [[2, 3, 4, 1, 3, 4, 5, 0, 2, 2], [2, 3, 4, 1, 3, 4, 5, 3, 2, 2],
              [2, 3, 4, 5, 3, 4, 5, 3, 2, 2], [0, 3, 4, 1, 3, 4, 5, 3, 2, 2]]
    context = {'vertices_mask': tf.ones([4, 4]), 'name': tf.constant([10, 11, 12, 13])}
    outputs = run(sequences.faces_from_tokens(tf.constant(tokens), context, False))
    np.testing.assert_array_equal(outputs['completed'], [True, False, False, True])
    np.testing.assert_array_equal(outputs['num_face_indices'], [8, 4, 1, 1])
    np.testing.assert_array_equal(outputs['faces'], [
        [2, 3, 4, 1, 3, 4, 5, 0, 0, 0], [2, 3, 4] + [0] * 7, [0] * 10, [0] * 10])
    complete = run(sequences.faces_from_tokens(tf.constant(tokens), context))
    np.testing.assert_array_equal(complete['context']['name'], [10, 13])
    np.testing.assert_array_equal(complete['num_face_indices'], [8, 1])

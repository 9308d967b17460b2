"""Tests of common/frozen.py."""
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from common.frozen import __main__ as command
from common.frozen import freezing
from common.frozen import graph as graph_lib
from common.frozen import model as model_lib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def a_network():
    """Builds a network with variables and a loop.

    Returns:
      (inputs, outputs): {'points' [2, 3], 'count' int32 []}; {'score' [2, 4], 'best' int32 [2]}.
    """
    points = tf.placeholder(tf.float32, [2, 3], name='points')
    count = tf.placeholder(tf.int32, [], name='count')
    weights = tf.get_variable('w', [3, 4], initializer=tf.random_normal_initializer(seed=1))
    mean = tf.get_variable('mean', [4], trainable=False, initializer=tf.ones_initializer())
    with tf.device('/cpu:0'):
        hidden = tf.matmul(points, weights) - mean
    _, score = tf.while_loop(
        lambda i, _: i < count, lambda i, values: (i + 1, tf.tanh(values + mean)), [0, hidden])
    return ({'points': points, 'count': count},
            {'score': score, 'best': tf.argmax(score, 1, output_type=tf.int32)})


def frozen_network(path, **kwargs):
    """Freezes the network, a gradient beside it; returns (manifest, live(points, count))."""
    inputs, outputs = a_network()
    tf.train.AdamOptimizer().minimize(tf.reduce_sum(tf.get_variable('other', [2]) ** 2))
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    manifest = freezing.freeze(sess, inputs, outputs, str(path), **kwargs)

    def live(points, count):
        return sess.run(outputs, {inputs['points']: points, inputs['count']: count})

    return manifest, live


POINTS = np.random.RandomState(0).normal(size=[2, 3]).astype(np.float32)


def test_the_frozen_graph_gives_what_the_session_gives(tmp_path):
    manifest, live = frozen_network(tmp_path / 'model.pb', check_feed={'points': POINTS})
    assert manifest['max_difference'] <= 1e-6
    with model_lib.load(str(tmp_path / 'model.pb')) as model:
        for count in (0, 1, 5):
            actual, expected = model.predict(points=POINTS, count=count), live(POINTS, count)
            assert sorted(actual) == ['best', 'score']
            np.testing.assert_allclose(actual['score'], expected['score'], rtol=0, atol=1e-6)
            np.testing.assert_array_equal(actual['best'], expected['best'])
            assert np.ptp(actual['score']) > 1e-3


def drawn_network():
    """Builds rows [3, 4] of scores -> 1 where one is above 0.5 (four in sequence), and their sum.

    Returns:
      (inputs, outputs, margins); a variable `shift`, 0, is added to the scores.
    """
    scores = tf.placeholder(tf.float32, [3, 4], name='scores')
    shift = tf.get_variable('shift', [], initializer=tf.zeros_initializer())
    moved = scores + shift
    tokens = tf.cast(moved > 0.5, tf.int32)
    outputs = {'tokens': tokens, 'total': tf.reduce_sum(tokens, axis=1)}
    return {'scores': scores}, outputs, {'tokens': tf.abs(moved - 0.5)}


SCORES = np.float32([[0.1, 0.9, 0.2, 0.8], [0.7, 0.499999, 0.3, 0.6], [0.9, 0.9, 0.1, 0.1]])


@pytest.mark.parametrize('change, moved', [(0., 0), (2e-6, 1), (-2e-6, 0)])
def test_a_choice_within_rounding_may_come_out_otherwise_and_is_counted(
        change, moved, tmp_path, monkeypatch, capsys):
    manifest = _freeze_changed(change, tmp_path / 'model.pb', monkeypatch)
    assert manifest['moved_choices'] == moved
    note = 'note: {}: {} of 12 choices came out otherwise'.format(tmp_path / 'model.pb', moved)
    assert (note in capsys.readouterr().out) == bool(moved)
    with np.load(str(tmp_path / 'model_margins.npz')) as margins:
        np.testing.assert_allclose(margins['tokens'], np.abs(SCORES - 0.5), atol=1e-7)


def test_a_choice_beyond_rounding_is_refused(tmp_path, monkeypatch):
    with pytest.raises(errors.InputError, match=r'"tokens" differs .* margin is 0\.1, beyond'):
        _freeze_changed(0.15, tmp_path / 'model.pb', monkeypatch)   # 0.1 of 0.4, first of its row
    assert not (tmp_path / 'model.pb').exists()


def _freeze_changed(change, path, monkeypatch):
    """Freezes `drawn_network`; in the written graph the constant `shift` is `change`."""
    scores = np.array(SCORES)
    scores[0, 2] = 0.4      # the first choice that a change of 0.15 moves
    inputs, outputs, margins = drawn_network()
    imported = graph_lib.imported

    def changed(graph_def, *more):
        for node in graph_def.node:
            if node.name == 'shift':
                node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(np.float32(change)))
        return imported(graph_def, *more)

    monkeypatch.setattr(graph_lib, 'imported', changed)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        return freezing.freeze(sess, inputs, outputs, str(path), margins=margins,
                               check_feed={'scores': SCORES if change < 0.1 else scores})


def test_only_constants_and_computation_are_left(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    nodes = graph_lib.read_graph(str(tmp_path / 'model.pb')).node
    kinds = {node.op for node in nodes}
    assert not kinds & {'VariableV2', 'VarHandleOp', 'Assign', 'SaveV2', 'ApplyAdam'}
    assert not [node.name for node in nodes if node.device or 'other' in node.name]
    # TensorFlow 1.15 refuses a graph with attributes that came later.
    assert not [node.name for node in nodes if set(node.attr) & {'grad_a', 'grad_b'}]
    assert [node.name for node in nodes if node.op == 'MatMul']


def test_the_manifest_holds_the_ends_the_notes_and_the_conversion(tmp_path):
    manifest, _ = frozen_network(tmp_path / 'my model.pb', aliases={'f_output': 'score'},
                                 notes={'checkpoint': 'model-5'})
    assert manifest == json.loads((tmp_path / 'my model.json').read_text())
    assert manifest['inputs'] == {
        'points': {'shape': [2, 3], 'dtype': 'float32', 'batch_axis': 0},
        'count': {'shape': [], 'dtype': 'int32', 'batch_axis': None}}
    assert manifest['outputs'] == {
        'score': {'shape': [2, 4], 'dtype': 'float32', 'batch_axis': 0},
        'best': {'shape': [2], 'dtype': 'int32', 'batch_axis': 0}}
    assert manifest['aliases'] == {'f_output': 'score'}
    assert manifest['notes'] == {'checkpoint': 'model-5'}
    assert manifest['lint']['error'] == 0 and manifest['lint']['warning'] > 0
    assert manifest['atc'] == (
        "atc --model='my model.pb' --framework=3 --output='my model' --soc_version=Ascend310 "
        '--input_shape="points:2,3;count:" --out_nodes="score:0;best:0" --input_format=ND '
        '--log=error')


def test_aliases_are_nodes_with_the_same_values(tmp_path):
    frozen_network(tmp_path / 'model.pb', aliases={'f_output': 'score'})
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_lib.read_graph(str(tmp_path / 'model.pb')), name='')
    with tf.Session(graph=graph) as sess:
        pair = sess.run(['score:0', 'f_output:0'], {'points:0': POINTS, 'count:0': 2})
    np.testing.assert_array_equal(*pair)


def test_shapes_inside_a_loop_survive(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_lib.read_graph(str(tmp_path / 'model.pb')), name='')
    assert [op.type for op in graph.get_operations() if op.type == 'LoopCond']
    assert not [tensor for op in graph.get_operations() for tensor in op.outputs
                if not tensor.shape.is_fully_defined()]


def test_freezing_twice_in_one_graph_works(tmp_path):
    inputs, outputs = a_network()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for name in ('a.pb', 'b.pb'):
            freezing.freeze(sess, inputs, outputs, str(tmp_path / name))
    assert (tmp_path / 'a.pb').read_bytes() == (tmp_path / 'b.pb').read_bytes()


def test_names_do_not_depend_on_the_scope_of_the_call(tmp_path):
    inputs, outputs = a_network()
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        with tf.name_scope('scope'), tf.control_dependencies([tf.no_op()]):
            freezing.freeze(sess, inputs, outputs, str(tmp_path / 'a.pb'))
    assert sorted(model_lib.load(str(tmp_path / 'a.pb')).outputs) == ['best', 'score']


def refused(path, inputs, outputs, match, **kwargs):
    """Freezes what must be refused; nothing may be left behind."""
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        with pytest.raises(errors.InputError, match=match):
            freezing.freeze(sess, inputs, outputs, str(path), **kwargs)
    assert list(path.parent.iterdir()) == []


def test_a_placeholder_of_unknown_size_is_refused(tmp_path):
    x = tf.placeholder(tf.float32, [None, 3], name='x')
    refused(tmp_path / 'a.pb', {'x': x}, {'y': x * 2}, r'"x" has the shape \(\?, 3\)')


def test_an_input_must_be_a_placeholder_of_its_name(tmp_path):
    x = tf.placeholder(tf.float32, [3], name='other')
    refused(tmp_path / 'a.pb', {'x': x}, {'y': x * 2}, 'not Placeholder other')
    refused(tmp_path / 'a.pb', {'z': x * 1}, {'y': x * 2}, 'must be a placeholder')


def test_an_input_that_no_output_uses_is_refused(tmp_path):
    x, z = (tf.placeholder(tf.float32, [3], name=name) for name in 'xz')
    refused(tmp_path / 'a.pb', {'x': x, 'z': z}, {'y': x * 2}, 'do not depend on the input z')


def test_a_placeholder_that_was_not_named_as_an_input_is_refused(tmp_path):
    x, z = (tf.placeholder(tf.float32, [3], name=name) for name in 'xz')
    refused(tmp_path / 'a.pb', {'x': x}, {'y': x * z}, 'train-in-infer: z')


def test_a_name_that_another_node_has_is_refused(tmp_path):
    x = tf.placeholder(tf.float32, [3], name='x')
    tf.constant(1.0, name='y')
    refused(tmp_path / 'a.pb', {'x': x}, {'y': x * 2}, 'node "y" already, a Const')


def test_what_an_npu_cannot_run_is_refused_with_the_place(tmp_path):
    x = tf.placeholder(tf.float32, [3], name='x')
    y = tf.where(tf.is_nan(x, name='check'), x, x * 2)
    refused(tmp_path / 'a.pb', {'x': x}, {'y': y}, 'error op-no-path: check')
    refused(tmp_path / 'a.pb', {'x': x}, {'z': x * tf.random_uniform([3])}, 'RandomUniform')


@pytest.mark.parametrize('kwargs, match', [
    ({'aliases': {'z': 'nothing'}}, 'aliases.*nothing'),
    ({'check_feed': {'q': 1.0}}, 'check_feed.*q')])
def test_names_in_the_arguments_are_checked(tmp_path, kwargs, match):
    x = tf.placeholder(tf.float32, [3], name='x')
    refused(tmp_path / 'a.pb', {'x': x}, {'y': x * 2}, match, **kwargs)


def test_a_file_of_another_kind_is_refused_as_target(tmp_path):
    x = tf.placeholder(tf.float32, [3], name='x')
    refused(tmp_path / 'a.json', {'x': x}, {'y': x * 2}, 'ends in .pb')


@pytest.mark.parametrize('dtype, change', [(np.float32, 1e-3), (np.int32, 1), (np.float32, np.nan)])
def test_a_frozen_graph_that_differs_from_the_session_is_not_written(
        tmp_path, monkeypatch, dtype, change):
    x = tf.placeholder(tf.as_dtype(dtype), [3], name='x')
    large = 10 ** 7 if dtype is np.int32 else 1  # whole numbers must be equal at any size
    predict = model_lib.FrozenModel.predict

    def changed(model, **arrays):
        return {name: value + np.asarray(change, value.dtype)
                for name, value in predict(model, **arrays).items()}

    monkeypatch.setattr(model_lib.FrozenModel, 'predict', changed)
    refused(tmp_path / 'a.pb', {'x': x}, {'y': x + large}, 'failed its check: the output "y"')


def test_the_sample_that_was_given_is_used_in_the_check(tmp_path, monkeypatch):
    fed = []
    predict = model_lib.FrozenModel.predict
    monkeypatch.setattr(model_lib.FrozenModel, 'predict', lambda model, **arrays: (
        fed.append(arrays), predict(model, **arrays))[1])
    frozen_network(tmp_path / 'model.pb', check_feed={'points': POINTS})
    np.testing.assert_array_equal(fed[0]['points'], POINTS)
    assert fed[0]['count'] == 0 and fed[0]['count'].dtype == np.int32


@pytest.mark.parametrize('arrays, match', [
    ({'points': POINTS}, 'missing input count'),
    ({'points': POINTS, 'count': 1, 'more': 2}, 'unknown .* more'),
    ({'points': POINTS[:1], 'count': 1}, r'"points" came as float32 \[1, 3\]'),
    ({'points': POINTS[None], 'count': 1}, r'\[1, 2, 3\]'),
    ({'points': POINTS, 'count': 1.5}, '"count" came as float64'),
    ({'points': POINTS, 'count': 2 ** 40}, '"count" holds numbers beyond int32'),
    ({'points': [['a'] * 3] * 2, 'count': 1}, '"points" came as <U1'),
    ({'points': POINTS.astype(np.complex64), 'count': 1}, 'complex64')])
def test_wrong_arrays_are_refused_with_what_is_expected(tmp_path, arrays, match):
    frozen_network(tmp_path / 'model.pb')
    with model_lib.load(str(tmp_path / 'model.pb')) as model:
        with pytest.raises(errors.InputError, match=match) as caught:
            model.predict(**arrays)
    assert 'points float32 [2, 3], count int32 []' in str(caught.value)


def test_lists_and_wider_numbers_are_taken(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    with model_lib.load(str(tmp_path / 'model.pb')) as model:
        np.testing.assert_array_equal(
            model.predict(points=POINTS.tolist(), count=np.int64(1))['score'],
            model.predict(points=POINTS, count=1)['score'])


def test_a_model_tells_its_ends(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    model = model_lib.load(str(tmp_path / 'model.pb'))
    assert model.inputs == {'points': ((2, 3), 'float32'), 'count': ((), 'int32')}
    assert model.outputs == {'score': ((2, 4), 'float32'), 'best': ((2,), 'int32')}
    assert '  output score float32 [2, 4]' in str(model).splitlines()
    model.close()
    with pytest.raises(RuntimeError, match='closed'):
        model.predict(points=POINTS, count=1)


def test_a_graph_without_manifest_shows_its_loose_ends(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    (tmp_path / 'model.json').unlink()
    with model_lib.load(str(tmp_path / 'model.pb')) as model:
        assert sorted(model.inputs) == ['count', 'points']
        assert sorted(model.outputs) == ['best', 'score']


def test_a_graph_of_unknown_batch_takes_any(tmp_path):
    tf.identity(2 * tf.placeholder(tf.float32, [None, 2], name='x'), name='y')
    path = tmp_path / 'model.pb'
    path.write_bytes(tf.get_default_graph().as_graph_def().SerializeToString())
    with model_lib.load(str(path)) as model:
        for batch in (1, 5):
            assert model.predict(x=np.ones([batch, 2]))['y'].shape == (batch, 2)
            assert model.predict_all(x=np.ones([batch, 2]))['y'].shape == (batch, 2)
        with pytest.raises(errors.InputError, match='x float32'):
            model.predict(x=np.ones([1, 3]))


def test_a_graph_whose_import_stumbles_over_an_attribute_is_told(tmp_path):
    tf.identity(2 * tf.placeholder(tf.float32, [2], name='x'), name='y')
    definition = tf.get_default_graph().as_graph_def()
    definition.node[-1].attr['_class'].s = b'loc:@x'    # a text where a list of texts belongs
    path = tmp_path / 'model.pb'
    path.write_bytes(definition.SerializeToString())
    with pytest.raises(errors.InputError, match='model.pb: .*Freeze it again'):
        model_lib.load(str(path))


def test_texts_are_saved_without_a_pickle(tmp_path):
    tf.gather(tf.constant([b'chair', b'bed']), tf.placeholder(tf.int32, [2], name='x'), name='y')
    path = tmp_path / 'model.pb'
    path.write_bytes(tf.get_default_graph().as_graph_def().SerializeToString())
    np.save(str(tmp_path / 'x.npy'), np.array([1, 0], np.int32))
    done = subprocess.run([     # a process without sessions, since the graph is looked at in a fork
        sys.executable, '-W', 'ignore', '-m', 'common.frozen', 'run', str(path),
        '--input=x={}'.format(tmp_path / 'x.npy'), '--output={}'.format(tmp_path)],
        cwd=ROOT, timeout=100, check=False)
    assert done.returncode == 0
    saved = np.load(str(tmp_path / 'y.npy'), allow_pickle=False)
    assert saved.tolist() == [b'bed', b'chair']


def test_a_graph_for_no_rows_is_told(tmp_path):
    tf.identity(2 * tf.placeholder(tf.float32, [0, 2], name='x'), name='y')
    path = tmp_path / 'model.pb'
    path.write_bytes(tf.get_default_graph().as_graph_def().SerializeToString())
    with model_lib.load(str(path)) as model:
        with pytest.raises(errors.InputError, match='model.pb: its input x takes 0 rows'):
            model.predict_all(x=np.ones([3, 2]))


@pytest.mark.parametrize('keep_manifest', [True, False])
@pytest.mark.parametrize('fraction', [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, fraction, keep_manifest):
    frozen_network(tmp_path / 'model.pb')
    data = (tmp_path / 'model.pb').read_bytes()
    (tmp_path / 'model.pb').write_bytes(data[:int(len(data) * fraction)])
    if not keep_manifest:
        (tmp_path / 'model.json').unlink()
    with pytest.raises(errors.InputError, match='model.pb'):
        model_lib.load(str(tmp_path / 'model.pb'))


def test_a_file_that_was_exchanged_behind_its_manifest_is_refused(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    tf.reset_default_graph()
    tf.placeholder(tf.float32, [1], name='x')
    (tmp_path / 'model.pb').write_bytes(
        tf.get_default_graph().as_graph_def().SerializeToString())
    with pytest.raises(errors.InputError, match='is not the file that .*model.json describes'):
        model_lib.load(str(tmp_path / 'model.pb'))


@pytest.mark.parametrize('change, message', [
    (lambda document: document.update(inputs=['points']), '"inputs" must name tensors'),
    (lambda document: document['outputs'].update(score=3), '"outputs" must name tensors'),
    (lambda document: document['outputs'].update(other={'shape': [1]}),
     'no such input or output: .*other')])
def test_a_manifest_of_other_inputs_or_outputs_is_refused(change, message, tmp_path):
    manifest, _ = frozen_network(tmp_path / 'model.pb')
    change(manifest)
    (tmp_path / 'model.json').write_text(json.dumps(manifest))
    with pytest.raises(errors.InputError, match=message):
        model_lib.load(str(tmp_path / 'model.pb'))


@pytest.mark.parametrize('content', [None, b'', b'no graph at all', bytes(range(256))])
def test_a_file_that_is_missing_or_no_graph_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / 'model.pb').write_bytes(content)
    with pytest.raises(errors.InputError, match='model.pb'):
        model_lib.load(str(tmp_path / 'model.pb'))


def a_rowwise_network(path, **kwargs):
    """Freezes rows [2, 3] and a factor -> doubled rows [2, 3], views [4, 2] and a count."""
    rows = tf.placeholder(tf.float32, [2, 3], name='rows')
    views = tf.placeholder(tf.float32, [4, 2], name='views')
    factor = tf.placeholder(tf.float32, [], name='factor')
    with tf.Session() as sess:
        return freezing.freeze(
            sess, {'rows': rows, 'views': views, 'factor': factor},
            {'scaled': rows * factor, 'turned': views + factor, 'fixed': tf.ones([5]) * factor},
            str(path), batch_axes={'views': 1, 'turned': 1}, **kwargs)


@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_more_or_fewer_rows_than_frozen_are_split_filled_up_and_cut(count, tmp_path):
    manifest = a_rowwise_network(tmp_path / 'model.pb')
    assert manifest['inputs']['views']['batch_axis'] == 1
    assert manifest['outputs']['fixed']['batch_axis'] is None
    rng = np.random.RandomState(0)
    rows = rng.rand(count, 3).astype(np.float32)
    views = rng.rand(4, count).astype(np.float32)
    with model_lib.load(str(tmp_path / 'model.pb')) as model:
        actual = model.predict_all(rows=rows, views=views, factor=2.)
        with pytest.raises(errors.InputError, match='different numbers of rows.*rows 1, views'):
            model.predict_all(rows=rows[:1], views=np.zeros([4, 9], np.float32), factor=2.)
        with pytest.raises(errors.InputError, match='unknown or missing inputs'):
            model.predict_all(scaled=rows)      # an output, which has a batch axis too
    np.testing.assert_array_equal(actual['scaled'], rows * 2)
    np.testing.assert_array_equal(actual['turned'], views + 2)
    np.testing.assert_array_equal(actual['fixed'], np.full(5, 2.))


def test_a_graph_without_manifest_has_its_rows_along_the_first_axis(tmp_path):
    frozen_network(tmp_path / 'model.pb')
    (tmp_path / 'model.json').unlink()
    with model_lib.load(str(tmp_path / 'model.pb')) as model:
        assert model.batch_axes == {'points': 0, 'count': None, 'score': 0, 'best': 0}
        points = np.concatenate([POINTS, POINTS[:1]])
        assert model.predict_all(points=points, count=1)['best'].shape == (3,)


def test_the_command_line_lists_and_runs_a_graph(tmp_path, capsys):
    frozen_network(tmp_path / 'model.pb')
    graph, points = str(tmp_path / 'model.pb'), str(tmp_path / 'a b.npy')
    np.save(points, np.concatenate([POINTS, POINTS[:1]]))
    np.save(str(tmp_path / 'count.npy'), np.int32(1))
    assert command.run_action(command.parse_args(['list', graph])) is None
    assert '  input  points float32 [2, 3]' in capsys.readouterr().out
    command.run_action(command.parse_args([
        'run', graph, '--input', 'points=' + points, '--input',
        'count={}'.format(tmp_path / 'count.npy'), '--output', str(tmp_path / 'out')]))
    assert 'score.npy float32 [3, 4]' in capsys.readouterr().out
    score = np.load(str(tmp_path / 'out' / 'score.npy'))
    np.testing.assert_array_equal(score[0], score[2])


@pytest.mark.parametrize('arguments, message', [
    (['run'], 'run needs --input'), (['run', '--input', 'points', '--output', 'x'], 'NAME=FILE'),
    (['list', '--outptu=x'], 'unknown option --outptu'), (['show'], 'invalid choice')])
def test_wrong_command_lines_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        command.parse_args(arguments[:1] + ['model.pb'] + arguments[1:])
    assert caught.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize('content', [b'', b'no array'])
def test_files_that_hold_no_array_are_refused(content, tmp_path):
    frozen_network(tmp_path / 'model.pb')
    (tmp_path / 'x.npy').write_bytes(content)
    with pytest.raises(errors.InputError, match='x.npy.*Expected an array'):
        command.run_action(command.parse_args([
            'run', str(tmp_path / 'model.pb'), '--input=points={}'.format(tmp_path / 'x.npy'),
            '--output=' + str(tmp_path)]))


def test_the_inputs_of_the_check_are_kept(tmp_path):
    frozen_network(tmp_path / 'model.pb', check_feed={'points': POINTS})
    sample = graph_lib.read_sample(str(tmp_path / 'model.pb'))
    np.testing.assert_array_equal(sample['points'], POINTS)
    (tmp_path / 'model_sample.npz').write_bytes(b'cut')
    with pytest.raises(errors.InputError, match='Freeze .* again'):
        graph_lib.read_sample(str(tmp_path / 'model.pb'))


def endless(folder, parts, condition=lambda value: True):
    """Writes a graph with a loop without an end, and x.npy; each turn gives `parts` times as much.

    Returns:
      path of the graph.
    """
    path = str(folder / 'model.pb')
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [2, 4], name='x')
        tf.while_loop(condition, lambda value: tf.concat([value] * parts, 0), [x],
                      shape_invariants=[tf.TensorShape([None, 4])], name='y')
        with open(path, 'wb') as stream:
            stream.write(graph.as_graph_def().SerializeToString())
    np.save(str(folder / 'x.npy'), np.ones([2, 4], np.float32))
    return path


def _asks(x):
    """The condition of a loop without an end; TensorFlow cannot know it beforehand."""
    return tf.reduce_sum(x) > 0


@pytest.mark.parametrize('parts, options, expected', [
    (2, {'max_memory': 0.5, 'timeout': 60}, 'took more than 0.5 GiB of memory and was stopped'),
    (1, {'max_memory': 0.5, 'timeout': 1}, 'did not end within 1 s and was stopped')])
def test_a_graph_that_grows_or_has_no_end_is_stopped_in_a_program_too(
        tmp_path, parts, options, expected):
    with model_lib.load(endless(tmp_path, parts, _asks), **options) as network:
        with pytest.raises(errors.InputError, match='model.pb ' + expected):
            network.predict(x=np.ones([2, 4], np.float32))


@pytest.mark.parametrize('parts, timeout, expected', [
    (2, 60, 'took more than 0.5 GiB of memory'), (1, 1, 'did not end within 1 s')])
def test_a_graph_that_tensorflow_cannot_stop_ends_the_program_with_a_line(
        tmp_path, parts, timeout, expected):
    program = ('import sys, numpy; from common.frozen import bounds, model; bounds.GRACE = 2; '
               'model.load(sys.argv[1], int(sys.argv[2]), None, 0.5).predict('
               'x=numpy.ones([2, 4], "f4"))')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', program,
                           endless(tmp_path, parts), str(timeout)], cwd=ROOT, timeout=120,
                          stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 1 and expected in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith('error: ')


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='looks into /proc')
def test_a_run_without_an_end_ends_with_its_parent(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-m', 'common.frozen', 'run', endless(tmp_path, 1),
         '--input=x={}'.format(tmp_path / 'x.npy'), '--output={}'.format(tmp_path)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listed = '/proc/{0}/task/{0}/children'.format(parent.pid)

    def until(happened):
        for _ in range(600):
            if happened():
                return True
            time.sleep(0.05)
        return False

    def lives():        # a process that has ended stays a zombie where nobody waits for it
        try:
            with open('/proc/{}/stat'.format(child)) as stream:
                return stream.read().rpartition(')')[2].split()[0] not in 'ZX'
        except OSError:
            return False

    try:
        def children():
            with open(listed) as stream:
                return stream.read().split()
        assert until(children)
        child, = children()
        time.sleep(3)       # it is in the loop by then, or loads TensorFlow
        assert lives() and parent.poll() is None
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: not lives())


@pytest.mark.parametrize('options, expected', [
    (['--max_memory=0.8'], 'took more than 0.8 GiB of memory'),
    (['--timeout=1'], 'did not end within')])
def test_a_graph_that_grows_or_has_no_end_is_stopped(tmp_path, options, expected):
    path = endless(tmp_path, 2 if 'memory' in expected else 1)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', 'import sys; from common.frozen import __main__; '
         '__main__.bounds.GRACE = 12; sys.exit(__main__.main(sys.argv[1:]))', 'run', path,
         '--input=x={}'.format(tmp_path / 'x.npy'), '--output={}'.format(tmp_path)] + options,
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 1
    assert expected in done.stderr.splitlines()[-1] and 'model.pb' in done.stderr


def test_a_graph_that_aborts_tensorflow_ends_in_a_line(tmp_path):
    graph = os.path.join(ROOT, 'tests', 'field_cases', 'damaged', 'pb-5403-a.pb')
    np.save(str(tmp_path / 'points.npy'), np.ones([2, 3], np.float32))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'common.frozen', 'run', graph,
         '--input=points={}'.format(tmp_path / 'points.npy'), '--output={}'.format(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 1
    assert 'pb-5403-a.pb cannot be run' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize('ending', ['.pb', '.meta'])
@pytest.mark.parametrize('content', [
    b'\x0a\x06\x0a\x02\xff\xfe\x12\x00',        # a node whose name is no UTF-8
    b'\x0a\x05\x0a\x01a\x12\x00\x0c',           # the end of a group that never began
    b'\x0a\x05\x0a\x01a\x12\x00' + b'\xff' * 20])
def test_of_a_damaged_graph_protobuf_says_nothing_itself(tmp_path, capfd, recwarn, ending, content):
    if ending == '.meta':
        content = b'\x12' + bytes([len(content)]) + content
    path = tmp_path / ('a' + ending)
    path.write_bytes(content)
    with pytest.raises(errors.InputError, match='is no graph, or is cut short'):
        graph_lib.read_graph(str(path))
    assert capfd.readouterr() == ('', '') and not recwarn.list

"""Tests of common/rules.py."""
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors, npu_lint
from common.frozen import lint as rules

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def lint(feeds, fetches, mode='infer'):
    """Lints the default graph; returns {(severity, rule)} and the findings."""
    findings = rules.lint_graph(tf.get_default_graph().as_graph_def(add_shapes=True),
                                   feeds, fetches, mode)
    return {(finding.severity, finding.rule) for finding in findings}, findings


def placeholder(shape=(2, 3), dtype=tf.float32):
    return tf.placeholder(dtype, shape, name='x')


def test_a_clean_graph_has_no_findings():
    tf.nn.relu(tf.matmul(placeholder(), tf.ones([3, 4])), name='y')
    assert lint(['x'], ['y']) == (set(), [])


@pytest.mark.parametrize('build, rule', [
    (lambda x: tf.cast(x, tf.float64), 'dtype-unsupported'),
    (lambda x: tf.cast(x, tf.complex64), 'dtype-unsupported'),
    (lambda x: tf.constant(np.linspace(0, 1, 3)), 'dtype-unsupported'),
    (lambda x: tf.gather(tf.constant(['a', 'b']), 0), 'dtype-unsupported'),
    (lambda x: tf.is_finite(x), 'op-no-path'),
    (lambda x: tf.py_func(lambda a: a, [x], tf.float32), 'op-host-only'),
    (lambda x: tf.data.Dataset.range(3)._variant_tensor, 'op-host-only'),
    (lambda x: tf.where(x > 0), 'op-dynamic-output'),
    (lambda x: tf.unique(x[0])[0], 'op-dynamic-output'),
    (lambda x: tf.cond(x[0, 0] > 0, lambda: tf.py_func(lambda a: a, [x], tf.float32),
                       lambda: x), 'op-host-only'),
    (lambda x: tf.FIFOQueue(3, tf.float32, [2, 3]).dequeue(), 'op-no-path'),
    (lambda x: tf.boolean_mask(x[0], x[0] > 0), 'shape-dynamic'),
    (lambda x: x * tf.constant([np.inf, 0, 1], tf.float32), 'numeric-fp16'),
    (lambda x: x + tf.constant(np.nan), 'numeric-fp16'),
    (lambda x: x * tf.random_uniform([2, 3]), 'train-in-infer'),
    (lambda x: x * tf.get_variable('v', []), 'train-in-infer'),
    (lambda x: x * tf.placeholder(tf.float32, [], name='other'), 'train-in-infer')])
def test_what_the_npu_cannot_run_is_an_error(build, rule):
    tf.identity(build(placeholder()), name='y')
    assert ('error', rule) in lint(['x'], ['y'])[0]


@pytest.mark.parametrize('build, rule', [
    (lambda x: tf.matrix_inverse(x[:, :2]), 'op-slow'),
    (lambda x: tf.scatter_nd([[0]], x[:1], [4, 3]), 'op-slow'),
    (lambda x: tf.gather_nd(x, tf.constant([[0]], tf.int64)), 'op-slow'),
    (lambda x: tf.nn.top_k(tf.tile(x, [1, 1000]), 1025)[0], 'op-slow'),
    (lambda x: tf.Print(x, [x]), 'op-side-effect'),
    (lambda x: tf.check_numerics(x, 'bad'), 'op-side-effect'),
    (lambda x: tf.while_loop(lambda i: i < 3, lambda i: i + 1, [0]), 'control-flow-v1'),
    (lambda x: x - tf.constant(1e9), 'numeric-fp16'),
    (lambda x: x + tf.constant(1e-12), 'numeric-fp16')])
def test_what_is_slow_or_done_on_the_host_is_a_warning(build, rule):
    tf.identity(build(placeholder()), name='y')
    kinds = lint(['x'], ['y'])[0]
    assert ('warning', rule) in kinds
    assert 'error' not in {severity for severity, _ in kinds}


@pytest.mark.parametrize('build', [
    lambda x: tf.gather_nd(x, tf.constant([[0]], tf.int32)),
    lambda x: tf.nn.top_k(tf.tile(x, [1, 1000]), 1024)[0],
    lambda x: tf.concat([x, tf.constant(1e9, shape=[2, 3])], 0)])
def test_the_limits_of_the_rules_are_where_they_should_be(build):
    tf.identity(build(placeholder()), name='y')
    assert lint(['x'], ['y'])[0] == set()


def test_a_placeholder_of_unknown_size_is_an_error_that_names_it():
    tf.identity(placeholder((None, 3)), name='y')
    _, findings = lint(['x'], ['y'])
    assert [(finding.rule, finding.node) for finding in findings] == [
        ('shape-dynamic', 'x'), ('shape-dynamic', 'y')]
    assert '(?, 3)' in findings[0].detail


def test_variables_and_random_operations_belong_to_training():
    tf.identity(placeholder() * tf.get_variable('v', []) + tf.random_normal([2, 3]), name='y')
    assert not [kind for kind in lint(['x'], ['y'], 'train')[0] if kind[0] == 'error']
    assert ('warning', 'op-slow') in lint(['x'], ['y'], 'train')[0]


@pytest.mark.parametrize('rows, errors_found', [(2, False), (None, True)])
def test_gradients_of_products_need_known_shapes(rows, errors_found):
    x = placeholder([rows, 4, 3])
    weights = tf.get_variable('w', [1, 3, 3])
    loss = tf.reduce_sum(tf.matmul(x, tf.tile(weights, [2, 1, 1]) if rows else weights) / x)
    tf.identity(tf.gradients(loss, weights)[0], name='y')
    findings = [finding for finding in lint(['x'], ['y'], 'train')[1]
             if finding.severity == 'error' and 'BroadcastGradientArgs' in finding.detail]
    assert bool(findings) == errors_found


def test_only_what_the_fetches_need_is_looked_at():
    x = placeholder()
    tf.identity(x, name='y')
    tf.is_finite(tf.cast(x, tf.float64), name='elsewhere')
    with tf.control_dependencies([tf.is_nan(x)]):
        tf.identity(x, name='z')
    assert lint(['x'], ['y'])[0] == set()
    assert ('error', 'op-no-path') in lint(['x'], ['z'])[0]


def test_what_lies_before_a_feed_is_left_out():
    tf.identity(tf.cast(placeholder(dtype=tf.float64), tf.float32, name='fed'), name='y')
    assert lint(['fed'], ['y'])[0] == set()


def test_messages_of_assertions_are_no_strings_on_the_device():
    x = placeholder()
    with tf.control_dependencies([tf.Assert(tf.reduce_all(x > 0), [x], name='check')]):
        tf.identity(x, name='y')
    assert 'dtype-unsupported' not in {rule for _, rule in lint(['x'], ['y'])[0]}


def test_a_tiny_trained_weight_is_nothing_to_warn_of():
    tf.identity(placeholder([1, 100]) + tf.constant(np.full([100], 1e-12, np.float32)), name='y')
    assert lint(['x'], ['y'])[0] == set()


def test_a_name_that_is_not_in_the_graph_is_refused():
    tf.identity(placeholder(), name='y')
    with pytest.raises(errors.InputError, match='no node "yy"'):
        lint(['x'], ['yy'])


def test_warnings_of_a_kind_take_one_line():
    findings = [rules.Finding('warning', 'control-flow-v1', str(number), 'Merge')
                for number in range(3)] + [rules.Finding('error', 'op-no-path', 'n', 'Stage')]
    assert rules.describe(findings) == [
        'error op-no-path: n (Stage)', 'warning control-flow-v1: 3 x Merge (first: 0)']
    assert rules.count(findings) == {'error': 1, 'warning': 3, 'info': 0}


@pytest.mark.parametrize('build, code, line', [
    (tf.sqrt, 0, '0 errors, 0 warnings'), (tf.is_nan, 1, 'error op-no-path: y (IsNan)')])
def test_the_command_line_prints_the_findings_and_says_by_its_code_whether_it_runs(
        tmp_path, build, code, line):
    build(placeholder(), name='y')
    path = tmp_path / 'graph.pb'
    path.write_bytes(tf.get_default_graph().as_graph_def().SerializeToString())
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'common.npu_lint', str(path)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == code, done.stderr
    assert line in done.stdout


def convolved(**kwargs):
    x = placeholder([1, 4, 4, 4, 16])
    options = dict({'strides': [1, 1, 1, 1, 1], 'padding': 'SAME'}, **kwargs)
    tf.nn.conv3d(x, tf.ones([3, 3, 3, 16, 16]), name='y', **options)


@pytest.mark.parametrize('kwargs, message', [
    ({}, []), ({'dilations': [1, 2, 1, 1, 1]}, ['dilations [1, 2, 1, 1, 1]']),
    ({'strides': [1, 2, 2, 2, 1]}, [])])
def test_the_limits_of_3d_convolutions_are_told(kwargs, message):
    convolved(**kwargs)
    assert [finding.detail for finding in lint(['x'], ['y'])[1]] == message


def test_an_output_shape_that_is_no_constant_is_an_error_of_a_transposed_convolution():
    shape = tf.placeholder(tf.int32, [5], name='shape')
    tf.nn.conv3d_transpose(placeholder([1, 2, 2, 2, 16]), tf.ones([2, 2, 2, 16, 16]), shape,
                           [1, 2, 2, 2, 1], name='y')
    findings = lint(['x', 'shape'], ['y'])[1]
    assert ('conv3d', 'an output shape that is no constant') in [
        (finding.rule, finding.detail) for finding in findings]


@pytest.mark.parametrize('rank, severity', [(5, None), (6, 'warning'), (9, 'error')])
def test_many_axes_are_told(rank, severity):
    tf.transpose(placeholder([1] * rank), list(range(rank))[::-1], name='y')
    assert [finding.severity for finding in lint(['x'], ['y'])[1]] == (
        [severity] if severity else [])


def test_indices_of_64_bits_are_told():
    tf.gather(placeholder(), tf.constant([0], tf.int64), name='y')
    assert lint(['x'], ['y'])[0] == {('info', 'int64-index')}


def test_what_known_shapes_give_is_folded_and_no_error():
    x = placeholder()
    gradient = tf.gradients(tf.maximum(x, 0.1 * x), x)[0]
    tf.identity(tf.gradients(tf.reduce_sum(gradient * x), x)[0], name='y')
    assert lint(['x'], ['y'])[0] == set()


def test_an_operation_that_cann_does_not_list_is_a_warning(tmp_path):
    tf.sqrt(placeholder(), name='y')
    path = tmp_path / 'ops.json'
    path.write_text('{"Relu": {"isGray": false, "isHeavy": false}}')
    findings = rules.unknown_operations(tf.get_default_graph().as_graph_def(), str(path))
    assert [(finding.rule, finding.detail) for finding in findings] == [('op-not-listed', 'Sqrt')]


@pytest.mark.parametrize('text', ['[{"rule": "rank", "node": "x", "reason": " "}]',
                                  '[{"rule": "rank", "node": "x"}]'])
def test_a_waiver_without_a_reason_is_refused(text, tmp_path):
    (tmp_path / 'waivers.json').write_text(text)
    with pytest.raises(errors.InputError, match='a "reason"'):
        rules.read_waivers(str(tmp_path / 'waivers.json'))


def test_each_rule_that_the_project_waives_exists():
    assert {entry['rule'] for entry in rules.read_waivers()} <= set(rules.REWRITES)


@pytest.mark.parametrize('arguments', [[], ['a.pb', '--all'], ['--model=vsl', '--all']])
def test_the_command_line_wants_one_thing_to_look_at(arguments):
    with pytest.raises(SystemExit) as caught:
        npu_lint.parse_args(arguments)
    assert caught.value.code == 2


@pytest.fixture
def control_flow_v2():
    """Branches and loops as functions."""
    tf.enable_control_flow_v2()
    yield
    tf.disable_control_flow_v2()


@pytest.mark.parametrize('build, rule', [
    (lambda x: tf.py_func(lambda a: a, [x], tf.float32), 'op-host-only'),
    (lambda x: tf.cast(tf.is_finite(x), tf.float32), 'op-no-path'),
    (lambda x: tf.cast(tf.cast(x, tf.float64), tf.float32), 'dtype-unsupported'),
    (lambda x: x * tf.random_uniform([2, 3]), 'train-in-infer'),
    (lambda x: tf.cond(x[0, 0] > 1, lambda: tf.to_float(tf.is_nan(x)), lambda: x), 'op-no-path')])
def test_what_the_functions_of_branches_and_loops_do_counts(build, rule, control_flow_v2):
    x = placeholder()
    for name, y in (('branch', tf.cond(x[0, 0] > 0, lambda: build(x), lambda: x)),
                    ('loop', tf.while_loop(lambda y: y[0, 0] > 0, lambda y: tf.reshape(
                        build(y), [2, 3]), [x], maximum_iterations=3))):
        tf.identity(y, name=name)
        assert ('error', rule) in lint(['x'], [name])[0], name
    tf.identity(x, name='apart')
    assert lint(['x'], ['apart'])[0] == set()


@pytest.mark.parametrize('ending', ['.pbtxt', '.meta'])
def test_text_graphs_and_those_of_checkpoints_are_read(ending, tmp_path, capsys):
    tf.is_nan(placeholder(), name='y')
    path = str(tmp_path / ('model' + ending))
    if ending == '.meta':
        tf.train.export_meta_graph(path)
    else:
        tf.io.write_graph(tf.get_default_graph(), str(tmp_path), 'model' + ending)
    assert npu_lint.main([path]) == 1
    assert 'error op-no-path: y (IsNan)' in capsys.readouterr().out
    with open(path, 'wb') as stream:
        stream.write(b'\xff no graph')
    assert npu_lint.main([path]) == 1 and 'is no graph' in capsys.readouterr().err


def test_what_the_host_may_run_is_a_warning_in_a_mixed_run(tmp_path, capsys):
    tf.py_func(lambda a: a, [placeholder()], tf.float32, name='y')[0].set_shape([2, 3])
    path = tmp_path / 'graph.pb'
    path.write_bytes(tf.get_default_graph().as_graph_def(add_shapes=True).SerializeToString())
    findings = rules.lint_graph(tf.get_default_graph().as_graph_def(), ['x'], ['y'],
                                   mix_compile_mode=True)
    assert ('warning', 'op-host-only') in [(finding.severity, finding.rule) for finding in findings]
    npu_lint.main([str(path), '--mix_compile_mode'])
    assert 'warning op-host-only: 1 x PyFunc' in capsys.readouterr().out


@pytest.mark.parametrize('text', ['{}', '[3]', '[{"rule": "rank", "node": 3, "reason": "x"}]',
                                  '[{"rule": "rank", "node": "(", "reason": "x"}]'])
def test_waivers_that_are_none_are_refused(text, tmp_path):
    (tmp_path / 'waivers.json').write_text(text)
    with pytest.raises(errors.InputError, match='waivers.json: '):
        rules.read_waivers(str(tmp_path / 'waivers.json'))

"""ATC folders, their comparison, and ONNX."""
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import freeze_graph
from common import deploy, errors
from common.frozen import comparison, export, freezing
from common.frozen import graph as graph_lib
from common.frozen import model as model_lib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def graph(tmp_path):
    """Freezes rows [2, 3] -> scores [2, 4] and the best of them; gives the path."""
    rows = tf.placeholder(tf.float32, [2, 3], name='rows')
    mask = tf.placeholder(tf.bool, [2], name='mask')
    scores = tf.matmul(rows, tf.constant(np.random.RandomState(0).randn(3, 4), tf.float32))
    scores *= tf.cast(mask, tf.float32)[:, None]
    path = str(tmp_path / 'a net.pb')
    with tf.Session() as sess:
        freezing.freeze(sess, {'rows': rows, 'mask': mask}, {
            'scores': scores, 'best': tf.argmax(scores, 1, output_type=tf.int32)}, path,
            check_feed={'rows': [[1, 2, 3], [4, 5, 6]], 'mask': [True, True]})
    return path


def returned(folder, tmp_path, change=0., dtype='<f4'):
    """Writes what msame would give back, with a change of the first score."""
    results = tmp_path / 'results' / '2026_01_01'
    results.mkdir(parents=True)
    scores = np.load(os.path.join(folder, 'expected_0_scores.npy'))
    scores[0, 0] += change
    scores.astype(dtype).tofile(str(results / 'net_output_0.bin'))
    np.load(os.path.join(folder, 'expected_1_best.npy')).astype('<i4').tofile(
        str(results / 'net_output_1.bin'))
    return str(results.parent)


def test_the_folder_holds_commands_inputs_and_expected_outputs(graph):
    folder = export.write_atc(graph, 'Ascend310P3')
    assert sorted(os.listdir(folder)) == [
        'convert.sh', 'expected.json', 'expected_0_scores.npy', 'expected_1_best.npy',
        'input_0_rows.bin', 'input_1_mask.bin']
    rows = np.fromfile(os.path.join(folder, 'input_0_rows.bin'), '<f4')
    np.testing.assert_array_equal(rows, [1, 2, 3, 4, 5, 6])
    assert os.path.getsize(os.path.join(folder, 'input_1_mask.bin')) == 2
    with open(os.path.join(folder, 'convert.sh')) as stream:
        text = stream.read()
    assert ("atc --model='a net.pb' --framework=3 --output='a net' --soc_version=Ascend310P3 "
            '--input_shape="rows:2,3;mask:2" --out_nodes="scores:0;best:0" --input_format=ND '
            '--log=error') in text
    assert "msame --model ../'a net'.om --input input_0_rows.bin,input_1_mask.bin" in text


def test_the_script_calls_the_tools_with_what_is_there(graph, tmp_path):
    folder, tools = export.write_atc(graph, 'Ascend310'), tmp_path / 'tools'
    tools.mkdir()
    for name, more in (('atc', 'test -f "a net.pb"'), ('msame', 'test -d results')):
        (tools / name).write_text(
            '#!/bin/bash\nset -e\n{}\nprintf "%s\\n" "$@" >"{}"\n'.format(more, tools / 'args'))
        (tools / name).chmod(0o755)
    done = subprocess.run(['bash', os.path.join(folder, 'convert.sh')], stdout=subprocess.PIPE,
                          env=dict(os.environ, PATH='{}:{}'.format(tools, os.environ['PATH'])))
    assert done.returncode == 0 and b'python -m common.deploy' in done.stdout
    assert '../a net.om' in (tools / 'args').read_text().split('\n')


@pytest.mark.parametrize('change, dtype, code', [
    (0., '<f4', 0), (0., '<f2', 0), (1e-3, '<f4', 0), (30., '<f4', 1)])
def test_returned_outputs_are_compared(change, dtype, code, graph, tmp_path, capsys):
    folder = export.write_atc(graph, 'Ascend310')
    config = deploy.parse_args([folder, returned(folder, tmp_path, change, dtype)])
    assert deploy.print_comparison(config) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('FAIL  scores' if code else 'ok    scores') and 'cosine' in lines[0]
    assert lines[1] == 'ok    best  largest difference 0'


def test_names_of_outputs_steer_no_terminal(graph, tmp_path, capsys):
    folder = export.write_atc(graph, 'Ascend310')
    results, path = returned(folder, tmp_path), os.path.join(folder, 'expected.json')
    with open(path) as stream:
        record = json.load(stream)
    record['outputs'][1]['name'] = '\x1b[31m\u202ebest\n' + 'x' * 500
    with open(path, 'w') as stream:
        json.dump(record, stream)
    assert deploy.print_comparison(deploy.parse_args([folder, results])) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(len(line) < 200 and line.isprintable() for line in lines)
    assert lines[1].startswith(r'ok    \x1b[31m\u202ebest x')


@pytest.mark.parametrize('row, place, code', [
    (None, 0, 0),       # all equal
    (1, 2, 0),          # margin 0.004, within half precision; what follows does not count
    (0, 1, 1)])         # margin 0.2
def test_tokens_may_differ_where_their_margin_lies_within_rounding(row, place, code, tmp_path,
                                                                   capsys):
    scores = tf.placeholder(tf.float32, [2, 4], name='scores')
    tokens = tf.cast(scores > 0.5, tf.int32)
    path = str(tmp_path / 'net.pb')
    with tf.Session() as sess:
        freezing.freeze(sess, {'scores': scores}, {'tokens': tokens, 'half': 0.5 * scores}, path,
                        check_feed={'scores': [[0.9, 0.7, 0.1, 0.2], [0.2, 0.6, 0.504, 0.9]]},
                        margins={'tokens': tf.abs(scores - 0.5)})
    folder = export.write_atc(path, 'Ascend310')
    actual = [np.load(os.path.join(folder, 'expected_' + name))
              for name in ('0_tokens.npy', '1_half.npy')]
    if row is not None:
        actual[0][row, place:] += 1
        actual[1][row] = 9      # follows from the tokens, say
    (tmp_path / 'results').mkdir()
    for number, array in enumerate(actual):
        array.tofile(str(tmp_path / 'results' / 'net_output_{}.bin'.format(number)))
    options = deploy.parse_args([folder, str(tmp_path / 'results')])
    assert deploy.print_comparison(options) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith('{}  choices  {} differ in {} of 2 rows, largest margin {}'.format(
        'FAIL' if code else 'ok  ', int(row is not None), int(row is not None),
        {None: '0 ', 1: '0.004', 0: '0.2'}[row])), last


def test_the_comparison_needs_no_tensorflow(graph, tmp_path):
    folder = export.write_atc(graph, 'Ascend310')
    (tmp_path / 'tensorflow.py').write_text('raise ImportError("none here")')
    done = subprocess.run(
        [sys.executable, '-m', 'common.deploy', folder, returned(folder, tmp_path)], cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(tmp_path)), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_results_that_are_missing_or_of_another_size_are_told(graph, tmp_path):
    folder = export.write_atc(graph, 'Ascend310')
    with pytest.raises(errors.InputError, match='holds 0 files'):
        comparison.compare(folder, str(tmp_path / 'none'))
    results = returned(folder, tmp_path)
    with open(os.path.join(results, '2026_01_01', 'net_output_0.bin'), 'ab') as stream:
        stream.write(b'more')
    with pytest.raises(errors.InputError, match='has 36 bytes, 8 values of float32'):
        comparison.compare(folder, results)


@pytest.mark.parametrize('text', ['310', 'Ascend', "Ascend310'; ls", ''])
def test_chips_that_do_not_exist_are_refused(text):
    with pytest.raises(errors.UsageError, match='--soc_version'):
        export.check_soc_version(text)


def test_without_the_packages_the_install_line_is_told(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tf2onnx', None)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(errors.InputError, match='pip install tf2onnx==1.16.1'):
        export.write_onnx(graph)


def test_missing_packages_are_told_before_anything_is_frozen(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tf2onnx', None)
    options = freeze_graph.parse_args(['--model=vsl', '--onnx', '--output=' + str(tmp_path / 'pb')])
    with pytest.raises(errors.InputError, match='pip install tf2onnx==1.16.1'):
        freeze_graph.freeze(options, None)      # without a context no network can be built
    assert not (tmp_path / 'pb').exists()


def test_an_onnx_file_gives_what_the_frozen_graph_gives(graph):
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
    path, difference = export.write_onnx(graph)
    assert os.path.exists(path) and difference < 1e-5


def test_what_a_converter_refuses_is_told(graph, monkeypatch):
    def refuses(*args, **kwargs):
        raise ValueError('no such\noperation')

    convert = types.SimpleNamespace(from_graph_def=refuses)
    monkeypatch.setitem(sys.modules, 'tf2onnx', types.SimpleNamespace(convert=convert))
    monkeypatch.setitem(sys.modules, 'onnxruntime', types.SimpleNamespace())
    with pytest.raises(errors.InputError, match='ValueError: no such operation'):
        export.write_onnx(graph)


@pytest.mark.parametrize('nested', [False, True])
def test_a_loop_in_a_loop_is_refused_with_the_reason(nested):
    def step(x):
        return tf.while_loop(lambda y: y < 3, lambda y: y + 1, [x]) if nested else x + 1

    # Loops one after the other are none in one another.
    last = tf.constant(0)
    for _ in range(2):
        last = tf.while_loop(lambda x: x < 9, step, [last])
    actual = export._has_nested_loops(tf.get_default_graph().as_graph_def())
    assert actual == nested


@pytest.mark.parametrize('change, message', [
    (lambda scores, best: [scores + 1e-6, best], None),
    (lambda scores, best: [scores + 1., best], '"scores" differs by 1'),
    (lambda scores, best: [scores * np.nan, best], '"scores" differs by nan'),
    (lambda scores, best: [scores, best + 1], '"best" differs by 1'),
    (lambda scores, best: [scores[0], best], r'"scores" of shape \[4\], not \[2, 4\]')])
def test_an_onnx_file_with_other_values_is_refused(change, message, graph, monkeypatch):
    with model_lib.load(graph) as model:
        actual = model.predict(**graph_lib.read_sample(graph))

    class Session:
        def __init__(self, path, providers):
            assert os.path.getsize(path) == 3

        def run(self, names, feed):
            assert names == ['scores:0', 'best:0'] and set(feed) == {'rows:0', 'mask:0'}
            return change(actual['scores'], actual['best'])

    proto = types.SimpleNamespace(SerializeToString=lambda: b'ABC')
    convert = types.SimpleNamespace(from_graph_def=lambda *args, **kwargs: (proto, None))
    monkeypatch.setitem(sys.modules, 'tf2onnx', types.SimpleNamespace(convert=convert))
    monkeypatch.setitem(sys.modules, 'onnxruntime', types.SimpleNamespace(InferenceSession=Session))
    if message is None:
        path, difference = export.write_onnx(graph)
        assert os.path.exists(path) and 0 < difference < 1e-5
        return
    with pytest.raises(errors.InputError, match=message):
        export.write_onnx(graph)
    assert not os.path.exists(os.path.splitext(graph)[0] + '.onnx')


@pytest.mark.parametrize('text', [
    '[]', '{}', '{"outputs": []}', '{"outputs": [{"name": "scores"}]}',
    '{"outputs": [{"name": "scores", "file": "../x.npy"}]}'])
def test_a_folder_with_another_record_is_refused(text, graph, tmp_path):
    folder = export.write_atc(graph, 'Ascend310')
    results = returned(folder, tmp_path)
    with open(os.path.join(folder, 'expected.json'), 'w') as stream:
        stream.write(text)
    with pytest.raises(errors.InputError, match='is not what freeze_graph.py --atc writes'):
        comparison.compare(folder, results)


def test_an_expected_output_that_is_damaged_is_told(graph, tmp_path):
    folder = export.write_atc(graph, 'Ascend310')
    results = returned(folder, tmp_path)
    os.truncate(os.path.join(folder, 'expected_0_scores.npy'), 30)
    with pytest.raises(errors.InputError, match='expected_0_scores.npy cannot be read'):
        comparison.compare(folder, results)


def test_a_graph_without_manifest_cannot_be_taken_further(graph):
    os.remove(graph_lib.manifest_path(graph))
    with pytest.raises(errors.InputError, match='no manifest'):
        export.write_atc(graph, 'Ascend310')


def test_an_input_without_axes_is_refused_for_atc(tmp_path):
    scale = tf.placeholder(tf.float32, [], name='scale')
    path = str(tmp_path / 'net.pb')
    with tf.Session() as sess:
        freezing.freeze(sess, {'scale': scale}, {'twice': 2 * scale}, path)
    with pytest.raises(errors.InputError, match='no input without axes \\("scale"\\)'):
        export.write_atc(path, 'Ascend310')


def test_the_expected_outputs_are_named(graph):
    folder = export.write_atc(graph, 'Ascend310')
    with open(os.path.join(folder, 'expected.json')) as stream:
        assert [output['name'] for output in json.load(stream)['outputs']] == ['scores', 'best']


def test_outputs_that_are_not_finite_are_compared_in_silence(graph, tmp_path, capsys, recwarn):
    folder = export.write_atc(graph, 'Ascend310')
    results = returned(folder, tmp_path)
    path = os.path.join(folder, 'expected_0_scores.npy')
    scores = np.load(path)
    scores[0, 0] = np.inf
    np.save(path, scores)
    scores.tofile(os.path.join(results, '2026_01_01', 'net_output_0.bin'))
    assert deploy.print_comparison(deploy.parse_args([folder, results])) == 1
    assert 'FAIL  scores' in capsys.readouterr().out
    assert not [one for one in recwarn.list if one.category is RuntimeWarning]

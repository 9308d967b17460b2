"""Tests of common/frozen/guard.py: a stranger's .pb computes and does nothing else."""
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors, npu_lint
from common.frozen import __main__ as command
from common.frozen import guard, model


def write(path, build):
    """Writes the graph that `build` makes; returns the path as text."""
    with tf.Graph().as_default() as graph:
        build()
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return str(path)


def _writes(target):
    def build():
        wrote = tf.raw_ops.WriteFile(filename=target, contents='x')
        with tf.control_dependencies([wrote]):
            tf.identity(tf.ones([1]), name='out')
    return build


def test_a_graph_that_writes_a_file_is_refused_and_writes_nothing(tmp_path, capfd):
    target = tmp_path / 'written'
    path = write(tmp_path / 'a.pb', _writes(str(target)))
    with pytest.raises(errors.InputError, match='1 operation beyond computation .WriteFile.'):
        model.load(path)
    (tmp_path / 'x.npy').write_bytes(b'')
    assert command.main(['run', path, '--input', 'x={}'.format(tmp_path / 'x.npy'),
                         '--output', str(tmp_path / 'out')]) == 1
    message = capfd.readouterr().err
    assert 'WriteFile' in message and message.count('\n') == 1 and len(message) < 300
    assert not target.exists() and not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', [
    'ReadFile', 'WriteFile', 'MatchingFiles', 'PyFunc', 'EagerPyFunc', 'PrintV2', 'Print', 'SaveV2',
    'RestoreV2', 'MergeV2Checkpoints', 'ImmutableConst', 'RecordInput', 'RemoteCall', 'Abort',
    'DebugIdentity', 'VarHandleOp', 'FIFOQueueV2', 'IteratorV2', 'TextLineDataset', 'DecodePng',
    '_Recv', '_Send', 'XlaLaunch', 'TPUExecute', 'LoadAndRemapMatrix', 'ReaderReadV2', 'Stage',
    'WholeFileReaderV2', 'GetSessionHandleV2', 'SymbolicGradient', 'HostConst2', 'TfLite'])
def test_operations_beyond_computation_are_not_on_the_list(name):
    assert name not in guard.allowed()


def test_each_name_of_the_list_is_there_once():
    with open(guard._LIST, encoding='utf-8') as stream:
        names = [name for line in stream if not line.startswith('#')
                 for name in line.partition(':')[2].split()]
    assert len(names) == len(set(names)) == len(guard.allowed()) > 400
    known = {name for name in dir(tf.raw_ops) if not name.startswith('_')}
    newer = guard.allowed() - known     # operations of other versions of TensorFlow
    assert len(newer) < 60, sorted(newer)


def graph_with_function(function_node=None, calls=None, name='body'):
    """A graph whose function has a node, and a node whose attribute calls a function."""
    graph_def = tf.GraphDef()
    graph_def.node.add(name='x', op='Placeholder').attr['dtype'].type = tf.float32.as_datatype_enum
    call = graph_def.node.add(name='call', op='PartitionedCall', input=['x'])
    call.attr['f'].func.name = calls or name
    function = graph_def.library.function.add()
    function.signature.name = name
    function.node_def.add(name='inner', op=function_node or 'Abs')
    return graph_def


@pytest.mark.parametrize('graph_def, names', [
    (graph_with_function(), set()),
    (graph_with_function('WriteFile'), {'WriteFile'}),
    (graph_with_function(calls='ReadFile'), {'ReadFile'}),      # an operation called as a function
    (graph_with_function(name='MatMul'), {'MatMul'})])          # a function that hides one
def test_functions_and_attributes_are_looked_into(graph_def, names):
    assert guard.forbidden(graph_def) == names


def test_a_function_in_an_attribute_of_an_attribute_is_found():
    graph_def = graph_with_function()
    inner = graph_def.node[1].attr['f'].func.attr['g'].list.func.add()
    inner.name = 'EagerPyFunc'
    assert guard.forbidden(graph_def) == {'EagerPyFunc'}


def chain(length, times, last='Abs'):
    """A graph that calls the first of so many functions, each of which calls the next one."""
    graph_def = graph_with_function(last, 'f0', 'f{}'.format(length - 1))
    for number in range(length - 1):
        function = graph_def.library.function.add()
        function.signature.name = 'f{}'.format(number)
        for _ in range(times):
            function.node_def.add(op='f{}'.format(number + 1))
    return graph_def


@pytest.mark.parametrize('graph_def, expected', [
    (graph_with_function(), 1), (chain(5, 1), 5), (chain(4, 3), 1 + 3 + 9 + 27),
    (chain(1, 1, 'f0'), float('inf')), (chain(3, 1, 'f0'), float('inf')),
    (chain(40, 2), 2 ** 40 - 1), (chain(2000, 1), float('inf'))])
def test_calls_of_functions_are_counted_as_if_written_out(graph_def, expected, tmp_path):
    assert guard.calls(graph_def) == expected
    path = tmp_path / 'functions.pb'
    path.write_bytes(graph_def.SerializeToString())
    if expected > 1000:
        for read in (model.load, lambda path: npu_lint.lint_file(npu_lint.parse_args([path]))):
            with pytest.raises(errors.InputError, match='call themselves, or each other'):
                read(str(path))


def test_a_tensor_that_would_not_fit_is_named(tmp_path):
    def build():
        tf.reduce_sum(tf.ones([2 ** 17, 2 ** 16]), name='out')
    with pytest.raises(errors.InputError, match=r'tensor .* would take 32.0 GiB'):
        model.load(write(tmp_path / 'large.pb', build))


def test_a_loop_without_an_end_is_stopped(tmp_path):
    def build():
        start = tf.placeholder(tf.float32, [], name='x')
        tf.identity(tf.while_loop(lambda value: value > 0., lambda value: value + 0. * value,
                                  [start]), name='out')
    with model.load(write(tmp_path / 'loop.pb', build), timeout=0.5) as network:
        with pytest.raises(errors.InputError, match='did not end within 0.5 s'):
            network.predict(x=1.)


def test_what_fails_in_the_graph_is_told_in_a_line(tmp_path):
    def build():
        rows = tf.placeholder(tf.int32, [1], name='rows')
        tf.gather(tf.ones([3]), rows, name='out')
    with model.load(write(tmp_path / 'gather.pb', build)) as network:
        assert network.predict(rows=[2])['out'] == np.ones(1)
        with pytest.raises(errors.InputError, match=r'cannot be run on these inputs: .*\[0, 3\)'):
            network.predict(rows=[3])


@pytest.mark.parametrize('kind, is_function', [(21, False), (20, False), (20, True), (121, False)])
def test_a_node_that_holds_an_object_is_refused(tmp_path, capfd, kind, is_function):
    """types.proto: DT_RESOURCE is 20, DT_VARIANT 21, references 100 more.

    TensorFlow 1.15 ends by signal 6 on the variant.
    """
    graph_def = tf.GraphDef()
    node = graph_def.node.add(name='c', op='Const')
    if is_function:     # in an attribute of a function that the node names
        node.attr['dtype'].type = 1
        value = node.attr['more'].list.func.add(name='Identity').attr['value'].tensor
    else:
        node.attr['dtype'].type = kind
        value = node.attr['value'].tensor
    value.dtype = kind
    value.tensor_shape.dim.add(size=1)
    value.variant_val.add(type_name='tensorflow::TensorList', metadata=b'A' * 40)
    path = tmp_path / 'a.pb'
    path.write_bytes(graph_def.SerializeToString())
    assert command.main(['run', str(path), '--input', 'x=x.npy', '--output', str(tmp_path)]) == 1
    assert capfd.readouterr().err == (
        'error: {}: the node c holds an object, not numbers. Take a graph that freeze_graph.py '
        'wrote.\n'.format(path))

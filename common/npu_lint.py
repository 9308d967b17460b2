"""Looks through a graph for what an Ascend NPU cannot run, or runs slowly; needs no NPU.

Example: python -m common.npu_lint output/vertex_model.pb

Errors: the graph cannot run there (exit code 1). Warnings: slow, or done on the host. The lists of
operations follow the restrictions of CANN's TensorFlow adapter for TensorFlow 1.15.
"""
import collections
import os
import sys

if __name__ == '__main__':
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.framework import tensor_util

from common import cli, errors

# severity: 'error', 'warning' or 'info'; rule, node, detail: str.
Finding = collections.namedtuple('Finding', 'severity rule node detail')

_DTYPES_WITHOUT_SUPPORT = (tf.float64, tf.complex64, tf.complex128, tf.variant)
_NO_PATH = frozenset((
    'IsFinite IsInf IsNan WholeFileReaderV2 IdentityReaderV2 LMDBReader TFRecordReaderV2 '
    'FIFOQueueV2 RandomShuffleQueueV2 PaddingFIFOQueueV2 QueueDequeueV2 QueueDequeueManyV2 '
    'QueueDequeueUpToV2 QueueEnqueueV2 QueueEnqueueManyV2 Barrier Stage Unstage MapStage '
    'XlaLaunch CudnnRNN CudnnRNNV2 MutexV2').split())
_HOST_ONLY = frozenset((
    'PyFunc PyFuncStateless EagerPyFunc StringJoin StringSplit StringSplitV2 AsString '
    'StringToNumber ReadFile DecodePng DecodeJpeg DecodeRaw DecodeCSV ParseExample HashTableV2 '
    'LookupTableFindV2 SetSize DenseToDenseSetOperation').split())
_SIDE_EFFECT = frozenset((
    'Print PrintV2 Assert CheckNumerics ScalarSummary HistogramSummary MergeSummary').split())
_DYNAMIC_OUTPUT = frozenset((
    'Where Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 ListDiff DynamicPartition '
    'NonMaxSuppressionV3 SparseReshape').split())
_SLOW = frozenset((
    'Svd Qr SelfAdjointEigV2 MatrixInverse MatrixSolve MatrixDeterminant Cholesky '
    'SparseTensorDenseMatMul SparseSegmentSum SparseAdd SparseToDense SparseCross ScatterNd '
    'DynamicStitch CropAndResize Cumprod Bucketize UnravelIndex Bincount Betainc').split())
_RANDOM = frozenset((
    'Multinomial RandomUniform RandomStandardNormal TruncatedNormal RandomShuffle').split())
_CONTROL_FLOW = frozenset((
    'Switch Merge Enter Exit NextIteration LoopCond TensorArrayV3 StackV2').split())
_TRAINING_ONLY = frozenset('Variable VariableV2 VarHandleOp RestoreV2'.split())
_PLUMBING = frozenset((  # operations whose strings never reach the device
    'SaveV2 RestoreV2 MergeV2Checkpoints ShardedFilename Assert Print PrintV2 ScalarSummary '
    'HistogramSummary MergeSummary').split())
_SENSITIVE = frozenset('Add AddV2 Sub Mul RealDiv Log Maximum Softmax'.split())
_FP16_MAX = 65504.0
_FP16_MIN = 6e-8
_MAX_TOP_K = 1024
_SMALL = 16  # values of a constant that was written by hand; a trained weight may be tiny by chance


def lint_graph(graph_def, feeds, fetches, mode='infer'):
    """Checks the part of a graph that its fetches need.

    Args:
      graph_def: tf.GraphDef.
      feeds: list of str, names of the nodes that are fed.
      fetches: list of str, names of the nodes that are fetched.
      mode: 'infer' for a frozen graph, 'train' for one with variables and an optimizer.
    Returns:
      list of Finding, in the order of the graph's nodes.
    Raises:
      errors.InputError: the graph cannot be imported, or has no node of a name.
    """
    graph = imported(graph_def)
    needed = _ancestors(graph, [_op(graph, name) for name in fetches],
                        {_op(graph, name) for name in feeds})
    findings = []
    for op in graph.get_operations():
        if op in needed:
            findings += _lint_dtypes(op) + _lint_shapes(op) + _lint_kind(op, mode, feeds)
            if op.type == 'Const':
                findings += _lint_constant(op)
    return findings


def imported(graph_def):
    """Puts a GraphDef into a graph of its own; InputError when it is no whole graph."""
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(graph_def, name='')
    except (ValueError, tf.errors.OpError) as error:
        raise errors.InputError('the graph cannot be imported: {}'.format(error)) from error
    return graph


def _op(graph, name):
    try:
        return graph.get_operation_by_name(name.split(':')[0])
    except KeyError as error:
        raise errors.InputError('the graph has no node "{}".'.format(name)) from error


def _ancestors(graph, fetched, fed):
    """Collects the operations that the fetches depend on, up to the fed ones."""
    needed, waiting = set(), list(fetched)
    while waiting:
        op = waiting.pop()
        if op in needed:
            continue
        needed.add(op)
        if op not in fed:
            waiting += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return needed


def _lint_dtypes(op):
    findings = []
    for tensor in op.outputs:
        dtype = tensor.dtype.base_dtype
        if dtype in _DTYPES_WITHOUT_SUPPORT:
            findings.append(Finding('error', 'dtype-unsupported', op.name, dtype.name))
        elif dtype == tf.string and not _is_plumbing(tensor):
            findings.append(Finding('error', 'dtype-unsupported', op.name, 'string'))
    return findings


def _is_plumbing(tensor):
    consumers = tensor.consumers()
    return tensor.op.type in _PLUMBING or (
        bool(consumers) and all(op.type in _PLUMBING for op in consumers))


def _lint_shapes(op):
    if op.type == 'BroadcastGradientArgs' and all(
            tensor_util.constant_value_as_shape(tensor).is_fully_defined()
            for tensor in op.inputs):
        return []   # of two known shapes: folded when the graph is compiled
    return [Finding('error', 'shape-dynamic', op.name, '{} of shape {}'.format(
        op.type, tensor.shape)) for tensor in op.outputs
        if tensor.dtype.base_dtype not in (tf.resource, tf.string)
        and not tensor.shape.is_fully_defined()]


def _lint_kind(op, mode, feeds):
    """Applies the lists of operations."""
    kind = op.type
    found = []
    if kind in _NO_PATH:
        found.append(('error', 'op-no-path'))
    if kind in _HOST_ONLY or kind.endswith(('Dataset', 'DatasetV2')):
        found.append(('error', 'op-host-only'))
    if kind in _DYNAMIC_OUTPUT:
        found.append(('error', 'op-dynamic-output'))
    if kind in _SIDE_EFFECT:
        found.append(('warning', 'op-side-effect'))
    if kind in _CONTROL_FLOW:
        found.append(('warning', 'control-flow-v1'))
    if kind in _SLOW or _is_slow(op):
        found.append(('warning', 'op-slow'))
    if kind in _RANDOM:
        found.append(('error', 'train-in-infer') if mode == 'infer' else ('warning', 'op-slow'))
    if mode == 'infer' and (kind in _TRAINING_ONLY or (
            kind.startswith('Placeholder') and op.name not in feeds)):
        found.append(('error', 'train-in-infer'))
    return [Finding(severity, rule, op.name, kind) for severity, rule in found]


def _is_slow(op):
    if op.type == 'GatherNd':
        return op.inputs[1].dtype == tf.int64
    if op.type == 'TopKV2':
        k = tf.get_static_value(op.inputs[1])
        return k is None or k > _MAX_TOP_K
    return False


def _lint_constant(op):
    """Checks a constant for values that the NPU cannot take, or that half precision loses."""
    values = tf.get_static_value(op.outputs[0])
    if values is None or values.dtype.kind != 'f' or values.size == 0:
        return []
    if not np.isfinite(values).all():
        return [Finding('error', 'numeric-fp16', op.name, 'holds NaN or infinity')]
    if not any(consumer.type in _SENSITIVE for consumer in op.outputs[0].consumers()):
        return []
    sizes = np.abs(values)
    if sizes.max() > _FP16_MAX:
        return [Finding('warning', 'numeric-fp16', op.name, 'holds {:g}'.format(sizes.max()))]
    tiny = sizes[(sizes > 0) & (sizes < _FP16_MIN)]
    if tiny.size and values.size <= _SMALL:
        return [Finding('warning', 'numeric-fp16', op.name, 'holds {:g}'.format(tiny.min()))]
    return []


def count(findings):
    """Counts findings, e.g. {'error': 0, 'warning': 12, 'info': 0}."""
    kinds = collections.Counter(finding.severity for finding in findings)
    return {severity: kinds[severity] for severity in ('error', 'warning', 'info')}


def describe(findings):
    """Gives lines: one for each error, one for all other findings of a rule and an operation."""
    lines = ['error {}: {} ({})'.format(finding.rule, finding.node, finding.detail)
             for finding in findings if finding.severity == 'error']
    groups = collections.OrderedDict()
    for finding in findings:
        if finding.severity != 'error':
            groups.setdefault((finding.severity, finding.rule, finding.detail), []).append(finding)
    for (severity, rule, detail), group in groups.items():
        lines.append('{} {}: {} x {} (first: {})'.format(
            severity, rule, len(group), detail, group[0].node))
    return lines


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('graph', help='frozen graph (.pb)')
    parser.add_argument('--feeds', default='', help='names of fed nodes, with commas between them; '
                        'by default those of the manifest, else all placeholders')
    parser.add_argument('--fetches', default='', help='names of fetched nodes; by default those of '
                        'the manifest, else all nodes that no other one uses')
    parser.add_argument('--mode', default='infer', choices=('infer', 'train'),
                        help='whether the graph may hold variables and random operations')
    return parser.parse_args(argv)


def lint_file(config):
    """Prints the findings for the file `config.graph`; returns 1 when errors are among them."""
    from common import frozen  # here, since freezing uses the rules of this file
    graph_def = frozen.read_graph(config.graph)
    feeds, fetches = frozen.ends_of(config.graph, graph_def)
    findings = lint_graph(
        graph_def, config.feeds.split(',') if config.feeds else feeds,
        config.fetches.split(',') if config.fetches else fetches, config.mode)
    for line in describe(findings):
        print(line)
    print('{}: {error} errors, {warning} warnings'.format(config.graph, **count(findings)))
    return 1 if count(findings)['error'] else 0


if __name__ == '__main__':
    sys.exit(cli.run(lint_file, parse_args()))

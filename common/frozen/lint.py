"""What an Ascend NPU cannot run, or runs slowly, in a graph; needs no NPU.

Errors: the graph cannot run there. Warnings: slow, or done on the host. Errors that
npu_waivers.json gives a reason for are listed as waived. The lists of operations follow the
restrictions of CANN's TensorFlow adapter for TensorFlow 1.15.
"""
import collections
import os
import re
from typing import Dict, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import errors
from common.frozen import graph as graph_lib
from common.readers import text

# severity: 'error', 'warning' or 'info'; rule, node, detail: str.
Finding = collections.namedtuple('Finding', 'severity rule node detail')

_DTYPES_WITHOUT_SUPPORT = (tf.float64, tf.complex64, tf.complex128, tf.variant)
_NO_PATH = frozenset((
    'IsFinite IsInf IsNan WholeFileReaderV2 IdentityReaderV2 LMDBReader TFRecordReaderV2 '
    'FIFOQueue RandomShuffleQueue PaddingFIFOQueue PriorityQueue FIFOQueueV2 RandomShuffleQueueV2 '
    'PaddingFIFOQueueV2 PriorityQueueV2 Barrier Stage Unstage MapStage '
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
_OF_SHAPES = frozenset('Shape ShapeN Size Rank'.split())
_NEVER_FOLDED = _CONTROL_FLOW | _HOST_ONLY | _DYNAMIC_OUTPUT
_FP16_MAX = 65504.0
_FP16_MIN = 6e-8
_MAX_TOP_K = 1024
_MAX_RANK, _WARN_RANK = 8, 5
_CONV3D = frozenset('Conv3D Conv3DBackpropInputV2 Conv3DBackpropFilterV2'.split())
_WAIVERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'npu_waivers.json')
# What to build instead, by rule.
REWRITES = {
    'dtype-unsupported': 'float32 or int32 in the graph; cast and format on the host',
    'shape-dynamic': 'fixed sizes: pad to the largest, carry a mask, drop or fill the last batch',
    'op-no-path': 'check losses with NumPy after the step, feed data by tf.data or feed_dict',
    'op-host-only': 'do it in NumPy before feeding, or precompute it as a constant',
    'op-dynamic-output': 'masks and products, top_k of a fixed k, index tables made in NumPy',
    'train-in-infer': 'build for inference: no variables, draws as an input',
    'numeric-fp16': 'finite constants up to 1e4 in size, epsilons from 1e-4 up, or keep float32',
    'op-side-effect': 'fetch the value and print it on the host',
    'op-slow': 'closed forms, one_hot products, draws fed from the host',
    'control-flow-v1': 'unroll short loops, choose in Python when the graph is built',
    'conv3d': 'NDHWC, dilation 1, stride 1 in batch and channel, a constant output shape',
    'rank': 'reshape to fewer axes before',
    'int64-index': 'int32 indices',
}
_SMALL = 16  # values of a constant that was written by hand; a trained weight may be tiny by chance


def lint_graph(graph_def: tf.GraphDef, feeds: Sequence[str], fetches: Sequence[str],
               mode: str = 'infer', mix_compile_mode: bool = False,
               path: str = 'the graph') -> List[Finding]:
    """Checks the part of a graph that its fetches need, and the functions that this part calls.

    Args:
      graph_def: tf.GraphDef.
      feeds: list of str, names of the nodes that are fed.
      fetches: list of str, names of the nodes that are fetched.
      mode: 'infer' for a frozen graph, 'train' for one with variables and an optimizer.
      mix_compile_mode: bool, whether the host may run what only the host can; a warning then.
      path: str, for messages.
    Returns:
      list of Finding, in the order of the graph's nodes.
    Raises:
      errors.InputError: the graph cannot be imported, or has no node of a name.
    """
    graph = graph_lib.imported(graph_def, path)
    needed = _ancestors(graph, [_op(graph, name) for name in fetches],
                        {_op(graph, name) for name in feeds})
    folded = _folded(graph)
    library = {function.signature.name: function for function in graph_def.library.function}
    findings = []
    for op in graph.get_operations():
        if op in needed:
            findings += _lint_dtypes(op) + _lint_kind(op, mode, feeds) + _lint_layout(op)
            findings += _lint_functions(op.node_def, op.name, mode, library, set())
            if op not in folded:
                findings += _lint_shapes(op)
            if op.type == 'Const':
                findings += _lint_constant(op)
    return [finding._replace(severity='warning') if mix_compile_mode
            and finding.rule == 'op-host-only' else finding for finding in findings]


def dtypes(graph_def: tf.GraphDef, feeds: Sequence[str], fetches: Sequence[str]) -> List[str]:
    """Lists the dtypes of all tensors that the fetches need.

    Args:
      graph_def, feeds, fetches: as in `lint_graph`.
    Returns:
      sorted list of str.
    """
    graph = graph_lib.imported(graph_def)
    needed = _ancestors(graph, [_op(graph, name) for name in fetches],
                        {_op(graph, name) for name in feeds})
    return sorted({tensor.dtype.base_dtype.name for op in needed for tensor in op.outputs})


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


def _folded(graph):
    """Collects the operations that are constants once the graph is compiled.

    What is computed of known shapes alone, such as the axes that a gradient is summed over, is
    folded before the device sees it.
    """
    folded = set()
    for op in graph.get_operations():
        if op.type == 'Const' or (op.type in _OF_SHAPES and all(
                tensor.shape.is_fully_defined() for tensor in op.inputs)):
            folded.add(op)
        elif op.inputs and op.type not in _NEVER_FOLDED and not op.op_def.is_stateful and all(
                tensor.op in folded for tensor in op.inputs):
            folded.add(op)
    return folded


def _lint_shapes(op):
    # The last output of this operation is scratch space of cuDNN; nobody knows its shape.
    outputs = op.outputs[:5] if op.type == 'FusedBatchNormV3' else op.outputs
    return [Finding('error', 'shape-dynamic', op.name, '{} of shape {}'.format(
        op.type, tensor.shape)) for tensor in outputs
        if tensor.dtype.base_dtype not in (tf.resource, tf.string)
        and not tensor.shape.is_fully_defined()]


def _lint_kind(op, mode, feeds):
    """Applies the lists of operations, and what needs more than the name."""
    broken = _listed(op.type, mode)
    if _is_slow(op):
        broken.append(('warning', 'op-slow'))
    if mode == 'infer' and op.type.startswith('Placeholder') and op.name not in feeds:
        broken.append(('error', 'train-in-infer'))
    return [Finding(severity, rule, op.name, op.type) for severity, rule in broken]


def _listed(kind, mode):
    """[(severity, rule)] of an operation by its name."""
    broken = []
    if kind in _NO_PATH or kind.startswith(('QueueDequeue', 'QueueEnqueue')):
        broken.append(('error', 'op-no-path'))
    if kind in _HOST_ONLY or _is_dataset(kind):
        broken.append(('error', 'op-host-only'))
    if kind in _DYNAMIC_OUTPUT:
        broken.append(('error', 'op-dynamic-output'))
    if kind in _SIDE_EFFECT:
        broken.append(('warning', 'op-side-effect'))
    if kind in _CONTROL_FLOW:
        broken.append(('warning', 'control-flow-v1'))
    if kind in _SLOW:
        broken.append(('warning', 'op-slow'))
    if kind in _RANDOM:
        broken.append(('error', 'train-in-infer') if mode == 'infer' else ('warning', 'op-slow'))
    if mode == 'infer' and kind in _TRAINING_ONLY:
        broken.append(('error', 'train-in-infer'))
    return broken


def _is_dataset(kind):
    return kind.endswith(('Dataset', 'DatasetV2'))


def _lint_functions(node, place, mode, library, seen):
    """Applies the lists to the functions that a node calls (branches, loops), at any depth.

    Args:
      node: NodeDef; place: str, name for the findings; library: dict {name: FunctionDef};
      seen: set of the names that were looked at already; it grows.
    Returns:
      list of Finding; what a dataset calls runs on the host and is left out.
    """
    findings = []
    if _is_dataset(node.op):
        return findings
    called = [value.func.name for value in node.attr.values() if value.HasField('func')]
    called += [function.name for value in node.attr.values() for function in value.list.func]
    for name in called + [node.op]:
        if name not in library or name in seen:
            continue
        seen.add(name)
        for inner in library[name].node_def:
            where = '{}/{}/{}'.format(place, name, inner.name)
            findings += [Finding(severity, rule, where, inner.op)
                         for severity, rule in _listed(inner.op, mode)]
            types = {value.type for value in inner.attr.values() if value.HasField('type')}
            findings += [Finding('error', 'dtype-unsupported', where, dtype.name)
                         for dtype in _DTYPES_WITHOUT_SUPPORT if dtype.as_datatype_enum in types]
            findings += _lint_functions(inner, where, mode, library, seen)
    return findings


def _lint_layout(op):
    """Applies the limits of 3-D convolutions, of ranks and of indices."""
    broken = []
    if op.type in _CONV3D:
        broken += [('error', 'conv3d', what) for what in _conv3d_errors(op)]
        channels = [tensor.shape[-1].value for tensor in op.outputs if tensor.shape.ndims == 5]
        if any(count and count % 16 for count in channels):
            broken.append(('info', 'conv3d', '{} channels, padded to a multiple of 16'.format(
                channels[0])))
    ranks = [tensor.shape.ndims or 0 for tensor in op.outputs]
    if op.type in ('Transpose', 'Tile', 'Slice', 'StridedSlice') and max(ranks) > _WARN_RANK:
        severity = 'error' if max(ranks) > _MAX_RANK else 'warning'
        broken.append((severity, 'rank', '{} of {} axes'.format(op.type, max(ranks))))
    if op.type in ('Gather', 'GatherV2', 'OneHot') and tf.int64 in [
            tensor.dtype for tensor in op.inputs[:2]]:
        broken.append(('info', 'int64-index', op.type))
    return [Finding(severity, rule, op.name, what) for severity, rule, what in broken]


def _conv3d_errors(op):
    if op.get_attr('data_format') not in (b'NDHWC', b'NCDHW'):
        yield 'data format {}'.format(op.get_attr('data_format').decode())
    if set(op.get_attr('dilations')) != {1}:
        yield 'dilations {}'.format(list(op.get_attr('dilations')))
    strides = op.get_attr('strides')
    channel = 4 if op.get_attr('data_format') == b'NDHWC' else 1
    if strides[0] != 1 or strides[channel] != 1:
        yield 'strides {}'.format(list(strides))
    if op.type == 'Conv3DBackpropInputV2' and tf.get_static_value(op.inputs[0]) is None:
        yield 'an output shape that is no constant'


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


def count(findings: Sequence[Finding]) -> Dict[str, int]:
    """Counts findings, e.g. {'error': 0, 'warning': 12, 'info': 0}."""
    kinds = collections.Counter(finding.severity for finding in findings)
    return {severity: kinds[severity] for severity in ('error', 'warning', 'info')}


def describe(findings: Sequence[Finding]) -> List[str]:
    """Returns lines: one for each error, one for all other findings of a rule and an operation."""
    lines = ['error {}: {} ({})'.format(finding.rule, finding.node, finding.detail)
             for finding in findings if finding.severity == 'error']
    groups: Dict[Tuple[str, str, str], List[Finding]] = collections.OrderedDict()
    for finding in findings:
        if finding.severity != 'error':
            groups.setdefault((finding.severity, finding.rule, finding.detail), []).append(finding)
    for (severity, rule, detail), group in groups.items():
        lines.append('{} {}: {} x {} (first: {})'.format(
            severity, rule, len(group), detail, group[0].node))
    return lines


def read_waivers(path: str = _WAIVERS) -> List[Dict[str, str]]:
    """Reads the errors that are accepted.

    Args:
      path: str, a JSON list of {"rule", "node" (regular expression), "reason"}.
    Returns:
      list of dicts.
    Raises:
      errors.InputError: the file is missing, or an entry lacks one of the three or gives no reason.
    """
    entries = text.read_json(path)
    if not isinstance(entries, list):
        raise errors.InputError('{}: a list was expected.'.format(path))
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {'rule', 'node', 'reason'} or not all(
                isinstance(value, str) and value.strip() for value in entry.values()):
            raise errors.InputError('{}: an entry needs "rule", "node" and a "reason", not {}.'
                                    .format(path, entry))
        try:
            re.compile(entry['node'])
        except re.error as error:
            raise errors.InputError('{}: "{}" is no regular expression ({}).'.format(
                path, entry['node'], error)) from error
    return entries


def waive(findings: Sequence[Finding], waivers: Sequence[Dict[str, str]]) -> List[Finding]:
    """Turns the errors that a waiver names into findings of the severity 'waived'.

    Args:
      findings: list of Finding; waivers: list of dicts, see `read_waivers`.
    Returns:
      list of Finding; the reason stands in the detail.
    """
    result = []
    for finding in findings:
        reasons = [entry['reason'] for entry in waivers if finding.severity == 'error'
                   and entry['rule'] == finding.rule and re.search(entry['node'], finding.node)]
        result.append(finding._replace(severity='waived', detail='{}: {}'.format(
            finding.detail, reasons[0])) if reasons else finding)
    return result


def unknown_operations(graph_def: tf.GraphDef, path: str) -> List[Finding]:
    """Finds operations that a CANN installation does not list.

    Args:
      graph_def: tf.GraphDef; path: str, npu_supported_ops.json, a dict by operation.
    Returns:
      list of Finding.
    """
    listed = text.read_json(path)
    if not isinstance(listed, dict):
        raise errors.InputError('{}: a dict of operations was expected.'.format(path))
    known = set(listed)
    return [Finding('warning', 'op-not-listed', node.name, node.op) for node in graph_def.node
            if node.op not in known and node.op != 'Placeholder']


def advice(findings: Sequence[Finding]) -> List[str]:
    """Returns a line with the accepted rewrite for each rule that errors and warnings break."""
    rules = sorted({finding.rule for finding in findings
                    if finding.severity in ('error', 'warning') and finding.rule in REWRITES})
    return ['instead ({}): {}'.format(rule, REWRITES[rule]) for rule in rules]

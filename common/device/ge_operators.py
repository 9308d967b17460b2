"""Operators of CANN's graph engine (GE): their lists of mixed precision and their kernels' types.

`ge_operators.csv` is the engine's table of the Ascend 910B; no table of the 910 is public, whose
cube operators differ for sure: they take float16 only. `ge_additions.csv` has what that file says
nothing of, or what holds for TensorFlow's form of an operator, each with its reason.
"""
import csv
import functools
import os
from typing import Dict, FrozenSet, NamedTuple, Optional, Tuple

CHIPS = ('910', '910B')
# Multiply in half precision and accumulate in float32.
CUBE = frozenset((
    'MatMul', 'MatMulV2', 'BatchMatMul', 'BatchMatMulV2', 'GEMM', 'FullyConnection', 'Conv2D',
    'Conv2DBackpropInput', 'Conv2DBackpropInputD', 'Conv2DBackpropFilter', 'Conv2DBackpropFilterD',
    'Conv2DTranspose', 'Conv2DTransposeD', 'DepthwiseConv2D', 'DepthwiseConv2DBackpropInput',
    'DepthwiseConv2DBackpropFilter', 'Conv3D', 'Conv3DBackpropInput', 'Conv3DBackpropInputD',
    'Conv3DBackpropFilter', 'Conv3DBackpropFilterD', 'Conv3DTranspose', 'Conv3DTransposeD',
    'Deconvolution'))
# Give only values that their inputs have, or these with another sign: nothing to round.
EXACT = frozenset((
    'Abs', 'BroadcastTo', 'ConcatV2D', 'Enter', 'Exit', 'ExpandDims', 'GatherNd', 'GatherV2',
    'Identity', 'IdentityN', 'MatrixDiag', 'MatrixDiagPart', 'MaxPool', 'MaxPool3D', 'Maximum',
    'Merge', 'Minimum', 'Neg', 'NextIteration', 'OneHot', 'Pack', 'Pad', 'PadV2', 'ReduceMax',
    'ReduceMin', 'Relu', 'ReluGrad', 'Reshape', 'ReverseV2', 'Select', 'SelectV2', 'Sign', 'Slice',
    'Split', 'SplitV', 'Squeeze', 'StridedSlice', 'StridedSliceGrad', 'Switch', 'Tile', 'TopKV2',
    'Transpose', 'Unpack', 'ZerosLike'))
HALF, FLOAT, BFLOAT = 'float16', 'float32', 'bfloat16'
_FOLDER = os.path.dirname(os.path.abspath(__file__))


class Operator(NamedTuple):
    """An operator of the graph engine.

    Attributes:
      ge_op: str, its type.
      default_list: 'white', 'black' or 'grey'.
      columns: {(type of the float inputs, type of the float outputs)} that its kernel has.
      float32_inputs, float32_outputs: positions that are float32 in every column.
    """

    ge_op: str
    default_list: str
    columns: FrozenSet[Tuple[str, str]]
    float32_inputs: FrozenSet[int] = frozenset()
    float32_outputs: FrozenSet[int] = frozenset()

    @property
    def is_cube(self) -> bool:
        """Returns whether it multiplies in half precision and accumulates in float32."""
        return self.ge_op in CUBE


@functools.lru_cache(None)
def by_ge_type(chip: str = '910') -> Dict[str, Operator]:
    """Returns {type of the graph engine: Operator}, for one of CHIPS."""
    return {row['ge_op']: _operator(row, chip) for row in _rows('ge_operators.csv')}


@functools.lru_cache(None)
def by_tf_type(chip: str = '910') -> Dict[str, Operator]:
    """Returns {type of TensorFlow: Operator}; types of the same name are the same operator."""
    operators = dict(by_ge_type(chip))
    for row in _rows('ge_operators.csv'):
        operators.update((name, operators[row['ge_op']]) for name in row['tf_ops'].split())
    operators.update((row['tf_op'], _operator(row, chip)) for row in _rows('ge_additions.csv'))
    return operators


def _rows(name):
    with open(os.path.join(_FOLDER, name), encoding='utf-8', newline='') as stream:
        return list(csv.DictReader(stream))


def _operator(row, chip):
    positions = [frozenset(map(int, (row.get(name) or '').split()))
                 for name in ('float32_inputs', 'float32_outputs')]
    return Operator(row['ge_op'], row['list'], _columns(row, chip), *positions)


def _columns(row, chip):
    """Pairs of types; a kernel that decides by itself, or of which nothing is told, has both."""
    both = (HALF, FLOAT)
    inputs, outputs = _types(row, 'in0'), _types(row, 'out0')
    # An end that is no float goes along with the other one.
    inputs, outputs = inputs or outputs, outputs or inputs
    if inputs is None or outputs is None:
        inputs = outputs = both
    if row['ge_op'] in CUBE:
        inputs = (HALF,) if chip == '910' else inputs
        outputs = _types(row, 'out0') or both
        return frozenset((one, other) for one in inputs for other in outputs
                         if (one, other) != (FLOAT, HALF))
    if inputs == outputs:
        return frozenset((one, one) for one in inputs)
    return frozenset((one, other) for one in inputs for other in outputs)


def _types(row, end) -> Optional[Tuple[str, ...]]:
    """Float types of an end: None where the file says nothing, () where it is no float."""
    flags = [(name, row['{}_{}'.format(end, name)]) for name in (HALF, FLOAT)]
    if not any(flag for _, flag in flags):
        return None
    return tuple(name for name, flag in flags if flag == '1')

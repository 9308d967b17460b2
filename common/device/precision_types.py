"""Which type CANN's graph engine gives the tensors of an operator: the rules of its modes.

A mode says what type a tensor wants; the columns of the operator's kernel say what there is. Each
choice narrows the columns for the next one, so that the first float input decides for the others.
"""
import re
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from common import errors
from common.device import ge_operators, mixlist
from common.readers import text

HALF, FLOAT, BFLOAT = ge_operators.HALF, ge_operators.FLOAT, ge_operators.BFLOAT
Columns = FrozenSet[Tuple[str, str]]
_WIDTHS = {HALF: 16, BFLOAT: 16, FLOAT: 32, 'float64': 64}
# (rule, narrow type) of the modes, under both vendors' spellings.
MODES = {
    'force_fp32': ('cube_half', HALF), 'cube_fp16in_fp32out': ('cube_half', HALF),
    'allow_fp32_to_fp16': ('allow', HALF), 'allow_fp32_to_bf16': ('allow', BFLOAT),
    'force_fp16': ('force', HALF), 'fp16': ('force', HALF),
    'must_keep_origin_dtype': ('keep', HALF), 'origin': ('keep', HALF),
    'allow_mix_precision': ('mix', HALF), 'allow_mix_precision_fp16': ('mix', HALF),
    'mixed_float16': ('mix', HALF), 'allow_mix_precision_bf16': ('mix', BFLOAT),
    'mixed_bfloat16': ('mix', BFLOAT)}
_CUSTOM = re.compile(r'(?P<type>OpType::)?(?P<name>[^:\s]+)::?InputDtype:(?P<inputs>[\w,]*?),?'
                     r'OutputDtype:(?P<outputs>[\w,]*)$')


class Rules(NamedTuple):
    """What decides on types besides the graph.

    Attributes:
      mode: str, a key of MODES.
      changes: mixlist.Mixlist, or None.
      customized: see `read_customized`.
      chip: str, one of ge_operators.CHIPS.
    """

    mode: str
    changes: Optional[mixlist.Mixlist] = None
    customized: Dict[str, Tuple[str, str]] = {}
    chip: str = '910'

    @property
    def narrow(self) -> str:
        """Returns the type of 16 bits that the mode brings."""
        return MODES[self.mode][1]

    def operator(self, tf_type: str) -> Optional[ge_operators.Operator]:
        """Returns the operator that a TensorFlow operation becomes; None: it is not in the table.

        Its list is the one that the mixlist leaves it on.
        """
        operator = ge_operators.by_tf_type(self.chip).get(tf_type)
        return None if operator is None else self._changed(operator)

    def ge_operator(self, ge_type: str) -> ge_operators.Operator:
        """Returns the operator of a type of the graph engine, see `operator`."""
        return self._changed(ge_operators.by_ge_type(self.chip)[ge_type])

    def _changed(self, operator):
        if self.changes is None:
            return operator
        return operator._replace(default_list=self.changes.list_of(operator.ge_op,
                                                                   operator.default_list))

    def columns(self, operator: ge_operators.Operator) -> Columns:
        """Returns the columns of an operator's kernel that the mode may take."""
        if self.narrow == HALF:
            return operator.columns
        # The table knows no bfloat16: its columns are taken to be those of float16.
        return frozenset((one.replace(HALF, BFLOAT) if one == HALF else one,
                          BFLOAT if other == HALF else other)
                         for one, other in operator.columns)

    def assign(self, operator: ge_operators.Operator, producers: Sequence[Optional[str]],
               name: str = '', is_kept: bool = False, original: str = FLOAT) -> Tuple[str, str]:
        """Chooses the types of an operator's float tensors.

        Args:
          operator: of `operator` or `ge_operator`.
          producers: types of the outputs that its float inputs come from, in their order, seen
            through a cast from half precision; None: nothing produces it.
          name: str, of the node, for the customized types.
          is_kept: bool, it stands under `keep_dtype_scope`.
          original: str, the graph's own type of its float tensors.
        Returns:
          (str, type of its float inputs; str, type of its float outputs).
        """
        for key in (name, 'OpType::' + operator.ge_op):
            if key in self.customized and MODES[self.mode][0] != 'keep':
                return self.customized[key]
        columns = self.columns(operator)
        if not columns:
            return original, original
        rule = self._rule(operator, is_kept)
        # Cast-like operators have every pair; what comes in stays as it came.
        if operator.ge_op == 'Cast':
            return (producers[0] if producers and producers[0] else original), original
        inputs = original
        if producers:
            inputs = self._choose(rule, operator, {one for one, _ in columns}, original,
                                  producers[0], 'first')
            columns = frozenset(pair for pair in columns if pair[0] == inputs)
        if not columns:     # no kernel: the host computes it
            return original, original
        return inputs, self._choose(rule, operator, {other for _, other in columns}, original,
                                    None, 'output')

    def _rule(self, operator, is_kept):
        rule = MODES[self.mode][0]
        if is_kept or operator.ge_op == 'Cast':
            return 'origin'
        return operator.default_list if rule == 'mix' else rule

    def _choose(self, rule, operator, available, original, producer, end):
        """Type of one tensor, by a rule; the original one where no kernel has a fitting column."""
        may_reduce, wanted = True, original
        if rule in ('white', 'force'):
            wanted, may_reduce = self.narrow, False
        elif rule in ('black', 'keep'):
            may_reduce = False
        elif rule == 'grey' and producer is not None:
            wanted = producer
        elif rule in ('grey', 'allow') and operator.is_cube:
            wanted = self.narrow
        elif rule == 'cube_half':
            wanted = FLOAT
            if operator.is_cube and end == 'first' and (
                    self.narrow, FLOAT) in self.columns(operator):
                wanted = self.narrow
        return rise(wanted, available) or (reduce(wanted, available) if may_reduce else None
                                           ) or original


def rise(wanted: str, available: Iterable[str]) -> Optional[str]:
    """Returns the wanted type if it is available, else the next wider one, or None."""
    if wanted in available:
        return wanted
    wider = [one for one in available if _WIDTHS[one] > _WIDTHS[wanted]]
    return min(wider, key=lambda one: _WIDTHS[one]) if wider else None


def reduce(wanted: str, available: Iterable[str]) -> Optional[str]:
    """Returns the next narrower type that is available, or None."""
    narrower = [one for one in available if _WIDTHS[one] < _WIDTHS[wanted]]
    return max(narrower, key=lambda one: _WIDTHS[one]) if narrower else None


def mode_of(mode: Optional[str], mode_v2: Optional[str], is_training: bool = True) -> str:
    """Returns the mode that the emulation follows, a key of MODES.

    Args:
      mode, mode_v2: values of --precision_mode and --precision_mode_v2, or None.
      is_training: bool; what the platform does by itself is allow_fp32_to_fp16 in training, and
        force_fp16 in a converted graph.
    Raises:
      errors.UsageError: a mode whose rules are not known.
    """
    asked = mode_v2 or mode or 'allow_mix_precision'
    asked = {'mix': 'allow_mix_precision',
             'default': 'allow_fp32_to_fp16' if is_training else 'force_fp16'}.get(asked, asked)
    if asked not in MODES:
        raise errors.UsageError('--emulate_precision: the rules of the mode {} are not known; '
                                'known are {}.'.format(asked, ', '.join(MODES)))
    return asked


def read_customized(path: str) -> Dict[str, Tuple[str, str]]:
    """Reads a file of --customize_dtypes.

    Lines are `OpType::Type:InputDtype:float16,...,OutputDtype:float16,...`, or begin with the
    name of a node and `::`.

    Returns:
      {'OpType::<type>' or name of a node: (type of its float inputs, of its float outputs)}.
    Raises:
      errors.InputError: a line is none of these, or its floats have several types.
    """
    customized = {}
    remedy = 'Give lines like OpType::Relu:InputDtype:float16,OutputDtype:float16.'
    for number, line in enumerate(text.read(path, 'types of operators', remedy).splitlines(), 1):
        if not line.strip():
            continue
        match = _CUSTOM.match(line.strip())
        inputs, outputs = [_one_type(match.group(part)) if match else None
                           for part in ('inputs', 'outputs')]
        if not match or inputs is None or outputs is None:
            raise errors.InputError('{}: line {} is not understood. {}'.format(
                path, number, remedy))
        customized[(match.group('type') or '') + match.group('name')] = inputs, outputs
    return customized


def _one_type(names: str) -> Optional[str]:
    """The type that all floats of a list have; float32 where there are none; None: several."""
    types = {name for name in names.split(',') if name in (HALF, FLOAT, BFLOAT)}
    return None if len(types) > 1 else (types or {FLOAT}).pop()


def read_scopes(asked: str) -> List[str]:
    """Reads --keep_float32_scopes: names with commas between them, or @ and a file of lines.

    Raises:
      errors.InputError: the file cannot be read.
    """
    if asked.startswith('@'):
        lines = text.read(asked[1:], 'names of scopes', 'Give one scope a line.').splitlines()
    else:
        lines = asked.split(',')
    return [line.strip().strip('/') for line in lines
            if line.strip() and not line.lstrip().startswith('#')]

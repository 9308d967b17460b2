"""Half precision of the Ascend NPU emulated on CPU and GPU: what is float16 there is rounded here.

    with emulation.Session(settings, graph=graph) as sess:
        sess.run(train_op)

The session edits the graph before it runs: every float32 tensor gets the type that CANN's graph
engine would give it (precision_types.py), and what is 16 bits wide goes through a cast there and
back. Products accumulate in float32. Values beyond +-65504 become +-65504, as on the 910, which
tells of them by a status register alone, or infinite as on later chips.
"""
import collections
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common.device import ge_operators, mixlist, npu, precision_types, ranges
from common.ops import regions, runtime

LARGEST = 65504.
_OVERFLOW = 65520.          # from here on the nearest float16 would be beyond the largest
_SPACING = 2. ** -8         # of float32 below that
_EXPONENT = 0x7f800000      # bits of a float32
_SMALLEST_NORMAL = 2. ** -14
_PENDING = 'emulated_overflow'
_ROUNDED = 'emulated_roundings'     # collection of (rounded tensor, its type)
_OWN = re.compile(r'(^|/)emulation(_\d+)?/')
_PORTION = 100              # tensors that are measured in one step
_TOLD = 5                   # operators and scopes with the most saturated values
_COUNT_EVERY = 10           # runs from one count of saturated values to the next
_GRADIENTS = re.compile(r'(^|.*/)gradients(_\d+)?/')
_FIRST_GRADIENT = re.compile(r'(^|/)grad_ys_\d+$')      # of the loss, with respect to itself
# What a fast form uses but does not compute.
_NOT_PART = frozenset(('VariableV2', 'VarHandleOp', 'ReadVariableOp', 'Const', 'Assign',
                       'AssignVariableOp', 'Placeholder'))


class Settings(NamedTuple):
    """How the emulation works.

    Attributes:
      rules: precision_types.Rules.
      overflow: 'saturate' or 'inf'.
      scopes: names of scopes that are kept in float32.
      report: file for the ranges of the values; '': none.
    """

    rules: precision_types.Rules
    overflow: str = 'saturate'
    scopes: Tuple[str, ...] = ()
    report: str = ''


class Rounding(NamedTuple):
    """A place where values are rounded.

    Attributes:
      source, rounded: tensors of one shape, before and behind.
      ge_op: operator that produces it, or that takes it where only this use is rounded.
      scope: str, where this operator stands.
      kind: type, 'float16' or 'bfloat16'.
      is_gradient: bool, the values grow with the loss: those of the forward pass that a backward
        one takes are none, nor are its own numbers of elements.
    """

    source: tf.Tensor
    rounded: tf.Tensor
    ge_op: str
    scope: str
    kind: str
    is_gradient: bool


def scope_of(name: str) -> str:
    """Returns the scope of a node; both passes have one scope."""
    forward = _GRADIENTS.sub('', name)
    parts = forward.split('/')[:-1] or [forward]
    if forward != name and parts[-1].endswith('_grad'):
        parts = parts[:-1] or [parts[-1][:-len('_grad')]]
    return '/'.join(parts)


class Emulator:
    """Edits a graph so that it computes as in half precision.

    Args:
      graph: tf.Graph; settings: Settings.

    Attributes:
      types: {name of a float32 tensor: type that the NPU gives it}.
      roundings: list of Rounding.
      operators: {name of an operation with floats: (type of the graph engine, type of its inputs,
        type of its outputs)}.
      unknown: TensorFlow's types that are not in the table; they stay as they are.
    """

    def __init__(self, graph: tf.Graph, settings: Settings):
        self.graph, self.settings = graph, settings
        self.types: Dict[str, str] = {}
        self.roundings: List[Rounding] = []
        self.operators: Dict[str, Tuple[str, str, str]] = {}
        self.unknown: Set[str] = set()
        self._version, self._num_seen = -1, 0
        self._rounded: Dict[Tuple[str, ...], tf.Tensor] = {}
        self._scopes: Dict[str, str] = {}       # of operations, see `scope_of`
        self._gradients: Set[tf.Operation] = set()
        self._imported_loops: Set[tf.Operation] = set()
        self._part_of: Dict[str, Tuple[int, bool]] = {}
        self._parts: Dict[Tuple[int, bool], Tuple[str, str]] = {}

    def extend(self) -> None:
        """Edits what was added to the graph since the last call; call it before that runs."""
        if self.graph.version == self._version:
            return
        operations = self.graph.get_operations()
        self._imported_loops = imported_loops(operations)
        self._gradients = _behind([op for op in operations if _FIRST_GRADIENT.search(op.name)])
        marks = regions.of(self.graph)
        kept: Set[str] = set()
        parts: Dict[str, Tuple[int, bool]] = {}
        for number, region in enumerate(marks):
            names = [op.name for op in operations[region.first:region.last]]
            if region.ge_op is None:
                kept.update(names)
            else:
                # A fast form within another one is a part of that: the outer mark comes later.
                parts.update({op.name: (number, False)
                              for op in operations[region.first:region.last] if _is_part(op)})
        # What an earlier session's emulation of this graph rounds, stays.
        for tensor, kind in self.graph.get_collection(_ROUNDED):
            self.types[tensor.name] = kind
            self._rounded[tensor.name, kind] = tensor
        with self.graph.as_default():
            for op in operations[self._num_seen:]:
                if _OWN.search(op.name):
                    continue
                self._find_part(op, parts)
                is_kept = op.name in kept or regions.is_in(op.name, self.settings.scopes)
                self._edit(op, marks, is_kept)
            self._connect_overflows()
        self.skip_new()

    def skip_new(self) -> None:
        """Leaves what was added to the graph since the last edit as it is."""
        self._num_seen, self._version = len(self.graph.get_operations()), self.graph.version

    def _find_part(self, op, parts):
        """Notes the fast form that an operation is a part of, by its forward operation too."""
        if op.name in parts:
            self._part_of[op.name] = parts[op.name]
        forward = getattr(op, '_original_op', None)
        if op.name not in parts and forward is not None and _is_part(op):
            part = parts.get(forward.name) or self._part_of.get(forward.name)
            if part is not None:
                self._part_of[op.name] = (part[0], True)

    def _edit(self, op, marks, is_kept):
        """Assigns the types of an operation and rounds what comes in."""
        # A sum of gradients has no name of its own: it counts where its first one comes from.
        self._scopes[op.name] = (self._scopes.get(op.inputs[0].op.name, '')
                                 if op.type == 'AddN' else '') or scope_of(op.name)
        inputs = [(number, tensor) for number, (tensor, dtype) in enumerate(
            zip(op.inputs, op._input_types)) if dtype == tf.float32]
        outputs = [(number, tensor) for number, tensor in enumerate(op.outputs)
                   if tensor.dtype.base_dtype == tf.float32]
        if not inputs and not outputs:
            return
        rules, part = self.settings.rules, self._part_of.get(op.name)
        if part is None:
            operator = rules.operator(op.type)
        else:
            operator = rules.ge_operator(marks[part[0]].ge_op)
        if operator is None:
            self.unknown.add(op.type)
            operator = ge_operators.Operator(op.type, 'grey', frozenset())
        moving = [tensor for number, tensor in inputs if number not in operator.float32_inputs]
        if part in self._parts:
            types = self._parts[part]
        else:
            types = rules.assign(operator, [self._producer_type(tensor) for tensor in moving],
                                 op.name, is_kept)
            if part is not None:
                self._parts[part] = types
        self.operators[op.name] = (operator.ge_op,) + types
        # A loop's way back must lead straight from NextIteration to Merge.
        is_loop = op.type == 'Merge' and any(one.op.type in ('Enter', 'NextIteration')
                                             for one in op.inputs)
        for number, tensor in () if is_loop else inputs:
            inside = part is not None and self._part_of.get(tensor.op.name) == part
            wanted = types[0] if number not in operator.float32_inputs else precision_types.FLOAT
            value = tensor if inside else self._value(tensor, wanted, operator.ge_op, op)
            if value is not tensor:
                op._update_input(number, value)
        for number, tensor in outputs:
            kind = types[1] if number not in operator.float32_outputs else precision_types.FLOAT
            self.types[tensor.name] = kind
            if types[0] == kind and operator.ge_op in ge_operators.EXACT and part is None:
                self._rounded[tensor.name, kind] = tensor

    def _producer_type(self, tensor):
        """Type of the output that a tensor comes from, seen through a cast from half to float."""
        if tensor.op.type == 'Cast' and tensor.dtype.base_dtype == tf.float32:
            source = tensor.op.inputs[0].dtype.base_dtype.name
            cast = self.settings.rules.operator('Cast')
            if source in (precision_types.HALF, precision_types.BFLOAT) and (
                    cast.default_list != 'black'):
                return source
        return self.types.get(tensor.name, precision_types.FLOAT)

    def _value(self, tensor, wanted, ge_op, op):
        """Returns what stands for a tensor where its type should be `wanted`."""
        own = self.types.get(tensor.name, precision_types.FLOAT)
        value = tensor
        if own != precision_types.FLOAT:
            producer = self.operators.get(tensor.op.name, ('',))[0]
            value = self._round(value, own, producer, tensor.op)
        if wanted not in (precision_types.FLOAT, own):
            value = self._round(value, wanted, ge_op, op)
        return value

    def _round(self, tensor, kind, ge_op, op):
        # What reads a variable behind an assignment has its value rounded behind that too.
        waiting = list(op.control_inputs) if tensor.dtype._is_ref_dtype else []
        key = (tensor.name, kind) + tuple(one.name for one in waiting)
        if key not in self._rounded:
            context = tensor.op._get_control_flow_context()
            with tf.control_dependencies(None), tf.name_scope('emulation/'):
                self.graph._set_control_flow_context(context)
                try:
                    if tensor.op in self._imported_loops:
                        waiting.append(tensor.op)
                    with tf.control_dependencies(waiting):
                        rounded = rounded_to(_exact(tensor), kind, self.settings.overflow)
                finally:
                    self.graph._set_control_flow_context(None)
            self._rounded[key] = rounded
            self.graph.add_to_collection(_ROUNDED, (rounded, kind))
            self.roundings.append(Rounding(tensor, rounded, ge_op, self._scopes[op.name], kind,
                                           tensor.op in self._gradients))
        return self._rounded[key]

    def needed(self, fetches: Iterable[Any], fed: Iterable[str] = ()) -> Set[tf.Operation]:
        """Collects the operations that tensors of any shape, or operations, depend on.

        Args:
          fetches: tensors and operations; fed: names of tensors whose values are given.
        """
        needed: Set[tf.Operation] = set()
        waiting = [getattr(fetch, 'op', fetch) for fetch in fetches if fetch.name not in fed]
        while waiting:
            op = waiting.pop()
            if op not in needed:
                needed.add(op)
                waiting += [tensor.op for tensor in op.inputs if tensor.name not in fed]
                waiting += op.control_inputs
        return needed

    def roundings_for(self, fetches: Iterable[Any], fed: Iterable[str] = ()) -> List[Rounding]:
        """Lists the roundings to float16, outside of loops, that some fetches depend on.

        Args: see `needed`.
        """
        needed = self.needed(fetches, fed)
        return [rounding for rounding in self.roundings
                if rounding.rounded.op in needed and self._is_countable(rounding)]

    def _is_countable(self, rounding):
        return (rounding.kind == precision_types.HALF
                and rounding.source.op._get_control_flow_context() is None)

    def summary(self) -> Dict[str, Any]:
        """Returns how much of the graph is in half: {"operators": {type: [in half, in all]}}."""
        operators: Dict[str, List[int]] = {}
        for ge_op, inputs, outputs in self.operators.values():
            counts = operators.setdefault(ge_op, [0, 0])
            counts[0] += (inputs, outputs) != (precision_types.FLOAT, precision_types.FLOAT)
            counts[1] += 1
        return {'mode': self.settings.rules.mode, 'operators': operators,
                'unknown': sorted(self.unknown)}

    def _connect_overflows(self):
        """Gives the optimizers of `scale_loss` the status of what their gradients come from."""
        pending = self.graph.get_collection_ref(_PENDING)
        for flag, gradients in pending:
            roundings = self.roundings_for(gradients)
            if roundings:
                with tf.control_dependencies(None), tf.name_scope('emulation/'):
                    sizes = tf.stack([tf.reduce_max(tf.abs(rounding.source))
                                      for rounding in roundings])
                    # Not "greater": NaN is an overflow too.
                    overflowed = tf.reduce_any(tf.logical_not(tf.less(sizes, _OVERFLOW)))
                flag._update_input(0, overflowed)
        del pending[:]


def imported_loops(operations: Iterable[tf.Operation]) -> Set[tf.Operation]:
    """Collects the operations in loops of an imported graph, which does not know its loops."""
    return _behind([op for op in operations if op.type == 'Enter'
                    and op._get_control_flow_context() is None], 'Exit')


def _behind(operations, end=''):
    """Collects operations and all that depend on them, up to those of the type `end`."""
    found: Set[tf.Operation] = set()
    waiting = list(operations)
    while waiting:
        op = waiting.pop()
        if op not in found and op.type != end:
            found.add(op)
            waiting += [consumer for tensor in op.outputs for consumer in tensor.consumers()]
            waiting += op._control_outputs if end else []
    return found


def _is_part(op):
    return (op.type not in _NOT_PART and '/Initializer/' not in op.name
            and not (op.type == 'Identity' and op.inputs[0].op.type in _NOT_PART))


def _exact(tensor):
    """Square roots of TensorFlow 1.15 are off by float32's last place, which can turn half's."""
    if tensor.op.type != 'Sqrt':
        return tensor
    return tf.cast(tf.sqrt(tf.cast(tensor.op.inputs[0], tf.float64)), tf.float32)


def rounded_to(tensor: tf.Tensor, kind: str, overflow: str = 'saturate') -> tf.Tensor:
    """Rounds float32 values to a type of 16 bits, subnormal numbers included.

    Args:
      tensor: float32 of any shape; kind: 'float16' or 'bfloat16'.
      overflow: 'saturate', or 'inf' as IEEE 754 has it.
    Returns:
      float32 of the same shape, every value one that the type has; NaN stays.
    """
    if kind == precision_types.HALF and overflow == 'saturate':
        if runtime.HALF_CASTS_ARE_SLOW:
            return _rounded_by_a_sum(tensor)
        tensor = tf.raw_ops.ClipByValue(t=tensor, clip_value_min=-LARGEST, clip_value_max=LARGEST)
    return tf.cast(tf.cast(tensor, tf.as_dtype(kind)), tf.float32)


def _rounded_by_a_sum(tensor):
    """`rounded_to` float16 of values that saturate; the sign of a zero is lost.

    Beside 1.5 * 2^(e + 13) a float32 has the places that a float16 of the exponent e has; the
    smallest normal number's are those of subnormal ones too.
    """
    tensor = tf.minimum(tf.maximum(tensor, -LARGEST), LARGEST)      # NaN stays, as the first of two
    large = tf.maximum(_powers_of_two(tensor), _SMALLEST_NORMAL) * (1.5 * 2 ** 13)
    return (tensor + large) - large


def _powers_of_two(tensor):
    """The largest powers of two that are no larger than the values."""
    size = tensor.shape.num_elements() or 1
    if size % 2:
        bits = tf.bitwise.bitwise_and(tf.bitcast(tensor, tf.int32), _EXPONENT)
        return tf.bitcast(bits, tf.float32)
    # No kernel of 1.15 vectorises this one: it takes half of the time on two numbers at once.
    pairs = tf.bitcast(tf.reshape(tensor, [size // 2, 2]), tf.int64)
    bits = tf.bitwise.bitwise_and(pairs, _EXPONENT << 32 | _EXPONENT)
    return tf.reshape(tf.bitcast(bits, tf.float32), tensor.shape)


def _number_beyond(tensor):
    """Counts the values that saturate, NaN none of them; int32 [], to rounding beyond 2^24."""
    sizes = tf.abs(tensor)
    if not runtime.HALF_CASTS_ARE_SLOW:
        return tf.reduce_sum(tf.cast(tf.greater_equal(sizes, _OVERFLOW), tf.int32))
    # 1.15 compares one by one, but vectorises this; NaN, the second of two, becomes 0.
    above = tf.maximum(0., (sizes - (_OVERFLOW - _SPACING)) / _SPACING)
    return tf.cast(tf.reduce_sum(tf.minimum(above, 1.)), tf.int32)


class Session(tf.Session):
    """A session that emulates half precision; it counts saturated values in every tenth run.

    Args:
      settings: Settings; graph, config: of tf.Session.

    Attributes:
      emulator: Emulator.
      saturated: {(operator, scope): values that were beyond +-65504 in the counted runs}.
      num_counted: int, runs that were counted.
    """

    def __init__(self, settings: Settings, graph: Optional[tf.Graph] = None,
                 config: Optional[tf.ConfigProto] = None):
        super().__init__('', graph, config)
        self.emulator = Emulator(self.graph, settings)
        self.saturated: Dict[Tuple[str, str], int] = collections.Counter()
        self.num_counted = 0
        self._runs: Dict[Any, int] = collections.Counter()
        self._counters: Dict[Any, Tuple[List[Rounding], Any]] = {}
        self._recorder = Recorder(self.emulator) if settings.report else None

    def run(self, fetches: Any, feed_dict: Any = None, options: Any = None,
            run_metadata: Any = None) -> Any:
        """Runs as tf.Session does."""
        self.emulator.extend()
        ends = self._ends(fetches)
        fed = frozenset(end.name for end in self._ends(list(feed_dict or ())))
        key = tuple(end.name for end in ends), fed
        self._runs[key] += 1
        # The first run of something is often its only one, such as initial values.
        if self._runs[key] > 1 and self._recorder is not None:
            portion = self._recorder.portion(key, ends, fed)
            if portion:
                values, arrays = super().run(
                    (fetches, [rounding.source for rounding in portion]), feed_dict, options,
                    run_metadata)
                self._recorder.add(portion, arrays)
                return values
        if self._runs[key] % _COUNT_EVERY != 2:
            return super().run(fetches, feed_dict, options, run_metadata)
        if key not in self._counters:
            self._counters[key] = self._counter(ends, fed)
        roundings, counter = self._counters[key]
        if counter is None:
            return super().run(fetches, feed_dict, options, run_metadata)
        values, counts = super().run((fetches, counter), feed_dict, options, run_metadata)
        self.num_counted += 1
        for rounding, count in zip(roundings, counts):
            if count:
                self.saturated[rounding.ge_op, rounding.scope] += int(count)
        return values

    def _ends(self, fetches):
        """Lists the tensors and operations of any structure of fetches."""
        if isinstance(fetches, dict):
            fetches = list(fetches.values())
        if isinstance(fetches, (list, tuple)):
            return [end for fetch in fetches for end in self._ends(fetch)]
        if isinstance(fetches, (tf.IndexedSlices, tf.SparseTensor)):
            return [fetches.values]
        return [self.graph.as_graph_element(fetches)]

    def _counter(self, ends, fed):
        roundings = self.emulator.roundings_for(ends, fed)
        if not roundings:
            return [], None
        with self.graph.as_default(), tf.control_dependencies(None), tf.name_scope('emulation/'):
            counts = tf.stack([_number_beyond(rounding.source) for rounding in roundings])
        self.emulator.skip_new()
        return roundings, counts

    def describe(self) -> List[str]:
        """Returns lines on the values that saturated, and on the scales of the losses."""
        lines = ['emulation: {} values beyond +-65504 in {} counted steps'.format(
            sum(self.saturated.values()), self.num_counted)]
        for (ge_op, scope), count in sorted(
                self.saturated.items(), key=lambda item: -item[1])[:_TOLD]:
            lines.append('  {} from {} in {}'.format(count, ge_op, scope))
        lines += ['loss scale {:g}, {} steps skipped'.format(*one) for one in loss_scales(self)]
        return lines


class Recorder:
    """Measures what is rounded, a portion of the graph in each step, and writes it to a file.

    Args:
      emulator: Emulator whose settings name the file.
    """

    def __init__(self, emulator: Emulator):
        self._emulator = emulator
        self._waiting: Dict[Any, List[Rounding]] = {}
        self._measured: Set[str] = set()
        self._ranges: List[ranges.Range] = []

    def portion(self, key: Any, ends: Sequence[Any], fed: Iterable[str]) -> List[Rounding]:
        """Returns what is to be measured in this run of some fetches; each once."""
        if key not in self._waiting:
            self._waiting[key] = self._emulator.roundings_for(ends, fed)
        waiting = [one for one in self._waiting[key] if one.source.name not in self._measured]
        self._waiting[key] = waiting[_PORTION:]
        self._measured.update(one.source.name for one in waiting[:_PORTION])
        return waiting[:_PORTION]

    def add(self, portion: Sequence[Rounding], arrays: Sequence[np.ndarray]) -> None:
        """Adds the arrays [...] of a portion; writes the file once all is measured."""
        self._ranges = ranges.joined(self._ranges + [
            ranges.measure(array, one.ge_op, one.scope, one.is_gradient)
            for one, array in zip(portion, arrays)])
        if not any(self._waiting.values()):
            ranges.write(self._emulator.settings.report, self._ranges, self._emulator.summary())


class LossScaleOptimizer(tf.train.Optimizer):
    """Scales the loss as the adapter's optimizer does, with the emulation's status register.

    The gradients of the scaled loss are divided by the scale. A step in which a value overflowed
    is skipped, the global step too. A dynamic scale starts at 2^16, doubles after 1000 good steps,
    halves after two bad ones.

    Args:
      optimizer: tf.train.Optimizer; scale: float, or 'dynamic'.
    """

    def __init__(self, optimizer: tf.train.Optimizer, scale: Any):
        super().__init__(False, 'LossScaleOptimizer')
        self._optimizer = optimizer
        self._is_dynamic = scale == 'dynamic'
        first = 2. ** 16 if self._is_dynamic else float(scale)
        with tf.control_dependencies(None), tf.variable_scope('loss_scale'):
            # A name of its own for each optimizer.
            number = len(tf.get_collection('loss_scales'))
            self.scale, self.good_steps, self.bad_steps, self.skipped = [
                tf.get_variable('{}_{}'.format(name, number), [], dtype, trainable=False,
                                initializer=tf.constant_initializer(value))
                for name, dtype, value in (
                    ('scale', tf.float32, first), ('good_steps', tf.int32, 0),
                    ('bad_steps', tf.int32, 0), ('skipped', tf.int32, 0))]
        tf.add_to_collection('loss_scales', self)

    def compute_gradients(self, loss: tf.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Returns (gradient, variable) pairs, scaled back, of the scalar loss []."""
        pairs = self._optimizer.compute_gradients(loss * self.scale, *args, **kwargs)
        # In which type the adapter divides is not known; 2^32, where its samples start, and its
        # reciprocal are no float16.
        with tf.name_scope('unscale'), regions.kept():
            return [(_divided(gradient, self.scale), variable) for gradient, variable in pairs]

    def apply_gradients(self, grads_and_vars: Any, global_step: Any = None,
                        name: Optional[str] = None) -> tf.Operation:
        """Returns the operation that updates the variables unless a value overflowed."""
        pairs = [pair for pair in grads_and_vars if pair[0] is not None]
        overflowed = tf.identity(tf.constant(False), name='overflowed')
        tf.add_to_collection(_PENDING, (overflowed.op, [
            getattr(gradient, 'values', gradient) for gradient, _ in pairs]))
        # Outside of the branch, so that the slots keep their names.
        self._optimizer._create_slots([variable for _, variable in pairs])
        update = tf.cond(overflowed, tf.no_op, lambda: tf.group(
            self._optimizer.apply_gradients(pairs, global_step)))
        with tf.control_dependencies([update]):
            return tf.group(self._adapted(overflowed), name=name)

    def _adapted(self, overflowed):
        """Operation that counts good and bad steps and changes the scale."""
        count = self.skipped.assign_add(tf.cast(overflowed, tf.int32))
        if not self._is_dynamic:
            return count
        good = tf.where(overflowed, 0, self.good_steps + 1)
        bad = self.bad_steps + tf.cast(overflowed, tf.int32)
        shrinks = tf.logical_and(overflowed, bad >= 2)
        grows = tf.logical_and(tf.logical_not(overflowed), good >= 1000)
        factor = tf.where(shrinks, 0.5, tf.where(grows, 2., 1.))
        scale = tf.maximum(1., self.scale * factor)
        changes = tf.logical_or(shrinks, grows)
        with tf.control_dependencies([good, bad, scale]):
            return tf.group(count, self.scale.assign(scale),
                            self.good_steps.assign(tf.where(changes, 0, good)),
                            self.bad_steps.assign(tf.where(changes, 0, bad)))


def _divided(gradient, scale):
    if gradient is None:
        return None
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / scale, gradient.indices, gradient.dense_shape)
    return gradient / scale


def settings_of(options: npu.NpuOptions) -> Settings:
    """Returns the settings of the emulation that options ask for.

    Raises:
      errors.UsageError: the rules of the mode are not known.
      errors.InputError: a file that an option names is wrong.
    """
    changes, customized = options.modify_mixlist, options.customize_dtypes
    rules = precision_types.Rules(
        precision_types.mode_of(options.precision_mode, options.precision_mode_v2,
                                options.training),
        mixlist.read_mixlist(changes) if changes else None,
        precision_types.read_customized(customized) if customized else {}, options.emulate_chip)
    return Settings(rules, options.emulate_overflow,
                    tuple(precision_types.read_scopes(options.keep_float32_scopes)),
                    options.emulate_report)


def scale_loss(optimizer: tf.train.Optimizer, scale: Any) -> tf.train.Optimizer:
    """Scales the loss of an optimizer in an emulated run; `scale` None: the same optimizer.

    Args:
      optimizer: tf.train.Optimizer; scale: of npu.parse_loss_scale.
    """
    return optimizer if scale is None else LossScaleOptimizer(optimizer, scale)


def loss_scales(sess: tf.Session) -> List[Tuple[float, int]]:
    """Returns (scale, steps skipped) of each optimizer whose loss is scaled."""
    optimizers: Sequence[Any] = sess.graph.get_collection('loss_scales')
    return [(float(np.asarray(scale)), int(np.asarray(skipped))) for scale, skipped in sess.run(
        [(optimizer.scale, optimizer.skipped) for optimizer in optimizers])] if optimizers else []

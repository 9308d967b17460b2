"""What is the Ascend NPU's alone: options, precision, parameters of NpuOptimizer, its operations.

The only file that knows npu_bridge. Its import alone moves every session of the process to the NPU,
so it comes with the first function that needs it: `load_adapter`, in a run on the NPU.
"""
import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Union,
)

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from common import errors, files
from common.device import ge_operators, mixlist
from common.ops import (
    regions,
    runtime,  # noqa: F401  # TensorFlow 2 in graph mode
)

# Values of the adapter's parameter `precision_mode`, and of `precision_mode_v2` of newer ones.
PRECISION_MODES = (
    'force_fp32', 'cube_fp16in_fp32out', 'allow_fp32_to_fp16', 'force_fp16',
    'must_keep_origin_dtype', 'allow_mix_precision', 'allow_mix_precision_fp16',
    'allow_mix_precision_bf16', 'allow_fp32_to_bf16')
PRECISION_MODES_V2 = (
    'fp16', 'origin', 'cube_fp16in_fp32out', 'mixed_float16', 'mixed_bfloat16', 'mixed_hif8',
    'cube_hif8')
DEFAULT_MODE = 'allow_mix_precision'
# Modes in which CANN takes --modify_mixlist.
_MIXED_MODES = ('allow_mix_precision', 'allow_mix_precision_fp16', 'allow_mix_precision_bf16',
                'mixed_float16', 'mixed_bfloat16')
_FILE_OPTIONS = ('modify_mixlist', 'fusion_switch_file', 'customize_dtypes')
_DUMP_STEPS = re.compile(r'\d+(-\d+)?(\|\d+(-\d+)?)*$')


class Precision(NamedTuple):
    """The precision of a run.

    Attributes:
      asked: str, the option's value, or None.
      effective: str, the adapter's mode, 'default' (what the platform does by itself) or 'float32'.
      message: str, a line for the user, or None.
    """

    asked: Optional[str]
    effective: str
    message: Optional[str] = None


def is_installed() -> bool:
    """Returns whether this Python has npu_bridge; found out without importing it."""
    return importlib.util.find_spec('npu_bridge') is not None


def precision_of(mode: Optional[str], mode_v2: Optional[str], device: str,
                 emulated: bool = False) -> Precision:
    """Returns the precision that a run gets.

    Args:
      mode: value of --precision_mode, or None.
      mode_v2: value of --precision_mode_v2, or None.
      device: 'cpu', 'gpu' or 'npu'.
      emulated: whether a CPU or GPU emulates the mode.
    Returns:
      Precision.
    Raises:
      errors.UsageError: a mode that the adapter does not know, or both options at once.
    """
    _check_precision(mode, mode_v2)
    asked = mode or mode_v2
    if device == 'npu':
        return Precision(asked, mode_v2 or _adapter_mode(mode) or 'default')
    if emulated:
        return Precision(asked, 'emulated ' + (asked or DEFAULT_MODE))
    message = None
    if asked not in (None, 'default'):
        message = 'precision: {} was asked for; the {} computes in float32'.format(asked, device)
    return Precision(asked, 'float32', message)


def _check_precision(mode, mode_v2):
    if mode and mode_v2:
        raise errors.UsageError('--precision_mode and --precision_mode_v2 exclude each other; '
                                'leave one of them out.')
    if mode and mode not in PRECISION_MODES + ('mix', 'default'):
        raise errors.UsageError('--precision_mode must be mix, default or one of {}, not "{}".'
                                .format(', '.join(PRECISION_MODES), mode))
    if mode_v2 and mode_v2 not in PRECISION_MODES_V2:
        raise errors.UsageError('--precision_mode_v2 must be one of {}, not "{}".'.format(
            ', '.join(PRECISION_MODES_V2), mode_v2))


def _check_dump_step(text):
    if not _DUMP_STEPS.match(str(text)):
        raise errors.UsageError('--data_dump_step must look like 0|5|10 or 0|3-5, not '
                                '"{}".'.format(text))


def _adapter_mode(mode):
    """Returns the adapter's mode for `--precision_mode`, or None to leave its parameter unset."""
    if mode == 'default':
        return None
    return DEFAULT_MODE if mode in (None, 'mix') else mode


def parse_loss_scale(text: Any) -> Union[None, str, float]:
    """Reads `--loss_scale`.

    Args:
      text: 'False' (or '' or None), 'True' or 'dynamic', or a number of at least 1; any case.
    Returns:
      None, 'dynamic', or a float.
    Raises:
      errors.UsageError: anything else.
    """
    word = str(text or 'false').lower()
    if word in ('false', 'no', 'none'):
        return None
    if word in ('true', 'yes', 'dynamic'):
        return 'dynamic'
    try:
        scale = float(word)
    except ValueError:
        scale = 0.0
    if not 1 <= scale < float('inf'):
        raise errors.UsageError('--loss_scale must be False, True, dynamic or a number of at least '
                                '1, not "{}".'.format(text))
    return scale


@dataclasses.dataclass(frozen=True)
class NpuOptions:
    """What the launch flags say about the NPU; each field becomes parameters of NpuOptimizer.

    `output_path` is where the folders of dumps and profiles are made. `older_adapter` is an adapter
    of 2020/21.
    """

    precision_mode: Optional[str] = None
    precision_mode_v2: Optional[str] = None
    loss_scale: str = 'False'
    over_dump: bool = False
    data_dump_flag: bool = False
    data_dump_step: str = '10'
    profiling: bool = False
    autotune: bool = False
    mix_compile_mode: bool = False
    hcom_parallel: bool = False
    deterministic: bool = False
    modify_mixlist: str = ''
    fusion_switch_file: str = ''
    customize_dtypes: str = ''
    emulate_precision: bool = False
    emulate_overflow: str = 'saturate'
    emulate_chip: str = '910'
    keep_float32_scopes: str = ''
    emulate_report: str = ''
    op_cache_dir: str = ''
    training: bool = True
    older_adapter: bool = False
    output_path: str = 'output'

    @classmethod
    def of(cls, values: Dict[str, Any], **more: Any) -> 'NpuOptions':
        """Takes over options of a script, {name: value}; those that it lacks keep their default."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**dict({name: values[name] for name in names & set(values)}, **more))

    def validate(self) -> None:
        """Checks each value and what they say together, as the adapter would abort the process.

        Raises:
          errors.UsageError: options that are wrong or exclude each other.
          errors.InputError: a file that an option names is missing or wrong.
        """
        _check_precision(self.precision_mode, self.precision_mode_v2)
        parse_loss_scale(self.loss_scale)
        if self.over_dump and self.data_dump_flag:
            raise errors.UsageError('--over_dump and --data_dump_flag exclude each other (the '
                                    'adapter refuses enable_dump_debug beside enable_dump).')
        _check_dump_step(self.data_dump_step)
        self.check_files()

    def check_files(self) -> None:
        """Reads the files that options name, and checks that they go with the precision.

        Raises:
          errors.UsageError or errors.InputError: as in `validate`.
        """
        mode = self.precision_mode_v2 or _adapter_mode(self.precision_mode)
        if self.modify_mixlist and mode not in _MIXED_MODES:
            raise errors.UsageError('--modify_mixlist works with mixed precision only, not with '
                                    '{}.'.format(mode or 'the default mode'))
        for name in _FILE_OPTIONS:
            path = getattr(self, name)
            if path and not os.path.isfile(path):
                raise errors.InputError('--{} {}: no such file.'.format(name, path))
            if path and name in mixlist.READERS:
                mixlist.READERS[name](path)

    def folder(self, name: str) -> str:
        """Makes a folder below the output folder (the adapter wants dump folders to exist)."""
        return _ensure_folder(os.path.join(os.path.abspath(self.output_path), name))


def _ensure_folder(path):
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise errors.InputError(
            'cannot make the folder {}: {}.'.format(path, error.strerror)) from error
    return path


def write_parameter_map(custom_optimizer: Any, options: NpuOptions) -> None:
    """Fills in the parameters of the NpuOptimizer entry; needs TensorFlow only, no NPU.

    A value in the wrong field (`b`, `i`, `s`) would silently count as the default.

    Args:
      custom_optimizer: message RewriterConfig.CustomGraphOptimizer.
      options: NpuOptions, validated.
    """
    values: Dict[str, Any] = {
        'use_off_line': True,
        'graph_run_mode': 1 if options.training else 0,
        'iterations_per_loop': 1,     # a loop on the device cannot be fed step by step
        'mix_compile_mode': options.mix_compile_mode,
        'hcom_parallel': options.hcom_parallel,
    }
    if options.precision_mode_v2:
        values['precision_mode_v2'] = options.precision_mode_v2
    elif _adapter_mode(options.precision_mode):
        values['precision_mode'] = _adapter_mode(options.precision_mode)
    if options.deterministic:
        values['deterministic'] = 1
    values.update(_file_parameters(options))
    values.update(_diagnosis_parameters(options))
    for key, value in values.items():
        if isinstance(value, bool):
            custom_optimizer.parameter_map[key].b = value
        elif isinstance(value, int):
            custom_optimizer.parameter_map[key].i = value
        else:
            custom_optimizer.parameter_map[key].s = tf.compat.as_bytes(value)


def _file_parameters(options):
    """Returns the parameters that name files and the cache of compiled operators."""
    values = {name: os.path.abspath(getattr(options, name))
              for name in _FILE_OPTIONS if getattr(options, name)}
    for name, (_, text) in _cleaned(options).items():
        values[name] = _cleaned_path(options, name)
        files.write_text(values[name], text)
    if options.op_cache_dir:
        values['op_compiler_cache_mode'] = 'enable'
        values['op_compiler_cache_dir'] = _ensure_folder(os.path.abspath(options.op_cache_dir))
    return values


def _cleaned(options):
    """Returns {option: (what is left out, text)} of files that CANN's parser would refuse."""
    texts = {name: mixlist.cleaned(getattr(options, name), '--' + name)
             for name in mixlist.READERS if getattr(options, name)}
    return {name: (left_out, text) for name, (text, left_out) in texts.items() if left_out}


def _cleaned_path(options, name):
    return os.path.join(os.path.abspath(options.output_path), name + '.json')


def _diagnosis_parameters(options):
    """Returns the parameters of dumps, profiles and tuning, and makes their folders."""
    values = {}
    if options.over_dump:
        values.update(enable_dump_debug=True, dump_debug_mode='all',
                      dump_path=options.folder('overflow_dump'))
    if options.data_dump_flag:
        values.update(enable_dump=True, dump_mode='all', dump_step=str(options.data_dump_step),
                      dump_path=options.folder('data_dump'))
    if options.profiling:
        values.update(profiling_mode=True, profiling_options=json.dumps(
            {'output': options.folder('profiling'), 'training_trace': 'on', 'task_trace': 'on'}))
    if options.autotune and options.older_adapter:
        values['auto_tune_mode'] = 'RL,GA'
    elif options.autotune:
        values.update(aoe_mode='2', work_path=options.folder('autotune_dump'))
    return values


def explain_ignored(options: NpuOptions, device: str) -> List[str]:
    """Returns which options have no effect on a device, or another one: one line for each.

    The precision has its line in `Precision.message`.
    """
    defaults = NpuOptions()
    if device == 'npu':
        lines = ['--{} {}: CANN refuses {} in it and gets {} without'.format(
            name, getattr(options, name), left_out, _cleaned_path(options, name))
            for name, (left_out, _) in _cleaned(options).items()]
        if options.emulate_precision:
            lines.append('--emulate_precision has no effect on the npu, which rounds by itself')
        if options.data_dump_step != defaults.data_dump_step and not options.data_dump_flag:
            lines.append('--data_dump_step has no effect without --data_dump_flag')
        mode = options.precision_mode_v2 or options.precision_mode
        if options.customize_dtypes and mode in ('must_keep_origin_dtype', 'origin'):
            lines.append('--customize_dtypes has no effect with the precision {}'.format(mode))
        return lines + _unknown_operators(options)
    silent = {'precision_mode', 'precision_mode_v2', 'training', 'older_adapter',
              'output_path', 'emulate_precision'}
    if options.emulate_precision:
        silent |= {'emulate_overflow', 'emulate_chip', 'emulate_report', 'keep_float32_scopes',
                   'loss_scale', 'modify_mixlist', 'customize_dtypes'}
    flags = [field.name for field in dataclasses.fields(NpuOptions) if field.name not in silent]
    values, unset = dataclasses.asdict(options), dataclasses.asdict(defaults)
    return ['--{} has no effect on the {}'.format(name, device) for name in flags
            if values[name] != unset[name]] + (
                _unknown_operators(options) if options.emulate_precision else [])


def _unknown_operators(options):
    """Returns a line about operators of a mixlist that CANN does not have: they change nothing."""
    if not options.modify_mixlist:
        return []
    changes = mixlist.read_mixlist(options.modify_mixlist)
    known, by_tf_type = ge_operators.by_ge_type(), ge_operators.by_tf_type()
    names = sorted({one for part in changes for operators in part.values() for one in operators
                    if one not in known})
    words = ['"{}"{}'.format(errors.quote(name, 40), ' (of CANN: {})'.format(
        by_tf_type[name].ge_op) if name in by_tf_type else '') for name in names]
    return ['--modify_mixlist {}: CANN\'s table has no {}; what it does not know has no effect'
            .format(options.modify_mixlist, errors.listed(words, most=100))] if names else []


def check(options: NpuOptions, device: str) -> None:
    """Checks the options of the NPU before any long work.

    On another device the values that have a fixed form are checked, and what stands in files.

    Raises:
      errors.InputError or errors.UsageError: as in `NpuOptions.validate`.
    """
    if device == 'npu':
        options.validate()
    else:
        precision_of(options.precision_mode, options.precision_mode_v2, device)
        parse_loss_scale(options.loss_scale)
        _check_dump_step(options.data_dump_step)
        options.check_files()


def add_to_session(proto: tf.ConfigProto, options: NpuOptions) -> tf.ConfigProto:
    """Adds the NpuOptimizer, switches two rewriters off, and lets a newer adapter add its own.

    Args:
      proto: configuration of a session.
      options: NpuOptions.
    Returns:
      tf.ConfigProto for the NPU.
    Raises:
      errors.InputError: the adapter cannot be imported; see also `NpuOptions.validate`.
    """
    options.validate()
    has_scopes = load_adapter()
    options = dataclasses.replace(options, older_adapter=not has_scopes)
    rewrite_options = proto.graph_options.rewrite_options
    custom_optimizer = rewrite_options.custom_optimizers.add()
    custom_optimizer.name = 'NpuOptimizer'
    write_parameter_map(custom_optimizer, options)
    rewrite_options.remapping = rewriter_config_pb2.RewriterConfig.OFF
    # Reads as MANUAL in this field, whose "none" is 1; the vendor's samples all write OFF.
    rewrite_options.memory_optimization = rewriter_config_pb2.RewriterConfig.OFF
    return _import('npu_bridge.npu_init').npu_config_proto(proto) if has_scopes else proto


def _import(module: str) -> Any:
    """Imports a module of the adapter; errors other than a missing package stay as they are."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise errors.InputError(
            '--device npu: cannot import {} ({}). Source set_env.sh of CANN and put its TensorFlow '
            'adapter (package npu_bridge) on PYTHONPATH, or use --device cpu.'
            .format(module, error)) from error


def load_adapter() -> bool:
    """Imports the adapter, which moves every session of this process to the NPU.

    Returns:
      bool, whether it is one that has `npu_config_proto` and scopes; those of 2020/21 lack them.
    Raises:
      errors.InputError: it, or a package that it needs, is missing.
    """
    _import('npu_bridge')
    if importlib.util.find_spec('npu_bridge.npu_init') is None:
        _import('npu_bridge.estimator.npu_ops')  # this import registers the NpuOptimizer
        return False
    return 'npu_config_proto' in vars(_import('npu_bridge.npu_init'))


def dropout(inputs: tf.Tensor, rate: float, seed: Optional[int] = None) -> tf.Tensor:
    """Drops values with probability `rate`, scales the others by 1 / (1 - rate), fused on the NPU.

    Args:
      inputs: float tensor of any shape.
      rate: float in [0, 1).
      seed: int or None.
    Returns:
      Tensor of the same shape and dtype.
    """
    if rate == 0:
        return tf.nn.dropout(inputs, rate=rate, seed=seed)
    return _import('npu_bridge.estimator.npu_ops').dropout(inputs, keep_prob=1.0 - rate, seed=seed)


@contextlib.contextmanager
def float32_scope() -> Iterator[None]:
    """Keeps in float32 what is built inside, where mixed precision would make float16 of it.

    For losses, whose logarithms and small terms half precision cannot hold. A context manager, or
    the decorator `@float32_scope()` of a function that builds. It acts in a run on the NPU, that
    is, once `load_adapter` was called; adapters of 2020/21 lack it.
    """
    adapter = sys.modules.get('npu_bridge.npu_init')
    keep: Callable[[], ContextManager] = contextlib.nullcontext
    if adapter is not None and {'npu_scope', 'npu_config_proto'} <= set(vars(adapter)):
        keep = adapter.npu_scope.keep_dtype_scope
    with keep(), regions.kept():
        yield


def keep_scopes(graph: tf.Graph, scopes: Sequence[str]) -> None:
    """Keeps in float32 what a graph has in some scopes, as `float32_scope` does.

    Args:
      graph: tf.Graph, before it runs for the first time; scopes: of --keep_float32_scopes.
    """
    for operation in graph.get_operations() if scopes else ():
        if regions.is_in(operation.name, scopes):
            operation._set_attr('_keep_dtype', tf.AttrValue(i=1))


def scale_loss(optimizer: tf.train.Optimizer, loss_scale: Any,
               is_distributed: bool) -> tf.train.Optimizer:
    """Scales the loss of an optimizer as --loss_scale says.

    A step whose gradients overflowed is skipped, the global step too. Each optimizer needs a
    manager of its own.

    Args:
      optimizer: tf.train.Optimizer, already averaging where several processes train.
      loss_scale: value of --loss_scale, see `parse_loss_scale`.
      is_distributed: bool, several processes train together.
    Returns:
      tf.train.Optimizer; the same one without loss scaling.
    """
    scale = parse_loss_scale(loss_scale)
    if scale is None:
        return optimizer
    managers = _import('npu_bridge.estimator.npu.npu_loss_scale_manager')
    optimizers = _import('npu_bridge.estimator.npu.npu_loss_scale_optimizer')
    with tf.control_dependencies(None):  # under them the manager's variables are never initialised
        if scale == 'dynamic':
            manager = managers.ExponentialUpdateLossScaleManager(
                init_loss_scale=2 ** 16, incr_every_n_steps=1000, decr_every_n_nan_or_inf=2,
                decr_ratio=0.5)
        else:
            kind = managers.FixedLossScaleManager
            takes_check = 'enable_overflow_check' in inspect.signature(kind).parameters
            extra = {'enable_overflow_check': True} if takes_check else {}
            manager = kind(loss_scale=scale, **extra)
    return optimizers.NPULossScaleOptimizer(optimizer, manager, is_distributed=is_distributed)


def distributed_optimizer(optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
    """Returns an optimizer that averages gradients over the processes by HCCL."""
    if load_adapter():
        return _import('npu_bridge.npu_init').npu_distributed_optimizer_wrapper(optimizer)
    return _import('npu_bridge.estimator.npu.npu_optimizer').NPUDistributedOptimizer(optimizer)


def hccl() -> Any:
    """Returns the module of collective operations of HCCL."""
    return _import('npu_bridge.hccl.hccl_ops')

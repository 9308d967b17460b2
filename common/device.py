"""Where a graph runs: CPU, GPU or Ascend NPU, and beside which other processes.

The only file that knows npu_bridge, its collective operations (HCCL), and Horovod.

Whether npu_bridge exists is found out without importing it, because the import alone moves every
session of the process to the NPU; it is imported when a run on the NPU is set up.
"""
import collections
import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import json
import os
import re
import warnings
from typing import Optional

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from common import errors, rank_table

# Values of the adapter's parameter `precision_mode`, and of `precision_mode_v2` of newer ones.
PRECISION_MODES = (
    'force_fp32', 'cube_fp16in_fp32out', 'allow_fp32_to_fp16', 'force_fp16',
    'must_keep_origin_dtype', 'allow_mix_precision', 'allow_mix_precision_fp16',
    'allow_mix_precision_bf16', 'allow_fp32_to_bf16')
PRECISION_MODES_V2 = (
    'fp16', 'origin', 'cube_fp16in_fp32out', 'mixed_float16', 'mixed_bfloat16', 'mixed_hif8',
    'cube_hif8')
DEFAULT_MODE = 'allow_mix_precision'
_FILE_OPTIONS = ('modify_mixlist', 'fusion_switch_file', 'customize_dtypes')
_DUMP_STEPS = re.compile(r'\d+(-\d+)?(\|\d+(-\d+)?)*$')

# Which of several processes that train together this is. backend: 'none', 'hccl' or 'horovod';
# rank, size: number of this process and of all; local_rank: number on its machine.
Ranks = collections.namedtuple('Ranks', 'backend rank size local_rank')

_ALONE = Ranks('none', 0, 1, 0)
_ranks = _ALONE  # what `init` gave last
_chosen = None  # what `choose` gave last; `dropout` asks for it while the graph is built


def choose(device):
    """Settles the device of this process.

    Args:
      device: 'auto', 'cpu', 'gpu' or 'npu'; auto takes an NPU, else a GPU, else the CPU.
    Returns:
      'cpu', 'gpu' or 'npu'.
    Raises:
      errors.InputError: the device asked for is not there.
    """
    global _chosen
    has_npu = _has_npu()
    has_gpu = device in ('auto', 'gpu') and bool(
        tf.config.experimental.list_physical_devices('GPU'))
    if device == 'auto':
        device = 'npu' if has_npu else 'gpu' if has_gpu else 'cpu'
    if device == 'npu' and not has_npu:
        raise errors.InputError(
            '--device npu needs the package npu_bridge, which this Python does not have. It comes '
            'with the TensorFlow adapter of CANN: source its set_env.sh and put the adapter on '
            'PYTHONPATH, or use --device cpu.')
    if device == 'gpu' and not has_gpu:
        raise errors.InputError('--device gpu: TensorFlow sees no GPU. Check the driver and '
                                'CUDA 10.0, or use --device cpu.')
    _chosen = device
    return device


def _has_npu():
    return importlib.util.find_spec('npu_bridge') is not None


def quieten():
    """Hides the messages of TensorFlow that tell a user nothing; what fails still raises.

    Not where npu_bridge exists: the launch scripts read there from the log that the graph was
    compiled for the NPU. Takes effect before TensorFlow's first message only.
    """
    if not _has_npu():
        os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
        tf.logging.set_verbosity(tf.logging.ERROR)
        warnings.filterwarnings('ignore', message='Converting sparse IndexedSlices')


def effective_precision(config, device):
    """Says which precision a run gets.

    Args:
      config: namespace; `precision_mode` and `precision_mode_v2` are used where present.
      device: 'cpu', 'gpu' or 'npu'.
    Returns:
      (asked, effective, message): the option's value or None; the adapter's mode, 'default' (what
      the platform does by itself) or 'float32'; a line for the user, or None.
    Raises:
      errors.UsageError: a mode that the adapter does not know, or both options at once.
    """
    mode = getattr(config, 'precision_mode', None)
    mode_v2 = getattr(config, 'precision_mode_v2', None)
    _check_precision(mode, mode_v2)
    asked = mode or mode_v2
    if device == 'npu':
        return asked, mode_v2 or _adapter_mode(mode) or 'default', None
    message = None
    if asked not in (None, 'default'):
        message = 'precision: {} was asked for; the {} computes in float32'.format(asked, device)
    return asked, 'float32', message


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
    """Gives the adapter's mode for `--precision_mode`, or None to leave its parameter unset."""
    if mode == 'default':
        return None
    return DEFAULT_MODE if mode in (None, 'mix') else mode


def parse_loss_scale(text):
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


@dataclasses.dataclass
class NpuOptions:
    """What the launch flags say about the NPU; each field becomes parameters of NpuOptimizer.

    `output_path` is where the folders of dumps and profiles are made. `iterations_per_loop` stays 1
    as long as a script feeds its data step by step. `older_adapter` is an adapter of 2020/21.
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
    op_cache_dir: str = ''
    iterations_per_loop: int = 1
    training: bool = True
    older_adapter: bool = False
    output_path: str = 'output'

    @classmethod
    def from_config(cls, config):
        """Takes over the options of a namespace; those that it lacks keep their default."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: getattr(config, name) for name in names if hasattr(config, name)})

    def validate(self):
        """Checks each value and what they say together, as the adapter would abort the process.

        Raises:
          errors.UsageError: options that are wrong or exclude each other.
          errors.InputError: a file that an option names is missing.
        """
        _check_precision(self.precision_mode, self.precision_mode_v2)
        parse_loss_scale(self.loss_scale)
        if self.over_dump and self.data_dump_flag:
            raise errors.UsageError('--over_dump and --data_dump_flag exclude each other (the '
                                    'adapter refuses enable_dump_debug beside enable_dump).')
        _check_dump_step(self.data_dump_step)
        if self.iterations_per_loop < 1:
            raise errors.UsageError('iterations_per_loop must be at least 1, not {}.'.format(
                self.iterations_per_loop))
        if self.mix_compile_mode and self.iterations_per_loop != 1:
            raise errors.UsageError('--mix_compile_mode needs iterations_per_loop 1, not {}.'
                                    .format(self.iterations_per_loop))
        mode = self.precision_mode_v2 or _adapter_mode(self.precision_mode) or ''
        if self.modify_mixlist and not mode.startswith(('allow_mix_precision', 'mixed_')):
            raise errors.UsageError('--modify_mixlist works with mixed precision only, not with '
                                    '{}.'.format(mode or 'the default mode'))
        for name in _FILE_OPTIONS:
            path = getattr(self, name)
            if path and not os.path.isfile(path):
                raise errors.InputError('--{} {}: no such file.'.format(name, path))

    def folder(self, name):
        """Makes a folder below the output folder (the adapter wants dump folders to exist)."""
        return _made(os.path.join(os.path.abspath(self.output_path), name))


def _made(path):
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise errors.InputError(
            'cannot make the folder {}: {}.'.format(path, error.strerror)) from error
    return path


def for_inference(options):
    """Leaves out of a training run's options what was meant for its device.

    Args:
      options: dict {option: value}, as `runs.read_options` gives it.
    Returns:
      dict, with `training` False.
    """
    fields = {field.name for field in dataclasses.fields(NpuOptions)}
    kept = {name: value for name, value in options.items() if name not in fields}
    return dict(kept, training=False)


def write_parameter_map(custom_optimizer, options):
    """Fills in the parameters of the NpuOptimizer entry; needs TensorFlow only, no NPU.

    A value in the wrong field (`b`, `i`, `s`) would silently count as the default.

    Args:
      custom_optimizer: message RewriterConfig.CustomGraphOptimizer.
      options: NpuOptions, validated.
    """
    values = {
        'use_off_line': True,
        'graph_run_mode': 1 if options.training else 0,
        'iterations_per_loop': options.iterations_per_loop,
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
    """Gives the parameters that name files and the cache of compiled operators."""
    values = {name: os.path.abspath(getattr(options, name))
              for name in _FILE_OPTIONS if getattr(options, name)}
    if options.op_cache_dir:
        values['op_compiler_cache_mode'] = 'enable'
        values['op_compiler_cache_dir'] = _made(os.path.abspath(options.op_cache_dir))
    return values


def _diagnosis_parameters(options):
    """Gives the parameters of dumps, profiles and tuning, and makes their folders."""
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


def explain_ignored(config, device):
    """Says which of the given options do nothing.

    Args:
      config: namespace.
      device: 'cpu', 'gpu' or 'npu'.
    Returns:
      list of lines, one for an option. The precision has its line in `effective_precision`.
    """
    given = NpuOptions.from_config(config)
    defaults = NpuOptions()
    if device == 'npu':
        lines = []
        if given.data_dump_step != defaults.data_dump_step and not given.data_dump_flag:
            lines.append('--data_dump_step has no effect without --data_dump_flag')
        mode = given.precision_mode_v2 or given.precision_mode
        if given.customize_dtypes and mode in ('must_keep_origin_dtype', 'origin'):
            lines.append('--customize_dtypes has no effect with the precision {}'.format(mode))
        return lines
    flags = [field.name for field in dataclasses.fields(NpuOptions)
             if field.name not in ('precision_mode', 'precision_mode_v2', 'iterations_per_loop',
                                   'training', 'older_adapter', 'output_path')]
    return ['--{} has no effect on the {}'.format(name, device) for name in flags
            if getattr(given, name) != getattr(defaults, name)]


def check_options(config, device):
    """Checks the options of the device before any long work.

    Off the NPU the values that have a fixed form are checked, not what has no effect there.

    Raises:
      errors.InputError or errors.UsageError: as in `NpuOptions.validate`.
    """
    if device == 'npu':
        NpuOptions.from_config(config).validate()
    else:
        effective_precision(config, device)
        parse_loss_scale(getattr(config, 'loss_scale', None))
        _check_dump_step(getattr(config, 'data_dump_step', NpuOptions.data_dump_step))


def session_config(config, device=None):
    """Makes the configuration of a session.

    Args:
      config: namespace; `device`, `threads` (0: TensorFlow's own choice) and the fields of
        NpuOptions are used where present.
      device: 'cpu', 'gpu' or 'npu'; None chooses by `config.device`.
    Returns:
      tf.ConfigProto.
    Raises:
      errors.InputError: see `choose` and `NpuOptions.validate`.
    """
    device = device or choose(getattr(config, 'device', 'auto'))
    threads = getattr(config, 'threads', 0)
    proto = tf.ConfigProto(allow_soft_placement=True, log_device_placement=False,
                           intra_op_parallelism_threads=threads,
                           inter_op_parallelism_threads=threads)
    if device == 'cpu':
        proto.device_count['GPU'] = 0
    elif device == 'gpu':
        proto.gpu_options.allow_growth = True
        if _ranks.size > 1:
            proto.gpu_options.visible_device_list = str(_ranks.local_rank)
    else:
        return _npu_session_config(proto, NpuOptions.from_config(config))
    return proto


def _npu_session_config(proto, options):
    """Adds the NpuOptimizer, switches two rewriters off, and lets a newer adapter add its own."""
    options.validate()
    npu_config_proto = _npu_config_proto()
    options.older_adapter = npu_config_proto is None
    rewrite_options = proto.graph_options.rewrite_options
    custom_optimizer = rewrite_options.custom_optimizers.add()
    custom_optimizer.name = 'NpuOptimizer'
    write_parameter_map(custom_optimizer, options)
    rewrite_options.remapping = rewriter_config_pb2.RewriterConfig.OFF
    # Reads as MANUAL in this field, whose "none" is 1; the vendor's samples all write OFF.
    rewrite_options.memory_optimization = rewriter_config_pb2.RewriterConfig.OFF
    return npu_config_proto(proto) if npu_config_proto else proto


def _imported(module):
    """Imports a module of the adapter; errors other than a missing package stay as they are."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise errors.InputError(
            '--device npu: cannot import {} ({}). Source set_env.sh of CANN and put its TensorFlow '
            'adapter (package npu_bridge) on PYTHONPATH, or use --device cpu.'
            .format(module, error)) from error


def _npu_config_proto():
    """Loads the adapter; gives its function npu_config_proto, or None (adapters of 2020/21)."""
    _imported('npu_bridge')
    if importlib.util.find_spec('npu_bridge.npu_init') is None:
        _imported('npu_bridge.estimator.npu_ops')  # this import registers the NpuOptimizer
        return None
    return getattr(_imported('npu_bridge.npu_init'), 'npu_config_proto', None)


def dropout(x, rate, seed=None):
    """Drops values with probability `rate` and scales the others by 1 / (1 - rate).

    Uses the fused operator of the NPU when `choose` gave the NPU before (cli.run sees to that).

    Args:
      x: float tensor of any shape.
      rate: Python float in [0, 1).
      seed: int or None.
    Returns:
      Tensor of the same shape and dtype.
    """
    if _chosen != 'npu' or rate == 0:
        return tf.nn.dropout(x, rate=rate, seed=seed)
    npu_ops = _imported('npu_bridge.estimator.npu_ops')
    return npu_ops.dropout(x, keep_prob=1.0 - rate, seed=seed)


@contextlib.contextmanager
def float32_scope():
    """Keeps in float32 what is built inside, where mixed precision would make halves of it.

    It is for losses, whose logarithms and small terms half precision cannot hold. A context
    manager, or the decorator `@float32_scope()` of a function that builds. Acts where `choose` gave
    the NPU; adapters of 2020/21 lack it.
    """
    scopes = None
    if _chosen == 'npu' and _npu_config_proto() is not None:
        scopes = getattr(_imported('npu_bridge.npu_init'), 'npu_scope', None)
    with contextlib.nullcontext() if scopes is None else scopes.keep_dtype_scope():
        yield


def wrap_optimizer(optimizer, config):
    """Averages gradients over the processes, and scales the loss where `--loss_scale` asks for it.

    Loss scaling is for the NPU; it skips a step (the global step too) whose gradients overflowed.
    Call this once for each optimizer: each needs a manager of its own. Averages are what
    `compute_gradients` and `minimize` give; tf.gradients knows nothing of them.

    Args:
      optimizer: tf.train.Optimizer.
      config: namespace; `device` and `loss_scale` are used where present.
    Returns:
      tf.train.Optimizer; the bare one of a single process without loss scaling, so that float32
      runs stay equal to the bit.
    """
    optimizer = _averaging(optimizer)
    scale = parse_loss_scale(getattr(config, 'loss_scale', None))
    if scale is None or choose(getattr(config, 'device', 'auto')) != 'npu':
        return optimizer
    managers = _imported('npu_bridge.estimator.npu.npu_loss_scale_manager')
    optimizers = _imported('npu_bridge.estimator.npu.npu_loss_scale_optimizer')
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
    return optimizers.NPULossScaleOptimizer(optimizer, manager, is_distributed=_ranks.size > 1)


def _averaging(optimizer):
    if _ranks.size == 1:
        return optimizer
    if _ranks.backend == 'horovod':
        return _horovod().DistributedOptimizer(optimizer, sparse_as_dense=True)
    if _npu_config_proto() is not None:
        return _imported('npu_bridge.npu_init').npu_distributed_optimizer_wrapper(optimizer)
    return _imported('npu_bridge.estimator.npu.npu_optimizer').NPUDistributedOptimizer(optimizer)


def init(config=None):
    """Settles which of several processes this is; call it before the graph is built.

    Args:
      config: namespace; `device` and `distribution` are used where present: none, hccl (RANK_ID and
        RANK_SIZE say the place), horovod (started by horovodrun), or auto, which takes HCCL on an
        NPU with a RANK_SIZE above 1, and Horovod where horovodrun started more than one process.
    Returns:
      Ranks.
    Raises:
      errors.InputError: the environment contradicts itself, or Horovod is missing.
      errors.UsageError: HCCL was asked for without an NPU.
    """
    global _ranks
    backend = getattr(config, 'distribution', 'auto')
    on_npu = choose(getattr(config, 'device', 'auto')) == 'npu'
    if backend == 'hccl' and not on_npu:
        raise errors.UsageError('--distribution hccl works on an NPU only; elsewhere it is '
                                'horovod.')
    if backend == 'horovod' and on_npu:
        raise errors.UsageError('--distribution horovod works on CPU and GPU only; on an NPU it is '
                                'hccl.')
    if backend == 'auto' and on_npu:
        backend = 'hccl' if rank_table.is_one_of_several(os.environ) else 'none'
    elif backend == 'auto':
        backend = 'horovod' if os.environ.get('HOROVOD_SIZE', '1') != '1' else 'none'
    if backend == 'horovod':
        library = _horovod()
        library.init()
        _ranks = Ranks(backend, library.rank(), library.size(), library.local_rank())
    else:
        _ranks = Ranks(backend, *rank_table.place(os.environ)) if backend == 'hccl' else _ALONE
    return _ranks


def _horovod():
    try:
        return importlib.import_module('horovod.tensorflow')
    except ImportError as error:
        raise errors.InputError(
            '--distribution horovod needs the package horovod ({}); requirements-extra.txt has the '
            'line that installs it.'.format(error)) from error


def rank():
    """Number of this process, from 0."""
    return _ranks.rank


def size():
    """Number of the processes that train together."""
    return _ranks.size


def local_rank():
    """Number of this process on its machine, from 0."""
    return _ranks.local_rank


def is_chief():
    """Whether this process saves, reports and draws."""
    return _ranks.rank == 0


def per_rank(batch_size):
    """Gives the rows of a batch that this process computes.

    Raises:
      errors.UsageError: the batch cannot be shared out equally.
    """
    if batch_size % _ranks.size:
        raise errors.UsageError('a batch of {} cannot be shared out to {} processes equally; give '
                                'a multiple.'.format(batch_size, _ranks.size))
    return batch_size // _ranks.size


def shard(items):
    """Gives the part of a batch that belongs to this process.

    All parts together, in the order of the ranks, are the batch: what a step learns from does not
    depend on the number of processes.

    Args:
      items: list or array, rows first; the same in all processes.
    Returns:
      the same kind, len(items) / size rows.
    Raises:
      errors.UsageError: see `per_rank`.
    """
    part = per_rank(len(items))
    return items[_ranks.rank * part:(_ranks.rank + 1) * part]


def allreduce_mean(tensor):
    """Averages a float tensor over the processes; every process has to run it."""
    if _ranks.size == 1:
        return tensor
    if _ranks.backend == 'horovod':
        return _horovod().allreduce(tensor, op=_horovod().Average)
    return _hccl().allreduce(tensor, 'sum') / _ranks.size


def allreduce_sum(tensor):
    """Adds up a float tensor over the processes; every process has to run it."""
    return tensor if _ranks.size == 1 else allreduce_mean(tensor) * _ranks.size


def broadcast_variables(variables=None):
    """Gives the operation that sets variables to their values in the process of rank 0.

    Whole numbers travel as float32, which is exact up to 2 ** 24.

    Args:
      variables: list; None means all global variables: moving averages, moments and steps too.
    Returns:
      tf.Operation, which every process has to run; None in a single process.
    """
    if _ranks.size == 1:
        return None
    assigned = []
    for variable in tf.global_variables() if variables is None else variables:
        dtype = variable.dtype.base_dtype
        if not (dtype.is_floating or dtype.is_integer):
            continue
        value = _broadcast(variable if dtype.is_floating else tf.cast(variable, tf.float32))
        assigned.append(tf.assign(variable, tf.cast(value, dtype)))
    return tf.group(*assigned)


def _broadcast(tensor):
    if _ranks.backend == 'horovod':
        return _horovod().broadcast(tensor, 0)
    return _hccl().broadcast([tensor], 0)[0]


def barrier():
    """Gives the operation that ends when every process has come to it; None in a single one."""
    return None if _ranks.size == 1 else allreduce_mean(tf.zeros([1])).op


def _hccl():
    return _imported('npu_bridge.hccl.hccl_ops')

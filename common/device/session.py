"""Configuration of a session on the device of a run."""
import ctypes
import os
from typing import Optional

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from common.device import npu
from common.device import ranks as ranks_lib

# Numbers of glibc's malloc.h, and what they are set to.
_MALLOPT = {'MALLOC_TRIM_THRESHOLD_': (-1, -1), 'MALLOC_MMAP_MAX_': (-4, 0),
            'MALLOC_ARENA_MAX': (-8, 1)}


def keep_freed_memory() -> bool:
    """Has glibc keep the memory that tensors free, for the next ones.

    By default it gives arrays above 32 MiB back to the system at once, whose pages are faulted in
    and zeroed anew for the next array: up to a quarter of the time of a step. Variables of the
    environment that set these parameters (mallopt(3)) are left alone.

    Returns:
      whether it does; not with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all([mallopt(number, value) == 1 for name, (number, value) in _MALLOPT.items()
                if name not in os.environ])


def session_config(device: str = 'cpu', threads: int = 0,
                   options: Optional[npu.NpuOptions] = None,
                   ranks: ranks_lib.Ranks = ranks_lib.ALONE,
                   rewrites_graph: bool = True) -> tf.ConfigProto:
    """Makes the configuration of a session.

    Args:
      device: 'cpu', 'gpu' or 'npu'.
      threads: CPU threads of an operation; 0 leaves the choice to TensorFlow.
      options: of the NPU; None means their defaults.
      ranks: place of this process, which says its GPU.
      rewrites_graph: bool, whether TensorFlow optimises the graph on a CPU; once then, since a
        second time takes a second or more and makes no step of these networks faster.
    Returns:
      tf.ConfigProto.
    Raises:
      errors.InputError: see `npu.add_to_session`.
    """
    proto = tf.ConfigProto(allow_soft_placement=True, log_device_placement=False,
                           intra_op_parallelism_threads=threads,
                           inter_op_parallelism_threads=threads)
    if device == 'cpu':
        keep_freed_memory()
        proto.device_count['GPU'] = 0
        rewriting = proto.graph_options.rewrite_options
        rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
        rewriting.disable_meta_optimizer = not rewrites_graph
    elif device == 'gpu':
        proto.gpu_options.allow_growth = True
        if ranks.size > 1:
            proto.gpu_options.visible_device_list = str(ranks.local_rank)
    else:
        return npu.add_to_session(proto, options or npu.NpuOptions())
    return proto

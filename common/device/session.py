"""Configuration of a session on the device of a run."""
from typing import Optional

import tensorflow.compat.v1 as tf

from common.device import npu
from common.device import ranks as ranks_lib


def session_config(device: str = 'cpu', threads: int = 0,
                   options: Optional[npu.NpuOptions] = None,
                   ranks: ranks_lib.Ranks = ranks_lib.ALONE) -> tf.ConfigProto:
    """Makes the configuration of a session.

    Args:
      device: 'cpu', 'gpu' or 'npu'.
      threads: CPU threads of an operation; 0 leaves the choice to TensorFlow.
      options: of the NPU; None means their defaults.
      ranks: place of this process, which says its GPU.
    Returns:
      tf.ConfigProto.
    Raises:
      errors.InputError: see `npu.add_to_session`.
    """
    proto = tf.ConfigProto(allow_soft_placement=True, log_device_placement=False,
                           intra_op_parallelism_threads=threads,
                           inter_op_parallelism_threads=threads)
    if device == 'cpu':
        proto.device_count['GPU'] = 0
    elif device == 'gpu':
        proto.gpu_options.allow_growth = True
        if ranks.size > 1:
            proto.gpu_options.visible_device_list = str(ranks.local_rank)
    else:
        return npu.add_to_session(proto, options or npu.NpuOptions())
    return proto

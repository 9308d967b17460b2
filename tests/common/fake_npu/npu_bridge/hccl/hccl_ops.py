"""Double of npu_bridge.hccl.hccl_ops; several ranks are several processes."""
import os

import tensorflow.compat.v1 as tf

import npu_bridge

_REDUCTIONS = {'sum': tf.reduce_sum, 'max': tf.reduce_max, 'min': tf.reduce_min,
               'prod': tf.reduce_prod}


def _all(tensor, chain=None):
    if tensor.dtype.base_dtype not in (tf.float32, tf.float16, tf.int32, tf.int8):
        raise TypeError('HCCL takes no {}'.format(tensor.dtype))
    if not tensor.shape.is_fully_defined():
        raise ValueError('HCCL takes static shapes, not {}'.format(tensor.shape))
    from tests.common import exchange
    return exchange.all_values(tensor, int(os.environ['RANK_ID']), int(os.environ['RANK_SIZE']),
                               chain)


def allreduce(tensor, reduction, fusion=1, fusion_id=-1, group='hccl_world_group',
              chain=None):
    """Reduces over all ranks: sum, max, min or prod (no mean); `chain` is the double's own."""
    npu_bridge.record('allreduce', reduction=reduction)
    return _REDUCTIONS[reduction](_all(tensor, chain), axis=0)


def broadcast(tensor, root_rank, fusion=2, fusion_id=0, group='hccl_world_group'):
    """Gives the values of a rank; takes and gives a list."""
    npu_bridge.record('broadcast', names=[part.name for part in tensor])
    if not isinstance(tensor, (list, tuple)):
        raise TypeError('a list of tensors is expected')
    return [_all(tf.convert_to_tensor(part), 'broadcast')[root_rank] for part in tensor]

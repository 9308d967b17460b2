"""TensorFlow's own collective operations: means, broadcasts and gradients over processes.

Each process runs a server of TensorFlow; the sessions of a training open on it. Between CPUs the
operations run as a ring over gRPC, between GPUs over NCCL where TensorFlow has it. What belongs
together has the same instance key, which counts the operations as they are made: all processes
have to build them in the same order.
"""
import itertools
from typing import Any, Callable, Dict, List, Sequence, Tuple

import tensorflow.compat.v1 as tf

from common import errors
from common.device import cluster as cluster_lib

BUCKET_BYTES = 4 << 20      # gradients that travel in one buffer
_GROUP = 1                  # key of the group of all processes
_keys = itertools.count(1)  # instance keys of this process's server, which ends with the process


def serve(cluster: cluster_lib.Cluster, config: tf.ConfigProto) -> str:
    """Starts the server of this process; it ends with the process.

    Args:
      cluster: the processes; config: of sessions on the device.
    Returns:
      str, the target of sessions.
    Raises:
      errors.InputError: its port is in use.
    """
    config = _grouped(config)
    if config.inter_op_parallelism_threads:     # one more: a step may keep a single one to its end,
        config.inter_op_parallelism_threads += 1    # and signs of life would wait for it
    try:
        server = tf.train.Server(tf.train.ClusterSpec({'worker': list(cluster.addresses)}),
                                 job_name='worker', task_index=cluster.rank, config=config)
    except tf.errors.OpError as error:
        raise errors.InputError(
            'the process of {} cannot listen on its port ({}): another process has it, or it is '
            'not for users. Choose another in TF_CONFIG.'.format(
                cluster.named(cluster.rank), errors.reason(error))) from error
    return server.target.decode() if isinstance(server.target, bytes) else server.target


def session(target: str, cluster: cluster_lib.Cluster, config: tf.ConfigProto) -> tf.Session:
    """Opens a session on the server of this process; its variables end with it.

    Args:
      target: of `serve`; cluster: the processes; config: of sessions on the device.
    """
    config = _grouped(config)
    config.isolate_session_state = True
    config.device_filters.append('/job:worker/task:{}'.format(cluster.rank))
    return tf.Session(target, config=config)


def _grouped(config):
    """A copy of a configuration that names who leads the group."""
    copy = tf.ConfigProto()
    copy.CopyFrom(config)
    copy.experimental.collective_group_leader = '/job:worker/replica:0/task:0'
    return copy


class Group:
    """The operations between the processes.

    Args:
      rank: int, of this process; size: int, processes; device: 'cpu' or 'gpu'.
    """

    def __init__(self, rank: int, size: int, device: str):
        self._rank, self._size = rank, size
        self._device = '/job:worker/replica:0/task:{}/device:{}:0'.format(rank, device.upper())

    def mean(self, tensor: tf.Tensor) -> tf.Tensor:
        """Averages a float tensor of any shape; so does its gradient."""
        average = tf.custom_gradient(lambda value: (self._reduced(value), self._reduced))
        return average(tf.convert_to_tensor(tensor))

    def _reduced(self, tensor):
        with tf.device(self._device):
            return tf.raw_ops.CollectiveReduce(
                input=tensor, group_size=self._size, group_key=_GROUP, instance_key=next(_keys),
                merge_op='Add', final_op='Div', subdiv_offsets=[0])

    def from_chief(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns the values that a tensor of a known shape has in the process of rank 0."""
        same = dict(group_size=self._size, group_key=_GROUP, instance_key=next(_keys),
                    shape=tensor.shape)
        with tf.device(self._device):
            if self._rank == 0:
                return tf.raw_ops.CollectiveBcastSend(input=tf.identity(tensor), **same)
            return tf.raw_ops.CollectiveBcastRecv(T=tensor.dtype.base_dtype, **same)

    def averaging(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are means over the processes."""
        return _Averaging(optimizer, self._packed)

    def _packed(self, gradients: Sequence[tf.Tensor]) -> List[tf.Tensor]:
        """Averages tensors, a few buffers of them at a time.

        Those of the last variables come first: they are ready while others are still computed.
        """
        averaged: List[Any] = [None] * len(gradients)
        for places in buckets([(tensor.dtype.base_dtype.name, tensor.shape.num_elements()
                                * tensor.dtype.size) for tensor in gradients]):
            parts = [gradients[place] for place in places]
            flat = self._reduced(tf.concat([tf.reshape(part, [-1]) for part in parts], 0))
            for place, part, mean in zip(places, parts, tf.split(
                    flat, [part.shape.num_elements() for part in parts])):
                averaged[place] = tf.reshape(mean, part.shape)
        return averaged


def buckets(kinds: Sequence[Tuple[str, int]], most: int = BUCKET_BYTES) -> List[List[int]]:
    """Shares out tensors to buffers, from the last tensor to the first.

    Args:
      kinds: pairs (dtype, bytes) of the tensors; most: int, bytes of a buffer that has several.
    Returns:
      lists of places in `kinds`; those of a list have one dtype.
    """
    full: List[List[int]] = []
    open_: Dict[str, Tuple[int, List[int]]] = {}
    for place in reversed(range(len(kinds))):
        dtype, size = kinds[place]
        size_so_far, places = open_.get(dtype, (most, []))
        if not places or size_so_far + size > most:
            size_so_far, places = 0, []
            full.append(places)
        places.append(place)
        open_[dtype] = size_so_far + size, places
    return full


class _Averaging(tf.train.Optimizer):
    """An optimizer that lets another one apply the means of the gradients."""

    def __init__(self, optimizer: tf.train.Optimizer,
                 packed: Callable[[Sequence[tf.Tensor]], List[tf.Tensor]]):
        super().__init__(use_locking=False, name=optimizer.get_name())
        self._optimizer, self._packed = optimizer, packed

    def compute_gradients(self, *args, **kwargs):
        """Returns pairs (mean of the gradient over the processes or None, variable)."""
        pairs = self._optimizer.compute_gradients(*args, **kwargs)
        dense = []
        for gradient, variable in pairs:
            if gradient is not None:
                gradient = tf.convert_to_tensor(gradient)   # slices of rows become dense
                gradient.set_shape(variable.shape)
                dense.append(gradient)
        means = iter(self._packed(dense))
        return [(None if gradient is None else next(means), variable)
                for gradient, variable in pairs]

    def apply_gradients(self, *args, **kwargs):
        """Applies gradients by the optimizer itself, under its names."""
        return self._optimizer.apply_gradients(*args, **kwargs)

    def get_slot(self, *args, **kwargs):
        """Returns a slot of the optimizer itself."""
        return self._optimizer.get_slot(*args, **kwargs)

    def get_slot_names(self):
        """Returns the names of the slots of the optimizer itself."""
        return self._optimizer.get_slot_names()

    def variables(self):
        """Returns the variables of the optimizer itself."""
        return self._optimizer.variables()

"""Several processes that train together: their places, shares of a batch, means, broadcasts.

Three backends have one interface (`mean`, `from_chief`, `averaging`): TensorFlow's collectives
(collectives.py), HCCL, whose operations come with the NPU's adapter (npu.py), and Horovod, which
this file alone knows.
"""
import dataclasses
import importlib
import os
from typing import Any, Mapping, Optional, Sequence

import tensorflow.compat.v1 as tf

from common import cli, errors
from common.device import cluster as cluster_lib
from common.device import collectives, npu, rank_table


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train together.

    Attributes:
      backend: 'none', 'tf', 'hccl' or 'horovod'.
      rank: number of this process, from 0.
      size: number of processes.
      local_rank: number of this process on its machine, from 0.
      device: 'cpu', 'gpu' or 'npu', where TensorFlow's collectives run.
      cluster: the processes of the backend 'tf'.
      target: of sessions of the backend 'tf'; '' before `serving`.
    """

    backend: str = 'none'
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device: str = 'cpu'
    cluster: Optional[cluster_lib.Cluster] = None
    target: str = ''

    @property
    def is_chief(self) -> bool:
        """Returns whether this process saves, reports and draws."""
        return self.rank == 0

    def per_rank(self, batch_size: int) -> int:
        """Returns the rows of a batch that this process computes.

        Raises:
          errors.UsageError: the batch cannot be shared out equally.
        """
        if batch_size % self.size:
            raise errors.UsageError('a batch of {} cannot be shared out to {} processes equally; '
                                    'give a multiple.'.format(batch_size, self.size))
        return batch_size // self.size

    def shard(self, items: Sequence) -> Any:
        """Returns the part of a batch that belongs to this process.

        All parts together, in the order of the ranks, are the batch: what a step learns from does
        not depend on the number of processes.

        Args:
          items: list or array [rows, ...]; the same in all processes.
        Returns:
          the same kind, [rows / size, ...].
        Raises:
          errors.UsageError: see `per_rank`.
        """
        part = self.per_rank(len(items))
        return items[self.rank * part:(self.rank + 1) * part]

    def mean(self, tensor: tf.Tensor) -> tf.Tensor:
        """Averages a float tensor of any shape over the processes; every process has to run it."""
        if self.size == 1:
            return tensor
        return self._group().mean(tensor)

    def sum(self, tensor: tf.Tensor) -> tf.Tensor:
        """Adds up a float tensor of any shape over the processes; every process has to run it."""
        return tensor if self.size == 1 else self.mean(tensor) * self.size

    def averaging(self, optimizer: tf.train.Optimizer) -> tf.train.Optimizer:
        """Returns an optimizer whose gradients are means over the processes.

        These are what `compute_gradients` and `minimize` give; tf.gradients knows nothing of them.
        In a single process it is the same optimizer.
        """
        if self.size == 1:
            return optimizer
        return self._group().averaging(optimizer)

    def broadcast(self, variables: Optional[Sequence[tf.Variable]] = None
                  ) -> Optional[tf.Operation]:
        """Returns the operation that sets variables to their values in the process of rank 0.

        Whole numbers travel as float32, which is exact up to 2 ** 24.

        Args:
          variables: list; None means all global variables: moving averages, moments, steps too.
        Returns:
          tf.Operation, which every process has to run; None in a single process.
        """
        if self.size == 1:
            return None
        assigned = []
        for variable in tf.global_variables() if variables is None else variables:
            dtype = variable.dtype.base_dtype
            if not (dtype.is_floating or dtype.is_integer):
                continue
            value = self._group().from_chief(variable if dtype.is_floating
                                             else tf.cast(variable, tf.float32))
            assigned.append(tf.assign(variable, tf.cast(value, dtype)))
        return tf.group(*assigned)

    def serving(self, config: tf.ConfigProto) -> 'Ranks':
        """Starts what the backend needs before the others can reach this process.

        Args:
          config: of sessions on the device.
        Returns:
          Ranks, with `target` where sessions need one.
        Raises:
          errors.InputError: the port of this process is in use.
        """
        if self.cluster is None:
            return self
        return dataclasses.replace(self, target=collectives.serve(self.cluster, config))

    def session(self, config: tf.ConfigProto) -> tf.Session:
        """Opens a session on the server of this process; for the backend 'tf'."""
        assert self.cluster is not None
        return collectives.session(self.target, self.cluster, config)

    def _group(self) -> Any:
        if self.backend == 'tf':
            return collectives.Group(self.rank, self.size, self.device)
        return _Horovod() if self.backend == 'horovod' else _Hccl(self.size)


ALONE = Ranks()


class _Horovod:
    """The operations of Horovod."""

    def mean(self, tensor):
        return _horovod().allreduce(tensor, op=_horovod().Average)

    def from_chief(self, tensor):
        return _horovod().broadcast(tensor, 0)

    def averaging(self, optimizer):
        return _horovod().DistributedOptimizer(optimizer, sparse_as_dense=True)


class _Hccl:
    """The operations of HCCL."""

    def __init__(self, size: int):
        self._size = size

    def mean(self, tensor):
        return npu.hccl().allreduce(tensor, 'sum') / self._size

    def from_chief(self, tensor):
        return npu.hccl().broadcast([tensor], 0)[0]

    def averaging(self, optimizer):
        return npu.distributed_optimizer(optimizer)


def find(backend: str, device: str, environment: Optional[Mapping[str, str]] = None) -> Ranks:
    """Finds out which of several processes this is.

    Args:
      backend: 'none', 'tf' (TF_CONFIG says the place), 'hccl' (RANK_ID and RANK_SIZE do),
        'horovod' (started by horovodrun), or 'auto', which takes HCCL on an NPU with a RANK_SIZE
        above 1, Horovod where horovodrun started more than one process, and TensorFlow's own
        collectives where TF_CONFIG names more than one.
      device: 'cpu', 'gpu' or 'npu'.
      environment: variables; None: those of this process.
    Returns:
      Ranks.
    Raises:
      errors.InputError: the environment contradicts itself, or Horovod is missing.
      errors.UsageError: the backend does not work on the device.
    """
    environment = os.environ if environment is None else environment
    if backend == 'auto':
        backend = _settled(device == 'npu', environment)
    if backend == 'hccl' and device != 'npu':
        raise errors.UsageError('--distribution hccl works on an NPU only; elsewhere it is tf or '
                                'horovod.')
    if backend in ('horovod', 'tf') and device == 'npu':
        raise errors.UsageError('--distribution {} works on CPU and GPU only; on an NPU it is '
                                'hccl.'.format(backend))
    if backend == 'horovod':
        library = _horovod()
        library.init()
        return Ranks(backend, library.rank(), library.size(), library.local_rank())
    if backend == 'tf':
        return _of_cluster(cluster_lib.of(environment), device)
    return Ranks(backend, *rank_table.place(environment)) if backend == 'hccl' else ALONE


def _settled(on_npu, environment):
    """What 'auto' takes; says so where there is something to choose."""
    cluster = cluster_lib.of(environment)
    named = cluster is not None and len(cluster.addresses) > 1
    if on_npu:
        chosen = 'hccl' if rank_table.is_one_of_several(environment) else 'none'
    elif environment.get('HOROVOD_SIZE', '1') != '1':
        chosen = 'horovod'
    else:
        return 'tf' if named else 'none'
    if named:
        cli.say('note: --distribution {}; TF_CONFIG, which names {} processes, is left aside'
                .format(chosen, len(cluster.addresses)))
    return chosen


def _of_cluster(cluster, device):
    if cluster is None:
        raise errors.InputError('--distribution tf needs TF_CONFIG, which says who trains together;'
                                ' python -m common.processes sets it for processes of this '
                                'machine.')
    size = len(cluster.addresses)
    if size == 1:
        return ALONE
    return Ranks('tf', cluster.rank, size, cluster.local_rank, device, cluster)


def _horovod() -> Any:
    try:
        return importlib.import_module('horovod.tensorflow')
    except ImportError as error:
        remedy = ('requirements-extra.txt has the line that installs it'
                  if tf.version.VERSION.startswith('1.') else
                  'it does not build for TensorFlow {}: take --distribution tf'.format(
                      tf.version.VERSION))
        raise errors.InputError('--distribution horovod needs the package horovod ({}); {}.'.format(
            error, remedy)) from error

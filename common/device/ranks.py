"""Several processes that train together: their places, shares of a batch, means, broadcasts.

The only file that knows Horovod. HCCL's operations come with the NPU's adapter (npu.py).
"""
import dataclasses
import importlib
import os
from typing import Any, Mapping, Optional, Sequence

import tensorflow.compat.v1 as tf

from common import errors
from common.device import npu, rank_table


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train together.

    Attributes:
      backend: 'none', 'hccl' or 'horovod'.
      rank: number of this process, from 0.
      size: number of processes.
      local_rank: number of this process on its machine, from 0.
    """

    backend: str = 'none'
    rank: int = 0
    size: int = 1
    local_rank: int = 0

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
        if self.backend == 'horovod':
            return _horovod().allreduce(tensor, op=_horovod().Average)
        return npu.hccl().allreduce(tensor, 'sum') / self.size

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
        if self.backend == 'horovod':
            return _horovod().DistributedOptimizer(optimizer, sparse_as_dense=True)
        return npu.distributed_optimizer(optimizer)

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
            value = self._from_chief(variable if dtype.is_floating
                                     else tf.cast(variable, tf.float32))
            assigned.append(tf.assign(variable, tf.cast(value, dtype)))
        return tf.group(*assigned)

    def _from_chief(self, tensor: tf.Tensor) -> tf.Tensor:
        if self.backend == 'horovod':
            return _horovod().broadcast(tensor, 0)
        return npu.hccl().broadcast([tensor], 0)[0]


ALONE = Ranks()


def find(backend: str, device: str, environment: Optional[Mapping[str, str]] = None) -> Ranks:
    """Finds out which of several processes this is.

    Args:
      backend: 'none', 'hccl' (RANK_ID and RANK_SIZE say the place), 'horovod' (started by
        horovodrun), or 'auto', which takes HCCL on an NPU with a RANK_SIZE above 1, and Horovod
        where horovodrun started more than one process.
      device: 'cpu', 'gpu' or 'npu'.
      environment: variables; None: those of this process.
    Returns:
      Ranks.
    Raises:
      errors.InputError: the environment contradicts itself, or Horovod is missing.
      errors.UsageError: the backend does not work on the device.
    """
    environment = os.environ if environment is None else environment
    on_npu = device == 'npu'
    if backend == 'hccl' and not on_npu:
        raise errors.UsageError('--distribution hccl works on an NPU only; elsewhere it is '
                                'horovod.')
    if backend == 'horovod' and on_npu:
        raise errors.UsageError('--distribution horovod works on CPU and GPU only; on an NPU it is '
                                'hccl.')
    if backend == 'auto' and on_npu:
        backend = 'hccl' if rank_table.is_one_of_several(environment) else 'none'
    elif backend == 'auto':
        backend = 'horovod' if environment.get('HOROVOD_SIZE', '1') != '1' else 'none'
    if backend == 'horovod':
        library = _horovod()
        library.init()
        return Ranks(backend, library.rank(), library.size(), library.local_rank())
    return Ranks(backend, *rank_table.place(environment)) if backend == 'hccl' else ALONE


def _horovod() -> Any:
    try:
        return importlib.import_module('horovod.tensorflow')
    except ImportError as error:
        raise errors.InputError(
            '--distribution horovod needs the package horovod ({}); requirements-extra.txt has the '
            'line that installs it.'.format(error)) from error

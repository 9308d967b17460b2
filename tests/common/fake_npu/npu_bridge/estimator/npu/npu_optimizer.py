"""Double of npu_bridge.estimator.npu.npu_optimizer of older adapters."""
import npu_bridge
from npu_bridge import npu_init


def NPUDistributedOptimizer(optimizer, is_weight_update_sharding=False, name=None):
    """Averages gradients over the ranks."""
    npu_bridge.record('NPUDistributedOptimizer', optimizer=type(optimizer).__name__)
    return npu_init.npu_distributed_optimizer_wrapper(optimizer)

"""Double of npu_bridge.npu_init of newer adapters."""
import json
import os

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

import npu_bridge
from npu_bridge.estimator.npu import npu_scope  # noqa: F401  (scripts take it from here)
from npu_bridge.hccl import hccl_ops


def npu_config_proto(config_proto=None):
    """Finds or adds the NpuOptimizer and sets what the adapter needs; keeps the parameters."""
    npu_bridge.record('npu_config_proto', proto=config_proto.SerializeToString())
    if not isinstance(config_proto, tf.ConfigProto):
        config_proto = tf.ConfigProto()
    rewrites = config_proto.graph_options.rewrite_options
    if 'NpuOptimizer' not in [entry.name for entry in rewrites.custom_optimizers]:
        rewrites.custom_optimizers.add().name = 'NpuOptimizer'
    config_proto.allow_soft_placement = True
    config_proto.log_device_placement = False
    rewrites.remapping = RewriterConfig.OFF
    rewrites.memory_optimization = RewriterConfig.OFF
    config_proto.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    if 'FAKE_NPU_LOG' in os.environ:
        _log(rewrites)
    return config_proto


def _log(rewrites):
    """Appends a configuration to a file, and prints what the real adapter prints on an NPU."""
    parameters = {name: getattr(value, value.WhichOneof('value'))
                  for name, value in rewrites.custom_optimizers[0].parameter_map.items()}
    parameters.update(remapping=rewrites.remapping,
                      memory_optimization=rewrites.memory_optimization,
                      entries=len(rewrites.custom_optimizers))
    with open(os.environ['FAKE_NPU_LOG'], 'a') as stream:
        stream.write(json.dumps(parameters, default=bytes.decode) + '\n')
    print('The model has been compiled on the Ascend AI processor', flush=True)


def npu_distributed_optimizer_wrapper(optimizer):
    """Makes `compute_gradients` of this object average over the ranks; gives the same object."""
    npu_bridge.record('npu_distributed_optimizer_wrapper', optimizer=type(optimizer).__name__)
    size = int(os.environ.get('RANK_SIZE', '1'))
    if size > 1:
        compute = optimizer.compute_gradients

        def averaged(loss, *args, **kwargs):
            return [(gradient if gradient is None else hccl_ops.allreduce(
                tf.convert_to_tensor(gradient), 'sum', chain=loss.name) / size, variable)
                    for gradient, variable in compute(loss, *args, **kwargs)]

        optimizer.compute_gradients = averaged
    return optimizer

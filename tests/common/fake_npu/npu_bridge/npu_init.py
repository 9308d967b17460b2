"""Double of npu_bridge.npu_init of newer adapters."""
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

import npu_bridge


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
    return config_proto

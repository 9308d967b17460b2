"""Double of npu_bridge.estimator.npu."""

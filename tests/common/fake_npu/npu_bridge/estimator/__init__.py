"""Double of npu_bridge.estimator."""

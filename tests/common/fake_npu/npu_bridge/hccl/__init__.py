"""Double of npu_bridge.hccl."""

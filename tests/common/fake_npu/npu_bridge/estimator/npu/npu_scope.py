"""Double of npu_bridge.estimator.npu.npu_scope."""
import contextlib

import tensorflow.compat.v1 as tf
from tensorflow.core.framework import attr_value_pb2


@contextlib.contextmanager
def keep_dtype_scope():
    """Marks the operations that are made inside."""
    with tf.get_default_graph()._attr_scope({'_keep_dtype': attr_value_pb2.AttrValue(b=True)}):
        yield

"""What the doubles of HCCL and Horovod talk through: files in the folder FAKE_EXCHANGE."""
import os
import time

import numpy as np
import tensorflow.compat.v1 as tf

PATIENCE = 60.0     # seconds to wait for another process


def all_values(tensor, rank, size, chain=None):
    """Gives the values [size, ...] that all processes hand in; each has to run the same operations.

    The order in which they are made tells which values belong together. Each holds a thread while
    it waits, so those of a `chain` (a name) wait for the one before.
    """
    graph = tf.get_default_graph()
    exchanges = graph.get_collection_ref('exchanges')
    before = graph.get_collection_ref('chain ' + chain) if chain else []
    number, counts = len(exchanges), []

    def exchange(value):
        counts.append(None)
        stem = os.path.join(os.environ['FAKE_EXCHANGE'], '{}-{}'.format(number, len(counts)))
        np.save('{}-{}.part.npy'.format(stem, rank), value)
        os.rename('{}-{}.part.npy'.format(stem, rank), '{}-{}.npy'.format(stem, rank))
        return np.stack([_read('{}-{}.npy'.format(stem, other)) for other in range(size)])

    with tf.control_dependencies(before[-1:]):
        values = tf.py_func(exchange, [tensor], tensor.dtype)
    values.set_shape([size] + tensor.shape.as_list())
    exchanges.append(values.op)
    if chain:
        before.append(values.op)
    return values


def _read(path):
    until = time.time() + PATIENCE
    while not os.path.exists(path):
        if time.time() > until:
            raise RuntimeError('another rank never handed in ' + path)
        time.sleep(0.002)
    return np.load(path)

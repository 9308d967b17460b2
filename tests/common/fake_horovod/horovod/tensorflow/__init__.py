"""Double of horovod.tensorflow."""
import os

import tensorflow.compat.v1 as tf

Average = 'average'
_ready = []


def init():
    """Has to come first."""
    _ready.append(True)


def _number(name):
    if not _ready:
        raise ValueError('Horovod has not been initialized; use hvd.init().')
    return int(os.environ[name])


def rank():
    """Number of this process."""
    return _number('HOROVOD_RANK')


def size():
    """Number of processes."""
    return _number('HOROVOD_SIZE')


def local_rank():
    """Number of this process on its machine."""
    return _number('HOROVOD_LOCAL_RANK')


def _all(tensor, chain=None):
    from tests.common import exchange
    return exchange.all_values(tf.convert_to_tensor(tensor), rank(), size(), chain)


def allreduce(tensor, op=None):
    """Averages over all processes."""
    assert op == Average

    @tf.custom_gradient
    def average(value):
        return (tf.reduce_mean(_all(value), axis=0),
                lambda upstream: tf.reduce_mean(_all(upstream), axis=0))

    return average(tf.convert_to_tensor(tensor))


def broadcast(tensor, root_rank):
    """Gives the values of a process."""
    return _all(tensor, 'broadcast')[root_rank]


def DistributedOptimizer(optimizer, sparse_as_dense=False):
    """Averages gradients; gives an optimizer."""
    compute = optimizer.compute_gradients
    optimizer.compute_gradients = lambda loss, *args, **kwargs: [
        (gradient if gradient is None else tf.reduce_mean(_all(gradient, loss.name), axis=0),
         variable) for gradient, variable in compute(loss, *args, **kwargs)]
    return optimizer

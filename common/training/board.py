"""A notice board of processes that train together: what each of them has to say of itself.

It lies in the process of rank 0, as variables of the server that TensorFlow's collectives need
anyway, so that no other port is needed.
"""
import socket
import time
from typing import List

import tensorflow.compat.v1 as tf

from common import errors
from common.device import cluster as cluster_lib

KINDS = 'life', 'facts'     # what a process posts: each second, and at agreements
_CALL_MS = 5000             # a call that takes longer has failed


class Board:
    """The texts that processes post, by kind and rank; every process opens one.

    Args:
      cluster: the processes; target: of sessions on this process's server.
      patience: float, seconds to wait for the process of rank 0.
    Raises:
      errors.InputError: that process cannot be reached.

    Attributes:
      size: int, processes that the one of rank 0 trains with.
    """

    def __init__(self, cluster: cluster_lib.Cluster, target: str, patience: float):
        self._cluster = cluster
        until = time.monotonic() + patience
        while cluster.rank and not is_listening(cluster.addresses[0]):
            self._wait(until, patience)
        self._build()
        config = tf.ConfigProto(operation_timeout_in_ms=_CALL_MS)
        config.device_filters.append('/job:worker/task:0')
        self._sess = tf.Session('grpc://' + cluster.addresses[0] if cluster.rank else target,
                                graph=self._graph, config=config)
        if not cluster.rank:
            self._sess.run(self._init)
        while not self._is_there():
            self._wait(until, patience)
        self.size = int(self._sess.run(self._size))

    def _wait(self, until, patience):
        if time.monotonic() > until:
            raise errors.InputError(
                '{} cannot reach {} within {:.0f} s: is it started, and its port open? '
                '--peer_timeout waits longer.'.format(
                    self._cluster.named(self._cluster.rank), self._cluster.named(0), patience))
        time.sleep(0.1)

    def _build(self):
        self._graph = tf.Graph()
        with self._graph.as_default(), tf.device('/job:worker/task:0/device:CPU:0'):
            rows = {kind: [self._variable('{}_{}'.format(kind, rank), b'')
                           for rank in range(len(self._cluster.addresses))] for kind in KINDS}
            size = self._variable('size', str(len(self._cluster.addresses)).encode())
            self._init = tf.global_variables_initializer()
            self._ready = tf.is_variable_initialized(size)
            self._size = size.read_value()
            self._text = tf.placeholder(tf.string, [])
            self._post = {kind: tf.group(rows[kind][self._cluster.rank].assign(self._text))
                          for kind in KINDS}
            self._read = {kind: tf.stack([row.read_value() for row in rows[kind]])
                          for kind in KINDS}

    def _variable(self, name, value):
        return tf.get_variable('board_' + name, [], tf.string, use_resource=True,
                               initializer=tf.constant_initializer(value, tf.string))

    def _is_there(self):
        try:
            return self._sess.run(self._ready)
        except tf.errors.OpError:
            return False

    def post(self, kind: str, text: str) -> None:
        """Posts a text of this process in place of the last one of its kind, one of `KINDS`.

        Raises:
          tf.errors.OpError: the process of rank 0 does not answer.
        """
        self._sess.run(self._post[kind], {self._text: text.encode()})

    def read(self, kind: str) -> List[str]:
        """Returns the texts of a kind by rank; '' where nothing was posted.

        Raises:
          tf.errors.OpError: the process of rank 0 does not answer.
        """
        return [row.decode() for row in self._sess.run(self._read[kind])]


def is_listening(address: str) -> bool:
    """Returns whether something takes connections at an address host:port."""
    return _connects(address) is True


def is_closed(address: str) -> bool:
    """Returns whether the machine answers that nothing listens at an address host:port."""
    return _connects(address) is False


def _connects(address):
    """True, False where the machine refuses, None where nothing answers."""
    host, port = address.rsplit(':', 1)
    try:
        with socket.create_connection((host.strip('[]'), int(port)), timeout=2):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return None

"""Reads files in child processes: libraries for HDF5 and MATLAB crash or hang on damaged ones.

A server, a small Python process of its own, loads the library once and forks for each file, so that
a file costs milliseconds and a crash costs one child. `run` asks it from any thread, and also from
processes that were forked later. Where a system has no fork or no such sockets, the file is read
without a child.
"""
import array
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any, Callable, Dict, Tuple

import numpy as np

from common import errors
from common.readers import arrays, limits

SECONDS = 8             # of computing that a small file may take; four times that by the clock
_PATIENCE = 4
_PACE = 2 << 20         # bytes of a large one in a second more
_MEMORY = 1 << 30       # bytes of addresses beyond those of the server
_MESSAGE = 1 << 16      # bytes of a request
_PROGRAM = ('import sys; sys.path[0] = sys.argv[1]; from common.readers import child; '
            'child.serve(int(sys.argv[2]))')
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

Answer = Tuple[Dict[str, Any], Dict[str, np.ndarray]]
_server: Dict[str, Any] = {}     # 'socket', 'process': those of the server, once it is started


def run(function: Callable[[str, Dict[str, Any]], Answer], library: str, path: str,
        request: Dict[str, Any], what: str, remedy: str = limits.ANEW,
        seconds: float = 0) -> Answer:
    """Reads a file in a child process.

    Args:
      function: (path, request) -> Answer, a function of a module of `common.readers`.
      library: str, the module that it imports and that the server loads before.
      path: str; request: dict of JSON's values.
      what: str, what the file should be; remedy: str, a sentence; both for messages.
      seconds: float, of computing, after which the child is ended; 0: by the size of the file.
    Returns:
      (dict of JSON's values, dict {name: array of plain values, of any shape}).
    Raises:
      errors.InputError: the function refused the file, crashed on it, or took too long.
    """
    with limits.telling(path, what, remedy):
        seconds = seconds or SECONDS + _stored(path) / _PACE
        message = json.dumps([function.__module__, function.__name__, library,
                              os.path.abspath(path), request, seconds]).encode()
        reply = _ask(message)
        if reply is None:
            return function(path, request)
        with reply:
            poll = select.poll()
            poll.register(reply, select.POLLIN)
            if not poll.poll(1000 * (_PATIENCE * seconds + 1)):
                raise ValueError('it is damaged, reading it took more than {:g} seconds'.format(
                    seconds))
            return _answer(reply)


def _stored(path):
    """Bytes of a file that are there: holes, which cost nothing to make, buy no time."""
    status = os.stat(path)
    return min(status.st_size, 512 * getattr(status, 'st_blocks', status.st_size))


def _answer(reply) -> Answer:
    line = reply.readline()
    if not line.endswith(b'\n'):
        raise ValueError('it is damaged, reading it crashes the library or takes for ever')
    head = json.loads(line.decode())
    if 'error' in head:
        raise ValueError(head['error'])
    values = {}
    for name, dtype, shape in head['arrays']:
        flat = np.empty([limits.count(shape)], arrays.plain_dtype(dtype))
        if flat.nbytes and reply.readinto(flat.view(np.uint8)) < flat.nbytes:
            raise EOFError('it is damaged, reading it crashes the library')
        values[name] = arrays.checked_values(flat).reshape(shape)
    return head['info'], values


def _ask(message: bytes):
    """Sends a request; returns the stream of the reply, or None if there are no servers here."""
    for _ in range(2):      # the server may have been ended from outside
        start()
        if _server['socket'] is None or len(message) > _MESSAGE:
            return None
        receiving, sending = os.pipe()
        try:
            rights = socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [sending])
            _server['socket'].sendmsg([message], [rights])
            return os.fdopen(receiving, 'rb')
        except OSError:
            os.close(receiving)
            _server.clear()
        finally:
            os.close(sending)
    return None


def start() -> None:
    """Starts the server, once for this process and those that are forked from it later."""
    if 'socket' in _server:
        return
    _server['socket'] = None
    if not hasattr(os, 'fork') or not hasattr(socket, 'SOCK_SEQPACKET'):
        return
    environment = dict(os.environ, OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1')
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            _server['process'] = subprocess.Popen(
                [sys.executable, '-c', _PROGRAM, _ROOT, str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        _server['socket'] = ours
    except OSError:
        pass


def serve(number: int) -> None:
    """Forks for each request until nobody has the other end of the socket any more.

    Then children that still read have nobody to answer, and end with their server.

    Args:
      number: int, file descriptor of the socket.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)   # children that have ended leave no trace
    connection = socket.socket(fileno=number)
    while True:
        message, rights, _, _ = connection.recvmsg(_MESSAGE, socket.CMSG_SPACE(4))
        if not message:
            if os.getpgrp() == os.getpid():     # the leader of a group of its own, see `start`
                os.killpg(os.getpid(), signal.SIGKILL)
            return
        sending = array.array('i', rights[0][2])[0]
        module, name, library, path, request, seconds = json.loads(message.decode())
        function = getattr(importlib.import_module(module), name)
        try:
            importlib.import_module(library)
        except ImportError:
            pass    # the child says so
        if os.fork():
            os.close(sending)
            continue
        connection.close()
        for number, timer, limit in ((signal.SIGALRM, signal.ITIMER_REAL, _PATIENCE * seconds),
                                     (signal.SIGPROF, signal.ITIMER_PROF, seconds)):
            signal.signal(number, signal.SIG_DFL)
            signal.setitimer(timer, limit)
        with os.fdopen(sending, 'wb') as reply:
            _work(function, path, request, reply)
            reply.flush()
            os._exit(0)


def _work(function, path: str, request: Dict[str, Any], reply) -> None:
    import resource  # here, since Windows has none
    with open('/proc/self/statm') as stream:
        most = int(stream.read().split()[0]) * resource.getpagesize() + _MEMORY
    limits.bound(resource.RLIMIT_AS, most)
    limits.bound(resource.RLIMIT_CORE, 0)
    try:
        info, values = function(path, request)
        values = {name: np.require(value, requirements='C') for name, value in values.items()}
        head = {'info': info, 'arrays': [(name, value.dtype.str, value.shape)
                                         for name, value in values.items()]}
    except Exception as error:      # whatever it is, it is one line of the parent
        head, values = {'error': (str(error) if isinstance(error, errors.InputError)
                                  else errors.reason(error))}, {}
    signal.setitimer(signal.ITIMER_REAL, 0)     # the parent may take its time now
    reply.write(json.dumps(head).encode() + b'\n')
    for value in values.values():
        reply.write(value.reshape(-1).view(np.uint8).data)

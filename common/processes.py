"""Starts several processes of a training on this machine, or prints what to start on several.

The processes find each other by TF_CONFIG (--distribution tf); docs/scaling.md has more.

Example: python -m common.processes --count=2 -- vsl/vsl_main.py --training_steps=2000
         python -m common.processes --hosts=host-a,host-b -- vsl/vsl_main.py --data_path=/data
"""
import argparse
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List, Optional, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import errors
from common.device import cluster

_PATIENCE = 60.         # seconds in which the others end by themselves when one has failed
_TERMINATED = 10.       # seconds between SIGTERM and SIGKILL
_PR_SET_PDEATHSIG = 1   # of prctl: a signal for the child when its parent dies


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--count', type=cli.positive_int, default=2,
                        help='processes on this machine, or on each of --hosts')
    parser.add_argument('--hosts', default='', metavar='A,B',
                        help='names of machines that see each other: prints the command for each '
                             'process and starts none')
    parser.add_argument('--port', type=cli.positive_int, default=2222,
                        help='first port on each of --hosts; processes of this machine take ports '
                             'that are free')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    parser.add_argument('command', nargs='+', metavar='-- SCRIPT ...',
                        help='a training script of this project and its options')
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> int:
    """Starts the processes, or prints what to start.

    Returns:
      int, the largest exit code; 128 + n of a process that signal n ended.
    """
    if options.hosts:
        _print(options)
        return 0
    if options.count == 1:
        addresses: List[str] = []
    else:
        addresses = ['127.0.0.1:{}'.format(port) for port in free_ports(options.count)]
    return Job(options.command, addresses).wait()


def _print(options):
    hosts = [host.strip() for host in options.hosts.split(',')]
    if not all(hosts):
        raise errors.UsageError('--hosts has an empty name: {}'.format(options.hosts))
    addresses = ['{}:{}'.format(host, options.port + number)
                 for host in hosts for number in range(options.count)]
    for rank, address in enumerate(addresses):
        cli.say('on {}: {}={} python {}'.format(
            address.rsplit(':', 1)[0], cluster.VARIABLE, shlex.quote(cluster.make(
                tuple(addresses), rank)), ' '.join(map(shlex.quote, options.command))))


def free_ports(count: int) -> List[int]:
    """Returns ports of this machine that nothing listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(('127.0.0.1', 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Job:
    """Processes that run a command together; each line of theirs begins with [rank].

    Args:
      command: list of str, a script and its options; addresses: host:port of each process, or none
        at all for a single one.
    """

    def __init__(self, command: Sequence[str], addresses: Sequence[str]):
        self._failed_at: Optional[float] = None
        self._ended_by_us: Dict[int, float] = {}
        self._write = threading.Lock()
        self.processes = [self._start(command, tuple(addresses), rank)
                          for rank in range(max(1, len(addresses)))]
        self._readers = [
            threading.Thread(target=self._pass_on, args=(rank, stream, out), daemon=True)
            for rank, process in enumerate(self.processes)
            for stream, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _start(command, addresses, rank):
        environment = dict(os.environ, PYTHONUNBUFFERED='1')
        if '--debug' not in command:    # TensorFlow 2 heeds it only before it is imported
            environment.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
        if addresses:
            environment[cluster.VARIABLE] = cluster.make(addresses, rank)
        # A session of its own: Ctrl-C of a terminal reaches it once, from here.
        return subprocess.Popen(
            [sys.executable] + list(command), env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=_dies_with_its_parent if sys.platform == 'linux' else None)

    def _pass_on(self, rank: int, stream: Any, out: Any) -> None:
        prefix = '[{}] '.format(rank).encode()
        for line in iter(stream.readline, b''):
            with self._write:
                try:
                    out.buffer.write(prefix + line)
                    out.buffer.flush()
                except BrokenPipeError:     # nobody reads any more; the training goes on
                    pass

    def send(self, number: int) -> None:
        """Sends a signal to all processes that run."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def wait(self) -> int:
        """Waits for all processes; passes SIGINT and SIGTERM on, ends all when one has failed.

        Returns:
          int, the largest exit code.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, frame: self.send(received))
        while any([process.poll() is None for process in self.processes]):
            self._end_the_rest()
            time.sleep(0.1)
        for reader in self._readers:
            reader.join(5)
        codes = [_exit_code(process.returncode) for rank, process in enumerate(self.processes)
                 if rank not in self._ended_by_us]
        return max(codes, default=1)

    def _end_the_rest(self):
        """Ends, some time after one has failed, those that still run."""
        if self._failed_at is None:
            if any([process.poll() for process in self.processes]):
                self._failed_at = time.monotonic()
            return
        late = time.monotonic() - self._failed_at - _PATIENCE
        for rank, process in enumerate(self.processes):
            if late > 0 and process.poll() is None:
                number = signal.SIGKILL if late > _TERMINATED else signal.SIGTERM
                if self._ended_by_us.get(rank) != number:
                    self._ended_by_us[rank] = number
                    process.send_signal(number)


def _exit_code(returned):
    return returned if returned >= 0 else 128 - returned


def _dies_with_its_parent():
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(run, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

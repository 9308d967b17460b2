"""Times training in several processes of this machine, and reckons what more machines would give.

Whole training scripts run in turns: one process of one thread, two processes of one thread each,
one process of two threads, and two below horovodrun where Horovod is installed. A ring between
processes gives latency and bandwidth; docs/scaling.md has the model of a step's time that both go
into, whose prediction stands beside what 2, 4 and 8 processes take here.

Example: python -m tests.benchmarks.scaling --model vsl --steps 10 --repetitions 3
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, processes
from common.device import cluster as cluster_lib
from common.device import collectives, session
from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode
from tests.benchmarks import timing

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = ('vsl', 'imnet', 'r2n2')
_BYTES = (1 << 12, 1 << 22)     # of the buffers whose times give latency and bandwidth
_LINKS = {'10 Gbit/s': (50e-6, 10e9 / 8), '100 Gbit/s': (10e-6, 100e9 / 8)}    # (hop, bytes/s)


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', nargs='+', default=list(MODELS), choices=MODELS, help='models')
    parser.add_argument('--batch', type=cli.positive_int, default=None,
                        help="rows of a step; unset: the paper's")
    parser.add_argument('--steps', type=cli.positive_int, default=6, help='of a run')
    parser.add_argument('--repetitions', type=cli.positive_int, default=3, help='runs of each way')
    parser.add_argument('--counts', type=cli.positive_int, nargs='*', default=[2, 4, 8],
                        help='numbers of processes whose time is predicted and measured')
    parser.add_argument('--ring', type=int, nargs=2, default=None, metavar=('RANK', 'STEPS'),
                        help='what each process of the ring runs; for this script itself')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def _vsl(folder, batch):
    from vsl import data_utils, make_dataset
    path = os.path.join(folder, 'shapes.mat')
    data_utils.write(path, *make_dataset.make_furniture(0, max(2, -(-(batch or 100) // 10)), 1))
    return ['vsl/vsl_main.py', '--data_path=' + path, '--stages=train', '--preset=modelnet10',
            '--eval_every=0', '--print_step=0'] + (
                ['--batch_size={}'.format(batch)] if batch else []), batch or 100


def _imnet(folder, batch):
    from tests.imnet import tiny
    points = dict(tiny.POINTS)
    tiny.POINTS.update({16: 4096})
    try:
        path = tiny.write(folder, train=max(4, batch or 2))
    finally:
        tiny.POINTS.update(points)
    # The original has one shape in a step, which cannot be shared out.
    return ['imnet/IMGAN/main.py', '--ae', '--train', '--data_dir=' + path, '--real_size=16',
            '--batch_size_input=4096', '--shapes_per_step={}'.format(batch or 2)], batch or 2


def _r2n2(folder, batch):
    from tests.r2n2 import tiny
    # Of each of two categories; four of five models are for training.
    models = 2 + (batch or 36) * 5 // 8
    return ['r2n2/main.py', '--data_path=' + tiny.make_data(folder, models), '--workers=0',
            '--batch_size={}'.format(batch or 36), '--set', 'TRAIN.NUM_RENDERING', '3',
            'CONST.N_VIEWS', '3', 'TRAIN.NUM_VALIDATION_ITERATIONS', '1'], batch or 36


_SCRIPTS = {'vsl': _vsl, 'imnet': _imnet, 'r2n2': _r2n2}


def _seconds_per_step(command, folder, count, threads, steps, launcher='tf'):
    """Seconds of a step but the first, as the script prints them."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        command = command[:1] + [
            '--output_path=' + output, '--device=cpu', '--threads={}'.format(threads),
            '--training_steps={}'.format(steps), '--report_every=1'] + command[1:]
        start = {'tf': [sys.executable, '-m', 'common.processes', '--count={}'.format(count), '--'],
                 'horovod': ['horovodrun', '--gloo', '-np', str(count), sys.executable]}[launcher]
        done = subprocess.run(start + command, cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
    found = re.findall(r'StepTime: ([\d.]+)', done.stdout)
    if done.returncode or not found:
        raise RuntimeError(done.stdout[-2000:])
    return float(found[-1])


def rows(options, folder):
    """Measures; returns a list of timing.Row, and {model: (seconds of one process, bytes)}."""
    measured, alone = [], {}
    for model in options.model:
        command, batch = _SCRIPTS[model](tempfile.mkdtemp(dir=folder), options.batch)
        ways = {'two processes of one thread': (2, 1, 'tf'), 'one process of one thread':
                (1, 1, 'tf'), 'one process of two threads': (1, 2, 'tf')}
        if _has_horovod():
            ways['two processes, Horovod'] = (2, 1, 'horovod')
        seconds = {way: [] for way in ways}
        for _ in range(options.repetitions):
            for way, (count, threads, launcher) in ways.items():
                seconds[way].append(_seconds_per_step(command, folder, count, threads,
                                                      options.steps, launcher))
        ours = seconds.pop('two processes of one thread')
        for way, others in seconds.items():
            ratios = np.array(others) / ours
            measured.append(timing.Row(
                'scaling, ' + model, 'batch {}, {} steps, {} runs'.format(
                    batch, options.steps, options.repetitions),
                'two processes', float(np.median(ours)), way, float(np.median(others)),
                '{:.2f}x to {:.2f}x'.format(ratios.min(), ratios.max())))
        alone[model] = command, float(np.median(seconds['one process of one thread']))
    return measured, alone


def _has_horovod():
    import importlib.util
    return importlib.util.find_spec('horovod') is not None


def ring(steps, count=2):
    """Measures the ring between processes of this machine.

    Returns:
      (latency of a hop in seconds, bandwidth of a link in bytes per second).
    """
    addresses = ['127.0.0.1:{}'.format(port) for port in processes.free_ports(count)]
    running = [subprocess.Popen(
        [sys.executable, '-m', 'tests.benchmarks.scaling', '--ring', str(rank), str(steps)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3',
                 TF_CONFIG=cluster_lib.make(tuple(addresses), rank))) for rank in range(count)]
    times = [json.loads(process.communicate()[0].splitlines()[-1]) for process in running][0]
    hops = 2 * (count - 1)
    latency = times[0] / hops
    return latency, hops / count * (_BYTES[1] - _BYTES[0]) / max(1e-9, times[1] - times[0])


def _ring(rank, steps):
    """What each process of `ring` runs: prints the median seconds of an all-reduce of each size."""
    cluster = cluster_lib.of(os.environ)
    config = session.session_config('cpu', 1)
    target = collectives.serve(cluster, config)
    group = collectives.Group(rank, len(cluster.addresses), 'cpu')
    means = [group.mean(tf.ones([size // 4])) for size in _BYTES]
    medians = []
    with collectives.session(target, cluster, config) as sess:
        for mean in means:
            taken = []
            for _ in range(steps):
                began = time.perf_counter()
                sess.run(mean.op)
                taken.append(time.perf_counter() - began)
            medians.append(float(np.median(taken[1:])))
        sess.run(means[0].op)
    print(json.dumps(medians), flush=True)
    time.sleep(1)       # the other one may still read from here
    os._exit(0)


def predicted(compute, count, size, latency, bandwidth, cores=None):
    """Seconds of a step by the model of docs/scaling.md, nothing hidden.

    Args:
      compute: float, seconds of the rows of one process; count: int, processes.
      size: int, bytes of all gradients; latency, bandwidth: of a hop and a link.
      cores: int, that the processes share; None: each has its own.
    """
    buffers = -(-size // collectives.BUCKET_BYTES)
    shared = max(1., count / cores) if cores else 1.
    return compute * shared + 2 * (count - 1) * (
        buffers * latency + size / count / bandwidth)


def _gradient_bytes(command, folder):
    """Bytes of the gradients of a script's network, by the number of parameters that it prints."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        done = subprocess.run(
            [sys.executable] + command[:1] + ['--output_path=' + output, '--device=cpu',
                                              '--training_steps=1'] + command[1:],
            cwd=ROOT, stdout=subprocess.PIPE, universal_newlines=True, check=True)
    return 4 * int(re.search(r'([\d,]+) parameters', done.stdout).group(1).replace(',', ''))


def show(options):
    """Measures and prints the tables."""
    if options.ring:
        return _ring(*options.ring)
    print(timing.describe(threads=1) + '\n', flush=True)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        measured, alone = rows(options, folder)
        print(timing.table(measured) + '\n', flush=True)
        latency, bandwidth = ring(50)
        print('ring of two processes: {:.0f} us a hop, {:.2f} GB/s\n'.format(
            latency * 1e6, bandwidth / 1e9), flush=True)
        print('| model | processes | predicted s/step | measured s/step |\n|---|---:|---:|---:|')
        sizes = {}
        for model, (command, seconds) in alone.items():
            sizes[model] = _gradient_bytes(command, folder)
            for count in options.counts:
                guess = predicted(seconds / count, count, sizes[model], latency, bandwidth, cores)
                try:
                    taken = '{:.3f}'.format(_seconds_per_step(command, folder, count, 1,
                                                              options.steps))
                except RuntimeError:
                    taken = 'the batch cannot be shared out'
                print('| {} | {} | {:.3f} | {} |'.format(model, count, guess, taken), flush=True)
        print('\n| model, rows of a process kept | link | workers | s/step | of N times as fast |\n'
              '|---|---|---:|---:|---:|')
        for model, (_, seconds) in alone.items():
            for link, (hop, speed) in _LINKS.items():
                for count in (8, 64, 512):
                    step = predicted(seconds, count, sizes[model], hop, speed)
                    print('| {} | {} | {} | {:.3f} | {:.0%} |'.format(
                        model, link, count, step, seconds / step))
    return 0


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(show, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Runs a job each time a line comes in and answers with its CPU seconds, as for the peers.

Its interpreter imports what the job needs and no more:
python -m tests.benchmarks.serve THREADS MODULE NUMBER, a number in the JOBS of the module.
"""
import importlib
import sys
import time

import tensorflow.compat.v1 as tf

from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode


def main():
    """Answers until the input ends."""
    threads, module, number = sys.argv[1:]
    job = importlib.import_module(module).JOBS[int(number)]
    call = job.ours(int(threads))
    print('TensorFlow', tf.__version__, flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        call()
        print(time.process_time() - before, flush=True)


if __name__ == '__main__':
    main()

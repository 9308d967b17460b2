"""Runs a job each time a line comes in and answers with its CPU seconds, as for the peers.

Its interpreter imports what the job needs and no more:
python -m tests.benchmarks.serve THREADS MODULE NUMBER, a number in the JOBS of the module.
"""
import importlib
import sys

import tensorflow.compat.v1 as tf

from common.ops import runtime  # noqa: F401  # TensorFlow 2 in graph mode
from tests.benchmarks import answers


def main():
    """Answers until the input ends."""
    threads, module, number = sys.argv[1:]
    job = importlib.import_module(module).JOBS[int(number)]
    answers.give('TensorFlow ' + tf.__version__, job.ours(int(threads)))


if __name__ == '__main__':
    main()

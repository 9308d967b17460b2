"""Runs a job of a peer each time a line comes in and answers with its CPU seconds.

Runs in the interpreter that has PyTorch: python -m tests.benchmarks.peers.serve MODULE FUNCTION
ARGUMENTS, the last one a JSON object. The function builds and returns a callable, the job.
"""
import importlib
import json
import sys
import time

import torch


def main():
    """Answers until the input ends."""
    threads, module, function, arguments = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    build = getattr(importlib.import_module('tests.benchmarks.peers.' + module), function)
    job = build(**json.loads(arguments))
    print('PyTorch', torch.__version__.split('+')[0], flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        job()
        print(time.process_time() - before, flush=True)


if __name__ == '__main__':
    main()

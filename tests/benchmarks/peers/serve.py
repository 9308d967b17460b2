"""Runs a job of a peer each time a line comes in and answers with its CPU seconds.

Runs in the interpreter that has PyTorch: python -m tests.benchmarks.peers.serve MODULE FUNCTION
ARGUMENTS, the last one a JSON object. The function builds and returns a callable, the job.
"""
import importlib
import json
import sys

import torch

from tests.benchmarks import answers


def main():
    """Answers until the input ends."""
    threads, module, function, arguments = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    build = getattr(importlib.import_module('tests.benchmarks.peers.' + module), function)
    answers.give('PyTorch ' + torch.__version__.split('+')[0], build(**json.loads(arguments)))


if __name__ == '__main__':
    main()

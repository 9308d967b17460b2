"""Answers of a job that runs in an interpreter of its own, for `peer_rows.Remote`."""
import sys
import time
from typing import Any, Callable


def give(version: str, job: Callable[[], Any]) -> None:
    """Prints a version, then runs a job each time a line comes in and prints its CPU seconds."""
    print(version, flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        job()
        print(time.process_time() - before, flush=True)

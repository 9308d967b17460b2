"""Runs every benchmark in a short form and prints one Markdown table of ratios.

Example: python -m tests.benchmarks
"""
import sys

from common import cli
from tests.benchmarks import polygen_sampling, polygen_step, timing

BENCHMARKS = (polygen_step, polygen_sampling)


def _print(config):
    del config
    print(timing.describe(threads=0) + '\n', flush=True)
    print(timing.table([row for benchmark in BENCHMARKS for row in benchmark.short()]))


def main(argv=None):
    """Runs the script; returns its exit code."""
    parser = cli.make_parser(__doc__)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return cli.run(_print, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

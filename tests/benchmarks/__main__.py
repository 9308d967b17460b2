"""Runs every benchmark in a short form and prints one Markdown table of ratios.

`recorded.json` holds the ratios that a slow test compares with: none may fall below half.

Example: python -m tests.benchmarks
"""
import os
import sys

from common import cli, files
from tests.benchmarks import (
    cmr_step,
    imnet_extraction,
    imnet_sampling,
    imnet_step,
    loaders,
    polygen_sampling,
    polygen_step,
    r2n2_step,
    timing,
    vsl_step,
)

BENCHMARKS = (polygen_step, polygen_sampling, imnet_step, imnet_extraction, imnet_sampling,
              r2n2_step, vsl_step, cmr_step, loaders)

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'recorded.json')


def _print(config):
    print(timing.describe(threads=0) + '\n', flush=True)
    rows = [row for benchmark in BENCHMARKS for row in benchmark.short()]
    print(timing.table(rows))
    if config.record:
        files.write_json(RECORDED, {timing.key(row): round(timing.ratio(row), 2) for row in rows})


def fallen(rows, recorded):
    """Lines for the rows whose ratio is less than half of the recorded one, or has no record."""
    lines = []
    for row in rows:
        before, now = recorded.get(timing.key(row)), timing.ratio(row)
        if before is None or now < before / 2:
            lines.append('{}: {:.2f}x, recorded {}'.format(timing.key(row), now, before))
    return lines


def main(argv=None):
    """Runs the script; returns its exit code."""
    parser = cli.make_parser(__doc__)
    cli.add_flag(parser, '--record', help='write the ratios to recorded.json')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return cli.run(_print, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Runs every benchmark in a short form and prints one Markdown table of ratios.

`recorded.json` holds the ratios that a slow test compares with: none may fall below half. With
--peer_python, an interpreter that has PyTorch, the networks at the papers' sizes come last, beside
the same ones written in PyTorch (docs/benchmarks.md).

Example: python -m tests.benchmarks
"""
import sys

from common import cli
from common.readers import text
from tests.benchmarks import (
    cmr_step,
    imnet_extraction,
    imnet_sampling,
    imnet_step,
    loaders,
    peer_rows,
    polygen_sampling,
    polygen_step,
    r2n2_step,
    timing,
    vsl_step,
)

BENCHMARKS = (polygen_step, polygen_sampling, imnet_step, imnet_extraction, imnet_sampling,
              r2n2_step, vsl_step, cmr_step, loaders)

RECORDED = timing.RECORDED


def _print(config):
    print(timing.describe(threads=0) + '\n', flush=True)
    rows = [row for benchmark in BENCHMARKS for row in benchmark.short()]
    if config.peer_python:
        rows += list(peer_rows.rows(peer_rows.parse_args(['--peer_python', config.peer_python])))
    print(timing.table(rows))
    if config.record:
        timing.record(recorded(rows, text.read_json(RECORDED), bool(config.peer_python)))


def recorded(rows, before, has_peers):
    """Returns what recorded.json is to hold: the ratios of rows, and the peers' if not among them.

    Args:
      rows: list of timing.Row; before: dict, what it holds; has_peers: bool, whether rows has some.
    """
    kept = {} if has_peers else {key: ratio for key, ratio in before.items()
                                 if peer_rows.is_peers(key)}
    return {**kept, **{timing.key(row): round(timing.ratio(row), 2) for row in rows}}


def fallen(rows, before):
    """Lines for the rows whose ratio is less than half of the recorded one, or has no record."""
    lines = []
    for row in rows:
        ratio, now = before.get(timing.key(row)), timing.ratio(row)
        if ratio is None or now < ratio / 2:
            lines.append('{}: {:.2f}x, recorded {}'.format(timing.key(row), now, ratio))
    return lines


def main(argv=None):
    """Runs the script; returns its exit code."""
    parser = cli.make_parser(__doc__)
    cli.add_flag(parser, '--record', help='write the ratios to recorded.json')
    peer_rows.add_peer(parser)
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return cli.run(_print, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Compares what msame gave on an Atlas host with the outputs of the frozen graph.

`freeze_graph.py --atc` leaves the folder with commands, inputs and expected outputs. Needs NumPy
only.

Example: python -m common.deploy pb_model/vsl_encoder_atc results
"""
import argparse
import os
import sys
from typing import Optional, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import errors
from common.frozen import comparison


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('folder', help='that freeze_graph.py --atc wrote')
    parser.add_argument('results', help='folder that msame wrote to, with --outfmt BIN')
    parser.add_argument('--cosine', type=cli.fraction, default=0.999,
                        help='least similarity of an output of floats; others must be equal')
    parser.add_argument('--rounding', type=cli.fraction, default=comparison.ROUNDING,
                        help='largest margin (probability or logit) at which a choice such as a '
                        'token may differ; rows where one does are not compared')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def print_comparison(options: argparse.Namespace) -> int:
    """Prints a line for each output; returns 1 when one differs too much."""
    rows, moved = comparison.compare(options.folder, options.results, options.cosine,
                                     options.rounding)
    for name, value, difference, accepted in rows:
        cli.say('{}  {}  largest difference {:g}{}'.format(
            'ok  ' if accepted else 'FAIL', errors.quote(name, 100), difference,
            '' if value is None else '  cosine {:.6f}'.format(value)))
    if moved is not None:
        text = '{}  choices  {} differ in {} of {} rows, largest margin {:g} (rounding: {:g})'
        cli.say(text.format(
            'ok  ' if moved.margin <= options.rounding else 'FAIL', moved.places,
            moved.rows.sum(), len(moved.rows), moved.margin, options.rounding))
    return 0 if all(row[3] for row in rows) else 1


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    return cli.run(print_comparison, parse_args(argv))



if __name__ == '__main__':
    cli.script(main)

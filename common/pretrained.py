"""Exports the trained network of a run as weights that ship: half precision, digests, a card.

Beside them go the commands (recipe.json) and the losses (curve.csv), from which `python -m
tests.pretrained --rebuild` trains the first steps again.

Example: python -m common.pretrained --model=vsl --output_path=output/mine \\
    --data_command="vsl/make_dataset.py --furniture --generator=2 --output=set.mat"
"""
import argparse
import os
import sys
from typing import Optional, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli, collection


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=collection.NAMES, required=True, help='of the run')
    parser.add_argument('--output_path', required=True, help='output folder of the run')
    parser.add_argument('--checkpoint', default='', help='checkpoint of it; unset: the newest')
    parser.add_argument('--output', default='',
                        help='folder to write; unset: <model>/pretrained of this project')
    parser.add_argument('--stage', type=cli.positive_int, default=1,
                        help='number of this training, where it started from the weights that an '
                             'earlier one exported; what was told of the others stays')
    parser.add_argument('--data_command', default='',
                        help='command that made the set; unset: as it was told before')
    parser.add_argument('--bits', type=int, choices=range(1, 11), default=10, metavar='1..10',
                        help='of the fractions of float16 that are kept; fewer are smaller files')
    parser.add_argument('--leave_out', nargs='+', default=[], metavar='SCOPE',
                        help='variables that other weights that ship hold')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def export(options: argparse.Namespace) -> None:
    """Writes the weights and says how large they are."""
    from common.training import pretrained  # here, since --help needs no TensorFlow
    model = collection.find(options.model)
    folder = options.output or os.path.join(collection.ROOT, model.name, pretrained.FOLDER)
    for path in pretrained.export(options.output_path, folder, model.title, options.checkpoint,
                                  options.stage, options.data_command, options.bits,
                                  options.leave_out):
        cli.say('{}  {:.2f} MiB'.format(path, os.path.getsize(path) / 2. ** 20))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run(export, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

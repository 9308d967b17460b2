"""Looks through a graph for what an Ascend NPU cannot run, or runs slowly; needs no NPU.

Example: python -m common.npu_lint output/vertex_model.pb   # also .pbtxt, .meta
         python -m common.npu_lint --all

Errors: the graph cannot run there (exit code 1). Warnings: slow, or done on the host. Errors that
frozen/npu_waivers.json gives a reason for are listed as waived.
"""
import argparse
import os
import sys
from typing import Optional, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('graph', nargs='?', default='',
                        help='frozen graph (.pb, .pbtxt), or the .meta of a checkpoint')
    parser.add_argument('--model', default='', metavar='NAME',
                        help='a model of this project: its training graphs and frozen graphs, as '
                             'a table')
    cli.add_flag(parser, '--all', help='the table of every model')
    parser.add_argument('--feeds', default='', help='names of fed nodes, with commas between them; '
                        'by default those of the manifest, else all placeholders')
    parser.add_argument('--fetches', default='', help='names of fetched nodes; by default those of '
                        'the manifest, else all nodes that no other one uses')
    parser.add_argument('--mode', default='infer', choices=('infer', 'train'),
                        help='whether the graph may hold variables and random operations')
    cli.add_flag(parser, '--mix_compile_mode', help='the run will have this option: what only the '
                 'host can do is a warning')
    parser.add_argument('--ops_json', default='', metavar='FILE',
                        help='npu_supported_ops.json of a CANN installation; other operations are '
                             'told as warnings')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    options = parser.parse_args(argv)
    if bool(options.graph) + bool(options.model) + options.all != 1:
        parser.error('give a graph, --model NAME or --all, one of the three')
    return options


def lint_file(options: argparse.Namespace) -> int:
    """Prints the findings for the file `options.graph`; returns 1 when errors are among them."""
    from common.frozen import graph as graph_lib
    from common.frozen import guard
    from common.frozen import lint as rules
    graph_def = graph_lib.read_graph(options.graph)
    guard.check_calls(options.graph, graph_def)
    inputs, outputs = graph_lib.inputs_and_outputs(options.graph, graph_def)
    rows = graph_lib.apart(options.graph, lambda: rules.lint_graph(
        graph_def, options.feeds.split(',') if options.feeds else inputs,
        options.fetches.split(',') if options.fetches else outputs, options.mode,
        options.mix_compile_mode, options.graph))
    findings = rules.waive([rules.Finding(*row) for row in rows], rules.read_waivers())
    if options.ops_json:
        findings += rules.unknown_operations(graph_def, options.ops_json)
    for line in rules.describe(findings) + rules.advice(findings):
        cli.say(line)
    cli.say('{}: {error} errors, {warning} warnings'.format(options.graph, **rules.count(findings)))
    return 1 if rules.count(findings)['error'] else 0


def lint(options: argparse.Namespace) -> int:
    """Does what the command line asks."""
    if options.graph:
        return lint_file(options)
    from common import npu_survey
    return npu_survey.print_table([options.model] if options.model else None)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.device import choice  # here and above, since --help needs no TensorFlow
    return choice.run(lint, parsed)


if __name__ == '__main__':
    cli.script(main)

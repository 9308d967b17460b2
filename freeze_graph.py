"""Freezes a trained model to .pb files with fixed shapes and named ends, for inference.

Beside each .pb stands a .json: names, shapes and dtypes of the ends, and the command for ATC; and a
_sample.npz with the inputs that it was checked with.

Example: python freeze_graph.py --model polygen --output_path=polygen/output --output=pb_model --atc
"""
import argparse
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import cli, deploy, frozen, npu_survey, reporting

MODELS = npu_survey.registered()


def parse_args(argv=None):
    """Reads the command line; the model that --model names adds options of its own."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument('--model')
    model = first.parse_known_args(argv)[0].model
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=MODELS, required=True,
                        help='what to freeze; with --help, the options of this model')
    parser.add_argument('--output', default='pb_model', help='folder for the .pb files')
    parser.add_argument('--batch_size', type=cli.positive_int, default=1,
                        help='rows of every input; fixed in the graph')
    cli.add_flag(parser, '--atc', help='also a folder for Atlas inference: commands for atc and '
                 'msame, inputs, expected outputs')
    parser.add_argument('--soc_version', default='Ascend310', help='chip that --atc is for')
    cli.add_flag(parser, '--onnx', help='also an ONNX file, checked with onnxruntime')
    if model in MODELS:
        _module(model).add_options(parser)
    return parser.parse_args(argv)


def _module(model):
    return importlib.import_module(model + '.freeze')


def freeze(config):
    """Freezes, converts as asked, and describes what came out."""
    deploy.check_soc_version(config.soc_version)
    for path in _module(config.model).freeze(config):
        with frozen.load(path) as graph:
            reporting.say(str(graph))
        if config.atc:
            reporting.say('  for ATC: {}'.format(deploy.write_atc(path, config.soc_version)))
        if config.onnx:
            reporting.say('  ONNX: {}, largest difference {:g}'.format(*deploy.write_onnx(path)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(freeze, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

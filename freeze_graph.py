"""Freezes a trained model to .pb files with fixed shapes and named inputs and outputs.

Beside each .pb stands a .json: names, shapes and dtypes of both, and the command for ATC; and a
_sample.npz with the inputs that it was checked with.

Example: python freeze_graph.py --model polygen --output_path=polygen/output --output=pb_model --atc
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import collection


def parse_args(argv=None):
    """Reads the command line; the model that --model names adds options of its own."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument('--model')
    model = first.parse_known_args(argv)[0].model
    parser = cli.make_parser(__doc__)
    parser.add_argument('--model', choices=collection.NAMES, required=True,
                        help='what to freeze; with --help, the options of this model')
    parser.add_argument('--output', default='pb_model', help='folder for the .pb files')
    parser.add_argument('--batch_size', type=cli.positive_int, default=1,
                        help='rows of every input; fixed in the graph')
    cli.add_flag(parser, '--atc', help='also a folder for Atlas inference: commands for atc and '
                 'msame, inputs, expected outputs')
    parser.add_argument('--soc_version', default='Ascend310', help='chip that --atc is for')
    cli.add_flag(parser, '--onnx', help='also an ONNX file, checked with onnxruntime')
    if model in collection.NAMES:
        collection.find(model).module('options').add_freeze_options(parser)
    else:
        cli.add_device_options(parser)
    return parser.parse_args(argv)


def freeze(options, context):
    """Freezes, converts as asked, and describes what came out."""
    from common.frozen import export, model  # here, since --help needs no TensorFlow
    export.check_soc_version(options.soc_version)
    if options.onnx:
        export.onnx_packages()  # before the work
    cli.say('freezing and checking {}, into {}'.format(options.model, options.output))
    for path in collection.find(options.model).module('freeze').freeze(options, context):
        with model.load(path) as network:
            cli.say(str(network))
        if options.atc:
            cli.say('  for ATC: {}'.format(export.write_atc(path, options.soc_version)))
        if options.onnx:
            cli.say('  ONNX: {}, largest difference {:g}'.format(*export.write_onnx(path)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    return launch.main(freeze, parsed, is_training=False, has_page=False)


if __name__ == '__main__':
    cli.script(main)

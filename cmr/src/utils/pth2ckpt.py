"""Converts weights between PyTorch's files and checkpoints of TensorFlow, in both directions.

An ImageNet ResNet-50 (resnet50-19c8e357.pth) becomes the encoder; a checkpoint of GraphCMR becomes
the whole network.

Example: python cmr/src/utils/pth2ckpt.py --pth-path=resnet50.pth --ckpt-path=resnet50.ckpt
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))))
from common import cli


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--pth-path', '--pth_path', default='resnet50-19c8e357.pth',
                        help='file of PyTorch')
    parser.add_argument('--ckpt-path', '--ckpt_path', default='pretrained_resnet50.ckpt',
                        help='prefix of the checkpoint')
    parser.add_argument('--dict-file', '--dict_file', default='',
                        help='JSON {name in the file: our name}, for other ResNet-50s')
    cli.add_flag(parser, '--reverse', help='write --pth-path from the checkpoint --ckpt-path')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from cmr.src.utils import torch_weights  # here, since --help needs no TensorFlow
    from common.device import choice
    return choice.run(torch_weights.convert, parsed)


if __name__ == '__main__':
    cli.script(main)

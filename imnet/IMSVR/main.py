"""Trains and uses IM-NET's single-view reconstruction: a mesh from one picture.

The original's commands work as written, once the autoencoder is trained and its codes are there
(imnet/IMGAN/main.py), with the same --output_path.

Example:
  python imnet/IMSVR/main.py --train --epoch 2000
  python imnet/IMSVR/main.py                        # meshes of 16 test shapes, view 0
  python imnet/IMSVR/main.py --mode=all             # of every test shape, view 23
  python imnet/IMSVR/main.py --image photo.png      # of a picture of one's own
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from imnet import options


def parse_args(argv=None):
    """Reads the command line."""
    return options.parse_imsvr(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from imnet import inference
    from imnet.IMSVR import training

    def work(settled, context):
        if settled.train:
            training.train(settled, context)
        elif settled.mode == 'image':
            inference.reconstruct(settled, context)
        elif settled.mode == 'interp':
            inference.interpolate(settled, context, 'svr')
        else:
            inference.write_meshes(settled, context, 'svr')

    return launch.main(work, parsed, options.complete_imsvr, parsed.train)


if __name__ == '__main__':
    cli.script(main)

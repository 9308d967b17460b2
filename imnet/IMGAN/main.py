"""Trains and uses IM-NET's autoencoder of voxels (--ae) and the GAN of its codes.

The original's commands work as written. Codes, checkpoints and meshes go below --output_path.

Example:
  python imnet/IMGAN/main.py --ae --train --epoch 100 --real_size 16 --batch_size_input 4096
  python imnet/IMGAN/main.py --ae --train --epoch 200 --real_size 32 --batch_size_input 4096
  python imnet/IMGAN/main.py --ae --train --epoch 400 --real_size 64 --batch_size_input 16384
  python imnet/IMGAN/main.py --ae                            # codes of the training shapes
  python imnet/IMGAN/main.py --ae --mode=test --split=test   # meshes of shapes
  python imnet/IMGAN/main.py --ae --mesh=my.obj              # a mesh of one's own, encoded, decoded
  python imnet/IMGAN/main.py --train --epoch 10000           # the GAN
  python imnet/IMGAN/main.py                                 # its samples
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
    return options.parse_imgan(argv, __doc__)


def main(argv=None):
    """Runs the script; returns its exit code."""
    parsed = parse_args(argv)
    from common.training import launch  # here, since --help needs no TensorFlow
    from imnet import inference
    from imnet.IMGAN import training

    def work(settled, context):
        if settled.train:
            (training.train_ae if settled.ae else training.train_gan)(settled, context)
        elif settled.mode in ('test', 'interp'):
            {'test': inference.write_meshes,
             'interp': inference.interpolate}[settled.mode](settled, context, 'ae')
        else:
            {'codes': inference.write_codes, 'mesh': inference.encode_mesh,
             'samples': inference.sample}[settled.mode](settled, context)

    return launch.main(work, parsed, options.complete_imgan, parsed.train)


if __name__ == '__main__':
    cli.script(main)

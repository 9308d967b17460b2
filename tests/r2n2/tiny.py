"""3D-R2N2 at a size that trains in seconds: data and options that several tests share."""
import contextlib
import io
import os
import sys

import tensorflow.compat.v1 as tf

from r2n2 import main as main_script
from r2n2.tools import make_dataset

SET = ('CONST.N_VIEWS 2 NET.N_CONVFILTER [4,4,4,4,6,6] NET.N_FC_FILTERS [8] '
       'NET.N_DECONVFILTER [4,4,4,4,4,2] TRAIN.LOSS_LIMIT 99 TRAIN.NUM_VALIDATION_ITERATIONS 1 '
       'TRAIN.NUM_RENDERING 3').split()


def make_data(folder, models=3):
    """Renders a few models of two classes; returns the folder as str."""
    config = make_dataset.parse_args(['--furniture', '--models={}'.format(models), '--views=3',
                                      '--workers=1', '--output', str(folder)])
    with contextlib.redirect_stdout(io.StringIO()):
        names = ('chair', 'table')
        classes, make_dataset.generator.CLASSES = make_dataset.generator.CLASSES, names
        try:
            make_dataset.make(config)
        finally:
            make_dataset.generator.CLASSES = classes
    return str(folder)


def write_settings(folder):
    """Writes the settings of SET as a YAML file; returns its path."""
    sections = {}
    for name, value in zip(SET[::2], SET[1::2]):
        section, key = name.split('.')
        sections.setdefault(section, []).append('  {}: {}'.format(key, value))
    path = os.path.join(str(folder), 'tiny.yaml')
    with open(path, 'w', encoding='utf-8') as stream:
        stream.write(''.join('{}:\n{}\n'.format(section, '\n'.join(lines))
                             for section, lines in sections.items()))
    return path


def call(script, *arguments):
    """Calls a script's main in a graph of its own; returns (exit code, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with tf.Graph().as_default():
            try:
                code = script.main([str(argument) for argument in arguments])
            except SystemExit as stop:
                code = stop.code
    sys.stdout.write(out.getvalue())
    sys.stderr.write(err.getvalue())
    return code, out.getvalue(), err.getvalue()


def train(output, data, steps, *arguments, settings=()):
    """Trains the tiny network; see `call`."""
    return call(main_script, '--data_path={}'.format(data), '--output_path={}'.format(output),
                '--training_steps={}'.format(steps), '--batch_size=2', '--device=cpu',
                '--threads=1', '--report_every=1', '--workers=1', *arguments, '--set', *SET,
                *settings)

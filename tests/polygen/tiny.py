"""PolyGen at a size that trains in seconds: meshes, options and runs that several tests share."""
import contextlib
import hashlib
import io
import json
import os
import sys

import tensorflow.compat.v1 as tf

from common.geometry import meshes
from common.training import checkpoints
from polygen import train as train_script

# By rising size, so that buckets of like length keep the order of the names.
SOLIDS = {
    'a_tetrahedron': ([(0, 0, 0), (4, 0, 0), (0, 0, 3), (0, 2, 0)],
                      [(0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2)]),
    'b_pyramid': ([(0, 0, 0), (4, 0, 0), (4, 0, 2), (0, 0, 2), (2, 3, 1)],
                  [(0, 1, 2, 3), (0, 4, 1), (1, 4, 2), (2, 4, 3), (3, 4, 0)]),
    'c_box': ([(x, y, z) for x in (0, 3) for y in (0, 2) for z in (0, 5)],
              [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])}
# A batch of two of three meshes: the place in the data matters for what a step sees.
OPTIONS = ('--hidden_size=16 --fc_size=16 --num_heads=2 --vertex_layers=1 --encoder_layers=1 '
           '--face_layers=1 --quantization_bits=4 --max_vertices=12 --max_face_tokens=40 '
           '--sample_vertices=6 --sample_face_tokens=20 --batch_size=2 --learning_rate=0.01 '
           '--num_samples=2 --device=cpu --threads=1 --report_every=1').split()


def write_solids(folder, names=tuple(SOLIDS)):
    """Writes solids as .obj files, one a sub-folder; returns the folder as str."""
    for name in names:
        meshes.write(os.path.join(str(folder), name[0], name + '.obj'), *SOLIDS[name])
    return str(folder)


def main(script, *arguments):
    """Calls a script's main in a graph of its own.

    Returns:
      (exit code, what it printed, what it said on stderr).
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with tf.Graph().as_default():
            try:
                code = script.main([str(argument) for argument in arguments])
            except SystemExit as stop:  # the parser's way out
                code = stop.code
    # Shown with a test that fails.
    sys.stdout.write(out.getvalue())
    sys.stderr.write(err.getvalue())
    return code, out.getvalue(), err.getvalue()


def train(output_path, data_path, steps, *arguments, sample=False):
    """Trains; returns what it printed. The run must end well."""
    code, out, err = main(
        train_script, *OPTIONS, '--output_path={}'.format(output_path),
        '--data_path={}'.format(data_path), '--training_steps={}'.format(steps),
        '--sample={}'.format(sample), *arguments)
    assert code == 0, err
    return out


def losses(output_path):
    """The recorded losses, {step: (vertices, faces)}, to the last bit."""
    with open(os.path.join(str(output_path), 'metrics.jsonl')) as stream:
        rows = [json.loads(line) for line in stream]
    return {row['step']: (row['loss_vertices'], row['loss_faces'])
            for row in rows if 'loss_vertices' in row}


def saved_steps(output_path, stem='model'):
    """The steps of the checkpoints that a run has left."""
    folder = os.path.join(str(output_path), 'checkpoints')
    return [checkpoints.step_of(prefix) for prefix in checkpoints.in_folder(folder, stem)]


def digests(folder):
    """What lies in a folder, {relative path: digest}, but for lock files."""
    values = {}
    for place, _, names in os.walk(str(folder)):
        for name in names:
            if name != '.lock':
                path = os.path.join(place, name)
                with open(path, 'rb') as stream:
                    values[os.path.relpath(path, str(folder))] = hashlib.sha256(
                        stream.read()).hexdigest()
    return values

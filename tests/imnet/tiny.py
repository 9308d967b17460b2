"""Tiny sets and runs that the tests of IM-NET share."""
import numpy as np
import tensorflow.compat.v1 as tf

from imnet.point_sampling import tables

STEM = 'tiny_vox256_img'
SIZES = ['--z_dim=4', '--ef_dim=2', '--gf_dim=2']
POINTS = {16: 60, 32: 60, 64: 80}


def rows(count, seed=0):
    """Shapes: balls of several sizes, with views that show their shadows."""
    rng = np.random.RandomState(seed)
    axis = (np.arange(64) + 0.5) / 64 - 0.5
    for number in range(count):
        radius = 0.2 + 0.02 * number
        squares = axis ** 2
        ball = squares[:, None, None] + squares[:, None] + squares < radius ** 2
        row = {'voxels': ball.astype(np.uint8)[..., None]}
        for size, points in POINTS.items():
            cells = rng.randint(0, 256, [points, 3]).astype(np.uint8)
            places = (cells.astype(float) + 0.5) / 256 - 0.5
            row['points_{}'.format(size)] = cells
            row['values_{}'.format(size)] = (
                (places ** 2).sum(axis=1, keepdims=True) < radius ** 2).astype(np.uint8)
        view = np.full([137, 137], 255, np.uint8)
        places = (np.arange(137) - 68) / 137
        view[places[:, None] ** 2 + places ** 2 < radius ** 2] = 100
        row['pixels'] = np.repeat(view[None], 24, axis=0)
        yield row


def write(folder, train=5, test=2):
    """Writes a set of both splits; returns the folder."""
    for half, count in (('train', train), ('test', test)):
        path = '{}/{}_{}.hdf5'.format(folder, STEM, half)
        tables.write_rows(path, rows(count), count)
        tables.write_names(path, ['ball/{}'.format(number) for number in range(count)])
    return folder


def call(script, *arguments):
    """Runs a script's main in a fresh graph; returns its exit code."""
    tf.reset_default_graph()
    return script.main([str(argument) for argument in arguments])

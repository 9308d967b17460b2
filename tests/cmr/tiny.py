"""A small body and a small set of pictures for tests."""
import os

import numpy as np
import scipy.sparse

from cmr import make_dataset
from cmr.src.dataset import posed_bodies
from cmr.src.utils import body as body_lib
from tests.cmr import synthetic

RINGS, SEGMENTS, SIZES = 10, 16, (41, 11)
NETWORK = ['--resnet_width=4', '--num_channels=16', '--num_layers=1', '--img_res=64',
           '--regressor_width=32']


def arrays():
    """Arrays of a body of 162 vertices; no sparse ones."""
    drawn = synthetic.body(3, RINGS, SEGMENTS)
    return {name: value.toarray() if scipy.sparse.issparse(value) else value
            for name, value in drawn.items()}


def make_body(folder):
    """Writes a body model and its levels as plain arrays; returns the folder."""
    os.makedirs(str(folder), exist_ok=True)
    body = arrays()
    np.savez(os.path.join(str(folder), 'body_model.npz'), **body)
    body_lib.save_levels(os.path.join(str(folder), 'mesh_downsampling.npz'), *synthetic.hierarchy(
        4, body['v_template'], body['f'], SIZES))
    return str(folder)


def make_set(folder, body, num_train=8, num_test=3):
    """Draws a set of posed bodies; returns its folder."""
    posed_bodies.make(make_dataset.parse_args([
        '--output', str(folder), '--num_train={}'.format(num_train), '--size=96',
        '--num_test={}'.format(num_test), '--body', body, '--processes=1']))
    return str(folder)

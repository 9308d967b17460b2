"""Test of --renderer=mayavi on a machine without a display: a grid is drawn under Xvfb."""
import importlib.util
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from common import collection

XVFB = shutil.which('Xvfb')
DRAW = '''
import sys
import numpy as np
from vsl import draw
grid = np.zeros([30, 30, 30], np.float32)
grid[10:20, 10:20, 10:20] = 1
draw.draw_sample(grid.ravel(), sys.argv[1])
grid[10:20, 10:20, 20:29] = 1
draw.draw_sample(grid.ravel(), sys.argv[2])
'''


@pytest.fixture
def display():
    """The name of a display in memory."""
    read, write = os.pipe()
    process = subprocess.Popen([XVFB, '-displayfd', str(write), '-screen', '0', '800x600x24'],
                               pass_fds=[write], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as stream:
        number = stream.readline().strip()
    yield ':' + number
    process.terminate()
    process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(not XVFB or importlib.util.find_spec('mayavi') is None,
                    reason='needs Xvfb and mayavi (requirements-extra.txt)')
def test_cubes_are_drawn_without_a_display(display, tmp_path):
    paths = [str(tmp_path / name) for name in ('cube.png', 'tower.png')]
    subprocess.run([sys.executable, '-c', DRAW, *paths], check=True, cwd=collection.ROOT,
                   env=dict(os.environ, DISPLAY=display, ETS_TOOLKIT='null',
                            LIBGL_ALWAYS_SOFTWARE='1'), timeout=300)
    images = [cv2.imread(path) for path in paths]
    assert all(image.shape[0] > 100 and image.shape[1] > 100 for image in images)
    drawn = [(image < 250).any(axis=2).mean() for image in images]      # not the white behind
    assert 0.005 < drawn[0] < 0.9 and drawn[1] > 1.2 * drawn[0]
    assert np.abs(images[0].astype(int) - images[1]).max() > 50

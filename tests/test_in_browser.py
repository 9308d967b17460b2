"""Tests in a headless Chromium: the web demo's tabs and the report pages of all five models.

The weights are those that ship; a model without is skipped. SCREENSHOTS names a folder that keeps
what was seen.
"""
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from common import collection
from common.geometry import generator, meshes, views
from common.training import pretrained
from tests.common import browser

pytest.importorskip('flask')
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not (browser.DRIVER and browser.BROWSER), reason='no Chromium here')]
_MESH_PIXELS = 3000     # slider and links have some hundreds
TITLES = {model.name: model.title for model in collection.MODELS}


def weights_of(model):
    return os.path.join(collection.ROOT, model, pretrained.FOLDER)


@contextlib.contextmanager
def served():
    """The address of a web demo in a process of its own."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, os.path.join(collection.ROOT, 'examples', 'web_demo.py'),
         '--port={}'.format(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = 'http://127.0.0.1:{}'.format(port)
    try:
        for _ in range(300):
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(address, timeout=5).close()
                break
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope='module')
def demo():
    with served() as address, browser.opened() as page:
        yield address, page


def shape():
    """A chair that no training has seen."""
    return generator.shape('chair', 3, generator.held_out_seed(0))


def upload(model, folder):
    """The file that a tab is given."""
    if model == 'cmr':
        return os.path.join(collection.ROOT, 'cmr', 'data', 'examples', 'im1010.jpg')
    vertices, faces = shape().mesh()
    if model == 'vsl':
        path = str(folder / 'chair.obj')
        meshes.write(path, vertices, faces)
        return path
    path = str(folder / 'chair.png')
    images, _ = views.render_views(views.model(vertices, faces, shape().part_of_face()), 1, 137,
                                   np.random.RandomState(0))
    assert cv2.imwrite(path, cv2.cvtColor(images[0], cv2.COLOR_RGBA2BGRA))
    return path


def wait_for(page, script, seconds=600):
    for _ in range(seconds * 2):
        value = page.run(script)
        if value:
            return value
        time.sleep(0.5)
    raise AssertionError('waited {} s for {}'.format(seconds, script))


def mesh_pixels(shot):
    """How many pixels of a screenshot are as blue as the meshes of a page."""
    image = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR).astype(int)
    return int((image[..., 0] - image[..., 2] > 25).sum())


def drawn(page, seconds=60):
    """A screenshot, as soon as a mesh can be seen."""
    for _ in range(seconds * 2):
        shot = page.screenshot()
        if mesh_pixels(shot) > _MESH_PIXELS:
            return shot
        time.sleep(0.5)
    raise AssertionError('no mesh was drawn within {} s'.format(seconds))


def keep(shot, name):
    """Keeps a screenshot where one is wanted."""
    if os.environ.get('SCREENSHOTS'):
        os.makedirs(os.environ['SCREENSHOTS'], exist_ok=True)
        with open(os.path.join(os.environ['SCREENSHOTS'], name + '.png'), 'wb') as stream:
            stream.write(shot)
    return shot


def ask(page, address, model, path):
    """Sends the form of a tab; returns the address of the answer's page."""
    page.open(address)
    page.run('document.querySelector(\'button[data-tab="{}"]\').click()'.format(model))
    section = 'document.getElementById("{}")'.format(model)
    field = page.find('#{} input[type=file]'.format(model))
    page.call('/element/{}/value'.format(list(field.values())[0]), {'text': path})
    page.run(section + '.querySelector("form button").click()')
    said = wait_for(page, 'const said = {0}.querySelector(".said"), frame = {0}.querySelector('
                    '"iframe"); return said.classList.contains("error") ? said.textContent : '
                    '!frame.hidden && frame.src'.format(section))
    assert said.startswith(address), said
    return said


@pytest.mark.parametrize('model', collection.NAMES)
def test_a_tab_answers_with_a_page_whose_mesh_turns_and_can_be_taken_home(demo, model, tmp_path):
    address, page = demo
    if not pretrained.available(weights_of(model)):
        pytest.skip('no weights of {} ship'.format(TITLES[model]))
    page.call('/se/log', {'type': 'browser'})       # what was logged before is of other tests
    url = ask(page, address, model, upload(model, tmp_path))
    keep(drawn(page), 'web_demo_' + model)
    page.open(url)          # the report of that answer, in a window of its own
    assert TITLES[model] in page.run('return document.title + document.body.textContent')
    wait_for(page, 'return document.querySelectorAll(".mesh").length', 30)
    page.run('document.querySelector(".mesh").scrollIntoView({block: "center"})')
    before = keep(drawn(page), 'report_' + model)
    page.drag(page.find('.mesh'), 80, 20)
    time.sleep(1)
    assert page.screenshot() != before
    links = page.run('return [...document.querySelectorAll("a")].map(one => one.href)')
    link = [one for one in links if one.endswith('.glb')][0]
    target = str(tmp_path / 'taken.glb')
    with urllib.request.urlopen(link, timeout=60) as answer, open(target, 'wb') as stream:
        stream.write(answer.read())
    mesh = meshes.read(target)
    assert len(mesh.vertices) > 3 and len(mesh.faces) > 1
    severe = [line['message'] for line in page.call('/se/log', {'type': 'browser'})
              if line['level'] == 'SEVERE' and 'favicon' not in line['message']]
    assert severe == []


def test_a_bad_picture_gets_the_line_of_the_command(demo, tmp_path):
    address, page = demo
    if not pretrained.available(weights_of('r2n2')):
        pytest.skip('no weights of 3D-R2N2 ship')
    (tmp_path / 'no.png').write_bytes(b'no picture')
    with pytest.raises(AssertionError, match='upload0.png'):
        ask(page, address, 'r2n2', str(tmp_path / 'no.png'))

"""Tests of common/pages: what a report page shows, that it is safe, and that its meshes turn."""
import html.parser
import json
import os
import re
import struct
import time
import zlib

import numpy as np
import pytest
import trimesh
from PIL import Image

from common.geometry import meshes
from common.pages import charts, figures, report
from tests.common import browser

BAD = '<img src=x onerror=alert(1)>&"\'</script>'   # as a name of a file it loses its slash
BAD_NAME = BAD.replace('/', '')


class Reader(html.parser.HTMLParser):
    """Elements of a page: tags with attributes, and the text outside scripts."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self._inside = [], '', None
        with open(str(path), encoding='utf-8') as stream:
            self.source = stream.read()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside not in ('script', 'style'):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def folder(tmp_path):
    """An output folder: record, metrics, two meshes (one in two formats), pictures, tables."""
    box = trimesh.creation.box()
    for name in ('samples/box.ply', 'samples/box.glb', 'samples/' + BAD_NAME + '.obj'):
        meshes.write(str(tmp_path / name), box.vertices, box.faces)
    Image.new('RGB', (30, 20), (200, 0, 0)).save(str(tmp_path / 'samples' / 'red.png'))
    (tmp_path / 'eval').mkdir()
    (tmp_path / 'eval' / 'table.csv').write_text('shape,iou\n{},0.5\n'.format(BAD))
    (tmp_path / 'eval' / 'figures.json').write_text(json.dumps({BAD: 1.5, 'list': [1, 2]}))
    (tmp_path / 'checkpoints').mkdir()
    Image.new('L', (3, 3)).save(str(tmp_path / 'checkpoints' / 'not_shown.png'))
    (tmp_path / 'config.json').write_text(json.dumps({
        'options': {'data_path': BAD, 'size': 3}, 'seed': 7, 'command': ['train.py', BAD],
        'versions': {'python': '3.7'}}))
    (tmp_path / 'metrics.jsonl').write_text(''.join(
        '{{"step": {}, "loss": {}, "{}": 1}}\n'.format(step, 8. / step, 'a<b')
        for step in (1, 2, 4)) + '{"step": 5, "lo')
    return tmp_path


def test_a_page_shows_what_a_folder_holds(folder):
    page = Reader(report.write_folder(str(folder), 'VSL'))
    assert re.search(r'seed\s*7', page.text) and 'python 3.7' in page.text
    assert 'loss: 2 at step 4' in page.text
    assert len([one for one in page.all('div') if one.get('class') == 'mesh']) == 2
    assert len(page.all('img')) == 1 and page.all('img')[0]['src'].startswith('data:image/png')
    assert len(page.all('svg')) == 2
    links = {one['href'] for one in page.all('a')}
    assert {'./samples/box.ply', './samples/box.glb', './eval/table.csv'} <= links
    assert not any('checkpoints' in link or 'config' in link for link in links)


def test_nothing_of_a_file_or_an_option_becomes_markup(folder):
    page = Reader(report.write_folder(str(folder), BAD))
    assert page.text.count(BAD) >= 4 and BAD_NAME in page.text
    allowed = {'img': {'alt', 'src'}, 'a': {'href', 'download'}, 'script': {'type'}}
    for tag, attributes in page.tags:
        assert not any(name.startswith('on') for name in attributes)
        assert set(attributes) <= allowed.get(tag, set(attributes))
    assert len(page.all('script')) == 2 + 3     # two meshes; library, controls, viewer
    assert all(re.match(r'\./[\w./%-]+$', one['href']) for one in page.all('a'))


def test_a_page_asks_for_nothing_outside(folder):
    page = Reader(report.write_folder(str(folder), 'VSL'))
    policy = [one['content'] for one in page.all('meta') if 'content' in one][0]
    assert "default-src 'none'" in policy
    assert not page.all('link') and not page.all('iframe')
    assert all('src' not in one for one in page.all('script'))


def test_a_page_of_a_hundred_meshes_stays_small_and_is_written_quickly_again(tmp_path):
    ball = trimesh.creation.icosphere(4)    # 5120 triangles
    for number in range(100):
        meshes.write(str(tmp_path / '{:03d}.ply'.format(number)), ball.vertices, ball.faces)
    path = report.write_folder(str(tmp_path), 'VSL')
    assert os.path.getsize(path) < 20 << 20
    assert len([one for one in Reader(path).all('div') if one.get('class') == 'mesh']) == 100
    began = time.process_time()
    report.write_folder(str(tmp_path), 'VSL')
    assert time.process_time() - began < 1.
    assert sorted(os.listdir(str(tmp_path)))[-1] == 'report.html'   # no temporary file stays


def test_merging_vertices_keeps_the_shape():
    ball = trimesh.creation.icosphere(6)
    vertices, triangles = figures.decimated(ball.vertices, ball.faces, 4000)
    assert 1000 < len(triangles) <= 4000
    few = trimesh.Trimesh(vertices, triangles)
    assert abs(few.area / ball.area - 1) < 0.05
    assert np.abs(np.linalg.norm(vertices, axis=1) - 1).max() < 0.06
    box = trimesh.creation.box()
    assert figures.decimated(box.vertices, box.faces)[0] is box.vertices


def test_a_mesh_is_packed_as_whole_numbers_in_its_box():
    vertices = np.array([[0., 0, 0], [1, 0, 0], [1, 2, 0], [0.25, 1, 4]])
    data = figures.mesh_data(vertices, np.array([[0, 1, 2], [0, 2, 3]]), 'z')
    import base64
    cells = np.frombuffer(base64.b64decode(data['vertices']), '<u2').reshape(-1, 3)
    assert cells.tolist() == [[0, 0, 0], [65535, 0, 0], [65535, 65535, 0], [16384, 32768, 65535]]
    assert np.frombuffer(base64.b64decode(data['triangles']), '<u2').tolist() == [0, 1, 2, 0, 2, 3]
    assert (data['low'], data['high'], data['up']) == ([0, 0, 0], [1, 2, 4], 'z')


def test_curves_go_from_corner_to_corner():
    drawn = charts.curve([10, 20], [1., 3.], 'a<b')
    assert 'points="52.0,178.0 352.0,8.0"' in drawn and 'aria-label="a&lt;b"' in drawn
    assert charts.curve([1], [float('nan')], 'x') == ''
    assert '<circle' in charts.curve([1], [2.], 'x')
    # 1, 10, 100: the logarithms are evenly spaced
    assert '52.0,178.0 202.0,93.0 352.0,8.0' in charts.curve([0, 1, 2], [1, 10, 100], 'x')


@pytest.mark.slow
@pytest.mark.skipif(not (browser.DRIVER and browser.BROWSER), reason='no Chromium here')
def test_a_mesh_turns_in_the_browser_and_no_error_is_logged(folder):
    path = report.write_folder(str(folder), 'VSL')
    with browser.opened() as page:
        page.open('file://' + path)
        assert page.run('return document.querySelectorAll(".mesh").length') == 2
        page.run('document.querySelector(".mesh").scrollIntoView({block: "center"})')
        time.sleep(1)
        before = page.screenshot()
        page.drag(page.find('.mesh'), 80, 20)
        time.sleep(1)
        assert page.screenshot() != before
        problems = [line for line in page.call('/se/log', {'type': 'browser'})
                    if line['level'] == 'SEVERE']
        assert problems == []


def test_names_that_are_no_text_and_pictures_of_any_size_leave_a_page_whole(folder, recwarn):
    samples = os.path.join(os.fsencode(str(folder)), b'samples')
    for name in (b'bad\xff.png', b'bad\xff.csv', b'new\nline.obj', b'\xe2\x80\xaegnp.txt'):
        with open(os.path.join(samples, name), 'wb') as stream:
            stream.write(b'a,b\n1,2\n')
    header = b'IHDR' + struct.pack('>2I5B', 12000, 8000, 8, 2, 0, 0, 0)     # 96 million pixels
    large = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + header + struct.pack(
        '>I', zlib.crc32(header))
    (folder / 'samples' / 'large.png').write_bytes(large)
    assert figures.picture(str(folder / 'samples' / 'large.png')) is None
    page = Reader(report.write_folder(str(folder), 'title \udcff'))
    links = {one['href'] for one in page.all('a')}
    assert './samples/bad%FF.csv' in links and './samples/new%0Aline.obj' in links
    assert r'title \udcff' in page.text and 'red.png' in str(page.tags)
    assert not recwarn.list

"""Tests of examples/web_demo.py: what it answers, what it refuses; the scripts are stand-ins."""
import io
import os
import shutil
import socket
import sys
import threading

import pytest

from common import errors
from examples import web_demo
from polygen import sample

flask = pytest.importorskip('flask')

# In the place of a model's script: copies its options into a file, or fails as scripts do.
STAND_IN = '''
import os, sys, time
folder = sys.argv[1]
if 'upload0.png' in ' '.join(sys.argv) and open(sys.argv[2], 'rb').read() == b'bad':
    sys.stderr.write('error: {} is no picture.\\n'.format(sys.argv[2]))
    sys.exit(1)
print('upload0.png: odd 3; on 9 held-out samples 1 in the median')
open(os.path.join(folder, 'body.obj'), 'w').write(
    'v 0 0 0\\nv 1 0 0\\nv 0 1 0\\nf 1 2 3\\n# ' + ' '.join(sys.argv[2:]))
'''


@pytest.fixture
def client(monkeypatch, tmp_path):
    script = tmp_path / 'stand_in.py'
    script.write_text(STAND_IN)

    def command_of(model, run, paths, numbers, folder, vsl_data=''):
        return [sys.executable, str(script), folder, *paths, str(numbers)]

    monkeypatch.setattr(web_demo, 'command_of', command_of)
    app = web_demo.make_app(web_demo.parse_args(['--max_upload=1']))
    yield app.test_client()
    shutil.rmtree(app.config['JOBS'].root)


def send(client, model, content=b'good', name='photo.png', **fields):
    data = dict(fields, files=(io.BytesIO(content), name)) if name else fields
    return client.post('/' + model, data=data, content_type='multipart/form-data')


def test_a_page_with_a_tab_for_each_model(client):
    text = client.get('/').get_data(as_text=True)
    assert all('id="{}"'.format(name) in text for name in web_demo.TABS)


def test_an_answer_is_a_page_with_its_files_and_of_that_request_alone(client):
    pages = [send(client, 'cmr').get_json()['page'] for _ in range(2)]
    assert pages[0] != pages[1]
    page = client.get(pages[0]).get_data(as_text=True)
    assert '<div class="mesh">' in page and './body.obj' in page
    assert 'upload0.png: odd 3; on 9 held-out samples' in page
    mesh = client.get(os.path.dirname(pages[0]) + '/body.obj')
    assert mesh.status_code == 200 and b'f 1 2 3' in mesh.get_data()


def test_bad_uploads_get_the_line_of_the_command(client):
    answer = send(client, 'cmr', b'bad')
    assert answer.status_code == 400
    assert answer.get_json() == {'error': 'upload0.png is no picture.'}
    answer = send(client, 'cmr', name='run.py')
    assert answer.status_code == 400 and 'CMR takes .png' in answer.get_json()['error']
    assert 'takes 1 to 1 files, not 0' in send(client, 'cmr', name='').get_json()['error']
    answer = send(client, 'cmr', b'x' * (2 << 20))
    assert answer.status_code == 413 and 'larger than 1 MiB' in answer.get_json()['error']
    assert client.post('/other').status_code == 404


@pytest.mark.parametrize('value, is_good', [('0.5', True), ('1', True), ('7', False),
                                            ('nan', False), ('; ls', False)])
def test_numbers_are_checked(client, value, is_good):
    answer = send(client, 'r2n2', threshold=value)
    assert answer.status_code == (200 if is_good else 400)


@pytest.mark.parametrize('path', ['../../../etc/passwd', '.hidden', '..%2f..%2fetc', 'a/../b'])
def test_nothing_outside_of_an_answer_is_given_out(client, path):
    page = send(client, 'cmr').get_json()['page']
    assert client.get(os.path.dirname(page) + '/' + path).status_code == 404
    assert client.get('/job/../' + path).status_code == 404


def test_the_commands_are_those_of_the_scripts():
    numbers = {'threshold': 0.3, 'seed': 5., 'num_samples': 2., 'temperature': 1., 'first': 0.,
               'second': 3.}
    for model, tab in web_demo.TABS.items():
        command = web_demo.command_of(model, '', ['a.png'] if tab.most else [], numbers, 'out')
        assert os.path.exists(command[1]) and '--pretrained' in command
    command = web_demo.command_of('polygen', 'run', [], numbers, 'out')
    assert command[2:] == ['--seed=5', '--num_samples=2', '--temperature=1.0', '--valid_only',
                           '--checkpoint', 'run', '--output_path', 'out']
    command = web_demo.command_of('polygen', 'run', ['a.png'], dict(numbers, **{'class': 'bed'}),
                                  'out')
    assert command[5:] == ['--valid_only', '--image', 'a.png', '--pretrained', '--output_path',
                           'out']
    asked = sample.parse_args(command[2:] + ['--remove_background'])    # as the form adds it
    assert asked.image == [['a.png']] and asked.pretrained and asked.remove_background


def test_a_class_is_chosen_by_its_name(client):
    for chosen, code in (('', 200), ('chair', 200), ('any', 200), ('--seed=3', 400)):
        assert send(client, 'polygen', name='', **{'class': chosen}).status_code == code


def test_the_class_goes_to_the_script():
    numbers = {'seed': 5., 'num_samples': 2., 'temperature': 1., 'class': 'chair'}
    command = web_demo.command_of('polygen', 'run', [], numbers, 'out')
    assert command[6:8] == ['--class_label', 'chair']


def test_vsl_takes_a_mesh_or_goes_from_one_shape_to_another():
    numbers = {'first': 2., 'second': 9., 'class': 'sofa'}
    command = web_demo.command_of('vsl', 'run', [], numbers, 'out', 'set.mat')
    assert command[2:8] == ['--stages=interpolate', '--class', 'sofa', '--id2=2', '--id1=9',
                            '--data_path']
    command = web_demo.command_of('vsl', 'run', ['a.obj'], numbers, 'out', 'set.mat')
    assert command[2:5] == ['--stages=encode', '--shape', 'a.obj']
    with pytest.raises(errors.InputError, match='from 0 to 9'):
        web_demo.numbers_of(web_demo.TABS['vsl'], {'second': '10'})


def test_vsl_needs_no_file_but_no_other_kind_either(client):
    assert send(client, 'vsl', name='', **{'class': 'sofa', 'second': '4'}).status_code == 200
    answer = send(client, 'vsl', b'v 0 0 0', 'a.png')
    assert answer.status_code == 400 and 'VSL takes .obj' in answer.get_json()['error']


def test_twenty_at_once_three_are_taken_and_the_others_told_to_come_again(monkeypatch, tmp_path):
    entered, go_on = threading.Semaphore(0), threading.Event()

    def run(self, name, command):
        entered.release()
        assert go_on.wait(60)
        return []

    monkeypatch.setattr(web_demo.Jobs, 'run', run)
    app = web_demo.make_app(web_demo.parse_args(['--workers=1', '--waiting=2']))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(send(app.test_client(), 'cmr')))
               for _ in range(20)]
    for one in threads:
        one.start()
    for _ in range(3):
        assert entered.acquire(timeout=60)
    for one in threads:
        one.join(1 if len(answers) < 17 else 0)
    assert [one.status_code for one in answers] == [503] * 17
    assert answers[0].get_json() == {'error': 'too many requests wait already; try again in a '
                                              'minute.'} and answers[0].headers['Retry-After']
    assert len(os.listdir(app.config['JOBS'].root)) == 3
    go_on.set()
    for one in threads:
        one.join(60)
    assert sorted(one.status_code for one in answers) == [200] * 3 + [503] * 17
    assert send(app.test_client(), 'cmr').status_code == 200   # the places are free again
    shutil.rmtree(app.config['JOBS'].root)


def test_what_is_refused_leaves_no_folder(client):
    folder = client.application.config['JOBS'].root
    for content, name in ((b'bad', 'photo.png'), (b'good', 'run.py'), (b'good', '')):
        assert send(client, 'cmr', content, name).status_code == 400
    assert os.listdir(folder) == []


def test_an_upload_without_its_size_is_not_read(client):
    """Werkzeug reads pieces (Transfer-Encoding: chunked) without an end, whatever the limit."""
    answer = client.post('/cmr', input_stream=io.BytesIO(b'x' * (2 << 20)), headers={
        'Transfer-Encoding': 'chunked', 'Content-Type': 'multipart/form-data; boundary=X'})
    assert answer.status_code == 411 and 'Content-Length' in answer.get_json()['error']


def test_an_upload_that_stands_still_ends(client):
    class Still(io.BytesIO):    # as a socket with a timeout
        def read(self, *_):
            raise socket.timeout('timed out')
        readline = readinto = read

    answer = client.post('/cmr', environ_overrides={'CONTENT_LENGTH': '5000'},
                         input_stream=Still(), headers={
        'Content-Type': 'multipart/form-data; boundary=X'})
    assert answer.status_code == 408
    assert answer.get_json() == {'error': 'the upload stood still for 60 s.'}


def test_without_flask_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'flask', None)
    with pytest.raises(errors.InputError, match='pip install flask'):
        web_demo.make_app(web_demo.parse_args([]))

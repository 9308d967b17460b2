"""The sixth model of docs/adding_a_model.md, built from its listings, works from end to end."""
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join(ROOT, 'docs', 'adding_a_model.md')


def listings():
    """{file or the line for the list: text} of the document, in its order."""
    with open(DOCUMENT, encoding='utf-8') as stream:
        text = stream.read()
    texts = {}
    for section in re.split(r'^## ', text, flags=re.M)[1:]:
        names = re.findall(r'`(toy/\w+\.py)`', section.split('\n')[0])
        blocks = re.findall(r'```python\n(.*?)```', section, re.S)
        assert len(blocks) == max(len(names), section.startswith('The line')), section[:40]
        texts.update(zip(names or ['line'], blocks))
    return texts


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A copy of the project with the toy in it."""
    root = tmp_path_factory.mktemp('project')
    shutil.copytree(os.path.join(ROOT, 'common'), str(root / 'common'),
                    ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(os.path.join(ROOT, 'freeze_graph.py'), str(root))
    (root / 'toy').mkdir()
    (root / 'toy' / '__init__.py').write_text('')
    texts = listings()
    collection = root / 'common' / 'collection.py'
    text = collection.read_text()
    assert text.count('MODELS = (\n') == 1
    collection.write_text(text.replace('MODELS = (\n', 'MODELS = (\n' + texts.pop('line')))
    for name, listing in texts.items():
        (root / name).write_text(listing)
    return root


def run(project, *command):
    done = subprocess.run([sys.executable, '-W', 'ignore'] + list(command), cwd=str(project),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_toy_of_the_document_trains_measures_freezes_and_lints(project):
    text = run(project, 'toy/train.py', '--training_steps=400', '--device=cpu', '--threads=1')
    assert 'Toy; 40 shapes; 16,912 parameters; cpu (float32)' in text and 'done: step 400' in text
    assert 'step 600/600' in run(project, 'toy/train.py', '--training_steps=600', '--device=cpu')
    run(project, 'toy/evaluate.py')
    evaluation = json.loads((project / 'toy' / 'output' / 'eval' / 'evaluation.json').read_text())
    assert evaluation['iou'] > 0.4      # 0.14 after one step
    assert 'output occupancy float32 [1, 8, 8, 8]' in run(
        project, 'freeze_graph.py', '--model', 'toy', '--output=pb_model')
    assert 'input  voxels float32' in run(project, '-m', 'common.frozen', 'list', 'pb_model/toy.pb')
    table = run(project, '-m', 'common.npu_lint', '--model', 'toy').splitlines()
    rows = [[cell for cell in line.split('  ') if cell] for line in table[1:3]]
    assert [[cell.strip() for cell in row][:3] for row in rows] == [
        ['toy autoencoder', 'training', '0'], ['toy autoencoder', 'frozen', '0']]

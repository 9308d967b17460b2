"""Tests of examples/tour.ipynb: its code cells run from top to bottom."""
import json
import os
import shutil

import pytest

from common import collection
from common.training import pretrained

NOTEBOOK = os.path.join(collection.ROOT, 'examples', 'tour.ipynb')
MISSING = [name for name in collection.NAMES if not pretrained.available(
    os.path.join(collection.ROOT, name, pretrained.FOLDER))]


def cells():
    with open(NOTEBOOK, encoding='utf-8') as stream:
        return json.load(stream)['cells']


def code_cells():
    return [cell for cell in cells() if cell['cell_type'] == 'code']


def test_the_notebook_is_stored_without_outputs_and_names_all_models():
    assert all(not cell['outputs'] and cell['execution_count'] is None for cell in code_cells())
    text = ''.join(line for cell in cells() for line in cell['source'])
    for model in collection.MODELS:
        assert '## {}'.format(model.title) in text and "'{}/".format(model.name) in text
    hosted = [cell for cell in code_cells() if 'hosted' in cell['metadata'].get('tags', ())]
    assert len(hosted) == 1 and 'has not been run on one' in text


def test_every_cell_is_python_and_every_script_is_there():
    for cell in code_cells():
        source = ''.join(cell['source'])
        compile(source, 'cell', 'exec')
        assert max(map(len, source.split('\n'))) <= 100
        for line in source.split('\n'):
            if line.startswith('run('):
                assert os.path.exists(os.path.join(collection.ROOT, line.split("'")[1]))


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason='no weights of {} ship'.format(', '.join(MISSING)))
def test_the_tour_runs_from_top_to_bottom(monkeypatch):
    monkeypatch.chdir(collection.ROOT)
    names = {'__name__': '__main__'}
    shown = []
    for cell in code_cells():
        exec(compile(''.join(cell['source']), NOTEBOOK, 'exec'), names)
        if 'show' in names and not shown:   # what is shown is there
            names['display'] = shown.append
    try:
        assert len(shown) >= len(collection.NAMES) + 2
        assert all(len(str(one)) for one in shown)
        pictures = [one for one in shown if isinstance(one, str) and one.endswith('.png')]
        assert all(os.path.getsize(path) > 1000 for path in pictures)
    finally:
        shutil.rmtree(names['WORK'])

"""Tests of examples/tour.ipynb: its code cells run from top to bottom."""
import json
import os
import shutil

import pytest

from common import collection
from common.training import pretrained

NOTEBOOK = os.path.join(collection.ROOT, 'examples', 'tour.ipynb')
SHIPPED = [name for name in collection.NAMES if pretrained.available(
    os.path.join(collection.ROOT, name, pretrained.FOLDER))]
LEFT_OUT = 'no weights in {}/pretrained: the rest of this cell is left out'


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
        assert "if ships('{}'):".format(model.name) in text
    hosted = [cell for cell in code_cells() if 'hosted' in cell['metadata'].get('tags', ())]
    assert len(hosted) == 1 and 'has not been run on one' in text


def test_every_cell_is_python_and_every_script_is_there():
    scripts = 0
    for cell in code_cells():
        source = ''.join(cell['source'])
        compile(source, 'cell', 'exec')
        assert max(map(len, source.split('\n'))) <= 100
        for line in map(str.strip, source.split('\n')):
            if line.startswith('run('):
                assert os.path.exists(os.path.join(collection.ROOT, line.split("'")[1]))
                scripts += 1
    assert scripts > len(collection.NAMES)


@pytest.mark.slow
def test_the_tour_runs_from_top_to_bottom(monkeypatch, capsys):
    monkeypatch.chdir(collection.ROOT)
    names = {'__name__': '__main__'}
    shown = []
    for cell in code_cells():
        exec(compile(''.join(cell['source']), NOTEBOOK, 'exec'), names)
        if 'show' in names and not shown:   # what is shown is there
            names['display'] = shown.append
    try:
        said = capsys.readouterr().out
        for name in collection.NAMES:
            assert (LEFT_OUT.format(name) in said) == (name not in SHIPPED)
        pages = {'r2n2', 'cmr'} & set(SHIPPED)      # these two show a page besides a picture
        assert len(shown) == 1 + len(SHIPPED) + len(pages)
        pictures = [one for one in shown if isinstance(one, str) and one.endswith('.png')]
        assert all(os.path.getsize(path) > 1000 for path in pictures)
        assert sum('<iframe' in str(one) for one in shown) in (0, len(pages))
    finally:
        shutil.rmtree(names['WORK'])


@pytest.mark.slow
def test_a_notebook_service_runs_it_too(tmp_path):
    client = pytest.importorskip('nbclient')
    notebooks = pytest.importorskip('nbformat')
    pytest.importorskip('ipykernel')
    book = notebooks.read(NOTEBOOK, as_version=4)
    client.NotebookClient(book, timeout=1200, kernel_name='python3', resources={
        'metadata': {'path': collection.ROOT}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == 'code' for output in cell.outputs]
    pictures = [output for output in outputs if 'image/png' in output.get('data', {})]
    assert len(pictures) == 1 + len(SHIPPED)
    said = ''.join(output.text for output in outputs if output.output_type == 'stream')
    assert all((LEFT_OUT.format(name) in said) == (name not in SHIPPED)
               for name in collection.NAMES)
    notebooks.write(book, str(tmp_path / 'tour.ipynb'))

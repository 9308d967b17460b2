"""Every script of the project behaves alike; imports keep to the rules."""
import ast
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS = ('vsl', 'polygen', 'r2n2', 'imnet', 'cmr')
# Script, arguments with an option misspelt, arguments whose data is missing (None: takes no data).
SCRIPTS = [
    ('polygen/train.py', ['--trainin_steps=5'], ['--data_path=no/such/folder']),
    ('polygen/sample.py', ['--num_sample=5'], ['--output_path=no/such/folder']),
    ('polygen/evaluate.py', ['--num_sample=5'], ['--output_path=no/such/folder']),
    ('polygen/model_test.py', ['--sead=5'], None),
    ('r2n2/main.py', ['--evaluat'], ['--data_path=no/such/folder']),
    ('r2n2/demo.py', ['--treshold=0.4'], ['no/such/picture.png', '--output_path=no/such/folder']),
    ('r2n2/tools/make_dataset.py', ['--output=x', '--meshe=x'], None),
    ('imnet/IMGAN/main.py', ['--ae', '--real_sise=16'], ['--ae', '--data_dir=no/such/folder']),
    ('imnet/IMSVR/main.py', ['--imagge=x'], ['--data_dir=no/such/folder']),
    ('imnet/point_sampling/gather_vox.py', ['--input=x', '--output=y', '--worker=2'], None),
    ('cmr/train.py', ['--num_epoch=5'], ['--data_path=no/such/folder']),
    ('cmr/eval.py', ['--dataset=up-3d', '--log_frek=5'], ['--output_path=no/such/folder']),
    ('cmr/demo.py', ['--img=x.jpg', '--bboks=x'], ['--img=x.jpg', '--output_path=no/such/folder']),
    ('cmr/preprocess.py', ['--data_path=x', '--chek=1'], None),
    ('cmr/make_dataset.py', ['--output=x', '--num_trains=1'], None),
    ('cmr/make_template.py', ['--output=x', '--level=1'], None),
    ('cmr/src/utils/pth2ckpt.py', ['--pth-pat=x'], None),
    ('vsl/vsl_main.py', ['--kl_weigth=1'], ['--data_path=no/such/folder']),
    ('vsl/vsl_imrec.py', ['--data_path=x', '--gama=1'], ['--data_path=no/such/folder']),
    ('vsl/make_dataset.py', ['--output=x.mat', '--meshe=x'], None),
    ('vsl/mat2bin.py', ['--data_path=x', '--batchsize=1'], None),
    ('vsl/calculate_accuracy.py', ['--codes=x', '--label=1'], None),
    ('help_modelarts.py', ['data', '--data_url=x', '--modelarts_data_di=y'], None),
    ('freeze_graph.py', ['--model=polygen', '--out=x'],
     ['--model=polygen', '--output_path=no/such/folder'])]


def _run(script, arguments, folder):
    done = subprocess.run([sys.executable, os.path.join(ROOT, script)] + arguments,
                          cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _rows():
    """One script of each folder is quick: starting TensorFlow three times takes a while."""
    seen = set()
    for row in SCRIPTS:
        marks = pytest.mark.slow if row[0].split('/')[0] in seen else ()
        seen.add(row[0].split('/')[0])
        yield pytest.param(*row, marks=marks, id=row[0])


@pytest.mark.parametrize('script, misspelt, missing', _rows())
def test_script_helps_and_refuses_alike(script, misspelt, missing, tmp_path):
    code, out, _ = _run(script, misspelt[:-1] + ['--help'], tmp_path)
    assert code == 0 and '--debug' in out
    code, _, err = _run(script, misspelt, tmp_path)
    assert code == 2 and misspelt[-1].split('=')[0] in err
    if missing is not None:
        code, _, err = _run(script, missing + ['--device=cpu'], tmp_path)
        last = err.strip().split('\n')[-1]
        assert code == 1 and last.startswith('error: ') and 'no/such/folder' in last
    assert os.listdir(str(tmp_path)) in ([], ['no'])


@pytest.mark.slow
def test_smoke_test_passes(tmp_path):
    code, out, err = _run('polygen/model_test.py', [], tmp_path)
    assert code == 0 and out.count('ok  ') == 5, err


def _sources():
    for folder in MODELS + ('common', '.'):
        for place, folders, names in os.walk(os.path.join(ROOT, folder)):
            if folder == '.':
                folders[:] = []
            for name in names:
                if name.endswith('.py'):
                    path = os.path.join(place, name)
                    with open(path, encoding='utf-8') as stream:
                        yield os.path.relpath(path, ROOT), stream.read()


def _imported(text):
    """Names of the packages that a file imports, at any depth."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split('.')[0]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split('.')[0]


def test_models_import_neither_each_other_nor_tests_and_common_no_model():
    wrong = []
    for path, text in _sources():
        package = path.split(os.sep)[0]
        if package in MODELS + ('common',):
            strangers = set(MODELS) - {package} | {'tests'}
            wrong += [(path, name) for name in _imported(text) if name in strangers]
    assert wrong == []


@pytest.mark.parametrize('name, home', [('npu_bridge', 'common/device.py'),
                                        ('hccl', 'common/device.py'),
                                        ('horovod', 'common/device.py'),
                                        ('moxing', 'common/obs.py')])
def test_platform_packages_are_imported_in_one_file(name, home):
    pattern = re.compile(r'(import|from|_imported\(.)\s*{}\b'.format(name))
    assert [path for path, text in _sources() if pattern.search(text) and path != home] == []


def test_nothing_dangerous_or_old_is_used():
    pattern = re.compile(r'os\.system\(|shell=True|except:\s*$|pickle\.load\(|yaml\.load\(|'
                         r'tf\.contrib|tf\.layers', re.MULTILINE)
    assert [path for path, text in _sources() if pattern.search(text)] == []


@pytest.mark.parametrize('name', ['README.md', 'README_CN.md', 'polygen/README.md',
                                  'polygen/README_CN.md'])
def test_no_placeholder_is_left_in_a_readme(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as stream:
        assert re.findall(r'@[A-Z_]+@', stream.read()) == []

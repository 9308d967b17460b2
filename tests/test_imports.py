"""What may be imported where, in every Python file of the project.

Models know `common` and themselves; `common` knows no model; the packages of platforms are known to
one file each.
"""
import ast
import functools
import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODELS = ('vsl', 'polygen', 'r2n2', 'imnet', 'cmr')
PLATFORMS = {'npu_bridge': ['common/device/__init__.py'], 'horovod': ['common/device/__init__.py'],
             'moxing': ['common/modelarts/obs.py'], 'hccl': []}    # npu_bridge has its own
# `python -m common.npu_lint --all` opens <model>.freeze by the model's name.
BY_NAME = {'common/npu_survey.py': {''}}
_IMPORTERS = ('import_module', '__import__', '_imported')


@functools.lru_cache(None)
def _texts():
    found = {}
    for place, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith('.') and name != 'output']
        for name in names:
            if name.endswith('.py'):
                path = os.path.join(place, name)
                with open(path, encoding='utf-8') as stream:
                    found[os.path.relpath(path, ROOT)] = stream.read()
    return found


def sources(*folders):
    """(path from the root, text) of the Python files in folders of the root; none: of all."""
    starts = tuple(folder + '/' for folder in folders) or ''
    return [(path, text) for path, text in sorted(_texts().items()) if path.startswith(starts)]


@functools.lru_cache(None)
def imported(text):
    """Packages that a file imports at any depth of its code, by statement or by name."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add('.' if node.level else node.module)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, 'attr', getattr(node.func, 'id', None))
            if called in _IMPORTERS:
                found.update(part.s for part in ast.walk(node.args[0]) if isinstance(part, ast.Str))
    return {name.split('.')[0] for name in found}


@pytest.mark.parametrize('text, names', [
    ('import vsl.vsl', {'vsl'}), ('def f():\n  from imnet.IMSVR import photos', {'imnet'}),
    ('importlib.import_module("r2n2.freeze")', {'r2n2'}), ('__import__("moxing")', {'moxing'}),
    ('_imported("horovod" + ".tensorflow")', {'horovod', ''}), ('from . import a', {''}),
    ('# import vsl\nname = "import vsl"', set())])
def test_imports_are_found(text, names):
    assert imported(text) == names


@pytest.mark.parametrize('package', MODELS + ('common',))
def test_models_import_neither_each_other_nor_tests_and_common_no_model(package):
    strangers = set(MODELS) - {package} | {'tests', 'examples', 'freeze_graph', 'boot_modelarts',
                                           'help_modelarts', ''}
    found = {path: imported(text) & strangers for path, text in sources(package)}
    wrong = {path: names for path, names in found.items() if names - BY_NAME.get(path, set())}
    assert len(found) > 5 and wrong == {}


def test_tests_of_a_model_import_no_other_model():
    for model in MODELS:
        others = set(MODELS) - {model}
        assert [path for path, text in sources('tests/' + model) if imported(text) & others] == []


@pytest.mark.parametrize('name', sorted(PLATFORMS))
def test_a_platforms_package_is_imported_in_one_file(name):
    stand_ins = os.path.join('tests', 'common', 'fake_')
    found = [path for path, text in sources()
             if name in imported(text) and not path.startswith(stand_ins)]
    assert found == PLATFORMS[name]


def test_nothing_dangerous_or_old_is_used():
    pattern = re.compile(r'os\.system\(|shell=True|except:\s*$|pickle\.load\(|yaml\.load\(|'
                         r'tf\.contrib|tf\.layers', re.MULTILINE)
    assert [path for path, text in sources(*MODELS, 'common', 'examples')
            if pattern.search(text)] == []

"""What may be imported where, in every Python file of the project.

`ALLOWED` is the plan of the house: a room of `common`, and which other rooms it may import. Models
know `common` below its roof, and themselves; packages of platforms are known to one file each.
"""
import ast
import functools
import os
import re
import subprocess
import sys

import pytest

from common import collection

ROOT = collection.ROOT
FLOOR_0 = {'base'}                                      # choices, errors, files, redact
FLOOR_1 = {'cli', 'readers', 'geometry', 'ops'}
FLOOR_2 = {'device', 'frozen', 'pages'}
FLOOR_3 = {'training', 'modelarts'}
COMMON = FLOOR_0 | FLOOR_1 | FLOOR_2 | FLOOR_3
ALLOWED = {
    'base': set(),
    'cli': FLOOR_0,
    'readers': FLOOR_0,
    'geometry': FLOOR_0 | {'readers'},
    'ops': FLOOR_0,
    'device': FLOOR_0 | FLOOR_1,
    'frozen': FLOOR_0 | FLOOR_1 | {'device'},
    'pages': FLOOR_0 | FLOOR_1,
    'training': FLOOR_0 | FLOOR_1 | FLOOR_2,
    'modelarts': FLOOR_0 | FLOOR_1 | {'device'},
    'model': COMMON,
    'examples': COMMON | {'model'},
    'roof': COMMON | {'model'},     # boot, freeze and the commands of common
    'tests': COMMON | {'model', 'roof', 'examples'},
}
WITHOUT_TENSORFLOW = ('base', 'cli', 'readers', 'geometry', 'pages')
PLATFORMS = {'npu_bridge': ['common/device/npu.py'], 'horovod': ['common/device/ranks.py'],
             'moxing': ['common/modelarts/storage.py'], 'acl': ['common/frozen/om.py'],
             'hccl': []}    # npu_bridge has its own
# Taking seconds to import, they would make every --help wait.
SLOW = ('tensorflow', 'scipy', 'matplotlib', 'trimesh', 'skimage', 'sklearn', 'sonnet')
_IMPORTERS = ('import_module', '__import__', '_import')
_BASE = ('__init__', 'choices', 'errors', 'files', 'redact')


@functools.lru_cache(None)
def _texts():
    texts = {}
    for place, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith('.') and name != 'output']
        for name in names:
            if name.endswith('.py'):
                path = os.path.join(place, name)
                with open(path, encoding='utf-8') as stream:
                    texts[os.path.relpath(path, ROOT)] = stream.read()
    return texts


def sources(*folders):
    """(path from the root, text) of the Python files in folders of the root; none: of all."""
    starts = tuple(folder + '/' for folder in folders) or ''
    return [(path, text) for path, text in sorted(_texts().items()) if path.startswith(starts)]


def room_of(path):
    """Room of a Python file, a key of `ALLOWED`."""
    parts = path[:-len('.py')].split('/')
    if parts[0] in collection.NAMES:
        return 'model'
    if parts[0] in ('tests', 'examples'):
        return parts[0]
    if parts[0] != 'common' or parts[-1] == '__main__':
        return 'roof'
    if len(parts) > 2:
        return parts[1]
    return 'base' if parts[1] in _BASE else 'cli' if parts[1] == 'cli' else 'roof'


def _strings(node):
    """Texts in an expression; ast.Str until Python 3.7, ast.Constant from 3.8 on."""
    values = [getattr(part, 'value', getattr(part, 's', None)) for part in ast.walk(node)]
    return [value for value in values if isinstance(value, str)]


@functools.lru_cache(None)
def imported(text):
    """Names that a file imports at any depth of its code, by statement or by name."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update('.' if node.level else '{}.{}'.format(node.module, alias.name)
                         for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, 'attr', getattr(node.func, 'id', None))
            if called in _IMPORTERS:
                names.update(_strings(node.args[0]))
    return names


def packages(text):
    """First parts of what a file imports."""
    return {name.split('.')[0] for name in imported(text)}


def ours(text):
    """Paths of this project's files that a file imports."""
    paths = set()
    for name in imported(text):
        stem = name.replace('.', '/')
        for path in (stem + '.py', stem + '/__init__.py', os.path.dirname(stem) + '.py',
                     os.path.dirname(stem) + '/__init__.py'):
            if path in _texts():
                paths.add(path)
                break
    return paths


@pytest.mark.parametrize('text, names', [
    ('import vsl.vsl', {'vsl'}), ('def f():\n  from imnet.IMSVR import photos', {'imnet'}),
    ('importlib.import_module("r2n2.freeze")', {'r2n2'}), ('__import__("moxing")', {'moxing'}),
    ('_import("horovod" + ".tensorflow")', {'horovod', ''}), ('from . import a', {''}),
    ('# import vsl\nname = "import vsl"', set())])
def test_imports_are_found(text, names):
    assert packages(text) == names


@pytest.mark.parametrize('text, paths', [
    ('from common.frozen import graph', {'common/frozen/graph.py'}),
    ('from common import cli, frozen', {'common/cli.py', 'common/frozen/__init__.py'}),
    ('from common.errors import InputError', {'common/errors.py'}),
    ('import common', {'common/__init__.py'}), ('import numpy as np', set())])
def test_files_of_the_project_are_found(text, paths):
    assert ours(text) == paths


@pytest.mark.parametrize('room', sorted(ALLOWED))
def test_a_room_imports_what_the_plan_allows(room):
    wrong = {}
    for path, text in sources():
        if room_of(path) == room:
            strangers = {other for other in ours(text)
                         if room_of(other) not in ALLOWED[room] | {room}
                         or room == room_of(other) == 'model'
                         and other.split('/')[0] != path.split('/')[0]}
            if strangers or '' in packages(text):
                wrong[path] = strangers
    assert wrong == {}


def test_no_files_import_each_other_in_a_circle():
    below = {path: sorted(ours(text) - {path}) for path, text in sources()}
    done, circles = set(), []

    def visit(path, way):
        if path in way:
            circles.append(way[way.index(path):] + [path])
        elif path not in done:
            for other in below[path]:
                visit(other, way + [path])
            done.add(path)

    for path in below:
        visit(path, [])
    assert circles == []


def test_tests_of_a_model_import_no_other_model():
    for model in collection.NAMES:
        others = set(collection.NAMES) - {model}
        assert [path for path, text in sources('tests/' + model) if packages(text) & others] == []


def test_rooms_without_tensorflow():
    assert [path for path, text in sources('common')
            if room_of(path) in WITHOUT_TENSORFLOW and 'tensorflow' in packages(text)] == []


@pytest.mark.parametrize('name', sorted(PLATFORMS))
def test_a_platforms_package_is_imported_in_one_file(name):
    stand_ins = os.path.join('tests', 'common', 'fake_')
    paths = [path for path, text in sources()
             if name in packages(text) and not path.startswith(stand_ins)]
    assert paths == PLATFORMS[name]


def test_nothing_dangerous_or_old_is_used():
    pattern = re.compile(r'os\.system\(|shell=True|except:\s*$|pickle\.load\(|yaml\.load\(|'
                         r'tf\.contrib|tf\.layers', re.MULTILINE)
    assert [path for path, text in sources(*collection.NAMES, 'common', 'examples')
            if pattern.search(text)] == []


def scripts():
    """Modules of all scripts and commands of a user."""
    for path, text in sources():
        if room_of(path) not in ('tests', 'base') and "if __name__ == '__main__':" in text:
            yield path[:-len('.py')].replace('/', '.')


def test_reading_options_imports_nothing_slow():
    """--help of every script answers at once: what is slow is imported after the options."""
    program = '''
import importlib, io, contextlib, sys
slow = {}
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for arguments in (['--help'], ['--no_such_option']):
            try:
                getattr(module, 'main')(arguments)
            except SystemExit:
                pass
    there = sorted(set(%r) & set(sys.modules))
    if there:
        slow[name] = there
        break
print(slow)
''' % (SLOW,)
    done = subprocess.run([sys.executable, '-c', program] + sorted(scripts()), cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.returncode, done.stdout.strip()) == (0, '{}'), done.stdout + done.stderr

"""Fuzzing: every reader of files from outside is in it, and a few files of each kind go through."""
import ast
import os
import re
import time

import pytest

from common.readers import arrays
from tests import fuzz, fuzz_readers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Functions of common/readers that read a file, and the fuzzed reader that they are part of.
_COVERED = {
    'arrays.read': 'npy', 'arrays.read_header': 'npy', 'arrays.read_archive': 'npz',
    'hdf5.read': 'hdf5', 'hdf5.read_all': 'hdf5', 'hdf5.open_file': 'hdf5_rows',
    'matlab.read': 'mat', 'matlab.read_all': 'mat', 'pickles.read': 'pickle',
    'pickles.load': 'pickle', 'pictures.read': 'picture', 'text.read': 'lines',
    'text.read_lines': 'lines', 'text.read_json_rows': 'metrics', 'text.read_json': 'json',
    'text.read_yaml': 'yaml', 'torch_file.read': 'torch'}
_READING = ('read', 'load', 'open_file')
# Calls by which code outside of common/readers reads a file: of our readers, and of libraries.
_OURS = re.compile(r'common\.(readers\.(?!child|folders)\w+'
                   r'\.(read\w*|load|open_file|content|opened|regular|look)'
                   r'|geometry\.(meshes\.read\w*|voxel_grids\.read_binvox))')
_LIBRARIES = re.compile(
    r'open|numpy\.(load|loadtxt|fromfile|genfromtxt|memmap)|json\.load|pickle\.loads?|h5py\.File'
    r'|(cv2\.(imread|VideoCapture))|(trimesh|yaml|csv)\.\w*(load|reader)\w*|PIL\.Image\.open'
    r'|scipy\.io\.\w+|cdflib\.CDF|mmap\.mmap|.*\.(ParseFromString|get_checkpoint_state'
    r'|NewCheckpointReader|latest_checkpoint)|google\.protobuf\.text_format\.\w+|.*\.read_(bytes|text)')


def _sites():
    """{'file:function'} of all calls that read a file, but those of common/readers themselves."""
    sites = set()
    for place, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not name.startswith('.') and os.path.relpath(
            os.path.join(place, name), ROOT) not in ('tests', 'docs', 'common/readers')]
        for name in names:
            if name.endswith('.py'):
                path = os.path.join(place, name)
                with open(path, encoding='utf-8') as stream:
                    tree = ast.parse(stream.read())
                sites.update('{}:{}'.format(os.path.relpath(path, ROOT), function)
                             for function in _reading(tree))
    return sites


def _reading(tree):
    """Names of the outermost functions and classes of a module in which a file is read."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            base = node.module + '.' if isinstance(node, ast.ImportFrom) else ''
            for alias in node.names:
                known[alias.asname or alias.name.split('.')[0]] = base + alias.name
    for outer in tree.body:
        for node in ast.walk(outer):
            if isinstance(node, ast.Call) and _reads(node, known):
                yield getattr(outer, 'name', '')


def _reads(call, known):
    parts, function = [], call.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return False
    name = '.'.join([known.get(function.id, function.id)] + parts[::-1])
    if name in ('open', 'h5py.File'):
        return not call.args[1:] or not set('wax') & set(ast.literal_eval(call.args[1]))
    return bool(_OURS.fullmatch(name) or _LIBRARIES.fullmatch(name))


def test_every_place_that_reads_a_file_is_fuzzed():
    assert _sites() == set(fuzz_readers.SITES)
    named = {reader for readers in fuzz_readers.SITES.values() if not readers.startswith('- ')
             for reader in readers.split()}
    assert named <= set(fuzz.READERS)
    assert set(fuzz_readers.READERS) <= named


def test_every_reader_is_fuzzed():
    readers = set()
    folder = os.path.join(ROOT, 'common', 'readers')
    for name in os.listdir(folder):
        if name.endswith('.py'):
            with open(os.path.join(folder, name), encoding='utf-8') as stream:
                tree = ast.parse(stream.read())
            readers.update('{}.{}'.format(name[:-3], node.name) for node in tree.body
                         if isinstance(node, ast.FunctionDef) and node.name.startswith(_READING))
    assert readers == set(_COVERED) and set(_COVERED.values()) <= set(fuzz.READERS)


@pytest.mark.parametrize('reader', sorted(fuzz.READERS))
def test_what_each_reader_begins_with_is_read(reader, tmp_path):
    fuzz.child.start()
    folder = tmp_path / reader
    folder.mkdir()
    fuzz.READERS[reader].seeds(str(folder))
    names = sorted(os.listdir(str(folder)))
    contents = [(folder / name).read_bytes() for name in names]
    outcomes = dict(zip(names, fuzz.outcomes(reader, contents, str(tmp_path))))
    # Odd files are among them on purpose, so that the mutation begins with those too.
    assert 'value' in outcomes.values() and set(outcomes.values()) <= {'value', 'refused'}
    if reader == 'npy':     # arrays of numbers alone
        assert {name for name in names if outcomes[name] == 'refused'} == {'names.npy', 'bytes.npy'}


@pytest.mark.parametrize('reader', sorted(fuzz.READERS))
def test_damaged_files_are_values_or_one_line(reader):
    counts, findings = fuzz.fuzz(reader, 40)
    assert findings == [] and sum(counts.values()) == 40


@pytest.mark.slow
@pytest.mark.parametrize('reader', sorted(fuzz.READERS))
def test_many_damaged_files_are_values_or_one_line(reader):
    assert fuzz.fuzz(reader, 2000, seed=7)[1] == []


def _crash(path):
    os.kill(os.getpid(), 9)


def _long(path):
    raise fuzz.errors.InputError(path + ' ')


def _forever(path):
    while True:
        pass


def _no_name(path):
    raise fuzz.errors.InputError('something is wrong')


def _raises(path):
    raise KeyError('x')


def _ends(path):
    os._exit(3)


def _leaves_a_process(path):
    if not os.fork():
        time.sleep(50)
        os._exit(0)
    os.kill(os.getpid(), 9)


@pytest.mark.parametrize('function, finding', [
    (_ends, 'ended by itself, with exit code 3'), (_leaves_a_process, 'ended by signal 9'),
    (_crash, 'ended by signal 9'), (_no_name, 'names no file'), (_raises, "KeyError: 'x'"),
    (_forever, 'ended by signal 27'), (_long, None), (arrays.read, None)])
def test_findings_are_found(function, finding, monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz, '_SECONDS', 0.3)
    monkeypatch.setitem(fuzz.READERS, 'npy', fuzz.READERS['npy']._replace(read=function))
    began = time.time()
    outcomes = list(fuzz.outcomes('npy', [b'x', b'y'], str(tmp_path)))
    assert time.time() - began < 40
    assert len(outcomes) == 2
    assert all(finding in one if finding else one == 'refused' for one in outcomes)


def _says(path):
    os.write(2, b'libx: a warning')
    raise fuzz.errors.InputError(path + ' is damaged')


def test_what_a_library_says_itself_is_a_finding_where_that_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.setitem(fuzz.READERS, 'npy', fuzz.READERS['npy']._replace(read=_says))
    finding = 'finding: beside its line a library says: libx: a warning'
    assert list(fuzz.outcomes('npy', [b'x', b'y'], str(tmp_path), is_strict=True)) == 2 * [finding]
    assert list(fuzz.outcomes('npy', [b'x'], str(tmp_path))) == ['refused']

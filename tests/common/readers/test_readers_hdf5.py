"""HDF5 and MATLAB files from outside, and the child processes that read them."""
import glob
import json
import multiprocessing
import os
import resource
import struct
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
import scipy.io

from common import errors
from common.readers import arrays, child, hdf5, matlab

CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'field_cases')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(CASES)))


def _refused(function, path, match=None):
    with pytest.raises(errors.InputError, match=match) as caught:
        function(path)
    assert len(str(caught.value)) <= 290 and os.path.basename(path) in str(caught.value)


def _write(path, **datasets):
    with h5py.File(path, 'w') as stream:
        for name, value in datasets.items():
            stream[name] = value
    return path


def test_datasets_are_what_was_saved(tmp_path):
    path = str(tmp_path / 'a.h5')
    with h5py.File(path, 'w') as stream:
        stream['a'] = np.arange(6, dtype='>f4').reshape(2, 3)
        stream['scalar'], stream['bytes'], stream['empty'] = 3, np.array([b'x', b'yz']), np.zeros(0)
        stream.create_dataset('text', data=np.array([b'one', 'dé'.encode()], object),
                              dtype=h5py.special_dtype(vlen=str))
        stream['inner/deep'] = np.ones(2, np.uint8)
        stream['nothing'] = h5py.Empty('f4')
        stream.create_dataset('reference', (2,), h5py.special_dtype(ref=h5py.Reference))
    actual = hdf5.read(path)
    assert sorted(actual) == ['a', 'bytes', 'empty', 'scalar', 'text']
    assert actual['a'].dtype == '>f4' and actual['a'].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert actual['text'].tolist() == ['one', 'dé'] and actual['scalar'] == 3
    assert hdf5.read(path, ['inner/deep', 'z'])['inner/deep'].tolist() == [1, 1]
    with pytest.raises(errors.InputError, match='takes 24 bytes, more than the 20 bytes'):
        hdf5.read(path, ['a'], most=20)


def test_a_file_is_opened_and_read_piece_by_piece(tmp_path):
    path = _write(str(tmp_path / 'a.h5'), a=np.arange(6).reshape(2, 3), names=np.array([b'x']))
    with hdf5.open_file(path) as stream:
        data = hdf5.dataset(stream, path, 'a', kinds='iu')
        assert hdf5.values(data, 1, path).tolist() == [3, 4, 5]
        assert hdf5.values(data, (slice(None), 2), path).tolist() == [2, 5]
        with pytest.raises(errors.InputError, match='a.h5: a takes 24 bytes'):
            hdf5.values(data, 0, path, most=20)
        with pytest.raises(errors.InputError, match=r'has no dataset "b" \(found: a, names\)'):
            hdf5.dataset(stream, path, 'b')
        with pytest.raises(errors.InputError, match='"names" holds .* expected numbers'):
            hdf5.dataset(stream, path, 'names')


def _low(path, name, shape, prepare):
    """A dataset with properties that h5py's own functions do not set."""
    with h5py.File(path, 'w') as stream:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        prepare(plist)
        h5py.h5d.create(stream.id, name, h5py.h5t.STD_U8LE, h5py.h5s.create_simple(shape), plist)
    return path


def test_files_that_refer_to_others_are_refused(tmp_path):
    secret = _write(str(tmp_path / 'secret.h5'), a=np.arange(3))
    (tmp_path / 'words').write_bytes(b'password')
    external = _low(str(tmp_path / 'external.h5'), b'a', (8,), lambda plist: plist.set_external(
        str(tmp_path / 'words').encode(), 0, 8))
    link, soft, virtual = [str(tmp_path / name) for name in ('link.h5', 'soft.h5', 'virtual.h5')]
    with h5py.File(link, 'w') as stream:
        stream['inner/a'] = h5py.ExternalLink('secret.h5', '/a')
    with h5py.File(soft, 'w') as stream:
        stream['there'] = h5py.ExternalLink(str(tmp_path / 'pipe'), '/a')
        stream['a'] = h5py.SoftLink('/there')
    os.mkfifo(str(tmp_path / 'pipe'))
    with h5py.File(virtual, 'w', libver='latest') as stream:
        layout = h5py.VirtualLayout(shape=(3,), dtype=int)
        layout[:] = h5py.VirtualSource(secret, 'a', shape=(3,))
        stream.create_virtual_dataset('a', layout)
    for path, match in ((external, '"a" lies in other files'), (virtual, '"a" lies in other files'),
                        (link, r'"a" is a link to another file \(secret.h5\)'),
                        (soft, '"there" is a link to another file')):
        for read in (hdf5.read, hdf5.open_file, matlab.read):
            _refused(read, path, match)


def test_files_that_ask_for_too_much_are_refused(tmp_path):
    large = str(tmp_path / 'large.h5')
    with h5py.File(large, 'w') as stream:
        stream.create_dataset('a', (7 << 30,), np.uint8, chunks=(1 << 20,), compression='gzip')
    chunk = str(tmp_path / 'chunk.h5')
    with h5py.File(chunk, 'w') as stream:
        stream.create_dataset('a', (1 << 31,), np.uint8, chunks=(1 << 30,))
    _refused(hdf5.read, large, 'takes 7 GiB, more than the 512 MiB')
    _refused(hdf5.read, chunk, 'chunks of 1 GiB')
    _refused(hdf5.open_file, chunk, 'chunks of 1 GiB')
    with hdf5.open_file(large) as stream:      # its rows may be read
        assert hdf5.values(stream['a'], slice(5, 8), large).tolist() == [0, 0, 0]
        _refused(lambda path: hdf5.values(stream['a'], slice(None), path), large, 'takes 7 GiB')


def test_chunks_that_are_not_there_are_counted(tmp_path):
    path, few = str(tmp_path / 'many.h5'), str(tmp_path / 'few.h5')
    with h5py.File(path, 'w') as stream:    # of a few kB; reading it took 1.6 GiB and 14 s
        stream.create_dataset('a', (20, 8, 524296), np.uint8, chunks=(2, 8, 8))
        stream.create_dataset('b', (4, 10), np.uint8, chunks=(2, 3))
        stream['whole'] = np.zeros([4, 10], np.uint8)
        assert hdf5.count_chunks(stream['a']) == 10 * 65537
        for name, place, expected in (
                ('whole', (), 1), ('b', (), 8), ('b', (slice(1, 3),), 8), ('b', (3,), 4),
                ('b', (slice(2, 4), 9), 1), ('b', (slice(None), slice(2, 4)), 4),
                ('b', (slice(2, 2),), 0)):
            assert hdf5.count_chunks(stream[name], place) == expected
    _refused(hdf5.open_file, path, '"a" lies in 655370 chunks, more than the 100')
    _refused(hdf5.read, path, '"a" lies in 655370 chunks')
    assert list(hdf5.read(path, ['b'])) == ['b']
    with h5py.File(few, 'w') as stream:
        stream.create_dataset('a', (101, 1000), np.uint8, chunks=(1, 1))
        stream['padding'] = np.zeros(4 << 20, np.uint8)     # so it may have so many
    with hdf5.open_file(few) as stream:
        data = hdf5.dataset(stream, few, 'a')
        assert not hdf5.values(data, slice(0, 20), few).any()
        _refused(lambda path: hdf5.values(data, slice(None), path), few, 'lies in 101000 chunks')


def _with_long_text(path, write):
    """Writes a text of variable length to a file, and has the file say that it has 2 GiB."""
    with h5py.File(path, 'w') as stream:
        write(stream, h5py.special_dtype(vlen=str))
    with open(path, 'rb') as stream:
        content = stream.read()
    size = struct.pack('<I', 23)
    places = [place for place in range(len(content)) if content[place:place + 4] == size]
    assert places
    for place in places:
        content = content[:place] + struct.pack('<I', 0x7ffffff0) + content[place + 4:]
    with open(path, 'wb') as stream:
        stream.write(content)
    return path


def test_text_that_says_to_take_all_memory_is_refused(tmp_path):
    words = 'twenty-three characters'
    assert len(words) == 23
    dataset = _with_long_text(str(tmp_path / 'a.h5'), lambda stream, kind: stream.create_dataset(
        'text', data=np.array([words], object), dtype=kind))
    attribute = _with_long_text(str(tmp_path / 'b.h5'), lambda stream, kind: stream.attrs.create(
        'class_names', np.array([words], object), dtype=kind))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refused(hdf5.open_file, dataset)
    _refused(hdf5.read, dataset)
    _refused(hdf5.open_file, attribute)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19    # KiB


def test_more_text_than_was_looked_at_is_no_dataset(tmp_path):
    path = str(tmp_path / 'a.h5')
    with h5py.File(path, 'w') as stream:
        stream.create_dataset('text', (4 << 20,), h5py.special_dtype(vlen=str), chunks=(1 << 16,))
    with hdf5.open_file(path) as stream:
        with pytest.raises(errors.InputError, match='a.h5: text takes .* more than the 16 MiB'):
            hdf5.dataset(stream, path, 'text', kinds='O')


def test_filters_that_load_libraries_are_refused(tmp_path):
    path = _low(str(tmp_path / 'a.h5'), b'a', (8,), lambda plist: (
        plist.set_chunk((8,)), plist.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, ())))
    _refused(hdf5.open_file, path, 'the filter 32008')


@pytest.mark.parametrize('path', sorted(
    path for ending in ('h5', 'hdf5', 'mat')
    for path in glob.glob(os.path.join(CASES, 'damaged', '*.' + ending))), ids=os.path.basename)
def test_damaged_files_of_the_field_are_refused(path):
    _refused(matlab.read if path.endswith('.mat') else hdf5.read, path)
    if not os.path.basename(path).startswith(('hsp', 'lsp')):
        _refused(hdf5.open_file, path)


def test_missing_and_wrong_files_are_refused(tmp_path):
    (tmp_path / 'a.h5').write_bytes(b'version https://git-lfs.github.com/spec/v1\n')
    (tmp_path / 'b.h5').write_bytes(b'hello')
    for name, match in (('a.h5', 'git lfs pull'), ('b.h5', 'as an HDF5 file'),
                        ('c.h5', 'no such file'), ('.', 'no regular file')):
        for read in (hdf5.read, hdf5.open_file):
            with pytest.raises(errors.InputError, match=match):
                read(str(tmp_path / name))


@pytest.mark.parametrize('options', [{}, {'do_compression': True}, {'format': '4'}], ids=str)
def test_matlabs_older_files_are_read(tmp_path, options):
    path = str(tmp_path / 'a.mat')
    values = {'b': np.arange(6.).reshape(2, 3), 'bi': np.array([[1, 2]], np.uint16),
              'name': 'text'}
    if not options.get('format'):
        values.update(cells=np.array([[1, 'x']], object), inner={'a': 1})
    scipy.io.savemat(path, values, **options)
    actual = matlab.read(path)
    assert sorted(actual) == ['b', 'bi', 'name'] and not matlab.is_hdf5(path)
    np.testing.assert_array_equal(actual['b'], values['b'])
    np.testing.assert_array_equal(actual['bi'], [[1, 2]])
    assert actual['name'].tolist() == ['text']
    assert list(matlab.read(path, ['bi', 'z'])) == ['bi']
    with pytest.raises(errors.InputError, match='more than the 8 bytes'):
        matlab.read(path, ['b'], most=8)


def test_zeros_are_no_file_of_matlabs_fourth_version(tmp_path):
    path = str(tmp_path / 'a.mat')
    with open(path, 'wb') as stream:
        stream.truncate(1 << 36)    # takes no room; SciPy would look for arrays to its end
    began = time.time()
    _refused(matlab.read, path, 'no header of an array at byte 0')
    scipy.io.savemat(path, {'a': np.ones(3)}, format='4')
    assert matlab.read(path)['a'].shape == (1, 3)
    with open(path, 'r+b') as stream:
        stream.truncate(1 << 26)
    _refused(matlab.read, path, 'no header of an array at byte 46')     # 20, "a" and NUL, 3 values
    assert time.time() - began < 5


def test_matlabs_newer_files_have_the_axes_of_the_older(tmp_path):
    path = str(tmp_path / 'a.mat')
    with h5py.File(path, 'w', userblock_size=512) as stream:
        stream['joints'] = np.arange(6.).reshape(3, 2)
    with open(path, 'r+b') as stream:
        stream.write(b'MATLAB 7.3 MAT-file')
    assert matlab.is_hdf5(path)
    assert matlab.read(path)['joints'].tolist() == [[0, 2, 4], [1, 3, 5]]


# What the tests below run in children.
def crash(path, request):
    """Ends the child as a library that crashes does."""
    os.abort()


def hang(path, request):
    """Never ends."""
    while True:
        pass


def sleep(path, request):
    """Never ends, without computing."""
    time.sleep(1000)


def greedy(path, request):
    """Asks for more memory than a child may have."""
    return {}, {'a': np.ones(3 << 30, np.uint8)}


def own(path, request):
    """Tells what the child is."""
    return {'process': os.getpid(), 'request': request}, {'a': np.arange(3), 'b': np.array('x')}


def _run(function, path, **options):
    return child.run(function, 'numpy', path, {'x': 1}, 'a test', **options)


def test_what_ends_or_stops_the_child_is_one_line(tmp_path):
    path = str(tmp_path / 'a.bin')
    open(path, 'wb').close()
    for function, match in ((crash, 'it is damaged'), (hang, 'it is damaged'),
                            (sleep, 'it is damaged'), (greedy, 'Unable to allocate|MemoryError')):
        began = time.time()
        with pytest.raises(errors.InputError, match='a.bin cannot be read as a test: ' + match):
            _run(function, path, seconds=0.5)
        assert time.time() - began < 30
    info, values = _run(own, path)
    assert info['process'] != os.getpid() and info['request'] == {'x': 1}
    assert values['a'].tolist() == [0, 1, 2] and values['b'].shape == ()


def test_a_server_that_was_ended_is_started_again(tmp_path):
    path = str(tmp_path / 'a.bin')
    open(path, 'wb').close()
    _run(own, path)
    first = child._server['process']
    first.kill()
    first.wait()
    assert _run(own, path)[1]['a'].tolist() == [0, 1, 2]
    assert child._server['process'] is not first


def test_threads_and_forked_processes_share_the_server(tmp_path):
    path = _write(str(tmp_path / 'a.h5'), a=np.arange(100000))
    actual = []
    threads = [threading.Thread(target=lambda: actual.append(hdf5.read(path)['a'].sum()))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with multiprocessing.get_context('fork').Pool(2) as pool:
        actual += pool.map(_sum, [path] * 6)
    assert actual == [np.arange(100000).sum()] * 10


def _sum(path):
    return hdf5.read(path)['a'].sum()


def test_without_fork_files_are_read_directly(tmp_path, monkeypatch):
    path = _write(str(tmp_path / 'a.h5'), a=np.arange(3))
    monkeypatch.setattr(child, '_server', {})
    monkeypatch.delattr(os, 'fork')
    assert hdf5.read(path)['a'].tolist() == [0, 1, 2]
    with hdf5.open_file(path) as stream:
        assert stream['a'][1] == 1


def test_nothing_is_left_behind(tmp_path):
    path = _write(str(tmp_path / 'a.h5'), a=np.arange(3))
    program = ('import sys; from common.readers import child, hdf5; hdf5.read(sys.argv[1])\n'
               'print(child._server["process"].pid, "h5py" in sys.modules)')
    number, loaded = subprocess.check_output([sys.executable, '-c', program, path],
                                             cwd=ROOT).decode().split()
    assert loaded == 'False'
    for _ in range(100):
        if not os.path.exists('/proc/{}'.format(number)):
            return
        time.sleep(0.1)
    raise AssertionError('the server goes on')


def note_and_hang(path, request):
    """Writes the number of its process into the file, and never ends."""
    with open(path, 'w') as stream:
        stream.write(str(os.getpid()))
    hang(path, request)


def test_a_child_ends_with_the_process_that_asked(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'')
    program = ('import sys; from common.readers import child; from {0} import note_and_hang\n'
               'child.run(note_and_hang, "numpy", sys.argv[1], {{}}, "a test", seconds=600)'.format(
                   __name__))
    asking = subprocess.Popen([sys.executable, '-c', program, str(path)], cwd=ROOT)
    for _ in range(600):
        if path.read_text():
            break
        time.sleep(0.1)
    place = '/proc/{}'.format(path.read_text())
    assert os.path.exists(place)
    asking.kill()
    asking.wait()
    for _ in range(100):
        if not os.path.exists(place):
            return
        time.sleep(0.1)
    raise AssertionError('the child goes on')


def test_holes_of_a_file_buy_no_time(tmp_path):
    with open(str(tmp_path / 'a.bin'), 'wb') as stream:
        stream.truncate(1 << 36)
    assert child._stored(str(tmp_path / 'a.bin')) < 1 << 20
    (tmp_path / 'b.bin').write_bytes(b'x' * 300000)
    assert 299000 < child._stored(str(tmp_path / 'b.bin')) <= 300000


def test_dtypes_that_a_child_may_send_are_plain():
    for text in ('|O', '<V8', [('a', '<f4')], '<M8[s]', '', None, '<f0', '<i3'):
        with pytest.raises(ValueError):
            arrays.plain_dtype(text)
    assert json.dumps(arrays.plain_dtype('<f4').str) == '"<f4"'


def _rows():
    return np.random.RandomState(0).randint(0, 256, [12, 50000]).astype(np.uint8)


@pytest.mark.parametrize('compression', [None, 'gzip'])
def test_what_is_written_is_read_back(tmp_path, compression):
    path, rows = str(tmp_path / 'a.hdf5'), _rows()
    with hdf5.writing(path) as writer:
        data = writer.file.create_dataset('rows', rows.shape, np.uint8, chunks=(1, rows.shape[1]),
                                          compression=compression)
        for number in (3, 0, 11, 5):
            data[number] = rows[number]
            writer.check()
        writer.file.attrs['note'] = 'of four rows'
        np.testing.assert_array_equal(data[5], rows[5])
    with h5py.File(path, 'r') as stream:
        assert stream.attrs['note'] == 'of four rows'
        for number in range(12):
            np.testing.assert_array_equal(stream['rows'][number], rows[number]
                                          if number in (3, 0, 11, 5) else 0 * rows[number])


FULL = '''
import resource, signal, sys
from common import errors
from common.readers import hdf5
from tests.common.readers.test_readers_hdf5 import _rows
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    with hdf5.writing(sys.argv[1]) as writer:
        data = writer.file.create_dataset('rows', (12, 50000), 'u1', chunks=(1, 50000))
        for number, row in enumerate(_rows()):
            data[number] = row
            if 'checked' in sys.argv:
                writer.check()
    print('written')
except errors.InputError as error:
    print(error)
'''


@pytest.mark.parametrize('size, checked', [
    (0, ''), (1000, ''), (120000, ''), (120000, 'checked'), (600000, ''), (1000000, 'checked')])
def test_a_full_disk_is_one_line_and_the_process_lives(tmp_path, size, checked):
    path = tmp_path / 'a.hdf5'
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', FULL, str(path), str(size),
                           checked], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    assert (done.returncode, done.stderr) == (0, '')
    if size >= 1000000:
        assert done.stdout == 'written\n' and os.listdir(str(tmp_path)) == ['a.hdf5']
    else:
        assert done.stdout.startswith('cannot write {}: File too large.'.format(path))
        assert done.stdout.count('\n') == 1 and os.listdir(str(tmp_path)) == []

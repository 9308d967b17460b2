"""Fuzzes the readers of files from outside with damaged and lying files, and counts outcomes.

Allowed are a value, or an `InputError` of at most 300 characters that names the file, within 10
seconds of computing and 1 GiB of memory. Anything else (another exception, a crash, a hang) is a
finding: it is printed, its file is kept, and the exit code is 1.

Example: python -m tests.fuzz --reader npz --cases 10000
"""
import argparse
import collections
import contextlib
import copy
import json
import os
import pickle
import random
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib

import numpy as np

from common import cli, errors
from common.readers import (
    arrays,
    child,
    hdf5,
    limits,
    matlab,
    pickled,
    pickles,
    pictures,
    text,
    torch_file,
)
from tests import fuzz_readers

Reader = fuzz_readers.Reader

FIELD_CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'field_cases')
_SECONDS, _CLOCK, _MEMORY, _LENGTH = 10, 120, 1 << 30, 300
_BATCH = 1000       # files that one process reads, as it takes a while to load TensorFlow
_NUMBERS = [0, 1, 2, 127, 128, 255, 256, 32767, 65535, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
            1 << 62, (1 << 63) - 1, (1 << 64) - 1]

def _npy(folder):
    for name, array in _arrays().items():
        np.save(os.path.join(folder, name + '.npy'), array)


def _arrays():
    return {'floats': np.arange(24, dtype=np.float32).reshape(2, 3, 4), 'scalar': np.array(3.5),
            'names': np.array(['a', 'bcd']), 'bytes': np.array([b'x', b'yz']),
            'flags': np.array([True, False]), 'empty': np.zeros([0, 3], np.int64),
            'columns': np.asfortranarray(np.arange(6, dtype='>i4').reshape(2, 3))}


def _npz(folder):
    np.savez(os.path.join(folder, 'plain.npz'), **_arrays())
    np.savez_compressed(os.path.join(folder, 'packed.npz'), **_arrays())
    listed = np.empty([2], object)
    listed[:] = [np.arange(3.), {'a': 1}]
    np.savez(os.path.join(folder, 'objects.npz'), listed=listed, plain=np.zeros(3))


def _weights(folder):
    listed = np.empty([3], object)
    listed[:] = [np.zeros([2, 3], np.float32), np.ones(4, np.float32), np.ones([1, 2, 3, 4])]
    np.save(os.path.join(folder, 'weights.npy'), listed, allow_pickle=True)
    np.savez(os.path.join(folder, 'weights.npz'), listed)
    raw = os.path.join(folder, 'raw.npy')
    with open(raw, 'wb') as stream:
        np.lib.format.write_array_header_1_0(stream, {'descr': '|O', 'fortran_order': False,
                                                      'shape': (3,)})
        stream.write(pickle.dumps(listed, protocol=2))


def _hdf5(folder):
    import h5py
    with h5py.File(os.path.join(folder, 'set.hdf5'), 'w') as stream:
        for name, array in _arrays().items():
            if array.dtype.kind != 'U':
                stream[name] = array
        stream.create_dataset('packed', data=np.zeros([20, 8, 8], np.uint8), chunks=(2, 8, 8),
                              compression='gzip', shuffle=True, fletcher32=True)
        stream.create_dataset('text', data=np.array(['one', 'two'], object),
                              dtype=h5py.special_dtype(vlen=str))
        stream['inner/deep'] = np.arange(5)
        stream['inner'].attrs['note'] = 'some text'
        stream.attrs['class_names'] = np.array([b'chair', b'table'])
        stream['same'] = h5py.SoftLink('/inner/deep')
    with h5py.File(os.path.join(folder, 'newer.hdf5'), 'w', libver='latest') as stream:
        stream.create_dataset('zs', data=np.zeros([6, 4], np.float32), chunks=(2, 4), maxshape=(
            None, 4))
        stream.create_group('group').attrs['a'] = 3


def _matlab(folder):
    import scipy.io
    values = {'b': np.arange(24.).reshape(2, 3, 4), 'bi': np.arange(4, dtype=np.uint16),
              'joints': np.zeros([3, 14, 5]), 'name': 'text', 'cells': np.array(
                  [[1, 'x']], object), 'structure': {'inner': np.ones(3), 'more': 'words'}}
    for name, options in (('packed', {'do_compression': True}), ('plain', {}),
                          ('four', {'format': '4'})):
        few = {key: values[key] for key in (('bi', 'name') if name == 'four' else values)}
        scipy.io.savemat(os.path.join(folder, name + '.mat'), few, **options)


def _pickles(folder):
    import scipy.sparse
    matrix = scipy.sparse.csc_matrix(np.eye(4)[:, :3])
    value = {'v_template': np.arange(6.).reshape(2, 3), 'matrix': matrix, 'rows': matrix.tocsr(),
             'places': matrix.tocoo(), 'lists': matrix.tolil(), 'keys': matrix.todok(),
             'diagonals': matrix.todia(), 'blocks': matrix.tobsr((2, 3)), 'text': 'abc',
             'set': {1, 'x'}, 'numbers': [1, 2.5, None, True, 1 << 70, np.float32(2)],
             'tuple': (1, (2, (3,))), 'bytes': b'xyz', 'ordered': collections.OrderedDict(a=1),
             'objects': np.array([[1, 'x']], object), 'names': np.array(['a', 'bc']),
             'space': argparse.Namespace(a=1)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with open(os.path.join(folder, '{}.pkl'.format(protocol)), 'wb') as stream:
            pickle.dump(value, stream, protocol)


def _torch(folder):
    source = os.path.join(os.path.dirname(FIELD_CASES), 'cmr', 'torch_files')
    for name in ('row.pth', 'archive.pth'):
        with open(os.path.join(source, name), 'rb') as stream:
            _write(os.path.join(folder, name), stream.read())


def _pictures(folder):
    from PIL import Image
    rng = np.random.RandomState(0)
    rgba = Image.fromarray(rng.randint(0, 256, [9, 11, 4]).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, mode in (('rgba.png', 'RGBA'), ('grey.png', 'L'), ('palette.png', 'P'),
                       ('pair.png', 'LA'), ('camera.jpg', 'RGB'), ('grey.jpg', 'L'),
                       ('a.bmp', 'RGB'), ('a.gif', 'P'), ('a.webp', 'RGBA'), ('a.tiff', 'RGB'),
                       ('a.ppm', 'RGB'), ('cmyk.jpg', 'CMYK')):
        options = {'exif': exif} if name in ('rgba.png', 'camera.jpg') else {}
        rgba.convert(mode).save(os.path.join(folder, name), **options)
    Image.fromarray(rng.randint(0, 65536, [9, 11]).astype(np.uint16)).save(
        os.path.join(folder, 'grey16.png'))
    rgba.convert('RGB').save(os.path.join(folder, 'progressive.jpg'), progressive=True)


def _json(folder):
    value = {'people': [{'pose_keypoints_2d': [1.5, 2, 0.9] * 5}], 'bbox': [1, 2, 3, 4],
             'deep': [[[[1]]]], 'text': 'a\u00e9\u4e2d\\n'}
    for name, encoding in (('plain', 'utf-8'), ('mark', 'utf-8-sig'), ('wide', 'utf-16')):
        _write(os.path.join(folder, name + '.json'),
               json.dumps(value, ensure_ascii=False).encode(encoding))


def _yaml(folder):
    _write(os.path.join(folder, 'a.yml'), b'NET:\n  a: &x [1, 2.5, yes]\n  b: *x\n  c: {d: "t"}\n'
           b'text: |\n  more\n  lines\nnumber: 0x1f\ndate: 2020-01-01\n? key\n: value\n')


def _lines(folder):
    _write(os.path.join(folder, 'a.txt'), 'one\ntwo \u00e9\n\nthree\n'.encode('utf-8-sig'))
    _write(os.path.join(folder, 'b.txt'), 'one\ntwo\n'.encode('utf-16'))


def _write(path, data):
    with open(path, 'wb') as stream:
        stream.write(data)


def _read_npz(path):
    return arrays.read_archive(path, objects=pickles.objects)


def _read_weights(path):
    from r2n2.lib import weights
    return weights.read_list(path)


def _read_pickle(path):
    value = pickles.read(path)
    for name, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, pickled.Stub) and one.name.startswith('chumpy'):
            pickles.plain(one, path, str(name))
    return value


def _read_torch(path):
    value = torch_file.read(path)
    return torch_file.weights(value) if isinstance(value, dict) else value


def _read_rows(path):
    """Opens an HDF5 file as the data sets do, and reads it piece by piece in this process."""
    with hdf5.open_file(path) as stream:
        with hdf5.telling(path, '/'):
            names = [name for name in sorted(stream) if getattr(stream.get(name), 'shape', None)]
        result = {}
        for name in names:
            data = hdf5.dataset(stream, path, name, arrays.NUMBERS + arrays.TEXT + 'O')
            result[name] = [hdf5.values(data, row, path) for row in range(min(3, len(data)))]
            result[name].append(hdf5.values(data, slice(None), path))
        return result


_HOSTILE = [b'cposix\nsystem\n(X\x04\0\0\0trueR.', b'cnumpy\ndtype\n', b'\x85R', b'b', b'(', b'0',
            b'cbuiltins\neval\n', b'cnumpy.core.multiarray\n_reconstruct\n', b'h\0', b'\x85', b'2e',
            b'q\0', b'a', b'\x86', b'\x87', b'(lp0\n(g0\n', b'O8', b'V8', b'|O', b'\x8f', b'\x90',
            b'c__builtin__\nset\n', b'cchumpy.ch\nCh\n', b'\x81', b'}', b']', b't', b's', b'u']
_HEADERS = [b"'descr': '|O'", b'(1000000000000,)', b'(((((((', b'<f8', b'|V8', b'<U99999', b"'",
            b'-1', b'0, ', b'True', b'[(', b'L', b'\x93NUMPY\x02\0', b'e9']
_ZIP = [b'PK\3\4', b'PK\1\2', b'PK\5\6', b'../', b'/etc/', b'.npy', b'\x08\0', b'\0\0', b'\xff' * 4]
READERS = dict(fuzz_readers.READERS, **{
    'npy': Reader(arrays.read, '.npy', _npy, _HEADERS),
    'npz': Reader(_read_npz, '.npz', _npz, _HEADERS + _ZIP + _HOSTILE),
    'weights': Reader(_read_weights, '.npy', _weights, _HEADERS + _HOSTILE),
    'pickle': Reader(_read_pickle, '.pkl', _pickles, _HOSTILE),
    'torch': Reader(_read_torch, '.pth', _torch, _HOSTILE + _ZIP),
    'hdf5': Reader(hdf5.read, '.hdf5', _hdf5, [b'SNOD', b'TREE', b'HEAP', b'GCOL', b'OHDR']),
    'hdf5_rows': Reader(_read_rows, '.hdf5', _hdf5, [b'SNOD', b'TREE', b'HEAP', b'GCOL', b'OHDR']),
    'mat': Reader(matlab.read, '.mat', _matlab, [b'\x0f\0\0\0', b'\x0e\0\0\0', b'MI', b'IM']),
    'picture': Reader(pictures.read, '.png', _pictures, [
        b'IHDR', b'IDAT', b'IEND', b'PLTE', b'tRNS', b'eXIf', b'zTXt', b'iCCP', b'\xff\xda',
        b'\xff\xc0', b'\xff\xd9', b'II*\0', b'RIFF', b'\x21\xf9']),
    'json': Reader(text.read_json, '.json', _json, [
        b'[' * 2000, b'{"a":' * 200, b'\xef\xbb\xbf', b'\xff\xfe', b'9' * 500, b'1e999', b'NaN',
        b'\\ud800', b'\\u0000', b'\x1b[31m', b'null', b'"']),
    'yaml': Reader(text.read_yaml, '.yml', _yaml, [
        b'&a [*a, *a]', b'*x', b'<<: *x', b'!!python/object/apply:os.system ["true"]', b'- ' * 500,
        b'[' * 2000, b'!!binary', b'9' * 500, b'\x1b[31m', b': ', b'? ', b'---\n']),
    'lines': Reader(text.read_lines, '.txt', _lines, [b'\xff\xfe', b'\xfe\xff', b'\0', b'\xe9'])})


def seeds(reader, folder):
    """Bytes to begin with: files that are written for it, and the damaged ones of the field."""
    READERS[reader].seeds(folder)
    places = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    own = len(places)
    for place, _, names in sorted(os.walk(FIELD_CASES)):
        places += [os.path.join(place, name) for name in sorted(names)
                   if os.path.splitext(name)[1].lower() in _endings(reader)]
    contents = []
    for path in places:
        with open(path, 'rb') as stream:
            contents.append(stream.read())
    more = contents[:own] * (2 * (len(contents) - own) // max(1, own))   # most are of the reader
    return [data for data in contents + more if len(data) < 400000]


def _endings(reader):
    suffix = READERS[reader].suffix
    alike = {'.hdf5': ('.hdf5', '.h5'), '.pth': ('.pth', '.pt')}
    return alike.get(suffix, (suffix,))


def mutated(rng, data, others, words):
    """A file made of another: bytes, numbers and words set, blocks cut, doubled, moved, or mixed.

    Args:
      rng: random.Random; data: bytes; others: list of bytes, to mix with; words: list of bytes.
    """
    if data[:4] == b'PK\3\4' and rng.random() < 0.7:
        return _repacked(rng, data, words)
    if data[:1] in b'[{' and rng.random() < 0.6:
        return _replaced(rng, data, words)
    start = data.find(b'\x80\2' if b'\x80\2' in data else b'\x80\3')
    if 0 <= start < 200 and rng.random() < 0.5:
        return data[:start] + _rewritten(rng, data[start:], words)
    if data[:8] == b'\x89PNG\r\n\x1a\n' and rng.random() < 0.6:
        return _with_checksums(_changed(rng, data, others, words))
    return _changed(rng, data, others, words)


def _changed(rng, data, others, words):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        size = len(data)
        place = rng.randrange(min(size, 300) if rng.random() < 0.4 else size) if size else 0
        kind = rng.randrange(10)
        if kind == 0 and size:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and size:
            data[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            form = rng.choice(('<H', '>H', '<I', '>I', '<Q', '>Q'))
            number = rng.choice(_NUMBERS) & ((1 << (8 * struct.calcsize(form))) - 1)
            data[place:place + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            del data[place:place + rng.choice((1, 2, 4, 16, 100))]
        elif kind == 5:
            block = data[place:place + rng.choice((1, 4, 16, 64, 300))]
            data[place:place] = block * rng.choice((1, 1, 2, 50))
        elif kind == 6:
            data[place:place] = rng.choice(words)
        elif kind == 7:
            word = rng.choice(words)
            data[place:place + len(word)] = word
        elif kind == 8:
            other = rng.choice(others)
            start = rng.randrange(len(other)) if other else 0
            data[place:place + rng.choice((0, 8, 64))] = other[start:start + rng.choice(
                (4, 16, 64, 256))]
        elif size:
            start = rng.randrange(size)
            block = data[start:start + rng.choice((1, 2, 4, 8, 32))]
            data[place:place + len(block)] = block
    return bytes(data[:1 << 20])


def _rewritten(rng, data, words):
    """A pickle with whole instructions taken out, doubled, exchanged or put in."""
    import pickletools
    places = []
    try:
        for _, _, place in pickletools.genops(data):
            places.append(place)
    except Exception:   # a damaged one: up to where it can be read
        pass
    steps = [data[one:other] for one, other in zip(places, places[1:] + [len(data)])]
    for _ in range(rng.choice((1, 1, 2, 3, 6))) if steps else ():
        place, other = rng.randrange(len(steps)), rng.randrange(len(steps))
        kind = rng.randrange(6)
        if kind == 0:
            steps[place] = b''
        elif kind == 1:
            steps[place] *= min(rng.choice((2, 3, 100, 20000)), 1 + (1 << 20) // (
                1 + len(steps[place])))
        elif kind == 2:
            steps[place], steps[other] = steps[other], steps[place]
        elif kind == 3:
            steps[place] = steps[other]
        elif kind == 4:
            steps[place] += rng.choice(words)
        else:
            first, last = sorted((place, other))
            steps[place] += b''.join(steps[first:last][:50])
    return b''.join(steps)[:1 << 21]


_VALUES = [None, '', [], {}, -1, 0, 1e308, 10 ** 30, True, 'x' * 3000, [[]], [None], {'a': []}, 0.5,
           '\x1b[31m', float('nan'), [1, 2], 'a.jpg', ['x', 3], {'': 0}]


def _replaced(rng, data, words):
    """JSON with some of its values replaced, doubled or taken out."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError):
        return _changed(rng, data, [data], words)
    for _ in range(rng.choice((1, 1, 2, 4))):
        inner, keys = value, []
        while isinstance(inner, (dict, list)) and inner and (not keys or rng.random() < 0.7):
            keys.append((inner, rng.choice(sorted(inner, key=str)) if isinstance(inner, dict)
                         else rng.randrange(len(inner))))
            inner = keys[-1][0][keys[-1][1]]
        if not keys:
            return json.dumps(rng.choice(_VALUES)).encode()
        place, key = keys[-1]
        kind = rng.randrange(4)
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, list):
            place[:] = copy.deepcopy(place * rng.choice((2, 50)))
        elif kind == 1:
            place[rng.choice(('x', '', '1', '\x1b[31m'))] = place.pop(key)
        else:
            place[key] = copy.deepcopy(rng.choice(_VALUES))
    return json.dumps(value)[:1 << 20].encode()


def _repacked(rng, data, words):
    """An archive with a member changed, its checksums right."""
    import io
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:   # a damaged one, which is changed as it is
        return _changed(rng, data, [data], words)
    contents = [content for _, content in members]
    number = rng.randrange(len(members))
    name, content = members[number]
    if rng.random() < 0.1:
        name = rng.choice(('../x.npy', '/x.npy', 'x' * 3000, 'a\x1b[31m.npy', name))
    change = mutated if name.endswith('.pkl') else _changed
    content = change(rng, content, contents, words)
    if name.endswith('.npy') and rng.random() < 0.3:
        odd = io.BytesIO()
        np.save(odd, rng.choice(fuzz_readers.ODD))
        content = rng.choice((odd.getvalue(), rng.choice(contents)))
    members[number] = name, content
    if rng.random() < 0.1:
        members.append(rng.choice(members))
    stream = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, 'w', kind) as archive:
        warnings.simplefilter('ignore')     # of names that are there twice
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def _with_checksums(data):
    """A PNG with the checksums of its chunks put right."""
    data, place = bytearray(data), 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place:place + 4], 'big')
        end = place + 8 + size
        if end + 4 > len(data):
            break
        data[end:end + 4] = struct.pack('>I', zlib.crc32(bytes(data[place + 4:end])))
        place = end + 4
    return bytes(data)


def _outcome(read, path):
    """What a reader does with a file: 'value', 'refused', or a finding."""
    try:
        read(path)
        return 'value'
    except errors.InputError as error:
        message = str(error)
        if len('error: ' + message) > _LENGTH or not message.isprintable():
            return 'finding: a line of {} characters: {}'.format(len(message), message[:500])
        # A file that is looked for in its folder may be told by that.
        folder = errors.one_line(os.path.dirname(path), 1000) + os.sep
        if os.path.basename(path).split('.')[0] not in message and (
                folder.rstrip(os.sep) not in message.replace(folder, '')):
            return 'finding: the line names no file: {}'.format(message)
        return 'refused'
    except MemoryError as error:
        return 'finding: MemoryError {}'.format(error)
    except BaseException as error:
        return 'finding: {}: {}'.format(type(error).__name__, str(error)[:300])


def _work(reader, path, contents, first, sending, is_strict):
    """Reads files one after the other, and writes what each gave (in a child)."""
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    with open('/proc/self/statm') as stream:
        most = int(stream.read().split()[0]) * resource.getpagesize() + 4 * _MEMORY
    limits.bound(resource.RLIMIT_AS, most)
    limits.bound(resource.RLIMIT_CORE, 0)
    said = tempfile.TemporaryFile()
    if is_strict:
        os.dup2(said.fileno(), 2)
    for number in range(first, len(contents)):
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
        _put(path, contents[number])
        outcome = _outcome(READERS[reader].read, path)
        if os.fstat(said.fileno()).st_size and not outcome.startswith('finding'):
            said.seek(0)
            outcome = 'finding: beside its line a library says: {}'.format(
                said.read(300).decode('utf-8', 'replace'))
        said.seek(0)        # of descriptor 2 too
        said.truncate()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - base
        if grown > _MEMORY and not outcome.startswith('finding'):
            outcome = 'finding: {} bytes of memory'.format(grown)
        os.write(sending, outcome.encode('utf-8', 'replace').replace(b'\n', b' ') + b'\n')
        if grown > _MEMORY:
            return


def _put(path, content):
    """Writes a file, or what a function (path) makes, in place of what is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):     # a file that is written over goes to the disk at once
        os.remove(path)
    if callable(content):
        content(path)
    else:
        _write(path, content)


def _said(process, receiving):
    """Yields the lines of a child, the leader of a process group, until it ends.

    What the child leaves behind (a process of its own that looks at a graph) would hold the pipe
    open, so its end is not waited for. A child that says nothing for `_CLOCK` seconds is ended;
    these are counted here, so that a time in which all processes are stopped does not count.
    """
    rest, silent, ended = b'', 0, False
    while True:
        ready = select.select([receiving], [], [], 0 if ended else 1)[0]
        data = os.read(receiving, 1 << 16) if ready else b''
        *whole, rest = (rest + data).split(b'\n')
        yield from (line.decode('utf-8', 'replace') for line in whole)
        silent = 0 if data else silent + 1
        if not data and (ready or ended):
            break
        if silent >= _CLOCK:
            os.kill(process, signal.SIGALRM if silent < _CLOCK + _SECONDS else signal.SIGKILL)
        ended = bool(os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)


def outcomes(reader, contents, folder, is_strict=False):
    """Reads files in child processes; yields what each gave, in their order.

    Args:
      reader: str, of READERS; contents: list of bytes, of the files, or of functions (path) that
        make them; folder: str, for the file.
      is_strict: bool, whether it is a finding what a library itself says on stderr.
    """
    place = os.path.join(folder, 'place')
    path = os.path.join(place, READERS[reader].name or 'case' + READERS[reader].suffix)
    if not os.path.isdir(place):
        os.makedirs(os.path.dirname(path))
        if READERS[reader].setup:
            READERS[reader].setup(place)
    number = 0
    while number < len(contents):
        receiving, sending = os.pipe()
        process = os.fork()
        if not process:
            code = 1
            try:
                os.setpgid(0, 0)
                os.close(receiving)
                _work(reader, path, contents, number, sending, is_strict)
                code = 0
            finally:
                os._exit(code)
        os.close(sending)
        with contextlib.suppress(OSError):      # the child has done it
            os.setpgid(process, process)
        try:
            for line in _said(process, receiving):
                yield line
                number += 1
        finally:
            os.close(receiving)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        if number < len(contents) and status:
            yield 'finding: ended by ' + ('signal {}'.format(os.WTERMSIG(status)) if os.WIFSIGNALED(
                status) else 'itself, with exit code {}'.format(os.WEXITSTATUS(status)))
            number += 1


def fuzz(reader, cases, seed=0, keep='', is_strict=False):
    """Runs a reader over mutated files.

    Args:
      reader: str, of READERS; cases: int; seed: int; keep: str, folder for files of findings.
      is_strict: see `outcomes`.
    Returns:
      (collections.Counter of outcomes; list of str, the findings).
    """
    child.start()
    rng, counts, findings = random.Random('{}:{}'.format(reader, seed)), collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, 'seeds')
        os.mkdir(written)
        starts = seeds(reader, written)
        number = 0
        while number < cases:
            count = min(_BATCH, cases - number)
            batch = (starts[:count] if not number else [])
            batch = batch + [mutated(rng, rng.choice(starts), starts, READERS[reader].words)
                             for _ in range(count - len(batch))]
            for content, outcome in zip(batch, outcomes(reader, batch, folder, is_strict)):
                counts[outcome.split(':')[0]] += 1
                if outcome.startswith('finding'):
                    findings.append('{}-{}: {}'.format(reader, number, outcome))
                    if keep:
                        os.makedirs(keep, exist_ok=True)
                        _write(os.path.join(keep, '{}-{}{}'.format(
                            reader, number, READERS[reader].suffix)), content)
                number += 1
    return counts, findings


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--reader', default='all', choices=sorted(READERS) + ['all'],
                        help='what is to read them')
    parser.add_argument('--cases', type=cli.positive_int, default=1000,
                        help='files for each reader')
    parser.add_argument('--seed', type=cli.non_negative_int, default=0, help='of the files')
    parser.add_argument('--keep', default='', help='folder for the files of findings')
    cli.add_flag(parser, '--strict', help='what a library itself says on stderr is a finding too')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def try_out(options):
    """Fuzzes the readers and prints the counts; returns 1 if there are findings, else 0."""
    wrong = 0
    for reader in sorted(READERS) if options.reader == 'all' else [options.reader]:
        began = time.time()
        counts, findings = fuzz(reader, options.cases, options.seed, options.keep, options.strict)
        for finding in findings[:20]:
            print(finding, flush=True)
        print('{}: {} files, {} values, {} refused, {} findings, {:.0f} s'.format(
            reader, sum(counts.values()), counts['value'], counts['refused'], len(findings),
            time.time() - began), flush=True)
        wrong += len(findings)
    return 1 if wrong else 0


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(try_out, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

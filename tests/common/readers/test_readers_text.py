"""Text, JSON and YAML from outside."""
import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys

import numpy as np
import pytest

from common import errors
from common.readers import hdf5, limits, text

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..')
CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'field_cases')


def _file(tmp_path, data, name='a.json'):
    path = tmp_path / name
    path.write_bytes(data)
    return str(path)


def _refused(read, path, match):
    with pytest.raises(errors.InputError, match=match) as caught:
        read(path)
    assert len(str(caught.value)) <= 290 and os.path.basename(path) in str(caught.value)


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'utf-16-le',
                                      'utf-16-be'])
def test_byte_order_marks_are_taken_off(tmp_path, encoding):
    value = {'a': [1, 'é中']}
    data = json.dumps(value, ensure_ascii=False).encode(encoding)
    assert text.read_json(_file(tmp_path, data)) == value
    assert text.read_lines(_file(tmp_path, 'é\n\n b \r\nc'.encode(encoding))) == ['é', 'b', 'c']
    twice = '\ufeff'.encode('utf-8') * 2
    assert text.read(_file(tmp_path, twice + b'x')) == 'x'


def test_marks_of_other_systems_do_not_become_names(tmp_path):
    assert text.read_lines(_file(tmp_path, 'chair\r\ntable\r\n\x1a'.encode())) == ['chair', 'table']
    _refused(text.read_lines, _file(tmp_path, b'chair\ntab\0le\n'), 'line 2 holds a NUL')


def test_json_of_the_field_is_read():
    assert len(text.read_json(os.path.join(CASES, 'bom.json'))['people']) == 1
    assert 'people' in text.read_json(os.path.join(CASES, 'old.json'))


def test_latin_1_is_read_where_it_is_asked_for_and_refused_with_its_line(tmp_path):
    path = _file(tmp_path, b'one\nM\xf6bel\n', 'classes.txt')
    assert text.read_lines(path, fallback='latin-1') == ['one', 'Möbel']
    _refused(text.read_lines, path, r'classes.txt: line 2 is no UTF-8 text \(byte 0xf6\)')


@pytest.mark.parametrize('data, match', [
    (b'[' * 100000, 'nested too deeply'), (b'[' * 150 + b']' * 150, 'nested more than 100 deep'),
    (b'{"a": ' + b'9' * 1000000 + b'}', 'more than 400 digits'), (b'{"a": 1', 'as JSON: '),
    (b'', 'is empty'), (b'\xff\xfe\x00', 'no UTF-16-LE text'), (b'\x1b[31m', 'as JSON')])
def test_what_is_no_json_is_refused(tmp_path, data, match):
    _refused(text.read_json, _file(tmp_path, data), match)


def test_files_saved_under_a_wrong_name_are_told_as_what_they_are(tmp_path):
    for data, match in ((b'version https://git-lfs.github.com/spec/v1\noid x', 'git lfs pull'),
                        (b'\n<!DOCTYPE html><html>', 'a web page'), (b'<html>', 'a web page'),
                        (b'<?xml version="1.0"?><Error>', 'a web page'),
                        (gzip.compress(b'{}'), r'packed \(gzip\)'),
                        (bz2.compress(b'{}'), r'packed \(bzip2\)'),
                        (lzma.compress(b'{}'), r'packed \(xz\)')):
        _refused(text.read_json, _file(tmp_path, data), match)


def test_missing_files_folders_and_pipes_are_refused(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe.json'))
    os.symlink(str(tmp_path / 'pipe.json'), str(tmp_path / 'link.json'))
    for name, match in (('gone.json', 'there is no such file'), ('.', 'no regular file'),
                        ('pipe.json', 'no regular file'), ('link.json', 'no regular file')):
        with pytest.raises(errors.InputError, match=match):
            text.read_json(str(tmp_path / name))
    with pytest.raises(errors.InputError, match='no regular file'):
        limits.content('/dev/zero', 'text')


def test_settings_are_read_and_what_grows_is_refused(tmp_path):
    path = _file(tmp_path, b'\xef\xbb\xbfNET:\n  a: &x [1, 2]\n  b: *x\n', 'a.yml')
    assert text.read_yaml(path) == {'NET': {'a': [1, 2], 'b': [1, 2]}}
    assert text.read_yaml(_file(tmp_path, b'# nothing\n', 'a.yml')) is None
    bomb = b'a0: &a0 [x, x, x, x, x, x, x, x, x]\n' + b''.join(
        'a{0}: &a{0} [{1}]\n'.format(one, ', '.join(['*a{}'.format(one - 1)] * 9)).encode()
        for one in range(1, 12))
    merge = b'a: &a {x: 1}\nb: {<<: [*a, *a]}\n'
    for data, match in ((bomb, 'aliases stand for more than'), (merge, 'a merge key'),
                        (b'[' * 5000, 'as YAML'), (b'a: !!python/object:os.x {}', 'as YAML'),
                        (b'a: ' + b'9' * 500, '400 digits'), (b'x' * 200000, 'more than'),
                        (b'&a [*a]', 'aliases stand for|nested more')):
        _refused(text.read_yaml, _file(tmp_path, data, 'a.yml'), match)


def test_names_are_text_bytes_or_character_codes():
    codes = hdf5.read(os.path.join(CASES, 'mpii_codes_train.h5'))['imgname']
    assert codes.dtype == np.float64 and text.names(codes, 'x', 'imgname') == [
        '000000001.jpg', '000000002.jpg']
    for array in (np.array(['a', 'bé']), np.array([b'a', 'bé'.encode()]),
                  np.array([[97, 0], [98, 233]], np.uint16)):
        assert text.names(array, 'x', 'k') == ['a', 'bé']
    for array in (np.array([[97.5]]), np.array([[-1]]), np.array([[np.nan]]), np.array([3]),
                  np.array([['a']]), np.array([[1 << 40]]), np.array([True])):
        with pytest.raises(errors.InputError, match='x: "k" is .*expected names'):
            text.names(array, 'x', 'k')


def test_rows_of_json_are_read_line_by_line(tmp_path):
    path = _file(tmp_path, b'{"step": 1}\n[2]\nno\n\xff\n' + b'[' * 100000 + b'\n3', 'a.jsonl')
    assert list(text.read_json_rows(path)) == [{'step': 1}, [2], None, None, None, 3]
    assert list(text.read_json_rows(_file(tmp_path, b'', 'b.jsonl'))) == []
    for where, match in ((str(tmp_path), 'no regular file'), (path, 'more than the')):
        with pytest.raises(errors.InputError, match=match):
            list(text.read_json_rows(where, most=20))


def test_a_lower_bound_of_the_machine_stays():
    program = ('import resource; from common.readers import limits\n'
               'resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 4 << 30))\n'
               'limits.bound(resource.RLIMIT_DATA, 8 << 30)\n'
               'print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 30)\n'
               'limits.bound(resource.RLIMIT_DATA, 2 << 30)\n'
               'print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 30)')
    assert subprocess.check_output([sys.executable, '-c', program], cwd=ROOT).split() == [
        b'4', b'2']

"""Tests of common/training/checkpoints.py."""
import hashlib
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import collection, errors
from common.training import checkpoints


def save(folder, step=1, name='model', **arrays):
    """Writes a checkpoint with the given arrays; returns its prefix."""
    os.makedirs(str(folder), exist_ok=True)
    with tf.Graph().as_default(), tf.Session() as sess:
        variables = [tf.Variable(value, name=key) for key, value in arrays.items()]
        sess.run(tf.variables_initializer(variables))
        return tf.train.Saver(variables).save(
            sess, os.path.join(str(folder), name), global_step=step, write_meta_graph=False)


A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([7, 8], np.int32)


def cut(path, size):
    with open(path, 'r+b') as stream:
        stream.truncate(size)


def test_latest_takes_a_prefix_a_file_of_it_a_folder_or_an_output_folder(tmp_path):
    folder = tmp_path / 'out' / 'checkpoints'
    save(folder, 9, a=A)
    prefix = save(folder, 10, a=A)
    for path in (prefix, prefix + '.index', prefix + '.data-00000-of-00001', str(folder),
                 str(tmp_path / 'out')):
        assert checkpoints.latest(path) == prefix


def test_latest_prefers_numbers_to_letters_when_the_list_is_missing(tmp_path):
    for step in (9, 10):
        save(tmp_path, step, a=A)
    save(tmp_path, 11, 'best', a=A)
    os.remove(str(tmp_path / 'checkpoint'))
    assert checkpoints.latest(str(tmp_path)) == str(tmp_path / 'model-10')


def test_latest_follows_a_folder_that_was_moved(tmp_path):
    save(tmp_path / 'a', 3, a=A)
    text = (tmp_path / 'a' / 'checkpoint').read_text()
    assert str(tmp_path) in text  # TensorFlow's default, absolute
    shutil.move(str(tmp_path / 'a'), str(tmp_path / 'b'))
    assert checkpoints.latest(str(tmp_path / 'b')) == str(tmp_path / 'b' / 'model-3')


def test_latest_never_passes_over_a_newest_checkpoint_whose_index_is_missing(tmp_path):
    save(tmp_path, 1, a=A)
    prefix = save(tmp_path, 2, a=A)
    os.remove(prefix + '.index')
    with pytest.raises(errors.InputError, match='model-2.*--checkpoint.*model-1'):
        checkpoints.latest(str(tmp_path))


@pytest.mark.parametrize('name', ['', 'nothing', 'nothing/model-3'])
def test_latest_says_what_it_looked_for(tmp_path, name):
    path = str(tmp_path / name)
    with pytest.raises(errors.InputError, match='no checkpoint.*index'):
        checkpoints.latest(path)


def test_a_list_of_absurd_size_is_passed_over(tmp_path):
    prefix = save(tmp_path, a=A)
    checkpoints.write_list(str(tmp_path), [prefix])
    os.truncate(str(tmp_path / checkpoints.STATE_FILE), 1 << 36)    # TensorFlow would die of it
    assert checkpoints.latest(str(tmp_path)) == prefix
    assert checkpoints.resumable(str(tmp_path)) == (prefix, [])


def test_a_pipe_in_place_of_values_is_refused_at_once(tmp_path):
    prefix = save(tmp_path, a=A)
    os.remove(prefix + '.data-00000-of-00001')
    os.mkfifo(prefix + '.data-00000-of-00001')
    with pytest.raises(errors.InputError, match='no regular file'):
        checkpoints.read(prefix)


@pytest.mark.unmoved
def test_variables_and_arrays_come_back(tmp_path):
    prefix = save(tmp_path, a=A, b=B)
    assert checkpoints.variables_of(prefix) == {'a': [2, 3], 'b': [2]}
    actual = checkpoints.read(prefix)
    np.testing.assert_array_equal(actual['a'], A)
    np.testing.assert_array_equal(actual['b'], B)
    assert list(checkpoints.read(prefix, ['b'])) == ['b']


def test_reading_a_name_that_is_not_there_lists_those_that_are(tmp_path):
    prefix = save(tmp_path, a=A, b=B)
    with pytest.raises(errors.InputError, match=r'has no c \(found: a, b\)'):
        checkpoints.read(prefix, ['a', 'c'])


@pytest.mark.parametrize('name, version', [('model-1.index', 2), ('model-1', 1)])
@pytest.mark.parametrize('place', ['footer', 'index'])
def test_a_block_that_is_larger_than_its_file_is_told_instead_of_asked_for(
        tmp_path, name, version, place):
    """TensorFlow dies of std::bad_alloc there (signal 6)."""
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.get_variable('v', [3], initializer=tf.ones_initializer())
        sess.run(tf.global_variables_initializer())
        tf.train.Saver(write_version=version).save(sess, str(tmp_path / 'model-1'))
    np.testing.assert_array_equal(checkpoints.read(str(tmp_path / 'model-1'))['v'], np.ones(3))
    data = bytearray((tmp_path / name).read_bytes())
    numbers, number, shift = [], 0, 0       # of seven bits a byte: (start, size) twice
    for position in range(len(data) - 48, len(data) - 8):
        number, shift = number | (data[position] & 127) << shift, shift + 7
        if data[position] < 128:
            numbers, number, shift = numbers + [(number, position + 1)], 0, 0
    if place == 'footer':       # the size of the index, behind its start
        data[numbers[2][1]:numbers[2][1] + 9] = b'\xff' * 8 + b'\x7f'
    else:                       # its first entry: three sizes, a key, and where the first block is
        index = numbers[2][0]
        assert data[index] == 0 and data[index + 3 + data[index + 1]] == 0
        data[index + 3 + data[index + 1]] = 127
    (tmp_path / name).write_bytes(bytes(data))
    with pytest.raises(errors.InputError, match='model-1 is damaged or incomplete .*block of'):
        checkpoints.variables_of(str(tmp_path / 'model-1'))


@pytest.mark.parametrize('fraction', [0.0, 0.5, 0.9])
def test_a_cut_index_is_named(tmp_path, fraction):
    prefix = save(tmp_path, a=A)
    cut(prefix + '.index', int(os.path.getsize(prefix + '.index') * fraction))
    with pytest.raises(errors.InputError, match='model-1 is damaged'):
        checkpoints.variables_of(prefix)


def test_variables_are_given_values_in_one_call(monkeypatch):
    with tf.Graph().as_default(), tf.Session() as sess:
        first = tf.get_variable('first', [2, 1])
        second = tf.get_variable('second', [], tf.int32, initializer=tf.zeros_initializer())
        calls = []
        run = sess.run
        monkeypatch.setattr(sess, 'run', lambda *arguments: calls.append(1) or run(*arguments))
        checkpoints.assign(sess, [second, first], [7, np.array([[3.], [-1.]])])
        assert len(calls) == 1
        assert run(first).tolist() == [[3.], [-1.]] and run(second) == 7


def test_variables_with_one_initial_value_are_not_mixed_up():
    with tf.Graph().as_default(), tf.Session() as sess:
        value = tf.zeros([2])
        twins = [tf.Variable(value, name='a'), tf.Variable(value, name='b')]
        with pytest.raises(ValueError, match='b shares its initial value'):
            checkpoints.assign(sess, twins, [np.ones(2), np.zeros(2)])



@pytest.mark.parametrize('size', [None, 0, 10])
def test_cut_or_missing_data_are_named_by_read_and_restore(tmp_path, size):
    prefix = save(tmp_path, a=A)
    data = prefix + '.data-00000-of-00001'
    os.remove(data) if size is None else cut(data, size)
    with pytest.raises(errors.InputError, match='model-1 is damaged'):
        checkpoints.read(prefix)
    variable = tf.get_variable('a', [2, 3])
    with tf.Session() as sess:
        with pytest.raises(errors.InputError, match='model-1 is damaged'):
            checkpoints.restore(sess, prefix, [variable])


def test_changed_bytes_are_noticed(tmp_path):
    prefix = save(tmp_path, a=A)
    with open(prefix + '.data-00000-of-00001', 'r+b') as stream:
        stream.seek(5)
        stream.write(b'\xff')
    with pytest.raises(errors.InputError, match='model-1 is damaged'):
        checkpoints.read(prefix)


def test_all_that_does_not_fit_is_listed_in_one_message(tmp_path):
    prefix = save(tmp_path, a=A, b=B, extra=A, more=A)
    variables = [tf.get_variable('a', [3, 2]), tf.get_variable('b', [2]),
                 tf.get_variable('c', [4]), tf.get_variable('d', [])]
    with tf.Session() as sess:
        with pytest.raises(errors.InputError) as caught:
            checkpoints.restore(sess, prefix, variables, strict=True)
        message = caught.value.args[0]      # the line itself may be cut
        for part in ('missing: c [4], d []', 'a [2, 3] in the file, [3, 2] here',
                     'b int32 in the file, float32 here', 'unexpected: extra, more'):
            assert part in message
        with pytest.raises(errors.InputError) as caught:
            checkpoints.restore(sess, prefix, variables, remedy='Do this.')
        assert 'unexpected' not in str(caught.value) and 'Do this.' in str(caught.value)


def test_the_list_of_a_folder_holds_bare_names_that_tensorflow_reads(tmp_path):
    prefixes = [save(tmp_path, step, a=A) for step in (1, 2)]
    checkpoints.write_list(str(tmp_path), prefixes)
    assert str(tmp_path) not in (tmp_path / 'checkpoint').read_text()
    assert tf.train.latest_checkpoint(str(tmp_path)) == prefixes[-1]


@pytest.mark.parametrize('name', [
    'model-1', 'm\u00f6del 1', 'a"b\\c', "it's", '\u4e2d-1', 'tab\t-1'])
def test_a_list_of_tensorflow_names_what_it_named(tmp_path, name):
    prefix = save(tmp_path, 1, a=A)
    for ending in ('.index', '.data-00000-of-00001'):
        os.rename(prefix + ending, str(tmp_path / name) + ending)
    save(tmp_path, 9, a=A)
    tf.train.update_checkpoint_state(str(tmp_path), name, [name, 'model-9'])
    assert checkpoints.latest(str(tmp_path)) == str(tmp_path / name)
    assert set(checkpoints._named_in_list(str(tmp_path))) == {name, 'model-9'}


@pytest.mark.parametrize('content', [
    b'model_checkpoint_path: "model-1"\nall_model_checkpoint_paths: "model-1" \x1b[31m',
    b"  model_checkpoint_path :\t'model-1'\n", b'model_checkpoint_path: "model-1"\nx' * 3,
    b'\x1b[31m\xff\nmodel_checkpoint_path: "\\155odel-1"\n' + b'\x1b' * 5000])
def test_of_a_damaged_list_the_whole_lines_are_taken(tmp_path, capfd, content):
    prefix = save(tmp_path, 1, a=A)
    save(tmp_path, 2, a=A)
    (tmp_path / 'checkpoint').write_bytes(content)
    assert checkpoints.latest(str(tmp_path)) == prefix
    assert capfd.readouterr() == ('', '')       # TensorFlow would quote all of it


@pytest.mark.parametrize('content', [
    b'', b'\0' * 300, b'model_checkpoint_path: "model-1', b'model_checkpoint_path: "model-1\n"',
    b'model_checkpoint_path: "\\xyz"', b'\xff\xfemodel_checkpoint_path: "model-1"',
    b'model_checkpoint_path: ""', b'model_checkpoint_path: model-1\n\x1b]0;title\x07' * 1000])
def test_a_list_without_a_name_leaves_it_to_the_files(tmp_path, capfd, content):
    save(tmp_path, 1, a=A)
    newest = save(tmp_path, 2, a=A)
    (tmp_path / 'checkpoint').write_bytes(content)
    assert checkpoints.latest(str(tmp_path)) == newest
    assert capfd.readouterr() == ('', '')


def test_remove_takes_all_files_of_one_checkpoint_only(tmp_path):
    prefixes = [save(tmp_path, step, a=A) for step in (1, 10)]
    for prefix in prefixes:
        with open(prefix + '.state.json', 'w') as stream:
            stream.write('{}')
    checkpoints.remove(prefixes[0])
    assert sorted(os.listdir(str(tmp_path))) == [
        'checkpoint', 'model-10.data-00000-of-00001', 'model-10.index', 'model-10.state.json']


def test_the_note_of_a_manifest_names_the_checkpoint_and_has_its_digest(tmp_path):
    for name, text in {'model-1.index': b'i', 'model-1.data-00000-of-00001': b'd',
                       'model-1.state.json': b's', 'model-10.index': b'other',
                       'weights.npy': b'w'}.items():
        (tmp_path / name).write_bytes(text)
    assert checkpoints.note(str(tmp_path / 'model-1')) == {
        'checkpoint': 'model-1', 'checkpoint_sha256': hashlib.sha256(b'di').hexdigest()}
    assert checkpoints.note(str(tmp_path / 'weights.npy'), str(tmp_path / 'model-1')) == {
        'checkpoint': 'model-1 and weights.npy',
        'checkpoint_sha256': hashlib.sha256(b'diw').hexdigest()}
    with pytest.raises(errors.InputError, match='model-2'):
        checkpoints.note(str(tmp_path / 'model-2'))


@pytest.mark.parametrize('model', collection.NAMES)
def test_the_manifest_of_every_model_has_the_digest(model):
    with open(os.path.join(collection.ROOT, model, 'freeze.py'), encoding='utf-8') as stream:
        text = stream.read()
    assert "'checkpoint':" not in text and ('checkpoints.note(' in text or 'weights.note' in text)

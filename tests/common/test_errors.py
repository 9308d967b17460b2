"""Messages: one line, bounded, without what steers a terminal."""
import pickle

import numpy as np
import pytest

from common import errors
from common.readers import text


def test_a_message_is_one_line_of_bounded_length_with_its_remedy():
    text = 'a.npz: {} Make it with python x.py.'.format('\x1b[31mred\n' + 'x' * 100000)
    message = str(errors.InputError(text))
    assert len(message) == errors.LONGEST and message.isprintable()
    assert message.startswith('a.npz: \\x1b[31mred x') and message.endswith('with python x.py.')
    assert str(errors.UsageError('short')) == 'short'
    assert str(errors.InputError('a\n  b\x07\u202e\udc80')) == 'a b\\x07\\u202e\\udc80'


def test_folders_are_told_once_where_a_line_is_too_long():
    folder = '/data/' + 'x' * 120
    text = 'the newest of {0}/checkpoint is {0}/model-2, which is damaged. Take {0}/model-1.'
    assert str(errors.InputError(text.format(folder))) == (
        'the newest of {}/checkpoint is .../model-2, which is damaged. Take .../model-1.'.format(
            folder))
    assert str(errors.InputError(text.format('/a/b'))) == text.format('/a/b')


def test_errors_survive_a_worker():
    error = pickle.loads(pickle.dumps(errors.InputError('x' * 1000)))
    assert len(str(error)) == errors.LONGEST


def test_quotations_are_short_whatever_the_value():
    nested = []
    for _ in range(60):
        nested = [nested] * 9

    class Bad:
        def __repr__(self):
            raise RuntimeError

    for value, expected in (('abc', 'abc'), (3, '3'), (1 << 1000000, '1000001 bits'),
                            (nested, '[[['), (Bad(), 'Bad'), ({'a': 1}, "{'a': 1}"),
                            ('x' * 100000, ' ... x'), (np.zeros(100000), 'array')):
        actual = errors.quote(value)
        assert expected in actual and len(actual) <= 50 and actual.isprintable()


def test_lists_show_ten_and_a_count():
    assert errors.listed([]) == 'none' and errors.listed(['b', 'a']) == 'b, a'
    assert errors.listed(range(12)) == '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ... (12 in all)'
    assert errors.listed(['\x1b' + 'y' * 500]).startswith('\\x1byyy')
    assert len(errors.listed(['y' * 500] * 500)) < 350


@pytest.mark.parametrize('error, expected', [
    (FileNotFoundError(2, 'No such file'), 'No such file'), (ValueError('a\n b.'), 'a b'),
    (KeyError(), 'KeyError'), (MemoryError('x' * 900), 'x' * 40)])
def test_reasons_are_short(error, expected):
    assert expected in errors.reason(error) and len(errors.reason(error)) <= 100


NAMES = ['name{}'.format(number) for number in range(1000)]


def _archive(path):
    np.savez(path, **{name: np.zeros(1) for name in NAMES})


@pytest.mark.parametrize('ending, write, read', [
    ('.npz', _archive, lambda path: _samples(path)), ('.npz', _archive, lambda path: _body(path)),
    ('.npz', _archive, lambda path: _solid(path)), ('.hdf5', None, lambda path: _set(path))])
def test_names_of_a_file_are_ten_and_a_count(tmp_path, ending, write, read):
    path = str(tmp_path / 'a') + ending
    if write:
        write(path)
    else:
        import h5py
        with h5py.File(path, 'w') as stream:
            for name in NAMES:
                stream[name] = 1
    with pytest.raises(errors.InputError) as caught:
        read(path)
    text = caught.value.args[0].replace(path, '')   # as it was before it is cut
    assert '(1000 in all)' in text and text.count('name') < 14 and len(text) < 600


def _samples(path):
    from cmr.src.dataset import datasets
    return datasets.Set('up-3d', path, '')


def _body(path):
    from cmr.src.utils import body
    return body.load(path)


def _solid(path):
    from imnet.point_sampling import solids
    return solids.read(path)


def _set(path):
    from imnet import data_utils
    return data_utils.Set(path)


@pytest.mark.parametrize('array', [
    np.zeros([1 << 22, 1], np.uint8), np.zeros([1 << 22], 'S1'), np.zeros([3], 'S40000000'),
    np.zeros([3000, 4000], np.uint8)])
def test_an_array_of_millions_of_names_is_refused_at_once(array):
    with pytest.raises(errors.InputError, match=r'a.h5: "imgname" holds \d+ names of \d+ letters'):
        text.names(array, 'a.h5', 'imgname')


def test_names_of_a_checkpoint_are_ten_and_a_count(tmp_path):
    import tensorflow.compat.v1 as tf

    from common.training import checkpoints
    with tf.Graph().as_default(), tf.Session() as sess:
        variables = [tf.get_variable(name, []) for name in NAMES[:30]]
        sess.run(tf.variables_initializer(variables))
        prefix = tf.train.Saver(variables).save(sess, str(tmp_path / 'model-1'))
    with pytest.raises(errors.InputError) as caught:
        checkpoints.read(prefix, ['other{}'.format(number) for number in range(30)])
    text = caught.value.args[0]
    text = text.split('model-1 ')[1]
    assert text.count('(30 in all)') == 2 and text.count('name') == text.count('other') == 10

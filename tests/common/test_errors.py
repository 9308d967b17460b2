"""Messages: one line, bounded, without what steers a terminal."""
import pickle

import numpy as np
import pytest

from common import errors


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

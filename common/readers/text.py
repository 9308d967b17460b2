"""Text, JSON, YAML and names from outside: byte order marks, and what is too deep or too long."""
import codecs
import json
import re
from typing import Any, Iterator, List, Optional

from common import errors
from common.readers import limits

MAX_BYTES = 1 << 30         # COCO's largest annotations take 450 MB
_DEPTH = 100                # of lists in lists; our own files and COCO's stay below 10
_YAML_BYTES, _YAML_NODES = 128 << 10, 100000
_MARKS = ((codecs.BOM_UTF8, 'utf-8'), (codecs.BOM_UTF32_LE, 'utf-32-le'),
          (codecs.BOM_UTF32_BE, 'utf-32-be'), (codecs.BOM_UTF16_LE, 'utf-16-le'),
          (codecs.BOM_UTF16_BE, 'utf-16-be'))
_LONGEST_ROW = 1 << 20      # bytes of a line of JSON
_MOST_NAMES, _MOST_LETTERS, _MOST_CODES = 1 << 21, 1 << 26, 1 << 23     # MPII: 28,000 names of 13
_LONG_NUMBER = re.compile(r'\d{400}')   # int() takes time with the square of the digits


def decoded(data: bytes, path: str, remedy: str = '', fallback: str = '') -> str:
    """Returns the text of bytes: UTF-8, or what a byte order mark says, which is taken off.

    UTF-16 without a mark shows itself by the zeros beside its first character.

    Args:
      data: bytes; path: str, for the message; remedy: str, a sentence.
      fallback: str, such as 'latin-1': how to read what is no UTF-8; '' refuses it.
    Raises:
      errors.InputError: the bytes are no text of that kind.
    """
    encoding = {b'\0': 'utf-16-be'}.get(data[:1]) or (
        'utf-16-le' if data[1:2] == b'\0' else 'utf-8')
    for mark, name in _MARKS:
        if data.startswith(mark):
            data, encoding = data[len(mark):], name
            break
    try:
        text = data.decode(encoding)
        if '\0' in text:
            raise errors.InputError('{}: line {} holds a NUL; it is no text. {}'.format(
                path, text[:text.index('\0')].count('\n') + 1, remedy).rstrip())
    except UnicodeDecodeError as error:
        if fallback:
            return data.decode(fallback)
        line = data[:error.start].count(b'\n') + 1
        raise errors.InputError('{}: line {} is no {} text (byte 0x{:02x}). Save it as UTF-8. {}'
                                .format(path, line, encoding.upper(), data[error.start], remedy)
                                .rstrip())
    return text.lstrip('\ufeff').rstrip('\x1a')     # two programs, two marks; the end of DOS


def read(path: str, what: str = 'text', remedy: str = 'Give a text file in UTF-8.',
         fallback: str = '', most: int = MAX_BYTES) -> str:
    """Reads a text file.

    Args:
      path: str; what: str, what it should be, for messages; remedy: str, a sentence.
      fallback: as in `decoded`; most: int, bytes.
    Raises:
      errors.InputError: it is missing, empty, too large or no text.
    """
    return decoded(limits.content(path, what, remedy, most), path, remedy, fallback)


def read_lines(path: str, what: str = 'a list, one name a line',
               remedy: str = 'Give a text file in UTF-8.', fallback: str = '') -> List[str]:
    """Reads the lines of a text file, without blanks at their ends; empty ones are left out."""
    lines = [line.strip() for line in read(path, what, remedy, fallback).splitlines()]
    return [line for line in lines if line]


def read_json(path: str, what: str = 'JSON', remedy: str = 'Give a whole JSON file.') -> Any:
    """Reads a JSON file.

    Raises:
      errors.InputError: it is missing, no JSON, or nested too deeply.
    """
    return parsed_json(read(path, what, remedy), path, what, remedy)


def read_json_rows(path: str, what: str = 'rows of JSON', remedy: str = limits.ANEW,
                   most: int = MAX_BYTES) -> Iterator[Any]:
    """Yields the value of each line of a file, None for a line that is no JSON.

    Args:
      path: str; what: str, what it should be; remedy: str, a sentence; most: int, bytes.
    Raises:
      errors.InputError: it is missing, too large, or no regular file.
    """
    with limits.regular(path, what, remedy) as (stream, size):
        limits.check_size(path, 'the file', size, most, remedy)
        for line in iter(lambda: stream.readline(_LONGEST_ROW), b''):
            try:
                yield json.loads(line.decode('utf-8', 'replace'))
            except (ValueError, RecursionError):
                yield None


def parsed_json(text: str, path: str, what: str = 'JSON', remedy: str = '') -> Any:
    """Returns the value of a text of JSON; `path`, `what` and `remedy` are for the message."""
    with limits.telling(path, what, remedy):
        if _LONG_NUMBER.search(text):
            raise ValueError('a number has more than 400 digits')
        value = json.loads(text)
        _count(value, _DEPTH, None)
        return value


def read_yaml(path: str, remedy: str = 'Give a YAML file of settings.') -> Any:
    """Reads a YAML file of plain values; None if it holds none.

    Raises:
      errors.InputError: it is missing, no YAML, or its aliases make it larger than settings are.
    """
    import yaml  # type: ignore[import]  # here, since few readers of text need it

    class Loader(yaml.SafeLoader):
        """Refuses merge keys, which multiply what they merge."""

        def flatten_mapping(self, node):
            if any(key.tag == 'tag:yaml.org,2002:merge' for key, _ in node.value):
                raise ValueError('a merge key (<<); write the settings out')
            super().flatten_mapping(node)

    text = read(path, 'YAML', remedy, most=_YAML_BYTES)
    with limits.telling(path, 'YAML', remedy):
        if _LONG_NUMBER.search(text):
            raise ValueError('a number has more than 400 digits')
        try:
            value = Loader(text).get_single_data()
        except yaml.YAMLError as error:
            raise ValueError(errors.reason(error))
        _count(value, _DEPTH, _YAML_NODES)
        return value


def names(array: Any, path: str, key: str, remedy: str = '') -> List[str]:
    """Returns the names of an array.

    Args:
      array: [N] of text or bytes, or numbers [N, width], rows of character codes with zeros or
        blanks behind them, as MATLAB and Torch write names.
      path, key: str, and remedy: str, a sentence, for messages.
    Raises:
      errors.InputError: it holds no names.
    """
    import numpy as np  # here, since most callers need none of it
    is_text = array.dtype.kind in 'SU'
    letters = array.size * (array.dtype.itemsize // (4 if array.dtype.kind == 'U' else 1)
                            if is_text else 1)
    if array.ndim and len(array) > _MOST_NAMES or letters > (
            _MOST_LETTERS if is_text else _MOST_CODES):
        raise errors.InputError(
            '{}: "{}" holds {} names of {} letters in all, more than are read. {}'.format(
                path, errors.quote(key), len(array) if array.ndim else 1, letters, remedy).rstrip())
    if is_text and array.ndim == 1:
        return [decoded(one, path, remedy) if isinstance(one, bytes) else one
                for one in array.tolist()]
    if array.dtype.kind in 'iuf' and array.ndim == 2 and np.isfinite(array).all() and (
            (array == np.floor(array)) & (array >= 0) & (array <= 0x10ffff)).all():
        return [''.join(map(chr, row)).rstrip('\0 ') for row in array.astype(np.int64).tolist()]
    raise errors.InputError('{}: "{}" is {} {}, expected names. {}'.format(
        path, errors.quote(key), array.dtype, errors.quote(list(array.shape), 40), remedy).rstrip())


def _count(value: Any, deepest: int, most: Optional[int]) -> None:
    """Raises a ValueError if nested values are too deep, or more than `most` as if written out."""
    level, total = [value], 0
    for _ in range(deepest):
        total += len(level)
        if most and total > most:
            raise ValueError('its aliases stand for more than {} values'.format(most))
        level = [inner for one in level if isinstance(one, (dict, list))
                 for inner in (one.values() if isinstance(one, dict) else one)]
        if not level:
            return
    raise ValueError('it is nested more than {} deep'.format(deepest))

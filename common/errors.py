"""The errors that a user can mend: one line on stderr and an exit code each (see `cli.run`).

What a message quotes from a file goes through `quote` or `listed`; every `InputError` is brought to
one line of bounded length when it is shown: its beginning (which file) and its end (the remedy)
stand.
"""
import reprlib
from typing import Any, Iterable

LONGEST = 290       # characters of a message; with "error: " before it the line stays below 300
_END = 130          # characters at the end of a message that are always kept
_MOST = 10          # names of a list that are shown
_SHORT = 50         # characters of one value that is quoted
_PATH = 30          # characters of a path that may be shortened
_REPR = reprlib.Repr()
_REPR.maxother = _REPR.maxstring = _REPR.maxlong = _SHORT


class InputError(Exception):
    """Bad data, a bad file or an unfit environment; the message names file, key and remedy."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(InputError):
    """Options that contradict each other or make no sense together; found after parsing."""

    exit_code = 2


class NonFiniteLossError(InputError):
    """A loss became NaN or infinite; the message names the loss and the step."""

    exit_code = 3


def escaped(text: str) -> str:
    """Returns text with all that steers a terminal, but line breaks, escaped."""
    return text if text.isprintable() else ''.join(
        one if one.isprintable() or one == '\n' else one.encode('unicode_escape').decode('ascii')
        for one in text)


def one_line(text: str, most: int = LONGEST) -> str:
    """Returns `escaped` text with single blanks, cut in its middle to `most` characters."""
    if len(text) > 4 * most:    # what is cut anyway need not be looked at
        text = text[:2 * most] + ' ... ' + text[-2 * most:]
    words = escaped(text).split()
    text = ' '.join(words)
    if len(text) > most:    # folders are told once
        paths = [number for number, word in enumerate(words)
                 if word.startswith('/') and len(word) > _PATH]
        for number in paths[1:]:
            words[number] = '.../' + words[number].rsplit('/', 1)[1]
        text = ' '.join(words)
    if len(text) <= most:
        return text
    end = min(_END, most // 2)
    return text[:most - end - 5] + ' ... ' + text[-end:]


def quote(value: Any, most: int = _SHORT) -> str:
    """Returns a short quotation of a value of a file, however large it is or deeply nested.

    Args:
      value: text is quoted as it stands, without quotation marks; everything else by its `repr`.
      most: int, characters.
    """
    if isinstance(value, int) and value.bit_length() > 200:
        return 'a whole number of {} bits'.format(value.bit_length())
    try:
        text = value if isinstance(value, str) else _REPR.repr(value)
    except Exception:   # a value of a stranger's file may be anything
        text = type(value).__name__
    return one_line(text, most)


def listed(names: Iterable, none: str = 'none', most: int = 30) -> str:
    """Returns up to ten names, quoted, and how many there are if there are more; `none` if none.

    Args:
      names: of a file, anything; none: str; most: int, characters of a name.
    """
    names = list(names)
    text = ', '.join(quote(name, most) for name in names[:_MOST])
    return text + ', ... ({} in all)'.format(len(names)) if len(names) > _MOST else text or none


def reason(error: BaseException) -> str:
    """Returns what an exception of a library says, short, to be put into a message."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(text, 100).rstrip('. ') or type(error).__name__

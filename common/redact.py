"""Keeps credentials out of what is printed and recorded."""
import os
import re
from typing import List, Sequence

_SECRET_WORDS = {'password', 'passwd', 'secret', 'token', 'key', 'credential', 'credentials',
                 'ak', 'sk'}
# Words that are written together, as in secretAccessKey; "keypoints" and "face_tokens" are none.
_SECRET_PARTS = re.compile(r'passw|secret|credential|(access|api|private|auth)(key|token)')
_SHORTEST = 4   # characters of a value that is worth masking; "0" would mask every zero


def is_secret(name: str) -> bool:
    """Returns whether an option or a variable of this name may hold a credential."""
    return bool(_SECRET_WORDS & set(re.split(r'[^a-z]+', name.lower()))
                or _SECRET_PARTS.search(name.lower()))


def url(text: str) -> str:
    """Takes the user, the password and the query (signatures) out of a URL; leaves other text."""
    if '://' not in text:
        return text
    return re.sub(r'(\w://)[^/@\s]+@', r'\1***@', text.split('?')[0])


def command(arguments: Sequence[str]) -> List[str]:
    """Returns a command line with the values of secret options and passwords in URLs masked."""
    safe, mask_next = [], False
    for argument in arguments:
        name, equals, _ = argument.partition('=')
        if mask_next and not argument.startswith('--'):
            argument = '***'
        elif name.startswith('-') and equals and is_secret(name):
            argument = name + '=***'
        mask_next = name.startswith('-') and not equals and is_secret(name)
        safe.append(url(argument))
    return safe


def message(text: str) -> str:
    """Masks in a message of another package what the environment holds under secret names."""
    values = [value for name, value in os.environ.items()
              if is_secret(name) and len(value) >= _SHORTEST]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, '***')
    return re.sub(r'\w+://[^\s\'"]+', lambda match: url(match.group()), text)

"""Names of places: a folder, a `file://` URL, or an `obs://` or `s3://` URL of object storage.

PORT_OBS_ROOT names a folder that stands in for all buckets (a sub-folder each).
"""
import contextlib
import errno
import os
import re
import shutil
import urllib.parse
from typing import Iterator, Optional

from common import errors, redact

PARTIAL = '.part-'      # start of the names of files and folders of an unfinished copy


def local_folder(url: str) -> Optional[str]:
    """Returns the folder that a place is, or None when it is object storage.

    Raises:
      errors.InputError: the URL has another scheme, credentials in it, or leads out of its bucket.
    """
    match = re.match(r'([A-Za-z][A-Za-z0-9+.-]*)://(.*)$', url, re.DOTALL)
    if match is None:
        return os.path.abspath(url)
    scheme, rest = match.group(1).lower(), match.group(2)
    if scheme == 'file':
        host, slash, path = rest.partition('/')
        if host not in ('', 'localhost') or not slash:
            raise errors.InputError('{}: a file URL needs a whole path, as in file:///data/set.'
                                    .format(redact.url(url)))
        return os.path.abspath('/' + urllib.parse.unquote(path))
    if scheme not in ('obs', 's3'):
        raise errors.InputError('{}: give a folder, or a URL of the scheme obs, s3 or file.'.format(
            redact.url(url)))
    bucket, _, key = rest.partition('/')
    if not re.match(r'[A-Za-z0-9][A-Za-z0-9._-]*$', bucket):
        raise errors.InputError('{}: no bucket of that name; a URL looks like obs://bucket/folder, '
                                'without credentials.'.format(redact.url(url)))
    if '..' in key.split('/'):
        raise errors.InputError('{} leads out of its bucket.'.format(redact.url(url)))
    root = os.environ.get('PORT_OBS_ROOT')
    return os.path.join(os.path.abspath(root), bucket, key).rstrip('/') if root else None


def address(url: str) -> str:
    """Returns what is the same for all names of one place: the real path, or the URL."""
    folder = local_folder(url)
    return url.rstrip('/') if folder is None else os.path.realpath(folder).rstrip('/')


def is_same(first: str, second: str) -> bool:
    """Returns whether two names mean one and the same place."""
    return address(first) == address(second)


def is_within(path: str, folder: str) -> bool:
    """Returns whether a path lies in a folder, or is it, after following links."""
    return (os.path.realpath(path) + '/').startswith(os.path.realpath(folder).rstrip('/') + '/')


def leads_out(name: str) -> bool:
    """Returns whether a file name, taken below a folder, would lead out of it."""
    return not name or '\0' in name or name.startswith('/') or '..' in name.split('/')


def is_partial(name: str) -> bool:
    """Returns whether a file name is one of an unfinished copy."""
    return any(part.startswith(PARTIAL) for part in name.split('/'))


def megabytes(count: float) -> str:
    """Writes a number of bytes, e.g. `1.5 MB`."""
    return '{:.1f} MB'.format(count / 1e6)


def disk_full(path: str, needed: str = '') -> errors.InputError:
    """Makes the error that says that the disk of a path is full."""
    free = shutil.disk_usage(path).free if os.path.exists(path) else 0
    return errors.InputError('the disk that holds {} is full ({} free{}). Free some space, or give '
                             'another folder, then give the same command again.'.format(
                                 path, megabytes(free), needed))


@contextlib.contextmanager
def writing_to(path: str) -> Iterator[None]:
    """Turns an OSError of the block into one line about the folder that is written to.

    Raises:
      errors.InputError: the disk is full, or cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise disk_full(path) from error
        raise errors.InputError('cannot write to {}: {}.'.format(
            path, error.strerror or error)) from error

"""Double of moxing.file."""
import errno
import os
import random
import shutil
import threading
import time

_FAULT = os.environ.get('FAKE_OBS_FAULT', '')
_TRANSFERS = ('copy', 'copy_parallel')
_LOCK = threading.Lock()


def _noted(name):
    """Notes a call; gives the names of all calls so far, those of earlier processes too."""
    with _LOCK, open(os.environ['FAKE_OBS_LOG'], 'a+', encoding='utf-8') as stream:
        stream.write(name + '\n')
        stream.seek(0)
        return stream.read().split()


def _begin(name):
    """Notes a call, and fails as it was told to; returns whether this copy is to be cut short."""
    calls = _noted(name)
    transfers = sum(calls.count(kind) for kind in _TRANSFERS)
    if _FAULT == 'always' or (_FAULT == 'every_other' and len(calls) % 2):
        raise ConnectionError('network error of ' + name)
    if _FAULT == 'half' and random.Random(len(calls)).random() < 0.5:
        raise ConnectionError('network error of ' + name)
    if _FAULT == 'leak':
        raise ConnectionError('signed with ' + os.environ['OBS_SECRET_ACCESS_KEY'])
    if name in _TRANSFERS:
        if _FAULT == 'hang' or (_FAULT == 'hang_once' and transfers == 1):
            time.sleep(3600)
        if _FAULT == 'full':
            raise OSError(errno.ENOSPC, 'No space left on device')
    return name in _TRANSFERS and (
        _FAULT == 'truncate' or (_FAULT == 'truncate_once' and transfers == 1))


def _path(url):
    for scheme in ('obs://', 's3://'):
        if url.startswith(scheme):
            return os.path.join(os.environ['FAKE_OBS_ROOT'], url[len(scheme):])
    return url


def exists(url):
    """Says whether a file or folder is there."""
    _begin('exists')
    return os.path.exists(_path(url))


def is_directory(url):
    """Says whether this is a folder."""
    _begin('is_directory')
    return os.path.isdir(_path(url))


def get_size(url, recursive=False):
    """Gives the bytes of a file."""
    _begin('get_size')
    if _FAULT == 'slow_listing':
        time.sleep(0.3)
    return os.path.getsize(_path(url)) if os.path.isfile(_path(url)) else 0


def list_directory(path, recursive=False, exclude_dir=False):
    """Lists files and folders."""
    _begin('list_directory')
    root, listed = _path(path), []
    for place, folders, names in os.walk(root):
        listed += [os.path.relpath(os.path.join(place, name), root) for name in folders + names]
    return listed + (['../../stolen.txt'] if _FAULT == 'traversal' else [])


def rename(src_url, dst_url):
    """Moves a file; overwrites."""
    _begin('rename')
    if _FAULT == 'no_overwrite' and os.path.exists(_path(dst_url)):
        raise FileExistsError(dst_url)
    os.makedirs(os.path.dirname(_path(dst_url)), exist_ok=True)
    os.replace(_path(src_url), _path(dst_url))


def remove(url, recursive=False):
    """Deletes a file."""
    _begin('remove')
    os.remove(_path(url))


def copy(src_url, dst_url):
    """Copies one file."""
    _copy_file(_path(src_url), _path(dst_url), _begin('copy'))


def _copy_file(source, target, cut):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
    if cut:
        os.truncate(target, os.path.getsize(target) // 2)


def copy_parallel(src_url, dst_url, file_list=None, threads=16, is_processing=True, use_queue=True):
    """Copies the contents of a folder into another one."""
    cut = _begin('copy_parallel')
    root = _path(src_url)
    for place, _, names in os.walk(root):
        for name in names:
            path = os.path.join(place, name)
            _copy_file(path, os.path.join(_path(dst_url), os.path.relpath(path, root)), cut)

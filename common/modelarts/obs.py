"""Copies trees of files between folders and object storage. The only file that knows moxing.

A place is a folder, a `file://` URL, or an `obs://` or `s3://` URL. moxing runs in a process of its
own, since it may hang; PORT_OBS_ROOT names a folder that stands in for all buckets (a sub-folder
each). Empty folders are not copied: object storage has none. Nothing is ever deleted at the target.
"""
import collections
import contextlib
import errno
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from concurrent import futures

from common import errors, redact

TIMEOUT = 300.0     # seconds without any progress after which moxing counts as hanging
ATTEMPTS = 5
_PAUSE = 1.0        # seconds before the second attempt; doubled before each further one
_SLOWEST = 1e6      # bytes a second that a single transfer must reach on top of the time-out
_BULK = 32          # files from which a download takes moxing's own parallel copy first
_ROUNDS = 3         # over a folder that a running training is changing
_LIFE = 0.5         # seconds between signs of life of a long listing
_PARTIAL = '.part-'
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# files: int; bytes: int; seconds: float.
Copied = collections.namedtuple('Copied', 'files bytes seconds')


class _Failed(Exception):
    """One call of moxing went wrong; another attempt may help."""


def copy_tree(source, target, skip=None, known=None, attempts=ATTEMPTS, timeout=TIMEOUT):
    """Copies what a place holds into another one, and checks that all of it arrived.

    Files of the same name are overwritten. Each file is written under a temporary name and renamed
    when it is whole. Lists of checkpoints come last and as they were before the files were listed,
    so that a copy that was cut off never names a checkpoint that did not arrive.

    Args:
      source, target: str, places.
      skip: None or function (name) -> bool, files to leave out.
      known: None or dict that remembers between calls what was copied from a folder, so that only
        what has changed is copied again.
      attempts: int, of every call of moxing.
      timeout: float, seconds without progress.
    Returns:
      Copied, what was copied now; all zero when both are the same folder.
    Raises:
      errors.InputError: the source is missing or empty, the disk is full, moxing is missing, hangs
        or fails in every attempt, a size differs, or a name or link leads out of the source or the
        target (all other files are copied before that is said).
    """
    began = time.monotonic()
    known = {} if known is None else known
    with contextlib.ExitStack() as stack:
        origin, goal = [stack.enter_context(contextlib.closing(_place(url, attempts, timeout)))
                        for url in (source, target)]
        if _same(origin, goal):
            return Copied(0, 0, 0.0)
        count = size = 0
        for _ in range(_ROUNDS):
            refused, copied, vanished = _copy_round(origin, goal, skip, known)
            count, size = count + len(copied), size + sum(copied.values())
            if not vanished:
                break
    if refused:
        raise errors.InputError('{}: not copied, since they lead out of the folder: {}.'.format(
            origin, ', '.join(sorted(repr(name) for name in refused)[:5])))
    done = Copied(count, size, time.monotonic() - began)
    _say('copied {} file{}, {}, in {:.1f} s: {} -> {}'.format(
        done.files, '' if done.files == 1 else 's', _megabytes(done.bytes), done.seconds, origin,
        goal))
    return done


def exists(url, attempts=ATTEMPTS, timeout=TIMEOUT):
    """Says whether a file or folder is there."""
    with contextlib.closing(_place(url, attempts, timeout)) as place:
        return place.exists()


def is_same(first, second):
    """Says whether two places are one and the same folder or URL."""
    places = [_place(url, 1, TIMEOUT) for url in (first, second)]
    return places[0].address('') == places[1].address('')


def list_files(url, attempts=ATTEMPTS, timeout=TIMEOUT):
    """Lists the files of a place at any depth, without those of an unfinished copy.

    Returns:
      dict {name below the place, parted by '/': bytes}.
    Raises:
      errors.InputError: the place is missing.
    """
    with contextlib.closing(_place(url, attempts, timeout)) as place:
        return place.files()[0]


def size(url, attempts=ATTEMPTS, timeout=TIMEOUT):
    """Gives the bytes of all files of a place."""
    return sum(list_files(url, attempts, timeout).values())


def stamps(folder):
    """Gives what `copy_tree` remembers in its argument `known` of the files of a folder."""
    place = _Folder(folder)
    return {name: place.stamp(name) for name in place.files()[0]}


def local_folder(url):
    """Gives the folder that a place is, or None when it is object storage.

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


def _place(url, attempts, timeout):
    folder = local_folder(url)
    return _Storage(url, attempts, timeout) if folder is None else _Folder(folder)


def _same(origin, goal):
    """Says whether two places are one; refuses a target inside its own source."""
    inside = goal.address('') + '/'
    if origin.address('') + '/' == inside:
        return True
    if inside.startswith(origin.address('') + '/'):
        raise errors.InputError('{} lies inside {}; a copy would never end.'.format(goal, origin))
    return False


def _copy_round(origin, goal, skip, known):
    """Copies what is there now; returns (refused names, {name: bytes} copied, vanished names)."""
    held = origin.lists_of_checkpoints()
    sizes, refused = origin.files()
    wanted = {name: count for name, count in sizes.items() if skip is None or not skip(name)}
    if not wanted and not refused:
        raise errors.InputError('{} holds no files to copy.'.format(origin))
    stamps = {name: origin.stamp(name) for name in wanted}
    names = [name for name in sorted(wanted, key=_late_last)
             if known.get(name, ()) != stamps[name]]
    goal.make_room(sum(wanted[name] for name in names))
    copied, vanished = {}, []
    with goal.receiving(origin, {name: wanted[name] for name in names}, refused) as receive:
        clock = _Progress(len(names))
        for name in names:
            count = receive(name, wanted[name], held.get(name))
            if count is None:
                vanished.append(name)
                continue
            copied[name] = count
            known[name] = stamps[name]
            clock.tell(copied)
    found = goal.files()[0] if copied else {}
    wrong = [name for name, count in copied.items() if found.get(name) != count]
    for name in wrong:
        known.pop(name, None)
    if wrong:
        raise errors.InputError('{} of {} files did not arrive whole in {}, for example {!r}. Give '
                                'the same command again.'.format(
                                    len(wrong), len(copied), goal, sorted(wrong)[0]))
    return refused, copied, vanished


def _is_list(name):
    return name.split('/')[-1] == 'checkpoint'


def _late_last(name):
    """Sorts the data of a checkpoint before its index, and the list of checkpoints last."""
    return 2 if _is_list(name) else 1 if name.endswith('.index') else 0, name


def _is_partial(name):
    return any(part.startswith(_PARTIAL) for part in name.split('/'))


def _leads_out(name):
    return not name or '\0' in name or name.startswith('/') or '..' in name.split('/')


class _Progress:
    """A line every few seconds."""

    def __init__(self, total, every=10.0):
        self._total, self._every = total, every
        self._told = time.monotonic()

    def tell(self, copied):
        if time.monotonic() - self._told >= self._every:
            self._told = time.monotonic()
            _say('copying: {} of {} files, {}'.format(
                len(copied), self._total, _megabytes(sum(copied.values()))))


def _say(line):
    with contextlib.suppress(BrokenPipeError):  # a copy goes on when nobody reads this any more
        print(line, flush=True)


def _megabytes(count):
    return '{:.1f} MB'.format(count / 1e6)


def _full(path, needed=''):
    free = shutil.disk_usage(path).free if os.path.exists(path) else 0
    return errors.InputError('the disk that holds {} is full ({} free{}). Free some space, or give '
                             'another folder, then give the same command again.'.format(
                                 path, _megabytes(free), needed))


@contextlib.contextmanager
def _telling_disk_full(path):
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _full(path) from error
        raise errors.InputError('cannot write to {}: {}.'.format(
            path, error.strerror or error)) from error


class _Folder:
    """A folder of this machine."""

    def __init__(self, path):
        self._path = path

    def __str__(self):
        return self._path

    def close(self):
        """Nothing is held open."""

    def exists(self):
        return os.path.exists(self._path)

    def address(self, name):
        return os.path.join(os.path.realpath(self._path), name).rstrip('/')

    def files(self):
        """Gives ({name: bytes}, [links that lead out])."""
        if not os.path.exists(self._path):
            raise errors.InputError('{} does not exist.'.format(self._path))
        if not os.path.isdir(self._path):
            raise errors.InputError('{} is a file; give its folder.'.format(self._path))
        root, found, refused = os.path.realpath(self._path), {}, []
        for place, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(_PARTIAL)]
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            for entry in [name for name in names if not name.startswith(_PARTIAL)] + links:
                path = os.path.join(place, entry)
                name = os.path.relpath(path, root).replace(os.sep, '/')
                if os.path.islink(path) and not _inside(path, root):
                    refused.append(name)
                elif os.path.isfile(path):
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = os.path.getsize(path)
        return found, refused

    def lists_of_checkpoints(self):
        """Reads the lists of checkpoints, {name: bytes}."""
        held = {}
        for name in self.files()[0]:
            if _is_list(name):
                with contextlib.suppress(FileNotFoundError), open(self.address(name), 'rb') as file:
                    held[name] = file.read()
        return held

    def stamp(self, name):
        """Gives what changes with a file."""
        try:
            found = os.stat(self.address(name))
        except FileNotFoundError:
            return None
        return found.st_size, found.st_mtime_ns

    def make_room(self, count):
        """Makes the folder, and refuses more bytes than the disk can take."""
        with _telling_disk_full(self._path):
            os.makedirs(self._path, exist_ok=True)
        if count > shutil.disk_usage(self._path).free:
            raise _full(self._path, ', {} needed'.format(_megabytes(count)))

    @contextlib.contextmanager
    def receiving(self, origin, sizes, refused):
        """Gives the function (name, bytes, content or None) -> bytes written, None: vanished."""
        with _telling_disk_full(self._path):
            staging = tempfile.mkdtemp(prefix=_PARTIAL, dir=self._path)
        try:
            if not refused:
                origin.fetch_many(staging, sizes)
            yield lambda name, count, held: self._receive(origin, staging, name, count, held)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _receive(self, origin, staging, name, count, held):
        final = os.path.join(self._path, name)
        with _telling_disk_full(self._path):
            self._make_parents(name)
            early = os.path.join(staging, 'many', name)
            if os.path.isfile(early) and os.path.getsize(early) == count:
                os.replace(early, final)
                return count
            temporary = os.path.join(staging, 'one')
            if held is not None:
                with open(temporary, 'wb') as stream:
                    stream.write(held)
            elif not origin.fetch(name, temporary, count):
                return None
            count = os.path.getsize(temporary)
            if os.path.isdir(final):
                raise errors.InputError('{} is a folder, where a file should go.'.format(final))
            os.replace(temporary, final)
        return count

    def _make_parents(self, name):
        """Makes the folders above a file; none of them may lead elsewhere by a link."""
        parent = os.path.dirname(os.path.join(self._path, name))
        if not _inside(parent, os.path.realpath(self._path)):
            raise errors.InputError('{} leads out of {} by a link.'.format(parent, self._path))
        os.makedirs(parent, exist_ok=True)

    def fetch_many(self, folder, sizes):
        """Nothing is gained by copying many local files at once."""

    def fetch(self, name, path, count):
        """Copies a file to `path`; False when it has gone since it was listed."""
        del count  # a running training may have changed it since
        try:
            shutil.copyfile(self.address(name), path)
        except FileNotFoundError:
            return False
        return True


def _inside(path, root):
    return (os.path.realpath(path) + '/').startswith(root.rstrip('/') + '/')


class _Storage:
    """A place in object storage, reached by moxing."""

    def __init__(self, url, attempts, timeout):
        self._url = url.rstrip('/')
        self._attempts, self._timeout = attempts, timeout
        self._worker = None

    def __str__(self):
        return redact.url(self._url)

    def close(self):
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _once(self, function, *arguments, count=0, watch=None, **options):
        if self._worker is None:
            self._worker = _Worker(self._timeout)
        try:
            return self._worker.call(
                {'function': function, 'arguments': arguments, 'options': options},
                count / _SLOWEST, watch)
        except _Failed:
            self.close()  # the next attempt starts afresh
            raise

    def _call(self, function, *arguments, count=0):
        """Calls moxing, with further attempts after growing pauses."""
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                return self._once(function, *arguments, count=count)
            except _Failed as error:
                last = error
        raise errors.InputError('{}: moxing failed in {} attempts at "{}": {}'.format(
            self, self._attempts, function, last))

    def exists(self):
        return self._call('exists', self._url)

    def address(self, name):
        return (self._url + '/' + name).rstrip('/')

    def files(self):
        """Gives ({name: bytes}, [names that lead out])."""
        if not self.exists():
            raise errors.InputError('{} does not exist.'.format(self))
        found = self._call('sizes', self._url)
        refused = [name for name in found if _leads_out(name)]
        return {name: count for name, count in found.items()
                if not _leads_out(name) and not _is_partial(name)}, refused

    def lists_of_checkpoints(self):
        """Nobody writes there while it is read."""
        return {}

    def stamp(self, name):
        """Each call of `copy_tree` takes all files of a bucket."""
        del name
        return object()

    def make_room(self, count):
        """A bucket grows by itself."""

    @contextlib.contextmanager
    def receiving(self, origin, sizes, refused):
        """Gives the function (name, bytes, content or None) -> bytes written, None: vanished."""
        del sizes, refused
        try:
            folder = tempfile.mkdtemp()
        except OSError as error:
            raise errors.InputError('no temporary folder can be made: {}.'.format(
                error.strerror or error)) from error
        try:
            yield lambda name, count, held: self._receive(origin, folder, name, count, held)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _receive(self, origin, folder, name, count, held):
        source = origin.address(name)
        if held is not None:
            source = os.path.join(folder, 'held')
            with _telling_disk_full(folder), open(source, 'wb') as stream:
                stream.write(held)
        partial = self.address(_PARTIAL + 'upload/' + name)
        for _ in range(self._attempts):
            limits = [count]
            if isinstance(origin, _Folder):
                if not os.path.exists(source):
                    return None
                limits = [os.path.getsize(source)]
            self._call('copy', source, partial, count=max(limits))
            if isinstance(origin, _Folder) and os.path.exists(source):
                limits.append(os.path.getsize(source))  # a log may have grown meanwhile
            arrived = self._call('size', partial)
            if min(limits) <= arrived <= max(limits):
                self._rename(partial, self.address(name), arrived)
                return arrived
        raise errors.InputError('{!r} did not arrive whole in {} in {} attempts ({} of {} bytes).'
                                .format(name, self, self._attempts, arrived, limits[0]))

    def _rename(self, partial, final, count):
        try:
            self._call('rename', partial, final)
        except errors.InputError:
            if self._call('exists', partial):
                # It may refuse to rename onto an older file. A copy appears whole or not at all.
                self._call('copy', partial, final, count=count)
                self._call('remove', partial)
            # Else the service may have done it and lost the answer.
            if self._call('size', final) != count:
                raise

    def fetch_many(self, folder, sizes):
        """Downloads all files into `folder`/many at once; what fails is fetched one by one."""
        if len(sizes) < _BULK:
            return
        target = os.path.join(folder, 'many')
        # The second attempt is what the vendor advises when the first one hangs.
        for options in ({}, {'threads': 0, 'is_processing': False}):
            try:
                self._once('copy_parallel', self._url, target, watch=target, **options)
                return
            except _Failed as error:
                _say('note: {}; trying again'.format(error))

    def fetch(self, name, path, count):
        """Downloads a file to `path`; True."""
        for _ in range(self._attempts):
            self._call('copy', self.address(name), path, count=count)
            arrived = os.path.getsize(path) if os.path.exists(path) else 0
            if arrived == count:
                return True
        raise errors.InputError('{!r} of {} did not arrive whole in {} attempts ({} of {} bytes).'
                                .format(name, self, self._attempts, arrived, count))


class _Worker:
    """A process that imports moxing and does what it is told, one request a line."""

    def __init__(self, timeout):
        self._timeout = timeout
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-m', 'common.modelarts.obs'], cwd=_ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True)
        except OSError as error:    # out of memory or processes
            raise _Failed('no process for moxing can be started: {}'.format(error)) from error
        self._unread = b''

    def call(self, request, seconds, watch):
        """Sends a request and waits for its result.

        Args:
          request: dict, see `_serve`.
          seconds: float, allowed on top of the time-out.
          watch: None or a folder; its growth counts as progress.
        Raises:
          _Failed: the call failed, hung, or ended the process.
          errors.InputError: moxing is missing, or the local disk is full.
        """
        try:
            self._process.stdin.write(json.dumps(request).encode() + b'\n')
            self._process.stdin.flush()
        except OSError:
            raise _Failed('the process of moxing has ended')
        reply = json.loads(self._line(seconds, watch).decode())
        if reply.get('missing'):
            raise errors.InputError(
                'URLs of object storage need the package moxing, which comes with ModelArts ({}). '
                'Elsewhere copy the data to a folder and name that.'.format(reply['missing']))
        if reply.get('broken'):
            raise errors.InputError('moxing cannot be used: {}.'.format(
                redact.message(reply['broken'])))
        if reply.get('errno') == errno.ENOSPC:
            raise _full(os.path.dirname(request['arguments'][-1]))
        if 'error' in reply:
            raise _Failed(redact.message(reply['error']))
        return reply['result']

    def _line(self, seconds, watch):
        deadline, before = time.monotonic() + self._timeout + seconds, None
        while True:
            line, ended, rest = self._unread.partition(b'\n')
            if ended:
                self._unread = rest
                if line:
                    return line
                deadline = time.monotonic() + self._timeout + seconds   # a sign of life
                continue
            ready = select.select([self._process.stdout], [], [], min(1.0, self._timeout))[0]
            if ready:
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    raise _Failed('the process of moxing has ended')
                self._unread += part
            elif watch is not None:
                now = _grown(watch)
                if now != before:
                    before, deadline = now, time.monotonic() + self._timeout
            if time.monotonic() > deadline:
                raise _Failed('moxing gave no sign of life for {:.0f} s'.format(
                    self._timeout + seconds))

    def close(self):
        """Ends the process, however it hangs."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _grown(folder):
    """Gives a number of bytes that changes while a folder fills."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += 1 + os.path.getsize(os.path.join(place, name))
    return total


def _persistent(function, *arguments, **options):
    """Calls a function of moxing that changes nothing, with several attempts."""
    for attempt in range(9):
        try:
            return function(*arguments, **options)
        except Exception:  # of any kind; the last attempt tells what it is
            time.sleep(0.03 * attempt)
    return function(*arguments, **options)


def _sizes(files, url, show_life):
    """Lists a folder of object storage at any depth, {name: bytes}; runs beside moxing.

    Args:
      files: moxing.file; url: str; show_life: function (), called again and again.
    """
    names = _persistent(files.list_directory, url, recursive=True)
    folders = {name.rstrip('/') for name in names if name.endswith('/')}
    for name in names:
        parts = name.rstrip('/').split('/')
        folders.update('/'.join(parts[:end]) for end in range(1, len(parts)))
    names = [name for name in names if name.rstrip('/') not in folders]
    with futures.ThreadPoolExecutor(16) as pool:
        sizes = []
        for count in pool.map(lambda name: _persistent(files.get_size, url + '/' + name), names):
            sizes.append(count)
            show_life()
        # Folders without files end up among the names too; their size is zero.
        empty = [name for name, count in zip(names, sizes) if not count]
        are_folders = pool.map(
            lambda name: _persistent(files.is_directory, url + '/' + name), empty)
        folders = {name for name, found in zip(empty, are_folders) if found}
    return {name: count for name, count in zip(names, sizes) if name not in folders}


def _serve():
    """Answers requests on stdin, {"function", "arguments", "options"}, with a line of JSON each."""
    replies = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)   # what moxing prints is no reply
    os.environ['MOX_SILENT_MODE'] = '1'
    told = [time.monotonic()]

    def show_life():
        """An empty line every now and then, between the answers."""
        if time.monotonic() > told[0] + _LIFE:
            told[0] = time.monotonic()
            print(file=replies, flush=True)

    try:
        import moxing
        files = moxing.file
        functions = {'exists': files.exists, 'size': files.get_size, 'copy': files.copy,
                     'rename': files.rename, 'remove': files.remove,
                     'copy_parallel': files.copy_parallel,
                     'sizes': lambda url: _sizes(files, url, show_life)}
    except ImportError as error:
        print(json.dumps({'missing': str(error)}), file=replies, flush=True)
        return
    except Exception as error:  # a broken installation: told as it is
        print(json.dumps({'broken': '{}: {}'.format(type(error).__name__, error)}), file=replies,
              flush=True)
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = functions[request['function']](*request['arguments'], **request['options'])
            reply = {'result': result if request['function'] in ('exists', 'size', 'sizes')
                     else None}
        except Exception as error:  # whatever moxing raises: told to the process that asked
            reply = {'error': '{}: {}'.format(type(error).__name__, error),
                     'errno': getattr(error, 'errno', None)}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == '__main__':
    _serve()

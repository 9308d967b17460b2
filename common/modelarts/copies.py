"""Copies trees of files between folders and object storage.

Empty folders are not copied: object storage has none. Nothing is ever deleted at the target.
"""
import contextlib
import os
import shutil
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from common import errors, redact
from common.modelarts import places, storage

_BULK = 32          # files from which a download takes moxing's own parallel copy first
_ROUNDS = 3         # over a folder that a running training is changing


class Copied(NamedTuple):
    """What a copy has moved: number of files, bytes, seconds."""

    files: int
    bytes: int
    seconds: float


class _Early(NamedTuple):
    """A list of checkpoints as it was before the files were listed."""

    stamp: Any
    content: bytes


def copy_tree(source: str, target: str, skip: Optional[Callable[[str], bool]] = None,
              known: Optional[Dict[str, Any]] = None,
              patience: storage.Patience = storage.USUAL) -> Copied:
    """Copies what a place holds into another one, and checks that all of it arrived.

    Files of the same name are overwritten. Each file is written under a temporary name and renamed
    when it is whole. Lists of checkpoints come last and as they were before the files were listed,
    so that a copy that was cut off never names a checkpoint that did not arrive.

    Args:
      source, target: places (places.py).
      skip: says for a name whether to leave the file out.
      known: remembers between calls what was copied from a folder, so that only what has changed
        is copied again.
      patience: with object storage.
    Returns:
      Copied, what was copied now; all zero when both are the same folder.
    Raises:
      errors.InputError: the source is missing or empty, the disk is full, moxing is missing, hangs
        or fails too often, a size differs, or a name or link leads out of the source or the
        target (all other files are copied before that is said).
    """
    began = time.monotonic()
    known = {} if known is None else known
    with contextlib.ExitStack() as stack:
        origin, goal = [stack.enter_context(contextlib.closing(_place(url, patience)))
                        for url in (source, target)]
        if _same(source, target):
            return Copied(0, 0, 0.0)
        count = total = 0
        for _ in range(_ROUNDS):
            refused, copied, vanished = _copy_round(origin, goal, skip, known)
            count, total = count + len(copied), total + sum(copied.values())
            if not vanished:
                break
    if refused:
        raise errors.InputError('{}: not copied, since they lead out of the folder: {}.'.format(
            origin, errors.listed(sorted(refused))))
    done = Copied(count, total, time.monotonic() - began)
    storage.say('copied {} file{}, {}, in {:.1f} s: {} -> {}'.format(
        done.files, '' if done.files == 1 else 's', places.megabytes(done.bytes), done.seconds,
        origin, goal))
    return done


def exists(url: str, patience: storage.Patience = storage.USUAL) -> bool:
    """Returns whether a file or folder is there."""
    with contextlib.closing(_place(url, patience)) as place:
        return place.exists()


def list_files(url: str, patience: storage.Patience = storage.USUAL) -> Dict[str, int]:
    """Lists the files of a place at any depth, without those of an unfinished copy.

    Returns:
      dict {name below the place, parted by '/': bytes}.
    Raises:
      errors.InputError: the place is missing.
    """
    with contextlib.closing(_place(url, patience)) as place:
        return place.files()[0]


def size(url: str, patience: storage.Patience = storage.USUAL) -> int:
    """Returns the bytes of all files of a place."""
    return sum(list_files(url, patience).values())


def stamps(folder: str) -> Dict[str, Any]:
    """Returns what `copy_tree` remembers in its argument `known` of the files of a folder."""
    place = _Folder(folder)
    return {name: place.stamp(name) for name in place.files()[0]}


def _place(url, patience):
    folder = places.local_folder(url)
    return _Bucket(url, patience) if folder is None else _Folder(folder)


def _same(source, target):
    """Returns whether two places are one; refuses a target inside its own source."""
    outer, inner = [places.address(url) + '/' for url in (source, target)]
    if inner.startswith(outer) and inner != outer:
        raise errors.InputError('{} lies inside {}; a copy would never end.'.format(
            redact.url(inner[:-1]), redact.url(outer[:-1])))
    return inner == outer


def _copy_round(origin, goal, skip, known):
    """Copies what is there now; returns (refused names, {name: bytes} copied, vanished names)."""
    checkpoint_lists = origin.lists_of_checkpoints()
    sizes, refused = origin.files()
    sizes = {name: count for name, count in sizes.items() if skip is None or not skip(name)}
    if not sizes and not refused:
        raise errors.InputError('{} holds no files to copy.'.format(origin))
    current = {name: checkpoint_lists[name].stamp if name in checkpoint_lists else
               origin.stamp(name) for name in sizes}
    names = [name for name in sorted(sizes, key=_late_last)
             if known.get(name, ()) != current[name]]
    goal.make_room(sum(sizes[name] for name in names))
    copied, vanished = {}, []
    with goal.receiving(origin, {name: sizes[name] for name in names}, refused) as receive:
        progress = _Progress(len(names))
        for name in names:
            early = checkpoint_lists.get(name)
            count = receive(name, sizes[name], early and early.content)
            if count is None:
                vanished.append(name)
                continue
            copied[name] = count
            known[name] = current[name]
            progress.tell(copied)
    _check_arrival(goal, copied, known)
    return refused, copied, vanished


def _check_arrival(goal, copied, known):
    """Compares sizes at the target; what is wrong there is forgotten in `known`."""
    arrived = goal.files()[0] if copied else {}
    wrong = sorted(name for name, count in copied.items() if arrived.get(name) != count)
    for name in wrong:
        known.pop(name, None)
    if wrong:
        raise errors.InputError('{} of {} files did not arrive whole in {}, for example {!r}. Give '
                                'the same command again.'.format(
                                    len(wrong), len(copied), goal, wrong[0]))


def _is_list(name):
    return name.split('/')[-1] == 'checkpoint'


def _late_last(name):
    """Sorts the data of a checkpoint before its index, and the list of checkpoints last."""
    return 2 if _is_list(name) else 1 if name.endswith('.index') else 0, name


class _Progress:
    """A line every few seconds."""

    def __init__(self, total, every=10.0):
        self._total, self._every = total, every
        self._last_line = time.monotonic()

    def tell(self, copied):
        if time.monotonic() - self._last_line >= self._every:
            self._last_line = time.monotonic()
            storage.say('copying: {} of {} files, {}'.format(
                len(copied), self._total, places.megabytes(sum(copied.values()))))


class _Folder:
    """A folder of this machine."""

    def __init__(self, path: str):
        self._path = path

    def __str__(self):
        return self._path

    def close(self):
        """Nothing is open."""

    def exists(self):
        return os.path.exists(self._path)

    def address(self, name):
        return os.path.join(os.path.realpath(self._path), name)

    def files(self) -> Tuple[Dict[str, int], List[str]]:
        """Returns ({name: bytes}, [links that lead out])."""
        if not os.path.exists(self._path):
            raise errors.InputError('{} does not exist.'.format(self._path))
        if not os.path.isdir(self._path):
            raise errors.InputError('{} is a file; give its folder.'.format(self._path))
        root, sizes, refused = os.path.realpath(self._path), {}, []
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not places.is_partial(name)]
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for entry in [name for name in names if not places.is_partial(name)] + links:
                path = os.path.join(folder, entry)
                name = os.path.relpath(path, root).replace(os.sep, '/')
                if os.path.islink(path) and not places.is_within(path, root):
                    refused.append(name)
                elif os.path.isfile(path):
                    with contextlib.suppress(FileNotFoundError):
                        sizes[name] = os.path.getsize(path)
        return sizes, refused

    def lists_of_checkpoints(self) -> Dict[str, _Early]:
        """Reads the lists of checkpoints; the stamp is older than the content, never newer."""
        lists = {}
        for name in self.files()[0]:
            if _is_list(name):
                stamp = self.stamp(name)
                with contextlib.suppress(FileNotFoundError), open(self.address(name), 'rb') as file:
                    lists[name] = _Early(stamp, file.read())
        return lists

    def stamp(self, name):
        """Returns what changes with a file."""
        try:
            status = os.stat(self.address(name))
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns

    def make_room(self, count):
        """Makes the folder, and refuses more bytes than the disk can take."""
        with places.writing_to(self._path):
            os.makedirs(self._path, exist_ok=True)
        if count > shutil.disk_usage(self._path).free:
            raise places.disk_full(self._path, ', {} needed'.format(places.megabytes(count)))

    @contextlib.contextmanager
    def receiving(self, origin, sizes, refused):
        """Returns the function (name, bytes, content or None) -> bytes written, None: vanished."""
        with places.writing_to(self._path):
            staging = tempfile.mkdtemp(prefix=places.PARTIAL, dir=self._path)
        try:
            if not refused:
                origin.fetch_many(staging, sizes)
            yield lambda name, count, content: self._receive(origin, staging, name, count, content)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _receive(self, origin, staging, name, count, content):
        final = os.path.join(self._path, name)
        with places.writing_to(self._path):
            self._make_parents(name)
            early = os.path.join(staging, 'many', name)
            if os.path.isfile(early) and os.path.getsize(early) == count:
                os.replace(early, final)
                return count
            temporary = os.path.join(staging, 'one')
            if content is not None:
                with open(temporary, 'wb') as stream:
                    stream.write(content)
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
        if not places.is_within(parent, self._path):
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


class _Bucket:
    """A folder of object storage."""

    def __init__(self, url: str, patience: storage.Patience):
        self._url = places.address(url)
        self._storage = storage.Storage(str(self), patience)

    def __str__(self):
        return redact.url(self._url)

    def close(self):
        """Ends the process of moxing."""
        self._storage.close()

    def exists(self):
        return self._storage.call('exists', self._url)

    def address(self, name):
        return self._url + '/' + name

    def files(self) -> Tuple[Dict[str, int], List[str]]:
        """Returns ({name: bytes}, [names that lead out])."""
        if not self.exists():
            raise errors.InputError('{} does not exist.'.format(self))
        sizes = self._storage.call('sizes', self._url)
        refused = [name for name in sizes if places.leads_out(name)]
        return {name: count for name, count in sizes.items()
                if not places.leads_out(name) and not places.is_partial(name)}, refused

    def lists_of_checkpoints(self) -> Dict[str, _Early]:
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
        """Returns the function (name, bytes, content or None) -> bytes written, None: vanished."""
        del sizes, refused
        try:
            folder = tempfile.mkdtemp()
        except OSError as error:
            raise errors.InputError('no temporary folder can be made: {}.'.format(
                error.strerror or error)) from error
        try:
            yield lambda name, count, content: self._receive(origin, folder, name, count, content)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _receive(self, origin, folder, name, count, content):
        source = origin.address(name)
        if content is not None:
            source = os.path.join(folder, 'content')
            with places.writing_to(folder), open(source, 'wb') as stream:
                stream.write(content)
        partial = self.address(places.PARTIAL + 'upload/' + name)
        attempts = self._storage.attempts()
        while True:
            limits = [count]
            if isinstance(origin, _Folder):
                if not os.path.exists(source):
                    return None
                limits = [os.path.getsize(source)]
            self._storage.call('copy', source, partial, count=max(limits), attempts=attempts)
            if isinstance(origin, _Folder) and os.path.exists(source):
                limits.append(os.path.getsize(source))  # a log may have grown meanwhile
            arrived = self._storage.call('size', partial, attempts=attempts)
            if min(limits) <= arrived <= max(limits):
                self._rename(partial, self.address(name), arrived, attempts)
                return arrived
            attempts.failed(_cut_short(name, arrived, limits[0]))

    def _rename(self, partial, final, count, attempts):
        """Renames an upload to its final name."""
        while True:
            try:
                self._storage.once('rename', partial, final)
                return
            except storage.Failed as error:
                if self._storage.call('exists', partial, attempts=attempts):
                    # It may refuse to replace an older file. A copy appears whole or not at all.
                    self._storage.call('copy', partial, final, count=count, attempts=attempts)
                    self._storage.call('remove', partial, attempts=attempts)
                # Else the service may have done it and lost the answer.
                if self._storage.call('size', final, attempts=attempts) == count:
                    return
                attempts.failed(error)

    def fetch_many(self, folder, sizes):
        """Downloads all files into `folder`/many at once; what fails is fetched one by one."""
        if len(sizes) < _BULK:
            return
        target = os.path.join(folder, 'many')
        # The second attempt is what the vendor advises when the first one hangs.
        for options in ({}, {'threads': 0, 'is_processing': False}):
            try:
                self._storage.once('copy_parallel', self._url, target, watch=target, **options)
                return
            except storage.Failed as error:
                storage.say('note: {}; trying again'.format(error))

    def fetch(self, name, path, count):
        """Downloads a file to `path`; True."""
        attempts = self._storage.attempts()
        while True:
            self._storage.call('copy', self.address(name), path, count=count, attempts=attempts)
            arrived = os.path.getsize(path) if os.path.exists(path) else 0
            if arrived == count:
                return True
            attempts.failed(_cut_short(name, arrived, count))


def _cut_short(name, arrived, count):
    return storage.Failed('{!r} did not arrive whole ({} of {} bytes)'.format(
        name, arrived, count))

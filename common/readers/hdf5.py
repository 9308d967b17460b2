"""HDF5 files from outside (also MATLAB 7.3), looked at in a child process before they are opened.

A file may refer to others (external storage, external links, virtual sets), ask for all memory by
the size of a chunk, and crash the library where it is damaged: `open_file` lets a child walk
through all of it first; `read` leaves the whole reading to the child.

The library crashes too where a disk is full while it writes: `writing` keeps that from it.
"""
import contextlib
from typing import Any, ContextManager, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from common import errors, files
from common.readers import arrays, child, limits

_WHAT = 'an HDF5 file'
_MOST_OBJECTS, _MOST_CHUNK = 100000, 256 << 20
_MOST_CHUNKS = 100000           # that are read at once; HDF5 takes up to 6.4 kB and 20 us for each
_BYTES_OF_CHUNK = 32            # of a file, for each chunk beyond those: its place is noted in more
_PROBE = 16 << 20               # bytes of a file's values that the child reads to try it
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}    # of HDF5 and h5py; others load libraries


def open_file(path: str, what: str = _WHAT, remedy: str = limits.ANEW) -> Any:
    """Opens a file to read it piece by piece.

    Args:
      path: str; what: str, what it should be; remedy: str, a sentence; both for messages.
    Returns:
      h5py.File, a context manager too; read it by `dataset` and `values`, or inside of `telling`.
    Raises:
      errors.InputError: it is missing, damaged, or refers to other files.
    """
    import h5py  # here and below, since it takes a quarter of a second
    limits.look(path, what, remedy)
    child.run(probe, 'h5py', path, {}, what, remedy)
    with limits.telling(path, what, remedy):
        return h5py.File(path, 'r')


def telling(path: str, key: str, remedy: str = limits.ANEW) -> ContextManager[None]:
    """Makes one line of what h5py raises in a damaged dataset; a context manager."""
    return limits.telling('{}: "{}"'.format(path, errors.quote(key)), 'a dataset', remedy)


def dataset(stream: Any, path: str, key: str, kinds: str = arrays.NUMBERS,
            remedy: str = limits.ANEW) -> Any:
    """Returns a dataset of plain values, an array of any shape, of an opened file.

    Args:
      stream: h5py.File or group; path: str; key: str; kinds: str, as in `numpy.dtype.kind`.
      remedy: str, a sentence for the message.
    Raises:
      errors.InputError: there is no such dataset, or it holds other values.
    """
    import h5py
    with telling(path, key, remedy):
        dataset = stream.get(key)
        if not isinstance(dataset, h5py.Dataset):
            raise errors.InputError('{} has no dataset "{}" (found: {}). {}'.format(
                path, key, errors.listed(sorted(stream)), remedy))
        if not dataset.shape:
            raise errors.InputError('{}: "{}" holds no array. {}'.format(path, key, remedy))
        kind = dataset.dtype
        if kind.kind not in kinds or kind.fields or kind.subdtype:
            raise errors.InputError('{}: "{}" holds {}, expected {}. {}'.format(
                path, key, errors.quote(kind, 30),
                'numbers' if kinds == arrays.NUMBERS else 'plain values', remedy))
        if kind.kind == 'O':    # beyond what `probe` has read to the end
            limits.check_size(path, key, limits.count(dataset.shape) * _size_of(dataset), _PROBE,
                              remedy)
        return dataset


def values(data: Any, place: Any, path: str, remedy: str = limits.ANEW,
           most: int = limits.MAX_BYTES) -> np.ndarray:
    """Reads a part of a dataset.

    Args:
      data: h5py.Dataset; of any shape; place: int, slice or tuple of them (no negative steps).
      path: str, and remedy: str, a sentence, for messages; most: int, bytes of the part.
    Raises:
      errors.InputError: it is damaged, or takes too much.
    """
    place = place if isinstance(place, tuple) else (place,)
    with telling(path, str(data.name).strip('/'), remedy):
        sizes = [len(range(*one.indices(size))) if isinstance(one, slice) else 1
                 for one, size in zip(place, data.shape)] + list(data.shape[len(place):])
        limits.check_size(path, str(data.name).strip('/'),
                          limits.count(sizes) * data.dtype.itemsize, most, remedy)
        _check_chunks(str(data.name).strip('/'), count_chunks(data, place), _MOST_CHUNKS)
        return data[place]


def count_chunks(data: Any, place: Sequence[Any] = ()) -> int:
    """Returns how many chunks a part of a dataset lies in, whether they are there or not.

    Args:
      data: h5py.Dataset; of any shape; place: as in `values`, a tuple.
    """
    counts = []
    for number, (size, chunk) in enumerate(zip(data.shape, data.chunks or ())):
        one = place[number] if number < len(place) else slice(None)
        rows = range(*one.indices(size)) if isinstance(one, slice) else range(1)
        counts.append(rows[-1] // chunk - rows[0] // chunk + 1 if rows else 0)
    return limits.count(counts)


def _check_chunks(name: str, number: int, most: int) -> None:
    if number > most:
        raise ValueError('"{}" lies in {} chunks, more than the {} that are read at once'.format(
            errors.quote(name), number, most))


def read(path: str, names: Optional[Sequence[str]] = None, what: str = _WHAT,
         remedy: str = limits.ANEW, most: int = limits.MAX_BYTES) -> Dict[str, np.ndarray]:
    """Reads whole datasets in a child process.

    Args:
      path: str; names: str of datasets, those of them that are there; None: all of the uppermost.
      what, remedy: str, for messages; most: int, bytes that the datasets may take together.
    Returns:
      dict {name: array of numbers or text, of any shape}; groups and datasets
      of other values are left out.
    Raises:
      errors.InputError: the file is missing, damaged, refers to other files, or takes too much.
    """
    limits.look(path, what, remedy)
    return child.run(read_all, 'h5py', path, {
        'names': None if names is None else list(names), 'most': most}, what, remedy)[1]


class Writer:
    """A file that is being written, see `writing`.

    Attributes:
      file: h5py.File.
    """

    def __init__(self, path: str, sink: '_Sink', remedy: str):
        import h5py
        self.file = h5py.File(sink, 'w')
        self._path, self._sink, self._remedy = path, sink, remedy

    def check(self) -> None:
        """Call it now and then in a long file, since what the disk refuses stays in memory.

        Raises:
          errors.InputError: something could not be written so far.
        """
        failure = self._sink.failure
        if failure is not None:
            raise errors.InputError('cannot write {}: {}. {}'.format(
                self._path, failure.strerror or failure, self._remedy))


@contextlib.contextmanager
def writing(path: str, remedy: str = 'Free some space, then give the same command again.'
            ) -> Iterator[Writer]:
    """Yields a Writer; the file appears when the block ends well.

    Args:
      path: str; remedy: str, a sentence for the message.
    Raises:
      errors.InputError: the disk is full or the folder cannot be written to; nothing half-written
        is left.
    """
    with files.replacing(path) as temporary:
        with open(temporary, 'wb+', buffering=0) as stream:
            writer = Writer(path, _Sink(stream), remedy)
            try:
                yield writer
            finally:
                writer.file.close()
            writer.check()


class _Sink:
    """A file as HDF5 sees it, on which every write succeeds.

    HDF5 cannot close a file whose last writes fail, and ends the process with signal 11 at its
    exit. So the first failure is kept, and what follows it stays in memory, to be read back.
    """

    def __init__(self, stream: Any):
        self.failure: Optional[OSError] = None
        self._stream, self._place = stream, 0
        self._kept: List[Tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, self._place, self._end())[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        pass    # the stream has no buffer

    def truncate(self, size: Optional[int] = None) -> int:
        size = self._place if size is None else size
        if self.failure is None:
            try:
                self._stream.truncate(size)
            except OSError as error:
                self.failure = error
        return size

    def write(self, data: Any) -> int:
        data = bytes(data)
        if self.failure is None:
            try:
                self._write(data)
            except OSError as error:
                self.failure = error
        if self.failure is not None:
            self._kept.append((self._place, data))
        self._place += len(data)
        return len(data)

    def _write(self, data):
        self._stream.seek(self._place)
        written = 0
        while written < len(data):
            written += self._stream.write(data[written:])

    def read(self, size: int) -> bytes:
        self._stream.seek(self._place)
        content = bytearray(self._stream.read(size).ljust(size, b'\0'))
        for place, data in self._kept:
            first, last = max(place, self._place), min(place + len(data), self._place + size)
            if first < last:
                content[first - self._place:last - self._place] = data[first - place:last - place]
        self._place += size
        return bytes(content)

    def _end(self):
        return max([self._stream.seek(0, 2)] + [place + len(data) for place, data in self._kept])


def probe(path: str, request: Dict[str, Any]) -> child.Answer:
    """Walks through a file (in the child): links, layouts, filters, indices of chunks, some values.

    Raises:
      ValueError: it refers to other files, or asks for too much.
    """
    import h5py
    with h5py.File(path, 'r') as stream:
        left, most = _PROBE, _MOST_CHUNKS + stream.id.get_filesize() // _BYTES_OF_CHUNK
        for name, item in _walk(stream):
            for key in item.attrs:
                if item.attrs.get_id(key).get_storage_size() > _PROBE:
                    raise ValueError('the attribute {} is too large'.format(errors.quote(key)))
                _tolerantly(lambda item=item, key=key: item.attrs[key])
            if isinstance(item, h5py.Dataset):
                _check(name, item, most)
                left = _try(item, left)
    return {}, {}


def _tolerantly(function):
    """Values of kinds that h5py or NumPy does not know are nobody's; the rest has to be read.

    What this process has no memory for, the one that reads it afterwards would have.
    """
    try:
        return function()
    except (TypeError, ValueError):
        return None
    except OSError as error:
        if 'conversion path' not in str(error):
            raise
        return None


def _walk(stream) -> Iterator:
    """Yields (name, object) of all that hard links lead to.

    Raises:
      ValueError: a link leads to another file, or there are too many.
    """
    import h5py
    waiting, seen = [('', stream)], set()
    while waiting:
        name, item = waiting.pop()
        place = h5py.h5o.get_info(item.id).addr
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > _MOST_OBJECTS:
            raise ValueError('it has more than {} objects'.format(_MOST_OBJECTS))
        yield name, item
        if isinstance(item, h5py.Group):
            for key in item:
                link = item.get(key, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise ValueError('"{}" is a link to another file ({}), which is not '
                                     'followed'.format(errors.quote(key, 30),
                                                       errors.quote(link.filename, 30)))
                if isinstance(link, h5py.HardLink):
                    waiting.append((name + '/' + key if name else key, item[key]))


def _size_of(data) -> int:
    """Bytes of an element in memory; of text of variable length those of its pointer."""
    return data.id.get_type().get_size()


def _check(name: str, data, most: int) -> None:
    """Raises a ValueError if a dataset lies elsewhere, or takes more than it can.

    Args:
      name: of the dataset; data: h5py.Dataset; most: chunks that it may have.
    """
    import h5py
    plist = data.id.get_create_plist()
    if plist.get_external_count() or plist.get_layout() == getattr(h5py.h5d, 'VIRTUAL', -1):
        raise ValueError('"{}" lies in other files, which are not followed'.format(
            errors.quote(name)))
    if plist.get_layout() == h5py.h5d.CHUNKED:
        size = limits.count(plist.get_chunk()) * _size_of(data)
        if size > _MOST_CHUNK:
            raise ValueError('"{}" has chunks of {}, more than the {} that are read at once'.format(
                errors.quote(name), limits.human(size), limits.human(_MOST_CHUNK)))
        _check_chunks(name, count_chunks(data), most)
    for number in range(plist.get_nfilters()):
        kind = plist.get_filter(number)[0]
        if kind not in _FILTERS:
            raise ValueError('"{}" is packed by the filter {}, which is not known'.format(
                errors.quote(name), kind))


def _try(data, left: int) -> int:
    """Reads values of a dataset, all or its first and last row; returns the bytes left to read."""
    if data.shape is None or not data.size:
        return left
    data.id.get_storage_size()      # goes through the whole index of chunks
    size = limits.count(data.shape) * _size_of(data)
    row = size // data.shape[0] if data.shape else size
    if size <= left:
        _tolerantly(lambda: data[()])
        return left - size
    if row <= _PROBE:
        _tolerantly(lambda: (data[0], data[data.shape[0] - 1]))
    return left


def read_all(path: str, request: Dict[str, Any]) -> child.Answer:
    """Reads datasets (in the child)."""
    import h5py
    result, left = {}, request['most']
    with h5py.File(path, 'r') as stream:
        for name, item in _walk(stream):
            wanted = request['names'] is None and '/' not in name or name in (
                request['names'] or ())
            if not wanted or not isinstance(item, h5py.Dataset):
                continue
            _check(name, item, _MOST_CHUNKS)
            size = limits.count(item.shape or ()) * _size_of(item)
            limits.check_size('"{}"'.format(errors.quote(name)), 'it', size, left, '')
            left -= size
            value = np.asarray(item[()])
            if value.dtype.kind == 'O':
                value = _texts(value)
            if value is not None and value.dtype.kind in arrays.NUMBERS + arrays.TEXT and not (
                    value.dtype.fields):
                result[name] = value
    return {}, result


def _texts(value: np.ndarray) -> Optional[np.ndarray]:
    """Text of variable length as an array of text; None if it is none."""
    flat = [one.decode('utf-8', 'replace') if isinstance(one, bytes) else one
            for one in value.ravel().tolist()]
    if not all(isinstance(one, str) for one in flat):
        return None
    return np.array(flat, dtype='U' if flat else 'U1').reshape(value.shape)

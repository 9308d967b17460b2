"""Folders of data from outside: what systems and programs leave in them is no data."""
import os
import re
from typing import List, NamedTuple, Sequence, Tuple

from common import errors

_LITTER = ('__macosx', '__pycache__', 'lost+found', '@eadir', 'thumbs.db', 'desktop.ini',
           '$recycle.bin', 'recycler', '#recycle', 'system volume information')
_SPLITS = {'train': 'train', 'training': 'train', 'test': 'test', 'testing': 'test', 'val': 'val',
           'valid': 'val', 'validation': 'val'}
_SPLIT_END = re.compile('[ _-]?(set|split|data)$')      # of train_set and the like
_SHAPENET = re.compile(r'(?<=[^/])(/models)?/model(_normalized(\.solid|\.surface)?)?$')


class Item(NamedTuple):
    """A file of a folder of data.

    Attributes:
      path: str, relative to the folder.
      folders: names of the folders down to it, without that of its split.
      split: 'train', 'test', 'val', or '' where no folder says.
      is_split_first: bool, whether the split is the uppermost folder.
    """

    path: str
    folders: Tuple[str, ...]
    split: str
    is_split_first: bool


def is_data(name: str) -> bool:
    """Says whether an entry of a folder may be data: not hidden, no __MACOSX or Thumbs.db."""
    return not name.startswith('.') and name.lower() not in _LITTER


def check_name(folder: str, name: str) -> None:
    """Makes sure that a name can stand on a line of a table, which is UTF-8.

    Args:
      folder: str, for the message; name: str, of a file or folder in it, perhaps a relative path.
    Raises:
      errors.InputError: it breaks the line, or has bytes that are no UTF-8.
    """
    if name.splitlines() != [name] or any('\ud800' <= letter <= '\udfff' for letter in name):
        raise errors.InputError('{}: the name {} has a line break or bytes that are no UTF-8. '
                                'Rename it.'.format(folder, errors.quote(name, 80)))


def names(folder: str) -> List[str]:
    """Returns the entries of a folder that may be data, sorted; none if there is no such folder."""
    return sorted(filter(is_data, os.listdir(folder))) if os.path.isdir(folder) else []


def shape_name(name: str) -> str:
    """Returns the name of a shape by its path without the ending; ShapeNet's lie a folder down.

    <shape>/model of its first version, <shape>/models/model_normalized of its second.
    """
    return _SHAPENET.sub('', name)


def subfolders(folder: str) -> List[str]:
    """Returns the folders in a folder that may hold data, sorted; errors as in `check_name`."""
    inner = [name for name in names(folder) if os.path.isdir(os.path.join(folder, name))]
    for name in inner:
        check_name(folder, name)
    return inner


def below(folder: str, extensions: Sequence[str]) -> List[str]:
    """Returns the files at any depth below a folder, also behind links.

    Args:
      folder: str; extensions: in small letters, with the dot.
    Returns:
      list of relative paths, sorted by their parts.
    Raises:
      errors.InputError: see `check_name`.
    """
    paths, seen = [], set()
    for place, inner, entries in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:     # a link back to a folder above
            inner[:] = []
            continue
        seen.add(os.path.realpath(place))
        inner[:] = filter(is_data, inner)
        paths += [os.path.relpath(os.path.join(place, name), folder) for name in entries
                  if is_data(name) and os.path.splitext(name)[1].lower() in extensions]
    for path in paths:
        check_name(folder, path)
    return sorted(paths, key=lambda path: path.split(os.sep))


def split_of(name: str) -> str:
    """Returns the split that the name of a folder tells: 'train', 'test', 'val', or ''."""
    return _SPLITS.get(_SPLIT_END.sub('', name.lower()), '')


def items(folder: str, extensions: Sequence[str]) -> List[Item]:
    """Returns the files below a folder with the split that their folders tell.

    The split is the uppermost folder where all of these are splits (train/<class>/), else a folder
    further down (<class>/train/).

    Args:
      folder, extensions: see `below`.
    """
    paths = below(folder, extensions)
    rows = [(path, path.split(os.sep)[:-1]) for path in paths]
    tops = {parts[0] if parts else '' for _, parts in rows}
    # A class beside others may be called train.
    first = 0 if tops and all(map(split_of, tops)) else 1
    result = []
    for path, parts in rows:
        place = next((number for number in range(first, len(parts)) if split_of(parts[number])),
                     None)
        result.append(Item(path, tuple(parts), '', False) if place is None else Item(
            path, tuple(parts[:place] + parts[place + 1:]), split_of(parts[place]),
            not place))
    return result

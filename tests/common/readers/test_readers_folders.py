"""Tests of common/readers/folders.py: what is data, splits, names of shapes."""
import os

import pytest

from common import errors
from common.readers import folders


def _touch(root, *paths):
    for path in paths:
        place = os.path.join(str(root), path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        open(place, 'w').close()


def test_what_systems_leave_is_no_data(tmp_path):
    _touch(tmp_path, 'b/2.obj', 'b/1.OBJ', 'a/x/y.obj', 'a/notes.txt', '__MACOSX/a/1.obj',
           '__MACOSX/a/._1.obj', 'a/._1.obj', '.ipynb_checkpoints/1.obj',
           'a/.ipynb_checkpoints/y.obj', 'Thumbs.db', '.DS_Store',
           'System Volume Information/1.obj', '#recycle/car/1.obj')
    os.symlink(str(tmp_path), str(tmp_path / 'a' / 'back'))
    assert folders.below(str(tmp_path), ('.obj',)) == ['a/x/y.obj', 'b/1.OBJ', 'b/2.obj']
    assert folders.subfolders(str(tmp_path)) == folders.names(str(tmp_path)) == ['a', 'b']
    assert folders.names(str(tmp_path / 'nowhere')) == []


@pytest.mark.parametrize('name', [b'bad\xff', b'two\nlines', b'old\rmac', b'\xe2\x80\xa8line',
                                  b'half \xed\xa0\x80'])
def test_names_that_no_table_can_hold_are_told(tmp_path, name):
    place = os.path.join(os.fsencode(str(tmp_path)), b'a', name)
    os.makedirs(place)
    assert folders.below(str(tmp_path), ('.obj',)) == []    # what is no data may have any name
    with pytest.raises(errors.InputError, match='Rename it') as caught:
        folders.subfolders(str(tmp_path / 'a'))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 290
    open(os.path.join(place, b'1.obj'), 'w').close()
    for function in (folders.below, folders.items):
        with pytest.raises(errors.InputError, match='Rename it'):
            function(str(tmp_path), ('.obj',))


def test_other_names_are_taken_as_they_are(tmp_path):
    names = ['e\u0301', '\u00e9', '\u202egnp', 'a\tb', '<b>', '\U0001f600', ' a ', '-rf', '%s{0}']
    _touch(tmp_path, *('{}/1.obj'.format(name) for name in names))
    assert folders.subfolders(str(tmp_path)) == sorted(names)
    assert len(folders.items(str(tmp_path), ('.obj',))) == len(names)


@pytest.mark.parametrize('paths, expected', [
    (['train/car/a.obj', 'Test/car/b.obj', 'val/c.obj'],
     [('test', ('car',), True), ('train', ('car',), True), ('val', (), True)]),
    (['car/train/a.obj', 'car/x/testing/b.obj', 'car/c.obj'],
     [('', ('car',), False), ('train', ('car',), False), ('test', ('car', 'x'), False)]),
    (['train_set/car/a.obj', 'TestSet/car/b.obj', 'validation-data/c.obj'],
     [('test', ('car',), True), ('train', ('car',), True), ('val', (), True)]),
    (['train/a.obj', 'car/b.obj', 'tv/c.obj'],
     [('', ('car',), False), ('', ('train',), False), ('', ('tv',), False)]),
    (['a.obj'], [('', (), False)])])
def test_the_split_is_told_by_the_folders(tmp_path, paths, expected):
    _touch(tmp_path, *paths)
    items = folders.items(str(tmp_path), ('.obj',))
    assert [(item.split, item.folders, item.is_split_first) for item in items] == expected


@pytest.mark.parametrize('name, expected', [
    ('a/b/model', 'a/b'), ('a/b/models/model_normalized', 'a/b'), ('model', 'model'),
    ('a/b/models/model_normalized.solid', 'a/b'), ('a/remodel', 'a/remodel'), ('a/b', 'a/b')])
def test_the_shapes_of_shapenet_are_named_by_their_folder(name, expected):
    assert folders.shape_name(name) == expected

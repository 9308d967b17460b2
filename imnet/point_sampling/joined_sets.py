"""Joins the files of categories and splits them into training and test."""
import os

from common import cli, errors
from common.readers import folders, hdf5
from imnet.point_sampling import tables

# The author's order; other categories follow by name.
CATEGORIES = ('02691156_airplane', '02828884_bench', '02933112_cabinet', '02958343_car',
              '03001627_chair', '03211117_display', '03636649_lamp', '03691459_speaker',
              '04090263_rifle', '04256520_couch', '04379243_table', '04401088_phone',
              '04530566_vessel')

_AGAIN = 'Make it again.'


def _categories(root):
    """Names of the folders that hold sampled points, in order, with the files in them."""
    names = [name for name in folders.names(root)
             if os.path.exists(os.path.join(root, name, name[:8] + '_vox256.hdf5'))]
    if not names:
        raise errors.InputError('{} has no folder <category>/ with <id8>_vox256.hdf5. Make them '
                                'with python imnet/point_sampling/gather_vox.py.'.format(root))
    known = [name for name in CATEGORIES if name in names]
    return known + [name for name in names if name not in known]


def _rows(root, category, half, with_views):
    """(name, arrays) of the shapes of one half of a category."""
    stem = _stem(root, category)
    names = tables.read_names(stem + '_vox256.txt')
    with _open(stem + '_vox256.hdf5', names) as points:
        pictures = _open(stem + '_img.hdf5', names) if with_views else None
        for row in tables.split(names)[half]:
            arrays = {key: _row(points, key, row) for key in tables.VOXEL_KEYS}
            if pictures is not None:
                arrays['pixels'] = _row(pictures, 'pixels', row)
            yield '{}/{}'.format(category, names[row]), arrays
        if pictures is not None:
            pictures.close()


def _open(path, names):
    """Opens a file of as many shapes as there are names; else a name would be another shape's."""
    stream = hdf5.open_file(path, remedy=_AGAIN)
    for key in ('pixels',) if path.endswith('_img.hdf5') else tables.VOXEL_KEYS:
        count = len(hdf5.dataset(stream, path, key, remedy=_AGAIN))
        if count != len(names):
            raise errors.InputError('{}: "{}" has {} shapes, and the .txt file beside {} names. {}'
                                    .format(path, key, count, len(names), _AGAIN))
    return stream


def _row(source, key, row):
    return hdf5.values(source[key], row, source.filename, _AGAIN)


def _count(root, category, half):
    return len(tables.split(tables.read_names(_stem(root, category) + '_vox256.txt'))[half])


def _stem(root, category):
    return os.path.join(root, category, category[:8])


def _check_views(root, category):
    """Raises errors.InputError where the views are those of other shapes than the points."""
    path = _stem(root, category) + '_img.txt'
    if os.path.exists(path) and tables.read_names(path) != tables.read_names(
            _stem(root, category) + '_vox256.txt'):
        raise errors.InputError('{} lists other shapes than {}_vox256.txt: run gather_img.py '
                                'again.'.format(path, category[:8]))


def _write(path, root, categories, half):
    with_views = all(os.path.exists(_stem(root, name) + '_img.hdf5') for name in categories)
    for name in categories if with_views else []:
        _check_views(root, name)
    count = sum(_count(root, name, half) for name in categories)
    if not count:
        cli.say('note: no shape for {}'.format(path))
        return
    names = []

    def rows():
        for category in categories:
            for name, arrays in _rows(root, category, half, with_views):
                names.append(name)
                yield arrays

    tables.write_rows(path, rows(), count, 'gzip')
    tables.write_names(path, names)
    cli.say('{} shapes{} in {}'.format(count, '' if with_views else ' without views', path))


def gather(options: cli.Options) -> None:
    """Joins and splits the categories of --data_path, or each by itself."""
    root = options.data_path
    categories = _categories(root)
    for half in ('train', 'test'):
        if options.each:
            for name in categories:
                _write(os.path.join(root, name, '{}_vox256_img_{}.hdf5'.format(name[:8], half)),
                       root, [name], half)
        else:
            _write(os.path.join(options.output or root, '{}_{}.hdf5'.format(options.dataset, half)),
                   root, categories, half)

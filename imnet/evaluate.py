"""Measures reconstructions: Chamfer distance, normal consistency, F-score, IoU, beside a baseline.

--kind=ae encodes the voxels of each shape, --kind=svr its picture (the last view, or --view). The
truth is --truth, a folder of <category>/<shape>.ply (points with normals, or meshes); without it,
the surface of the 64^3 voxels of the set, and then the mesh is brought to 64^3 in the same way. The
baseline is the training shape whose voxels have the largest IoU with those of the shape. Tables go
to <output_path>/eval as .csv and .md.

Example: python imnet/evaluate.py --data_path=data --output_path=output/full --split=test
"""
import csv
import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import trimesh

from common import cli, errors, files
from common.geometry import meshes, voxel_grids
from imnet import data_utils, draw, extraction, light_field, measures, meshing, saved
from imnet.IMGAN import main as gan_main
from imnet.IMSVR import main as svr_main
from imnet.IMSVR import views
from imnet.point_sampling import sampler

_COLUMNS = ('iou', 'point_iou', 'chamfer', 'normals', 'f_score', 'lfd')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--kind', choices=('ae', 'svr'), default='ae',
                        help='from voxels, or from pictures')
    parser.add_argument('--truth', default='',
                        help='folder of <category>/<shape>.ply (or .obj): true surfaces in '
                             '[-0.5, 0.5]^3')
    cli.add_flag(parser, '--baseline', default=True, help='the nearest training shape too')
    cli.add_flag(parser, '--lfd', help='Light Field Distance too (seconds a shape), against the '
                 'surface of the 64^3 voxels')
    parser.add_argument('--pictures', type=cli.non_negative_int, default=8,
                        help='shapes in the picture of truth and reconstruction')
    saved.add_options(parser, 32)
    meshing.add_options(parser)
    cli.add_run_options(parser, saved.OUTPUT_PATH)
    parser.set_defaults(split='test', view=None)
    return parser.parse_args(argv)


class _Network:
    """Codes and fields of the shapes of a split.

    Args:
      config: completed namespace; data: data_utils.Set.
    """

    def __init__(self, config, data):
        self._config, self._data = config, data
        self._view = views.checked(data, config.view) if config.kind == 'svr' else None
        loaded = gan_main.load_ae(config) if config.kind == 'ae' else svr_main.load(config)
        self._net, self._sess = loaded

    def field(self, row):
        """The field of a shape."""
        if self._config.kind == 'ae':
            code = self._net.codes_of(self._sess, [self._data.voxels(row)])[0]
        else:
            view = views.cropped(self._data.pixels()[row, self._view])
            code = svr_main.code_of(self._net, self._sess, view)
        return self._net.field(self._sess, code)


def _box_surface(grid):
    """Surface of a 64^3 grid in [-0.5, 0.5]^3."""
    vertices, triangles = voxel_grids.surface(grid)
    return vertices / len(grid) - 0.5, triangles


def _truth(config, name, grid, rng):
    """Sampled true surface (points, normals) and a mesh to draw."""
    mesh = _box_surface(grid)
    if not config.truth:
        return measures.sample_surface(*mesh, measures.POINTS, rng), mesh
    for ending in ('.ply', '.obj'):
        path = os.path.join(config.truth, name + ending)
        if os.path.exists(path):
            loaded = trimesh.load(path, process=False)
            if isinstance(loaded, trimesh.Trimesh) and len(loaded.faces):
                held = meshes.read(path)
                return measures.sample_surface(held.vertices, meshes.triangulate(held.faces),
                                               measures.POINTS, rng), mesh
            return _cloud(path), mesh
    raise errors.InputError('{} has no {}.ply or .obj, the true surface of a shape.'.format(
        config.truth, name))


def _cloud(path):
    """Points and normals of a .ply without faces."""
    loaded = trimesh.load(path, process=False)
    raw = loaded.metadata.get('_ply_raw', loaded.metadata.get('ply_raw', {}))
    rows = raw.get('vertex', {}).get('data', {})    # a dict of an ASCII file, else a record array
    names = rows if isinstance(rows, dict) else rows.dtype.names
    if not {'nx', 'ny', 'nz'} <= set(names):
        raise errors.InputError('{} has points without normals (nx, ny, nz).'.format(path))
    return [np.stack([np.ravel(rows[prefix + axis]) for axis in 'xyz'], axis=1).astype(float)
            for prefix in ('', 'n')]


def _measure(config, data, row, network, train_grids):
    """Figures of a shape, of its baseline, and meshes to draw."""
    rng = np.random.RandomState([config.seed, row])
    name, voxels = data.names()[row], data.voxels(row)[..., 0] > 0
    truth, shown = _truth(config, name, voxels, rng)
    field = network.field(row)
    grid = extraction.MODES[config.extraction](field, config.resolution).grid
    occupied = grid[1:-1, 1:-1, 1:-1] > extraction.THRESHOLD
    pooled = sampler.pooled(occupied, 64)
    if occupied.any():
        vertices, triangles = extraction.surface(grid)
    else:
        vertices, triangles = np.zeros([0, 3]), np.zeros([0, 3], int)
    measured = (vertices, triangles) if config.truth else _box_surface(pooled)
    cells, values = data.points(row)
    inside = field(data_utils.coordinates(cells)) > extraction.THRESHOLD
    result = {'iou': measures.iou(pooled, voxels),
              'point_iou': measures.iou(inside, values[:, 0] > 0)}
    result.update(measures.compare(
        measures.sample_surface(*measured, measures.POINTS, rng), truth))
    true_views = light_field.describe(*shown) if config.lfd else None
    result['lfd'] = _lfd(_box_surface(pooled), true_views)
    near = None
    if train_grids is not None:
        overlaps = _overlaps(train_grids, voxels)
        if config.split == 'train' and len(overlaps) > 1:
            overlaps[row] = -1      # the nearest of the others
        best = int(np.argmax(overlaps))
        mesh = _box_surface(_unpacked(train_grids[best]))
        near = dict({'iou': float(overlaps[best]), 'point_iou': np.nan}, **measures.compare(
            measures.sample_surface(*mesh, measures.POINTS, rng), truth),
            lfd=_lfd(mesh, true_views))
    category = name.split('/')[0] if '/' in name else 'all'
    return (dict(result, category=category, shape=name),
            None if near is None else dict(near, category=category, shape=name),
            (shown, (vertices, triangles)))


def _lfd(mesh, true_views):
    """Light Field Distance of a mesh; NaN where none is asked for or there is no mesh."""
    if true_views is None or not len(mesh[1]):
        return np.nan
    return light_field.distance(light_field.describe(*mesh), true_views)


def _overlaps(packed, voxels):
    """IoU of a grid with each of the packed ones: float [M]."""
    own = np.packbits(voxels)
    counts = np.array([bin(number).count('1') for number in range(256)], np.int64)
    both = np.array([counts[row & own].sum() for row in packed])
    either = np.array([counts[row | own].sum() for row in packed])
    return both / np.maximum(either, 1)


def _unpacked(packed):
    return np.unpackbits(packed).reshape(3 * [64]).astype(bool)


def _train_grids(config, measured):
    """Voxels of the training shapes, 32 kB each: list of uint8 [32768], or None.

    Args:
      config: namespace; measured: str, the file of the shapes that are measured.
    """
    if not config.baseline:
        return None
    try:
        path = data_utils.find(config.data_dir, config.dataset, 'train')
    except errors.InputError as error:
        raise errors.InputError('{} The baseline needs it: --nobaseline goes without.'.format(
            error))
    if config.split != 'train' and os.path.samefile(path, measured):
        raise errors.InputError('{} is the only file given, so the baseline would be the measured '
                                'shapes themselves: give --nobaseline, or --data_path=FOLDER with '
                                'both splits.'.format(path))
    data = data_utils.Set(path, cache=os.path.join(config.output_path, 'cache'))
    return [np.packbits(data.voxels(row)[..., 0] > 0) for row in range(len(data))]


def write_tables(stem, tables):
    """Writes tables as .csv (each shape) and .md (means).

    Args:
      stem: str, path without ending; tables: dict {title: rows of `_measure`}.
    Returns:
      dict {title: row of the shape mean}.
    """
    lines, stream, means = [], io.StringIO(), {}
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(('method', 'category', 'shape') + _COLUMNS)
    for title, rows in tables.items():
        for row in rows:
            writer.writerow([title, row['category'], row['shape']]
                            + ['{:.6g}'.format(row[name]) for name in _COLUMNS])
        averaged = measures.averages(rows)
        if averaged[-1]['empty']:
            cli.say('note: {} of {} shapes of {} have no surface; the mean distance is that '
                          'of the rest'.format(averaged[-1]['empty'], len(rows), title))
        means[title] = averaged[-1]
        without = ', {} without a surface'.format(averaged[-1]['empty'])
        lines += ['## {} ({} shapes{})'.format(
            title, len(rows), without if averaged[-1]['empty'] else ''), '',
                  '| category | IoU | IoU at points | CD x1000 | NC | F at 0.01 | LFD |',
                  '| --- | --- | --- | --- | --- | --- | --- |']
        lines += ['| {} | {} |'.format(row['category'], ' | '.join(
            '{:.4f}'.format(row[name]) if np.isfinite(row[name]) else '-' for name in _COLUMNS))
            for row in averaged] + ['']
    files.write_text(stem + '.csv', stream.getvalue())
    files.write_text(stem + '.md', '\n'.join(lines))
    return means


def evaluate(config):
    """Measures the shapes of a split and writes tables and a picture.

    Returns:
      dict of the means over shapes.
    """
    path = saved.complete(config, config.split)
    keys = ('voxels', 'pixels') if config.kind == 'svr' else ('voxels',)
    data = data_utils.Set(path, 64, keys=keys, cache=os.path.join(config.output_path, 'cache'))
    train_grids = _train_grids(config, path)
    network = _Network(config, data)
    tables, drawn = {config.kind: []}, []
    if train_grids is not None:
        tables['nearest training shape'] = []
    for row in meshing.rows_of(data, config, everything=True):
        found, near, shown = _measure(config, data, row, network, train_grids)
        tables[config.kind].append(found)
        if near is not None:
            tables['nearest training shape'].append(near)
        if len(drawn) < config.pictures:
            drawn.append(shown)
        cli.say('{}  {}'.format(found['shape'], '  '.join(
            '{} {:.4f}'.format(name, found[name]) for name in _COLUMNS)))
    stem = os.path.join(config.output_path, 'eval', '{}_{}'.format(config.kind, config.split))
    means = write_tables(stem, tables)
    if drawn:
        draw.gallery(stem + '.png', [pair[0] for pair in drawn] + [pair[1] for pair in drawn],
                     ['truth'] * len(drawn) + ['reconstruction'] * len(drawn), len(drawn))
    for title, row in means.items():
        cli.say('mean, {}: {}'.format(title, '  '.join(
            '{} {:.4f}'.format(name, row[name]) for name in _COLUMNS)))
    cli.say('tables in {}.csv and .md'.format(stem))
    return means[config.kind]


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(evaluate, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

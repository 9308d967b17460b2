"""Measures of reconstructions and of the nearest training shapes; tables and a picture of them."""
import csv
import io
import os
from typing import Any, Dict, List, NamedTuple

import numpy as np

from common import cli, errors, files
from common.geometry import meshes, plots, voxel_grids
from common.training import familiar, launch, reporting
from imnet import data_utils, draw, extraction, inference, light_field, measures, meshing, networks
from imnet.IMSVR import views
from imnet.point_sampling import sampler

_COLUMNS = ('iou', 'point_iou', 'chamfer', 'normals', 'f_score', 'lfd')
_BASELINE = 'nearest training shape'
_MOST_SHAPES, _VIEWS = 400, 3       # shapes and their views that tell where features usually lie


def _box_surface(grid):
    """Surface of a 64^3 grid in [-0.5, 0.5]^3."""
    vertices, triangles = voxel_grids.surface(grid)
    return vertices / len(grid) - 0.5, triangles


def _truth(options, name, grid, rng):
    """Sampled true surface (points, normals) and a mesh to draw."""
    mesh = _box_surface(grid)
    if not options.truth:
        return measures.sample_surface(*mesh, measures.POINTS, rng), mesh
    for ending in ('.ply', '.obj'):
        path = os.path.join(options.truth, name + ending)
        if os.path.exists(path):
            cloud = meshes.read_cloud(path) if ending == '.ply' else None
            return cloud or measures.sample_surface(
                *meshes.read_triangles(path), measures.POINTS, rng), mesh
    raise errors.InputError('{} has no {}.ply or .obj, the true surface of a shape.'.format(
        options.truth, name))


class _Shape(NamedTuple):
    """A shape to measure."""

    name: str
    voxels: np.ndarray      # bool [64, 64, 64]
    truth: Any              # (points, normals) of the true surface
    views: Any              # of the true mesh, for the Light Field Distance; or None


def _measure(options, context, data, row, field, train_grids):
    """Measures a shape: (figures, those of the baseline or None, (true mesh, mesh) to draw)."""
    rng = np.random.RandomState([context.seed, row])
    name, voxels = data.names()[row], data.voxels(row)[..., 0] > 0
    truth, true_mesh = _truth(options, name, voxels, rng)
    shape = _Shape(name, voxels, truth,
                   light_field.describe(*true_mesh) if options.lfd else None)
    figures, mesh = _reconstruction(options, shape, field, *data.points(row), rng)
    baseline = None
    if train_grids is not None:
        overlaps = _overlaps(train_grids, voxels)
        if options.split == 'train' and len(overlaps) > 1:
            overlaps[row] = -1      # the nearest of the others
        best = int(np.argmax(overlaps))
        nearest = _box_surface(_unpacked(train_grids[best]))
        baseline = _figures(shape, overlaps[best], np.nan, nearest, nearest, rng)
    return figures, baseline, (true_mesh, mesh)


def _reconstruction(options, shape, field, cells, values, rng):
    """Measures what a field says of a shape: (figures, mesh); the mesh may have no triangle."""
    grid = extraction.MODES[options.extraction](field, options.resolution).grid
    occupied = grid[1:-1, 1:-1, 1:-1] > extraction.THRESHOLD
    mesh = (extraction.surface(grid) if occupied.any()
            else (np.zeros([0, 3]), np.zeros([0, 3], int)))
    pooled = sampler.pooled(occupied, 64)
    inside = field(data_utils.coordinates(cells)) > extraction.THRESHOLD
    coarse_mesh = _box_surface(pooled)
    return _figures(shape, measures.iou(pooled, shape.voxels),
                    measures.iou(inside, values[:, 0] > 0), mesh if options.truth else coarse_mesh,
                    coarse_mesh, rng), mesh


def _figures(shape, iou, point_iou, mesh, coarse_mesh, rng):
    """{column: figure} of a shape; `mesh` is compared, `coarse_mesh` gives the silhouettes."""
    distances = measures.compare(
        measures.sample_surface(*mesh, measures.POINTS, rng), shape.truth)
    category = shape.name.split('/')[0] if '/' in shape.name else 'all'
    return dict(distances, iou=float(iou), point_iou=point_iou,
                lfd=_lfd(coarse_mesh, shape.views), category=category, shape=shape.name)


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


def _train_grids(options, measured):
    """Voxels of the training shapes, 32 kB each: list of uint8 [32768], or None.

    Args:
      options: cli.Options; measured: str, the file of the shapes that are measured.
    """
    if not options.baseline:
        return None
    try:
        path = data_utils.find(options.data_dir, options.dataset, 'train')
    except errors.InputError as error:
        raise errors.InputError('{} The baseline needs it: --nobaseline goes without.'.format(
            error))
    if options.split != 'train' and os.path.samefile(path, measured):
        raise errors.InputError('{} is the only file given, so the baseline would be the measured '
                                'shapes themselves: give --nobaseline, or --data_path=FOLDER with '
                                'both splits.'.format(path))
    data = data_utils.Set(path, cache=os.path.join(options.output_path, 'cache'))
    return [np.packbits(data.voxels(row)[..., 0] > 0) for row in range(len(data))]


def _record_features(options, network, sess, held_out):
    """Records how far features of held-out pictures lie from those of training pictures."""
    try:
        data = data_utils.Set(data_utils.find(options.data_dir, options.dataset, 'train'), keys=(
            'voxels', 'pixels'), cache=os.path.join(options.output_path, 'cache'))
    except errors.InputError:       # the set of the test split need not have one for training
        return
    familiar.record_features(options.output_path, _features(network, sess, data, 'training'))
    familiar.record(options.output_path, familiar.STRANGENESS, familiar.distances(
        options.output_path, _features(network, sess, held_out, 'held-out')))


def _features(network, sess, data, title):
    """Features [N, F] of some views of each shape of a set, of at most _MOST_SHAPES of them."""
    rows = np.unique(np.linspace(0, len(data) - 1, min(len(data), _MOST_SHAPES)).astype(int))
    count = data.pixels().shape[1]
    chosen = [(row, view) for row in rows.tolist() for view in np.random.RandomState(row).choice(
        count, min(_VIEWS if title == 'training' else count, count), replace=False)]
    pictures = (views.cropped(data.pixels()[row, view]) for row, view in reporting.progress(
        chosen, 'encoding {} pictures'.format(title)))
    return network.features_of(sess, pictures)


def write_tables(stem: str, tables: Dict[str, List[Dict[str, Any]]]) -> Dict[str, Dict[str, Any]]:
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


def evaluate(options: cli.Options, context: launch.Context) -> Dict[str, Any]:
    """Measures the shapes of a split and writes tables and a picture.

    Args:
      options: of evaluate.py; context: with the seed of the points on surfaces.
    Returns:
      dict of the means over shapes.
    """
    kind = options.kind
    options, data = data_utils.opened(options, options.split, 64, keys=(
        'voxels', 'pixels') if kind == 'svr' else ('voxels',))
    train_grids = _train_grids(options, data.path)
    read = inference.encoder_input(options, data, kind)
    tables: Dict[str, List[Dict[str, Any]]] = {kind: []}
    pairs: List[Any] = []
    doubts: List[float] = []
    if train_grids is not None:
        tables[_BASELINE] = []
    network, sess = networks.load(options, context, kind)
    with sess:
        rows = meshing.rows_of(data, options, everything=True)
        names = data.names()
        shown = {rows[place] for place in plots.in_turn(
            [names[row].split('/')[0] for row in rows], options.pictures)}
        for row in rows:
            (code,) = network.codes_of(sess, [read(row)])
            figures, baseline, meshes_of_row = _measure(
                options, context, data, row, network.field(sess, code), train_grids)
            doubts.append(inference.uncertainty(network.field(sess, code)))
            tables[kind].append(figures)
            if baseline is not None:
                tables[_BASELINE].append(baseline)
            pairs += [meshes_of_row] * (row in shown)
            cli.say('{}  {}'.format(figures['shape'], _listed(figures)))
        if kind == 'svr' and options.split != 'train':
            familiar.record(options.output_path, inference.UNCERTAINTY, doubts)
            _record_features(options, network, sess, data)
    stem = os.path.join(options.output_path, 'eval', '{}_{}'.format(kind, options.split))
    means = write_tables(stem, tables)
    if pairs:
        draw.gallery(stem + '.png', [mesh for column in zip(*pairs) for mesh in column],
                     ['truth'] * len(pairs) + ['reconstruction'] * len(pairs), len(pairs))
    for title, mean in means.items():
        cli.say('mean, {}: {}'.format(title, _listed(mean)))
    if _BASELINE in means:
        cli.say(reporting.verdict(
            'IoU', means[kind]['iou'], {_BASELINE: means[_BASELINE]['iou']}, 'More epochs, more '
            'shapes or weights that ship (--pretrained) may help.'))
    cli.say('tables in {}.csv and .md'.format(stem))
    return means[kind]


def _listed(figures):
    return '  '.join('{} {:.4f}'.format(name, figures[name]) for name in _COLUMNS)

"""Measures a network: IoU, average precision and loss by category and number of views."""
import csv
import io
import os

import numpy as np
import scipy.io
import tensorflow.compat.v1 as tf

from common import cli, files
from common.geometry import plots, voxel_grids
from common.training import reporting
from r2n2.lib import data_augmentation, data_io, data_process, layers, setup, voxel


class Predictor:
    """The graph that predicts after each of up to V views.

    Args:
      net: models.net.Net.
      found: settings.
      views, batch: int, V and B.
    """

    def __init__(self, net, found, views, batch):
        size = found.CONST.IMG_H
        self.images = tf.placeholder(tf.float32, [views, batch, size, size, 3], name='views')
        self.voxels = tf.placeholder(tf.float32, [batch] + [found.CONST.N_VOX] * 3, name='voxels')
        outputs = net.build(self.images)
        found_pairs = []
        for state in outputs.states:
            logits = net.decode(state)
            margin = logits[..., 1] - logits[..., 0]
            each = (tf.maximum(margin, 0.) - margin * self.voxels
                    + tf.log1p(tf.exp(-tf.abs(margin))))
            found_pairs.append((layers.loss(logits, self.voxels)[0],
                                tf.reduce_mean(each, axis=[1, 2, 3])))
        self.outputs = found_pairs

    def run(self, sess, images, voxels):
        """[(occupancy [B, 32, 32, 32], loss [B])] after each view.

        Args:
          images: uint8 [V, B, S, S, 3]; voxels: bool [B, 32, 32, 32].
        """
        return sess.run(self.outputs, {self.images: data_augmentation.scaled(images),
                                       self.voxels: voxels})


def fixed_views(found, seed, index, views):
    """Renderings of a test sample: the first `views` of an order that depends on it alone."""
    rng = np.random.RandomState([seed, 3, index])
    return rng.permutation(found.TRAIN.NUM_RENDERING)[:views]


def mean_shape(loader, threshold_of=(0.2, 0.3, 0.4, 0.5)):
    """Mean grid of a loader's models, cut where its IoU with them is highest.

    Returns:
      bool [32, 32, 32].
    """
    grids = np.stack([loader.voxels(index) for index in range(len(loader.pairs))])
    mean = grids.mean(axis=0)
    scores = []
    for threshold in threshold_of:
        counts = [voxel.evaluate(mean, grid, threshold) for grid in grids]
        scores.append(voxel.intersection_over_union(counts).mean())
    return mean >= threshold_of[int(np.argmax(scores))]


def test(found, data, config):
    """Measures the test portion; prints and writes tables.

    Args:
      found: settings; data: data_io.Set; config: namespace with `views` (int, or None for random
        numbers of views as in the original), `seed`, `output_path` and more.
    Returns:
      dict of figures.
    """
    counts = list(range(1, (config.views or found.CONST.N_VIEWS) + 1))
    pairs = data_io.pairs(data, found.TEST.DATASET_PORTION)
    loader = data_process.Loader(found, data, pairs, False)
    net = setup.make_net(found, config.plain)
    batch = min(found.CONST.BATCH_SIZE, len(pairs))
    found.CONST.BATCH_SIZE = batch
    predictor = Predictor(net, found, counts[-1], batch)
    rows = []       # (index, views, loss, average precision, [counts a threshold])
    shown = []
    with setup.session(config) as sess:
        setup.load(sess, net, config.weights_path)
        for first in range(0, len(pairs), batch):
            indices = list(range(first, min(first + batch, len(pairs))))
            images, voxels = loader.batch(
                indices, counts[-1], lambda index: np.random.RandomState([config.seed, 4, index]),
                lambda index: fixed_views(found, config.seed, index, counts[-1]))
            results = predictor.run(sess, images, voxels)
            if len(shown) < 6:
                shown += [(images[:, row], voxels[row], [one[0][row] for one in results])
                          for row in range(len(indices))][:6 - len(shown)]
            for row, index in enumerate(indices):
                for views in _views_of(config, index, counts):
                    occupancy, loss = results[views - 1]
                    rows.append((index, views, float(loss[row]),
                                 voxel.average_precision(occupancy[row], voxels[row]),
                                 [voxel.evaluate(occupancy[row], voxels[row], threshold)
                                  for threshold in found.TEST.VOXEL_THRESH]))
            cli.say('{}/{} models measured'.format(indices[-1] + 1, len(pairs)))
    train_loader = data_process.Loader(
        found, data, data_io.pairs(data, found.TRAIN.DATASET_PORTION), False)
    mean = mean_shape(train_loader)
    baseline = [float(voxel.intersection_over_union(
        voxel.evaluate(mean, loader.voxels(index), 0.5))) for index in range(len(pairs))]
    folder = os.path.join(config.output_path, 'eval', found.TEST.EXP_NAME)
    headline = counts[-1] if config.views else None
    return _write(rows, baseline, pairs, data, found, counts, folder, shown, headline)


def _views_of(config, index, counts):
    if config.views:
        return counts
    return [int(np.random.RandomState([config.seed, 5, index]).choice(counts))]


def _table(title, values, rows, pairs, data, counts, baseline=None):
    """Markdown lines: means of a value a row by category and number of views."""
    row_views = np.array([row[1] for row in rows])
    row_category = np.array([pairs[row[0]][0] for row in rows])
    base_category = np.array([pair[0] for pair in pairs])
    header = (['category'] + ['mean shape'] * (baseline is not None)
              + ['{} view{}'.format(views, 's' * (views > 1)) for views in counts])
    lines = [title, '', '| ' + ' | '.join(header) + ' |',
             '|---' + '|---:' * (len(header) - 1) + '|']
    for name in list(data.names) + [None]:
        of_base = base_category == name if name else np.ones(len(pairs), bool)
        if not of_base.any():
            continue
        of_rows = row_category == name if name else np.ones(len(rows), bool)
        means = [] if baseline is None else [np.mean(np.array(baseline)[of_base])]
        means += [_mean(values[of_rows & (row_views == views)]) for views in counts]
        lines.append('| ' + ' | '.join([data.names[name] if name else 'all']
                                       + ['{:.4f}'.format(mean) for mean in means]) + ' |')
    return lines


def _mean(values):
    """Mean of what is not masked; nan where nothing is left."""
    values = np.ma.compressed(values)
    return float(values.mean()) if len(values) else float('nan')


def _write(rows, baseline, pairs, data, found, counts, folder, shown, headline):
    """Writes and prints; the figures are of `headline` views, of all rows where that is None."""
    thresholds = found.TEST.VOXEL_THRESH
    scores = {threshold: voxel.intersection_over_union([row[4][place] for row in rows])
              for place, threshold in enumerate(thresholds)}
    main = scores[thresholds[0]]
    row_views = np.array([row[1] for row in rows])
    losses = np.array([row[2] for row in rows])
    precisions = np.ma.masked_invalid([row[3] for row in rows])     # nan for an empty truth
    lines = _table('IoU at threshold {:g}'.format(thresholds[0]), main, rows, pairs, data, counts,
                   baseline)
    for line in lines:
        cli.say(line)
    for title, values in (('Average precision (mAP)', precisions), ('Loss', losses)):
        lines += [''] + _table(title, values, rows, pairs, data, counts)
    chosen = row_views == headline if headline else np.ones(len(rows), bool)
    result = {'models': len(pairs), 'views': headline or 'random', 'loss': _mean(losses[chosen]),
              'mAP': _mean(precisions[chosen]), 'iou': float(main[chosen].mean()),
              'mean_shape_iou': float(np.mean(baseline)),
              'iou_by_views': {str(views): float(main[row_views == views].mean())
                               for views in counts if (row_views == views).any()},
              'iou_by_threshold': {'{:g}'.format(key): float(value[chosen].mean())
                                   for key, value in scores.items()}}
    cli.say('With {} views:'.format(result['views']))
    cli.say('Total loss: {loss:.6f}'.format(**result))
    cli.say('Total mAP: {mAP:.6f}'.format(**result))
    cli.say('IoU: {iou:.4f}; of the mean shape of the training models: {mean_shape_iou:.4f}'
                  .format(**result))
    cli.say(reporting.accuracy_line(result['iou']))
    files.write_json(os.path.join(folder, 'result.json'), result)
    files.write_text(os.path.join(folder, 'table.md'), '\n'.join(lines) + '\n')
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['category', 'model', 'views', 'loss', 'average_precision']
                    + ['iou_{:g}'.format(threshold) for threshold in thresholds])
    for place, row in enumerate(rows):
        writer.writerow(list(pairs[row[0]]) + [row[1], '{:.6f}'.format(row[2]),
                                               '{:.6f}'.format(row[3])]
                        + ['{:.6f}'.format(scores[threshold][place]) for threshold in thresholds])
    files.write_text(os.path.join(folder, 'models.csv'), text.getvalue())
    _write_mat(os.path.join(folder, 'result.mat'), rows, thresholds)
    draw(os.path.join(folder, 'reconstructions.png'), shown[:4])
    cli.say('figures and pictures in {}'.format(folder))
    return result


def _write_mat(path, rows, thresholds):
    """The original's file: a batch of one sample each; `views` [rows] tells those of a row."""
    values = {'views': np.array([row[1] for row in rows]),
              'cost': np.array([row[2] for row in rows]),
              'mAP': np.array([[row[3]] for row in rows])}
    for place, threshold in enumerate(thresholds):
        values[str(threshold)] = np.array([[row[4][place]] for row in rows])
    with files.replacing(path) as temporary:
        scipy.io.savemat(temporary, values, appendmat=False)


def draw(path, shown, threshold=0.4, up='y'):
    """A row for each sample: views, surfaces after each view, and the truth where it is known.

    Args:
      path: str, .png.
      shown: list of (uint8 [V, S, S, 3], bool [N, N, N] or None, list of [N, N, N]).
    """
    fields, captions = [], []
    for images, truth, grids in shown:
        for number, (image, grid) in enumerate(zip(images, grids), 1):
            fields += [image, voxel_grids.surface(grid, threshold)]
            captions += ['view {}'.format(number), 'after {}'.format(number)]
        if truth is not None:
            fields.append(voxel_grids.surface(truth))
            captions.append('truth')
    columns = len(fields) // len(shown)
    plots.mesh_grid(path, fields, captions, columns, up=up, edges=False)

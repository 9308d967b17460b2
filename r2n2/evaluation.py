"""Measures a network: IoU, average precision and loss by category and number of views."""
import csv
import io
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import scipy.io
import tensorflow.compat.v1 as tf

from common import cli, files
from common.geometry import cutouts, plots, voxel_grids
from common.training import familiar, launch, reporting
from r2n2 import networks
from r2n2.lib import config as config_lib
from r2n2.lib import data_augmentation, data_io, data_process, layers, voxel
from r2n2.models import net as net_lib

_MOST_MODELS = 400      # whose pictures tell where the features usually lie


class Row(NamedTuple):
    """Measures of one model after a number of views.

    Attributes:
      model: int, place in the list of test models; views: int.
      loss, average_precision: float; the latter is nan where no cell is occupied.
      counts: for each threshold what `voxel.evaluate` gives.
    """

    model: int
    views: int
    loss: float
    average_precision: float
    counts: List[List[int]]


class Predictor:
    """The graph that predicts after each of up to V views.

    Args:
      net: models.net.Net.
      settings: config.Config.
      views, batch: int, V and B.
    """

    def __init__(self, net: net_lib.Net, settings: config_lib.Config, views: int, batch: int):
        size = settings.CONST.IMG_H
        self.images = tf.placeholder(tf.float32, [views, batch, size, size, 3], name='views')
        self.voxels = tf.placeholder(tf.float32, [batch] + [settings.CONST.N_VOX] * 3,
                                     name='voxels')
        built = net.build(self.images)
        self.outputs = [self._outputs(net.decode(state)) for state in built.states]
        # Means over the pixels: they tell strange pictures apart better than `built.features`.
        means = tf.concat([tf.reduce_mean(pool, axis=[1, 2]) for pool in built.pools], axis=1)
        self.features = tf.reshape(means, [views, batch, means.shape[1].value])

    def _outputs(self, logits):
        """(occupancy [B, 32, 32, 32], loss of each sample [B])."""
        cells = layers.cross_entropy(layers.margin(logits), self.voxels)
        return layers.loss(logits, self.voxels)[0], tf.reduce_mean(cells, axis=[1, 2, 3])

    def run(self, sess: tf.Session, images: np.ndarray,
            voxels: np.ndarray) -> Tuple[List[Tuple[np.ndarray, np.ndarray]], np.ndarray]:
        """Predicts after each view.

        Args:
          images: uint8 [V, B, S, S, 3]; voxels: bool [B, 32, 32, 32].
        Returns:
          ([(occupancy [B, 32, 32, 32], loss [B])] after each view, features [V, B, F] of each
          picture: the mean of each channel behind each pooling layer).
        """
        return sess.run((self.outputs, self.features), {
            self.images: data_augmentation.scaled(images), self.voxels: voxels})

    def encode(self, sess: tf.Session, images: np.ndarray) -> np.ndarray:
        """Returns the features [V, B, F] of pictures uint8 [V, B, S, S, 3]; see `run`."""
        return sess.run(self.features, {self.images: data_augmentation.scaled(images)})


def fixed_views(num_renderings: int, seed: int, index: int, views: int) -> np.ndarray:
    """Returns the renderings of a test sample: int [views], from an order that is its own."""
    rng = np.random.RandomState([seed, 3, index])
    return rng.permutation(num_renderings)[:views]


def mean_shape(loader: data_process.Loader,
               thresholds: Sequence[float] = (0.2, 0.3, 0.4, 0.5)) -> np.ndarray:
    """Returns the mean grid of a loader's models, cut where its IoU with them is highest.

    Returns:
      bool [32, 32, 32].
    """
    grids = np.stack([loader.voxels(index) for index in range(len(loader.pairs))])
    mean = grids.mean(axis=0)
    scores = []
    for threshold in thresholds:
        counts = [voxel.evaluate(mean, grid, threshold) for grid in grids]
        scores.append(voxel.intersection_over_union(counts).mean())
    return mean >= thresholds[int(np.argmax(scores))]


def evaluate(options: cli.Options, context: launch.Context) -> Dict[str, Any]:
    """Measures the test portion with the weights asked for, or the run's newest; writes tables.

    Args:
      options: those of `options.complete`; `views` is None for random numbers of views as in the
        original.
      context: launch.Context.
    Returns:
      dict of figures.
    """
    return measure(options, context, data_io.of_run(options))


def measure(options: cli.Options, context: launch.Context, data: data_io.Set) -> Dict[str, Any]:
    """Does what `evaluate` does for a data set that is there."""
    recorded, weights_path = networks.trained(     # what --pretrained starts from is settled
        options.replace(checkpoint='' if options.train else options.checkpoint, pretrained=False,
                        network=options.model), context.device)
    const = {key: value for key, value in recorded.settings.CONST.items()
             if key not in ('BATCH_SIZE', 'N_VIEWS')}
    pairs = data_io.pairs(data, options.settings.TEST.DATASET_PORTION)
    const['BATCH_SIZE'] = min(options.batch_size, len(pairs))
    # The network of the weights, all else as asked for.
    settings = config_lib.replaced(options.settings, CONST=const, NET=recorded.settings.NET)
    counts = list(range(1, (options.views or settings.CONST.N_VIEWS) + 1))
    loader, training_models = (data_process.Loader(settings, data, chosen, False) for chosen in (
        pairs, data_io.pairs(data, settings.TRAIN.DATASET_PORTION)))
    with tf.Graph().as_default():
        net = networks.build(settings, options.plain, fused=not context.is_emulated)
        predictor = Predictor(net, settings, counts[-1], settings.CONST.BATCH_SIZE)
        with context.open_session() as sess:
            networks.restore(sess, net, weights_path)
            rows, drawn = _measure_models(sess, predictor, loader, counts, options, context.seed)
            _record_features(sess, predictor, (training_models, loader), context)
    mean = mean_shape(training_models)
    baseline = np.array([float(voxel.intersection_over_union(
        voxel.evaluate(mean, loader.voxels(index), 0.5))) for index in range(len(pairs))])
    folder = os.path.join(context.output_path, 'eval', settings.TEST.EXP_NAME)
    figures = _write(_Results(rows, baseline, pairs, data.names, counts,
                              settings.TEST.VOXEL_THRESH), folder,
                     counts[-1] if options.views else None)
    if drawn:
        draw(os.path.join(folder, 'reconstructions.png'), drawn)
    cli.say('figures and pictures in {}'.format(folder))
    return figures


def _measure_models(sess, predictor, loader, counts, options, seed):
    """(list of Row, samples for `draw`); each number of views, or a random one of each model."""
    rows, drawn = [], []
    shown = plots.in_turn([category for category, _ in loader.pairs],
                          options.pictures)
    total = -(-len(loader.pairs) // loader.settings.CONST.BATCH_SIZE)
    for indices, images, voxels in reporting.progress(
            _batches(loader, range(len(loader.pairs)), counts[-1], seed), 'measuring batches',
            total):
        results, _ = predictor.run(sess, images, voxels)
        for place, index in enumerate(indices):
            if index in shown:
                drawn.append((images[:, place], voxels[place],
                              [occupancy[place] for occupancy, _ in results]))
            chosen = counts if options.views else [
                int(np.random.RandomState([seed, 5, index]).choice(counts))]
            for views in chosen:
                occupancy, loss = results[views - 1]
                rows.append(Row(index, views, float(loss[place]),
                                voxel.average_precision(occupancy[place], voxels[place]),
                                [voxel.evaluate(occupancy[place], voxels[place], threshold)
                                 for threshold in loader.settings.TEST.VOXEL_THRESH]))
    return rows, drawn


def _batches(loader, models, views, seed):
    """Yields (indices, images uint8 [V, B, S, S, 3], voxels [B, 32, 32, 32]) of fixed views."""
    settings, batch = loader.settings, loader.settings.CONST.BATCH_SIZE
    for first in range(0, len(models), batch):
        indices = list(models[first:first + batch])
        yield (indices,) + loader.batch(
            indices, views, lambda index: np.random.RandomState([seed, 4, index]),
            lambda index: fixed_views(settings.TRAIN.NUM_RENDERING, seed, index, views))


def _record_features(sess, predictor, loaders, context):
    """Records how far from training pictures those of test models lie; see `familiar`.

    Args:
      sess, predictor: of the network; loaders: of the training and of the test models.
      context: launch.Context.
    """
    known, held_out = (_features(sess, predictor, loader, context.seed) for loader in loaders)
    familiar.record_features(context.output_path, known)
    familiar.record(context.output_path, familiar.STRANGENESS,
                    familiar.distances(context.output_path, held_out))


def _features(sess, predictor, loader, seed):
    """Features [N, F] of pictures as the demo would prepare them, of a number of models."""
    count, views = len(loader.pairs), predictor.features.shape[0].value
    models = np.unique(np.linspace(0, count - 1, min(count, _MOST_MODELS)).astype(int)).tolist()
    total, known = -(-len(models) // loader.settings.CONST.BATCH_SIZE), []
    for indices, images, _ in reporting.progress(
            _batches(loader, models, views, seed), 'encoding pictures', total):
        for view in images:
            for place in range(len(indices)):
                mask = cutouts.unlike_border(view[place])
                if mask.any():
                    view[place] = data_augmentation.centred(view[place], mask, len(view[place]))
        found = predictor.encode(sess, images)
        known += list(found[:, :len(indices)].reshape(-1, found.shape[2]))
    return np.array(known)


class _Results(NamedTuple):
    """What was measured; `baseline` [models] is the IoU of the mean training shape."""

    rows: List[Row]
    baseline: np.ndarray
    pairs: List[Tuple[str, str]]
    category_names: Dict[str, str]
    view_counts: List[int]
    thresholds: List[float]

    def scores(self):
        """Returns {threshold: IoU [rows]}."""
        return {threshold: voxel.intersection_over_union([row.counts[place] for row in self.rows])
                for place, threshold in enumerate(self.thresholds)}


def _table(title, values, results, with_baseline=False):
    """Markdown lines: means of a value a row by category and number of views."""
    row_views = np.array([row.views for row in results.rows])
    row_category = np.array([results.pairs[row.model][0] for row in results.rows])
    category = np.array([pair[0] for pair in results.pairs])
    header = (['category'] + ['mean shape'] * with_baseline
              + ['{} view{}'.format(views, 's' * (views > 1)) for views in results.view_counts])
    lines = [title, '', '| ' + ' | '.join(header) + ' |',
             '|---' + '|---:' * (len(header) - 1) + '|']
    for name in list(results.category_names) + [None]:
        models = category == name if name else np.ones(len(category), bool)
        if not models.any():
            continue
        rows = row_category == name if name else np.ones(len(row_category), bool)
        means = [np.mean(results.baseline[models])] if with_baseline else []
        means += [_mean(values[rows & (row_views == views)]) for views in results.view_counts]
        lines.append('| ' + ' | '.join([results.category_names[name] if name else 'all']
                                       + ['{:.4f}'.format(mean) for mean in means]) + ' |')
    return lines


def _mean(values):
    """Mean of what is not masked; nan where nothing is left."""
    values = np.ma.compressed(values)
    return float(values.mean()) if len(values) else float('nan')


def _write(results, folder, headline):
    """Writes and prints; the figures are of `headline` views, of all rows where that is None."""
    rows, scores = results.rows, results.scores()
    first = scores[results.thresholds[0]]
    row_views = np.array([row.views for row in rows])
    losses = np.array([row.loss for row in rows])
    precisions = np.ma.masked_invalid([row.average_precision for row in rows])
    lines = _table('IoU at threshold {:g}'.format(results.thresholds[0]), first, results,
                   with_baseline=True)
    for line in lines:
        cli.say(line)
    for title, values in (('Average precision (mAP)', precisions), ('Loss', losses)):
        lines += [''] + _table(title, values, results)
    chosen = row_views == headline if headline else np.ones(len(rows), bool)
    figures = {'models': len(results.pairs), 'views': headline or 'random',
               'loss': _mean(losses[chosen]), 'mAP': _mean(precisions[chosen]),
               'iou': float(first[chosen].mean()),
               'mean_shape_iou': float(np.mean(results.baseline)),
               'iou_by_views': {str(views): float(first[row_views == views].mean())
                                for views in results.view_counts if (row_views == views).any()},
               'iou_by_threshold': {'{:g}'.format(key): float(value[chosen].mean())
                                    for key, value in scores.items()}}
    cli.say('With {} views:'.format(figures['views']))
    cli.say('Total loss: {loss:.6f}'.format(**figures))
    cli.say('Total mAP: {mAP:.6f}'.format(**figures))
    cli.say('IoU: {iou:.4f}; of the mean shape of the training models: {mean_shape_iou:.4f}'
            .format(**figures))
    cli.say(reporting.verdict(
        'IoU', figures['iou'], {'mean shape': figures['mean_shape_iou']}, 'More steps '
        '(--training_steps), more models or weights that ship (--pretrained) may help.'))
    cli.say(reporting.accuracy_line(figures['iou']))
    files.write_json(os.path.join(folder, 'result.json'), figures)
    files.write_text(os.path.join(folder, 'table.md'), '\n'.join(lines) + '\n')
    files.write_text(os.path.join(folder, 'models.csv'), _csv_text(results, scores))
    _write_mat(os.path.join(folder, 'result.mat'), results)
    return figures


def _csv_text(results, scores):
    """A line for each row, IoU at every threshold."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['category', 'model', 'views', 'loss', 'average_precision']
                    + ['iou_{:g}'.format(threshold) for threshold in results.thresholds])
    for place, row in enumerate(results.rows):
        writer.writerow(
            list(results.pairs[row.model]) + [row.views]
            + ['{:.6f}'.format(value) for value in [row.loss, row.average_precision]
               + [scores[threshold][place] for threshold in results.thresholds]])
    return text.getvalue()


def _write_mat(path, results):
    """The original's file: a batch of one sample each; `views` [rows] tells those of a row."""
    rows = results.rows
    values = {'views': np.array([row.views for row in rows]),
              'cost': np.array([row.loss for row in rows]),
              'mAP': np.array([[row.average_precision] for row in rows])}
    for place, threshold in enumerate(results.thresholds):
        values[str(threshold)] = np.array([[row.counts[place]] for row in rows])
    with files.replacing(path) as temporary:
        scipy.io.savemat(temporary, values, appendmat=False)


_MOST_DRAWN = 24    # views of a sample
_WIDEST = 20.       # inches of a row, of 100 pixels
Sample = Tuple[np.ndarray, Optional[np.ndarray], Sequence[np.ndarray]]


def draw(path: str, samples: Sequence[Sample], threshold: float = 0.4, up: str = 'y') -> None:
    """Draws a row for each sample: views, surfaces after each, and the truth where it is known.

    Of more than `_MOST_DRAWN` views, so many are drawn, from the first to the last.

    Args:
      path: str, .png.
      samples: (uint8 [V, S, S, 3], bool [N, N, N] or None, occupancies [N, N, N] after each view).
      threshold: of the surfaces; up: 'y' or 'z', axis that points upwards.
    """
    fields, captions = [], []
    for images, truth, grids in samples:
        count = len(grids)
        drawn = np.linspace(0, count - 1, min(count, _MOST_DRAWN)).astype(int)
        for number in drawn:
            fields += [images[number], voxel_grids.surface(grids[number], threshold)]
            captions += ['view {}'.format(number + 1), 'after {}'.format(number + 1)]
        if truth is not None:
            fields.append(voxel_grids.surface(truth))
            captions.append('truth')
    columns = len(fields) // len(samples)
    plots.mesh_grid(path, fields, captions, columns, up=up, edges=False,
                    size=min(2.5, _WIDEST / columns))

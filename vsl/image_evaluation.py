"""Evaluates a network of images: IoU, retrieval of known shapes, pictures."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.training import launch, reporting, runs
from vsl import data_utils, datasets, draw, evaluation, freeze, inference, measures, networks

_RETRIEVED = 5          # nearest shapes
_PICTURES = 20          # test images that are drawn


def evaluate(options: cli.Options, context: launch.Context) -> None:
    """Runs the stages of vsl_imrec.py on a trained network.

    Args:
      options: settled options; `checkpoint`, or else the newest one of `output_path`, is used.
      context: launch.Context.
    Raises:
      errors.InputError: there is no checkpoint, a damaged one, or one of other sizes.
    """
    runs.set_seeds(context.seed)
    data = datasets.ImageSet(options)
    options = data.with_steps(options)
    model, _ = networks.for_image_training(options, context,
                                           tf.placeholder(tf.int32, [], name='step'))
    _, prefix = networks.trained(options, context.device)
    networks.restore(model, prefix, context)
    seed, epochs = evaluation.order_of_training(options, len(data.train.labels))
    order = data_utils.Order(len(data.train.labels), seed, permute=True)
    run_image_stages(model, data, order.at(max(0, epochs - 1)), options, context)


def run_image_stages(model, data, order, options, context, run=None):
    """Runs the stages of vsl_imrec.py after training; see `evaluation.run_stages`.

    Args:
      model: vsl_rec.VarShapeLearner with a session.
      data: ImageSet.
      order: int [N], rows of the training split in the order of the last epoch.
      options, context: of the run.
      run: runs.Run, of the training; None: the newest weights are frozen.
    """
    folder = os.path.join(options.output_path, 'eval')
    evaluation.run_stages({
        'iou': lambda: measure_iou(model, data, order, options),
        'retrieve': lambda: retrieve(model, data, folder, options),
        'pictures': lambda: draw_images(model, data, folder, options),
        'freeze': lambda: freeze.freeze_run(options, context, run and run.step)}, options, run)


def decoded(model, images, scale):
    """Returns the shapes in images.

    Args:
      model: vsl_rec.VarShapeLearner with a session.
      images: [N, 100, 100, 3]; scale: float, factor on their values.
    Returns:
      float32 [N, 27000], occupancies in (0, 1).
    """
    return inference.decode(model, inference.image_codes(model, images, scale))


def measure_iou(model, data, order, options):
    """Measures the IoU of shapes from images: as the original, of all test images, class by class.

    Args:
      model: vsl_rec.VarShapeLearner with a session; data: ImageSet.
      order: int [N], rows of the training split; the original takes as many as there are test rows.
      options: settled options.
    Returns:
      dict of measures; `mean_shape` is what the mean of the training shapes reaches.
    """
    test, train, scale = data.test, data.train, options.image_scale
    ious = inference.iou(model, inference.image_codes(model, test.images, scale), test.voxels)
    whole = len(ious) // options.batch_size * options.batch_size
    scores = {'test': float(ious.mean())}
    if whole and len(order) >= whole:
        rows = order[:whole]
        scores['train'] = float(inference.iou(
            model, inference.image_codes(model, train.images[rows], scale),
            train.voxels[rows]).mean())
        scores['whole_batch_test'] = float(ious[:whole].mean())
        cli.say('IOU - {} - Train: {:.4f}, Test: {:.4f}'.format(
            data.title, scores['train'], scores['whole_batch_test']))
    else:
        cli.say('note: fewer test or training images than the original\'s figure needs')
    scores['classes'] = {data.names[label - 1]: float(ious[test.labels == label].mean())
                         for label in np.unique(test.labels)}
    scores['class_mean'] = float(np.mean(list(scores['classes'].values())))
    scores['mean_shape'] = _mean_shape_iou(train, test)
    for name, value in scores['classes'].items():
        cli.say('IoU {}: {:.4f}'.format(name, value))
    cli.say('IoU of all {} test images: {:.4f}; mean of the classes: {:.4f}; mean shape of each '
            'class: {:.4f}'.format(len(ious), scores['test'], scores['class_mean'],
                                   scores['mean_shape']))
    cli.say(reporting.accuracy_line(scores['test']))
    return scores


def _mean_shape_iou(train, test):
    """IoU of the mean training shape of the right class, at the threshold 0.5."""
    ious = []
    for label in np.unique(test.labels):
        of_class = train.voxels[train.labels == label]
        targets = test.voxels[test.labels == label]
        mean = of_class.mean(axis=0) if len(of_class) else np.zeros(targets.shape[1])
        ious.extend(measures.iou(mean[None], row[None]).item() for row in targets)
    return float(np.mean(ious))


def retrieve(model, data, folder, options):
    """Retrieves the training shapes whose codes are nearest to those of test images.

    Args:
      model: vsl_rec.VarShapeLearner with a session; data: ImageSet.
      folder: str, for the pictures; options: settled options.
    Returns:
      dict: how often the nearest shape, and how many of the five nearest, are of the right class.
    """
    count = min(_RETRIEVED, len(data.train.labels))
    nearest = measures.nearest(
        inference.image_codes(model, data.test.images, options.image_scale),
        inference.codes(model, data.train.voxels), count)
    right = data.train.labels[nearest] == data.test.labels[:, None]
    scores = {'first': float(right[:, 0].mean()), 'nearest': float(right.mean()), 'count': count}
    cli.say('Retrieval: the nearest shape is of the right class {:.4f}, of the {} nearest '
            '{:.4f}'.format(scores['first'], count, scores['nearest']))
    rows = np.linspace(0, len(data.test.labels) - 1, 3).astype(int)
    grids = np.concatenate([np.concatenate([data.test.voxels[row:row + 1],
                                            data.train.voxels[nearest[row]]]) for row in rows])
    draw.shapes(os.path.join(folder, 'retrieved-{}'.format(data.title)), grids,
                (['shape of the image'] + ['nearest {}'.format(number + 1)
                                           for number in range(count)]) * 3, count + 1,
                options.renderer, options.up)
    return scores


def draw_images(model, data, folder, options):
    """Draws test images beside their shapes and the reconstructed shapes.

    Args:
      as `retrieve`.
    Returns:
      dict {'images': int}.
    """
    count = min(_PICTURES, len(data.test.labels))
    rows = np.linspace(0, len(data.test.labels) - 1, count).astype(int)
    images = data.test.images[rows]
    if images.dtype != np.uint8 and images.max() > 1:
        images = np.clip(images, 0, 255).astype(np.uint8)
    captions = [data.names[label - 1] for label in data.test.labels[rows]]
    reconstructed = decoded(model, data.test.images[rows], options.image_scale)
    draw.beside(os.path.join(folder, '{}-beside.png'.format(data.title)), images,
                data.test.voxels[rows], reconstructed, captions, options.up)
    draw.shapes(os.path.join(folder, '{}-found'.format(data.title)), reconstructed, captions,
                renderer=options.renderer, up=options.up)
    return {'images': len(rows)}

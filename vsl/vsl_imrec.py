"""Trains VSL to give the shape in a single image; measures IoU, finds the nearest known shapes.

One class is trained for itself (--preset=separately --class=chair) or all of them at once
(--preset=jointly). Images are fed as stored unless --image_scale says otherwise.

Example: python vsl/vsl_imrec.py --data_path=dataset/PASCAL3D.mat --class=chair
"""
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, errors, files
from common.training import checkpoints, reporting, runs
from vsl import data_utils, draw, evaluate, freeze, measures, presets, training, vsl_rec

STAGES = ('train', 'iou', 'retrieve', 'pictures', 'freeze')
_KEEP_PROB = 0.2        # share of the units that dropout keeps in training
_RETRIEVED = 5          # nearest shapes
_PICTURES = 20          # test images that are drawn


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', '--data_dir', required=True,
                        help='.mat file with images, its folder, or the parent of its folder '
                        'dataset')
    parser.add_argument('--stages', type=functools.partial(presets.stages, known=STAGES),
                        default=list(STAGES[:4]), help='out of {}'.format(','.join(STAGES)))
    parser.add_argument('--class', dest='class_name', default=None,
                        help='name or id of the class, or all; unset: all with --preset=jointly, '
                        'else the first')
    presets.add_model_options(parser, presets.IMAGE_PRESETS)
    group = parser.add_argument_group('images')
    group.add_argument('--image_scale', type=cli.positive_float, default=None,
                       help='factor on the values of the images, such as 0.00392157 for 1/255; '
                       'unset: as trained, else 1, which is what the original does')
    group.add_argument('--gamma', type=cli.non_negative_float, default=None,
                       help='weight of the latent loss; unset: by the original\'s schedule over '
                       'epochs, which is 1e-8 for the first ten')
    presets.add_repair(group, '--bias_after_product', 'add the last bias of the image branch '
                       'where it belongs, which the original does not do')
    cli.add_flag(group, '--detach_codes', help='let the latent loss train the image branch only, '
                 'so that a large --gamma cannot shrink the codes of the shapes')
    group.add_argument('--print_step', type=cli.positive_int, default=2,
                       help='epochs between pictures')
    cli.add_run_options(parser, presets.OUTPUT_PATH + '_imrec')
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='weights to start from (of vsl_main.py: the shape part), or to use '
                        'where train is no stage')
    return parser.parse_args(argv)


def _label(class_name, preset, names):
    """Id of the class that is trained on, 0 for all; `class_name` may be None."""
    chosen = class_name or ('all' if preset == 'jointly' else '1')
    return 0 if chosen == 'all' else data_utils.class_id(chosen, names)


class Data:
    """The set: `path`, `train`, `test` (data_utils.Split), `names`, `label` (0: all classes)."""

    def __init__(self, config):
        self.path = data_utils.find_file(config.data_path, 'PASCAL3D.mat')
        self.train, self.test = (data_utils.read_split(self.path, split, images=True)
                                 for split in ('train', 'test'))
        largest = max(self.train.labels.max(), self.test.labels.max())
        self.names = data_utils.class_names(self.path, largest, config.class_names)
        self.label = _label(config.class_name, config.preset, self.names)
        self.title = self.title_of(self.label)
        if self.label:
            self.train = data_utils.select(self.train, self.label)
            self.test = data_utils.select(self.test, self.label)
        if not len(self.test.labels):
            raise errors.InputError('{} has no test image of the class {}.'.format(
                self.path, self.title))

    def title_of(self, label):
        """Name of a class, or all."""
        return self.names[label - 1] if label else 'all'

    def __str__(self):
        return '{} and {} images of {} in {}'.format(
            len(self.train.labels), len(self.test.labels),
            'all {} classes'.format(len(self.names)) if not self.label else self.title, self.path)


def _train(run, model, feeds, step_tensor, data, epochs, config):
    """The loop; one call a step."""
    fetches = {'loss': model.loss, 'loss_kl': tf.reduce_mean(model.kl_loss_all),
               'loss_rec': tf.reduce_mean(model.rec_loss), 'loss_lat': model.lat_loss}
    fetches = {name: device.allreduce_mean(value) for name, value in fetches.items()}
    for step in run.steps(config.training_steps):
        epoch, voxels, images = epochs.at(step)
        gamma = vsl_rec.gamma_at(epoch) if config.gamma is None else config.gamma
        values, _ = run.sess.run((fetches, model.optimizer), {
            feeds['x']: voxels, feeds['y']: images * np.float32(config.image_scale),
            model.gamma: gamma, model.keep_prob: _KEEP_PROB, step_tensor: step})
        run.report(step, **values)
        sums = epochs.average(run, step, values)
        with run.paused():
            if sums is not None and device.is_chief():
                _end_epoch(run, model, data, epoch, sums, config)
    run.say_waiting(epochs.seconds)
    training.draw_curves(run)


def _end_epoch(run, model, data, epoch, sums, config):
    cli.say('Epoch: {:04d} | kl-loss: {:.4f} + rec-loss: {:.4f} + lat_loss: {:.4f} = '
                  'total-loss: {:.4f}'.format(epoch, sums['loss_kl'], sums['loss_rec'],
                                              sums['loss_lat'], sums['loss']))
    run.state['last_epoch'], run.state['last_total'] = epoch, sums['loss']
    if epoch % config.print_step == 0:
        decoded = _decoded(model, data.test.images[:5], config)
        draw.shapes(os.path.join(run.samples, 'rec-{:04d}'.format(epoch)),
                    np.concatenate([data.test.voxels[:5], decoded]),
                    ['given'] * len(decoded) + ['from image'] * len(decoded), len(decoded),
                    config.renderer, config.up)


def _codes(model, images, config):
    return evaluate.image_codes(model, images, config.image_scale)


def _decoded(model, images, config):
    return evaluate.decode(model, _codes(model, images, config))


def measure_iou(model, data, order, config):
    """IoU of shapes from images: the original's figures, all test images, and class by class.

    Args:
      model: VarShapeLearner with a session; data: Data; config: namespace.
      order: rows of the training split; the original takes as many as there are test rows.
    Returns:
      dict of figures; `mean_shape` is what the mean of the training shapes reaches.
    """
    test, train = data.test, data.train
    shares = evaluate.iou(model, _codes(model, test.images, config), test.voxels)
    whole = len(shares) // config.batch_size * config.batch_size
    found = {'test': float(shares.mean())}
    if whole and len(order) >= whole:
        rows = order[:whole]
        found['train'] = float(evaluate.iou(
            model, _codes(model, train.images[rows], config), train.voxels[rows]).mean())
        found['whole_batch_test'] = float(shares[:whole].mean())
        cli.say('IOU - {} - Train: {:.4f}, Test: {:.4f}'.format(
            data.title, found['train'], found['whole_batch_test']))
    else:
        cli.say('note: fewer test or training images than the original\'s figure needs')
    found['classes'] = {data.names[label - 1]: float(shares[test.labels == label].mean())
                        for label in np.unique(test.labels)}
    found['class_mean'] = float(np.mean(list(found['classes'].values())))
    found['mean_shape'] = _mean_shape(train, test)
    for name, value in found['classes'].items():
        cli.say('IoU {}: {:.4f}'.format(name, value))
    cli.say('IoU of all {} test images: {:.4f}; mean of the classes: {:.4f}; mean shape of '
                  'each class: {:.4f}'.format(len(shares), found['test'], found['class_mean'],
                                              found['mean_shape']))
    cli.say(reporting.accuracy_line(found['test']))
    return found


def _mean_shape(train, test):
    """IoU of the mean training shape of the right class, which is told, at the threshold 0.5."""
    shares = []
    for label in np.unique(test.labels):
        known = train.voxels[train.labels == label]
        given = test.voxels[test.labels == label]
        mean = known.mean(axis=0) if len(known) else np.zeros(given.shape[1])
        shares.extend(measures.iou(mean[None], row[None]).item() for row in given)
    return float(np.mean(shares))


def retrieve(model, data, folder, config):
    """Finds the training shapes whose codes are nearest to those of test images.

    Returns:
      dict: how often the nearest shape, and how many of the five nearest, are of the right class.
    """
    count = min(_RETRIEVED, len(data.train.labels))
    nearest = measures.nearest(_codes(model, data.test.images, config),
                               evaluate.codes(model, data.train.voxels), count)
    right = data.train.labels[nearest] == data.test.labels[:, None]
    found = {'first': float(right[:, 0].mean()), 'nearest': float(right.mean()), 'count': count}
    cli.say('Retrieval: the nearest shape is of the right class {:.4f}, of the {} nearest '
                  '{:.4f}'.format(found['first'], count, found['nearest']))
    rows = np.linspace(0, len(data.test.labels) - 1, 3).astype(int)
    grids = np.concatenate([np.concatenate([data.test.voxels[row:row + 1],
                                            data.train.voxels[nearest[row]]]) for row in rows])
    draw.shapes(os.path.join(folder, 'retrieved-{}'.format(data.title)), grids,
                (['shape of the image'] + ['nearest {}'.format(number + 1)
                                           for number in range(count)]) * 3, count + 1,
                config.renderer, config.up)
    return found


def draw_images(model, data, folder, config):
    """Pictures of test images, of their shapes, and of the shapes found."""
    count = min(_PICTURES, len(data.test.labels))
    rows = np.linspace(0, len(data.test.labels) - 1, count).astype(int)
    images = data.test.images[rows]
    if images.dtype != np.uint8 and images.max() > 1:
        images = np.clip(images, 0, 255).astype(np.uint8)
    captions = [data.names[label - 1] for label in data.test.labels[rows]]
    found = _decoded(model, data.test.images[rows], config)
    draw.beside(os.path.join(folder, '{}-beside.png'.format(data.title)), images,
                data.test.voxels[rows], found, captions, config.up)
    draw.shapes(os.path.join(folder, '{}-found'.format(data.title)), found, captions,
                renderer=config.renderer, up=config.up)
    return {'images': len(rows)}


def _run_stages(model, data, order, config, step):
    """Runs the stages after training; figures go to eval/<stage>.json."""
    folder = os.path.join(config.output_path, 'eval')
    work = {'iou': lambda: measure_iou(model, data, order, config),
            'retrieve': lambda: retrieve(model, data, folder, config),
            'pictures': lambda: draw_images(model, data, folder, config),
            'freeze': lambda: freeze.freeze_run(config, step)}
    stages = [stage for stage in config.stages if stage != 'train']
    for stage in stages:
        files.write_json(os.path.join(folder, stage + '.json'), work[stage]())
    if stages:
        cli.say('{}: figures and pictures in {}'.format(', '.join(stages), folder))


def _shape_part(config, model):
    """Takes the shape part from a --checkpoint that has no image branch.

    Args:
      config: namespace; `checkpoint` is emptied where this function deals with it.
      model: vsl_rec.VarShapeLearner.
    Returns:
      function(sess) for `runs.start`, or None where the checkpoint is whole, or there is none.
    """
    if not config.checkpoint:
        return None
    prefix = checkpoints.latest(config.checkpoint)
    if 'image_fc2' in checkpoints.variables_of(prefix):
        return None
    cli.say('weights of the shape part from {}; the image branch starts anew'.format(prefix))
    config.checkpoint = ''
    shape_part = [model.params[name] for name in model.shape_names]
    return lambda sess: checkpoints.restore(
        sess, prefix, shape_part, remedy='Give the sizes that it was trained with.')


def _require_class(config, data):
    """Refuses to go on with the network of another class."""
    before = presets.record_of(config.output_path) if config.resume else {}
    if 'image_scale' not in before:
        return
    label = _label(before['class_name'], before['preset'], data.names)
    if label != data.label:
        raise errors.UsageError('{} holds the network of --class={}, not of {}; give another '
                                '--output_path.'.format(config.output_path, data.title_of(label),
                                                        data.title))


def main_stages(config):
    """Trains and runs the other stages, as the options say."""
    runs.set_seeds(config.seed)
    presets.complete(config, presets.IMAGE_PRESETS, 'separately')
    data = Data(config)
    if 'train' in config.stages:
        _require_class(config, data)
    per_epoch = presets.steps_of(config, len(data.train.labels), data.path)
    step_tensor = tf.placeholder(tf.int32, [], name='step')
    model, feeds = presets.make_model(config, step_tensor, images=True)
    if 'train' not in config.stages:
        presets.restore(config, model)
        seed, begun = presets.trained(config, len(data.train.labels))
        epochs = training.Epochs(data.train, config, per_epoch, permute=True, seed=seed)
        _run_stages(model, data, epochs.last_order(begun), config, None)
        return
    epochs = training.Epochs(data.train, config, per_epoch, permute=True)
    summary = 'VSL from images ({}); {}'.format(config.preset, data)
    init = _shape_part(config, model)
    with runs.start(config, summary=summary, init=init) as run:
        model.sess = run.sess
        _train(run, model, feeds, step_tensor, data, epochs, config)
        run.save(run.step)
        if 'last_total' in run.state:
            training.save_as_original(run, model, '{}-{:03d}-{}-{}-{}-cost-{:.4f}.ckpt'.format(
                data.title, run.state['last_epoch'], config.local_latent_num,
                config.local_latent_dim, config.global_latent_dim, run.state['last_total']))
        if device.is_chief():
            order = epochs.last_order(epochs.begun(run.step))
            _run_stages(model, data, order, config, run.step)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(main_stages, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

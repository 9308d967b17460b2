"""Trains VSL on voxel shapes; classifies, reconstructs, generates and interpolates with it.

Stages may be run by themselves on a trained network: --stages classify,tsne. Without --data_path
ten procedural classes of furniture are made.

Example: python vsl/vsl_main.py --preset=modelnet10 --data_path=dataset --output_path=output
"""
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib import cm
from matplotlib.figure import Figure

from common import cli, device, errors, files
from common.geometry import plots
from common.training import reporting, runs
from vsl import data_utils, draw, evaluate, freeze, measures, presets, training

STAGES = ('train', 'classify', 'reconstruct', 'generate', 'interpolate', 'tsne', 'metrics',
          'freeze')
_DEFAULT_STAGES = [stage for stage in STAGES if stage not in ('metrics', 'freeze')]
_NOISE = 0.02           # deviation of the noise on codes from which shapes are generated


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', '--data_dir', default='',
                        help='.mat file, its folder, or the parent of its folder dataset')
    parser.add_argument('--stages', type=functools.partial(presets.stages, known=STAGES),
                        default=_DEFAULT_STAGES, help='out of {}'.format(','.join(STAGES)))
    presets.add_model_options(parser, presets.PRESETS)
    group = parser.add_argument_group('stages')
    group.add_argument('--print_step', type=cli.non_negative_int, default=10,
                       help='epochs between pictures of reconstructions; 0: none')
    group.add_argument('--eval_every', type=cli.non_negative_int, default=0,
                       help='epochs between measurements of accuracy and IoU; 0: at the end only')
    cli.add_flag(group, '--search_svm', help='also C and gamma by cross-validation on the training '
                 'split')
    cli.add_flag(group, '--search_mirrored', help='the same once more, with the training shapes '
                 'mirrored along x and along y as further examples (minutes with --baselines)')
    cli.add_flag(group, '--baselines', help='also simple classifiers, and the IoU of a PCA')
    group.add_argument('--class', dest='class_name', default='1',
                       help='name or id of the class to generate and interpolate')
    group.add_argument('--id1', type=cli.non_negative_int, default=None,
                       help='test shape of that class, from 0, where the interpolation ends; '
                       'unset: 8, or the last one')
    group.add_argument('--id2', type=cli.non_negative_int, default=0, help='where it starts')
    group.add_argument('--num_samples', type=cli.positive_int, default=20,
                       help='shapes to generate')
    cli.add_run_options(parser, presets.OUTPUT_PATH)
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='weights to start from, or to use where train is no stage')
    return parser.parse_args(argv)


class Data:
    """The set: `path`, `train` and `test` (data_utils.Split), `names` of the classes."""

    def __init__(self, path, names_path=''):
        self.path = path
        self.train = data_utils.read_split(path, 'train')
        self.test = data_utils.read_split(path, 'test')
        largest = max(self.train.labels.max(), self.test.labels.max())
        self.names = data_utils.class_names(path, largest, names_path)

    def __str__(self):
        return '{} and {} shapes of {} classes in {}'.format(
            len(self.train.labels), len(self.test.labels), len(self.names), self.path)


def _train(run, model, feeds, step_tensor, data, epochs, config):
    """The loop; one call a step."""
    fetches = {'loss': model.loss, 'loss_kl': tf.reduce_mean(model.kl_loss_all),
               'loss_rec': tf.reduce_mean(model.rec_loss)}
    fetches = {name: device.allreduce_mean(value) for name, value in fetches.items()}
    for step in run.steps(config.training_steps):
        epoch, voxels, _ = epochs.at(step)
        values, _ = run.sess.run((fetches, model.optimizer),
                                 {feeds['x']: voxels, step_tensor: step})
        run.report(step, **values)
        sums = epochs.average(run, step, values)
        with run.paused():
            if sums is not None and device.is_chief():
                _end_epoch(run, model, data, step, epoch, sums, voxels, config)
    run.say_waiting(epochs.seconds)
    training.draw_curves(run)


def _end_epoch(run, model, data, step, epoch, sums, voxels, config):
    cli.say('Epoch: {:04d} | kl-loss: {:.4f} + rec-loss: {:.4f} = total-loss: {:.4f}'.format(
        epoch, sums['loss_kl'], sums['loss_rec'], sums['loss']))
    run.state['last_epoch'], run.state['last_total'] = epoch, sums['loss']
    if config.print_step and (epoch + 1) % config.print_step == 0:
        flat = voxels.reshape(len(voxels), -1)[:5]
        decoded = evaluate.decode(model, evaluate.codes(model, flat))
        draw.shapes(os.path.join(run.samples, 'rec-{:04d}'.format(epoch)),
                    np.concatenate([flat, decoded]),
                    ['given'] * len(flat) + ['decoded'] * len(flat), len(flat), config.renderer,
                    config.up)
    if config.eval_every and (epoch + 1) % config.eval_every == 0:
        codes = {name: evaluate.codes(model, getattr(data, name).voxels)
                 for name in ('train', 'test')}
        found = {'test_iou': evaluate.iou(model, codes['test'], data.test.voxels).mean()}
        if not _has_one_class(data.train.labels):
            classifier = measures.fit_svm(codes['train'], data.train.labels)
            for name in ('train', 'test'):
                found[name + '_accuracy'] = measures.accuracy(classifier, codes[name],
                                                              getattr(data, name).labels)
        run.record(step, **found)


def _has_one_class(labels):
    return len(np.unique(labels)) < 2


def classify(model, codes, data, orders, config):
    """Support vector machine on the codes, as the paper has it.

    Args:
      model: VarShapeLearner with a session.
      codes: dict {'train', 'test': [N, D]}; data: Data.
      orders: dict {'train', 'test': rows}; the whole batches at the front of both give the
        original's figure.
      config: namespace.
    Returns:
      dict of figures; `train_accuracy` and `test_accuracy` are of all shapes.
    """
    labels = {'train': data.train.labels, 'test': data.test.labels}
    found = {}
    if _has_one_class(labels['train']):
        cli.say('note: no classification, since all training shapes are of one class')
        return found
    rows = {split: order[:len(order) // config.batch_size * config.batch_size]
            for split, order in orders.items()}
    for name, chosen in (('whole_batch_', rows),
                         ('', {split: np.arange(len(labels[split])) for split in rows})):
        if not len(chosen['test']) or _has_one_class(labels['train'][chosen['train']]):
            cli.say('note: fewer test shapes than a batch, or training batches of one class, '
                          'so there is no whole-batch figure')
            continue
        classifier = measures.fit_svm(codes['train'][chosen['train']],
                                      labels['train'][chosen['train']])
        for split, part in chosen.items():
            found['{}{}_accuracy'.format(name, split)] = measures.accuracy(
                classifier, codes[split][part], labels[split][part])
        cli.say('Shape classification{}: train: {:.4f}, test: {:.4f}'.format(
            ' (whole batches)' if name else ' (all shapes)', found[name + 'train_accuracy'],
            found[name + 'test_accuracy']))
    if config.search_svm or config.baselines:
        found.update(_search(model, codes, labels, data, [], config))
    if config.search_mirrored:
        copies = [data_utils.mirrored(data.train.voxels, axis) for axis in (0, 1)]
        found.update(_search(model, codes, labels, data, copies, config))
    found['linear_test_accuracy'] = measures.accuracy(
        measures.fit_linear(codes['train'], labels['train']), codes['test'], labels['test'])
    cli.say('Shape classification (linear probe): test: {:.4f}'.format(
        found['linear_test_accuracy']))
    found['active_units'] = measures.active_units(codes['train'], model.sizes)
    cli.say('active units by code (of {}): {}'.format(
        ', '.join(map(str, model.sizes)), ', '.join(map(str, found['active_units']))))
    cli.say(reporting.accuracy_line(found['train_accuracy'], 'train'))
    cli.say(reporting.accuracy_line(found['test_accuracy']))
    return found


def _search(model, codes, labels, data, copies, config):
    """Figures of classifiers with C and gamma by cross-validation; see measures.search_svm."""
    accuracy, chosen = measures.search_svm(
        codes['train'], labels['train'], codes['test'], labels['test'],
        copies=[evaluate.codes(model, copy) for copy in copies])
    ending = ', mirrored too' if copies else ''
    found = {'searched_test_accuracy' + ending: accuracy,
             'held_out_accuracy' + ending: chosen['score']}
    cli.say('Shape classification (C {:g}, gamma {:.3g} by cross-validation{}): held-out '
                  'folds: {:.4f}, test: {:.4f}'.format(chosen['C'], chosen['gamma'], ending,
                                                       chosen['score'], accuracy))
    if config.baselines:
        for name, value in measures.baselines(
                data.train.voxels, labels['train'], data.test.voxels, labels['test'],
                codes['train'].shape[1], copies).items():
            found['baseline ' + name] = value
            cli.say('baseline {}: test: {:.4f}'.format(name, value))
    return found


def reconstruct(model, codes, data, folder, config):
    """IoU of the reconstructions of all shapes, and a picture of some.

    Returns:
      dict of figures.
    """
    found = {name + '_iou': float(
        evaluate.iou(model, codes[name], getattr(data, name).voxels).mean())
             for name in ('train', 'test')}
    cli.say('Reconstruction IoU: train: {train_iou:.4f}, test: {test_iou:.4f}'.format(
        **found))
    if config.baselines:
        found['pca_test_iou'] = measures.pca_iou(data.train.voxels, data.test.voxels,
                                                 model.latent_size)
        cli.say('Reconstruction IoU of a PCA of {} numbers: test: {:.4f}'.format(
            model.latent_size, found['pca_test_iou']))
    rows = np.linspace(0, len(data.test.labels) - 1, 6).astype(int)
    decoded = evaluate.decode(model, codes['test'][rows])
    draw.shapes(os.path.join(folder, 'reconstructions'),
                np.concatenate([data.test.voxels[rows], decoded]),
                [data.names[label - 1] for label in data.test.labels[rows]] + ['decoded'] * 6, 6,
                config.renderer, config.up)
    return found


def _chosen_class(data, config):
    """The class that --class names.

    Returns:
      (uint8 [N, 27000], its test shapes, or where it has none its training shapes; str, its name).
    Raises:
      errors.UsageError: there is no such class, it has no shapes, or --id1 or --id2 is beyond them.
    """
    label = data_utils.class_id(config.class_name, data.names)
    name = data.names[label - 1]
    voxels = [data_utils.select(split, label).voxels for split in (data.test, data.train)]
    voxels = voxels[0] if len(voxels[0]) else voxels[1]
    if not len(voxels):
        raise errors.UsageError('--class {}: {} has no shapes of it. Name another class.'.format(
            config.class_name, data.path))
    for option in ('id1', 'id2'):
        if (getattr(config, option) or 0) >= len(voxels):
            raise errors.UsageError('--{} {}: the class {} has the shapes 0 to {} in {}; give one '
                                    'of these.'.format(option, getattr(config, option), name,
                                                       len(voxels) - 1, data.path))
    return voxels, name


def generate(model, data, folder, config):
    """Shapes from codes of a class with noise on them."""
    voxels, name = _chosen_class(data, config)
    codes = evaluate.codes(model, voxels[np.arange(config.num_samples) % len(voxels)])
    noise = np.random.RandomState(config.seed).normal(0, _NOISE, codes.shape)
    decoded = evaluate.decode(model, (codes + noise).astype(np.float32))
    draw.shapes(os.path.join(folder, 'generated-{}'.format(name)), decoded,
                renderer=config.renderer, up=config.up)
    return {'class': name, 'shapes': len(decoded)}


def interpolate(model, data, folder, config):
    """Seven shapes on the way from one code to another."""
    voxels, name = _chosen_class(data, config)
    rows = [config.id2, min(8, len(voxels) - 1) if config.id1 is None else config.id1]
    decoded = evaluate.decode(model, measures.interpolate(*evaluate.codes(model, voxels[rows])))
    draw.shapes(os.path.join(folder, 'interpolation-{}'.format(name)), decoded, columns=7,
                renderer=config.renderer, up=config.up)
    return {'class': name, 'rows': rows}


def tsne(codes, data, folder):
    """Picture of the training codes in two dimensions, coloured by class."""
    from sklearn import decomposition, manifold  # here, since its import takes a while
    if len(codes) < 4:
        cli.say('note: too few shapes for a t-SNE picture')
        return {}
    plane = decomposition.PCA(2, svd_solver='randomized', random_state=0).fit_transform(codes)
    tsne = manifold.TSNE(n_components=2, init=plane.astype(np.float32), random_state=0,
                         learning_rate=200., perplexity=min(30., (len(codes) - 1) / 3))
    points = tsne.fit_transform(codes)
    figure = Figure(figsize=(8, 8), dpi=100)
    axes = figure.add_subplot(1, 1, 1)
    colors = cm.get_cmap('terrain')(np.linspace(0, 0.95, len(data.names)))
    for label in np.unique(data.train.labels):
        chosen = points[data.train.labels == label]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=6, color=colors[label - 1],
                     label=data.names[label - 1])
    axes.set_axis_off()
    axes.legend(fontsize=7, ncol=2)
    plots.save_figure(figure, os.path.join(folder, 'tsne.png'))
    return {'picture': 'tsne.png'}


def metrics(model, codes, data, config):
    """Measures of shapes decoded from a normal distribution fitted to the training codes."""
    rng = np.random.RandomState(config.seed)
    covariance = np.cov(codes['train'], rowvar=False)
    drawn = rng.multivariate_normal(codes['train'].mean(axis=0), covariance,
                                    len(data.test.labels)).astype(np.float32)
    found = measures.generation(evaluate.decode(model, drawn), data.test.voxels)
    for name, value in found.items():
        cli.say('Generation {}: {:.4f}'.format(name.replace('_', ' '), value))
    return found


def _run_stages(model, data, orders, config, step):
    """Runs the stages after training; figures go to eval/<stage>.json."""
    folder = os.path.join(config.output_path, 'eval')
    stages = [stage for stage in config.stages if stage != 'train']
    codes = {name: evaluate.codes(model, getattr(data, name).voxels) for name in ('train', 'test')
             if {'classify', 'reconstruct', 'tsne', 'metrics'} & set(stages)}
    work = {
        'classify': lambda: classify(model, codes, data, orders, config),
        'reconstruct': lambda: reconstruct(model, codes, data, folder, config),
        'generate': lambda: generate(model, data, folder, config),
        'interpolate': lambda: interpolate(model, data, folder, config),
        'tsne': lambda: tsne(codes['train'], data, folder),
        'metrics': lambda: metrics(model, codes, data, config),
        'freeze': lambda: freeze.freeze_run(config, step)}
    for stage in stages:
        files.write_json(os.path.join(folder, stage + '.json'), work[stage]())
    if stages:
        cli.say('{}: figures and pictures in {}'.format(', '.join(stages), folder))


def main_stages(config):
    """Trains and runs the other stages, as the options say."""
    runs.set_seeds(config.seed)
    presets.complete(config, presets.PRESETS, 'modelnet10' if config.data_path else 'furniture')
    data = Data(presets.find_data(config), config.class_names)
    data_utils.class_id(config.class_name, data.names)  # a wrong name is told before training
    if {'generate', 'interpolate'} & set(config.stages):
        _chosen_class(data, config)     # and so is a class without shapes
    per_epoch = presets.steps_of(config, len(data.train.labels), data.path)
    step_tensor = tf.placeholder(tf.int32, [], name='step')
    model, feeds = presets.make_model(config, step_tensor)
    if 'train' not in config.stages:
        presets.restore(config, model)
        seed, begun = presets.trained(config, len(data.train.labels))
        epochs = training.Epochs(data.train, config, per_epoch, seed=seed)
        orders = epochs.orders_to_classify(begun, len(data.test.labels))
        _run_stages(model, data, orders, config, None)
        return
    epochs = training.Epochs(data.train, config, per_epoch)
    summary = 'VSL ({}); {}'.format(config.preset, data)
    with runs.start(config, summary=summary) as run:
        model.sess = run.sess
        _train(run, model, feeds, step_tensor, data, epochs, config)
        run.save(run.step)
        if 'last_total' in run.state:
            training.save_as_original(run, model, '{}-{:04d}-cost-{:.4f}.ckpt'.format(
                config.preset, run.state['last_epoch'], run.state['last_total']))
        if device.is_chief():
            orders = epochs.orders_to_classify(epochs.begun(run.step), len(data.test.labels))
            _run_stages(model, data, orders, config, run.step)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(main_stages, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

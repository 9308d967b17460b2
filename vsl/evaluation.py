"""Evaluates a network of shapes: classification, reconstruction, generation, interpolation."""
import functools
import os

import matplotlib
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib.figure import Figure

from common import cli, errors, files
from common.geometry import plots
from common.training import checkpoints, launch, reporting, results, runs
from vsl import (
    data_utils,
    datasets,
    draw,
    freeze,
    inference,
    make_dataset,
    measures,
    networks,
)
from vsl import options as options_lib

_DRAWN = 10             # reconstructions in the picture
_NEAREST = 3            # training shapes shown beside an encoded one
_NOISE = 0.02           # standard deviation of the noise on codes that shapes are generated from


def evaluate(options: cli.Options, context: launch.Context) -> None:
    """Runs the stages of vsl_main.py on a trained network.

    Args:
      options: settled options; `checkpoint`, or else the newest one of `output_path`, is used.
      context: launch.Context.
    Raises:
      errors.InputError: there is no checkpoint, a damaged one, or one of other sizes.
    """
    runs.set_seeds(context.seed)
    data, options = open_set(options)
    model, _ = networks.for_training(options, context, tf.placeholder(tf.int32, [], name='step'))
    _, prefix = networks.trained(options, context.device)
    networks.restore(model, prefix, context)
    seed, epochs = order_of_training(options, len(data.train.labels))
    orders = data_utils.Order(len(data.train.labels), seed).to_classify(
        epochs, len(data.test.labels))
    run_shape_stages(model, data, orders, options, context)


def open_set(options):
    """Reads the set; refuses a class that the stages would miss, before anything is built.

    Returns:
      (ShapeSet, options with `training_steps`).
    Raises:
      errors.InputError or errors.UsageError.
    """
    data = datasets.ShapeSet(datasets.find(options), options.class_names)
    data_utils.class_id(options.class_name, data.names)
    if {'generate', 'interpolate'} & set(options.stages):
        class_shapes(data, options)
    options = options_lib.fitted(options, len(data.train.labels))
    return data, data.with_steps(options)


def order_of_training(options, count):
    """Finds out how the order of the shapes came about in the training of the network that is used.

    Args:
      options: settled options, which stand in for what the run's record does not tell.
      count: int, shapes for training.
    Returns:
      (seed, epochs begun).
    """
    values = dict(vars(options), **options_lib.recorded_options(
        options.checkpoint, options.output_path))
    steps = checkpoints.step_of(checkpoints.latest(options.checkpoint or options.output_path))
    per_epoch = max(1, count // values['batch_size'])
    return values['seed'], -(-(steps or values['training_steps']) // per_epoch)


def run_stages(work, options, run=None):
    """Runs the stages after training; results go to eval/<stage>.json.

    Args:
      work: dict {stage: function () -> JSON value}; options: settled options.
      run: runs.Run, of the training, whose step is recorded; None: there was none.
    """
    folder = os.path.join(options.output_path, 'eval')
    stages = [stage for stage in options.stages if stage != 'train']

    record = run.results if run else results.of_folder(options.output_path)

    def write(stage):
        path = os.path.join(folder, stage + '.json')
        files.write_json(path, work[stage]())
        return [path]

    for stage in stages:
        # Always, as its figures are printed.
        record.once(stage, run and run.step, functools.partial(write, stage), again=True)
    if stages:
        cli.say('{}: figures and pictures in {}'.format(', '.join(stages), folder))


def run_shape_stages(model, data, orders, options, context, run=None):
    """Runs the stages of vsl_main.py after training; see `run_stages`.

    Args:
      model: VarShapeLearner with a session.
      data: ShapeSet.
      orders: dict {'train', 'test': int [N]}, see `classify`.
      options, context: of the run.
      run: runs.Run, of the training; None: the newest weights are frozen.
    """
    folder = os.path.join(options.output_path, 'eval')
    codes = {}
    if {'classify', 'reconstruct', 'tsne', 'metrics', 'encode'} & set(options.stages):
        codes = {name: inference.codes(model, split.voxels)
                 for name, split in (('train', data.train), ('test', data.test))}
    run_stages({
        'classify': lambda: classify(model, codes, data, orders, options),
        'reconstruct': lambda: reconstruct(model, codes, data, folder, options),
        'generate': lambda: generate(model, data, folder, options),
        'interpolate': lambda: interpolate(model, data, folder, options),
        'tsne': lambda: tsne(codes['train'], data, folder),
        'metrics': lambda: generation(model, codes, data, options),
        'encode': lambda: encode(model, codes, data, folder, options),
        'freeze': lambda: freeze.freeze_run(options, context, run and run.step)}, options, run)


def has_one_class(labels):
    """Returns whether all shapes are of one class, so that there is nothing to classify."""
    return len(np.unique(labels)) < 2


def classify(model, codes, data, orders, options):
    """Classifies the codes by a support vector machine, as the paper does (Shape Classification).

    Args:
      model: VarShapeLearner with a session.
      codes: dict {'train', 'test': [N, D]}; data: ShapeSet.
      orders: dict {'train', 'test': int [N]}; the whole batches at the front of both give the
        original's accuracy.
      options: settled options.
    Returns:
      dict of measures; `train_accuracy` and `test_accuracy` are of all shapes.
    """
    labels = {'train': data.train.labels, 'test': data.test.labels}
    if has_one_class(labels['train']):
        cli.say('note: no classification, since all training shapes are of one class')
        return {}
    scores = {}
    whole_batches = {split: order[:len(order) // options.batch_size * options.batch_size]
                     for split, order in orders.items()}
    all_rows = {split: np.arange(len(labels[split])) for split in orders}
    for prefix, title, rows in (('whole_batch_', 'whole batches', whole_batches),
                                ('', 'all shapes', all_rows)):
        if not len(rows['test']) or has_one_class(labels['train'][rows['train']]):
            cli.say('note: fewer test shapes than a batch, or training batches of one class, '
                    'so there is no whole-batch figure')
            continue
        classifier = measures.fit_svm(codes['train'][rows['train']], labels['train'][rows['train']])
        for split, part in rows.items():
            scores['{}{}_accuracy'.format(prefix, split)] = measures.accuracy(
                classifier, codes[split][part], labels[split][part])
        cli.say('Shape classification ({}): train: {:.4f}, test: {:.4f}'.format(
            title, scores[prefix + 'train_accuracy'], scores[prefix + 'test_accuracy']))
    if options.search_svm or options.baselines:
        scores.update(_search(model, codes, labels, data, [], options))
    if options.search_mirrored:
        copies = [data_utils.mirrored(data.train.voxels, axis) for axis in (0, 1)]
        scores.update(_search(model, codes, labels, data, copies, options))
    scores['linear_test_accuracy'] = measures.accuracy(
        measures.fit_linear(codes['train'], labels['train']), codes['test'], labels['test'])
    cli.say('Shape classification (linear probe): test: {:.4f}'.format(
        scores['linear_test_accuracy']))
    scores['active_units'] = measures.active_units(codes['train'], model.sizes)
    cli.say('active units by code (of {}): {}'.format(
        ', '.join(map(str, model.sizes)), ', '.join(map(str, scores['active_units']))))
    cli.say(reporting.accuracy_line(scores['train_accuracy'], 'train'))
    cli.say(reporting.accuracy_line(scores['test_accuracy']))
    return scores


def _search(model, codes, labels, data, copies, options):
    """Accuracies of classifiers with C and gamma by cross-validation; see measures.search_svm."""
    accuracy, best = measures.search_svm(
        codes['train'], labels['train'], codes['test'], labels['test'],
        copies=[inference.codes(model, copy) for copy in copies])
    ending = ', mirrored too' if copies else ''
    scores = {'searched_test_accuracy' + ending: accuracy,
              'held_out_accuracy' + ending: best['score']}
    cli.say('Shape classification (C {:g}, gamma {:.3g} by cross-validation{}): held-out '
            'folds: {:.4f}, test: {:.4f}'.format(best['C'], best['gamma'], ending, best['score'],
                                                 accuracy))
    if options.baselines:
        for name, value in measures.baselines(
                data.train.voxels, labels['train'], data.test.voxels, labels['test'],
                codes['train'].shape[1], copies).items():
            scores['baseline ' + name] = value
            cli.say('baseline {}: test: {:.4f}'.format(name, value))
    return scores


def reconstruct(model, codes, data, folder, options):
    """Measures the IoU of all reconstructions, and draws some.

    Args:
      model: VarShapeLearner with a session; codes: dict {'train', 'test': [N, D]}.
      data: ShapeSet; folder: str, for the pictures; options: settled options.
    Returns:
      dict {'train_iou', 'test_iou', with --baselines 'pca_test_iou': float}.
    """
    scores = {name + '_iou': float(inference.iou(model, codes[name], split.voxels).mean())
              for name, split in (('train', data.train), ('test', data.test))}
    cli.say('Reconstruction IoU: train: {train_iou:.4f}, test: {test_iou:.4f}'.format(**scores))
    known = measures.shape_baselines(data.train.voxels, data.test.voxels)
    scores.update((name.replace(' ', '_') + '_iou', value) for name, value in known.items())
    cli.say(reporting.verdict('IoU', scores['test_iou'], known, 'More steps (--training_steps), '
                              'more shapes, --augment_shift=1 or weights that ship '
                              '(--pretrained) may help.'))
    if options.baselines:
        scores['pca_test_iou'] = measures.pca_iou(data.train.voxels, data.test.voxels,
                                                  model.latent_size)
        cli.say('Reconstruction IoU of a PCA of {} numbers: test: {:.4f}'.format(
            model.latent_size, scores['pca_test_iou']))
    rows = np.array(plots.in_turn(data.test.labels.tolist(), _DRAWN))
    decoded = inference.decode(model, codes['test'][rows])
    draw.shapes(os.path.join(folder, 'reconstructions'),
                np.concatenate([data.test.voxels[rows], decoded]),
                [data.names[label - 1] for label in data.test.labels[rows]]
                + ['decoded'] * len(rows), len(rows),
                options.renderer, options.up)
    return scores


def encode(model, codes, data, folder, options):
    """Encodes the shape of --shape: its code, class, nearest training shapes, and what is decoded.

    Args:
      model: VarShapeLearner with a session; codes: dict {'train', 'test': [N, D]}.
      data: ShapeSet; folder: str, for picture, meshes and code; options: settled options.
    Returns:
      dict {'class', 'iou', 'nearest': [[class, number among the training shapes, distance of the
      codes]], 'code'}; the class is None where the set has one alone.
    """
    grid = make_dataset.voxelize(options.shape, options.shape_up).reshape(1, -1)
    (code,) = inference.codes(model, grid)
    decoded = inference.decode(model, code[None])
    overlap = float(measures.iou(decoded, grid)[0])
    labels, name = data.train.labels, None
    if not has_one_class(labels):
        label = measures.fit_svm(codes['train'], labels).predict(code[None])[0]
        name = data.names[int(label) - 1]
    distances = np.linalg.norm(codes['train'] - code, axis=1)
    rows = np.argsort(distances, kind='stable')[:_NEAREST]
    nearest = [[data.names[labels[row] - 1], int(row), float(distances[row])] for row in rows]
    stem = os.path.join(folder, 'encoded-' + os.path.splitext(os.path.basename(options.shape))[0])
    draw.shapes(stem, np.concatenate([grid, decoded, data.train.voxels[rows]]),
                ['given', 'decoded'] + ['nearest: {}'.format(one) for one, _, _ in nearest],
                2 + len(rows), options.renderer, options.up)
    cli.say('{}: class {}; IoU with what is decoded {:.4f}; nearest training shapes: {}; meshes in '
            '{}'.format(options.shape, name or 'unknown', overlap, ', '.join(
                '{} {} ({:.2f})'.format(*one) for one in nearest), stem))
    return {'class': name, 'iou': overlap, 'nearest': nearest, 'code': code.tolist()}


def class_shapes(data, options):
    """Returns the shapes of the class that --class names.

    Returns:
      (uint8 [N, 27000], its test shapes, or where it has none its training shapes; str, its name).
    Raises:
      errors.UsageError: there is no such class, it has no shapes, or --id1 or --id2 is beyond them.
    """
    label = data_utils.class_id(options.class_name, data.names)
    name = data.names[label - 1]
    tested, trained = (data_utils.select(split, label).voxels for split in (data.test, data.train))
    voxels = tested if len(tested) else trained
    if not len(voxels):
        raise errors.UsageError('--class {}: {} has no shapes of it. Name another class.'.format(
            options.class_name, data.path))
    for option, number in (('id1', options.id1), ('id2', options.id2)):
        if (number or 0) >= len(voxels):
            raise errors.UsageError('--{} {}: the class {} has the shapes 0 to {} in {}; give one '
                                    'of these.'.format(option, number, name, len(voxels) - 1,
                                                       data.path))
    return voxels, name


def generate(model, data, folder, options):
    """Draws shapes decoded from codes of a class with Gaussian noise on them (Shape Generation).

    Args:
      model: VarShapeLearner with a session; data: ShapeSet.
      folder: str, for the pictures; options: settled options.
    Returns:
      dict {'class': str, 'shapes': int}.
    """
    voxels, name = class_shapes(data, options)
    codes = inference.codes(model, voxels[np.arange(options.num_samples) % len(voxels)])
    noise = np.random.RandomState(options.seed).normal(0, _NOISE, codes.shape)
    decoded = inference.decode(model, (codes + noise).astype(np.float32))
    draw.shapes(os.path.join(folder, 'generated-{}'.format(name)), decoded,
                renderer=options.renderer, up=options.up)
    return {'class': name, 'shapes': len(decoded)}


def interpolate(model, data, folder, options):
    """Draws seven shapes on the straight line from one code to another (Shape Interpolation).

    Args:
      as `generate`.
    Returns:
      dict {'class': str, 'rows': [int, int]}.
    """
    voxels, name = class_shapes(data, options)
    rows = [options.id2, min(8, len(voxels) - 1) if options.id1 is None else options.id1]
    decoded = inference.decode(model, measures.interpolate(*inference.codes(model, voxels[rows])))
    draw.shapes(os.path.join(folder, 'interpolation-{}'.format(name)), decoded, columns=7,
                renderer=options.renderer, up=options.up)
    return {'class': name, 'rows': rows}


def tsne(codes, data, folder):
    """Draws the training codes in two dimensions, coloured by class.

    Args:
      codes: [N, D]; data: ShapeSet; folder: str, for the picture.
    Returns:
      dict {'picture': str}; empty where there are too few shapes.
    """
    from sklearn import decomposition, manifold  # here, since its import takes a while
    if len(codes) < 4:
        cli.say('note: too few shapes for a t-SNE picture')
        return {}
    plane = decomposition.PCA(2, svd_solver='randomized', random_state=0).fit_transform(codes)
    embedding = manifold.TSNE(n_components=2, init=plane.astype(np.float32), random_state=0,
                              learning_rate=200., perplexity=min(30., (len(codes) - 1) / 3))
    points = embedding.fit_transform(codes)
    figure = Figure(figsize=(8, 8), dpi=100)
    axes = figure.add_subplot(1, 1, 1)
    colors = matplotlib.colormaps['terrain'](np.linspace(0, 0.95, len(data.names)))
    for label in np.unique(data.train.labels):
        of_class = points[data.train.labels == label]
        axes.scatter(of_class[:, 0], of_class[:, 1], s=6, color=colors[label - 1],
                     label=data.names[label - 1])
    axes.set_axis_off()
    axes.legend(fontsize=7, ncol=2)
    plots.save_figure(figure, os.path.join(folder, 'tsne.png'))
    return {'picture': 'tsne.png'}


def generation(model, codes, data, options):
    """Measures shapes decoded from a normal distribution fitted to the training codes.

    Args:
      model: VarShapeLearner with a session; codes: dict {'train', 'test': [N, D]}.
      data: ShapeSet; options: settled options.
    Returns:
      dict of measures, see `measures.generation`.
    """
    rng = np.random.RandomState(options.seed)
    covariance = np.cov(codes['train'], rowvar=False)
    samples = rng.multivariate_normal(codes['train'].mean(axis=0), covariance,
                                      len(data.test.labels)).astype(np.float32)
    scores = measures.generation(inference.decode(model, samples), data.test.voxels)
    for name, value in scores.items():
        cli.say('Generation {}: {:.4f}'.format(name.replace('_', ' '), value))
    return scores

"""Measures of trained models on held-out meshes, beside two baselines."""
import os

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors, files
from common.geometry import plots
from common.ops import initial_values
from common.training import launch
from polygen import conditions, drawing, measures, mesh_sets, networks, reconstruction, surfaces
from polygen import options as options_lib

_MOST_DRAWN = 10        # reconstructions in the picture


def evaluate(options: cli.Options, context: launch.Context) -> None:
    """Measures a checkpoint, the baselines and samples; prints and writes the figures.

    Args:
      options: those of evaluate.py.
      context: launch.Context.
    Raises:
      errors.InputError: no trained model, or no meshes to measure on or to compare with.
      errors.UsageError: nothing tells the meshes for the baseline of token frequencies.
    """
    options, weights = networks.trained(options, context.device)
    examples = _load(options, options.data_path, options.split)
    condition = conditions.of_options(options)
    train_examples = _training_meshes(options, condition.is_spatial and options.reconstructions)
    bits = options.quantization_bits
    rows = {'uniform': measures.uniform_baseline(examples, bits)}
    if train_examples:
        rows['token frequencies'] = measures.frequency_baseline(train_examples, examples, bits)
    models = networks.build_models(options)
    evaluator = measures.Evaluator(models, examples, options.batch_size, options.num_buckets, bits,
                                   condition)
    small = [example for example in examples
             if options.at_most and len(example['vertices']) <= options.at_most]
    if options.at_most and not small:
        cli.say('note: --at_most={}: no mesh has so few vertices'.format(options.at_most))
    of_small = measures.Evaluator(models, small, options.batch_size, options.num_buckets, bits,
                                  condition) if small else None
    # A model of pictures or voxels draws for the test shapes.
    wanted = options.reconstructions if condition.is_spatial else options.num_samples
    batch = options.candidates if condition.is_spatial else min(options.num_samples, 4)
    sampler = drawing.Sampler(models, options, batch, context.on_npu,
                              condition.is_spatial) if wanted else None
    figures = {'checkpoint': weights.name, 'meshes': len(examples),
               'data_path': options.data_path}
    results = None
    if options.untrained:
        initial_values.seed_by_names(tf.global_variables(), context.seed)
    with context.open_session() as sess:
        if options.untrained:
            sess.run(tf.global_variables_initializer())
            rows['untrained'] = evaluator.run(sess)
        weights.restore(sess)
        rows[weights.name] = evaluator.run(sess)
        if of_small:
            rows['{}, {} of at most {} vertices'.format(
                weights.name, len(small), options.at_most)] = of_small.run(sess)
        if sampler and condition.is_spatial:
            results = reconstruction.reconstruct(sampler, sess, examples, train_examples, options)
            figures['reconstructions'] = reconstruction.summary(results)
        elif sampler:
            labels = drawing.labels_to_draw(options.class_label, options, options.num_samples)
            figures['samples'] = _shares(sampler.draw(sess, labels, options.seed))
    if options.beside:
        rows['{}, {}'.format(options.beside, networks.recorded(options.replace(
            output_path=options.beside, checkpoint='')).get('condition', 'class'))] = _of_other_run(
                options, context, examples)
    figures['figures'] = rows
    _tell(figures, results, bits, os.path.join(options.output_path, 'eval'))


def _training_meshes(options, required):
    """The meshes that baselines are made of; none where weights come without them."""
    path = options.train_path
    if not path and options.vertex_checkpoint:
        raise errors.UsageError('--vertex_checkpoint tells nothing of its training: name the '
                                'meshes for the baseline by --train_path.')
    path = path or networks.recorded(options)['data_path']
    if not options.train_path and not os.path.exists(path):
        told = 'what the network was trained on ({}) is not here'.format(path)
        if required:
            raise errors.InputError('{}: name meshes to compare with by --train_path.'.format(told))
        cli.say('note: {}, so that token frequencies are no baseline; --train_path names other '
                'meshes'.format(told))
        return []
    examples = _load(options, path, 'train')
    if required:
        try:
            conditions.of_options(options).arrays(examples[0], np.random.RandomState(0))
        except errors.InputError as error:
            raise errors.InputError('--train_path {}: {}'.format(path, error)) from None
    return examples


def _tell(figures, results, bits, folder):
    """Prints the figures, draws the first reconstructions and writes evaluation.json."""
    for line in _table(figures['figures']):
        cli.say(line)
    if 'reconstructions' in figures:
        for line in _reconstruction_lines(figures['reconstructions'], len(results)):
            cli.say(line)
        picture = os.path.join(folder, 'reconstructions.png')
        shown = plots.in_turn([one.example['class_label'] for one in results], _MOST_DRAWN)
        reconstruction.draw(picture, [results[place] for place in shown], bits)
        cli.say('pictures in {}'.format(picture))
    elif 'samples' in figures:
        cli.say('{samples} samples: {complete:.1%} complete, {valid:.1%} valid'.format(
            **figures['samples']))
    path = os.path.join(folder, 'evaluation.json')
    files.write_json(path, figures)
    cli.say('results in {}'.format(path))


def _of_other_run(options, context, examples):
    """Figures of the run --beside on the same meshes."""
    other, weights = networks.trained(cli.Options(
        output_path=options.beside, checkpoint='', vertex_checkpoint='', face_checkpoint='',
        preset=options.preset), context.device)
    with tf.Graph().as_default():
        evaluator = measures.Evaluator(networks.build_models(other), examples, options.batch_size,
                                       options.num_buckets, other.quantization_bits,
                                       conditions.of_options(other))
        with context.open_session() as sess:
            weights.restore(sess)
            return evaluator.run(sess)


def _reconstruction_lines(table, count):
    """Yields Markdown lines of `reconstruction.summary`."""
    yield '{} shapes; chamfer distance in diagonals of the box, F-score at {}'.format(
        count, surfaces.THRESHOLD)
    yield '| | chamfer | F-score | without a mesh |'
    yield '|---|---|---|---|'
    for name, row in table.items():
        if 'chamfer' in row:
            yield '| {} | {chamfer:.4f} | {f_score:.3f} | {without_mesh:.1%} |'.format(name, **row)
    yield 'samples: {complete:.1%} complete, {valid:.1%} valid'.format(**table['samples'])


def _load(options, path, split):
    examples, summary = mesh_sets.load_for(options, path, split=split,
                                           class_names=options.class_names)
    cli.say(str(summary))
    if options.without_class:
        if not options_lib.has_any(options):
            raise errors.UsageError('--without_class: the model has no class `any`; train with '
                                    '--class_dropout.')
        return [dict(example, class_label=options.num_classes - 1) for example in examples]
    options_lib.check_labels(options, examples)
    return examples


def _table(rows):
    """Yields Markdown lines of {row name: figures of `measures.Evaluator.run`}."""
    names = ['bits_vertices', 'bits_faces', 'accuracy_vertices', 'accuracy_faces']
    yield '| ' + ' | '.join([''] + names) + ' |'
    yield '|---' * (len(names) + 1) + '|'
    for label, row in rows.items():
        yield '| ' + ' | '.join([label] + ['{:.4f}'.format(row[name]) for name in names]) + ' |'


def _shares(samples):
    complete = sum(sample.complete for sample in samples) / len(samples)
    valid = sum(measures.is_valid(sample) for sample in samples) / len(samples)
    return {'samples': len(samples), 'complete': complete, 'valid': valid}

"""The training of PolyGen's two models."""
import os
from typing import Any, List

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.frozen import graph as graph_lib
from common.geometry import meshes
from common.training import launch, reporting, runs
from polygen import (
    conditions,
    data_utils,
    drawing,
    freeze,
    make_dataset,
    measures,
    mesh_sets,
    networks,
    own_set,
    starts,
    training_graph,
)
from polygen import options as options_lib

_VALIDATION_BUCKETS = 4
_TOY = 8                # meshes above which a set is none of the toy experiment's kind
_FURNITURE = 12         # shapes of each class, where no data is given and the meshes do not do
_VIEWS = 4              # of each, where a picture is told
_RECENT = 100           # steps whose mean loss says which checkpoint is the best


def train(options: cli.Options, context: launch.Context) -> None:
    """Trains to step `options.training_steps`, going on from a checkpoint in the output folder.

    Args:
      options: those of `options.complete`.
      context: launch.Context.
    """
    context = context.replace(rewrites_graph=False)     # a third of the start-up, no faster a step
    runs.set_seeds(context.seed)
    is_own = options.preset == 'own'
    options, examples, summary = _training_set(options)
    held_out: List[Any] = []
    if is_own and not options.validation_path:
        examples, held_out = own_set.parted(options, examples)
    batches = mesh_sets.Batches(
        # Without work on padding there is nothing to gain from buckets.
        examples, options.batch_size, options.num_buckets if options.plain else 1, context.seed,
        options.shuffle, options.random_shift, options.shuffle_vertices, options.quantization_bits,
        condition=conditions.of_options(options), augment=mesh_sets.augmentation_of(options),
        class_dropout=options.class_dropout, any_label=options.num_classes - 1)
    batches.share(context.ranks)
    if options.train_epochs:
        options = options.replace(training_steps=options.train_epochs * batches.steps_per_epoch)
    step_tensor = tf.placeholder(tf.int32, [], name='step')
    models = networks.build_models(options, step_tensor, context.on_npu, context.ranks.rank)
    graph = training_graph.TrainingGraph(models, batches.buckets, options, context, step_tensor)
    evaluator = _evaluator(models, options, held_out)
    sampler = None
    if options.sample:
        sampler = drawing.Sampler(models, options, min(options.num_samples, 4), context.on_npu)
    description = 'PolyGen; {}'.format(str(summary).split('\n')[0])
    start = starts.Start(options, models, context.restart_layers)
    for note in start.notes:
        cli.say(note)
    with runs.start(options, context, init=start.set, summary=description,
                    anew=start.anew) as run:
        for step in run.steps(options.training_steps):
            losses = graph.run(run.sess, step, batches.at(step))
            run.report(step, **losses)
            with run.paused():
                _keep_best(run, step, losses, evaluator, options)
                if (sampler and context.ranks.is_chief and options.sample_every
                        and step % options.sample_every == 0 and step < options.training_steps):
                    _draw(run, step, sampler, examples, options)
        if context.ranks.is_chief:
            _finish(run, sampler, examples, options, context)
            if held_out:
                own_set.say_verdict(evaluator.run(run.sess), examples, held_out,
                                    options.quantization_bits)


def _training_set(options):
    """Returns (options with what the set tells, its examples, its summary)."""
    if options.preset == 'own':
        options = own_set.fitted(options)
    elif options.data_path == options_lib.SHIPPED_MESHES and (
            options.pretrained or conditions.of_options(options).is_spatial):
        options = _with_furniture(options)
    elif options.data_path == options_lib.SHIPPED_MESHES:
        cli.say('no --data_path given: using the meshes that ship with PolyGen')
    examples, summary = mesh_sets.load_for(
        options, options.data_path, strict=options.strict,
        keep_mesh=options.axis_scaling or options.axis_warping)
    if summary.skipped:
        cli.say(str(summary))
    if options.preset == 'seed' and len(examples) > _TOY:
        cli.say('note: --preset=seed is for the toy experiment of {} meshes; --preset=own fits '
                'limits, batch and length to a set of your own'.format(
                    len(mesh_sets.TOY_MESHES)))
    inputs = examples[0].get('inputs')
    if options.condition == 'image' and inputs is not None:
        side = inputs.view(0).shape[0]
        if side != options.image_size:
            cli.say('note: the pictures of the set have {} pixels a side, the network takes {} '
                    '(--image_size): they are resized'.format(side, options.image_size))
    return options_lib.with_classes(options, examples, summary.class_names), examples, summary


def _with_furniture(options):
    """Makes furniture of the kind that the weights that ship know; the options then name it."""
    folder = os.path.join(options.output_path, 'generated')
    views, pixels, cells = 1, 8, 8      # nothing looks at them
    if conditions.of_options(options).is_spatial:
        views, pixels, cells = _VIEWS, options.image_size, options.voxel_size
    make_dataset.make(make_dataset.parse_args([
        '--furniture', '--models={}'.format(_FURNITURE), '--test_models=1',
        '--views={}'.format(views), '--image_size={}'.format(pixels), '--voxels={}'.format(cells),
        '--output=' + folder]))
    cli.say('no --data_path given: using the procedural furniture in {}'.format(folder))
    return options.replace(data_path=folder)


def _evaluator(models, options, held_out):
    """Returns what measures the models on --validation_path or on meshes held out, or None."""
    if held_out:
        return measures.Evaluator(models, held_out, min(options.batch_size, len(held_out)),
                                  _VALIDATION_BUCKETS, options.quantization_bits,
                                  conditions.of_options(options))
    if not options.validation_path:
        return None
    examples, summary = mesh_sets.load_for(options, options.validation_path, split='test',
                                           class_names=options.class_names)
    options_lib.check_labels(options, examples)
    cli.say('validation: {}'.format(str(summary).split('\n')[0]))
    return measures.Evaluator(models, examples, options.batch_size, _VALIDATION_BUCKETS,
                              options.quantization_bits, conditions.of_options(options))


def _keep_best(run, step, losses, evaluator, options):
    """Saves the checkpoint with the lowest validation bits, or the lowest mean of recent losses."""
    recent = _remember(run, losses, options)
    if evaluator is not None:
        if run.due(step, options.eval_every):
            figures = evaluator.run(run.sess)
            run.record(step, **{'validation_' + name: value for name, value in figures.items()})
            run.save_best(step, sum(figures['bits_' + name] for name in training_graph.trained_of(
                options, measures.SEQUENCES)))
    elif run.due(step, options.save_every) and len(recent) == _RECENT:
        run.save_best(step, np.mean(recent, axis=0).sum())


def _remember(run, losses, options):
    """Keeps the losses of recent steps in the run's state: list of [vertices, faces]."""
    recent = run.state.setdefault('recent', [])
    recent.append([float(losses['loss_' + name]) for name in training_graph.losses_of(options)])
    del recent[:-_RECENT]
    return recent


def _draw(run, step, sampler, examples, options):
    """Draws samples of the classes of the data in turn; targets stand above them."""
    present = sorted({example['class_label'] for example in examples})
    labels = [present[number % len(present)] for number in range(options.num_samples)]
    condition = conditions.of_options(options)
    chosen = [_example(examples, label, number // len(present))
              for number, label in enumerate(labels)]
    inputs = [condition.arrays(example, np.random.RandomState([options.seed, number]))
              for number, example in enumerate(chosen)]
    samples = sampler.draw(run.sess, labels, [options.seed, step], inputs)
    targets = []
    for target in chosen[:4]:
        targets.append((data_utils.dequantize_verts(target['vertices'], options.quantization_bits),
                        data_utils.unflatten_faces(target['faces'])))
    stem = os.path.join(run.samples, 'step_{:06d}'.format(step))
    drawing.write(samples, stem, targets)
    first = samples[0]
    run.show(step, 'samples', stem + '.png', (first.vertices, meshes.triangulate(first.faces)))
    return samples


def _example(examples, label, number):
    """The example of a class with a number, counted round and round."""
    of_class = [example for example in examples if example['class_label'] == label]
    return of_class[number % len(of_class)]


def _finish(run, sampler, examples, options, context):
    """Draws the last samples and freezes, once; a run that stopped before is made whole."""
    recent = run.state.get('recent', [])
    if recent:
        cli.say('mean of the last {} steps: {}'.format(len(recent), '  '.join(
            'loss_{} {}'.format(name, reporting.format_value(value))
            for name, value in zip(training_graph.losses_of(options), np.mean(recent, axis=0)))))
    if sampler:
        run.results.once('samples', run.step, lambda: _sample(run, sampler, examples, options))
    if options.freeze:
        run.results.once('frozen', run.step, lambda: _freeze(run, options, context))


def _sample(run, sampler, examples, options):
    samples = _draw(run, run.step, sampler, examples, options)
    for line in measures.describe_matches(samples, examples, options.quantization_bits,
                                          options.random_shift):
        cli.say(line)
    stem = os.path.join(run.samples, 'step_{:06d}'.format(run.step))
    cli.say('samples in {}'.format(stem))
    return [stem + '.png']


def _freeze(run, options, context):
    run.save(run.step)
    paths = freeze.freeze_run(options, context, run.step)
    return paths + [graph_lib.manifest_path(path) for path in paths]

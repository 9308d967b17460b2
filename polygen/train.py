"""Trains PolyGen's vertex model and face model on a folder of meshes.

Example: python polygen/train.py --data_path=polygen/meshes --training_steps=5000
"""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device
from common.training import reporting, runs
from polygen import data_utils, freeze, measures, mesh_sets, presets
from polygen import sample as sample_script

_FUSION_SWITCH = os.path.join(os.path.dirname(presets.SHIPPED_MESHES), 'fusion_switch.cfg')
_VALIDATION_BUCKETS = 4
_RECENT = 100           # steps whose mean loss says which checkpoint is the best


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--data_path', '--datapath', default=presets.SHIPPED_MESHES,
                        help='folder of .obj, .off, .ply, .stl or .glb meshes, or packed .npz')
    parser.add_argument('--validation_path', default='',
                        help='held-out meshes; the best checkpoint is the best on them')
    parser.add_argument('--training_steps', '--training-steps', '--train_steps',
                        type=cli.positive_int, default=5000, help='optimizer steps in all')
    parser.add_argument('--train_epochs', '--total_epoch', '--epoch', type=cli.positive_int,
                        default=None, help='rounds over the data, instead of --training_steps')
    parser.add_argument('--batch_size', type=cli.positive_int, default=None,
                        help='meshes in a step (of the preset unless given)')
    parser.add_argument('--learning_rate', type=cli.positive_float, default=5e-4, help='of Adam')
    _add_training_options(parser.add_argument_group('training'))
    presets.add_model_options(parser)
    presets.add_sampling_options(parser)
    cli.add_run_options(parser, presets.OUTPUT_PATH)
    parser.add_argument('--checkpoint', '--ckpt_path', default='',
                        help='weights to start from where the output folder has none')
    return parser.parse_args(argv)


def _add_training_options(group):
    group.add_argument('--schedule', choices=('constant', 'cosine'), default=None,
                       help='of the learning rate (of the preset unless given)')
    group.add_argument('--warmup_steps', type=cli.non_negative_int, default=None,
                       help='in which the learning rate rises (of the preset unless given)')
    group.add_argument('--gradient_clip', type=cli.non_negative_float, default=None,
                       help='largest norm of the gradient of the loss per token, 0: any (of the '
                            'preset unless given)')
    group.add_argument('--num_buckets', type=cli.positive_int, default=None,
                       help='groups of meshes of like length, each with its own static shapes, '
                            'with --plain or on the NPU (of the preset unless given)')
    for name, text in [('shuffle', 'another order of the meshes in each round'),
                       ('random_shift', 'shift each mesh inside the cube'),
                       ('is_training', 'dropout (the original\'s notebook never turns it on)')]:
        cli.add_flag(group, '--' + name, default=None, help=text + ' (of the preset unless given)')
    cli.add_flag(group, '--shuffle_vertices', default=True,
                 help='random order of the vertices that the face model sees')
    cli.add_flag(group, '--shared_optimizer', help='one Adam for both models, as in the original, '
                 'where each update advances the bias correction of both')
    cli.add_flag(group, '--strict', help='refuse meshes that cannot be used instead of leaving '
                 'them out')
    group.add_argument('--eval_every', type=cli.non_negative_int, default=0,
                       help='steps between evaluations on --validation_path; 0: at the end')
    group.add_argument('--sample_every', type=cli.non_negative_int, default=0,
                       help='steps between samples; 0: at the end')
    group.add_argument('--num_samples', type=cli.positive_int, default=4,
                       help='meshes to draw each time')
    cli.add_flag(group, '--sample', default=True, help='draw samples')
    cli.add_flag(group, '--freeze', help='write both models as .pb at the end')


def _loss(model, feed, name, config):
    """Sum over a batch of the negative log-likelihood, in nats."""
    if config.plain:
        return measures.sequence_loss(model(feed, is_training=config.is_training), feed, name)[0]
    return model.packed_loss(feed, config.is_training)


class Steps:
    """The graph of a training step, one for each bucket of lengths; the variables are shared.

    Args:
      models: presets.Models.
      batches: mesh_sets.Batches.
      config: completed options.
      step: int32 placeholder of the training step.
    """

    def __init__(self, models, batches, config, step):
        self._batches = batches
        self._config = config
        self._step = step
        self._rate = tf.placeholder(tf.float32, [], name='learning_rate')
        optimizers = [self._optimizer() for _ in range(1 if config.shared_optimizer else 2)]
        self._buckets = []
        for number, size in enumerate(batches.buckets):
            with tf.name_scope('bucket_{}'.format(number)):
                feeds = measures.placeholders(size, device.per_rank(config.batch_size))
                losses, updates = [], []
                for model, feed, name in zip(models, feeds, measures.TARGETS):
                    loss = _loss(model, feed, name, config)
                    losses.append(device.allreduce_sum(loss))
                    if device.size() > 1:   # a sum, but gradients are averaged over the processes
                        loss *= device.size()
                    updates.append(self._update(optimizers[len(updates) % len(optimizers)], loss,
                                                feed[name + '_mask'], model))
                self._buckets.append((feeds, losses, updates))

    def _optimizer(self):
        return device.wrap_optimizer(tf.train.AdamOptimizer(self._rate), self._config)

    def _update(self, optimizer, loss, mask, model):
        variables = model.trainable_variables
        if not self._config.gradient_clip:
            return optimizer.minimize(loss, var_list=variables)
        tokens = device.allreduce_sum(tf.reduce_sum(mask))
        pairs = optimizer.compute_gradients(loss / tokens, var_list=variables)
        # tf.clip_by_global_norm asks IsFinite, which the NPU lacks.
        norm = tf.global_norm([gradient for gradient, _ in pairs])
        scale = self._config.gradient_clip / tf.maximum(norm, self._config.gradient_clip)
        return optimizer.apply_gradients([(gradient * scale, variable)
                                          for gradient, variable in pairs])

    def ends(self, bucket):
        """(placeholders, losses, updates) of a bucket, each a list: vertex model, face model."""
        return self._buckets[bucket]

    def learning_rate(self, step):
        """Linear warm-up, then constant or half a cosine down to 0 at the last step."""
        config = self._config
        rate = config.learning_rate * min(1., step / max(1, config.warmup_steps))
        if config.schedule == 'cosine' and step > config.warmup_steps:
            done = (step - config.warmup_steps) / max(
                1, config.training_steps - config.warmup_steps)
            rate *= 0.5 * (1 + math.cos(math.pi * min(1., done)))
        return rate

    def run(self, sess, step):
        """Makes one update of each model.

        Args:
          sess: tf.Session.
          step: int from 1; the batch is a function of it and the seed.
        Returns:
          dict: the losses before the update (sums over the batch, nats) and in bits per vertex.
        """
        bucket, *arrays = self._batches.at(step)
        feeds, losses, updates = self._buckets[bucket]
        feed = {self._step: step, self._rate: self.learning_rate(step)}
        for tensors, values in zip(feeds, arrays):
            feed.update({tensors[name]: device.shard(value) for name, value in values.items()})
        if self._config.shared_optimizer:   # the order of the updates matters: one call for each
            values = [sess.run((loss, update), feed)[0] for loss, update in zip(losses, updates)]
        else:
            values = sess.run((losses, updates), feed)[0]
        num_vertices = arrays[1]['vertices_mask'].sum()
        report = {'loss_' + name: value for name, value in zip(measures.SEQUENCES, values)}
        report.update({'bits_' + name: measures.bits_per_vertex(value, num_vertices)
                       for name, value in zip(measures.SEQUENCES, values)})
        return report


def train(config):
    """Trains to step `config.training_steps`, going on from a checkpoint in `output_path`."""
    runs.set_seeds(config.seed)
    presets.complete(config)
    if device.choose(config.device) == 'npu' and not config.fusion_switch_file:
        config.fusion_switch_file = _FUSION_SWITCH  # as in the Ascend port
    if config.data_path == presets.SHIPPED_MESHES:
        cli.say('no --data_path given: using the meshes that ship with PolyGen')
    examples, summary = _load(config, config.data_path, config.strict)
    presets.complete(config, examples)
    config.class_names = summary.class_names    # recorded: other sets get these labels
    batches = mesh_sets.Batches(
        # Without work on padding there is nothing to gain from buckets.
        examples, config.batch_size, config.num_buckets if config.plain else 1, config.seed,
        config.shuffle, config.random_shift, config.shuffle_vertices, config.quantization_bits)
    if config.train_epochs:
        config.training_steps = config.train_epochs * batches.steps_per_epoch
    step_tensor = tf.placeholder(tf.int32, [], name='step')
    models = presets.make_models(config, step_tensor)
    steps = Steps(models, batches, config, step_tensor)
    validation = _validation(models, config, summary.class_names)
    sampler = None
    if config.sample:
        sampler = sample_script.Sampler(models, config, min(config.num_samples, 4))
    with runs.start(config, summary='PolyGen; {}'.format(str(summary).split('\n')[0])) as run:
        for step in run.steps(config.training_steps):
            values = steps.run(run.sess, step)
            run.report(step, **values)
            with run.paused():
                _keep_best(run, step, values, validation, config)
                if (sampler and device.is_chief() and config.sample_every
                        and step % config.sample_every == 0 and step < config.training_steps):
                    _draw(run, step, sampler, examples, config)
        if device.is_chief():
            _finish(run, sampler, examples, models, config)


def _load(config, path, strict):
    examples, summary = mesh_sets.load_meshes(
        path, config.quantization_bits, config.max_vertices, config.max_face_tokens, strict,
        exact=config.exact_quantization, keep_winding=config.keep_winding)
    if summary.skipped:
        cli.say(str(summary))
    return examples, summary


def _validation(models, config, class_names):
    if not config.validation_path:
        return None
    examples, summary = mesh_sets.load_meshes(
        config.validation_path, config.quantization_bits, config.max_vertices,
        config.max_face_tokens, split='test', class_names=class_names,
        exact=config.exact_quantization, keep_winding=config.keep_winding)
    presets.check_labels(config, examples)
    cli.say('validation: {}'.format(str(summary).split('\n')[0]))
    return measures.Evaluator(models, examples, config.batch_size, _VALIDATION_BUCKETS,
                              config.quantization_bits)


def _keep_best(run, step, values, validation, config):
    """Saves the checkpoint with the lowest validation bits, or the lowest mean loss of late."""
    recent = _remember(run, values)
    if validation is not None:
        if run.due(step, config.eval_every):
            found = validation.run(run.sess)
            run.record(step, **{'validation_' + name: value for name, value in found.items()})
            run.save_best(step, found['bits_vertices'] + found['bits_faces'])
    elif run.due(step, config.save_every) and len(recent) == _RECENT:
        run.save_best(step, np.mean(recent, axis=0).sum())


def _remember(run, values):
    """Keeps the losses of the last steps in the run's state: list of [vertices, faces]."""
    recent = run.state.setdefault('recent', [])
    recent.append([float(values['loss_' + name]) for name in measures.SEQUENCES])
    del recent[:-_RECENT]
    return recent


def _draw(run, step, sampler, examples, config):
    """Draws samples of the classes of the data in turn; targets stand above them."""
    present = sorted({example['class_label'] for example in examples})
    labels = [present[number % len(present)] for number in range(config.num_samples)]
    samples = sampler.draw(run.sess, labels, [config.seed, step])
    targets = []
    for label in labels[:4]:
        target = next(example for example in examples if example['class_label'] == label)
        targets.append((data_utils.dequantize_verts(target['vertices'], config.quantization_bits),
                        data_utils.unflatten_faces(target['faces'])))
    sample_script.write(samples, os.path.join(run.samples, 'step_{:06d}'.format(step)),
                        [sample_script.caption(one) for one in samples], targets)
    return samples


def _finish(run, sampler, examples, models, config):
    """Draws the last samples and freezes, once; a run that stopped before is made whole."""
    recent = run.state.get('recent', [])
    if recent:
        cli.say('mean of the last {} steps: loss_vertices {}  loss_faces {}'.format(
            len(recent), *map(reporting.format_value, np.mean(recent, axis=0))))
    picture = os.path.join(run.samples, 'step_{:06d}.png'.format(run.step))
    trained = run.step > run.start_step     # else only what is missing is made
    if sampler and (trained or not os.path.exists(picture)):
        samples = _draw(run, run.step, sampler, examples, config)
        for line in measures.describe_matches(samples, examples, config.quantization_bits,
                                              config.random_shift):
            cli.say(line)
        cli.say('samples in {}'.format(os.path.splitext(picture)[0]))
    if config.freeze and (trained or not freeze.is_up_to_date(config.output_path, run.step)):
        run.save(run.step)
        for path in freeze.freeze_run(config, run.step):
            cli.say('frozen: {}'.format(path))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(train, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

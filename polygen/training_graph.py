"""The graph of PolyGen's training step, and the schedule of the learning rate."""
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import tensorflow.compat.v1 as tf

from common import cli
from common.device import npu
from common.training import launch, schedules
from polygen import conditions, measures, modules

_MANY_TOKENS = 4096     # of the faces of a batch: from here on memory counts


class Bucket(NamedTuple):
    """Tensors of a bucket of lengths; each list holds the vertex model's, then the face model's.

    Attributes:
      placeholders: dicts of `measures.placeholders`.
      losses: scalars, sums over the whole batch in nats.
      updates: operations.
      num_vertices: scalar, of the whole batch.
      classes: list of a scalar, the share of pictures or grids whose class is seen, if it is told.
    """

    placeholders: Sequence[Dict[str, tf.Tensor]]
    losses: List[tf.Tensor]
    updates: List[tf.Operation]
    num_vertices: tf.Tensor
    classes: List[tf.Tensor]


class TrainingGraph:
    """The graph of a training step, one for each bucket of lengths; the variables are shared.

    Args:
      models: networks.Models.
      sizes: list of dicts, see `mesh_sets.make_buckets`.
      options: settled options.
      context: launch.Context.
      step: int32 placeholder of the training step.

    Attributes:
      buckets: list of Bucket.
      learning_rate: placeholder, scalar.
    """

    def __init__(self, models: Tuple[modules.VertexModel, modules.FaceModel],
                 sizes: Sequence[Dict[str, int]], options: cli.Options, context: launch.Context,
                 step: tf.Tensor):
        self._options = options
        self._ranks = context.ranks
        self._step = step
        self.learning_rate = tf.placeholder(tf.float32, [], name='learning_rate')
        optimizers = [context.wrap_optimizer(tf.train.AdamOptimizer(self.learning_rate))
                      for _ in range(1 if options.shared_optimizer else 2)]
        self.buckets = []
        for number, size in enumerate(sizes):
            with tf.name_scope('bucket_{}'.format(number)):
                self.buckets.append(self._bucket(models, size, optimizers))

    def _bucket(self, models, size, optimizers):
        feeds = measures.placeholders(size, self._ranks.per_rank(self._options.batch_size),
                                      conditions.of_options(self._options))
        bucket = Bucket(feeds, [], [], self._ranks.sum(tf.reduce_sum(feeds[1]['vertices_mask'])),
                        [])
        tokens = self._options.batch_size * size['face_tokens']
        in_turn = tokens >= _MANY_TOKENS and not (
            self._options.plain or self._options.shared_optimizer)
        gradients = []
        for model, feed, name in zip(models, feeds, measures.TARGETS):
            if in_turn and gradients:   # one model's activations at a time lie in memory
                with tf.control_dependencies(gradients):
                    feed = {key: tf.identity(tensor) for key, tensor in feed.items()}
            loss, mask = self._loss(model, feed, name), feed[name + '_mask']
            if name not in trained_of(self._options, measures.TARGETS):
                continue
            of_classes = None
            if self._options.summary_classes and model is models.vertex:
                of_classes = self._class_loss(model, feed, bucket)
            if self._options.encoder_only:
                loss, mask = of_classes, tf.ones_like(mask[:, 0])
            bucket.losses.append(self._ranks.sum(loss))
            if of_classes is not None and not self._options.encoder_only:
                loss += of_classes
            if self._ranks.size > 1:   # a sum, but gradients are averaged over the processes
                loss *= self._ranks.size
            optimizer = optimizers[len(bucket.updates) % len(optimizers)]
            update, gradients = self._update(optimizer, loss, mask, model)
            bucket.updates.append(update)
        return bucket

    def _loss(self, model, feed, name):
        """Sum over a batch of the negative log-likelihood, in nats."""
        is_training = self._options.is_training
        if self._options.plain:
            return measures.sequence_loss(model(feed, is_training=is_training), feed, name)[0]
        return model.packed_loss(feed, is_training)

    def _class_loss(self, model, feed, bucket):
        """Cross-entropy of the classes that pictures or grids show, a sum in nats.

        Of the classes of the data alone: how much the sequence relies on them, and how much on the
        last one, any, is learned from the sequence.
        """
        logits, labels = model.class_logits[:, :-1], feed['class_label']
        is_right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels)
        bucket.classes.append(self._ranks.mean(tf.reduce_mean(tf.cast(is_right, tf.float32))))
        with npu.float32_scope():
            return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=labels, logits=logits))

    def _update(self, optimizer, loss, mask, model):
        """(Operation that updates a model, its gradients)."""
        def computed(value):    # of a part of the model: no gradient by the variables of the others
            return [pair for pair in optimizer.compute_gradients(
                value, var_list=model.trainable_variables) if pair[0] is not None]

        if not self._options.gradient_clip:
            pairs = computed(loss)
            return optimizer.apply_gradients(pairs), [gradient for gradient, _ in pairs]
        tokens = self._ranks.sum(tf.reduce_sum(mask))
        pairs = computed(loss / tokens)
        gradients = [gradient for gradient, _ in pairs]
        # tf.clip_by_global_norm asks IsFinite, which the NPU lacks.
        norm = tf.global_norm(gradients)
        scale = self._options.gradient_clip / tf.maximum(norm, self._options.gradient_clip)
        return optimizer.apply_gradients([(gradient * scale, variable)
                                          for gradient, variable in pairs]), gradients

    def run(self, sess: tf.Session, step: int, batch: Any) -> Dict[str, Any]:
        """Makes one update of each model.

        Args:
          sess: tf.Session.
          step: int from 1.
          batch: what `mesh_sets.Batches.at` gives for the step, the rows of this process.
        Returns:
          dict: the losses before the update (sums over the batch, nats) and in bits per vertex;
          with `summary_classes` the share of the batch whose class is seen; with `encoder_only` the
          loss of the classes instead.
        """
        number, *arrays = batch
        bucket = self.buckets[number]
        feed = {self._step: step, self.learning_rate: learning_rate(self._options, step)}
        for tensors, values in zip(bucket.placeholders, arrays):
            feed.update({tensors[name]: value for name, value in values.items()})
        if self._options.shared_optimizer:   # the order of the updates matters: one call for each
            of_first = [bucket.classes, []]
            losses, classes, _ = zip(*(sess.run(fetched, feed) for fetched in zip(
                bucket.losses, of_first, bucket.updates)))
            classes = classes[0]
        else:
            losses, classes, _ = sess.run((bucket.losses, bucket.classes, bucket.updates), feed)
        if self._options.encoder_only:
            return {'loss_classes': losses[0], 'accuracy_classes': classes[0]}
        num_vertices = arrays[1]['vertices_mask'].sum()
        if self._ranks.size > 1:
            num_vertices = sess.run(bucket.num_vertices, feed)
        names = losses_of(self._options)
        report = {'loss_' + name: loss for name, loss in zip(names, losses)}
        report.update({'bits_' + name: measures.bits_per_vertex(loss, num_vertices)
                       for name, loss in zip(names, losses)})
        report.update(('accuracy_classes', share) for share in classes)
        return report


def trained_of(options: cli.Options, both: Sequence[Any]) -> Sequence[Any]:
    """Returns those of (the vertex model's, the face model's) that a run trains."""
    return both[:1] if options.face_checkpoint or options.encoder_only else both


def losses_of(options: cli.Options) -> Sequence[str]:
    """Returns the names of the losses that a run reports, behind `loss_`."""
    return ('classes',) if options.encoder_only else trained_of(options, measures.SEQUENCES)


def learning_rate(options: cli.Options, step: int) -> float:
    """Returns a step's rate: linear warm-up, then constant or half a cosine to 0 at the last step.

    Args:
      options: settled options: `learning_rate`, `warmup_steps`, `schedule`, `training_steps`.
      step: int from 1.
    """
    rate = options.learning_rate * min(1., step / max(1, options.warmup_steps))
    if options.schedule == 'cosine' and step > options.warmup_steps:
        done = (step - options.warmup_steps) / max(
            1, options.training_steps - options.warmup_steps)
        rate *= schedules.half_cosine(done)
    return rate

"""Drawing meshes from trained models, and writing them as files and pictures."""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.geometry import meshes, plots
from common.training import launch, reporting
from polygen import data_utils, measures, mesh_sets, networks, sampling, user_inputs
from polygen import options as options_lib

_CAPTION = 26       # letters of a mesh's name above it


class Sample(NamedTuple):
    """A drawn mesh.

    Attributes:
      label: int, its class; None: neither model was told one.
      vertices: float32 [V, 3], z up.
      faces: list of lists of vertex numbers.
      complete: bool, both models have drawn their stop token.
      class_name: str, of the class; '' where classes have numbers alone.
    """

    label: Optional[int]
    vertices: np.ndarray
    faces: List[List[int]]
    complete: bool
    class_name: str = ''

    def __str__(self) -> str:
        name = self.class_name or ('' if self.label is None else 'class {}'.format(self.label))
        return '{}{} vertices, {} faces{}'.format(
            name and name + ': ', len(self.vertices), len(self.faces),
            '' if self.complete else ' (cut off)')


class Sampler:
    """The graph that draws a batch of meshes.

    Args:
      models: networks.Models.
      options: settled options, with those of `options.add_sampling_options`.
      batch: int, B, meshes at once.
      static: bool, all shapes are static, as the NPU wants them; else the graph is smaller.
      shared: bool, the meshes of a batch are of one picture or grid, which is encoded once.
    """

    def __init__(self, models: networks.Models, options: cli.Options, batch: int,
                 static: bool = False, shared: bool = False):
        self._batch, self._shared = batch, shared
        self._knows_classes = options.class_conditional or options.face_class_conditional
        self._class_names = [str(name) for name in options.class_names or ()]
        self._steps = (3 * options.sample_vertices + 1, options.sample_face_tokens)
        with tf.name_scope('sample'):
            told = networks.condition_placeholders(options, 1 if shared else batch)
            self._inputs = dict(told)
            self._inputs.setdefault('class_label', tf.placeholder(tf.int32, [batch], 'class_label'))
        self._noise = [tf.placeholder(tf.float32, [batch, steps], name='sample/noise')
                       for steps in self._steps]
        filters = (options.temperature, options.top_k, options.top_p)
        rules: Dict[str, Any] = {
            'top_k_per_row': options.top_k_per_row, 'valid_only': options.valid_only,
            'only_return_complete': False, 'growing': not static}
        context = {'class_label': self._inputs['class_label']}
        vertices = models.vertex.sample(batch, told, options.sample_vertices, *filters,
                                        recenter_verts=options.random_shift, noise=self._noise[0],
                                        shared_context=shared, **rules)
        faces = models.face.sample(dict(vertices, **context), options.sample_face_tokens, *filters,
                                   noise=self._noise[1], **rules)
        del faces['context']
        self._outputs = vertices, faces

    def draw(self, sess: tf.Session, labels: Sequence[int], seed: Union[int, Sequence[int]],
             inputs: Sequence[Dict[str, np.ndarray]] = ()) -> List[Sample]:
        """Draws one mesh for each label.

        Args:
          sess: tf.Session.
          labels: list of int.
          inputs: list of dicts, one for each label: the conditioning inputs of the
            vertex model, see `conditions.Condition.spec`; with `shared` those of one mesh are the
            same object.
          seed: int or list of int.
        Returns:
          list of Sample.
        """
        samples = []
        inputs = inputs or [{}] * len(labels)
        model_inputs = [dict(one, class_label=label) for label, one in zip(labels, inputs)]
        for start, stop in reporting.progress(self._parts(inputs), 'drawing batches'):
            part = model_inputs[start:stop]
            seeds = [np.append(seed, [start, network]) for network in range(2)]
            rows = [part[row % len(part)] for row in range(self._batch)]
            feed = {tensor: np.stack([row[name] for row in rows[:tensor.shape[0].value]])
                    for name, tensor in self._inputs.items()}
            feed.update({noise: sampling.uniform_noise(draw, self._batch, steps)
                         for noise, draw, steps in zip(self._noise, seeds, self._steps)})
            vertices, faces = sess.run(self._outputs, feed)
            for row, one in enumerate(part):
                label = int(one['class_label']) if self._knows_classes else None
                samples.append(Sample(
                    label=label, class_name='' if label is None else ''.join(
                        self._class_names[label:label + 1]),
                    vertices=vertices['vertices'][row, :vertices['num_vertices'][row]],
                    faces=data_utils.unflatten_faces(
                        faces['faces'][row, :faces['num_face_indices'][row]]),
                    complete=bool(vertices['completed'][row] and faces['completed'][row])))
        return samples

    def _parts(self, inputs):
        """Where batches start and stop: list of pairs; with `shared` none has two inputs."""
        parts, start = [], 0
        for place in range(1, len(inputs) + 1):
            if (place == len(inputs) or place - start == self._batch
                    or self._shared and inputs[place] is not inputs[start]):
                parts.append((start, place))
                start = place
        return parts


class FaceSampler:
    """The graph that connects given vertices to meshes.

    Args:
      models, options, batch, static: see `Sampler`.
    """

    def __init__(self, models: networks.Models, options: cli.Options, batch: int,
                 static: bool = False):
        self._shape = batch, options.sample_vertices, options.sample_face_tokens
        self._bits = options.quantization_bits
        self._knows_classes = options.face_class_conditional
        self._context = {
            'vertices': tf.placeholder(tf.float32, [batch, options.sample_vertices, 3]),
            'vertices_mask': tf.placeholder(tf.float32, [batch, options.sample_vertices])}
        if options.face_class_conditional:
            self._context['class_label'] = tf.placeholder(tf.int32, [batch])
        self._noise = tf.placeholder(tf.float32, [batch, options.sample_face_tokens])
        self._faces = models.face.sample(
            self._context, options.sample_face_tokens, options.temperature, options.top_k,
            options.top_p, top_k_per_row=options.top_k_per_row, valid_only=options.valid_only,
            only_return_complete=False, noise=self._noise, growing=not static)
        del self._faces['context']

    def draw(self, sess: tf.Session, quantized: np.ndarray, vertices: np.ndarray, label: int,
             seed: Union[int, Sequence[int]]) -> List[Sample]:
        """Draws a batch of meshes of the same vertices.

        Args:
          sess: tf.Session.
          quantized: int [V, 3], sorted; vertices: float [V, 3], what the samples have, z up.
          label: int; seed: int or list of int.
        """
        batch, most, steps = self._shape
        feed = {'vertices': np.zeros([batch, most, 3], np.float32),
                'vertices_mask': np.zeros([batch, most], np.float32),
                'class_label': np.full([batch], label, np.int32)}
        feed['vertices'][:, :len(quantized)] = mesh_sets.graph_dequantized(quantized, self._bits)
        feed['vertices_mask'][:, :len(quantized)] = 1
        values = {tensor: feed[name] for name, tensor in self._context.items()}
        values[self._noise] = sampling.uniform_noise(seed, batch, steps)
        drawn = sess.run(self._faces, values)
        known = label if self._knows_classes else None
        return [Sample(known, vertices, data_utils.unflatten_faces(
            drawn['faces'][row, :drawn['num_face_indices'][row]]), bool(drawn['completed'][row]))
                for row in range(batch)]


def write(samples: Sequence[Sample], folder: str,
          targets: Sequence[Tuple[np.ndarray, List[List[int]]]] = (),
          conditioning: Sequence[user_inputs.ConditioningInput] = ()) -> None:
    """Writes samples as .obj, .glb and .stl (y up, as the files of the training), and a picture.

    Args:
      samples: list of Sample.
      folder: str; the picture is `<folder>.png`.
      targets: list of (vertices [V, 3], faces), drawn in the rows above the samples.
      conditioning: inputs of a user, equally many samples of each in turn; each is drawn before
        its samples.
    """
    for number, sample in enumerate(samples):
        if not len(sample.vertices):
            continue    # neither format can hold a mesh without vertices
        stem = os.path.join(folder, 'sample_{:02d}'.format(number))
        data_utils.write_obj(sample.vertices, sample.faces, stem + '.obj', one_based=False)
        if sample.faces:
            for ending in ('.glb', '.stl'):
                meshes.write(stem + ending, sample.vertices[:, [1, 2, 0]], sample.faces)
    if conditioning:
        _write_beside(samples, folder, conditioning)
        return
    columns = min(4, len(samples))
    # The row of targets is filled up, so that the samples start in a row of their own.
    empty = -len(targets) % columns
    captions = ['training mesh'] * len(targets) + [''] * empty + list(map(str, samples))
    fields = list(targets) + [(np.zeros((0, 3)), [])] * empty
    fields += [(sample.vertices, sample.faces) for sample in samples]
    plots.mesh_grid(folder + '.png', fields, captions, columns=columns)


def _write_beside(samples, folder, conditioning):
    """Draws each input and its samples in a row."""
    each = len(samples) // len(conditioning)
    fields, captions = [], []
    for number, one in enumerate(conditioning):
        part = samples[number * each:(number + 1) * each]
        fields += [one.picture] + [(sample.vertices, sample.faces) for sample in part]
        captions += [one.name] + list(map(str, part))
    plots.mesh_grid(folder + '.png', fields, captions, columns=each + 1)


def labels_to_draw(classes: Optional[Sequence[str]], options: cli.Options, count: int
                   ) -> List[int]:
    """Returns the labels of `count` samples, in turn.

    Args:
      classes: names or numbers of classes; None: the class `any` where the model has it, else all.
      options: of the model, with `num_classes` and `class_names`.
      count: int.
    Raises:
      errors.UsageError: a class that the model does not have, or it knows none.
    """
    if classes and not (options.class_conditional or options.face_class_conditional):
        raise errors.UsageError('--class_label {}: the model knows no classes (it was trained with '
                                '--condition={}). Leave it out.'.format(
                                    ' '.join(classes), options.condition))
    names = [str(name) for name in options.class_names or ()]
    if classes is None:
        labels = list(range(options.num_classes))[-1 if options_lib.has_any(options) else 0:]
    else:
        labels = [names.index(one) if one in names else _number(one) for one in classes]
    if not labels or not all(0 <= label < options.num_classes for label in labels):
        raise errors.UsageError('--class_label {}: the model has the classes 0 to {}{}.'.format(
            ' '.join(classes or ()), options.num_classes - 1,
            ', ' + ', '.join(names) if names else ''))
    return [labels[number % len(labels)] for number in range(count)]


def _number(text):
    return int(text) if text.isdigit() else -1


def sample(options: cli.Options, context: launch.Context) -> None:
    """Draws, writes and describes samples of a trained model.

    Args:
      options: those of sample.py.
      context: launch.Context.
    """
    context = context.replace(rewrites_graph=False)     # as in training
    if options.vertices and (options.image or options.voxels):
        raise errors.UsageError('--vertices goes without --image and --voxels: the face model sees '
                                'vertices alone.')
    options, weights = networks.trained(options, context.device)
    if options.vertices:
        return _connect(options, context, weights)
    labels = labels_to_draw(options.class_label, options, options.num_samples)
    conditioning = user_inputs.read(options)
    if options.condition in ('image', 'voxels') and not conditioning:
        raise errors.UsageError('the model was trained with --condition={0}: give --{0}.'.format(
            options.condition))
    if conditioning:
        labels = labels * len(conditioning)
    at_once = options.num_samples if conditioning else len(labels)
    sampler = Sampler(networks.build_models(options), options,
                      min(options.batch_size, at_once), context.on_npu, bool(conditioning))
    inputs = [one.arrays for one in conditioning for _ in range(options.num_samples)]
    with context.open_session() as sess:
        weights.restore(sess)
        samples = sampler.draw(sess, labels, options.seed, inputs)
    folder = os.path.join(options.output_path, 'samples', options.name)
    write(samples, folder, conditioning=conditioning)
    _describe(samples, folder, weights, options)
    return None


def _connect(options, context, weights):
    """Draws faces for the vertices of --vertices."""
    points, quantized, z_up = user_inputs.read_vertices(options.vertices, options)
    label = labels_to_draw(options.class_label, options, 1)[0]
    sampler = FaceSampler(networks.build_models(options), options, options.num_samples,
                          context.on_npu)
    with context.open_session() as sess:
        weights.restore(sess)
        samples = sampler.draw(sess, quantized, z_up, label, options.seed)
    folder = os.path.join(options.output_path, 'samples', options.name)
    write(samples, folder)
    _describe(samples, folder, weights, options)


def _describe(samples, folder, weights, options):
    cli.say('{} samples of {} in {} ({} complete, {} valid)'.format(
        len(samples), weights.name, folder, sum(one.complete for one in samples),
        sum(measures.is_valid(one) for one in samples)))
    if options.compare_to:
        examples, _ = mesh_sets.load_for(options, options.compare_to)
        for line in measures.describe_matches(samples, examples, options.quantization_bits,
                                              options.random_shift):
            cli.say(line)
        _draw_nearest(samples, examples, folder, options)


def _draw_nearest(samples, examples, folder, options):
    """Draws each sample, and at its right the mesh that is nearest to it."""
    drawn = [sample for sample in samples if len(sample.vertices)]
    if not drawn:
        return
    fields, captions = [], []
    for sample, (example, distance) in zip(drawn, measures.nearest_in_shape(
            drawn, examples, options.quantization_bits)):
        fields += [(sample.vertices, sample.faces),
                   mesh_sets.mesh_of(example, options.quantization_bits)]
        name = os.path.splitext(os.path.basename(example['name']))[0]
        captions += [str(sample).replace(': ', ':\n'),
                     '{}\n{:.3f} apart'.format(name[-_CAPTION:], distance)]
    path = folder + '_nearest.png'
    plots.mesh_grid(path, fields, captions, columns=min(8, len(fields)), size=2.)
    cli.say('picture of each beside its nearest mesh: {}'.format(path))

"""Drawing meshes from trained models, and writing them as files and pictures."""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from common.geometry import meshes, plots
from common.training import launch, reporting
from polygen import data_utils, measures, mesh_sets, networks, sampling


class Sample(NamedTuple):
    """A drawn mesh.

    Attributes:
      label: int, its class.
      vertices: float32 [V, 3], z up.
      faces: list of lists of vertex numbers.
      complete: bool, both models have drawn their stop token.
    """

    label: int
    vertices: np.ndarray
    faces: List[List[int]]
    complete: bool

    def __str__(self) -> str:
        return 'class {}: {} vertices, {} faces{}'.format(
            self.label, len(self.vertices), len(self.faces),
            '' if self.complete else ' (cut off)')


class Sampler:
    """The graph that draws a batch of meshes.

    Args:
      models: networks.Models.
      options: settled options, with those of `options.add_sampling_options`.
      batch: int, B, meshes at once.
    """

    def __init__(self, models: networks.Models, options: cli.Options, batch: int):
        self._batch = batch
        self._steps = (3 * options.sample_vertices + 1, options.sample_face_tokens)
        self._labels = tf.placeholder(tf.int32, [batch], name='sample/class_label')
        self._noise = [tf.placeholder(tf.float32, [batch, steps], name='sample/noise')
                       for steps in self._steps]
        filters = (options.temperature, options.top_k, options.top_p)
        rules: Dict[str, Any] = {
            'top_k_per_row': options.top_k_per_row, 'valid_only': options.valid_only,
            'only_return_complete': False}
        context = {'class_label': self._labels}
        vertices = models.vertex.sample(batch, context, options.sample_vertices, *filters,
                                        recenter_verts=options.random_shift, noise=self._noise[0],
                                        **rules)
        faces = models.face.sample(dict(vertices, **context), options.sample_face_tokens, *filters,
                                   noise=self._noise[1], **rules)
        del faces['context']
        self._outputs = vertices, faces

    def draw(self, sess: tf.Session, labels: Sequence[int],
             seed: Union[int, Sequence[int]]) -> List[Sample]:
        """Draws one mesh for each label.

        Args:
          sess: tf.Session.
          labels: list of int.
          seed: int or list of int.
        Returns:
          list of Sample.
        """
        samples = []
        for start in reporting.progress(range(0, len(labels), self._batch), 'drawing batches'):
            part = labels[start:start + self._batch]
            seeds = [np.append(seed, [start, network]) for network in range(2)]
            feed = {self._labels: np.resize(part, self._batch)}
            feed.update({noise: sampling.uniform_noise(draw, self._batch, steps)
                         for noise, draw, steps in zip(self._noise, seeds, self._steps)})
            vertices, faces = sess.run(self._outputs, feed)
            for row, label in enumerate(part):
                samples.append(Sample(
                    label=int(label),
                    vertices=vertices['vertices'][row, :vertices['num_vertices'][row]],
                    faces=data_utils.unflatten_faces(
                        faces['faces'][row, :faces['num_face_indices'][row]]),
                    complete=bool(vertices['completed'][row] and faces['completed'][row])))
        return samples


def write(samples: Sequence[Sample], folder: str,
          targets: Sequence[Tuple[np.ndarray, List[List[int]]]] = ()) -> None:
    """Writes samples as .obj, .glb and .stl (y up, as the files of the training), and a picture.

    Args:
      samples: list of Sample.
      folder: str; the picture is `<folder>.png`.
      targets: list of (vertices [V, 3], faces), drawn in the rows above the samples.
    """
    for number, sample in enumerate(samples):
        if not len(sample.vertices):
            continue    # neither format can hold a mesh without vertices
        stem = os.path.join(folder, 'sample_{:02d}'.format(number))
        data_utils.write_obj(sample.vertices, sample.faces, stem + '.obj', one_based=False)
        if sample.faces:
            for ending in ('.glb', '.stl'):
                meshes.write(stem + ending, sample.vertices[:, [1, 2, 0]], sample.faces)
    columns = min(4, len(samples))
    # The row of targets is filled up, so that the samples start in a row of their own.
    empty = -len(targets) % columns
    captions = ['training mesh'] * len(targets) + [''] * empty + list(map(str, samples))
    fields = list(targets) + [(np.zeros((0, 3)), [])] * empty
    fields += [(sample.vertices, sample.faces) for sample in samples]
    plots.mesh_grid(folder + '.png', fields, captions, columns=columns)


def labels_to_draw(labels: Optional[Sequence[int]], num_classes: int, count: int) -> List[int]:
    """Returns `count` labels: those of a list, or all classes where it is None, in turn.

    Raises:
      errors.UsageError: a label that the model does not have.
    """
    labels = list(range(num_classes)) if labels is None else labels
    unknown = [label for label in labels if label >= num_classes]
    if unknown or not labels:
        raise errors.UsageError('--class_label {}: the model has the classes 0 to {}.'.format(
            ' '.join(map(str, unknown)), num_classes - 1))
    return [labels[number % len(labels)] for number in range(count)]


def sample(options: cli.Options, context: launch.Context) -> None:
    """Draws, writes and describes samples of a trained model.

    Args:
      options: those of sample.py.
      context: launch.Context.
    """
    options, weights = networks.trained(options, context.device)
    labels = labels_to_draw(options.class_label, options.num_classes, options.num_samples)
    sampler = Sampler(networks.build_models(options), options,
                      min(options.batch_size, len(labels)))
    with context.open_session() as sess:
        weights.restore(sess)
        samples = sampler.draw(sess, labels, options.seed)
    folder = os.path.join(options.output_path, 'samples', options.name)
    write(samples, folder)
    cli.say('{} samples of {} in {} ({} complete, {} valid)'.format(
        len(samples), weights.name, folder, sum(one.complete for one in samples),
        sum(measures.is_valid(one) for one in samples)))
    if options.compare_to:
        examples, _ = mesh_sets.load_for(options, options.compare_to)
        for line in measures.describe_matches(samples, examples, options.quantization_bits,
                                              options.random_shift):
            cli.say(line)

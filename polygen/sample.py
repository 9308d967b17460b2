"""Draws meshes from trained PolyGen models: vertices first, then faces.

Example: python polygen/sample.py --output_path=polygen/output --num_samples=8 --top_p=0.9
"""
import collections
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, device, errors
from common.geometry import meshes, plots
from polygen import data_utils, measures, mesh_sets, presets, sampling

Sample = collections.namedtuple('Sample', 'label vertices faces complete')
Sample.__doc__ = """A drawn mesh: label int, vertices float32 [V, 3] (z up), faces list of lists of
int, complete bool: both models have drawn their stop token."""


class Sampler:
    """The graph that draws a batch of meshes.

    Args:
      models: presets.Models.
      config: completed options, with those of `presets.add_sampling_options`.
      batch: int, meshes at once.
    """

    def __init__(self, models, config, batch):
        self._batch = batch
        self._steps = (3 * config.sample_vertices + 1, config.sample_face_tokens)
        self._labels = tf.placeholder(tf.int32, [batch], name='sample/class_label')
        self._noise = [tf.placeholder(tf.float32, [batch, steps], name='sample/noise')
                       for steps in self._steps]
        filters = (config.temperature, config.top_k, config.top_p)
        rules = {'top_k_per_row': config.top_k_per_row, 'valid_only': config.valid_only,
                 'only_return_complete': False}
        context = {'class_label': self._labels}
        vertices = models.vertex.sample(batch, context, config.sample_vertices, *filters,
                                        recenter_verts=config.random_shift, noise=self._noise[0],
                                        **rules)
        faces = models.face.sample(dict(vertices, **context), config.sample_face_tokens, *filters,
                                   noise=self._noise[1], **rules)
        del faces['context']
        self._outputs = vertices, faces

    def draw(self, sess, labels, seed):
        """Draws one mesh for each label.

        Args:
          sess: tf.Session.
          labels: list of int.
          seed: int or list of int.
        Returns:
          list of Sample.
        """
        samples = []
        for start in range(0, len(labels), self._batch):
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


def write(samples, folder, captions, targets=None):
    """Writes samples as .obj and .glb (y up, as the files they were trained on) and one picture.

    Args:
      samples: list of Sample.
      folder: str; the picture is `<folder>.png`.
      captions: list of str.
      targets: None or list of (vertices, faces), drawn in the rows above the samples.
    """
    for number, sample in enumerate(samples):
        if not len(sample.vertices):
            continue    # neither format can hold a mesh without vertices
        stem = os.path.join(folder, 'sample_{:02d}'.format(number))
        data_utils.write_obj(sample.vertices, sample.faces, stem + '.obj', one_based=False)
        if sample.faces:
            meshes.write(stem + '.glb', sample.vertices[:, [1, 2, 0]], sample.faces)
    drawn = [(sample.vertices, sample.faces) for sample in samples]
    columns = min(4, len(drawn))
    if targets:
        # The row of targets is filled up, so that the samples start in a row of their own.
        empty = [(np.zeros((0, 3)), [])] * (-len(targets) % columns)
        drawn = list(targets) + empty + drawn
        captions = ['training mesh'] * len(targets) + [''] * len(empty) + captions
    plots.mesh_grid(folder + '.png', drawn, captions, columns=columns)


def caption(sample):
    """What stands below the picture of a sample."""
    return 'class {}: {} vertices, {} faces{}'.format(
        sample.label, len(sample.vertices), len(sample.faces),
        '' if sample.complete else ' (cut off)')


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    presets.add_checkpoint_options(parser)
    presets.add_sampling_options(parser)
    parser.add_argument('--num_samples', type=cli.positive_int, default=4, help='meshes to draw')
    parser.add_argument('--batch_size', type=cli.positive_int, default=4, help='meshes at once')
    parser.add_argument('--class_label', type=cli.non_negative_int, nargs='*', default=None,
                        help='classes to draw, in turn; unset: all')
    parser.add_argument('--name', default='drawn', help='of the folder below samples/')
    parser.add_argument('--compare_to', default='', metavar='DATA_PATH',
                        help='meshes to look the samples up in: which is nearest, and how near')
    return parser.parse_args(argv)


def labels_to_draw(labels, num_classes, count):
    """`count` labels, the given ones (or all classes) in turn.

    Raises:
      errors.UsageError: a label that the model does not have.
    """
    labels = list(range(num_classes)) if labels is None else labels
    unknown = [label for label in labels if label >= num_classes]
    if unknown or not labels:
        raise errors.UsageError('--class_label {}: the model has the classes 0 to {}.'.format(
            ' '.join(map(str, unknown)), num_classes - 1))
    return [labels[number % len(labels)] for number in range(count)]


def sample(config):
    """Draws, writes and describes the samples."""
    labels, batch, name = config.class_label, config.batch_size, config.name
    config, weights = presets.trained(config)
    labels = labels_to_draw(labels, config.num_classes, config.num_samples)
    models = presets.make_models(config)
    sampler = Sampler(models, config, min(batch, len(labels)))
    with tf.Session(config=device.session_config(config)) as sess:
        weights.restore(sess)
        samples = sampler.draw(sess, labels, config.seed)
    folder = os.path.join(config.output_path, 'samples', name)
    write(samples, folder, [caption(one) for one in samples])
    cli.say('{} samples of {} in {} ({} complete, {} valid)'.format(
        len(samples), weights.name, folder, sum(one.complete for one in samples),
        sum(measures.is_valid(one) for one in samples)))
    if config.compare_to:
        examples, _ = mesh_sets.load_meshes(config.compare_to, config.quantization_bits,
                                            config.max_vertices, config.max_face_tokens)
        for line in measures.describe_matches(samples, examples, config.quantization_bits,
                                              config.random_shift):
            cli.say(line)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(sample, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

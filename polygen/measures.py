"""Losses and measures: bits per vertex, next-token accuracy, validity and novelty of samples.

B: batch, T: tokens of a sequence, V: vertices.
"""
import functools
import math
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from scipy import spatial

from common.device import npu
from common.training import reporting
from polygen import conditions, data_utils, mesh_sets

TARGETS = ('vertices_flat', 'faces')    # sequence of each model; its mask is `<name>_mask`
SEQUENCES = ('vertices', 'faces')       # their names in reports
_CANDIDATES = 50        # of `nearest_in_shape`

Example = Dict[str, Any]    # see mesh_sets.py


class Match(NamedTuple):
    """The mesh of a set that is nearest to a sample.

    Attributes:
      name: str.
      vertices, faces: float from 0 to 1, intersection over union of the sets of vertices and faces.
    """

    name: str
    vertices: float
    faces: float


def placeholders(size: Dict[str, int], batch_size: int,
                 condition: conditions.Condition = conditions.BY_CLASS
                 ) -> Tuple[Dict[str, tf.Tensor], Dict[str, tf.Tensor]]:
    """Returns placeholders of static shape for a bucket of lengths.

    Args:
      size: dict of `vertex_tokens`, `vertices`, `face_tokens`, see `mesh_sets.make_buckets`.
      batch_size: int, B.
      condition: conditions.Condition of the vertex model.
    Returns:
      (dict for the vertex model, dict for the face model); names and shapes as
      `mesh_sets.vertex_batch` and `mesh_sets.face_batch` give them.
    """
    tokens, vertices, face_tokens = size['vertex_tokens'], size['vertices'], size['face_tokens']
    shapes: List[Dict[str, Any]] = [
        {'vertices_flat': (tf.int32, [tokens]), 'vertices_flat_mask': (tf.float32, [tokens]),
         'class_label': (tf.int32, [])},
        {'vertices': (tf.float32, [vertices, 3]), 'vertices_mask': (tf.float32, [vertices]),
         'faces': (tf.int32, [face_tokens]), 'faces_mask': (tf.float32, [face_tokens]),
         'class_label': (tf.int32, [])}]
    shapes[0].update(condition.spec())
    vertex, face = [{name: tf.placeholder(dtype, [batch_size] + shape, name=name)
                     for name, (dtype, shape) in part.items()} for part in shapes]
    return vertex, face


@npu.float32_scope()
def sequence_loss(distribution: Any, batch: Dict[str, tf.Tensor],
                  target: str) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the negative log-likelihood of a batch, summed over tokens and examples.

    Args:
      distribution: Categorical with batch shape [B, T].
      batch: dict with `<target>` int [B, T] and `<target>_mask` [B, T].
      target: 'vertices_flat' or 'faces'.
    Returns:
      (loss in nats, number of tokens that are the most likely symbol), scalars.
    """
    tokens, mask = tf.cast(batch[target], tf.int32), batch[target + '_mask']
    loss = -tf.reduce_sum(distribution.log_prob(tokens) * mask)
    guess = tf.argmax(distribution.logits, axis=-1, output_type=tf.int32)
    return loss, tf.reduce_sum(tf.cast(tf.equal(guess, tokens), tf.float32) * mask)


class Evaluator:
    """The graph that measures both models on a set of meshes.

    Args:
      models: networks.Models.
      examples: list of examples of `mesh_sets.load_meshes`.
      batch_size, num_buckets, quantization_bits, condition: see `mesh_sets.evaluation_batches`.
    """

    def __init__(self, models: Tuple[Any, Any], examples: Sequence[Example], batch_size: int,
                 num_buckets: int, quantization_bits: int,
                 condition: conditions.Condition = conditions.BY_CLASS):
        self._batches = functools.partial(
            mesh_sets.evaluation_batches, examples, batch_size, num_buckets, quantization_bits,
            condition=condition)
        self._graphs = []
        sizes, members = mesh_sets.make_buckets(examples, num_buckets)
        self._num_batches = sum(-(-len(group) // batch_size) for group in members)
        for size in sizes:
            feeds = placeholders(size, batch_size, condition)
            self._graphs.append((feeds, [sequence_loss(model(feed), feed, target) for
                                         model, feed, target in zip(models, feeds, TARGETS)]))
        self.num_vertices = sum(len(example['vertices']) for example in examples)

    def run(self, sess: tf.Session) -> Dict[str, float]:
        """Measures the models without random shifts, permutations or dropout.

        Args:
          sess: tf.Session.
        Returns:
          dict: `bits_vertices`, `bits_faces` per vertex, `accuracy_vertices`, `accuracy_faces` of
          the next token.
        """
        totals = np.zeros((2, 3))
        for bucket, vertex_batch, face_batch, _ in reporting.progress(
                self._batches(), 'measuring batches', self._num_batches):
            feeds, outputs = self._graphs[bucket]
            feed = {tensors[name]: value
                    for tensors, values in zip(feeds, (vertex_batch, face_batch))
                    for name, value in values.items()}
            counts = [vertex_batch['vertices_flat_mask'].sum(), face_batch['faces_mask'].sum()]
            for row, (loss, right) in enumerate(sess.run(outputs, feed)):
                totals[row] += loss, right, counts[row]
        figures = {}
        for name, (loss, right, tokens) in zip(SEQUENCES, totals):
            figures['bits_' + name] = bits_per_vertex(loss, self.num_vertices)
            figures['accuracy_' + name] = right / tokens
        return figures


def bits_per_vertex(loss: float, num_vertices: float) -> float:
    """Converts a loss in nats to bits per vertex; the paper gives faces per vertex too."""
    return float(loss / (math.log(2) * num_vertices))


def uniform_baseline(examples: Sequence[Example], quantization_bits: int) -> Dict[str, float]:
    """Measures the uniform distribution over the symbols.

    Args:
      examples: list of examples of `mesh_sets.load_meshes`; quantization_bits: int.
    Returns:
      dict with the keys of `Evaluator.run`.
    """
    symbols = 2 ** quantization_bits + 1
    vertex_tokens = sum(3 * len(example['vertices']) + 1 for example in examples)
    counts = [(len(example['faces']), len(example['vertices']) + 2) for example in examples]
    num_vertices = sum(len(example['vertices']) for example in examples)
    return {'bits_vertices': vertex_tokens * math.log2(symbols) / num_vertices,
            'bits_faces': sum(n * math.log2(k) for n, k in counts) / num_vertices,
            'accuracy_vertices': 1 / symbols,
            'accuracy_faces': sum(n / k for n, k in counts) / sum(n for n, _ in counts)}


def frequency_baseline(train_examples: Sequence[Example], examples: Sequence[Example],
                       quantization_bits: int) -> Dict[str, float]:
    """Measures the distribution of the token frequencies of the training set (a unigram model).

    Counts start at 1 (Laplace smoothing). For faces it is normalised over the symbols of each mesh.

    Args:
      train_examples, examples: lists of examples of `mesh_sets.load_meshes`.
      quantization_bits: int.
    Returns:
      dict with the keys of `Evaluator.run`.
    """
    num_vertices = sum(len(example['vertices']) for example in examples)
    figures = {}
    for name in SEQUENCES:
        largest = max(len(example['vertices']) for example in list(train_examples) + list(examples))
        counts = np.ones(2 ** quantization_bits + 1 if name == 'vertices' else largest + 2)
        for example in train_examples:
            counts += np.bincount(_tokens(example, name), minlength=len(counts))
        bits = right = total = 0
        for example in examples:
            tokens = _tokens(example, name)
            known = counts if name == 'vertices' else counts[:len(example['vertices']) + 2]
            bits -= np.log2(known[tokens] / known.sum()).sum()
            right += np.sum(tokens == known.argmax())
            total += len(tokens)
        figures['bits_' + name] = float(bits / num_vertices)
        figures['accuracy_' + name] = float(right / total)
    return figures


def _tokens(example, name):
    if name == 'faces':
        return example['faces']
    return np.append(example['vertices'][:, ::-1].ravel() + 1, 0)


def is_valid(sample: Any) -> bool:
    """Returns whether a sample has the canonical form of the training data.

    Both sequences have a stop token; the vertices are sorted by (z, y, x) without duplicates; each
    face has three or more distinct vertices that exist; every vertex is in a face.

    Args:
      sample: `drawing.Sample`.
    Returns:
      bool.
    """
    if not sample.complete or not sample.faces or not len(sample.vertices):
        return False
    rows = [tuple(row[::-1]) for row in np.asarray(sample.vertices)]
    rising = all(first < second for first, second in zip(rows, rows[1:]))
    corners = [corner for face in sample.faces for corner in face]
    proper = all(len(face) >= 3 and len(set(face)) == len(face) for face in sample.faces)
    return rising and proper and set(corners) == set(range(len(rows)))


def _parts(vertices, faces):
    """Sets of vertices (int triples) and of faces (sets of such triples) of a mesh."""
    rows = [tuple(int(value) for value in row) for row in vertices]
    return set(rows), {frozenset(rows[corner] for corner in face)
                       for face in faces if max(face) < len(rows)}


def _overlap(first, second):
    return len(first & second) / max(1, len(first | second))


def nearest(sample: Any, examples: Sequence[Example], quantization_bits: int,
            aligned: bool = False) -> Match:
    """Finds the mesh of a set that shares most vertices and faces with a sample.

    Args:
      sample: `drawing.Sample`.
      examples: list of examples of `mesh_sets.load_meshes`.
      quantization_bits: int.
      aligned: bool, align the lowest corners of the bounding boxes; for models that were trained
        with random shifts, whose samples are recentred.
    Returns:
      Match.
    """
    return _nearest(sample, _named_parts(examples, aligned), quantization_bits, aligned)


def _named_parts(examples, aligned):
    """[(name, sets of `_parts`)] of examples."""
    return [(example['name'], _parts(
        example['vertices'] - (example['vertices'].min(axis=0) if aligned else 0),
        data_utils.unflatten_faces(example['faces']))) for example in examples]


def _nearest(sample, named_parts, quantization_bits, aligned):
    corner = sample.vertices.min(axis=0) + 0.5 if aligned and len(sample.vertices) else 0.
    quantized = data_utils.quantize_verts(sample.vertices - corner, quantization_bits, exact=True)
    ours = _parts(quantized, sample.faces)
    matches = [Match(name, *[_overlap(a, b) for a, b in zip(ours, theirs)])
               for name, theirs in named_parts]
    return max(matches, key=lambda match: (match.faces + match.vertices, match.vertices))


def describe_matches(samples: Sequence[Any], examples: Sequence[Example], quantization_bits: int,
                     aligned: bool = False) -> List[str]:
    """Returns a line for each sample on its nearest mesh, and one on exact copies.

    Args:
      samples: list of `drawing.Sample`; the others: see `nearest`.
    """
    named_parts = _named_parts(examples, aligned)
    matches = [_nearest(sample, named_parts, quantization_bits, aligned) for sample in samples]
    lines = ['sample {}: nearest to {}, {:.1%} of the vertices and {:.1%} of the faces the same'
             .format(number, match.name, match.vertices, match.faces) if match.vertices
             else 'sample {}: not one vertex of any of the {} meshes'.format(number, len(examples))
             for number, match in enumerate(matches)]
    exact = sorted({match.name for match in matches if match.vertices == match.faces == 1})
    return lines + ['exact copies of {} of {} meshes: {}'.format(
        len(exact), len(examples), ', '.join(exact[:10]) or 'none')]


def nearest_in_shape(samples: Sequence[Any], examples: Sequence[Example], quantization_bits: int
                     ) -> List[Tuple[Example, float]]:
    """Finds the mesh of a set whose vertices lie nearest to those of each sample.

    The distance is the mean from each vertex to the nearest one of the other mesh, of both
    directions, with the centres of both bounding boxes at one place. All meshes are looked at in
    the direction from their vertices to the sample's, the _CANDIDATES nearest ones in both.

    Args:
      samples: list of `drawing.Sample` that have vertices.
      examples: list of examples of `mesh_sets.load_meshes`.
      quantization_bits: int.
    Returns:
      list of (example, distance in lengths of the meshes' frame).
    """
    clouds = [_centred(data_utils.dequantize_verts(example['vertices'], quantization_bits))
              for example in examples]
    starts = np.cumsum([0] + [len(cloud) for cloud in clouds])[:-1]
    every, counts = np.concatenate(clouds), np.array([len(cloud) for cloud in clouds])
    found = []
    for sample in samples:
        points = _centred(sample.vertices)
        there = np.add.reduceat(spatial.cKDTree(points).query(every)[0], starts) / counts
        candidates = np.argsort(there, kind='stable')[:_CANDIDATES]
        both = [(there[number] + spatial.cKDTree(clouds[number]).query(points)[0].mean()) / 2
                for number in candidates]
        found.append((examples[candidates[int(np.argmin(both))]], float(min(both))))
    return found


def _centred(vertices):
    return vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2

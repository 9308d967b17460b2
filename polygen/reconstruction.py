"""How well meshes drawn for pictures or voxels fit what these show, beside training meshes.

Distances are in units of the diagonal of the mesh's box (1 after normalising).
"""
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common import cli
from common.geometry import plots, views, voxel_grids
from common.training import reporting
from polygen import conditions, drawing, measures, mesh_sets, surfaces

_THUMBNAIL = 16         # pixels a side of the pictures that are compared

Mesh = Tuple[np.ndarray, List[List[int]]]


class Result(NamedTuple):
    """The reconstructions of a test shape.

    Attributes:
      example: dict, see mesh_sets.py; inputs: {name: array}, the conditioning inputs
        of the model.
      samples: list of drawing.Sample.
      figures: list of (chamfer, F-score) of the samples.
      baselines: {name: (training example, (chamfer, F-score))}.
    """

    example: Dict[str, Any]
    inputs: Any
    samples: List[drawing.Sample]
    figures: List[Tuple[float, float]]
    baselines: Dict[str, Any]


class Nearest:
    """Finds the training mesh that is most like the conditioning input of a model.

    Args:
      examples: list of training examples with inputs.
      condition: conditions.Condition.
    """

    def __init__(self, examples: Sequence[Dict[str, Any]], condition: conditions.Condition):
        self._kind = condition.kind
        self._owners: List[int] = []
        rows = []
        for number, example in enumerate(examples):
            inputs = example['inputs']
            views_of = range(inputs.num_views) if self._kind == 'image' else [0]
            rows += [self._row(inputs, view) for view in views_of]
            self._owners += [number] * len(views_of)
        self._rows = np.array(rows, np.float32)
        self._examples = examples

    def _row(self, inputs, view):
        if self._kind == 'voxels':
            return inputs.voxels().ravel()
        # On white, whatever background the model saw: the baseline knows more than the model.
        picture = views.composed(inputs.view(view), [255, 255, 255])
        return conditions.resized(picture, _THUMBNAIL).ravel() / 255.

    def find(self, example: Dict[str, Any], view: int) -> Dict[str, Any]:
        """Returns the training example with the picture nearest to a view, or the largest IoU."""
        row = self._row(example['inputs'], view)
        if self._kind == 'image':
            return self._examples[self._owners[int(((self._rows - row) ** 2).sum(axis=1).argmin())]]
        both = self._rows @ row.astype(np.float32)
        return self._examples[int((both / (self._rows.sum(axis=1) + row.sum() - both)).argmax())]

    def typical(self) -> Dict[str, Any]:
        """Returns the training example that is nearest to the mean of all."""
        distance = ((self._rows - self._rows.mean(axis=0)) ** 2).sum(axis=1)
        return self._examples[self._owners[int(distance.argmin())]]


def reconstruct(sampler: drawing.Sampler, sess: tf.Session, examples: Sequence[Dict[str, Any]],
                train_examples: Sequence[Dict[str, Any]], options: cli.Options) -> List[Result]:
    """Draws meshes for test shapes and compares them with the truth.

    Args:
      sampler: drawing.Sampler; sess: tf.Session.
      examples: list of test examples; the first `options.reconstructions` of them are taken.
      train_examples: for the baselines.
      options: settled options with `reconstructions`, `candidates`, `seed`.
    Returns:
      list of Result.
    """
    condition = conditions.of_options(options)
    nearest, results = Nearest(train_examples, condition), []
    typical = nearest.typical()
    chosen = plots.in_turn([example['class_label'] for example in examples],
                           options.reconstructions)
    for index, example in enumerate(examples[place] for place in chosen):
        inputs = condition.arrays(example, np.random.RandomState([0, index]))
        view = int(np.random.RandomState([0, index]).randint(example['inputs'].num_views))
        samples = sampler.draw(sess, [example['class_label']] * options.candidates,
                               [options.seed, index], [inputs] * options.candidates)
        rng = np.random.RandomState([options.seed, index])
        truth = surfaces.sample_surface(*mesh_sets.mesh_of(example, options.quantization_bits), rng)
        baselines = {'nearest training mesh': nearest.find(example, view),
                     'typical training mesh': typical}
        figures = [surfaces.compare(surfaces.sample_surface(one.vertices, one.faces, rng), truth)
                   for one in samples]
        others = {name: (mesh, surfaces.compare(surfaces.sample_surface(
            *mesh_sets.mesh_of(mesh, options.quantization_bits), rng), truth))
                  for name, mesh in baselines.items()}
        results.append(Result(example, inputs, samples, figures, others))
        if (index + 1) % 5 == 0:
            cli.say('{} of {} shapes reconstructed, chamfer of the last {}'.format(
                index + 1, min(options.reconstructions, len(examples)),
                reporting.format_value(min(row[0] for row in results[-1].figures))))
    return results


def summary(results: Sequence[Result]) -> Dict[str, Dict[str, float]]:
    """Returns {row: {'chamfer', 'f_score', 'without_mesh'}} of reconstructions and baselines.

    Means of distances are over shapes that have a mesh; `without_mesh` is the share of the others.
    """
    rows: Dict[str, List[Tuple[float, float]]] = {
        'first sample': [result.figures[0] for result in results],
        'best of {}'.format(len(results[0].figures)): [min(result.figures) for result in results]}
    for name in results[0].baselines:
        rows[name] = [result.baselines[name][1] for result in results]
    table = {}
    for name, row in rows.items():
        distances = np.array([chamfer for chamfer, _ in row])
        finite = np.isfinite(distances)
        table[name] = {'chamfer': float(distances[finite].mean()) if finite.any() else float('nan'),
                       'f_score': float(np.mean([score for _, score in row])),
                       'without_mesh': float(1 - finite.mean())}
    samples = [sample for result in results for sample in result.samples]
    table['samples'] = {'complete': float(np.mean([one.complete for one in samples])),
                        'valid': float(np.mean([measures.is_valid(one) for one in samples]))}
    return table


def draw(path: str, results: Sequence[Result], bits: int) -> None:
    """Draws test shapes in rows: conditioning input, truth, two samples, nearest mesh."""
    fields: List[Any] = []
    captions: List[str] = []
    for result in results:
        image = result.inputs.get('image')
        fields.append(voxel_grids.surface(result.inputs['voxels']) if image is None else image)
        other, figures = result.baselines['nearest training mesh']
        fields += [mesh_sets.mesh_of(result.example, bits)]
        fields += [(one.vertices, one.faces) for one in result.samples[:2]]
        fields.append(mesh_sets.mesh_of(other, bits))
        captions += [result.example['name'], 'truth']
        captions += ['chamfer {:.3f}'.format(one[0]) for one in result.figures[:2]]
        captions.append('nearest {:.3f}'.format(figures[0]))
    columns = len(fields) // len(results)
    plots.mesh_grid(path, fields, captions, columns=columns)

"""Sets of meshes for training and evaluation: reads folders or packed files, makes static batches.

V: vertices of a mesh, F: faces, B: batch. An example is a dict of 'vertices' int32 [V, 3]
(quantised, z up, sorted), 'faces' int32 [L] (tokens, see `data_utils.flatten_faces`),
'class_label' int, 'name' str and, of a set of make_dataset.py, 'inputs' (shards.Inputs: voxels and
views); 'mesh' (vertices and faces as read) where it is to be augmented. All random draws of a
sample depend on (seed, epoch, index of the example) alone, the order of an epoch on (seed, epoch)
alone, so that a run can be resumed.
"""
import collections
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from scipy import special

from common import errors
from common.geometry import meshes
from common.readers import arrays as arrays_lib
from common.readers import folders
from common.training import reporting
from polygen import augmentation, conditions, data_utils, shards

TOY_MESHES = ('cube', 'cylinder', 'cone', 'icosphere')  # labels 0 to 3, as the original has them
_PACKED_KEYS = {  # key: (kinds of dtype, number of dimensions)
    'vertices': ('f', 2), 'vertex_counts': ('iu', 1), 'face_vertices': ('iu', 1),
    'face_sizes': ('iu', 1), 'face_counts': ('iu', 1), 'labels': ('iu', 1), 'ids': ('U', 1)}


class Summary(NamedTuple):
    """Summary of `load_meshes`; `str(summary)` is a few lines to print.

    Attributes:
      path: str, the folder or file that was read.
      num_meshes: int, meshes in it.
      skipped: dict {reason: names of the meshes}.
      class_names: names of the sub-folders by label, None where there are none.
    """

    path: str
    num_meshes: int
    skipped: Dict[str, List[str]]
    class_names: Optional[List[str]]

    def __str__(self) -> str:
        dropped = sum(len(names) for names in self.skipped.values())
        lines = ['{} of {} meshes in {}'.format(self.num_meshes - dropped, self.num_meshes,
                                                self.path)]
        for reason, names in sorted(self.skipped.items()):
            lines.append('  skipped {}: {} ({}{})'.format(
                len(names), reason, ', '.join(names[:3]), ', ...' if len(names) > 3 else ''))
        return '\n'.join(lines)


def load_meshes(data_path, quantization_bits=8, max_vertices=800, max_face_tokens=2800,
                strict=False, split='train', class_names=None, exact=False, keep_winding=False,
                keep_mesh=False):
    """Reads and processes all meshes of a folder or of a packed file.

    Args:
      data_path: str, one of: a folder of .obj, .off, .ply, .stl or .glb files (y up, at any depth,
        in order of their relative paths; of folders train/ and test/, uppermost or below those of
        the classes, that of the split); an .npz file with the keys of `_PACKED_KEYS` (ragged
        arrays, y up); a folder with such files named `meshes_<split>.npz`; a folder that holds one
        of these as `meshes`; a set of make_dataset.py.
      quantization_bits: int.
      max_vertices, max_face_tokens: int, larger meshes (after quantising) are left out.
      strict: bool, raise an error where a mesh would be left out.
      split: str, which packed file of a folder, or which of its folders.
      class_names: list of str, sub-folders by label, to give a second folder the labels of a first;
        None: those that are there, sorted. Files without sub-folders are one class, but for the
        toy meshes, which are 0 to 3 in the order of `TOY_MESHES`.
      exact, keep_winding: see `data_utils.quantize_process_mesh`.
      keep_mesh: bool, examples have the mesh as it was read, to augment it.
    Returns:
      (list of examples, Summary).
    Raises:
      errors.InputError: nothing there, no mesh left, a packed file that is damaged or, with
        `strict`, a mesh that cannot be used.
    """
    path = _locate(data_path, split)
    sources, names = _sources(path, class_names, split)
    examples, skipped, num_meshes = [], collections.OrderedDict(), 0
    for name, label, read, *inputs in reporting.progress(sources, 'reading meshes'):
        num_meshes += 1
        try:
            reason = None if label is not None else 'its folder is no known class'
            if reason is None:
                mesh = read()
                example = data_utils.process_mesh(*mesh, quantization_bits, exact, keep_winding)
                reason = _too_large(example, max_vertices, max_face_tokens)
            detail = reason
        except errors.InputError as error:
            reason, detail = 'cannot be used', str(error)
            if path not in detail:
                detail = '{}: {}'.format(os.path.join(path, name), detail)
        if reason is None:
            examples.append({'vertices': example['vertices'], 'class_label': label, 'name': name,
                             'faces': example['faces'].astype(np.int32)})
            if keep_mesh:
                examples[-1]['mesh'] = mesh
            if inputs:
                examples[-1]['inputs'] = inputs[0]
        elif strict:
            raise errors.InputError('{} Without --strict it is left out.'.format(
                detail if detail != reason else '{} in {}: {}.'.format(name, path, reason)))
        else:
            skipped.setdefault(reason, []).append(name if detail == reason else detail)
    summary = Summary(path, num_meshes, skipped, names)
    if not examples:
        raise errors.InputError('no mesh is left to use. {}'.format(
            '; '.join(line.strip() for line in str(summary).split('\n'))))
    return examples, summary


def _sources(path, class_names, split):
    """Returns what is to be read, and the names of the classes or None; see `load_meshes`."""
    if shards.is_set(path):
        index = shards.read_index(path)
        return _shard_sources(path, split, index), index['classes']
    if os.path.isdir(path):
        return _folder_sources(path, class_names, split)
    return _packed_sources(path), None


def load_for(options, path, split='train', class_names=None, strict=False, keep_mesh=False):
    """Reads meshes as the options of a model say.

    Args:
      options: settled options: `quantization_bits`, limits, quantisation, winding.
      path, split, class_names, strict, keep_mesh: see `load_meshes`.
    Returns:
      (list of examples, Summary).
    """
    return load_meshes(path, options.quantization_bits, options.max_vertices,
                       options.max_face_tokens, strict, split, class_names,
                       options.exact_quantization, options.keep_winding, keep_mesh)


def _too_large(example, max_vertices, max_face_tokens):
    """Returns the reason to leave an example out, or None."""
    if len(example['vertices']) > max_vertices:
        return 'more than {} vertices (--max_vertices)'.format(max_vertices)
    if len(example['faces']) > max_face_tokens:
        return 'more than {} face tokens (--max_face_tokens)'.format(max_face_tokens)
    return None


def _locate(data_path, split):
    """Returns the folder of mesh files or the packed file that `data_path` refers to."""
    if os.path.isfile(data_path) and data_path.lower().endswith('.npz'):
        return data_path
    if shards.is_set(data_path):
        return data_path
    if not os.path.isdir(data_path):
        raise errors.InputError(
            '{} is no folder of meshes and no .npz file. Give --data_path a folder with {} files.'
            .format(data_path, ', '.join(meshes.READABLE)))
    packed = os.path.join(data_path, 'meshes_{}.npz'.format(split))
    if os.path.isfile(packed):
        return packed
    others = [name for name in folders.names(data_path)
              if name.startswith('meshes_') and name.endswith('.npz')]
    if others:
        raise errors.InputError('{} has no meshes_{}.npz (found: {}).'.format(
            data_path, split, errors.listed(others)))
    names = folders.below(data_path, meshes.READABLE)
    inner = os.path.join(data_path, 'meshes')
    if os.path.isdir(inner) and all(name.split(os.sep)[0] == 'meshes' for name in names):
        return _locate(inner, split)
    if not names:
        raise errors.InputError('{} holds no mesh files ({}) and no meshes_{}.npz.'.format(
            data_path, ', '.join(meshes.READABLE), split))
    return data_path


def _folder_sources(folder, class_names, split):
    """Returns ([(relative path, label, function that reads)], class names or None)."""
    items = folders.items(folder, meshes.READABLE)
    splits = sorted({item.split for item in items} - {''})
    if splits:
        items = [item for item in items if item.split in ('', split)]
        if not any(item.split for item in items):
            raise errors.InputError('{} has folders for {}, none for {}. Give the folder that is '
                                    'meant, such as {}.'.format(
                                        folder, ', '.join(splits), split,
                                        os.path.join(folder, splits[0])))
    names = [item.path for item in items]
    if any(item.folders for item in items):
        kinds = [item.folders[0] if item.folders else '.' for item in items]
        class_names = sorted(set(kinds)) if class_names is None else list(class_names)
    else:
        kinds = [os.path.splitext(os.path.basename(name))[0].lower() for name in names]
        if set(kinds) <= set(TOY_MESHES):
            class_names = list(TOY_MESHES)
            names, kinds = zip(*sorted(zip(names, kinds), key=lambda p: TOY_MESHES.index(p[1])))
        elif class_names is None or len(class_names) == 1:     # one class, whatever its name
            kinds, class_names = [None] * len(names), [None]
    labels = {name: label for label, name in enumerate(class_names)}
    return [(name, labels.get(kind), _file_reader(os.path.join(folder, name)))
            for name, kind in zip(names, kinds)], class_names if class_names != [None] else None


def _file_reader(path):
    return lambda: data_utils.in_order_of_use(*meshes.read(path))


def _shard_sources(folder, split, index):
    """Yields what `_packed_sources` does of all files of a set, and a mesh's shards.Inputs."""
    for path in shards.paths(folder, split):
        inputs = shards.inputs(path, index['voxels'], index['views'])
        if inputs:
            for source, one in zip(_packed_sources(path), inputs):
                yield source + (one,)


def _packed_sources(path):
    """Yields (name, label, function that gives vertices and faces) of a packed .npz file."""
    arrays = _read_packed(path)
    vertex_ends = np.cumsum(arrays['vertex_counts'].astype(np.int64)).tolist()
    face_ends = np.cumsum(arrays['face_counts'].astype(np.int64))
    corner_ends = np.cumsum(arrays['face_sizes'].astype(np.int64))
    corners = np.concatenate([[0], corner_ends])[np.concatenate([[0], face_ends])].tolist()
    face_ends = [0] + face_ends.tolist()
    vertex_ends = [0] + vertex_ends
    for i, name in enumerate(arrays['ids'].tolist()):
        yield name, int(arrays['labels'][i]), _packed_reader(
            '{}, mesh {} ({})'.format(path, i, name),
            arrays['vertices'][vertex_ends[i]:vertex_ends[i + 1]],
            arrays['face_vertices'][corners[i]:corners[i + 1]],
            arrays['face_sizes'][face_ends[i]:face_ends[i + 1]])


def _packed_reader(place, vertices, flat, sizes):
    def read():
        if not len(vertices) or not len(sizes):
            raise errors.InputError('{}: no vertices or no faces.'.format(place))
        if not np.isfinite(vertices).all():
            raise errors.InputError('{}: a coordinate is not finite.'.format(place))
        if flat.size and not 0 <= flat.min() <= flat.max() < len(vertices):
            raise errors.InputError('{}: a face names vertex {} of {}.'.format(
                place, flat.max(), len(vertices)))
        stops = np.cumsum(sizes.astype(np.int64)).tolist()
        indices = flat.tolist()
        faces = [indices[start:stop] for start, stop in zip([0] + stops, stops) if stop > start]
        return data_utils.in_order_of_use(vertices, faces)
    return read


def _read_packed(path):
    """Loads a packed file and checks its arrays."""
    arrays = arrays_lib.read_archive(path, what='a packed set of meshes (.npz)')
    missing = sorted(set(_PACKED_KEYS) - set(arrays))
    if missing:
        raise errors.InputError('{} lacks {} (found: {}).'.format(
            path, ', '.join(missing), errors.listed(arrays)))
    for key, (kinds, rank) in _PACKED_KEYS.items():
        array = arrays[key]
        negative = array.dtype.kind == 'i' and array.size and array.min() < 0
        if array.dtype.kind not in kinds or array.ndim != rank or negative:
            raise errors.InputError('{}: "{}" must be {} of rank {}, found {} {}{}.'.format(
                path, key, {'f': 'floats', 'iu': 'numbers from 0', 'U': 'text'}[kinds], rank,
                array.dtype, list(array.shape), ' with negative numbers' if negative else ''))
    sizes = {key: len(arrays[key]) for key in _PACKED_KEYS}
    sums = {key: int(arrays[key].sum(dtype=np.int64))
            for key in ('vertex_counts', 'face_counts', 'face_sizes')}
    per_mesh = {sizes[key] for key in ('vertex_counts', 'face_counts', 'labels', 'ids')}
    whole = (arrays['vertices'].shape[1] == 3 and len(per_mesh) == 1
             and sums['vertex_counts'] == sizes['vertices']
             and sums['face_counts'] == sizes['face_sizes']
             and sums['face_sizes'] == sizes['face_vertices'])
    if not whole:
        raise errors.InputError('{}: the arrays do not fit together: lengths {}, sums {}.'.format(
            path, sizes, sums))
    if not sizes['ids']:
        raise errors.InputError('{} holds no meshes.'.format(path))
    return arrays


def draw_shift(vertices, rng, shift_factor=0.25, quantization_bits=8):
    """Draws the shift of `data_utils.random_shift` in NumPy.

    Args:
      vertices: int array [V, 3], 0 to 2^bits - 1.
      rng: np.random.RandomState.
      shift_factor: float, standard deviation as a share of the cube's side.
      quantization_bits: int.
    Returns:
      int32 [3] to add to the vertices; they stay in the cube.
    """
    low, high, scale = data_utils.shift_bounds(vertices, shift_factor, quantization_bits)
    below, above = special.ndtr(low / scale), special.ndtr(high / scale)
    draw = special.ndtri(below + (above - below) * rng.uniform(size=3)) * scale
    return np.clip(draw, low, high).astype(np.int32)  # towards zero, as the original


def vertex_batch(examples, vertex_tokens, batch_size=None, shifts=None, inputs=()):
    """Makes the batch of the vertex model.

    Args:
      examples: list of up to `batch_size` examples.
      vertex_tokens: int T, static length of the sequences; 3V + 1 or more.
      batch_size: int B; rows beyond the examples are zero, with zero masks. None: all.
      shifts: list of int [3], one for each example, or None.
      inputs: list of dicts of further inputs, one for each example, see `conditions.py`.
    Returns:
      Dict of 'vertices_flat' int32 [B, T], 'vertices_flat_mask' float32 [B, T], 'class_label'
      int32 [B] and the further inputs.
    """
    batch_size = batch_size or len(examples)
    batch = {'vertices_flat': np.zeros([batch_size, vertex_tokens], np.int32),
             'vertices_flat_mask': np.zeros([batch_size, vertex_tokens], np.float32),
             'class_label': np.zeros([batch_size], np.int32)}
    for row, example in enumerate(examples):
        vertices = example['vertices'] if shifts is None else example['vertices'] + shifts[row]
        batch['vertices_flat'][row, :vertices.size] = vertices[:, ::-1].ravel() + 1
        batch['vertices_flat_mask'][row, :vertices.size + 1] = 1
        batch['class_label'][row] = example['class_label']
    batch.update(conditions.stacked(list(inputs), batch_size))
    return batch


def mesh_of(example: Dict[str, Any], quantization_bits: int = 8
            ) -> Tuple[np.ndarray, List[List[int]]]:
    """Returns (vertices float [V, 3], faces as lists of corners) of an example, dequantised."""
    return (data_utils.dequantize_verts(example['vertices'], quantization_bits),
            data_utils.unflatten_faces(example['faces']))


def graph_dequantized(vertices, quantization_bits=8):
    """Dequantises coordinates, equal to the last bit to the original's dataset in a graph.

    TensorFlow's graph optimiser replaces the division in `sequences.dequantize_verts` by a product
    with 1 / (2^bits - 1). Quantising again, as the face model does, then lowers 47 of the 256
    values at 8 bits by one, not 63 as after a division.

    Args:
      vertices: int array [V, 3], 0 to 2^bits - 1.
      quantization_bits: int.
    Returns:
      float32 [V, 3] in [-0.5, 0.5].
    """
    level = np.float32(1) / np.float32(2 ** quantization_bits - 1)
    return vertices.astype(np.float32) * level - np.float32(0.5)


def face_batch(examples, vertices, face_tokens, batch_size=None, shifts=None, permutations=None,
               quantization_bits=8):
    """Makes the batch of the face model.

    Args:
      examples: list of up to `batch_size` examples.
      vertices: int V, static number of vertices.
      face_tokens: int L, static length of the sequences.
      batch_size: int B; rows beyond the examples are zero, with zero masks. None: all.
      shifts: list of int [3], one for each example, or None.
      permutations: list of int [V of the example], old index of each new vertex, or None.
      quantization_bits: int.
    Returns:
      Dict of 'vertices' float32 [B, V, 3] in [-0.5, 0.5] (x, y, z), 'vertices_mask' float32 [B, V],
      'faces' int32 [B, L], 'faces_mask' float32 [B, L] and 'class_label' int32 [B].
    """
    batch_size = batch_size or len(examples)
    batch = {'vertices': np.zeros([batch_size, vertices, 3], np.float32),
             'vertices_mask': np.zeros([batch_size, vertices], np.float32),
             'faces': np.zeros([batch_size, face_tokens], np.int32),
             'faces_mask': np.zeros([batch_size, face_tokens], np.float32),
             'class_label': np.zeros([batch_size], np.int32)}
    for row, example in enumerate(examples):
        points, faces = example['vertices'], example['faces']
        if shifts is not None:
            points = points + shifts[row]
        if permutations is not None:
            points = points[permutations[row]]
            faces = np.concatenate([[0, 1], np.argsort(permutations[row]) + 2])[faces]
        batch['vertices'][row, :len(points)] = graph_dequantized(points, quantization_bits)
        batch['vertices_mask'][row, :len(points)] = 1
        batch['faces'][row, :len(faces)] = faces
        batch['faces_mask'][row, :len(faces)] = 1
        batch['class_label'][row] = example['class_label']
    return batch


def make_buckets(examples, num_buckets=1, multiple_of=1):
    """Splits examples by length into buckets of about equal size.

    Args:
      examples: list of examples, at least one.
      num_buckets: int, at most; fewer where there are fewer examples or lengths.
      multiple_of: int, sizes are rounded up to a multiple of this.
    Returns:
      (list of sizes: dicts of 'vertex_tokens', 'vertices', 'face_tokens', the largest in the
      bucket, and 'count', its examples; list of int arrays: sorted indices of the examples).
    """
    lengths = np.array([[len(e['vertices']), len(e['faces'])] for e in examples])
    # Both networks run on the same batch: order by the sum of their sequences.
    order = np.argsort(lengths @ [3, 1], kind='stable')
    sizes, members = [], []
    for group in np.array_split(order, min(num_buckets, len(order))):
        most = -(-lengths[group].max(axis=0) // multiple_of) * multiple_of
        size = {'vertex_tokens': int(3 * most[0] + 1), 'vertices': int(most[0]),
                'face_tokens': int(most[1]), 'count': len(group)}
        sizes.append(size)
        members.append(np.sort(group))
    return sizes, members


class Batches:
    """Training batches of static shapes: the batch of a step depends on (seed, step) alone.

    In an epoch every example occurs once; the last batch of a bucket is filled up with other
    examples of the bucket (repeated where it has fewer than a batch).
    """

    def __init__(self, examples, batch_size, num_buckets=1, seed=0, shuffle=True,
                 random_shift=False, shuffle_vertices=True, quantization_bits=8, shift_factor=0.25,
                 multiple_of=1, condition=conditions.BY_CLASS, augment=None, class_dropout=0.,
                 any_label=0):
        """Sorts the examples into buckets.

        Args:
          examples: list of examples, see `load_meshes`.
          batch_size: int, rows of each batch.
          num_buckets, multiple_of: see `make_buckets`.
          seed: int from 0.
          shuffle: bool; False keeps the order of the examples, as the original's toy training.
          random_shift: bool, shift each sample; sequence and face sample are drawn apart.
          shuffle_vertices: bool, random order of the vertices that the face model sees.
          quantization_bits: int.
          shift_factor: float, see `draw_shift`.
          condition: conditions.Condition, what the vertex model is told.
          augment: function (example, np.random.RandomState) -> example, or None.
          class_dropout: float, share of the examples that get `any_label` in place of their class.
        """
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._random_shift = random_shift
        self._shuffle_vertices = shuffle_vertices
        self._bits = quantization_bits
        self._shift_factor = shift_factor
        self._condition = condition
        self._augment = augment
        self._class_dropout, self._any_label = class_dropout, any_label
        self.buckets, self._members = make_buckets(examples, num_buckets, multiple_of)
        self.steps_per_epoch = sum(-(-len(group) // batch_size) for group in self._members)
        self._plan_of = (None, None)  # the last epoch and its plan
        self._shard = list      # what of a batch is made: all of it

    def share(self, ranks):
        """Lets `at` make the rows of one of several processes alone; ranks: ranks.Ranks."""
        self._shard = ranks.shard

    def plan(self, epoch):
        """Returns the order of an epoch, counted from 0: list of (bucket index, int [B])."""
        if self._plan_of[0] == epoch:
            return self._plan_of[1]
        rng = np.random.RandomState([self._seed, epoch])
        batches = []
        for bucket, group in enumerate(self._members):
            order = rng.permutation(group) if self._shuffle else group
            count = -(-len(order) // self._batch_size)
            rows = np.resize(order, [count, self._batch_size])  # repeats from the start
            batches.extend((bucket, row) for row in rows)
        if self._shuffle:
            batches = [batches[index] for index in rng.permutation(len(batches))]
        self._plan_of = (epoch, batches)
        return batches

    def at(self, step):
        """Returns the batch of a training step.

        Args:
          step: int from 1, counted over the whole run.
        Returns:
          (bucket index, dict for the vertex model, dict for the face model), see `vertex_batch` and
          `face_batch`; their sizes are those of `buckets[bucket index]`.
        """
        if step < 1:
            raise ValueError('steps count from 1, got {}.'.format(step))
        epoch, position = divmod(step - 1, self.steps_per_epoch)
        bucket, indices = self.plan(epoch)[position]
        indices = self._shard(indices)
        size = self.buckets[bucket]
        chosen = [self._example(epoch, index) for index in indices]
        draws = [self._draw(epoch, index, example) for index, example in zip(indices, chosen)]
        vertex_shifts, face_shifts, permutations, inputs = zip(*draws)
        return bucket, vertex_batch(
            chosen, size['vertex_tokens'], shifts=vertex_shifts if self._random_shift else None,
            inputs=inputs), face_batch(
                chosen, size['vertices'], size['face_tokens'],
                shifts=face_shifts if self._random_shift else None,
                permutations=permutations if self._shuffle_vertices else None,
                quantization_bits=self._bits)

    def _example(self, epoch, index):
        example = self._examples[index]
        if self._augment is not None:
            example = self._augment(example, np.random.RandomState([self._seed, epoch, index, 1]))
        draw = np.random.RandomState([self._seed, epoch, index, 2]).uniform
        if self._class_dropout and draw() < self._class_dropout:
            return dict(example, class_label=self._any_label)
        return example

    def _draw(self, epoch, index, example):
        """Draws the shifts of both models' samples, the permutation and the further inputs."""
        rng = np.random.RandomState([self._seed, epoch, index])
        vertices = example['vertices']
        shifts = [draw_shift(vertices, rng, self._shift_factor, self._bits) for _ in range(2)]
        permutation = rng.permutation(len(vertices))
        return shifts[0], shifts[1], permutation, self._condition.arrays(
            example, rng, training=True)


def evaluation_batches(examples, batch_size, num_buckets=1, quantization_bits=8, multiple_of=1,
                       condition=conditions.BY_CLASS):
    """Yields batches in which every example occurs once, without shift or permutation.

    Args:
      examples: list of examples.
      batch_size: int, rows of each batch; the last of a bucket is filled up with zero masks.
      num_buckets, multiple_of: see `make_buckets`, which gives the sizes of the buckets.
      quantization_bits: int.
      condition: conditions.Condition; view and background depend on the example's place alone.
    Yields:
      (bucket index, dict for the vertex model, dict for the face model, number of real rows).
    """
    sizes, members = make_buckets(examples, num_buckets, multiple_of)
    for bucket, (size, group) in enumerate(zip(sizes, members)):
        for start in range(0, len(group), batch_size):
            part = group[start:start + batch_size]
            chosen = [examples[index] for index in part]
            inputs = [condition.arrays(examples[index], np.random.RandomState([0, index]))
                      for index in part]
            yield bucket, vertex_batch(chosen, size['vertex_tokens'], batch_size,
                                       inputs=inputs), face_batch(
                chosen, size['vertices'], size['face_tokens'], batch_size,
                quantization_bits=quantization_bits), len(chosen)


def augmentation_of(options):
    """Returns the function that `Batches` augments examples with, as the options say, or None."""
    if not options.axis_scaling and not options.axis_warping:
        return None
    settings = {'quantization_bits': options.quantization_bits,
                'exact': options.exact_quantization, 'keep_winding': options.keep_winding}

    def augment(example, rng):
        maps = augmentation.draw(rng, options.axis_scaling, options.axis_warping)
        return augmentation.augmented(example, maps, settings)

    return augment

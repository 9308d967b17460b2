"""Preprocessing of meshes: reading, quantising, flattening to tokens, tf.data maps, plotting.

Function names and numerics are those of the original's `data_utils.py` (Nash et al. 2020, "PolyGen:
An Autoregressive Generative Model of 3D Meshes"; docs/polygen/differences.md lists its quirks).
Training reads its meshes through `mesh_sets.py`, which builds on this file.

V: vertices, F: faces, L: tokens of a face sequence. Files are y-up; processed meshes are z-up.
A vertex sequence has (z, y, x) + 1 of each vertex and 0 to stop; a face sequence has the vertex
indices + 2 of each face, 1 between faces, and 0 to stop.
"""
import numpy as np
import tensorflow.compat.v1 as tf

from common import errors, files
from common.geometry import meshes
from polygen import sequences


def random_shift(vertices, shift_factor=0.25, quantization_bits=8, shift=None):
    """Shifts quantised vertices by a truncated normal draw that keeps them in the cube.

    Args:
      vertices: int32 tensor [V, 3], 0 to 2^bits - 1.
      shift_factor: float, standard deviation as a share of the cube's side.
      quantization_bits: int. The original takes 255 for the cube's side whatever the bits are.
      shift: float [1, 3] to use instead of the draw.
    Returns:
      int32 tensor [V, 3].
    """
    side = 2 ** quantization_bits - 1
    if shift is None:
        low = -tf.maximum(tf.cast(tf.reduce_min(vertices, axis=0), tf.float32), 1e-9)
        high = tf.maximum(tf.cast(side - tf.reduce_max(vertices, axis=0), tf.float32), 1e-9)
        shift = tf.transpose(tf.raw_ops.ParameterizedTruncatedNormal(
            shape=[3, 1], means=[0.] * 3, stdevs=[shift_factor * side] * 3, minvals=low,
            maxvals=high))
    return vertices + tf.cast(shift, tf.int32)


def shift_bounds(vertices, shift_factor=0.25, quantization_bits=8):
    """Returns the bounds and the standard deviation of `random_shift`, in NumPy.

    Args:
      vertices: int array [V, 3]; the others: see `random_shift`.
    Returns:
      (lowest shift float32 [3], highest shift float32 [3], standard deviation).
    """
    side = 2 ** quantization_bits - 1
    low = -np.maximum(vertices.min(axis=0).astype(np.float32), np.float32(1e-9))
    high = np.maximum((side - vertices.max(axis=0)).astype(np.float32), np.float32(1e-9))
    return low, high, np.float32(shift_factor * side)


def read_obj_file(obj_file, original_slashes=False):
    """Reads an OBJ stream; vertices are numbered in the order in which faces first use them.

    Args:
      obj_file: text or bytes stream.
      original_slashes: bool, read `1/2/3` as the original does: the coordinates of all vertices
        named are concatenated, so that the result has 6 or 9 columns. For parity tests only.
    Returns:
      Vertices float32 [V, 3] without the unused ones, and faces, a list of lists of int from 0.
    Raises:
      errors.InputError: see `common.geometry.meshes.read`.
    """
    data = obj_file.read()
    data = data if isinstance(data, bytes) else data.encode('utf-8')
    name = getattr(obj_file, 'name', '<stream>')
    if original_slashes:
        return _read_slashes(data)
    return in_order_of_use(*meshes.parse_obj(data, name))


def in_order_of_use(vertices, faces):
    """Drops unused vertices and numbers the others in the order in which faces first use them.

    Args:
      vertices: float array [V, 3].
      faces: list of sequences of int.
    Returns:
      Vertices [used, 3] and faces, a list of lists of int.
    """
    numbers = {}
    faces = [[numbers.setdefault(index, len(numbers)) for index in face] for face in faces]
    return vertices[list(numbers)], faces


def _read_slashes(data):
    """Reads as the original: one row per distinct token, the coordinates of all its indices."""
    lines = [line.split() for line in data.decode('utf-8').splitlines()]
    rows = [[float(value) for value in line[1:]] for line in lines if line[:1] == ['v']]
    numbers = {}
    faces = [[numbers.setdefault(token, len(numbers)) for token in line[1:]]
             for line in lines if line[:1] == ['f']]
    vertices = [[value for index in token.split('/') if index for value in rows[int(index) - 1]]
                for token in numbers]
    return np.array(vertices, np.float32), faces


def read_obj(obj_path):
    """Reads an .obj file; see `read_obj_file`.

    Raises:
      errors.InputError: see `common.geometry.meshes.read`.
    """
    return in_order_of_use(*meshes.read(obj_path))


def write_obj(vertices, faces, file_path, transpose=True, scale=1., one_based=None, original=False):
    """Writes an .obj file atomically.

    Args:
      vertices: float array [V, 3].
      faces: list of sequences of vertex indices, or None.
      file_path: str.
      transpose: bool, convert z-up vertices to y-up: columns (1, 2, 0).
      scale: float, multiplies the coordinates.
      one_based: bool, whether the faces count from 1; None: they do unless there is a 0.
      original: bool, as the original: without `transpose` the caller's array is scaled in place,
        and only the lexicographically smallest face is checked for a 0.
    Raises:
      errors.InputError: the file cannot be written.
    """
    faces = [] if faces is None else [[int(index) for index in face] for face in faces]
    if original and not transpose:
        vertices *= scale
    else:
        vertices = np.array(vertices) * scale
        vertices = vertices[:, [1, 2, 0]] if transpose else vertices
    if one_based is None:
        first = min(min(faces)) if original else min(map(min, faces), default=0)
        one_based = first != 0
    lines = ['v ' + ' '.join(str(value) for value in row) for row in vertices.tolist()]
    lines += ['f ' + ' '.join(str(index + (not one_based)) for index in face) for face in faces]
    files.write_text(file_path, '\n'.join(lines) + '\n')


def quantize_verts(verts, n_bits=8, exact=False):
    """Quantises coordinates in [-0.5, 0.5] to 0 to 2^n_bits - 1, in the precision of `verts`.

    Args:
      verts: float array of any shape.
      n_bits: int.
      exact: bool, round to the nearest integer, the inverse of `dequantize_verts`. The original
        truncates, which lowers 63 of the 256 values at 8 bits by one.
    Returns:
      int32 array of the same shape.
    """
    levels = (verts + 0.5) * (2 ** n_bits - 1)
    return (np.rint(levels) if exact else levels).astype(np.int32)


def dequantize_verts(verts, n_bits=8, add_noise=False, noise=None):
    """Maps integers 0 to 2^n_bits - 1 to coordinates in [-0.5, 0.5].

    Args:
      verts: int array of any shape.
      n_bits: int.
      add_noise: bool, add noise / (2^n_bits - 1).
      noise: array of the shape of `verts`; by default drawn from U(0, 1).
    Returns:
      float32 array of the same shape.
    """
    levels = 2 ** n_bits - 1
    verts = np.asarray(verts).astype(np.float32) / np.float32(levels) - np.float32(0.5)
    if add_noise:
        noise = np.random.uniform(size=verts.shape) if noise is None else noise
        verts += noise * (1. / levels)
    return verts


def face_to_cycles(face):
    """Splits a closed walk over vertices into its simple cycles.

    A face has a vertex twice after vertices have been merged. The result equals
    `networkx.cycle_basis` (version 2.6.3) of the graph of the face's edges, with its order, start
    and direction: Paton 1969, "An algorithm for finding a fundamental set of cycles of a graph".

    Args:
      face: sequence of n vertex indices, n > 0.
    Returns:
      List of cycles, each a list of vertex indices; a repeated neighbour gives a cycle of one.
    """
    face = [int(index) for index in face]
    nodes = set(face)
    root = nodes.pop()  # as in networkx: whatever a Python set yields first
    if len(nodes) + 1 == len(face) > 2:
        start = face.index(root)
        if start == 0:
            return [face[1:] + face[:1]]
        around = face[start + 1:] + face[:start]
        return [around[::-1] + [root]]
    return _walk(face, root)


def _walk(face, root):
    """`face_to_cycles` for any face: a spanning tree grown last-in-first-out from `root`."""
    neighbours = {index: {} for index in face}  # a dict keeps the order of insertion
    for first, second in zip(face, face[1:] + face[:1]):
        neighbours[first][second] = neighbours[second][first] = None
    parent = {root: root}
    closed = {root: set()}  # nodes whose edge to this one has been visited
    waiting, cycles = [root], []
    while waiting:
        node = waiting.pop()
        for other in neighbours[node]:
            if other not in parent:
                parent[other] = node
                closed[other] = {node}
                waiting.append(other)
            elif other == node:
                cycles.append([node])
            elif other not in closed[node]:
                cycle, step = [other, node], parent[node]
                while step not in closed[other]:
                    cycle.append(step)
                    step = parent[step]
                cycles.append(cycle + [step])
                closed[other].add(node)
    return cycles


def flatten_faces(faces):
    """Flattens faces to one token sequence: indices + 2, then 1 (next face) or 0 (stop).

    Args:
      faces: list of sequences of vertex indices.
    Returns:
      int64 [L]; [0] for no faces.
    """
    if not len(faces):
        return np.array([0], np.int64)
    tokens = []
    for face in faces:
        tokens.extend(index + 2 for index in face)
        tokens.append(1)
    tokens[-1] = 0
    return np.array(tokens, np.int64)


def unflatten_faces(flat_faces):
    """Converts a token sequence to faces.

    Args:
      flat_faces: int sequence [L]. Tokens after the last 0 or 1 are dropped; 0 separates as 1 does.
    Returns:
      List of lists of vertex indices, without those shorter than three.
    """
    faces, face = [], []
    for token in np.asarray(flat_faces).tolist():
        if token > 1:
            face.append(token - 2)
        else:
            faces.append(face)
            face = []
    return [face for face in faces if len(face) > 2]


def center_vertices(vertices):
    """Moves the centre of the bounding box of `vertices` [V, 3] to the origin."""
    return vertices - 0.5 * (vertices.max(axis=0) + vertices.min(axis=0))


def normalize_vertices_scale(vertices):
    """Scales `vertices` [V, 3] to a bounding box with a diagonal of 1.

    Raises:
      errors.InputError: all vertices are one point.
    """
    extents = vertices.max(axis=0) - vertices.min(axis=0)
    diagonal = np.sqrt(np.sum(extents ** 2))
    if not (np.isfinite(diagonal) and diagonal > 0):
        raise errors.InputError('a mesh with a bounding box of {} by {} by {} cannot be scaled to '
                                'unit size.'.format(*extents))
    return vertices / diagonal


def quantize_process_mesh(vertices, faces, tris=None, quantization_bits=8, exact=False,
                          keep_winding=False):
    """Quantises a mesh, merges vertices that coincide, and sorts vertices and faces.

    Vertices are sorted by z, then y, then x; each face starts with its smallest index; faces are
    sorted by their sorted indices. A face that has a vertex twice after merging is split into its
    cycles; those with fewer than three corners are dropped, and so are unused vertices.

    Args:
      vertices: float array [V, 3] in [-0.5, 0.5].
      faces: list of sequences of vertex indices.
      tris: int array [T, 3] of a triangulation to renumber alike, or None.
      quantization_bits: int.
      exact: bool, round to nearest instead of truncating, see `quantize_verts`.
      keep_winding: bool, keep the direction of faces without repeated vertices. The original's
        `face_to_cycles` reverses most of them.
    Returns:
      (vertices int32 [V', 3], faces as a list of lists of int, tris int64 [T', 3] or None).
    Raises:
      errors.InputError: no face is left.
    """
    vertices = quantize_verts(vertices, quantization_bits, exact)
    vertices, inverse = np.unique(vertices, axis=0, return_inverse=True)
    order = np.lexsort(vertices.T)
    vertices = vertices[order]
    renumber = np.argsort(order)[inverse]  # from the caller's indices
    stops = np.cumsum([len(face) for face in faces]).tolist()
    flat = renumber[np.array([i for face in faces for i in face], np.int64)].tolist()
    cycles = []
    for start, end in zip([0] + stops, stops):
        face = flat[start:end]
        simple = keep_winding and len(set(face)) == len(face)
        cycles.extend([face] if simple else face_to_cycles(face))
    faces = [_smallest_first(cycle) for cycle in cycles if len(cycle) > 2]
    if not faces:
        raise errors.InputError('no face is left after quantising to {} bits.'.format(
            quantization_bits))
    faces.sort(key=lambda face: tuple(sorted(face)))
    used = np.zeros(len(vertices), bool)
    used[[index for face in faces for index in face]] = True
    compact = np.cumsum(used) - 1
    if not used.all():
        indices = compact.tolist()
        faces = [[indices[index] for index in face] for face in faces]
    if tris is not None:
        tris = [tri for tri in renumber[np.asarray(tris)].tolist() if len(set(tri)) == 3]
        tris.sort(key=lambda tri: tuple(sorted(tri)))
        tris = compact[np.array(tris, np.int64).reshape(-1, 3)]
    return vertices[used], faces, tris


def _smallest_first(cycle):
    start = cycle.index(min(cycle))
    return cycle[start:] + cycle[:start]


def process_mesh(vertices, faces, quantization_bits=8, exact=False, keep_winding=False):
    """Converts a y-up mesh to a training example.

    Columns (2, 0, 1) put the vertical axis last; the mesh is centred, scaled to a bounding box with
    a diagonal of 1, quantised and flattened.

    Args:
      vertices: float array [V, 3]. Unused ones count for the bounding box: drop them before.
      faces: list of sequences of vertex indices.
      quantization_bits, exact, keep_winding: see `quantize_process_mesh`.
    Returns:
      Dict of 'vertices' int32 [V', 3] (x, y, z) and 'faces' int64 [L] tokens.
    Raises:
      errors.InputError: the mesh is a point, or no face is left.
    """
    vertices = normalize_vertices_scale(center_vertices(vertices[:, [2, 0, 1]]))
    vertices, faces, _ = quantize_process_mesh(
        vertices, faces, quantization_bits=quantization_bits, exact=exact,
        keep_winding=keep_winding)
    return {'vertices': vertices, 'faces': flatten_faces(faces)}


def load_process_mesh(mesh_obj_path, quantization_bits=8, exact=False, keep_winding=False):
    """Reads a mesh file of any format of `geometry.meshes`, processes it as `process_mesh`.

    Raises:
      errors.InputError: the file cannot be read, or the mesh not processed; names the file.
    """
    vertices, faces = in_order_of_use(*meshes.read(mesh_obj_path))
    try:
        return process_mesh(vertices, faces, quantization_bits, exact, keep_winding)
    except errors.InputError as error:
        raise errors.InputError('{}: {}'.format(mesh_obj_path, error)) from None


def make_vertex_model_dataset(ds, apply_random_shift=False, quantization_bits=8, shift=None):
    """Adds the inputs of the vertex model to each example of a tf.data.Dataset.

    Args:
      ds: dataset of dicts with 'vertices' int32 [V, 3], z up.
      apply_random_shift: bool, shift the coordinates of the sequence ('vertices' stays as it is).
      quantization_bits: int.
      shift: float [1, 3] to use instead of the draw.
    Returns:
      Dataset with 'vertices_flat' int32 [3V + 1] and 'vertices_flat_mask' [3V + 1] besides.
    """
    def add_sequence(example):
        vertices = example['vertices']
        if apply_random_shift:
            vertices = random_shift(vertices, quantization_bits=quantization_bits, shift=shift)
        flat = tf.pad(tf.reshape(tf.reverse(vertices, [1]), [-1]) + 1, [[0, 1]])
        return dict(example, vertices_flat=flat,
                    vertices_flat_mask=tf.ones_like(flat, tf.float32))

    return ds.map(add_sequence)


def make_face_model_dataset(ds, apply_random_shift=False, shuffle_vertices=True,
                            quantization_bits=8, shift=None, permutation=None):
    """Converts each example of a tf.data.Dataset to the inputs of the face model.

    Args:
      ds: dataset of dicts with 'vertices' int32 [V, 3], z up, and 'faces' int32 [L] tokens.
      apply_random_shift: bool, shift the vertices.
      shuffle_vertices: bool, put the vertices in random order and renumber the faces.
      quantization_bits: int.
      shift: float [1, 3] to use instead of the draw.
      permutation: int [V] to use instead of the draw; old index of each new vertex.
    Returns:
      Dataset with 'vertices' float32 [V, 3] in [-0.5, 0.5] (x, y, z), 'faces' (int64 when the
      vertices are shuffled, as in the original), 'num_vertices', and masks of ones
      'vertices_mask' [V] and 'faces_mask' [L].
    """
    def convert(example):
        vertices, faces = example['vertices'], example['faces']
        if apply_random_shift:
            vertices = random_shift(vertices, quantization_bits=quantization_bits, shift=shift)
        num_vertices = tf.shape(vertices)[0]
        if shuffle_vertices:
            order = tf.random_shuffle(tf.range(num_vertices)) if permutation is None else (
                tf.constant(permutation))
            vertices = tf.gather(vertices, order)
            tokens = tf.concat([[0, 1], tf.argsort(order) + 2], axis=0)
            faces = tf.cast(tf.gather(tokens, faces), tf.int64)
        return dict(example, num_vertices=num_vertices, faces=faces,
                    vertices=sequences.dequantize_verts(vertices, quantization_bits),
                    vertices_mask=tf.ones([num_vertices], tf.float32),
                    faces_mask=tf.ones_like(faces, tf.float32))

    return ds.map(convert)


def plot_meshes(mesh_list, ax_lims=0.3, fig_size=4, el=30, rot_start=120, vert_size=10,
                vert_alpha=0.75, n_cols=4, save_path=None):
    """Draws meshes as the original's notebooks do: red faces, green vertices, blue conditions.

    Args:
      mesh_list: list of dicts, each with any of 'vertices' [V, 3] (z up), 'faces' (list of lists),
        'vertices_conditional' [., 3], 'pointcloud' [., 3] and 'class_name'.
      ax_lims: float, half the side of the visible cube.
      fig_size: float, inches for a side of each plot.
      el, rot_start: degrees of elevation and azimuth of the camera.
      vert_size, vert_alpha: size and opacity of points.
      n_cols: int, plots in a row.
      save_path: str, the .png to write; None opens a window, which needs a display.
    Raises:
      errors.InputError: the file cannot be written.
    """
    from common.geometry import plots

    rows = -(-len(mesh_list) // n_cols)
    if save_path is None:
        import matplotlib.pyplot as plt
        figure = plt.figure(figsize=(fig_size * n_cols, fig_size * rows))
    else:
        from matplotlib.figure import Figure
        figure = Figure(figsize=(fig_size * n_cols, fig_size * rows))
    for number, mesh in enumerate(mesh_list, 1):
        axes = figure.add_subplot(rows, n_cols, number, projection='3d')
        axes.view_init(elev=el, azim=rot_start)
        for axis in 'xyz':
            getattr(axes, 'set_{}lim'.format(axis))(-ax_lims, ax_lims)
        _plot_mesh(axes, mesh, vert_size, vert_alpha)
    if save_path is None:
        plt.show()
    else:
        plots.save_figure(figure, save_path)


def _plot_mesh(axes, mesh, vert_size, vert_alpha):
    """Adds one mesh of `plot_meshes`, and its caption, to 3-D axes."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    lines = []
    if mesh.get('faces') is not None:
        polygons = [np.asarray(mesh['vertices'])[list(face)] for face in mesh['faces']]
        if polygons:
            axes.add_collection3d(Poly3DCollection(
                polygons, edgecolors=(0, 0, 0, 0.3), facecolors=(1, 0, 0, 0.2)))
        lines.append('Num. faces: {}'.format(len(polygons)))
    for key, color in (('vertices', 'g'), ('vertices_conditional', 'b'), ('pointcloud', 'b')):
        if mesh.get(key) is not None:
            axes.scatter(*np.asarray(mesh[key]).reshape(-1, 3).T, s=vert_size, color=color,
                         alpha=vert_alpha)
    if mesh.get('vertices') is not None:
        lines.append('Num. vertices: {}'.format(len(mesh['vertices'])))
    if mesh.get('class_name') is not None:
        lines.append('Synset: {}'.format(mesh['class_name']))
    axes.set_title('\n'.join(lines))

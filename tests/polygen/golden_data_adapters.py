"""Golden adapters of model `polygen_data`: the data functions of PolyGen, by kind of case.

An adapter takes (case, path) and returns {name of an expected array: array}. What to compute is
read from the names in `case.inputs` and `case.expected`. Both paths run the same functions.
"""
import io
import os
import re
import tempfile

import numpy as np
import tensorflow.compat.v1 as tf

from polygen import data_utils, modules


def _split(flat, lengths):
    """Faces from the pair of arrays `<name>_flat`, `<name>_lengths`."""
    stops = np.cumsum(lengths)
    return [flat[end - length:end].tolist() for end, length in zip(stops, lengths)]


def _pair(name, faces):
    """The pair of arrays that a list of faces is stored as."""
    return {name + '_flat': np.array([index for face in faces for index in face], np.int32),
            name + '_lengths': np.array([len(face) for face in faces], np.int32)}


def _evaluate(*tensors_of):
    """Runs functions that build tensors, in a graph of their own; returns their values."""
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run([build() for build in tensors_of])


def quantization(case, path):
    """Quantising and its way back, NumPy (`np_*`) and TensorFlow (`tf_*`)."""
    outputs = {}
    for name in case.expected:
        library, function, bits = re.match(r'(np|tf)_(\w+)_b(\d+)$', name).groups()
        bits = int(bits)
        source = data_utils if library == 'np' else modules
        grid = np.arange(2 ** bits, dtype=np.int32)
        build = {
            'quantize': lambda s=source, b=bits: s.quantize_verts(case.inputs['x'], b),
            'dequantize': lambda s=source, b=bits, g=grid: s.dequantize_verts(g, b),
            'roundtrip': lambda s=source, b=bits, g=grid: s.quantize_verts(
                s.dequantize_verts(g, b), b),
            'dequantize_noise': lambda s=source, b=bits: s.dequantize_verts(
                case.inputs['q'], b, add_noise=True, noise=case.inputs['noise']),
        }[function]
        outputs[name] = build() if library == 'np' else _evaluate(build)[0]
    return outputs


def flatten_faces(case, path):
    """Faces to tokens and back."""
    faces = _split(case.inputs['faces_flat'], case.inputs['faces_lengths'])
    outputs = {'flattened': data_utils.flatten_faces(faces),
               'flattened_empty': data_utils.flatten_faces([])}
    for name, stream in case.inputs.items():
        if name.startswith('stream'):
            outputs.update(_pair('unflattened' + name[len('stream'):],
                                 data_utils.unflatten_faces(stream)))
    return {name: outputs[name] for name in case.expected}


def face_cycles(case, path):
    """Cycles of each face, one after the other."""
    cycles = [data_utils.face_to_cycles(face)
              for face in _split(case.inputs['faces_flat'], case.inputs['faces_lengths'])]
    counts = np.array([len(per_face) for per_face in cycles], np.int32)
    return dict(_pair('cycles', [cycle for per_face in cycles for cycle in per_face]),
                cycles_per_face=counts)


def mesh_processing(case, path):
    """OBJ text to read, normalised and processed meshes."""
    outputs = {}
    for key, text in case.inputs.items():
        if not key.startswith('obj_'):
            continue
        name = key[len('obj_'):]
        vertices, faces = data_utils.read_obj_file(io.StringIO(str(text)))
        normalized = data_utils.normalize_vertices_scale(
            data_utils.center_vertices(vertices[:, [2, 0, 1]]))
        outputs.update(_pair(name + '_read_faces', faces))
        outputs[name + '_read_vertices'] = vertices
        outputs[name + '_normalized'] = normalized
        for expected in case.expected:
            match = re.match(re.escape(name) + r'_(tri_)?b(\d+)_vertices$', expected)
            if match and match.group(1):
                outputs.update(_with_triangles(
                    expected[:-len('_vertices')], normalized, faces, int(match.group(2))))
            elif match:
                processed = data_utils.process_mesh(vertices, faces, int(match.group(2)))
                prefix = expected[:-len('vertices')]
                outputs.update({prefix + part: value for part, value in processed.items()})
    return {name: outputs[name] for name in case.expected}


def _with_triangles(prefix, normalized, faces, bits):
    vertices, polygons, tris = data_utils.quantize_process_mesh(
        normalized, faces, tris=np.array([face[:3] for face in faces]), quantization_bits=bits)
    return dict(_pair(prefix + '_faces', polygons), **{
        prefix + '_vertices': vertices, prefix + '_tris': tris})


def obj_io(case, path):
    """Writing and reading OBJ, with the switches that bring back the original's defects."""
    outputs = {}
    faces = _split(case.inputs['faces_flat'], case.inputs['faces_lengths'])
    for key in case.expected:
        variant = key[len('text_'):] if key.startswith('text_') else None
        if variant is None:
            continue
        vertices = case.inputs['vertices'].copy()
        scale = re.search(r'scale(\d+)', variant)
        written = {'onebased': [[index + 1 for index in face] for face in faces],
                   'nonzero_first': [[1, 2, 3], [0, 3, 4]]}.get(variant, faces)
        with tempfile.TemporaryDirectory() as folder:
            place = os.path.join(folder, 'mesh.obj')
            data_utils.write_obj(vertices, written, place, transpose='notranspose' not in variant,
                                 scale=float(scale.group(1)) if scale else 1., original=True)
            with open(place) as stream:
                outputs[key] = np.array(stream.read())
        outputs['vertices_after_' + variant] = vertices
    for key, text in case.inputs.items():
        if key.startswith('obj_'):
            vertices, polygons = data_utils.read_obj_file(
                io.StringIO(str(text)), original_slashes='slashes' in key)
            name = key[len('obj_'):]
            outputs.update(_pair(name + '_faces', polygons))
            outputs[name + '_vertices'] = vertices
    return {name: outputs[name] for name in case.expected}


def _dataset(examples):
    """tf.data.Dataset of processed meshes."""
    types = {'vertices': tf.int32, 'faces': tf.int32, 'class_label': tf.int32}
    shapes = {'vertices': [None, 3], 'faces': [None], 'class_label': []}
    return tf.data.Dataset.from_generator(lambda: iter(examples), types, shapes)


def _first(ds):
    return tf.data.make_one_shot_iterator(ds).get_next()


def datasets(case, path):
    """The tf.data maps: a padded batch of all, and each with injected shift and permutation."""
    inputs = case.inputs
    numbers = sorted(int(name[len('vertices_'):])
                     for name in inputs if name.startswith('vertices_'))
    examples = [{'vertices': inputs['vertices_{}'.format(i)], 'faces': inputs['faces_{}'.format(i)],
                 'class_label': np.int32(label)} for label, i in enumerate(numbers)]

    def batch(make, **options):
        return _first(make(_dataset(examples), **options).padded_batch(
            len(examples), tf.data.get_output_shapes(make(_dataset(examples), **options))))

    names = {
        'vertex_batch_': lambda: batch(data_utils.make_vertex_model_dataset),
        'face_batch_': lambda: batch(data_utils.make_face_model_dataset, shuffle_vertices=False)}
    outputs = {}
    for i, example in zip(numbers, examples):
        shift = inputs['shift_{}'.format(i)]
        low, high, scale = data_utils.shift_bounds(example['vertices'])
        outputs.update({'shift_low_{}'.format(i): low, 'shift_high_{}'.format(i): high,
                        'shift_scale_{}'.format(i): scale})
        names['vertex_aug_{}_'.format(i)] = lambda e=example, s=shift: _first(
            data_utils.make_vertex_model_dataset(_dataset([e]), apply_random_shift=True, shift=s))
        names['face_aug_{}_'.format(i)] = lambda e=example, s=shift, i=i: _first(
            data_utils.make_face_model_dataset(_dataset([e]), apply_random_shift=True, shift=s,
                                               permutation=inputs['permutation_{}'.format(i)]))
        names['shifted_{}'.format(i)] = lambda e=example, s=shift: {
            '': data_utils.random_shift(tf.constant(e['vertices']), shift=s)}
    for prefix, values in zip(names, _evaluate(*names.values())):
        outputs.update({prefix + key: value for key, value in values.items()})
    return {name: outputs[name] for name in case.expected}


ADAPTERS = {('polygen_data', 'quantization'): quantization,
            ('polygen_data', 'flatten-faces'): flatten_faces,
            ('polygen_data', 'face-cycles'): face_cycles,
            ('polygen_data', 'mesh-processing'): mesh_processing,
            ('polygen_data', 'obj-io'): obj_io,
            ('polygen_data', 'datasets'): datasets}

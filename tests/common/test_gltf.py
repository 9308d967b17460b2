"""Tests of common/geometry/gltf.py, by way of `meshes.read`."""
import base64
import json
import os
import struct
import sys
import types
import urllib.parse

import numpy as np
import pytest
import trimesh

from common import errors
from common.geometry import gltf, meshes

FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases',
                     'meshes')
POINTS = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 3]], np.float32)     # a tetrahedron
FACES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.uint16)
_TYPES = {'i1': 5120, 'u1': 5121, 'i2': 5122, 'u2': 5123, 'u4': 5125, 'f4': 5126}
_KINDS = {1: 'SCALAR', 3: 'VEC3', 4: 'VEC4', 16: 'MAT4'}


class Builder:
    """A glTF document of one buffer, put together array by array."""

    def __init__(self):
        self.binary = b''
        self.document = {'asset': {'version': '2.0'}, 'scene': 0, 'scenes': [{'nodes': [0]}],
                         'nodes': [{'mesh': 0}], 'meshes': [{'primitives': []}], 'accessors': [],
                         'bufferViews': [], 'buffers': [{}]}

    def view(self, content, **more):
        self.binary += bytes(-len(self.binary) % 4)
        self.document['bufferViews'].append(dict(
            {'buffer': 0, 'byteOffset': len(self.binary), 'byteLength': len(content)}, **more))
        self.binary += content
        return len(self.document['bufferViews']) - 1

    def accessor(self, array, **more):
        array = np.asarray(array)
        width = array.shape[1] if array.ndim > 1 else 1
        self.document['accessors'].append(dict(
            {'bufferView': self.view(array.tobytes()), 'count': len(array), 'type': _KINDS[width],
             'componentType': _TYPES[array.dtype.str[1:]]}, **more))
        return len(self.document['accessors']) - 1

    def primitive(self, points=POINTS, faces=FACES, mesh=0, **more):
        attributes = {'POSITION': points if isinstance(points, int) else self.accessor(points)}
        if faces is not None:
            more['indices'] = self.accessor(np.ravel(faces))
        self.document['meshes'][mesh]['primitives'].append(dict({'attributes': attributes}, **more))
        return self

    def save(self, tmp_path, name='a.glb'):
        self.document['buffers'][0].setdefault('byteLength', len(self.binary))
        text = json.dumps(self.document).encode()
        path = tmp_path / name
        if name.endswith('.glb'):
            text += b' ' * (-len(text) % 4)
            binary = self.binary + bytes(-len(self.binary) % 4)
            chunks = struct.pack('<I4s', len(text), b'JSON') + text
            chunks += struct.pack('<I4s', len(binary), b'BIN\0') + binary if binary else b''
            text = struct.pack('<4s2I', b'glTF', 2, 12 + len(chunks)) + chunks
        path.write_bytes(text)
        return str(path)

    def read(self, tmp_path, name='a.glb'):
        return meshes.read(self.save(tmp_path, name))

    def refusal(self, tmp_path, name='a.glb'):
        path = self.save(tmp_path, name)
        with pytest.raises(errors.InputError) as caught:
            meshes.read(path)
        message = str(caught.value)
        assert path in message and '\n' not in message and len(message) < 300 + len(path)
        return message


def assert_tetrahedron(mesh, tolerance=0.):
    np.testing.assert_allclose(mesh.vertices, POINTS, rtol=0, atol=tolerance)
    assert mesh.faces == [tuple(face) for face in FACES.tolist()]


def test_a_plain_mesh_is_read(tmp_path):
    assert_tetrahedron(Builder().primitive().read(tmp_path))


@pytest.mark.parametrize('name', ['g01_base', 'g06_quant_norm_int16', 'g15_nonindexed',
                                  'g18_sparse_all'])
def test_meshes_of_the_field_are_the_prism(name):
    mesh = meshes.read(os.path.join(FIELD, name + '.glb'))
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [2, 1, 3], rtol=1e-4)
    np.testing.assert_allclose(mesh.vertices.min(axis=0), 0)
    corners = mesh.vertices[np.array(mesh.faces)].astype(np.float64)
    assert len(corners) == 8
    np.testing.assert_allclose(np.linalg.det(corners).sum() / 6, 3, rtol=1e-4)


def test_a_strip_of_the_field_is_two_triangles():
    mesh = meshes.read(os.path.join(FIELD, 'g11_strip.glb'))
    assert mesh.faces == [(0, 1, 2), (1, 3, 2)]


@pytest.mark.parametrize('dtype, largest', [('i1', 127), ('u1', 255), ('i2', 32767),
                                            ('u2', 65535)])
def test_normalised_integers_reach_from_minus_one_to_one(tmp_path, dtype, largest):
    lowest = -largest - 1 if dtype[0] == 'i' else 0
    points = np.array([[largest, 0, 0], [0, largest, 0], [lowest, 1, largest]], dtype)
    builder = Builder()
    builder.primitive(builder.accessor(points, normalized=True), None)
    builder.document['extensionsRequired'] = ['KHR_mesh_quantization']
    expected = [[1, 0, 0], [0, 1, 0], [-1 if lowest else 0, 1 / largest, 1]]
    np.testing.assert_allclose(builder.read(tmp_path).vertices, expected, rtol=1e-6)
    builder.document['accessors'][0]['normalized'] = False
    np.testing.assert_array_equal(builder.read(tmp_path).vertices, points)


def test_a_view_with_a_stride_and_offsets_is_read(tmp_path):
    builder = Builder()
    rows = np.zeros([4, 5], np.float32)     # points interleaved with two other numbers
    rows[:, 1:4] = POINTS
    view = builder.view(bytes(8) + rows.tobytes(), byteStride=20)
    builder.document['accessors'].append({'bufferView': view, 'byteOffset': 12, 'count': 4,
                                          'type': 'VEC3', 'componentType': 5126})
    assert_tetrahedron(builder.primitive(0).read(tmp_path))
    builder.document['accessors'][0]['count'] = 5
    assert 'too short' in builder.refusal(tmp_path)


def test_sparse_values_replace_those_below_them(tmp_path):
    builder = Builder()
    position = builder.accessor(POINTS * np.float32([1, 0, 1]))     # (0, 1, 0) is missing
    builder.document['accessors'][position]['sparse'] = {
        'count': 1, 'values': {'bufferView': builder.view(POINTS[2].tobytes())},
        'indices': {'bufferView': builder.view(b'\2'), 'componentType': 5121}}
    assert_tetrahedron(builder.primitive(position).read(tmp_path))


@pytest.mark.parametrize('mode, indices, expected', [
    (4, [0, 1, 2, 3, 2, 1], [(0, 1, 2), (3, 2, 1)]),
    (5, [0, 1, 2, 3, 4], [(0, 1, 2), (1, 3, 2), (2, 3, 4)]),
    (5, [0, 1, 2, 2, 3, 3, 1, 4], [(0, 1, 2), (3, 4, 1)]),      # two strips, joined
    (6, [0, 1, 2, 3, 4], [(1, 2, 0), (2, 3, 0), (3, 4, 0)])])
def test_lists_strips_and_fans_become_their_triangles(tmp_path, mode, indices, expected):
    points = np.concatenate([POINTS, [[5, 6, 7]]]).astype(np.float32)
    mesh = Builder().primitive(points, np.uint8(indices), mode=mode).read(tmp_path)
    assert mesh.faces == expected
    if len(indices) < 8:    # the same without indices
        again = Builder().primitive(points[indices], None, mode=mode).read(tmp_path)
        np.testing.assert_array_equal(again.vertices[np.array(again.faces)],
                                      points[np.array(expected)])


def test_points_and_lines_are_left_out(tmp_path):
    builder = Builder()
    for mode in (0, 1, 2, 3):
        builder.primitive(mode=mode)
    assert 'no vertices' in builder.refusal(tmp_path)
    assert_tetrahedron(builder.primitive().read(tmp_path))


def test_nodes_stand_where_trimesh_puts_them(tmp_path):
    builder = Builder().primitive()
    builder.document['meshes'].append({'primitives': []})
    builder.primitive(POINTS + np.float32(4), FACES[:2], mesh=1)
    matrix = [0, 2, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 3, 4, 5, 1]      # columns
    builder.document['nodes'] = [
        {'children': [1, 2], 'translation': [1, 2, 3], 'rotation': [0.5, 0.1, -0.3, 0.8062258],
         'scale': [1, 2, 0.5]},
        {'mesh': 0, 'matrix': matrix}, {'mesh': 1, 'children': [3], 'scale': [-1, 1, 1]},
        {'mesh': 0, 'rotation': [0, 0, 0.6, 0.8]}, {'mesh': 1}]     # the last is in no scene
    path = builder.save(tmp_path)
    mesh = meshes.read(path)
    parts = trimesh.load(path, process=False).dump()
    expected = {tuple(sorted(map(tuple, np.round(part.triangles[:, corner], 4).tolist())))
                for part in parts for corner in range(3)}
    corners = mesh.vertices[np.array(mesh.faces)].astype(np.float64)
    assert len(corners) == 10 and len(parts) == 3
    actual = [np.round(corners[start:end], 4) for start, end in ((0, 4), (4, 6), (6, 10))]
    assert {tuple(sorted(map(tuple, part[:, corner].tolist())))
            for part in actual for corner in range(3)} == expected
    # Mirrored parts are flipped: volumes stay positive as in the first.
    volumes = [np.linalg.det(part - part[0, 0]).sum() for part in (actual[0], actual[2])]
    assert volumes[0] > 0 and volumes[1] > 0


def test_the_default_scene_is_taken_and_all_nodes_where_there_is_none(tmp_path):
    builder = Builder().primitive()
    builder.document['nodes'] = [{'mesh': 0}, {'mesh': 0, 'translation': [7, 0, 0]}]
    builder.document['scenes'] = [{'nodes': [0]}, {'nodes': [1]}]
    builder.document['scene'] = 1
    np.testing.assert_array_equal(builder.read(tmp_path).vertices, POINTS + [7, 0, 0])
    del builder.document['scenes'], builder.document['scene']
    assert len(builder.read(tmp_path).vertices) == 8


def test_nodes_that_are_not_visible_are_left_out_with_what_is_below_them(tmp_path):
    builder = Builder()
    builder.primitive()
    hidden = {'extensions': {'KHR_node_visibility': {'visible': False}}}
    builder.document.update(
        extensionsUsed=['KHR_node_visibility'], extensionsRequired=['KHR_node_visibility'],
        scenes=[{'nodes': [0, 1, 3]}],
        nodes=[{'mesh': 0, 'extensions': {'KHR_node_visibility': {'visible': True}}},
               dict(hidden, mesh=0, children=[2], translation=[9, 0, 0]),
               {'mesh': 0, 'translation': [50, 0, 0]}, {'mesh': 0, 'translation': [0, 5, 0]}])
    mesh = builder.read(tmp_path)
    np.testing.assert_allclose(mesh.vertices, np.concatenate([POINTS, np.add(POINTS, [0, 5, 0])]))


def test_morph_targets_and_skins_move_the_vertices(tmp_path):
    builder = Builder()
    target = builder.accessor(np.float32([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 2]]))
    builder.primitive(targets=[{'POSITION': target}, {}])
    assert_tetrahedron(builder.read(tmp_path))
    builder.document['meshes'][0]['weights'] = [0.5, 1]
    np.testing.assert_array_equal(builder.read(tmp_path).vertices,
                                  [[0, 0, 0], [2.5, 0, 0], [0, 1, 0], [0, 0, 4]])
    builder.document['nodes'][0]['weights'] = [0, 1]
    assert_tetrahedron(builder.read(tmp_path))
    # Two joints: one moves by (0, 0, 10), one is twice as large and was bound at (1, 0, 0).
    attributes = builder.document['meshes'][0]['primitives'][0]['attributes']
    attributes['JOINTS_0'] = builder.accessor(np.uint8([[0, 1, 0, 0]] * 4))
    attributes['WEIGHTS_0'] = builder.accessor(
        np.uint8([[255, 255, 0, 0], [0, 255, 0, 0], [51, 204, 0, 0], [255, 0, 0, 0]]),
        normalized=True)
    bind = np.stack([np.eye(4), np.eye(4)]).astype(np.float32)
    bind[1, 3, :3] = [-1, 0, 0]     # column by column
    builder.document['nodes'] += [{'translation': [0, 0, 10]}, {'scale': [2, 2, 2]}]
    builder.document['nodes'][0].update(skin=0, translation=[99, 99, 99])    # ignored in a skin
    builder.document['scenes'][0]['nodes'] = [0, 1, 2]
    builder.document['skins'] = [{'joints': [1, 2], 'inverseBindMatrices':
                                  builder.accessor(bind.reshape(2, 16))}]
    np.testing.assert_allclose(builder.read(tmp_path).vertices, [
        [-1, 0, 5], [2, 0, 0], [-1.6, 0.2 + 1.6, 2], [0, 0, 13]], atol=1e-6)


@pytest.mark.parametrize('name', ['a.glb', 'a.gltf'])
def test_a_buffer_is_read_from_text_or_from_a_file_beside(tmp_path, name):
    builder = Builder().primitive()
    (tmp_path / 'the data.bin').write_bytes(builder.binary + b'more')
    size, binary = len(builder.binary), builder.binary
    builder.document['buffers'][0] = {'byteLength': size, 'uri': 'the%20data.bin'}
    builder.binary = b''
    assert_tetrahedron(builder.read(tmp_path, name))
    builder.document['buffers'][0]['uri'] = 'data:application/octet-stream;base64,' + (
        base64.b64encode(binary).decode())
    assert_tetrahedron(builder.read(tmp_path, name))
    builder.document['buffers'][0].update(byteLength=size + 5, uri='the%20data.bin')
    assert 'cut short' in builder.refusal(tmp_path, name)
    (tmp_path / 'the data.bin').unlink()
    assert "'the data.bin' is not to be had (No such file" in builder.refusal(tmp_path, name)


@pytest.mark.parametrize('uri', [
    lambda data: 'data:application/octet-stream,' + urllib.parse.quote_from_bytes(data),
    lambda data: 'data:;base64,' + base64.urlsafe_b64encode(data).decode().rstrip('='),
    lambda data: 'data:;BASE64,' + urllib.parse.quote(base64.b64encode(data).decode(), safe=''),
    lambda data: './a.bin'], ids=['percent', 'url-safe', 'escaped', 'dot'])
def test_bytes_are_read_however_their_address_is_written(tmp_path, uri):
    builder = Builder()
    builder.primitive()
    (tmp_path / 'a.bin').write_bytes(builder.binary)
    builder.document['buffers'][0]['byteLength'] = len(builder.binary)
    builder.document['buffers'][0]['uri'] = uri(builder.binary)
    assert_tetrahedron(builder.read(tmp_path, 'a.gltf'))


def test_bytes_that_are_no_base64_are_told(tmp_path):
    builder = Builder()
    builder.primitive()
    text = base64.b64encode(builder.binary).decode()
    builder.document['buffers'][0].update(uri='data:;base64,' + text[:20] + '!' + text[20:])
    assert 'it is damaged' in builder.refusal(tmp_path, 'a.gltf')


@pytest.mark.parametrize('uri', ['../a.bin', '/etc/passwd', 'b/a.bin', '..%2Fa.bin', 'c:a.bin',
                                 'file:///etc/passwd', 'http://a/b.bin', '..', 'b\\a.bin', ''])
def test_no_buffer_is_read_from_elsewhere(tmp_path, uri):
    folder = tmp_path / 'f' / 'b'
    folder.mkdir(parents=True)
    builder = Builder().primitive()
    for place in (tmp_path / 'a.bin', folder / 'a.bin'):
        place.write_bytes(builder.binary)
    builder.document['buffers'][0] = {'byteLength': len(builder.binary), 'uri': uri}
    builder.binary = b''
    assert 'lies elsewhere' in builder.refusal(tmp_path / 'f')


def test_no_link_or_pipe_is_followed(tmp_path):
    (tmp_path / 'f').mkdir()
    builder = Builder().primitive()
    (tmp_path / 'secret').write_bytes(builder.binary)
    os.symlink(str(tmp_path / 'secret'), str(tmp_path / 'f' / 'link.bin'))
    os.mkfifo(str(tmp_path / 'f' / 'pipe.bin'))
    builder.document['buffers'][0] = {'byteLength': len(builder.binary), 'uri': 'link.bin'}
    builder.binary = b''
    assert 'is a link' in builder.refusal(tmp_path / 'f')
    builder.document['buffers'][0]['uri'] = 'pipe.bin'
    assert 'is no file' in builder.refusal(tmp_path / 'f')


@pytest.mark.parametrize('name', ['EXT_meshopt_compression', 'KHR_meshopt_compression',
                                  'ABC_curved_triangles', 'KHR_accessor_float64'])
def test_an_extension_that_is_required_and_not_supported_is_named(tmp_path, name):
    builder = Builder().primitive()
    builder.document['extensionsRequired'] = ['KHR_materials_unlit', name]
    assert name in builder.refusal(tmp_path)
    builder.document['extensionsRequired'] = ['KHR_materials_unlit', 'KHR_texture_basisu',
                                              'EXT_texture_webp']
    assert_tetrahedron(builder.read(tmp_path))


def test_compressed_views_and_instances_are_named_where_nothing_requires_them(tmp_path):
    builder = Builder().primitive()
    builder.document['buffers'].append({'byteLength': 48, 'extensions': {
        'EXT_meshopt_compression': {'fallback': True}}})
    builder.document['bufferViews'][0].update(buffer=1, extensions={
        'EXT_meshopt_compression': {'buffer': 0}})
    assert 'EXT_meshopt_compression' in builder.refusal(tmp_path)
    builder = Builder().primitive()
    builder.document['nodes'][0]['extensions'] = {'EXT_mesh_gpu_instancing': {}}
    assert 'EXT_mesh_gpu_instancing' in builder.refusal(tmp_path)


def test_draco_is_named_without_its_package_and_read_with_it(tmp_path, monkeypatch):
    builder = Builder()
    view = builder.view(b'packed!')
    builder.document['accessors'].append({'componentType': 5126, 'count': 4, 'type': 'VEC3'})
    builder.primitive(0, extensions={'KHR_draco_mesh_compression': {
        'bufferView': view, 'attributes': {'POSITION': 0}}})
    builder.document['extensionsRequired'] = ['KHR_draco_mesh_compression']
    monkeypatch.setitem(sys.modules, 'DracoPy', None)
    message = builder.refusal(tmp_path)
    assert 'KHR_draco_mesh_compression: pip install DracoPy==' in message
    monkeypatch.setitem(sys.modules, 'DracoPy', types.SimpleNamespace(
        decode=lambda data: types.SimpleNamespace(points=POINTS.ravel(), faces=FACES.ravel())
        if data == b'packed!' else None))
    assert_tetrahedron(builder.read(tmp_path))
    # A file for all has the numbers as they are, too.
    builder.document['accessors'][0]['bufferView'] = builder.view(POINTS.tobytes())
    monkeypatch.setitem(sys.modules, 'DracoPy', None)
    assert_tetrahedron(builder.read(tmp_path))


def test_draco_data_are_read_by_the_package_itself(tmp_path):
    draco = pytest.importorskip('DracoPy')
    builder = Builder()
    view = builder.view(draco.encode(POINTS, FACES, quantization_bits=20))
    builder.document['accessors'].append({'componentType': 5126, 'count': 4, 'type': 'VEC3'})
    builder.primitive(0, None, extensions={'KHR_draco_mesh_compression': {'bufferView': view}})
    mesh = builder.read(tmp_path)
    corners = mesh.vertices[np.array(mesh.faces)].astype(np.float64)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [2, 1, 3], rtol=1e-4)
    np.testing.assert_allclose(np.linalg.det(corners).sum() / 6, 1, rtol=1e-4)
    builder.binary = builder.binary[:40] + b'xxxx' + builder.binary[44:60]
    builder.document['bufferViews'][0]['byteLength'] = len(builder.binary)
    assert 'KHR_draco_mesh_compression' in builder.refusal(tmp_path)


def _change(**changes):
    return lambda document: document.update(changes)


@pytest.mark.parametrize('change, words', [
    (_change(asset={'version': '1.0'}), 'version'),
    (_change(asset={}), "damaged (KeyError"),
    (_change(scenes=[]), None),
    (_change(scene=4), 'damaged (IndexError'),
    (_change(nodes=[{'mesh': 0, 'children': [0]}]), 'child of two'),
    (_change(nodes=[{'mesh': 9}]), 'damaged'),
    (_change(nodes=7), 'damaged (TypeError'),
    (_change(nodes=[{'mesh': 0, 'rotation': [0, 0, 0, 0]}]), None),
    (_change(nodes=[{'mesh': 0, 'rotation': [0, 0, 0, 1, 0]}]), 'damaged (ValueError'),
    (_change(nodes=[{'mesh': 0, 'scale': [0, 1e300, 1e300]}]), 'not a finite number'),
    (_change(nodes=[{'mesh': 0, 'matrix': [1] * 9}]), 'damaged (ValueError'),
    (lambda document: document['accessors'][0].update(count=10 ** 12), 'are the most'),
    (lambda document: document['accessors'][0].update(count=-4), 'a number from 0'),
    (lambda document: document['accessors'][0].update(byteOffset=-4), 'a number from 0'),
    (lambda document: document['accessors'][0].update(count='4'), 'a number from 0'),
    (lambda document: document['accessors'][0].update(type='VEC2'), "holds 'VEC2'"),
    (lambda document: document['accessors'][0].update(componentType=1), 'component type 1'),
    (lambda document: document['accessors'][0].pop('bufferView'), 'has no data'),
    (lambda document: document['accessors'][1].update(count=11), 'damaged'),
    (lambda document: document['accessors'][1].update(count=10 ** 6), 'too short'),
    (lambda document: document['bufferViews'][0].update(byteLength=10 ** 9), 'ends behind'),
    (lambda document: document['buffers'][0].update(byteLength=10 ** 9), 'cut short'),
    (lambda document: document['bufferViews'][0].update(buffer=1), 'damaged (IndexError'),
])
def test_a_damaged_document_is_told_in_a_line(tmp_path, change, words):
    builder = Builder().primitive()
    builder.save(tmp_path)
    change(builder.document)
    if words is None:
        assert_tetrahedron(builder.read(tmp_path))
    else:
        assert words in builder.refusal(tmp_path)


def test_what_is_no_gltf_is_told(tmp_path):
    for content, words in ((b'glTG' + bytes(40), 'is no .glb file'), (b'{', 'JSONDecodeError'),
                           (b'{"a":' * 100000, 'RecursionError'), (b'glTF', 'damaged'),
                           (struct.pack('<4s2I', b'glTF', 1, 12), 'version is 1'),
                           (struct.pack('<4s2I', b'glTF', 2, 12), 'no JSON chunk'),
                           (struct.pack('<4s2I', b'glTF', 2, 50) + bytes(20), 'cut short')):
        (tmp_path / 'a.glb').write_bytes(content)
        with pytest.raises(errors.InputError) as caught:
            meshes.read(str(tmp_path / 'a.glb'))
        assert words in str(caught.value)


def test_a_scene_that_repeats_a_mesh_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gltf, 'MAX_ROWS', 30)
    builder = Builder().primitive()
    builder.document['nodes'] = [{'mesh': 0}] * 3
    builder.document['scenes'] = [{'nodes': [0, 1, 2]}]
    assert len(builder.read(tmp_path).faces) == 12
    builder.document['nodes'] = [{'mesh': 0}] * 4
    builder.document['scenes'] = [{'nodes': [0, 1, 2, 3]}]
    assert 'more than' in builder.refusal(tmp_path)

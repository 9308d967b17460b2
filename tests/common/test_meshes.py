"""Tests of common/geometry/meshes.py."""
import json
import os
import struct
import time

import numpy as np
import pytest
import trimesh

from common import errors
from common.geometry import meshes

FIELD = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'field_cases',
                     'meshes')
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1.25]], np.float32)
PYRAMID = [(0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]


def save(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode('utf-8'))
    return str(path)


def assert_pyramid(mesh):
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.vertices.dtype == np.float32
    assert mesh.faces == PYRAMID


def refusal(path):
    with pytest.raises(errors.InputError) as caught:
        meshes.read(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    assert caught.value.exit_code == 1
    return str(caught.value)


OBJ_VERTICES = ''.join('v {} {} {}\n'.format(*row) for row in SQUARE.tolist())
STL_FACET = ('facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\n'
             'endloop\nendfacet\n')
PLY_HEAD = ('ply\nformat ascii 1.0\nelement vertex 3\nproperty int x\nproperty int y\n'
            'property int z\nelement face 1\nproperty list int int vertex_index\nend_header\n')
OBJ_FACES = ''.join('f {}\n'.format(' '.join(str(i + 1) for i in face)) for face in PYRAMID)


@pytest.mark.parametrize('text', [
    OBJ_VERTICES + OBJ_FACES,
    (OBJ_VERTICES + OBJ_FACES).replace('\n', '\r\n'),
    '\ufeff# by hand \\\n\nmtllib ../../etc/passwd\n' + OBJ_VERTICES + '\n# faces\n' + OBJ_FACES,
    OBJ_VERTICES + OBJ_FACES.replace('f 1 4 3 2', 'f 1 4 \\\n  3 2  # base'),
    OBJ_VERTICES + OBJ_FACES.replace('f 1 4 3 2', 'f -5 -2 -3 -4'),
    OBJ_VERTICES + OBJ_FACES.replace('f 1 4 3 2', 'f 1/1/1 4//2 3/9 2/'),
    OBJ_VERTICES.replace('1.25', '1.25 0.1 0.2 0.3') + 'vt 0 0\nvn 0 0 1\ns off\n' + OBJ_FACES,
    OBJ_VERTICES.replace('1.25', '125e-2 1.0') + 'usemtl x\n' + OBJ_FACES.rstrip('\n'),
    OBJ_FACES + OBJ_VERTICES,
    OBJ_VERTICES + OBJ_FACES.replace('f 1 4 3 2', 'f 1 4 \\ \n\t3 \\\n2'),
    OBJ_VERTICES.replace('1.25', '1.25 # top_1 \\') + OBJ_FACES.replace('\n', '# a_b \\\n'),
    'usemtl C:\\\n' + OBJ_VERTICES + 'g f\\\n' + OBJ_FACES.replace('f 2', 'o v_1 \\\nf 2'),
    (OBJ_VERTICES + OBJ_FACES).upper().replace('\n', '\r'),
    '\ufeff\ufeff' + OBJ_VERTICES + '\ufeff' + OBJ_FACES,
    OBJ_VERTICES + OBJ_FACES.replace('f 1', 'fo 1'),
    b'\xff\xfe' + (OBJ_VERTICES + OBJ_FACES).encode('utf-16-le'),
    b'\xfe\xff' + (OBJ_VERTICES + OBJ_FACES).encode('utf-16-be'),
    ('# \u692d\u5b50\n' + OBJ_VERTICES + OBJ_FACES).encode('utf-16-le'),
    ('# \u692d\u5b50\n' + OBJ_VERTICES + OBJ_FACES).encode('utf-16-be'),
    'o Bj\xf6rn\n'.encode('latin-1') + (OBJ_VERTICES + OBJ_FACES).encode(),
], ids=['plain', 'crlf', 'comments', 'continued', 'negative', 'slashes', 'colours', 'weight',
        'faces-first', 'continued-twice', 'comments-behind', 'backslash-names', 'upper-case',
        'marks', 'outlines', 'utf-16', 'utf-16-be', 'utf-16-bare', 'utf-16-be-bare', 'latin-1'])
def test_an_obj_file_is_read_however_it_is_written(tmp_path, text):
    assert_pyramid(meshes.read(save(tmp_path, 'a.OBJ', text)))


def test_negative_indices_count_from_the_vertices_read_so_far(tmp_path):
    text = 'v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 5 5 5\nv 6 5 5\nv 5 6 5\nf -3 -2 -1\n'
    assert meshes.read(save(tmp_path, 'a.obj', text)).faces == [(0, 1, 2), (3, 4, 5)]


@pytest.mark.parametrize('name, text, words', [
    ('a.obj', 'v 0 0 zero\n', 'line 1: expected "v x y z"'),
    ('a.obj', 'v 0 0\n', 'line 1: expected "v x y z"'),
    ('a.obj', OBJ_VERTICES + 'f 1 2 x\n', 'line 6: expected "f a b c'),
    ('a.obj', OBJ_VERTICES + 'f 1 2 1_0\n', 'line 6'),
    ('a.obj', OBJ_VERTICES + '\nf 1 2 6\n', 'line 7: a face names vertex 6, which is out of range'),
    ('a.obj', OBJ_VERTICES + 'f 1 2 99999999999999999999\n', 'line 6: a face names vertex'),
    ('a.obj', OBJ_VERTICES + 'f 0 1 2\n', 'line 6: expected "f a b c'),
    ('a.obj', OBJ_VERTICES + 'f 1 2 -6\n', 'line 6: expected "f a b c'),
    ('a.obj', OBJ_VERTICES + 'f 1 2\n', 'line 6: a face needs three vertices or more, found 2'),
    ('a.obj', '# x\n' + OBJ_VERTICES.replace('1.25', 'nan') + OBJ_FACES, 'line 6: a coordinate is'),
    ('a.obj', OBJ_VERTICES.replace('1.25', '-inf') + OBJ_FACES, 'not a finite number'),
    ('a.obj', OBJ_VERTICES.replace('1.25', '1e39') + OBJ_FACES, 'not a finite number'),
    ('a.obj', OBJ_VERTICES, 'has no faces'),
    ('a.obj', OBJ_VERTICES + 'call b.obj\n' + OBJ_FACES, 'line 6: "call" takes in another file'),
    ('a.obj', OBJ_VERTICES + 'f 1 2 \x1b[31m\n', r'found "f 1 2 \x1b[31m"'),
    ('a.obj', 'f 1 2 3\n', 'has no vertices'),
    ('a.obj', b'\x00\xff\x80garbage\n\x01', 'has no vertices'),
    ('a.obj', '', 'is empty'),
    ('a.ply', ' \n', 'is empty'),
    ('a.off', 'OBJ\n1 2 3\n', 'does not start with "OFF"'),
    ('a.off', 'OFF\n', 'ends before its counts'),
    ('a.off', 'OFF\nfour 1 0\n', 'line 2'),
    ('a.off', 'OFF\n3 1 0\n0 0 0\n1 0 0\n', 'cut short'),
    ('a.off', 'OFF\n999999999999 1 0\n0 0 0\n', 'cut short'),
    ('a.off', 'OFF\n6\n5\n0\n0 0 0\n2 0 0\n4 1 0\n0 0 3\n2 0 3\n0 1 2\n' + '9' * 300, 'cut short'),
    ('a.off', 'OFF\n3 1 0\n0 0 0\n1 0 x\n0 1 0\n3 0 1 2\n', 'line 4'),
    ('a.off', 'OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n4 0 1 2\n', 'line 6'),
    ('a.off', 'OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n', 'line 6: a face names vertex 3'),
    ('a.off', 'OFF\n3 1 0\n0 0 0\n1 0 nan\n0 1 0\n3 0 1 2\n', 'line 4: a coordinate'),
    ('a.off', 'OFF BINARY\n3 1 0\n', 'only OFF text in three dimensions'),
    ('a.off', 'nOFF\n3\n3 1 0\n', 'only OFF text in three dimensions'),
    ('a.off', 'OFF\n3 1 0\n0 0 0 1 0 0\n0 1 0\n3 0 1\n', 'cut short'),
    ('a.off', 'OFF\n3 1 0\n0 0 0\n1 0 0\n0 1_0 0\n3 0 1 2\n', 'line 5: expected numbers'),
    ('a.off', '4OFF\n3 1 0\n0 0 0 1\n1 0 0 0\n0 1 0 1\n3 0 1 2\n', 'line 4: a coordinate'),
    ('a.off', '0.5 1 0\n', 'does not start with "OFF"'),
    ('a.stl', 'solid x\nfacet\nvertex 0 0 0\nvertex 1 0 0\n', 'cut short'),
    ('a.stl', 'solid x\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 y 0\nendsolid', 'line 4'),
    ('a.stl', 'solid x\nfacet\nvertex 0 0 0\nendfacet\nendsolid', 'three vertices in a facet'),
    ('a.stl', 'solid x\nendsolid', 'has no vertices'),
    ('a.stl', 'no triangles', 'cut short'),
    ('a.stl', 60 * 'no triangles ', 'a text without "solid"'),
    ('a.stl', 'solid x\n' + 2 * STL_FACET + 'facet normal 0 0 1\n', 'cut short'),
    ('a.stl', 'solid x\n' + 2 * STL_FACET + 'facet\nvertex 0 0 1\n', 'cut short'),
    ('a.stl', 'solid x\n' + STL_FACET.replace('vertex 1 0 0\n', ''), 'three vertices in a facet'),
    ('a.glb', b'glTG' + bytes(40), 'is no .glb file'),
    ('a.ply', 'plx\n', 'is no PLY file'),
    ('a.ply', 'ply\nformat ascii 1.0\nelement vertex x\nend_header\n', 'line 3'),
    ('a.ply', 'ply\nformat ascii 1.0\nelement face 1\nelement face 1\nend_header\n', 'twice'),
    ('a.ply', 'ply\nformat ascii 1.0\nelement vertex 1\nelement face 1\nend_header\n', 'x, y, z'),
    ('a.ply', 'ply\nformat runes 1.0\nend_header\n', 'unknown PLY format "runes"'),
    ('a.ply', 'ply\nformat ascii 1.0\nelement vertex 1\nend_header\n', 'no face element'),
    ('a.ply', 'ply\nformat ascii 1.0\nelement vertex 99\nproperty int x\nproperty int y\n'
     'property int z\nelement face 9999999999999999999999\nproperty list int int vertex_index\n'
     'end_header\n', 'more elements than it has bytes'),
    ('a.ply', PLY_HEAD.replace('int z\n', 'int z\nproperty int y\n') + '0 0 1 0\n1 0 0 0\n0 1 1 0\n'
     '3 0 1 2\n', 'has the property "y" twice, with different values'),
    ('a.ply', PLY_HEAD.replace('int vertex', 'float vertex') + '0 0 0\n1 0 0\n0 1 0\n3 0 1 1.5\n',
     'face 1: a face names vertex -1'),
    ('a.xyz', '1 2 3\n', 'Known are .obj .off .ply .stl .glb .gltf.'),
])
def test_a_bad_file_is_refused_with_its_place(tmp_path, name, text, words):
    assert words in refusal(save(tmp_path, name, text))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert 'no such file' in refusal(str(tmp_path / 'none.obj'))
    (tmp_path / 'folder.obj').mkdir()
    refusal(str(tmp_path / 'folder.obj'))


OFF_VERTICES = OBJ_VERTICES.replace('v ', '')
OFF_FACES = ''.join('{} {}\n'.format(len(face), ' '.join(map(str, face))) for face in PYRAMID)
OFF_COLORED = OFF_FACES.replace('\n', ' 255 0 0\n')


@pytest.mark.parametrize('head', ['OFF\n5 5 0\n', 'OFF 5 5 0\n', 'OFF5 5 0\n', 'COFF # c\n\n5 5\n',
                                  'off\n5 5 0\n', '\ufeffOFF\n5 5 8\n', '5 5 0\n', '5\t5\n',
                                  'STCNOFF 5 5 0\n', 'noff\n5 5 0\n', 'NCOFF\n5 5 0\n',
                                  'NCSTOFF\n5 5 0\n'])
def test_an_off_file_is_read_with_its_counts_anywhere(tmp_path, head):
    text = head + OFF_VERTICES + '# faces\n' + OFF_COLORED
    assert_pyramid(meshes.read(save(tmp_path, 'a.off', text)))


@pytest.mark.parametrize('text', [
    'OFF\n5\n5\n0\n' + OFF_VERTICES + OFF_FACES,
    'OFF 5 5 0 ' + (OFF_VERTICES + OFF_FACES).replace('\n', ' '),
    (('OFF 5 5\n' + OFF_VERTICES + OFF_FACES).replace(' ', '\n')),
    '5 5 0 ' + (OFF_VERTICES + OFF_FACES).replace('\n', ' '),
    'OFF\n5 5 0\n' + OFF_VERTICES.replace('\n', ' ', 3) + OFF_FACES,
    'OFF\n5 5 0\n' + OFF_VERTICES.replace('\n', ' ', 3) + OFF_COLORED,
    'OFF\n5 5 0\n' + OFF_VERTICES + OFF_FACES.replace('4 0 3 2 1', '4\n0 3 2 1 # base'),
    'COFF\n5\n5\n0\n' + OFF_VERTICES.replace('\n', ' 0.1 0.2 0.3 1\n') + OFF_FACES,
    'COFF 5 5 0 ' + (OFF_VERTICES.replace('\n', ' 255 0 9\n') + OFF_FACES).replace('\n', ' '),
    'NCOFF\n5\n5\n' + OFF_VERTICES.replace('\n', '\n0 0 1 255 0 9 255\n') + OFF_FACES,
    'NOFF\n5 5 0\n' + OFF_VERTICES.replace('\n', '\n0 0 1\n') + OFF_FACES,
    'STOFF\n5 5 0\n' + OFF_VERTICES.replace('\n', '\n0.5 1\n') + OFF_FACES,
    '4OFF\n5 5 0\n' + ''.join('{} {} {} 2\n'.format(*row) for row in (SQUARE * 2).tolist())
    + OFF_FACES,
], ids=['counts', 'one-line', 'one-column', 'no-header', 'free-vertices', 'free-vertices-colours',
        'broken-face', 'colours', 'no-opacity', 'meshlab', 'normals', 'texture', 'homogeneous'])
def test_an_off_file_is_free_in_its_lines(tmp_path, text):
    assert_pyramid(meshes.read(save(tmp_path, 'a.off', text)))


def ply(order, quads=False):
    """Bytes of the pyramid as PLY, with properties and an element that are to be skipped."""
    faces = PYRAMID[1:] if quads else PYRAMID
    form = {'<': 'binary_little_endian', '>': 'binary_big_endian', '': 'ascii'}[order]
    head = ('ply\nformat {} 1.0\ncomment x\nelement vertex 5\nproperty uchar red\n'
            'property double x\nproperty double y\nproperty double z\n'
            'element pair 1\nproperty list uchar float w\nelement face {}\n'
            'property list uchar uint vertex_index\nproperty short f\nend_header\n')
    head = head.format(form, len(faces)).encode()
    if not order:
        rows = ['7 {} {} {}'.format(*row) for row in SQUARE.tolist()] + ['2 0.5 0.5']
        rows += ['{} {} 9'.format(len(face), ' '.join(map(str, face))) for face in faces]
        return head + '\n'.join(rows).encode()
    body = b''.join(struct.pack(order + 'B3d', 7, *row) for row in SQUARE.tolist())
    body += struct.pack(order + 'B2f', 2, 0.5, 0.5)
    return head + body + b''.join(
        struct.pack('{}B{}Ih'.format(order, len(face)), len(face), *face, 9) for face in faces)


@pytest.mark.parametrize('order', ['', '<', '>'])
def test_a_ply_file_is_read_in_all_three_formats(tmp_path, order):
    assert_pyramid(meshes.read(save(tmp_path, 'a.ply', ply(order))))
    assert meshes.read(save(tmp_path, 'b.ply', ply(order, quads=True))).faces == PYRAMID[1:]


@pytest.mark.parametrize('order', ['', '<', '>'])
@pytest.mark.parametrize('change', [
    lambda data: b'\xef\xbb\xbf' + data,
    lambda data: data.replace(b'end_header', b'end_header   '),
    lambda data: data.replace(b'end_header\n', b'end_header\ncomment made by hand\ncomment x\n'),
    lambda data: data.replace(b'end_header', b'end_header comment x'),
    lambda data: data.replace(b'comment x', b'comment end_header\nobj_info end_header'),
], ids=['mark', 'blanks', 'comments', 'comment', 'named'])
def test_a_ply_header_is_read_however_it_ends(tmp_path, order, change):
    assert_pyramid(meshes.read(save(tmp_path, 'a.ply', change(ply(order)))))


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('end', [b'\n', b'\r', b'\r\n'])
def test_a_ply_body_may_begin_with_what_ends_a_line(tmp_path, order, end):
    head, body = ply(order).split(b'end_header\n')
    data = (head + b'end_header\n').replace(b'\n', end)
    for first in (b'\n', b'\r'):      # the red of the first vertex
        assert_pyramid(meshes.read(save(tmp_path, 'a.ply', data + first + body[1:])))


@pytest.mark.parametrize('order', ['', '<', '>'])
@pytest.mark.parametrize('whole, letter', [('int64', 'q'), ('uint64', 'Q'), ('float', 'f')])
def test_a_ply_file_may_count_in_any_type_and_name_a_property_twice(tmp_path, order, whole, letter):
    faces = [[0, 3, 2, 1], [0, 1, 4]]
    head = ('ply\nformat {} 1.0\nelement vertex 5\nproperty uchar red\nproperty float x\n'
            'property float y\nproperty uchar red\nproperty float z\nproperty float x\n'
            'element face 2\nproperty list uint64 {} vertex_indices\nproperty uchar red\n'
            'property uchar red\nend_header\n').format(
                {'': 'ascii', '<': 'binary_little_endian', '>': 'binary_big_endian'}[order], whole)
    rows = [(1, x, y, 2, z, x) for x, y, z in SQUARE.tolist()]
    if order:
        body = b''.join(struct.pack(order + 'BffBff', *row) for row in rows) + b''.join(
            struct.pack('{}Q{}{}BB'.format(order, len(face), letter), len(face), *face, 1, 2)
            for face in faces)
    else:
        body = '\n'.join(' '.join(map(str, row)) for row in rows + [
            [len(face)] + face + [1, 2] for face in faces]).encode()
    mesh = meshes.read(save(tmp_path, 'a.ply', head.encode() + body))
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.faces == [tuple(face) for face in faces]


@pytest.mark.parametrize('order', ['', '<', '>'])
def test_a_ply_file_cut_anywhere_is_refused(tmp_path, order):
    content = ply(order)
    for length in range(4, len(content) - 1, 7):
        refusal(save(tmp_path, 'a.ply', content[:length]))


def test_damaged_numbers_in_a_binary_ply_are_refused(tmp_path):
    content = bytearray(ply('<'))
    content[-3] = 200  # the last vertex number of the last face
    assert 'face 5: a face names vertex' in refusal(save(tmp_path, 'a.ply', bytes(content)))
    text = ply('').replace(b'1.25', b'nan')
    assert 'vertex 5: a coordinate' in refusal(save(tmp_path, 'b.ply', text))


def stl_pair():
    """Two triangles that share an edge: ascii text and binary bytes."""
    corners = SQUARE[np.array([[0, 1, 2], [2, 3, 0]])]
    text = 'solid s\n' + ''.join('facet normal 0 0 1\nouter loop\n' + ''.join(
        'vertex {} {} {}\n'.format(*row) for row in triangle.tolist()) + 'endloop\nendfacet\n'
        for triangle in corners) + 'endsolid s\n'
    binary = b'solid by a liar'.ljust(80, b'\0') + struct.pack('<I', 2) + b''.join(
        struct.pack('<12fH', 0, 0, 1, *triangle.ravel().tolist(), 0) for triangle in corners)
    return text, binary


@pytest.mark.parametrize('kind', [0, 1], ids=['ascii', 'binary'])
def test_corners_of_an_stl_that_coincide_become_one_vertex(tmp_path, kind):
    mesh = meshes.read(save(tmp_path, 'a.stl', stl_pair()[kind]))
    np.testing.assert_array_equal(mesh.vertices, SQUARE[:4])
    assert mesh.faces == [(0, 1, 2), (2, 3, 0)]


@pytest.mark.parametrize('change', [
    lambda text: '\n  \n' + text, lambda text: '\ufeff' + text, str.upper,
    lambda text: text.replace('endsolid', 'end solid'),
    lambda text: text.replace('endsolid s\n', ''),
    lambda text: text + '\nmade by hand, vertices welded\n',
    lambda text: text.replace('endfacet\n', 'endfacet\nendsolid s\nsolid two\n', 1),
    lambda text: text.replace('\n', '\r\n    '),
    lambda text: text.replace('solid s\n', '', 1), lambda text: text.replace('\n', ' '),
    lambda text: text.replace('\n', '\r'), lambda text: '# facet of a cube\n; by hand\n' + text,
    lambda text: text.replace('endfacet\n', 'endfacet\n// vertex 9 9 9\n'),
    lambda text: text.replace('solid s', 'solid a vertex facet endfacet'),
    lambda text: text.replace('vertex ', 'vertex\n  '),
    lambda text: text.replace(' 0.0\n', '\n\t0.0\n'),
    lambda text: text.replace('endfacet\n', 'endfacet\nendsolid s solid b ', 1)],
    ids=['blank', 'mark', 'upper-case', 'end-solid', 'no-end', 'text-behind', 'two-solids', 'crlf',
         'no-name', 'one-line', 'cr', 'comment', 'comments-inside', 'odd-name', 'numbers-below',
         'last-number-below', 'two-solids-in-a-line'])
def test_an_stl_text_is_read_however_it_is_written(tmp_path, change):
    mesh = meshes.read(save(tmp_path, 'a.stl', change(stl_pair()[0])))
    np.testing.assert_array_equal(mesh.vertices, SQUARE[:4])
    assert mesh.faces == [(0, 1, 2), (2, 3, 0)]


def test_a_binary_stl_of_the_right_size_is_one_whatever_its_header_says(tmp_path):
    content = b'solid'.ljust(80) + stl_pair()[1][80:]
    for behind in (b'', b'more'):
        assert len(meshes.read(save(tmp_path, 'a.stl', content + behind)).faces) == 2
    assert 'cut short' in refusal(save(tmp_path, 'b.stl', content[:-1]))


@pytest.mark.parametrize('count', [0, 2 ** 32 - 1])
def test_a_binary_stl_written_as_a_stream_has_the_triangles_that_it_holds(tmp_path, count):
    content = stl_pair()[1]
    path = save(tmp_path, 'a.stl', content[:80] + struct.pack('<I', count) + content[84:])
    assert meshes.read(path).faces == [(0, 1, 2), (2, 3, 0)]
    cut = save(tmp_path, 'c.stl', content[:80] + struct.pack('<I', count) + content[84:-1])
    assert 'has no vertices' in refusal(cut) if not count else 'cut short' in refusal(cut)
    padded = save(tmp_path, 'b.stl', content + bytes(100))     # to the end of a sector
    assert meshes.read(padded).faces == [(0, 1, 2), (2, 3, 0)]


def test_a_cut_or_damaged_binary_stl_is_refused(tmp_path):
    content = stl_pair()[1]
    for length in (20, 83, 90, len(content) - 1):
        assert 'cut short' in refusal(save(tmp_path, 'a.stl', content[:length]))
    damaged = content[:96] + struct.pack('<f', np.nan) + content[100:]
    # One triangle less than there are: a hole that nobody would notice.
    short = content[:80] + struct.pack('<I', 1) + content[84:]
    assert 'promises 1 triangles and holds 2' in refusal(save(tmp_path, 'c.stl', short))
    assert 'corner 1: a coordinate' in refusal(save(tmp_path, 'b.stl', damaged))


@pytest.mark.parametrize('extension', ['.obj', '.ply'])
def test_writing_and_reading_keeps_polygons_and_every_bit(tmp_path, extension):
    path = str(tmp_path / 'new' / ('a' + extension))
    vertices = np.random.RandomState(0).normal(size=[300, 3]).astype(np.float32)
    faces = [tuple(range(300)), (0, 1, 2), (5, 4, 3, 2)]
    meshes.write(path, vertices, faces)
    mesh = meshes.read(path)
    np.testing.assert_array_equal(mesh.vertices, vertices)
    assert mesh.faces == faces
    assert os.listdir(str(tmp_path / 'new')) == ['a' + extension]


def test_a_written_glb_loads_with_trimesh_and_with_read(tmp_path):
    path = str(tmp_path / 'a.glb')
    meshes.write(path, SQUARE, PYRAMID)
    loaded = trimesh.load(path, force='mesh', process=False)
    np.testing.assert_array_equal(loaded.vertices, SQUARE)
    assert loaded.faces.tolist() == meshes.triangulate(PYRAMID).tolist()
    mesh = meshes.read(path)
    np.testing.assert_array_equal(mesh.vertices, SQUARE)
    assert mesh.faces == [tuple(face) for face in loaded.faces.tolist()]


def test_the_parts_of_a_glb_scene_are_put_at_their_places(tmp_path):
    scene = trimesh.Scene()
    for offset in (0, 10):
        scene.add_geometry(trimesh.Trimesh(SQUARE, [[0, 1, 4], [1, 2, 4]], process=False),
                           transform=trimesh.transformations.translation_matrix([offset, 0, 0]))
    mesh = meshes.read(save(tmp_path, 'a.glb', scene.export(file_type='glb')))
    assert mesh.vertices.shape == (10, 3) and mesh.faces[2:] == [(5, 6, 9), (6, 7, 9)]
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [11, 1, 1.25])


def test_a_glb_cut_anywhere_is_refused(tmp_path):
    path = str(tmp_path / 'a.glb')
    meshes.write(path, SQUARE, PYRAMID)
    with open(path, 'rb') as stream:
        content = stream.read()
    for length in (10, 100, len(content) - 1):
        refusal(save(tmp_path, 'b.glb', content[:length]))


def test_a_glb_cannot_have_another_file_read(tmp_path):
    secret = save(tmp_path, 'secret.bin', SQUARE.tobytes())
    header = {'asset': {'version': '2.0'}, 'scene': 0, 'scenes': [{'nodes': [0]}],
              'nodes': [{'mesh': 0}], 'meshes': [{'primitives': [{'attributes': {'POSITION': 0}}]}],
              'buffers': [{'uri': secret, 'byteLength': 60}],
              'bufferViews': [{'buffer': 0, 'byteLength': 60}],
              'accessors': [{'bufferView': 0, 'componentType': 5126, 'count': 5, 'type': 'VEC3'}]}
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 4)
    content = struct.pack('<4s2I2I', b'glTF', 2, 20 + len(text), len(text), 0x4E4F534A) + text
    assert 'cannot be read as .glb' in refusal(save(tmp_path, 'a.glb', content))


@pytest.mark.parametrize('name', sorted(
    name for name in os.listdir(FIELD) if name[:3] in (
        'a00', 'f05', 'f13', 'f14', 'f20', 'o15', 'o17', 'o23', 'o37', 'p14', 'p21', 's06', 's07',
        's13')))
def test_meshes_of_the_field_are_the_prism(name):
    vertices, triangles = meshes.read_triangles(os.path.join(FIELD, name))
    np.testing.assert_array_equal(vertices.min(axis=0), 0)
    np.testing.assert_array_equal(vertices.max(axis=0), [2, 1, 3])
    corners = vertices[triangles].astype(np.float64)
    assert len(vertices) == 6 and len(corners) == 8
    assert np.linalg.det(corners).sum() / 6 == 3    # closed, and seen from outside
    assert trimesh.Trimesh(vertices, triangles, process=False).is_watertight


def test_vertices_that_no_face_uses_are_read_but_are_not_in_the_surface():
    path, reference = [os.path.join(FIELD, name)
                       for name in ('house_far_vertex.obj', 'house_ref.obj')]
    assert len(meshes.read(path).vertices) == 10
    for one, other in zip(meshes.read_triangles(path), meshes.read_triangles(reference)):
        np.testing.assert_array_equal(one, other)
    vertices, triangles = meshes.without_unused(SQUARE, np.array([[4, 1, 0], [1, 4, 2]], np.int32))
    np.testing.assert_array_equal(vertices, SQUARE[[0, 1, 2, 4]])
    assert triangles.tolist() == [[3, 1, 0], [1, 3, 2]] and triangles.dtype == np.int32


def test_the_area_of_a_washer_is_that_without_its_hole():
    areas = []
    for name in ('washer_ngon.obj', 'washer_ref.obj'):
        vertices, triangles = meshes.read_triangles(os.path.join(FIELD, name))
        sides = vertices[triangles[:, 1:]] - vertices[triangles[:, :1]]
        areas.append(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2)
    np.testing.assert_allclose(areas, 2 * (16 - 4) + 4 * (4 + 2))


def test_a_number_of_a_million_digits_is_refused_at_once(tmp_path):
    start = time.time()
    text = OBJ_VERTICES + 'f 1 2 ' + '9' * 1000000
    assert 'line 6: expected "f a b c' in refusal(save(tmp_path, 'a.obj', text))
    assert time.time() - start < 3


def test_a_pipe_is_no_mesh_file(tmp_path):
    os.mkfifo(str(tmp_path / 'a.obj'))
    assert 'is no regular file' in refusal(str(tmp_path / 'a.obj'))


def test_a_concave_polygon_is_written_to_glb_as_it_is(tmp_path):
    mesh = meshes.read(os.path.join(FIELD, 'washer_ngon.obj'))
    meshes.write(str(tmp_path / 'a.glb'), *mesh)
    vertices, triangles = meshes.read_triangles(str(tmp_path / 'a.glb'))
    assert trimesh.Trimesh(vertices, triangles, process=False).is_watertight
    sides = vertices[triangles[:, 1:]] - vertices[triangles[:, :1]]
    assert np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1).sum() / 2 == 48


def test_writing_refuses_other_extensions_and_wrong_meshes(tmp_path):
    with pytest.raises(errors.InputError, match='Known are .obj .ply .glb .stl'):
        meshes.write(str(tmp_path / 'a.dae'), SQUARE, PYRAMID)
    with pytest.raises(ValueError, match='out of range for 5'):
        meshes.write(str(tmp_path / 'a.obj'), SQUARE, [(0, 1, 5)])
    with pytest.raises(ValueError, match='finite'):
        meshes.write(str(tmp_path / 'a.obj'), SQUARE * np.nan, PYRAMID)
    assert os.listdir(str(tmp_path)) == []


def test_triangulate_makes_fans_in_the_order_of_the_faces():
    triangles = meshes.triangulate([(5, 6, 7, 8), (1, 2), (3, 2, 1), (0, 1, 2, 3, 4)])
    assert triangles.tolist() == [
        [5, 6, 7], [5, 7, 8], [3, 2, 1], [0, 1, 2], [0, 2, 3], [0, 3, 4]]
    assert triangles.dtype == np.int32
    assert meshes.triangulate([]).shape == (0, 3)


@pytest.mark.parametrize('extension', ['.obj', '.ply'])
def test_sixty_thousand_faces_are_read_in_seconds(tmp_path, extension):
    path = str(tmp_path / ('a' + extension))
    grid = np.stack(np.meshgrid(np.arange(250), np.arange(250)), -1).reshape(-1, 2)
    corner = np.arange(62500).reshape(250, 250)[:-1, :-1].ravel()
    faces = np.stack([corner, corner + 1, corner + 251, corner + 250], 1).tolist()
    meshes.write(path, np.concatenate([grid, grid[:, :1]], 1), faces[:-1] + [faces[-1][:3]])
    start = time.time()
    assert len(meshes.read(path).faces) == 249 ** 2
    assert time.time() - start < 10


@pytest.mark.parametrize('ending', ['.obj', '.ply', '.glb'])
def test_normals_are_written_and_the_mesh_reads_back(tmp_path, ending):
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    normals = np.array([[0, 0.6, 0.8], [0, 0, 1], [1, 0, 0]], np.float32)
    path = str(tmp_path / ('mesh' + ending))
    meshes.write(path, vertices, np.array([[0, 1, 2]]), normals)
    again = trimesh.load(path, process=False)
    if ending == '.glb':
        again = list(again.geometry.values())[0]
    np.testing.assert_allclose(again.vertex_normals, normals, atol=1e-6)
    np.testing.assert_array_equal(meshes.read(path).vertices, vertices)
    with pytest.raises(ValueError, match='normals'):
        meshes.write(path, vertices, [[0, 1, 2]], normals[:2])


def test_a_written_stl_is_read_by_another_library(tmp_path):
    vertices = np.array([[0, 0, 0], [2, 0, 0], [2, 3, 0], [0, 3, 0], [0, 0, 4.]])
    faces = [[0, 3, 2, 1], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]   # a pyramid, outwards
    path = str(tmp_path / 'pyramid.stl')
    meshes.write(path, vertices, faces)
    assert os.path.getsize(path) == 84 + 6 * 50
    read = trimesh.load(path)
    assert read.is_watertight and read.volume == pytest.approx(8.)
    np.testing.assert_allclose(np.sort(read.bounds, axis=0), [[0, 0, 0], [2, 3, 4]])
    with open(path, 'rb') as stream:    # the first triangle's normal: downwards
        np.testing.assert_allclose(np.frombuffer(stream.read()[84:96], '<f4'), [0, 0, -1])

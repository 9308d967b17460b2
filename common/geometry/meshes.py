"""Mesh files in and out: faces stay polygons of any size.

Read: .obj, .off, .ply (ascii and binary), .stl (ascii and binary), .glb. Written: .obj, .ply, .glb.
A reader takes nothing but geometry from the one file that it is given: materials, textures and
other files that are named in it are never opened. V: vertices of a mesh, F: faces, T: triangles.
Axes and units are those of the file (usually y-up for .obj and .glb).
"""
import collections
import io
import os
import re
import struct

import numpy as np

from common import errors, files
from common.geometry import polygons

Mesh = collections.namedtuple('Mesh', ['vertices', 'faces'])
Mesh.__doc__ = 'Vertices float32 [V, 3] and a list of F tuples of 0-based vertex numbers.'

READABLE = ('.obj', '.off', '.ply', '.stl', '.glb')
WRITABLE = ('.obj', '.ply', '.glb')
_PLY_TYPES = {
    'char': 'i1', 'uchar': 'u1', 'short': 'i2', 'ushort': 'u2', 'int': 'i4', 'uint': 'u4',
    'float': 'f4', 'double': 'f8', 'int8': 'i1', 'uint8': 'u1', 'int16': 'i2', 'uint16': 'u2',
    'int32': 'i4', 'uint32': 'u4', 'float32': 'f4', 'float64': 'f8'}
_STL_TRIANGLE = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attribute', '<u2')])


def read(path):
    """Reads a mesh file; the extension (in any case) tells the format.

    Args:
      path: str, a .obj, .off, .ply, .stl or .glb file.
    Returns:
      Mesh with finite vertices, faces of three vertices or more and indices in range. Vertices that
      no face uses are kept. The corners of an .stl that coincide are one vertex.
    Raises:
      errors.InputError: the file is missing, empty, cut short or not what its extension says; a
        number cannot be read, a coordinate is not finite, an index is out of range, or there are
        no faces.
    """
    extension = os.path.splitext(path)[1].lower()
    parsers = {'.obj': parse_obj, '.off': _parse_off, '.ply': _parse_ply, '.stl': _parse_stl,
               '.glb': _parse_glb}
    if extension not in parsers:
        raise errors.InputError('{}: cannot read a mesh from a "{}" file. Known are {}.'.format(
            path, extension, ' '.join(READABLE)))
    try:
        with open(path, 'rb') as stream:
            data = stream.read()
    except OSError as error:
        raise errors.InputError('cannot read {}: {}.'.format(path, error.strerror)) from None
    if not data.strip():
        raise errors.InputError('{} is empty.'.format(path))
    return parsers[extension](data, path)


def write(path, vertices, faces, normals=None):
    """Writes a mesh in one exchange; the extension tells the format.

    Args:
      path: str, a .obj, .ply (binary) or .glb file; .glb holds triangles, the others polygons.
      vertices: float array [V, 3].
      faces: list of F sequences of 0-based vertex numbers, or int array [F, corners].
      normals: float array [V, 3] of the vertices, or None.
    Raises:
      errors.InputError: another extension, or the file cannot be written.
      ValueError: the vertices are not [V, 3] and finite, or a face index is out of range.
    """
    encoders = {'.obj': _encode_obj, '.ply': _encode_ply, '.glb': _encode_glb}
    extension = os.path.splitext(path)[1].lower()
    if extension not in encoders:
        raise errors.InputError('{}: cannot write a mesh to a "{}" file. Known are {}.'.format(
            path, extension, ' '.join(WRITABLE)))
    vertices = np.asarray(vertices, np.float32)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise ValueError('vertices must be finite [V, 3], got shape {}.'.format(vertices.shape))
    if normals is not None:
        normals = np.asarray(normals, np.float32)
        if normals.shape != vertices.shape or not np.isfinite(normals).all():
            raise ValueError('normals must be finite {}, got shape {}.'.format(
                list(vertices.shape), normals.shape))
    faces = faces.tolist() if isinstance(faces, np.ndarray) else [
        [int(index) for index in face] for face in faces]
    for face in faces:
        if face and not 0 <= min(face) <= max(face) < len(vertices):
            raise ValueError('face {} is out of range for {} vertices.'.format(face, len(vertices)))
    data = encoders[extension](vertices, faces, normals)
    with files.replacing(path) as temporary:
        with open(temporary, 'wb') as stream:
            stream.write(data)


def triangulate(faces, vertices=None):
    """Cuts polygons into triangles: fans around their first vertex, ears where those are wrong.

    Args:
      faces: list of F sequences of vertex numbers; those of fewer than three give no triangle.
      vertices: float [V, 3]; None takes all polygons for convex.
    Returns:
      int32 [T, 3], face after face, in the direction of the faces.
    Raises:
      errors.InputError: a concave polygon has too many corners to be cut in a few seconds.
    """
    sizes = np.array([len(face) for face in faces], np.int64)
    flat = np.array([index for face in faces for index in face], np.int64)
    counts = np.maximum(sizes - 2, 0)
    owners = np.repeat(np.arange(len(sizes)), counts)
    starts, firsts = np.cumsum(sizes) - sizes, np.cumsum(counts) - counts
    within = np.arange(len(owners)) - firsts[owners]
    corners = starts[owners][:, None] + np.stack([0 * within, within + 1, within + 2], axis=1)
    triangles = flat[corners].astype(np.int32)
    polygons_only = counts[owners] > 1
    if vertices is not None and polygons_only.any():
        for face in polygons.misfit_fans(vertices, triangles[polygons_only], owners[polygons_only]):
            outline = flat[starts[face]:starts[face] + sizes[face]]
            triangles[firsts[face]:firsts[face] + counts[face]] = outline[
                polygons.clip_ears(np.asarray(vertices)[outline])]
    return triangles


def _build(path, vertices, flat, sizes, vertex_place, face_place, first=0):
    """Checks what a reader found and makes a Mesh of it.

    Args:
      path: str, for messages.
      vertices: V rows of three numbers.
      flat, sizes: the 0-based vertex numbers of all faces, and the size of each face.
      vertex_place, face_place: functions from a 0-based number to words such as 'line 7'.
      first: number of the first vertex in the file's own counting, for messages.
    Raises:
      errors.InputError: nothing there, a coordinate not finite, an index out of range, a face
        of fewer than three vertices.
    """
    if not len(vertices):
        raise errors.InputError('{} has no vertices.'.format(path))
    if not len(sizes):
        raise errors.InputError('{} has no faces.'.format(path))
    vertices = np.asarray(vertices, np.float64).reshape(-1, 3).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(bad):
        raise errors.InputError('{}, {}: a coordinate is not a finite number: {}.'.format(
            path, vertex_place(bad[0]), ' '.join(str(value) for value in vertices[bad[0]])))
    sizes = np.asarray(sizes, np.int64)
    try:
        flat = np.asarray(flat, np.int64)
    except OverflowError:
        flat = np.array([min(max(index, -1), 2 ** 62) for index in flat], np.int64)
    small = np.flatnonzero(sizes < 3)
    if len(small):
        raise errors.InputError('{}, {}: a face needs three vertices or more, found {}.'.format(
            path, face_place(small[0]), sizes[small[0]]))
    bad = np.flatnonzero((flat < 0) | (flat >= len(vertices)))
    if len(bad):
        face = np.searchsorted(np.cumsum(sizes), bad[0], side='right')
        raise errors.InputError(
            '{}, {}: a face names vertex {}, which is out of range: there are {} vertices, '
            'numbered {} to {}.'.format(path, face_place(face), flat[bad[0]] + first,
                                        len(vertices), first, len(vertices) - 1 + first))
    return Mesh(vertices, _split(flat, sizes))


def _split(flat, sizes):
    """Cuts a flat array of vertex numbers into tuples, one for each face."""
    if (sizes == sizes[0]).all():
        return list(map(tuple, flat.reshape(-1, sizes[0]).tolist()))
    flat, ends = flat.tolist(), np.cumsum(sizes).tolist()
    return [tuple(flat[start:end]) for start, end in zip([0] + ends, ends)]


def _unreadable(path, number, expected, line):
    text = line[:60].decode('utf-8', 'replace').strip()
    return errors.InputError('{}, line {}: expected {}, found "{}".'.format(
        path, number, expected, text))


def _at_line(numbers):
    return lambda index: 'line {}'.format(numbers[index])


def _numbered(name):
    return lambda index: '{} {}'.format(name, index + 1)


def parse_obj(data, path='<stream>'):
    """Reads Wavefront OBJ text.

    Takes quads and larger polygons, `a/b/c`, `a//c`, negative numbers (counted back from the last
    vertex read so far), CRLF, comments, continued lines, and `v` lines with a weight or a colour,
    which are ignored like every other kind of line.

    Args:
      data: bytes, the whole file.
      path: str, for messages.
    Returns:
      Mesh.
    Raises:
      errors.InputError: as `read`.
    """
    vertices, vertex_lines, flat, sizes, face_lines = [], [], [], [], []
    for number, line in _logical_lines(data):
        tokens = line.split()
        if not tokens or tokens[0] not in (b'v', b'f'):
            continue
        if b'#' in line:
            tokens = line.partition(b'#')[0].split()
        try:
            if b'_' in line:  # Python reads 1_0 as 10
                raise ValueError
            if tokens[0] == b'v':
                vertices.append((float(tokens[1]), float(tokens[2]), float(tokens[3])))
                vertex_lines.append(number)
            else:
                flat.extend(_obj_face(tokens, len(vertices)))
                sizes.append(len(tokens) - 1)
                face_lines.append(number)
        except (ValueError, IndexError):
            expected = '"v x y z" with three numbers' if tokens[0] == b'v' else (
                '"f a b c ..." with vertex numbers from 1 (or from -1 back)')
            raise _unreadable(path, number, expected, line) from None
    return _build(path, vertices, flat, sizes, _at_line(vertex_lines), _at_line(face_lines),
                  first=1)


def _logical_lines(data):
    """Yields (number, line) of a text, a line that ends in a backslash joined with the next."""
    start, held = 0, b''
    for number, line in enumerate(data.replace(b'\xef\xbb\xbf', b'', 1).splitlines(), 1):
        if held:
            line = held + b' ' + line
        else:
            start = number
        if line.endswith(b'\\') and not line.lstrip().startswith(b'#'):
            held = line[:-1]
            continue
        held = b''
        yield start, line
    if held:
        yield start, held


def _obj_face(tokens, num_vertices):
    """0-based vertex numbers of an `f` line; ValueError for no number, 0, or one too far back."""
    face = []
    for token in tokens[1:]:
        index = int(token.partition(b'/')[0])
        if index <= 0:
            index += num_vertices + 1
            if not 0 < index <= num_vertices:
                raise ValueError
        face.append(index - 1)
    return face


def _content_lines(data):
    """(number, line) of the lines that hold more than a comment after '#'."""
    lines = []
    for number, line in enumerate(data.splitlines(), 1):
        line = line.partition(b'#')[0].strip()
        if line:
            lines.append((number, line))
    return lines


def _parse_off(data, path):
    """Object File Format; also with the counts on the first line (`OFF8 6 0`, as in ModelNet)."""
    lines = _content_lines(data)
    head = re.match(br'(ST)?C?N?OFF\b|(ST)?C?N?OFF(?=\d)', lines[0][1] if lines else b'')
    if not head:
        raise errors.InputError('{} is no OFF file: it does not start with "OFF".'.format(path))
    rest = lines[0][1][head.end():].strip()
    lines = ([(lines[0][0], rest)] if rest else []) + lines[1:]
    if not lines:
        raise errors.InputError('{} ends before its counts of vertices and faces.'.format(path))
    number, line = lines[0]
    try:
        num_vertices, num_faces = [int(token) for token in line.split()[:2]]
    except ValueError:
        raise _unreadable(path, number, 'the counts of vertices and faces', line) from None
    if num_vertices < 0 or num_faces < 0 or len(lines) < 1 + num_vertices + num_faces:
        raise errors.InputError(
            '{} promises {} vertices and {} faces but has only {} more lines: it is cut '
            'short.'.format(path, num_vertices, num_faces, len(lines) - 1))
    body, tail = lines[1:1 + num_vertices], lines[1 + num_vertices:1 + num_vertices + num_faces]
    vertices = [_floats(line.split(), (0, 1, 2), path, number) for number, line in body]
    flat, sizes = [], []
    for number, line in tail:
        face = _counted(line.split(), int, path, number)[0]
        flat.extend(face)
        sizes.append(len(face))
    return _build(path, vertices, flat, sizes, _at_line([number for number, _ in body]),
                  _at_line([number for number, _ in tail]))


def _floats(tokens, places, path, number):
    try:
        return [float(tokens[place]) for place in places]
    except (ValueError, IndexError):
        raise _unreadable(path, number, 'numbers', b' '.join(tokens)) from None


def _counted(tokens, convert, path, number):
    """The list of a line `n i1 ... in rest`, and the rest."""
    try:
        size = int(tokens[0])
        values = [convert(token) for token in tokens[1:1 + size]]
        if size < 0 or len(values) != size:
            raise ValueError
    except (ValueError, IndexError):
        raise _unreadable(path, number, 'a count and as many numbers', b' '.join(tokens)) from None
    return values, tokens[1 + size:]


_Element = collections.namedtuple('_Element', ['name', 'count', 'properties'])
_Property = collections.namedtuple('_Property', ['name', 'kind', 'count_kind'])  # None: no list


def _ply_header(data, path):
    """Returns (format word, list of _Element, offset of the body, lines of the header)."""
    end = data.find(b'end_header')
    if not data.startswith(b'ply') or end < 0:
        raise errors.InputError(
            '{} is no PLY file: it has no header from "ply" to "end_header".'.format(path))
    form, elements = None, []
    lines = data[:end].splitlines()
    for number, line in enumerate(lines, 1):
        words = line.decode('utf-8', 'replace').split()
        try:
            if words[:1] == ['format']:
                form = words[1]
            elif words[:1] == ['element']:
                elements.append(_Element(words[1], int(words[2]), []))
                if elements[-1].count < 0:
                    raise ValueError
            elif words[:2] == ['property', 'list']:
                elements[-1].properties.append(
                    _Property(words[4], _PLY_TYPES[words[3]], _PLY_TYPES[words[2]]))
            elif words[:1] == ['property']:
                elements[-1].properties.append(_Property(words[2], _PLY_TYPES[words[1]], None))
        except (IndexError, KeyError, ValueError):
            raise _unreadable(path, number, 'a line of a PLY header', line) from None
    if form not in ('ascii', 'binary_little_endian', 'binary_big_endian'):
        raise errors.InputError('{}: unknown PLY format "{}".'.format(path, form))
    offset = end + len(b'end_header')
    offset += 2 if data[offset:offset + 2] == b'\r\n' else 1
    return form, elements, offset, len(lines) + 1


def _parse_ply(data, path):
    form, elements, offset, header_lines = _ply_header(data, path)
    found = {element.name: element for element in elements}
    if len(found) < len(elements):
        raise errors.InputError('{}: the PLY header has an element twice.'.format(path))
    if 'vertex' not in found or 'face' not in found:
        raise errors.InputError('{} has no {} element (found: {}).'.format(
            path, 'face' if 'vertex' in found else 'vertex', ', '.join(sorted(found)) or 'none'))
    corners = [p.name for p in found['face'].properties
               if p.count_kind and p.name in ('vertex_indices', 'vertex_index')]
    names = [p.name for p in found['vertex'].properties]
    lists = any(p.count_kind for p in found['vertex'].properties)
    if not corners or lists or not {'x', 'y', 'z'} <= set(names):
        raise errors.InputError('{} lacks plain x, y, z of its vertices or the list vertex_indices '
                                'of its faces.'.format(path))
    if form == 'ascii':
        tables = _ply_ascii(data[offset:], elements, header_lines, path)
    else:
        order = '<' if form == 'binary_little_endian' else '>'
        tables = _ply_binary(data, offset, elements, order, path)
    vertices = np.stack([np.asarray(tables['vertex'][axis], np.float64) for axis in 'xyz'], axis=1)
    flat, sizes = tables['face'][corners[0]]
    return _build(path, vertices, flat, sizes, _numbered('vertex'), _numbered('face'))


def _ply_ascii(body, elements, header_lines, path):
    """Returns {element: {property: column, or (flat, sizes) for a list}} of a text body."""
    lines = [(number, line.split())
             for number, line in enumerate(body.splitlines(), header_lines + 1) if line.strip()]
    tables, position = {}, 0
    for element in elements:
        rows = lines[position:position + element.count]
        if len(rows) < element.count:
            raise errors.InputError('{} promises {} of element "{}" but ends after {}: it is cut '
                                    'short.'.format(path, element.count, element.name, len(rows)))
        position += element.count
        if element.name not in ('vertex', 'face'):
            continue
        table = {p.name: ([], []) if p.count_kind else [] for p in element.properties}
        for number, tokens in rows:
            for prop in element.properties:
                if prop.count_kind:
                    convert = float if prop.kind[0] == 'f' else int
                    values, tokens = _counted(tokens, convert, path, number)
                    table[prop.name][0].extend(values)
                    table[prop.name][1].append(len(values))
                else:
                    table[prop.name].extend(_floats(tokens, (0,), path, number))
                    tokens = tokens[1:]
        tables[element.name] = table
    return tables


def _ply_binary(data, offset, elements, order, path):
    """As `_ply_ascii`, for a binary body in the byte order '<' or '>'."""
    tables = {}
    for element in elements:
        if not element.properties:
            continue
        try:
            if any(p.count_kind for p in element.properties):
                tables[element.name], offset = _ply_lists(data, offset, element, order)
            else:
                row = np.dtype([(p.name, order + p.kind) for p in element.properties])
                rows = np.frombuffer(data, row, element.count, offset)
                tables[element.name] = {p.name: rows[p.name] for p in element.properties}
                offset += rows.nbytes
        except (ValueError, struct.error):
            raise errors.InputError(
                '{} ends within the {} of element "{}" that it promises: it is cut short or '
                'damaged.'.format(path, element.count, element.name)) from None
    return tables


def _ply_lists(data, offset, element, order):
    """Reads rows that hold lists: all at once where they are of one size, else one by one."""
    lists = [p for p in element.properties if p.count_kind]
    if len(lists) == 1 and element.count:
        before = element.properties[:element.properties.index(lists[0])]
        place = offset + sum(np.dtype(p.kind).itemsize for p in before)
        size = int(np.frombuffer(data, order + lists[0].count_kind, 1, place)[0])
        row = np.dtype([field for p in element.properties for field in (
            [('list size', order + p.count_kind), (p.name, order + p.kind, (max(size, 0),))]
            if p.count_kind else [(p.name, order + p.kind)])])
        if offset + element.count * row.itemsize <= len(data):
            rows = np.frombuffer(data, row, element.count, offset)
            if (rows['list size'] == size).all():
                flat = rows[lists[0].name].ravel()
                return {lists[0].name: (flat, rows['list size'])}, offset + rows.nbytes
    letters = dict(zip(('i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'f4', 'f8'), 'bBhHiIfd'))
    table = {p.name: ([], []) for p in lists}
    for _ in range(element.count):
        for prop in element.properties:
            size = 1
            if prop.count_kind:
                size, = struct.unpack_from(order + letters[prop.count_kind], data, offset)
                offset += np.dtype(prop.count_kind).itemsize
                values = struct.unpack_from('{}{}{}'.format(order, size, letters[prop.kind]), data,
                                            offset)
                table[prop.name][0].extend(values)
                table[prop.name][1].append(size)
            offset += size * np.dtype(prop.kind).itemsize
    return table, offset


def _parse_stl(data, path):
    # Some binary files start with "solid" too; those hold zeros among their first bytes.
    if data[:5].lower() == b'solid' and b'\0' not in data[:1000]:
        corners = _stl_ascii(data, path)
    else:
        count = struct.unpack_from('<I', data, 80)[0] if len(data) >= 84 else 0
        if len(data) < 84 or len(data) < 84 + count * _STL_TRIANGLE.itemsize:
            raise errors.InputError(
                '{} is no STL file, or cut short: {} bytes are too few for the {} triangles that '
                'it promises.'.format(path, len(data), count))
        corners = np.frombuffer(data, _STL_TRIANGLE, count, 84)['corners'].reshape(-1, 3)
    corners = np.asarray(corners, np.float64).astype(np.float32).reshape(-1, 3) + np.float32(0)
    flat = np.arange(len(corners))
    if len(corners) and np.isfinite(corners).all():
        rows, first, inverse = np.unique(corners, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # vertices in the order in which the file names them first
        corners, flat = rows[order], np.argsort(order)[inverse]
    return _build(path, corners, flat, np.full(len(flat) // 3, 3), _numbered('corner'),
                  _numbered('triangle'))


def _stl_ascii(data, path):
    """Corners of the triangles of an STL text, three rows for each."""
    corners, ended = [], False
    for number, line in enumerate(data.splitlines(), 1):
        words = line.lower().split()
        if words[:1] == [b'vertex']:
            corners.append(_floats(words, (1, 2, 3), path, number))
        elif words[:1] == [b'endfacet'] and len(corners) % 3:
            raise _unreadable(path, number, 'three vertices in a facet', line)
        ended = words[:1] == [b'endsolid'] or (ended and not words)
    if not ended or len(corners) % 3:
        raise errors.InputError('{} does not end with "endsolid" after a whole facet: it is cut '
                                'short.'.format(path))
    return corners


def _parse_glb(data, path):
    """Binary glTF, by trimesh; all meshes of the scene in one, each at its place."""
    if data[:4] != b'glTF' or len(data) < 20 or struct.unpack_from('<I', data, 8)[0] > len(data):
        raise errors.InputError('{} is no .glb file, or cut short.'.format(path))
    import trimesh  # takes half a second

    try:  # a stream without a resolver: files that the .glb names cannot be opened
        scene = trimesh.load(io.BytesIO(data), file_type='glb', process=False, skip_materials=True)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    except Exception as error:  # whatever a foreign file makes of a foreign parser
        raise errors.InputError('{} cannot be read as .glb: {}: {}.'.format(
            path, type(error).__name__, error)) from error
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([np.zeros([0, 3])] + [part.vertices for part in parts])
    faces = np.concatenate([np.zeros([0, 3], np.int64)] + [
        part.faces + offset for part, offset in zip(parts, offsets)])
    return _build(path, vertices, faces.ravel(), np.full(len(faces), 3), _numbered('vertex'),
                  _numbered('triangle'))


def _encode_obj(vertices, faces, normals):
    lines = ['v {!r} {!r} {!r}'.format(*row) for row in vertices.astype(np.float64).tolist()]
    corner = '{}'
    if normals is not None:
        lines += ['vn {:.6g} {:.6g} {:.6g}'.format(*row) for row in normals.tolist()]
        corner = '{0}//{0}'
    lines += ['f ' + ' '.join(corner.format(index + 1) for index in face) for face in faces]
    return ('\n'.join(lines) + '\n').encode('ascii')


def _encode_ply(vertices, faces, normals):
    wide = any(len(face) > 255 for face in faces)
    names = 'xyz' if normals is None else ['x', 'y', 'z', 'nx', 'ny', 'nz']
    header = ('ply\nformat binary_little_endian 1.0\nelement vertex {}\n{}element face {}\n'
              'property list {} int vertex_indices\nend_header\n').format(
                  len(vertices), ''.join('property float {}\n'.format(name) for name in names),
                  len(faces), 'int' if wide else 'uchar')
    rows = [struct.pack('<{}{}i'.format('i' if wide else 'B', len(face)), len(face), *face)
            for face in faces]
    table = vertices if normals is None else np.concatenate([vertices, normals], axis=1)
    return header.encode('ascii') + table.astype('<f4').tobytes() + b''.join(rows)


def _encode_glb(vertices, faces, normals):
    import trimesh

    mesh = trimesh.Trimesh(vertices, triangulate(faces, vertices), vertex_normals=normals,
                           process=False)
    return mesh.export(file_type='glb', include_normals=normals is not None)

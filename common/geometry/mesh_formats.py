"""Parsers of mesh files: bytes to vertices and polygons, checked; every refusal is one line.

Our own: trimesh 4.2 reads half of tests/field_cases/meshes wrongly or not at all. Only geometry is
taken; no other file is opened but the buffers of a glTF that lie beside it (gltf.py).
V: vertices, F: faces.
"""
import codecs
import collections
import itertools
import re
import struct
from typing import Callable, Dict, Optional, Tuple

import numpy as np

from common import errors
from common.geometry import gltf

Mesh = collections.namedtuple('Mesh', ['vertices', 'faces'])
Mesh.__doc__ = 'Vertices float32 [V, 3] and a list of F tuples of 0-based vertex numbers.'

_PLY_TYPES = {
    'char': 'i1', 'uchar': 'u1', 'short': 'i2', 'ushort': 'u2', 'int': 'i4', 'uint': 'u4',
    'float': 'f4', 'double': 'f8', 'int8': 'i1', 'uint8': 'u1', 'int16': 'i2', 'uint16': 'u2',
    'int32': 'i4', 'uint32': 'u4', 'int64': 'i8', 'uint64': 'u8', 'float32': 'f4',
    'float64': 'f8'}
_LETTERS = dict(zip(('i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'f4', 'f8'), 'bBhHiIqQfd'))
_OFF_WIDTHS = {'ST': 2, 'C': 4, 'N': 3, '4': 1}      # numbers of a vertex behind x, y, z
_STL_TEXT = re.compile(rb'^[ \t]*(solid|facet)\b', re.IGNORECASE | re.MULTILINE)
_STL_LENGTHS = {b'vertex': 4, b'facet': 5, b'outer': 2, b'endloop': 1, b'endfacet': 1}
_STL_KEYWORDS = frozenset(_STL_LENGTHS)     # and solid, endsolid, end solid
_STL_TRIANGLE = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('attribute', '<u2')])


def _build(path, vertices, flat, sizes, vertex_place, face_place, first=0, need_faces=True):
    """Returns the Mesh of what a reader found, checked.

    Args:
      path: str, for messages.
      vertices: V rows of three numbers.
      flat, sizes: the 0-based vertex numbers of all faces, and the size of each face.
      vertex_place, face_place: functions from a 0-based number to words such as 'line 7'.
      first: number of the first vertex in the file's own counting, for messages.
      need_faces: bool, a file without faces is refused.
    Raises:
      errors.InputError: nothing there, a coordinate not finite, an index out of range, a face
        of fewer than three vertices.
    """
    if not len(vertices):
        raise errors.InputError('{} has no vertices.'.format(path))
    if need_faces and not len(sizes):
        raise errors.InputError('{} has no faces.'.format(path))
    with np.errstate(over='ignore'):    # float64 beyond float32: told below
        vertices = np.asarray(vertices, np.float64).reshape(-1, 3).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(bad):
        raise errors.InputError('{}, {}: a coordinate is not a finite number: {}.'.format(
            path, vertex_place(bad[0]), ' '.join(str(value) for value in vertices[bad[0]])))
    sizes, flat = np.asarray(sizes, np.int64), np.asarray(flat)
    if flat.dtype.kind == 'f':
        flat = np.where(flat == np.floor(flat), flat, -1)
    elif flat.dtype.kind == 'O':    # beyond 64 bits
        flat = np.array([min(max(index, -1), 2 ** 62) for index in flat])
    flat = flat.astype(np.int64)
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
    if len(sizes) and (sizes == sizes[0]).all():
        return list(map(tuple, flat.reshape(-1, sizes[0]).tolist()))
    flat, ends = flat.tolist(), np.cumsum(sizes).tolist()
    return [tuple(flat[start:end]) for start, end in zip([0] + ends, ends)]


def _unreadable(path, number, expected, line):
    return errors.InputError('{}, line {}: expected {}, found "{}".'.format(
        path, number, expected, _quoted(line)))


def _quoted(line):
    """What a message shows of bytes from a file: 60 at most, control characters escaped."""
    text = line[:60].decode('utf-8', 'replace').strip()
    return ''.join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _text(data):
    """Bytes of a text file without byte order marks; UTF-16 and UTF-32 become UTF-8."""
    encoding = 'utf-32' if data[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE) else {
        codecs.BOM_UTF16_LE: 'utf-16', codecs.BOM_UTF16_BE: 'utf-16'}.get(data[:2]) or (
        'utf-16-le' if data[1:2] == b'\0' else 'utf-16-be' if data[:1] == b'\0' else None)
    if encoding:
        data = data.decode(encoding, 'replace').encode('utf-8', 'replace')
    return data.replace(b'\xef\xbb\xbf', b'')  # also between files that were joined


def _whole(token):
    """The whole number that a token of bytes spells; ValueError where Python alone sees one."""
    if b'_' in token or len(token) > 100:   # int() takes minutes for a million digits
        raise ValueError
    return int(token)


def _at_line(numbers):
    return lambda index: 'line {}'.format(numbers[index])


def _numbered(name):
    return lambda index: '{} {}'.format(name, index + 1)


def parse_obj(data: bytes, path: str = '<stream>', need_faces: bool = True) -> Mesh:
    """Reads Wavefront OBJ text.

    Takes quads and larger polygons, `a/b/c`, `a//c`, negative numbers (counted back from the last
    vertex read so far), CRLF, UTF-16, comments, continued lines, and `v` lines with a weight or a
    colour, which are ignored like every other kind of line.

    Args:
      data: bytes, the whole file.
      path: str, for messages.
      need_faces: bool, vertices alone are refused.
    Returns:
      Mesh.
    Raises:
      errors.InputError: as `meshes.read`.
    """
    vertices, vertex_lines, flat, sizes, face_lines = [], [], [], [], []
    for number, line in _logical_lines(_text(data)):
        tokens = line.split()
        keyword = tokens[0].lower() if tokens else b''
        if keyword not in (b'v', b'f', b'fo', b'call'):
            continue
        try:
            if b'_' in line:  # Python reads 1_0 as 10
                raise ValueError
            if keyword == b'v':
                vertices.append((float(tokens[1]), float(tokens[2]), float(tokens[3])))
                vertex_lines.append(number)
            elif keyword == b'call':
                raise errors.InputError('{}, line {}: "call" takes in another file, which is not '
                                        'done. Put all into one file.'.format(path, number))
            else:
                flat.extend(_obj_face(tokens, len(vertices)))
                sizes.append(len(tokens) - 1)
                face_lines.append(number)
        except (ValueError, IndexError):
            expected = '"v x y z" with three numbers' if keyword == b'v' else (
                '"f a b c ..." with vertex numbers from 1 (or from -1 back)')
            raise _unreadable(path, number, expected, line) from None
    return _build(path, vertices, flat, sizes, _at_line(vertex_lines), _at_line(face_lines),
                  1, need_faces)


def _logical_lines(data):
    """Yields (number, line without its comment) of a text.

    A line of vertices or faces that ends in a backslash is joined with the next. Others are not:
    names of materials and groups end in one, too, and would take a face with them.
    """
    start, parts = 0, []
    for number, line in enumerate(data.splitlines(), 1):
        if b'#' in line:
            line = line.partition(b'#')[0]
        if not parts:
            start = number
        if b'\\' in line and (parts or line.lstrip()[:1] in b'vVfF') and (
                line.rstrip().endswith(b'\\')):
            parts.append(line.rstrip()[:-1])
        elif parts:
            yield start, b' '.join(parts + [line])
            parts = []
        else:
            yield start, line
    if parts:
        yield start, b' '.join(parts)


def _obj_face(tokens, num_vertices):
    """0-based vertex numbers of an `f` line; ValueError for no number, 0, or one too far back."""
    face = []
    for token in tokens[1:]:
        index = _whole(token.partition(b'/')[0])
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


def parse_off(data: bytes, path: str) -> Mesh:
    """Reads Object File Format text (Geomview): a row a line, or free in its lines.

    Takes colours, normals, homogeneous coordinates, and ModelNet's headers (`OFF8 6 0`, or none).

    Raises:
      errors.InputError: as `meshes.read`; binary or other than three dimensions.
    """
    letters, lines = _off_head(_content_lines(_text(data)), path)
    try:
        counts = b' '.join(line for _, line in lines[:2]).split()
        num_vertices, num_faces = _whole(counts[0]), _whole(counts[1])
        if min(num_vertices, num_faces) < 0:
            raise ValueError
    except (IndexError, ValueError):
        raise _unreadable(path, lines[0][0], 'the counts of vertices and faces', lines[0][1]
                          ) from None
    rows = [(number, line.split()) for number, line in lines]
    body, tail = rows[1:1 + num_vertices], rows[1 + num_vertices:1 + num_vertices + num_faces]
    if not (len(rows[0][1]) > 1 and len(tail) == num_faces
            and all(len(tokens) > 2 for _, tokens in body)
            and all(tokens[0].isdigit() and len(tokens) > _whole(tokens[0]) for _, tokens in tail)):
        width = 3 + sum(_OFF_WIDTHS[letter] for letter in letters)
        widths = (width, width - 1) if 'C' in letters else (width,)    # some write no opacity
        free = _off_free(rows, num_vertices, num_faces, widths)
        if free is None and len(tail) < num_faces:
            raise errors.InputError(
                '{} promises {} vertices and {} faces but has only {} more lines: it is cut '
                'short.'.format(path, num_vertices, num_faces, len(lines) - 1))
        body, tail = free or (body, tail)
    vertices = np.array([_floats(tokens, 0, 4 if '4' in letters else 3, path, number)
                         for number, tokens in body])
    if '4' in letters:   # homogeneous
        with np.errstate(divide='ignore', invalid='ignore'):
            vertices = vertices[:, :3] / vertices[:, 3:]
    flat, sizes = [], []
    for number, tokens in tail:
        face = _counted(tokens, _whole, path, number)[0]
        flat.extend(face)
        sizes.append(len(face))
    return _build(path, vertices, flat, sizes, _at_line([number for number, _ in body]),
                  _at_line([number for number, _ in tail]))


def _off_head(lines, path):
    """Returns (set of 'ST', 'C', 'N', '4' that the header has, and the lines behind it)."""
    # Geomview's order is ST C N 4; MeshLab writes NCOFF.
    head = re.match(br'((?:ST|C|N|4)*)OFF(?![A-Z])', lines[0][1] if lines else b'', re.I)
    if head:
        rest = lines[0][1][head.end():].strip()
        lines = ([(lines[0][0], rest)] if rest else []) + lines[1:]
    elif not lines or not re.match(br'\d+(\s+\d+(\s|\Z)|\Z)', lines[0][1]):
        # (ModelNet's oldest files have no header.)
        raise errors.InputError('{} is no OFF file: it does not start with "OFF".'.format(path))
    letters = head.group(1).decode() if head else ''
    if not lines:
        raise errors.InputError('{} ends before its counts of vertices and faces.'.format(path))
    if letters.endswith('n') and head.group().endswith(b'OFF') or (    # nOFF: of n dimensions
            lines[0][1][:6].lower() == b'binary'):
        raise errors.InputError('{}: only OFF text in three dimensions is read. Save it as plain '
                                'OFF.'.format(path))
    return set(re.findall('ST|C|N|4', letters.upper())), lines


def _off_free(rows, num_vertices, num_faces, widths):
    """Splits numbers whose lines mean nothing: (rows of vertices, of faces), or None if none fit.

    A vertex may have any of `widths` numbers, the number of edges may be missing, and colours may
    follow a face to the end of its line.
    """
    tokens = [(number, token) for number, line in rows for token in line]
    for has_colors, width, num_counts in itertools.product((False, True), widths, (3, 2)):
        place = num_counts + num_vertices * width
        if place > len(tokens):
            continue
        body = [tokens[start:start + width] for start in range(num_counts, place, width)]
        tail = []
        while place < len(tokens) and len(tail) < num_faces and (
                tokens[place][1].isdigit() and 2 < int(tokens[place][1][:10]) < 10 ** 9):
            tail.append(tokens[place:place + 1 + _whole(tokens[place][1])])
            place += 1 + _whole(tokens[place][1])
            while has_colors and place < len(tokens) and tokens[place][0] == tail[-1][-1][0]:
                place += 1
        if place == len(tokens) and len(tail) == num_faces:
            return [[(row[0][0], [token for _, token in row]) for row in part]
                    for part in (body, tail)]
    return None


def _floats(tokens, start, stop, path, number):
    try:
        part = tokens[start:stop]
        values = list(map(float, part))
        if len(values) < stop - start or b'_' in b''.join(part):  # Python reads 1_0 as 10
            raise ValueError
        return values
    except ValueError:
        raise _unreadable(path, number, 'numbers', b' '.join(tokens)) from None


def _counted(tokens, convert, path, number):
    """The list of a line `n i1 ... in rest`, and the rest."""
    try:
        size = _whole(tokens[0])
        values = [convert(token) for token in tokens[1:1 + size]]
        if size < 0 or len(values) != size:
            raise ValueError
    except (ValueError, IndexError):
        raise _unreadable(path, number, 'a count and as many numbers', b' '.join(tokens)) from None
    return values, tokens[1 + size:]


_Element = collections.namedtuple('_Element', ['name', 'count', 'properties'])
_Property = collections.namedtuple('_Property', ['name', 'kind', 'count_kind'])  # None: no list


def _ply_header(data, path):
    """Returns (format word, list of _Element, offset of the body)."""
    begin = re.match(br'\s*ply[ \t]*(\r\n|\n|\r)', data, re.I)
    end = begin and re.search(br'[\r\n][ \t]*end_header\b[^\r\n]*', data)
    if not end:
        raise errors.InputError(
            '{} is no PLY file: it has no header from "ply" to "end_header".'.format(path))
    form, elements = None, []
    for number, line in enumerate(data[:end.start()].splitlines(), 1):
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
        raise errors.InputError('{}: unknown PLY format "{}".'.format(
            path, _quoted(str(form).encode())))
    # The end of the first line tells that of the last: a body may begin with the byte of "\n".
    offset = end.end() + (2 if data[end.end():end.end() + 2] == b'\r\n' and begin.group(1) != b'\r'
                          else 1)
    while data.startswith(b'comment ', offset):     # some write them behind the header
        offset += len(data[offset:].splitlines(True)[0])
    return form, elements, offset


def parse_ply(data: bytes, path: str) -> Mesh:
    """Reads a Stanford PLY file, ascii or binary in either byte order; other elements are skipped.

    Raises:
      errors.InputError: as `meshes.read`.
    """
    elements, tables = _ply_tables(data, path, ('vertex', 'face'))
    corners = [p.name for p in elements['face'].properties
               if p.count_kind and p.name in ('vertex_indices', 'vertex_index')]
    if not corners:
        raise errors.InputError('{} lacks the list vertex_indices of its faces.'.format(path))
    vertices = _ply_columns(elements, tables, 'xyz', path)
    flat, sizes = tables['face'][[p.name for p in elements['face'].properties].index(corners[0])]
    return _build(path, vertices, flat, sizes, _numbered('vertex'), _numbered('face'))


def ply_cloud(data: bytes, path: str) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Reads a PLY file of points with normals.

    Returns:
      (points float64 [N, 3], normals float64 [N, 3]), finite; None where the file has faces.
    Raises:
      errors.InputError: it is damaged, or has no normals or no points.
    """
    elements, tables = _ply_tables(data, path, ('vertex',))
    if 'face' in elements and elements['face'].count:
        return None
    if not {'nx', 'ny', 'nz'} <= {p.name for p in elements['vertex'].properties}:
        raise errors.InputError('{} has points without normals (nx, ny, nz).'.format(path))
    points, normals = [_ply_columns(elements, tables, axes, path)
                       for axes in ('xyz', ('nx', 'ny', 'nz'))]
    if not len(points) or not np.isfinite(points).all() or not np.isfinite(normals).all():
        raise errors.InputError('{} has no points, or one that is not finite.'.format(path))
    return points, normals


def ply_points(data: bytes, path: str) -> np.ndarray:
    """Reads the vertices of a PLY file, float32 [V, 3]; faces may be missing.

    Raises:
      errors.InputError: it is damaged, or has no vertices.
    """
    elements, tables = _ply_tables(data, path, ('vertex',))
    vertices = _ply_columns(elements, tables, 'xyz', path)
    place = _numbered('vertex')
    return _build(path, vertices, (), (), place, place, need_faces=False).vertices


def _ply_tables(data, path, needed):
    """Returns ({name: _Element}, {name: columns in the order of its properties})."""
    if data[:2] in (b'\xff\xfe', b'\xfe\xff', b'p\0', b'\0p'):
        data = _text(data)
    while data.startswith(b'\xef\xbb\xbf'):
        data = data[3:]
    form, elements, offset = _ply_header(data, path)
    by_name = {element.name: element for element in elements}
    if len(by_name) < len(elements):
        raise errors.InputError('{}: the PLY header has an element twice.'.format(path))
    for name in needed:
        if name not in by_name:
            raise errors.InputError('{} has no {} element (only: {}).'.format(
                path, name, errors.listed(sorted(by_name))))
    properties = by_name['vertex'].properties
    if any(p.count_kind for p in properties) or not set('xyz') <= {p.name for p in properties}:
        raise errors.InputError('{} lacks plain x, y, z of its vertices.'.format(path))
    if any(element.properties and element.count > len(data) for element in elements):
        raise errors.InputError('{} promises more elements than it has bytes: it is cut short or '
                                'damaged.'.format(path))
    if form == 'ascii':
        return by_name, _ply_ascii(data[offset:], elements, len(data[:offset].splitlines()), path)
    return by_name, _ply_binary(data, offset, elements,
                                '<' if form == 'binary_little_endian' else '>', path)


def _ply_columns(elements, tables, names, path):
    """Float64 [N, 3] of three properties of the vertices."""
    return np.stack([_ply_column(elements['vertex'], tables['vertex'], name, path)
                     for name in names], axis=1)


def _ply_column(element, columns, name, path):
    """The column of a property; one that is there twice must say the same twice."""
    first, *others = [np.asarray(column, np.float64)
                      for p, column in zip(element.properties, columns) if p.name == name]
    if not all(np.array_equal(first, other) for other in others):
        raise errors.InputError('{} has the property "{}" twice, with different values.'.format(
            path, name))
    return first


def _ply_ascii(body, elements, header_lines, path):
    """Returns {element: columns in the order of its properties} of a text body.

    A column is a list of numbers, or (flat, sizes) for a list property.
    """
    lines = [(number, line.split())
             for number, line in enumerate(body.splitlines(), header_lines + 1) if line.strip()]
    tables, position = {}, 0
    for element in elements:
        rows = lines[position:position + element.count]
        if len(rows) < element.count:
            raise errors.InputError('{} promises {} of element "{}" but ends after {}: it is cut '
                                    'short.'.format(path, element.count,
                                                    _quoted(element.name.encode()), len(rows)))
        position += element.count
        if element.name not in ('vertex', 'face'):
            continue
        columns = [([], []) if p.count_kind else [] for p in element.properties]
        for number, tokens in rows:
            for prop, column in zip(element.properties, columns):
                if prop.count_kind:
                    convert = float if prop.kind[0] == 'f' else _whole
                    values, tokens = _counted(tokens, convert, path, number)
                    column[0].extend(values)
                    column[1].append(len(values))
                else:
                    column.extend(_floats(tokens, 0, 1, path, number))
                    tokens = tokens[1:]
        tables[element.name] = columns
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
                row = np.dtype([(str(number), order + p.kind)
                                for number, p in enumerate(element.properties)])
                rows = np.frombuffer(data, row, element.count, offset)
                tables[element.name] = [rows[name] for name in row.names]
                offset += rows.nbytes
        except (ValueError, struct.error):
            raise errors.InputError(
                '{} ends within the {} of element "{}" that it promises: it is cut short or '
                'damaged.'.format(path, element.count, _quoted(element.name.encode()))) from None
    return tables


def _ply_lists(data, offset, element, order):
    """Reads rows that hold lists: all at once where they are of one size, else one by one."""
    lists = [number for number, p in enumerate(element.properties) if p.count_kind]
    if len(lists) == 1 and element.count:
        before = element.properties[:lists[0]]
        counts = order + element.properties[lists[0]].count_kind
        place = offset + sum(np.dtype(p.kind).itemsize for p in before)
        size = int(np.frombuffer(data, counts, 1, place)[0])
        row = np.dtype([field for number, p in enumerate(element.properties) for field in (
            [('size', counts), (str(number), order + p.kind, (max(size, 0),))]
            if p.count_kind else [(str(number), order + p.kind)])])
        if offset + element.count * row.itemsize <= len(data):
            rows = np.frombuffer(data, row, element.count, offset)
            if (rows['size'] == size).all():
                columns = [rows[str(number)] for number in range(len(element.properties))]
                columns[lists[0]] = columns[lists[0]].ravel(), rows['size']
                return columns, offset + rows.nbytes
    columns = [([], []) for _ in element.properties]    # those of plain properties stay empty
    for _ in range(element.count):
        for prop, column in zip(element.properties, columns):
            size = 1
            if prop.count_kind:
                size, = struct.unpack_from(order + _LETTERS[prop.count_kind], data, offset)
                offset += np.dtype(prop.count_kind).itemsize
                column[0].extend(struct.unpack_from(
                    '{}{}{}'.format(order, size, _LETTERS[prop.kind]), data, offset))
                column[1].append(size)
            offset += size * np.dtype(prop.kind).itemsize
    return columns, offset


def parse_stl(data: bytes, path: str) -> Mesh:
    """Reads an STL file, ascii or binary; corners that coincide become one vertex.

    Raises:
      errors.InputError: as `meshes.read`.
    """
    count = struct.unpack_from('<I', data, 80)[0] if len(data) >= 84 else 0
    size = 84 + count * _STL_TRIANGLE.itemsize
    # Binary files may start with "solid", too; a text would promise billions of triangles.
    head = _text(data[:10000])
    if (not count or len(data) < size) and b'\0' not in head and _STL_TEXT.search(head):
        corners = _stl_ascii(_text(data), path)
    else:
        count = _stl_count(data, count, path)
        if len(data) < 84 + count * _STL_TRIANGLE.itemsize:
            raise errors.InputError('{} is no STL file, or cut short: {}.'.format(
                path, '{} bytes are too few for the {} triangles that it promises'.format(
                    len(data), count) if b'\0' in head or len(data) < 84
                else 'it is a text without "solid" and "facet"'))
        corners = np.frombuffer(data, _STL_TRIANGLE, count, 84)['corners'].reshape(-1, 3)
    with np.errstate(over='ignore'):    # told by _build
        corners = np.asarray(corners, np.float64).astype(np.float32).reshape(-1, 3) + np.float32(0)
    flat = np.arange(len(corners))
    if len(corners) and np.isfinite(corners).all():
        rows, first, inverse = np.unique(corners, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)  # vertices in the order in which the file names them first
        corners, flat = rows[order], np.argsort(order)[inverse]
    return _build(path, corners, flat, np.full(len(flat) // 3, 3), _numbered('corner'),
                  _numbered('triangle'))


def _stl_count(data, count, path):
    """The number of triangles of a binary STL; one that was written as a stream says 0 or -1."""
    whole, rest = divmod(max(len(data) - 84, 0), _STL_TRIANGLE.itemsize)
    if count in (0, 2 ** 32 - 1) and not rest:
        return whole
    behind = data[84 + count * _STL_TRIANGLE.itemsize:]
    if not rest and whole > count and behind.strip(b'\0'):
        raise errors.InputError('{} promises {} triangles and holds {}: its count is wrong. Save '
                                'it again.'.format(path, count, whole))
    return count


def _stl_ascii(data, path):
    """Corners of the triangles of an STL text, three rows for each; `endsolid` may be missing."""
    corners, begun, whole = [], 0, True
    for number, words in _stl_statements(data):
        if words[0] == b'vertex':
            corners.append(_floats(words, 1, 4, path, number))
            whole = False
        elif words[0] == b'facet':
            whole = False
        elif words[0] == b'endfacet':
            if len(corners) != begun + 3:
                raise _unreadable(path, number, 'three vertices in a facet', b' '.join(words))
            begun, whole = len(corners), True
        elif words[0] == b'endsolid':
            whole = True
    if not whole or len(corners) % 3:
        raise errors.InputError('{} does not end with "endsolid" or a whole facet: it is cut '
                                'short.'.format(path))
    return corners


def _stl_statements(data):
    """Yields (line, words in lower case) of each statement; several may share a line.

    Comments are left out, and what else is no statement. The name behind `solid` may be of any
    words, so on its line statements begin at `facet normal`; numbers may go on in the next line.
    """
    open_one = None     # a vertex whose numbers are not all there yet
    for number, line in enumerate(data.lower().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith((b'#', b';', b'//')):
            continue
        parts = [words] if _STL_LENGTHS.get(words[0]) == len(words) else _stl_parts(words)
        for part in parts:
            if open_one and part[0][:1] in b'+-.0123456789':
                open_one[1].extend(part)
            else:
                if open_one:
                    yield open_one
                open_one = number, part
            if open_one[1][0] != b'vertex' or len(open_one[1]) >= 4:
                yield open_one
                open_one = None
    if open_one:
        yield open_one


def _stl_parts(words):
    """Cuts the words of a line into statements."""
    parts, is_name = [], False
    for place, word in enumerate(words):
        is_end = word == b'endsolid' or words[place:place + 2] == [b'end', b'solid']
        is_solid = not is_end and word == b'solid' and not is_name
        if is_name and not is_end and words[place:place + 2] != [b'facet', b'normal']:
            continue
        if not parts or is_end or is_solid or word in _STL_KEYWORDS:
            parts.append([])
        is_name = is_end or is_solid
        parts[-1].append(b'endsolid' if is_end else word)
    return parts


def parse_gltf(data: bytes, path: str) -> Mesh:
    """Reads a .glb or .gltf file; see `gltf.read`.

    Raises:
      errors.InputError: as `meshes.read`.
    """
    vertices, triangles = gltf.read(data, path)
    return _build(path, vertices, triangles.ravel(), np.full(len(triangles), 3),
                  _numbered('vertex'), _numbered('triangle'))


PARSERS: Dict[str, Callable[[bytes, str], Mesh]] = {
    '.obj': parse_obj, '.off': parse_off, '.ply': parse_ply, '.stl': parse_stl,
    '.glb': parse_gltf, '.gltf': parse_gltf}

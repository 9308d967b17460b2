"""Geometry of glTF 2.0 files, .glb and .gltf: what the default scene shows, as triangles.

Section numbers are those of the glTF 2.0 specification (Khronos, ISO/IEC 12113). trimesh 4.2 reads
normalised integers, sparse accessors, strips and compressed meshes wrongly without a word, so this
reader is our own. An extension that changes the geometry is supported or refused by its name.
"""
import base64
import json
import os
import re
import stat
import struct
import urllib.parse
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np

from common import errors

MAX_ROWS = 10000000     # vertices and triangles of a file
_TYPES = {5120: np.dtype('i1'), 5121: np.dtype('u1'), 5122: np.dtype('<i2'),
          5123: np.dtype('<u2'), 5125: np.dtype('<u4'), 5126: np.dtype('<f4')}
_WIDTHS = {'SCALAR': 1, 'VEC2': 2, 'VEC3': 3, 'VEC4': 4, 'MAT4': 16}
_DRACO = 'KHR_draco_mesh_compression'
_INSTANCES = 'EXT_mesh_gpu_instancing'
_VISIBILITY = 'KHR_node_visibility'
# What changes no vertex may be required as well: materials, textures, lights, notes.
_SUPPORTED = re.compile(r'KHR_mesh_quantization|KHR_draco_mesh_compression|KHR_node_visibility|'
                        r'(KHR|EXT|MSFT|ADOBE)_(materials|texture|lights|xmp|packing|'
                        r'techniques_webgl)\w*')


class _Unreadable(Exception):
    """What is wrong with the file, without its name."""


def read(data: bytes, path: str) -> Tuple[np.ndarray, np.ndarray]:
    """Reads the triangles of all meshes of the default scene, each at its place.

    Skins and morph targets are applied as the file leaves them (its rest pose); points, lines and
    nodes that are not visible are left out.

    Args:
      data: bytes of the file.
      path: str, its name: buffers in other files are looked for beside it.
    Returns:
      (vertices float64 [V, 3], triangles int64 [T, 3]), not checked for range.
    Raises:
      errors.InputError: no glTF 2.0, damaged, a buffer that is missing or lies elsewhere, or an
        extension that is not supported.
    """
    if data[:4] != b'glTF' and not re.match(rb'(\xef\xbb\xbf)?\s*\{', data):
        raise errors.InputError('{} is no {} file.'.format(path, os.path.splitext(path)[1].lower()))
    try:
        with np.errstate(all='ignore'):     # what is not finite is told by who checks the result
            return _File(data, path).triangles()
    except _Unreadable as error:
        reason = str(error)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError,
            ValueError, struct.error) as error:  # whatever a damaged file makes of the lines below
        reason = 'it is damaged ({}: {})'.format(type(error).__name__, ascii(str(error))[1:80])
    raise errors.InputError('{} cannot be read as {}: {}.'.format(
        path, os.path.splitext(path)[1].lower(), reason))


class _File:
    """A glTF document with its buffers."""

    def __init__(self, data: bytes, path: str):
        self.folder = os.path.dirname(os.path.abspath(path))
        text, self.binary = _chunks(data) if data[:4] == b'glTF' else (data, None)
        self.document: Dict[str, Any] = json.loads(text.decode('utf-8-sig'))
        self.buffers: Dict[int, bytes] = {}
        version = str(self.document['asset']['version'])
        if version.split('.')[0] != '2':
            raise _Unreadable('its version is {}, not 2.0'.format(ascii(version)[:20]))
        for name in self.document.get('extensionsRequired', []):
            if not _SUPPORTED.fullmatch(name):
                raise _not_supported(name)

    def triangles(self) -> Tuple[np.ndarray, np.ndarray]:
        """Returns (vertices [V, 3], triangles [T, 3]) of the scene."""
        vertices: List[np.ndarray] = [np.zeros([0, 3])]
        triangles: List[np.ndarray] = [np.zeros([0, 3], np.int64)]
        rows = offset = 0
        places, hidden = self._places()
        for number, place in places.items():
            node = self.document['nodes'][number]
            if number in hidden:
                continue
            if _INSTANCES in node.get('extensions', {}):
                raise _not_supported(_INSTANCES)
            if 'mesh' not in node:
                continue
            mesh = self.document['meshes'][node['mesh']]
            weights = node.get('weights', mesh.get('weights', []))
            for primitive in mesh['primitives']:
                surface = self._primitive(primitive, weights)
                if surface is None:
                    continue
                points, corners = surface
                rows += len(points) + len(corners)
                if rows > MAX_ROWS:
                    raise _Unreadable('its scene has more than {} million vertices and '
                                      'triangles'.format(MAX_ROWS // 1000000))
                if 'skin' in node and 'JOINTS_0' in primitive['attributes']:
                    points = self._skinned(points, primitive['attributes'],
                                           self.document['skins'][node['skin']], places)
                else:
                    points = points @ place[:3, :3].T + place[:3, 3]
                    if np.linalg.det(place[:3, :3]) < 0:
                        corners = corners[:, ::-1]  # section 3.7.4: a mirror turns faces over
                vertices.append(points)
                triangles.append(corners + offset)
                offset += len(points)
        return np.concatenate(vertices), np.concatenate(triangles)

    def _places(self) -> Tuple[Dict[int, np.ndarray], Set[int]]:
        """Returns the matrix [4, 4] from each node of the scene to the scene, in its order, and the
        nodes that are not visible, as those below them are not."""
        nodes = self.document.get('nodes', [])
        if self.document.get('scenes'):
            scene = self.document['scenes'][self.document.get('scene', 0)]
            roots = scene.get('nodes', [])
        else:
            below = {child for node in nodes for child in node.get('children', [])}
            roots = [number for number in range(len(nodes)) if number not in below]
        places: Dict[int, np.ndarray] = {}
        hidden: Set[int] = set()
        ahead = [(number, np.eye(4)) for number in reversed(roots)]
        while ahead:
            number, parent = ahead.pop()
            if number in places:
                raise _Unreadable('node {} is the child of two nodes'.format(number))
            places[number] = parent @ _matrix(nodes[number])
            children = nodes[number].get('children', [])
            state = nodes[number].get('extensions', {}).get(_VISIBILITY, {})
            if number in hidden or not state.get('visible', True):
                hidden.update([number] + children)
            ahead += [(child, places[number]) for child in reversed(children)]
        return places, hidden

    def _primitive(self, primitive: Dict[str, Any], weights: List[float]
                   ) -> Optional[Tuple[np.ndarray, np.ndarray]]:
        """Returns (points float64 [V, 3], triangles [T, 3]); None for points, lines, nothing."""
        mode = primitive.get('mode', 4)
        if mode not in (4, 5, 6) or 'POSITION' not in primitive['attributes']:
            return None
        position = primitive['attributes']['POSITION']
        packed = primitive.get('extensions', {}).get(_DRACO)
        if packed and 'bufferView' not in self.document['accessors'][position]:
            return self._draco(packed)
        points = self._accessor(position, 'VEC3').astype(np.float64)
        for weight, target in zip(weights, primitive.get('targets', [])):
            if weight and 'POSITION' in target:
                points += weight * self._accessor(target['POSITION'], 'VEC3')
        indices = np.arange(len(points))
        if 'indices' in primitive:
            indices = self._accessor(primitive['indices'], 'SCALAR')[:, 0].astype(np.int64)
        return points, _triangles(indices, mode)

    def _draco(self, packed: Dict[str, Any]) -> Tuple[np.ndarray, np.ndarray]:
        try:
            import DracoPy  # an extra
        except ImportError:
            raise _Unreadable('it needs the extension {}: pip install DracoPy==1.4.0, or save it '
                              'without compression'.format(_DRACO)) from None
        try:
            mesh = DracoPy.decode(bytes(self._view(packed['bufferView'])[0]))
        except Exception as error:  # the package's own kinds
            raise _Unreadable('its {} data are damaged ({})'.format(
                _DRACO, type(error).__name__)) from None
        return (np.asarray(mesh.points, np.float64).reshape(-1, 3),
                np.asarray(mesh.faces, np.int64).reshape(-1, 3))

    def _skinned(self, points: np.ndarray, attributes: Dict[str, int], skin: Dict[str, Any],
                 places: Dict[int, np.ndarray]) -> np.ndarray:
        """Returns points [V, 3] moved by the joints of a skin (section 3.7.3.3)."""
        matrices = np.stack([places[joint] for joint in skin['joints']])
        if 'inverseBindMatrices' in skin:
            inverse = self._accessor(skin['inverseBindMatrices'], 'MAT4').astype(np.float64)
            # Column by column in the file.
            matrices = matrices @ inverse[:len(matrices)].reshape(-1, 4, 4).transpose(0, 2, 1)
        result, total = np.zeros_like(points), np.zeros([len(points), 1])
        for number in range(len(attributes)):
            if 'JOINTS_{}'.format(number) not in attributes:
                break
            joints = self._accessor(attributes['JOINTS_{}'.format(number)], 'VEC4').astype(int)
            weights = self._accessor(attributes['WEIGHTS_{}'.format(number)], 'VEC4')
            for joint, weight in zip(joints.T, weights.T.astype(np.float64)[:, :, None]):
                moved = (matrices[joint, :3, :3] @ points[:, :, None])[:, :, 0]
                result += weight * (moved + matrices[joint, :3, 3])
                total += weight
        return result / np.where(total > 0, total, 1)

    def _accessor(self, number: int, kind: str) -> np.ndarray:
        """Returns the values [count, width] of an accessor (section 3.6.2): normalised integers as
        float32, others of their own type."""
        accessor = self.document['accessors'][_index(number)]
        if accessor['type'] != kind:
            raise _Unreadable('accessor {} holds {}, not {}'.format(
                number, ascii(accessor['type'])[:20], kind))
        if accessor['componentType'] not in _TYPES:
            raise _Unreadable('accessor {} has the component type {}, which glTF 2.0 does not '
                              'have'.format(number, ascii(accessor['componentType'])[:20]))
        dtype, count = _TYPES[accessor['componentType']], _index(accessor['count'])
        if count > MAX_ROWS:
            raise _Unreadable('accessor {} has {} rows; {} are the most'.format(
                number, count, MAX_ROWS))
        if 'bufferView' in accessor:
            values = self._values(accessor, count, dtype, _WIDTHS[kind])
        elif 'sparse' in accessor:
            values = np.zeros([count, _WIDTHS[kind]], dtype)
        else:   # zeros by the specification; but so is what an unknown extension compresses
            raise _Unreadable('accessor {} has no data'.format(number))
        if 'sparse' in accessor:
            values, sparse = values.copy(), accessor['sparse']
            changed = _index(sparse['count'])
            rows = self._values(sparse['indices'], changed,
                                _TYPES[sparse['indices']['componentType']], 1)
            values[rows[:, 0]] = self._values(sparse['values'], changed, dtype, _WIDTHS[kind])
        if accessor.get('normalized') and dtype.kind != 'f':
            values = np.maximum(values / np.float32(np.iinfo(dtype).max), np.float32(-1))
        return values

    def _values(self, place: Dict[str, Any], count: int, dtype: np.dtype, width: int
                ) -> np.ndarray:
        """Returns [count, width] of what a bufferView and a byteOffset point to."""
        view, stride = self._view(place['bufferView'])
        offset, stride = _index(place.get('byteOffset', 0)), stride or dtype.itemsize * width
        if count and offset + (count - 1) * stride + dtype.itemsize * width > len(view):
            raise _Unreadable('bufferView {} is too short for what is read from it'.format(
                place['bufferView']))
        return np.ndarray([count, width], dtype, view, offset, [stride, dtype.itemsize])

    def _view(self, number: int) -> Tuple[memoryview, int]:
        """Returns the bytes of a bufferView, and its stride or 0."""
        view = self.document['bufferViews'][_index(number)]
        buffer, offset = self._buffer(_index(view['buffer'])), _index(view.get('byteOffset', 0))
        length = _index(view['byteLength'])
        if offset + length > len(buffer):
            raise _Unreadable('bufferView {} ends behind its buffer'.format(number))
        return memoryview(buffer)[offset:offset + length], _index(view.get('byteStride', 0))

    def _buffer(self, number: int) -> bytes:
        """Returns a buffer: in the .glb itself, as text in the document, or in a file beside it."""
        if number in self.buffers:
            return self.buffers[number]
        buffer = self.document['buffers'][number]
        length, uri = _index(buffer['byteLength']), buffer.get('uri')
        if uri is None and number == 0 and self.binary is not None:
            content = self.binary
        elif uri is None:
            names = [name for name in buffer.get('extensions', {}) if 'meshopt' in name]
            raise _not_supported(names[0]) if names else _Unreadable(
                'buffer {} has neither bytes nor the name of a file'.format(number))
        elif uri[:5].lower() == 'data:':
            content = _inline(uri)
        else:
            content = _beside(self.folder, urllib.parse.unquote(uri), length)
        if len(content) < length:
            raise _Unreadable('it is cut short: buffer {} has {} bytes of {}'.format(
                number, len(content), length))
        self.buffers[number] = content
        return content


def _chunks(data: bytes) -> Tuple[bytes, Optional[bytes]]:
    """Returns the JSON and the binary chunk, if any, of a .glb file (section 4.4)."""
    version, length = struct.unpack_from('<2I', data, 4)
    if version != 2:
        raise _Unreadable('its version is {}, not 2'.format(version))
    if length > len(data):
        raise _Unreadable('it is cut short: {} bytes of {}'.format(len(data), length))
    chunks: Dict[bytes, bytes] = {}
    offset = 12
    while offset + 8 <= length:
        size, = struct.unpack_from('<I', data, offset)
        if offset + 8 + size > length:
            raise _Unreadable('a chunk ends behind the file')
        chunks.setdefault(data[offset + 4:offset + 8], data[offset + 8:offset + 8 + size])
        offset += 8 + size
    if b'JSON' not in chunks:
        raise _Unreadable('it has no JSON chunk')
    return chunks[b'JSON'], chunks.get(b'BIN\0')


def _inline(uri: str) -> bytes:
    """Returns the bytes of a data URI (RFC 2397): in base64 of either alphabet, or as they are."""
    head, _, text = uri.partition(',')
    content = urllib.parse.unquote_to_bytes(text)
    if not head.lower().endswith(';base64'):
        return content
    content = b''.join(content.split()).rstrip(b'=').translate(bytes.maketrans(b'-_', b'+/'))
    return base64.b64decode(content + b'=' * (-len(content) % 4), validate=True)


def _beside(folder: str, name: str, length: int) -> bytes:
    """Returns the first bytes of a file in the folder; no other place is looked at."""
    quoted = ascii(name[:60])
    name = name[2:] if name.startswith('./') else name
    if re.search(r'[/\\:\0]', name) or name in ('', '.', '..'):
        raise _Unreadable('its buffer {} lies elsewhere; only a file beside it is read'.format(
            quoted))
    path = os.path.join(folder, name)
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), name):
        raise _Unreadable('its buffer {} is a link; only a file beside it is read'.format(quoted))
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise _Unreadable('its buffer {} is no file'.format(quoted))
        with open(path, 'rb') as stream:
            return stream.read(min(length, status.st_size))
    except OSError as error:
        raise _Unreadable('its buffer {} is not to be had ({}); put it beside the file'.format(
            quoted, error.strerror)) from None


def _matrix(node: Dict[str, Any]) -> np.ndarray:
    """Returns the matrix [4, 4] of a node to its parent (section 3.5.3)."""
    if 'matrix' in node:
        return np.array(node['matrix'], np.float64).reshape(4, 4).T     # column by column
    rotation = np.array(node.get('rotation', [0, 0, 0, 1]), np.float64)
    x, y, z, w = rotation / (np.linalg.norm(rotation) or 1)     # zeros rotate nothing
    matrix = np.eye(4)
    matrix[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                      [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                      [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    matrix[:3, :3] *= np.array(node.get('scale', [1, 1, 1]), np.float64)
    matrix[:3, 3] = node.get('translation', [0, 0, 0])
    return matrix


def _triangles(indices: np.ndarray, mode: int) -> np.ndarray:
    """Returns triangles [T, 3] of a list (4), a strip (5) or a fan (6), section 3.7.2.1."""
    if mode == 4:
        return indices.reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros([0, 3], np.int64)
    if mode == 6:
        first = np.full(len(indices) - 2, indices[0])
        return np.stack([indices[1:-1], indices[2:], first], axis=1)
    triangles = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
    triangles[1::2, 1:] = triangles[1::2, :0:-1]
    # A strip goes on elsewhere through triangles without area.
    return triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]


def _index(value: Any) -> int:
    """Returns a number of the document that must be a whole one, 0 or more."""
    if not isinstance(value, int) or value < 0:
        raise _Unreadable('{} stands where a number from 0 belongs'.format(ascii(value)[:40]))
    return value


def _not_supported(name: Any) -> _Unreadable:
    return _Unreadable('the extension {} is not supported; export it without'.format(
        ascii(name)[1:60].rstrip("'")))

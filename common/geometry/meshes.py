"""Mesh files in and out: faces stay polygons of any size until they are triangulated.

Read: .obj, .off, .ply (ascii and binary), .stl (ascii and binary), .glb, .gltf (mesh_formats.py);
written: .obj, .ply, .glb. V: vertices of a mesh, F: faces, T: triangles. Axes and units are those
of the file (usually y-up for .obj and .glb).
"""
import os
import struct
from typing import Optional, Sequence, Tuple

import numpy as np

from common import errors, files
from common.geometry import mesh_formats, polygons
from common.readers import limits

Mesh = mesh_formats.Mesh
parse_obj = mesh_formats.parse_obj
READABLE = tuple(mesh_formats.PARSERS)
_MOST_BYTES = 2 ** 31        # of a file
WRITABLE = ('.obj', '.ply', '.glb', '.stl')


def read(path: str) -> Mesh:
    """Reads a mesh file; the extension (in any case) tells the format.

    Args:
      path: str, a .obj, .off, .ply, .stl, .glb or .gltf file.
    Returns:
      Mesh with finite vertices, faces of three vertices or more and indices in range. Vertices that
      no face uses are kept. The corners of an .stl that coincide are one vertex.
    Raises:
      errors.InputError: the file is missing, empty, cut short or not what its extension says; a
        number cannot be read, a coordinate is not finite, an index is out of range, or there are
        no faces.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension not in READABLE:
        raise errors.InputError('{}: cannot read a mesh from a "{}" file. Known are {}.'.format(
            path, extension, ' '.join(READABLE)))
    return mesh_formats.PARSERS[extension](_content(path), path)


def read_points(path: str) -> np.ndarray:
    """Reads the vertices of a mesh file; of .obj and .ply also where there are no faces.

    Returns:
      float32 [V, 3].
    Raises:
      errors.InputError: as `read`.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension == '.obj':
        return mesh_formats.parse_obj(_content(path), path, need_faces=False).vertices
    if extension == '.ply':
        return mesh_formats.ply_points(_content(path), path)
    return read(path).vertices


def _content(path):
    data = limits.content(path, 'a mesh', 'Give a mesh file.', _MOST_BYTES)
    if not data.strip():
        raise errors.InputError('{} is empty.'.format(path))
    return data


def read_cloud(path: str) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Reads a .ply file of points with normals.

    Returns:
      (points float64 [N, 3], normals float64 [N, 3]); None where the file has faces.
    Raises:
      errors.InputError: it is missing, damaged, or has points without normals.
    """
    return mesh_formats.ply_cloud(_content(path), path)


def read_triangles(path: str) -> Tuple[np.ndarray, np.ndarray]:
    """Reads the surface of a mesh file: what voxelising, sampling and drawing need.

    Args:
      path: str, as in `read`.
    Returns:
      (vertices float32 [V, 3] without those that no face uses, triangles int32 [T, 3]).
    Raises:
      errors.InputError: as `read` and `triangulate`.
    """
    mesh = read(path)
    try:
        return without_unused(mesh.vertices, triangulate(mesh.faces, mesh.vertices))
    except errors.InputError as error:
        raise errors.InputError('{}: {}'.format(path, error)) from None


def without_unused(vertices: np.ndarray, triangles: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Drops the vertices that no triangle uses, so that they count in no box; the order stays.

    Args:
      vertices: [V, 3].
      triangles: int [T, 3].
    Returns:
      (vertices [U, 3] that are used, triangles [T, 3] renumbered).
    """
    used = np.zeros(len(vertices), bool)
    used[triangles] = True
    return vertices[used], (np.cumsum(used) - 1)[triangles].astype(triangles.dtype)


def write(path: str, vertices: np.ndarray, faces: Sequence[Sequence[int]],
          normals: Optional[np.ndarray] = None) -> None:
    """Writes a mesh in one exchange; the extension tells the format.

    Args:
      path: str, a .obj, .ply (binary), .glb or .stl (binary) file; the latter two hold triangles,
        the others polygons.
      vertices: float array [V, 3].
      faces: list of F sequences of 0-based vertex numbers, or int array [F, corners].
      normals: float array [V, 3] of the vertices, or None.
    Raises:
      errors.InputError: another extension, or the file cannot be written.
      ValueError: the vertices are not [V, 3] and finite, or a face index is out of range.
    """
    encoders = {'.obj': _encode_obj, '.ply': _encode_ply, '.glb': _encode_glb, '.stl': _encode_stl}
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


def triangulate(faces: Sequence[Sequence[int]], vertices: Optional[np.ndarray] = None
                ) -> np.ndarray:
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


def _encode_stl(vertices, faces, normals):
    del normals     # each triangle has one, across it
    corners = vertices[triangulate(faces, vertices)]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    table = np.zeros(len(corners), [('values', '<f4', 12), ('attribute', '<u2')])
    table['values'] = np.concatenate([across[:, None], corners], axis=1).reshape(-1, 12)
    return bytes(80) + struct.pack('<I', len(table)) + table.tobytes()

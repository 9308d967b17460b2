"""What a page shows of a file: a mesh for the viewer, a picture, a table."""
import base64
import csv
import io
import json
import os
import warnings
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from common import errors
from common.geometry import meshes
from common.readers import limits, pictures
from common.readers import text as text_lib

MOST_TRIANGLES = 4000   # of a mesh on a page; more are merged
MESHES = ('.glb', '.obj', '.ply', '.off', '.stl')
PICTURES = ('.png', '.jpg', '.jpeg')
TABLES = ('.csv', '.md', '.json')
_EDGES = 1500           # triangles up to which edges are drawn
_SIDE = 1100            # pixels of the longer side of a picture on a page
_PLAIN = 150 << 10      # bytes of a picture up to which it is shown as it is
_MOST_ROWS, _MOST_TEXT = 200, 20000
_LARGEST = 64 << 20     # bytes of a mesh or a picture that is read for a page


def decimated(vertices: np.ndarray, triangles: np.ndarray, most: int = MOST_TRIANGLES
              ) -> Tuple[np.ndarray, np.ndarray]:
    """Merges vertices that share a cell of a grid until few triangles are left.

    Args:
      vertices: [V, 3]; triangles: int [T, 3]; most: int, triangles to keep at most.
    Returns:
      (vertices [U, 3], triangles [S, 3]); a small mesh as it is.
    """
    if len(triangles) <= most:
        return vertices, triangles
    low = vertices.min(axis=0)
    extent = max(float((vertices.max(axis=0) - low).max()), 1e-30)
    cells = 128
    while True:
        rows = np.floor((vertices - low) / extent * cells).astype(np.int64)
        keys = (rows[:, 0] * (cells + 1) + rows[:, 1]) * (cells + 1) + rows[:, 2]
        _, owners, counts = np.unique(keys, return_inverse=True, return_counts=True)
        owners = owners.reshape(-1)
        merged = np.stack([np.bincount(owners, vertices[:, axis]) for axis in range(3)],
                          axis=1) / counts[:, None]
        clustered = owners[triangles]
        clustered = clustered[(clustered != np.roll(clustered, 1, axis=1)).all(axis=1)]
        if len(clustered) <= most or cells <= 4:
            return meshes.without_unused(merged, clustered[:most])
        cells = int(cells * 0.8)


def mesh_data(vertices: np.ndarray, triangles: np.ndarray, up: str = 'y') -> Dict[str, Any]:
    """Packs a mesh for the viewer.

    Args:
      vertices: finite [V, 3]; triangles: int [T, 3], at least one; up: 'y' or 'z', its vertical
        axis.
    Returns:
      dict of JSON values: vertices as whole numbers of 16 bits in their box, in base64.
    """
    vertices, triangles = decimated(np.asarray(vertices, np.float64), np.asarray(triangles))
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    cells = np.round((vertices - low) / np.maximum(high - low, 1e-30) * 65535)
    kind = '<u4' if len(vertices) > 65535 else '<u2'
    return {'vertices': _packed(cells.astype('<u2')), 'triangles': _packed(triangles.astype(kind)),
            'low': low.tolist(), 'high': high.tolist(), 'up': up,
            'edges': len(triangles) <= _EDGES}


def _packed(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode('ascii')


def read_mesh(path: str, up: str) -> Optional[Dict[str, Any]]:
    """Packs the mesh of a file; None where it cannot be read or has no triangle."""
    try:
        if os.path.getsize(path) > _LARGEST:
            return None
        vertices, triangles = meshes.read_triangles(path)
    except (errors.InputError, OSError):
        return None
    if not len(triangles) or not np.isfinite(vertices).all():
        return None
    return mesh_data(vertices, triangles, up)


def picture(path: str) -> Optional[str]:
    """Returns a picture as the address of an <img>, made smaller where it is large; None: none."""
    from PIL import Image  # here, since --help needs none of it
    try:
        data = limits.content(path, 'a picture', most=_LARGEST)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # of pictures between Pillow's own two limits
            with Image.open(io.BytesIO(data), formats=('PNG', 'JPEG')) as image:
                if image.size[0] * image.size[1] > pictures.MAX_PIXELS:
                    return None
                kind = 'png' if image.format == 'PNG' else 'jpeg'
                if len(data) > _PLAIN or max(image.size) > _SIDE:
                    kind, data = 'jpeg', _smaller(image)
    except (errors.InputError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return 'data:image/{};base64,{}'.format(kind, base64.b64encode(data).decode('ascii'))


def _smaller(image):
    """The bytes of a JPEG of bounded size; what is transparent becomes white."""
    from PIL import Image
    image = image.convert('RGBA')
    image.thumbnail((_SIDE, _SIDE))
    flat = Image.new('RGB', image.size, (255, 255, 255))
    flat.paste(image, mask=image.split()[3])
    stream = io.BytesIO()
    flat.save(stream, 'JPEG', quality=85)
    return stream.getvalue()


def table(path: str) -> Tuple[List[List[str]], str]:
    """Reads a table: (rows, '') of .csv and of a .json with figures, or ([], text) of others.

    What cannot be read gives ([], '').
    """
    try:
        text = text_lib.read(path, most=_LARGEST)
    except errors.InputError:
        return [], ''
    if path.lower().endswith('.csv'):
        return list(csv.reader(io.StringIO(text)))[:_MOST_ROWS + 1], ''
    if not path.lower().endswith('.json'):
        return [], text[:_MOST_TEXT]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [], ''
    rows = [[name, str(part)] for name, part in value.items()
            if isinstance(part, (str, int, float, bool))] if isinstance(value, dict) else []
    return ([['figure', 'value']] + rows[:_MOST_ROWS] if rows else []), ''

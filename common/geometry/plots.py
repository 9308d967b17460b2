"""PNG pictures of meshes, images and curves, made without a display.

Only matplotlib's objects and its Agg canvas are used, never pyplot: no window system, no choice of
a backend, no state shared between threads; matplotlib itself is imported late, as it takes half a
second. Files are written in one exchange (`files.replacing`).
"""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from common import files

_LIGHT = np.array([0.35, -0.55, 0.76])  # direction to the light, z up, about unit length
_ELEVATION, _AZIMUTH = 25., -60.  # degrees, where the camera stands
_COLOR = np.array([0.45, 0.62, 0.80])   # of a surface perpendicular to the light, RGB in [0, 1]
_MOST_PIXELS = 20000    # of a side; much more cannot be written as one picture


def in_turn(classes: Sequence[Any], count: int) -> List[int]:
    """Chooses what a gallery shows: the first of each class, then the second of each, and so on.

    Args:
      classes: the class of each of N things; count: int, how many to choose at most.
    Returns:
      list of indices into `classes`; classes come in the order in which they appear.
    """
    by_class: Dict[Any, List[int]] = {}
    for number, one in enumerate(classes):
        by_class.setdefault(one, []).append(number)
    ranked = [(rank, place, number) for place, numbers in enumerate(by_class.values())
              for rank, number in enumerate(numbers)]
    return [number for _, _, number in sorted(ranked)[:count]]


def mesh_grid(path: str, meshes: Sequence[Any], captions: Optional[Sequence[str]] = None,
              columns: int = 4, up: str = 'z', size: float = 2.5, edges: bool = True) -> None:
    """Draws surfaces side by side, flat-shaded, with equal axes, each as large as its field.

    Args:
      path: str, the .png to write.
      meshes: list of (vertices [V, 3], faces), faces a list of polygons of any size (0-based) or
        None; a mesh without faces is drawn as points, one without vertices as an empty field. An
        array stands for an image (see `image_grid`) that is to be seen beside the surfaces.
      captions: list of str, one for each mesh, or None.
      columns: int, meshes in a row.
      up: 'z' or 'y', the vertical axis of the vertices.
      size: float, inches (of 100 pixels) for a side of each field.
      edges: bool, draw the edges of the faces.
    Raises:
      ValueError: there are no meshes, captions are of another number, or `up` is unknown.
      errors.InputError: the file cannot be written.
    """
    if up not in ('y', 'z'):
        raise ValueError("up must be 'y' or 'z', got {!r}.".format(up))
    figure, fields = _fields(len(meshes), captions, columns, size, projections=[
        None if isinstance(mesh, np.ndarray) else '3d' for mesh in meshes])
    for axes, mesh in zip(fields, meshes):
        if isinstance(mesh, np.ndarray):
            _draw_image(axes, _displayable(mesh))
            continue
        vertices, faces = mesh
        vertices = np.asarray(vertices, np.float64).reshape(-1, 3)
        if up == 'y':
            vertices = vertices[:, [2, 0, 1]]
        axes.view_init(elev=_ELEVATION, azim=_AZIMUTH)
        if faces is not None and len(faces):
            _draw_surface(axes, vertices, faces, edges)
            vertices = vertices[sorted({index for face in faces for index in face})]
        elif len(vertices):
            axes.scatter(*vertices.T, s=4, color=_COLOR)
        _fit_cube(axes, vertices)
    save_figure(figure, path)


def _draw_surface(axes, vertices, faces, edges):
    """Adds flat-shaded polygons to 3-D axes.

    Args:
      axes: matplotlib Axes3D; vertices: float array [V, 3], z up.
      faces: list of polygons of any size, or int array of polygons of one size; 0-based.
      edges: bool, draw the edges of the faces.
    """
    if isinstance(faces, np.ndarray):  # all of one size, as marching cubes gives them: at once
        polygons = vertices[faces]
        normals = np.cross(polygons, np.roll(polygons, -1, axis=1)).sum(axis=1)
    else:
        polygons = [vertices[list(face)] for face in faces]
        normals = np.array([np.cross(polygon, np.roll(polygon, -1, axis=0)).sum(axis=0)
                            for polygon in polygons])  # Newell's, twice the area long
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    # Either side of a face is lit: the winding of a mesh is often not known.
    light = np.abs(normals / np.maximum(lengths, 1e-12) @ _LIGHT)[:, None]
    colors = np.clip(_COLOR * (0.35 + 0.7 * light), 0, 1)
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # late, see above

    axes.add_collection3d(Poly3DCollection(
        polygons, facecolors=colors, edgecolors=(0, 0, 0, 0.6) if edges else colors,
        linewidths=0.4))


def image_grid(path: str, images: Sequence[np.ndarray], captions: Optional[Sequence[str]] = None,
               columns: int = 4, size: float = 2.) -> None:
    """Draws images side by side.

    Args:
      path: str, the .png to write.
      images: list of arrays (or one array) [H, W], [H, W, 1] or [H, W, 3]; uint8, or float in
        [0, 1] (values outside are clipped). Sizes may differ.
      captions: list of str, one for each image, or None.
      columns: int, images in a row.
      size: float, inches (of 100 pixels) for a side of each field.
    Raises:
      ValueError: there are no images, captions are of another number, or a shape is another one.
      errors.InputError: the file cannot be written.
    """
    pictures = [_displayable(image) for image in images]
    figure, fields = _fields(len(pictures), captions, columns, size)
    for axes, image in zip(fields, pictures):
        _draw_image(axes, image)
    save_figure(figure, path)


def _draw_image(axes, image):
    axes.imshow(image, cmap='gray', vmin=0, vmax=255, interpolation='nearest')
    axes.set_axis_off()


def _displayable(image):
    """uint8 [H, W] or [H, W, 3]."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3):
        raise ValueError('an image must be [H, W], [H, W, 1] or [H, W, 3], got {}.'.format(
            list(image.shape)))
    if image.dtype == np.uint8:
        return image
    return np.round(np.clip(np.nan_to_num(image.astype(np.float64)), 0, 1) * 255).astype(np.uint8)


def ranges(path: str, rows: Sequence[Tuple[str, Sequence[int]]], lowest: int = -60,
           most: int = 60) -> None:
    """Draws where the sizes of values lie beside what half precision holds, a line for each row.

    Args:
      path: str, the .png to write.
      rows: list of (label, counts by exponent of 2); the counts begin at the exponent `lowest`.
      lowest: int; most: int, rows that are drawn; the others are left out.
    Raises:
      errors.InputError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # late: see __getattr__

    rows = rows[:most]
    figure = Figure(figsize=(9., 1.5 + 0.16 * len(rows)), dpi=100)
    axes = figure.add_subplot(1, 1, 1)
    axes.axvspan(-14, 16, color='0.92', label='normal float16')
    axes.axvspan(-24, -14, color='0.97', label='subnormal float16')
    for number, (_, counts) in enumerate(rows):
        values = np.repeat(np.arange(len(counts)) + lowest, np.ceil(
            1000. * np.asarray(counts) / max(1, sum(counts))).astype(int))
        if len(values):
            low, first, third, high = np.percentile(values, [0, 25, 75, 100])
            axes.plot([low, high], [number, number], color='C0', linewidth=1)
            axes.plot([first, third], [number, number], color='C0', linewidth=4)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([label[-70:] for label, _ in rows], fontsize=5)
    axes.invert_yaxis()
    axes.set_xlabel('exponent of 2: all values (thin), the middle half of them (thick)')
    axes.legend(loc='lower right', fontsize=6)
    figure.tight_layout()
    save_figure(figure, path)


def curves(path: str, series: Mapping[str, Tuple[Sequence[float], Sequence[float]]],
           ylabel: str = '', log: bool = False) -> None:
    """Draws lines over steps, with a legend.

    Args:
      path: str, the .png to write.
      series: dict {name: (steps, values)}, two sequences of one length; NaN leaves a gap.
      ylabel: str.
      log: bool, logarithmic vertical axis (values of 0 or less leave a gap).
    Raises:
      ValueError: there is no line, or steps and values differ in number.
      errors.InputError: the file cannot be written.
    """
    if not series:
        raise ValueError('no line to draw in {}.'.format(path))
    from matplotlib.figure import Figure  # late, see above

    figure = Figure(figsize=(7., 4.), dpi=100)
    axes = figure.add_subplot(1, 1, 1)
    if log:
        axes.set_yscale('log', nonpositive='mask')
    for name, (steps, values) in series.items():
        if len(steps) != len(values):
            raise ValueError('{}: {} steps but {} values.'.format(name, len(steps), len(values)))
        axes.plot(steps, values, label=name, linewidth=1.2,
                  marker='o' if len(steps) == 1 else None)
    axes.set_xlabel('step')
    axes.set_ylabel(ylabel)
    axes.grid(True, alpha=0.3)
    axes.legend()
    figure.tight_layout()
    save_figure(figure, path)


def save_figure(figure: Any, path: str) -> None:
    """Writes a matplotlib Figure as PNG in one exchange.

    Raises:
      errors.InputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late, see above

    canvas = FigureCanvasAgg(figure)
    with files.replacing(path) as temporary:
        canvas.print_png(temporary)


def _fields(count, captions, columns, size, projections=None):
    """Returns a figure and `count` axes in rows of `columns`, captions set."""
    if not count:
        raise ValueError('nothing to draw: the list is empty.')
    if captions is not None and len(captions) != count:
        raise ValueError('{} captions for {} pictures.'.format(len(captions), count))
    from matplotlib.figure import Figure  # late, see above

    columns = min(columns, count)
    rows = -(-count // columns)
    lines = max(str(caption).count('\n') + 1 for caption in captions) if captions else 0
    height = size + 0.17 * lines
    largest = max(size * columns, height * rows)    # inches; finer pictures cannot be drawn
    figure = Figure(figsize=(size * columns, height * rows), dpi=min(100, _MOST_PIXELS / largest))
    fields = []
    for index in range(count):
        row, column = divmod(index, columns)
        box = (column / columns, 1 - (row * height + height) / (height * rows),
               1 / columns, size / (height * rows))
        axes = figure.add_axes([box[0] + 0.02 * box[2], box[1] + 0.02 * box[3],
                                0.96 * box[2], 0.96 * box[3]],
                               projection=projections[index] if projections else None)
        if captions is not None:
            figure.text(box[0] + box[2] / 2, box[1] + box[3], str(captions[index]), ha='center',
                        va='bottom', fontsize=8)
        fields.append(axes)
    return figure, fields


def _fit_cube(axes, vertices):
    """Sets equal axes without ticks that hold the ball around a mesh."""
    centre, radius = np.zeros(3), 1.
    if len(vertices):
        centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        radius = max(np.linalg.norm(vertices - centre, axis=1).max(), 1e-6)
    for axis, place in zip('xyz', centre):
        getattr(axes, 'set_{}lim'.format(axis))(place - radius, place + radius)
    axes.set_box_aspect((1, 1, 1), zoom=1.65)
    axes.set_axis_off()

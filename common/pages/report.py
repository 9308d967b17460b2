"""The page of an output folder: `report.html`, one file that asks nothing of any network.

It shows what a run recorded (command, options, versions, curves) and what it left: pictures,
meshes to be turned, tables, links to the files beside. What comes from files or options is escaped.
"""
import contextlib
import functools
import html
import json
import math
import os
import urllib.parse
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from common import errors, files
from common.pages import charts, figures
from common.readers import text

NAME = 'report.html'
_HERE = os.path.dirname(os.path.abspath(__file__))
_MOST_PICTURES, _MOST_MESHES, _MOST_TABLES, _MOST_LINKS = 60, 100, 24, 400
_BUDGET = 18 << 20      # characters of pictures and meshes on a page
_NOT_SHOWN = (NAME, 'config.json', 'results.json')
_SKIPPED = ('checkpoints', 'cache', 'data', 'generated')    # folders that hold no results
_CURVES = 24
_POLICY = ("default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
           "script-src 'unsafe-inline'")
_FACTS = ('command', 'seed', 'device', 'precision', 'parameters', 'started', 'versions')


def write_folder(folder: str, title: str, up: str = 'y',
                 facts: Optional[Mapping[str, Any]] = None) -> str:
    """Writes the page of an output folder from what lies in it and below it.

    Args:
      folder: str, with or without config.json and metrics.jsonl.
      title: str; up: 'y' or 'z', vertical axis of its meshes but .glb, whose format says y.
      facts: {name: value} to show where there is no config.json.
    Returns:
      str, the page.
    Raises:
      errors.InputError: the page cannot be written.
    """
    recorded = _recorded(os.path.join(folder, 'config.json'))
    run_facts = {name: recorded[name] for name in _FACTS if name in recorded} or dict(facts or {})
    return _write(os.path.join(folder, NAME), title, run_facts, recorded.get('options') or {},
                  _all_metrics(folder), sorted(_below(folder)), up)


def write_files(path: str, title: str, paths: Sequence[str], facts: Mapping[str, Any],
                up: str = 'y') -> str:
    """Writes a page of some files, such as those of a demo.

    Args:
      path: str, the .html; title: str; paths: files to show, in this order; facts: {name: value}.
      up: 'y' or 'z', vertical axis of the meshes.
    Returns:
      str, `path`.
    """
    folder = os.path.dirname(os.path.abspath(path))
    return _write(path, title, dict(facts), {}, [],
                  [os.path.relpath(one, folder) for one in paths], up)


def _recorded(path):
    try:
        recorded = text.read_json(path)
    except errors.InputError:
        return {}
    return recorded if isinstance(recorded, dict) and isinstance(
        recorded.get('options'), dict) else {}


def _all_metrics(folder):
    """Rows of the folder's metrics.jsonl, and of those of its parts (`ae/` of IM-NET)."""
    rows = _metrics(os.path.join(folder, 'metrics.jsonl'))
    for part in sorted(os.listdir(folder)):
        if not part.startswith(_SKIPPED):
            rows += [{name if name == 'step' else '{}/{}'.format(part, name): value
                      for name, value in row.items()}
                     for row in _metrics(os.path.join(folder, part, 'metrics.jsonl'))]
    return rows


def _metrics(path):
    """Rows of a metrics.jsonl; what is no row of numbers is left out."""
    rows: List[Dict[str, Any]] = []
    if not os.path.exists(path):
        return rows
    with contextlib.suppress(errors.InputError):
        rows += [row for row in text.read_json_rows(path)
                 if isinstance(row, dict) and isinstance(row.get('step'), int)]
    return rows


def _below(folder: str) -> Iterable[str]:
    """Paths from a folder of the files that a page may show or name."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.') and not
                            name.startswith(_SKIPPED))
        for name in names:
            path = os.path.relpath(os.path.join(place, name), folder)
            if not name.startswith('.') and path not in _NOT_SHOWN and not name.endswith(
                    '.html'):
                yield path


def _write(path, title, facts, options, metrics, names, up):
    folder = os.path.dirname(os.path.abspath(path))
    parts = [_facts(facts), _options(options), _curves(metrics)]
    budget = [_BUDGET]
    parts += [_meshes(folder, names, up, budget), _pictures(folder, names, budget),
              _tables(folder, names), _links(folder, names)]
    has_meshes = '<div class="mesh">' in parts[3]
    scripts = ''.join('<script>{}</script>'.format(_asset(name)) for name in (
        'three/three.min.js', 'three/OrbitControls.js', 'viewer.js')) if has_meshes else ''
    files.write_text(path, (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="{}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>{}</title><style>{}</style></head>\n<body><h1>{}</h1>\n{}\n{}</body></html>\n'
    ).format(_POLICY, html.escape(title), _asset('style.css'), html.escape(title),
             '\n'.join(part for part in parts if part), scripts))
    return path


@functools.lru_cache(None)
def _asset(name):
    with open(os.path.join(_HERE, name), encoding='utf-8') as stream:
        return stream.read()


def _as_text(value):
    """A value as text, lists of words as a command line."""
    if isinstance(value, (list, tuple)):
        return ' '.join(map(str, value))
    if isinstance(value, dict):
        return ', '.join('{} {}'.format(name, part) for name, part in value.items())
    return str(value)


def _rows(pairs: Iterable[Tuple[Any, Any]]) -> str:
    return ''.join('<tr><th>{}</th><td><code>{}</code></td></tr>'.format(
        html.escape(str(name)), html.escape(_as_text(value))) for name, value in pairs)


def _facts(facts):
    return '<table>{}</table>'.format(_rows(facts.items())) if facts else ''


def _options(options):
    if not options:
        return ''
    return ('<details><summary>Options</summary><div class="wide"><table>{}</table></div>'
            '</details>'.format(_rows(sorted(options.items()))))


def _curves(metrics):
    series: Dict[str, List[Tuple[int, float]]] = {}
    for row in metrics:
        for name, value in row.items():
            if name != 'step' and isinstance(value, (int, float)) and math.isfinite(value):
                series.setdefault(name, []).append((row['step'], value))
    drawn = []
    for name, points in list(series.items())[:_CURVES]:
        drawn.append('<figure>{}<figcaption>{}: {:.4g} at step {}</figcaption></figure>'.format(
            charts.curve(*zip(*points), name), html.escape(name), points[-1][1], points[-1][0]))
    return _section('Curves', drawn)


def _section(title, items, note=''):
    if not items:
        return ''
    return '<h2>{}</h2>{}<div class="grid">{}</div>'.format(title, note, '\n'.join(items))


def _link(name):
    """A link to a file beside the page; `./` keeps a name from being read as a scheme."""
    return '<a href="./{}" download>{}</a>'.format(
        html.escape(urllib.parse.quote(os.fsencode(name.replace(os.sep, '/')))),
        html.escape(errors.escaped(name)))


def _of_kind(names, endings):
    return [name for name in names if os.path.splitext(name)[1].lower() in endings]


def _newest(folder, names, most):
    """The newest of files, in the order of the list."""
    if len(names) <= most:
        return names
    chosen = set(sorted(names, key=lambda name: _time(os.path.join(folder, name)))[-most:])
    return [name for name in names if name in chosen]


def _time(path):
    try:
        return os.stat(path).st_mtime_ns
    except OSError:     # it went in the meantime
        return 0


def _meshes(folder, names, up, budget):
    by_stem: Dict[str, List[str]] = {}
    for ending in figures.MESHES:       # one file of those that hold the same mesh
        for name in _of_kind(names, (ending,)):
            by_stem.setdefault(os.path.splitext(name)[0], []).append(name)
    stems = [stem for stem in dict.fromkeys(os.path.splitext(name)[0] for name in names)
             if stem in by_stem]
    newest = _newest(folder, [by_stem[stem][0] for stem in stems], _MOST_MESHES)
    items = []
    for name in newest:
        path = os.path.join(folder, name)
        data = _mesh(path, _time(path), 'y' if name.endswith('.glb') else up)   # glTF is y-up
        budget[0] -= len(data)
        if not data or budget[0] < 0:
            continue
        links = ' '.join(map(_link, by_stem[os.path.splitext(name)[0]]))
        items.append('<figure><div class="mesh"><script type="application/json">{}</script></div>'
                     '<figcaption><button type="button">up</button>{}</figcaption></figure>'
                     .format(data, links))
    return _section('Meshes', items, '<p>Drag to turn; click, then use the wheel to zoom. Large '
                    'meshes are shown with fewer triangles than the files have.</p>')


@functools.lru_cache(512)
def _mesh(path, time, up):
    """JSON of a mesh for the viewer, remembered for a page that is written again; '': none."""
    del time
    data = figures.read_mesh(path, up)
    return '' if data is None else json.dumps(data)     # base64 and numbers: no < in it


@functools.lru_cache(256)
def _picture(path, time):
    del time
    return figures.picture(path) or ''


def _pictures(folder, names, budget):
    items = []
    for name in _newest(folder, _of_kind(names, figures.PICTURES), _MOST_PICTURES):
        path = os.path.join(folder, name)
        address = _picture(path, _time(path))
        budget[0] -= len(address)
        if address and budget[0] >= 0:
            items.append('<figure class="large"><img alt="{}" src="{}"><figcaption>{}</figcaption>'
                         '</figure>'.format(html.escape(name), address, _link(name)))
    return _section('Pictures', items)


def _tables(folder, names):
    items = []
    for name in _of_kind(names, figures.TABLES)[:_MOST_TABLES]:
        rows, text = figures.table(os.path.join(folder, name))
        body = '<pre>{}</pre>'.format(html.escape(text)) if text else ''
        if rows:
            body = '<table>{}</table>'.format(''.join('<tr>{}</tr>'.format(''.join(
                '<{0}>{1}</{0}>'.format('td' if number else 'th', html.escape(cell))
                for cell in row)) for number, row in enumerate(rows)))
        if body:
            items.append('<figure class="large"><figcaption>{}</figcaption><div class="wide">{}'
                         '</div></figure>'.format(_link(name), body))
    return _section('Tables', items)


def _links(folder, names):
    listed = ''.join('<li>{} {}</li>'.format(_link(name), _size(os.path.join(folder, name)))
                     for name in names[:_MOST_LINKS])
    more = '<p>{} more files.</p>'.format(len(names) - _MOST_LINKS) if len(
        names) > _MOST_LINKS else ''
    return '<h2>Files</h2><ul>{}</ul>{}'.format(listed, more) if names else ''


def _size(path):
    try:
        size = os.path.getsize(path)
    except OSError:
        return ''
    return '({:.1f} MiB)'.format(size / 2. ** 20) if size >= 1 << 20 else (
        '({:.0f} KiB)'.format(math.ceil(size / 1024.)))

"""Shows the models in a browser: drop a picture or a mesh, get a mesh to turn and to download.

A tab for each model; each answer comes from the model's own script, on a run's checkpoint or on the
weights that ship. Listens on this machine alone unless --host says otherwise.

Example: python examples/web_demo.py --r2n2=r2n2/test/output/0 --port=8000
"""
import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from common import cli

if __name__ == '__main__':
    cli.end_on_signals()    # among the imports too
from common import errors
from common.geometry import generator

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PICTURES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp')
_MESHES = ('.obj', '.off', '.ply', '.stl', '.glb')
_MOST_FILES = 8             # of an upload
_MOST_JOBS = 200            # answers that are kept; the oldest goes
_SECONDS = 600              # that an answer may take
_SILENT = 60                # seconds that an upload may stand still
_UNSEEN = 10                # shapes of each class between which VSL interpolates
_FLASK = ('the web demo needs the package flask, which this Python does not have: pip install '
          'flask==2.2.5')
_SHOWN = re.compile(r'[\w-]+(\.[\w-]+)+')   # names of files that are given out


class Busy(errors.InputError):
    """Too many requests wait already."""


class Tab(NamedTuple):
    """What a model's tab takes and runs.

    Attributes:
      title: str; endings: of the files to upload, none: no file; most: how many; fields: (name,
        label, smallest, largest, value) of numbers; note: str, what to expect.
      classes: names to choose one from, none: no choice; unset: str, what it means to choose none.
      least: int, how many files at least.
    """

    title: str
    endings: Sequence[str]
    most: int
    fields: Sequence[Tuple[str, str, float, float, float]]
    note: str
    classes: Sequence[str] = ()
    unset: str = 'all in turn'
    least: int = 1


TABS = {
    'r2n2': Tab('3D-R2N2', _PICTURES, _MOST_FILES, [('threshold', 'threshold', 0, 1, 0.4)],
                'One to eight pictures of one object.'),
    'imnet': Tab('IM-NET', _PICTURES, 1, [], 'One picture of an object.'),
    'cmr': Tab('CMR', _PICTURES, 1, [], 'One photo of a person.'),
    'vsl': Tab('VSL', _MESHES, 1, [('first', 'from shape', 0, _UNSEEN - 1, 0),
                                   ('second', 'to shape', 0, _UNSEEN - 1, 1)],
               'One closed mesh, z up: its class and what is decoded. Without a file: seven shapes '
               'on the way from one to another of a class that no training has seen.',
               generator.CLASSES, generator.CLASSES[0], 0),
    'polygen': Tab('PolyGen', _PICTURES, 1, [('seed', 'seed', 0, 2 ** 31 - 1, 0),
                                             ('num_samples', 'samples', 1, 8, 4),
                                             ('temperature', 'temperature', 0.05, 2, 1)],
                   'Meshes of a class or of any. With a picture of a piece of furniture: meshes of '
                   'that, by the weights that ship, whatever the class.',
                   ('any', *generator.CLASSES), least=0),
}


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    for name, tab in TABS.items():
        parser.add_argument('--' + name, type=cli.path, default='', metavar='FOLDER',
                            help='output folder of a run of {}; unset: its default one, else the '
                                 'weights that ship'.format(tab.title))
    parser.add_argument('--vsl_data', type=cli.path, default='', metavar='FILE',
                        help='.mat file that VSL was trained on; unset: procedural furniture')
    parser.add_argument('--host', default='127.0.0.1', help='address to listen on')
    parser.add_argument('--port', type=cli.positive_int, default=8000, help='port to listen on')
    parser.add_argument('--max_upload', type=cli.positive_int, default=20,
                        help='MiB of an upload at most')
    parser.add_argument('--workers', type=cli.positive_int, default=1,
                        help='answers that are computed at the same time')
    parser.add_argument('--waiting', type=cli.positive_int, default=8,
                        help='requests that wait for their turn at most; more are sent away')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def command_of(model: str, run: str, paths: Sequence[str], numbers: Dict[str, Any], folder: str,
               vsl_data: str = '') -> List[str]:
    """Returns the command line that answers a request.

    Args:
      model: str, a key of TABS; run: str, output folder of a run, '': the weights that ship.
      paths: uploaded files; numbers: of `numbers_of`; folder: str, where results go.
      vsl_data: str, the set of VSL.
    """
    script = os.path.join(_ROOT, model, {
        'r2n2': 'demo.py', 'imnet': 'IMSVR/main.py', 'cmr': 'demo.py', 'vsl': 'vsl_main.py',
        'polygen': 'sample.py'}[model])
    weights = ['--checkpoint', run] if run else ['--pretrained']
    output = ['--output_path', folder]
    if model == 'r2n2':
        more = [*paths, '--output', os.path.join(folder, 'object.obj'),
                '--threshold={}'.format(numbers['threshold'])]
    elif model == 'cmr':
        more = ['--img', paths[0], '--outfile', os.path.join(folder, 'body')]
    elif model == 'imnet':
        more = ['--image', paths[0], '--resolution=64', '--extraction=octree', '--formats', 'glb',
                'stl']
        if run:     # the run tells more than a checkpoint of it: the decoder's clip
            weights, output = [], ['--output_path', run, '--sample_dir', folder]
    elif model == 'vsl':
        more = ['--stages=encode', '--shape', paths[0]] if paths else [
            '--stages=interpolate', '--class', numbers.get('class', generator.CLASSES[0]),
            '--id2={:d}'.format(int(numbers['first'])), '--id1={:d}'.format(int(numbers['second']))]
        more += ['--data_path', vsl_data]
    else:
        more = ['--seed={:d}'.format(int(numbers['seed'])), '--num_samples={:d}'.format(
            int(numbers['num_samples'])), '--temperature={}'.format(numbers['temperature']),
                '--valid_only']
        if paths:
            more, weights = more + ['--image', paths[0]], ['--pretrained']
        elif numbers.get('class'):
            more += ['--class_label', numbers['class']]
    return [sys.executable, script, *more, *weights, *output]


class Jobs:
    """Requests that are answered: a folder of its own for each, so that nobody sees another's.

    Args:
      workers: int, answers that are computed at the same time.
      waiting: int, requests that wait beside them at most.
    """

    def __init__(self, workers: int, waiting: int):
        self.root = tempfile.mkdtemp(prefix='web_demo_')
        self._turn = threading.BoundedSemaphore(workers)
        self._places = threading.BoundedSemaphore(workers + waiting)
        self._most = _MOST_JOBS + workers + waiting     # none of those that wait goes
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._names: List[str] = []

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place of the queue, from before an upload is read.

        Raises:
          Busy: there is none.
        """
        if not self._places.acquire(blocking=False):
            raise Busy('too many requests wait already; try again in a minute.')
        try:
            yield
        finally:
            self._places.release()

    def drop(self, name: str) -> None:
        """Removes the folder of a request."""
        with self._lock:
            if name in self._names:
                self._names.remove(name)
        shutil.rmtree(os.path.join(self.root, name), ignore_errors=True)

    def new(self) -> str:
        """Makes the folder of a request; returns its name, which cannot be guessed."""
        name = secrets.token_urlsafe(16)
        os.makedirs(os.path.join(self.root, name))
        with self._lock:
            self._names.append(name)
            old = self._names[:-self._most]
            del self._names[:-self._most]
        for one in old:
            shutil.rmtree(os.path.join(self.root, one), ignore_errors=True)
        return name

    def vsl_set(self) -> str:
        """Returns the set that VSL's classes and nearest shapes are of; made when first asked for.

        Raises:
          errors.InputError: it cannot be made.
        """
        path = os.path.join(self.root, 'furniture.mat')
        with self._making:
            if not os.path.exists(path):
                done = subprocess.run(
                    [sys.executable, os.path.join(_ROOT, 'vsl', 'make_dataset.py'), '--furniture',
                     '--generator=2', '--num_train=40', '--num_test={}'.format(_UNSEEN),
                     '--output', path],
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
                if done.returncode:
                    raise errors.InputError('the set of VSL cannot be made: {}'.format(
                        done.stderr.decode(errors='replace').strip()[-300:]))
        return path

    def run(self, name: str, command: Sequence[str]) -> List[str]:
        """Runs a command when it is its turn.

        Returns:
          what it said of how the input compares with what the model knows, a line each.
        Raises:
          errors.InputError: what was wrong.
        """
        with self._turn:
            try:
                done = subprocess.run(command, cwd=os.path.join(self.root, name),
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL, timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                raise errors.InputError('no answer within {} s.'.format(_SECONDS)) from None
        if done.returncode == 0:
            return [line for line in done.stdout.decode(errors='replace').splitlines()
                    if ' held-out samples ' in line]
        lines = done.stderr.decode(errors='replace').strip().splitlines()
        told = [line[len('error: '):] for line in lines if line.startswith('error: ')]
        text = told[-1] if told else 'the script ended with exit code {}.'.format(done.returncode)
        raise errors.InputError(text.replace(os.path.join(self.root, name) + os.sep, ''))


def numbers_of(tab: Tab, form: Any) -> Dict[str, Any]:
    """Returns the numbers of a form, and under 'class' the class, where one was chosen.

    Raises:
      errors.InputError: one is none, or out of its range; there is no such class.
    """
    numbers: Dict[str, Any] = {}
    if tab.classes and form.get('class'):
        if form['class'] not in tab.classes:
            raise errors.InputError('there is no class {}.'.format(errors.quote(form['class'])))
        numbers['class'] = form['class']
    for name, label, low, high, value in tab.fields:
        try:
            number = float(form.get(name, value))
        except ValueError:
            number = float('nan')
        if not low <= number <= high:
            raise errors.InputError('{} must be a number from {:g} to {:g}.'.format(
                label, low, high))
        numbers[name] = number
    return numbers


def stored(tab: Tab, uploads: Sequence[Any], folder: str) -> List[str]:
    """Stores uploaded files under names of our own; returns their paths.

    Raises:
      errors.InputError: there are too few, too many, or some of another kind.
    """
    uploads = [one for one in uploads if one.filename]
    if not tab.least <= len(uploads) <= tab.most:
        raise errors.InputError('{} takes {} to {} files, not {}.'.format(
            tab.title, tab.least, tab.most, len(uploads)))
    paths = []
    for number, one in enumerate(uploads):
        ending = os.path.splitext(one.filename)[1].lower()
        if ending not in tab.endings:
            raise errors.InputError('{} takes {}, not {}.'.format(
                tab.title, ' '.join(tab.endings), errors.quote(ending or 'a file without ending')))
        paths.append(os.path.join(folder, 'upload{}{}'.format(number, ending)))
        one.save(paths[-1])
    return paths


def run_of(model: str, given: str) -> str:
    """Returns the run's folder that a tab uses, '' for the weights that ship."""
    for folder in (given, os.path.join(_ROOT, model, 'output'),
                   os.path.join(_ROOT, model, 'test', 'output', '0')):
        if folder and os.path.isdir(os.path.join(folder, 'checkpoints')):
            return os.path.abspath(folder)
    return ''


def make_app(options: Any) -> Any:
    """Makes the Flask application.

    Raises:
      errors.InputError: the package flask is missing.
    """
    try:
        import flask
    except ImportError as error:
        raise errors.InputError(_FLASK) from error
    from werkzeug.exceptions import ClientDisconnected  # of Flask

    from common.pages import report
    app, jobs = flask.Flask('web_demo'), Jobs(options.workers, options.waiting)
    app.config['MAX_CONTENT_LENGTH'] = options.max_upload << 20
    app.config['JOBS'] = jobs

    @app.route('/')
    def start():
        return flask.render_template_string(_PAGE, tabs=TABS, limit=options.max_upload)

    @app.route('/<model>', methods=['POST'])
    def ask(model):
        """Answers a request of a tab by a page, or by a line and the HTTP status of a refusal."""
        if model not in TABS:
            flask.abort(404)
        if flask.request.content_length is None:    # its size could not be bounded
            return flask.jsonify(error='the upload must tell its size (Content-Length).'), 411
        try:
            with jobs.place():
                name = _answer(jobs, options, model, flask.request)
        except Busy as error:
            return flask.jsonify(error=str(error)), 503, {'Retry-After': '60'}
        except ClientDisconnected:      # as which Werkzeug tells a timeout too
            return flask.jsonify(error='the upload stood still for {} s.'.format(_SILENT)), 408
        except errors.InputError as error:
            return flask.jsonify(error=str(error)), 400
        return flask.jsonify(page='/job/{}/{}'.format(name, report.NAME))

    @app.route('/job/<name>/<path:file>')
    def give(name, file):
        if not re.fullmatch(r'[\w-]+', name) or not all(
                _SHOWN.fullmatch(part) or re.fullmatch(r'[\w-]+', part)
                for part in file.split('/')):
            flask.abort(404)
        return flask.send_from_directory(os.path.join(jobs.root, name), file)

    @app.errorhandler(413)
    def too_large(error):
        del error
        return flask.jsonify(error='the upload is larger than {} MiB.'.format(
            options.max_upload)), 413

    return app


def _answer(jobs, options, model, request):
    """Does what a form asks of a model; returns the name of the job, whose page is there then."""
    tab = TABS[model]
    numbers = numbers_of(tab, request.form)
    name = jobs.new()
    try:
        _work(jobs, options, model, request, numbers, name)
    except BaseException:
        jobs.drop(name)     # nobody is told its name
        raise
    return name


def _work(jobs, options, model, request, numbers, name):
    from common.pages import report
    tab, folder = TABS[model], os.path.join(jobs.root, name)
    paths = stored(tab, request.files.getlist('files'), folder) if tab.most else []
    run = run_of(model, vars(options)[model])
    vsl_data = (options.vsl_data or jobs.vsl_set()) if model == 'vsl' else ''
    command = command_of(model, run, paths, numbers, folder, vsl_data)
    if paths and request.form.get('remove_background') and tab.endings is _PICTURES:
        command.append('--remove_background')
    if model == 'polygen' and paths:    # see command_of
        run = ''
        numbers.pop('class', None)
    said = jobs.run(name, command)
    report.write_folder(folder, tab.title, 'z' if model == 'vsl' else 'y', dict(
        {'weights': os.path.basename(run) or 'those that ship', **numbers},
        **({'of the input': '; '.join(said).replace(folder + os.sep, '')} if said else {})))


_PAGE = '''<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>3D shapes</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 1rem; }
section { display: none; } section.open { display: block; } nav button.open { font-weight: bold; }
iframe { width: 100%; height: 75vh; border: 1px solid #ccd; } .error { color: #a00; }
label { margin-right: 1rem; }</style></head><body><h1>3D shapes</h1>
<nav>{% for name, tab in tabs.items() %}<button data-tab="{{ name }}">{{ tab.title }}</button>
{% endfor %}</nav>
{% for name, tab in tabs.items() %}<section id="{{ name }}"><p>{{ tab.note }}</p>
<form action="/{{ name }}">{% if tab.most %}<input type="file" name="files"
 accept="{{ tab.endings | join(',') }}"{% if tab.most > 1 %} multiple{% endif %}> at most
 {{ limit }} MiB{% endif %}
{% if '.png' in tab.endings %}<label><input type="checkbox" name="remove_background" value="1">
 remove the background</label>{% endif %}
{% if tab.classes %}<label>class <select name="class"><option value="">{{ tab.unset }}</option>
{% for name in tab.classes %}<option>{{ name }}</option>{% endfor %}</select></label>{% endif %}
{% for field, label, low, high, value in tab.fields %}<label>{{ label }}
 {% if high <= 10 %}<input type="range" step="{{ 1 if high > 2 else 0.05 }}" name="{{ field }}"
 min="{{ low }}" max="{{ high }}" value="{{ value }}"
 oninput="this.nextElementSibling.value = this.value"><output>{{ value }}</output>{% else %}
 <input type="number" step="any" name="{{ field }}" min="{{ low }}" max="{{ high }}"
 value="{{ value }}">{% endif %}</label>
{% endfor %}<button>Go</button></form><p class="said" role="status"></p>
<iframe hidden sandbox="allow-scripts allow-downloads"></iframe></section>{% endfor %}
<script>
const sections = document.querySelectorAll('section');
const tabs = document.querySelectorAll('nav button');
function show(name) {
  sections.forEach(one => one.classList.toggle('open', one.id === name));
  tabs.forEach(one => one.classList.toggle('open', one.dataset.tab === name));
}
tabs.forEach(one => one.addEventListener('click', () => show(one.dataset.tab)));
show(sections[0].id);
sections.forEach(section => section.querySelector('form').addEventListener('submit',
 async event => {
  event.preventDefault();
  const said = section.querySelector('.said'), frame = section.querySelector('iframe');
  said.className = 'said'; said.textContent = 'Working ...';
  let answer;
  try {
    const sent = await fetch(event.target.action,
                             {method: 'POST', body: new FormData(event.target)});
    answer = await sent.json();
  } catch (error) { answer = {error: 'the server does not answer.'}; }
  if (answer.error) { said.className = 'said error'; said.textContent = answer.error; return; }
  said.textContent = ''; frame.src = answer.page; frame.hidden = false;
}));
</script></body></html>'''


def serve(options: Any) -> None:
    """Serves until Ctrl-C; the answers go then."""
    app = make_app(options)
    from werkzeug.serving import WSGIRequestHandler  # of Flask
    handler = type('Handler', (WSGIRequestHandler,), {'timeout': _SILENT})
    cli.say('http://{}:{}'.format(options.host, options.port))
    try:
        app.run(options.host, options.port, threaded=True, request_handler=handler)
    finally:
        shutil.rmtree(app.config['JOBS'].root, ignore_errors=True)


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(serve, parse_args(argv))


if __name__ == '__main__':
    cli.script(main)

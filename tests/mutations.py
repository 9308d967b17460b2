"""Lets tests show that they notice wrong code: changes a line, runs tests that reach it, counts.

Two steps, each resumed where it stopped. `--reach` runs the quick tests once and notes which test
enters which function and how long it takes. Then each mutant (see tests/mutants.py) is tried on the
tests that enter its function, quickest first, up to the first failure. TensorFlow is imported once:
each run is a forked process in which one module is compiled from its changed tree.

Verdicts: noticed (a test failed), late (it ran into the time limit), survived, unreached (no quick
test enters the function). Equivalent mutants, which no test can notice, stand with their reason in
mutations_equivalent.json and do not count.

Examples: python -m tests.mutations --reach
  python -m tests.mutations --only vsl --count 30
"""
import ast
import collections
import csv
import glob
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import threading
import time

from common import cli, collection, files
from common.readers import text
from tests import mutants

ROOT = collection.ROOT
# What is changed, by package: networks, losses, measures and what reads their data.
SOURCES = {
    'vsl': ['vsl/vsl.py', 'vsl/vsl_rec.py', 'vsl/measures.py', 'vsl/data_utils.py',
            'vsl/datasets.py', 'vsl/networks.py'],
    'polygen': ['polygen/modules.py', 'polygen/blocks.py', 'polygen/own_layers.py',
                'polygen/data_utils.py', 'polygen/measures.py', 'polygen/sequences.py',
                'polygen/sampling.py', 'polygen/training_graph.py', 'polygen/mesh_sets.py'],
    'imnet': ['imnet/decoder.py', 'imnet/IMGAN/model*.py', 'imnet/IMGAN/ops.py',
              'imnet/IMSVR/model.py', 'imnet/IMSVR/ops.py', 'imnet/IMSVR/[pv]*.py',
              'imnet/data_utils.py', 'imnet/extraction.py', 'imnet/measures.py',
              'imnet/light_field.py', 'imnet/point_sampling/[st]*.py'],
    'r2n2': ['r2n2/models/net.py', 'r2n2/lib/data_*.py', 'r2n2/lib/fast_conv.py',
             'r2n2/lib/[lvw]*.py', 'r2n2/lib/solver.py'],
    'cmr': ['cmr/src/models/*.py', 'cmr/src/loss/*.py', 'cmr/src/netCell/*.py',
            'cmr/src/dataset/[bd]*.py', 'cmr/src/dataset/preprocess/[hs]*.py',
            'cmr/src/utils/imutils.py', 'cmr/src/utils/metrics.py', 'cmr/src/utils/mesh.py',
            'cmr/src/utils/pose_utils.py', 'cmr/src/utils/photo.py', 'cmr/src/config.py',
            'cmr/evaluation.py'],
    'common': ['common/geometry/{}.py'.format(name) for name in (
        'gltf', 'mesh_formats', 'meshes', 'polygons', 'rasterizer', 'voxel_grids')]
              + ['common/ops/volume_conv.py'],
}
# The nearest tests: without those of whole scripts, which take long and see little.
_NEAREST = {
    'vsl': ['published', 'measures', 'data_utils', 'make_dataset', 'vsl'],
    'polygen': ['published', 'data_utils', 'layers', 'mesh_sets', 'sampling', 'modules'],
    'imnet': ['published', 'light_field', 'data_utils', 'extraction', 'point_sampling'],
    'r2n2': ['published', 'data', 'fast_conv', 'models'],
    'cmr': ['published', 'mesh', 'regressor', 'renderer', 'eval', 'demo', 'data'],
    'common': ['polygons', 'rasterizer', 'voxel_grids', 'meshes', 'gltf', 'furniture',
               'volume_conv', 'variable_store', 'initial_values', 'plots']}
TESTS = {package: ['tests/{}/test_{}.py'.format(package, name) for name in names]
         + ['tests/test_field_cases.py' if package == 'common' else 'tests/test_golden.py']
         for package, names in _NEAREST.items()}
TABLE = os.path.join(ROOT, 'tests', 'mutations.csv')
EQUIVALENT = os.path.join(ROOT, 'tests', 'mutations_equivalent.json')
_COLUMNS = ('mutant', 'line', 'verdict', 'test', 'seconds')
_OURS = collection.NAMES + ('common', 'tests', 'examples')
# What takes long to import, for the process that is forked; absent ones are left out.
_LIBRARIES = ('tensorflow.compat.v1', 'h5py', 'PIL.Image', 'scipy.io', 'scipy.ndimage',
              'scipy.spatial', 'scipy.sparse', 'scipy.optimize', 'skimage.measure',
              'skimage.transform', 'sklearn.svm', 'trimesh', 'matplotlib.pyplot', 'mcubes', 'cv2',
              'yaml', 'pytest', 'tensor2tensor.layers.common_attention', 'sonnet')


def parse_args(argv=None):
    """Reads the options."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('--only', default='', metavar='PREFIX',
                        help='files whose path begins so, such as vsl or cmr/src/loss')
    parser.add_argument('--count', type=cli.positive_int, default=150,
                        help='mutants in all, the same number for each package')
    parser.add_argument('--seed', type=int, default=0, help='of the choice')
    parser.add_argument('--reach', action='store_true',
                        help='run the quick tests and note which functions they enter; files '
                             'of tests that were run before are left out')
    parser.add_argument('--again', action='store_true',
                        help='try those of the table again that were not noticed; with --reach: '
                             'run all tests')
    parser.add_argument('--seconds', type=float, default=float('inf'),
                        help='stop after so long, to go on another time')
    parser.add_argument('--most', type=cli.positive_float, default=8.,
                        help='CPU seconds of tests for one mutant')
    parser.add_argument('--reach_path', default=os.path.join(ROOT, 'output', 'mutations'),
                        help='folder where --reach writes')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    parser.add_argument('--show', default='', metavar='TEXT',
                        help='list the mutants whose name holds this, and run none; with --reach: '
                             'only files of tests whose path holds this')
    return parser.parse_args(argv)


def sources(package):
    """Paths from the root of a package's files that are changed, sorted."""
    return sorted({os.path.relpath(path, ROOT) for pattern in SOURCES[package]
                   for path in glob.glob(os.path.join(ROOT, pattern))
                   if os.path.basename(path) != '__init__.py'})


def _tree(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as stream:
        return ast.parse(stream.read())


def chosen(only, count, seed):
    """Draws mutants, the same number of each package; more of a file that has more to change.

    Returns:
      list of Mutant.
    """
    packages = [name for name in SOURCES if name.startswith(only.split('/')[0])]
    drawn = []
    for package in packages:
        every = [one for path in sources(package) if path.startswith(only)
                 for one in mutants.mutants(_tree(path), path)]
        order = random.Random('{}:{}'.format(seed, package)).sample(range(len(every)), len(every))
        drawn += [every[place] for place in order[:count // len(packages)]]
    return drawn


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads one module from a changed tree."""

    def __init__(self, name, path, tree):
        super().__init__(name, path)
        self.tree = tree

    def get_code(self, fullname):
        return compile(self.tree, self.path, 'exec', dont_inherit=True)


class _Finder:
    """Finds one module, whose tree it was given; others are found as always."""

    def __init__(self, path, tree):
        self.name, self.path, self.tree = path[:-len('.py')].replace('/', '.'), path, tree

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        place = os.path.join(ROOT, self.path)
        return importlib.util.spec_from_file_location(name, place, loader=_Loader(
            name, place, self.tree))


class _Plugin:
    """Notes in a run of pytest: first failure, CPU seconds of each test, and what it entered."""

    def __init__(self, paths=()):
        self.failed, self.seconds, self.entered = '', collections.Counter(), {}
        self._current, self._began = None, 0.
        self._paths = {os.path.join(ROOT, path): path for path in paths}

    def pytest_runtest_logstart(self, nodeid):
        self._current, self._began = self.entered.setdefault(nodeid, set()), time.process_time()

    def pytest_runtest_logfinish(self, nodeid):
        self.seconds[nodeid] = time.process_time() - self._began

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid
        if report.skipped or report.failed:
            self.entered.pop(report.nodeid, None)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failed = self.failed or report.nodeid

    def trace(self, frame, event, _):
        """A trace function that sees calls and no lines."""
        path = self._paths.get(frame.f_code.co_filename)
        if path and self._current is not None:
            self._current.add((path, frame.f_code.co_firstlineno))


def _pytest(arguments, plugin, finder=None):
    """Runs pytest in this process, which is a fork of one without a module of ours."""
    for name in list(sys.modules):
        if name.split('.')[0] in _OURS:
            del sys.modules[name]
    if finder:
        sys.meta_path.insert(0, finder)
    import pytest
    return pytest.main(['-q', '-x', '-p', 'no:cacheprovider', '-m', 'not slow and not npu',
                        '--rootdir', ROOT] + arguments, plugins=[plugin])


def forked(work, limit):
    """Calls `work()` in a forked process of its own group.

    Returns:
      what `work` returned, by way of JSON; None if it took longer than `limit` seconds or ended
      otherwise.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        os.close(reading)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        try:
            data = json.dumps(work()).encode('utf-8')
            while data:
                data = data[os.write(writing, data):]
        finally:
            os._exit(0)
    os.close(writing)
    timer = threading.Timer(limit, os.killpg, (child, signal.SIGKILL))
    timer.start()
    with os.fdopen(reading, 'rb') as stream:
        data = stream.read()
    timer.cancel()
    os.waitpid(child, 0)
    return json.loads(data.decode('utf-8')) if data else None


def _functions(path):
    """{first line of a function's code: its name with its class}, of a file."""
    return {one.first_line: one.entry for one in mutants.mutants(_tree(path), path)
            if one.first_line}


def _is_published(test):
    """Whether a test is of those that hold constants to papers."""
    return '/test_published.py::' in test


def reach(package, path):
    """Runs the quick tests of a file.

    Returns:
      {test: [seconds, functions of the package that it enters, as 'path:name']}, or None if it took
      too long.
    """
    def work():
        plugin = _Plugin(sources(package))
        names = {path: _functions(path) for path in sources(package)}
        sys.settrace(plugin.trace)
        threading.settrace(plugin.trace)
        arguments = ['-k', package] if path.endswith('test_golden.py') else []
        _pytest([path, '--maxfail=1000'] + arguments, plugin)
        return {test: [plugin.seconds[test], sorted(
            '{}:{}'.format(path, names[path][line]) for path, line in entered
            if line in names[path])]
                for test, entered in plugin.entered.items() if entered or _is_published(test)}
    return forked(work, 1500)


def tests_of(mutant, reached, most):
    """The tests that enter a mutant's function, quickest first, as many as their time allows."""
    place = '{}:{}'.format(mutant.path, mutant.entry)
    found = [(seconds, test) for test, (seconds, entered) in reached.items() if place in entered]
    if not found:   # it is used at the import: any function of the file, and tests of constants
        found = [(seconds, test) for test, (seconds, entered) in reached.items()
                 if _is_published(test) or any(one.startswith(mutant.path + ':')
                                               for one in entered)]
    kept, total = [], 0
    for seconds, test in sorted(found):
        total += seconds
        if total > most:
            break
        kept.append(test)
    return kept


def verdict_of(mutant, reached, most):
    """Tries one mutant; (verdict, test that noticed)."""
    tests = tests_of(mutant, reached, most)
    if not tests:
        return 'unreached', ''

    def work():
        tree = _tree(mutant.path)
        same = [one for one in mutants.mutants(tree, mutant.path)
                if mutants.key_of(one) == mutants.key_of(mutant)]
        same[0].apply()
        plugin = _Plugin()
        code = _pytest(tests, plugin, _Finder(mutant.path, ast.fix_missing_locations(tree)))
        return [int(code), plugin.failed]

    done = forked(work, 120 + 20 * sum(reached[test][0] for test in tests))
    if done is None:
        return 'late', ''
    return ('noticed' if done[0] else 'survived'), done[1]


def _read_table():
    if not os.path.exists(TABLE):
        return {}
    with open(TABLE, encoding='utf-8', newline='') as stream:
        return {row['mutant']: row for row in csv.DictReader(stream)}


def _write_table(rows):
    with files.replacing(TABLE) as temporary:
        with open(temporary, 'w', encoding='utf-8', newline='') as stream:
            writer = csv.DictWriter(stream, _COLUMNS, lineterminator='\n')
            writer.writeheader()
            writer.writerows(rows[key] for key in sorted(rows))


def _import_libraries():
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('MPLBACKEND', 'Agg')
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def equivalent():
    """{mutant: why no test can notice it}."""
    return text.read_json(EQUIVALENT) if os.path.exists(EQUIVALENT) else {}


def summary(rows):
    """Lines: for each package how many mutants were noticed, and which were not."""
    known, lines, all_counts = equivalent(), [], collections.Counter()
    for package in SOURCES:
        counts = collections.Counter(
            'equivalent' if key in known else row['verdict'] for key, row in rows.items()
            if key.split('/')[0] == package)
        all_counts.update(counts)
        lines.append(_counted(package, counts))
    lines.append(_counted('all', all_counts))
    return lines + ['not noticed: {} (line {}, {})'.format(key, row['line'], row['verdict'])
                    for key, row in sorted(rows.items())
                    if row['verdict'] in ('survived', 'unreached') and key not in known]


def _counted(name, counts):
    noticed = counts['noticed'] + counts['late']
    total = sum(counts.values()) - counts['equivalent']
    return '{:8} {:4} mutants, {:4} noticed ({:.1f} %), {} survived, {} unreached, {} ' \
           'equivalent'.format(name, total, noticed, 100 * noticed / max(total, 1),
                               counts['survived'], counts['unreached'], counts['equivalent'])


def every(only=''):
    """{name: Mutant} of all that there are in files whose path begins with `only`."""
    return {mutants.key_of(one): one for package in SOURCES if package.startswith(
        only.split('/')[0]) for path in sources(package) if path.startswith(only)
            for one in mutants.mutants(_tree(path), path)}


def _unnoticed(options, rows):
    """Mutants of the table that no test has noticed."""
    there = every(options.only)
    return [there[key] for key, row in sorted(rows.items())
            if key in there and row['verdict'] not in ('noticed', 'late')]


def _try_all(options):
    rows, end, reached = _read_table(), time.time() + options.seconds, {}
    for mutant in _unnoticed(options, rows) if options.again else chosen(
            options.only, options.count, options.seed):
        key = mutants.key_of(mutant)
        if time.time() > end or key in rows and not options.again or key in equivalent():
            continue
        start, package = time.time(), mutant.path.split('/')[0]
        if package not in reached:
            reached[package] = {test: value for tests in _reached(options, package).values()
                                for test, value in (tests or {}).items()}
        verdict, test = verdict_of(mutant, reached[package], options.most)
        rows = _read_table()        # others may have gone on
        rows[key] = {'mutant': key, 'line': mutant.line, 'verdict': verdict, 'test': test,
                     'seconds': '{:.1f}'.format(time.time() - start)}
        _write_table(rows)
        cli.say('{:9} {:5}s {}:{} {} {}'.format(verdict, rows[key]['seconds'], mutant.path,
                                               mutant.line, key.split(': ', 1)[1], test))
    there, rows = every(), _read_table()
    rows = {key: row for key, row in rows.items() if key in there}      # code goes on
    _write_table(rows)
    for line in summary(rows):
        cli.say(line)


def _reach_file(options, package):
    return os.path.join(options.reach_path, package + '.json')


def _reached(options, package):
    """{file of tests: {test: [seconds, functions]}}, as far as --reach has come."""
    path = _reach_file(options, package)
    return text.read_json(path) if os.path.exists(path) else {}


def _reach_all(options):
    end = time.time() + options.seconds
    for package in (name for name in SOURCES if name.startswith(options.only)):
        reached = _reached(options, package)
        for path in TESTS[package]:
            if path in reached and not options.again or options.show not in path:
                continue
            if time.time() > end:
                return
            start = time.time()
            reached[path] = reach(package, path)
            files.write_json(_reach_file(options, package), reached)
            cli.say('{}: {}, {} tests, {:.0f} s'.format(
                package, path, len(reached[path] or ()), time.time() - start))


def work(options):
    """Does what the options ask."""
    os.chdir(ROOT)
    if options.show and not options.reach:
        for mutant in chosen(options.only, 10 ** 9, options.seed):
            if options.show in mutants.key_of(mutant):
                cli.say('{} (line {})'.format(mutants.key_of(mutant), mutant.line))
        return
    _import_libraries()
    (_reach_all if options.reach else _try_all)(options)


def main(argv=None):
    """Runs the command; returns its exit code."""
    return cli.run(work, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

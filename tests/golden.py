"""Compares the port with numbers that the originals computed.

Each case is a folder with case.json, inputs.npz and expected.npz; the README beside the cases tells
the format. An adapter, chosen by the case's `model` and `kind`, computes the expected arrays again.

Example: python -m tests.golden ../shared/golden --model polygen --path both
"""
import collections
import importlib
import json
import os
import sys
import traceback
import zlib

import numpy as np

from common import cli, errors

# Package of the adapters of each family of models; a case's model starts with the family's name.
FAMILIES = ('polygen', 'vsl', 'imnet', 'r2n2', 'cmr')
PATHS = {'plain': ['plain'], 'cpu': ['cpu'], 'both': ['plain', 'cpu']}
CASES_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'golden_cases')

Case = collections.namedtuple('Case', 'model kind name config inputs expected weights tolerance '
                                      'tight_tolerance directory')
Case.__doc__ = """A golden case as an adapter sees it: `inputs`, `expected` and `weights` map names
to arrays, `config` is case.json's, `directory` holds further files. The name is for people only."""


def draw_weight(seed, name, shape, dist, a, b):
    """Draws one parameter by the rule of the golden cases, float32 of the given shape."""
    rng = np.random.RandomState(zlib.crc32('{}:{}'.format(seed, name).encode()) & 0xffffffff)
    draw = {'normal': rng.normal, 'uniform': rng.uniform}[dist]
    return np.asarray(draw(a, b, size=tuple(shape)), dtype=np.float32)


def _load_arrays(path):
    if not os.path.exists(path):
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def load_case(directory):
    """Reads a case's folder into a Case.

    Raises:
      errors.InputError: case.json is missing or no JSON.
    """
    try:
        with open(os.path.join(directory, 'case.json'), encoding='utf-8') as stream:
            case = json.load(stream)
    except (OSError, ValueError) as error:
        raise errors.InputError('{}/case.json cannot be read: {}'.format(directory, error))
    stored = _load_arrays(os.path.join(directory, 'weights.npz'))
    weights = collections.OrderedDict()
    seed = case.get('weights', {}).get('seed', 0)
    for row in case.get('weights', {}).get('params', []):
        weights[row['name']] = stored[row['name']] if row['dist'] == 'stored' else draw_weight(
            seed, row['name'], row['shape'], row['dist'], row['a'], row['b'])
    return Case(model=case['model'], kind=case['kind'], name=case['case'], config=case['config'],
                inputs=_load_arrays(os.path.join(directory, 'inputs.npz')),
                expected=_load_arrays(os.path.join(directory, 'expected.npz')),
                weights=weights, tolerance=case.get('tolerance', {}),
                tight_tolerance=case.get('tolerance_tf115_cpu'), directory=directory)


def find_cases(roots, model=''):
    """Folders with a case.json below the roots whose model's name starts with `model`, sorted."""
    cases = []
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders.sort()
            if 'case.json' in files:
                name = os.path.basename(os.path.dirname(os.path.abspath(folder)))
                if name.startswith(model):
                    cases.append(folder)
    return cases


def adapter_of(case):
    """The function (case, path) -> {name: array} for a case, or None."""
    for family in FAMILIES:
        if case.model.startswith(family):
            module = 'tests.{}.golden_adapters'.format(family)
            if importlib.util.find_spec(module):
                return importlib.import_module(module).ADAPTERS.get((case.model, case.kind))
    return None


def compare(name, actual, expected, tolerance):
    """Largest error of an array as a share of its tolerance; above 1 it has failed.

    Args:
      name: str, for messages.
      actual, expected: arrays.
      tolerance: dict with `rtol`, `atol` and, optional, `match_fraction`.
    Returns:
      (share float, text or None): the text says what is wrong apart from the size of the error.
    """
    actual = np.asarray(actual)
    if actual.shape != expected.shape:
        return np.inf, '{}: shape {}, expected {}'.format(name, actual.shape, expected.shape)
    if expected.dtype.kind in 'US':
        same = np.array_equal(actual, expected)
        return (0., None) if same else (np.inf, '{}: another text'.format(name))
    ours, theirs = actual.astype(np.float64), expected.astype(np.float64)
    equal = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))  # infinities too
    with np.errstate(invalid='ignore'):
        error = np.where(equal, 0., np.abs(ours - theirs))
        limit = tolerance['atol'] + tolerance['rtol'] * np.abs(theirs)
    with np.errstate(divide='ignore', invalid='ignore'):
        shares = np.where(error == 0, 0., error / limit)
    shares = np.nan_to_num(shares, nan=np.inf).ravel()
    if not shares.size:
        return 0., None
    fraction = tolerance.get('match_fraction')
    if fraction:
        matching = np.mean(shares <= 1)
        if matching < fraction:
            return np.inf, '{}: {:.6f} of the elements match, {} asked for'.format(
                name, matching, fraction)
        shares = shares[shares <= 1]
    return float(shares.max()) if shares.size else 0., None


def _without_rows(array, rows):
    """Drops the rows (first axis, or second where the first counts steps) that only noise moves."""
    axis = 0 if array.ndim == 1 else 1
    return np.delete(array, rows, axis=axis)


def _has_the_originals_kernels():
    import tensorflow.compat.v1 as tf  # here, since --help needs no TensorFlow
    return tf.__version__.startswith('1.15')


def check_case(case, path):
    """Runs a case on one path.

    Args:
      case: Case.
      path: 'plain' or 'cpu'.
    Returns:
      (passed bool, text): the text names the worst array, its error and its tolerance.
    """
    adapter = adapter_of(case)
    if adapter is None:
        return False, 'no adapter for model {} kind {}'.format(case.model, case.kind)
    actual = adapter(case, path)
    tolerances = case.tolerance
    if path == 'plain' and case.tight_tolerance and _has_the_originals_kernels():
        tolerances = dict(case.tolerance, **case.tight_tolerance)
    missing = sorted(set(case.expected) - set(actual))
    if missing:
        return False, 'not computed: {}'.format(', '.join(missing))
    noise_rows = case.config.get('noise_rows') if isinstance(case.config, dict) else None
    worst = (-1., 'nothing to compare')
    for name in sorted(case.expected):
        tolerance = tolerances.get(name) or tolerances['*']
        ours, theirs = np.asarray(actual[name]), case.expected[name]
        if noise_rows and ('grad' in name or 'delta' in name) and ours.shape == theirs.shape:
            ours, theirs = _without_rows(ours, noise_rows), _without_rows(theirs, noise_rows)
        share, problem = compare(name, ours, theirs, tolerance)
        if share > worst[0]:
            text = '{} at {:.2g} of its tolerance (rtol {:g}, atol {:g})'.format(
                name, share, tolerance['rtol'], tolerance['atol'])
            worst = (share, problem or text)
    return 0. <= worst[0] <= 1., '{} arrays, worst: {}'.format(len(case.expected), worst[1])


def main(argv=None):
    """Prints a line a case; 0 when all pass, 1 when one fails or none is found."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('directories', nargs='*', help='folders that hold cases; none: the cases '
                        'that ship with the project')
    parser.add_argument('--model', default='', help='beginning of the name of the cases\' models')
    parser.add_argument('--path', choices=sorted(PATHS), default='both', help='plain: the graph as '
                        'the original builds it; cpu: the rewritten operations')
    cli.add_flag(parser, '--debug', default=False, help='show the traceback of a case that stops')
    config = parser.parse_args(argv)
    return cli.run(_run, config)


def _run(config):
    folders = find_cases(config.directories or [CASES_HERE], config.model)
    if not folders:
        raise errors.InputError('no golden case of a model {}* below {}.'.format(
            config.model, ', '.join(config.directories or [CASES_HERE])))
    failed = 0
    for folder in folders:
        for path in PATHS[config.path]:
            label = '/'.join(os.path.abspath(folder).split(os.sep)[-2:])
            try:
                passed, text = check_case(load_case(folder), path)
            except Exception as error:  # a case that stops is a case that fails; the others go on
                if config.debug:
                    traceback.print_exc()
                passed, text = False, '{}: {}'.format(type(error).__name__, error)
            failed += not passed
            print('{}  {:5s}  {}  {}'.format('pass' if passed else 'FAIL', path, label, text),
                  flush=True)
    total = len(folders) * len(PATHS[config.path])
    print('{} passed, {} failed'.format(total - failed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

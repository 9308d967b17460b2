"""The port against the originals' numbers, and the comparison itself."""
import json
import os
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from tests import golden

_SHARED = os.environ.get('GOLDEN_DIR') or os.path.join(
    os.path.dirname(golden.CASES_HERE), '..', '..', 'shared', 'golden')
_SHIPPED = golden.find_cases([golden.CASES_HERE])
_FURTHER = golden.find_cases([_SHARED])


def _label(folder):
    return '/'.join(folder.split(os.sep)[-2:])


def _kind(folder):
    """(model, kind) of a case, without its arrays."""
    with open(os.path.join(folder, 'case.json'), encoding='utf-8') as stream:
        case = json.load(stream)
    return case['model'], case['kind']


def _quick(folders):
    """The smallest case of each kind in a project; two networks trained together are not quick."""
    smallest = {}
    for folder in folders:
        kind = _kind(folder)
        size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        if kind[1] != 'joint-train':
            kind = kind[0].split('_')[0], kind[1]
            smallest[kind] = min(smallest.get(kind, (size, folder)), (size, folder))
    return {folder for _, folder in smallest.values()}


def _both_paths(folders):
    quick = _quick(folders)
    for folder in folders:
        for path in ('plain', 'cpu'):
            marks = () if path == 'cpu' and folder in quick else pytest.mark.slow
            yield pytest.param(folder, path, marks=marks, id='{}-{}'.format(_label(folder), path))


@pytest.mark.parametrize('folder, path', _both_paths(_SHIPPED))
def test_matches_original(folder, path):
    passed, text = golden.check_case(golden.load_case(folder), path)
    assert passed, text


@pytest.mark.slow
@pytest.mark.parametrize('folder', _FURTHER, ids=map(_label, _FURTHER))
def test_matches_original_in_further_cases(folder):
    case = golden.load_case(folder)
    if golden.adapter_of(case) is None:
        pytest.skip('no adapter yet for {} {}'.format(case.model, case.kind))
    passed, text = golden.check_case(case, 'cpu')
    assert passed, text


@pytest.mark.parametrize('models', [
    {'polygen_cond', 'polygen_data', 'polygen_face', 'polygen_vertex'}, {'vsl'}])
def test_every_kind_of_a_model_ships(models):
    shipped = set(map(_kind, _SHIPPED))
    if not _FURTHER:
        pytest.skip('no further cases here; {} kinds ship'.format(len(shipped)))
    assert {kind for kind in map(_kind, _FURTHER) if kind[0] in models} <= shipped


@pytest.mark.parametrize('actual, tolerance, passes', [
    ([1.0, 2.0], {}, True),
    ([1.0, 2.1], {}, False),
    ([1.0, np.nan], {}, False),
    ([1.0], {}, False),
    ([1.0, 2.1], {'match_fraction': 0.5}, True),
    ([1.1, 2.1], {'match_fraction': 0.5}, False)])
def test_compare_judges_by_the_tolerance(actual, tolerance, passes):
    share, _ = golden.compare('x', np.float32(actual), np.float32([1, 2]),
                              dict({'rtol': 0, 'atol': 1e-3}, **tolerance))
    assert (share <= 1) == passes


def test_compare_takes_equal_nan_and_integers_exactly():
    exact = {'rtol': 0, 'atol': 0}
    assert golden.compare('x', np.float32([np.nan]), np.float32([np.nan]), exact)[0] == 0
    assert golden.compare('x', np.float32([np.inf]), np.float32([np.inf]), exact)[0] == 0
    assert golden.compare('x', np.float32([np.inf]), np.float32([-np.inf]), exact)[0] > 1
    assert golden.compare('x', np.array([3]), np.array([3]), exact)[0] == 0
    assert golden.compare('x', np.array([4]), np.array([3]), exact)[0] > 1


def test_compare_measures_the_error_in_shares_of_the_tolerance_and_names_a_wrong_shape():
    tolerance = {'rtol': 0.01, 'atol': 1.}
    share, problem = golden.compare('x', np.array([102.5]), np.array([100.]), tolerance)
    np.testing.assert_allclose(share, 2.5 / (1 + 0.01 * 100))   # relative to what is expected
    assert problem is None
    share, problem = golden.compare('x', np.zeros([2, 3]), np.zeros([3, 2]), tolerance)
    assert share > 1 and problem == 'x: shape (2, 3), expected (3, 2)'
    assert golden.compare('x', np.zeros([0, 3]), np.zeros([0, 3]), tolerance) == (0., None)
    assert golden.compare('x', np.array('v 1'), np.array('v 1'), tolerance)[0] == 0
    assert golden.compare('x', np.array('v 1'), np.array('v 2'), tolerance)[0] > 1


def test_not_a_number_never_counts_as_matching():
    tolerance = {'rtol': 0, 'atol': 1, 'match_fraction': 0.6}
    expected = np.zeros(4)
    assert golden.compare('x', np.array([0, 0, 0, np.nan]), expected, tolerance)[0] <= 1
    share, problem = golden.compare('x', np.array([0, 0, np.nan, np.nan]), expected, tolerance)
    assert share > 1 and '0.5' in problem


def _write_case(folder, **changes):
    """Writes a case of a family that has no adapters; returns its folder as str."""
    folder.mkdir(parents=True)
    case = dict({'model': 'unheard-of', 'kind': 'forward', 'case': 'first', 'config': {},
                 'tolerance': {'*': {'rtol': 0, 'atol': 0}}}, **changes)
    (folder / 'case.json').write_text(json.dumps(case))
    np.savez(str(folder / 'inputs.npz'), x=np.float32([1, 2]))
    np.savez(str(folder / 'expected.npz'), y=np.float32([2, 4]))
    return str(folder)


def test_cases_are_found_below_every_folder_by_the_beginning_of_their_model(tmp_path):
    one = _write_case(tmp_path / 'a' / 'unheard_one' / 'first')
    two = _write_case(tmp_path / 'b' / 'deep' / 'unheard_two' / 'first')
    roots = [str(tmp_path / 'a'), str(tmp_path / 'b')]
    assert golden.find_cases(roots) == [one, two]
    assert golden.find_cases(roots, 'unheard_t') == [two]
    assert golden.find_cases(roots, 'heard') == []
    assert golden.find_cases([str(tmp_path / 'none')]) == []


def test_a_case_holds_its_arrays_and_draws_each_weight_by_its_name(tmp_path):
    params = [{'name': name, 'shape': [2, 3], 'dist': dist, 'a': 1., 'b': 2.}
              for name, dist in (('w', 'normal'), ('u', 'uniform'))]
    params.append({'name': 's', 'shape': [1], 'dist': 'stored'})
    folder = tmp_path / 'unheard' / 'first'
    path = _write_case(folder, weights={'seed': 7, 'params': params})
    np.savez(str(folder / 'weights.npz'), s=np.float32([5]))
    case = golden.load_case(path)
    assert list(case.weights) == ['w', 'u', 's'] and case.weights['s'] == 5
    # The rule of the cases: a generator for each parameter, seeded by CRC-32 of "seed:name".
    rng = np.random.RandomState(zlib.crc32(b'7:w'))
    np.testing.assert_array_equal(case.weights['w'], rng.normal(1, 2, [2, 3]).astype(np.float32))
    assert (case.weights['u'] >= 1).all() and (case.weights['u'] < 2).all()
    np.testing.assert_array_equal(case.inputs['x'], [1, 2])
    np.testing.assert_array_equal(case.expected['y'], [2, 4])
    (folder / 'case.json').write_text('{')
    with pytest.raises(errors.InputError, match='case.json'):
        golden.load_case(path)


def _double(case, path):
    if path == 'plain':
        raise ValueError('cannot')
    return {'y': 2 * case.inputs['x'], 'more': 1}


def test_the_exit_code_says_whether_all_cases_pass(tmp_path, monkeypatch, capsys):
    _write_case(tmp_path / 'unheard' / 'first')
    folder = str(tmp_path)
    assert golden.main([folder, '--path=cpu']) == 1     # no adapter
    assert 'FAIL' in capsys.readouterr().out
    monkeypatch.setattr(golden, 'adapter_of', lambda case: _double)
    assert golden.main([folder, '--path=cpu']) == 0
    assert '1 passed, 0 failed' in capsys.readouterr().out
    assert golden.main([folder]) == 1   # the plain path stops; the other is still run
    out = capsys.readouterr().out
    assert 'ValueError: cannot' in out and '1 passed, 1 failed' in out
    assert golden.main([folder, '--path=cpu', '--model=other']) == 1
    with pytest.raises(SystemExit) as stop:
        golden.main([folder, '--pat=cpu'])
    assert stop.value.code == 2


def test_adapters_are_looked_up_by_model_and_kind():
    adapters = {(case.model, case.kind): golden.adapter_of(case)
             for case in map(golden.load_case, _SHIPPED)}
    assert all(adapters.values())
    case = _case(model='polygen_face', kind='train')
    assert golden.adapter_of(case).__name__ == 'train'
    assert golden.adapter_of(case._replace(kind='joined')) is None
    assert golden.adapter_of(case._replace(model='nothing_face')) is None


def _case(**changes):
    case = golden.load_case(_SHIPPED[0])
    return case._replace(**changes)


@pytest.mark.parametrize('version, holds', [('1.15.0', True), ('2.21.0', False)])
def test_the_tight_tolerance_is_for_the_plain_path_on_the_originals_kernels(version, holds,
                                                                            monkeypatch):
    monkeypatch.setattr(tf, '__version__', version)
    case = _case(expected={'x': np.float32([1])}, tolerance={'*': {'rtol': 0, 'atol': 1e-2}},
                 tight_tolerance={'x': {'rtol': 0, 'atol': 1e-6}})
    monkeypatch.setattr(golden, 'adapter_of', lambda _: lambda *_: {'x': np.float32([1.001])})
    assert golden.check_case(case, 'plain')[0] is not holds and golden.check_case(case, 'cpu')[0]


def test_noise_rows_are_left_out_and_missing_arrays_fail(monkeypatch):
    case = _case(expected={'grad_norms': np.float32([1, 2])}, config={'noise_rows': [1]},
                 tolerance={'*': {'rtol': 0, 'atol': 1e-6}}, tight_tolerance=None)
    monkeypatch.setattr(golden, 'adapter_of', lambda _: lambda *_: {'grad_norms': [1, 9]})
    assert golden.check_case(case, 'cpu')[0]
    monkeypatch.setattr(golden, 'adapter_of', lambda _: lambda *_: {})
    assert golden.check_case(case, 'cpu') == (False, 'not computed: grad_norms')


def test_a_case_without_an_adapter_fails(capsys):
    passed, text = golden.check_case(_case(kind='unheard-of'), 'cpu')
    assert not passed and 'no adapter' in text
    assert golden.main(['--model', 'unheard-of']) == 1
    assert 'no golden case' in capsys.readouterr().err

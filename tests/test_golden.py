"""The port against the originals' numbers, and the comparison itself."""
import os

import numpy as np
import pytest

from tests import golden

_SHARED = os.environ.get('GOLDEN_DIR') or os.path.join(
    os.path.dirname(golden.CASES_HERE), '..', '..', 'shared', 'golden')
_SHIPPED = golden.find_cases([golden.CASES_HERE])
_FURTHER = golden.find_cases([_SHARED])


def _label(folder):
    return '/'.join(folder.split(os.sep)[-2:])


@pytest.mark.parametrize('path', [pytest.param('plain', marks=pytest.mark.slow), 'cpu'])
@pytest.mark.parametrize('folder', _SHIPPED, ids=_label)
def test_matches_original(folder, path):
    passed, text = golden.check_case(golden.load_case(folder), path)
    assert passed, text


@pytest.mark.slow
@pytest.mark.parametrize('folder', _FURTHER, ids=_label)
def test_matches_original_in_further_cases(folder):
    case = golden.load_case(folder)
    if golden.adapter_of(case) is None:
        pytest.skip('no adapter yet for {} {}'.format(case.model, case.kind))
    passed, text = golden.check_case(case, 'cpu')
    assert passed, text


def test_every_kind_of_polygen_ships():
    shipped = {(case.model, case.kind) for case in map(golden.load_case, _SHIPPED)}
    if not _FURTHER:
        pytest.skip('no further cases here; {} kinds ship'.format(len(shipped)))
    every = {(case.model, case.kind) for case in map(golden.load_case, _FURTHER)
             if case.model.startswith('polygen')}
    assert every <= shipped


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
    assert golden.compare('x', np.array([3]), np.array([3]), exact)[0] == 0
    assert golden.compare('x', np.array([4]), np.array([3]), exact)[0] > 1


def _case(**changes):
    case = golden.load_case(_SHIPPED[0])
    return case._replace(**changes)


def test_the_tight_tolerance_holds_on_the_plain_path_only(monkeypatch):
    case = _case(expected={'x': np.float32([1])}, tolerance={'*': {'rtol': 0, 'atol': 1e-2}},
                 tight_tolerance={'x': {'rtol': 0, 'atol': 1e-6}})
    monkeypatch.setattr(golden, 'adapter_of', lambda _: lambda *_: {'x': np.float32([1.001])})
    assert not golden.check_case(case, 'plain')[0] and golden.check_case(case, 'cpu')[0]


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

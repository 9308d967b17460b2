"""Tests of tests/mutants.py and tests/mutations.py: which changes there are, and what they do."""
import ast
import os

import numpy as np
import pytest

from tests import mutants, mutations

TEXT = '''
RATE = 0.5


class Net:
    """Not 1 of these."""

    def area(self, width, height=2):
        if width < 0:
            raise ValueError('below 0')
        return np.abs(width) * max(height, 1) - 1
'''


def _changed(change, number=0):
    tree = ast.parse(TEXT)
    found = [one for one in mutants.mutants(tree, 'a.py')
             if (one.change, one.number) == (change, number)]
    found[0].apply()
    scope = {'np': np}
    exec(compile(ast.fix_missing_locations(tree), 'a.py', 'exec'), scope)
    return found[0], scope


@pytest.mark.parametrize('change, area', [     # of 3, which is 5 as it stands
    ('2 -> 3', 8), ('Mult -> Div of abs() max()', 0.5), ('Mult max() is dropped', 2),
    ('max -> min', 2), ('Sub -> Add of (BinOp) 1', 7), ('Sub 1 is dropped', 6)])
def test_each_change_changes_what_is_computed(change, area):
    mutant, scope = _changed(change)
    assert (mutant.function, mutant.entry) == ('Net.area', 'Net.area')
    assert scope['Net']().area(3) == area


def test_words_and_raised_errors_are_left_alone_and_constants_are_at_the_top():
    found = mutants.mutants(ast.parse(TEXT), 'a.py')
    assert [one.change for one in found if not one.entry] == ['0.5 -> 0.75']
    assert not [one for one in found if 'below' in one.change or one.line == 10]
    assert mutants.key_of(found[0]) == 'a.py: (top): 0.5 -> 0.75'
    assert mutants.key_of(found[1]).startswith('a.py: Net.area: ')
    assert len({mutants.key_of(one) for one in found}) == len(found)


def test_sources_tests_and_equivalent_mutants_exist():
    for package in mutations.SOURCES:
        assert mutations.sources(package)
        for path in mutations.TESTS[package]:
            assert os.path.exists(os.path.join(mutations.ROOT, path)), path
    assert set(mutations.equivalent()) <= set(mutations.every())


def test_the_choice_depends_on_the_seed_alone():
    keys = [list(map(mutants.key_of, mutations.chosen('r2n2', 5, seed))) for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2] and len(keys[0]) == 5

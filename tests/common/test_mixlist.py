"""Lists of mixed precision and fusion switches: what CANN takes, and what ends its start."""
import json
import os

import pytest

from common import collection, errors
from common.device import mixlist


def written(folder, value):
    path = folder / 'ops_info.json'
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding='utf-8')
    return str(path)


def changes(**lists):
    """{'black_add': [...]} as the file's JSON."""
    names = {'black': 'black-list', 'white': 'white-list', 'grey': 'gray-list'}
    value = {}
    for key, operators in lists.items():
        name, change = key.split('_')
        value.setdefault(names[name], {})['to-' + change] = operators
    return value


def test_a_mixlist_is_read(tmp_path):
    read = mixlist.read_mixlist(written(tmp_path, {
        'black-list': {'to-add': ['Sub', 'Mul'], 'to-remove': ['Pow']},
        'white-list': {'to-remove': ['Conv3D']}, 'gray-list': {'to-add': ['Pow']}}))
    assert read.to_add == {'black': ('Sub', 'Mul'), 'grey': ('Pow',)}
    assert read.to_remove == {'black': ('Pow',), 'white': ('Conv3D',)}
    assert mixlist.read_mixlist(written(tmp_path, {})) == ({}, {})


@pytest.mark.parametrize('lists', [
    {'black_add': ['Op']}, {'white_add': ['Op']}, {'grey_add': ['Op']}, {'black_remove': ['Op']},
    {'white_remove': ['Op']}, {'grey_add': ['Op'], 'black_remove': ['Op']},
    {'grey_add': ['Op'], 'white_remove': ['Op']}, {'white_add': ['Op'], 'grey_remove': ['Op']},
    {'white_add': ['Op'], 'black_remove': ['Op']}, {'black_add': ['Op'], 'grey_remove': ['Op']},
    {'black_add': ['Op'], 'white_remove': ['Op']}, {'black_add': ['Op', 'Op']}])
def test_each_combination_that_cann_takes(tmp_path, lists):
    read = mixlist.read_mixlist(written(tmp_path, changes(**lists)))
    added = [key.split('_')[0] for key in lists if key.endswith('add')]
    if added:
        assert {read.list_of('Op', name) for name in ('black', 'white', 'grey')} == {added[0]}
    else:
        assert read.list_of('Op', list(lists)[0].split('_')[0]) == 'grey'


@pytest.mark.parametrize('lists, wrong', [
    ({'black_add': ['Op'], 'white_add': ['Op']}, 'Op is added to the black list and the white'),
    ({'black_add': ['A', 'Op'], 'grey_add': ['Op']}, 'Op is added to the black list and the grey'),
    ({'black_remove': ['Op'], 'white_remove': ['Op']}, 'Op is removed from the black list and'),
    ({'grey_remove': ['Op']}, 'Op is removed from the grey list but added to none'),
    ({'white_add': ['Op'], 'black_remove': ['Op'], 'grey_remove': ['Op']}, 'Op is removed from'),
    ({'white_add': ['Op'], 'white_remove': ['Op']}, 'Op is added to the white list and removed')])
def test_a_combination_that_ends_canns_start_names_the_operator(tmp_path, lists, wrong):
    path = written(tmp_path, changes(**lists))
    with pytest.raises(errors.InputError, match=wrong) as caught:
        mixlist.read_mixlist(path)
    assert path in str(caught.value)


@pytest.mark.parametrize('value, wrong', [
    ('', 'empty'), ('{"black-list": ', 'cannot be read'), ([], 'no JSON object'),
    ({'blacklist': {}}, 'unknown key "blacklist"'), ({'grey-list': {}}, 'unknown key "grey-list"'),
    ({'black-list': ['Sub']}, '"black-list" is .* no JSON object'),
    ({'black-list': {'to_add': []}}, 'unknown key "to_add"'),
    ({'white-list': {'to-add': 'Sub'}}, '"to-add" of "white-list" is Sub, no list'),
    ({'white-list': {'to-add': ['Sub', 3]}}, 'no list of operators')])
def test_another_key_or_value_is_refused(tmp_path, value, wrong):
    with pytest.raises(errors.InputError, match=wrong) as caught:
        mixlist.read_mixlist(written(tmp_path, value))
    assert 'ops_info.json' in str(caught.value)


def test_an_operator_that_is_not_named_stays_and_a_removal_from_elsewhere_does_nothing(tmp_path):
    read = mixlist.read_mixlist(written(tmp_path, changes(
        black_remove=['Pow', 'Add', 'New'], white_add=['Sub'], grey_remove=['Sub'])))
    defaults = {'Pow': 'black', 'Add': 'grey', 'Sub': 'black', 'MatMulV2': 'white'}
    assert {name: read.list_of(name, on) for name, on in defaults.items()} == {
        'Pow': 'grey', 'Add': 'grey', 'Sub': 'white', 'MatMulV2': 'white'}
    assert read.list_of('Pow', 'white') == 'white'


def test_comments_are_left_out_but_not_inside_of_strings(tmp_path):
    path = written(tmp_path, '// lists of the loss\n{"black-list": /* sums */ {"to-add": '
                             '["Sub", // why\n"a//b", "c\\"//d"]}}')
    assert mixlist.read_mixlist(path).to_add == {'black': ('Sub', 'a//b', 'c"//d')}
    text, left_out = mixlist.cleaned(path)
    assert left_out == 'comments'
    assert json.loads(text) == {'black-list': {'to-add': ['Sub', 'a//b', 'c"//d']}}
    assert mixlist.cleaned(written(tmp_path, '{"white-list": {"to-add": ["a//b"]}}'))[1] == ''
    assert mixlist.cleaned(written(tmp_path, '\ufeff{}')) == ('{}', 'a byte order mark')


def test_fusion_switches_are_read(tmp_path):
    assert mixlist.read_fusion_switch(written(tmp_path, {
        'Switch': {'GraphFusion': {'ALL': 'off', 'SoftmaxFusionPass': 'on'}, 'UBFusion': {}}})) == {
            'GraphFusion': {'ALL': False, 'SoftmaxFusionPass': True}, 'UBFusion': {}}
    shipped = os.path.join(collection.ROOT, 'polygen', 'fusion_switch.cfg')
    assert mixlist.read_fusion_switch(shipped) == {'GraphFusion': {'ALL': False},
                                                   'UBFusion': {'ALL': False}}


@pytest.mark.parametrize('value, wrong', [
    ({}, 'has no "Switch"'), ({'switch': {}}, 'unknown key "switch"'), ('[1', 'cannot be read'),
    ({'Switch': {'Graphfusion': {}}}, '"Switch" has the unknown key "Graphfusion"'),
    ({'Switch': {'UBFusion': 'off'}}, '"UBFusion" is off, no JSON object'),
    ({'Switch': {'UBFusion': {'ALL': False}}}, '"ALL" of "UBFusion" is False, neither "on"'),
    ({'Switch': {'UBFusion': {'ALL': 'Off'}}}, 'neither "on" nor "off"')])
def test_other_fusion_switches_are_refused(tmp_path, value, wrong):
    with pytest.raises(errors.InputError, match=wrong):
        mixlist.read_fusion_switch(written(tmp_path, value))

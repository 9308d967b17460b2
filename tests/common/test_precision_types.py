"""Tests of common/device/precision_types.py and ge_operators.py: small graphs worked out by hand.

Expected types follow from the description of CANN's rules, not from the code: a cube operator of
the 910 has the columns (half, half) and (half, float); others have all floats half, or all float.
"""
import itertools
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from common import errors
from common.device import emulation, ge_operators, mixlist
from common.device import precision_types as types
from common.device.precision_types import Rules

HALF, FLOAT, BFLOAT = 'float16', 'float32', 'bfloat16'


def emulator(mode, scopes=(), **rules):
    result = emulation.Emulator(tf.get_default_graph(),
                                emulation.Settings(Rules(mode, **rules), scopes=scopes))
    result.extend()
    return result


def assigned(mode, names, scopes=(), **rules):
    """'hf' for each named operation: the letter of its inputs' type, then of its outputs'."""
    operators = emulator(mode, scopes, **rules).operators
    letters = {HALF: 'h', FLOAT: 'f', BFLOAT: 'b'}
    return ' '.join(letters[operators[name][1]] + letters[operators[name][2]]
                    for name in names.split())


def data(name='x', shape=(2, 2)):
    return tf.placeholder(tf.float32, shape, name=name)


def product(x, name='product', variable='w'):
    return tf.matmul(x, tf.get_variable(variable, [2, 2]), name=name)


@pytest.fixture
def layer():
    """A product, a bias, an activation, a logarithm, a mean: white, grey, grey, black, grey."""
    y = tf.add(product(data()), 1., name='biased')
    y = tf.log(tf.tanh(y, name='active'), name='log')
    return tf.reduce_mean(y, name='mean')


def mixlist_file(folder, **lists):
    path = str(folder / 'mixlist.json')
    with open(path, 'w', encoding='utf-8') as stream:
        json.dump({name.replace('_', '-'): change for name, change in lists.items()}, stream)
    return mixlist.read_mixlist(path)


@pytest.mark.parametrize('mode, expected', [
    ('allow_mix_precision', 'hh hh hh ff ff'), ('allow_mix_precision_fp16', 'hh hh hh ff ff'),
    ('mixed_float16', 'hh hh hh ff ff'), ('allow_fp32_to_fp16', 'hh ff ff ff ff'),
    ('force_fp16', 'hh hh hh hh hh'), ('fp16', 'hh hh hh hh hh'),
    ('must_keep_origin_dtype', 'ff ff ff ff ff'), ('origin', 'ff ff ff ff ff'),
    ('force_fp32', 'hf ff ff ff ff'), ('cube_fp16in_fp32out', 'hf ff ff ff ff'),
    ('allow_mix_precision_bf16', 'bb bb bb ff ff'), ('mixed_bfloat16', 'bb bb bb ff ff'),
    ('allow_fp32_to_bf16', 'bb ff ff ff ff')])
def test_a_layer_in_every_mode(layer, mode, expected):
    assert assigned(mode, 'product biased active log mean') == expected


def test_a_white_operator_behind_a_black_one_goes_back_to_half(layer):
    product(tf.log(data('z'), name='log'), 'again', 'v')
    assert assigned('allow_mix_precision', 'log again') == 'ff hh'


def test_a_grey_chain_without_a_white_operator_stays_in_float():
    tf.exp(tf.sqrt(data()) * 2., name='end')
    assert assigned('allow_mix_precision', 'Sqrt mul end') == 'ff ff ff'


def test_the_first_input_of_a_grey_operator_decides():
    half, whole = product(data()), data('z')
    tf.add(half, whole, name='half_first')
    tf.add(whole, half, name='float_first')
    assert assigned('allow_mix_precision', 'half_first float_first') == 'hh ff'


def test_constants_and_variables_are_float_producers():
    half = product(data())
    tf.multiply(tf.constant(2.), half, name='constant_first')
    tf.multiply(half, tf.constant(2.), name='constant_behind')
    assert assigned('allow_mix_precision', 'w constant_first constant_behind') == 'ff ff hh'


def test_a_sum_of_a_black_and_a_white_branch():
    half = product(data())
    tf.add(tf.reduce_sum(half, 1, keepdims=True, name='sum'), half, name='black_first')
    assert assigned('allow_mix_precision', 'sum black_first') == 'ff ff'


@pytest.mark.parametrize('lists, expected', [
    ({}, 'hh'), ({'black_list': {'to-add': ['Cast']}}, 'ff')])
def test_a_cast_from_half_is_seen_through_unless_cast_is_black(tmp_path, lists, expected):
    wide = tf.cast(tf.cast(data(), tf.float16, name='down'), tf.float32, name='up')
    tf.exp(wide, name='exp')
    rules = {'changes': mixlist_file(tmp_path, **lists)} if lists else {}
    assert assigned('allow_mix_precision', 'exp', **rules) == expected


def test_what_is_no_float_keeps_its_own_type():
    tf.cast(tf.argmax(product(data()), 1, name='which'), tf.float32, name='number')
    tf.one_hot([1, 0], 2, name='hot')
    result = emulator('allow_mix_precision')
    assert result.operators['which'][1] == HALF         # its input follows the product
    assert result.types['number:0'] == FLOAT and result.types['hot:0'] == FLOAT
    assert 'which:0' not in result.types


def test_kernels_that_have_one_type_only():
    x = tf.placeholder(tf.float32, [1, 4, 4, 4, 1])
    kernel = tf.get_variable('w', [3, 3, 3, 1, 1])
    y = tf.nn.conv3d(x, kernel, [1] * 5, 'SAME', name='conv')
    tf.gradients(y, [x, kernel])
    # To its filter the gradient takes half and gives float; to its input it has half alone.
    names = [op.name for op in tf.get_default_graph().get_operations()
             if op.type.startswith('Conv3DBackprop')]
    filters, inputs = sorted(names, key=lambda name: 'Filter' not in name)
    assert assigned('allow_mix_precision', 'conv {} {}'.format(filters, inputs)) == 'hh hf hh'


def test_updates_of_variables_are_float():
    loss = tf.reduce_sum(product(data()))
    tf.train.AdamOptimizer(0.1).minimize(loss)
    names = [op.name for op in tf.get_default_graph().get_operations() if op.type == 'ApplyAdam']
    assert assigned('allow_mix_precision', names[0]) == 'ff'


def test_gradients_pass_through_white_operators_in_half():
    hidden = tf.nn.relu(product(data()), name='hidden')
    loss = tf.reduce_sum(product(hidden, 'second', 'v'))
    tf.gradients(loss, tf.trainable_variables())
    prefix = 'gradients/'
    assert assigned('allow_mix_precision', ' '.join(prefix + name for name in (
        'Sum_grad/Tile', 'second_grad/MatMul', 'hidden_grad/ReluGrad'))) == 'ff hh hh'


def test_a_kept_scope_keeps_outputs_in_float_but_the_910s_products_take_half():
    with tf.name_scope('kept'):
        y = tf.exp(product(data()), name='exp')
    tf.exp(y, name='behind')
    assert assigned('allow_mix_precision', 'kept/product kept/exp behind', ('kept',)) == 'hf ff ff'


def test_on_the_910b_products_can_stay_in_float():
    with tf.name_scope('kept'):
        product(data())
    assert assigned('allow_mix_precision', 'kept/product', ('kept',), chip='910B') == 'ff'
    assert assigned('must_keep_origin_dtype', 'kept/product', chip='910B') == 'ff'


def test_a_scope_names_the_backward_pass_too():
    with tf.name_scope('kept'):
        y = tf.tanh(product(data()), name='active')
    tf.gradients(tf.reduce_sum(product(y, 'second', 'v')), tf.trainable_variables()[:1])
    name = 'gradients/kept/active_grad/TanhGrad'
    tf.get_default_graph().get_operation_by_name(name)
    assert assigned('allow_mix_precision', name) == 'hh'
    assert assigned('allow_mix_precision', name, ('kept',)) == 'ff'


def test_two_grey_branches_of_one_product():
    half = product(data())
    tf.concat([half, tf.log(half)], 0, name='joined')
    tf.concat([tf.log(half), half], 0, name='joined_float')
    tf.stack([half, half], name='stacked')
    assert assigned('allow_mix_precision', 'joined joined_float stacked') == 'hh ff hh'


LISTS = {'black_list': 'black', 'white_list': 'white', 'gray_list': 'grey'}


def _combinations():
    """Each set of changes of one operator: {(list, change)} of one or two."""
    single = list(itertools.product(LISTS, ('to-add', 'to-remove')))
    return [(one,) for one in single] + list(itertools.combinations(single, 2))


ALLOWED = {     # as the page lists them
    ('+black',), ('+white',), ('+grey',), ('-black',), ('-white',),
    ('+grey', '-black'), ('+grey', '-white'), ('+white', '-grey'), ('+white', '-black'),
    ('+black', '-grey'), ('+black', '-white')}


@pytest.mark.parametrize('changes', _combinations())
@pytest.mark.parametrize('operator, default', [('MatMul', 'white'), ('Log', 'black'),
                                               ('Tanh', 'grey')])
def test_every_combination_of_a_mixlist(tmp_path, changes, operator, default):
    lists = {}
    for name, change in changes:
        lists.setdefault(name, {})[change] = [operator]
    signs = tuple(sorted(('+' if change == 'to-add' else '-') + LISTS[name]
                         for name, change in changes))
    if signs not in {tuple(sorted(one)) for one in ALLOWED}:
        with pytest.raises(errors.InputError, match=operator):
            mixlist_file(tmp_path, **lists)
        return
    added = [sign[1:] for sign in signs if sign[0] == '+']
    removed = [sign[1:] for sign in signs if sign[0] == '-']
    expected = added[0] if added else 'grey' if default in removed else default
    rules = Rules('allow_mix_precision', mixlist_file(tmp_path, **lists))
    assert rules.ge_operator(operator).default_list == expected


def test_a_mixlist_changes_the_types_behind(layer, tmp_path):
    changes = mixlist_file(tmp_path, black_list={'to-add': ['Tanh'], 'to-remove': ['Log']})
    assert assigned('allow_mix_precision', 'product biased active log mean',
                    changes=changes) == 'hh hh ff ff ff'
    changes = mixlist_file(tmp_path, black_list={'to-remove': ['Log']})
    assert assigned('allow_mix_precision', 'active log mean', changes=changes) == 'hh hh hh'


def test_customized_types_win_except_where_types_are_kept(layer, tmp_path):
    path = tmp_path / 'types.cfg'
    path.write_text('OpType::Tanh:InputDtype:float32,OutputDtype:float32\n\n'
                    'mean::InputDtype:float16,int32,OutputDtype:float16\n')
    customized = types.read_customized(str(path))
    assert assigned('allow_mix_precision', 'active mean', customized=customized) == 'ff hh'
    assert assigned('must_keep_origin_dtype', 'active mean', customized=customized) == 'ff ff'


@pytest.mark.parametrize('line', ['Relu float16', 'OpType::Relu:InputDtype:float16',
                                  'a::InputDtype:float16,float32,OutputDtype:float16'])
def test_a_damaged_file_of_types_is_told_by_its_line(tmp_path, line):
    path = tmp_path / 'types.cfg'
    path.write_text('\n' + line + '\n')
    with pytest.raises(errors.InputError, match='types.cfg: line 2 is not understood'):
        types.read_customized(str(path))


@pytest.mark.parametrize('mode, mode_v2, expected', [
    (None, None, 'allow_mix_precision'), ('mix', None, 'allow_mix_precision'),
    ('default', None, 'allow_fp32_to_fp16'), (None, 'fp16', 'fp16')])
def test_modes(mode, mode_v2, expected):
    assert types.mode_of(mode, mode_v2) == expected


@pytest.mark.parametrize('mode', ['mixed_hif8', 'cube_hif8'])
def test_modes_without_a_description_are_refused(mode):
    with pytest.raises(errors.UsageError, match='the rules of the mode {}'.format(mode)):
        types.mode_of(None, mode)


def test_scopes_come_from_the_option_or_a_file(tmp_path):
    (tmp_path / 'scopes.txt').write_text('# found by a search\na/b\n\nc/\n')
    assert types.read_scopes('@{}/scopes.txt'.format(tmp_path)) == ['a/b', 'c']
    assert types.read_scopes('a/b, c') == ['a/b', 'c'] and types.read_scopes('') == []


@pytest.mark.parametrize('wanted, available, risen, reduced', [
    (HALF, {HALF, FLOAT}, HALF, None), (HALF, {FLOAT}, FLOAT, None),
    (FLOAT, {HALF}, None, HALF), (FLOAT, {FLOAT}, FLOAT, None), (BFLOAT, {HALF}, None, None)])
def test_rise_and_reduce(wanted, available, risen, reduced):
    assert types.rise(wanted, available) == risen
    assert types.reduce(wanted, available) == reduced


def test_the_table_has_the_lists_that_are_known():
    operators = ge_operators.by_ge_type()
    assert len(operators) == 1196
    for kind, names in (('white', 'MatMul BatchMatMul Conv2D Conv3D MaxPool'),
                        ('black', 'Log Log1p Expm1 Pow ReduceSum ReduceMeanD SoftmaxGrad L2Loss'),
                        ('grey', 'Add Sub Mul RealDiv Exp SoftmaxV2 ReduceMean Rsqrt LayerNorm')):
        assert {operators[name].default_list for name in names.split()} == {kind}
    assert all(row['reason'] for row in ge_operators._rows('ge_additions.csv'))
    assert np.all([name in operators or name.endswith(('Grad', 'BackpropInput', 'BackpropFilter',
                                                       'GEMM')) for name in ge_operators.CUBE])

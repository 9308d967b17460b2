"""Rank tables of HCCL: what is written, read, refused and waited for."""
import json
import os

import pytest

from common import errors
from common import rank_table as command
from common.device import rank_table

FIELD_CASES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                           'field_cases', 'rank')


def table(**changes):
    changed = rank_table.make([('host', {0: '10.0.0.1', 1: '10.0.0.2'})])
    changed.update(changes)
    return changed


def test_a_rank_table_is_what_hccl_reads(tmp_path):
    config = command.parse_args(['--server=host', '--device_ips=10.0.0.1,10.0.0.2',
                                    '--first_device=4', '--output={}'.format(tmp_path / 't.json')])
    command.write(config)
    actual = json.loads((tmp_path / 't.json').read_text())
    assert actual == {'status': 'completed', 'version': '1.0', 'server_count': '1', 'server_list': [
        {'server_id': 'host', 'device': [
            {'device_id': '4', 'device_ip': '10.0.0.1', 'rank_id': '0'},
            {'device_id': '5', 'device_ip': '10.0.0.2', 'rank_id': '1'}]}]}
    variables = {'RANK_ID': '1', 'RANK_SIZE': '2', 'ASCEND_DEVICE_ID': '5',
                 'RANK_TABLE_FILE': str(tmp_path / 't.json')}
    assert rank_table.place(variables) == (1, 2, 5)
    with pytest.raises(errors.InputError, match='has 2 ranks, but RANK_SIZE is 4'):
        rank_table.place(dict(variables, RANK_SIZE='4'))


@pytest.mark.parametrize('servers, message', [
    ([('a', {0: 'x', 1: 'y', 2: 'z'})], '1, 2, 4 or 8'), ([('a', {3: 'x', 4: 'y'})], 'both rings'),
    ([('a', {0: 'x', 1: 'x'})], 'same "device_ip"'), ([('a', {0: ''})], 'no "device_ip"')])
def test_tables_that_hccl_would_hang_on_are_refused(servers, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.make(servers)


@pytest.mark.parametrize('changes, message', [
    ({'status': 'initializing'}, 'not completed'), ({'server_count': '2'}, 'but it lists 1'),
    ({'server_list': None}, 'no rank table'), ({'server_list': ['host']}, 'a list "device"'),
    ({'server_list': [{'device': 3}]}, 'a list "device"'),
    ({'server_count': 1}, 'in quotes, not 1'),
    ({'server_count': '2', 'server_list': [{'server_id': 'a', 'device': [{}]}] * 2},
     'the same "server_id"')])
def test_tables_that_are_not_ready_are_refused(changes, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.validate(table(**changes), 'table.json')


def test_ranks_must_be_strings_and_count_from_zero():
    broken = table()
    broken['server_list'][0]['device'][0]['rank_id'] = 0
    with pytest.raises(errors.InputError, match='number in quotes'):
        rank_table.validate(broken, 'table.json')
    broken['server_list'][0]['device'][0]['rank_id'] = '2'
    with pytest.raises(errors.InputError, match='must be 0 to 1'):
        rank_table.validate(broken, 'table.json')


@pytest.mark.parametrize('variables, message', [
    ({}, 'RANK_ID must be a number'), ({'RANK_ID': '2', 'RANK_SIZE': '2'}, 'below RANK_SIZE'),
    ({'RANK_ID': '0', 'RANK_SIZE': '2', 'CM_WORKER_SIZE': '2'}, 'exclude each other'),
    ({'CM_WORKER_SIZE': '2'}, 'without a rank table is not supported'),
    ({'RANK_ID': '0', 'RANK_SIZE': '2'}, 'RANK_TABLE_FILE is not set'),
    ({'RANK_ID': '0', 'RANK_SIZE': '1', 'ASCEND_DEVICE_ID': 'a'}, 'ASCEND_DEVICE_ID must be')])
def test_an_environment_that_contradicts_itself_is_refused(variables, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.place(variables)


@pytest.mark.parametrize('variables, several', [
    ({}, False), ({'RANK_SIZE': ''}, False), ({'RANK_SIZE': '0'}, False),
    ({'RANK_SIZE': '1', 'CM_WORKER_SIZE': ''}, False), ({'RANK_SIZE': '8'}, True),
    ({'CM_WORKER_SIZE': '2'}, True)])
def test_the_variables_of_a_single_card_ask_for_no_exchange(variables, several):
    assert rank_table.is_one_of_several(variables) == several


def test_a_table_that_the_platform_is_still_writing_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / 'table.json'
    path.write_text(json.dumps({'status': 'initializing'}))
    variables = {'RANK_ID': '1', 'RANK_SIZE': '2', 'ASCEND_DEVICE_ID': '1',
                 'RANK_TABLE_FILE': str(path)}
    monkeypatch.setattr(rank_table.time, 'sleep', lambda _: path.write_text(json.dumps(table())))
    assert rank_table.place(variables) == (1, 2, 1)
    path.write_text(json.dumps({'status': 'initializing'}))
    monkeypatch.setattr(rank_table, '_PATIENCE', -1)
    with pytest.raises(errors.InputError, match='has not completed it'):
        rank_table.place(variables)


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match='10.0.0.300'):
        command.write(command.parse_args(
            ['--server=host', '--device_ips=10.0.0.1,10.0.0.300', '--output=x.json']))


@pytest.mark.parametrize('name', ['mindx_physical', 'template2', 'good_bom'])
def test_tables_of_the_field_give_both_ranks_their_place(name):
    variables = {'RANK_TABLE_FILE': os.path.join(FIELD_CASES, name + '.json'), 'RANK_SIZE': '2'}
    for rank in (0, 1):
        variables.update(RANK_ID=str(rank), ASCEND_DEVICE_ID=str(rank))
        assert rank_table.place(variables) == (rank, 2, rank)
        assert rank_table.is_first_of_machine(variables) == (rank == 0)


def test_logical_and_physical_numbers_that_differ_are_told(capsys):
    path = os.path.join(FIELD_CASES, 'mindx_physical.json')
    rank_table.place({'RANK_TABLE_FILE': path, 'RANK_SIZE': '2', 'RANK_ID': '1',
                      'ASCEND_DEVICE_ID': '1'})
    assert 'rank 1 is the physical device 5 in ' in capsys.readouterr().out


def group(**changes):
    """A table of the second template: two machines, one with two pods."""
    pods = [('a', '0', {}), ('a', '1', {}), ('b', '4', {}), ('b', '5', {})]
    instances = [dict({'pod_name': 'pod{}'.format(number), 'server_id': server, 'devices': [
        {'device_id': device, 'device_ip': '10.0.0.{}'.format(number)}]}, **more)
        for number, (server, device, more) in enumerate(pods)]
    return dict({'status': 'completed', 'group_count': '1', 'group_list': [
        {'group_name': 'hccl_world_group', 'instance_list': instances}]}, **changes)


def test_ranks_of_the_second_template_count_in_the_order_of_the_file_unless_named():
    table = group()
    assert rank_table.validate(table, 't') == {
        0: ('a', 0), 1: ('a', 1), 2: ('b', 4), 3: ('b', 5)}
    for number, instance in enumerate(table['group_list'][0]['instance_list']):
        instance['rank_id'] = str(3 - number)
    assert rank_table.validate(table, 't')[3] == ('a', 0)
    merged = group()
    instances = merged['group_list'][0]['instance_list']
    instances[0]['devices'] += instances.pop(1)['devices']
    assert rank_table.validate(merged, 't')[1] == ('a', 1)


@pytest.mark.parametrize('changes, message', [
    ({'status': 'initializing'}, 'not completed'), ({'group_list': []}, 'list "group_list"'),
    ({'group_count': '2'}, '"group_count" is \'2\', but it lists 1'),
    ({'group_list': [{'instance_count': '3', 'instance_list': [{}]}]}, 'but it lists 1'),
    ({'group_list': [{'instance_list': 3}]}, 'list "instance_list"'),
    ({'group_list': [{'instance_list': [{'devices': [4]}]}]}, 'list "devices"'),
    ({'group_list': [{'instance_list': [{'devices': [{'device_id': '0'}]}]}]}, 'no "device_ip"')])
def test_tables_of_the_second_template_that_hccl_would_hang_on_are_refused(changes, message):
    with pytest.raises(errors.InputError, match=message):
        rank_table.validate(group(**changes), 'table.json')


@pytest.mark.parametrize('rank, first', [('0', True), ('1', False), ('2', True), ('3', False)])
def test_the_lowest_rank_of_each_machine_is_its_first(rank, first, tmp_path):
    path = tmp_path / 'table.json'
    path.write_text(json.dumps(group()))
    assert rank_table.is_first_of_machine({
        'RANK_TABLE_FILE': str(path), 'RANK_SIZE': '4', 'RANK_ID': rank}) == first


def test_without_a_table_the_logical_device_0_is_the_first_of_its_machine():
    assert rank_table.is_first_of_machine({'RANK_SIZE': '2'})
    assert not rank_table.is_first_of_machine({'RANK_SIZE': '2', 'ASCEND_DEVICE_ID': '1'})


def test_what_is_waited_for_is_said_every_30_seconds(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(rank_table.time, 'monotonic', lambda: now[0])
    waiting = rank_table.Waiting('rain', 100)
    for now[0] in range(0, 101):
        assert not waiting.is_over()
    now[0] = 101
    assert waiting.is_over()
    assert capsys.readouterr().out.splitlines() == [
        'waiting for rain ({} of at most 100 s)'.format(seconds) for seconds in (30, 60, 90)]

"""The rank table of HCCL: which device of which machine has which rank.

`device_id` of a table is the physical number of a device. ASCEND_DEVICE_ID is the logical one: it
counts the devices that a process sees (in a container with devices 4 and 5 these are 0 and 1). So
a process finds its place by its rank alone.
"""
import re
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from common import cli, errors
from common.readers import text as text_lib

_COUNTS = (1, 2, 4, 8)      # devices of a machine that can work together
_RING = 4                   # devices 0-3 and 4-7 are connected among themselves
_PATIENCE = 600     # seconds that the platform may take to write the table
_SAY_EVERY = 30     # seconds between lines that say what is waited for

_Wrong = Callable[[str], errors.InputError]


class Place(NamedTuple):
    """What a rank table says of one rank.

    Attributes:
      server: id of its machine.
      device: physical number of its device.
    """

    server: str
    device: int


def make(servers: Sequence[Tuple[str, Mapping[int, str]]]) -> Dict[str, Any]:
    """Makes a rank table of the first template.

    Args:
      servers: list of (id of the machine, {physical device number: IP of its network card}).
    Returns:
      dict, version 1.0 of the format; ranks are counted in the order given.
    Raises:
      errors.InputError: see `validate`.
    """
    rank, server_list = 0, []
    for server, devices in servers:
        rows = []
        for number, address in sorted(devices.items()):
            rows.append({'device_id': str(number), 'device_ip': address, 'rank_id': str(rank)})
            rank += 1
        server_list.append({'server_id': server, 'device': rows})
    table = {'status': 'completed', 'version': '1.0', 'server_count': str(len(server_list)),
             'server_list': server_list}
    validate(table, 'the rank table')
    return table


def validate(table: Any, path: str) -> Dict[int, Place]:
    """Reads a rank table of either template and checks what HCCL would hang or fail on.

    Args:
      table: what was read from JSON; path: for messages.
    Returns:
      {rank: Place}.
    Raises:
      errors.InputError: with what is wrong; also for a table that is not completed.
    """
    def wrong(what: str) -> errors.InputError:
        return errors.InputError('{}: {}.'.format(path, what))

    if not isinstance(table, dict) or not any(
            isinstance(table.get(key), list) for key in ('server_list', 'group_list')):
        raise wrong('no rank table (it has neither "server_list" nor "group_list")')
    if table.get('status') != 'completed':
        raise wrong('its status is "{}", not completed'.format(table.get('status')))
    read = _first_template if table.get('server_list') is not None else _second_template
    rows = read(table, wrong)
    ranks: Dict[int, Place] = {}
    addresses = set()
    for rank, server, device in rows:
        for key, text in (('device_id', device.get('device_id')), ('rank_id', rank)):
            if not isinstance(text, str) or not re.match('[0-9]+$', text):
                raise wrong('"{}" must be a number in quotes, not {!r}'.format(key, text))
        if not isinstance(device.get('device_ip'), str) or not device['device_ip']:
            raise wrong('rank {} has no "device_ip" (hccn_tool -i {} -ip -g shows it)'.format(
                rank, device['device_id']))
        if int(rank) in ranks:
            raise wrong('rank {} is there twice'.format(rank))
        ranks[int(rank)] = Place(str(server), int(device['device_id']))
        addresses.add(device['device_ip'])
    for server in {place.server for place in ranks.values()}:
        _check_devices([place.device for _, place in sorted(ranks.items())
                        if place.server == server], wrong)
    if sorted(ranks) != list(range(len(ranks))):
        raise wrong('the ranks must be 0 to {}, not {}'.format(len(ranks) - 1, sorted(ranks)))
    if len(addresses) < len(ranks):
        raise wrong('two devices have the same "device_ip"')
    return ranks


def _first_template(table: Dict[str, Any], wrong: _Wrong) -> List[Tuple[Any, Any, Dict]]:
    """Lists (rank, machine, device) of a table with "server_list"."""
    message = 'a machine needs a list "device" of {"device_id", "device_ip", "rank_id"}'
    servers = _dicts(table['server_list'], message, wrong)
    _check_count(table, 'server_count', len(servers), wrong, True)
    names = [server['server_id'] for server in servers if server.get('server_id')]
    if len(set(map(str, names))) < len(names):
        raise wrong('two machines have the same "server_id"')
    return [(device.get('rank_id'), (number, server.get('server_id')), device)
            for number, server in enumerate(servers)
            for device in _dicts(server.get('device'), message, wrong)]


def _second_template(table: Dict[str, Any], wrong: _Wrong) -> List[Tuple[Any, Any, Dict]]:
    """Lists (rank, machine, device) of a table with "group_list".

    Its ranks are those that instances or devices name, else they count in the order of the file.
    """
    rows: List[Tuple[Any, Any, Dict]] = []
    groups = _dicts(table['group_list'], 'it needs a list "group_list"', wrong)
    _check_count(table, 'group_count', len(groups), wrong)
    for group in groups:
        for instance in _dicts(group.get('instance_list'), 'a group needs a list "instance_list" '
                               'of {"pod_name", "server_id", "devices"}', wrong):
            _check_count(group, 'instance_count', len(group['instance_list']), wrong)
            devices = _dicts(instance.get('devices'), 'an instance needs a list "devices" of '
                             '{"device_id", "device_ip"}', wrong)
            for device in devices:
                rank = device.get('rank_id', instance.get('rank_id') if len(devices) == 1 else None)
                rows.append((str(len(rows)) if rank is None else rank, instance.get('server_id'),
                             device))
    return rows


def _check_count(row: Dict, key: str, number: int, wrong: _Wrong, is_needed: bool = False) -> None:
    if key not in row and not is_needed:
        return
    if key not in row or not isinstance(row[key], str):
        raise wrong('"{}" must be a number in quotes, not {!r}'.format(key, row.get(key)))
    if row[key] != str(number):
        raise wrong('"{}" is {!r}, but it lists {}'.format(key, row[key], number))


def _dicts(rows: Any, message: str, wrong: _Wrong) -> List[Dict]:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise wrong(message)
    return rows


def _check_devices(numbers, wrong):
    if len(numbers) not in _COUNTS or len(set(numbers)) < len(numbers):
        raise wrong('a machine takes part with 1, 2, 4 or 8 different devices, not {}'.format(
            numbers))
    if 1 < len(numbers) < 8 and len({number // _RING for number in numbers}) > 1:
        raise wrong('devices {} lie in both rings (0-3 and 4-7); take them from one'.format(
            numbers))


def is_one_of_several(environment: Mapping[str, str]) -> bool:
    """Returns whether variables tell of distributed training (the platform's 0 means 1)."""
    return any((environment.get(name) or '1') not in ('0', '1')
               for name in ('RANK_SIZE', 'CM_WORKER_SIZE'))


def place(environment: Mapping[str, str]) -> Tuple[int, int, int]:
    """Finds out the place of this process.

    Waits for a table that the platform is still writing.

    Args:
      environment: RANK_ID, RANK_SIZE, for distributed training RANK_TABLE_FILE; ASCEND_DEVICE_ID.
    Returns:
      (rank, number of processes, logical number of the device on its machine).
    Raises:
      errors.InputError: they are missing or contradict each other, or the table is not what HCCL
        takes.
    """
    if environment.get('CM_WORKER_SIZE'):
        if environment.get('RANK_SIZE'):
            raise errors.InputError('CM_WORKER_SIZE and RANK_SIZE exclude each other; unset the '
                                    'variables of one set-up.')
        raise errors.InputError(
            'CM_WORKER_SIZE: the set-up without a rank table is not supported, since a process '
            'must know its rank before it builds its graph. Unset the CM_ variables and give '
            'RANK_TABLE_FILE, RANK_SIZE and RANK_ID (python -m common.rank_table makes a table).')
    rank, size = [_number(environment, name, '') for name in ('RANK_ID', 'RANK_SIZE')]
    if not rank < size:
        raise errors.InputError('RANK_ID {} must be below RANK_SIZE {}.'.format(rank, size))
    device = _number(environment, 'ASCEND_DEVICE_ID', '0')
    if size == 1:
        return rank, size, device
    path = environment.get('RANK_TABLE_FILE')
    if not path:
        raise errors.InputError('RANK_SIZE is {}, but RANK_TABLE_FILE is not set; python -m '
                                'common.rank_table makes a table.'.format(size))
    ranks = validate(_completed(path), path)
    if len(ranks) != size:
        raise errors.InputError('{} has {} ranks, but RANK_SIZE is {}.'.format(
            path, len(ranks), size))
    if ranks[rank].device != device:
        cli.say('rank {} is the physical device {} in {}, and logical device {} here '
                '(ASCEND_DEVICE_ID)'.format(rank, ranks[rank].device, path, device))
    return rank, size, device


def is_first_of_machine(environment: Mapping[str, str]) -> bool:
    """Returns whether this process has the lowest rank of its machine.

    Without a table it is the one of the logical device 0.

    Args, Raises: see `place`.
    """
    path = environment.get('RANK_TABLE_FILE')
    if not path or not is_one_of_several(environment):
        return _number(environment, 'ASCEND_DEVICE_ID', '0') == 0
    rank, ranks = _number(environment, 'RANK_ID', ''), validate(_completed(path), path)
    if rank not in ranks:
        raise errors.InputError('{} has no rank {}.'.format(path, rank))
    return rank == min(other for other, place in ranks.items()
                       if place.server == ranks[rank].server)


def _number(environment, name, default):
    value = environment.get(name) or default
    if not re.match(r'[0-9]+$', value):
        raise errors.InputError('{} must be a number for HCCL, not "{}".'.format(name, value))
    return int(value)


def _completed(path):
    """Reads a table; waits as long as its status says that it is being written."""
    waiting = Waiting('the platform to complete the rank table {}'.format(path), _PATIENCE)
    while True:
        table = text_lib.read_json(path)
        if not isinstance(table, dict) or table.get('status') != 'initializing':
            return table
        if waiting.is_over():
            raise errors.InputError('{}: its status is "initializing" for {} s; the platform has '
                                    'not completed it.'.format(path, _PATIENCE))
        time.sleep(1.0)


class Waiting:
    """Prints every 30 seconds what is waited for.

    Args:
      what: completes the sentence "waiting for ...".
      patience: seconds after which to give up.
    """

    def __init__(self, what: str, patience: float):
        self._what, self._patience = what, patience
        self._began = self._said = time.monotonic()

    def is_over(self) -> bool:
        """Returns whether to give up; call it again and again."""
        now = time.monotonic()
        if now >= self._said + _SAY_EVERY:
            self._said = now
            cli.say('waiting for {} ({:.0f} of at most {:.0f} s)'.format(
                self._what, now - self._began, self._patience))
        return now > self._began + self._patience

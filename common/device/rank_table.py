"""The rank table of HCCL: which device of which machine has which rank."""
import re
import time

from common import errors, files

_COUNTS = (1, 2, 4, 8)      # devices of a machine that can work together
_RING = 4                   # devices 0-3 and 4-7 are connected among themselves
_PATIENCE = 600     # seconds that the platform may take to write the table


def make(servers):
    """Makes a rank table.

    Args:
      servers: list of (id of the machine, {device number: IP of its network card}).
    Returns:
      dict, version 1.0 of the format; ranks are counted in the order given.
    Raises:
      errors.InputError: see `validate`.
    """
    rank, listed = 0, []
    for server, devices in servers:
        rows = []
        for number, address in sorted(devices.items()):
            rows.append({'device_id': str(number), 'device_ip': address, 'rank_id': str(rank)})
            rank += 1
        listed.append({'server_id': server, 'device': rows})
    table = {'status': 'completed', 'version': '1.0', 'server_count': str(len(listed)),
             'server_list': listed}
    validate(table, 'the rank table')
    return table


def validate(table, path):
    """Checks what HCCL would hang or fail on.

    Args:
      table: what was read from JSON; path: str, for messages.
    Returns:
      dict {rank: device number}.
    Raises:
      errors.InputError: with what is wrong; also for a table that is not completed.
    """
    def wrong(what):
        return errors.InputError('{}: {}.'.format(path, what))

    if not isinstance(table, dict) or not isinstance(table.get('server_list'), list):
        raise wrong('no rank table of version 1.0 (it has no "server_list")')
    if table.get('status') != 'completed':
        raise wrong('its status is "{}", not completed'.format(table.get('status')))
    if table.get('server_count') != str(len(table['server_list'])):
        raise wrong('"server_count" is {!r}, but it lists {} machines'.format(
            table.get('server_count'), len(table['server_list'])))
    ranks = {}
    for server in table['server_list']:
        devices = server.get('device') if isinstance(server, dict) else None
        if not isinstance(devices, list) or not all(isinstance(row, dict) for row in devices):
            raise wrong('a machine needs a list "device" of {"device_id", "device_ip", "rank_id"}')
        for device in devices:
            for key in ('device_id', 'rank_id'):
                if not re.match(r'[0-9]+$', str(device.get(key))) or not isinstance(
                        device[key], str):
                    raise wrong('"{}" must be a number in quotes, not {!r}'.format(
                        key, device.get(key)))
            if not device.get('device_ip'):
                raise wrong('rank {} has no "device_ip" (hccn_tool -i {} -ip -g shows it)'.format(
                    device['rank_id'], device['device_id']))
            if int(device['rank_id']) in ranks:
                raise wrong('rank {} is there twice'.format(device['rank_id']))
            ranks[int(device['rank_id'])] = int(device['device_id'])
        _check_devices([int(device['device_id']) for device in devices], wrong)
    if sorted(ranks) != list(range(len(ranks))):
        raise wrong('the ranks must be 0 to {}, not {}'.format(len(ranks) - 1, sorted(ranks)))
    addresses = [device['device_ip'] for server in table['server_list']
                 for device in server['device']]
    if len(set(addresses)) < len(addresses):
        raise wrong('two devices have the same "device_ip"')
    return ranks


def _check_devices(numbers, wrong):
    if len(numbers) not in _COUNTS or len(set(numbers)) < len(numbers):
        raise wrong('a machine takes part with 1, 2, 4 or 8 different devices, not {}'.format(
            numbers))
    if 1 < len(numbers) < 8 and len({number // _RING for number in numbers}) > 1:
        raise wrong('devices {} lie in both rings (0-3 and 4-7); take them from one'.format(
            numbers))


def is_one_of_several(environment):
    """Whether variables say that several processes train together (the platform's 0 means 1)."""
    return any((environment.get(name) or '1') not in ('0', '1')
               for name in ('RANK_SIZE', 'CM_WORKER_SIZE'))


def place(environment):
    """Finds out the place of this process.

    Waits for a table that the platform is still writing.

    Args:
      environment: dict of variables: RANK_ID, RANK_SIZE, of several processes RANK_TABLE_FILE;
        ASCEND_DEVICE_ID.
    Returns:
      (rank, number of processes, number of the device on its machine).
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
    if ranks[rank] != device:
        raise errors.InputError('{} gives rank {} the device {}, but ASCEND_DEVICE_ID is {}.'
                                .format(path, rank, ranks[rank], device))
    return rank, size, device


def first_device(environment):
    """Gives the number of the first device on this process's machine; 0 where no table tells.

    Args, Raises: see `place`.
    """
    path = environment.get('RANK_TABLE_FILE')
    if not path or not is_one_of_several(environment):
        return 0
    rank, table = _number(environment, 'RANK_ID', ''), _completed(path)
    validate(table, path)
    for server in table['server_list']:
        if str(rank) in [device['rank_id'] for device in server['device']]:
            return min(int(device['device_id']) for device in server['device'])
    raise errors.InputError('{} has no rank {}.'.format(path, rank))


def _number(environment, name, default):
    value = environment.get(name) or default
    if not re.match(r'[0-9]+$', value):
        raise errors.InputError('{} must be a number for HCCL, not "{}".'.format(name, value))
    return int(value)


def _completed(path):
    """Reads a table; waits as long as its status says that it is being written."""
    until = time.monotonic() + _PATIENCE
    while True:
        table = files.read_json(path)
        if not isinstance(table, dict) or table.get('status') != 'initializing':
            return table
        if time.monotonic() > until:
            raise errors.InputError('{}: its status is "initializing" for {} s; the platform has '
                                    'not completed it.'.format(path, _PATIENCE))
        time.sleep(1.0)

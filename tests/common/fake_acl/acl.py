"""Double of pyACL: an .om file is JSON {"graph": .pb file, "types": {end: acl's number}}.

Memory of the host and of the device are numbers of blocks; what is not freed shows in `blocks`.
"""
import json
import types

import numpy as np

from common import frozen

DTYPES = {0: np.float32, 1: np.float16, 3: np.int32, 9: np.int64}
blocks = {}
calls = []
_state = {}
_numbers = iter(range(1, 10 ** 9))


def _block(size, kind):
    number = next(_numbers)
    blocks[number] = (kind, bytearray(size))
    return number, 0


def init():
    """Begins."""
    calls.append('init')
    return 0


def finalize():
    """Ends."""
    calls.append('finalize')
    return 0


def create_data_buffer(pointer, size):
    """Gives a buffer."""
    return (pointer, size)


def destroy_data_buffer(buffer):
    """Forgets a buffer, not its memory."""
    return 0


def _memcpy(to, most, source, size, direction):
    kinds = {1: ('device', 'bytes'), 2: ('host', 'device')}[direction]
    if (blocks[to][0], blocks[source][0]) != kinds or size > most:
        return 507899
    blocks[to][1][:size] = blocks[source][1][:size]
    return 0


def _bytes_to_ptr(data):
    number, _ = _block(len(data), 'bytes')
    blocks[number][1][:] = data
    return number


def _free(pointer):
    del blocks[pointer]
    return 0


rt = types.SimpleNamespace(
    set_device=lambda number: 0, reset_device=lambda number: 0, memcpy=_memcpy,
    malloc=lambda size, policy: _block(size, 'device'), free=_free,
    malloc_host=lambda size: _block(size, 'host'), free_host=_free)
util = types.SimpleNamespace(
    bytes_to_ptr=_bytes_to_ptr, ptr_to_bytes=lambda pointer, size: bytes(blocks[pointer][1][:size]))


def _load(path):
    with open(path) as stream:
        content = json.load(stream)
    network = frozen.load(content['graph'])
    number = next(_numbers)
    _state[number] = network, content.get('types', {})
    return number, content.get('code', 0)


def _ends(model, end):
    network, kinds = _state[model]
    numbers = {np.dtype(dtype).name: number for number, dtype in DTYPES.items()}
    return [(name, shape, kinds.get(name, numbers[dtype]))
            for name, (shape, dtype) in getattr(network, end).items()]


def _size(model, end, number):
    _, shape, kind = _ends(model, end)[number]
    return int(np.prod(shape)) * np.dtype(DTYPES[kind]).itemsize


def _execute(model, inputs, outputs):
    network, _ = _state[model]
    arrays = {name: np.frombuffer(bytes(blocks[pointer][1]), DTYPES[kind]).reshape(shape)
              for (name, shape, kind), (pointer, _) in zip(_ends(model, 'inputs'), inputs)}
    values = network.predict(**arrays)
    for (name, _, kind), (pointer, _) in zip(_ends(model, 'outputs'), outputs):
        blocks[pointer][1][:] = values[name].astype(DTYPES[kind]).tobytes()
    calls.append('execute')
    return 0


def _get_desc(description, model):
    description.append(model)
    return 0


def _add(dataset, buffer):
    dataset.append(buffer)
    return dataset, 0


mdl = types.SimpleNamespace(
    load_from_file=_load, create_desc=list, get_desc=_get_desc,
    get_num_inputs=lambda d: len(_ends(d[0], 'inputs')),
    get_num_outputs=lambda d: len(_ends(d[0], 'outputs')),
    get_input_size_by_index=lambda d, i: _size(d[0], 'inputs', i),
    get_output_size_by_index=lambda d, i: _size(d[0], 'outputs', i),
    get_input_data_type=lambda d, i: _ends(d[0], 'inputs')[i][2],
    get_output_data_type=lambda d, i: _ends(d[0], 'outputs')[i][2],
    create_dataset=list, add_dataset_buffer=_add, get_dataset_buffer=lambda d, i: d[i],
    destroy_dataset=lambda d: 0, destroy_desc=lambda d: 0, execute=_execute,
    unload=lambda model: calls.append('unload') or 0)

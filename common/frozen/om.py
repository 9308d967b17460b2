"""Networks that ATC converted (.om), run on an Ascend device through pyACL.

The only file that knows the package acl, which comes with CANN; it is imported when a network is
opened. No TensorFlow is needed.
"""
import importlib
import os
from typing import Any, Dict, List, Tuple

import numpy as np

from common import errors
from common.frozen import predictor
from common.readers import text

_HUGE_FIRST = 0                         # pages of malloc
_TO_DEVICE, _TO_HOST = 1, 2             # directions of memcpy
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int8, 3: np.int32, 4: np.uint8, 6: np.int16,
           7: np.uint16, 8: np.uint32, 9: np.int64, 10: np.uint64, 11: np.float64, 12: np.bool_}


def load(path: str, graph: str, device: int = 0) -> 'OmModel':
    """Opens a converted network.

    Args:
      path: str, an .om file, or the folder with <stem of graph>.om.
      graph: str, the .pb file that it was converted from; its manifest names inputs and outputs.
      device: int, number of the Ascend device.
    Returns:
      OmModel.
    Raises:
      errors.InputError: a file or the package acl is missing, or the device refuses.
    """
    stem = os.path.splitext(graph)[0]
    if os.path.isdir(path):
        path = os.path.join(path, os.path.basename(stem) + '.om')
    if not os.path.isfile(path):
        raise errors.InputError('--om {}: no such file. freeze_graph.py --atc writes the command '
                                'that converts {}.'.format(path, graph))
    manifest = text.read_json(stem + '.json', 'the manifest of a frozen graph')
    if not isinstance(manifest, dict) or not {'inputs', 'outputs'} <= set(manifest):
        raise errors.InputError('{}.json is no manifest of a frozen graph. Freeze it again.'.format(
            stem))
    try:
        acl = importlib.import_module('acl')
    except ImportError as error:
        raise errors.InputError('--om needs the package acl ({}), which comes with CANN: source '
                                'its set_env.sh, or leave --om out.'.format(error)) from error
    return OmModel(acl, path, manifest, device)


class OmModel(predictor.Predictor):
    """A converted network on a device; close it, or use it in a `with` block.

    Args:
      acl: the package; path: str, the .om file; manifest: of the frozen graph; device: int.
    """

    def __init__(self, acl: Any, path: str, manifest: Dict[str, Any], device: int):
        ends = [{name: (tuple(one['shape']), one['dtype']) for name, one in manifest[part].items()}
                for part in ('inputs', 'outputs')]
        axes = {name: one.get('batch_axis') for part in ('inputs', 'outputs')
                for name, one in manifest[part].items()}
        super().__init__(path, ends[0], ends[1], axes)
        self._acl, self._device = acl, device
        self._check('acl.init', acl.init())
        self._check('acl.rt.set_device', acl.rt.set_device(device))
        self._model = self._checked('acl.mdl.load_from_file', acl.mdl.load_from_file(path))
        self._description = acl.mdl.create_desc()
        self._check('acl.mdl.get_desc', acl.mdl.get_desc(self._description, self._model))
        self._inputs = self._buffers('input')
        self._outputs = self._buffers('output')

    def _check(self, what, code):
        if code:
            raise errors.InputError('{}: {} failed with {}. See the log of CANN; the file must be '
                                    'converted for this chip.'.format(self.path, what, code))

    def _checked(self, what, result):
        value, code = result
        self._check(what, code)
        return value

    def _buffers(self, end) -> Tuple[Any, List[Tuple[int, int, Any]]]:
        """Memory of the inputs or outputs: (data set, list of (pointer, bytes, dtype))."""
        mdl, description = self._acl.mdl, self._description
        count, names = getattr(mdl, 'get_num_{}s'.format(end))(description), getattr(
            self, end + 's')
        if count != len(names):
            raise errors.InputError('{} has {} {}s, the frozen graph {}: it was converted from '
                                    'another one.'.format(self.path, count, end, len(names)))
        dataset, memory = mdl.create_dataset(), []
        for number in range(count):
            size = getattr(mdl, 'get_{}_size_by_index'.format(end))(description, number)
            kind = getattr(mdl, 'get_{}_data_type'.format(end))(description, number)
            pointer = self._checked('acl.rt.malloc', self._acl.rt.malloc(size, _HUGE_FIRST))
            buffer = self._acl.create_data_buffer(pointer, size)
            self._checked('acl.mdl.add_dataset_buffer', mdl.add_dataset_buffer(dataset, buffer))
            memory.append((pointer, size, np.dtype(_DTYPES[kind])))
        return dataset, memory

    def _run(self, arrays):
        acl = self._acl
        for (name, array), (pointer, size, dtype) in zip(
                [(name, arrays[name]) for name in self.inputs], self._inputs[1]):
            data = np.ascontiguousarray(array, dtype).tobytes()
            if len(data) != size:
                raise errors.InputError('{}: "{}" takes {} bytes, not {}. It was converted from '
                                        'another graph.'.format(self.path, name, size, len(data)))
            self._check('acl.rt.memcpy', acl.rt.memcpy(
                pointer, size, acl.util.bytes_to_ptr(data), size, _TO_DEVICE))
        self._check('acl.mdl.execute', acl.mdl.execute(
            self._model, self._inputs[0], self._outputs[0]))
        outputs = {}
        for (name, (shape, dtype)), memory in zip(self.outputs.items(), self._outputs[1]):
            outputs[name] = self._fetched(*memory).reshape(shape).astype(dtype)
        return outputs

    def _fetched(self, pointer, size, dtype):
        """Copies an output from the device: array [values]."""
        acl = self._acl
        host = self._checked('acl.rt.malloc_host', acl.rt.malloc_host(size))
        try:
            self._check('acl.rt.memcpy', acl.rt.memcpy(host, size, pointer, size, _TO_HOST))
            return np.frombuffer(acl.util.ptr_to_bytes(host, size), dtype)
        finally:
            acl.rt.free_host(host)

    def close(self) -> None:
        """Frees the memory of the device and leaves it."""
        acl = self._acl
        for dataset, memory in (self._inputs, self._outputs):
            for number in range(len(memory)):
                acl.destroy_data_buffer(acl.mdl.get_dataset_buffer(dataset, number))
            for pointer, _, _ in memory:
                acl.rt.free(pointer)
            acl.mdl.destroy_dataset(dataset)
        acl.mdl.destroy_desc(self._description)
        acl.mdl.unload(self._model)
        acl.rt.reset_device(self._device)
        acl.finalize()

"""Frozen graphs taken further: to Atlas inference by ATC and msame, and to ONNX."""
import logging
import os
import re
import shlex
from typing import Any, Mapping, Tuple

import numpy as np

from common import choices, errors, files
from common.frozen import comparison, graph, model

Descriptions = Mapping[str, Mapping[str, Any]]    # {name: description in a manifest}
_DTYPES = ('float16', 'float32', 'uint8', 'int32', 'int64', 'bool')     # those that ATC takes
_OPSET = 13
_ONNX_TOLERANCE = 1e-3  # of an output of floats, times its largest value where that is above 1
_ONNX_INSTALL = 'pip install tf2onnx==1.16.1 onnx==1.14.1 onnxruntime==1.10.0'


def write_atc(path: str, soc_version: str) -> str:
    """Writes what is needed to convert a frozen graph and to check the result on an Atlas host.

    Args:
      path: str, a .pb file with its manifest and sample.
      soc_version: str, the chip, such as Ascend310.
    Returns:
      str, the folder <path>_atc: `convert.sh` (atc, msame, comparison), an `input_<n>_<name>.bin`
      for each input (raw, little-endian, C order), the expected outputs, `expected.json`.
    Raises:
      errors.UsageError: no chip has such a name.
      errors.InputError: manifest or sample are missing, or ATC does not take a dtype.
    """
    check_soc_version(soc_version)
    manifest = graph.read_manifest(path)
    if manifest is None:
        raise errors.InputError('{} has no manifest; freeze it again.'.format(path))
    sample = graph.read_sample(path)
    with model.load(path) as network:
        outputs = network.predict(**sample)
    stem = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.splitext(path)[0] + '_atc'
    inputs = []
    for number, name in enumerate(manifest['inputs']):
        array = sample[name]
        if not array.shape:
            raise errors.InputError('{}: ATC takes no input without axes ("{}").'.format(
                path, name))
        if array.dtype.name not in _DTYPES:
            raise errors.InputError('{}: ATC takes no input of {} ("{}").'.format(
                path, array.dtype, name))
        inputs.append('input_{}_{}.bin'.format(number, _file_name(name)))
        with files.replacing(os.path.join(folder, inputs[-1])) as temporary:
            _raw(array).tofile(temporary)
    expected, margins = [], graph.read_margins(path)
    for number, name in enumerate(manifest['outputs']):
        stem_of_output = '{}_{}.npy'.format(number, _file_name(name))
        row = {'name': name, 'file': 'expected_' + stem_of_output,
               'batch_axis': manifest['outputs'][name]['batch_axis']}
        arrays = {row['file']: outputs[name]}
        if name in margins:
            row['margins'] = 'margins_' + stem_of_output
            arrays[row['margins']] = margins[name]
        for file_name, array in arrays.items():
            with files.replacing(os.path.join(folder, file_name)) as temporary:
                np.save(temporary, array)
        expected.append(row)
    files.write_json(os.path.join(folder, comparison.MANIFEST),
                     {'model': stem, 'outputs': expected})
    atc = atc_command(path, manifest['inputs'], manifest['outputs'], soc_version)
    files.write_text(os.path.join(folder, 'convert.sh'), _script(stem, atc, inputs))
    return folder


def check_soc_version(text: str) -> None:
    """Raises errors.UsageError where this is no name of a chip."""
    if not re.match(r'Ascend[0-9][0-9A-Za-z_]*$', text):
        raise errors.UsageError('--soc_version must be a chip such as Ascend310 or Ascend310P3, '
                                'not "{}".'.format(text))


def _file_name(name):
    return re.sub(r'[^A-Za-z0-9_]', '_', name)


def _raw(array):
    return np.ascontiguousarray(array, array.dtype.newbyteorder('<'))


def _script(stem, atc, inputs):
    stem = shlex.quote(stem)
    return '''#!/usr/bin/env bash
# Converts the frozen graph beside this folder, runs it with msame, compares the outputs.
# Needs CANN (atc) and msame on PATH; the inputs are in the order of --input_shape, which msame's
# first lines (and the log of atc) show for the converted model.
set -euo pipefail
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
(cd "$here/.." && {atc})
cd "$here"
rm -rf results
mkdir results
msame --model ../{stem}.om --input {inputs} --output results --outfmt BIN --loop 1
# From the folder of this project:
echo "now: python -m common.deploy '$here' '$here/results'"
'''.format(atc=atc, stem=stem, inputs=','.join(inputs))


def atc_command(path: str, inputs: Descriptions, outputs: Descriptions,
                soc_version: str = 'Ascend310') -> str:
    """Returns the command that converts a .pb file for Atlas inference, on a host with CANN.

    Args:
      path: str; the command is for the folder of the file.
      inputs, outputs: dicts {name: {"shape": list of int}}, as in the manifest.
      soc_version: str, the chip, such as Ascend310 or Ascend310P3.
    Returns:
      str.
    """
    name = os.path.basename(path)
    shapes = ';'.join('{}:{}'.format(node, ','.join(map(str, tensor['shape'])))
                      for node, tensor in inputs.items())
    return ('atc --model={} --framework=3 --output={} --soc_version={} --input_shape="{}" '
            '--out_nodes="{}" --input_format=ND --log=error'.format(
                shlex.quote(name), shlex.quote(os.path.splitext(name)[0]), soc_version, shapes,
                ';'.join(node + ':0' for node in outputs)))


def onnx_packages() -> Tuple[Any, Any]:
    """Returns the modules onnxruntime and tf2onnx.

    Raises:
      errors.InputError: one of them, or what it needs, is not installed.
    """
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise errors.InputError('--onnx needs packages that are not installed ({}): {} (a virtual '
                                'environment of its own is safer).'.format(
                                    error, _ONNX_INSTALL)) from error
    return onnxruntime, tf2onnx


def write_onnx(path: str) -> Tuple[str, float]:
    """Converts a frozen graph to ONNX, and runs both on the sample.

    Args:
      path: str, a .pb file with its sample.
    Returns:
      (str, float): the .onnx file and the largest difference of an output.
    Raises:
      errors.InputError: tf2onnx or onnxruntime are missing, cannot convert or run the graph, or the
        result gives other values; no file is left then.
    """
    onnxruntime, tf2onnx = onnx_packages()
    graph_def = graph.read_graph(path)
    if _has_nested_loops(graph_def):
        raise errors.InputError('{} has a loop in a loop, which tf2onnx does not know (it tells of '
                                'cycles). Freeze it with one loop: PolyGen has --single_loop.'
                                .format(path))
    logging.getLogger('tf2onnx').setLevel(logging.CRITICAL)  # what fails is raised too
    sample = graph.read_sample(path)
    with model.load(path) as network:
        expected = network.predict(**sample)
    target = os.path.splitext(path)[0] + '.onnx'
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            graph_def, input_names=[name + ':0' for name in network.inputs],
            output_names=[name + ':0' for name in network.outputs], opset=_OPSET)
        with files.replacing(target) as temporary:
            with open(temporary, 'wb') as stream:
                stream.write(proto.SerializeToString())
            session = onnxruntime.InferenceSession(temporary, providers=['CPUExecutionProvider'])
            outputs = session.run([name + ':0' for name in expected],
                                {name + ':0': value for name, value in sample.items()})
            largest = _checked_onnx(path, dict(zip(expected, outputs)), expected,
                                    network.batch_axes)
    except Exception as error:  # of many kinds, from two packages
        if isinstance(error, errors.InputError):
            raise
        raise errors.InputError('{} cannot be made an ONNX file: {}: {}'.format(
            path, type(error).__name__, ' '.join(str(error).split())[:300])) from error
    return target, largest


def _has_nested_loops(graph_def):
    """Returns whether a loop stands inside another one, by the names of their frames."""
    frames = {node.attr['frame_name'].s for node in graph_def.node if node.op == 'Enter'}
    scopes = {frame.rpartition(b'/')[0] + b'/' for frame in frames}
    return any(one != other and one.startswith(other) for one in scopes for other in scopes)


def _checked_onnx(path, outputs, expected, axes):
    """Returns the largest difference of the outputs, {name: array}, or refuses it.

    Rows with a choice that differs, its margin within rounding, are not compared.
    """
    for name, value in expected.items():
        if outputs[name].shape != value.shape:
            raise errors.InputError('{} as an ONNX file gives "{}" of shape {}, not {}.'.format(
                path, name, list(outputs[name].shape), list(value.shape)))
    moved = choices.compare_sequences(outputs, expected, graph.read_margins(path))
    if moved is not None and moved.margin > choices.ROUNDING:
        raise errors.InputError('{} as an ONNX file makes another choice where the margin is {:g}, '
                                'beyond rounding.'.format(path, moved.margin))
    return graph.check_outputs(outputs, expected, moved, axes, _ONNX_TOLERANCE,
                               '{} as an ONNX file gives other values'.format(path))

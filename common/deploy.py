"""Takes frozen graphs further: to Atlas inference by ATC and msame, and to ONNX.

`freeze_graph.py --atc` leaves a folder with commands, inputs and expected outputs; this script
compares what msame gave with them, and needs NumPy only.

Example: python -m common.deploy pb_model/vsl_encoder_atc results
"""
import glob
import logging
import os
import re
import shlex
import sys

if __name__ == '__main__':
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from common import cli, errors, files

_MANIFEST = 'expected.json'
_DTYPES = ('float16', 'float32', 'uint8', 'int32', 'int64', 'bool')     # those that ATC takes
_OPSET = 13
_ONNX_TOLERANCE = 1e-3  # of an output of floats, times its largest value where that is above 1
_ONNX_INSTALL = 'pip install tf2onnx==1.16.1 onnx==1.14.1 onnxruntime==1.10.0'


def write_atc(path, soc_version):
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
    from common import frozen  # here, since the comparison runs without TensorFlow
    check_soc_version(soc_version)
    manifest = frozen.read_manifest(path)
    if manifest is None:
        raise errors.InputError('{} has no manifest; freeze it again.'.format(path))
    sample = frozen.read_sample(path)
    with frozen.load(path) as model:
        outputs = model.predict(**sample)
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
    expected = []
    for number, name in enumerate(manifest['outputs']):
        expected.append({'name': name, 'file': 'expected_{}_{}.npy'.format(
            number, _file_name(name))})
        with files.replacing(os.path.join(folder, expected[-1]['file'])) as temporary:
            np.save(temporary, outputs[name])
    files.write_json(os.path.join(folder, _MANIFEST), {'model': stem, 'outputs': expected})
    atc = frozen.atc_command(path, manifest['inputs'], manifest['outputs'], soc_version)
    files.write_text(os.path.join(folder, 'convert.sh'), _script(stem, atc, inputs))
    return folder


def check_soc_version(text):
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


def compare(folder, results, cosine=0.999):
    """Compares the outputs of msame with those of the frozen graph.

    Args:
      folder: str, as `write_atc` left it.
      results: str, folder that holds `*_output_<n>.bin` at any depth.
      cosine: float, least similarity of a whole output of floats; others must be equal.
    Returns:
      list of (name, cosine or None, largest difference, bool whether it is accepted).
    Raises:
      errors.InputError: a file is missing, there are several, or its size is another.
    """
    rows = []
    for number, output in enumerate(_read_expected(folder)):
        expected = _read_npy(os.path.join(folder, output['file']))
        found = _read_result(results, number, expected)
        difference = float(np.max(np.abs(
            found.astype(np.float64) - expected.astype(np.float64)), initial=0))
        if expected.dtype.kind != 'f':
            rows.append((output['name'], None, difference, difference == 0))
            continue
        value = _cosine(found.astype(np.float64).ravel(), expected.astype(np.float64).ravel())
        rows.append((output['name'], value, difference, value >= cosine))
    return rows


def _read_expected(folder):
    """Reads names and files of the expected outputs, [{"name", "file"}]."""
    path = os.path.join(folder, _MANIFEST)
    held = files.read_json(path)
    outputs = held.get('outputs') if isinstance(held, dict) else None
    if not isinstance(outputs, list) or not outputs or not all(
            isinstance(output, dict) and isinstance(output.get('name'), str)
            and re.match(r'[A-Za-z0-9_.]+$', str(output.get('file', ''))) for output in outputs):
        raise errors.InputError('{} is not what freeze_graph.py --atc writes.'.format(path))
    return outputs


def _read_npy(path):
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise errors.InputError('cannot read {} ({}). Make the folder again with freeze_graph.py '
                                '--atc.'.format(path, ' '.join(str(error).split()))) from error
    if not isinstance(array, np.ndarray):
        raise errors.InputError('{} holds several arrays; one was expected.'.format(path))
    return array


def _read_result(results, number, expected):
    pattern = os.path.join(glob.escape(results), '**', '*_output_{}.bin'.format(number))
    paths = glob.glob(pattern, recursive=True)
    if len(paths) != 1:
        raise errors.InputError('{} holds {} files *_output_{}.bin, one was expected. Run msame '
                                'with --outfmt BIN into an empty folder.'.format(
                                    results, len(paths), number))
    size = os.path.getsize(paths[0])
    dtype = expected.dtype.newbyteorder('<')
    if expected.dtype == np.float32 and size == 2 * expected.size:
        dtype = np.dtype('<f2')     # an om model may give half precision
    if size != dtype.itemsize * expected.size:
        raise errors.InputError('{} has {} bytes, {} values of {} were expected.'.format(
            paths[0], size, expected.size, expected.dtype))
    return np.fromfile(paths[0], dtype).reshape(expected.shape)


def _cosine(found, expected):
    lengths = np.linalg.norm(found) * np.linalg.norm(expected)
    if not lengths:
        return float(np.array_equal(found, expected))
    return float(found.dot(expected) / lengths)


def write_onnx(path):
    """Converts a frozen graph to ONNX, and runs both on the sample.

    Args:
      path: str, a .pb file with its sample.
    Returns:
      (str, float): the .onnx file and the largest difference of an output.
    Raises:
      errors.InputError: tf2onnx or onnxruntime are missing, cannot convert or run the graph, or the
        result gives other values; no file is left then.
    """
    from common import frozen
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise errors.InputError('--onnx needs packages that are not installed ({}): {} (a virtual '
                                'environment of its own is safer).'.format(
                                    error, _ONNX_INSTALL)) from error
    graph_def = frozen.read_graph(path)
    if _has_nested_loops(graph_def):
        raise errors.InputError('{} has a loop in a loop, which tf2onnx does not know (it tells of '
                                'cycles). Freeze it with one loop: PolyGen has --single_loop.'
                                .format(path))
    logging.getLogger('tf2onnx').setLevel(logging.CRITICAL)  # what fails is raised too
    sample = frozen.read_sample(path)
    with frozen.load(path) as model:
        expected = model.predict(**sample)
    target = os.path.splitext(path)[0] + '.onnx'
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            graph_def, input_names=[name + ':0' for name in model.inputs],
            output_names=[name + ':0' for name in model.outputs], opset=_OPSET)
        with files.replacing(target) as temporary:
            with open(temporary, 'wb') as stream:
                stream.write(proto.SerializeToString())
            session = onnxruntime.InferenceSession(temporary, providers=['CPUExecutionProvider'])
            found = session.run([name + ':0' for name in expected],
                                {name + ':0': value for name, value in sample.items()})
            largest = _checked_onnx(path, dict(zip(expected, found)), expected)
    except Exception as error:  # of many kinds, from two packages
        if isinstance(error, errors.InputError):
            raise
        raise errors.InputError('{} cannot be made an ONNX file: {}: {}'.format(
            path, type(error).__name__, ' '.join(str(error).split())[:300])) from error
    return target, largest


def _has_nested_loops(graph_def):
    """Says whether a loop stands inside another one, by the names of their frames."""
    frames = {node.attr['frame_name'].s for node in graph_def.node if node.op == 'Enter'}
    scopes = {frame.rpartition(b'/')[0] + b'/' for frame in frames}
    return any(one != other and one.startswith(other) for one in scopes for other in scopes)


def _checked_onnx(path, found, expected):
    """Gives the largest difference of the outputs, {name: array}, or refuses it."""
    from common import frozen
    largest = 0.0
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise errors.InputError('{} as an ONNX file gives "{}" of shape {}, not {}.'.format(
                path, name, list(found[name].shape), list(value.shape)))
        difference = frozen.largest_difference(found[name], value)
        is_float = value.dtype.kind == 'f'
        scale = max(1.0, float(np.max(np.abs(value), initial=0))) if is_float else 0.0
        if not difference <= _ONNX_TOLERANCE * scale:
            raise errors.InputError('{} as an ONNX file gives other values: "{}" differs by {:g}.'
                                    .format(path, name, difference))
        largest = max(largest, difference)
    return largest


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('folder', help='that freeze_graph.py --atc wrote')
    parser.add_argument('results', help='folder that msame wrote to, with --outfmt BIN')
    parser.add_argument('--cosine', type=cli.fraction, default=0.999,
                        help='least similarity of an output of floats; others must be equal')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    return parser.parse_args(argv)


def print_comparison(config):
    """Prints a line for each output; returns 1 when one differs too much."""
    rows = compare(config.folder, config.results, config.cosine)
    for name, value, difference, accepted in rows:
        print('{}  {}  largest difference {:g}{}'.format(
            'ok  ' if accepted else 'FAIL', name, difference,
            '' if value is None else '  cosine {:.6f}'.format(value)))
    return 0 if all(row[3] for row in rows) else 1


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(print_comparison, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Frozen graphs: a network and its weights in one .pb file, with a manifest of its ends beside it.

    frozen.freeze(sess, {'points': points}, {'occupancy': occupancy}, 'model.pb')
    with frozen.load('model.pb') as model:
        occupancy = model.predict(points=array)['occupancy']

Example: python -m common.frozen list model.pb
         python -m common.frozen run model.pb --input voxels=shapes.npy --output results
"""
import hashlib
import os
import shlex
import sys
import zipfile

if __name__ == '__main__':
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import tensorflow.compat.v1 as tf
from google.protobuf import message
from tensorflow.core.protobuf import rewriter_config_pb2

from common import cli, errors, files, npu_lint

TOLERANCE = 1e-6  # of the self-check, times the largest output where that is above 1


def freeze(sess, inputs, outputs, path, aliases=None, notes=None, check_feed=None,
           batch_axes=None):
    """Writes a network with the values that its variables have in a session.

    The graph is checked for what an NPU cannot run, reloaded, and run on one batch beside the
    session; the file appears only when both agree. What went in is kept in <path>_sample.npz.

    Args:
      sess: tf.Session whose graph is built for inference, with all sizes fixed.
      inputs: dict {name: placeholder}; each placeholder already has that name.
      outputs: dict {name: tensor}; each gets a node of that name.
      path: str, the .pb file; the manifest takes its place with the ending .json.
      aliases: dict {further name of an output: name of that output}.
      notes: JSON value for the manifest, such as checkpoint and options.
      check_feed: dict {input name: array} to check with; inputs that it lacks get zeros.
      batch_axes: dict {name of an input or output: axis of its rows, None: it has none}; the others
        have their rows along axis 0 where that is as long as the first axis of the other inputs.
    Returns:
      dict, the manifest: inputs, outputs (shape, dtype, batch axis), aliases, notes, the command
      line of ATC, the digest of the file, counts of the lint, the largest difference in the check.
    Raises:
      errors.InputError: a size is unknown, a placeholder has another name, the NPU could not run
        the graph, or the frozen graph gives other values than the session.
    """
    aliases = dict(aliases or {})
    if not path.endswith('.pb'):
        raise errors.InputError('a frozen graph needs a name that ends in .pb, not {}.'.format(
            path))
    _check_inputs(inputs)
    ends = _name_outputs(sess.graph, outputs, aliases)
    graph_def = _constant_graph(sess, list(inputs), list(ends))
    findings = npu_lint.lint_graph(graph_def, list(inputs), list(ends), 'infer')
    if npu_lint.count(findings)['error']:
        raise errors.InputError('{} would not run on an NPU: {}'.format(path, '; '.join(
            line for line in npu_lint.describe(findings) if line.startswith('error'))))
    feed = _check_feed(inputs, check_feed or {})
    expected = sess.run(ends, {inputs[name]: value for name, value in feed.items()})
    described = _describe(inputs), _describe(outputs)
    _add_batch_axes(*described, batch_axes or {})
    manifest = {
        'model': os.path.basename(path),
        'inputs': described[0], 'outputs': described[1], 'aliases': aliases,
        'notes': notes, 'atc': atc_command(path, *described),
        'lint': npu_lint.count(findings), 'lint_warnings': npu_lint.describe(findings)}
    with files.replacing(path) as temporary:
        manifest['sha256'] = _write_graph(temporary, graph_def)
        manifest['max_difference'] = _self_check(path, temporary, feed, expected)
    with files.replacing(sample_path(path)) as temporary:
        np.savez_compressed(temporary, **feed)
    files.write_json(manifest_path(path), manifest, sort_keys=False)  # the order of the ends counts
    return manifest


def manifest_path(path):
    """Gives the name of the manifest that belongs to a .pb file."""
    return os.path.splitext(path)[0] + '.json'


def sample_path(path):
    """Gives the name of the file with the inputs that a .pb file was checked with."""
    return os.path.splitext(path)[0] + '_sample.npz'


def read_sample(path):
    """Reads the inputs that a .pb file was checked with, {name: array}.

    Raises:
      errors.InputError: they are not there, or damaged.
    """
    name = sample_path(path)
    try:
        with np.load(name, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise errors.InputError('cannot read {} ({}). Freeze {} again.'.format(
            name, error, path)) from error


def _check_inputs(inputs):
    for name, tensor in inputs.items():
        if tensor.op.type != 'Placeholder' or tensor.op.name != name:
            raise errors.InputError('the frozen input "{}" must be a placeholder of that name, not '
                                    '{} {}.'.format(name, tensor.op.type, tensor.op.name))
        if not tensor.shape.is_fully_defined():
            raise errors.InputError('the placeholder "{}" has the shape {}; a frozen graph needs '
                                    'fixed sizes.'.format(name, tensor.shape))


def _name_outputs(graph, outputs, aliases):
    """Adds the named nodes of outputs and aliases to the graph; returns {name: tensor}."""
    unknown = sorted(set(aliases.values()) - set(outputs))
    if unknown:
        raise errors.InputError('aliases name outputs that are not there: {} (outputs: {}).'.format(
            ', '.join(unknown), ', '.join(sorted(outputs))))
    ends = dict(outputs)
    ends.update((alias, outputs[name]) for alias, name in aliases.items())
    return {name: _identity(graph, tensor, name) for name, tensor in ends.items()}


def _identity(graph, tensor, name):
    """Gives `tensor` under a name of its own; a node that already is that is taken as it is."""
    if name in [op.name for op in graph.get_operations()]:
        op = graph.get_operation_by_name(name)
        if op is tensor.op or (op.type == 'Identity' and op.inputs[0] is tensor):
            return op.outputs[0]
        raise errors.InputError('the graph has a node "{}" already, a {}; give the output another '
                                'name.'.format(name, op.type))
    with graph.as_default(), tf.control_dependencies(None), tf.name_scope(None):
        return tf.identity(tensor, name=name)


def _constant_graph(sess, inputs, outputs):
    """Turns variables into constants and drops what only training needs.

    The shapes that are known now are kept as attributes: an import cannot find those inside a loop.
    """
    graph_def = tf.graph_util.convert_variables_to_constants(
        sess, sess.graph.as_graph_def(add_shapes=True), outputs)
    graph_def = tf.graph_util.remove_training_nodes(graph_def, inputs + outputs)
    held = {node.name for node in graph_def.node}
    unused = [name for name in inputs if name not in held]
    if unused:
        raise errors.InputError('the outputs {} do not depend on the input{} {}.'.format(
            ', '.join(outputs), 's' if len(unused) > 1 else '', ', '.join(unused)))
    for node in graph_def.node:
        node.device = ''
        node.attr.pop('_class', None)
        node.attr.pop('_gradient_op_type', None)    # a number of this process, for training
    return graph_def


def _describe(tensors):
    return {name: {'shape': tensor.shape.as_list(), 'dtype': tensor.dtype.base_dtype.name}
            for name, tensor in tensors.items()}


def _add_batch_axes(inputs, outputs, given):
    """Adds "batch_axis" to the description of each end; see `freeze`."""
    unknown = sorted(set(given) - set(inputs) - set(outputs))
    if unknown:
        raise errors.InputError('batch_axes names ends that are not there: {}.'.format(
            ', '.join(unknown)))
    sizes = {end['shape'][0] for name, end in inputs.items() if end['shape'] and name not in given}
    for ends in (inputs, outputs):
        for name, end in ends.items():
            along_first = len(sizes) == 1 and end['shape'][:1] == list(sizes)
            end['batch_axis'] = given.get(name, 0 if along_first else None)


def _check_feed(inputs, given):
    unknown = sorted(set(given) - set(inputs))
    if unknown:
        raise errors.InputError('check_feed has values for {}, which are no inputs ({}).'.format(
            ', '.join(unknown), ', '.join(sorted(inputs))))
    return {name: np.asarray(given[name], tensor.dtype.as_numpy_dtype) if name in given
            else np.zeros(tensor.shape.as_list(), tensor.dtype.as_numpy_dtype)
            for name, tensor in inputs.items()}


def _write_graph(path, graph_def):
    data = graph_def.SerializeToString(deterministic=True)
    with open(path, 'wb') as stream:
        stream.write(data)
    return hashlib.sha256(data).hexdigest()


def _self_check(path, written, feed, expected):
    """Runs the written graph as it stands and compares it with the session.

    Returns:
      float, the largest difference of a value.
    """
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    # Folding constants would round other products than the session with its variables does.
    config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    rewrites = config.graph_options.rewrite_options
    rewrites.disable_meta_optimizer = True
    rewrites.constant_folding = rewriter_config_pb2.RewriterConfig.OFF
    ends = {name: (value.shape, value.dtype.name) for name, value in expected.items()}
    shapes = {name: (value.shape, value.dtype.name) for name, value in feed.items()}
    with FrozenModel(path, read_graph(written), shapes, ends, config) as model:
        found = model.predict(**feed)
    largest = 0.0
    for name, value in expected.items():
        difference = largest_difference(found[name], value)
        exact = value.dtype.kind in 'iub'
        scale = max(1.0, float(np.max(np.abs(value), initial=0))) if not exact else 0.0
        if not difference <= TOLERANCE * scale:
            raise errors.InputError(
                'freezing {} failed its check: the output "{}" differs by {:g} from the live '
                'model.'.format(path, name, difference))
        largest = max(largest, difference)
    return largest


def largest_difference(found, expected):
    """Gives the largest difference of two arrays; equal infinities and NaN count as equal."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    equal = (found == expected) | (np.isnan(found) & np.isnan(expected))
    if equal.all():
        return 0.0
    return float(np.abs(found - expected)[~equal].max())


def atc_command(path, inputs, outputs, soc_version='Ascend310'):
    """Gives the command that converts a .pb file for Atlas inference, on a host with CANN.

    Args:
      path: str; the command is for the folder of the file.
      inputs, outputs: dicts {name: {"shape": list of int}}, as in the manifest.
      soc_version: str, the chip, such as Ascend310 or Ascend310P3.
    Returns:
      str.
    """
    name = os.path.basename(path)
    shapes = ';'.join('{}:{}'.format(end, ','.join(map(str, tensor['shape'])))
                      for end, tensor in inputs.items())
    return ('atc --model={} --framework=3 --output={} --soc_version={} --input_shape="{}" '
            '--out_nodes="{}" --input_format=ND --log=error'.format(
                shlex.quote(name), shlex.quote(os.path.splitext(name)[0]), soc_version, shapes,
                ';'.join(end + ':0' for end in outputs)))


def read_graph(path):
    """Reads a .pb file.

    Args:
      path: str.
    Returns:
      tf.GraphDef.
    Raises:
      errors.InputError: the file is missing or holds no graph.
    """
    graph_def = tf.GraphDef()
    try:
        with open(path, 'rb') as stream:
            graph_def.ParseFromString(stream.read())
    except OSError as error:
        raise errors.InputError('cannot read the graph {}: {}. python freeze_graph.py makes it '
                                'of a checkpoint.'.format(path, error.strerror)) from error
    except message.DecodeError as error:
        raise errors.InputError('{} is no frozen graph, or is cut short.'.format(path)) from error
    if not graph_def.node:
        raise errors.InputError('{} holds an empty graph.'.format(path))
    return graph_def


def read_manifest(path):
    """Gives the manifest of a .pb file, or None; one of another file is an error."""
    name = manifest_path(path)
    if not os.path.exists(name):
        return None
    manifest = files.read_json(name)
    if not isinstance(manifest, dict) or not {'inputs', 'outputs', 'sha256'} <= set(manifest):
        return None  # a .json of something else
    for part in ('inputs', 'outputs'):
        ends = manifest[part]
        if not isinstance(ends, dict) or not all(isinstance(end, dict) and isinstance(
                end.get('shape'), list) for end in ends.values()):
            raise errors.InputError('{}: "{}" must be a dict of ends with their shapes. Freeze {} '
                                    'again.'.format(name, part, path))
    with open(path, 'rb') as stream:
        if hashlib.sha256(stream.read()).hexdigest() != manifest['sha256']:
            raise errors.InputError('{} is not the file that {} describes: it was cut short or '
                                    'changed. Freeze it again.'.format(path, name))
    return manifest


def ends_of(path, graph_def):
    """Names the ends of a frozen graph.

    Args:
      path: str, the .pb file; its manifest decides where there is one.
      graph_def: tf.GraphDef, its graph.
    Returns:
      (inputs, outputs): lists of names; without a manifest all placeholders, and all nodes that no
      other one uses.
    """
    manifest = read_manifest(path)
    if manifest is not None:
        return list(manifest['inputs']), list(manifest['outputs'])
    used = {name.lstrip('^').split(':')[0] for node in graph_def.node for name in node.input}
    inputs = [node.name for node in graph_def.node if node.op == 'Placeholder']
    outputs = [node.name for node in graph_def.node
               if node.name not in used and node.op not in ('Const', 'NoOp', 'Placeholder')]
    return inputs, outputs


def load(path):
    """Opens a frozen graph; only a graph is read, no code.

    Args:
      path: str, a .pb file.
    Returns:
      FrozenModel.
    Raises:
      errors.InputError: the file is missing, cut short, no graph, or not the one of its manifest.
    """
    graph_def = read_graph(path)
    names_in, names_out = ends_of(path, graph_def)
    graph = npu_lint.imported(graph_def)
    try:
        tensors = {name: graph.get_tensor_by_name(name + ':0') for name in names_in + names_out}
    except (KeyError, ValueError) as error:
        raise errors.InputError('{} has no such end: {}. Freeze it again.'.format(
            path, error.args[0])) from error
    ends = {name: (tuple(tensor.shape.as_list()) if tensor.shape.ndims is not None else None,
                   tensor.dtype.base_dtype.name) for name, tensor in tensors.items()}
    described = [{name: {'shape': list(ends[name][0] or ())} for name in names}
                 for names in (names_in, names_out)]
    manifest = read_manifest(path)
    if manifest is None:
        _add_batch_axes(*described, {})
    else:
        described = manifest['inputs'], manifest['outputs']
    axes = {name: end.get('batch_axis') for part in described for name, end in part.items()}
    return FrozenModel(path, graph_def, {name: ends[name] for name in names_in},
                       {name: ends[name] for name in names_out}, batch_axes=axes)


class FrozenModel:
    """A frozen graph that is ready to run; close it, or use it in a `with` block.

    Attributes:
      inputs, outputs: dict {name: (shape, dtype)}; the shape is a tuple, the dtype a str.
      batch_axes: dict {name: axis along which its rows lie, or None}.
    """

    def __init__(self, path, graph_def, inputs, outputs, session_config=None, batch_axes=None):
        self.path = path
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self.batch_axes = dict(batch_axes or {})
        if session_config is None:
            session_config = tf.ConfigProto(allow_soft_placement=True)
            session_config.gpu_options.allow_growth = True
        self._sess = tf.Session(graph=npu_lint.imported(graph_def), config=session_config)

    def predict(self, **arrays):
        """Runs the network.

        Args:
          **arrays: an array for each input, of its shape and a dtype that its own can hold (a float
            for an integer input is refused).
        Returns:
          dict {output name: array}.
        Raises:
          errors.InputError: a name, shape or dtype is wrong; the message lists what is expected.
        """
        wrong = sorted(set(arrays) ^ set(self.inputs))
        if wrong:
            raise self._refused('{} {}'.format(
                'unknown or missing input' + ('s' if len(wrong) > 1 else ''), ', '.join(wrong)))
        feed = {name + ':0': self._fitting(name, value) for name, value in arrays.items()}
        return self._sess.run({name: name + ':0' for name in self.outputs}, feed)

    def predict_all(self, **arrays):
        """Runs the network on any number of rows: in portions of the frozen size.

        The last portion is filled up with its last row, and its outputs are cut again.

        Args:
          **arrays: an array for each input; with a batch axis all of the same number of rows.
        Returns:
          dict {output name: array}; of an output without a batch axis, the first portion's.
        Raises:
          errors.InputError: as in `predict`, or the numbers of rows differ or are 0.
        """
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        axes = {name: self.batch_axes.get(name) for name in arrays}
        counts = {name: array.shape[axes[name]] for name, array in arrays.items()
                  if axes[name] is not None and axes[name] < array.ndim}
        if not counts:
            return self.predict(**arrays)
        total = max(counts.values())
        if len(set(counts.values())) > 1 or not total:
            raise self._refused('the inputs have different numbers of rows, or none: {}'.format(
                ', '.join('{} {}'.format(*item) for item in sorted(counts.items()))))
        first = min(counts)
        portion = self.inputs[first][0][axes[first]]
        if portion is None:     # a graph of others, for any number of rows
            return self.predict(**arrays)
        found = []
        for start in range(0, total, portion):
            rows = np.minimum(np.arange(start, start + portion), total - 1)
            found.append(self.predict(**{
                name: np.take(array, rows, axes[name]) if name in counts else array
                for name, array in arrays.items()}))
        return {name: self._joined([values[name] for values in found], total,
                                   self.batch_axes.get(name)) for name in self.outputs}

    def _joined(self, parts, total, axis):
        if axis is None:
            return parts[0]
        whole = np.concatenate(parts, axis)
        return np.take(whole, np.arange(total), axis)

    def _fitting(self, name, value):
        """Converts a value to the dtype of an input, or says why it does not fit."""
        shape, dtype = self.inputs[name]
        array = np.asarray(value)
        sizes_fit = shape is None or (len(shape) == array.ndim and all(
            size in (None, given) for size, given in zip(shape, array.shape)))
        if not sizes_fit or not np.can_cast(array.dtype, dtype, 'same_kind'):
            raise self._refused('"{}" came as {} {}'.format(name, array.dtype, list(array.shape)))
        converted = array.astype(dtype)
        if array.dtype.kind in 'iu' and (converted.astype(array.dtype) != array).any():
            raise self._refused('"{}" holds numbers beyond {}'.format(name, dtype))
        return converted

    def _refused(self, what):
        return errors.InputError('{}: {}. Expected: {}.'.format(
            self.path, what, '; '.join(_end_lines(self.inputs))))

    def __str__(self):
        return '\n'.join([self.path] + ['  input  ' + line for line in _end_lines(self.inputs)]
                         + ['  output ' + line for line in _end_lines(self.outputs)])

    def close(self):
        """Frees the session."""
        self._sess.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def _end_lines(ends):
    return ['{} {} {}'.format(name, dtype, 'of any rank' if shape is None else list(shape))
            for name, (shape, dtype) in ends.items()]


def parse_args(argv=None):
    """Reads the command line."""
    parser = cli.make_parser(__doc__)
    parser.add_argument('action', choices=('list', 'run'), help='what to do with the graph')
    parser.add_argument('graph', help='frozen graph (.pb)')
    parser.add_argument('--input', action='append', default=[], metavar='NAME=FILE',
                        help='array (.npy) for an input, with any number of rows; once for each')
    parser.add_argument('--output', default='', metavar='FOLDER',
                        help='where the outputs go, <name>.npy')
    cli.add_flag(parser, '--debug', help='show tracebacks')
    config = parser.parse_args(argv)
    if config.action == 'run' and not (config.input and config.output):
        parser.error('run needs --input NAME=FILE and --output FOLDER')
    for given in config.input:
        if not given.partition('=')[0] or not given.partition('=')[2]:
            parser.error('--input must look like NAME=FILE, not "{}"'.format(given))
    return config


def read_array(path):
    """Reads a .npy file.

    Raises:
      errors.InputError: it cannot be read, or is no array.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise errors.InputError('cannot read {} as an array (.npy): {}.'.format(
            path, ' '.join(str(error).split()))) from error
    if not isinstance(array, np.ndarray):
        raise errors.InputError('{} holds several arrays; give a .npy file.'.format(path))
    return array


def run_action(config):
    """Lists the ends of a graph, or runs it on files."""
    with load(config.graph) as model:
        if config.action == 'list':
            print(model)
            return
        arrays = {}
        for given in config.input:
            name, _, path = given.partition('=')
            arrays[name] = read_array(path)
        for name, value in model.predict_all(**arrays).items():
            path = os.path.join(config.output, name.replace('/', '_') + '.npy')
            with files.replacing(path) as temporary:
                np.save(temporary, value)
            print('{} {} {}'.format(path, value.dtype, list(value.shape)))


def main(argv=None):
    """Runs the script; returns its exit code."""
    return cli.run(run_action, parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())

"""Freezing: a network and its weights in one .pb file, with a manifest of its inputs and outputs.

    freezing.freeze(sess, {'points': points}, {'occupancy': occupancy}, 'model.pb')
"""
import hashlib
import os
from typing import Any, Dict, List, Optional

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from common import choices, cli, errors, files
from common.frozen import export, graph, lint, model

# Attributes that came after TensorFlow 1.15, which refuses what it does not know: hints for
# training, and settings whose value here is the one of before.
_LATER_ATTRIBUTES = {
    'MatMul': ('grad_a', 'grad_b'), 'BatchMatMul': ('grad_x', 'grad_y'),
    'BatchMatMulV2': ('grad_x', 'grad_y'), 'MaxPool': ('explicit_paddings',),
    'DepthwiseConv2dNative': ('explicit_paddings',), 'FusedBatchNorm': ('exponential_avg_factor',),
    'FusedBatchNormV2': ('exponential_avg_factor',),
    'FusedBatchNormV3': ('exponential_avg_factor',), 'GatherNd': ('bad_indices_policy',),
    'ScatterNd': ('bad_indices_policy',), 'TopKV2': ('index_type', 'Tk')}
TOLERANCE = 1e-6  # of the self-check, times the largest output where that is above 1


def freeze(sess: tf.Session, inputs: Dict[str, tf.Tensor], outputs: Dict[str, tf.Tensor],
           path: str, aliases: Optional[Dict[str, str]] = None, notes: Any = None,
           check_feed: Optional[Dict[str, Any]] = None,
           batch_axes: Optional[Dict[str, Optional[int]]] = None,
           margins: Optional[Dict[str, tf.Tensor]] = None) -> Dict[str, Any]:
    """Writes a network with the values that its variables have in a session.

    The graph is checked for what an NPU cannot run, reloaded, and run on one batch beside the
    session; the file appears only when both agree. The inputs are saved in <path>_sample.npz, the
    margins of choices in <path>_margins.npz.

    Args:
      sess: tf.Session whose graph is built for inference, with all sizes fixed.
      inputs: dict {name: placeholder}; each placeholder already has that name.
      outputs: dict {name: tensor}; each gets a node of that name.
      path: str, the .pb file; the manifest takes its place with the ending .json.
      aliases: dict {further name of an output: name of that output}.
      notes: JSON value for the manifest, such as checkpoint and options.
      check_feed: dict {input: array [batch, ...]} to check with; inputs that it lacks get zeros.
      batch_axes: dict {name of an input or output: axis of its rows, None: it has none}; the others
        have their rows along axis 0 where that is as long as the first axis of the other inputs.
      margins: dict {output: tensor of its shape [batch, ...]} of outputs whose rows are sequences
        of choices, see `common.choices`. Where one lies within rounding it may come out otherwise:
        its row is not compared, a note and the manifest tell how many.
    Returns:
      dict, the manifest: inputs, outputs (shape, dtype, batch axis), aliases, notes, the command
      line of ATC, the digest of the file, counts of the lint, the largest difference in the check
      and the number of choices that came out otherwise.
    Raises:
      errors.InputError: a size is unknown, a placeholder has another name, the NPU could not run
        the graph, or the frozen graph gives other values than the session.
    """
    aliases = dict(aliases or {})
    if not path.endswith('.pb'):
        raise errors.InputError('a frozen graph needs a name that ends in .pb, not {}.'.format(
            path))
    _check_inputs(inputs)
    named = _name_outputs(sess.graph, outputs, aliases)
    graph_def = _constant_graph(sess, list(inputs), list(named))
    findings = _lint(path, graph_def, list(inputs), list(named))
    feed = _check_feed(inputs, check_feed or {})
    expected, least = sess.run((named, margins or {}),
                               {inputs[name]: value for name, value in feed.items()})
    described = _describe(inputs), _describe(outputs)
    graph.add_batch_axes(*described, batch_axes or {})
    manifest = {
        'model': os.path.basename(path),
        'inputs': described[0], 'outputs': described[1], 'aliases': aliases,
        'notes': notes, 'atc': export.atc_command(path, *described),
        'lint': lint.count(findings), 'lint_warnings': lint.describe(findings)}
    axes = {name: described[1][aliases.get(name, name)]['batch_axis'] for name in named}
    with files.replacing(path) as temporary:
        manifest['sha256'] = _write_graph(temporary, graph_def)
        manifest.update(_check_written(path, temporary, feed, expected, least, axes))
    _write_arrays(graph.sample_path(path), feed)
    _write_arrays(graph.margins_path(path), least)
    files.write_json(graph.manifest_path(path), manifest, sort_keys=False)
    return manifest


def announced(paths: List[str]) -> List[str]:
    """Prints a line for each frozen graph; returns their paths."""
    for path in paths:
        cli.say('frozen: {}'.format(path))
    return paths


def _lint(path, graph_def, inputs, outputs):
    findings = lint.lint_graph(graph_def, inputs, outputs, 'infer')
    if lint.count(findings)['error']:
        raise errors.InputError('{} would not run on an NPU: {}'.format(path, '; '.join(
            line for line in lint.describe(findings) if line.startswith('error'))))
    return findings


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
    named = dict(outputs)
    named.update((alias, outputs[name]) for alias, name in aliases.items())
    return {name: _identity(graph, tensor, name) for name, tensor in named.items()}


def _identity(graph, tensor, name):
    """Returns `tensor` under a name of its own; a node that already is that is taken as it is."""
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
    names = {node.name for node in graph_def.node}
    unused = [name for name in inputs if name not in names]
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


def _check_feed(inputs, arrays):
    unknown = sorted(set(arrays) - set(inputs))
    if unknown:
        raise errors.InputError('check_feed has values for {}, which are no inputs ({}).'.format(
            ', '.join(unknown), ', '.join(sorted(inputs))))
    return {name: np.asarray(arrays[name], tensor.dtype.as_numpy_dtype) if name in arrays
            else np.zeros(tensor.shape.as_list(), tensor.dtype.as_numpy_dtype)
            for name, tensor in inputs.items()}


def _write_graph(path, graph_def):
    for node in graph_def.node:     # not earlier: an import, as lint's, adds what is missing
        for name in _LATER_ATTRIBUTES.get(node.op, ()):
            node.attr.pop(name, None)
    data = graph_def.SerializeToString(deterministic=True)
    with open(path, 'wb') as stream:
        stream.write(data)
    return hashlib.sha256(data).hexdigest()


def _check_written(path, written, feed, expected, margins, axes):
    """Compares the written graph with the session's outputs; returns the manifest's figures."""
    outputs = _run_written(path, written, feed, expected)
    moved = _moved_choices(path, outputs, expected, margins)
    return {'moved_choices': moved.places if moved else 0, 'max_difference': graph.check_outputs(
        outputs, expected, moved, axes, TOLERANCE, 'freezing {} failed its check'.format(path))}


def _run_written(path, written, feed, expected):
    """Runs the written graph as it stands; returns its outputs."""
    config = tf.ConfigProto(allow_soft_placement=True)
    config.gpu_options.allow_growth = True
    # Folding constants would round other products than the session with its variables does.
    config.graph_options.optimizer_options.opt_level = tf.OptimizerOptions.L0
    rewrites = config.graph_options.rewrite_options
    rewrites.disable_meta_optimizer = True
    rewrites.constant_folding = rewriter_config_pb2.RewriterConfig.OFF
    signature = {name: (value.shape, value.dtype.name) for name, value in expected.items()}
    shapes = {name: (value.shape, value.dtype.name) for name, value in feed.items()}
    imported = model.open_graph(path, graph.read_graph(written))
    with model.FrozenModel(path, imported, shapes, signature, config) as network:
        return network.predict(**feed)


def _moved_choices(path, outputs, expected, margins):
    """Returns choices.Moved, or None where there are no choices; tells of them, or refuses."""
    moved = choices.compare_sequences(outputs, expected, margins)
    if moved is None or not moved.places:
        return moved
    if not moved.margin <= choices.ROUNDING:
        raise errors.InputError(
            'freezing {} failed its check: "{}" differs from the live model at a choice whose '
            'margin is {:g}, beyond rounding ({:g}).'.format(
                path, '", "'.join(sorted(margins)), moved.margin, choices.ROUNDING))
    cli.say('note: {}: {} of {} choices came out otherwise, their margins lie within rounding (at '
            'most {:.1g})'.format(path, moved.places, sum(map(np.size, margins.values())),
                                  moved.margin))
    return moved


def _write_arrays(path, arrays):
    """Writes {name: array} to an .npz file; none: removes an older file."""
    if not arrays:
        if os.path.exists(path):
            os.remove(path)
        return
    with files.replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)

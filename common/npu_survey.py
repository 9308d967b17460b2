"""The table of `python -m common.npu_lint --all`: every network's training graph and frozen graph.

What is frozen has initial values in place of trained ones.
"""
import os
import sys
import tempfile
from typing import Dict, List, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from common import collection, errors
from common.device import emulation, precision_types
from common.frozen import export, freezing, model, networks
from common.frozen import graph as graph_lib
from common.frozen import lint as rules
from common.training import checkpoints, records

_COLUMNS = ('network', 'graph', 'errors', 'warnings', 'waived', 'static', 'dtypes', 'parameters',
            '.pb difference', 'ONNX difference', 'half: largest', 'half: mean')


def survey(network: networks.Network, folder: str
           ) -> Tuple[Dict[str, str], List[rules.Finding], List[str]]:
    """Builds a graph and examines it.

    Args:
      network: Network.
      folder: str, for the frozen graph.
    Returns:
      (dict {column: str}, list of Finding, list of further lines).
    """
    lines: List[str] = []
    with tf.Graph().as_default() as graph:
        row = {'network': network.name, 'graph': 'training' if network.is_training else 'frozen',
               '.pb difference': '-', 'ONNX difference': '-', 'half: largest': '-',
               'half: mean': '-'}
        built = network.build()
        if network.is_training:
            feeds, fetches = [[getattr(end, 'op', end).name for end in part] for part in built]
            graph_def, mode = graph.as_graph_def(add_shapes=True), 'train'
            parameters = records.num_parameters(tf.trainable_variables())
        else:
            path = os.path.join(folder, 'network.pb')
            row['.pb difference'] = '{:.1e}'.format(_freeze(built, folder, path))
            row['ONNX difference'] = _onnx_difference(path, lines)
            row['half: largest'], row['half: mean'] = _half_difference(path)
            graph_def, mode = graph_lib.read_graph(path), 'infer'
            feeds, fetches = list(built.inputs), list(built.outputs)
            parameters = records.num_parameters(built.variables)
    findings = rules.waive(rules.lint_graph(graph_def, feeds, fetches, mode),
                              rules.read_waivers())
    counted = rules.count(findings)
    row.update({'errors': str(counted['error']), 'warnings': str(counted['warning']),
                'waived': str(sum(finding.severity == 'waived' for finding in findings)),
                'static': 'no' if any(finding.rule == 'shape-dynamic' for finding in findings)
                else 'yes',
                'dtypes': ' '.join(rules.dtypes(graph_def, feeds, fetches)),
                'parameters': '{:,}'.format(parameters)})
    return row, findings, lines


def _freeze(built, folder, path):
    """Writes a checkpoint, restores it in another session, freezes that; gives the difference."""
    prefix = os.path.join(folder, 'model-0')
    if built.variables:
        with tf.Session() as sess:
            sess.run(tf.variables_initializer(built.variables))
            tf.train.Saver(built.variables).save(sess, prefix, write_meta_graph=False,
                                                 write_state=False)
    options = tf.ConfigProto()
    # Fused operations round other than the single ones of the written graph.
    options.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Session(config=options) as sess:
        sess.run(tf.global_variables_initializer())
        if built.variables:
            checkpoints.restore(sess, prefix, built.variables)
        return freezing.freeze(sess, built.inputs, built.outputs, path, built.aliases,
                               check_feed=built.feed, batch_axes=built.batch_axes,
                               margins=built.margins)['max_difference']


def _onnx_difference(path, lines):
    try:
        export.onnx_packages()
    except errors.InputError:
        return 'not installed'
    try:
        return '{:.1e}'.format(export.write_onnx(path)[1])
    except errors.InputError as error:
        lines.append('no ONNX file: {}'.format(str(error).split(': ', 1)[-1]))
        return 'none'


def _half_difference(path):
    """What the outputs lose in half precision, as ATC makes it: largest and mean difference."""
    settings = emulation.Settings(precision_types.Rules('force_fp16'))
    sample = graph_lib.read_sample(path)
    with model.load(path) as exact, model.load(path, precision=settings) as network:
        expected, outputs = exact.predict(**sample), network.predict(**sample)
    differences = [graph_lib.differences(outputs[name], value)
                   for name, value in expected.items()]
    return ['{:.1e}'.format(max(column)) for column in zip(*differences)]


def print_table(models: Optional[Sequence[str]] = None) -> int:
    """Prints a row for each graph of the models (None: of all), errors below; returns 0 or 1."""
    table: List[Sequence[str]] = [_COLUMNS]
    lines: List[str] = []
    for name in models or collection.NAMES:
        for network in collection.rows_of(name):
            with tempfile.TemporaryDirectory() as folder:
                row, findings, more = survey(network, folder)
            row['network'] = '{} {}'.format(name, network.name)
            table.append([row[column] for column in _COLUMNS])
            listed = [finding for finding in findings if finding.severity in ('error', 'waived')]
            lines += ['{} ({}): {}'.format(row['network'], row['graph'], line)
                      for line in rules.describe(listed) + rules.advice(listed) + more]
    widths = [max(len(cells[number]) for cells in table) for number in range(len(_COLUMNS))]
    for cells in table:
        print('  '.join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
    for line in lines:
        print(line)
    if not tf.__version__.startswith('1.'):
        print('note: an NPU runs TensorFlow 1.15; this is {}, whose gradients have other shapes. '
              'Lint on 1.15: bash setup.sh --tensorflow=1'.format(tf.__version__), file=sys.stderr)
    return 1 if any(int(cells[2]) for cells in table[1:]) else 0

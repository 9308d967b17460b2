"""A stand-in for another CPU, whose kernels round otherwise: weights moved by one part in 10^7.

`pytest --nudge-weights=SEED` moves the initial values of variables, the weights of golden cases,
and once more the constants of every frozen graph that is opened: it and the live network then
differ as two graphs do that round differently. Processes that the tests start do the same, through
tests/standin. Threads: TF_NUM_INTRAOP_THREADS=1|2|3 pytest ...
"""
import os
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

AMOUNT = 1e-7
STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'standin')


def moved(values, name, seed):
    """Values [...] times 1 +- AMOUNT at random; what is constant (gains of 1, masks) stays."""
    if values.dtype != np.float32 or not values.size or np.ptp(values) == 0:
        return values
    rng = np.random.RandomState(zlib.crc32('{} {}'.format(seed, name).encode()))
    signs = 2 * rng.randint(2, size=values.shape) - 1
    return (values.astype(np.float64) * (1 + AMOUNT * signs)).astype(np.float32)


def install(seed):
    """Moves weights from now on; `seed` draws which of them up, which down."""
    if 'NUDGE_WEIGHTS' not in os.environ:   # else tests/standin does it in this process too
        move_variables(seed)
        move_frozen(seed)
        os.environ['NUDGE_WEIGHTS'] = str(seed)
        os.environ['PYTHONPATH'] = os.pathsep.join(
            [STAND_IN] + [path for path in [os.environ.get('PYTHONPATH')] if path])
    _move_golden(seed)


def move_variables(seed):
    """Moves initial values of variables in this process."""
    tf.variables_initializer = _moving(tf.variables_initializer, seed)
    tf.global_variables_initializer = lambda: tf.variables_initializer(tf.global_variables())


def move_frozen(seed):
    """Moves constants of frozen graphs that this process opens."""
    from common.frozen import graph
    imported = graph.imported
    graph.imported = lambda graph_def, *more: imported(_moved_graph(graph_def, seed), *more)


def move_checkpoint(prefix, seed):
    """Moves the weights of a checkpoint, not the optimizer's slots, and writes it anew."""
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    values = [reader.get_tensor(name) for name in names]
    values = [value if '/Adam' in name else moved(value, name, seed)
              for name, value in zip(names, values)]
    with tf.Graph().as_default(), tf.Session() as sess:
        sess.run(tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=names, shape_and_slices=[''] * len(names),
            tensors=[tf.constant(value) for value in values]))


def _move_golden(seed):
    from tests import golden
    check_case = golden.check_case
    golden.check_case = lambda case, path: check_case(_moved_case(case, seed), path)


def _moved_case(case, seed):
    if case.kind == 'checkpoint':   # whether weights come back as they are stored
        return case
    return case._replace(weights=type(case.weights)(
        (name, moved(value, name, seed)) for name, value in case.weights.items()))


def _moving(initializer, seed):
    def moving(variables, *args, **kwargs):
        made = initializer(variables, *args, **kwargs)
        wanted = [variable for variable in variables if variable.dtype.base_dtype == tf.float32
                  and variable.shape.is_fully_defined()]
        with tf.control_dependencies([made]):
            return tf.group(*[_moving_step(variable, seed) for variable in wanted])

    return moving


def _moving_step(variable, seed):
    def values_of(values):
        return moved(values, variable.op.name, seed)

    current = tf.identity(variable._ref() if hasattr(variable, '_ref') else variable.read_value())
    return variable.assign(tf.reshape(tf.py_func(values_of, [current], tf.float32),
                                      variable.shape)).op


def _moved_graph(graph_def, seed):
    copied = tf.GraphDef()
    copied.CopyFrom(graph_def)
    for node in copied.node:
        if node.op == 'Const' and node.attr['dtype'].type == tf.float32.as_datatype_enum:
            values = tf.make_ndarray(node.attr['value'].tensor)
            if values.size > 1:
                node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(
                    moved(values, 'frozen ' + node.name, seed)))
    return copied

"""Forward passes and samples of both models on small random inputs, for model_test.py."""
import numpy as np
import tensorflow.compat.v1 as tf

from common import cli, errors
from polygen import modules

_BATCH, _TOKENS, _VERTICES, _CLASSES = 4, 31, 10, 4
_STACK = {'num_layers': 2, 'hidden_size': 32, 'fc_size': 64, 'num_heads': 4}


def _vertex_outputs(rng):
    model = modules.VertexModel(_STACK, quantization_bits=8, class_conditional=True,
                                num_classes=_CLASSES, max_num_input_verts=_VERTICES)
    labels = tf.constant(rng.randint(_CLASSES, size=_BATCH), tf.int32)
    batch = {'vertices_flat': tf.constant(rng.randint(1, 257, (_BATCH, _TOKENS)), tf.int32),
             'class_label': labels}
    sample = model.sample(_BATCH, {'class_label': labels}, _VERTICES, recenter_verts=False,
                          only_return_complete=False)
    return model(batch).log_prob(batch['vertices_flat']), sample


def _face_outputs(rng):
    model = modules.FaceModel(_STACK, _STACK, class_conditional=False, max_seq_length=50)
    context = {'vertices': tf.constant(rng.uniform(-.5, .5, (_BATCH, _VERTICES, 3)), tf.float32),
               'vertices_mask': tf.ones([_BATCH, _VERTICES])}
    faces = tf.constant(rng.randint(_VERTICES + 2, size=(_BATCH, _TOKENS)), tf.int32)
    sample = model.sample(context, 50, only_return_complete=False)
    return model(dict(context, faces=faces)).log_prob(faces), sample


def _require(holds, what):
    if not holds:
        raise errors.InputError('smoke test: {} does not hold.'.format(what))
    cli.say('ok  {}'.format(what))


def check(options, context):
    """Builds, runs and checks both models with initial weights.

    Args:
      options: cli.Options, see model_test.py.
      context: launch.Context.
    Raises:
      errors.InputError: a check fails.
    """
    del options
    tf.set_random_seed(context.seed)
    rng = np.random.RandomState(context.seed)
    outputs = _vertex_outputs(rng) + _face_outputs(rng)
    with context.open_session() as sess:
        sess.run(tf.global_variables_initializer())
        vertex_log_prob, vertices, face_log_prob, faces = sess.run(outputs)
    # Output kernels start at zero: every symbol is equally likely.
    _require(np.allclose(vertex_log_prob, -np.log(257), atol=1e-4), 'vertex log-prob = -ln 257')
    _require(np.allclose(face_log_prob, -np.log(_VERTICES + 2), atol=1e-4),
             'face log-prob = -ln(V + 2)')
    points, mask = vertices['vertices'], vertices['vertices_mask']
    _require(points.shape == (_BATCH, _VERTICES, 3) and np.abs(points).max() <= 0.5,
             'sampled vertices lie in [-0.5, 0.5]')
    _require((mask.sum(1) == vertices['num_vertices']).all() and not points[mask == 0].any(),
             'masks agree with the numbers of vertices; padding is zero')
    counts = faces['num_face_indices'][:, None]
    behind = np.arange(50)[None] >= counts - 1
    _require(faces['faces'].min() >= 0 and faces['faces'].max() < _VERTICES + 2
             and not faces['faces'][behind].any(), 'sampled faces point at vertices that exist')

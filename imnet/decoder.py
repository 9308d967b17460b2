"""The implicit decoder of IM-AE and IM-SVR, and ways to run it on any number of points.

S: shapes, N: points of a shape, Z: latent dimension. Points are in the cube [-0.5, 0.5]^3; a value
above 0.5 is inside.
"""
from typing import Any, List, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common.ops import regions
from imnet.IMGAN import ops

SCOPE = 'simple_net'
POINTS_PER_RUN = 4096       # of a field: so few that a CPU's caches hold the widest layer
_WIDTHS = (8, 8, 8, 4, 2, 1)


def simple_net(points: tf.Tensor, codes: tf.Tensor, gf_dim: int, plain: bool = False,
               leaky_clip: bool = False, he_init: bool = False, fused: bool = True
               ) -> Tuple[tf.Tensor, tf.Tensor]:
    """Builds the decoder: seven dense layers and a clip to [0, 1] (Chen and Zhang 2019, figure 3).

    The improved version: no skip connections, and a clip in place of the sigmoid.

    Args:
      points: [S, N, 3] in [-0.5, 0.5].
      codes: [S, Z].
      gf_dim: width unit; the layers have 8, 8, 8, 4, 2, 1 units, the last one a single channel.
      plain: repeat the code beside every point as the original does; else the first matrix is
        split into the rows for points and those for the code, which gives the same sums.
      leaky_clip: the author's alternative for runs that do not converge: the clip lets 0.01 of
        the value through outside [0, 1].
      he_init: see ops.linear_variables; all layers but the last one.
      fused: leaky ReLUs are one operation and the first bias is added to the code's rows, unless
        plain; else both are the original's operators, which half precision rounds one by one.
    Returns:
      (values [S, N, 1], raw [S, N, 1]): after and before the clip.
    """
    if plain:
        count = tf.shape(points)[1]
        inputs = tf.concat([points, tf.tile(codes[:, None], [1, count, 1])], axis=2)
        inputs.set_shape(points.shape.as_list()[:2] + [3 + codes.shape[1].value])
    with tf.variable_scope(SCOPE, reuse=tf.AUTO_REUSE):
        if plain:
            hidden = _dense(inputs, _WIDTHS[0] * gf_dim, 'h1_lin', he_init)
        else:
            hidden = _first_layer(points, codes, _WIDTHS[0] * gf_dim, he_init, fused)
        hidden = ops.lrelu(hidden, plain or not fused)
        for number, width in enumerate(_WIDTHS[1:], 2):
            hidden = _dense(hidden, width * gf_dim, 'h{}_lin'.format(number), he_init)
            hidden = ops.lrelu(hidden, plain or not fused)
        raw = _dense(hidden, 1, 'h7_lin')
    if leaky_clip:
        return tf.maximum(tf.minimum(raw, raw * 0.01 + 0.99), raw * 0.01), raw
    return tf.maximum(tf.minimum(raw, 1.), 0.), raw


def _dense(inputs, size, scope, he_init=False):
    """Dense layer over [S, N, C]; S and N become one axis, since one product is faster."""
    flat = ops.linear(tf.reshape(inputs, [-1, inputs.shape[-1].value]), size, scope,
                      he_init)
    return tf.reshape(flat, [inputs.shape[0].value or tf.shape(inputs)[0],
                             inputs.shape[1].value or tf.shape(inputs)[1], size])


def _first_layer(points, codes, size, he_init, fused):
    with tf.variable_scope('h1_lin', reuse=tf.AUTO_REUSE):
        matrix, bias = ops.linear_variables(3 + codes.shape[1].value, size, he_init)
    with regions.one_operator('MatMul'):
        flat = tf.matmul(tf.reshape(points, [-1, 3]), matrix[:3])
        shape = [points.shape[0].value or tf.shape(points)[0],
                 points.shape[1].value or tf.shape(points)[1], size]
        of_codes = tf.matmul(codes, matrix[3:])
        if fused:
            return tf.reshape(flat, shape) + (of_codes + bias)[:, None]
        product = tf.reshape(flat, shape) + of_codes[:, None]
    return product + bias


def variables() -> List[tf.Variable]:
    """Returns the decoder's variables of the default graph, in the order of their creation."""
    return [variable for variable in tf.global_variables()
            if variable.op.name.startswith(SCOPE + '/') and 'Adam' not in variable.op.name]


class Field:
    """The field of one shape, on any number of points: a function of points.

    Args:
      sess: tf.Session.
      codes: placeholder [1, Z]; points: placeholder [1, None or a fixed number, 3].
      values, raw: tensors [1, N, 1] of `simple_net` on both.
      code: float array [Z] or [1, Z].
      points_per_run: the most at once where the number of points is open.
    """

    def __init__(self, sess: tf.Session, codes: tf.Tensor, points: tf.Tensor, values: tf.Tensor,
                 raw: tf.Tensor, code: np.ndarray, points_per_run: int = POINTS_PER_RUN):
        self._sess, self._points, self._values = sess, points, values
        self._feed = {codes: np.reshape(code, [1, -1])}
        self._fixed = points.shape[1].value
        self._points_per_run = points_per_run
        self.evaluated = 0      # points in all calls
        self._raw = raw

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Returns the values at points [N, 3]: float32 [N]."""
        self.evaluated += len(points)
        return self._run(self._values, points)[:, 0]

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """Returns the gradient of the value before the clip by position [N, 3]: float32 [N, 3]."""
        key = 'gradient of ' + self._raw.name
        gradients = self._raw.graph.get_collection(key)
        if not gradients:
            with self._raw.graph.as_default():
                gradients = [tf.gradients(self._raw, self._points)[0]]
                tf.add_to_collection(key, gradients[0])
        return self._run(gradients[0], points)

    def _run(self, tensor, points):
        points = np.asarray(points, np.float32)
        if not len(points):
            return np.zeros([0, 3], np.float32)
        size, results = self._fixed or self._points_per_run, []
        for start in range(0, len(points), size):
            part = points[start:start + size]
            padded = part
            if self._fixed and len(part) < size:
                padded = np.concatenate([part, np.zeros([size - len(part), 3], np.float32)])
            result = self._sess.run(tensor, {**self._feed, self._points: padded[None]})
            results.append(result[0, :len(part)])
        return np.concatenate(results)


class FrozenField:
    """The field of one shape, from a frozen decoder (frozen.model.FrozenModel)."""

    def __init__(self, model: Any, code: np.ndarray):
        self._model, self._code = model, np.reshape(code, [1, -1]).astype(np.float32)
        self._size = model.inputs['points'][0][1]
        self.evaluated = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Returns the values at points [N, 3]: float32 [N]."""
        self.evaluated += len(points)
        results = []
        for start in range(0, len(points), self._size):
            part = np.asarray(points[start:start + self._size], np.float32)
            padded = np.zeros([1, self._size, 3], np.float32)
            padded[0, :len(part)] = part
            results.append(self._model.predict(points=padded, latent=self._code)[
                'occupancy'][0, :len(part), 0])
        return np.concatenate(results) if results else np.zeros([0], np.float32)

"""Layers of IM-NET; every variable is called `Matrix`, `bias`, `beta` or `gamma` in its scope.

S: shapes in a step, N: points of a shape, D: side of a volume, C: channels. Layout NDHWC.
"""
from typing import Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from common.device import npu
from common.ops import volume_conv

NORM_EPSILON = 1e-6     # of the instance norm
LEAK = 0.02
LOGIT_OF_INSIDE = 5.     # of a field of 1; minus this of a field of 0


def lrelu(inputs: tf.Tensor, plain: bool = True) -> tf.Tensor:
    """Applies the leaky ReLU max(x, 0.02 x) to a tensor of any shape.

    Args:
      inputs: tensor.
      plain: the original's two operations; else one, whose gradient needs a third of the time on a
        CPU. Only the gradient at exactly 0 differs: 0.02 there, 1 in the original.
    """
    return tf.maximum(inputs, LEAK * inputs) if plain else tf.nn.leaky_relu(inputs, LEAK)


def linear(inputs: tf.Tensor, size: int, scope: str, he_init: bool = False) -> tf.Tensor:
    """Applies a dense layer over the last axis.

    Args:
      inputs: [..., C]; C is known when the graph is built.
      size: channels of the result.
      scope: of the variables.
      he_init: see `linear_variables`.
    Returns:
      [..., size].
    """
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        matrix, bias = linear_variables(inputs.shape[-1].value, size, he_init)
        return tf.matmul(inputs, matrix) + bias


def linear_variables(inputs: int, size: int, he_init: bool = False
                     ) -> Tuple[tf.Variable, tf.Variable]:
    """Creates the variables of a dense layer in the scope that is open.

    Args:
      inputs, size: channels of input and result.
      he_init: draw with the standard deviation sqrt(2 / inputs) (He et al. 2015), not with 0.02
        as the original.
    Returns:
      (matrix [inputs, size], bias [size]).
    """
    stddev = (2. / inputs) ** 0.5 if he_init else 0.02
    matrix = tf.get_variable('Matrix', [inputs, size],
                             initializer=tf.random_normal_initializer(stddev=stddev))
    return matrix, tf.get_variable('bias', [size], initializer=tf.zeros_initializer())


def conv3d(inputs: tf.Tensor, size: int, scope: str, stride: int = 2, padding: str = 'SAME',
           plain: bool = False) -> tf.Tensor:
    """Convolves with a kernel of 4^3 cells.

    Args:
      inputs: [S, D, D, D, C], all but S known when the graph is built; D even.
      size: channels of the result.
      scope: of the variables.
      stride: 1 or 2.
      padding: 'SAME' (with stride 2 one cell of zeros on each side) or 'VALID'.
      plain: the strided operation itself, for GPU and NPU; else the same sums in a form whose
        gradients are fast on a CPU.
    Returns:
      [S, d, d, d, size].
    """
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        kernel = tf.get_variable('Matrix', 3 * [4] + [inputs.shape[-1].value, size],
                                 initializer=tf.glorot_uniform_initializer())
        bias = tf.get_variable('bias', [size], initializer=tf.zeros_initializer())
        if plain:
            outputs = tf.nn.conv3d(inputs, kernel, [1] + 3 * [stride] + [1], padding)
        elif padding == 'VALID' and inputs.shape[1].value == 4:
            # The kernel covers the whole volume: a matrix product.
            flat = tf.matmul(tf.reshape(inputs, [-1, 64 * inputs.shape[-1].value]),
                             tf.reshape(kernel, [-1, size]))
            outputs = tf.reshape(flat, [-1, 1, 1, 1, size])
        else:
            if padding == 'SAME':
                inputs = tf.pad(inputs, [[0, 0]] + 3 * [[1, 1]] + [[0, 0]])
            outputs = volume_conv.conv3d(inputs, kernel, stride)
        return tf.nn.bias_add(tf.reshape(outputs, [-1] + outputs.shape.as_list()[1:]), bias)


def instance_norm(inputs: tf.Tensor, scope: str) -> tf.Tensor:
    """Normalises each channel of each shape over its cells; the same in training and test.

    Args:
      inputs: [S, D, D, D, C].
      scope: of the variables.
    Returns:
      [S, D, D, D, C].
    """
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        size = [inputs.shape[-1].value]
        beta = tf.get_variable('beta', size, initializer=tf.zeros_initializer())
        gamma = tf.get_variable('gamma', size, initializer=tf.ones_initializer())
        mean, variance = tf.nn.moments(inputs, [1, 2, 3], keep_dims=True)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, NORM_EPSILON)


@npu.float32_scope()
def squared_error(target: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Computes the mean squared difference of two tensors of one shape: a scalar [].

    The loss of IM-AE on point values (Chen and Zhang 2019, without its weights of points) and of
    IM-SVR on codes.
    """
    return tf.reduce_mean(tf.square(target - predicted))


def occupancy_cross_entropy(target: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """Computes the mean cross entropy of occupancies and a field before its clip: a scalar [].

    The logit is the distance of the field from its threshold 0.5, so steep that 0 and 1 are sure
    to 0.993. Unlike the clip it has a gradient wherever a point is on the wrong side. Not in the
    paper.

    Args:
      target: [S, N, 1], 0 or 1; raw: [S, N, 1].
    """
    logits = 2 * LOGIT_OF_INSIDE * (raw - 0.5)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits))


def adam(learning_rate: float, beta1: float, beta2: float = 0.999, epsilon: float = 1e-8
         ) -> tf.train.Optimizer:
    """Creates the optimizer of all three networks."""
    return tf.train.AdamOptimizer(learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon)


def minimize(optimizer: tf.train.Optimizer, loss: tf.Tensor,
             variables: Optional[Sequence[tf.Variable]] = None) -> tf.Operation:
    """Adds a step of an optimizer that waits for the loss, so that both may be fetched together.

    Without the wait, an operation of the loss that no gradient needs may see the new values.

    Args:
      optimizer: tf.train.Optimizer; loss: scalar []; variables: None means all trainable ones.
    """
    gradients = optimizer.compute_gradients(loss, variables)
    with tf.control_dependencies([loss]):
        return optimizer.apply_gradients(gradients)

"""Layers of the picture encoder. B: pictures, H/W: height and width, C: channels. Layout NHWC."""
import tensorflow.compat.v1 as tf

NORM_DECAY = 0.99
NORM_EPSILON = 1e-5


def conv2d_nobias(inputs: tf.Tensor, size: int, kernel: int, stride: int, scope: str,
                  padding: str = 'SAME') -> tf.Tensor:
    """Convolves without a bias.

    Args:
      inputs: [B, H, W, C]; size: channels of the result; kernel: its side.
      stride: of the kernel; scope: of the variables.
      padding: 'SAME' (TensorFlow's: uneven where the stride is 2) or 'VALID'.
    Returns:
      [B, H / stride, W / stride, size].
    """
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        matrix = tf.get_variable('Matrix', [kernel, kernel, inputs.shape[-1].value, size],
                                 initializer=tf.truncated_normal_initializer(stddev=0.02))
        return tf.nn.conv2d(inputs, matrix, [1, stride, stride, 1], padding)


def conv2d(inputs: tf.Tensor, size: int, kernel: int, stride: int, scope: str,
           padding: str = 'VALID') -> tf.Tensor:
    """Convolves [B, H, W, C] with a bias; arguments as `conv2d_nobias`."""
    outputs = conv2d_nobias(inputs, size, kernel, stride, scope, padding)
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        bias = tf.get_variable('bias', [size], initializer=tf.zeros_initializer())
    return tf.nn.bias_add(outputs, bias)


def batch_norm(inputs: tf.Tensor, training: bool, scope: str, decay: float = NORM_DECAY,
               epsilon: float = NORM_EPSILON) -> tf.Tensor:
    """Applies batch normalisation (Ioffe and Szegedy 2015); training updates moving averages.

    The update of the moving mean and variance is part of the output: each run in training mode
    makes it. As in the original, the batch is normalised with its biased variance, and the moving
    average takes the unbiased one, n / (n - 1) of it.

    Args:
      inputs: [B, H, W, C]; training: statistics of the batch, else the moving averages.
      scope: of the variables.
      decay: of the moving averages; epsilon: added to the variance.
    Returns:
      [B, H, W, C].
    """
    size = [inputs.shape[-1].value]
    with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
        beta = tf.get_variable('beta', size, initializer=tf.zeros_initializer())
        gamma = tf.get_variable('gamma', size, initializer=tf.ones_initializer())
        mean = tf.get_variable('moving_mean', size, initializer=tf.zeros_initializer(),
                               trainable=False)
        variance = tf.get_variable('moving_variance', size, initializer=tf.ones_initializer(),
                                   trainable=False)
    if not training:
        # The kernel of tf.nn.fused_batch_norm; all outputs of this version have known sizes.
        return tf.raw_ops.FusedBatchNormV2(x=inputs, scale=gamma, offset=beta, mean=mean,
                                           variance=variance, epsilon=epsilon,
                                           is_training=False).y
    outputs, batch_mean, batch_variance = tf.nn.fused_batch_norm(
        inputs, gamma, beta, epsilon=epsilon, is_training=True)
    updates = [tf.assign_sub(moving, (moving - of_batch) * (1. - decay))
               for moving, of_batch in ((mean, batch_mean), (variance, batch_variance))]
    with tf.control_dependencies(updates):
        return tf.identity(outputs)

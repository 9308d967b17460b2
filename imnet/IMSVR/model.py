"""IM-SVR: a ResNet from a grey picture to a code of IM-AE, whose decoder is frozen.

B: pictures in a step, Z: latent dimension. Pictures: [B, 128, 128, 1], 0 black to 1 white; shapes
are rendered on white.
"""
from typing import Iterable, List, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from imnet import decoder
from imnet.IMGAN import ops as gan_ops
from imnet.IMSVR import ops

VIEW_SIZE = 137     # side of the rendered views
CROP_SIZE = 128     # side of the network's input
VIEW_NUM = 24       # views of a shape
# Residual blocks: their number, their width in units of ef_dim, whether they widen.
_BLOCKS = ((1, 1, False), (2, 1, False), (3, 2, True), (4, 2, False), (5, 4, True), (6, 4, False),
           (7, 8, True), (8, 8, False))


class IMSVR:
    """Graph of the picture encoder, of its training, and of the decoder.

    Args:
      z_dim: Z; ef_dim, gf_dim: width units of encoder and decoder.
      batch_size: B or None; fixed for an NPU.
      plain, leaky_clip: of the decoder.
      norm_decay, norm_epsilon: of the batch norms.
    """

    def __init__(self, z_dim: int = 256, ef_dim: int = 64, gf_dim: int = 128,
                 batch_size: Optional[int] = None, plain: bool = False, leaky_clip: bool = False,
                 norm_decay: float = ops.NORM_DECAY, norm_epsilon: float = ops.NORM_EPSILON):
        self._norm = {'decay': norm_decay, 'epsilon': norm_epsilon}
        self.z_dim, self.ef_dim, self.gf_dim = z_dim, ef_dim, gf_dim
        self.view = tf.placeholder(tf.float32, [batch_size, CROP_SIZE, CROP_SIZE, 1])
        self.target = tf.placeholder(tf.float32, [batch_size, z_dim])
        self.z = self.encoder(self.view, training=True)
        self.loss = gan_ops.squared_error(self.target, self.z)
        self.test_view = tf.placeholder(tf.float32, [1, CROP_SIZE, CROP_SIZE, 1])
        self.test_z = self.encoder(self.test_view, training=False)
        self.z_vector = tf.placeholder(tf.float32, [1, z_dim])
        self.test_points = tf.placeholder(tf.float32, [1, None, 3])
        self.test_values, self.test_raw = decoder.simple_net(
            self.test_points, self.z_vector, gf_dim, plain, leaky_clip)
        self.decoder_variables = decoder.variables()
        self.encoder_variables = [item for item in tf.global_variables()
                                  if item.op.name.startswith('encoder/')]
        self.variables = self.encoder_variables + self.decoder_variables

    def encoder(self, view: tf.Tensor, training: bool) -> tf.Tensor:
        """Encodes pictures by a ResNet (He et al. 2015) of the author's width and depth.

        Args:
          view: [B, 128, 128, 1] in [0, 1].
          training: normalise with the statistics of the batch and update the moving ones; else
            with the moving ones.
        Returns:
          [B, Z] in (0, 1).
        """
        self._norms, self._blocks = 0, []
        with tf.variable_scope('encoder', reuse=tf.AUTO_REUSE):
            hidden = self._convolve(1. - view, self.ef_dim, 7, 2, 'conv0', training)
            hidden = gan_ops.lrelu(hidden)
            for number, width, widens in _BLOCKS:
                hidden = self._residual(hidden, number, width * self.ef_dim, widens, training)
                self._blocks.append(hidden)
            hidden = gan_ops.lrelu(self._convolve(hidden, 8 * self.ef_dim, 4, 2, 'conv9', training))
            code = ops.conv2d(hidden, self.z_dim, 4, 1, 'conv10')
            return tf.reshape(tf.nn.sigmoid(code), [-1, self.z_dim])

    def _residual(self, inputs, number, width, widens, training):
        stride = 2 if widens else 1
        name = 'conv{}_'.format(number)
        hidden = gan_ops.lrelu(self._convolve(inputs, width, 3, stride, name + '1', training))
        hidden = self._convolve(hidden, width, 3, 1, name + '2', training)
        if widens:
            inputs = self._convolve(inputs, width, 1, stride, name + '3', training)
        return gan_ops.lrelu(hidden + inputs)

    def _convolve(self, inputs, width, kernel, stride, scope, training):
        """Convolution and batch norm; the norms are numbered in the order of creation."""
        outputs = ops.conv2d_nobias(inputs, width, kernel, stride, scope)
        suffix = '_{}'.format(self._norms) if self._norms else ''
        self._norms += 1
        return ops.batch_norm(outputs, training, 'BatchNorm' + suffix, **self._norm)

    def train_step(self, optimizer: tf.train.Optimizer) -> tf.Operation:
        """Adds the step of an optimizer over the encoder's variables."""
        trained = [item for item in self.encoder_variables if item in tf.trainable_variables()]
        return gan_ops.minimize(optimizer, self.loss, trained)

    def codes_of(self, sess: tf.Session, images: Iterable[np.ndarray]) -> List[np.ndarray]:
        """Computes the codes float32 [Z] of pictures float32 [128, 128, 1], one call a picture."""
        return [sess.run(self.test_z, {self.test_view: image[None]})[0] for image in images]

    def features_of(self, sess: tf.Session, images: Iterable[np.ndarray]) -> np.ndarray:
        """Computes what tells strange pictures: means over the pixels of each second block.

        Codes do not tell them: their sigmoid maps all to what shapes have (docs/imnet/results.md).

        Args:
          images: N pictures float32 [128, 128, 1].
        Returns:
          float32 [N, 15 ef_dim].
        """
        with sess.graph.as_default():
            means = tf.concat([tf.reduce_mean(block, [1, 2]) for block in self._blocks[1::2]], 1)
        return np.array([sess.run(means, {self.test_view: image[None]})[0] for image in images])

    def field(self, sess: tf.Session, code: np.ndarray) -> decoder.Field:
        """Returns the field of a code [Z] as a function of points."""
        return decoder.Field(sess, self.z_vector, self.test_points, self.test_values,
                             self.test_raw, code)

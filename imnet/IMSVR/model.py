"""IM-SVR: a ResNet from a grey picture to a code of IM-AE, whose decoder is kept as it is.

B: pictures in a step, Z: numbers of a code. Pictures: [B, 128, 128, 1], 0 black to 1 white; shapes
are rendered on white.
"""
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
      z_dim, ef_dim, gf_dim: int, numbers of a code, and width units of encoder and decoder.
      batch_size: int or None, B; fixed for an NPU.
      plain, leaky_clip: bool, of the decoder.
      norm_decay, norm_epsilon: float, of the batch norms.
    """

    def __init__(self, z_dim=256, ef_dim=64, gf_dim=128, batch_size=None, plain=False,
                 leaky_clip=False, norm_decay=ops.NORM_DECAY, norm_epsilon=ops.NORM_EPSILON):
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
        held = tf.global_variables()
        self.decoder_variables = decoder.variables()
        self.encoder_variables = [item for item in held if item.op.name.startswith('encoder/')]
        self.variables = self.encoder_variables + self.decoder_variables

    def encoder(self, view, training):
        """Codes of pictures (He et al. 2015 in the width and depth that the author chose).

        Args:
          view: [B, 128, 128, 1] in [0, 1].
          training: bool, statistics of the batch, which move the kept ones; else the kept ones.
        Returns:
          [B, Z] in (0, 1).
        """
        self._norms = 0
        with tf.variable_scope('encoder', reuse=tf.AUTO_REUSE):
            hidden = self._convolve(1. - view, self.ef_dim, 7, 2, 'conv0', training)
            hidden = gan_ops.lrelu(hidden)
            for number, width, widens in _BLOCKS:
                hidden = self._residual(hidden, number, width * self.ef_dim, widens, training)
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
        """Convolution and norm; the norms are counted through in the order of creation."""
        outputs = ops.conv2d_nobias(inputs, width, kernel, stride, scope)
        suffix = '_{}'.format(self._norms) if self._norms else ''
        self._norms += 1
        return ops.batch_norm(outputs, training, 'BatchNorm' + suffix, **self._norm)

    def train_step(self, optimizer):
        """The step of an optimizer over the encoder's variables."""
        trained = [item for item in self.encoder_variables if item in tf.trainable_variables()]
        return gan_ops.minimize(optimizer, self.loss, trained)

    def codes_of(self, sess, images):
        """Computes the codes of pictures, one call a picture.

        Args:
          sess: tf.Session; images: iterable of float32 [128, 128, 1] in [0, 1].
        Returns:
          list of float32 [Z].
        """
        return [sess.run(self.test_z, {self.test_view: image[None]})[0] for image in images]

    def field(self, sess, code):
        """The field of a code as a function of points (decoder.Field)."""
        return decoder.Field(sess, self.z_vector, self.test_points, self.test_values,
                             self.test_raw, code)

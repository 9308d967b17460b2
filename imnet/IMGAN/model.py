"""IM-AE: a voxel encoder and the implicit decoder (Chen and Zhang 2019, improved version).

S: shapes in a step (the original: 1), N: points of a shape, Z: numbers of a code.
"""
import tensorflow.compat.v1 as tf

from imnet import decoder
from imnet.IMGAN import ops

INPUT_SIZE = 64     # cells of a side of the encoder's grid


class IMAE:
    """Graph of the autoencoder.

    Args:
      z_dim: int, Z; ef_dim: int, channels of the first convolution; gf_dim: int, see decoder.
      plain: bool, operations as the original has them (GPU, NPU); else forms fast on a CPU.
      leaky_clip: bool, see decoder.simple_net.
      num_points: int or None, N; fixed for an NPU.
      num_shapes: int or None, S.
      he_init: bool, see ops.linear_variables.
    """

    def __init__(self, z_dim=256, ef_dim=32, gf_dim=128, plain=False, leaky_clip=False,
                 num_points=None, num_shapes=1, he_init=False):
        self.z_dim, self.ef_dim, self.gf_dim = z_dim, ef_dim, gf_dim
        self.plain, self.leaky_clip, self._he_init = plain, leaky_clip, he_init
        sizes = 3 * [INPUT_SIZE] + [1]
        self.vox3d = tf.placeholder(tf.uint8, [num_shapes] + sizes)
        self.point_coord = tf.placeholder(tf.float32, [num_shapes, num_points, 3])
        self.point_value = tf.placeholder(tf.float32, [num_shapes, num_points, 1])
        self.z = self.encoder(tf.cast(self.vox3d, tf.float32))
        self.values, _ = self.decode(self.point_coord, self.z)
        self.loss = ops.squared_error(self.point_value, self.values)
        self.z_vector = tf.placeholder(tf.float32, [1, z_dim])
        self.test_points = tf.placeholder(tf.float32, [1, None, 3])
        self.test_values, self.test_raw = self.decode(self.test_points, self.z_vector)
        self.variables = [variable for variable in tf.global_variables()
                          if variable.op.name.startswith(('encoder/', decoder.SCOPE + '/'))]

    def encoder(self, voxels):
        """Codes of grids.

        Args:
          voxels: [S, 64, 64, 64, 1], occupancy 0 or 1.
        Returns:
          [S, Z] in (0, 1).
        """
        with tf.variable_scope('encoder', reuse=tf.AUTO_REUSE):
            hidden = voxels
            for number in range(1, 5):
                hidden = ops.conv3d(hidden, self.ef_dim * 2 ** (number - 1),
                                    'conv_{}'.format(number), plain=self.plain)
                suffix = '_{}'.format(number - 1) if number > 1 else ''
                hidden = ops.lrelu(ops.instance_norm(hidden, 'InstanceNorm' + suffix))
            code = ops.conv3d(hidden, self.z_dim, 'conv_5', 1, 'VALID', self.plain)
            return tf.reshape(tf.nn.sigmoid(code), [-1, self.z_dim])

    def decode(self, points, codes):
        """Values and raw values at points [S, N, 3] of codes [S, Z]; see decoder.simple_net."""
        return decoder.simple_net(points, codes, self.gf_dim, self.plain, self.leaky_clip,
                                  self._he_init)

    def field(self, sess, code):
        """The field of a code as a function of points (decoder.Field)."""
        return decoder.Field(sess, self.z_vector, self.test_points, self.test_values,
                             self.test_raw, code)

    def codes_of(self, sess, voxels):
        """Codes of grids, one call a shape.

        Args:
          sess: tf.Session; voxels: iterable of uint8 [64, 64, 64, 1].
        Returns:
          list of float32 [Z].
        """
        return [sess.run(self.z, {self.vox3d: grid[None]})[0] for grid in voxels]

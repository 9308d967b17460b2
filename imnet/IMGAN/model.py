"""IM-AE: a voxel encoder and the implicit decoder (Chen and Zhang 2019, improved version).

S: shapes in a step (the original: 1), N: points of a shape, Z: latent dimension.
"""
from typing import Iterable, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from imnet import decoder
from imnet.IMGAN import ops

INPUT_SIZE = 64     # cells of a side of the encoder's grid


class IMAE:
    """Graph of the autoencoder.

    Args:
      z_dim: Z; ef_dim: channels of the first convolution; gf_dim: see decoder.simple_net.
      plain: operations as the original has them (GPU, NPU); else forms fast on a CPU.
      leaky_clip: see decoder.simple_net.
      num_points: N or None; fixed for an NPU.
      num_shapes: S or None.
      he_init: see ops.linear_variables.
      loss: 'squared' or 'cross_entropy' (ops.occupancy_cross_entropy).
      fused: see decoder.simple_net.
    """

    def __init__(self, z_dim: int = 256, ef_dim: int = 32, gf_dim: int = 128, plain: bool = False,
                 leaky_clip: bool = False, num_points: Optional[int] = None,
                 num_shapes: Optional[int] = 1, he_init: bool = False,
                 loss: str = 'squared', fused: bool = True):
        self.z_dim, self.ef_dim, self.gf_dim = z_dim, ef_dim, gf_dim
        self.plain, self.leaky_clip, self._he_init = plain, leaky_clip, he_init
        self._fused = fused
        sizes = 3 * [INPUT_SIZE] + [1]
        self.vox3d = tf.placeholder(tf.uint8, [num_shapes] + sizes)
        self.point_coord = tf.placeholder(tf.float32, [num_shapes, num_points, 3])
        self.point_value = tf.placeholder(tf.float32, [num_shapes, num_points, 1])
        self.z = self.encoder(tf.cast(self.vox3d, tf.float32))
        self.values, raw = self.decode(self.point_coord, self.z)
        self.loss = (ops.squared_error(self.point_value, self.values) if loss == 'squared'
                     else ops.occupancy_cross_entropy(self.point_value, raw))
        self.z_vector = tf.placeholder(tf.float32, [1, z_dim])
        self.test_points = tf.placeholder(tf.float32, [1, None, 3])
        self.test_values, self.test_raw = self.decode(self.test_points, self.z_vector)
        self.variables = [variable for variable in tf.global_variables()
                          if variable.op.name.startswith(('encoder/', decoder.SCOPE + '/'))]

    def encoder(self, voxels: tf.Tensor) -> tf.Tensor:
        """Encodes voxels: five convolutions, instance norm and leaky ReLU after the first four.

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
                hidden = ops.instance_norm(hidden, 'InstanceNorm' + suffix)
                hidden = ops.lrelu(hidden, self.plain or not self._fused)
            code = ops.conv3d(hidden, self.z_dim, 'conv_5', 1, 'VALID', self.plain)
            return tf.reshape(tf.nn.sigmoid(code), [-1, self.z_dim])

    def decode(self, points: tf.Tensor, codes: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
        """Decodes codes [S, Z] at points [S, N, 3]: (values, raw) [S, N, 1] each.

        See decoder.simple_net.
        """
        return decoder.simple_net(points, codes, self.gf_dim, self.plain, self.leaky_clip,
                                  self._he_init, self._fused)

    def field(self, sess: tf.Session, code: np.ndarray) -> decoder.Field:
        """Returns the field of a code [Z] as a function of points."""
        return decoder.Field(sess, self.z_vector, self.test_points, self.test_values,
                             self.test_raw, code)

    def codes_of(self, sess: tf.Session, voxels: Iterable[np.ndarray]) -> List[np.ndarray]:
        """Computes the codes float32 [Z] of grids uint8 [64, 64, 64, 1], one call a shape."""
        return [sess.run(self.z, {self.vox3d: grid[None]})[0] for grid in voxels]

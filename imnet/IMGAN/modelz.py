"""z-GAN: a Wasserstein GAN with gradient penalty over the codes of IM-AE.

The signs are the other way round from the usual: the discriminator learns high values for fakes,
and the generator lowers them. B: codes in a step, Z: latent dimension, M: dimension of the noise.
"""
from typing import Callable, Tuple

import tensorflow.compat.v1 as tf

from common.device import npu
from imnet.IMGAN import ops

NOISE_STDDEV = 0.2
BATCH_SIZE = 50
PENALTY = 10.


class ZGAN:
    """Graph of the GAN (WGAN-GP, Gulrajani et al. 2017).

    Args:
      z_vector_dim: Z (the original left it at 128, while codes have 256); z_dim: M.
      df_dim, gf_dim: widths of discriminator and generator.
      batch_size: B.
      penalty_epsilon: added under the root of the gradient's norm; 0 as in the original, where a
        gradient of exactly zero makes it NaN.
      epsilon_per_code: one weight of the interpolation between real and fake for each code, not
        one for all.
      penalty_weight: of the gradient penalty.
    """

    def __init__(self, z_vector_dim: int = 256, z_dim: int = 128, df_dim: int = 2048,
                 gf_dim: int = 2048, batch_size: int = BATCH_SIZE, penalty_epsilon: float = 0.,
                 epsilon_per_code: bool = False, penalty_weight: float = PENALTY):
        self.z_vector_dim, self.z_dim = z_vector_dim, z_dim
        self.df_dim, self.gf_dim = df_dim, gf_dim
        self.noise = tf.placeholder(tf.float32, [batch_size, z_dim])
        self.real = tf.placeholder(tf.float32, [batch_size, z_vector_dim])
        self.epsilon = tf.placeholder(tf.float32, [batch_size, 1] if epsilon_per_code else [])
        self.fake = self.generator(self.noise)
        self.real_score = self.discriminator(self.real)
        self.fake_score = self.discriminator(self.fake)
        between = self.epsilon * self.real + (1. - self.epsilon) * self.fake
        gradient = tf.gradients(self.discriminator(between), between)[0]
        with npu.float32_scope():
            norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=1) + penalty_epsilon)
            self.penalty = tf.reduce_mean(penalty_weight * tf.square(norm - 1.))
            self.g_loss = tf.reduce_mean(self.fake_score)
            self.d_loss = tf.reduce_mean(self.real_score) - self.g_loss + self.penalty
        variables = tf.global_variables()
        self.g_variables = [item for item in variables if item.op.name.startswith('generator/')]
        self.d_variables = [item for item in variables
                            if item.op.name.startswith('discriminator/')]
        self.variables = self.g_variables + self.d_variables

    def generator(self, noise: tf.Tensor) -> tf.Tensor:
        """Generates codes [B, Z] in (0, 1) of noise [B, M]."""
        with tf.variable_scope('generator', reuse=tf.AUTO_REUSE):
            hidden = ops.lrelu(ops.linear(noise, self.gf_dim, 'g_1_lin'))
            hidden = ops.lrelu(ops.linear(hidden, self.gf_dim, 'g_2_lin'))
            return tf.nn.sigmoid(ops.linear(hidden, self.z_vector_dim, 'g_3_lin'))

    def discriminator(self, codes: tf.Tensor) -> tf.Tensor:
        """Scores codes [B, Z]: [B, 1], high for fakes."""
        with tf.variable_scope('discriminator', reuse=tf.AUTO_REUSE):
            hidden = ops.lrelu(ops.linear(codes, self.df_dim, 'd_1_lin'))
            hidden = ops.lrelu(ops.linear(hidden, self.df_dim, 'd_2_lin'))
            return ops.linear(hidden, 1, 'd_3_lin')

    def train_steps(self, make_optimizer: Callable[[], tf.train.Optimizer]
                    ) -> Tuple[tf.Operation, tf.Operation]:
        """Adds the steps of discriminator and generator, each over its own variables.

        Args:
          make_optimizer: returns a new optimizer.
        Returns:
          (d_step, g_step); the original runs them one after the other on the same noise.
        """
        return (ops.minimize(make_optimizer(), self.d_loss, self.d_variables),
                ops.minimize(make_optimizer(), self.g_loss, self.g_variables))

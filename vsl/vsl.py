"""VarShapeLearner: a variational autoencoder of voxel grids with a chain of latent codes.

Liu, Giles, Ororbia: "Learning a Hierarchical Latent-Variable Model of 3D Shapes", 3DV 2018. One
global code z_0 and local codes z_1 .. z_n, each of which sees the features of the shape, the global
code and the local code before it; the decoder sees all of them.

B: batch (fixed when the graph is built), G: dimension of the global code, L: of a local code,
n: number of local codes, D = G + n L: dimension of all codes together. Grids: [B, 30, 30, 30, 1],
occupancy in [0, 1].
"""
import collections
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from common.device import npu
from common.ops import initial_values, volume_conv

OBJ_RES = 30            # cells of a side; the layers fit no other size
KL_WEIGHT = 0.001       # of the Kullback-Leibler divergences beside the reconstruction
LEARNING_RATE = 5e-5
_EPSILON = 1e-5         # keeps the logarithm of an occupancy finite


def weight_shapes(global_dim: int, local_dim: int, local_num: int) -> Dict[str, List[int]]:
    """Returns the names and shapes of the weights in the order of their creation.

    Args:
      global_dim, local_dim, local_num: int, G, L and n.
    Returns:
      OrderedDict {name: list of int}.
    """
    latent = global_dim + local_num * local_dim
    hidden = 100 * (local_num + 1)
    return collections.OrderedDict([
        ('enc_conv1', [6, 6, 6, 1, 32]), ('enc_conv2', [5, 5, 5, 32, 64]),
        ('enc_conv3', [4, 4, 4, 64, 128]), ('enc_fc1', [1024, 256]), ('enc_fc2', [256, 100]),
        ('zzi_fc1', [global_dim, 100]), ('zzi_fc2', [100, 100]),
        ('zizi_fc1', [local_dim, 100]), ('zizi_fc2', [100, 100]),
        ('z_mean', [100, global_dim]), ('z_logstd', [100, global_dim]),
        ('allz1_fc1', [200, 100]), ('allzi_fc1', [300, 100]), ('allzi_fc2', [100, 100]),
        ('zi_mean', [100, local_dim]), ('zi_logstd', [100, local_dim]),
        ('dec_zfc1', [latent, hidden]), ('dec_fc2', [hidden, 1024]),
        ('dec_conv1', [4, 4, 4, 64, 128]), ('dec_conv2', [5, 5, 5, 32, 64]),
        ('dec_conv3', [6, 6, 6, 1, 32])])


def bias_sizes(global_dim: int, local_dim: int, local_num: int) -> Dict[str, int]:
    """Returns the names and sizes of the biases in the order of their creation.

    The names are those that TensorFlow gave the original's variables, so that checkpoints fit.

    Args:
      global_dim, local_dim, local_num: int, G, L and n.
    Returns:
      OrderedDict {name: int}.
    """
    return collections.OrderedDict([
        ('enc_conv1_1', 32), ('enc_conv2_1', 64), ('enc_conv3_1', 128), ('enc_fc1_1', 256),
        ('enc_fc2_1', 100), ('zzi_fc1_1', 100), ('zzi_fc2_1', 100), ('zizi_fc1_1', 100),
        ('zizi_fc2_1', 100), ('z_mean_1', global_dim), ('z_logstd_1', global_dim),
        ('allzi_fc1_1', 100), ('allzi_fc2_1', 100), ('zi_mean_1', local_dim),
        ('zi_logstd_1', local_dim), ('dec_fc1', 100 * (local_num + 1)), ('dec_fc2_1', 1024),
        ('dec_conv1_1', 64), ('dec_conv2_1', 32), ('dec_conv3_1', 1)])


def create_variables(weights: Mapping[str, Sequence[int]], biases: Mapping[str, int]
                     ) -> Dict[str, tf.Variable]:
    """Creates the variables of a network: weights uniform as Glorot and Bengio 2010, biases zero.

    Args:
      weights: dict {name: shape}.
      biases: dict {name: size}.
    Returns:
      dict {name: variable}.
    """
    variables = {}
    for name, shape in weights.items():
        fans = np.prod(shape[:-2], dtype=int) * (shape[-2] + shape[-1])
        limit = np.sqrt(6. / fans)
        variables[name] = tf.get_variable(
            name, shape, initializer=tf.random_uniform_initializer(-limit, limit))
    for name, size in biases.items():
        variables[name] = tf.get_variable(name, [size], initializer=tf.zeros_initializer())
    return variables


@npu.float32_scope()
def reconstruction_loss(x: tf.Tensor, x_rec: tf.Tensor) -> tf.Tensor:
    """Returns the binary cross-entropy of the reconstruction, -log p(x | z), per cell.

    Args:
      x: [B, 30, 30, 30, 1], occupancies; x_rec: [B, 30, 30, 30, 1], their reconstruction.
    Returns:
      [B, 30, 1], nats; a mean over the first two axes of the grid, as the original takes it.
    """
    return -tf.reduce_mean(x * tf.log(_EPSILON + x_rec) + (1 - x) * tf.log(_EPSILON + 1 - x_rec),
                           axis=[1, 2])


@npu.float32_scope()
def kl_divergence(mean: tf.Tensor, logstd: tf.Tensor) -> tf.Tensor:
    """Returns the KL divergence of a diagonal normal distribution from the standard one.

    Args:
      mean, logstd: [B, G or L], mean and logarithm of the standard deviation.
    Returns:
      [B], nats.
    """
    return -0.5 * tf.reduce_sum(1 + 2 * logstd - tf.square(mean) - tf.square(tf.exp(logstd)),
                                axis=1)


class VarShapeLearner:
    """The Variational Shape Learner with its losses and its optimizer (Liu et al. 2018, section 3).

    The variables lie in the current variable scope; without one they have the original's names.

    Args:
      obj_res: int, 30.
      batch_size: int, B.
      global_latent_dim, local_latent_dim, local_latent_num: int, G, L, n >= 1.
      x: [B, 30, 30, 30, 1], or None for a placeholder.
      learning_rate: float.
      optimizer: tf.train.Optimizer, or None for the original's Adam.
      training: bool, build losses and optimizer.
      deterministic: bool, no noise: every code is its mean.
      step: int32 scalar, the training step: noise depends on (seed, step) alone; None: on the seed
        and on how many draws there were.
      seed: int.
      plain: bool, strided convolutions as single operations, for GPU and NPU.
      repeat_encoder: bool, encode the shape anew for each code, as the original does; same values.
      merge_first_code: bool, let z_1 see the shape, as in the paper; in the original it does not.
      decode_samples: bool, decode sampled codes, as in the paper, instead of their means.
      kl_weight: float or scalar tensor, weight of the mean KL divergence.
      free_nats: float, KL divergence of each code (mean over the batch) that costs nothing.
      share: (int, int), first row of this batch in the batch of all processes, and the rows of that
        batch; random tensors are drawn for it and sliced. None: this is the whole batch.

    Attributes:
      x, x_rec: [B, 30, 30, 30, 1].
      latent_feature: [B, D], the means of all codes.
      decoder_input: [B, D], what is decoded; feed it to decode other codes.
      noise: list of n + 1 tensors [B, G or L], standard normal; may be fed.
      z_mean, z_logstd, z_all: lists of n + 1 tensors [B, G or L].
      kl_loss: list of n + 1 tensors [B]; kl_loss_all: [B], their mean over the codes.
      rec_loss: [B, 30, 1]; loss: scalar; gradients: list of (gradient before clipping, variable).
      optimizer: the training operation.
      saver: tf.train.Saver of the variables that the graph has at the first use.
    """

    def __init__(self, obj_res: int = OBJ_RES, batch_size: int = 100, global_latent_dim: int = 10,
                 local_latent_dim: int = 5, local_latent_num: int = 5,
                 x: Optional[tf.Tensor] = None, learning_rate: float = LEARNING_RATE,
                 optimizer: Optional[tf.train.Optimizer] = None, training: bool = True,
                 deterministic: bool = False, step: Optional[tf.Tensor] = None, seed: int = 0,
                 plain: bool = False, repeat_encoder: bool = False, merge_first_code: bool = False,
                 decode_samples: bool = False, kl_weight: Any = KL_WEIGHT, free_nats: float = 0.,
                 share: Optional[Tuple[int, int]] = None):
        if obj_res != OBJ_RES:
            raise ValueError('obj_res must be {}, not {}: the layers fit no other size.'.format(
                OBJ_RES, obj_res))
        self.batch_size = batch_size
        self.local_latent_num = local_latent_num
        self.sizes = [global_latent_dim] + local_latent_num * [local_latent_dim]
        self.latent_size = sum(self.sizes)
        self._plain, self._merge_first_code = plain, merge_first_code
        self._seed, self._step = seed, step
        self._sess: Optional[tf.Session] = None
        self._saver: Optional[tf.train.Saver] = None
        self._share = share or (0, batch_size)
        self.x = tf.placeholder(tf.float32, [batch_size] + 3 * [obj_res] + [1]) if x is None else x
        self.params = self._create_variables()
        self.noise = [self._noise(size, number, deterministic)
                      for number, size in enumerate(self.sizes)]
        self._encode(repeat_encoder)
        self.latent_feature = tf.concat(self.z_mean, axis=1)
        self.decoder_input = (tf.concat(self.z_all, axis=1) if decode_samples
                              else self.latent_feature)
        self.x_rec = self.decode(self.decoder_input)
        self._build_image_branch()
        if training:
            self._build_losses(kl_weight, free_nats)
            self._build_optimizer(optimizer or tf.train.AdamOptimizer(learning_rate))

    def _create_variables(self):
        sizes = (self.sizes[0], self.sizes[1], self.local_latent_num)
        return create_variables(weight_shapes(*sizes), bias_sizes(*sizes))

    def _build_image_branch(self):
        """Builds nothing: the network of shapes has no images (vsl_rec.py has)."""

    def _noise(self, size, number, deterministic):
        """Standard normal noise of code z_<number>, [B, size]."""
        shape = [self.batch_size, size]
        if deterministic:
            return tf.zeros(shape)
        return self.sample(tf.random.stateless_normal, tf.random_normal, shape, number)

    def sample(self, stateless: Callable[..., tf.Tensor], stateful: Callable[..., tf.Tensor],
               shape: Sequence[int], number: int) -> tf.Tensor:
        """Samples a random tensor, in distributed training the rows of this process.

        Args:
          stateless: such as tf.random.stateless_normal; used where the training step is known, so
            that the sample depends on (seed, number, step) alone.
          stateful: such as tf.random_normal; used elsewhere.
          shape: [B, ...] of int.
          number: int, tells the random tensors of the network apart.
        Returns:
          float32 [B, ...].
        """
        first, rows = self._share
        whole_shape = [rows] + list(shape[1:])
        seed = self._seed * 9973 + number
        if self._step is None:
            whole = stateful(whole_shape, seed=seed)
        else:
            whole = stateless(whole_shape, seed=tf.stack([seed, self._step]))
        return whole if rows == shape[0] else whole[first:first + shape[0]]

    def _fc(self, inputs, weight, bias):
        """Fully connected layer, [B, outputs] of [B, inputs]."""
        return tf.matmul(inputs, self.params[weight]) + self.params[bias]

    def _relu_fc(self, inputs, weight, bias):
        return tf.nn.relu(self._fc(inputs, weight, bias))

    def _features(self):
        """Features of the shapes, [B, 100]: the 3-D convolutions of the paper's encoder."""
        hidden = self.x
        for number, stride in ((1, 2), (2, 2), (3, 1)):
            name = 'enc_conv{}'.format(number)
            hidden = tf.nn.relu(volume_conv.conv3d(
                hidden, self.params[name], stride, self._plain) + self.params[name + '_1'])
        self.enc_conv3_flat = tf.reshape(hidden, [self.batch_size, 1024])
        self.enc_fc1 = self._relu_fc(self.enc_conv3_flat, 'enc_fc1', 'enc_fc1_1')
        self.enc_fc2 = self._relu_fc(self.enc_fc1, 'enc_fc2', 'enc_fc2_1')
        return self.enc_fc2

    def _encode(self, repeat_encoder):
        """q(z | x): z_0, and then each z_i from the features, z_0 and z_(i-1), i > 1."""
        features = self._features()
        self.z_mean, self.z_logstd, self.z_all = [], [], []
        self._add_code(features, 'z')
        from_global = self._relu_fc(self.z_all[0], 'zzi_fc1', 'zzi_fc1_1')
        from_global_2 = self._relu_fc(from_global, 'zzi_fc2', 'zzi_fc2_1')
        for number in range(1, self.local_latent_num + 1):
            if repeat_encoder:
                features = self._features()
                from_global = self._relu_fc(self.z_all[0], 'zzi_fc1', 'zzi_fc1_1')
                from_global_2 = self._relu_fc(from_global, 'zzi_fc2', 'zzi_fc2_1')
            if number == 1:
                # The original goes on from `from_global` here, so that z_1 does not see the shape
                # and `allz1_fc1` is never trained; see docs/vsl/differences.md.
                merged = from_global if not self._merge_first_code else self._relu_fc(
                    tf.concat([from_global_2, features], axis=1), 'allz1_fc1', 'allzi_fc1_1')
            else:
                before = self._relu_fc(self.z_all[-1], 'zizi_fc1', 'zizi_fc1_1')
                before = self._relu_fc(before, 'zizi_fc2', 'zizi_fc2_1')
                merged = self._relu_fc(tf.concat([from_global_2, features, before], axis=1),
                                       'allzi_fc1', 'allzi_fc1_1')
            self._add_code(self._relu_fc(merged, 'allzi_fc2', 'allzi_fc2_1'), 'zi')

    def _add_code(self, hidden, name):
        """Appends the next code: its mean, logarithm of its standard deviation, and sample."""
        mean = self._fc(hidden, name + '_mean', name + '_mean_1')
        logstd = self._fc(hidden, name + '_logstd', name + '_logstd_1')
        self.z_all.append(mean + tf.exp(logstd) * self.noise[len(self.z_all)])
        self.z_mean.append(mean)
        self.z_logstd.append(logstd)

    def decode(self, latent: tf.Tensor) -> tf.Tensor:
        """Decodes codes to occupancies, p(x | z).

        Args:
          latent: [B, D].
        Returns:
          [B, 30, 30, 30, 1] in (0, 1).
        """
        hidden = self._relu_fc(latent, 'dec_zfc1', 'dec_fc1')
        hidden = self._relu_fc(hidden, 'dec_fc2', 'dec_fc2_1')
        hidden = tf.reshape(hidden, [self.batch_size, 2, 2, 2, 128])
        for number, stride, activation in ((1, 1, tf.nn.relu), (2, 2, tf.nn.relu),
                                           (3, 2, tf.nn.sigmoid)):
            name = 'dec_conv{}'.format(number)
            hidden = activation(volume_conv.conv3d_transpose(
                hidden, self.params[name], stride, self._plain) + self.params[name + '_1'])
        return hidden

    def _build_losses(self, kl_weight, free_nats):
        """The negative evidence lower bound, with a weight on its KL divergences."""
        self.rec_loss = reconstruction_loss(self.x, self.x_rec)
        self.kl_loss = [kl_divergence(*pair) for pair in zip(self.z_mean, self.z_logstd)]
        self.kl_loss_all = tf.add_n(self.kl_loss) / len(self.kl_loss)
        if free_nats:
            means = [tf.reduce_mean(kl) for kl in self.kl_loss]
            cost = tf.add_n([tf.maximum(mean, free_nats) for mean in means]) / len(means)
        else:
            cost = tf.reduce_mean(self.kl_loss_all)
        # The original adds [B, 30, 1] and [B] and takes the mean of [B, 30, B]: the same value.
        self.loss = tf.reduce_mean(self.rec_loss) + kl_weight * cost

    def _build_optimizer(self, optimizer):
        """Clips each element of a gradient to [-1, 1]; unused variables have no gradient."""
        variables = [self.params[name] for name in self.params]
        self.gradients = optimizer.compute_gradients(self.loss, variables)
        self.optimizer = optimizer.apply_gradients([
            (None if gradient is None else tf.clip_by_value(gradient, -1., 1.), variable)
            for gradient, variable in self.gradients])

    @property
    def sess(self) -> tf.Session:
        """Session with initial values, opened at the first use; may be set."""
        if self._sess is None:
            graph = self.x.graph
            self._sess = tf.Session(graph=graph)
            with graph.as_default():
                initial_values.seed_by_names(tf.global_variables(), self._seed)
                self._sess.run(tf.global_variables_initializer())
        return self._sess

    @sess.setter
    def sess(self, sess: tf.Session) -> None:
        self._sess = sess

    @property
    def saver(self) -> tf.train.Saver:
        """Saver of the variables that the graph has at the first use."""
        if self._saver is None:
            with self.x.graph.as_default():
                self._saver = tf.train.Saver()
        return self._saver

    def model_fit(self, x):
        """Runs one optimizer step.

        Args:
          x: array [B, 30, 30, 30, 1].
        Returns:
          float, the loss before the update.
        """
        return self.sess.run((self.loss, self.optimizer), {self.x: x})[0]

    def without_noise(self) -> Dict[tf.Tensor, np.ndarray]:
        """Returns what to feed so that every code is its mean.

        Returns:
          dict {noise tensor: zeros [B, G or L]}.
        """
        return {tensor: np.zeros(tensor.shape.as_list(), np.float32) for tensor in self.noise}

"""VarShapeLearner with an image branch, for the shape in a single image.

The image regressor of Liu, Giles, Ororbia 2018: a 2-D network regresses the latent code of the
shape that an image shows; decoding that code gives the shape.

Letters as in vsl.py. Images are [B, 100, 100, 3] RGB, in whatever range the data have.
"""
import collections
from typing import Any, Dict, List, Optional

import tensorflow.compat.v1 as tf

from vsl import vsl

IMAGE_SIZE = 100
# Names of the image convolutions, their biases (the original's odd ones) and strides.
_CONVOLUTIONS = (('image_conv1', 'enc_conv1_2', 2), ('image_conv2', 'enc_conv2_2', 2),
                 ('image_conv3', 'enc_conv3_2', 2), ('image_conv4', 'enc_conv3_3', 1))


def image_weight_shapes(latent_size: int) -> Dict[str, List[int]]:
    """Returns the names and shapes of the image branch's weights; `latent_size` is D."""
    return collections.OrderedDict([
        ('image_conv1', [32, 32, 3, 16]), ('image_conv2', [15, 15, 16, 32]),
        ('image_conv3', [5, 5, 32, 64]), ('image_conv4', [3, 3, 64, 128]),
        ('image_fc1', [512, 200]), ('image_fc2', [200, latent_size])])


def image_bias_sizes(latent_size: int) -> Dict[str, int]:
    """Returns the names and sizes of the image branch's biases; `latent_size` is D."""
    return collections.OrderedDict([
        ('enc_conv1_2', 16), ('enc_conv2_2', 32), ('enc_conv3_2', 64), ('enc_conv3_3', 128),
        ('image_fc1_1', 200), ('image_fc2_1', latent_size)])


def gamma_at(epoch: int) -> float:
    """Returns the original's weight of the latent loss in an epoch.

    Args:
      epoch: int, counted from 0.
    Returns:
      float: 1e-8 in the first ten epochs, ten times more every ten, 5e-3 from epoch 90 on.
    """
    if epoch <= 50:
        return 10. ** (epoch // 10 - 8)
    return (epoch - 40) // 10 * 1e-3 if epoch < 100 else 5e-3


class VarShapeLearner(vsl.VarShapeLearner):
    """The network of vsl.py with an image branch.

    Args:
      y: [B, 100, 100, 3], or None for a placeholder.
      bias_after_product: bool, add the bias of the last layer of the image branch to the product,
        not to the matrix as the original does.
      detach_codes: bool, the latent loss trains the image branch only, not the shape encoder.
      keep_units: bool, no dropout at all, for frozen graphs.
      **kwargs: as in vsl.VarShapeLearner.

    Attributes (besides those of vsl.VarShapeLearner):
      y: [B, 100, 100, 3].
      shape_names: list of str, variables that a network without images has too.
      gamma, keep_prob: scalar placeholders, weight of the latent loss, and probability that
        dropout keeps a unit.
      dropout_uniform: [B, 200], uniform noise in [0, 1) of the dropout; may be fed.
      learned_feature: [B, D], codes of the images.
      lat_loss: scalar, half the squared distance of the codes of shape and image, summed over batch
        and code.
    """

    def __init__(self, *args: Any, y: Optional[tf.Tensor] = None, bias_after_product: bool = False,
                 detach_codes: bool = False, keep_units: bool = False, **kwargs: Any):
        self.y = y
        self._keep_units = keep_units
        self._bias_after_product, self._detach_codes = bias_after_product, detach_codes
        super().__init__(*args, **kwargs)

    def _create_variables(self):
        sizes = (self.sizes[0], self.sizes[1], self.local_latent_num)
        weights, biases = vsl.weight_shapes(*sizes), vsl.bias_sizes(*sizes)
        self.shape_names = list(weights) + list(biases)
        weights.update(image_weight_shapes(self.latent_size))
        biases.update(image_bias_sizes(self.latent_size))
        return vsl.create_variables(weights, biases)

    def _build_image_branch(self):
        if self.y is None:
            self.y = tf.placeholder(tf.float32, [self.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3])
        self.gamma = tf.placeholder(tf.float32, [])
        self.keep_prob = tf.placeholder_with_default(tf.constant(1., tf.float32), [])
        hidden = self.y
        for name, bias, stride in _CONVOLUTIONS:
            hidden = tf.nn.relu(tf.nn.conv2d(
                hidden, self.params[name], strides=[1, stride, stride, 1], padding='VALID')
                + self.params[bias])
        hidden = tf.reshape(hidden, [self.batch_size, 512])
        hidden = self._dropout(self._relu_fc(hidden, 'image_fc1', 'image_fc1_1'))
        if self._bias_after_product:
            self.learned_feature = self._fc(hidden, 'image_fc2', 'image_fc2_1')
        else:   # The original adds the bias to the rows of the matrix; see docs/vsl/differences.md.
            self.learned_feature = tf.matmul(
                hidden, self.params['image_fc2'] + self.params['image_fc2_1'])

    def _dropout(self, hidden):
        if self._keep_units:
            return hidden
        self.dropout_uniform = self.sample(tf.random.stateless_uniform, tf.random_uniform,
                                           hidden.shape.as_list(), len(self.sizes))
        mask = tf.cast(self.dropout_uniform >= 1. - self.keep_prob, tf.float32)
        return hidden / self.keep_prob * mask

    def _build_losses(self, kl_weight, free_nats):
        super()._build_losses(kl_weight, free_nats)
        target = self.latent_feature
        if self._detach_codes:
            target = tf.stop_gradient(target)
        # A sum over the batch of all processes, of which the mean over the processes is taken.
        processes = self._share[1] / self.batch_size
        self.lat_loss = 0.5 * processes * tf.reduce_sum(tf.square(target - self.learned_feature))
        self.loss += self.gamma * self.lat_loss

    def model_fit(self, x, y, gamma, keep_prob):
        """Runs one optimizer step.

        Args:
          x: array [B, 30, 30, 30, 1]; y: array [B, 100, 100, 3].
          gamma, keep_prob: floats.
        Returns:
          float, the loss before the update.
        """
        return self.sess.run((self.loss, self.optimizer), {
            self.x: x, self.y: y, self.gamma: gamma, self.keep_prob: keep_prob})[0]
